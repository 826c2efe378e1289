"""``GET /api/v1/slews``: the finished slews, with their figures.

The slews of this run are in memory. Older slews are changes of the kind ``slew`` in the journal, which a
thread reads. Next to read: ``motion.slews``, which finds and judges them; `telemetry`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from itertools import islice
from threading import Event
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from mtmount_twisted.frontends.web.events.selection import read_value, refuse, unknown
from mtmount_twisted.frontends.web.http.answers import Part, Seconds, Shape, Time
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Fault, Parameter, RequestError, Route
from mtmount_twisted.interfaces import IMotion
from mtmount_twisted.journal.reading import JournalError, Wanted, scan
from mtmount_twisted.journal.schema import CONTROLLER
from mtmount_twisted.journal.times import iso, parse_time
from mtmount_twisted.motion.slews import Kind, Slew

from .history import MAX_SCANNED, REST_TIME, Shelf, resting

T = TypeVar("T")

KIND = "slew"
"""The kind of a change that records a finished slew."""

MAX_LIMIT, LIMIT = 500, 50
"""The largest number of slews in an answer, and the default."""

LATEST = 253_402_300_799.0
"""The end of the year 9999, the last that ISO 8601 can write plainly."""

TIME = Annotated[str, Meta(examples=["12 hours ago"])]

PARAMETERS = (
    Parameter("from", "query", TIME, "Only slews that began then or later: ISO 8601, 16:14, '10 min ago'."),
    Parameter("to", "query", TIME, "Only slews that began before."),
    Parameter(
        "limit",
        "query",
        Annotated[int, Meta(ge=1, le=MAX_LIMIT, extra_json_schema={"default": LIMIT})],
        "The most slews.",
    ),
)


class SlewDone(Part, frozen=True, kw_only=True):
    """A slew: its distance in deg, times in s, errors on the sky in arcsec.

    A slew is a jump of the demand while the mount tracks, or a move from point to point.
    """

    kind: Annotated[str, Meta(extra_json_schema={"enum": ["track", "move"]})]
    start: Time
    azimuth: float
    elevation: float
    seconds: Seconds | None
    settle: Seconds | None
    error_at_in_position: float | None
    rms: Seconds | None
    passed: bool
    failures: list[str]


class Slews(Shape, frozen=True, kw_only=True):
    """Slews, the latest first."""

    slews: list[SlewDone]


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """The detail of a change of the kind `KIND`; `start` is UTC, s."""

    start: Annotated[float, Meta(ge=0, le=LATEST)]
    azimuth: float
    elevation: float
    in_position_after: float | None
    settle: float | None
    error_at_in_position: float | None
    rms: float | None
    failures: list[str]
    kind: Kind = "track"

    def shape(self) -> SlewDone:
        """Return the slew in the form of the API."""
        return SlewDone(
            kind=self.kind,
            start=iso(self.start),
            azimuth=self.azimuth,
            elevation=self.elevation,
            seconds=self.in_position_after,
            settle=self.settle,
            error_at_in_position=self.error_at_in_position,
            rms=self.rms,
            passed=not self.failures,
            failures=self.failures,
        )


class Query(msgspec.Struct, frozen=True):
    """The slews that a request selects; times are UTC, s."""

    start: float
    end: float
    limit: int


class SlewRoutes:
    """The route of the slews.

    :param motion: the mount's motion; None if it sends no telemetry.
    :param shelf: reads the journal's file.
    :param wall_clock: return Unix time in seconds.
    """

    def __init__(self, motion: IMotion | None, shelf: Shelf, wall_clock: Callable[[], float]) -> None:
        self._motion = motion
        self._shelf = shelf
        self._now = wall_clock

    def routes(self) -> list[Route]:
        """Return the route."""
        return [
            Route(
                "GET",
                "/api/v1/slews",
                self.get,
                "observe",
                "The last slews, with their figures.",
                id="list_slews",
                tag="telemetry",
                answers={200: Slews},
                problems=(422, 429, 503),
                parameters=PARAMETERS,
            )
        ]

    async def get(self, call: Call) -> Answer:
        """Answer with slews, the latest first."""
        query = read_query(call.query, self._now())
        here = [] if self._motion is None else [_detail(start, slew) for start, slew in self._motion.slews]
        found = [slew for slew in reversed(here) if query.start <= slew.start < query.end][: query.limit]
        oldest = here[0].start if here else LATEST
        if self._shelf.path is not None and len(found) < query.limit and query.start < oldest:
            rest = Query(query.start, min(query.end, oldest), query.limit - len(found))
            try:
                found += await self._shelf.read(
                    lambda db, go_on: read_slews(db, rest, go_on), call.share, call.user.observes
                )
            except JournalError as error:
                raise RequestError(503, str(error)) from None
        return Answer(Slews(slews=[slew.shape() for slew in found]))


def _detail(start: float, slew: Slew) -> Detail:
    return Detail(
        start=start,
        azimuth=slew.azimuth,
        elevation=slew.elevation,
        in_position_after=slew.in_position_after,
        settle=slew.settle,
        error_at_in_position=slew.error_at_in_position,
        rms=slew.rms,
        failures=list(slew.failures),
        kind=slew.kind,
    )


def read_slews(
    db: sqlite3.Connection, query: Query, go_on: Callable[[], object] = lambda: None
) -> list[Detail]:
    """Return slews from the journal, the latest first. A row that is malformed is left out.

    :param go_on: called before each rest of the thread; see `history.Work`.
    """

    def rest() -> None:
        go_on()
        Event().wait(REST_TIME)

    found: list[Detail] = []
    # A slew is recorded when it is finished, after its start.
    wanted = Wanted(since=query.start, peers=(CONTROLLER,), tables=("event",))
    entries = scan(db, wanted, after=0, before=None, backwards=True, look=resting(rest))
    for _, _, entry, _ in islice(entries, MAX_SCANNED):
        if entry is None or entry.what != KIND:
            continue
        try:
            slew = msgspec.json.decode(entry.text, type=Detail)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        if query.start <= slew.start < query.end:
            found.append(slew)
            if len(found) == query.limit:
                break
    return found


def read_query(query: Mapping[str, str], now: float) -> Query:
    """Return the query in the parameters of a request.

    :param now: the current time (s, Unix time).
    :raises RequestError: with every fault in them.
    """
    faults = unknown(query, PARAMETERS)

    start = read_value(query, "from", lambda text: parse_time(text, now), 0.0, faults)
    end = read_value(query, "to", lambda text: parse_time(text, now), LATEST, faults)
    if end < start:
        faults.append(Fault("query.to", f"expected a time after from, got {query.get('to', '')[:80]!r}"))
    limit = read_value(query, "limit", _limit, LIMIT, faults)
    refuse(faults)
    return Query(start, end, limit)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_LIMIT):
        raise ValueError(f"expected an integer from 1 to {MAX_LIMIT}, got {text[:80]!r}")
    return int(text)
