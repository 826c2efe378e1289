"""`Endpoint`: the parsed text of a Twisted server endpoint.

`Endpoint.parse` reads the kind, the address, and the paths of TLS files in a text. Neither it nor
`Endpoint.listen` opens or reads a file, so both may be called in the reactor's thread. Next to read:
`tls.endpoint_credentials`, which reads the files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from zope.interface import implementer

from mtmount_twisted.hosts import canonical, is_address, is_loopback

EXPECTED = 'a Twisted server endpoint such as "tcp:30100:interface=127.0.0.1" or "unix:/run/mount.sock"'

BACKLOG = 4096
"""The number of connections that may wait to be accepted, unless the endpoint gives it (``listen(2)``).

With Twisted's 50, a burst of connections makes the system drop the next one. The peer tries again only after
1 s, so that a STOP over HTTP was delayed by 1 s.
"""

LISTEN_AGAIN = 5.0
"""The time after which the bridge tries again to listen where it could not, in seconds. At a take-over
another program may have the port: a standby does not hold its ports."""

_POSITIONS = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "ssl": (
        *("port", "privateKey", "certKey", "sslmethod", "interface", "backlog"),
        *("extraCertChain", "dhParameters"),
    ),
}
"""Parameters of Twisted's server endpoints, in the order in which they may stand without a name."""

_PLUGINS = ("haproxy", "tcp6", "tls")
"""Kinds that are plugins in Twisted: their names are not case-sensitive."""


class _Argument(NamedTuple):
    """An argument of an endpoint, as Twisted's parser reads it.

    :ivar part: index of its part of the text; colons separate the parts.
    :ivar name: name of the parameter; "" if it is unknown.
    """

    part: int
    name: str
    value: str
    is_positional: bool


class Endpoint(Struct, frozen=True):
    """A parsed server endpoint.

    :ivar text: the text given to `parse`.
    :ivar kind: ``tcp``, ``tcp6``, ``unix``, ``ssl``, or the prefix of another plugin. The arguments of
        another plugin are unknown, so its endpoint counts as bound to all addresses.
    :ivar proxies: number of ``haproxy:`` prefixes.
    """

    text: str
    kind: str
    proxies: int
    _arguments: tuple[_Argument, ...]

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Parse the text of an endpoint without opening anything.

        :raises ValueError: if Twisted can't listen on it. The error text describes a valid endpoint.
        """
        if re.fullmatch(r"(?:[^\\]|\\.)*", text, re.DOTALL) is None:
            raise ValueError(f"{EXPECTED} (a backslash at the end escapes nothing)")
        kind, proxies, arguments = _read(text)
        endpoint = cls(text, kind, proxies, arguments)
        try:
            _check(endpoint)
        except ImportError as error:
            raise ValueError(
                f"{EXPECTED} (this one requires a package that is not installed: {error.name or error})"
            ) from None
        except Exception as error:  # the parser of an endpoint may be a plugin's and raise any error
            reason = re.sub(r"^\w+\(\) ", "", " ".join(str(error).split()))
            raise ValueError(f"{EXPECTED} ({reason[:100]})") from None
        return endpoint

    def _value(self, name: str) -> str:
        """Return the value of a parameter, or "". As in Twisted, the last value counts."""
        return next((each.value for each in reversed(self._arguments) if each.name == name), "")

    @property
    def is_unix(self) -> bool:
        """True for a Unix socket."""
        return self.kind == "unix"

    @property
    def is_encrypted(self) -> bool:
        """True if the endpoint itself provides TLS."""
        return self.kind == "ssl"

    @property
    def host(self) -> str:
        """Address or name of the interface that it binds; "" for a Unix socket."""
        if self.is_unix:
            return ""
        known = self._value("interface") if self.kind in _POSITIONS else ""
        return canonical(known or ("::" if self.kind == "tcp6" else ""))

    @property
    def port(self) -> int | str:
        """Port, 0 if the endpoint has none; for a Unix socket its path."""
        if self.is_unix:
            return os.path.abspath(self._value("address"))
        return int(self._value("port") or 0) if self.kind in _POSITIONS else 0

    @property
    def is_near(self) -> bool:
        """True if only this machine can reach it."""
        return self.is_unix or is_loopback(self.host)

    @property
    def private_key(self) -> str:
        """Path of the private key of an ``ssl:`` endpoint; Twisted's default is ``server.pem``."""
        return self._value("privateKey") or "server.pem"

    @property
    def certificate(self) -> str:
        """Path of the certificate of an ``ssl:`` endpoint."""
        return self._value("certKey") or self.private_key

    @property
    def extra_chain(self) -> str:
        """Path of the intermediate certificates of an ``ssl:`` endpoint; "" if there are none."""
        return self._value("extraCertChain")

    @property
    def dh_parameters(self) -> str:
        """Path of the Diffie-Hellman parameters of an ``ssl:`` endpoint; "" if there are none."""
        return self._value("dhParameters")

    @property
    def interface_names(self) -> list[str]:
        """Host names in its ``interface`` arguments; addresses are not included."""
        return [interface.value for interface in self._named_interfaces()]

    def at_addresses(self, addresses: Mapping[str, str]) -> str:
        """Return its text with an address in place of each of its `interface_names`.

        Twisted would resolve a name while it starts to listen: to IPv4 only, and in the reactor's thread.
        """
        from twisted.internet.endpoints import quoteStringArgument

        parts = _parts(self.text)
        for interface in self._named_interfaces():
            address = quoteStringArgument(addresses[interface.value])
            parts[interface.part] = address if interface.is_positional else f"interface={address}"
        return ":".join(parts)

    def _named_interfaces(self) -> Iterator[_Argument]:
        for argument in self._arguments:
            if argument.name == "interface" and argument.value and not is_address(argument.value):
                yield argument

    def listen(
        self, factory: Any, reactor: Any, encrypt: Callable[[Any], Any] | None = None
    ) -> Deferred[IListeningPort]:
        """Listen with a factory of protocols. This reads no file.

        :param encrypt: wraps a factory of protocols in TLS, as `tls.encrypted` does. An ``ssl:`` endpoint
            requires it; other endpoints ignore it.
        """
        listening: Deferred[IListeningPort] = self._server(reactor, encrypt).listen(factory)
        return listening

    def _server(self, reactor: Any, encrypt: Any) -> IStreamServerEndpoint:
        from twisted.internet.endpoints import serverFromString
        from twisted.protocols.haproxy import proxyEndpoint

        if not self.is_encrypted:
            knows_backlog = self.kind in _POSITIONS and not self._value("backlog")
            text = f"{self.text}:backlog={BACKLOG}" if knows_backlog else self.text
            plain: IStreamServerEndpoint = serverFromString(reactor, text)
            return plain
        below = serverFromString(reactor, self._tcp_text())
        server: IStreamServerEndpoint = _Encrypted(below, encrypt)
        for _ in range(self.proxies):
            server = proxyEndpoint(server)
        return server

    def _tcp_text(self) -> str:
        """Return the text of the TCP endpoint that carries an ``ssl:`` endpoint."""
        from twisted.internet.endpoints import quoteStringArgument

        given = {name: self._value(name) for name in ("port", "interface", "backlog")}
        given["backlog"] = given["backlog"] or str(BACKLOG)
        words = (f"{name}={quoteStringArgument(value)}" for name, value in given.items() if value)
        return ":".join(["tcp", *words])


@implementer(IStreamServerEndpoint)
class _Encrypted:
    """An endpoint with TLS on top of another one."""

    def __init__(self, below: IStreamServerEndpoint, encrypt: Callable[[Any], Any]) -> None:
        self._below = below
        self._encrypt = encrypt

    def listen(self, factory: Any) -> Deferred[IListeningPort]:
        """As in `IStreamServerEndpoint`."""
        listening: Deferred[IListeningPort] = self._below.listen(self._encrypt(factory))
        return listening


def _check(endpoint: Endpoint) -> None:
    """Raise an error if Twisted can't make this endpoint."""
    from twisted.internet.endpoints import serverFromString

    if endpoint.kind == "tls":
        raise ValueError("no tls: give ssl: with privateKey and certKey")
    text = endpoint.text
    if endpoint.is_encrypted:
        import OpenSSL  # noqa: F401  without it there is no TLS

        _check_names(endpoint)
        text = endpoint._tcp_text()
    serverFromString(object(), text)
    port = endpoint.port
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise ValueError("a port from 0 to 65535")


def _check_names(endpoint: Endpoint) -> None:
    """Raise an error if Twisted's parser does not accept the arguments of an ``ssl:`` endpoint."""
    names = [argument.name for argument in endpoint._arguments]
    for argument in endpoint._arguments:
        if argument.name not in _POSITIONS["ssl"]:
            raise ValueError(f"unexpected argument {argument.name or argument.value!r}")
        if argument.is_positional and names.count(argument.name) > 1:
            raise ValueError(f"two values for {argument.name!r}")
    if "sslmethod" in names:
        raise ValueError("no sslmethod: TLS 1.2 or newer is used")


def _parts(text: str) -> list[str]:
    return re.findall(r"(?:^|:)((?:[^:\\]|\\.)*)", text, re.DOTALL)


def _read(text: str) -> tuple[str, int, tuple[_Argument, ...]]:
    """Return the kind of an endpoint, its number of ``haproxy:`` prefixes, and its arguments.

    As in Twisted's parser, the kind is the first part without a name.
    """
    words = []
    for index, part in enumerate(_parts(text)):
        found = re.match(r"(?:[^=\\]|\\.)*", part, re.DOTALL)
        end = len(part) if found is None else found.end()
        name, value = (
            re.sub(r"\\(.)", r"\1", each, flags=re.DOTALL) for each in (part[:end], part[end + 1 :])
        )
        named = end < len(part)
        words.append(_Argument(index, name if named else "", value if named else name, not named))
    kinds = iter([word for word in words if word.is_positional])
    proxies = 0
    prefix = next(kinds, None)
    while prefix is not None and _kind(prefix.value) == "haproxy":
        proxies += 1
        prefix = next(kinds, None)
    kind = "" if prefix is None else _kind(prefix.value)
    positions = iter(_POSITIONS.get(kind, ()))
    named_positions = {word.part: next(positions, "") for word in kinds}
    arguments = tuple(
        word._replace(name=named_positions[word.part]) if word.part in named_positions else word
        for word in words
        if not word.is_positional or word.part in named_positions
    )
    return kind, proxies, arguments


def _kind(prefix: str) -> str:
    return prefix.lower() if prefix.lower() in _PLUGINS else prefix
