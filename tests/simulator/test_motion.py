"""`mtmount_twisted.simulator.motion`: paths are continuous, keep the limits and arrive."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.simulator.motion import (
    Path,
    State,
    Target,
    approach,
    bounded,
    brake,
    glide,
    in_position_changes,
    rest,
    settle,
)

VELOCITY = 7.0
ACCELERATION = 3.0
START = 1000.0
CLOSE = 1e-6

positions = st.floats(-270, 270)
velocities = st.floats(-VELOCITY, VELOCITY)
targets = st.builds(Target, st.floats(START - 5, START + 5), positions, st.floats(-6.5, 6.5))
states = st.builds(State, positions, velocities)


def sample_times(path: Path, after: float = 3.0) -> list[float]:
    """Times that cover a path: its joints, near them, and between them."""
    joints = [path.start + segment.offset for segment in path.segments] + [path.end + after]
    times = list(joints)
    for begin, end in pairwise(joints):
        times += [begin + (end - begin) * k / 7 for k in range(1, 7)]
    return sorted(times)


class PathChecks(SynchronousTestCase):
    """What must hold for every path."""

    def assert_close(self, first: float, second: float, delta: float = CLOSE) -> None:
        """Two numbers differ by no more than `delta`."""
        self.assertLessEqual(abs(first - second), delta, f"{first!r} is not {second!r}")

    def assert_smooth(self, path: Path) -> None:
        """Position and velocity don't jump where segments meet."""
        for before, after in zip(path.segments, path.segments[1:]):
            position, velocity = before.at(after.offset)
            self.assert_close(position, after.position)
            self.assert_close(velocity, after.velocity)

    def assert_in_limits(self, path: Path) -> None:
        """No velocity and no acceleration is over its limit."""
        for time in sample_times(path):
            self.assertLessEqual(abs(path.at(time).velocity), VELOCITY + CLOSE)
        for segment in path.segments:
            self.assertLessEqual(abs(segment.acceleration), ACCELERATION)

    def assert_derivative(self, path: Path) -> None:
        """Velocity is the derivative of position."""
        step = 1e-4
        for time in sample_times(path):
            if time - step < path.start:
                continue  # before its start a path stands still
            difference = (path.at(time + step).position - path.at(time - step).position) / (2 * step)
            self.assert_close(difference, path.at(time).velocity, 2 * ACCELERATION * step + CLOSE)


class TestApproach(PathChecks):
    """`approach`: from any state to a target that stands still or moves."""

    @given(states, positions)
    def test_move(self, state: State, goal: float) -> None:
        """A move begins where it is, is smooth, keeps the limits and ends at rest at its target."""
        path = approach(START, state, Target(START, goal), VELOCITY, ACCELERATION)
        self.assert_close(path.at(START).position, state.position)
        self.assert_close(path.at(START).velocity, state.velocity)
        self.assert_smooth(path)
        self.assert_in_limits(path)
        self.assert_derivative(path)
        self.assertEqual(path.at(path.end + 1), State(goal, 0.0))

    @given(states, targets)
    def test_track(self, state: State, target: Target) -> None:
        """A moving target is caught under the mount's own limits and then followed exactly."""
        path = approach(START, state, target, VELOCITY, ACCELERATION)
        self.assert_smooth(path)
        self.assert_in_limits(path)
        self.assert_derivative(path)
        for later in (0.0, 1.0, 100.0):
            reached, wanted = path.at(path.end + later), target.at(path.end + later)
            self.assert_close(reached.position, wanted.position)
            self.assert_close(reached.velocity, wanted.velocity)

    @given(states, positions)
    def test_no_shorter(self, state: State, goal: float) -> None:
        """No move takes longer than stopping, going back at half the limits and stopping again would."""
        path = approach(START, state, Target(START, goal), VELOCITY, ACCELERATION)
        stopped = brake(START, state, ACCELERATION)
        gap = abs(goal - stopped.segments[-1].position)
        slow = gap / (VELOCITY / 2) + VELOCITY / ACCELERATION
        self.assertLessEqual(path.duration, stopped.duration + slow + CLOSE)

    def test_trapezoid(self) -> None:
        """A long move takes distance/velocity + velocity/acceleration."""
        path = approach(START, State(0, 0), Target(START, 70), 7, 7)
        self.assert_close(path.duration, 11.0)
        self.assertEqual(path.at(START + 1), State(3.5, 7.0))
        self.assertEqual(path.at(START + 10), State(66.5, 7.0))

    def test_triangle(self) -> None:
        """A short move never reaches the velocity limit."""
        path = approach(START, State(0, 0), Target(START, -4), 7, 1)
        self.assert_close(path.duration, 4.0)
        self.assert_close(path.at(START + 2).velocity, -2.0)

    def test_overshoot(self) -> None:
        """What comes too fast to stop in time goes past its target and returns."""
        path = approach(START, State(0, 4), Target(START, 1), 7, 2)
        self.assert_close(path.extent()[1], 4.0)
        self.assertEqual(path.at(path.end + 1), State(1, 0))

    def test_faster_than_limit(self) -> None:
        """A state faster than the limit is slowed to it, and then held to it."""
        path = approach(START, State(0, 7), Target(START, 100), 2, 1)
        self.assert_smooth(path)
        self.assert_close(path.at(START + 5).velocity, 2.0)
        self.assert_close(path.at(START + 6).velocity, 2.0)
        self.assertEqual(path.at(path.end + 1), State(100, 0))

    def test_target_as_fast_as_limit(self) -> None:
        """A target at the velocity limit is not caught from behind, but pursued at the limit."""
        path = approach(START, State(0, 0), Target(START, 10, 7), 7, 7)
        self.assertEqual(path.at(START + 1000).velocity, 7.0)
        ahead = approach(START, State(20, 0), Target(START, 10, 7), 7, 7)
        self.assertEqual(ahead.at(START + 1000).position, Target(START, 10, 7).at(START + 1000).position)

    def test_already_there(self) -> None:
        """A move to where it stands takes no time."""
        self.assertEqual(approach(START, State(5, 0), Target(START, 5), 7, 7).duration, 0)


class TestSimplePaths(PathChecks):
    """`rest`, `glide` and `brake`."""

    @given(states)
    def test_brake(self, state: State) -> None:
        """Braking is smooth, takes velocity/acceleration and ends at rest."""
        path = brake(START, state, ACCELERATION)
        self.assert_smooth(path)
        self.assert_in_limits(path)
        self.assert_close(path.duration, abs(state.velocity) / ACCELERATION)
        self.assertEqual(path.at(path.end + 1).velocity, 0)

    def test_glide(self) -> None:
        """Gliding goes at even velocity, either way, and takes no time to where it is."""
        down = glide(START, 100, 0, 50)
        self.assertEqual([down.at(START + t).position for t in (0, 1, 2, 3)], [100, 50, 0, 0])
        self.assertEqual(glide(START, 0, 100, 50).at(START + 1).position, 50)
        self.assertEqual(glide(START, 3, 3, 50).duration, 0)

    def test_rest(self) -> None:
        """What rests is there at all times, also before it began."""
        path = rest(START, 12)
        self.assertEqual({path.at(START + t) for t in (-10, 0, 10)}, {State(12, 0)})


class TestBounded(PathChecks):
    """`bounded`: a path that would leave its bounds stops at them."""

    @given(st.floats(-100, 100), velocities, targets)
    def test_never_leaves(self, position: float, velocity: float, target: Target) -> None:
        """A bounded path is smooth, in limits and never outside the bounds."""
        path = approach(START, State(position, velocity), target, VELOCITY, ACCELERATION)
        low, high = -120.0, 120.0
        within = bounded(path, low, high, ACCELERATION)
        self.assert_smooth(within)
        self.assert_in_limits(within)
        for time in sample_times(within, after=1e4):
            self.assertLessEqual(low - CLOSE, within.at(time).position)
            self.assertLessEqual(within.at(time).position, high + CLOSE)

    @given(st.floats(-10, 10), st.floats(-1, 1), st.floats(-15, 15))
    def test_leaves_alone(self, position: float, velocity: float, goal: float) -> None:
        """A path that stays inside goes where it went."""
        target = Target(START, goal)
        path = approach(START, State(position, velocity), target, VELOCITY, ACCELERATION)
        within = bounded(path, -20, 20, ACCELERATION)
        for time in sample_times(path):
            self.assert_close(within.at(time).position, path.at(time).position)

    def test_while_cruising(self) -> None:
        """A target that runs out of bounds is followed to the last moment for braking."""
        path = bounded(approach(START, State(0, 1), Target(START, 0, 1), 7, 1), -10, 10, 1)
        self.assert_close(path.at(START + 9.5).velocity, 1.0)
        self.assertEqual(path.at(START + 20), State(10, 0))

    def test_while_speeding_up(self) -> None:
        """Braking can begin while it still speeds up towards a target that is far out."""
        path = bounded(approach(START, State(0, 0), Target(START, -50, -1), 7, 1), -4, 10, 1)
        self.assert_close(path.duration, 4.0)
        self.assert_close(path.at(START + 10).position, -4)


class TestInPositionChanges(PathChecks):
    """`in_position_changes`: when a path enters and leaves position."""

    @given(states, targets)
    def test_as_sampled(self, state: State, target: Target) -> None:
        """Between two changes the path is in position as the earlier one says."""
        path = approach(START, state, target, VELOCITY, ACCELERATION)
        changes = in_position_changes(path, target, 0.01, 0.01)
        self.assertTrue(changes[-1].in_position)
        times = [change.time for change in changes] + [path.end + 10]
        for change, end in zip(changes, times[1:]):
            if end - change.time < 1e-5:
                continue
            for part in (0.1, 0.5, 0.9):
                time = change.time + (end - change.time) * part
                now, goal = path.at(time), target.at(time)
                error = max(abs(now.position - goal.position), abs(now.velocity - goal.velocity))
                self.assert_close(error, 0, 0.01 + 1e-9) if change.in_position else self.assertGreater(
                    error, 0.01 - 1e-9
                )

    def test_arrival(self) -> None:
        """A move enters position shortly before it ends: when it is slow and close enough."""
        path = approach(START, State(0, 0), Target(START, 70), 7, 7)
        first, second = in_position_changes(path, Target(START, 70), 0.01, 0.01)
        self.assertEqual((first.time, first.in_position), (START, False))
        self.assert_close(second.time, path.end - 0.01 / 7)

    def test_departure(self) -> None:
        """A target that moves off is left when it is too far away."""
        first, second = in_position_changes(rest(START, 0), Target(START, 0, 0.005), 0.01, 0.01)
        self.assertEqual((first.in_position, second.in_position), (True, False))
        self.assert_close(second.time, START + 2)


class TestSettle(PathChecks):
    """A path that stays within the tolerances of its target once it has entered them."""

    @given(st.floats(-0.05, 0.05), st.floats(-0.5, 0.5), st.floats(-6.5, 6.5))
    def test_enters_once(self, gap: float, closing: float, velocity: float) -> None:
        """It enters once, does not leave, keeps the limits, and ends at the target."""
        target = Target(START, 10.0, velocity)
        shortest = approach(START, State(10.0 + gap, velocity + closing), target, VELOCITY, ACCELERATION)
        path = settle(shortest, target, 0.01, 0.01, VELOCITY, ACCELERATION)
        self.assert_smooth(path)
        self.assert_in_limits(path)
        changes = [change.in_position for change in in_position_changes(path, target, 0.01, 0.01)]
        edge = abs(abs(gap) - 0.01) < 1e-4  # there, braking may carry it over the tolerance once
        self.assertTrue(edge or changes in ([True], [False, True]), changes)
        self.assertTrue(changes[-1])
        goal = target.at(path.end)
        self.assert_close(path.at(path.end).position, goal.position)
        self.assert_close(path.at(path.end).velocity, goal.velocity)

    def test_a_path_that_enters_for_good(self) -> None:
        """A path that does not leave the tolerances stays as it is."""
        target = Target(START, 10.0)
        path = approach(START, State(0.0, 0.0), target, VELOCITY, ACCELERATION)
        self.assertIs(settle(path, target, 0.01, 0.01, VELOCITY, ACCELERATION), path)
