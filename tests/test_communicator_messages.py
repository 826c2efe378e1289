"""Tests of `mtmount_twisted.communicator`: reading and writing messages."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList

from mtmount_twisted.commands import AzimuthAxisMove, CameraCableWrapDriveReset, Enable
from mtmount_twisted.communicator import ClientServerPair
from mtmount_twisted.errors import BacklogError, LineError, NotConnectedError
from mtmount_twisted.protocol import MAX_WAITING_WRITES
from mtmount_twisted.testing import HOST

from .pairs import LOG, PairCase, done


class ReadTests(PairCase):
    """Reading, and what is not read."""

    def test_not_connected(self) -> None:
        """With no peer and nothing left, a read fails at once."""
        self.failureResultOf(self.start(connect=False).read(), NotConnectedError)

    def test_read_again_in_a_callback(self) -> None:
        """A callback that reads again and again gets all, in order, from one chunk or from many."""
        self.start()
        numbers: list[int] = []

        def take(message: Any) -> None:
            numbers.append(message.sequence_id)
            self.communicator.read().addCallbacks(take, lambda reason: reason.trap(ConnectionResetError))

        self.communicator.read().addCallback(take)
        self.far_end.feed(done(*range(1, 900)))
        for byte in done(900, 901):
            self.far_end.feed(bytes([byte]))
        self.far_end.drop_server()
        self.assertEqual(numbers, list(range(1, 902)))

    def test_close_in_a_read_callback(self) -> None:
        """Closing from inside a read keeps what came with it, and leaves no read waiting."""
        communicator = self.start()
        later: list[Deferred[Any]] = []

        def close(message: object) -> None:
            communicator.close()
            later.extend(communicator.read() for _ in range(3))

        communicator.read().addCallback(close)
        self.far_end.feed(done(1, 2, 3))
        self.assertEqual([self.successResultOf(read).sequence_id for read in later[:2]], [2, 3])
        self.failureResultOf(later[2], NotConnectedError)
        self.closed()

    def test_left_over_after_close(self) -> None:
        """What came before the close can still be read."""
        self.start()
        self.far_end.feed(done(1, 2))
        self.closed()
        self.assertEqual([self.read_number(), self.read_number()], [1, 2])
        self.failureResultOf(self.communicator.read(), RuntimeError)

    def test_backlog(self) -> None:
        """Reading from the socket pauses at the limit and goes on at half of it."""
        self.start(max_unread=4)
        waiting = self.far_end.server.transport.other
        for number in range(1, 8):
            self.far_end.feed(done(number))
        unread_by_it = bytes(waiting._incoming)
        self.assertEqual(unread_by_it.count(b"\r\n"), 3)
        self.read_number()
        self.far_end.settle()
        self.assertEqual(bytes(waiting._incoming), unread_by_it)
        self.assertEqual(self.read_number(), 2)
        self.far_end.settle()
        self.assertEqual(bytes(waiting._incoming), b"")
        self.assertEqual([self.read_number() for _ in range(5)], [3, 4, 5, 6, 7])

    def test_new_peer_while_paused(self) -> None:
        """A peer that connects while too much is unread has to wait, too; nothing is lost or mixed up."""
        self.start(max_unread=2)
        self.far_end.feed(done(1, 2))
        self.far_end.server.transport.abortConnection()
        self.assertTrue(self.far_end.connect_server())
        self.far_end.feed(done(3))
        self.assertIn(b"3", bytes(self.far_end.server.transport.other._incoming))
        self.assertEqual([self.read_number(), self.read_number()], [1, 2])
        self.far_end.settle()
        self.assertEqual(self.read_number(), 3)

    def test_overlong_line(self) -> None:
        """A line over the limit ends the connection; what came before it is read first."""
        communicator = self.start(max_line_length=100)
        first, second = communicator.read(), communicator.read()
        self.far_end.feed(done(1), b"x" * 101)
        self.successResultOf(first)
        reason = self.failureResultOf(second, ConnectionResetError)
        self.assertIn("a line of more than 100 bytes", str(reason.value))
        self.assertTrue(self.far_end.connect_server())

    def test_commands_side(self) -> None:
        """A mount's side reads commands, and fails a reply as no command."""
        communicator = self.start(read_replies=False)
        command = CameraCableWrapDriveReset(drive=1)
        self.far_end.feed(command, b"0\n1\r\n")
        self.assertEqual(self.successResultOf(communicator.read()), command)
        self.failureResultOf(communicator.read(), ValueError)

    def test_async_for_when_not_connected(self) -> None:
        """``async for`` over a pair that was never connected raises, and over a closed one ends."""
        communicator = self.start(connect=False)

        async def follow() -> list[object]:
            return [message async for message in communicator]

        self.failureResultOf(Deferred.fromCoroutine(follow()), RuntimeError)
        self.far_end.connect_server()
        self.far_end.feed(done(1))
        self.closed()
        self.assertEqual(len(self.successResultOf(Deferred.fromCoroutine(follow()))), 1)

    def test_async_for_goes_on_after_a_bad_line(self) -> None:
        """A bad line ends the loop with its error; a new loop goes on behind it."""
        communicator = self.start()
        seen: list[object] = []

        async def follow() -> None:
            async for message in communicator:
                seen.append(message)

        self.far_end.feed(done(1), b"bad\r\n", done(2))
        self.failureResultOf(Deferred.fromCoroutine(follow()), LineError)
        self.assertNoResult(Deferred.fromCoroutine(follow()).addErrback(lambda reason: None))
        self.assertEqual(len(seen), 2)


class WriteTests(PairCase):
    """Writing."""

    def test_not_connected(self) -> None:
        """A write with no client connection fails at once."""
        communicator = self.start(connect=False)
        self.far_end.connect_server()
        self.failureResultOf(communicator.write(Enable()), NotConnectedError)

    def test_what_can_not_be_encoded(self) -> None:
        """What is no message fails the write, and nothing is sent."""
        communicator = self.start()
        for content in (3, "text", b"1\n10\n1\n\r\n", None):
            self.failureResultOf(communicator.write(content), TypeError)  # type: ignore[arg-type]
        self.assertEqual(self.far_end.written_lines(), [])

    def test_writes_never_interleave(self) -> None:
        """Whatever waits or is cancelled, messages go out whole and in the order of the calls."""
        communicator = self.start()
        self.far_end.stop_reading()
        commands = [AzimuthAxisMove(position=number) for number in range(3000)]
        writes = [communicator.write(command) for command in commands]
        for write in writes[::7]:
            write.cancel()
            write.addErrback(lambda reason: reason.trap(CancelledError))
        self.far_end.start_reading()
        self.assertEqual(self.far_end.written(), commands)
        DeferredList([self.assertEnded(write) for write in writes])

    def assertEnded(self, deferred: Deferred[Any]) -> Deferred[Any]:
        """It has a result."""
        self.assertTrue(deferred.called)
        return deferred

    def test_write_many(self) -> None:
        """Many at once arrive in order, as one work; with one that can't be encoded, none is written."""
        communicator = self.start()
        commands = [AzimuthAxisMove(position=number) for number in range(5)]
        self.assertIsNone(self.successResultOf(communicator.write_many(iter(commands))))
        self.assertIsNone(self.successResultOf(communicator.write_many([])))
        self.assertEqual(self.far_end.written(), commands)
        self.failureResultOf(communicator.write_many([Enable(), 3]), TypeError)  # type: ignore[list-item]
        self.assertEqual(self.far_end.written(), [])
        communicator.close_client()
        self.failureResultOf(communicator.write_many(commands), NotConnectedError)

    def test_write_many_lines(self) -> None:
        """The base class takes lines, and refuses all if one of them would be two."""
        self.start(connect=False)
        pair: ClientServerPair[bytes] = ClientServerPair(
            "lines", HOST, self.communicator.server_port, HOST, 0, LOG, reactor=self.reactor
        )
        self.reactor.advance(0)
        self.failureResultOf(pair.write_many([b"a", b"b\r\nc"]), ValueError)
        self.successResultOf(pair.write_many([b"d\r", b"\ne"]))
        self.reactor.advance(0)
        lines = [self.failureResultOf(self.communicator.read(), LineError).value.line for _ in "de"]
        self.assertEqual(lines, [b"d\r", b"\ne"])

    def test_bound(self) -> None:
        """Too many writes to a peer that does not read: BacklogError, and not sent."""
        communicator = self.start()
        self.far_end.stop_reading()
        command = Enable()
        waiting = 0
        while (write := communicator.write(command)) is not None:
            if write.called and waiting:
                break
            waiting += not write.called
        self.assertEqual(self.failureResultOf(write, BacklogError).value.limit, waiting)
        self.assertEqual(waiting, MAX_WAITING_WRITES)

    def test_write_after_a_loss_and_back(self) -> None:
        """A new connection begins with room, whatever waited on the old one."""
        communicator = self.start()
        self.far_end.stop_reading()
        write = communicator.write(Enable())
        while write.called:
            write = communicator.write(Enable())
        self.far_end.client.transport.abortConnection()
        self.far_end.settle()
        self.failureResultOf(write, ConnectionResetError)
        self.reactor.advance(0.1)
        self.successResultOf(communicator.write(Enable()))
