"""The daemons as a user meets them: ``twistd`` in a process of its own, on ports of the system's choice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol

from mtmount_twisted import commands as c
from mtmount_twisted.client.communicator import ClientServerPair, Communicator
from mtmount_twisted.enums import CommandCode
from mtmount_twisted.replies import AckReply, DoneReply, InPositionReply, NoAckReply
from tests.support.folders import scratch_path
from tests.support.programs import HOST, LOG, Observer, Program, ProgramCase

STAMP = b"2020-02-27T14:48:27.469"

FLOOD = 400
"""So many lines of 60 kB are more than sockets on both sides of one connection hold."""


class BridgeTests(ProgramCase):
    """``twistd -n mtmount-bridge`` with the built-in simulator."""

    async def bridge(self, reply_port: int, *words: str) -> tuple[Program, int]:
        """The daemon and its command port."""
        program = self.twistd(
            "-n", "mtmount-bridge", "--command-port", "0", "--reply-port", str(reply_port), *words
        )
        return program, await self.serving(program)

    async def connected(self, *words: str) -> tuple[Program, Communicator]:
        """The daemon and a commander that is connected to it."""
        commander = await self.communicator()
        program, port = await self.bridge(commander.server_port, *words)
        await commander.connect(port)
        return program, commander

    async def test_command(self) -> None:
        """It says that it uses the simulator; who has command gets Ack and Done; it ends cleanly."""
        program, commander = await self.connected()
        lines = [line for line in program.output.splitlines() if "mtmount_twisted#" in line]
        self.assertIn("no controller configured", lines[0])
        self.assertIn("using the built-in simulator; its dialect is tma2022", lines[0])
        self.assertEqual(await self.ask(commander, c.MirrorCoversPower(on=True)), [NoAckReply])
        self.assertEqual(await self.ask(commander, c.AskForCommand()), [AckReply, DoneReply])
        self.assertEqual(await self.ask(commander, c.MirrorCoversPower(on=True)), [AckReply, DoneReply])
        lost = commander.monitor_client_reader()
        await self.assert_ends(program)
        await lost

    async def test_asyncio(self) -> None:
        """The same under asyncio's reactor, with ``-v``, where the daemon has to try again to connect."""
        reply_port = self.free_port()
        program = self.twistd(
            *("-n", "--reactor", "asyncio", "mtmount-bridge", "-v"),
            *("--command-port", "0", "--reply-port", str(reply_port)),
        )
        port = await self.serving(program)
        await program.line("csc: can't connect yet")
        commander = Communicator(
            "test", HOST, port, HOST, reply_port, LOG, True, connect=False, reactor=reactor
        )
        self.addCleanup(commander.close)
        await commander.connect()
        self.assertEqual(await self.ask(commander, c.AskForCommand()), [AckReply, DoneReply])
        await program.line(r"mtmount_twisted#debug\] csc's command 2103 with id")
        await program.line(r"mtmount_twisted#debug\] from controller: b'\{\"id\":3,")
        await self.assert_ends(program)

    async def test_commander_comes_and_goes(self) -> None:
        """The next commander on the same ports is served as the first was, and still has command."""
        commander = await self.communicator()
        reply_port = commander.server_port
        program, port = await self.bridge(reply_port)
        await commander.connect(port)
        for _ in range(2):
            await self.ask(commander, c.AskForCommand())
            await commander.close()
            commander = Communicator(
                "next", HOST, port, HOST, reply_port, LOG, True, connect=False, reactor=reactor
            )
            self.addCleanup(commander.close)
            await commander.connect()
        self.assertEqual(await self.ask(commander, c.MirrorCoversPower(on=True)), [AckReply, DoneReply])
        await self.assert_ends(program)

    async def test_ends_before_anything_connected(self) -> None:
        """SIGTERM ends it while it still tries to connect to a commander that is not there."""
        program, _ = await self.bridge(self.free_port())
        await self.assert_ends(program)

    async def test_ends_with_a_silent_peer(self) -> None:
        """SIGTERM ends it while a peer is connected that never says anything."""
        program, port = await self.bridge(self.free_port())
        peer = await TCP4ClientEndpoint(reactor, HOST, port).connect(Factory.forProtocol(Protocol))
        self.addCleanup(peer.transport.abortConnection)
        await program.line("csc: a peer connected")
        await self.assert_ends(program)

    async def test_journal(self) -> None:
        """What passes is kept in the journal by the time that it has ended, and nowhere else."""
        path = scratch_path(self)
        program, commander = await self.connected("--journal", str(path))
        await self.ask(commander, c.AskForCommand())
        await self.ask(commander, c.MirrorCoversPower(on=True, sequence_id=77))
        await self.assert_ends(program)
        with closing(sqlite3.connect(path)) as journal:
            rows = journal.execute("SELECT outcome FROM command WHERE peer = 'csc' AND sequence_id = 77")
            self.assertEqual(rows.fetchall(), [("done",)])
            lines = [line for (line,) in journal.execute("SELECT line FROM message WHERE peer = 'csc'")]
            kinds = [kind for (kind,) in journal.execute("SELECT kind FROM event ORDER BY id")]
            dialects = journal.execute("SELECT run, dialect FROM run_dialect").fetchall()
        self.assertEqual(dialects, [(1, "tma2022")])
        self.assertEqual((kinds[0], kinds[-1]), ("started", "stopped"))
        kept = [line for line in lines if line[:2] not in (b"5\n", b"6\n")]  # events may come before it
        self.assertEqual(len(kept), 6, "two commands, two answers to each")
        self.assertFalse(self.default_journal.exists())

    async def test_default_journal(self) -> None:
        """With no word of it, the journal is in the user's folder for such things."""
        program, _ = await self.bridge(self.free_port())
        await self.assert_ends(program)
        self.assertTrue(self.default_journal.exists())

    async def test_no_journal(self) -> None:
        """``--journal none`` keeps nothing."""
        program, _ = await self.bridge(self.free_port(), "--journal", "none")
        await self.assert_ends(program)
        self.assertFalse(self.state.exists())


class ControllerTests(ProgramCase):
    """``twistd -n mtmount-bridge --controller``."""

    async def carry_out(self, controller: ClientServerPair[bytes], code: int) -> None:
        """The controller answers what the bridge sends with Done, up to a command with this code."""
        while True:
            fields = (await controller.read()).split(b"\n")
            await controller.write(b"\n".join((b"2", fields[0], *fields[2:4])))
            if int(fields[1]) == code:
                return

    async def take_command(self, commander: Any, controller: ClientServerPair[bytes]) -> None:
        """A commander gets command, for which the controller is asked."""
        asked = Deferred.fromCoroutine(self.carry_out(controller, CommandCode.ASK_FOR_COMMAND))
        await commander.write(c.AskForCommand(sequence_id=1).encode().removesuffix(b"\r\n"))
        answers: list[bytes] = []
        while not answers or not answers[-1].startswith(b"2\n1\n"):
            answers.append(await commander.read())
        self.assertTrue(answers[-2].startswith(b"0\n1\n"), answers[-2][:80])
        await asked

    async def test_real_controller(self) -> None:
        """Commands are answered; a controller that is away is told with 'not sent'; it may come back."""
        commander, controller = await self.communicator(), self.pair()
        controller_port, replies = await controller.wait_server_port(), self.free_port()
        program = self.twistd(
            *("-n", "mtmount-bridge", "--controller", f"localhost:{controller_port}"),
            *("--command-port", "0", "--reply-port", str(commander.server_port)),
            *("--listen", "localhost", "--controller-reply-port", str(replies), "--journal", "none"),
        )
        await commander.connect(await self.serving(program))
        self.assertNotIn("simulator", program.output)
        for number in (1, 2):
            await controller.connect(replies)
            await program.line("the controller is connected", number)
            answers = Deferred.fromCoroutine(self.carry_out(controller, CommandCode.ENABLE))
            self.assertEqual(await self.ask(commander, c.AskForCommand()), [AckReply, DoneReply])
            self.assertEqual(await self.ask(commander, c.Enable(sequence_id=number)), [DoneReply])
            await answers
            lost = program.line("lost the controller", number)
            await controller.close()
            await lost
            await commander.write(c.Enable(sequence_id=7))
            reply = await commander.read()
            self.assertIsInstance(reply, NoAckReply)
            self.assertTrue(reply.explanation.startswith("not sent"), reply.explanation)
            controller = self.pair(server_port=controller_port)
        await self.assert_ends(program)

    async def crowd(self, *limits: str) -> tuple[Program, Any, Any, Observer]:
        """The daemon, with a commander, a controller and an observer that are connected to it."""
        commander, controller = self.pair(), self.pair()
        replies, watching = self.free_port(), self.free_port()
        path = self.file(
            f'[controller]\nhost = "{HOST}"\ncommand_port = {await controller.wait_server_port()}\n'
            f'reply_port = {replies}\n[[pair]]\nname = "csc"\ncommand_port = 0\n'
            f"reply_port = {await commander.wait_server_port()}\n"
            f'[[port]]\nname = "watchers"\nendpoint = "tcp:{watching}:interface={HOST}"\n' + "\n".join(limits)
        )
        program = self.twistd("-n", "mtmount-bridge", "--journal", "none", "--config", path)
        await commander.connect(await self.serving(program))
        await controller.connect(replies)
        await program.line("the controller is connected")
        observer = await self.observer(TCP4ClientEndpoint(reactor, HOST, watching))
        await program.line("watchers/1: connected")
        return program, commander, controller, observer

    async def flood(self, controller: ClientServerPair[bytes], observer: Observer) -> None:
        """The controller sends more events than any socket holds; the observer gets every one of them."""
        for number in range(FLOOD):
            event = b"4\n1\n901\n900. A/B\n%s\n%d\n" % (STAMP, number)
            await controller.write(event + b"x" * 60_000)
            if number % 8 == 7:  # an observer that shares its process with a controller needs a pause
                await observer.line(event)
        self.assertEqual(sum(line.startswith(b"4\n1\n") for line in observer.lines), FLOOD)

    async def test_ends_with_a_commander_that_does_not_read(self) -> None:
        """SIGTERM ends it while events wait for a commander that may be far behind, and reads none."""
        program, commander, controller, observer = await self.crowd(
            "[clients]\nmax_behind_bytes = 1_000_000_000\nmax_behind_seconds = 3600"
        )
        commander.server_writer.pauseProducing()
        await self.flood(controller, observer)
        self.assertNotIn("cut off", program.output)
        await self.assert_ends(program)

    async def test_commander_that_does_not_read_is_cut_off(self) -> None:
        """Nobody else notices when a commander that does not read is cut off; the next one is welcome."""
        # On a busy machine the flood takes longer than the bound on the age of what waits.
        program, commander, controller, observer = await self.crowd("[clients]\nmax_behind_seconds = 3600")
        commander.server_writer.pauseProducing()
        await self.flood(controller, observer)
        await program.line("csc: closed: cut off: more than 1048576 bytes behind")
        reply_port = commander.server_port
        port = await self.serving(program)
        await commander.close()
        commander = self.pair(server_port=reply_port)
        await commander.connect(port)
        await self.take_command(commander, controller)
        await self.assert_ends(program)

    async def test_ends_with_a_controller_that_does_not_read(self) -> None:
        """SIGTERM ends it while commands wait for a controller that reads none."""
        program, commander, controller, _ = await self.crowd("[command]\nin_flight = 1000")
        await self.take_command(commander, controller)
        controller.server_writer.pauseProducing()
        for number in range(2, FLOOD):
            await commander.write(b"%d\n9999\n1\n%s\n" % (number, STAMP) + b"x" * 60_000)
        await commander.write(b"%d\n2101\n1\n%s\n3" % (FLOOD, STAMP))
        refusal = await commander.read()
        self.assertTrue(refusal.startswith(b"1\n%d\n" % FLOOD), refusal)
        self.assertIn(b"no HHD is connected", refusal)
        await self.assert_ends(program)

    async def test_ends_while_connecting(self) -> None:
        """SIGTERM ends it while an attempt to connect to the controller has no answer."""
        program = self.twistd(
            *("-n", "mtmount-bridge", "--controller", "192.0.2.1:40005", "--controller-reply-port", "0"),
            *("--controller-reply-host", HOST, "--command-port", "0", "--reply-port", "1"),
            *("--journal", "none"),
        )
        await self.serving(program)
        await self.assert_ends(program)


class SimulatorTests(ProgramCase):
    """``twistd -n mtmount-simulator``."""

    async def test_command(self) -> None:
        """It says where it serves; a command gets Ack and Done; it ends cleanly."""
        commander = await self.communicator()
        program = self.twistd(
            *("-n", "mtmount-simulator", "--command-port", "0", "--reply-port", str(commander.server_port)),
            *("--commander", "csc", "--speed", "100", "--listen", "localhost"),
        )
        await commander.connect(await self.serving(program, "a commander"))
        await commander.write(c.MirrorCoversPower(on=True))
        self.assertEqual(
            [type(await commander.read()) for _ in range(4)],
            [InPositionReply, InPositionReply, AckReply, DoneReply],
        )
        await self.assert_ends(program)

    async def test_hangup(self) -> None:
        """SIGHUP is a line of the log, and does not end it."""
        program = self.twistd(
            *("-n", "mtmount-simulator", "--command-port", "0", "--reply-port", str(self.free_port()))
        )
        await self.serving(program, "a commander")
        program.transport.signalProcess("HUP")
        await program.line("ignored SIGHUP")
        await self.assert_ends(program)


class BadOptionTests(ProgramCase):
    """What is wrong is one line, and exit status 1, in the foreground and in the background."""

    async def assert_refused(self, expected: str, *words: str) -> None:
        for mode in (("-n",), ()):
            program = self.twistd(*mode, *words)
            self.assertEqual(await program.ended, 1, program.output)
            self.assertEqual(len(program.output.splitlines()), 1, program.output)
            self.assertIn(expected, program.output)

    async def test_bad_value(self) -> None:
        """A value that can't be."""
        await self.assert_refused(
            "mtmount-bridge: --command-port: expected a number from 0 to 65535, got 'x'",
            *("mtmount-bridge", "--command-port", "x"),
        )

    async def test_simulator(self) -> None:
        """The simulator does the same."""
        await self.assert_refused(
            "mtmount-simulator: --commander: expected one of NONE, CSC, EUI, HHD, got 'bob'",
            *("mtmount-simulator", "--commander", "bob"),
        )

    async def test_port_taken(self) -> None:
        """A port that is taken."""
        port = self.taken_port()
        for name in ("mtmount-bridge", "mtmount-simulator"):
            await self.assert_refused(
                f"{name}: --command-port: can't listen on {HOST}:{port}: Address already in use",
                *(name, "--command-port", str(port)),
            )

    async def test_no_such_host(self) -> None:
        """A controller that does not resolve."""
        await self.assert_refused(
            "mtmount-bridge: --controller: host 'no-such-host.invalid' does not resolve",
            *("mtmount-bridge", "--command-port", "0", "--reply-port", "1"),
            *("--controller", "no-such-host.invalid:40005"),
        )

    async def test_one_port_for_two(self) -> None:
        """The controller's replies on the port of the commander's commands."""
        port = self.free_port()
        await self.assert_refused(
            f"mtmount-bridge: --command-port: {HOST}:{port} is used by --controller-reply-port already",
            *("mtmount-bridge", "--command-port", str(port), "--controller", f"{HOST}:{port - 1}"),
        )
