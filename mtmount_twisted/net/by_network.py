"""Group connections by the address of their peer, so that an address with many gives way to the others.

Values only: no Twisted. Next to read: the two modules ``places``, of ``frontends.tcp`` and of
``frontends.web.http``, which decide whose connection is closed.
"""

from __future__ import annotations

from collections.abc import Collection, ItemsView
from typing import Generic, TypeVar

Member = TypeVar("Member")


class ByNetwork(Generic[Member]):
    """Members in groups, one for each network as `hosts.client_network` names it; each oldest first."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[Member, None]] = {}

    def of(self, network: str) -> Collection[Member]:
        """Return the members of a network."""
        return self._groups.get(network, {}).keys()

    def groups(self) -> ItemsView[str, Collection[Member]]:
        """Return the networks that have members, each with those."""
        return self._groups.items()

    def largest(self) -> Collection[Member]:
        """Return the members of the network that has most; none if there are no members."""
        return max(self._groups.values(), key=len, default={}).keys()

    def add(self, network: str, member: Member) -> None:
        """Add a member to a network."""
        self._groups.setdefault(network, {})[member] = None

    def discard(self, network: str, member: Member) -> None:
        """Remove a member of a network, if it is one."""
        group = self._groups.get(network, {})
        group.pop(member, None)
        if not group:
            self._groups.pop(network, None)
