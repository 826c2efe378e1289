"""`mtmount_twisted.dialects.tma2022.facts`: what an event says of the state."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.facts import (
    MOST_DEGREES,
    AlarmFact,
    AxisFact,
    DeviceFact,
    Fact,
    MountFact,
    PositionFact,
    RangeFact,
)
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.enums import (
    AxisMotionState,
    ChillerMode,
    DeployableMotionState,
    ElevationLockingPinMotionState,
    LimitsMask,
    PowerState,
    Source,
    System,
)
from mtmount_twisted.dialects.tma2022.facts import (
    AXES,
    DEVICES,
    MOST_PARTS,
    facts_of,
    position_in,
    position_of,
    read_event,
)
from mtmount_twisted.dialects.tma2022.interlocks import INTERLOCKS
from mtmount_twisted.dialects.tma2022.telemetry import Azimuth, topic_facts
from mtmount_twisted.errors import LineError
from mtmount_twisted.simulator.tma2022.safety import MASKS as SIMULATED
from mtmount_twisted.simulator.tma2022.settings import Settings
from mtmount_twisted.wire.lines import SHOWN_BYTES


def facts(reply: replies.Reply) -> tuple[Fact, ...]:
    """The facts in a reply."""
    return facts_of(reply.encode()[:-2])


MASKS = (
    *("causes", "subcauses_emergency_stop", "subcauses_limit_switch", "subcauses_deployable_platform"),
    *("subcauses_door_hatch_ladder", "subcauses_mirror_cover", "subcauses_locking_pin"),
    *("subcauses_capacitor_door", "subcauses_brakes_failed", "effects"),
)


def devices(found: tuple[Fact, ...]) -> list[DeviceFact]:
    """The facts about devices among some; there are no others."""
    told = [fact for fact in found if isinstance(fact, DeviceFact)]
    assert len(told) == len(found)
    return told


class FactsTests(SynchronousTestCase):
    """Each kind of event."""

    def test_axis(self) -> None:
        """An axis by its name."""
        event = replies.InPositionReply(axis=System.CAMERA_CABLE_WRAP, in_position=True)
        self.assertEqual(facts(event), (AxisFact("camera_cable_wrap", True),))

    def test_mount(self) -> None:
        """The Operation Manager's state, in its own words."""
        self.assertEqual(facts(replies.StateInfoReply(state="Enable")), (MountFact("Enable"),))

    def test_alarms(self) -> None:
        """A warning, and an error that may be latched, with the subsystem's name if it is known."""
        common: dict[str, Any] = {
            "name": "Overtemperature",
            "subsystem_instance": "900.A/B",
            "active": False,
            "code": 905,
            "description": "too hot",
        }
        warning = replies.WarningReply(subsystem_id=900, **common)
        error = replies.ErrorReply(subsystem_id=77, latched=True, **common)
        told = {"code": 905, "what": "900.A/B: Overtemperature", "description": "too hot", "active": False}
        self.assertEqual(
            (*facts(warning), *facts(error)),
            (
                AlarmFact(severity="warning", subsystem="MIRROR_COVERS", latched=False, **told),
                AlarmFact(severity="error", subsystem=None, latched=True, **told),
            ),
        )

    def test_devices(self) -> None:
        """Each event about a device: what it says, in names; a number that is none is left open."""
        on, off = PowerState.ON, PowerState.OFF
        deployed = DeployableMotionState.DEPLOYED
        for event, device, wanted in (
            (
                replies.PowerStateReply(
                    system=System.BALANCE, power_state=on, elements_power_state=(on, off, on, on)
                ),
                "balance",
                {"power": "ON", "parts_power": ("ON", "OFF", "ON", "ON")},
            ),
            (
                replies.PowerStateReply(system=System.AZIMUTH, power_state=PowerState.TURNING_ON),
                "azimuth",
                {"power": "TURNING_ON"},
            ),
            (
                replies.AxisMotionStateReply(
                    axis=System.ELEVATION, state=AxisMotionState.TRACKING, position=12.5
                ),
                "elevation",
                {"motion": "TRACKING", "target": 12.5},
            ),
            (
                replies.OilSupplySystemStateReply(cooling=on, oil=off, main_pump=off),
                "oil_supply_system",
                {"cooling": "ON", "circulation_pump": "OFF", "main_pump": "OFF"},
            ),
            (
                replies.ChillerStateReply(
                    system=System.TOP_END_CHILLER, temperature=(float("nan"),), track_ambient=(True,)
                ),
                "top_end_chiller",
                {"setpoints": (None,), "follows_ambient": (True,)},
            ),
            (
                replies.ChillerStateReply(
                    system=System.CABINET_0101_THERMAL,
                    temperature=(7.5,),
                    chiller_mode=(ChillerMode.TRACK_SETPOINT,),
                ),
                "cabinet_0101_thermal",
                {"setpoints": (7.5,), "follows_ambient": (False,), "modes": ("TRACK_SETPOINT",)},
            ),
            (
                replies.MotionControllerStateReply(
                    system=System.CAMERA_CABLE_WRAP, motion_controller_state=(on, PowerState.FAULT)
                ),
                "camera_cable_wrap",
                {"drives": ("ON", "FAULT")},
            ),
            (
                replies.MirrorCoversMotionStateReply(state=deployed, elements_state=(deployed,) * 4),
                "mirror_covers",
                {"motion": "DEPLOYED", "parts_motion": ("DEPLOYED",) * 4},
            ),
            (
                replies.MirrorCoverLocksMotionStateReply(state=deployed, elements_state=(deployed,) * 4),
                "mirror_cover_locks",
                {"motion": "DEPLOYED", "parts_motion": ("DEPLOYED",) * 4},
            ),
            (
                replies.ElevationLockingPinMotionStateReply(
                    state=ElevationLockingPinMotionState.MISMATCH,
                    elements_state=(
                        ElevationLockingPinMotionState.LOCKED,
                        ElevationLockingPinMotionState.TEST,
                    ),
                ),
                "locking_pins",
                {"motion": "MISMATCH", "parts_motion": ("LOCKED", "TEST")},
            ),
            (
                replies.DeployablePlatformsMotionStateReply(state=deployed, elements_state=(deployed,) * 2),
                "deployable_platforms",
                {"motion": "DEPLOYED", "parts_motion": ("DEPLOYED",) * 2},
            ),
            (replies.HomedReply(axis=System.AZIMUTH, homed=True), "azimuth", {"homed": True}),
            (
                replies.LimitsReply(system=System.ELEVATION, limits=(LimitsMask.L1_MIN | LimitsMask.L3_MAX,)),
                "elevation",
                {"limits": (("L1_MIN", "L3_MAX"),)},
            ),
            (
                replies.AzimuthToppleBlockReply(reverse=True, forward=False),
                "azimuth",
                {"topple_block_reverse": True, "topple_block_forward": False},
            ),
            (replies.VersionInfoReply(version="1.2"), "operation_manager", {"version": "1.2"}),
        ):
            told = facts(event)
            self.assertEqual({fact.name: fact.value for fact in devices(told)}, wanted, event)
            self.assertEqual({fact.device for fact in devices(told)}, {device})
            self.assertIn(device, DEVICES)

    def test_units(self) -> None:
        """A number has its unit; the set point of a valve that is set by hand is no temperature."""
        target = replies.AxisMotionStateReply(
            axis=System.AZIMUTH, state=AxisMotionState.STOPPED, position=1.0
        )
        self.assertEqual([fact.unit for fact in devices(facts(target))], ["", "deg"])
        for mode, unit in ((ChillerMode.TRACK_AMBIENT, "°C"), (ChillerMode.SET_VALVE_POSITION, "% or °C")):
            event = replies.ChillerStateReply(
                system=System.OIL_SUPPLY_SYSTEM, temperature=(50.0,), chiller_mode=(mode,)
            )
            [setpoints, *_] = devices(facts(event))
            self.assertEqual(setpoints.unit, unit)

    def test_interlocks(self) -> None:
        """Each mask of the safety system by its name, with the names of the bits that are set."""
        masks = {name: 0 for name in MASKS}
        event = replies.SafetyInterlocksReply(**(masks | {"causes": 1 << 36 | 4, "effects": 1 << 16}))
        told = {fact.name: fact.value for fact in devices(facts(event))}
        wanted = {
            "causes": ("Azimuth overspeed", "bit 36"),
            "effects": ("Oil supply: pressure off, slowly (SOS)",),
        }
        self.assertEqual(told, dict.fromkeys(MASKS, ()) | wanted)

    def test_names_of_interlocks(self) -> None:
        """Every bit that the mount has is named, in each mask of the event."""
        widths = {name: len(names) for name, names in INTERLOCKS.items()}
        self.assertEqual(list(widths), list(MASKS))
        self.assertEqual(widths, {**SIMULATED, "subcauses_deployable_platform": 17, "effects": 17})
        for names in INTERLOCKS.values():
            self.assertEqual(len(set(names)), len(names))

    def test_number_beyond_every_limit(self) -> None:
        """A setting with more digits than a float has is left out, and the others are there."""
        limits = {
            "LimitsMinPositionEnable": True,
            "LimitsMinPositionValue": -200,
            "SoftmotionTrackingMaxSpeed": 2,
        }
        event = replies.DetailedSettingsAppliedReply(
            set_name="Default",
            all_settings_match_set=True,
            main_axis={"Azimuth": limits, "Elevation": {**limits, "LimitsMinPositionValue": 10**400}},
        )
        azimuth, elevation, _ = (fact for fact in read_event(event.encode()[:-2])[1])
        self.assertEqual(azimuth, RangeFact("azimuth", -200.0, None, 2.0, None))
        self.assertEqual(elevation, RangeFact("elevation", None, None, 2.0, None))

    def test_impossible_limit(self) -> None:
        """A limit beyond `MOST_DEGREES` is left out, and the other numbers are there."""
        limits = {
            "LimitsMinPositionEnable": True,
            "LimitsMinPositionValue": -1e9,
            "LimitsMaxPositionEnable": True,
            "LimitsMaxPositionValue": 1e17,
            "LimitsPositiveSoftwareLimitEnable": True,
            "LimitsPositiveSoftwareLimitValue": 200.0,
            "SoftmotionTrackingMaxSpeed": 2,
        }
        event = replies.DetailedSettingsAppliedReply(
            set_name="Default",
            all_settings_match_set=True,
            main_axis={"Azimuth": limits},
            cw={"CCW": {"MinPosition": -1e9, "MaxPosition": 90.0}},
        )
        azimuth, _, wrap = (fact for fact in read_event(event.encode()[:-2])[1])
        self.assertEqual(azimuth, RangeFact("azimuth", None, 200.0, 2.0, None))
        self.assertEqual(wrap, RangeFact("camera_cable_wrap", None, 90.0, None, None))

    def test_impossible_speeds(self) -> None:
        """A highest velocity or acceleration that no axis can have is left out."""
        for number in (0.0, 1e-310, 1e-7, 1000.1, 1e200, -1e200):
            event = replies.DetailedSettingsAppliedReply(
                set_name="Default",
                all_settings_match_set=True,
                main_axis={
                    "Azimuth": {
                        "SoftmotionTrackingMaxSpeed": number,
                        "SoftmotionTrackingMaxAcceleration": number,
                    }
                },
                cw={"CCW": {"TrackingSpeed": number, "TrackingAcceleration": number}},
            )
            for fact in read_event(event.encode()[:-2])[1]:
                assert isinstance(fact, RangeFact)
                self.assertEqual((fact.velocity, fact.acceleration), (None, None), number)

    def test_impossible_target(self) -> None:
        """The goal of a move beyond `MOST_DEGREES` is unknown."""
        for position, shown in ((1000.0, 1000.0), (1000.1, None), (-1e17, None)):
            event = replies.AxisMotionStateReply(
                axis=System.AZIMUTH, state=AxisMotionState.MOVING_POINT_TO_POINT, position=position
            )
            found = {fact.name: fact.value for fact in devices(facts(event))}
            self.assertEqual(found, {"motion": "MOVING_POINT_TO_POINT", "target": shown})

    def test_mask_of_too_many_bits(self) -> None:
        """A mask has 64 bits: all further ones are one item, however many digits the number has."""
        event = replies.SafetyInterlocksReply(causes=0, **{name: 0 for name in MASKS if name != "causes"})
        line = event.encode()[:-2].replace(b'"causes":0', b'"causes":' + b"9" * 3000)
        found = {fact.name: fact.value for fact in devices(facts_of(line))}
        causes = found["causes"]
        assert isinstance(causes, tuple)
        self.assertLessEqual(len(causes), 65)
        self.assertEqual(causes[-1], "further bits")

    def test_many_parts(self) -> None:
        """The fact of a device has as many parts as a mount may have, and a mask is taken apart once."""
        line = replies.LimitsReply(system=System.AZIMUTH, limits=(0,)).encode()[:-2]
        many = b"%b" % b",".join([b"4095"] * 700)
        with patch.object(LimitsMask, "__iter__", autospec=True, side_effect=LimitsMask.__iter__) as iterated:
            for _ in range(3):
                [fact] = devices(facts_of(line.replace(b'"limits":[0]', b'"limits":[%b]' % many)))
        assert isinstance(fact.value, tuple)
        self.assertEqual(fact.value, (tuple(limit.name for limit in LimitsMask),) * MOST_PARTS)
        self.assertLessEqual(iterated.call_count, 1)
        event = replies.ChillerStateReply(
            system=System.TOP_END_CHILLER, temperature=(1.5,) * 500, track_ambient=(True,) * 500
        )
        for fact in devices(facts(event)):
            assert isinstance(fact.value, tuple)
            self.assertEqual(len(fact.value), MOST_PARTS, fact.name)

    def test_masks_of_limits_are_not_kept(self) -> None:
        """A mask with bits that no limit has is that without these bits: Python keeps each mask for ever."""
        kept = LimitsMask._value2member_map_
        masks = [1 << 12 | 1, 2**63 - 1, -1, 10**400, *range(2**20, 2**20 + 4000)]
        for first in range(0, len(masks), MOST_PARTS):
            line = replies.LimitsReply(system=System.AZIMUTH, limits=(0,)).encode()[:-2]
            few = ",".join(map(str, masks[first : first + MOST_PARTS])).encode()
            [fact] = devices(facts_of(line.replace(b'"limits":[0]', b'"limits":[%b]' % few)))
            assert isinstance(fact.value, tuple)
            self.assertEqual(len(fact.value), len(masks[first : first + MOST_PARTS]))
        self.assertLessEqual(len(kept), 2 ** len(LimitsMask))

    def test_sets(self) -> None:
        """The names of the sets of settings."""
        one = replies.SettingsSet(name="Default", description="", created_date="", modified_date="")
        [fact] = devices(facts(replies.AvailableSettingsReply(sets=(one,))))
        self.assertEqual((fact.device, fact.name, fact.value), ("settings", "available_sets", ("Default",)))

    def test_position(self) -> None:
        """An axis's motion in telemetry; a number that is missing is None."""
        topic = Azimuth(timestamp=1.0, actual_position=12.5, actual_velocity=0.5)
        self.assertEqual(position_of(topic), PositionFact(12.5, None, 0.5, None))
        values = topic_facts()[Azimuth.topic_id].values_of(topic)
        self.assertEqual(position_in(Azimuth.topic_id, values), position_of(topic))
        self.assertEqual(set(AXES), {"azimuth", "elevation", "camera_cable_wrap"})

    def test_impossible_velocity(self) -> None:
        """A velocity beyond `MOST_SPEED` counts as missing."""
        for number in (1000.1, -1e200):
            topic = Azimuth(
                timestamp=1.0, actual_position=1.0, actual_velocity=number, demand_velocity=number
            )
            self.assertEqual(position_of(topic), PositionFact(1.0, None, None, None), number)
            values = topic_facts()[Azimuth.topic_id].values_of(topic)
            self.assertEqual(position_in(Azimuth.topic_id, values), position_of(topic), number)

    def test_impossible_position(self) -> None:
        """A position beyond `MOST_DEGREES` counts as missing, as if the mount had not sent it."""
        for angle in (1000.1, -1e9, 1e17, 1e300):
            topic = Azimuth(timestamp=1.0, actual_position=angle, demand_position=-angle, actual_velocity=0.5)
            self.assertEqual(position_of(topic), PositionFact(None, None, 0.5, None), angle)
            values = topic_facts()[Azimuth.topic_id].values_of(topic)
            self.assertEqual(position_in(Azimuth.topic_id, values), position_of(topic), angle)
        self.assertEqual(position_of(Azimuth(timestamp=1.0, actual_position=-1000.0)).position, -MOST_DEGREES)

    def test_long_event(self) -> None:
        """Only the settings are longer than `SHOWN_BYTES`: another event of that length is not read."""
        parts = (PowerState.ON,) * 3000
        event = replies.PowerStateReply(
            system=System.AZIMUTH, power_state=PowerState.ON, elements_power_state=parts
        )
        line = event.encode()[:-2]
        self.assertGreater(len(line), SHOWN_BYTES)
        self.assertEqual(facts_of(line), ())
        self.assertRaises(LineError, read_event, line)
        settings = Settings().event(0.0).encode()[:-2]
        self.assertGreater(len(settings), SHOWN_BYTES)
        self.assertEqual(len(read_event(settings)[1]), 3)

    def test_none(self) -> None:
        """Other events and replies to commands report none; what is no reply is a LineError."""
        self.assertEqual(facts(replies.CommanderReply(actual_commander=Source.CSC)), ())
        self.assertEqual(facts(replies.CmdSucceededReply(sequence_id=5)), ())
        self.assertRaises(LineError, facts_of, b"x")
