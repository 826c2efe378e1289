"""The journal of the bridge: what happened, in SQLite, and never in the way of a message.

`Journal.keep` is called on the reactor's thread and only appends to memory; a thread of its own takes what
waits, some 70 ms later, and gives it to a `writer.JournalWriter`, which knows SQLite. What waits is bounded
in bytes: past that, records are counted instead of kept, and an event ``gap`` stands in their place.

SQLite is imported when a journal is started, and not before. ``docs/reference/journal.rst`` explains what is
in the file; ``mtmount-journal`` reads it.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from mtmount_twisted.interfaces import IJournal, IJournalState
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

from .schema import Batch, Gap, Row, Unprivileged, real_path

if TYPE_CHECKING:
    from .writer import JournalWriter

MAX_WAITING_BYTES = 32 * 2**20
"""How much may wait in memory, in bytes: each row counts as `MEMORY_PER_ROW` plus its line or text. Rows that
clients without rights brought about get half of that: the other half is a reserve for those with rights."""

MEMORY_PER_ROW = 300
"""What a row that waits takes besides its line or text, in bytes, about."""

GATHER = 0.07
"""How long rows gather before they are written together, in seconds; they shall be kept within 0.1 s."""

RETRY = 1.0
"""After a fault, how long until the next attempt to write, in seconds."""

IDLE = 10.0
"""How often the file is tended while nothing happens, in seconds."""

STOP_TIME = 3.0
"""How long `Journal.stop` may take, in seconds; a file that is locked takes 2 s of that."""

HANGS_AFTER = 5.0
"""How long one piece of work on the file may take, in seconds, before the file counts as not written: a batch
takes some 0.1 s, and SQLite waits 2 s for another program's lock."""

BATCH_ROWS = 5000
"""The most rows that are written in one transaction, about."""


class Waiting:
    """Records that wait for the thread: added on the reactor's thread, taken as rows on another.

    It needs no lock. A `deque` may be appended to on one side while it is taken from on the other, and a
    `count` asked on both. Each attribute is written by one of the two threads only, but for ``_woken``: the
    other thread clears it before it looks for records, so that a record which comes later wakes it again, and
    one which comes in between is either seen or wakes it for nothing.

    :param wake: called, on the reactor's thread, when there is something to take again.
    :param wall_clock: seconds, Unix time.
    :param max_bytes: how much may wait.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        wall_clock: Callable[[], float] = time.time,
        max_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._lost = 0  # at the end
        self._wake = wake
        self._now = wall_clock
        self._max_bytes = max_bytes
        self._numbers = count(1)
        self._records: deque[tuple[int, Record]] = deque()
        self._added = 0  # bytes, by the reactor's thread
        self._freed = 0  # bytes, by the other
        self._taken = 0
        self._taken_since: float | None = None
        self._woken = False
        self._gap = Gap()
        self._gap_unprivileged = Gap(" of clients without rights")

    def keep(self, record: Record) -> int:
        """Keep a record for the file.

        :returns: the number of its row, which counts up by one within the run, rows of the journal's own
            (``gap``, ``unknown``) included; 0 if the record is not kept.
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
        """Count a record for which there is no room. A gap goes on until half of the room is free.

        :returns: False if there is room: an event ``gap`` stands for the rows that were lost before.
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
        """Put an event ``gap`` in the place of the rows that were lost since the last one, if any were."""
        self._mark(self._gap)
        self._mark(self._gap_unprivileged)

    def _mark(self, gap: Gap) -> None:
        detail = gap.end()
        if detail:
            self._added += MEMORY_PER_ROW + len(detail)
            self._records.append((next(self._numbers), ChangeRecord(self._now(), 0, "", "gap", detail)))

    @property
    def lost(self) -> int:
        """How many rows were not kept for want of room."""
        return self._lost + self._gap.total + self._gap_unprivileged.total

    @property
    def lost_unprivileged(self) -> int:
        """How many of `lost` clients without rights brought about."""
        return self._gap_unprivileged.total

    @property
    def losing(self) -> bool:
        """True from when a row of a client with rights is lost until one is kept."""
        return bool(self._gap.rows)

    def number(self) -> int:
        """The number of a row that will not wait here. On either thread."""
        return next(self._numbers)

    @property
    def pending(self) -> int:
        """How many rows are not yet in the file."""
        return len(self._records) + self._taken

    @property
    def oldest(self) -> float | None:
        """When the oldest row that is not yet in the file was recorded (s, Unix time), or None."""
        if (taken_since := self._taken_since) is not None:
            return taken_since
        try:
            return self._records[0][1].time
        except IndexError:  # none waits, perhaps since this very moment
            return None

    def take(self) -> Batch:
        """Return the oldest `BATCH_ROWS` rows that wait, by table. On the other thread.

        They go on taking room in memory until `free` is told.
        """
        self._woken = False  # before looking, so that what comes after the look wakes again
        self._taken = number_of_rows = min(len(self._records), BATCH_ROWS)
        if number_of_rows:
            self._taken_since = self._records[0][1].time
        return _rows_of([self._records.popleft() for _ in range(number_of_rows)])

    def free(self, rows: Sequence[Row]) -> None:
        """The first rows of what was taken are written. On the other thread."""
        self._freed += size_of(rows)
        self._taken -= len(rows)
        self._taken_since = self._taken_since if self._taken else None


def size_of(rows: Iterable[Row]) -> int:
    """What rows take in memory, in bytes, about."""
    return sum(MEMORY_PER_ROW + len(row[-1]) for row in rows)


def pieces_of(batch: Batch, most_bytes: int) -> list[Batch]:
    """Cut a batch into pieces of at most so many bytes, or of one row, in the order of the numbers."""
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


class Writer:
    """Brings what waits into the file, turn by turn. On the journal's thread, or in a test on its own.

    :param clock: seconds, monotonic.
    """

    def __init__(
        self, waiting: Waiting, keeper: JournalWriter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.keeper = keeper
        self.written = 0
        self._clock = clock
        self._busy_since: float | None = None  # with one piece of work on the file
        self._waiting = waiting
        self._pieces: deque[Batch] = deque()  # of what was taken

    def turn(self) -> float:
        """Write what waits, as long as that succeeds, and have the file tended.

        What comes meanwhile is left to gather, but if it is as much as a batch.

        :returns: how long until the next turn is due even if nothing happens, in seconds.
        """
        behind = bool(self._pieces)  # which could not be written in an earlier turn
        while self._write_batch():
            if not self._pieces and self._waiting.pending < (1 if behind else BATCH_ROWS):
                more = self._tend() or self._waiting.pending
                return 0.0 if more else RETRY if self.keeper.fault else IDLE
        return RETRY

    def finish(
        self, is_late: Callable[[], bool] = lambda: False, last: Callable[[int], Row] | None = None
    ) -> int:
        """Write all that waits, as long as that succeeds and it is not late, and let go of the rest.

        :param is_late: asked between two batches.
        :param last: makes an event to stand behind all others, of the number of rows that were let go.
        :returns: that number.
        """
        while self._write_batch() and self._waiting.pending and not is_late():
            pass
        abandoned = self.abandon()
        if last is not None and not self.keeper.fault:
            self.written += self.keeper.keep(([], [], [last(abandoned)]))
        return abandoned

    def abandon(self) -> int:
        """Discard all rows that wait, those that could not be written included. On the journal's thread.

        :returns: how many rows.
        """
        rows = 0
        while self._fill_batch():
            rows += self._free_batch()
        return rows

    def _write_batch(self) -> bool:
        """Write a piece of a batch; False if it has to be tried again."""
        unwritable = self.keeper.unwritable
        batch: Batch = self._pieces[0] if self._fill_batch() else ([], [], [])
        self._busy_since = self._clock()
        kept = self.keeper.keep(batch)
        self._busy_since = None
        if not kept:
            return False
        self.written += self._free_batch() - (self.keeper.unwritable - unwritable)
        return True

    def _tend(self) -> bool:
        self._busy_since = self._clock()
        more = self.keeper.tend()
        self._busy_since = None
        return more

    @property
    def hangs(self) -> bool:
        """True if one piece of work on the file has taken longer than `HANGS_AFTER`. On either thread."""
        since = self._busy_since
        return since is not None and self._clock() - since > HANGS_AFTER

    def _fill_batch(self) -> bool:
        """What could not be written yet comes before what waits. False if there is neither."""
        if not self._pieces and any(batch := self._waiting.take()):
            self._pieces += pieces_of(batch, self.keeper.batch_bytes)
        return bool(self._pieces)

    def _free_batch(self) -> int:
        if not self._pieces:
            return 0
        rows = list(chain(*self._pieces.popleft()))
        self._waiting.free(rows)
        return len(rows)


@implementer(IJournal, IJournalState)
class Journal(Waiting):
    """Keeps what happens in a file. See `Waiting` for how to record.

    :param path: the SQLite file; its folder is made if there is none.
    :param log: where it says that the file can't be written, and that it can be again; once each.
    :param keep_days: rows that are older are deleted; None keeps them. The daemon's is in the configuration.
    :param keep_bytes: the file and its write-ahead log never get larger: the oldest rows are deleted, and
        what has no room then is counted and dropped; None for no limit.
    :param max_bytes: how much may wait in memory.
    :param wall_clock: seconds, Unix time: when a row was recorded.
    :param reactor: the reactor; the global one if None.
    """

    def __init__(
        self,
        path: str | Path,
        log: logging.Logger,
        *,
        keep_days: float | None = None,
        keep_bytes: int | None = None,
        max_bytes: int = MAX_WAITING_BYTES,
        wall_clock: Callable[[], float] = time.time,
        reactor: Any = None,
    ) -> None:
        self._wake_up = threading.Event()
        self._stopping = threading.Event()
        super().__init__(self._wake_up.set, wall_clock, max_bytes)
        self.path = real_path(Path(path))
        self._log = log
        self._limits = (keep_days, keep_bytes)
        self._reactor = reactor
        self._running = False
        self._broken = ""
        self._writer: Writer | None = None
        self._thread: threading.Thread | None = None
        self._written_before = self._unwritable_before = self._unprivileged_before = 0
        self._stopped: list[Deferred[None]] = []
        self._stop_by = 0.0
        self._last = ""
        self._giving_up: Deadline | None = None

    @property
    def written(self) -> int:
        """How many rows were written to the file."""
        return self._written_before + (0 if self._writer is None else self._writer.written)

    @property
    def lost(self) -> int:
        """How many rows are not in the file and never will be: for want of room, because SQLite can't hold
        them, or because the daemon ended before they could be written.
        """
        return super().lost + self._unwritable

    @property
    def lost_unprivileged(self) -> int:
        """How many of `lost` clients without rights brought about, as far as the file's end is not known."""
        return super().lost_unprivileged + self._unprivileged

    @property
    def losing(self) -> bool:
        """True while rows of clients with rights are lost: there is no room in memory, or within the bound of
        the file.
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
        """The number of commands that the run before left without an end: it was killed."""
        return 0 if self._writer is None else self._writer.keeper.left_unknown

    @property
    def run(self) -> int:
        """The number of this run in the file; 0 until the file is open."""
        return 0 if self._writer is None else self._writer.keeper.run

    @property
    def base(self) -> int | None:
        """What is added to a row's number to get its id in the file; None until the file is open.

        It stays the same while the run goes on, also in a fresh file that takes the place of another.
        """
        return None if self._writer is None else self._writer.keeper.base

    @property
    def fault(self) -> str:
        """Why the file is not written, or ``""`` while it is."""
        if self._broken or self._writer is None:
            return self._broken
        hangs = f"the file has not answered for more than {HANGS_AFTER:g} s" if self._writer.hangs else ""
        return self._writer.keeper.fault or hangs

    @property
    def lag(self) -> float:
        """How far the file is behind, in seconds."""
        oldest = self.oldest
        return 0.0 if oldest is None else max(0.0, self._now() - oldest)

    def start(self) -> None:
        """Begin to write what waits and what will come. Without effect if it is begun.

        Without effect, too, while the thread of before hangs, which `stop` gave up.
        """
        if self._running or (self._thread is not None and self._thread.is_alive()):
            return
        from .writer import JournalWriter

        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        days, size = self._limits
        keeper = JournalWriter(
            *(self.path, self._tell, self.number), keep_days=days, keep_bytes=size, wall_clock=self._now
        )
        self._written_before, self._unwritable_before = self.written, self._unwritable
        self._unprivileged_before = self._unprivileged
        self._writer = Writer(self, keeper)
        self._running, self._broken = True, ""
        self._stopping.clear()
        self._wake_up.set()  # the file is opened at once, so that a fault in it is known at once
        self._thread = threading.Thread(target=self._work, args=(self._writer,), name="journal", daemon=True)
        self._thread.start()

    def stop(self, within: float = STOP_TIME, last: str = "") -> Deferred[None]:
        """Write what waits, and end the thread; what can't be written then is lost, and the log says so.

        It can be called twice and at any time.

        :param within: how long it may take, in seconds: then the thread, which hangs, is given up.
        :param last: the kind of an event to stand behind all others, with the number of the run's rows that
            were not written; it is not recorded if empty, nor if the file can't be written.
        :returns: fires when the file is closed, or given up. Never fails.
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
        """The thread."""
        try:
            wait = 0.0
            while not self._stopping.is_set():
                (self._stopping if writer.keeper.fault else self._wake_up).wait(wait)
                self._stopping.wait(GATHER)
                self._wake_up.clear()
                wait = writer.turn()
            last = self._last_event if self._last else None
            abandoned = writer.finish(lambda: time.monotonic() > self._stop_by, last)
        except Exception as error:
            self._broken = f"the journal's thread failed: {error!r}"
            self._tell(logging.CRITICAL, "the journal's thread failed:\n%s", traceback.format_exc())
            abandoned = writer.abandon()
        try:
            writer.keeper.close()
        finally:
            self._reactor.callFromThread(self._ended, abandoned)

    def _last_event(self, abandoned: int) -> Row:
        """The event that stands behind all others. On the journal's thread."""
        lost = self.lost + abandoned
        detail = f"{lost} rows of this run are lost" if lost else ""
        return self.number(), self._now(), self._last, "", 0, detail

    def _ended(self, abandoned: int) -> None:
        """The thread is at its end."""
        if self._running:  # else it was given up
            if self._thread is not None:
                self._thread.join()  # this call was the last thing that it did
            self._end(abandoned, "they could not be written")

    def _give_up(self, seconds: float) -> None:
        """The thread hangs, and can't be ended: the program ends without it."""
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
    lag = 0.0
    fault = ""
    losing = False
    base = path = None
