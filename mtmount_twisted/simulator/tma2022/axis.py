"""An axis: azimuth, elevation or camera cable wrap.

An axis always has a `Path`, which is exact at any time. Its state of motion, its position and whether it is
in position are functions of the path and the time; `Axis.next_change` returns the time of their next change.

It touches only the clock. Next to read: `simulator.motion` (the paths), `devices` (all other devices),
`mount` (the caller).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from twisted.internet.interfaces import IDelayedCall

from mtmount_twisted.dialects.tma2022.commands import Command
from mtmount_twisted.dialects.tma2022.enums import (
    AxisMotionState,
    CommandCode,
    LimitsMask,
    PowerState,
    System,
)
from mtmount_twisted.errors import TaiUnavailableError
from mtmount_twisted.net.deadlines import Deadline

from ..motion import Change, Path, State, Target, approach, bounded, brake, in_position_changes, rest, settle
from .devices import Device
from .execution import SETTLING, Execution, Part, Plan, World, instantly, invalid, refusal

IN_POSITION = 0.01
"""Largest distance of an axis in position from its target, deg and deg/s (protocol-tma2022.rst, "The motion
of the mount")."""

MARGIN = 1.1
"""Factor by which the axis itself may be faster than its limits for commands."""

TRACKING_PATIENCE = 5.0
"""Time after the `tai` of the last target until the axis goes into alarm, s."""

LONGEST_AHEAD = 3600.0
"""Longest time from now to the `tai` of a target that is accepted, s. The bound is our own."""

HOMING_DISTANCE = 5.0
"""Length of the homing move, deg, towards the middle of the range."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of an axis for commands: positions in deg, velocity in deg/s, acceleration in deg/s²."""

    low: float
    high: float
    velocity: float
    acceleration: float


# Each number has the form, 270 or 90.0, that the mount's own refusals have.
ELEVATION = Limits(0, 90.0, 3.5, 3.5)
AZIMUTH = Limits(-270, 270, 7.0, 7.0)
CAMERA_CABLE_WRAP = Limits(-90, 90, 6.0, 1.5)


class Mode(Enum):
    """The kind of motion on the present path."""

    BRAKE = auto()
    MOVE = auto()
    TRACK = auto()


class Axis(Device):
    """One axis.

    :param limits: limits for moves and targets.
    :param position: initial position, deg.
    :param may_power: function that raises `Refusal` if the axis can't be turned on.
    :ivar powered: True if the axis has power.
    :ivar enabled: True if its drives are enabled.
    :ivar tracking: True if tracking is enabled.
    :ivar paused: True if tracking is enabled and paused.
    :ivar homed: True if the axis is homed.
    :ivar goal: goal of the last point-to-point move, deg.
    :ivar targets_lost: called when no target has come in time; by default, raise an alarm.
    :ivar limits_reached: the limits in its event 300. A program that uses the simulator sets them;
        `SimulatedMount.look` then sends the event.
    """

    def __init__(
        self,
        system: System,
        world: World,
        limits: Limits,
        position: float,
        *,
        may_power: Callable[[], None] = lambda: None,
        needs_homing: bool = True,
    ) -> None:
        super().__init__(system, world)
        self.limits = limits
        self.powered: bool = False
        self.enabled: bool = False
        self.tracking: bool = False
        self.paused: bool = False
        self.homed = False
        self.goal: float = 0.0
        self.limits_reached: LimitsMask = LimitsMask(0)
        self._needs_homing = needs_homing
        self._may_power = may_power
        self._velocity = MARGIN * limits.velocity * world.speed
        self._acceleration = MARGIN * limits.acceleration * world.speed**2
        self._mode = Mode.BRAKE
        self._path = rest(world.clock.seconds(), position)
        self._target: Target | None = None
        self._changes: list[Change] = []
        self._part = Part(world)
        self.parts.append(self._part)
        self._silence: IDelayedCall | None = None
        self.targets_lost: Callable[[], None] = lambda: self.raise_alarm("Tracking timed out")

    # State.

    def _now(self) -> float:
        return self.world.clock.seconds()

    @property
    def path(self) -> Path:
        """The present path."""
        return self._path

    def at(self, time: float) -> State:
        """Return position (deg) and velocity (deg/s) at a time on the mount's clock."""
        return self._path.at(time)

    def demand(self, time: float) -> State:
        """Return the demanded position and velocity at a time: the target's while tracking, else the
        path's."""
        if self._mode is Mode.TRACK and self._target is not None:
            return self._target.at(time)
        return self._path.at(time)

    @property
    def power_state(self) -> PowerState:
        """The state of its power, for events 100 and 104."""
        if self.in_alarm:
            return PowerState.FAULT
        return PowerState.ON if self.powered else PowerState.OFF

    @property
    def motion_state(self) -> AxisMotionState:
        """Its state of motion, for event 101."""
        if self._mode is Mode.TRACK:
            return AxisMotionState.TRACKING
        if self._now() < self._path.end:
            is_move = self._mode is Mode.MOVE
            return AxisMotionState.MOVING_POINT_TO_POINT if is_move else AxisMotionState.STOPPING
        return AxisMotionState.TRACKING_PAUSED if self.paused else AxisMotionState.STOPPED

    @property
    def in_position(self) -> bool:
        """True if the axis stands at the goal of a move, or follows its target within the tolerance."""
        now = self._now()
        if self._mode is Mode.MOVE:
            return now >= self._path.end
        if self._mode is Mode.TRACK:
            self._drop_past_changes(now)
            return self._changes[0].in_position
        return False

    def next_change(self, now: float) -> float:
        """Return the time of the next change of its state of motion; infinite if there is none."""
        if self._mode is Mode.TRACK:
            self._drop_past_changes(now)
            return self._changes[1].time if len(self._changes) > 1 else math.inf
        return self._path.end if self._path.end > now else math.inf

    def _drop_past_changes(self, now: float) -> None:
        while len(self._changes) > 1 and self._changes[1].time <= now:
            del self._changes[0]

    # Checks.

    def _check_ready(self) -> None:
        """Check that the axis can move.

        :raises Refusal: if it can't.
        """
        if self.in_alarm or not self.powered:
            raise refusal(f"{self.system!r} off")
        if not self.enabled:
            raise refusal("Not enabled")

    def _check_position(self, position: float) -> None:
        if not self.limits.low <= position <= self.limits.high:
            raise invalid(f"position={position} not in range [{self.limits.low}, {self.limits.high}]")

    # Commands. Each returns the plan for the axis's share of a command, which may be one for both axes.

    def power(self, on: bool) -> Plan:
        """Turn the power on, which also enables the drives; or turn it off, which also stops the axis at
        once."""
        if not on:
            return self._halting("POWER", self._turn_off)
        self._may_power()
        if self.in_alarm:
            raise refusal("Cannot turn on while an alarm is active.")
        return instantly(lambda _: self.turn_on())

    def turn_on(self) -> None:
        """Turn the power on, which also enables the drives."""
        self.powered = self.enabled = True

    def _turn_off(self) -> None:
        self.powered = self.enabled = False
        self.stand_still()

    def stop(self) -> Plan:
        """Brake to a stop, and end tracking."""
        self._check_ready()
        return self._halting("STOP", self.halt)

    def drive_enable(self, on: bool) -> Plan:
        """Enable or disable the drives. Disabling stops the axis."""
        if self.in_alarm or not self.powered:
            raise refusal(f"{self.system!r} off")
        return instantly(lambda _: setattr(self, "enabled", True)) if on else self._disabling("DRIVE_ENABLE")

    def drive_reset(self) -> Plan:
        """Reset the drives. This stops the axis and leaves the drives disabled."""
        return self._disabling("DRIVE_RESET")

    def _disabling(self, action: str) -> Plan:
        def disable() -> None:
            self.enabled = False
            self.halt()

        return self._halting(action, disable)

    def _halting(self, action: str, effect: Callable[[], None]) -> Plan:
        """Return the plan of a command that first supersedes the command in progress."""

        def begin(command: Command) -> None:
            self._supersede(command, action)
            effect()

        return instantly(begin, prepare=self._part.finish_if_arrived)

    def _supersede(self, command: Command, action: str) -> None:
        self._part.supersede(command, CommandCode[f"{self.system.name}_{action}"])

    def enable_tracking(self, on: bool) -> Plan:
        """Enable, resume or pause tracking. Only a stop ends it."""
        self._check_ready()
        if not on:
            if not self.tracking:
                raise refusal("Tracking not enabled")
            return instantly(lambda _: self._pause())
        if self._needs_homing and not self.homed:
            raise refusal("Not homed")
        if self.tracking:
            return instantly(lambda _: setattr(self, "paused", False))

        def enable() -> None:
            self.halt()
            self.tracking = True

        return self._halting("ENABLE_TRACKING", enable)

    def _pause(self) -> None:
        self._brake()
        self.paused = True

    def home(self) -> Plan:
        """Move a little towards the middle of the range. At the end of the move the axis is homed."""
        self._check_ready()
        if self.tracking:
            raise refusal("Tracking not disabled")
        if self._now() < self._path.end:
            raise refusal("Not stopped")
        position = self.at(self._now()).position
        middle = (self.limits.low + self.limits.high) / 2
        goal = position - math.copysign(HOMING_DISTANCE, position - middle)
        return self._moving(goal, "HOME", lambda: setattr(self, "homed", True))

    def move(self, position: float) -> Plan:
        """Move to a position, deg. The axis moves as fast as it can, and ignores the velocity in the
        command."""
        self._check_ready()
        if self.tracking:
            raise refusal("Tracking not disabled")
        self._check_position(position)
        return self._moving(position, "MOVE")

    def _moving(self, position: float, action: str, then: Callable[[], None] | None = None) -> Plan:
        now = self._now()
        target = Target(now, position)
        path = approach(now, self.at(now), target, self._velocity, self._acceleration)

        def begin(execution: Execution) -> None:
            self._supersede(execution.command, action)
            self.goal = position
            self._mode, self._path, self._target = Mode.MOVE, path, target
            self._part.begin(execution, path.duration, then, SETTLING)

        return Plan(path.duration, begin, prepare=self._part.finish_if_arrived)

    def track(self, position: float, velocity: float, tai: float) -> Plan:
        """Follow a target from now on.

        :param position: position of the target at `tai`, deg.
        :param velocity: deg/s of real time.
        :param tai: s since the unix epoch.
        :raises Refusal: if the axis can't do this now, or can never do it. An earlier tracking then goes on.
        """
        self._check_ready()
        if not self.tracking:
            raise refusal("Tracking not enabled")
        self._check_position(position)
        if not abs(velocity) <= self.limits.velocity:
            raise invalid(f"abs(velocity)=abs({velocity}) > {self.limits.velocity}")
        ahead = tai - self._tai()
        if not ahead > -TRACKING_PATIENCE:
            raise refusal(f"track command too late by {-TRACKING_PATIENCE - ahead:.1f} seconds")
        if ahead > LONGEST_AHEAD:
            raise invalid(f"tai={tai} is more than {LONGEST_AHEAD:g} s ahead")
        if self.paused:
            return Plan(-1, lambda execution: execution.finish_part())
        now = self._now()
        target = Target(now + ahead, position, velocity)
        fastest = max(self._velocity, abs(velocity))  # a slow mount still follows a target in real time
        path = approach(now, self.at(now), target, fastest, self._acceleration)
        # In the shortest time, a small correction would exceed the velocity allowed for an axis in position.
        path = settle(path, target, IN_POSITION, IN_POSITION, fastest, self._acceleration)
        path = bounded(path, self.limits.low, self.limits.high, self._acceleration)

        def begin(execution: Execution) -> None:
            self._mode, self._path, self._target = Mode.TRACK, path, target
            self._changes = in_position_changes(path, target, IN_POSITION, IN_POSITION)
            self._await_target(ahead + TRACKING_PATIENCE)
            execution.finish_part()

        return Plan(-1, begin)

    def _tai(self) -> float:
        try:
            return self.world.tai()
        except TaiUnavailableError as error:
            raise refusal(f"can't track without TAI: {error}") from None

    # Motion.

    def _await_target(self, delay: float) -> None:
        """Start to wait for the next target. A `Deadline`, because it judges the commander."""
        self._forget_silence()
        self._silence = Deadline(self.world.clock, delay, self._lost_targets)

    def _forget_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _lost_targets(self) -> None:
        self._silence = None
        self.world.log.info("%s: alarm: no tracking target in time", self.system.name)
        self.targets_lost()

    def halt(self) -> None:
        """Brake to a stop, end tracking and forget the target."""
        self.tracking = self.paused = False
        self._brake()

    def _brake(self) -> None:
        self._forget_silence()
        now = self._now()
        self._mode, self._target = Mode.BRAKE, None
        self._path = brake(now, self.at(now), self._acceleration)

    def stand_still(self) -> None:
        """Stop at once, as without power, and end tracking."""
        self.halt()
        now = self._now()
        self._path = rest(now, self.at(now).position)

    def shut_down(self) -> None:
        """Stop at once and lose the power, because of an alarm."""
        self._turn_off()

    def close(self) -> None:
        """Stop all timers."""
        super().close()
        self._forget_silence()


def topple_changes(path: Path) -> list[Change]:
    """Return the times at which azimuth enters and leaves the range where the topple block touches neither
    side: between -2 and 2 deg (protocol-tma2022.rst, "The motion of the mount")."""
    return in_position_changes(path, Target(path.start, 0.0), TOPPLE, math.inf)


TOPPLE = 2.0
"""Distance of the topple block's sides from 0 deg."""
