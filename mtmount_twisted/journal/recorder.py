"""The journal of the bridge: every record, in SQLite, without delaying a message.

`Journal.keep` runs on the reactor's thread and only appends to memory. Some 70 ms later the journal's thread
takes the waiting records and gives them to a `writer.JournalWriter`, which knows SQLite. The waiting records
are bounded in bytes. Above the bound, the journal counts records instead of keeping them, and an event
``gap`` stands in their place.

Only the start of a journal imports SQLite. ``docs/reference/journal.rst`` explains the
contents of the file; ``mtmount-journal`` reads it.

Next to read: `writer`, the thread's side; `reading`, for the file.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain, count
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.interfaces import IJournal, IJournalState
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.threads import start_thread
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

from .own_errors import OwnErrors
from .schema import DEFAULT_OPTIONS, Batch, FileOptions, Gap, Row, Unprivileged, real_path
from .track_runs import HOLD, TrackRuns

if TYPE_CHECKING:
    from .writer import JournalWriter

MAX_WAITING_BYTES = 32 * 2**20
"""The largest number of bytes that wait in memory. Each row counts as `MEMORY_PER_ROW` plus its line or text.
Rows of clients without rights get half of these bytes. The other half is a reserve for clients with
rights."""

MEMORY_PER_ROW = 300
"""The approximate size of a waiting row besides its line or text, in bytes."""

GATHER = 0.07
"""The time that rows gather before the journal writes them together, in seconds. A row must be in the file
within 0.1 s."""

RETRY = 1.0
"""The time from a fault to the next attempt to write, in seconds."""

IDLE = 10.0
"""The time between two rounds of upkeep of the file while no record comes, in seconds."""

STOP_TIME = 3.0
"""The longest time for `Journal.stop`, in seconds; a locked file takes 2 s of it."""

HANGS_AFTER = 5.0
"""The longest time for one operation on the file, in seconds, before the journal reports a fault: a batch
takes some 0.1 s, and SQLite waits 2 s for another program's lock."""

BATCH_ROWS = 5000
"""The approximate largest number of rows in one transaction."""


class Waiting:
    """The waiting records: the reactor's thread adds them, the journal's thread takes them as rows.

    The class needs no lock. One thread may append to a `deque` while the other takes from it, and both may
    call `next` on a `count`. Each attribute has one writing thread; both write ``_woken``. The journal's
    thread clears it before it looks for records. So a later record wakes the thread again. If a record comes
    in between, the thread sees it now, and also wakes without need.

    :param wake: called on the reactor's thread when there are records to take again.
    :param wall_clock: return the time (s, Unix time).
    :param max_bytes: the largest number of bytes that wait.
    :param runs: counts track commands instead of keeping each of them; None to keep each.
    :param clock: return the time, in seconds, monotonic.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        wall_clock: Callable[[], float] = time.time,
        max_bytes: int = MAX_WAITING_BYTES,
        runs: TrackRuns | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lost = 0  # rows lost at the end of the journal
        self._runs = runs
        self._clock = clock
        self._holds_back = True
        self._wake = wake
        self._now = wall_clock
        self._max_bytes = max_bytes
        self._numbers = count(1)
        self._records: deque[tuple[int, Record]] = deque()
        self._added = 0  # bytes, written by the reactor's thread
        self._freed = 0  # bytes, written by the journal's thread
        self._taken = 0
        self._popped: list[tuple[int, Record]] = []  # they are no rows yet
        self._taken_since: float | None = None
        self._woken = False
        self._gap = Gap()
        self._gap_unprivileged = Gap(" of clients without rights")

    def keep(self, record: Record) -> int:
        """Keep a record for the file.

        :returns: the number of its row, which counts up by one within the run and includes rows of the
            journal's own (``gap``, ``unknown``); 0 if the record is not kept.
        """
        if (
            self._gap.rows or self._added - self._freed > self._max_bytes or not record.privileged
        ) and self._lose(record):
            return 0
        self._added += MEMORY_PER_ROW + record.size
        number = next(self._numbers)
        self._records.append((number, record))
        if not self._woken:
            self._woken = True
            self._wake()
        return number

    def _lose(self, record: Record) -> bool:
        """Count a record that has no room. A gap lasts until half of the room is free.

        :returns: False if there is room: an event ``gap`` then stands for the rows that were lost before.
        """
        gap, room = self._gap, self._max_bytes
        if not record.privileged:
            gap, room = self._gap_unprivileged, room // 2
        if self._added - self._freed > (room // 2 if gap.rows else room):
            gap.add(1, record.time, record.time)
            return True
        self._mark(gap)
        return False

    def mark_gap(self) -> None:
        """Add an event ``gap`` for the rows that were lost since the last gap, if there are any."""
        self._mark(self._gap)
        self._mark(self._gap_unprivileged)

    def _mark(self, gap: Gap) -> None:
        detail = gap.end()
        if detail:
            self._added += MEMORY_PER_ROW + len(detail)
            self._records.append((next(self._numbers), ChangeRecord(self._now(), 0, "", "gap", detail)))

    @property
    def lost(self) -> int:
        """The number of rows that were not kept for lack of room."""
        return self._lost + self._gap.total + self._gap_unprivileged.total

    @property
    def lost_unprivileged(self) -> int:
        """The part of `lost` that clients without rights caused."""
        return self._gap_unprivileged.total

    @property
    def losing(self) -> bool:
        """True while rows of clients with rights are being lost."""
        return bool(self._gap.rows)

    def number(self) -> int:
        """Return the number for a row that does not wait here. Either thread may call it."""
        return next(self._numbers)

    @property
    def pending(self) -> int:
        """The number of rows that are not yet in the file."""
        return len(self._records) + self._taken

    @property
    def oldest(self) -> float | None:
        """The time of the oldest row that is not yet in the file (s, Unix time), or None."""
        if (taken_since := self._taken_since) is not None:
            return taken_since
        try:
            return self._records[0][1].time
        except IndexError:  # no record waits, perhaps since this very moment
            return None

    def take_batch(self) -> Batch:
        """Return the oldest `BATCH_ROWS` waiting rows, by table. On the journal's thread.

        The rows count as memory until the call of `free`. The few records that `TrackRuns` holds do not.
        """
        self._woken = False  # first, so that a later record wakes the thread again
        self._taken = number_of_rows = min(len(self._records), BATCH_ROWS)
        self._popped = records = [self._records.popleft() for _ in range(number_of_rows)]
        if self._runs is not None:
            if self._holds_back:
                kept = self._runs.pass_on(records, self._clock())
            else:
                kept = self._runs.release() + records
            if kept is not records:
                self._freed += _size_of(records) - _size_of(kept)
                self._taken = len(kept)
                self._popped = records = kept
        if records:
            self._taken_since = records[0][1].time
        rows = _rows_of(records)
        self._popped = []
        return rows

    def drop_popped(self) -> set[int]:
        """Drop the records that an error kept from becoming rows, and those that `TrackRuns` holds.

        :returns: the numbers of their rows. On the journal's thread.
        """
        numbers = {number for number, _ in self._popped}
        self._freed += _size_of(self._popped)
        self._taken -= len(self._popped)
        self._taken_since = self._taken_since if self._taken else None
        self._popped = []
        return numbers if self._runs is None else numbers | self._runs.drop()

    def hold_back(self, is_allowed: bool) -> None:
        """Allow or forbid to hold the records of track commands back. On the journal's thread.

        After a call that forbids it, the next `take_batch` returns the records that are held.
        """
        self._holds_back = is_allowed

    @property
    def holds(self) -> bool:
        """True if records are held back. On the journal's thread."""
        return self._runs is not None and self._runs.holds

    def free(self, rows: Sequence[Row]) -> None:
        """Free the first of the taken rows, which are written. On the journal's thread."""
        self._freed += size_of(rows)
        self._taken -= len(rows)
        self._taken_since = self._taken_since if self._taken else None


def size_of(rows: Iterable[Row]) -> int:
    """Return the approximate size of rows in memory, in bytes."""
    return sum(MEMORY_PER_ROW + len(row[-1]) for row in rows)


def _size_of(records: list[tuple[int, Record]]) -> int:
    """Return the approximate size of records in memory, in bytes."""
    return sum(MEMORY_PER_ROW + record.size for _, record in records)


def pieces_of(batch: Batch, most_bytes: int) -> list[Batch]:
    """Cut a batch into pieces of at most `most_bytes`, or of one row, in the order of the numbers."""
    if size_of(chain(*batch)) <= most_bytes:
        return [batch]
    pieces: list[Batch] = []
    size = most_bytes
    rows = ((row[0], table, row) for table, rows in enumerate(batch) for row in rows)
    for _, table, row in sorted(rows, key=itemgetter(0)):
        size += size_of([row])
        if size > most_bytes:
            pieces.append(([], [], []))
            size = size_of([row])
        pieces[-1][table].append(row)
    return pieces


def _rows_of(records: list[tuple[int, Record]]) -> Batch:
    """Return records, each with its number, as rows of their tables."""
    messages: list[Row] = []
    steps: list[Row] = []
    events: list[Row] = []
    for number, each in records:
        row: Row
        if isinstance(each, LineRecord):
            table, row = messages, (number, each.time, each.peer, each.direction, each.epoch, each.line)
        elif isinstance(each, CommandRecord):
            command = each.sequence_id, each.code, each.lease, each.explanation
            table, row = steps, (number, each.time, each.key, each.step, each.peer, each.epoch, *command)
        else:
            table, row = events, (number, each.time, each.kind, each.peer, each.epoch, each.detail)
        table.append(row if each.privileged else Unprivileged(row))
    return messages, steps, events


class Settled:
    """The number up to which the file has every row that it will ever have. On the journal's thread.

    A reader that follows the file by its ids stops at this number: a row of the journal's own (``gap``,
    ``unknown``) gets its number when it is written, and can be in the file before waiting rows with lower
    numbers.

    :ivar number: that number; 0 before the first row. Either thread may read it.
    """

    def __init__(self, next_number: Callable[[], int]) -> None:
        self.number: int = 0
        self._next_number = next_number
        self._own: set[int] = set()

    def own_number(self) -> int:
        """Return the number of a row that the journal's thread is about to write itself."""
        number = self._next_number()
        self._own.add(number)
        return number

    def pass_rows(self, rows: Sequence[Row]) -> None:
        """Note that the first waiting rows are in the file, or lost; none if only own rows were written."""
        self.pass_numbers(row[0] for row in rows)

    def pass_numbers(self, numbers: Iterable[int]) -> None:
        """As `pass_rows`, for rows with these numbers."""
        number = max(numbers, default=self.number)
        while number + 1 in self._own:
            number += 1
        self._own = {each for each in self._own if each > number}
        self.number = number


class Writer:
    """Write the waiting records to the file, turn by turn. It runs on the journal's thread; in a test, on
    any.

    :param clock: return the time, in seconds, monotonic.
    """

    def __init__(
        self,
        waiting: Waiting,
        keeper: JournalWriter,
        clock: Callable[[], float] = time.monotonic,
        settled: Settled | None = None,
    ) -> None:
        self.keeper = keeper
        self.settled: Settled = settled or Settled(waiting.number)
        self.written: int = 0
        self._clock = clock
        self._busy_since: float | None = None  # the start of the present operation on the file
        self._waiting = waiting
        waiting.hold_back(True)
        self._pieces: deque[Batch] = deque()  # of the taken rows

    def turn(self) -> float:
        """Write the waiting rows while writing succeeds, then do the upkeep of the file.

        Rows that come during the turn wait for the next turn, unless they fill a batch.

        :returns: the time until the next turn is due if no record comes, in seconds.
        """
        behind = bool(self._pieces)  # an earlier turn could not write these pieces
        while self._write_batch():
            if not self._pieces and self._waiting.pending < (1 if behind else BATCH_ROWS):
                more = self._tend() or self._waiting.pending
                idle = HOLD if self._waiting.holds else IDLE
                return 0.0 if more else RETRY if self.keeper.fault else idle
        return RETRY

    def finish(
        self, is_late: Callable[[], bool] = lambda: False, last: Callable[[int], Row] | None = None
    ) -> int:
        """Write all waiting rows while writing succeeds and it is not late, then discard the rest.

        :param is_late: called between two batches.
        :param last: return the last event of the run, given the number of discarded rows.
        :returns: the number of discarded rows.
        """
        self._waiting.hold_back(False)
        while self._write_batch() and self._waiting.pending and not is_late():
            pass
        abandoned = self.abandon()
        if last is not None and not self.keeper.fault:
            row = last(abandoned)
            if self.keeper.keep(([], [], [row])):
                self.written += 1
                self.settled.pass_rows([row])
        return abandoned

    def abandon(self) -> int:
        """Discard all waiting rows, including rows that could not be written. On the journal's thread.

        :returns: the number of discarded rows.
        """
        self._waiting.hold_back(False)
        rows = 0
        while self._fill_batch():
            rows += self._free_batch()
        return rows

    def drop(self) -> None:
        """Drop the taken rows after an error of our own, which they would cause again; a ``gap`` stands for
        them."""
        self._busy_since = None
        numbers = self._waiting.drop_popped()
        for piece in self._pieces:
            numbers.update(row[0] for row in chain(*piece))
        while self._pieces:
            self._free_batch()
        self.settled.pass_numbers(numbers)
        if numbers:
            self.keeper.note_lost(len(numbers))

    def _write_batch(self) -> bool:
        """Write a piece of a batch; return False if the piece must be tried again."""
        unwritable = self.keeper.unwritable
        batch: Batch = self._pieces[0] if self._fill_batch() else ([], [], [])
        self._busy_since = self._clock()
        kept = self.keeper.keep(batch)
        self._busy_since = None
        if not kept:
            return False
        self.written += self._free_batch() - (self.keeper.unwritable - unwritable)
        self.settled.pass_rows([])
        return True

    def _tend(self) -> bool:
        self._busy_since = self._clock()
        more = self.keeper.tend()
        self._busy_since = None
        return more

    @property
    def hangs(self) -> bool:
        """True if the present operation on the file takes longer than `HANGS_AFTER`. On either thread."""
        since = self._busy_since
        return since is not None and self._clock() - since > HANGS_AFTER

    def _fill_batch(self) -> bool:
        """Take waiting rows unless unwritten pieces remain; return False if there are no rows at all."""
        if not self._pieces and any(batch := self._waiting.take_batch()):
            self._pieces += pieces_of(batch, self.keeper.batch_bytes)
        return bool(self._pieces)

    def _free_batch(self) -> int:
        if not self._pieces:
            return 0
        rows = list(chain(*self._pieces.popleft()))
        self.settled.pass_rows(rows)
        self._waiting.free(rows)
        return len(rows)


@implementer(IJournal, IJournalState)
class Journal(Waiting):
    """Keep records in a file. `Waiting` explains how to record.

    :param path: the SQLite file; the journal makes its folder if there is none.
    :param log: receives one line when the file can't be written, and one when it can be written again.
    :param options: the options of the file.
    :param max_bytes: the largest number of bytes that wait in memory.
    :param wall_clock: return the time of a record (s, Unix time).
    :param reactor: the reactor; the global one if None.
    """

    def __init__(
        self,
        path: str | Path,
        log: logging.Logger,
        *,
        options: FileOptions = DEFAULT_OPTIONS,
        max_bytes: int = MAX_WAITING_BYTES,
        wall_clock: Callable[[], float] = time.time,
        reactor: Any = None,
    ) -> None:
        self._wake_up = threading.Event()
        self._stopping = threading.Event()
        runs = TrackRuns(dialect_named(options.dialect)) if options.tracks == "summary" else None
        super().__init__(self._wake_up.set, wall_clock, max_bytes, runs)
        self.path: Path = real_path(Path(path))
        self._log = log
        self._options = options
        self._reactor = reactor
        self._running = False
        self._broken = ""
        self._error = ""  # of our own, in the latest turn; on the journal's thread
        self._own_errors = OwnErrors()
        self._writer: Writer | None = None
        self._thread: threading.Thread | None = None
        self._written_before = self._unwritable_before = self._unprivileged_before = 0
        self._stopped: list[Deferred[None]] = []
        self._stop_by = 0.0
        self._last = ""
        self._giving_up: Deadline | None = None
        self._settled = Settled(self.number)
        self._told_settled = 0  # on the journal's thread
        self._followers: list[Callable[[int], None]] = []

    def follow(self, follower: Callable[[int], None]) -> None:
        """Call a follower, on the reactor's thread, each time the file has further rows.

        :param follower: called with the id up to which the file has every row; it must not block.
        """
        self._followers.append(follower)

    def _tell_settled(self) -> None:
        """Call the followers if the file has further rows. On the journal's thread."""
        base, number = self.base, self._settled.number
        if base is not None and number > self._told_settled and self._followers:
            self._told_settled = number
            self._reactor.callFromThread(self._call_followers, base + number)

    def _call_followers(self, id: int) -> None:
        for follower in self._followers:
            follower(id)

    @property
    def written(self) -> int:
        """The number of rows that were written to the file."""
        return self._written_before + (0 if self._writer is None else self._writer.written)

    @property
    def lost(self) -> int:
        """The number of rows that never reach the file: there was no room, SQLite can't hold them, or the
        daemon ended before it could write them.
        """
        return super().lost + self._unwritable

    @property
    def lost_unprivileged(self) -> int:
        """The part of `lost` that clients without rights caused, without the rows lost at the end."""
        return super().lost_unprivileged + self._unprivileged

    @property
    def losing(self) -> bool:
        """True while rows of clients with rights are lost: there is no room in memory, or within the bound
        on the file.
        """
        return super().losing or (self._writer is not None and self._writer.keeper.losing)

    @property
    def _unwritable(self) -> int:
        return self._unwritable_before + (0 if self._writer is None else self._writer.keeper.unwritable)

    @property
    def _unprivileged(self) -> int:
        now = 0 if self._writer is None else self._writer.keeper.unwritable_unprivileged
        return self._unprivileged_before + now

    @property
    def left_unknown(self) -> int:
        """The number of commands without an end in the previous run, which was killed."""
        return 0 if self._writer is None else self._writer.keeper.left_unknown

    @property
    def run(self) -> int:
        """The number of this run in the file; 0 until the file is open."""
        return 0 if self._writer is None else self._writer.keeper.run

    @property
    def base(self) -> int | None:
        """The difference between a row's id in the file and its number; None until the file is open.

        The base stays the same during the run, also in a fresh file that replaces another.
        """
        return None if self._writer is None else self._writer.keeper.base

    @property
    def fault(self) -> str:
        """The reason why the journal can't write the file, or ``""`` while it can."""
        if self._broken or self._writer is None:
            return self._broken
        hangs = f"the file has not answered for more than {HANGS_AFTER:g} s" if self._writer.hangs else ""
        return self._error or self._writer.keeper.fault or hangs

    @property
    def lag(self) -> float:
        """The age of the oldest row that is not yet in the file, in seconds."""
        oldest = self.oldest
        return 0.0 if oldest is None else max(0.0, self._now() - oldest)

    def start(self) -> None:
        """Begin to write waiting and later records.

        Do nothing if the journal runs, or while an earlier thread hangs that `stop` gave up.

        :raises net.threads.NoThreadError: if the system can't start the thread.
        """
        if self._running or (self._thread is not None and self._thread.is_alive()):
            return
        from .writer import JournalWriter

        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        own_number = self._settled.own_number
        keeper = JournalWriter(self.path, self._tell, own_number, options=self._options, wall_clock=self._now)
        self._written_before, self._unwritable_before = self.written, self._unwritable
        self._unprivileged_before = self._unprivileged
        self._writer = Writer(self, keeper, settled=self._settled)
        self._broken = ""
        self._stopping.clear()
        self._wake_up.set()  # opens the file at once, so that a fault in it shows at once
        self._thread = start_thread(partial(self._work, self._writer), "journal")
        self._running = True

    def stop(self, within: float = STOP_TIME, last: str = "") -> Deferred[None]:
        """Write the waiting rows, and end the thread; rows that can't be written are lost, with a log line.

        A caller may call it twice and at any time.

        :param within: the longest time, in seconds: after it the journal gives up the thread, which hangs.
        :param last: the kind of the run's last event, which has the number of the run's lost rows. If the
            kind is empty, or the file can't be written, the event is not recorded.
        :returns: a Deferred that fires when the file is closed or given up; it never fails.
        """
        if not self._running:
            return succeed(None)
        if not self._stopping.is_set():
            self.mark_gap()
            self._last = last
            self._stop_by = time.monotonic() + within / 2  # the last batch may take the other half
            self._giving_up = Deadline(self._reactor, within, self._give_up, within)
            self._stopping.set()
            self._wake_up.set()
        self._stopped.append(Deferred())
        return self._stopped[-1]

    def _tell(self, level: int, text: str, *arguments: object) -> None:
        self._reactor.callFromThread(self._log.log, level, text, *arguments)

    def _work(self, writer: Writer) -> None:
        """Run the journal's thread."""
        try:
            wait = 0.0
            while not self._stopping.is_set():
                has_fault = self._error or writer.keeper.fault
                (self._stopping if has_fault else self._wake_up).wait(wait)
                self._stopping.wait(GATHER)
                self._wake_up.clear()
                wait = self._turn(writer)
                self._tell_settled()
            last = self._last_event if self._last else None
            abandoned = writer.finish(lambda: time.monotonic() > self._stop_by, last)
            self._tell_settled()
        except Exception as error:
            self._broken = f"the journal's thread failed: {error!r}"
            self._tell(logging.CRITICAL, "the journal's thread failed:\n%s", traceback.format_exc())
            abandoned = writer.abandon()
        try:
            writer.keeper.close()
        finally:
            self._reactor.callFromThread(self._ended, abandoned)

    def _turn(self, writer: Writer) -> float:
        """Let the writer write, through every error of our own; return the time until the next turn (s)."""
        try:
            wait = writer.turn()
        except Exception as error:
            self._error = f"an error of the journal: {error!r}"
            if self._own_errors.is_new(error):
                text = "an error of the journal, which goes on:\n%s"
                self._tell(logging.CRITICAL, text, traceback.format_exc())
            writer.drop()
            return RETRY
        self._error = ""
        return wait

    def _last_event(self, abandoned: int) -> Row:
        """Return the last event of the run. On the journal's thread."""
        lost = self.lost + abandoned
        detail = f"{lost} rows of this run are lost" if lost else ""
        return self.number(), self._now(), self._last, "", 0, detail

    def _ended(self, abandoned: int) -> None:
        """Join the thread, which is at its end."""
        if self._running:  # else the journal gave up the thread
            if self._thread is not None:
                self._thread.join()  # the thread made this call last
            self._end(abandoned, "they could not be written")

    def _give_up(self, seconds: float) -> None:
        """Give up the thread, which hangs and can't be ended: the program ends without it."""
        self._broken = f"it hangs: given up after {seconds:g} s"
        self._end(self.pending + bool(self._last), f"the disk did not take them within {seconds:g} s")

    def _end(self, lost: int, why: str) -> None:
        self._running = False
        if self._giving_up is not None and self._giving_up.active():
            self._giving_up.cancel()
        if lost:
            self._lost += lost
            self._log.error("the journal %s ends without the last %d rows: %s", self.path, lost, why)
        waiting, self._stopped = self._stopped, []
        for stopped in waiting:
            stopped.callback(None)


@implementer(IJournalState)
class JournalOff:
    """The state of a journal that is turned off: it has no file, and loses nothing."""

    written = lost = lost_unprivileged = pending = run = left_unknown = 0
    lag: float = 0.0
    fault = ""
    losing = False
    base = path = None
