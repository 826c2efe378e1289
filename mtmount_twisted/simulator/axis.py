"""An axis: azimuth, elevation or camera cable wrap.

An axis always has a `Path`. It has a `Target` while it moves or tracks, and after it has arrived. After a
stop for any reason it has no target, and so is not in position.

The axis refuses a target outside the position limits. While tracking, the axis extrapolates the last target
without end. If the target leaves the position limits, the axis stops at the limit.

It touches only the clock. Next to read: `motion` (the paths), `mount` (the caller).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from twisted.internet.interfaces import IDelayedCall

from mtmount_twisted.dialects.tma2020.commands import Command
from mtmount_twisted.dialects.tma2020.enums import SubsystemId
from mtmount_twisted.dialects.tma2020.replies import InPositionReply
from mtmount_twisted.errors import CommandRefused, TaiUnavailableError

from .devices import ALL_DRIVES, Device
from .execution import Execution, Part, Plan, World, instantly
from .motion import Change, Path, State, Target, approach, bounded, brake, in_position_changes, rest, settle

IN_POSITION = 0.01
"""Largest distance of an axis in position from its target, deg and deg/s (protocol-tma2020.rst)."""

LEAST_RATE = 1e-6
"""Smallest velocity (deg/s), acceleration (deg/s²) and jerk (deg/s³) in a move command."""

LONGEST = 86400.0
"""Longest accepted move, and the time ahead for which in-position events are planned, s."""


class Limits(Struct, frozen=True):
    """Limits of an axis: positions in deg, velocity in deg/s, acceleration in deg/s²."""

    low: float
    high: float
    velocity: float
    acceleration: float


ELEVATION = Limits(20.0, 86.5, 3.5, 3.5)
AZIMUTH = Limits(-270.0, 270.0, 7.0, 7.0)
CAMERA_CABLE_WRAP = Limits(-90.0, 90.0, 3.5, 1.0)


class InPositionWatch:
    """Reporter of an axis that enters or leaves position. It has one timer, for the next change.

    :param what: number of the axis in an `InPositionReply`; None for an axis without such replies.
    :ivar in_position: True if the axis is in position now.
    """

    def __init__(self, world: World, what: int | None) -> None:
        self._world = world
        self._what = what
        self._changes: list[Change] = []
        self._timer: IDelayedCall | None = None
        self.in_position: bool = False

    def announce(self) -> None:
        """Report whether the axis is in position, even without a change."""
        if self._what is not None:
            self._world.send(InPositionReply(what=self._what, in_position=self.in_position))

    def follow(self, path: Path, target: Target) -> None:
        """Watch a path that starts now."""
        self.close()
        first, *self._changes = in_position_changes(path, target, IN_POSITION, IN_POSITION)
        self._report(first.in_position)
        self._wait()

    def forget(self) -> None:
        """Report that the axis is not in position, because it has no target any more."""
        self.close()
        self._report(False)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        clock = self._world.clock
        delay = self._changes[0].time - clock.seconds() if self._changes else LONGEST
        if delay < LONGEST:
            self._timer = clock.callLater(max(0.0, delay), self._next)

    def _next(self) -> None:
        self._timer = None
        self._report(self._changes.pop(0).in_position)
        self._wait()

    def _report(self, in_position: bool) -> None:
        if in_position == self.in_position:
            return
        self.in_position = in_position
        self.announce()


class Axis(Device):
    """One axis.

    :param limits: limits for moves and targets.
    :param position: initial position, deg.
    :param what: number of the axis in its `InPositionReply`; None to send none.
    :ivar powered: True if its power is on.
    :ivar drive_enabled: True if its drive is enabled.
    :ivar tracking: True if tracking is enabled.
    """

    def __init__(
        self,
        prefix: str,
        subsystem: SubsystemId,
        world: World,
        limits: Limits,
        position: float,
        what: int | None,
    ) -> None:
        super().__init__(prefix, subsystem, world)
        self.limits = limits
        self.powered: bool = False
        self.drive_enabled: bool = False
        self.tracking: bool = False
        self._velocity = limits.velocity * world.speed
        self._acceleration = limits.acceleration * world.speed**2
        self._path = rest(world.clock.seconds(), position)
        self._part = Part(world.clock)
        self.parts.append(self._part)
        self._watch = InPositionWatch(world, what)
        self.methods.update(
            {
                "Power": self.power,
                "Stop": self.stop,
                "Move": self.move,
                "Track": self.track,
                "Home": self.home,
                "EnableTracking": self.enable_tracking,
                "DriveReset": self.drive_reset,
                "DriveEnable": self.drive_enable,
            }
        )

    @property
    def state(self) -> State:
        """Present position (deg) and velocity (deg/s of real time)."""
        return self._path.at(self.world.clock.seconds())

    @property
    def in_position(self) -> bool:
        """True if its position and velocity equal the target's, within tolerance."""
        return self._watch.in_position

    def announce_in_position(self) -> None:
        """Report whether the axis is in position, even without a change."""
        self._watch.announce()

    def halt(self) -> None:
        """Brake to a stop, disable tracking and forget the target."""
        self.tracking = False
        self._path = brake(self.world.clock.seconds(), self.state, self._acceleration)
        self._watch.forget()

    def close(self) -> None:
        """Stop all timers."""
        super().close()
        self._watch.close()

    def power(self, command: Any) -> Plan:
        """Turn the power on, which also enables the drive; or off, which also stops the axis."""
        if command.on:
            self.check_no_alarm(command)
            return instantly(lambda _: self._set_power())
        return self._halting(self._clear_power)

    def _set_power(self) -> None:
        self.powered = self.drive_enabled = True

    def _clear_power(self) -> None:
        self.powered = self.drive_enabled = False

    def drive_enable(self, command: Any) -> Plan:
        """Enable or disable the drive. Both stop the axis."""
        self._check_drive(command)
        if command.on:
            self._check_powered(command)
            self.check_no_alarm(command)
        return self._halting(lambda: setattr(self, "drive_enabled", command.on))

    def drive_reset(self, command: Any) -> Plan:
        """Reset the drive. This stops the axis and leaves the drive disabled."""
        self._check_drive(command)
        self._check_powered(command)
        return self._halting(lambda: setattr(self, "drive_enabled", False))

    def enable_tracking(self, command: Any) -> Plan:
        """Enable or disable tracking. Both stop the axis."""
        if command.on:
            self._check_ready(command)
        return self._halting(lambda: setattr(self, "tracking", command.on))

    def _halting(self, action: Callable[[], None]) -> Plan:
        """Return the plan of a command that first supersedes the command in progress."""

        def begin(command: Command) -> None:
            self._part.supersede(command)
            self.halt()
            action()

        return instantly(begin)

    def stop(self, command: Command) -> Plan:
        """Brake to a stop and disable tracking. The command is done when the axis stands still."""
        self._check_ready(command)
        duration = abs(self.state.velocity) / self._acceleration

        def begin(execution: Execution) -> None:
            self._part.supersede(command)
            self.halt()
            self._part.begin(execution, duration)

        return Plan(duration, begin)

    def home(self, command: Command) -> Plan:
        """Move to zero, or to the position within the limits that is nearest to zero."""
        position = min(max(0.0, self.limits.low), self.limits.high)
        return self.plan_move(command, position)

    def move(self, command: Any) -> Plan:
        """Move to a position."""
        self._rate(command, "jerk", command.jerk, None)
        return self.plan_move(command, command.position, command.velocity, command.acceleration)

    def track(self, command: Any) -> Plan:
        """Follow a target from now on."""
        return self.plan_track(command, command.position, command.velocity, command.tai)

    def plan_move(
        self, command: Command, position: float, velocity: float = 0.0, acceleration: float = 0.0
    ) -> Plan:
        """Move to a position.

        :param position: deg.
        :param velocity, acceleration: largest values on the way, deg/s and deg/s²; 0 for the axis's limit.
        :raises CommandRefused: if the axis can't do this now, or can never do it.
        """
        self._check_ready(command)
        if self.tracking:
            raise CommandRefused(command, f"{self.prefix} tracks: disable tracking first")
        self._check_position(command, "position", position)
        velocity = self._rate(command, "velocity", velocity, self.limits.velocity) * self.world.speed
        acceleration = (
            self._rate(command, "acceleration", acceleration, self.limits.acceleration) * self.world.speed**2
        )
        target = Target(self.world.clock.seconds(), position)
        path = self._path_to(target, velocity, acceleration)
        if path.duration > LONGEST:
            raise CommandRefused(command, f"it would take {path.duration:.0f} s, longer than {LONGEST:.0f} s")

        def begin(execution: Execution) -> None:
            self._part.supersede(command)
            self._follow(path, target)
            self._part.begin(execution, path.duration)

        return Plan(path.duration, begin)

    def _path_to(self, target: Target, velocity: float, acceleration: float) -> Path:
        """Return the path to a target at rest. It brakes harder than requested to stay within the limits."""
        path = approach(target.time, self.state, target, velocity, acceleration)
        low, high = path.extent()
        if low < self.limits.low or high > self.limits.high:
            return approach(target.time, self.state, target, velocity, self._acceleration)
        return path

    def plan_track(self, command: Command, position: float, velocity: float, tai: float) -> Plan:
        """Follow a target from now on.

        :param position: position of the target at `tai`, deg.
        :param velocity: deg/s of real time.
        :param tai: s since the unix epoch.
        :raises CommandRefused: if the axis can't do this now, or can never do it.
        """
        self._check_ready(command)
        if not self.tracking:
            raise CommandRefused(command, f"{self.prefix} does not track: enable tracking first")
        self._check_position(command, "position", position)
        fastest = min(self.limits.velocity, self._velocity)
        if abs(velocity) > fastest:
            raise CommandRefused(command, f"velocity {velocity} deg/s is over the limit of {fastest} deg/s")
        now = self.world.clock.seconds()
        target = Target(now - (self._tai(command) - tai), position, velocity)
        self._check_position(command, "position now", target.at(now).position)
        path = approach(now, self.state, target, self._velocity, self._acceleration)
        # In the shortest time, a small correction would exceed the velocity allowed for an axis in position.
        path = settle(path, target, IN_POSITION, IN_POSITION, self._velocity, self._acceleration)
        path = bounded(path, self.limits.low, self.limits.high, self._acceleration)

        def begin(execution: Execution) -> None:
            self._follow(path, target)
            execution.finish_part()

        return Plan(0.0, begin)

    def _tai(self, command: Command) -> float:
        try:
            return self.world.tai()
        except TaiUnavailableError as error:
            raise CommandRefused(command, f"can't track without TAI: {error}") from None

    def _follow(self, path: Path, target: Target) -> None:
        self._path = path
        self._watch.follow(path, target)

    def _check_powered(self, command: Command) -> None:
        if not self.powered:
            raise CommandRefused(command, f"{self.prefix} is off: turn its power on first")

    def _check_ready(self, command: Command) -> None:
        self._check_powered(command)
        self.check_no_alarm(command)
        if not self.drive_enabled:
            raise CommandRefused(command, f"{self.prefix} drive is disabled: enable it first")

    def _check_drive(self, command: Any) -> None:
        if command.drive < ALL_DRIVES:
            raise CommandRefused(command, f"{self.prefix} has no drive {command.drive}: {ALL_DRIVES} is all")

    def _check_position(self, command: Command, name: str, position: float) -> None:
        low, high = self.limits.low, self.limits.high
        if not low <= position <= high:
            outside = f"{name} {position} deg is outside the limits of {self.prefix}, {low} to {high} deg"
            raise CommandRefused(command, outside)

    def _rate(self, command: Command, name: str, value: float, limit: float | None) -> float:
        """Return a velocity, acceleration or jerk of a command; the limit in place of 0."""
        if value == 0:
            return limit or 0.0
        if limit is not None and value > limit:
            raise CommandRefused(command, f"{name} {value} is over the limit of {self.prefix}, {limit}")
        if value < LEAST_RATE:
            raise CommandRefused(command, f"{name} {value} is neither 0 nor at least {LEAST_RATE}")
        return value
