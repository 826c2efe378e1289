"""Headers as bytes: read, and rewritten, without a look at the parameters behind them.

The bridge owns the sequence ids on the controller's side. On the way down a command's
``sequence_id`` and ``source`` are replaced by the bridge's own; on the way up the answer's are
replaced by the commander's. What comes behind is passed on byte for byte.

One parameter is read, that of ``AskForCommand``, which the bridge itself carries out.
"""

from __future__ import annotations

from typing import NamedTuple

from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.fields import INT, kind_of, utc_now, write_timestamp

from .codec import read_command_header, read_reply_header
from .enums import Commander, ReplyCode
from .framing import MAX_LINE_LENGTH

LONGEST_REST = MAX_LINE_LENGTH - 64
"""How long the rest of a command may be: the header that the bridge writes must fit in the line too,
or one client's command would cost all of them the connection to the controller."""

_LARGEST = 2**63 - 1
_COMMANDER = kind_of(Commander)


class CommandEnvelope(NamedTuple):
    """A command's header, and how to pass the command on.

    :ivar code_text: the code as it stands on the wire.
    :ivar rest: the timestamp and all behind it, as it stands on the wire.
    """

    sequence_id: int
    code: int
    source: int
    code_text: bytes
    rest: bytes

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """The command's line under another id and source."""
        return b"%d\n%b\n%d\n%b" % (sequence_id, self.code_text, source, self.rest)


class ReplyEnvelope(NamedTuple):
    """An answer's header, and how to pass the answer on."""

    code: int
    sequence_id: int
    rest: bytes

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """The answer's line under another id and source."""
        return b"%d\n%d\n%d\n%b" % (self.code, sequence_id, source, self.rest)


def read_command(line: bytes) -> CommandEnvelope:
    """The header of a command.

    :raises LineError: if the line has none that can be passed on.
    """
    header = read_command_header(line)
    _, code_text, _, rest = line.split(b"\n", 3)
    if not -_LARGEST <= min(header) <= max(header) <= _LARGEST:
        raise LineError(line, "a number in the header has more than 64 bits")
    if len(rest) > LONGEST_REST or len(code_text) > 20:
        raise LineError(line, f"too long: {len(line)} bytes")
    return CommandEnvelope(*header, code_text, rest)


def read_to_refuse(line: bytes) -> CommandEnvelope | None:
    """As much of the header of a malformed command as a NoAck to it needs, or None if that can't be read."""
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
    """Who an ``AskForCommand`` says shall have command.

    :raises LineError: if it does not say.
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


def read_answer(line: bytes) -> ReplyEnvelope | None:
    """The header of a reply that answers a command; None for an event.

    :raises LineError: if the line is no reply.
    """
    header = read_reply_header(line)
    if header.sequence_id is None:
        return None
    return ReplyEnvelope(header.code, header.sequence_id, line.split(b"\n", 3)[3])


def new_answer(code: ReplyCode, *fields: bytes) -> ReplyEnvelope:
    """An answer of the bridge's own, as of now."""
    return ReplyEnvelope(int(code), 0, b"\n".join([write_timestamp(utc_now()).encode(), *fields]))


def ack_timeout(answer: ReplyEnvelope) -> float:
    """The time in seconds that an Ack announces; 0 if it names none that can be read."""
    fields = answer.rest.split(b"\n", 2)
    try:
        return max(0, _read_int(fields[1])) / 1000
    except (IndexError, ValueError):
        return 0.0
