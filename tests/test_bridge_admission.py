"""`mtmount_twisted.bridge.admission`: who may connect, by address."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.admission import LOOPBACK, address_of, admits, is_loopback, network, networks


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
        """Loopback addresses and localhost are this machine's alone; names and all addresses are not."""
        for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
            self.assertTrue(is_loopback(host), host)
        for host in ("0.0.0.0", "::", "10.0.0.1", "mount.example", ""):
            self.assertFalse(is_loopback(host), host)
        self.assertTrue(admits(networks(LOOPBACK), "127.0.0.7"))
