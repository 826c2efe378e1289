"""The lines between the daemon and its child process: JSON, one object in a line, with its kind in ``type``.

Values only. Next to read: `supervisor`, the daemon's end; ``station.daemon_link``, the child's end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

MAX_LINE = 2**21
"""The longest line from the daemon, in bytes."""

MAX_TELEMETRY = MAX_LINE // 4
"""The most bytes of telemetry in a line: a text of quotes has twice as many bytes in JSON."""

MAX_ANSWER = 2**13
"""The longest line from the child, in bytes."""

MAX_TEXT = 1000
"""The longest text of a line for the log, in characters."""

CONNECTING = "connecting"
"""The problem before the end of the first attempt to connect."""

DATA_FD = 3
"""The number of the child's open file for these lines."""


class Begin(Struct, tag="begin", frozen=True, kw_only=True):
    """The first line: the configuration. It goes over the socket pair, which no other user can read.

    :ivar journal: path of the journal's file.
    :ivar dialect: name of the mount's dialect.
    """

    mount: str
    node: str
    journal: str
    dialect: str
    servers: list[str]
    credentials: str | None
    ca: str | None
    replicas: int
    events: bool
    telemetry: bool
    window: int


class More(Struct, tag="more", frozen=True):
    """The journal's file has every row up to an id."""

    id: int


class Ping(Struct, tag="ping", frozen=True):
    """A question for a sign of life."""

    number: int


class Telemetry(Struct, tag="telemetry", frozen=True):
    """The latest lines of telemetry topics, as the mount sent them.

    They are texts, and no part of the JSON: a line of the mount may have NaN, and a line end within it.
    """

    lines: list[str]


class Tenure(Struct, tag="tenure", frozen=True):
    """The bridge's place in the election: sent at each change, and after each start of the child.

    :ivar epoch: the number of the bridge's tenure, larger than that of every bridge before it; 0 before the
        first one.
    :ivar active: True while this bridge has the lease and the link to the controller.
    """

    epoch: Annotated[int, Meta(ge=0)]
    active: bool


class End(Struct, tag="end", frozen=True):
    """The daemon ends: publish what the journal has, and end."""


class Pong(Struct, tag="pong", frozen=True, kw_only=True):
    """The answer to a `Ping`: the state of the child.

    :ivar problem: the reason why the broker is not connected; empty while it is.
    :ivar published: the number of rows that the broker has confirmed since the start of the child.
    :ivar rows: the number of rows in the journal's file that the broker has not confirmed.
    :ivar seconds: the age of the oldest of them, in seconds; 0 if there is none.
    :ivar telemetry: the number of lines of telemetry that the broker has confirmed since the start.
    """

    number: int
    connected: bool
    problem: str
    published: int
    rows: int
    seconds: float
    telemetry: int = 0


class Log(Struct, tag="log", frozen=True):
    """A line for the daemon's log.

    :ivar level: a level of `logging`.
    """

    level: Annotated[int, Meta(ge=10, le=50)]
    text: Annotated[str, Meta(max_length=MAX_TEXT)]


ToChild: TypeAlias = Begin | More | Ping | Telemetry | Tenure | End
FromChild: TypeAlias = Pong | Log

encode: Callable[[object], bytes] = msgspec.json.encode
"""Return a value as JSON, without the end of the line."""

read_to_child: Callable[[bytes], ToChild] = msgspec.json.Decoder(ToChild).decode
"""Return a line of the daemon as a value. It raises `msgspec.DecodeError`."""

read_from_child: Callable[[bytes], FromChild] = msgspec.json.Decoder(FromChild).decode
"""Return a line of the child as a value. It raises `msgspec.DecodeError`."""
