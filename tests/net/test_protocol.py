"""Tests of `mtmount_twisted.net.protocol`: bytes and lines, limits, and a peer that does not read."""

from __future__ import annotations

import logging
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.errors import LineTooLongError, UnfinishedLineError
from mtmount_twisted.interfaces import ILineReaderOwner, ILineWriterOwner
from mtmount_twisted.net.protocol import (
    CLOSE_TIMEOUT,
    LineReader,
    LineWriter,
    SkippingReader,
)
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.net.send_buffer import SendBuffer
from mtmount_twisted.net.turns import LEAST, Turns


@implementer(ILineReaderOwner, ILineWriterOwner)
class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.events: list[str] = []
        self.reason: Any = None

    def reader_connected(self, reader: Any) -> None:
        self.events.append("connected")

    def lines_received(self, lines: list[bytes]) -> None:
        self.lines += lines

    def reader_lost(self, reader: Any, reason: Failure) -> None:
        self.events.append("lost")
        self.reason = reason.value

    writer_connected, writer_lost = reader_connected, reader_lost

    def writer_heard(self, writer: Any, data: bytes) -> bool:
        return False


class LineReaderTests(SynchronousTestCase):
    """Bytes in, lines out."""

    def receive(self, *chunks: bytes, max_length: int = 100) -> LineReader:
        """A reader that has received these chunks."""
        self.owner = Owner()
        self.transport = StringTransport()
        reader = LineReader(self.owner, TERMINATOR, max_length)
        reader.makeConnection(self.transport)
        for chunk in chunks:
            reader.dataReceived(chunk)
        return reader

    STREAM = b"a\nb\r\n\r\nlong line\r\r\n\n\r\n\r\rx\r\n"
    LINES = (b"a\nb", b"", b"long line\r", b"\n", b"\r\rx")

    def test_whole(self) -> None:
        """Only CR LF ends a line; CR or LF alone is part of it."""
        self.receive(self.STREAM)
        self.assertEqual(tuple(self.owner.lines), self.LINES)

    def test_byte_by_byte(self) -> None:
        """A trickle of single bytes gives the same lines."""
        self.receive(*(self.STREAM[i : i + 1] for i in range(len(self.STREAM))))
        self.assertEqual(tuple(self.owner.lines), self.LINES)

    def test_every_two_splits(self) -> None:
        """Wherever a stream is cut in two or three, also between CR and LF, the lines are the same."""
        end = len(self.STREAM)
        for i in range(end + 1):
            for j in range(i, end + 1):
                self.receive(self.STREAM[:i], self.STREAM[i:j], self.STREAM[j:])
                self.assertEqual(tuple(self.owner.lines), self.LINES, (i, j))

    def test_lines_come_a_chunk_at_a_time(self) -> None:
        """The owner is called once for a chunk, and not for one that ends no line."""
        calls: list[list[bytes]] = []
        reader = self.receive()
        self.owner.lines_received = calls.append  # type: ignore[method-assign]
        reader.dataReceived(b"a\r\nb\r\nc")
        reader.dataReceived(b"d")
        reader.dataReceived(b"\r\n")
        self.assertEqual(calls, [[b"a", b"b"], [b"cd"]])

    def test_longest(self) -> None:
        """A line of exactly the limit passes, however it is cut."""
        data = b"x" * 10 + b"\r\n"
        for i in range(len(data) + 1):
            self.receive(data, data[:i], data[i:], max_length=10)
            self.assertEqual((self.owner.lines, self.transport.disconnecting), ([b"x" * 10] * 2, False), i)

    def test_overlong(self) -> None:
        """One byte more ends the connection; lines before it are kept, those behind it are not."""
        for line in (b"x" * 11, b"x" * 10 + b"\r", b"x" * 500):
            data = b"before\r\n" + line + b"\r\nbehind\r\n"
            for i in range(len(data) + 1):
                reader = self.receive(data[:i], data[i:], max_length=10)
                self.assertEqual(
                    (self.owner.lines, self.transport.disconnected), ([b"before"], True), (line, i)
                )
                reader.connectionLost(Failure(ConnectionDone()))
                self.assertIsInstance(self.owner.reason, LineTooLongError)
                self.assertEqual(self.owner.reason.limit, 10)

    def test_overlong_byte_by_byte(self) -> None:
        """A trickle is cut off as soon as it is too long: at the byte that can't be half a terminator."""
        reader = self.receive(max_length=3)
        for byte, cut_off in ((b"x", False), (b"x", False), (b"x", False), (b"\r", False), (b"\r", True)):
            reader.dataReceived(byte)
            self.assertIs(self.transport.disconnecting, cut_off)

    def test_unfinished_line_is_bounded(self) -> None:
        """What comes behind an overlong line is not kept."""
        reader = self.receive(b"x" * 11, max_length=10)
        for _ in range(10):
            reader.dataReceived(b"x" * 1000)
        self.assertEqual(reader.unfinished, b"")

    def wait_for_turns(self, seconds: float = 1.0) -> tuple[Clock, LineReader]:
        """A reader that has turns of four bytes, so long apart."""
        clock = Clock()
        reader = self.receive()
        reader.take_turns(Turns(clock, LEAST, 4, seconds))
        return clock, reader

    def test_turns(self) -> None:
        """A peer without rights is read a slice in a turn, and nothing is received while something waits."""
        clock, reader = self.wait_for_turns()
        reader.dataReceived(b"a\r\nbc\r\ndef")
        self.assertEqual((self.owner.lines, self.transport.producerState), ([b"a"], "paused"))
        clock.advance(1)
        self.assertEqual((self.owner.lines, self.transport.producerState), ([b"a", b"bc"], "paused"))
        clock.advance(1)
        self.assertEqual(self.transport.producerState, "producing")
        clock.advance(1)
        reader.dataReceived(b"\r\n")
        self.assertEqual(self.owner.lines, [b"a", b"bc", b"def"])
        self.assertEqual(self.transport.producerState, "producing")

    def test_cost_of_a_line(self) -> None:
        """A line counts as its cost, if that is more than its bytes: the next slice waits for more turns."""
        clock, reader = self.wait_for_turns()
        reader.take_turns(Turns(clock, LEAST, 4, 1.0), 3 * LEAST)
        reader.dataReceived(b"a\r\nbc\r\n")
        seen = []
        for _ in range(5):
            seen.append(len(self.owner.lines))
            clock.advance(1)
        self.assertEqual(seen, [1, 1, 1, 2, 2])

    def test_turns_end_with_rights(self) -> None:
        """Once it has rights, what waits is read at once and in its order, and so is all that comes."""
        clock, reader = self.wait_for_turns()
        reader.dataReceived(b"a\r\nbc\r\nd")
        reader.read_freely()
        self.assertEqual((self.owner.lines, self.transport.producerState), ([b"a", b"bc"], "producing"))
        reader.dataReceived(b"\r\n" + b"ef\r\n" * 3)
        self.assertEqual(self.owner.lines, [b"a", b"bc", b"d", *[b"ef"] * 3])
        clock.advance(1)
        self.assertEqual((len(self.owner.lines), clock.getDelayedCalls()), (6, []))

    def test_dismissed(self) -> None:
        """Of one that is dismissed nothing is read, neither what waits for a turn nor what still comes."""
        clock, reader = self.wait_for_turns()
        reader.limit_unfinished(clock, 5)
        reader.dataReceived(b"a\r\nbc\r\nd")
        reader.read_no_more()
        self.assertEqual(self.transport.producerState, "producing", "the end can be received")
        reader.dataReceived(b"e\r\nf")
        clock.pump([1] * 10)
        self.assertEqual((self.owner.lines, self.transport.disconnecting), ([b"a"], False))

    def test_gone_while_it_waits(self) -> None:
        """What a peer said that is gone is not read later."""
        clock, reader = self.wait_for_turns()
        reader.dataReceived(b"a\r\nbc\r\n")
        reader.connectionLost(Failure(ConnectionDone()))
        clock.pump([1] * 5)
        self.assertEqual((self.owner.lines, clock.getDelayedCalls()), ([b"a"], []))

    def test_waiting_is_not_its_fault(self) -> None:
        """The time for a line is not up while its end waits for a turn; after that it is, as always."""
        clock, reader = self.wait_for_turns(seconds=4)
        reader.limit_unfinished(clock, 10)
        reader.dataReceived(b"12345678901234\r\nrest")
        clock.pump([4] * 4)
        self.assertEqual((self.owner.lines, self.transport.disconnecting), ([b"12345678901234"], False))
        clock.pump([4] * 8)
        self.assertTrue(self.transport.disconnecting)

    def test_fault_in_a_turn(self) -> None:
        """An error of ours ends the connection whose turn it is, with a traceback, and no other one."""
        clock, reader = self.wait_for_turns()
        reader.dataReceived(b"a\r\nbc\r\nd")
        faulty, owner = self.transport, self.owner
        other = self.receive()
        other.take_turns(Turns(clock, LEAST, 4, 1.0))
        owner.lines_received = lambda lines: 1 / 0  # type: ignore[method-assign]
        clock.advance(1)
        other.dataReceived(b"x\r\n")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(faulty.disconnecting)
        self.assertEqual((self.owner.lines, self.transport.disconnecting), ([b"x"], False))

    def test_a_line_that_is_not_ended(self) -> None:
        """With a limit on it, a line that trickles is cut off when its time from the first byte is up."""
        clock = Clock()
        reader = self.receive(max_length=1000)
        reader.limit_unfinished(clock, 10)
        reader.dataReceived(b"whole\r\n")
        clock.advance(60)
        for _ in range(9):
            reader.dataReceived(b"x")
            clock.advance(1)
        reader.dataReceived(b"\r\nnext")  # has 10 s of its own
        clock.advance(9)
        self.assertEqual((self.owner.lines, self.transport.disconnecting), ([b"whole", b"x" * 9], False))
        reader.dataReceived(b" one")
        clock.advance(1)
        self.assertTrue(self.transport.disconnecting)
        reader.dataReceived(b"\r\nbehind\r\n")
        reader.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(self.owner.lines), 2)
        self.assertIsInstance(self.owner.reason, UnfinishedLineError)
        self.assertIn("10 s; it begins with b'next one'", str(self.owner.reason))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_an_idle_peer_is_kept(self) -> None:
        """The limit is on lines that are begun: who says nothing, or ends its lines, is left alone."""
        clock = Clock()
        reader = self.receive()
        reader.limit_unfinished(clock, 10)
        for _ in range(5):
            reader.dataReceived(b"a")
            clock.advance(9)
            reader.dataReceived(b"b\r\n")
            clock.advance(9)
        self.assertEqual((self.owner.lines, self.transport.disconnecting), ([b"ab"] * 5, False))
        reader.dataReceived(b"half")
        reader.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_lost(self) -> None:
        """The owner is told once that it came and once that it went, and why."""
        reader = self.receive(b"half")
        reason = ConnectionDone()
        reader.connectionLost(Failure(reason))
        self.assertEqual((self.owner.events, self.owner.lines), (["connected", "lost"], []))
        self.assertIs(self.owner.reason, reason)


class SkippingReaderTests(SynchronousTestCase):
    """Lines of at most 5 bytes; those beyond are dropped."""

    def read(self, data: bytes, terminator: bytes, size: int) -> tuple[list[bytes], list[bytes]]:
        """The lines of data that comes in pieces of a size, and the starts of the dropped ones."""
        owner, skipped = Owner(), list[bytes]()
        reader = SkippingReader(owner, terminator, 5, skipped.append)
        transport = StringTransport()
        reader.makeConnection(transport)  # type: ignore[no-untyped-call]
        for start in range(0, len(data), size):
            reader.dataReceived(data[start : start + size])
            self.assertLessEqual(len(reader.unfinished), 5 + len(terminator))
        self.assertFalse(transport.disconnecting)
        return owner.lines, skipped

    def test_goes_on_behind(self) -> None:
        """Whatever the pieces, the lines within the limit come, and each one beyond it is told once."""
        for terminator in (b"\r\n", b"\n"):
            lines = [b"12345", b"123456", b"", b"x" * 50, b"1\r", b"12345\r", b"y" * 9, b"z" * 9, b"end"]
            data = b"".join(line + terminator for line in lines)
            for size in (1, 2, 3, 5, 7, 8, 20, len(data)):
                kept, skipped = self.read(data, terminator, size)
                self.assertEqual(kept, [b"12345", b"", b"1\r", b"end"], (terminator, size))
                self.assertEqual(len(skipped), 5, (terminator, size, skipped))

    def test_without_end(self) -> None:
        """Of a line that never ends, nothing is kept."""
        kept, skipped = self.read(b"x" * 1000, b"\r\n", 10)
        self.assertEqual((kept, skipped), ([], [b"x" * 10]))


class LineWriterTests(SynchronousTestCase):
    """Messages out, through a buffer."""

    def setUp(self) -> None:
        self.owner = Owner()
        self.clock = Clock()
        self.buffer = SendBuffer(self.clock, 1000)
        self.log = RateLimitedLog(self.clock, logging.getLogger("tests.protocol"), A_FEW)
        self.writer = LineWriter(self.owner, self.clock, self.log, "pair", self.buffer)
        self.transport = StringTransport()
        self.writer.makeConnection(self.transport)

    def test_send(self) -> None:
        """The transport receives sent data at once."""
        self.writer.send(b"a\r\n")
        self.assertEqual((self.transport.value(), self.writer.has_room), (b"a\r\n", True))

    def test_room(self) -> None:
        """While the transport is full there is no room; a wait for room ends when there is."""
        self.buffer.pauseProducing()
        self.assertFalse(self.writer.has_room)
        room = self.writer.room()
        self.writer.send(b"a")
        self.assertNoResult(room)
        self.buffer.resumeProducing()
        self.assertTrue(self.writer.has_room)
        self.successResultOf(room)
        self.assertEqual(self.transport.value(), b"a")

    def test_close_sends_the_backlog(self) -> None:
        """Data that waited for room is sent before the connection is closed."""
        self.buffer.pauseProducing()
        self.writer.send(b"a")
        self.writer.send(b"b")
        self.writer.close()
        self.assertEqual((self.transport.value(), self.transport.disconnecting), (b"ab", True))
        self.writer.connectionLost(Failure(ConnectionDone()))

    def test_dropped_data_is_logged(self) -> None:
        """Data from the far end is logged and dropped."""
        with self.assertLogs("tests.protocol", logging.WARNING) as logged:
            self.writer.dataReceived(b"12345")
        self.assertIn("pair: dropped 5 bytes", logged.output[0])

    def test_close(self) -> None:
        """Closing lets the transport finish; nothing is aborted once it is gone, and no timer stays."""
        self.writer.close()
        self.writer.close()
        self.assertEqual((self.transport.disconnecting, self.transport.disconnected), (True, False))
        self.writer.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.owner.events, ["connected", "lost"])

    def test_close_against_a_peer_that_does_not_read(self) -> None:
        """What is not written in time is given up."""
        self.buffer.pauseProducing()
        self.writer.close()
        self.clock.advance(CLOSE_TIMEOUT * 0.99)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(CLOSE_TIMEOUT * 0.01)
        self.assertTrue(self.transport.disconnected)
        self.writer.connectionLost(Failure(ConnectionDone()))

    def test_lost(self) -> None:
        """The owner receives the reason of a loss, and the transport's last call is harmless."""
        self.buffer.stopProducing()
        reason = ConnectionDone()
        self.writer.connectionLost(Failure(reason))
        self.assertIs(self.owner.reason, reason)
        self.assertEqual(self.owner.events, ["connected", "lost"])
