"""Admission of peers by address. It asks the system only for the index of an interface.

`networks` parses the texts of a configuration, and `admits` checks a peer. Next to read:
`frontends.tcp.commanders` and `link`, which check each peer before they accept its connection.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from twisted.internet.address import UNIXAddress

from mtmount_twisted.hosts import packed_address


class Network(NamedTuple):
    """A network on a list of allowed addresses.

    :ivar zone: the interface, by name or index, through which a peer must come; "" for any.
    """

    addresses: ipaddress.IPv4Network | ipaddress.IPv6Network
    zone: str = ""


_MAPPED_BITS = 96  # prefix length of IPv4 addresses written as IPv6 addresses


def network(text: str) -> Network:
    """Parse one address, or a network as ``ADDRESS/BITS``. A link-local one may have a zone:
    ``fe80::1%eth0``.

    :raises ValueError: if the text is invalid. The error text describes a valid one.
    """
    before, slash, bits = text.partition("/")  # RFC 4007, 11.7: the zone stands before the bits
    address, percent, zone = before.partition("%")
    try:
        if percent and not zone:
            raise ValueError(text)
        found = ipaddress.ip_network(address + slash + bits)
    except ValueError:
        raise ValueError("an address or a network such as 10.1.0.0/16 or fd00::/8") from None
    if zone and not found.is_link_local:
        raise ValueError("a zone (%eth0) with a link-local address only, such as fe80::1%eth0")
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is not None and found.prefixlen >= _MAPPED_BITS:
        return Network(ipaddress.ip_network((mapped, found.prefixlen - _MAPPED_BITS)))
    return Network(found, zone)


def usable_network(text: str) -> str:
    """Return the text if it is an address or a network.

    :raises ValueError: as `network` does.
    """
    network(text)
    return text


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse several addresses and networks.

    :raises ValueError: as `network` does.
    """
    return tuple(network(text) for text in texts)


@lru_cache(maxsize=64)  # a port asks at each connection
def known_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Parse the texts that are addresses or networks; ignore the others, such as host names."""
    found = []
    for text in texts:
        with suppress(ValueError):
            found.append(network(text))
    return tuple(found)


def address_of(peer: Any) -> str:
    """Return the address in a Twisted ``IAddress``, with its zone; empty for a Unix socket."""
    if peer is None or isinstance(peer, UNIXAddress):
        return ""
    host, zone = str(getattr(peer, "host", "")) or "unknown", getattr(peer, "scopeID", 0)
    return f"{host}%{zone}" if zone and "%" not in host else host


def admits(allowed: Iterable[Network], address: str) -> bool:
    """Return True if a peer at this address may connect. A peer without an address is on this machine and may
    connect.

    An IPv4 address on an IPv6 socket counts as IPv4. A link-local address can occur on every link of the
    machine: if it is listed with a zone, the peer must come through that interface.
    """
    if not address:
        return True
    packed, zone = packed_address(address), address.partition("%")[2]
    if packed is None:
        return False
    version, number = 4 if len(packed) == 4 else 6, int.from_bytes(packed, "big")
    return any(
        version == each.addresses.version
        and int(each.addresses.network_address) <= number <= int(each.addresses.broadcast_address)
        and (not each.zone or _is_same_interface(each.zone, zone))
        for each in allowed
    )


def _is_same_interface(one: str, other: str) -> bool:
    """Return True if two zones name the same interface of this machine at this moment."""
    return one == other or _interface_index(one) == _interface_index(other) != 0


def _interface_index(zone: str) -> int:
    """Return the index of an interface, or 0 if no interface has that name."""
    if zone.isascii() and zone.isdecimal():
        return int(zone)
    try:
        return socket.if_nametoindex(zone)
    except (OSError, ValueError):
        return 0
