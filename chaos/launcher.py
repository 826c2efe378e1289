"""``python -m chaos.launcher``: ``twistd`` with measurements and faults inside.

The package is as it is. Around it, in this order:

* `time.time` and `time.time_ns` are ahead by a number of hours that SIGWINCH counts up and SIGURG down;
* with ``CHAOS_RAISE=NAME`` the callable that `RAISES` has for it raises;
* the delay of the event loop is measured every `PERIOD`. The file ``CHAOS_LAG`` keeps the longest delay, and
  the longest without the time in which the system gave the processor to other programs.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import time
from typing import Any

from tests.support.parents import end_with_parent

HOUR = 3600.0

PERIOD = 0.02
"""In seconds."""

LAG = struct.Struct("=dd")
"""The longest delay in seconds, with and without the waits for a processor."""

POISON = b"\n1801\n"
"""A part of the line of ``SafetyReset``, the command for which the broken callable raises."""


class WallClock:
    """The wall clock, that can be set."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._time = time.time
        time.time = self.read
        time.time_ns = lambda: int(self.read() * 1e9)
        signal.signal(signal.SIGWINCH, lambda number, frame: self.set(HOUR))
        signal.signal(signal.SIGURG, lambda number, frame: self.set(-HOUR))

    def read(self) -> float:
        """As `time.time`."""
        return self._time() + self._ahead

    def set(self, seconds: float) -> None:
        """Move on, or back."""
        self._ahead += seconds


def _raise_in_bridge() -> None:
    """Let the handlers of each client's commands raise."""
    from mtmount_twisted.bridge.core import Bridge

    commanded, all_read = Bridge.commanded, Bridge.all_read

    def checked(line: bytes) -> bytes:
        if POISON in line:
            raise RuntimeError("chaos: broken on purpose")
        return line

    def broken(self: Any, client: Any, line: bytes, header: Any = None) -> None:
        commanded(self, client, checked(line), header)

    def all_broken(self: Any, client: Any, commands: Any) -> None:
        all_read(self, client, ((checked(line), header) for line, header in commands))

    Bridge.commanded = broken  # type: ignore[method-assign]
    Bridge.all_read = all_broken  # type: ignore[method-assign]


def _raise_in_web() -> None:
    """Let the handler of ``GET /api/v1/lease`` raise."""
    from mtmount_twisted.frontends.web.api.leases import Leases

    async def broken(self: Any, call: Any) -> Any:
        raise RuntimeError("chaos: broken on purpose")

    Leases.get = broken  # type: ignore[method-assign]


RAISES = {"bridge": _raise_in_bridge, "web": _raise_in_web}


class LagWatch:
    """Measures how late the event loop is, into a file."""

    def __init__(self, path: str, reactor: Any) -> None:
        with open(path, "wb") as file:
            file.write(LAG.pack(0, 0))
        with open(path, "r+b") as file:
            self._kept = mmap.mmap(file.fileno(), LAG.size)
        self._reactor = reactor
        self._waits = Waits()
        self._most = (0.0, 0.0)
        self._begin()

    def _begin(self) -> None:
        self._due = self._reactor.seconds() + PERIOD
        self._waited = self._waits.read()
        self._reactor.callLater(PERIOD, self._look)

    def _look(self) -> None:
        lag = self._reactor.seconds() - self._due
        own = lag - (self._waits.read() - self._waited)
        if lag > self._most[0] or own > self._most[1]:
            self._most = max(lag, self._most[0]), max(own, self._most[1])
            LAG.pack_into(self._kept, 0, *self._most)
        self._begin()


class Waits:
    """How long this thread was ready to run and did not, so far; 0 where the system does not tell.

    The file stays open: soon there may be no descriptor for it.
    """

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/self/schedstat", os.O_RDONLY)
        except OSError:
            self._file = -1

    def read(self) -> float:
        """In seconds."""
        return int(os.pread(self._file, 100, 0).split()[1]) / 1e9 if self._file >= 0 else 0.0


def main() -> None:
    """Run ``twistd`` with the words that this was given. It ends with the program that injects the faults."""
    end_with_parent()
    WallClock()
    broken = os.environ.get("CHAOS_RAISE")
    if broken:
        RAISES[broken]()
    from twisted.internet import reactor
    from twisted.scripts.twistd import run

    running: Any = reactor
    path = os.environ["CHAOS_LAG"]
    running.callWhenRunning(lambda: LagWatch(path, reactor))
    run()


if __name__ == "__main__":
    main()
