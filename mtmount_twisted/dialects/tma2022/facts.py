"""The facts about the mount's state in events and telemetry, for the page and the API; see `dialects.facts`.

A device has the name of its `System`. Beside these there are ``safety_system``, with the names of the bits
that are set in each mask, ``settings`` and ``operation_manager``.

It reads only the file of `faults`; no Twisted. Next to read: ``dialects.facts``, the shapes; `replies`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

from mtmount_twisted.dialects.facts import (
    LEAST_SPEED,
    MOST_DEGREES,
    MOST_SPEED,
    AlarmFact,
    AxisFact,
    DeviceFact,
    Fact,
    FactValue,
    MountFact,
    PositionFact,
    RangeFact,
    Severity,
)
from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.lines import SHOWN_BYTES

from . import faults
from .codec import decode_reply
from .enums import ChillerMode, LimitsMask, ReplyId, SubsystemId, System
from .envelope import read_reply_header
from .interlocks import INTERLOCKS
from .replies import (
    AvailableSettingsReply,
    AxisMotionStateReply,
    AzimuthToppleBlockReply,
    ChillerStateReply,
    DeployablePlatformsMotionStateReply,
    DetailedSettingsAppliedReply,
    ElevationLockingPinMotionStateReply,
    ErrorReply,
    HomedReply,
    InPositionReply,
    LimitsReply,
    MirrorCoverLocksMotionStateReply,
    MirrorCoversMotionStateReply,
    MotionControllerStateReply,
    OilSupplySystemStateReply,
    PowerStateReply,
    Reply,
    SafetyInterlocksReply,
    StateInfoReply,
    VersionInfoReply,
    WarningReply,
)
from .telemetry import Azimuth, CameraCableWrap, Elevation, Topic, topic_facts

SAFETY, SETTINGS, OPERATION_MANAGER = "safety_system", "settings", "operation_manager"

DEVICES = (*(system.name.lower() for system in System), SAFETY, SETTINGS, OPERATION_MANAGER)
"""The names of all devices."""

AXES: dict[str, type[Topic]] = {
    "azimuth": Azimuth,
    "elevation": Elevation,
    "camera_cable_wrap": CameraCableWrap,
}
"""The topic with the motion of each axis."""


def facts_of(line: bytes) -> tuple[Fact, ...]:
    """Return the facts in the line of an event; none for an event of another kind, or a longer line.

    :raises LineError: if the line is not a reply.
    """
    if len(line) > SHOWN_BYTES:
        return ()
    event: Any = decode_reply(line)
    read = _READERS.get(type(event))
    return () if read is None else tuple(read(event))


MOTION_CODES = frozenset(
    map(
        int,
        (
            ReplyId.IN_POSITION,
            ReplyId.AXIS_MOTION_STATE,
            ReplyId.HOMED,
            ReplyId.POWER_STATE,
            ReplyId.DETAILED_SETTINGS_APPLIED,
        ),
    )
)
"""The events about the motion of an axis, or about its range."""


def read_event(line: bytes) -> tuple[float, tuple[Fact, ...]]:
    """Return the time stamp of an event (TAI s) and its facts, including the facts in the settings.

    :raises LineError: if the line is not a reply, or is longer than any event but that with the settings.
    """
    if len(line) > SHOWN_BYTES and read_reply_header(line).id != ReplyId.DETAILED_SETTINGS_APPLIED:
        raise LineError(line[:SHOWN_BYTES], f"expected an event of at most {SHOWN_BYTES} bytes")
    event: Any = decode_reply(line)
    read = _READERS.get(type(event), _ranges if isinstance(event, DetailedSettingsAppliedReply) else None)
    return event.timestamp, () if read is None else tuple(read(event))


def _ranges(event: DetailedSettingsAppliedReply) -> list[Fact]:
    """Return the ranges of the axes (protocol-tma2022.rst, "State and settings"): the limits for commands or
    the software limits (L1), whichever are narrower. Adjustable software limits replace the others where they
    are enabled."""
    main, wraps = _group(event.main_axis), _group(event.cw)
    ranges: list[Fact] = []
    for axis, name in (("azimuth", "Azimuth"), ("elevation", "Elevation")):
        values = _group(main.get(name))
        low = _most(
            max,
            _enabled(values, "LimitsMinPosition"),
            _software_limit(values, "Negative"),
        )
        high = _most(
            min,
            _enabled(values, "LimitsMaxPosition"),
            _software_limit(values, "Positive"),
        )
        speeds = (
            _highest(values, "SoftmotionTrackingMaxSpeed"),
            _highest(values, "SoftmotionTrackingMaxAcceleration"),
        )
        ranges.append(RangeFact(axis, low, high, *speeds))
    wrap = _group(wraps.get("CCW"))
    soft_low = _setting(wrap, "MinSoftwareLimit") if wrap.get("NegativeSoftwareLimitEnable") else None
    soft_high = _setting(wrap, "MaxSoftwareLimit") if wrap.get("PositiveSoftwareLimitEnable") else None
    ranges.append(
        RangeFact(
            "camera_cable_wrap",
            _most(max, _setting(wrap, "MinPosition"), soft_low),
            _most(min, _setting(wrap, "MaxPosition"), soft_high),
            _highest(wrap, "TrackingSpeed"),
            _highest(wrap, "TrackingAcceleration"),
        )
    )
    return ranges


def _group(value: Any) -> Mapping[str, Any]:
    """Return a group of settings; an empty one if the mount left it out."""
    return value if isinstance(value, Mapping) else {}


def _setting(values: Mapping[str, Any], name: str) -> float | None:
    value: Any = values.get(name)
    if type(value) not in (int, float):
        return None
    try:
        return _number(float(value))
    except OverflowError:  # an integer of hundreds of digits
        return None


def _highest(values: Mapping[str, Any], name: str) -> float | None:
    """Return a highest velocity or acceleration; None if no axis can have it."""
    found = _setting(values, name)
    return found if found is not None and LEAST_SPEED <= abs(found) <= MOST_SPEED else None


def _enabled(values: Mapping[str, Any], name: str) -> float | None:
    """Return a limit; None if it is disabled."""
    return _setting(values, f"{name}Value") if values.get(f"{name}Enable") else None


def _software_limit(values: Mapping[str, Any], side: str) -> float | None:
    adjustable = _enabled(values, f"Limits{side}AdjustableSoftwareLimit")
    return _enabled(values, f"Limits{side}SoftwareLimit") if adjustable is None else adjustable


def _most(choose: Callable[[list[float]], float], *limits: float | None) -> float | None:
    known = [limit for limit in limits if limit is not None and abs(limit) <= MOST_DEGREES]
    return choose(known) if known else None


def position_of(topic: Any) -> PositionFact:
    """Return the motion of an axis in its topic, one of `AXES`."""
    return PositionFact(
        position=_angle(topic.actual_position),
        demand_position=_angle(topic.demand_position),
        velocity=_speed(topic.actual_velocity),
        demand_velocity=_speed(topic.demand_velocity),
        torque=_number(getattr(topic, "actual_torque", math.nan)),
        position_at=_number(topic.actual_position_timestamp),
        demand_at=_number(topic.demand_position_timestamp),
    )


def position_in(topic_id: int, values: Sequence[float]) -> PositionFact:
    """Return the motion of an axis from the values of its topic, one of `AXES`, without time stamps."""
    quantities = topic_facts()[topic_id].quantities
    numbers = {
        each.name: value for each, value in zip(quantities, values, strict=True) if math.isfinite(value)
    }
    return PositionFact(
        position=_angle(numbers.get("actualPosition", math.nan)),
        demand_position=_angle(numbers.get("demandPosition", math.nan)),
        velocity=_speed(numbers.get("actualVelocity", math.nan)),
        demand_velocity=_speed(numbers.get("demandVelocity", math.nan)),
        torque=numbers.get("actualTorque"),
    )


def _number(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _angle(angle: float) -> float | None:
    """Return an angle of an axis; None if it is missing or impossible."""
    return angle if abs(angle) <= MOST_DEGREES else None


def _speed(speed: float) -> float | None:
    """Return a velocity of an axis; None if it is missing or impossible."""
    return speed if abs(speed) <= MOST_SPEED else None


MOST_PARTS = 100
"""The largest number of parts of a device in a fact. The azimuth has 16 drives. An event of 4 KiB may have
hundreds of masks with a dozen names each, for which each reader of the state would pay."""


@lru_cache(maxsize=1 << len(LimitsMask))
def _names_in(limits: LimitsMask) -> tuple[str, ...]:
    """Return the names of the limits in a mask: Python takes 70 µs to take one apart."""
    return tuple(limit.name or "" for limit in limits)


def _value(value: Any) -> FactValue:
    """Return a value of a reply as a value of a fact."""
    if isinstance(value, LimitsMask):
        return _names_in(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple):
        return tuple(map(_value, value[:MOST_PARTS]))
    return _number(value) if isinstance(value, float) else value


def _device(device: str, *things: tuple[str, Any, str]) -> list[DeviceFact]:
    """Return the facts about a device: names, values and units. A value of None is left out."""
    return [
        DeviceFact(device, name, _value(value), unit) for name, value, unit in things if value is not None
    ]


def _of_system(system: System, *things: tuple[str, Any, str]) -> list[DeviceFact]:
    return _device(system.name.lower(), *things)


def _mount(event: StateInfoReply) -> list[Fact]:
    return [MountFact(event.state)]


def _axis(event: InPositionReply) -> list[Fact]:
    return [AxisFact(event.axis.name.lower(), event.in_position)]


def _power(event: PowerStateReply) -> list[DeviceFact]:
    parts = event.elements_power_state
    return _of_system(event.system, ("power", event.power_state, ""), ("parts_power", parts, ""))


def _axis_motion(event: AxisMotionStateReply) -> list[DeviceFact]:
    target = math.nan if _angle(event.position) is None else event.position
    return _of_system(event.axis, ("motion", event.state, ""), ("target", target, "deg"))


def _oil(event: OilSupplySystemStateReply) -> list[DeviceFact]:
    return _of_system(
        System.OIL_SUPPLY_SYSTEM,
        ("cooling", event.cooling, ""),
        ("circulation_pump", event.oil, ""),
        ("main_pump", event.main_pump, ""),
    )


def _chiller(event: ChillerStateReply) -> list[DeviceFact]:
    modes = event.chiller_mode or ()
    # The set point of a valve that is set by hand is in % (protocol-tma2022.rst, "The replies and events").
    return _of_system(
        event.system,
        ("setpoints", event.temperature, "% or °C" if ChillerMode.SET_VALVE_POSITION in modes else "°C"),
        ("follows_ambient", event.follows_ambient or None, ""),
        ("modes", event.chiller_mode, ""),
    )


def _drives(event: MotionControllerStateReply) -> list[DeviceFact]:
    return _of_system(event.system, ("drives", event.motion_controller_state, ""))


def _moving(system: System) -> Callable[[Any], list[DeviceFact]]:
    def read(event: Any) -> list[DeviceFact]:
        return _of_system(system, ("motion", event.state, ""), ("parts_motion", event.elements_state, ""))

    return read


def _homed(event: HomedReply) -> list[DeviceFact]:
    return _of_system(event.axis, ("homed", event.homed, ""))


def _limits(event: LimitsReply) -> list[DeviceFact]:
    return _of_system(event.system, ("limits", event.limits, ""))


def _topple_block(event: AzimuthToppleBlockReply) -> list[DeviceFact]:
    return _of_system(
        System.AZIMUTH,
        ("topple_block_reverse", event.reverse, ""),
        ("topple_block_forward", event.forward, ""),
    )


def _safety(event: SafetyInterlocksReply) -> list[DeviceFact]:
    masks = ((name, _bits(getattr(event, name), bits), "") for name, bits in INTERLOCKS.items())
    return _device(SAFETY, *masks)


MASK_BITS = 64
"""The number of bits of a mask (protocol-tma2022.rst, "The replies and events")."""


def _bits(mask: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the bits that are set. A bit that the documents lack has its number.

    JSON bounds no number: one of 4,000 digits has 13,000 bits. All bits beyond `MASK_BITS` are one item.
    """
    numbers = (bit for bit in range(MASK_BITS) if mask >> bit & 1)
    known = tuple(names[bit] if bit < len(names) else f"bit {bit}" for bit in numbers)
    return known if mask >> MASK_BITS in (0, -1) else (*known, "further bits")


def _sets(event: AvailableSettingsReply) -> list[DeviceFact]:
    return _device(SETTINGS, ("available_sets", tuple(each.name for each in event.sets), ""))


def _version(event: VersionInfoReply) -> list[DeviceFact]:
    return _device(OPERATION_MANAGER, ("version", event.version, ""))


def _warning(event: WarningReply) -> list[Fact]:
    return [_alarm("warning", event, event.active, False)]


def _error(event: ErrorReply) -> list[Fact]:
    return [_alarm("error", event, event.active, event.latched)]


_SEVERITIES: dict[Severity, str] = {"warning": faults.WARNING, "error": faults.ALARM}


def _alarm(severity: Severity, event: Any, active: bool, latched: bool) -> AlarmFact:
    known = event.subsystem_id in SubsystemId.__members__.values()
    return AlarmFact(
        severity=severity,
        code=event.code,
        subsystem=SubsystemId(event.subsystem_id).name if known else None,
        what=": ".join(filter(None, (event.subsystem_instance, event.name))),
        description=event.description,
        active=active,
        latched=latched,
        remedy=faults.remedy(_SEVERITIES[severity], event.subsystem_id, event.code, event.name),
    )


_READERS: dict[type[Reply], Callable[[Any], Iterable[Fact]]] = {
    StateInfoReply: _mount,
    InPositionReply: _axis,
    WarningReply: _warning,
    ErrorReply: _error,
    PowerStateReply: _power,
    AxisMotionStateReply: _axis_motion,
    OilSupplySystemStateReply: _oil,
    ChillerStateReply: _chiller,
    MotionControllerStateReply: _drives,
    ElevationLockingPinMotionStateReply: _moving(System.LOCKING_PINS),
    MirrorCoversMotionStateReply: _moving(System.MIRROR_COVERS),
    MirrorCoverLocksMotionStateReply: _moving(System.MIRROR_COVER_LOCKS),
    DeployablePlatformsMotionStateReply: _moving(System.DEPLOYABLE_PLATFORMS),
    HomedReply: _homed,
    LimitsReply: _limits,
    AzimuthToppleBlockReply: _topple_block,
    SafetyInterlocksReply: _safety,
    AvailableSettingsReply: _sets,
    VersionInfoReply: _version,
}
