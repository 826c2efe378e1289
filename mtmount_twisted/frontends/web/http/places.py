"""Bounds on the HTTP connections of each address, so that strangers can't keep users out.

A connection has a place from its start until it is gone. Half of the places are reserved for users with the
role to stop the mount or to command it. The other half is shared by observers and by addresses from which no
such user has sent a token. When places run short, an idle connection gives way to a newcomer. The module
holds values only and does not use Twisted. Next to read: `site`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from mtmount_twisted.hosts import client_network
from mtmount_twisted.net.by_network import ByNetwork
from mtmount_twisted.net.known_addresses import KnownAddresses
from mtmount_twisted.net.unix_sockets import USER

KEPT_FREE = 4
"""One place in four is kept free for newcomers, by closing idle connections."""

GRACE = 0.25
"""The time in which a new connection can show a token before it gives way to newcomers, in seconds."""


class Occupant(Protocol):
    """A connection that has a place."""

    @property
    def idle_since(self) -> float | None:
        """The time since which it is idle (clock, s); None if it is not idle."""

    @property
    def is_asking(self) -> bool:
        """True while a complete request waits for its answer, and the peer reads."""


C = TypeVar("C", bound=Occupant)


@dataclass(eq=False, slots=True)
class Place(Generic[C]):
    """The place of one connection.

    :ivar connection: the connection.
    :ivar network: the network of the peer, as `client_network` names it.
    :ivar since: the time at which the connection got the place (clock, s).
    :ivar accepted: True once a request on the connection was accepted.
    :ivar observes: True if the last accepted request was that of an observer.
    :ivar leaving: True once the connection has begun to close.
    """

    connection: C
    network: str
    since: float
    accepted: bool = False
    observes: bool = False
    leaving: bool = False


class Places(Generic[C]):
    """The places of all connections, by address; an IPv6 address counts as its /64 network.

    :param total: the largest number of connections.
    :param per_address: the largest number of connections of one address. A user on a Unix
        socket, which stands for an address, has no such bound, because it may be a proxy.
    :param now: returns the monotonic clock, in seconds.
    :param close: starts to close a connection that gives way. It returns True if it has aborted the
        connection: the place is then free at once; otherwise the place is free once the connection is gone.
    """

    def __init__(
        self, total: int, per_address: int, now: Callable[[], float], close: Callable[[C], object]
    ) -> None:
        self._total = total
        self._per_address = per_address
        self._strangers = total - total // 2
        self._now = now
        self._close = close
        self._places: ByNetwork[Place[C]] = ByNetwork()
        self._staying: ByNetwork[Place[C]] = ByNetwork()  # the places that are not leaving
        self._known = KnownAddresses(now)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take_place(self, connection: C, host: str) -> Place[C] | None:
        """Give a connection a place, and make room for the next one.

        :param host: the peer's address, as `unix_sockets.host_of` returns it.
        :returns: the place; None if the connection must be refused.
        """
        network = client_network(host)
        if self._count >= self._total:
            return None
        if not self.is_known(network) and self._held_by_strangers() >= self._strangers:
            return None
        full = _is_address(network) and len(self._places.of(network)) >= self._per_address
        if full and not self._replace_idle(self._places.of(network)):
            return None
        place = Place(connection, network, self._now())
        self._places.add(network, place)
        self._staying.add(network, place)
        self._count += 1
        if not full:
            self._make_room(place)
        return place

    def give_back(self, place: Place[C]) -> None:
        """Free the place of a connection that is gone."""
        if place in self._places.of(place.network):
            self._places.discard(place.network, place)
            self._staying.discard(place.network, place)
            self._count -= 1

    def accept(self, place: Place[C], known: bool, observes: bool = False) -> None:
        """Record that a request on a connection was accepted.

        :param known: True if the request makes its address known.
        :param observes: True if the user is an observer. An observer makes no address known, and counts as a
            stranger at every address.
        """
        place.accepted = True
        if place.observes != observes:
            place.observes = observes
            self._make_room(place)
        if known and not observes:
            self._known.note(place.network)

    def is_known(self, network: str) -> bool:
        """Return True if a user with rights has sent a request from this network within the last hour."""
        return self._known.holds(
            network,
            lambda: any(place.accepted and not place.observes for place in self._places.of(network)),
        )

    def _known_of(self, places: ByNetwork[Place[C]]) -> dict[str, list[Place[C]]]:
        """Return the places of known networks that no observer holds, by network."""
        return {
            network: [place for place in places.of(network) if not place.observes]
            for network in self._known.networks() & places.networks()
            if self.is_known(network)
        }

    def _held_by_strangers(self) -> int:
        return self._count - sum(map(len, self._known_of(self._places).values()))

    def _strange(self) -> list[Collection[Place[C]]]:
        """Return the places of strangers that are not leaving, by network."""
        known = self._known_of(self._staying)
        strange = [places for network, places in self._staying.groups() if network not in known]
        observers = [[place for place in self._staying.of(network) if place.observes] for network in known]
        return [*strange, *filter(None, observers)]

    def _make_room(self, newest: Place[C]) -> None:
        """Close one connection if few places are left for the address of the newest place, in its half, or in
        total."""
        network = newest.network
        places, groups = self._staying.of(network), [each for _, each in self._staying.groups()]
        strange = self._strange() if newest.observes or not self.is_known(network) else []
        if _is_address(network) and _is_short(len(places), self._per_address):
            self._close_one_of([places], newest, self._per_address)
        elif _is_short(sum(map(len, strange)), self._strangers):
            self._close_one_of(strange, newest, self._strangers)
        elif _is_short(sum(map(len, groups)), self._total):
            self._close_one_of(groups, newest, self._total)

    def _replace_idle(self, places: Collection[Place[C]]) -> bool:
        """Close the longest idle connection of an address that has reached its bound, if one is idle.

        The newcomer gets its place at once. While another connection of the address is closing, none is
        replaced, so that the address exceeds its bound by one at most.

        :returns: True if a connection was closed.
        """
        idle = _longest_idle(places)
        if idle is None or any(place.leaving for place in places):
            return False
        self._give_up(idle)
        return True

    def _give_up(self, place: Place[C]) -> None:
        place.leaving = True
        self._staying.discard(place.network, place)
        if self._close(place.connection):
            self.give_back(place)

    def _close_one_of(self, groups: Iterable[Collection[Place[C]]], newest: Place[C], bound: int) -> None:
        """Close the oldest connection without an accepted request, or else the one that is idle for longest.

        A new connection has `GRACE` to show a token. If no place is left, the oldest connection of an
        observer is closed, because an unfinished request must not hold a place that a stop needs. If there is
        none, the oldest connection that still has `GRACE` is closed. A connection that waits for an answer is
        never closed. The address with the most connections is searched first.

        :param groups: the connections to choose from, by address; none of them is leaving.
        :param bound: the number of places that they share.
        """
        given = sorted(groups, key=len, reverse=True)
        is_full = sum(map(len, given)) >= bound
        for places in given:
            staying = [place for place in places if place is not newest]
            free = [place for place in staying if not place.connection.is_asking]
            unproven = next((place for place in free if not place.accepted), None)
            is_fresh = unproven is not None and self._now() < unproven.since + GRACE
            chosen = (None if is_fresh else unproven) or _longest_idle(staying)
            if chosen is None and is_full:
                chosen = next((place for place in free if place.observes), unproven)
            if chosen is not None:
                self._give_up(chosen)
                return


def _longest_idle(places: Iterable[Place[C]]) -> Place[C] | None:
    """Return the place with the connection that is idle for longest; None if none is idle."""
    idle = {place: since for place in places if (since := place.connection.idle_since) is not None}
    return min(idle, key=idle.__getitem__, default=None)


def _is_address(network: str) -> bool:
    return network != "" and not network.startswith(USER)


def _is_short(staying: int, bound: int) -> bool:
    """Return True if fewer places are left than one in `KEPT_FREE`; a bound below 4 keeps none free."""
    return staying > bound - bound // KEPT_FREE
