"""Who is let in to the web site, and who is not."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Role, Route, User
from mtmount_twisted.frontends.web.http.guard import ANYONE, LONGEST_URL, Guard, HostPolicy
from mtmount_twisted.frontends.web.http.site import make_site
from mtmount_twisted.frontends.web.http.tokens import Tokens, load
from tests.support.web import LOG, Got, Wire, ask

SECRETS = {"night": "night-0123456789", "wall": "wall-01234567890", "panic": "panic-0123456789"}
ROLES = {"night": "command", "wall": "observe", "panic": "stop"}
TOKENS = load(
    "".join(
        f'[[token]]\nname = "{name}"\nsecret = "{secret}"\nroles = ["{ROLES[name]}"]\n'
        for name, secret in SECRETS.items()
    ).encode()
)


async def who(call: Call) -> Answer:
    """Answer who asks."""
    return Answer(call.user.name)


def route(path: str, role: Role | None, method: str = "GET") -> Route:
    """A route that needs a role."""
    return Route(method, path, who, role, "For the test.")


class GuardCase(SynchronousTestCase):
    """A site behind a guard."""

    tokens: Tokens | None = None

    def setUp(self) -> None:
        routes = [
            route("/", None),
            route("/look", "observe"),
            route("/move", "command", "POST"),
            route("/stop", "stop", "POST"),
        ]
        anyone = User(ANYONE, frozenset(("observe", "command", "stop")), Source.EUI)
        doors = HostPolicy(("mount.example.org", "2001:db8::1"), ("https://proxy.example.org",))
        self.site = make_site(routes, Guard(doors, self.tokens, anyone), LOG, Clock(), WebSettings())

    def ask(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Got:
        """One request."""
        return ask(self.site, method, path, {} if method == "POST" else None, headers)


class Doorways(GuardCase):
    """Where a request goes, and where it comes from."""

    def test_hosts(self) -> None:
        """A request is for a name or an address of this daemon, whatever the port; all others are refused."""
        for host in (
            *("localhost", "localhost:8080", "LocalHost:9000", "127.0.0.1:8080", "[::1]", "[::1]:8080"),
            *("mount.example.org", "mount.example.org:443", "[2001:db8::1]:8080"),
            *("mount.example.org.", "Mount.Example.org.:443", "localhost."),
            *("[0:0:0:0:0:0:0:1]", "[2001:DB8:0::1]", "[::ffff:127.0.0.1]"),
        ):
            self.assertEqual(self.ask("/", {"Host": host}).status, 200, host)
        for host in (
            *(
                "evil.example.org",
                "localhost.evil.example.org",
                "127.0.0.1.evil.example.org",
                "127.0.0.2",
                "",
            ),
            *("localhost:80:80", "localhost@evil.example.org", "::1", "mount.example.org..", "localhost:x"),
            *(".", "..", ".:80"),
        ):
            for path in ("/", "/look", "/nothing"):
                got = self.ask(path, {"Host": host})
                self.assertEqual((got.status, got.reason), (421, "Misdirected Request"), host)
        self.assertIn("web.allowed_hosts", got.json["error"])

    def test_own_address(self) -> None:
        """The address at which a request arrives is a host of this daemon, however its socket spells it."""
        for here, host, others in (
            ("192.0.2.7", "192.0.2.7", ("192.0.2.8",)),
            ("::ffff:192.0.2.7", "192.0.2.7:8080", ("192.0.2.8", "[::ffff:192.0.2.8]")),
            ("::ffff:c000:207", "[::ffff:192.0.2.7]", ("[::192.0.2.7]",)),
            ("fe80::1%eth0", "[fe80::1]:8080", ("[fe80::2]", "[fe80::1%eth0]")),
        ):
            for asked, status in ((host, 200), *((other, 421) for other in others)):
                wire = Wire(self.site, host=here)
                wire.ask("GET", "/", headers={"Host": asked})
                got = wire.answer()
                assert got is not None
                self.assertEqual(got.status, status, (here, asked))
                wire.lose()

    def test_no_address(self) -> None:
        """A socket without an address, as that of a Unix endpoint, adds no host."""
        wire = Wire(self.site)
        wire.transport.hostAddr = UNIXAddress("/run/web")
        wire.ask("GET", "/", headers={"Host": "."})
        got = wire.answer()
        assert got is not None
        self.assertEqual(got.status, 421)
        wire.lose()

    def test_two_hosts(self) -> None:
        """A request with two hosts, or none, is for nobody."""
        self.assertEqual(self.ask("/", {"Host": "localhost", "HOST": "evil"}).status, 421)
        self.assertEqual(self.ask("/", {"Host": "localhost", "HOST": "localhost"}).status, 421)

    def test_origins(self) -> None:
        """A page of this daemon may ask, and one that the configuration names; no other may, for anything."""
        for origin in ("http://127.0.0.1:8080", "https://127.0.0.1:8080", "https://proxy.example.org"):
            self.assertEqual(self.ask("/", {"Origin": origin}).status, 200, origin)
        dotted = {"Host": "mount.example.org.", "Origin": "https://mount.example.org."}
        self.assertEqual(self.ask("/", dotted).status, 200, "as a browser sends it")
        for origin in (
            *("http://evil.example.org", "null", "", "http://127.0.0.1", "http://127.0.0.1:3000"),
            *("http://localhost:8080", "http://proxy.example.org", "https://proxy.example.org.evil.org"),
        ):
            for path, method in (("/", "GET"), ("/look", "GET"), ("/move", "POST"), ("/nothing", "PUT")):
                got = self.ask(path, {"Origin": origin}, method)
                self.assertEqual(got.status, 403, origin)
                self.assertNotIn("access-control-allow-origin", got.headers)

    def test_two_origins(self) -> None:
        """A browser sends one origin; with two, it is not clear whose page asks."""
        wire = Wire(self.site)
        wire.send(
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n" + 2 * b"Origin: http://127.0.0.1:8080\r\n" + b"\r\n"
        )
        got = wire.answer()
        self.assertEqual(got and got.status, 400)

    def test_preflight(self) -> None:
        """A browser that asks whether another site's page may ask is told no."""
        got = self.ask("/move", {"Origin": "http://evil.example.org"}, "OPTIONS")
        self.assertEqual(got.status, 403)

    def test_anyone(self) -> None:
        """Without tokens, anyone may do anything, whatever token is shown."""
        for headers in ({}, {"Authorization": "Bearer x"}):
            self.assertEqual(self.ask("/move", headers, "POST").json, "anyone")


class WithTokens(GuardCase):
    """Who asks."""

    tokens = TOKENS

    def bearer(self, name: str) -> dict[str, str]:
        """The header of a token's owner."""
        return {"Authorization": f"Bearer {SECRETS[name]}"}

    def test_roles(self) -> None:
        """Each may do what its roles are for, and is told which one it lacks."""
        night = ("look", "move", "stop")
        for name, allowed in (("night", night), ("wall", ("look",)), ("panic", ("look", "stop"))):
            for path, method in (("look", "GET"), ("move", "POST"), ("stop", "POST")):
                got = self.ask(f"/{path}", self.bearer(name), method)
                self.assertEqual(got.status, 200 if path in allowed else 403, (name, path))
        self.assertEqual(got.json, "panic")
        refused = self.ask("/move", self.bearer("panic"), "POST")
        self.assertEqual(refused.json["error"], "the token 'panic' lacks the role 'command'")

    def test_no_token(self) -> None:
        """Without a token that is known, a browser or program is told to send one."""
        for headers in (
            *({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong-0123456789"}),
            *({"Authorization": f"Basic {SECRETS['night']}"}, {"Authorization": SECRETS["night"]}),
            {"Authorization": f"Bearer {SECRETS['night']}", "AUTHORIZATION": "Bearer x"},
        ):
            got = self.ask("/look", headers)
            self.assertEqual(got.status, 401)
            self.assertTrue(got.headers["www-authenticate"].startswith('Bearer realm="mtmount"'))
            self.assertEqual(self.ask("/", headers).status, 200, "what is for all needs none")
        self.assertEqual(self.ask("/").json, "nobody")
        self.assertEqual(self.ask("/", self.bearer("wall")).json, "wall")
        lower = {"authorization": f"bearer  {SECRETS['wall']}"}
        self.assertEqual(self.ask("/look", lower).status, 200)

    def test_wrong_is_told_from_missing(self) -> None:
        """Who sends no token is asked for one; who sends a wrong one is told so."""
        none, wrong = self.ask("/look"), self.ask("/look", {"Authorization": "Bearer wrong-0123456789"})
        self.assertEqual(none.headers["www-authenticate"], 'Bearer realm="mtmount"')
        self.assertIn("a token is needed", none.json["error"])
        self.assertIn('error="invalid_token"', wrong.headers["www-authenticate"])
        self.assertIn("unknown token", wrong.json["error"])
        self.assertNotIn("wrong-0123456789", wrong.body.decode())
        for given in (f"Basic {SECRETS['night']}", SECRETS["night"], "Bearer", "Bearer "):
            got = self.ask("/look", {"Authorization": given})
            self.assertEqual(got.headers["www-authenticate"], 'Bearer realm="mtmount"')
            self.assertIn("the header Authorization has no token", got.json["error"], given)
            self.assertNotIn(SECRETS["night"], got.body.decode())
        two = self.ask("/look", {**self.bearer("night"), "AUTHORIZATION": "Bearer x"})
        self.assertIn("2 Authorization headers", two.json["error"])

    def test_no_text(self) -> None:
        """Bytes that are no UTF-8 are a host, an origin, a site or a token like any other that is wrong."""
        for name, value, status in (
            (b"Host", b"lo\xdb", 421),
            (b"Origin", b"http://\xdb", 403),
            (b"Sec-Fetch-Site", b"\xdb", 401),
            (b"Authorization", b"Bearer \xdb-0123456789-0123456789", 401),
            (b"Authorization", b"\xdb", 401),
        ):
            wire = Wire(self.site)
            host = b"" if name == b"Host" else b"Host: localhost\r\n"
            wire.send(b"GET /look HTTP/1.1\r\n%b%b: %b\r\n\r\n" % (host, name, value))
            got = wire.answer()
            assert got is not None
            self.assertEqual(got.status, status, value)
            wire.lose()

    def test_token_in_url_admits_nobody(self) -> None:
        """Only the header ``Authorization`` shows a token: one in a query or a path counts for nothing."""
        secret = SECRETS["night"]
        for query in (f"token={secret}", f"Authorization=Bearer%20{secret}", secret):
            got = self.ask(f"/look?{query}")
            self.assertEqual(got.status, 401, query)
            self.assertNotIn(secret.encode(), got.body)
        self.assertEqual(self.ask(f"/look/{secret}").status, 404)

    def test_long_url(self) -> None:
        """A URL of 2 KiB is read, and a longer one is rejected with 414, also of a user with a token."""
        for headers, status in (({}, 401), (self.bearer("wall"), 200)):
            for filler in ("x" * 9, "x=y&", "&", "x" * 99 + "&"):
                query = (filler * LONGEST_URL)[: LONGEST_URL - len("/look?")]
                self.assertEqual(self.ask(f"/look?{query}", headers).status, status, filler)
                self.assertEqual(self.ask(f"/look?{query}x", headers).status, 414, filler)
        self.assertEqual(self.ask("/" * LONGEST_URL).status, 404)

    def test_nothing_there(self) -> None:
        """That nothing is at a path is told without a token."""
        got: Any = self.ask("/nothing")
        self.assertEqual(got.status, 404)
