"""Bound the connections of each address to the page, so that strangers can't keep users out.

A place is counted from when a connection is accepted until it is gone, however long its end takes. Strangers,
those at an address that has shown no token, share half of the places; and a connection on which nobody has
shown a token gives way to newcomers when places run short. Values only: no Twisted. Next to read: `site`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from mtmount_twisted.hosts import client_network
from mtmount_twisted.net.by_network import ByNetwork

KNOWN_TIME = 3600.0
"""How long an address stays known after its last accepted request, in seconds."""

MAX_KNOWN = 1000
"""How many addresses are known at most; the one whose last accepted request is oldest is forgotten first."""

KEPT_FREE = 4
"""One place in so many is kept free for newcomers, by closing connections that do nothing."""


@dataclass(eq=False, slots=True)
class SocketAddress:
    """The place of one connection.

    :ivar connection: its owner, which is asked for `idle_since` (s, by the clock; None if it is not idle).
    :ivar network: where its peer is, as `client_network` names it.
    :ivar accepted: True once a request on it was accepted: with a token, or where there are no tokens.
    :ivar leaving: True once it was told to close.
    """

    connection: Any
    network: str
    accepted: bool = False
    leaving: bool = False


class Places:
    """Counts connections by address; of IPv6, by the network of 64 bits that a household is given.

    :param total: how many there may be.
    :param per_address: how many of them from one address; a peer without an address has no such bound.
    :param now: return the time, in seconds, monotonic.
    :param close: called with a connection that gives up its place: it must begin to close, and not count yet
        as gone.
    """

    def __init__(
        self, total: int, per_address: int, now: Callable[[], float], close: Callable[[Any], None]
    ) -> None:
        self._total = total
        self._per_address = per_address
        self._strangers = total - total // 2
        self._now = now
        self._close = close
        self._places: ByNetwork[SocketAddress] = ByNetwork()
        self._known: OrderedDict[str, float] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, connection: Any, host: str) -> SocketAddress | None:
        """Give a connection a place, and make room for the next one.

        :param host: the peer's address; empty if it has none.
        :returns: None if it has to be refused.
        """
        network = client_network(host)
        if self._count >= self._total:
            return None
        if not self._is_known(network) and self._held_by_strangers(leaving=True) >= self._strangers:
            return None
        full = bool(network) and len(self._places.of(network)) >= self._per_address
        if full and not self._replace_idle(self._places.of(network)):
            return None
        place = SocketAddress(connection, network)
        self._places.add(network, place)
        self._count += 1
        if not full:
            self._make_room(place)
        return place

    def give_back(self, place: SocketAddress) -> None:
        """Note that a connection is gone."""
        if place in self._places.of(place.network):
            self._places.discard(place.network, place)
            self._count -= 1

    def accept(self, place: SocketAddress, known: bool) -> None:
        """Note that a request on a connection was accepted.

        :param known: whether its address becomes known by that.
        """
        place.accepted = True
        if known:
            self._known[place.network] = self._now() + KNOWN_TIME
            self._known.move_to_end(place.network)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    def _is_known(self, network: str) -> bool:
        if network not in self._known:
            return False
        is_used = any(place.accepted for place in self._places.of(network))
        if not is_used and self._known[network] < self._now():
            del self._known[network]
            return False
        return True

    def _held_by_strangers(self, leaving: bool) -> int:
        return sum(
            len(places) if leaving else _staying(places)
            for network, places in self._places.groups()
            if not self._is_known(network)
        )

    def _make_room(self, newest: SocketAddress) -> None:
        """Close a connection that does nothing, if few places are left where the newest one is."""
        network = newest.network
        places, groups = self._places.of(network), self._places.groups()
        if network and _is_short(_staying(places), self._per_address):
            self._close_one_of([places], newest)
        elif not self._is_known(network) and _is_short(
            self._held_by_strangers(leaving=False), self._strangers
        ):
            self._close_one_of([each for name, each in groups if name not in self._known], newest)
        elif _is_short(sum(_staying(each) for _, each in groups), self._total):
            self._close_one_of([each for _, each in groups], newest)

    def _replace_idle(self, places: Collection[SocketAddress]) -> bool:
        """Close the longest idle connection of an address that has all that it may have, if one is idle.

        The newcomer has its place at once. While one leaves none is replaced, so that an address exceeds its
        bound by one at most.

        :returns: whether one was idle.
        """
        idle = [place for place in places if place.connection.idle_since is not None]
        if not idle or any(place.leaving for place in places):
            return False
        self._give_up(min(idle, key=lambda place: place.connection.idle_since))
        return True

    def _give_up(self, place: SocketAddress) -> None:
        place.leaving = True
        self._close(place.connection)

    def _close_one_of(self, groups: Iterable[Collection[SocketAddress]], newest: SocketAddress) -> None:
        """Close the oldest connection without an accepted request, else the one that is idle for longest.

        It is one of the address that has most of them: an address with few is not closed for one with many.
        """
        for places in sorted(groups, key=_staying, reverse=True):
            staying = [place for place in places if not place.leaving and place is not newest]
            unproven = next((place for place in staying if not place.accepted), None)
            idle = [place for place in staying if place.connection.idle_since is not None]
            chosen = unproven or min(idle, key=lambda place: place.connection.idle_since, default=None)
            if chosen is not None:
                self._give_up(chosen)
                return


def _staying(places: Iterable[SocketAddress]) -> int:
    return sum(not place.leaving for place in places)


def _is_short(staying: int, bound: int) -> bool:
    """Whether fewer places are left than are to be kept free; of one to three none is."""
    return staying > bound - bound // KEPT_FREE
