"""The settings of the simulated mount: events 40 and 41.

The names that ``protocol-tma2022.rst`` lists have the values that it gives. All other names and values are
made up, so that the event has the shape and the size of a real one: 19 groups, about 1,300 values and 38 kB.
The password in `BoschSystem` is made up, too: the real event holds one in clear text (protocol-tma2022.rst,
"State and settings").

Pure. Next to read: `mount`.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from mtmount_twisted.dialects.tma2022.replies import (
    AvailableSettingsReply,
    DetailedSettingsAppliedReply,
    SettingsSet,
)

from .execution import refusal

DEFAULT = "Default"

SETS = (
    SettingsSet(
        "AT_CCWAux", "CCWAux automatic testing", "2019-11-07 08:20:18.000", "2019-11-07 16:30:35.000"
    ),
    SettingsSet("MT_CCWAux", "CCWAux manual testing", "2019-11-07 16:31:03.000", "2019-11-07 16:31:03.000"),
    SettingsSet(
        "Park",
        "Settings that allow the system to be parked and unparked.",
        "2019-11-07 16:31:03.000",
        "2019-11-07 16:31:03.000",
    ),
    SettingsSet(DEFAULT, "Default settings", "2020-05-26 10:31:51.000", "2020-05-27 14:03:01.000"),
)
"""The sets of the mock controller (protocol-tma2022.rst, "The mock controller")."""

Values = Mapping[str, Any]

_PROFILES = ("Tcs", "Eui", "Hhd")


def _limits(low: float, high: float, margin: float, *, adjustable: tuple[float, float] | None) -> Values:
    """Return the limits of a main axis, under the names that the client uses (protocol-tma2022.rst, "State
    and settings")."""
    soft = adjustable or (low - margin, high + margin)
    return {
        "LimitsMinPositionEnable": True,
        "LimitsMinPositionValue": low,
        "LimitsMaxPositionEnable": True,
        "LimitsMaxPositionValue": high,
        "LimitsNegativeSoftwareLimitEnable": True,
        "LimitsNegativeSoftwareLimitValue": low - margin,
        "LimitsPositiveSoftwareLimitEnable": True,
        "LimitsPositiveSoftwareLimitValue": high + margin,
        "LimitsNegativeAdjustableSoftwareLimitEnable": adjustable is not None,
        "LimitsNegativeAdjustableSoftwareLimitValue": soft[0],
        "LimitsPositiveAdjustableSoftwareLimitEnable": adjustable is not None,
        "LimitsPositiveAdjustableSoftwareLimitValue": soft[1],
        "LimitsNegativeLimitSwitchEnable": True,
        "LimitsPositiveLimitSwitchEnable": True,
        "LimitsNegativeOperationalLimitSwitchEnable": adjustable is not None,
        "LimitsPositiveOperationalLimitSwitchEnable": adjustable is not None,
    }


def _main_axis(velocity: float, limits: Values) -> Values:
    values: dict[str, Any] = {**limits, "CriticalSpeedLimit": 8.5, "HomingTimeout": 40, "PowerTimeout": 300}
    for profile in _PROFILES:
        values |= {
            f"{profile}MaxVelocity": velocity,
            f"{profile}MaxAcceleration": velocity,
            f"{profile}MaxJerk": 28,
            f"{profile}DefaultVelocity": 2,
            f"{profile}DefaultAcceleration": 1,
            f"{profile}DefaultJerk": 14,
        }
    values |= {
        "SoftmotionTrackingMaxSpeed": velocity,
        "SoftmotionTrackingMaxAcceleration": velocity,
        "SoftmotionTrackingMaxJerk": 28,
        "TrackingFirstCommandTimeout": 5000,
        "TrackingCommandTimeout": 1000,
    }
    return {**values, **_filled("ControlLoopParameter", 113 - len(values))}


def _cable_wrap(low: float, high: float, speed: float) -> Values:
    values = {
        "MinPosition": low,
        "MaxPosition": high,
        "MaxSpeed": speed,
        "DefaultSpeed": speed / 2,
        "DefaultAcceleration": 1,
        "DefaultJerk": 4,
        "TrackingSpeed": 3.5,
        "TrackingAcceleration": 1,
        "TrackingJerk": 4,
        "MinSoftwareLimit": low - 1,
        "MaxSoftwareLimit": high + 1,
        "NegativeSoftwareLimitEnable": True,
        "PositiveSoftwareLimitEnable": True,
        "NegativeLimitSwitchEnable": True,
        "PositiveLimitSwitchEnable": True,
        "TrackingFirstCommandTimeout": 500,
        "TrackingCommandTimeout": 230,
    }
    return {**values, **_filled("ControlLoopParameter", 16)}


def _drive(names: tuple[str, ...]) -> Values:
    """Return a group with one part per drive."""
    return {
        name: {
            "IdString": f"{number}. {name}",
            "MotorId": 15 + number,
            "DefaultSpeed": 25,
            "DefaultAcceleration": 1500,
            "DefaultJerk": 3000,
            "MaxSpeed": 31,
            "MaxCriticalSpeed": 32,
            "MinPosition": -6,
            "MaxPosition": 1300,
            "MinPositionLimit": -6,
            "MaxPositionLimit": 1300,
            **_filled("TransitionTimeout", 14),
        }
        for number, name in enumerate(names)
    }


def _filled(name: str, count: int) -> Values:
    return {f"{name}{number:02d}": round(1.25 * number, 2) for number in range(1, count + 1)}


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}{number}" for number in range(1, count + 1))


def _default() -> Values:
    return {
        "balancing": _drive(_numbered("Balancing", 4)),
        "bosch_system": {
            "Address": "192.0.2.10",
            "User": "simulator",
            "Password": "not-a-real-password",
            **_filled("CommunicationParameter", 24),
        },
        "cw": {"ACW": _cable_wrap(-270, 270, 8.5), "CCW": _cable_wrap(-90, 90, 5.6)},
        "deployable_platform": _drive(_numbered("DeployablePlatform", 2)),
        "encoder_system": {
            f"Head{head}": _filled("Parameter", 8)
            for head in ("AZ1", "AZ2", "AZ3", "AZ4", "EL1", "EL2", "EL3", "EL4")
        },
        "locking_pins": _drive(_numbered("LockingPin", 2)),
        "main_axis": {
            # The mock controller's copy has 260, and replaces it by 270 at run time (protocol-tma2022.rst,
            # "State and settings").
            "Azimuth": _main_axis(7, _limits(-270, 270, 5, adjustable=None)),
            "Elevation": _main_axis(3.5, _limits(0, 90, 0.1, adjustable=(15.1, 86.4))),
        },
        "main_axis_soft_motion": {},
        "main_cabinet_temperature": _filled("TemperatureControlParameter", 40),
        "main_power_supply": _filled("PowerSupplyParameter", 30),
        "mirror_cover": _drive(("XPlus", "YPlus", "XMinus", "YMinus")),
        "mirror_cover_locks": _drive(_numbered("MirrorCoverLock", 4)),
        "modbus_temperature_controllers": {
            name: _filled("TemperatureControllerParameter", 16) for name in _numbered("Controller", 5)
        },
        "motor_thermal_control": {
            name: _filled("MotorThermalControlParameter", 16) for name in _numbered("Motor", 6)
        },
        "oss": _filled("OilSupplySystemParameter", 84),
        "safety": _filled("SafetySystemParameter", 64),
        "tma_main_rt": _filled("RealTimeParameter", 60),
        "top_end_chiller": _filled("ChillerParameter", 50),
        "tracking_trajectory": _filled("TrajectoryParameter", 30),
    }


class Settings:
    """The settings in use.

    :ivar set_name: the set that was loaded last.
    """

    def __init__(self) -> None:
        self.set_name: str = DEFAULT
        self._values = _default()

    def check_set(self, name: str) -> None:
        """Check that there is such a set.

        :raises Refusal: if there is none.
        """
        names = [known.name for known in SETS]
        if name not in names:
            raise refusal(f"{name} not a valid settings set. Must be one of {names}")

    def load(self, name: str) -> None:
        """Load a set. All sets of the simulator hold the same values."""
        self.set_name = name

    def restore(self) -> None:
        """Return to the default set."""
        self.set_name = DEFAULT

    def event(self, timestamp: float) -> DetailedSettingsAppliedReply:
        """Return event 40."""
        values: dict[str, Any] = dict(deepcopy(self._values))
        return DetailedSettingsAppliedReply(
            timestamp=timestamp, set_name=self.set_name, all_settings_match_set=True, **values
        )

    @staticmethod
    def sets_event(timestamp: float) -> AvailableSettingsReply:
        """Return event 41."""
        return AvailableSettingsReply(timestamp=timestamp, sets=SETS)
