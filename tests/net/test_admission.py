"""`mtmount_twisted.net.admission`: who may connect, by address."""

from __future__ import annotations

import socket
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.protocol import ClientFactory
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.hosts import LOOPBACK
from mtmount_twisted.net.admission import address_of, admits, network, networks
from mtmount_twisted.testing import HOST, FarProtocol
from tests.support.bridges import LOG, BridgeCase, PortEnd


class Admission(SynchronousTestCase):
    """Lists of addresses and networks."""

    def test_listed(self) -> None:
        """Whose address is listed, or is in a network that is, may connect; others may not."""
        allowed = networks(["10.1.0.0/16", "192.168.7.5", "fd00::/8"])
        for address in ("10.1.2.3", "192.168.7.5", "fd00::1", "::ffff:10.1.2.3"):
            self.assertTrue(admits(allowed, address), address)
        for address in ("10.2.0.1", "192.168.7.6", "fe80::1%eth0", "::1", "nonsense"):
            self.assertFalse(admits(allowed, address), address)

    def test_nobody(self) -> None:
        """With an empty list no address is admitted."""
        self.assertFalse(admits((), "127.0.0.1"))

    def test_no_address(self) -> None:
        """A peer on a Unix socket has no address, and is admitted: the file's mode says who may."""
        self.assertTrue(admits((), address_of(UNIXAddress("/run/mount.sock"))))
        self.assertEqual(address_of(IPv4Address("TCP", "10.1.2.3", 4)), "10.1.2.3")
        self.assertEqual(address_of(None), "")

    def test_zone(self) -> None:
        """A link-local address that is listed with a zone is admitted by that interface and by no other."""
        own = socket.if_nametoindex("lo")
        for listed in ("fe80::1%lo", f"fe80::1%{own}", "fe80::%lo/64"):
            allowed = networks([listed])
            for zone, is_listed in ((own, True), (own + 1, False), (0, False), ("lo", True), ("eth9", False)):
                peer = IPv6Address("TCP", "fe80::1", 4, 0, zone)
                self.assertIs(admits(allowed, address_of(peer)), is_listed, (listed, zone))
            self.assertFalse(admits(allowed, address_of(IPv6Address("TCP", "fd00::1", 4, 0, own))))
        self.assertTrue(admits(networks(["fe80::1"]), address_of(IPv6Address("TCP", "fe80::1", 4, 0, own))))
        self.assertFalse(admits(networks(["fe80::1%no such"]), "fe80::1%none either"))

    def test_zone_of_what_has_none(self) -> None:
        """A zone that means nothing is refused, and what is expected is told."""
        for text in ("fd00::1%eth0", "10.1.2.3%eth0", "::1%lo"):
            self.assertIn("link-local", str(self.assertRaises(ValueError, network, text)))
        for text in ("fe80::1%", "%eth0", "fe80::/64%eth0"):
            self.assertIn("fd00::/8", str(self.assertRaises(ValueError, network, text)))

    def test_strange_peer(self) -> None:
        """A peer of a kind that nobody knows is not taken for one on this machine."""
        self.assertFalse(admits(networks(LOOPBACK), address_of(HostnameAddress(b"localhost", 4))))

    def test_bad_texts(self) -> None:
        """What is no network is refused with what was expected, a network with host bits too."""
        for text in ("", "host", "10.0.0.1/8", "10.0.0.0/33", "1.2.3"):
            self.assertIn("10.1.0.0/16", str(self.assertRaises(ValueError, network, text)))

    @given(st.ip_addresses())
    def test_one_address(self, address: object) -> None:
        """An address that is listed alone admits itself and no other."""
        allowed = networks([str(address)])
        self.assertTrue(admits(allowed, str(address)))
        other = "203.0.113.77"
        same = str(address) in (other, f"::ffff:{other}", "::ffff:cb00:714d")
        self.assertEqual(admits(allowed, other), same)

    def test_loopback(self) -> None:
        """This machine's own addresses are all of 127 and ``::1``, and no other."""
        for address, own in (("127.0.0.7", True), ("::1", True), ("128.0.0.1", False), ("::2", False)):
            self.assertIs(admits(networks(LOOPBACK), address), own, address)


class Peers(BridgeCase):
    """Whom a bridge takes; all peers here are on this machine."""

    FAR = "192.0.2.10"

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def configure(self, **changes: Any) -> None:
        """Have the controller and the first pair far away, and start."""
        controller: Any = self.config.controller
        [csc, eui] = self.config.pairs
        self.make(
            controller=evolve(controller, host=self.FAR, replies_from=changes.get("replies_from", ())),
            pairs=(evolve(csc, reply_host=self.FAR, allow=changes.get("allow", ())), eui),
            ports=(evolve(self.config.ports[0], allow=changes.get("port", ())), self.config.ports[1]),
        )
        self.start()

    def comes_in(self, number: int) -> bool:
        """Whether a peer on this machine can connect to the controller's or a commander's listening side."""
        peer = FarProtocol()
        factory: Any = ClientFactory.forProtocol(lambda: peer)
        self.reactor.connectTCP(HOST, self.service.all_pairs[number].server_port, factory)
        self.reactor.advance(0)
        self.reactor.advance(0)
        return peer.is_connected

    def test_elsewhere(self) -> None:
        """Replies are taken from the controller's address alone, commands from where their replies go."""
        self.configure()
        with self.assertLogs(LOG, "WARNING") as logged:
            self.assertEqual([self.comes_in(number) for number in (0, 1)], [False, False])
        self.assertEqual(len(logged.output), 2)
        self.assertIn(f"refused a peer, IPv4Address(type='TCP', host='{HOST}'", logged.output[0])
        self.assertIn(f"only {self.FAR} and the addresses on the list", logged.output[0])
        self.assertTrue(self.comes_in(2))

    def test_host_of_a_telling_name(self) -> None:
        """A machine that is called ``unix`` is a machine, and no socket on this one."""
        self.FAR = "unix"
        self.reactor.names["unix"] = "192.0.2.10"
        self.configure()
        self.assertEqual([self.comes_in(number) for number in (0, 1)], [False, False])

    def test_listed(self) -> None:
        """A list lets others in, too."""
        self.configure(replies_from=("127.0.0.0/8",), allow=(HOST,))
        self.assertEqual([self.comes_in(number) for number in (0, 1, 2)], [True] * 3)

    def test_port(self) -> None:
        """A port with a list refuses who is not on it; one without takes anyone who can reach it."""
        self.configure(port=("192.0.2.0/24",))
        client = PortEnd()
        factory: Any = ClientFactory.forProtocol(lambda: client)
        with self.assertLogs(LOG, "WARNING") as logged:
            self.reactor.connectTCP(HOST, self.service.ports[0].getHost().port, factory)  # type: ignore[attr-defined]
            self.reactor.advance(0)
            self.reactor.advance(0)
        self.assertFalse(client.is_connected)
        self.assertIn("it is not on the list", logged.output[0])
        self.assertTrue(self.join(1).is_connected)

    def test_too_many(self) -> None:
        """A port takes so many clients and no more, with one line in the log; one that leaves makes room."""
        self.make(ports=(evolve(self.config.ports[0], max_clients=2), self.config.ports[1]))
        self.start()
        first, _ = self.join(), self.join()
        with self.assertLogs(LOG, "WARNING") as logged:
            for _ in range(3):
                client = PortEnd()
                factory: Any = ClientFactory.forProtocol(lambda client=client: client)
                self.reactor.connectTCP(HOST, self.service.ports[0].getHost().port, factory)  # type: ignore[attr-defined]
                self.reactor.advance(0)
                self.reactor.advance(0)
                self.assertFalse(client.is_connected)
        self.assertEqual(len(logged.output), 1)
        self.assertIn("2 are connected already (max_clients)", logged.output[0])
        first.leave()
        self.reactor.advance(0)
        self.join()
