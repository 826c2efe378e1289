"""`client.duplex`: a commander on one connection to a port, and ``mtmount-commander --connect``."""

from __future__ import annotations

import pickle
from typing import Any
from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted import commands as c
from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.cli.commander.options import parse_options
from mtmount_twisted.cli.commander.program import Program
from mtmount_twisted.cli.commander.script import Lines
from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.client.mount import Mount
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import PortCommanders
from mtmount_twisted.errors import (
    CommandOutcomeUnknown,
    ConfigError,
    NotConnectedError,
    PairClosedError,
    PeerRefusedError,
)
from mtmount_twisted.net.duplex import HANDSHAKE_TIME, SETTLE_TIME
from mtmount_twisted.net.tls import client_options
from mtmount_twisted.replies import AckReply, DoneReply
from mtmount_twisted.testing import HOST, FarProtocol, MemoryReactor
from tests.support.bridges import LOG, TCP
from tests.support.certificates import Authority
from tests.support.folders import scratch_path

try:
    from twisted.internet import ssl
except ImportError:  # the extra is not installed
    ssl = None  # type: ignore[assignment]


class Port(Factory[Protocol]):
    """A port in memory, and what has connected to it."""

    def __init__(self) -> None:
        self.far_ends: list[FarProtocol] = []

    def buildProtocol(self, addr: Any) -> Protocol:
        """One more connection."""
        self.far_ends.append(FarProtocol())
        return self.far_ends[-1]


class InMemoryTests(SynchronousTestCase):
    """One connection, plain, on a network in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.port = Port()
        listening: Any = self.reactor.listenTCP(0, self.port, interface=HOST)
        self.changes: list[bool] = []
        self.link = DuplexCommunicator(
            "desk",
            HOST,
            listening.getHost().port,
            LOG,
            connect_callback=lambda link: self.changes.append(link.connected),
            reactor=self.reactor,
        )
        self.mount = Mount(self.link)
        self.addCleanup(self.close)

    def close(self) -> None:
        """Close, and leave nothing behind."""
        closed = self.link.close()
        self.reactor.advance(0)
        self.reactor.advance(0)
        self.successResultOf(closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def turn(self, seconds: float = 0.0) -> None:
        """Let the reactor turn, and some time pass."""
        for _ in range(3):
            self.reactor.advance(0)
        self.reactor.advance(seconds)
        self.reactor.advance(0)

    def say(self, *replies: Any) -> None:
        """The port says something."""
        self.port.far_ends[-1].transport.write(b"".join(reply.encode() for reply in replies))
        self.turn()

    def test_command(self) -> None:
        """A command goes out and its replies come in, on the one connection."""
        connected = self.link.wait_connected()
        self.turn()
        self.assertNoResult(connected)
        self.turn(SETTLE_TIME)
        self.successResultOf(connected)
        sent = self.mount.send(c.AzimuthAxisMove(position=10))
        self.turn()
        self.assertEqual(bytes(self.port.far_ends[0].received), sent.command.encode())
        number = sent.command.sequence_id
        self.say(AckReply(sequence_id=number, timeout_ms=500), DoneReply(sequence_id=number))
        self.successResultOf(sent.done)
        self.assertEqual(len(self.port.far_ends), 1)

    def test_first_word(self) -> None:
        """A connection on which something comes in is made at once."""
        connected = self.link.wait_connected()
        self.turn()
        self.say(AckReply(sequence_id=1))
        self.successResultOf(connected)

    def test_closed_at_once(self) -> None:
        """A port that refuses the peer was never connected to; that is told once, and tried again."""
        with self.assertLogs(LOG, "WARNING") as logged:
            for _ in range(4):
                self.turn()
                self.port.far_ends[-1].transport.loseConnection()
                self.turn(1.0)
        self.assertGreater(len(self.port.far_ends), 2)
        self.assertEqual(len(logged.output), 1)
        self.assertIn("it closed the connection at once", logged.output[0])
        self.assertEqual(self.changes, [])
        self.assertIn("closed the connection at once", self.link.refusal)
        self.turn(SETTLE_TIME)
        self.assertTrue(self.link.connected)
        self.assertEqual(self.link.refusal, "")

    def test_lost(self) -> None:
        """After a loss, what was in flight is unknown, and it connects again."""
        self.turn(SETTLE_TIME)
        sent = self.mount.send(c.AzimuthAxisMove(position=10))
        done = sent.done
        self.port.far_ends[0].transport.loseConnection()
        self.turn()
        self.failureResultOf(done, CommandOutcomeUnknown)
        self.failureResultOf(self.link.read(), NotConnectedError)
        self.turn(1.0)
        self.turn(SETTLE_TIME)
        self.assertTrue(self.link.connected)
        self.assertEqual(self.changes[-1], True)

    def test_speaks_tls(self) -> None:
        """A port that answers plain text in TLS is told for what it is."""
        self.turn(SETTLE_TIME)
        sent = self.mount.send(c.AzimuthAxisMove(position=10))
        done = sent.done
        self.port.far_ends[0].transport.write(b"\x15\x03\x01\x00\x02\x02\x46")
        self.turn()
        error = self.failureResultOf(done, CommandOutcomeUnknown).value
        self.assertIn("it speaks TLS, but this side speaks plain text", str(error))

    def test_bad_lines(self) -> None:
        """A line without an end, and one that is cut off, are in the log, and it connects again."""
        self.turn(SETTLE_TIME)
        for data, word in (
            (b"x" * 70_000, "a line of more than 65536 bytes"),
            (b"5\nhalf", "within a line"),
        ):
            with self.assertLogs(LOG, "WARNING") as logged:
                far_end = self.port.far_ends[-1]
                far_end.transport.write(data)
                self.turn()
                if far_end.is_connected:
                    far_end.transport.loseConnection()
                self.turn()
            self.assertIn(word, logged.output[0])
            self.assertFalse(self.link.connected)
            self.turn(1.0)
            self.turn(SETTLE_TIME)
            self.assertTrue(self.link.connected)

    def test_close(self) -> None:
        """Each wait ends when it is closed, also while the connection is being made."""
        waiting = self.link.wait_connected()
        self.turn()
        closed = self.link.close()
        self.failureResultOf(waiting, PairClosedError)
        self.turn()
        self.successResultOf(closed)
        self.assertFalse(self.port.far_ends[0].is_connected)

    def test_full_inbox(self) -> None:
        """A program that does not read makes the port wait, as with a pair."""
        link = DuplexCommunicator("wall", HOST, self.link.client_port, LOG, reactor=self.reactor)
        self.turn(SETTLE_TIME)
        reply = AckReply(sequence_id=1).encode()
        self.port.far_ends[-1].transport.write(reply * 1000)
        self.turn()
        self.port.far_ends[-1].transport.write(reply * 1000)
        self.turn()
        for _ in range(2000):
            self.turn()
            self.successResultOf(link.read())
        closed = link.close()
        self.turn()
        self.successResultOf(closed)

    def test_pickled(self) -> None:
        """The error for a connection that can't be used keeps what it holds."""
        error = pickle.loads(pickle.dumps(PeerRefusedError("no", "plain")))
        self.assertEqual((str(error), error.cause), ("no", "plain"))


@skipIf(ssl is None, "mtmount_twisted[tls] is not installed")
class ArgumentTests(SynchronousTestCase):
    """What a program gives the constructor."""

    def test_wrong(self) -> None:
        """The error names the parameter by its name here."""
        right: dict[str, Any] = {"name": "wall", "host": HOST, "port": 1, "log": LOG}
        cases: list[tuple[str, Any, type[Exception]]] = [
            ("name", None, TypeError),
            ("host", 5, TypeError),
            ("host", b"x", TypeError),
            ("host", "", ValueError),
            ("port", "30005", TypeError),
            ("port", None, TypeError),
            ("port", 0, ValueError),
            ("log", None, TypeError),
            ("connect_callback", "x", TypeError),
            ("reactor", "x", TypeError),
        ]
        for name, value, kind in cases:
            reactor = MemoryReactor()
            with self.assertRaisesRegex(kind, f"^{name}: expected .*, got "):
                DuplexCommunicator(**({"reactor": reactor} | right | {name: value}))
            self.assertEqual(reactor.attempts, [], name)

    def test_no_host(self) -> None:
        """None as the host is this machine."""
        link = DuplexCommunicator("wall", None, 4000, LOG, reactor=MemoryReactor())
        self.assertEqual(link.client_host, "localhost")


class EncryptedTests(TestCase):
    """``mtmount-commander --connect`` and a port that asks for certificates, on real sockets."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)
        self.folder.mkdir()
        self.authority = Authority(self.folder)
        self.shown: list[str] = []
        self.complaints: list[str] = []

    def serve(self, **changes: Any) -> int:
        """Serve a port, and return its number."""
        port = PortCommanders(name="desk", endpoint=TCP, role="commander", **changes)
        self.service = BridgeService(Config(ports=(port,)), LOG)
        self.service.startService()
        self.addCleanup(self.service.stopService)
        return int(self.service.ports[0].getHost().port)  # type: ignore[attr-defined]

    def serve_encrypted(self, host: str = HOST) -> int:
        """Serve one with TLS that asks for certificates."""
        own = self.authority.issue("bridge", host=host)
        return self.serve(certificate=str(own), client_ca=str(self.authority.ca))

    async def run_script(self, *arguments: str, script: bytes = b"enable\n") -> int:
        """Run a script, and return its exit status."""
        options = parse_options(arguments)
        program = Program(reactor, options, self.shown.append, self.complaints.append)
        rest = [script, b""]
        lines = Lines(lambda: succeed(rest.pop(0)))
        return await program.run(lambda: Deferred.fromCoroutine(program.run_pipe(lines)))

    async def complaint(self, port: int, *arguments: str) -> str:
        """What is complained of, of a connection that fails."""
        self.assertEqual(await self.run_script("--connect", f"{HOST}:{port}", *arguments), 2)
        [complaint] = self.complaints
        return complaint

    async def test_command(self) -> None:
        """With the right files, the bridge answers the one that the certificate names."""
        port, own = self.serve_encrypted(), self.authority.issue("Ann Lee")
        files = ["--tls-ca", str(self.authority.ca), "--tls-certificate", str(own)]
        status = await self.run_script("--connect", f"{HOST}:{port}", *files)
        self.assertEqual((status, self.complaints), (1, []))
        self.assertIn("replies come back on the same connection, encrypted", self.shown[0])
        refused = [line for line in self.shown if "REFUSED" in line]
        self.assertEqual(len(refused), 1, "by the bridge, which has no mount")
        journal: Any = self.service.bridge
        self.assertEqual(journal.clients, {})

    async def test_dates(self) -> None:
        """A certificate that is expired, or will be soon, is warned of first; the line names its file."""
        port = self.serve_encrypted()
        for days, why in ((-0.5, "expired on "), (20.5, "expires in 20 days, on "), (31, "")):
            self.shown.clear()
            own = self.authority.issue("alice", days=days)
            files = ["--tls-ca", str(self.authority.ca), "--tls-certificate", str(own)]
            await self.run_script("--connect", f"{HOST}:{port}", *files)
            self.assertEqual(len([line for line in self.shown if str(own) in line]), 1 if why else 0)
            if why:
                self.assertIn(f"WARNING     --tls-certificate: {own}: CN=alice {why}", self.shown[0])

    async def test_plain(self) -> None:
        """Without TLS on both sides it works as well."""
        port = self.serve()
        status = await self.run_script("--connect", f"{HOST}:{port}")
        self.assertEqual((status, self.complaints), (1, []))
        self.assertEqual(len([line for line in self.shown if "REFUSED" in line]), 1)

    async def test_wrong_authority(self) -> None:
        """A port whose certificate is of another authority is refused before anything is said."""
        port = self.serve_encrypted()
        (self.folder / "other").mkdir()
        other = Authority(self.folder / "other", "another authority")
        complaint = await self.complaint(port, "--tls-ca", str(other.ca))
        self.assertIn("its certificate has expired, or its authority is not trusted", complaint)
        self.assertIn("--tls-ca", complaint)

    async def test_other_name(self) -> None:
        """A certificate for another host is no proof of this one."""
        port = self.serve_encrypted(host="192.0.2.1")
        complaint = await self.complaint(port, "--tls-ca", str(self.authority.ca))
        self.assertIn("its certificate is for another name or address", complaint)

    async def test_no_certificate(self) -> None:
        """A port that asks for a certificate says so, and the error says how to give one."""
        complaint = await self.complaint(self.serve_encrypted(), "--tls-ca", str(self.authority.ca))
        self.assertIn("it requires a certificate", complaint)
        self.assertIn("--tls-certificate", complaint)

    async def test_refused_certificate(self) -> None:
        """So does one that refuses the certificate that it is shown."""
        port = self.serve_encrypted()
        (self.folder / "other").mkdir()
        other = Authority(self.folder / "other", "another authority").issue("alice")
        for own, word in (
            (other, "it does not trust the authority"),
            (self.authority.issue("alice", days=-0.5), "it has expired"),
        ):
            self.complaints.clear()
            files = ["--tls-ca", str(self.authority.ca), "--tls-certificate", str(own)]
            complaint = await self.complaint(port, *files)
            self.assertIn("it refused the certificate", complaint)
            self.assertIn(word, complaint)

    async def test_plain_against_tls(self) -> None:
        """Plain text to a port with TLS is answered with what is wrong."""
        port = self.serve(certificate=str(self.authority.issue("bridge")))
        self.assertEqual(await self.run_script("--connect", f"{HOST}:{port}"), 1)
        [ended] = [line for line in self.shown if "UNKNOWN" in line]
        self.assertIn("it may speak TLS only", ended)

    def test_files(self) -> None:
        """A file that is none is named, with what was expected."""
        missing = str(self.folder / "missing.pem")
        for files in ((missing,), (str(self.authority.ca), missing)):
            error = self.assertRaises(ConfigError, client_options, HOST, *files)
            self.assertIn(f"{missing}: can't be read", str(error))


@skipIf(ssl is None, "mtmount_twisted[tls] is not installed")
class TLSAgainstPlainTests(SynchronousTestCase):
    """A port without TLS, to which a client speaks TLS, on a network in memory."""

    def setUp(self) -> None:
        folder = scratch_path(self)
        folder.mkdir()
        self.reactor, self.port = MemoryReactor(), Port()
        listening: Any = self.reactor.listenTCP(0, self.port, interface=HOST)
        tls = client_options(HOST, str(Authority(folder).ca))
        self.link = DuplexCommunicator(
            "desk", HOST, listening.getHost().port, LOG, tls=tls, reactor=self.reactor
        )
        self.waiting = self.link.wait_connected()
        self.turn()

    def turn(self, seconds: float = 0.0) -> None:
        """Let some time pass, and the reactor turn."""
        self.reactor.advance(seconds)
        for _ in range(3):
            self.reactor.advance(0)

    def tearDown(self) -> None:
        closed = self.link.close()
        self.turn()
        self.successResultOf(closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_greeting(self) -> None:
        """If the port says something, it is clear at once."""
        with self.assertLogs(LOG, "WARNING") as logged:
            self.port.far_ends[0].transport.write(AckReply(sequence_id=1).encode() * 3)
            self.turn()
        error: Any = self.failureResultOf(self.waiting, PeerRefusedError).value
        self.assertEqual(error.cause, "plain")
        self.assertIn("it does not speak TLS", logged.output[0])

    def test_silence(self) -> None:
        """If it says nothing, it is told after 3 s, and once for all attempts."""
        self.turn(HANDSHAKE_TIME - 0.1)
        self.assertNoResult(self.waiting)
        with self.assertLogs(LOG, "WARNING") as logged:
            self.turn(0.2)
            for _ in range(8):
                self.turn(1.0)
        error: Any = self.failureResultOf(self.waiting, PeerRefusedError).value
        self.assertEqual(error.cause, "plain")
        self.assertGreater(len(self.port.far_ends), 1)
        said = [line for line in logged.output if "can't use" in line]
        self.assertEqual(len(said), 1)
        self.assertIn("it may not speak TLS", said[0])
        self.assertLessEqual(HANDSHAKE_TIME, 3)

    def test_closed_meanwhile(self) -> None:
        """To close it in the middle of a handshake ends all, with nothing in the log."""
        with self.assertNoLogs(LOG, "WARNING"):
            closed = self.link.close()
            self.failureResultOf(self.waiting, PairClosedError)
            self.turn()
        self.successResultOf(closed)
        self.assertFalse(self.port.far_ends[0].is_connected)
