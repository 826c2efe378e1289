"""Following: how far an axis is from its demand, each value at its own time stamp.

Demand and actual position are measured at different moments: at 7 deg/s, 50 ms between them would look like
an error of 0.35 deg. So the demand is interpolated to the time of the actual position. A jump of the demand
(a new target) changes nothing on either side of it.

Pure. Next to read: `slews`, which judges these errors after a slew.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW = 15.0
"""Length of the sliding window, s."""

GAP = 0.5
"""Longest time between two demands for an interpolation between them, s: ten periods (protocol-tma2022.rst,
topics 6 and 15: every 50 ms)."""

BACK = 1.0
"""Largest step back of a time stamp at which only the sample is left out, s. After a larger step everything
starts anew."""

MOST = 10_000
"""Largest number of errors in a window: 15 s at 650 Hz. Beyond it the oldest errors are dropped."""

MOST_DEGREES = 1e6
"""Largest number that counts as a position, deg. The square of its error is still a finite number."""

ARCSEC = 3600.0
"""Arcsec in a degree."""

_MOST_WAITING = 64  # samples whose demand is not known yet: 3 s, and after `GAP` there is no error anyway


class Sample(NamedTuple):
    """One line of telemetry of an axis.

    A missing value is None or NaN. A value above `MOST_DEGREES` counts as missing. The other values of the
    sample are used.

    :ivar demand: demanded position, deg.
    :ivar demand_at: time of the demanded position, TAI s.
    :ivar actual: measured position, deg.
    :ivar actual_at: time of the measured position, TAI s.
    """

    demand: float | None
    demand_at: float | None
    actual: float | None
    actual_at: float | None


class Value(NamedTuple):
    """A value at its time.

    :ivar at: TAI s.
    """

    at: float
    value: float


def value_at(value: float | None, at: float | None) -> Value | None:
    """Return a value with its time; None if either is missing, NaN, infinite or above `MOST_DEGREES`."""
    if value is None or at is None or not abs(value) <= MOST_DEGREES or not math.isfinite(at):
        return None
    return Value(at, value)


class ErrorSeries:
    """Computes the errors of one axis, sample by sample.

    Between two demands the demand is a straight line. If the demand bends to the same side before and after
    this line, a parabola with the lesser of both bends replaces the line: it is exact at constant
    acceleration, and straight beside a jump. An error is known when the next two demands after its time are
    known, or the demand at exactly its time.

    Where two demands are more than `GAP` apart, there is no error between them.
    """

    def __init__(self) -> None:
        self._demands: deque[Value] = deque()  # from the one before the first demand that is needed
        self._waiting: deque[Value] = deque(maxlen=_MOST_WAITING)
        self._last_actual = -math.inf

    def add(self, sample: Sample) -> list[Value]:
        """Add a sample, and return the errors (arcsec, demand minus actual) that are known by now."""
        demand = value_at(sample.demand, sample.demand_at)
        if demand is not None:
            self._add_demand(demand)
        actual = value_at(sample.actual, sample.actual_at)
        if actual is not None:
            if actual.at < self._last_actual - BACK:
                self.clear()
                if demand is not None:
                    self._add_demand(demand)
            if actual.at > self._last_actual:
                self._last_actual = actual.at
                self._waiting.append(actual)
        return self._known()

    def clear(self) -> None:
        """Forget everything."""
        self._demands.clear()
        self._waiting.clear()
        self._last_actual = -math.inf

    def _add_demand(self, demand: Value) -> None:
        if self._demands and demand.at < self._demands[-1].at - BACK:
            self.clear()
        if not self._demands or demand.at > self._demands[-1].at:
            self._demands.append(demand)
            if len(self._demands) > 2 * _MOST_WAITING:
                self._demands.popleft()

    def _known(self) -> list[Value]:
        found: list[Value] = []
        demands, waiting = self._demands, self._waiting
        while waiting and demands:
            at, actual = waiting[0]
            while len(demands) > 2 and demands[2].at <= at:
                demands.popleft()
            first = 1 if len(demands) > 1 and demands[1].at <= at else 0
            if demands[first].at == at:
                demanded: float | None = demands[first].value
            elif demands[0].at > at:
                demanded = None
            elif len(demands) < first + 2:
                break
            elif demands[first + 1].at - demands[first].at > GAP:
                demanded = None
            elif first == 0:
                demanded = _between(None, demands[0], demands[1], None, at)
            elif len(demands) < 4:
                break
            else:
                demanded = _between(demands[0], demands[1], demands[2], demands[3], at)
            waiting.popleft()
            if demanded is not None:
                found.append(Value(at, (demanded - actual) * ARCSEC))
        if not waiting:
            while len(demands) > 3:
                demands.popleft()
        return found


def _between(before: Value | None, left: Value, right: Value, after: Value | None, at: float) -> float:
    """Return the demand between two demands."""
    slope = (right.value - left.value) / (right.at - left.at)
    value = left.value + slope * (at - left.at)
    if before is None or after is None or left.at - before.at > GAP or after.at - right.at > GAP:
        return value
    bend = (slope - (left.value - before.value) / (left.at - before.at)) / (right.at - before.at)
    next_bend = ((after.value - right.value) / (after.at - right.at) - slope) / (after.at - left.at)
    if bend * next_bend > 0:
        value += min(bend, next_bend, key=abs) * (at - left.at) * (at - right.at)
    return value


class SlidingWindow:
    """The sum of squares and the greatest of the last values, each O(1) amortised, without subtracting from a
    sum.

    Subtracting old squares from a sum would leave a rounding error after each slew, whose errors are a
    million times the errors of tracking. So the oldest values have partial sums of their own, which are all
    made at once when the previous ones run out.
    """

    def __init__(self) -> None:
        # The oldest values, the oldest last: the time, and the sum and the greatest of the squares from this
        # value on.
        self._old: list[tuple[float, float, float]] = []
        self._new: list[tuple[float, float]] = []
        self._new_sum = 0.0
        self._new_greatest = 0.0

    def __len__(self) -> int:
        return len(self._old) + len(self._new)

    def add(self, at: float, value: float) -> None:
        """Add a value. `at` must be later than before."""
        square = value * value
        self._new.append((at, square))
        self._new_sum += square
        if square > self._new_greatest:
            self._new_greatest = square
        if len(self) > MOST:
            self._age()
            self._old.pop()

    def drop_before(self, at: float) -> None:
        """Drop the values of times before `at`."""
        while self:
            self._age()
            if self._old[-1][0] >= at:
                return
            self._old.pop()

    def clear(self) -> None:
        """Drop all values."""
        self.__init__()  # type: ignore[misc]

    @property
    def oldest(self) -> float | None:
        """Time of the oldest value, or None."""
        return self._old[-1][0] if self._old else self._new[0][0] if self._new else None

    @property
    def mean_square(self) -> float | None:
        """Mean of the squares, or None without a value."""
        count = len(self)
        return ((self._old[-1][1] if self._old else 0.0) + self._new_sum) / count if count else None

    @property
    def greatest(self) -> float | None:
        """Greatest absolute value, or None without a value."""
        if not len(self):
            return None
        return math.sqrt(max(self._old[-1][2] if self._old else 0.0, self._new_greatest))

    def _age(self) -> None:
        if self._old:
            return
        total = greatest = 0.0
        for at, square in reversed(self._new):
            total += square
            greatest = max(greatest, square)
            self._old.append((at, total, greatest))
        self._new.clear()
        self._new_sum = self._new_greatest = 0.0


class Following:
    """The error of one axis, now and over a sliding window. Each sample costs O(1), amortised.

    Errors are demand minus actual, arcsec. An error is known when the demand on both sides of its time is
    known: up to two samples (0.1 s) later.

    A sample that is not newer than the sample before it is left out. If time goes back by more than `BACK`
    (the mount's clock was set, a playback begins again), everything starts anew.

    :param window: length of the window, s.
    :ivar error: last error on the axis, arcsec; None before the first.
    :ivar error_sky: last error on the sky, arcsec: `error` times the cosine of the elevation.
    :ivar at: TAI s of the last error; None before the first.
    """

    def __init__(self, window: float = WINDOW) -> None:
        self.error: float | None = None
        self.error_sky: float | None = None
        self.at: float | None = None
        self._length = window
        self._series = ErrorSeries()
        self._window = SlidingWindow()

    def add(self, sample: Sample, elevation: float | None = None) -> None:
        """Add a sample, in order of time.

        :param elevation: for azimuth, the elevation (deg) at about this time, by whose cosine the error on
            the sky is smaller. If it is None or NaN, as for elevation, the error on the sky is the error on
            the axis.
        """
        on_sky = 1.0
        if elevation is not None and math.isfinite(elevation):
            on_sky = math.cos(math.radians(elevation))
        for at, error in self._series.add(sample):
            if self.at is not None and at < self.at:
                self._window.clear()
            self.error, self.error_sky, self.at = error, error * on_sky, at
            self._window.drop_before(at - self._length)
            self._window.add(at, self.error_sky)

    def restart_window(self) -> None:
        """Begin the window anew, because the errors so far, as during a slew, are no errors of following."""
        self._window.clear()

    def clear(self) -> None:
        """Forget all samples and errors."""
        self._series.clear()
        self._window.clear()
        self.error = self.error_sky = self.at = None

    @property
    def rms(self) -> float | None:
        """Root mean square of the error on the sky over the window that ends at `at`, arcsec, or None."""
        mean_square = self._window.mean_square
        return None if mean_square is None else math.sqrt(mean_square)

    @property
    def greatest(self) -> float | None:
        """Greatest absolute error on the sky in the same window, arcsec, or None."""
        return self._window.greatest

    @property
    def covered(self) -> float:
        """Time from the oldest error in the window to the last one, s."""
        oldest = self._window.oldest
        return 0.0 if oldest is None or self.at is None else self.at - oldest


class Followed(NamedTuple):
    """The errors at the end of a window in the past, the same values as in `Following`."""

    error: float | None = None
    error_sky: float | None = None
    rms: float | None = None
    greatest: float | None = None


def followed(errors: Sequence[tuple[float, ...]], arrived: Sequence[tuple[float, ...]]) -> Followed:
    """Return the errors at the end of a window: on the axis and on the sky, arcsec.

    :param errors: all errors in the window.
    :param arrived: the errors since the last slew, because the distance to a target during a slew is no error
        of following.
    """
    if not errors:
        return Followed()
    error, error_sky = errors[-1]
    on_sky = [each for _, each in arrived]
    if not on_sky:
        return Followed(error, error_sky)
    rms = math.sqrt(math.fsum(each * each for each in on_sky) / len(on_sky))
    return Followed(error, error_sky, rms, max(map(abs, on_sky)))


def errors(
    demand: NDArray[np.float64],
    demand_at: NDArray[np.float64],
    actual: NDArray[np.float64],
    actual_at: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the errors (arcsec, on the axis) of whole columns, one for each actual position.

    The rule is the same as in `ErrorSeries`. Where the demand around an actual position is not known, as for
    the last one or two positions, the error is NaN.

    :param demand, actual: deg; NaN where a value is missing.
    :param demand_at, actual_at: s, rising; a demand that is not newer than all demands before it is left out.
        Demand and actual may have different lengths.
    """
    import numpy as np

    known = (np.abs(demand) <= MOST_DEGREES) & np.isfinite(demand_at)
    times, values = demand_at[known], demand[known]
    found = np.full(len(actual), np.nan)
    if not len(times):
        return found
    newer = np.append(True, times[1:] > np.maximum.accumulate(times)[:-1])
    times, values = times[newer], values[newer]
    left = np.searchsorted(times, actual_at, side="right") - 1
    exact = left >= 0
    exact[exact] = times[left[exact]] == actual_at[exact]
    found[exact] = values[left[exact]]
    gaps = np.diff(times)
    rows = np.flatnonzero(~exact & (left >= 0) & (left < len(times) - 1))
    rows = rows[gaps[left[rows]] <= GAP]
    rows = rows[(left[rows] == 0) | (left[rows] < len(times) - 2)]  # else the next bend is not known yet
    i, at = left[rows], actual_at[rows]
    slopes = np.diff(values) / gaps
    bends = np.zeros(len(times))  # the bend at each demand; 0 at either end, and beside a gap
    bends[1:-1] = (slopes[1:] - slopes[:-1]) / (times[2:] - times[:-2]) if len(times) > 2 else 0.0
    bends[1:-1][(gaps[1:] > GAP) | (gaps[:-1] > GAP)] = 0.0
    bend, next_bend = bends[i], bends[i + 1]
    lesser = np.where(np.abs(bend) <= np.abs(next_bend), bend, next_bend)
    found[rows] = values[i] + slopes[i] * (at - times[i])
    found[rows] += np.where(bend * next_bend > 0, lesser, 0.0) * (at - times[i]) * (at - times[i + 1])
    return np.where(np.abs(actual) <= MOST_DEGREES, found - actual, np.nan) * ARCSEC
