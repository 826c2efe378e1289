"""`frontends.tcp.telemetry`: what the readers of a ``[[telemetry]]`` port notice, in memory."""

from __future__ import annotations

import logging
from typing import Any
from unittest.mock import patch

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.config.settings import TelemetryReaders
from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.frontends.tcp.client_factory import Refused
from mtmount_twisted.frontends.tcp.commanders import READ_EVERY, READ_WITHOUT_RIGHTS, ReadTurns
from mtmount_twisted.frontends.tcp.telemetry import (
    MAX_WAITING,
    READERS_AT_ONCE,
    ROUND_INTERVAL,
    TelemetryFactory,
    TelemetryFanout,
    TelemetryReader,
)
from mtmount_twisted.interfaces import ILineReaderOwner, ITelemetryPort
from mtmount_twisted.net.duplex import SETTLE_TIME
from mtmount_twisted.testing import HOST, FarProtocol, MemoryReactor
from mtmount_twisted.testing.memory import BUFFER_SIZE
from mtmount_twisted.upstream.telemetry_link import TelemetryLink
from tests.support.bridges import TCP
from tests.support.commanders import LOG
from tests.support.telemetry import END, TelemetryServer, topic_line

from .test_places import Wire


class ReaderEnd(FarProtocol):
    """A reader, as the test plays it.

    :ivar pieces: what has arrived since the last call of `lines`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def lines(self) -> list[bytes]:
        """The lines that came since the last call."""
        *lines, rest = b"".join(self.pieces).split(END)
        self.pieces.clear()
        assert not rest, rest
        return lines

    def stop_reading(self) -> None:
        """Leave unread what comes from now on."""
        self.transport.pauseProducing()

    def read_again(self) -> None:
        """Read all that has come."""
        self.transport.resumeProducing()


class PortCase(SynchronousTestCase):
    """A port whose bridge is connected to a telemetry server."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.server = TelemetryServer(self.reactor)
        self.link = TelemetryLink(HOST, self.server.port, dialect_named("tma2022"), LOG, self.reactor)
        self.fanout = TelemetryFanout(self.link, self.reactor, LOG)
        self.turns = ReadTurns(self.reactor)
        self.port = self.make_port()
        self.pass_time(SETTLE_TIME)
        self.server.send(topic_line(99))
        self.addCleanup(self.close)

    def make_port(self, **settings: Any) -> TelemetryFactory:
        """A port."""
        return TelemetryFactory(
            TelemetryReaders(name="readers", endpoint=TCP, **settings),
            self.fanout,
            self.turns.without_rights,
            END,
            LOG,
            self.reactor,
        )

    def close(self) -> None:
        """Close everything: nothing is left."""
        closing = [self.port.close("the test ends"), self.link.close()]
        self.pass_time(1.5)
        for closed in closing:
            self.successResultOf(closed)
        self.fanout.close()
        self.turns.close()
        self.assertEqual(len(self.port.connected), 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def pass_time(self, seconds: float) -> None:
        """Let time pass in short steps."""
        for _ in range(max(1, round(seconds / ROUND_INTERVAL))):
            self.reactor.advance(ROUND_INTERVAL)
        self.reactor.advance(0)

    def join(self) -> ReaderEnd:
        """A new reader, which has read what it gets at first."""
        reader = self.connect()
        reader.pieces.clear()
        return reader

    def connect(self) -> ReaderEnd:
        """A new reader."""
        reader = ReaderEnd()
        near, far = self.reactor.link(HOST, 1)
        near.begin(reader)
        far.begin(self.port.buildProtocol(far.getPeer()))
        self.pass_time(0)
        return reader

    def send(self, *lines: bytes) -> None:
        """Let the mount send lines together, and the readers read."""
        self.server.send(*lines)
        self.pass_time(0.05)


class FanoutTests(PortCase):
    """Readers that read."""

    def test_contracts(self) -> None:
        """A port is what the metrics expect, and its reader is the owner of a connection."""
        self.join()
        [reader] = self.port.connected
        self.assertTrue(verifyObject(ITelemetryPort, self.port))
        self.assertTrue(verifyObject(ILineReaderOwner, reader))
        self.assertTrue(verifyObject(IPushProducer, reader))

    def test_each_line_to_each_reader(self) -> None:
        """Every reader receives every line as it came, in the order in which they came."""
        readers = [self.join() for _ in range(9)]
        odd = b' {"x" : "\xc3\xa9", "timestamp":1e9,"topicID": 4711}'
        sent = []
        for number in range(5):
            lines = [topic_line(6, number), odd, topic_line(15, number)]
            self.send(*lines)
            sent += lines
        for reader in readers:
            self.assertEqual(reader.lines(), sent)
        self.assertEqual((self.port.readers, self.port.missed), (9, 0))

    def test_same_bytes(self) -> None:
        """The lines that arrived together are one write of the same bytes for every reader."""
        readers = [self.join() for _ in range(6)]
        lines = [topic_line(topic) for topic in range(1, 20)]
        self.send(*lines)
        self.assertEqual([len(reader.pieces) for reader in readers], [1] * 6)

    def test_lines_one_by_one(self) -> None:
        """Lines that arrive one by one within a short time are at most two writes for each reader."""
        reader = self.join()
        lines = [topic_line(topic) for topic in range(1, 20)]
        for line in lines:
            self.server.send(line)
        self.pass_time(0.05)
        self.assertLessEqual(len(reader.pieces), 2)
        self.assertEqual(reader.lines(), lines)

    def test_few_in_each_turn(self) -> None:
        """A turn of the reactor writes to a few readers only, so that commands go between."""
        for _ in range(3 * READERS_AT_ONCE):
            self.join()
        events = ""

        def note_turn(left: int) -> None:
            nonlocal events
            events += " "
            if left:
                self.reactor.callLater(0, note_turn, left - 1)

        def note_write(reader: TelemetryReader, *arguments: Any) -> None:
            nonlocal events
            events += "w"

        with patch.object(TelemetryReader, "deliver", note_write):
            note_turn(10)
            self.send(topic_line(6))
        self.assertEqual(events.split(), ["w" * READERS_AT_ONCE] * 3)

    def test_new_reader(self) -> None:
        """A new reader receives the latest line of each topic at once, and then all that come."""
        self.send(topic_line(6, 1), topic_line(25, 2), topic_line(6, 3))
        reader = self.connect()
        self.assertEqual(reader.lines(), [topic_line(99), topic_line(25, 2), topic_line(6, 3)])
        self.send(topic_line(6, 4))
        self.assertEqual(reader.lines(), [topic_line(6, 4)])
        self.assertEqual(self.port.missed, 0)

    def test_new_reader_within_a_round(self) -> None:
        """A reader that comes while lines wait for the next round receives each of them once."""
        self.join()
        self.server.send(topic_line(6, 1))
        self.server.send(topic_line(15, 2))
        reader = self.connect()
        self.server.send(topic_line(6, 3))
        self.pass_time(0.05)
        self.assertEqual(
            reader.lines(), [topic_line(99), topic_line(6, 1), topic_line(15, 2), topic_line(6, 3)]
        )

    def test_new_reader_while_the_mount_is_silent(self) -> None:
        """While no telemetry comes, a new reader receives no earlier line as if it were present."""
        self.send(topic_line(6, 1))
        self.pass_time(1.5)
        reader = self.connect()
        self.assertEqual(reader.lines(), [])
        self.send(topic_line(6, 2))
        self.assertEqual(reader.lines(), [topic_line(6, 2)])

    def test_reader_that_leaves_in_a_round(self) -> None:
        """A reader that leaves while the others are written to does not disturb them."""
        readers = [self.join() for _ in range(10)]
        self.server.send(topic_line(6))
        for gone in readers[4:8]:
            gone.transport.abortConnection()
        self.pass_time(0.05)
        for reader in (*readers[:4], *readers[8:]):
            self.assertEqual(reader.lines(), [topic_line(6)])
        self.assertEqual(self.port.readers, 6)

    def test_fault_of_one(self) -> None:
        """A reader to which writing fails is cut off, and the others receive their lines."""
        readers = [self.join() for _ in range(3)]
        broken = readers[1].transport.other
        with patch.object(broken, "write", side_effect=OSError("no")), self.assertLogs(LOG, logging.ERROR):
            self.send(topic_line(6))
        self.assertEqual([reader.lines() for reader in readers], [[topic_line(6)], [], [topic_line(6)]])
        self.assertEqual([reader.is_connected for reader in readers], [True, False, True])
        self.send(topic_line(15))
        self.assertEqual([reader.lines() for reader in readers[::2]], [[topic_line(15)]] * 2)


class SlowReaderTests(PortCase):
    """A reader that reads slowly, or not at all."""

    def fill(self, reader: ReaderEnd) -> None:
        """Stop reading, and let the mount send until there is no room for the reader; forget these lines."""
        reader.stop_reading()
        self.send(*[topic_line(25, size=BUFFER_SIZE // 4) for _ in range(5)])

    def test_latest_line_of_each_topic(self) -> None:
        """A slow reader receives the latest line of each topic once it reads; its misses are counted."""
        slow, quick = self.join(), self.join()
        self.fill(slow)
        quick.lines()
        for number in range(10):
            self.send(topic_line(6, number), topic_line(15, number))
        self.send(topic_line(8))
        self.assertEqual(len(quick.lines()), 21)
        self.assertEqual(self.port.missed, 18)
        slow.read_again()
        self.pass_time(0.05)
        self.assertEqual(slow.lines()[5:], [topic_line(6, 9), topic_line(15, 9), topic_line(8)])
        self.send(topic_line(6, 10))
        self.assertEqual(slow.lines(), [topic_line(6, 10)])
        self.assertEqual(self.port.missed, 18)

    def test_misses_of_readers_that_leave(self) -> None:
        """The count of misses does not fall when a slow reader leaves."""
        slow = self.join()
        self.fill(slow)
        for number in range(4):
            self.send(topic_line(6, number))
        self.assertEqual(self.port.missed, 3)
        slow.transport.abortConnection()
        self.pass_time(0.05)
        self.assertEqual((self.port.readers, self.port.missed), (0, 3))

    def test_never_cut_off(self) -> None:
        """A reader that does not read for an hour is not disconnected, costs nothing, and then goes on."""
        slow = self.join()
        self.fill(slow)
        with patch.object(slow.transport.other, "write") as write:
            for minute in range(60):
                self.send(*(topic_line(topic, minute) for topic in (6, 15)))
                self.reactor.advance(60)
        write.assert_not_called()
        self.send(topic_line(6, 99))
        slow.read_again()
        self.pass_time(0.05)
        self.assertEqual(slow.lines()[5:], [topic_line(6, 99)])

    def test_room_without_a_miss(self) -> None:
        """A reader that had no room only between two rounds misses nothing, also if a topic came twice."""
        reader = self.join()
        self.fill(reader)
        reader.read_again()
        self.pass_time(0.05)
        self.assertEqual(len(reader.lines()), 5)
        self.send(topic_line(6, 1), topic_line(6, 2))
        self.assertEqual(reader.lines(), [topic_line(6, 1), topic_line(6, 2)])
        self.assertEqual(self.port.missed, 0)

    def test_more_than_the_readers_can_get(self) -> None:
        """If more arrives than may wait for the next round, all receive the latest line of each topic."""
        readers = [self.join() for _ in range(2 * READERS_AT_ONCE)]
        line = topic_line(25, size=60_000)
        self.server.send(topic_line(6, 1))
        for _ in range(MAX_WAITING // len(line) + 2):
            self.link.lines_received([line])
        self.link.lines_received([topic_line(15, 2)])
        self.pass_time(0.1)
        for reader in readers:
            self.assertEqual(reader.lines()[-2:], [line, topic_line(15, 2)])
        self.assertGreater(self.port.missed, 0)


class AdmissionTests(PortCase):
    """Who may read, and what a reader may do."""

    def test_list(self) -> None:
        """A reader from an address that is not on the list is refused."""
        self.port = self.make_port(allow=("192.0.2.7",))
        self.assertIsInstance(self.port.buildProtocol(IPv4Address("TCP", "192.0.2.8", 1)), Refused)
        self.assertNotIsInstance(self.port.buildProtocol(IPv4Address("TCP", "192.0.2.7", 1)), Refused)

    def test_full(self) -> None:
        """At a full port a reader of the address with most readers gives way, or the newcomer is refused."""
        self.port = self.make_port(max_readers=2)
        wires: list[Wire] = []

        def connect(host: str) -> bool:
            peer = IPv4Address("TCP", host, 4000)
            protocol: Any = self.port.buildProtocol(peer)
            wires.append(Wire(peerAddress=peer))
            wires[-1].protocol = protocol
            protocol.makeConnection(wires[-1])
            return not isinstance(protocol, Refused)

        with self.assertLogs(LOG, logging.WARNING) as caught:
            admitted = [connect(f"192.0.2.{number}") for number in (1, 1, 2, 3)]
        self.assertEqual(admitted, [True, True, True, False])
        self.assertEqual([wire.is_aborted for wire in wires], [True, False, False, True])
        self.assertIn("max_readers", caught.output[0])
        for wire in wires[:3]:
            wire.loseConnection()

    def test_bytes_of_a_reader(self) -> None:
        """What a reader sends is dropped, and received no faster than from other clients without rights."""
        reader, other = self.join(), self.join()
        reader.transport.write(b"x" * 100_000)
        self.pass_time(10 * READ_EVERY)
        unread = len(reader.transport.other.unread)
        self.assertEqual(unread, 0)  # all of it was received at once by this network in memory
        self.send(topic_line(6))
        self.assertEqual([each.lines() for each in (reader, other)], [[topic_line(6)]] * 2)
        reader.transport.write(b"y" * 100_000)
        self.pass_time(10 * READ_EVERY)
        self.assertGreater(len(reader.transport.other.unread), 100_000 - 11 * READ_WITHOUT_RIGHTS)
        self.assertTrue(reader.is_connected)

    def test_half_closed(self) -> None:
        """A reader that ends its own direction still receives."""
        reader = self.join()
        reader.transport.loseWriteConnection()
        self.pass_time(0.05)
        self.send(topic_line(6))
        self.assertEqual(reader.lines(), [topic_line(6)])

    def test_close(self) -> None:
        """When the port closes, its readers receive what was sent before; a stuck one does not delay it."""
        quick, stuck = self.join(), self.join()
        stuck.stop_reading()
        for _ in range(2):
            self.send(*[topic_line(25, size=BUFFER_SIZE // 4) for _ in range(5)])
        quick.lines()
        self.server.send(topic_line(6))
        closed = self.port.close("it is over")
        self.pass_time(0)
        self.successResultOf(closed)
        self.assertEqual(quick.lines(), [topic_line(6)])
        self.assertEqual([quick.is_connected, stuck.is_connected], [False, False])
