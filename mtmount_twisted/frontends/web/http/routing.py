"""`Router`: a request -> its route; the answer, or an error -> HTTP.

The router asks the guard first. Then it finds the route, the user and the body. If all three are valid, the
route receives a `Call`. The router knows nothing of the areas that it serves. It writes to the request only.
Next to read: `guard`, the rights of users; `site`, the connections.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from http import HTTPStatus
from typing import NoReturn, Protocol
from urllib.parse import parse_qsl, unquote

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from mtmount_twisted.hosts import client_network
from mtmount_twisted.net.rate_limited_log import RateLimitedLog

from .answers import Json
from .calls import LISTS, Answer, Call, Request, RequestError, Role, Route, User
from .encoding import Encoded, negotiated

DEEPEST = 32
"""The deepest nesting of arrays and objects in a body."""

MOST_DIGITS = 400
"""The largest number of digits of a whole number in a body. A double holds 309 digits."""

LONGEST_LIST = 1000
"""The number of characters that are read of a header with a list: each item takes microseconds."""

WRITES = ("POST", "PUT", "PATCH")
"""The methods that need a body's type even without a body: a form of another site's page can send these."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer; an answer's own headers replace them."""


class AccessPolicy(Protocol):
    """The guard that accepts requests and identifies their users.

    :ivar has_tokens: True if users identify themselves by tokens.
    """

    @property
    def has_tokens(self) -> bool: ...

    def admit(self, request: Request) -> None:
        """Check the host and the origin of a request; raise `RequestError` if it is rejected."""

    def user(self, request: Request, role: Role | None) -> User:
        """Return the user that made a request; raise `RequestError` if that user lacks the role."""


class Router:
    """Answer requests.

    :param routes: all routes.
    :param gate: the guard.
    :param log: receives errors in routes.
    :param prefix: the prefix of each path at a proxy, such as ``/mount``. A request may have the prefix or,
        if the proxy removes it, lack it.
    """

    def __init__(
        self, routes: Iterable[Route], gate: AccessPolicy, log: RateLimitedLog, prefix: str = ""
    ) -> None:
        self._gate = gate
        self._limited_log = log
        self._prefix = prefix.encode()
        self._paths: dict[tuple[str, ...], dict[str, Route]] = {}
        for route in routes:
            self._paths.setdefault(tuple(route.path.split("/")), {})[route.method] = route
        if prefix:  # without the final / the page's relative links would miss the prefix
            top = Route("GET", prefix, _to_the_top, None, "The way to the page.")
            self._paths.setdefault(tuple(prefix.split("/")), {}).setdefault("GET", top)
        self._slashes = {len(parts) - 1 for parts in self._paths}

    def respond(self, request: Request) -> None:
        """Answer one request, now or later. Cancel the answer if the connection is lost."""
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        finished = request.notifyFinish()
        answering = Deferred.fromCoroutine(self._outcome(request))
        gone = False

        def lost(reason: Failure) -> None:
            nonlocal gone
            gone = True
            answering.cancel()

        def answered(answer: Encoded | None) -> None:
            if answer is not None and not gone:
                write(request, answer, self._prefix.decode())

        def failed(reason: Failure) -> None:
            self._limited_log.error("web: an answer can't be written: %s", reason.getTraceback())
            if not gone:
                request.channel.transport.abortConnection()

        answering.addCallback(answered).addErrback(failed)
        finished.addErrback(lost)

    async def _outcome(self, request: Request) -> Encoded | None:
        """Return the answer to write, also after an error; None if the answer is a stream."""
        try:
            answer = await self._answer(request)
            return None if answer.streams else as_sent(request, answer)
        except RequestError as problem:
            answer = problem.answer()
        except CancelledError:
            answer = RequestError(503, "the daemon ends").answer()
        except Exception:
            answer = RequestError(500, "the daemon failed to answer; its log says why").answer()
            where = request.path[:200].decode("ascii", "replace")
            method = request.method[:20].decode("ascii", "replace")
            self._limited_log.exception("web: can't answer %s %r", method, where)
        return as_sent(request, answer)

    async def _answer(self, request: Request) -> Answer:
        method, route, parts, user = self._let_in(request)
        observes = user.observes
        if route.role is not None:
            request.accepted(self._gate.has_tokens, observes)
        headers = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in request.requestHeaders.getAllRawHeaders()
            if name.lower() != b"authorization"  # no route may see the token
        }
        headers |= {name: _whole_list(request, name) for name in LISTS if name in headers}
        sent = request.uri.partition(b"?")[2].decode("latin-1")
        query = dict(parse_qsl(sent, keep_blank_values=True))
        body = read_body(method, headers.get("content-type"), request.content.read())
        peer = client_network(_host_of(request))
        network = "" if self._gate.has_tokens else peer
        call = Call(
            user, parts, query, body, headers, request, method == "HEAD", network, peer, request.stops
        )
        answer = await route.respond(call)
        if answer.streams:
            request.accepted(True, observes)
        return answer

    def max_body_of(self, request: Request) -> int:
        """Return the length of the longest body that a request may have, in bytes; see `Route.max_body`.

        :raises RequestError: if the request is rejected without its body.
        """
        _, route, _, _ = self._let_in(request)
        return route.max_body

    def turn_of(self, request: Request) -> tuple[str, str] | None:
        """Return the user and the network that a request counts for in the turns.

        Without tokens, all requests have one user.

        :returns: None for a request that will be rejected.
        """
        try:
            _, _, _, user = self._let_in(request)
        except RequestError:
            return None
        return user.name, client_network(_host_of(request))

    def _let_in(self, request: Request) -> tuple[str, Route, dict[str, str], User]:
        """Return a request's method, route, path parts and user, from its first line and headers.

        :raises RequestError: if it is rejected.
        """
        self._gate.admit(request)
        method = request.method.decode("ascii", "replace")
        route, parts = self.find(method, request.path)
        return method, route, parts, self._gate.user(request, route.role)

    def find(self, method: str, path: bytes) -> tuple[Route, dict[str, str]]:
        """Return the route of a path, and the parts of the path for which it has names in braces.

        :raises RequestError: if there is none, or none for this method.
        """
        fitting = self._fitting(path)
        if not fitting and path.startswith(self._prefix + b"/"):
            fitting = self._fitting(path.removeprefix(self._prefix))
        if not fitting:
            raise RequestError(404, "unknown path")
        parts, methods = min(fitting, key=lambda each: len(each[0]))  # a path without braces goes first
        if method == "HEAD":
            method = "GET"  # whose answer is sent without its body
        if method not in methods:
            allowed = ", ".join("GET, HEAD" if each == "GET" else each for each in methods)
            raise RequestError(405, f"this path does not take {method[:20]}", headers={"Allow": allowed})
        return methods[method], parts

    def _fitting(self, path: bytes) -> list[tuple[dict[str, str], dict[str, Route]]]:
        """Return the parts and the routes, by method, of each pattern that matches a path."""
        if path.count(b"/") not in self._slashes:  # a path of 500 escaped parts would take 5 ms to read
            return []
        given = [unquote(segment.decode("latin-1"), errors="replace") for segment in path.split(b"/")]
        return [
            (parts, methods)
            for pattern, methods in self._paths.items()
            if (parts := match(pattern, given)) is not None
        ]


def match(pattern: tuple[str, ...], given: list[str]) -> dict[str, str] | None:
    """Return the part for each name in braces, or None if the path does not match."""
    if len(pattern) != len(given):
        return None
    parts = {}
    for wanted, segment in zip(pattern, given, strict=True):
        if wanted.startswith("{") and segment:
            parts[wanted[1:-1]] = segment
        elif wanted != segment:
            return None
    return parts


def as_sent(request: Request, answer: Answer) -> Encoded:
    """Return an answer in the form that its client accepts."""
    return negotiated(answer, *(_whole_list(request, name) for name in LISTS))


def _host_of(request: Request) -> str:
    """Return the address of the peer; empty if it has none, as at a Unix socket."""
    return str(getattr(request.getClientAddress(), "host", ""))


async def _to_the_top(call: Call) -> Answer:
    return Answer(status=308, headers={"Location": "/"})


def _whole_list(request: Request, name: str) -> str:
    """Return all values of a header, separated by commas, up to `LONGEST_LIST`; empty if there is none."""
    values = request.requestHeaders.getRawHeaders(name.encode(), [])
    return ", ".join(value.decode("latin-1") for value in values)[:LONGEST_LIST]


def reason(status: int) -> bytes:
    """Return the reason phrase of a status."""
    return HTTPStatus(status).phrase.encode()


def write(request: Request, answer: Encoded, prefix: str = "") -> None:
    """Send an answer. If a stream has already begun, close the connection instead.

    :param prefix: the prefix of a ``Location`` on this daemon.
    """
    if request.startedWriting:
        request.loseConnection()
        return
    request.setResponseCode(answer.status, reason(answer.status))
    # RFC 9110, 9.3.2: HEAD states the length of the body that GET has. A stream has no length.
    if answer.status not in (204, 304) and (answer.body or request.method != b"HEAD"):
        request.setHeader("Content-Length", str(len(answer.body)))
    for name, value in answer.headers.items():
        below = prefix if name.lower() == "location" and value.startswith("/") else ""
        request.setHeader(name, below + value)
    request.write(answer.body)
    request.finish()


def read_body(method: str, content_type: str | None, data: bytes) -> Json:
    """Return the JSON value of a request's body, or None if there is no body.

    :raises RequestError: if the body has another media type, or `parse_json` rejects it.
    """
    if method in ("GET", "HEAD") or not (data or method in WRITES):
        return None
    kind, _, charset = (content_type or "").lower().replace(" ", "").replace('"', "").partition(";")
    if kind != "application/json" or charset not in ("", "charset=utf-8"):
        raise RequestError(
            415, f"expected Content-Type: application/json, got {(content_type or 'none')[:80]!r}"
        )
    return parse_json(data) if data else None


def parse_json(data: bytes) -> Json:
    """Return a JSON value. Reject a repeated key, NaN, an infinity, deep nesting, and text other than UTF-8.

    :raises RequestError: with the place of the error, if it is known.
    """
    try:
        value: Json = json.loads(
            data.decode(),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
        _check(value, DEEPEST)
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8: byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        why = f"the body is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        raise RequestError(400, why) from None
    except RecursionError:
        raise RequestError(400, _TOO_DEEP) from None
    return value


_TOO_DEEP = f"the body is nested more than {DEEPEST} deep"


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, value in pairs:
        if name in found:
            raise RequestError(400, f"the body has the key {name[:80]!r} twice in one object")
        found[name] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise RequestError(400, f"the body has {name}, which is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise RequestError(400, f"the body has a number that no double can hold: {text[:40]}")
    return value


def _whole(text: str) -> int:
    digits = len(text.lstrip("-"))
    if digits > MOST_DIGITS:
        raise RequestError(400, f"the body has a number of {digits} digits, expected {MOST_DIGITS} at most")
    return int(text)


def _check(value: Json, left: int) -> None:
    """Raise `RequestError` if a value is nested too deeply, or contains half of a surrogate pair."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RequestError(400, "the body has half of a surrogate pair, which is no character") from None
    elif isinstance(value, list | dict):
        if left == 0:
            raise RequestError(400, _TOO_DEEP)
        for each in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(each, left - 1)
