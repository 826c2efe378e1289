"""A communicator in memory to test, and a log that says nothing."""

from __future__ import annotations

import logging
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.replies import DoneReply
from mtmount_twisted.testing import FarEnd, connected_pair

LOG = logging.getLogger("tests.quiet")
LOG.addHandler(logging.NullHandler())
LOG.propagate = False


def done(*numbers: int) -> bytes:
    """The bytes of a Done for each of these sequence numbers."""
    return b"".join(DoneReply(sequence_id=number).encode() for number in numbers)


class PairCase(SynchronousTestCase):
    """A pair in memory."""

    communicator: Communicator
    far_end: FarEnd

    def start(self, **options: Any) -> Communicator:
        """A communicator and its far end, connected unless the options say otherwise."""
        self.calls: list[tuple[bool, bool]] = []
        self.connects: list[Deferred[None]] = []
        options.setdefault("connect_callback", self.changed)
        self.communicator, self.far_end = connected_pair(log=LOG, **options)
        self.reactor = self.far_end.reactor
        return self.communicator

    def changed(self, communicator: Communicator) -> None:
        """Note a call of ``connect_callback``."""
        self.calls.append((communicator.client_connected, communicator.server_connected))

    def connect(self) -> None:
        """Begin to connect, and note the Deferred."""
        self.connects.append(self.communicator.connect())

    def closed(self) -> None:
        """Close, and see that nothing is left."""
        closed = self.communicator.close()
        self.reactor.advance(0)
        self.reactor.advance(2)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertNotIn(self.communicator.server_port, self.reactor.ports)

    def read_number(self) -> int:
        """The sequence number of the next message, which is there."""
        message: Any = self.successResultOf(self.communicator.read())
        return int(message.sequence_id)
