"""`RateLimitedLog`: log lines that others can cause by the thousand, a few of each kind a minute.

A log that is full of one line hides the others, and fills a disk. Each line that a peer without rights can
cause as often as it likes goes through this log: a refused connection, a failed handshake, a malformed line.

Touches a clock and a logger. Next to read: `halves`, which logs what strangers do to a pair.
"""

from __future__ import annotations

import logging
from typing import Any

from twisted.internet.interfaces import IReactorTime

INTERVAL = 60.0
"""How long lines of one kind are counted together, in seconds."""

A_FEW = 10
"""How many lines of one kind a site may need in `INTERVAL`, when everybody connects at its start."""


class _Kind:
    """How many lines of one kind there were: when their interval began, and since when none was logged."""

    __slots__ = ("began", "kept_back", "logged")

    def __init__(self) -> None:
        self.began = -INTERVAL
        self.logged = 0
        self.kept_back = 0


class RateLimitedLog:
    """Logs the first lines of a kind in each interval; the next one after that says how many it kept back.

    Lines of one text, before its arguments are filled in, are of one kind: each text is a constant of the
    program, so that a peer can't make kinds.

    :param clock: an ``IReactorTime`` whose `seconds` is monotonic.
    :param burst: how many lines of a kind are logged in `INTERVAL`.
    """

    def __init__(self, clock: IReactorTime, log: logging.Logger, burst: int = 1) -> None:
        self._clock = clock
        self._log = log
        self._burst = burst
        self._kinds: dict[str, _Kind] = {}

    def log(self, level: int, text: str, *args: object, **more: Any) -> None:
        """Log a line, or count it; the arguments are those of `logging.Logger.log`."""
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
        """Log a line at ``ERROR`` with the traceback of the exception that is handled, or count it."""
        self.log(logging.ERROR, text, *args, exc_info=True)
