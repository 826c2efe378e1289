"""What is recorded, as JSON: one shape for live events and for history. Values only.

A row of the journal, or one that is on its way there, is a `journal.reading.Entry`; `shape` makes the
JSON object of it that ``docs/reference/web_events.rst`` explains. Next to read: `ring`, `history`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mtmount_twisted.dialects.tma2020.codec import decode_to_show, read_command_header, read_reply_header
from mtmount_twisted.dialects.tma2020.commands import CommandDict
from mtmount_twisted.dialects.tma2020.enums import CommandCode, ReplyCode
from mtmount_twisted.dialects.tma2020.framing import SHOWN_BYTES
from mtmount_twisted.errors import LineError
from mtmount_twisted.journal.reading import Entry, is_command
from mtmount_twisted.journal.times import iso as iso
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.fields import Kind
from mtmount_twisted.wire.messages import BaseMessage

MAX_ROW = 2**63 - 1
"""The largest id that SQLite can have."""

_EVENT_ID = re.compile(r"(\d{1,18})\.(\d{1,19})", re.ASCII)

UNREADABLE = "unreadable"
"""The kind of a message that has not even a code."""

TYPES = {"message": "message", "step": "step", "event": "change"}
"""What a table of the journal holds, as the API calls it."""

_COMMANDS: dict[int, str] = {int(code): code.name for code in CommandCode}
_REPLIES: dict[int, str] = {int(code): code.name for code in ReplyCode}
_CLASSES: dict[int, str] = _COMMANDS | {int(code): cls.__name__ for code, cls in CommandDict.items()}


def event_id(run: int, row: int) -> str | None:
    """What a row is called: ``RUN.ROWID``; None for one that has no id in the file."""
    return f"{run}.{row}" if row else None


def read_event_id(text: str) -> tuple[int, int]:
    """The run and the row that an event id names.

    :raises ValueError: if it is none, in words for a person.
    """
    found = _EVENT_ID.fullmatch(text)
    if found is None or int(found[2]) > MAX_ROW:
        raise ValueError(f"expected RUN.ROW as events have it, such as 3.206158430215, got {text[:80]!r}")
    return int(found[1]), int(found[2])


_WRITERS: dict[str, Callable[[Kind, Any], Any]] = {
    "enum": lambda kind, value: value.name,
    "timestamp": lambda kind, value: f"{kind.write(value)}Z",  # as on the wire, where a leap second is one
}


def json_value(kind: Kind, value: Any) -> Any:
    """A field's value as JSON has it: an enumeration's member by name, a timestamp as ISO 8601 in UTC."""
    write = _WRITERS.get(kind.name)
    return value if write is None else write(kind, value)


def command_name(code: int) -> str:
    """A command's code as its class is called, else by its name, else ``code 1234``."""
    return _CLASSES.get(code) or f"code {code}"


def command_kind(code: int) -> str:
    """The name of a command's code, or ``code 1234``."""
    return _COMMANDS.get(code) or f"code {code}"


def header_of(entry: Entry) -> tuple[str, int | None]:
    """What kind of message a message is, such as ``ACK``, and its sequence id if it has one."""
    line = (entry.line or b"")[:SHOWN_BYTES]
    try:
        if is_command(entry):
            command = read_command_header(line)
            return command_kind(command.code), command.sequence_id
        reply = read_reply_header(line)
    except LineError:
        return UNREADABLE, None
    return _REPLIES.get(reply.code) or f"code {reply.code}", reply.sequence_id


def shown_bytes(entry: Entry) -> int:
    """Return roughly how many bytes of a row become JSON, which is the cost of its conversion."""
    return min(len(entry.line or b""), SHOWN_BYTES) + len(entry.text)


def shape(entry: Entry) -> dict[str, Any]:
    """The JSON object of a row; an id of 0 is one that is not in the file."""
    common = {
        "id": event_id(entry.run, entry.id),
        "time": iso(entry.time),
        "type": TYPES[entry.table],
        "peer": entry.peer,
        "epoch": entry.epoch,
    }
    return common | _SHAPES[entry.table](entry)


def _message(entry: Entry) -> dict[str, Any]:
    line = entry.line or b""
    kind, sequence_id = header_of(entry)
    text, truncated = text_of(line)
    command = is_command(entry)
    return {
        "direction": entry.what,
        "kind": kind,
        "is_command": command,
        "sequence_id": sequence_id,
        "fields": _fields(line, command),
        "text": text,
        "truncated": truncated,
    }


def _step(entry: Entry) -> dict[str, Any]:
    return {
        "command": command_name(entry.code),
        "code": entry.code,
        "key": entry.key,
        "sequence_id": entry.sequence_id,
        "step": entry.what,
        "lease": entry.lease,
        "explanation": entry.text,
    }


def _change(entry: Entry) -> dict[str, Any]:
    return {"kind": entry.what, "detail": entry.text}


_SHAPES = {"message": _message, "step": _step, "event": _change}


def text_of(line: bytes) -> tuple[str, bool]:
    r"""A line for people, at most `SHOWN_BYTES` characters, and whether there was more.

    Fields are joined with ``" | "``; what is not printable ASCII becomes ``\xNN``.
    """
    text = line[:SHOWN_BYTES].decode("ascii", "backslashreplace").replace("\n", " | ")
    text = visible(text)
    return text[:SHOWN_BYTES], len(line) > SHOWN_BYTES or len(text) > SHOWN_BYTES


def _fields(line: bytes, command: bool) -> dict[str, Any] | None:
    try:
        message: BaseMessage = decode_to_show(line, command)
    except LineError:
        return None
    cls = type(message)
    fields = {
        info.name: json_value(info.kind, getattr(message, info.name))
        for info in cls.field_infos
        if not info.constant
    }
    if cls.has_extra_data:
        fields["extra_data"] = list(message.extra_data)
    return fields
