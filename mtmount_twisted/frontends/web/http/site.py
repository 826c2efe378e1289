"""HTTP connections with absolute deadlines, bounded bodies, and a bounded number of connections.

Twisted's own time-out measures idleness, so that a byte a second keeps a connection open for ever. This
module does not use it. `WebSettings.deadline` bounds the time of the request line and headers, from the
connection or the end of the previous answer. It also bounds the time of the body, from the end of the
headers. An answer has no deadline, because a stream lasts for days. Each turn of the reactor answers one
request and reads a few KiB, so that the mount's messages wait no longer. The body of a rejected request is
not read. Next to read: `routing`, which answers.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from io import BytesIO
from typing import Protocol, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocolNegotiationFactory,
    IReactorTime,
    ITCPTransport,
)
from twisted.python.failure import Failure
from twisted.web import http
from zope.interface import implementer

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.errors import HandshakeTooLongError, TLSAnswersError
from mtmount_twisted.net.deadlines import Deadline, PeerDeadline
from mtmount_twisted.net.event_order import Group, set_group
from mtmount_twisted.net.liveness import keep_alive, watch_window
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.net.turns import Rank, Turns
from mtmount_twisted.net.unix_sockets import host_of
from mtmount_twisted.net.waiting import Waiters

from .calls import RequestError, Route
from .encoding import as_body
from .fair_queue import FairQueue
from .guard import LONGEST_URL
from .input_turns import COMPLETED, EARLY, input_turns
from .places import Place, Places
from .routing import HEADERS, AccessPolicy, Router, reason

CLOSE_TIME = 0.5
"""The longest time for a connection to close when the service ends, in seconds."""

MAX_FRAMING = 8192
"""The largest number of bytes of a body's chunk sizes, chunk extensions and trailers: enough for 1,000
chunks."""

MAX_HEADERS, MAX_HEAD = 64, 8192
"""The largest number of headers of a request, and of bytes of its request line and headers. A browser sends
20 headers. Each header costs a hundredth of a millisecond."""

MAX_REQUEST_LINE = LONGEST_URL + 300
"""The most bytes of a request line: method, the URL with a scheme and the longest host name, and version."""

EAGER = 16_384
"""The largest number of unread bytes of one connection. If it has more, it receives no more until some are
read."""

MOST_AHEAD = 8
"""The largest number of requests that may stop the mount, and are answered in a row while another request
waits."""

_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]*)(.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
"""A request target that is a whole URL (RFC 9112, 3.2.2)."""


class ConnectionTransport(Protocol):
    """A transport of a socket or of TLS, as a connection uses it."""

    @property
    def disconnecting(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def unregisterProducer(self) -> None: ...

    def abortConnection(self) -> None: ...

    def getHost(self) -> IAddress: ...

    def getPeer(self) -> IAddress: ...


class WebRequest(http.Request):
    """A request with a bounded body. It parses no form and no cookie, and its answer names no server.

    :ivar received: the bytes of the body received so far, without the framing of chunks.
    :ivar stops: the number of stops when the last bytes of the request came; see `WebSite`.
    """

    stops: int = 0
    channel: Connection  # None once the connection is lost
    content: BytesIO

    def __init__(self, channel: http.HTTPChannel, queued: object = False) -> None:
        super().__init__(channel, queued, parsePOSTFormSubmission=False)
        self.received: int = 0

    def parseCookies(self) -> None:
        """Parse no cookies: no route uses them."""

    def gotLength(self, length: int | None) -> None:
        """Prepare to receive the body, at the end of the headers."""
        self.content = BytesIO()  # Twisted would use a file for a long body; here a body is bounded
        if not self.channel.body_begins(self, length):
            # RFC 9110, 10.1.1: a final status replaces 100 (Continue), which Twisted would still send.
            self.requestHeaders.removeHeader(b"expect")

    def handleContentChunk(self, data: bytes) -> None:
        """Receive a part of the body."""
        self.received += len(data)
        if self.channel.accepts_body(self.received):
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Process the complete request.

        Twisted's own method parses the query before any check, in 8 ms for a long one; `routing` parses it
        later.
        """
        self.content.seek(0)
        self.stops = self.channel.stops
        self.clientproto = version
        self.announce(command, path)
        self.process()

    def announce(self, method: bytes, target: bytes) -> None:
        """Set the method and the path, so that the guard can check the request before its body is read."""
        self.method: bytes = method
        self.uri: bytes = self._origin_form(target)
        self.path: bytes = self.uri.partition(b"?")[0]

    def _origin_form(self, target: bytes) -> bytes:
        """Return the target as a path. If the target is a whole URL, set the Host header to its host."""
        absolute = _ABSOLUTE_FORM.fullmatch(target)
        if absolute is None:
            return target
        if len(self.requestHeaders.getRawHeaders(b"host", [])) <= 1:  # the guard rejects two Host headers
            # RFC 9112, 3.2.2: the target's host counts, and a Host header is ignored.
            self.requestHeaders.setRawHeaders(b"host", [absolute[1]])
        return absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]

    def accepted(self, known: bool, observes: bool) -> None:
        """Record that the request was accepted, so that its connection does not give way to a newcomer.

        :param known: True if the request makes the peer's address known; see `Places.accept`.
        :param observes: True if the user may neither stop the mount nor command it.
        """
        if self.channel is not None:  # None: the connection was lost meanwhile
            self.channel.site.accepted(self.channel, known, observes)

    def process(self) -> None:
        """Pass the request to the site, which answers it."""
        self.setHeader(b"Date", http.datetimeToString())  # type: ignore[no-untyped-call]
        for name, value in self.channel.transport_security().items():
            self.setHeader(name, value)  # type: ignore[no-untyped-call]
        self.channel.site.answer(self)


class ConnectionState(Enum):
    """The state of a `Connection`.

    An open connection reads requests. A closing connection reads no further request, and may still send an
    answer. A refused connection closes in the middle of a request, and discards the rest of it.
    """

    OPEN = "open"
    CLOSING = "closing"
    REFUSED = "refused"


OPEN, CLOSING, REFUSED = ConnectionState


class Connection(http.HTTPChannel):
    """One connection, with one deadline at a time.

    Received data is kept, and parsed in slices when the connection has its turn (`turns.Turns`), one request
    at a time. While the peer does not read its answers, its next request waits, because many requests fit in
    the received data and their unread answers would fill the memory.
    """

    requestFactory = WebRequest  # type: ignore[assignment] # it has fewer parameters
    site: WebSite
    transport: ConnectionTransport  # type: ignore[assignment]
    _state = OPEN
    _full = False
    _paused = False
    _answering = False
    _has_ended = False  # a request, in the present slice
    _request_line = b""
    _head_lines = 0
    _head_bytes = 0
    _body_bytes = 0
    _max_body = 0
    _parsed = 0  # bytes of the present request
    _held: WebRequest | None = None
    _asks_head = False
    _timer: Deadline | None = None
    _idle_since: float | None = None
    timeOut: int | None = None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stops: int = 0  # the number of stops when the first byte of the present slice came
        self._unread = bytearray()
        self._received = 0  # the number of all bytes so far
        self._marks: deque[tuple[int, int]] = deque()  # the end of some bytes, and the stops when they came
        self._stop_watch: Callable[[], None] = lambda: None

    @property
    def idle_since(self) -> float | None:
        """The time at which the last answer ended (clock, s); None during a request, and while closing."""
        return None if self.requests or self._unread or self._state is not OPEN else self._idle_since

    @property
    def is_asking(self) -> bool:
        """True while a complete request waits for its answer, and the peer reads."""
        return self._answering and not self._full

    def connectionMade(self) -> None:
        """Watch the peer, and start the deadline of the first request."""
        self._ends = self.transport.getHost(), self.transport.getPeer()
        super().connectionMade()  # type: ignore[no-untyped-call]
        # A user with an open stream is present: a peer whose cable is cut must be noticed.
        keep_alive(self.transport)
        set_group(self.transport, self._group)
        self._stop_watch = watch_window(cast(ITCPTransport, self.transport), self.site.reactor)
        self._set_deadline(self.site.limits.deadline)

    def _group(self) -> Group:
        """Return the group of the socket: a user's stop does not wait behind the sockets of strangers."""
        place = self.site.connections.get(self)
        is_users = place is not None and not place.observes and self.site.is_known(place.network)
        return Group.USERS if is_users else Group.PAGE

    def getHost(self) -> IAddress:
        """Return the address of this side, also after the loss: TLS may read a last request then."""
        return self._ends[0]

    def getPeer(self) -> IAddress:
        """Return the address of the peer, also after the loss."""
        return self._ends[1]

    def dataReceived(self, data: bytes) -> None:
        """Keep the data until the connection has its turn. After a refusal, drop the data, and receive in
        turns."""
        if self._state is REFUSED and not self.transport.disconnecting:
            self.transport.pauseProducing()
            self.site.input_turns.add(self)
        if self._state is not OPEN:
            return
        self._unread += data
        self._received += len(data)
        stops = self.site.count_stops()
        if self._marks and self._marks[-1][1] == stops:
            self._marks.pop()
        self._marks.append((self._received, stops))
        self._pause_if_ahead()
        self._read_on()

    def note_own_stops(self, count: int) -> None:
        """Note stops of this connection. They overtake no request that came behind them."""
        if count:
            self.stops += count
            self._marks = deque((end, stops + count) for end, stops in self._marks)

    def read_slice(self, most: int) -> int:
        """Parse a slice of the kept data; see `turns.Reader`.

        :returns: the number of bytes in the slice; at least `COMPLETED` if a request ends in it.
        """
        if self._state is REFUSED:
            self.transport.resumeProducing()
            return most
        self._has_ended = False
        self._idle_since = None  # an answer that ends in this slice sets it again
        begin = self._received - len(self._unread)
        while len(self._marks) > 1 and self._marks[0][0] <= begin:
            self._marks.popleft()
        self.stops = self._marks[0][1]
        data = bytes(self._unread[:most])
        del self._unread[:most]
        self._parsed += len(data)  # an answer that ends in this slice sets this to 0
        try:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
        except Exception:  # the error would end the connection whose data started this turn
            self.site.log_fault()
            self._stop_reading()
            self.transport.abortConnection()
        self._resume_if_read()
        self._read_on()
        return max(len(data), COMPLETED) if self._has_ended else len(data)

    def _read_on(self) -> None:
        if self._unread and not self._answering and self._state is OPEN:
            # A program's stop fits in one slice, and a browser's stop in a few: no stop waits for longer
            # requests.
            early = Rank.THIRD if self._parsed < EARLY else Rank.USUAL
            self.site.input_turns.add(self, early if self._parsed else Rank.SECOND)

    def _pause_if_ahead(self) -> None:
        """Stop receiving while much data is unread, even if Twisted has just resumed."""
        if len(self._unread) > EAGER and self._state is OPEN:
            self._paused = True
            self.transport.pauseProducing()

    def _resume_if_read(self) -> None:
        if self._paused and len(self._unread) <= EAGER:
            self._paused = False
            if not self._full and self._state is OPEN:
                self.transport.resumeProducing()

    def setLineMode(self, extra: bytes = b"") -> None:
        """Start the next request. Data after the end of the previous one is put back in front."""
        self._unread[:0] = extra
        super().setLineMode()  # type: ignore[no-untyped-call]

    def _set_deadline(self, delay: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if delay is None else PeerDeadline(self.site.reactor, delay, self._too_late)

    def _too_late(self) -> None:
        if self._state is not OPEN:
            self.transport.abortConnection()
        elif self.requests and self._held is None:
            self.refuse(RequestError(408, f"the request took longer than {self.site.limits.deadline:g} s"))
        else:
            self._held = None
            self.close(self.site.limits.deadline)

    def pauseProducing(self) -> None:
        """Record that the transport is full, because the peer does not read."""
        self._full = True
        super().pauseProducing()  # type: ignore[no-untyped-call]

    def resumeProducing(self) -> None:
        """Record that the transport is empty, and answer the request that waited for it."""
        self._full = False
        super().resumeProducing()  # type: ignore[no-untyped-call]
        self._pause_if_ahead()
        held, self._held = self._held, None
        if held is not None:
            self._set_deadline(None)
            self.site.answer(held)

    def holds(self, request: WebRequest) -> bool:
        """Hold a request while the peer has not read the previous answers; the deadline of a request applies.

        :returns: True if the request waits.
        """
        if self._full:
            self._held = request
            if self._state is OPEN:
                self._set_deadline(self.site.limits.deadline)
        return self._full

    def body_begins(self, request: WebRequest, length: int | None) -> bool:
        """Decide at the end of the headers whether the body is read; refuse the request if not.

        :param length: the length in the headers, in bytes; None if the body arrives in chunks.
        :returns: True if the body is read.
        """
        self._set_deadline(self.site.limits.deadline)
        self._body_bytes = 0
        if length != 0 and self._state is not REFUSED:
            method, target, _ = self._request_line.split(b" ")
            request.announce(method, target)
            try:
                self._max_body = min(self.site.limits.max_body, self.site.router.max_body_of(request))
            except RequestError as problem:
                self.refuse(problem)
        return self.accepts_body(length or 0)

    def accepts_body(self, length: int) -> bool:
        """Return True if a body of this length is accepted, in bytes; else refuse the request."""
        if length > self._max_body and self._state is not REFUSED:
            self.refuse(RequestError(413, f"the body is longer than {self._max_body} bytes"))
        return self._state is not REFUSED

    def allContentReceived(self) -> None:
        """Stop the deadline of a complete request. A refused request keeps its deadline."""
        if self._state is REFUSED:
            return
        self._set_deadline(None)
        self._answering = self._has_ended = True
        super().allContentReceived()  # type: ignore[no-untyped-call]

    def requestDone(self, request: http.Request) -> None:
        """Start the deadline of the next request, or close the connection."""
        if not self.persistent:
            self._stop_reading()
        self._set_deadline(self.site.limits.deadline)
        self._idle_since = self.site.reactor.seconds()
        self._answering = False
        self._parsed = 0
        super().requestDone(request)  # type: ignore[no-untyped-call]
        self._pause_if_ahead()
        self._read_on()

    def refuse(self, problem: RequestError) -> None:
        """Answer a request before its end, and discard all further input.

        Input is discarded until the peer closes. A close with unread data would reset the connection, and the
        peer might lose the answer.
        """
        self._state = REFUSED
        self._has_ended = True
        self.persistent = False
        self.clearLineBuffer()  # type: ignore[no-untyped-call]
        self._unread.clear()
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        answer = problem.answer()
        body = as_body(answer.body)
        headers = {
            **HEADERS,
            **self.transport_security(),
            "Content-Type": "application/json",
            "Content-Length": len(body),
            "Connection": "close",
            **answer.headers,
        }
        lines = [f"HTTP/1.1 {answer.status} {reason(answer.status).decode()}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join((*lines, "", "")).encode()
        self.transport.write(head if self._asks_head else head + body)
        self._set_deadline(self.site.limits.deadline)
        half_close = getattr(self.transport, "loseWriteConnection", None)
        # Under TLS a half-close would close the socket before TLS has sent its buffered data.
        if half_close is None or self.isSecure():  # type: ignore[no-untyped-call]
            self.loseConnection()  # type: ignore[no-untyped-call]
        else:
            self.transport.unregisterProducer()
            half_close()

    def transport_security(self) -> dict[str, str]:
        """Return the header that keeps browsers from plain HTTP, if it is configured.

        It is never sent over plain HTTP (RFC 6797, 7.2).
        """
        if not self.site.hsts or not self.isSecure():  # type: ignore[no-untyped-call]
            return {}
        return {"Strict-Transport-Security": f"max-age={self.site.hsts}"}

    def close(self, within: float) -> None:
        """Close the connection.

        :param within: the time in seconds after which it is aborted, and unread data is lost.
        """
        self._stop_reading()
        self._set_deadline(within)
        self.loseConnection()  # type: ignore[no-untyped-call]

    def _stop_reading(self) -> None:
        if self._state is OPEN:
            self._state = CLOSING

    def give_up_place(self) -> bool:
        """Close for a newcomer: at once, unless an answer may still be on its way to a peer that reads.

        :returns: True if the connection is aborted, and its place is free at once.
        """
        answered = self._idle_since is not None or self._answering
        if self._full or not answered or not self.site.connections[self].accepted:
            self._stop_reading()
            self.transport.abortConnection()
            return True
        self.close(CLOSE_TIME)
        return False

    def headerReceived(self, line: bytes) -> bool:
        """Parse one header."""
        try:
            read = bool(super().headerReceived(line))  # type: ignore[no-untyped-call]
        except ValueError:  # a length of 5000 digits
            read = False
        if read and not self._has_one_framing():
            read = False
        if not read:
            self._refuse_malformed()
        return read

    def _has_one_framing(self) -> bool:
        """Return True if every proxy must find the end of the body at the same byte.

        Twisted ignores the obsolete ``Transfer-Encoding: identity``, and a proxy may not. An unknown encoding
        is refused (RFC 9112, 6.1).
        """
        given = self.requests[-1].requestHeaders.getRawHeaders(b"transfer-encoding", [])
        return [value.lower() for value in given] in ([], [b"chunked"])

    def lineReceived(self, line: bytes) -> None:
        """Parse a line of the headers."""
        if not self.requests:
            self._asks_head = line.startswith(b"HEAD ")
            self._request_line = line
            self._head_lines = self._head_bytes = 0
            if len(line) > MAX_REQUEST_LINE:
                self.refuse(RequestError(414, f"the URL is longer than {LONGEST_URL} bytes"))
        elif line.startswith((b" ", b"\t")):  # folded; proxies read it in different ways (RFC 9112, 5.2)
            self._refuse_malformed()
        self._head_lines += bool(line)
        self._head_bytes += len(line)
        if self._state is not REFUSED and self._head_lines > 1 + MAX_HEADERS:
            self.refuse(RequestError(431, f"the request has more than {MAX_HEADERS} headers"))
        elif self._state is not REFUSED and self._head_bytes > MAX_HEAD:
            self.refuse(
                RequestError(431, f"the request line and the headers have more than {MAX_HEAD} bytes")
            )
        if self._state is not REFUSED:
            super().lineReceived(line)  # type: ignore[no-untyped-call]

    def rawDataReceived(self, data: bytes) -> None:
        """Parse a part of a body, its framing or its trailers."""
        if self._state is REFUSED:
            return
        self._body_bytes += len(data)
        super().rawDataReceived(data)
        goes_on = self.length is None and self._state is not REFUSED  # before the last of several chunks
        if goes_on and self._body_bytes - self.requests[-1].received > MAX_FRAMING:
            why = f"the chunks' lengths and the trailers take more than {MAX_FRAMING} bytes"
            self.refuse(RequestError(400, f"{why}: send longer chunks, or Content-Length"))

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a request with a line that is too long."""
        self.refuse(RequestError(431, "the request line or a header is too long"))

    def _refuse_malformed(self) -> None:
        if self._state is not REFUSED:  # a refused request is already answered
            self.refuse(RequestError(400, "malformed request"))

    # Twisted's hook for each malformed request is private. If it goes, only the answer's body goes with it.
    _respondToBadRequestAndDisconnect = _refuse_malformed

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Free the connection's place, and cancel its answers."""
        self._stop_watch()
        set_group(self.transport, _page)  # else the transport and this object would keep each other
        self._set_deadline(None)
        self._held = None
        self._stop_reading()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        if reason is not None and isinstance(reason.value, HandshakeTooLongError):
            self.site.log_refusal(self.getPeer(), reason.value)
        elif reason is not None and isinstance(reason.value, TLSAnswersError):
            self.site.log_cut(self.getPeer(), reason.value)
        self.site.forget(self)


@implementer(IProtocolNegotiationFactory)
class WebSite(http.HTTPFactory):
    """Make connections, count them, and answer their requests one at a time.

    :param router: answers the requests.
    :param limits: the limits of each client.
    :param log: receives a warning for each refused connection.
    :ivar connections: the open connections, each with its place.
    :ivar refused: the number of connections refused because there were too many.
    :ivar input_turns: the turns in which the connections are read.
    :ivar count_stops: returns the number of stops that the bridge has accepted: a request with a command may
        wait until its connection reads, or until other requests had their turns, and a stop may go before it.
    :ivar hsts: the time for which browsers use only https, in seconds; 0 for no such header.
    """

    noisy = False
    hsts = 0

    def __init__(
        self, router: Router, limits: WebSettings, log: RateLimitedLog, reactor: IReactorTime
    ) -> None:
        super().__init__(reactor=reactor)
        self.router = router
        self.limits = limits
        self.connections: dict[Connection, Place[Connection]] = {}
        self.refused: int = 0
        self.input_turns: Turns = input_turns(reactor)
        self.count_stops: Callable[[], int] = lambda: 0
        self._limited_log = log
        self._places = Places(
            limits.max_connections,
            limits.max_connections_per_address,
            reactor.seconds,
            Connection.give_up_place,
        )
        self._waiting: deque[WebRequest] = deque()  # at most one of each connection
        self._commanding: FairQueue[WebRequest] = FairQueue()  # requests that may be stops; they go first
        self._ahead = 0  # the number of requests of `_commanding` answered in a row
        self._next: IDelayedCall | None = None  # the next turn, if this one has answered a request
        self._closing = False
        self._gone: Waiters[None] = Waiters()

    def acceptableProtocols(self) -> list[bytes]:
        """Return the protocols for TLS (ALPN). Without one, the handshake of a browser or of curl fails."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Open no access log: it would record users' requests, and the journal has their commands."""

    def stopFactory(self) -> None:
        """Close nothing, because `startFactory` opens nothing."""

    def buildProtocol(self, addr: IAddress | None) -> Connection | None:  # type: ignore[override]
        """Return the protocol of a connection. If there are too many, return None, and Twisted closes it."""
        address = host_of(addr)
        connection = Connection()
        connection.site = self
        place = None if self._closing else self._places.take_place(connection, address)
        if place is None:
            self.refused += 1
            self._limited_log.warning("web: too many connections, refusing %s", address or "one more")
            return None
        self.connections[connection] = place
        return connection

    def is_known(self, network: str) -> bool:
        """Return True if a network is known; see `Places.is_known`."""
        return self._places.is_known(network)

    def accepted(self, connection: Connection, known: bool, observes: bool) -> None:
        """Record that a request on a connection was accepted; see `Places.accept`."""
        self._places.accept(self.connections[connection], known, observes)

    def answer(self, request: WebRequest) -> None:
        """Answer a request: at once if it is the first in this turn of the reactor, else in a later turn.

        The mount's messages therefore wait for one request at most. A POST with the rights for its route may
        be a stop, and goes ahead of the waiting requests of other kinds; the users take turns.
        """
        if request.channel.holds(request):
            return
        if self._next is not None:
            turn = self.router.turn_of(request) if request.method == b"POST" else None
            if turn is None:
                self._waiting.append(request)
            else:
                self._commanding.add(*turn, request)
        elif not self._closing:
            self._next = self.reactor.callLater(0, self._next_turn)
            connection, before = request.channel, self.count_stops()
            self.router.respond(request)
            connection.note_own_stops(self.count_stops() - before)

    def _next_turn(self) -> None:
        self._next = None
        while (self._commanding or self._waiting) and self._next is None:
            is_ahead = bool(self._commanding) and (not self._waiting or self._ahead < MOST_AHEAD)
            self._ahead = self._ahead + 1 if is_ahead else 0
            request = self._commanding.pop() if is_ahead else self._waiting.popleft()
            if request.channel is not None:  # None: the connection was lost
                self.answer(request)

    def log_refusal(self, peer: IAddress, why: HandshakeTooLongError) -> None:
        """Log that this side ended the handshake of a peer."""
        self._limited_log.warning("web: refused %s: the TLS handshake failed: %s", peer, why)

    def log_cut(self, peer: IAddress, why: TLSAnswersError) -> None:
        """Log that this side ended the connection of a peer."""
        self._limited_log.warning("web: cut off %s: %s", peer, why)

    def log_fault(self) -> None:
        """Log an internal error that ended a connection, with its traceback."""
        self._limited_log.exception("web: failed to read a request")

    def forget(self, connection: Connection) -> None:
        """Free the place of a connection that is gone."""
        self.input_turns.discard(connection)
        place = self.connections.pop(connection, None)
        if place is not None:
            self._places.give_back(place)
        if not self.connections:
            self._gone.fire(None)

    def close(self) -> Deferred[None]:
        """Close all connections, and accept no more. A second call gives no connection more time.

        :returns: fires when the connections are gone, after at most `CLOSE_TIME` seconds.
        """
        begun, self._closing = self._closing, True
        self._waiting.clear()
        self._commanding.clear()
        self.input_turns.close()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if not self.connections:
            return succeed(None)
        gone = self._gone.wait()
        for connection in () if begun else tuple(self.connections):
            connection.close(CLOSE_TIME)
        return gone


def make_site(
    routes: Iterable[Route],
    gate: AccessPolicy,
    log: logging.Logger,
    reactor: IReactorTime,
    limits: WebSettings,
    prefix: str = "",
) -> WebSite:
    """Return the site that serves some routes; the parameters are those of `Router` and `WebSite`."""
    limited_log = RateLimitedLog(reactor, log, A_FEW)
    return WebSite(Router(routes, gate, limited_log, prefix), limits, limited_log, reactor)


def _page() -> Group:
    """Return the group of a connection that is lost."""
    return Group.PAGE
