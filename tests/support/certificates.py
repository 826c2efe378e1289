"""Certificates for tests: an authority, and the certificates that it signs."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Authority:
    """Makes certificates in a folder.

    :param folder: where the files go; ``ca.pem`` is the authority's own certificate.
    """

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        self._key, self._name = _new_key(), name
        self.ca = folder / "ca.pem"
        self.renew()

    def renew(self, days: float = 365) -> None:
        """Write the authority's own certificate anew, valid for so many days from now."""
        self.certificate = self._sign((self._name,), self._key, ca=True, days=days)
        self.ca.write_bytes(_pem(self.certificate))

    def issue(
        self,
        *common_names: str,
        host: str = "127.0.0.1",
        others: Sequence[Any] = (),
        days: float = 365,
        path: Path | None = None,
        rsa: bool = False,
    ) -> Path:
        """Return the path of a file with a new certificate and its key.

        :param common_names: those in its subject, one as a rule.
        :param host: the address that it is for.
        :param others: more names for ``subjectAltName``, as ``cryptography`` has them.
        :param days: how long from now it is valid.
        :param path: a file to write over; a new one if None.
        :param rsa: whether its key is of RSA, and not of an elliptic curve.
        """
        key = _new_rsa_key() if rsa else _new_key()
        path = path or self.folder / f"{len(list(self.folder.iterdir()))}.pem"
        certificate = self._sign(common_names, key, host=host, others=others, days=days)
        path.write_bytes(_pem(certificate) + _key_pem(key))
        return path

    def _sign(
        self,
        common_names: Sequence[str],
        key: Any,
        *,
        ca: bool = False,
        host: str = "",
        others: Sequence[Any] = (),
        days: float = 365,
    ) -> Any:
        import ipaddress

        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.x509.oid import NameOID

        now = datetime.datetime.now(datetime.UTC)
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names if name]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(attributes))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        hosts = [x509.IPAddress(ipaddress.ip_address(host))] if host else []
        if names := [*hosts, *others]:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, SHA256())


def _new_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _new_rsa_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, 2048)


def _pem(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return bytes(certificate.public_bytes(Encoding.PEM))


def _key_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
