"""`mtmount_twisted.net.endpoints`: what the text of an endpoint says, and listening there."""

from __future__ import annotations

from functools import partial
from typing import Any
from unittest import skipIf

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.endpoints import BACKLOG, Endpoint
from mtmount_twisted.testing import MemoryReactor

try:
    from twisted.internet.ssl import CertificateOptions
except ImportError:  # the extra is not installed
    CertificateOptions = None  # type: ignore[assignment,misc]

needs_tls = skipIf(CertificateOptions is None, "mtmount_twisted[tls] is not installed")


class Listened(MemoryReactor):
    """Notes where it is to listen, and with what."""

    def __init__(self) -> None:
        super().__init__()
        self.where: list[tuple[int, str, int]] = []
        self.factories: list[Any] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Note it."""
        self.where.append((port, interface, backlog))
        self.factories.append(factory)


class ParseTests(SynchronousTestCase):
    """What is read from a text is what Twisted does with it."""

    def test_bound_as_twisted_does(self) -> None:
        """Port and address are those at which Twisted listens, however the text gives them."""
        for text in (
            "tcp:1",
            "tcp:1:127.0.0.1",
            "tcp:1:interface=192.0.2.1:backlog=5",
            "tcp:interface=192.0.2.1:1",
            "interface=192.0.2.1:tcp:1",
            "port=1:tcp",
            "t\\cp:1:inter\\face=192.0.2.1",
            "tcp:1:interface=127.0.0.1:interface=192.0.2.1",
            "tcp6:1",
            "TCP6:1:5:fd00\\:\\:1",
            "haproxy:tcp:1:192.0.2.1",
            "HAproxy:tcp:1:interface=192.0.2.1",
            "haproxy:haproxy:tcp:1:192.0.2.1",
        ):
            reactor: Any = Listened()
            serverFromString(reactor, text).listen(Factory())
            [(port, interface, _)] = reactor.where
            endpoint = Endpoint.parse(text)
            self.assertEqual((endpoint.port, endpoint.host), (port, interface or "0.0.0.0"), text)
            again: Any = Listened()
            endpoint.listen(Factory(), again)
            self.assertEqual([where[:2] for where in again.where], [(port, interface)], text)

    def test_backlog(self) -> None:
        """Many connections may wait to be accepted, unless the text gives a number."""
        for text, backlog in (
            ("tcp:1", BACKLOG),
            ("haproxy:tcp:1", BACKLOG),
            ("tcp:1:interface=192.0.2.1:backlog=5", 5),
            ("TCP6:1:5:fd00\\:\\:1", 5),
        ):
            reactor: Any = Listened()
            Endpoint.parse(text).listen(Factory(), reactor)
            self.assertEqual([where[2] for where in reactor.where], [backlog], text)

    def test_kind_that_is_not_known(self) -> None:
        """An endpoint of a plugin counts as bound to all addresses, whatever its arguments say."""
        endpoint = Endpoint.parse("stdio:")
        self.assertEqual((endpoint.host, endpoint.port, endpoint.is_near), ("0.0.0.0", 0, False))

    @needs_tls
    def test_encrypted(self) -> None:
        """An endpoint that brings TLS is known however the text gives its kind; no file need be there."""
        for text in ("ssl:1", "s\\sl:1", "privateKey=k:ssl:1", "haproxy:ssl:1", "HAPROXY:ssl:port=1"):
            endpoint = Endpoint.parse(text)
            self.assertTrue(endpoint.is_encrypted, text)
            self.assertEqual(endpoint.port, 1)
        for text in ("tcp:1", "unix:ssl", "haproxy:tcp:1"):
            self.assertFalse(Endpoint.parse(text).is_encrypted, text)
        endpoint = Endpoint.parse("ssl:1:k\\:1.pem:c.pem:extraCertChain=e.pem:dhParameters=d.pem")
        self.assertEqual((endpoint.private_key, endpoint.certificate), ("k:1.pem", "c.pem"))
        self.assertEqual((endpoint.extra_chain, endpoint.dh_parameters), ("e.pem", "d.pem"))
        self.assertEqual(Endpoint.parse("ssl:1").certificate, "server.pem", "as for Twisted")

    @needs_tls
    def test_wrong_arguments(self) -> None:
        """The arguments of an ``ssl:`` endpoint are looked at before its files are."""
        for text, why in (
            ("ssl", "missing 1 required positional argument: 'port'"),
            ("ssl:x", "'x'"),
            ("ssl:70000", "a port from 0 to 65535"),
            ("ssl:1:interfac=h", "unexpected argument 'interfac'"),
            ("ssl:1:a:b:c:h:5:d:e:f", "unexpected argument 'f'"),
            ("ssl:1:a:privateKey=b", "two values for 'privateKey'"),
            ("ssl:1:backlog=many", "'many'"),
            ("tls:/etc/mtmount:8443", "no tls: give ssl: with privateKey and certKey"),
            ("TLS:/etc/mtmount:8443", "no tls: "),
        ):
            self.assertIn(why, str(self.assertRaises(ValueError, Endpoint.parse, text)))


@needs_tls
class ListenTests(SynchronousTestCase):
    """An ``ssl:`` endpoint listens with TLS of our own making, and reads no file."""

    def listened(self, text: str) -> Any:
        """The factory that a text listens with, on port 1 of 192.0.2.1."""
        reactor: Any = Listened()
        factory = Factory.forProtocol(Protocol)
        encrypt = partial(TLSMemoryBIOFactory, CertificateOptions(), False)
        self.successResultOf(Endpoint.parse(text).listen(factory, reactor, encrypt))
        self.assertEqual(reactor.where, [(1, "192.0.2.1", 7)])
        return factory, reactor.factories[0]

    def test_no_file_is_read(self) -> None:
        """Its files may be gone by then; behind ``haproxy:`` TLS comes first, as with Twisted's own."""
        where = "1:privateKey=/no/such/file:interface=192.0.2.1:backlog=7"
        factory, listens = self.listened(f"ssl:{where}")
        self.assertIsInstance(listens, TLSMemoryBIOFactory)
        self.assertIs(listens.wrappedFactory, factory)
        factory, listens = self.listened(f"haproxy:ssl:{where}")
        self.assertIsInstance(listens, TLSMemoryBIOFactory)
        self.assertIsNot(listens.wrappedFactory, factory)
        self.assertIs(listens.wrappedFactory.wrappedFactory, factory)
