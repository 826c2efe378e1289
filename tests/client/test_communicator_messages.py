"""Tests of `mtmount_twisted.client.communicator`: reading and writing messages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from mtmount_twisted.client.communicator import ClientServerPair
from mtmount_twisted.commands import AzimuthAxisMove, CameraCableWrapDriveReset, Enable
from mtmount_twisted.errors import BacklogError, LineError, NotConnectedError
from mtmount_twisted.net.pair import WRITE_OVERHEAD
from mtmount_twisted.testing import HOST
from tests.support.pairs import LOG, PairCase, done


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
        unread_by_it = waiting.unread
        self.assertEqual(unread_by_it.count(b"\r\n"), 3)
        self.read_number()
        self.far_end.settle()
        self.assertEqual(waiting.unread, unread_by_it)
        self.assertEqual(self.read_number(), 2)
        self.far_end.settle()
        self.assertEqual(waiting.unread, b"")
        self.assertEqual([self.read_number() for _ in range(5)], [3, 4, 5, 6, 7])

    def test_new_peer_while_paused(self) -> None:
        """A peer that connects while too much is unread has to wait, too; nothing is lost or mixed up."""
        self.start(max_unread=2)
        self.far_end.feed(done(1, 2))
        self.far_end.server.transport.abortConnection()
        self.assertTrue(self.far_end.connect_server())
        self.far_end.feed(done(3))
        self.assertIn(b"3", self.far_end.server.transport.other.unread)
        self.assertEqual([self.read_number(), self.read_number()], [1, 2])
        self.far_end.settle()
        self.assertEqual(self.read_number(), 3)

    def test_overlong_line(self) -> None:
        """A line over the limit ends the connection; what came before it is read first."""
        communicator = self.start(max_line_length=100)
        first, second = communicator.read(), communicator.read()
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.far_end.feed(done(1), b"x" * 101)
        self.successResultOf(first)
        reason = self.failureResultOf(second, ConnectionResetError)
        self.assertIn("a line of more than 100 bytes", str(reason.value))
        warned = [record.getMessage() for record in logged.records if record.levelno >= logging.WARNING]
        self.assertEqual(len(warned), 1, warned)
        self.assertIn("a line of more than 100 bytes", warned[0])
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


class EachTests(PairCase):
    """Reading until the end, through losses."""

    def follow(self, take: Callable[[Any], Any] | None = None) -> Deferred[None]:
        """Read each message; what came of it is noted."""
        self.seen: list[Any] = []
        run = self.communicator.each(take or self.note, self.seen.append, self.seen.append)
        return Deferred.fromCoroutine(run)

    def note(self, message: Any) -> None:
        """Note the number of a message."""
        self.seen.append(message.sequence_id)

    def test_through_losses(self) -> None:
        """Messages come in order whatever is lost between; each loss is told, and closing ends it."""
        self.start(connect=False)
        each = self.follow()
        for number in (1, 2):
            self.far_end.connect_server()
            self.far_end.feed(done(number))
            self.far_end.drop_server()
        self.assertEqual([self.seen[0], self.seen[2]], [1, 2])
        for loss in (self.seen[1], self.seen[3]):
            self.assertIsInstance(loss, ConnectionResetError)
        self.assertNoResult(each)
        self.closed()
        self.assertIsNone(self.successResultOf(each))

    def test_bad_lines(self) -> None:
        """A line that is no message is told, and the next is read."""
        self.start()
        self.follow()
        self.far_end.feed(done(1), b"bad\r\n", done(2))
        self.assertEqual((self.seen[0], self.seen[1].line, self.seen[2]), (1, b"bad", 2))

    def test_one_after_the_other(self) -> None:
        """The next message is taken when what was returned for the one before has ended."""
        taken: list[Deferred[None]] = []
        self.start()
        self.follow(lambda message: taken.append(Deferred()) or taken[-1])
        self.far_end.feed(done(1, 2))
        self.assertEqual(len(taken), 1)
        taken[0].callback(None)
        self.assertEqual(len(taken), 2)

    def test_what_goes_wrong_is_logged(self) -> None:
        """What fails, at once or later, is logged with the message, and the next is taken."""

        async def later(message: Any) -> None:
            raise ZeroDivisionError(message)

        for take in (lambda message: 1 / 0, later):
            self.start()
            each = self.follow(take)
            with self.assertLogs(LOG, logging.ERROR) as logged:
                self.far_end.feed(done(7), done(8))
            self.assertEqual(len(logged.records), 2)
            self.assertIn("sequence_id=7", logged.output[0])
            self.assertIn("ZeroDivisionError", logged.output[0])
            self.assertNoResult(each)

    def test_closed_meanwhile(self) -> None:
        """What is unread when the pair closes stays unread, which the log says."""
        self.start()
        each = self.follow(lambda message: self.communicator.close() and None)
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.far_end.feed(done(1, 2, 3))
        self.successResultOf(each)
        self.assertIn("closed with 2 unread lines", logged.output[-1])
        self.assertEqual(self.read_number(), 2)

    def test_cancel(self) -> None:
        """It can be cancelled while it waits for a peer, for a message, or for what takes it."""
        self.start(connect=False)
        never: list[Deferred[None]] = []
        each = [self.follow()]
        each[0].cancel()
        self.far_end.connect_server()
        each.append(self.follow())
        each[1].cancel()
        each.append(self.follow(lambda message: never.append(Deferred()) or never[-1]))
        self.far_end.feed(done(1, 2))
        each[2].cancel()
        for deferred in each:
            self.failureResultOf(deferred, CancelledError)
        self.assertEqual((len(never), self.read_number()), (1, 2))

    def test_answering(self) -> None:
        """Who answers takes messages while there is a way to answer; when nobody is left they are dropped."""
        self.start(connect=False)
        run = self.communicator.each(self.note, self.note, answering=True)
        self.seen: list[Any] = []
        each = Deferred.fromCoroutine(run)
        self.far_end.connect_server()
        self.far_end.feed(done(1, 2, 3))
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.far_end.drop_server()
        self.assertIn("dropped 3 unread lines", logged.output[0])
        self.far_end.connect_server()
        self.far_end.feed(done(4))
        self.assertEqual(self.seen, [])
        self.communicator.connect()
        self.far_end.feed(done(5))
        self.assertEqual(self.seen, [4, 5])
        self.far_end.stop_listening()
        self.far_end.drop_client()
        self.far_end.feed(done(6))
        self.far_end.start_listening()
        self.reactor.advance(1)
        self.assertEqual(self.seen, [4, 5, 6])
        self.communicator.close_client()
        self.closed()
        self.assertIsNone(self.successResultOf(each))

    def test_port_taken(self) -> None:
        """On a pair that can't listen it fails with the reason."""
        taken = self.start().server_port
        second: ClientServerPair[bytes] = ClientServerPair(
            "second", HOST, 1, HOST, taken, LOG, False, reactor=self.reactor
        )
        run = second.each(self.note, self.note)  # type: ignore[arg-type]
        self.failureResultOf(Deferred.fromCoroutine(run), OSError)


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
            write.addErrback(lambda reason: reason.trap(CancelledError) and None)
        self.far_end.start_reading()
        self.assertEqual(self.far_end.written(), commands)
        for write in writes:
            self.assertIsNone(self.successResultOf(write))

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
        """Too much written to a peer that does not read, in small or large writes: BacklogError, not sent."""
        command = Enable()
        size = len(command.encode())
        for many in (1, 100):
            communicator = self.start(max_unsent=1_000_000)
            self.far_end.stop_reading()
            waiting = 0
            while (write := communicator.write_many([command] * many)) is not None:
                if write.called and waiting:
                    break
                waiting += not write.called
            self.assertEqual(self.failureResultOf(write, BacklogError).value.limit, 1_000_000)
            each = many * size + WRITE_OVERHEAD
            self.assertLess(abs(waiting * each - 1_000_000), 2 * each)
            self.far_end.start_reading()
            self.assertIsNone(self.successResultOf(communicator.write(command)))

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
