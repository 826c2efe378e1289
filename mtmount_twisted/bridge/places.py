"""Where the bridge listens and what it connects to: what can be an address, and whether two are the same.

`usable_host` and `usable_endpoint` check a text of the configuration; `clashes` finds what is used twice.
Twisted's endpoint parser is asked about an endpoint, and opens nothing.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..files import kind_problem
from ..hosts import host_and_port, is_address, is_loopback, plain_address

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
    if (usable is None or len(text) > LONGEST_HOST) and not is_address(text):
        raise ValueError("a host name or an address, without a port")
    return text


def usable_endpoint(text: str) -> str:
    """The text, if Twisted can listen on it.

    :raises ValueError: with what was expected.
    """
    if "sslmethod" in [argument.name for argument in _arguments(text)]:
        raise ValueError(f"{ENDPOINT} (no sslmethod: TLS 1.2 or newer is used)")
    port = parse_endpoint(text).port
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise ValueError(f"{ENDPOINT} (a port from 0 to 65535)")
    return text


class Bound(NamedTuple):
    """Where an endpoint listens.

    :ivar host: the address, or its name; "" for a Unix socket.
    :ivar port: the port, 0 if the endpoint does not say; the path of a Unix socket.
    """

    host: str
    port: int | str

    @property
    def is_unix(self) -> bool:
        """True for a Unix socket."""
        return isinstance(self.port, str)

    @property
    def is_near(self) -> bool:
        """True if only this machine can reach it."""
        return self.is_unix or is_loopback(self.host)


class Place(NamedTuple):
    """An address that is listened on or connected to; a socket's file is the port of host ``unix``."""

    path: str
    host: str
    port: int | str
    listens: bool


def clashes(places: list[Place]) -> Iterator[str]:
    """What is used twice: listened on by two, connected to by two, or both by the bridge itself."""
    later: defaultdict[int | str, deque[Place]] = defaultdict(deque)  # only those of one port can meet
    for place in places:
        later[place.port].append(place)
    for one in places:
        later[one.port].popleft()
        for other in later[one.port]:
            if _meet(one, other):
                why = "" if one.listens == other.listens else ": the bridge would connect to itself"
                used = host_and_port(other.host, other.port)
                yield f"{other.path}: {used} is used by {one.path} already{why}"


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
    return listening.listens and covers and is_loopback(connecting.host)


_ALL = ("0.0.0.0", "::")


def replies_by_default(controller: str) -> str:
    """Where the controller's replies come in by default. Of a name, take it to be this machine's.

    What is said then of an address used twice is true wherever the controller is.
    """
    host = canonical(controller)
    near, far = ("::1", "::") if ":" in host else ("127.0.0.1", "0.0.0.0")
    return far if is_address(host) and not is_loopback(host) else near


def parse_endpoint(text: str) -> Bound:
    """Return where an endpoint listens.

    :raises ValueError: if Twisted can't make it; it is not opened.
    """
    from twisted.internet.endpoints import UNIXServerEndpoint, serverFromString

    _check_files(text)
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
    if isinstance(endpoint, UNIXServerEndpoint):
        return Bound("", os.path.abspath(endpoint._address))
    return Bound(canonical(getattr(endpoint, "_interface", "")), getattr(endpoint, "_port", 0))


def _check_files(endpoint: str) -> None:
    """Refuse an endpoint with a FIFO or a device for a file: Twisted's parser reads it, and would hang.

    :raises ValueError: with what was expected.
    """
    for argument in _arguments(endpoint):
        if argument.name in _FILES:
            try:
                why = kind_problem(os.stat(argument.value))
            except (OSError, ValueError):  # the parser says so
                continue
            if why:
                raise ValueError(f"{ENDPOINT} ({argument.name} {argument.value!r}: {why})")


def interface_names(endpoint: str) -> list[str]:
    """The host names among what an endpoint gives as its ``interface``, as text; addresses are left out."""
    return [interface.value for interface in _interfaces(endpoint)]


def at_addresses(endpoint: str, addresses: Mapping[str, str]) -> str:
    """An endpoint with addresses in the places of the names that `interface_names` finds.

    Twisted would look a name up as it listens: IPv4 only, and in the reactor's thread.
    """
    from twisted.internet.endpoints import quoteStringArgument

    parts = _parts(endpoint)
    for interface in _interfaces(endpoint):
        address = quoteStringArgument(addresses[interface.value])
        parts[interface.part] = address if interface.is_positional else f"interface={address}"
    return ":".join(parts)


class _Argument(NamedTuple):
    """An argument of an endpoint, as Twisted's parser takes it.

    :ivar part: which part of the text it is, where colons separate the parts.
    :ivar name: of the parameter; "" where that is not known.
    """

    part: int
    name: str
    value: str
    is_positional: bool


def _parts(endpoint: str) -> list[str]:
    return re.findall(r"(?:^|:)((?:[^:\\]|\\.)*)", endpoint, re.DOTALL)


def _arguments(endpoint: str) -> Iterator[_Argument]:
    """Go through the arguments of an endpoint, or of the one that ``haproxy:`` wraps."""
    parts = _parts(endpoint)
    first = 2 if parts[0] == "haproxy" else 1
    positions = iter(_POSITIONS.get(parts[first - 1] if len(parts) >= first else "", ()))
    for index, part in enumerate(parts[first:], first):
        found = re.match(r"(?:[^=\\]|\\.)*", part, re.DOTALL)
        end = len(part) if found is None else found.end()
        name, value = (re.sub(r"\\(.)", r"\1", each) for each in (part[:end], part[end + 1 :]))
        if end < len(part):
            yield _Argument(index, name, value, is_positional=False)
        else:
            yield _Argument(index, next(positions, ""), name, is_positional=True)


_POSITIONS = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "ssl": (
        *("port", "privateKey", "certKey", "sslmethod", "interface", "backlog"),
        *("extraCertChain", "dhParameters"),
    ),
}
"""The parameters of Twisted's server endpoints in the order in which they may stand without a name."""

_FILES = ("privateKey", "certKey", "extraCertChain", "dhParameters")


def _interfaces(endpoint: str) -> Iterator[_Argument]:
    """The interfaces of an endpoint that are names."""
    for argument in _arguments(endpoint):
        if argument.name == "interface" and argument.value and not is_address(argument.value):
            yield argument


def canonical(host: str) -> str:
    """Return one spelling for each address; a zone stays, since it says on which interface to listen."""
    host = {"": "0.0.0.0", "localhost": "127.0.0.1"}.get(host.lower(), host)
    address, percent, zone = host.partition("%")
    return f"{plain_address(address.lower())}{percent}{zone}"
