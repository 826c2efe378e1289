"""A web site in memory: requests as bytes, and the answers; for the tests of all areas.

`ask` is one question and its answer. `Wire` is a connection, for streams, waits,
and clients that go away or do not read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.http.calls import RequestError, Role, Route, User
from mtmount_twisted.frontends.web.http.encoding import as_json
from mtmount_twisted.frontends.web.http.site import WebSite, make_site

LOG = logging.getLogger("tests.support.web")
ANYONE = User("anyone", frozenset(("observe", "command", "stop")), Source.CSC)
OBSERVER = User("watcher", frozenset(("observe",)), Source.CSC)


class LetIn:
    """A gate that lets all in, as one user; roles are checked."""

    def __init__(self, user: User = ANYONE) -> None:
        self.who = user

    def admit(self, request: Any) -> None:
        """Everything."""

    has_tokens = True

    def user(self, request: Any, role: Role | None) -> User:
        """The one user."""
        if role is not None and role not in self.who.roles:
            raise RequestError(403, f"{self.who.name} lacks the role {role}")
        return self.who


class Got(NamedTuple):
    """An answer; the names of its headers are in lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


def as_read(answer: object) -> Any:
    """An answer as a reader of the API has it."""
    return json.loads(as_json(answer))


def site_of(
    routes: Iterable[Route],
    user: User = ANYONE,
    clock: Clock | None = None,
    limits: WebSettings | None = None,
) -> WebSite:
    """A site with these routes, that takes every request for one of `user`'s."""
    return make_site(routes, LetIn(user), LOG, clock or Clock(), limits or WebSettings())


def next_turn(clock: Clock) -> None:
    """Run the calls that are due in this turn of the reactor, and none that they add."""
    for call in [call for call in clock.getDelayedCalls() if call.getTime() <= clock.seconds()]:
        clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)


class Pipe(StringTransport):
    """The site's end of a connection.

    :ivar aborted: True once the site has aborted it, even with data left to send.
    """

    aborted = False

    def abortConnection(self) -> None:
        """Cut."""
        self.aborted = True


class Wire:
    """A client's connection to a site.

    :ivar transport: the site's end: `producerState`, `disconnecting` and so on.
    """

    def __init__(self, site: WebSite, address: str = "127.0.0.1", host: str = "127.0.0.1") -> None:
        peer, here = (
            (IPv6Address if ":" in each else IPv4Address)("TCP", each, port)
            for each, port in ((address, 50_000), (host, 8080))
        )
        self.transport = Pipe(hostAddress=here, peerAddress=peer)
        self.protocol: Any = site.buildProtocol(peer)
        if self.protocol is not None:
            self.protocol.makeConnection(self.transport)
        self._taken = 0
        self._clock = site.reactor

    @property
    def data(self) -> bytes:
        """All that was sent to the client."""
        return self.transport.value()

    @property
    def closed(self) -> bool:
        """True once the site has closed the connection."""
        transport = self.transport
        return bool(transport.disconnecting or transport.disconnected or transport.aborted)

    def send(self, data: bytes) -> None:
        """Send bytes as the client, and run the calls that are due at once."""
        self.protocol.dataReceived(data)
        self._clock.advance(0)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """The client sends a request; a body that is not bytes is sent as JSON."""
        sent = {"Host": "127.0.0.1:8080", **(headers or {})}
        data = body if isinstance(body, bytes) else b""
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        if data:
            sent.setdefault("Content-Length", str(len(data)))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        self.send("\r\n".join(lines).encode() + data)

    def answer(self) -> Got | None:
        """The next whole answer, or None if there is none yet."""
        head, separator, rest = self.data[self._taken :].partition(b"\r\n\r\n")
        if not separator:
            return None
        status, reason, headers = _head(head)
        if headers.get("transfer-encoding") == "chunked":
            body, left = unchunked(rest)
            if left is None:
                return None
        else:
            length = int(headers.get("content-length", 0))
            body, left = rest[:length], rest[length:]
            if len(body) < length:
                return None
        self._taken = len(self.data) - len(left)
        return Got(status, reason, headers, body)

    def stream(self) -> Got:
        """Return the received part of an unfinished answer."""
        head, _, rest = self.data[self._taken :].partition(b"\r\n\r\n")
        status, reason, headers = _head(head)
        body = unchunked(rest)[0] if headers.get("transfer-encoding") == "chunked" else rest
        return Got(status, reason, headers, body)

    def lose(self) -> None:
        """The client goes away, or the connection's end is reached; once."""
        if not self.transport.disconnected:
            self.transport.disconnected = True
            self.protocol.connectionLost(Failure(ConnectionDone()))


def _head(head: bytes) -> tuple[int, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    _, status, reason = first.split(" ", 2)
    return int(status), reason, {name.lower(): value for name, value in headers.items()}


def unchunked(data: bytes) -> tuple[bytes, bytes | None]:
    """Return the body of the received chunks, and the bytes after it; None if its end has not arrived."""
    body = b""
    while data:
        size, separator, rest = data.partition(b"\r\n")
        length = int(size, 16)
        if not separator or len(rest) < length + 2:
            break
        body, data = body + rest[:length], rest[length + 2 :]
        if length == 0:
            return body, data
    return body, None


def ask(
    served: WebSite | Iterable[Route],
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    user: User = ANYONE,
) -> Got:
    """Ask a site, or some routes as `user`, one thing; it must be answered at once."""
    site = served if isinstance(served, WebSite) else site_of(served, user)
    wire = Wire(site)
    wire.ask(method, path, body, headers)
    answer = wire.answer()
    if answer is None:
        raise AssertionError(f"no answer, but {wire.data!r}")
    wire.lose()
    return answer
