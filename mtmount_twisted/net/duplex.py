"""`DuplexConnection`: a `pair.ConnectionPair` over one connection, which carries messages both ways.

As a client, the client half makes the connection, and the bytes that arrive on it go to a server half that
never listens. As a server, the server half accepts one client, and a client half that never connects writes
on the same connection.

If a server refuses a client, it closes the connection at once. The reason may be that it has a client
already. At a ``[[port]]`` of the bridge there are further reasons: the peer's address is not allowed, the
port has too many clients, the name is already connected or, with TLS 1.3, the certificate is not accepted. So
a client's connection counts as made only when data has arrived on it, or when it has lasted for
`SETTLE_TIME`.

It uses the network through the halves of `halves`. Next to read: `pair`, for everything else; `net.tls`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IHandshakeListener, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.errors import LineTooLongError, PairClosedError, PeerRefusedError, UnfinishedLineError
from mtmount_twisted.hosts import host_and_port
from mtmount_twisted.interfaces import ILineReaderOwner, ILineWriterOwner, IPairOwner

from .arguments import check_bool, check_pair_arguments
from .deadlines import Deadline
from .halves import ClientHalf, ClientOptions, ServerHalf, ServerOptions, check_destination, check_host
from .pair import ConnectionPair
from .protocol import HTTP_ANSWER, TLS_ALERT, LineReader, LineWriter
from .rate_limited_log import A_FEW, RateLimitedLog
from .send_buffer import SendBuffer
from .tls import ConnectsWith, why_refused
from .waiting import Waiters

M = TypeVar("M")

SETTLE_TIME = 0.25
"""The time that a connection without incoming data must last to count as made, in seconds."""

HANDSHAKE_TIME = 3.0
"""The longest time of a TLS handshake, in seconds."""

_ENCRYPTED = "it speaks TLS, but this side speaks plain text", "encrypted"
_MUTE = "it closed the connection without an answer: it may speak TLS only", "encrypted"
_CLOSED = (
    "it closed the connection at once: it may have a client already; the bridge's log says why, if this is "
    "one of its [[port]]s"
)
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
        """Wait until the connection has settled: the server's name is verified, and the server now checks
        this side's."""
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
        self.send: Callable[[bytes], None] = self.buffer.send
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
    :ivar make_reader: returns the reader of a new connection, for the incoming half.
    """

    incoming: IncomingHalf
    refused: Callable[[Failure], None]
    make_reader: Callable[[IncomingHalf], LineReader]

    def __init__(self, options: ClientOptions) -> None:
        super().__init__(options)
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
        self.why_not: str = reason.getErrorMessage()
        self._proved.fire(None)
        self.refused(reason)

    def _make_writer(self) -> DuplexProtocol:
        reader = self.make_reader(self.incoming)
        return DuplexProtocol(self, reader, self.reactor, self.log, self.name, self.buffer)


@implementer(ILineReaderOwner)
class IncomingHalf:
    """The reading half: it reads from the connection that the client half makes.

    It has the interface of a `ServerHalf`.

    :ivar reader: the `LineReader` while the connection is up, else None.
    """

    error = None

    def __init__(self, options: ServerOptions) -> None:
        self.name: str = options.name
        self.log: logging.Logger = options.log
        self.owner: IPairOwner = options.owner
        self.host: str = options.host
        self.port: int = options.port
        self.terminator: bytes = options.terminator
        self.max_line: int = options.max_line
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


class DuplexReader(LineReader):
    """A `LineReader` of an accepted connection, on which a `LineWriter` writes.

    :param owner: the half that has accepted the connection.
    :param writer: notified of the connection as if the connection were its own.
    """

    owner: AcceptingHalf

    def __init__(self, owner: AcceptingHalf, writer: LineWriter, terminator: bytes, max_length: int) -> None:
        super().__init__(owner, terminator, max_length)
        self._writer: LineWriter | None = writer

    def connectionMade(self) -> None:
        """Make the writer usable before the reader: the owner can then answer the client's first line."""
        if self.owner.is_closed:
            self._writer = None
        else:
            self._writer.makeConnection(self.transport)  # type: ignore[union-attr]
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        if self._writer is not None:
            self._writer.connectionLost(reason)


class AcceptingHalf(ServerHalf):
    """A `ServerHalf` that accepts one client, with connections that carry data both ways.

    :ivar outgoing: the half that writes on the accepted connection.
    :ivar is_closed: True after `close` was called.
    """

    outgoing: OutgoingHalf
    is_closed: bool = False

    async def close(self) -> None:
        """See `ServerHalf`."""
        self.is_closed = True
        await super().close()

    def _make_reader(self, peer: IAddress | None) -> LineReader | None:
        if super()._make_reader(peer) is None:
            return None
        return DuplexReader(self, self.outgoing.make_writer(), self.terminator, self.max_line)


@implementer(ILineWriterOwner)
class OutgoingHalf:
    """The writing half: it writes on the connection that the server half accepts.

    It has the interface of a `ClientHalf`, and never connects.

    :ivar writer: the `LineWriter` while a client is connected, else None.
    """

    why_not: str = "no client"
    wrong_port = ""

    def __init__(self, options: ClientOptions) -> None:
        self.name: str = options.name
        self.reactor: Any = options.reactor
        self.owner: IPairOwner = options.owner
        self.buffer: SendBuffer = options.buffer
        self.limited_log: RateLimitedLog = RateLimitedLog(self.reactor, options.log, A_FEW)
        self.writer: LineWriter | None = None
        self._leaving: LineWriter | None = None
        self._gone: Waiters[None] = Waiters()

    def make_writer(self) -> LineWriter:
        """Return the writer of a new connection."""
        return LineWriter(self, self.reactor, self.limited_log, self.name, self.buffer)

    def start(self, host: str, port: int) -> None:
        """See `ClientHalf`. There is nothing to do: the far end connects."""

    def hurry(self) -> None:
        """See `ClientHalf`. There is nothing to do: the far end connects."""

    def stop(self) -> Deferred[None]:
        """Close the connection after all data is written. The Deferred fires when it is gone."""
        if self.writer is not None:
            self._leaving, self.writer = self.writer, None
            self._leaving.close()
        return succeed(None) if self._leaving is None else self._gone.wait()

    def writer_connected(self, writer: LineWriter) -> None:
        """See `ILineWriterOwner`."""
        self.writer = writer
        self.owner.client_changed(None)

    def writer_lost(self, writer: LineWriter, reason: Failure) -> None:
        """See `ILineWriterOwner`."""
        if self.writer is writer:
            self.writer = None
            self.owner.client_changed(reason)
        elif self._leaving is writer:
            self._leaving = None
            self._gone.fire(None)

    def writer_heard(self, writer: LineWriter, data: bytes) -> bool:
        """See `ILineWriterOwner`. The reader receives all data."""
        return True


class DuplexConnection(ConnectionPair[M]):
    """One connection that carries messages both ways: as a client, or as the server of one client.

    As a client it starts to connect at construction and reconnects after each loss, until `close`. If a new
    attempt can't succeed, the Deferred of `wait_connected` fails with `PeerRefusedError`, which gives the
    reason. The client keeps trying all the same, because a certificate may be renewed.

    As a server it starts to listen at construction. A second client is refused, and the first is not
    disturbed. After the first is gone, the next one may connect.

    A peer that is gone without closing the connection is found within 5 s.

    :param name: name of the connection in the log.
    :param host: host to connect to, as a name or an address; None for ``localhost``. As a server: host to
        listen on; empty or None for all addresses.
    :param port: port to connect to, 1 to 65535. As a server: port to listen on; 0 for one of the system's
        choice, which `server_port` has.
    :param log: the `logging.Logger` to use.
    :param listen: True for a server.
    :param tls: the result of `tls.client_options`; None for a connection without TLS. A server has none.
    :param connect: False for a client that connects at the first call of `ConnectionPair.connect`.
    :param connect_callback: as for `ConnectionPair`; both directions change at once, with the one connection.
    :param reactor: the reactor; the global one if None.
    :param options: the other keyword arguments of the base class.
    :raises TypeError: if an argument has a wrong type. The error names the parameter.
    :raises ValueError: if ``host`` or ``port`` is out of range, or if a server is given ``tls``. The error
        names the parameter.
    """

    connect_retry_interval: float = 1.0
    """Time before the first retry in seconds. It is long because a port logs each peer that it refuses."""

    refusal: str = ""

    def __init__(
        self,
        name: str,
        host: str | None,
        port: int,
        log: logging.Logger,
        *,
        listen: bool = False,
        tls: Any = None,
        connect: bool = True,
        connect_callback: Callable[[Any], Any] | None = None,
        reactor: Any = None,
        **options: Any,
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
        check_bool("listen", listen)
        check_bool("connect", connect)
        self._listens = bool(listen)
        options["connect_callback"] = connect_callback
        here: tuple[str | None, int]
        if listen:
            if tls is not None:
                raise ValueError(f"tls: expected None for a server, which has no TLS, got {repr(tls)[:100]}")
            if not 0 <= port <= 65535:
                raise ValueError(f"port: expected 0 to 65535 to listen on, got {port!r}")
            self._client_half, self._server_half = OutgoingHalf, AcceptingHalf
            if host:
                check_host("host", host)
            there, here = ("localhost", 0), (host, port)
        else:
            host = "localhost" if host is None else host
            check_destination(host, port, prefix="")
            self._client_half, self._server_half = DuplexClientHalf, IncomingHalf
            there, here = (host, port), (None, 0)
            reactor = reactor if tls is None else ConnectsWith(reactor, tls)
        super().__init__(name, *there, *here, log, connect=False, reactor=reactor, **options)
        client: Any = self._client
        server: Any = self._server
        if listen:
            server.outgoing = client
        else:
            client.incoming, client.refused = server, self._refused
            client.make_reader = self._make_reader
            if connect:
                client.start(host, port)

    @property
    def why_not_connected(self) -> str:
        """See `ConnectionPair`."""
        if self._listens:
            return f"no client has connected to {host_and_port(self.server_host, self.server_port)}"
        return self.refusal or super().why_not_connected

    @property
    def why_no_reply(self) -> str:
        """See `ConnectionPair`."""
        return f"is {self._there} a [[port]] of the bridge? The port of a pair replies on another connection"

    def _make_reader(self, half: IncomingHalf) -> LineReader:
        """Return the reader of a new connection of a client."""
        return LineReader(half, half.terminator, half.max_line)

    async def _connect(self, port: int) -> None:
        if not self._listens:
            await super()._connect(port)
        elif self.closed:
            raise PairClosedError(f"{self.name}: closed")
        else:
            await self.wait_connected()

    def drop_connections(self) -> None:
        """Abort the connection if it is up; unsent data is lost. See `ConnectionPair`."""
        if self._client.writer is not None:
            self._client.writer.transport.abortConnection()

    def _refused(self, reason: Failure) -> None:
        """Log the reason why a connection is unusable, each reason once. A final reason ends the waits."""
        if self.closed:
            return
        error = reason.value
        is_final = isinstance(error, PeerRefusedError)
        why = str(error) if is_final else _CLOSED
        text = f"{self._there}: {why}"
        if text != self.refusal:
            self.log.warning("%s: can't use %s: %s", self.name, self._there, why)
        self.refusal = text
        if isinstance(error, PeerRefusedError):
            cause = error.cause
            self._connected.fail(lambda: PeerRefusedError(text, cause))

    @property
    def _there(self) -> str:
        if not self._listens:
            return super()._there
        return f"a client on {host_and_port(self.server_host, self.server_port)}"

    def client_changed(self, reason: Failure | None) -> None:
        """See `IPairOwner`."""
        self.refusal = ""
        super().client_changed(reason)
        self._is_sent_away = False  # both directions always end together, so this proves nothing

    def _log_peer(self, reason: Failure | None) -> None:
        """Log a change of the peer only if the other half does not: both halves share one connection."""
        if reason is not None and reason.check(LineTooLongError, UnfinishedLineError):
            self.log.warning("%s: lost the connection: %s", self.name, reason.getErrorMessage())
