"""The translation for a program that passes lines on: a commander of tma2020 above a mount of tma2022.

`read_command` reads a commander's line into an envelope, which writes the line for the mount.
`translate_envelope` turns the mount's answer into the one for the commander, and `translate_event` an event.
Most events of a mount have no place in tma2020: they are dropped without being decoded.

Pure: no Twisted, no I/O. Next to read: `translate`, which has the table; ``tma2020.envelope``.
"""

from __future__ import annotations

from msgspec import Struct

from mtmount_twisted.errors import LineError

from .dialect import CommandEnvelope, CommandKind, EventEnvelope, Meaning, Outcome, ReplyEnvelope
from .joined import Half
from .tma2020 import envelope as old_envelope
from .tma2020.enums import ReplyCode
from .tma2020.framing import TERMINATOR as OLD_TERMINATOR
from .tma2022 import relay
from .tma2022.codec import decode_reply
from .tma2022.enums import ReplyId
from .tma2022.framing import TERMINATOR
from .translate import (
    EVENTS,
    Dropped,
    Refusal,
    explanation_of,
    milliseconds,
    translate_line,
    translate_reply,
)


class TranslatedCommand(Struct, frozen=True, gc=False):
    """Header of a commander's command, and the commands that the mount receives; a `dialect.CommandEnvelope`.

    The rules for the command follow from its `kind` in tma2020.

    :ivar sequence_id: the sequence id, as the commander chose it; likewise `source` and `code`.
    :ivar kind: the facts that follow from the code in tma2020.
    :ivar halves: the commands for the mount, for a `joined.Joined`; none if the command is refused.
    :ivar sent: the header of the first of them, with its code and kind in tma2022; None if there is none.
    :ivar refusal: the reason why the mount can't receive the command; empty if it can.
    """

    sequence_id: int
    source: int
    code: int
    kind: CommandKind
    halves: tuple[Half, ...] = ()
    sent: CommandEnvelope | None = None
    refusal: str = ""

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """Return the line of the first command for the mount, with another id and source.

        :raises ValueError: if the command is refused.
        """
        if self.sent is None:
            raise ValueError(f"{self.kind.name} is refused: {self.refusal}")
        return self.sent.rewritten(sequence_id, source)


def read_command(line: bytes) -> TranslatedCommand:
    """Return the envelope of a commander's command.

    Parameters that can't be read make a refusal, because a mount of 2020 would refuse the command, too.

    :raises LineError: if the line has no header.
    """
    header = old_envelope.read_command(line)
    of_commander = (header.sequence_id, header.source, header.code, header.kind)
    try:
        translation = translate_line(line)
    except LineError as error:
        return TranslatedCommand(*of_commander, refusal=f"malformed: {error.reason}")
    if isinstance(translation, Refusal):
        return TranslatedCommand(*of_commander, refusal=f"refused: {translation.reason}")
    first = translation.commands[0].encode().removesuffix(TERMINATOR)
    return TranslatedCommand(*of_commander, translation.halves, relay.read_command(first))


def translate_envelope(answer: ReplyEnvelope, *, ack_only: bool) -> ReplyEnvelope:
    """Return the mount's answer to a command in tma2020, as of now, to be rewritten to its commander.

    :param ack_only: True for a track command, after whose Ack nothing follows.
    """
    if answer.meaning is Meaning.ACKNOWLEDGED:
        timeout = b"%d" % milliseconds(answer.timeout, ack_only=ack_only)
        return old_envelope.new_answer(ReplyCode.ACK, timeout)
    if answer.meaning is Meaning.SUCCEEDED:
        return old_envelope.new_end()
    return old_envelope.new_refusal(
        explanation_of(Outcome(answer.meaning, 0, explanation=answer.explanation))
    )


_WITH_A_PLACE = frozenset(int(event.reply_id) for event in EVENTS)
_NAMES = {int(known): known.name for known in ReplyId}


def translate_event(event: EventEnvelope) -> EventEnvelope | Dropped:
    """Return an event of the mount in tma2020."""
    name = _NAMES.get(event.code) or f"id {event.code}"
    if event.code not in _WITH_A_PLACE:
        return Dropped(name)
    try:
        made = translate_reply(decode_reply(event.line))
    except LineError:
        return Dropped(name)
    if isinstance(made, Dropped):
        return made
    return EventEnvelope(int(made.reply_code), made.encode().removesuffix(OLD_TERMINATOR))
