"""The outcome of a command from a decoded reply; see `dialect.Outcome`.

Values only: no Twisted, no I/O. Next to read: `replies`.
"""

from __future__ import annotations

from mtmount_twisted.dialects.dialect import Meaning, Outcome

from .replies import AckReply, DoneReply, NoAckReply, Reply


def outcome_of(reply: Reply) -> Outcome | None:
    """Return the outcome that a reply reports; None for an event."""
    match reply:
        case AckReply():
            return Outcome(
                Meaning.ACKNOWLEDGED, reply.sequence_id, reply.source, timeout=reply.timeout_ms / 1000
            )
        case DoneReply():
            return Outcome(Meaning.SUCCEEDED, reply.sequence_id, reply.source)
        case NoAckReply():
            # A guess: protocol-tma2020.rst has no text for it.
            superseded = "supersede" in reply.explanation.lower()
            after_ack = Meaning.SUPERSEDED if superseded else Meaning.FAILED
            return Outcome(
                Meaning.REJECTED, reply.sequence_id, reply.source, reply.explanation, after_ack=after_ack
            )
    return None


def actual_commander(event: Reply) -> None:
    """Return None: no event names the commander that has command."""
