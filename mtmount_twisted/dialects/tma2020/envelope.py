"""Headers of lines as bytes: read and rewritten, without a look at the parameters behind them.

On the controller's side the bridge assigns the sequence ids. It replaces a command's ``sequence_id`` and
``source`` by its own before it sends the command upstream, and restores the commander's in each answer. The
bytes behind the header stay unchanged.

The one parameter that is read is that of ``AskForCommand``, which the bridge itself carries out.
"""

from __future__ import annotations

from typing import NamedTuple

from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.fields import INT, check_str, kind_of, utc_now, write_timestamp

from .codec import read_header_int, read_reply_parts, split_command
from .enums import Commander, ReplyCode
from .framing import MAX_LINE_LENGTH

LONGEST_REST = MAX_LINE_LENGTH - 64
"""Longest allowed rest of a command in bytes. With the header that the bridge writes, the line must still be
within the limit: the controller would close the connection of all clients because of a longer line."""

_LARGEST = 2**63 - 1
_COMMANDER = kind_of(Commander)


class CommandEnvelope(NamedTuple):
    """Header of a command and the bytes behind it, for passing the command on.

    :ivar code_text: the code as received.
    :ivar rest: the timestamp and all fields behind it, as received.
    """

    sequence_id: int
    code: int
    source: int
    code_text: bytes
    rest: bytes

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """Return the command's line with another id and source."""
        return b"%d\n%b\n%d\n%b" % (sequence_id, self.code_text, source, self.rest)


class ReplyEnvelope(NamedTuple):
    """Header of an answer and the bytes behind it, for passing the answer on."""

    code: int
    sequence_id: int
    rest: bytes

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """Return the answer's line with another id and source."""
        return b"%d\n%d\n%d\n%b" % (self.code, sequence_id, source, self.rest)


class EventEnvelope(NamedTuple):
    """An event, which answers no command.

    :ivar line: the event as it came.
    """

    code: int
    line: bytes
    sequence_id: None = None


def read_command(line: bytes) -> CommandEnvelope:
    """Return the envelope of a command.

    :raises LineError: if the line has no header, or one that can't be passed on.
    """
    id_text, code_text, source_text, rest = split_command(line)
    sequence_id = read_header_int(line, "sequence_id", id_text)
    code = read_header_int(line, "command_code", code_text)
    source = read_header_int(line, "source", source_text)
    if not -_LARGEST <= min(sequence_id, code, source) <= max(sequence_id, code, source) <= _LARGEST:
        raise LineError(line, "a number in the header has more than 64 bits")
    if len(rest) > LONGEST_REST or len(code_text) > 20:
        raise LineError(line, f"too long: {len(line)} bytes")
    return CommandEnvelope(sequence_id, code, source, code_text, rest)


def read_to_refuse(line: bytes) -> CommandEnvelope | None:
    """Return the header of a malformed command, as far as a NoAck needs it; None if that is unreadable."""
    fields = line.split(b"\n", 3)
    try:
        sequence_id, source = (_read_int(fields[index]) for index in (0, 2))
    except (IndexError, ValueError):
        return None
    try:
        code = _read_int(fields[1])
    except ValueError:
        code = 0
    return CommandEnvelope(sequence_id, code, source, b"", b"")


def _read_int(text: bytes) -> int:
    number: int = INT.read(text.decode("ascii"))
    if abs(number) > _LARGEST:
        raise ValueError(number)
    return number


def read_wanted(line: bytes) -> Commander:
    """Return the commander that an ``AskForCommand`` names.

    :raises LineError: if the line does not name one.
    """
    fields = line.split(b"\n", 5)
    if len(fields) != 5:
        count = line.count(b"\n") + 1
        raise LineError(line, f"AskForCommand has 5 fields, not {count}", "commander")
    wanted = fields[4].decode("utf-8", "backslashreplace")
    try:
        return Commander(_COMMANDER.read(wanted))
    except ValueError:
        raise LineError(
            line, f"commander: expected {_COMMANDER.expected}, got {wanted[:100]!a}", "commander"
        ) from None


def read_reply(line: bytes) -> ReplyEnvelope | EventEnvelope:
    """Return the header of a reply: a `ReplyEnvelope` if it answers a command, else an `EventEnvelope`.

    :raises LineError: if the line is not a reply.
    """
    code, sequence_id, _, rest = read_reply_parts(line)
    return EventEnvelope(code, line) if sequence_id is None else ReplyEnvelope(code, sequence_id, rest)


def new_answer(code: ReplyCode, *fields: bytes) -> ReplyEnvelope:
    """Return an answer of the bridge's own, with the present time."""
    return ReplyEnvelope(int(code), 0, b"\n".join([write_timestamp(utc_now()).encode(), *fields]))


def new_refusal(explanation: str) -> ReplyEnvelope:
    """Return a NoAck of the bridge's own, as of now.

    :raises ValueError: if a line cannot hold the explanation.
    """
    return new_answer(ReplyCode.NOACK, check_str(explanation).encode())


def ack_timeout(answer: ReplyEnvelope) -> float:
    """Return the time in seconds that an Ack announces; 0 if it is missing or unreadable."""
    fields = answer.rest.split(b"\n", 2)
    try:
        return max(0, _read_int(fields[1])) / 1000
    except (IndexError, ValueError):
        return 0.0
