"""`Joined`: one command of a commander that became several commands at the mount, with their answers joined
to one answer.

Each part is sent after the success of the part before. The commander receives one Ack, with the longest
timeout, when the last part is acknowledged, and Done when it has succeeded. A part that fails ends the
command: the later parts are not sent, and the failure names all parts.

No part needs a stop after the failure of another part: the earlier parts have ended, and no command that
becomes several moves an axis (``docs/reference/translation.rst``).

A `Joined` decides and does not act: it returns the command to be sent, and receives the answers to it. Pure:
no Twisted, no I/O, no clock. Next to read: `translate`, which makes the parts; `translated`, the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from mtmount_twisted.wire.messages import CommandMessage

from .dialect import Meaning, Outcome

LONGEST_REASON = 1000
"""The longest reason of the failed part in the joined explanation, in characters."""


class Step(NamedTuple):
    """The decision of a `Joined`.

    :ivar send: the command to send now; None if there is none.
    :ivar answers: the answers to the commander, in this order. Their sequence id is 0.
    """

    send: CommandMessage | None = None
    answers: tuple[Outcome, ...] = ()


class _State(Enum):
    """The states of a `Joined`."""

    BEGUN = "begun"
    """The commander has received nothing."""
    ACKED = "acked"
    """The commander has received the Ack: the last part is acknowledged."""
    ENDED = "ended"
    """The commander has received the end."""


_FATES = {Meaning.REJECTED: "was rejected", Meaning.FAILED: "failed", Meaning.SUPERSEDED: "was superseded"}
_NOT_SENT, _UNKNOWN = "was not sent", "has an unknown outcome"
_FATES_WITHOUT_ANSWER = {
    **dict.fromkeys(("refused", "malformed", "busy", "not sent"), _NOT_SENT),
    **dict.fromkeys(("timed out", "outcome unknown"), _UNKNOWN),
}
"""The end of a part, by the beginning of the explanation that the bridge gives in place of the mount."""


class Joined:
    """The state of one command that became several.

    :param parts: the commands, in the order of sending: at least one, and no track command.
    """

    def __init__(self, parts: Sequence[CommandMessage]) -> None:
        self._parts = parts
        self._number = 0  # of the part that is in flight
        self._timeout: float | None = 0.0
        self._state = _State.BEGUN

    @property
    def has_ended(self) -> bool:
        """True once the commander has its end."""
        return self._state is _State.ENDED

    @property
    def part(self) -> CommandMessage:
        """The part that is in flight, or the part with the answer that has ended the command."""
        return self._parts[self._number]

    def answered(self, answer: Outcome) -> Step:
        """Process an answer to the part that is in flight. After the end it changes nothing.

        :param answer: the answer. If no answer came in time, the caller makes a failure with the reason.
        """
        if self.has_ended:
            return Step()
        is_last = self._number == len(self._parts) - 1
        if answer.meaning is Meaning.ACKNOWLEDGED:
            self._note(answer.timeout)
            return Step(answers=self._acknowledge()) if is_last else Step()
        if answer.meaning is not Meaning.SUCCEEDED:
            self._state = _State.ENDED
            explanation = self._explained(answer)
            return Step(answers=(Outcome(answer.meaning, 0, explanation=explanation),))
        if is_last:
            answers = (*self._acknowledge(), Outcome(Meaning.SUCCEEDED, 0))
            self._state = _State.ENDED
            return Step(answers=answers)
        self._number += 1
        return Step(self.part)

    def _note(self, timeout: float | None) -> None:
        """Keep the longest timeout. None, an unknown timeout, is longer than any known timeout."""
        self._timeout = (
            None if None in (timeout, self._timeout) else max(timeout or 0.0, self._timeout or 0.0)
        )

    def _acknowledge(self) -> tuple[Outcome, ...]:
        """Return the Ack to the commander, unless it was returned before."""
        if self._state is not _State.BEGUN:
            return ()
        self._state = _State.ACKED
        return (Outcome(Meaning.ACKNOWLEDGED, 0, timeout=self._timeout),)

    def _explained(self, answer: Outcome) -> str:
        """Return the reason of a failure and the end of every part; only the reason if no part was sent."""
        reason = answer.explanation[:LONGEST_REASON]
        fate = _FATES_WITHOUT_ANSWER.get(reason.partition(":")[0], _FATES[answer.meaning])
        if self._number == 0 and fate == _NOT_SENT:
            return reason
        names = [type(part).__name__ for part in self._parts]
        fates = [f"{name} succeeded" for name in names[: self._number]]
        fates.append(f"{names[self._number]} {fate}")
        fates += [f"{name} {_NOT_SENT}" for name in names[self._number + 1 :]]
        return f"{reason} ({'; '.join(fates)})".lstrip()
