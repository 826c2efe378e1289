"""``GET /api/v1/acks``: the mount's response times in the last ten minutes, and its latest refusals.

`AckTimes` times each command once, for the page and for `metrics`. For the page it counts the answers of each
column of 5 s in bins of the time to Ack, so that a page opened later also shows earlier answers. A passing
command changes only counts. It does no I/O. Next to read: ``static/acks.js``, which draws the counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta
from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.answers import Count, Part, Seconds, Shape, Time
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route
from mtmount_twisted.frontends.web.http.encoding import as_body
from mtmount_twisted.interfaces import IEventBus
from mtmount_twisted.journal.schema import is_end
from mtmount_twisted.records import CommandRecord
from mtmount_twisted.wire.lines import SHOWN_BYTES

from .health import Spread

WINDOW = 600.0
"""The period of the counts, in seconds."""

COLUMN = 5.0
"""The width of a column, in seconds."""

BOUNDS = tuple(float(f"{10 ** (power / 10):.3g}") for power in range(-30, 11))
"""The bounds between the bins, in seconds: ten in each decade, from 1 ms to 10 s. There is one bin
more than bounds."""

TIMES = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0),
)
"""The bounds of the bins of `AckTimes.to_ack` and `AckTimes.to_done`, in seconds."""

REFUSALS = 5
"""The number of refusals kept."""

FRESH = 1.0
"""The time for which one answer serves all users, in seconds."""

_ANSWERS = frozenset(["ack", "noack", "timed_out"])


class AckColumn(Part, frozen=True, kw_only=True):
    """The answers in one column: `counts` for each bin, and the `slowest` in s."""

    time: Time
    counts: list[Count]
    slowest: Seconds
    refused: Count
    unanswered: Count


class LastAnswer(Part, frozen=True, kw_only=True):
    """The latest answer, and its response time in s."""

    time: Time
    seconds: Seconds
    step: Annotated[str, Meta(extra_json_schema={"enum": ["ack", "noack", "timed_out"]})]


class Refusal(Part, frozen=True, kw_only=True):
    """A command that the mount refused."""

    time: Time
    command: str
    commander: str
    explanation: str


class Acks(Shape, frozen=True, kw_only=True):
    """The mount's response times in the last ten minutes, and its latest refusals."""

    time: Time
    since: Time
    column: Annotated[float, Meta(ge=0, description="The width of a column, in s.")]
    bounds: Annotated[tuple[Seconds, ...], Meta(description="The bounds between the bins of `counts`, in s.")]
    columns: list[AckColumn]
    last: LastAnswer | None
    refusals: list[Refusal]


@dataclass(slots=True)
class Column:
    """The answers that arrived within `COLUMN` seconds.

    :ivar start: the start of the column (clock, s).
    :ivar counts: the number of Acks in each bin.
    :ivar slowest: the longest time to an Ack, in seconds.
    :ivar refused: the number of commands with a NoAck instead of an Ack.
    :ivar unanswered: the number of commands without an answer in time.
    """

    start: float
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    slowest: float = 0.0
    refused: int = 0
    unanswered: int = 0


class AckTimes:
    """Count the mount's response times.

    :param bus: the source of the steps of commands, until `close`.
    :param dialect: the dialect of the controller.
    :param clock: an ``IReactorTime`` with a monotonic `seconds`.
    :param stamps: converts the clock to the time of day.
    :ivar to_ack: the times from sending a command to its first Ack, since the start.
    :ivar to_done: the times from sending a command to its Done, since the start.
    """

    def __init__(self, bus: IEventBus, dialect: Dialect, clock: IReactorTime, stamps: Stamps) -> None:
        self._bus = bus
        self._dialect = dialect
        self._clock = clock
        self._stamps = stamps
        self._started = clock.seconds()
        self.to_ack: Spread = Spread(TIMES)
        self.to_done: Spread = Spread(TIMES)
        # The time at which each command in flight was sent (clock, s), by its key; the bridge bounds them.
        self._sent: dict[int, float] = {}
        self._acked: dict[int, float] = {}
        self._columns: deque[Column] = deque()
        self._last: tuple[float, float, str] | None = None  # time (clock, s), response time, step
        # The time of each refusal (by the clock, and as recorded; s), and the members of its `Refusal`.
        self._refusals: deque[tuple[float, float, dict[str, str]]] = deque(maxlen=REFUSALS)
        self._made: tuple[float, bytes] | None = None
        bus.subscribe(self._step, CommandRecord)

    def close(self) -> None:
        """Unsubscribe from the bus. It can be called twice."""
        self._bus.unsubscribe(self._step)

    def routes(self) -> list[Route]:
        """Return the route of the counts."""
        return [
            Route(
                "GET",
                "/api/v1/acks",
                self.get,
                "observe",
                "The mount's response times in the last ten minutes, and its latest refusals.",
                id="get_acks",
                tag="state",
                answers={200: Acks},
            )
        ]

    async def get(self, call: Call) -> Answer:
        """Answer with the counts, which are encoded at most once a second."""
        now = self._clock.seconds()
        if self._made is None or now - self._made[0] >= FRESH:
            self._made = now, as_body(self.shape())
        return Answer(self._made[1], headers={"Content-Type": "application/json"})

    def shape(self) -> Acks:
        """Return the counts in the form of the API, oldest first."""
        now = self._clock.seconds()
        at = self._stamps.of
        self._forget(now)
        last = self._last
        return Acks(
            time=at(now),
            since=at(max(self._started, now - WINDOW)),
            column=COLUMN,
            bounds=BOUNDS,
            columns=[_shape(column, at(column.start)) for column in self._columns],
            last=last and LastAnswer(time=at(last[0]), seconds=last[1], step=last[2]),
            refusals=[Refusal(time=at(*when), **refusal) for *when, refusal in self._refusals],
        )

    # Counting, on the path of each command: it must be short

    def _step(self, record: CommandRecord, number: int) -> None:
        key, step, code = record.key, record.step, record.code
        if step == "sent":
            self._sent[key] = self._clock.seconds()
            return
        if step == "noack":
            refusal = {"command": self._dialect.kind_of(code).name, "commander": record.peer}
            refusal["explanation"] = record.explanation[:SHOWN_BYTES]
            self._refusals.append((self._clock.seconds(), record.time, refusal))
        if step == "received":
            return
        is_first = key in self._sent
        sent = self._sent.pop(key, None) if is_first else self._acked.pop(key, None)
        if sent is None:
            return
        if not is_end(step, code, self._dialect):
            self._acked[key] = sent
        now = self._clock.seconds()
        if is_first and step in _ANSWERS:
            self._count(step, now, now - sent)
        if step == "done":
            self.to_done.add(now - sent)

    def _count(self, step: str, now: float, took: float) -> None:
        self._last = now, took, step
        start = now - now % COLUMN
        if not self._columns or self._columns[-1].start != start:
            self._forget(now)
            self._columns.append(Column(start))
        column = self._columns[-1]
        if step == "ack":
            self.to_ack.add(took)
            column.counts[bisect_right(BOUNDS, took)] += 1
            column.slowest = max(column.slowest, took)
        elif step == "noack":
            column.refused += 1
        else:
            column.unanswered += 1

    def _forget(self, now: float) -> None:
        while self._columns and self._columns[0].start + COLUMN <= now - WINDOW:
            self._columns.popleft()


def _shape(column: Column, time: str) -> AckColumn:
    return AckColumn(
        time=time,
        counts=column.counts,
        slowest=column.slowest,
        refused=column.refused,
        unanswered=column.unanswered,
    )
