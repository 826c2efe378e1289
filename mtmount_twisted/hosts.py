"""Network addresses as text, with one spelling for each address, so that two texts can be compared.

Pure: no Twisted, no I/O, no name resolution. Next to read: ``net.addresses``, which compares addresses to
listen on.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton


def plain_address(host: str) -> str:
    """Return an address in its shortest spelling and in lower case. Return any other text unchanged.

    An IPv4 address that a dual-stack socket shows as ``::ffff:192.0.2.1`` (RFC 4291, 2.5.5.2) becomes
    ``192.0.2.1``. The zone of a link-local address (``%eth0``, RFC 4007) is dropped: it names an interface
    of one machine, so another machine does not know it.

    :param host: without brackets and port.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = getattr(address, "ipv4_mapped", None)
    return str(address if mapped is None else mapped)


_MAPPED = bytes(10) + b"\xff\xff"  # the prefix of IPv4 addresses that are written as IPv6 addresses


def packed_address(host: str) -> bytes | None:
    """Return the 4 bytes of an IPv4 address, also of one that is written as an IPv6 address, or the 16 bytes
    of another IPv6 address; None for any other text.

    `ipaddress` takes 20 us for an address and 60 us for a network, and strangers may connect 10,000 times a
    second, each from a new address.

    :param host: without brackets and port. Its zone is dropped.
    """
    address = host.partition("%")[0]
    try:
        return inet_pton(AF_INET6 if ":" in address else AF_INET, address).removeprefix(_MAPPED)
    except (OSError, ValueError):
        return None


def canonical(host: str) -> str:
    """Return the canonical spelling of an address. Its zone stays, because it names the interface to listen
    on."""
    host = {"": "0.0.0.0", "localhost": "127.0.0.1"}.get(host.lower(), host)
    address, percent, zone = host.partition("%")
    return f"{plain_address(address.lower())}{percent}{zone}"


def host_and_port(host: str, port: int | str) -> str:
    """Return ``HOST:PORT``, with an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_HOST_AND_PORT = re.compile(r"(?:\[([^\[\]]+)]|([^\[\]:]+)):0*([0-9]{1,5})", re.ASCII)


def parse_host_and_port(text: str) -> tuple[str, int]:
    """Return the host and the port of ``HOST:PORT`` or ``[IPV6]:PORT``.

    :returns: the host without brackets, and a port to connect to, from 1 to 65535.
    :raises ValueError: if the text has another form. The error text gives the expected form.
    """
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None or not 1 <= int(found[3]) <= 65535:
        expected = "HOST:PORT or [IPV6]:PORT with a port from 1 to 65535"
        raise ValueError(f"expected {expected}, got {text[:50]!r}")
    return found[1] or found[2], int(found[3])


def is_address(host: str) -> bool:
    """Return True for an IPv4 or IPv6 address, with or without a zone: such a host needs no name server."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


LOOPBACK = ("127.0.0.0/8", "::1")
"""Addresses of this machine that other machines can neither send from nor reach."""


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach a host: one of `LOOPBACK`, or ``localhost``."""
    try:
        return ipaddress.ip_address(plain_address(host)).is_loopback
    except ValueError:
        return host.lower().removesuffix(".") == "localhost"


def client_network(host: str) -> str:
    """Return the network of an address, by which peers in the same network are counted together.

    A household gets at least 64 bits of IPv6 addresses (RFC 6177) and can use all of them at once. So the
    result for a global IPv6 address is its /64 network. IPv4 addresses are counted one by one. So are
    link-local addresses (RFC 4291, 2.5.6), which all share one network.

    :param host: an address, without brackets and port; other text is returned unchanged.
    """
    return _network(host) if ":" in host else host  # the usual case: thousands of IPv4 addresses a second


def neighbourhood(network: str) -> str:
    """Return the first 24 bits of an IPv4 address, or the first 48 bits of an IPv6 network, as text.

    A site gets 48 bits of IPv6 addresses or a few more (RFC 6177).

    :param network: as `client_network` names it.
    """
    return _site(network) if ":" in network else network.rpartition(".")[0]


def _site(network: str) -> str:
    packed = packed_address(network.removesuffix("/64"))
    if packed is None or len(packed) == 4:
        return network
    return inet_ntop(AF_INET6, packed[:6] + bytes(10)) + "/48"


@lru_cache(maxsize=1024)  # each new connection needs the same network a few times
def _network(host: str) -> str:
    packed = packed_address(host)
    if packed is None or len(packed) == 4:
        return plain_address(host)
    is_link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80  # RFC 4291, 2.5.6
    if is_link_local or packed == bytes(15) + b"\x01":  # loopback
        return plain_address(host)
    return inet_ntop(AF_INET6, packed[:8] + bytes(8)) + "/64"
