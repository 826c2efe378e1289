"""Tests of `mtmount_twisted.interfaces`: who says that it keeps a contract keeps it, by signature."""

from __future__ import annotations

import inspect
import logging
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface
from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyObject

from mtmount_twisted import interfaces
from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.interfaces import ILineReaderOwner, ILineWriterOwner, IPairOwner
from mtmount_twisted.net.halves import (
    ClientHalf,
    ClientOptions,
    OnePeerFactory,
    ServerHalf,
    ServerOptions,
    WriterFactory,
)
from mtmount_twisted.net.protocol import LineReader, LineWriter
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.net.send_buffer import SendBuffer
from mtmount_twisted.testing import HOST, MemoryReactor

LOG = logging.getLogger("tests.interfaces")


class InterfacesTests(SynchronousTestCase):
    """Each contract, on a real object."""

    def setUp(self) -> None:
        reactor = MemoryReactor()
        buffer = SendBuffer(reactor, 1000)
        self.pair = Communicator("c", HOST, 1, HOST, 0, LOG, True, False, reactor=reactor)
        self.client = ClientHalf(ClientOptions("c", reactor, LOG, self.pair, lambda: 0.1, buffer))
        self.server = ServerHalf(ServerOptions("c", reactor, LOG, self.pair, HOST, 0, TERMINATOR, 100))
        self.reader = LineReader(self.server, TERMINATOR)
        self.writer = LineWriter(self.client, reactor, RateLimitedLog(reactor, LOG, A_FEW), "c", buffer)

    def test_ours(self) -> None:
        """The pair and its halves are what those to their left report to."""
        for contract, provider in (
            (IPairOwner, self.pair),
            (ILineWriterOwner, self.client),
            (ILineReaderOwner, self.server),
        ):
            self.assertTrue(verifyObject(contract, provider))

    def test_twisted(self) -> None:
        """Protocols and factories are Twisted's; neither half-closes, so an end of file is a loss."""
        factories: list[Any] = [
            WriterFactory(lambda: self.writer, lambda: 0.1, None, lambda reason: None),
            OnePeerFactory(lambda address: self.reader),
        ]
        for factory in factories:
            self.assertTrue(verifyObject(IProtocolFactory, factory))
        for protocol in (self.reader, self.writer):
            self.assertTrue(verifyObject(IProtocol, protocol))
            self.assertFalse(IHalfCloseableProtocol.providedBy(protocol))

    def test_every_method_is_explained(self) -> None:
        """Each contract says, in words, what it is and what each of its methods means."""
        contracts = [
            one
            for one in vars(interfaces).values()
            if isinstance(one, InterfaceClass) and one is not Interface
        ]
        self.assertGreaterEqual(len(contracts), 3)
        for contract in contracts:
            self.assertTrue(inspect.cleandoc(contract.getDoc()))
            for name, method in contract.namesAndDescriptions():
                self.assertTrue(method.getDoc(), f"{contract.__name__}.{name}")
