"""What happened, in the journal's words and in counts, with what every row must say: epoch and lease.

Nothing is decided here. Next to read: `core`, and ``journal.schema`` for what becomes of it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from .header import DownHeader

REASONS = ("not sent", "outcome unknown", "timed out", "busy", "refused", "malformed")
"""What the explanation of a NoAck of the bridge's own begins with."""


class Diary:
    """Writes to a journal.

    :param journal: see `interfaces.IJournal`.
    :ivar epoch: number of the last connection to the controller; 0 before the first.
    :ivar counts: how often what happened.
    """

    def __init__(self, journal: Any) -> None:
        self.epoch = 0
        self.counts: Counter[str] = Counter()
        self._journal = journal

    def heard(self, peer: str, line: bytes) -> None:
        """A peer said a line."""
        self._journal.message(peer, "from", self.epoch, line)

    def told(self, peer: str, line: bytes) -> None:
        """A line went to a peer."""
        self._journal.message(peer, "to", self.epoch, line)

    def event(self, kind: str, peer: str, detail: str = "") -> None:
        """Something happened that is neither a line nor a command."""
        self._journal.event(kind, peer, self.epoch, detail)

    def step(
        self, step: str, client: Any, header: DownHeader, key: int, lease: int, explanation: str = ""
    ) -> None:
        """A step in the life of a command; `key` is 0 for one that never went towards the controller."""
        self._journal.step(
            key, step, client.name, self.epoch, header.sequence_id, header.code, lease, explanation
        )

    def given_up(self, client: Any, header: DownHeader, key: int, lease: int, why: str) -> None:
        """The bridge itself ended a command: counted, and told, under the reason that `why` begins with."""
        reason = next(word for word in REASONS if why.startswith(word)).replace(" ", "_")
        self.counts[reason] += 1
        self.step(reason, client, header, key, lease, why)
