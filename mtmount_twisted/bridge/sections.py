"""The sections of the bridge's file: each key declared once, as a field of its section's class.

Its type and default are the field's, its meaning, unit and bounds are in the field's metadata, by the
names that `tables.Key` has. ``docs/configuration.rst`` and ``docs/bridge.toml`` say the same to people; a
test compares them.

Next: `config`, which puts them together.
"""

from __future__ import annotations

import os
import re
from typing import Any, Literal

from attrs import Factory, field, frozen

from ..journal.schema import default_path
from .places import usable_endpoint, usable_host

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
