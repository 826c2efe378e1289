"""Many samples as a few bins, without the loss of a spike: least, greatest and mean of each bin. Pure.

Next to read: `signals`, which fills the bins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Bins:
    """The bins of one signal over a time span.

    :param start: start of the span (s).
    :param end: end of the span; samples at or after it are left out.
    :param points: number of bins, 1 or more.
    """

    def __init__(self, start: float, end: float, points: int) -> None:
        self._start = start
        self._width = (end - start) / points
        self._end = end
        self._points = points
        self._least = np.full(points, np.inf)
        self._greatest = np.full(points, -np.inf)
        self._sum = np.zeros(points)
        self._count = np.zeros(points, np.int64)

    def add(self, times: Floats, values: Floats) -> None:
        """Add samples in any order; a value that is not finite is left out.

        :param times: s, on the scale of the span.
        """
        good = np.isfinite(values) & (times >= self._start) & (times < self._end)
        if not good.all():
            times, values = times[good], values[good]
        if not len(times):
            return
        bins = np.minimum(((times - self._start) / self._width).astype(np.int64), self._points - 1)
        if (np.diff(bins) < 0).any():
            order = np.argsort(bins, kind="stable")
            bins, values = bins[order], values[order]
        starts = np.concatenate(([0], np.flatnonzero(np.diff(bins)) + 1))
        found = bins[starts]
        self._merge(
            found,
            np.minimum.reduceat(values, starts),
            np.maximum.reduceat(values, starts),
            np.add.reduceat(values, starts),
            np.diff(np.append(starts, len(bins))),
        )

    def add_pieces(self, times: Floats, count: Floats, least: Floats, greatest: Floats, mean: Floats) -> None:
        """Add samples that are summed up in pieces. A piece counts to the bin with its middle.

        :param times: the middle of each piece (s); each is within the span.
        :param count: number of samples of each piece, 1 or more.
        """
        if not len(times):
            return
        bins = np.clip(((times - self._start) / self._width).astype(np.int64), 0, self._points - 1)
        order = np.argsort(bins, kind="stable")
        bins, least, greatest = bins[order], least[order], greatest[order]
        starts = np.concatenate(([0], np.flatnonzero(np.diff(bins)) + 1))
        self._merge(
            bins[starts],
            np.minimum.reduceat(least, starts),
            np.maximum.reduceat(greatest, starts),
            np.add.reduceat((mean * count)[order], starts),
            np.add.reduceat(count[order].astype(np.int64), starts),
        )

    def _merge(
        self,
        found: NDArray[np.int64],
        least: Floats,
        greatest: Floats,
        total: Floats,
        count: NDArray[np.int64],
    ) -> None:
        """Merge the samples of some bins, each of which occurs once."""
        self._least[found] = np.minimum(self._least[found], least)
        self._greatest[found] = np.maximum(self._greatest[found], greatest)
        self._sum[found] += total
        self._count[found] += count

    def columns(self) -> tuple[list[float | None], list[float | None], list[float | None]]:
        """Return least, greatest and mean of each bin; None for a bin without a sample."""
        empty = self._count == 0
        # Rounding may make the mean of equal values differ from them.
        with np.errstate(invalid="ignore"):
            mean = np.clip(self._sum / np.maximum(self._count, 1), self._least, self._greatest)
        none = empty.tolist()
        least, greatest, means = (
            [None if is_empty else value for is_empty, value in zip(none, column.tolist())]
            for column in (self._least, self._greatest, mean)
        )
        return least, greatest, means


def bin_times(start: float, end: float, points: int) -> list[float]:
    """Return the start of each bin."""
    times: list[float] = (start + np.arange(points) * ((end - start) / points)).tolist()
    return times
