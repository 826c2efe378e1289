"""The sections of the bridge's file: each key declared once, as a field of its section's class.

The type and the default of a key are those of the field. Its text, unit, bounds and example stand in the
metadata of the field, by the names of `tables.Key`. ``docs/generate.py`` writes the reference in
``docs/reference/configuration.rst`` and all of ``docs/bridge.toml`` from these classes and their docstrings:
run ``make docs-generated`` after a change here.

Next: `loading`, which puts the sections together.
"""

from __future__ import annotations

import os
import re
from typing import Any, Literal

from attrs import Factory, field, frozen

from mtmount_twisted.dialects.tma2020.enums import CommandingSource
from mtmount_twisted.journal.schema import default_path, usable_name
from mtmount_twisted.net.addresses import usable_endpoint, usable_host
from mtmount_twisted.net.admission import usable_network


def _path(text: str) -> str:
    path = os.path.expanduser(text)
    if not path or "\0" in path or path.startswith("~"):
        raise ValueError("a path; one that begins with ~ needs a home directory")
    return os.path.abspath(path)


def _origin(text: str) -> str:
    if (
        re.fullmatch(
            r"https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?", text
        )
        is None
    ):
        raise ValueError("origins such as https://mount.example.org or http://192.0.2.1:8080")
    return text


def _prefix(text: str) -> str:
    prefix = text.rstrip("/")
    if re.fullmatch(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*", prefix, re.ASCII) is None:
        raise ValueError("a path such as /mount, of letters, digits and ._~-")
    return prefix


def _next_port(section: Any) -> int:
    """One above the commands' port, where by convention replies go (``protocol-tma2020.rst``)."""
    port: int = section.command_port
    if not 1 <= port < 65535:
        raise ValueError(f"there is no port one above {port}; name one")
    return port + 1


def _streams_per_user(web: Any) -> int:
    """As many as leave half of one address's connections for what is no stream, such as a stop."""
    connections: int = web.max_connections_per_address
    return min(MOST_STREAMS, connections // 2)


def _journal_path() -> str | None:
    """Return where ``mtmount-journal`` looks, too; None if this user has no home directory."""
    try:
        return str(default_path())
    except RuntimeError:
        return None


MOST_STREAMS = 16
"""How many event streams one user may have by default, if an address may have twice as many connections."""

WEB_ENDPOINT = "tcp:8080:interface=127.0.0.1"
"""Where the page is if nobody says otherwise."""


def _addresses() -> Any:
    """A field for the addresses that a host's name was found to have: no key, nor a difference."""
    return field(default=(), eq=False)


CONNECT_PORT = {"least": 1, "most": 65535}
LISTEN_PORT = {"least": 0, "most": 65535}
NEXT_PORT = {"default_words": "`command_port` + 1"}
COMMANDER_NAME = {
    "doc": "what the log and the journal call it; no other commander's name",
    "check": usable_name,
}
SOURCE = {"doc": "which of the protocol's rules apply to it"}


@frozen(kw_only=True)
class Controller:
    """Where the mount is; without this section it is the built-in simulator."""

    host: str = field(
        metadata={
            "doc": "host where the controller takes commands",
            "check": usable_host,
            "example": "192.0.2.10",
        }
    )
    command_port: int = field(
        metadata={"doc": "port where the controller takes commands", "example": 60005, **CONNECT_PORT}
    )
    reply_host: str | None = field(
        default=None,
        metadata={
            "doc": "address to listen on for the controller's replies",
            "check": usable_host,
            "default_words": "this machine's own if the controller is on it, else all addresses",
            "example": "0.0.0.0",
        },
    )
    reply_port: int = field(
        default=Factory(_next_port, takes_self=True),
        metadata={
            "doc": "port to listen on for the controller's replies; 0: the system chooses",
            "example": 60006,
            **LISTEN_PORT,
            **NEXT_PORT,
        },
    )
    replies_from: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "addresses and networks that its replies may come from, besides its own",
            "check": usable_network,
        },
    )
    addresses: tuple[str, ...] = _addresses()


@frozen(kw_only=True)
class PairCommander:
    """A commander with a pair of connections, as in the protocol; once for each."""

    name: str = field(metadata=COMMANDER_NAME)
    source: CommandingSource = field(default="CSC", metadata=SOURCE)
    listen: str = field(
        default="127.0.0.1",
        metadata={
            "doc": "address to listen on for its commands; 0.0.0.0 for all addresses",
            "check": usable_host,
        },
    )
    command_port: int = field(
        metadata={"doc": "port to listen on for its commands; 0: the system chooses", **LISTEN_PORT}
    )
    reply_host: str = field(
        default="127.0.0.1", metadata={"doc": "host where it listens for replies", "check": usable_host}
    )
    reply_port: int = field(
        default=Factory(_next_port, takes_self=True),
        metadata={"doc": "port where it listens for replies", **CONNECT_PORT, **NEXT_PORT},
    )
    allow: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "addresses and networks that its commands may come from, besides where its replies go",
            "check": usable_network,
        },
    )
    addresses: tuple[str, ...] = _addresses()


@frozen(kw_only=True)
class PortCommanders:
    """A port for any number of clients, each with one connection for both ways; once for each port.

    In a list of addresses a link-local one with a zone, as ``fe80::1%eth0`` or ``fe80::%eth0/64``, is
    admitted by that interface only, and one without a zone by any.
    """

    name: str = field(metadata={"example": "watchers", **COMMANDER_NAME})
    endpoint: str = field(
        metadata={
            "doc": "where to listen, as a Twisted server endpoint: tcp:, unix:, ssl:; "
            "tcp: without interface= listens on all addresses",
            "check": usable_endpoint,
            "example": "tcp:30100:interface=127.0.0.1",
        }
    )
    source: CommandingSource = field(default="CSC", metadata=SOURCE)
    role: Literal["observer", "commander"] = field(
        default="observer",
        metadata={"doc": "whether each client only receives, or is a commander of its own"},
    )
    max_clients: int = field(
        default=1000,
        metadata={"doc": "how many may be connected; one more is refused", "least": 1, "most": 65_536},
    )
    allow: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "addresses and networks that may connect; an empty list is no limit",
            "check": usable_network,
        },
    )
    certificate: str | None = field(
        default=None,
        metadata={
            "doc": "file of the certificate that this side shows, with those between it and its authority's, "
            "in PEM: with it, connections are encrypted (TLS 1.2 or newer)",
            "check": _path,
            "default_words": "none: not encrypted",
            "example": "/etc/mtmount-bridge/bridge.pem",
        },
    )
    private_key: str | None = field(
        default=None,
        metadata={
            "doc": "file of its key, in PEM",
            "check": _path,
            "default_words": "the certificate's file",
            "example": "/etc/mtmount-bridge/bridge.key",
        },
    )
    client_ca: str | None = field(
        default=None,
        metadata={
            "doc": "file of the certificates, in PEM, of the authority that clients must have theirs from: "
            "the common name in a client's, or without one its DNS name or e-mail address, is its name",
            "check": _path,
            "default_words": "none: clients need no certificate",
            "example": "/etc/mtmount-bridge/clients.pem",
        },
    )
    insecure: bool = field(
        default=False,
        metadata={
            "doc": "whether anyone beyond this machine may connect, with neither a list nor a certificate"
        },
    )
    # What the files hold (`tls.Credentials`): no key of the file, and no difference.
    credentials: Any = field(default=None, eq=False)


@frozen(kw_only=True)
class CommandRules:
    """How commands, and the right to command, are dealt with."""

    in_flight: int = field(
        default=100,
        metadata={
            "doc": "how many unfinished commands one commander may have; one more is refused as busy",
            "least": 1,
            "most": 100_000,
        },
    )
    lease_grace: float = field(
        default=5.0,
        metadata={
            "doc": "how long the commander that has command may be gone before it loses it",
            "unit": "s",
            "least": 0,
            "most": 3600,
        },
    )
    on_loss: Literal["stop", "release"] = field(
        default="stop",
        metadata={"doc": "what is done then: stop all that moves and release command, or release only"},
    )
    anyone_may_stop: bool = field(
        default=True,
        metadata={"doc": "whether a commander may send a stop command without having command"},
    )
    ack_timeout: float = field(
        default=5.0,
        metadata={"doc": "how long the mount may take to its Ack", "unit": "s", "least": 0.1, "most": 3600},
    )
    done_margin: float = field(
        default=2.0,
        metadata={
            "doc": "how much longer to Done than the Ack announced",
            "unit": "s",
            "least": 0,
            "most": 3600,
        },
    )


@frozen(kw_only=True)
class ClientLimits:
    """How far a client may be behind in reading before it is cut off."""

    max_behind_bytes: int = field(
        default=1_048_576,
        metadata={
            "doc": "how much may wait for it to read; at the least, one of the longest lines",
            "unit": "bytes",
            "least": 65_536,
            "most": 2**30,
        },
    )
    max_behind_seconds: float = field(
        default=10.0,
        metadata={
            "doc": "how long the oldest of that may wait",
            "unit": "s",
            "least": 0.1,
            "most": 3600,
        },
    )


@frozen(kw_only=True)
class JournalSettings:
    """The record of every message, command, connection and lease."""

    enabled: bool = field(default=True, metadata={"doc": "whether there is one"})
    path: str | None = field(
        default=Factory(_journal_path),
        metadata={
            "doc": "its file; a relative path counts from where the daemon was started",
            "check": _path,
            "default_words": "`mtmount-bridge/journal.sqlite` in `$XDG_STATE_HOME` or `~/.local/state`",
            "example": "~/.local/state/mtmount-bridge/journal.sqlite",
        },
    )
    keep_days: float = field(
        default=30.0,
        metadata={"doc": "how old a record may get", "unit": "days", "least": 0.01, "most": 36_500},
    )
    keep_bytes: int = field(
        default=2**30,
        metadata={
            "doc": "how large the file and its write-ahead log may get",
            "unit": "bytes",
            "least": 2**20,
            "most": 2**50,
        },
    )


@frozen(kw_only=True)
class WebSettings:
    """What people and programs see over HTTP: the page, the API and the metrics.

    What is there, and what a file of tokens holds: ``web.rst``.
    """

    enabled: bool | None = field(
        default=None,
        metadata={
            "doc": "whether it is served",
            "default_words": "true, if the endpoint can be had",
            "example": True,
        },
    )
    endpoint: str | None = field(
        default=None,
        metadata={
            "doc": "where to listen, as a Twisted server endpoint: tcp:, unix:, ssl:",
            "check": usable_endpoint,
            "default_words": f"`{WEB_ENDPOINT}`, if it can be had",
            "example": WEB_ENDPOINT,
        },
    )
    tokens: str | None = field(
        default=None,
        metadata={
            "doc": "file of the tokens, of mode 600 or a secret that web.rst describes",
            "check": _path,
            "default_words": "none: anyone may look and command",
            "example": "~/.config/mtmount-bridge/tokens.toml",
        },
    )
    insecure: bool = field(
        default=False, metadata={"doc": "whether to listen beyond this machine although there are no tokens"}
    )
    source: CommandingSource = field(
        default="CSC",
        metadata={"doc": "which of the protocol's rules apply to anyone, if there are no tokens"},
    )
    allowed_hosts: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "what this machine is called in addresses of the page, besides localhost and the address "
            "that it listens on, without port",
            "check": usable_host,
        },
    )
    allowed_origins: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "where pages may come from that ask, besides this one's own address, "
            "such as https://mount.example.org",
            "check": _origin,
        },
    )
    path_prefix: str = field(
        default="",
        metadata={
            "doc": "what a proxy has before each path, such as /mount, whether or not it takes it off",
            "check": _prefix,
        },
    )
    deadline: float = field(
        default=10.0,
        metadata={
            "doc": "how long a request's headers may take, and its body again",
            "unit": "s",
            "least": 0.1,
            "most": 3600,
        },
    )
    max_body: int = field(
        default=65_536,
        metadata={"doc": "how long a request's body may be", "unit": "bytes", "least": 1024, "most": 2**24},
    )
    max_connections: int = field(
        default=256,
        metadata={
            "doc": "how many connections there may be; addresses that have shown no token, nor have an event "
            "stream where there are no tokens, share half of them, and event streams may be half of them",
            "least": 2,
            "most": 65_536,
        },
    )
    hsts: int = field(
        default=0,
        metadata={
            "doc": "how long browsers are to use https only for this host, on encrypted connections "
            "(Strict-Transport-Security); 0: not said",
            "unit": "s",
            "least": 0,
            "most": 2**31 - 1,
        },
    )
    max_connections_per_address: int = field(
        default=32,
        metadata={
            "doc": "how many of them from one address, or from one network of 64 bits if it is IPv6",
            "least": 2,
            "most": 65_536,
        },
    )
    max_streams_per_user: int = field(
        default=Factory(_streams_per_user, takes_self=True),
        metadata={
            "doc": "how many event streams one user may have; without tokens, one address. Fewer than "
            "max_connections_per_address, so that a stop finds a connection",
            "least": 1,
            "most": 65_535,
            "default_words": f"{MOST_STREAMS}, or half of `max_connections_per_address` if that is less",
        },
    )
    absent_after: float = field(
        default=30.0,
        metadata={
            "doc": "how long after its last request or event stream one who has command counts as gone",
            "unit": "s",
            "least": 1,
            "most": 3600,
        },
    )
    # What the files hold (`tls.Credentials`): no key of the file, and no difference.
    credentials: Any = field(default=None, eq=False)
