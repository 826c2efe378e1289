"""The telemetry of the mount: 26 topics, each at its own period.

`Telemetry.measure` returns a topic with the values of one moment; the position and velocity of an axis are
exact at that moment. `TelemetryClock` finds the topics that are due.

A quantity that the simulated mount knows has its real value: see `KNOWN`. Every other quantity has a
plausible value for its unit, which only noise changes.

This module reads the mount's clock, and touches nothing else. Next to read: `service`, which sends the
topics.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mtmount_twisted.dialects.tma2022 import telemetry as t
from mtmount_twisted.dialects.tma2022.enums import System

from .axis import Axis
from .devices import AMBIENT, COVERS, Deployables

if TYPE_CHECKING:
    from .mount import SimulatedMount

TICK = 0.05
"""Each topic goes out at multiples of this many seconds (protocol-tma2022.rst, "Replies, events and
telemetry")."""

UNKNOWN_PERIOD = 1.0
"""Period of topic 18, s; the real period is not known."""

MAX_NOISE = 1000.0
"""Largest factor of noise."""

PLAUSIBLE: Mapping[str, tuple[float, float]] = {
    "°C": (AMBIENT, 0.05),
    "bar": (6.0, 0.02),
    "%": (0.0, 0.1),
    "A": (0.0, 0.05),
    "V": (0.0, 0.2),
    "l/min": (0.0, 0.1),
    "µm": (0.0, 0.5),
    "mm": (0.0, 0.01),
    "mm/s": (0.0, 0.01),
    "N m": (0.0, 10.0),
    "deg": (0.0, 1e-5),
    "deg/s": (0.0, 1e-5),
    "deg/s²": (0.0, 1e-4),
    "deg/s³": (0.0, 1e-3),
}
"""For each unit, the value of a quantity that is not in `KNOWN`, and the standard deviation of noise 1."""

STROKE_ANGLE = 90.0
"""Angle of a mirror cover, or of a lock, between retracted (0) and deployed, deg. The figure is made up."""

SUPPLY_VOLTAGE = 540.0
"""Voltage of the main power supply while it is on, V. The figure is made up."""

INERTIA = 1.0e7
"""Torque for each deg/s² of azimuth or elevation, N m. The figure is made up."""

OIL_PRESSURE, OIL_FLOW, OIL_FILM = 100.0, 30.0, 80.0
"""Pressure (bar), flow (l/min) and film thickness (µm) of the oil while it is on. The figures are made up."""

BRAKES_RELEASED = 100.0
"""Pressure that holds the brakes off while an axis has power, bar. The figure is made up."""

Values = dict[str, Any]


def _axis(axis: Axis, time: float) -> Values:
    """Return position and velocity of an axis, actual and demanded, by the names of its topic."""
    state, demand = axis.at(time), axis.demand(time)
    return {
        "actual_position": state.position,
        "actual_velocity": state.velocity,
        "demand_position": demand.position,
        "demand_velocity": demand.velocity,
    }


def _main_axis(axis: Axis, time: float) -> Values:
    acceleration = axis.path.acceleration_at(time)
    return {
        **_axis(axis, time),
        "actual_acceleration": acceleration,
        "actual_jerk": 0.0,
        "actual_torque": INERTIA * acceleration,
    }


def _currents(axis: Axis, time: float, count: int) -> Values:
    current = 2.0 + abs(axis.path.acceleration_at(time)) if axis.powered else 0.0
    return {"current": (current,) * count}


def _encoder(mount: SimulatedMount, time: float) -> Values:
    azimuth, elevation = mount.azimuth.at(time).position, mount.elevation.at(time).position
    return {
        "azimuth_encoder_absolute_position": (azimuth,) * 4,
        "azimuth_encoder_position": (azimuth,) * 4,
        "azimuth_encoder_relative_position": (azimuth,) * 4,
        "elevation_encoder_absolute_position": (elevation,) * 4,
        "elevation_encoder_position": (elevation,) * 4,
        "elevation_encoder_relative_position": (elevation,) * 4,
        "encoder_head_read_reference_az": (int(mount.azimuth.homed),) * 4,
        "encoder_head_read_reference_el": (int(mount.elevation.homed),) * 4,
    }


def _deployables(device: Deployables, time: float) -> Values:
    return {"actual_position": (STROKE_ANGLE * device.position(time),) * COVERS}


def _set_points(mount: SimulatedMount, system: System) -> tuple[float, ...]:
    return tuple(mount.thermal[system].set_points)


def _auxiliary_cabinets(mount: SimulatedMount) -> Values:
    names = [
        info.name
        for info in t.AuxiliaryCabinetsThermal.field_infos
        if info.name.startswith("setpoint") and not info.measured
    ]
    return dict(zip(names, _set_points(mount, System.AUXILIARY_CABINETS_THERMAL)))


def _cable_wrap(mount: SimulatedMount, time: float) -> Values:
    """Return the azimuth cable wrap, which follows azimuth. Its position is in % of the range."""
    state, limits = mount.azimuth.at(time), mount.azimuth.limits
    part = 100 * (state.position - limits.low) / (limits.high - limits.low)
    return {"actual_position_drive": (part,) * 2, "actual_velocity_drive": (state.velocity,) * 2}


def _oil(mount: SimulatedMount) -> Values:
    is_on = all(mount.oil.parts_on)
    levels = {"bar": OIL_PRESSURE, "l/min": OIL_FLOW, "µm": OIL_FILM}
    values: Values = {
        info.name: levels[info.unit] if is_on else 0.0
        for info in t.OilSupplySystem.field_infos
        if info.unit in levels and not info.measured
    }
    return {**values, "setpoint_temperature_cabinets": _set_points(mount, System.OIL_SUPPLY_SYSTEM)[0]}


KNOWN: Mapping[type[t.Topic], Callable[[SimulatedMount, float], Values]] = {
    t.AuxiliaryCabinetsThermal: lambda mount, time: _auxiliary_cabinets(mount),
    t.Cabinet0101Thermal: lambda mount, time: {
        "setpoint_temperature": _set_points(mount, System.CABINET_0101_THERMAL)[0]
    },
    t.AzimuthCableWrap: _cable_wrap,
    t.AzimuthDrivesThermal: lambda mount, time: {
        "setpoint_temperature": _set_points(mount, System.AZIMUTH_DRIVES_THERMAL)
    },
    t.AzimuthDrives: lambda mount, time: _currents(mount.azimuth, time, 16),
    t.Azimuth: lambda mount, time: _main_axis(mount.azimuth, time),
    t.CameraCableWrap: lambda mount, time: _axis(mount.camera_cable_wrap, time),
    t.ElevationDrivesThermal: lambda mount, time: {
        "setpoint_temperature": _set_points(mount, System.ELEVATION_DRIVES_THERMAL)
    },
    t.ElevationDrives: lambda mount, time: _currents(mount.elevation, time, 12),
    t.Elevation: lambda mount, time: {
        **_main_axis(mount.elevation, time),
        "elevation_inclinometer": mount.elevation.at(time).position,
    },
    t.Encoder: _encoder,
    t.MainPowerSupply: lambda mount, time: {
        "power_supply_voltage": SUPPLY_VOLTAGE if mount.supply.on else 0.0,
        "power_supply_current": 5.0 if mount.supply.on else 0.0,
    },
    t.MirrorCoverLocks: lambda mount, time: _deployables(mount.mirror_cover_locks, time),
    t.MirrorCover: lambda mount, time: _deployables(mount.mirror_covers, time),
    t.MainCabinetThermal: lambda mount, time: {
        "setpoint_temperature": _set_points(mount, System.MAIN_CABINET_THERMAL)[0]
    },
    t.OilSupplySystem: lambda mount, time: _oil(mount),
    t.SafetySystem: lambda mount, time: {
        "brake_pressure_az": (BRAKES_RELEASED if mount.azimuth.powered else 0.0,) * 8,
        "brake_pressure_el": (BRAKES_RELEASED if mount.elevation.powered else 0.0,) * 2,
        "version_number": 1.0,
    },
}
"""The quantities that the simulated mount knows, by topic."""


class Telemetry:
    """The source of the topics.

    :param noise: factor of the noise on each measured quantity; 0 for exact values.
    :param seed: seed of the random numbers of the noise.
    :raises ValueError: if `noise` is out of range.
    """

    def __init__(self, mount: SimulatedMount, noise: float = 0.0, seed: int = 0) -> None:
        check_noise(noise)
        self._mount = mount
        self._noise = noise
        self._gauss = random.Random(seed).gauss

    def measure(self, topic: type[t.Topic]) -> t.Topic:
        """Return the topic with the values of this moment. Each value has its time stamp."""
        world = self._mount.world
        tai = world.tai()
        known = KNOWN[topic](self._mount, world.clock.seconds()) if topic in KNOWN else {}
        values: Values = {}
        for info in topic.field_infos:
            if info.measured:
                values[info.name] = tai if info.count == 1 else (tai,) * info.count
            else:
                values[info.name] = self._value(info, known.get(info.name))
        return topic(timestamp=tai, **values)

    def _value(self, info: Any, known: Any) -> Any:
        plausible, deviation = PLAUSIBLE.get(info.unit, (0.0, 0.0))
        value = known
        if value is None:
            value = info.dtype(plausible)
            value = value if info.count == 1 else (value,) * info.count
        # A demanded position or a set point is not measured, so it has no noise.
        if not self._noise or info.dtype is not float or info.name.startswith(("demand", "setpoint")):
            return value
        sigma = self._noise * deviation
        if info.count == 1:
            return value + self._gauss(0.0, sigma)
        return tuple(one + self._gauss(0.0, sigma) for one in value)


def check_noise(noise: float) -> None:
    """Check a factor of noise.

    :raises ValueError: if it is out of range.
    """
    if not 0 <= noise <= MAX_NOISE:
        raise ValueError(f"noise: expected 0 to {MAX_NOISE:g}, got {noise}")


class TelemetryClock:
    """The times at which topics are due: multiples of their periods, in TAI.

    :param tai: TAI at the start, s. A topic is first due at the next multiple of its period.
    """

    def __init__(self, tai: float) -> None:
        self._last = round(tai // TICK)

    def due(self, tai: float) -> list[type[t.Topic]]:
        """Return the topics that have become due since the last call. After a pause each topic is due once.

        If TAI has been set back, nothing is due, and the topics go on from there.
        """
        last, now = self._last, int((tai + TICK / 10) / TICK)
        if now == last - 1:  # the timer was a little early
            return []
        self._last = now
        if now < last:
            return []
        return [topic for topic, ticks in TICKS.items() if last // ticks != self._last // ticks]

    def delay(self, tai: float) -> float:
        """Return the time to the next tick, s."""
        return min(TICK, max(0.0, (self._last + 1) * TICK - tai))


TICKS: Mapping[type[t.Topic], int] = {
    topic: round((topic.period or UNKNOWN_PERIOD) / TICK) for topic in t.Topics
}
"""The period of each topic in ticks."""
