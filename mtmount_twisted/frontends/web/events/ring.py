"""The ring of the latest records, which listeners receive live, in batches, without delaying a command.

`Feed` subscribes to the event bus. For each record `Feed` only appends to a ring in memory. Some 25 to 50 ms
later `Feed` makes the gathered rows into server-sent events, once for all listeners, and sends them to a few
listeners in each turn of the reactor (`Turns`), so that a command waits for one slice at most. A stream that
resumes reads from the ring only. It does no I/O: the listeners send. Next to read: `streams`.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import islice
from typing import NamedTuple, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.frontends.web.http.encoding import as_json
from mtmount_twisted.interfaces import IEventBus, IJournalState
from mtmount_twisted.journal.reading import Entry, is_command, line_dialect
from mtmount_twisted.net.machines import next_state
from mtmount_twisted.net.waiting import Waiters
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

from .others import OtherEvent
from .selection import GONE, NOTICE, Selection
from .shapes import Gone, OwnId, Row, StreamId, event_id, reply_kind, row_of, shape, shown_bytes

GATHER = 0.025
"""The time that rows gather before listeners receive them, in seconds."""

SPREAD = 0.02
"""The time over which the sending of a batch is spread, in seconds: back-to-back slices would delay a command
by one slice at each of its steps."""

MAX_ROWS, MAX_BYTES, ROW_BYTES = 20_000, 8 * 2**20, 300
"""The largest numbers of rows and bytes in the ring, and the bytes that a row counts for besides its line or
text."""

BATCH_ROWS, BATCH_BYTES = 500, 2**15
"""The numbers of rows and of shown bytes at which a batch ends. Each listener copies a batch that it sends at
once. Slow listeners share the batches in their backlogs."""

ROWS_PER_TURN, BYTES_PER_TURN = 20, 2**14
"""The largest numbers of rows and of bytes that one turn of the reactor reads and makes into JSON. All bytes
of a line count, because the whole line may be read; a line that is longer has a turn of its own."""

STREAMS_PER_TURN = 8
"""The largest number of listeners that receive data in one turn of the reactor."""

NOT_IN_MEMORY = "memory no longer holds these rows"
NO_LONGER_STORED = "the broker no longer has these events"
ANOTHER = "that id is not of this journal"


class Notice(NamedTuple):
    """An event for readers that no table of the journal holds.

    :ivar text: the data, as JSON.
    """

    event: str
    text: str

    @property
    def size(self) -> int:
        """The length of the text, in characters."""
        return len(self.text)


class _Kept(NamedTuple):
    """A row of the ring.

    :ivar number: the number of the row in the file; 0 for a row that is not in the file.
    :ivar latest: the largest number so far. It never falls, so that a search bisects the ring.
    :ivar position: the same for the positions of the events of other bridges.
    """

    number: int
    latest: int
    record: Record | Notice | OtherEvent
    position: int = 0


_NONE = _Kept(0, 0, Notice("", ""))


def _latest(kept: _Kept) -> int:
    return kept.latest


def _position(kept: _Kept) -> int:
    return kept.position


def _stream_id(record: Record | Notice | OtherEvent) -> StreamId | None:
    return record.id if isinstance(record, OtherEvent) else None


def _row(id: int, run: int, record: Record | Notice | OtherEvent, dialect: Dialect) -> Row:
    """Return a record as a row of the journal; a row that is not in the file has the id 0."""
    match record:
        case OtherEvent(type, kind, peer, text, stream_id):
            entry = Entry(0, run, NOTICE, 0.0, peer, 0, type, 0, 0, 0, 0, text, None, dialect)
            return Row(entry, kind, stream_id=stream_id)
        case LineRecord(time, epoch, peer, direction, line, code, sequence_id):
            own = line_dialect(peer, direction, line, dialect)
            entry = Entry(id, run, "message", time, peer, epoch, direction, 0, 0, 0, 0, "", line, own)
            if code is None or own is not dialect:  # then `code` is not this line's
                return row_of(entry)
            is_reply = not is_command(entry)
            kind = reply_kind(code, dialect) if is_reply else dialect.kind_of(code).code_name
            return Row(entry, kind, sequence_id)
        case CommandRecord(time, epoch, peer, step, sequence_id, code, key, lease, explanation):
            command = key, sequence_id, code, lease
            entry = Entry(id, run, "step", time, peer, epoch, step, *command, explanation, None, dialect)
        case ChangeRecord(time, epoch, peer, kind, detail):
            entry = Entry(id, run, "event", time, peer, epoch, kind, 0, 0, 0, 0, detail, None, dialect)
        case Notice(event, text):
            entry = Entry(id, run, NOTICE, 0.0, "", 0, event, 0, 0, 0, 0, text, None, dialect)
    return row_of(entry)


class Listener(Protocol):
    """A receiver of events.

    :ivar selection: the events that the listener receives.
    """

    selection: Selection

    def send(self, data: bytes, /) -> None:
        """Send whole server-sent events. The listener may detach itself during the call."""


FIRST_SHARE = 4
"""Of so many turns, the requests that go first leave one to the others."""

OBSERVERS_SHARE = 4
"""Observers have one of so many turns while other users wait."""


class Turns:
    """Give out the turns of the reactor, so that each turn does only one slice of the web's work.

    While users with the right to stop or command wait, the history and the resumes of observers have one turn
    of `OBSERVERS_SHARE`. Live signals and comments, which go to all kinds of users, count as work for those.
    The live events go first: in a flood of them, histories have one turn of `FIRST_SHARE`.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._first: Waiters[None] = Waiters()
        self._others: Waiters[None] = Waiters()
        self._observers: Waiters[None] = Waiters()
        self._urgent = 0  # the turns of the first in a row
        self._ahead = 0  # the turns of the others in a row
        self._call: IDelayedCall | None = None
        self._closed = False

    def turn(self, first: bool = False, observes: bool = False) -> Deferred[None]:
        """Return a Deferred that fires in a turn of its own, after earlier requests; `close` cancels it.

        :param first: True to go before requests without ``first``; see `FIRST_SHARE`.
        :param observes: True if the work is for an observer.
        """
        turn = (self._first if first else self._observers if observes else self._others).wait()
        if self._closed:
            turn.cancel()
        elif self._call is None:
            self._call = self._clock.callLater(0, self._next)
        return turn

    def _next(self) -> None:
        users = self._others or self._observers
        if self._first and not (users and self._urgent >= FIRST_SHARE - 1):
            self._urgent += 1
            waiting = self._first
        else:
            self._urgent = 0
            waiting = self._next_users()
        turn = waiting.first() if waiting else None  # each request may have been cancelled
        more = self._first or self._others or self._observers
        self._call = self._clock.callLater(0, self._next) if more else None
        if turn is not None:
            turn.callback(None)

    def _next_users(self) -> Waiters[None]:
        if self._others and not (self._observers and self._ahead >= OBSERVERS_SHARE - 1):
            self._ahead += 1
            return self._others
        self._ahead = 0
        return self._observers

    def close(self) -> None:
        """Cancel every waiting request."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._first.fail(CancelledError)
        self._others.fail(CancelledError)
        self._observers.fail(CancelledError)


def frame(event: str, data: bytes, number: str | None = None) -> bytes:
    """Return a server-sent event; `data` is one line of JSON, as `as_json` makes it."""
    head = f"id: {number}\n" if number else ""
    return b"%bevent: %b\ndata: %b\n\n" % (head.encode(), event.encode(), data)


def framed(row: Row) -> bytes:
    """Return a row as a server-sent event."""
    if row.entry.table == NOTICE:
        number = None if row.stream_id is None else str(row.stream_id)
        return frame(row.entry.what, row.entry.text.encode(), number)
    told = shape(row)
    return frame(told.type, as_json(told), told.id)


def gone(why: str, rows: int | None, after: str | None, before: str | None) -> bytes:
    """Return the event for rows that a stream leaves out; see `Gone`."""
    return frame("gone", as_json(Gone(rows=rows, after=after, before=before, why=why)))


def _fitting(sizes: Iterable[int]) -> int:
    """Return the number of rows that one turn of the reactor reads and makes into JSON; at least one.

    :param sizes: the lengths of the lines and texts of the rows.
    """
    count = size = 0
    for each in sizes:
        size += each
        if count and (count == ROWS_PER_TURN or size > BYTES_PER_TURN):
            break
        count += 1
    return count


def slices(rows: Sequence[Row]) -> Iterator[range]:
    """Yield the numbers of rows in slices: each slice is made into JSON in one turn of the reactor."""
    sizes = [len(row.entry.line or b"") + len(row.entry.text) for row in rows]
    start = 0
    while start < len(rows):
        end = start + _fitting(islice(sizes, start, None))
        yield range(start, end)
        start = end


class Batch:
    """Rows that are sent together: each row becomes an event once, and is joined once for each selection.

    :param lost: the event for the rows before the batch that no listener received; empty without such rows.
    :ivar rows: the rows of the batch.
    """

    def __init__(self, lost: bytes = b"") -> None:
        self.rows: list[Row] = []
        self._framed: list[bytes | None] = []
        self._joined: dict[Selection, bytes] = {}
        self._lost = lost
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """True if the batch is to be sent before further rows."""
        return len(self.rows) >= BATCH_ROWS or self._bytes >= BATCH_BYTES

    def add(self, rows: list[Row], selections: Iterable[Selection]) -> None:
        """Add rows, and make each into an event if a selection takes it."""
        for row in rows:
            is_taken = any(wanted.takes(row) for wanted in selections)
            self.rows.append(row)
            self._framed.append(framed(row) if is_taken else None)
            self._bytes += shown_bytes(row)

    def _frame(self, number: int) -> bytes:
        data = self._framed[number]
        if data is None:
            data = self._framed[number] = framed(self.rows[number])
        return data

    def data(self, wanted: Selection) -> bytes:
        """Return the bytes for a listener with this selection."""
        data = self._joined.get(wanted)
        if data is None:
            taken = (self._frame(number) for number, row in enumerate(self.rows) if wanted.takes(row))
            data = self._joined[wanted] = self._lost + b"".join(taken)
        return data


class FeedState(Enum):
    """The states of a `Feed`; its docstring explains each."""

    ASLEEP = "asleep"
    IDLE = "idle"
    GATHERING = "gathering"
    SENDING = "sending"


ASLEEP, IDLE, GATHERING, SENDING = FeedState

_TABLE = {
    ASLEEP: (IDLE,),
    IDLE: (GATHERING, ASLEEP),
    GATHERING: (SENDING, ASLEEP),
    SENDING: (GATHERING, IDLE, ASLEEP),
}


class Feed:
    """The latest records, and the listeners that receive each new record. Its states::

        asleep:     there are no listeners
        idle:       the listeners have received every row
        gathering:  there are new rows, to be sent together a little later
        sending:    rows are being sent, also when the last listener has left in the middle

    :param bus: the feed receives every record from the bus until `close`.
    :param journal: its ``run``, ``base`` and ``fault`` determine the id of a row.
    :param log: the log for events that can't be sent.
    :ivar dialect: the dialect of the controller.
    :ivar listeners: the listeners that receive events.
    :ivar lost: the number of rows that no listener received, because too many came at once.
    :ivar follows: True while this bridge shows the events of other ones; see `show`.
    """

    def __init__(
        self,
        bus: IEventBus,
        dialect: Dialect,
        journal: IJournalState,
        clock: IReactorTime,
        turns: Turns,
        *,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
        log: logging.Logger | None = None,
    ) -> None:
        self.journal = journal
        self.dialect = dialect
        self.listeners: dict[Listener, None] = {}
        self.lost: int = 0
        self.follows: bool = False
        self._log = log or logging.getLogger(__name__)
        self._clock = clock
        self._turns = turns
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._rows: deque[_Kept] = deque()
        self._bytes = 0
        self._end = 0  # the number of rows so far
        self._told = 0  # the number of rows that were sent, or are being sent
        self._told_row = 0  # the id of the last row that was sent; 0 if none is known
        self._told_other: StreamId | None = None  # the same, of other bridges
        self._last_number = 0
        self._last_other: StreamId | None = None
        self._last_position = 0  # the largest of an event of another bridge
        self._others_dropped = -1  # the number of the own row behind which the ring lacks such an event
        self._state = ASLEEP
        self._due: IDelayedCall | None = None  # while gathering
        self._telling: Deferred[None] | None = None  # while sending
        self._moved: Waiters[None] = Waiters()
        self._bus = bus
        bus.subscribe(self._append, LineRecord, CommandRecord, ChangeRecord)

    def publish(self, event: str, data: object) -> None:
        """Send all listeners an event that is not in the journal.

        :param event: ``request``.
        :param data: a value that JSON can represent.
        """
        self._append(Notice(event, as_json(data).decode()), 0)

    def show(self, event: OtherEvent) -> None:
        """Send all listeners an event of another bridge."""
        if event.id is not None:
            self._last_other = event.id
            self._last_position = max(self._last_position, event.id.position)
        self._append(event, 0)

    def note_missing(self) -> None:
        """Send all listeners word that the broker does not have some events of the other bridges any more."""
        after = None if self._last_other is None else str(self._last_other)
        gone = Gone(rows=None, after=after, before=None, why=NO_LONGER_STORED)
        self.show(OtherEvent(GONE, GONE, "", as_json(gone).decode(), None))

    def _append(self, record: Record | Notice | OtherEvent, number: int) -> None:
        if number:
            self._last_number = number
        self._rows.append(_Kept(number, self._last_number, record, self._last_position))
        self._end += 1
        self._bytes += ROW_BYTES + record.size
        while self._bytes > self._max_bytes or len(self._rows) > self._max_rows:
            dropped = self._rows.popleft()
            self._bytes -= ROW_BYTES + dropped.record.size
            if isinstance(dropped.record, OtherEvent):
                self._others_dropped = dropped.latest
        if self._state is IDLE:
            self._gather()

    def _become(self, after: FeedState) -> None:
        self._state = next_state(_TABLE, self._state, after)

    # Positions

    @property
    def start(self) -> int:
        """The position of the oldest row in the ring; positions count from 0."""
        return self._end - len(self._rows)

    @property
    def edge(self) -> int:
        """The position of the first row that a listener receives if it attaches now."""
        return self._end if self._state is ASLEEP else self._told

    def moved(self) -> Deferred[None]:
        """Return a Deferred that fires when the `edge` moves; call it while the edge is not the end.

        `close` cancels the Deferred.
        """
        return self._moved.wait()

    @property
    def last_row(self) -> int:
        """The id of the last row before the edge; 0 if the ring has no earlier row, or no earlier row in the
        file."""
        before = min(self.edge, self._end) - self.start
        return self._id(self._rows[before - 1].latest) if before > 0 else 0

    def _id(self, number: int) -> int:
        base: int | None = self.journal.base
        return base + number if number and base is not None else 0

    @property
    def oldest_row(self) -> int:
        """The id of the oldest row in the ring; 0 if none is known."""
        first = self._rows[0] if self._rows else _NONE
        if not first.number:  # the next row that is in the file is the first one with a larger number
            following = bisect_right(self._rows, first.latest, key=_latest)
            first = self._rows[following] if following < len(self._rows) else _NONE
        return self._id(first.number)

    @property
    def last_id(self) -> str | None:
        """The id of the last event before the edge, of this bridge or of another one; None without one."""
        before = min(self.edge, self._end) - self.start
        id = _stream_id(self._rows[before - 1].record) if before > 0 else None
        return event_id(self.journal.run, self.last_row) if id is None else str(id)

    @property
    def _oldest_id(self) -> str | None:
        """The id of the oldest event in the ring that has one."""
        first = self._rows[0] if self._rows else _NONE
        other = _stream_id(first.record)
        if other is None and not first.number:  # the first that is not in the file: the next one of either
            own = bisect_right(self._rows, first.latest, key=_latest)
            following = bisect_right(self._rows, first.position, hi=own, key=_position)
            other = _stream_id(self._rows[following].record) if following < own else None
        return event_id(self.journal.run, self.oldest_row) if other is None else str(other)

    def position_after(self, last: OwnId | StreamId) -> int | None:
        """Return the position after the event with an id; None if the ring lacks events since then."""
        if isinstance(last, StreamId):
            place = bisect_left(self._rows, last.position, key=_position)
            is_there = place < len(self._rows) and _stream_id(self._rows[place].record) == last
            return self.start + place + 1 if is_there else None
        run, row = last
        base: int | None = self.journal.base
        newest = self._id(self._last_number)
        oldest = self.oldest_row or newest + 1
        if base is None or run != self.journal.run or not oldest - 1 <= row <= newest:
            return None
        if row - base <= self._others_dropped:
            return None
        behind = bisect_right(self._rows, row - base, key=_latest)
        latest = self._rows[behind - 1].latest if behind else 0
        position = bisect_left(self._rows, latest, key=_latest) if latest else 0
        is_kept = latest and self._rows[position].number == latest
        return self.start + position + bool(is_kept)

    def gone_after(self, last: OwnId | StreamId) -> bytes:
        """Return the event for the rows between an id and the oldest row in the ring.

        Only the file shows whether an id of an earlier run belongs to this journal; this method assumes it.
        """
        now, base, oldest = self.journal.run, self.journal.base, self.oldest_row
        before = self._oldest_id
        if isinstance(last, StreamId):
            return gone(NOT_IN_MEMORY, None, str(last), before)
        run, row = last
        is_other_dropped = run == now and base is not None and row - base <= self._others_dropped
        if self.follows or is_other_dropped:  # no place has all that came after an event of this journal
            return gone(NOT_IN_MEMORY, None, None, before)
        if base is None or run < now:
            return gone(NOT_IN_MEMORY, None, event_id(run, row), before)
        if run == now and base < row < oldest:
            return gone(NOT_IN_MEMORY, oldest - row - 1, event_id(run, row), before)
        return gone(ANOTHER, None, None, before)

    def rows(self, start: int, end: int) -> list[Row]:
        """Return the first rows of the ring between two positions: as many as one turn of the reactor reads.

        The dialect reads the header of a line that had none in the record, so that the cost grows with the
        lengths of the lines.
        """
        shift, run = self.start, self.journal.run
        positions = range(max(start, shift), min(end, self._end))[:ROWS_PER_TURN]
        rows = [self._rows[position - shift] for position in positions]
        del rows[_fitting(kept.record.size for kept in rows) :]
        return [_row(self._id(kept.number), run, kept.record, self.dialect) for kept in rows]

    # Sending

    def attach(self, listener: Listener) -> None:
        """Send a listener all rows from the `edge` on."""
        if self._state is ASLEEP:
            self._told_all_rows()
            self._become(IDLE)
        self.listeners[listener] = None

    def _told_all_rows(self) -> None:
        self._told, self._told_row = self._end, self._id(self._last_number)

    def detach(self, listener: Listener) -> None:
        """Send a listener no more rows. If the listener is not attached, do nothing."""
        self.listeners.pop(listener, None)
        if not self.listeners:
            if self._due is not None:
                self._due.cancel()
                self._due = None
            if self._state in (IDLE, GATHERING):
                self._become(ASLEEP)
            self._moved.fire(None)

    def _gather(self) -> None:
        self._become(GATHERING)
        self._due = self._clock.callLater(GATHER, self._begin)

    def _begin(self) -> None:
        self._become(SENDING)
        self._due = None
        self._telling = Deferred.fromCoroutine(self._tell(self._end))
        self._telling.addBoth(self._told_all)

    def _told_all(self, result: object) -> None:
        self._telling = None
        if isinstance(result, Failure):
            self._told_all_rows()  # the rows that failed would fail again
            if not result.check(CancelledError):
                self._log.error("web: events could not be sent", exc_info=result.value)
        if not self.listeners:
            self._become(ASLEEP)
        elif self._told < self._end:
            self._gather()
        else:
            self._become(IDLE)
        self._moved.fire(None)

    async def _tell(self, end: int) -> None:
        while self._told < end and self.listeners:
            position = max(self._told, self.start)
            lost = position - self._told
            self.lost += lost
            batch, last = Batch(self._gone_now(lost) if lost else b""), self._end
            while self.start <= position < last and not batch.is_full:
                rows = self.rows(position, last)
                batch.add(rows, {listener.selection for listener in self.listeners})
                position += len(rows)
                await self._turns.turn(first=True)
            self._told = position
            rows = batch.rows
            self._told_row = next((row.entry.id for row in reversed(rows) if row.entry.id), self._told_row)
            others = (row.stream_id for row in reversed(rows) if row.stream_id is not None)
            self._told_other = next(others, self._told_other)
            await self._send(batch)
            self._moved.fire(None)

    def _gone_now(self, rows: int) -> bytes:
        run, base = self.journal.run, self.journal.base
        after = None if base is None else f"{run}.{self._told_row or base}"
        if self.follows and self._told_other is not None:
            after = str(self._told_other)
        return gone("too much happened at once", rows, after, self._oldest_id)

    async def _send(self, batch: Batch) -> None:
        listeners = tuple(self.listeners)
        begun, pace = self._clock.seconds(), SPREAD / max(1, len(listeners))
        for first in range(0, len(listeners), STREAMS_PER_TURN):
            if first:
                late = self._clock.seconds() - begun - first * pace
                if late < 0:
                    await deferLater(self._clock, -late)
                await self._turns.turn(first=True)
            for listener in listeners[first : first + STREAMS_PER_TURN]:
                if listener in self.listeners and (data := batch.data(listener.selection)):
                    listener.send(data)

    def close(self) -> None:
        """Stop receiving records and sending events."""
        self._bus.unsubscribe(self._append)
        for listener in tuple(self.listeners):
            self.detach(listener)
        if self._telling is not None:
            self._telling.cancel()
        self._moved.fail(CancelledError)
