"""Paths under limits of velocity and acceleration, exact at any time: pure, no clock.

A `Path` consists of segments of constant acceleration. So position and velocity are a polynomial of time, and
no error accumulates from step to step.

`approach` is the one way to reach a target. It works in the frame of the target, which moves at constant
velocity. In this frame the goal is rest at zero, and the mount's velocity limit becomes a limit that depends
on the direction. Accelerations are the same in both frames, so the fastest path in the target's frame is also
the fastest path under the mount's limits. A move is the case of a target at rest.

Times are seconds on any one clock. Positions are degrees (or %), and rates have the matching units.

Next to read: `axis`, which drives an axis along these paths.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct


class State(NamedTuple):
    """Position and velocity."""

    position: float
    velocity: float


class Target(NamedTuple):
    """A target: a point that is at `position` at `time` and moves at constant velocity."""

    time: float
    position: float
    velocity: float = 0.0

    def at(self, time: float) -> State:
        """Return the state of the target at a time."""
        return State(self.position + self.velocity * (time - self.time), self.velocity)


class Change(NamedTuple):
    """A change: from `time` on the axis is, or is not, in position."""

    time: float
    in_position: bool


class Segment(Struct, frozen=True):
    """A piece of constant acceleration that starts `offset` seconds after the path's start."""

    offset: float
    position: float
    velocity: float
    acceleration: float

    def at(self, offset: float) -> State:
        """Return the state at an offset from the path's start."""
        t = offset - self.offset
        return State(
            self.position + (self.velocity + self.acceleration * t / 2) * t,
            self.velocity + self.acceleration * t,
        )


class Path(Struct, frozen=True):
    """Position as a function of time.

    :ivar start: time of the start, s. Before the start, the position is the one at the start.
    :ivar segments: the pieces in order of time. The last one has no end and no acceleration.
    """

    start: float
    segments: tuple[Segment, ...]

    @property
    def duration(self) -> float:
        """Time from the start to the last segment, in which the velocity is constant, s."""
        return self.segments[-1].offset

    @property
    def end(self) -> float:
        """Time at which the last segment starts, s."""
        return self.start + self.duration

    def at(self, time: float) -> State:
        """Return the state at a time."""
        segment, offset = self._piece(time)
        return segment.at(offset)

    def acceleration_at(self, time: float) -> float:
        """Return the acceleration at a time, units/s²."""
        segment, _ = self._piece(time)
        return segment.acceleration if time >= self.start else 0.0

    def _piece(self, time: float) -> tuple[Segment, float]:
        offset = max(0.0, time - self.start)
        index = bisect_right(self.segments, offset, key=lambda segment: segment.offset) - 1
        return self.segments[index], offset

    def extent(self) -> tuple[float, float]:
        """Return the lowest and the highest position up to the path's end."""
        positions = [segment.position for segment in _split_at_reversals(self.segments)]
        return min(positions), max(positions)


def rest(time: float, position: float) -> Path:
    """Return the path of a body at rest."""
    return Path(time, (Segment(0.0, position, 0.0, 0.0),))


def glide(time: float, position: float, goal: float, velocity: float) -> Path:
    """Return a path to a goal at constant velocity, without acceleration.

    :param velocity: above 0, units/s.
    """
    if position == goal:
        return rest(time, goal)
    signed = math.copysign(velocity, goal - position)
    duration = (goal - position) / signed
    return Path(time, (Segment(0.0, position, signed, 0.0), Segment(duration, goal, 0.0, 0.0)))


def brake(time: float, state: State, acceleration: float) -> Path:
    """Return the path that comes to rest as soon as possible.

    :param acceleration: deceleration, above 0, units/s².
    """
    if state.velocity == 0:
        return rest(time, state.position)
    first = Segment(0.0, *state, -math.copysign(acceleration, state.velocity))
    final = Segment(abs(state.velocity) / acceleration, _stop_position(state, acceleration), 0.0, 0.0)
    return Path(time, (first, final))


def approach(
    time: float,
    state: State,
    target: Target,
    velocity: float,
    acceleration: float,
    closing_velocity: float = math.inf,
) -> Path:
    """Return the fastest path to a target, and then along with the target without end.

    A state above the velocity limit is slowed down to the limit at once. A target at the velocity limit can't
    be caught from behind: the path then continues at the limit.

    :param state: the initial state, at any velocity.
    :param velocity: limit, above 0 and not below the target's own velocity, units/s.
    :param acceleration: limit, above 0, units/s².
    :param closing_velocity: limit of the velocity relative to the target, above 0, units/s.
    """
    goal = target.at(time)
    gap = goal.position - state.position
    closing = state.velocity - goal.velocity
    # If the body braked now, it would come to rest on one side of the target, in the target's frame. That
    # side gives the direction of the path.
    direction = math.copysign(1.0, gap - closing * abs(closing) / (2 * acceleration))
    limit = min(velocity - direction * goal.velocity, closing_velocity)
    phases = _phases(direction * gap, direction * closing, limit, acceleration)
    segments = list(_integrate(state, ((duration, direction * a) for duration, a in phases)))
    duration = sum(duration for duration, _ in phases)
    if math.isfinite(duration):
        segments.append(Segment(duration, *target.at(time + duration), 0.0))
    return Path(time, tuple(segments))


def _phases(gap: float, closing: float, limit: float, acceleration: float) -> list[tuple[float, float]]:
    """Return (duration, acceleration) of speeding up, cruising and slowing down to rest at `gap`."""
    peak = math.sqrt(max(0.0, acceleration * gap + closing * closing / 2))
    cruise = 0.0
    if peak > limit:
        peak = limit
        change = abs(peak - closing) * (peak + closing) / (2 * acceleration)
        distance = gap - change - peak * peak / (2 * acceleration)
        cruise = max(0.0, distance) / peak if peak > 0 else math.inf
    speed_up = math.copysign(acceleration, peak - closing)
    first, last = abs(peak - closing) / acceleration, peak / acceleration
    phases = [(first, speed_up), (cruise, 0.0), (last, -acceleration)]
    return [phase for phase in phases if phase[0] > 0]


def _integrate(state: State, phases: Iterable[tuple[float, float]]) -> Iterator[Segment]:
    offset = 0.0
    for duration, acceleration in phases:
        segment = Segment(offset, *state, acceleration)
        yield segment
        offset += duration
        if not math.isfinite(offset):
            return
        state = segment.at(offset)


def _stop_position(state: State, acceleration: float) -> float:
    return state.position + state.velocity * abs(state.velocity) / (2 * acceleration)


def bounded(path: Path, low: float, high: float, acceleration: float) -> Path:
    """Return the path up to the point where it must brake for a bound, and then a stop at the bound.

    :param path: a path that starts where braking still stops it inside the bounds.
    :param acceleration: deceleration, units/s². The path itself must not exceed it.
    """
    segments = _split_at_reversals(path.segments)
    ends = [segment.offset for segment in segments[1:]] + [math.inf]
    for index, (segment, end) in enumerate(zip(segments, ends)):
        forward = segment.velocity > 0 or (segment.velocity == 0 and segment.acceleration > 0)
        offset = max(segment.offset, _braking_offset(segment, high if forward else low, acceleration))
        if offset < end:
            stop = brake(path.start, segment.at(offset), acceleration).segments
            moved = (Segment(s.offset + offset, s.position, s.velocity, s.acceleration) for s in stop)
            kept = index + (offset > segment.offset)
            return Path(path.start, (*segments[:kept], *moved))
    return path


def _braking_offset(segment: Segment, bound: float, acceleration: float) -> float:
    """Return the offset from which braking stops at the bound; infinite if there is none.

    Over a segment with velocity in one direction, the position where braking would stop moves in this
    direction or stands still. It is a quadratic function of time.
    """
    direction = 1.0 if bound > segment.position else -1.0
    speed, speed_up = direction * segment.velocity, direction * segment.acceleration
    room = direction * (bound - _stop_position(State(segment.position, segment.velocity), acceleration))
    growth = 1 + speed_up / acceleration
    slope, curve = speed * growth, speed_up / 2 * growth
    root = slope + math.sqrt(max(0.0, slope * slope + 4 * curve * room))
    return segment.offset + 2 * max(0.0, room) / root if root > 1e-9 else math.inf


def _split_at_reversals(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Return the same motion in segments without a change of the sign of the velocity."""
    pieces = []
    ends = [segment.offset for segment in segments[1:]] + [math.inf]
    for segment, end in zip(segments, ends):
        pieces.append(segment)
        if segment.velocity * segment.acceleration < 0:
            turn = segment.offset - segment.velocity / segment.acceleration
            if turn < end:
                pieces.append(Segment(turn, segment.at(turn).position, 0.0, segment.acceleration))
    return tuple(pieces)


def settle(
    path: Path, target: Target, position: float, velocity: float, limit: float, acceleration: float
) -> Path:
    """Return the path, changed so that it stays within tolerances of the target once it has entered them.

    From there on it closes in at less than the tolerance of velocity, instead of in the shortest time.

    :param path: a path that `approach` returned for this target.
    :param position, velocity: the tolerances, above 0, units and units/s.
    :param limit, acceleration: the limits given to `approach` for the path.
    """
    first, *later = in_position_changes(path, target, position, velocity)
    entry = first if first.in_position else later.pop(0) if later else None
    if entry is None or not later:
        return path
    gentle = approach(entry.time, path.at(entry.time), target, limit, acceleration, 0.9 * velocity)
    offset = entry.time - path.start
    kept = [segment for segment in path.segments if segment.offset < offset]
    moved = (Segment(s.offset + offset, s.position, s.velocity, s.acceleration) for s in gentle.segments)
    return Path(path.start, (*kept, *moved))


def in_position_changes(path: Path, target: Target, position: float, velocity: float) -> list[Change]:
    """Return the times at which a path enters and leaves the tolerances of a target.

    :param position: tolerance of the position.
    :param velocity: tolerance of the velocity.
    :return: at least one change. The first one gives the state at the path's start.
    """
    changes: list[Change] = []
    ends = [segment.offset for segment in path.segments[1:]] + [math.inf]
    for segment, end in zip(path.segments, ends):
        goal = target.at(path.start + segment.offset)
        error = State(segment.position - goal.position, segment.velocity - goal.velocity)
        length = end - segment.offset
        crossings = _crossings(error, segment.acceleration, position, velocity)
        times = [0.0, *sorted(t for t in crossings if 0 < t < length), length]
        for begin, finish in pairwise(times):
            middle = (begin + finish) / 2 if math.isfinite(finish) else begin + 1.0
            now = Segment(0.0, *error, segment.acceleration).at(middle)
            inside = abs(now.position) <= position and abs(now.velocity) <= velocity
            if not changes or changes[-1].in_position != inside:
                changes.append(Change(path.start + segment.offset + begin, inside))
    return changes


def _crossings(error: State, acceleration: float, position: float, velocity: float) -> Iterator[float]:
    """Yield the times at which an error with this acceleration is exactly at a tolerance."""
    for bound in (position, -position):
        yield from _roots(error.position - bound, error.velocity, acceleration / 2)
    for bound in (velocity, -velocity):
        yield from _roots(error.velocity - bound, acceleration, 0.0)


def _roots(c0: float, c1: float, c2: float) -> tuple[float, ...]:
    """Return the real roots of c0 + c1 t + c2 t²; none for a constant."""
    if c2 == 0:
        return (-c0 / c1,) if c1 else ()
    square = c1 * c1 - 4 * c2 * c0
    if square < 0:
        return ()
    q = -(c1 + math.copysign(math.sqrt(square), c1)) / 2
    return (q / c2, c0 / q) if q else (0.0,)
