"""`SleepGuard`: notices that the process stood still, before anything is sent to or read from the mount.

SIGSTOP, a suspended machine and a disk that hangs look the same from inside: time has passed in which nothing
was done. Another bridge may command the mount by then. The guard comes before the rule that late timers let
the reactor read first (`net.deadlines`): a bridge that slept reads nothing more from its old link.

Next to read: `service`, which drops the link.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor


def boot_time() -> float:
    """Return the time since the start of the machine (s), with the time in which it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SleepGuard:
    """Compare the time of each turn and each send with the one before.

    :param limit: the time from which on the process counts as having slept (s).
    :param slept: called with the time away (s).
    :param clock: return a time that goes on while the machine is suspended (s).
    """

    def __init__(
        self, limit: float, slept: Callable[[float], None], clock: Callable[[], float] = boot_time
    ) -> None:
        self._limit = limit
        self._slept = slept
        self._clock = clock
        self._last = clock()

    def check(self) -> bool:
        """Return False if the process has slept; then `slept` was called."""
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
