"""`Joined`: one commander's command that became two at the mount, whose answers become the answer to one.

The commander receives one Ack, with the longer timeout, as soon as both halves are acknowledged, and Done
when both have succeeded. If the mount refuses one half after the other was sent, the axis of the other half
is stopped, and one failure names both.

A `Joined` decides and does not act. It returns each command to be sent, and it receives the answers of the
mount to that command. A caller that waits in vain for an answer reports the loss as a failure. Pure: no
Twisted, no I/O, no clock.

Next to read: `translate`, which makes the halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from mtmount_twisted.wire.messages import CommandMessage

from .dialect import Meaning, Outcome

LONGEST_REASON = 1000
"""The longest reason for the end of one command in the joined explanation, in characters: those of all
commands must fit in a line."""


class Half(NamedTuple):
    """A command for the mount.

    :ivar command: the command, with the sequence id, the source and the time of its commander.
    :ivar stop: the command that stops what `command` begins; None if nothing needs a stop.
    :ivar waits: True if it is sent only after the half before it has succeeded; False to send both at once.
    """

    command: CommandMessage
    stop: CommandMessage | None = None
    waits: bool = False


class Step(NamedTuple):
    """The decision of a `Joined`.

    :ivar send: the commands to send now, in this order, each with its number for `Joined.answered`.
    :ivar answers: the answers to the commander, in this order. Their sequence id is 0.
    """

    send: tuple[tuple[int, CommandMessage], ...] = ()
    answers: tuple[Outcome, ...] = ()


class _State(Enum):
    """The states of a `Joined`."""

    BEGUN = "begun"
    """The commander has received nothing."""
    ACKED = "acked"
    """The commander has received the Ack."""
    FAILING = "failing"
    """A half has failed. The other one is stopped, and the commander receives the failure after that."""
    ENDED = "ended"
    """The commander has received the end."""


_FATES = {
    Meaning.ACKNOWLEDGED: "was acknowledged",
    Meaning.REJECTED: "was rejected",
    Meaning.SUCCEEDED: "succeeded",
    Meaning.FAILED: "failed",
    Meaning.SUPERSEDED: "was superseded",
}


class _Sent:
    """A command that was sent, and the last answer to it."""

    def __init__(self, command: CommandMessage, stop: CommandMessage | None = None) -> None:
        self.command = command
        self.stop = stop
        self.answer: Outcome | None = None
        self.timeout: float | None = 0.0

    @property
    def meaning(self) -> Meaning | None:
        """The meaning of the last answer; None without one."""
        return None if self.answer is None else self.answer.meaning

    @property
    def is_over(self) -> bool:
        """True if no answer follows."""
        return self.meaning not in (None, Meaning.ACKNOWLEDGED)

    @property
    def fate(self) -> str:
        """The name of the command and its end, in words."""
        name = type(self.command).__name__
        if self.answer is None:
            return f"{name} was not answered"
        why = self.answer.explanation[:LONGEST_REASON]
        return f"{name} {_FATES[self.answer.meaning]}{': ' if why else ''}{why}"


class Joined:
    """The state of one command that became one or two.

    :param halves: the commands, in the order of sending; none of them is a track command.
    """

    def __init__(self, halves: Sequence[Half]) -> None:
        self._unsent = list(halves)
        self._sent: list[_Sent] = []
        self._state = _State.BEGUN
        self._failure = Meaning.REJECTED

    @property
    def has_ended(self) -> bool:
        """True once the commander has its end."""
        return self._state is _State.ENDED

    def begin(self) -> Step:
        """Return the commands to send first."""
        return Step(self._due())

    def answered(self, number: int, answer: Outcome) -> Step:
        """Process an answer of the mount to a command.

        An answer after the end of its command changes nothing.

        :param number: the number of the command.
        :param answer: the answer; a failure with the caller's reason if none came in time.
        """
        sent = self._sent[number]
        if sent.is_over:
            return Step()
        sent.answer = answer
        match self._state, answer.meaning:
            case _State.ENDED, _:
                return Step()
            case _State.FAILING, _:
                return self._fail_if_over()
            case _, Meaning.REJECTED | Meaning.FAILED:
                self._failure = Meaning.REJECTED if self._state is _State.BEGUN else Meaning.FAILED
                self._state = _State.FAILING
                stops = self._stop_others(sent)
                return Step(stops) if stops else self._fail_if_over()
            case _, Meaning.SUPERSEDED:  # the later command rules now, so nothing is stopped
                return self._end(Meaning.SUPERSEDED)
            case _, Meaning.ACKNOWLEDGED:
                sent.timeout = answer.timeout
        return self._advance()

    def _due(self) -> tuple[tuple[int, CommandMessage], ...]:
        """Return the halves that can be sent now, and note that they are."""
        count = len(self._sent)
        while self._unsent:
            half = self._unsent[0]
            if half.waits and self._sent and self._sent[-1].meaning is not Meaning.SUCCEEDED:
                break
            self._sent.append(_Sent(half.command, half.stop))
            del self._unsent[0]
        return self._numbered_from(count)

    def _numbered_from(self, count: int) -> tuple[tuple[int, CommandMessage], ...]:
        return tuple((number, sent.command) for number, sent in enumerate(self._sent) if number >= count)

    def _advance(self) -> Step:
        """Send what was waiting, and answer what all halves have answered."""
        send = self._due()
        answers = []
        meanings = [sent.meaning for sent in self._sent]
        if not self._unsent and None not in meanings:
            if self._state is _State.BEGUN:
                self._state = _State.ACKED
                answers.append(Outcome(Meaning.ACKNOWLEDGED, 0, timeout=self._longest_timeout()))
            if all(meaning is Meaning.SUCCEEDED for meaning in meanings):
                self._state = _State.ENDED
                answers.append(Outcome(Meaning.SUCCEEDED, 0))
        return Step(send, tuple(answers))

    def _longest_timeout(self) -> float | None:
        """Return the longest timeout; None, which is longer than any known one, if one is unknown."""
        timeouts = [sent.timeout for sent in self._sent if sent.timeout is not None]
        return max(timeouts) if len(timeouts) == len(self._sent) else None

    def _stop_others(self, failed: _Sent) -> tuple[tuple[int, CommandMessage], ...]:
        """Return the stop of the other half if it was sent, and note that it is sent."""
        count = len(self._sent)
        self._sent += [
            _Sent(sent.stop) for sent in self._sent if sent is not failed and sent.stop is not None
        ]
        return self._numbered_from(count)

    def _fail_if_over(self) -> Step:
        return self._end(self._failure) if all(sent.is_over for sent in self._sent) else Step()

    def _end(self, meaning: Meaning) -> Step:
        """End with an explanation that names every command; that of a single one is the mount's own."""
        self._state = _State.ENDED
        fates = [sent.fate for sent in self._sent]
        fates += [f"{type(half.command).__name__} was not sent" for half in self._unsent]
        [first, *others] = self._sent
        alone = first.answer if not others and not self._unsent else None
        explanation = "; ".join(fates) if alone is None else alone.explanation
        return Step(answers=(Outcome(meaning, 0, explanation=explanation),))
