"""`PortFactory`: admits peers to a port, and makes a client of each connection.

It opens no socket: `app.bridge_service` listens with it. On an encrypted port `tls.HandshakeFactory` stands
before it. Next to read: `commanders`, whose `PortClient` it makes; `places`, which counts them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.config.settings import ClientLimits, PortCommanders
from mtmount_twisted.net.admission import address_of, admits, networks
from mtmount_twisted.net.protocol import HalfCloseReader
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.net.turns import Turns

from .commanders import PortClient
from .places import PortPlaces


class Refused(Protocol):
    """Protocol that aborts its connection at once.

    Without TLS a factory refuses a peer by returning None. Under TLS Twisted wraps even None, and the
    connection stays.
    """

    transport: Any

    def connectionMade(self) -> None:
        self.transport.abortConnection()


class PortFactory(Factory[Protocol]):
    """Factory that makes a client of each admitted connection, named after the port and numbered.

    :ivar unproven: the connections whose handshake is not over, oldest first, each a
        `tls.HandshakeReader`.
    :ivar name: the port's name in the configuration.
    :ivar limited_log: log for everything that the port's clients can cause, failed handshakes included.
    """

    noisy = False

    def __init__(
        self,
        settings: PortCommanders,
        bridge: Bridge,
        limits: ClientLimits,
        turns: Turns,
        log: logging.Logger,
        clock: Any,
    ) -> None:
        self._settings = settings
        self.name = settings.name
        self._peers_log = RateLimitedLog(clock, log)
        self.limited_log = RateLimitedLog(clock, log, A_FEW)
        self._allowed = networks(settings.allow)
        self.unproven: dict[Any, None] = {}
        self._places: PortPlaces[PortClient] = PortPlaces(settings.max_clients)
        self._shared = (settings, bridge, limits, turns, log, self.limited_log, clock, self._places)
        self._count = 0

    @property
    def connected(self) -> Collection[PortClient]:
        """The clients whose connections are up or being closed."""
        return self._places.clients.keys()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        if not self.admits(addr):
            return Refused()
        self.make_room(addr)
        return HalfCloseReader(self.make_numbered_client())

    def admits(self, peer: IAddress | None) -> bool:
        """Return True if a peer at this address may connect. Log a refusal."""
        if self._allowed and not admits(self._allowed, address_of(peer)):
            why = "it is not on the list"
        else:
            why = self.why_full(peer)
        if why:
            self._peers_log.warning("%s: refused a peer, %s: %s", self.name, peer, why)
        return not why

    def why_full(self, peer: IAddress | None) -> str:
        """Return the reason why the port has no place for a peer at this address.

        The reason is empty if there is a place, or a client that gives way. A peer holds no place during
        its handshake, so that strangers who never finish one keep no client out.
        """
        if not self._places.are_full or self._places.find_to_displace(address_of(peer)) is not None:
            return ""
        return f"{self._places.held} are connected already (max_clients)"

    def make_room(self, peer: IAddress | None) -> None:
        """If the port is full, disconnect the client that gives way to this peer; see `places`."""
        if not self._places.are_full:
            return
        client = self._places.find_to_displace(address_of(peer))
        if client is not None:
            self._peers_log.warning(
                "%s: full (max_clients): cut off %s at %s for a peer at %s",
                self.name,
                client.name,
                client.address or "no address",
                address_of(peer) or "no address",
            )
            client.cut_off("the port is full (max_clients)")
            self._places.note_displaced(client)

    def make_numbered_client(self) -> PortClient:
        """Make a client of this port under the next number."""
        self._count += 1
        return self.make_client(str(self._count))

    def make_client(self, name: str, name_lasts: bool = False) -> PortClient:
        """Make a client of this port.

        :param name: the client's name, to which the port's name is put in front.
        :param name_lasts: False for a number, which another client may have one day.
        """
        return PortClient(f"{self._settings.name}/{name}", name_lasts, *self._shared)

    def close(self, why: str) -> Deferred[None]:
        """Close all connections. The Deferred fires when those of the clients are gone."""
        for reader in tuple(self.unproven):
            reader.abort()
        closing = [client.close(why) for client in tuple(self.connected)]
        return DeferredList(closing).addCallback(lambda results: None)
