"""`TRANSLATOR`: the lines of a client that speaks tma2020, before a controller that speaks tma2022.

The bridge knows a translated command by a `TranslatedEnvelope`. It sends the controller's version of the
command. The client's own version decides whether the command is a stop and needs command. The bridge passes
each answer to `TRANSLATOR`, which returns the client's lines.

Pure: no Twisted, no I/O. Next to read: `translate`, the table; `joined`, for a command that becomes two;
``bridge.registry``, which sends the lines.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.messages import CommandMessage

from .dialect import (
    Answered,
    CommandEnvelope,
    CommandKind,
    Meaning,
    Outcome,
    ReplyEnvelope,
    TranslatedCommand,
    TranslatedEvent,
    Translator,
)
from .joined import Joined
from .sources import Source
from .tma2020 import commands as old_commands
from .tma2020 import envelope as old
from .tma2020.dialect import DIALECT
from .tma2020.enums import CommandCode as OldCode
from .tma2022 import relay as new
from .tma2022.codec import decode_reply
from .tma2022.outcomes import outcome_of
from .tma2022.replies import Answer
from .translate import (
    Dropped,
    Refusal,
    nearest_to,
    row_of,
    translate_answer,
    translate_command,
    translate_line,
    translate_reply,
    utc_at,
    utc_of,
)

CACHED_EVENTS = 2048
"""The number of the latest events that are translated only once for all clients. All last values of the
bridge (at most 1,000) and the events between two new clients fit. With fewer places, all last values would be
translated anew for each new client."""

LONGEST_CACHED = 4096
"""The longest event that is kept, in bytes. A longer event is translated for each client."""


LONGEST_COMMAND = 1024
"""The longest command that is translated, in bytes; the longest of the protocol has some 200."""


class TranslatedEnvelope(Struct, frozen=True, eq=False):
    """The header of a client's command, and the command that the controller receives.

    :ivar sequence_id: the client's own id.
    :ivar code: the code of the controller's command; 0 if the client's command has no counterpart.
    :ivar kind: the facts about the command. Its name and code are the controller's. Whether it stops, needs
        command or gets only an Ack depends on the client's own command.
    :ivar line: the controller's command; None if there is none.
    :ivar joined: the state of a command that became two; None for a command that became one.
    """

    sequence_id: int
    source: int
    code: int
    kind: CommandKind
    line: CommandEnvelope | None = None
    joined: Joined | None = None

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """Return the line of the controller's command with another id and source.

        :raises ValueError: if there is no such command: the bridge refuses the client's command.
        """
        if self.line is None:
            raise ValueError(f"command {self.sequence_id} has no translation")
        return self.line.rewritten(sequence_id, source)


@lru_cache(maxsize=512)  # a client chooses the code
def _kind(client: int, controller: int) -> CommandKind:
    own = old.kind_of_command(client)
    return replace(
        new.kind_of_command(controller),
        is_stop=own.is_stop,
        ack_only=own.ack_only,
        needs_command=own.needs_command,
    )


def read_command(line: bytes) -> CommandEnvelope:
    """Return the envelope of a client's command; with a refusal in its facts if it can't be translated.

    :raises LineError: if the line has no header, or one that can't be passed on.
    """
    header = old.read_command(line)
    if len(line) > LONGEST_COMMAND:
        return _refused(header, f"malformed: a command has at most {LONGEST_COMMAND} bytes")
    try:
        translation = translate_line(line)
    except LineError as error:  # a wrong parameter: the connection goes on, as before a mount
        return _refused(header, f"malformed: {error.reason}")
    if isinstance(translation, Refusal):
        return _refused(header, f"refused: {translation.reason}")
    commands = translation.commands
    return _envelope(header, commands[0], Joined(commands) if len(commands) > 1 else None)


def _refused(header: CommandEnvelope, refusal: str) -> CommandEnvelope:
    code = _code_of(header.code)
    kind = replace(_kind(header.code, code), refusal=refusal)
    return TranslatedEnvelope(header.sequence_id, header.source, code, kind)


def _envelope(header: CommandEnvelope, command: CommandMessage, joined: Joined | None) -> TranslatedEnvelope:
    line = new.envelope_of(command)
    kind = _kind(header.code, line.code)
    return TranslatedEnvelope(header.sequence_id, header.source, line.code, kind, line, joined)


def read_to_refuse(line: bytes) -> CommandEnvelope | None:
    """Return the header of a malformed command, as far as a refusal needs it; None if this part is
    unreadable."""
    header = old.read_to_refuse(line)
    if header is None:
        return None
    code = _code_of(header.code)
    return TranslatedEnvelope(header.sequence_id, header.source, code, _kind(header.code, code))


def answered(header: CommandEnvelope, answer: ReplyEnvelope) -> Answered:
    """Return the consequences of an answer to a command."""
    # An answer of the controller, or of the bridge in the controller's dialect.
    assert isinstance(answer, new.ReplyEnvelope)
    outcome, timestamp = _outcome(answer), utc_at(answer.timestamp)
    if not isinstance(header, TranslatedEnvelope) or (joined := header.joined) is None:
        return Answered((_line(header, outcome, timestamp),))
    step = joined.answered(outcome)
    lines = tuple(_line(header, each, timestamp) for each in step.answers)
    return Answered(lines, None if step.send is None else _envelope(header, step.send, joined))


def _outcome(answer: new.ReplyEnvelope) -> Outcome:
    if answer.meaning in _FREQUENT:
        return Outcome(answer.meaning, 0, timeout=answer.timeout)
    # This decodes the explanation, with the superseding command by the client's id. The id and the source are
    # placeholders here: `_line` writes the client's own. A malformed reply has no explanation.
    found = outcome_of(decode_reply(answer.rewritten(0, Source.CSC)))
    return found or Outcome(answer.meaning, 0, explanation=answer.explanation)


def _line(header: CommandEnvelope, outcome: Outcome, timestamp: datetime) -> bytes:
    reply = translate_answer(outcome, 0, Source.CSC, ack_only=header.kind.ack_only, timestamp=timestamp)
    code, _, _, rest = reply.encode().removesuffix(DIALECT.terminator).split(b"\n", 3)
    # The client's numbers may exceed those that a message can have.
    return old.ReplyEnvelope(int(code), 0, rest).rewritten(header.sequence_id, header.source)


def event(line: bytes) -> TranslatedEvent:
    """Return a line of the controller to all clients as the client receives it."""
    return _event(line) if len(line) <= LONGEST_CACHED else _translated(line)


def _translated(line: bytes) -> TranslatedEvent:
    try:
        reply = decode_reply(line)
    except LineError:
        return TranslatedEvent(None, "malformed")
    outcome = outcome_of(reply)
    if outcome is not None and isinstance(reply, Answer):  # an answer to another commander, for an observer
        source = Source(int(reply.commander)) if reply.commander in _SOURCES else Source.CSC
        answer = translate_answer(outcome, outcome.sequence_id, source, timestamp=utc_of(reply))
        return TranslatedEvent(answer.encode().removesuffix(DIALECT.terminator))
    translated = translate_reply(reply)
    if isinstance(translated, Dropped):
        return TranslatedEvent(None, translated.kind)
    return TranslatedEvent(translated.encode().removesuffix(DIALECT.terminator))


_event = lru_cache(maxsize=CACHED_EVENTS)(_translated)


def translate(command: CommandMessage) -> TranslatedCommand:
    """Return a client's command as the controller receives it."""
    assert isinstance(command, old_commands.Command)
    translation = translate_command(command)
    if isinstance(translation, Refusal):
        return TranslatedCommand(refusal=translation.reason)
    return TranslatedCommand(translation.commands)


def _code_of(code: int) -> int:
    """Return the code of the counterpart of a client's command, or of the nearest command; 0 if there is
    none."""
    if code not in OldCode.__members__.values():
        return 0
    command = old_commands.CommandDict.get(OldCode(code))
    nearest = nearest_to(OldCode(code)) if command is None else row_of(command).becomes
    return int(nearest[0].command_code) if nearest else 0


_SOURCES = frozenset(map(int, Source))
_FREQUENT = (Meaning.ACKNOWLEDGED, Meaning.SUCCEEDED)
"""The answers with no content beyond the envelope."""

TRANSLATOR = Translator(
    dialect=DIALECT,
    read_command=read_command,
    read_to_refuse=read_to_refuse,
    read_wanted=old.read_wanted,
    answered=answered,
    event=event,
    translate=translate,
)
