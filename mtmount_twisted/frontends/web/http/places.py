"""Bound the connections of each address to the page, so that strangers can't keep users out.

A connection has a place from its start until it is gone, however long its end takes. Half of the places are
kept for users who may stop the mount or command it: the connections at an address where no such user has
shown a token, and those of users who only observe, share the other half. When places run short, a connection
that does nothing gives way to a newcomer. Values only: no Twisted. Next to read: `site`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from mtmount_twisted.hosts import client_network
from mtmount_twisted.net.by_network import ByNetwork
from mtmount_twisted.net.known_addresses import KnownAddresses

KEPT_FREE = 4
"""One place in so many is kept free for newcomers, by closing connections that do nothing."""


@dataclass(eq=False, slots=True)
class SocketAddress:
    """The place of one connection.

    :ivar connection: its owner. It has `idle_since` (s, by the clock; None if it is not idle), and
        `is_asking` (True while a request that has arrived whole waits for its answer, and the peer reads).
    :ivar network: where its peer is, as `client_network` names it.
    :ivar accepted: True once a request on it was accepted: with a token, or where there are no tokens.
    :ivar observes: True if that was the request of a user who may neither stop the mount nor command it.
    :ivar leaving: True once it was told to close.
    """

    connection: Any
    network: str
    accepted: bool = False
    observes: bool = False
    leaving: bool = False


class Places:
    """Counts connections by address; of IPv6, by the network of 64 bits that a household is given.

    :param total: how many there may be.
    :param per_address: how many of them from one address; a peer without an address has no such bound.
    :param now: return the time, in seconds, monotonic.
    :param close: called with a connection that gives up its place: it begins to close. It returns True if the
        connection was aborted, so that its place is free at once; else the place is free once it is gone.
    """

    def __init__(
        self, total: int, per_address: int, now: Callable[[], float], close: Callable[[Any], object]
    ) -> None:
        self._total = total
        self._per_address = per_address
        self._strangers = total - total // 2
        self._close = close
        self._places: ByNetwork[SocketAddress] = ByNetwork()
        self._known = KnownAddresses(now)
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
        if not self.is_known(network) and self._held_by_strangers() >= self._strangers:
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

    def accept(self, place: SocketAddress, known: bool, observes: bool = False) -> None:
        """Note that a request on a connection was accepted.

        :param known: whether its address becomes known by that.
        :param observes: whether its user may neither stop the mount nor command it. Such a user makes no
            address known, and counts as a stranger at each address.
        """
        place.accepted = True
        if place.observes != observes:
            place.observes = observes
            self._make_room(place)
        if known and not observes:
            self._known.note(place.network)

    def is_known(self, network: str) -> bool:
        """Whether an address, or one in its network, has shown a token lately."""
        return self._known.holds(network, lambda: any(place.accepted for place in self._places.of(network)))

    def _strange(self) -> list[list[SocketAddress]]:
        """Return the places of strangers, by network."""
        return [
            [place for place in places if place.observes or not is_known]
            for network, places in self._places.groups()
            for is_known in (self.is_known(network),)
        ]

    def _held_by_strangers(self) -> int:
        return sum(len(places) for places in self._strange())

    def _make_room(self, newest: SocketAddress) -> None:
        """Close a connection that does nothing, if few places are left where the newest one is."""
        network = newest.network
        places, groups = self._places.of(network), [each for _, each in self._places.groups()]
        strange = self._strange() if newest.observes or not self.is_known(network) else []
        if network and _is_short(_staying(places), self._per_address):
            self._close_one_of([places], newest, self._per_address)
        elif _is_short(sum(map(_staying, strange)), self._strangers):
            self._close_one_of(strange, newest, self._strangers)
        elif _is_short(sum(map(_staying, groups)), self._total):
            self._close_one_of(groups, newest, self._total)

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
        if self._close(place.connection):
            self.give_back(place)

    def _close_one_of(
        self, groups: Iterable[Collection[SocketAddress]], newest: SocketAddress, bound: int
    ) -> None:
        """Close the oldest connection without an accepted request, else the one that is idle for longest.

        With no place left, the oldest connection of a user who only observes gives way, too: a request that
        is begun and never ended must not hold a place that a STOP needs. A connection that waits for an
        answer never gives way. The address that has most goes first: one with few is not closed for one with
        many.

        :param groups: the connections among which one is chosen, by address.
        :param bound: how many places they share.
        """
        given = sorted(groups, key=_staying, reverse=True)
        is_full = sum(map(_staying, given)) >= bound
        for places in given:
            staying = [place for place in places if not place.leaving and place is not newest]
            free = [place for place in staying if not place.connection.is_asking]
            unproven = next((place for place in free if not place.accepted), None)
            idle = [place for place in staying if place.connection.idle_since is not None]
            chosen = unproven or min(idle, key=lambda place: place.connection.idle_since, default=None)
            if chosen is None and is_full:
                chosen = next((place for place in free if place.observes), None)
            if chosen is not None:
                self._give_up(chosen)
                return


def _staying(places: Iterable[SocketAddress]) -> int:
    return sum(not place.leaving for place in places)


def _is_short(staying: int, bound: int) -> bool:
    """Whether fewer places are left than are to be kept free; of one to three none is."""
    return staying > bound - bound // KEPT_FREE
