"""The daemons as a user meets them: ``twistd`` in a process of its own, on ports of the system's choice."""

from __future__ import annotations

import itertools
import logging
import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted import commands as c
from mtmount_twisted import daemon, tap
from mtmount_twisted.communicator import ClientServerPair, Communicator
from mtmount_twisted.enums import Commander
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply
from mtmount_twisted.simulator import tap as simulator_tap

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
LOG = logging.getLogger("mtmount_twisted.tests.tap")
CLEAN_END = 5.0
"""A daemon ends within so many seconds of SIGTERM."""


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


class ProgramCase(TestCase):
    """Runs ``twistd`` in an empty folder."""

    timeout = 30

    def twistd(self, *words: str) -> Program:
        """Start ``twistd``; it is killed after the test if it is still there."""
        folder = self.mktemp()
        os.makedirs(folder)
        program = Program()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
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

    async def flood(self, commander: ClientServerPair[bytes], program: Program) -> None:
        """Have a commander send without an end, and wait until 2000 commands were relayed."""

        async def send() -> None:
            for number in itertools.count(1):
                await commander.write(b"%d\n9999\n1\n2020-02-27T14:48:27.469\n" % number + b"x" * 100)

        self.addCleanup(Deferred.fromCoroutine(send()).addErrback(lambda reason: None).cancel)
        await program.line("sequence_id=2000, ")

    async def serving(self, program: Program) -> int:
        """The port on which it says that it serves."""
        return int((await program.line(rf"serving commander csc on {HOST}:(\d+), ")).group(1))

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
        """It says that it uses the simulator; a command through it gets Ack and Done; it ends cleanly."""
        program, commander = await self.connected()
        [line] = [line for line in program.output.splitlines() if "simulator" in line and "using" in line]
        self.assertIn("no controller configured", line)
        self.assertEqual(await self.ask(commander, c.AskForCommand()), [AckReply, DoneReply])
        self.assertEqual(await self.ask(commander, c.MirrorCoversPower(on=True)), [AckReply, DoneReply])
        lost = commander.monitor_client_reader()
        await self.assert_ends(program)
        await lost

    async def test_asyncio(self) -> None:
        """The same under the reactor of asyncio, where the daemon has to try again to connect."""
        reply_port = self.free_port()
        program = self.twistd(
            *("-n", "--reactor", "asyncio", "mtmount-bridge", "-v"),
            *("--command-port", "0", "--reply-port", str(reply_port)),
        )
        port = await self.serving(program)
        await program.line("commander: can't connect yet")
        commander = Communicator(
            "test", HOST, port, HOST, reply_port, LOG, True, connect=False, reactor=reactor
        )
        self.addCleanup(commander.close)
        await commander.connect()
        self.assertEqual(await self.ask(commander, c.AskForCommand()), [AckReply, DoneReply])
        self.assertRegex(program.output, r"mtmount_twisted#debug\] command CommandHeader")
        await self.assert_ends(program)

    async def test_commander_comes_and_goes(self) -> None:
        """The next commander on the same ports is served as the first was."""
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
        await program.line("commander: a peer connected")
        await self.assert_ends(program)

    async def test_ends_with_a_commander_that_does_not_read(self) -> None:
        """SIGTERM ends it while a commander sends and sends, and reads no reply."""
        commander = self.pair()
        program, port = await self.bridge(await commander.wait_server_port(), "--verbose")
        await commander.connect(port)
        commander.server_writer.pauseProducing()
        await self.flood(commander, program)
        await self.assert_ends(program)


class ControllerTests(ProgramCase):
    """``twistd -n mtmount-bridge --controller``."""

    async def test_real_controller(self) -> None:
        """Lines pass both ways; a controller that is away is told with 'not sent'; it may come and go."""
        commander, controller = await self.communicator(), self.pair()
        controller_port, replies = await controller.wait_server_port(), self.free_port()
        program = self.twistd(
            *("-n", "mtmount-bridge", "--controller", f"localhost:{controller_port}"),
            *("--command-port", "0", "--reply-port", str(commander.server_port)),
            *("--listen", "localhost", "--controller-reply-port", str(replies)),
        )
        await commander.connect(await self.serving(program))
        self.assertNotIn("simulator", program.output)
        for number in (1, 2):
            await controller.connect(replies)
            await program.line("controller: connected to localhost", number)
            await commander.write(c.Enable(sequence_id=number))
            self.assertEqual((await controller.read()).split(b"\n")[0], b"%d" % number)
            await controller.write(b"2\n%d\n1\n2020-02-27T14:48:27.469" % number)
            self.assertIsInstance(await commander.read(), DoneReply)
            lost = program.line("controller: lost localhost", number)
            await controller.close()
            await lost
            await commander.write(c.Enable(sequence_id=7))
            reply = await commander.read()
            self.assertIsInstance(reply, NoAckReply)
            self.assertTrue(reply.explanation.startswith("not sent"), reply.explanation)
            controller = self.pair(server_port=controller_port)
        await self.assert_ends(program)

    async def test_ends_with_a_controller_that_does_not_read(self) -> None:
        """SIGTERM ends it while commands wait for a controller that reads none."""
        commander, controller = self.pair(), self.pair()
        controller_port, replies = await controller.wait_server_port(), self.free_port()
        program = self.twistd(
            *("-n", "mtmount-bridge", "-v", "--controller", f"{HOST}:{controller_port}"),
            *("--command-port", "0", "--reply-port", str(await commander.wait_server_port())),
            *("--controller-reply-port", str(replies)),
        )
        await commander.connect(await self.serving(program))
        await controller.connect(replies)
        await program.line("controller: connected to")
        controller.server_writer.pauseProducing()
        await self.flood(commander, program)
        await self.assert_ends(program)

    async def test_ends_while_connecting(self) -> None:
        """SIGTERM ends it while an attempt to connect to the controller has no answer."""
        program = self.twistd(
            *("-n", "mtmount-bridge", "--controller", "192.0.2.1:40005", "--controller-reply-port", "0"),
            *("--controller-reply-host", HOST, "--command-port", "0", "--reply-port", "1"),
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
        await commander.connect(await self.serving(program))
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
            f"mtmount-bridge: --controller-reply-port: can't listen on {HOST}:{port}",
            *("mtmount-bridge", "--command-port", str(port), "--controller", f"{HOST}:{port - 1}"),
        )


class ServiceTests(ProgramCase):
    """What `makeService` makes, in this process."""

    def service(self, module: Any, *words: str) -> Any:
        """A daemon's service; its log is left alone, and so is the clock of this reactor."""
        options = module.Options()
        options.parseOptions(words)
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
            await commander.connect(next(iter(service)).commander.server_port)
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
        bridge = next(iter(service))
        self.assertEqual(bridge.controller.server_host, "::1")
        self.assertEqual((bridge.controller.client_host, bridge.controller.client_port), ("::1", 1))

    async def test_controller_elsewhere(self) -> None:
        """The replies of a controller on another machine are taken at all addresses of this one."""
        service = self.service(
            *(tap, "--command-port=0", f"--reply-port={self.free_port()}"),
            *("--controller=192.0.2.1:1", "--controller-reply-port=0"),
        )
        service.startService()
        self.assertEqual(next(iter(service)).controller.server_host, "0.0.0.0")

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

    def test_reply_ports(self) -> None:
        """Replies go to one port above the commands', unless another is named."""
        for module in (tap, simulator_tap):
            options = module.Options()
            options.parseOptions([])
            self.assertEqual((options["command-port"], options["reply-port"]), (30005, 30006))
            options = module.Options()
            options.parseOptions(["--command-port=40005"])
            self.assertEqual(options["reply-port"], 40006)
        options = tap.Options()
        options.parseOptions(["--controller=[::1]:60005"])
        self.assertEqual((options["controller"], options["controller-reply-port"]), (("::1", 60005), 60006))

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
            usage = " ".join(str(options).split())
            for name, _, default, text in options.optParameters:
                self.assertIn(f"--{name}= {' '.join(text.split())}", usage)
                self.assertIn(f"[default: {'' if default is None else default}", usage)
            for name, _, text in options.optFlags:
                self.assertIn(f"--{name} {text}", usage)
            self.assertIn(f"twistd [options] {module.DAEMON} [options]", usage)
            self.assertIn(options.longdesc.split(".")[0], usage)
