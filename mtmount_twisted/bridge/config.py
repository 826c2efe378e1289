"""What the bridge can be told in a file: TOML in, frozen and checked values out.

`load` reads a text and `load_file` a file; `check` says whether values that a program made, or changed,
belong together. What is wrong is told all at once, in one `ConfigError`. `default_config` is what holds
with no file.

A key is declared once, as a field of its section's class: its type and default are the field's, its
meaning, unit and bounds are in the field's metadata. ``docs/configuration.rst`` and ``docs/bridge.toml``
say the same to people; a test compares them.

Next: `tables` goes through the parsed file, `places` knows what can be an address.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, field, frozen

from ..errors import ConfigError
from ..journal.schema import default_path
from .places import (
    Place,
    canonical,
    clashes,
    parse_endpoint,
    replies_by_default,
    usable_endpoint,
    usable_host,
)
from .tables import Entry, as_tables, build, read

SourceName = Literal["CSC", "EUI", "HHD"]
"""The sources of ``protocol.md`` that may command, by name."""

LONGEST_NAME = 64


RESERVED_NAMES = ("bridge", "controller", "everyone", "observers")
"""What the log and the journal call those who are no commander."""


def _name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]+", text) is None or len(text) > LONGEST_NAME:
        raise ValueError(f"letters, digits, - and _, at most {LONGEST_NAME}")
    if text in RESERVED_NAMES:
        raise ValueError(f"none of {', '.join(RESERVED_NAMES)}, which the journal uses for others")
    return text


def _path(text: str) -> str:
    path = os.path.expanduser(text)
    if not path or "\0" in path or path.startswith("~"):
        raise ValueError("a path; one that begins with ~ needs a home directory")
    return os.path.abspath(path)


def _next_port(section: Any) -> int:
    """One above the commands' port, where by convention replies go (``protocol.md``)."""
    port: int = section.command_port
    if not 1 <= port < 65535:
        raise ValueError(f"there is no port one above {port}; name one")
    return port + 1


def _journal_path() -> str:
    """Where ``mtmount-journal`` looks, too."""
    try:
        return str(default_path())
    except RuntimeError:
        raise ValueError("a path; there is no home directory for the default") from None


CONNECT_PORT = {"least": 1, "most": 65535}
LISTEN_PORT = {"least": 0, "most": 65535}
NEXT_PORT = {"default_words": "`command_port` + 1"}
COMMANDER_NAME = {"doc": "what the log and the journal call it; no other commander's name", "check": _name}
SOURCE = {"doc": "which of the protocol's rules apply to it"}


@frozen(kw_only=True)
class Controller:
    """Where the mount is; without this section it is the built-in simulator."""

    host: str = field(metadata={"doc": "host where the controller takes commands", "check": usable_host})
    command_port: int = field(metadata={"doc": "port where the controller takes commands", **CONNECT_PORT})
    reply_host: str | None = field(
        default=None,
        metadata={
            "doc": "address to listen on for the controller's replies",
            "check": usable_host,
            "default_words": "this machine's own if the controller is on it, else all addresses",
        },
    )
    reply_port: int = field(
        default=Factory(_next_port, takes_self=True),
        metadata={
            "doc": "port to listen on for the controller's replies; 0: the system chooses",
            **LISTEN_PORT,
            **NEXT_PORT,
        },
    )


@frozen(kw_only=True)
class PairCommander:
    """A commander with a pair of connections, as in the protocol; once for each."""

    name: str = field(metadata=COMMANDER_NAME)
    source: SourceName = field(default="CSC", metadata=SOURCE)
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


@frozen(kw_only=True)
class PortCommanders:
    """A port for any number of clients, each with one connection for both ways; once for each port."""

    name: str = field(metadata=COMMANDER_NAME)
    endpoint: str = field(
        metadata={
            "doc": "where to listen, as a Twisted server endpoint: tcp:, unix:, ssl:; "
            "tcp: without interface= listens on all addresses",
            "check": usable_endpoint,
        }
    )
    source: SourceName = field(default="CSC", metadata=SOURCE)
    role: Literal["observer", "commander"] = field(
        default="observer",
        metadata={"doc": "whether each client only receives, or is a commander of its own"},
    )


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
    path: str = field(
        default=Factory(_journal_path),
        metadata={
            "doc": "its file; a relative path counts from where the daemon was started",
            "check": _path,
            "default_words": "`mtmount-bridge/journal.sqlite` in `$XDG_STATE_HOME` or `~/.local/state`",
        },
    )
    keep_days: float = field(
        default=30.0,
        metadata={"doc": "how old a record may get", "unit": "days", "least": 0.01, "most": 36_500},
    )
    keep_bytes: int = field(
        default=2**30,
        metadata={"doc": "how large the file may get", "unit": "bytes", "least": 2**20, "most": 2**50},
    )


@frozen(kw_only=True)
class Config:
    """All that the bridge was told.

    :param controller: where the mount is, or None for the built-in simulator.
    :param pairs: the commanders with a pair of connections each.
    :param ports: the ports for any number of clients.
    :param command: how commands, and the right to command, are dealt with.
    :param clients: how far a client may be behind.
    :param journal: what is kept of it all, and where.
    """

    controller: Controller | None = field(default=None, metadata={"section": "controller"})
    pairs: tuple[PairCommander, ...] = field(default=(), metadata={"section": "pair"})
    ports: tuple[PortCommanders, ...] = field(default=(), metadata={"section": "port"})
    command: CommandRules = field(factory=CommandRules, metadata={"section": "command"})
    clients: ClientLimits = field(factory=ClientLimits, metadata={"section": "clients"})
    journal: JournalSettings = field(factory=JournalSettings, metadata={"section": "journal"})


def default_config() -> Config:
    """What holds with no file: the built-in simulator, and a CSC on 127.0.0.1, ports 30005 and 30006."""
    return Config(pairs=(PairCommander(name="csc", command_port=30005),))


def load(text: str, where: str = "<config>") -> Config:
    """Read a configuration.

    :param text: the configuration, in TOML.
    :param where: what to call it in an error.
    :raises ConfigError: if it is not TOML, or with all that is wrong with it.
    """
    import tomllib

    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(where, ("not TOML that can be read: nested too deeply",)) from None
    except ValueError as error:  # TOMLDecodeError, or what int() says to a number of 5000 digits
        raise ConfigError(where, (_syntax_problem(text, error),)) from None
    return _config(tables, where)


def load_file(path: str | os.PathLike[str]) -> Config:
    """Read a configuration from a file.

    :raises ConfigError: if it can't be read, is not TOML in UTF-8, or with all that is wrong with it.
    """
    where = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(where, (f"can't be read: {error.strerror}",)) from None
    data = data.removeprefix(b"\xef\xbb\xbf")  # which some editors put before UTF-8
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        problem = f"{_position(before)}: not UTF-8 (byte 0x{data[error.start]:02x})"
        raise ConfigError(where, (problem,)) from None
    return load(text, where)


def check(config: Config, where: str = "<config>") -> Config:
    """Check values that a program made or changed, as if they came from a file.

    :raises ConfigError: with all that is wrong with them.
    """
    return _config(as_tables(config), where)


def _config(tables: Mapping[str, Any], where: str) -> Config:
    """The configuration in a parsed file; every problem is found before any is told."""
    problems: list[str] = []
    entries = read(Config, tables, problems)
    if not tables.get("pair") and not tables.get("port"):
        problems.append("nothing to listen on: expected at least one [[pair]] or [[port]]")
    problems += _same_names(entries)
    problems += clashes([place for entry in entries for place in _places(entry)])
    if problems:
        raise ConfigError(where, tuple(problems))
    config: Config = build(Config, entries)
    return config


def _same_names(entries: list[Entry]) -> Iterator[str]:
    first: dict[str, str] = {}
    for entry in entries:
        name = entry.values.get("name")
        if name is not None and first.setdefault(name, entry.path) != entry.path:
            yield f"{entry.path}.name: {name!r} is the name of {first[name]} already"


def _places(entry: Entry) -> Iterator[Place]:
    values = entry.values
    if "endpoint" in values:
        host, port = parse_endpoint(values["endpoint"])
        yield Place(f"{entry.path}.endpoint", host, port, listens=True)
    for host_key, port_key, listens in _PLACES.get(entry.section, ()):
        if host_key in values and port_key in values:
            host = values[host_key] or replies_by_default(values.get("host", "localhost"))
            yield Place(f"{entry.path}.{port_key}", canonical(host), values[port_key], listens)


_PLACES = {
    "controller": (("host", "command_port", False), ("reply_host", "reply_port", True)),
    "pair": (("listen", "command_port", True), ("reply_host", "reply_port", False)),
}


def _syntax_problem(text: str, error: ValueError) -> str:
    """Where a text stops being TOML, and why."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
    if found is None:
        return f"not TOML: {error}"
    position = f"line {found[2]}, column {found[3]}" if found[2] else _position(text)
    return f"{position}: not TOML: {found[1]}"


def _position(before: str) -> str:
    """Where the character after a text is."""
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
