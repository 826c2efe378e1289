"""``unix:`` endpoints: a socket that a killed daemon left behind, and one on which a program listens."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config.preflight import SocketUse, remove_left_behind, socket_use
from tests.support.folders import scratch_folder
from tests.support.programs import Program, ProgramCase


class SocketUseTests(SynchronousTestCase):
    """`socket_use` and `remove_left_behind`."""

    def setUp(self) -> None:
        self.folder = scratch_folder(self)
        self.path = str(self.folder / "socket")

    def bind(self, backlog: int | None = None) -> socket.socket:
        """A socket at that path; it is closed after the test."""
        bound = socket.socket(socket.AF_UNIX)
        self.addCleanup(bound.close)
        bound.bind(self.path)
        if backlog is not None:
            bound.listen(backlog)
        return bound

    def test_free(self) -> None:
        """Where nothing is, nothing is removed."""
        self.assertIs(socket_use(self.path), SocketUse.FREE)
        self.assertFalse(remove_left_behind(self.path))

    def test_left_behind(self) -> None:
        """A socket whose program is gone is removed, and so is the lock beside it."""
        self.bind(1).close()
        Path(f"{self.path}.lock").symlink_to("1")
        self.assertIs(socket_use(self.path), SocketUse.LEFT_BEHIND)
        self.assertTrue(remove_left_behind(self.path))
        self.assertEqual(os.listdir(self.folder), [])

    def test_in_use(self) -> None:
        """One on which a program listens stays, also while it does not accept."""
        self.bind(0)
        calling = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for each in calling:
            self.addCleanup(each.close)
            each.setblocking(False)
            self.assertIs(socket_use(self.path), SocketUse.IN_USE)
            each.connect_ex(self.path)
        self.assertFalse(remove_left_behind(self.path))
        self.assertEqual(os.listdir(self.folder), ["socket"])

    def test_something_else(self) -> None:
        """A file, a folder, and a socket of another kind stay."""
        Path(self.path).touch()
        datagrams = str(self.folder / "datagrams")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(datagrams)
            for path in (self.path, str(self.folder), datagrams):
                self.assertIs(socket_use(path), SocketUse.OTHER, path)
                self.assertFalse(remove_left_behind(path))
        self.assertEqual(sorted(os.listdir(self.folder)), ["datagrams", "socket"])

    def test_symbolic_link(self) -> None:
        """A symbolic link stays, whether it points to a socket in use, one left behind, or nothing."""
        link = self.folder / "link"
        link.symlink_to("socket")
        for make in (
            lambda: None,
            lambda: self.bind(1).close(),
            lambda: os.unlink(self.path),
            lambda: self.bind(0),
        ):
            make()
            self.assertIs(socket_use(str(link)), SocketUse.LINK)
            self.assertFalse(remove_left_behind(str(link)))
        self.assertEqual(sorted(os.listdir(self.folder)), ["link", "socket"])


class DaemonTests(ProgramCase):
    """The bridge with sockets for a port and for the page, in a process of its own."""

    def setUp(self) -> None:
        super().setUp()
        folder = scratch_folder(self)
        self.port, self.page = str(folder / "port"), str(folder / "page")
        self.path = self.file("")
        self.configure()

    def configure(self, more: str = "") -> None:
        """Write the configuration, with more for the port."""
        Path(self.path).write_text(
            f'[[port]]\nname = "watchers"\nendpoint = "unix:{self.port}"\n{more}[journal]\nenabled = false\n',
            encoding="utf-8",
        )

    def start(self, *words: str) -> Program:
        return self.twistd(
            "-n", "mtmount-bridge", "--config", self.path, "--web", f"unix:{self.page}", *words
        )

    async def test_symbolic_link(self) -> None:
        """A symbolic link is refused by that name, at the start and by ``--check-config``."""
        os.symlink("nowhere", self.page)
        for words in ((), ("--check-config",)):
            program = self.start(*words)
            self.assertEqual(await program.ended, 1, program.output)
            [line] = program.output.splitlines()
            self.assertIn(f"--web: at {self.page} there is a symbolic link", line)
        self.assertTrue(os.path.islink(self.page))

    async def test_killed_and_started_again(self) -> None:
        """After ``kill -9`` it starts again, whoever has its process id by now; a second one is refused."""
        program = self.start()
        await program.line("serving port watchers.*page on")
        program.transport.signalProcess("KILL")
        await program.ended
        for path in (self.port, self.page):
            self.assertTrue(os.path.exists(path))
            os.unlink(f"{path}.lock")
            os.symlink(str(os.getpid()), f"{path}.lock")
        program = self.start()
        await program.line("serving port watchers.*page on")
        await self.observer(UNIXClientEndpoint(reactor, self.port))
        second = self.start()
        self.assertEqual(await second.ended, 1, second.output)
        [line] = second.output.splitlines()
        self.assertIn(f"port[1].endpoint: at {self.port} there is a socket on which a program accepts", line)
        check = self.start("--check-config")
        self.assertEqual(await check.ended, 0, check.output)
        warnings = [line for line in check.output.splitlines() if "warning" in line]
        self.assertEqual([line.split(": ")[-3] for line in warnings], ["port[1].endpoint", "--web"])
        self.configure("max_clients = 7\n")
        program.transport.signalProcess(signal.SIGHUP)
        await program.line("now serving port watchers")
        await self.observer(UNIXClientEndpoint(reactor, self.port))
        await self.assert_ends(program)
        self.assertFalse(os.path.exists(self.port))
