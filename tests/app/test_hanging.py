"""The programs while what is outside of them hangs: who reads the log, the name server, the disk."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from twisted.internet import reactor
from twisted.python.failure import Failure

from mtmount_twisted import commands as c
from mtmount_twisted.replies import AckReply, DoneReply
from tests.support.programs import CLEAN_END, HOST, ROOT, Program, ProgramCase


class Commander(Program):
    """``mtmount-commander``; a signal is a way to end, too."""

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value.exitCode)  # type: ignore[union-attr]


MUTE_NAME_SERVER = """
import socket, threading
asked = set()
resolve = socket.getaddrinfo
def getaddrinfo(host, *rest, **options):
    if options.get("flags", 0) & socket.AI_NUMERICHOST:
        return resolve(host, *rest, **options)  # of an address, no name server is asked
    if host in asked:
        threading.Event().wait()
    asked.add(host)
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
socket.getaddrinfo = getaddrinfo
"""
"""Each name resolves once, as the daemon starts; after that the name server does not answer."""

HUNG_DISK = """
from mtmount_twisted.journal import file
file.Store.write = lambda self, batch: threading.Event().wait()
"""


class HangingTests(ProgramCase):
    """Each of them in a process of its own."""

    def full_pipe(self) -> int:
        """The end to write on of a pipe that nobody reads and that holds no more."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, bytes(4096))
        os.set_blocking(writer, True)
        return writer

    async def assert_commands_and_ends(self, daemon: str, *words: str) -> None:
        """With its log in a full pipe, a daemon answers a commander, and SIGTERM ends it."""
        commander = await self.communicator()
        port = self.free_port()
        program = self.twistd(
            *("-n", daemon, "--command-port", str(port), "--reply-port", str(commander.server_port), *words),
            output=self.full_pipe(),
        )
        await commander.connect(port)
        self.assertEqual(await self.ask(commander, c.AskForCommand()), [AckReply, DoneReply])
        await self.assert_ends_in_time(program)

    async def assert_ends_in_time(self, program: Program) -> None:
        """SIGTERM ends it in time."""
        began = time.monotonic()
        program.transport.signalProcess("TERM")
        await program.ended
        self.assertLess(time.monotonic() - began, CLEAN_END)

    async def test_bridge_whose_log_nobody_reads(self) -> None:
        """The bridge serves on, and ends, though not a line of its log can be written."""
        await self.assert_commands_and_ends("mtmount-bridge", "--verbose")

    async def test_simulator_whose_log_nobody_reads(self) -> None:
        """So does the simulator."""
        await self.assert_commands_and_ends("mtmount-simulator")

    async def test_commander_whose_output_nobody_reads(self) -> None:
        """The commander sends its commands, and a signal ends it."""
        mount, replies = await self.communicator(read_replies=False), self.free_port()
        commander = Commander()
        command = [sys.executable, "-m", "mtmount_twisted.commander"]
        command += ["--command-port", str(mount.server_port), "--reply-port", str(replies)]
        process: Any = reactor.spawnProcess(  # type: ignore[attr-defined]
            commander,
            command[0],
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            childFDs={0: "w", 1: self.full_pipe(), 2: "r"},
        )
        commander.transport = process
        process.write(b"enable\n")
        mount.connect(replies).addErrback(lambda reason: reason.trap(ConnectionAbortedError))
        await mount.wait_peer()
        self.assertIsInstance(await mount.read(), c.Enable)
        await self.assert_ends_in_time(commander)

    async def test_name_server_and_disk(self) -> None:
        """SIGTERM ends the bridge while look-ups of names, a reload and the disk hang; lost rows count."""
        path = self.file(
            f'[controller]\nhost = "mount.example"\ncommand_port = {self.taken_port()}\nreply_port = 0\n'
            f'[[pair]]\nname = "csc"\ncommand_port = 0\nreply_host = "desk.example"\nreply_port = 9\n'
        )
        program = self.twistd("-n", "mtmount-bridge", "--config", path, before=MUTE_NAME_SERVER + HUNG_DISK)
        await program.line(rf"serving commander csc on {HOST}")
        program.transport.signalProcess("HUP")
        await program.line("reloading the configuration")
        await self.assert_ends_in_time(program)
        lost = await program.line(
            r"the journal .* ends without the last (\d+) rows: the disk did not take them"
        )
        self.assertGreaterEqual(int(lost.group(1)), 2)
        await program.line(r"the daemon ends; \d+ rows of this run are not in the journal")
        self.assertIn("Server Shut Down.", program.output)
        self.assertNotIn("Traceback", program.output)
