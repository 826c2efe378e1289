"""Certificates for tests: an authority, and what it vouches for."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any


class Authority:
    """Makes certificates in a folder.

    :param folder: where the files go; ``ca.pem`` is the authority's own certificate.
    """

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        self._key, self._name = _new_key(), name
        self.certificate = self._sign(name, self._key, ca=True)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(_pem(self.certificate))

    def issue(self, name: str, host: str = "127.0.0.1") -> Path:
        """The path of a file with a certificate of this common name, and its key."""
        key = _new_key()
        path = self.folder / f"{len(list(self.folder.iterdir()))}.pem"
        path.write_bytes(_pem(self._sign(name, key, host=host)) + _key_pem(key))
        return path

    def _sign(self, name: str, key: Any, *, ca: bool = False, host: str = "") -> Any:
        import ipaddress

        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.x509.oid import NameOID

        now = datetime.datetime.now(datetime.UTC)
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(attributes))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if host:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, SHA256())


def _new_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return bytes(certificate.public_bytes(Encoding.PEM))


def _key_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
