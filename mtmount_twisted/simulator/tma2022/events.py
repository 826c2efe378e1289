"""The list of the mount's events in their order, and the sender of the events that have changed.

`watched` lists every event about the state of the mount, in the order of the mock controller
(protocol-tma2022.rst, "The mock controller"). An `Announcer` remembers the last value of each event, and
sends the events whose values have changed.

Pure: the mount calls it and sends the events. Next to read: `mount`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mtmount_twisted.dialects.tma2022.enums import (
    ChillerMode,
    ElevationLockingPinMotionState,
    PowerState,
    System,
)
from mtmount_twisted.dialects.tma2022.replies import (
    AxisMotionStateReply,
    AzimuthToppleBlockReply,
    ChillerStateReply,
    DeployablePlatformsMotionStateReply,
    ElevationLockingPinMotionStateReply,
    HomedReply,
    InPositionReply,
    LimitsReply,
    MirrorCoverLocksMotionStateReply,
    MirrorCoversMotionStateReply,
    MotionControllerStateReply,
    OilSupplySystemStateReply,
    PowerStateReply,
    Reply,
)

from .axis import Axis
from .devices import COVERS, Deployables, Oil, Thermal
from .execution import World

if TYPE_CHECKING:
    from .mount import SimulatedMount

CONTROLLERS = {
    System.AZIMUTH: 16,
    System.AZIMUTH_CABLE_WRAP: 2,
    System.ELEVATION: 12,
    System.CAMERA_CABLE_WRAP: 2,
    System.MIRROR_COVER_LOCKS: 4,
    System.MIRROR_COVERS: 4,
}
"""Number of motion controllers of each device that moves, in the order of their events 104."""

UNMOVED_CONTROLLERS = {System.BALANCE: 4, System.DEPLOYABLE_PLATFORMS: 4, System.LOCKING_PINS: 2}
"""Number of motion controllers of each device that no command of the simulator moves."""

ELEMENTS = {
    System.BALANCE: 4,
    System.LOCKING_PINS: 2,
    System.DEPLOYABLE_PLATFORMS: 2,
    System.AZIMUTH_DRIVES_THERMAL: 4,
    System.ELEVATION_DRIVES_THERMAL: 2,
    System.MIRROR_COVER_LOCKS: 4,
    System.MIRROR_COVERS: 4,
    System.AUXILIARY_CABINETS_THERMAL: 5,
}
"""Number of parts in the events 100 of the devices that have several (protocol-tma2022.rst, "The replies and
events")."""

POWERED = (
    System.AZIMUTH_DRIVES_THERMAL,
    System.AZIMUTH,
    System.AZIMUTH_CABLE_WRAP,
    System.CABINET_0101_THERMAL,
    System.CAMERA_CABLE_WRAP,
    System.ELEVATION_DRIVES_THERMAL,
    System.ELEVATION,
    System.MAIN_AXES_POWER_SUPPLY,
    System.MAIN_CABINET_THERMAL,
    System.MIRROR_COVER_LOCKS,
    System.MIRROR_COVERS,
    System.AUXILIARY_CABINETS_THERMAL,
    System.OIL_SUPPLY_SYSTEM,
    System.TOP_END_CHILLER,
)
"""The devices with an event 100, in order."""

CHILLED = (
    System.OIL_SUPPLY_SYSTEM,
    System.AZIMUTH_DRIVES_THERMAL,
    System.ELEVATION_DRIVES_THERMAL,
    System.CABINET_0101_THERMAL,
    System.AUXILIARY_CABINETS_THERMAL,
    System.TOP_END_CHILLER,
    System.MAIN_CABINET_THERMAL,
)
"""The devices with an event 103, in order."""


@dataclass(frozen=True, slots=True)
class Watched:
    """An event.

    :ivar value: return the value; its change sends the event.
    :ivar make: return the event with this timestamp.
    """

    value: Callable[[], Hashable]
    make: Callable[[float], Reply]


def _event(reply: type[Reply], value: Callable[[], tuple[Any, ...]], *names: str, **fixed: Any) -> Watched:
    """Return an event with the values of the tuple for its parameters `names`."""
    return Watched(value, lambda timestamp: reply(timestamp=timestamp, **fixed, **dict(zip(names, value()))))


def _power(system: System, state: Callable[[], PowerState]) -> Watched:
    count = ELEMENTS.get(system)
    if count is None:
        return _event(PowerStateReply, lambda: (state(),), "power_state", system=system)
    return _event(
        PowerStateReply,
        lambda: (state(), (state(),) * count),
        "power_state",
        "elements_power_state",
        system=system,
    )


def _controllers(system: System, count: int, state: Callable[[], PowerState]) -> Watched:
    return _event(
        MotionControllerStateReply, lambda: ((state(),) * count,), "motion_controller_state", system=system
    )


def _deployable(reply: type[Reply], device: Deployables) -> Watched:
    return _event(
        reply,
        lambda: (device.motion_state, (device.motion_state,) * COVERS),
        "state",
        "elements_state",
    )


def _motion(axis: Axis) -> Watched:
    """Return event 101. A change of the goal alone does not send it (protocol-tma2022.rst, "The mock
    controller")."""
    return Watched(
        lambda: axis.motion_state,
        lambda timestamp: AxisMotionStateReply(
            timestamp=timestamp, axis=axis.system, state=axis.motion_state, position=axis.goal
        ),
    )


def _thermal(device: Thermal) -> Watched:
    return _event(
        ChillerStateReply,
        lambda: (tuple(device.follows_ambient), tuple(device.set_points)),
        "track_ambient",
        "temperature",
        system=device.system,
    )


def _thermal_of_vendor(device: Thermal) -> Watched:
    modes = ChillerMode.TRACK_SETPOINT, ChillerMode.TRACK_AMBIENT
    return _event(
        ChillerStateReply,
        lambda: (tuple(modes[ambient] for ambient in device.follows_ambient), tuple(device.set_points)),
        "chiller_mode",
        "temperature",
        system=device.system,
    )


def _oil(oil: Oil) -> Watched:
    return _event(OilSupplySystemStateReply, oil.part_states, "cooling", "oil", "main_pump")


def _off() -> PowerState:
    return PowerState.OFF


def first_events(mount: SimulatedMount) -> list[Watched]:
    """Return the events that a command 2502 sends at once."""
    unlocked = ElevationLockingPinMotionState.UNLOCKED
    return [
        Watched(lambda: None, mount.settings.sets_event),
        *(_controllers(system, count, _off) for system, count in UNMOVED_CONTROLLERS.items()),
        *(
            _power(system, _off)
            for system in (System.BALANCE, System.LOCKING_PINS, System.DEPLOYABLE_PLATFORMS)
        ),
        _event(DeployablePlatformsMotionStateReply, lambda: (0, (0, 0)), "state", "elements_state"),
        _event(
            ElevationLockingPinMotionStateReply,
            lambda: (unlocked, (unlocked, unlocked)),
            "state",
            "elements_state",
        ),
        Watched(mount.safety.values, mount.safety.event),
        *(
            _event(LimitsReply, partial(_limits, axis), "limits", system=axis.system)
            for axis in (mount.azimuth, mount.elevation, mount.camera_cable_wrap)
        ),
    ]


def _limits(axis: Axis) -> tuple[Any, ...]:
    return ((int(axis.limits_reached),),)


def further_events(mount: SimulatedMount, *, vendor: bool) -> list[Watched]:
    """Return the events that a command 2502 sends afterwards: the events that commands change.

    :param vendor: True to include event 102, and the modes in event 103, as in the vendor's documents.
    """
    power = mount.power_state
    thermal = _thermal_of_vendor if vendor else _thermal
    return [
        *_axis_events(mount.azimuth, has_home=True),
        *_axis_events(mount.elevation, has_home=True),
        *_axis_events(mount.camera_cable_wrap, has_home=False),
        _event(AzimuthToppleBlockReply, mount.topple_block, "reverse", "forward"),
        _deployable(MirrorCoverLocksMotionStateReply, mount.mirror_cover_locks),
        _deployable(MirrorCoversMotionStateReply, mount.mirror_covers),
        *(_controllers(system, count, partial(power, system)) for system, count in CONTROLLERS.items()),
        *(_power(system, partial(power, system)) for system in POWERED),
        *([_oil(mount.oil)] if vendor else []),
        *(thermal(mount.thermal[system]) for system in CHILLED),
    ]


def _axis_events(axis: Axis, *, has_home: bool) -> list[Watched]:
    homed = [_event(HomedReply, lambda: (axis.homed,), "homed", axis=axis.system)] if has_home else []
    in_position = _event(InPositionReply, lambda: (axis.in_position,), "in_position", axis=axis.system)
    return [_motion(axis), *homed, in_position]


class Announcer:
    """Sender of the events whose values have changed since it sent them.

    :param events: the events in order. The present values count as sent.
    """

    def __init__(self, world: World, events: Iterable[Watched]) -> None:
        self._world = world
        self._sent = [(event, event.value()) for event in events]

    def send_changed(self) -> None:
        """Send each event with a changed value."""
        self._send(everything=False)

    def send_all(self) -> None:
        """Send every event."""
        self._send(everything=True)

    def _send(self, everything: bool) -> None:
        for index, (event, sent) in enumerate(self._sent):
            value = event.value()
            if everything or value != sent:
                self._sent[index] = (event, value)
                self._world.send(event.make(self._world.tai()))
