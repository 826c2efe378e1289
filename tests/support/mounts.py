"""A `Mount` in memory, and the replies of its far end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.client.mount import Mount, SentCommand
from mtmount_twisted.commands import Command, Enable
from mtmount_twisted.errors import CommandError
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply
from mtmount_twisted.testing import connected_pair

from .pairs import LOG


class MountCase(SynchronousTestCase):
    """A mount in memory."""

    def setUp(self) -> None:
        self.start()

    def start(self, connect: bool = True, **options: Any) -> None:
        """Be connected, unless the test sees to that."""
        self.communicator, self.far_end = connected_pair(log=LOG, connect=connect)
        self.clock = self.far_end.reactor
        self.mount = Mount(self.communicator, **options)

    def send(self, command: Command | None = None) -> SentCommand:
        """Send a command, which arrives as it is."""
        command = Enable() if command is None else command
        sent = self.mount.send(command)
        self.assertEqual(self.far_end.written(), [command])
        self.assertEqual(self.mount.in_flight, (sent,))
        return sent

    def ack(self, sent: SentCommand, milliseconds: int = 0) -> None:
        """The mount accepts the command."""
        self.far_end.feed(AckReply(sequence_id=sent.command.sequence_id, timeout_ms=milliseconds))

    def refuse(self, sent: SentCommand, explanation: str) -> None:
        """The mount says NoAck."""
        self.far_end.feed(NoAckReply(sequence_id=sent.command.sequence_id, explanation=explanation))

    def done(self, sent: SentCommand) -> None:
        """The mount says Done."""
        self.far_end.feed(DoneReply(sequence_id=sent.command.sequence_id))

    def assert_nothing_left(self) -> None:
        """No command is in flight and no timer runs."""
        self.far_end.settle()
        self.assertEqual((self.mount.in_flight, self.clock.getDelayedCalls()), ((), []))

    def assert_ended(
        self, sent: SentCommand, acked: Deferred[float], done: Deferred[None], error: type[CommandError]
    ) -> str:
        """Both Deferreds failed with this error, and so does one asked for now: its explanation."""
        explanations = set()
        for deferred in (acked, done, sent.acked, sent.done):
            reason = self.failureResultOf(deferred, error).value
            self.assertIs(reason.command, sent.command)
            explanations.add(reason.explanation)
        self.assertTrue(sent.ended)
        self.assert_nothing_left()
        [explanation] = explanations
        return explanation
