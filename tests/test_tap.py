"""The daemons as a user meets them: ``twistd`` in a process of its own, on ports of the system's choice."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python import usage
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted import commands as c
from mtmount_twisted import daemon, tap
from mtmount_twisted.bridge.config import Config, default_config
from mtmount_twisted.communicator import ClientServerPair, Communicator
from mtmount_twisted.enums import CommandCode, Commander, Source
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply
from mtmount_twisted.simulator import tap as simulator_tap

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
LOG = logging.getLogger("mtmount_twisted.tests.tap")
CLEAN_END = 5.0
"""A daemon ends within so many seconds of SIGTERM."""

STAMP = b"2020-02-27T14:48:27.469"

FLOOD = 400
"""So many lines of 60 kB are more than sockets on both sides of one connection hold."""


class Program(ProcessProtocol):
    """A process: its lines as they come, and its end."""

    def __init__(self) -> None:
        self.output = ""
        self.ended: Deferred[int] = Deferred()
        self._wanted: list[tuple[str, int, Deferred[re.Match[str]]]] = []

    def line(self, pattern: str, number: int = 1) -> Deferred[re.Match[str]]:
        """The first or a later match of a pattern in what it prints; an error if it ends without."""
        found: Deferred[re.Match[str]] = Deferred()
        self._wanted.append((pattern, number, found))
        self._look()
        return found

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode()
        self._look()

    errReceived = outReceived

    def _look(self) -> None:
        for wanted in self._wanted[:]:
            pattern, number, found = wanted
            matches = list(re.finditer(pattern, self.output))
            if len(matches) >= number:
                self._wanted.remove(wanted)
                found.callback(matches[number - 1])

    def processEnded(self, reason: Failure) -> None:
        reason.trap(ProcessDone, ProcessTerminated)
        for pattern, _, found in self._wanted:
            found.errback(AssertionError(f"it ended without {pattern!r}:\n{self.output}"))
        self.ended.callback(reason.value.exitCode)


class Observer(LineOnlyReceiver):
    """A client of a port: the lines that it was sent."""

    MAX_LENGTH = 2**16

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._wanted: list[tuple[bytes, Deferred[bytes]]] = []

    def line(self, beginning: bytes) -> Deferred[bytes]:
        """The first line that begins so."""
        wanted: Deferred[bytes] = Deferred()
        self._wanted.append((beginning, wanted))
        self._look()
        return wanted

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        self._look()

    def _look(self) -> None:
        for entry in self._wanted[:]:
            found = [line for line in self.lines if line.startswith(entry[0])]
            if found:
                self._wanted.remove(entry)
                entry[1].callback(found[0])


class ProgramCase(TestCase):
    """Runs ``twistd`` in an empty folder, with an empty folder for what it keeps."""

    timeout = 30

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.default_journal = self.state / "mtmount-bridge" / "journal.sqlite"

    def twistd(self, *words: str) -> Program:
        """Start ``twistd``; it is killed after the test if it is still there."""
        folder = self.mktemp()
        os.makedirs(folder)
        program = Program()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "XDG_STATE_HOME": str(self.state),
        }
        run = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
        process = reactor.spawnProcess(program, run[0], (*run, *words), env=environment, path=folder)

        def kill() -> Deferred[int] | None:
            if process.pid is None:
                return None
            process.signalProcess("KILL")
            return program.ended

        self.addCleanup(kill)
        program.transport = process
        return program

    async def assert_ends(self, program: Program) -> None:
        """SIGTERM ends it in time, by ``twistd``'s own way out, and with no fault in its log."""
        began = time.monotonic()
        program.transport.signalProcess("TERM")
        await program.ended
        self.assertLess(time.monotonic() - began, CLEAN_END)
        self.assertIn("Server Shut Down.", program.output)
        self.assertNotIn("Traceback", program.output)
        self.assertNotIn("Unhandled", program.output)

    def pair(self, server_port: int = 0, **options: Any) -> ClientServerPair[bytes]:
        """A pair that carries lines; it is closed after the test."""
        pair: ClientServerPair[bytes] = ClientServerPair(
            "lines", HOST, 0, HOST, server_port, LOG, connect=False, reactor=reactor, **options
        )
        self.addCleanup(pair.close)
        return pair

    async def communicator(self, read_replies: bool = True) -> Communicator:
        """One that listens; it is closed after the test."""
        communicator = Communicator(
            "test", HOST, 0, HOST, 0, LOG, read_replies, connect=False, reactor=reactor
        )
        self.addCleanup(communicator.close)
        await communicator.wait_server_port()
        return communicator

    async def ask(self, commander: Communicator, command: c.Command) -> list[type]:
        """The kinds of the answers to a command, up to its Done or NoAck."""
        await commander.write(command)
        kinds: list[type] = []
        async for reply in commander:
            if getattr(reply, "sequence_id", None) == command.sequence_id:
                kinds.append(type(reply))
                if not isinstance(reply, AckReply):
                    break
        return kinds

    def file(self, text: str) -> str:
        """A configuration file."""
        path = Path(self.mktemp()).absolute()
        path.write_text(text)
        return str(path)

    async def observer(self, endpoint: Any) -> Observer:
        """A client that is connected to a port and observes."""
        observer: Observer = await endpoint.connect(Factory.forProtocol(Observer))
        self.addCleanup(observer.transport.abortConnection)
        return observer

    async def serving(self, program: Program, name: str = "csc") -> int:
        """The port on which it says that it serves a commander."""
        return int((await program.line(rf"serving .*{name} on {HOST}:(\d+), ")).group(1))

    def free_port(self) -> int:
        """A port that was free just now."""
        with socket.create_server((HOST, 0)) as listening:
            return int(listening.getsockname()[1])

    def taken_port(self) -> int:
        """A port on which this test listens."""
        listening = socket.create_server((HOST, 0))
        self.addCleanup(listening.close)
        return int(listening.getsockname()[1])


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
        [line] = [line for line in program.output.splitlines() if "simulator" in line and "using" in line]
        self.assertIn("no controller configured", line)
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
        await program.line(rf"mtmount_twisted#debug\] csc's command {CommandCode.ASK_FOR_COMMAND:d} with id")
        await program.line(r"mtmount_twisted#debug\] from controller: b'2\\n")
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
        self.assertEqual(await self.ask(commander, c.Enable()), [AckReply, DoneReply])
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
        path = Path(self.mktemp()).absolute()
        program, commander = await self.connected("--journal", str(path))
        await self.ask(commander, c.AskForCommand())
        await self.ask(commander, c.MirrorCoversPower(on=True, sequence_id=77))
        await self.assert_ends(program)
        with closing(sqlite3.connect(path)) as journal:
            rows = journal.execute("SELECT outcome FROM command WHERE peer = 'csc' AND sequence_id = 77")
            self.assertEqual(rows.fetchall(), [("done",)])
            [(lines,)] = journal.execute("SELECT count(*) FROM message WHERE peer = 'csc'")
        self.assertEqual(lines, 6, "two commands, two answers to each")
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
            await controller.write(b"4\n1\n901\n900. A/B\n%s\n%d\n" % (STAMP, number) + b"x" * 60_000)
        await observer.line(b"4\n1\n901\n900. A/B\n%s\n%d\n" % (STAMP, FLOOD - 1))
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
        program, commander, controller, observer = await self.crowd()
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


class FileTests(ProgramCase):
    """``twistd mtmount-bridge --config``."""

    async def test_three_commanders(self) -> None:
        """Two pairs and a port from a file: one has command at a time, and who observes gets it all."""
        csc, hhd = await self.communicator(), await self.communicator()
        socket_path = os.path.join(tempfile.mkdtemp(), "watch")  # mktemp's would be too long for a socket
        self.addCleanup(shutil.rmtree, os.path.dirname(socket_path))
        path = self.file(
            f'[[pair]]\nname = "csc"\ncommand_port = 0\nreply_port = {csc.server_port}\n'
            f'[[pair]]\nname = "hhd"\nsource = "HHD"\ncommand_port = 0\nreply_port = {hhd.server_port}\n'
            f'[[port]]\nname = "watchers"\nendpoint = "unix:{socket_path}"\n'
            "[journal]\nenabled = false\n"
        )
        program = self.twistd("-n", "mtmount-bridge", "--config", path)
        await csc.connect(await self.serving(program, "csc"))
        await hhd.connect(await self.serving(program, "hhd"))
        observer = await self.observer(UNIXClientEndpoint(reactor, socket_path))
        await program.line("watchers/1: connected")
        both = [AckReply, DoneReply]
        self.assertEqual(await self.ask(csc, c.AskForCommand()), both)
        self.assertEqual(await self.ask(csc, c.AzimuthAxisPower(on=True, sequence_id=5001)), both)
        self.assertEqual(await self.ask(hhd, c.Disable(source=Source.HHD)), [NoAckReply])
        self.assertEqual(await self.ask(csc, c.AskForCommand(commander=Commander.HHD)), both)
        move = c.AzimuthAxisMove(position=0.1, source=Source.HHD, sequence_id=5002)
        self.assertEqual(await self.ask(hhd, move), both)
        self.assertEqual(await self.ask(csc, c.AskForCommand()), [NoAckReply])
        for answer in (b"0\n5001\n1\n", b"2\n5001\n1\n", b"0\n5002\n3\n", b"2\n5002\n3\n"):
            await observer.line(answer)
        await observer.line(b"6\n")
        observer.sendLine(c.BothAxesStop(sequence_id=5003).encode().removesuffix(b"\r\n"))
        self.assertIn(b"refused", await observer.line(b"1\n5003\n"))
        await self.assert_ends(program)
        self.assertFalse(os.path.exists(socket_path))
        self.assertFalse(self.state.exists())

    async def test_bad_file(self) -> None:
        """All that is wrong with a file is told, a line each, with file and key; exit status 1."""
        path = self.file('[controler]\n[[pair]]\nname = "csc"\ncommand_port = 70000\nreply_port = "x"\n')
        for words in (("-n",), ()):
            for more in ((), ("--check-config",)):
                program = self.twistd(*words, "mtmount-bridge", "--config", path, *more)
                self.assertEqual(await program.ended, 1, program.output)
                lines = sorted(program.output.splitlines())
                for line, key in zip(
                    lines, ("controler", "pair[1].command_port", "pair[1].reply_port"), strict=True
                ):
                    self.assertTrue(line.startswith(f"mtmount-bridge: {path}: {key}: "), line)

    async def test_good_file(self) -> None:
        """``--check-config`` says that a file is right, exits with 0, and leaves nothing behind."""
        program = self.twistd(
            "mtmount-bridge", "--config", str(ROOT / "docs" / "bridge.toml"), "--check-config"
        )
        self.assertEqual(await program.ended, 0, program.output)
        self.assertEqual(program.output, "mtmount-bridge: the configuration is right\n")
        self.assertFalse(self.state.exists())

    async def test_addresses(self) -> None:
        """What this machine can't listen on or resolve is one line that names file and key."""
        taken = self.taken_port()
        pair = f'[[pair]]\nname = "one"\ncommand_port = 0\nreply_port = {self.free_port()}\n'
        for text, expected in (
            (
                f'[[pair]]\nname = "two"\ncommand_port = {taken}\n',
                f"pair[2].command_port: can't listen on {HOST}:{taken}: ",
            ),
            (
                '[[pair]]\nname = "two"\ncommand_port = 0\nreply_port = 1\nreply_host = "no.invalid"\n',
                "pair[2].reply_host: host 'no.invalid' does not resolve",
            ),
            (
                f'[[port]]\nname = "watchers"\nendpoint = "tcp:{taken}:interface={HOST}"\n',
                f"port[1].endpoint: can't listen on {HOST}:{taken}: ",
            ),
            (
                '[controller]\nhost = "no.invalid"\ncommand_port = 5\n',
                "controller.host: host 'no.invalid' does not resolve",
            ),
        ):
            path = self.file(pair + text)
            program = self.twistd("-n", "mtmount-bridge", "--config", path)
            self.assertEqual(await program.ended, 1, program.output)
            self.assertEqual(len(program.output.splitlines()), 1, program.output)
            self.assertIn(f"mtmount-bridge: {path}: {expected}", program.output)

    async def test_unix_socket_that_can_not_be(self) -> None:
        """What shows only when it listens ends it as well, and says which port it is."""
        path = self.file('[[port]]\nname = "watchers"\nendpoint = "unix:/no/such/folder/socket"\n')
        for words in (("-n",), ()):
            program = self.twistd(*words, "mtmount-bridge", "--config", path)
            self.assertEqual(await program.ended, 1, program.output)
            self.assertIn("watchers: can't listen: ", program.output)


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
        self.assertEqual([type(await commander.read()) for _ in range(2)], [AckReply, DoneReply])
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


class ServiceTests(ProgramCase):
    """What `makeService` makes, in this process."""

    def service(self, module: Any, *words: str) -> Any:
        """A daemon's service; its log is left alone, and so is the clock of this reactor."""
        options = module.Options()
        options.parseOptions(words if module is simulator_tap else (*words, "--journal=none"))
        self.patch(daemon, "begin", lambda reactor, verbose: LOG)
        service = module.makeService(options)
        self.addCleanup(service.stopService)
        return service

    async def test_start_stop_start(self) -> None:
        """The bridge and its simulator can be started, stopped and started, and leave nothing behind."""
        commander = await self.communicator()
        words = ("--command-port=0", f"--reply-port={commander.server_port}")
        service = self.service(tap, *words)
        for _ in range(2):
            service.startService()
            await commander.connect(next(iter(service)).pairs[0].server_port)
            self.assertEqual(await self.ask(commander, c.AskForCommand()), [AckReply, DoneReply])
            await service.stopService()

    async def test_stop_at_once(self) -> None:
        """It can be stopped in the turn in which it was started."""
        service = self.service(tap, "--command-port=0", f"--reply-port={self.free_port()}")
        service.startService()
        await service.stopService()

    async def test_controller_on_ipv6(self) -> None:
        """A controller at an IPv6 address is connected to, and replies where such a one would look for us."""
        service = self.service(
            *(tap, "--command-port=0", f"--reply-port={self.free_port()}"),
            *("--controller=[::1]:1", "--controller-reply-port=0"),
        )
        service.startService()
        link = next(iter(service)).link
        self.assertEqual(link.server_host, "::1")
        self.assertEqual((link.client_host, link.client_port), ("::1", 1))

    async def test_controller_elsewhere(self) -> None:
        """The replies of a controller on another machine are taken at all addresses of this one."""
        service = self.service(
            *(tap, "--command-port=0", f"--reply-port={self.free_port()}"),
            *("--controller=192.0.2.1:1", "--controller-reply-port=0"),
        )
        service.startService()
        self.assertEqual(next(iter(service)).link.server_host, "0.0.0.0")

    async def test_simulator(self) -> None:
        """The simulator takes its options: who has command, and a name to listen on."""
        service = self.service(
            *(simulator_tap, "--command-port=0", "--reply-port=1", "--commander=hhd", "--listen=localhost")
        )
        service.startService()
        self.assertEqual(service.communicator.server_host, HOST)
        commander = await self.communicator()
        service.communicator.connect(commander.server_port)
        await commander.connect(await service.wait_command_port())
        self.assertEqual(await self.ask(commander, c.AskForCommand()), [NoAckReply])


class OptionsTests(SynchronousTestCase):
    """The options of both daemons."""

    def line(self, module: Any, *words: str) -> str:
        """The one line with which the options are refused."""
        error = self.assertRaises(SystemExit, module.Options().parseOptions, words)
        self.assertEqual(len(str(error.code).splitlines()), 1)
        return str(error.code)

    def test_every_bad_value(self) -> None:
        """Each option that can be wrong by itself names itself, the value and what is expected."""
        for module, option, value in (
            (tap, "controller", "mount"),
            (tap, "controller-reply-port", "65536"),
            (tap, "command-port", "-1"),
            (tap, "reply-port", "0"),
            (simulator_tap, "command-port", "one"),
            (simulator_tap, "reply-port", "0"),
            (simulator_tap, "commander", "PXI"),
            (simulator_tap, "speed", "0"),
        ):
            line = self.line(module, f"--{option}={value}")
            self.assertIn(f"{module.DAEMON}: --{option}: expected ", line)
            self.assertIn(f"got {value!r}", line)

    def config(self, *words: str) -> Config:
        """The configuration that options make."""
        options = tap.Options()
        options.parseOptions(words)
        config: Config = options.config
        return config

    def test_no_options(self) -> None:
        """With no options the configuration is the default one."""
        self.assertEqual(self.config(), default_config())

    def test_reply_ports(self) -> None:
        """Replies go to one port above the commands', unless another is named."""
        options = simulator_tap.Options()
        options.parseOptions([])
        self.assertEqual((options["command-port"], options["reply-port"]), (30005, 30006))
        options = simulator_tap.Options()
        options.parseOptions(["--command-port=40005"])
        self.assertEqual(options["reply-port"], 40006)
        for words, ports in (
            ((), (30005, 30006)),
            (("--command-port=40005",), (40005, 40006)),
            (("--command-port=40005", "--reply-port=7"), (40005, 7)),
            (("--reply-port=7",), (30005, 7)),
        ):
            [pair] = self.config(*words).pairs
            self.assertEqual((pair.command_port, pair.reply_port), ports)
        controller = self.config("--controller=[::1]:60005").controller
        assert controller is not None
        self.assertEqual(
            (controller.host, controller.command_port, controller.reply_port), ("::1", 60005, 60006)
        )

    def test_options_win(self) -> None:
        """An option is put over what a file says; the rest of the file stays."""
        path = Path(self.mktemp())
        path.write_text(
            '[controller]\nhost = "mount"\ncommand_port = 60005\nreply_host = "127.0.0.1"\n'
            '[[pair]]\nname = "a"\nlisten = "127.0.0.1"\ncommand_port = 1000\nreply_host = "far"\n'
            '[[pair]]\nname = "b"\ncommand_port = 2000\n[command]\nin_flight = 3\n'
            f'[journal]\npath = "{path.absolute()}.sqlite"\nkeep_days = 2\n'
        )
        plain = self.config(f"--config={path}")
        config = self.config(
            *(f"--config={path}", "--controller-reply-port=70", "--command-port=3000", "--journal=none")
        )
        assert plain.controller is not None and config.controller is not None
        self.assertEqual((plain.controller.reply_port, config.controller.reply_port), (60006, 70))
        self.assertEqual(config.controller.host, "mount")
        self.assertEqual((config.pairs[0].command_port, config.pairs[0].reply_port), (3000, 3001))
        self.assertEqual((config.pairs[0].name, config.pairs[0].reply_host), ("a", "far"))
        self.assertEqual((config.pairs[1], config.command), (plain.pairs[1], plain.command))
        self.assertEqual((plain.journal.enabled, config.journal.enabled), (True, False))
        journal = self.config(f"--config={path}", f"--journal={path}.other").journal
        self.assertEqual((journal.path, journal.keep_days), (f"{path.absolute()}.other", 2))
        other = self.config(f"--config={path}", "--controller=other:5").controller
        assert other is not None
        self.assertEqual((other.host, other.command_port, other.reply_port), ("other", 5, 6))

    def test_clash_with_the_file(self) -> None:
        """An option that does not go with the rest of the file is refused."""
        path = Path(self.mktemp())
        path.write_text(
            '[[pair]]\nname = "a"\ncommand_port = 1000\n[[pair]]\nname = "b"\ncommand_port = 2000\n'
        )
        self.assertIn(
            f"{path}: pair[2].command_port: {HOST}:2000 is used by pair[1].command_port already",
            self.line(tap, f"--config={path}", "--command-port=2000", "--reply-port=3000"),
        )

    def test_in_options(self) -> None:
        """Without a file, what does not go together is told in the options' own names."""
        for words, expected in (
            (("--listen=a b",), "--listen: expected a host name or an address"),
            (("--reply-host=a:5",), "--reply-host: expected a host name or an address"),
            (("--journal=",), "--journal: expected a path"),
            (
                ("--command-port=50", "--reply-port=50"),
                f"--reply-port: {HOST}:50 is used by --command-port already",
            ),
        ):
            self.assertIn(f"{tap.DAEMON}: {expected}", self.line(tap, *words))

    def test_no_next_port(self) -> None:
        """Where there is no port one above, the reply port has to be named."""
        for module, words in (
            (tap, ["--command-port=0"]),
            (tap, ["--command-port=65535"]),
            (tap, ["--controller=mount:65535"]),
            (simulator_tap, ["--command-port=0"]),
        ):
            self.assertIn("reply-port: there is no port one above", self.line(module, *words))

    def test_commander(self) -> None:
        """Who has command at first is named in capitals or not."""
        options = simulator_tap.Options()
        options.parseOptions(["--commander", "Hhd"])
        self.assertIs(options["commander"], Commander.HHD)

    def test_help(self) -> None:
        """Every option is explained, with its default where it has one."""
        for module in (tap, simulator_tap):
            options = module.Options()
            options.parent = usage.Options()
            options.parent.synopsis, options.parent.subCommand = "twistd [options]", module.DAEMON
            text_of_all = " ".join(str(options).split())
            for name, _, default, text in options.optParameters:
                self.assertIn(f"--{name}= {' '.join(text.split())}", text_of_all)
                if name != "config":
                    self.assertIn(f"[default: {'' if default is None else default}", text_of_all)
            for name, _, text in options.optFlags:
                self.assertIn(f"--{name} {text}", text_of_all)
            self.assertIn(f"twistd [options] {module.DAEMON} [options]", text_of_all)
            self.assertIn(options.longdesc.split(".")[0], text_of_all)
