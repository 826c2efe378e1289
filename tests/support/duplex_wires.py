"""A duplex communicator and a mount's far end, in memory or on sockets, with the same methods for both."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.dialects.tma2022.codec import decode_command
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.testing import HOST, FarProtocol, connected_duplex

from .pairs import LOG


class MemoryDuplexWire:
    """A communicator on the double, and the double."""

    def __init__(self, **options: Any) -> None:
        self.communicator, self.far_end = connected_duplex(log=LOG, **options)
        self.messages: list[Any] = []

    async def started(self) -> None:
        """The connection is up."""
        assert self.communicator.connected

    async def written(self) -> Any:
        """The next command that the communicator wrote."""
        self.messages += self.far_end.written()
        return self.messages.pop(0)

    def feed(self, data: bytes) -> None:
        """Send these bytes to the communicator."""
        self.far_end.feed(data)

    async def second_client(self) -> bytes:
        """Connect once more to the mount, and return what arrives until that connection is closed."""
        second = FarProtocol()
        factory: Any = ClientFactory.forProtocol(lambda: second)
        self.far_end.reactor.connectTCP(HOST, self.far_end.port, factory)
        self.far_end.settle()
        assert not second.is_connected
        return second.received

    def drop(self) -> None:
        """Close the connection."""
        self.far_end.drop()

    def abort(self) -> None:
        """Break the connection."""
        self.far_end.client.transport.abortConnection()
        self.far_end.settle()

    def stop_reading(self) -> None:
        """Stop reading from the communicator."""
        self.far_end.stop_reading()

    def start_reading(self) -> None:
        """Read it again."""
        self.far_end.start_reading()

    def until(self, deferred: Deferred[Any]) -> Deferred[Any]:
        """Let the reactor run for 2 s, and return the Deferred."""
        for _ in range(20):
            self.far_end.reactor.advance(0.1)
        return deferred

    async def stop(self) -> None:
        """End it all."""
        await self.until(self.communicator.close())
        assert self.far_end.reactor.getDelayedCalls() == []


class _Mount(Protocol):
    """A mount's end of a real connection."""

    def __init__(self, wire: SocketDuplexWire) -> None:
        self.wire = wire
        self.received = b""
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        *lines, self.received = (self.received + data).split(b"\r\n")
        for line in lines:
            self.wire.lines.put(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class _Mounts(Factory[_Mount]):
    """A mount on a socket: it accepts one client, and closes the connection of a second."""

    def __init__(self, wire: SocketDuplexWire) -> None:
        self.wire = wire

    def buildProtocol(self, addr: Any) -> _Mount | None:
        if self.wire.mount is not None and not self.wire.mount.lost.called:
            return None
        self.wire.mount = _Mount(self.wire)
        return self.wire.mount


class _Client(Protocol):
    """A second client."""

    def __init__(self) -> None:
        self.received = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.received)


class SocketDuplexWire:
    """A communicator and a mount on real sockets: the same methods as `MemoryDuplexWire`."""

    mount: Any = None

    def __init__(self, **options: Any) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.lines: DeferredQueue[bytes] = DeferredQueue()
        self.port = self.reactor.listenTCP(0, _Mounts(self), interface=HOST)
        self.number = self.port.getHost().port
        self.communicator = DuplexCommunicator("test", HOST, self.number, LOG, dialect=DIALECT, **options)

    async def started(self) -> None:
        await self.communicator.wait_connected()

    async def written(self) -> Any:
        return decode_command(await self.lines.get())

    def feed(self, data: bytes) -> None:
        self.mount.transport.write(data)

    async def second_client(self) -> bytes:
        second = _Client()
        await connectProtocol(TCP4ClientEndpoint(self.reactor, HOST, self.number), second)
        return await second.ended

    def drop(self) -> None:
        self.mount.transport.loseConnection()

    def abort(self) -> None:
        self.mount.transport.abortConnection()

    def stop_reading(self) -> None:
        self.mount.transport.pauseProducing()

    def start_reading(self) -> None:
        self.mount.transport.resumeProducing()

    def until(self, deferred: Deferred[Any]) -> Deferred[Any]:
        return deferred

    async def stop(self) -> None:
        await self.communicator.close()
        await self.port.stopListening()
        if not self.mount.lost.called:
            self.mount.transport.abortConnection()
            await self.mount.lost
