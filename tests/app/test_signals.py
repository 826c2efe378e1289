"""What signals do to the daemon: read its configuration anew, end with time for commands, or without."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.threads import deferToThread

from mtmount_twisted import commands as c
from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply
from tests.support.folders import scratch_path
from tests.support.programs import CLEAN_END, HOST, Program, ProgramCase

SLOW_DISK = """
import os, stat
from mtmount_twisted import files
quick = files.read_file
def read_file(path, most=files.MOST_BYTES):
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        return quick(path, most)
    with open(path, "rb") as file:
        return files.Content(file.read(), os.fstat(file.fileno()))
files.read_file = read_file
"""
"""The daemon's files are on a disk that hangs: where a FIFO is, who reads it waits until somebody writes."""


class SignalTests(ProgramCase):
    """A daemon with its simulator and a file, in a process of its own."""

    async def connected(self) -> tuple[Program, Communicator]:
        """The daemon, and a commander that has command."""
        commander = await self.communicator()
        self.port = self.free_port()
        self.path = scratch_path(self)
        self.pair = (
            f'[[pair]]\nname = "csc"\ncommand_port = {self.port}\nreply_port = {commander.server_port}\n'
        )
        self.path.write_text(self.pair, encoding="utf-8")
        program = self.twistd("-n", "mtmount-bridge", "--config", str(self.path), before=SLOW_DISK)
        await self.serving(program)
        await commander.connect(self.port)
        self.assertEqual(await self.ask(commander, c.AskForCommand()), [AckReply, DoneReply])
        return program, commander

    async def moving(self) -> tuple[Program, Communicator]:
        """As `connected`, and in the middle of a move that takes a minute."""
        program, commander = await self.connected()
        await self.ask(commander, c.AzimuthAxisPower(on=True))
        await commander.write(c.AzimuthAxisMove(position=100))
        await self.reply(commander, AckReply)
        return program, commander

    async def reply(self, commander: Communicator, *kinds: type) -> object:
        """The next reply of one of these kinds."""
        while not isinstance(reply := await commander.read(), kinds):
            pass
        return reply

    async def test_term_in_a_move(self) -> None:
        """SIGTERM leaves the commands in flight a few seconds; one that has not ended then is unknown."""
        program, commander = await self.moving()
        began = time.monotonic()
        program.transport.signalProcess("TERM")
        await program.line("commands in flight: waiting 3 s")
        refusal = await self.reply(commander, NoAckReply)
        self.assertIn("outcome unknown: the bridge ends", str(refusal))
        await program.ended
        self.assertLess(time.monotonic() - began, CLEAN_END)
        self.assertIn("Server Shut Down.", program.output)

    async def test_twice(self) -> None:
        """A second SIGTERM waits for no command."""
        program, commander = await self.moving()
        program.transport.signalProcess("TERM")
        await program.line("commands in flight: waiting 3 s")
        program.transport.signalProcess("TERM")
        await program.line("second signal to stop")
        self.assertIn("outcome unknown", str(await self.reply(commander, NoAckReply)))
        await program.ended
        self.assertIn("Server Shut Down.", program.output)
        self.assertNotIn("Traceback", program.output)

    async def test_hangup(self) -> None:
        """SIGHUP has the file read again: a port comes, then goes; who was there stays, and keeps command."""
        program, commander = await self.connected()
        port = self.free_port()
        desk = f'[[port]]\nname = "desk"\nendpoint = "tcp:{port}:interface={HOST}"\n'
        self.path.write_text(self.pair + desk, encoding="utf-8")
        program.transport.signalProcess("HUP")
        await program.line(f"now serving .*port desk on tcp:{port}")
        endpoint = TCP4ClientEndpoint(reactor, HOST, port)
        observer = await self.observer(endpoint)
        await observer.line(b"5\n")  # the state
        self.path.write_text(self.pair, encoding="utf-8")
        program.transport.signalProcess("HUP")
        await program.line("now serving", 2)
        self.assertEqual(await self.ask(commander, c.MirrorCoversPower(on=True)), [AckReply, DoneReply])
        self.assertIn("desk/1: closed: it is not in the configuration any more", program.output)
        self.assertNotIn("epoch 2", program.output)
        await self.assert_ends(program)

    async def test_bad_file(self) -> None:
        """A file with a fault is refused whole, with a line for each; all stays as it was."""
        program, commander = await self.connected()
        taken = await self.communicator()
        for text, word in (
            (self.pair + "[[pair]]\nname = 'csc'\n", "pair\\[2\\]"),
            ("[[pair", "not TOML"),
            (self.pair + f"[[pair]]\nname='b'\ncommand_port={taken.server_port}\n", "already in use"),
            (
                self.pair + "[[pair]]\nname='b'\ncommand_port=0\nreply_port=9\nreply_host='no.invalid'\n",
                "resolve",
            ),
        ):
            self.path.write_text(text, encoding="utf-8")
            program.transport.signalProcess("HUP")
            await program.line(f"configuration not reloaded: .*{word}")
        self.path.unlink()
        program.transport.signalProcess("HUP")
        await program.line("configuration not reloaded: .*can't be read")
        self.assertEqual(await self.ask(commander, c.MirrorCoversPower(on=True)), [AckReply, DoneReply])
        await self.assert_ends(program)

    async def test_other_signals(self) -> None:
        """A signal that means nothing to the daemon is a line of the log; commands go on, as does command."""
        program, commander = await self.connected()
        names = "SIGUSR1 SIGUSR2 SIGALRM SIGVTALRM SIGPROF SIGIO SIGPWR SIGXCPU SIGSTKFLT SIGRTMIN SIGRTMAX"
        numbers = {name: getattr(signal, name) for name in names.split()}
        for name, number in {**numbers, "SIGRTMIN+5": signal.SIGRTMIN + 5}.items():
            program.transport.signalProcess(number)
            await program.line(rf"ignored {re.escape(name)}\n")
        self.assertEqual(await self.ask(commander, c.MirrorCoversPower(on=True)), [AckReply, DoneReply])
        await self.assert_ends(program)

    def fifo(self, path: Path) -> None:
        """A file at this path that hangs who reads it, until somebody writes; unlocked after the test."""
        os.mkfifo(path)
        self.addCleanup(lambda: os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK)))

    async def test_term_while_reading(self) -> None:
        """While a reading hangs another is refused, commands are served, and SIGTERM ends it as ever."""
        program, commander = await self.connected()
        self.path.unlink()
        self.fifo(self.path)
        program.transport.signalProcess("HUP")
        await program.line(f"reloading the configuration: {self.path}")
        program.transport.signalProcess("HUP")
        await program.line("reload refused: an earlier reload is still under way")
        self.assertEqual(await self.ask(commander, c.MirrorCoversPower(on=True)), [AckReply, DoneReply])
        await self.assert_ends(program)
        self.assertEqual(program.output.count("reloading the configuration"), 1)
        self.assertNotIn("the reload failed", program.output)

    async def test_reload_after_a_refused_one(self) -> None:
        """A reading that hung and then got its file is a reload as any, and the next is taken."""
        program, _ = await self.connected()
        self.path.unlink()
        self.fifo(self.path)
        for number in (1, 2):
            program.transport.signalProcess("HUP")
            await self.write(self.path, self.pair)
            await program.line("now serving", number)
        await self.assert_ends(program)

    def write(self, path: Path, text: str) -> Deferred[int]:
        """Write to a FIFO, once somebody reads it."""
        return deferToThread(path.write_text, text, encoding="utf-8")

    async def test_early_hangup(self) -> None:
        """SIGHUP and others before it serves do not end it: it reads the file again once it serves."""
        path = scratch_path(self)
        self.fifo(path)
        pairs = [
            f"[[pair]]\nname = '{name}'\ncommand_port = 0\nreply_port = {port}\n"
            for name, port in (("csc", 8), ("eui", 9))
        ]
        program = self.twistd("-n", "mtmount-bridge", "--config", str(path), before=SLOW_DISK)
        reading = await deferToThread(os.open, path, os.O_WRONLY)
        program.transport.signalProcess("HUP")
        program.transport.signalProcess(signal.SIGUSR1)
        os.write(reading, pairs[0].encode())
        os.close(reading)
        await self.serving(program)
        await program.line("ignored SIGUSR1")
        await self.write(path, "".join(pairs))
        await program.line("now serving .*eui")
        await self.assert_ends(program)
