"""The shape of records in the API, the same for live events and for history. Values only.

A `journal.reading.Entry` is a row of the journal, or a row on its way there. `shape` converts it to the
object that ``docs/reference/web_events.rst`` explains. Next to read: `ring`, `history`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from enum import Enum, IntFlag
from functools import lru_cache
from typing import Annotated, NamedTuple, TypeAlias, cast

from msgspec import Meta, Struct

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.errors import LineError
from mtmount_twisted.frontends.web.http.answers import (
    Count,
    EventId,
    Json,
    JsonObject,
    Schema,
    Shape,
    Time,
    reference,
    schemas_of,
)
from mtmount_twisted.journal.reading import Entry, is_command
from mtmount_twisted.journal.times import iso as iso
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.fields import write_timestamp
from mtmount_twisted.wire.lines import SHOWN_BYTES

MAX_ROW = 2**63 - 1
"""The largest id that SQLite can have."""

_EVENT_ID = re.compile(r"(\d{1,18})\.(\d{1,19})", re.ASCII)
_STREAM_ID = re.compile(r"([A-Za-z0-9_-]{1,32})\.(\d{1,18})\.(\d{1,19})\.(\d{1,18})", re.ASCII)

UNREADABLE = "unreadable"
"""The kind of a message without a readable code."""

KEPT_LINES = 256
"""The largest number of decoded lines that are kept. An event has two rows, one from the controller and one
to everyone. A reader that resumes soon after receives the same lines again. A line that is shown in part is
not kept."""

TYPES = {"message": "message", "step": "step", "event": "change"}
"""The API's type of the rows in each table of the journal."""


def event_id(run: int, row: int) -> str | None:
    """Return the event id of a row, ``RUN.ROWID``; None for a row without an id in the file."""
    return f"{run}.{row}" if row else None


def read_event_id(text: str) -> tuple[int, int]:
    """Return the run and the row that an event id names.

    :raises ValueError: if the id is malformed; the text is for a person.
    """
    found = _EVENT_ID.fullmatch(text)
    if found is None or int(found[2]) > MAX_ROW:
        raise ValueError(f"expected RUN.ROW as events have it, such as 3.206158430215, got {text[:80]!r}")
    return int(found[1]), int(found[2])


class StreamId(NamedTuple):
    """The id of an event in the broker's stream, ``NODE.RUN.ROW.POSITION``.

    :ivar node: the bridge whose event it is.
    :ivar run: the run in the journal of that bridge, and so is `row`.
    :ivar position: its place in the stream. A stream that was lost counts anew: the other members tell.
    """

    node: str
    run: int
    row: int
    position: int

    def __str__(self) -> str:
        return f"{self.node}.{self.run}.{self.row}.{self.position}"


OwnId: TypeAlias = tuple[int, int]
"""The id of an event in the journal of this bridge: the run and the row."""


def read_any_id(text: str) -> OwnId | StreamId:
    """Return the event that an id names, of this bridge or of another one.

    :raises ValueError: if the id is malformed; the text is for a person.
    """
    found = _STREAM_ID.fullmatch(text)
    if found is None or int(found[3]) > MAX_ROW:
        return read_event_id(text)
    return StreamId(found[1], int(found[2]), int(found[3]), int(found[4]))


_PLAIN = frozenset((bool, int, float, str))
"""Types of values that JSON has."""


def json_value(value: object) -> Json:
    """Return a field's value for JSON: an enumeration's member by name, a timestamp as ISO 8601 in UTC.

    A bit mask is its number.
    """
    match value:
        case datetime():
            return f"{write_timestamp(value)}Z"  # as on the wire of tma2020, which can write a leap second
        case Enum():
            return int(value) if isinstance(value, IntFlag) else value.name
        case tuple():
            return [json_value(each) for each in value]
        case Struct():
            return {name: json_value(getattr(value, name)) for name in value.__struct_fields__}
    return cast(Json, value)


def reply_kind(code: int, dialect: Dialect) -> str:
    """Return the name of a reply's code, or ``code 1234``."""
    return dialect.reply_names.get(code) or f"code {code}"


class Row(NamedTuple):
    """An entry with the facts of its header, which is read only once.

    :ivar kind: the name of the code of a message, or of the command of a step; the kind of a change.
    :ivar sequence_id: the sequence id of a message, if the message has one.
    :ivar stream_id: the id of an event of another bridge; None for an event of this one.
    """

    entry: Entry
    kind: str
    sequence_id: int | None = None
    stream_id: StreamId | None = None


def row_of(entry: Entry) -> Row:
    """Return an entry as a row; read the header of a message."""
    if entry.table == "step":
        return Row(entry, entry.dialect.kind_of(entry.code).code_name)
    if entry.table != "message":
        return Row(entry, entry.what)
    try:  # the whole line: the beginning of JSON has no readable header
        header = entry.dialect.read_header(entry.line or b"", is_command(entry))
    except LineError:
        return Row(entry, UNREADABLE)
    return Row(entry, header.kind, header.sequence_id)


def shown_bytes(row: Row) -> int:
    """Return roughly the number of bytes of a row that become JSON."""
    return min(len(row.entry.line or b""), SHOWN_BYTES) + len(row.entry.text)


class Recorded(Shape, frozen=True, kw_only=True):
    """The fields of every entry; the id is null for an entry that is not in the journal's file."""

    id: EventId | None
    time: Time
    type: str
    peer: str
    epoch: Count


class Message(Recorded, frozen=True, kw_only=True):
    """A line that came from a peer or went to one; `kind` and `fields` are those of its dialect."""

    type: Annotated[str, Meta(extra_json_schema={"const": "message"})]
    direction: Annotated[str, Meta(extra_json_schema={"enum": ["from", "to"]})]
    dialect: str
    kind: str
    is_command: bool
    sequence_id: int | None
    fields: JsonObject | None
    text: str
    truncated: bool


class Step(Recorded, frozen=True, kw_only=True):
    """A step in the life of a command."""

    type: Annotated[str, Meta(extra_json_schema={"const": "step"})]
    command: str
    code: int
    key: Count
    sequence_id: int
    step: str
    lease: Count
    explanation: str


class Change(Recorded, frozen=True, kw_only=True):
    """A connection, a lease or a link changed."""

    type: Annotated[str, Meta(extra_json_schema={"const": "change"})]
    kind: str
    detail: str


class Hello(Struct, frozen=True, kw_only=True):
    """The first event of a stream: where it stands."""

    run: int
    last_id: EventId | None
    epoch: Count


class Gone(Struct, frozen=True, kw_only=True):
    """The event for rows that a stream leaves out.

    :ivar rows: the number of rows; None if that is not known.
    :ivar after: the id after which the journal has these rows; None if no id is known.
    :ivar before: the id of the row with which the stream goes on; None if it is not known yet.
    """

    rows: int | None
    after: str | None
    before: str | None
    why: str


def entry_schemas() -> dict[str, Schema]:
    """Return the schemas of each type of entry, and of ``Entry``, any of them."""
    schemas = schemas_of((Message, Step, Change))
    return {**schemas, "Entry": {"oneOf": [reference(name) for name in schemas]}}


def shape(row: Row) -> Message | Step | Change:
    """Return a row in the shape of the API. A row that is not in the file has the id None."""
    return _SHAPES[row.entry.table](row)


def _message(row: Row) -> Message:
    entry, kind, sequence_id, _ = row
    line, command = entry.line or b"", is_command(entry)
    if kind == UNREADABLE:  # a line without a readable header has no fields: it is not read again
        fields, (text, truncated) = None, text_of(line)
    else:
        decode = _decoded if len(line) <= SHOWN_BYTES else _decoded.__wrapped__
        fields, text, truncated = decode(line, command, entry.dialect)
    return Message(
        id=event_id(entry.run, entry.id),
        time=iso(entry.time),
        type="message",
        peer=entry.peer,
        epoch=entry.epoch,
        direction=entry.what,
        dialect=entry.dialect.name,
        kind=kind,
        is_command=command,
        sequence_id=sequence_id,
        fields=fields,
        text=text,
        truncated=truncated,
    )


def _step(row: Row) -> Step:
    entry = row.entry
    return Step(
        id=event_id(entry.run, entry.id),
        time=iso(entry.time),
        type="step",
        peer=entry.peer,
        epoch=entry.epoch,
        command=entry.dialect.kind_of(entry.code).name,
        code=entry.code,
        key=entry.key,
        sequence_id=entry.sequence_id,
        step=entry.what,
        lease=entry.lease,
        explanation=entry.text,
    )


def _change(row: Row) -> Change:
    entry = row.entry
    return Change(
        id=event_id(entry.run, entry.id),
        time=iso(entry.time),
        type="change",
        peer=entry.peer,
        epoch=entry.epoch,
        kind=entry.what,
        detail=entry.text,
    )


_SHAPES: dict[str, Callable[[Row], Message | Step | Change]] = {
    "message": _message,
    "step": _step,
    "event": _change,
}


def text_of(line: bytes) -> tuple[str, bool]:
    r"""Return a line for people, at most `SHOWN_BYTES` characters, and True if the line is longer.

    A line feed becomes ``" | "``; another byte that is not printable ASCII becomes ``\xNN``.
    """
    text = line[:SHOWN_BYTES].decode("ascii", "backslashreplace").replace("\n", " | ")
    text = visible(text)
    return text[:SHOWN_BYTES], len(line) > SHOWN_BYTES or len(text) > SHOWN_BYTES


@lru_cache(maxsize=KEPT_LINES)
def _decoded(line: bytes, command: bool, dialect: Dialect) -> tuple[JsonObject | None, str, bool]:
    """Return the fields of a line, its text, and True if it is longer. Callers must not change the fields."""
    return _fields(line, command, dialect), *text_of(line)


def _fields(line: bytes, command: bool, dialect: Dialect) -> JsonObject | None:
    try:
        message = dialect.decode_to_show(line, command)
    except LineError:
        return None
    fields = dialect.fields_of(message)
    return {name: value if type(value) in _PLAIN else json_value(value) for name, value in fields.items()}
