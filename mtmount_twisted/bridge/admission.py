"""Who may connect, by address: values only.

`networks` makes them of the texts in a configuration, `admits` asks. Next to read: `commanders` and `link`,
which ask before they take a connection.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ..hosts import plain_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK = ("127.0.0.0/8", "::1")
"""This machine's own addresses that nobody else can send from."""


_MAPPED_BITS = 96  # of an IPv4 address that is written as an IPv6 one


def network(text: str) -> Network:
    """One address, or a network as ``ADDRESS/BITS``.

    :raises ValueError: with what was expected.
    """
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("an address or a network such as 10.1.0.0/16 or fd00::/8") from None
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is not None and found.prefixlen >= _MAPPED_BITS:
        return ipaddress.ip_network((mapped, found.prefixlen - _MAPPED_BITS))
    return found


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
    """The address in a Twisted ``IAddress``; empty for one that has none, as a Unix socket's."""
    return str(getattr(peer, "host", ""))


def admits(allowed: Iterable[Network], address: str) -> bool:
    """Whether a peer at this address may connect. Who has no address is on this machine and may.

    An IPv4 address that comes in on an IPv6 socket counts as itself.
    """
    if not address:
        return True
    try:
        found = ipaddress.ip_address(plain_address(address))
    except ValueError:
        return False
    return any(found.version == each.version and found in each for each in allowed)
