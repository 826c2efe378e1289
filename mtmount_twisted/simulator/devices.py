"""The devices that are no axes: covers, locks, oil, power, chiller, interlock.

Each `Device` has a table from the end of a command's name to the method that plans it: the
device ``MirrorCovers`` plans `MirrorCoversDeploy` with what it has under ``Deploy``. A method
only checks and returns a `Plan`; things change when the plan begins.

All devices: one in alarm takes only its reset-alarm command and what turns something off.

Next to read: `axis` (the axes), `mount` (all of them together).
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
"""Checks a command and plans it. It takes the command class of its place in the table."""

OIL_WARM_UP = 15 * 60.0
"""How long the oil supply system takes to turn on, s (protocol-tma2020.rst)."""

MAIN_POWER_WARM_UP = 2 * 60.0
"""How long the main power supply takes to turn on, s (protocol-tma2020.rst)."""

ALL_DRIVES = -1
COVER_DRIVES = range(4)
"""The drive numbers of mirror covers and of mirror cover locks; a choice of ours."""


class Device:
    """What all devices have: a name, an alarm, parts and a table of methods.

    :param prefix: what the names of its commands begin with.
    :param subsystem: who it is in its errors.
    :ivar alarm: what is wrong, or None.
    """

    def __init__(self, prefix: str, subsystem: SubsystemId, world: World) -> None:
        self.prefix = prefix
        self.subsystem = subsystem
        self.world = world
        self.alarm: str | None = None
        self.methods: dict[str, Method] = {"ResetAlarm": self.reset_alarm}
        self.parts: list[Part] = []

    def check_no_alarm(self, command: Command) -> None:
        """:raises CommandRefused: if it is in alarm."""
        if self.alarm is not None:
            raise CommandRefused(command, f"{self.prefix} is in alarm: {self.alarm}; reset the alarm first")

    def raise_alarm(self, explanation: str) -> None:
        """Stop, fail what it is busy with and take no more until the alarm is reset."""
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
        """Stop whatever moves or runs, as an alarm does."""

    def close(self) -> None:
        """Stop all timers."""
        for part in self.parts:
            part.close()


class Switch(Part):
    """Something that is on or off, and may take time to turn on.

    :param warm_up: how long the real one takes to turn on, s.
    """

    def __init__(self, world: World, warm_up: float = 0.0) -> None:
        super().__init__(world.clock)
        self._warm_up = warm_up / world.speed
        self._realistic = world.realistic
        self.on = False

    def plan(self, on: bool) -> Plan:
        """Turn on or off. Only turning on what is off takes time."""
        if not on or self.on or not self._warm_up:
            return Plan(INSTANT, lambda execution: self.begin(execution, 0.0, lambda: self.turn(on)))
        duration = self._warm_up if self._realistic else 0.0
        return Plan(self._warm_up, lambda execution: self.begin(execution, duration, lambda: self.turn(on)))

    def turn(self, on: bool) -> None:
        """Be on or off from now on."""
        self.on = on


class Switches(Device):
    """A device that is nothing but switches, each with its own command, and perhaps one for all.

    :param switches: the switch of each command, by the end of its name.
    """

    def __init__(
        self, prefix: str, subsystem: SubsystemId, world: World, switches: dict[str, Switch]
    ) -> None:
        super().__init__(prefix, subsystem, world)
        self.switches = switches
        self.parts += switches.values()
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
    """Cooling, oil and main pump, separately or together."""
    names = ("PowerCooling", "PowerOil", "PowerMainPump")
    switches = {name: Switch(world, OIL_WARM_UP) for name in names}
    return Switches("OilSupplySystem", SubsystemId.OIL_SUPPLY_SYSTEM, world, switches)


def main_power_supply(world: World) -> Switches:
    """One switch, slow to turn on."""
    switches = {"Power": Switch(world, MAIN_POWER_WARM_UP)}
    return Switches("MainPowerSupply", SubsystemId.MAIN_POWER_SUPPLY, world, switches)


class Chiller(Switches):
    """The top-end chiller: it can follow the ambient temperature while its power is on.

    :ivar tracking_ambient: True if it follows the ambient temperature.
    :ivar temperature: the last setpoint, °C, or None.
    """

    def __init__(self, world: World) -> None:
        super().__init__("TopEndChiller", SubsystemId.TOP_END_CHILLER, world, {"Power": Switch(world)})
        self.methods["TrackAmbient"] = self.track_ambient
        self.tracking_ambient = False
        self.temperature: float | None = None

    def power(self, command: Any) -> Plan:
        """Turn on or off. Off also ends following the ambient temperature."""
        plan = super().power(command)
        return plan if command.on else together([plan, instantly(lambda _: self.halt())])

    def track_ambient(self, command: Any) -> Plan:
        """Follow the ambient temperature, or stop doing so."""
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
    """The safety interlock, of which only the alarm and its reset are simulated."""

    def __init__(self, world: World) -> None:
        super().__init__("Safety", SubsystemId.INTERLOCK, world)
        self.methods = {"Reset": self.reset_alarm}


class Drive(Part):
    """One drive of mirror covers or locks, which goes at even velocity.

    :param position: where it is at first, %.
    :param velocity: how fast it goes, %/s.
    """

    def __init__(self, world: World, position: float, velocity: float) -> None:
        super().__init__(world.clock)
        self._velocity = velocity * world.speed
        self._path = rest(world.clock.seconds(), position)
        self.powered = False

    @property
    def position(self) -> float:
        """Where it is now, %."""
        return self._path.at(self._clock.seconds()).position

    def halt(self) -> None:
        """Stand still from now on."""
        self._path = rest(self._clock.seconds(), self.position)

    def plan_move(self, goal: float) -> Plan:
        """Go to a position, %."""
        path = glide(self._clock.seconds(), self.position, goal, self._velocity)

        def begin(execution: Any) -> None:
            self._path = path
            self.begin(execution, path.duration)

        return Plan(path.duration, begin)


class Covers(Device):
    """Mirror covers or mirror cover locks: four drives, each with its own power and position.

    A command to some drives supersedes what those drives are busy with, and only that; other
    drives of a superseded command go on to where it sent them.

    :param position: where the drives are at first, %.
    :param velocity: how fast they go, %/s.
    :param deployed, retracted: the positions that these words mean, %.
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
        self.drives = [Drive(world, deployed, velocity) for _ in COVER_DRIVES]
        self.parts += self.drives
        self.methods |= {
            "Power": self.power,
            "Stop": self.stop,
            "Deploy": lambda command: self.move(command, deployed),
            "Retract": lambda command: self.move(command, retracted),
            "MoveAll": lambda command: self.move(command, deployed if command.deploy else retracted),
        }

    def chosen(self, command: Any) -> list[Drive]:
        """The drives that a command is for.

        :raises CommandRefused: if it has no such drive.
        """
        if command.drive == ALL_DRIVES:
            return self.drives
        if command.drive not in COVER_DRIVES:
            known = f"{COVER_DRIVES[0]} to {COVER_DRIVES[-1]}, or {ALL_DRIVES} for all"
            raise CommandRefused(command, f"{self.prefix} has no drive {command.drive}: drives are {known}")
        return [self.drives[command.drive]]

    def _ready(self, command: Any) -> list[Drive]:
        """The drives that a command is for, which must be able to move."""
        drives = self.chosen(command)
        self.check_no_alarm(command)
        off = [str(self.drives.index(drive)) for drive in drives if not drive.powered]
        if off:
            which = f"{self.prefix} drive {', '.join(off)}"
            raise CommandRefused(command, f"{which} is off: turn its power on first")
        return drives

    def power(self, command: Any) -> Plan:
        """Turn drives on or off. Off stops them."""
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
        """Stop drives where they are."""
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
        """End the alarm of the device, which all drives share."""
        self.chosen(command)
        return super().reset_alarm(command)

    def halt(self) -> None:
        """Stop all drives."""
        for drive in self.drives:
            drive.halt()


def mirror_covers(world: World) -> Covers:
    """The mirror covers: closed is deployed, at 0 %."""
    return Covers(
        "MirrorCovers", SubsystemId.MIRROR_COVERS, world, velocity=50.0, deployed=0.0, retracted=100.0
    )


def mirror_cover_locks(world: World) -> Covers:
    """The mirror cover locks: locked is deployed, at 100 %."""
    return Covers(
        "MirrorCoverLocks",
        SubsystemId.MIRROR_COVER_LOCKS,
        world,
        velocity=100.0,
        deployed=100.0,
        retracted=0.0,
    )
