"""The parts of the election: the guard before the sockets, the hook, and the link that is not there."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.upstream.leadership import hook
from mtmount_twisted.upstream.leadership.guard import SleepGuard, boot_time
from mtmount_twisted.upstream.leadership.held_link import HeldLink
from mtmount_twisted.upstream.leadership.hook import HOOK_TIME, Hook
from tests.support.folders import scratch_path

LOG = logging.getLogger("mtmount_twisted.tests.leadership")


class Socket(FileDescriptor):
    """A socket, which counts what the reactor asks of it."""

    def __init__(self) -> None:
        super().__init__(Clock())  # type: ignore[arg-type]
        self.asked: list[str] = []
        self.is_aborted = False

    def doRead(self) -> None:
        self.asked.append("read")

    def doWrite(self) -> None:
        self.asked.append("write")

    def abortConnection(self) -> None:
        """As a TCP connection does it: both methods do nothing from now on."""
        self.is_aborted = True
        self.doRead = self.doWrite = lambda: None  # type: ignore[method-assign]


class GuardTests(SynchronousTestCase):
    """The process stood still."""

    def setUp(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.socket = Socket()

        def drop(seconds: float) -> None:
            self.slept.append(seconds)
            self.socket.abortConnection()

        self.guard = SleepGuard(2.0, drop, lambda: self.now)
        self.guard.watch(self.socket)

    def test_awake(self) -> None:
        """While the process is awake, the reactor reads and writes as always."""
        for _ in range(5):
            self.now += 1.9
            self.socket.doRead()
            self.socket.doWrite()
        self.assertEqual(self.socket.asked, ["read", "write"] * 5)
        self.assertEqual(self.slept, [])

    def test_before_write(self) -> None:
        """What is in the buffer of the socket is not sent after the sleep."""
        self.now += 2.0
        self.socket.doWrite()
        self.assertEqual((self.socket.asked, self.slept), ([], [2.0]))
        self.socket.doRead()
        self.assertEqual((self.socket.asked, len(self.slept)), ([], 1))

    def test_before_read(self) -> None:
        """Nor is what has arrived read: the guard comes first."""
        self.now += 100.0
        self.socket.doRead()
        self.assertEqual((self.socket.asked, self.slept), ([], [100.0]))

    def test_transport_in_memory(self) -> None:
        """A transport without a socket is left alone."""
        self.guard.watch(StringTransport())

    def test_clock(self) -> None:
        """The clock goes on."""
        first = boot_time()
        self.assertGreaterEqual(boot_time(), first)


class Processes(Clock):
    """A reactor: the runs of the program that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[tuple[str, Any]] = []
        self.killed = 0
        self.fails = False

    def spawnProcess(self, protocol: Any, program: str, words: list[str], env: dict[str, str]) -> Any:
        if self.fails:
            raise OSError(8, "Exec format error")
        self.runs.append((words[1], protocol))
        return self

    def signalProcess(self, name: str) -> None:
        self.killed += name == "KILL"

    def loseConnection(self) -> None:
        """Close the pipes, which have nothing in them."""

    def end(self, error: Exception | None = None) -> None:
        """Let the last run end."""
        self.runs[-1][1].processEnded(Failure(error or ProcessDone(0)))


class HookTests(SynchronousTestCase):
    """The site's program."""

    def setUp(self) -> None:
        self.reactor = Processes()
        self.hook = Hook("/hook", LOG, self.reactor)
        self.ended: list[str] = []

    def noting(self, word: str) -> Callable[[], None]:
        """Note the end of a run."""
        return lambda: self.ended.append(word)

    def run_hook(self, *words: str) -> None:
        """Run it with each word."""
        for word in words:
            self.hook.run(word, self.noting(word))

    def test_one_after_another(self) -> None:
        """A run begins when the one before has ended."""
        self.run_hook("take", "give")
        self.assertEqual([word for word, _ in self.reactor.runs], ["take"])
        self.reactor.end()
        self.assertEqual(([word for word, _ in self.reactor.runs], self.ended), (["take", "give"], ["take"]))
        self.reactor.end()
        self.assertEqual(self.ended, ["take", "give"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_fails(self) -> None:
        """A failure is logged with the output of the program, and changes nothing else."""
        self.run_hook("take")
        self.reactor.runs[-1][1].errReceived(b"no such device\n")
        with self.assertLogs(LOG, "ERROR") as logs:
            self.reactor.end(ProcessTerminated(exitCode=2))
        self.assertRegex(logs.records[0].getMessage(), "^/hook take failed: .*; its output: no such device$")
        self.assertEqual(self.ended, ["take"])

    def test_too_long(self) -> None:
        """A run that takes too long is killed."""
        self.run_hook("take")
        self.reactor.advance(HOOK_TIME)
        self.reactor.advance(0)
        self.assertEqual((self.reactor.killed, self.ended), (1, []))
        with self.assertLogs(LOG, "ERROR") as logs:
            self.reactor.end(ProcessTerminated(signal=9))
        self.assertIn("longer than 3 s", logs.records[0].getMessage())

    def test_no_program(self) -> None:
        """A file that can't be run counts as a run that failed."""
        self.reactor.fails = True
        with self.assertLogs(LOG, "ERROR"):
            self.run_hook("take")
        self.assertEqual(self.ended, ["take"])


class ProgramTests(TestCase):
    """A program that runs."""

    timeout = 20

    async def test_leaves_a_process_behind(self) -> None:
        """A program that has ended, but left its output to a process in the background, holds nothing up."""
        from twisted.internet import reactor

        self.patch(hook, "HOOK_TIME", 0.1)
        program = scratch_path(self)
        left = program.with_suffix(".pid")
        program.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! > {left}\n")
        program.chmod(0o700)
        ended: Deferred[None] = Deferred()
        Hook(str(program), LOG, reactor).run("take", lambda: ended.callback(None))
        await ended
        os.kill(int(left.read_text()), signal.SIGKILL)


class HeldLinkTests(SynchronousTestCase):
    """The link of a standby."""

    def test_closed(self) -> None:
        """Without a link both connections are down, and the place of the controller is known."""
        link = HeldLink(lambda: self.fail("it is not opened"), "tma", 30010)
        self.assertEqual((link.client_connected, link.server_connected, link.up), (False, False, False))
        self.assertEqual((link.client_host, link.client_port), ("tma", 30010))
        link.try_now()
        self.successResultOf(link.abort("why"))
