"""The table of slews: simulated slews, recomputed from the recorded raw data with numpy on whole columns."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.motion.following import Sample
from mtmount_twisted.motion.slews import AFTER_STANDSTILL, LONGEST, Axis, Slew, SlewSettings, SlewWatch
from mtmount_twisted.simulator.motion import State, Target, approach, in_position_changes, settle

SLEWS = int(os.environ.get("MTMOUNT_SLEWS", "40"))
"""The number of simulated slews: `make slews` simulates 500 of them, in some 20 s."""

TICK = 0.05
RATES: dict[Axis, float] = {"azimuth": 7.0, "elevation": 3.5}
SETTINGS = SlewSettings()


class Raw(NamedTuple):
    """One thing that the mount sent: a sample of an axis, or a report about it.

    :ivar goal: the goal of a move that begins.
    :ivar braking: True if the axis brakes, False if it stands.
    """

    at: float
    axis: Axis
    sample: Sample | None
    in_position: bool | None
    goal: float | None = None
    braking: bool | None = None


def slew(
    start: float, way: dict[Axis, float], noise: float, seconds: float, chance: random.Random
) -> list[Raw]:
    """Return what a mount sends from 1 s before a slew until some time after its start.

    Each value has a time stamp of its own, up to 50 ms before the line. Azimuth and elevation track a star.

    :param noise: standard deviation of the following error, arcsec.
    """
    raw = []
    ringing, decay = chance.uniform(0, 0.4), chance.uniform(0.3, 1.5)
    centre: dict[Axis, float] = {"azimuth": chance.uniform(-60, 60), "elevation": 50.0 - way["elevation"] / 2}
    for axis, rate in RATES.items():
        drift = chance.uniform(-0.005, 0.005)
        old = Target(start, centre[axis], drift)
        new = Target(start, centre[axis] + way[axis], chance.uniform(-0.005, 0.005))
        path = approach(start, State(old.position, drift), new, rate, rate)
        path = settle(path, new, 0.01, 0.01, rate, rate)
        for index in range(-20, round(seconds / TICK)):
            at = start + TICK * index + 0.013
            demand_at, actual_at = (at - chance.uniform(0, 0.05) for _ in range(2))
            demand = (new if demand_at >= start else old).at(demand_at).position
            place = path.at(actual_at) if actual_at >= start else old.at(actual_at)
            error = chance.gauss(0, noise)
            if actual_at > path.end:
                error += ringing * math.exp((path.end - actual_at) / decay)
            actual = place.position + error / 3600
            raw.append(Raw(at, axis, Sample(demand, demand_at, actual, actual_at), None))
        for change in in_position_changes(path, new, 0.01, 0.01):
            at = start + math.ceil((change.time - start) / 0.2 + 1e-9) * 0.2  # looked at every 0.2 s
            raw.append(Raw(at, axis, None, change.in_position))
    return sorted(raw, key=lambda item: item.at)


def watched(raw: Iterable[Raw], settings: SlewSettings = SETTINGS) -> list[Slew]:
    """Return the slews that a watch finds."""
    watch = SlewWatch(settings)
    found = []
    for item in raw:
        found += feed(watch, item)
    return found


def feed(watch: SlewWatch, item: Raw) -> list[Slew]:
    """Return the slews that a watch finishes with one thing that the mount sent."""
    if item.sample is not None:
        return watch.add(item.axis, item.sample)
    if item.goal is not None:
        return watch.move(item.axis, item.goal, item.at)
    if item.braking is not None:
        return watch.stop(item.axis, item.braking, item.at)
    return watch.in_position(item.axis, bool(item.in_position), item.at)


def lagrange(times: Any, values: Any, at: Any) -> Any:
    """Return a column at other times: cubic, through the two values on each side."""
    first = np.clip(np.searchsorted(times, at, side="right") - 2, 0, len(times) - 4)
    result = np.zeros(len(at))
    for i in range(4):
        weight = np.ones(len(at))
        for j in range(4):
            if j != i:
                weight *= (at - times[first + j]) / (times[first + i] - times[first + j])
        result += weight * values[first + i]
    return result


def recomputed(raw: list[Raw]) -> dict[str, Any]:
    """Return the figures of the one slew in the raw data, from whole columns."""
    columns: dict[Axis, Any] = {
        axis: np.array([item.sample for item in raw if item.axis == axis and item.sample], dtype=float).T
        for axis in RATES
    }
    jumps, ways, errors = {}, {}, {}
    for axis, (demand, demand_at, actual, actual_at) in columns.items():
        order = np.argsort(demand_at)
        demand, demand_at = demand[order], demand_at[order]
        steps = np.flatnonzero(np.abs(np.diff(demand)) > 0.1)
        if len(steps):
            jumps[axis] = demand_at[steps[0] + 1]
            ways[axis] = demand[steps[0] + 1] - np.interp(jumps[axis], actual_at, actual)
        inside = (actual_at > demand_at[1]) & (actual_at <= demand_at[-2])
        error = (lagrange(demand_at, demand, actual_at) - actual)[inside] * 3600
        at = actual_at[inside]
        if axis == "azimuth":
            elevation, elevation_at = columns["elevation"][2:]
            error = error * np.cos(np.radians(np.interp(at, elevation_at, elevation)))
        errors[axis] = at, error
    start = min(jumps.values())
    there = max(
        item.at for item in raw if item.in_position and item.axis in jumps and item.at > jumps[item.axis]
    )

    def rms(begin: float) -> float:
        squares = 0.0
        for at, error in errors.values():
            first, last = np.searchsorted(at, (begin, begin + 15))
            squares += np.mean(error[first:last] ** 2)
        return math.sqrt(squares)

    starts = [there, *sorted(t for at, _ in errors.values() for t in at if t > there)]
    latest = min(at[-1] for at, _ in errors.values()) - 15
    settled = next((begin for begin in starts if begin <= latest and rms(begin) < SETTINGS.rms_limit), None)
    return {
        "start": start,
        "azimuth": ways.get("azimuth", 0.0),
        "elevation": ways.get("elevation", 0.0),
        "in_position_after": there - start,
        "settle": None if settled is None else settled - there,
        "error_at_in_position": math.hypot(*(np.interp(there, *pair) for pair in errors.values())),
        "rms": rms(there),
        "settled_rms": None if settled is None else rms(settled),
    }


class FiguresTests(SynchronousTestCase):
    """Each figure of a slew."""

    def test_simulated_slews(self) -> None:
        """For each slew times are within 10 ms, and angles and errors within 1e-4 arcsec."""
        chance = random.Random(15)
        counts = {"passed": 0, "settle": 0, "interrupted": 0, "time": 0}
        for index in range(SLEWS):
            size = (0.3, 3.4, 10.0, 25.0)[index % 4]
            way: dict[Axis, float] = {
                "azimuth": chance.choice((-1, 1)) * chance.uniform(0.15, size) * (index % 5 != 4),
                "elevation": chance.choice((-1, 1)) * chance.uniform(0.15, size) * (index % 5 != 3),
            }
            noise = chance.choice((0.002, 0.004, 0.0068, 0.02))
            longest = max(abs(way["azimuth"]) / 7, abs(way["elevation"]) / 3.5)
            # The start of the time scale keeps the resolution of a float, 0.2 µs in 2026, out of the errors.
            raw = slew(1000.0, way, noise, longest + 22.0, chance)
            # A jump at the end closes a slew that has not settled.
            found = watched([*raw, *jump_after(raw)])
            self.assertEqual(len(found), 1, (index, way))
            expected = recomputed(raw)
            for name, value in expected.items():
                got = getattr(found[0], name)
                if value is None or got is None:
                    self.assertEqual((got, value), (None, None), (index, name, found[0], expected))
                    continue
                is_angle = name in ("azimuth", "elevation")
                is_time = name in ("start", "in_position_after", "settle")
                bound = 0.01 if is_time else 1e-4 / 3600 if is_angle else 1e-4
                self.assertLessEqual(abs(got - value), bound, (index, name, found[0], expected))
            counts["passed"] += found[0].passed
            for failure in found[0].failures:
                counts[failure] += 1
        self.assertTrue(counts["passed"] > SLEWS // 5 and counts["settle"] > SLEWS // 10, counts)


def jump_after(raw: list[Raw]) -> list[Raw]:
    """Return samples that follow at once, in which the demand of azimuth jumps."""
    last = max((item for item in raw if item.sample and item.axis == "azimuth"), key=lambda item: item.at)
    sample = last.sample
    assert sample is not None and sample.demand is not None and sample.demand_at is not None
    at = max(sample.demand_at, sample.actual_at or 0.0) + TICK
    return [Raw(at, "azimuth", Sample(sample.demand + 5.0, at, sample.actual, at), None)]


def moved(
    way: dict[Axis, float], rate: float = 2.0, seconds: float = 25.0, stop: float | None = None
) -> list[Raw]:
    """Return what a mount sends around a move from point to point, in which the demand is the path itself.

    :param stop: s after the start, at which the mount stops at once; None for a whole move.
    """
    raw, ends = [], {}
    for axis, distance in way.items():
        goal = Target(1000.0, 50.0 + distance)
        path = approach(1000.0, State(50.0, 0.0), goal, rate, 1.0)
        ends[axis] = path.end if distance else 1000.0
        for index in range(-40, round(seconds / TICK)):
            at = 1000.0 + TICK * index + 0.013
            place = (
                path.at(min(at, math.inf if stop is None else 1000.0 + stop)).position if at > 1000 else 50.0
            )
            raw.append(Raw(at, axis, Sample(place, at, place - 0.003 / 3600, at), None))
        if distance:
            raw.append(Raw(1000.0, axis, None, None, goal.position))
            raw.append(Raw(1000.0, axis, None, False))
            if stop is None:
                raw.append(Raw(path.end, axis, None, True))
    return sorted(raw, key=lambda item: item.at)


class MoveTests(SynchronousTestCase):
    """A move from point to point, whose demand does not jump: it begins with the mount's report."""

    def only(self, found: list[Slew]) -> Slew:
        """Return the only slew."""
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_figures(self) -> None:
        """The row has the way, the time until both axes are in position, and the error from then on."""
        raw = moved({"azimuth": 10.0, "elevation": -3.0})
        row = self.only(watched(raw))
        self.assertEqual((row.kind, row.start, row.passed), ("move", 1000.0, True))
        self.assertAlmostEqual(row.azimuth, 10.0, 3)  # its position is interpolated over the start
        self.assertAlmostEqual(row.elevation, -3.0, 3)
        self.assertAlmostEqual(row.in_position_after or 0.0, 7.0, 9)  # 10 deg at 2 deg/s and 1 deg/s²
        self.assertEqual(row.settle, 0.0)
        expected = 0.003 * math.hypot(1.0, math.cos(math.radians(47.0)))
        for error in (row.error_at_in_position, row.rms, row.settled_rms):
            self.assertAlmostEqual(error or 0.0, expected, 5)

    def test_one_axis(self) -> None:
        """An axis that is there already is no part of the move, and does not end it."""
        way: dict[Axis, float] = {"azimuth": 10.0, "elevation": 0.0}
        raw = sorted([*moved(way), Raw(1000.0, "elevation", None, None, 50.0)], key=lambda item: item.at)
        row = self.only(watched(raw))
        self.assertEqual((row.elevation, row.failures), (0.0, ()))
        self.assertAlmostEqual(row.in_position_after or 0.0, 7.0, 9)

    def test_no_way(self) -> None:
        """A move of less than the jump of the settings makes no row."""
        self.assertEqual(watched(moved({"azimuth": 0.09, "elevation": -0.05})), [])

    def test_fast_mount(self) -> None:
        """A path so fast that its demand seems to jump is one move: the demand is where the axis is."""
        row = self.only(watched(moved({"azimuth": 90.0, "elevation": 0.0}, rate=1000.0, seconds=40.0)))
        self.assertEqual((row.failures, row.kind), ((), "move"))

    def test_demand_jumps(self) -> None:
        """If the demand jumps to the goal, the jump and the report are one slew, whichever comes first."""
        jump = slew(1000.0, {"azimuth": 3.0, "elevation": 2.0}, 0.003, 25.0, random.Random(3))
        goals = {
            axis: next(
                item.sample.demand for item in jump if item.axis == axis and item.sample and item.at > 1000.1
            )
            for axis in RATES
        }
        for at in (999.96, 1000.2):
            reports = [Raw(at, axis, None, None, goal) for axis, goal in goals.items()]
            row = self.only(watched(sorted([*jump, *reports], key=lambda item: item.at)))
            self.assertEqual((row.failures, row.kind), ((), "move"), at)
            self.assertAlmostEqual(row.azimuth, 3.0, 2)

    def test_stopped(self) -> None:
        """A stop on the way ends the row; a mount that only says that it stands may yet arrive."""
        for braking, end in ((True, 1003.0), (False, 1003.0 + AFTER_STANDSTILL)):
            watch = SlewWatch()
            ends = []
            raw = moved({"azimuth": 30.0, "elevation": 0.0}, stop=3.0)
            stopped = Raw(1003.0, "azimuth", None, None, None, braking)
            for item in sorted([*raw, stopped], key=lambda item: item.at):
                ends += [(item.at, row) for row in feed(watch, item)]
            [(at, row)] = ends
            self.assertEqual((row.failures, row.in_position_after), (("interrupted",), None))
            self.assertLess(abs(at - end), 0.1)

    def test_arrives_after_standstill(self) -> None:
        """The mount may say that it stands before it says that it is in position."""
        raw = moved({"azimuth": 10.0, "elevation": 0.0})
        stands = [Raw(1006.99, "azimuth", None, None, None, False)]
        row = self.only(watched(sorted([*raw, *stands], key=lambda item: item.at)))
        self.assertEqual(row.failures, ())

    def test_next_move(self) -> None:
        """The next move interrupts the row, and begins one of its own."""
        raw = moved({"azimuth": 30.0, "elevation": 0.0})
        after = Raw(1002.0, "azimuth", None, None, 0.0)
        watch = SlewWatch()
        found = [row for item in raw if item.at < 1002 for row in feed(watch, item)]
        row = self.only([*found, *feed(watch, after)])
        self.assertEqual(row.failures, ("interrupted",))
        assert watch.running is not None
        self.assertAlmostEqual(watch.running.azimuth, -52.0, 1)

    def test_slow(self) -> None:
        """A move may take longer than any slew: the mount says when it is over."""
        raw = moved({"azimuth": 200.0, "elevation": 0.0}, rate=1.0, seconds=LONGEST + 50)
        row = self.only(watched(raw))
        self.assertAlmostEqual(row.in_position_after or 0.0, 201.0, 9)
        self.assertEqual(row.failures, ())


class RulesTests(SynchronousTestCase):
    """When a slew begins, and how it ends."""

    def raw(self, azimuth: float = 3.0, elevation: float = 2.0, seconds: float = 25.0) -> list[Raw]:
        way: dict[Axis, float] = {"azimuth": azimuth, "elevation": elevation}
        return slew(1000.0, way, 0.003, seconds, random.Random(3))

    def only(self, found: list[Slew]) -> Slew:
        self.assertEqual(len(found), 1)
        return found[0]

    def test_passes(self) -> None:
        """A short, quick and quiet slew passes."""
        row = self.only(watched(self.raw()))
        self.assertEqual((row.failures, row.passed), ((), True))
        self.assertLess(row.settled_rms or 1.0, 0.01)

    def test_time(self) -> None:
        """In position later than allowed is a failure, for a slew of at most the distance of the setting."""
        quick = SlewSettings(time=1.0)
        self.assertEqual(self.only(watched(self.raw(), quick)).failures, ("time",))
        quick = SlewSettings(time=1.0, distance=2.5)
        self.assertEqual(self.only(watched(self.raw(), quick)).failures, ())

    def test_settle_and_rms(self) -> None:
        """Settled too late, and never settled, are different failures."""
        self.assertEqual(self.only(watched(self.raw(), SlewSettings(settle=0.0))).failures, ("settle",))
        row = self.only(watched(self.raw(seconds=90.0), SlewSettings(rms_limit=0.001)))
        self.assertEqual((row.failures, row.settle), (("rms",), None))
        self.assertGreater(row.rms or 0.0, 0.001)

    def test_interrupted(self) -> None:
        """A jump of the demand during a slew ends its row, and begins the next."""
        raw = [item for item in self.raw(30.0, 0.0) if item.at < 1002.0]
        watch = SlewWatch()
        found = [row for item in raw if item.sample for row in watch.add(item.axis, item.sample)]
        self.assertEqual(found, [])
        self.assertIsNotNone(watch.running)
        (after,) = jump_after(raw)
        row = self.only(watch.add(after.axis, after.sample))  # type: ignore[arg-type]
        self.assertEqual((row.failures, row.in_position_after), (("interrupted",), None))
        self.assertLess(abs(row.azimuth - 30.0), 0.01)
        self.assertEqual(watch.running.start if watch.running else None, after.at)

    def test_stop(self) -> None:
        """A stop, after which the demand is where the axis is, ends a slew and begins none."""
        raw = [item for item in self.raw(30.0, 0.0) if item.at < 1002.0 and item.sample]
        watch = SlewWatch()
        for item in raw:
            watch.add(item.axis, item.sample)  # type: ignore[arg-type]
        last, before = [item.sample for item in raw if item.axis == "azimuth"][:-3:-1]
        rate = (last.actual - before.actual) / (last.actual_at - before.actual_at)  # type: ignore
        at = max(last.demand_at, last.actual_at) + TICK  # type: ignore
        place = last.actual + rate * (at - last.actual_at)  # type: ignore
        row = self.only(watch.add("azimuth", Sample(place, at, place, at)))
        self.assertEqual((row.failures, watch.running), (("interrupted",), None))

    def test_telemetry_lost(self) -> None:
        """Without telemetry for over 2 s, or after `clear`, a slew can't be judged."""
        raw = self.raw()
        row = self.only(watched(item for item in raw if not 1005 < item.at < 1007.5))
        self.assertEqual(row.failures, ("telemetry",))
        self.assertIsNotNone(row.in_position_after)
        watch = SlewWatch()
        for item in raw:
            if item.sample and item.at < 1001:
                watch.add(item.axis, item.sample)
        self.assertEqual(self.only(watch.clear()).failures, ("telemetry",))
        self.assertEqual((watch.clear(), watch.running), ([], None))

    def test_never_in_position(self) -> None:
        """Without a report of in-position the row ends after a time, and says so."""
        raw = [item for item in self.raw(seconds=LONGEST + 2) if item.sample]
        row = self.only(watched(raw))
        self.assertEqual((row.failures, row.in_position_after, row.rms), (("time",), None, None))

    def test_report_from_before(self) -> None:
        """That the mount was in position before the jump does not count."""
        raw = self.raw()
        before = [Raw(999.5, axis, None, True) for axis in RATES]
        first, *rest = raw
        row = self.only(watched([first, *before, *rest]))
        self.assertGreater(row.in_position_after or 0.0, 1.0)

    def test_late_report(self) -> None:
        """A report that comes seconds after the samples of its time changes no figure."""
        raw = self.raw()
        late = sorted(raw, key=lambda item: item.at + (3.0 if item.sample is None else 0.0))
        self.assertEqual(watched(late), watched(raw))

    def test_no_jump(self) -> None:
        """Neither small offsets, nor tracking, nor a demand that speeds up to 7 deg/s is a slew."""
        self.assertEqual(watched(self.raw(0.09, -0.05)), [])
        watch = SlewWatch()
        for index in range(400):
            at = 1000.0 + TICK * index
            place = 3.5 * min(index * TICK, 1.0) ** 2 + 7.0 * max(0.0, index * TICK - 1.0)
            self.assertEqual(watch.add("azimuth", Sample(place, at, place, at)), [])
            self.assertIsNone(watch.running)

    def test_bad_values(self) -> None:
        """Samples without values change nothing."""
        nothing = (Sample(None, None, None, None), Sample(math.nan, math.nan, 1.0, math.inf))
        disturbed = []
        for item in self.raw():
            disturbed += [item, *(Raw(item.at, item.axis, sample, None) for sample in nothing)]
        self.assertEqual(watched(disturbed), watched(self.raw()))
