"""Commanders who prove who they are: TLS on a port, with a certificate that names the client.

`with_credentials` reads the files of a configuration. `HandshakeFactory` accepts a client with a certificate
of the site's authority and calls it by the name in the certificate. Such a client may come and go under its
name, and comes back to its lease; a name is connected once at a time. On a port that asks for no certificate
clients are numbered, and the handshake has the same deadline.

A peer has `HANDSHAKE_TIME` to prove its name. Next to read: `ports`, whose clients these are; `tls`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NoReturn

import attrs
from twisted.application.internet import TimerService
from twisted.internet.interfaces import IAddress, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import PortCommanders
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.hosts import client_network
from mtmount_twisted.journal.schema import usable_client_name
from mtmount_twisted.net.admission import address_of
from mtmount_twisted.net.by_network import ByNetwork
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.known_addresses import KnownAddresses
from mtmount_twisted.net.protocol import LineReader
from mtmount_twisted.net.tls import (
    Credentials,
    client_name,
    date_warnings,
    endpoint_credentials,
    load_credentials,
)
from mtmount_twisted.wire.fields import utc_now

from .ports import PortClient, PortFactory, Refused

HANDSHAKE_TIME = 5.0
"""How long a peer may take from its connection to the proof of who it is, in seconds."""

DAY = 86_400.0
"""How often the dates of certificates are looked at, in seconds."""

MAX_UNPROVEN = 100
"""How many strangers at one port may be at that at the same time, those included that are being cut off."""

KEPT_FREE = 20
"""How many of these places are kept free, by cutting off connections of the address that has most of them."""

MAX_UNPROVEN_KNOWN = 40
"""How many more connections may be at that, from addresses that have shown a good certificate lately."""

KEPT_FREE_KNOWN = 10
"""How many of these places are kept free in the same way."""


@implementer(IHandshakeListener)
class HandshakeReader(LineReader):
    """A reader without an owner until the TLS handshake is over; it has `HANDSHAKE_TIME` from its connection.

    :param find: return the client of a connection whose handshake is over, or why it is refused.
    :param lost: called once the connection of such a client is gone.
    :param port: counts this connection among its `unproven` until it has an owner or is gone.
    :ivar peer: its address.
    :ivar network: where that is, as `hosts.client_network` names it.
    :ivar is_known: whether it has a place that is kept for known addresses.
    :ivar refused: True once the connection is being cut off.
    """

    owner: Any = None
    refused = False

    def __init__(
        self,
        find: Callable[[HandshakeReader], PortClient | str],
        lost: Callable[[HandshakeReader], None],
        peer: IAddress | None,
        is_known: bool,
        port: PortFactory,
        clock: IReactorTime,
    ) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._find = find
        self._lost = lost
        self.peer = peer
        self.network = client_network(address_of(peer))
        self.is_known = is_known
        self._port = port
        self._time = Deadline(clock, HANDSHAKE_TIME, self._too_slow)
        port.unproven[self] = None

    def connectionMade(self) -> None:
        """Wait for the end of the handshake, which decides whose connection this is."""

    def handshakeCompleted(self) -> None:
        """Look up the client. TLS has checked its certificate, where the port asks for one."""
        self._stop_timer()
        found = self._port.why_full(self.peer) or self._find(self)
        if isinstance(found, str):
            self._port.limited_log.warning("%s: refused %s: %s", self._port.name, self.peer, found)
            self.abort()
            return
        self._port.unproven.pop(self, None)
        self._port.make_room(self.peer)
        self.owner = found
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Take nothing from a refused peer."""
        if self.owner is not None:
            super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        self._port.unproven.pop(self, None)
        if self.owner is not None:
            self._lost(self)
            super().connectionLost(reason)
        elif not self.refused:
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
        """Cut the connection off. It counts until it is gone."""
        self.refused = True
        self._stop_timer()
        self.transport.abortConnection()

    def _stop_timer(self) -> None:
        if self._time.active():
            self._time.cancel()


class HandshakeFactory(Factory[Protocol]):
    """Makes a reader for each connection to an encrypted port, whose client is known after the handshake.

    Handshakes have places of their own, `MAX_UNPROVEN`, beside the port's ``max_clients``, which is judged as
    a peer connects and again once its handshake is over. A stranger can hold no place for long: when few are
    left, the connection that has been at its handshake for longest is cut off, of those from the address that
    has most. An address whose certificate has named a client, now or in the last hour, has its handshakes at
    places that strangers can't take, `MAX_UNPROVEN_KNOWN`.

    :param port: admits peers, and makes a client of a name.
    :param by_certificate: whether the peer's certificate names the client; else clients are numbered.
    """

    noisy = False

    def __init__(self, port: PortFactory, clock: IReactorTime, by_certificate: bool) -> None:
        self._port = port
        self._clock = clock
        self._find = self._named if by_certificate else self._numbered
        self._clients: dict[str, PortClient] = {}
        self._known = KnownAddresses(clock.seconds)
        self._named_ones: ByNetwork[HandshakeReader] = ByNetwork()  # those whose client has its name

    def is_known(self, network: str) -> bool:
        """Whether a certificate from an address in a network has named a client, now or in the last hour."""
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
        waiting = [each for each in (*unproven, reader) if not each.refused]
        if len(waiting) > most - kept_free:
            oldest = _oldest_where_most_are(waiting)
            self._log_crowd(oldest.peer, most - kept_free)
            oldest.abort()
        return reader

    def _log_crowd(self, peer: IAddress | None, others: int) -> None:
        self._port.limited_log.warning(
            "%s: refused %s: %d other TLS handshakes are under way", self._port.name, peer, others
        )

    def _numbered(self, reader: HandshakeReader) -> PortClient:
        return self._port.make_numbered_client()

    def _named(self, reader: HandshakeReader) -> PortClient | str:
        """Return the client that the peer's certificate names, or why there is none."""
        try:
            name = client_name(reader.transport.getPeerCertificate().to_cryptography())
        except ValueError as error:
            return f"its certificate: expected {error}"
        try:
            client = self._client(usable_client_name(name))
        except ValueError as error:
            return f"its certificate's name {name!r}: expected {error}"
        self._known.note(reader.network)
        if isinstance(client, PortClient):
            self._named_ones.add(reader.network, reader)
        return client

    def _note_lost(self, reader: HandshakeReader) -> None:
        if reader in self._named_ones.of(reader.network):
            self._named_ones.discard(reader.network, reader)
            self._known.note(reader.network)

    def _client(self, name: str) -> PortClient | str:
        client = self._clients.get(name)
        if client is None:
            self._clients = {each: known for each, known in self._clients.items() if known.is_needed}
            client = self._clients[name] = self._port.make_client(name, name_lasts=True)
        return f"{client.name} is connected already" if client.is_here else client


def _oldest_where_most_are(readers: Iterable[HandshakeReader]) -> HandshakeReader:
    by_network: ByNetwork[HandshakeReader] = ByNetwork()
    for reader in readers:
        by_network.add(reader.network, reader)
    return next(iter(by_network.largest()))


def credentials_of(settings: PortCommanders) -> Credentials | None:
    """Return the certificates that a port shows and trusts; None for a port without TLS.

    The configuration may hold it already (`with_credentials`); else the files are read.

    :raises ConfigError: if a file can't be used.
    """
    if settings.credentials is not None:
        found: Credentials = settings.credentials
        return found
    if settings.certificate is None:
        return endpoint_credentials(settings.endpoint)
    key = settings.private_key or settings.certificate
    return load_credentials(settings.certificate, key, settings.client_ca or "")


def with_credentials(config: Config, wrong: Callable[[str, ConfigError], NoReturn]) -> Config:
    """Return the configuration with the certificates that its files hold now.

    :param wrong: called with the key and the error at the first file that can't be used; raises.
    """
    ports = []
    for number, port in enumerate(config.ports, 1):
        key = "endpoint" if port.certificate is None else "certificate"
        try:
            credentials = credentials_of(attrs.evolve(port, credentials=None))
        except ConfigError as error:
            wrong(f"port[{number}].{key}", error)
        ports.append(attrs.evolve(port, credentials=credentials))
    web = config.web
    if "web" in config.endpoints:
        try:
            web = attrs.evolve(web, credentials=endpoint_credentials(config.endpoints["web"].text))
        except ConfigError as error:
            wrong("web.endpoint", error)
    return attrs.evolve(config, ports=tuple(ports), web=web)


def certificate_warnings(config: Config, now: datetime) -> Iterator[str]:
    """Say which certificates in use are expired or will be soon, a line each that begins with the key.

    :param config: from `with_credentials`.
    :param now: the current time, with a time zone.
    """
    sections = [
        (f"port[{number}]", "certificate" if port.certificate else "endpoint", port.credentials)
        for number, port in enumerate(config.ports, 1)
    ]
    for section, own, credentials in (*sections, ("web", "endpoint", config.web.credentials)):
        if credentials is None:
            continue
        for key, file, certificates in (
            (own, credentials.chain_file, credentials.chain),
            ("client_ca", credentials.authorities_file, credentials.authorities),
        ):
            for why in date_warnings(certificates, now):
                yield f"{section}.{key}: {f'{file}: ' if file else ''}{why}"


class CertificateWatch(TimerService):
    """Logs which certificates in use are expired, or will be soon: at its start, and once a day.

    :param config: gives the configuration in use, from `with_credentials`.
    :param clock: times the days; the reactor if None.
    :param now: gives the current time, with a time zone.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        log: logging.Logger,
        clock: IReactorTime | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(DAY, self.warn)  # type: ignore[no-untyped-call]
        self.name = "mtmount-certificates"
        self.clock = clock
        self._config = config
        self._log = log
        self._now = now

    def warn(self, config: Config | None = None) -> None:
        """Log a line for each such certificate.

        :param config: look at this configuration, which is not in use yet.
        """
        for why in certificate_warnings(self._config() if config is None else config, self._now()):
            self._log.warning("certificate: %s", why)
