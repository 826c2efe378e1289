"""``POST /api/v1/commands`` with ``"validate": true``: the expected answer to a command, which is not sent.

The bridge names its own reason for a refusal. `Dialect.preview` names the reasons of the mount, from the
values that the mount reported last. If a command is in flight or has just ended, these values may change at
any moment, and no reason of the mount is certain. No I/O. Next to read: `dialects.preview`; `commanders`,
which has the route.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from msgspec import Meta
from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.dialects.facts import FactValue
from mtmount_twisted.dialects.preview import Target
from mtmount_twisted.frontends.web.http.answers import Name, Part, Seconds, Shape
from mtmount_twisted.interfaces import IBridge, IEventBus
from mtmount_twisted.motion.limits import AxisLimits, travel_time
from mtmount_twisted.records import CommandRecord
from mtmount_twisted.wire.messages import CommandMessage

if TYPE_CHECKING:
    from .state import AxisTelemetry, Reported

UNSETTLED = 1.0
"""The time after a step of a command in which the mount's values may be older than its state, in seconds: the
mount sends its events within 0.2 s."""

Verdict = Literal["would_be_refused", "nothing_known_against_it", "unknown"]


class AxisTarget(Part, frozen=True, kw_only=True):
    """The goal of an axis (deg), its distance, and the time to it (s); null if the position is unknown."""

    axis: Name
    position: float
    distance: float | None
    seconds: Seconds | None


class Validation(Shape, frozen=True, kw_only=True):
    """The expected answer to a command, which was not sent."""

    command: Name
    verdict: Annotated[str, Meta(extra_json_schema={"enum": list(get_args(Verdict))})]
    reasons: Annotated[list[str], Meta(description="The reasons for a refusal.")]
    unknown: Annotated[list[str], Meta(description="Unknown or stale values that may be a reason.")]
    targets: list[AxisTarget]
    limits: Annotated[list[str], Meta(description="The software limits that the targets are beyond.")]


class Validator:
    """Predict the answer of the bridge and of the mount to a command.

    :param devices: return the values that the mount reported about its devices, by device and quantity.
    :param motion_of: return the motion of an axis, or None.
    :param limits_of: return the software limits of an axis, or None.
    """

    def __init__(
        self,
        bridge: IBridge,
        bus: IEventBus,
        clock: IReactorTime,
        devices: Callable[[], Mapping[str, Mapping[str, Reported]]],
        motion_of: Callable[[str], AxisTelemetry | None],
        limits_of: Callable[[str], AxisLimits | None],
    ) -> None:
        self._bridge = bridge
        self._dialect: Dialect = bridge.dialect
        self._bus = bus
        self._clock = clock
        self._devices = devices
        self._motion_of = motion_of
        self._limits_of = limits_of
        self._last_step = -UNSETTLED
        bus.subscribe(self._step, CommandRecord)

    def close(self) -> None:
        """Unsubscribe from the bus. It can be called twice."""
        self._bus.unsubscribe(self._step)

    def _step(self, record: CommandRecord, number: int) -> None:
        if record.key and self._dialect.kind_of(record.code).needs_command:
            self._last_step = self._clock.seconds()

    @property
    def _is_unsettled(self) -> bool:
        is_recent = self._clock.seconds() - self._last_step < UNSETTLED
        return is_recent or any(each.header.kind.needs_command for each in self._bridge.pending)

    def validate(self, command: CommandMessage, why_not: str) -> Validation:
        """Return the expected answer.

        :param command: the command for the controller.
        :param why_not: the reason why the bridge would refuse the command; empty if there is none.
        """
        reasons = [why_not] if why_not else []
        unknown: list[str] = []
        targets: list[AxisTarget] = []
        limits: list[str] = []
        if self._dialect.preview is None:
            unknown.append(f"the state of the mount: {self._dialect.name} tells too little of it")
        else:
            preview = self._dialect.preview(command, self._told(self._devices()))
            refusals, unknown = preview.judged(not self._is_unsettled)
            reasons += refusals
            for target in preview.targets:
                targets.append(self._target(target))
                limits += self._beyond(target)
            unknown += [f"the position of {each.axis}" for each in targets if each.distance is None]
        verdict: Verdict = "unknown" if unknown else "nothing_known_against_it"
        return Validation(
            command=type(command).__name__,
            verdict="would_be_refused" if reasons else verdict,
            reasons=reasons,
            unknown=unknown,
            targets=targets,
            limits=limits,
        )

    @staticmethod
    def _told(devices: Mapping[str, Mapping[str, Reported]]) -> Callable[[str, str], FactValue]:
        def told(device: str, name: str) -> FactValue:
            reported = devices.get(device, {}).get(name)
            return None if reported is None or reported.stale else reported.value

        return told

    def _target(self, target: Target) -> AxisTarget:
        motion = self._motion_of(target.axis)
        distance = seconds = None
        if motion is not None and motion.position is not None and not motion.stale:
            distance = target.position - motion.position
            seconds = travel_time(abs(distance), target.velocity, target.acceleration)
        return AxisTarget(axis=target.axis, position=target.position, distance=distance, seconds=seconds)

    def _beyond(self, target: Target) -> list[str]:
        limits = self._limits_of(target.axis)
        if limits is None or limits.low <= target.position <= limits.high:
            return []
        side, limit = ("below", limits.low) if target.position < limits.low else ("above", limits.high)
        return [f"{target.axis}: {target.position:g} deg is {side} the software limit of {limit:g} deg"]
