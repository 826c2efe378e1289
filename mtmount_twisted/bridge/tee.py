"""`Tee`: what the bridge records goes to the journal, and on to whoever watches.

It stands where the bridge expects its journal. Who watches is called at once, with the row's number in
the journal and the time, and must neither block nor take long: it is in the way of a command. One that
raises is told nothing more, and the log says why; the command goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from mtmount_twisted.interfaces import ITee

OnMessage = Callable[[int, float, str, str, int, bytes], None]
"""Called with number, time, peer, direction, epoch, line."""

OnStep = Callable[[int, float, int, str, str, int, int, int, int, str], None]
"""Called with number, time, key, step, peer, epoch, sequence id, code, lease, explanation."""

OnEvent = Callable[[int, float, str, str, int, str], None]
"""Called with number, time, kind, peer, epoch, detail."""


@implementer(ITee)
class Tee:
    """Passes on all that happens.

    :param journal: an `IJournal` and `IJournalState`.
    :param wall_clock: seconds, Unix time; for what the journal does not keep.
    :param log: where it says that one who watches failed.
    :ivar on_message: who is told of each line; and so are `on_step` and `on_event`.
    """

    def __init__(
        self,
        journal: Any,
        wall_clock: Callable[[], float] = time.time,
        log: logging.Logger | None = None,
    ) -> None:
        self.journal = journal
        self._log = log or logging.getLogger(__name__)
        self.on_message: list[OnMessage] = []
        self.on_step: list[OnStep] = []
        self.on_event: list[OnEvent] = []
        self._now = wall_clock

    def message(self, peer: str, direction: str, epoch: int, line: bytes, privileged: bool = True) -> int:
        """A line came or went."""
        number: int = self.journal.message(peer, direction, epoch, line, privileged)
        if self.on_message:
            self._tell(self.on_message, number, self._time(number), peer, direction, epoch, line)
        return number

    def step(
        self,
        key: int,
        step: str,
        peer: str,
        epoch: int,
        sequence_id: int,
        code: int,
        lease: int,
        explanation: str = "",
        privileged: bool = True,
    ) -> int:
        """A step in the life of a command."""
        row = key, step, peer, epoch, sequence_id, code, lease, explanation
        number: int = self.journal.step(*row, privileged)
        if self.on_step:
            self._tell(self.on_step, number, self._time(number), *row)
        return number

    def event(self, kind: str, peer: str, epoch: int, detail: str = "", privileged: bool = True) -> int:
        """Something happened that is neither."""
        number: int = self.journal.event(kind, peer, epoch, detail, privileged)
        if self.on_event:
            self._tell(self.on_event, number, self._time(number), kind, peer, epoch, detail)
        return number

    def _time(self, number: int) -> float:
        """When a row was recorded: what is in the file has the time that it has there."""
        return self.journal.time if number else self._now()

    def _tell(self, watching: list[Any], *row: Any) -> None:
        for watch in tuple(watching):
            try:
                watch(*row)
            except Exception:
                watching.remove(watch)
                self._log.exception("a subscriber of the bridge failed and receives nothing more: %r", watch)
