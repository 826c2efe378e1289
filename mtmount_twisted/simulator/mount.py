"""The whole mount: its devices, its table of commands, and the commander that has command.

A `SimulatedMount` takes commands and sends replies. It knows nothing of connections. Time passes only on the
clock that it is given.

It touches only this clock. Next to read: `devices` and `axis` (the effects of commands), `service` (the mount
on a socket).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypedDict

from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.dialects.tma2020.commands import (
    AskForCommand,
    BothAxesMove,
    BothAxesStop,
    BothAxesTrack,
    Command,
    Commands,
    Disable,
    Enable,
)
from mtmount_twisted.dialects.tma2020.enums import Commander, Source, SubsystemId
from mtmount_twisted.dialects.tma2020.replies import AckReply, OnStateInfoReply, Reply
from mtmount_twisted.errors import CommandRefused
from mtmount_twisted.wire.tai import current_tai

from .axis import AZIMUTH, CAMERA_CABLE_WRAP, ELEVATION, Axis
from .devices import (
    Chiller,
    Covers,
    Device,
    Interlock,
    Method,
    Switches,
    main_power_supply,
    mirror_cover_locks,
    mirror_covers,
    oil_supply_system,
)
from .execution import Execution, Plan, World, instantly, no_ack, together

COMMANDER_OF_SOURCE = {
    Source.CSC: Commander.CSC,
    Source.EUI: Commander.EUI,
    Source.HHD: Commander.HHD,
}
"""The commander of each source. The PXI is not a commander."""


SLOWEST, FASTEST = 0.01, 1000.0
"""The range of the speed factor."""


class MountOptions(TypedDict, total=False):
    """The options of a `SimulatedMount`, which its service hands on."""

    tai: Callable[[], float]
    initial_commander: Commander
    speed: float
    realistic: bool


class SimulatedMount:
    """A mount that executes commands.

    :param clock: an ``IReactorTime``.
    :param send: called with each reply and event, in order.
    :param tai: function that returns TAI, s since the unix epoch; default
        `mtmount_twisted.wire.tai.current_tai`.
    :param initial_commander: the commander that has command at first.
    :param speed: factor by which all motion and warming up is faster than in the real mount, 0.01 to 1000.
        TAI, tracking targets and announced time-outs stay in real time.
    :param realistic: True to warm up in the time of the real mount (by `speed`); False to warm up at once.
    :raises ValueError: if `speed` is out of range.
    :ivar commander: the commander that has command.
    :ivar enabled: True after `Enable`, False after `Disable`.
    :ivar devices: the devices by the first part of the names of their commands, such as ``AzimuthAxis``.
    """

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[Reply], None],
        *,
        tai: Callable[[], float] = current_tai,
        initial_commander: Commander = Commander.NONE,
        speed: float = 1.0,
        realistic: bool = False,
    ) -> None:
        if not SLOWEST <= speed <= FASTEST:
            raise ValueError(f"speed: expected {SLOWEST} to {FASTEST}, got {speed}")
        self._world = world = World(clock, send, tai, speed, realistic)
        self.commander: Commander = initial_commander
        self.enabled: bool = False
        self.azimuth: Axis = Axis("AzimuthAxis", SubsystemId.AZIMUTH_AXIS, world, AZIMUTH, 0.0, 0)
        self.elevation: Axis = Axis("ElevationAxis", SubsystemId.ELEVATION_AXIS, world, ELEVATION, 80.0, 1)
        self.camera_cable_wrap: Axis = Axis(
            "CameraCableWrap", SubsystemId.CAMERA_CABLE_WRAP, world, CAMERA_CABLE_WRAP, 0.0, None
        )
        self.mirror_covers: Covers = mirror_covers(world)
        self.mirror_cover_locks: Covers = mirror_cover_locks(world)
        self.main_power_supply: Switches = main_power_supply(world)
        self.oil_supply_system: Switches = oil_supply_system(world)
        self.top_end_chiller: Chiller = Chiller(world)
        self.interlock: Interlock = Interlock(world)
        found = (device for device in vars(self).values() if isinstance(device, Device))
        self.devices: dict[str, Device] = {device.prefix: device for device in found}
        self.methods: dict[type[Command], Method] = self._all_methods()
        self._closed = False

    def _all_methods(self) -> dict[type[Command], Method]:
        """Return the method for every command class: a device's method, or one without an effect."""
        methods: dict[type[Command], Method] = {
            Enable: lambda command: instantly(lambda _: self._enable(True)),
            Disable: lambda command: instantly(lambda _: self._enable(False)),
            AskForCommand: self._ask_for_command,
            BothAxesMove: self._both_axes_move,
            BothAxesTrack: self._both_axes_track,
            BothAxesStop: self._both_axes_stop,
        }
        for command in Commands:
            if command not in methods:
                methods[command] = self._device_method(command.__name__)
        return methods

    def _device_method(self, name: str) -> Method:
        """Return the method of a command class with a name that begins with a device."""
        for prefix, device in self.devices.items():
            if name.startswith(prefix) and name.removeprefix(prefix) in device.methods:
                return device.methods[name.removeprefix(prefix)]
        return lambda command: instantly(lambda _: None)

    @property
    def _axes(self) -> tuple[Axis, Axis]:
        return self.azimuth, self.elevation

    def receive(self, command: Command) -> None:
        """Execute or refuse a command. After `close`, do nothing."""
        if self._closed:
            return
        try:
            self._check_has_command(command)
            plan = self.methods[type(command)](command)
        except CommandRefused as error:
            self._world.send(no_ack(command, error.explanation))
            return
        timeout_ms = math.ceil(plan.announced * 1000)
        self._world.send(
            AckReply(sequence_id=command.sequence_id, source=command.source, timeout_ms=timeout_ms)
        )
        plan.begin(Execution(command, plan.parts, self._world.send))

    def announce_in_position(self) -> None:
        """Report whether azimuth and elevation are in position, as the service does for a first commander."""
        for axis in self._axes:
            axis.announce_in_position()

    def raise_alarm(self, prefix: str, explanation: str = "simulated fault") -> None:
        """Put a device in alarm until its reset-alarm command.

        The device stops, its command in progress fails, and the mount sends an `ErrorReply`. If the device is
        already in alarm, nothing happens.

        :param prefix: the device: a key of `devices`, such as ``AzimuthAxis``.
        :param explanation: description of the alarm, for the error and for refusals.
        :raises KeyError: if there is no such device.
        """
        self.devices[prefix].raise_alarm(explanation)

    def close(self) -> None:
        """Stop all timers. Commands in progress are never answered."""
        self._closed = True
        for device in self.devices.values():
            device.close()

    def _check_has_command(self, command: Command) -> None:
        if isinstance(command, AskForCommand):
            return
        if self.commander == Commander.NONE:
            raise CommandRefused(command, "nobody has command: ask for it first")
        if COMMANDER_OF_SOURCE.get(command.source) != self.commander:
            raise CommandRefused(
                command, f"{command.source.name} does not have command: {self.commander.name} has it"
            )

    def _ask_for_command(self, command: AskForCommand) -> Plan:
        given_up = command.commander == Commander.NONE and command.source == Source.HHD
        if self.commander == Commander.HHD != command.commander and not given_up:
            raise CommandRefused(command, "HHD has command, and command cannot be taken from the HHD")
        return instantly(lambda _: self._give_command(command.commander))

    def _give_command(self, commander: Commander) -> None:
        if commander != self.commander:
            self.commander = commander
            self._world.send(OnStateInfoReply(description=f"Commander{commander.name}"))

    def _enable(self, enabled: bool) -> None:
        if enabled != self.enabled:
            self.enabled = enabled
            self._world.send(OnStateInfoReply(description="Enabled" if enabled else "Disabled"))

    def _both_axes_stop(self, command: BothAxesStop) -> Plan:
        """Stop each axis that can be stopped: an axis that is off must not keep the other one moving."""
        plans, refusals = [], []
        for axis in self._axes:
            try:
                plans.append(axis.stop(command))
            except CommandRefused as refusal:
                refusals.append(refusal)
        if not plans:
            raise refusals[0]
        return together(plans)

    def _both_axes_move(self, command: BothAxesMove) -> Plan:
        azimuth = _sign(command) * command.azimuth
        return together(
            [
                self.azimuth.plan_move(command, azimuth, command.azimuth_velocity),
                self.elevation.plan_move(command, command.elevation, command.elevation_velocity),
            ]
        )

    def _both_axes_track(self, command: BothAxesTrack) -> Plan:
        sign = _sign(command)
        azimuth, azimuth_velocity = sign * command.azimuth, sign * command.azimuth_velocity
        return together(
            [
                self.azimuth.plan_track(command, azimuth, azimuth_velocity, command.tai),
                self.elevation.plan_track(
                    command, command.elevation, command.elevation_velocity, command.tai
                ),
            ]
        )


def _sign(command: Any) -> int:
    """Return the factor for azimuth from `negate_azimuth`."""
    if command.negate_azimuth not in (0, -1):
        raise CommandRefused(command, f"negate_azimuth is 0 or -1, not {command.negate_azimuth}")
    return -1 if command.negate_azimuth else 1
