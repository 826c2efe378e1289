"""What the prompt asks the daemon over HTTP, on real sockets: whatever goes wrong is told in words."""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from twisted.internet import endpoints, reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

import mtmount_twisted
from mtmount_twisted.cli.commander.options import WebAddress
from mtmount_twisted.cli.commander.web import LONGEST_ANSWER, WebClient
from mtmount_twisted.errors import WebError
from mtmount_twisted.frontends.web.http.tokens import load as load_tokens
from mtmount_twisted.net.tls import client_options
from mtmount_twisted.testing import MemoryReactor
from tests.support.folders import scratch_folder
from tests.support.ports import free_port
from tests.web.test_service import web_of

HOST = "127.0.0.1"
SECRET = "a-long-random-text"
TOKENS = load_tokens(f'[[token]]\nname = "night"\nsecret = "{SECRET}"\nroles = ["observe"]\n'.encode())


class Says(Resource):
    """Answers everything alike."""

    isLeaf = True

    def __init__(self, body: bytes, code: int = 200, **headers: str) -> None:
        super().__init__()
        self._answer = body, code, headers

    def render_GET(self, request: Any) -> bytes:
        """The answer."""
        body, code, headers = self._answer
        request.setResponseCode(code)
        for name, value in headers.items():
            request.setHeader(name, value)
        return body


class CutsShort(Resource):
    """Begins an answer, and ends the connection."""

    isLeaf = True

    def render_GET(self, request: Any) -> int:
        """Half of an answer."""
        request.setHeader("content-length", "100")
        request.write(b"{")
        request.transport.loseConnection()
        return NOT_DONE_YET


class Silent(Protocol):
    """Takes what comes."""


class Greeter(Protocol):
    """Speaks another protocol than HTTP."""

    def connectionMade(self) -> None:
        """Say so."""
        assert self.transport is not None
        self.transport.write(b"220 mail.example ESMTP\r\n")
        self.transport.loseConnection()


class Redirector(Protocol):
    """Redirects to a path that is not UTF-8."""

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 302 Found\r\nLocation: /caf\xe9\r\nContent-Length: 0\r\n\r\n")


class WebClientTests(TestCase):
    """`WebClient` against daemons, and against what is none."""

    timeout = 30

    async def daemon(
        self, endpoint: str = f"tcp:0:interface={HOST}", tokens: Any = None, **settings: Any
    ) -> int:
        """A bridge's page; its port."""
        bridge, service = web_of(reactor, endpoint, tokens, **settings)
        self.addCleanup(bridge.stopService)
        service.startService()
        self.addCleanup(service.stopService)
        return int(service.address.rpartition(":")[2].partition("/")[0])

    async def listen(self, factory: Any) -> int:
        """The port of something else."""
        port: Any = await endpoints.serverFromString(reactor, f"tcp:0:interface={HOST}").listen(factory)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def client(
        self, port: int, token: str = "", host: str = HOST, prefix: str = "", tls: Any = None
    ) -> WebClient:
        """A client for what is at this port."""
        made = WebClient(reactor, WebAddress(tls is not None, host, port, prefix), token, tls)
        self.addCleanup(made.close)
        return made

    async def refused(self, client: WebClient, *words: str) -> None:
        """Asking fails with one line that has these words, and never with the token."""
        error = await self.assertFailure(client.get("/api/v1/state"), WebError)
        for word in words:
            self.assertIn(word, str(error))
        self.assertNotIn(SECRET, str(error))

    async def test_daemon(self) -> None:
        """A daemon answers, by address, by name and below a path, over one connection."""
        port = await self.daemon(path_prefix="/mount")
        for host, prefix in ((HOST, ""), ("localhost", "/mount")):
            client = self.client(port, host=host, prefix=prefix)
            state = await client.get("/api/v1/state")
            self.assertEqual(state["version"], mtmount_twisted.__version__)
            self.assertIsNone((await client.get("/api/v1/lease"))["holder"])

    async def test_check(self) -> None:
        """A question with a body is answered; a fault in it is told."""
        client = self.client(await self.daemon())
        body = {"command": "AzimuthAxisStop", "validate": True}
        got = await client.post("/api/v1/commands", body)
        self.assertEqual((got["command"], got["verdict"]), ("AzimuthAxisStop", "would_be_refused"))
        asking = client.post("/api/v1/commands?commander=nobody", body)
        self.assertIn("answers 422", str(await self.assertFailure(asking, WebError)))
        observer = self.client(await self.daemon(tokens=TOKENS), SECRET)
        error = await self.assertFailure(observer.post("/api/v1/commands", body), WebError)
        self.assertIn("answers 403", str(error))
        self.assertIn("the token requires the role command", str(error))

    async def test_tokens(self) -> None:
        """A token that is missing or wrong is told, with the option; the right one is let in."""
        port = await self.daemon(tokens=TOKENS)
        await self.refused(
            self.client(port),
            "answers 401: a token is needed",
            "give the file of your token with --token-file",
        )
        await self.refused(self.client(port, "x" * 16), "401: unknown token", "--token-file")
        self.assertEqual((await self.client(port, SECRET).get("/api/v1/state"))["you"]["name"], "night")

    async def test_nothing_there(self) -> None:
        """Where nothing listens, the address is told, and what to do."""
        port = free_port(self)
        await self.refused(
            self.client(port), f"nothing answers at http://{HOST}:{port} (", "start the bridge", "--web"
        )

    async def test_something_else(self) -> None:
        """What answers and is no bridge's page is told, with what to do."""
        for factory, *words in (
            (Site(Says(b"<p>hello")), "answers 200, and is not a bridge's page", "web.path_prefix"),
            (Site(Says(b"[1]")), "answers 200, and is not a bridge's page"),
            (Site(Says(b"<p>none", 404)), "answers 404, and is not a bridge's page"),
            (Site(Says(b'{"error": "not now"}', 503)), "answers 503: not now"),
            (
                Site(Says(b"", 302, location="https://mount/")),
                "redirects to https://mount/; give that in --web",
            ),
            (Factory.forProtocol(Redirector), "redirects to /caf\ufffd; give that in --web"),
            (Site(Says(b" " * (LONGEST_ANSWER + 1))), "not a bridge's page"),
            (Site(CutsShort()), "did not answer as a web server"),
            (Factory.forProtocol(Greeter), "did not answer as a web server", "give https://"),
        ):
            await self.refused(self.client(await self.listen(factory)), *words)

    async def test_encrypted(self) -> None:
        """An encrypted page answers who trusts its authority; else it is told which option to give."""
        try:
            from tests.support.certificates import Authority

            folder = scratch_folder(self)
            authority, other = Authority(folder / "."), Authority(scratch_folder(self), "another")
            file = authority.issue("bridge")
        except ImportError:
            raise SkipTest("mtmount_twisted[tls] is not installed") from None
        port = await self.daemon(f"ssl:0:privateKey={file}:interface={HOST}", TOKENS)
        trusting, strange = (client_options(HOST, str(each.ca)) for each in (authority, other))
        state = await self.client(port, SECRET, tls=trusting).get("/api/v1/state")
        self.assertEqual(state["you"]["name"], "night")
        await self.refused(self.client(port, SECRET, tls=strange), "its authority is not trusted", "--tls-ca")
        await self.refused(self.client(port, SECRET, tls=client_options(HOST, "")), "--tls-ca")
        await self.refused(
            self.client(port, SECRET, host="localhost", tls=client_options("localhost", str(authority.ca))),
            "for another name or address",
        )
        await self.refused(self.client(port, SECRET), "if it uses https, give https://")


class DeadlineTests(SynchronousTestCase):
    """A daemon that takes the connection and is mute, in memory."""

    def test_no_such_host(self) -> None:
        """A name that does not resolve is told."""
        memory: Any = MemoryReactor()
        asking = WebClient(memory, WebAddress(False, "nowhere", 8080)).get("/api/v1/lease")
        memory.advance(0)
        error = self.failureResultOf(asking, WebError).value
        self.assertIn("http://nowhere:8080: DNS lookup failed: no such host: nowhere", str(error))

    def test_two_addresses(self) -> None:
        """Of a host with two addresses the second is tried where the first does not answer."""
        memory: Any = MemoryReactor()
        memory.names["bridge"] = ("::1", HOST)
        listening = memory.listenTCP(8080, Factory.forProtocol(Greeter), interface=HOST)
        asking = WebClient(memory, WebAddress(False, "bridge", 8080)).get("/api/v1/lease")
        for _ in range(10):
            memory.advance(0.1)
        error = self.failureResultOf(asking, WebError).value
        self.assertIn("did not answer as a web server", str(error))
        listening.stopListening()

    def test_no_answer(self) -> None:
        """The question ends after 3 s, and leaves nothing behind; plain HTTP takes TLS so, too."""
        self.assertEqual(self.mute(secure=False), "no answer from http://bridge:8080 within 3 s")
        encrypted = "no answer from https://bridge:8080 within 3 s; if it uses http, give http://"
        self.assertEqual(self.mute(secure=True), encrypted)

    def mute(self, secure: bool) -> str:
        """What is said of a daemon that is mute."""
        memory: Any = MemoryReactor()
        listening = memory.listenTCP(8080, Factory.forProtocol(Silent), interface=HOST)
        memory.names["bridge"] = HOST
        client = WebClient(memory, WebAddress(secure, "bridge", 8080))
        asking = client.get("/api/v1/lease")
        for _ in range(29):
            memory.advance(0.1)
        self.assertNoResult(asking)
        for _ in range(2):
            memory.advance(0.1)
        error = self.failureResultOf(asking, WebError).value
        closing: Deferred[Any] = client.close()
        memory.advance(1)
        self.successResultOf(closing)
        listening.stopListening()
        memory.advance(1)
        self.assertEqual(memory.getDelayedCalls(), [])
        return str(error)
