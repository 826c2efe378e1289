"""`Allowance`: a bound on how often a peer may have precedence in a time.

Values only: no Twisted. Next to read: ``frontends.tcp.command_queue``, which gives precedence.
"""

from __future__ import annotations

from collections.abc import Callable


class Allowance:
    """A bound on the number of times that something may happen in a time.

    :param now: returns the monotonic clock, in seconds.
    :param most: the largest number of times.
    :param period: the time after which it may happen as often again, in seconds.
    """

    def __init__(self, now: Callable[[], float], most: int, period: float) -> None:
        self._now = now
        self._most = most
        self._period = period
        self._used = 0
        self._since = 0.0

    def take(self, count: int = 1) -> int:
        """Use up to `count` times, and return their number: 0 if all are used."""
        now = self._now()
        if now - self._since >= self._period:
            self._since, self._used = now, 0
        taken = min(count, self._most - self._used)
        self._used += taken
        return taken
