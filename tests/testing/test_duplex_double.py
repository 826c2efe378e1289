"""Tests of the double of a tma2022 mount: one set of test bodies, on the double and on real sockets.

What holds in memory and not on sockets, or the other way round, would make the double a trap.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredQueue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.client.mount import Mount
from mtmount_twisted.dialects.tma2022 import commands, replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.errors import LineError, PairClosedError
from mtmount_twisted.net import protocol
from mtmount_twisted.testing import HOST, DuplexFarEnd, MemoryReactor, connected_duplex
from tests.support.duplex_wires import MemoryDuplexWire, SocketDuplexWire
from tests.support.pairs import LOG


def done(*numbers: int) -> bytes:
    """The ends of commands."""
    return b"".join(replies.CmdSucceededReply(sequence_id=number).encode() for number in numbers)


class DuplexPromisesMixin:
    """What a user may rely on, wherever it runs."""

    timeout = 20
    make_wire: Any

    async def wire(self: Any, **options: Any) -> Any:
        """A communicator that is connected, and the mount that it is connected to."""
        self.changes: DeferredQueue[tuple[bool, bool]] = DeferredQueue()
        wire = self.make_wire(connect_callback=self.changed, **options)
        await wire.started()
        self.addCleanup(lambda: Deferred.fromCoroutine(wire.stop()))
        first, second = await self.changes.get(), await self.changes.get()
        self.assertEqual((sum(first), second), (1, (True, True)))
        return wire

    def changed(self, communicator: DuplexCommunicator) -> None:
        """Note each call of ``connect_callback``, and what it saw."""
        self.changes.put((communicator.client_connected, communicator.server_connected))

    async def test_messages_go_both_ways(self: Any) -> None:
        """A command arrives at the mount, and a reply is read, on the one connection."""
        wire = await self.wire()
        command, reply = commands.AzimuthMove(sequence_id=3, position=1.5), replies.CmdSucceededReply
        self.assertIsNone(await wire.communicator.write(command))
        self.assertEqual(await wire.written(), command)
        wire.feed(done(3))
        self.assertEqual(await wire.communicator.read(), reply(sequence_id=3))

    async def test_reads_are_served_in_order(self: Any) -> None:
        """Several reads may wait; one that is cancelled takes no message, and none is lost."""
        wire = await self.wire()
        reads = [wire.communicator.read() for _ in range(4)]
        reads[1].cancel()
        await self.assertFailure(reads.pop(1), CancelledError)
        wire.feed(done(1, 2, 3)[:-5])
        wire.feed(done(3)[-5:] + done(4))
        reads.append(wire.communicator.read())
        self.assertEqual([(await read).sequence_id for read in reads], [1, 2, 3, 4])

    async def test_bad_line_fails_one_read(self: Any) -> None:
        """A line that is no reply fails one read, which holds the line; the next read goes on."""
        wire = await self.wire()
        wire.feed(b"no reply\r\n" + done(1))
        error = await self.assertFailure(wire.communicator.read(), LineError)
        self.assertEqual(error.line, b"no reply")
        self.assertEqual((await wire.communicator.read()).sequence_id, 1)

    async def test_loss(self: Any) -> None:
        """Messages before a loss are read, the other reads fail, and the client connects again by itself."""
        wire = await self.wire()
        reads = [wire.communicator.read(), wire.communicator.read()]
        wire.feed(done(1) + b"half")
        wire.drop()
        self.assertEqual((await reads[0]).sequence_id, 1)
        await self.assertFailure(reads[1], ConnectionResetError)
        seen = [await self.changes.get(), await self.changes.get()]
        self.assertEqual((sum(seen[0]), seen[1]), (1, (False, False)))
        await self.assertFailure(wire.communicator.read(), RuntimeError)
        await self.assertFailure(wire.communicator.write(commands.AzimuthStop()), RuntimeError)
        await wire.until(wire.communicator.wait_connected())
        wire.feed(done(7))
        self.assertEqual((await wire.communicator.read()).sequence_id, 7)
        await wire.communicator.write(commands.AzimuthStop(sequence_id=8))
        self.assertEqual((await wire.written()).sequence_id, 8)

    async def test_second_client(self: Any) -> None:
        """The mount closes a second connection without a byte; the first is not disturbed."""
        wire = await self.wire()
        self.assertEqual(await wire.second_client(), b"")
        wire.feed(done(5))
        self.assertEqual((await wire.communicator.read()).sequence_id, 5)
        self.assertEqual(self.changes.pending, [])

    def fill(self: Any, wire: Any) -> list[Deferred[None]]:
        """Write more than any system keeps, to a mount that does not read: the last of them wait."""
        wire.stop_reading()
        command = commands.ApplySettingsSet(settings="x" * 60_000)
        writes = [wire.communicator.write(command) for _ in range(250)]
        self.assertIsNone(self.successResultOf(writes[0]))
        self.assertFalse(writes[-1].called)
        return writes

    async def assert_all_fail(self: Any, writes: list[Deferred[None]], error: type[Exception]) -> None:
        """The writes that waited fail with this error, the last of them among them."""
        outcomes = await DeferredList(writes, consumeErrors=True)
        self.assertEqual({reason.check(error) for succeeded, reason in outcomes if not succeeded}, {error})
        self.assertFalse(outcomes[-1][0])

    async def test_mount_that_does_not_read(self: Any) -> None:
        """A write waits while the mount does not read; replies go on; all arrives, in order."""
        wire = await self.wire()
        writes = self.fill(wire)
        wire.feed(done(1))
        self.assertEqual((await wire.communicator.read()).sequence_id, 1)
        self.assertFalse(writes[-1].called)
        writes.append(wire.communicator.write(commands.AzimuthStop(sequence_id=9)))
        wire.start_reading()
        for write in writes:
            self.assertIsNone(await write)
        for _ in writes[1:]:
            self.assertEqual(len((await wire.written()).settings), 60_000)
        self.assertEqual((await wire.written()).sequence_id, 9)

    async def test_loss_while_writing(self: Any) -> None:
        """A write that waits fails when the connection is lost."""
        wire = await self.wire()
        writes = self.fill(wire)
        wire.abort()
        await self.assert_all_fail(writes, ConnectionResetError)

    async def test_close_against_a_mount_that_does_not_read(self: Any) -> None:
        """Closing ends all the same, and the write that waits fails."""
        self.patch(protocol, "CLOSE_TIMEOUT", 0.01)
        wire = await self.wire()
        writes = self.fill(wire)
        closed = wire.communicator.close()
        await self.assert_all_fail(writes, ConnectionAbortedError)
        self.assertIsNone(await wire.until(closed))

    async def test_close(self: Any) -> None:
        """What was written arrives, and every Deferred still out fails."""
        wire = await self.wire()
        read = wire.communicator.read()
        wire.communicator.write(commands.AzimuthStop(sequence_id=4))
        closed = wire.communicator.close()
        await self.assertFailure(read, ConnectionAbortedError)
        self.assertIsNone(await wire.until(closed))
        self.assertEqual((await wire.written()).sequence_id, 4)
        await self.assertFailure(wire.communicator.connect(), PairClosedError)

    async def test_mount(self: Any) -> None:
        """A `Mount` on it asks for command, and sees a reply and the loss of command."""
        wire = await self.wire()
        mount = Mount(wire.communicator)
        self.addCleanup(lambda: wire.until(mount.close()))
        lost: Deferred[Any] = Deferred()
        mount.subscribe(replies.CommanderReply, lost.callback)
        sent = mount.send(commands.AskForCommand())
        command = await wire.written()
        self.assertEqual(command, sent.command)
        wire.feed(replies.CmdAcknowledgedReply(sequence_id=command.sequence_id, timeout=1.0).encode())
        self.assertEqual(await sent.acked, 1.0)
        wire.feed(done(command.sequence_id))
        self.assertIsNone(await sent.done)
        self.assertTrue(mount.has_command)
        self.assertIsInstance(await wire.written(), commands.Heartbeat)
        wire.feed(replies.CommanderReply(actual_commander=Source.HHD).encode())
        self.assertEqual((await lost).actual_commander, Source.HHD)
        self.assertFalse(mount.has_command)


class InMemoryTests(DuplexPromisesMixin, TestCase):
    """The promises on the double."""

    make_wire = MemoryDuplexWire


class OnSocketsTests(DuplexPromisesMixin, TestCase):
    """The same promises on real sockets."""

    make_wire = SocketDuplexWire


class DuplexFarEndTests(SynchronousTestCase):
    """What the double has that sockets do not."""

    def test_program_that_connects_itself(self) -> None:
        """A program under test makes its own communicator, on the reactor and the port of the double."""
        reactor = MemoryReactor()
        far_end = DuplexFarEnd(reactor)
        communicator = DuplexCommunicator(
            "csc", HOST, far_end.port, LOG, dialect=DIALECT, reactor=far_end.reactor
        )
        self.assertTrue(far_end.accept_client())
        communicator.write(commands.AzimuthStop(sequence_id=1))
        self.assertEqual(far_end.written(), [commands.AzimuthStop(sequence_id=1)])
        closed = communicator.close()
        reactor.advance(0)
        self.successResultOf(closed)

    def test_written_is_what_is_new(self) -> None:
        """Each call gives what came since the last one, as commands or as lines."""
        communicator, far_end = connected_duplex(log=LOG)
        first, second = (commands.AzimuthStop(sequence_id=number) for number in (1, 2))
        communicator.write(first)
        self.assertEqual(far_end.written(), [first])
        communicator.write(second)
        self.assertEqual([line + b"\r\n" for line in far_end.written_lines()], [second.encode()])
        self.assertEqual(far_end.written(), [])

    def test_feed_takes_messages_and_bytes(self) -> None:
        """Replies, lines and parts of lines are read as one stream."""
        communicator, far_end = connected_duplex(log=LOG)
        reply = replies.CmdSucceededReply(sequence_id=1)
        data = reply.encode()
        far_end.feed(reply, data[:5])
        far_end.feed(data[5:])
        read = [communicator.read(), communicator.read()]
        self.assertEqual([self.successResultOf(deferred) for deferred in read], [reply, reply])

    def test_listening_again(self) -> None:
        """A mount that is away for a while is found again, when the next attempt is due."""
        communicator, far_end = connected_duplex(log=LOG)
        far_end.stop_listening()
        self.assertTrue(communicator.connected)
        far_end.drop()
        far_end.reactor.advance(5)
        self.assertEqual((far_end.accept_client(), communicator.connected), (False, False))
        far_end.start_listening()
        far_end.reactor.advance(5)
        self.assertTrue(far_end.accept_client())
        self.assertTrue(communicator.connected)

    def test_other_dialect(self) -> None:
        """It may also be a ``[[port]]`` of a bridge before a tma2020 mount."""
        from mtmount_twisted.commands import Enable
        from mtmount_twisted.dialects.tma2020.dialect import DIALECT as TMA2020

        communicator, far_end = connected_duplex(dialect=TMA2020, log=LOG)
        command = Enable()
        communicator.write(command)
        self.assertEqual(far_end.written(), [command])
