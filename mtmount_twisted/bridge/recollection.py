"""The questions for the controller's state and settings, which the bridge answers from memory.

The first answer of a mount may take a minute, and the settings are long (protocol-tma2022.rst, "State and
settings"): 39 kB to each client. So the bridge asks once for each connection, and once more after a command
that changes the settings. Commanders that ask receive the last values.

The bridge sends nothing stale. While the memory may lack something, the question of a commander waits for the
answer to a question of the bridge. A commander needs no command to ask. So, however many commanders ask, no
two equal questions are in flight. If a commander asks after something has changed, it waits for the answer to
the next question. If many commanders wait for one answer, each turn of the reactor serves a few of them, so
that no command and no stop waits for all.

The mount may have more last values than the bridge keeps. Then the bridge asks again when a commander asks,
at most every `ASK_AGAIN`. In between commanders receive the last values that are kept.

It touches no socket: it appends effects. Next to read: `last_values`, the memory; `core`, the caller;
`dispatcher`, which reports changes.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

from msgspec import Struct, field

from mtmount_twisted.dialects.dialect import CommandEnvelope, Dialect, Meaning, Recall
from mtmount_twisted.interfaces import IClient, IControllerLink

from .arbiter import CommandArbiter
from .dispatcher import CommandDispatcher
from .effects import CancelTimer, Effect, Log, SetTimer, Timer
from .last_values import LastValueCache
from .lease import Lease

ENDS_AT_ONCE = 16
"""The largest number of waiting questions that end in one turn of the reactor: each takes about 0.1 ms."""

ASK_AGAIN = 10.0
"""The time between two questions for the state if the answer has more last values than are kept, in seconds.
All clients receive each answer, 56 KiB and more."""


class _Asker(Struct, eq=False):
    """A commander that waits for the answer to its question.

    :ivar session_id: the number of the commander's session; see `registry`.
    """

    client: IClient
    session_id: int
    header: CommandEnvelope


class _Question(Struct, eq=False):
    """A question of the bridge that the controller has not answered.

    :ivar askers: the commanders that asked before it: the answer is new enough for them in any case.
    :ivar later: the commanders that asked after it.
    :ivar is_current: False once the controller's values have changed since the question, or may have.
    :ivar again: True to ask once more after its end.
    """

    askers: list[_Asker]
    is_current: bool
    later: list[_Asker] = field(default_factory=list)
    again: bool = False


class _Answer(Struct, eq=False):
    """The end of a question of the bridge, for the commanders that waited for it.

    :ivar refusal: the reason why there is no answer; empty if there is one.
    :ivar link: the connection to the controller that brought it.
    :ivar told: the sessions that have received the events; they get them once.
    """

    recall: Recall
    refusal: str
    link: IControllerLink | None
    told: set[int] = field(default_factory=set)


class Recollection:
    """Asks the controller, and answers the questions of commanders.

    :param now: return the monotonic time in seconds.
    """

    def __init__(
        self,
        effects: list[Effect],
        now: Callable[[], float],
        dispatcher: CommandDispatcher,
        arbiter: CommandArbiter,
        lease: Lease,
        known: LastValueCache,
        dialect: Dialect,
    ) -> None:
        self._effects = effects
        self._now = now
        self._dispatcher = dispatcher
        self._arbiter = arbiter
        self._lease = lease
        self._known = known
        self._dialect = dialect
        self._current: set[Recall] = set()
        self._questions: dict[Recall, _Question] = {}
        self._changes: Counter[Recall] = Counter()  # the pending commands that change the values
        self._lacks_some = False  # values that the mount has reported since the last question for the state
        self._asked_state_at = 0.0
        self._is_closed = False
        self._ends: deque[tuple[_Asker, _Answer]] = deque()
        self._is_timed = False  # `Timer.QUESTIONS` runs
        dispatcher.changing, dispatcher.changed = self._changing, self._changed

    def link_up(self) -> None:
        """Ask a newly connected controller."""
        self._current.clear()
        for recall in Recall:
            self._ask(recall, [])

    def close(self) -> None:
        """Ask no more: the bridge ends."""
        self._is_closed = True

    def note_forgotten(self) -> None:
        """Note that the memory had no room for all last values: it answers until `ASK_AGAIN` has passed."""
        self._lacks_some = True

    def _doubt(self, recall: Recall) -> None:
        """Do not answer from memory until the controller has answered anew: the memory may lack values."""
        self._current.discard(recall)
        if recall in self._questions:
            self._questions[recall].is_current = False

    def answer(self, client: IClient, session_id: int, header: CommandEnvelope, recall: Recall) -> None:
        """Answer a commander's question from memory, or acknowledge it and let it wait."""
        asker = _Asker(client, session_id, header)
        if self._may_answer(recall):
            self._arbiter.acknowledge(client, session_id, header)
            self._tell(asker, _Answer(recall, "", None))
            return
        client.in_flight += 1
        self._arbiter.acknowledge(client, session_id, header, self._dispatcher.unknown_timeout)
        if recall in self._questions:
            self._questions[recall].later.append(asker)
        else:
            self._ask(recall, [asker])

    def _may_answer(self, recall: Recall) -> bool:
        """Return True if the memory has the answer to a question."""
        if recall not in self._current:
            return False
        if recall is not Recall.STATE:
            return bool(self._known.current_apart)
        return not self._lacks_some or self._now() - self._asked_state_at < ASK_AGAIN

    def leaves(self, client: IClient, why: str) -> None:
        """Refuse the waiting questions of a client before its connection is closed."""
        removed = self._remove(client)
        removed += [asker for asker, _ in self._ends if asker.client is client]
        self._ends = deque(end for end in self._ends if end[0].client is not client)
        for asker in removed:
            self._refuse(asker, f"not sent: {why}")

    def lost(self, client: IClient, why: str) -> None:
        """Refuse the waiting questions of a client that is gone, a few in each turn: many may be lost at
        once."""
        if removed := self._remove(client):
            self._end_all(removed, _Answer(Recall.STATE, f"not sent: {why}", None))

    def _remove(self, client: IClient) -> list[_Asker]:
        """Remove the questions of a client that have no answer."""
        removed: list[_Asker] = []
        for question in self._questions.values():
            for askers in (question.askers, question.later):
                mine = [each for each in askers if each.client is client]
                if mine:
                    removed += mine
                    askers[:] = [each for each in askers if each.client is not client]
        return removed

    def _ask(self, recall: Recall, askers: list[_Asker]) -> None:
        for question in self._dialect.questions():
            if self._dispatcher.header_of(question).kind.recalls is recall:
                self._current.discard(recall)
                if recall is Recall.STATE:
                    self._lacks_some, self._asked_state_at = False, self._now()
                self._questions[recall] = _Question(askers, is_current=not self._changes[recall])
                self._dispatcher.begin_own(question, partial(self._ended, recall))

    def _ended(self, recall: Recall, meaning: Meaning | None, explanation: str) -> None:
        """Answer the commanders that waited for a question of the bridge."""
        question = self._questions.pop(recall)
        succeeded, waiting = meaning is Meaning.SUCCEEDED, question.later
        if succeeded and recall is Recall.STATE:
            self._known.forget_stale_alarms()
        if succeeded and question.is_current:
            self._current.add(recall)
        if question.is_current or not succeeded:
            question.askers, waiting = question.askers + question.later, []
        if not succeeded and (meaning is not None or explanation.startswith("timed out")):
            text = "the controller did not tell its %s: %s"
            # A mount of the other generation is silent on this connection.
            text += "; does it speak another protocol (controller.dialect)?" if meaning is None else ""
            self._effects.append(Log(logging.WARNING, text, (recall.value, explanation or "no reason given")))
        why = explanation if meaning is None else f"refused: {explanation or 'the controller says no'}"
        self._end_all(question.askers, _Answer(recall, "" if succeeded else why, self._dispatcher.link))
        if waiting or (question.again and self._may_ask):
            self._ask(recall, waiting)

    # The ends of waiting questions

    def _end_all(self, askers: list[_Asker], answer: _Answer) -> None:
        """End waiting questions: a few now, first the holder's, and the others in later turns."""
        holder = self._lease.holder
        self._ends += (
            (asker, answer) for asker in sorted(askers, key=lambda each: each.client is not holder)
        )
        if not self._is_timed:
            self.end_next()

    def end_next(self) -> None:
        """End the next few questions: `Timer.QUESTIONS` has ended."""
        for _ in range(min(ENDS_AT_ONCE, len(self._ends))):
            self._end_one()
        self._is_timed = bool(self._ends)
        if self._is_timed:
            self._effects.append(SetTimer(Timer.QUESTIONS, 0.0))

    def flush(self) -> None:
        """End all questions that have an answer: the bridge is closed."""
        if self._is_timed:
            self._is_timed = False
            self._effects.append(CancelTimer(Timer.QUESTIONS))
        while self._ends:
            self._end_one()

    def _end_one(self) -> None:
        asker, answer = self._ends.popleft()
        if answer.refusal:
            self._refuse(asker, answer.refusal)
        elif answer.link is not self._dispatcher.link:  # nothing stale is sent
            self._refuse(asker, "not sent: the controller's link was lost before the answer was passed on")
        else:
            asker.client.in_flight -= 1
            self._tell(asker, answer)

    def _refuse(self, asker: _Asker, why: str) -> None:
        asker.client.in_flight -= 1
        self._dispatcher.refuse(asker.client, asker.header, why, asker.session_id)

    def _tell(self, asker: _Asker, answer: _Answer) -> None:
        """Send an asker its end, and before it the events, which a session gets once."""
        is_state, is_first = answer.recall is Recall.STATE, asker.session_id not in answer.told
        answer.told.add(asker.session_id)
        known = self._known.current if is_state else self._known.current_apart
        self._arbiter.recall(
            asker.client,
            asker.session_id,
            asker.header,
            known if is_first else [],
            with_commander=is_state and is_first,
        )

    # Changes

    @property
    def _may_ask(self) -> bool:
        return self._dispatcher.link is not None and not self._is_closed

    def _changing(self, recall: Recall) -> None:
        self._changes[recall] += 1
        self._doubt(recall)

    def _changed(self, recall: Recall) -> None:
        """Ask once after the last of the commands that change the values together."""
        self._changes[recall] -= 1
        if self._changes[recall] or not self._may_ask:
            return
        if recall in self._questions:
            self._questions[recall].again = True
        else:
            self._ask(recall, [])
