"""`SleepGuard`: notices that the process stood still, before the process sends to the mount or reads from it.

SIGSTOP, a suspended machine and a disk that hangs look the same from inside: time has passed in which the
process did nothing. Another bridge may command the mount by then. The guard comes before the rule that late
timers let the reactor read first (`net.deadlines`): a bridge that slept reads nothing more from its old link.

Next to read: `service`, which drops the link.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor


def boot_time() -> float:
    """Return the time since the start of the machine (s), including the time in which it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SleepGuard:
    """Compare the time of each turn and each send with the time of the one before.

    :param limit: the shortest pause that counts as a sleep of the process (s).
    :param slept: called with the time away (s).
    :param clock: return a time that also advances while the machine is suspended (s).
    """

    def __init__(
        self, limit: float, slept: Callable[[float], None], clock: Callable[[], float] = boot_time
    ) -> None:
        self._limit = limit
        self._slept = slept
        self._clock = clock
        self._last = clock()

    def check(self) -> bool:
        """If the process has slept, call `slept` and return False."""
        now = self._clock()
        away, self._last = now - self._last, now
        if away < self._limit:
            return True
        self._slept(away)
        return False

    def watch(self, transport: object) -> None:
        """Let the reactor neither write to nor read from a socket before `check`.

        A reactor that wakes in its wait for the sockets calls these two before any timer: also what is in the
        buffer of the socket must not be sent. `abortConnection` replaces both methods, so it ends the watch.
        """
        if not isinstance(transport, FileDescriptor):
            return  # a transport in memory
        end: Any = transport
        read, write = end.doRead, end.doWrite

        def guarded_read() -> object:
            return read() if self.check() else None

        def guarded_write() -> object:
            return write() if self.check() else None

        end.doRead, end.doWrite = guarded_read, guarded_write
