"""A lost client of a port leaves no cycles: else only a full garbage collection, a long pause, frees it."""

from __future__ import annotations

import gc
import weakref

from tests.support.bridges import BridgeCase, command
from tests.support.commanders import MOVE

DESK, HALL = 0, 1


class LetGoTests(BridgeCase):
    """Clients that come and go while the collector does not run."""

    def setUp(self) -> None:
        super().setUp()
        self.start_all()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def assert_freed(self, port: int, *lines: bytes) -> None:
        """A client comes, sends these lines, and is gone; nothing refers to it."""
        before = set(self.service.bridge.clients)
        end = self.join(port)
        [name] = set(self.service.bridge.clients) - before
        client = weakref.ref(self.service.bridge.clients[name])
        for line in lines:
            end.say(line)
        end.transport.abortConnection()
        self.pass_time(1)
        # Nothing keeps a transport of Twisted's that is lost, and it forgets its protocol.
        end.transport.other.protocol = end.transport.other.event_group = None
        self.assertIsNone(client())

    def test_observer(self) -> None:
        """An observer."""
        self.assert_freed(HALL)

    def test_commander(self) -> None:
        """A commander, also one with commands that wait."""
        self.assert_freed(DESK)
        self.assert_freed(DESK, *[command(number, MOVE, 2, b"20") for number in range(200)])
