"""`mtmount_twisted.app.bridge_service`: it begins and ends with nothing left behind."""

from __future__ import annotations

import logging
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import ClientLimits, PortCommanders
from mtmount_twisted.testing import HOST
from tests.support.bridges import LOG, TCP, BridgeCase, PortEnd, ask, command, explanation, reply
from tests.support.commanders import MOVE, STATE, STOP
from tests.support.folders import scratch_folder


class ServiceTests(BridgeCase):
    """Starting and stopping."""

    def everyone(self) -> list[Any]:
        """The far ends of all connections, all of them up."""
        self.start_all()
        return [self.controller, self.csc, self.eui, self.join(), self.join(1)]

    def test_interface(self) -> None:
        """It is a service for ``twistd``."""
        self.assertTrue(verifyObject(IService, self.service))
        self.assertEqual(self.service.name, "mtmount-bridge")

    def test_describe(self) -> None:
        """One line for people tells where each commander is served."""
        self.start_all()
        described = self.service.describe()
        for pair, far_end in zip(self.service.pairs, (self.csc, self.eui), strict=True):
            self.assertIn(f"{pair.name} on {HOST}:{pair.server_port}", described)
            self.assertIn(f"{HOST}:{far_end.port}", described)
        self.assertIn(f"port desk on {TCP}", described)
        self.assertEqual(len(described.splitlines()), 1)
        self.stop()

    def test_no_controller(self) -> None:
        """With no controller in the configuration the link waits to be told where it is."""
        self.make(controller=None)
        self.start(self.csc)
        self.assertEqual([port for _, _, port in self.reactor.attempts if port == self.controller.port], [])
        self.controller.start_listening()
        connected = self.service.link.connect(self.controller.port)
        self.assertTrue(self.controller.connect_server())
        self.successResultOf(connected)
        self.grant(self.csc)
        self.stop()

    def test_stop(self) -> None:
        """After a stop no port, connection or timer is left, and every far end knows."""
        far_ends = self.everyone()
        self.stop()
        self.assert_nothing_left()
        self.assertEqual([far_end.is_connected for far_end in far_ends], [False] * 5)
        self.assertEqual(self.service.bridge.clients, {})

    def test_stop_is_journaled(self) -> None:
        """The journal has an end for every connection and for the link."""
        self.everyone()
        self.stop()
        kinds = [(kind, peer) for kind, peer, _, _ in self.journal.events]
        for peer in ("csc", "eui", "desk/1", "hall/1"):
            self.assertEqual((kinds.count(("connected", peer)), kinds.count(("disconnected", peer))), (1, 1))
        self.assertEqual(sum(kind == "link_down" for kind, _ in kinds), 1)

    def test_every_command_ends(self) -> None:
        """Every command in flight ends for its commander, who can read that before the connection ends."""
        self.start_all()
        desk = self.join()
        self.grant(self.csc)
        self.csc.say(command(1, MOVE, 1))
        desk.say(command(2, STOP, 2))
        self.controller.say(*[reply(0, line, b"60000") for line in self.controller.heard()])
        self.stop()
        for commander, number in ((self.csc, 1), (desk, 2)):
            [_, line] = commander.heard()
            self.assertEqual(line.split(b"\n")[1], b"%d" % number)
            self.assertTrue(explanation(line).startswith("outcome unknown"), line)
        self.assertEqual(len(self.service.bridge.pending), 0)

    def test_stop_without_start(self) -> None:
        """A service that was never started can be stopped."""
        self.stop()
        self.assert_nothing_left()

    def test_stop_at_once(self) -> None:
        """It can be stopped in the turn in which it was started, before anything is connected."""
        self.service.startService()
        self.stop()
        self.assert_nothing_left()

    def test_stop_twice(self) -> None:
        """A second stop, during the first or after it, ends as well, and not before all is gone."""
        far_ends = self.everyone()
        far_ends[-1].transport.pauseProducing()
        self.controller.say(*[STATE + b"x" * 1000] * 100)
        first, second = self.service.stopService(), self.service.stopService()
        self.reactor.advance(0)
        self.assertNoResult(first)
        self.assertNoResult(second)
        self.pass_time(1.5)
        self.successResultOf(first)
        self.successResultOf(second)
        self.stop()
        self.assert_nothing_left()

    def test_stop_while_retrying(self) -> None:
        """It can be stopped while it waits to try again to connect."""
        self.start()
        self.pass_time(3)
        self.stop()
        self.assert_nothing_left()

    def test_stop_while_connecting(self) -> None:
        """It can be stopped while an attempt is neither accepted nor refused."""
        self.reactor.silent_ports |= {self.csc.port, self.controller.port}
        self.service.startService()
        self.reactor.advance(0)
        self.stop()
        self.assert_nothing_left()

    def test_stop_while_held(self) -> None:
        """It can be stopped while commands wait for the connection on which they can be answered."""
        self.start(self.controller)
        self.csc.connect_server()
        self.csc.say(command(1, STOP, 1))
        self.stop()
        self.assert_nothing_left()
        self.assertEqual(self.controller.heard(), [])

    def test_stop_while_nobody_reads(self) -> None:
        """It ends within 1.5 s though nobody reads, and tells that in a few lines."""
        far_ends = self.everyone()
        self.grant(self.csc)
        for far_end in (self.controller, self.csc, self.eui):
            far_end.stop_reading()
        far_ends[3].transport.pauseProducing()
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.csc.say(*[command(1, MOVE, 1, b"x" * 1000)] * 90)
            self.controller.say(*[STATE + b"x" * 1000] * 90)
            self.stop()
        self.assert_nothing_left()
        self.assertLess(len(logged.records), 30)

    def test_start_again(self) -> None:
        """After a stop it can be started again, and passes commands on; old failures are not told anew."""
        self.make(ports=(PortCommanders(name="taken", endpoint=f"tcp:{self.csc.port}"),))
        for number in (1, 2):
            self.start(self.controller, self.csc)
            self.grant(self.csc)
            self.csc.say(command(number, MOVE, 1))
            [line] = self.controller.heard()
            self.assertEqual(line.split(b"\n")[1], b"%d" % MOVE)
            self.assertEqual(len(self.service.port_failures), 1)
            self.stop()
        self.assert_nothing_left()

    def test_port_that_cannot_listen(self) -> None:
        """A port that can't be listened on is named in `port_failures` and the log; the others serve."""
        taken = PortCommanders(name="taken", endpoint=f"tcp:{self.csc.port}:interface={HOST}")
        self.make(ports=(taken, self.config.ports[0]))
        with self.assertLogs(LOG, logging.ERROR) as logged:
            self.start_all()
        [failure] = self.service.port_failures
        self.assertIn("taken: can't listen", failure)
        self.assertEqual(len(logged.records), 1)
        self.join().leave()
        self.stop()
        self.assert_nothing_left()


class Collector(PortEnd):
    """A client on a real socket."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited: list[tuple[int, Deferred[None]]] = []
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        while self.awaited and self.received.count(b"\r\n") >= self.awaited[0][0]:
            self.awaited.pop(0)[1].callback(None)

    def lines(self, count: int) -> Deferred[None]:
        """Wait until so many lines have come."""
        waiting: Deferred[None] = Deferred()
        self.awaited.append((count, waiting))
        return waiting

    def connectionLost(self, reason: Failure = Protocol.connectionLost) -> None:  # type: ignore[assignment]
        super().connectionLost(reason)
        self.lost.callback(None)

    def settle(self) -> None:
        """The real reactor does what it does."""


class SocketTests(TestCase):
    """On real sockets."""

    async def client_of(self, address: str) -> Collector:
        """A client that is connected."""
        from twisted.internet import reactor

        return await connectProtocol(clientFromString(reactor, address), Collector())  # type: ignore[no-any-return]

    def bridge(self, endpoint: str) -> BridgeService:
        """A bridge with one port, started, and no controller."""
        port = PortCommanders(name="desk", endpoint=endpoint, role="commander")
        service = BridgeService(Config(ports=(port,)), LOG)
        service.startService()
        self.addCleanup(service.stopService)
        self.assertEqual(service.port_failures, [])
        return service

    async def use(self, service: BridgeService, address: str) -> None:
        """Two clients: one gets its answer, one says what is no command; then the bridge stops."""
        client, other = await self.client_of(address), await self.client_of(address)
        client.say(ask(7, 1, 1))
        await client.lines(1)
        [line] = client.heard()
        self.assertTrue(explanation(line).startswith("not sent"), line)
        other.say(command(8, MOVE, 1), b"9\nx\n1\n", command(10, MOVE, 1))
        await other.lost
        refused, malformed = other.heard()
        self.assertEqual((refused[:3], malformed[:3]), (b"1\n8", b"1\n9"))
        self.assertTrue(explanation(malformed).startswith("malformed"))
        client.say(command(11, STOP, 1))
        await service.stopService()
        self.assertEqual(service.bridge.clients, {})
        await client.lost

    async def test_tcp(self) -> None:
        """A client on TCP gets its answers, the one that closes its connection included."""
        service = self.bridge(TCP)
        port = service.ports[0].getHost().port  # type: ignore[attr-defined]
        await self.use(service, f"tcp:{HOST}:{port}")

    async def test_behind(self) -> None:
        """A client that reads nothing is soon cut off, however much the system would buffer for it."""
        from twisted.internet import reactor

        port = PortCommanders(name="hall", endpoint=TCP)
        limits = ClientLimits(max_behind_bytes=65_536)
        service = BridgeService(Config(ports=(port,), clients=limits), LOG)
        service.startService()
        self.addCleanup(service.stopService)
        client = await self.client_of(f"tcp:{HOST}:{service.ports[0].getHost().port}")  # type: ignore[attr-defined]
        client.transport.pauseProducing()
        told = 0
        while service.bridge.clients or not told:
            service.bridge.process_replies([STATE + b"x" * 10_000])
            told += bool(service.bridge.clients)
            await deferLater(reactor, 0)
        self.assertLess(told * 10_000, 1_500_000)

    async def test_unix(self) -> None:
        """A port may be a unix socket."""
        path = scratch_folder(self) / "bridge"
        await self.use(self.bridge(f"unix:{path}"), f"unix:{path}")
        self.assertFalse(path.exists())
