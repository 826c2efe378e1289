"""`mtmount_twisted.app.systemd`: what systemd is told of a daemon, and when."""

from __future__ import annotations

import logging
import os
import signal
import socket
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app.systemd import BEATS, FAILED_RETRY, RETRY, ServiceManager
from tests.support.folders import scratch_folder, scratch_path
from tests.support.programs import ProgramCase

LOG = logging.getLogger("mtmount_twisted.tests.notify")


class ManagerCase(SynchronousTestCase):
    """Has a socket in the place of systemd's."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = str(scratch_path(self))

    def listen(self, address: str) -> socket.socket:
        """Systemd's socket; it is closed after the test."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listening.close)
        listening.bind(address)
        listening.setblocking(False)
        return listening

    def manager(self, **environment: str) -> ServiceManager:
        """One that tells that socket; it is closed after the test, and leaves no timer."""
        values = {"NOTIFY_SOCKET": self.path, **environment}
        manager = ServiceManager(values, self.clock, LOG, pid=7, monotonic=lambda: 12.5)

        def close() -> None:
            manager.close()
            self.assertEqual(self.clock.getDelayedCalls(), [])

        self.addCleanup(close)
        return manager

    def heard(self, listening: socket.socket) -> list[str]:
        """What came since the last look."""
        found = []
        while True:
            try:
                found.append(listening.recv(4096).decode())
            except BlockingIOError:
                return found


class ManagerTests(ManagerCase):
    """`ServiceManager`."""

    def test_states(self) -> None:
        """It hears that the daemon serves, reads its configuration at a monotonic time, and ends."""
        systemd = self.listen(self.path)
        manager = self.manager()
        self.assertEqual(self.heard(systemd), [])
        for say in (manager.ready, manager.reloading, manager.reloaded, manager.stopping):
            say()
        self.assertEqual(
            self.heard(systemd),
            ["READY=1", "RELOADING=1\nMONOTONIC_USEC=12500000", "READY=1", "STOPPING=1"],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [], "nobody asked for a watchdog's food")

    def test_abstract_name(self) -> None:
        """An address that begins with ``@`` is an abstract one."""
        name = f"@mtmount-test-{os.getpid()}"
        systemd = self.listen("\0" + name[1:])
        self.manager(NOTIFY_SOCKET=name).ready()
        self.assertEqual(self.heard(systemd), ["READY=1"])

    def test_reload_before_it_serves(self) -> None:
        """A daemon that does not serve yet, or ends, does not say that it reloads."""
        systemd = self.listen(self.path)
        manager = self.manager()
        manager.reloading()
        manager.reloaded()
        self.assertEqual(self.heard(systemd), [])
        manager.ready()
        manager.stopping()
        manager.reloading()
        manager.reloaded()
        self.assertEqual(self.heard(systemd), ["READY=1", "STOPPING=1"])

    def test_watchdog(self) -> None:
        """The watchdog is fed several times in its time, from when it serves until the end, by the clock."""
        systemd = self.listen(self.path)
        manager = self.manager(WATCHDOG_USEC="20000000", WATCHDOG_PID="7")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        manager.ready()
        manager.reloading()
        manager.reloaded()
        self.heard(systemd)
        for say in (manager.ready, manager.stopping):
            say()
            self.heard(systemd)
            self.clock.pump([20 / BEATS] * BEATS)
            self.assertEqual(self.heard(systemd), ["WATCHDOG=1"] * BEATS)
        manager.close()
        self.clock.advance(20)
        self.assertEqual(self.heard(systemd), [])

    def test_watchdog_of_another(self) -> None:
        """A watchdog of another process, or one with no time, is not fed."""
        systemd = self.listen(self.path)
        for more in ({"WATCHDOG_PID": "8"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}):
            self.manager(**{"WATCHDOG_USEC": "1000000", **more}).ready()
            self.assertEqual(self.clock.getDelayedCalls(), [], more)
        self.assertEqual(set(self.heard(systemd)), {"READY=1"})

    def test_nobody(self) -> None:
        """Without ``NOTIFY_SOCKET`` nobody is told, and nothing is said of that."""
        with self.assertNoLogs(LOG):
            manager = self.manager(NOTIFY_SOCKET="", WATCHDOG_USEC="1000000")
            for say in (manager.ready, manager.reloading, manager.stopping):
                say()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unreachable(self) -> None:
        """An address that can't be sent to is one line of the log, however long it lasts."""
        for address, why in (
            (f"{self.path}-not-there", "No such file"),
            ("vsock:2:1234", "not a path"),
            ("/" * 200, "too long"),
        ):
            with self.assertLogs(LOG, logging.WARNING) as logged:
                manager = self.manager(NOTIFY_SOCKET=address, WATCHDOG_USEC="1000000")
                manager.ready()
                self.clock.pump([1.0] * 200)
                manager.stopping()
            self.assertEqual(len(logged.output), 1)
            self.assertIn("can't notify systemd", logged.output[0])
            self.assertIn(why, logged.output[0])
            manager.close()

    def test_watchdog_is_fed_after_an_error(self) -> None:
        """A beat that fails is dropped with one line of the log, and the next beats arrive."""
        systemd = self.listen(self.path)
        manager = self.manager(WATCHDOG_USEC="20000000")
        manager.ready()
        self.clock.advance(20 / BEATS)
        os.rename(self.path, f"{self.path}-away")
        with self.assertLogs(LOG) as logged:
            self.clock.advance(20 / BEATS)
            os.rename(f"{self.path}-away", self.path)
            self.heard(systemd)
            self.clock.pump([20 / BEATS] * BEATS)
        self.assertEqual(self.heard(systemd), ["WATCHDOG=1"] * BEATS)
        lost, again = logged.output
        self.assertIn(f"can't notify systemd at {self.path}: No such file", lost)
        self.assertIn("notifications reach systemd again", again)

    def test_state_is_sent_after_an_error(self) -> None:
        """The newest state reaches systemd once it can be sent, with a watchdog and without one."""
        for environment in ({}, {"WATCHDOG_USEC": "20000000"}, {"WATCHDOG_USEC": "1000000"}):
            manager = self.manager(**environment)
            with self.assertLogs(LOG):
                for say in (manager.ready, manager.reloading, manager.reloaded):
                    say()
                self.clock.pump([FAILED_RETRY] * 3)
                systemd = self.listen(self.path)
                self.clock.advance(FAILED_RETRY)
            said = self.heard(systemd)
            self.assertEqual(said[0], "READY=1", environment)
            self.assertLessEqual(set(said[1:]), {"WATCHDOG=1"}, environment)
            manager.close()
            systemd.close()
            os.unlink(self.path)

    def test_no_room(self) -> None:
        """What systemd has no room for is sent once it has, in order and without a queue of beats."""
        systemd = self.listen(self.path)
        filling = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(filling.close)
        filling.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                filling.sendto(b"", self.path)
        manager = self.manager(WATCHDOG_USEC="1000000")
        manager.ready()
        self.clock.pump([RETRY] * 20)
        manager.stopping()
        self.heard(systemd)
        self.clock.advance(RETRY)
        self.assertEqual([said for said in self.heard(systemd) if said], ["READY=1", "STOPPING=1"])


class Systemd(DatagramProtocol):
    """Systemd's end of the socket."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._wanted: dict[str, Deferred[None]] = {}

    def heard(self, beginning: str) -> Deferred[None]:
        """Fires at the next that begins so."""
        self._wanted[beginning] = wanted = Deferred()
        return wanted

    def datagramReceived(self, data: bytes, address: object) -> None:
        self.said.append(data.decode())
        for beginning in [each for each in self._wanted if data.decode().startswith(each)]:
            self._wanted.pop(beginning).callback(None)


class ProgramTests(ProgramCase):
    """The bridge in a process of its own."""

    async def test_from_start_to_end(self) -> None:
        """Systemd hears of the bridge once it serves, at a reload, as long as it turns, and as it ends."""
        path: Path = scratch_folder(self) / "notify"
        systemd = Systemd()
        listening = reactor.listenUNIXDatagram(str(path), systemd)  # type: ignore[attr-defined]
        self.addCleanup(listening.stopListening)
        ready = systemd.heard("READY")
        config = self.file(f'[[pair]]\nname = "csc"\ncommand_port = 0\nreply_port = {self.free_port()}\n')
        program = self.twistd(
            *("-n", "mtmount-bridge", "--config", config, "--journal", "none"),
            more={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"},
        )
        await ready
        await program.line("serving commander csc")
        await systemd.heard("WATCHDOG")
        reloading, ready = systemd.heard("RELOADING=1\nMONOTONIC_USEC="), systemd.heard("READY")
        program.transport.signalProcess(signal.SIGHUP)
        await reloading
        await ready
        stopping = systemd.heard("STOPPING")
        await self.assert_ends(program)
        await stopping
        self.assertEqual(
            [said.partition("=")[0] for said in systemd.said if said != "WATCHDOG=1"],
            ["READY", "RELOADING", "READY", "STOPPING"],
        )
