"""Facts about the mount's state that an event reports, in one shape for each generation of the protocol.

`Dialect.facts_of` reads them from an event; `TelemetryFormat.position_of` reads a `PositionFact` from
telemetry. For a later generation that reports more, add a class here for a new kind of fact, or an attribute
with None as its default. Values only. Next to read: ``facts`` of each dialect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

MOST_DEGREES = 1000.0
"""The largest angle of an axis, in deg, to either side. A mount that sends a larger one is at fault, and the
angle counts as missing: the page draws the way between two angles. The azimuth turns by 270 deg."""

LEAST_SPEED, MOST_SPEED = 1e-6, 1000.0
"""The bounds of the limits that the settings give for the velocity of an axis, in deg/s, and for its
acceleration, in deg/s². A limit outside them counts as missing, and so does a velocity above `MOST_SPEED`.
The azimuth moves at 7 deg/s at most."""

Severity = Literal["warning", "error"]
"""The severity of an alarm."""


class AxisFact(Struct, frozen=True, gc=False):
    """The state of an axis.

    :ivar name: the axis: ``azimuth``, ``elevation``; ``axis 7`` for a number without a name.
    :ivar in_position: True if the axis is in position.
    """

    name: str
    in_position: bool


class MountFact(Struct, frozen=True, gc=False):
    """The state of the whole mount.

    :ivar description: the state, as the mount names it.
    """

    description: str


FactValue: TypeAlias = "bool | int | float | str | tuple[FactValue, ...] | None"
"""A value of a fact: members of an enumeration are names, and a number that is not finite is None."""


class DeviceFact(Struct, frozen=True, gc=False):
    """One quantity of a device.

    :ivar device: the device, such as ``oil_supply_system``.
    :ivar name: the quantity: ``power``, ``motion``, ``homed`` ...
    :ivar value: its value; a list of one value for each part of the device, if each part has the quantity.
    :ivar unit: the unit of a number; empty if there is none.
    """

    device: str
    name: str
    value: FactValue
    unit: str = ""


class PositionFact(Struct, frozen=True, gc=False):
    """The motion of an axis at one moment. A number that the mount did not send is None.

    :ivar position: the position, in deg; None beyond `MOST_DEGREES`.
    :ivar demand_position: the demanded position, in deg; None beyond `MOST_DEGREES`.
    :ivar velocity: the velocity, in deg/s; None beyond `MOST_SPEED`.
    :ivar demand_velocity: the demanded velocity, in deg/s; None beyond `MOST_SPEED`.
    :ivar torque: the torque, in N m; None for an axis that does not report it in this unit.
    :ivar position_at: the time of the measured position (TAI seconds since the unix epoch).
    :ivar demand_at: the time of the demanded position (TAI seconds since the unix epoch).
    """

    position: float | None
    demand_position: float | None
    velocity: float | None
    demand_velocity: float | None
    torque: float | None = None
    position_at: float | None = None
    demand_at: float | None = None


class RangeFact(Struct, frozen=True, gc=False):
    """The range of an axis in the mount's settings. A number that the settings lack is None.

    :ivar axis: the axis, such as ``azimuth``.
    :ivar low: the lowest position that commands and software limits allow, in deg; a limit beyond
        `MOST_DEGREES` does not count.
    :ivar high: the highest such position, in deg; likewise.
    :ivar velocity: the highest velocity of tracking, in deg/s; it counts from `LEAST_SPEED` to `MOST_SPEED`.
    :ivar acceleration: the highest acceleration of tracking, in deg/s²; likewise.
    """

    axis: str
    low: float | None
    high: float | None
    velocity: float | None
    acceleration: float | None


class AlarmFact(Struct, frozen=True, gc=False):
    """A warning or an error.

    :ivar code: the condition.
    :ivar subsystem: the name of the subsystem, such as ``MIRROR_COVERS``; None if it is unknown.
    :ivar what: the origin, as the mount names it.
    :ivar description: further text of the mount, or empty.
    :ivar active: True if the condition is present now.
    :ivar latched: True if the alarm lasts until its reset; always False for a warning.
    :ivar remedy: the vendor's advice; empty if there is none.
    """

    severity: Severity
    code: int
    subsystem: str | None
    what: str
    description: str
    active: bool
    latched: bool = False
    remedy: str = ""


Fact = AxisFact | MountFact | DeviceFact | AlarmFact | RangeFact
"""One fact; an event may report several."""


class Event(NamedTuple):
    """The facts that an event reports.

    :ivar came_at: the time of its arrival (UTC, s).
    :ivar timestamp: the mount's time stamp (TAI seconds since the unix epoch).
    """

    came_at: float
    timestamp: float
    facts: Sequence[Fact]
