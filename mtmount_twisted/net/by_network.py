"""Groups of connections by network: a full server closes a connection of the largest group, and the networks
have turns, or fair shares.

Values only: no Twisted. Next to read: the two modules ``places``, of ``frontends.tcp`` and of
``frontends.web.http``, which select the connection to close; `handshakes` and `records`, which give the
turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, ItemsView, KeysView
from heapq import heapify, heappop, heappush
from math import exp, inf, log, log1p
from typing import Generic, TypeVar

Member = TypeVar("Member")

MEMORY = 2.0
"""The time in which the past of a network counts for less by a factor of e, in seconds."""

LEAST_USE = 1 / 32
"""The use below which all networks are alike: strangers that come without end are no better than a user that
has sent little."""

OLDEST_EACH = 4
"""Of so many members in a row, one is of the network that waits longest, whatever its members cost."""

MOST_REMEMBERED = 4096
"""The largest number of networks with a remembered use. The one that was served least lately is forgotten."""

MOST_LEFT = 64
"""The number of networks in the heap that wait no more and need not be removed from it."""


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


class FairNetworks(ByNetwork[Member]):
    """Members in groups by network; a network that has needed little goes before those that have needed much.

    The use of a network is the sum of the costs of its members. A cost counts for less as time passes
    (`MEMORY`). The network that will have the least use with its next member goes first, so a member of low
    cost goes before others. Of equal networks, the one that waits longest goes first. `OLDEST_EACH` bounds
    how long a network waits: newcomers may come without end.

    :param cost: returns the cost of a member, now that it is next.
    :param now: returns the monotonic clock, in seconds.
    """

    def __init__(self, cost: Callable[[Member], float], now: Callable[[], float]) -> None:
        super().__init__()
        self._cost = cost
        self._now = now
        # As all uses fade alike, their order stays. So a use is kept as it would have been at the time 0, as
        # its logarithm, and needs no work while time passes. The networks that were served last are last.
        self._uses: OrderedDict[str, float] = OrderedDict()
        self._heap: list[tuple[float, int, str]] = []  # use, number of the wait, network
        self._waits: dict[str, int] = {}  # the number of the present wait
        self._count = 0  # of the waits so far
        self._served = 0

    def add(self, network: str, member: Member) -> None:
        """Add a member to a network."""
        waits = network in self._groups
        super().add(network, member)
        if not waits:
            self._wait(network)

    def discard(self, network: str, member: Member) -> None:
        """Remove a member of a network, if it is one."""
        super().discard(network, member)
        if network not in self._groups:
            self._waits.pop(network, None)

    def pop(self) -> Member:
        """Remove and return the oldest member of the next network. There must be a member."""
        self._served += 1
        is_oldest = self._served % OLDEST_EACH == 0
        network = next(iter(self._groups)) if is_oldest else self._least_used()
        group = self._groups.pop(network)
        member = next(iter(group))
        del group[member], self._waits[network]
        self._uses[network] = self._use_with(network, member)
        self._uses.move_to_end(network)
        if len(self._uses) > MOST_REMEMBERED:
            self._uses.popitem(last=False)
        if group:
            self._groups[network] = group
            self._wait(network)
        return member

    def _use_with(self, network: str, member: Member) -> float:
        """Return the use of a network with one more member, as it is kept."""
        added = log(self._cost(member)) + self._now() / MEMORY
        before = self._uses.get(network, -inf)
        more = max(added, before)
        return more + log1p(exp(min(added, before) - more))

    def _wait(self, network: str) -> None:
        self._count += 1
        self._waits[network] = self._count
        if len(self._heap) > MOST_LEFT + 2 * len(self._waits):
            self._heap = [place for place in self._heap if self._waits.get(place[2]) == place[1]]
            heapify(self._heap)
        one = self._now() / MEMORY  # a use of 1 now
        use = self._use_with(network, next(iter(self._groups[network])))
        heappush(self._heap, (max(one + log(LEAST_USE), use), self._count, network))

    def _least_used(self) -> str:
        while True:
            _, count, network = heappop(self._heap)
            if self._waits.get(network) == count:
                return network
