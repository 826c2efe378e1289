"""The server's side of TLS connections, whose handshakes are bounded and computed in turns.

pyOpenSSL is an extra: only `tls` and `endpoints` import this module, where TLS is configured. Next to read:
`handshakes`, which gives the turns.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure

from mtmount_twisted.errors import HandshakeTooLongError
from mtmount_twisted.hosts import client_network

from .admission import address_of
from .handshakes import MAX_HANDSHAKE, HandshakeQueue
from .protocol import receive_little

_log = Logger()


class TLSState(Enum):
    """State of a `ServerConnection`: its handshake is under way, or over, or the connection is gone."""

    SHAKING = "shaking"
    SHAKEN = "shaken"
    GONE = "gone"


SHAKING, SHAKEN, GONE = TLSState


class ServerConnection(BufferingTLSTransport):
    """A connection to a server of ours.

    Until its handshake is over, what was received waits for a turn, and little more is received meanwhile. No
    step is computed for a peer that is gone, unless it said its last in good order.
    A peer that sends `MAX_HANDSHAKE` bytes without an end of the handshake is cut off: OpenSSL would take
    100 KB of certificates, and 30 ms to look through them.
    """

    factory: ServerFactory
    transport: Any
    state = SHAKING

    def __init__(self, factory: ServerFactory, protocol: Any) -> None:
        super().__init__(factory, protocol)
        self.shaken_bytes = 0
        self.due = b""

    def makeConnection(self, transport: ITransport) -> None:
        self.network = client_network(address_of(transport.getPeer()))
        receive_little(transport)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]
        self._begun = self.getHandle().get_state_string()  # type: ignore[no-untyped-call]

    @property
    def is_answered(self) -> bool:
        """See `handshakes.Handshake`. OpenSSL leaves its first state when it has read a whole ClientHello."""
        return self.getHandle().get_state_string() != self._begun  # type: ignore[no-untyped-call,no-any-return]

    def dataReceived(self, data: bytes) -> None:
        """Decrypt, or go on with the handshake in turn."""
        if self.state is SHAKEN:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
            return
        self.due += data
        if self.factory.handshakes is None:
            self.take_step()
        else:
            if len(self.due) > MAX_HANDSHAKE:
                self.transport.pauseProducing()
            self.factory.handshakes.add(self, self.network)

    def take_step(self) -> None:
        """Go on with the handshake; see `handshakes.Handshake`."""
        due, self.due = self.due, b""
        room = MAX_HANDSHAKE - self.shaken_bytes
        self.shaken_bytes += min(room, len(due))
        if self.factory.handshakes is not None:
            self.transport.resumeProducing()  # before the protocol above may pause
        try:
            super().dataReceived(due[:room])  # type: ignore[no-untyped-call]
            if self.state is GONE or self.transport.disconnecting:
                return
            # Its Finished is the last that a peer sends of a handshake (RFC 8446, 4.4.4; RFC 5246, 7.4.9).
            if self.getHandle().get_peer_finished() is not None:  # type: ignore[no-untyped-call]
                self.state = SHAKEN
                if len(due) > room:
                    super().dataReceived(due[room:])  # type: ignore[no-untyped-call]
            elif self.shaken_bytes >= MAX_HANDSHAKE:
                self.failVerification(Failure(HandshakeTooLongError(MAX_HANDSHAKE)))  # type: ignore[no-untyped-call]
        except Exception:  # which would end another connection, whose turn it was before
            _log.failure("failed to read a connection's first bytes")
            self.abortConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.factory.handshakes is not None:
            self.factory.handshakes.discard(self, self.network)
            if self.due and self.shaken_bytes and reason.check(ConnectionDone):
                self.take_step()  # it may be the end of the handshake, with a command behind it
        self.state = GONE
        super().connectionLost(reason)


class ServerFactory(TLSMemoryBIOFactory):
    """Puts TLS before a factory of protocols.

    :param creator: makes the server's side of connections, an ``IOpenSSLServerConnectionCreator``.
    :param handshakes: when each step of a handshake is computed; at once if None.
    :param clock: the global reactor if None.
    """

    protocol = ServerConnection

    def __init__(
        self, creator: Any, factory: Any, handshakes: HandshakeQueue | None, clock: IReactorTime | None
    ) -> None:
        super().__init__(creator, False, factory, clock)
        self.handshakes = handshakes
