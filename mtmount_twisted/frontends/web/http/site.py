"""How requests come in: connections with absolute deadlines, a bounded body, and a bounded number of them.

Twisted's own time-out is one of idleness, so that a byte a second keeps a connection for ever: there is
none of it here. The request line and headers have `Limits.deadline` from when the connection was made, or
the answer before was finished; the body as long from its headers. An answer has no deadline: a stream goes
on for days. In each turn of the reactor one request is answered and a few KiB are read, so that the mount's
messages wait for no more. The body of a request that is not let in is not read.
Next to read: `routing`, which answers.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterable
from enum import Enum
from io import BytesIO
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolNegotiationFactory
from twisted.web import http
from zope.interface import implementer

from mtmount_twisted.errors import HandshakeTooLongError
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.net.waiting import Waiters

from .calls import Problem, Route
from .encoding import as_body
from .input_turns import input_turns
from .places import Places, SocketAddress
from .routing import HEADERS, AccessPolicy, Router, reason

CLOSE_TIME = 0.5
"""How long a connection may take to close when the service ends, s."""

MAX_FRAMING = 8192
"""How many bytes the lengths of a body's chunks, their extensions and the trailers may take: 1,000 chunks."""

EAGER = 16_384
"""Of a client that sent so many bytes ahead, no more is received until some of them were read."""

_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]*)(.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
"""RFC 9112, 3.2.2."""


class Limits(Protocol):
    """What one client may take up, as a `config.settings.WebSettings` says."""

    @property
    def deadline(self) -> float:
        """For the headers, and again for the body, s."""

    @property
    def max_body(self) -> int:
        """Bytes."""

    @property
    def max_connections(self) -> int:
        """At once, from everywhere; half of them for addresses that showed a token."""

    @property
    def max_connections_per_address(self) -> int:
        """At once, from one address, or one /64 of IPv6."""


class WebRequest(http.Request):
    """A request with a bounded body; no form is parsed, no cookie read, and no server named.

    :ivar received: how many bytes of its body came, without what frames chunks.
    """

    channel: Any

    def __init__(self, channel: Any, queued: object = False) -> None:
        super().__init__(channel, queued, parsePOSTFormSubmission=False)
        self.received = 0

    def parseCookies(self) -> None:
        """There are none."""

    def gotLength(self, length: int | None) -> None:
        """The headers are there."""
        self.content = BytesIO()  # and never a file: it is bounded
        if not self.channel.body_begins(self, length):
            # RFC 9110, 10.1.1: a final status instead of 100 (Continue), which Twisted would send after it.
            self.requestHeaders.removeHeader(b"expect")

    def handleContentChunk(self, data: bytes) -> None:
        """A part of the body came."""
        self.received += len(data)
        if self.channel.accepts_body(self.received):
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of it is there."""
        super().requestReceived(command, self._origin_form(path), version)  # type: ignore[no-untyped-call]

    def announce(self, method: bytes, target: bytes) -> None:
        """Set what the guard looks at, before the body is read."""
        self.method, self.uri = method, self._origin_form(target)
        self.path = self.uri.partition(b"?")[0]

    def _origin_form(self, target: bytes) -> bytes:
        """Return the target as a path; if it is a whole URL, its host becomes the request's."""
        absolute = _ABSOLUTE_FORM.fullmatch(target)
        if absolute is None:
            return target
        if len(self.requestHeaders.getRawHeaders(b"host", [])) <= 1:  # two are wrong whatever they say
            # RFC 9112, 3.2.2: the target's host counts, and a Host header is ignored.
            self.requestHeaders.setRawHeaders(b"host", [absolute[1]])
        return absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]

    def accepted(self, known: bool, observes: bool) -> None:
        """Note that it was accepted, so that its connection gives way to no newcomer while it is answered.

        :param known: whether the address of its peer is a user's from now on.
        :param observes: whether its user may neither stop the mount nor command it.
        """
        if self.channel is not None:  # else it was lost meanwhile
            self.channel.site.accepted(self.channel, known, observes)

    def process(self) -> None:
        """Have it answered."""
        self.setHeader(b"Date", http.datetimeToString())  # type: ignore[no-untyped-call]
        for name, value in self.channel.transport_security().items():
            self.setHeader(name, value)  # type: ignore[no-untyped-call]
        self.channel.site.answer(self)


class ConnectionState(Enum):
    """State of a `Connection`.

    An open one reads requests. A closing one reads no further request, and the answer to the present one may
    still be on its way. A refused one is closing in the middle of a request, the rest of which is discarded.
    """

    OPEN = "open"
    CLOSING = "closing"
    REFUSED = "refused"


OPEN, CLOSING, REFUSED = ConnectionState


class Connection(http.HTTPChannel):
    """One connection, with one deadline at a time.

    While the peer does not read its answers, its next request waits: answers that nobody reads would fill the
    memory, since many requests fit in what was received already. What comes is kept, and read in slices when
    this connection has its turn (`turns.Turns`), but not before the request before it was answered.
    """

    requestFactory: Any = WebRequest
    site: WebSite
    transport: Any
    _networkProducer: Any
    _state = OPEN
    _full = False
    _paused = False
    _answering = False
    _request_line = b""
    _body_bytes = 0
    _held: WebRequest | None = None
    _asks_head = False
    _timer: Any = None
    _idle_since: float | None = None
    timeOut = None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._unread = bytearray()

    @property
    def idle_since(self) -> float | None:
        """When the last answer ended (clock, s); None once a byte of the next request arrived, or closing."""
        return None if self.requests or self._unread or self._state is not OPEN else self._idle_since

    @property
    def is_asking(self) -> bool:
        """True while a request that has arrived whole waits for its answer, and the peer reads."""
        return self._answering and not self._full

    def connectionMade(self) -> None:
        """The first request may begin."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self._set_deadline(self.site.limits.deadline)

    def dataReceived(self, data: bytes) -> None:
        """Something came: it is read in turn."""
        if self._state is not OPEN:
            return
        self._unread += data
        self._pause_if_ahead()
        self._read_on()

    def read_slice(self, most: int) -> int:
        """Read on, when it is this connection's turn; see `Reader`."""
        self._idle_since = None  # the answer that ends in this slice sets it anew
        data = bytes(self._unread[:most])
        del self._unread[:most]
        try:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
        except Exception:  # which would end another connection, whose turn it was before
            self.site.log_fault()
            self._stop_reading()
            self.transport.abortConnection()
        self._resume_if_read()
        self._read_on()
        return len(data)

    def _read_on(self) -> None:
        if self._unread and not self._answering and self._state is OPEN:
            self.site.input_turns.add(self)

    def _pause_if_ahead(self) -> None:
        """Receive nothing more while much is unread, also where Twisted has just begun to receive again."""
        if len(self._unread) > EAGER and self._state is OPEN:
            self._paused = True
            self.transport.pauseProducing()

    def _resume_if_read(self) -> None:
        if self._paused and len(self._unread) <= EAGER:
            self._paused = False
            if not self._full and self._state is OPEN:
                self.transport.resumeProducing()

    def setLineMode(self, extra: bytes = b"") -> None:
        """The next request may be read; what came in one slice with the end of the one before goes first."""
        self._unread[:0] = extra
        super().setLineMode()  # type: ignore[no-untyped-call]

    def _set_deadline(self, delay: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if delay is None else Deadline(self.site.reactor, delay, self._too_late)

    def _too_late(self) -> None:
        if self._state is not OPEN:
            self.transport.abortConnection()
        elif self.requests and self._held is None:
            self.refuse(Problem(408, f"the request took longer than {self.site.limits.deadline:g} s"))
        else:
            self.close(self.site.limits.deadline)

    def pauseProducing(self) -> None:
        """The transport is full: the peer does not read."""
        self._full = True
        super().pauseProducing()  # type: ignore[no-untyped-call]

    def resumeProducing(self) -> None:
        """The transport is empty: a request that waited for that is answered."""
        self._full = False
        super().resumeProducing()  # type: ignore[no-untyped-call]
        self._pause_if_ahead()
        held, self._held = self._held, None
        if held is not None:
            self._set_deadline(None)
            self.site.answer(held)

    def holds(self, request: WebRequest) -> bool:
        """Whether a request waits until the peer has read the answers before it: as long as for a request."""
        if self._full:
            self._held = request
            if self._state is OPEN:
                self._set_deadline(self.site.limits.deadline)
        return self._full

    def body_begins(self, request: WebRequest, length: int | None) -> bool:
        """The headers are there: whether the body is taken.

        :param length: what the headers say, in bytes; None if the body comes in chunks.
        """
        self._set_deadline(self.site.limits.deadline)
        self._body_bytes = 0
        if length != 0 and self._state is not REFUSED:
            method, target, _ = self._request_line.split(b" ")
            request.announce(method, target)
            problem = self.site.router.problem_of(request)
            if problem is not None:  # nobody who is not let in has a body read
                self.refuse(problem)
        return self.accepts_body(length or 0)

    def accepts_body(self, length: int) -> bool:
        """Whether a body of so many bytes is taken; if not, the request is refused."""
        if length > self.site.limits.max_body and self._state is not REFUSED:
            self.refuse(Problem(413, f"the body is longer than {self.site.limits.max_body} bytes"))
        return self._state is not REFUSED

    def allContentReceived(self) -> None:
        """A request is there: what is left is to answer it; one that was refused keeps its deadline."""
        if self._state is REFUSED:
            return
        self._set_deadline(None)
        self._answering = True
        super().allContentReceived()  # type: ignore[no-untyped-call]

    def requestDone(self, request: Any) -> None:
        """It was answered: the next may begin, or the connection closes."""
        if not self.persistent:
            self._stop_reading()
        self._set_deadline(self.site.limits.deadline)
        self._idle_since = self.site.reactor.seconds()
        self._answering = False
        super().requestDone(request)  # type: ignore[no-untyped-call]
        self._pause_if_ahead()
        self._read_on()

    def refuse(self, problem: Problem) -> None:
        """Answer what can't be read to its end, and read no further.

        What still comes is thrown away until the peer closes: to close with data unread would reset the
        connection, and the peer might never see why.
        """
        self._state = REFUSED
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
        # Under TLS it would be the socket's own, whose end would come before what TLS has still to send.
        if half_close is None or self.isSecure():  # type: ignore[no-untyped-call]
            self.loseConnection()  # type: ignore[no-untyped-call]
        else:
            self._networkProducer.unregisterProducer()
            half_close()

    def transport_security(self) -> dict[str, str]:
        """Return the header that keeps browsers from plain HTTP, if it is configured.

        It is never sent over plain HTTP (RFC 6797, 7.2).
        """
        if not self.site.hsts or not self.isSecure():  # type: ignore[no-untyped-call]
            return {}
        return {"Strict-Transport-Security": f"max-age={self.site.hsts}"}

    def close(self, within: float) -> None:
        """Close the connection; what the peer has not read by then is lost."""
        self._stop_reading()
        self._set_deadline(within)
        self.loseConnection()  # type: ignore[no-untyped-call]

    def _stop_reading(self) -> None:
        if self._state is OPEN:
            self._state = CLOSING

    def give_up_place(self) -> bool:
        """Close for a newcomer: at once, unless an answer may still be on its way to a peer that reads.

        :returns: whether it closes at once, and so needs its place no longer.
        """
        answered = self._idle_since is not None or self._answering
        if self._full or not answered or not self.site.connections[self].accepted:
            self._stop_reading()
            self.transport.abortConnection()
            return True
        self.close(CLOSE_TIME)
        return False

    def headerReceived(self, line: bytes) -> bool:
        """A header came, whole."""
        try:
            read = bool(super().headerReceived(line))  # type: ignore[no-untyped-call]
        except ValueError:  # a length of 5000 digits
            read = False
        if read and not self._has_one_framing():
            read = False
        if not read:
            self._respondToBadRequestAndDisconnect()
        return read

    def _has_one_framing(self) -> bool:
        """Whether everybody on the way would find the end of the body in the same place.

        Twisted passes over ``Transfer-Encoding: identity``, which was withdrawn, and a proxy need not. What
        is not understood is refused (RFC 9112, 6.1).
        """
        given = self.requests[-1].requestHeaders.getRawHeaders(b"transfer-encoding", [])
        return [value.lower() for value in given] in ([], [b"chunked"])

    def lineReceived(self, line: bytes) -> None:
        """A line of the headers came."""
        if not self.requests:
            self._asks_head = line.startswith(b"HEAD ")
            self._request_line = line
        if self._state is not REFUSED:
            super().lineReceived(line)  # type: ignore[no-untyped-call]

    def rawDataReceived(self, data: bytes) -> None:
        """A part of a body came, or of what follows it."""
        if self._state is REFUSED:
            return
        self._body_bytes += len(data)
        super().rawDataReceived(data)
        goes_on = (
            self.length is None and self._state is not REFUSED
        )  # in chunks, and the last did not come yet
        if goes_on and self._body_bytes - self.requests[-1].received > MAX_FRAMING:
            why = f"the chunks' lengths and the trailers take more than {MAX_FRAMING} bytes"
            self.refuse(Problem(400, f"{why}: send longer chunks, or Content-Length"))

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line is too long to be one of a request."""
        self.refuse(Problem(431, "the request line or a header is too long"))

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._state is not REFUSED:  # else it was told why already
            self.refuse(Problem(400, "not a request that can be read"))

    def connectionLost(self, reason: Any = None) -> None:
        """It is gone; who answers on it is told."""
        self._set_deadline(None)
        self._held = None
        self._stop_reading()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        if reason is not None and reason.check(HandshakeTooLongError):
            self.site.log_refusal(self.transport.getPeer(), reason.value)
        self.site.forget(self)


@implementer(IProtocolNegotiationFactory)
class WebSite(http.HTTPFactory):
    """Makes connections, and counts them.

    :param router: answers.
    :param limits: what one client may take up.
    :param log: where it says that connections are refused.
    :ivar connections: those that are not gone, each with its place.
    :ivar refused: how many were refused because there were too many.
    :ivar input_turns: when which connection is read.
    :ivar hsts: for how long browsers are to use https only, s; 0 if they are not told to.
    """

    noisy = False
    hsts = 0

    def __init__(self, router: Router, limits: Limits, log: RateLimitedLog, reactor: Any) -> None:
        super().__init__(reactor=reactor)
        self.router = router
        self.limits = limits
        self.connections: dict[Connection, SocketAddress] = {}
        self.refused = 0
        self.input_turns = input_turns(reactor)
        self._limited_log = log
        self._places = Places(
            limits.max_connections,
            limits.max_connections_per_address,
            reactor.seconds,
            Connection.give_up_place,
        )
        self._waiting: deque[WebRequest] = deque()  # one of a connection at most
        self._commanding: deque[WebRequest] = (
            deque()
        )  # those that may stop something, which go before the others
        self._next: IDelayedCall | None = None  # the next turn, if in this one something was answered
        self._closing = False
        self._gone: Waiters[None] = Waiters()

    def acceptableProtocols(self) -> list[bytes]:
        """What is spoken under TLS: without an answer to that, a browser's or curl's handshake fails."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """There is no access log: it would hold what users ask, and the journal has what they did."""

    def stopFactory(self) -> None:
        """So there is none to close."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a connection; None if there are too many, and then it is closed at once."""
        # A unix: socket's clients have no address, and share the total.
        address = str(getattr(addr, "host", ""))
        connection = Connection()
        connection.site = self
        place = None if self._closing else self._places.take(connection, address)
        if place is None:
            self.refused += 1
            self._limited_log.warning("web: too many connections, refusing %s", address or "one more")
            return None
        self.connections[connection] = place
        return connection

    def is_known(self, network: str) -> bool:
        """Return whether a network is known; see `Places.is_known`."""
        return self._places.is_known(network)

    def accepted(self, connection: Connection, known: bool, observes: bool) -> None:
        """Note that a request on a connection was accepted; see `Places.accept`."""
        self._places.accept(self.connections[connection], known, observes)

    def answer(self, request: WebRequest) -> None:
        """Have a request answered: at once if it is the first in this turn of the reactor, else later.

        However many come at once, the mount's messages wait for one of them, and a stop for none that looks.
        """
        if request.channel.holds(request):
            return
        if self._next is not None:
            (self._commanding if request.method == b"POST" else self._waiting).append(request)
        elif not self._closing:
            self._next = self.reactor.callLater(0, self._next_turn)
            self.router.respond(request)

    def _next_turn(self) -> None:
        self._next = None
        while (waiting := self._commanding or self._waiting) and self._next is None:
            request = waiting.popleft()
            if request.channel is not None:  # else its connection was lost
                self.answer(request)

    def log_refusal(self, peer: Any, why: HandshakeTooLongError) -> None:
        """Log that the handshake of a peer was ended."""
        self._limited_log.warning("web: refused %s: the TLS handshake failed: %s", peer, why)

    def log_fault(self) -> None:
        """Log an error of the daemon's own that ended a connection, with its traceback."""
        self._limited_log.exception("web: failed to read a request")

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.input_turns.discard(connection)
        place = self.connections.pop(connection, None)
        if place is not None:
            self._places.give_back(place)
        if not self.connections:
            self._gone.fire(None)

    def close(self) -> Deferred[None]:
        """Close all connections, and make no more; fires when they are gone, in `CLOSE_TIME` seconds at most.

        It can be called twice: no connection gets more time by that.
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
    reactor: Any,
    limits: Limits,
    prefix: str = "",
) -> WebSite:
    """Make the site that answers these routes; for `prefix` see `Router`."""
    limited_log = RateLimitedLog(reactor, log, A_FEW)
    return WebSite(Router(routes, gate, limited_log, prefix), limits, limited_log, reactor)
