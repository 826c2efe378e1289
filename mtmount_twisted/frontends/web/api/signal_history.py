"""``GET /api/v1/telemetry/history``: the past of signals, thinned to the points that a reader asks for.

A reading runs in a thread of `history.Shelf`, with its bounds for each user. The last hour comes from memory,
older times from the recorder if there is one. The thread reads files. Next to read:
``journal.recording.signals``; ``upstream.signals``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw

from mtmount_twisted.errors import RecordingError
from mtmount_twisted.frontends.web.events.selection import read_value, refuse, unknown
from mtmount_twisted.frontends.web.events.signals import read_names
from mtmount_twisted.frontends.web.http.answers import Shape, Time, reference, schemas_of
from mtmount_twisted.frontends.web.http.calls import (
    Answer,
    Call,
    Content,
    Fault,
    Parameter,
    RequestError,
    Route,
)
from mtmount_twisted.frontends.web.http.encoding import LEAST, as_body, as_json, gzip, takes_gzip
from mtmount_twisted.interfaces import IRecorderState, ISignals
from mtmount_twisted.journal.reading import JournalError
from mtmount_twisted.journal.recording.signals import read
from mtmount_twisted.journal.times import iso, parse_time
from mtmount_twisted.motion.rows import SignalRows

from .history import Shelf, proceeding

T = TypeVar("T")

MAX_SIGNALS, MAX_POINTS, POINTS = 16, 4000, 1000
"""The largest numbers of signals and of points of one query, and the default number of points."""

MAX_SPAN = 31 * 86_400.0
"""The longest time of one query, in seconds."""

LATEST = 253_402_300_799.0
"""The end of the year 9999, the last that ISO 8601 can write plainly."""

TIME = Annotated[str, Meta(examples=["10 min ago"])]

PARAMETERS = (
    Parameter(
        "signals",
        "query",
        Annotated[str, Meta(examples=["azimuth.actualPosition,motion.azimuth.errorSky"])],
        f"Names of at most {MAX_SIGNALS} signals, with commas between.",
    ),
    Parameter("from", "query", TIME, "The start: ISO 8601, 16:14, or '10 min ago'."),
    Parameter("to", "query", TIME, "The end, as from; now if it is missing. At most 31 days later."),
    Parameter(
        "points",
        "query",
        Annotated[int, Meta(ge=1, le=MAX_POINTS, extra_json_schema={"default": POINTS})],
        "The number of points.",
    ),
)


class SignalColumn(Shape, frozen=True, kw_only=True):
    """The least, greatest and mean value of a signal at each point; null where there is none."""

    unit: str
    least: list[float | None]
    greatest: list[float | None]
    mean: list[float | None]


class SignalHistory(Shape, frozen=True, kw_only=True):
    """The past of signals: points at equal intervals, with the start of each (UTC, s)."""

    from_: Time = msgspec.field(name="from")
    to: Time
    times: list[float]
    signals: dict[str, Annotated[Raw, Meta(extra_json_schema=reference("SignalColumn"))]]


HISTORY = Content("SignalHistory", lambda: schemas_of([SignalHistory, SignalColumn]))


class Wanted(msgspec.Struct, frozen=True):
    """A query.

    :ivar start, end: UTC, s.
    """

    names: tuple[str, ...]
    start: float
    end: float
    points: int


class SignalHistoryRoutes:
    """The route of the past of signals.

    :param signals: the signals in memory; None if the mount sends no telemetry.
    :param recorder: the recorder of telemetry.
    :param shelf: the threads of readings.
    :param wall_clock: return Unix time in seconds.
    :param rest, worked: as for `history.proceeding`.
    """

    def __init__(
        self,
        signals: ISignals | None,
        recorder: IRecorderState,
        shelf: Shelf,
        wall_clock: Callable[[], float],
        rest: Callable[[float], object] | None = None,
        worked: Callable[[], float] = time.thread_time,
    ) -> None:
        self._signals = signals
        self._recorder = recorder
        self._shelf = shelf
        self._now = wall_clock
        self._rest = rest
        self._worked = worked

    def routes(self) -> list[Route]:
        """Return the route."""
        return [
            Route(
                "GET",
                "/api/v1/telemetry/history",
                self.get,
                "observe",
                "The past of signals: least, greatest and mean value of each interval.",
                id="get_telemetry_history",
                tag="telemetry",
                answers={200: HISTORY},
                problems=(422, 429, 503),
                parameters=PARAMETERS,
            )
        ]

    async def get(self, call: Call) -> Answer:
        """Answer with the past of some signals."""
        signals = self._signals
        wanted = read_query(call.query, self._now(), signals)
        if signals is None:
            raise RequestError(503, "the mount sends no telemetry")
        observes = call.user.observes
        rows = signals.snapshot(wanted.names)
        memory_from = signals.oldest(wanted.names)
        with_gzip = takes_gzip(call.headers.get("accept-encoding", ""))
        try:
            body, gzipped = await self._shelf.run(
                lambda stop: self._read(wanted, rows, memory_from, with_gzip, stop, observes),
                call.share,
                observes,
                "the telemetry",
            )
        except (JournalError, RecordingError) as error:
            raise RequestError(503, str(error)) from None
        return Answer(body, headers={"Content-Type": "application/json"}, gzipped=gzipped)

    def _read(
        self,
        wanted: Wanted,
        rows: Sequence[SignalRows],
        memory_from: float | None,
        with_gzip: bool,
        stop: Callable[[], bool],
        observes: bool = False,
    ) -> tuple[bytes, bytes | None]:
        """Return the body of the answer, plain and in gzip. It runs in a thread.

        :param memory_from: the time from which memory has all signals (UTC, s); None if it has none.
        """
        from mtmount_twisted.journal.recording.thinning import Bins, bin_times  # it imports numpy

        start, end, points = wanted.start, wanted.end, wanted.points

        proceed = proceeding(
            stop,
            "the telemetry can't be read in time: ask for a shorter time",
            observes,
            self._rest,
            self._worked,
        )
        times = bin_times(start, end, points)
        folder, recorded = self._recorder.folder, None
        # Bins that lie in memory as a whole come from memory. The last second may not be on the disk yet. The
        # recording that is being written has no digests, so a long query would read it line by line.
        older = points if memory_from is None else sum(time < memory_from for time in times)
        if folder is not None and older:
            limit = times[older] if older < points else end
            recorded = read(folder, wanted.names, start, limit, older, proceed)
        signals: dict[str, Raw] = {}
        for each in rows:
            proceed()
            bins = Bins(start, end, points)
            for piece in each.between(start, end):
                bins.add(*piece)
                proceed()
            least, greatest, mean = bins.columns()
            if recorded is not None:
                series = recorded.signals[each.name]
                least = _joined(series.least, least, older)
                greatest = _joined(series.greatest, greatest, older)
                mean = _joined(series.mean, mean, older)
            column = SignalColumn(unit=each.unit, least=least, greatest=greatest, mean=mean)
            signals[each.name] = Raw(as_json(column))
        body = as_body(SignalHistory(from_=iso(start), to=iso(end), times=times, signals=signals))
        return body, gzip(body) if with_gzip and len(body) >= LEAST else None


def _joined(recorded: list[float | None], kept: list[float | None], older: int) -> list[float | None]:
    """Return a column. Its first bins come from recordings if these have a value, and all others from
    memory."""
    first = zip(recorded[:older], kept[:older], strict=True)
    return [ours if theirs is None else theirs for theirs, ours in first] + kept[older:]


def read_query(query: Mapping[str, str], now: float, signals: ISignals | None = None) -> Wanted:
    """Return the query in the parameters of a request.

    :param now: the current time (s, Unix time).
    :param signals: the known signals; if None, every well-formed name is accepted.
    :raises RequestError: with every fault in them.
    """
    faults = unknown(query, PARAMETERS)

    for name in ("signals", "from"):
        if name not in query:
            faults.append(Fault(f"query.{name}", "this parameter is needed"))
    names: tuple[str, ...] = ()
    if "signals" in query:
        names = read_names(query["signals"], "query.signals", faults, signals, MAX_SIGNALS)
    start = read_value(query, "from", lambda text: parse_time(text, now), now - 600, faults)
    end = read_value(query, "to", lambda text: parse_time(text, now), now, faults)
    points = read_value(query, "points", _points, POINTS, faults)
    if not 0 <= end <= LATEST:
        faults.append(Fault("query.to", f"expected a time from 1970 to 9999, got {query['to'][:80]!r}"))
    elif "from" in query and not 0 < end - start <= MAX_SPAN:
        given = query.get("to", "now")[:80]
        faults.append(Fault("query.to", f"expected a time after from, by at most 31 days, got {given!r}"))
    refuse(faults)
    return Wanted(names, start, end, points)


def _points(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_POINTS):
        raise ValueError(f"expected an integer from 1 to {MAX_POINTS}, got {text[:80]!r}")
    return int(text)
