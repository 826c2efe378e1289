"""`mtmount_twisted.upstream.signals`: the latest value and the last hour of every signal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.dialects.tma2022.telemetry import Azimuth, Balancing, OilSupplySystem, Topics
from mtmount_twisted.interfaces import ISignals, ITelemetry
from mtmount_twisted.upstream.signals import CHUNK, SPAN
from tests.support.motion import MotionHouse


class SignalCase(SynchronousTestCase):
    """A memory of signals."""

    def setUp(self) -> None:
        self.house = MotionHouse()
        self.signals = self.house.signals

    def values(self, name: str, start: float = -math.inf, end: float = math.inf) -> list[float]:
        """Return all values of a signal in memory between two times."""
        [rows] = self.signals.snapshot([name])
        return [value for _, values in rows.between(start, end) for value in values.tolist()]

    def azimuths(self, *positions: float, every: float = 0.05) -> None:
        """The mount sends azimuths."""
        for position in positions:
            self.house.telemetry.say(Azimuth(timestamp=self.house.tai, actual_position=position))
            self.house.clock.advance(every)


class LatestTests(SignalCase):
    """The latest values."""

    def test_contracts(self) -> None:
        """The memory is what the page and the streams expect."""
        self.assertTrue(verifyObject(ISignals, self.signals))
        self.assertTrue(verifyObject(ITelemetry, self.house.telemetry))

    def test_every_quantity(self) -> None:
        """Every number of every topic is a signal with its unit; an element of an array has its number."""
        count = sum(info.count for topic in Topics for info in topic.field_infos if not info.measured)
        self.assertEqual(len([name for name in self.signals.units if not name.startswith("motion.")]), count)
        self.assertEqual(self.signals.units["azimuth.actualPosition"], "deg")
        self.assertEqual(self.signals.units["balancing.actualPosition4"], "mm")
        self.assertEqual(self.signals.periods["oilSupplySystem.ambientTemperature"], 5.0)
        self.assertFalse([name for name in self.signals.units if name.endswith("Timestamp")])

    def test_latest(self) -> None:
        """A reader gets the latest value of each signal, and the time of the newest."""
        self.assertEqual(self.signals.latest(["azimuth.actualPosition"]), (None, [None]))
        self.house.telemetry.say(Balancing(timestamp=1.0, actual_position=(1.0, 2.0, 3.0, 4.0)))
        self.house.clock.advance(0.05)
        self.azimuths(12.5, every=0.0)
        names = ["azimuth.actualPosition", "balancing.actualPosition2", "azimuth.actualTorque"]
        at, values = self.signals.latest(names)
        self.assertEqual((at, values), (self.house.wall_clock(), [12.5, 2.0, None]))

    def test_stale(self) -> None:
        """A value is gone after a second, or after three periods of a slow topic."""
        self.azimuths(1.0, every=0.0)
        self.house.telemetry.say(OilSupplySystem(timestamp=1.0, ambient_temperature=4.0))
        names = ["azimuth.actualPosition", "oilSupplySystem.ambientTemperature"]
        for wait, values in ((0.9, [1.0, 4.0]), (0.2, [None, 4.0]), (13.0, [None, 4.0]), (1.0, [None, None])):
            self.house.clock.advance(wait)
            self.assertEqual(self.signals.latest(names)[1], values)

    def test_clock_of_the_mount(self) -> None:
        """A mount whose clock is an hour wrong has fresh values all the same."""
        self.house.mount_ahead = -3600.0
        self.azimuths(1.0, every=0.0)
        self.assertEqual(self.signals.latest(["azimuth.actualPosition"]), (self.house.wall_clock(), [1.0]))

    def test_decoded_once(self) -> None:
        """A line is decoded once, however many ask for its values."""
        self.azimuths(1.0, 2.0)
        for _ in range(100):
            self.signals.latest(["azimuth.actualPosition"])
            value: Any = self.house.telemetry.latest(6)
            value.decoded()
        self.assertEqual(self.house.telemetry.decoded, 2)

    def test_malformed(self) -> None:
        """A line that can't be decoded changes nothing."""
        self.azimuths(1.0, every=0.0)
        self.house.telemetry.say_lines(b'{"topicID":6,"timestamp":1.0,"actualPosition":"high"}')
        self.assertEqual(self.signals.latest(["azimuth.actualPosition"])[1], [1.0])


class HourTests(SignalCase):
    """The last hour."""

    def test_rows(self) -> None:
        """The rows of several chunks are there in order; a snapshot does not change."""
        positions = [float(number) for number in range(300)]
        self.azimuths(*positions, every=0.5)
        [before] = self.signals.snapshot(["azimuth.actualPosition"])
        self.assertEqual(self.values("azimuth.actualPosition"), positions)
        self.azimuths(1e6)
        held = [value for _, values in before.between(0, math.inf) for value in values.tolist()]
        self.assertEqual(held, positions)

    def test_an_hour(self) -> None:
        """After more than an hour the oldest rows are gone, and at least an hour is there."""
        self.azimuths(*(float(number) for number in range(5000)), every=1.0)
        [rows] = self.signals.snapshot(["azimuth.actualPosition"])
        times = np.concatenate([times for times, _ in rows.between(0, math.inf)])
        span = self.house.wall_clock() - times[0]
        self.assertTrue(SPAN - 2 <= span <= SPAN + 2 * CHUNK, span)
        self.assertEqual(self.signals.oldest(["azimuth.actualPosition"]), times[0])

    def test_bounded(self) -> None:
        """A mount that sends far more often than it should does not fill memory."""
        for _ in range(100):
            self.azimuths(*range(1000), every=0.0005)
        most = 1.25 * (SPAN + 2 * CHUNK) / 0.05
        self.assertLess(len(self.values("azimuth.actualPosition")), most)

    def test_between(self) -> None:
        """A query gets the chunks with rows of its time only."""
        self.azimuths(*(float(number) for number in range(600)), every=1.0)
        start = self.house.start
        values = self.values("azimuth.actualPosition", start + 250, start + 260)
        self.assertTrue(set(range(250, 260)) <= set(values))
        self.assertLess(len(values), 2 * CHUNK + 2)
