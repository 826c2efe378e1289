"""Where the bridge listens and what it connects to: what can be an address, and whether two are the same.

`usable_host` and `usable_endpoint` check a text of the configuration; `clashes` finds what is used twice.
Twisted's endpoint parser is asked about an endpoint, and opens nothing.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

from ..hosts import plain_address

LONGEST_HOST = 253
ENDPOINT = 'a Twisted server endpoint such as "tcp:30100:interface=127.0.0.1" or "unix:/run/mount.sock"'


def usable_host(text: str) -> str:
    """The text, if it can be a host.

    :raises ValueError: with what was expected.
    """
    try:
        usable = re.fullmatch(rb"[A-Za-z0-9._-]+", text[: LONGEST_HOST + 1].encode("idna"))
    except UnicodeError:
        usable = None
    if (usable is None or len(text) > LONGEST_HOST) and not _is_address(text):
        raise ValueError("a host name or an address, without a port")
    return text


def usable_endpoint(text: str) -> str:
    """The text, if Twisted can listen on it.

    :raises ValueError: with what was expected.
    """
    if "sslmethod" in text:
        raise ValueError(f"{ENDPOINT} (no sslmethod: TLS 1.2 or newer is used)")
    port = parse_endpoint(text)[1]
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise ValueError(f"{ENDPOINT} (a port from 0 to 65535)")
    return text


class Place(NamedTuple):
    """An address that is listened on or connected to; a socket's file is the port of host ``unix``."""

    path: str
    host: str
    port: int | str
    listens: bool


def clashes(places: list[Place]) -> Iterator[str]:
    """What is used twice: listened on by two, connected to by two, or both by the bridge itself."""
    for one, other in combinations(places, 2):
        if _meet(one, other):
            why = "" if one.listens == other.listens else ": the bridge would connect to itself"
            yield f"{other.path}: {other.host}:{other.port} is used by {one.path} already{why}"


def _meet(one: Place, other: Place) -> bool:
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
    return listening.listens and covers and is_near(connecting.host)


_ALL = ("0.0.0.0", "::")


def replies_by_default(controller: str) -> str:
    """Where the controller's replies come in by default. Of a name, take it to be this machine's.

    What is said then of an address used twice is true wherever the controller is.
    """
    host = canonical(controller)
    near, far = ("::1", "::") if ":" in host else ("127.0.0.1", "0.0.0.0")
    return far if _is_address(host) and not is_near(host) else near


def parse_endpoint(text: str) -> tuple[str, int | str]:
    """The host and port that an endpoint listens on, or port 0 if it has no such thing.

    :raises ValueError: if Twisted can't make it; it is not opened.
    """
    from twisted.internet.endpoints import serverFromString

    try:
        endpoint: Any = serverFromString(object(), text)
    except ImportError as error:
        raise ValueError(
            f"{ENDPOINT} (this one needs a package that is not there: {error.name or error})"
        ) from None
    except Exception as error:  # an endpoint's parser, Twisted's or a plugin's, raises what it likes
        reason = re.sub(r"^\w+\(\) ", "", " ".join(str(error).split()))
        raise ValueError(f"{ENDPOINT} ({reason[:100]})") from None
    # Twisted says these by no public name; an endpoint without them is left to fail when it listens.
    if hasattr(endpoint, "_address"):
        return "unix", os.path.abspath(endpoint._address)
    return canonical(getattr(endpoint, "_interface", "")), getattr(endpoint, "_port", 0)


def interface_names(endpoint: str) -> list[str]:
    """The host names among what an endpoint gives as its ``interface``, as text; addresses are left out."""
    return [name for _, name in _interfaces(_parts(endpoint))]


def at_addresses(endpoint: str, addresses: Mapping[str, str]) -> str:
    """An endpoint with addresses in the places of the names that `interface_names` finds.

    Twisted would look a name up as it listens: IPv4 only, and in the reactor's thread.
    """
    from twisted.internet.endpoints import quoteStringArgument

    parts = _parts(endpoint)
    for index, name in _interfaces(parts):
        parts[index] = f"interface={quoteStringArgument(addresses[name])}"
    return ":".join(parts)


def _parts(endpoint: str) -> list[str]:
    return re.split(r"(?<!\\):", endpoint)


def _interfaces(parts: list[str]) -> Iterator[tuple[int, str]]:
    """Where in the parts of an endpoint, or of one within another, a name is its interface."""
    for index, part in enumerate(parts):
        second = index >= 2 and parts[index - 2] in ("tcp", "tcp6", "ssl") and "=" not in part
        if part.startswith("interface=") or second:
            name = part.removeprefix("interface=").replace("\\", "")
            if name and not _is_address(name):
                yield index, name


def canonical(host: str) -> str:
    """Return one spelling for each address."""
    return plain_address({"": "0.0.0.0", "localhost": "127.0.0.1"}.get(host.lower(), host.lower()))


def is_near(host: str) -> bool:
    """Whether only this machine can reach what listens at a host of `parse_endpoint`'s."""
    return host == "unix" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
