"""Thinning: many values as the least, the greatest and the mean of each bin, so that no spike is lost.

numpy is imported inside the functions, because it takes 100 ms. Next to read: `following`, which computes the
errors of whole columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Bins(NamedTuple):
    """The values in each bin; NaN in a bin without a value."""

    least: NDArray[np.float64]
    greatest: NDArray[np.float64]
    mean: NDArray[np.float64]


def bin_starts(start: float, end: float, points: int) -> list[float]:
    """Return the start of each bin between two times (s)."""
    width = (end - start) / points
    return [round(start + number * width, 6) for number in range(points)]


def thinned(
    parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], start: float, end: float, points: int
) -> Bins:
    """Return the values of one signal in bins of equal length.

    :param parts: times (s) and values, in pieces; NaN values are left out. The times of all pieces together
        need not rise.
    :param start, end: the time that the bins cover (s); `end` itself is not in it.
    :param points: the number of bins.
    """
    import numpy as np

    found = Bins(*(np.full(points, np.nan) for _ in range(3)))
    if not parts:
        return found
    times = np.concatenate([part[0] for part in parts])
    values = np.concatenate([part[1] for part in parts])
    wanted = (times >= start) & (times < end) & np.isfinite(values)
    times, values = times[wanted], values[wanted]
    if not times.size:
        return found
    numbers = np.minimum(((times - start) * (points / (end - start))).astype(np.int64), points - 1)
    if np.any(numbers[1:] < numbers[:-1]):  # the clock was set back
        order = np.argsort(numbers, kind="stable")
        numbers, values = numbers[order], values[order]
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    bins = numbers[first]
    found.least[bins] = np.minimum.reduceat(values, first)
    found.greatest[bins] = np.maximum.reduceat(values, first)
    found.mean[bins] = np.add.reduceat(values, first) / np.diff(first, append=values.size)
    return found
