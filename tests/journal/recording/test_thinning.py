"""Bins: no spike is lost."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.journal.recording.thinning import Bins, bin_times

SAMPLES = st.lists(
    st.tuples(st.floats(-1, 11), st.floats(allow_infinity=True, allow_nan=True, width=32)), max_size=60
)


class BinsTests(SynchronousTestCase):
    """Least, greatest and mean."""

    @given(SAMPLES, st.integers(1, 20), st.integers(0, 60))
    def test_extremes_are_those_of_the_samples(
        self, samples: list[tuple[float, float]], points: int, cut: int
    ) -> None:
        """The least and greatest of the bins are those of all samples, in whatever pieces they come."""
        bins = Bins(0.0, 10.0, points)
        for part in (samples[:cut], samples[cut:]):
            times, values = (np.array([pair[n] for pair in part], np.float64) for n in (0, 1))
            bins.add(times, values)
        least, greatest, mean = bins.columns()
        inside = [value for time, value in samples if 0 <= time < 10 and math.isfinite(value)]
        self.assertEqual(min(filter(_known, least), default=None), min(inside, default=None))
        self.assertEqual(max(filter(_known, greatest), default=None), max(inside, default=None))
        for low, middle, high in zip(least, mean, greatest):
            if low is not None and middle is not None and high is not None:
                self.assertTrue(low <= middle <= high)

    def test_a_spike_is_in_its_bin(self) -> None:
        """One sample among 10,000 shows in the bin of its time, and an empty bin has None."""
        times, values = np.arange(0, 10, 0.001), np.zeros(10_000)
        values[4567] = 9.0
        bins = Bins(0.0, 20.0, 20)
        bins.add(times, values)
        least, greatest, mean = bins.columns()
        self.assertEqual(greatest, [0.0] * 4 + [9.0] + [0.0] * 5 + [None] * 10)
        self.assertEqual(least[4], 0.0)
        self.assertAlmostEqual(mean[4] or 0.0, 0.009)

    def test_times(self) -> None:
        """The time of a bin is that of its start."""
        self.assertEqual(bin_times(100.0, 110.0, 4), [100.0, 102.5, 105.0, 107.5])


def _known(value: float | None) -> bool:
    return value is not None
