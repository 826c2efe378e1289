"""Where the bridge listens and what it connects to: what can be an address, and whether two are the same.

`usable_host` and `usable_endpoint` check a text of the configuration; `clashes` finds what is used twice.
Next to read: `endpoints`, which reads what an endpoint says.
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
    """The text, if it can be a host.

    :raises ValueError: with what was expected.
    """
    try:
        usable = re.fullmatch(rb"[A-Za-z0-9._-]+", text[: LONGEST_HOST + 1].encode("idna"))
    except UnicodeError:
        usable = None
    if (usable is None or len(text) > LONGEST_HOST) and not is_address(text):
        raise ValueError("a host name or an address, without a port")
    return text


def usable_endpoint(text: str) -> str:
    """The text, if Twisted can listen on it.

    :raises ValueError: with what was expected.
    """
    return Endpoint.parse(text).text


class SocketAddress(NamedTuple):
    """An address that is listened on or connected to; a socket's file is the port of host ``unix``."""

    path: str
    host: str
    port: int | str
    listens: bool


def clashes(places: list[SocketAddress]) -> Iterator[str]:
    """What is used twice: listened on by two, connected to by two, or both by the bridge itself."""
    later: defaultdict[int | str, deque[SocketAddress]] = defaultdict(
        deque
    )  # only those of one port can meet
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
    """Return whether two places are the same one."""
    if one.port != other.port or one.port == 0:
        return False
    if one.host == other.host:
        return True
    same_family = (":" in one.host) == (":" in other.host)
    if one.listens and other.listens:
        return same_family and any(place.host in _ALL for place in (one, other))
    listening, connecting = (one, other) if one.listens else (other, one)
    # A socket at :: is dual-stack (ipv6(7), IPV6_V6ONLY): what connects to 127.0.0.1 reaches it too.
    covers = listening.host == "::" or (same_family and listening.host in _ALL)
    return listening.listens and covers and is_loopback(connecting.host)


_ALL = ("0.0.0.0", "::")


def replies_by_default(controller: str) -> str:
    """Where the controller's replies come in by default. Of a name, take it to be this machine's.

    What is said then of an address used twice is true wherever the controller is.
    """
    host = canonical(controller)
    near, far = ("::1", "::") if ":" in host else ("127.0.0.1", "0.0.0.0")
    return far if is_address(host) and not is_loopback(host) else near
