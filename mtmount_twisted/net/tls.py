"""TLS as values: a server's certificate, the certificate authorities that it trusts, and its settings.

`load_credentials` and `endpoint_credentials` read files. `Server` uses the result, and accepts renewed
credentials while it runs. pyOpenSSL is an optional dependency, so each function imports it. Next to read:
`frontends.tcp.tls`, for clients that authenticate with certificates.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.internet.protocol import Factory
from zope.interface import implementer

from mtmount_twisted.errors import ConfigError
from mtmount_twisted.files import read_file

from .endpoints import Endpoint
from .handshakes import HandshakeQueue
from .reactors import ReactorLayer

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"
)
"""The cipher suites for TLS 1.2 in Mozilla's "intermediate" profile (Server Side TLS 5.7), in its order.
The suites for TLS 1.3 are OpenSSL's default."""

WARN_BEFORE = timedelta(days=30)
"""Time before the end of a certificate at which a warning about it starts."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A server's certificate and key, and the authorities of its clients' certificates.

    Two objects are equal if they have the same certificates.

    :ivar chain: the server's certificate, a ``cryptography.x509.Certificate``, followed by the intermediate
        certificates up to its authority.
    :ivar authorities: certificates of the authority of client certificates; empty if clients need no
        certificate.
    :ivar dh_parameters: Diffie-Hellman parameters in PEM, or None.
    :ivar chain_file: file of `chain`; "" if it is unknown.
    :ivar authorities_file: file of `authorities`.
    """

    chain: tuple[Any, ...]
    authorities: tuple[Any, ...] = ()
    key: Any = field(repr=False, compare=False, kw_only=True)
    dh_parameters: bytes | None = field(default=None, repr=False, compare=False, kw_only=True)
    chain_file: str = ""
    authorities_file: str = ""


def load_credentials(certificate: str, private_key: str, client_ca: str = "") -> Credentials:
    """Read the files of a configuration.

    :param certificate: path of the certificate and its intermediate certificates, in PEM.
    :param private_key: path of its key, in PEM.
    :param client_ca: path of the authority's certificates, in PEM; empty if clients need no certificate.
    :raises ConfigError: if a file is unreadable or has other contents, or if the key belongs to another
        certificate.
    """
    chain = tuple(_read(certificate, _CERTIFICATE, "a certificate", _certificate))
    [key, *_] = _read(private_key, _PRIVATE_KEY, "a private key with no password", _key)
    authorities = tuple(_read(client_ca, _CERTIFICATE, "a certificate", _certificate)) if client_ca else ()
    if key.public_key() != chain[0].public_key():
        raise ConfigError(private_key, (f"it is not the key of the certificate in {certificate}",))
    return Credentials(
        chain, authorities, key=key, chain_file=certificate, authorities_file=client_ca if client_ca else ""
    )


def _certificate(data: bytes) -> Any:
    from cryptography import x509

    return x509.load_pem_x509_certificate(data)


def _key(data: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(data, password=None)


def _primes(data: bytes) -> bytes:
    from OpenSSL import SSL

    try:
        _use_primes(SSL.Context(SSL.TLS_SERVER_METHOD), data)
    except SSL.Error:
        raise ValueError("OpenSSL refuses them") from None
    return data


def _read(path: str, pattern: re.Pattern[bytes], what: str, load: Callable[[bytes], Any]) -> list[Any]:
    """Return the items of one kind in a PEM file: at least one."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        found = [load(each) for each in pattern.findall(read_file(path).data)]
    except OSError as error:
        raise ConfigError(path, (f"can't be read: {error.strerror}",)) from None
    except (UnsupportedAlgorithm, ValueError, TypeError):
        found = []
    if not found:
        raise ConfigError(path, (f"expected {what}, in PEM",))
    return found


# The lookahead stops at the next dashes. Else each of many beginnings without end would scan the whole file.
_BODY = rb"(?:(?!-----).)++"
_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----" + _BODY + rb"-----END CERTIFICATE-----\n?", re.DOTALL
)
_DH_PARAMETERS = re.compile(
    rb"-----BEGIN (?:X9\.42 )?DH PARAMETERS-----" + _BODY + rb"-----END (?:X9\.42 )?DH PARAMETERS-----\n?",
    re.DOTALL,
)
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----" + _BODY + rb"-----END [A-Z ]*PRIVATE KEY-----\n?", re.DOTALL
)


def endpoint_credentials(text: str) -> Credentials | None:
    """Read the files of an ``ssl:`` endpoint; return None for any other endpoint.

    :param text: a Twisted server endpoint that `Endpoint.parse` accepts.
    :raises ConfigError: if a file is unreadable or has other contents, or if the key belongs to another
        certificate. The error names the file.
    """
    endpoint = Endpoint.parse(text)
    if not endpoint.is_encrypted:
        return None
    found = load_credentials(endpoint.certificate, endpoint.private_key)
    more: list[Any] = []
    if endpoint.extra_chain:
        more = _read(endpoint.extra_chain, _CERTIFICATE, "a certificate", _certificate)
    primes = None
    if endpoint.dh_parameters:
        [primes, *_] = _read(endpoint.dh_parameters, _DH_PARAMETERS, "Diffie-Hellman parameters", _primes)
    return replace(found, chain=(*found.chain, *more), dh_parameters=primes)


@implementer(IOpenSSLServerConnectionCreator)
class Server:
    """Factory of the server's side of TLS connections: TLS 1.2 or newer, Mozilla's "intermediate" profile.

    :param credentials: the credentials until `renew` is called.
    :param handshakes: queue for the steps of the handshakes; None computes each step at once.
    :ivar credentials: the present credentials.
    """

    credentials: Credentials

    def __init__(self, credentials: Credentials, handshakes: HandshakeQueue | None = None) -> None:
        self.handshakes = handshakes
        self.renew(credentials)

    def renew(self, credentials: Credentials) -> None:
        """Use other credentials for new connections; existing connections keep theirs."""
        self._options = _server_options(credentials)
        self.credentials = credentials

    def serverConnectionForTLS(self, protocol: Any) -> Any:
        """See `IOpenSSLServerConnectionCreator`."""
        return self._options.serverConnectionForTLS(protocol)


def _server_options(credentials: Credentials) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
    from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion

    shown, *between = credentials.chain
    options: Any = CertificateOptions(
        privateKey=credentials.key,
        certificate=shown,
        extraCertChain=between,
        trustRoot=_trust(credentials.authorities) if credentials.authorities else None,
        raiseMinimumTo=TLSVersion.TLSv1_2,
        acceptableCiphers=AcceptableCiphers.fromOpenSSLCipherString(CIPHERS),
    )
    # One curve of that profile, for every version of TLS. Each client has it (RFC 8446, 9.1). For a list of
    # curves, or for X25519, pyOpenSSL has no public function.
    options.getContext().set_tmp_ecdh(SECP256R1())
    if credentials.dh_parameters is not None:
        _use_primes(options.getContext(), credentials.dh_parameters)
    return options


def _use_primes(context: Any, primes: bytes) -> None:
    """Set the Diffie-Hellman parameters of a context. pyOpenSSL requires a path, here of a file in memory."""
    with open(os.memfd_create("dh-parameters"), "wb") as file:
        file.write(primes)
        file.flush()
        context.load_tmp_dh(f"/proc/self/fd/{file.fileno()}")


def _trust(certificates: Iterable[Any]) -> Any:
    from OpenSSL import crypto
    from twisted.internet.ssl import Certificate, trustRootFromCertificates

    return trustRootFromCertificates(
        [Certificate(crypto.X509.from_cryptography(each)) for each in certificates]
    )


def encrypted(factory: Any, server: Server, clock: IReactorTime | None = None) -> Factory[Any]:
    """Wrap a factory of protocols in TLS.

    :param clock: the global reactor if None.
    """
    from .tls_connections import ServerFactory

    return ServerFactory(server, factory, server.handshakes, clock)


def client_options(host: str, ca: str, certificate: str = "", private_key: str = "") -> Any:
    """Return the TLS options of a client's connections, an ``IOpenSSLClientConnectionCreator``: TLS 1.2 or
    newer.

    :param host: name or address for which the server's certificate must be valid.
    :param ca: path of the certificates of the server's authority, in PEM; empty for the authorities that this
        machine trusts.
    :param certificate: path of the client's own certificate and its intermediate certificates; empty for
        none.
    :param private_key: path of its key; empty if the key is in the same file.
    :raises ConfigError: if a file is unreadable or has other contents, or if the key belongs to another
        certificate.
    """
    from twisted.internet.ssl import TLSVersion, optionsForClientTLS

    more: dict[str, Any] = {"raiseMinimumTo": TLSVersion.TLSv1_2}
    if certificate:
        own = load_credentials(certificate, private_key or certificate)
        shown, *between = own.chain
        more.update(privateKey=own.key, certificate=shown, extraCertChain=between)
    trusted = _trust(_read(ca, _CERTIFICATE, "a certificate", _certificate)) if ca else None
    return optionsForClientTLS(host, trustRoot=trusted, extraCertificateOptions=more)


class ConnectsWith(ReactorLayer):
    """A reactor that makes TLS connections in place of TCP connections. Everything else is the reactor's own.

    :param reactor: the reactor below.
    :param options: the result of `client_options`.
    """

    def __init__(self, reactor: Any, options: Any) -> None:
        super().__init__(reactor)
        self._options = options

    def connectTCP(self, host: str, port: int, factory: Any, *rest: Any, **more: Any) -> Any:
        """Connect with TLS."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        return self._reactor.connectTCP(
            host, port, TLSMemoryBIOFactory(self._options, True, factory), *rest, **more
        )


def why_refused(error: BaseException) -> tuple[str, str] | None:
    """Explain the error that ended a TLS connection on the client's side.

    :returns: the `PeerRefusedError.reason` and `PeerRefusedError.cause`; None if the error only says that the
        connection was lost.
    """
    from OpenSSL import SSL
    from service_identity import VerificationError

    if isinstance(error, VerificationError):
        return "its certificate is for another name or address", "other name"
    if not isinstance(error, SSL.Error):
        return None
    text = "; ".join(str(entry[-1]) for entry in error.args[0]) if error.args else ""
    for part, reason, cause in _SAID:
        if part in text:
            return f"{reason} ({text})", cause
    return None


_SAID = (
    (
        "certificate verify failed",
        "its certificate has expired, or its authority is not trusted",
        "untrusted",
    ),
    ("certificate required", "it requires a certificate", "no certificate"),
    ("handshake failure", "it requires a certificate, or TLS other than 1.2 and 1.3", "no certificate"),
    ("unknown ca", "it refused the certificate: it does not trust the authority", "certificate"),
    ("certificate expired", "it refused the certificate: it has expired", "certificate"),
    ("certificate", "it refused the certificate", "certificate"),
    ("wrong version number", "it does not speak TLS", "plain"),
    ("packet length too long", "it does not speak TLS", "plain"),
    ("record layer failure", "it does not speak TLS", "plain"),
    ("http request", "it does not speak TLS", "plain"),
)
"""OpenSSL's texts about a connection that ended, the most specific first. An alert is the far end's text."""


def client_name(certificate: Any) -> str:
    """Return the one name in a client's certificate, an ``x509.Certificate``.

    The name is the common name of its subject. If the subject has none, the name may be a DNS name or an
    e-mail address in ``subjectAltName``.

    :raises ValueError: if there is no name, or more than one: two readers could take such a certificate for
        two different clients. The error text describes a valid certificate.
    """
    from cryptography import x509

    try:
        subject = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        names = [str(each.value) for each in subject] or _alternative_names(certificate)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"a certificate that can be read ({error})") from None
    if len(names) != 1:
        raise ValueError(
            "one common name, or without any, one DNS name or e-mail address in subjectAltName, "
            f"got {', '.join(map(repr, names))[:200] or 'none'}"
        )
    return names[0]


def _alternative_names(certificate: Any) -> list[str]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*found.get_values_for_type(x509.DNSName), *found.get_values_for_type(x509.RFC822Name)]


def date_warnings(certificates: Iterable[Any], now: datetime) -> Iterator[str]:
    """Yield a warning for each certificate that is expired, expires within `WARN_BEFORE`, or is not valid
    yet.

    :param now: the current time, with a time zone.
    """
    for each in certificates:
        begin, end = each.not_valid_before_utc, each.not_valid_after_utc
        name = each.subject.rfc4514_string() or f"serial number {each.serial_number}"
        if end < now:
            yield f"{name} expired on {end:%Y-%m-%d %H:%M} UTC"
        elif end - now <= WARN_BEFORE:
            yield f"{name} expires in {(end - now).days} days, on {end:%Y-%m-%d %H:%M} UTC"
        elif begin > now:
            yield f"{name} is not valid before {begin:%Y-%m-%d %H:%M} UTC"
