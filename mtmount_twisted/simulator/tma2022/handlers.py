"""The table from each command class to its handler.

A handler checks a command and returns its `Plan`; it raises `Refusal` if the mount can't carry the command
out. A test lists each command class of the dialect that has no handler.

This module touches only the mount. Next to read: `mount`, which calls the handlers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022.enums import CommandCode, System, ThermalMode

from .axis import Axis
from .devices import ALL, Switch, one_after_the_other
from .execution import Plan, Refusal, instantly, nothing, together

if TYPE_CHECKING:
    from .mount import SimulatedMount

Handler = Callable[["SimulatedMount", Any], Plan]
"""A function that returns the plan of the mount for a command."""


def _not_supported(mount: SimulatedMount, command: c.Command) -> Plan:
    raise Refusal("This command is not yet supported")  # protocol-tma2022.rst, "The mock controller"


def _stop_both(mount: SimulatedMount, command: c.Command) -> Plan:
    """Stop each axis that can be stopped: an axis that is off must not keep the other one moving."""
    plans, refusals = [], []
    for axis in mount.main_axes:
        try:
            plans.append(axis.stop())
        except Refusal as refused:
            refusals.append(refused)
    if not plans:
        raise refusals[0]
    return together(plans)


def _both(plan: Callable[[Axis, Any], Plan]) -> Handler:
    """Return the handler of a command to azimuth and elevation. If one axis refuses, neither axis begins."""
    return lambda mount, command: together([plan(axis, command) for axis in mount.main_axes])


def _axis_handlers(prefix: str, axis: Callable[[SimulatedMount], Axis]) -> dict[type[c.Command], Handler]:
    """Return the handlers of the commands to one axis, by the prefix of their names."""
    handlers: dict[str, Handler] = {
        "Power": lambda mount, command: axis(mount).power(command.on),
        "Stop": lambda mount, command: axis(mount).stop(),
        "Move": lambda mount, command: axis(mount).move(command.position),
        "TrackTarget": lambda mount, command: axis(mount).track(
            command.position, command.velocity, command.tai
        ),
        "Home": lambda mount, command: axis(mount).home(),
        "ResetAlarm": lambda mount, command: mount.reset_alarm(axis(mount)),
        "EnableTracking": lambda mount, command: axis(mount).enable_tracking(command.on),
        "DriveReset": lambda mount, command: axis(mount).drive_reset(),
        "DriveEnable": lambda mount, command: axis(mount).drive_enable(command.on),
    }
    by_name = {prefix + name: handler for name, handler in handlers.items()}
    return {command: by_name[command.__name__] for command in c.Commands if command.__name__ in by_name}


def _thermal_handlers(prefix: str, system: System, power: CommandCode) -> dict[type[c.Command], Handler]:
    """Return the handlers of a device with thermal control and a power switch."""
    handlers: dict[str, Handler] = {
        "Power": lambda mount, command: _thermal_power(mount, system, command, power),
        "ControlMode": lambda mount, command: mount.thermal[system].control(
            command.drive, command.mode, command.setpoint
        ),
        "ResetAlarm": lambda mount, command: mount.reset_alarm(mount.thermal[system]),
    }
    by_name = {prefix + name: handler for name, handler in handlers.items()}
    return {command: by_name[command.__name__] for command in c.Commands if command.__name__ in by_name}


def _thermal_power(mount: SimulatedMount, system: System, command: Any, code: CommandCode) -> Plan:
    mount.thermal[system].chosen(command.drive)
    return mount.thermal[system].power(command.on, code)


def _set_point(system: System, *, cabinet: Callable[[Any], int] = lambda command: ALL) -> Handler:
    """Return the handler of a command that has only a set point."""
    return lambda mount, command: mount.thermal[system].control(
        cabinet(command), ThermalMode.TRACK_SETPOINT, command.setpoint
    )


def _reset(device: Callable[[SimulatedMount], Any]) -> Handler:
    return lambda mount, command: mount.reset_alarm(device(mount))


def _switch(device: Callable[[SimulatedMount], Switch], on: bool | None, code: CommandCode) -> Handler:
    """Return the handler that turns a device on or off: as `on` says, or as the command's ``on`` says if `on`
    is None."""
    return lambda mount, command: device(mount).power(command.on if on is None else on, code)


def _oil_part(index: int) -> Handler:
    return lambda mount, command: mount.oil.power_part(index, command.on)


def _track_ambient(mount: SimulatedMount, command: c.MainCabinetThermalTrackAmbient) -> Plan:
    mode = ThermalMode.TRACK_AMBIENT if command.track_ambient else ThermalMode.TRACK_SETPOINT
    return mount.thermal[System.MAIN_CABINET_THERMAL].control(ALL, mode, command.setpoint)


def _fans(mount: SimulatedMount, command: c.AuxiliaryCabinetsThermalFanPower) -> Plan:
    """Accept the command. The cabinets are always on (protocol-tma2022.rst, "The motion of the mount")."""
    mount.thermal[System.AUXILIARY_CABINETS_THERMAL].chosen(command.drive)
    return instantly(nothing)


def _reset_cabinets(mount: SimulatedMount, command: c.AuxiliaryCabinetsThermalResetAlarm) -> Plan:
    cabinets = mount.thermal[System.AUXILIARY_CABINETS_THERMAL]
    cabinets.chosen(command.cabinet)
    return mount.reset_alarm(cabinets)


def _reset_safety(mount: SimulatedMount, command: c.SafetyReset) -> Plan:
    indexes = mount.safety.read_indexes(command.what)
    return instantly(lambda _: mount.reset_safety(indexes))


def _load_settings(mount: SimulatedMount, command: c.ApplySettingsSet) -> Plan:
    mount.settings.check_set(command.settings)
    return instantly(lambda _: mount.settings.load(command.settings), timeout=None)


HANDLERS: dict[type[c.Command], Handler] = {
    c.Enable: _not_supported,
    c.Disable: _not_supported,
    c.BothAxesPower: _both(lambda axis, command: axis.power(command.on)),
    c.BothAxesStop: _stop_both,
    c.BothAxesMove: lambda mount, command: together(
        [mount.azimuth.move(command.azimuth), mount.elevation.move(command.elevation)]
    ),
    c.BothAxesTrackTarget: lambda mount, command: Plan(
        -1,
        together(
            [
                mount.azimuth.track(command.azimuth, command.azimuth_velocity, command.tai),
                mount.elevation.track(command.elevation, command.elevation_velocity, command.tai),
            ]
        ).begin,
        parts=2,
    ),
    c.BothAxesHome: _both(lambda axis, command: axis.home()),
    c.BothAxesResetAlarm: lambda mount, command: together(
        [mount.reset_alarm(axis) for axis in mount.main_axes]
    ),
    c.BothAxesEnableTracking: _both(lambda axis, command: axis.enable_tracking(True)),
    # The locks deploy first (protocol-tma2022.rst, "The mock controller").
    c.MirrorCoverSystemDeploy: lambda mount, command: one_after_the_other(
        mount.mirror_cover_locks, mount.mirror_covers, deploy=True
    ),
    c.MirrorCoverSystemRetract: lambda mount, command: one_after_the_other(
        mount.mirror_covers, mount.mirror_cover_locks, deploy=False
    ),
    **_axis_handlers("Azimuth", lambda mount: mount.azimuth),
    **_axis_handlers("Elevation", lambda mount: mount.elevation),
    **_axis_handlers("CameraCableWrap", lambda mount: mount.camera_cable_wrap),
    c.MainAxesPowerSupplyPower: _switch(
        lambda mount: mount.supply, None, CommandCode.MAIN_AXES_POWER_SUPPLY_POWER
    ),
    c.MainAxesPowerSupplyResetAlarm: _reset(lambda mount: mount.supply),
    c.OilSupplySystemPower: lambda mount, command: mount.oil.power(command.on),
    c.OilSupplySystemPowerCooling: _oil_part(0),
    c.OilSupplySystemPowerCirculationPump: _oil_part(1),
    c.OilSupplySystemPowerMainPump: _oil_part(2),
    c.OilSupplySystemResetAlarm: _reset(lambda mount: mount.oil),
    c.OilSupplySystemSetMode: lambda mount, command: mount.oil.set_mode(command.auto),
    c.OilSupplySystemCabinetsThermalSetpoint: _set_point(System.OIL_SUPPLY_SYSTEM),
    c.MirrorCoversPower: lambda mount, command: mount.mirror_covers.power(command.drive, command.on),
    c.MirrorCoversStop: lambda mount, command: mount.mirror_covers.stop(command.drive),
    c.MirrorCoversDeploy: lambda mount, command: mount.mirror_covers.move(command.drive, True, "DEPLOY"),
    c.MirrorCoversRetract: lambda mount, command: mount.mirror_covers.move(command.drive, False, "RETRACT"),
    c.MirrorCoversResetAlarm: _reset(lambda mount: mount.mirror_covers),
    c.MirrorCoverLocksPower: lambda mount, command: mount.mirror_cover_locks.power(command.drive, command.on),
    c.MirrorCoverLocksStop: lambda mount, command: mount.mirror_cover_locks.stop(command.drive),
    c.MirrorCoverLocksResetAlarm: _reset(lambda mount: mount.mirror_cover_locks),
    c.MirrorCoverLocksMoveAll: lambda mount, command: mount.mirror_cover_locks.move(
        command.drive, command.deploy, "MOVE_ALL"
    ),
    c.MirrorCoverLocksLock: lambda mount, command: mount.mirror_cover_locks.move(command.drive, True, "LOCK"),
    c.MirrorCoverLocksUnlock: lambda mount, command: mount.mirror_cover_locks.move(
        command.drive, False, "UNLOCK"
    ),
    **_thermal_handlers(
        "AzimuthDrivesThermal", System.AZIMUTH_DRIVES_THERMAL, CommandCode.AZIMUTH_DRIVES_THERMAL_POWER
    ),
    **_thermal_handlers(
        "ElevationDrivesThermal", System.ELEVATION_DRIVES_THERMAL, CommandCode.ELEVATION_DRIVES_THERMAL_POWER
    ),
    **_thermal_handlers(
        "Cabinet0101Thermal", System.CABINET_0101_THERMAL, CommandCode.CABINET_0101_THERMAL_POWER
    ),
    c.MainCabinetThermalTrackAmbient: _track_ambient,
    c.MainCabinetThermalResetAlarm: _reset(lambda mount: mount.thermal[System.MAIN_CABINET_THERMAL]),
    c.AuxiliaryCabinetsThermalResetAlarm: _reset_cabinets,
    c.AuxiliaryCabinetsThermalSetpoint: _set_point(
        System.AUXILIARY_CABINETS_THERMAL, cabinet=lambda command: int(command.cabinet)
    ),
    c.AuxiliaryCabinetsThermalFanPower: _fans,
    c.TopEndChillerPowerOn: _switch(
        lambda mount: mount.thermal[System.TOP_END_CHILLER], True, CommandCode.TOP_END_CHILLER_POWER_ON
    ),
    c.TopEndChillerPowerOff: _switch(
        lambda mount: mount.thermal[System.TOP_END_CHILLER], False, CommandCode.TOP_END_CHILLER_POWER_OFF
    ),
    c.TopEndChillerResetAlarm: _reset(lambda mount: mount.thermal[System.TOP_END_CHILLER]),
    c.TopEndChillerThermalSetpoint: _set_point(System.TOP_END_CHILLER),
    c.SafetyReset: _reset_safety,
    c.AskForCommand: lambda mount, command: mount.ask_for_command(command),
    c.ApplySettingsSet: _load_settings,
    c.RestoreDefaultSettings: lambda mount, command: instantly(
        lambda _: mount.settings.restore(), timeout=None
    ),
    c.GetActualSettings: lambda mount, command: mount.send_settings(),
    c.StateInfo: lambda mount, command: mount.send_state(),
}
"""The handlers of the command classes that have an effect."""


def handler_of(command: type[c.Command]) -> Handler:
    """Return the handler of a command class. The mount acknowledges and ends a command of a class without
    one, with no effect."""
    return HANDLERS.get(command, _without_effect)


def _without_effect(mount: SimulatedMount, command: Any) -> Plan:
    return instantly(lambda _: None)
