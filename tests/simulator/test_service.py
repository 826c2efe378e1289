"""`mtmount_twisted.simulator.service`: the mount on real sockets of 127.0.0.1."""

from __future__ import annotations

import logging
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from mtmount_twisted import commands as c
from mtmount_twisted.client.communicator import ClientServerPair, Communicator
from mtmount_twisted.enums import COMMAND_PORT, REPLY_PORT, Commander, Source
from mtmount_twisted.errors import ListenError
from mtmount_twisted.replies import AckReply, DoneReply, InPositionReply, OnStateInfoReply, Reply
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.testing import FarEnd, MemoryReactor

HOST = "127.0.0.1"
QUIET = logging.getLogger("mtmount_twisted.tests.commander")
LOG = logging.getLogger("mtmount_twisted.tests.simulator")


class ServiceCase(TestCase):
    """A running service, and commanders for it."""

    timeout = 20

    async def start(self, **options: Any) -> SimulatorService:
        """A service that listens; a commander says with `connect` where its replies go."""
        service = SimulatorService(command_port=0, reply_port=0, log=LOG, **options)
        service.startService()
        self.addCleanup(service.stopService)
        await service.wait_command_port()
        self.newcomers = 1
        return service

    async def commander(self, service: SimulatorService, reply_port: int = 0) -> Communicator:
        """A commander that is connected to the service."""
        port = await service.wait_command_port()
        commander = Communicator(
            "commander", HOST, port, HOST, reply_port, QUIET, True, connect=False, reactor=reactor
        )
        self.addCleanup(commander.close)
        listening = await commander.wait_server_port()
        connected = commander.connect()
        await service.communicator.connect(listening)
        await connected
        await self.read_announcement(commander)
        return commander

    async def read_announcement(self, commander: Any) -> None:
        """Read what the simulator says by itself to its first commander."""
        for _ in range(2 * self.newcomers):
            await commander.read()
        self.newcomers = 0

    async def ask(self, commander: Communicator, command: c.Command, count: int) -> list[Reply]:
        """The next replies after a command was sent."""
        await commander.write(command)
        return [await commander.read() for _ in range(count)]  # type: ignore[misc]


class TestService(ServiceCase):
    """Commands in, replies out."""

    async def test_command_and_replies(self) -> None:
        """A command is executed and its Ack and Done come back."""
        service = await self.start()
        commander = await self.commander(service)
        ack, state, done = await self.ask(commander, c.AskForCommand(), 3)
        self.assertEqual((type(ack), type(state), type(done)), (AckReply, OnStateInfoReply, DoneReply))
        ack, done = await self.ask(commander, command := c.MirrorCoversPower(on=True), 2)
        self.assertEqual((ack.sequence_id, done.sequence_id), (command.sequence_id, command.sequence_id))

    def test_announces_the_axes_once(self) -> None:
        """The first commander is told whether each axis is in position; a later one is not told again."""
        memory = MemoryReactor()
        service = SimulatorService(command_port=0, reply_port=0, log=LOG, reactor=memory)
        service.startService()
        far_end = FarEnd(service.communicator)
        self.assertTrue(far_end.connect_server())
        service.communicator.connect(far_end.port)
        memory.advance(0)
        axes: list[Any] = far_end.written()
        self.assertEqual(
            [(type(r), r.what, r.in_position) for r in axes],
            [(InPositionReply, 0, False), (InPositionReply, 1, False)],
        )
        for _ in range(2):
            far_end.drop_server()
            far_end.drop_client()
            memory.advance(1)
            self.assertTrue(far_end.connect_server())
            self.assertTrue(service.communicator.connected)
            self.assertEqual(far_end.written(), [])
        stopped = service.stopService()
        memory.advance(2)
        self.successResultOf(stopped)

    async def test_time_passes(self) -> None:
        """A move is done when the reactor's time for it has passed, which the speed factor shortens."""
        service = await self.start(speed=1000, initial_commander=Commander.CSC)
        commander = await self.commander(service)
        await self.ask(commander, c.AzimuthAxisPower(on=True), 2)
        ack, in_position, done = await self.ask(commander, c.AzimuthAxisMove(position=70), 3)
        self.assertEqual((ack.timeout_ms, in_position.in_position, type(done)), (11, True, DoneReply))

    async def test_commander_comes_and_goes(self) -> None:
        """After a commander has gone the next one finds the mount as it was left."""
        service = await self.start()
        first = await self.commander(service)
        await self.ask(first, c.AskForCommand(commander=Commander.EUI), 3)
        lost = service.communicator.monitor_client_reader()
        await first.close()
        await lost
        second = await self.commander(service)
        (refused,) = await self.ask(second, c.Enable(), 1)
        self.assertIn("EUI has it", refused.explanation)
        ack, *_ = await self.ask(second, c.Enable(source=Source.EUI), 3)
        self.assertIsInstance(ack, AckReply)

    async def test_stop_frees_the_port(self) -> None:
        """When stopService has fired nobody listens any more, and the service can start again."""
        service = await self.start()
        await self.commander(service)
        port = service.communicator.server_port
        await service.stopService()
        endpoint = TCP4ClientEndpoint(reactor, HOST, port)
        await self.assertFailure(endpoint.connect(Factory.forProtocol(Protocol)), ConnectionRefusedError)
        service.startService()
        commander = await self.commander(service)
        self.assertEqual(len(await self.ask(commander, c.AskForCommand(), 3)), 3)

    async def test_port_taken(self) -> None:
        """A command port that is taken is a `ListenError`."""
        service = await self.start()
        port = service.communicator.server_port
        other = SimulatorService(command_port=port, reply_port=0, log=LOG, reactor=reactor)
        other.startService()
        self.addCleanup(other.stopService)
        await self.assertFailure(other.wait_command_port(), ListenError)

    async def test_reply_dropped(self) -> None:
        """What happens while nobody is connected is dropped, and said at debug level only."""
        service = await self.start()
        with self.assertLogs(LOG, logging.DEBUG) as logged:
            service.mount.raise_alarm("AzimuthAxis")
        self.assertEqual([record.levelname for record in logged.records], ["DEBUG"])
        self.assertIn("dropped ErrorReply", logged.output[0])

    def test_commands_wait_for_the_reply_side(self) -> None:
        """A command waits until it can be answered; it is dropped, not executed, if its sender leaves."""
        memory = MemoryReactor()
        service = SimulatorService(command_port=0, reply_port=0, log=LOG, reactor=memory)
        service.startService()
        far_end = FarEnd(service.communicator)
        for leaves, commander in ((True, Commander.EUI), (False, Commander.HHD)):
            self.assertTrue(far_end.connect_server())
            far_end.feed(c.AskForCommand(commander=commander))
            memory.advance(60)
            far_end.drop_server() if leaves else None
        self.assertEqual(service.mount.commander, Commander.NONE)
        service.communicator.connect(far_end.port)
        memory.advance(2)
        self.assertEqual(
            [type(reply) for reply in far_end.written()],
            [InPositionReply, InPositionReply, AckReply, OnStateInfoReply, DoneReply],
        )
        self.assertEqual(service.mount.commander, Commander.HHD)
        stopped = service.stopService()
        memory.advance(2)
        self.successResultOf(stopped)
        self.assertEqual(memory.getDelayedCalls(), [])

    async def test_stop_before_the_start(self) -> None:
        """A service that was not started can be stopped, and started after that."""
        service = SimulatorService(command_port=0, reply_port=0, log=LOG)
        self.assertIsNone(await service.stopService())
        service.startService()
        self.addCleanup(service.stopService)
        self.assertGreater(await service.wait_command_port(), 0)

    async def test_serving_that_breaks(self) -> None:
        """Should the serving itself end, the log says so at once."""

        async def broken(*arguments: Any, answering: bool) -> None:
            raise ZeroDivisionError

        self.patch(Communicator, "each", broken)
        with self.assertLogs(LOG, logging.CRITICAL) as logged:
            await self.start()
        self.assertIn("stopped serving", logged.output[0])
        self.assertIn("ZeroDivisionError", logged.output[0])

    async def test_survives_a_fault(self) -> None:
        """A fault inside the mount is logged with the command, and the next command is taken."""

        def broken_tai() -> float:
            raise ZeroDivisionError

        service = await self.start(initial_commander=Commander.CSC, tai=broken_tai)
        commander = await self.commander(service)
        await self.ask(commander, c.AzimuthAxisPower(on=True), 2)
        await self.ask(commander, c.AzimuthAxisEnableTracking(on=True), 2)
        with self.assertLogs(LOG, logging.ERROR) as logged:
            await commander.write(c.AzimuthAxisTrack(position=0, velocity=0, tai=0))
            ack, *_ = await self.ask(commander, c.Enable(), 3)
        self.assertIsInstance(ack, AckReply)
        self.assertIn("failed on AzimuthAxisTrack", logged.output[0])

    async def test_stop_while_commander_does_not_read(self) -> None:
        """Stopping ends in spite of a commander that takes no replies."""
        service = await self.start(initial_commander=Commander.CSC)
        commander = await self.commander(service)
        commander.server_writer.pauseProducing()
        for _ in range(300):
            service.mount.raise_alarm("Safety", "x" * 60000)
            service.mount.receive(c.SafetyReset())
        await commander.write(c.Enable())
        await service.stopService()
        self.assertFalse(service.communicator.connected)

    async def test_connections_closed_from_outside(self) -> None:
        """Closing the connections ends the serving, and stopping after that does no harm."""
        service = await self.start()
        await self.commander(service)
        await service.communicator.close()

    def test_defaults(self) -> None:
        """By default it takes a CSC's ports, as ``protocol-tma2020.rst`` has them."""
        self.assertEqual((COMMAND_PORT, REPLY_PORT), (30005, 30006))


class TestUnreadable(ServiceCase):
    """Lines that are no commands."""

    async def lines(self) -> tuple[SimulatorService, ClientServerPair[bytes]]:
        """A service and a commander that sends and reads bare lines."""
        service = await self.start(initial_commander=Commander.CSC)
        port = await service.wait_command_port()
        pair: ClientServerPair[bytes] = ClientServerPair(
            "lines", HOST, port, HOST, 0, QUIET, connect=False, reactor=reactor
        )
        self.addCleanup(pair.close)
        reply_port = await pair.wait_server_port()
        connected = pair.connect()
        await service.communicator.connect(reply_port)
        await connected
        await self.read_announcement(pair)
        return service, pair

    async def test_answered_if_it_has_a_header(self) -> None:
        """A line whose header can be read gets a NoAck that says what is wrong."""
        _, pair = await self.lines()
        header = b"%d\n%d\n1\n2020-02-27T14:48:27.469"
        for line, why in (
            (header % (41, 9999), b"unknown command code 9999"),
            (header % (42, 104) + b"\n1.0", b"unknown command code 104"),
            (header % (43, 103) + b"\nnowhere", b"AzimuthAxisMove"),
            (header % (44, 101) + b"\nperhaps", b"AzimuthAxisPower.on"),
            (b"45\n101\n99\n2020-02-27T14:48:27.469\n1", b"AzimuthAxisPower.source"),
            (header % (46, 103) + b"\n" + b"x" * 65_500, b"AzimuthAxisMove"),
        ):
            await pair.write(line)
            fields = (await pair.read()).split(b"\n")
            self.assertEqual(fields[0], b"1")
            self.assertEqual(fields[1], line.split(b"\n")[0])
            self.assertIn(why, fields[4])

    async def test_logged_if_it_has_none(self) -> None:
        """A line with no header is only logged, and the next is taken."""
        _, pair = await self.lines()
        with self.assertLogs(LOG, logging.WARNING) as logged:
            await pair.write(b"rubbish")
            await pair.write(b"seven\n101\n1\n2020-02-27T14:48:27.469\n1")
            await pair.write(b"7\nx\n1\n2020-02-27T14:48:27.469\n1")
            await pair.write(b"7\n101\n1")
            await pair.write(c.Enable(sequence_id=77).encode().removesuffix(b"\r\n"))
            fields = (await pair.read()).split(b"\n")
        self.assertEqual(fields[:2], [b"0", b"77"])
        self.assertEqual(len(logged.records), 4)
        self.assertIn("rubbish", logged.output[0])
