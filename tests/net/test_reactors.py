"""`mtmount_twisted.net.reactors`: what stands in for a reactor can do what the reactor can."""

from __future__ import annotations

from typing import Any
from unittest import skipIf

from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import providedBy
from zope.interface.verify import verifyObject

from mtmount_twisted.app.privileged import PrivilegedPorts
from mtmount_twisted.net.tls import ConnectsWith
from mtmount_twisted.testing import HOST, MemoryReactor

try:
    from twisted.internet import ssl
except ImportError:  # the extra is not installed
    ssl = None  # type: ignore[assignment]


class LayerTests(SynchronousTestCase):
    """Reactors that do one thing in a way of their own."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactor()

    def layers(self) -> list[Any]:
        """One of each kind."""
        return [PrivilegedPorts(self.reactor, ()), ConnectsWith(self.reactor, None)]

    def test_interfaces(self) -> None:
        """They provide what the reactor provides."""
        for layer in self.layers():
            self.assertEqual(list(providedBy(layer)), list(providedBy(self.reactor)))
            for interface in (IReactorTime, IReactorTCP):
                verifyObject(interface, layer)

    def test_time(self) -> None:
        """Their clock is the reactor's."""
        for layer in self.layers():
            called: list[int] = []
            layer.callLater(1.0, called.append, 1)
            before = layer.seconds()
            self.reactor.advance(1.0)
            self.assertEqual((layer.seconds() - before, called), (1.0, [1]))

    @skipIf(ssl is None, "mtmount_twisted[tls] is not installed")
    def test_connects_with_tls(self) -> None:
        """A TCP connection of one is a TLS connection; a port that it listens on is the reactor's."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        made: list[Any] = []
        self.reactor.connectTCP = lambda host, port, factory, *rest: made.append((host, port, factory, *rest))
        layer = ConnectsWith(self.reactor, ssl.optionsForClientTLS("mount.example"))
        factory = Factory.forProtocol(Protocol)
        layer.connectTCP(HOST, 1, factory, 30)
        [(host, port, wrapped, timeout)] = made
        self.assertEqual((host, port, timeout), (HOST, 1, 30))
        self.assertIsInstance(wrapped, TLSMemoryBIOFactory)
        self.assertIs(wrapped.wrappedFactory, factory)
        self.assertTrue(callable(layer.listenTCP))
