"""The commands that a commander may send to the mount.

Each class is one command of ``protocol-tma2022.rst``, "The commands". On the wire every command begins with
the four fields of `Command`. "Deploy" closes the mirror covers, and "retract" opens them.

Values only: no Twisted, no I/O. Next to read: ``wire.messages``, which turns a class body into fields;
`codec`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, ClassVar, TypeVar

from mtmount_twisted.errors import FieldCountError
from mtmount_twisted.wire.fields import Kind
from mtmount_twisted.wire.messages import ClassOfCode, CommandMessage, code, leaves, parameter

from .enums import CommandCode, Source, ThermalMode
from .fields import kind_of
from .framing import LAYOUT

NUM_HEADER_FIELDS = 4
"""Number of fields before a command's parameters."""

C = TypeVar("C", bound="Command")


class Command(CommandMessage):
    """Base class of all commands.

    If a command is made without `sequence_id` and `timestamp`, both are 0 until a sender sets them, as in
    `ts_mtmount`. `replaced` returns the command to send.
    """

    kind_of: ClassVar[Callable[[type], Kind]] = staticmethod(kind_of)
    layout = LAYOUT

    sequence_id: int = parameter(
        "Identifies the command in its replies: 1 to 2147483647; 0 until it is sent.", default=0
    )
    command_code: ClassVar[CommandCode] = code("The code of the command.")
    source: Source = parameter("The component that sends it.", default=Source.CSC)
    timestamp: float = parameter(
        "The time of sending: TAI seconds since the unix epoch; 0 until it is sent.", unit="s", default=0
    )

    is_answered: ClassVar[bool] = True
    """True if the mount answers the command. Only `Heartbeat` gets no answer."""

    def fields(self) -> dict[str, Any]:
        """Return all fields by name in wire order, an enum as its number."""
        values = {info.name: getattr(self, info.name) for info in self.field_infos}
        return {name: int(value) if isinstance(value, IntEnum) else value for name, value in values.items()}

    def replaced(self: C, **changes: Any) -> C:
        """Return a copy of the command with some fields changed, such as `sequence_id` before sending."""
        same = {info.name: getattr(self, info.name) for info in self.field_infos if not info.constant}
        return type(self)(**{**same, **changes})


class Enable(Command):
    """Enable the mount. For the Operation Manager only: the mock controller rejects it."""

    command_code = CommandCode.ENABLE


class Disable(Command):
    """Disable the mount. For the Operation Manager only: the mock controller rejects it."""

    command_code = CommandCode.DISABLE


class BothAxesPower(Command):
    """Turn azimuth and elevation on or off."""

    command_code = CommandCode.BOTH_AXES_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class BothAxesStop(Command):
    """Stop azimuth and elevation."""

    command_code = CommandCode.BOTH_AXES_STOP
    is_stop = True


class BothAxesMove(Command):
    """Move azimuth and elevation to a position and stop there."""

    command_code = CommandCode.BOTH_AXES_MOVE
    azimuth: float = parameter("Azimuth to move to.", unit="deg")
    elevation: float = parameter("Elevation to move to.", unit="deg")
    azimuth_velocity: float = parameter(
        "Largest azimuth velocity on the way; 0 for the mount's own default.", unit="deg/s", default=0
    )
    elevation_velocity: float = parameter(
        "Largest elevation velocity on the way; 0 for the mount's own default.", unit="deg/s", default=0
    )
    azimuth_acceleration: float = parameter(
        "Largest azimuth acceleration on the way; 0 for the mount's own default.", unit="deg/s²", default=0
    )
    elevation_acceleration: float = parameter(
        "Largest elevation acceleration on the way; 0 for the mount's own default.", unit="deg/s²", default=0
    )
    azimuth_jerk: float = parameter(
        "Largest azimuth jerk on the way; 0 for the mount's own default.", unit="deg/s³", default=0
    )
    elevation_jerk: float = parameter(
        "Largest elevation jerk on the way; 0 for the mount's own default.", unit="deg/s³", default=0
    )


class BothAxesTrackTarget(Command):
    """Track with azimuth and elevation: one target of a stream."""

    command_code = CommandCode.BOTH_AXES_TRACK_TARGET
    ack_only = True
    azimuth: float = parameter("Azimuth at `tai`.", unit="deg")
    elevation: float = parameter("Elevation at `tai`.", unit="deg")
    azimuth_velocity: float = parameter("Azimuth velocity at `tai`.", unit="deg/s")
    elevation_velocity: float = parameter("Elevation velocity at `tai`.", unit="deg/s")
    tai: float = parameter("The time at which the target holds: TAI seconds since the unix epoch.", unit="s")


class BothAxesHome(Command):
    """Home azimuth and elevation."""

    command_code = CommandCode.BOTH_AXES_HOME


class BothAxesResetAlarm(Command):
    """Reset the alarms of azimuth and elevation."""

    command_code = CommandCode.BOTH_AXES_RESET_ALARM


class BothAxesEnableTracking(Command):
    """Enable tracking of azimuth and elevation; both must be homed."""

    command_code = CommandCode.BOTH_AXES_ENABLE_TRACKING


class MirrorCoverSystemDeploy(Command):
    """Close the mirror covers, with their locks."""

    command_code = CommandCode.MIRROR_COVER_SYSTEM_DEPLOY


class MirrorCoverSystemRetract(Command):
    """Open the mirror covers, with their locks."""

    command_code = CommandCode.MIRROR_COVER_SYSTEM_RETRACT


class AzimuthPower(Command):
    """Turn the azimuth axis on or off."""

    command_code = CommandCode.AZIMUTH_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class AzimuthStop(Command):
    """Stop the azimuth axis."""

    command_code = CommandCode.AZIMUTH_STOP
    is_stop = True


class AzimuthMove(Command):
    """Move the azimuth axis to a position and stop there."""

    command_code = CommandCode.AZIMUTH_MOVE
    position: float = parameter("Position to move to.", unit="deg")
    velocity: float = parameter(
        "Largest velocity on the way; 0 for the mount's own default.", unit="deg/s", default=0
    )
    acceleration: float = parameter(
        "Largest acceleration on the way; 0 for the mount's own default.", unit="deg/s²", default=0
    )
    jerk: float = parameter(
        "Largest jerk on the way; 0 for the mount's own default.", unit="deg/s³", default=0
    )


class AzimuthTrackTarget(Command):
    """Track with the azimuth axis: one target of a stream."""

    command_code = CommandCode.AZIMUTH_TRACK_TARGET
    ack_only = True
    position: float = parameter("Position at `tai`.", unit="deg")
    velocity: float = parameter("Velocity at `tai`.", unit="deg/s")
    tai: float = parameter("The time at which the target holds: TAI seconds since the unix epoch.", unit="s")


class AzimuthHome(Command):
    """Home the azimuth axis."""

    command_code = CommandCode.AZIMUTH_HOME


class AzimuthResetAlarm(Command):
    """Reset the alarms of the azimuth axis."""

    command_code = CommandCode.AZIMUTH_RESET_ALARM


class AzimuthEnableTracking(Command):
    """Enable tracking of the azimuth axis, which must be homed. A stop ends it."""

    command_code = CommandCode.AZIMUTH_ENABLE_TRACKING
    on: bool = parameter("True to enable, False to disable.")


class AzimuthDriveReset(Command):
    """Reset drives of the azimuth axis."""

    command_code = CommandCode.AZIMUTH_DRIVE_RESET
    drive: int = parameter("Drive; -1 for all.", default=-1)


class AzimuthDriveEnable(Command):
    """Enable or disable drives of the azimuth axis."""

    command_code = CommandCode.AZIMUTH_DRIVE_ENABLE
    drive: int = parameter("Drive; -1 for all.", default=-1)
    on: bool = parameter("True to enable, False to disable.")


class ElevationPower(Command):
    """Turn the elevation axis on or off."""

    command_code = CommandCode.ELEVATION_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class ElevationStop(Command):
    """Stop the elevation axis."""

    command_code = CommandCode.ELEVATION_STOP
    is_stop = True


class ElevationMove(Command):
    """Move the elevation axis to a position and stop there."""

    command_code = CommandCode.ELEVATION_MOVE
    position: float = parameter("Position to move to.", unit="deg")
    velocity: float = parameter(
        "Largest velocity on the way; 0 for the mount's own default.", unit="deg/s", default=0
    )
    acceleration: float = parameter(
        "Largest acceleration on the way; 0 for the mount's own default.", unit="deg/s²", default=0
    )
    jerk: float = parameter(
        "Largest jerk on the way; 0 for the mount's own default.", unit="deg/s³", default=0
    )


class ElevationTrackTarget(Command):
    """Track with the elevation axis: one target of a stream."""

    command_code = CommandCode.ELEVATION_TRACK_TARGET
    ack_only = True
    position: float = parameter("Position at `tai`.", unit="deg")
    velocity: float = parameter("Velocity at `tai`.", unit="deg/s")
    tai: float = parameter("The time at which the target holds: TAI seconds since the unix epoch.", unit="s")


class ElevationHome(Command):
    """Home the elevation axis."""

    command_code = CommandCode.ELEVATION_HOME


class ElevationResetAlarm(Command):
    """Reset the alarms of the elevation axis."""

    command_code = CommandCode.ELEVATION_RESET_ALARM


class ElevationEnableTracking(Command):
    """Enable tracking of the elevation axis, which must be homed. A stop ends it."""

    command_code = CommandCode.ELEVATION_ENABLE_TRACKING
    on: bool = parameter("True to enable, False to disable.")


class ElevationDriveReset(Command):
    """Reset drives of the elevation axis."""

    command_code = CommandCode.ELEVATION_DRIVE_RESET
    drive: int = parameter("Drive; -1 for all.", default=-1)


class ElevationDriveEnable(Command):
    """Enable or disable drives of the elevation axis."""

    command_code = CommandCode.ELEVATION_DRIVE_ENABLE
    drive: int = parameter("Drive; -1 for all.", default=-1)
    on: bool = parameter("True to enable, False to disable.")


class MainAxesPowerSupplyPower(Command):
    """Turn the power supply of the main axes on or off."""

    command_code = CommandCode.MAIN_AXES_POWER_SUPPLY_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class MainAxesPowerSupplyResetAlarm(Command):
    """Reset the alarms of the power supply of the main axes."""

    command_code = CommandCode.MAIN_AXES_POWER_SUPPLY_RESET_ALARM


class OilSupplySystemPower(Command):
    """Turn the oil supply system on or off; it must be in automatic mode."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class OilSupplySystemPowerCooling(Command):
    """Turn the cooling of the oil supply system on or off; it must be in manual mode."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_POWER_COOLING
    on: bool = parameter("True to turn on, False to turn off.")


class OilSupplySystemPowerCirculationPump(Command):
    """Turn the circulation pump of the oil supply system on or off; it must be in manual mode."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_POWER_CIRCULATION_PUMP
    on: bool = parameter("True to turn on, False to turn off.")


class OilSupplySystemPowerMainPump(Command):
    """Turn the main pump of the oil supply system on or off; it must be in manual mode."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_POWER_MAIN_PUMP
    on: bool = parameter("True to turn on, False to turn off.")


class OilSupplySystemResetAlarm(Command):
    """Reset the alarms of the oil supply system."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_RESET_ALARM


class OilSupplySystemSetMode(Command):
    """Set the mode of the oil supply system."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_SET_MODE
    auto: bool = parameter("True for automatic mode, False for manual mode.")


class OilSupplySystemCabinetsThermalSetpoint(Command):
    """Set the temperature of the cabinets of the oil supply system."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_CABINETS_THERMAL_SETPOINT
    setpoint: float = parameter("Temperature.", unit="°C")


class MirrorCoversPower(Command):
    """Turn the mirror covers on or off."""

    command_code = CommandCode.MIRROR_COVERS_POWER
    drive: int = parameter("Cover: 0 X+, 1 Y+, 2 X-, 3 Y-; -1 for all.", default=-1)
    on: bool = parameter("True to turn on, False to turn off.")


class MirrorCoversStop(Command):
    """Stop the mirror covers."""

    command_code = CommandCode.MIRROR_COVERS_STOP
    is_stop = True
    drive: int = parameter("Cover: 0 X+, 1 Y+, 2 X-, 3 Y-; -1 for all.", default=-1)


class MirrorCoversDeploy(Command):
    """Close the mirror covers."""

    command_code = CommandCode.MIRROR_COVERS_DEPLOY
    drive: int = parameter("Cover: 0 X+, 1 Y+, 2 X-, 3 Y-; -1 for all.", default=-1)


class MirrorCoversRetract(Command):
    """Open the mirror covers."""

    command_code = CommandCode.MIRROR_COVERS_RETRACT
    drive: int = parameter("Cover: 0 X+, 1 Y+, 2 X-, 3 Y-; -1 for all.", default=-1)


class MirrorCoversResetAlarm(Command):
    """Reset the alarms of the mirror covers."""

    command_code = CommandCode.MIRROR_COVERS_RESET_ALARM
    drive: int = parameter("Cover: 0 X+, 1 Y+, 2 X-, 3 Y-; -1 for all.", default=-1)


class CameraCableWrapPower(Command):
    """Turn the camera cable wrap on or off."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class CameraCableWrapStop(Command):
    """Stop the camera cable wrap."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_STOP
    is_stop = True


class CameraCableWrapMove(Command):
    """Move the camera cable wrap to a position and stop there."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_MOVE
    position: float = parameter("Position to move to.", unit="deg")
    velocity: float = parameter(
        "Largest velocity on the way; 0 for the mount's own default.", unit="deg/s", default=0
    )
    acceleration: float = parameter(
        "Largest acceleration on the way; 0 for the mount's own default.", unit="deg/s²", default=0
    )
    jerk: float = parameter(
        "Largest jerk on the way; 0 for the mount's own default.", unit="deg/s³", default=0
    )


class CameraCableWrapTrackTarget(Command):
    """Track with the camera cable wrap: one target of a stream."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_TRACK_TARGET
    ack_only = True
    position: float = parameter("Position at `tai`.", unit="deg")
    velocity: float = parameter("Velocity at `tai`.", unit="deg/s")
    tai: float = parameter("The time at which the target holds: TAI seconds since the unix epoch.", unit="s")


class CameraCableWrapResetAlarm(Command):
    """Reset the alarms of the camera cable wrap."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_RESET_ALARM


class CameraCableWrapDriveEnable(Command):
    """Enable or disable drives of the camera cable wrap."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_DRIVE_ENABLE
    drive: int = parameter("Drive.")
    on: bool = parameter("True to enable, False to disable.")


class CameraCableWrapDriveReset(Command):
    """Reset drives of the camera cable wrap."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_DRIVE_RESET
    drive: int = parameter("Drive; -1 for all.", default=-1)


class CameraCableWrapEnableTracking(Command):
    """Enable tracking of the camera cable wrap, or pause it. A stop ends it."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_ENABLE_TRACKING
    on: bool = parameter("True to enable or resume, False to pause.")


class MainCabinetThermalTrackAmbient(Command):
    """Let the main cabinet follow the ambient temperature, or a set point."""

    command_code = CommandCode.MAIN_CABINET_THERMAL_TRACK_AMBIENT
    track_ambient: bool = parameter("True to follow the ambient temperature, False to keep `setpoint`.")
    setpoint: float = parameter("Temperature.", unit="°C")


class MainCabinetThermalResetAlarm(Command):
    """Reset the alarms of the thermal control of the main cabinet."""

    command_code = CommandCode.MAIN_CABINET_THERMAL_RESET_ALARM


class MirrorCoverLocksPower(Command):
    """Turn the mirror cover locks on or off."""

    command_code = CommandCode.MIRROR_COVER_LOCKS_POWER
    drive: int = parameter("Lock; -1 for all. The vendor numbers the locks 4 to 7.", default=-1)
    on: bool = parameter("True to turn on, False to turn off.")


class MirrorCoverLocksStop(Command):
    """Stop the mirror cover locks."""

    command_code = CommandCode.MIRROR_COVER_LOCKS_STOP
    is_stop = True
    drive: int = parameter("Lock; -1 for all. The vendor numbers the locks 4 to 7.", default=-1)


class MirrorCoverLocksResetAlarm(Command):
    """Reset the alarms of the mirror cover locks."""

    command_code = CommandCode.MIRROR_COVER_LOCKS_RESET_ALARM
    drive: int = parameter("Lock; -1 for all. The vendor numbers the locks 4 to 7.", default=-1)


class MirrorCoverLocksMoveAll(Command):
    """Deploy or retract the mirror cover locks."""

    command_code = CommandCode.MIRROR_COVER_LOCKS_MOVE_ALL
    drive: int = parameter("Lock; -1 for all. The vendor numbers the locks 4 to 7.", default=-1)
    deploy: bool = parameter("True to deploy, False to retract.")


class MirrorCoverLocksLock(Command):
    """Lock the mirror cover locks."""

    command_code = CommandCode.MIRROR_COVER_LOCKS_LOCK
    drive: int = parameter("Lock; -1 for all. The vendor numbers the locks 4 to 7.", default=-1)


class MirrorCoverLocksUnlock(Command):
    """Unlock the mirror cover locks."""

    command_code = CommandCode.MIRROR_COVER_LOCKS_UNLOCK
    drive: int = parameter("Lock; -1 for all. The vendor numbers the locks 4 to 7.", default=-1)


class AzimuthDrivesThermalPower(Command):
    """Turn the thermal control of the azimuth drives on or off."""

    command_code = CommandCode.AZIMUTH_DRIVES_THERMAL_POWER
    drive: int = parameter("Drive; -1 for all.", default=-1)
    on: bool = parameter("True to turn on, False to turn off.")


class AzimuthDrivesThermalControlMode(Command):
    """Set the mode and the set point of the thermal control of the azimuth drives."""

    command_code = CommandCode.AZIMUTH_DRIVES_THERMAL_CONTROL_MODE
    drive: int = parameter("Drive; -1 for all.", default=-1)
    mode: ThermalMode = parameter("Meaning of `setpoint`.", default=ThermalMode.TRACK_SETPOINT)
    setpoint: float = parameter(
        "Temperature; in % where `mode` is SET_VALVE_POSITION, 1 or 0 for SET_AUTOTUNE.", unit="°C"
    )


class AzimuthDrivesThermalResetAlarm(Command):
    """Reset the alarms of the thermal control of the azimuth drives."""

    command_code = CommandCode.AZIMUTH_DRIVES_THERMAL_RESET_ALARM
    drive: int = parameter("Drive; -1 for all.", default=-1)


class ElevationDrivesThermalPower(Command):
    """Turn the thermal control of the elevation drives on or off."""

    command_code = CommandCode.ELEVATION_DRIVES_THERMAL_POWER
    drive: int = parameter("Drive; -1 for all.", default=-1)
    on: bool = parameter("True to turn on, False to turn off.")


class ElevationDrivesThermalControlMode(Command):
    """Set the mode and the set point of the thermal control of the elevation drives."""

    command_code = CommandCode.ELEVATION_DRIVES_THERMAL_CONTROL_MODE
    drive: int = parameter("Drive; -1 for all.", default=-1)
    mode: ThermalMode = parameter("Meaning of `setpoint`.", default=ThermalMode.TRACK_SETPOINT)
    setpoint: float = parameter(
        "Temperature; in % where `mode` is SET_VALVE_POSITION, 1 or 0 for SET_AUTOTUNE.", unit="°C"
    )


class ElevationDrivesThermalResetAlarm(Command):
    """Reset the alarms of the thermal control of the elevation drives."""

    command_code = CommandCode.ELEVATION_DRIVES_THERMAL_RESET_ALARM
    drive: int = parameter("Drive; -1 for all.", default=-1)


class SafetyReset(Command):
    """Reset causes of the safety interlocks."""

    command_code = CommandCode.SAFETY_RESET
    what: str = parameter("Indexes of the causes, 0 to 39, with ``:`` between them.")


class Cabinet0101ThermalPower(Command):
    """Turn the thermal control of cabinet 0101 on or off."""

    command_code = CommandCode.CABINET_0101_THERMAL_POWER
    drive: int = parameter("Cabinet; the vendor takes 0 always.", default=-1)
    on: bool = parameter("True to turn on, False to turn off.")


class Cabinet0101ThermalControlMode(Command):
    """Set the mode and the set point of the thermal control of cabinet 0101."""

    command_code = CommandCode.CABINET_0101_THERMAL_CONTROL_MODE
    drive: int = parameter("Cabinet; the vendor takes 0 always.", default=-1)
    mode: ThermalMode = parameter("Meaning of `setpoint`.", default=ThermalMode.TRACK_SETPOINT)
    setpoint: float = parameter(
        "Temperature; in % where `mode` is SET_VALVE_POSITION, 1 or 0 for SET_AUTOTUNE.", unit="°C"
    )


class Cabinet0101ThermalResetAlarm(Command):
    """Reset the alarms of the thermal control of cabinet 0101."""

    command_code = CommandCode.CABINET_0101_THERMAL_RESET_ALARM
    drive: int = parameter("Cabinet; the vendor takes 0 always.", default=-1)


class AskForCommand(Command):
    """Ask that a commander shall have command, or with NONE that command is released."""

    command_code = CommandCode.ASK_FOR_COMMAND
    needs_command = False
    commander: Source = parameter("Commander to have command; NONE releases it.", default=Source.CSC)


class TopEndChillerPowerOn(Command):
    """Turn the top-end chiller on."""

    command_code = CommandCode.TOP_END_CHILLER_POWER_ON


class TopEndChillerPowerOff(Command):
    """Turn the top-end chiller off."""

    command_code = CommandCode.TOP_END_CHILLER_POWER_OFF


class TopEndChillerResetAlarm(Command):
    """Reset the alarms of the top-end chiller."""

    command_code = CommandCode.TOP_END_CHILLER_RESET_ALARM


class TopEndChillerThermalSetpoint(Command):
    """Set the temperature of the top-end chiller, which must be on."""

    command_code = CommandCode.TOP_END_CHILLER_THERMAL_SETPOINT
    setpoint: float = parameter("Temperature.", unit="°C")


class GetActualSettings(Command):
    """Ask for the settings in use: event 40, `replies.DetailedSettingsAppliedReply`."""

    command_code = CommandCode.GET_ACTUAL_SETTINGS
    needs_command = False


class ApplySettingsSet(Command):
    """Load a set of settings by its name, on top of the settings in use."""

    command_code = CommandCode.APPLY_SETTINGS_SET
    settings: str = parameter("Name of the set, one of those in `replies.AvailableSettingsReply`.")


class RestoreDefaultSettings(Command):
    """Go back to the default settings."""

    command_code = CommandCode.RESTORE_DEFAULT_SETTINGS


class StateInfo(Command):
    """Ask for every event that the mount has."""

    command_code = CommandCode.STATE_INFO
    needs_command = False


class AuxiliaryCabinetsThermalResetAlarm(Command):
    """Reset the alarms of the thermal control of the auxiliary cabinets."""

    command_code = CommandCode.AUXILIARY_CABINETS_THERMAL_RESET_ALARM
    cabinet: int = parameter("Cabinet, 0 to 4; -1 for all.", default=-1)


class AuxiliaryCabinetsThermalSetpoint(Command):
    """Set the temperature of the auxiliary cabinets."""

    command_code = CommandCode.AUXILIARY_CABINETS_THERMAL_SETPOINT
    cabinet: int = parameter("Cabinet, 0 to 4; -1 for all.", default=-1)
    setpoint: float = parameter("Temperature.", unit="°C")


class AuxiliaryCabinetsThermalFanPower(Command):
    """Turn the fans of the auxiliary cabinets on or off."""

    command_code = CommandCode.AUXILIARY_CABINETS_THERMAL_FAN_POWER
    drive: int = parameter("Cabinet, 0 to 4; -1 for all.", default=-1)
    on: bool = parameter("True to turn on, False to turn off.")


class Heartbeat(Command):
    """Show once a second that the holder of command is alive.

    The mount sends no answer. The holder always sends `sequence_id` 0.
    """

    command_code = CommandCode.HEARTBEAT
    is_answered = False


Commands: tuple[type[Command], ...] = leaves(Command)
"""Every command class, in the order of their codes."""

CommandDict: dict[CommandCode, type[Command]] = {command.command_code: command for command in Commands}
"""The command class of each code that has one."""

ACK_ONLY_CODES: frozenset[CommandCode] = frozenset(
    command.command_code for command in Commands if command.ack_only
) | {CommandCode.AZIMUTH_CABLE_WRAP_TRACK_TARGET}
"""The codes of the track commands, which get an Ack and no end. One of them has no class."""

STOP_CODES: frozenset[CommandCode] = frozenset(
    command.command_code for command in Commands if command.is_stop
) | {
    CommandCode.STOP_MOUNT,
    CommandCode.AZIMUTH_CABLE_WRAP_STOP,
    CommandCode.BALANCE_STOP,
    CommandCode.DEPLOYABLE_PLATFORMS_STOP,
    CommandCode.LOCKING_PINS_STOP,
}
"""The codes of the commands that stop something. Five of them have no class."""

FREE_CODES: frozenset[CommandCode] = frozenset(
    command.command_code for command in Commands if not command.needs_command
) | {CommandCode.GET_AVAILABLE_SETTING_SETS}
"""The codes of the commands that every commander may send without having command. One has no class."""


def _expected_code(number: int) -> str:
    if number in CommandCode.__members__.values():
        return f"a code that has a message class, unlike {CommandCode(number).name}"
    return "a known CommandCode"


_CLASS_OF_CODE = ClassOfCode("command", CommandDict, _expected_code, int)


def parse_command(fields: Sequence[str]) -> Command:
    """Return the command made of these fields, header first.

    :param fields: the fields as text, as `str_fields` returns them.
    :raises MessageError: (a `ValueError`) if they are not a command.
    """
    if len(fields) < NUM_HEADER_FIELDS:
        expected = f"at least the {NUM_HEADER_FIELDS} fields of the header"
        raise FieldCountError("command", None, list(fields), expected)
    return _CLASS_OF_CODE[fields[1]].from_str_fields(fields)
