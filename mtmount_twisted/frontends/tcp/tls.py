"""TLS on the bridge's ports: the handshakes, and client names from certificates.

`HandshakeFactory` accepts a client with a certificate that the site's authority has signed, and names the
client after the certificate. Such a client may reconnect under its name and return to its lease; each name
has at most one connection at a time. If a port asks for no certificate, its clients are numbered. In both
cases the handshake must end within `HANDSHAKE_TIME`. The module aborts connections; it sends nothing. Next to
read: `ports`, which defines the clients; `certificates`, which reads the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Generic

from twisted.internet.interfaces import IAddress, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.hosts import client_network
from mtmount_twisted.journal.schema import usable_client_name
from mtmount_twisted.net.admission import address_of
from mtmount_twisted.net.by_network import ByNetwork
from mtmount_twisted.net.deadlines import PeerDeadline
from mtmount_twisted.net.known_addresses import KnownAddresses
from mtmount_twisted.net.protocol import LineReader
from mtmount_twisted.net.tls import client_name

from .client_factory import ClientFactory, Member, PortMember, Refused, Unproven

HANDSHAKE_TIME = 5.0
"""The longest time from the connection of a peer to the end of its TLS handshake, in seconds."""

MAX_UNPROVEN = 100
"""The largest number of TLS handshakes of strangers on one port. Connections that are being aborted count."""

KEPT_FREE = 20
"""The number of handshake places that are kept free. If fewer are free, the port aborts the oldest handshake
of the network with the largest number of handshakes."""

MAX_UNPROVEN_KNOWN = 40
"""The largest number of TLS handshakes from known addresses on one port, in addition to `MAX_UNPROVEN`."""

KEPT_FREE_KNOWN = 10
"""The number of places for known addresses that are kept free in the same way."""


class HandshakeState(Enum):
    """The states of a `HandshakeReader`; its docstring explains each."""

    PROVING = "proving"
    PROVEN = "proven"
    REFUSED = "refused"


PROVING, PROVEN, REFUSED = HandshakeState


@implementer(IHandshakeListener)
class HandshakeReader(LineReader, Generic[Member]):
    """A line reader that gets its owner when the TLS handshake ends, within `HANDSHAKE_TIME`. Its states::

        proving:  the TLS handshake is under way
        proven:   the connection has an owner, its client
        refused:  the connection is being aborted

    :param find: called when the handshake ends; returns the client, or the reason for a refusal.
    :param lost: called once the connection of a client is gone.
    :param port: lists this connection in its `unproven` until the connection has an owner or is gone.
    :ivar peer: the address of the peer.
    :ivar network: the network of the peer, as `hosts.client_network` names it.
    :ivar is_known: True if the connection has a place for known addresses.
    :ivar proof: the state.
    """

    owner: PortMember | None = None  # type: ignore[assignment] # none until the handshake is over
    proof: HandshakeState = PROVING

    def __init__(
        self,
        find: Callable[[HandshakeReader[Member]], Member | str],
        lost: Callable[[HandshakeReader[Member]], None],
        peer: IAddress | None,
        is_known: bool,
        port: ClientFactory[Member],
        clock: IReactorTime,
    ) -> None:
        super().__init__(None, port.terminator)  # type: ignore[arg-type]
        self._find = find
        self._lost = lost
        self.peer = peer
        self.network: str = client_network(address_of(peer))
        self.is_known = is_known
        self._port = port
        self._time = PeerDeadline(clock, HANDSHAKE_TIME, self._too_slow)
        port.unproven[self] = None

    @property
    def is_refused(self) -> bool:
        """True once the connection is being aborted."""
        return self.proof is REFUSED

    def connectionMade(self) -> None:
        """Do nothing yet: the end of the handshake decides which client owns the connection."""

    def handshakeCompleted(self) -> None:
        """Find the client. If the port asks for a certificate, TLS has already verified it."""
        self._stop_timer()
        found = self._port.why_full(self.peer) or self._find(self)
        if isinstance(found, str):
            self._port.limited_log.warning("%s: refused %s: %s", self._port.name, self.peer, found)
            self.abort()
            return
        self._port.unproven.pop(self, None)
        self._port.make_room(self.peer)
        self.owner, self.proof = found, PROVEN
        if found.may_command:
            self.transport.give_precedence(lambda: found.has_command)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Read the data, unless the peer has been refused."""
        if self.proof is PROVEN:
            super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        self._port.unproven.pop(self, None)
        if self.proof is PROVEN:
            self._lost(self)
            super().connectionLost(reason)
        elif self.proof is PROVING:
            self._port.limited_log.warning(
                "%s: refused %s: the TLS handshake failed: %s",
                self._port.name,
                self.peer,
                reason.getErrorMessage(),
            )

    def _too_slow(self) -> None:
        self._port.limited_log.warning(
            "%s: refused %s: the TLS handshake took longer than %g s",
            self._port.name,
            self.peer,
            HANDSHAKE_TIME,
        )
        self.abort()

    def abort(self) -> None:
        """Abort the connection. It keeps its place in `unproven` until it is gone."""
        self.proof = REFUSED
        self._stop_timer()
        self.transport.abortConnection()

    def _stop_timer(self) -> None:
        if self._time.active():
            self._time.cancel()


class HandshakeFactory(Factory[Protocol], Generic[Member]):
    """Build a `HandshakeReader` for each connection to an encrypted port.

    A port has `MAX_UNPROVEN` places for handshakes, apart from its ``max_clients``. The port checks
    ``max_clients`` when a peer connects, and again when its handshake ends. If fewer than `KEPT_FREE` places
    are left, the factory aborts the oldest handshake of the network with the largest number of handshakes, so
    that one network cannot occupy the places. A network is known while a client that a certificate names is
    connected from it, and for an hour after. Known networks have `MAX_UNPROVEN_KNOWN` further places, which
    strangers can't take.

    :param port: admits peers, and makes a client for a name.
    :param by_certificate: True if the peer's certificate names the client; False if clients are numbered.
    """

    noisy = False

    def __init__(self, port: ClientFactory[Member], clock: IReactorTime, by_certificate: bool) -> None:
        self._port = port
        self._clock = clock
        self._find = self._named if by_certificate else self._numbered
        self._clients: dict[str, Member] = {}
        self._known = KnownAddresses(clock.seconds)
        self._named_ones: ByNetwork[HandshakeReader[Member]] = ByNetwork()  # connections of named clients

    def is_known(self, network: str) -> bool:
        """Return True while a client that a certificate names is connected from this network, and for an hour
        after."""
        return bool(self._named_ones.of(network)) or self._known.holds(network)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        if not self._port.admits(addr):
            return Refused()
        is_known = self.is_known(client_network(address_of(addr)))
        most, kept_free = (MAX_UNPROVEN_KNOWN, KEPT_FREE_KNOWN) if is_known else (MAX_UNPROVEN, KEPT_FREE)
        unproven = [each for each in self._port.unproven if each.is_known == is_known]
        if len(unproven) >= most:
            self._log_crowd(addr, most)
            return Refused()
        reader = HandshakeReader(self._find, self._note_lost, addr, is_known, self._port, self._clock)
        waiting = [each for each in (*unproven, reader) if not each.is_refused]
        if len(waiting) > most - kept_free:
            oldest = _oldest_where_most_are(waiting)
            self._log_crowd(oldest.peer, most - kept_free)
            oldest.abort()
        return reader

    def _log_crowd(self, peer: IAddress | None, others: int) -> None:
        self._port.limited_log.warning(
            "%s: refused %s: %d other TLS handshakes are under way", self._port.name, peer, others
        )

    def _numbered(self, reader: HandshakeReader[Member]) -> Member:
        return self._port.make_numbered_client()

    def _named(self, reader: HandshakeReader[Member]) -> Member | str:
        """Return the client that the peer's certificate names, or the reason for a refusal."""
        try:
            name = client_name(reader.transport.getPeerCertificate().to_cryptography())
        except ValueError as error:
            return f"its certificate: expected {error}"
        try:
            client = self._client(usable_client_name(name))
        except ValueError as error:
            return f"its certificate's name {name!r}: expected {error}"
        self._known.note(reader.network)
        if not isinstance(client, str):
            self._named_ones.add(reader.network, reader)
        return client

    def _note_lost(self, reader: HandshakeReader[Member]) -> None:
        if reader in self._named_ones.of(reader.network):
            self._named_ones.discard(reader.network, reader)
            self._known.note(reader.network)

    def _client(self, name: str) -> Member | str:
        client = self._clients.get(name)
        if client is None:
            self._clients = {each: known for each, known in self._clients.items() if known.is_needed}
            client = self._clients[name] = self._port.make_client(name, name_lasts=True)
        return f"{client.name} is connected already" if client.is_here else client


def _oldest_where_most_are(readers: Iterable[Unproven]) -> Unproven:
    by_network: ByNetwork[Unproven] = ByNetwork()
    for reader in readers:
        by_network.add(reader.network, reader)
    return next(iter(by_network.largest()))
