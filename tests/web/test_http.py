"""Rules of HTTP that other programs rely on: targets, framing, refusals, and requests sent ahead."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config import loading
from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route
from mtmount_twisted.frontends.web.http.guard import Guard, HostPolicy
from mtmount_twisted.frontends.web.http.pages import Pages
from mtmount_twisted.frontends.web.http.site import make_site
from tests.support.web import ANYONE, LOG, Got, LetIn, Wire, ask

from .test_site import SiteCase

JSON = {"Content-Type": "application/json"}


class Refusals(SiteCase):
    """A request that is refused before its end gets one answer."""

    def test_no_continue_after_413(self) -> None:
        """A client that asks before it sends a long body is told 413, and never to go on after that."""
        wire = self.wire()
        wire.ask("POST", "/", headers={**JSON, "Content-Length": "101", "Expect": "100-continue"})
        self.assert_refused(wire, 413)
        self.assertNotIn(b"100 Continue", wire.data)
        wire.send(b"x" * 101 + b"GET / HTTP/1.1\r\n\r\n")
        self.assertIsNone(wire.answer())

    def test_continue(self) -> None:
        """A client that asks before it sends a body that is taken is told to go on."""
        wire = self.wire()
        wire.ask("POST", "/", headers={**JSON, "Content-Length": "3", "Expect": "100-continue"})
        self.assertEqual(wire.data, b"HTTP/1.1 100 Continue\r\n\r\n")
        wire.send(b"[1]")
        self.assertIn(b'{"body":[1]}', wire.data)

    def test_ends_whatever_still_comes(self) -> None:
        """A refused connection is cut after its deadline, also when all of its body has come."""
        for data in (b"7f\r\n" + b"x" * 127 + b"\r\n0\r\n\r\n", b"7f\r\n" + b"x" * 101):
            wire = self.wire()
            half_closed: list[bool] = []
            wire.transport.loseWriteConnection = lambda to=half_closed: to.append(True)  # type: ignore[attr-defined]
            wire.ask("POST", "/", headers={**JSON, "Transfer-Encoding": "chunked"})
            wire.send(data)
            self.assert_refused_softly(wire, half_closed)
            self.clock.advance(10)
            self.assertTrue(wire.transport.aborted)

    def assert_refused_softly(self, wire: Wire, half_closed: list[bool]) -> None:
        """The answer is there, and only the way out was closed."""
        got = wire.answer()
        self.assertEqual((got and got.status, half_closed, wire.closed), (413, [True], False))

    def test_head_gets_no_body(self) -> None:
        """A refused HEAD is answered by headers alone."""
        wire = self.wire()
        wire.ask("HEAD", "/", headers={"Content-Length": "101"})
        head, _, body = wire.data.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 413 "))
        self.assertEqual(body, b"")


class Framing(SiteCase):
    """Where a body ends must be beyond doubt, for everybody on the way."""

    def test_transfer_encodings(self) -> None:
        """Two ``Transfer-Encoding`` lines, or another than chunked, are refused; nothing after is read."""
        for lines in (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            b"Transfer-Encoding: identity",
            b"Transfer-Encoding: identity\r\nContent-Length: 5",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: gzip, chunked",
            b"Content-Length: 5\r\nContent-Length: 5",
        ):
            wire = self.wire()
            wire.send(b"POST / HTTP/1.1\r\n" + lines + b"\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
            self.assert_refused(wire, 400)
            self.assertIsNone(wire.answer(), lines)
            wire.lose()

    def test_folded_lines(self) -> None:
        """A header line that begins with a space or a tab is refused: proxies read it in different ways."""
        for lines in (
            b"Transfer-Encoding:\r\n chunked",
            b"Transfer-Encoding:\r\n\tchunked",
            b"Content-Length: 5\r\n Transfer-Encoding: chunked",
            b" Transfer-Encoding: chunked",
            b"X-Note: a\r\n b",
            b"X-Note: a\r\n ",
        ):
            wire = self.wire()
            wire.send(b"POST / HTTP/1.1\r\n" + lines + b"\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
            self.assert_refused(wire, 400)
            self.assertIsNone(wire.answer(), lines)
            wire.lose()

    def test_case_of_chunked(self) -> None:
        """The name of the coding may be written in any case."""
        wire = self.wire()
        wire.ask("POST", "/", headers={**JSON, "Transfer-Encoding": "Chunked"})
        wire.send(b"3\r\n[1]\r\n0\r\n\r\n")
        got = wire.answer()
        self.assertEqual(got and got.json, {"body": [1]})


class SentAhead(SiteCase):
    """Requests whose answers the client does not read."""

    def test_next_waits_for_the_reader(self) -> None:
        """While the client does not read, one answer waits for it, and not one for each request it sent."""
        wire = self.wire()
        wire.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n" * 100)
        wire.transport.producer.pauseProducing()
        for _ in range(200):
            self.clock.advance(0)
        self.assertEqual(wire.data.count(b"200 OK"), 1)
        wire.transport.producer.resumeProducing()
        for _ in range(200):
            self.clock.advance(0)
        self.assertEqual(wire.data.count(b"200 OK"), 100)
        self.assertFalse(wire.closed)

    def test_reader_that_never_reads(self) -> None:
        """A client that never reads is closed after the deadline of a request, and cut off after another."""
        wire = self.wire()
        wire.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n" * 3)
        wire.transport.producer.pauseProducing()
        self.clock.advance(0)
        self.clock.advance(10)
        self.assertTrue(wire.closed)
        self.clock.advance(10)
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(wire.data.count(b"HTTP/1.1 "), 1)

    def test_gone_while_it_waits(self) -> None:
        """A client that goes while its next request waits leaves nothing behind."""
        wire = self.wire()
        wire.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n" * 3)
        wire.transport.producer.pauseProducing()
        self.clock.advance(0)
        wire.lose()
        self.assertEqual(self.site.connections, {})


class Targets(SiteCase):
    """What stands between the method and the version."""

    def ask_raw(self, target: str, *hosts: str) -> Got:
        """One request with a target as it is, behind a guard that answers for ``localhost``."""

        async def told(call: Call) -> Answer:
            return Answer([call.request.path.decode(), dict(call.query)])

        routes = [Route("GET", path, told, "observe", "Tell.") for path in ("/", "/a")]
        site = make_site(routes, Guard(HostPolicy(), None, ANYONE), LOG, self.clock, WebSettings())
        wire = Wire(site)
        lines = [f"GET {target} HTTP/1.1", *(f"Host: {host}" for host in hosts), "", ""]
        wire.send("\r\n".join(lines).encode())
        got = wire.answer()
        wire.lose()
        assert got is not None
        return got

    def test_absolute(self) -> None:
        """A target with a host is that host's path, whatever the Host header says."""
        for target, path, query in (
            ("http://localhost:8080/a?x=1", "/a", {"x": "1"}),
            ("HTTP://LOCALHOST/a", "/a", {}),
            ("https://localhost/a", "/a", {}),
            ("http://localhost", "/", {}),
            ("http://localhost?x=1", "/", {"x": "1"}),
        ):
            for hosts in ((), ("localhost",), ("evil.example.org",)):
                got = self.ask_raw(target, *hosts)
                self.assertEqual((got.status, got.json), (200, [path, query]), (target, hosts))

    def test_absolute_elsewhere(self) -> None:
        """A target with another host is refused, though the Host header is right; so are two of those."""
        for target in ("http://evil.example.org/a", "http:///a", "http://user@localhost/a"):
            self.assertEqual(self.ask_raw(target, "localhost").status, 421, target)
        self.assertEqual(self.ask_raw("http://localhost/a", "localhost", "localhost").status, 421)
        self.assertEqual(self.ask_raw("ftp://localhost/a", "localhost").status, 404)


class Prefixes(SiteCase):
    """Behind a proxy that has the daemon below a path."""

    def ask(self, path: str, method: str = "GET", prefix: str = "/mount") -> Got:
        """One request to a site below a path."""

        async def begun(call: Call) -> Answer:
            return Answer({}, 202, {"location": "/api/v1/commands/1"})

        async def elsewhere(call: Call) -> Answer:
            return Answer({}, 303, {"Location": "https://elsewhere.example.org/"})

        routes = [
            *Pages().routes(),
            Route("POST", "/api/v1/commands", begun, "observe", "Begin."),
            Route("GET", "/elsewhere", elsewhere, "observe", "Leave."),
        ]
        site = make_site(routes, LetIn(), LOG, self.clock, WebSettings(), prefix)
        return ask(site, method, path, {} if method == "POST" else None)

    def test_with_and_without(self) -> None:
        """A request is answered whether the proxy takes the prefix off or not."""
        for prefix in ("/mount", "/a/b"):
            for path in ("/", "/static/style.css", "/static/../x"):
                plain = self.ask(path, prefix=prefix)
                self.assertEqual(self.ask(prefix + path, prefix=prefix).body, plain.body)

    def test_location(self) -> None:
        """``Location`` is where the client finds it; one that is not on this daemon stays as it is."""
        for path in ("/api/v1/commands", "/mount/api/v1/commands"):
            self.assertEqual(self.ask(path, "POST").headers["location"], "/mount/api/v1/commands/1")
        self.assertEqual(self.ask("/elsewhere").headers["location"], "https://elsewhere.example.org/")
        got = self.ask("/api/v1/commands", "POST", prefix="")
        self.assertEqual(got.headers["location"], "/api/v1/commands/1")

    def test_without_the_last_slash(self) -> None:
        """The prefix alone leads to the page, whose links are relative."""
        got = self.ask("/mount")
        self.assertEqual((got.status, got.headers["location"]), (308, "/mount/"))

    def test_nothing_else(self) -> None:
        """Another path that only looks like it is none, and without the setting there is none."""
        for path in ("/mounts/", "/mount/mount/", "/mountstatic/style.css", "/other/"):
            self.assertEqual(self.ask(path).status, 404, path)
        self.assertEqual(self.ask("/mount/", prefix="").status, 404)


PORT = """
[[port]]
name = "desk"
endpoint = "tcp:0:interface=127.0.0.1"
"""


class PrefixSettings(SynchronousTestCase):
    """``web.path_prefix``."""

    def test_right(self) -> None:
        """A path, with or without its last slash; none is no prefix."""
        for text, prefix in (("/mount", "/mount"), ("/a/b.c/", "/a/b.c"), ("/", ""), ("", "")):
            self.assertEqual(loading.load(f'{PORT}[web]\npath_prefix = "{text}"').web.path_prefix, prefix)

    def test_wrong(self) -> None:
        """What is no path, or would have to be escaped, stops the daemon at its start."""
        for text in ("mount", "https://example.org/mount", "/a b", "/a//b", "/../a", "/a/.", "/%41", "/a?b"):
            with self.assertRaises(ConfigError) as caught:
                loading.load(f'{PORT}[web]\npath_prefix = "{text}"')
            self.assertIn("web.path_prefix: expected a path such as /mount", str(caught.exception))


class Desks(SiteCase):
    """What one desk needs, with the bounds as they are if nobody says otherwise."""

    def test_browsers_and_programs(self) -> None:
        """Three browsers with all the connections that they may have, a Prometheus and four programs."""
        self.make_site(WebSettings())
        wires = [self.wire() for _ in range(3 * 6 + 1 + 4)]
        for wire in wires:
            wire.ask("GET", "/wait")
        late = self.wire()
        late.ask("GET", "/")
        got = late.answer()
        self.assertEqual((got and got.status, self.site.refused), (200, 0))
