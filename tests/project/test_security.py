"""``docs/explanation/security.rst``: each rule has a test; tests with no better home."""

from __future__ import annotations

import ast
import hmac
import logging
import os
import re
import stat
from functools import cache, partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, serverFromString, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher, textFileLogObserver
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface import implementer

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route, User
from mtmount_twisted.frontends.web.http.guard import ANYONE, Guard, HostPolicy
from mtmount_twisted.frontends.web.http.site import make_site
from mtmount_twisted.journal.file import Store
from mtmount_twisted.net.endpoints import Endpoint
from mtmount_twisted.net.logs import send_to_twisted
from mtmount_twisted.net.tls import Server, encrypted, load_credentials
from mtmount_twisted.wire import secret
from tests.support.certificates import Authority
from tests.support.folders import scratch_folder, scratch_path
from tests.support.pages import tables
from tests.support.web import LOG, ask
from tests.web.test_guard import SECRETS, TOKENS, GuardCase

try:
    from twisted.internet import ssl
except ImportError:  # the extra is not installed
    ssl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent.parent
STATIC = ROOT / "mtmount_twisted" / "frontends" / "web" / "static"


class Row(NamedTuple):
    """A row of the page's table."""

    threat: str
    rule: str
    proof: str


@cache
def defined_in(module: str) -> set[str]:
    """The tests that a module of this folder defines, as ``Class::test``."""
    tree = ast.parse((ROOT / "tests" / f"{module}.py").read_text(encoding="utf-8"))
    return {
        f"{each.name}::{test.name}"
        for each in tree.body
        if isinstance(each, ast.ClassDef)
        for test in each.body
        if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef) and test.name.startswith("test")
    }


class PageTests(SynchronousTestCase):
    """The page."""

    def test_each_rule_has_a_test(self) -> None:
        """Each row names one test or more, and all that are named are there."""
        found = [Row(*row) for row in tables("explanation/security.rst")]
        self.assertGreater(len(found), 30)
        for row in found:
            named = re.findall(r"``((?:\w+/)*test_\w+)::(\w+::test_\w+)``", row.proof)
            self.assertTrue(named, row)
            self.assertEqual(re.sub(r"``.*?``|[\s,]", "", row.proof), "", row)
            for module, test in named:
                self.assertIn(test, defined_in(module), row)


class StrangersTests(GuardCase):
    """Requests that a page of another site makes, with no ``Origin``: a picture, a frame, a style sheet."""

    def test_elsewhere(self) -> None:
        """They are refused, for they keep whoever is at the page here, and what it has command of with it."""
        for site in ("cross-site", "same-site", "Cross-Site"):
            for mode in ("no-cors", "navigate"):
                got = self.ask("/look", {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode})
                self.assertEqual(got.status, 403, site)

    def test_here(self) -> None:
        """Not so this daemon's page, who types an address or is no browser, and a link to the page itself."""
        self.assertEqual(self.ask("/", {"Sec-Fetch-Site": "cross-site"}).status, 200)
        for headers in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
            self.assertEqual(self.ask("/look", headers).status, 200)
        allowed = {"Sec-Fetch-Site": "cross-site", "Origin": "https://proxy.example.org"}
        self.assertEqual(self.ask("/look", allowed).status, 200)


class TokenTests(GuardCase):
    """How a token is compared, and what it is kept from."""

    tokens = TOKENS

    def test_all_are_compared(self) -> None:
        """Whichever token fits, or none, each is compared, by digest, in constant time."""
        compared: list[tuple[bytes, bytes]] = []
        in_constant_time = hmac.compare_digest

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return in_constant_time(one, other)

        self.patch(secret.hmac, "compare_digest", compare)
        for said in (*SECRETS.values(), "wrong-0123456789"):
            compared.clear()
            TOKENS.user(said)
            self.assertEqual(len(compared), len(SECRETS))
            self.assertEqual({len(digest) for pair in compared for digest in pair}, {32})

    def test_not_given_to_handlers(self) -> None:
        """What answers does not get the token, so that no error of its own can tell it."""
        calls: list[Call] = []

        async def keep(call: Call) -> Answer:
            calls.append(call)
            return Answer(None)

        guard = Guard(HostPolicy(), TOKENS, User(ANYONE, frozenset(), Source.CSC))
        site = make_site(
            [Route("GET", "/", keep, "observe", "For the test.")], guard, LOG, Clock(), WebSettings()
        )
        got = ask(site, "GET", "/", headers={"Authorization": f"Bearer {SECRETS['wall']}", "X-Other": "kept"})
        self.assertEqual(got.status, 200)
        self.assertNotIn(SECRETS["wall"], repr(calls))
        self.assertEqual(calls[0].headers["x-other"], "kept")


class FileTests(SynchronousTestCase):
    """Files that others on this machine might read."""

    def test_journal(self) -> None:
        """A new journal, and what is beside it, can be read by its owner alone, whatever the umask."""
        folder = scratch_path(self)
        folder.mkdir()
        before = os.umask(0o022)
        self.addCleanup(os.umask, before)
        store = Store(folder / "journal.sqlite", None, lambda: 1)
        self.addCleanup(store.close)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        self.assertIn("journal.sqlite-wal", modes)
        self.assertEqual(set(modes.values()), {0o600}, modes)

    def test_journal_that_is_there(self) -> None:
        """One that is there, and that others can read, is made private."""
        path = scratch_path(self)
        path.touch()
        path.chmod(0o644)
        store = Store(path, None, lambda: 1)
        self.addCleanup(store.close)
        self.assertEqual({stat.S_IMODE(os.stat(f"{path}{end}").st_mode) for end in ("", "-wal")}, {0o600})
        self.assertEqual(store.made_private, [f"{path} (0644)"])


class LogTests(SynchronousTestCase):
    """What a peer says, in the log."""

    def test_terminal_is_safe(self) -> None:
        """It can't move the cursor of a terminal that shows the log, nor look like a line of its own."""
        seen = StringIO()
        globalLogPublisher.addObserver(observer := textFileLogObserver(seen))
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        log = logging.getLogger("tests.security")
        self.addCleanup(log.handlers.clear)
        send_to_twisted(log)
        log.warning("the mount said: %s", "\x1b[2J\x9b1;1H\r2026-01-01 all is well\x07\n2026-01-01 \u00e9")
        text = seen.getvalue()
        self.assertIn(r"the mount said: \x1b[2J\x9b1;1H\r2026-01-01 all is well\x07", text)
        self.assertIn("\n\t2026-01-01 \u00e9", text, "what follows is indented, and letters stay")


class Ear(Protocol):
    """Waits for the end of a handshake, or of the connection."""

    def __init__(self) -> None:
        self.version: Deferred[str] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"x")

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        if not self.version.called:
            self.version.callback(transport.getHandle().get_protocol_version_name())

    def connectionLost(self, reason: Any = None) -> None:
        if not self.version.called:
            self.version.errback(reason)
        self.lost.callback(None)


class Echo(Protocol):
    """Says something back."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


@implementer(IOpenSSLClientConnectionCreator)
class Creator:
    """Makes a client's side of TLS of an OpenSSL context."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:
        from OpenSSL import SSL

        return SSL.Connection(self._context, None)


class EndpointTests(TestCase):
    """What an endpoint of the configuration does."""

    async def speak(self, port: int, number: int) -> str:
        """What a client that speaks just this version of TLS ends up with."""
        from OpenSSL import SSL

        speaks = SSL.Context(SSL.TLS_CLIENT_METHOD)
        speaks.set_min_proto_version(number)
        speaks.set_max_proto_version(number)
        speaks.set_cipher_list(b"ALL:@SECLEVEL=0")
        creator: Any = Creator(speaks)
        endpoint = wrapClientTLS(creator, TCP4ClientEndpoint(reactor, "127.0.0.1", port))
        ear: Any = await endpoint.connect(Factory.forProtocol(Ear))
        version = str(await ear.version)
        ear.transport.abortConnection()
        await ear.lost
        return version

    async def test_tls_version(self) -> None:
        """A port with ``certificate``, and an ``ssl:`` endpoint, as the web has, speak no TLS before 1.2."""
        if ssl is None:
            raise SkipTest("mtmount_twisted[tls] is not installed")
        from OpenSSL import SSL

        own = str(Authority(scratch_folder(self)).issue("bridge"))
        factory = Factory.forProtocol(Echo)
        server = Server(load_credentials(own, own))
        for endpoint, served in (
            ("tcp:0:interface=127.0.0.1", encrypted(factory, server)),
            (f"ssl:0:interface=127.0.0.1:privateKey={own}:certKey={own}", factory),
        ):
            encrypt = partial(encrypted, server=server)
            listening: Any = await Endpoint.parse(endpoint).listen(served, reactor, encrypt)
            self.addCleanup(listening.stopListening)
            port = listening.getHost().port
            for number, name in ((SSL.TLS1_2_VERSION, "TLSv1.2"), (SSL.TLS1_3_VERSION, "TLSv1.3")):
                self.assertEqual(await self.speak(port, number), name)
            for old in (SSL.TLS1_VERSION, SSL.TLS1_1_VERSION):
                with self.assertRaises(SSL.Error):
                    await self.speak(port, old)

    async def test_unix_mode(self) -> None:
        """``mode=`` of a ``unix:`` endpoint says who on this machine may connect."""
        path = scratch_folder(self) / "s"
        listening: Any = await serverFromString(reactor, f"unix:{path}:mode=600").listen(Factory())
        self.addCleanup(listening.stopListening)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)


class ScriptTests(SynchronousTestCase):
    """The page's own scripts."""

    def test_text_is_only_ever_text(self) -> None:
        """Nothing in them makes markup or code of a text."""
        ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment"
        ways += r"|\beval\(|new Function|srcdoc|javascript:|setHTML"
        scripts = sorted(STATIC.glob("*.js"))
        self.assertGreater(len(scripts), 3)
        for script in scripts:
            self.assertIsNone(re.search(ways, script.read_text(encoding="utf-8")), script.name)

    def test_text_is_visible(self) -> None:
        """Text from outside comes to the page by ``dom.js``, which shows it visibly, and not past it."""
        own = r"(cell|button)\.textContent = (since|` |duration|left|night)"
        ways = r"textContent = |innerText|nodeValue|createTextNode"
        ways += r"|\.(append|replaceChildren|before|after)\(\s*[`\"]"
        for script in sorted(STATIC.glob("*.js")):
            text = re.sub(own, "", script.read_text(encoding="utf-8"))
            found = re.search(ways, text)
            self.assertEqual(found is not None, script.name == "dom.js", script.name)
        self.assertIn('from "./visible.js"', (STATIC / "dom.js").read_text(encoding="utf-8"))

    def test_nothing_from_elsewhere(self) -> None:
        """They, the page and its styles name no other machine, and keep nothing in a cookie."""
        for path in sorted(STATIC.iterdir()):
            if path.suffix in (".js", ".html", ".css"):
                text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
                self.assertIsNone(re.search(r"https?://|document\.cookie", text), path.name)
