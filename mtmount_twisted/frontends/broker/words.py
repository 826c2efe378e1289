"""The lines between the daemon and its child process: JSON, one object in a line, with its kind in ``type``.

Values only. Next to read: `supervisor`, the daemon's end; ``station.daemon_link``, the child's end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from mtmount_twisted.frontends.web.http.answers import JsonObject

MAX_LINE = 2**21
"""The longest line from the daemon, in bytes."""

MAX_TELEMETRY = 2**16
"""The largest number of bytes of telemetry in a line; a mount sends 20 KB in a round. A text of quotes has
twice as many bytes in JSON. While the child reads a line, the daemon sends it no other line, not even a
ping."""

MAX_ANSWER = 2**13
"""The longest line from the child, in bytes."""

MAX_ENTRY: int = 2**16
"""The longest event of another bridge in a line from the child, in bytes of JSON."""

MAX_NAMES: int = MAX_ANSWER // 2
"""The most bytes of the kind and the peer of such an event, as JSON: the line has them beside the entry."""

MAX_EVENT_LINE: int = MAX_ENTRY + MAX_ANSWER
"""The longest line with such an event, in bytes."""

WINDOW: int = 2**18
"""The most bytes of events and entries that the daemon has not taken yet; an event of another bridge counts
as `LEAST_EVENT` at least. The child waits for room, and the daemon kills a child that sends more."""

LEAST_EVENT: int = 2**12
"""The least number of bytes that an event of another bridge counts: each takes time on each page."""

EVENT_WINDOW: int = WINDOW // LEAST_EVENT
"""The most events of other bridges that the daemon has not taken yet."""

MAX_PAGE: int = 2**20
"""The most bytes of the entries of a page."""

MAX_TEXT = 1000
"""The longest text of a line for the log, in characters."""

MAX_VALUE: int = 2**12
"""The longest value of the register, in bytes, also as a text in JSON: its answer must be no longer than
`MAX_ANSWER`."""

CONNECTING = "connecting"
"""The problem before the end of the first attempt to connect."""

DATA_FD = 3
"""The number of the child's open file for these lines."""


LONGEST_COMMAND = 4096
"""The longest command of a broker user with its parameters, as JSON, in bytes."""


def moment() -> float:
    """Return the time on a clock that the daemon and the child share, in seconds.

    It goes on while the machine sleeps, so that a request that is older than it seems is not sent.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class StationUser(Struct, frozen=True, kw_only=True):
    """A user that may send requests by the broker.

    :ivar source: the name of its commanding source.
    :ivar expires: the greatest age of one of its requests, in seconds.
    """

    name: str
    source: str
    role: Literal["observer", "command"]
    expires: float


class Begin(Struct, tag="begin", frozen=True, kw_only=True):
    """The first line: the configuration. It goes over the socket pair, which no other user can read.

    :ivar journal: path of the journal's file.
    :ivar dialect: name of the mount's dialect.
    :ivar users: the users of the broker; None if the bridge takes no commands from it.
    :ivar election: True if the bridges of the mount elect the one that commands it.
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
    users: list[StationUser] | None = None
    election: bool = False


class More(Struct, tag="more", frozen=True):
    """The journal's file has every row up to an id."""

    id: int


class Ping(Struct, tag="ping", frozen=True):
    """A question for a sign of life."""

    number: int


class Telemetry(Struct, tag="telemetry", frozen=True):
    """The latest lines of telemetry topics, as the mount sent them.

    They are texts within the JSON, because a line of the mount may have NaN, which JSON lacks, or a line end.
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


class Outcome(Struct, tag="outcome", frozen=True, kw_only=True):
    """The end of a command of a broker user.

    :ivar id: the id of its request.
    :ivar state: as the state of a command in the API: ``done``, ``refused`` ...
    :ivar steps: the steps of the command, each with ``step`` and ``time``.
    """

    user: str
    id: str
    state: str
    explanation: str = ""
    steps: list[dict[str, str]] = []


class Stopped(Struct, tag="stopped", frozen=True, kw_only=True):
    """The last stops that the bridge has accepted, of any commander.

    :ivar read_at: a command that the child read before this time is overtaken (`moment`).
    :ivar stored_at: a command that the broker stored before this time is overtaken, too (`moment`).
    """

    read_at: float
    stored_at: float

    def overtakes(self, read_at: float, stored_at: float) -> bool:
        """Return True if these stops overtake a command with these times, unless it is a stop or an ask."""
        return read_at < self.read_at or stored_at < self.stored_at


NO_STOP: Stopped = Stopped(read_at=float("-inf"), stored_at=float("-inf"))
"""The value before the first stop: it overtakes nothing. It is never sent, because JSON has no infinite
numbers."""


class Question(Struct, tag="question", frozen=True, kw_only=True):
    """A question about the election; the `Answer` has the same number.

    :ivar what: ``get`` reads the register, ``swap`` replaces its value if it has this revision, ``here``
        makes this bridge present, ``leave`` ends that, and ``gone`` asks whether no process is present.
    :ivar value: the new value of the register.
    :ivar revision: the revision that a swap replaces; 0 for a register that was never set.
    """

    number: int
    what: Literal["get", "swap", "here", "leave", "gone"]
    value: str = ""
    revision: int = 0


class Follow(Struct, tag="follow", frozen=True):
    """Read the events of the other bridges, or read them no more.

    :ivar after: the position of the last event that the daemon has; 0 to begin with new events.
    """

    follow: bool
    after: Annotated[int, Meta(ge=0)] = 0


class Took(Struct, tag="took", frozen=True):
    """The daemon has processed some lines about events (`OfStream`)."""

    lines: Annotated[int, Meta(ge=1)]


class Search(Struct, tag="search", frozen=True, kw_only=True):
    """A question for a page of the events of all bridges of the mount; see ``others.StreamQuery``.

    :ivar types: the types, kinds and peers of a ``selection.Selection``.
    :ivar before: the id of an event; empty for none, and so are the other texts.
    """

    number: int
    limit: Annotated[int, Meta(ge=1, le=1000)]
    types: list[str] = []
    kinds: list[str] = []
    peers: list[str] = []
    before: str = ""
    after: str = ""
    since: str = ""
    until: str = ""


class Forget(Struct, tag="forget", frozen=True):
    """The daemon no longer needs a page. The child ends the search, and still sends its `Searched`."""

    number: int


class End(Struct, tag="end", frozen=True):
    """The daemon ends: publish what the journal has, and end."""


class Pong(Struct, tag="pong", frozen=True, kw_only=True):
    """The answer to a `Ping`: the state of the child.

    :ivar problem: the reason why the broker is not connected; empty while it is.
    :ivar published: the number of rows that the broker has confirmed since the start of the child.
    :ivar rows: the number of rows in the journal's file that the broker has not confirmed.
    :ivar seconds: the age of the oldest such row, in seconds; 0 if there is none.
    :ivar telemetry: the number of lines of telemetry that the broker has confirmed since the start.
    :ivar losses: the number of connections that were lost since the start.
    :ivar loss: the reason of the last loss.
    :ivar ignored: the number of requests without an outcome since the start: their subject ends in no word.
    :ivar full: the names of the streams for commands that have no room.
    :ivar malformed: the number of malformed events of other bridges since the start.
    """

    number: int
    connected: bool
    problem: str
    published: int
    rows: int
    seconds: float
    telemetry: int = 0
    losses: int = 0
    loss: str = ""
    ignored: int = 0
    full: list[str] = []
    malformed: int = 0


class Log(Struct, tag="log", frozen=True):
    """A line for the daemon's log.

    :ivar level: a level of `logging`.
    """

    level: Annotated[int, Meta(ge=10, le=50)]
    text: Annotated[str, Meta(max_length=MAX_TEXT)]


class Answer(Struct, tag="answer", frozen=True, kw_only=True):
    """The answer to a `Question`.

    :ivar known: False if the broker did not answer: then nothing is known.
    :ivar value: the value of the register; None if it was never set.
    :ivar revision: the revision of that value, or the new one after a swap; 0 if another bridge was first.
    :ivar gone: True if no process is present.
    """

    number: int
    known: bool
    value: Annotated[str, Meta(max_length=MAX_VALUE)] | None = None
    revision: Annotated[int, Meta(ge=0)] = 0
    gone: bool = False


class Command(Struct, tag="command", frozen=True, kw_only=True):
    """A command of a broker user.

    :ivar id: the id of its request; a second command with the same id is not sent.
    :ivar body: the command as in a request of the API: ``command`` and ``parameters``.
    :ivar read_at: the time when the child read the request (`moment`).
    :ivar stored_at: the time when the broker stored it (`moment`); never later than `read_at`. `Stopped`
        tells the stops that overtake the command.
    :ivar until: the time after which it is too old to be sent (`moment`).
    """

    user: str
    id: str
    body: JsonObject
    read_at: float
    stored_at: float
    until: float


class Recall(Struct, tag="recall", frozen=True):
    """A question about a command that an earlier child has handed over in the same session."""

    user: str
    id: str


class Written(Struct, tag="written", frozen=True):
    """The broker has the outcome of a command: the daemon need not keep it."""

    user: str
    id: str


class Seen(Struct, tag="seen", frozen=True):
    """A broker user is there: one of its requests came, if only an empty one."""

    user: str


class Other(Struct, tag="other", frozen=True, kw_only=True):
    """An event of another bridge.

    :ivar id: its ``shapes.StreamId``.
    :ivar entry_type: ``message``, ``step`` or ``change``.
    :ivar kind: its kind, by which a reader selects.
    :ivar entry: the event in the form of the API, with this id, in ASCII.
    """

    id: str
    entry_type: str
    kind: str
    peer: str
    entry: Raw


class Missing(Struct, tag="missing", frozen=True):
    """The broker does not have some events any more.

    :ivar position: the position behind which the stream goes on.
    """

    position: Annotated[int, Meta(ge=0)]


class Found(Struct, tag="found", frozen=True, kw_only=True):
    """An entry of a page, in the order of the page."""

    number: int
    entry: Raw


class Searched(Struct, tag="searched", frozen=True, kw_only=True):
    """The end of a page.

    :ivar next: the id from which the next page continues; None at the end.
    :ivar status: the status of HTTP if there is no page; 0 if there is one.
    """

    number: int
    next: str | None = None
    status: int = 0
    problem: Annotated[str, Meta(max_length=MAX_TEXT)] = ""


ToChild: TypeAlias = (
    Begin
    | More
    | Ping
    | Telemetry
    | Tenure
    | Stopped
    | Question
    | Outcome
    | Follow
    | Took
    | Search
    | Forget
    | End
)
OfDesk: TypeAlias = Command | Recall | Written | Seen
OfStream: TypeAlias = Other | Missing | Found | Searched
FromChild: TypeAlias = Pong | Log | Answer | OfDesk | OfStream

MOST_NESTED = 100
"""The largest depth of JSON of others that one process passes to the other one. How deep a process can read
depends on its stack."""

_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_SIGNS = re.compile(rb"[\[{\]}]")


def is_deep(data: bytes) -> bool:
    """Return True if JSON is nested deeper than `MOST_NESTED`."""
    if data.count(b"[") + data.count(b"{") <= MOST_NESTED:
        return False
    depth = 0
    for sign in _SIGNS.findall(_TEXT.sub(b"", data)):
        depth += 1 if sign in (b"[", b"{") else -1
        if depth > MOST_NESTED:
            return True
    return False


encode: Callable[[object], bytes] = msgspec.json.encode
"""Return a value as JSON, without the end of the line."""

read_to_child: Callable[[bytes], ToChild] = msgspec.json.Decoder(ToChild).decode
"""Return a line of the daemon as a value. It raises `msgspec.DecodeError`."""

read_from_child: Callable[[bytes], FromChild] = msgspec.json.Decoder(FromChild).decode
"""Return a line of the child as a value. It raises `msgspec.DecodeError`, or `RecursionError`."""
