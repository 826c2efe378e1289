"""Who has command: one holder at most, and what may take command from it.

The rules are those of ``protocol-tma2020.rst``: anyone may ask at any time, nobody takes command from the
HHD. Here they are pure: `Lease` knows nothing of time or connections. `arbiter` asks it, and tells it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mtmount_twisted.dialects.tma2020.enums import Source


@dataclass(slots=True)
class Lease:
    """Who has command now.

    :ivar holder: the client that has command, or None.
    :ivar number: how many leases there were, this one included: each has a number of its own.
    """

    holder: Any = None
    number: int = 0

    def of(self, client: Any) -> int:
        """The number of the lease that a client holds; 0 if it holds none."""
        return self.number if self.holder is client else 0

    def why_not(self, heir: Any) -> str:
        """Why this client can't be given command; empty if it can."""
        holder = self.holder
        if holder is None or holder is heir or holder.source != Source.HHD:
            return ""
        return f"{holder.name} has command, and nobody can take it from the HHD"

    def grant(self, heir: Any) -> None:
        """Give command to a client. A client that has it keeps its lease."""
        if self.holder is not heir:
            self.holder = heir
            self.number += 1

    def pass_on(self, successor: Any) -> None:
        """The holder is another object now, and the lease the same."""
        self.holder = successor

    def release(self) -> None:
        """Nobody has command any more."""
        self.holder = None

    def describe(self) -> str:
        """Who has command, for people."""
        return "nobody has command" if self.holder is None else f"{self.holder.name} has command"
