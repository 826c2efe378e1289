"""`Store`: one open file of the journal. It runs in the journal's thread, and blocks. A `Store` writes each
batch of rows in one transaction, or raises. `writer` handles its errors, and `journal.schema` defines the
tables. Next to read: `checking`, the checks of a file before it is used.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mtmount_twisted.dialects.dialect import DialectName, dialect_named
from mtmount_twisted.errors import JournalError, NotAJournalError
from mtmount_twisted.version import __version__

from .checking import LAST_ID, SIDES, faulty_row, is_rows_fault, restrict, side_problem, unfit, unusable
from .retention import Allowance
from .run_dialects import RunDialects
from .schema import (
    ADDED,
    CODE_NAME_TABLE,
    COLUMNS,
    FIRST_AND_LAST_ID,
    MIGRATIONS,
    RUN_DIALECT_TABLE,
    RUN_IDS,
    SCHEMA,
    SPAN_IDS,
    UNNAMED,
    UNPRIVILEGED_TABLE,
    VERSION,
    Batch,
    Gap,
    Row,
    Unprivileged,
    code_names,
    is_end_sql,
    real_path,
    views,
)

BUSY_TIMEOUT = 2.0
"""The longest wait for the lock of another program, in seconds; after it the lock counts as a fault."""

VACUUM_PAGES = 2000
"""The largest number of pages that one call of `Store.give_back` returns to the file system."""

BATCH_BYTES = 4 * 2**20
"""The approximate size of the largest transaction, in bytes; smaller if `keep_bytes` is small."""

FILE_PER_ROW = 100
"""The approximate size of a row in the file without its text, in bytes."""

TRIMMED_ROWS = 500
"""The largest number of unprivileged rows that are deleted in one transaction."""

MOST_BYTES = 16 * 2**20
"""The longest value that SQLite reads or writes, in bytes; it refuses a longer one."""

CHECKED_SPANS = 16
"""The number of spans that `Store.check` reads: about 3 MB."""

LOOK_BACK = 1_000_000
"""The number of last ids in which a start searches for commands without an end, in about 0.3 s."""

WAL_LIMIT = 16 * 2**20
"""The size to which SQLite truncates the write-ahead log after a burst, in bytes; less if `keep_bytes` is
small."""

MOST_LOG = 64 * 2**20
"""The largest write-ahead log while a reader prevents its truncation, in bytes."""

# Each call of SQLite releases the interpreter's lock and acquires it again, which takes up to 5 ms while the
# reactor is busy. Therefore one statement inserts many rows. A statement with more places than rows is filled
# with rows of NULLs, which it ignores.
_ROWS_PER_STATEMENT = (16, 64, 256)

_WIDTHS = {table: 1 + len(columns) for table, columns in COLUMNS.items()}

_NOTE = """INSERT INTO span VALUES (?, ?, ?, ?) ON CONFLICT (span) DO UPDATE SET
    rows = rows + excluded.rows, low = min(low, excluded.low), high = max(high, excluded.high)"""


T = TypeVar("T")


class Run(NamedTuple):
    """A run of the daemon in one file.

    :ivar number: the number of the run, counted from 1 in each file.
    :ivar base: the difference between the id of a row and its number.
    :ivar started: the start (s, Unix time). It distinguishes runs of the same number in different files.
    """

    number: int
    base: int
    started: float


class Limits(NamedTuple):
    """The parts of `keep_bytes`, in bytes.

    :ivar most: the largest sum of the file and its write-ahead log.
    :ivar tables: the largest size of the rows; beyond it, the oldest rows are deleted.
    :ivar log: the size of the write-ahead log at which it is truncated.
    :ivar batch: the largest transaction.
    """

    most: int
    tables: int
    log: int
    batch: int


def limits(keep_bytes: int) -> Limits:
    """Divide `keep_bytes` among the rows, the write-ahead log and a batch."""
    batch, log = min(BATCH_BYTES, keep_bytes // 16), min(MOST_LOG, keep_bytes // 8)
    return Limits(keep_bytes, keep_bytes - log - 2 * batch, log, batch)


class Size(NamedTuple):
    """The size of a journal on the disk, in bytes.

    :ivar used: the size of the rows.
    :ivar file: the size of the file, including free pages.
    :ivar log: the size of the write-ahead log.
    """

    used: int
    file: int
    log: int


class Deleted(NamedTuple):
    """The number of deleted rows, and the earliest and latest of their stamps (s, Unix time)."""

    rows: int
    low: float
    high: float


class Store:
    """One open journal file. All methods raise `sqlite3.Error` if they fail.

    :param run: the present run, if it has begun in this file or another one; None at the start of the daemon.
    :param number: returns the number of the next row; for rows that the `Store` itself adds.
    :param dialect: the name of the run's dialect.
    :param keep_bytes: the largest size of the file and its write-ahead log, in bytes; None for no limit.
    :param connect: opens a database; for tests.
    :param wall_clock: returns Unix time, in seconds.
    :ivar run: the present run, as it is in this file.
    :ivar made_private: the files that other users could read or write, each with its previous mode.
    :ivar last_id: the highest id written by this object; 0 before the first row.
    :ivar unreadable: the reason why commands without an end can't be counted; empty if they are counted.
    :ivar left_unknown: the number of the previous run, and the number of commands that it sent and left
        without an end; both 0 if this run has not begun here.
    :raises sqlite3.Error: if the file can't be opened.
    :raises OSError: if its folder can't be created.
    :raises NotAJournalError: if the file is not a journal, or is of a later version.
    """

    run: Run

    def __init__(
        self,
        path: Path,
        run: Run | None,
        number: Callable[[], int],
        *,
        dialect: DialectName = UNNAMED,
        keep_bytes: int | None = None,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        path = real_path(path)
        self.path: Path = path
        self._dialect = dialect
        self.left_unknown: tuple[int, int] = 0, 0
        self.unreadable: str = ""
        self.last_id: int = 0
        self._log_limit = WAL_LIMIT if keep_bytes is None else min(WAL_LIMIT, limits(keep_bytes).log // 2)
        _make_folders(path.parent)
        self.made_private: list[str] = _make_private(path)
        self._db = connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        most = self._db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)  # 999 before 2020
        self._sizes = [size for size in _ROWS_PER_STATEMENT if size * max(_WIDTHS.values()) <= most]
        try:
            self._prepare()
            self._in_transaction(lambda: self._begin_run(run, number, wall_clock()))
            self._file, self._log_file = os.stat(path), os.stat(f"{path}-wal")
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        execute = self._db.execute
        restrict(self._db, MOST_BYTES)
        application, version = self._pragma("application_id"), self._pragma("user_version")
        objects = execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        is_new = not objects
        if wrong := unusable(application, version, objects):
            raise NotAJournalError(wrong)
        if is_new:
            execute("PRAGMA auto_vacuum = INCREMENTAL")  # can't be chosen once there is a table
        execute("PRAGMA journal_mode = WAL").fetchall()
        execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing that was committed
        # The default of some systems overwrites deleted rows, which doubles the log.
        execute("PRAGMA secure_delete = FAST").fetchall()
        execute(f"PRAGMA journal_size_limit = {self._log_limit}").fetchall()
        pages = min(1000, self._log_limit // self._pragma("page_size"))  # 1000 is SQLite's own choice
        execute(f"PRAGMA wal_autocheckpoint = {pages}").fetchall()
        steps: list[tuple[str, ...]] = (
            [SCHEMA] if is_new else [MIGRATIONS[each] for each in range(version, VERSION)]
        )
        there = {name for (name,) in execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        steps += [(making,) for table, making in ADDED.items() if table not in there]
        if steps:
            self._in_transaction(lambda: [execute(statement) for statement in chain(*steps)])

    def _begin_run(self, run: Run | None, number: Callable[[], int], now: float) -> None:
        """Continue the run if the file has it or has no run yet. Otherwise begin a new run in the file."""
        last = self._one("SELECT max(run) FROM run")
        begins = run is None or (bool(last) and not self._has(run))
        if run is None or begins:
            _, last_id = self._db.execute(FIRST_AND_LAST_ID).fetchone()
            run = Run(last + 1, max(last_id, last * RUN_IDS), now)
            if not 0 <= run.base <= LAST_ID - RUN_IDS:
                text = f"there are no ids left after its run {last} and its row {last_id}"
                raise NotAJournalError(f"{text}: move it away, and a new one is started")
        self.run = run
        self._statements = {
            (table, size): _insert_sql(table, size, run) for table in COLUMNS for size in self._sizes
        }
        if begins or not last:
            values = (run.number, run.started, os.getpid(), __version__)
            self._db.execute("INSERT INTO run VALUES (?, ?, ?, ?)", values)
            sql = f"INSERT OR REPLACE INTO {RUN_DIALECT_TABLE} VALUES (?, ?)"
            self._db.execute(sql, (run.number, self._dialect))
            self._name_codes()
            self._renew_views()
        # The bridge never writes a span out of this range, in which SQLite can't compute ids.
        self._db.execute(f"DELETE FROM span WHERE span < 0 OR span >= {LAST_ID // SPAN_IDS}")
        if begins and last:
            self._report_unknown(last, number, now)

    def _name_codes(self) -> None:
        """Write the names of the codes of the run's dialect, in place of those that the file has.

        Their rows are not read: a hostile file has values of any type and length there.
        """
        names = code_names(dialect_named(self._dialect))
        self._db.execute(f"DELETE FROM {CODE_NAME_TABLE} WHERE dialect = ?", (self._dialect,))
        self._db.executemany(f"INSERT INTO {CODE_NAME_TABLE} VALUES (?, ?, ?, ?)", names)

    def _renew_views(self) -> None:
        """Make the views that the file lacks, and make anew the views that lack the dialect of a run."""
        for name, making in views(RunDialects(self._db).named()).items():
            sql = "SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE"
            found = self._db.execute(sql, (name,)).fetchone()
            if found is not None and found != ("view", making):
                if found[0] != "view":  # a user's table or index, which must stay
                    continue
                self._db.execute(f"DROP VIEW {name}")
                found = None
            if found is None:
                self._db.execute(making)

    def _has(self, run: Run) -> bool:
        sql = "SELECT 1 FROM run WHERE run = ? AND started = ?"
        return self._db.execute(sql, (run.number, run.started)).fetchone() is not None

    def _report_unknown(self, run: int, number: Callable[[], int], now: float) -> None:
        try:
            ends = is_end_sql([RunDialects(self._db).of(run)])
            sql = f"""SELECT count(*) FROM (SELECT 1 FROM step e
                WHERE e.id > (SELECT max(id) FROM step) - {LOOK_BACK} AND +e.run = ? AND e.key <> 0
                GROUP BY e.key HAVING sum(e.step = 'sent') AND NOT sum({ends}))"""
            (unknown,) = self._db.execute(sql, (run,)).fetchone()
        except JournalError as error:
            self.unreadable = str(error)
            return
        except sqlite3.Error as error:
            if not is_rows_fault(error):
                raise
            row = faulty_row(
                self._db, "step", max(0, self._one("SELECT max(id) FROM step") - LOOK_BACK), LAST_ID
            )
            self.unreadable = f"row {row} of step: {error}"
            return
        if unknown:
            self.left_unknown = run, unknown
            detail = f"{unknown} commands of run {run} were sent and have no end"
            self._insert(([], [], [(number(), now, "unknown", "", 0, detail)]))

    def _one(self, sql: str) -> int:
        (value,) = self._db.execute(sql).fetchone()
        return int(value or 0)

    def _pragma(self, name: str) -> int:
        return self._one(f"PRAGMA {name}")

    def _in_transaction(self, work: Callable[[], T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            done = work()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # after some errors SQLite itself has rolled back
                self._db.execute("ROLLBACK")
            raise
        return done

    def write(self, batch: Batch) -> None:
        """Write all rows of a batch, or none.

        The id of a row is the sum of its number and the run's base, so that ids sort the rows of a run by
        time.
        """
        self._in_transaction(lambda: self._insert(batch))

    def write_each(self, batch: Batch) -> list[Row]:
        """Write the rows of a batch that can be written.

        :returns: the rows that can't be written because of their content. An event ``gap`` takes the place of
            the first such row.
        """
        bad: list[Row] = []

        def insert() -> None:
            for place, rows in enumerate(batch):
                for row in rows:
                    alone: Batch = ([], [], [])
                    alone[place].append(row)
                    try:
                        self._insert(alone)
                    except Exception as error:
                        if not is_rows_own(error):
                            raise
                        bad.append(row)
            if bad:
                bad.sort(key=itemgetter(0))
                (number, start), end = bad[0][:2], bad[-1][1]
                gap = Gap()
                gap.add(len(bad), start, end)
                self._insert(([], [], [(number, start, "gap", "", 0, gap.end())]))

        self._in_transaction(insert)
        return bad

    def _insert(self, batch: Batch) -> None:
        for table, rows in zip(COLUMNS, batch):
            self._insert_into(table, rows)
        marks = [f"({row[0] + self.run.base})" for row in chain(*batch) if isinstance(row, Unprivileged)]
        for start in range(0, len(marks), TRIMMED_ROWS):
            values = ", ".join(marks[start : start + TRIMMED_ROWS])
            self._db.execute(f"INSERT OR IGNORE INTO {UNPRIVILEGED_TABLE} VALUES {values}")
        ids = [self.run.base + rows[end][0] for rows in batch if rows for end in (0, -1)]
        times = list(map(itemgetter(1), chain(*batch)))
        low, high = min(times), max(times)
        self.last_id = max(self.last_id, *ids)
        for span in range(min(ids) // SPAN_IDS, max(ids) // SPAN_IDS + 1):
            start, end = (number - self.run.base for number in _ids(span))
            count = sum(
                bisect_left(rows, end, key=itemgetter(0)) - bisect_left(rows, start, key=itemgetter(0))
                for rows in batch
            )
            self._db.execute(_NOTE, (span, count, low, high))

    def _insert_into(self, table: str, rows: Sequence[Row]) -> None:
        width = _WIDTHS[table]
        for start, size in _chunks(len(rows), self._sizes):
            chunk = rows[start : start + size]
            values: list[Any] = list(chain.from_iterable(chunk))
            if table == "message":  # `sqlite3` binds a `bytearray` faster than `bytes`
                values[width - 1 :: width] = map(bytearray, values[width - 1 :: width])
            values += [None] * ((size - len(chunk)) * width)
            written = self._db.execute(self._statements[table, size], values).rowcount
            if written != len(chunk):
                raise sqlite3.IntegrityError(f"{len(chunk) - written} rows of {table} were not taken")

    def is_in_place(self) -> bool:
        """Return False once the file is removed or replaced; SQLite would still write to the removed file."""
        return _is(self.path, self._file)

    def remove_log(self) -> None:
        """Remove the write-ahead log of a closed file that is no longer in place.

        SQLite would otherwise apply the log to the file that has replaced it.
        """
        if _is(f"{self.path}-wal", self._log_file):
            for end in ("-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)

    def check(self) -> None:
        """Compare the numbers of the last rows with the table ``span``. If they differ, check the whole file.

        The numbers also differ after a user has deleted rows by hand, which is no damage.

        :raises sqlite3.DatabaseError: with SQLite's code for a corrupt file, or another code if the check
            itself fails.
        """
        sql = f"SELECT span, rows FROM span ORDER BY span DESC LIMIT {CHECKED_SPANS}"
        spans = self._db.execute(sql).fetchall()
        if all(_count(self._db, span) == rows for span, rows in spans):
            return
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            error = sqlite3.DatabaseError(found.splitlines()[-1])  # the first line names the database
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    def last_old(self, allowance: Allowance) -> int | None:
        """Return the last id of earlier runs that may be deleted now, in the first span that has one; else
        None."""
        low, high = allowance.credible
        sql = "SELECT span FROM span WHERE span <= ? AND high >= ? AND low <= ? ORDER BY span"
        with contextlib.closing(self._db.execute(sql, (self.run.base // SPAN_IDS, low, high))) as spans:
            for (span,) in spans:
                found, at_end = allowance.last_old(self._stamps(span))
                if found is not None or at_end:
                    return found
        return None

    def _stamps(self, span: int) -> list[tuple[int, float]]:
        """Return the ids and times of a span's rows of earlier runs, in the order of ids."""
        start, end = _ids(span)
        rows = []
        for table in COLUMNS:
            sql = f"SELECT id, time FROM {table} WHERE id >= ? AND id < ? AND typeof(time) = 'real'"
            rows += self._db.execute(sql, (start, min(end, self.run.base + 1))).fetchall()
        return sorted(rows)

    def delete_up_to(self, last: int) -> Deleted | None:
        """Delete the rows of the file's first span up to this id; return None if there are none."""
        found = self._db.execute("SELECT min(span) FROM span WHERE span <= ?", (last // SPAN_IDS,)).fetchone()
        return None if found[0] is None else self._delete(found[0], last)

    # The size of the file

    def size(self) -> Size:
        """Return the present size on the disk."""
        page, pages = self._pragma("page_size"), self._pragma("page_count")
        try:
            log = os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            log = 0
        return Size((pages - self._pragma("freelist_count")) * page, pages * page, log)

    def cut_log(self) -> None:
        """Move the content of the write-ahead log to the file, unless a reader needs the log."""
        self._db.execute("PRAGMA busy_timeout = 0").fetchall()  # do not wait for a reader
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}").fetchall()

    def delete_unprivileged(self) -> Deleted | None:
        """Delete the oldest unprivileged rows; return None if there are none."""
        while True:
            first = f"SELECT id FROM {UNPRIVILEGED_TABLE} ORDER BY id LIMIT {TRIMMED_ROWS}"
            (last,) = self._db.execute(f"SELECT max(id) FROM ({first})").fetchone()
            if last is None:
                return None
            deleted = self._in_transaction(partial(self._delete_marked, last))
            if deleted.rows:  # 0 if an earlier version of this program has deleted the rows
                return deleted

    def _delete_marked(self, last: int) -> Deleted:
        execute, rows, times = self._db.execute, 0, []
        marked = f"SELECT id FROM {UNPRIVILEGED_TABLE} WHERE id <= ?1"
        for table in COLUMNS:
            stamps = f"SELECT min(time), max(time) FROM {table} WHERE id IN ({marked})"
            times += execute(f"{stamps} AND typeof(time) = 'real'", (last,)).fetchone()
            ids = f"id >= span * {SPAN_IDS} AND id < (span + 1) * {SPAN_IDS}"
            in_span = f"SELECT count(*) FROM {table} WHERE id IN ({marked}) AND {ids}"
            spans = f"SELECT id / {SPAN_IDS} FROM ({marked})"
            execute(f"UPDATE span SET rows = rows - ({in_span}) WHERE span IN ({spans})", (last,))
            rows += execute(f"DELETE FROM {table} WHERE id IN ({marked})", (last,)).rowcount
        execute("DELETE FROM span WHERE rows <= 0")
        execute(f"DELETE FROM {UNPRIVILEGED_TABLE} WHERE id <= ?", (last,))
        return Deleted(rows, min(_known(times), default=0.0), max(_known(times), default=0.0))

    def delete_oldest(self, most_bytes: int) -> Deleted | None:
        """Delete the oldest rows, about `most_bytes` of one span; return None if there are none."""
        while True:
            (span,) = self._db.execute("SELECT min(span) FROM span").fetchone()
            if span is None:
                return None
            deleted = self._delete(span, self._last_within(span, most_bytes))
            if deleted is not None:
                return deleted

    def _last_within(self, span: int, most_bytes: int) -> int:
        """Return the id up to which the rows of a span have about `most_bytes`."""
        start, end = _ids(span)
        selects = [
            f"SELECT id, length({columns[-1]}) FROM {table} WHERE id >= {start} AND id < {end}"
            for table, columns in COLUMNS.items()
        ]
        size = 0
        with contextlib.closing(self._db.execute(f"{' UNION ALL '.join(selects)} ORDER BY 1")) as rows:
            for number, length in rows:
                size += length + FILE_PER_ROW
                if size >= most_bytes:
                    return int(number)
        return end

    def give_back(self) -> bool:
        """Return some free pages to the file system.

        :returns: True if there may be more.
        """
        before = self._pragma("freelist_count")
        if before:
            pages = min(VACUUM_PAGES, max(1, self._log_limit // self._pragma("page_size") // 2))
            # `execute` runs only one step of the pragma, which frees one page; a script runs all steps.
            self._db.executescript(f"PRAGMA incremental_vacuum({pages})")
        return 0 < self._pragma("freelist_count") < before

    # Deletion

    def _delete(self, span: int, last: int) -> Deleted | None:
        """Delete a span's rows up to an id; return None if there are none."""
        deleted = self._in_transaction(partial(self._delete_in, span, last))
        return deleted if deleted.rows else None

    def _delete_in(self, span: int, last: int) -> Deleted:
        (start, end), rows, times, lows = _ids(span), 0, [], []
        stamps = "SELECT min(time), max(time) FROM {} WHERE id >= ? AND id < ? AND typeof(time) = 'real'"
        for table in COLUMNS:
            among = (start, min(end, last + 1))
            times += self._db.execute(stamps.format(table), among).fetchone()
            rows += self._db.execute(f"DELETE FROM {table} WHERE id >= ? AND id < ?", among).rowcount
            lows += self._db.execute(stamps.format(table), (start, end)).fetchone()
        self._db.execute(f"DELETE FROM {UNPRIVILEGED_TABLE} WHERE id >= ? AND id < ?", among)
        if left := _count(self._db, span):
            values = (left, min(_known(lows), default=None), span)
            self._db.execute("UPDATE span SET rows = ?, low = coalesce(?, low) WHERE span = ?", values)
        else:
            self._db.execute("DELETE FROM span WHERE span = ?", (span,))
        return Deleted(rows, min(_known(times), default=0.0), max(_known(times), default=0.0))

    def close(self) -> None:
        """Close the file. SQLite moves the write-ahead log to the file when the last program closes it."""
        self._db.close()


def _ids(span: int) -> tuple[int, int]:
    return span * SPAN_IDS, (span + 1) * SPAN_IDS


def _known(times: Iterable[float | None]) -> list[float]:
    return [time for time in times if time is not None]


def _count(db: sqlite3.Connection, span: int) -> int:
    """Return the number of rows in a span."""
    # The sum makes SQLite read each row, and so find damage.
    sql = "SELECT count(*), sum(length({0})) FROM {1} WHERE id >= ? AND id < ?"
    found = [
        db.execute(sql.format(columns[-1], table), _ids(span)).fetchone()
        for table, columns in COLUMNS.items()
    ]
    return sum(count for count, _ in found)


def _make_folders(folder: Path) -> None:
    """Create a folder and its parents with mode 0700, regardless of the umask."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        with contextlib.suppress(FileExistsError):  # another process made it; SQLite reports a file
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)


def _make_private(path: Path) -> list[str]:
    """Create the file if it is missing, and restrict it to its owner, because it records all commands.

    SQLite gives the files beside it the same mode. If the file can't be created, SQLite reports the reason.
    An existing file is not opened, because to close it would release this process's locks on it
    (``fcntl(2)``).

    :returns: the files that other users could read or write, each with its previous mode.
    :raises NotAJournalError: if the file, or a file beside it, is not a regular file, or belongs to another
        user: that user could change it.
    """
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.fchmod(file, 0o600)  # a umask can take the owner's own rights
        os.close(file)
    if why := side_problem(path):
        raise NotAJournalError(why)
    changed = []
    for name in (f"{path}{end}" for end in ("", *SIDES)):
        try:
            found = os.stat(name)
        except OSError:
            continue
        if why := unfit(found, os.geteuid()):
            raise NotAJournalError(why if name == str(path) else f"{name}: {why}")
        mode = stat.S_IMODE(found.st_mode)
        if mode & ~0o600:
            os.chmod(name, mode & 0o600)
            changed.append(f"{name} ({mode:04o})")
    return changed


def _is(path: str | Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), file)
    except OSError:
        return False


def _insert_sql(table: str, size: int, run: Run) -> str:
    columns = COLUMNS[table]
    row = f"(? + {run.base}, {run.number}{', ?' * len(columns)})"
    return f"INSERT OR IGNORE INTO {table} (id, run, {', '.join(columns)}) VALUES {', '.join([row] * size)}"


def _chunks(rows: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first row and the size of each statement, for the fewest statements and a short last one."""
    start = 0
    while start < rows:
        size = next((size for size in sizes if size >= rows - start), sizes[-1])
        yield start, size
        start += size


def is_rows_own(error: Exception) -> bool:
    """Return True if the error is caused by a value of the row, not by the file; a retry would fail again."""
    own = (sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.IntegrityError)
    return isinstance(error, (*own, ArithmeticError, TypeError, ValueError))
