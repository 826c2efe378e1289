"""`mtmount_twisted.frontends.tcp.tls`: commanders who prove who they are, on real sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, wrapClientTLS
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import ClientLimits, PortCommanders
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.frontends.tcp.certificates import with_credentials
from mtmount_twisted.frontends.tcp.client_factory import Refused
from mtmount_twisted.frontends.tcp.commanders import ReadTurns, Shared
from mtmount_twisted.frontends.tcp.ports import PortFactory
from mtmount_twisted.frontends.tcp.tls import (
    HANDSHAKE_TIME,
    KEPT_FREE,
    MAX_UNPROVEN,
    HandshakeFactory,
    HandshakeReader,
)
from mtmount_twisted.net.liveness import KEEP_ALIVE
from mtmount_twisted.net.tls import load_credentials
from mtmount_twisted.testing import HOST
from tests.app.test_bridge_service import Collector
from tests.support.bridges import LOG, TCP, ask
from tests.support.certificates import Authority
from tests.support.folders import scratch_folder

try:
    from twisted.internet import ssl
except ImportError:  # the extra is not installed
    ssl = None  # type: ignore[assignment]


def sockets_of(port: int, peer: int) -> list[socket.socket]:
    """The connected sockets of this process from one port of this machine to another, as copies."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # no socket, or closed meanwhile
            continue
        try:
            if copy.getsockname()[1] == port and copy.getpeername()[1] == peer:
                found.append(copy)
                continue
        except (OSError, IndexError):
            pass
        copy.close()
    return found


class CertifiedTests(TestCase):
    """A port that asks for certificates."""

    def setUp(self) -> None:
        if ssl is None:
            raise SkipTest("mtmount_twisted[tls] is not installed")
        folder = scratch_folder(self)
        self.authority = Authority(folder)
        port = PortCommanders(
            name="desk",
            endpoint=TCP,
            role="commander",
            certificate=str(self.authority.issue("bridge")),
            client_ca=str(self.authority.ca),
        )
        self.service = BridgeService(Config(ports=(port,)), LOG)
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.assertEqual(self.service.port_failures, [])
        self.port = self.service.ports[0].getHost().port  # type: ignore[attr-defined]
        self.lost_ones = LostOnes(self)

    async def connect(self, certificate: Path | None, **tls: Any) -> Any:
        """A client that shows this certificate, connected as far as TLS goes."""
        from twisted.internet import reactor

        own = None if certificate is None else ssl.PrivateCertificate.loadPEM(certificate.read_bytes())
        trust = ssl.Certificate.loadPEM(self.authority.ca.read_bytes())
        options: Any = ssl.optionsForClientTLS(HOST, trustRoot=trust, clientCertificate=own, **tls)
        endpoint = wrapClientTLS(options, clientFromString(reactor, f"tcp:{HOST}:{self.port}"))
        return await connectProtocol(endpoint, Collector())

    async def test_name(self) -> None:
        """Who shows a certificate of the authority's is the commander that it names."""
        client = await self.connect(self.authority.issue("alice"))
        client.say(ask(7, 1, 1))
        await client.lines(1)
        self.assertEqual(list(self.service.bridge.clients), ["desk/alice"])

    async def test_peer_that_vanishes_is_noticed(self) -> None:
        """The kernel probes the peer, gives it up, and sends short writes at once, as without TLS."""
        client = await self.connect(self.authority.issue("alice"))
        client.say(ask(7, 1, 1))
        await client.lines(1)
        [ours] = sockets_of(self.port, client.transport.getHost().port)
        self.addCleanup(ours.close)
        self.assertEqual(ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1)
        self.assertEqual(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 1)
        for name, seconds in KEEP_ALIVE.items():
            self.assertEqual(ours.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)), seconds)

    async def test_once(self) -> None:
        """A second connection under a name is refused while the first is there, and welcome after."""
        certificate = self.authority.issue("alice")
        first = await self.connect(certificate)
        first.say(ask(7, 1, 1))
        await first.lines(1)
        client = self.service.bridge.clients["desk/alice"]
        with self.assertLogs(LOG, "WARNING") as logged:
            second = await self.connect(certificate)
            await second.lost
        self.assertIn("desk/alice is connected already", logged.output[0])
        self.assertEqual(list(self.service.bridge.clients), ["desk/alice"])
        await self.lost_ones.next()
        first.transport.abortConnection()
        await self.lost_ones.next()
        self.assertFalse(client.is_here)
        third = await self.connect(certificate)
        third.say(ask(8, 1, 1))
        await third.lines(1)
        self.assertIs(self.service.bridge.clients["desk/alice"], client, "so that it comes back to its lease")

    async def refused(self, certificate: Path | None, word: str, **tls: Any) -> None:
        """Connect, and see that it is closed with a line in the log."""
        with self.assertLogs(LOG, "WARNING") as logged:
            client = await self.connect(certificate, **tls)
            client.transport.write(ask(7, 1, 1) + b"\r\n")
            await client.lost
            await self.lost_ones.next()
        self.assertEqual(client.heard(), [])
        self.assertEqual(self.service.bridge.clients, {})
        self.assertIn(word, logged.output[0])

    async def test_none(self) -> None:
        """Who shows no certificate is refused."""
        await self.refused(None, "the TLS handshake failed")

    async def test_another_authority(self) -> None:
        """Who shows one of another authority's is refused."""
        other = Authority(scratch_folder(self), "somebody else")
        await self.refused(other.issue("alice"), "the TLS handshake failed")

    async def test_bad_names(self) -> None:
        """A certificate whose name can't be a commander's is refused, and the log says what can."""
        for name in ("al  ice", " alice", "a/b", "\u00e9", "a\nb"):
            await self.refused(self.authority.issue(name), "letters, digits")

    async def test_names_of_people_and_hosts(self) -> None:
        """Dots, spaces and ``@`` may be in the name of a certificate."""
        for name in ("Ann Lee", "ann.lee@site.org", "desk.site.org"):
            client = await self.connect(self.authority.issue(name))
            client.say(ask(7, 1, 1))
            await client.lines(1)
            self.assertIn(f"desk/{name}", self.service.bridge.clients)

    async def test_renewed(self) -> None:
        """A reload takes renewed files: who is connected stays, and who comes sees and shows new ones."""
        from cryptography import x509

        old = await self.connect(self.authority.issue("alice"))
        old.say(ask(7, 1, 1))
        await old.lines(1)
        former = self.authority.issue("bob")
        own = Path(str(self.service.config.ports[0].certificate))
        self.authority = Authority(self.authority.folder, "another authority")
        self.authority.issue("bridge", path=own)
        with self.assertLogs(LOG, "INFO") as logged:
            await self.service.reload(self.service.config)
        self.assertIn("INFO:tests.bridge:desk: new connections use the renewed certificates", logged.output)
        self.assertTrue(
            any(
                "desk: client_ca has changed: keeping 1 earlier connections" in line for line in logged.output
            )
        )
        with self.assertLogs(LOG, "WARNING") as refused:
            stranger = await self.connect(former)
            await stranger.lost
            await self.lost_ones.next()
        self.assertIn("the TLS handshake failed", refused.output[0])
        new = await self.connect(self.authority.issue("carol"))
        new.say(ask(8, 1, 1))
        await new.lines(1)
        self.assertEqual(set(self.service.bridge.clients), {"desk/alice", "desk/carol"})
        shown = new.transport.getPeerCertificate().to_cryptography()
        self.assertEqual(shown, x509.load_pem_x509_certificate(own.read_bytes()))
        old.say(ask(9, 1, 1))
        await old.lines(2)

    async def test_renewed_by_halves(self) -> None:
        """Files that do not belong together are refused, and the port shows what it showed."""
        own = Path(str(self.service.config.ports[0].certificate))
        key = own.read_bytes().split(b"-----BEGIN PRIVATE", 1)[1]
        self.authority.issue("bridge", path=own)
        own.write_bytes(own.read_bytes().split(b"-----BEGIN PRIVATE", 1)[0] + b"-----BEGIN PRIVATE" + key)
        with self.assertLogs(LOG, "ERROR") as logged:
            await self.service.reload(self.service.config)
        self.assertIn("keeping the previous certificates", logged.output[0])
        client = await self.connect(self.authority.issue("alice"))
        client.say(ask(7, 1, 1))
        await client.lines(1)

    async def test_ambiguous(self) -> None:
        """A certificate that names nobody, or two, is refused: which of them it is could be argued."""
        for names in ((), ("alice", "bob"), ("alice", "alice")):
            await self.refused(self.authority.issue(*names), "expected one common name")

    async def test_old_tls(self) -> None:
        """TLS older than 1.2 is refused."""
        old = ssl.TLSVersion.TLSv1_1
        await self.refused(
            self.authority.issue("alice"),
            "the TLS handshake failed",
            extraCertificateOptions={"insecurelyLowerMinimumTo": old, "lowerMaximumSecurityTo": old},
        )

    async def test_plain_words(self) -> None:
        """Who does not speak TLS is refused, and nothing of what it says is taken."""
        from twisted.internet import reactor

        with self.assertLogs(LOG, "WARNING"):
            client = await connectProtocol(clientFromString(reactor, f"tcp:{HOST}:{self.port}"), Collector())
            client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
            await client.lost
            await self.lost_ones.next()
        self.assertEqual(self.service.bridge.clients, {})

    async def test_not_on_the_list(self) -> None:
        """Who is not on the list is cut off as it connects, encrypted or not, and nothing of it is left."""
        from twisted.internet import reactor

        await self.service.stopService()
        [port] = self.service.config.ports
        for changes in ({}, {"client_ca": None}):
            listed = attrs.evolve(port, allow=("192.0.2.1",), **changes)
            service = BridgeService(Config(ports=(listed,)), LOG)
            service.startService()
            where = service.ports[0].getHost().port  # type: ignore[attr-defined]
            with self.assertLogs(LOG, "WARNING"):
                client = await connectProtocol(clientFromString(reactor, f"tcp:{HOST}:{where}"), Collector())
                await client.lost
            await service.stopService()

    async def test_stop(self) -> None:
        """Who is still at its handshake when the bridge ends does not hold it up."""
        from twisted.internet import reactor

        client = await connectProtocol(clientFromString(reactor, f"tcp:{HOST}:{self.port}"), Collector())
        await self.service.stopService()
        await client.lost


class NumberedTests(TestCase):
    """An encrypted port that asks for no certificate, on real sockets."""

    def setUp(self) -> None:
        if ssl is None:
            raise SkipTest("mtmount_twisted[tls] is not installed")
        folder = scratch_folder(self)
        self.authority = Authority(folder)
        chain = str(self.authority.issue("bridge"))
        own = {"role": "commander"}
        ports = (
            PortCommanders(name="desk", endpoint=TCP, certificate=chain, **own),
            PortCommanders(
                name="wall", endpoint=f"ssl:0:interface={HOST}:privateKey={chain}:certKey={chain}", **own
            ),
        )
        self.service = BridgeService(Config(ports=ports), LOG)
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.assertEqual(self.service.port_failures, [])
        self.ports = [port.getHost().port for port in self.service.ports]  # type: ignore[attr-defined]

    async def test_numbered(self) -> None:
        """Who speaks TLS is a client with a number, whether the port or its endpoint brings the TLS."""
        from twisted.internet import reactor

        trust = ssl.Certificate.loadPEM(self.authority.ca.read_bytes())
        options: Any = ssl.optionsForClientTLS(HOST, trustRoot=trust)
        clients = []
        for port in self.ports:
            endpoint = wrapClientTLS(options, clientFromString(reactor, f"tcp:{HOST}:{port}"))
            client = await connectProtocol(endpoint, Collector())
            client.say(ask(7, 1, 1))
            await client.lines(1)
            clients.append(client)
        self.assertEqual(list(self.service.bridge.clients), ["desk/1", "wall/1"])
        for client in clients:
            client.transport.loseConnection()
            await client.lost

    async def test_files_are_read_once(self) -> None:
        """A port that a reload adds listens with what was read for the configuration, not with its files."""
        [_, wall] = self.service.config.ports
        hall = attrs.evolve(wall, name="hall")
        config = attrs.evolve(self.service.config, ports=(*self.service.config.ports, hall))
        config = with_credentials(config, self.fail)
        for path in self.authority.folder.iterdir():
            path.unlink()
        await self.service.reload(config)
        self.assertEqual((self.service.port_failures, len(self.service.ports)), ([], 3))

    async def test_no_handshake(self) -> None:
        """Who does not end the handshake is no client, and is told nothing of the mount."""
        from twisted.internet import reactor

        lost = LostOnes(self)
        for port in self.ports:
            client = await connectProtocol(clientFromString(reactor, f"tcp:{HOST}:{port}"), Collector())
            with self.assertLogs(LOG, "WARNING") as logged:
                client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
                await client.lost
                await lost.next()
            self.assertIn("the TLS handshake failed", logged.output[0])
        self.assertEqual(self.service.bridge.clients, {})


class LostOnes:
    """Notes when the bridge's side of a connection has ended."""

    def __init__(self, case: TestCase) -> None:
        self._waiting: Deferred[None] | None = None
        self._count = 0
        original = HandshakeReader.connectionLost

        def lost(reader: HandshakeReader, *reason: Any) -> None:
            original(reader, *reason)
            self._count += 1
            if self._waiting is not None:
                self._waiting.callback(None)

        case.patch(HandshakeReader, "connectionLost", lost)

    async def next(self) -> None:
        """Wait until one more has ended than at the last call."""
        if not self._count:
            self._waiting = Deferred()
            await self._waiting
            self._waiting = None
        self._count -= 1


class DeadlineTests(SynchronousTestCase):
    """In memory: how long a handshake may take, and how many may be at it."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        bridge: Any = SimpleNamespace(dialect=DIALECT)
        settings = PortCommanders(name="desk", endpoint=TCP, max_clients=200)
        turns = ReadTurns(self.clock)
        self.port = PortFactory(settings, Shared(bridge, ClientLimits(), turns, LOG, self.clock))

    def come(self, by_certificate: bool = True) -> StringTransportWithDisconnection | None:
        """A peer connects, and says nothing: its connection; None if it is refused."""
        transport = Pipe()
        factory = HandshakeFactory(self.port, self.clock, by_certificate)
        protocol: Any = factory.buildProtocol(transport.getPeer())
        if isinstance(protocol, Refused):
            return None
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def test_too_slow(self) -> None:
        """Who has not ended the handshake 5 s after it connected is cut off, with a certificate or not."""
        for by_certificate in (True, False):
            transport = self.come(by_certificate)
            assert transport is not None
            self.clock.advance(HANDSHAKE_TIME - 0.1)
            self.assertTrue(transport.connected)
            with self.assertLogs(LOG, "WARNING") as logged:
                self.clock.advance(0.2)
            self.assertIn("the TLS handshake took longer than 5 s", logged.output[0])
            self.assertFalse(transport.connected)
            self.assertEqual((len(self.port.unproven), self.clock.getDelayedCalls()), (0, []))

    def test_crowd(self) -> None:
        """Strangers at their handshakes keep nobody out: when few places are left the oldest is cut off."""
        first = self.come()
        assert first is not None
        with self.assertLogs(LOG, "WARNING") as logged:
            others = [self.come() for _ in range(1000)]
        self.assertNotIn(None, others)
        self.assertFalse(first.connected)
        self.assertEqual(len(self.port.unproven), MAX_UNPROVEN - KEPT_FREE)
        self.assertEqual(len(logged.output), 10, "and not a line for each")
        self.clock.advance(HANDSHAKE_TIME)

    def test_those_that_are_cut_off_count(self) -> None:
        """A connection that is being cut off counts until it is gone, so that there are never more."""
        self.patch(Pipe, "gone_at_once", False)
        with self.assertLogs(LOG, "WARNING"):
            come = [self.come() for _ in range(1000)]
        self.assertEqual(sum(transport is not None for transport in come), MAX_UNPROVEN)
        for transport in filter(None, come):
            transport.protocol.connectionLost()  # type: ignore[attr-defined]
        self.assertEqual((len(self.port.unproven), self.clock.getDelayedCalls()), (0, []))

    def test_strangers_take_no_place_of_a_client(self) -> None:
        """Peers at their handshake do not count among ``max_clients``, which holds once it is over."""
        settings = PortCommanders(name="desk", endpoint=TCP, max_clients=3)
        bridge: Any = SimpleNamespace(
            dialect=DIALECT,
            client_connected=lambda client: None,
            client_lost=lambda *why: None,
            lease=SimpleNamespace(holder=None),
        )
        turns = ReadTurns(self.clock)
        self.port = PortFactory(settings, Shared(bridge, ClientLimits(), turns, LOG, self.clock))
        come = [self.come(by_certificate=False) for _ in range(8)]
        self.assertNotIn(None, come)
        transports = [transport for transport in come if transport is not None]
        for transport in reversed(transports[-3:]):
            transport.protocol.handshakeCompleted()  # type: ignore[attr-defined]
        self.assertEqual(len(self.port.connected), 3)
        with self.assertLogs(LOG, "WARNING") as logged:
            transports[0].protocol.handshakeCompleted()  # type: ignore[attr-defined]
        self.assertIn("3 are connected already (max_clients)", logged.output[0])
        self.assertEqual([each.connected for each in transports], [False] + [True] * 7)
        with self.assertLogs(LOG, "WARNING") as logged:
            self.assertIsNone(self.come(by_certificate=False), "no handshake is begun for nothing")
        self.assertIn("3 are connected already (max_clients)", logged.output[0])
        transports[-1].loseConnection()
        self.assertIsNotNone(self.come(by_certificate=False))
        with self.assertLogs(LOG, "WARNING"):
            self.clock.advance(HANDSHAKE_TIME)
        for transport in transports[-3:-1]:
            transport.loseConnection()
        self.assertEqual((len(self.port.unproven), self.port.connected), (0, set()))


class Pipe(StringTransportWithDisconnection):
    """The port's end of a connection.

    :ivar gone_at_once: whether it is gone as soon as it is cut off.
    """

    gone_at_once = True

    def abortConnection(self) -> None:
        """Cut."""
        if self.gone_at_once:
            self.loseConnection()


class FileTests(SynchronousTestCase):
    """Files that are none."""

    def setUp(self) -> None:
        if ssl is None:
            raise SkipTest("mtmount_twisted[tls] is not installed")
        self.folder = scratch_folder(self)
        self.good = str(Authority(self.folder).issue("bridge"))

    def problem(self, *files: str) -> str:
        """What is said of these files."""
        return str(self.assertRaises(ConfigError, load_credentials, *files))

    def test_missing(self) -> None:
        """A file that is not there is named, with the reason."""
        missing = str(self.folder / "missing.pem")
        for files in ((missing, self.good, ""), (self.good, missing, ""), (self.good, self.good, missing)):
            self.assertIn(f"{missing}: can't be read: No such file", self.problem(*files))

    def test_wrong(self) -> None:
        """One that holds something else is named, with what was expected."""
        wrong = self.folder / "wrong.pem"
        for text in (
            b"",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ):
            wrong.write_bytes(text)
            self.assertIn("expected a certificate, in PEM", self.problem(str(wrong), self.good, ""))
            self.assertIn("expected a private key", self.problem(self.good, str(wrong), ""))

    def test_another_key(self) -> None:
        """A key that is not the certificate's is told."""
        other = str(Authority(scratch_folder(self)).issue("other"))
        self.assertIn("is not the key of", self.problem(self.good, other, ""))
