"""How much a port takes from real sockets in one turn of the reactor."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import PortCommanders
from mtmount_twisted.net.accepts import ACCEPTS
from mtmount_twisted.net.protocol import RECEIVED_AT_ONCE
from mtmount_twisted.testing import HOST
from tests.support.bridges import LOG, TCP, command
from tests.support.commanders import STOP

VISITORS = 60
STOPS = 1500


class PortTests(TestCase):
    """A port without a controller."""

    def setUp(self) -> None:
        port = PortCommanders(name="desk", endpoint=TCP, role="commander")
        self.service = BridgeService(Config(ports=(port,)), LOG)
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.sockets = ExitStack()
        self.addCleanup(self.sockets.close)

    def connect(self) -> socket.socket:
        """A socket whose connection waits to be accepted."""
        address = self.service.ports[0].getHost()
        assert isinstance(address, IPv4Address)
        return self.sockets.enter_context(socket.create_connection((HOST, address.port)))

    async def test_connections(self) -> None:
        """Of many connections that come at once a turn accepts few, and in the end each is accepted."""
        for _ in range(VISITORS):
            self.connect()
        clients, before = self.service.bridge.clients, 0
        while before < VISITORS:
            await deferLater(reactor, 0)
            self.assertLessEqual(len(clients) - before, ACCEPTS)
            before = len(clients)

    async def test_lines(self) -> None:
        """Of many stops that come at once a turn takes few, and in the end each is answered."""
        line = command(1, STOP, 1) + b"\r\n"
        self.connect().sendall(line * STOPS)
        counts, before = self.service.bridge.counts, 0
        while before < STOPS:
            await deferLater(reactor, 0)
            self.assertLessEqual(counts["not_sent"] - before, 2 + 2 * RECEIVED_AT_ONCE // len(line))
            before = counts["not_sent"]
