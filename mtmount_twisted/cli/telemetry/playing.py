"""`Player`: a recorded time span on a port, as if the mount sent it now, with the original time stamps.

A thread reads the lines ahead, a second of playing time at once. A reader that does not keep up misses lines,
as it would at a mount. Next to read: `program`, which listens.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.net.threads import in_daemon_thread
from mtmount_twisted.net.waiting import Waiters

TICK = 0.01
"""The shortest time between two writes, in seconds."""

AHEAD = 1.0
"""The playing time of the lines to read at once, in seconds."""

Line = tuple[float, str, bytes]


@implementer(IPushProducer)
class PlayedReader(Protocol):
    """One connection. It drops all bytes that the reader sends.

    :ivar has_room: False while the transport can't take more.
    """

    transport: Any
    has_room: bool = True

    def __init__(self, factory: PlayFactory) -> None:
        self._factory = factory

    def connectionMade(self) -> None:
        """Serve the reader."""
        self.transport.registerProducer(self, True)
        self._factory.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the reader."""
        self._factory.readers.discard(self)

    def pauseProducing(self) -> None:
        """From now on, leave out the lines for this reader."""
        self.has_room = False

    def resumeProducing(self) -> None:
        """Write lines again."""
        self.has_room = True

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost."""


class PlayFactory(Factory[PlayedReader]):
    """Factory of the readers.

    :ivar readers: the connected readers.
    """

    noisy = False

    def __init__(self) -> None:
        self.readers: set[PlayedReader] = set()
        self._joined: Waiters[None] = Waiters()

    def buildProtocol(self, addr: Any) -> PlayedReader:
        """Return a new reader."""
        return PlayedReader(self)

    def joined(self) -> Deferred[None]:
        """Return a Deferred that fires when there is a reader."""
        return succeed(None) if self.readers else self._joined.wait()

    def add(self, reader: PlayedReader) -> None:
        """Serve a reader."""
        self.readers.add(reader)
        self._joined.fire(None)

    def write(self, data: bytes) -> None:
        """Write to all readers that have room."""
        for reader in tuple(self.readers):
            if reader.has_room:
                reader.transport.write(data)

    def close(self) -> None:
        """Close all connections, once the written bytes are sent."""
        for reader in tuple(self.readers):
            transport: ITransport = reader.transport
            transport.loseConnection()


class Player:
    """Play lines.

    :param lines: time (s), topic and line of each message, in the order of time; each step may block.
    :param speed: factor by which the playing is faster than the recording.
    :param terminator: the end of a line.
    :param write: called with lines that are due, terminators included.
    """

    def __init__(
        self,
        reactor: Any,
        lines: Iterator[Line],
        speed: float,
        terminator: bytes,
        write: Callable[[bytes], None],
    ) -> None:
        self.count: int = 0
        self._reactor = reactor
        self._lines = lines
        self._speed = speed
        self._terminator = terminator
        self._write = write
        self._rest: list[Line] = []

    async def run(self) -> int:
        """Play to the end.

        :returns: the number of lines.
        :raises RecordingError: if a recording is damaged.
        """
        first: float | None = None
        begun = 0.0
        block = await self._read_ahead()
        while block:
            following: Deferred[list[Line]] = self._read_ahead()
            try:
                if first is None:
                    first, begun = block[0][0], self._reactor.seconds()
                times = [time for time, _, _ in block]
                at = 0
                while at < len(block):
                    wait = begun + (times[at] - first) / self._speed - self._reactor.seconds()
                    if wait > 0:
                        await deferLater(self._reactor, max(wait, TICK))
                    played = first + (self._reactor.seconds() - begun) * self._speed
                    end = max(bisect_right(times, played, at), at + 1)
                    self._write(self._terminator.join([*(line for *_, line in block[at:end]), b""]))
                    self.count += end - at
                    at = end
            except BaseException:
                following.addErrback(lambda reason: None)
                raise
            block = await following
        return self.count

    def _read_ahead(self) -> Deferred[list[Line]]:
        def read() -> list[Line]:
            found, self._rest = self._rest, []
            for line in self._lines:
                if found and line[0] - found[0][0] > AHEAD * self._speed:
                    self._rest = [line]
                    break
                found.append(line)
            return found

        return in_daemon_thread(self._reactor, read, "recordings")
