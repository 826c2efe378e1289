"""`Tee`: what the bridge records goes to the journal, and on to whoever watches.

It stands where the bridge expects its journal. Who watches is called at once, with the row's number in
the journal and the time, and must neither block nor raise nor take long: it is in the way of a command.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from ..interfaces import IJournal

OnMessage = Callable[[int, float, str, str, int, bytes], None]
"""Called with number, time, peer, direction, epoch, line."""

OnStep = Callable[[int, float, int, str, str, int, int, int, int, str], None]
"""Called with number, time, key, step, peer, epoch, sequence id, code, lease, explanation."""

OnEvent = Callable[[int, float, str, str, int, str], None]
"""Called with number, time, kind, peer, epoch, detail."""


@implementer(IJournal)
class Tee:
    """Passes on all that happens.

    :param journal: an `IJournal`.
    :param wall_clock: seconds, Unix time.
    :ivar on_message: who is told of each line; and so are `on_step` and `on_event`.
    """

    def __init__(self, journal: Any, wall_clock: Callable[[], float] = time.time) -> None:
        self.journal = journal
        self.on_message: list[OnMessage] = []
        self.on_step: list[OnStep] = []
        self.on_event: list[OnEvent] = []
        self._now = wall_clock

    def message(self, peer: str, direction: str, epoch: int, line: bytes) -> int:
        """A line came or went."""
        number: int = self.journal.message(peer, direction, epoch, line)
        if self.on_message:
            now = self._now()
            for watch in self.on_message:
                watch(number, now, peer, direction, epoch, line)
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
    ) -> int:
        """A step in the life of a command."""
        number: int = self.journal.step(key, step, peer, epoch, sequence_id, code, lease, explanation)
        now = self._now()
        for watch in self.on_step:
            watch(number, now, key, step, peer, epoch, sequence_id, code, lease, explanation)
        return number

    def event(self, kind: str, peer: str, epoch: int, detail: str = "") -> int:
        """Something happened that is neither."""
        number: int = self.journal.event(kind, peer, epoch, detail)
        now = self._now()
        for watch in self.on_event:
            watch(number, now, kind, peer, epoch, detail)
        return number
