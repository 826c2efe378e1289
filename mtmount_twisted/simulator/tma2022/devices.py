"""The devices besides the axes: power supply, oil, covers and locks, thermal control, and the chiller.

A method of a device checks its share of a command and returns a `Plan`. The device changes only when the plan
begins. The alarm of a device turns it off, and it stays off until the alarm is reset.

This module touches only the clock. Next to read: `axis` (the axes), `mount` (all devices together, and the
table of commands).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from mtmount_twisted.dialects.tma2022.commands import Command
from mtmount_twisted.dialects.tma2022.enums import (
    CommandCode,
    DeployableMotionState,
    PowerState,
    System,
    ThermalMode,
)

from ..motion import Path, glide, rest
from .execution import QUICK, SETTLING, Execution, Part, Plan, Refusal, World, instantly, invalid, refusal

ALL = -1
"""Number that stands for all drives or cabinets of a device."""

COVERS = 4
"""Number of mirror covers, and of their locks."""

STROKE = 1.0
"""Time of a stroke of a mirror cover or of a lock, s (protocol-tma2022.rst, "The motion of the mount")."""

COVER_SYSTEM_TIMEOUT = 4
"""Timeout in the Ack of 41 and 42, s (protocol-tma2022.rst, "The mock controller")."""

OIL_WARM_UP = 900
"""Time in which the oil supply system turns on, s (protocol-tma2022.rst, "The motion of the mount")."""

OIL_TURN_OFF = 1
"""Timeout in the Ack of the commands that turn the oil supply system off, s."""

SUPPLY_WARM_UP = 120
"""Time in which the main axes' power supply turns on, s."""

AMBIENT = 4.0
"""Ambient temperature, °C: the set point in event 103 for a part that follows the ambient temperature
(protocol-tma2022.rst, "The mock controller")."""


class Device:
    """Base class of devices: a system, its alarm and the parts that work on its commands.

    :param system: the number of the device in events.
    :ivar in_alarm: True while an alarm is latched.
    """

    def __init__(self, system: System, world: World) -> None:
        self.system = system
        self.world = world
        self.in_alarm: bool = False
        self.parts: list[Part] = []
        self.alarm_ended: Callable[[], None] = lambda: None

    @property
    def power_state(self) -> PowerState:
        """Its power, as event 100 has it."""
        raise NotImplementedError

    def raise_alarm(self, explanation: str) -> None:
        """Fail the command in progress, turn the device off, and keep it off until the alarm is reset."""
        self.in_alarm = True
        for part in self.parts:
            part.fail(explanation)
        self.shut_down()
        self.world.changed()

    def end_alarm(self) -> None:
        """End the alarm, if there is one."""
        self.in_alarm = False

    def check_no_alarm(self) -> None:
        """Check that the device may be turned on.

        :raises Refusal: if it is in alarm.
        """
        if self.in_alarm:
            raise refusal("Cannot turn on while an alarm is active.")

    def shut_down(self) -> None:
        """Turn the device off, because of an alarm."""

    def next_change(self, now: float) -> float:
        """Return the next time at which its state changes by itself; infinite if there is none."""
        return math.inf

    def close(self) -> None:
        """Stop all timers."""
        for part in self.parts:
            part.close()


def _state(in_alarm: bool, on: bool) -> PowerState:
    if in_alarm:
        return PowerState.FAULT
    return PowerState.ON if on else PowerState.OFF


class Switch(Device):
    """A device that is on or off, and may take time to turn on.

    :param warm_up: time in which the real device turns on, s.
    :param timeout_off: timeout in the Ack of the command that turns it off, s.
    :ivar on: True if the device is on.
    """

    def __init__(
        self,
        system: System,
        world: World,
        *,
        warm_up: float = 0.0,
        timeout_off: float = QUICK,
        on: bool = False,
    ) -> None:
        super().__init__(system, world)
        self.on: bool = on
        self._warm_up = warm_up
        self._timeout_off = timeout_off
        self._part = Part(world)
        self.parts.append(self._part)

    @property
    def power_state(self) -> PowerState:
        """Its power, as event 100 has it."""
        return PowerState.TURNING_ON if self._part.is_busy else _state(self.in_alarm, self.on)

    def power(self, on: bool, code: CommandCode) -> Plan:
        """Turn on or off. Only a change from off to on takes time, and only in a realistic mount."""
        if not on:
            return self._instantly(False, code, self._timeout_off)
        self.check_no_alarm()
        timeout = self._warm_up / self.world.speed if self._warm_up else QUICK
        if self.on or not self._warm_up or not self.world.realistic:
            return self._instantly(True, code, timeout)

        def begin(execution: Execution) -> None:
            self._part.supersede(execution.command, code)
            self._part.begin(execution, timeout, lambda: self.turn(True))

        return Plan(timeout, begin)

    def _instantly(self, on: bool, code: CommandCode, timeout: float) -> Plan:
        def turn(command: Command) -> None:
            self._part.supersede(command, code)
            self.turn(on)

        return instantly(turn, timeout)

    def turn(self, on: bool) -> None:
        """Set the state at once."""
        self.on = on

    def shut_down(self) -> None:
        """Turn off, because of an alarm."""
        self.turn(False)


class Supply(Switch):
    """The power supply of the main axes.

    :param is_used: function that returns True while an axis has power.
    """

    def __init__(self, world: World, is_used: Callable[[], bool]) -> None:
        super().__init__(System.MAIN_AXES_POWER_SUPPLY, world, warm_up=SUPPLY_WARM_UP, timeout_off=0)
        self._is_used = is_used

    def check_on(self) -> None:
        """Check that an axis may be turned on.

        :raises Refusal: if the supply is off.
        """
        if not self.on:
            raise refusal("Main power supply not powered on")

    def turn(self, on: bool) -> None:
        """Set the state. The supply goes into alarm if it is turned off while an axis has power."""
        if not on and self.on and self._is_used():
            self.in_alarm = True  # protocol-tma2022.rst, "The mock controller"
        super().turn(on)


class Oil(Device):
    """The oil supply system: cooling, circulation pump and main pump, in this order.

    :ivar auto: True in auto mode, where command 801 turns all three on or off; False in manual mode.
    :ivar parts_on: for each of the three, True if it is on.
    """

    def __init__(self, world: World) -> None:
        super().__init__(System.OIL_SUPPLY_SYSTEM, world)
        self.auto: bool = False
        self.parts_on: list[bool] = [False, False, False]
        self._part = Part(world)
        self.parts.append(self._part)

    @property
    def power_state(self) -> PowerState:
        """The state of its power, for event 100: on if all three are on."""
        return PowerState.TURNING_ON if self._part.is_busy else _state(self.in_alarm, all(self.parts_on))

    def part_states(self) -> tuple[PowerState, ...]:
        """Return the states of the power of cooling, circulation pump and main pump, for event 102."""
        return tuple(_state(self.in_alarm, on) for on in self.parts_on)

    def set_mode(self, auto: bool) -> Plan:
        """Set auto or manual mode."""
        return instantly(lambda _: setattr(self, "auto", auto))

    def power(self, on: bool) -> Plan:
        """Turn all three on or off."""
        if not self.auto:
            raise refusal("Must be in auto mode")
        return self._turning(range(3), on, CommandCode.OIL_SUPPLY_SYSTEM_POWER)

    def power_part(self, index: int, on: bool) -> Plan:
        """Turn one of the three on or off, in order.

        :param index: 0 the cooling, 1 the circulation pump, 2 the main pump.
        """
        if self.auto:
            raise refusal("Must be in manual mode")
        # They turn on in this order, and off in the reverse order (protocol-tma2022.rst, "The motion of the
        # mount").
        if on and not all(self.parts_on[:index]):
            raise refusal(f"{_OIL_PARTS[index - 1]} must be on")
        if not on and any(self.parts_on[index + 1 :]):
            raise refusal(f"{_OIL_PARTS[index + 1]} must be off")
        return self._turning([index], on, CommandCode[f"OIL_SUPPLY_SYSTEM_POWER_{_OIL_CODES[index]}"])

    def _turning(self, indexes: Sequence[int], on: bool, code: CommandCode) -> Plan:
        if on:
            self.check_no_alarm()

        def turn() -> None:
            for index in indexes:
                self.parts_on[index] = on

        def turn_now(command: Command) -> None:
            self._part.supersede(command, code)
            turn()

        if 0 not in indexes:  # the pumps start at once
            return instantly(turn_now)
        timeout: float = OIL_WARM_UP / self.world.speed if on else OIL_TURN_OFF
        if not on or not self.world.realistic or all(self.parts_on[index] for index in indexes):
            return instantly(turn_now, timeout)

        def begin(execution: Execution) -> None:
            self._part.supersede(execution.command, code)
            self._part.begin(execution, timeout, turn)

        return Plan(timeout, begin)

    def turn_on(self) -> None:
        """Turn all three on in auto mode, the state in which a mount is ready."""
        self.auto = True
        self.parts_on = [True, True, True]

    def shut_down(self) -> None:
        """Turn all three off, because of an alarm."""
        self.parts_on = [False, False, False]


_OIL_PARTS = ("Cooling", "Circulation pump", "Main pump")
_OIL_CODES = ("COOLING", "CIRCULATION_PUMP", "MAIN_PUMP")


class Deployables(Device):
    """The mirror covers, or their locks: four drives that move as one, even if a command names one drive.

    :param deployed: True to begin deployed.
    :ivar powered: True if their power is on.
    """

    def __init__(self, system: System, world: World, *, deployed: bool) -> None:
        super().__init__(system, world)
        self.powered: bool = False
        self._goal = float(deployed)
        self._path: Path = rest(world.clock.seconds(), self._goal)
        self._part = Part(world)
        self.parts.append(self._part)

    def _now(self) -> float:
        return self.world.clock.seconds()

    def position(self, time: float) -> float:
        """Return the position at a time on the mount's clock: 0 retracted, 1 deployed."""
        return self._path.at(time).position

    @property
    def power_state(self) -> PowerState:
        """The state of their power, for event 100."""
        return _state(self.in_alarm, self.powered)

    @property
    def motion_state(self) -> DeployableMotionState:
        """Their state of motion, for events 202 and 203."""
        now = self._now()
        if now < self._path.end:
            return DeployableMotionState.DEPLOYING if self._goal else DeployableMotionState.RETRACTING
        if self.position(now) not in (0.0, 1.0):
            return DeployableMotionState.LOST
        return DeployableMotionState.DEPLOYED if self.position(now) else DeployableMotionState.RETRACTED

    def next_change(self, now: float) -> float:
        """Return the end of the present stroke; infinite if there is none."""
        return self._path.end if self._path.end > now else math.inf

    def _warn_of_single(self, drive: int) -> None:
        if drive != ALL:
            self.world.log.warning(
                "%s: the command is for drive %d, but all of them obey", self.system.name, drive
            )

    def power(self, drive: int, on: bool) -> Plan:
        """Turn on or off. Turning off stops them."""
        self._warn_of_single(drive)
        if on:
            self.check_no_alarm()
            return instantly(lambda _: setattr(self, "powered", True))

        def turn_off(command: Command) -> None:
            self._supersede(command, "POWER")
            self.shut_down()

        return instantly(turn_off)

    def stop(self, drive: int) -> Plan:
        """Stand still at the present position."""
        self._warn_of_single(drive)
        self._check_ready()

        def stop(command: Command) -> None:
            self._supersede(command, "STOP")
            self._stand_still()

        return instantly(stop)

    def move(
        self, drive: int, deploy: bool, action: str, then: Callable[[Execution], None] | None = None
    ) -> Plan:
        """Deploy or retract.

        :param action: end of the name of the code that supersedes a command in progress.
        :param then: called with the execution when the motion has succeeded, before the part finishes.
        """
        self._warn_of_single(drive)
        self._check_ready()

        def begin(execution: Execution) -> None:
            self._supersede(execution.command, action)
            self._goal = float(deploy)
            self._path = self._path_to(self._goal)
            if then is None:
                self._part.begin(execution, self._path.duration, None, SETTLING)
            else:
                self._part.begin(execution, self._path.duration + SETTLING, partial(then, execution))

        return Plan(self._path_to(float(deploy)).duration, begin, prepare=self._part.finish_if_arrived)

    def action(self, deploy: bool) -> str:
        """Return the end of the name of the code that moves all four."""
        if self.system is System.MIRROR_COVER_LOCKS:
            return "MOVE_ALL"
        return "DEPLOY" if deploy else "RETRACT"

    def _path_to(self, goal: float) -> Path:
        now = self._now()
        return glide(now, self.position(now), goal, self.world.speed / STROKE)

    def _check_ready(self) -> None:
        if self.in_alarm or not self.powered:
            raise refusal(f"{self.system!r} off")

    def _supersede(self, command: Command, action: str) -> None:
        self._part.supersede(command, CommandCode[f"{self.system.name}_{action}"])

    def _stand_still(self) -> None:
        now = self._now()
        self._path = rest(now, self.position(now))

    def shut_down(self) -> None:
        """Stand still and turn the power off."""
        self.powered = False
        self._stand_still()


def one_after_the_other(first: Deployables, second: Deployables, *, deploy: bool) -> Plan:
    """Return the plan of commands 41 and 42, which deploy or retract first one device, then the other."""

    def move_second(execution: Execution) -> None:
        try:
            second.move(ALL, deploy, second.action(deploy)).begin(execution)
        except Refusal as refused:  # its power was turned off in the meantime
            execution.fail(refused.explanation)

    plan = first.move(ALL, deploy, first.action(deploy), move_second)
    second.move(ALL, deploy, second.action(deploy))  # so that its refusal comes before anything has begun
    return Plan(COVER_SYSTEM_TIMEOUT, plan.begin, parts=2, prepare=plan.prepare)


class Thermal(Switch):
    """Thermal control of a device with one or more parts.

    :param count: number of parts.
    :param always_on: True if the device has no power switch.
    :ivar set_points: the set point of each part, °C.
    :ivar follows_ambient: for each part, True if it follows the ambient temperature.
    """

    def __init__(self, system: System, world: World, count: int, *, always_on: bool = False) -> None:
        super().__init__(system, world, on=always_on)
        self.count = count
        self._always_on = always_on
        self.set_points: list[float] = [0.0] * count
        self.follows_ambient: list[bool] = [False] * count

    def control(self, drive: int, mode: ThermalMode, set_point: float) -> Plan:
        """Set the mode and the set point."""
        if mode not in (ThermalMode.TRACK_SETPOINT, ThermalMode.TRACK_AMBIENT):
            raise refusal(
                f"mode={mode!r}; the only modes supported by this mock are TRACK_SETPOINT and TRACK_AMBIENT"
            )
        if not math.isfinite(set_point):
            raise invalid(f"setpoint={set_point} is not finite")
        chosen = self.chosen(drive)
        self.check_on()

        def set_mode(command: Command) -> None:
            for index in chosen:
                self.follows_ambient[index] = mode is ThermalMode.TRACK_AMBIENT
                self.set_points[index] = AMBIENT if self.follows_ambient[index] else set_point

        return instantly(set_mode)

    def chosen(self, drive: int) -> Sequence[int]:
        """Return the parts that a number in a command stands for.

        :raises Refusal: if there is no such part.
        """
        if drive == ALL:
            return range(self.count)
        if not 0 <= drive < self.count:
            raise refusal(f"{self.system!r} has no part {drive}, only 0 to {self.count - 1}, and -1 for all")
        return [drive]

    def check_on(self) -> None:
        """Check that the device accepts a mode and a set point.

        :raises Refusal: if the device is off or in alarm.
        """
        if self.in_alarm or not self.on:
            raise refusal(f"{self.system!r} off")

    def end_alarm(self) -> None:
        """End the alarm. A device without a switch works again."""
        super().end_alarm()
        self.on: bool = self.on or self._always_on
