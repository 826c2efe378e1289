"""The replies and events of the mount.

Each class is one reply of ``protocol-tma2022.rst``, "The replies and events". Five replies answer a command;
each is an `Answer`. All others are events, which the mount sends unasked. On the wire a reply is
``{"id": 3, "timestamp": 1758006630.0, "parameters": {"commander": 1, "sequenceId": 7}}``.

Values only: no Twisted, no I/O. Next to read: `reply_type`, which turns a class into a Struct; `codec`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, IntFlag
from functools import reduce
from operator import or_
from typing import Any, ClassVar

import msgspec

from mtmount_twisted.dialects.dialect import Meaning

from . import json_lines
from .enums import (
    AxisMotionState,
    ChillerMode,
    DeployableMotionState,
    ElevationLockingPinMotionState,
    LimitsMask,
    PowerState,
    ReplyId,
    Source,
    System,
)
from .reply_type import ReplyType, parameter

EPOCH_1904 = -2_082_844_800
"""Unix time of the start of the clock of LabVIEW, and so of the vendor's PXI."""


def unix_time(timestamp: float) -> float:
    """Return a timestamp of the mount in seconds since 1970.

    The PXI counts from 1904 without leap seconds, so its timestamps are 37 s behind TAI.
    """
    since_1904 = timestamp > 2_900_000_000  # 2061 if it counts from 1970; 1995 if it counts from 1904
    return timestamp + EPOCH_1904 if since_1904 else timestamp


class Reply(json_lines.Struct, metaclass=ReplyType):
    """Base class of all replies."""

    reply_id: ClassVar[ReplyId]
    """Id of all replies of the class; `UnknownReply` has none."""

    classification: ClassVar[Meaning] = Meaning.EVENT
    """Meaning of the reply for the command that it answers."""

    subject_names: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters that name the part of the mount that an event is about."""

    timestamp: float = parameter(
        "The time of sending: TAI seconds since the unix epoch, but see `unix_timestamp`.",
        unit="s",
        default=0.0,
    )
    commander: Source | None = parameter(
        "The only commander that receives the reply; None if all of them receive it.", default=None
    )

    @property
    def id(self) -> int:
        """The number of the reply; a `ReplyId` if it is known."""
        return self.reply_id

    @property
    def subject(self) -> tuple[Any, ...]:
        """Id and device of an event. A later event with the same subject replaces the earlier one."""
        return (int(self.id), *(getattr(self, name) for name in self.subject_names))

    @property
    def unix_timestamp(self) -> float:
        """The `timestamp` in seconds since 1970; see `unix_time`."""
        return unix_time(self.timestamp)

    def encode(self) -> bytes:
        """Return the reply as bytes for the wire, terminator included."""
        return json_lines.encode(self)

    def fields(self) -> dict[str, Any]:
        """Return the members by their names on the wire, enums as numbers."""
        content: dict[str, Any] = json_lines.lists(msgspec.to_builtins(self))
        return content

    def __reduce__(self) -> tuple[Any, ...]:
        values = {info.name: getattr(self, info.name) for info in type(self).field_infos}
        return _remade, (type(self), values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._shown())})"

    def _shown(self) -> list[str]:
        values = {info.name: getattr(self, info.name) for info in type(self).field_infos}
        return [f"{name}={_shown(value)}" for name, value in values.items() if value is not None]


def _remade(cls: Callable[..., Reply], values: dict[str, Any]) -> Reply:
    return cls(**values)


def _shown(value: Any) -> str:
    """Return Python source for a value. Settings are abbreviated, because they contain a password."""
    if isinstance(value, dict):
        return f"<{len(value)} settings>"
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, IntFlag):
        return f"{type(value).__name__}({int(value)})"
    return f"{type(value).__name__}.{value.name}" if isinstance(value, IntEnum) else repr(value)


class UnknownReply(Reply):
    """A reply with an unknown id, or with parameters that its class does not have.

    :ivar id: its number.
    :ivar parameters: its parameters as received.
    :ivar problem: mismatch between parameters and class; empty if the id has no class.
    """

    id: int
    timestamp: float
    parameters: dict[str, Any]
    problem: str = ""
    commander: Source | None = None

    def encode(self) -> bytes:
        """Return the reply as bytes for the wire, terminator included."""
        return json_lines.dump(self.fields())

    def fields(self) -> dict[str, Any]:
        """Return the members by their names on the wire."""
        return {"id": self.id, "timestamp": self.timestamp, "parameters": self.parameters}

    def __reduce__(self) -> tuple[Any, ...]:
        names = ("id", "timestamp", "parameters", "problem", "commander")
        return _remade, (UnknownReply, {name: getattr(self, name) for name in names})

    def _shown(self) -> list[str]:
        names = ", ".join(self.parameters)
        shown = [f"id={self.id}", f"timestamp={self.timestamp}", f"parameters=<{names}>"]
        return shown + [f"problem={self.problem!r}"] if self.problem else shown


class Answer(Reply):
    """Base class of the replies that answer one command."""

    sequence_id: int = parameter("The `sequence_id` of the command that it answers.")


class CmdAcknowledgedReply(Answer):
    """The command was accepted and has begun."""

    reply_id = ReplyId.CMD_ACKNOWLEDGED
    classification = Meaning.ACKNOWLEDGED
    timeout: float | None = parameter(
        "The expected time until the end of the command; -1 for a track command, None if it is not known.",
        unit="s",
        default=None,
        null=True,
    )


class CmdRejectedReply(Answer):
    """The command was refused before it began."""

    reply_id = ReplyId.CMD_REJECTED
    classification = Meaning.REJECTED
    explanation: str = parameter("Reason, in the mount's own words.")


class CmdSucceededReply(Answer):
    """The command is finished."""

    reply_id = ReplyId.CMD_SUCCEEDED
    classification = Meaning.SUCCEEDED


class CmdFailedReply(Answer):
    """The command failed after it had begun."""

    reply_id = ReplyId.CMD_FAILED
    classification = Meaning.FAILED
    explanation: str = parameter("Reason, in the mount's own words.")


class CmdSupersededReply(Answer):
    """A later command took the place of this one. If the later one is unknown, its parameters here are 0."""

    reply_id = ReplyId.CMD_SUPERSEDED
    classification = Meaning.SUPERSEDED
    superseding_sequence_id: int = parameter("The `sequence_id` of the later command.", default=0)
    superseding_commander: Source = parameter("The source of the later command.", default=Source.NONE)
    superseding_command_code: int = parameter("The code of the later command, a `CommandCode`.", default=0)


class _Alarm(Reply):
    """Base class of warnings and errors."""

    subject_names: ClassVar[tuple[str, ...]] = ("subsystem_id", "subsystem_instance", "code", "name")
    name: str = parameter("The name of the condition.")
    subsystem_id: int = parameter("The subsystem, a `SubsystemId`.")
    subsystem_instance: str = parameter("The part of the subsystem, such as ``MyTopVI/MyNextVI``.")
    active: bool = parameter("True while the condition is present.")
    code: int = parameter("The number of the condition.")
    description: str = parameter("The condition in words.")


class WarningReply(_Alarm):
    """A warning began or ended."""

    reply_id = ReplyId.WARNING


class ErrorReply(_Alarm):
    """An alarm began or ended."""

    reply_id = ReplyId.ERROR
    latched: bool = parameter("True from the condition's beginning until it is reset.")


class CommanderReply(Reply):
    """Another commander has command, or none has it."""

    reply_id = ReplyId.COMMANDER
    actual_commander: Source = parameter("The commander that has command.")


class SafetyInterlocksReply(Reply):
    """The state of the safety system: masks of 64 bits."""

    reply_id = ReplyId.SAFETY_INTERLOCKS
    causes: int = parameter("Causes, 36 bits.")
    subcauses_emergency_stop: int = parameter("Emergency stops, 40 bits.")
    subcauses_limit_switch: int = parameter("Limit switches, 10 bits.")
    subcauses_deployable_platform: int = parameter("Deployable platforms, 16 bits.")
    subcauses_door_hatch_ladder: int = parameter("Doors, hatches and ladders, 8 bits.")
    subcauses_mirror_cover: int = parameter("Mirror cover, 2 bits.")
    subcauses_locking_pin: int = parameter("Locking pins, 6 bits.")
    subcauses_capacitor_door: int = parameter("Doors of the capacitors, 8 bits.")
    subcauses_brakes_failed: int = parameter("Brakes, 10 bits.")
    effects: int = parameter("Effects, 17 bits.")


Group = dict[str, Any]
"""A group of settings: values, or parts with values, by their names on the wire."""


class DetailedSettingsAppliedReply(Reply):
    """The settings in use, in 19 groups; a group that the mount left out is None.

    `bosch_system` holds a password in clear: `envelope.mask_password` takes it out of a line.
    """

    reply_id = ReplyId.DETAILED_SETTINGS_APPLIED
    set_name: str = parameter("The name of the set.")
    all_settings_match_set: bool = parameter("True if nothing was changed since the set was loaded.")
    balancing: Group | None = parameter("Balancing, 4 parts.", default=None, wire_name="Balancing")
    bosch_system: Group | None = parameter("Motion controller.", default=None, wire_name="BoschSystem")
    cw: Group | None = parameter(
        "Cable wraps: ``ACW`` azimuth, ``CCW`` camera.", default=None, wire_name="CW"
    )
    deployable_platform: Group | None = parameter(
        "Deployable platforms, 2 parts.", default=None, wire_name="DeployablePlatform"
    )
    encoder_system: Group | None = parameter("Encoder heads.", default=None, wire_name="EncoderSystem")
    locking_pins: Group | None = parameter("Locking pins, 2 parts.", default=None, wire_name="LockingPins")
    main_axis: Group | None = parameter(
        "``Azimuth`` and ``Elevation``: limits and velocities.", default=None, wire_name="MainAxis"
    )
    main_axis_soft_motion: Group | None = parameter(
        "Motion of the main axes.", default=None, wire_name="MainAxisSoftMotion"
    )
    main_cabinet_temperature: Group | None = parameter(
        "Main cabinet.", default=None, wire_name="MainCabinetTemperature"
    )
    main_power_supply: Group | None = parameter(
        "Power supply of the main axes.", default=None, wire_name="MainPowerSupply"
    )
    mirror_cover: Group | None = parameter("Mirror covers, 4 parts.", default=None, wire_name="MirrorCover")
    mirror_cover_locks: Group | None = parameter(
        "Mirror cover locks, 4 parts.", default=None, wire_name="MirrorCoverLocks"
    )
    modbus_temperature_controllers: Group | None = parameter(
        "Temperature controllers, 5 parts.", default=None, wire_name="ModbusTemperatureControllers"
    )
    motor_thermal_control: Group | None = parameter(
        "Thermal control of the motors, 6 parts.", default=None, wire_name="MotorThermalControl"
    )
    oss: Group | None = parameter("Oil supply system.", default=None, wire_name="OSS")
    safety: Group | None = parameter("Safety system.", default=None, wire_name="Safety")
    tma_main_rt: Group | None = parameter("Real-time program.", default=None, wire_name="TMAMainRT")
    top_end_chiller: Group | None = parameter("Top-end chiller.", default=None, wire_name="TopEndChiller")
    tracking_trajectory: Group | None = parameter(
        "Trajectories in tracking.", default=None, wire_name="TrackingTrajectory"
    )


class SettingsSet(msgspec.Struct, frozen=True, rename="camel"):
    """One set of settings that can be loaded."""

    name: str
    description: str
    created_date: str
    modified_date: str


class AvailableSettingsReply(Reply):
    """The sets of settings that can be loaded."""

    reply_id = ReplyId.AVAILABLE_SETTINGS
    sets: tuple[SettingsSet, ...] = parameter("The sets.")


class StateInfoReply(Reply):
    """The Operation Manager's own state, at a connection and after a change. The mock controller sends no
    such event."""

    reply_id = ReplyId.STATE_INFO
    state: str = parameter("The state, such as ``Enable`` or ``Connecting to PXI``.")


class VersionInfoReply(Reply):
    """The Operation Manager's version."""

    reply_id = ReplyId.VERSION_INFO
    version: str = parameter("The version.")


class PowerStateReply(Reply):
    """The power of a device."""

    reply_id = ReplyId.POWER_STATE
    subject_names: ClassVar[tuple[str, ...]] = ("system",)
    system: System = parameter("The device.")
    power_state: PowerState = parameter("Its power.")
    # A mount sends "elementsPowerState". The observatory's client reads "elementPowerState", and so drops
    # the event of every device with parts (protocol-tma2022.rst, "The replies and events").
    elements_power_state: tuple[PowerState, ...] | None = parameter(
        "The power of each of its parts; None if it has only one.", default=None
    )


class AxisMotionStateReply(Reply):
    """The motion of an axis."""

    reply_id = ReplyId.AXIS_MOTION_STATE
    subject_names: ClassVar[tuple[str, ...]] = ("axis",)
    axis: System = parameter("The axis: AZIMUTH, ELEVATION or CAMERA_CABLE_WRAP.")
    state: AxisMotionState = parameter("Its motion.")
    position: float = parameter("Where a point-to-point move goes.", unit="deg")


class OilSupplySystemStateReply(Reply):
    """The power of the parts of the oil supply system."""

    reply_id = ReplyId.OIL_SUPPLY_SYSTEM_STATE
    cooling: PowerState = parameter("The cooling.")
    oil: PowerState = parameter("The circulation pump.")
    main_pump: PowerState = parameter("The main pump.")


class ChillerStateReply(Reply):
    """The thermal control of a device, part by part. It has `track_ambient` or `chiller_mode`."""

    reply_id = ReplyId.CHILLER_STATE
    subject_names: ClassVar[tuple[str, ...]] = ("system",)
    system: System = parameter("The device.")
    temperature: tuple[float, ...] = parameter("Set points; in % where the valve is set by hand.", unit="°C")
    track_ambient: tuple[bool, ...] | None = parameter(
        "True where the ambient temperature is followed; the mock controller sends this.", default=None
    )
    chiller_mode: tuple[ChillerMode, ...] | None = parameter(
        "The mode; the vendor sends this since 2023-05.", default=None
    )

    @property
    def follows_ambient(self) -> tuple[bool, ...]:
        """True for each part that follows the ambient temperature, from the parameter that the mount sent."""
        if self.track_ambient is not None:
            return self.track_ambient
        return tuple(mode == ChillerMode.TRACK_AMBIENT for mode in self.chiller_mode or ())


class MotionControllerStateReply(Reply):
    """The state of the drives of a device."""

    reply_id = ReplyId.MOTION_CONTROLLER_STATE
    subject_names: ClassVar[tuple[str, ...]] = ("system",)
    system: System = parameter("The device.")
    motion_controller_state: tuple[PowerState, ...] = parameter("OFF, ON or FAULT of each drive.")


class InPositionReply(Reply):
    """An axis came into position, or left it."""

    reply_id = ReplyId.IN_POSITION
    subject_names: ClassVar[tuple[str, ...]] = ("axis",)
    axis: System = parameter("The axis: AZIMUTH, ELEVATION or CAMERA_CABLE_WRAP.")
    in_position: bool = parameter("True if it is in position.")


class ElevationLockingPinMotionStateReply(Reply):
    """The motion of the elevation locking pins."""

    reply_id = ReplyId.ELEVATION_LOCKING_PIN_MOTION_STATE
    state: ElevationLockingPinMotionState = parameter("The motion of all pins together.")
    elements_state: tuple[ElevationLockingPinMotionState, ...] = parameter("The motion of each of 2 pins.")


class MirrorCoversMotionStateReply(Reply):
    """The motion of the mirror covers."""

    reply_id = ReplyId.MIRROR_COVERS_MOTION_STATE
    state: DeployableMotionState = parameter("The motion of all covers together.")
    elements_state: tuple[DeployableMotionState, ...] = parameter("The motion of each of 4 covers.")


class MirrorCoverLocksMotionStateReply(Reply):
    """The motion of the mirror cover locks."""

    reply_id = ReplyId.MIRROR_COVER_LOCKS_MOTION_STATE
    state: DeployableMotionState = parameter("The motion of all locks together.")
    elements_state: tuple[DeployableMotionState, ...] = parameter("The motion of each of 4 locks.")


class DeployablePlatformsMotionStateReply(Reply):
    """The motion of the deployable platforms."""

    reply_id = ReplyId.DEPLOYABLE_PLATFORMS_MOTION_STATE
    state: DeployableMotionState = parameter("The motion of both platforms together.")
    elements_state: tuple[DeployableMotionState, ...] = parameter("The motion of each of 2 platforms.")


class HomedReply(Reply):
    """The homing state of an axis."""

    reply_id = ReplyId.HOMED
    subject_names: ClassVar[tuple[str, ...]] = ("axis",)
    axis: System = parameter("The axis: AZIMUTH or ELEVATION.")
    homed: bool = parameter("True if it is homed.")


class LimitsReply(Reply):
    """The limits that a device has reached."""

    reply_id = ReplyId.LIMITS
    subject_names: ClassVar[tuple[str, ...]] = ("system",)
    system: System = parameter("The device.")
    limits: tuple[LimitsMask, ...] = parameter("The limits of each part.")


class AzimuthToppleBlockReply(Reply):
    """The position of the topple block of the azimuth axis."""

    reply_id = ReplyId.AZIMUTH_TOPPLE_BLOCK
    reverse: bool = parameter("True if it is on the reverse side: -2 deg and below.")
    forward: bool = parameter("True if it is on the forward side: 2 deg and above.")


class EthercatManagementStatusReply(Reply):
    """The state of the management of EtherCAT, since 2025-01."""

    reply_id = ReplyId.ETHERCAT_MANAGEMENT_STATUS
    event_type: str = parameter("What happened, such as ``GetVersion``.")
    event_data: dict[str, Any] = parameter("Details of the event.")


def _leaves(branch: type[Reply]) -> tuple[type[Reply], ...]:
    own = (branch,) if "reply_id" in vars(branch) else ()
    return own + tuple(leaf for below in branch.__subclasses__() for leaf in _leaves(below))


Replies: tuple[type[Reply], ...] = tuple(sorted(_leaves(Reply), key=lambda reply: reply.reply_id))
"""Every reply class, in the order of their ids. `ReplyId` has two more ids; their parameters are unknown."""

ReplyDict: dict[int, type[Reply]] = {int(reply.reply_id): reply for reply in Replies}
"""The reply class of each id that has one."""

ANSWER_IDS = frozenset(reply_id for reply_id, reply in ReplyDict.items() if issubclass(reply, Answer))
"""The ids of the replies that answer one command; all others are events."""


def classify(reply_id: int) -> Meaning:
    """Return the meaning of a reply with this id for the command that it answers."""
    reply = ReplyDict.get(reply_id)
    return Meaning.EVENT if reply is None else reply.classification


def actual_commander(event: Reply) -> int | None:
    """Return the number of the source that has command, according to an event; None for another event.

    The number may be that of a source that this package does not know: then another component has command.
    """
    if isinstance(event, CommanderReply):
        return int(event.actual_commander)
    if isinstance(event, UnknownReply) and event.id == ReplyId.COMMANDER:
        number = json_lines.integer(event.parameters.get("actualCommander"))
        return number if type(number) is int else None
    return None


AnyReply: Any = reduce(or_, Replies)
"""Union of all reply classes, for `msgspec`."""
