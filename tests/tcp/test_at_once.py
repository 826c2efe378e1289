"""How much a port takes from real sockets in one turn of the reactor."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from unittest import mock

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import Controller, PairCommander, PortCommanders, TelemetryReaders
from mtmount_twisted.frontends.tcp import ports
from mtmount_twisted.net import known_addresses, paired_session
from mtmount_twisted.net.accepts import MOST_ACCEPTS
from mtmount_twisted.net.protocol import RECEIVED_AT_ONCE
from mtmount_twisted.records import ChangeRecord
from mtmount_twisted.testing import HOST
from tests.support.bridges import LOG, TCP, command
from tests.support.commanders import STOP
from tests.support.ports import free_port

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

    def connect(self, source: str = "") -> socket.socket:
        """A socket whose connection waits to be accepted."""
        address = self.service.ports[0].getHost()
        assert isinstance(address, IPv4Address)
        at = HOST, address.port
        return self.sockets.enter_context(socket.create_connection(at, source_address=(source, 0)))

    async def test_connections(self) -> None:
        """Of many connections that come at once a turn accepts few, and in the end each is accepted."""
        for _ in range(VISITORS):
            self.connect()
        clients, before = self.service.bridge.clients, 0
        while before < VISITORS:
            await deferLater(reactor, 0)
            self.assertLessEqual(len(clients) - before, MOST_ACCEPTS)
            before = len(clients)

    async def hold(self, source: str) -> socket.socket:
        """A socket of a client that has command."""
        bridge = self.service.bridge
        made = self.connect(source)
        while not bridge.clients:
            await deferLater(reactor, 0)
        [holder] = bridge.clients.values()
        bridge.lease.grant(holder)
        bus = self.service._used_bus
        bus.publish(ChangeRecord(bus.now(), bus.epoch, holder.name, "lease_granted", ""))
        return made

    async def test_socket_of_a_holder(self) -> None:
        """The socket of a client that gets command goes first from then on, also if it waits already."""
        with mock.patch.object(ports, "note_first") as note_first:
            await self.hold("127.0.3.1")
        [[[transport], _]] = note_first.call_args_list
        self.assertEqual(transport.getPeer().host, "127.0.3.1")

    async def test_address_of_a_lost_holder(self) -> None:
        """An address is known for an hour after the connection of the holder there is lost."""
        with mock.patch.object(known_addresses, "KNOWN_TIME", -1.0):
            held = await self.hold("127.0.3.1")
        [port] = self.service._ports.values()
        self.assertFalse(port.factory.commanded.holds("127.0.3.1"))
        held.close()
        while self.service.bridge.clients:
            await deferLater(reactor, 0)
        self.assertTrue(port.factory.commanded.holds("127.0.3.1"))

    async def test_address_of_a_holder(self) -> None:
        """An address from which a client had command is known: its connections wait for few others."""
        bridge = self.service.bridge
        await self.hold("127.0.3.1")
        for number in range(VISITORS):
            self.connect(f"127.0.1.{number + 1}")
        self.connect("127.0.3.1")
        while len(bridge.clients) < VISITORS + 2:
            await deferLater(reactor, 0)
        hosts = [client.address.split(":")[0] for client in bridge.clients.values()]
        self.assertLessEqual(hosts[1:].index("127.0.3.1"), 2 * MOST_ACCEPTS)

    async def test_lines(self) -> None:
        """Of many stops that come at once a turn takes few, and in the end each is answered."""
        line = command(1, STOP, 1) + b"\r\n"
        self.connect().sendall(line * STOPS)
        counts, before = self.service.bridge.counts, 0
        while before < STOPS:
            await deferLater(reactor, 0)
            self.assertLessEqual(counts["not_sent"] - before, 2 + 2 * RECEIVED_AT_ONCE // len(line))
            before = counts["not_sent"]


class PairTests(TestCase):
    """The two-way pair of a commander, without a controller."""

    async def test_bytes(self) -> None:
        """A turn receives few bytes of those that come at once."""
        port = free_port(self)
        controller = Controller(host=HOST, command_port=1, dialect="tma2022")
        pair = PairCommander(name="csc", source="CSC", command_port=port)
        service = BridgeService(Config(controller=controller, pairs=(pair,)), LOG)
        service.startService()
        await deferLater(reactor, 0)
        with socket.create_connection((HOST, port)):
            while (transport := service.pairs[0].server_writer) is None:
                await deferLater(reactor, 0)
            self.assertEqual(getattr(transport, "bufferSize"), RECEIVED_AT_ONCE)
            await service.stopService()


class TelemetryTests(TestCase):
    """A port for readers of telemetry."""

    async def test_readers(self) -> None:
        """Of many readers that come at once a turn accepts few, and in the end each is accepted."""
        controller = Controller(host=HOST, command_port=1, telemetry_port=1, dialect="tma2022")
        readers = TelemetryReaders(name="readers", endpoint=f"tcp:{free_port(self)}:interface={HOST}")
        service = BridgeService(Config(controller=controller, telemetry=(readers,)), LOG)
        service.startService()
        await deferLater(reactor, 0)
        [port] = service.telemetry_ports
        port_number = int(readers.endpoint.split(":")[1])
        with ExitStack() as sockets:
            for _ in range(VISITORS):
                sockets.enter_context(socket.create_connection((HOST, port_number)))
            before = 0
            while before < VISITORS:
                await deferLater(reactor, 0)
                self.assertLessEqual(port.readers - before, MOST_ACCEPTS)
                before = port.readers
            await service.stopService()


class SecondPeerTests(TestCase):
    """The sockets that take one peer: for the controller's replies, of a pair, and of a two-way pair."""

    async def check(self, service: BridgeService, port: int) -> None:
        """Of many peers that come at once a turn refuses few, and in the end each but the first."""
        await deferLater(reactor, 0)
        with ExitStack() as sockets:
            peers = [sockets.enter_context(socket.create_connection((HOST, port))) for _ in range(VISITORS)]
            for peer in peers:
                peer.setblocking(False)
            refused = 0
            while refused < VISITORS - 1:
                await deferLater(reactor, 0)
                gone = [peer for peer in peers if is_ended(peer)]
                self.assertLessEqual(len(gone), MOST_ACCEPTS)
                peers = [peer for peer in peers if peer not in gone]
                refused += len(gone)
            await service.stopService()

    async def test_pair(self) -> None:
        """Both ports of a bridge with a pair."""
        for name in ("reply port", "command port"):
            replies, commands = free_port(self), free_port(self)
            controller = Controller(host=HOST, command_port=1, reply_host=HOST, reply_port=replies)
            pair = PairCommander(name="csc", source="CSC", command_port=commands, reply_port=1)
            service = BridgeService(Config(controller=controller, pairs=(pair,)), LOG)
            service.startService()
            await self.check(service, replies if name == "reply port" else commands)

    async def test_two_way_pair(self) -> None:
        """The port of a pair that speaks tma2022."""
        port = free_port(self)
        controller = Controller(host=HOST, command_port=1, dialect="tma2022")
        pair = PairCommander(name="csc", source="CSC", command_port=port)
        service = BridgeService(Config(controller=controller, pairs=(pair,)), LOG)
        service.startService()
        await self.check(service, port)


class RefusedTests(TestCase):
    """Hundreds of peers that are not admitted, before one that is."""

    FRIEND = "127.0.3.1"
    STRANGERS = 200

    async def check(self, service: BridgeService, port: int, is_there: Callable[[], object]) -> None:
        """The one that is admitted waits for none of the others to be set up, and these are logged."""
        await deferLater(reactor, 0)
        with ExitStack() as sockets:
            strangers = [f"127.0.1.{number}" for number in range(1, self.STRANGERS + 1)]
            for source in [*strangers, self.FRIEND]:
                sockets.enter_context(socket.create_connection((HOST, port), source_address=(source, 0)))
            turns = 0
            with self.assertLogs(LOG, "WARNING") as logged:
                while not is_there():
                    await deferLater(reactor, 0)
                    turns += 1
            self.assertLess(turns, self.STRANGERS // MOST_ACCEPTS // 2)
            self.assertIn("refused a peer", logged.output[0])
            self.assertIn(strangers[0], logged.output[0])
            await service.stopService()

    async def test_port(self) -> None:
        """A port with ``allow``."""
        number = free_port(self)
        endpoint = f"tcp:{number}:interface={HOST}"
        port = PortCommanders(name="desk", endpoint=endpoint, role="commander", allow=(self.FRIEND,))
        service = BridgeService(Config(ports=(port,)), LOG)
        service.startService()
        await self.check(service, number, lambda: service.bridge.clients)

    async def test_pair(self) -> None:
        """The port of a pair. Its strangers are peers on this machine, which is admitted otherwise."""
        self.patch(paired_session, "LOOPBACK", ())
        number = free_port(self)
        controller = Controller(host=HOST, command_port=1, dialect="tma2022")
        pair = PairCommander(name="csc", source="CSC", command_port=number, allow=(self.FRIEND,))
        service = BridgeService(Config(controller=controller, pairs=(pair,)), LOG)
        service.startService()
        await self.check(service, number, lambda: service.pairs[0].server_writer)


def is_ended(peer: socket.socket) -> bool:
    """Return True if the other side has closed a connection."""
    try:
        return not peer.recv(65536)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
