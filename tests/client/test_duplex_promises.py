"""The promises of a `Communicator`, kept on one two-way socket: as client and as server, in both dialects."""

from __future__ import annotations

import socket
from typing import Any
from unittest import skipUnless

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.dialects.dialect import Dialect, DialectName, dialect_named
from mtmount_twisted.dialects.sources import Commander
from mtmount_twisted.errors import (
    BacklogError,
    ConnectionLostError,
    ConnectTimeoutError,
    LineError,
    ListenError,
    NotConnectedError,
    PairClosedError,
)
from mtmount_twisted.net.duplex import SETTLE_TIME
from mtmount_twisted.testing import BUFFER_SIZE, HOST, FarProtocol, MemoryReactor
from tests.support.pairs import LOG


class Promises:
    """One client and one server of a dialect, in memory. `near` and `far` are the two, in turn."""

    name: DialectName
    near_listens: bool
    assertEqual: Any
    assertTrue: Any
    assertFalse: Any
    assertIs: Any
    assertIsInstance: Any
    assertNoResult: Any
    assertRaisesRegex: Any
    failureResultOf: Any
    successResultOf: Any
    addCleanup: Any

    def setUp(self) -> None:
        self.dialect: Dialect = dialect_named(self.name)
        self.reactor = MemoryReactor()
        self.changes: list[tuple[bool, bool]] = []
        self.start()
        self.addCleanup(self.closed)

    def start(self, **options: Any) -> None:
        """Make both ends, and let them connect."""
        called = {"connect_callback": self.changed}
        self.server = self.make(0, listen=True, **(options | called if self.near_listens else {}))
        self.turn()
        port = self.server.server_port
        self.client = self.make(port, **({} if self.near_listens else options | called))
        self.turn(SETTLE_TIME)
        ends = self.server, self.client
        self.near, self.far = ends if self.near_listens else ends[::-1]

    def restart(self, **options: Any) -> None:
        """Make both ends anew, with other options for the near one."""
        self.closed()
        self.changes.clear()
        self.start(**options)

    def make(self, port: int, **options: Any) -> DuplexCommunicator:
        """One end."""
        return DuplexCommunicator(
            "end", HOST, port, LOG, reactor=self.reactor, dialect=self.dialect, **options
        )

    def changed(self, end: DuplexCommunicator) -> None:
        """Note a call of ``connect_callback``."""
        self.changes.append((end.client_connected, end.server_connected))

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and the reactor turn."""
        for _ in range(3):
            self.reactor.advance(0)
        self.reactor.advance(seconds)
        for _ in range(3):
            self.reactor.advance(0)

    def closed(self) -> None:
        """Close both ends, and see that nothing is left."""
        waits = [self.server.close(), self.client.close()]
        self.turn()
        self.turn(1.0)
        for wait in waits:
            self.successResultOf(wait)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def outgoing(self, number: int = 5) -> Any:
        """A message that the near end may send."""
        return self.message(number, self.near.read_replies)

    def incoming(self, number: int = 5) -> Any:
        """A message that the far end may send."""
        return self.message(number, self.far.read_replies)

    def message(self, number: int, is_command: bool) -> Any:
        """A command or a reply."""
        if is_command:
            return self.dialect.ask(Commander.CSC, number)
        return self.dialect.decode_reply(self.dialect.succeeded().rewritten(number, 1))

    def number(self, read: Deferred[Any]) -> int:
        """The id of a message that is there."""
        self.turn()
        return int(self.successResultOf(read).sequence_id)

    def test_connected(self) -> None:
        """Both directions are up together, and the callback is called for each."""
        self.assertTrue(self.near.connected and self.far.connected)
        self.assertEqual(self.changes, [(True, False), (True, True)])
        self.successResultOf(self.near.wait_connected())
        self.assertIs(self.near.read_replies, not self.near_listens)

    def test_both_ways(self) -> None:
        """What is written at one end is read at the other, on the one connection."""
        message = self.outgoing()
        self.successResultOf(self.near.write(message))
        read = self.far.read()
        self.turn()
        self.assertEqual(self.successResultOf(read).encode(), message.encode())
        self.successResultOf(self.far.write(self.incoming(6)))
        self.assertEqual(self.number(self.near.read()), 6)

    def test_write_many(self) -> None:
        """Several messages arrive whole and in order; if one can't be encoded none is sent."""
        self.successResultOf(self.near.write_many([self.outgoing(1), self.outgoing(2)]))
        self.failureResultOf(self.near.write_many([self.outgoing(3), "x"]), TypeError)  # type: ignore[list-item]
        self.assertEqual([self.number(self.far.read()) for _ in range(2)], [1, 2])
        self.assertNoResult(rest := self.far.read())
        rest.cancel()
        self.failureResultOf(rest, CancelledError)

    def test_reads(self) -> None:
        """Reads are served in order; a cancelled one takes no message."""
        reads = [self.near.read() for _ in range(3)]
        reads[1].cancel()
        self.failureResultOf(reads.pop(1), CancelledError)
        self.far.write_many([self.incoming(1), self.incoming(2)])
        self.assertEqual([self.number(read) for read in reads], [1, 2])

    def test_async_for(self) -> None:
        """``async for`` reads on after a malformed line, and ends when this side closes."""
        found: list[Any] = []

        async def follow() -> None:
            while not self.near.closed:
                try:
                    async for message in self.near:
                        found.append(message.sequence_id)
                except LineError as error:
                    found.append(error.line)

        ended = Deferred.fromCoroutine(follow())
        self.far.write(self.incoming(1))
        self.far.writer.transport.write(b"\xff" + self.dialect.terminator)
        self.far.write(self.incoming(2))
        self.turn()
        self.near.close()
        self.turn()
        self.successResultOf(ended)
        self.assertEqual(found, [1, b"\xff", 2])

    def test_loss(self) -> None:
        """A loss ends each wait, is told to the callback, and the two connect again."""
        read, lost = self.near.read(), self.near.monitor_client_reader()
        self.changes.clear()
        self.far.drop_connections()
        self.turn()
        self.failureResultOf(read, ConnectionLostError)
        self.successResultOf(lost)
        self.failureResultOf(self.near.read(), NotConnectedError)
        self.failureResultOf(self.near.write(self.outgoing()), NotConnectedError)
        self.assertEqual(len(self.changes), 2)
        self.assertEqual(self.changes[-1], (False, False))
        waiting = self.near.wait_connected()
        self.turn(1.5)
        self.turn(SETTLE_TIME)
        self.successResultOf(waiting)
        self.far.write(self.incoming(7))
        self.assertEqual(self.number(self.near.read()), 7)

    def test_connect(self) -> None:
        """`connect` waits until both directions are up."""
        self.far.drop_connections()
        self.turn()
        waiting = self.near.connect()
        self.assertNoResult(waiting)
        self.turn(1.5)
        self.turn(SETTLE_TIME)
        self.successResultOf(waiting)

    def test_not_in_time(self) -> None:
        """The error of a wait that is over names what is missing."""
        self.far.close()
        self.turn()
        waiting = self.near.wait_connected(2.0)
        self.turn(2.5)
        error = self.failureResultOf(waiting, ConnectTimeoutError).value
        word = "no client has connected to" if self.near_listens else "nothing takes commands on"
        self.assertTrue(word in str(error), error)

    def test_unread(self) -> None:
        """A reader that does not read makes the far end wait; all is read in the end."""
        self.restart(max_unread=10)
        waits: list[Deferred[None]] = []
        while not waits or waits[-1].called:
            waits.append(self.far.write_many([self.incoming(len(waits) + 1)] * 100))
            self.turn()
        for number in range(1, len(waits) + 1):
            self.assertEqual({self.number(self.near.read()) for _ in range(100)}, {number})
        self.turn()
        self.successResultOf(waits[-1])

    def test_slow_peer(self) -> None:
        """A peer that does not read makes a write wait; beyond the bound it is refused; nothing is lost."""
        self.restart(max_unsent=BUFFER_SIZE)
        self.far.server_reader.transport.pauseProducing()  # type: ignore[union-attr]
        writes = [self.near.write(self.outgoing(1))]
        while not isinstance(writes[-1].result if writes[-1].called else None, Failure):
            writes.append(self.near.write_many([self.outgoing(len(writes) + 1)] * 100))
            self.turn()
        self.failureResultOf(writes.pop(), BacklogError)
        self.far.server_reader.transport.resumeProducing()  # type: ignore[union-attr]
        self.assertEqual(self.number(self.far.read()), 1)
        for number in range(2, len(writes) + 1):
            self.assertEqual({self.number(self.far.read()) for _ in range(100)}, {number})
        for write in writes:
            self.successResultOf(write)

    def test_close(self) -> None:
        """What was written is sent before a close; then each wait ends."""
        read, waiting = self.near.read(), self.far.read()
        self.near.write(self.outgoing(9))
        closed = self.near.close()
        self.failureResultOf(read, PairClosedError)
        self.assertEqual(self.number(waiting), 9)
        self.turn(1.0)
        self.successResultOf(closed)
        self.successResultOf(self.near.close())
        self.failureResultOf(self.near.connect(), PairClosedError)
        self.assertFalse(self.near.connected)

    def test_close_in_the_callback(self) -> None:
        """It may be closed at the first sign of a connection."""
        self.restart()
        self.far.drop_connections()
        self.turn()
        self.near.connect_callback = lambda end: end.close() and None
        self.turn(1.5)
        self.turn(SETTLE_TIME)
        self.assertTrue(self.near.closed)
        self.assertFalse(self.near.connected)

    def test_second_client(self) -> None:
        """A second client is refused without a byte, and the first is not disturbed."""
        second = FarProtocol()
        factory: Any = ClientFactory.forProtocol(lambda: second)
        self.reactor.connectTCP(HOST, self.server.server_port, factory)
        with self.assertLogs(LOG, "WARNING") as logged:  # type: ignore[attr-defined]
            self.turn()
        self.assertTrue("refused a second peer" in logged.output[0])
        self.assertEqual((second.is_connected, second.received), (False, b""))
        self.assertTrue(self.near.connected and self.far.connected)
        self.far.write(self.incoming(8))
        self.assertEqual(self.number(self.near.read()), 8)

    def test_next_client(self) -> None:
        """After the first client is gone the next one may connect."""
        self.client.close()
        self.turn(1.0)
        self.client = self.make(self.server.server_port)
        self.turn(SETTLE_TIME)
        self.assertTrue(self.server.connected and self.client.connected)

    def test_overlong_line(self) -> None:
        """A line beyond the bound ends the connection, because the start of the next one is unknown."""
        self.restart(max_line_length=300)
        read = self.near.read()
        with self.assertLogs(LOG, "WARNING") as logged:  # type: ignore[attr-defined]
            self.far.writer.transport.write(b"x" * 301)
            self.turn()
        self.assertTrue("a line of more than 300 bytes" in logged.output[0])
        self.failureResultOf(read, ConnectionLostError)


class Client2020(Promises, SynchronousTestCase):
    """A commander of tma2020, at a ``[[port]]``."""

    name, near_listens = "tma2020", False


class Server2020(Promises, SynchronousTestCase):
    """The server of one commander of tma2020."""

    name, near_listens = "tma2020", True


class Client2022(Promises, SynchronousTestCase):
    """A commander of tma2022."""

    name, near_listens = "tma2022", False


class Server2022(Promises, SynchronousTestCase):
    """A tma2022 mount."""

    name, near_listens = "tma2022", True


class ServerArgumentTests(SynchronousTestCase):
    """What a program gives the constructor of a server."""

    def test_wrong(self) -> None:
        """The error names the parameter."""
        cases: list[tuple[dict[str, Any], type[Exception]]] = [
            ({"port": 65_536}, ValueError),
            ({"port": -1}, ValueError),
            ({"host": "a..b"}, ValueError),
            ({"tls": object()}, ValueError),
            ({"listen": "yes"}, TypeError),
        ]
        for wrong, kind in cases:
            right: dict[str, Any] = {"host": HOST, "port": 0, "listen": True, "reactor": MemoryReactor()}
            with self.assertRaisesRegex(kind, f"^{next(iter(wrong))}: expected .*"):
                DuplexCommunicator("end", log=LOG, **(right | wrong))

    def test_port_taken(self) -> None:
        """A port that is taken is an error of each wait."""
        reactor = MemoryReactor()
        first = DuplexCommunicator("a", HOST, 0, LOG, listen=True, reactor=reactor)
        second = DuplexCommunicator("b", HOST, first.server_port, LOG, listen=True, reactor=reactor)
        self.failureResultOf(second.wait_connected(), ListenError)
        for end in (first, second):
            closed = end.close()
            reactor.advance(0)
            self.successResultOf(closed)


class SocketTests(TestCase):
    """Both ends on real sockets."""

    timeout = 20

    @skipUnless(hasattr(socket, "TCP_KEEPIDLE"), "the options are Linux's")
    async def test_silent_peer_is_given_up_within_five_seconds(self) -> None:
        """At both ends the kernel asks an idle peer, and gives up less than 5 s after its last sign."""
        server = DuplexCommunicator("server", HOST, 0, LOG, listen=True, reactor=real_reactor)
        self.addCleanup(server.close)
        client = DuplexCommunicator(
            "client", HOST, await server.wait_server_port(), LOG, reactor=real_reactor
        )
        self.addCleanup(client.close)
        for end in (client, server):
            await end.wait_connected()
            transport: Any = end.server_writer
            handle = transport.getHandle()
            self.assertTrue(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            idle, interval, count = (
                handle.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            self.assertLess(idle + interval * count, 5)
            self.assertIs(transport, end.writer.transport)  # type: ignore[union-attr]
