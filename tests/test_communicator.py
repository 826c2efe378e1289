"""Tests of `mtmount_twisted.communicator`: what a user notices, promise by promise.

Those that hold on sockets and in memory alike are in `test_testing`, and run on both.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredQueue
from twisted.internet.protocol import ReconnectingClientFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.commands import AzimuthAxisMove, CameraCableWrapDriveReset, Enable
from mtmount_twisted.communicator import ClientServerPair, Communicator
from mtmount_twisted.errors import BacklogError, LineError, ListenError, NotConnectedError, PairClosedError
from mtmount_twisted.interfaces import IPairOwner
from mtmount_twisted.protocol import MAX_WAITING_WRITES
from mtmount_twisted.replies import DoneReply
from mtmount_twisted.testing import HOST, FarEnd, MemoryReactor, connected_pair

from .test_testing import LOG, SocketWire


def done(*numbers: int) -> bytes:
    """The bytes of a Done for each of these sequence numbers."""
    return b"".join(DoneReply(sequence_id=number).encode() for number in numbers)


class PairCase(SynchronousTestCase):
    """What the tests in memory need."""

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


class StateTests(PairCase):
    """What can be asked of a pair at any time."""

    def test_interface(self) -> None:
        """A pair is what the halves of a connection report to."""
        verifyObject(IPairOwner, self.start())

    def test_connected(self) -> None:
        """`connected` is both of the others; the server's protocol and transport are there while it is."""
        communicator = self.start(connect=False)
        self.assertEqual((communicator.server_reader, communicator.server_writer), (None, None))
        self.far_end.connect_server()
        self.assertIs(communicator.connected, False)
        self.assertIs(communicator.server_reader.transport, communicator.server_writer)
        communicator.connect()
        self.reactor.advance(0)
        self.assertIs(communicator.connected, True)
        self.far_end.drop_server()
        self.assertIs(communicator.connected, False)
        self.assertEqual((communicator.server_reader, communicator.server_writer), (None, None))

    def test_server_address_as_bound(self) -> None:
        """After a start with a name and port 0, host and port are the real ones."""
        reactor = MemoryReactor()
        communicator = Communicator("c", HOST, 1, "localhost", 0, LOG, True, False, reactor=reactor)
        self.assertEqual((communicator.server_host, communicator.server_port), ("localhost", 0))
        waiting = [communicator.wait_server_port(), communicator.wait_server_port()]
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        reactor.advance(0)
        port = self.successResultOf(waiting[1])
        self.assertGreater(port, 0)
        self.assertEqual((communicator.server_host, communicator.server_port), (HOST, port))
        self.assertEqual(self.successResultOf(communicator.wait_server_port()), port)

    def test_no_host_means_all_addresses(self) -> None:
        """A server host of None listens on every address."""
        reactor = MemoryReactor()
        communicator = Communicator("c", HOST, 1, None, 0, LOG, True, False, reactor=reactor)
        self.assertEqual(communicator.server_host, "0.0.0.0")

    def test_port_taken(self) -> None:
        """A port that is taken fails all who wait for it with a clear OSError, now and later."""
        taken = self.start().server_port
        communicator = Communicator("c", HOST, 1, HOST, taken, LOG, True, False, reactor=self.reactor)
        self.assertIsInstance(communicator.listen_error, ListenError)
        for wait in (communicator.wait_server_port, communicator.connect, communicator.wait_connected):
            error = self.failureResultOf(wait(), OSError).value
            self.assertEqual(str(error), f"can't listen on {HOST}:{taken}: Address already in use")
        closed = communicator.close()
        self.reactor.advance(0)
        self.successResultOf(closed)

    def test_unknown_host_name(self) -> None:
        """A server host that does not resolve fails those who wait, each of them."""
        reactor = MemoryReactor()
        communicator = Communicator("c", HOST, 1, "nowhere", 0, LOG, True, False, reactor=reactor)
        waiting = [communicator.wait_server_port(), communicator.wait_connected(), communicator.connect()]
        reactor.advance(0)
        for deferred in waiting:
            self.failureResultOf(deferred, OSError)

    def test_bad_arguments(self) -> None:
        """Ports and bounds out of range are a ValueError that names them."""
        cases: list[tuple[str, tuple[Any, ...], dict[str, int]]] = [
            ("client_port", (HOST, 0, HOST, 0), {}),
            ("client_port", (HOST, 65536, HOST, 0), {}),
            ("server_port", (HOST, 1, HOST, -1), {}),
            ("server_port", (HOST, 1, HOST, 65536), {}),
            ("max_unread", (HOST, 1, HOST, 0), {"max_unread": 0}),
            ("max_line_length", (HOST, 1, HOST, 0), {"max_line_length": 0}),
        ]
        for name, arguments, limits in cases:
            with self.assertRaisesRegex(ValueError, f"^{name}: expected"):
                Communicator("c", *arguments, LOG, True, reactor=MemoryReactor(), **limits)  # type: ignore[misc]

    def test_base_carries_lines(self) -> None:
        """The base class carries lines as they are, and refuses what would be two."""
        self.start()
        reactor = self.reactor
        sent: list[bytes] = []
        pair: ClientServerPair[bytes] = ClientServerPair(
            "lines", HOST, self.communicator.server_port, HOST, 0, LOG, False, reactor=reactor
        )
        self.far_end.drop_server()
        pair.connect()
        reactor.advance(0)
        self.successResultOf(pair.write(b"no reply"))
        self.failureResultOf(pair.write(b"a\r\nb"), ValueError)
        reactor.advance(0)
        error = self.failureResultOf(self.communicator.read(), LineError).value
        self.assertEqual((error.line, sent), (b"no reply", []))
        self.assertEqual(pair.decode(b"line"), b"line")


class ConnectTests(PairCase):
    """Coming and going of the client."""

    def test_connect_waits_for_both(self) -> None:
        """`connect` fires when both connections are up, in whichever order they come."""
        for server_first in (True, False):
            communicator = self.start(connect=False)
            if server_first:
                self.far_end.connect_server()
            connected = communicator.connect()
            self.reactor.advance(0)
            if not server_first:
                self.assertNoResult(connected)
                self.reactor.advance(1000)
                self.assertNoResult(connected)
                self.far_end.connect_server()
            self.assertIsNone(self.successResultOf(connected))

    def test_port_zero(self) -> None:
        """A port of 0, given or left over, is a ValueError, and the connection that is up stays."""
        communicator = self.start()
        self.failureResultOf(communicator.connect(0), ValueError)
        self.assertTrue(communicator.connected)
        communicator.client_port = 0
        self.failureResultOf(communicator.connect(), ValueError)
        self.assertTrue(communicator.connected)

    def test_connect_elsewhere(self) -> None:
        """A new port replaces `client_port`; the client that is connected is closed first, without a call."""
        communicator = self.start()
        self.calls.clear()
        other = FarEnd(communicator)
        connected = communicator.connect(other.port)
        self.assertEqual((communicator.client_connected, communicator.client_port), (False, other.port))
        self.reactor.advance(0)
        self.assertIsNone(self.successResultOf(connected))
        self.assertEqual(self.calls, [(True, True)])
        self.assertEqual((self.far_end.client.is_connected, other.client.is_connected), (False, True))
        other.drop_client()
        self.reactor.advance(0.1)
        self.assertTrue(other.client.is_connected)

    def test_concurrent_connects(self) -> None:
        """Of several at once the last port counts, and all of them fire."""
        communicator = self.start()
        other = FarEnd(communicator)
        connects = [
            communicator.connect(),
            communicator.connect(other.port),
            communicator.connect(other.port),
        ]
        self.reactor.advance(0)
        for connect in connects:
            self.assertIsNone(self.successResultOf(connect))
        self.assertEqual((self.far_end.client.is_connected, other.client.is_connected), (False, True))

    def test_concurrent_connects_while_trying(self) -> None:
        """A port that changes while the client tries is tried from then on."""
        communicator = self.start(connect=False)
        self.far_end.connect_server()
        self.far_end.stop_listening()
        other = FarEnd(communicator)
        first = communicator.connect(self.far_end.port)
        self.reactor.advance(0)
        second = communicator.connect(other.port)
        self.reactor.advance(0)
        self.assertEqual([self.successResultOf(first), self.successResultOf(second)], [None, None])
        self.assertTrue(other.client.is_connected)

    def test_cancel_connect(self) -> None:
        """Cancelling ends one wait; the client goes on trying, and others go on waiting."""
        communicator = self.start(connect=False)
        connects = [communicator.connect(), communicator.connect(), communicator.wait_connected()]
        connects[0].cancel()
        self.failureResultOf(connects[0], CancelledError)
        self.far_end.connect_server()
        self.assertEqual([self.successResultOf(connect) for connect in connects[1:]], [None, None])

    def test_cancel_connect_while_the_old_client_closes(self) -> None:
        """Cancelled in its first moment, too, it leaves a client that connects again."""
        communicator = self.start()
        connect = communicator.connect()
        connect.cancel()
        self.failureResultOf(connect, CancelledError)
        self.reactor.advance(0)
        self.assertTrue(communicator.connected)

    def test_close_client_after_connect(self) -> None:
        """The last word counts: a client that is told to connect and then to close is closed."""
        communicator = self.start()
        connect = communicator.connect()
        gone = communicator.close_client()
        self.reactor.advance(1)
        self.successResultOf(gone)
        self.assertFalse(communicator.client_connected)
        self.assertNoResult(connect)
        self.closed()
        self.failureResultOf(connect, PairClosedError)

    def test_close_client_ends_its_writes_and_monitors(self) -> None:
        """Who waits for the client is told when it is closed; who reads is not disturbed."""
        communicator = self.start()
        self.calls.clear()
        monitor, read = communicator.monitor_client_reader(), communicator.read()
        self.far_end.stop_reading()
        write = communicator.write(Enable())
        while write.called:
            write = communicator.write(Enable())
        communicator.close_client()
        self.successResultOf(monitor)
        self.failureResultOf(write, ConnectionAbortedError)
        self.assertNoResult(read)
        self.assertEqual(self.calls, [])
        self.far_end.feed(done(1))
        self.successResultOf(read)

    def test_what_was_written_is_sent_before_closing(self) -> None:
        """A command that is written and followed by a close arrives."""
        communicator = self.start()
        command = Enable()
        communicator.write(command)
        communicator.close()
        self.assertEqual(self.far_end.written(), [command])

    def test_cancel_monitor(self) -> None:
        """A monitor that is cancelled ends alone."""
        communicator = self.start()
        monitors = [communicator.monitor_client_reader(), communicator.monitor_client_reader()]
        monitors[0].cancel()
        self.failureResultOf(monitors[0], CancelledError)
        self.far_end.drop_client()
        self.assertIsNone(self.successResultOf(monitors[1]))

    def test_data_on_the_client_is_dropped(self) -> None:
        """Data from the far end of the client is logged, and ends neither a monitor nor the connection."""
        communicator = self.start()
        monitor = communicator.monitor_client_reader()
        with self.assertLogs(LOG, logging.WARNING):
            self.far_end.client.transport.write(b"hello")
            self.far_end.settle()
        self.assertNoResult(monitor)
        self.assertTrue(communicator.connected)

    def test_retry_interval(self) -> None:
        """The first retry comes after 0.1 s, or after what the class or the instance says."""
        self.assertEqual(ClientServerPair.connect_retry_interval, 0.1)
        self.patch(ClientServerPair, "connect_retry_interval", 0.25)
        communicator = self.start()
        for expected in (0.25, 1.5):
            lost_at = self.reactor.seconds()
            self.far_end.drop_client()
            self.reactor.advance(expected)
            self.assertTrue(communicator.client_connected)
            self.assertEqual(self.reactor.attempts[-1][0] - lost_at, expected)
            communicator.connect_retry_interval = 1.5

    def test_client_factory(self) -> None:
        """The client comes from a `ReconnectingClientFactory`."""
        reactor = MemoryReactor()
        factories: list[Any] = []
        reactor.connectTCP = lambda host, port, factory, timeout: factories.append(factory)  # type: ignore
        Communicator("c", HOST, 1, HOST, 0, LOG, True, reactor=reactor)
        self.assertIsInstance(factories[0], ReconnectingClientFactory)


class CallbackTests(PairCase):
    """`connect_callback`: once per change, and it can do no harm."""

    def test_once_per_change(self) -> None:
        """Each change is one call, which sees the change made."""
        self.start()
        self.assertEqual(self.calls, [(True, False), (True, True)])
        self.far_end.drop_server()
        self.far_end.drop_client()
        self.reactor.advance(0.1)
        self.far_end.connect_server()
        self.assertEqual(self.calls[2:], [(True, False), (False, False), (True, False), (True, True)])
        self.far_end.client.transport.abortConnection()
        self.far_end.server.transport.abortConnection()
        self.far_end.settle()
        self.assertEqual(self.calls[6:], [(False, True), (False, False)])

    def test_arguments_are_ignored(self) -> None:
        """`call_connect_callback` takes anything and passes the communicator."""
        seen: list[object] = []
        communicator = self.start(connect=False, connect_callback=seen.append)
        communicator.call_connect_callback(1, "two", three=3)
        self.assertEqual(seen, [communicator])
        communicator.connect_callback = None
        communicator.call_connect_callback()

    def test_errors_are_logged(self) -> None:
        """What it raises, at once, by its Deferred or as ``async def``, is logged and goes no further."""

        def plain(communicator: object) -> None:
            raise ZeroDivisionError("plain")

        def later(communicator: object) -> Deferred[None]:
            deferred: Deferred[None] = Deferred()
            self.far_end.reactor.callLater(0, deferred.errback, ZeroDivisionError("later"))
            return deferred

        async def coroutine(communicator: object) -> None:
            raise ZeroDivisionError("coroutine")

        for callback in (plain, later, coroutine):
            self.start()
            self.communicator.connect_callback = callback
            with self.assertLogs(LOG, logging.ERROR) as logged:
                self.far_end.drop_server()
                self.assertTrue(self.far_end.connect_server())
            self.assertEqual(len(logged.records), 2)
            self.assertIn(f"ZeroDivisionError: {callback.__name__}", logged.output[0])
            self.assertTrue(self.communicator.connected)

    def test_close_in_the_callback(self) -> None:
        """Whatever the change, closing in the callback closes, and `connect` fails."""
        changes: list[Callable[[], object]] = [
            lambda: self.far_end.drop_client(),
            lambda: self.far_end.drop_server(),
            lambda: self.connect(),
        ]
        for change in changes:
            self.start()
            out = [self.communicator.read(), self.communicator.monitor_client_reader()]
            closing: list[Deferred[None]] = []

            def close(communicator: Communicator, closing: list[Any] = closing) -> None:
                closing.append(communicator.close())

            self.communicator.connect_callback = close
            change()
            self.reactor.advance(10)
            self.assertGreaterEqual(len(closing), 1)
            for deferred in closing:
                self.successResultOf(deferred)
            for deferred in out + self.connects:
                self.assertTrue(deferred.called)
                deferred.addErrback(lambda reason: reason.trap(ConnectionAbortedError, ConnectionResetError))
            self.closed()

    def test_close_in_the_callback_of_the_first_connection(self) -> None:
        """A pair may be closed by the first thing that happens to it."""
        closing: list[Deferred[None]] = []
        communicator = self.start(
            connect=False, connect_callback=lambda communicator: closing.append(communicator.close())
        )
        connect = communicator.connect()
        self.reactor.advance(0)
        self.failureResultOf(connect, PairClosedError)
        self.assertFalse(self.far_end.connect_server())
        self.assertEqual([self.successResultOf(deferred) for deferred in closing], [None, None])
        self.closed()

    def test_connect_in_the_callback(self) -> None:
        """Connecting again, here or elsewhere, may be what the callback does about a loss."""
        for elsewhere in (False, True):
            self.start()
            port = FarEnd(self.communicator).port if elsewhere else None
            connects: list[Deferred[None]] = []

            def again(
                communicator: Communicator, port: int | None = port, connects: list[Any] = connects
            ) -> None:
                if not communicator.client_connected:
                    connects.append(communicator.connect(port))

            self.communicator.connect_callback = again
            self.far_end.drop_client()
            self.reactor.advance(0.1)
            self.assertEqual([self.successResultOf(connect) for connect in connects], [None])
            self.assertTrue(self.communicator.connected)

    def test_close_client_in_the_callback(self) -> None:
        """A client that is closed because it came, or because it went, stays away."""
        for when_connected in (False, True):
            self.start(connect=False)

            def leave(communicator: Communicator, when: bool = when_connected) -> None:
                if communicator.client_connected is when:
                    communicator.close_client()

            self.communicator.connect()
            if when_connected:
                self.communicator.connect_callback = leave
                self.reactor.advance(0)
            else:
                self.reactor.advance(0)
                self.communicator.connect_callback = leave
                self.far_end.drop_client()
            attempts = len(self.reactor.attempts)
            self.reactor.advance(6)
            self.assertEqual(
                (self.communicator.client_connected, len(self.reactor.attempts)), (False, attempts)
            )


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
        self.failureResultOf(communicator.write(3), AttributeError)  # type: ignore[arg-type]
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


class CloseTests(PairCase):
    """Closing at any moment."""

    def test_at_any_moment(self) -> None:
        """However far it has come, closing ends all that waits, and leaves nothing."""
        moments: list[Callable[[], object]] = [
            lambda: None,
            lambda: self.connect(),
            lambda: (self.far_end.stop_listening(), self.connect(), self.reactor.advance(3)),
            lambda: (self.reactor.silent_ports.add(self.far_end.port), self.connect()),
            lambda: self.far_end.connect_server(),
            lambda: (self.connect(), self.reactor.advance(0)),
            lambda: (self.connect(), self.far_end.connect_server()),
            lambda: (self.connect(), self.reactor.advance(0), self.communicator.close_client()),
            lambda: (self.connect(), self.reactor.advance(0), self.connect()),
            lambda: (self.connect(), self.reactor.advance(0), self.far_end.drop_client()),
        ]
        for index, moment in enumerate(moments):
            self.start(connect=False)
            moment()
            waits = [self.communicator.wait_connected(), self.communicator.connect(), *self.connects]
            waits = [wait for wait in waits if not wait.called]
            self.closed()
            for wait in waits:
                self.failureResultOf(wait, ConnectionAbortedError)
            self.assertFalse(self.communicator.connected, index)

    def test_before_it_listens(self) -> None:
        """Closed while its own host name is looked up, it never listens."""
        reactor = MemoryReactor()
        communicator = Communicator("c", HOST, 1, "localhost", 0, LOG, True, False, reactor=reactor)
        waits = [communicator.wait_server_port(), communicator.wait_connected(), communicator.connect()]
        closed = communicator.close()
        for wait in waits:
            self.failureResultOf(wait, ConnectionAbortedError)
        reactor.advance(0)
        self.successResultOf(closed)
        self.assertEqual((reactor.ports, reactor.getDelayedCalls()), ({}, []))

    def test_cancel_close(self) -> None:
        """A close goes on when one who waits for it gives up."""
        communicator = self.start()
        first, second = communicator.close(), communicator.close()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.reactor.advance(0)
        self.assertIsNone(self.successResultOf(second))

    def test_each_deferred_ends_once(self) -> None:
        """Everything that waits ends once, whatever the callbacks of the others do meanwhile."""
        communicator = self.start()
        ends: list[str] = []
        for name in ("read", "monitor_client_reader", "read", "wait_server_port", "wait_connected"):
            deferred = getattr(communicator, name)()

            def ended(result: object, name: str = name) -> None:
                ends.append(name)
                communicator.close()
                communicator.close_client()
                communicator.read().addErrback(lambda reason: None)

            deferred.addBoth(ended)
        self.reactor.advance(5)
        self.assertEqual(
            sorted(ends),
            sorted(["read", "monitor_client_reader", "read", "wait_server_port", "wait_connected"]),
        )
        self.closed()

    def test_failure_is_logged(self) -> None:
        """Should closing itself go wrong, the log says so, and it is closed all the same."""
        communicator = self.start()
        port = self.reactor.ports[communicator.server_port]
        stop = port.stopListening

        def broken() -> Deferred[None]:
            stop()
            raise ZeroDivisionError

        port.stopListening = broken  # type: ignore[method-assign]
        with self.assertLogs(LOG, logging.ERROR) as logged:
            closed = communicator.close()
            self.reactor.advance(0)
        self.successResultOf(closed)
        self.assertIn("ZeroDivisionError", logged.output[0])


class SocketTests(TestCase):
    """What only real sockets show."""

    timeout = 20

    async def wire(self, **options: Any) -> SocketWire:
        """A communicator on sockets."""
        wire = SocketWire(**options)
        await wire.started()
        self.addCleanup(lambda: Deferred.fromCoroutine(wire.stop()))
        return wire

    async def test_half_closed_peer(self) -> None:
        """A peer that sends its last message and its end of file is read, and then is a loss."""
        wire = await self.wire()
        read, lost = wire.communicator.read(), wire.communicator.read()
        wire.feed(done(1))
        wire.peer.transport.loseWriteConnection()
        self.assertIsInstance(await read, DoneReply)
        await self.assertFailure(lost, ConnectionResetError)

    async def test_half_closed_far_end_of_the_client(self) -> None:
        """An end of file on the client connection means that it is gone."""
        wire = await self.wire()
        monitor = wire.communicator.monitor_client_reader()
        wire.client.loseWriteConnection()
        self.assertIsNone(await monitor)

    async def test_port_taken(self) -> None:
        """A port that is taken is a clear OSError from `wait_server_port` and from `connect`."""
        wire = await self.wire()
        port = wire.communicator.server_port
        second = Communicator("second", HOST, 1, HOST, port, LOG, True, False)
        for wait in (second.wait_server_port, second.connect):
            error = await self.assertFailure(wait(), OSError)
            self.assertEqual(str(error), f"can't listen on {HOST}:{port}: Address already in use")
        await second.close()

    async def test_host_name(self) -> None:
        """A server host may be a name, and so may the client's."""
        first = Communicator("first", "localhost", 1, "localhost", 0, LOG, True, False)
        second = Communicator("second", "localhost", 1, "localhost", 0, LOG, False, False)
        ports = [await first.wait_server_port(), await second.wait_server_port()]
        self.assertEqual(first.server_host, HOST)
        waits = [first.connect(ports[1]), second.connect(ports[0])]
        for wait in waits:
            await wait
        command = Enable()
        await first.write(command)
        self.assertEqual(await second.read(), command)
        await first.close()
        await second.close()

    async def test_impossible_host_names(self) -> None:
        """A host that is no name, or that nobody knows, fails who waits."""
        for host in ("x" * 70, "no such host", "bad..name"):
            communicator = Communicator("c", HOST, 1, host, 0, LOG, True, False)
            await self.assertFailure(communicator.wait_server_port(), OSError)
            await communicator.close()

    async def test_close_at_once(self) -> None:
        """Closed in the moment in which it was made, it leaves nothing behind."""
        for host in (HOST, "localhost"):
            communicator = Communicator("c", HOST, 1, host, 0, LOG, True)
            connect = communicator.connect()
            await communicator.close()
            await self.assertFailure(connect, ConnectionAbortedError)

    async def test_close_in_callbacks(self) -> None:
        """Closed from within a read, or from within `connect_callback`, it is closed."""
        wire = await self.wire()
        read = wire.communicator.read().addCallback(lambda message: wire.communicator.close())
        wire.feed(done(1, 2))
        await read
        closing: DeferredQueue[Deferred[None]] = DeferredQueue()
        other = SocketWire(connect_callback=lambda communicator: closing.put(communicator.close()))
        await (await closing.get())
        await other.port.stopListening()
        other.client.abortConnection() if hasattr(other, "client") else None

    async def test_port_is_free_after_close(self) -> None:
        """When close is done, the port can be had again at once."""
        wire = await self.wire()
        port = wire.communicator.server_port
        await wire.communicator.close()
        again = Communicator("again", HOST, 1, HOST, port, LOG, True, False)
        self.assertEqual(await again.wait_server_port(), port)
        await again.close()


ON_ASYNCIO = """
import asyncio, logging
from twisted.internet import asyncioreactor
loop = asyncio.new_event_loop()
asyncioreactor.install(loop)
from twisted.internet.task import react
from twisted.internet.defer import Deferred
from mtmount_twisted.commands import Enable
from mtmount_twisted.communicator import Communicator

async def talk():
    log = logging.getLogger()
    one = Communicator("one", "127.0.0.1", 1, "127.0.0.1", 0, log, True, False)
    two = Communicator("two", "127.0.0.1", one.server_port, "127.0.0.1", 0, log, False)
    await one.connect(two.server_port).asFuture(loop)
    await two.wait_connected().asFuture(loop)
    await one.write(Enable(sequence_id=8)).asFuture(loop)
    print((await two.read().asFuture(loop)).sequence_id)
    await one.close().asFuture(loop)
    await two.close().asFuture(loop)

react(lambda reactor: Deferred.fromFuture(asyncio.ensure_future(talk(), loop=loop)))
"""


class AsyncioTests(SynchronousTestCase):
    """Use under asyncio's reactor."""

    def test_on_asyncio(self) -> None:
        """A program of asyncio's talks over a pair, awaiting its Deferreds as futures."""
        ran = subprocess.run(
            [sys.executable, "-c", ON_ASYNCIO],
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.assertEqual((ran.stdout, ran.stderr, ran.returncode), ("8\n", "", 0))
