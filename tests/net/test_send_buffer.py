"""`mtmount_twisted.net.send_buffer`: nothing is dropped, and who does not keep up is cut off."""

from __future__ import annotations

from socket import SO_SNDBUF, SOL_SOCKET, socketpair
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.errors import BacklogError
from mtmount_twisted.net.send_buffer import SYSTEM_BUFFER, SendBuffer, bound_system_buffer
from tests.support import strategies  # noqa: F401 - it sets Hypothesis's profile


class Transport:
    """A transport that buffers, as a socket's does: it pauses its producer over a size, and resumes at 0.

    :ivar read: what the client has read.
    """

    def __init__(self, room: int = 100) -> None:
        self.read = b""
        self.producer: Any = None
        self._buffer = b""
        self._room = room
        self._paused = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take a push producer."""
        assert streaming
        self.producer = producer

    def write(self, data: bytes) -> None:
        """Buffer, and pause the producer if it is too much."""
        self._buffer += data
        if len(self._buffer) > self._room and not self._paused:
            self._paused = True
            self.producer.pauseProducing()

    def take(self, size: int) -> None:
        """Let the client read so much."""
        self.read += self._buffer[:size]
        self._buffer = self._buffer[size:]
        if self._paused and not self._buffer:
            self._paused = False
            self.producer.resumeProducing()

    def take_all(self) -> None:
        """Let the client read until nothing is left."""
        while self._buffer:
            self.take(len(self._buffer))


class Socket(FileDescriptor):
    """As much of a plain socket as writing to it takes.

    :param room: how many bytes the system takes.
    :ivar sent: what the system took.
    :ivar watched: how often the reactor was to watch the socket for room.
    :ivar error: what the system answers instead of taking data, or None.
    """

    connected = True

    def __init__(self, room: int = 100_000) -> None:
        super().__init__(MemoryReactorClock())
        self.room = room
        self.sent = b""
        self.watched = 0
        self.error: Exception | None = None

    def startWriting(self) -> None:
        """Count."""
        self.watched += 1
        super().startWriting()

    def writeSomeData(self, data: bytes) -> int | Exception:
        """Take what there is room for."""
        if self.error is not None:
            return self.error
        part = bytes(data)[: self.room - len(self.sent)]
        self.sent += part
        return len(part)

    @property
    def is_watched(self) -> bool:
        """True while the reactor watches the socket for room."""
        return self in self.reactor.getWriters()


class SendBufferTests(SynchronousTestCase):
    """One client's way out: 1000 bytes, 10 s."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.cuts: list[str] = []
        self.outlet = SendBuffer(self.clock, 1000, 10.0, self.cuts.append)
        self.transport = Transport()
        self.outlet.attach(self.transport)

    def send(self, size: int) -> None:
        """Send so many bytes."""
        self.outlet.send(b"x" * size)

    def test_contract(self) -> None:
        """It is what a transport tells about its room."""
        self.assertTrue(verifyObject(IPushProducer, self.outlet))

    def test_at_once(self) -> None:
        """While there is room data goes to the transport at once, and no timer runs."""
        self.send(100)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.transport.take_all()
        self.assertEqual(len(self.transport.read), 100)

    def test_nothing_is_dropped(self) -> None:
        """What comes while there is no room is written when there is, in its order."""
        parts = [b"a" * 101, b"b" * 90, b"c" * 90, b"d"]
        for part in parts:
            self.outlet.send(part)
        self.transport.take_all()
        self.assertEqual(self.transport.read, b"".join(parts))
        self.assertEqual((self.cuts, self.clock.getDelayedCalls()), ([], []))

    def test_too_much(self) -> None:
        """Over the bound it is cut off, once, and gets nothing more; exactly at it, not."""
        self.send(101)
        self.assertEqual(self.outlet.behind, 0)
        self.send(1000)
        self.assertEqual((self.cuts, self.outlet.behind), ([], 1000))
        self.send(1)
        self.assertEqual(self.outlet.behind, 0)
        self.send(1)
        self.assertEqual(self.cuts, ["more than 1000 bytes behind"])
        self.transport.take_all()
        self.clock.advance(60)
        self.assertEqual((len(self.transport.read), len(self.cuts)), (101, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_read_counts_no_more(self) -> None:
        """Only what still waits counts against the bound."""
        self.send(101)
        for _ in range(20):
            self.send(900)
            self.transport.take(101)
            self.transport.take_all()
            self.send(101)
        self.assertEqual(self.cuts, [])

    def test_too_long(self) -> None:
        """After 10 s with nothing read it is cut off, however little waits."""
        self.send(101)
        self.clock.advance(9.9)
        self.assertEqual(self.cuts, [])
        self.clock.advance(0.2)
        self.assertEqual(self.cuts, ["not caught up for 10 s"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow_and_steady(self) -> None:
        """A client that is always some seconds behind, and reads on, is not cut off."""
        for _ in range(40):
            self.send(101)
            self.clock.advance(3)
            self.transport.take(101)
        self.assertEqual(self.cuts, [])

    def test_always_behind(self) -> None:
        """A client that is never caught up counts from the oldest that it has not read."""
        self.send(101)
        for _ in range(20):
            self.clock.advance(3)
            self.send(101)
            self.clock.advance(3)
            self.transport.take(101)
        self.assertEqual(self.cuts, [])
        self.clock.advance(6.9)  # what is oldest now came 3 s ago
        self.assertEqual(self.cuts, [])
        self.clock.advance(0.2)
        self.assertEqual(len(self.cuts), 1)

    def test_nobody_there(self) -> None:
        """With no transport what is sent goes nowhere, and is not kept for the next one."""
        self.send(101)
        self.send(50)
        self.outlet.detach()
        self.send(50)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        again = Transport()
        self.outlet.attach(again)
        self.outlet.send(b"new")
        again.take_all()
        self.assertEqual((again.read, self.cuts), (b"new", []))

    def test_late_word_of_a_closing_transport(self) -> None:
        """What a transport still says after it was let go changes nothing."""
        self.send(101)
        self.outlet.detach()
        self.transport.take_all()
        self.outlet.pauseProducing()
        self.outlet.stopProducing()
        self.send(1)
        self.clock.advance(60)
        self.assertEqual((self.cuts, self.clock.getDelayedCalls()), ([], []))

    def test_sent_at_once(self) -> None:
        """To a plain socket data goes in the same turn, but not twice within 50 µs; all in its order."""
        socket = Socket()
        self.outlet.attach(socket)
        for data, sent in ((b"a", b"a"), (b"b", b"a"), (b"c", b"a")):
            self.outlet.send(data)
            self.assertEqual(socket.sent, sent)
        self.clock.advance(0.0001)
        self.outlet.send(b"d")
        self.assertEqual(socket.sent, b"abcd")

    def test_sent_directly(self) -> None:
        """While the socket's buffer is empty, the reactor need not watch the socket for room."""
        socket = Socket()
        self.outlet.attach(socket)
        self.outlet.send(b"a")
        watched = socket.watched
        for data in (b"b", b"c"):
            self.clock.advance(0.0001)
            self.outlet.send(data)
        self.assertEqual((socket.sent, socket.watched, socket.is_watched), (b"abc", watched, False))

    def test_sent_directly_in_part(self) -> None:
        """What the system does not take goes with the reactor's next write, before all that comes later."""
        socket = Socket(room=3)
        self.outlet.attach(socket)
        for data in (b"a", b"bcd", b"e"):
            self.outlet.send(data)
            self.clock.advance(0.0001)
        self.assertEqual((socket.sent, socket.is_watched), (b"abc", True))
        socket.room = 100
        self.outlet.send(b"f")
        self.assertEqual((socket.sent, socket.is_watched), (b"abcdef", False))

    def test_error_in_sending_directly(self) -> None:
        """The reactor finds the error as it writes: it ends the connection, and the caller sees nothing."""
        socket = Socket()
        self.outlet.attach(socket)
        self.outlet.send(b"a")
        self.clock.advance(0.0001)
        socket.error = ConnectionLost()
        self.outlet.send(b"b")
        self.assertTrue(socket.is_watched)
        self.assertIs(socket.doWrite(), socket.error)

    def test_sent_to_a_lost_connection(self) -> None:
        """While the loss is told, the transport has no socket any more, and the buffer still has it."""
        for before in (b"", b"1"):
            socket = Socket()
            self.outlet.attach(socket)
            if before:
                self.outlet.send(before)
            self.clock.advance(1)
            with patch.object(socket, "writeSomeData", side_effect=AttributeError("socket")):
                socket.connected = False
                self.outlet.send(b"2")
            self.assertEqual(socket.sent, before)

    def test_socket_with_little_room(self) -> None:
        """What a socket does not take stays, with the same bounds; it counts once the buffer is full."""
        socket = Socket(room=10)
        self.outlet.attach(socket)
        self.outlet.send(b"x" * 70_000)
        self.outlet.send(b"y" * 1000)
        self.assertEqual((len(socket.sent), self.outlet.behind, self.cuts), (10, 1000, []))
        self.clock.advance(10.1)
        self.assertEqual(self.cuts, ["not caught up for 10 s"])

    def test_not_at_once_when_wrapped(self) -> None:
        """A transport that only wraps a socket, as TLS does, is left to send when it will."""
        socket = Socket()
        wrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
        wrapper.makeConnection(socket)
        self.outlet.attach(wrapper)
        self.outlet.send(b"a")
        self.assertEqual(socket.sent, b"")
        socket.doWrite()
        self.assertEqual(socket.sent, b"a")

    def test_sent_at_once_when_the_clock_went_back(self) -> None:
        """A clock that is set back does not hold up the next sending at once."""
        socket = Socket()
        self.clock.advance(1000)
        self.outlet.attach(socket)
        self.outlet.send(b"a")
        self.clock.rightNow -= 500
        self.outlet.send(b"b")
        self.assertEqual(socket.sent, b"ab")

    def test_not_at_once_when_not_wanted(self) -> None:
        """Without ``at_once`` the reactor sends data in its next turn."""
        socket, outlet = Socket(), SendBuffer(self.clock, 1000, at_once=False)
        outlet.attach(socket)
        outlet.send(b"a")
        self.assertEqual(socket.sent, b"")
        socket.doWrite()
        self.assertEqual(socket.sent, b"a")

    def test_room(self) -> None:
        """Who waits for room is told when all that was sent is on its way, and is in nobody's way before."""
        self.successResultOf(self.outlet.room())
        self.send(101)
        self.send(101)
        rooms = [self.outlet.room() for _ in range(3)]
        rooms.pop().addErrback(lambda reason: reason.trap(CancelledError)).cancel()
        self.transport.take(101)
        for room in rooms:
            self.assertNoResult(room)
        self.transport.take_all()
        for room in rooms:
            self.successResultOf(room)

    def test_no_room_any_more(self) -> None:
        """Who waits for room is cancelled when the transport goes, and who asks then, at once."""
        self.send(101)
        room = self.outlet.room()
        self.send(1001)
        for each in (room, self.outlet.room()):
            self.failureResultOf(each, CancelledError)

    def test_detached_with_an_error(self) -> None:
        """An owner that knows why the transport is gone ends the waits for room with that error."""
        self.outlet.attach(Socket(room=10))
        self.send(70_000)
        room = self.outlet.room()
        self.outlet.finish()
        another = self.outlet.room()
        self.assertNoResult(room)
        self.outlet.detach(lambda: RuntimeError("closed"))
        for each in (room, another):
            self.failureResultOf(each, RuntimeError)

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("send"), st.integers(1, 400)),
                st.tuples(st.just("take"), st.integers(1, 400)),
                st.tuples(st.just("wait"), st.integers(1, 6)),
            )
        )
    )
    def test_any_course(self, course: list[tuple[str, int]]) -> None:
        """A client reads all that was sent, in order, or was cut off; and nothing waits over the bound."""
        clock, cuts = Clock(), list[str]()
        outlet, transport = SendBuffer(clock, 1000, 10.0, cuts.append), Transport()
        outlet.attach(transport)
        sent = b""
        for number, (what, size) in enumerate(course):
            if what == "send":
                data = bytes([number % 256]) * size
                sent += data
                outlet.send(data)
            elif what == "take":
                transport.take(size)
            else:
                clock.advance(size)
        if cuts:
            self.assertTrue(sent.startswith(transport.read))
            self.assertEqual(len(cuts), 1)
        transport.take_all()
        if not cuts:
            self.assertEqual(transport.read, sent)
        self.assertEqual(clock.getDelayedCalls(), [])

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("send"), st.sampled_from((1, 2, 3, 150))),
                st.tuples(st.just("wait"), st.sampled_from((1, 3))),
                st.tuples(st.just("room"), st.sampled_from((1, 200))),
                st.tuples(st.just("turn"), st.just(0)),
            ),
            min_size=10,
        )
    )
    def test_any_course_of_a_socket(self, course: list[tuple[str, int]]) -> None:
        """Whatever the system takes and when, a socket sends all in its order."""
        clock, cuts = Clock(), list[str]()
        outlet, socket = SendBuffer(clock, 1000, None, cuts.append), Socket(room=50)
        socket.bufferSize = 100
        outlet.attach(socket)
        sent = b""
        for number, (what, size) in enumerate(course):
            if what == "send":
                data = bytes([number % 256]) * size
                sent += data
                outlet.send(data)
            elif what == "room":
                socket.room += size
            elif what == "wait":
                clock.advance(20e-6 * size)
            elif socket.is_watched:
                socket.doWrite()
        socket.room = 1_000_000
        while socket.is_watched:
            socket.doWrite()
        if cuts:
            self.assertTrue(sent.startswith(socket.sent))
        else:
            self.assertEqual(socket.sent, sent)


class SystemBufferTests(SynchronousTestCase):
    """The system's buffer for a client."""

    def connection(self) -> Connection:
        """A connection of Twisted's on a real socket."""
        near, far = socketpair()
        self.addCleanup(far.close)
        connection = Connection(near, Protocol(), MemoryReactorClock())
        connection.connected = 1
        return connection

    def test_bounded(self) -> None:
        """It is bounded; Linux reports twice the size."""
        connection = self.connection()
        bound_system_buffer(connection)
        self.assertEqual(connection.socket.getsockopt(SOL_SOCKET, SO_SNDBUF), 2 * SYSTEM_BUFFER)
        connection.connectionLost(Failure(ConnectionDone()))

    def test_lost_already(self) -> None:
        """A connection that is lost has none: the end of its TLS handshake may be read after that."""
        connection = self.connection()
        connection.connectionLost(Failure(ConnectionDone()))
        bound_system_buffer(connection)


class RefusingTests(SynchronousTestCase):
    """A buffer without ``cut_off``: 1000 bytes, and 100 for each write."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.buffer = SendBuffer(self.clock, 1000, write_overhead=100)
        self.transport = Transport()
        self.buffer.attach(self.transport)

    def test_bound(self) -> None:
        """A write beyond the bound fails and is not sent, until the peer reads; the connection stays."""
        self.buffer.send(b"f" * 101)
        self.buffer.send(b"x" * 400)
        error = self.assertRaises(BacklogError, self.buffer.send, b"y" * 501)
        self.assertEqual(error.limit, 1000)
        self.assertIsInstance(error, RuntimeError)
        self.buffer.send(b"z" * 500)
        self.assertRaises(BacklogError, self.buffer.send, b"")
        self.transport.take_all()
        self.buffer.send(b"e" * 5000)
        self.transport.take_all()
        self.assertEqual(self.transport.read, b"f" * 101 + b"x" * 400 + b"z" * 500 + b"e" * 5000)

    def test_bound_counts_many_small_writes(self) -> None:
        """Writes of next to nothing are bounded too, because each counts more than its data."""
        self.buffer.send(b"f" * 101)
        for _ in range(9):
            self.buffer.send(b"x")
        self.buffer.send(b"x")
        self.assertRaises(BacklogError, self.buffer.send, b"x")

    def test_any_size_while_there_is_room(self) -> None:
        """While there is room a write of any size is accepted; after it the backlog has its bound."""
        self.buffer.send(b"f" * 5000)
        self.buffer.send(b"x" * 1000)
        self.assertRaises(BacklogError, self.buffer.send, b"")

    def test_no_time_limit(self) -> None:
        """A peer that does not read keeps its connection for any time."""
        self.buffer.send(b"f" * 101)
        self.buffer.send(b"x")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(86_400)
        self.transport.take_all()
        self.assertEqual(self.transport.read, b"f" * 101 + b"x")
