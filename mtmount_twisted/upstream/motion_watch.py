"""`MotionWatch`: the motion of the mount, from its telemetry and its events.

It hands each line of an axis to ``motion``, keeps the last reports of the mount about each axis, publishes a
finished slew as a change on the event bus, and adds the following errors to the signals. It decides nothing
about commands. `present` computes the rest on request, at most a few times a second for all readers. It does
no I/O.

Next to read: ``motion``, the numbers; `signals`, the memory of the signals.
"""

from __future__ import annotations

import gc
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from heapq import merge
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from mtmount_twisted.dialects.dialect import QuantityFacts, TelemetryFormat, TopicFacts
from mtmount_twisted.dialects.facts import AxisFact, DeviceFact, Event, Fact, PositionFact, RangeFact
from mtmount_twisted.errors import LineError
from mtmount_twisted.interfaces import IEventBus, IMotion, ITelemetry, ITelemetryValue
from mtmount_twisted.journal.schema import CONTROLLER
from mtmount_twisted.motion import sky
from mtmount_twisted.motion.following import WINDOW, Followed, Following, Sample, followed
from mtmount_twisted.motion.limits import NAMES, AxisLimits, AxisMotion, AxisName, Limit, limits
from mtmount_twisted.motion.present import AxisPresent, Present, Rules, RunningSlew, time_to_go
from mtmount_twisted.motion.rows import Row
from mtmount_twisted.motion.slews import Axis, Slew, SlewWatch
from mtmount_twisted.motion.words import AxisReport, Motion, State, motion
from mtmount_twisted.records import ChangeRecord, LineRecord

from .signals import SPAN, SignalGroup, SignalMemory

T = TypeVar("T")

KEPT_SLEWS = 500
"""The number of slews in memory: a busy night."""

MANY_SLEWS, IN_TIME = 200, 600.0
"""The largest number of slews that are kept in a time, and this time in seconds. Further slews are not kept,
and are recorded only within the bounds of ``journal.limited``. A mount slews every 40 s in a busy night. A
broken demand jumps 20 times a second, and would fill the journal."""

FARTHEST = 86_400.0
"""The longest time between now and the start of a slew, in seconds: a faulty mount sends any time stamp."""

KEPT_REPORTS = 5000
"""The largest number of states of the axes in memory, of the last hour: some 5 MB. If a mount slews every 40
s, the states change 2,000 times."""

KEPT_TIME = 0.2
"""The time for which a computed `Present` is reused, in seconds."""

SLOW_TIME = 1.0
"""The time for which the sky and the limits are reused, in seconds: their computation takes some 0.3 ms."""

EVENTS_AT_ONCE = 20
"""The number of recorded events and lines that a thread handles in one piece of work: some 0.5 ms."""

PIECE_BYTES = 16384
"""The bytes of lines after which such a piece of work ends. A line of a mount has 600 bytes. A malformed line
of 4 KiB takes 3 ms."""

STALE_AFTER = 1.0
"""The age beyond which the motion of an axis is not used for limits, in seconds."""

OTHER_SCALE = 86_400.0
"""The difference to now beyond which the time stamp of an event counts from another epoch, in seconds."""

MAIN_AXES: tuple[Axis, ...] = ("azimuth", "elevation")
"""The axes that slew."""

SPEEDS: dict[AxisName, tuple[float, float]] = {
    "azimuth": (7.0, 7.0),
    "elevation": (3.5, 3.5),
    "cameraCableWrap": (3.5, 1.0),
}
"""The velocity (deg/s) and the acceleration (deg/s²) of a mount that has not sent its settings."""

_STATES: dict[object, State] = {
    "STOPPING": "stopping",
    "STOPPED": "stopped",
    "MOVING_POINT_TO_POINT": "moving",
    "JOGGING": "jogging",
    "TRACKING": "tracking",
    "TRACKING_PAUSED": "paused",
}


@dataclass(slots=True)
class _Reported:
    """The mount's last reports about an axis."""

    power: object = None
    homed: bool | None = None
    state: State | None = None
    goal: float | None = None
    in_position: bool | None = None
    in_position_since: float | None = None  # monotonic, s


@dataclass(slots=True)
class _Axis:
    """An axis.

    :ivar motion: its latest line, which came at `came_at` (monotonic, s).
    :ivar range: the range in the mount's settings; None before the mount has sent them.
    :ivar followed: the errors at a moment in the past; None at present, when `following` has them.
    """

    name: AxisName
    group: SignalGroup | None
    following: Following = field(default_factory=Following)
    reported: _Reported = field(default_factory=_Reported)
    motion: PositionFact | None = None
    came_at: float = -math.inf
    range: RangeFact | None = None
    followed: Followed | None = None

    @property
    def to_go(self) -> float | None:
        """The way to the demand, or to the goal of a move (deg)."""
        now, reported = self.motion, self.reported
        if now is None or now.position is None:
            return None
        target = reported.goal if reported.state == "moving" else now.demand_position
        return None if target is None else target - now.position

    @property
    def report(self) -> AxisReport:
        """The mount's reports, as `words` takes them."""
        reported, now = self.reported, self.motion
        powered = None if reported.power is None else reported.power not in ("OFF", "TURNING_ON")
        to_go = None
        if now is not None and now.position is not None and now.demand_position is not None:
            to_go = now.demand_position - now.position
        return AxisReport(powered, reported.power == "FAULT", reported.homed, reported.state, to_go)


class _Report(NamedTuple):
    """The mount's last reports about its axes, from a time (UTC, s) to the time of the next `_Report`.

    :ivar ahead: the time of day minus the monotonic clock, in s.
    """

    at: float
    ahead: float
    axes: dict[AxisName, tuple[_Reported, RangeFact | None]]
    words: Motion
    words_since: float | None


def _derived(axis: str) -> TopicFacts:
    docs = {"error": "Demand minus actual position.", "errorSky": "The same on the sky."}
    return TopicFacts(
        number=0,
        name=f"motion.{axis}",
        period=0.05,
        doc="The following error.",
        quantities=tuple(QuantityFacts(name, "arcsec", "number", doc, "") for name, doc in docs.items()),
        parts=tuple((name, 1) for name in docs),
        values_of=lambda decoded: (),
    )


class _Value:
    """A line of a recording, as the value of a topic; see `ITelemetryValue`."""

    def __init__(self, line: bytes, at: float, format: TelemetryFormat) -> None:
        self.topic_id, self.timestamp = format.read_header(line)
        self.line = line
        self.came_at = at
        self.age = 0.0
        self._format = format

    def decoded(self) -> Any:
        return self._format.decode(self.line)


class _Past:
    """The clock, the bus and the telemetry of a moment in the past; all clocks are UTC, in s.

    :ivar at: the present time of the past.
    """

    connected, silent, age, clock_offset, lines, malformed, epoch = True, False, None, None, 0, 0, 0

    def __init__(self, format: TelemetryFormat, at: float) -> None:
        self.at = at
        self._format = format

    def seconds(self) -> float:
        return self.at

    now = seconds

    def value(self, line: bytes) -> Any:
        return _Value(line, self.at, self._format)

    def publish(self, record: Any) -> None:
        """Publish nothing: a slew of the past is in the journal."""

    def subscribe(self, *arguments: Any) -> None:
        """Send nothing: the lines come from a recording."""

    subscribe_values = unsubscribe = subscribe


@implementer(IMotion)
class MotionWatch:
    """The motion of the mount.

    :param telemetry: the source of the lines.
    :param signals: the memory to which the following errors are added.
    :param format: the format of the lines and events.
    :param rules: the settings of the site.
    :param bus: the source of events of the mount; it receives finished slews.
    :param clock: the monotonic clock.
    :param has_sky: True if the numbers of the sky are loaded; else `load` loads them.
    :param remembers: False to keep no reports for `present_in_memory`.
    :ivar slews: the finished slews with the time of the start of each (UTC, s), the latest last.
    """

    def __init__(
        self,
        telemetry: ITelemetry,
        signals: SignalMemory,
        format: TelemetryFormat,
        rules: Rules,
        bus: IEventBus,
        clock: IReactorTime,
        has_sky: bool = False,
        remembers: bool = True,
    ) -> None:
        self.rules = rules
        self._remembers = remembers
        self.slews: deque[tuple[float, Slew]] = deque(maxlen=KEPT_SLEWS)
        self._slew_times: deque[float] = deque(maxlen=MANY_SLEWS)  # monotonic, s; of the slews that were kept
        self._telemetry = telemetry
        self._signals = signals
        self._format = format
        self._bus = bus
        self._clock = clock
        self._watch = SlewWatch(rules.slews)
        self._axes: dict[AxisName, _Axis] = {
            "azimuth": _Axis("azimuth", signals.add_group(_derived("azimuth"))),
            "elevation": _Axis("elevation", signals.add_group(_derived("elevation"))),
            "cameraCableWrap": _Axis("cameraCableWrap", None),
        }
        self._by_topic = {topic: self._axes[NAMES[axis]] for axis, topic in format.axes.items()}
        self._words = motion(AxisReport(), AxisReport())
        self._words_since: float | None = None
        self._has_sky = has_sky
        self._slow: tuple[float, sky.Sky | None, list[Limit]] | None = None
        self._present: tuple[float, Present] | None = None
        self._reports: deque[_Report] = deque(maxlen=KEPT_REPORTS)
        self._keep_report()
        telemetry.subscribe_values(self._receive)
        bus.subscribe(self._hear, LineRecord)
        bus.subscribe(self._change, ChangeRecord)

    async def load(self, in_thread: Callable[[Callable[[], sky.Sky]], Deferred[sky.Sky]]) -> None:
        """Load numpy and the numbers of the sky in a thread; before that, `present` has no sky.

        :param in_thread: calls a function in a thread.
        :raises Exception: if they can't be loaded.
        """
        site, now = self.rules.site, self._bus.now()
        await in_thread(lambda: sky.position(site, 0.0, 45.0, now))
        self._has_sky = True
        gc.freeze()  # numpy's objects live until the end; see `app.daemon`

    # Telemetry

    def _receive(self, values: Sequence[ITelemetryValue]) -> None:
        for value in values:
            axis = self._by_topic.get(value.topic_id)
            if axis is None:
                continue
            try:
                axis.motion = self._format.position_of(value.decoded())
            except LineError:
                continue
            axis.came_at = value.came_at
            if axis.group is not None:
                self._follow(axis, axis.motion, value, axis.group)
        self._find_word()

    def _follow(self, axis: _Axis, now: PositionFact, value: ITelemetryValue, group: SignalGroup) -> None:
        """Add a line of azimuth or elevation to the following errors and to the slews."""
        sample = Sample(now.demand_position, now.demand_at, now.position, now.position_at)
        elevation = None
        if axis.name == "azimuth" and (other := self._axes["elevation"].motion) is not None:
            elevation = other.position
        following, before = axis.following, axis.following.at
        following.add(sample, elevation)
        error, at = following.error, following.at
        if at is not None and at != before and error is not None and following.error_sky is not None:
            came_at = value.came_at - min(max(0.0, value.timestamp - at), 1.0)
            group.add(self._ahead() + came_at, came_at, (error, following.error_sky))
        self._finish(self._watch.add("azimuth" if axis.name == "azimuth" else "elevation", sample))
        if self._slew_start() is not None:  # the way to the target would dominate the RMS of the next 15 s
            following.restart_window()

    def lose_telemetry(self) -> None:
        """Note that no telemetry comes: an unfinished slew ends."""
        self._finish(self._watch.clear())

    def _finish(self, slews: Sequence[Slew]) -> None:
        for slew in slews:
            start = self._utc_of(slew.start)
            is_kept = self._may_keep_slew()
            if is_kept:
                self.slews.append((start, slew))
            detail = msgspec.json.encode({**slew._asdict(), "start": start, "passed": slew.passed}).decode()
            bus = self._bus
            bus.publish(ChangeRecord(bus.now(), bus.epoch, CONTROLLER, "slew", detail, privileged=is_kept))

    def _may_keep_slew(self) -> bool:
        """Return True and count one more slew, unless there were `MANY_SLEWS` slews lately."""
        now, times = self._clock.seconds(), self._slew_times
        if len(times) == MANY_SLEWS and now - times[0] < IN_TIME:
            return False
        times.append(now)
        return True

    def _utc_of(self, tai: float) -> float:
        """Return the time of the mount's clock as UTC of this machine's clock, within `FARTHEST` from now."""
        now = self._bus.now()
        time = tai - (self._telemetry.clock_offset or 0.0) - (self._format.tai() - now)
        return min(max(time, now - FARTHEST), now + FARTHEST)

    def _ahead(self) -> float:
        """Return the time of day minus the monotonic clock."""
        return self._bus.now() - self._clock.seconds()

    # Events

    def _hear(self, record: LineRecord, number: int) -> None:
        """Note an event of the mount about an axis."""
        if (
            record.code not in self._format.motion_codes
            or record.peer != CONTROLLER
            or record.direction != "from"
        ):
            return
        self._read_event(record.line)

    def _read_event(self, line: bytes) -> None:
        try:
            self._note_event(*self._format.read_event(line))
        except LineError:
            return

    def _note_event(self, timestamp: float, facts: Sequence[Fact]) -> None:
        at = self._event_time(timestamp)
        before: dict[Axis, tuple[State | None, float | None]] = {
            name: (self._axes[name].reported.state, self._axes[name].reported.goal) for name in MAIN_AXES
        }
        for fact in facts:
            match fact:
                case AxisFact():
                    self._note_in_position(fact, at)
                case DeviceFact():
                    self._note(fact)
                case RangeFact():
                    self._axes[NAMES[fact.axis]].range = fact
        for name, (state, goal) in before.items():
            self._note_move(name, state, goal, at)
        self._find_word()
        if self._remembers:
            self._keep_report()
        self._present = self._slow = None

    def _note_in_position(self, fact: AxisFact, timestamp: float) -> None:
        name = NAMES.get(fact.name)
        if name is None:
            return
        reported = self._axes[name].reported
        if fact.in_position and not reported.in_position:
            reported.in_position_since = self._clock.seconds()
        reported.in_position = fact.in_position
        if name != "cameraCableWrap":
            self._finish(self._watch.in_position(name, fact.in_position, timestamp))

    def _note(self, fact: DeviceFact) -> None:
        name = NAMES.get(fact.device)
        if name is None:
            return
        reported = self._axes[name].reported
        match fact:
            case DeviceFact(name="power", value=value):
                reported.power = value
            case DeviceFact(name="homed", value=bool() as value):
                reported.homed = value
            case DeviceFact(name="motion", value=value):
                reported.state = _STATES.get(value)
            case DeviceFact(name="target", value=value):
                reported.goal = float(value) if isinstance(value, float | int) else None

    def _note_move(self, name: Axis, state: State | None, goal: float | None, at: float) -> None:
        """Report the beginning or the end of a move to the table of slews, after a report of the mount.

        The start of a move is unknown if the move is under way at the mount's first report over a connection.

        :param state, goal: the state and the goal of the axis before the report.
        """
        now = self._axes[name].reported
        if now.state == state and now.goal == goal:
            return
        if now.state == "moving" and now.goal is not None and state is not None:
            self._finish(self._watch.move(name, now.goal, at))
        elif state == "moving" and now.state != "moving":
            self._finish(self._watch.stop(name, now.state != "stopped", at))

    def _event_time(self, timestamp: float) -> float:
        """Return the time of an event (TAI s): its time stamp, or now if the time stamp is of another time
        scale.

        The vendor's examples count from 1904 (protocol-tma2022.rst, "Replies, events and telemetry").
        """
        now = self._format.tai() + (self._telemetry.clock_offset or 0.0)
        return timestamp if abs(timestamp - now) <= OTHER_SCALE else now

    def _change(self, record: ChangeRecord, number: int) -> None:
        """Forget the mount's reports when its link is lost. The mount reports all again, except an
        arrival."""
        if record.kind == "link_down":
            for axis in self._axes.values():
                axis.reported = _Reported()
            self._finish(self._watch.lose_reports())
            self._find_word()
            self._keep_report()
            self._present = self._slow = None

    def _find_word(self) -> None:
        azimuth, elevation = self._axes["azimuth"].report, self._axes["elevation"].report
        words = motion(azimuth, elevation, self.rules.slews.jump)
        if words != self._words:
            if words.word != self._words.word:
                self._words_since = self._clock.seconds()
            self._words = words
            if self._remembers:
                self._keep_report()

    def _keep_report(self) -> None:
        """Keep the mount's reports, for `present_in_memory`."""
        now = self._bus.now()
        axes = {name: (replace(axis.reported), axis.range) for name, axis in self._axes.items()}
        self._reports.append(_Report(now, self._ahead(), axes, self._words, self._words_since))
        while len(self._reports) > 1 and self._reports[1].at < now - SPAN:
            self._reports.popleft()

    # The present

    def present(self) -> Present:
        """See `IMotion`."""
        now = self._clock.seconds()
        if self._present is None or not 0 <= now - self._present[0] < KEPT_TIME:
            self._present = now, self._make(now, self._slew_start())
        return self._present[1]

    def present_at(
        self,
        time: float,
        events: Iterable[Event],
        lines: Iterable[tuple[float, bytes]],
        proceed: Callable[[], None] = lambda: None,
    ) -> Present:
        """See `IMotion`."""
        past: Any = _Past(self._format, time)
        watch = self._watch_past(past, has_sky=True)
        reported = ((event.came_at, event) for event in events if any(map(_is_of_axis, event.facts)))
        cost = PIECE_BYTES
        for at, what in merge(reported, lines, key=itemgetter(0)):
            if cost >= PIECE_BYTES:
                proceed()
                cost = 0
            cost += max(PIECE_BYTES // EVENTS_AT_ONCE, 0 if isinstance(what, Event) else len(what))
            past.at = at
            if isinstance(what, Event):
                watch._note_event(what.timestamp, what.facts)
            else:
                with suppress(LineError):  # another program wrote the recording
                    watch._receive([past.value(what)])
        past.at = time
        return watch._make(time, watch._slew_start())

    def remembers_from(self) -> float:
        """See `IMotion`."""
        return max(self._reports[0].at, self._bus.now() - SPAN)

    def present_in_memory(self, time: float) -> Callable[[Mapping[int, Row], Callable[[], None]], Present]:
        """See `IMotion`."""
        past: Any = _Past(self._format, time)
        watch = self._watch_past(past, self._has_sky)
        report = next((each for each in reversed(self._reports) if each.at <= time), self._reports[0])
        topics = {name: self._format.axes[fact] for fact, name in NAMES.items()}
        arrived = self._arrival_before(time)
        slew_start = self._slew_start_at(time, report.words)
        errors = {name: axis.group.kept() for name, axis in self._axes.items() if axis.group is not None}

        def present(rows: Mapping[int, Row], proceed: Callable[[], None]) -> Present:
            for name, axis in watch._axes.items():
                proceed()
                reported, axis.range = report.axes[name]
                since = reported.in_position_since
                axis.reported = replace(
                    reported, in_position_since=None if since is None else since + report.ahead
                )
                if (row := rows.get(topics[name])) is not None:
                    axis.motion = self._format.position_in(topics[name], row.values)
                    axis.came_at = row.at
                if (kept := errors.get(name)) is not None:
                    last = kept.row_at(time)
                    begin = time if last is None else last.at - WINDOW
                    axis.followed = followed(
                        [] if last is None else kept.between(begin, time),
                        # no earlier rows: an hour of them held the interpreter for 20 ms
                        kept.between(max(begin, math.nextafter(arrived, math.inf)), time),
                    )
            proceed()
            watch._words = report.words
            watch._words_since = None if report.words_since is None else report.words_since + report.ahead
            return watch._make(time, slew_start)

        return present

    def _watch_past(self, past: Any, has_sky: bool) -> MotionWatch:
        """Return a watch over a moment in the past, which keeps no signals but the errors."""
        ahead = self._format.tai() - self._bus.now()
        format = msgspec.structs.replace(self._format, topics=dict, tai=lambda: past.now() + ahead)
        memory = SignalMemory(past, format, past, past.seconds)
        return MotionWatch(past, memory, format, self.rules, past, past, has_sky, remembers=False)

    def _slew_start(self) -> float | None:
        """Return the start of the slew that has not arrived (UTC, s)."""
        running = self._watch.running
        return (
            None if running is None or running.in_position_after is not None else self._utc_of(running.start)
        )

    def _arrival_before(self, time: float) -> float:
        """Return the arrival of the last slew before a time (UTC, s); infinite if it is under way."""
        start, after = self._last_slew_before(time)
        return math.inf if after is None else start + after

    def _last_slew_before(self, time: float) -> tuple[float, float | None]:
        """Return the start (UTC, s) of the last slew before a time, and its time to in-position."""
        running = self._watch.running
        slews = [(start, slew.in_position_after) for start, slew in self.slews]
        if running is not None:
            slews.append((self._utc_of(running.start), running.in_position_after))
        return next((each for each in reversed(slews) if each[0] <= time), (-math.inf, 0.0))

    def _slew_start_at(self, time: float, words: Motion) -> float | None:
        """Return the start of the slew that had not arrived at a time in the past (UTC, s)."""
        start, after = self._last_slew_before(time)
        if after is None:  # it has not arrived yet, or a stop or the next slew has ended it
            return start if words.word in ("Slewing", "Moving") else None
        return start if time < start + after else None

    def _make(self, now: float, slew_start: float | None) -> Present:
        words = self._words
        axes = {name: self._axis(axis) for name, axis in self._axes.items()}
        place, rows = self._slowly(now)
        main = axes["azimuth"], axes["elevation"]
        times = [axis.seconds_to_go for axis in main if axis.seconds_to_go is not None]
        seconds = max(times) if times and words.word in ("Slewing", "Moving") else None
        return Present(
            word=words.word,
            detail=_detail(words),
            since=self._words_since,
            seconds=seconds,
            axes=axes,
            sky=place,
            limits=rows,
            slew=None if slew_start is None else self._running(slew_start, main, seconds),
        )

    def _running(self, start: float, main: tuple[AxisPresent, ...], seconds: float | None) -> RunningSlew:
        ways = [axis.to_go for axis in main if axis.to_go is not None]
        way = max(ways, key=abs) if ways else None
        return RunningSlew(start - self._ahead(), way, seconds)

    def _axis(self, axis: _Axis) -> AxisPresent:
        now, following, reported = axis.motion, axis.followed or axis.following, axis.reported
        to_go = axis.to_go
        seconds = None
        if to_go is not None and now is not None and now.velocity is not None:
            speed, acceleration = self._speeds(axis)
            seconds = time_to_go(to_go, now.velocity, speed, acceleration)
        is_there = bool(reported.in_position)
        return AxisPresent(
            position=None if now is None else now.position,
            demand=None if now is None else now.demand_position,
            velocity=None if now is None else now.velocity,
            torque=None if now is None else now.torque,
            came_at=None if now is None else axis.came_at,
            error=following.error,
            error_sky=following.error_sky,
            rms=following.rms,
            greatest=following.greatest,
            in_position=reported.in_position,
            on_target_since=reported.in_position_since if is_there else None,
            to_go=to_go,
            seconds_to_go=0.0 if is_there else seconds,
            limits=self._bounds(axis),
            limits_are_mounts=axis.range is not None,
        )

    def limits_of(self, axis: str) -> AxisLimits | None:
        """See `IMotion`."""
        return self._bounds(self._axes[NAMES[axis]]) if axis in NAMES else None

    def _bounds(self, axis: _Axis) -> AxisLimits:
        given, own = self.rules.bounds[axis.name], axis.range
        if own is None:
            return given
        low = given.low if own.low is None else own.low
        high = given.high if own.high is None else own.high
        return AxisLimits(low, high) if low < high else given

    def _speeds(self, axis: _Axis) -> tuple[float, float]:
        speed, acceleration = SPEEDS[axis.name]
        if axis.range is not None:
            speed, acceleration = axis.range.velocity or speed, axis.range.acceleration or acceleration
        return abs(speed), abs(acceleration)

    def _slowly(self, now: float) -> tuple[sky.Sky | None, list[Limit]]:
        """Return the place in the sky and the limits, of the last second."""
        if self._slow is None or not 0 <= now - self._slow[0] < SLOW_TIME:
            self._slow = now, self._sky(now), self._limits(now)
        return self._slow[1:]

    def _sky(self, now: float) -> sky.Sky | None:
        azimuth, elevation = self._axes["azimuth"], self._axes["elevation"]
        az, el = _position(azimuth), _position(elevation)
        if not self._has_sky or az is None or el is None:
            return None
        at = min(azimuth.came_at, elevation.came_at) + self._ahead()
        try:
            return sky.position(self.rules.site, az, el, at)
        except ValueError:  # an elevation beyond 90 deg, as a simulator may send
            return None

    def _limits(self, now: float) -> list[Limit]:
        motions: dict[AxisName, AxisMotion] = {}
        for name, axis in self._axes.items():
            found = axis.motion
            if found is not None and found.position is not None and now - axis.came_at <= STALE_AFTER:
                # While the mount jogs, the demand runs along with the axis and is no target.
                to_go = axis.to_go if axis.reported.state in ("moving", "tracking") else None
                target = None if to_go is None else found.position + to_go
                motions[name] = AxisMotion(found.position, found.velocity or 0.0, target)
        return limits(
            motions,
            {name: self._bounds(axis) for name, axis in self._axes.items()},
            tracking=self._words.word == "Tracking",
            latitude=self.rules.site.latitude,
            settings=self.rules.limits,
        )

    def close(self) -> None:
        """Stop listening to the bus. It can be called twice."""
        self._bus.unsubscribe(self._hear)
        self._bus.unsubscribe(self._change)


def _is_of_axis(fact: Fact) -> bool:
    """Return True if a fact is about the motion of an axis, or about its range."""
    match fact:
        case DeviceFact():
            return fact.device in NAMES and fact.name in _NOTED
        case AxisFact() | RangeFact():
            return True
        case _:
            return False


_NOTED = frozenset(("power", "homed", "motion", "target"))


def _position(axis: _Axis) -> float | None:
    return None if axis.motion is None else axis.motion.position


def _detail(words: Motion) -> str:
    """Return the words of both axes, if they differ."""
    if words.azimuth == words.elevation:
        return ""
    return f"azimuth: {words.azimuth}; elevation: {words.elevation}"
