"""TLS handshakes with a whole daemon: its ports and its page share one bound and the same turns."""

from __future__ import annotations

from typing import Any
from unittest import skipIf

import attrs
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import PortCommanders, WebSettings
from mtmount_twisted.frontends.web.service import Parts, WebService
from mtmount_twisted.journal.recorder import JournalOff
from mtmount_twisted.net.handshakes import STEPS
from mtmount_twisted.net.rate_limited_log import A_FEW
from mtmount_twisted.net.tls import load_credentials
from tests.support.bridges import LOG
from tests.support.certificates import Authority
from tests.support.folders import scratch_folder
from tests.support.handshakes import SSL, TURN, Peer, TurnClock, with_certificates

DESK, WALL, WEB = 30100, 30101, 8443

USER, STRANGER = "192.0.2.1", "198.51.100.7"


class TurnReactor(TurnClock, MemoryReactorClock):
    """A reactor in memory whose turns are told apart."""


@skipIf(SSL is None, "mtmount_twisted[tls] is not installed")
class DaemonTests(SynchronousTestCase):
    """A port that asks for certificates, a port and a page whose endpoints bring TLS."""

    def setUp(self) -> None:
        self.reactor: Any = TurnReactor()
        self.authority = Authority(scratch_folder(self))
        own = str(self.authority.issue("bridge"))
        where = f"interface=127.0.0.1:privateKey={own}:certKey={own}"
        ports = (
            PortCommanders(
                name="desk",
                endpoint=f"tcp:{DESK}:interface=127.0.0.1",
                role="commander",
                certificate=own,
                client_ca=str(self.authority.ca),
            ),
            PortCommanders(name="wall", endpoint=f"ssl:{WALL}:{where}"),
        )
        bus = EventBus(self.reactor)
        config = Config(ports=ports)
        self.bridge = BridgeService(config, LOG, bus, reactor=self.reactor)
        self.bridge.startService()
        parts = Parts(self.bridge, bus, JournalOff(), config.clients)
        credentials = load_credentials(
            own, own, str(self.authority.ca)
        )  # so that the page takes certificates
        settings = attrs.evolve(WebSettings(), credentials=credentials)
        self.web = WebService(settings, f"ssl:{WEB}:{where}", None, parts, LOG, self.reactor)
        self.web.startService()
        self.factories = {number: factory for number, factory, *_ in self.reactor.tcpServers}

    def tearDown(self) -> None:
        stops = [self.web.stopService(), self.bridge.stopService()]
        for _ in range(10):
            self.reactor.advance(1)
        for stop in stops:
            self.successResultOf(stop)

    def come(self, port: int, host: str = STRANGER, context: Any = None) -> Peer:
        """A peer connects, and has sent its first flight."""
        peer = Peer(self.factories[port], self.reactor, host, context)
        peer.send(peer.flight())
        return peer

    def test_few_steps_in_a_turn(self) -> None:
        """However many handshakes go on at the ports and the page: `STEPS` in a turn of the reactor."""
        peers = [self.come(port) for port in (DESK, WALL, WEB) for _ in range(STEPS)]
        for count in range(1, 4):
            self.assertEqual(sum(peer.is_answered for peer in peers), count * STEPS)
            self.reactor.advance(TURN)
        for peer in peers:
            peer.wire.loseConnection()

    def test_commander_comes_back(self) -> None:
        """A commander whose address is known goes before the strangers at its port."""
        context = with_certificates(self.authority.issue("ann"), 1)
        commander = self.come(DESK, USER, context)
        self.reactor.advance(TURN)
        commander.send(commander.flight())
        self.reactor.advance(TURN)
        self.assertEqual(list(self.bridge.bridge.clients), ["desk/ann"])
        commander.wire.loseConnection()
        early = [self.come(WALL) for _ in range(STEPS)]
        strangers = [self.come(DESK) for _ in range(50)]
        again = self.come(DESK, USER, context)
        self.reactor.advance(TURN)
        self.assertTrue(again.is_answered)
        self.assertEqual(sum(peer.is_answered for peer in strangers), STEPS - 1)
        for peer in (*early, *strangers, again):
            peer.wire.loseConnection()

    def test_user_of_the_page_comes_back(self) -> None:
        """So does a user of the page whose request was accepted."""
        user = self.come(WEB, USER, with_certificates(self.authority.issue("eve"), 1))
        self.reactor.advance(TURN)
        user.send(user.flight())
        self.reactor.advance(TURN)
        user.send(user.say(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:8443\r\n\r\n"))
        for _ in range(5):
            self.reactor.advance(TURN)
        early = [self.come(WALL) for _ in range(STEPS)]
        strangers = [self.come(WEB) for _ in range(20)]
        again = self.come(WEB, USER)
        self.reactor.advance(TURN)
        self.assertTrue(again.is_answered)
        self.assertEqual(sum(peer.is_answered for peer in strangers), STEPS - 1)
        for peer in (*early, *strangers, again, user):
            peer.wire.loseConnection()

    def test_long_chains(self) -> None:
        """Peers that show too many certificates are cut off, at a port and at the page; few lines say so."""
        context = with_certificates(self.authority.issue("ann"), 100)
        for port, name in ((DESK, "desk"), (WEB, "web")):
            with self.assertLogs(LOG, "WARNING") as logged:
                for number in range(2 * A_FEW):
                    peer = self.come(port, f"198.51.100.{number}", context)
                    self.reactor.advance(TURN)
                    peer.send(peer.flight())
                    self.reactor.advance(TURN)
                    self.assertFalse(peer.wire.connected)
            self.assertIn(f"{name}: refused", logged.output[0])
            self.assertIn("the TLS handshake failed: it sent 16384 bytes", logged.output[0])
            self.assertEqual(len(logged.output), A_FEW)
