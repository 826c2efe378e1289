"""Clients that shake hands with a TLS server of ours, in memory, and as slowly as a test wants."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from mtmount_twisted.net.tls import load_credentials

try:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
    from OpenSSL import SSL
except ImportError:  # the extra is not installed
    SSL = None  # type: ignore[assignment]

TURN = 0.001


class TurnClock(Clock):
    """A clock on which a turn of the reactor takes `TURN`: a call in 0 s runs in the next turn."""

    def callLater(self, when: float, what: Any, *args: Any, **more: Any) -> Any:
        """As `Clock` does."""
        return super().callLater(max(when, TURN), what, *args, **more)


class Wire(StringTransportWithDisconnection):
    """The server's end of a TCP connection."""

    def abortConnection(self) -> None:
        """Cut."""
        self.loseConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is no TCP."""


def client_context() -> Any:
    """Return a client's context. It begins with the server's curve, which saves a flight."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_tmp_ecdh(SECP256R1())
    return context


class Peer:
    """A client in memory, and the connection that a server made for it.

    :param factory: of the server, with TLS.
    :param clock: of the server.
    :param context: of the client.
    :ivar wire: below TLS.
    """

    def __init__(self, factory: Any, clock: Clock, host: str, context: Any = None) -> None:
        self.wire = Wire(peerAddress=IPv4Address("TCP", host, 4000))
        self.protocol: Any = factory.buildProtocol(self.wire.getPeer())
        self.wire.protocol = self.protocol
        self.protocol.makeConnection(self.wire)
        self.tls = SSL.Connection(context or client_context())
        self.tls.set_connect_state()
        self._clock = clock

    @property
    def is_answered(self) -> bool:
        """Whether the server has sent a handshake's record (RFC 8446, 5.1), and it was not read yet."""
        return self.wire.value().startswith(b"\x16")

    def flight(self) -> bytes:
        """Return the client's next bytes, after it has read the server's."""
        if self.wire.value():
            self.tls.bio_write(self.wire.value())
            self.wire.clear()
        with contextlib.suppress(SSL.WantReadError):
            self.tls.do_handshake()
        return bytes(self.tls.bio_read(2**20))

    def send(self, data: bytes) -> None:
        """Bytes come in from the network."""
        self.protocol.dataReceived(data)

    def shake_hands(self) -> Peer:
        """Shake hands, all of it."""
        for _ in range(2):
            self.send(self.flight())
            self._clock.advance(TURN)
        return self

    def say(self, data: bytes) -> bytes:
        """Return the encrypted bytes of a client after its handshake."""
        self.tls.send(data)
        return bytes(self.tls.bio_read(2**20))


def with_certificates(path: Path, count: int) -> Any:
    """Return the context of a client that shows its certificate so many times over.

    :param path: of the certificate and its key.
    """
    context = client_context()
    context.use_certificate_file(str(path))
    context.use_privatekey_file(str(path))
    own = load_credentials(str(path), str(path)).chain[0]
    for _ in range(count - 1):
        context.add_extra_chain_cert(own)
    return context
