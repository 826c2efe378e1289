"""The places of a port, and the client that gives its place to a newcomer when the port is full.

A place is held from when a connection is up until it is gone. At a full port a client without rights may be
disconnected for a newcomer, the first that there is of these:

1. the one that has been closing for longest;
2. the one that has been half-closed for longest: it sends no more, and whether it still listens nobody can
   tell. Not one of another address that holds fewer places than the newcomer's would: no address takes a
   place from one that has less;
3. the oldest of the address that holds most places, if the newcomer's holds fewer with the newcomer.

Else the newcomer is refused. A client with rights gives way to nobody.

Values only: no Twisted. Next to read: `commanders`, whose clients these are.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from mtmount_twisted.hosts import client_network
from mtmount_twisted.net.by_network import ByNetwork


class Holder(Protocol):
    """A client of the port.

    :ivar may_command: True if it has rights.
    """

    may_command: bool


Client = TypeVar("Client", bound=Holder)


class PortPlaces(Generic[Client]):
    """Counts the clients of a port by address; of IPv6, by the network of 64 bits that a household is given.

    :param total: how many places there are.
    :ivar clients: those whose connections are up, or being closed, each with its network; oldest first.
    """

    def __init__(self, total: int) -> None:
        self.clients: dict[Client, str] = {}
        self._total = total
        self._displaced: set[Client] = set()
        # Clients without rights, oldest first: each in one of the first two, those of the third in the first.
        self._staying: ByNetwork[Client] = ByNetwork()
        self._closing: dict[Client, None] = {}
        self._half_closed: dict[Client, None] = {}

    @property
    def held(self) -> int:
        """How many places are held; a client that was displaced for another holds none."""
        return len(self.clients) - len(self._displaced)

    @property
    def are_full(self) -> bool:
        """True if no place is left."""
        return self.held >= self._total

    def take(self, client: Client, host: str) -> None:
        """Give a client a place: its connection is up.

        :param host: the peer's address; empty if it has none.
        """
        network = client_network(host)
        self.clients[client] = network
        if not client.may_command:
            self._staying.add(network, client)

    def note_half_closed(self, client: Client) -> None:
        """Note that a client sends no more."""
        if not client.may_command:
            self._half_closed[client] = None

    def note_closing(self, client: Client) -> None:
        """Note that a client is being disconnected."""
        self._half_closed.pop(client, None)
        self._staying.discard(self.clients[client], client)
        if not client.may_command:
            self._closing[client] = None

    def note_displaced(self, client: Client) -> None:
        """Note that a client is being cut off for another, which has its place from now on."""
        self.note_closing(client)
        self._closing.pop(client, None)
        self._displaced.add(client)

    def give_back(self, client: Client) -> None:
        """Note that a client is gone."""
        self.note_closing(client)
        self._closing.pop(client, None)
        self._displaced.discard(client)
        del self.clients[client]

    def find_to_displace(self, host: str) -> Client | None:
        """Return the client that gives way to a newcomer; None if nobody does.

        :param host: the newcomer's address; empty if it has none.
        """
        if self._closing:
            return next(iter(self._closing))
        network = client_network(host)
        own = len(self._staying.of(network)) + 1
        for client in self._half_closed:
            its_network = self.clients[client]
            if its_network == network or len(self._staying.of(its_network)) >= own:
                return client
        largest = self._staying.largest()
        return next(iter(largest)) if len(largest) > own else None
