"""Count the places of a port, and choose the client that a full port disconnects for a newcomer.

A client holds a place from when its connection is up until the connection is gone. At a full port these
clients without rights are disconnected for a newcomer, in this order:

1. the client that has been closing for longest;
2. the client that has been half-closed for longest: it sends no more, and may not listen any more. An address
never takes the place of a half-closed client of another address that holds fewer places;
3. the oldest client of the address with most places, if that address holds more than the newcomer's.

The newcomer counts among the places of its address, so that two addresses do not take places from each other
in turns. If there is no such client, the newcomer is refused. A client with rights is never disconnected.

Values only: no Twisted. Next to read: `ports`, which has such clients.
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
    """The clients of a port, counted by address; IPv6 addresses of one /64 count as one.

    :param total: the number of places.
    :ivar clients: the clients with a connection that is up or being closed, each with its network; oldest
        first.
    """

    def __init__(self, total: int) -> None:
        self.clients: dict[Client, str] = {}
        self._total = total
        self._displaced: set[Client] = set()
        # Clients without rights, oldest first. A client is in `_staying` or `_closing`; half-closed ones also
        # stay.
        self._staying: ByNetwork[Client] = ByNetwork()
        self._closing: dict[Client, None] = {}
        self._half_closed: dict[Client, None] = {}

    @property
    def held(self) -> int:
        """The number of places that are held. A client that is cut off for a newcomer holds none."""
        return len(self.clients) - len(self._displaced)

    @property
    def are_full(self) -> bool:
        """True if no place is left."""
        return self.held >= self._total

    def take_place(self, client: Client, host: str) -> None:
        """Give a place to a connected client.

        :param host: the peer's address; empty if it has none.
        """
        network = client_network(host)
        self.clients[client] = network
        if not client.may_command:
            self._staying.add(network, client)

    def note_half_closed(self, client: Client) -> None:
        """Note that a client closed its own direction, and may still listen."""
        if not client.may_command:
            self._half_closed[client] = None

    def note_closing(self, client: Client) -> None:
        """Note that a client is being disconnected."""
        self._half_closed.pop(client, None)
        self._staying.discard(self.clients[client], client)
        if not client.may_command:
            self._closing[client] = None

    def note_displaced(self, client: Client) -> None:
        """Note that a client is being cut off for a newcomer: the client no longer holds its place."""
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
        """Return the client to disconnect for a newcomer; None if the newcomer has to be refused.

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
