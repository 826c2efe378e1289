"""`client.telemetry`: a reader of telemetry, and a server of telemetry in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import mtmount_twisted
from mtmount_twisted import TelemetryClient
from mtmount_twisted.dialects.tma2022 import telemetry
from mtmount_twisted.dialects.tma2022.telemetry import TIMED_TOPICS
from mtmount_twisted.errors import ConnectionLostError, LineError, PairClosedError
from mtmount_twisted.net.duplex import SETTLE_TIME
from mtmount_twisted.testing import HOST, FarProtocol, MemoryReactor
from tests.support.pairs import LOG

TAI = 1.8e9
"""TAI when a test begins."""


class Server(Factory[Protocol]):
    """A telemetry server in memory, and the clients that have connected to it."""

    def __init__(self) -> None:
        self.far_ends: list[FarProtocol] = []

    def buildProtocol(self, addr: Any) -> Protocol:
        """One more client."""
        self.far_ends.append(FarProtocol())
        return self.far_ends[-1]


@implementer(IPushProducer)
class Source:
    """What a server writes from: whether it has to wait."""

    is_paused = False

    def pauseProducing(self) -> None:
        """Wait."""
        self.is_paused = True

    def resumeProducing(self) -> None:
        """Go on."""

    def stopProducing(self) -> None:
        """The connection is lost."""


class TelemetryCase(SynchronousTestCase):
    """A client that is connected."""

    def setUp(self, **options: Any) -> None:
        self.reactor = MemoryReactor()
        self.server = Server()
        listening: Any = self.reactor.listenTCP(0, self.server, interface=HOST)
        self.port = listening.getHost().port
        self.reports: list[bool] = []
        self.begin(**options)
        self.addCleanup(self.close)

    def begin(self, **options: Any) -> None:
        """Start a client."""
        self.client: TelemetryClient[Any] = TelemetryClient(
            "telemetry",
            HOST,
            self.port,
            LOG,
            reactor=self.reactor,
            tai=lambda: TAI + self.reactor.seconds(),
            silence_callback=lambda client: self.reports.append(client.silent),
            **options,
        )
        self.turn(SETTLE_TIME)

    def again(self, **options: Any) -> None:
        """Close the client, and start another one with other options."""
        self.close()
        self.reports.clear()
        self.begin(**options)

    def close(self) -> None:
        """Close the client, and see that nothing is left."""
        closed = self.client.close()
        self.turn()
        self.successResultOf(closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and the reactor turn."""
        for _ in range(3):
            self.reactor.advance(0)
        self.reactor.advance(seconds)
        for _ in range(3):
            self.reactor.advance(0)

    def send(self, *messages: Any) -> None:
        """The server sends topics, or bytes as they are."""
        data = b"".join(each if isinstance(each, bytes) else each.encode() for each in messages)
        self.server.far_ends[-1].transport.write(data)
        self.turn()

    def azimuth(self, position: float, late: float = 0.0) -> telemetry.Azimuth:
        """The azimuth topic of a mount whose clock is so many seconds ahead."""
        return telemetry.Azimuth(timestamp=TAI + self.reactor.seconds() + late, actual_position=position)

    def read(self) -> Any:
        """The next value, which is there."""
        return self.successResultOf(self.client.read())


class ReadingTests(TelemetryCase):
    """What is read."""

    def test_values(self) -> None:
        """Topics come as typed values, in order; an unknown one keeps its values."""
        self.send(self.azimuth(1.5), telemetry.Elevation(timestamp=1.0, actual_position=80.0))
        self.send(b'{"topicID":777,"timestamp":1.5,"x":1}\r\n')
        azimuth, elevation, unknown = self.read(), self.read(), self.read()
        self.assertIsInstance(azimuth, telemetry.Azimuth)
        self.assertEqual((azimuth.actual_position, elevation.actual_position), (1.5, 80.0))
        self.assertEqual((unknown.topic_id, unknown.values), (777, {"x": 1}))

    def test_lines(self) -> None:
        """With ``raw`` they come as they are, without their terminators, whatever they hold."""
        self.again(raw=True)
        line = b'{"topicID": 6, "timestamp": 1.5, "actualPosition": "no number"}'
        self.send(line + b"\r\nx\r\n")
        self.assertEqual([self.read(), self.read()], [line, b"x"])

    def test_bad_line(self) -> None:
        """A line that is not telemetry fails one read; ``each`` tells of it and goes on."""
        found: list[Any] = []
        each = self.client.each(lambda topic: found.append(topic.topic_id), found.append)
        following = Deferred.fromCoroutine(each)
        self.send(self.azimuth(1), b'{"id":3}\r\n', self.azimuth(2))
        self.assertEqual([found[0], found[2]], [6, 6])
        self.assertIsInstance(found[1], LineError)
        self.client.close()
        self.turn()
        self.successResultOf(following)

    def test_wanted_topics(self) -> None:
        """Topics that are not asked for are dropped, whether they are named by class or by number."""
        self.again(topics=[telemetry.Azimuth, 15])
        self.send(
            telemetry.CameraCableWrap(timestamp=1.0), telemetry.Elevation(timestamp=1.0), self.azimuth(3)
        )
        self.assertEqual([self.read().topic_id, self.read().topic_id], [15, 6])
        self.assertNoResult(rest := self.client.read())
        rest.addErrback(lambda reason: None)

    def test_every_line(self) -> None:
        """By default no line is lost: a reader that is behind makes the server wait."""
        self.again(max_unread=10)
        source = Source()
        transport = self.server.far_ends[-1].transport
        transport.registerProducer(source, True)
        count = 0
        while not source.is_paused:
            transport.write(b"".join(self.azimuth(count + index).encode() for index in range(100)))
            count += 100
            self.turn()
        found = []
        for _ in range(count):
            found.append(self.read().actual_position)
            self.turn()
        self.assertEqual(found, list(range(count)))
        self.assertEqual(self.client.missed, 0)

    def test_conflated(self) -> None:
        """With ``conflate`` a reader that is behind gets the latest line of each topic, and the count."""
        self.again(conflate=True)
        for position in range(500):
            self.send(self.azimuth(position), telemetry.Elevation(timestamp=1.0, actual_position=position))
        self.assertEqual([self.read().actual_position, self.read().actual_position], [499, 499])
        self.assertEqual(self.client.missed, 998)
        self.send(*(self.azimuth(position) for position in range(5)))
        self.assertEqual(self.read().actual_position, 4)

    def test_nothing_to_write(self) -> None:
        """The server reads nothing, so there is nothing that may be written."""
        error = self.failureResultOf(self.client.write(self.azimuth(1)), TypeError).value
        self.assertIn("the telemetry server reads nothing", str(error))


class ConnectionTests(TelemetryCase):
    """Losses, silence and the end."""

    def test_reconnects(self) -> None:
        """A loss fails the waiting read; then it connects again and reads on."""
        read = self.client.read()
        self.server.far_ends[-1].transport.loseConnection()
        self.turn()
        self.failureResultOf(read, ConnectionLostError)
        self.turn(1.5)
        self.send(self.azimuth(5))
        self.assertEqual(self.read().actual_position, 5)
        self.assertEqual(len(self.server.far_ends), 2)

    def test_silence(self) -> None:
        """Silence of 1 s is reported once, and so is its end."""
        self.send(self.azimuth(1))
        for _ in range(5):
            self.turn(0.9)
            self.send(self.azimuth(1))
        self.assertEqual(self.reports, [])
        with self.assertLogs(LOG, "WARNING") as logged:
            self.turn(1.01)
        self.assertEqual((self.client.silent, self.reports), (True, [True]))
        self.assertIn("no telemetry for 1 s", logged.output[0])
        self.turn(5.0)
        self.assertEqual(self.reports, [True])
        self.send(self.azimuth(1))
        self.assertEqual((self.client.silent, self.reports), (False, [True, False]))
        self.turn(1.01)
        self.assertEqual(self.reports, [True, False, True])

    def test_silence_without_a_connection(self) -> None:
        """A server that is gone is silent, too, and the warning says what is wrong."""
        self.send(self.azimuth(1))
        self.server.far_ends[-1].transport.loseConnection()
        with self.assertLogs(LOG, "WARNING") as logged:
            self.turn(1.01)
        self.assertEqual(self.reports, [True])
        self.assertIn(f"no telemetry on {HOST}:{self.port}", logged.output[0])

    def test_garbage_is_silence(self) -> None:
        """A server that sends no telemetry is silent, whatever it sends."""
        for _ in range(4):
            self.turn(0.3)
            self.send(b"x\r\n")
        self.assertEqual(self.reports, [True])

    def test_silence_of_this_side(self) -> None:
        """While this side does not read from the socket it can't know: that is no silence."""
        self.again(max_unread=1)
        self.send(self.azimuth(1))
        self.turn(5.0)
        self.assertEqual(self.reports, [])
        self.read()
        self.turn(0.5)
        self.assertEqual(self.reports, [])
        self.turn(0.6)
        self.assertEqual(self.reports, [True])

    def test_pause_of_the_process(self) -> None:
        """After a pause of the process, what has arrived meanwhile is read first: that is no silence."""
        self.send(self.azimuth(1))
        self.server.far_ends[-1].transport.write(self.azimuth(2).encode())
        self.reactor.advance(3.0)
        self.turn()
        self.assertEqual(self.reports, [])
        self.assertEqual([self.read().actual_position, self.read().actual_position], [1, 2])

    def test_callback_fails(self) -> None:
        """An error of the callback is logged."""
        self.client.silence_callback = lambda client: 1 / 0
        with self.assertLogs(LOG, "ERROR") as logged:
            self.turn(1.01)
        self.assertIn("silence_callback failed", logged.output[0])
        self.assertIn("ZeroDivisionError", logged.output[0])

    def test_close(self) -> None:
        """A wait ends when it is closed, and no timer is left."""
        read = self.client.read()
        self.close()
        self.failureResultOf(read, PairClosedError)
        self.turn(5.0)
        self.assertEqual(self.reports, [])

    def test_wrong_arguments(self) -> None:
        """The error names the parameter."""
        for wrong, kind in (
            ({"raw": "yes"}, TypeError),
            ({"conflate": None}, TypeError),
            ({"silence_after": 0}, ValueError),
            ({"silence_after": "1"}, TypeError),
            ({"silence_after": float("nan")}, TypeError),
            ({"silence_callback": 5}, TypeError),
            ({"topics": ["azimuth"]}, TypeError),
            ({"port": 0}, ValueError),
        ):
            arguments: dict[str, Any] = {"port": 1, "reactor": MemoryReactor()} | wrong
            with self.assertRaisesRegex(kind, f"^{next(iter(wrong))}: expected .*, got "):
                TelemetryClient("telemetry", HOST, log=LOG, **arguments)

    def test_exported(self) -> None:
        """A program imports it from the package, which has no other name that it does not have."""
        self.assertIs(mtmount_twisted.TelemetryClient, TelemetryClient)
        with self.assertRaisesRegex(AttributeError, "no attribute 'Telemetry'"):
            getattr(mtmount_twisted, "Telemetry")


class ClockTests(TelemetryCase):
    """The clock offset."""

    def test_offset(self) -> None:
        """It is the mount's clock minus this one, from the first line on."""
        self.assertIsNone(self.client.clock_offset)
        self.send(self.azimuth(1, late=0.25))
        self.assertAlmostEqual(self.offset(), 0.25, 5)

    def test_delays_do_not_count(self) -> None:
        """Of each second the line with the least delay counts."""
        for late in (0.25, -0.5, 0.2, -3.0):
            self.send(self.azimuth(1, late=late))
            self.turn(0.3)
        self.send(self.azimuth(1, late=0.1))
        self.assertAlmostEqual(self.offset(), 0.25, 5)
        self.turn(1.1)
        self.send(self.azimuth(1, late=0.1))
        self.assertAlmostEqual(self.offset(), 0.1, 5)

    def test_timed_topics(self) -> None:
        """It is measured from the topics that come most often, even if they are not asked for."""
        self.again(topics=[8])
        self.send(telemetry.CameraCableWrap(timestamp=5.0))
        self.assertIsNone(self.client.clock_offset)
        self.send(self.azimuth(1, late=0.25))
        self.assertAlmostEqual(self.offset(), 0.25, 5)
        self.assertEqual(sorted(TIMED_TOPICS), [5, 6, 14, 15])

    def offset(self) -> float:
        """The offset, which is known."""
        assert self.client.clock_offset is not None
        return self.client.clock_offset
