"""What happened, in the journal's words and in counts, with what every row must say: epoch and lease.

Nothing is decided here. Next to read: `core`, and ``journal.schema`` for what becomes of it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.dialects.tma2020.envelope import CommandEnvelope
from mtmount_twisted.journal.limited import LimitedJournal

REASONS = ("not sent", "outcome unknown", "timed out", "busy", "refused", "malformed")
"""What the explanation of a NoAck of the bridge's own begins with."""


class Diary:
    """Writes to a journal; the messages of clients without rights are bounded (`journal.limited`).

    :param journal: see `interfaces.IJournal`.
    :param clock: an ``IReactorTime`` whose `seconds` is monotonic.
    :ivar epoch: number of the last connection to the controller; 0 before the first.
    :ivar counts: how often what happened.
    """

    def __init__(self, journal: Any, clock: IReactorTime) -> None:
        self.epoch = 0
        self.counts: Counter[str] = Counter()
        self._journal = journal
        self._limited = LimitedJournal(journal, clock, self.counts)

    def _for(self, privileged: bool) -> Any:
        return self._journal if privileged else self._limited

    def heard(self, peer: str, line: bytes, privileged: bool = True) -> None:
        """Record a line from a peer.

        :param privileged: False if the line is from a client without rights; so in the other methods.
        """
        self._for(privileged).message(peer, "from", self.epoch, line)

    def told(self, peer: str, line: bytes, privileged: bool = True) -> None:
        """Record a line to a peer."""
        self._for(privileged).message(peer, "to", self.epoch, line)

    def event(self, kind: str, peer: str, detail: str = "", privileged: bool = True) -> None:
        """Record what is neither a line nor a command."""
        self._for(privileged).event(kind, peer, self.epoch, detail)

    def step(
        self,
        step: str,
        client: Any,
        header: CommandEnvelope,
        key: int,
        lease: int,
        explanation: str = "",
        privileged: bool = True,
    ) -> None:
        """Record a step of a command; `key` is 0 for one that never went towards the controller."""
        self._for(privileged).step(
            key, step, client.name, self.epoch, header.sequence_id, header.code, lease, explanation
        )

    def given_up(
        self, client: Any, header: CommandEnvelope, key: int, lease: int, why: str, privileged: bool = True
    ) -> None:
        """Count and record that the bridge ended a command, under the reason that `why` begins with."""
        reason = next(word for word in REASONS if why.startswith(word)).replace(" ", "_")
        self.counts[reason] += 1
        self.step(reason, client, header, key, lease, why, privileged)

    def close(self) -> None:
        """Record the counts of omitted rows that are not recorded yet, and stop the timer."""
        self._limited.close()
