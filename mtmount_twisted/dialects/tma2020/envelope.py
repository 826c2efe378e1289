"""Headers of lines as bytes: read and rewritten. Parameters are read only where the bridge needs one.

On the controller's side the bridge assigns the sequence ids. Before it sends a command upstream, it replaces
``sequence_id`` and ``source`` by its own values. In each answer it restores the values of the commander. The
bytes behind the header stay unchanged.

Four parameters are read: the commander in an ``AskForCommand``, which the bridge itself carries out, the
time-out of an Ack, the explanation of a NoAck, and the subject of an event.

Values only: no Twisted, no I/O. Next to read: `codec`, which splits the lines; ``bridge.dispatcher`` and
``bridge.registry``, which rewrite the headers of commands and of replies.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from msgspec import Struct

from mtmount_twisted.dialects.dialect import CommandKind, EventEnvelope, Meaning, Subject
from mtmount_twisted.dialects.text_header import CommandEnvelope as CommandEnvelope
from mtmount_twisted.dialects.text_header import header_to_refuse, other_generation
from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.fields import BOOL, INT, check_str, kind_of, utc_now, write_timestamp
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH, SHOWN_BYTES

from .codec import read_explanation, read_header_int, read_reply_parts, split_command
from .commands import STOP_CODES, AckOnlyCommandCodes, CommandDict
from .enums import CommandCode, Commander, ReplyCode

LONGEST_REST = MAX_LINE_LENGTH - 64
"""Longest allowed rest of a command in bytes. The line with the bridge's own header must not exceed the
limit. Otherwise the controller would close the link, which all clients share."""

LONGEST_EXPLANATION = MAX_LINE_LENGTH - 128
"""The longest explanation after a replacement, in bytes; a longer one stays as the mount sent it."""

LONGEST_NUMBER = 1000
"""The longest text of the commander in an ``AskForCommand``, in characters. A longer text is refused without
being parsed."""

MOST_FIELDS = 6
"""The number of fields that `subject_of` splits off: a hostile line may consist of separators only."""

_LARGEST = 2**63 - 1
_COMMANDER = kind_of(Commander)
_MEANINGS = {
    int(ReplyCode.ACK): Meaning.ACKNOWLEDGED,
    int(ReplyCode.NOACK): Meaning.REJECTED,
    int(ReplyCode.DONE): Meaning.SUCCEEDED,
}


def _kind(code: CommandCode) -> CommandKind:
    command = CommandDict.get(code)
    return CommandKind(
        code=int(code),
        name=code.name if command is None else command.__name__,
        code_name=code.name,
        is_stop=code in STOP_CODES,
        is_ask=code == CommandCode.ASK_FOR_COMMAND,
        ack_only=code in AckOnlyCommandCodes,
        needs_command=command is None or command.needs_command,
    )


_KINDS = {int(code): _kind(code) for code in CommandCode}


def kind_of_command(code: int) -> CommandKind:
    """Return the facts about a command that follow from its code; the code may be unknown."""
    return _KINDS.get(code) or CommandKind(code, f"code {code}", f"code {code}", is_known=False)


class ReplyEnvelope(Struct, frozen=True, gc=False):
    """Header of an answer and the bytes behind it; see `dialect.ReplyEnvelope`.

    :ivar rest: the timestamp and all fields behind it, as received.
    """

    code: int
    sequence_id: int
    rest: bytes

    @property
    def masked(self) -> None:
        """None: this protocol has no passwords."""

    @property
    def meaning(self) -> Meaning:
        """The meaning of the answer. A NoAck is `REJECTED`, also after an Ack, where it reports a failure."""
        return _MEANINGS[self.code]

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """Return the answer's line with another id and source."""
        return b"%d\n%d\n%d\n%b" % (self.code, sequence_id, source, self.rest)

    @property
    def timeout(self) -> float:
        """The time in seconds that an Ack announces; 0 if it is missing or unreadable."""
        fields = self.rest.split(b"\n", 2)
        try:
            return max(0, _read_int(fields[1])) / 1000
        except (IndexError, ValueError):
            return 0.0

    @property
    def explanation(self) -> str:
        """The explanation of a NoAck, as `codec.read_explanation` returns it."""
        return read_explanation(self.rest) if self.code == ReplyCode.NOACK else ""

    def explained(self, name: Callable[[bytes], bytes]) -> ReplyEnvelope:
        """Return the answer with `name` applied to its explanation.

        The answer stays unchanged in two cases: its explanation is longer than `SHOWN_BYTES`, or the new
        explanation would be longer than `LONGEST_EXPLANATION`.
        """
        timestamp, separator, explanation = self.rest.partition(b"\n")
        if self.code != ReplyCode.NOACK or len(explanation) > SHOWN_BYTES:
            return self
        named = name(explanation)
        if named == explanation or len(named) > LONGEST_EXPLANATION:
            return self
        return ReplyEnvelope(self.code, self.sequence_id, timestamp + separator + named)

    @property
    def superseding_id(self) -> int:
        """Return 0: tma2020 has no id of the superseding command."""
        return 0

    def superseded_by(self, sequence_id: int, source: int) -> ReplyEnvelope:
        """Return the answer unchanged; see `superseding_id`."""
        return self


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
    # Code 31 turns the power on or off in tma2022, and is a track target here (protocol-tma2022.rst, "Field
    # types in commands"). Therefore a line of tma2022 must not pass.
    if rest[4:5] != b"-" and _is_float(rest.split(b"\n", 1)[0]):
        raise other_generation(line, "tma2022")
    return CommandEnvelope(sequence_id, code, source, kind_of_command(code), code_text, rest)


def _is_float(text: bytes) -> bool:
    """Return True for a timestamp of tma2022."""
    try:
        float(text[:40])
    except ValueError:
        return False
    return True


def read_to_refuse(line: bytes) -> CommandEnvelope | None:
    """See `header_to_refuse`."""
    return header_to_refuse(line.split(b"\n", 3), _read_int, kind_of_command)


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
    wanted = fields[4][: LONGEST_NUMBER + 1].decode("utf-8", "backslashreplace")
    try:
        if len(wanted) > LONGEST_NUMBER:
            raise ValueError(wanted)
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


def new_acknowledgement(timeout: float) -> ReplyEnvelope:
    """Return an Ack of the bridge's own, as of now.

    :param timeout: the time until the end (s).
    """
    return new_answer(ReplyCode.ACK, b"%d" % round(timeout * 1000))


def new_end() -> ReplyEnvelope:
    """Return a Done of the bridge's own, as of now."""
    return new_answer(ReplyCode.DONE)


def subject_of(event: EventEnvelope) -> Subject | None:
    """Return the part of the mount that an event is about; None if the event is unknown or malformed.

    An error is present while it is active or latched; a latched error lasts until its reset.
    """
    if event.code not in _SUBJECTS:
        return None
    least, read = _SUBJECTS[event.code]
    fields = event.line.split(b"\n", MOST_FIELDS)
    if len(fields) < least:
        return None
    try:
        return read(fields)
    except ValueError:
        return None


def commander_in(event: EventEnvelope) -> None:
    """Return None: no event names the commander that has command."""


def _bool(text: bytes) -> bool:
    return bool(BOOL.read(text.decode("ascii")))


def _state(_: list[bytes]) -> Subject:
    return Subject("state", True)


def _in_position(fields: list[bytes]) -> Subject:
    _bool(fields[3])
    return Subject(int(INT.read(fields[2].decode("ascii"))), True)


def _warning(fields: list[bytes]) -> Subject:
    return Subject(_alarm(fields[2], fields[3]), _bool(fields[1]), is_alarm=True)


def _error(fields: list[bytes]) -> Subject:
    latched, active = _bool(fields[1]), _bool(fields[2])
    return Subject(_alarm(fields[3], fields[4]), latched or active, is_alarm=True)


def _alarm(code: bytes, subsystem: bytes) -> Hashable:
    return int(INT.read(code.decode("ascii"))), subsystem


_SUBJECTS: dict[int, tuple[int, Callable[[list[bytes]], Subject]]] = {
    ReplyCode.ON_STATE_INFO: (3, _state),
    ReplyCode.IN_POSITION: (4, _in_position),
    ReplyCode.WARNING: (5, _warning),
    ReplyCode.ERROR: (6, _error),
}
"""For each event about a part of the mount: the least number of fields, and the function that reads them."""
