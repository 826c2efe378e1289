"""A `BridgeService` in memory, between a commander and a controller that do as the test says."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.service import BridgeService
from mtmount_twisted.testing import HOST, FarEnd, MemoryReactor

LOG = logging.getLogger("tests.bridge")
STAMP = b"2020-02-27T14:48:27.469"


def command(sequence_id: int, code: int = 10, source: int = 1, *more: bytes) -> bytes:
    """The line of a command, whatever its code and source."""
    return b"\n".join([b"%d\n%d\n%d" % (sequence_id, code, source), STAMP, *more])


def done(sequence_id: int) -> bytes:
    """The line of a Done."""
    return b"2\n%d\n1\n%s" % (sequence_id, STAMP)


class BridgeCase(SynchronousTestCase):
    """A bridge; `commander` and `controller` are the far ends of its two pairs."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.commander = FarEnd(cast(Any, SimpleNamespace(reactor=self.reactor)))
        self.controller = FarEnd(cast(Any, SimpleNamespace(reactor=self.reactor)))
        self.service = BridgeService(
            ((HOST, 0), (HOST, self.commander.port)),
            ((HOST, self.controller.port), (HOST, 0)),
            LOG,
            self.reactor,
        )

    def start(self, commander: bool = True, controller: bool = True) -> None:
        """Start the service, and connect the far ends to it."""
        self.service.startService()
        self.commander.communicator = cast(Any, self.service.commander)
        self.controller.communicator = cast(Any, self.service.controller)
        self.reactor.advance(0)
        for far_end, wanted in ((self.commander, commander), (self.controller, controller)):
            if wanted:
                self.assertTrue(far_end.connect_server())
            else:
                far_end.stop_listening()
                far_end.drop_client()

    def stop(self) -> None:
        """Stop the service, and see that it has stopped before long."""
        stopped = self.service.stopService()
        self.reactor.advance(0)
        self.reactor.advance(1.5)
        self.successResultOf(stopped)

    def send(self, *lines: bytes) -> None:
        """The commander sends lines."""
        self.commander.feed(*(line + b"\r\n" for line in lines))

    def reply(self, *lines: bytes) -> None:
        """The controller sends lines."""
        self.controller.feed(*(line + b"\r\n" for line in lines))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in steps short enough for all that repeats."""
        for _ in range(round(seconds * 20)):
            self.reactor.advance(0.05)
