"""`preview`: the expected answer of a tma2022 mount to a command, from the last events.

A refusal is named only if the mount is certain to refuse. So conditions that no event reports, such as
enabled drives, are never a reason. Pure. Next to read: `facts`, the events; `dialects.preview`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mtmount_twisted.dialects.preview import Preview, Target, Told
from mtmount_twisted.wire.messages import CommandMessage

from . import commands as c
from .enums import AxisMotionState, PowerState


class _Bounds(NamedTuple):
    """The bounds of an axis for commands (protocol-tma2022.rst, "The motion of the mount"), in deg and s."""

    low: float
    high: float
    velocity: float
    acceleration: float


_BOUNDS = {
    "azimuth": _Bounds(-270, 270, 7.0, 7.0),
    "elevation": _Bounds(0, 90, 3.5, 3.5),
    "camera_cable_wrap": _Bounds(-90, 90, 6.0, 1.5),
}
_BOTH = ("azimuth", "elevation")

_FOLLOWS = frozenset({AxisMotionState.TRACKING.name, AxisMotionState.TRACKING_PAUSED.name})


class _Finding(NamedTuple):
    """A reason for a refusal, or an unknown value that may be a reason.

    :ivar lasts: True for a reason that holds in every state of the mount.
    """

    text: str
    is_known: bool
    lasts: bool = False


_Check = Callable[[str, Any, Told], Iterator[_Finding]]


def _power(axis: str, command: Any, told: Told) -> Iterator[_Finding]:
    power = told(axis, "power")
    if power in (PowerState.OFF.name, PowerState.FAULT.name):
        yield _Finding(f"{axis} is off" if power == PowerState.OFF.name else f"{axis} is in fault", True)
    elif power != PowerState.ON.name:
        yield _Finding(f"the power of {axis}", False)


def _no_fault(axis: str, command: Any, told: Told) -> Iterator[_Finding]:
    power = told(axis, "power")
    if command.on and power == PowerState.FAULT.name:
        yield _Finding(f"{axis} is in fault: reset its alarm first", True)
    elif power is None:
        yield _Finding(f"the power of {axis}", False)


def _no_tracking(axis: str, command: Any, told: Told) -> Iterator[_Finding]:
    motion = told(axis, "motion")
    if motion in _FOLLOWS:
        yield _Finding(f"{axis} is tracking: stop it first", True)
    elif motion is None:
        yield _Finding(f"the motion of {axis}", False)


def _homed(axis: str, command: Any, told: Told) -> Iterator[_Finding]:
    homed = told(axis, "homed")
    if axis in _BOTH and getattr(command, "on", True) and homed is not True:
        yield _Finding(f"{axis} is not homed" if homed is False else f"the homing of {axis}", homed is False)


def _range(axis: str, command: Any, told: Told) -> Iterator[_Finding]:
    bounds, position = _BOUNDS[axis], _of_axis(axis, command, "position")
    if not bounds.low <= position <= bounds.high:
        yield _Finding(
            f"{axis}: expected a position from {bounds.low:g} to {bounds.high:g} deg, got {position:g}",
            True,
            lasts=True,
        )


def _rate(axis: str, command: Any, told: Told) -> Iterator[_Finding]:
    most, velocity = _BOUNDS[axis].velocity, _of_axis(axis, command, "velocity")
    if abs(velocity) > most:
        text = f"{axis}: expected a velocity of at most {most:g} deg/s, got {velocity:g}"
        yield _Finding(text, True, lasts=True)


def _of_axis(axis: str, command: Any, name: str) -> float:
    """Return a parameter of a command to one axis or to both."""
    if hasattr(command, "azimuth"):
        name = axis if name == "position" else f"{axis}_{name}"
    return float(getattr(command, name))


_CHECKS: dict[str, tuple[_Check, ...]] = {
    "Move": (_power, _no_tracking, _range),
    "TrackTarget": (_power, _range, _rate),
    "Stop": (_power,),
    "Home": (_power,),
    "EnableTracking": (_power, _homed),
    "Power": (_no_fault,),
    "DriveEnable": (_power,),
}
"""The checks of a command to an axis, by the end of its name."""

_AXES = {
    "BothAxes": _BOTH,
    "Azimuth": ("azimuth",),
    "Elevation": ("elevation",),
    "CameraCableWrap": ("camera_cable_wrap",),
}
"""The axes of a command, by the beginning of its name."""

_PLANS: dict[type[CommandMessage], tuple[str, tuple[str, ...]]] = {
    command: (action, axes)
    for command in c.Commands
    for prefix, axes in _AXES.items()
    for action in _CHECKS
    if command.__name__ == prefix + action
}


def preview(command: CommandMessage, told: Told) -> Preview:
    """Return the expected answer to a command; see `dialects.preview`."""
    action, axes = _PLANS.get(type(command), ("", ()))
    checks = _CHECKS.get(action, ())
    found = {axis: [each for check in checks for each in check(axis, command, told)] for axis in axes}
    refusals = [each.text for axis in axes for each in found[axis] if each.is_known]
    unknown = [each.text for axis in axes for each in found[axis] if not each.is_known]
    if action == "Stop" and any(not any(each.is_known for each in found[axis]) for axis in axes):
        refusals = []  # a stop of both axes is refused only if neither can stop
    targets = tuple(_target(axis, command) for axis in axes) if action == "Move" else ()
    invalid = tuple(each.text for axis in axes for each in found[axis] if each.lasts)
    return Preview(tuple(refusals), invalid, tuple(unknown), targets)


def _target(axis: str, command: CommandMessage) -> Target:
    """Return the goal of an axis; 0 stands for the mount's own velocity and acceleration."""
    bounds = _BOUNDS[axis]
    velocity, acceleration = (_of_axis(axis, command, name) for name in ("velocity", "acceleration"))
    return Target(
        axis,
        _of_axis(axis, command, "position"),
        velocity if 0 < velocity < bounds.velocity else bounds.velocity,
        acceleration if 0 < acceleration < bounds.acceleration else bounds.acceleration,
    )
