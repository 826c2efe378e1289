"""`DuplexCommunicator`: a `Communicator` over one connection, which carries commands out and replies in.

A program uses it to connect to a ``[[port]]`` of the bridge, plain or with TLS. The client half of the pair
makes the connection. The bytes that arrive on it go to a server half that never listens.

If a port refuses a peer, it closes the connection at once. The reason may be that the peer's address is not
allowed, that the port has too many clients, that the name is already connected or, with TLS 1.3, that the
certificate is not accepted. So a connection counts as made only when data has arrived on it, or when it has
lasted for `SETTLE_TIME`.

It uses the network through the halves of `halves`. Next to read: `pair`, for everything else; `net.tls`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.errors import LineTooLongError, PeerRefusedError, UnfinishedLineError
from mtmount_twisted.interfaces import ILineReaderOwner
from mtmount_twisted.net.arguments import check_pair_arguments
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.halves import ClientHalf, check_destination
from mtmount_twisted.net.protocol import HTTP_ANSWER, TLS_ALERT, LineReader, LineWriter
from mtmount_twisted.net.tls import ConnectsWith, why_refused
from mtmount_twisted.net.waiting import Waiters
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH

from .communicator import Communicator

SETTLE_TIME = 0.25
"""How long a connection without incoming data must last to count as made, in seconds."""

HANDSHAKE_TIME = 3.0
"""How long a TLS handshake may take, in seconds."""

_ENCRYPTED = "it speaks TLS, but this side speaks plain text", "encrypted"
_MUTE = "it closed the connection without an answer: it may speak TLS only", "encrypted"
_CLOSED = "it closed the connection at once; the bridge's log says why, if this is one of its [[port]]s"
_IS_PAGE = "it speaks HTTP, as the port of the page does, and not the mount's protocol", "http"
_SILENT = f"no TLS handshake within {HANDSHAKE_TIME:g} s: it may not speak TLS", "plain"


class DuplexState(Enum):
    """State of a `DuplexProtocol`. A connection is proving until it is usable, then up, then gone."""

    PROVING = "proving"
    UP = "up"
    GONE = "gone"


PROVING, UP, GONE = DuplexState


@implementer(IHandshakeListener)
class DuplexProtocol(LineWriter):
    """Protocol that writes lines and, once the connection is usable, passes incoming data to a `LineReader`.

    :param owner: notified of the connection like the owner of a writer, and also of an unusable connection.
    :param reader: notified of the connection as if the connection were its own.
    """

    owner: DuplexClientHalf

    def __init__(self, owner: DuplexClientHalf, reader: LineReader, *rest: Any) -> None:
        super().__init__(owner, *rest)
        self._reader = reader
        self._state = PROVING
        self._has_heard = self._has_sent = False
        self.send = self._send_first
        self._timer: IDelayedCall | None = None
        self._refusal: tuple[str, str] | None = None

    def connectionMade(self) -> None:
        """Wait for the TLS handshake, if there is TLS; then wait until the connection has settled."""
        self.owner.proving = self
        if ISSLTransport.providedBy(self.transport):
            self._wait(HANDSHAKE_TIME, lambda: self._refuse(_SILENT))
        else:
            self._wait(SETTLE_TIME, self._come_up)

    def handshakeCompleted(self) -> None:
        """Wait until the connection has settled. The server's name is proved; the server now checks ours."""
        self._wait(SETTLE_TIME, self._come_up)

    def _wait(self, seconds: float, then: Callable[[], Any]) -> None:
        self._stop_waiting()
        self._timer = Deadline(self.clock, seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _come_up(self) -> None:
        self._stop_waiting()
        self._state = UP
        self.owner.proving = None
        super().connectionMade()
        self._reader.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def _refuse(self, refusal: tuple[str, str]) -> None:
        self._refusal = refusal
        self.abort()

    def abort(self) -> None:
        """Abort the connection if it still exists. Under TLS a second abort would raise an error."""
        if self._state is not GONE:
            self.transport.abortConnection()

    def _send_first(self, data: bytes) -> None:
        self._has_sent = True
        self.send = self.buffer.send
        self.send(data)

    def dataReceived(self, data: bytes) -> None:
        """Pass data to the reader. The first data shows that the connection is usable."""
        is_first, self._has_heard = not self._has_heard, True
        if self._refusal is not None:
            return
        if is_first and data.startswith(TLS_ALERT):
            self._refuse(_ENCRYPTED)
            return
        if is_first and data.startswith(HTTP_ANSWER):
            self._refuse(_IS_PAGE)
            return
        if self._state is PROVING:
            self._come_up()
        self._reader.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Report the loss, with the reason that TLS gives."""
        was_up = self._state is UP
        self._state = GONE
        self._stop_waiting()
        error = reason.value
        if self._refusal is None and ISSLTransport.providedBy(self.transport):
            self._refusal = None if error is None else why_refused(error)
        elif self._refusal is None and self._has_sent and not self._has_heard and self._abort is None:
            self._refusal = _MUTE  # OpenSSL sends no alert in answer to bytes that are not TLS
        if self._refusal is not None:
            reason = Failure(PeerRefusedError(*self._refusal))
        if was_up:
            self._reader.connectionLost(reason)
            super().connectionLost(reason)
        self.owner.ended(self, reason)


class DuplexClientHalf(ClientHalf):
    """A `ClientHalf` with connections that carry data both ways.

    :ivar incoming: the half that receives the incoming data.
    :ivar proving: the connection that is made but may be unusable, or None.
    :ivar refused: called with the reason why a connection is unusable.
    """

    incoming: IncomingHalf
    refused: Callable[[Failure], None]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.proving: DuplexProtocol | None = None
        self._proved: Waiters[None] = Waiters()

    def stop(self) -> Deferred[None]:
        """See `ClientHalf`. A connection attempt in progress is aborted."""
        gone = super().stop()
        if self.proving is None:
            return gone
        proved = self._proved.wait()
        self.proving.abort()
        return proved

    def ended(self, protocol: DuplexProtocol, reason: Failure) -> None:
        """Note that a connection is gone. The factory tries again."""
        if self.proving is not protocol:
            return
        self.proving = None
        self.why_not = reason.getErrorMessage()
        self._proved.fire(None)
        self.refused(reason)

    def _make_writer(self) -> DuplexProtocol:
        reader = LineReader(self.incoming, self.incoming.terminator, self.incoming.max_line)
        return DuplexProtocol(self, reader, self.reactor, self.log, self.name, self.buffer)


@implementer(ILineReaderOwner)
class IncomingHalf:
    """The reading half: it reads from the connection that the client half makes.

    It has the interface of a `ServerHalf`.

    :ivar reader: the `LineReader` while the connection is up, else None.
    """

    error = None

    def __init__(
        self,
        name: str,
        reactor: Any,
        log: logging.Logger,
        owner: Any,
        host: str,
        port: int,
        terminator: bytes,
        max_line: int = MAX_LINE_LENGTH,
    ) -> None:
        self.name, self.log, self.owner = name, log, owner
        self.host, self.port = host, port
        self.terminator, self.max_line = terminator, max_line
        self.listening = self  # this half never listens, so nothing has to be awaited
        self.opened: Waiters[int] = Waiters()
        self.reader: LineReader | None = None
        self._is_closed = False

    def reader_connected(self, reader: LineReader) -> None:
        """See `ILineReaderOwner`."""
        if not self._is_closed:
            self.reader = reader
            self.owner.server_changed(None)

    def lines_received(self, lines: list[bytes]) -> None:
        """See `ILineReaderOwner`."""
        self.owner.lines_received(lines)

    def reader_lost(self, reader: LineReader, reason: Failure) -> None:
        """See `ILineReaderOwner`."""
        if self.reader is reader:
            self.reader = None
            if reader.unfinished:
                start = bytes(reader.unfinished[:100])
                self.log.warning("%s: the far end disconnected within a line: %r", self.name, start)
            self.owner.server_changed(reason)

    async def close(self) -> None:
        """Stop reading. The other half closes the connection."""
        self._is_closed = True
        self.reader = None


class DuplexCommunicator(Communicator):
    """A commander's `Communicator` to a ``[[port]]`` of the bridge: one connection, both ways.

    It starts to connect at construction and reconnects after each loss, until `close`. If a new attempt can't
    succeed, the Deferred of `wait_connected` fails with `PeerRefusedError`, which gives the reason. The
    communicator keeps trying all the same, because a certificate may be renewed.

    :param name: name of the connection in the log.
    :param host: host of the port, as a name or an address; None for ``localhost``.
    :param port: 1 to 65535.
    :param log: the `logging.Logger` to use.
    :param tls: the result of `tls.client_options`; None for a connection without TLS.
    :param connect_callback: as for `ClientServerPair`.
    :param reactor: the reactor; the global one if None.
    :param dialect: the protocol; that of 2020 by default.
    :raises TypeError: if an argument has a wrong type. The error names the parameter.
    :raises ValueError: if ``host`` or ``port`` is out of range. The error names the parameter.
    """

    connect_retry_interval = 1.0
    """Time before the first retry in seconds. It is long because a port logs each peer that it refuses."""

    _client_half = DuplexClientHalf
    _server_half = IncomingHalf

    def __init__(
        self,
        name: str,
        host: str | None,
        port: int,
        log: logging.Logger,
        *,
        tls: Any = None,
        connect_callback: Callable[[Any], Any] | None = None,
        reactor: Any = None,
        dialect: Dialect = DIALECT,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        check_pair_arguments(
            name=name,
            log=log,
            connect_callback=connect_callback,
            reactor=reactor,
            hosts={"host": host},
            integers={"port": port},
        )
        host = "localhost" if host is None else host
        check_destination(host, port, prefix="")
        connects = reactor if tls is None else ConnectsWith(reactor, tls)
        super().__init__(
            name, host, port, None, 0, log, True, False, connect_callback, reactor=connects, dialect=dialect
        )
        self.refusal = ""
        client: Any = self._client
        client.incoming, client.refused = self._server, self._refused
        client.start(host, port)

    @property
    def why_not_connected(self) -> str:
        """See `ClientServerPair`."""
        return self.refusal or super().why_not_connected

    @property
    def why_no_reply(self) -> str:
        """See `ClientServerPair`."""
        return f"is {self._there} a [[port]] of the bridge? The port of a pair replies on another connection"

    def _refused(self, reason: Failure) -> None:
        """Log the reason why a connection is unusable, each reason once. A final reason ends the waits."""
        if self.closed:
            return
        error = reason.value
        is_final = isinstance(error, PeerRefusedError)
        why = str(error) if is_final else _CLOSED
        text = f"{self._there}: {why}"
        if text != self.refusal:
            self.log.warning("%s: can't use %s", self.name, text)
        self.refusal = text
        if isinstance(error, PeerRefusedError):
            cause = error.cause
            self._connected.fail(lambda: PeerRefusedError(text, cause))

    def client_changed(self, reason: Failure | None) -> None:
        """See `IPairOwner`."""
        self.refusal = ""
        super().client_changed(reason)

    def _log_peer(self, reason: Failure | None) -> None:
        """Log a change of the peer only if the other half does not: both halves share one connection."""
        if reason is not None and reason.check(LineTooLongError, UnfinishedLineError):
            self.log.warning("%s: %s", self.name, reason.getErrorMessage())
