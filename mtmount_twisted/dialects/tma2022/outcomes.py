"""The outcome of a command from a decoded reply; see `dialect.Outcome`.

Values only: no Twisted, no I/O. Next to read: `replies`.
"""

from __future__ import annotations

from typing import Any

from mtmount_twisted.dialects.dialect import Outcome

from .relay import kind_of_command, known_timeout
from .replies import (
    ANSWER_IDS,
    Answer,
    CmdAcknowledgedReply,
    CmdFailedReply,
    CmdRejectedReply,
    CmdSupersededReply,
    Reply,
    classify,
)


def outcome_of(reply: Reply) -> Outcome | None:
    """Return the outcome that a reply reports; None for an event.

    The parameters of a reply may be malformed: the command has ended all the same.
    """
    if isinstance(reply, Answer):
        sequence_id, meaning = reply.sequence_id, reply.classification
    elif reply.id in ANSWER_IDS:
        malformed: Any = reply
        sequence_id, meaning = malformed.parameters.get("sequenceId"), classify(reply.id)
        if type(sequence_id) is not int:
            return None
    else:
        return None
    match reply:
        case CmdAcknowledgedReply():
            return Outcome(meaning, sequence_id, timeout=known_timeout(reply.timeout))
        case CmdRejectedReply() | CmdFailedReply():
            return Outcome(meaning, sequence_id, explanation=reply.explanation)
        case CmdSupersededReply():
            return Outcome(meaning, sequence_id, explanation=_superseded(reply))
    return Outcome(meaning, sequence_id)


def _superseded(reply: CmdSupersededReply) -> str:
    """Return the three parameters in words; each may be 0."""
    words = ["superseded"]
    if reply.superseding_command_code:
        words.append(f"by {kind_of_command(reply.superseding_command_code).name}")
    if reply.superseding_sequence_id:
        words.append(f"(sequence id {reply.superseding_sequence_id})")
    if reply.superseding_commander:
        words.append(f"of {reply.superseding_commander.name}")
    return " ".join(words)
