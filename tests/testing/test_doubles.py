"""Tests of `mtmount_twisted.testing`: one set of test bodies, on the double and on real sockets.

What holds in memory and not on sockets, or the other way round, would make the double a trap.
"""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredQueue
from twisted.internet.error import NotConnectingError, TimeoutError, UserError
from twisted.internet.interfaces import (
    IConnector,
    IConsumer,
    IListeningPort,
    IPushProducer,
    IReactorTCP,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import ClientFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.commands import AzimuthAxisMove, Enable
from mtmount_twisted.errors import LineError
from mtmount_twisted.net import protocol
from mtmount_twisted.replies import AckReply, DoneReply, OnStateInfoReply
from mtmount_twisted.testing import HOST, FarProtocol, MemoryReactor, connected_pair
from tests.support.pairs import LOG
from tests.support.wires import MemoryWire, SocketWire


class PromisesMixin:
    """What a user may rely on, wherever it runs."""

    timeout = 20
    make_wire: Any

    async def wire(self: Any, **options: Any) -> Any:
        """A communicator that is connected, and what it is connected to."""
        self.changes: DeferredQueue[tuple[bool, bool]] = DeferredQueue()
        wire = self.make_wire(connect_callback=self.changed, **options)
        await wire.started()
        self.addCleanup(lambda: Deferred.fromCoroutine(wire.stop()))
        first, second = await self.changes.get(), await self.changes.get()
        self.assertEqual((sum(first), second), (1, (True, True)))
        return wire

    def changed(self, communicator: Communicator) -> None:
        """Note each call of ``connect_callback``, and what it saw."""
        self.changes.put((communicator.client_connected, communicator.server_connected))

    async def test_messages_go_both_ways(self: Any) -> None:
        """What is written arrives there, and what is sent from there is read, on either side."""
        command, reply = AzimuthAxisMove(position=1.5), AckReply(sequence_id=3, timeout_ms=10)
        for read_replies, out, back in ((True, command, reply), (False, reply, command)):
            wire = await self.wire(read_replies=read_replies)
            self.assertIsNone(await wire.communicator.write(out))
            self.assertEqual(await wire.written(), out)
            wire.feed(back.encode())
            self.assertEqual(await wire.communicator.read(), back)

    async def test_reads_are_served_in_order(self: Any) -> None:
        """Several reads may wait; one that is cancelled takes no message, and none is lost."""
        wire = await self.wire()
        reads = [wire.communicator.read() for _ in range(4)]
        reads[1].cancel()
        await self.assertFailure(reads.pop(1), CancelledError)
        wire.feed(b"".join(DoneReply(sequence_id=number).encode() for number in range(1, 5)))
        reads.append(wire.communicator.read())
        self.assertEqual([(await read).sequence_id for read in reads], [1, 2, 3, 4])

    async def test_bad_line_fails_one_read(self: Any) -> None:
        """A line that is no message fails one read, which holds the line; the next read goes on."""
        wire = await self.wire()
        wire.feed(b"no\nreply\r\n" + DoneReply(sequence_id=1).encode())
        error = await self.assertFailure(wire.communicator.read(), ValueError)
        self.assertIsInstance(error, LineError)
        self.assertEqual(error.line, b"no\nreply")
        self.assertEqual((await wire.communicator.read()).sequence_id, 1)

    async def test_loss_while_reading(self: Any) -> None:
        """Messages that came before a loss are read first; the callback comes before the failure."""
        wire = await self.wire()
        calls: list[object] = []
        wire.communicator.connect_callback = lambda communicator: calls.append(communicator.server_connected)
        reads = [wire.communicator.read(), wire.communicator.read(), wire.communicator.read()]
        reads[1].addErrback(lambda reason: calls.append(reason.type) or reason)
        wire.feed(DoneReply(sequence_id=1).encode() + b"half")
        wire.drop_server()
        self.assertEqual((await reads[0]).sequence_id, 1)
        for read in reads[1:]:
            error = await self.assertFailure(read, ConnectionResetError)
        self.assertEqual(calls, [False, type(error)])
        self.assertTrue(wire.communicator.client_connected)
        await self.assertFailure(wire.communicator.read(), RuntimeError)

    async def test_unread_messages_outlive_a_loss(self: Any) -> None:
        """What came before a loss and was not read yet is read after it; then it is a RuntimeError."""
        wire = await self.wire()
        wire.feed(b"".join(DoneReply(sequence_id=number).encode() for number in (1, 2, 3)))
        self.assertEqual((await wire.communicator.read()).sequence_id, 1)
        wire.drop_server()
        self.assertEqual(await self.changes.get(), (True, False))
        for number in (2, 3):
            self.assertEqual((await wire.communicator.read()).sequence_id, number)
        await self.assertFailure(wire.communicator.read(), RuntimeError)

    async def test_server_accepts_again(self: Any) -> None:
        """After a loss the next peer is taken, and nothing of the first one's last half line stays."""
        wire = await self.wire()
        wire.feed(b"half a line")
        wire.drop_server()
        self.assertEqual(await self.changes.get(), (True, False))
        await wire.started() if isinstance(wire, SocketWire) else wire.far_end.connect_server()
        self.assertEqual(await self.changes.get(), (True, True))
        wire.feed(DoneReply(sequence_id=7).encode())
        self.assertEqual((await wire.communicator.read()).sequence_id, 7)

    async def test_client_connects_again(self: Any) -> None:
        """A lost client is one change, ends a monitor, and comes back by itself: one more change."""
        wire = await self.wire()
        monitor = wire.communicator.monitor_client_reader()
        wire.drop_client()
        self.assertEqual(await self.changes.get(), (False, True))
        self.assertIsNone(await monitor)
        await self.assertFailure(wire.communicator.write(Enable()), RuntimeError)
        await self.assertFailure(wire.communicator.monitor_client_reader(), RuntimeError)
        self.assertEqual(await wire.until(self.changes.get()), (True, True))
        command = Enable()
        await wire.communicator.write(command)
        self.assertEqual(await wire.written(), command)
        self.assertEqual(self.changes.pending, [])

    async def test_second_peer_is_refused(self: Any) -> None:
        """A second peer is turned away; the first is not disturbed, and nothing is reported."""
        wire = await self.wire()
        self.assertFalse(await wire.second_peer())
        wire.feed(DoneReply(sequence_id=5).encode())
        self.assertEqual((await wire.communicator.read()).sequence_id, 5)
        self.assertEqual(self.changes.pending, [])

    def fill(self: Any, wire: Any) -> list[Deferred[None]]:
        """Write more than any system keeps, to a peer that does not read: the last of them wait."""
        wire.stop_reading()
        writes = [wire.communicator.write(OnStateInfoReply(description="x" * 60_000)) for _ in range(250)]
        self.assertIsNone(self.successResultOf(writes[0]))
        self.assertFalse(writes[-1].called)
        return writes

    async def assert_all_fail(self: Any, writes: list[Deferred[None]], error: type[Exception]) -> None:
        """The writes that waited fail with this error, the last of them among them."""
        outcomes = await DeferredList(writes, consumeErrors=True)
        self.assertEqual({reason.check(error) for succeeded, reason in outcomes if not succeeded}, {error})
        self.assertFalse(outcomes[-1][0])

    def turn(self: Any, wire: Any) -> Deferred[None]:
        """Let the reactor have its turn."""
        turn: Deferred[None] = Deferred()
        wire.communicator.reactor.callLater(0, turn.callback, None)
        return wire.until(turn)

    async def test_writing_to_a_peer_that_does_not_read(self: Any) -> None:
        """A write waits while the peer does not read, and ends when it does; all arrives, in order."""
        wire = await self.wire(read_replies=False)
        writes = self.fill(wire)
        more = [wire.communicator.write(AckReply(sequence_id=number)) for number in range(20)]
        more[3].cancel()
        await self.assertFailure(more.pop(3), CancelledError)
        self.assertFalse(any(write.called for write in more))
        wire.start_reading()
        for write in writes + more:
            self.assertIsNone(await write)
        for _ in writes:
            self.assertEqual(len((await wire.written()).description), 60_000)
        self.assertEqual([(await wire.written()).sequence_id for _ in range(20)], list(range(20)))

    async def test_loss_while_writing(self: Any) -> None:
        """A write that waits fails when the connection is lost, after the callback."""
        wire = await self.wire(read_replies=False)
        writes = self.fill(wire)
        calls: list[object] = []
        wire.communicator.connect_callback = lambda communicator: calls.append(communicator.client_connected)
        writes[-1].addErrback(lambda reason: calls.append("failed") or reason)
        wire.abort_client()
        await self.assert_all_fail(writes, ConnectionResetError)
        self.assertEqual(calls, [False, "failed"])

    async def test_close_against_a_peer_that_does_not_read(self: Any) -> None:
        """Closing ends all the same, and the write that waits fails."""
        self.patch(protocol, "CLOSE_TIMEOUT", 0.01)
        wire = await self.wire(read_replies=False)
        writes = self.fill(wire)
        closed = wire.communicator.close()
        await self.assert_all_fail(writes, ConnectionAbortedError)
        self.assertIsNone(await wire.until(closed))

    async def test_backlog_is_bounded(self: Any) -> None:
        """With too much unread the socket is not read, and when half of it is, it is: nothing is lost."""
        wire = await self.wire(max_unread=10)
        calls: DeferredQueue[str] = DeferredQueue()
        transport = wire.communicator.server_writer
        for name in ("pauseProducing", "resumeProducing"):
            self.note_calls(transport, name, calls)
        text = "x" * 1000
        wire.feed(
            b"".join(OnStateInfoReply(description=f"{number}{text}").encode() for number in range(3000))
        )
        self.assertEqual(await calls.get(), "pauseProducing")
        for number in range(3000):
            self.assertEqual((await wire.communicator.read()).description, f"{number}{text}")
            await self.turn(wire) if number % 100 == 0 else None
        self.assertEqual(await calls.get(), "resumeProducing")
        wire.feed(DoneReply(sequence_id=1).encode())
        self.assertEqual((await wire.communicator.read()).sequence_id, 1)

    def note_calls(self, transport: Any, name: str, calls: DeferredQueue[str]) -> None:
        """Put the name of a method into a queue whenever it is called."""
        original = getattr(transport, name)

        def noted() -> None:
            calls.put(name)
            original()

        setattr(transport, name, noted)

    async def test_close(self: Any) -> None:
        """Every Deferred still out fails when the pair is closed; it is one change for each connection."""
        wire = await self.wire()
        communicator = wire.communicator
        out = [communicator.read(), communicator.read(), communicator.monitor_client_reader()]
        closed = [communicator.close(), communicator.close()]
        for deferred in out:
            await self.assertFailure(deferred, ConnectionAbortedError)
        self.assertEqual([await self.changes.get(), await self.changes.get()], [(False, False)] * 2)
        for deferred in closed:
            self.assertIsNone(await wire.until(deferred))
        self.assertIsNone(await communicator.close())
        self.assertEqual((communicator.connected, self.changes.pending), (False, []))
        for deferred in (
            communicator.connect(),
            communicator.wait_connected(),
            communicator.wait_server_port(),
        ):
            await self.assertFailure(deferred, ConnectionAbortedError)
        for deferred in (communicator.read(), communicator.write(Enable())):
            await self.assertFailure(deferred, RuntimeError)

    async def test_close_client(self: Any) -> None:
        """Only the client is closed, without a call; `connect` brings it back, with one."""
        wire = await self.wire()
        await wire.until(wire.communicator.close_client())
        self.assertEqual(
            (wire.communicator.client_connected, wire.communicator.server_connected), (False, True)
        )
        self.assertIsNone(await wire.until(wire.communicator.connect()))
        self.assertEqual(await self.changes.get(), (True, True))
        self.assertEqual(self.changes.pending, [])

    async def test_async_for(self: Any) -> None:
        """``async for`` gives the messages, raises when the connection is lost, and ends at the close."""
        wire = await self.wire()
        wire.feed(DoneReply(sequence_id=1).encode())
        seen: DeferredQueue[int] = DeferredQueue()

        async def follow() -> str:
            async for message in wire.communicator:
                seen.put(message.sequence_id)
            return "ended"

        first = Deferred.fromCoroutine(follow())
        wire.drop_server()
        await self.assertFailure(first, ConnectionResetError)
        await wire.started() if isinstance(wire, SocketWire) else wire.far_end.connect_server()
        second = Deferred.fromCoroutine(follow())
        wire.feed(DoneReply(sequence_id=2).encode() + DoneReply(sequence_id=3).encode())
        self.assertEqual([await seen.get() for _ in range(3)], [1, 2, 3])
        wire.communicator.close()
        self.assertEqual(await second, "ended")


class FarEndTests(SynchronousTestCase):
    """What the double has that sockets do not."""

    def test_interfaces(self) -> None:
        """The reactor, its ports and its transports offer what Twisted's own do, by signature."""
        communicator, far_end = connected_pair(log=LOG)
        for interface in (IReactorTCP, IReactorTime):
            verifyObject(interface, far_end.reactor)
        verifyObject(IListeningPort, far_end.reactor.ports[communicator.server_port])
        for end in (far_end.client.transport, far_end.server.transport):
            for contract in (ITransport, IConsumer, IPushProducer):
                verifyObject(contract, end)

    def test_feed_takes_messages_and_bytes(self) -> None:
        """Messages, lines and parts of lines can be fed, and are read as one stream."""
        communicator, far_end = connected_pair(log=LOG)
        reply = DoneReply(sequence_id=1)
        data = reply.encode()
        far_end.feed(reply, data[:5])
        far_end.feed(data[5:])
        read = [communicator.read(), communicator.read()]
        self.assertEqual([self.successResultOf(deferred) for deferred in read], [reply, reply])

    def test_written_is_what_is_new(self) -> None:
        """Each call gives what came since the last one, as messages or as lines."""
        communicator, far_end = connected_pair(log=LOG)
        first, second = Enable(), Enable()
        communicator.write(first)
        self.assertEqual(far_end.written(), [first])
        communicator.write(second)
        self.assertEqual([line + b"\r\n" for line in far_end.written_lines()], [second.encode()])
        self.assertEqual(far_end.written(), [])

    def test_listening_again(self) -> None:
        """A far end that is away for a while is found again, when the next attempt is due."""
        communicator, far_end = connected_pair(log=LOG)
        far_end.stop_listening()
        self.assertTrue(communicator.client_connected)
        far_end.drop_client()
        far_end.reactor.advance(1)
        self.assertFalse(communicator.client_connected)
        far_end.start_listening()
        far_end.reactor.advance(1)
        self.assertTrue(communicator.client_connected)

    def test_two_pairs_on_one_reactor(self) -> None:
        """Two real pairs can talk in memory with no far end at all."""
        reactor = MemoryReactor()
        near = Communicator("near", HOST, 1, HOST, 4001, LOG, True, False, reactor=reactor)
        far = Communicator("far", "localhost", 4001, "localhost", 4000, LOG, False, reactor=reactor)
        connected = near.connect(4000)
        reactor.advance(0)
        self.successResultOf(connected)
        near.write(Enable())
        reactor.advance(0)
        self.assertIsInstance(self.successResultOf(far.read()), Enable)

    def test_close_with_little_unread(self) -> None:
        """A little that the other end did not read does not hold up a close; it is read later."""
        communicator, far_end = connected_pair(log=LOG)
        far_end.stop_reading()
        command = Enable()
        communicator.write(command)
        communicator.close()
        far_end.settle()
        self.assertTrue(far_end.client.is_connected)
        far_end.start_reading()
        self.assertEqual((far_end.written(), far_end.client.is_connected), ([command], False))

    def test_transport_on_its_own(self) -> None:
        """A transport writes sequences, knows both addresses, and drops what is written after its end."""
        communicator, far_end = connected_pair(log=LOG)
        transport = far_end.server.transport
        self.assertEqual(transport.getPeer(), transport.other.getHost())
        self.assertEqual(transport.getPeer().port, communicator.server_port)
        data = DoneReply(sequence_id=1).encode()
        transport.writeSequence([data[:3], data[3:]])
        transport.stopProducing()
        transport.write(data)
        far_end.settle()
        transport.resumeProducing()
        transport.abortConnection()
        far_end.settle()
        self.successResultOf(communicator.read())
        self.failureResultOf(communicator.read(), RuntimeError)

    def test_factory_that_wants_no_connection(self) -> None:
        """A client factory that makes no protocol has its connection closed."""
        communicator, far_end = connected_pair(log=LOG, connect=False)
        factory = ClientFactory()
        factory.buildProtocol = lambda address: None  # type: ignore[method-assign]
        connector = far_end.reactor.connectTCP(HOST, communicator.server_port, factory)
        self.assertEqual(connector.getDestination().port, communicator.server_port)
        far_end.settle()
        self.assertEqual((connector.state, communicator.server_connected), ("disconnected", False))

    def test_connector(self) -> None:
        """A connector has the states, the time-out and the errors of Twisted's own, and can connect again."""
        communicator, far_end = connected_pair(log=LOG, connect=False)
        reactor, port = far_end.reactor, communicator.server_port
        failures: list[Any] = []
        factory = ClientFactory.forProtocol(FarProtocol)  # type: ignore[no-untyped-call]
        factory.clientConnectionFailed = lambda connector, reason: failures.append(reason.type)
        reactor.silent_ports.add(port)
        connector = reactor.connectTCP(HOST, port, factory, timeout=5)
        self.assertTrue(verifyObject(IConnector, connector))
        self.assertRaises(RuntimeError, connector.connect)
        reactor.advance(5)
        self.assertRaises(NotConnectingError, connector.stopConnecting)
        connector.disconnect()
        connector.connect()
        connector.disconnect()
        self.assertEqual((failures, factory.numPorts), ([TimeoutError, UserError], 0))
        reactor.silent_ports.clear()
        connector.connect()
        far_end.settle()
        self.assertEqual((connector.state, communicator.server_connected), ("connected", True))
        connector.disconnect()
        far_end.settle()
        self.assertEqual((connector.state, factory.numPorts), ("disconnected", 0))
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_port_that_closes_in_between(self) -> None:
        """A port that closes between connecting and accepting leaves a connection that ends."""
        communicator, far_end = connected_pair(log=LOG, connect=False)
        far_end.reactor.ports[communicator.server_port].stopListening().addCallback(lambda _: None)
        near, far = far_end.reactor.link(HOST, communicator.server_port)
        near.begin(FarProtocol())
        far.begin(None)
        far_end.settle()
        self.assertFalse(near.protocol.is_connected)
        far.begin(FarProtocol())
        self.assertFalse(far.protocol.connected)

    def test_guide(self) -> None:
        """The examples of ``docs/howto/testing.rst`` do what it says."""
        guide = Path(__file__).parent.parent.parent / "docs" / "howto" / "testing.rst"
        if not guide.exists():
            self.skipTest("an installed package has no docs")
        failed, tried = doctest.testfile(str(guide), module_relative=False, verbose=False)
        self.assertEqual((failed, tried > 5), (0, True))


class InMemoryTests(PromisesMixin, TestCase):
    """The promises on the double."""

    make_wire = MemoryWire


class OnSocketsTests(PromisesMixin, TestCase):
    """The same promises on real sockets."""

    make_wire = SocketWire


class SendAtOnceTests(PromisesMixin, TestCase):
    """The same promises on real sockets, with writes that do not wait for the next turn."""

    @staticmethod
    def make_wire(**options: Any) -> SocketWire:
        """A wire whose communicator sends at once."""
        return SocketWire(send_at_once=True, **options)
