"""`JournalWriter`: write the journal through every fault of the disk and of the file.

The writer never raises. It opens and checks the file (`file.Store`), sets a corrupt file aside, logs the
start and the end of a fault once each, and deletes the oldest rows. It runs in the journal's thread.
`recorder` owns that thread and the rows that wait in memory. Next to read: `file`; `retention`, the ages of
rows.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from .checking import SIDES, in_words, is_rows_fault
from .file import BATCH_BYTES, Deleted, Run, Size, Store, is_rows_own, limits
from .retention import DAY, HOUR, Ages, Agreement, Allowance, Deletions
from .schema import DEFAULT_OPTIONS, Batch, FileOptions, Gap, Row, Unprivileged, real_path

Tell = Callable[..., None]
"""A function that logs: called with a level of `logging`, a message and its arguments."""

SET_ASIDE_AT_MOST_EVERY = 60.0
"""The shortest time between two files set aside, in seconds, so that a faulty disk does not fill up."""

TEND_EVERY = 10.0
"""The interval between two searches for old rows, in seconds; rows that a search has found are deleted
without a pause."""

TRIM_STEPS = 20
"""The largest number of deletions before one batch is written, so that new rows do not wait for long."""

_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def set_aside(path: Path, word: str, now: float) -> Path:
    """Rename a journal and its write-ahead log.

    :param word: the reason, as a part of the new name.
    :param now: Unix time, in seconds, for the new name.
    :returns: the new path of the journal.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    name = f"{path.stem}.{word}-{stamp}"
    aside = path.with_name(f"{name}{path.suffix}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{name}-{number}{path.suffix}")
    for end in ("", *SIDES):
        old = Path(f"{path}{end}")
        if old.exists():
            old.rename(f"{aside}{end}")
    return aside


def is_corrupt(error: Exception) -> bool:
    """Return True if SQLite has found that the file is damaged or is not a database."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _CORRUPT


class JournalWriter:
    """Write rows to a journal through every fault of the disk and of the file.

    :param path: the file.
    :param tell: logs a line. It is called in the thread that calls `keep`, after the attributes have changed,
        so that a reader of the line in another thread finds the attributes up to date.
    :param number: returns the number of the next row; for rows that the writer itself adds.
    :param options: the options of the file. If a batch needs room, unprivileged rows are deleted first, then
        the oldest rows. If there is still no room, the batch is counted and dropped.
    :param clock: returns the monotonic clock, in seconds.
    :param wall_clock: returns Unix time, in seconds.
    :param connect: opens a database; for tests.
    :ivar fault: the present fault; empty while the journal can be written.
    :ivar left_unknown: the number of commands that the previous run left without an end when it was killed.
    :ivar unwritable: the number of dropped rows: rows that can't be written, and rows without room.
    :ivar unwritable_unprivileged: the number of unprivileged rows among them.
    :ivar batch_bytes: the largest number of bytes of rows in a batch.
    """

    def __init__(
        self,
        path: Path,
        tell: Tell,
        number: Callable[[], int],
        *,
        options: FileOptions = DEFAULT_OPTIONS,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self.path: Path = real_path(path)
        self.fault: str = ""
        self.unwritable: int = 0
        self.unwritable_unprivileged: int = 0
        self.left_unknown: int = 0
        self._tell = tell
        self._number = number
        self._dialect = options.dialect
        self._keep_days = options.keep_days
        self._keep_bytes = options.keep_bytes
        self._limits = None if options.keep_bytes is None else limits(options.keep_bytes)
        self.batch_bytes: int = BATCH_BYTES if self._limits is None else self._limits.batch
        self._dropped = Gap()
        self._clock = clock
        self._wall_clock = wall_clock
        self._connect = connect
        self._run: Run | None = None
        self._store: Store | None = None
        self._failing_since = 0.0
        self._set_aside_at: float | None = None
        self._tend_at = clock()
        self._gaps: list[str] = []
        self._ages: Ages | None = None  # of the present run
        self._old_of_run: int | None = None  # the last id of this run that is too old
        self._agreement = Agreement()
        self._allowance: Allowance | None = None  # set while the rows of earlier runs are searched
        self._round_at = -math.inf  # start of the last search
        self._old_of_earlier: int | None = None
        self._deletions = Deletions(tell, clock)

    @property
    def run(self) -> int:
        """The number of this run in the file; 0 until the file is open."""
        return 0 if self._run is None else self._run.number

    @property
    def base(self) -> int | None:
        """The difference between the id of a row and its number; None until the file is open."""
        return None if self._run is None else self._run.base

    @property
    def losing(self) -> bool:
        """True while rows are dropped because there is no room for them."""
        return bool(self._dropped.rows)

    def keep(self, batch: Batch) -> bool:
        """Write a batch.

        :returns: True if the batch is done: rows that can't be written, or have no room, are counted in
            ``unwritable``. False if the caller must keep the batch and try again.
        """
        try:
            store = self._open()
            if not self._make_room(store):
                self._drop(store, batch)
            else:
                self._mark_gaps(store)
                if any(batch):
                    self._write(store, batch)
                    if self._ages is not None:
                        self._ages.wrote(store.last_id, self._clock())
        except Exception as error:
            return self._failed(error) and self.keep(batch)
        self._works()
        return True

    def _open(self) -> Store:
        store = self._store
        if store is not None and not store.is_in_place():
            self.close()
            store.remove_log()
            self._gaps.append("the file was removed, with all its rows")
            self._tell(logging.WARNING, "the journal %s was removed: started a new one", self.path)
        if self._store is None:
            self._store = store = self._open_store()
            for name in store.made_private:
                text = (
                    "the journal's file %s was open to other users: now its owner alone can read and write it"
                )
                self._tell(logging.WARNING, text, name)
            if store.unreadable:
                text = "the journal %s: commands that were left without an end can't be counted: %s"
                self._tell(logging.WARNING, text, self.path, store.unreadable)
            if store.run != self._run and self._keep_days is not None:
                self._ages, self._old_of_run = Ages(self._keep_days * DAY), None
            self._run, self._allowance, self._old_of_earlier = store.run, None, None
            self._tell_of_unknown(*store.left_unknown)
            self._check(store)
        return self._store

    def _open_store(self) -> Store:
        """Open the file.

        :raises sqlite3.DatabaseError: with SQLite's code for a corrupt file, also if the file has a value of
            a type or length that the bridge does not write.
        """
        try:
            return Store(
                *(self.path, self._run, self._number),
                dialect=self._dialect,
                keep_bytes=self._keep_bytes,
                connect=self._connect,
                wall_clock=self._wall_clock,
            )
        except Exception as error:
            if not is_rows_own(error) and not is_rows_fault(error):
                raise
            why = f"it has a value that the bridge does not write: {in_words(error)}"
            damage = sqlite3.DatabaseError(why)
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage from error

    def _check(self, store: Store) -> None:
        try:
            store.check()
        except sqlite3.Error as error:
            if is_corrupt(error):  # the next write reports any other fault
                raise

    def _tell_of_unknown(self, run: int, commands: int) -> None:
        if commands:
            self.left_unknown = commands
            text = (
                "commands in flight when the bridge was killed, whose outcome is unknown: %d;"
                " mtmount-journal show --journal %s --run %d --outcome unknown"
            )
            self._tell(logging.WARNING, text, commands, self.path, run)

    # The size of the file

    def _make_room(self, store: Store) -> bool:
        """Delete rows until there is room for a batch.

        :returns: True if there is room.
        """
        if self._limits is None:
            return True
        size = store.size()
        for _ in range(TRIM_STEPS):
            if size.log > self._limits.log:
                store.cut_log()
                size = store.size()
                if size.log > self._limits.log:  # a reader needs the log, and each deletion makes it longer
                    break
            if size.used <= self._limits.tables and size.file + size.log <= self._limits.most:
                break
            if not self._free_some(store, size):
                break
            size = store.size()
        else:
            return True  # `keep_bytes` was reduced: the file shrinks in steps, and no row is dropped
        return size.used + size.log <= self._limits.most - self._limits.batch

    def _free_some(self, store: Store, size: Size) -> bool:
        """Delete some rows, or return free pages to the file system.

        :returns: False if neither is possible.
        """
        excess = size.used - self._limits.tables if self._limits is not None else 0
        if excess <= 0:
            return store.give_back()
        why = f"the file was over {self._keep_bytes} bytes"
        if self._deleted(store.delete_unprivileged(), f"{why} (of clients without rights)"):
            return True
        return self._deleted(store.delete_oldest(min(excess, BATCH_BYTES) + self.batch_bytes), why)

    def _drop(self, store: Store, batch: Batch) -> None:
        if not any(batch):
            return
        size, rows = store.size(), list(chain(*batch))
        if not self._dropped.rows:
            text = (
                "the journal %s has no room within %d bytes: the rows take %d, the write-ahead log %d, which"
                " shrinks when no program reads the journal; rows are dropped and counted"
            )
            self._tell(logging.ERROR, text, self.path, self._keep_bytes, size.used, size.log)
        times = [row[1] for row in rows]
        self._dropped.add(len(rows), min(times), max(times))
        self._count_unwritable(rows)

    def note_lost(self, rows: int) -> None:
        """Count rows that an error of our own has lost, and put a ``gap`` in their place."""
        self.unwritable += rows
        self._gaps.append(f"{rows} rows are lost by an error of the journal")

    def _count_unwritable(self, rows: list[Row]) -> None:
        self.unwritable += len(rows)
        self.unwritable_unprivileged += sum(isinstance(row, Unprivileged) for row in rows)

    def _mark_gaps(self, store: Store) -> None:
        if lost := self._dropped.end():
            self._tell(logging.WARNING, "the journal %s has room again: %s", self.path, lost)
            self._gaps.append(lost)
        if self._gaps:
            now = self._wall_clock()
            rows: list[Row] = [(self._number(), now, "gap", "", 0, detail) for detail in self._gaps]
            store.write(([], [], rows))
            self._gaps.clear()

    def _write(self, store: Store, batch: Batch) -> None:
        try:
            store.write(batch)
        except Exception as error:
            if not is_rows_own(error):
                raise
            bad = store.write_each(batch)
            self._count_unwritable(bad)
            text = "the journal can't hold %d rows (%s), such as %.200r"
            self._tell(logging.ERROR, text, len(bad), error, bad[:1])

    def _failed(self, error: Exception) -> bool:
        """Set a corrupt file aside, or log a fault once.

        :returns: True if a corrupt file was set aside, and the caller can try again.
        """
        self.close()
        if is_corrupt(error) and self._may_set_aside():
            try:
                aside = set_aside(self.path, "corrupt", self._wall_clock())
            except OSError as cause:
                error = cause
            else:
                text = "the journal %s is corrupt (%s): set aside as %s, started a new one"
                self._gaps.append(f"the file was corrupt: its rows are in {aside.name}")
                self._tell(logging.ERROR, text, self.path, error, aside)
                return True
        had_fault, self.fault = self.fault, str(error) or type(error).__name__
        if not had_fault:
            self._failing_since = self._clock()
            text = "the journal %s can't be written (%s); commands still pass, and rows wait in memory"
            self._tell(logging.ERROR, text, self.path, error)
        return False

    def _may_set_aside(self) -> bool:
        now, last = self._clock(), self._set_aside_at
        if last is not None and now - last < SET_ASIDE_AT_MOST_EVERY:
            return False
        self._set_aside_at = now
        return True

    def _works(self) -> None:
        if self.fault:
            self.fault = ""
            seconds = self._clock() - self._failing_since
            self._tell(logging.WARNING, "the journal %s is written again after %.1f s", self.path, seconds)

    def tend(self) -> bool:
        """If a search is due, delete a few rows that are too old or exceed the size.

        :returns: True if there may be more to delete.
        """
        if self._store is None or self._clock() < self._tend_at:
            return False
        try:
            more = self._trim(self._store)
        except Exception as error:
            if self._failed(error):
                self.keep(([], [], []))
            more = False
        if not more:
            self._tend_at = self._clock() + TEND_EVERY
        return more

    def _trim(self, store: Store) -> bool:
        """Delete some rows that are too old, or else return free pages to the file system; see `tend`."""
        self._make_room(store)  # `keep_bytes` may have been reduced, and no row may be recorded now
        if self._trim_by_age(store):
            store.give_back()
            return True
        if store.give_back():
            return True
        self._deletions.report()
        return False

    def _trim_by_age(self, store: Store) -> bool:
        if self._keep_days is None or self._ages is None:
            return False
        now, wall = self._clock(), self._wall_clock()
        old = f"older than {self._keep_days:g} days"
        self._old_of_run = self._ages.old(now) or self._old_of_run
        if self._old_of_run is not None:
            if self._deleted(store.delete_up_to(self._old_of_run), f"{old} (this run's and earlier ones)"):
                return True
            self._old_of_run = None
        if not self._agreement.look(now, wall):
            self._allowance = self._old_of_earlier = None
            return False
        if self._allowance is None and now - self._round_at >= HOUR:
            self._round_at = now
            self._allowance = Allowance(wall - self._keep_days * DAY, wall)
        return self._trim_earlier(store, f"{old} by the clock (earlier runs)")

    def _trim_earlier(self, store: Store, why: str) -> bool:
        if self._allowance is None:
            return False
        if self._old_of_earlier is None:
            self._old_of_earlier = store.last_old(self._allowance)
        if self._old_of_earlier is not None:
            if not self._deleted(store.delete_up_to(self._old_of_earlier), why):
                self._old_of_earlier = None
            return True
        self._allowance = None  # until the next hour
        return False

    def _deleted(self, deleted: Deleted | None, why: str) -> bool:
        if deleted is not None:
            self._deletions.add(why, *deleted)
        return deleted is not None

    def close(self) -> None:
        """Close the file; `keep` opens it again."""
        store, self._store = self._store, None
        if store is not None:
            try:
                store.close()
            except sqlite3.Error as error:
                self._tell(logging.INFO, "closing the journal %s: %s", self.path, error)
        self._deletions.report(at_once=True)
