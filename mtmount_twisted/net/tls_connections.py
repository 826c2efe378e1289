"""The server's side of TLS connections: handshakes and records of strangers are bounded and read in turns.

pyOpenSSL is an extra: only `tls` and `endpoints` import this module, where TLS is configured. Next to read:
`handshakes` and `records`, which give the turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from socket import AF_UNIX
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure

from mtmount_twisted.errors import HandshakeTooLongError, TLSAnswersError
from mtmount_twisted.hosts import client_network

from .admission import address_of
from .handshakes import MAX_HANDSHAKE, HandshakeQueue
from .protocol import receive_little
from .records import SLICE, whole_records
from .unix_sockets import LOOK

_READS_HELLO = b"SSLv3/TLS read client hello"
"""How OpenSSL names its state behind a part of a ClientHello that comes in several records."""

MOST_ANSWERED = 4096
"""The largest number of bytes that TLS itself sends a peer after its handshake: it answers 150 key updates
(RFC 8446, 4.6.3). A usual client needs one every 16 million records."""

_log = Logger()


class TLSState(Enum):
    """State of a `ServerConnection`: its handshake is under way, or over, or the connection is gone."""

    SHAKING = "shaking"
    SHAKEN = "shaken"
    GONE = "gone"


SHAKING, SHAKEN, GONE = TLSState


class ServerConnection(BufferingTLSTransport):
    """A connection to a server of ours.

    Received bytes are collected until a record is whole. Until then they cost no turn, and more is received.

    During the handshake, whole records wait for a turn, and until then no more is received. No step is
    computed for a peer that is gone, unless it closed the connection in good order. A peer that sends
    `MAX_HANDSHAKE` bytes without an end of the handshake is cut off: OpenSSL would take 100 KB of
    certificates, and 30 ms to look through them.

    After the handshake each slice waits for a turn too, unless the peer has command; see `records`. Once this
    side has closed, one more slice is decrypted, because the peer may close in it, too. The rest is dropped.

    :ivar due: the bytes that OpenSSL has not read; they begin with a record.
    """

    factory: ServerFactory
    transport: Any
    state: TLSState = SHAKING
    is_new: bool = True
    has_rights: bool = False
    read_at: float = -math.inf
    network: str
    _is_paused = False  # by the protocol above
    _waits = False  # True while nothing is received, until what was received is decrypted
    _is_writing = False  # True while bytes of the protocol above are encrypted
    _answered = 0  # the bytes that OpenSSL has sent by itself since the handshake
    _last_bytes = SLICE  # the bytes that are still decrypted after this side has closed

    def __init__(self, factory: ServerFactory, protocol: Any) -> None:
        super().__init__(factory, protocol)
        self.shaken_bytes: int = 0
        self.steps: int = 0
        self.due: bytes = b""
        self._reads_freely: Callable[[], bool] = lambda: False

    def makeConnection(self, transport: ITransport) -> None:
        self.network = client_network(address_of(transport.getPeer()))
        receive_little(transport)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]
        self._begun = self.getHandle().get_state_string()  # type: ignore[no-untyped-call]

    @property
    def is_answered(self) -> bool:
        """See `handshakes.Handshake`. Behind four bytes of a ClientHello, OpenSSL leaves its first state."""
        return self.getHandle().get_state_string() not in (self._begun, _READS_HELLO)  # type: ignore[no-untyped-call]

    def give_precedence(self, reads_freely: Callable[[], bool]) -> None:
        """From now on, let the peer go first after a rest: it has rights.

        :param reads_freely: return True while what the peer sends is decrypted without turns.
        """
        self.has_rights, self._reads_freely = True, reads_freely

    def pauseProducing(self) -> None:
        """Receive and decrypt no more until `resumeProducing`."""
        self._is_paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Receive and decrypt again."""
        self._is_paused = False
        if self.state is SHAKEN:
            self._go_on()
        if not self._waits and not self._is_paused:
            self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        """Decrypt, or go on with the handshake; both in turn."""
        self.due += data
        queue = self.factory.handshakes
        if self.state is SHAKEN:
            self._go_on()
        elif not self._next_step():
            pass
        elif queue is None:
            self.take_step()
        else:
            queue.add(self, self.network)
            if self.state is SHAKING and self._next_step():  # receive no more until then, not even the end
                self.transport.pauseProducing()

    def take_step(self) -> None:
        """Go on with the handshake; see `handshakes.Handshake`."""
        self.steps += 1
        if self._is_gone():
            self.due = b""
            self.abortConnection()  # type: ignore[no-untyped-call]
            return
        if self.factory.handshakes is not None:
            self.transport.resumeProducing()  # before the protocol above may pause
        while self.state is SHAKING and not self.transport.disconnecting and (size := self._next_step()):
            self._shake(size)
        if self.due and self.state is SHAKEN:
            self._go_on()

    def _next_step(self) -> int:
        """Return how many of the bytes OpenSSL reads in the next step; 0 if this side waits for more."""
        left = MAX_HANDSHAKE - self.shaken_bytes
        whole = whole_records(self.due)
        return min(whole, left) if whole or len(self.due) < left else left

    def _is_gone(self) -> bool:
        """Return True if the peer has reset the connection, or ended it behind its first bytes.

        A paused connection is not watched by the reactor, so the kernel is asked.
        """
        sock = getattr(self.transport, "socket", None)
        if sock is None or sock.family == AF_UNIX:
            return False
        try:
            return not sock.recv(1, LOOK) and not self.shaken_bytes
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _shake(self, size: int) -> None:
        data, self.due = self.due[:size], self.due[size:]
        self.shaken_bytes += len(data)
        self._decrypt(data)
        if self.state is GONE or self.transport.disconnecting:
            return
        # A Finished is the last message of a peer in a handshake (RFC 8446, 4.4.4; RFC 5246, 7.4.9).
        if self.getHandle().get_peer_finished() is not None:  # type: ignore[no-untyped-call]
            self.state = SHAKEN
        elif self.shaken_bytes >= MAX_HANDSHAKE:
            self.due = b""
            self.failVerification(Failure(HandshakeTooLongError(MAX_HANDSHAKE)))  # type: ignore[no-untyped-call]

    def _go_on(self) -> None:
        """Decrypt the received bytes: at once, or in turn. Receive no more until then, not even the end."""
        queue = self.factory.handshakes
        is_free = not (self.disconnecting or self._is_paused) and self._reads_freely()
        if self._is_due and (queue is None or is_free):
            size = whole_records(self.due, len(self.due))
            due, self.due = self.due[:size], self.due[size:]
            super().dataReceived(due)  # type: ignore[no-untyped-call]
        elif self._is_due and queue is not None and not self._is_paused:
            queue.records.add(self, self.network)
        if self._is_due and not self._waits:
            self._waits = True
            self.transport.pauseProducing()
        elif self._waits and not self._is_due:
            self._waits = False
            if not self._is_paused:
                self.transport.resumeProducing()

    @property
    def _is_due(self) -> bool:
        """True if there is something to decrypt, or, once this side has closed, to drop."""
        return bool(self.due if self.disconnecting else whole_records(self.due, 1))

    def read_records(self, most: int) -> int:
        """Decrypt a slice; see `records.Records`."""
        if self._is_paused:
            return 0
        self.is_new = False
        taken = min(len(self.due), most)
        if self.disconnecting:
            data, self.due = self.due[: min(most, self._last_bytes)], b""
            self._last_bytes -= len(data)
        else:
            size = whole_records(self.due, most)
            data, self.due = self.due[:size], self.due[size:]
        if data:
            self._decrypt(data)
        if self.state is SHAKEN:
            self._go_on()
        return taken

    def _decrypt(self, data: bytes) -> None:
        """Decrypt in a turn. An error here must not end the connection that the reactor is just reading."""
        try:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
        except Exception:
            _log.failure("failed to read a connection's bytes")
            self.due = b""
            self.abortConnection()  # type: ignore[no-untyped-call]

    def _write(self, data: bytes) -> None:
        self._is_writing = True
        try:
            super()._write(data)  # type: ignore[no-untyped-call]
        finally:
            self._is_writing = False

    # No public method of Twisted's sees the bytes that OpenSSL sends by itself. A producer bounds only the
    # bytes of a protocol, so a peer that reads nothing would fill the memory with answers to its requests.
    def _flushSendBIO(self) -> None:
        try:
            data = self.getHandle().bio_read(2**15)  # type: ignore[no-untyped-call]
        except SSL.WantReadError:
            return
        self.transport.write(data)
        if self.state is SHAKEN and not self._is_writing:
            self._answered += len(data)
            if self._answered > MOST_ANSWERED and not self.disconnecting:
                self.due = b""
                self.failVerification(Failure(TLSAnswersError(MOST_ANSWERED)))  # type: ignore[no-untyped-call]

    # No public method of Twisted's sees this failure. If the hook goes, the memory waits for a collection.
    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]
        if reason is not None:  # its traceback and this connection hold each other: a cycle of 8 KB
            reason.cleanFailure()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.factory.handshakes is not None:
            self.factory.handshakes.discard(self, self.network)
            self.factory.handshakes.records.discard(self, self.network)
        self.state = GONE
        super().connectionLost(reason)


class ServerFactory(TLSMemoryBIOFactory):
    """Puts TLS before a factory of protocols.

    :param creator: makes the server's side of connections, an ``IOpenSSLServerConnectionCreator``.
    :param handshakes: when each step of a handshake is computed; at once if None.
    :param clock: the global reactor if None.
    """

    protocol: type[ServerConnection] = ServerConnection

    def __init__(
        self, creator: Any, factory: Any, handshakes: HandshakeQueue | None, clock: IReactorTime | None
    ) -> None:
        super().__init__(creator, False, factory, clock)
        self.handshakes = handshakes
