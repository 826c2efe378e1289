"""``GET /api/v1/messages``: the journal in pages.

`Shelf` reads the journal's file in threads. It ends a reading that takes too long, and gives each user one
thread at a time, so that no user delays another. `History` is the route. Next to read: ``journal.reading``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import cache, partial
from itertools import count, islice
from pathlib import Path
from threading import Event
from time import monotonic, thread_time
from typing import Annotated, NamedTuple, Protocol, TypeAlias, TypeVar

from msgspec import Meta, Raw
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.dialects.dialect import Dialect, codes_translated_to, dialect_translated_to
from mtmount_twisted.frontends.web.events.others import StreamQuery
from mtmount_twisted.frontends.web.events.ring import Turns, slices
from mtmount_twisted.frontends.web.events.selection import (
    REQUEST,
    Selection,
    read_selection,
    read_value,
    refuse,
    selection_parameters,
    unknown,
)
from mtmount_twisted.frontends.web.events.shapes import (
    TYPES,
    OwnId,
    Row,
    StreamId,
    entry_schemas,
    event_id,
    iso,
    read_any_id,
    row_of,
    shape,
)
from mtmount_twisted.frontends.web.http.answers import EventId, Shape, reference, schemas_of
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
from mtmount_twisted.interfaces import IOtherBridges
from mtmount_twisted.journal.checking import FILE_ERRORS, in_words
from mtmount_twisted.journal.reading import (
    GOOD_OUTCOMES,
    OUTCOMES,
    JournalError,
    Wanted,
    open_journal,
    scan,
)
from mtmount_twisted.journal.schema import COLUMNS
from mtmount_twisted.journal.times import parse_time
from mtmount_twisted.net.deadlines import FairClock
from mtmount_twisted.net.threads import NoThreadError, in_daemon_thread

from .fair_places import GAVE_WAY, PER_USER, SHARED_TIME, TOO_MANY, FairPlaces

T = TypeVar("T")

MAX_LIMIT, LIMIT = 1000, 100
"""The largest number of entries of a page, and the default."""

MAX_SCANNED = 50_000
"""The largest number of rows read for one page, selected or not. After them the page ends, and the next page
continues."""

MAX_PAGE_BYTES = 2**20
"""The size of a page's lines at which the page ends, in bytes."""

MAX_BODY_BYTES = 2**21
"""The size at which a page ends, in bytes of JSON. A byte of a line may take eleven bytes of JSON. The page
stays in memory while its client reads nothing."""

PATIENCE = 10.0
"""The longest reading, in seconds."""

LONGEST_WAIT = 2 * PATIENCE + 2
"""The longest reading including the wait for another reading of the same user, in seconds."""

REST_ROWS, REST_TIME = 20, 0.002
"""The number of rows after which a reading thread rests, and the length of the rest in seconds. Python runs
one thread at a time, and a thread without rests delays each system call of the reactor's thread."""

WORK_TIME = 0.001
"""The computing time after which a thread that reads telemetry rests, in seconds."""

OBSERVERS_REST = 3.0
"""The reading of an observer rests this number of times as long as it works. While it works, the reactor
waits for Python's lock at each system call, and delays each command."""

OFF = "the journal is disabled: set [journal] enabled = true in the configuration, or omit --journal none"


JOURNAL, BROKER = "journal", "broker"
PLACES = (JOURNAL, BROKER)
"""The places that have history."""

NO_BROKER = "this bridge shares no events with others: [station] has no one_peer, or events = false"


@cache
def parameters(dialect: Dialect) -> tuple[Parameter, ...]:
    """Return the parameters of a query of the journal."""
    example = dialect.kind_of(dialect.example)
    return (
        Parameter(
            "since",
            "query",
            Annotated[str, Meta(examples=["10 min ago"])],
            "A time: ISO 8601, 16:14, or '10 min ago'.",
        ),
        Parameter("until", "query", Annotated[str, Meta(examples=["now"])], "A time, as since."),
        *selection_parameters(dialect),
        Parameter(
            "command",
            "query",
            Annotated[str, Meta(examples=[f"{example.name},{example.code}"])],
            "Names or codes of commands, separated by commas.",
        ),
        Parameter(
            "outcome",
            "query",
            Annotated[str, Meta(examples=["failed", "done,ack"])],
            f"One or more of failed, {', '.join(OUTCOMES)}, separated by commas.",
        ),
        Parameter(
            "limit",
            "query",
            Annotated[int, Meta(ge=1, le=MAX_LIMIT, extra_json_schema={"default": LIMIT})],
            "The most entries.",
        ),
        Parameter(
            "where",
            "query",
            Annotated[str, Meta(extra_json_schema={"enum": list(PLACES)})],
            "The journal of this bridge, or the events of all bridges of the mount at the message broker. "
            "The default is that of the id; without one it is the broker while this bridge stands by.",
        ),
        Parameter("before", "query", EventId, "Only entries before this id, the newest first."),
        Parameter("after", "query", EventId, "Only entries after this id, the oldest first."),
    )


class InThread(Protocol):
    """Caller of functions in new threads."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """Call a function in a new thread, and return a Deferred of its result."""


Work: TypeAlias = Callable[[sqlite3.Connection, Callable[[], None]], T]
"""A function that reads the open file. It calls its second argument now and then, which ends the reading by a
`JournalError`."""


class Shelf:
    """The journal's file and the threads that read it, and files of other records.

    :param path: the file; None if the journal is disabled.
    :param reactor: the reactor; its thread receives the results; also an ``IReactorFromThreads``.
    :param in_thread: calls a function in a thread; a new daemon thread for each call if None.
    :param now: returns the monotonic clock, in seconds.
    """

    def __init__(
        self,
        path: Path | None,
        reactor: IReactorTime,
        in_thread: InThread | None = None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.path = path
        self._reactor = reactor
        self._in_thread: InThread = in_thread or self._in_daemon_thread
        self._places = FairPlaces()
        self._now = now
        self._closed = False

    async def read(self, work: Work[T], share: str, observes: bool = False) -> T:
        """Call a function with the open file in a thread, and return its result; see `run`.

        `work` must call its second argument now and then. This call ends the reading if it takes too long or
        its request is gone. SQLite's own work ends by itself then.

        :raises JournalError: if the file can't be read, or the reading takes longer than `PATIENCE`.
        """
        path = self.path
        if path is None:
            raise JournalError(OFF)
        return await self.run(lambda stop: _read(path, work, stop), share, observes)

    async def run(
        self,
        work: Callable[[Callable[[], bool]], T],
        share: str,
        observes: bool = False,
        what: str = "the journal",
    ) -> T:
        """Call a function that reads files in a thread, and return its result. It can be cancelled.

        A reading that waits is removed when it is cancelled or times out. The number of waiting readings is
        therefore bounded by the number of requests, which `places` bounds.

        :param work: called with a function that returns True once the reading is to end.
        :param share: the owner of the reading. An owner has one thread at a time, and at most `PER_USER`
            readings, including one that hangs in its thread.
        :param observes: True if the owner is an observer: the reading has `SHARED_TIME` while others wait.
        :param what: the name of the files in an error.
        :raises JournalError: if the reading takes longer than `PATIENCE`; or if `work` raises it.
        :raises RequestError: with status 429 if the owner has `PER_USER` readings already.
        """
        if self._closed:
            raise JournalError("the daemon ends")
        if self._places.count(share) >= PER_USER:
            raise RequestError(429, TOO_MANY, headers={"Retry-After": "1"})
        unwanted, gave_way = Event(), Event()

        def reading() -> T:
            began = self._now()

            def stop() -> bool:
                took = self._now() - began
                if observes and took > SHARED_TIME and self._places.are_short:
                    gave_way.set()
                return self._closed or unwanted.is_set() or gave_way.is_set() or took > PATIENCE

            try:
                return work(stop)
            except JournalError:
                if gave_way.is_set():
                    raise JournalError(GAVE_WAY) from None
                raise

        def begin(found: Deferred[T]) -> None:
            # The thread checks its own deadline, but can't while the disk hangs.
            found.addTimeout(PATIENCE + 1, FairClock(self._reactor))

        found: Deferred[T] = self._places.run(share, lambda: self._in_thread(reading), begin, observes)
        found.addTimeout(LONGEST_WAIT, FairClock(self._reactor))
        try:
            return await found
        except TimeoutError:
            raise JournalError(f"{what} can't be read within {PATIENCE:g} s") from None
        except NoThreadError as error:
            raise JournalError(f"{what} can't be read: {error.strerror}") from None
        finally:
            unwanted.set()

    def in_thread(self, work: Callable[[], T]) -> Deferred[T]:
        """Call a function that does not read the file, and ends soon, in a new thread.

        The function does not wait for a reading, because all reading threads may hang.
        """
        return self._in_thread(work)

    def _in_daemon_thread(self, work: Callable[[], T], /) -> Deferred[T]:
        return in_daemon_thread(self._reactor, work, "journal reader")

    def close(self) -> None:
        """End all readings. Abandon a thread that hangs."""
        self._closed = True


def _read(path: Path, work: Work[T], stop: Callable[[], bool]) -> T:
    def go_on() -> None:
        if stop():
            raise JournalError("the journal can't be read further: interrupted")

    with closing(open_journal(path)) as db:
        db.set_progress_handler(stop, 10_000)
        try:
            return work(db, go_on)
        except FILE_ERRORS as error:
            raise JournalError(f"the journal can't be read: {in_words(error)}") from None


class Query(NamedTuple):
    """A query for a page of entries.

    :ivar wanted: the conditions that SQLite checks.
    :ivar selection: the conditions that are checked for each row read.
    :ivar limit: the largest number of entries.
    :ivar before: entries before this id are read, the newest first; None for all.
    :ivar after: entries after this id are read, the oldest first; None for a query by `before`.
    :ivar at_broker: the same query for the events at the broker; None for the journal.
    """

    wanted: Wanted
    selection: Selection
    limit: int
    before: int | None
    after: int | None
    at_broker: StreamQuery | None = None


class Found(NamedTuple):
    """The entries of a page, and the id from which the next page continues; None at the end."""

    entries: list[Row]
    next: str | None


class Page(Shape, frozen=True, kw_only=True):
    """Entries of the journal, and the id from which the next page continues; null at the end."""

    entries: list[Annotated[Raw, Meta(extra_json_schema=reference("Entry"))]]
    next: EventId | None


PAGE = Content("Page", lambda: schemas_of([Page]) | entry_schemas())


def proceeding(
    stop: Callable[[], bool],
    why: str,
    observes: bool = False,
    rest: Callable[[float], object] | None = None,
    worked: Callable[[], float] = thread_time,
) -> Callable[[], None]:
    """Return a function that a reading thread calls between two short pieces of work.

    It rests after each `WORK_TIME` of computing: for `REST_TIME`, or as long as `OBSERVERS_REST` demands.

    :param stop: return True once the reading is to end: the function raises `JournalError`.
    :param why: the reason in this error.
    :param observes: True if the owner of the reading is an observer.
    :param rest: rest for some seconds, so that the thread does not delay the reactor's thread.
    :param worked: return the computing time of the thread, in seconds.
    """
    rest = rest or (lambda seconds: Event().wait(seconds))
    rested_at = worked()

    def proceed() -> None:
        nonlocal rested_at
        if stop():
            raise JournalError(why)
        work = worked() - rested_at
        if work >= WORK_TIME:
            rest(max(REST_TIME, OBSERVERS_REST * work) if observes else REST_TIME)
            rested_at = worked()

    return proceed


def resting(rest: Callable[[], object]) -> Callable[[], None]:
    """Return a function to call for each row, which calls another one after each `REST_ROWS` rows."""
    looks = count(1)

    def look() -> None:
        if next(looks) % REST_ROWS == 0:
            rest()

    return look


def read_page(db: sqlite3.Connection, query: Query, rest: Callable[[], object] = lambda: None) -> Found:
    """Return a page of the journal.

    :param rest: called after each `REST_ROWS` rows and commands that are looked at, selected or not.
    """
    after, backwards = query.after or 0, query.after is None
    entries = scan(
        db, query.wanted, after=after, before=query.before, backwards=backwards, look=resting(rest)
    )
    found: list[Row] = []
    size = 0
    scanned = 0
    for number, (run, position, entry, rows) in enumerate(entries):
        scanned += rows
        if entry is not None and query.selection.takes(row := row_of(entry)):
            found.append(row)
            size += len(entry.line or entry.text)
        is_full = len(found) == query.limit or size > MAX_PAGE_BYTES or scanned >= MAX_SCANNED
        if is_full and (number or entry is not None):  # the first range of ids is read in any case
            return Found(found, event_id(run, position) if any(islice(entries, 1)) else None)
    return Found(found, None)


class History:
    """The route of the journal.

    :param shelf: reads the journal's file.
    :param turns: the turns of the reactor in which entries are encoded.
    :param wall_clock: returns Unix time in seconds, the reference of ``10 min ago``.
    :param dialect: the dialect of the controller, with the names that a query may have.
    :param rest: called in the reading thread after each `REST_ROWS` rows; waits for `REST_TIME` if None.
    :param others: the events of the other bridges; None without an election.
    """

    def __init__(
        self,
        shelf: Shelf,
        turns: Turns,
        wall_clock: Callable[[], float],
        dialect: Dialect,
        rest: Callable[[], object] | None = None,
        others: IOtherBridges | None = None,
    ) -> None:
        self._others = others
        self._dialect = dialect
        self._rest = rest or partial(Event().wait, REST_TIME)
        self._shelf = shelf
        self._turns = turns
        self._now = wall_clock

    def routes(self) -> list[Route]:
        """Return the route of the journal."""
        return [
            Route(
                "GET",
                "/api/v1/messages",
                self.messages,
                "observe",
                "The journal in pages: messages, steps of commands, changes.",
                id="list_messages",
                tag="events",
                answers={200: PAGE},
                problems=(422, 429, 503),
                parameters=parameters(self._dialect),
            )
        ]

    async def messages(self, call: Call) -> Answer:
        """Answer with a page of entries."""
        others = self._others
        query = read_query(call.query, self._now(), self._dialect, others is not None and others.follows)
        if query.at_broker is not None:
            page = await self._from_broker(query.at_broker, call)
        else:
            page = await self._from_journal(query, call)
        body = as_body(page)
        gzipped = None
        if len(body) >= LEAST and takes_gzip(call.headers.get("accept-encoding", "")):
            with suppress(NoThreadError):
                gzipped = await self._shelf.in_thread(lambda: gzip(body))
        return Answer(body, headers={"Content-Type": "application/json"}, gzipped=gzipped)

    async def _from_broker(self, query: StreamQuery, call: Call) -> Page:
        if self._others is None:
            raise RequestError(503, NO_BROKER)
        found = await self._others.search(query, call.share, call.user.observes)
        return Page(entries=[Raw(each) for each in found.entries], next=found.next)

    async def _from_journal(self, query: Query, call: Call) -> Page:
        if self._shelf.path is None:
            raise RequestError(503, OFF)
        try:
            page = await self._shelf.read(partial(self._page, query), call.share, call.user.observes)
        except JournalError as error:
            raise RequestError(503, str(error)) from None
        return await self._encoded(page, call.user.observes)

    def _page(self, query: Query, db: sqlite3.Connection, go_on: Callable[[], None]) -> Found:
        """Return a page of the journal, in a reading thread."""

        def rest() -> None:
            go_on()
            self._rest()

        return read_page(db, query, rest)

    async def _encoded(self, page: Found, observes: bool) -> Page:
        """Return a page with its entries in JSON. The page ends before the first entry that has no room."""
        entries: list[Raw] = []
        size = 0
        for numbers in slices(page.entries):
            await self._turns.turn(observes=observes)
            for number in numbers:
                entry = as_json(shape(page.entries[number]))
                size += len(entry)
                if entries and size > MAX_BODY_BYTES:
                    last = page.entries[number - 1].entry
                    return Page(entries=entries, next=event_id(last.run, last.id))
                entries.append(Raw(entry))
        return Page(entries=entries, next=page.next)


# Queries


def read_query(query: Mapping[str, str], now: float, dialect: Dialect, follows: bool = False) -> Query:
    """Return the query in the parameters of a request.

    :param follows: True if this bridge stands by: without another word the events at the broker are meant.
    :raises RequestError: with every fault in them.
    """
    faults = unknown(query, parameters(dialect))
    selection = read_selection(query, faults, dialect)
    if REQUEST in selection.types:
        faults.append(Fault("query.kind", f"the journal has no {REQUEST!r}; the event stream has"))

    def value(name: str, read: Callable[[str], T | None]) -> T | None:
        return read_value(query, name, read, None, faults)

    def event(name: str) -> OwnId | StreamId | None:
        return read_value(query, name, read_any_id, None, faults)

    since, until = (value(name, lambda text: parse_time(text, now)) for name in ("since", "until"))
    if since is not None and until is not None and until < since:
        faults.append(Fault("query.until", f"expected a time after since, got {query['until']!r}"))
    before, after = event("before"), event("after")
    if "before" in query and "after" in query:
        faults.append(Fault("query.after", "expected either before or after, not both"))
    limit = value("limit", _limit) or LIMIT
    numbers, named = value("command", lambda text: _codes(text, dialect)) or ((), ())
    outcomes = value("outcome", _outcomes) or ()
    where = value("where", _place)
    id = before or after
    if id is None:
        is_at_broker = follows if where is None else where == BROKER
    else:
        is_at_broker = isinstance(id, StreamId)
        if where is not None and is_at_broker != (where == BROKER):
            faults.append(Fault("query.where", f"the id is not of an event in the {where}"))
    if is_at_broker:
        why = (
            "the events at the broker can't be searched by commands: ask the active bridge, or where=journal"
        )
        faults += [Fault(f"query.{name}", why) for name in ("command", "outcome") if name in query]
    refuse(faults)
    at_broker = None
    if is_at_broker:
        at_broker = StreamQuery(
            selection,
            limit,
            before=before if isinstance(before, StreamId) else None,
            after=after if isinstance(after, StreamId) else None,
            since=None if since is None else iso(since),
            until=None if until is None else iso(until),
        )
    types = selection.selected_types or set(TYPES.values())
    tables = tuple(table for table in COLUMNS if TYPES[table] in types)
    peers, codes = tuple(sorted(selection.peers)), tuple(sorted(numbers))
    # A name selects a command of the controller's dialect only; an earlier run may have another dialect.
    dialect_codes = tuple((dialect.name, code) for code in sorted(named))
    wanted = Wanted(since, until, peers, tables, codes, outcomes, dialect_codes=dialect_codes)
    return Query(wanted, selection, limit, _row_in(before), _row_in(after), at_broker)


def _row_in(id: OwnId | StreamId | None) -> int | None:
    return None if id is None else id[1]


def _place(text: str) -> str:
    if text not in PLACES:
        raise ValueError(f"expected {' or '.join(PLACES)}, got {text[:80]!r}")
    return text


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_LIMIT):
        raise ValueError(f"expected an integer from 1 to {MAX_LIMIT}, got {text[:80]!r}")
    return int(text)


@cache
def _codes_by_name(dialect: Dialect) -> dict[str, set[int]]:
    """Return the codes of commands by their names. A name that only a translated dialect has selects the
    codes of the commands that it may become."""
    kinds = [dialect.kind_of(code) for code in dialect.command_names]
    codes = {
        name.lower(): {kind.code} for kind in kinds for name in (str(kind.code), kind.code_name, kind.name)
    }
    if (other := dialect_translated_to(dialect)) is not None:
        for code, command in other.commands.items():
            becomes = set(codes_translated_to(command, dialect))
            for name in (command.__name__, other.command_names[int(code)]):
                codes.setdefault(name.lower(), becomes)
    return codes


def _codes(text: str, dialect: Dialect) -> tuple[set[int], set[int]]:
    """Return the codes in a list of commands: the codes given by number, and the codes given by name."""
    known, example = _codes_by_name(dialect), dialect.kind_of(dialect.example)
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in known:
            expected = f"a command such as {example.name} or {example.code}"
            raise ValueError(f"expected {expected}, got {name[:80]!r}")
    numbers, named = set[int](), set[int]()
    for name in names:
        (numbers if name.isdigit() else named).update(known[name])
    return numbers, named


FAILED = tuple(outcome for outcome in OUTCOMES if outcome not in GOOD_OUTCOMES)


def _outcomes(text: str) -> tuple[str, ...]:
    names = {name.strip() for name in text.split(",")}
    for name in names:
        if name not in (*OUTCOMES, "failed"):
            raise ValueError(f"expected failed, {', '.join(OUTCOMES)}, got {name[:80]!r}")
    if "failed" in names:
        names = names - {"failed"} | set(FAILED)
    return tuple(sorted(names))
