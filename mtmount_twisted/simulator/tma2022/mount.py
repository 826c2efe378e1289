"""The whole tma2022 mount: its devices, the commander that has command, and the heartbeat rule.

A `SimulatedMount` takes commands and sends replies and events. It knows nothing of connections and of bytes.
Time passes only on the clock that it is given; this module touches nothing else.

Next to read: `handlers` (the table of commands), `devices` and `axis` (the effects of commands), `events`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypedDict

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.dialects.tma2022.commands import AskForCommand, Command, Heartbeat
from mtmount_twisted.dialects.tma2022.enums import PowerState, Source, System
from mtmount_twisted.dialects.tma2022.replies import (
    CmdAcknowledgedReply,
    CmdRejectedReply,
    CommanderReply,
    Reply,
    StateInfoReply,
)
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.wire.tai import TAI_AHEAD, current_tai

from ..motion import Change, Path
from .alarms import Alarms
from .axis import AZIMUTH, CAMERA_CABLE_WRAP, ELEVATION, Axis, topple_changes
from .catalogue import ALARM, find
from .devices import Deployables, Device, Oil, Supply, Thermal
from .events import Announcer, first_events, further_events
from .execution import QUICK, Execution, Plan, Refusal, Superseded, World, instantly, nothing, refusal
from .handlers import handler_of
from .safety import Safety
from .settings import Settings

SLOWEST, FASTEST = 0.01, 1000.0
"""The range of the speed factor."""

HEARTBEAT_TIMEOUT = 5.0
"""Time without a heartbeat after which the commander loses command, s (protocol-tma2022.rst, "Command")."""

ASK_TIMEOUT = 1
"""Timeout, in s, in the Ack of 2103 if command changes hands, and in the Acks of 2402 and 2502
(protocol-tma2022.rst, "The mock controller")."""

ALARM_OF_EFFECT = {
    0: (100, 102),
    1: (400, 402),
    3: (1000, 1012),
    5: (900, 901),
    9: (600, 602),
    11: (800, 810),
}
"""For each effect of the safety system that turns a device off, the alarm of the device: subsystem and number
in the catalogue. The other effects have no device here."""

EXTRAPOLATION = {System.AZIMUTH: (100, 160), System.ELEVATION: (400, 460)}
"""The alarm of each main axis for targets that come too late."""

ENABLED = "Enable"
"""State of the Operation Manager while all is well. The only other known state is `CONNECTING`."""

CONNECTING = "Connecting to PXI"

SOON = 1e-6
"""Shortest time to the next look for changes, s: without it, the rounding of the clock could repeat a look
for ever."""


class MountOptions(TypedDict, total=False):
    """The options of a `SimulatedMount`, which its service hands on."""

    tai: Callable[[], float]
    initial_commander: Source
    speed: float
    realistic: bool
    heartbeat_timeout: float
    ready: bool
    operation_manager: bool
    vendor_events: bool


class SimulatedMount:
    """A mount that executes commands.

    :param clock: an ``IReactorTime``.
    :param send: called with each reply and event, in order.
    :param tai: function that returns TAI, s since the unix epoch.
    :param initial_commander: the commander that has command at first.
    :param speed: factor by which all motion and warming up is faster than in the real mount, 0.01 to 1000.
        TAI, tracking targets and announced timeouts stay in real time.
    :param realistic: True to warm up in the time of the real mount (by `speed`); False to warm up at once.
    :param heartbeat_timeout: time without a heartbeat after which the commander loses command, s; 0 to let
        it keep command.
    :param ready: True to start with the power and the oil on, and the axes homed.
    :param at_once: True to send events when their values change; False to send them only when a program calls
        `look`.
    :param operation_manager: True to send the Operation Manager's state, event 50, on change.
    :param vendor_events: True to send events that the vendor's documents have and the mock controller has
        not: event 102, ``chillerMode`` in event 103, and event 11 for late targets.
    :raises ValueError: if `speed` or `heartbeat_timeout` is out of range.
    :ivar commander: the commander that has command.
    :ivar at_once: as the parameter.
    """

    settings: Settings
    safety: Safety
    supply: Supply
    oil: Oil
    azimuth: Axis
    elevation: Axis
    camera_cable_wrap: Axis
    main_axes: tuple[Axis, Axis]
    mirror_covers: Deployables
    mirror_cover_locks: Deployables
    thermal: dict[System, Thermal]

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[Reply], None],
        *,
        tai: Callable[[], float] = current_tai,
        initial_commander: Source = Source.NONE,
        speed: float = 1.0,
        realistic: bool = False,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
        ready: bool = False,
        at_once: bool = True,
        operation_manager: bool = True,
        vendor_events: bool = False,
        log: logging.Logger | None = None,
    ) -> None:
        if not SLOWEST <= speed <= FASTEST:
            raise ValueError(f"speed: expected {SLOWEST} to {FASTEST}, got {speed}")
        if not 0 <= heartbeat_timeout < math.inf:
            raise ValueError(f"heartbeat_timeout: expected 0 or more seconds, got {heartbeat_timeout}")
        self._log = log or logging.getLogger(__name__)
        world = World(clock, tai, send, self._changed_later, self._log, speed, realistic)
        self.world: World = world
        self.commander: Source = initial_commander
        self.operation_manager: str = ENABLED
        self._announces_operation_manager = operation_manager
        self._vendor_events = vendor_events
        self._heartbeat_timeout = heartbeat_timeout
        self.at_once = at_once
        self._closed = False
        self._make_devices(world)
        if ready:
            self._make_ready()
        self._superseded: list[Superseded] = []
        self._state_requests: list[Execution] = []
        self._soon: set[IDelayedCall] = set()
        self._wake: IDelayedCall | None = None
        self._heartbeat: IDelayedCall | None = None
        self._topple: tuple[Path | None, list[Change]] = (None, [])
        self._first = Announcer(world, first_events(self))
        self._further = Announcer(world, further_events(self, vendor=vendor_events))
        self._restart_heartbeat()

    def _make_devices(self, world: World) -> None:
        self.settings = Settings()
        self.safety = Safety()
        self.supply = Supply(world, lambda: any(axis.powered for axis in self.main_axes))
        self.oil = Oil(world)
        check = self.supply.check_on
        self.azimuth = Axis(System.AZIMUTH, world, AZIMUTH, 0.0, may_power=check)
        self.elevation = Axis(System.ELEVATION, world, ELEVATION, 80.0, may_power=check)
        self.camera_cable_wrap = Axis(
            System.CAMERA_CABLE_WRAP, world, CAMERA_CABLE_WRAP, 0.0, needs_homing=False
        )
        self.main_axes = (self.azimuth, self.elevation)
        self.axes: tuple[Axis, Axis, Axis] = (*self.main_axes, self.camera_cable_wrap)
        for axis in self.axes:
            axis.targets_lost = partial(self._lost_targets, axis)
        self.mirror_covers = Deployables(System.MIRROR_COVERS, world, deployed=True)
        self.mirror_cover_locks = Deployables(System.MIRROR_COVER_LOCKS, world, deployed=False)
        self.thermal = {
            System.OIL_SUPPLY_SYSTEM: Thermal(System.OIL_SUPPLY_SYSTEM, world, 3, always_on=True),
            System.AZIMUTH_DRIVES_THERMAL: Thermal(System.AZIMUTH_DRIVES_THERMAL, world, 4),
            System.ELEVATION_DRIVES_THERMAL: Thermal(System.ELEVATION_DRIVES_THERMAL, world, 2),
            System.CABINET_0101_THERMAL: Thermal(System.CABINET_0101_THERMAL, world, 1),
            System.AUXILIARY_CABINETS_THERMAL: Thermal(
                System.AUXILIARY_CABINETS_THERMAL, world, 5, always_on=True
            ),
            System.TOP_END_CHILLER: Thermal(System.TOP_END_CHILLER, world, 1),
            System.MAIN_CABINET_THERMAL: Thermal(System.MAIN_CABINET_THERMAL, world, 1, always_on=True),
        }
        switched: dict[System, Device] = {system: device for system, device in self.thermal.items()}
        self.devices: dict[System, Device] = switched | {
            device.system: device
            for device in (*self.axes, self.mirror_covers, self.mirror_cover_locks, self.supply, self.oil)
        }
        self.alarms: Alarms = Alarms(self.devices, world.send, world.tai)
        self._parts = [*self.devices.values(), self.thermal[System.OIL_SUPPLY_SYSTEM]]

    def _make_ready(self) -> None:
        self.supply.turn(True)
        self.oil.turn_on()
        for axis in self.axes:
            axis.turn_on()
        for axis in self.main_axes:
            axis.homed = True

    # State.

    def power_state(self, system: System) -> PowerState:
        """Return the power of a device. The azimuth cable wrap has the same state as azimuth."""
        return self.devices[System.AZIMUTH if system is System.AZIMUTH_CABLE_WRAP else system].power_state

    def topple_block(self) -> tuple[bool, bool]:
        """Return two flags: azimuth touches the topple block's reverse side; azimuth touches its forward
        side."""
        now = self.world.clock.seconds()
        past = [change for change in self._topple_changes() if change.time <= now]
        if not past or past[-1].in_position:
            return False, False
        is_forward = self.azimuth.at(now).position > 0
        return not is_forward, is_forward

    def _topple_changes(self) -> list[Change]:
        path, changes = self._topple
        if path is not self.azimuth.path:
            changes = topple_changes(self.azimuth.path)
            self._topple = (self.azimuth.path, changes)
        return changes

    # Commands.

    def receive(self, command: Command) -> None:
        """Execute or refuse a command. After `close`, do nothing."""
        if self._closed:
            return
        if isinstance(command, Heartbeat):
            self._restart_heartbeat()
            return
        try:
            self._check_has_command(command)
            plan = handler_of(type(command))(self, command)
        except Refusal as refused:
            self.world.answer(CmdRejectedReply, command, explanation=refused.explanation)
            return
        plan.prepare()
        self.world.answer(CmdAcknowledgedReply, command, timeout=plan.timeout)
        plan.begin(Execution(command, plan.parts, self.world, self._superseded))
        self._report_superseded()
        self._changed()

    def _report_superseded(self) -> None:
        superseded, self._superseded[:] = list(self._superseded), []
        for each in superseded:
            each.report(self.world)

    def _check_has_command(self, command: Command) -> None:
        """Check the right to command. While the CSC has command, the mount does not look at the source.

        Source: protocol-tma2022.rst, "The mock controller".
        """
        if not command.needs_command or self.commander in (Source.CSC, command.source):
            return
        raise Refusal(f"The commander is {self.commander!r}, not the {command.source.name}.")

    def ask_for_command(self, command: AskForCommand) -> Plan:
        """Give command to a commander, or to none."""
        wanted = command.commander
        if wanted not in (Source.NONE, Source.CSC, Source.EUI, Source.HHD):
            raise refusal(f"{wanted!r} can't have command")
        if self.commander is Source.HHD and command.source is not Source.HHD and wanted is not Source.HHD:
            source = int(command.source)
            raise refusal(f"HHD has command; cannot give command to {wanted!r}; from source={source}")
        timeout = QUICK if wanted is self.commander else ASK_TIMEOUT
        return instantly(lambda _: self._give_command(wanted), timeout)

    def _give_command(self, commander: Source) -> None:
        if commander is not self.commander:
            self.commander = commander
            self._send_commander()
        self._restart_heartbeat()

    def _send_commander(self) -> None:
        self.world.send(CommanderReply(timestamp=self.world.tai(), actual_commander=self.commander))

    def reset_alarm(self, device: Device) -> Plan:
        """End the alarm of a device. While the main power supply is off, this has no effect on a main
        axis."""
        if device in self.main_axes and not self.supply.on:
            return instantly(nothing)

        def reset(command: Command) -> None:
            if self.alarms.reset(device.system):
                device.end_alarm()

        return instantly(reset)

    def set_interlock(self, mask: str, bit: int, active: bool) -> None:
        """Begin or end a condition of the safety system. An effect raises the alarm of its device.

        :param mask: a key of `safety.MASKS`.
        :raises ValueError: if there is no such mask or bit.
        """
        self.safety.set_bit(mask, bit, active)
        self._follow_effects()
        self._changed()

    def reset_safety(self, indexes: list[int]) -> None:
        """Forget stored causes of the safety system."""
        self.safety.reset(indexes)
        self._follow_effects()

    def _follow_effects(self) -> None:
        effects = self.safety.effects
        for bit, (subsystem, number) in ALARM_OF_EFFECT.items():
            entry = find(ALARM, subsystem, number)
            if effects >> bit & 1:
                self.alarms.begin_alarm(entry)
            else:
                self.alarms.end(entry)

    def _lost_targets(self, axis: Axis) -> None:
        """Put an axis that has waited too long for a target into alarm."""
        number = EXTRAPOLATION.get(axis.system) if self._vendor_events else None
        if number is None:
            axis.raise_alarm("Tracking timed out")
        else:
            entry = find(ALARM, *number)
            self.alarms.begin_alarm(entry)
            self.alarms.end(entry)

    def send_settings(self) -> Plan:
        """Send event 40 in a later turn, then the end of the command."""

        def send(execution: Execution) -> None:
            self.world.send(self.settings.event(self.world.tai()))
            execution.finish_part()

        return Plan(ASK_TIMEOUT, lambda execution: self._call_soon(send, execution))

    def send_state(self) -> Plan:
        """Send all events about the state, in two steps (protocol-tma2022.rst, "The mock controller"), then
        the end of the command."""

        def begin(execution: Execution) -> None:
            self._send_commander()
            self._first.send_all()
            self._state_requests.append(execution)
            if self.at_once:
                self._call_soon(self.look)

        return Plan(ASK_TIMEOUT, lambda execution: self._call_soon(begin, execution))

    def _call_soon(self, function: Callable[..., None], *args: Any) -> None:
        def call() -> None:
            self._soon.discard(timer)
            function(*args)

        timer = self.world.clock.callLater(0, call)
        self._soon.add(timer)

    # Events.

    def look(self) -> None:
        """Send the events with changed values. If a client has asked for the state, send the second half of
        the state, too."""
        looked_at = self.world.clock.seconds()
        if self._state_requests:
            requests, self._state_requests = self._state_requests, []
            self._first.send_changed()
            self._further.send_all()
            self.alarms.report_all()
            for execution in requests:
                execution.finish_part()
        else:
            self._first.send_changed()
            self._further.send_changed()
        if self.at_once:
            self._wake_at_next_change(looked_at)

    def _changed_later(self) -> None:
        """Follow a change that time has made: the second part of a command may supersede another one."""
        self._report_superseded()
        self._changed()

    def _changed(self) -> None:
        if self.at_once and not self._closed and not self._state_requests:
            self.look()

    def _wake_at_next_change(self, looked_at: float) -> None:
        """Look again at the next change.

        :param looked_at: time before the present look, s: a change may have come since then.
        """
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        times = [device.next_change(looked_at) for device in self._parts]
        times += [change.time for change in self._topple_changes() if change.time > looked_at]
        if (earliest := min(times)) < math.inf:
            delay = earliest - self.world.clock.seconds()
            self._wake = self.world.clock.callLater(max(0.0, delay) + SOON, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self._changed()

    def set_operation_manager(self, state: str) -> None:
        """Set the state of the Operation Manager, and send it if it has changed.

        :param state: such as `ENABLED` or `CONNECTING`.
        """
        if state != self.operation_manager:
            self.operation_manager = state
            if self._announces_operation_manager:
                self._send_operation_manager()

    def announce_operation_manager(self) -> None:
        """Send the state of the Operation Manager, event 50, as the real mount does at a connection."""
        if self._announces_operation_manager:
            self._send_operation_manager()

    def _send_operation_manager(self) -> None:
        # The Operation Manager's timestamps are Unix time; the PXI's are TAI (protocol-tma2022.rst, "Replies,
        # events and telemetry").
        now = self.world.tai() - TAI_AHEAD
        self.world.send(StateInfoReply(timestamp=now, state=self.operation_manager))

    # The heartbeat rule.

    def _restart_heartbeat(self) -> None:
        """Count the time without a heartbeat from now. A `Deadline` reads the sockets first if it is late, so
        that a busy simulator does not blame the commander."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
        if self.commander is not Source.NONE and self._heartbeat_timeout:
            self._heartbeat = Deadline(self.world.clock, self._heartbeat_timeout, self._lose_heartbeat)

    def _lose_heartbeat(self) -> None:
        self._heartbeat = None
        name = self.commander.name
        self._log.warning(
            "no heartbeat from the %s for %g s: it loses command", name, self._heartbeat_timeout
        )
        self._give_command(Source.NONE)
        for axis in self.axes:
            if axis.powered:
                axis.raise_alarm(f"No heartbeat from the {name}")

    def close(self) -> None:
        """Stop all timers. Commands in progress are never answered."""
        self._closed = True
        for timer in (self._wake, self._heartbeat, *self._soon):
            if timer is not None and timer.active():
                timer.cancel()
        self._soon.clear()
        for device in self._parts:
            device.close()
