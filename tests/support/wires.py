"""A communicator and its far end, in memory or on sockets, with the same methods for both."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.dialects.tma2020.codec import decode_command, decode_reply
from mtmount_twisted.testing import HOST, connected_pair

from .pairs import LOG


class MemoryWire:
    """A communicator on the double, and its far end."""

    def __init__(self, **options: Any) -> None:
        self.communicator, self.far_end = connected_pair(log=LOG, **options)
        self.messages: list[Any] = []

    async def started(self) -> None:
        """Both connections are up."""
        assert self.communicator.connected

    async def written(self) -> Any:
        """The next message that the communicator wrote."""
        self.messages += self.far_end.written()
        return self.messages.pop(0)

    def feed(self, data: bytes) -> None:
        """Send these bytes to the communicator."""
        self.far_end.feed(data)

    async def second_peer(self) -> bool:
        """Connect once more to the communicator's server: True if that connection stays."""
        return self.far_end.connect_server()

    def drop_client(self) -> None:
        """Close the connection that the communicator writes on."""
        self.far_end.drop_client()

    def abort_client(self) -> None:
        """Break the connection that the communicator writes on."""
        self.far_end.client.transport.abortConnection()
        self.far_end.settle()

    def drop_server(self) -> None:
        """Close the connection that the communicator reads from."""
        self.far_end.drop_server()

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


class WriterPeer(LineReceiver):
    """The far end of a real client connection."""

    MAX_LENGTH = 10**6

    def __init__(self, wire: SocketWire) -> None:
        self.wire = wire

    def connectionMade(self) -> None:
        self.wire.client = self.transport

    def lineReceived(self, line: bytes) -> None:
        self.wire.lines.put(line)


class ReaderPeer(Protocol):
    """The far end of a real server connection."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class SocketWire:
    """A communicator on real sockets, and its far end: the same methods as `MemoryWire`."""

    def __init__(self, **options: Any) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.lines: DeferredQueue[bytes] = DeferredQueue()
        self.port = self.reactor.listenTCP(0, Factory.forProtocol(lambda: WriterPeer(self)), interface=HOST)
        self.read_replies = options.pop("read_replies", True)
        self.communicator = Communicator(
            "test", HOST, self.port.getHost().port, HOST, 0, LOG, self.read_replies, **options
        )

    async def started(self) -> None:
        self.peer = ReaderPeer()
        await self._connect(self.peer)
        await self.communicator.wait_connected()

    def _connect(self, peer: ReaderPeer) -> Deferred[Any]:
        endpoint = TCP4ClientEndpoint(self.reactor, HOST, self.communicator.server_port)
        return connectProtocol(endpoint, peer)

    async def written(self) -> Any:
        decode = decode_command if self.read_replies else decode_reply
        return decode(await self.lines.get())

    def feed(self, data: bytes) -> None:
        self.peer.transport.write(data)

    async def second_peer(self) -> bool:
        peer = ReaderPeer()
        await self._connect(peer)
        await peer.lost
        return False

    def drop_client(self) -> None:
        self.client.loseConnection()

    def abort_client(self) -> None:
        self.client.abortConnection()

    def drop_server(self) -> None:
        self.peer.transport.loseConnection()

    def stop_reading(self) -> None:
        self.client.pauseProducing()

    def start_reading(self) -> None:
        self.client.resumeProducing()

    def until(self, deferred: Deferred[Any]) -> Deferred[Any]:
        return deferred

    async def stop(self) -> None:
        await self.communicator.close()
        await self.port.stopListening()
        self.client.abortConnection()
        if not self.peer.lost.called:
            self.peer.transport.abortConnection()
            await self.peer.lost
