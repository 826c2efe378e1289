"""What the bridge asks the controller for, and answers from memory: its state and its settings.

The first answer of a mount may take a minute, and is long ("STATE_INFO and settings" in the protocol of
2022): 39 kB to each client. So the bridge asks once for each connection, and once more after a command that
changes the settings. Commanders that ask receive the last values.

Nothing stale is sent. While the memory may lack something, the question of a commander waits for the answer
to a question of the bridge. No two equal questions are in flight, however many commanders ask, because a
commander needs no command for it. A question that comes after something has changed waits for the next one.

Next to read: `last_values`, the memory; `core`, the caller; `dispatcher`, which reports changes.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from mtmount_twisted.dialects.dialect import CommandEnvelope, Dialect, Meaning, Recall
from mtmount_twisted.interfaces import IClient

from .arbiter import CommandArbiter
from .dispatcher import CommandDispatcher
from .effects import Effect, Log
from .last_values import LastValueCache


@dataclass(slots=True, eq=False)
class _Asker:
    """A commander whose question waits.

    :ivar session_id: the number of the commander's session; see `registry`.
    """

    client: IClient
    session_id: int
    header: CommandEnvelope


@dataclass(slots=True, eq=False)
class _Question:
    """A question of the bridge that the controller has not answered.

    :ivar askers: the commanders that asked before it, for whom the answer is new enough in any case.
    :ivar later: those that asked after it.
    :ivar is_current: False once the controller's values have changed since the question, or may have.
    :ivar again: True to ask once more after its end.
    """

    askers: list[_Asker]
    is_current: bool
    later: list[_Asker] = field(default_factory=list)
    again: bool = False


class Recollection:
    """Asks the controller, and answers the questions of commanders."""

    def __init__(
        self,
        effects: list[Effect],
        dispatcher: CommandDispatcher,
        arbiter: CommandArbiter,
        known: LastValueCache,
        dialect: Dialect,
    ) -> None:
        self._effects = effects
        self._dispatcher = dispatcher
        self._arbiter = arbiter
        self._known = known
        self._dialect = dialect
        self._current: set[Recall] = set()
        self._questions: dict[Recall, _Question] = {}
        self._changes: Counter[Recall] = Counter()  # the pending commands that change the values
        self._is_closed = False
        dispatcher.changing, dispatcher.changed = self._changing, self._changed

    def link_up(self) -> None:
        """Ask a newly connected controller."""
        self._current.clear()
        for recall in Recall:
            self._ask(recall, [])

    def close(self) -> None:
        """Ask no more: the bridge ends."""
        self._is_closed = True

    def doubt(self, recall: Recall) -> None:
        """Answer later questions not from memory until the controller has answered anew: values may lack."""
        self._current.discard(recall)
        if recall in self._questions:
            self._questions[recall].is_current = False

    def answer(self, client: IClient, session_id: int, header: CommandEnvelope, recall: Recall) -> None:
        """Answer a commander's question from memory, or acknowledge it and let it wait."""
        asker = _Asker(client, session_id, header)
        if recall in self._current and (recall is Recall.STATE or self._known.current_apart):
            self._arbiter.acknowledge(client, session_id, header)
            self._tell([asker], recall)
            return
        client.in_flight += 1
        self._arbiter.acknowledge(client, session_id, header, self._dispatcher.unknown_timeout)
        if recall in self._questions:
            self._questions[recall].later.append(asker)
        else:
            self._ask(recall, [asker])

    def leaves(self, client: IClient, why: str) -> None:
        """Refuse the waiting questions of a client before its connection is closed."""
        for question in self._questions.values():
            for askers in (question.askers, question.later):
                for asker in [each for each in askers if each.client is client]:
                    askers.remove(asker)
                    client.in_flight -= 1
                    self._dispatcher.refuse(client, asker.header, f"not sent: {why}", asker.session_id)

    def _ask(self, recall: Recall, askers: list[_Asker]) -> None:
        for question in self._dialect.questions():
            if self._dispatcher.header_of(question).kind.recalls is recall:
                self._questions[recall] = _Question(askers, is_current=not self._changes[recall])
                self._dispatcher.begin_own(question, partial(self._ended, recall))

    def _ended(self, recall: Recall, meaning: Meaning | None, explanation: str) -> None:
        """Answer those that waited for a question of the bridge."""
        question = self._questions.pop(recall)
        succeeded, waiting = meaning is Meaning.SUCCEEDED, question.later
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
        if succeeded:
            self._tell(question.askers, recall)
        for asker in question.askers:
            asker.client.in_flight -= 1
            if not succeeded:
                self._dispatcher.refuse(asker.client, asker.header, why, asker.session_id)
        if waiting or (question.again and self._may_ask):
            self._ask(recall, waiting)

    def _tell(self, askers: list[_Asker], recall: Recall) -> None:
        """Send each asker its end. A client that asked more than once gets the events once."""
        is_state = recall is Recall.STATE
        told: set[int] = set()
        for asker in askers:
            events = self._known.current if is_state else self._known.current_apart
            if asker.session_id in told:
                events = []
            self._arbiter.recall(
                asker.client,
                asker.session_id,
                asker.header,
                events,
                with_commander=is_state and asker.session_id not in told,
            )
            told.add(asker.session_id)

    # Changes

    @property
    def _may_ask(self) -> bool:
        return self._dispatcher.link is not None and not self._is_closed

    def _changing(self, recall: Recall) -> None:
        self._changes[recall] += 1
        self.doubt(recall)

    def _changed(self, recall: Recall) -> None:
        """Ask once after the last of the commands that change the values together."""
        self._changes[recall] -= 1
        if self._changes[recall] or not self._may_ask:
            return
        if recall in self._questions:
            self._questions[recall].again = True
        else:
            self._ask(recall, [])
