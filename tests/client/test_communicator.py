"""Tests of `mtmount_twisted.client.communicator`: what a user notices, promise by promise.

Callbacks, reading, writing, closing and real sockets have modules of their own, beside this one; what
holds on sockets and in memory alike is in `tests.testing.test_doubles`, and runs on both.
"""

from __future__ import annotations

import logging
from typing import Any

import twisted.logger
from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import ReconnectingClientFactory
from zope.interface.verify import verifyObject

from mtmount_twisted.client.communicator import ClientServerPair, Communicator
from mtmount_twisted.commands import Enable
from mtmount_twisted.dialects.content import Content
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.errors import TAKEN, LineError, ListenError, PairClosedError
from mtmount_twisted.interfaces import IPairOwner
from mtmount_twisted.testing import HOST, FarEnd, MemoryReactor, connected_pair
from mtmount_twisted.wire.lines import TextLayout
from mtmount_twisted.wire.messages import BaseMessage, parameter
from tests.support.pairs import LOG, PairCase, done


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
            self.assertEqual(str(error), f"can't listen on {HOST}:{taken}: Address already in use; {TAKEN}")
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
        """Ports and bounds out of range, and impossible hosts, are a ValueError that names them."""
        cases: list[tuple[str, tuple[Any, ...], dict[str, int]]] = [
            ("client_port", (HOST, 0, HOST, 0), {}),
            ("client_port", (HOST, 65536, HOST, 0), {}),
            ("client_host", ("x" * 70, 1, HOST, 0), {}),
            ("client_host", ("a..b", 1, HOST, 0), {}),
            ("client_host", ("", 1, HOST, 0), {}),
            ("server_host", (HOST, 1, "x" * 70, 0), {}),
            ("server_host", (HOST, 1, "a..b", 0), {}),
            ("server_port", (HOST, 1, HOST, -1), {}),
            ("server_port", (HOST, 1, HOST, 65536), {}),
            ("max_unread", (HOST, 1, HOST, 0), {"max_unread": 0}),
            ("max_line_length", (HOST, 1, HOST, 0), {"max_line_length": 0}),
            ("max_unsent", (HOST, 1, HOST, 0), {"max_unsent": 0}),
        ]
        for name, arguments, limits in cases:
            reactor = MemoryReactor()
            with self.assertRaisesRegex(ValueError, f"^{name}: expected"):
                Communicator("c", *arguments, LOG, True, reactor=reactor, **limits)  # type: ignore[misc]
            self.assertEqual((reactor.ports, reactor.attempts), ({}, []), name)

    def test_wrong_types(self) -> None:
        """An argument of a wrong type is a TypeError of the constructor that names the parameter."""
        right: dict[str, Any] = {
            "name": "c",
            "client_host": HOST,
            "client_port": 1,
            "server_host": HOST,
            "server_port": 0,
            "log": LOG,
            "read_replies": True,
        }
        cases: list[tuple[str, Any]] = [
            ("name", None),
            ("client_host", 127),
            ("client_host", b"localhost"),
            ("client_port", "30005"),
            ("client_port", 30005.0),
            ("client_port", True),
            ("client_port", None),
            ("server_host", ("127.0.0.1",)),
            ("server_port", "30006"),
            ("log", None),
            ("log", "example"),
            ("log", logging.Logger),
            ("log", twisted.logger.Logger()),
            ("read_replies", "yes"),
            ("read_replies", None),
            ("connect", "no"),
            ("connect_callback", "callback"),
            ("max_unread", "1000"),
            ("max_line_length", 1e6),
            ("max_unsent", None),
            ("reactor", "x"),
        ]
        for name, value in cases:
            reactor = MemoryReactor()
            with self.assertRaisesRegex(TypeError, f"^{name}: expected .*, got "):
                Communicator(**({"reactor": reactor} | right | {name: value}))
            self.assertEqual((reactor.ports, reactor.attempts), ({}, []), name)

    def test_logs_of_other_kinds(self) -> None:
        """What logs as a `logging.Logger` does is a log, such as a `logging.LoggerAdapter`."""
        for log in LOG, logging.LoggerAdapter(LOG, {}):
            Communicator("c", HOST, 1, HOST, 0, log, True, False, reactor=MemoryReactor())  # type: ignore[arg-type]

    def test_no_client_host(self) -> None:
        """None as the client's host is this machine."""
        reactor = MemoryReactor()
        communicator = Communicator("c", None, 4000, HOST, 0, LOG, True, reactor=reactor)
        self.assertEqual(communicator.client_host, "localhost")
        reactor.advance(0)
        self.assertEqual([attempt[1:] for attempt in reactor.attempts], [(HOST, 4000)])

    def test_unknown_argument(self) -> None:
        """An argument that there is not is a TypeError."""
        with self.assertRaises(TypeError):
            Communicator("c", HOST, 1, HOST, 0, LOG, True, reactor=MemoryReactor(), colour="red")  # type: ignore

    def test_client_host_is_looked_at_when_it_is_needed(self) -> None:
        """With ``connect=False`` an impossible client host is refused by `connect` and not before."""
        communicator = Communicator("c", "a..b", 1, HOST, 0, LOG, True, False, reactor=MemoryReactor())
        self.assertIn("client_host", str(self.failureResultOf(communicator.connect(), ValueError).value))

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

    def test_carries(self) -> None:
        """A caller's own content is used both ways, for one message and for many, terminator included."""
        upper: Content[str] = Content(
            b";",
            lambda text: text.upper().encode() + b";",
            lambda texts: b"".join(text.upper().encode() + b";" for text in texts),
            lambda line: line.decode().swapcase(),
        )
        reactor = MemoryReactor()
        pair: ClientServerPair[str] = ClientServerPair(
            "c", HOST, 4000, HOST, 4001, LOG, reactor=reactor, carries=upper
        )
        other: ClientServerPair[str] = ClientServerPair(
            "o", HOST, 4001, HOST, 4000, LOG, reactor=reactor, carries=upper
        )
        reactor.advance(0.1)
        pair.write("one")
        pair.write_many(["t\r\nwo", "three"])
        reactor.advance(0)
        received = [self.successResultOf(other.read()) for _ in range(3)]
        self.assertEqual(received, ["one", "t\r\nwo", "three"])

    def test_other_dialect(self) -> None:
        """A communicator reads and writes the lines of the dialect that it is given."""

        class Greeting(BaseMessage):
            """Say something."""

            layout = TextLayout(separator="|", terminator=b";")
            words: str = parameter("What to say.")

        other = replace(
            DIALECT,
            terminator=b";",
            messages=(Greeting,),
            decode_reply=lambda line: Greeting(words=line.decode()),
        )
        communicator, far_end = connected_pair(dialect=other)
        communicator.write(Greeting(words="hello"))
        self.failureResultOf(communicator.write(Enable()), TypeError)
        self.assertEqual(far_end.written_lines(), [b"hello"])
        far_end.feed(b"good", b" day;")
        self.assertEqual(self.successResultOf(communicator.read()), Greeting(words="good day"))


class ConnectTests(PairCase):
    """Coming and going of the client."""

    def test_connect_again_while_trying(self) -> None:
        """A `connect` to where the client is trying to go changes nothing: it waits with the others."""
        communicator = self.start(connect=False)
        self.far_end.connect_server()
        self.far_end.stop_listening()
        connects = [communicator.connect()]
        self.reactor.advance(0)
        attempts = len(self.reactor.attempts)
        connects.append(communicator.connect())
        self.reactor.advance(0.05)
        self.assertEqual(len(self.reactor.attempts), attempts)
        self.far_end.start_listening()
        self.reactor.advance(1)
        self.assertEqual([self.successResultOf(connect) for connect in connects], [None, None])

    def test_wait_peer(self) -> None:
        """It fires when there is a peer to read from, whether or not the client is connected."""
        communicator = self.start(connect=False)
        waits = [communicator.wait_peer(), communicator.wait_peer()]
        waits[0].cancel()
        self.failureResultOf(waits[0], CancelledError)
        self.assertNoResult(waits[1])
        self.far_end.connect_server()
        self.assertEqual(
            [self.successResultOf(waits[1]), self.successResultOf(communicator.wait_peer())], [None] * 2
        )
        self.far_end.drop_server()
        lost = communicator.wait_peer()
        self.assertNoResult(lost)
        self.closed()
        self.failureResultOf(lost, PairClosedError)

    def test_writer(self) -> None:
        """What writes on the client connection is there while it is connected, and sends with no Deferred."""
        communicator = self.start(connect=False)
        self.assertIsNone(communicator.writer)
        communicator.connect()
        self.reactor.advance(0)
        command = Enable()
        communicator.writer.send(command.encode())
        self.assertEqual((self.far_end.written(), communicator.writer.has_room), ([command], True))
        communicator.close_client()
        self.assertIsNone(communicator.writer)

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

    def test_a_peer_that_comes_is_tried_at_once(self) -> None:
        """A peer that connects shows that it is there: the client does not wait to try again."""
        communicator = self.start()
        self.far_end.stop_listening()
        self.far_end.drop_client()
        self.far_end.drop_server()
        self.reactor.advance(20)
        self.far_end.start_listening()
        self.assertFalse(communicator.client_connected)
        self.far_end.connect_server()
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
