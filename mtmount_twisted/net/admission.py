"""Who may connect, by address: values only.

`networks` makes them of the texts in a configuration, `admits` asks. Next to read: `commanders` and `link`,
which ask before they take a connection.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from twisted.internet.address import UNIXAddress

from mtmount_twisted.hosts import plain_address


class Network(NamedTuple):
    """Addresses that are on a list.

    :ivar zone: the interface by which a peer must come, as its name or its index; "" for any.
    """

    addresses: ipaddress.IPv4Network | ipaddress.IPv6Network
    zone: str = ""


_MAPPED_BITS = 96  # of an IPv4 address that is written as an IPv6 one


def network(text: str) -> Network:
    """One address, or a network as ``ADDRESS/BITS``; a link-local one may have a zone, as ``fe80::1%eth0``.

    :raises ValueError: with what was expected.
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
    """The text, if it is one address or a network.

    :raises ValueError: as `network` does.
    """
    network(text)
    return text


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks.

    :raises ValueError: as `network` does.
    """
    return tuple(network(text) for text in texts)


def known_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Those of the texts that are addresses or networks; host names among them are left out."""
    found = []
    for text in texts:
        with suppress(ValueError):
            found.append(network(text))
    return tuple(found)


def address_of(peer: Any) -> str:
    """The address in a Twisted ``IAddress``, with its zone; empty for a Unix socket, which has none."""
    if peer is None or isinstance(peer, UNIXAddress):
        return ""
    host, zone = str(getattr(peer, "host", "")) or "unknown", getattr(peer, "scopeID", 0)
    return f"{host}%{zone}" if zone and "%" not in host else host


def admits(allowed: Iterable[Network], address: str) -> bool:
    """Whether a peer at this address may connect. Who has no address is on this machine and may.

    An IPv4 address that comes in on an IPv6 socket counts as itself. Any machine of another link may have a
    link-local address, too: one that is listed with a zone is admitted by that interface only.
    """
    if not address:
        return True
    try:
        found = ipaddress.ip_address(plain_address(address))
    except ValueError:
        return False
    zone = address.partition("%")[2]
    return any(
        found.version == each.addresses.version
        and found in each.addresses
        and (not each.zone or _is_same_interface(each.zone, zone))
        for each in allowed
    )


def _is_same_interface(one: str, other: str) -> bool:
    """Return whether two zones are one interface of this machine, as it is now."""
    return one == other or _interface_index(one) == _interface_index(other) != 0


def _interface_index(zone: str) -> int:
    """Return the index of an interface, 0 if no interface has that name."""
    if zone.isascii() and zone.isdecimal():
        return int(zone)
    try:
        return socket.if_nametoindex(zone)
    except (OSError, ValueError):
        return 0
