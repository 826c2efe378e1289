"""`mtmount_twisted.hosts`: network addresses as text."""

from __future__ import annotations

import ipaddress
import random

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import ListenError
from mtmount_twisted.hosts import (
    client_network,
    host_and_port,
    is_address,
    is_loopback,
    neighbourhood,
    parse_host_and_port,
)


class HostAndPortTests(SynchronousTestCase):
    """One spelling of HOST:PORT, read and written."""

    def test_read_back(self) -> None:
        """A name, an IPv4 address, or an IPv6 address in brackets is read, and written the same."""
        for text, expected in (
            ("mount.example:1", ("mount.example", 1)),
            ("127.0.0.1:65535", ("127.0.0.1", 65535)),
            ("[::1]:40005", ("::1", 40005)),
            ("[fe80::1%eth0]:40005", ("fe80::1%eth0", 40005)),
        ):
            self.assertEqual(parse_host_and_port(text), expected)
            self.assertEqual(host_and_port(*expected), text)
        self.assertEqual(parse_host_and_port("mount:030005"), ("mount", 30005))

    def test_misread(self) -> None:
        """What is no HOST:PORT is refused with what was expected and the start of what was given."""
        wrong = ("", "mount", "mount:", ":1", "::1:30005", "[]:1", "mount:0", "mount:65536", "mount:+1")
        for text in (*wrong, "mount:\uff11", "mount:" + "9" * 5000):
            error = self.assertRaises(ValueError, parse_host_and_port, text)
            expected = "expected HOST:PORT or [IPV6]:PORT with a port from 1 to 65535"
            self.assertEqual(str(error), f"{expected}, got {text[:50]!r}")

    def test_error(self) -> None:
        """An error that names an IPv6 address and a port tells them apart."""
        self.assertEqual(str(ListenError("::1", 30006, "no")), "can't listen on [::1]:30006: no")


class WhichHostTests(SynchronousTestCase):
    """What a host is, without a name server's help."""

    def test_address(self) -> None:
        """An address needs no name server, whatever its family and zone; other text does."""
        for host in ("192.0.2.1", "::1", "::ffff:192.0.2.1", "fe80::1%eth0"):
            self.assertTrue(is_address(host), host)
        for host in (
            "",
            "mount",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.256",
            "fe80::1%",
            "%eth0",
            "\uff11.2.3.4",
            "[::1]",
        ):
            self.assertFalse(is_address(host), host)

    def test_loopback(self) -> None:
        """Loopback addresses and localhost are this machine's alone; names and all addresses are not."""
        for host in (
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "localhost",
            "LOCALHOST",
            "localhost.",
        ):
            self.assertTrue(is_loopback(host), host)
        others = ("0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1", "fe80::1%lo")
        for host in (*others, "", "unix", "mount.example", "localhost.example"):
            self.assertFalse(is_loopback(host), host)

    def test_networks(self) -> None:
        """A global IPv6 address counts with its /64 network, as `ipaddress` finds it; others alone."""
        some = random.Random(18)
        for number in range(2000):
            value = some.getrandbits(128) if number % 2 else some.getrandbits(64)
            address = ipaddress.IPv6Address(value)
            if address.is_link_local or address.ipv4_mapped or address.is_loopback:
                continue
            network = ipaddress.ip_network((address, 64), strict=False)
            for host in (str(address), address.exploded, f"{address}%eth0"):
                self.assertEqual(ipaddress.ip_network(client_network(host)), network)
            site = ipaddress.ip_network(neighbourhood(client_network(str(address))))
            self.assertEqual(site, network.supernet(new_prefix=48))
        for host, expected in (
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::1", "::1"),
            ("FE80::1%eth0", "fe80::1"),
            ("febf::1", "febf::1"),
            ("user: 7", "user: 7"),
            ("a:\0", "a:\0"),
        ):
            self.assertEqual(client_network(host), expected)

    def test_neighbours(self) -> None:
        """Networks are neighbours in 24 bits of IPv4, and in 48 bits of IPv6."""
        for one, other, are in (
            ("192.0.2.1", "192.0.2.77", True),
            ("192.0.2.1", "192.0.3.1", False),
            ("2001:db8:1:2::/64", "2001:db8:1:3::/64", True),
            ("2001:db8::/64", "2001:db8:0:5::/64", True),
            ("2001:db8:1:2::/64", "2001:db8:2:2::/64", False),
            ("fe80::1%eth0", "fe80::2%eth0", True),
            ("user 1000", "user 1001", True),
        ):
            self.assertEqual(neighbourhood(one) == neighbourhood(other), are, (one, other))
