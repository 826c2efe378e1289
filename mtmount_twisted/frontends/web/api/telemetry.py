"""``GET /api/v1/telemetry`` and its relatives: the mount's motion, its signals, its slews and limits.

The classes are the shapes of the answers, of the event ``summary``, and of their schemas. Recordings are read
in threads of `history.Shelf`. Next to read: `signal_history`, the past; ``upstream.motion_watch``, the
numbers; ``events.signals``, the live values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias

from msgspec import UNSET, Meta, UnsetType, field
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.dialects.dialect import TelemetryFormat, TopicFacts
from mtmount_twisted.dialects.facts import AlarmFact, DeviceFact, Event
from mtmount_twisted.errors import LineError, RecordingError
from mtmount_twisted.frontends.web.events.selection import refuse, unknown
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.answers import Name, Part, Seconds, Shape, Time
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Fault, Parameter, RequestError, Route
from mtmount_twisted.frontends.web.http.encoding import LEAST, as_body, gzip, takes_gzip
from mtmount_twisted.interfaces import IBridge, IMotion, IRecorderState, ISignals, ITelemetry
from mtmount_twisted.journal.reading import JournalError
from mtmount_twisted.journal.recording.signals import Before, moment
from mtmount_twisted.journal.times import iso, parse_time
from mtmount_twisted.motion.following import WINDOW
from mtmount_twisted.motion.limits import LIMITS, Limit
from mtmount_twisted.motion.present import AxisPresent, Present, Rules, RunningSlew
from mtmount_twisted.motion.rows import KeptRows, Row
from mtmount_twisted.motion.sky import Sky
from mtmount_twisted.motion.words import WORDS

from .history import Shelf, proceeding
from .state import (
    STALE_AFTER,
    MountError,
    MountWarning,
    Reported,
    error_of,
    latest_line,
    warning_of,
)

MotionWord = Annotated[str, Meta(extra_json_schema={"enum": list(WORDS)})]

AxisName = Annotated[
    str, Meta(extra_json_schema={"enum": ["azimuth", "elevation", "cameraCableWrap"]}, examples=["azimuth"])
]


class RecorderNow(Part, frozen=True, kw_only=True):
    """The recorder of telemetry: the oldest time that can be asked for, and the reason if it is off."""

    enabled: bool
    oldest: Time | None
    why: str


class MotionNow(Part, frozen=True, kw_only=True):
    """The motion of the mount in a word, since when, and the time in s that it still takes."""

    word: MotionWord
    detail: str
    since: Time | None
    seconds: Seconds | None


class AxisNow(Part, frozen=True, kw_only=True):
    """An axis: deg, deg/s, N m and s; errors in arcsec; `error_sky`, `rms` and `greatest` on the sky."""

    position: float | None = None
    demand: float | None = None
    velocity: float | None = None
    torque: float | None = None
    age: Seconds | None = None
    stale: bool = True
    time: Time | None = None
    error: float | None = None
    error_sky: float | None = None
    rms: Seconds | None = None
    greatest: Seconds | None = None
    window: Seconds = WINDOW
    in_position: bool | None = None
    on_target_since: Time | None = None
    to_go: float | None = None
    seconds_to_go: Seconds | None = None
    limit_low: float
    limit_high: float
    limits_from: Annotated[str, Meta(extra_json_schema={"enum": ["mount", "settings"]})]


class CableWrapNow(Part, frozen=True, kw_only=True):
    """The camera cable wrap (deg, deg/s)."""

    position: float | None = None
    velocity: float | None = None
    stale: bool = True
    age: Seconds | None = None


class AxesNow(Part, frozen=True, kw_only=True):
    """The axes; a number is null until the mount sends it."""

    azimuth: AxisNow
    elevation: AxisNow
    camera_cable_wrap: CableWrapNow = field(name="cameraCableWrap")


class SkyNow(Part, frozen=True, kw_only=True):
    """The position on the sky from the encoders, without a pointing model and refraction (ICRS; deg)."""

    right_ascension: float
    declination: float
    hour_angle: float
    sidereal_time: float
    parallactic_angle: float
    airmass: float | None
    ut1_stale: bool


class LimitNow(Part, frozen=True, kw_only=True):
    """The way to a limit (deg), and the time until it is reached (s); null: not within 12 h."""

    name: Name
    axis: AxisName
    direction: Annotated[str, Meta(extra_json_schema={"enum": ["+", "-"]})]
    kind: Annotated[str, Meta(extra_json_schema={"enum": ["software", "wrap", "sets", "zenith", "unwrap"]})]
    limit: float
    distance: Seconds
    seconds: Seconds | None
    at: Time | None
    level: Annotated[str, Meta(extra_json_schema={"enum": ["calm", "caution", "alarm"]})]
    basis: Annotated[str, Meta(extra_json_schema={"enum": ["tracking", "motion", "still"]})]


class SlewNow(Part, frozen=True, kw_only=True):
    """A slew that is not at its end: the way to go (deg) and the time that it takes (s)."""

    start: Time
    to_go: float | None
    seconds: Seconds | None


class RulesNow(Part, frozen=True, kw_only=True):
    """The site's rules: for slews (deg, s; RMS in arcsec), and the times to a limit (s)."""

    slew_jump: Seconds
    rms_limit: Seconds
    slew_distance: Seconds
    slew_time: Seconds
    settle_time: Seconds
    limit_caution: Seconds
    limit_alarm: Seconds


class TopicNow(Part, frozen=True, kw_only=True):
    """The latest line of a topic: its quantities by their names on the wire, an array as a list."""

    age: Seconds
    stale: bool
    time: Time
    values: dict[str, float | list[float | None] | None]


class TelemetryNow(Shape, frozen=True, kw_only=True):
    """The motion of the mount, and the latest line of each topic; the event `summary` has no topics."""

    time: Time
    at: Time | None
    live: bool
    available: bool
    why: str
    connected: bool
    silent: bool
    age: Seconds | None
    clock_offset: float | None
    recorder: RecorderNow
    motion: MotionNow
    axes: AxesNow
    sky: SkyNow | None
    limits: list[LimitNow]
    slew: SlewNow | None
    rules: RulesNow
    topics: dict[str, TopicNow] | UnsetType = UNSET
    devices: dict[str, dict[str, Reported]] | UnsetType | None = UNSET
    warnings: list[MountWarning] | UnsetType | None = UNSET
    errors: list[MountError] | UnsetType | None = UNSET


class SignalInfo(Part, frozen=True, kw_only=True):
    """A signal: its unit, and the time between two values in s; null if that is unknown."""

    name: Name
    unit: str
    period: Seconds | None


class Signals(Shape, frozen=True, kw_only=True):
    """All signals of the mount."""

    signals: list[SignalInfo]


class Limits(Shape, frozen=True, kw_only=True):
    """The limits, the nearest first."""

    limits: list[LimitNow]


_NO_AXIS = (None,) * 13
NOTHING = Present(
    word="Not known",
    detail="",
    since=None,
    seconds=None,
    axes={name: AxisPresent(*_NO_AXIS, bounds, False) for name, bounds in LIMITS.items()},
    sky=None,
    limits=[],
    slew=None,
)
"""The motion of a mount without telemetry."""

EVENTS_BEFORE, LINES_BEFORE = 12 * 3600.0, 20.0
"""The time before a past moment from which the events of the mount are read, and the telemetry of its axes,
in s. The mount sends an event only when something changes. The RMS is over 15 s."""

MOST_ALARMS = 1000
"""The largest number of warnings and errors of a past moment: the latest ones. The present has no more
either."""

EVENTS_AT_ONCE = 20
"""The number of recorded events that are decoded in one piece of work: some 0.5 ms."""

EVENT_BYTES = 4096
"""The bytes of events after which such a piece ends: a malformed event of 4 KiB takes 3 ms."""

WHOLE_AFTER = 60.0
"""The age at which memory has a line of each topic, in s. If there is a recorder, younger memory is not
read."""

NO_RECORDER = "there are no recordings: set [recorder] enabled = true in the configuration"

PARAMETERS = (
    Parameter(
        "at",
        "query",
        Annotated[str, Meta(examples=["10 min ago"])],
        "A past time, in the last hour or in the recordings: ISO 8601, 16:14, or '10 min ago'.",
    ),
)

NO_TELEMETRY = "this mount speaks tma2020, which has no telemetry: no positions"


class TelemetryRoutes:
    """The routes of the motion and of the signals.

    :param signals: the mount's signals; None if it sends no telemetry.
    :param telemetry: the mount's telemetry; None if it sends none.
    :param motion: the mount's motion; None if it sends no telemetry.
    :param recorder: the recorder of telemetry.
    :param shelf: the threads in which recordings are read.
    :param stamps: converts the clock to the time of day.
    :param rest: as for `history.proceeding`.
    """

    def __init__(
        self,
        bridge: IBridge,
        telemetry: ITelemetry | None,
        signals: ISignals | None,
        motion: IMotion | None,
        recorder: IRecorderState,
        shelf: Shelf,
        clock: IReactorTime,
        stamps: Stamps,
        wall_clock: Callable[[], float],
        rest: Callable[[float], object] | None = None,
    ) -> None:
        self._bridge = bridge
        self._rest = rest
        self._telemetry = telemetry
        self._signals = signals
        self._motion = motion
        self._recorder = recorder
        self._shelf = shelf
        self._wall_clock = wall_clock
        self._clock = clock
        self._stamps = stamps

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                "GET",
                "/api/v1/telemetry",
                self.get,
                "observe",
                "The motion of the mount, and the latest line of each topic of its telemetry.",
                id="get_telemetry",
                tag="telemetry",
                answers={200: TelemetryNow},
                problems=(404, 422, 429, 503),
                parameters=PARAMETERS,
            ),
            Route(
                "GET",
                "/api/v1/telemetry/signals",
                self.list_signals,
                "observe",
                "The signals of the mount, with their units.",
                id="list_signals",
                tag="telemetry",
                answers={200: Signals},
            ),
            Route(
                "GET",
                "/api/v1/limits",
                self.list_limits,
                "observe",
                "The way and the time to each limit.",
                id="list_limits",
                tag="telemetry",
                answers={200: Limits},
            ),
        ]

    async def get(self, call: Call) -> Answer:
        """Answer with the motion and all topics, now or at a past time."""
        faults = unknown(call.query, PARAMETERS)
        text, now = call.query.get("at"), self._wall_clock()
        at = None
        try:
            at = None if text is None else parse_time(text, now)
        except ValueError as error:
            faults.append(Fault("query.at", str(error)))
        if at is not None and not 0 <= at <= now:
            faults.append(Fault("query.at", f"expected a time in the past, got {str(text)[:80]!r}"))
        refuse(faults)
        if at is None:
            return Answer(replace(self.summary(), topics=self._topics()))
        return await self._moment(at, call)

    async def _moment(self, at: float, call: Call) -> Answer:
        """Answer with the motion at a past time, from memory or from the recordings."""
        folder, motion, format = self._recorder.folder, self._motion, self._bridge.dialect.telemetry
        if motion is None or format is None or self._signals is None:
            raise RequestError(503, NO_TELEMETRY)
        remembered = motion.remembers_from()
        read: Callable[[Callable[[], None]], Past]
        if at >= remembered + (0.0 if folder is None else WHOLE_AFTER):
            kept = Kept(self._signals.kept(), motion.present_in_memory(at))
            read = partial(read_memory, kept, folder, at, format)
        elif folder is not None:
            read = partial(read_moment, folder, at, format, motion)
        else:
            raise RequestError(404, f"memory begins at {iso(remembered)}, and {NO_RECORDER}")
        with_gzip = takes_gzip(call.headers.get("accept-encoding", ""))
        observes = call.user.observes

        def work(stop: Callable[[], bool]) -> tuple[bytes, bytes | None]:
            proceed = proceeding(stop, "the recordings can't be read in time", observes, self._rest)
            past = read(proceed)
            body = as_body(self._past(at, past))
            return body, gzip(body) if with_gzip and len(body) >= LEAST else None

        try:
            body, gzipped = await self._shelf.run(work, call.share, observes, "the recordings")
        except (JournalError, RecordingError) as error:
            raise RequestError(503, str(error)) from None
        return Answer(body, headers={"Content-Type": "application/json"}, gzipped=gzipped)

    def _past(self, at: float, past: Past) -> TelemetryNow:
        """Return a past moment in the form of the API."""
        moments = Moments(at, iso, lambda came_at: at - came_at > STALE_AFTER)
        topics = {name: _topic(topic, moments) for name, topic in past.topics.items()}
        now = self._shape(past.present, moments)
        devices, warnings, errors = past.said
        now = replace(now, devices=devices, warnings=warnings, errors=errors)
        return replace(now, at=iso(at), live=False, age=None, clock_offset=None, topics=topics)

    async def list_signals(self, call: Call) -> Answer:
        """Answer with the names of all signals."""
        refuse(unknown(call.query, ()))
        signals = self._signals
        if signals is None:
            return Answer(Signals(signals=[]))
        infos = [
            SignalInfo(name=name, unit=unit, period=signals.periods[name])
            for name, unit in signals.units.items()
        ]
        return Answer(Signals(signals=infos))

    async def list_limits(self, call: Call) -> Answer:
        """Answer with the limits."""
        refuse(unknown(call.query, ()))
        return Answer(Limits(limits=self.summary().limits))

    def summary(self) -> TelemetryNow:
        """Return the motion of the mount, without the topics."""
        motion, telemetry = self._motion, self._telemetry

        def is_stale(came_at: float) -> bool:
            return moments.age(came_at) > STALE_AFTER or telemetry is None or not telemetry.connected

        moments = Moments(self._clock.seconds(), self._stamps.of, is_stale)
        return self._shape(NOTHING if motion is None else motion.present(), moments)

    def _shape(self, now: Present, moments: Moments) -> TelemetryNow:
        """Return the motion in the form of the API."""
        telemetry, motion = self._telemetry, self._motion
        is_there = telemetry is not None and motion is not None
        return TelemetryNow(
            time=self._stamps.now(),
            at=None,
            live=True,
            available=is_there,
            why="" if is_there else NO_TELEMETRY,
            connected=telemetry is not None and telemetry.connected,
            silent=telemetry is None or telemetry.silent,
            age=None if telemetry is None or telemetry.age is None else round(max(0.0, telemetry.age), 3),
            clock_offset=None if telemetry is None else telemetry.clock_offset,
            recorder=self._recorder_now(),
            motion=MotionNow(
                word=now.word, detail=now.detail, since=moments.text(now.since), seconds=now.seconds
            ),
            axes=AxesNow(
                azimuth=_axis(now.axes["azimuth"], moments),
                elevation=_axis(now.axes["elevation"], moments),
                camera_cable_wrap=_cable_wrap(now.axes["cameraCableWrap"], moments),
            ),
            sky=None if now.sky is None else _sky(now.sky),
            limits=[_limit(row, moments) for row in now.limits],
            slew=None if now.slew is None else _slew(now.slew, moments),
            rules=rules_now(Rules() if motion is None else motion.rules),
        )

    def _recorder_now(self) -> RecorderNow:
        recorder = self._recorder
        oldest = recorder.oldest
        return RecorderNow(
            enabled=recorder.enabled,
            oldest=None if oldest is None else iso(oldest),
            why=recorder.fault if recorder.enabled else NO_RECORDER,
        )

    def _topics(self) -> dict[str, TopicNow]:
        format = self._bridge.dialect.telemetry
        if format is None:
            return {}
        found = {number: self._topic(format, number) for number in format.names}
        return {format.names[number]: topic for number, topic in found.items() if topic is not None}

    def _topic(self, format: TelemetryFormat, number: int) -> TopicNow | None:
        latest = latest_line(self._telemetry, number, self._clock, self._stamps)
        if latest is None:
            return None
        facts = format.topics()[number]
        return TopicNow(
            age=latest.age,
            stale=latest.is_stale(_old_after(facts)),
            time=latest.time,
            values=_values(facts, facts.values_of(latest.topic)),
        )


class Moments(NamedTuple):
    """The times of a `Present`, as the API has them.

    :ivar now: the time of the `Present`, on its own clock (s).
    :ivar of: return a time of that clock in ISO 8601.
    :ivar is_stale: return True if a value that came at a time of that clock is stale.
    """

    now: float
    of: Callable[[float], str]
    is_stale: Callable[[float], bool]

    def text(self, moment: float | None) -> str | None:
        """Return a time in ISO 8601; None stays None."""
        return None if moment is None else self.of(moment)

    def age(self, came_at: float) -> float:
        """Return the age of a value in s."""
        return round(max(0.0, self.now - came_at), 3)


class PastTopic(NamedTuple):
    """The numbers of a topic at a past moment, which came at a time (UTC, s)."""

    came_at: float
    facts: TopicFacts
    values: Sequence[float]


Devices: TypeAlias = dict[str, dict[str, Reported]]
"""The last reports about each device, by device and thing, as in the answer of ``/api/v1/state``."""


class PastSaid(NamedTuple):
    """The last reports of the mount before a past moment, as in the answer of ``/api/v1/state``.

    :ivar devices: the reports about each device. All three are None if no recording has an event of that
        time.
    :ivar warnings: the active warnings.
    :ivar errors: the active or latched errors, each with the time at which it began.
    """

    devices: Devices | None = None
    warnings: list[MountWarning] | None = None
    errors: list[MountError] | None = None


class Past(NamedTuple):
    """A past moment."""

    present: Present
    topics: dict[str, PastTopic]
    said: PastSaid = PastSaid()


class Kept(NamedTuple):
    """A moment in memory, for a thread.

    :ivar rows: the rows of each topic, by its number.
    :ivar present: return the motion; see `IMotion.present_in_memory`.
    """

    rows: Mapping[int, KeptRows]
    present: Callable[[Mapping[int, Row], Callable[[], None]], Present]


def read_memory(
    kept: Kept, folder: Path | None, at: float, format: TelemetryFormat, proceed: Callable[[], None]
) -> Past:
    """Return a moment from memory, with the last reports from the recordings if these can be read in time.

    :param proceed: called between two pieces of work.
    """
    rows: dict[int, Row] = {}
    for number, group in kept.rows.items():
        proceed()
        if (row := group.row_at(at)) is not None:
            rows[number] = row
    facts = format.topics()
    past = Past(
        kept.present(rows, proceed),
        {format.names[number]: PastTopic(row.at, facts[number], row.values) for number, row in rows.items()},
    )
    if folder is not None:
        with suppress(JournalError, RecordingError):  # memory has the rest
            found = moment(folder, at, Before(EVENTS_BEFORE), proceed)
            past = past._replace(said=said_before(at, read_events(found.events, format, proceed), proceed))
    return past


def read_events(
    events: Iterable[tuple[float, bytes]], format: TelemetryFormat, proceed: Callable[[], None]
) -> list[Event]:
    """Return the reports of events, each with its time (UTC, s). A malformed event is left out."""
    found = []
    cost = EVENT_BYTES
    for time, line in events:
        if cost >= EVENT_BYTES:
            proceed()
            cost = 0
        cost += max(EVENT_BYTES // EVENTS_AT_ONCE, len(line))
        with suppress(LineError):
            found.append(Event(time, *format.read_event(line)))
    return found


def said_before(at: float, events: Sequence[Event], proceed: Callable[[], None] = lambda: None) -> PastSaid:
    """Return the last reports of events, as seen at a time (UTC, s) after all of them."""
    last: dict[tuple[str, str], tuple[float, DeviceFact]] = {}
    alarms: dict[tuple[object, ...], tuple[float, AlarmFact]] = {}
    for number, event in enumerate(events):
        if number % EVENTS_AT_ONCE == 0:
            proceed()
        for fact in event.facts:
            match fact:
                case DeviceFact():
                    last[fact.device, fact.name] = event.came_at, fact
                case AlarmFact():
                    key = fact.severity, fact.subsystem, fact.what, fact.code
                    began, _ = alarms.pop(key, (event.came_at, fact))
                    if fact.active or fact.latched:
                        alarms[key] = began, fact
    if not events:
        return PastSaid()
    devices: Devices = {}
    for (device, name), (time, fact) in last.items():
        age = round(max(0.0, at - time), 3)
        devices.setdefault(device, {})[name] = Reported(
            value=fact.value, unit=fact.unit, stale=False, age=age, time=iso(time)
        )
    on = [(iso(began), alarm) for began, alarm in list(alarms.values())[-MOST_ALARMS:]]
    return PastSaid(
        devices,
        [warning_of(alarm, False, began) for began, alarm in on if alarm.severity == "warning"],
        [error_of(alarm, False, began) for began, alarm in on if alarm.severity == "error"],
    )


def read_moment(
    folder: Path, at: float, format: TelemetryFormat, motion: IMotion, proceed: Callable[[], None]
) -> Past:
    """Return a moment from the recordings. It blocks.

    :param at: UTC, s.
    :param proceed: called between two pieces of work; it raises `JournalError` once the reading is to end.
    :raises JournalError: if the reading is to end.
    :raises RecordingError: if a recording is damaged.
    """
    axes = [format.names[number] for number in format.axes.values()]
    found = moment(folder, at, Before(EVENTS_BEFORE, LINES_BEFORE, axes), proceed)
    events = read_events(found.events, format, proceed)
    present = motion.present_at(at, events, found.lines, proceed)
    numbers = {name: number for number, name in format.names.items()}
    topics: dict[str, PastTopic] = {}
    for name, value in found.values.items():
        if name in numbers:
            proceed()
            with suppress(LineError):  # another program wrote the recording
                if format.read_header(value.line)[0] != numbers[name]:
                    continue  # a line of another topic
                facts = format.topics()[numbers[name]]
                values = facts.values_of(format.decode(value.line))
                topics[name] = PastTopic(value.time, facts, values)
    return Past(present, topics, said_before(at, events, proceed))


def _topic(topic: PastTopic, moments: Moments) -> TopicNow:
    age = moments.age(topic.came_at)
    return TopicNow(
        age=age,
        stale=age > _old_after(topic.facts),
        time=moments.of(topic.came_at),
        values=_values(topic.facts, topic.values),
    )


def _old_after(facts: TopicFacts) -> float:
    """Return the age beyond which a line of a topic is stale, in s."""
    return max(STALE_AFTER, 3 * (facts.period or STALE_AFTER))


def _axis(axis: AxisPresent, moments: Moments) -> AxisNow:
    came_at = axis.came_at
    return AxisNow(
        position=axis.position,
        demand=axis.demand,
        velocity=axis.velocity,
        torque=axis.torque,
        age=None if came_at is None else moments.age(came_at),
        stale=came_at is None or moments.is_stale(came_at),
        time=moments.text(came_at),
        error=axis.error,
        error_sky=axis.error_sky,
        rms=axis.rms,
        greatest=axis.greatest,
        in_position=axis.in_position,
        on_target_since=moments.text(axis.on_target_since),
        to_go=axis.to_go,
        seconds_to_go=axis.seconds_to_go,
        limit_low=axis.limits.low,
        limit_high=axis.limits.high,
        limits_from="mount" if axis.limits_are_mounts else "settings",
    )


def _cable_wrap(axis: AxisPresent, moments: Moments) -> CableWrapNow:
    came_at = axis.came_at
    return CableWrapNow(
        position=axis.position,
        velocity=axis.velocity,
        stale=came_at is None or moments.is_stale(came_at),
        age=None if came_at is None else moments.age(came_at),
    )


def _limit(row: Limit, moments: Moments) -> LimitNow:
    at = None if row.seconds is None else moments.of(moments.now + row.seconds)
    return LimitNow(**row._asdict(), at=at)


def _slew(slew: RunningSlew, moments: Moments) -> SlewNow:
    return SlewNow(start=moments.of(slew.began_at), to_go=slew.to_go, seconds=slew.seconds)


def _sky(sky: Sky) -> SkyNow:
    return SkyNow(
        right_ascension=sky.right_ascension,
        declination=sky.declination,
        hour_angle=sky.hour_angle,
        sidereal_time=sky.sidereal_time,
        parallactic_angle=sky.parallactic_angle,
        airmass=sky.airmass,
        ut1_stale=sky.ut1_is_stale,
    )


def rules_now(rules: Rules) -> RulesNow:
    """Return the site's rules in the form of the API."""
    slews, limits = rules.slews, rules.limits
    return RulesNow(
        slew_jump=slews.jump,
        rms_limit=slews.rms_limit,
        slew_distance=slews.distance,
        slew_time=slews.time,
        settle_time=slews.settle,
        limit_caution=limits.caution,
        limit_alarm=limits.alarm,
    )


def _values(facts: TopicFacts, row: Sequence[float]) -> dict[str, float | list[float | None] | None]:
    """Return the quantities of a topic by their names on the wire, an array as a list."""
    numbers = [value if math.isfinite(value) else None for value in row]
    found: dict[str, float | list[float | None] | None] = {}
    start = 0
    for name, count in facts.parts:
        found[name] = numbers[start] if count == 1 else numbers[start : start + count]
        start += count
    return found
