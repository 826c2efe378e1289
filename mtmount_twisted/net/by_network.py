"""Groups of connections by network: a full server closes a connection of the largest group, and the networks
have turns.

Values only: no Twisted. Next to read: the two modules ``places``, of ``frontends.tcp`` and of
``frontends.web.http``, which select the connection to close; `handshakes`, which gives the turns.
"""

from __future__ import annotations

from collections.abc import Collection, ItemsView, KeysView
from typing import Generic, TypeVar

Member = TypeVar("Member")


class ByNetwork(Generic[Member]):
    """Members in groups, one group for each `hosts.client_network`; each group is ordered by age."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[Member, None]] = {}

    def of(self, network: str) -> Collection[Member]:
        """Return the members of a network."""
        return self._groups.get(network, {}).keys()

    def groups(self) -> ItemsView[str, Collection[Member]]:
        """Return each network that has members, with its members."""
        return self._groups.items()

    def networks(self) -> KeysView[str]:
        """Return the networks that have members."""
        return self._groups.keys()

    def largest(self) -> Collection[Member]:
        """Return the members of the network that has most; none if there are no members."""
        return max(self._groups.values(), key=len, default={}).keys()

    def pop(self) -> Member:
        """Remove and return the oldest member of the next network, which then goes behind the others.

        There must be a member.
        """
        network = next(iter(self._groups))
        group = self._groups.pop(network)
        member = next(iter(group))
        del group[member]
        if group:
            self._groups[network] = group
        return member

    def add(self, network: str, member: Member) -> None:
        """Add a member to a network."""
        self._groups.setdefault(network, {})[member] = None

    def discard(self, network: str, member: Member) -> None:
        """Remove a member of a network, if it is one."""
        group = self._groups.get(network, {})
        group.pop(member, None)
        if not group:
            self._groups.pop(network, None)
