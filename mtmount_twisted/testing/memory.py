"""TCP in memory, on a clock: a reactor, its ports and its transports.

It touches no socket. Next to read: `far_end`, which plays the other side of a pair on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from errno import EADDRINUSE
from os import strerror
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NotConnectingError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import (
    IConnector,
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IListeningPort,
    IPushProducer,
    IReactorTCP,
    ITransport,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.hosts import is_address
from mtmount_twisted.interfaces import IHostNames

BUFFER_SIZE = 2**16
"""Number of unread bytes at which the transport pauses a writer."""

HOST = "127.0.0.1"


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """One end of a connection in memory.

    As from a socket, data and ends of file arrive in a later turn of the reactor. They do not arrive while
    the receiver is paused.

    :ivar reactor: the reactor.
    :ivar protocol: the protocol at this end.
    :ivar other: the transport at the other end.
    :ivar lost: called with the reason after the protocol's `connectionLost`.
    :ivar disconnecting: True after a request to close this end.
    """

    other: MemoryTransport

    def __init__(self, reactor: MemoryReactor, host: IPv4Address, peer: IPv4Address) -> None:
        self.reactor = reactor
        self._host = host
        self._peer = peer
        self.protocol: Any = Protocol()
        self.lost: Callable[[Failure], object] = lambda reason: None
        self._incoming = bytearray()
        self._end_of_file = False
        self._write_ended = False
        self._reading = False
        self._lost = False
        self._producer: Any = None
        self._producer_paused = False
        self.disconnecting: bool = False

    def begin(self, protocol: Any) -> None:
        """Connect this end to a protocol. If the protocol is None, close this end."""
        if self.disconnecting:
            return
        if protocol is None:
            self.loseConnection()
            return
        self.protocol = protocol
        self.resumeProducing()
        protocol.makeConnection(self)

    def getHost(self) -> IPv4Address:
        return self._host

    def getPeer(self) -> IPv4Address:
        return self._peer

    def write(self, data: bytes) -> None:
        if self.disconnecting or self._write_ended:
            return
        if self.other._lost:
            self._soon(self._lose, ConnectionLost())  # ignored if the end of file arrives first
            return
        if not self.other._incoming:  # else a delivery is scheduled, or the other end is paused
            self._soon(self.other._receive)
        self.other._incoming += data
        if self._producer is not None and not self._producer_paused and not self._has_room:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self._reading = False
            self._soon(self._finish)

    def loseWriteConnection(self) -> None:
        """Stop writing. Data from the other end still arrives."""
        if not self.disconnecting and not self._write_ended:
            self._write_ended = True
            self._soon(self._end_writing)

    def _end_writing(self) -> None:
        self.other._end()
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None and not self._lost:
            half.writeConnectionLost()

    def abortConnection(self) -> None:
        self.disconnecting = True
        self._reading = False
        self.other._incoming.clear()
        self._soon(self._lose, ConnectionAborted())
        self._soon(self.other._lose, ConnectionLost())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None
        self._producer_paused = False

    def pauseProducing(self) -> None:
        self._reading = False

    def resumeProducing(self) -> None:
        if not self.disconnecting:
            self._reading = True
            self._soon(self._receive)

    def stopProducing(self) -> None:
        self.loseConnection()

    @property
    def unread(self) -> bytes:
        """The data from the other end that this end has not read yet."""
        return bytes(self._incoming)

    @property
    def _has_room(self) -> bool:
        return len(self.other._incoming) <= BUFFER_SIZE

    def _soon(self, what: Callable[..., None], *arguments: Any) -> None:
        self.reactor.callLater(0, what, *arguments)

    def _receive(self) -> None:
        if self._reading and self._incoming:
            data = bytes(self._incoming)
            self._incoming.clear()
            self.protocol.dataReceived(data)
            self.other._drained()
        if self._reading and self._end_of_file:
            self._end_reading()

    def _end(self) -> None:
        """Note that no more data will come."""
        self._end_of_file = True
        self._soon(self._receive)

    def _end_reading(self) -> None:
        """Close the connection at the end of file, unless the protocol supports a half-closed connection."""
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is None:
            self._lose(ConnectionDone())
            self.other._end()
        else:
            self._reading = self._end_of_file = False
            half.readConnectionLost()

    def _drained(self) -> None:
        """Continue after the other end has read the data from this end."""
        if self.disconnecting:
            self._finish()
        elif self._producer_paused:
            self._producer_paused = False
            self._producer.resumeProducing()

    def _finish(self) -> None:
        """Close, if the unread data would fit into a real system's buffer."""
        if self._has_room and not self._lost:
            self._lose(ConnectionDone())
            self.other._end()

    def _lose(self, reason: Exception) -> None:
        if not self._lost:
            self._lost = self.disconnecting = True
            self._reading = False
            self.protocol.connectionLost(Failure(reason))
            self.lost(Failure(reason))


@implementer(IListeningPort)
class MemoryPort:
    """A port that listens in a `MemoryReactor`."""

    def __init__(self, reactor: MemoryReactor, factory: Factory[Any], address: IPv4Address) -> None:
        self._reactor = reactor
        self._address = address
        self.factory = factory
        self.startListening()

    def startListening(self) -> None:
        self._reactor.ports[self._address.port] = self
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """Stop listening. The Deferred fires with None in the next turn of the reactor."""
        if self._reactor.ports.pop(self._address.port, None) is not None:
            self.factory.doStop()
        stopped: Deferred[None] = Deferred()
        self._reactor.callLater(0, stopped.callback, None)
        return stopped

    def getHost(self) -> IPv4Address:
        return self._address


@implementer(IConnector)
class MemoryConnector:
    """A connector to a `MemoryPort`, with the states and the time-out of Twisted's own connectors.

    :ivar state: "disconnected", "connecting" or "connected".
    :ivar transport: this side's end while it is connected, else None.
    """

    def __init__(self, reactor: MemoryReactor, host: str, port: int, factory: Any, timeout: float) -> None:
        self.reactor = reactor
        self.host = host
        self.port = port
        self.factory = factory
        self.timeout = timeout
        self.state: str = "disconnected"
        self.transport: MemoryTransport | None = None
        self._attempt: list[IDelayedCall] = []
        self._factory_started = False

    def connect(self) -> None:
        if self.state != "disconnected":
            raise RuntimeError("can't connect in this state")
        self.state = "connecting"
        if not self._factory_started:
            self._factory_started = True
            self.factory.doStart()
        self.reactor.attempts.append((self.reactor.seconds(), self.host, self.port))
        self._attempt.append(self.reactor.callLater(0, self._find_port))
        if self.timeout is not None:
            self._attempt.append(self.reactor.callLater(self.timeout, self._fail, TimeoutError()))
        self.factory.startedConnecting(self)

    def stopConnecting(self) -> None:
        if self.state != "connecting":
            raise NotConnectingError("we're not trying to connect")
        self._fail(UserError())

    def disconnect(self) -> None:
        if self.state == "connecting":
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def getDestination(self) -> IPv4Address:
        return IPv4Address("TCP", self.host, self.port)

    def _find_port(self) -> None:
        """Connect, or fail if no port listens. If the port is silent, do nothing."""
        if self.port in self.reactor.silent_ports:
            return
        if self.port not in self.reactor.ports:
            self._fail(ConnectionRefusedError())
            return
        near, far = self.reactor.link(self.host, self.port)
        self.state, self.transport = "connected", near
        self._end_attempt()
        near.lost = self._lost
        near.begin(self.factory.buildProtocol(near.getPeer()))
        self.reactor.callLater(0, self.accept, far)

    def _end_attempt(self) -> None:
        for call in self._attempt:
            if call.active():
                call.cancel()
        self._attempt.clear()

    def _fail(self, error: Exception) -> None:
        self._end_attempt()
        self.state = "disconnected"
        self.factory.clientConnectionFailed(self, Failure(error))
        self._stop_factory()

    def _lost(self, reason: Failure) -> None:
        self.state, self.transport = "disconnected", None
        self.factory.clientConnectionLost(self, reason)
        self._stop_factory()

    def _stop_factory(self) -> None:
        """Stop the factory, unless it has called `connect` again."""
        if self.state == "disconnected":
            self._factory_started = False
            self.factory.doStop()

    def accept(self, far: MemoryTransport) -> None:
        """Connect the listening side, after this side is connected."""
        listening = self.reactor.ports.get(self.port)
        far.begin(None if listening is None else listening.factory.buildProtocol(far.getPeer()))


@implementer(IReactorTCP, IHostNames)
class MemoryReactor(Clock):
    """A ``Clock`` with TCP over IPv4 in memory: connections between its own ports and connectors.

    Events happen only during `advance`; ``advance(0)`` runs all work that is due now, without letting time
    pass.

    :ivar ports: the listening ports by number.
    :ivar silent_ports: numbers of ports that neither accept nor refuse a connection.
    :ivar attempts: time, host and port of each connection attempt.
    :ivar names: the resolvable host names, each with one address or several.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[int, MemoryPort] = {}
        self.silent_ports: set[int] = set()
        self.attempts: list[tuple[float, str, int]] = []
        self.names: dict[str, str | Sequence[str]] = {"localhost": HOST}
        self._free_port = 49152

    def listenTCP(
        self, port: int, factory: Factory[Any], backlog: int = 50, interface: str = ""
    ) -> MemoryPort:
        number = port or self._next_port()
        if number in self.ports:
            raise CannotListenError(interface, number, OSError(EADDRINUSE, strerror(EADDRINUSE)))
        return MemoryPort(self, factory, IPv4Address("TCP", interface or "0.0.0.0", number))

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> MemoryConnector:
        connector = MemoryConnector(self, host, port, factory, timeout)
        connector.connect()
        return connector

    def addresses(self, host: str) -> Deferred[tuple[str, ...]]:
        """Return the addresses of a name in the next turn. For an address, return the address itself at
        once."""
        if is_address(host):
            return succeed((host,))
        addresses: Deferred[tuple[str, ...]] = Deferred()
        if host in self.names:
            found = self.names[host]
            self.callLater(0, addresses.callback, (found,) if isinstance(found, str) else tuple(found))
        else:
            self.callLater(0, addresses.errback, DNSLookupError(f"no such host: {host}"))
        return addresses

    def link(self, host: str, port: int) -> tuple[MemoryTransport, MemoryTransport]:
        """Return the two ends of a new connection: the connecting end, and the end at `port`."""
        here = IPv4Address("TCP", HOST, self._next_port())
        there = IPv4Address("TCP", host, port)
        near, far = MemoryTransport(self, here, there), MemoryTransport(self, there, here)
        near.other, far.other = far, near
        return near, far

    def _next_port(self) -> int:
        self._free_port += 1
        return self._free_port
