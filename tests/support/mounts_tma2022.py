"""A tma2022 `Mount` in memory, and the mount's side of its connection."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.client.mount import Mount, SentCommand
from mtmount_twisted.dialects.tma2022 import commands, replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.net.duplex import SETTLE_TIME
from mtmount_twisted.testing import HOST, MemoryReactor
from tests.support.pairs import LOG


class MountCase(SynchronousTestCase):
    """A `Mount`, and the mount's side of the connection in the hands of the test."""

    def setUp(self, **options: Any) -> None:
        self.reactor = MemoryReactor()
        shared: dict[str, Any] = {"reactor": self.reactor, "dialect": DIALECT}
        self.far = DuplexCommunicator("mount", HOST, 0, LOG, listen=True, **shared)
        self.turn()
        self.near = DuplexCommunicator("csc", HOST, self.far.server_port, LOG, **shared)
        self.mount = Mount(self.near, **options)
        self.turn(SETTLE_TIME)
        self.addCleanup(self.close)

    def close(self) -> None:
        """Close both sides, and see that nothing is left."""
        waits = [self.mount.close(), self.far.close()]
        self.turn()
        self.turn(1.0)
        for wait in waits:
            self.successResultOf(wait)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and the reactor turn."""
        for _ in range(3):
            self.reactor.advance(0)
        self.reactor.advance(seconds)
        for _ in range(3):
            self.reactor.advance(0)

    def received(self) -> list[Any]:
        """The commands that the mount has received since the last look."""
        found: list[Any] = []
        self.turn()
        while True:
            read = self.far.read()
            if not read.called:
                self.turn()
            if not read.called:
                read.addErrback(lambda reason: None)
                read.cancel()
                return found
            found.append(self.successResultOf(read))

    def send(self, command: commands.Command | None = None) -> SentCommand:
        """Send a command, which arrives."""
        sent = self.mount.send(commands.AzimuthMove(position=10) if command is None else command)
        self.assertEqual(self.received(), [sent.command])
        return sent

    def reply(self, *messages: replies.Reply | bytes) -> None:
        """The mount replies."""
        for message in messages:
            data = message if isinstance(message, bytes) else message.encode()
            writer: Any = self.far.writer
            writer.transport.write(data)
        self.turn()

    def ack(self, sent: SentCommand, timeout: float | None = 1.0) -> None:
        """The mount acknowledges."""
        self.reply(replies.CmdAcknowledgedReply(sequence_id=sent.command.sequence_id, timeout=timeout))

    def succeed(self, sent: SentCommand) -> None:
        """The mount is done."""
        self.reply(replies.CmdSucceededReply(sequence_id=sent.command.sequence_id))

    def ask(self, commander: Source = Source.CSC) -> SentCommand:
        """Ask for command and get it."""
        sent = self.mount.send(commands.AskForCommand(commander=commander))
        self.ack(sent)
        self.succeed(sent)
        self.successResultOf(sent.done)
        return sent
