"""Addresses that the bridge listens on and connects to: which texts are valid, and which addresses clash.

`usable_host` and `usable_endpoint` check a text of the configuration; `clashes` finds addresses that are used
twice. No I/O. Next to read: `endpoints`, which parses an endpoint.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import NamedTuple

from mtmount_twisted.hosts import canonical, host_and_port, is_address, is_loopback

from .endpoints import Endpoint

LONGEST_HOST = 253


def usable_host(text: str) -> str:
    """Return the text if it is a valid host.

    :raises ValueError: if it is not. The error text describes a valid host.
    """
    try:
        usable = re.fullmatch(rb"[A-Za-z0-9._-]+", text[: LONGEST_HOST + 1].encode("idna"))
    except UnicodeError:
        usable = None
    if (usable is None or len(text) > LONGEST_HOST) and not is_address(text):
        raise ValueError("a host name or an address, without a port")
    return text


def usable_endpoint(text: str) -> str:
    """Return the text if Twisted can listen on it.

    :raises ValueError: if it can't. The error text describes a valid endpoint.
    """
    return Endpoint.parse(text).text


class SocketAddress(NamedTuple):
    """An address to listen on or to connect to. A Unix socket has host ``unix`` and its path as port."""

    path: str
    host: str
    port: int | str
    listens: bool


def clashes(places: list[SocketAddress]) -> Iterator[str]:
    """Yield an error text for each address used twice: two listeners, two connections, or one of each."""
    later: defaultdict[int | str, deque[SocketAddress]] = defaultdict(
        deque
    )  # by port: only addresses with one port can clash
    for place in places:
        later[place.port].append(place)
    for one in places:
        later[one.port].popleft()
        for other in later[one.port]:
            if _meet(one, other):
                why = "" if one.listens == other.listens else ": the bridge would connect to itself"
                used = host_and_port(other.host, other.port)
                yield f"{other.path}: {used} is used by {one.path} already{why}"


def _meet(one: SocketAddress, other: SocketAddress) -> bool:
    """Return True if two addresses are the same."""
    if one.port != other.port or one.port == 0:
        return False
    if one.host == other.host:
        return True
    same_family = (":" in one.host) == (":" in other.host)
    if one.listens and other.listens:
        return same_family and any(place.host in _ALL for place in (one, other))
    listening, connecting = (one, other) if one.listens else (other, one)
    # A socket on :: is dual-stack (ipv6(7), IPV6_V6ONLY), so a connection to 127.0.0.1 reaches it too.
    covers = listening.host == "::" or (same_family and listening.host in _ALL)
    return listening.listens and covers and is_loopback(connecting.host)


_ALL = ("0.0.0.0", "::")


def replies_by_default(controller: str) -> str:
    """Return the default address for the controller's replies. A host name counts as this machine: then an
    error about an address that is used twice is right wherever the named controller is.
    """
    host = canonical(controller)
    near, far = ("::1", "::") if ":" in host else ("127.0.0.1", "0.0.0.0")
    return far if is_address(host) and not is_loopback(host) else near
