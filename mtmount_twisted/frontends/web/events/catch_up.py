"""How a stream of events comes from where it was up to what happens now, with nothing missed or told twice.

What the ring in memory still has comes from there, what it has no longer from the journal, in pages; the
journal is up to 0.1 s behind, so there is a wait for what is in neither. What can't be given is told by an
event ``gone``. Next to read: `ring`, whose positions these are; `history`, which reads the file.
"""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from mtmount_twisted.frontends.web.api.history import Shelf
from mtmount_twisted.journal.reading import (
    PAGE_ROWS,
    Entry,
    JournalError,
    Wanted,
    first_and_last,
    read_entries,
    run_of,
)
from mtmount_twisted.net.deadlines import FairClock
from mtmount_twisted.net.waiting import Waiters

from .ring import ROWS_PER_TURN, Feed, Listener, Turns, framed, gone, slices
from .selection import kind_of

PAUSE = 0.05
"""How often is looked whether the file has grown, in seconds; the journal's thread does not say."""

MAX_WAIT = 5.0
"""How long the file is waited for altogether, in seconds."""

NOT_THERE = "these rows are not in the journal any more, or were never written"
ANOTHER = "that id is not of this journal"


class Slow(Listener, Protocol):
    """Who is told, and can say when to go on.

    :ivar ended: True once it takes nothing any more.
    :ivar share: whose share of the threads that read it takes.
    """

    ended: bool
    share: str

    def room(self) -> Deferred[None]:
        """Fires when all that was sent is on its way."""


class Found(NamedTuple):
    """What the file has.

    :ivar run: of the row that was asked about; None if it is not there.
    :ivar last: the largest id.
    """

    run: int | None
    last: int
    entries: list[Entry]


def rows_after(db: sqlite3.Connection, row: int) -> Found:
    """A page of rows after one, and what is known of that one."""
    entries = list(islice(read_entries(db, Wanted(), row), PAGE_ROWS))
    return Found(run_of(db, row), first_and_last(db)[1], entries)


class Growth:
    """Tells those who wait that the journal's file has grown: it looks for all, while anybody waits."""

    def __init__(self, feed: Feed, clock: Any) -> None:
        self._feed = feed
        self._clock = clock
        self._waiting: Waiters[bool] = Waiters()
        self._seen = (0, 0)
        self._next: IDelayedCall | None = None

    @property
    def mark(self) -> tuple[int, int]:
        """This run's number, 0 until the file is open, and how many rows of it were written."""
        journal = self._feed.journal
        return int(journal.run), int(journal.written)

    def beyond(self, mark: tuple[int, int], seconds: float) -> Deferred[bool]:
        """Fires with True once the `mark` is another; False on a fault, or after so many seconds."""
        if self._moved(mark):
            return succeed(self.mark != mark)
        if (
            not self._waiting
        ):  # else there is one who waits for less: better to wake this one, too, for nothing
            self._seen = mark
        self._look_later()
        return self._waiting.wait().addTimeout(seconds, FairClock(self._clock), lambda result, timeout: False)

    def _moved(self, mark: tuple[int, int]) -> bool:
        return self.mark != mark or bool(self._feed.journal.fault)

    def _look_later(self) -> None:
        if self._next is None:
            self._next = self._clock.callLater(PAUSE, self._look)

    def _look(self) -> None:
        self._next = None
        if self._moved(self._seen):
            self._waiting.fire(self.mark != self._seen)
        if self._waiting:
            self._look_later()

    def close(self) -> None:
        """Cancel all that wait."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._waiting.fail(CancelledError)


class Sources(NamedTuple):
    """Where events are, and who says that there are more."""

    feed: Feed
    shelf: Shelf
    turns: Turns
    growth: Growth
    clock: Any


class Resumption:
    """Brings one stream up to now, and attaches it to the feed.

    :param run: with `row`, the id of the last event that it had.
    """

    def __init__(self, stream: Slow, sources: Sources, run: int, row: int) -> None:
        self._stream = stream
        self._feed, self._shelf, self._turns, self._growth, self._clock = sources
        self._run, self._row = run, row
        self._certain = False  # that the id is of this journal
        self._there = True  # that its row is in the file
        self._waits_since: float | None = None

    async def go(self) -> None:
        """Until the stream is attached."""
        try:
            while not await self._step():
                pass
        except JournalError as error:
            self._stream.send(gone(None, str(error)))
        if not self._stream.ended:
            self._feed.attach(self._stream)

    async def _step(self) -> bool:
        """True if the stream has all up to the edge of the feed, at this very moment."""
        await self._stream.room()
        await self._turns.turn()
        feed = self._feed
        self._certain = self._certain or feed.knows(self._run, self._row)
        position = feed.position_after(self._row) if self._certain else None
        if position is None:
            await self._from_journal()
            return False
        if position > feed.edge:  # the file had what the others will be told in a moment
            await feed.moved()
            return False
        return await self._from_ring(position)

    async def _from_ring(self, position: int) -> bool:
        feed = self._feed
        while feed.start <= position < feed.edge:
            entries = feed.entries(position, min(position + ROWS_PER_TURN, feed.edge))
            position += len(entries)
            for numbers in slices(entries):
                for number in numbers:
                    await self._send(entries[number])
                await self._turns.turn()
        return position == feed.edge

    async def _from_journal(self) -> None:
        row, mark = self._row, self._growth.mark
        run_before, _ = mark
        found = await self._shelf.read(lambda db: rows_after(db, row), self._stream.share, most=None)
        if not self._certain:
            self._judge(found, run_before)
        run = self._feed.journal.run
        entries = self._in_order([entry for entry in found.entries if entry.run <= run or not run])
        for numbers in slices(entries):
            for number in numbers:
                self._look_for_holes(entries[number])
                await self._send(entries[number])
            await self._turns.turn()
        if entries:
            self._waits_since = None
        elif self._feed.journal.pending or not (run_before and self._begin_run()):
            await self._wait(mark)

    def _in_order(self, entries: list[Entry]) -> list[Entry]:
        """Those before the first that overtook others.

        What the journal's thread adds of its own as it begins a run is in the file before what waits with
        lower ids.
        """
        feed, last = self._feed, self._row
        first, base = feed.first_row, feed.journal.base
        for number, entry in enumerate(entries):
            if first is not None and entry.run == feed.journal.run:
                last = max(last, base)
                if entry.id > last + 1 >= first:
                    return entries[:number]
            last = entry.id
        return entries

    def _begin_run(self) -> bool:
        """Go on with this run, if all of it is in the ring or yet to come; the file has nothing before it."""
        feed = self._feed
        if not self._certain or feed.first_row is None or feed.first_row != feed.journal.base + 1:
            return False
        if not self._there:
            self._stream.send(gone(None, NOT_THERE))
        self._run, self._row, self._there = feed.journal.run, feed.journal.base, True
        return True

    def _judge(self, found: Found, run: int) -> None:
        """Raise if the id can't be of this journal; who can't know that yet is not certain.

        A daemon that is killed has told its last rows and not written them. So an id that is later than all
        that is there may be of an earlier run, but not of this one, or later than where this one began.

        :param run: this run's number, 0 if it was not known when the file was read.
        """
        next_run = found.entries[0].run if found.entries else self._run
        if found.run not in (None, self._run) or (found.run is None and next_run < self._run):
            raise JournalError(ANOTHER)
        if self._row > found.last:
            if not run:
                return
            if self._run >= run or self._row > self._feed.journal.base:
                raise JournalError(f"{ANOTHER}: it is later than all that is there")
        self._certain, self._there = True, found.run is not None

    def _look_for_holes(self, entry: Entry) -> None:
        """In one run ids count up by one; of the end of a run that is not there nobody knows."""
        missing = entry.id - self._row - 1 if entry.run == self._run else None
        if missing or (missing is None and not self._there):
            self._stream.send(gone(missing, NOT_THERE))

    async def _send(self, entry: Entry) -> None:
        if entry.id:
            self._run, self._row, self._there = entry.run, entry.id, True
        if self._stream.selection.takes(entry, kind_of(entry)):
            self._stream.send(framed(entry))
            await self._stream.room()

    async def _wait(self, mark: tuple[int, int]) -> None:
        """For what is in neither: the journal's thread is about to write it.

        :param mark: `Growth`'s, when the file was read.
        """
        feed, now = self._feed, self._clock.seconds()
        if self._waits_since is None:
            self._waits_since = now
        if await self._growth.beyond(mark, max(0.0, self._waits_since + MAX_WAIT - now)):
            return
        if self._row < (feed.journal.base or 0) and self._begin_run():
            return
        first = feed.first_row
        why = f"the journal is not written: {feed.journal.fault or 'it is far behind'}"
        if first is None:
            raise JournalError(why)
        missing = first - 1 - self._row if self._run == feed.journal.run else None
        self._stream.send(gone(missing, why))
        self._run, self._row = feed.journal.run, first - 1
