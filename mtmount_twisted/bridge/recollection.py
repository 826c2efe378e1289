"""What the bridge asks a newly connected controller for, and answers from memory: its state and its settings.

The first answer of a mount may take a minute, and is long ("STATE_INFO and settings" in the protocol of
2022). So the bridge asks once for each connection, and commanders that ask later receive the last values.
Nothing stale is sent: until the controller has answered on this connection, a question of a commander is
passed on, and so it is once the memory may lack something.

Next to read: `last_values`, the memory; `core`, the caller.
"""

from __future__ import annotations

import logging
from functools import partial

from mtmount_twisted.dialects.dialect import Dialect, EventEnvelope, Meaning, Recall

from .dispatcher import CommandDispatcher
from .effects import Effect, Log
from .last_values import LastValueCache


class Recollection:
    """Asks the controller, and knows which questions can be answered from memory."""

    def __init__(
        self, effects: list[Effect], dispatcher: CommandDispatcher, known: LastValueCache, dialect: Dialect
    ) -> None:
        self._effects = effects
        self._dispatcher = dispatcher
        self._known = known
        self._dialect = dialect
        self._answered: set[Recall] = set()
        self._lacking: set[Recall] = set()

    def link_up(self) -> None:
        """Ask a newly connected controller."""
        self._answered.clear()
        self._lacking.clear()
        for question in self._dialect.questions():
            recall = self._dispatcher.header_of(question).kind.recalls
            if recall is not None:
                self._dispatcher.begin_own(question, partial(self._note, recall))

    def _note(self, recall: Recall, meaning: Meaning | None, explanation: str) -> None:
        if meaning is Meaning.SUCCEEDED:
            self._answered.add(recall)
        elif meaning is not None or explanation.startswith("timed out"):  # no loss of the link
            text = "the controller did not tell its %s: %s"
            self._effects.append(Log(logging.WARNING, text, (recall.value, explanation or "no reason given")))

    def doubt(self, recall: Recall) -> None:
        """Answer a question no longer from memory until the next connection: something may be missing."""
        self._lacking.add(recall)

    def of(self, recall: Recall) -> list[EventEnvelope] | None:
        """Return the events that answer a question; None if it must be passed on."""
        if recall not in self._answered or recall in self._lacking:
            return None
        return self._known.current if recall is Recall.STATE else self._known.current_apart or None
