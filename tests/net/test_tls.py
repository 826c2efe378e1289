"""`mtmount_twisted.net.tls`: what is offered under TLS, and what certificates say."""

from __future__ import annotations

import base64
import ssl as standard
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from unittest import skipIf

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config.loading import Config, load
from mtmount_twisted.config.settings import PortCommanders, WebSettings
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.frontends.tcp.certificates import (
    DAY,
    CertificateWatch,
    certificate_warnings,
    with_credentials,
)
from mtmount_twisted.net.tls import (
    CIPHERS,
    Credentials,
    Server,
    client_name,
    date_warnings,
    encrypted,
    endpoint_credentials,
    load_credentials,
)
from tests.support.bridges import LOG
from tests.support.certificates import Authority
from tests.support.folders import scratch_path

try:
    from cryptography import x509
    from OpenSSL import SSL
except ImportError:  # the extra is not installed
    SSL = None  # type: ignore[assignment]

needs_tls = skipIf(SSL is None, "mtmount_twisted[tls] is not installed")

CURVES = (
    "X25519",
    "prime256v1",
    "secp384r1",
    "secp521r1",
    "X448",
    "X25519MLKEM768",
    "ffdhe2048",
    "brainpoolP256r1",
)
"""The profile's, and others that OpenSSL may offer."""


class TLSCase(SynchronousTestCase):
    """Has an authority in a folder of its own."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)
        self.folder.mkdir()
        self.authority = Authority(self.folder)

    def credentials(self, path: Path) -> Credentials:
        """What one file with a certificate and its key holds."""
        return load_credentials(str(path), str(path))


def primes_in_pem() -> bytes:
    """Return the Diffie-Hellman parameters ffdhe2048 (RFC 7919, A.1), computed as that says."""
    e, term, number = 0, 1 << (1918 + 64), 1
    while term:  # e = 1/0! + 1/1! + 1/2! + ..., with 64 bits more than are used
        e, term, number = e + term, term // number, number + 1
    prime = 2**2048 - 2**1984 + ((e >> 64) + 560_316) * 2**64 - 1
    sequence = b"\x30\x82\x01\x08" + b"\x02\x82\x01\x01\x00" + prime.to_bytes(256) + b"\x02\x01\x02"
    body = base64.encodebytes(sequence).decode()
    return f"-----BEGIN DH PARAMETERS-----\n{body}-----END DH PARAMETERS-----\n".encode()


def handshake(server: Server, client: Any) -> Any:
    """Shake hands in memory; return the client's connection, or None if one side refused the other."""
    transport = StringTransport()
    protocol: Any = encrypted(Factory.forProtocol(Protocol), server).buildProtocol(None)
    protocol.makeConnection(transport)
    connection = SSL.Connection(client)
    connection.set_connect_state()
    for _ in range(4):
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error:
            return None
        try:
            protocol.dataReceived(connection.bio_read(2**16))
        except SSL.WantReadError:
            return connection  # it has nothing more to say
        if transport.value():
            connection.bio_write(transport.value())
            transport.clear()
    return None


def shakes_hands(server: Server, client: standard.SSLContext) -> bool:
    """Shake hands in memory with a client of the standard library; False if one side refused the other."""
    transport = StringTransport()
    protocol: Any = encrypted(Factory.forProtocol(Protocol), server).buildProtocol(None)
    protocol.makeConnection(transport)
    incoming, outgoing = standard.MemoryBIO(), standard.MemoryBIO()
    connection = client.wrap_bio(incoming, outgoing)
    for _ in range(4):
        try:
            connection.do_handshake()
        except standard.SSLWantReadError:
            pass
        except standard.SSLError:
            return False
        else:
            return True
        protocol.dataReceived(outgoing.read())
        incoming.write(transport.value())
        transport.clear()
    return False


@needs_tls
class ProfileTests(TLSCase):
    """What a server accepts is Mozilla's "intermediate" profile, whatever a client offers."""

    def accepted(
        self, servers: list[Server], offers: list[Any], offer: Callable[[Any, Any], None]
    ) -> set[Any]:
        """Return those of some offers that a server accepts, each made alone."""
        found = set()
        for server in servers:
            for each in offers:
                client = SSL.Context(SSL.TLS_METHOD)
                try:
                    offer(client, each)
                except (SSL.Error, AttributeError):  # this OpenSSL has no such thing
                    continue
                if handshake(server, client) is not None:
                    found.add(each)
        return found

    def servers(self) -> list[Server]:
        """A server with a certificate of each kind, of files and of an endpoint."""
        ec, rsa = self.authority.issue("bridge"), self.authority.issue("bridge", rsa=True)
        endpoint = endpoint_credentials(f"ssl:0:privateKey={rsa}:certKey={rsa}")
        assert endpoint is not None
        return [Server(self.credentials(ec)), Server(self.credentials(rsa)), Server(endpoint)]

    def test_cipher_suites(self) -> None:
        """Of TLS 1.2 the profile's suites are accepted that need no file of primes, and no other."""
        everything = SSL.Context(SSL.TLS_METHOD)
        everything.set_cipher_list(b"ALL:COMPLEMENTOFALL:@SECLEVEL=0")
        offers = [
            name for name in SSL.Connection(everything).get_cipher_list() if not name.startswith("TLS_")
        ]
        self.assertGreater(len(offers), 50)

        def offer(client: Any, name: str) -> None:
            client.set_max_proto_version(SSL.TLS1_2_VERSION)
            client.set_cipher_list(f"{name}:@SECLEVEL=0".encode())

        ephemeral = {name for name in CIPHERS.split(":") if name.startswith("ECDHE-")}
        self.assertEqual(self.accepted(self.servers(), offers, offer), ephemeral)

    def test_cipher_suites_of_tls_1_3(self) -> None:
        """So it is with TLS 1.3."""
        suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]

        def offer(client: Any, name: str) -> None:
            client.set_min_proto_version(SSL.TLS1_3_VERSION)
            client.set_tls13_ciphersuites(name.encode())

        offers = [*suites, "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"]
        self.assertEqual(self.accepted(self.servers(), offers, offer), set(suites))

    def test_curves(self) -> None:
        """One curve of the profile is accepted, in TLS 1.2 and in TLS 1.3: the one that each client has."""
        for version in (standard.TLSVersion.TLSv1_2, standard.TLSVersion.TLSv1_3):
            accepted = set()
            for server in self.servers()[
                1:
            ]:  # with a key of a curve, that curve too would have to be offered
                for name in CURVES:
                    client = standard.SSLContext(standard.PROTOCOL_TLS_CLIENT)
                    client.check_hostname, client.verify_mode = False, standard.CERT_NONE
                    client.minimum_version = client.maximum_version = version
                    try:
                        client.set_ecdh_curve(name)
                    except (ValueError, standard.SSLError):  # this OpenSSL has no such curve
                        continue
                    if shakes_hands(server, client):
                        accepted.add(name)
            self.assertEqual(accepted, {"prime256v1"}, version)


@needs_tls
class NameTests(TLSCase):
    """What a client is called."""

    def name(self, *common_names: str, others: tuple[Any, ...] = ()) -> str:
        """The name in a certificate."""
        path = self.authority.issue(*common_names, others=others)
        return client_name(x509.load_pem_x509_certificate(path.read_bytes()))

    def test_common_name(self) -> None:
        """The common name is the name, whatever else the certificate is for."""
        for name in ("alice", "Ann Lee", "alice@site.org", "desk.site.org"):
            self.assertEqual(self.name(name), name)
        self.assertEqual(self.name("alice", others=(x509.DNSName("desk.site.org"),)), "alice")

    def test_alternative_name(self) -> None:
        """Without a common name, one DNS name or e-mail address is the name; an address of a host is none."""
        self.assertEqual(self.name(others=(x509.DNSName("desk.site.org"),)), "desk.site.org")
        self.assertEqual(self.name(others=(x509.RFC822Name("alice@site.org"),)), "alice@site.org")

    def test_none_or_more(self) -> None:
        """A certificate with no name, or with more than one, is nobody's."""
        both = (x509.DNSName("desk.site.org"), x509.RFC822Name("alice@site.org"))
        for names, others, got in (
            ((), (), "none"),
            (("alice", "bob"), (), "'alice', 'bob'"),
            (("alice", "alice"), (), "'alice', 'alice'"),
            ((), both, "'desk.site.org', 'alice@site.org'"),
            ((), (x509.DNSName("a.org"), x509.DNSName("b.org")), "'a.org', 'b.org'"),
        ):
            error = self.assertRaises(ValueError, self.name, *names, others=others)
            self.assertIn(f"got {got}", str(error))


@needs_tls
class DateTests(TLSCase):
    """Which certificates are warned of."""

    def warnings(self, days: float) -> list[str]:
        """What is said of a certificate that is valid for so long."""
        credentials = self.credentials(self.authority.issue("bridge", days=days))
        now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
        return list(date_warnings(credentials.chain, now))

    def test_dates(self) -> None:
        """One that has expired, or expires within 30 days, is warned of with its end; no other is."""
        self.assertEqual(self.warnings(31), [])
        self.assertRegex(
            self.warnings(29.5)[0], r"^CN=bridge expires in 29 days, on [-0-9]{10} [0-9:]{5} UTC$"
        )
        self.assertRegex(self.warnings(0.5)[0], "^CN=bridge expires in 0 days")
        self.assertRegex(self.warnings(-0.5)[0], "^CN=bridge expired on ")

    def test_not_yet(self) -> None:
        """One that is not valid yet is warned of: a client would not connect."""
        credentials = self.credentials(self.authority.issue("bridge", days=365))
        before = datetime.now(UTC) - timedelta(days=2)
        self.assertRegex(next(date_warnings(credentials.chain, before)), "^CN=bridge is not valid before ")

    def config(self) -> Config:
        """One with every kind of certificate, none of which lasts long."""
        own = self.authority.issue("bridge", days=20)
        self.authority.renew(days=10)
        port = PortCommanders(
            name="desk", endpoint="tcp:0", certificate=str(own), client_ca=str(self.authority.ca)
        )
        encrypted = f"ssl:0:privateKey={own}:certKey={own}"
        config = Config(
            ports=(port, PortCommanders(name="wall", endpoint=encrypted)), web=WebSettings(endpoint=encrypted)
        )
        return with_credentials(config, self.fail)  # type: ignore[arg-type]

    def test_every_certificate(self) -> None:
        """Each is looked at: a port's, its clients' authority's, and those of ``ssl:`` endpoints."""
        found = list(certificate_warnings(self.config(), datetime.now(UTC)))
        self.assertEqual(
            [line.split(": ")[0] for line in found],
            ["port[1].certificate", "port[1].client_ca", "port[2].endpoint", "web.endpoint"],
        )
        self.assertIn(f"{self.authority.ca}: CN=test authority expires in 9 days", found[1])

    def test_daily(self) -> None:
        """The log says so at the start and once a day, of the configuration that is in use by then."""
        clock, configs = Clock(), [self.config()]
        watch = CertificateWatch(lambda: configs[-1], LOG, clock)
        for step in (watch.startService, lambda: clock.advance(DAY)):
            with self.assertLogs(LOG, "WARNING") as logged:
                step()  # type: ignore[operator]
            self.assertEqual(len(logged.output), 4)
            self.assertIn("certificate: port[1].certificate: ", logged.output[0])
        configs.append(Config())
        with self.assertNoLogs(LOG, "WARNING"):
            clock.advance(DAY)
        watch.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])


@needs_tls
class ByteOrderMarkTests(TLSCase):
    """Files that an editor has put a byte order mark into."""

    def setUp(self) -> None:
        super().setUp()
        self.own = self.authority.issue("bridge")
        for path in (self.own, self.authority.ca):
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    def test_configured(self) -> None:
        """Certificate, key and authority of a configuration are read as without it."""
        found = load_credentials(str(self.own), str(self.own), str(self.authority.ca))
        self.assertEqual((len(found.chain), len(found.authorities)), (1, 1))

    def test_endpoint(self) -> None:
        """Every file of an ``ssl:`` endpoint is read as without it."""
        primes = self.folder / "primes.pem"
        primes.write_bytes(b"\xef\xbb\xbf" + primes_in_pem())
        found = endpoint_credentials(
            f"ssl:0:privateKey={self.own}:certKey={self.own}"
            f":extraCertChain={self.authority.ca}:dhParameters={primes}"
        )
        assert found is not None
        self.assertEqual(len(found.chain), 2)
        self.assertEqual(found.dh_parameters, primes_in_pem())


@needs_tls
class EndpointTests(TLSCase):
    """The files of an ``ssl:`` endpoint."""

    def test_chain(self) -> None:
        """All that it would show is known, with no key in its text."""
        own = self.authority.issue("bridge")
        found = endpoint_credentials(
            f"ssl:0:privateKey={own}:certKey={own}:extraCertChain={self.authority.ca}"
        )
        assert found is not None
        names = [each.subject.rfc4514_string() for each in found.chain]
        self.assertEqual(names, ["CN=bridge", "CN=test authority"])
        self.assertNotIn("key", repr(found))
        self.assertIsNone(endpoint_credentials("tcp:0"))

    def test_chain_in_one_file(self) -> None:
        """The certificates between its own and its authority's may be in the file of its own."""
        own = self.authority.issue("bridge")
        own.write_bytes(own.read_bytes() + self.authority.ca.read_bytes())
        found = endpoint_credentials(f"ssl:0:privateKey={own}")
        assert found is not None
        self.assertEqual(len(found.chain), 2)

    def test_primes(self) -> None:
        """Diffie-Hellman parameters are read with the other files, and their file is not read again.

        Whether a server with the curves of the profile uses them is OpenSSL's choice: 4.0 does not.
        """
        own, primes = self.authority.issue("bridge", rsa=True), self.folder / "primes.pem"
        primes.write_bytes(primes_in_pem())
        found = endpoint_credentials(f"ssl:0:privateKey={own}:dhParameters={primes}")
        assert found is not None
        primes.unlink()
        self.assertIsNotNone(handshake(Server(found), SSL.Context(SSL.TLSv1_2_METHOD)))

    def test_file_at_fault(self) -> None:
        """A file that can't be used is named, with what was expected, in the words of a port's own files."""
        own, wrong = self.authority.issue("bridge"), self.folder / "wrong.pem"
        for argument, expected in (
            ("certKey", "a certificate"),
            ("privateKey", "a private key with no password"),
            ("extraCertChain", "a certificate"),
            ("dhParameters", "Diffie-Hellman parameters"),
        ):
            files = {"certKey": own, "privateKey": own, argument: wrong}
            text = ":".join(["ssl:0", *(f"{name}={path}" for name, path in files.items())])
            for content in (b"", b"x", b"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n"):
                wrong.write_bytes(content)
                error = self.assertRaises(ConfigError, endpoint_credentials, text)
                self.assertEqual(str(error), f"{wrong}: expected {expected}, in PEM")
            wrong.unlink()
            error = self.assertRaises(ConfigError, endpoint_credentials, text)
            self.assertEqual(str(error), f"{wrong}: can't be read: No such file or directory")

    def test_file_at_fault_of_a_configuration(self) -> None:
        """It is told with the key of the endpoint, of a port and of the page."""
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={self.folder}/none.pem"
        told: list[str] = []

        def wrong(key: str, error: ConfigError) -> NoReturn:
            told.append(f"{key}: {error}")
            raise error

        port = PortCommanders(name="desk", endpoint=endpoint)
        for config in (Config(ports=(port,)), Config(web=WebSettings(endpoint=endpoint))):
            self.assertRaises(ConfigError, with_credentials, config, wrong)
        why = f"endpoint: {self.folder}/none.pem: can't be read: No such file or directory"
        self.assertEqual(told, [f"port[1].{why}", f"web.{why}"])

    def test_another_key(self) -> None:
        """A key that is not the certificate's is told before anything listens."""
        own, other = self.authority.issue("bridge"), self.authority.issue("other")
        certificate = self.folder / "certificate.pem"
        certificate.write_text(
            standard.DER_cert_to_PEM_cert(
                standard.PEM_cert_to_DER_cert(own.read_text().partition("-----BEGIN PRIVATE KEY")[0].strip())
            )
        )
        text = f"ssl:0:privateKey={other}:certKey={certificate}"
        self.assertIn("not the key", str(self.assertRaises(ConfigError, endpoint_credentials, text)))

    def test_unusable(self) -> None:
        """A file that is gone, or holds something else, is told with the endpoint."""
        own = self.authority.issue("bridge")
        text = f"ssl:0:privateKey={own}"
        for damage, why in (
            (lambda: own.write_text("x"), "expected a certificate"),
            (own.unlink, "No such file"),
        ):
            damage()
            self.assertIn(why, str(self.assertRaises(ConfigError, endpoint_credentials, text)))

    def test_encrypted_twice(self) -> None:
        """A port with a certificate of its own at an ``ssl:`` endpoint is refused."""
        own = self.authority.issue("bridge")
        text = f'[[port]]\nname = "desk"\nendpoint = "ssl:0:interface=127.0.0.1:privateKey={own}"\n'
        error = self.assertRaises(ConfigError, load, f'{text}certificate = "{own}"\n')
        self.assertIn("port[1].certificate: the endpoint is encrypted already", str(error))
        self.assertEqual(len(load(text).ports), 1)
