"""A port that is full: which client gives its place to a newcomer, and which newcomer is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.settings import ClientLimits, CommandRules, PortCommanders
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.frontends.tcp.client_factory import Refused
from mtmount_twisted.frontends.tcp.commanders import READ_EVERY, ReadTurns, Shared
from mtmount_twisted.frontends.tcp.ports import PortFactory
from mtmount_twisted.frontends.tcp.tls import HandshakeFactory
from mtmount_twisted.interfaces import IClient
from tests.support.bridges import TCP
from tests.support.commanders import LOG, STATE, STOP, RecordingJournal, RecordingLink, ask, command

PLACES = 6
"""How many clients the port takes."""

HOG, USER, OTHER = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class Wire(StringTransportWithDisconnection):
    """The port's end of a connection.

    :ivar is_aborted: True once the port has cut it off; it is lost when the test says so.
    :ivar lingers: True if the peer does not read the last that it is sent, so that closing takes long.
    """

    is_aborted = lingers = False

    def loseConnection(self) -> None:
        """Close, when all is sent."""
        self.disconnecting = True
        if not self.lingers:
            super().loseConnection()

    def abortConnection(self) -> None:
        """As a real one, which is lost in the reactor's next turn."""
        self.is_aborted = True


class FullPortCase(SynchronousTestCase):
    """A port with `PLACES` places for observers."""

    role: Any = "observer"

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.journal = RecordingJournal()
        self.bridge = Bridge(self.clock, LOG, EventBus(self.clock, self.journal), CommandRules(), DIALECT)
        settings = PortCommanders(name="hall", endpoint=TCP, role=self.role, max_clients=PLACES)
        turns = ReadTurns(self.clock)
        self.port = PortFactory(settings, Shared(self.bridge, ClientLimits(), turns, LOG, self.clock))
        self.wires: list[Wire] = []

    def tearDown(self) -> None:
        for wire in self.wires:
            wire.lingers = False
            wire.loseConnection()
        self.bridge.close()
        self.assertEqual((len(self.port.connected), self.clock.getDelayedCalls()), (0, []))

    def protocol_for(self, peer: Any) -> Any:
        """What the port makes of a newcomer."""
        return self.port.buildProtocol(peer)

    def come(self, host: str) -> Wire | None:
        """A client connects from an address: its connection; None if it is refused."""
        kind: Any = IPv6Address if ":" in host else IPv4Address
        return self.come_from(kind("TCP", host, 4000 + len(self.wires)))

    def come_from(self, peer: Any) -> Wire | None:
        """As `come`, from whatever address."""
        protocol = self.protocol_for(peer)
        if isinstance(protocol, Refused):
            return None
        wire = Wire(peerAddress=peer)
        wire.protocol = protocol
        self.wires.append(wire)
        protocol.makeConnection(wire)
        return wire

    def fill(self, *hosts: str) -> list[Wire]:
        """A client comes from each of these addresses; the last one until the port is full."""
        hosts += hosts[-1:] * (PLACES - len(hosts))
        come = [self.come(host) for host in hosts]
        self.assertNotIn(None, come)
        return [wire for wire in come if wire is not None]

    def finish(self, wire: Any) -> None:
        """A client shuts its way in, or closes: the port can't tell the one from the other."""
        wire.protocol.readConnectionLost()

    def say(self, wire: Any, line: bytes) -> None:
        """A client sends a line, and it is read."""
        wire.protocol.dataReceived(line + b"\r\n")
        self.clock.advance(READ_EVERY)

    def aborted(self) -> list[Wire]:
        """The connections that the port has cut off and that are not gone yet."""
        return [wire for wire in self.wires if wire.is_aborted and wire.connected]


class HalfClosedTests(FullPortCase):
    """Clients that send no more and may still listen."""

    def test_oldest_gives_way(self) -> None:
        """The one that has been so for longest is disconnected; nobody else is, and the newcomer is here."""
        wires = self.fill(USER, OTHER, HOG)
        for wire in (wires[4], wires[3]):
            self.finish(wire)
        newcomer = self.come(USER)
        assert newcomer is not None
        self.assertEqual(self.aborted(), [wires[4]])
        self.assertNotIn("hall/5", self.bridge.clients)
        self.bridge.process_replies([STATE])
        self.assertIn(STATE, newcomer.value())
        self.assertIn(STATE, wires[3].value(), "one whose place nobody needs goes on listening")
        self.assertNotIn(STATE, wires[4].value())

    def test_one_program_keeps_nobody_out(self) -> None:
        """However often a program connects and closes, the others' places stay theirs, and more come in."""
        users = self.fill(USER, OTHER, USER, OTHER, HOG)[:4]
        for wire in self.wires[4:]:
            self.finish(wire)
        for _ in range(50):
            wire = self.come(HOG)
            assert wire is not None
            self.finish(wire)
        self.assertIsNotNone(self.come("192.0.2.4"))
        self.assertEqual([wire.is_aborted for wire in users], [False] * 4)

    def test_listener_keeps_its_place_from_an_address_with_more(self) -> None:
        """An address with many places takes none from a half-closed client of an address with few."""
        listener = self.fill(USER, HOG)[0]
        self.finish(listener)
        self.assertIsNone(self.come(HOG))
        self.assertEqual(self.aborted(), [])
        self.assertIsNotNone(self.come(OTHER), "an address with as few may have it")
        self.assertEqual(self.aborted(), [listener])

    def test_its_own_address(self) -> None:
        """Where all have one address, as behind a proxy, a half-closed client gives way to any."""
        wires = self.fill(USER)
        self.assertIsNone(self.come(USER))
        self.finish(wires[2])
        self.assertIsNotNone(self.come(USER))
        self.assertEqual(self.aborted(), [wires[2]])
        self.assertIsNone(self.come(USER), "it gives way once")

    def test_that_leaves(self) -> None:
        """One that is gone by itself is no longer among those that could give way."""
        wires = self.fill(USER, HOG)
        self.finish(wires[1])
        wires[1].loseConnection()
        self.assertIsNotNone(self.come(HOG))
        self.assertIsNone(self.come(HOG))
        self.assertEqual(self.aborted(), [])


class AddressTests(FullPortCase):
    """Clients that are connected and do nothing."""

    def test_address_with_most_gives_way(self) -> None:
        """It loses its oldest client to each newcomer of an address with fewer, until both have as many."""
        wires = self.fill(USER, HOG)
        come = [self.come(OTHER) is not None for _ in range(4)]
        self.assertEqual(come, [True, True, False, False])
        self.assertEqual(self.aborted(), wires[1:3])

    def test_it_takes_none_back(self) -> None:
        """Two addresses that come again and again do not take places from each other in turns."""
        self.fill(USER, USER, USER, HOG)
        self.assertEqual([self.come(host) for host in (USER, HOG) * 5], [None] * 10)
        self.assertEqual(self.aborted(), [])

    def test_ipv6_network(self) -> None:
        """The addresses of one IPv6 /64 count as one; an IPv4 address that is written as IPv6 is itself."""
        wires = self.fill(*(f"2001:db8:1:1::{number}" for number in range(1, PLACES + 1)))
        self.assertIsNone(self.come("2001:db8:1:1::99"))
        self.assertIsNotNone(self.come("2001:db8:1:2::1"))
        for host in (f"::ffff:{USER}", USER):
            self.assertIsNotNone(self.come(host))
        self.assertIsNone(self.come(USER))
        self.assertEqual(self.aborted(), wires[:3])

    def test_half_closed_first(self) -> None:
        """Nobody who may still be sending gives way while a half-closed client can."""
        wires = self.fill(USER, USER, HOG)
        self.finish(wires[1])
        self.assertIsNotNone(self.come(OTHER))
        self.assertEqual(self.aborted(), [wires[1]])

    def test_no_address(self) -> None:
        """On a Unix socket nobody has an address: only half-closed clients give way."""
        nobody: Any = UNIXAddress(None)
        for _ in range(PLACES):
            self.come_from(nobody)
        self.assertIsNone(self.come_from(nobody))
        self.finish(self.wires[3])
        self.assertIsNotNone(self.come_from(nobody))
        self.assertEqual(self.aborted(), [self.wires[3]])

    def test_dismissed_first(self) -> None:
        """A client that was told to go, and has not read the last of it, gives way before anybody."""
        wires = self.fill(USER, HOG)
        self.finish(wires[1])
        wires[5].lingers = True
        self.say(wires[5], b"no command")
        self.assertTrue(wires[5].disconnecting)
        self.assertIsNotNone(self.come(HOG))
        self.assertEqual(self.aborted(), [wires[5]])
        self.assertEqual(self.bridge.counts["cut_off"], 0, "it was disconnected before")

    def test_displaced_count_until_they_are_gone(self) -> None:
        """A place is given away once: newcomers in one turn of the reactor displace one client each."""
        wires = self.fill(HOG)
        for number in range(3):
            self.assertIsNotNone(self.come(f"198.51.100.{number}"))
        self.assertEqual(self.aborted(), wires[:3])
        for wire in wires[:3]:
            wire.loseConnection()
        self.assertEqual(len(self.port.connected), PLACES)


class RecordTests(FullPortCase):
    """What tells that a client was displaced."""

    def test_told(self) -> None:
        """One line of the log in a minute, an event and a count, as for other clients that are cut off."""
        self.fill(HOG)
        with self.assertLogs(LOG, "WARNING") as logged:
            for number in range(3):
                self.come(f"198.51.100.{number}")
        self.assertEqual(len(logged.output), 1)
        self.assertIn("hall: full (max_clients): cut off hall/1 at 192.0.2.1:4000", logged.output[0])
        self.assertIn("for a peer at 198.51.100.0", logged.output[0])
        why = "the port is full (max_clients)"
        cut_off = [row for row in self.journal.events if row[0] == "cut_off"]
        self.assertEqual(
            [(name, detail) for _, name, _, detail in cut_off], [(f"hall/{n}", why) for n in (1, 2, 3)]
        )
        self.assertEqual(self.bridge.counts["cut_off"], 3)

    def test_refused(self) -> None:
        """Where nobody gives way the newcomer is refused, with the line that there was."""
        self.fill(USER)
        with self.assertLogs(LOG, "WARNING") as logged:
            self.assertIsNone(self.come(USER))
        self.assertIn("6 are connected already (max_clients)", logged.output[0])
        self.assertEqual(self.bridge.counts["cut_off"], 0)


class CommanderTests(FullPortCase):
    """A port whose clients have rights."""

    role = "commander"

    def test_nobody_gives_way(self) -> None:
        """Neither who has command, nor whose commands are in flight, nor one that does nothing."""
        wires = self.fill(USER, USER, HOG)
        link = RecordingLink(self.bridge)
        self.bridge.link_up(link)
        self.say(wires[2], ask(1, 1, 1))
        link.finish_all()
        self.assertEqual(self.bridge.lease.holder, self.bridge.clients["hall/3"])
        for wire in wires[2:4]:
            self.say(wire, command(2, STOP, 1))
            self.finish(wire)
        for host in (USER, HOG, OTHER):
            self.assertIsNone(self.come(host))
        self.assertEqual(self.aborted(), [])
        self.assertEqual(len(self.bridge.clients), PLACES)


class EncryptedTests(FullPortCase):
    """A port with TLS: a newcomer takes a place when its handshake is over, and nobody gives way before."""

    def setUp(self) -> None:
        super().setUp()
        self.handshakes = HandshakeFactory(self.port, self.clock, by_certificate=False)

    def protocol_for(self, peer: Any) -> Any:
        return self.handshakes.buildProtocol(peer)

    def come(self, host: str) -> Wire | None:
        wire = super().come(host)
        if wire is not None:
            wire.protocol.handshakeCompleted()
        return wire

    def test_after_the_handshake(self) -> None:
        """Peers that do not end it displace nobody; one that does displaces as on any port."""
        wires = self.fill(USER, HOG)
        stuck = [super(EncryptedTests, self).come(OTHER) for _ in range(10)]
        self.assertNotIn(None, stuck)
        self.assertEqual(self.aborted(), [])
        self.assertIsNotNone(self.come(OTHER))
        self.assertEqual(self.aborted(), [wires[1]])

    def test_refused_without_a_handshake(self) -> None:
        """Where nobody would give way no handshake is begun."""
        self.fill(USER)
        self.assertIsNone(self.come(USER))
        self.assertEqual(len(self.port.unproven), 0)

    def test_full_meanwhile(self) -> None:
        """A peer that finds the port full as its handshake ends, and nobody to give way, is cut off."""
        self.fill(USER)[0].loseConnection()
        late = super().come(USER)
        assert late is not None
        self.assertIsNotNone(self.come(USER))
        late.protocol.handshakeCompleted()  # type: ignore[attr-defined]
        self.assertEqual(self.aborted(), [late])

    def test_certificate_that_is_refused(self) -> None:
        """A peer whose certificate does not let it in displaces nobody."""
        self.fill(HOG)
        self.handshakes = HandshakeFactory(self.port, self.clock, by_certificate=True)
        stranger: Any = super().come(OTHER)
        stranger.getPeerCertificate = lambda: SimpleNamespace(to_cryptography=_no_name)
        stranger.protocol.handshakeCompleted()
        self.assertEqual(self.aborted(), [stranger])

    def test_handshakes_of_one_address(self) -> None:
        """One address that begins handshakes again and again cuts off its own, and not that of another."""
        user = super().come(USER)
        assert user is not None
        hogs = [super(EncryptedTests, self).come(HOG) for _ in range(200)]
        self.assertFalse(user.is_aborted)
        user.protocol.handshakeCompleted()  # type: ignore[attr-defined]
        self.assertEqual(len(self.port.connected), 1)
        for wire in filter(None, hogs):
            wire.loseConnection()


def _no_name() -> None:
    raise ValueError("one name")


class PasswordRightTests(FullPortCase):
    """Which clients of a port may read a password that the mount sends."""

    def test_certificate(self) -> None:
        """Only a commander with a certificate may: all others may be anyone."""
        for role, authority, may in (
            ("commander", "/ca.pem", True),
            ("commander", None, False),
            ("observer", "/ca.pem", False),
        ):
            settings = PortCommanders(name="desk", endpoint=TCP, role=cast(Any, role), client_ca=authority)
            client = PortFactory(settings, self.port.shared).make_numbered_client()
            self.assertTrue(verifyObject(IClient, client))
            self.assertEqual(client.may_have_password, may, (role, authority))
