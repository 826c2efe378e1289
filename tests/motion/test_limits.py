"""The time until a limit, against the sky moved step by step."""

from __future__ import annotations

import math
import os
from typing import Any

import erfa
import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.motion.limits import (
    AHEAD,
    LIMITS,
    AxisLimits,
    AxisMotion,
    LimitSettings,
    limits,
    sky_rates,
    time_to_limit,
    track_ends,
)
from mtmount_twisted.motion.sky import Site

TARGETS = int(os.environ.get("MTMOUNT_TARGETS", "2500"))
"""The number of random places: `make slews` tries 10,000."""

STEP = 120.0
NOW = 1_795_000_000.0  # 2026-11-18
SITE = Site(ut1_utc=0.05)
PHI = math.radians(SITE.latitude)
AZIMUTH, ELEVATION = LIMITS["azimuth"], LIMITS["elevation"]


_SITE = math.radians(SITE.longitude), PHI, SITE.height, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5
_ASTROM, _ = erfa.apco13(2440587.5, NOW / 86400.0, SITE.ut1_utc, *_SITE)


def horizontal(ra: Any, dec: Any, seconds: Any) -> tuple[Any, Any]:
    """Return azimuth and elevation (deg) of places of date (CIRS, rad) some seconds after `NOW`."""
    ut1 = (NOW + np.asarray(seconds) + SITE.ut1_utc) / 86400.0
    az, zenith, *_ = erfa.atioq(ra, dec, erfa.aper13(2440587.5, ut1, _ASTROM))
    return np.degrees(az), 90.0 - np.degrees(zenith)


class Brute:
    """Many places in the sky, and the first time at which each is beyond a limit.

    The limits of azimuth are up to 200 deg away, each place has its own.
    """

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(15)
        self.azimuth = rng.uniform(-270, 270, count)
        self.azimuth_low = self.azimuth - rng.uniform(0, 200, count)
        self.azimuth_high = self.azimuth + rng.uniform(0, 200, count)
        # Uniform on the sky between the limits, and every tenth from near the zenith.
        low, high = np.sin(np.radians(ELEVATION))
        self.elevation = np.degrees(np.arcsin(rng.uniform(low, high, count)))
        self.elevation[::10] = rng.uniform(80, 86.39, len(self.elevation[::10]))
        self.ra, self.dec = erfa.atoiq(
            "A", np.radians(self.azimuth % 360), np.radians(90 - self.elevation), _ASTROM
        )
        self.times = np.arange(0.0, AHEAD + STEP, STEP)
        az, self.elevations = horizontal(self.ra[:, None], self.dec[:, None], self.times[None, :])
        self.azimuths = np.degrees(np.unwrap(np.radians(az), axis=1))
        self.azimuths += (self.azimuth - self.azimuths[:, 0])[:, None]

    def first(self, values: Any, limit: Any, sign: int) -> Any:
        """Return the time at which each row of values first passes a limit, by bisection; NaN if never."""
        limit = np.broadcast_to(limit, len(values))
        beyond = sign * (values - limit[:, None]) >= 0
        found = np.full(len(values), np.nan)
        rows = np.flatnonzero(beyond.any(axis=1))
        index = np.maximum(1, beyond[rows].argmax(axis=1))
        low, high = self.times[index - 1], self.times[index]
        start = values[rows, index - 1]
        for _ in range(11):  # 120 s / 2^11: 60 ms
            middle = (low + high) / 2
            az, el = horizontal(self.ra[rows], self.dec[rows], middle)
            value = el if values is self.elevations else start + (az - start + 180) % 360 - 180
            is_beyond = sign * (value - limit[rows]) >= 0
            high, low = np.where(is_beyond, middle, high), np.where(is_beyond, low, middle)
        found[rows] = high
        return found


class TrackEndsTests(SynchronousTestCase):
    """A tracked place in the sky."""

    def test_random_targets(self) -> None:
        """For random places each time is within 1 s, or 0.01 deg at that time, of the sky moved in steps."""
        brute = Brute(TARGETS)
        ours = np.array(
            [
                [math.nan if seconds is None else seconds for seconds in row]
                for row in (
                    track_ends(SITE.latitude, az, el, AxisLimits(low, high), ELEVATION)
                    for az, el, low, high in zip(
                        brute.azimuth.tolist(),
                        brute.elevation.tolist(),
                        brute.azimuth_low.tolist(),
                        brute.azimuth_high.tolist(),
                    )
                )
            ]
        )
        cases = (
            ("sets", brute.elevations, ELEVATION.low, -1),
            ("zenith", brute.elevations, ELEVATION.high, 1),
            ("unwrap_low", brute.azimuths, brute.azimuth_low, -1),
            ("unwrap_high", brute.azimuths, brute.azimuth_high, 1),
        )
        for column, (name, values, limit, sign) in enumerate(cases):
            theirs, got = brute.first(values, limit, sign), ours[:, column]
            with np.errstate(invalid="ignore"):
                wrong = ~((np.abs(theirs - got) <= 1.0) | (np.isnan(theirs) & np.isnan(got)))
            for row in np.flatnonzero(wrong):
                # A place that just touches a limit: it is within 0.01 deg of it then.
                time = got[row] if np.isfinite(got[row]) else theirs[row]
                if time > AHEAD - 1.0:
                    continue
                near = np.interp(time, brute.times, values[row])
                if np.isfinite(got[row]):
                    az, el = horizontal(brute.ra[row], brute.dec[row], time)
                    near = el if values is brute.elevations else near + (az - near + 180) % 360 - 180
                self.assertLessEqual(
                    abs(near - np.broadcast_to(limit, TARGETS)[row]), 0.01, (name, row, got[row], theirs[row])
                )
            self.assertGreater(np.isfinite(got).sum(), TARGETS // 25, f"too few cases of {name}")
            self.assertLess(wrong.sum(), TARGETS // 500, name)

    def test_already_there(self) -> None:
        """At a limit, or beyond it, the time is 0."""
        ends = track_ends(SITE.latitude, 270.0, 86.4, AZIMUTH, ELEVATION)
        self.assertEqual((ends.zenith, ends.unwrap_high), (0.0, 0.0))
        ends = track_ends(SITE.latitude, -271.0, 15.0, AZIMUTH, ELEVATION)
        self.assertEqual((ends.sets, ends.unwrap_low), (0.0, 0.0))

    def test_same_place_other_turn(self) -> None:
        """The same place in the sky needs an unwrap in one turn of the azimuth, and not in another."""
        there = track_ends(SITE.latitude, 95.0, 40.0, AZIMUTH, ELEVATION)
        back = track_ends(SITE.latitude, -265.0, 40.0, AZIMUTH, ELEVATION)
        self.assertEqual((there.sets, there.zenith), (back.sets, back.zenith))
        self.assertIsNone(there.unwrap_low)
        self.assertIsNotNone(back.unwrap_low)

    def test_pole_stands_still(self) -> None:
        """The celestial pole reaches no limit."""
        ends = track_ends(SITE.latitude, 180.0, -SITE.latitude, AZIMUTH, ELEVATION)
        self.assertEqual(set(ends), {None})


class TimeToLimitTests(SynchronousTestCase):
    """The present motion."""

    def test_towards(self) -> None:
        """The way divided by the velocity, towards the limit only, and 12 h ahead only."""
        self.assertEqual(time_to_limit(260.0, 2.0, 270.0, "+"), 5.0)
        self.assertEqual(time_to_limit(-260.0, -2.0, -270.0, "-"), 5.0)
        self.assertIsNone(time_to_limit(260.0, -2.0, 270.0, "+"))
        self.assertIsNone(time_to_limit(260.0, 0.0, 270.0, "+"))
        self.assertIsNone(time_to_limit(0.0, 0.006, 270.0, "+"))
        self.assertEqual(time_to_limit(270.5, -1.0, 270.0, "+"), 0.0)


class LimitsTests(SynchronousTestCase):
    """The rows of the table."""

    def test_moving(self) -> None:
        """Each axis in each direction, the nearest first, with the level of its time."""
        axes = {
            "azimuth": AxisMotion(0.0, 1.0),
            "elevation": AxisMotion(45.0, 0.0),
            "cameraCableWrap": AxisMotion(-60.0, -0.02),
        }
        rows = limits(axes, tracking=False, latitude=SITE.latitude)  # type: ignore[arg-type]
        self.assertEqual(
            [(row.name, row.kind, row.limit, row.basis, row.level) for row in rows],
            [
                ("Azimuth +", "software", 270.0, "motion", "alarm"),
                ("Cable wrap -", "wrap", -90.0, "motion", "caution"),
                ("Elevation -", "software", 15.1, "still", "calm"),
                ("Elevation +", "software", 86.4, "still", "calm"),
                ("Cable wrap +", "wrap", 90.0, "motion", "calm"),
                ("Azimuth -", "software", -270.0, "motion", "calm"),
            ],
        )
        self.assertEqual([row.seconds for row in rows[:2]], [270.0, 1500.0])
        self.assertEqual([row.distance for row in rows[:2]], [270.0, 30.0])

    def test_target(self) -> None:
        """An axis that moves to a target between its limits reaches none; beyond them it does."""
        for target, seconds in ((200.0, None), (300.0, 270.0), (None, 270.0)):
            axes = {"azimuth": AxisMotion(0.0, 1.0, target)}
            rows = limits(axes, tracking=False, latitude=SITE.latitude)  # type: ignore[arg-type]
            self.assertEqual([row.seconds for row in rows if row.direction == "+"], [seconds], target)

    def test_tracking(self) -> None:
        """A tracked place sets, reaches the zenith limit or needs an unwrap; the cable wrap just moves."""
        rates = sky_rates(SITE.latitude, -100.0, 20.0)
        axes = {
            "azimuth": AxisMotion(-100.0, rates[0]),
            "elevation": AxisMotion(20.0, rates[1]),
            "cameraCableWrap": AxisMotion(0.0, 0.0),
        }
        rows = limits(axes, tracking=True, latitude=SITE.latitude)  # type: ignore[arg-type]
        self.assertEqual(rows[0].kind, "sets")
        self.assertEqual(
            {(row.axis, row.kind) for row in rows if row.basis == "tracking"},
            {("azimuth", "unwrap"), ("elevation", "sets"), ("elevation", "zenith")},
        )
        ends = track_ends(SITE.latitude, -100.0, 20.0, AZIMUTH, ELEVATION)
        self.assertEqual(rows[0].seconds, ends.sets)

    def test_other_than_the_sky(self) -> None:
        """A mount that tracks at other rates than the sky's reaches its limits at these rates."""
        axes = {"azimuth": AxisMotion(269.0, 0.004, 269.0), "elevation": AxisMotion(45.0, 0.0, 45.0)}
        [row, *_] = limits(axes, tracking=True, latitude=SITE.latitude)  # type: ignore[arg-type]
        self.assertEqual(
            (row.name, row.seconds, row.level, row.basis), ("Azimuth +", 250.0, "alarm", "motion")
        )

    def test_cable_wrap_beside_a_track(self) -> None:
        """The cable wrap moves to a target between its limits, also while the main axes track."""
        rates = sky_rates(SITE.latitude, -100.0, 50.0)
        axes = {
            "azimuth": AxisMotion(-100.0, rates[0]),
            "elevation": AxisMotion(50.0, rates[1]),
            "cameraCableWrap": AxisMotion(0.0, 3.0, 60.0),
        }
        rows = limits(axes, tracking=True, latitude=SITE.latitude)  # type: ignore[arg-type]
        self.assertEqual([row.seconds for row in rows if row.axis == "cameraCableWrap"], [None, None])

    def test_settings(self) -> None:
        """The mount's own limits and the site's levels count; an axis that is not known has no row."""
        axes = {"azimuth": AxisMotion(0.0, 1.0)}
        rows = limits(
            axes,  # type: ignore[arg-type]
            {"azimuth": AxisLimits(-260.0, 100.0)},
            tracking=True,
            latitude=SITE.latitude,
            settings=LimitSettings(caution=101.0, alarm=99.0),
        )
        self.assertEqual((rows[0].limit, rows[0].seconds, rows[0].level), (100.0, 100.0, "caution"))
        self.assertEqual(len(rows), 2)

    def test_not_a_number(self) -> None:
        """An axis whose position or velocity is NaN has no row, and the others have theirs."""
        axes = {"azimuth": AxisMotion(math.nan, 1.0), "elevation": AxisMotion(45.0, 0.0)}
        rows = limits(axes, tracking=True, latitude=SITE.latitude)  # type: ignore[arg-type]
        self.assertEqual([(row.axis, row.basis) for row in rows], [("elevation", "still")] * 2)
