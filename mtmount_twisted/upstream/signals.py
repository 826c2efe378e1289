"""`SignalMemory`: the latest value and the last hour of every signal of the mount, in memory.

It decodes each line of telemetry when the line arrives, once for all users of its value. A row is the values
of one line; the rows of a topic are kept in chunks. A full chunk never changes, so a thread may read it while
rows arrive. Times are those of arrival by this machine's clock, so that the mount's clock may be wrong. No
I/O.

Next to read: `motion_watch`, which adds the signals that are computed here.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from mtmount_twisted.dialects.dialect import TelemetryFormat, TopicFacts
from mtmount_twisted.errors import LineError
from mtmount_twisted.interfaces import ISignals, ITelemetry, ITelemetryValue
from mtmount_twisted.motion.rows import KeptRows, Rows, SignalRows

SPAN = 3600.0
"""The time for which rows are kept, in seconds."""

CHUNK = 60.0
"""The time that one chunk covers, in seconds."""

UNKNOWN_PERIOD = 0.5
"""The period that counts for a topic whose period is unknown, in seconds."""

SPARE = 1.25
"""The room in memory, as a multiple of the rows that the mount sends in `SPAN`. A mount that sends more
often, such as a recording that is played fast, loses the oldest rows first."""

STALE_PERIODS, LEAST_STALE = 3.0, 1.0
"""A value is stale once it is older than the larger of two ages: this number of periods of its topic, and
this number of seconds."""


class SignalGroup:
    """The rows of one topic.

    :ivar facts: the names, units and the period.
    :ivar at: the time of the latest row (UTC, s); None before the first.
    :ivar came_at: this time on the monotonic clock (s).
    :ivar values: the latest row.
    """

    def __init__(self, facts: TopicFacts) -> None:
        self.facts = facts
        self.width: int = len(facts.quantities)
        self.at: float | None = None
        self.came_at: float = -math.inf
        self.values: tuple[float, ...] = (math.nan,) * self.width
        period = facts.period or UNKNOWN_PERIOD
        self.stale_after: float = max(LEAST_STALE, STALE_PERIODS * period)
        self._most_in_chunk = math.ceil(SPARE * CHUNK / period)
        self._full: deque[Rows] = deque(maxlen=math.ceil(SPAN / CHUNK) + 1)
        self._times = array("d")
        self._values = array("d")

    def add(self, at: float, came_at: float, values: tuple[float, ...]) -> None:
        """Add a row. `at` is its time (UTC, s), `came_at` the same on the monotonic clock."""
        times = self._times
        if times and (at - times[0] >= CHUNK or at < times[0] or len(times) >= self._most_in_chunk):
            self._full.append(Rows(times.tobytes(), self._values.tobytes()))
            del times[:], self._values[:]
            while self._full and array("d", self._full[0].times[-8:])[0] < at - SPAN:
                self._full.popleft()
        self.at, self.came_at, self.values = at, came_at, values
        times.append(at)
        self._values.extend(values)

    def rows(self) -> list[Rows]:
        """Return all rows, in order of arrival; the result never changes."""
        return [*self._full, Rows(self._times.tobytes(), self._values.tobytes())]

    def kept(self) -> KeptRows:
        """Return all rows at one moment; any thread may read them."""
        return KeptRows(self.width, self.rows())

    @property
    def oldest(self) -> float | None:
        """The time of the oldest row (UTC, s); None if there is none."""
        if self._full:
            return array("d", self._full[0].times[:8])[0]
        return self._times[0] if self._times else None


class Place(NamedTuple):
    """The place of a signal: its group, and its column there."""

    group: SignalGroup
    column: int


@implementer(ISignals)
class SignalMemory:
    """The signals of the mount.

    :param telemetry: the source of lines; each line is decoded as it arrives.
    :param format: the format of the lines.
    :param clock: the monotonic clock of the values' ages.
    :param wall_clock: return the time (s, Unix time).
    """

    def __init__(
        self,
        telemetry: ITelemetry,
        format: TelemetryFormat,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._by_topic: dict[int, SignalGroup] = {}
        self._places: dict[str, Place] = {}
        self.units: dict[str, str] = {}
        self.periods: dict[str, float | None] = {}
        for number, facts in format.topics().items():
            self._by_topic[number] = self.add_group(facts)
        telemetry.subscribe_values(self._receive)

    def add_group(self, facts: TopicFacts) -> SignalGroup:
        """Return a new group of signals, to which the caller adds rows."""
        group = SignalGroup(facts)
        for column, quantity in enumerate(facts.quantities):
            name = f"{facts.name}.{quantity.name}"
            self._places[name] = Place(group, column)
            self.units[name] = quantity.unit
            self.periods[name] = facts.period
        return group

    def _receive(self, values: Sequence[ITelemetryValue]) -> None:
        ahead = self._wall_clock() - self._clock.seconds()
        for value in values:
            group = self._by_topic.get(value.topic_id)
            if group is not None:
                try:
                    row = group.facts.values_of(value.decoded())
                except LineError:
                    continue  # the readers of the line itself report the error
                group.add(value.came_at + ahead, value.came_at, row)

    def latest(self, names: Sequence[str]) -> tuple[float | None, list[float | None]]:
        """See `ISignals`."""
        now = self._clock.seconds()
        newest = -math.inf
        found: list[float | None] = []
        for name in names:
            group, column = self._places[name]
            if now - group.came_at > group.stale_after:
                found.append(None)
                continue
            value = group.values[column]
            found.append(value if math.isfinite(value) else None)
            newest = max(newest, group.at or newest)
        return (newest if math.isfinite(newest) else None), found

    def snapshot(self, names: Iterable[str]) -> list[SignalRows]:
        """See `ISignals`."""
        rows: dict[int, list[Rows]] = {}
        found = []
        for name in names:
            group, column = self._places[name]
            if id(group) not in rows:
                rows[id(group)] = group.rows()
            kept = rows[id(group)]
            found.append(SignalRows(name, self.units[name], column, group.width, kept))
        return found

    def kept(self) -> dict[int, KeptRows]:
        """See `ISignals`."""
        return {number: group.kept() for number, group in self._by_topic.items()}

    def oldest(self, names: Iterable[str]) -> float | None:
        """See `ISignals`."""
        times = [self._places[name].group.oldest for name in names]
        return max((time for time in times if time is not None), default=None)
