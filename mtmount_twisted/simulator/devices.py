"""The devices besides the axes: covers, locks, oil supply, power supply, chiller, interlock.

Each `Device` has a table from the end of a command's name to the method that plans the command: the device
``MirrorCovers`` plans `MirrorCoversDeploy` with its method for ``Deploy``. Such a method only checks the
command and returns a `Plan`. The device changes when the plan begins.

A device in alarm accepts only its reset-alarm command and commands that turn something off.

They touch only the clock. Next to read: `axis` (the axes), `mount` (all devices together).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mtmount_twisted.dialects.tma2020.commands import Command
from mtmount_twisted.dialects.tma2020.enums import SubsystemId
from mtmount_twisted.dialects.tma2020.replies import ErrorReply
from mtmount_twisted.errors import CommandRefused

from .execution import INSTANT, Part, Plan, World, instantly, together
from .motion import glide, rest

Method = Callable[[Any], Plan]
"""A function that checks a command and plans it. Its argument has the command class of its table entry."""

OIL_WARM_UP = 15 * 60.0
"""Time in which the oil supply system turns on, s (protocol-tma2020.rst)."""

MAIN_POWER_WARM_UP = 2 * 60.0
"""Time in which the main power supply turns on, s (protocol-tma2020.rst)."""

ALL_DRIVES = -1
COVER_DRIVES = range(4)
"""The drive numbers of mirror covers and of mirror cover locks. The protocol does not define them."""


class Device:
    """Base class of devices: a name, an alarm, parts and a table of methods.

    :param prefix: beginning of the names of its commands.
    :param subsystem: its subsystem in errors.
    :ivar alarm: description of the alarm, or None.
    """

    def __init__(self, prefix: str, subsystem: SubsystemId, world: World) -> None:
        self.prefix = prefix
        self.subsystem = subsystem
        self.world = world
        self.alarm: str | None = None
        self.methods: dict[str, Method] = {"ResetAlarm": self.reset_alarm}
        self.parts: list[Part] = []

    def check_no_alarm(self, command: Command) -> None:
        """Check that the device is not in alarm.

        :raises CommandRefused: if it is.
        """
        if self.alarm is not None:
            raise CommandRefused(command, f"{self.prefix} is in alarm: {self.alarm}; reset the alarm first")

    def raise_alarm(self, explanation: str) -> None:
        """Stop, fail the command in progress, and accept no more commands until the alarm is reset."""
        if self.alarm is not None:
            return
        self.alarm = explanation
        for part in self.parts:
            part.fail(f"{self.prefix} is in alarm: {explanation}")
        self._send_error(explanation)
        self.halt()

    def reset_alarm(self, command: Command) -> Plan:
        """End the alarm, if there is one."""
        return instantly(lambda command: self._end_alarm())

    def _end_alarm(self) -> None:
        explanation, self.alarm = self.alarm, None
        if explanation is not None:
            self._send_error(explanation)

    def _send_error(self, explanation: str) -> None:
        in_alarm = self.alarm is not None
        error = ErrorReply(
            on=in_alarm,
            active=in_alarm,
            code=self.subsystem + 1,
            subsystem=f"{int(self.subsystem)}. Simulator/{self.prefix}",
            extra_data=(explanation,),
        )
        self.world.send(error)

    def halt(self) -> None:
        """Stop all motion and operation, as an alarm does."""

    def close(self) -> None:
        """Stop all timers."""
        for part in self.parts:
            part.close()


class Switch(Part):
    """A part that is on or off, and may take time to turn on.

    :param warm_up: time in which the real part turns on, s.
    """

    def __init__(self, world: World, warm_up: float = 0.0) -> None:
        super().__init__(world.clock)
        self._warm_up = warm_up / world.speed
        self._realistic = world.realistic
        self.on: bool = False

    def plan(self, on: bool) -> Plan:
        """Turn on or off. Only the change from off to on takes time."""
        if not on or self.on or not self._warm_up:
            return Plan(INSTANT, lambda execution: self.begin(execution, 0.0, lambda: self.turn(on)))
        duration = self._warm_up if self._realistic else 0.0
        return Plan(self._warm_up, lambda execution: self.begin(execution, duration, lambda: self.turn(on)))

    def turn(self, on: bool) -> None:
        """Set the state at once."""
        self.on = on


class Switches(Device):
    """A device made of switches, each with its own command, and perhaps with one command for all.

    :param switches: the switch of each command, by the end of the command's name.
    """

    def __init__(
        self, prefix: str, subsystem: SubsystemId, world: World, switches: dict[str, Switch]
    ) -> None:
        super().__init__(prefix, subsystem, world)
        self.switches = switches
        self.parts.extend(switches.values())
        self.methods["Power"] = self.power
        for name, switch in switches.items():
            self.methods.setdefault(name, partial(self.turn, switches=[switch]))

    def power(self, command: Any) -> Plan:
        """Turn all switches on or off."""
        return self.turn(command, list(self.switches.values()))

    def turn(self, command: Any, switches: list[Switch]) -> Plan:
        """Turn some switches on or off."""
        if command.on:
            self.check_no_alarm(command)
        return together([switch.plan(command.on) for switch in switches])

    def halt(self) -> None:
        """Turn everything off."""
        for switch in self.switches.values():
            switch.turn(False)


def oil_supply_system(world: World) -> Switches:
    """Return the oil supply system: cooling, oil and main pump, with separate commands and a common one."""
    names = ("PowerCooling", "PowerOil", "PowerMainPump")
    switches = {name: Switch(world, OIL_WARM_UP) for name in names}
    return Switches("OilSupplySystem", SubsystemId.OIL_SUPPLY_SYSTEM, world, switches)


def main_power_supply(world: World) -> Switches:
    """Return the main power supply: one switch, which takes time to turn on."""
    switches = {"Power": Switch(world, MAIN_POWER_WARM_UP)}
    return Switches("MainPowerSupply", SubsystemId.MAIN_POWER_SUPPLY, world, switches)


class Chiller(Switches):
    """The top-end chiller. While its power is on, it can follow the ambient temperature.

    :ivar tracking_ambient: True if it follows the ambient temperature.
    :ivar temperature: the last set point, °C, or None.
    """

    def __init__(self, world: World) -> None:
        super().__init__("TopEndChiller", SubsystemId.TOP_END_CHILLER, world, {"Power": Switch(world)})
        self.methods["TrackAmbient"] = self.track_ambient
        self.tracking_ambient: bool = False
        self.temperature: float | None = None

    def power(self, command: Any) -> Plan:
        """Turn on or off. Turning off also ends following the ambient temperature."""
        plan = super().power(command)
        return plan if command.on else together([plan, instantly(lambda _: self.halt())])

    def track_ambient(self, command: Any) -> Plan:
        """Follow the ambient temperature, or stop following it."""
        if command.on:
            self.check_no_alarm(command)
            if not self.switches["Power"].on:
                raise CommandRefused(command, f"{self.prefix} is off: turn its power on first")
        return instantly(lambda _: self._track(command))

    def _track(self, command: Any) -> None:
        self.tracking_ambient = command.on
        self.temperature = command.temperature

    def halt(self) -> None:
        """Turn everything off."""
        super().halt()
        self.tracking_ambient = False


class Interlock(Device):
    """The safety interlock. Only its alarm and the reset of the alarm are simulated."""

    def __init__(self, world: World) -> None:
        super().__init__("Safety", SubsystemId.INTERLOCK, world)
        self.methods: dict[str, Method] = {"Reset": self.reset_alarm}


class Drive(Part):
    """One drive of mirror covers or locks, which moves at constant velocity.

    :param position: initial position, %.
    :param velocity: velocity, %/s.
    """

    def __init__(self, world: World, position: float, velocity: float) -> None:
        super().__init__(world.clock)
        self._velocity = velocity * world.speed
        self._path = rest(world.clock.seconds(), position)
        self.powered = False

    @property
    def position(self) -> float:
        """Present position, %."""
        return self._path.at(self._clock.seconds()).position

    def halt(self) -> None:
        """Stand still from now on."""
        self._path = rest(self._clock.seconds(), self.position)

    def plan_move(self, goal: float) -> Plan:
        """Move to a position, %."""
        path = glide(self._clock.seconds(), self.position, goal, self._velocity)

        def begin(execution: Any) -> None:
            self._path = path
            self.begin(execution, path.duration)

        return Plan(path.duration, begin)


class Covers(Device):
    """Mirror covers or mirror cover locks: four drives, each with its own power and position.

    A command to some drives supersedes only the commands in progress of these drives. Other drives of a
    superseded command continue to their goal.

    :param position: initial position of the drives, %.
    :param velocity: velocity of the drives, %/s.
    :param deployed, retracted: positions for these two words, %.
    """

    def __init__(
        self,
        prefix: str,
        subsystem: SubsystemId,
        world: World,
        *,
        velocity: float,
        deployed: float,
        retracted: float,
    ) -> None:
        super().__init__(prefix, subsystem, world)
        self.drives: list[Drive] = [Drive(world, deployed, velocity) for _ in COVER_DRIVES]
        self.parts.extend(self.drives)
        self.methods.update(
            {
                "Power": self.power,
                "Stop": self.stop,
                "Deploy": lambda command: self.move(command, deployed),
                "Retract": lambda command: self.move(command, retracted),
                "MoveAll": lambda command: self.move(command, deployed if command.deploy else retracted),
            }
        )

    def chosen(self, command: Any) -> list[Drive]:
        """Return the drives that a command addresses.

        :raises CommandRefused: if there is no such drive.
        """
        if command.drive == ALL_DRIVES:
            return self.drives
        if command.drive not in COVER_DRIVES:
            known = f"{COVER_DRIVES[0]} to {COVER_DRIVES[-1]}, or {ALL_DRIVES} for all"
            raise CommandRefused(command, f"{self.prefix} has no drive {command.drive}: drives are {known}")
        return [self.drives[command.drive]]

    def _ready(self, command: Any) -> list[Drive]:
        """Return the drives that a command addresses, after a check that they can move."""
        drives = self.chosen(command)
        self.check_no_alarm(command)
        off = [str(self.drives.index(drive)) for drive in drives if not drive.powered]
        if off:
            which = f"{self.prefix} drive {', '.join(off)}"
            raise CommandRefused(command, f"{which} is off: turn its power on first")
        return drives

    def power(self, command: Any) -> Plan:
        """Turn drives on or off. Turning off stops them."""
        drives = self.chosen(command)
        if command.on:
            self.check_no_alarm(command)
        return instantly(lambda _: self._power(drives, command))

    def _power(self, drives: list[Drive], command: Any) -> None:
        for drive in drives:
            drive.powered = command.on
        if not command.on:
            self._stop(drives, command)

    def stop(self, command: Any) -> Plan:
        """Stop drives at their present positions."""
        drives = self._ready(command)
        return instantly(lambda _: self._stop(drives, command))

    def _stop(self, drives: list[Drive], command: Command) -> None:
        for drive in drives:
            drive.supersede(command)
            drive.halt()

    def move(self, command: Any, goal: float) -> Plan:
        """Move drives to a position, %."""
        return together([drive.plan_move(goal) for drive in self._ready(command)])

    def reset_alarm(self, command: Any) -> Plan:
        """End the alarm of the device, which all its drives share."""
        self.chosen(command)
        return super().reset_alarm(command)

    def halt(self) -> None:
        """Stop all drives."""
        for drive in self.drives:
            drive.halt()


def mirror_covers(world: World) -> Covers:
    """Return the mirror covers: deployed means closed, at 0 %."""
    return Covers(
        "MirrorCovers", SubsystemId.MIRROR_COVERS, world, velocity=50.0, deployed=0.0, retracted=100.0
    )


def mirror_cover_locks(world: World) -> Covers:
    """Return the mirror cover locks: deployed means locked, at 100 %."""
    return Covers(
        "MirrorCoverLocks",
        SubsystemId.MIRROR_COVER_LOCKS,
        world,
        velocity=100.0,
        deployed=100.0,
        retracted=0.0,
    )
