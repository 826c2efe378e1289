"""`SignalMemory`: the latest value and the last hour of every signal of the mount, in memory.

It decodes each line of telemetry when the line arrives, once for all users of its value. A row is the values
of one line; the rows of a topic are kept in chunks. A full chunk never changes, so a thread may read it while
rows arrive. Times are those of arrival by this machine's clock, so that the mount's clock may be wrong.

Next to read: `motion_watch`, which adds the signals that are computed here.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from mtmount_twisted.dialects.dialect import TelemetryFormat, TopicFacts
from mtmount_twisted.errors import LineError
from mtmount_twisted.interfaces import ISignals, ITelemetry, ITelemetryValue

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPAN = 3600.0
"""The time for which rows are kept, in seconds."""

CHUNK = 60.0
"""The time that one chunk covers, in seconds."""

UNKNOWN_PERIOD = 0.5
"""The period that counts for a topic whose period is unknown, in seconds."""

SPARE = 1.25
"""How many times as many rows fit into memory as the mount sends in `SPAN`. A mount that sends more often,
such as a recording that is played fast, loses the oldest rows first."""

STALE_PERIODS, LEAST_STALE = 3.0, 1.0
"""A value is stale once it is older than so many periods of its topic, and than so many seconds."""


class Rows(NamedTuple):
    """Rows of one topic, from a chunk; both are doubles in the machine's order of bytes.

    :ivar times: the time of each row (UTC, s).
    :ivar values: the values of the first row, then those of the next ...
    """

    times: bytes
    values: bytes


class Row(NamedTuple):
    """One row of a topic, with its time (UTC, s)."""

    at: float
    values: tuple[float, ...]


class SignalRows(NamedTuple):
    """The rows of a signal, at one moment; any thread may read them.

    :ivar column: the number of the signal in each row, and `width` the number of signals in a row.
    """

    name: str
    unit: str
    column: int
    width: int
    rows: Sequence[Rows]

    def between(self, start: float, end: float) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return the times and values of the chunks that may hold rows between two times (UTC, s).

        The first call imports numpy.
        """
        import numpy as np

        found = []
        for rows in self.rows:
            times = np.frombuffer(rows.times)
            if times.size and times[-1] >= start and times[0] < end:
                values = np.frombuffer(rows.values).reshape(-1, self.width)
                found.append((times, values[:, self.column]))
        return found


class KeptRows(NamedTuple):
    """The rows of one topic at one moment, in order of arrival; any thread may read them.

    :ivar width: the number of values in a row.
    """

    width: int
    chunks: Sequence[Rows]

    def between(self, start: float, end: float) -> list[tuple[float, ...]]:
        """Return the values of the rows from one time to another, both included (UTC, s), in order."""
        found: list[tuple[float, ...]] = []
        for chunk in self.chunks:
            times = memoryview(chunk.times).cast("d")
            if times and times[0] <= end and times[-1] >= start:
                first, last = bisect_left(times, start), bisect_right(times, end)
                values = memoryview(chunk.values).cast("d")[first * self.width : last * self.width]
                found += zip(*[iter(values.tolist())] * self.width, strict=True)
        return found

    def row_at(self, time: float) -> Row | None:
        """Return the latest row at a time (UTC, s); None if memory has none that old."""
        for chunk in reversed(self.chunks):
            times = memoryview(chunk.times).cast("d")
            if times and times[0] <= time:
                return self._row(chunk, bisect_right(times, time) - 1)
        return None

    def _row(self, chunk: Rows, number: int) -> Row:
        first = number * self.width
        values = memoryview(chunk.values).cast("d")[first : first + self.width]
        return Row(memoryview(chunk.times).cast("d")[number], tuple(values))


class SignalGroup:
    """The rows of one topic.

    :ivar facts: the names, units and the period.
    :ivar at: the time of the latest row (UTC, s), and on the monotonic clock; None before the first.
    :ivar values: the latest row.
    """

    def __init__(self, facts: TopicFacts) -> None:
        self.facts = facts
        self.width = len(facts.quantities)
        self.at: float | None = None
        self.came_at = -math.inf
        self.values: tuple[float, ...] = (math.nan,) * self.width
        period = facts.period or UNKNOWN_PERIOD
        self.stale_after = max(LEAST_STALE, STALE_PERIODS * period)
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
                    continue  # the readers of the line itself say so
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
