"""`mtmount_twisted.upstream.telemetry_link`: the bridge's link to the mount's telemetry."""

from __future__ import annotations

import logging
from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.errors import LineError
from mtmount_twisted.interfaces import IPairOwner, ITelemetry, ITelemetryValue
from mtmount_twisted.net.duplex import SETTLE_TIME
from mtmount_twisted.net.telemetry import SILENCE
from mtmount_twisted.testing import HOST, MemoryReactor
from mtmount_twisted.upstream.malformed import AT_ONCE, MAX_MALFORMED
from mtmount_twisted.upstream.telemetry_link import FRESH, MAX_TOPICS, STALE, TelemetryLink
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH
from tests.support.telemetry import TAI, TelemetryServer, topic_line

LOG = logging.getLogger("tests.telemetry_link")


class LinkCase(SynchronousTestCase):
    """A link that is connected to a telemetry server."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.server = TelemetryServer(self.reactor)
        known: Any = dialect_named("tma2022")
        telemetry = replace(known.telemetry, tai=lambda: TAI + self.reactor.seconds())
        self.silences: list[tuple[bool, str]] = []
        self.link = TelemetryLink(
            *(HOST, self.server.port, replace(known, telemetry=telemetry), LOG, self.reactor),
            lambda *told: self.silences.append(told),
        )
        self.received: list[bytes] = []
        self.link.subscribe(self.received.append)
        self.turn(SETTLE_TIME)
        self.addCleanup(self.close)

    def close(self) -> None:
        """Nothing is left."""
        closed = self.link.close()
        self.turn(1)
        self.successResultOf(closed)
        self.server.listening.stopListening()
        self.turn()
        self.assertEqual((self.reactor.getDelayedCalls(), self.reactor.ports), ([], {}))

    def turn(self, seconds: float = 0) -> None:
        """Let time pass, and everything that is due happen."""
        self.reactor.advance(0)
        self.reactor.advance(seconds)
        self.reactor.advance(0)

    def logged(self, level: int) -> Any:
        """Note the lines of the log, of this level and above."""
        return self.assertLogs(LOG, level)

    def latest_line(self, topic: int) -> bytes | None:
        """The latest line of a topic."""
        value = self.link.latest(topic)
        return None if value is None else value.line


class ValueTests(LinkCase):
    """What the link keeps."""

    def test_contracts(self) -> None:
        """It is the source of telemetry that the page and the ports expect."""
        self.server.send(topic_line(6))
        for interface, provider in (
            (ITelemetry, self.link),
            (IPairOwner, self.link),
            (ITelemetryValue, self.link.latest(6)),
        ):
            self.assertTrue(verifyObject(interface, provider))

    def test_latest(self) -> None:
        """The latest line of each topic is kept as it came, and its age grows."""
        self.server.send(topic_line(6, 1), topic_line(15, 2))
        self.turn(0.5)
        self.server.send(topic_line(6, 3))
        self.assertEqual(self.latest_line(6), topic_line(6, 3))
        self.assertEqual(self.latest_line(15), topic_line(15, 2))
        ages = [value.age for topic in (6, 15) if (value := self.link.latest(topic))]
        self.assertEqual(ages, [0, 0.5])
        self.assertIsNone(self.link.latest(8))
        self.assertEqual(self.link.lines, 3)

    def test_age(self) -> None:
        """The age is that of the latest line of any topic; there is none before the first line."""
        self.assertIsNone(self.link.age)
        self.server.send(topic_line(6))
        self.turn(0.25)
        self.server.send(topic_line(15))
        self.turn(0.5)
        self.assertEqual(self.link.age, 0.5)
        self.server.send(topic_line(6))
        self.assertEqual(self.link.age, 0)

    def test_decoded_on_demand(self) -> None:
        """A line with a broken quantity is kept and passed on; the error comes to the one that decodes it."""
        good = b'{"topicID":6,"timestamp":1.8e9,"actualPosition":10.5}'
        bad = b'{"topicID":15,"timestamp":1.8e9,"actualPosition":"high"}'
        self.server.send(good, bad)
        azimuth, elevation = self.link.latest(6), self.link.latest(15)
        assert azimuth is not None and elevation is not None
        self.assertEqual(azimuth.decoded().actual_position, 10.5)
        self.assertRaises(LineError, elevation.decoded)
        self.assertEqual(self.received, [good + b"\r\n" + bad + b"\r\n"])

    def test_lines_that_arrive_together(self) -> None:
        """A subscriber receives the lines of a chunk together, and a line in pieces once it is whole."""
        lines = topic_line(6, 1), topic_line(99, 2)
        data = b"".join(line + b"\r\n" for line in lines)
        self.server.send(*lines)
        for number in range(len(data)):
            self.server.send_bytes(data[number : number + 1])
        self.assertEqual(self.received, [data, lines[0] + b"\r\n", lines[1] + b"\r\n"])

    def test_error_of_a_subscriber(self) -> None:
        """It costs neither the connection nor the lines of the others, and a log line a minute."""

        def fail(lines: object) -> None:
            raise OverflowError("a fault of the program")

        heard: list[int] = []
        received: list[bytes] = []
        self.link.subscribe(fail)
        self.link.subscribe(received.append)
        self.link.subscribe_values(fail)
        self.link.subscribe_values(lambda values: heard.extend(value.topic_id for value in values))
        with self.logged(logging.ERROR) as logs:
            for _ in range(100):
                self.server.send(topic_line(6))
                self.turn(0.1)
        self.assertEqual((heard, len(received), len(self.received)), ([6] * 100, 100, 100))
        self.assertTrue(self.link.connected)
        self.assertEqual([str(record.exc_info[1]) for record in logs.records], ["a fault of the program"])

    def test_since(self) -> None:
        """The lines since a number are the latest of their topics, in the order in which they came."""
        self.server.send(*(topic_line(topic, number) for number, topic in enumerate((6, 15, 8, 6), 1)))
        self.assertEqual(self.link.since(0), [topic_line(15, 2), topic_line(8, 3), topic_line(6, 4)])
        self.assertEqual(self.link.since(2), [topic_line(8, 3), topic_line(6, 4)])
        self.assertEqual(self.link.since(4), [])

    def test_old_lines_are_left_out(self) -> None:
        """A line that is too old for the present state is kept with its age, and not among those since."""
        self.server.send(topic_line(25, 1))
        self.turn(FRESH + 0.1)
        self.server.send(topic_line(6, 2))
        self.assertEqual(self.link.since(0), [topic_line(6, 2)])
        self.assertEqual(self.latest_line(25), topic_line(25, 1))

    def test_topics_are_bounded(self) -> None:
        """A server that makes up topics does not fill the memory; those that were there first go on."""
        self.server.send(*(topic_line(topic) for topic in range(MAX_TOPICS + 5)))
        self.server.send(topic_line(6, 7))
        self.assertIsNone(self.link.latest(MAX_TOPICS))
        self.assertEqual(self.latest_line(6), topic_line(6, 7))
        self.assertEqual((self.link.lines, self.link.malformed), (MAX_TOPICS + 1, 5))

    def test_topics_of_another_program(self) -> None:
        """Numbers that came once keep no topic of the mount out; after an hour, they keep no other out."""
        format = dialect_named("tma2022").telemetry
        assert format is not None
        self.server.send(*(topic_line(topic) for topic in range(1000, 1000 + MAX_TOPICS)))
        self.assertEqual(self.link.lines, MAX_TOPICS - len(format.names))
        for _ in range(20):
            self.server.send(*map(topic_line, format.names))
        self.assertTrue(self.link.connected)
        malformed = self.link.malformed
        self.server.send(topic_line(2000))
        self.assertEqual((self.link.latest(2000), self.link.malformed), (None, malformed + 1))
        self.turn(STALE)
        self.server.send(topic_line(1001), topic_line(2000))
        self.assertEqual(self.latest_line(2000), topic_line(2000))
        self.assertEqual(self.link.malformed, malformed + 1)
        self.assertIsNone(self.link.latest(1000))
        self.assertEqual(self.latest_line(1001), topic_line(1001))
        self.assertEqual(self.latest_line(6), topic_line(6))

    def test_clock_offset(self) -> None:
        """It is measured from the topics that come often."""
        self.server.send(topic_line(25, timestamp=TAI - 99))
        self.assertIsNone(self.link.clock_offset)
        self.server.send(topic_line(6, timestamp=TAI + self.reactor.seconds() + 2.5))
        self.assertEqual(self.link.clock_offset, 2.5)


class FaultTests(LinkCase):
    """A telemetry server that misbehaves."""

    def test_garbage(self) -> None:
        """Lines that are not telemetry are dropped, with one line in the log; the next ones are received."""
        with self.logged(logging.WARNING) as caught:
            for _ in range(3):
                self.server.send(b"\xff garbage", b'{"id": 50}', b"", topic_line(6, 1))
        [record] = caught.records
        self.assertIn("dropped a line", record.getMessage())
        self.assertIn("telemetry_port", record.getMessage())
        self.assertEqual((self.link.malformed, self.link.lines), (9, 3))
        self.assertEqual(self.received, [topic_line(6, 1) + b"\r\n"] * 3)

    def test_malformed_lines_without_end(self) -> None:
        """A server that sends them is disconnected before a chunk of them is read, and connected again."""
        with self.logged(logging.WARNING) as caught:
            self.server.send(*[b"x"] * 20_000)
        self.assertLessEqual(self.link.malformed, MAX_MALFORMED + AT_ONCE)
        self.assertIn("is controller.telemetry_port right?", caught.records[-1].getMessage())
        self.turn(5)
        self.turn(SETTLE_TIME)
        self.server.send(topic_line(6, 1))
        self.assertEqual(self.latest_line(6), topic_line(6, 1))

    def test_line_over_the_limit(self) -> None:
        """A line over the limit is dropped, however it arrives; the next one comes on the same connection."""
        longest = topic_line(6, size=MAX_LINE_LENGTH - len(topic_line(6)))
        data = longest.replace(b"x", b"xx", 1) + b"\r\n" + longest + b"\r\n"
        with self.logged(logging.WARNING) as caught:
            self.server.send_bytes(data)
            for start in range(0, len(data), 1000):
                self.server.send_bytes(data[start : start + 1000])
        [record] = caught.records
        self.assertIn("longer than 65536 bytes", record.getMessage())
        self.assertLess(len(record.getMessage()), 400)
        self.assertEqual((self.link.lines, self.link.malformed), (2, 2))
        self.assertEqual(len(self.server.far_ends), 1)

    def test_loss(self) -> None:
        """After a loss the link connects again; what it knows stays, with its age."""
        self.server.send(topic_line(6, 1))
        self.server.far_ends[-1].transport.abortConnection()
        self.turn()
        self.assertFalse(self.link.connected)
        self.turn(0.2)
        self.turn(SETTLE_TIME)
        self.assertTrue(self.link.connected)
        self.assertEqual(self.latest_line(6), topic_line(6, 1))
        self.server.send(topic_line(6, 2))
        self.assertEqual((self.latest_line(6), self.link.lines), (topic_line(6, 2), 2))

    def test_silence(self) -> None:
        """A second without telemetry is silence, told once; garbage does not end it, and telemetry does."""
        self.server.send(topic_line(6))
        self.turn(SILENCE / 2)
        self.assertFalse(self.link.silent)
        with self.logged(logging.INFO) as caught:
            for _ in range(5):
                self.turn(SILENCE)
            self.assertTrue(self.link.silent)
            self.server.send(b"garbage")
            self.assertTrue(self.link.silent)
            self.server.send(topic_line(6))
            self.assertFalse(self.link.silent)
        [silent, _, again] = [record.getMessage() for record in caught.records]
        self.assertTrue(silent.startswith("telemetry: no telemetry for 1 s: nothing from 127.0.0.1:"), silent)
        self.assertIn("telemetry from 127.0.0.1", again)
        [(fell_silent, why), back] = self.silences
        self.assertEqual((fell_silent, back), (True, (False, "")))
        self.assertIn("nothing from 127.0.0.1", why)

    def test_never_reached(self) -> None:
        """A server that is not there is silence, too; the log says why."""
        with self.logged(logging.WARNING) as caught:
            self.server.listening.stopListening()
            self.server.far_ends[-1].transport.abortConnection()
            self.turn(2)
        self.assertTrue(self.link.silent)
        self.assertIn("no telemetry for 1 s: no telemetry server on 127.0.0.1:", caught.output[0])
