"""A port that asks for certificates: a crowd at its handshake keeps no commander from coming back."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any
from unittest import SkipTest

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.settings import ClientLimits, CommandRules, PortCommanders
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.frontends.tcp.client_factory import Refused
from mtmount_twisted.frontends.tcp.commanders import ReadTurns, Shared
from mtmount_twisted.frontends.tcp.ports import PortFactory
from mtmount_twisted.frontends.tcp.tls import (
    KEPT_FREE,
    KEPT_FREE_KNOWN,
    MAX_UNPROVEN,
    MAX_UNPROVEN_KNOWN,
    HandshakeFactory,
)
from mtmount_twisted.net.known_addresses import KNOWN_TIME
from tests.support.bridges import LOG, TCP
from tests.support.certificates import Authority
from tests.support.commanders import RecordingJournal
from tests.support.folders import scratch_folder

DESK, OTHER_DESK = "192.0.2.1", "192.0.2.2"


class Wire(StringTransportWithDisconnection):
    """The port's end of a connection that has shown a certificate.

    :ivar lingers: whether it is not gone yet when it was cut off.
    """

    lingers = False

    def __init__(self, host: str, certificate: Any) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, 4000))
        self.is_aborted = False
        self.certificate = certificate

    def getPeerCertificate(self) -> Any:
        """The certificate, as pyOpenSSL has it."""
        return SimpleNamespace(to_cryptography=lambda: self.certificate)

    def give_precedence(self, reads_freely: Any) -> None:
        """There is no TLS here."""

    def abortConnection(self) -> None:
        """Cut."""
        self.is_aborted = True
        if not self.lingers:
            self.loseConnection()


class CrowdTests(SynchronousTestCase):
    """In memory."""

    def setUp(self) -> None:
        try:
            from cryptography import x509
        except ImportError:
            raise SkipTest("mtmount_twisted[tls] is not installed") from None
        authority = Authority(scratch_folder(self))
        self.certificates = {
            name: x509.load_pem_x509_certificate(authority.issue(name).read_bytes())
            for name in ("ann", "bob", "a/b")
        }
        self.clock: Any = Clock()
        bridge = Bridge(self.clock, LOG, EventBus(self.clock, RecordingJournal()), CommandRules(), DIALECT)
        settings = PortCommanders(name="desk", endpoint=TCP, role="commander", client_ca="ca.pem")
        turns = ReadTurns(self.clock)
        self.port = PortFactory(settings, Shared(bridge, ClientLimits(), turns, LOG, self.clock))
        self.handshakes = HandshakeFactory(self.port, self.clock, by_certificate=True)
        self.addCleanup(bridge.close)
        self.hosts = (f"198.51.{number // 200 % 200}.{number % 200}" for number in itertools.count())

    def come(self, host: str, name: str = "ann") -> Wire | None:
        """A peer connects, and its handshake is not over; None if it is refused."""
        wire = Wire(host, self.certificates[name])
        protocol: Any = self.handshakes.buildProtocol(wire.getPeer())
        if isinstance(protocol, Refused):
            return None
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return wire

    def enter(self, host: str, name: str = "ann") -> Wire:
        """A peer connects, and shakes hands."""
        wire = self.come(host, name)
        assert wire is not None
        wire.protocol.handshakeCompleted()  # type: ignore[attr-defined]
        return wire

    def crowd(self, count: int = 1000) -> None:
        """So many strangers connect, each from an address of its own, and say nothing."""
        for _ in range(count):
            self.come(next(self.hosts))

    def survives(self, host: str) -> bool:
        """Whether a handshake from an address comes to its end while a crowd comes."""
        self.crowd()
        wire = self.come(host)
        self.crowd()
        if wire is None or wire.is_aborted:
            return False
        wire.protocol.handshakeCompleted()  # type: ignore[attr-defined]
        self.assertEqual(len(self.port.connected), 1)
        wire.loseConnection()
        return True

    def test_comes_back(self) -> None:
        """An address whose certificate has named a client has its handshake, whatever strangers do."""
        with self.assertLogs(LOG, "WARNING"):
            self.assertFalse(self.survives(DESK), "nobody knows it yet")
            self.enter(DESK).loseConnection()
            self.assertTrue(self.survives(DESK))
            self.assertFalse(self.survives(OTHER_DESK))

    def test_strangers_that_linger(self) -> None:
        """Connections of strangers that are cut off and not gone yet take no such place."""
        self.enter(DESK).loseConnection()
        self.patch(Wire, "lingers", True)
        with self.assertLogs(LOG, "WARNING"):
            self.crowd()
        self.assertEqual(len(self.port.unproven), MAX_UNPROVEN)
        self.assertIsNotNone(self.come(DESK))

    def test_known_for_an_hour(self) -> None:
        """An address is known while it is connected, and for an hour from then on."""
        wire = self.enter(DESK)
        self.clock.advance(5 * KNOWN_TIME)
        self.assertTrue(self.handshakes.is_known(DESK))
        wire.loseConnection()
        self.clock.advance(KNOWN_TIME - 1)
        self.assertTrue(self.handshakes.is_known(DESK))
        self.clock.advance(2)
        self.assertFalse(self.handshakes.is_known(DESK))

    def test_certificate_without_a_name(self) -> None:
        """A certificate that names no client makes no address known."""
        with self.assertLogs(LOG, "WARNING"):
            self.assertTrue(self.enter(DESK, "a/b").is_aborted)
        self.assertFalse(self.handshakes.is_known(DESK))

    def test_name_that_is_connected(self) -> None:
        """A commander whose earlier connection has not ended is refused, and known."""
        self.enter(DESK)
        with self.assertLogs(LOG, "WARNING"):
            self.assertTrue(self.enter(OTHER_DESK).is_aborted)
        self.assertTrue(self.handshakes.is_known(OTHER_DESK))

    def test_port_without_certificates(self) -> None:
        """Where no certificate is asked for, the end of a handshake makes no address known."""
        self.handshakes = HandshakeFactory(self.port, self.clock, by_certificate=False)
        self.enter(DESK)
        self.assertFalse(self.handshakes.is_known(DESK))

    def test_known_address_that_floods(self) -> None:
        """A known address cuts off its own handshakes, and none of another known one or of a stranger."""
        for host, name in ((DESK, "ann"), (OTHER_DESK, "bob")):
            self.enter(host, name).loseConnection()
        stranger, user = self.come(next(self.hosts)), self.come(OTHER_DESK)
        assert stranger is not None and user is not None
        with self.assertLogs(LOG, "WARNING"):
            for _ in range(500):
                self.come(DESK)
            self.assertFalse(stranger.is_aborted or user.is_aborted)
            self.assertEqual(len(self.port.unproven), MAX_UNPROVEN_KNOWN - KEPT_FREE_KNOWN + 1)
            self.crowd(500)
        self.assertFalse(user.is_aborted)
        most = MAX_UNPROVEN - KEPT_FREE + MAX_UNPROVEN_KNOWN - KEPT_FREE_KNOWN
        self.assertEqual(len(self.port.unproven), most)
