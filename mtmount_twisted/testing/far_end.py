"""The other side of a pair in memory: it sends a test's messages, and returns those it received.

It runs on a `MemoryReactor` and touches nothing else. Next to read: `memory`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.wire.messages import BaseMessage

from .memory import HOST, MemoryReactor, MemoryTransport


class FarProtocol(Protocol):
    """The far end of one connection."""

    transport: MemoryTransport

    def __init__(self) -> None:
        self.received = b""
        self.is_connected = False

    def connectionMade(self) -> None:
        self.is_connected = True

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_connected = False


class FarEnd:
    """The far end of a `Communicator` in memory, controlled by a test.

    "client" and "server" are the names of the communicator's own connections: it writes on the client
    connection and reads from the server connection. Each method runs all work that is due without the passing
    of time.

    :param communicator: a communicator on a `MemoryReactor`, with ``client_port`` not set yet.
    :ivar reactor: that reactor; its ``advance`` lets time pass.
    :ivar port: port on which this end listens for the client.
    """

    def __init__(self, communicator: Communicator) -> None:
        self.communicator = communicator
        self.reactor: MemoryReactor = communicator.reactor
        self.client = FarProtocol()
        self.server = FarProtocol()
        self._listening = self.reactor.listenTCP(0, Factory.forProtocol(self._accept))
        self.port = self._listening.getHost().port

    def _accept(self) -> FarProtocol:
        self.client = FarProtocol()
        return self.client

    def settle(self) -> None:
        """Run all work that is due without the passing of time."""
        self.reactor.advance(0)

    def written(self) -> list[BaseMessage]:
        """Return the messages received on the client connection since the last call."""
        dialect = self.communicator.dialect
        decode = dialect.decode_command if self.communicator.read_replies else dialect.decode_reply
        return [decode(line) for line in self.written_lines()]

    def written_lines(self) -> list[bytes]:
        """Return the lines received since the last call, without their terminators."""
        self.settle()
        *lines, self.client.received = self.client.received.split(self.communicator.carries.terminator)
        return lines

    def feed(self, *messages: BaseMessage | bytes) -> None:
        """Send messages on the server connection. A bytes object is sent as it is, a whole line or not."""
        for message in messages:
            self.server.transport.write(message if isinstance(message, bytes) else message.encode())
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

    def stop_reading(self) -> None:
        """Stop reading from the client connection."""
        self.client.transport.pauseProducing()

    def start_reading(self) -> None:
        """Read from the client connection again."""
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
