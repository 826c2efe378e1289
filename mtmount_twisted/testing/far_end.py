"""The other side of a connection in memory: it sends a test's messages, and returns the messages that it
received.

`FarEnd` has the two connections of a pair, and `DuplexFarEnd` the one connection of a tma2022 mount. Both run
on a `MemoryReactor` and touch nothing else. Next to read: `memory`.
"""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.dialects.dialect import Dialect, dialect_named
from mtmount_twisted.net.duplex import SETTLE_TIME

from .memory import HOST, MemoryReactor, MemoryTransport


class FarProtocol(Protocol):
    """The far end of one connection."""

    transport: MemoryTransport

    def __init__(self) -> None:
        self.received: bytes = b""
        self.is_connected: bool = False

    def connectionMade(self) -> None:
        self.is_connected = True

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_connected = False


class _Encodes(typing.Protocol):
    """A message, of either dialect."""

    def encode(self) -> bytes:
        """Return the message as bytes for the wire, terminator included."""


class _Accepting(Factory[FarProtocol]):
    """Factory of the connections to a far end."""

    noisy = False

    def __init__(self, accept: Callable[[], FarProtocol | None]) -> None:
        self._accept = accept

    def buildProtocol(self, addr: Any) -> FarProtocol | None:
        return self._accept()


class _ListeningEnd:
    """The common part of both far ends: the connection on which the program writes.

    :ivar client: this connection; "client" is the name of the program's own end.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        self.reactor = reactor
        self.client: FarProtocol = FarProtocol()
        self._listening = reactor.listenTCP(0, _Accepting(self._accept))
        self.port: int = self._listening.getHost().port

    @property
    def _terminator(self) -> bytes:
        raise NotImplementedError

    @property
    def _decode(self) -> Callable[[bytes], Any]:
        raise NotImplementedError

    def _accept(self) -> FarProtocol | None:
        self.client = FarProtocol()
        return self.client

    def settle(self) -> None:
        """Run all work that is due now, without letting time pass."""
        self.reactor.advance(0)

    def written(self) -> list[Any]:
        """Return the messages that the program has written since the last call."""
        return [self._decode(line) for line in self.written_lines()]

    def written_lines(self) -> list[bytes]:
        """Return the lines received since the last call, without their terminators."""
        self.settle()
        *lines, self.client.received = self.client.received.split(self._terminator)
        return lines

    def stop_reading(self) -> None:
        """Stop reading from the program."""
        self.client.transport.pauseProducing()

    def start_reading(self) -> None:
        """Read from the program again."""
        self.client.transport.resumeProducing()
        self.settle()

    def stop_listening(self) -> None:
        """Refuse the client from now on; an existing connection stays up."""
        self._listening.stopListening()
        self.settle()

    def start_listening(self) -> None:
        """Accept the client again. The client connects when its next attempt is due."""
        self._listening.startListening()
        self.settle()


def _write(connection: FarProtocol, messages: tuple[_Encodes | bytes, ...]) -> None:
    for message in messages:
        connection.transport.write(message if isinstance(message, bytes) else message.encode())


class FarEnd(_ListeningEnd):
    """The far end of a `Communicator` in memory, controlled by a test.

    "client" and "server" are the names of the communicator's own connections: it writes on the client
    connection and reads from the server connection. Each method runs all work that is due without the passing
    of time.

    :param communicator: a communicator on a `MemoryReactor`, with ``client_port`` not set yet.
    :ivar reactor: this reactor; its ``advance`` lets time pass.
    :ivar port: port on which this end listens for the client.
    """

    def __init__(self, communicator: Communicator) -> None:
        self.communicator = communicator
        self.server: FarProtocol = FarProtocol()
        super().__init__(communicator.reactor)

    @property
    def _terminator(self) -> bytes:
        return self.communicator.carries.terminator

    @property
    def _decode(self) -> Callable[[bytes], Any]:
        dialect = self.communicator.dialect
        return dialect.decode_command if self.communicator.read_replies else dialect.decode_reply

    def feed(self, *messages: _Encodes | bytes) -> None:
        """Send messages on the server connection. A bytes object is sent as it is, a whole line or not."""
        _write(self.server, messages)
        self.settle()

    def connect_server(self) -> bool:
        """Connect to the communicator's server. Return True if the server accepted this end."""
        peer = FarProtocol()
        factory: Any = ClientFactory.forProtocol(lambda: peer)
        self.settle()
        self.reactor.connectTCP(HOST, self.communicator.server_port, factory)
        self.settle()
        if peer.is_connected:
            self.server = peer
        return peer.is_connected

    def drop_server(self) -> None:
        """Close the connection from which the communicator reads."""
        self.server.transport.loseConnection()
        self.settle()

    def drop_client(self) -> None:
        """Close the connection on which the communicator writes. The communicator connects again."""
        self.client.transport.loseConnection()
        self.settle()


class DuplexFarEnd(_ListeningEnd):
    """A tma2022 mount in memory, controlled by a test: one connection for commands, replies and events.

    It listens at once and accepts one client. It closes a second connection at once, without a byte. Each
    method runs all work that is due without the passing of time; only `accept_client` lets time pass.

    :param reactor: the reactor of the program under test; a new one if None.
    :param dialect: the protocol; tma2022 if None.
    :ivar reactor: the reactor; its ``advance`` lets time pass.
    :ivar port: port on which it listens, on every address.
    """

    def __init__(self, reactor: MemoryReactor | None = None, dialect: Dialect | None = None) -> None:
        self.dialect: Dialect = dialect_named("tma2022") if dialect is None else dialect
        super().__init__(MemoryReactor() if reactor is None else reactor)

    @property
    def _terminator(self) -> bytes:
        return self.dialect.terminator

    @property
    def _decode(self) -> Callable[[bytes], Any]:
        return self.dialect.decode_command

    def _accept(self) -> FarProtocol | None:
        # The mount "accepts one client a port" (protocol-tma2022.rst).
        return None if self.client.is_connected else super()._accept()

    def accept_client(self) -> bool:
        """Let a client connect if its attempt is due, and `SETTLE_TIME` pass; return True if it is connected.

        A `DuplexCommunicator` counts as connected only after that time, because a mount that refuses a client
        closes its connection at once.
        """
        self.settle()
        self.reactor.advance(SETTLE_TIME)
        return self.client.is_connected

    def feed(self, *messages: _Encodes | bytes) -> None:
        """Send replies and events. A bytes object is sent as it is, a whole line or not."""
        _write(self.client, messages)
        self.settle()

    def drop(self) -> None:
        """Close the connection. The client connects again."""
        self.client.transport.loseConnection()
        self.settle()


def connected_pair(
    read_replies: bool = True,
    connect_callback: Callable[[Communicator], Any] | None = None,
    *,
    connect: bool = True,
    log: logging.Logger | None = None,
    reactor: MemoryReactor | None = None,
    **options: Any,
) -> tuple[Communicator, FarEnd]:
    """Return a real `Communicator` on a network in memory, and the far end that it is connected to.

    :param read_replies: as for `Communicator`: True for a commander's side.
    :param connect_callback: as for `Communicator`.
    :param connect: False to leave both connections to the test.
    :param log: the logger; ``logging.getLogger("test")`` if None.
    :param reactor: the reactor; a new one if None.
    :param options: the other keyword arguments of `Communicator`, such as ``max_unread``.
    """
    options.update(connect=False, connect_callback=connect_callback, reactor=reactor or MemoryReactor())
    log = log or logging.getLogger("test")
    communicator = Communicator("test", HOST, 0, HOST, 0, log, read_replies, **options)
    far_end = FarEnd(communicator)
    communicator.client_port = far_end.port
    if connect:
        communicator.connect()
        far_end.connect_server()
    return communicator, far_end


def connected_duplex(
    connect_callback: Callable[[Communicator], Any] | None = None,
    *,
    dialect: Dialect | None = None,
    log: logging.Logger | None = None,
    reactor: MemoryReactor | None = None,
    **options: Any,
) -> tuple[DuplexCommunicator, DuplexFarEnd]:
    """Return a real `DuplexCommunicator` on a network in memory, and the mount that it is connected to.

    :param connect_callback: as for `DuplexCommunicator`.
    :param dialect: the protocol; tma2022 if None.
    :param log: the logger; ``logging.getLogger("test")`` if None.
    :param reactor: the reactor; a new one if None.
    :param options: the other keyword arguments of `DuplexCommunicator`, such as ``max_unread``.
    """
    far_end = DuplexFarEnd(reactor, dialect)
    options.update(connect_callback=connect_callback, reactor=far_end.reactor, dialect=far_end.dialect)
    log = log or logging.getLogger("test")
    communicator = DuplexCommunicator("test", HOST, far_end.port, log, **options)
    far_end.accept_client()
    return communicator, far_end
