"""`mtmount_twisted.simulator.tma2022.mount` and its devices, beyond the recorded session."""

from __future__ import annotations

import logging
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022 import replies as r
from mtmount_twisted.dialects.tma2022.enums import (
    AxisMotionState,
    CommandCode,
    DeployableMotionState,
    LimitsMask,
    PowerState,
    Source,
    System,
    ThermalMode,
)
from mtmount_twisted.simulator.tma2022.handlers import HANDLERS
from mtmount_twisted.simulator.tma2022.mount import SimulatedMount
from tests.support import strategies  # noqa: F401  # for the profile
from tests.support.simulated_tma2022 import QUIET, START, TAI, Bench, names

ACK, DONE, REJECTED = "CmdAcknowledgedReply", "CmdSucceededReply", "CmdRejectedReply"


def make(command: type[c.Command], **values: Any) -> c.Command:
    """A command with harmless values for the parameters that have no default."""
    fitting: dict[type, Any] = {bool: True, float: 1.0, int: 0, str: "Park", Source: Source.CSC}
    given = {
        info.name: fitting[info.dtype]
        for info in command.field_infos[4:]
        if info.dtype in fitting and info.name not in values
    }
    return command(**{**given, **values})


def slow_down(clock: Clock, step: float) -> None:
    """Let each look at the clock take time, in s, as on a slow computer."""
    seconds = clock.seconds

    def slow() -> float:
        clock.rightNow += step
        return seconds()

    clock.seconds = slow  # type: ignore[method-assign]


class TableTests(SynchronousTestCase):
    """The table of handlers."""

    def test_every_class_has_a_handler(self) -> None:
        """Each command class that the mount answers has a handler, and no other class has one."""
        answered = {each for each in c.Commands if each.is_answered}
        self.assertEqual(set(HANDLERS), answered)

    def test_new_class(self) -> None:
        """A class without a handler is acknowledged and done, with no effect."""

        class New(c.Command):
            """A command that no handler knows."""

            command_code = CommandCode.START

        self.assertEqual(Bench().answers(New()), [ACK, DONE])

    def test_every_class_is_answered(self) -> None:
        """Each command gets an Ack or a rejection at once, and at most one end in the next minutes."""
        for command in c.Commands:
            bench = Bench()
            first = bench.answers(make(command))
            if command is c.Heartbeat:
                self.assertEqual(first, [])
                continue
            self.assertIn(first[0], (ACK, REJECTED), command)
            later = [name for name in names(bench.wait(100)) if name.startswith("Cmd")]
            ends = 0 if command.ack_only or first[0] == REJECTED else 1
            self.assertEqual(len(first) - 1 + len(later), ends, command)


class CommanderTests(SynchronousTestCase):
    """The right to command, where the recording does not tell it."""

    def test_source_of_the_holder(self) -> None:
        """While the EUI has command, its commands are carried out, and those of the CSC are rejected."""
        bench = Bench(initial_commander=Source.EUI)
        self.assertEqual(bench.refusal(c.AzimuthStop(source=Source.EUI)), "")
        self.assertEqual(bench.refusal(c.AzimuthStop()), "The commander is <Source.EUI: 2>, not the CSC.")

    def test_hhd_hands_over(self) -> None:
        """The HHD may give command to the CSC."""
        bench = Bench(initial_commander=Source.HHD)
        said = bench.ask(c.AskForCommand(source=Source.HHD, commander=Source.CSC))
        self.assertEqual(names(said), [ACK, "CommanderReply", DONE])

    def test_pxi_never_has_command(self) -> None:
        """The PXI is no commander."""
        self.assertIn("PXI", Bench().refusal(c.AskForCommand(commander=Source.PXI)))


class HeartbeatTests(SynchronousTestCase):
    """The heartbeat rule."""

    def test_lost(self) -> None:
        """Five seconds after the grant command goes to nobody, the axes are in alarm, and a move fails."""
        bench = Bench(heartbeat_timeout=5, initial_commander=Source.NONE)
        bench.ask(c.AskForCommand())
        bench.ask(c.AzimuthMove(position=200))
        self.assertEqual([name for name in names(bench.wait(4.9)) if name.startswith("Co")], [])
        said = bench.wait(0.2)
        [commander] = [reply for reply in said if isinstance(reply, r.CommanderReply)]
        [failed] = [reply for reply in said if isinstance(reply, r.CmdFailedReply)]
        powers = {reply.system: reply.power_state for reply in said if isinstance(reply, r.PowerStateReply)}
        self.assertEqual((commander.actual_commander, failed.sequence_id), (Source.NONE, 2))
        for system in (System.AZIMUTH, System.ELEVATION, System.CAMERA_CABLE_WRAP):
            self.assertEqual(powers[system], PowerState.FAULT)
        self.assertIn("Source.NONE", bench.refusal(c.AzimuthStop()))

    def test_kept(self) -> None:
        """A heartbeat each second keeps command; so does each one count from anew."""
        bench = Bench(heartbeat_timeout=5)
        for _ in range(12):
            bench.ask(c.Heartbeat())
            self.assertEqual(bench.wait(1.0), [])
        self.assertEqual(names(bench.wait(3.9)), [])
        self.assertIn("CommanderReply", names(bench.wait(0.2)))

    def test_off(self) -> None:
        """With 0 the rule is off."""
        self.assertEqual(Bench(heartbeat_timeout=0).wait(1000), [])

    def test_nobody_has_command(self) -> None:
        """While nobody has command, no heartbeat is missed."""
        bench = Bench(heartbeat_timeout=5)
        bench.ask(c.AskForCommand(commander=Source.NONE))
        self.assertEqual(bench.wait(100), [])


class OptionTests(SynchronousTestCase):
    """What a mount may be made with."""

    def test_ready(self) -> None:
        """A ready mount tracks and moves at once; without it nothing is on."""
        bench = Bench()
        self.assertEqual(bench.refusal(c.BothAxesMove(azimuth=1, elevation=70)), "")
        bench.wait(10)
        self.assertEqual(bench.refusal(c.BothAxesEnableTracking()), "")
        self.assertEqual(bench.mount.power_state(System.OIL_SUPPLY_SYSTEM), PowerState.ON)
        bench = Bench(ready=False)
        self.assertIn("off", bench.refusal(c.AzimuthMove(position=1)))

    def test_speed(self) -> None:
        """A factor of 2 divides the duration of a move at full speed by 2."""
        slow, fast = (Bench(speed=speed).timeout(c.AzimuthMove(position=200)) for speed in (1, 2))
        assert slow is not None and fast is not None
        self.assertAlmostEqual(slow / fast, 2)

    def test_wrong_values(self) -> None:
        """A value that makes no sense is refused with its name."""
        for name, value in (
            ("speed", 0),
            ("speed", 1001),
            ("heartbeat_timeout", -1),
            ("heartbeat_timeout", math.nan),
        ):
            with self.assertRaisesRegex(ValueError, f"^{name}: expected .+, got {value}$"):
                Bench(**{name: value})

    def test_realistic(self) -> None:
        """A realistic supply takes two minutes, and says so in its power."""
        bench = Bench(ready=False, realistic=True)
        said = bench.ask(c.MainAxesPowerSupplyPower(on=True))
        self.assertEqual(names(said), [ACK, "PowerStateReply"])
        self.assertEqual(bench.mount.supply.power_state, PowerState.TURNING_ON)
        self.assertIn("Main power supply", bench.refusal(c.AzimuthPower(on=True)))
        self.assertEqual(names(bench.wait(121)), [DONE, "PowerStateReply"])
        self.assertEqual(bench.refusal(c.AzimuthPower(on=True)), "")

    def test_realistic_oil(self) -> None:
        """Oil takes 15 min; turning it off in the meantime supersedes that."""
        bench = Bench(ready=False, realistic=True)
        bench.ask(c.OilSupplySystemSetMode(auto=True))
        self.assertEqual(bench.timeout(c.OilSupplySystemPower(on=True)), 900)
        self.assertEqual(bench.mount.oil.power_state, PowerState.TURNING_ON)
        self.assertEqual(names(bench.wait(899)), [])
        self.assertEqual(names(bench.wait(2)), [DONE, "PowerStateReply"])
        self.assertEqual(bench.mount.oil.power_state, PowerState.ON)
        bench.ask(c.OilSupplySystemPower(on=False))
        bench.ask(c.OilSupplySystemPower(on=True))
        bench.wait(100)
        self.assertIn("CmdSupersededReply", names(bench.ask(c.OilSupplySystemPower(on=False))))
        self.assertEqual(bench.mount.oil.power_state, PowerState.OFF)
        self.assertEqual(bench.wait(1000), [])

    def test_closed(self) -> None:
        """A closed mount has no timers and answers nothing."""
        bench = Bench(heartbeat_timeout=5)
        bench.ask(c.BothAxesMove(azimuth=100, elevation=10))
        bench.mount.receive(c.StateInfo())
        bench.mount.close()
        self.assertEqual(bench.clock.getDelayedCalls(), [])
        self.assertEqual(bench.ask(c.BothAxesStop()), [])


class AxisTests(SynchronousTestCase):
    """Azimuth, elevation and camera cable wrap."""

    def test_both_or_neither(self) -> None:
        """A 33 that elevation rejects does not move azimuth."""
        bench = Bench()
        self.assertIn("91", bench.refusal(c.BothAxesMove(azimuth=10, elevation=91)))
        self.assertEqual(bench.wait(5), [])
        self.assertEqual(bench.mount.azimuth.at(bench.clock.seconds()).position, 0)

    def test_stop_of_the_other(self) -> None:
        """An axis that is off does not keep the other one moving."""
        bench = Bench()
        bench.ask(c.ElevationMove(position=10))
        bench.ask(c.AzimuthPower(on=False))
        bench.wait(1)
        said = bench.ask(c.BothAxesStop())
        [superseded] = [reply for reply in said if isinstance(reply, r.CmdSupersededReply)]
        self.assertEqual((superseded.sequence_id, superseded.superseding_command_code), (1, 402))

    def test_events_of_a_move(self) -> None:
        """A move sends 101 at its start and its end, and 200 at its end; its own end comes 0.2 s later."""
        bench = Bench()
        [ack, begun] = bench.ask(c.AzimuthMove(position=10))
        assert isinstance(ack, r.CmdAcknowledgedReply) and isinstance(begun, r.AxisMotionStateReply)
        assert ack.timeout is not None
        self.assertEqual((begun.state, begun.position), (AxisMotionState.MOVING_POINT_TO_POINT, 10))
        self.assertEqual(names(bench.wait(ack.timeout - 0.01)), ["AzimuthToppleBlockReply"])
        self.assertEqual(names(bench.wait(0.02)), ["AxisMotionStateReply", "InPositionReply"])
        self.assertEqual(names(bench.wait(0.2)), [DONE])
        self.assertEqual(bench.wait(1000), [])

    def test_short_stop_on_a_slow_computer(self) -> None:
        """A stop that is over while the mount computes its events ends with STOPPED, without a next command.

        At a slow rate the axis brakes in less time than the computation takes.
        """
        for step in (1e-6, 1e-5, 3e-5, 4e-5, 1e-4, 1e-3):
            bench = Bench()
            bench.ask(c.AzimuthEnableTracking(on=True))
            for _ in range(20):
                tai = bench.tai() + 0.05
                bench.ask(c.AzimuthTrackTarget(position=0.004 * (tai - TAI - START), velocity=0.004, tai=tai))
                bench.wait(0.05)
            slow_down(bench.clock, step)
            said = bench.ask(c.AzimuthStop()) + bench.wait(1)
            states = [reply.state for reply in said if isinstance(reply, r.AxisMotionStateReply)]
            self.assertEqual(states[-1], AxisMotionState.STOPPED, step)

    def test_next_command_after_arrival(self) -> None:
        """A move that has arrived is done: its end comes before the Ack of the next command."""
        bench = Bench()
        timeout = bench.timeout(c.AzimuthMove(position=1))
        assert timeout is not None
        bench.wait(timeout + 0.1)
        ends = [
            (type(reply).__name__, reply.sequence_id)
            for reply in bench.ask(c.AzimuthHome())
            if isinstance(reply, r.Answer)
        ]
        self.assertEqual(ends, [(DONE, 1), (ACK, 2)])
        self.assertEqual(names(bench.wait(10)).count(DONE), 1)

    def test_power_off_stops_at_once(self) -> None:
        """Power off supersedes a move, and the axis stands still at once."""
        bench = Bench()
        bench.ask(c.AzimuthMove(position=100))
        bench.wait(5)
        said = names(bench.ask(c.AzimuthPower(on=False)))
        self.assertEqual(said[:3], [ACK, DONE, "CmdSupersededReply"])
        self.assertEqual(bench.mount.azimuth.at(bench.clock.seconds()).velocity, 0)

    def test_homing_twice(self) -> None:
        """Homing moves towards the middle, and needs an axis that stands still."""
        bench = Bench()
        bench.ask(c.ElevationHome())
        self.assertIn("Not stopped", bench.refusal(c.ElevationHome()))
        bench.wait(10)
        self.assertEqual(bench.mount.elevation.at(bench.clock.seconds()).position, 75)

    def test_camera_cable_wrap_needs_no_supply(self) -> None:
        """It has power of its own, and tracks without homing."""
        bench = Bench(ready=False)
        self.assertEqual(bench.refusal(c.CameraCableWrapPower(on=True)), "")
        self.assertEqual(bench.refusal(c.CameraCableWrapEnableTracking(on=True)), "")

    def test_pause_of_azimuth(self) -> None:
        """A 108 with 0 pauses: targets are acknowledged and ignored, until a 108 with 1."""
        bench = Bench()
        bench.ask(c.AzimuthEnableTracking(on=True))
        bench.ask(c.AzimuthEnableTracking(on=False))
        target = c.AzimuthTrackTarget(position=5, velocity=0, tai=bench.tai())
        self.assertEqual(bench.answers(target), [ACK])
        bench.wait(3)
        self.assertEqual(bench.mount.azimuth.at(bench.clock.seconds()).position, 0)
        self.assertEqual(bench.mount.azimuth.motion_state, AxisMotionState.TRACKING_PAUSED)
        bench.ask(c.AzimuthEnableTracking(on=True))
        bench.ask(c.AzimuthTrackTarget(position=5, velocity=0, tai=bench.tai()))
        bench.wait(3)
        self.assertEqual(bench.mount.azimuth.at(bench.clock.seconds()).position, 5)

    def test_tracking_is_exact(self) -> None:
        """A tracking axis has the position of its target at any time, and stays in position."""
        bench = Bench()
        bench.ask(c.AzimuthEnableTracking(on=True))
        start = bench.tai()
        for number in range(100):
            tai = start + 0.05 * number + 0.1
            bench.ask(c.AzimuthTrackTarget(position=1 + 0.01 * (tai - start), velocity=0.01, tai=tai))
            said = bench.wait(0.05)
            if number > 60:
                self.assertEqual(said, [])
        state = bench.mount.azimuth.at(bench.clock.seconds())
        self.assertAlmostEqual(state.position, 1 + 0.01 * (bench.tai() - start), 9)
        self.assertTrue(bench.mount.azimuth.in_position)

    def test_target_far_ahead(self) -> None:
        """A target that is years ahead is rejected; no timer can wait for it."""
        bench = Bench()
        bench.ask(c.AzimuthEnableTracking(on=True))
        for ahead in (1e300, math.inf, math.nan):
            target = c.AzimuthTrackTarget(position=5, velocity=0, tai=bench.tai() + ahead)
            self.assertNotEqual(bench.refusal(target), "")

    @settings(max_examples=100)
    @given(st.lists(st.tuples(st.floats(-300, 300), st.floats(-8, 8), st.floats(-6, 2)), max_size=8))
    def test_any_targets(self, targets: list[tuple[float, float, float]]) -> None:
        """Whatever the targets, azimuth stays within its limits and its own velocity, and ends in alarm."""
        bench = Bench()
        bench.ask(c.AzimuthEnableTracking(on=True))
        accepted = False
        for position, velocity, ahead in targets:
            target = c.AzimuthTrackTarget(position=position, velocity=velocity, tai=bench.tai() + ahead)
            accepted = bench.refusal(target) == "" or accepted
            for _ in range(4):
                bench.wait(0.05)
                state = bench.mount.azimuth.at(bench.clock.seconds())
                self.assertTrue(-270.001 <= state.position <= 270.001, state)
                self.assertTrue(abs(state.velocity) <= 7.7001, state)
        bench.wait(8)
        self.assertEqual(bench.mount.azimuth.power_state, PowerState.FAULT if accepted else PowerState.ON)


class DeviceTests(SynchronousTestCase):
    """Power supply, oil, covers, thermal control, settings and safety."""

    def test_supply_off_with_a_powered_axis(self) -> None:
        """The supply goes into alarm; its reset works, and the axes' resets do not without it."""
        bench = Bench()
        bench.ask(c.MainAxesPowerSupplyPower(on=False))
        self.assertEqual(bench.mount.supply.power_state, PowerState.FAULT)
        bench.mount.azimuth.raise_alarm("test")
        self.assertEqual(bench.answers(c.AzimuthResetAlarm()), [ACK, DONE])
        self.assertEqual(bench.mount.azimuth.power_state, PowerState.FAULT)
        bench.ask(c.MainAxesPowerSupplyResetAlarm())
        bench.ask(c.MainAxesPowerSupplyPower(on=True))
        bench.ask(c.AzimuthResetAlarm())
        self.assertEqual(bench.mount.azimuth.power_state, PowerState.OFF)

    def test_second_part_supersedes(self) -> None:
        """The second part of a deployment takes the covers from a retraction, which ends as superseded."""
        bench = Bench()
        bench.ask(c.MirrorCoversPower(on=True))
        bench.ask(c.MirrorCoverLocksPower(on=True))
        bench.ask(c.MirrorCoverSystemDeploy())
        [retract] = [each for each in bench.ask(c.MirrorCoverSystemRetract()) if isinstance(each, r.Answer)]
        said = bench.wait(100)
        ends = {each.sequence_id: type(each) for each in said if isinstance(each, r.Answer)}
        self.assertEqual(ends[retract.sequence_id], r.CmdSupersededReply)
        self.assertEqual(ends[retract.sequence_id - 1], r.CmdSucceededReply)

    def test_oil_in_order(self) -> None:
        """In manual mode the parts turn on in order, and off backwards; 801 needs auto mode."""
        bench = Bench(ready=False)
        self.assertIn("auto", bench.refusal(c.OilSupplySystemPower(on=True)))
        steps = [
            c.OilSupplySystemPowerCooling,
            c.OilSupplySystemPowerCirculationPump,
            c.OilSupplySystemPowerMainPump,
        ]
        self.assertIn("Cooling must be on", bench.refusal(steps[1](on=True)))
        for step in steps:
            self.assertEqual(bench.mount.oil.power_state, PowerState.OFF)
            self.assertEqual(bench.refusal(step(on=True)), "")
        self.assertEqual(bench.mount.oil.power_state, PowerState.ON)
        self.assertIn("must be off", bench.refusal(steps[0](on=False)))
        for step in reversed(steps):
            self.assertEqual(bench.refusal(step(on=False)), "")

    def test_cover_system_needs_both(self) -> None:
        """41 is rejected before anything moves if the covers have no power."""
        bench = Bench()
        bench.ask(c.MirrorCoverLocksPower(on=True))
        self.assertIn("MIRROR_COVERS", bench.refusal(c.MirrorCoverSystemDeploy()))
        self.assertEqual(bench.wait(3), [])

    def test_cover_system_loses_power(self) -> None:
        """41 fails if the covers lose power while the locks move."""
        bench = Bench()
        bench.ask(c.MirrorCoverLocksPower(on=True))
        bench.ask(c.MirrorCoversPower(on=True))
        bench.ask(c.MirrorCoverSystemDeploy())
        bench.wait(0.5)
        bench.ask(c.MirrorCoversPower(on=False))
        self.assertIn("CmdFailedReply", names(bench.wait(2)))

    def test_stopped_cover_is_lost(self) -> None:
        """A cover that stops between its ends reports LOST, and can go on."""
        bench = Bench()
        bench.ask(c.MirrorCoversPower(on=True))
        bench.ask(c.MirrorCoversRetract())
        bench.wait(0.4)
        said = bench.ask(c.MirrorCoversStop())
        [state] = [reply for reply in said if isinstance(reply, r.MirrorCoversMotionStateReply)]
        self.assertEqual(state.state, DeployableMotionState.LOST)
        timeout = bench.timeout(c.MirrorCoversDeploy())
        assert timeout is not None
        self.assertAlmostEqual(timeout, 0.4)

    def test_thermal_part(self) -> None:
        """A command for one part changes that part; one for a part that is not there is rejected."""
        bench = Bench()
        bench.ask(c.AzimuthDrivesThermalPower(on=True))
        one = c.AzimuthDrivesThermalControlMode(drive=2, mode=ThermalMode.TRACK_SETPOINT, setpoint=9)
        [event] = [reply for reply in bench.ask(one) if isinstance(reply, r.ChillerStateReply)]
        self.assertEqual(event.temperature, (0, 0, 9, 0))
        self.assertIn("no part 4", bench.refusal(one.replaced(drive=4)))
        self.assertIn("off", bench.refusal(c.TopEndChillerThermalSetpoint(setpoint=3)))
        self.assertIn("finite", bench.refusal(one.replaced(setpoint=math.nan)))

    def test_unchanged_set_point_sends_nothing(self) -> None:
        """A 103 comes on change only."""
        bench = Bench()
        set_point = c.OilSupplySystemCabinetsThermalSetpoint(setpoint=6)
        self.assertIn("ChillerStateReply", names(bench.ask(set_point)))
        self.assertNotIn("ChillerStateReply", names(bench.ask(set_point)))

    def test_settings(self) -> None:
        """Event 40 names the set that was loaded, also the default, and has the size of a real one."""
        bench = Bench()
        for command, name in (
            (c.ApplySettingsSet(settings="Park"), "Park"),
            (c.RestoreDefaultSettings(), "Default"),
        ):
            bench.ask(command)
            [event] = [
                reply
                for reply in bench.ask(c.GetActualSettings())
                if isinstance(reply, r.DetailedSettingsAppliedReply)
            ]
            self.assertEqual(event.set_name, name)
        self.assertTrue(35_000 < len(event.encode()) < 45_000)
        groups = [value for value in event.fields()["parameters"].values() if isinstance(value, dict)]
        self.assertEqual(len(groups), 19)

    def test_safety_reset(self) -> None:
        """Indexes that are none, or too large, are rejected."""
        bench = Bench()
        for what in ("3:", "40", "-1", "x"):
            self.assertIn("what=", bench.refusal(c.SafetyReset(what=what)))
        self.assertEqual(bench.refusal(c.SafetyReset(what="0:39")), "")


class LogTests(SynchronousTestCase):
    """The log."""

    def test_single_cover(self) -> None:
        """A command for one cover, which all obey, is a warning."""
        with self.assertLogs(QUIET, logging.WARNING) as caught:
            Bench().ask(c.MirrorCoversPower(drive=2, on=True))
        self.assertIn("drive 2", caught.output[0])

    def test_mount_has_a_default_log(self) -> None:
        """A mount needs no logger."""
        bench = Bench()
        SimulatedMount(bench.clock, bench.said.append, log=None).close()


class LimitsTests(SynchronousTestCase):
    """Event 300."""

    def test_limits(self) -> None:
        """Limits that a program sets are sent, and repeated by 2502."""
        bench = Bench()
        bench.mount.elevation.limits_reached = LimitsMask.L1_MIN
        bench.mount.look()
        [event] = bench.said
        assert isinstance(event, r.LimitsReply)
        self.assertEqual((event.system, event.limits), (System.ELEVATION, (LimitsMask.L1_MIN,)))
        events = [reply for reply in bench.ask(c.StateInfo()) if isinstance(reply, r.LimitsReply)]
        self.assertEqual([int(reply.limits[0]) for reply in events], [0, 1, 0])


class VendorTests(SynchronousTestCase):
    """The events of the vendor's documents that the mock controller does not have."""

    def test_oil(self) -> None:
        """Event 102 comes on change, and in the state; without the option it does not come."""
        off = c.OilSupplySystemPower(on=False)
        [event] = [
            reply
            for reply in Bench(vendor_events=True).ask(off)
            if isinstance(reply, r.OilSupplySystemStateReply)
        ]
        self.assertEqual((event.cooling, event.oil, event.main_pump), (PowerState.OFF,) * 3)
        self.assertIn("OilSupplySystemStateReply", names(Bench(vendor_events=True).ask(c.StateInfo())))
        self.assertNotIn("OilSupplySystemStateReply", names(Bench().ask(off)))

    def test_chiller_mode(self) -> None:
        """Event 103 has modes in place of bools."""
        bench = Bench(vendor_events=True)
        ambient = c.MainCabinetThermalTrackAmbient(track_ambient=True, setpoint=3)
        [event] = [reply for reply in bench.ask(ambient) if isinstance(reply, r.ChillerStateReply)]
        self.assertEqual((event.chiller_mode, event.track_ambient), ((0,), None))
        self.assertEqual(event.follows_ambient, (True,))

    def test_late_targets(self) -> None:
        """Late targets of azimuth are alarm 160, which the reset ends."""
        bench = Bench(vendor_events=True)
        bench.ask(c.AzimuthEnableTracking(on=True))
        bench.ask(c.AzimuthTrackTarget(position=1, velocity=0, tai=bench.tai()))
        said = bench.wait(6)
        errors = [(each.code, each.active, each.latched) for each in said if isinstance(each, r.ErrorReply)]
        self.assertEqual(errors, [(160, True, True), (160, False, True)])
        self.assertEqual(bench.mount.azimuth.power_state, PowerState.FAULT)
        self.assertIn("ErrorReply", names(bench.ask(c.AzimuthResetAlarm())))
        self.assertEqual(bench.refusal(c.AzimuthPower(on=True)), "")


class ClientTests(SynchronousTestCase):
    """The order in which the observatory's client begins and ends ("When is the link dead? (client)")."""

    def test_enable_and_disable(self) -> None:
        """Each command succeeds on a mount that has just started, and the cable wrap follows its targets."""
        bench = Bench(ready=False, initial_commander=Source.NONE, heartbeat_timeout=5)
        for command in (
            *(c.StateInfo(), c.GetActualSettings(), c.AskForCommand()),
            *(
                c.OilSupplySystemResetAlarm(),
                c.MainAxesPowerSupplyResetAlarm(),
                c.MirrorCoverLocksResetAlarm(),
            ),
            *(c.MirrorCoversResetAlarm(), c.CameraCableWrapResetAlarm(), c.MainAxesPowerSupplyPower(on=True)),
            *(c.OilSupplySystemSetMode(auto=True), c.OilSupplySystemPower(on=True)),
            *(c.BothAxesResetAlarm(), c.BothAxesResetAlarm(), c.BothAxesPower(on=True)),
            *(c.CameraCableWrapPower(on=True), c.CameraCableWrapEnableTracking(on=True)),
        ):
            self.assertEqual(bench.answers(command), [ACK, DONE], command)
        for number in range(20):
            if number % 5 == 0:
                self.assertEqual(bench.answers(c.Heartbeat()), [])
            target = c.CameraCableWrapTrackTarget(position=number / 10, velocity=0.5, tai=bench.tai() + 0.1)
            self.assertEqual(bench.answers(target), [ACK])
            bench.wait(0.2)
        self.assertAlmostEqual(bench.mount.camera_cable_wrap.at(bench.clock.seconds()).position, 1.95)
        for command in (
            *(c.CameraCableWrapStop(), c.BothAxesStop(), c.CameraCableWrapStop()),
            *(c.ElevationPower(on=False), c.AzimuthPower(on=False), c.CameraCableWrapPower(on=False)),
            c.AskForCommand(commander=Source.NONE),
        ):
            self.assertEqual(bench.answers(command), [ACK, DONE], command)
        self.assertEqual([name for name in names(bench.wait(60)) if name != "AxisMotionStateReply"], [])


class OperationManagerTests(SynchronousTestCase):
    """The state of the Operation Manager, event 50."""

    def test_timestamp(self) -> None:
        """It counts Unix seconds, and not TAI as the replies of the PXI do."""
        bench = Bench(operation_manager=True)
        bench.mount.set_operation_manager("Connecting to PXI")
        [state] = bench.said
        self.assertEqual(state.timestamp, bench.tai() - 37)
