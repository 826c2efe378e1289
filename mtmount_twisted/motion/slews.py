"""Slews: a row for each jump of the demand, and for each move from point to point, with its time and the
errors after it.

Pure. Next to read: `following`, where the errors come from.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from .following import BACK, MOST, WINDOW, ErrorSeries, Sample, SlidingWindow, Value, value_at

Axis = Literal["azimuth", "elevation"]

Failure = Literal["time", "settle", "rms", "interrupted", "telemetry"]

Kind = Literal["track", "move"]

TOGETHER = 0.5
"""Longest time between the jumps of both axes that count as one slew, s. The mount's telemetry has a period
of 50 ms for each axis, and a commander may send the targets one after the other."""

LOST = 2.0
"""Time without telemetry of an axis after which a slew can't be judged, s."""

LONGEST = 180.0
"""Longest time to in-position, s. The longest slew, 540 deg at 7 deg/s, takes 78 s."""

LONGEST_MOVE = 3600.0
"""Longest time to in-position of a move, whose command may ask for any velocity, s. The mount reports the end
of a move: this bound is for a report that is lost."""

AFTER_STANDSTILL = 2.0
"""Longest time from the report that an axis stands until the report of in-position, s. If the latter does not
come, a stop ended the move. The mock controller looks for both every 0.2 s."""

SEARCH = 60.0
"""Longest settle time to look for, s."""

_MOST_RECENT = (
    1200  # errors of an axis that are kept for a report of in-position that comes late: 60 s at 20 Hz
)


@dataclass(frozen=True, slots=True)
class SlewSettings:
    """The rules of the table of slews.

    :ivar jump: a slew begins when the demand of an axis jumps by more than this, deg.
    :ivar rms_limit: the mount is settled while the RMS of the error on the sky over 15 s is below this,
        arcsec.
    :ivar distance: a slew of at most this distance on both axes is judged by `time`, deg.
    :ivar time: longest time from the start to in-position, s.
    :ivar settle: longest settle time, s.
    """

    jump: float = 0.1
    rms_limit: float = 0.01
    distance: float = 3.5
    time: float = 4.0
    settle: float = 4.0


class Slew(NamedTuple):
    """One slew, of both axes.

    :ivar start: time of the first demand after the jump, of the axis that jumped first; for a move whose
        demand does not jump, the time stamp of the mount's report. TAI s.
    :ivar azimuth: distance to go at the start: demand, or goal of the move, minus actual position, deg; 0 if
        the axis has no slew.
    :ivar elevation: the same for elevation.
    :ivar in_position_after: time from `start` until each axis has reported in-position, s; None if this did
        not happen.
    :ivar settle: time from in-position to the start of the first 15 s whose RMS is below the limit, s; None
        if there were no such 15 s.
    :ivar error_at_in_position: error on the sky of both axes at in-position, arcsec, or None.
    :ivar rms: RMS of the error on the sky of both axes over the 15 s after in-position, arcsec, or None.
    :ivar settled_rms: RMS over the first 15 s whose RMS is below the limit, which begin at `settle`; or None.
    :ivar failures: the reasons why the slew did not pass: ``time`` (longer than allowed, or never in
        position), ``settle`` (the first 15 s below the RMS limit began too late), ``rms`` (no 15 s were below
        this limit), ``interrupted`` (a new jump, a new move or a stop came before the figures were complete),
        ``telemetry`` (telemetry was missing for over 2 s, or the connection was lost over which the mount
        reports in-position).
    :ivar kind: ``move`` if the mount reported a move from point to point, else ``track``.
    """

    start: float
    azimuth: float
    elevation: float
    in_position_after: float | None
    settle: float | None
    error_at_in_position: float | None
    rms: float | None
    settled_rms: float | None
    failures: tuple[Failure, ...]
    kind: Kind = "track"

    @property
    def passed(self) -> bool:
        """True if there are no failures."""
        return not self.failures


class Running(NamedTuple):
    """The slew in progress.

    :ivar start: TAI s.
    :ivar azimuth, elevation: distance to go at the start, deg.
    :ivar in_position_after: s, or None while the mount is on its way.
    """

    start: float
    azimuth: float
    elevation: float
    in_position_after: float | None


class SlewWatch:
    """Finder of slews in samples of both axes.

    The demand jumps if it differs by more than `SlewSettings.jump` from its extrapolation at its last rate:
    so neither tracking nor a demand that speeds up is a jump. A jump of the demand to the position of the
    axis is a stop: it ends a slew, and begins none. Jumps of both axes within `TOGETHER` are one slew.

    The demand of a move from point to point may jump, or be a path from start to end: the protocol leaves
    this open (protocol-tma2022.rst, "Replies, events and telemetry"). So a slew begins also with the mount's
    report of a move to a goal that is further away than the jump. A jump of the demand to this goal belongs
    to the same slew. A move ends early if the axis brakes, or stands without being in position.

    In-position is the first time at which the latest reports of all axes that jumped say "in position". A
    report from before the jump of its axis does not count.

    The errors on the sky are the error of elevation, and the error of azimuth times the cosine of the
    elevation, interpolated to the time of the error. An RMS is the root of the sum of both axes' mean squares
    over errors from a start to before 15 s later. Windows begin at in-position, and at each later error of
    either axis.

    Each call returns the slews that it finished, usually none. It costs O(1), amortised.
    """

    def __init__(self, settings: SlewSettings = SlewSettings()) -> None:
        self.settings = settings
        self._axes: dict[Axis, _AxisWatch] = {"azimuth": _AxisWatch(), "elevation": _AxisWatch()}
        self._errors = _SkyErrors()
        self._slew: _Open | None = None

    @property
    def running(self) -> Running | None:
        """The slew in progress, or None."""
        if self._slew is None:
            return None
        ways = self._slew.ways
        after = None if self._slew.there is None else self._slew.there - self._slew.start
        return Running(self._slew.start, ways.get("azimuth", 0.0), ways.get("elevation", 0.0), after)

    def add(self, axis: Axis, sample: Sample) -> list[Slew]:
        """Add a sample of an axis. The samples of each axis must come in the order of time; the axes may
        alternate in any way."""
        demand = value_at(sample.demand, sample.demand_at)
        actual = value_at(sample.actual, sample.actual_at)
        now = max((value.at for value in (demand, actual) if value is not None), default=None)
        if now is None:
            return []
        finished: list[Slew] = []
        if self._is_lost(now):
            finished += self.clear()
        watch = self._axes[axis]
        watch.last = now
        if actual is not None:
            watch.add_actual(actual)
        for of_axis, error in self._errors.add(axis, sample, actual):
            if self._slew is not None and self._slew.windows is not None:
                self._slew.windows.add(of_axis, error)
        if demand is not None and watch.jumps(demand, self.settings.jump):
            finished += self._jump(axis, demand)
        self._measure_way(axis)
        return finished + self._judge(now)

    def _is_lost(self, now: float) -> bool:
        """Return True if time went back, or an axis has had no telemetry for too long."""
        last = [watch.last for watch in self._axes.values() if watch.last is not None]
        return bool(last) and (now < max(last) - BACK or now > min(last) + LOST)

    def in_position(self, axis: Axis, value: bool, at: float) -> list[Slew]:
        """Add a report of the mount that an axis is in position, or no longer is. The report may come a
        little before or after the samples of the same time.

        :param at: time stamp of the report, TAI s.
        """
        self._axes[axis].reports.append((at, value))
        return self._judge(at)

    def move(self, axis: Axis, goal: float, at: float) -> list[Slew]:
        """Add a report of the mount that an axis begins to move from point to point.

        :param goal: deg.
        :param at: time stamp of the report, TAI s.
        """
        slew, finished = self._slew, []
        if slew is not None and axis in slew.jumps:
            if abs(slew.jumps[axis].value - goal) <= self.settings.jump and at - slew.start <= TOGETHER:
                slew.moves.add(axis)  # the demand jumped before the report came
                return []
            finished = self._finish("interrupted")
        there = self._axes[axis].actual_at(at)
        if there is None or abs(goal - there) <= self.settings.jump:
            return finished  # the other axis may still be moving
        finished += self._jump(axis, Value(at, goal))
        if self._slew is not None:
            self._slew.moves.add(axis)
        self._measure_way(axis)
        return finished

    def stop(self, axis: Axis, is_braking: bool, at: float) -> list[Slew]:
        """Add a report of the mount that an axis brakes, or stands. The report ends a move that has not
        arrived.

        :param at: time stamp of the report, TAI s.
        """
        slew = self._slew
        if slew is None or axis not in slew.moves or slew.there is not None or at < slew.jumps[axis].at:
            return []
        if is_braking:
            return self._finish("interrupted")
        slew.stands_since = at
        return self._judge(at)

    def lose_reports(self) -> list[Slew]:
        """Note that the mount's reports have stopped coming, so that a slew that has not arrived can't be
        judged."""
        return self._finish("telemetry") if self._slew is not None and self._slew.there is None else []

    def clear(self) -> list[Slew]:
        """Forget the past, because the connection was lost; an unfinished slew ends with ``telemetry``."""
        finished = self._finish("telemetry")
        self._axes = {"azimuth": _AxisWatch(), "elevation": _AxisWatch()}
        self._errors = _SkyErrors()
        return finished

    def _jump(self, axis: Axis, demand: Value) -> list[Slew]:
        slew = self._slew
        there = self._axes[axis].actual_at(demand.at)
        if slew is not None and slew.there is None and axis in slew.moves and self._is_of_move(axis, demand):
            return []
        if there is None or abs(demand.value - there) <= self.settings.jump:
            return self._finish("interrupted")
        if slew is not None and axis not in slew.jumps and demand.at - slew.start <= TOGETHER:
            slew.jumps[axis] = demand
            slew.ways[axis] = demand.value - there
            slew.start = min(slew.start, demand.at)
            return []
        finished = self._finish("interrupted")
        self._slew = _Open(demand.at, {axis: demand}, {axis: demand.value - there})
        return finished

    def _is_of_move(self, axis: Axis, demand: Value) -> bool:
        """Return True if the demand of an axis on a move is its goal, or a place on its path."""
        slew, there, jump = self._slew, self._axes[axis].actual_at(demand.at), self.settings.jump
        to_goal = slew is not None and abs(demand.value - slew.jumps[axis].value) <= jump
        return to_goal or (there is not None and abs(demand.value - there) <= jump)

    def _measure_way(self, axis: Axis) -> None:
        """Replace the extrapolated distance to go by the exact one when the actual position on both sides of
        its time is known."""
        slew, watch = self._slew, self._axes[axis]
        if slew is None or axis not in slew.jumps or axis in slew.measured:
            return
        jump = slew.jumps[axis]
        if watch.actuals[-1].at >= jump.at:
            slew.measured.add(axis)
            there = watch.actual_at(jump.at)
            if there is not None:
                slew.ways[axis] = jump.value - there

    def _judge(self, now: float) -> list[Slew]:
        """Judge the slew in progress as far as the data so far allows."""
        slew = self._slew
        if slew is None:
            return []
        if slew.there is None:
            slew.there = self._arrival(slew)
        if slew.there is None:
            if now > slew.stands_since + AFTER_STANDSTILL:
                return self._finish("interrupted")
            longest = LONGEST_MOVE if slew.moves else LONGEST
            return self._finish("time") if now > slew.start + longest else []
        if slew.windows is None:
            if not self._errors.reach(slew.there):
                return self._finish("telemetry") if now > slew.there + LOST else []
            slew.error = self._errors.at(slew.there)
            slew.windows = _Windows(slew.there, self._errors)
        for start, rms in slew.windows.complete():
            if start == slew.there:
                slew.rms = rms
            slew.judged_until = start
            if rms is not None and rms < self.settings.rms_limit:
                slew.settled, slew.settled_rms = start, rms
                return self._finish(None)
            if start > slew.there + SEARCH:
                return self._finish("rms")
        return self._finish("telemetry") if now > slew.there + SEARCH + WINDOW + LOST else []

    def _arrival(self, slew: _Open) -> float | None:
        reports = sorted(
            (at, axis, value)
            for axis, jump in slew.jumps.items()
            for at, value in self._axes[axis].reports
            if at > jump.at
        )
        arrived: dict[Axis, bool] = {}
        for at, axis, value in reports:
            arrived[axis] = value
            if all(arrived.get(jumped) for jumped in slew.jumps):
                return at
        return None

    def _finish(self, end: Failure | None) -> list[Slew]:
        """Close the slew in progress.

        :param end: the reason why the slew ended, or None if it settled.
        """
        slew, self._slew = self._slew, None
        if slew is None:
            return []
        settings, there = self.settings, slew.there
        after = None if there is None else there - slew.start
        settle = None if there is None or slew.settled is None else slew.settled - there
        failures: list[Failure] = []
        is_judged_by_time = max(map(abs, slew.ways.values())) <= settings.distance
        if is_judged_by_time and after is not None and after > settings.time:
            failures.append("time")
        if settle is not None:
            if settle > settings.settle:
                failures.append("settle")
        elif there is not None and slew.judged_until > there + settings.settle and end != "rms":
            failures.append("settle")  # it is too late in any case
        elif end is not None:
            failures.append(end)
        return [
            Slew(
                start=slew.start,
                azimuth=slew.ways.get("azimuth", 0.0),
                elevation=slew.ways.get("elevation", 0.0),
                in_position_after=after,
                settle=settle,
                error_at_in_position=slew.error,
                rms=slew.rms,
                settled_rms=slew.settled_rms,
                failures=tuple(failures),
                kind="move" if slew.moves else "track",
            )
        ]


@dataclass(slots=True)
class _Open:
    """The slew in progress.

    :ivar jumps: the first demand after the jump of each axis that jumped, or the goal of its move.
    :ivar moves: the axes whose move the mount has reported.
    :ivar stands_since: time at which an axis on a move reported that it stands, TAI s.
    :ivar ways: the distances to go of these axes, deg; extrapolated for an axis that is not in `measured`.
    :ivar there: the time of in-position, TAI s, or None.
    :ivar judged_until: start of the last window that was complete, TAI s.
    """

    start: float
    jumps: dict[Axis, Value]
    ways: dict[Axis, float]
    measured: set[Axis] = field(default_factory=set)
    moves: set[Axis] = field(default_factory=set)
    stands_since: float = math.inf
    there: float | None = None
    windows: _Windows | None = None
    error: float | None = None
    rms: float | None = None
    judged_until: float = -math.inf
    settled: float | None = None
    settled_rms: float | None = None


class _AxisWatch:
    """The last values of an axis."""

    def __init__(self) -> None:
        self.last: float | None = None  # time of the last sample, TAI s
        self.demand: Value | None = None
        self.rate: float | None = None  # the rate of the demand, deg/s; None after a jump
        self.actuals: deque[Value] = deque(maxlen=8)
        self.reports: deque[tuple[float, bool]] = deque(maxlen=32)

    def add_actual(self, actual: Value) -> None:
        if not self.actuals or actual.at > self.actuals[-1].at:
            self.actuals.append(actual)

    def jumps(self, demand: Value, jump: float) -> bool:
        """Store the next demand, and return True if the demand jumped."""
        last = self.demand
        if last is None:
            self.demand = demand
            return False
        step = demand.at - last.at
        if step <= 0:
            return False
        self.demand = demand
        way = demand.value - last.value
        if abs(way - (self.rate or 0.0) * step) > jump:
            self.rate = None
            return True
        self.rate = way / step
        return False

    def actual_at(self, at: float) -> float | None:
        """Return the actual position at a time, between two measurements or beyond the last two."""
        known = self.actuals
        if not known:
            return None
        if len(known) == 1:
            return known[0].value
        after = len(known) - 1
        while after > 1 and known[after - 1].at >= at:
            after -= 1
        return _interpolated(known[after - 1], known[after], at)


def _interpolated(left: Value, right: Value, at: float) -> float:
    if left.at == right.at:
        return left.value
    return left.value + (right.value - left.value) * ((at - left.at) / (right.at - left.at))


class _SkyErrors:
    """The last errors on the sky of both axes, arcsec."""

    def __init__(self) -> None:
        self.recent: dict[Axis, deque[Value]] = {
            "azimuth": deque(maxlen=_MOST_RECENT),
            "elevation": deque(maxlen=_MOST_RECENT),
        }
        self._series: dict[Axis, ErrorSeries] = {"azimuth": ErrorSeries(), "elevation": ErrorSeries()}
        self._on_axis: deque[Value] = deque(maxlen=64)  # of azimuth, until the elevation is known
        self._elevations: deque[Value] = deque(maxlen=64)

    def add(self, axis: Axis, sample: Sample, actual: Value | None) -> list[tuple[Axis, Value]]:
        """Add a sample, and return the errors that are known by now."""
        errors = self._series[axis].add(sample)
        found: list[tuple[Axis, Value]] = []
        if axis == "azimuth":
            self._on_axis.extend(errors)
        else:
            found += [("elevation", error) for error in errors]
            if actual is not None and (not self._elevations or actual.at > self._elevations[-1].at):
                self._elevations.append(actual)
        elevations = self._elevations
        while self._on_axis and elevations and elevations[-1].at >= self._on_axis[0].at:
            at, error = self._on_axis.popleft()
            while len(elevations) > 2 and elevations[1].at <= at:
                elevations.popleft()
            if elevations[0].at <= at:
                elevation = _interpolated(elevations[0], elevations[-1 if len(elevations) == 1 else 1], at)
                found.append(("azimuth", Value(at, error * math.cos(math.radians(elevation)))))
        for of_axis, value in found:
            self.recent[of_axis].append(value)
        return found

    def reach(self, at: float) -> bool:
        """Return True if errors of both axes are known from this time or later."""
        return all(errors and errors[-1].at >= at for errors in self.recent.values())

    def at(self, at: float) -> float | None:
        """Return the error of both axes at a time (arcsec), or None if it has been dropped."""
        parts = []
        for errors in self.recent.values():
            after = next((i for i, error in enumerate(errors) if error.at >= at), None)
            if after is None or (after == 0 and errors[0].at != at):
                return None
            parts.append(_interpolated(errors[max(0, after - 1)], errors[after], at))
        return math.hypot(*parts)


class _Windows:
    """Windows of 15 s over the errors of both axes, that begin at in-position and at each error after it."""

    def __init__(self, start: float, errors: _SkyErrors) -> None:
        self._start: float | None = start
        self._begin = start
        self._sums: dict[Axis, SlidingWindow] = {"azimuth": SlidingWindow(), "elevation": SlidingWindow()}
        # Errors that are not in the sums yet, which are also the starts of later windows.
        self._ahead: dict[Axis, deque[Value]] = {}
        self._starts: dict[Axis, deque[float]] = {}
        self._latest: dict[Axis, float] = {}
        for axis, values in errors.recent.items():
            self._ahead[axis] = deque(maxlen=MOST)
            self._starts[axis] = deque(maxlen=MOST)
            self._latest[axis] = -math.inf
            for value in values:
                self.add(axis, value)

    def add(self, axis: Axis, error: Value) -> None:
        if error.at < self._begin:
            return
        self._ahead[axis].append(error)
        self._latest[axis] = error.at
        if error.at > self._begin:
            self._starts[axis].append(error.at)

    def complete(self) -> Iterator[tuple[float, float | None]]:
        """Yield the start (TAI s) and the RMS (arcsec) of each window whose errors are all known."""
        while self._start is not None:
            start, end = self._start, self._start + WINDOW
            if min(self._latest.values()) < end:
                return
            mean_squares = []
            for axis, sums in self._sums.items():
                ahead = self._ahead[axis]
                while ahead and ahead[0].at < end:
                    sums.add(*ahead.popleft())
                sums.drop_before(start)
                mean_squares.append(sums.mean_square)
            known = [value for value in mean_squares if value is not None]
            self._start = self._next_start()
            yield start, math.sqrt(sum(known)) if len(known) == len(mean_squares) else None

    def _next_start(self) -> float | None:
        axis = min(self._starts, key=lambda axis: self._starts[axis][0] if self._starts[axis] else math.inf)
        return self._starts[axis].popleft() if self._starts[axis] else None
