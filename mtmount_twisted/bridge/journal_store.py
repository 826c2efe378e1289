"""Batches of rows -> SQLite, and what to do when that fails. All of it runs in the journal's thread.

`Store` is one open file: it writes a batch in one transaction, or raises. `Keeper` is what never raises:
it opens the store, sets a corrupt file aside, tells the log once of a fault and once of its end, and has
the oldest rows deleted. Neither knows of the thread, the reactor or the memory in which rows wait: those
are in `journal`.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from ..journal.schema import APPLICATION_ID, COLUMNS, RUN_IDS, SCHEMA, VERSION, gap_text

Row = tuple[Any, ...]
"""A number that counts up within the run, and then the table's `COLUMNS`."""

Tell = Callable[..., None]
"""Takes a level of `logging`, a message and its arguments."""

BUSY_TIMEOUT = 2.0
"""How long another program's lock is waited for before it counts as a fault, in seconds."""

SET_ASIDE_AT_MOST_EVERY = 60.0
"""In seconds: a disk that corrupts every file must not fill up with them."""

TRIM_EVERY = 10.0
"""How often old rows are looked for, in seconds; while there are some, it goes on without a pause."""

TRIM_ROWS = 2000
"""How many rows one step deletes: few, so that no transaction is long."""

WAL_LIMIT = 16 * 2**20
"""To what the write-ahead log is cut after a burst, in bytes."""

_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

# One statement takes many rows, and one that takes more than there are is filled up with rows of NULLs,
# because each call of SQLite gives up the interpreter's lock and has to get it back: beside a reactor that
# is all busy that takes up to 5 ms each time.
_ROWS_PER_STATEMENT = (16, 64, 256)

_MOST_COLUMNS = 1 + max(map(len, COLUMNS.values()))

_LAST_ID = f"SELECT max({', '.join(f'coalesce((SELECT max(id) FROM {table}), 0)' for table in COLUMNS)})"


class NotAJournalError(Exception):
    """The file is a sound database, and not a journal that this version can write."""


Batch = tuple[list[Row], list[Row], list[Row]]
"""Rows that are written together: of each table in the order of `COLUMNS`, as they were recorded."""


class Run(NamedTuple):
    """A run of the daemon, as it stands in a file.

    :ivar number: counts up in the file.
    :ivar base: what is added to the number of a row to get its id.
    :ivar started: when (s, Unix time): tells it from another journal's run of the same number.
    """

    number: int
    base: int
    started: float


class Store:
    """One open journal file.

    :param run: the run that goes on, if one does.
    :param connect: opens a database; for tests.
    :raises sqlite3.Error: if it can't be opened, as `write` and `trim` do if they can't do their work.
    :raises OSError: if its folder can't be made.
    :raises NotAJournalError: if it is something else, or a later version's.
    """

    def __init__(
        self,
        path: Path,
        run: Run | None,
        *,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._db = connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        most = self._db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)  # 999 before 2020
        self._sizes = [size for size in _ROWS_PER_STATEMENT if size * _MOST_COLUMNS + 2 <= most]
        try:
            self._prepare()
            self.run = self._begin_run(run, wall_clock())
            self._file, self._log_file = os.stat(path), os.stat(f"{path}-wal")
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        execute = self._db.execute
        application, version = self._pragma("application_id"), self._pragma("user_version")
        is_new = self._one("SELECT count(*) FROM sqlite_master") == 0
        if not is_new and application != APPLICATION_ID:
            raise NotAJournalError("it is a database of another program")
        if version > VERSION:
            raise NotAJournalError(f"it is of version {version}, this program writes version {VERSION}")
        if is_new:
            execute("PRAGMA auto_vacuum = INCREMENTAL")  # can't be chosen once there is a table
        execute("PRAGMA journal_mode = WAL").fetchall()
        execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing that was committed
        execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}").fetchall()
        if is_new:
            self._in_transaction(lambda: [execute(statement) for statement in SCHEMA])

    def _begin_run(self, run: Run | None, now: float) -> Run:
        """The run that goes on if the file has it, or has none yet; else one that begins."""

        def begin() -> None:
            nonlocal run
            if run is not None and self._has(run):
                return
            last = self._one("SELECT max(run) FROM run")
            if run is None or last:
                run = Run(last + 1, max(self._one(_LAST_ID), last * RUN_IDS), now)
            values = (run.number, run.started, os.getpid(), _version())
            self._db.execute("INSERT INTO run VALUES (?, ?, ?, ?)", values)

        self._in_transaction(begin)
        assert run is not None
        return run

    def _has(self, run: Run) -> bool:
        sql = "SELECT 1 FROM run WHERE run = ? AND started = ?"
        return self._db.execute(sql, (run.number, run.started)).fetchone() is not None

    def _one(self, sql: str) -> int:
        (value,) = self._db.execute(sql).fetchone()
        return int(value or 0)

    def _pragma(self, name: str) -> int:
        return self._one(f"PRAGMA {name}")

    def _in_transaction(self, work: Callable[[], object]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            work()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # after some errors SQLite itself has rolled back
                self._db.execute("ROLLBACK")
            raise

    def write(self, batch: Batch) -> None:
        """Write all rows of a batch, or none.

        Their ids are their numbers and the run's base: sorting by id tells what came first in a run.
        """

        def insert() -> None:
            for table, rows in zip(COLUMNS, batch):
                self._insert(table, rows)

        self._in_transaction(insert)

    def write_each(self, batch: Batch) -> list[Row]:
        """Write the rows of a batch that can be written.

        :returns: those that never can be, because of what they hold; an event ``gap`` stands in the
            place of the first of them.
        """
        bad: list[Row] = []

        def insert() -> None:
            for table, rows in zip(COLUMNS, batch):
                for row in rows:
                    try:
                        self._insert(table, [row])
                    except Exception as error:
                        if not is_rows_own(error):
                            raise
                        bad.append(row)
            if bad:
                bad.sort(key=itemgetter(0))
                (number, start), end = bad[0][:2], bad[-1][1]
                self._insert("event", [(number, start, "gap", "", 0, gap_text(len(bad), start, end))])

        self._in_transaction(insert)
        return bad

    def _insert(self, table: str, rows: Sequence[Row]) -> None:
        for start, size in _chunks(len(rows), self._sizes):
            chunk = rows[start : start + size]
            values = chain(*chunk, repeat(None, (size - len(chunk)) * (len(COLUMNS[table]) + 1)))
            self._db.execute(_INSERT[table, size], (self.run.base, self.run.number, *values))

    def is_in_place(self) -> bool:
        """False once the file was removed or replaced: SQLite would go on writing into nowhere."""
        return _is(self.path, self._file)

    def remove_log(self) -> None:
        """Once it is closed and not in place: remove its write-ahead log, which SQLite would take for that
        of the file which is in its place now."""
        if _is(f"{self.path}-wal", self._log_file):
            for end in ("-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)

    def trim(self, oldest: float | None, most_bytes: int | None) -> bool:
        """Delete some of the oldest rows if they are too old or the file is too large.

        :param oldest: rows before this time go (s, Unix time); None keeps all.
        :param most_bytes: how large the tables may be; None for as large as they get.
        :returns: True if there may be more to delete.
        """
        too_old = oldest is not None and self._delete_before(oldest)
        too_large = most_bytes is not None and self._size() > most_bytes and self._delete_first()
        if too_old or too_large:
            # A script, because `execute` takes one step of it, and a step gives back one page.
            self._db.executescript(f"PRAGMA incremental_vacuum({TRIM_ROWS})")
        return too_old or too_large

    def _size(self) -> int:
        pages = self._pragma("page_count") - self._pragma("freelist_count")
        return pages * self._pragma("page_size")

    def _delete_before(self, oldest: float) -> bool:
        deleted = 0
        for table in COLUMNS:
            sql = f"SELECT id FROM {table} WHERE time < ? ORDER BY time LIMIT {TRIM_ROWS}"
            deleted += self._db.execute(f"DELETE FROM {table} WHERE id IN ({sql})", (oldest,)).rowcount
        return deleted > 0

    def _delete_first(self) -> bool:
        ids = [self._db.execute(f"SELECT min(id) FROM {table}").fetchone()[0] for table in COLUMNS]
        first = min((number for number in ids if number is not None), default=None)
        if first is None:
            return False
        for table in COLUMNS:
            self._db.execute(f"DELETE FROM {table} WHERE id < ?", (first + TRIM_ROWS,))
        return True

    def close(self) -> None:
        """Close the file; the last one that has it open folds its write-ahead log into it."""
        self._db.close()


def _is(path: str | Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), file)
    except OSError:
        return False


def _version() -> str:
    try:
        return importlib.metadata.version("mtmount_twisted")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _insert_sql(table: str, size: int) -> str:
    columns = COLUMNS[table]
    names = ", ".join(f"column{number}" for number in range(2, len(columns) + 2))
    row = f"({', '.join('?' * (len(columns) + 1))})"
    return (
        f"WITH here (base, run) AS (VALUES (?, ?)) INSERT INTO {table} (id, run, {', '.join(columns)}) "
        f"SELECT base + column1, run, {names} FROM here, (VALUES {', '.join([row] * size)}) "
        "WHERE column1 IS NOT NULL"
    )


def _chunks(rows: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where each statement begins, and how many rows it takes: few statements, and the last no larger
    than it needs to be."""
    start = 0
    while start < rows:
        size = next((size for size in sizes if size >= rows - start), sizes[-1])
        yield start, size
        start += size


_INSERT = {(table, size): _insert_sql(table, size) for table in COLUMNS for size in _ROWS_PER_STATEMENT}


def set_aside(path: Path, word: str, now: float) -> Path:
    """Rename a journal and its write-ahead log, and say what it is called now."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    name = f"{path.stem}.{word}-{stamp}"
    aside = path.with_name(f"{name}{path.suffix}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{name}-{number}{path.suffix}")
    for end in ("", "-wal", "-shm"):
        old = Path(f"{path}{end}")
        if old.exists():
            old.rename(f"{aside}{end}")
    return aside


def is_corrupt(error: Exception) -> bool:
    """True if SQLite found that what the file holds is not what it wrote there."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _CORRUPT


def is_rows_own(error: Exception) -> bool:
    """True if a value is at fault and the file is not: the same row would fail for ever."""
    own = (sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.IntegrityError)
    return isinstance(error, (*own, ArithmeticError, TypeError, ValueError))


class Keeper:
    """Keeps rows in a journal through every fault of the disk and of the file.

    :param path: the file.
    :param tell: takes what is to be logged; called in the thread that calls `keep`.
    :param keep_days: rows that are older are deleted; None keeps them.
    :param keep_bytes: if the file is larger, the oldest rows are deleted; None for no limit.
    :param clock: seconds, monotonic.
    :param wall_clock: seconds, Unix time.
    :param connect: opens a database; for tests.
    """

    def __init__(
        self,
        path: Path,
        tell: Tell,
        *,
        keep_days: float | None = None,
        keep_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self.path = path
        self.fault = ""
        self.unwritable = 0
        self._tell = tell
        self._keep_days = keep_days
        self._keep_bytes = keep_bytes
        self._clock = clock
        self._wall_clock = wall_clock
        self._connect = connect
        self._run: Run | None = None
        self._store: Store | None = None
        self._failing_since = 0.0
        self._set_aside_at: float | None = None
        self._trim_at = clock()

    @property
    def run(self) -> int:
        """The number of this run in the file; 0 until the file is open."""
        return 0 if self._run is None else self._run.number

    @property
    def base(self) -> int | None:
        """What is added to a row's number to get its id; None until the file is open."""
        return None if self._run is None else self._run.base

    def keep(self, batch: Batch) -> bool:
        """Write a batch.

        :returns: True if it is written, but for those rows that never can be: they are counted in
            ``unwritable``. False if the caller has to keep it and try again.
        """
        try:
            self._open()
            if any(batch):
                self._write(batch)
        except Exception as error:
            return self._failed(error) and self.keep(batch)
        self._works()
        return True

    def _open(self) -> Store:
        store = self._store
        if store is not None and not store.is_in_place():
            self.close()
            store.remove_log()
            self._tell(logging.WARNING, "the journal %s was removed: a fresh one is begun", self.path)
        if self._store is None:
            self._store = Store(self.path, self._run, connect=self._connect, wall_clock=self._wall_clock)
            self._run = self._store.run
        return self._store

    def _write(self, batch: Batch) -> None:
        store = self._open()
        try:
            store.write(batch)
        except Exception as error:
            if not is_rows_own(error):
                raise
            bad = store.write_each(batch)
            self.unwritable += len(bad)
            text = "the journal can't hold %d rows (%s), such as %.200r"
            self._tell(logging.ERROR, text, len(bad), error, bad[:1])

    def _failed(self, error: Exception) -> bool:
        """Tell once of a fault; True if its cause was put out of the way, and it is worth another try."""
        self.close()
        if is_corrupt(error) and self._may_set_aside():
            try:
                aside = set_aside(self.path, "corrupt", self._wall_clock())
            except OSError as cause:
                error = cause
            else:
                text = "the journal %s is corrupt (%s): set aside as %s, a fresh one is begun"
                self._tell(logging.ERROR, text, self.path, error, aside)
                return True
        if not self.fault:
            self._failing_since = self._clock()
            text = "the journal %s can't be written (%s); commanding goes on, and rows wait in memory"
            self._tell(logging.ERROR, text, self.path, error)
        self.fault = str(error) or type(error).__name__
        return False

    def _may_set_aside(self) -> bool:
        now, last = self._clock(), self._set_aside_at
        if last is not None and now - last < SET_ASIDE_AT_MOST_EVERY:
            return False
        self._set_aside_at = now
        return True

    def _works(self) -> None:
        if self.fault:
            seconds = self._clock() - self._failing_since
            self._tell(logging.WARNING, "the journal %s is written again after %.1f s", self.path, seconds)
            self.fault = ""

    def trim(self) -> bool:
        """Delete a few rows that are too old or too many, if it is time to look for them.

        :returns: True if there may be more.
        """
        if self._store is None or self._clock() < self._trim_at:
            return False
        oldest = None if self._keep_days is None else self._wall_clock() - self._keep_days * 86400
        try:
            more = self._store.trim(oldest, self._keep_bytes)
        except Exception as error:
            self._failed(error)
            more = False
        if not more:
            self._trim_at = self._clock() + TRIM_EVERY
        return more

    def close(self) -> None:
        """Close the file; `keep` opens it again."""
        store, self._store = self._store, None
        if store is not None:
            try:
                store.close()
            except sqlite3.Error as error:
                self._tell(logging.INFO, "closing the journal %s: %s", self.path, error)
