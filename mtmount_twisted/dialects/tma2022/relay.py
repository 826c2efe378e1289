"""Lines that pass through the bridge: their headers as `dialect.CommandEnvelope` and `dialect.ReplyEnvelope`.

In a reply only the four numbers of its header change: ``sequenceId``, ``commander``, and in a superseded
command ``supersedingSequenceId`` and ``supersedingCommander``. A line that contains a password is masked
before anything else can see it. `envelope` has the functions for the bytes.

Values only: no Twisted, no I/O. Next to read: `envelope`; ``bridge.dispatcher`` and ``bridge.registry``,
which rewrite the headers of commands and of replies.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from mtmount_twisted.dialects.dialect import CommandKind, EventEnvelope, Meaning, Recall, Subject
from mtmount_twisted.dialects.sources import Commander
from mtmount_twisted.dialects.text_header import CommandEnvelope as CommandEnvelope
from mtmount_twisted.dialects.text_header import header_to_refuse, other_generation
from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH, SHOWN_BYTES
from mtmount_twisted.wire.messages import CommandMessage

from . import envelope, json_lines
from .codec import decode_reply
from .commands import (
    ACK_ONLY_CODES,
    FREE_CODES,
    NUM_HEADER_FIELDS,
    STOP_CODES,
    AskForCommand,
    CommandDict,
    Heartbeat,
)
from .enums import CommandCode, ReplyId, Source, System
from .envelope import mask_password, rewrite_reply
from .framing import TERMINATOR
from .replies import (
    ANSWER_IDS,
    CmdAcknowledgedReply,
    CmdRejectedReply,
    CmdSucceededReply,
    CommanderReply,
    Reply,
    UnknownReply,
    actual_commander,
    classify,
)
from .sending import tai_now

LONGEST_REST = MAX_LINE_LENGTH - 64
"""Longest allowed rest of a command in bytes. With the header that the bridge writes, the line must still be
within the limit: the controller closes the connection because of a longer line (protocol-tma2022.rst,
"Framing")."""

LONGEST_EXPLAINED = MAX_LINE_LENGTH - 64
"""The longest line after a replacement in its explanation, in bytes, so that it has room for the receiver's
numbers. If the line would be longer, it stays as the mount sent it."""

_LARGEST = 2**63 - 1
_SPACE = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"
"""The white space of ASCII that the mount strips from a line."""
_CONTROL = re.compile("[\\0-\\x1f\\x7f\\u2028\\u2029\\x85]+")


_RECALLS = {CommandCode.STATE_INFO: Recall.STATE, CommandCode.GET_ACTUAL_SETTINGS: Recall.SETTINGS}
_CHANGE_SETTINGS = frozenset((CommandCode.APPLY_SETTINGS_SET, CommandCode.RESTORE_DEFAULT_SETTINGS))


def _kind(code: CommandCode) -> CommandKind:
    command = CommandDict.get(code)
    return CommandKind(
        code=int(code),
        name=code.name if command is None else command.__name__,
        code_name=code.name,
        is_stop=code in STOP_CODES,
        is_ask=code == AskForCommand.command_code,
        is_heartbeat=code == Heartbeat.command_code,
        ack_only=code in ACK_ONLY_CODES,
        needs_command=code not in FREE_CODES,
        recalls=_RECALLS.get(code),
        changes=Recall.SETTINGS if code in _CHANGE_SETTINGS else None,
    )


_KINDS = {int(code): _kind(code) for code in CommandCode}


def kind_of_command(code: int) -> CommandKind:
    """Return the facts about a command that follow from its code; the code may be unknown."""
    return _KINDS.get(code) or CommandKind(code, f"code {code}", f"code {code}", is_known=False)


def read_command(line: bytes) -> CommandEnvelope:
    """Return the envelope of a command.

    :raises LineError: if the line has no header, or one that can't be passed on.
    """
    if not line.isascii():
        json_lines.require_utf8(line)
    # The mount strips the line before it counts the fields (protocol-tma2022.rst, "Field types in commands").
    fields = line.lstrip(_SPACE).split(b"\n", NUM_HEADER_FIELDS - 1)
    if len(fields) < NUM_HEADER_FIELDS or not fields[3].strip(_SPACE):
        count = len(line.strip(_SPACE).split(b"\n"))
        raise LineError(line, f"a command has at least {NUM_HEADER_FIELDS} fields, not {count}")
    id_text, code_text, source_text, rest = fields
    sequence_id = _read_header_int(line, "sequence_id", id_text)
    code = _read_header_int(line, "command_code", code_text)
    source = _read_header_int(line, "source", source_text)
    if len(rest) > LONGEST_REST or len(code_text) > 20:
        raise LineError(line, f"too long: {len(line)} bytes")
    # Command 31 is a track target in tma2020, and turns the power on or off here (protocol-tma2022.rst,
    # "Field types in commands"): a line of tma2020 must not pass.
    if rest[10:11] == b"T":
        raise other_generation(line, "tma2020")
    return CommandEnvelope(sequence_id, code, source, kind_of_command(code), code_text, rest)


def envelope_of(command: CommandMessage) -> CommandEnvelope:
    """Return the envelope of a command, as `read_command` returns it for the command's line.

    :raises LineError: if the line is too long to be passed on.
    """
    line = command.encode().removesuffix(TERMINATOR)
    _, code_text, _, rest = line.split(b"\n", NUM_HEADER_FIELDS - 1)
    if len(rest) > LONGEST_REST:
        raise LineError(line, f"too long: {len(line)} bytes")
    code = int(command.command_code)
    kind = kind_of_command(code)
    return CommandEnvelope(command.sequence_id, code, int(command.source), kind, code_text, rest)


def read_to_refuse(line: bytes) -> CommandEnvelope | None:
    """See `header_to_refuse`."""
    return header_to_refuse(
        line.lstrip(_SPACE).split(b"\n", NUM_HEADER_FIELDS - 1), _read_int, kind_of_command
    )


def _read_header_int(line: bytes, field: str, text: bytes) -> int:
    try:
        return _read_int(text)
    except ValueError:
        raise LineError(line, f"{field}: expected an integer of 64 bits, got {text[:100]!r}", field) from None


def _read_int(text: bytes) -> int:
    number = int(text) if text.isdigit() else int(text.decode())
    if not -_LARGEST <= number <= _LARGEST:
        raise ValueError(number)
    return number


def read_wanted(line: bytes) -> Commander:
    """Return the commander that an ``AskForCommand`` names.

    :raises LineError: if the line does not name one.
    """
    fields = line.strip(_SPACE).split(b"\n")
    if len(fields) != NUM_HEADER_FIELDS + 1:
        raise LineError(line, f"AskForCommand has 5 fields, not {len(fields)}", "commander")
    try:
        return Commander(_read_int(fields[-1]))
    except ValueError:
        expected = ", ".join(f"{int(member)} {member.name}" for member in Commander)
        reason = f"commander: expected a Commander ({expected}), got {fields[-1][:100]!r}"
        raise LineError(line, reason, "commander") from None


class ReplyEnvelope(Struct, frozen=True, gc=False):
    """Header of a reply to a command, and its line; see `dialect.ReplyEnvelope`.

    :ivar line: the line as received; with a ``*`` for each character of a password.
    :ivar reason: the explanation as received.
    :ivar timestamp: the mount's timestamp as received (s).
    :ivar superseded_by_code: the code of the command that took over; 0 if it is not known.
    :ivar own_superseding: the id and the source of the superseding command, as the receiver knows them.
    """

    code: int
    sequence_id: int
    line: bytes
    timeout: float | None = None
    reason: str = ""
    superseding_id: int = 0
    superseded_by_code: int = 0
    own_superseding: tuple[int, int] = (0, 0)
    masked: bytes | None = None
    timestamp: float = 0.0

    @property
    def meaning(self) -> Meaning:
        """The meaning of the reply for its command."""
        return classify(self.code)

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """Return the reply's line to another commander."""
        line = self.line
        if self.code == ReplyId.CMD_SUPERSEDED:
            numbers = (sequence_id, source, *self.own_superseding)
            return rewrite_reply(line, **dict(zip(_HEADER_NAMES, numbers)))
        # A line is simple if it has no escapes, if the reply and its parameters have the only braces, and if
        # the parameters are the last member. Then each name behind the second brace, with a colon behind it,
        # is a parameter.
        if (
            line.count(b"{") != 2
            or b"\\" in line
            or line[-2:] != b"}}"
            or line.count(b'"sequenceId"') != 1
            or line.count(b'"commander"') > 1
        ):
            return rewrite_reply(line, sequence_id=sequence_id, commander=source)
        begin = line.rindex(b"{")
        found, to = _SEQUENCE_ID.search(line, begin), _COMMANDER.search(line, begin)
        if found is None:
            return rewrite_reply(line, sequence_id=sequence_id, commander=source)
        start, end = found.span(1)
        if to is None:
            return b"%b%d%b" % (line[:start], sequence_id, line[end:])
        to_start, to_end = to.span(1)
        if to_start < start:
            return b"%b%d%b%d%b" % (line[:to_start], source, line[to_end:start], sequence_id, line[end:])
        return b"%b%d%b%d%b" % (line[:start], sequence_id, line[end:to_start], source, line[to_end:])

    @property
    def explanation(self) -> str:
        """The reason of a refusal or failure, or the superseding command, on one line of printable text."""
        if self.code == ReplyId.CMD_SUPERSEDED:
            by = self.superseded_by_code
            return f"superseded by {kind_of_command(by).name}" if by else "superseded"
        return _CONTROL.sub(" ", self.reason[:SHOWN_BYTES]).strip()

    def explained(self, name: Callable[[bytes], bytes]) -> ReplyEnvelope:
        """Return the reply with `name` applied to its explanation.

        The reply stays unchanged in two cases: its explanation is longer than `SHOWN_BYTES`, whose rest is
        not searched, or the new line would exceed `LONGEST_EXPLAINED`.
        """
        explanation = self.reason.encode()
        if not explanation or len(explanation) > SHOWN_BYTES:
            return self
        named = name(explanation)
        span = envelope.span_of(self.line, "explanation")
        if named == explanation or span is None:
            return self
        start, end = span
        reason = named.decode()
        text = json.dumps(reason, ensure_ascii=self.line.isascii()).encode()
        line = b"%b%b%b" % (self.line[:start], text, self.line[end:])
        if len(line) > LONGEST_EXPLAINED:
            return self
        return msgspec.structs.replace(self, line=line, reason=reason)

    def superseded_by(self, sequence_id: int, source: int) -> ReplyEnvelope:
        """Return the reply with the id and the source of the superseding command, for its receiver."""
        return msgspec.structs.replace(self, own_superseding=(sequence_id, source))


_HEADER_NAMES = ("sequence_id", "commander", "superseding_sequence_id", "superseding_commander")
_VALUE = rb"[ \t\r\n]*:[ \t\r\n]*([^,} \t\r\n]+)"
_SEQUENCE_ID = re.compile(rb'"sequenceId"' + _VALUE)
_COMMANDER = re.compile(rb'"commander"' + _VALUE)

_Int = Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]


class _Event(Struct, rename="camel", gc=False):
    """The members of an event that show that it is a reply."""

    id: _Int
    timestamp: float
    parameters: _Nothing


class _Nothing(Struct, gc=False):
    """An object with any members."""


class _AnswerParameters(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """All parameters of the five replies to commands, so that a line with others, or a password, differs."""

    sequence_id: _Int
    commander: _Int | None = None
    timeout: float | None = None
    explanation: str = ""
    superseding_sequence_id: _Int = 0
    superseding_commander: _Int = 0
    superseding_command_code: _Int = 0


class _Answer(Struct, forbid_unknown_fields=True, gc=False):
    id: _Int
    timestamp: float
    parameters: _AnswerParameters


class _Content(Struct, forbid_unknown_fields=True, gc=False):
    """An event without the members of its parameters."""

    id: _Int
    timestamp: float
    parameters: msgspec.Raw


_decode_content = msgspec.json.Decoder(_Content).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode


def read_reply(line: bytes) -> ReplyEnvelope | EventEnvelope:
    """Return the header of a reply: a `ReplyEnvelope` if it answers a command, else an `EventEnvelope`.

    :raises LineError: if the line is not a reply. A password in the line of the error is masked.
    """
    try:
        code: int = _decode_event(line).id
        if code not in ANSWER_IDS and not line.isascii():
            json_lines.require_utf8(line)
        answer = _decode_answer(line) if code in ANSWER_IDS else None
    except (ValueError, RecursionError):
        return _read_rare(line)
    if answer is None:
        return _event(code, line, mask_password(line))
    if len(line) > SHOWN_BYTES:
        _require_simple(line)
    parameters = answer.parameters
    return ReplyEnvelope(
        code,
        parameters.sequence_id,
        line,
        known_timeout(parameters.timeout),
        parameters.explanation,
        parameters.superseding_sequence_id,
        parameters.superseding_command_code,
        timestamp=answer.timestamp,
    )


def is_reply(line: bytes) -> bool:
    """Return True for a JSON object of this mount: a reply, an event, or telemetry, even if malformed."""
    try:
        content = json_lines.load(line)
    except LineError:
        return False
    return "id" in content or "topicID" in content


def _event(code: int, line: bytes, masked: bytes) -> EventEnvelope:
    if masked is line:
        return EventEnvelope(code, line)
    if masked.endswith(b"*"):
        raise LineError(masked, f"more than {envelope.MOST_MASKED} words of passwords")
    return EventEnvelope(code, masked, unmasked=line)


def _require_simple(line: bytes) -> None:
    if envelope.is_intricate(line):
        raise LineError(line, f"a reply to a command has at most {envelope.MOST_TOKENS} names and values")


def _read_rare(line: bytes) -> ReplyEnvelope | EventEnvelope:
    """Read a reply with NaN or 3.0, with a parameter that its class does not have, or a malformed line."""
    masked = mask_password(line)
    header = envelope.read_reply_header(masked)
    if header.id not in ANSWER_IDS:
        return _event(header.id, line, masked)
    _require_simple(masked)
    content = json_lines.load(masked)
    parameters: dict[str, Any] = content["parameters"]
    sequence_id: int = json_lines.member(masked, parameters, "sequenceId", int, "an integer")
    timeout, reason = parameters.get("timeout"), parameters.get("explanation")
    by = json_lines.integer(parameters.get("supersedingCommandCode"))
    return ReplyEnvelope(
        header.id,
        sequence_id,
        masked,
        known_timeout(timeout) if type(timeout) in (int, float) else None,
        reason if isinstance(reason, str) else "",
        header.superseding_sequence_id or 0,
        by if type(by) is int else 0,
        masked=None if masked is line else masked,
        timestamp=float(content["timestamp"]),
    )


def known_timeout(timeout: float | None) -> float | None:
    """Return the time that an acknowledgement announces; None for -1 and null (protocol-tma2022.rst, "The
    life of a command")."""
    if timeout is None or not 0 <= timeout <= sys.float_info.max:  # an integer of JSON can be larger
        return None
    return float(timeout)


def _own(reply: Reply) -> ReplyEnvelope:
    answer = read_reply(reply.encode().removesuffix(TERMINATOR))
    assert isinstance(answer, ReplyEnvelope)
    return answer


def new_refusal(explanation: str) -> ReplyEnvelope:
    """Return a CMD_REJECTED of the bridge's own, as of now.

    :raises ValueError: if a line cannot hold the explanation.
    """
    return _own(
        CmdRejectedReply(timestamp=tai_now(), commander=Source.NONE, sequence_id=0, explanation=explanation)
    )


def new_acknowledgement(timeout: float) -> ReplyEnvelope:
    """Return a CMD_ACKNOWLEDGED of the bridge's own, as of now.

    :param timeout: the time until the end (s).
    """
    return _own(
        CmdAcknowledgedReply(
            timestamp=tai_now(), commander=Source.NONE, sequence_id=0, timeout=float(timeout)
        )
    )


def new_end() -> ReplyEnvelope:
    """Return a CMD_SUCCEEDED of the bridge's own, as of now."""
    return _own(CmdSucceededReply(timestamp=tai_now(), commander=Source.NONE, sequence_id=0))


_NOT_KEPT = frozenset((ReplyId.COMMANDER, ReplyId.ETHERCAT_MANAGEMENT_STATUS))
"""Events that are no last values. Each commander gets a COMMANDER of its own. The status of EtherCAT reports
an occurrence, not a state."""

_ALARMS = frozenset((ReplyId.WARNING, ReplyId.ERROR))


def subject_of(event: EventEnvelope) -> Subject | None:
    """Return the part of the mount that an event is about; None if its values are not kept.

    A latched alarm lasts until its reset. The settings, 38 kB, are kept apart.
    """
    if event.code == ReplyId.DETAILED_SETTINGS_APPLIED:
        return Subject("settings", True, is_apart=True, content=_content_of(event.line))
    if event.code in _NOT_KEPT:
        return None
    try:
        reply = decode_reply(event.line)
    except LineError:
        return None
    if isinstance(reply, UnknownReply) or reply.commander is not None:
        return None
    is_alarm = event.code in _ALARMS
    lasts = not is_alarm or bool(getattr(reply, "active") or getattr(reply, "latched", False))
    name = " ".join(part.name if isinstance(part, System) else str(part) for part in reply.subject[1:])
    return Subject(reply.subject, lasts, is_alarm, content=_content_of(event.line), name=name)


def _content_of(line: bytes) -> bytes | None:
    """Return a digest of an event without its timestamp; None if the event is unreadable."""
    try:
        content = bytes(_decode_content(line).parameters)
    except (ValueError, RecursionError):  # NaN, or a further member
        try:
            members = json.loads(line)
        except (ValueError, RecursionError):
            return None
        del members["timestamp"]
        content = repr(members).encode(errors="backslashreplace")
    return blake2b(content, digest_size=16).digest()


def commander_in(event: EventEnvelope) -> int | None:
    """Return the source that has command, according to an event; None for an event about something else."""
    if event.code != ReplyId.COMMANDER:
        return None
    try:
        return actual_commander(decode_reply(event.line))
    except LineError:
        return None


def new_commander_event(source: int) -> EventEnvelope:
    """Return the event that a source has command, 0 for none, as of now."""
    event = CommanderReply(timestamp=tai_now(), actual_commander=Source(source))
    return EventEnvelope(int(ReplyId.COMMANDER), event.encode().removesuffix(TERMINATOR))
