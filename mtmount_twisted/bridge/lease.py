"""The lease: the holder of command, and the rule by which another client may take command from it.

The rules are those of ``protocol-tma2020.rst``: any client may ask at any time, and command cannot be taken
from the HHD. `Lease` knows neither time nor connections. Next to read: `arbiter`, which changes it.
"""

from __future__ import annotations

from msgspec import Struct

from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.interfaces import IClient


class Lease(Struct):
    """The present lease.

    :ivar holder: the client that has command, or None.
    :ivar number: the number of the latest lease, counted from 1; 0 before the first.
    """

    holder: IClient | None = None
    number: int = 0

    def of(self, client: IClient) -> int:
        """Return the number of the lease that a client holds; 0 if it holds none."""
        return self.number if self.holder is client else 0

    def why_not(self, grantee: IClient) -> str:
        """Return the reason why this client cannot have command; empty if it can."""
        holder = self.holder
        if holder is None or holder is grantee or holder.source != Source.HHD:
            return ""
        return f"{holder.name} has command, and command cannot be taken from the HHD"

    def grant(self, grantee: IClient) -> None:
        """Give command to a client. A client that has it keeps its lease."""
        if self.holder is not grantee:
            self.holder = grantee
            self.number += 1

    def pass_on(self, successor: IClient) -> None:
        """Replace the holder by the object that a reload made for the same commander. The lease goes on."""
        self.holder = successor

    def release(self) -> None:
        """End the lease."""
        self.holder = None

    def describe(self) -> str:
        """Return a text that names the holder, for explanations and the log."""
        return "nobody has command" if self.holder is None else f"{self.holder.name} has command"
