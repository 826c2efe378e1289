"""`RateLimitedLog`: a log for lines that peers can cause by the thousand. It logs a few of each kind per
minute.

A log that is full of one line hides the others and fills the disk. A line that a peer without rights can
cause as often as it likes goes through this log, for example about a refused connection, a failed handshake
or a malformed line.

This module touches a clock and a logger. Next to read: `halves`, which logs the actions of unknown peers.
"""

from __future__ import annotations

import logging
from typing import Any

from twisted.internet.interfaces import IReactorTime

INTERVAL = 60.0
"""Duration of the interval in which lines of one kind are counted together, in seconds."""

A_FEW = 10
"""Number of lines of one kind in `INTERVAL` that a site may need when all clients connect at its start."""


class _Kind:
    """Counts of one kind of line: start of the interval, logged lines, lines held back since the last one."""

    __slots__ = ("began", "kept_back", "logged")

    def __init__(self) -> None:
        self.began = -INTERVAL
        self.logged = 0
        self.kept_back = 0


class RateLimitedLog:
    """A log that logs the first lines of a kind in each interval. The next line reports how many were held
    back.

    Lines with the same text before formatting are one kind. Each text is a constant of the program, so a peer
    can't create kinds.

    :param clock: an ``IReactorTime`` with a monotonic `seconds`.
    :param burst: number of lines of a kind that are logged in `INTERVAL`.
    """

    def __init__(self, clock: IReactorTime, log: logging.Logger, burst: int = 1) -> None:
        self._clock = clock
        self._log = log
        self._burst = burst
        self._kinds: dict[str, _Kind] = {}

    def log(self, level: int, text: str, *args: object, **more: Any) -> None:
        """Log a line, or count it. The arguments are those of `logging.Logger.log`."""
        kind = self._kinds.get(text)
        if kind is None:
            kind = self._kinds[text] = _Kind()
        now = self._clock.seconds()
        if now - kind.began >= INTERVAL:
            kind.began, kind.logged = now, 0
        if kind.logged >= self._burst:
            kind.kept_back += 1
            return
        kind.logged += 1
        if kind.kept_back:
            text, args = f"{text} (%d such lines since the last one here)", (*args, kind.kept_back + 1)
            kind.kept_back = 0
        self._log.log(level, text, *args, **more)

    def info(self, text: str, *args: object) -> None:
        """Log a line at ``INFO``, or count it."""
        self.log(logging.INFO, text, *args)

    def warning(self, text: str, *args: object) -> None:
        """Log a line at ``WARNING``, or count it."""
        self.log(logging.WARNING, text, *args)

    def error(self, text: str, *args: object) -> None:
        """Log a line at ``ERROR``, or count it."""
        self.log(logging.ERROR, text, *args)

    def exception(self, text: str, *args: object) -> None:
        """Log a line at ``ERROR`` with the traceback of the current exception, or count it."""
        self.log(logging.ERROR, text, *args, exc_info=True)
