"""`mtmount_twisted.bridge.service`: it begins and ends with nothing left behind."""

from __future__ import annotations

import logging

from twisted.application.service import IService
from zope.interface.verify import verifyObject

from mtmount_twisted.testing import HOST

from .bridges import LOG, BridgeCase, command


class ServiceTests(BridgeCase):
    """Starting and stopping."""

    def assert_nothing_left(self) -> None:
        """Only the far ends' own ports are there still, and no timer is."""
        self.assertLessEqual(set(self.reactor.ports), {self.commander.port, self.controller.port})
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_interface(self) -> None:
        """It is a service for ``twistd``."""
        self.assertTrue(verifyObject(IService, self.service))
        self.assertEqual(self.service.name, "mtmount-bridge")

    def test_describe(self) -> None:
        """One line for people tells where the commander is served."""
        self.start()
        described = self.service.describe()
        self.assertIn(f"{HOST}:{self.service.commander.server_port}", described)
        self.assertIn(f"{HOST}:{self.commander.port}", described)
        self.assertEqual(len(described.splitlines()), 1)

    def test_stop(self) -> None:
        """After a stop no port, connection or timer is left, and both far ends know."""
        self.start()
        self.send(command(1))
        self.stop()
        self.assert_nothing_left()
        for far_end in (self.commander, self.controller):
            self.assertFalse(far_end.client.is_connected)
            self.assertFalse(far_end.server.is_connected)

    def test_stop_without_start(self) -> None:
        """A service that was never started can be stopped."""
        self.stop()
        self.assert_nothing_left()

    def test_stop_at_once(self) -> None:
        """It can be stopped in the turn in which it was started, before anything is connected."""
        self.service.startService()
        self.stop()
        self.assert_nothing_left()

    def test_stop_twice(self) -> None:
        """A second stop, during the first or after it, ends as well."""
        self.start()
        first, second = self.service.stopService(), self.service.stopService()
        self.reactor.advance(0)
        self.successResultOf(first)
        self.successResultOf(second)
        self.stop()
        self.assert_nothing_left()

    def test_stop_while_retrying(self) -> None:
        """It can be stopped while it waits to try again to connect."""
        self.start(commander=False, controller=False)
        self.pass_time(3)
        self.stop()
        self.assert_nothing_left()

    def test_stop_while_connecting(self) -> None:
        """It can be stopped while an attempt is neither accepted nor refused."""
        self.reactor.silent_ports |= {self.commander.port, self.controller.port}
        self.service.startService()
        self.reactor.advance(0)
        self.stop()
        self.assert_nothing_left()

    def test_stop_while_nobody_reads(self) -> None:
        """It ends within 1.5 s though neither side reads, and tells in a few lines what it left."""
        self.start()
        self.controller.stop_reading()
        self.commander.stop_reading()
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.send(*[command(1, 10, 1, b"x" * 1000)] * 800)
            self.reply(*[b"5\n" + b"x" * 1000] * 800)
            self.stop()
        self.assert_nothing_left()
        self.assertLess(len(logged.records), 10)
        self.assertIn("lines unread", logged.output[-1])

    def test_start_again(self) -> None:
        """After a stop it can be started again, and relays."""
        self.start()
        self.stop()
        self.start()
        self.send(command(2))
        self.assertEqual(self.controller.written_lines(), [command(2)])
        self.stop()
        self.assert_nothing_left()
