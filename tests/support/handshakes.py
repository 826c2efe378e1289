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
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
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


class KeyUpdates:
    """The records of a client with TLS 1.3 that updates its keys and requests new ones of the server.

    :ivar context: of the client, which must send nothing else after its handshake.
    """

    CIPHER = b"TLS_AES_128_GCM_SHA256"

    def __init__(self) -> None:
        self.context = client_context()
        self.context.set_tls13_ciphersuites(self.CIPHER)
        self.context.set_keylog_callback(self._keep)
        self._secret = b""

    def _keep(self, connection: Any, line: bytes) -> None:
        label, _, secret = line.split()
        if label == b"CLIENT_TRAFFIC_SECRET_0":
            self._secret = bytes.fromhex(secret.decode())

    def _expand(self, label: bytes, length: int) -> bytes:
        """HKDF-Expand-Label (RFC 8446, 7.1)."""
        label = b"tls13 " + label
        info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
        return HKDFExpand(SHA256(), length, info).derive(self._secret)

    def next(self) -> bytes:
        """Return the next record: a KeyUpdate with ``update_requested`` (RFC 8446, 4.6.3)."""
        message = b"\x18\0\0\1\1" + b"\x16"
        header = b"\x17\x03\x03" + (len(message) + 16).to_bytes(2, "big")
        sealed = AESGCM(self._expand(b"key", 16)).encrypt(self._expand(b"iv", 12), message, header)
        self._secret = self._expand(b"traffic upd", 32)
        return header + sealed
