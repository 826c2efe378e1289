"""`Seldom`: what may come thousands of times a second is logged at most once a minute.

A log that is full of one line hides the others, and fills a disk.
"""

from __future__ import annotations

import logging

from twisted.internet.interfaces import IReactorTime

INTERVAL = 60.0
"""Least time between two lines, in seconds."""


class Seldom:
    """Logs the first of its kind, and then now and then one, with how many there were.

    :param clock: an ``IReactorTime`` whose `seconds` is monotonic.
    :param level: as in `logging`.
    """

    def __init__(self, clock: IReactorTime, log: logging.Logger, level: int) -> None:
        self._clock = clock
        self._log = log
        self._level = level
        self._next = -INTERVAL
        self._count = 0

    def say(self, text: str, *args: object) -> None:
        """It happened again; `text` and `args` are as for a `logging.Logger`."""
        self._count += 1
        now = self._clock.seconds()
        if now < self._next:
            return
        if self._count > 1:
            text, args = f"{text} (%d such lines since the last one here)", (*args, self._count)
        self._log.log(self._level, text, *args)
        self._next, self._count = now + INTERVAL, 0
