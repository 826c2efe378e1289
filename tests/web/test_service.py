"""All that is served over HTTP, put together: in memory with a bridge, and once on real sockets."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
from twisted.internet import endpoints, reactor, ssl
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.loading import Config, load
from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.frontends.web.api.acks import AckTimes
from mtmount_twisted.frontends.web.http.encoding import LEAST
from mtmount_twisted.frontends.web.http.site import CLOSE_TIME
from mtmount_twisted.frontends.web.http.tokens import load as load_tokens
from mtmount_twisted.frontends.web.service import Parts, WebService
from mtmount_twisted.interfaces import IBridge, IEventBus, IJournalState, IServed
from mtmount_twisted.journal.recorder import JournalOff
from tests.support.certificates import Authority
from tests.support.folders import scratch_folder, scratch_path
from tests.support.web import LOG, Got, Wire, ask

ROOT = Path(__file__).resolve().parent.parent.parent
DESK = '[[port]]\nname = "desk"\nendpoint = "tcp:0:interface=127.0.0.1"\nrole = "commander"\n'
CONFIG = load(DESK)
WITH_TELEMETRY = load(
    '[controller]\nhost = "127.0.0.1"\ncommand_port = 30005\ndialect = "tma2022"\n'
    '[[telemetry]]\nname = "readers"\nendpoint = "tcp:0:interface=127.0.0.1"\n' + DESK
)
ENDPOINT = "tcp:8080:interface=127.0.0.1"


def web_of(
    on: Any,
    endpoint: str = ENDPOINT,
    tokens: Any = None,
    bus: EventBus | None = None,
    config: Config = CONFIG,
    **settings: Any,
) -> tuple[BridgeService, WebService]:
    """A bridge, with no controller unless `config` names one, and what shows it; the bridge is started."""
    bus = bus or EventBus(on)
    bridge = BridgeService(config, LOG, bus, reactor=on)
    bridge.startService()
    parts = Parts(bridge, bus, JournalOff(), config.clients)
    changed = attrs.evolve(WebSettings(), **settings)
    return bridge, WebService(changed, endpoint, tokens, parts, LOG, on)


def bearer(secret: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {secret}"}


class InMemory(SynchronousTestCase):
    """The service on a reactor in memory."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def start(self, tokens: Any = None, **settings: Any) -> WebService:
        """The service, started."""
        self.bus = EventBus(self.reactor)
        self.bridge, service = web_of(self.reactor, tokens=tokens, bus=self.bus, **settings)
        service.startService()
        self.service = service
        return service

    @property
    def site(self) -> Any:
        """What listens."""
        [site] = [server[1] for server in self.reactor.tcpServers if server[0] == 8080]
        return site

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Got:
        """One request to all that is served."""
        return ask(self.site, method, path, body, headers)

    def test_figures_follow_a_reload(self) -> None:
        """The figures have the configured commanders and the web, also those that a reload has changed."""

        def commanders() -> set[str]:
            text = self.ask("GET", "/metrics").body.decode()
            return set(re.findall(r'^mtmount_bridge_has_command{commander="(\w+)"} 0.0$', text, re.MULTILINE))

        self.start()
        self.assertEqual(commanders(), {"desk", "web"})
        [desk] = CONFIG.ports
        reloaded = self.bridge.reload(attrs.evolve(CONFIG, ports=(attrs.evolve(desk, name="hall"),)))
        self.reactor.advance(2)
        self.successResultOf(reloaded)
        self.assertEqual(commanders(), {"hall", "web"})

    def test_figures_of_telemetry(self) -> None:
        """The figures have the mount's telemetry and its readers."""
        self.start(config=WITH_TELEMETRY)
        self.reactor.advance(1.5)
        told = self.ask("GET", "/metrics").body.decode()
        self.assertIn("\nmtmount_bridge_telemetry_silent 1.0\n", told)
        self.assertIn('\nmtmount_bridge_telemetry_readers{port="readers"} 0.0\n', told)

    def test_contracts(self) -> None:
        """What it is handed offers what it needs."""
        self.start()
        contracts = (IServed, self.bridge), (IBridge, self.bridge.bridge), (IEventBus, self.bus)
        for contract, part in (*contracts, (IJournalState, JournalOff())):
            self.assertTrue(verifyObject(contract, part))

    def test_every_area(self) -> None:
        """What each area offers is there, and is in the document of the API."""
        self.start()
        for path in ("/", "/static/main.js", "/healthz", "/metrics"):
            self.assertEqual(self.ask("GET", path).status, 200, path)
        for name in ("state", "catalogue", "lease", "openapi.json", "asyncapi.json"):
            self.assertEqual(self.ask("GET", f"/api/v1/{name}").status, 200, name)
        paths = self.ask("GET", "/api/v1/openapi.json").json["paths"]
        for path in ("/api/v1/commands", "/api/v1/events", "/api/v1/messages", "/readyz"):
            self.assertIn(path, paths)
        self.assertEqual(self.ask("GET", "/readyz").status, 503, "there is no controller")

    def test_head(self) -> None:
        """HEAD works wherever GET does, with its status and type and no body; a stream is not begun."""
        self.start()
        paths = self.ask("GET", "/api/v1/openapi.json").json["paths"]
        gets = [re.sub(r"\{\w+\}", "main.js", path) for path, methods in paths.items() if "get" in methods]
        self.assertIn("/api/v1/events", gets)
        for path in gets:
            wires = [Wire(self.site), Wire(self.site)]
            for method, wire in zip(("GET", "HEAD"), wires, strict=True):
                wire.ask(method, path, headers={"Accept-Encoding": "gzip"})
            got, head = (wire.stream() for wire in wires)
            self.assertEqual((head.status, head.body), (got.status, b""), path)
            for name in ("content-type", "content-encoding", "vary", "etag", "cache-control"):
                self.assertEqual(head.headers.get(name), got.headers.get(name), path)
            self.assertFalse(wires[1].closed)
            wires[1].ask("GET", "/healthz")
            self.assertTrue(wires[1].data.endswith(b'{"ok":true}\n'), "the connection goes on")
            for wire in wires:
                wire.lose()

    def assert_line(self, body: bytes, path: str) -> None:
        """A body is one line."""
        self.assertEqual((body.count(b"\n"), body[-1:]), (1, b"\n"), path)

    def test_all_json_is_a_line(self) -> None:
        """Each answer in JSON is a line, whose end a shell's prompt stands behind: also what is refused."""
        self.start()
        for path in ("/healthz", "/readyz", "/none", "/api/v1/state", "/api/v1/messages?limit=x"):
            self.assert_line(self.ask("GET", path).body, path)
        self.assert_line(self.ask("POST", "/api/v1/commands", {"command": "none"}).body, "a refused command")
        wire = Wire(self.site)
        wire.send(b"hello\r\n\r\n")
        self.assert_line(wire.stream().body, "no request")

    def test_all_json_may_be_compressed(self) -> None:
        """Each answer in JSON comes in the form that its reader takes, and caches are told so."""
        self.start()
        paths = self.ask("GET", "/api/v1/openapi.json").json["paths"]
        found = []
        for path in paths:
            if "get" not in paths[path] or path == "/api/v1/events":
                continue
            got = self.ask("GET", re.sub(r"\{\w+\}", "main.js", path), **{"Accept-Encoding": "gzip"})
            if got.headers["content-type"] == "application/json":
                found.append(path)
                is_short = "content-encoding" not in got.headers
                self.assertEqual(got.headers.get("vary"), "Accept-Encoding", path)
                self.assertTrue(len(got.body) < LEAST if is_short else gzip.decompress(got.body), path)
                self.assert_line(got.body if is_short else gzip.decompress(got.body), path)
        for name in ("acks", "catalogue", "openapi.json", "state"):
            self.assertIn(f"/api/v1/{name}", found)

    def test_prefix(self) -> None:
        """Behind a proxy that has the daemon below a path, the document says so and all is found there."""
        self.start(path_prefix="/mount")
        for path in ("/mount/api/v1/openapi.json", "/api/v1/openapi.json"):
            self.assertEqual(self.ask("GET", path).json["servers"], [{"url": "/mount"}])
        sent = self.ask("POST", "/mount/api/v1/commands", {"command": "BothAxesStop"})
        self.assertEqual(sent.headers["location"], f"/mount/api/v1/commands/{sent.json['command']['id']}")
        self.assertEqual(self.ask("GET", sent.headers["location"]).json["command"], "BothAxesStop")

    def test_documentation(self) -> None:
        """The page on the web names each path, and the role that it needs."""
        self.start()
        text = (ROOT / "docs" / "reference" / "web.rst").read_text(encoding="utf-8")
        rows = dict(re.findall(r"^``(/[\w./]*)``[^ ]* .*?(``\w+``|none) ", text, re.MULTILINE))
        rows["/readyz"] = rows["/healthz"]
        paths = self.ask("GET", "/api/v1/openapi.json").json["paths"]
        for template, methods in paths.items():
            path = re.sub(r"(/static)?/\{\w+\}", "", template) or "/"
            self.assertIn(path, rows, "the table of routes in docs/reference/web.rst")
            for method in methods.values():
                if path != "/api/v1/lease":
                    self.assertIn(rows[path].strip("`"), (method["x-role"] or "none", "stop"), path)

    def test_anyone(self) -> None:
        """Without tokens the one user has all roles, and the source of the settings."""
        self.start(source="EUI")
        you = self.ask("GET", "/api/v1/state").json["you"]
        self.assertEqual((you["commander"], you["source"]), ("web/anyone", "EUI"))
        self.assertEqual(sorted(you["roles"]), ["command", "observe", "stop"])

    def test_who_asks_is_there(self) -> None:
        """Whatever a user asks of the API keeps it there; health and figures are for programs."""
        self.start()

        def is_here_after(path: str) -> bool:
            self.ask("POST", "/api/v1/commands", {"command": "BothAxesStop"})
            for _ in range(2):
                self.reactor.advance(20)
                self.ask("GET", path)
            return "web/anyone" in self.bridge.bridge.clients

        for name in ("state", "lease", "catalogue", "messages", "messages?limit=0", "commands/none"):
            self.assertTrue(is_here_after(f"/api/v1/{name}"), name)
        for path in ("/", "/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"):
            self.assertFalse(is_here_after(path), path)

    def test_tokens(self) -> None:
        """With tokens nothing but the page and the two questions for its health is open."""
        secret = "0123456789abcdef"
        text = f'[[token]]\nname = "wall"\nsecret = "{secret}"\nroles = ["observe"]\n'
        self.start(load_tokens(text.encode()))
        for path in ("/api/v1/state", "/api/v1/events", "/api/v1/messages", "/api/v1/catalogue", "/metrics"):
            self.assertEqual(self.ask("GET", path).status, 401, path)
        for path in ("/", "/healthz", "/api/v1/openapi.json"):
            self.assertEqual(self.ask("GET", path).status, 200, path)
        wall = {"Authorization": f"Bearer {secret}"}
        self.assertEqual(self.ask("GET", "/metrics", **wall).status, 200)
        self.assertEqual(self.ask("POST", "/api/v1/lease", {}, **wall).status, 403)
        self.assertEqual(self.ask("DELETE", "/api/v1/lease").status, 401)

    def fill_with_streams(self, addresses: list[str], tokens: list[str]) -> list[Wire]:
        """Begin event streams from these addresses, each of the next user, until the next is refused."""
        wires: list[Wire] = []
        for number in range(1000):
            wire = Wire(self.site, addresses[number % len(addresses)])
            wire.ask("GET", "/api/v1/events", headers=bearer(tokens[number % len(tokens)]))
            wires.append(wire)
            if wire.stream().status == 503:
                return wires
        raise AssertionError("no stream was refused")

    def stop_from(self, address: str, token: str) -> str:
        """Stop the mount by a new connection; return the command that the bridge was given."""
        wire = Wire(self.site, address)
        wire.ask("POST", "/api/v1/commands", {"command": "BothAxesStop"}, bearer(token))
        self.addCleanup(wire.lose)
        answer = wire.answer()
        return "" if answer is None else str(answer.json["command"]["command"])

    def test_streams_leave_a_place_for_a_stop(self) -> None:
        """However many event streams the users at one address or at all addresses have, a stop gets in."""
        secrets = ["0123456789abcdef", "fedcba9876543210", "0f1e2d3c4b5a6978"]
        text = "".join(
            f'[[token]]\nname = "user{number}"\nsecret = "{secret}"\nroles = ["observe", "stop"]\n'
            for number, secret in enumerate(secrets)
        )
        for settings, addresses, tokens in (
            ({}, ["192.0.2.1"], secrets),
            ({}, ["192.0.2.1"], secrets[:1]),
            ({"max_connections": 8}, ["192.0.2.1", "192.0.2.2", "2001:db8::1"], secrets),
        ):
            self.setUp()
            service = self.start(load_tokens(text.encode()), **settings)
            wires = self.fill_with_streams(addresses, tokens)
            self.assertEqual(self.stop_from(addresses[0], secrets[0]), "BothAxesStop")
            for wire in wires:
                wire.lose()
            service.stopService()

    def test_streams_of_observers_leave_a_place_for_a_newcomer(self) -> None:
        """However many event streams observers have, a stop from a new address gets in."""
        secrets = [f"{number:016x}" for number in range(8)]
        roles = ['"observe"'] * 7 + ['"observe", "stop"']
        text = "".join(
            f'[[token]]\nname = "user{number}"\nsecret = "{secret}"\nroles = [{role}]\n'
            for number, (secret, role) in enumerate(zip(secrets, roles))
        )
        self.start(load_tokens(text.encode()), max_connections=16)
        addresses = [f"192.0.2.{number}" for number in range(1, 8)]
        wires = self.fill_with_streams(addresses, secrets[:7])
        for number in range(10):
            self.assertEqual(self.stop_from(f"198.51.100.{number}", secrets[7]), "BothAxesStop")
        for wire in wires:
            wire.lose()

    def test_stops(self) -> None:
        """Requests know how many stops the bridge had accepted before them."""
        self.start()
        with patch.object(Bridge, "stops", 7):
            self.assertEqual(self.site.count_stops(), 7)

    def test_settings(self) -> None:
        """The limits and names of the settings are those that hold."""
        self.start(max_body=1024, allowed_hosts=("mount", "2001:db8::1"), max_connections_per_address=1)
        self.assertEqual(self.ask("POST", "/api/v1/lease", b" " * 1025).status, 413)
        for host in ("mount:8080", "[2001:db8::1]"):
            self.assertEqual(self.ask("GET", "/healthz", Host=host).status, 200)
        self.assertEqual(self.ask("GET", "/healthz", Host="other").status, 421)
        wire = Wire(self.site)
        with self.assertLogs("tests.support.web", "WARNING"):
            self.assertIsNone(Wire(self.site).protocol)
        wire.lose()
        self.assertIn(b"mtmount_bridge_http_refused_total 1.0\n", self.ask("GET", "/metrics").body)

    def test_stop(self) -> None:
        """The end ends event streams and connections, and leaves nothing to happen later."""
        quiet = len(self.reactor.getDelayedCalls())
        service = self.start()
        stream, idle = Wire(self.site), Wire(self.site)
        stream.ask("GET", "/api/v1/events")
        self.assertEqual(stream.stream().status, 200)
        stopped = [service.stopService(), service.stopService()]
        self.assertTrue(stream.closed and idle.closed)
        self.reactor.advance(CLOSE_TIME)
        for wire in (stream, idle):
            for each in stopped:
                self.assertNoResult(each)
            self.assertTrue(wire.transport.aborted)
            wire.lose()
        for each in stopped:
            self.successResultOf(each)
        self.assertEqual(service.address, "")
        self.successResultOf(service.stopService())
        self.bridge.stopService()
        self.reactor.advance(60)
        self.assertLessEqual(len(self.reactor.getDelayedCalls()), quiet)
        self.assertEqual(self.bus.subscribers, [])

    def test_fault_in_the_end(self) -> None:
        """What fails to close is in the log, and all else is closed."""
        self.patch(AckTimes, "close", lambda times: 1 / 0)
        service = self.start()
        wire = Wire(self.site)
        with self.assertLogs("tests.support.web", "ERROR") as caught:
            stopped = service.stopService()
            self.assertTrue(wire.closed)
            wire.lose()
        self.successResultOf(stopped)
        self.assertIn("ZeroDivisionError", caught.output[0])

    def test_start_again(self) -> None:
        """What was stopped can be started."""
        service = self.start()
        service.stopService()
        self.reactor.tcpServers.clear()
        service.startService()
        self.assertEqual(self.ask("GET", "/healthz").status, 200)

    def test_can_not_listen(self) -> None:
        """Where it can't listen it says why, hears nothing, and can be stopped."""

        def refuse(*words: Any, **more: Any) -> Any:
            raise CannotListenError("127.0.0.1", 8080, OSError("taken"))

        bus = EventBus(self.reactor)
        _, service = web_of(self.reactor, bus=bus)
        self.reactor.listenTCP = refuse
        others = bus.subscribers
        service.startService()
        self.assertIn(f"can't listen on {ENDPOINT}: ", service.failure)
        self.assertIn("taken", service.failure)
        self.assertEqual(bus.subscribers, others)
        self.successResultOf(service.stopService())

    def test_listens_too_late(self) -> None:
        """An endpoint that listens, or fails to, only after the service was stopped leaves nothing behind."""
        listening: list[Deferred[Any]] = []
        closed: list[bool] = []

        class Port:
            def stopListening(self) -> Deferred[None]:
                closed.append(True)
                return succeed(None)

        class Slow:
            def listen(self, factory: Any) -> Deferred[Any]:
                listening.append(Deferred())
                return listening[-1]

        _, service = web_of(self.reactor)
        self.patch(endpoints, "serverFromString", lambda *words: Slow())
        for _ in range(2):
            service.startService()
            self.assertEqual(service.address, "")
            self.successResultOf(service.stopService())
        listening[0].callback(Port())
        listening[1].errback(OSError("too late"))
        self.assertEqual((closed, service.failure), ([True], ""))


class OnSockets(TestCase):
    """The service as programs meet it."""

    async def test_stream_and_end(self) -> None:
        """A reader of events gets what happens meanwhile, and the end of the service is its end."""
        bridge, service = web_of(reactor, "tcp:0:interface=127.0.0.1")
        self.addCleanup(bridge.stopService)
        service.startService()
        port = int(service.address.rpartition(":")[2])
        client = await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(Factory.forProtocol(Client))
        client.transport.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.until(b"event: hello")
        desk = await TCP4ClientEndpoint(reactor, "127.0.0.1", bridge.ports[0].getHost().port).connect(
            Factory.forProtocol(Protocol)
        )
        await client.until(b"connected")
        desk.transport.loseConnection()
        await client.until(b"disconnected")
        await service.stopService()
        await client.lost

    async def test_encrypted(self) -> None:
        """Under TLS a browser, which says what it could speak, is answered, and so is who says too much."""
        folder = scratch_path(self)
        folder.mkdir()
        authority = Authority(folder)
        file = authority.issue("mount").absolute()
        bridge, service = web_of(
            reactor, f"ssl:0:privateKey={file}:interface=127.0.0.1", max_body=1024, hsts=63_072_000
        )
        self.addCleanup(bridge.stopService)
        service.startService()
        self.assertTrue(service.address.startswith("https://127.0.0.1:"))
        port = int(service.address.rpartition(":")[2])
        trusted = ssl.Certificate.loadPEM(authority.ca.read_bytes())
        options = ssl.optionsForClientTLS("127.0.0.1", trusted, acceptableProtocols=[b"h2", b"http/1.1"])
        plain = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        for origin, body, expected in (
            (f"https://127.0.0.1:{port}", b"{", b"the body is not JSON"),
            (f"http://127.0.0.1:{port}", b"{}", b"may not send requests here"),
            (f"https://127.0.0.1:{port}", b"x" * 50_000, b"the body is longer than 1024 bytes"),
        ):
            client = await wrapClientTLS(options, plain).connect(Factory.forProtocol(Client))
            lines = [
                "POST /api/v1/lease HTTP/1.1",
                f"Host: 127.0.0.1:{port}",
                "Content-Type: application/json",
            ]
            lines += [f"Origin: {origin}", f"Content-Length: {len(body)}", "Connection: close", "", ""]
            client.transport.write("\r\n".join(lines).encode() + body)
            await client.until(b"Strict-Transport-Security: max-age=63072000\r\n")
            await client.until(expected)
            await client.lost
        await service.stopService()

    async def test_address(self) -> None:
        """It says where the page is, as one types it."""
        folder = scratch_folder(self)
        unix = f"unix:{folder}/page"
        for endpoint, pattern in (
            ("tcp:0:interface=127.0.0.1", r"http://127\.0\.0\.1:\d+"),
            ("haproxy:tcp:0:interface=127.0.0.1", r"http://127\.0\.0\.1:\d+"),
            ("tcp6:0:interface=\\:\\:1", r"http://\[::1\]:\d+"),
            ("haproxy:tcp:0:interface=127.0.0.1", r"http://127\.0\.0\.1:\d+"),
            (unix, re.escape(unix)),
        ):
            bridge, service = web_of(reactor, endpoint)
            self.assertEqual(service.address, "")
            service.startService()
            self.assertRegex(service.address, f"^{pattern}$")
            await service.stopService()
            await bridge.stopService()
            self.assertEqual(service.address, "")


class Client(Protocol):
    """What a client got."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: Deferred[None] = Deferred()
        self._wanted: list[tuple[bytes, Deferred[None]]] = []

    def until(self, text: bytes) -> Deferred[None]:
        """Fires when this is among it."""
        found: Deferred[None] = Deferred()
        self._wanted.append((text, found))
        self.dataReceived(b"")
        return found

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        for entry in self._wanted[:]:
            if entry[0] in self.data:
                self._wanted.remove(entry)
                entry[1].callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        for text, found in self._wanted:
            found.errback(AssertionError(f"the connection ended without {text!r}: {self.data!r}, {reason}"))
        self.lost.callback(None)
