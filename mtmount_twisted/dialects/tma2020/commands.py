"""The commands that a commander may send to the mount.

Each class is one command of ``protocol-tma2020.rst``; the body of the class is its complete definition.
On the wire every command begins with the four fields of `Command`.

Values only: no Twisted, no I/O. Next to read: ``wire.messages``, which turns a class body into fields;
`codec`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from mtmount_twisted.errors import FieldCountError
from mtmount_twisted.wire.fields import utc_now
from mtmount_twisted.wire.messages import (
    ClassOfCode,
    CommandMessage,
    code,
    leaves,
    next_sequence_id,
    parameter,
)

from .enums import CommandCode, Commander, Source
from .framing import LAYOUT

NUM_HEADER_FIELDS = 4
"""Number of fields before a command's parameters."""


class Command(CommandMessage):
    """Base class of all commands."""

    layout = LAYOUT

    sequence_id: int = parameter(
        "Identifies the command in its replies: 1 to 2147483647, counted up if none is given.",
        factory=next_sequence_id,
    )
    command_code: ClassVar[CommandCode] = code("The code of the command.")
    source: Source = parameter("The component that sends the command.", default=Source.CSC)
    timestamp: datetime = parameter("The time of sending, UTC.", factory=utc_now)


class Enable(Command):
    """Enable the mount."""

    command_code = CommandCode.ENABLE


class Disable(Command):
    """Disable the mount."""

    command_code = CommandCode.DISABLE


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
    negate_azimuth: int = parameter("-1 to multiply azimuth by -1, else 0.", default=0)


class BothAxesTrack(Command):
    """Track with azimuth and elevation: one target of a stream."""

    command_code = CommandCode.BOTH_AXES_TRACK
    ack_only = True
    azimuth: float = parameter("Azimuth at `tai`.", unit="deg")
    elevation: float = parameter("Elevation at `tai`.", unit="deg")
    azimuth_velocity: float = parameter("Azimuth velocity at `tai`.", unit="deg/s")
    elevation_velocity: float = parameter("Elevation velocity at `tai`.", unit="deg/s")
    negate_azimuth: int = parameter("-1 to multiply azimuth by -1, else 0.", default=0)
    tai: float = parameter("The time at which the target holds: TAI seconds since the unix epoch.", unit="s")


class BothAxesStop(Command):
    """Stop azimuth and elevation."""

    command_code = CommandCode.BOTH_AXES_STOP
    is_stop = True


class AzimuthAxisPower(Command):
    """Turn the azimuth axis on or off."""

    command_code = CommandCode.AZIMUTH_AXIS_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class AzimuthAxisStop(Command):
    """Stop the azimuth axis."""

    command_code = CommandCode.AZIMUTH_AXIS_STOP
    is_stop = True


class AzimuthAxisMove(Command):
    """Move the azimuth axis to a position and stop there."""

    command_code = CommandCode.AZIMUTH_AXIS_MOVE
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


class AzimuthAxisTrack(Command):
    """Track with the azimuth axis: one target of a stream."""

    command_code = CommandCode.AZIMUTH_AXIS_TRACK
    ack_only = True
    position: float = parameter("Position at `tai`.", unit="deg")
    velocity: float = parameter("Velocity at `tai`.", unit="deg/s")
    tai: float = parameter("The time at which the target holds: TAI seconds since the unix epoch.", unit="s")


class AzimuthAxisHome(Command):
    """Home the azimuth axis."""

    command_code = CommandCode.AZIMUTH_AXIS_HOME


class AzimuthAxisResetAlarm(Command):
    """Reset the alarms of the azimuth axis."""

    command_code = CommandCode.AZIMUTH_AXIS_RESET_ALARM


class AzimuthAxisEnableTracking(Command):
    """Enable or disable tracking of the azimuth axis."""

    command_code = CommandCode.AZIMUTH_AXIS_ENABLE_TRACKING
    on: bool = parameter("True to enable, False to disable.")


class AzimuthAxisDriveReset(Command):
    """Reset the drives of the azimuth axis."""

    command_code = CommandCode.AZIMUTH_AXIS_DRIVE_RESET
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)


class AzimuthAxisDriveEnable(Command):
    """Enable or disable the drives of the azimuth axis."""

    command_code = CommandCode.AZIMUTH_AXIS_DRIVE_ENABLE
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)
    on: bool = parameter("True to enable, False to disable.")


class ElevationAxisPower(Command):
    """Turn the elevation axis on or off."""

    command_code = CommandCode.ELEVATION_AXIS_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class ElevationAxisStop(Command):
    """Stop the elevation axis."""

    command_code = CommandCode.ELEVATION_AXIS_STOP
    is_stop = True


class ElevationAxisMove(Command):
    """Move the elevation axis to a position and stop there."""

    command_code = CommandCode.ELEVATION_AXIS_MOVE
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


class ElevationAxisTrack(Command):
    """Track with the elevation axis: one target of a stream."""

    command_code = CommandCode.ELEVATION_AXIS_TRACK
    ack_only = True
    position: float = parameter("Position at `tai`.", unit="deg")
    velocity: float = parameter("Velocity at `tai`.", unit="deg/s")
    tai: float = parameter("The time at which the target holds: TAI seconds since the unix epoch.", unit="s")


class ElevationAxisHome(Command):
    """Home the elevation axis."""

    command_code = CommandCode.ELEVATION_AXIS_HOME


class ElevationAxisResetAlarm(Command):
    """Reset the alarms of the elevation axis."""

    command_code = CommandCode.ELEVATION_AXIS_RESET_ALARM


class ElevationAxisEnableTracking(Command):
    """Enable or disable tracking of the elevation axis."""

    command_code = CommandCode.ELEVATION_AXIS_ENABLE_TRACKING
    on: bool = parameter("True to enable, False to disable.")


class ElevationAxisDriveReset(Command):
    """Reset the drives of the elevation axis."""

    command_code = CommandCode.ELEVATION_AXIS_DRIVE_RESET
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)


class ElevationAxisDriveEnable(Command):
    """Enable or disable the drives of the elevation axis."""

    command_code = CommandCode.ELEVATION_AXIS_DRIVE_ENABLE
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)
    on: bool = parameter("True to enable, False to disable.")


class MainPowerSupplyPower(Command):
    """Turn the main power supply on or off."""

    command_code = CommandCode.MAIN_POWER_SUPPLY_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class MainPowerSupplyResetAlarm(Command):
    """Reset the alarms of the main power supply."""

    command_code = CommandCode.MAIN_POWER_SUPPLY_RESET_ALARM


class OilSupplySystemPower(Command):
    """Turn the whole oil supply system on or off: cooling, main pump and oil."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class OilSupplySystemPowerCooling(Command):
    """Turn the cooling of the oil supply system on or off."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_POWER_COOLING
    on: bool = parameter("True to turn on, False to turn off.")


class OilSupplySystemPowerOil(Command):
    """Turn the oil of the oil supply system on or off."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_POWER_OIL
    on: bool = parameter("True to turn on, False to turn off.")


class OilSupplySystemPowerMainPump(Command):
    """Turn the main pump of the oil supply system on or off."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_POWER_MAIN_PUMP
    on: bool = parameter("True to turn on, False to turn off.")


class OilSupplySystemResetAlarm(Command):
    """Reset the alarms of the oil supply system."""

    command_code = CommandCode.OIL_SUPPLY_SYSTEM_RESET_ALARM


class MirrorCoversPower(Command):
    """Turn the mirror covers on or off."""

    command_code = CommandCode.MIRROR_COVERS_POWER
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)
    on: bool = parameter("True to turn on, False to turn off.")


class MirrorCoversStop(Command):
    """Stop the mirror covers."""

    command_code = CommandCode.MIRROR_COVERS_STOP
    is_stop = True
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)


class MirrorCoversDeploy(Command):
    """Deploy the mirror covers: close them, so that the mirror is hidden."""

    command_code = CommandCode.MIRROR_COVERS_DEPLOY
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)


class MirrorCoversRetract(Command):
    """Retract the mirror covers: open them."""

    command_code = CommandCode.MIRROR_COVERS_RETRACT
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)


class MirrorCoversResetAlarm(Command):
    """Reset the alarms of the mirror covers."""

    command_code = CommandCode.MIRROR_COVERS_RESET_ALARM
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)


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


class CameraCableWrapTrack(Command):
    """Track with the camera cable wrap: one target of a stream."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_TRACK
    ack_only = True
    position: float = parameter("Position at `tai`.", unit="deg")
    velocity: float = parameter("Velocity at `tai`.", unit="deg/s")
    tai: float = parameter("The time at which the target holds: TAI seconds since the unix epoch.", unit="s")


class CameraCableWrapResetAlarm(Command):
    """Reset the alarms of the camera cable wrap."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_RESET_ALARM


class CameraCableWrapDriveEnable(Command):
    """Enable or disable the drives of the camera cable wrap."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_DRIVE_ENABLE
    drive: int = parameter("Drive number; -1 for all drives.")
    on: bool = parameter("True to enable, False to disable.")


class CameraCableWrapDriveReset(Command):
    """Reset the drives of the camera cable wrap."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_DRIVE_RESET
    drive: int = parameter("Drive number; -1 for all drives.")


class CameraCableWrapEnableTracking(Command):
    """Enable or disable tracking of the camera cable wrap."""

    command_code = CommandCode.CAMERA_CABLE_WRAP_ENABLE_TRACKING
    on: bool = parameter("True to enable, False to disable.")


class MirrorCoverLocksPower(Command):
    """Turn the mirror cover locks on or off."""

    command_code = CommandCode.MIRROR_COVER_LOCKS_POWER
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)
    on: bool = parameter("True to turn on, False to turn off.")


class MirrorCoverLocksStop(Command):
    """Stop the mirror cover locks."""

    command_code = CommandCode.MIRROR_COVER_LOCKS_STOP
    is_stop = True
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)


class MirrorCoverLocksResetAlarm(Command):
    """Reset the alarms of the mirror cover locks."""

    command_code = CommandCode.MIRROR_COVER_LOCKS_RESET_ALARM
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)


class MirrorCoverLocksMoveAll(Command):
    """Deploy or retract the mirror cover locks."""

    command_code = CommandCode.MIRROR_COVER_LOCKS_MOVE_ALL
    drive: int = parameter("Drive number; -1 for all drives.", default=-1)
    deploy: bool = parameter("True to deploy, False to retract.")


class SafetyReset(Command):
    """Reset the safety interlocks."""

    command_code = CommandCode.SAFETY_RESET


class AskForCommand(Command):
    """Ask that a commander shall have command. Every commander may send this command at any time."""

    command_code = CommandCode.ASK_FOR_COMMAND
    needs_command = False
    commander: Commander = parameter("Commander to have command; NONE releases it.", default=Commander.CSC)


class TopEndChillerPower(Command):
    """Turn the top-end chiller on or off."""

    command_code = CommandCode.TOP_END_CHILLER_POWER
    on: bool = parameter("True to turn on, False to turn off.")


class TopEndChillerTrackAmbient(Command):
    """Let the top-end chiller follow the ambient temperature, or not."""

    command_code = CommandCode.TOP_END_CHILLER_TRACK_AMBIENT
    on: bool = parameter("True to follow the ambient temperature, False to stop following it.")
    temperature: float = parameter("Setpoint temperature.", unit="°C")


class TopEndChillerResetAlarm(Command):
    """Reset the alarms of the top-end chiller."""

    command_code = CommandCode.TOP_END_CHILLER_RESET_ALARM


Commands: tuple[type[Command], ...] = leaves(Command)
"""Every command class, in the order of their codes."""

CommandDict: dict[CommandCode, type[Command]] = {command.command_code: command for command in Commands}
"""The command class of each code that has one."""

AckOnlyCommandCodes: frozenset[CommandCode] = frozenset(
    command.command_code for command in Commands if command.ack_only
) | {CommandCode.AZIMUTH_CABLE_WRAP_TRACK}
"""The codes of the track commands, which get an Ack and no Done. One of them has no class."""

STOP_CODES: frozenset[CommandCode] = frozenset(
    command.command_code for command in Commands if command.is_stop
) | {
    CommandCode.STOP_MOUNT,
    CommandCode.AZIMUTH_CABLE_WRAP_STOP,
    CommandCode.BALANCE_STOP,
    CommandCode.DEPLOYABLE_PLATFORM_STOP,
    CommandCode.LOCKING_PINS_STOP,
}
"""The codes of the commands that stop something. Five of them have no class."""


def _expected_code(number: int) -> str:
    if number in CommandCode.__members__.values():
        return f"a code that has a message class, unlike {CommandCode(number).name}"
    return "a known CommandCode"


_CLASS_OF_CODE = ClassOfCode("command", CommandDict, _expected_code)


def parse_command(fields: Sequence[str]) -> Command:
    """Return the command made of these fields, header first.

    :param fields: the fields as text, as `str_fields` returns them.
    :raises MessageError: (a `ValueError`) if they are not a command.
    """
    if len(fields) < NUM_HEADER_FIELDS:
        expected = f"at least the {NUM_HEADER_FIELDS} fields of the header"
        raise FieldCountError("command", None, list(fields), expected)
    return _CLASS_OF_CODE[fields[1]].from_str_fields(fields)
