"""The following error, at one moment and over a window."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.motion.following import ErrorSeries, Following, Sample, SlidingWindow, errors

START = 0.0
NOISE = 1e-5
"""Largest error without an error, arcsec: a thousandth of what is judged."""


def samples(
    demand: Callable[[float], float],
    error: Callable[[float], float] = lambda at: 0.0,
    *,
    seconds: float = 30.0,
    smear: float = 0.05,
    seed: int = 15,
) -> list[Sample]:
    """Return lines of telemetry every 50 ms, with time stamps up to `smear` before each.

    :param error: arcsec at a time.
    """
    chance = random.Random(seed)
    lines = []
    for index in range(round(seconds / 0.05)):
        at = START + 0.05 * index
        demand_at, actual_at = at - chance.uniform(0, smear), at - chance.uniform(0, smear)
        lines.append(
            Sample(demand(demand_at), demand_at, demand(actual_at) - error(actual_at) / 3600, actual_at)
        )
    return lines


def trapezoid(at: float) -> float:
    """Position of an axis that speeds up to 7 deg/s at 7 deg/s², cruises 5 s and slows down, from 5 s on."""
    at -= 5.0
    if at <= 0:
        return 0.0
    up, rest = min(at, 1.0), max(0.0, at - 1.0)
    cruise, down = min(rest, 5.0), min(max(0.0, rest - 5.0), 1.0)
    return 3.5 * up * up + 7.0 * cruise + 7.0 * down - 3.5 * down * down


def zenith(at: float) -> float:
    """Azimuth (deg) of a star that passes 4 deg from the zenith at 15 s."""
    return math.degrees(math.atan2(math.radians(15.0 / 3600.0) * (at - 15.0), math.radians(4.0)))


def all_errors(lines: list[Sample]) -> list[float]:
    """Return every error of these lines."""
    series = ErrorSeries()
    return [error for line in lines for _, error in series.add(line)]


class SmearTests(SynchronousTestCase):
    """50 ms between the time stamps of demand and actual position are no error."""

    def test_tracking(self) -> None:
        """Tracking without an error has none, near the zenith too."""
        found = all_errors(samples(zenith))
        self.assertGreater(len(found), 590)
        self.assertLess(max(map(abs, found)), NOISE)

    def test_slewing(self) -> None:
        """Nor has a path at 7 deg/s; where the acceleration steps by 7 deg/s² it is known to 8 arcsec."""
        lines = samples(trapezoid)
        series = ErrorSeries()
        steps = (5.0, 6.0, 11.0, 12.0)
        found = [value for line in lines for value in series.add(line)]
        self.assertGreater(len(found), 590)
        for at, error in found:
            beside = any(abs(at - step) < 0.2 for step in steps)
            self.assertLess(abs(error), 16.0 if beside else NOISE, at)
        naive = max(abs(line.demand - line.actual) for line in lines) * 3600  # type: ignore[operator]
        self.assertGreater(naive, 600, "the lines have no smear")

    def test_real_error_stays(self) -> None:
        """An error of 0.02 arcsec for a moment is found as it is."""
        lines = samples(zenith, lambda at: 0.02 if 9.9 < at < 10.1 else 0.0)
        found = all_errors(lines)
        self.assertAlmostEqual(max(found), 0.02, places=5)
        self.assertEqual(
            sum(error > 0.01 for error in found), sum(9.9 < line.actual_at < 10.1 for line in lines)
        )  # type: ignore[operator]

    def test_jump(self) -> None:
        """A jump of the demand adds nothing: each error is that before it, that after it, or between."""
        lines = [
            line._replace(demand=(line.demand or 0.0) + (20.0 if (line.demand_at or 0.0) > 10.0 else 0.0))
            for line in samples(zenith)
        ]
        for error in all_errors(lines):
            self.assertTrue(-NOISE < error < 72000 + NOISE, error)

    def test_columns(self) -> None:
        """Whole columns give the same errors, at the same times, with values missing and without."""
        chance = random.Random(1)
        for lines in (samples(trapezoid), samples(zenith, smear=0.0), samples(zenith, math.sin)):
            lines = [
                line._replace(demand=math.nan) if chance.random() < 0.02 else line
                for line in lines
                if not 12 < (line.actual_at or 0) < 13.5
            ]
            series = ErrorSeries()
            one_by_one = [value for line in lines for value in series.add(line)]
            columns = errors(*np.array(lines, dtype=float).T)
            at = np.array([line.actual_at for line in lines])
            known = np.isfinite(columns)
            self.assertEqual(at[known].tolist(), [value.at for value in one_by_one])
            np.testing.assert_allclose(columns[known], [value.value for value in one_by_one], atol=1e-9)

    def test_columns_with_bad_values(self) -> None:
        """In columns, demands that repeat or go back and values that are no position are left out too."""
        lines = samples(zenith, math.sin)
        demand, demand_at, actual, actual_at = np.array(lines, dtype=float).T
        expected = errors(demand, demand_at, actual, actual_at)
        again = [np.insert(column, [50, 90, 90], column[[40, 89, 85]]) for column in (demand, demand_at)]
        actual[60], actual[61] = math.inf, 1e300
        got = errors(again[0], again[1], actual, actual_at)
        self.assertTrue(np.isnan(got[60:62]).all())
        got[60:62] = expected[60:62]
        np.testing.assert_array_equal(got, expected)
        nothing = np.full(3, math.nan)
        self.assertTrue(np.isnan(errors(nothing, nothing, actual[:3], actual_at[:3])).all())


class FollowingTests(SynchronousTestCase):
    """The sliding window, and bad values."""

    def test_window(self) -> None:
        """RMS and greatest are those of the last 15 s, also after a slew with errors of degrees."""
        lines = samples(zenith, lambda at: 50_000.0 if at < 20 else 0.004 * math.sin(3 * at), seconds=60)
        following = Following()
        for line in lines:
            following.add(line, elevation=60.0)
        self.assertAlmostEqual(following.error_sky or 0.0, (following.error or 0.0) / 2)
        series = ErrorSeries()
        seen = [(at, error / 2) for line in lines for at, error in series.add(line)]
        last = following.at or 0.0
        inside = [error for at, error in seen if at >= last - 15]
        rms = math.sqrt(sum(error * error for error in inside) / len(inside))
        self.assertAlmostEqual(following.rms or 0.0, rms, places=9)
        self.assertAlmostEqual(following.greatest or 0.0, max(map(abs, inside)), places=9)
        self.assertLess(rms, 0.0016)
        self.assertTrue(14.9 < following.covered <= 15.0)

    def test_bad_values(self) -> None:
        """Missing values, NaN and old samples are left out: the errors of the others are as before."""
        lines = samples(zenith, lambda at: 0.01)
        nothing = Sample(None, None, None, None)
        disturbed = []
        for index, line in enumerate(lines):
            disturbed += [line] + (
                [nothing, Sample(math.nan, 1.0, math.inf, math.nan), Sample(1e300, 1e9, -1e300, 1e9)]
                if index % 5 == 0
                else []
            )
            disturbed += [line] + ([lines[index - 3]] if index % 7 == 6 else [])
        self.assertEqual(all_errors(disturbed), all_errors(lines))
        following = Following()
        for elevation in (None, math.nan, math.inf):
            following.add(nothing, elevation)
        self.assertEqual(
            (following.error, following.rms, following.greatest, following.covered), (None, None, None, 0.0)
        )

    def test_time_back(self) -> None:
        """If time goes back by more than a second, the window starts anew."""
        following = Following()
        for line in samples(zenith, lambda at: 5.0):
            following.add(line)
        later = following.at
        for line in samples(zenith, lambda at: 0.01, seconds=3.0):
            following.add(line)
        self.assertLess(following.at or 0.0, later or 0.0)
        self.assertAlmostEqual(following.greatest or 0.0, 0.01, places=5)

    def test_gap(self) -> None:
        """Between two demands that are 0.5 s apart there is no error, and none is invented."""
        lines = [line for line in samples(zenith) if not 10 < (line.demand_at or 0) < 11]
        extra = [Sample(None, None, 0.0, 10.1 + 0.05 * index) for index in range(10)]
        lines = sorted(lines + extra, key=lambda line: line.actual_at or 0.0)
        self.assertLess(max(map(abs, all_errors(lines))), NOISE)

    def test_clear(self) -> None:
        """After `clear` nothing is known."""
        following = Following()
        for line in samples(zenith):
            following.add(line)
        following.clear()
        self.assertEqual((following.error, following.at, following.rms), (None, None, None))


class SlidingWindowTests(SynchronousTestCase):
    """The sums, against a list."""

    def test_against_a_list(self) -> None:
        """After any adding and dropping, the sums are those of the values that are left."""
        chance = random.Random(2)
        window, values, at = SlidingWindow(), [], 0.0
        for _ in range(3000):
            at += chance.random()
            window.add(at, value := chance.gauss(0, 1))
            values.append((at, value))
            if chance.random() < 0.5:
                limit = at - chance.uniform(0, 20)
                window.drop_before(limit)
                values = [pair for pair in values if pair[0] >= limit]
            self.assertEqual(len(window), len(values))
            if values:
                self.assertAlmostEqual(
                    window.mean_square or 0.0, sum(v * v for _, v in values) / len(values), places=9
                )
                self.assertAlmostEqual(window.greatest or 0.0, max(abs(v) for _, v in values), places=9)
                self.assertEqual(window.oldest, values[0][0])
