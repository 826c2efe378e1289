"""The telemetry topics of the mount.

Each class is one topic of ``protocol-tma2022.rst``, "The telemetry topics". Each quantity has a time stamp of
its own beside it. If a line lacks a quantity, its value is NaN for a number and None for any other type.
Lines differ because newer versions of the mount send more quantities, and because the telemetry server is
configured by hand. Three units look wrong, but come from the observatory's client: the units of
`internal_temperature_capacitor_bank`, `glycol_temperature_elevation_0001` and `valve_feedback`.

Values only: no Twisted, no I/O. Next to read: `topic_type`, which turns a class into a Struct; `codec`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, reduce
from operator import attrgetter, or_
from typing import Any, ClassVar

from msgspec import UNSET

from ..dialect import QuantityFacts, TopicFacts
from . import json_lines
from .topic_type import MISSING, TopicType, measured, measured_at


class Topic(json_lines.Struct, metaclass=TopicType):
    """Base class of all topics."""

    topic_id: ClassVar[int]
    """Number of the topic on the wire, ``topicID``."""

    topic: ClassVar[str]
    """Name of the topic."""

    period: ClassVar[float | None]
    """Interval between two lines of the topic in seconds; None if it is unknown."""

    timestamp: float
    """Time of sending: TAI seconds since the unix epoch."""

    def encode(self) -> bytes:
        """Return the topic as bytes for the wire, terminator included."""
        return json_lines.encode(self)

    def fields(self) -> dict[str, Any]:
        """Return the quantities by their names on the wire, an array as a list, without missing ones."""
        content: dict[str, Any] = {"timestamp": self.timestamp}
        for info in type(self).field_infos:
            values = [getattr(self, member) for member, _ in info.members]
            if any(value is not MISSING and value is not UNSET for value in values):
                plain = [None if value is UNSET else value for value in values]
                content[info.wire_name] = plain[0] if info.count == 1 else plain
        return content

    def __reduce__(self) -> tuple[Any, ...]:
        given: dict[str, Any] = {"timestamp": self.timestamp}
        for info in type(self).field_infos:
            values = [getattr(self, member) for member, _ in info.members]
            kept = [None if value is MISSING or value is UNSET else value for value in values]
            given[info.name] = kept[0] if info.count == 1 else kept
        return _remade, (type(self), given)

    def __repr__(self) -> str:
        fields = self.fields()
        infos = [info for info in type(self).field_infos if info.wire_name in fields and not info.measured]
        shown = "".join(f", {info.name}={getattr(self, info.name)!r}" for info in infos)
        return f"{type(self).__name__}(timestamp={self.timestamp!r}{shown})"


def _remade(cls: Callable[..., Topic], values: dict[str, Any]) -> Topic:
    return cls(**values)


class UnknownTopic(Topic):
    """A topic with an unknown number.

    :ivar topic_id: its number.
    :ivar values: all other members of the line, as received.
    """

    topic_id: int  # type: ignore[misc]
    timestamp: float
    values: dict[str, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        given = {"topic_id": self.topic_id, "timestamp": self.timestamp, "values": self.values}
        return _remade, (UnknownTopic, given)

    def __repr__(self) -> str:
        names = ", ".join(self.values)
        return f"UnknownTopic(topic_id={self.topic_id}, timestamp={self.timestamp!r}, values=<{names}>)"

    def encode(self) -> bytes:
        """Return the topic as bytes for the wire, terminator included."""
        return json_lines.dump({"topicID": self.topic_id, **self.fields()})

    def fields(self) -> dict[str, Any]:
        """Return all members of the line except the number of the topic."""
        return {"timestamp": self.timestamp, **self.values}


class AuxiliaryCabinetsThermal(Topic):
    """Temperatures of the auxiliary cabinets."""

    topic_id = 1
    topic = "auxiliaryCabinetsThermal"
    period: ClassVar[float | None] = 0.5
    actual_temperature_azimuth_drive_cabinet_0001: float = measured(
        "Temperature azimuth drive cabinet 0001.", unit="°C"
    )
    actual_temperature_azimuth_drive_cabinet_0001_timestamp: float = measured_at(
        "actual_temperature_azimuth_drive_cabinet_0001"
    )
    actual_temperature_azimuth_power_distribution_cabinet_0001: float = measured(
        "Temperature azimuth power distribution cabinet 0001.", unit="°C"
    )
    actual_temperature_azimuth_power_distribution_cabinet_0001_timestamp: float = measured_at(
        "actual_temperature_azimuth_power_distribution_cabinet_0001"
    )
    actual_temperature_azimuth_power_distribution_transformer_0001: float = measured(
        "Temperature azimuth power distribution transformer 0001.", unit="°C"
    )
    actual_temperature_azimuth_power_distribution_transformer_0001_timestamp: float = measured_at(
        "actual_temperature_azimuth_power_distribution_transformer_0001"
    )
    actual_temperature_elevation_power_distribution_cabinet_0001: float = measured(
        "Temperature elevation power distribution cabinet 0001.", unit="°C"
    )
    actual_temperature_elevation_power_distribution_cabinet_0001_timestamp: float = measured_at(
        "actual_temperature_elevation_power_distribution_cabinet_0001"
    )
    actual_temperature_elevation_power_distribution_cabinet_0002: float = measured(
        "Temperature elevation power distribution cabinet 0002.", unit="°C"
    )
    actual_temperature_elevation_power_distribution_cabinet_0002_timestamp: float = measured_at(
        "actual_temperature_elevation_power_distribution_cabinet_0002"
    )
    setpoint_temperature_azimuth_dz_cabinet_0001: float = measured(
        "Set point temperature azimuth dz cabinet 0001.",
        unit="°C",
        wire_name="setpointTemperatureAzimuthDZCabinet0001",
    )
    setpoint_temperature_azimuth_dz_cabinet_0001_timestamp: float = measured_at(
        "setpoint_temperature_azimuth_dz_cabinet_0001"
    )
    setpoint_temperature_azimuth_power_distribution_cabinet_0001: float = measured(
        "Set point temperature azimuth power distribution cabinet 0001.", unit="°C"
    )
    setpoint_temperature_azimuth_power_distribution_cabinet_0001_timestamp: float = measured_at(
        "setpoint_temperature_azimuth_power_distribution_cabinet_0001"
    )
    setpoint_temperature_azimuth_power_distribution_transformer_0001: float = measured(
        "Set point temperature azimuth power distribution transformer 0001.", unit="°C"
    )
    setpoint_temperature_azimuth_power_distribution_transformer_0001_timestamp: float = measured_at(
        "setpoint_temperature_azimuth_power_distribution_transformer_0001"
    )
    setpoint_temperature_elevation_power_distribution_cabinet_0001: float = measured(
        "Set point temperature elevation power distribution cabinet 0001.", unit="°C"
    )
    setpoint_temperature_elevation_power_distribution_cabinet_0001_timestamp: float = measured_at(
        "setpoint_temperature_elevation_power_distribution_cabinet_0001"
    )
    setpoint_temperature_elevation_power_distribution_cabinet_0002: float = measured(
        "Set point temperature elevation power distribution cabinet 0002.", unit="°C"
    )
    setpoint_temperature_elevation_power_distribution_cabinet_0002_timestamp: float = measured_at(
        "setpoint_temperature_elevation_power_distribution_cabinet_0002"
    )


class Cabinet0101Thermal(Topic):
    """Temperature and valve of cabinet 0101."""

    topic_id = 2
    topic = "cabinet0101Thermal"
    period: ClassVar[float | None] = 0.5
    actual_temperature: float = measured("Temperature.", unit="°C")
    actual_temperature_timestamp: float = measured_at("actual_temperature")
    actual_valve_position: float = measured("Valve position.", unit="%")
    actual_valve_position_timestamp: float = measured_at("actual_valve_position")
    setpoint_temperature: float = measured("Set point temperature.", unit="°C")
    setpoint_temperature_timestamp: float = measured_at("setpoint_temperature")
    setpoint_valve_position: float = measured("Set point valve position.", unit="%")
    setpoint_valve_position_timestamp: float = measured_at("setpoint_valve_position")


class AzimuthCableWrap(Topic):
    """The azimuth cable wrap."""

    topic_id = 3
    topic = "azimuthCableWrap"
    period: ClassVar[float | None] = 0.1
    actual_position_drive: tuple[float, ...] = measured("Position drive.", unit="%", count=2)
    actual_position_drive_timestamp: tuple[float, ...] = measured_at("actual_position_drive")
    actual_velocity_drive: tuple[float, ...] = measured("Velocity drive.", unit="deg/s", count=2)
    actual_velocity_drive_timestamp: tuple[float, ...] = measured_at("actual_velocity_drive")


class AzimuthDrivesThermal(Topic):
    """Temperatures and valves of the azimuth drives."""

    topic_id = 4
    topic = "azimuthDrivesThermal"
    period: ClassVar[float | None] = 0.5
    actual_temperature: tuple[float, ...] = measured("Temperature.", unit="°C", count=16)
    actual_temperature_timestamp: tuple[float, ...] = measured_at("actual_temperature")
    actual_valve_position_azimuth: tuple[float, ...] = measured("Valve position azimuth.", unit="%", count=4)
    actual_valve_position_azimuth_timestamp: tuple[float, ...] = measured_at("actual_valve_position_azimuth")
    setpoint_temperature: tuple[float, ...] = measured("Set point temperature.", unit="°C", count=4)
    setpoint_temperature_timestamp: tuple[float, ...] = measured_at("setpoint_temperature")
    setpoint_valve_position_azimuth: tuple[float, ...] = measured(
        "Set point valve position azimuth.", unit="%", count=4
    )
    setpoint_valve_position_azimuth_timestamp: tuple[float, ...] = measured_at(
        "setpoint_valve_position_azimuth"
    )


class AzimuthDrives(Topic):
    """Currents of the azimuth drives."""

    topic_id = 5
    topic = "azimuthDrives"
    period: ClassVar[float | None] = 0.05
    current: tuple[float, ...] = measured("Current of each drive.", unit="A", count=16)
    current_timestamp: tuple[float, ...] = measured_at("current")


class Azimuth(Topic):
    """The azimuth axis."""

    topic_id = 6
    topic = "azimuth"
    period: ClassVar[float | None] = 0.05
    actual_acceleration: float = measured("Acceleration.", unit="deg/s²")
    actual_acceleration_timestamp: float = measured_at("actual_acceleration")
    actual_jerk: float = measured("Jerk.", unit="deg/s³")
    actual_jerk_timestamp: float = measured_at("actual_jerk")
    actual_position: float = measured("Position.", unit="deg")
    actual_position_timestamp: float = measured_at("actual_position")
    actual_torque: float = measured("Torque.", unit="N m")
    actual_torque_timestamp: float = measured_at("actual_torque")
    actual_velocity: float = measured("Velocity.", unit="deg/s")
    actual_velocity_timestamp: float = measured_at("actual_velocity")
    demand_position: float = measured("Demanded position.", unit="deg")
    demand_position_timestamp: float = measured_at("demand_position")
    demand_velocity: float = measured("Demanded velocity.", unit="deg/s")
    demand_velocity_timestamp: float = measured_at("demand_velocity")


class Balancing(Topic):
    """The balancing weights."""

    topic_id = 7
    topic = "balancing"
    period: ClassVar[float | None] = 0.1
    actual_position: tuple[float, ...] = measured("Position.", unit="mm", count=4)
    actual_position_timestamp: tuple[float, ...] = measured_at("actual_position")
    actual_torque_percentage: tuple[float, ...] = measured("Torque of each drive.", unit="%", count=4)
    actual_torque_percentage_timestamp: tuple[float, ...] = measured_at("actual_torque_percentage")
    actual_velocity: tuple[float, ...] = measured("Velocity.", unit="mm/s", count=4)
    actual_velocity_timestamp: tuple[float, ...] = measured_at("actual_velocity")


class CameraCableWrap(Topic):
    """The camera cable wrap."""

    topic_id = 8
    topic = "cameraCableWrap"
    period: ClassVar[float | None] = 0.1
    actual_position: float = measured("Position.", unit="deg")
    actual_position_timestamp: float = measured_at("actual_position")
    actual_torque_percentage: tuple[float, ...] = measured("Torque of each drive.", unit="%", count=2)
    actual_torque_percentage_timestamp: tuple[float, ...] = measured_at("actual_torque_percentage")
    actual_velocity: float = measured("Velocity.", unit="deg/s")
    actual_velocity_timestamp: float = measured_at("actual_velocity")
    demand_position: float = measured("Demanded position.", unit="deg")
    demand_position_timestamp: float = measured_at("demand_position")
    demand_velocity: float = measured("Demanded velocity.", unit="deg/s")
    demand_velocity_timestamp: float = measured_at("demand_velocity")


class CompressedAir(Topic):
    """Compressed air."""

    topic_id = 9
    topic = "compressedAir"
    period: ClassVar[float | None] = 0.5
    air_pressure_azimuth_0001: float = measured("Air pressure azimuth 0001.", unit="bar")
    air_pressure_azimuth_0001_timestamp: float = measured_at("air_pressure_azimuth_0001")
    air_pressure_azimuth_0002: float = measured("Air pressure azimuth 0002.", unit="bar")
    air_pressure_azimuth_0002_timestamp: float = measured_at("air_pressure_azimuth_0002")
    air_pressure_elevation_0001: float = measured("Air pressure elevation 0001.", unit="bar")
    air_pressure_elevation_0001_timestamp: float = measured_at("air_pressure_elevation_0001")
    air_pressure_elevation_0002: float = measured("Air pressure elevation 0002.", unit="bar")
    air_pressure_elevation_0002_timestamp: float = measured_at("air_pressure_elevation_0002")
    air_pressure_pier_0001: float = measured("Air pressure pier 0001.", unit="bar")
    air_pressure_pier_0001_timestamp: float = measured_at("air_pressure_pier_0001")
    air_temperature_pier_0001: float = measured("Air temperature pier 0001.", unit="°C")
    air_temperature_pier_0001_timestamp: float = measured_at("air_temperature_pier_0001")


class Cooling(Topic):
    """Glycol of the cooling."""

    topic_id = 10
    topic = "cooling"
    period: ClassVar[float | None] = 0.5
    glycol_pressure_azimuth_0001: float = measured("Glycol pressure azimuth 0001.", unit="bar")
    glycol_pressure_azimuth_0001_timestamp: float = measured_at("glycol_pressure_azimuth_0001")
    glycol_pressure_azimuth_0002: float = measured("Glycol pressure azimuth 0002.", unit="bar")
    glycol_pressure_azimuth_0002_timestamp: float = measured_at("glycol_pressure_azimuth_0002")
    glycol_pressure_azimuth_0003: float = measured("Glycol pressure azimuth 0003.", unit="bar")
    glycol_pressure_azimuth_0003_timestamp: float = measured_at("glycol_pressure_azimuth_0003")
    glycol_pressure_azimuth_0004: float = measured("Glycol pressure azimuth 0004.", unit="bar")
    glycol_pressure_azimuth_0004_timestamp: float = measured_at("glycol_pressure_azimuth_0004")
    glycol_pressure_azimuth_0005: float = measured("Glycol pressure azimuth 0005.", unit="bar")
    glycol_pressure_azimuth_0005_timestamp: float = measured_at("glycol_pressure_azimuth_0005")
    glycol_pressure_azimuth_0006: float = measured("Glycol pressure azimuth 0006.", unit="bar")
    glycol_pressure_azimuth_0006_timestamp: float = measured_at("glycol_pressure_azimuth_0006")
    glycol_pressure_azimuth_0007: float = measured("Glycol pressure azimuth 0007.", unit="bar")
    glycol_pressure_azimuth_0007_timestamp: float = measured_at("glycol_pressure_azimuth_0007")
    glycol_pressure_azimuth_0008: float = measured("Glycol pressure azimuth 0008.", unit="bar")
    glycol_pressure_azimuth_0008_timestamp: float = measured_at("glycol_pressure_azimuth_0008")
    glycol_pressure_azimuth_0009: float = measured("Glycol pressure azimuth 0009.", unit="bar")
    glycol_pressure_azimuth_0009_timestamp: float = measured_at("glycol_pressure_azimuth_0009")
    glycol_pressure_azimuth_0010: float = measured("Glycol pressure azimuth 0010.", unit="bar")
    glycol_pressure_azimuth_0010_timestamp: float = measured_at("glycol_pressure_azimuth_0010")
    glycol_pressure_azimuth_0011: float = measured("Glycol pressure azimuth 0011.", unit="bar")
    glycol_pressure_azimuth_0011_timestamp: float = measured_at("glycol_pressure_azimuth_0011")
    glycol_pressure_azimuth_0012: float = measured("Glycol pressure azimuth 0012.", unit="bar")
    glycol_pressure_azimuth_0012_timestamp: float = measured_at("glycol_pressure_azimuth_0012")
    glycol_pressure_azimuth_0013: float = measured("Glycol pressure azimuth 0013.", unit="bar")
    glycol_pressure_azimuth_0013_timestamp: float = measured_at("glycol_pressure_azimuth_0013")
    glycol_pressure_azimuth_0014: float = measured("Glycol pressure azimuth 0014.", unit="bar")
    glycol_pressure_azimuth_0014_timestamp: float = measured_at("glycol_pressure_azimuth_0014")
    glycol_pressure_azimuth_0015: float = measured("Glycol pressure azimuth 0015.", unit="bar")
    glycol_pressure_azimuth_0015_timestamp: float = measured_at("glycol_pressure_azimuth_0015")
    glycol_pressure_azimuth_0016: float = measured("Glycol pressure azimuth 0016.", unit="bar")
    glycol_pressure_azimuth_0016_timestamp: float = measured_at("glycol_pressure_azimuth_0016")
    glycol_pressure_azimuth_0017: float = measured("Glycol pressure azimuth 0017.", unit="bar")
    glycol_pressure_azimuth_0017_timestamp: float = measured_at("glycol_pressure_azimuth_0017")
    glycol_pressure_azimuth_0018: float = measured("Glycol pressure azimuth 0018.", unit="bar")
    glycol_pressure_azimuth_0018_timestamp: float = measured_at("glycol_pressure_azimuth_0018")
    glycol_pressure_azimuth_0019: float = measured("Glycol pressure azimuth 0019.", unit="bar")
    glycol_pressure_azimuth_0019_timestamp: float = measured_at("glycol_pressure_azimuth_0019")
    glycol_pressure_azimuth_0020: float = measured("Glycol pressure azimuth 0020.", unit="bar")
    glycol_pressure_azimuth_0020_timestamp: float = measured_at("glycol_pressure_azimuth_0020")
    glycol_pressure_azimuth_0021: float = measured("Glycol pressure azimuth 0021.", unit="bar")
    glycol_pressure_azimuth_0021_timestamp: float = measured_at("glycol_pressure_azimuth_0021")
    glycol_pressure_azimuth_0022: float = measured("Glycol pressure azimuth 0022.", unit="bar")
    glycol_pressure_azimuth_0022_timestamp: float = measured_at("glycol_pressure_azimuth_0022")
    glycol_pressure_elevation_0001: float = measured("Glycol pressure elevation 0001.", unit="bar")
    glycol_pressure_elevation_0001_timestamp: float = measured_at("glycol_pressure_elevation_0001")
    glycol_pressure_elevation_0002: float = measured("Glycol pressure elevation 0002.", unit="bar")
    glycol_pressure_elevation_0002_timestamp: float = measured_at("glycol_pressure_elevation_0002")
    glycol_pressure_pier_0101: float = measured("Glycol pressure pier 0101.", unit="bar")
    glycol_pressure_pier_0101_timestamp: float = measured_at("glycol_pressure_pier_0101")
    glycol_pressure_pier_0102: float = measured("Glycol pressure pier 0102.", unit="bar")
    glycol_pressure_pier_0102_timestamp: float = measured_at("glycol_pressure_pier_0102")
    glycol_temperature_azimuth_0001: float = measured("Glycol temperature azimuth 0001.", unit="°C")
    glycol_temperature_azimuth_0001_timestamp: float = measured_at("glycol_temperature_azimuth_0001")
    glycol_temperature_azimuth_0002: float = measured("Glycol temperature azimuth 0002.", unit="°C")
    glycol_temperature_azimuth_0002_timestamp: float = measured_at("glycol_temperature_azimuth_0002")
    glycol_temperature_azimuth_0021: float = measured("Glycol temperature azimuth 0021.", unit="°C")
    glycol_temperature_azimuth_0021_timestamp: float = measured_at("glycol_temperature_azimuth_0021")
    glycol_temperature_azimuth_0022: float = measured("Glycol temperature azimuth 0022.", unit="°C")
    glycol_temperature_azimuth_0022_timestamp: float = measured_at("glycol_temperature_azimuth_0022")
    glycol_temperature_elevation_0001: float = measured("Glycol temperature elevation 0001.", unit="bar")
    glycol_temperature_elevation_0001_timestamp: float = measured_at("glycol_temperature_elevation_0001")
    glycol_temperature_pier_0101: float = measured("Glycol temperature pier 0101.", unit="°C")
    glycol_temperature_pier_0101_timestamp: float = measured_at("glycol_temperature_pier_0101")
    glycol_temperature_pier_0102: float = measured("Glycol temperature pier 0102.", unit="°C")
    glycol_temperature_pier_0102_timestamp: float = measured_at("glycol_temperature_pier_0102")


class DeployablePlatforms(Topic):
    """The deployable platforms."""

    topic_id = 11
    topic = "deployablePlatforms"
    period: ClassVar[float | None] = 0.1
    actual_position_platform_1_section: tuple[float, ...] = measured(
        "Position platform 1 section.", unit="mm", count=2
    )
    actual_position_platform_1_section_timestamp: tuple[float, ...] = measured_at(
        "actual_position_platform_1_section"
    )
    actual_position_platform_2_section: tuple[float, ...] = measured(
        "Position platform 2 section.", unit="mm", count=2
    )
    actual_position_platform_2_section_timestamp: tuple[float, ...] = measured_at(
        "actual_position_platform_2_section"
    )
    actual_torque_percentage_platform_1_drive: tuple[float, ...] = measured(
        "Torque percentage platform 1 drive.", unit="%", count=2
    )
    actual_torque_percentage_platform_1_drive_timestamp: tuple[float, ...] = measured_at(
        "actual_torque_percentage_platform_1_drive"
    )
    actual_torque_percentage_platform_2_drive: tuple[float, ...] = measured(
        "Torque percentage platform 2 drive.", unit="%", count=2
    )
    actual_torque_percentage_platform_2_drive_timestamp: tuple[float, ...] = measured_at(
        "actual_torque_percentage_platform_2_drive"
    )


class DynaleneCooling(Topic):
    """Dynalene of the cooling."""

    topic_id = 12
    topic = "dynaleneCooling"
    period: ClassVar[float | None] = 0.5
    dynalene_pressure_azimuth_0001: float = measured("Dynalene pressure azimuth 0001.", unit="bar")
    dynalene_pressure_azimuth_0001_timestamp: float = measured_at("dynalene_pressure_azimuth_0001")
    dynalene_pressure_azimuth_0002: float = measured("Dynalene pressure azimuth 0002.", unit="bar")
    dynalene_pressure_azimuth_0002_timestamp: float = measured_at("dynalene_pressure_azimuth_0002")
    dynalene_pressure_elevation_0001: float = measured("Dynalene pressure elevation 0001.", unit="bar")
    dynalene_pressure_elevation_0001_timestamp: float = measured_at("dynalene_pressure_elevation_0001")
    dynalene_pressure_elevation_0002: float = measured("Dynalene pressure elevation 0002.", unit="bar")
    dynalene_pressure_elevation_0002_timestamp: float = measured_at("dynalene_pressure_elevation_0002")
    dynalene_pressure_elevation_0003: float = measured("Dynalene pressure elevation 0003.", unit="bar")
    dynalene_pressure_elevation_0003_timestamp: float = measured_at("dynalene_pressure_elevation_0003")
    dynalene_pressure_elevation_0004: float = measured("Dynalene pressure elevation 0004.", unit="bar")
    dynalene_pressure_elevation_0004_timestamp: float = measured_at("dynalene_pressure_elevation_0004")
    dynalene_pressure_elevation_0005: float = measured("Dynalene pressure elevation 0005.", unit="bar")
    dynalene_pressure_elevation_0005_timestamp: float = measured_at("dynalene_pressure_elevation_0005")
    dynalene_pressure_elevation_0006: float = measured("Dynalene pressure elevation 0006.", unit="bar")
    dynalene_pressure_elevation_0006_timestamp: float = measured_at("dynalene_pressure_elevation_0006")
    dynalene_pressure_elevation_0007: float = measured("Dynalene pressure elevation 0007.", unit="bar")
    dynalene_pressure_elevation_0007_timestamp: float = measured_at("dynalene_pressure_elevation_0007")
    dynalene_pressure_pier_0101: float = measured("Dynalene pressure pier 0101.", unit="bar")
    dynalene_pressure_pier_0101_timestamp: float = measured_at("dynalene_pressure_pier_0101")
    dynalene_pressure_pier_0102: float = measured("Dynalene pressure pier 0102.", unit="bar")
    dynalene_pressure_pier_0102_timestamp: float = measured_at("dynalene_pressure_pier_0102")
    dynalene_temperature_azimuth_0001: float = measured("Dynalene temperature azimuth 0001.", unit="°C")
    dynalene_temperature_azimuth_0001_timestamp: float = measured_at("dynalene_temperature_azimuth_0001")
    dynalene_temperature_azimuth_0002: float = measured("Dynalene temperature azimuth 0002.", unit="°C")
    dynalene_temperature_azimuth_0002_timestamp: float = measured_at("dynalene_temperature_azimuth_0002")
    dynalene_temperature_pier_0101: float = measured("Dynalene temperature pier 0101.", unit="°C")
    dynalene_temperature_pier_0101_timestamp: float = measured_at("dynalene_temperature_pier_0101")
    dynalene_temperature_pier_0102: float = measured("Dynalene temperature pier 0102.", unit="°C")
    dynalene_temperature_pier_0102_timestamp: float = measured_at("dynalene_temperature_pier_0102")


class ElevationDrivesThermal(Topic):
    """Temperatures and valves of the elevation drives."""

    topic_id = 13
    topic = "elevationDrivesThermal"
    period: ClassVar[float | None] = 0.5
    actual_temperature_10: float = measured("Temperature 10.", unit="°C")
    actual_temperature_10_timestamp: float = measured_at("actual_temperature_10")
    actual_temperature_12: float = measured("Temperature 12.", unit="°C")
    actual_temperature_12_timestamp: float = measured_at("actual_temperature_12")
    actual_temperature_2: float = measured("Temperature 2.", unit="°C")
    actual_temperature_2_timestamp: float = measured_at("actual_temperature_2")
    actual_temperature_4: float = measured("Temperature 4.", unit="°C")
    actual_temperature_4_timestamp: float = measured_at("actual_temperature_4")
    actual_temperature_6: float = measured("Temperature 6.", unit="°C")
    actual_temperature_6_timestamp: float = measured_at("actual_temperature_6")
    actual_temperature_8: float = measured("Temperature 8.", unit="°C")
    actual_temperature_8_timestamp: float = measured_at("actual_temperature_8")
    actual_valve_position_elevation: tuple[float, ...] = measured(
        "Valve position elevation.", unit="%", count=2
    )
    actual_valve_position_elevation_timestamp: tuple[float, ...] = measured_at(
        "actual_valve_position_elevation"
    )
    setpoint_temperature: tuple[float, ...] = measured("Set point temperature.", unit="°C", count=2)
    setpoint_temperature_timestamp: tuple[float, ...] = measured_at("setpoint_temperature")
    setpoint_valve_position_elevation: tuple[float, ...] = measured(
        "Set point valve position elevation.", unit="%", count=2
    )
    setpoint_valve_position_elevation_timestamp: tuple[float, ...] = measured_at(
        "setpoint_valve_position_elevation"
    )


class ElevationDrives(Topic):
    """Currents of the elevation drives."""

    topic_id = 14
    topic = "elevationDrives"
    period: ClassVar[float | None] = 0.05
    current: tuple[float, ...] = measured("Current of each drive.", unit="A", count=12)
    current_timestamp: tuple[float, ...] = measured_at("current")


class Elevation(Topic):
    """The elevation axis."""

    topic_id = 15
    topic = "elevation"
    period: ClassVar[float | None] = 0.05
    actual_acceleration: float = measured("Acceleration.", unit="deg/s²")
    actual_acceleration_timestamp: float = measured_at("actual_acceleration")
    actual_jerk: float = measured("Jerk.", unit="deg/s³")
    actual_jerk_timestamp: float = measured_at("actual_jerk")
    actual_position: float = measured("Position.", unit="deg")
    actual_position_timestamp: float = measured_at("actual_position")
    actual_torque: float = measured("Torque.", unit="N m")
    actual_torque_timestamp: float = measured_at("actual_torque")
    actual_velocity: float = measured("Velocity.", unit="deg/s")
    actual_velocity_timestamp: float = measured_at("actual_velocity")
    demand_position: float = measured("Demanded position.", unit="deg")
    demand_position_timestamp: float = measured_at("demand_position")
    demand_velocity: float = measured("Demanded velocity.", unit="deg/s")
    demand_velocity_timestamp: float = measured_at("demand_velocity")
    elevation_inclinometer: float = measured("Elevation, measured by the inclinometer.", unit="deg")
    elevation_inclinometer_timestamp: float = measured_at("elevation_inclinometer")


class Encoder(Topic):
    """The encoder heads of azimuth and elevation."""

    topic_id = 16
    topic = "encoder"
    period: ClassVar[float | None] = 0.05
    azimuth_encoder_absolute_position: tuple[float, ...] = measured(
        "Azimuth encoder absolute position.", unit="deg", count=4
    )
    azimuth_encoder_absolute_position_timestamp: tuple[float, ...] = measured_at(
        "azimuth_encoder_absolute_position"
    )
    azimuth_encoder_position: tuple[float, ...] = measured("Azimuth encoder position.", unit="deg", count=4)
    azimuth_encoder_position_timestamp: tuple[float, ...] = measured_at("azimuth_encoder_position")
    azimuth_encoder_relative_position: tuple[float, ...] = measured(
        "Azimuth encoder relative position.", unit="deg", count=4
    )
    azimuth_encoder_relative_position_timestamp: tuple[float, ...] = measured_at(
        "azimuth_encoder_relative_position"
    )
    elevation_encoder_absolute_position: tuple[float, ...] = measured(
        "Elevation encoder absolute position.", unit="deg", count=4
    )
    elevation_encoder_absolute_position_timestamp: tuple[float, ...] = measured_at(
        "elevation_encoder_absolute_position"
    )
    elevation_encoder_position: tuple[float, ...] = measured(
        "Elevation encoder position.", unit="deg", count=4
    )
    elevation_encoder_position_timestamp: tuple[float, ...] = measured_at("elevation_encoder_position")
    elevation_encoder_relative_position: tuple[float, ...] = measured(
        "Elevation encoder relative position.", unit="deg", count=4
    )
    elevation_encoder_relative_position_timestamp: tuple[float, ...] = measured_at(
        "elevation_encoder_relative_position"
    )
    encoder_head_read_reference_az: tuple[int | None, ...] = measured(
        "Encoder head read reference azimuth.", count=4, wire_name="encoderHeadReadReferenceAZ"
    )
    encoder_head_read_reference_az_timestamp: tuple[float, ...] = measured_at(
        "encoder_head_read_reference_az"
    )
    encoder_head_read_reference_el: tuple[int | None, ...] = measured(
        "Encoder head read reference elevation.", count=4, wire_name="encoderHeadReadReferenceEL"
    )
    encoder_head_read_reference_el_timestamp: tuple[float, ...] = measured_at(
        "encoder_head_read_reference_el"
    )


class GeneralPurposeGlycolWater(Topic):
    """Glycol and water for general purposes."""

    topic_id = 17
    topic = "generalPurposeGlycolWater"
    period: ClassVar[float | None] = 0.5
    glycol_pressure_azimuth_0001: float = measured("Glycol pressure azimuth 0001.", unit="bar")
    glycol_pressure_azimuth_0001_timestamp: float = measured_at("glycol_pressure_azimuth_0001")
    glycol_pressure_azimuth_0002: float = measured("Glycol pressure azimuth 0002.", unit="bar")
    glycol_pressure_azimuth_0002_timestamp: float = measured_at("glycol_pressure_azimuth_0002")
    glycol_pressure_pier_0001: float = measured("Glycol pressure pier 0001.", unit="bar")
    glycol_pressure_pier_0001_timestamp: float = measured_at("glycol_pressure_pier_0001")
    glycol_pressure_pier_0002: float = measured("Glycol pressure pier 0002.", unit="bar")
    glycol_pressure_pier_0002_timestamp: float = measured_at("glycol_pressure_pier_0002")
    glycol_temperature_pier_0001: float = measured("Glycol temperature pier 0001.", unit="°C")
    glycol_temperature_pier_0001_timestamp: float = measured_at("glycol_temperature_pier_0001")
    glycol_temperature_pier_0002: float = measured("Glycol temperature pier 0002.", unit="°C")
    glycol_temperature_pier_0002_timestamp: float = measured_at("glycol_temperature_pier_0002")


class CapacitorBank(Topic):
    """The capacitor banks."""

    topic_id = 18
    topic = "capacitorBank"
    period: ClassVar[float | None] = None
    blown_azimuth_3_fuse: tuple[bool | None, ...] = measured("Blown azimuth 3 fuse.", count=4)
    blown_azimuth_3_fuse_timestamp: tuple[float, ...] = measured_at("blown_azimuth_3_fuse")
    blown_azimuth_4_fuse: tuple[bool | None, ...] = measured("Blown azimuth 4 fuse.", count=4)
    blown_azimuth_4_fuse_timestamp: tuple[float, ...] = measured_at("blown_azimuth_4_fuse")
    blown_azimuth_5_fuse: tuple[bool | None, ...] = measured("Blown azimuth 5 fuse.", count=4)
    blown_azimuth_5_fuse_timestamp: tuple[float, ...] = measured_at("blown_azimuth_5_fuse")
    blown_azimuth_6_fuse: tuple[bool | None, ...] = measured("Blown azimuth 6 fuse.", count=4)
    blown_azimuth_6_fuse_timestamp: tuple[float, ...] = measured_at("blown_azimuth_6_fuse")
    blown_elevation_7_fuse: tuple[bool | None, ...] = measured("Blown elevation 7 fuse.", count=6)
    blown_elevation_7_fuse_timestamp: tuple[float, ...] = measured_at("blown_elevation_7_fuse")
    blown_elevation_8_fuse: tuple[bool | None, ...] = measured("Blown elevation 8 fuse.", count=6)
    blown_elevation_8_fuse_timestamp: tuple[float, ...] = measured_at("blown_elevation_8_fuse")
    current_capacitor_bank_1_fuse: tuple[float, ...] = measured(
        "Current capacitor bank 1 fuse.", unit="A", count=5
    )
    current_capacitor_bank_1_fuse_timestamp: tuple[float, ...] = measured_at("current_capacitor_bank_1_fuse")
    current_capacitor_bank_2_fuse: tuple[float, ...] = measured(
        "Current capacitor bank 2 fuse.", unit="A", count=5
    )
    current_capacitor_bank_2_fuse_timestamp: tuple[float, ...] = measured_at("current_capacitor_bank_2_fuse")
    current_capacitor_bank_3_fuse: tuple[float, ...] = measured(
        "Current capacitor bank 3 fuse.", unit="A", count=5
    )
    current_capacitor_bank_3_fuse_timestamp: tuple[float, ...] = measured_at("current_capacitor_bank_3_fuse")
    current_capacitor_bank_4_fuse: tuple[float, ...] = measured(
        "Current capacitor bank 4 fuse.", unit="A", count=5
    )
    current_capacitor_bank_4_fuse_timestamp: tuple[float, ...] = measured_at("current_capacitor_bank_4_fuse")
    current_capacitor_bank_5_fuse: tuple[float, ...] = measured(
        "Current capacitor bank 5 fuse.", unit="A", count=5
    )
    current_capacitor_bank_5_fuse_timestamp: tuple[float, ...] = measured_at("current_capacitor_bank_5_fuse")
    current_capacitor_bank_6_fuse: tuple[float, ...] = measured(
        "Current capacitor bank 6 fuse.", unit="A", count=5
    )
    current_capacitor_bank_6_fuse_timestamp: tuple[float, ...] = measured_at("current_capacitor_bank_6_fuse")
    current_capacitor_bank_7_fuse: tuple[float, ...] = measured(
        "Current capacitor bank 7 fuse.", unit="A", count=5
    )
    current_capacitor_bank_7_fuse_timestamp: tuple[float, ...] = measured_at("current_capacitor_bank_7_fuse")
    current_capacitor_bank_8_fuse: tuple[float, ...] = measured(
        "Current capacitor bank 8 fuse.", unit="A", count=5
    )
    current_capacitor_bank_8_fuse_timestamp: tuple[float, ...] = measured_at("current_capacitor_bank_8_fuse")
    internal_temperature_capacitor_bank: tuple[float, ...] = measured(
        "Internal temperature capacitor bank.", unit="A", count=8
    )
    internal_temperature_capacitor_bank_timestamp: tuple[float, ...] = measured_at(
        "internal_temperature_capacitor_bank"
    )


class LockingPins(Topic):
    """The elevation locking pins."""

    topic_id = 19
    topic = "lockingPins"
    period: ClassVar[float | None] = 0.1
    actual_position: tuple[float, ...] = measured("Position.", unit="mm", count=2)
    actual_position_timestamp: tuple[float, ...] = measured_at("actual_position")
    actual_torque_percentage: tuple[float, ...] = measured("Torque of each drive.", unit="%", count=2)
    actual_torque_percentage_timestamp: tuple[float, ...] = measured_at("actual_torque_percentage")
    demand_position: tuple[float, ...] = measured("Demanded position.", unit="mm", count=2)
    demand_position_timestamp: tuple[float, ...] = measured_at("demand_position")


class MainPowerSupply(Topic):
    """The power supply of the main axes."""

    topic_id = 21
    topic = "mainPowerSupply"
    period: ClassVar[float | None] = 0.2
    power_supply_current: float = measured("Current.", unit="A")
    power_supply_current_timestamp: float = measured_at("power_supply_current")
    power_supply_voltage: float = measured("Voltage.", unit="V")
    power_supply_voltage_timestamp: float = measured_at("power_supply_voltage")


class MirrorCoverLocks(Topic):
    """The mirror cover locks."""

    topic_id = 22
    topic = "mirrorCoverLocks"
    period: ClassVar[float | None] = 0.1
    actual_position: tuple[float, ...] = measured("Position.", unit="deg", count=4)
    actual_position_timestamp: tuple[float, ...] = measured_at("actual_position")
    actual_torque_percentage: tuple[float, ...] = measured("Torque of each drive.", unit="%", count=4)
    actual_torque_percentage_timestamp: tuple[float, ...] = measured_at("actual_torque_percentage")


class MirrorCover(Topic):
    """The mirror covers."""

    topic_id = 23
    topic = "mirrorCover"
    period: ClassVar[float | None] = 0.1
    actual_position: tuple[float, ...] = measured("Position.", unit="deg", count=4)
    actual_position_timestamp: tuple[float, ...] = measured_at("actual_position")
    actual_torque_percentage: tuple[float, ...] = measured("Torque of each drive.", unit="%", count=4)
    actual_torque_percentage_timestamp: tuple[float, ...] = measured_at("actual_torque_percentage")


class MainCabinetThermal(Topic):
    """Temperatures of the main cabinet."""

    topic_id = 24
    topic = "mainCabinetThermal"
    period: ClassVar[float | None] = 0.1
    aux_pxi_temperature: float = measured("Aux pxi temperature.", unit="°C")
    aux_pxi_temperature_timestamp: float = measured_at("aux_pxi_temperature")
    axes_pxi_temperature: float = measured("Axes pxi temperature.", unit="°C")
    axes_pxi_temperature_timestamp: float = measured_at("axes_pxi_temperature")
    backup_temperature: float = measured("Backup temperature.", unit="°C")
    backup_temperature_timestamp: float = measured_at("backup_temperature")
    main_cabinet_external_temperature: float = measured("Main cabinet external temperature.", unit="°C")
    main_cabinet_external_temperature_timestamp: float = measured_at("main_cabinet_external_temperature")
    main_cabinet_internal_temperature: tuple[float, ...] = measured(
        "Main cabinet internal temperature.", unit="°C", count=2
    )
    main_cabinet_internal_temperature_timestamp: tuple[float, ...] = measured_at(
        "main_cabinet_internal_temperature"
    )
    setpoint_temperature: float = measured("Set point temperature.", unit="°C")
    setpoint_temperature_timestamp: float = measured_at("setpoint_temperature")
    tma_pxi_temperature: float = measured("Tma pxi temperature.", unit="°C")
    tma_pxi_temperature_timestamp: float = measured_at("tma_pxi_temperature")
    valve_feedback: float = measured("Valve feedback.", unit="°C")
    valve_feedback_timestamp: float = measured_at("valve_feedback")


class OilSupplySystem(Topic):
    """The oil supply system."""

    topic_id = 25
    topic = "oilSupplySystem"
    period: ClassVar[float | None] = 5.0
    actual_temperature_azimuth_cabinet_5001: float = measured("Temperature azimuth cabinet 5001.", unit="°C")
    actual_temperature_azimuth_cabinet_5001_timestamp: float = measured_at(
        "actual_temperature_azimuth_cabinet_5001"
    )
    actual_temperature_elevation_cabinet_5001: float = measured(
        "Temperature elevation cabinet 5001.", unit="°C"
    )
    actual_temperature_elevation_cabinet_5001_timestamp: float = measured_at(
        "actual_temperature_elevation_cabinet_5001"
    )
    actual_temperature_elevation_cabinet_5002: float = measured(
        "Temperature elevation cabinet 5002.", unit="°C"
    )
    actual_temperature_elevation_cabinet_5002_timestamp: float = measured_at(
        "actual_temperature_elevation_cabinet_5002"
    )
    ambient_temperature: float = measured("Ambient temperature.", unit="°C")
    ambient_temperature_timestamp: float = measured_at("ambient_temperature")
    computed_oil_film_thickness_azimuth_bearing_5004: float = measured(
        "Computed oil film thickness azimuth bearing 5004.", unit="µm"
    )
    computed_oil_film_thickness_azimuth_bearing_5004_timestamp: float = measured_at(
        "computed_oil_film_thickness_azimuth_bearing_5004"
    )
    computed_oil_film_thickness_azimuth_bearing_5014: float = measured(
        "Computed oil film thickness azimuth bearing 5014.", unit="µm"
    )
    computed_oil_film_thickness_azimuth_bearing_5014_timestamp: float = measured_at(
        "computed_oil_film_thickness_azimuth_bearing_5014"
    )
    computed_oil_film_thickness_azimuth_bearing_5024: float = measured(
        "Computed oil film thickness azimuth bearing 5024.", unit="µm"
    )
    computed_oil_film_thickness_azimuth_bearing_5024_timestamp: float = measured_at(
        "computed_oil_film_thickness_azimuth_bearing_5024"
    )
    computed_oil_film_thickness_azimuth_bearing_5034: float = measured(
        "Computed oil film thickness azimuth bearing 5034.", unit="µm"
    )
    computed_oil_film_thickness_azimuth_bearing_5034_timestamp: float = measured_at(
        "computed_oil_film_thickness_azimuth_bearing_5034"
    )
    computed_oil_film_thickness_azimuth_bearing_5044: float = measured(
        "Computed oil film thickness azimuth bearing 5044.", unit="µm"
    )
    computed_oil_film_thickness_azimuth_bearing_5044_timestamp: float = measured_at(
        "computed_oil_film_thickness_azimuth_bearing_5044"
    )
    computed_oil_film_thickness_azimuth_bearing_5054: float = measured(
        "Computed oil film thickness azimuth bearing 5054.", unit="µm"
    )
    computed_oil_film_thickness_azimuth_bearing_5054_timestamp: float = measured_at(
        "computed_oil_film_thickness_azimuth_bearing_5054"
    )
    computed_oil_film_thickness_elevation_bearing_5001: float = measured(
        "Computed oil film thickness elevation bearing 5001.", unit="µm"
    )
    computed_oil_film_thickness_elevation_bearing_5001_timestamp: float = measured_at(
        "computed_oil_film_thickness_elevation_bearing_5001"
    )
    computed_oil_film_thickness_elevation_bearing_5011: float = measured(
        "Computed oil film thickness elevation bearing 5011.", unit="µm"
    )
    computed_oil_film_thickness_elevation_bearing_5011_timestamp: float = measured_at(
        "computed_oil_film_thickness_elevation_bearing_5011"
    )
    computed_oil_film_thickness_elevation_bearing_5021: float = measured(
        "Computed oil film thickness elevation bearing 5021.", unit="µm"
    )
    computed_oil_film_thickness_elevation_bearing_5021_timestamp: float = measured_at(
        "computed_oil_film_thickness_elevation_bearing_5021"
    )
    computed_oil_film_thickness_elevation_bearing_5031: float = measured(
        "Computed oil film thickness elevation bearing 5031.", unit="µm"
    )
    computed_oil_film_thickness_elevation_bearing_5031_timestamp: float = measured_at(
        "computed_oil_film_thickness_elevation_bearing_5031"
    )
    oil_chiller_temperature_5012: float = measured("Oil chiller temperature 5012.", unit="°C")
    oil_chiller_temperature_5012_timestamp: float = measured_at("oil_chiller_temperature_5012")
    oil_chiller_temperature_5013: float = measured("Oil chiller temperature 5013.", unit="°C")
    oil_chiller_temperature_5013_timestamp: float = measured_at("oil_chiller_temperature_5013")
    oil_film_thickness_azimuth_bearing_5001: float = measured(
        "Oil film thickness azimuth bearing 5001.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5001_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5001"
    )
    oil_film_thickness_azimuth_bearing_5002: float = measured(
        "Oil film thickness azimuth bearing 5002.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5002_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5002"
    )
    oil_film_thickness_azimuth_bearing_5003: float = measured(
        "Oil film thickness azimuth bearing 5003.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5003_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5003"
    )
    oil_film_thickness_azimuth_bearing_5004: float = measured(
        "Oil film thickness azimuth bearing 5004.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5004_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5004"
    )
    oil_film_thickness_azimuth_bearing_5005: float = measured(
        "Oil film thickness azimuth bearing 5005.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5005_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5005"
    )
    oil_film_thickness_azimuth_bearing_5006: float = measured(
        "Oil film thickness azimuth bearing 5006.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5006_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5006"
    )
    oil_film_thickness_azimuth_bearing_5011: float = measured(
        "Oil film thickness azimuth bearing 5011.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5011_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5011"
    )
    oil_film_thickness_azimuth_bearing_5012: float = measured(
        "Oil film thickness azimuth bearing 5012.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5012_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5012"
    )
    oil_film_thickness_azimuth_bearing_5013: float = measured(
        "Oil film thickness azimuth bearing 5013.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5013_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5013"
    )
    oil_film_thickness_azimuth_bearing_5014: float = measured(
        "Oil film thickness azimuth bearing 5014.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5014_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5014"
    )
    oil_film_thickness_azimuth_bearing_5015: float = measured(
        "Oil film thickness azimuth bearing 5015.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5015_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5015"
    )
    oil_film_thickness_azimuth_bearing_5016: float = measured(
        "Oil film thickness azimuth bearing 5016.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5016_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5016"
    )
    oil_film_thickness_azimuth_bearing_5017: float = measured(
        "Oil film thickness azimuth bearing 5017.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5017_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5017"
    )
    oil_film_thickness_azimuth_bearing_5018: float = measured(
        "Oil film thickness azimuth bearing 5018.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5018_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5018"
    )
    oil_film_thickness_azimuth_bearing_5019: float = measured(
        "Oil film thickness azimuth bearing 5019.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5019_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5019"
    )
    oil_film_thickness_azimuth_bearing_5021: float = measured(
        "Oil film thickness azimuth bearing 5021.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5021_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5021"
    )
    oil_film_thickness_azimuth_bearing_5022: float = measured(
        "Oil film thickness azimuth bearing 5022.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5022_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5022"
    )
    oil_film_thickness_azimuth_bearing_5023: float = measured(
        "Oil film thickness azimuth bearing 5023.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5023_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5023"
    )
    oil_film_thickness_azimuth_bearing_5024: float = measured(
        "Oil film thickness azimuth bearing 5024.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5024_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5024"
    )
    oil_film_thickness_azimuth_bearing_5025: float = measured(
        "Oil film thickness azimuth bearing 5025.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5025_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5025"
    )
    oil_film_thickness_azimuth_bearing_5026: float = measured(
        "Oil film thickness azimuth bearing 5026.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5026_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5026"
    )
    oil_film_thickness_azimuth_bearing_5031: float = measured(
        "Oil film thickness azimuth bearing 5031.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5031_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5031"
    )
    oil_film_thickness_azimuth_bearing_5032: float = measured(
        "Oil film thickness azimuth bearing 5032.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5032_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5032"
    )
    oil_film_thickness_azimuth_bearing_5033: float = measured(
        "Oil film thickness azimuth bearing 5033.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5033_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5033"
    )
    oil_film_thickness_azimuth_bearing_5034: float = measured(
        "Oil film thickness azimuth bearing 5034.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5034_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5034"
    )
    oil_film_thickness_azimuth_bearing_5035: float = measured(
        "Oil film thickness azimuth bearing 5035.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5035_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5035"
    )
    oil_film_thickness_azimuth_bearing_5036: float = measured(
        "Oil film thickness azimuth bearing 5036.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5036_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5036"
    )
    oil_film_thickness_azimuth_bearing_5041: float = measured(
        "Oil film thickness azimuth bearing 5041.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5041_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5041"
    )
    oil_film_thickness_azimuth_bearing_5042: float = measured(
        "Oil film thickness azimuth bearing 5042.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5042_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5042"
    )
    oil_film_thickness_azimuth_bearing_5043: float = measured(
        "Oil film thickness azimuth bearing 5043.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5043_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5043"
    )
    oil_film_thickness_azimuth_bearing_5044: float = measured(
        "Oil film thickness azimuth bearing 5044.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5044_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5044"
    )
    oil_film_thickness_azimuth_bearing_5045: float = measured(
        "Oil film thickness azimuth bearing 5045.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5045_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5045"
    )
    oil_film_thickness_azimuth_bearing_5046: float = measured(
        "Oil film thickness azimuth bearing 5046.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5046_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5046"
    )
    oil_film_thickness_azimuth_bearing_5047: float = measured(
        "Oil film thickness azimuth bearing 5047.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5047_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5047"
    )
    oil_film_thickness_azimuth_bearing_5048: float = measured(
        "Oil film thickness azimuth bearing 5048.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5048_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5048"
    )
    oil_film_thickness_azimuth_bearing_5049: float = measured(
        "Oil film thickness azimuth bearing 5049.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5049_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5049"
    )
    oil_film_thickness_azimuth_bearing_5051: float = measured(
        "Oil film thickness azimuth bearing 5051.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5051_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5051"
    )
    oil_film_thickness_azimuth_bearing_5052: float = measured(
        "Oil film thickness azimuth bearing 5052.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5052_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5052"
    )
    oil_film_thickness_azimuth_bearing_5053: float = measured(
        "Oil film thickness azimuth bearing 5053.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5053_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5053"
    )
    oil_film_thickness_azimuth_bearing_5054: float = measured(
        "Oil film thickness azimuth bearing 5054.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5054_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5054"
    )
    oil_film_thickness_azimuth_bearing_5055: float = measured(
        "Oil film thickness azimuth bearing 5055.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5055_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5055"
    )
    oil_film_thickness_azimuth_bearing_5056: float = measured(
        "Oil film thickness azimuth bearing 5056.", unit="µm"
    )
    oil_film_thickness_azimuth_bearing_5056_timestamp: float = measured_at(
        "oil_film_thickness_azimuth_bearing_5056"
    )
    oil_film_thickness_elevation_bearing_5001: float = measured(
        "Oil film thickness elevation bearing 5001.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5001_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5001"
    )
    oil_film_thickness_elevation_bearing_5002: float = measured(
        "Oil film thickness elevation bearing 5002.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5002_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5002"
    )
    oil_film_thickness_elevation_bearing_5003: float = measured(
        "Oil film thickness elevation bearing 5003.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5003_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5003"
    )
    oil_film_thickness_elevation_bearing_5004: float = measured(
        "Oil film thickness elevation bearing 5004.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5004_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5004"
    )
    oil_film_thickness_elevation_bearing_5005: float = measured(
        "Oil film thickness elevation bearing 5005.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5005_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5005"
    )
    oil_film_thickness_elevation_bearing_5006: float = measured(
        "Oil film thickness elevation bearing 5006.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5006_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5006"
    )
    oil_film_thickness_elevation_bearing_5011: float = measured(
        "Oil film thickness elevation bearing 5011.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5011_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5011"
    )
    oil_film_thickness_elevation_bearing_5012: float = measured(
        "Oil film thickness elevation bearing 5012.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5012_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5012"
    )
    oil_film_thickness_elevation_bearing_5013: float = measured(
        "Oil film thickness elevation bearing 5013.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5013_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5013"
    )
    oil_film_thickness_elevation_bearing_5014: float = measured(
        "Oil film thickness elevation bearing 5014.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5014_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5014"
    )
    oil_film_thickness_elevation_bearing_5015: float = measured(
        "Oil film thickness elevation bearing 5015.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5015_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5015"
    )
    oil_film_thickness_elevation_bearing_5016: float = measured(
        "Oil film thickness elevation bearing 5016.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5016_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5016"
    )
    oil_film_thickness_elevation_bearing_5021: float = measured(
        "Oil film thickness elevation bearing 5021.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5021_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5021"
    )
    oil_film_thickness_elevation_bearing_5022: float = measured(
        "Oil film thickness elevation bearing 5022.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5022_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5022"
    )
    oil_film_thickness_elevation_bearing_5023: float = measured(
        "Oil film thickness elevation bearing 5023.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5023_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5023"
    )
    oil_film_thickness_elevation_bearing_5024: float = measured(
        "Oil film thickness elevation bearing 5024.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5024_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5024"
    )
    oil_film_thickness_elevation_bearing_5025: float = measured(
        "Oil film thickness elevation bearing 5025.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5025_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5025"
    )
    oil_film_thickness_elevation_bearing_5026: float = measured(
        "Oil film thickness elevation bearing 5026.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5026_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5026"
    )
    oil_film_thickness_elevation_bearing_5031: float = measured(
        "Oil film thickness elevation bearing 5031.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5031_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5031"
    )
    oil_film_thickness_elevation_bearing_5032: float = measured(
        "Oil film thickness elevation bearing 5032.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5032_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5032"
    )
    oil_film_thickness_elevation_bearing_5033: float = measured(
        "Oil film thickness elevation bearing 5033.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5033_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5033"
    )
    oil_film_thickness_elevation_bearing_5034: float = measured(
        "Oil film thickness elevation bearing 5034.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5034_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5034"
    )
    oil_film_thickness_elevation_bearing_5035: float = measured(
        "Oil film thickness elevation bearing 5035.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5035_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5035"
    )
    oil_film_thickness_elevation_bearing_5036: float = measured(
        "Oil film thickness elevation bearing 5036.", unit="µm"
    )
    oil_film_thickness_elevation_bearing_5036_timestamp: float = measured_at(
        "oil_film_thickness_elevation_bearing_5036"
    )
    oil_flow_rate_azimuth_5001: float = measured("Oil flow rate azimuth 5001.", unit="l/min")
    oil_flow_rate_azimuth_5001_timestamp: float = measured_at("oil_flow_rate_azimuth_5001")
    oil_flow_rate_azimuth_5002: float = measured("Oil flow rate azimuth 5002.", unit="l/min")
    oil_flow_rate_azimuth_5002_timestamp: float = measured_at("oil_flow_rate_azimuth_5002")
    oil_flow_rate_azimuth_5011: float = measured("Oil flow rate azimuth 5011.", unit="l/min")
    oil_flow_rate_azimuth_5011_timestamp: float = measured_at("oil_flow_rate_azimuth_5011")
    oil_flow_rate_azimuth_5012: float = measured("Oil flow rate azimuth 5012.", unit="l/min")
    oil_flow_rate_azimuth_5012_timestamp: float = measured_at("oil_flow_rate_azimuth_5012")
    oil_flow_rate_azimuth_5013: float = measured("Oil flow rate azimuth 5013.", unit="l/min")
    oil_flow_rate_azimuth_5013_timestamp: float = measured_at("oil_flow_rate_azimuth_5013")
    oil_flow_rate_azimuth_5021: float = measured("Oil flow rate azimuth 5021.", unit="l/min")
    oil_flow_rate_azimuth_5021_timestamp: float = measured_at("oil_flow_rate_azimuth_5021")
    oil_flow_rate_azimuth_5022: float = measured("Oil flow rate azimuth 5022.", unit="l/min")
    oil_flow_rate_azimuth_5022_timestamp: float = measured_at("oil_flow_rate_azimuth_5022")
    oil_flow_rate_azimuth_5031: float = measured("Oil flow rate azimuth 5031.", unit="l/min")
    oil_flow_rate_azimuth_5031_timestamp: float = measured_at("oil_flow_rate_azimuth_5031")
    oil_flow_rate_azimuth_5032: float = measured("Oil flow rate azimuth 5032.", unit="l/min")
    oil_flow_rate_azimuth_5032_timestamp: float = measured_at("oil_flow_rate_azimuth_5032")
    oil_flow_rate_azimuth_5041: float = measured("Oil flow rate azimuth 5041.", unit="l/min")
    oil_flow_rate_azimuth_5041_timestamp: float = measured_at("oil_flow_rate_azimuth_5041")
    oil_flow_rate_azimuth_5042: float = measured("Oil flow rate azimuth 5042.", unit="l/min")
    oil_flow_rate_azimuth_5042_timestamp: float = measured_at("oil_flow_rate_azimuth_5042")
    oil_flow_rate_azimuth_5043: float = measured("Oil flow rate azimuth 5043.", unit="l/min")
    oil_flow_rate_azimuth_5043_timestamp: float = measured_at("oil_flow_rate_azimuth_5043")
    oil_flow_rate_azimuth_5051: float = measured("Oil flow rate azimuth 5051.", unit="l/min")
    oil_flow_rate_azimuth_5051_timestamp: float = measured_at("oil_flow_rate_azimuth_5051")
    oil_flow_rate_azimuth_5052: float = measured("Oil flow rate azimuth 5052.", unit="l/min")
    oil_flow_rate_azimuth_5052_timestamp: float = measured_at("oil_flow_rate_azimuth_5052")
    oil_flow_rate_elevation_5001: float = measured("Oil flow rate elevation 5001.", unit="l/min")
    oil_flow_rate_elevation_5001_timestamp: float = measured_at("oil_flow_rate_elevation_5001")
    oil_flow_rate_elevation_5002: float = measured("Oil flow rate elevation 5002.", unit="l/min")
    oil_flow_rate_elevation_5002_timestamp: float = measured_at("oil_flow_rate_elevation_5002")
    oil_flow_rate_elevation_5011: float = measured("Oil flow rate elevation 5011.", unit="l/min")
    oil_flow_rate_elevation_5011_timestamp: float = measured_at("oil_flow_rate_elevation_5011")
    oil_flow_rate_elevation_5012: float = measured("Oil flow rate elevation 5012.", unit="l/min")
    oil_flow_rate_elevation_5012_timestamp: float = measured_at("oil_flow_rate_elevation_5012")
    oil_flow_rate_elevation_5021: float = measured("Oil flow rate elevation 5021.", unit="l/min")
    oil_flow_rate_elevation_5021_timestamp: float = measured_at("oil_flow_rate_elevation_5021")
    oil_flow_rate_elevation_5022: float = measured("Oil flow rate elevation 5022.", unit="l/min")
    oil_flow_rate_elevation_5022_timestamp: float = measured_at("oil_flow_rate_elevation_5022")
    oil_flow_rate_elevation_5031: float = measured("Oil flow rate elevation 5031.", unit="l/min")
    oil_flow_rate_elevation_5031_timestamp: float = measured_at("oil_flow_rate_elevation_5031")
    oil_flow_rate_elevation_5032: float = measured("Oil flow rate elevation 5032.", unit="l/min")
    oil_flow_rate_elevation_5032_timestamp: float = measured_at("oil_flow_rate_elevation_5032")
    oil_level_facilities_5001: float = measured("Oil level facilities 5001.", unit="mm")
    oil_level_facilities_5001_timestamp: float = measured_at("oil_level_facilities_5001")
    oil_pressure_azimuth_5001: float = measured("Oil pressure azimuth 5001.", unit="bar")
    oil_pressure_azimuth_5001_timestamp: float = measured_at("oil_pressure_azimuth_5001")
    oil_pressure_azimuth_5002: float = measured("Oil pressure azimuth 5002.", unit="bar")
    oil_pressure_azimuth_5002_timestamp: float = measured_at("oil_pressure_azimuth_5002")
    oil_pressure_azimuth_5003: float = measured("Oil pressure azimuth 5003.", unit="bar")
    oil_pressure_azimuth_5003_timestamp: float = measured_at("oil_pressure_azimuth_5003")
    oil_pressure_azimuth_5011: float = measured("Oil pressure azimuth 5011.", unit="bar")
    oil_pressure_azimuth_5011_timestamp: float = measured_at("oil_pressure_azimuth_5011")
    oil_pressure_azimuth_5012: float = measured("Oil pressure azimuth 5012.", unit="bar")
    oil_pressure_azimuth_5012_timestamp: float = measured_at("oil_pressure_azimuth_5012")
    oil_pressure_azimuth_5013: float = measured("Oil pressure azimuth 5013.", unit="bar")
    oil_pressure_azimuth_5013_timestamp: float = measured_at("oil_pressure_azimuth_5013")
    oil_pressure_azimuth_5014: float = measured("Oil pressure azimuth 5014.", unit="bar")
    oil_pressure_azimuth_5014_timestamp: float = measured_at("oil_pressure_azimuth_5014")
    oil_pressure_azimuth_5015: float = measured("Oil pressure azimuth 5015.", unit="bar")
    oil_pressure_azimuth_5015_timestamp: float = measured_at("oil_pressure_azimuth_5015")
    oil_pressure_azimuth_5016: float = measured("Oil pressure azimuth 5016.", unit="bar")
    oil_pressure_azimuth_5016_timestamp: float = measured_at("oil_pressure_azimuth_5016")
    oil_pressure_azimuth_5021: float = measured("Oil pressure azimuth 5021.", unit="bar")
    oil_pressure_azimuth_5021_timestamp: float = measured_at("oil_pressure_azimuth_5021")
    oil_pressure_azimuth_5022: float = measured("Oil pressure azimuth 5022.", unit="bar")
    oil_pressure_azimuth_5022_timestamp: float = measured_at("oil_pressure_azimuth_5022")
    oil_pressure_azimuth_5023: float = measured("Oil pressure azimuth 5023.", unit="bar")
    oil_pressure_azimuth_5023_timestamp: float = measured_at("oil_pressure_azimuth_5023")
    oil_pressure_azimuth_5031: float = measured("Oil pressure azimuth 5031.", unit="bar")
    oil_pressure_azimuth_5031_timestamp: float = measured_at("oil_pressure_azimuth_5031")
    oil_pressure_azimuth_5032: float = measured("Oil pressure azimuth 5032.", unit="bar")
    oil_pressure_azimuth_5032_timestamp: float = measured_at("oil_pressure_azimuth_5032")
    oil_pressure_azimuth_5033: float = measured("Oil pressure azimuth 5033.", unit="bar")
    oil_pressure_azimuth_5033_timestamp: float = measured_at("oil_pressure_azimuth_5033")
    oil_pressure_azimuth_5034: float = measured("Oil pressure azimuth 5034.", unit="bar")
    oil_pressure_azimuth_5034_timestamp: float = measured_at("oil_pressure_azimuth_5034")
    oil_pressure_azimuth_5041: float = measured("Oil pressure azimuth 5041.", unit="bar")
    oil_pressure_azimuth_5041_timestamp: float = measured_at("oil_pressure_azimuth_5041")
    oil_pressure_azimuth_5042: float = measured("Oil pressure azimuth 5042.", unit="bar")
    oil_pressure_azimuth_5042_timestamp: float = measured_at("oil_pressure_azimuth_5042")
    oil_pressure_azimuth_5043: float = measured("Oil pressure azimuth 5043.", unit="bar")
    oil_pressure_azimuth_5043_timestamp: float = measured_at("oil_pressure_azimuth_5043")
    oil_pressure_azimuth_5044: float = measured("Oil pressure azimuth 5044.", unit="bar")
    oil_pressure_azimuth_5044_timestamp: float = measured_at("oil_pressure_azimuth_5044")
    oil_pressure_azimuth_5045: float = measured("Oil pressure azimuth 5045.", unit="bar")
    oil_pressure_azimuth_5045_timestamp: float = measured_at("oil_pressure_azimuth_5045")
    oil_pressure_azimuth_5046: float = measured("Oil pressure azimuth 5046.", unit="bar")
    oil_pressure_azimuth_5046_timestamp: float = measured_at("oil_pressure_azimuth_5046")
    oil_pressure_azimuth_5051: float = measured("Oil pressure azimuth 5051.", unit="bar")
    oil_pressure_azimuth_5051_timestamp: float = measured_at("oil_pressure_azimuth_5051")
    oil_pressure_azimuth_5052: float = measured("Oil pressure azimuth 5052.", unit="bar")
    oil_pressure_azimuth_5052_timestamp: float = measured_at("oil_pressure_azimuth_5052")
    oil_pressure_azimuth_5053: float = measured("Oil pressure azimuth 5053.", unit="bar")
    oil_pressure_azimuth_5053_timestamp: float = measured_at("oil_pressure_azimuth_5053")
    oil_pressure_azimuth_5054: float = measured("Oil pressure azimuth 5054.", unit="bar")
    oil_pressure_azimuth_5054_timestamp: float = measured_at("oil_pressure_azimuth_5054")
    oil_pressure_elevation_5001: float = measured("Oil pressure elevation 5001.", unit="bar")
    oil_pressure_elevation_5001_timestamp: float = measured_at("oil_pressure_elevation_5001")
    oil_pressure_elevation_5002: float = measured("Oil pressure elevation 5002.", unit="bar")
    oil_pressure_elevation_5002_timestamp: float = measured_at("oil_pressure_elevation_5002")
    oil_pressure_elevation_5003: float = measured("Oil pressure elevation 5003.", unit="bar")
    oil_pressure_elevation_5003_timestamp: float = measured_at("oil_pressure_elevation_5003")
    oil_pressure_elevation_5011: float = measured("Oil pressure elevation 5011.", unit="bar")
    oil_pressure_elevation_5011_timestamp: float = measured_at("oil_pressure_elevation_5011")
    oil_pressure_elevation_5012: float = measured("Oil pressure elevation 5012.", unit="bar")
    oil_pressure_elevation_5012_timestamp: float = measured_at("oil_pressure_elevation_5012")
    oil_pressure_elevation_5013: float = measured("Oil pressure elevation 5013.", unit="bar")
    oil_pressure_elevation_5013_timestamp: float = measured_at("oil_pressure_elevation_5013")
    oil_pressure_elevation_5021: float = measured("Oil pressure elevation 5021.", unit="bar")
    oil_pressure_elevation_5021_timestamp: float = measured_at("oil_pressure_elevation_5021")
    oil_pressure_elevation_5022: float = measured("Oil pressure elevation 5022.", unit="bar")
    oil_pressure_elevation_5022_timestamp: float = measured_at("oil_pressure_elevation_5022")
    oil_pressure_elevation_5023: float = measured("Oil pressure elevation 5023.", unit="bar")
    oil_pressure_elevation_5023_timestamp: float = measured_at("oil_pressure_elevation_5023")
    oil_pressure_elevation_5031: float = measured("Oil pressure elevation 5031.", unit="bar")
    oil_pressure_elevation_5031_timestamp: float = measured_at("oil_pressure_elevation_5031")
    oil_pressure_elevation_5032: float = measured("Oil pressure elevation 5032.", unit="bar")
    oil_pressure_elevation_5032_timestamp: float = measured_at("oil_pressure_elevation_5032")
    oil_pressure_elevation_5033: float = measured("Oil pressure elevation 5033.", unit="bar")
    oil_pressure_elevation_5033_timestamp: float = measured_at("oil_pressure_elevation_5033")
    oil_pressure_elevation_5034: float = measured("Oil pressure elevation 5034.", unit="bar")
    oil_pressure_elevation_5034_timestamp: float = measured_at("oil_pressure_elevation_5034")
    oil_pressure_facilities_5001: float = measured("Oil pressure facilities 5001.", unit="bar")
    oil_pressure_facilities_5001_timestamp: float = measured_at("oil_pressure_facilities_5001")
    oil_pressure_facilities_5002: float = measured("Oil pressure facilities 5002.", unit="bar")
    oil_pressure_facilities_5002_timestamp: float = measured_at("oil_pressure_facilities_5002")
    oil_pressure_facilities_5003: float = measured("Oil pressure facilities 5003.", unit="bar")
    oil_pressure_facilities_5003_timestamp: float = measured_at("oil_pressure_facilities_5003")
    oil_pressure_facilities_5004: float = measured("Oil pressure facilities 5004.", unit="bar")
    oil_pressure_facilities_5004_timestamp: float = measured_at("oil_pressure_facilities_5004")
    oil_pressure_facilities_5005: float = measured("Oil pressure facilities 5005.", unit="bar")
    oil_pressure_facilities_5005_timestamp: float = measured_at("oil_pressure_facilities_5005")
    oil_pressure_facilities_5006: float = measured("Oil pressure facilities 5006.", unit="bar")
    oil_pressure_facilities_5006_timestamp: float = measured_at("oil_pressure_facilities_5006")
    oil_pressure_facilities_5007: float = measured("Oil pressure facilities 5007.", unit="bar")
    oil_pressure_facilities_5007_timestamp: float = measured_at("oil_pressure_facilities_5007")
    oil_pressure_facilities_5008: float = measured("Oil pressure facilities 5008.", unit="bar")
    oil_pressure_facilities_5008_timestamp: float = measured_at("oil_pressure_facilities_5008")
    oil_pressure_facilities_5011: float = measured("Oil pressure facilities 5011.", unit="bar")
    oil_pressure_facilities_5011_timestamp: float = measured_at("oil_pressure_facilities_5011")
    oil_pressure_facilities_5012: float = measured("Oil pressure facilities 5012.", unit="bar")
    oil_pressure_facilities_5012_timestamp: float = measured_at("oil_pressure_facilities_5012")
    oil_pressure_facilities_5013: float = measured("Oil pressure facilities 5013.", unit="bar")
    oil_pressure_facilities_5013_timestamp: float = measured_at("oil_pressure_facilities_5013")
    oil_pressure_facilities_5021: float = measured("Oil pressure facilities 5021.", unit="bar")
    oil_pressure_facilities_5021_timestamp: float = measured_at("oil_pressure_facilities_5021")
    oil_pressure_facilities_5031: float = measured("Oil pressure facilities 5031.", unit="bar")
    oil_pressure_facilities_5031_timestamp: float = measured_at("oil_pressure_facilities_5031")
    oil_pressure_facilities_5051: float = measured("Oil pressure facilities 5051.", unit="bar")
    oil_pressure_facilities_5051_timestamp: float = measured_at("oil_pressure_facilities_5051")
    oil_pressure_facilities_5052: float = measured("Oil pressure facilities 5052.", unit="bar")
    oil_pressure_facilities_5052_timestamp: float = measured_at("oil_pressure_facilities_5052")
    oil_pressure_facilities_5053: float = measured("Oil pressure facilities 5053.", unit="bar")
    oil_pressure_facilities_5053_timestamp: float = measured_at("oil_pressure_facilities_5053")
    oil_pressure_facilities_5054: float = measured("Oil pressure facilities 5054.", unit="bar")
    oil_pressure_facilities_5054_timestamp: float = measured_at("oil_pressure_facilities_5054")
    oil_pressure_facilities_5055: float = measured("Oil pressure facilities 5055.", unit="bar")
    oil_pressure_facilities_5055_timestamp: float = measured_at("oil_pressure_facilities_5055")
    oil_pressure_facilities_5056: float = measured("Oil pressure facilities 5056.", unit="bar")
    oil_pressure_facilities_5056_timestamp: float = measured_at("oil_pressure_facilities_5056")
    oil_pressure_facilities_5057: float = measured("Oil pressure facilities 5057.", unit="bar")
    oil_pressure_facilities_5057_timestamp: float = measured_at("oil_pressure_facilities_5057")
    oil_temperature_azimuth_5001: float = measured("Oil temperature azimuth 5001.", unit="°C")
    oil_temperature_azimuth_5001_timestamp: float = measured_at("oil_temperature_azimuth_5001")
    oil_temperature_azimuth_5011: float = measured("Oil temperature azimuth 5011.", unit="°C")
    oil_temperature_azimuth_5011_timestamp: float = measured_at("oil_temperature_azimuth_5011")
    oil_temperature_azimuth_5021: float = measured("Oil temperature azimuth 5021.", unit="°C")
    oil_temperature_azimuth_5021_timestamp: float = measured_at("oil_temperature_azimuth_5021")
    oil_temperature_azimuth_5031: float = measured("Oil temperature azimuth 5031.", unit="°C")
    oil_temperature_azimuth_5031_timestamp: float = measured_at("oil_temperature_azimuth_5031")
    oil_temperature_azimuth_5041: float = measured("Oil temperature azimuth 5041.", unit="°C")
    oil_temperature_azimuth_5041_timestamp: float = measured_at("oil_temperature_azimuth_5041")
    oil_temperature_azimuth_5051: float = measured("Oil temperature azimuth 5051.", unit="°C")
    oil_temperature_azimuth_5051_timestamp: float = measured_at("oil_temperature_azimuth_5051")
    oil_temperature_elevation_5001: float = measured("Oil temperature elevation 5001.", unit="°C")
    oil_temperature_elevation_5001_timestamp: float = measured_at("oil_temperature_elevation_5001")
    oil_temperature_elevation_5011: float = measured("Oil temperature elevation 5011.", unit="°C")
    oil_temperature_elevation_5011_timestamp: float = measured_at("oil_temperature_elevation_5011")
    oil_temperature_elevation_5021: float = measured("Oil temperature elevation 5021.", unit="°C")
    oil_temperature_elevation_5021_timestamp: float = measured_at("oil_temperature_elevation_5021")
    oil_temperature_elevation_5031: float = measured("Oil temperature elevation 5031.", unit="°C")
    oil_temperature_elevation_5031_timestamp: float = measured_at("oil_temperature_elevation_5031")
    oil_temperature_elevation_5101: float = measured("Oil temperature elevation 5101.", unit="°C")
    oil_temperature_elevation_5101_timestamp: float = measured_at("oil_temperature_elevation_5101")
    oil_temperature_elevation_5111: float = measured("Oil temperature elevation 5111.", unit="°C")
    oil_temperature_elevation_5111_timestamp: float = measured_at("oil_temperature_elevation_5111")
    oil_temperature_facilities_5001: float = measured("Oil temperature facilities 5001.", unit="°C")
    oil_temperature_facilities_5001_timestamp: float = measured_at("oil_temperature_facilities_5001")
    oil_temperature_facilities_5002: float = measured("Oil temperature facilities 5002.", unit="°C")
    oil_temperature_facilities_5002_timestamp: float = measured_at("oil_temperature_facilities_5002")
    oil_temperature_facilities_5011: float = measured("Oil temperature facilities 5011.", unit="°C")
    oil_temperature_facilities_5011_timestamp: float = measured_at("oil_temperature_facilities_5011")
    oil_temperature_facilities_5121: float = measured("Oil temperature facilities 5121.", unit="°C")
    oil_temperature_facilities_5121_timestamp: float = measured_at("oil_temperature_facilities_5121")
    setpoint_temperature_cabinets: float = measured("Set point temperature cabinets.", unit="°C")
    setpoint_temperature_cabinets_timestamp: float = measured_at("setpoint_temperature_cabinets")
    valve_position_facilities_5201: float = measured("Valve position facilities 5201.", unit="%")
    valve_position_facilities_5201_timestamp: float = measured_at("valve_position_facilities_5201")


class SafetySystem(Topic):
    """The safety system."""

    topic_id = 26
    topic = "safetySystem"
    period: ClassVar[float | None] = 0.2
    brake_pressure_az: tuple[float, ...] = measured("Brake pressure azimuth.", unit="bar", count=8)
    brake_pressure_az_timestamp: tuple[float, ...] = measured_at("brake_pressure_az")
    brake_pressure_el: tuple[float, ...] = measured("Brake pressure elevation.", unit="bar", count=2)
    brake_pressure_el_timestamp: tuple[float, ...] = measured_at("brake_pressure_el")
    version_number: float = measured("Version of the safety program.")
    version_number_timestamp: float = measured_at("version_number")


class TopEndChiller(Topic):
    """The top-end chiller."""

    topic_id = 27
    topic = "topEndChiller"
    period: ClassVar[float | None] = 0.1
    actual_temperature_ambient: float = measured("Temperature ambient.", unit="°C")
    actual_temperature_ambient_timestamp: float = measured_at("actual_temperature_ambient")
    ambient_relative_humidity_sensor_0501: float = measured(
        "Ambient relative humidity sensor 0501.", unit="%"
    )
    ambient_relative_humidity_sensor_0501_timestamp: float = measured_at(
        "ambient_relative_humidity_sensor_0501"
    )
    ambient_relative_humidity_sensor_0502: float = measured(
        "Ambient relative humidity sensor 0502.", unit="%"
    )
    ambient_relative_humidity_sensor_0502_timestamp: float = measured_at(
        "ambient_relative_humidity_sensor_0502"
    )
    ambient_relative_humidity_sensor_0504: float = measured(
        "Ambient relative humidity sensor 0504.", unit="%"
    )
    ambient_relative_humidity_sensor_0504_timestamp: float = measured_at(
        "ambient_relative_humidity_sensor_0504"
    )
    ambient_relative_humidity_sensor_0505: float = measured(
        "Ambient relative humidity sensor 0505.", unit="%"
    )
    ambient_relative_humidity_sensor_0505_timestamp: float = measured_at(
        "ambient_relative_humidity_sensor_0505"
    )
    ambient_temperature: float = measured("Ambient temperature.", unit="°C")
    ambient_temperature_timestamp: float = measured_at("ambient_temperature")
    ambient_temperature_sensor_0502: float = measured("Ambient temperature sensor 0502.", unit="°C")
    ambient_temperature_sensor_0502_timestamp: float = measured_at("ambient_temperature_sensor_0502")
    ambient_temperature_sensor_0504: float = measured("Ambient temperature sensor 0504.", unit="°C")
    ambient_temperature_sensor_0504_timestamp: float = measured_at("ambient_temperature_sensor_0504")
    ambient_temperature_sensor_0505: float = measured("Ambient temperature sensor 0505.", unit="°C")
    ambient_temperature_sensor_0505_timestamp: float = measured_at("ambient_temperature_sensor_0505")
    duct_temperature_sensor_0506: float = measured("Duct temperature sensor 0506.", unit="°C")
    duct_temperature_sensor_0506_timestamp: float = measured_at("duct_temperature_sensor_0506")
    duct_temperature_sensor_0507: float = measured("Duct temperature sensor 0507.", unit="°C")
    duct_temperature_sensor_0507_timestamp: float = measured_at("duct_temperature_sensor_0507")
    external_temperature_electrical_cabinet: tuple[float, ...] = measured(
        "External temperature electrical cabinet.", unit="°C", count=4
    )
    external_temperature_electrical_cabinet_timestamp: tuple[float, ...] = measured_at(
        "external_temperature_electrical_cabinet"
    )
    heat_exchanger_supply_temperature: float = measured("Heat exchanger supply temperature.", unit="°C")
    heat_exchanger_supply_temperature_timestamp: float = measured_at("heat_exchanger_supply_temperature")
    internal_temperature_electrical_cabinet: tuple[float, ...] = measured(
        "Internal temperature electrical cabinet.", unit="°C", count=4
    )
    internal_temperature_electrical_cabinet_timestamp: tuple[float, ...] = measured_at(
        "internal_temperature_electrical_cabinet"
    )
    temperature_sensor_0501: float = measured("Temperature sensor 0501.", unit="°C")
    temperature_sensor_0501_timestamp: float = measured_at("temperature_sensor_0501")
    three_way_valve_position_201: float = measured("Three way valve position 201.", unit="%")
    three_way_valve_position_201_timestamp: float = measured_at("three_way_valve_position_201")
    three_way_valve_position_202: float = measured("Three way valve position 202.", unit="%")
    three_way_valve_position_202_timestamp: float = measured_at("three_way_valve_position_202")


Topics: tuple[type[Topic], ...] = tuple(
    sorted(
        (each for each in Topic.__subclasses__() if each is not UnknownTopic), key=lambda each: each.topic_id
    )
)
"""Every topic class, in the order of their numbers."""

TopicDict: dict[int, type[Topic]] = {topic.topic_id: topic for topic in Topics}
"""The topic class of each number that has one."""

TIMED_TOPICS = frozenset(topic.topic_id for topic in (AzimuthDrives, Azimuth, ElevationDrives, Elevation))
"""The topics from which the clock offset is measured: the mount sends each of them every 50 ms."""

AnyTopic: Any = reduce(or_, Topics)
"""The union of all known topic types, for `msgspec`."""

_DTYPES: dict[type, Any] = {float: "number", int: "integer", bool: "boolean"}


@cache
def topic_facts() -> dict[int, TopicFacts]:
    """Return the facts about each topic by its number, in the order of the numbers."""
    return {topic.topic_id: _facts_of(topic) for topic in Topics}


def _facts_of(topic: type[Topic]) -> TopicFacts:
    stamps = {info.measured: info for info in topic.field_infos if info.measured}
    infos = [info for info in topic.field_infos if not info.measured]
    get: Any = attrgetter(*(member for info in infos for member, _ in info.members))
    # `get` returns a tuple, because each topic has at least two values.

    def values_of(decoded: object) -> tuple[float, ...]:
        return tuple(MISSING if value is UNSET else float(value) for value in get(decoded))

    return TopicFacts(
        number=topic.topic_id,
        name=topic.topic,
        period=topic.period,
        doc=(inspect.getdoc(topic) or "").partition("\n")[0],
        quantities=tuple(
            QuantityFacts(wire_name, info.unit, _DTYPES[info.dtype], info.doc, stamp)
            for info in infos
            for (_, wire_name), (_, stamp) in zip(info.members, stamps[info.name].members)
        ),
        parts=tuple((info.wire_name, info.count) for info in infos),
        values_of=get if all(info.dtype is float for info in infos) else values_of,
    )
