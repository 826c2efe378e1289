"""Bound the connections of each address to the page, so that strangers can't keep users out.

A place is counted from when a connection is accepted until it is gone, however long its end takes. Strangers,
those at an address that has shown no token, share half of the places; and a connection on which nobody has
shown a token gives way to newcomers when places run short. Values only: no Twisted. Next to read: `site`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from mtmount_twisted.hosts import client_network

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
    :ivar accepted: True once a request on it was accepted: with a token, or where there are no tokens.
    :ivar leaving: True once it was told to close.
    """

    connection: Any
    peers: _Peers
    accepted: bool = False
    leaving: bool = False


@dataclass(eq=False, slots=True)
class _Peers:
    """The places of one address, oldest first."""

    name: str
    places: dict[SocketAddress, None] = field(default_factory=dict)
    accepted: int = 0


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
        self._peers: dict[str, _Peers] = {}
        self._known: OrderedDict[str, float] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, connection: Any, host: str) -> SocketAddress | None:
        """Give a connection a place, and make room for the next one.

        :param host: the peer's address; empty if it has none.
        :returns: None if it has to be refused.
        """
        name = client_network(host)
        peers = self._peers.get(name) or _Peers(name)
        if self._count >= self._total:
            return None
        if not self._is_known(peers) and self._held_by_strangers(leaving=True) >= self._strangers:
            return None
        full = bool(name) and len(peers.places) >= self._per_address
        if full and not self._replace_idle(peers):
            return None
        self._peers[name] = peers
        place = SocketAddress(connection, peers)
        peers.places[place] = None
        self._count += 1
        if not full:
            self._make_room(place)
        return place

    def give_back(self, place: SocketAddress) -> None:
        """Note that a connection is gone."""
        peers = place.peers
        if place in peers.places:
            del peers.places[place]
            peers.accepted -= place.accepted
            self._count -= 1
            if not peers.places:
                del self._peers[peers.name]

    def accept(self, place: SocketAddress, known: bool) -> None:
        """Note that a request on a connection was accepted.

        :param known: whether its address becomes known by that.
        """
        if not place.accepted:
            place.accepted = True
            place.peers.accepted += 1
        if known:
            self._known[place.peers.name] = self._now() + KNOWN_TIME
            self._known.move_to_end(place.peers.name)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    def _is_known(self, peers: _Peers) -> bool:
        name = peers.name
        if name not in self._known:
            return False
        if peers.accepted == 0 and self._known[name] < self._now():
            del self._known[name]
            return False
        return True

    def _held_by_strangers(self, leaving: bool) -> int:
        return sum(
            len(peers.places) if leaving else _staying(peers)
            for peers in self._peers.values()
            if not self._is_known(peers)
        )

    def _make_room(self, newest: SocketAddress) -> None:
        """Close a connection that does nothing, if few places are left where the newest one is."""
        peers = newest.peers
        if peers.name and _is_short(_staying(peers), self._per_address):
            self._close_one_of([peers], newest)
        elif not self._is_known(peers) and _is_short(self._held_by_strangers(leaving=False), self._strangers):
            strangers = [each for each in self._peers.values() if each.name not in self._known]
            self._close_one_of(strangers, newest)
        elif _is_short(sum(map(_staying, self._peers.values())), self._total):
            self._close_one_of(self._peers.values(), newest)

    def _replace_idle(self, peers: _Peers) -> bool:
        """Close the longest idle connection of an address that has all that it may have, if one is idle.

        The newcomer has its place at once. While one leaves none is replaced, so that an address exceeds its
        bound by one at most.

        :returns: whether one was idle.
        """
        idle = [place for place in peers.places if place.connection.idle_since is not None]
        if not idle or any(place.leaving for place in peers.places):
            return False
        self._give_up(min(idle, key=lambda place: place.connection.idle_since))
        return True

    def _give_up(self, place: SocketAddress) -> None:
        place.leaving = True
        self._close(place.connection)

    def _close_one_of(self, groups: Iterable[_Peers], newest: SocketAddress) -> None:
        """Close the oldest connection without an accepted request, else the one that is idle for longest.

        It is one of the address that has most of them: an address with few is not closed for one with many.
        """
        for peers in sorted(groups, key=_staying, reverse=True):
            staying = [place for place in peers.places if not place.leaving and place is not newest]
            unproven = next((place for place in staying if not place.accepted), None)
            idle = [place for place in staying if place.connection.idle_since is not None]
            chosen = unproven or min(idle, key=lambda place: place.connection.idle_since, default=None)
            if chosen is not None:
                self._give_up(chosen)
                return


def _staying(peers: _Peers) -> int:
    return sum(not place.leaving for place in peers.places)


def _is_short(staying: int, bound: int) -> bool:
    """Whether fewer places are left than are to be kept free; of one to three none is."""
    return staying > bound - bound // KEPT_FREE
