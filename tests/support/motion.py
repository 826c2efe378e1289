"""Telemetry in memory of which a test says each line, and a mount's motion around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace
from twisted.internet.task import Clock
from zope.interface import implementer

from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.dialects.facts import Event
from mtmount_twisted.dialects.tma2022.enums import AxisMotionState, PowerState, System
from mtmount_twisted.dialects.tma2022.replies import (
    AxisMotionStateReply,
    HomedReply,
    InPositionReply,
    PowerStateReply,
    Reply,
)
from mtmount_twisted.dialects.tma2022.telemetry import Azimuth, CameraCableWrap, Elevation, Topic
from mtmount_twisted.interfaces import ITelemetry, ITelemetryValue
from mtmount_twisted.motion.present import Present, Rules
from mtmount_twisted.records import ChangeRecord, LineRecord
from mtmount_twisted.upstream.motion_watch import MotionWatch
from mtmount_twisted.upstream.signals import SignalMemory
from mtmount_twisted.upstream.telemetry_link import TelemetryValue

TAI_AHEAD = 37.0

DIALECT: Any = dialect_named("tma2022")


@implementer(ITelemetry)
class SpokenTelemetry:
    """Telemetry of which a test says each line.

    :ivar decoded: the number of lines that were decoded.
    :ivar said: the lines, each with the time of its arrival (Unix s).
    """

    connected = True
    silent = False
    malformed = 0

    def __init__(self, clock: Clock, wall_clock: Callable[[], float]) -> None:
        self.clock = clock
        self.wall_clock = wall_clock
        self.decoded = 0
        self.clock_offset: float | None = 0.0
        self.lines = 0
        self.values: dict[int, TelemetryValue] = {}
        self.said: list[tuple[float, bytes]] = []
        self.receivers: list[Callable[[Sequence[ITelemetryValue]], None]] = []
        self.format = replace(DIALECT.telemetry, decode=self.decode, tai=lambda: wall_clock() + TAI_AHEAD)

    @property
    def age(self) -> float | None:
        """The age of the latest line."""
        return min((value.age for value in self.values.values()), default=None)

    def decode(self, line: bytes) -> Any:
        """Decode a line, and count it."""
        self.decoded += 1
        return DIALECT.telemetry.decode(line)

    def say_lines(self, *lines: bytes) -> None:
        """Lines arrive together."""
        values = []
        for line in lines:
            topic, timestamp = self.format.read_header(line)
            self.lines += 1
            self.said.append((self.wall_clock(), line))
            value = TelemetryValue(topic, timestamp, line, self.lines, self.format, self.clock)
            self.values[topic] = value
            values.append(value)
        for receive in self.receivers:
            receive(values)

    def say(self, *topics: Topic) -> None:
        """Topics arrive together."""
        self.say_lines(*(topic.encode().rstrip() for topic in topics))

    def latest(self, topic_id: int) -> TelemetryValue | None:
        """See `ITelemetry`."""
        return self.values.get(topic_id)

    def since(self, number: int) -> list[bytes]:
        """Nothing: nobody in these tests asks."""
        return []

    def subscribe(self, subscriber: Callable[[bytes], None]) -> None:
        """Nothing: nobody in these tests reads the lines as they are."""

    def subscribe_values(self, subscriber: Callable[[Sequence[ITelemetryValue]], None]) -> None:
        """See `ITelemetry`."""
        self.receivers.append(subscriber)


class MotionHouse:
    """A mount that moves as a test says, and the parts that watch it.

    :param start: the wall clock at the beginning (Unix s).
    :ivar mount_ahead: by how much the mount's clock is ahead, s.
    :ivar event_epoch: how long before the unix epoch the time stamps of events begin, s.
    :ivar events: the events so far.
    """

    def __init__(
        self, clock: Clock | None = None, start: float = 1_800_000_000.0, rules: Rules | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.start = start
        self.mount_ahead = 0.0
        self.event_epoch = 0.0
        self.events: list[Event] = []
        self.bus = EventBus(self.clock, wall_clock=self.wall_clock)
        self.changes: list[ChangeRecord] = []
        self.bus.subscribe(lambda record, number: self.changes.append(record), ChangeRecord)
        self.telemetry = SpokenTelemetry(self.clock, self.wall_clock)
        self.signals = SignalMemory(self.telemetry, self.telemetry.format, self.clock, self.wall_clock)
        self.motion = MotionWatch(
            *(self.telemetry, self.signals, self.telemetry.format, rules or Rules()), self.bus, self.clock
        )

    def wall_clock(self) -> float:
        """Unix time, which goes as the clock does."""
        return self.start + self.clock.seconds()

    @property
    def lines(self) -> list[tuple[float, bytes]]:
        """The lines of telemetry so far, each with the time of its arrival (Unix s)."""
        return self.telemetry.said

    @property
    def tai(self) -> float:
        """The mount's clock."""
        return self.wall_clock() + TAI_AHEAD + self.mount_ahead

    def remembered(self, time: float) -> Present:
        """The motion at a moment in memory (Unix s)."""
        present = self.motion.present_in_memory(time)
        found = {number: kept.row_at(time) for number, kept in self.signals.kept().items()}
        return present({number: row for number, row in found.items() if row is not None}, lambda: None)

    def event(self, reply: Reply) -> None:
        """The mount sends an event."""
        line = replace(reply, timestamp=reply.timestamp + self.event_epoch).encode().rstrip()
        self.events.append(Event(self.wall_clock(), *self.telemetry.format.read_event(line)))
        code = int(type(reply).reply_id)
        self.bus.publish(LineRecord(self.wall_clock(), 1, "controller", "from", line, code, None))

    def axis(self, axis: System, state: AxisMotionState, goal: float = 0.0) -> None:
        """The mount reports the motion of an axis."""
        self.event(AxisMotionStateReply(timestamp=self.tai, axis=axis, state=state, position=goal))

    def ready(self, state: AxisMotionState = AxisMotionState.STOPPED) -> None:
        """The mount reports that it is powered and homed, and the motion of both axes."""
        for axis in (System.AZIMUTH, System.ELEVATION):
            self.event(PowerStateReply(timestamp=self.tai, system=axis, power_state=PowerState.ON))
            self.event(HomedReply(timestamp=self.tai, axis=axis, homed=True))
            self.axis(axis, state)

    def in_position(self, axis: System, value: bool = True) -> None:
        """The mount reports that an axis is in position, or not any more."""
        self.event(InPositionReply(timestamp=self.tai, axis=axis, in_position=value))

    def say(
        self,
        azimuth: float | None = None,
        elevation: float | None = None,
        *,
        demand: tuple[float | None, float | None] = (None, None),
        velocity: tuple[float, float] = (0.0, 0.0),
        wrap: float | None = None,
    ) -> None:
        """The mount sends telemetry of its axes; a demand is the position unless it is given."""
        now = self.tai
        topics: list[Topic] = []
        for made, position, wanted, speed in (
            (Azimuth, azimuth, demand[0], velocity[0]),
            (Elevation, elevation, demand[1], velocity[1]),
        ):
            if position is not None:
                topics.append(
                    made(
                        timestamp=now,
                        actual_position=position,
                        actual_position_timestamp=now,
                        demand_position=position if wanted is None else wanted,
                        demand_position_timestamp=now,
                        actual_velocity=speed,
                        actual_torque=5.0,
                    )
                )
        if wrap is not None:
            topics.append(CameraCableWrap(timestamp=now, actual_position=wrap, actual_velocity=0.0))
        self.telemetry.say(*topics)
