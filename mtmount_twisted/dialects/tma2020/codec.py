"""Line <-> message: no Twisted, no I/O.

`decode_command` and `decode_reply` read whole messages, for a library reader.
`read_command_header` and `read_reply_header` read only as much as a relay needs, so that a
message whose parameters or code we do not know can still be told apart and passed on.

A line is bytes without its terminator.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mtmount_twisted.errors import LineError, MessageError
from mtmount_twisted.wire.fields import INT, check_str, utc_now, write_timestamp
from mtmount_twisted.wire.messages import leaves

from . import framing
from .commands import NUM_HEADER_FIELDS, Command, parse_command
from .enums import ReplyCode, Source
from .replies import Answer, DoneReply, NoAckReply, Reply, parse_reply

ANSWER_CODES = frozenset(answer.reply_code for answer in leaves(Answer))
"""The codes of the replies that answer one command; all others are events."""

SHOWN_FIELDS = 100
"""How many fields of a line are decoded to be shown: no known message has more."""

_CONTROL = re.compile("[\\0-\\x1f\\x7f]+")


class CommandHeader(NamedTuple):
    """What a relay knows of a command."""

    sequence_id: int
    code: int
    source: int


class ReplyHeader(NamedTuple):
    """What a relay knows of a reply; an event answers no command and has None twice."""

    code: int
    sequence_id: int | None
    source: int | None


def decode_command(line: bytes) -> Command:
    """The command that a line is.

    :raises LineError: (a `ValueError`) if it is none; it holds the line.
    """
    try:
        return parse_command(framing.split(line))
    except MessageError as error:
        raise LineError(line, str(error), error.field) from error


def decode_reply(line: bytes) -> Reply:
    """The reply that a line is.

    :raises LineError: (a `ValueError`) if it is none; it holds the line.
    """
    try:
        return parse_reply(framing.split(line))
    except MessageError as error:
        raise LineError(line, str(error), error.field) from error


def start_of(line: bytes) -> bytes:
    """As much of a line as is decoded to be shown: `SHOWN_FIELDS` at most, in `framing.SHOWN_BYTES`."""
    start = line[: framing.SHOWN_BYTES]
    if start.count(b"\n") < SHOWN_FIELDS:
        return start
    return start.rsplit(b"\n", start.count(b"\n") - SHOWN_FIELDS + 1)[0]


def decode_to_show(line: bytes, is_command: bool) -> Command | Reply:
    """The command or the reply that a line is, at a cost that does not grow with the line.

    Of a reply that is longer than is shown, what is behind is left out; a command as long is none.

    :raises LineError: if it is none.
    """
    start = start_of(line)
    if not is_command:
        return decode_reply(start)
    if len(start) < len(line):
        raise LineError(start, f"a command has {framing.SHOWN_BYTES} bytes and {SHOWN_FIELDS} fields at most")
    return decode_command(line)


def read_command_header(line: bytes) -> CommandHeader:
    """The header of a command, whatever its code and parameters.

    :raises LineError: if the line has no such header.
    """
    fields = line.split(b"\n", NUM_HEADER_FIELDS)
    if len(fields) < NUM_HEADER_FIELDS:
        raise LineError(line, f"a command has at least {NUM_HEADER_FIELDS} fields, not {len(fields)}")
    return CommandHeader(
        _read_int(line, "sequence_id", fields[0]),
        _read_int(line, "command_code", fields[1]),
        _read_int(line, "source", fields[2]),
    )


def read_reply_header(line: bytes) -> ReplyHeader:
    """The header of a reply, whatever its code and fields.

    :raises LineError: if the line has no such header.
    """
    fields = line.split(b"\n", 3)
    code = _read_int(line, "reply_code", fields[0])
    if code not in ANSWER_CODES:
        return ReplyHeader(code, None, None)
    if len(fields) < 4:
        raise LineError(line, f"an answer to a command has at least 4 fields, not {len(fields)}")
    return ReplyHeader(code, _read_int(line, "sequence_id", fields[1]), _read_int(line, "source", fields[2]))


def read_end(line: bytes) -> Answer | None:
    r"""The Done or NoAck that a line is by its header, though what is behind the header can't be read.

    The protocol has no escape, so an explanation may hold what no message may, such as a lone ``\r``; the
    command has ended all the same. Its explanation is as `read_explanation` reads it, and the time is now.

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
    """Return the explanation of a NoAck as text that another NoAck can hold; no more than is shown.

    :param rest: the line from its timestamp on.
    :returns: control characters have become spaces.
    """
    return _CONTROL.sub(" ", " ".join(framing.split(rest[: framing.SHOWN_BYTES])[1:])).strip()


def refusal(header: CommandHeader, explanation: str) -> bytes:
    """The line of a NoAck to a command of which only the header is known."""
    fields = [str(int(ReplyCode.NOACK)), str(header.sequence_id), str(header.source)]
    line = framing.join([*fields, write_timestamp(utc_now()), check_str(explanation)])
    return line.removesuffix(framing.TERMINATOR)


def _read_int(line: bytes, field: str, text: bytes) -> int:
    try:
        return int(INT.read(text.decode("ascii")))
    except ValueError:
        raise LineError(line, f"{field}: expected {INT.expected}, got {text[:100]!r}", field) from None
