"""The sections of the bridge's file: each key declared once, as a field of its section's class.

The type and the default of a key are those of the field. Its text, unit, bounds and example are in the
metadata of the field, under the names of `tables.Key`. ``docs/generate.py`` writes the reference in
``docs/reference/configuration.rst`` and all of ``docs/bridge.toml`` from these classes and their docstrings:
run ``make docs-generated`` after a change here.

It opens no file. Next to read: `loading`, which combines the sections.
"""

from __future__ import annotations

import os
import re
from datetime import date
from typing import Any, Literal

from attrs import Factory, field, frozen

from mtmount_twisted.dialects.dialect import DialectName, dialect_named
from mtmount_twisted.dialects.sources import CommandingSource
from mtmount_twisted.journal.schema import default_path, default_recordings, usable_name
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


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("a day such as 2026-11-27") from None


def _word(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,32}", text, re.ASCII) is None:
        raise ValueError("1 to 32 letters, digits, - and _")
    return text


NOT_NODES = ("req", "life", "lease", "here")
"""Words that can't name a node, because they have another meaning in its place in the broker's subjects."""


def _node(text: str) -> str:
    if text in NOT_NODES:
        raise ValueError(f"none of {', '.join(NOT_NODES)}, which have a meaning of their own")
    return _word(text)


def _server(text: str) -> str:
    host = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    found = re.fullmatch(rf"(?:nats|tls)://{host}:([0-9]{{1,5}})", text, re.ASCII)
    if found is None or not 1 <= int(found[1]) <= 65535:
        raise ValueError(
            "URLs such as nats://127.0.0.1:4222 or tls://broker.example.org:4222, without a user: "
            "`credentials` has the proof of identity"
        )
    return text


def _next_port(section: Any) -> int | None:
    """Return the default port for replies, one above the port for commands (``protocol-tma2020.rst``).

    Return None if there is no such port. `loading` reports that for dialects whose replies have a port.
    """
    port: int = section.command_port
    return port + 1 if 1 <= port < 65535 else None


def _streams_per_user(web: Any) -> int:
    """Return the default number of event streams of a user, which leaves half of the connections of an
    address free for a stop."""
    connections: int = web.max_connections_per_address
    return min(MOST_STREAMS, connections // 2)


def _journal_path() -> str | None:
    """Return the path that ``mtmount-journal`` uses, too; None if this user has no home directory."""
    try:
        return str(default_path())
    except RuntimeError:
        return None


def _recordings_path() -> str | None:
    """Return the path that ``mtmount-telemetry`` uses, too; None if this user has no home directory."""
    try:
        return str(default_recordings())
    except RuntimeError:
        return None


MOST_STREAMS = 16
"""The default number of event streams of one user, if an address may have twice as many connections."""

WEB_ENDPOINT = "tcp:8080:interface=127.0.0.1"
"""The default address of the page."""


def _addresses() -> Any:
    """Return a field for the addresses of a host name: no key of the file, and ignored in comparisons."""
    return field(default=(), eq=False)


CONNECT_PORT = {"least": 1, "most": 65535}
LISTEN_PORT = {"least": 0, "most": 65535}
NEXT_PORT = {"default_words": "`command_port` + 1"}
COMMANDER_NAME: dict[str, Any] = {
    "doc": "its name in the log and the journal; unique among all pairs, ports and telemetry ports",
    "check": usable_name,
}
ENDPOINT: dict[str, Any] = {
    "doc": "address to listen on, as a Twisted server endpoint: tcp:, unix: or ssl:; "
    "tcp: without interface= listens on all addresses",
    "check": usable_endpoint,
}
ALLOW: dict[str, Any] = {
    "doc": "addresses and networks that may connect; an empty list admits every address (see `insecure`)",
    "check": usable_network,
}
CERTIFICATE: dict[str, Any] = {
    "doc": "PEM file with the bridge's certificate and the intermediate certificates; "
    "with it, connections are encrypted (TLS 1.2 or newer)",
    "check": _path,
    "default_words": "none: not encrypted",
    "example": "/etc/mtmount-bridge/bridge.pem",
}
PRIVATE_KEY: dict[str, Any] = {
    "doc": "PEM file of the certificate's private key",
    "check": _path,
    "default_words": "the certificate's file",
    "example": "/etc/mtmount-bridge/bridge.key",
}
CLIENT_CA: dict[str, Any] = {
    "doc": "PEM file of the authority that must have signed each client's certificate; a client's "
    "name is the common name of its certificate, or without one its DNS name or e-mail address",
    "check": _path,
    "default_words": "none: clients need no certificate",
    "example": "/etc/mtmount-bridge/clients.pem",
}
INSECURE = {"doc": "accept clients from other machines without a list of addresses and without certificates"}
AZIMUTHS = {"least": -720, "most": 720}
ELEVATIONS = {"least": -90, "most": 90}
SOURCE = {"doc": "commanding source; the protocol's rules for that source apply to it"}
CLIENT_DIALECT = {
    "doc": "protocol of its clients; before a mount that speaks tma2022 the bridge also serves clients that "
    "speak tma2020, and translates",
    "default_words": "`controller.dialect`, or without a controller `simulator.dialect`",
    "example": "tma2020",
}


@frozen(kw_only=True)
class Controller:
    """The mount's controller; without this section the bridge uses the built-in simulator."""

    host: str = field(
        metadata={
            "doc": "host on which the controller accepts commands",
            "check": usable_host,
            "example": "192.0.2.10",
        }
    )
    command_port: int = field(
        metadata={"doc": "port on which the controller accepts commands", "example": 60005, **CONNECT_PORT}
    )
    dialect: DialectName = field(
        default="tma2020",
        metadata={
            "doc": "protocol of the controller; mounts of 2022 and later speak tma2022. Commanders speak it "
            "too, unless their own `dialect` says otherwise",
        },
    )
    reply_host: str | None = field(
        default=None,
        metadata={
            "doc": "address on which the bridge listens for the controller's replies; not in tma2022",
            "check": usable_host,
            "default_words": "this machine's own if the controller runs on it, else all addresses",
            "example": "0.0.0.0",
        },
    )
    reply_port: int | None = field(
        default=Factory(_next_port, takes_self=True),
        metadata={
            "doc": "port on which the bridge listens for the controller's replies; 0: the system chooses "
            "one; not in tma2022",
            "example": 60006,
            **LISTEN_PORT,
            **NEXT_PORT,
        },
    )
    replies_from: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "further addresses and networks that replies may come from, besides the controller's own; "
            "not in tma2022",
            "check": usable_network,
        },
    )
    telemetry_host: str | None = field(
        default=None,
        metadata={
            "doc": "host that serves the mount's telemetry; only in tma2022",
            "check": usable_host,
            "default_words": "`host`",
            "example": "192.0.2.10",
        },
    )
    telemetry_port: int | None = field(
        default=None,
        metadata={
            "doc": "port on which that host serves the telemetry; only in tma2022",
            "default_words": "50035",
            "example": 50035,
            **CONNECT_PORT,
        },
    )
    addresses: tuple[str, ...] = _addresses()

    @property
    def telemetry(self) -> tuple[str, int] | None:
        """The host and port that serve the mount's telemetry; None if the dialect has no telemetry."""
        telemetry = dialect_named(self.dialect).telemetry
        if telemetry is None:
            return None
        return self.telemetry_host or self.host, self.telemetry_port or telemetry.port


@frozen(kw_only=True)
class SimulatorSettings:
    """The built-in simulator, which the bridge uses if there is no ``[controller]``."""

    dialect: DialectName = field(
        default="tma2020",
        metadata={
            "doc": "protocol of the simulated mount. Commanders speak it too, unless their own `dialect` "
            "says otherwise"
        },
    )


@frozen(kw_only=True)
class PairCommander:
    """A commander with connections as the protocol defines them; one section for each commander.

    In tma2020 these are two connections: the commander sends commands on one, and listens for replies on the
    other. In tma2022 it is one connection for both.
    """

    name: str = field(metadata=COMMANDER_NAME)
    source: CommandingSource = field(default="CSC", metadata=SOURCE)
    dialect: DialectName | None = field(default=None, metadata=CLIENT_DIALECT)
    listen: str = field(
        default="127.0.0.1",
        metadata={
            "doc": "address on which the bridge listens for the commander; 0.0.0.0: all addresses",
            "check": usable_host,
        },
    )
    command_port: int = field(
        metadata={
            "doc": "port on which the bridge listens for the commander; 0: the system chooses one",
            **LISTEN_PORT,
        }
    )
    reply_host: str = field(
        default="127.0.0.1",
        metadata={
            "doc": "host on which the commander listens for replies; not in tma2022",
            "check": usable_host,
        },
    )
    reply_port: int | None = field(
        default=Factory(_next_port, takes_self=True),
        metadata={
            "doc": "port on which the commander listens for replies; not in tma2022",
            **CONNECT_PORT,
            **NEXT_PORT,
        },
    )
    allow: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "further addresses and networks that its commands may come from, besides the reply host; "
            "in tma2022, besides this machine",
            "check": usable_network,
        },
    )
    addresses: tuple[str, ...] = _addresses()


@frozen(kw_only=True)
class PortCommanders:
    """A port for any number of clients, each with one connection both ways; one section for each port.

    In a list of addresses, a link-local address with a zone, such as ``fe80::1%eth0`` or ``fe80::%eth0/64``,
    is accepted on that interface only; without a zone it is accepted on any interface.
    """

    name: str = field(metadata={"example": "watchers", **COMMANDER_NAME})
    endpoint: str = field(metadata={"example": "tcp:30100:interface=127.0.0.1", **ENDPOINT})
    source: CommandingSource = field(default="CSC", metadata=SOURCE)
    dialect: DialectName | None = field(default=None, metadata=CLIENT_DIALECT)
    role: Literal["observer", "commander"] = field(
        default="observer",
        metadata={
            "doc": "rights of each client: an observer only receives, a commander commands by its own name"
        },
    )
    max_clients: int = field(
        default=1000,
        metadata={
            "doc": "largest number of connected clients; a further one is rejected, unless an observer gives "
            "way: one that is half-closed, or one of the address with the largest number of clients",
            "least": 1,
            "most": 65_536,
        },
    )
    allow: tuple[str, ...] = field(default=(), metadata=ALLOW)
    certificate: str | None = field(default=None, metadata=CERTIFICATE)
    private_key: str | None = field(default=None, metadata=PRIVATE_KEY)
    client_ca: str | None = field(default=None, metadata=CLIENT_CA)
    insecure: bool = field(default=False, metadata=INSECURE)
    # The content of the files (`tls.Credentials`): no key of the file, and ignored in comparisons.
    credentials: Any = field(default=None, eq=False)


@frozen(kw_only=True)
class TelemetryReaders:
    """A port that serves the mount's telemetry to any number of readers, in the mount's own format.

    Only a tma2022 mount sends telemetry. A list of addresses may have zones, as the list of a ``[[port]]``.
    """

    name: str = field(metadata={"example": "telemetry", **COMMANDER_NAME})
    endpoint: str = field(metadata={"example": "tcp:50035:interface=127.0.0.1", **ENDPOINT})
    max_readers: int = field(
        default=1000,
        metadata={
            "doc": "largest number of connected readers; a further one is rejected, unless a reader gives "
            "way: one of the address with the largest number of readers",
            "least": 1,
            "most": 65_536,
        },
    )
    allow: tuple[str, ...] = field(default=(), metadata=ALLOW)
    certificate: str | None = field(default=None, metadata=CERTIFICATE)
    private_key: str | None = field(default=None, metadata=PRIVATE_KEY)
    client_ca: str | None = field(default=None, metadata=CLIENT_CA)
    insecure: bool = field(default=False, metadata=INSECURE)
    # The content of the files (`tls.Credentials`): no key of the file, and ignored in comparisons.
    credentials: Any = field(default=None, eq=False)


ManyClients = PortCommanders | TelemetryReaders
"""A section about a port for any number of clients."""


@frozen(kw_only=True)
class CommandRules:
    """The rules for commands and for command authority."""

    in_flight: int = field(
        default=100,
        metadata={
            "doc": "largest number of unfinished commands of a commander; a further one is rejected as busy",
            "least": 1,
            "most": 100_000,
        },
    )
    lease_grace: float = field(
        default=5.0,
        metadata={
            "doc": "time after which a disconnected commander loses command",
            "unit": "s",
            "least": 0,
            "most": 3600,
        },
    )
    on_loss: Literal["stop", "release"] = field(
        default="stop",
        metadata={
            "doc": "action when a disconnected commander loses command: stop all motion and release command, "
            "or release only"
        },
    )
    anyone_may_stop: bool = field(
        default=True,
        metadata={"doc": "accept stop commands from commanders that do not have command"},
    )
    pass_settings_password: bool = field(
        default=False,
        metadata={
            "doc": "pass the password in the settings of a tma2022 mount to the commanders of pairs, and of "
            "ports with `client_ca`; all other clients read `*` for each character of the password"
        },
    )
    ack_timeout: float | None = field(
        default=None,
        metadata={
            "doc": "time allowed for the mount's Ack of every command",
            "unit": "s",
            "least": 0.1,
            "most": 3600,
            "default_words": "5 s in tma2020; in tma2022 10 s, 60 s for command 37, 70 s for 2502 and "
            "1 s for track commands",
            "example": 5.0,
        },
    )
    done_margin: float | None = field(
        default=None,
        metadata={
            "doc": "time allowed for the end of a command beyond the duration that the Ack announced",
            "unit": "s",
            "least": 0,
            "most": 3600,
            "default_words": "2 s in tma2020, 5 s in tma2022",
            "example": 2.0,
        },
    )
    unknown_timeout: float = field(
        default=300.0,
        metadata={
            "doc": "duration of a command if its Ack announces none; only a tma2022 mount sends such an Ack",
            "unit": "s",
            "least": 1,
            "most": 86400,
        },
    )


@frozen(kw_only=True)
class ClientLimits:
    """The limits of a slow client's backlog, beyond which the bridge disconnects it."""

    max_behind_bytes: int = field(
        default=1_048_576,
        metadata={
            "doc": "largest backlog. The smallest value has room for all lines that a client receives when "
            "it connects, and for the settings of a tma2022 mount",
            "unit": "bytes",
            "least": 262_144,
            "most": 2**30,
        },
    )
    max_behind_seconds: float = field(
        default=10.0,
        metadata={
            "doc": "largest age of the oldest data in the backlog",
            "unit": "s",
            "least": 0.1,
            "most": 3600,
        },
    )


@frozen(kw_only=True)
class JournalSettings:
    """The record of every message, command, connection and lease."""

    enabled: bool = field(default=True, metadata={"doc": "keep a journal"})
    path: str | None = field(
        default=Factory(_journal_path),
        metadata={
            "doc": "its file; a relative path starts at the folder in which the daemon was started",
            "check": _path,
            "default_words": "`mtmount-bridge/journal.sqlite` in `$XDG_STATE_HOME` or `~/.local/state`",
            "example": "~/.local/state/mtmount-bridge/journal.sqlite",
        },
    )
    keep_days: float = field(
        default=30.0,
        metadata={
            "doc": "age after which a record is deleted",
            "unit": "days",
            "least": 0.01,
            "most": 36_500,
        },
    )
    keep_bytes: int = field(
        default=4 * 2**30,
        metadata={
            "doc": "largest size of the file with its write-ahead log",
            "unit": "bytes",
            "least": 2**20,
            "most": 2**50,
        },
    )
    tracks: Literal["summary", "all"] = field(
        default="summary",
        metadata={
            "doc": "`summary`: of a run of accepted track commands, record the first and the last in full, "
            "and one row a second that counts the commands between; `all`: record every command in full",
        },
    )


@frozen(kw_only=True)
class RecorderSettings:
    """The record of the mount's telemetry and events, in MCAP files; only of a mount that sends telemetry.

    ``recordings.rst`` describes the files.
    """

    enabled: bool = field(default=False, metadata={"doc": "record telemetry; needs the extra `recorder`"})
    path: str | None = field(
        default=Factory(_recordings_path),
        metadata={
            "doc": "folder of the recordings; a relative path starts at the folder in which the daemon was "
            "started",
            "check": _path,
            "default_words": "`mtmount-bridge/recordings` in `$XDG_STATE_HOME` or `~/.local/state`",
            "example": "~/.local/state/mtmount-bridge/recordings",
        },
    )
    keep_days: float = field(
        default=14.0,
        metadata={
            "doc": "age after which a recording is deleted",
            "unit": "days",
            "least": 0.1,
            "most": 36_500,
        },
    )
    keep_bytes: int = field(
        default=20 * 2**30,
        metadata={
            "doc": "largest size of all recordings; beyond it the oldest one is deleted. The recording of "
            "one hour takes at most half of this size",
            "unit": "bytes",
            "least": 2**28,
            "most": 2**50,
        },
    )
    min_free: int = field(
        default=2 * 2**30,
        metadata={
            "doc": "free space on the disk below which the recorder stops, until more is free",
            "unit": "bytes",
            "least": 0,
            "most": 2**50,
        },
    )


@frozen(kw_only=True)
class StationSettings:
    """The bridge's place among several machines; with it, the bridge publishes to a message broker.

    It needs a journal. ``events-by-nats.rst`` shows the use. ``mount`` and ``node`` are words of letters,
    digits, ``-`` and ``_``, and are in the subjects of all messages.
    """

    mount: str = field(
        metadata={"doc": "name of the mount in all subjects", "check": _word, "example": "t1"},
    )
    node: str = field(
        metadata={
            "doc": "name of this bridge in all subjects; no two bridges of a mount have the same",
            "check": _node,
            "example": "a",
        },
    )
    one_peer: bool | None = field(
        default=None,
        metadata={
            "doc": "true if the mount refuses a second peer, false if it takes many; `mtmount-bridge "
            "--check-one-peer HOST:PORT` tries it on an idle mount. With this key the bridges of the mount "
            "elect the one that commands it (`station.rst`)",
            "default_words": "no election: this bridge alone commands the mount",
            "example": True,
        },
    )
    preferred: bool = field(
        default=False,
        metadata={
            "doc": "true for the one bridge that opens the link by itself if no broker answers in the first "
            "15 s; it needs `one_peer = true`",
        },
    )
    take_over_after: float = field(
        default=3.0,
        metadata={
            "doc": "time without a renewal after which another bridge takes the lease; all bridges of a "
            "mount have the same",
            "unit": "s",
            "least": 1.0,
            "most": 60.0,
        },
    )
    hook: str | None = field(
        default=None,
        metadata={
            "doc": "program that moves the address of the bridges: the bridge runs it with the word `take` "
            "before it opens the link, and with `give` after it has closed the link, each for at most 3 s",
            "check": _path,
            "default_words": "none: the address does not move",
            "example": "/usr/local/lib/mtmount/address",
        },
    )


@frozen(kw_only=True)
class BrokerSettings:
    """The message broker: NATS with JetStream, 2.9 or newer, and not 2.10.20 to 2.10.22.

    This section needs ``[station]``.
    """

    servers: tuple[str, ...] = field(
        default=("nats://127.0.0.1:4222",),
        metadata={
            "doc": "URLs of the servers, which are tried in turn; tls: encrypts",
            "check": _server,
        },
    )
    credentials: str | None = field(
        default=None,
        metadata={
            "doc": "file with the seed of an NKey, or with a JWT and a seed (a .creds file); only its owner "
            "may read it",
            "check": _path,
            "default_words": "none: the server asks for no proof of identity",
            "example": "/etc/mtmount-bridge/broker.nk",
        },
    )
    ca: str | None = field(
        default=None,
        metadata={
            "doc": "PEM file of the authority that must have signed the certificate of a tls: server",
            "check": _path,
            "default_words": "the authorities that this machine trusts",
            "example": "/etc/mtmount-bridge/broker-ca.pem",
        },
    )
    replicas: int = field(
        default=1,
        metadata={
            "doc": "number of servers that keep each event, for the stream that this bridge makes if it is "
            "missing",
            "least": 1,
            "most": 5,
        },
    )
    events: bool = field(default=True, metadata={"doc": "publish every row of the journal"})
    commands: bool = field(
        default=False,
        metadata={
            "doc": "take commands from the users of `[[station.user]]`; it needs `station.one_peer`",
        },
    )
    telemetry: bool = field(
        default=False,
        metadata={
            "doc": "publish the latest line of each telemetry topic, 5 times a second; only of a mount that "
            "sends telemetry"
        },
    )
    window: int = field(
        default=256,
        metadata={
            "doc": "largest number of events that the broker has not confirmed yet",
            "least": 1,
            "most": 10_000,
        },
    )


@frozen(kw_only=True)
class StationUserSettings:
    """A user that may send commands by the broker; one section for each user.

    It needs ``commands = true`` in ``[station.broker]``. The server checks the identity of each user:
    ``commands-by-nats.rst`` shows how.
    """

    name: str = field(
        metadata={
            "doc": "its name in the subjects of its requests; in the log and the journal broker/NAME",
            "check": _word,
            "example": "night",
        },
    )
    source: CommandingSource = field(default="CSC", metadata=SOURCE)
    role: Literal["observer", "command"] = field(
        default="observer",
        metadata={"doc": "its rights: an observer sends no commands"},
    )
    expires: float = field(
        default=10.0,
        metadata={
            "doc": "age from which on the bridge no longer sends a request; a request may name a lower age",
            "unit": "s",
            "least": 0.1,
            "most": 300,
        },
    )


@frozen(kw_only=True)
class WebSettings:
    """The page, the API and the metrics, served over HTTP.

    ``web.rst`` describes them, and the file of tokens.
    """

    enabled: bool | None = field(
        default=None,
        metadata={
            "doc": "serve the page, the API and the metrics",
            "default_words": "true if the endpoint is free",
            "example": True,
        },
    )
    endpoint: str | None = field(
        default=None,
        metadata={
            "doc": "address to listen on, as a Twisted server endpoint: tcp:, unix: or ssl:",
            "check": usable_endpoint,
            "default_words": f"`{WEB_ENDPOINT}` if it is free",
            "example": WEB_ENDPOINT,
        },
    )
    tokens: str | None = field(
        default=None,
        metadata={
            "doc": "file of the tokens, of mode 600 or a secret as web.rst describes",
            "check": _path,
            "default_words": "none: anyone may read and command",
            "example": "~/.config/mtmount-bridge/tokens.toml",
        },
    )
    insecure: bool = field(default=False, metadata={"doc": "serve other machines even without tokens"})
    source: CommandingSource = field(
        default="CSC",
        metadata={"doc": "commanding source of all users where there are no tokens"},
    )
    allowed_hosts: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "further host names of the page, without port, besides localhost and the address on which "
            "it listens",
            "check": usable_host,
        },
    )
    allowed_origins: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "further origins whose pages may send requests, such as https://mount.example.org, "
            "besides the page's own",
            "check": _origin,
        },
    )
    path_prefix: str = field(
        default="",
        metadata={
            "doc": "prefix of each path at a proxy, such as /mount, whether or not the proxy removes it",
            "check": _prefix,
        },
    )
    deadline: float = field(
        default=10.0,
        metadata={
            "doc": "time allowed for a request's headers, and again for its body",
            "unit": "s",
            "least": 0.1,
            "most": 3600,
        },
    )
    max_body: int = field(
        default=4096,
        metadata={
            "doc": "largest body of a request; more than the default has no effect",
            "unit": "bytes",
            "least": 1024,
            "most": 2**24,
        },
    )
    max_connections: int = field(
        default=256,
        metadata={
            "doc": "largest number of connections. Event streams may take half of them, and those of "
            "observers a quarter. Addresses without a valid token may take half; if there are no tokens, "
            "addresses without an event stream may",
            "least": 2,
            "most": 65_536,
        },
    )
    hsts: int = field(
        default=0,
        metadata={
            "doc": "max-age of the header Strict-Transport-Security on encrypted connections: the time for "
            "which browsers use only https for this host; 0: no such header",
            "unit": "s",
            "least": 0,
            "most": 2**31 - 1,
        },
    )
    max_connections_per_address: int = field(
        default=32,
        metadata={
            "doc": "largest number of connections from one address, or from one /64 network of IPv6",
            "least": 2,
            "most": 65_536,
        },
    )
    max_streams_per_user: int = field(
        default=Factory(_streams_per_user, takes_self=True),
        metadata={
            "doc": "largest number of event streams of a user, or of an address without tokens; fewer than "
            "max_connections_per_address, so that a connection is left for a stop",
            "least": 1,
            "most": 65_535,
            "default_words": f"{MOST_STREAMS}, or half of `max_connections_per_address` if that is less",
        },
    )
    absent_after: float = field(
        default=30.0,
        metadata={
            "doc": "time without a request and without an event stream after which a user with command "
            "counts as gone",
            "unit": "s",
            "least": 1,
            "most": 3600,
        },
    )
    # The content of the files (`tls.Credentials`): no key of the file, and ignored in comparisons.
    credentials: Any = field(default=None, eq=False)


@frozen(kw_only=True)
class SiteSettings:
    """The place of the telescope, from which the bridge computes its positions on the sky.

    The defaults are the place of the Simonyi Survey Telescope at the Vera C. Rubin Observatory.
    """

    latitude: float = field(
        default=-30.244639,
        metadata={
            "doc": "geodetic latitude (WGS 84); north is positive",
            "unit": "deg",
            "least": -90,
            "most": 90,
        },
    )
    longitude: float = field(
        default=-70.749417,
        metadata={
            "doc": "geodetic longitude (WGS 84); east is positive",
            "unit": "deg",
            "least": -180,
            "most": 180,
        },
    )
    height: float = field(
        default=2663.0,
        metadata={"doc": "height above the ellipsoid", "unit": "m", "least": -500, "most": 9000},
    )
    ut1_utc: float = field(
        default=0.0,
        metadata={
            "doc": "UT1-UTC, from Bulletin A of the IERS; an error of 0.1 s shifts positions on the sky by "
            "1.5 arcsec",
            "unit": "s",
            "least": -0.9,
            "most": 0.9,
        },
    )
    ut1_utc_date: str | None = field(
        default=None,
        metadata={
            "doc": "the day of `ut1_utc`; the page marks positions on the sky from 90 days after it",
            "check": _day,
            "default_words": "none: the positions are marked",
            "example": "2026-11-27",
        },
    )


@frozen(kw_only=True)
class MotionSettings:
    """The rules by which the bridge judges slews, and the limits of the axes.

    The limits of the axes here hold until the mount sends its settings.
    """

    slew_jump: float = field(
        default=0.1,
        metadata={
            "doc": "smallest jump of the demand position, or smallest way of a move, that counts as a slew",
            "unit": "deg",
            "least": 0.001,
            "most": 360,
        },
    )
    rms_limit: float = field(
        default=0.01,
        metadata={
            "doc": "largest RMS of the following error, on the sky, over 15 s at which a slew counts as "
            "settled",
            "unit": "arcsec",
            "least": 0.0001,
            "most": 3600,
        },
    )
    slew_distance: float = field(
        default=3.5,
        metadata={
            "doc": "longest slew to which `slew_time` applies",
            "unit": "deg",
            "least": 0,
            "most": 540,
        },
    )
    slew_time: float = field(
        default=4.0,
        metadata={
            "doc": "longest time from the start of such a slew until the mount is in position",
            "unit": "s",
            "least": 0.1,
            "most": 3600,
        },
    )
    settle_time: float = field(
        default=4.0,
        metadata={
            "doc": "longest time from in position until the mount is settled",
            "unit": "s",
            "least": 0.1,
            "most": 3600,
        },
    )
    limit_caution: float = field(
        default=1800.0,
        metadata={
            "doc": "time to a limit below which the page shows a caution",
            "unit": "s",
            "least": 1,
            "most": 43_200,
        },
    )
    limit_alarm: float = field(
        default=300.0,
        metadata={
            "doc": "time to a limit below which the page shows an alarm; at most `limit_caution`",
            "unit": "s",
            "least": 0,
            "most": 43_200,
        },
    )
    azimuth_low: float = field(
        default=-270.0,
        metadata={"doc": "lowest azimuth; less than `azimuth_high`", "unit": "deg", **AZIMUTHS},
    )
    azimuth_high: float = field(default=270.0, metadata={"doc": "highest azimuth", "unit": "deg", **AZIMUTHS})
    elevation_low: float = field(
        default=15.1,
        metadata={"doc": "lowest elevation; less than `elevation_high`", "unit": "deg", **ELEVATIONS},
    )
    elevation_high: float = field(
        default=86.4, metadata={"doc": "highest elevation", "unit": "deg", **ELEVATIONS}
    )
    cable_wrap_low: float = field(
        default=-90.0,
        metadata={
            "doc": "lowest position of the camera cable wrap; less than `cable_wrap_high`",
            "unit": "deg",
            **AZIMUTHS,
        },
    )
    cable_wrap_high: float = field(
        default=90.0,
        metadata={"doc": "highest position of the camera cable wrap", "unit": "deg", **AZIMUTHS},
    )
