"""A reactor that starts no process: the test plays the child of a station."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from mtmount_twisted.frontends.broker.words import Pong, encode, read_to_child


class Transport(StringTransport):
    """The daemon's end of a socket pair."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Child:
    """A process that was started."""

    def __init__(
        self, clock: ChildClock, protocol: Any, words: list[str], environment: dict[str, str]
    ) -> None:
        self.clock, self.protocol, self.words, self.environment = clock, protocol, words, environment
        self.pid: int | None = 1000 + len(clock.children)
        self.link: Any = None
        self.transport = Transport()
        self.signals: list[str] = []

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    @property
    def got(self) -> list[Any]:
        """The lines of the daemon since the last look."""
        lines = self.transport.value().splitlines()
        self.transport.clear()
        return [read_to_child(line) for line in lines]

    def says(self, *values: Any) -> None:
        """Send lines to the daemon."""
        self.link.dataReceived(b"".join(encode(value) + b"\n" for value in values))

    def answers(
        self, connected: bool = True, problem: str = "", rows: int = 0, seconds: float = 0.0, **more: Any
    ) -> None:
        """Send a sign of life."""
        state = {"connected": connected, "problem": problem, "rows": rows, "seconds": seconds, **more}
        self.says(Pong(number=1, published=7, **state))

    def ends(self, signal: int | None = None) -> None:
        """End, as the system tells it."""
        error = ProcessDone(0) if signal is None else ProcessTerminated(signal=signal)
        self.protocol.processEnded(Failure(error))


class ChildClock(Clock):
    """The reactor: `children` are the processes that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Child] = []
        self.fails = False
        self.has_file = True

    def spawnProcess(
        self, protocol: Any, program: str, words: list[str], env: dict[str, str], childFDs: dict[int, Any]
    ) -> Child:
        if self.fails:
            raise OSError(11, "no process is free")
        child = Child(self, protocol, words, env)
        os.fstat(childFDs[3])  # it is open
        self.children.append(child)
        return child

    def adoptStreamConnection(self, fd: int, family: int, factory: Any) -> None:
        if not self.has_file:
            raise OSError(24, "no file is free")
        os.fstat(fd)
        child = self.children[-1]
        child.link = factory.buildProtocol(None)
        child.link.makeConnection(child.transport)

    def pass_time(self, seconds: float) -> None:
        """Let time pass second by second, with some turns of the reactor in each."""
        for _ in range(round(seconds * 2)):
            self.advance(0.5)
            for _ in range(5):
                self.advance(0)
