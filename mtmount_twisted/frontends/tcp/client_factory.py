"""`ClientFactory`: admits the peers that connect to a port, and makes a client of each.

It refuses a peer by its address, or because the port is full; see `places`. Next to read: `ports` and
`telemetry`, which have such clients; `tls`, which stands before the factory of an encrypted port. It aborts
connections, and reads and writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Generic, TypeVar, cast
from typing import Protocol as Structure

from msgspec import Struct
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol

from mtmount_twisted.config.settings import ManyClients
from mtmount_twisted.hosts import host_and_port, plain_address
from mtmount_twisted.interfaces import ILineReaderOwner
from mtmount_twisted.net.admission import address_of, admits, networks
from mtmount_twisted.net.known_addresses import KnownAddresses
from mtmount_twisted.net.protocol import HalfCloseReader
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog

from .places import PortPlaces


class PortMember(Structure):
    """A client of a port: the owner of its connection's reader (`interfaces.ILineReaderOwner`)."""

    name: str
    address: str
    may_command: bool

    @property
    def has_command(self) -> bool:
        """True while the client is the holder of command."""

    @property
    def is_here(self) -> bool:
        """True while the connection is up or being closed."""

    @property
    def is_needed(self) -> bool:
        """True while the client is here, or has left something that it may come back to."""

    def cut_off(self, why: str) -> None:
        """Disconnect at once. The caller writes the log line."""

    def close(self, why: str) -> Deferred[None]:
        """Close the connection, which must be up. The Deferred fires when it is gone."""


Member = TypeVar("Member", bound=PortMember)


class Refused(Protocol):
    """Protocol that aborts its connection at once.

    Without TLS a factory refuses a peer by returning None. Under TLS Twisted wraps even None, and the
    connection stays.
    """

    transport: ITCPTransport

    def connectionMade(self) -> None:
        self.transport.abortConnection()


class Unproven(Structure):
    """A connection during its handshake; see `tls.HandshakeReader`."""

    peer: IAddress | None
    network: str
    is_known: bool

    @property
    def is_refused(self) -> bool: ...

    def abort(self) -> None: ...


class MostClients(Struct, frozen=True):
    """The number of places of a port, and the key of the configuration that sets it."""

    number: int
    key: str


class ClientFactory(Factory[Protocol], Generic[Member]):
    """Factory that makes a client of each admitted connection, named after the port and numbered.

    :param terminator: the end of a line.
    :ivar settings: the port's section in the configuration.
    :ivar places: the clients, counted by address.
    :ivar commanded: the addresses of clients that got command, or lost their connection while they had it.
    :ivar unproven: the connections during their handshakes, oldest first.
    :ivar name: the port's name in the configuration.
    :ivar limited_log: log for everything that the port's clients can cause, failed handshakes included.
    """

    noisy = False

    def __init__(
        self,
        settings: ManyClients,
        most: MostClients,
        terminator: bytes,
        log: logging.Logger,
        reactor: IReactorTime,
    ) -> None:
        self.settings = settings
        self.name: str = settings.name
        self._most = most
        self._peers_log = RateLimitedLog(reactor, log)
        self.limited_log: RateLimitedLog = RateLimitedLog(reactor, log, A_FEW)
        self._allowed = networks(settings.allow)
        self.unproven: dict[Unproven, None] = {}
        self.places: PortPlaces[Member] = PortPlaces(most.number)
        self.commanded: KnownAddresses = KnownAddresses(reactor.seconds)
        self.terminator = terminator
        self._count = 0

    @property
    def connected(self) -> Collection[Member]:
        """The clients with a connection that is up or being closed."""
        return self.places.clients.keys()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        if not self.admits(addr):
            return Refused()
        self.make_room(addr)
        return HalfCloseReader(cast(ILineReaderOwner, self.make_numbered_client()), self.terminator)

    def refuses(self, peer: IAddress | None) -> bool:
        """Return True if a peer is not on the list of allowed addresses. Log the refusal."""
        if not self._allowed or admits(self._allowed, address_of(peer)):
            return False
        self._log_refusal(peer, "it is not on the list")
        return True

    def admits(self, peer: IAddress | None) -> bool:
        """Return True if a peer that has just connected is let in. Log a refusal."""
        if self.refuses(peer):
            return False
        if why := self.why_full(peer):
            self._log_refusal(peer, why)
        return not why

    def _log_refusal(self, peer: IAddress | None, why: str) -> None:
        self._peers_log.warning("%s: refused a peer, %s: %s", self.name, peer, why)

    def why_full(self, peer: IAddress | None) -> str:
        """Return the reason why the port has no place for a peer at this address.

        The reason is empty if there is a place, or a client that gives way. A peer holds no place during its
        handshake. So strangers with endless handshakes can't keep a client out.
        """
        if not self.places.are_full or self.places.find_to_displace(address_of(peer)) is not None:
            return ""
        return f"{self.places.held} are connected already ({self._most.key})"

    def make_room(self, peer: IAddress | None) -> None:
        """If the port is full, disconnect the client that gives way to this peer; see `places`."""
        if not self.places.are_full:
            return
        client = self.places.find_to_displace(address_of(peer))
        if client is not None:
            self._peers_log.warning(
                "%s: full (%s): cut off %s at %s for a peer at %s",
                self.name,
                self._most.key,
                client.name,
                client.address or "no address",
                address_of(peer) or "no address",
            )
            client.cut_off(f"the port is full ({self._most.key})")
            self.places.note_displaced(client)

    def make_numbered_client(self) -> Member:
        """Make a client of this port under the next number."""
        self._count += 1
        return self.make_client(str(self._count))

    def make_client(self, name: str, name_lasts: bool = False) -> Member:
        """Make a client of this port.

        :param name: the client's name, to which the port's name is put in front.
        :param name_lasts: False for a number, which another client may have one day.
        """
        raise NotImplementedError

    def close(self, why: str) -> Deferred[None]:
        """Close all connections. The Deferred fires when the connections of the clients are gone."""
        for reader in tuple(self.unproven):
            reader.abort()
        closing = [client.close(why) for client in tuple(self.connected)]
        return DeferredList(closing).addCallback(lambda results: None)


def peer_address(peer: IAddress) -> str:
    """Return a peer's HOST:PORT; empty on a unix socket."""
    host, port = getattr(peer, "host", None), getattr(peer, "port", None)
    return "" if host is None or port is None else host_and_port(plain_address(host), port)
