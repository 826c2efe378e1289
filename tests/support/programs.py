"""``twistd`` in a process of its own, in an empty folder, for the tests of the daemons."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from mtmount_twisted import commands as c
from mtmount_twisted.client.communicator import ClientServerPair, Communicator
from mtmount_twisted.replies import AckReply

from .folders import scratch_path
from .ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
LOG = logging.getLogger("mtmount_twisted.tests.tap")
ENDS_WITH_PARENT = "from tests.support.parents import end_with_parent; end_with_parent()"
CLEAN_END = 5.0
"""A daemon ends within so many seconds of SIGTERM."""


class Program(ProcessProtocol):
    """A process: its lines as they come, and its end."""

    def __init__(self) -> None:
        self.output = ""
        self.ended: Deferred[int] = Deferred()
        self._wanted: list[tuple[str, int, Deferred[re.Match[str]]]] = []

    def line(self, pattern: str, number: int = 1) -> Deferred[re.Match[str]]:
        """Wait for the first or a later match in the output; an error if the program ends before."""
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
    """Run ``twistd`` in an empty folder, with an empty folder for its state."""

    timeout = 30

    def setUp(self) -> None:
        self.state = scratch_path(self)
        self.default_journal = self.state / "mtmount-bridge" / "journal.sqlite"

    def twistd(
        self, *words: str, before: str = "", output: int | None = None, more: Mapping[str, str] | None = None
    ) -> Program:
        """Start ``twistd``; it is killed after the test if it is still there.

        :param before: Python statements that the process runs first, to hang or fail where a test wants it.
        :param output: a file descriptor for its standard output; if None the `Program` reads it.
        :param more: variables for its environment.

        A bridge serves no page, which would be on one port for all tests, unless ``--web`` is among `words`.
        """
        if "mtmount-bridge" in words and "--web" not in words:
            words = (*words, "--web", "none")
        folder = str(scratch_path(self))
        os.makedirs(folder)
        program = Program()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "XDG_STATE_HOME": str(self.state),
            **(more or {}),
        }
        code = (ENDS_WITH_PARENT, before, "from twisted.scripts.twistd import run; run()")
        run = (sys.executable, "-c", "\n".join(code))
        descriptors: dict[int, str | int] = {0: "w", 1: "r" if output is None else output, 2: "r"}
        process = reactor.spawnProcess(
            program, run[0], (*run, *words), env=environment, path=folder, childFDs=descriptors
        )

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
        path = scratch_path(self)
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
        """Return a port that nothing takes before the test ends, but a program that listens there."""
        return free_port(self)

    def taken_port(self) -> int:
        """A port on which this test listens."""
        listening = socket.create_server((HOST, 0))
        self.addCleanup(listening.close)
        return int(listening.getsockname()[1])
