"""`mtmount_twisted.simulator.tma2022.service` on real sockets, and its command port in memory."""

from __future__ import annotations

import socket
from typing import Any
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.errors import ListenError
from mtmount_twisted.net.liveness import KEEP_ALIVE
from mtmount_twisted.simulator.tma2022 import connections
from mtmount_twisted.simulator.tma2022.service import SimulatorService
from mtmount_twisted.testing import MemoryReactor
from tests.support.sessions import connect, simulator
from tests.support.simulated_tma2022 import QUIET, Lines

HOST = "127.0.0.1"


class ServiceTests(TestCase):
    """The service on real sockets."""

    timeout = 20

    def start(self, **options: Any) -> SimulatorService:
        """A service that listens on ports of the system's choice."""
        service = SimulatorService(command_port=0, telemetry_port=0, log=QUIET, **options)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def connect(self, port: int) -> Lines:
        """A connection to a port."""
        return await connectProtocol(TCP4ClientEndpoint(reactor, HOST, port), Lines())

    async def test_one_socket_both_ways(self) -> None:
        """Commands, replies and events are on one connection; state and settings arrive whole."""
        command_port, _ = self.start(operation_manager=False).port_numbers()
        client = await self.connect(command_port)
        client.sendLine(c.AskForCommand(sequence_id=1).encode()[:-2])
        self.assertEqual([await client.id() for _ in range(3)], [1, 20, 3])
        client.sendLine(c.GetActualSettings(sequence_id=2).encode()[:-2])
        self.assertEqual(await client.id(), 1)
        settings = tma2022.decode_reply(await client.line())
        self.assertEqual(int(settings.id), 40)
        self.assertEqual(await client.id(), 3)

    async def test_second_client(self) -> None:
        """A second client is closed without a byte; the first goes on, and its successor is served."""
        command_port, _ = self.start().port_numbers()
        first = await self.connect(command_port)
        self.assertEqual(await first.id(), 50)
        second = await self.connect(command_port)
        await second.ended
        self.assertEqual(second.lines, [])
        first.sendLine(c.AskForCommand(sequence_id=1).encode()[:-2])
        self.assertEqual(await first.id(), 1)
        first.transport.loseConnection()  # type: ignore[union-attr]
        await first.ended

    async def test_keep_alive(self) -> None:
        """The command client is probed in the times that the program asks for, and not watched otherwise."""
        times = dict(zip(KEEP_ALIVE, (60, 15, 4), strict=True))
        service = self.start(keep_alive=times)
        with patch.object(connections, "watch_window") as watch:
            client = await self.connect(service.port_numbers()[0])
            await client.id()
        ours: Any = service.commands.client
        handle = ours.transport.getHandle()
        found = [handle.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in times]
        self.assertEqual((found, watch.called), ([60, 15, 4], False))
        client.transport.loseConnection()  # type: ignore[union-attr]
        await client.ended

    async def test_telemetry_has_many_readers(self) -> None:
        """Several readers get telemetry, and need no client."""
        _, telemetry_port = self.start().port_numbers()
        for reader in [await self.connect(telemetry_port) for _ in range(3)]:
            tma2022.decode_telemetry(await reader.line())
            reader.transport.loseConnection()  # type: ignore[union-attr]
            await reader.ended

    async def test_stop_closes_all(self) -> None:
        """The Deferred of the end fires when all connections are closed; it may be stopped twice."""
        service = self.start()
        command_port, telemetry_port = service.port_numbers()
        ends = [await self.connect(command_port), await self.connect(telemetry_port)]
        await service.stopService()
        for end in ends:
            await end.ended
        await service.stopService()

    async def test_restart(self) -> None:
        """A service that was stopped can be started again, with a new mount."""
        service = self.start(initial_commander=Source.CSC)
        before = service.mount
        await service.stopService()
        service.startService()
        self.assertIsNot(service.mount, before)
        client = await self.connect(service.port_numbers()[0])
        self.assertEqual(await client.id(), 50)
        client.transport.loseConnection()  # type: ignore[union-attr]
        await client.ended

    async def test_port_in_use(self) -> None:
        """A port that another program has is an error with its number, and nothing stays open."""
        taken = self.start().port_numbers()[0]
        service = SimulatorService(command_port=0, telemetry_port=taken, log=QUIET)
        with self.assertRaisesRegex(ListenError, str(taken)):
            service.startService()
        self.assertIsNone(await service.stopService())


class CommandPortTests(SynchronousTestCase):
    """The command port in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.service = simulator(self.reactor)
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Stop the service; no timer is left."""
        self.service.stopService()
        self.reactor.advance(1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_one_byte_at_a_time(self) -> None:
        """A command that comes in single bytes is one command."""
        client = connect(self.reactor, self.service.port_numbers()[0])
        for byte in c.AskForCommand(sequence_id=4).encode():
            client.transport.write(bytes([byte]))
            self.reactor.advance(0)
        self.assertEqual([reply["id"] for reply in client.take_replies()], [1, 20, 3])

    def test_client_that_does_not_read(self) -> None:
        """While its replies wait, no more commands are read; later all are answered, in order."""
        client = connect(self.reactor, self.service.port_numbers()[0])
        client.transport.pauseProducing()
        asks = [c.GetActualSettings(sequence_id=number) for number in range(1, 200)]
        for ask in asks:
            client.transport.write(ask.encode())
        self.reactor.advance(1)
        client.transport.resumeProducing()
        for _ in range(1000):
            self.reactor.advance(0)
        ends = [each["parameters"]["sequenceId"] for each in client.take_replies() if each["id"] == 3]
        self.assertEqual(ends, list(range(1, 200)))

    def test_line_in_pieces_after_the_end(self) -> None:
        """A client that leaves within a line leaves nothing to the next one."""
        port = self.service.port_numbers()[0]
        client = connect(self.reactor, port)
        client.transport.write(b"1\n21")
        self.reactor.advance(0)
        client.transport.loseConnection()
        self.reactor.advance(0.1)
        client = connect(self.reactor, port)
        client.transport.write(c.AskForCommand(sequence_id=9).encode())
        self.reactor.advance(0)
        self.assertEqual([reply["id"] for reply in client.take_replies()], [1, 20, 3])
