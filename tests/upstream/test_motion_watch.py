"""`mtmount_twisted.upstream.motion_watch`: the motion of the mount, from its telemetry and its events."""

from __future__ import annotations

import json
import math
from collections import deque

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.dialects.tma2022.enums import AxisMotionState, PowerState, System
from mtmount_twisted.dialects.tma2022.replies import PowerStateReply
from mtmount_twisted.dialects.tma2022.telemetry import Azimuth
from mtmount_twisted.interfaces import IMotion
from mtmount_twisted.motion import sky
from mtmount_twisted.motion.limits import AxisLimits
from mtmount_twisted.motion.present import Present, Rules, time_to_go
from mtmount_twisted.records import ChangeRecord
from mtmount_twisted.simulator.tma2022.settings import Settings
from mtmount_twisted.upstream.motion_watch import FARTHEST, IN_TIME, KEPT_REPORTS, MANY_SLEWS
from tests.support.motion import MotionHouse

AZIMUTH, ELEVATION, WRAP = System.AZIMUTH, System.ELEVATION, System.CAMERA_CABLE_WRAP


class MotionCase(SynchronousTestCase):
    """A mount, and the watch over its motion."""

    def setUp(self) -> None:
        self.house = MotionHouse()
        self.motion = self.house.motion

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.house.clock.advance(seconds)

    def load(self) -> None:
        """Load the numbers of the sky at once."""
        self.successResultOf(Deferred.fromCoroutine(self.motion.load(maybeDeferred)))

    def follow(self, seconds: float, error: float = 0.0, rate: float = 0.004) -> None:
        """The mount follows a target at a constant rate and distance (arcsec), for some time."""
        for _ in range(round(seconds / 0.05)):
            demand = 100.0 + rate * self.house.clock.seconds()
            self.house.say(demand - error / 3600.0, 60.0, demand=(demand, 60.0), velocity=(rate, 0.0))
            self.wait(0.05)


class AxisTests(MotionCase):
    """The axes."""

    def test_contracts(self) -> None:
        """The watch is what the page expects."""
        self.assertTrue(verifyObject(IMotion, self.motion))

    def test_quiet(self) -> None:
        """Before the mount says anything, nothing is known, and the limits are those of the settings."""
        now = self.motion.present()
        self.assertEqual((now.word, now.detail, now.since, now.seconds), ("Not known", "", None, None))
        self.assertEqual((now.sky, now.limits, now.slew), (None, [], None))
        azimuth = now.axes["azimuth"]
        self.assertEqual((azimuth.position, azimuth.came_at, azimuth.limits), (None, None, (-270.0, 270.0)))

    def test_position(self) -> None:
        """An axis has its latest telemetry, and the way to its demand."""
        self.wait(5)
        self.house.say(12.5, 60.0, demand=(13.0, None), velocity=(0.5, 0.0), wrap=3.0)
        now = self.motion.present()
        azimuth = now.axes["azimuth"]
        self.assertEqual((azimuth.position, azimuth.demand, azimuth.velocity), (12.5, 13.0, 0.5))
        self.assertEqual((azimuth.torque, azimuth.came_at, azimuth.to_go), (5.0, 5.0, 0.5))
        self.assertEqual(now.axes["cameraCableWrap"].position, 3.0)

    def test_goal_of_a_move(self) -> None:
        """While the axis moves from point to point, the way to go ends at its goal."""
        self.house.ready()
        self.house.axis(AZIMUTH, AxisMotionState.MOVING_POINT_TO_POINT, 40.0)
        self.house.say(10.0, 60.0, velocity=(2.0, 0.0))
        now = self.motion.present()
        self.assertEqual((now.word, now.detail), ("Moving", "azimuth: Moving; elevation: Stopped"))
        azimuth = now.axes["azimuth"]
        self.assertEqual(azimuth.to_go, 30.0)
        self.assertEqual(azimuth.seconds_to_go, time_to_go(30.0, 2.0, 7.0, 7.0))
        self.assertEqual(now.seconds, azimuth.seconds_to_go)

    def test_in_position(self) -> None:
        """An axis is on target since it came into position, and not any more once it left."""
        self.wait(3)
        self.house.in_position(AZIMUTH)
        self.wait(2)
        self.house.in_position(AZIMUTH)
        azimuth = self.motion.present().axes["azimuth"]
        self.assertEqual((azimuth.in_position, azimuth.on_target_since), (True, 3.0))
        self.house.in_position(AZIMUTH, False)
        azimuth = self.motion.present().axes["azimuth"]
        self.assertEqual((azimuth.in_position, azimuth.on_target_since), (False, None))

    def test_limits_of_the_mount(self) -> None:
        """The mount's own limits replace those of the settings."""
        self.house.event(Settings().event(self.house.tai))
        axes = self.motion.present().axes
        self.assertEqual([axis.limits_are_mounts for axis in axes.values()], [True] * 3)
        self.assertEqual(axes["elevation"].limits, (15.1, 86.4))
        self.assertEqual(self.motion.limits_of("elevation"), (15.1, 86.4))
        self.assertEqual(self.motion.limits_of("camera_cable_wrap"), axes["cameraCableWrap"].limits)
        self.assertIsNone(self.motion.limits_of("dome"))

    def test_limits_of_the_settings(self) -> None:
        """A site may set the limits for a mount that has not sent its own."""
        bounds = {**Rules().bounds, "azimuth": AxisLimits(-180.0, 180.0)}
        house = MotionHouse(rules=Rules(bounds=bounds))
        azimuth = house.motion.present().axes["azimuth"]
        self.assertEqual((azimuth.limits, azimuth.limits_are_mounts), ((-180.0, 180.0), False))

    def test_malformed(self) -> None:
        """A line or an event that can't be read changes nothing."""
        self.house.say(12.5, 60.0)
        self.house.telemetry.say_lines(b'{"topicID":6,"timestamp":1.0,"actualPosition":"high"}')
        self.house.in_position(System.BALANCE)
        self.assertEqual(self.motion.present().axes["azimuth"].position, 12.5)

    def test_impossible_goal(self) -> None:
        """An impossible goal of a move is unknown: the goal of the move before it does not stay."""
        self.house.ready()
        self.house.axis(AZIMUTH, AxisMotionState.MOVING_POINT_TO_POINT, 40.0)
        self.house.axis(AZIMUTH, AxisMotionState.MOVING_POINT_TO_POINT, 1e9)
        self.house.say(10.0, 60.0, velocity=(2.0, 0.0))
        azimuth = self.motion.present().axes["azimuth"]
        self.assertEqual((azimuth.to_go, azimuth.seconds_to_go), (None, None))

    def test_impossible_numbers(self) -> None:
        """Impossible positions and limits count as missing: the page would draw a way of any length."""
        self.house.ready()
        self.house.say(1e9, -1e300, demand=(1e17, 1e300), wrap=1e9)
        now = self.motion.present()
        for axis in now.axes.values():
            self.assertEqual((axis.position, axis.demand, axis.to_go), (None, None, None))
        self.assertEqual((now.sky, now.limits), (None, []))

    def test_a_number_is_missing(self) -> None:
        """A line without a position leaves the position open, and breaks nothing."""
        self.house.telemetry.say(Azimuth(timestamp=self.house.tai))
        azimuth = self.motion.present().axes["azimuth"]
        self.assertEqual((azimuth.position, azimuth.to_go, azimuth.seconds_to_go), (None, None, None))


class WordTests(MotionCase):
    """The word for the motion."""

    def test_since(self) -> None:
        """The word changes with the mount's reports, and its time is that of the change."""
        self.wait(1)
        self.house.ready(AxisMotionState.TRACKING)
        now = self.motion.present()
        self.assertEqual((now.word, now.since), ("Tracking", 1.0))
        self.wait(1)
        self.house.axis(AZIMUTH, AxisMotionState.TRACKING)
        self.assertEqual(self.motion.present().since, 1.0)
        self.house.axis(AZIMUTH, AxisMotionState.STOPPED)
        now = self.motion.present()
        self.assertEqual((now.word, now.since), ("Stopped", 2.0))
        self.assertEqual(now.detail, "azimuth: Stopped; elevation: Tracking")

    def test_fault(self) -> None:
        """An axis in alarm is the word of the mount."""
        self.house.ready(AxisMotionState.TRACKING)
        fault = PowerStateReply(timestamp=self.house.tai, system=ELEVATION, power_state=PowerState.FAULT)
        self.house.event(fault)
        self.assertEqual(self.motion.present().word, "Fault")

    def test_link_lost(self) -> None:
        """What the mount reported over a lost link is not known any more."""
        self.house.ready()
        self.house.in_position(AZIMUTH)
        self.house.bus.publish(ChangeRecord(0.0, 1, "controller", "link_down", "lost"))
        now = self.motion.present()
        self.assertEqual((now.word, now.axes["azimuth"].in_position), ("Not known", None))


class FollowingTests(MotionCase):
    """The following errors."""

    def test_errors(self) -> None:
        """The error, and its RMS on the sky, are those of the telemetry; the signals have them, too."""
        self.follow(20, error=0.02)
        azimuth = self.motion.present().axes["azimuth"]
        assert azimuth.error is not None and azimuth.error_sky is not None and azimuth.rms is not None
        self.assertAlmostEqual(azimuth.error, 0.02, 5)
        self.assertAlmostEqual(azimuth.error_sky, 0.01, 5)
        self.assertAlmostEqual(azimuth.rms, 0.01, 5)
        names = ["motion.azimuth.error", "motion.azimuth.errorSky", "motion.elevation.error"]
        at, values = self.house.signals.latest(names)
        self.assertEqual(values[:2], [azimuth.error, azimuth.error_sky])
        self.assertEqual(values[2], 0.0)
        assert at is not None
        self.assertLess(abs(at - self.house.wall_clock()), 0.3)
        [rows] = self.house.signals.snapshot(["motion.azimuth.errorSky"])
        [(times, found)] = rows.between(0, math.inf)
        self.assertGreater(len(found), 380)
        self.assertGreater(times[1], times[0])

    def test_clock_of_the_mount(self) -> None:
        """A mount whose clock is an hour behind has fresh errors."""
        self.house.mount_ahead = self.house.telemetry.clock_offset = -3600.0
        self.follow(1, error=0.02)
        self.assertIsNotNone(self.house.signals.latest(["motion.azimuth.error"])[1][0])


class SlewTests(MotionCase):
    """The slews."""

    def slew(self, distance: float = 3.0, seconds: float = 2.0) -> None:
        """The mount tracks, and slews to another target."""
        self.house.ready(AxisMotionState.TRACKING)
        self.follow(5)
        self.began_at = self.house.wall_clock()
        steps = round(seconds / 0.05)
        for step in range(steps):
            position = 100.0 + distance * step / steps
            self.house.say(position, 60.0, demand=(100.0 + distance, 60.0), velocity=(distance / seconds, 0))
            self.wait(0.05)
        self.house.in_position(AZIMUTH)
        self.house.in_position(ELEVATION)

    def test_running(self) -> None:
        """While the mount is on its way, there is the way to go and the time that it takes."""
        self.house.ready(AxisMotionState.TRACKING)
        self.follow(5)
        began = self.house.clock.seconds()
        self.house.say(101.0, 60.0, demand=(110.0, 60.0), velocity=(3.0, 0.0))
        self.wait(0.05)
        self.house.say(102.0, 60.0, demand=(110.0, 60.0), velocity=(3.0, 0.0))
        now = self.motion.present()
        self.assertEqual((now.word, now.detail), ("Slewing", "azimuth: Slewing; elevation: Tracking"))
        assert now.slew is not None and now.slew.seconds is not None
        self.assertAlmostEqual(now.slew.began_at, began, 3)
        self.assertEqual(now.slew.to_go, 8.0)
        self.assertEqual(now.slew.seconds, time_to_go(8.0, 3.0, 7.0, 7.0))

    def test_way_is_no_error(self) -> None:
        """The RMS begins at the arrival, now and for a moment in memory: the way to a target is no error."""
        self.slew()
        for _ in range(40):
            self.house.say(103.0, 60.0)
            self.wait(0.05)
        for present in (self.motion.present(), self.house.remembered(self.house.wall_clock())):
            rms = present.axes["azimuth"].rms
            assert rms is not None
            self.assertLess(rms, 1.0)

    def test_finished(self) -> None:
        """A finished slew is in the list, and in the journal as a change with its figures in JSON."""
        self.slew()
        for _ in range(600):
            self.house.say(103.0, 60.0)
            self.wait(0.05)
        [(start, slew)] = self.motion.slews
        self.assertAlmostEqual(start, self.began_at, 2)
        self.assertAlmostEqual(slew.azimuth, 3.0, 1)
        [change] = [change for change in self.house.changes if change.kind == "slew"]
        detail = json.loads(change.detail)
        self.assertEqual((detail["start"], detail["azimuth"]), (start, slew.azimuth))
        self.assertEqual(
            (detail["passed"], change.peer, change.privileged), (slew.passed, "controller", True)
        )

    def test_demand_that_jumps_without_end(self) -> None:
        """A broken demand fills neither the list of slews nor the journal; a slew of later is recorded."""
        self.house.ready(AxisMotionState.TRACKING)
        for step in range(MANY_SLEWS + 1000):
            self.house.say(100.0, 60.0, demand=(110.0 + 10.0 * (step % 7), 60.0))
            self.wait(0.05)
        slews = [change for change in self.house.changes if change.kind == "slew"]
        self.assertEqual(sum(change.privileged for change in slews), MANY_SLEWS)
        self.assertEqual(len(self.motion.slews), MANY_SLEWS)
        self.assertLess(len(slews), 900)
        self.assertGreater(self.house.bus.counts["omitted"], 300)
        self.wait(IN_TIME)
        self.slew(distance=10.0)
        self.still(110.0, 30.0)
        self.assertTrue([change for change in self.house.changes if change.kind == "slew"][-1].privileged)
        self.assertAlmostEqual(self.motion.slews[-1][0], self.began_at, 2)

    def test_impossible_time_stamps(self) -> None:
        """A slew whose time stamps are in no calendar has a time around now, also while it is under way."""
        for at in (-1e12, 1e12):
            for step in range(4):
                demand = 100.0 if step < 2 else 120.0
                self.house.telemetry.say(
                    Azimuth(
                        timestamp=self.house.tai,
                        actual_position=100.0,
                        actual_position_timestamp=at + step * 0.05,
                        demand_position=demand,
                        demand_position_timestamp=at + step * 0.05,
                    )
                )
                self.wait(0.05)
            slew = self.motion.present().slew
            assert slew is not None
            self.assertLessEqual(abs(slew.began_at - self.house.clock.seconds()), FARTHEST + 1.0)

    def move(self, seconds: float = 3.0) -> None:
        """The mount moves azimuth from 100 to 103 deg; its demand is the path."""
        self.still(100.0, 1.0)
        self.began_at = self.house.wall_clock()
        self.house.in_position(AZIMUTH, False)
        self.house.axis(AZIMUTH, AxisMotionState.MOVING_POINT_TO_POINT, 103.0)
        steps = round(seconds / 0.05)
        for step in range(steps):
            self.still(100.0 + 3.0 * step / steps, 0.05)

    def still(self, azimuth: float, seconds: float) -> None:
        """The mount sends its telemetry for some time."""
        for _ in range(round(seconds / 0.05)):
            self.house.say(azimuth, 60.0)
            self.wait(0.05)

    def arrive(self) -> None:
        """The mount has arrived."""
        self.house.axis(AZIMUTH, AxisMotionState.STOPPED, 103.0)
        self.house.in_position(AZIMUTH)
        self.still(103.0, 16.0)

    def test_move(self) -> None:
        """A move from point to point is in the list, from the mount's report until it is in position."""
        self.house.ready()
        self.move()
        now = self.motion.present()
        assert now.slew is not None
        self.assertAlmostEqual(now.slew.began_at + self.house.start, self.began_at, 2)
        self.assertEqual((now.word, self.motion.slews), ("Moving", deque()))
        self.arrive()
        [(start, slew)] = self.motion.slews
        self.assertAlmostEqual(start, self.began_at, 2)
        self.assertAlmostEqual(slew.azimuth, 3.0, 1)
        self.assertAlmostEqual(slew.in_position_after or 0.0, 3.0, 1)
        self.assertEqual((slew.kind, slew.elevation, slew.failures, slew.settle), ("move", 0.0, (), 0.0))

    def test_stopped_move(self) -> None:
        """A move that is stopped on its way is interrupted."""
        self.house.ready()
        self.move()
        self.house.axis(AZIMUTH, AxisMotionState.STOPPING, 103.0)
        [(_, slew)] = self.motion.slews
        self.assertEqual((slew.failures, slew.in_position_after), (("interrupted",), None))

    def test_link_lost_on_the_way(self) -> None:
        """If the link is lost on the way, the time of the arrival is not that of the next connection."""
        self.house.ready()
        self.move()
        self.house.bus.publish(ChangeRecord(0.0, 1, "controller", "link_down", "lost"))
        self.still(103.0, 10.0)
        self.house.ready()
        self.arrive()
        [(_, slew)] = self.motion.slews
        self.assertEqual((slew.failures, slew.in_position_after), (("telemetry",), None))

    def test_move_before_the_connection(self) -> None:
        """A move that is under way when the mount first reports its state has no known start, and no row."""
        self.move()
        self.arrive()
        self.assertEqual(len(self.motion.slews), 0)

    def test_time_stamps_since_1904(self) -> None:
        """If the mount's events count from another epoch, the time of their arrival is taken."""
        self.house.ready()
        self.still(100.0, 1.0)
        self.house.event_epoch = 2_082_844_800.0
        self.move()
        self.arrive()
        [(start, slew)] = self.motion.slews
        self.assertAlmostEqual(start, self.began_at, 2)
        self.assertAlmostEqual(slew.in_position_after or 0.0, 3.0, 1)

    def test_move_in_a_recording(self) -> None:
        """A recorded moment has the move that was under way, and its start."""
        self.house.ready()
        events, lines = self.house.events, self.house.lines
        self.move()
        at = self.house.wall_clock()
        for _ in range(2):
            past = self.motion.present_at(at, events, lines)
            assert past.slew is not None
            self.assertAlmostEqual(past.slew.began_at, self.began_at, 2)
            self.assertEqual(past.word, "Moving")
            self.wait(3600.0)

    def test_clock_of_the_mount(self) -> None:
        """The start of a slew is a time of this machine's clock."""
        self.house.mount_ahead = self.house.telemetry.clock_offset = 3600.0
        self.slew()
        self.motion.lose_telemetry()
        [(start, slew)] = self.motion.slews
        self.assertAlmostEqual(start, self.began_at, 2)
        self.assertIn("telemetry", slew.failures)


class MemoryTests(MotionCase):
    """A moment of the last hour."""

    def assert_same(self, then: Present, at: float) -> None:
        """Memory has a moment as it was when it was the present."""
        past, start = self.house.remembered(at), self.house.start
        self.assertEqual((past.word, past.detail, past.sky), (then.word, then.detail, then.sky))
        self.assertEqual(past.since, None if then.since is None else then.since + start)
        self.assertEqual([limit.name for limit in past.limits], [limit.name for limit in then.limits])
        self.assertEqual(past.slew is None, then.slew is None)
        if past.slew is not None and then.slew is not None:
            self.assertAlmostEqual(past.slew.began_at, then.slew.began_at + start, 2)
            self.assertEqual(past.slew[1:], then.slew[1:])
        for name, axis in then.axes.items():
            moments = {
                name: None if moment is None else moment + start
                for name, moment in (("came_at", axis.came_at), ("on_target_since", axis.on_target_since))
            }
            wanted = axis._replace(**moments)._asdict()
            for member, value in past.axes[name]._asdict().items():
                with self.subTest(axis=name, member=member, at=at - start):
                    if isinstance(value, float):
                        self.assertAlmostEqual(value, wanted[member], 5)
                    else:
                        self.assertEqual(value, wanted[member])

    def test_as_it_was(self) -> None:
        """A past moment has the words, positions, errors, limits and the slew of that time."""
        self.load()
        moments: list[tuple[float, Present]] = []

        def note() -> None:
            self.wait(0.01)
            moments.append((self.house.wall_clock(), self.motion.present()))
            self.wait(0.24)

        note()
        self.house.ready(AxisMotionState.TRACKING)
        self.follow(20, 0.5)
        note()
        self.follow(1.1, 0.5)  # the sky and the limits of the present are a second old at most
        self.house.say(101.0, 60.0, demand=(110.0, 60.0), velocity=(3.0, 0.0), wrap=2.0)
        self.wait(0.05)
        self.house.say(102.0, 60.0, demand=(110.0, 60.0), velocity=(3.0, 0.0))
        note()
        self.house.say(110.0, 60.0, demand=(110.0, 60.0))
        self.house.in_position(AZIMUTH)
        self.house.in_position(ELEVATION)
        note()
        self.house.axis(AZIMUTH, AxisMotionState.MOVING_POINT_TO_POINT, 40.0)
        note()
        self.house.bus.publish(ChangeRecord(0.0, 1, "controller", "link_down", ""))
        note()
        self.follow(200)
        self.assertEqual(
            [then.word for _, then in moments],
            ["Not known", "Tracking", "Slewing", "Tracking", "Moving", "Not known"],
        )
        for at, then in moments:
            self.assert_same(then, at)

    def test_begins(self) -> None:
        """Memory begins at the daemon's start, and goes back an hour at most."""
        self.assertEqual(self.motion.remembers_from(), self.house.start)
        self.wait(4000)
        self.assertEqual(self.motion.remembers_from(), self.house.start + 400)

    def test_bounded(self) -> None:
        """A mount that reports without end fills no memory; the latest reports stay."""
        for number in range(KEPT_REPORTS + 10):
            self.house.axis(AZIMUTH, AxisMotionState.MOVING_POINT_TO_POINT, float(number))
            self.wait(0.1)
        self.assertLess(abs(self.motion.remembers_from() - (self.house.start + 1.0)), 0.5)


class SkyTests(MotionCase):
    """The place in the sky, and the limits."""

    def test_sky(self) -> None:
        """Once numpy is loaded, the place in the sky is that of the encoders, when the telemetry came."""
        self.house.say(100.0, 60.0)
        self.assertIsNone(self.motion.present().sky)
        self.load()
        self.wait(1)
        self.house.say(100.0, 60.0)
        wanted = sky.position(Rules().site, 100.0, 60.0, self.house.wall_clock())
        self.assertEqual(self.motion.present().sky, wanted)

    def test_no_numpy(self) -> None:
        """If numpy can't be loaded, everything else goes on."""
        failing: Deferred[sky.Sky] = Deferred()
        loading = Deferred.fromCoroutine(self.motion.load(lambda work: failing))
        failing.errback(ImportError("none"))
        self.failureResultOf(loading, ImportError)
        self.house.say(100.0, 60.0)
        self.assertIsNone(self.motion.present().sky)

    def test_limits(self) -> None:
        """There is a row for each direction of each axis; an axis without fresh telemetry has none."""
        self.house.say(260.0, 60.0, velocity=(1.0, 0.0), wrap=0.0)
        rows = self.motion.present().limits
        self.assertEqual(len(rows), 6)
        nearest = rows[0]
        self.assertEqual((nearest.axis, nearest.direction, nearest.seconds), ("azimuth", "+", 10.0))
        self.assertEqual((nearest.distance, nearest.level), (10.0, "alarm"))
        self.wait(2)
        self.assertEqual(self.motion.present().limits, [])

    def test_shared(self) -> None:
        """Many who ask in one moment share one answer."""
        self.house.say(100.0, 60.0)
        self.assertIs(self.motion.present(), self.motion.present())
        self.wait(0.3)
        self.house.say(101.0, 60.0)
        self.assertEqual(self.motion.present().axes["azimuth"].position, 101.0)


class TimeToGoTests(SynchronousTestCase):
    """The time to a target, by the fastest way."""

    def test_known(self) -> None:
        """From rest with and without a cruise, in motion, beyond the target and away from it."""
        for distance, velocity, expected in (
            (0.0, 0.0, 0.0),
            (1.0, 0.0, 2.0),
            (-1.0, 0.0, 2.0),
            (8.0, 0.0, 6.0),
            (0.5, 1.0, 1.0),
            (2.5, 2.0, 2.0 + 0.25),
            (-0.5, 1.0, 1.0 + 2.0),
            (0.0, 1.0, 1.0 + 2 * math.sqrt(0.5)),
        ):
            found = time_to_go(distance, velocity, 2.0, 1.0)
            self.assertAlmostEqual(found, expected, 9, (distance, velocity))
