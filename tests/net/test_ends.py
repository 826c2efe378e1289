"""An error of our own, or of a program's, in the middle of an end: all else ends, nobody waits for ever."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.testing import MemoryReactorClock

from mtmount_twisted.client.communicator import LINES, ClientServerPair
from mtmount_twisted.errors import ListenError
from mtmount_twisted.frontends.tcp.ports import PortClient
from mtmount_twisted.frontends.web.http.site import WebSite
from mtmount_twisted.net.paired_session import PairedSession
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.testing import HOST, MemoryReactor
from tests.support.bridges import LOG as BRIDGE_LOG
from tests.support.bridges import BridgeCase
from tests.support.pairs import LOG
from tests.support.web import LOG as WEB_LOG
from tests.web.test_service import web_of


class OurFault(Exception):
    """What no code expects."""


def fail(*arguments: object, **options: object) -> NoReturn:
    """Stands for a method that does not do what it should."""
    raise OurFault("ours")


class PairEndTests(BridgeCase):
    """A connection pair."""

    def closed(self, kind: Any, method: str) -> None:
        """Close a pair of which one method fails, while a peer is connected; nothing is left."""
        reactor = MemoryReactor()
        factory = ClientFactory.forProtocol(Protocol)
        broken = type("Broken", (kind,), {})
        pair = broken("pair", HOST, 1, HOST, 0, LOG, connect=False, carries=LINES, reactor=reactor)
        reactor.connectTCP(HOST, pair.server_port, factory)
        reactor.advance(0)
        self.assertTrue(pair.server_connected)
        waiting = pair.read()
        setattr(broken, method, fail)
        with self.assertLogs(LOG, logging.ERROR) as logged:
            ended = [pair.close(), pair.close()]
            reactor.advance(0)
        for each in ended:
            self.successResultOf(each)
        self.assertIn("OurFault: ours", "".join(logged.output) + str(logged.records[0].exc_text))
        self.failureResultOf(waiting, ConnectionAbortedError)
        self.assertEqual((reactor.ports, reactor.getDelayedCalls()), ({}, []))

    def test_pair(self) -> None:
        """A method of a subclass that fails holds up neither the sockets nor who waits for the end."""
        self.closed(ClientServerPair, "call_connect_callback")

    def test_session(self) -> None:
        """Nor does a failure in what a pair of the bridge does as its session is over."""
        self.closed(PairedSession, "went_down")

    def test_listening(self) -> None:
        """Whatever a reactor raises as a pair begins to listen, who waits for that is told."""
        reactor = MemoryReactor()
        self.patch(reactor, "listenTCP", fail)
        with self.assertLogs(LOG, logging.ERROR):
            pair: Any = ClientServerPair("pair", HOST, 1, HOST, 0, LOG, connect=False, reactor=reactor)
        self.failureResultOf(pair.wait_server_port(), ListenError)
        self.successResultOf(pair.close())


class BridgeEndTests(BridgeCase):
    """The bridge, with its commanders."""

    def ends(self) -> None:
        """The service stops in time, with nothing left; the log says why it is not well."""
        ended = self.service.wait_ended()
        with self.assertLogs(BRIDGE_LOG, logging.ERROR) as logged:
            stopped = self.service.stopService()
            self.pass_time(1.5)
        self.successResultOf(stopped)
        self.successResultOf(ended)
        self.assertIn("OurFault", "".join(map(str, [*logged.output, logged.records[0].exc_info])))

    def setUp(self) -> None:
        super().setUp()
        self.start_all()
        self.clients = [self.join(), self.join()]

    def tearDown(self) -> None:
        for client in self.clients:
            self.assertFalse(client.is_connected)
        self.assertEqual(self.reactor.ports.keys() & {pair.server_port for pair in self.service.pairs}, set())

    def test_decisions(self) -> None:
        """A core that can't be closed does not keep its connections open."""
        self.patch(self.service.bridge, "close", fail)
        self.ends()

    def test_waiting_for_commands(self) -> None:
        """A core that can't wait for commands does not keep anything from its end."""
        self.patch(self.service.bridge, "drain", fail)
        self.ends()

    def test_client(self) -> None:
        """A client that can't be dismissed is broken off, and the others are dismissed."""
        self.patch(PortClient, "dismiss", fail)
        self.ends()


class OtherEndTests(BridgeCase):
    """What is beside the bridge."""

    def test_web(self) -> None:
        """Connections that can't be closed do not keep who waits for the end of the page."""
        _, service = web_of(MemoryReactorClock())
        service.startService()
        self.patch(WebSite, "close", fail)
        with self.assertLogs(WEB_LOG, logging.ERROR):
            self.successResultOf(service.stopService())

    def test_simulator(self) -> None:
        """A simulated mount that can't be stopped does not keep its connections open."""
        reactor = MemoryReactor()
        service = SimulatorService(command_port=0, reply_port=0, log=LOG, reactor=reactor)
        service.startService()
        self.patch(service.mount, "close", fail)
        with self.assertLogs(LOG, logging.ERROR):
            stopped = service.stopService()
        reactor.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(reactor.ports, {})
