"""Commanders who prove who they are: TLS on a port, with a certificate that names the client.

`context` makes what TLS needs of the files in the configuration; `CertifiedFactory` takes who has a
certificate of the site's authority, and calls it by the name in that. Such a client may come and go under
its name, and comes back to its lease; it is here once at a time.

Who connects has `HANDSHAKE_TIME` to prove it. Next to read: `commanders`, whose clients these are.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConfigError
from ..journal.schema import usable_name
from ..protocol import LineReader
from .commanders import PortClient, PortFactory, Refused
from .sections import PortCommanders

HANDSHAKE_TIME = 5.0
"""How long a peer may take from its connection to the proof of who it is, in seconds."""

MAX_UNPROVEN = 100
"""How many may be at that at the same time; one more is refused."""


@implementer(IHandshakeListener)
class CertifiedReader(LineReader):
    """A reader that has no owner until the handshake has told who it is.

    :param find: gives the client of a name, or why it may not be here.
    :param unproven: those that are at it; this one leaves it when it has, or has not.
    """

    owner: Any = None

    def __init__(
        self,
        find: Callable[[str], PortClient | str],
        peer: IAddress | None,
        log: logging.Logger,
        clock: IReactorTime,
        unproven: set[LineReader],
    ) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._find = find
        self._peer = peer
        self._log = log
        self._unproven = unproven
        self._time: IDelayedCall | None = clock.callLater(HANDSHAKE_TIME, self._too_slow)

    def connectionMade(self) -> None:
        """Its name is not known yet."""

    def handshakeCompleted(self) -> None:
        """Its certificate is one of the authority's: TLS has seen to that."""
        self._stop_timer()
        name = common_name(self.transport.getPeerCertificate())
        try:
            found = self._find(usable_name(name))
        except ValueError as error:
            found = f"its certificate's name {name!r}: expected {error}"
        if isinstance(found, str):
            self._log.warning("refused %s: %s", self._peer, found)
            self.transport.abortConnection()
            return
        self.owner = found
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Nothing is taken from who was refused."""
        if self.owner is not None:
            super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.owner is not None:
            super().connectionLost(reason)
        elif self._time is not None:
            self._log.warning("refused %s: no proof of who it is: %s", self._peer, reason.getErrorMessage())
        self._stop_timer()

    def _too_slow(self) -> None:
        self._time = None
        self._log.warning("refused %s: no proof of who it is within %g s", self._peer, HANDSHAKE_TIME)
        self.transport.abortConnection()

    def _stop_timer(self) -> None:
        self._unproven.discard(self)
        if self._time is not None:
            self._time.cancel()
            self._time = None


class CertifiedFactory(Factory[Protocol]):
    """Makes a reader for each connection to a port, whose client is found by its certificate.

    :param port: admits peers, and makes a client of a name.
    """

    noisy = False

    def __init__(self, port: PortFactory, log: logging.Logger, clock: IReactorTime) -> None:
        self._port = port
        self._log = log
        self._clock = clock
        self._clients: dict[str, PortClient] = {}

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        if not self._port.admits(addr):
            return Refused()
        if len(self._port.unproven) >= MAX_UNPROVEN:
            self._log.warning("refused %s: %d others have yet to prove who they are", addr, MAX_UNPROVEN)
            return Refused()
        reader = CertifiedReader(self._client, addr, self._log, self._clock, self._port.unproven)
        self._port.unproven.add(reader)
        return reader

    def _client(self, name: str) -> PortClient | str:
        client = self._clients.get(name)
        if client is None:
            self._clients = {each: known for each, known in self._clients.items() if known.is_needed}
            client = self._clients[name] = self._port.make_client(name, name_lasts=True)
        return f"{client.name} is connected already" if client.is_here else client


def context(certificate: str, private_key: str, client_ca: str) -> Any:
    """What TLS needs, for connections to this machine: TLS 1.2 or newer.

    :param certificate: path of the certificate that the daemon shows, with those that lead to its
        authority's, in PEM.
    :param private_key: path of its key, in PEM.
    :param client_ca: path of the certificates of the authority that clients must have theirs from, in
        PEM; empty if they need none.
    :raises ConfigError: if a file can't be read, or is not that.
    """
    from OpenSSL import crypto
    from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion, trustRootFromCertificates

    def key_of(data: bytes) -> Any:
        return crypto.load_privatekey(crypto.FILETYPE_PEM, data, passphrase=b"")

    chain = _read(certificate, _CERTIFICATE, "a certificate", Certificate.loadPEM)
    [key, *_] = _read(private_key, _PRIVATE_KEY, "a private key with no password", key_of)
    roots = _read(client_ca, _CERTIFICATE, "a certificate", Certificate.loadPEM) if client_ca else []
    if key.to_cryptography_key().public_key() != chain[0].original.to_cryptography().public_key():
        raise ConfigError(private_key, (f"it is not the key of the certificate in {certificate}",))
    return CertificateOptions(
        privateKey=key,
        certificate=chain[0].original,
        extraCertChain=[each.original for each in chain[1:]],
        trustRoot=trustRootFromCertificates(roots) if roots else None,
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )


def _read(path: str, pattern: re.Pattern[bytes], what: str, load: Callable[[bytes], Any]) -> list[Any]:
    """What a file in PEM holds of a kind: one of it at the least."""
    from OpenSSL import SSL, crypto

    try:
        found = [load(each) for each in pattern.findall(Path(path).read_bytes())]
    except OSError as error:
        raise ConfigError(path, (f"can't be read: {error.strerror}",)) from None
    except (SSL.Error, crypto.Error, ValueError, TypeError):
        found = []
    if not found:
        raise ConfigError(path, (f"expected {what}, in PEM",))
    return found


_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----\n?", re.DOTALL
)


def common_name(certificate: Any) -> str:
    """The common name in the subject of a certificate; empty if it has none."""
    from cryptography.x509.oid import NameOID

    names = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def encrypted(settings: PortCommanders, port: PortFactory, log: logging.Logger, clock: Any) -> Factory[Any]:
    """What listens on a port: its own factory, or that behind TLS, as its settings say.

    :raises ConfigError: as `context` does.
    """
    if settings.certificate is None:
        return port
    from twisted.protocols.tls import TLSMemoryBIOFactory

    key = settings.private_key or settings.certificate
    options = context(settings.certificate, key, settings.client_ca or "")
    inner: Factory[Any] = CertifiedFactory(port, log, clock) if settings.client_ca else port
    return TLSMemoryBIOFactory(options, False, inner)
