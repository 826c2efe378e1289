"""Conversion of a line to a message: no Twisted, no I/O.

`decode_command` and `decode_reply` read whole messages, for a reader that uses the library.
`read_command_header` and `read_reply_header` read only the header, for a relay. So a relay can also pass on a
message with an unknown code or unknown parameters.

A line is bytes without its terminator.

Next to read: `framing`, the bytes between the fields; `envelope`, the headers for the bridge.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mtmount_twisted.errors import LineError, MessageError
from mtmount_twisted.wire.fields import INT
from mtmount_twisted.wire.lines import SHOWN_BYTES
from mtmount_twisted.wire.messages import leaves

from . import framing
from .commands import NUM_HEADER_FIELDS, Command, parse_command
from .enums import ReplyCode, Source
from .replies import Answer, DoneReply, NoAckReply, Reply, parse_reply

ANSWER_CODES = frozenset(answer.reply_code for answer in leaves(Answer))
"""The codes of the replies that answer one command; all others are events."""

SHOWN_FIELDS = 100
"""Number of fields of a line that are decoded for display; no known message has more."""

_CONTROL = re.compile("[\\0-\\x1f\\x7f]+")


class CommandHeader(NamedTuple):
    """Header of a command, as a relay needs it."""

    sequence_id: int
    code: int
    source: int


class ReplyHeader(NamedTuple):
    """Header of a reply, as a relay needs it. In an event, `sequence_id` and `source` are None."""

    code: int
    sequence_id: int | None
    source: int | None


def decode_command(line: bytes) -> Command:
    """Return the command in a line.

    :raises LineError: (a `ValueError`) if the line is not a command. The error holds the line.
    """
    try:
        return parse_command(framing.split(line))
    except MessageError as error:
        raise LineError(line, str(error), error.field) from error


def decode_reply(line: bytes) -> Reply:
    """Return the reply in a line.

    :raises LineError: (a `ValueError`) if the line is not a reply. The error holds the line.
    """
    try:
        return parse_reply(framing.split(line))
    except MessageError as error:
        raise LineError(line, str(error), error.field) from error


def start_of(line: bytes) -> bytes:
    """Return the start of a line: at most `SHOWN_FIELDS` fields and `SHOWN_BYTES` bytes."""
    start = line[:SHOWN_BYTES]
    if start.count(b"\n") < SHOWN_FIELDS:
        return start
    return start.rsplit(b"\n", start.count(b"\n") - SHOWN_FIELDS + 1)[0]


def decode_to_show(line: bytes, is_command: bool) -> Command | Reply:
    """Return the command or the reply in a line for display, at a cost that does not grow with the line.

    A reply longer than `start_of` allows is decoded without the rest. A command that long is malformed.

    :raises LineError: if the line is malformed.
    """
    start = start_of(line)
    if not is_command:
        return decode_reply(start)
    if len(start) < len(line):
        raise LineError(start, f"a command has {SHOWN_BYTES} bytes and {SHOWN_FIELDS} fields at most")
    return decode_command(line)


def read_command_header(line: bytes) -> CommandHeader:
    """Return the header of a command; its code and its parameters may be unknown.

    :raises LineError: if the line has no such header.
    """
    sequence_id, code, source, _ = split_command(line)
    return CommandHeader(
        read_header_int(line, "sequence_id", sequence_id),
        read_header_int(line, "command_code", code),
        read_header_int(line, "source", source),
    )


def split_command(line: bytes) -> list[bytes]:
    """Return the sequence id, the code and the source of a command as bytes, and the bytes behind them.

    :raises LineError: if the line has fewer fields.
    """
    fields = line.split(b"\n", NUM_HEADER_FIELDS - 1)
    if len(fields) < NUM_HEADER_FIELDS:
        raise LineError(line, f"a command has at least {NUM_HEADER_FIELDS} fields, not {len(fields)}")
    return fields


def read_reply_header(line: bytes) -> ReplyHeader:
    """Return the header of a reply; its code and its fields may be unknown.

    :raises LineError: if the line has no such header.
    """
    code, sequence_id, source, _ = read_reply_parts(line)
    return ReplyHeader(code, sequence_id, source)


def read_reply_parts(line: bytes) -> tuple[int, int | None, int | None, bytes]:
    """Return the header of a reply, and the bytes behind it, for a relay, which splits each line once.

    :returns: code, sequence id, source, rest; for an event the code, None, None and no bytes.
    :raises LineError: if the line has no such header.
    """
    fields = line.split(b"\n", 3)
    code = read_header_int(line, "reply_code", fields[0])
    if code not in ANSWER_CODES:
        return code, None, None, b""
    if len(fields) < 4:
        raise LineError(line, f"an answer to a command has at least 4 fields, not {len(fields)}")
    _, sequence_id, source, rest = fields
    return (
        code,
        read_header_int(line, "sequence_id", sequence_id),
        read_header_int(line, "source", source),
        rest,
    )


def read_end(line: bytes) -> Answer | None:
    r"""Return the Done or NoAck with the header in a line, even if the rest of the line is malformed.

    The protocol has no escape. An explanation on the wire may still contain characters that the protocol
    forbids, such as a lone ``\r``. The command has ended all the same. The returned reply has the explanation
    of `read_explanation`, and the present time as its timestamp.

    :returns: the reply; None if the line has no such header.
    """
    try:
        header = read_reply_header(line)
        if header.sequence_id is None or header.source is None:
            return None
        source = Source(header.source)
    except (LineError, ValueError):
        return None
    if header.code == ReplyCode.DONE:
        return DoneReply(sequence_id=header.sequence_id, source=source)
    if header.code != ReplyCode.NOACK:
        return None
    explanation = read_explanation(line.split(b"\n", 3)[3])
    return NoAckReply(sequence_id=header.sequence_id, source=source, explanation=explanation)


def read_explanation(rest: bytes) -> str:
    """Return the explanation of a NoAck, made valid for another NoAck: at most `SHOWN_BYTES` bytes.

    :param rest: the line from its timestamp on.
    :returns: text in which spaces replace control characters.
    """
    return _CONTROL.sub(" ", " ".join(framing.split(rest[:SHOWN_BYTES])[1:])).strip()


def read_header_int(line: bytes, field: str, text: bytes) -> int:
    """Return an integer of a header.

    :param field: the name of its field.
    :raises LineError: if the text is no integer.
    """
    try:
        if text.isdigit():  # nearly always: without a sign or spaces
            return int(text)
        return int(INT.read(text.decode("ascii")))
    except ValueError:
        raise LineError(line, f"{field}: expected {INT.expected}, got {text[:100]!r}", field) from None
