"""Requests to what answers them, and answers to HTTP, in memory."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.web.http.answers import Lease
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Fault, RequestError, Route
from mtmount_twisted.frontends.web.http.routing import DEEPEST, HEADERS, MOST_DIGITS
from tests.support.web import ANYONE, OBSERVER, Got, Wire, ask, site_of


async def tell(call: Call) -> Answer:
    """Answer with the call."""
    return Answer(
        {"parts": dict(call.parts), "query": dict(call.query), "body": call.body, "user": call.user.name}
    )


def route(method: str, path: str, respond: Any = tell, role: Any = "observe") -> Route:
    """A route."""
    return Route(method, path, respond, role, "For the test.")


ROUTES = [
    route("GET", "/"),
    route("GET", "/things"),
    route("POST", "/things"),
    route("DELETE", "/things"),
    route("GET", "/things/{id}"),
    route("GET", "/things/all"),
]


class Finding(SynchronousTestCase):
    """What answers at which path."""

    def test_call(self) -> None:
        """What answers sees who asks, what stands in the path, the last of each parameter, and the body."""
        got = ask(ROUTES, "GET", "/things/a%2Fb%20c?x=1&x=2&y=%C3%BC&z")
        self.assertEqual(
            got.json,
            {
                "parts": {"id": "a/b c"},
                "query": {"x": "2", "y": "ü", "z": ""},
                "body": None,
                "user": "anyone",
            },
        )
        self.assertEqual(ask(ROUTES, "POST", "/things", {"a": 1.5}).json["body"], {"a": 1.5})

    def test_path_with_too_many_parts(self) -> None:
        """A path with more parts than any route is 404 before its parts are read: 500 of them take 5 ms."""
        with patch("mtmount_twisted.frontends.web.http.routing.unquote", wraps=unquote) as reading:
            self.assertEqual(ask(ROUTES, "GET", "/%41" * 500).status, 404)
            self.assertEqual(ask(ROUTES, "GET", "/%41").status, 404)
        self.assertLessEqual(reading.call_count, 10)

    def test_written_out_goes_first(self) -> None:
        """A path that is written out wins over one with a name in braces."""
        self.assertEqual(ask(ROUTES, "GET", "/things/all").json["parts"], {})
        self.assertEqual(ask(ROUTES, "GET", "/things/al").json["parts"], {"id": "al"})

    def test_nothing_there(self) -> None:
        """A path that is none is 404, in JSON."""
        for path in ("/thing", "/things/", "/things/1/2", "//things", "/things/../things", "*"):
            got = ask(ROUTES, "GET", path)
            self.assertEqual((got.status, got.json), (404, {"error": "unknown path"}), path)

    def test_method(self) -> None:
        """A method that a path does not take is 405, with those that it takes."""
        for method in ("PUT", "OPTIONS", "BREW", "head"):
            wire = Wire(site_of(ROUTES))
            wire.ask(method, "/things")
            got = wire.stream()
            self.assertEqual((got.status, got.headers["allow"]), (405, "GET, HEAD, POST, DELETE"))
        wire = Wire(site_of([route("POST", "/things")]))
        wire.ask("HEAD", "/things")
        self.assertEqual((wire.stream().status, wire.stream().headers["allow"]), (405, "POST"))

    def test_role(self) -> None:
        """A user without the role is refused."""
        routes = [route("GET", "/", role="command"), route("GET", "/open", role=None)]
        self.assertEqual(ask(routes, "GET", "/", user=OBSERVER).status, 403)
        self.assertEqual(ask(routes, "GET", "/", user=ANYONE).status, 200)
        self.assertEqual(ask(routes, "GET", "/open", user=OBSERVER).status, 200)


class Bodies(SynchronousTestCase):
    """What a request may bring."""

    def post(self, body: bytes, kind: str | None = "application/json", method: str = "POST") -> Got:
        """A request with a body as it is."""
        return ask(ROUTES, method, "/things", body, {} if kind is None else {"Content-Type": kind})

    def test_type(self) -> None:
        """What may change something is JSON in UTF-8, by its own word."""
        for kind in (
            "application/json",
            "Application/JSON; charset=UTF-8",
            'application/json;charset="utf-8"',
        ):
            self.assertEqual(self.post(b"{}", kind).status, 200, kind)
        for kind in (
            None,
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin-1",
        ):
            self.assertEqual(self.post(b"{}", kind).status, 415, kind)
            self.assertEqual(self.post(b"", kind).status, 415, kind)
        self.assertEqual(self.post(b"{}", "text/plain", "DELETE").status, 415)

    def test_no_body(self) -> None:
        """Without one, the body is None; a DELETE needs no type then."""
        self.assertIsNone(self.post(b"").json["body"])
        self.assertIsNone(self.post(b"", None, "DELETE").json["body"])
        self.assertIsNone(ask(ROUTES, "GET", "/", b"x").json["body"])

    def test_wrong(self) -> None:
        """What is no JSON, or not safe to use, is 400, with the place or the reason."""
        for body, reason in (
            (b'{"a": 1,\n 2}', "line 2, column 2"),
            (b"{", "line 1, column 2"),
            (b'"\xff"', "not UTF-8: byte 2"),
            (b'{"a": {"b": 1, "b": 2}}', "'b' twice"),
            (b'{"a": NaN}', "NaN"),
            (b'{"a": -Infinity}', "-Infinity"),
            (b'{"a": 1e999}', "1e999"),
            (b"9" * 4000, "4000 digits, expected 400 at most"),
            (b'{"a": -' + b"9" * 401 + b"}", "401 digits"),
            (b'{"a": "\\ud800"}', "surrogate"),
            (b'{"\\ud800": 1}', "surrogate"),
            (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "nested more than"),
            (b'{"a":' * 600 + b"1" + b"}" * 600, "nested more than"),
        ):
            got = self.post(body)
            self.assertEqual(got.status, 400, body[:30])
            self.assertIn(reason, got.json["error"])
        self.assertEqual(self.post(b"9" * MOST_DIGITS).json["body"], int("9" * MOST_DIGITS))
        self.assertEqual(self.post(b"[" * DEEPEST + b"]" * DEEPEST).status, 200)


class Answers(SynchronousTestCase):
    """What goes back."""

    def answered(self, respond: Any) -> Got:
        """What is answered."""
        return ask([route("GET", "/", respond)], "GET", "/")

    def test_headers(self) -> None:
        """Every answer has the headers that keep a browser safe, and names no server; its own win."""

        async def own(call: Call) -> Answer:
            return Answer(b"x", 200, {"cache-control": "max-age=5", "content-type": "text/css"})

        for path in ("/", "/nothing"):
            got = ask([route("GET", "/")], "GET", path)
            for name, value in HEADERS.items():
                self.assertEqual(got.headers[name.lower()], value)
            self.assertEqual(got.headers["content-type"], "application/json")
            self.assertNotIn("server", got.headers)
            self.assertNotIn("set-cookie", got.headers)
        got = self.answered(own)
        self.assertEqual(
            (got.headers["cache-control"], got.headers["content-type"]), ("max-age=5", "text/css")
        )
        self.assertEqual(got.body, b"x")

    def test_problem(self) -> None:
        """What is refused is told with each fault."""

        async def refuse(call: Call) -> Answer:
            lease = Lease(holder="csc", source="CSC", number=7, since=None, holder_gone=False, requests=[])
            raise RequestError(422, "wrong", (Fault("a.b", "too much"),), {"Retry-After": "1"}, lease=lease)

        got = self.answered(refuse)
        self.assertEqual((got.status, got.headers["retry-after"]), (422, "1"))
        self.assertEqual(
            got.body,
            b'{"error":"wrong","lease":{"holder":"csc","source":"CSC","number":7,"since":null,'
            b'"holder_gone":false,"requests":[]},"faults":[{"where":"a.b","why":"too much"}]}\n',
        )

    def test_fault(self) -> None:
        """A fault of what answers, or an answer that can't be written, is 500 and a traceback in the log."""

        async def fail(call: Call) -> Answer:
            raise KeyError("secret")

        async def no_json(call: Call) -> Answer:
            return Answer({"a": object()})

        for respond in (fail, no_json):
            with self.assertLogs("tests.support.web", "ERROR") as caught:
                got = self.answered(respond)
            self.assertEqual(got.status, 500)
            self.assertNotIn(b"secret", got.body)
            self.assertIn("Traceback", caught.output[0])

    def test_empty(self) -> None:
        """An answer may have no body."""

        async def nothing(call: Call) -> Answer:
            return Answer(status=204)

        got = self.answered(nothing)
        self.assertEqual((got.status, got.body), (204, b""))
        self.assertNotIn("content-length", got.headers)

    def test_late(self) -> None:
        """An answer may be waited for, and two requests on one connection are answered in turn."""
        waiting: list[Deferred[str]] = []

        async def wait(call: Call) -> Answer:
            waiting.append(Deferred())
            return Answer(await waiting[-1])

        clock = Clock()
        wire = Wire(site_of([route("GET", "/", wait)], clock=clock))
        wire.ask("GET", "/")
        wire.ask("GET", "/")
        self.assertIsNone(wire.answer())
        self.assertEqual(len(waiting), 1)
        waiting[0].callback("one")
        clock.advance(0)
        waiting[1].callback("two")
        answers = [wire.answer(), wire.answer()]
        self.assertEqual([answer and answer.json for answer in answers], ["one", "two"])

    def test_client_gone(self) -> None:
        """Who waits for a client that is gone is cancelled."""
        cancelled: list[Any] = []

        async def wait(call: Call) -> Answer:
            return Answer(await Deferred(cancelled.append))

        async def insist(call: Call) -> Answer:
            try:
                return await wait(call)
            except CancelledError:
                return Answer("still here")

        for respond in (wait, insist):
            wire = Wire(site_of([route("GET", "/", respond)]))
            wire.ask("GET", "/")
            wire.lose()
            self.assertEqual((len(cancelled), wire.data), (1, b""))
            cancelled.clear()

    def test_wait_ended(self) -> None:
        """A wait that the daemon ends, as it ends itself, is told to the client."""
        waiting: list[Deferred[Any]] = []

        async def wait(call: Call) -> Answer:
            waiting.append(Deferred())
            return Answer(await waiting[0])

        wire = Wire(site_of([route("GET", "/", wait)]))
        wire.ask("GET", "/")
        waiting[0].cancel()
        answer = wire.answer()
        self.assertEqual(answer and answer.status, 503)

    def test_stream_that_fails(self) -> None:
        """A stream that fails ends: half an answer is not followed by another."""

        async def stream(call: Call) -> Answer:
            call.request.write(b"one")
            raise KeyError("two")

        wire = Wire(site_of([route("GET", "/", stream)]))
        with self.assertLogs("tests.support.web", "ERROR"):
            wire.ask("GET", "/")
        self.assertEqual((wire.stream().body, wire.closed), (b"one", True))

    def test_stream(self) -> None:
        """What answers may do so by itself, in pieces, under the same headers."""
        requests = []

        async def stream(call: Call) -> Answer:
            requests.append(call.request)
            call.request.write(b"one,")
            return Answer(streams=True)

        wire = Wire(site_of([route("GET", "/", stream)]))
        wire.ask("GET", "/")
        self.assertEqual(wire.stream().body, b"one,")
        requests[0].write(b"two")
        self.assertEqual(wire.stream().body, b"one,two")
        self.assertEqual(wire.stream().headers["x-content-type-options"], "nosniff")
        self.assertIsNone(wire.answer())
        requests[0].finish()
        answer = wire.answer()
        self.assertEqual(answer and answer.body, b"one,two")
