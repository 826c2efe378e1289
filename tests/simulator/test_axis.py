"""`mtmount_twisted.simulator.axis`: azimuth, elevation and camera cable wrap."""

from __future__ import annotations

import random

from mtmount_twisted import commands as c
from mtmount_twisted.errors import TaiUnavailableError
from mtmount_twisted.replies import AckReply, DoneReply, InPositionReply

from .test_mount import AXES, STARTS_AT, Bench, MountCase, make


class TestAxis(MountCase):
    """What azimuth, elevation and camera cable wrap have in common."""

    def test_move(self) -> None:
        """A move is acknowledged with its duration and done, there, just then."""
        for prefix, goal in AXES.items():
            bench = self.powered(prefix)
            (ack,) = bench.ask(command := make(f"{prefix}Move", position=goal))
            limits = bench.axis(prefix).limits
            distance = abs(goal - STARTS_AT[prefix])
            expected = distance / limits.velocity + limits.velocity / limits.acceleration
            self.assert_close(ack.timeout_ms / 1000, expected, 0.001)
            bench.wait(expected - 0.01)
            self.assertEqual(len(bench.answers(command)), 1)
            bench.wait(0.02)
            self.assertIsInstance(bench.answers(command)[1], DoneReply)
            self.assertEqual(bench.axis(prefix).state, (goal, 0.0))
            self.assert_idle(bench)

    def test_ack_is_rounded_up(self) -> None:
        """The announced time is never shorter than the move."""
        bench = self.powered("AzimuthAxis")
        (ack,) = bench.ask(command := c.AzimuthAxisMove(position=1))
        bench.wait(ack.timeout_ms / 1000)
        self.assertEqual(len(bench.answers(command)), 2)

    def test_needs_power_and_drive(self) -> None:
        """Move, track, home, stop, and enabling tracking need power and the drive."""
        for prefix, goal in AXES.items():
            bench = Bench()
            needy = [
                make(f"{prefix}Move", position=goal),
                make(f"{prefix}Track", position=goal, velocity=0, tai=bench.tai()),
                make(f"{prefix}Stop"),
                make(f"{prefix}EnableTracking", on=True),
            ]
            if prefix != "CameraCableWrap":
                needy.append(make(f"{prefix}Home"))
            for command in needy:
                self.assert_refused(bench, command, "turn its power on")
            self.assert_refused(bench, make(f"{prefix}DriveReset", drive=-1), "turn its power on")
            self.assert_refused(bench, make(f"{prefix}DriveEnable", drive=-1, on=True), "power")
            self.assert_done(bench, make(f"{prefix}Power", on=True))
            self.assert_done(bench, make(f"{prefix}DriveReset", drive=-1))
            for command in needy:
                self.assert_refused(bench, command, "drive is disabled")
            self.assert_done(bench, make(f"{prefix}DriveEnable", drive=0, on=True))
            self.assertEqual(len(bench.ask(needy[0])), 1)

    def test_power_on_enables_the_drive(self) -> None:
        """Turning power on, also when it is on already, enables the drive."""
        bench = self.powered("AzimuthAxis")
        self.assert_done(bench, c.AzimuthAxisDriveEnable(on=False))
        self.assert_refused(bench, c.AzimuthAxisStop(), "drive is disabled")
        self.assert_done(bench, c.AzimuthAxisPower(on=True))
        self.assert_done(bench, c.AzimuthAxisStop())

    def test_move_needs_tracking_off(self) -> None:
        """Move and home are refused while tracking is enabled, and track while it is not."""
        for prefix, goal in AXES.items():
            bench = self.tracking(prefix)
            self.assert_refused(bench, make(f"{prefix}Move", position=goal), "disable tracking first")
            if prefix != "CameraCableWrap":
                self.assert_refused(bench, make(f"{prefix}Home"), "disable tracking first")
            self.assert_done(bench, make(f"{prefix}EnableTracking", on=False))
            track = make(f"{prefix}Track", position=goal, velocity=0, tai=bench.tai())
            self.assert_refused(bench, track, "enable tracking first")

    def test_position_limits(self) -> None:
        """Targets at the limits are accepted and targets outside are refused."""
        for prefix in AXES:
            limits = Bench().axis(prefix).limits
            for good, bad in ((limits.low, limits.low - 0.001), (limits.high, limits.high + 0.001)):
                bench = self.powered(prefix)
                self.assert_refused(bench, make(f"{prefix}Move", position=bad), "outside the limits")
                self.assertIsInstance(bench.ask(make(f"{prefix}Move", position=good))[0], AckReply)
                bench = self.tracking(prefix)
                track = make(f"{prefix}Track", position=bad, velocity=0, tai=bench.tai())
                self.assert_refused(bench, track, "outside the limits")

    def test_rates(self) -> None:
        """A move at a lower velocity and acceleration takes longer, by the trapezoid's formula."""
        bench = self.powered("AzimuthAxis")
        (ack,) = bench.ask(c.AzimuthAxisMove(position=-10, velocity=2, acceleration=1, jerk=5))
        self.assertEqual(ack.timeout_ms, 7000)
        bench.wait(3.5)
        self.assert_close(bench.mount.azimuth.state.position, -5)
        self.assert_close(bench.mount.azimuth.state.velocity, -2)

    def test_bad_rates(self) -> None:
        """A rate over the axis's limit, negative, or absurdly small is refused."""
        bench = self.powered("ElevationAxis")
        for rates, why in (
            ({"velocity": 3.51}, "velocity 3.51 is over the limit"),
            ({"acceleration": 3.51}, "acceleration 3.51 is over the limit"),
            ({"velocity": -1}, "velocity -1.0 is neither 0"),
            ({"acceleration": 1e-300}, "neither 0"),
            ({"jerk": -1}, "jerk -1.0 is neither 0"),
            ({"velocity": 1e-5}, "longer than"),
        ):
            self.assert_refused(bench, c.ElevationAxisMove(position=30, **rates), why)

    def test_supersede(self) -> None:
        """Each of these commands supersedes a move, which is told by which one."""
        for prefix, goal in AXES.items():
            for name, values in (
                ("Move", {"position": goal / 2 + 15}),
                ("Stop", {}),
                ("Power", {"on": False}),
                ("DriveEnable", {"drive": -1, "on": True}),
                ("DriveEnable", {"drive": -1, "on": False}),
                ("DriveReset", {"drive": -1}),
                ("EnableTracking", {"on": True}),
                ("EnableTracking", {"on": False}),
            ):
                bench = self.powered(prefix)
                bench.ask(move := make(f"{prefix}Move", position=goal))
                bench.wait(1)
                bench.ask(later := make(f"{prefix}{name}", **values))
                self.assert_ends(bench, move, f"superseded by {prefix}{name} {later.sequence_id}")
                bench.wait(60)
                self.assertIsInstance(bench.answers(later)[-1], DoneReply)
                self.assertEqual(bench.axis(prefix).state.velocity, 0)
                self.assert_idle(bench)

    def test_power_on_lets_a_move_be(self) -> None:
        """Turning on what is on does not disturb a move."""
        bench = self.powered("AzimuthAxis")
        bench.ask(move := c.AzimuthAxisMove(position=10))
        self.assert_done(bench, c.AzimuthAxisPower(on=True))
        bench.wait(10)
        self.assertIsInstance(bench.answers(move)[-1], DoneReply)

    def test_stop_takes_its_time(self) -> None:
        """Stop brakes at the axis's acceleration and is done when the axis stands."""
        bench = self.powered("AzimuthAxis")
        bench.ask(c.AzimuthAxisMove(position=100))
        bench.wait(5)
        replies = bench.ask(stop := c.AzimuthAxisStop())
        self.assertEqual(replies[0].timeout_ms, 1000)
        bench.wait(0.99)
        self.assertEqual(len(bench.answers(stop)), 1)
        bench.wait(0.02)
        self.assertEqual(len(bench.answers(stop)), 2)
        self.assert_close(bench.mount.azimuth.state.position, 31.5 + 3.5)

    def test_weak_braking_keeps_the_limits(self) -> None:
        """A newer move whose acceleration is too low to stay inside brakes as hard as the axis can."""
        bench = self.powered("AzimuthAxis")
        bench.ask(c.AzimuthAxisMove(position=270))
        bench.wait(35)
        bench.ask(move := c.AzimuthAxisMove(position=0, acceleration=0.1))
        for _ in range(500):
            bench.wait(0.1)
            self.assertLessEqual(bench.mount.azimuth.state.position, 270)
        self.assertIsInstance(bench.answers(move)[-1], DoneReply)

    def test_home(self) -> None:
        """Azimuth homes to 0 and elevation to the allowed position nearest to it."""
        bench = self.powered("AzimuthAxis")
        bench.ask(c.AzimuthAxisMove(position=10))
        bench.wait(10)
        bench.ask(c.AzimuthAxisHome())
        bench.wait(10)
        self.assertEqual(bench.mount.azimuth.state, (0, 0))
        bench = self.powered("ElevationAxis")
        bench.ask(c.ElevationAxisHome())
        bench.wait(60)
        self.assertEqual(bench.mount.elevation.state, (20, 0))

    def test_drive_numbers(self) -> None:
        """An axis takes any drive number from -1 up."""
        bench = self.powered("CameraCableWrap")
        self.assert_done(bench, c.CameraCableWrapDriveEnable(drive=1, on=True))
        self.assert_refused(bench, c.CameraCableWrapDriveEnable(drive=-2, on=True), "no drive -2")

    def test_speed(self) -> None:
        """At a speed factor of 10 a move takes, and announces, a tenth of the time."""
        bench = self.powered("AzimuthAxis", speed=10)
        (ack,) = bench.ask(move := c.AzimuthAxisMove(position=70, velocity=7, acceleration=7))
        self.assertEqual(ack.timeout_ms, 1100)
        bench.wait(1.1001)
        self.assertIsInstance(bench.answers(move)[-1], DoneReply)


class TestTracking(MountCase):
    """Following a stream of targets."""

    def track(self, bench: Bench, seconds: int, rate: float = 0.5, position: float = 5.0) -> None:
        """Send a target every 0.05 s and check that each gets an Ack only."""
        begin = bench.tai()
        for _ in range(seconds * 20):
            tai = bench.tai() + 0.03
            target = position + rate * (tai - begin)
            bench.ask(command := c.AzimuthAxisTrack(position=target, velocity=rate, tai=tai))
            self.assertEqual([type(r) for r in bench.answers(command)], [AckReply])
            bench.wait(0.05)

    def test_follows(self) -> None:
        """The axis catches up with the targets and then follows them exactly."""
        bench = self.tracking("AzimuthAxis")
        begin = bench.tai()
        self.track(bench, 4)
        self.assert_close(bench.mount.azimuth.state.position, 5 + 0.5 * (bench.tai() - begin))
        self.assert_close(bench.mount.azimuth.state.velocity, 0.5)
        self.assertTrue(bench.mount.azimuth.in_position)
        self.assertEqual([r.in_position for r in bench.said if isinstance(r, InPositionReply)], [True])
        self.assert_done(bench, c.AzimuthAxisEnableTracking(on=False))
        self.assertFalse(bench.mount.azimuth.in_position)
        self.assert_idle(bench)

    def test_limits_hold(self) -> None:
        """A far target is approached within the limits of velocity and acceleration."""
        bench = self.tracking("AzimuthAxis")
        bench.ask(c.AzimuthAxisTrack(position=100, velocity=-3, tai=bench.tai()))
        last = bench.mount.azimuth.state
        for _ in range(400):
            bench.wait(0.05)
            now = bench.mount.azimuth.state
            self.assertLessEqual(abs(now.velocity), 7.00001)
            self.assertLessEqual(abs(now.velocity - last.velocity), 7 * 0.05 + 1e-5)
            last = now
        self.assertEqual(now.velocity, -3)

    def test_runs_out_of_targets(self) -> None:
        """With no more targets the last one is followed, at most to the position limit."""
        bench = self.tracking("ElevationAxis")
        bench.ask(c.ElevationAxisTrack(position=80, velocity=1, tai=bench.tai()))
        bench.wait(5)
        self.assertTrue(bench.mount.elevation.in_position)
        bench.wait(60)
        self.assertEqual(bench.mount.elevation.state, (86.5, 0))
        self.assertFalse(bench.mount.elevation.in_position)
        self.assert_idle(bench)

    def test_noise_in_the_targets(self) -> None:
        """Noise of 1e-4 deg in the targets, at rest or moving, causes no event but the first."""
        for rate in (0.0, 0.5, -2.0):
            bench = self.tracking("AzimuthAxis")
            begin, noise = bench.tai(), random.Random(10)
            for _ in range(200):
                tai = bench.tai() + 0.03
                position = rate * (tai - begin) + noise.gauss(0, 1e-4)
                bench.ask(c.AzimuthAxisTrack(position=position, velocity=rate, tai=tai))
                bench.wait(0.05)
            said = [r.in_position for r in bench.said if isinstance(r, InPositionReply)]
            self.assertEqual(said, [True], f"rate {rate}")
            self.assert_close(bench.mount.azimuth.state.position, position + rate * 0.02, 1e-3)

    def test_a_step_out_of_position(self) -> None:
        """A target more than 0.01 deg away is left and entered once, within the limits of acceleration."""
        bench = self.tracking("AzimuthAxis")
        bench.ask(c.AzimuthAxisTrack(position=0, velocity=0, tai=bench.tai()))
        bench.ask(c.AzimuthAxisTrack(position=0.02, velocity=0, tai=bench.tai()))
        bench.wait(1)
        said = [r.in_position for r in bench.said if isinstance(r, InPositionReply)]
        self.assertEqual(said, [True, False, True])
        self.assertEqual(bench.mount.azimuth.state, (0.02, 0))

    def test_stop_ends_tracking(self) -> None:
        """Stop ends tracking, so that the next target of the stream can't undo it."""
        bench = self.tracking("AzimuthAxis")
        self.track(bench, 1)
        bench.ask(c.AzimuthAxisStop())
        late = c.AzimuthAxisTrack(position=5, velocity=0, tai=bench.tai())
        self.assert_refused(bench, late, "enable tracking first")

    def test_bad_targets(self) -> None:
        """A target that is too fast, or that by now is outside the limits, is refused."""
        bench = self.tracking("AzimuthAxis")
        for position, velocity, age, why in (
            (0, 7.1, 0, "over the limit of 7.0"),
            (0, 1, 1000, "position now"),
            (-271, 1, 10, "position -271"),
        ):
            command = c.AzimuthAxisTrack(position=position, velocity=velocity, tai=bench.tai() - age)
            self.assert_refused(bench, command, why)

    def test_no_tai(self) -> None:
        """Where TAI can't be told a target is refused."""

        def no_tai() -> float:
            raise TaiUnavailableError("no leap seconds")

        bench = self.tracking("AzimuthAxis", tai=no_tai)
        self.assert_refused(bench, c.AzimuthAxisTrack(position=0, velocity=0, tai=0), "no leap seconds")

    def test_slow_mount_refuses_fast_targets(self) -> None:
        """A speed factor below 1 lowers the velocity that can be tracked."""
        bench = self.tracking("AzimuthAxis", speed=0.5)
        command = c.AzimuthAxisTrack(position=0, velocity=4, tai=bench.tai())
        self.assert_refused(bench, command, "over the limit of 3.5")


class TestInPosition(MountCase):
    """`InPositionReply`: entering and leaving position."""

    def events(self, bench: Bench) -> list[tuple[int, bool]]:
        return [(r.what, r.in_position) for r in bench.said if isinstance(r, InPositionReply)]

    def test_move(self) -> None:
        """Azimuth and elevation say when they arrive, and when they leave for another target."""
        for prefix, what in (("AzimuthAxis", 0), ("ElevationAxis", 1)):
            bench = self.powered(prefix)
            bench.ask(make(f"{prefix}Move", position=40))
            self.assertEqual(self.events(bench), [])
            bench.wait(60)
            self.assertEqual(self.events(bench), [(what, True)])
            bench.ask(make(f"{prefix}Move", position=30))
            self.assertEqual(self.events(bench), [(what, True), (what, False)])

    def test_camera_cable_wrap_is_silent(self) -> None:
        """The camera cable wrap has no number in `InPositionReply` and sends none."""
        bench = self.powered("CameraCableWrap")
        bench.ask(c.CameraCableWrapMove(position=5))
        bench.wait(60)
        self.assertTrue(bench.mount.camera_cable_wrap.in_position)
        self.assertEqual(self.events(bench), [])

    def test_stopped(self) -> None:
        """An axis that was stopped has no target, so it is not in position."""
        bench = self.powered("AzimuthAxis")
        bench.ask(c.AzimuthAxisMove(position=5))
        bench.wait(10)
        bench.ask(c.AzimuthAxisStop())
        self.assertEqual(self.events(bench), [(0, True), (0, False)])

    def test_told_in_time(self) -> None:
        """The event comes within 0.2 s of the moment when the axis is within its tolerance."""
        bench = self.powered("AzimuthAxis")
        bench.ask(c.AzimuthAxisMove(position=5, velocity=1, acceleration=0.1))
        while not self.events(bench):
            bench.wait(0.1)
        position, velocity = bench.mount.azimuth.state
        self.assertLessEqual(abs(position - 5), 0.01)
        self.assertLessEqual(abs(velocity), 0.01)
        self.assertGreater(abs(velocity), 0)


class TestBothAxes(MountCase):
    """The commands that drive azimuth and elevation."""

    def both(self) -> Bench:
        bench = self.powered("AzimuthAxis")
        self.assert_done(bench, c.ElevationAxisPower(on=True))
        return bench

    def test_move(self) -> None:
        """Both axes move, and the command is done when the later one arrives."""
        bench = self.both()
        (ack,) = bench.ask(move := c.BothAxesMove(azimuth=14, elevation=45, azimuth_velocity=3.5))
        self.assertEqual(ack.timeout_ms, 11000)
        bench.wait(10.9)
        self.assertEqual(bench.mount.azimuth.state, (14, 0))
        self.assertEqual(len(bench.answers(move)), 1)
        bench.wait(0.2)
        self.assertEqual(bench.mount.elevation.state, (45, 0))
        self.assertEqual([type(r) for r in bench.answers(move)], [AckReply, DoneReply])

    def test_both_or_neither(self) -> None:
        """What one axis refuses the other does not do either."""
        bench = self.both()
        self.assert_refused(bench, c.BothAxesMove(azimuth=10, elevation=10), "ElevationAxis")
        bench.wait(5)
        self.assertEqual(bench.mount.azimuth.state, (0, 0))

    def test_stop_stops_what_can_be_stopped(self) -> None:
        """An axis that is off does not keep the other from being stopped; with both off it is refused."""
        bench = self.both()
        self.assert_done(bench, c.ElevationAxisPower(on=False))
        bench.ask(move := c.AzimuthAxisMove(position=200))
        bench.wait(5)
        bench.ask(stop := c.BothAxesStop())
        self.assert_ends(bench, move, "superseded by BothAxesStop")
        bench.wait(5)
        self.assertEqual([type(r) for r in bench.answers(stop)], [AckReply, DoneReply])
        self.assertEqual(bench.mount.azimuth.state.velocity, 0)
        self.assertLess(bench.mount.azimuth.state.position, 100)
        self.assert_done(bench, c.AzimuthAxisPower(on=False))
        self.assert_refused(bench, c.BothAxesStop(), "AzimuthAxis is off")

    def test_negate_azimuth(self) -> None:
        """-1 multiplies azimuth, and while tracking its velocity, by -1; other values are refused."""
        bench = self.both()
        bench.ask(c.BothAxesMove(azimuth=10, elevation=80, negate_azimuth=-1))
        bench.wait(10)
        self.assertEqual(bench.mount.azimuth.state, (-10, 0))
        bad = c.BothAxesMove(azimuth=10, elevation=80, negate_azimuth=1)
        self.assert_refused(bench, bad, "negate_azimuth is 0 or -1, not 1")
        for prefix in ("AzimuthAxis", "ElevationAxis"):
            self.assert_done(bench, make(f"{prefix}EnableTracking", on=True))
        values = {"azimuth": 10, "azimuth_velocity": 0.5, "elevation": 80, "elevation_velocity": 0.1}
        bench.ask(track := c.BothAxesTrack(**values, negate_azimuth=-1, tai=bench.tai()))
        bench.wait(10)
        self.assert_close(bench.mount.azimuth.state.position, -15)
        self.assert_close(bench.mount.elevation.state.position, 81)
        self.assertEqual([type(r) for r in bench.answers(track)], [AckReply])

    def test_stop(self) -> None:
        """Stopping both supersedes a move of both, once, and is done when both stand."""
        bench = self.both()
        bench.ask(move := c.BothAxesMove(azimuth=100, elevation=20))
        bench.wait(5)
        bench.ask(stop := c.BothAxesStop())
        self.assert_ends(bench, move, "superseded by BothAxesStop")
        bench.wait(2)
        self.assertIsInstance(bench.answers(stop)[-1], DoneReply)
        self.assertEqual(bench.mount.azimuth.state.velocity, 0)
        self.assert_idle(bench)

    def test_half_superseded(self) -> None:
        """When one axis is stopped the command ends, and the other axis goes on."""
        bench = self.both()
        bench.ask(move := c.BothAxesMove(azimuth=20, elevation=50))
        bench.ask(c.AzimuthAxisStop())
        bench.wait(60)
        self.assert_ends(bench, move, "superseded by AzimuthAxisStop")
        self.assertEqual(bench.mount.elevation.state, (50, 0))
