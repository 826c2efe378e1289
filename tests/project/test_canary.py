"""A token, used rightly and wrongly, is in nothing that the daemon writes: a canary that would be heard.

`DaemonTests` runs a real daemon with all that could tell: verbose log, journal, page, metrics, TLS.
`HandlerTests` has a handler fail in every way that shows what it was given.
"""

from __future__ import annotations

import json
import sqlite3
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route, User
from mtmount_twisted.frontends.web.http.guard import ANYONE, Guard, HostPolicy
from mtmount_twisted.frontends.web.http.site import make_site
from mtmount_twisted.frontends.web.http.tokens import load
from mtmount_twisted.journal.file import Store
from tests.support.certificates import Authority
from tests.support.folders import scratch_folder
from tests.support.programs import HOST, Program, ProgramCase
from tests.support.web import LOG, ask

try:
    from twisted.internet import ssl
except ImportError:  # the extra is not installed
    ssl = None  # type: ignore[assignment]

WORD = "Kanarienvogel"
"""What all secrets here have in them, and nothing else that the daemon meets."""

SECRET = f"{WORD}-night-0123456789"
WRONG = f"{WORD}-nobody-0123456789"
TOKENS = f'[[token]]\nname = "night"\nsecret = "{SECRET}"\nroles = ["command"]\n'


class Talk(Protocol):
    """A connection: what came on it, and its end."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.callback(self.data)


def request(path: str, headers: Mapping[str, str], body: Any = None, end: bool = True) -> bytes:
    """A request in bytes; a body is sent as JSON."""
    data = b"" if body is None else json.dumps(body).encode()
    sent = {"Host": "localhost", **headers}
    if body is not None:
        sent |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
    if end:
        sent["Connection"] = "close"
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.items())]
    return "\r\n".join((*lines, "", "")).encode() + data


def bearer(secret: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {secret}"}


RIGHT = (
    request("/api/v1/state", bearer(SECRET)),
    request("/api/v1/lease", bearer(SECRET), {"take": True}),
    request("/api/v1/commands?wait=done&timeout=20", bearer(SECRET), {"command": "BothAxesStop"}),
    request("/api/v1/messages", bearer(SECRET)),
    request("/metrics", bearer(SECRET)),
    request(f"/api/v1/messages?peer={SECRET}", bearer(SECRET)),
)
"""What is answered."""

REFUSED = (
    request("/api/v1/state", bearer(WRONG)),
    request("/api/v1/state", {"Authorization": f"Basic {SECRET}"}),
    request("/api/v1/state", {"Authorization": SECRET, "Cookie": f"token={SECRET}", "X-Token": SECRET}),
    *(request(f"/api/v1/state?{query}", {}) for query in (f"token={WRONG}", f"q={SECRET}", SECRET)),
    request(f"/api/v1/messages?token={SECRET}", bearer(SECRET)),
    *(request(f"{path}/{SECRET}", bearer(SECRET)) for path in ("", "/api/v1/commands", "/static")),
    request("/api/v1/commands", bearer(SECRET), {"command": "AzimuthAxisMove"}),
    b"GET / HTTP/1.1\r\nAuthorization Bearer " + SECRET.encode() + b"\r\n\r\n",
    b"Bearer " + SECRET.encode() + b"\r\n\r\n",
)
"""What is not."""


class DaemonTests(ProgramCase):
    """``twistd -n mtmount-bridge --verbose``."""

    timeout = 180
    """Seconds: a test starts five daemons at once, or asks one for much, on a machine that may be loaded."""

    def setUp(self) -> None:
        super().setUp()
        if ssl is None:
            raise SkipTest("mtmount_twisted[tls] is not installed")
        self.folder = scratch_folder(self)
        self.authority = Authority(self.folder)

    def written(self) -> Iterator[tuple[str, bytes]]:
        """All files that the daemon may have written, by name: the journal, and what SQLite has beside it."""
        for path in self.state.rglob("*"):
            if path.is_file():
                yield path.name, path.read_bytes()

    async def start(self) -> Program:
        """A daemon with a page and tokens, and a port that asks for certificates."""
        Store(self.default_journal, None, lambda: 1).close()  # it can be asked for from the beginning
        reader = sqlite3.connect(self.default_journal)  # and while one reads, its log is not removed
        reader.execute("SELECT count(*) FROM run").fetchall()
        self.addCleanup(reader.close)
        tokens = self.folder / "tokens.toml"
        tokens.write_text(TOKENS)
        tokens.chmod(0o600)
        own = self.authority.issue("bridge")
        listening = await self.communicator()
        self.wire = self.free_port()
        config = self.file(
            f'[[pair]]\nname = "csc"\ncommand_port = {self.wire}\nreply_port = {listening.server_port}\n'
            f'[[port]]\nname = "desk"\nendpoint = "tcp:0:interface={HOST}"\ncertificate = "{own}"\n'
            f'client_ca = "{self.authority.ca}"\n[web]\ntokens = "{tokens}"\n'
        )
        web = f"ssl:0:interface={HOST}:privateKey={own}:certKey={own}"
        program = self.twistd("-n", "mtmount-bridge", "--verbose", "--config", config, "--web", web)
        page = await program.line(r"page on https://127\.0\.0\.1:(\d+)")
        self.page = int(page.group(1))
        await program.line("the controller is connected")
        return program

    async def say(self, port: int, data: bytes, plain: bool = False) -> Talk:
        """Say something on a connection to a port."""
        endpoint: Any = TCP4ClientEndpoint(reactor, HOST, port)
        if not plain:
            trust = ssl.Certificate.loadPEM(self.authority.ca.read_bytes())
            endpoint = wrapClientTLS(ssl.optionsForClientTLS(HOST, trustRoot=trust), endpoint)
        talk: Talk = await connectProtocol(endpoint, Talk())
        transport: Any = talk.transport
        self.addCleanup(lambda: None if talk.lost.called else transport.abortConnection())
        transport.write(data)
        return talk

    async def test_nowhere(self) -> None:
        """It is neither in the log, nor in the journal, the metrics or any answer."""
        program = await self.start()
        stream = await self.say(self.page, request("/api/v1/events", bearer(SECRET), end=False))
        answers = []
        for data, status in (*((data, b" 20") for data in RIGHT), *((data, b" 4") for data in REFUSED)):
            answers.append(await (await self.say(self.page, data)).lost)
            self.assertEqual(answers[-1][8 : 8 + len(status)], status, (data, answers[-1]))
        for port in (self.page, self.wire):  # to a port that speaks otherwise
            lost = await self.say(port, request("/api/v1/state", bearer(SECRET)), plain=True)
            answers.append(await lost.lost)
        await self.assert_ends(program)
        told = {"log": program.output.encode(), "stream": await stream.lost, **dict(self.written())}
        self.assertIn(b"web/night", told["log"], "it was somebody")
        self.assertIn(b"web/night", told["journal.sqlite"] + told["journal.sqlite-wal"])
        self.assertGreater(len(told["journal.sqlite-wal"]), 0)
        self.assertIn(b"event: hello", told["stream"])
        self.assertIn(b"mtmount_bridge_commands_total", answers[4])
        for name, data in (*enumerate(answers), *told.items()):
            self.assertNotIn(WORD.encode(), data, name)

    async def test_bad_file(self) -> None:
        """Whatever is wrong with the file of tokens, what the daemon ends with says nothing that is in it."""
        started = []
        for change, to, mode in (
            ("secret = ", "secret ", 0o600),
            ("secret = ", "secrets = ", 0o600),
            (SECRET, f"{SECRET} ", 0o600),
            (SECRET, SECRET, 0o644),
            ('"command"', f'"{SECRET}"', 0o600),
        ):
            tokens = Path(self.file(TOKENS.replace(change, to)))
            tokens.chmod(mode)
            config = self.file(
                '[[pair]]\nname = "csc"\ncommand_port = 0\nreply_port = 1\n'
                f'[web]\nendpoint = "tcp:0:interface={HOST}"\ntokens = "{tokens}"\n'
            )
            words = ("-n", "mtmount-bridge", "--verbose", "--journal", "none", "--config", config)
            started.append((tokens, self.twistd(*words, "--web", f"tcp:0:interface={HOST}")))
        for tokens, program in started:
            self.assertEqual(await program.ended, 1, program.output)
            self.assertIn(f"mtmount-bridge: {tokens}: ", program.output)
            self.assertNotIn(WORD, program.output)


class HandlerTests(SynchronousTestCase):
    """A handler that fails, in memory."""

    def test_traceback(self) -> None:
        """Its error shows all it was given, and the traceback every local: the token is in none of it."""

        async def fail(call: Call) -> Answer:
            raise RuntimeError(repr((call, vars(call.user) if hasattr(call.user, "__dict__") else call.user)))

        guard = Guard(HostPolicy(), load(TOKENS.encode()), User(ANYONE, frozenset(), Source.CSC))
        site = make_site(
            [Route("POST", "/fail", fail, "command", "For the test.")], guard, LOG, Clock(), WebSettings()
        )
        with self.assertLogs(LOG, "ERROR") as logged:
            got = ask(site, "POST", "/fail", {"a": 1}, {**bearer(SECRET), "X-Other": "kept"})
        [record] = logged.records
        assert record.exc_info is not None
        shown = traceback.TracebackException(*record.exc_info, capture_locals=True)  # type: ignore[arg-type]
        text = "".join((*logged.output, *shown.format()))
        self.assertEqual((got.status, "kept" in text), (500, True))
        for said in (text, got.body.decode(), str(got.headers)):
            self.assertNotIn(WORD, said)
