"""One open file of the journal: batches of rows -> SQLite. All of it runs in the journal's thread.

`Store` writes a batch in one transaction, or raises. What is done about that is in `writer`; what is
in the file, in `journal.schema`.
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

from mtmount_twisted.errors import NotAJournalError
from mtmount_twisted.version import __version__

from .checking import LAST_ID, SIDES, faulty_row, is_rows_fault, restrict, side_problem, unfit, wrong_objects
from .retention import Allowance
from .schema import (
    APPLICATION_ID,
    COLUMNS,
    FIRST_AND_LAST_ID,
    IS_END,
    MIGRATIONS,
    RUN_IDS,
    SCHEMA,
    SPAN_IDS,
    UNPRIVILEGED,
    UNPRIVILEGED_TABLE,
    VERSION,
    Batch,
    Gap,
    Row,
    Unprivileged,
    real_path,
)

BUSY_TIMEOUT = 2.0
"""How long another program's lock is waited for before it counts as a fault, in seconds."""

VACUUM_PAGES = 2000
"""The most pages that one `Store.give_back` gives back to the system."""

BATCH_BYTES = 4 * 2**20
"""The most bytes of rows that are written in one transaction, about; less if little is kept."""

FILE_PER_ROW = 100
"""What a row takes in the file besides its text, in bytes, about."""

TRIMMED_ROWS = 500
"""How many rows that clients without rights brought about are deleted in one transaction."""

MOST_BYTES = 16 * 2**20
"""The longest value that is read or written: SQLite refuses a longer one, and does not read it."""

CHECKED_SPANS = 16
"""How many spans `Store.check` reads: some 3 MB."""

LOOK_BACK = 1_000_000
"""Among how many of the last ids commands without an end are looked for at a start: that takes some 0.3 s."""

WAL_LIMIT = 16 * 2**20
"""To what the write-ahead log is cut after a burst, in bytes, and to less if little is kept: see `Limits`."""

MOST_LOG = 64 * 2**20
"""How long the write-ahead log may get while a reader keeps it from being cut, in bytes, at most."""

# One statement takes many rows, and one that takes more than there are is filled up with rows of NULLs,
# which it ignores, because each call of SQLite gives up the interpreter's lock and has to get it back: beside
# a reactor that is all busy that takes up to 5 ms each time.
_ROWS_PER_STATEMENT = (16, 64, 256)

_WIDTHS = {table: 1 + len(columns) for table, columns in COLUMNS.items()}

_UNKNOWN = f"""SELECT count(*) FROM (SELECT 1 FROM step e
    WHERE e.id > (SELECT max(id) FROM step) - {LOOK_BACK} AND +e.run = ? AND e.key <> 0
    GROUP BY e.key HAVING sum(e.step = 'sent') AND NOT sum({IS_END}))"""

_NOTE = """INSERT INTO span VALUES (?, ?, ?, ?) ON CONFLICT (span) DO UPDATE SET
    rows = rows + excluded.rows, low = min(low, excluded.low), high = max(high, excluded.high)"""


T = TypeVar("T")


class Run(NamedTuple):
    """A run of the daemon, as it stands in a file.

    :ivar number: counts up in the file.
    :ivar base: what is added to the number of a row to get its id.
    :ivar started: when (s, Unix time): tells it from another journal's run of the same number.
    """

    number: int
    base: int
    started: float


class Limits(NamedTuple):
    """How `keep_bytes` is divided, in bytes.

    :ivar most: what the file and its write-ahead log take together, at most.
    :ivar tables: what the rows take: when they take more, the oldest are deleted.
    :ivar log: what the write-ahead log takes before it is cut.
    :ivar batch: how much is written in one transaction.
    """

    most: int
    tables: int
    log: int
    batch: int


def limits(keep_bytes: int) -> Limits:
    """Divide what may be kept: a batch and the write-ahead log need some of it."""
    batch, log = min(BATCH_BYTES, keep_bytes // 16), min(MOST_LOG, keep_bytes // 8)
    return Limits(keep_bytes, keep_bytes - log - 2 * batch, log, batch)


class Size(NamedTuple):
    """What a journal takes on the disk, in bytes.

    :ivar used: the rows.
    :ivar file: the file, with the pages that are free.
    :ivar log: its write-ahead log.
    """

    used: int
    file: int
    log: int


class Deleted(NamedTuple):
    """How many rows were deleted, and between which times their stamps are (s, Unix time)."""

    rows: int
    low: float
    high: float


class Store:
    """One open journal file.

    :param run: the run that goes on, if one does.
    :param number: gives the number of a row that is written here without having been recorded.
    :param keep_bytes: how large the file and its write-ahead log may get; None for no limit.
    :param connect: opens a database; for tests.
    :ivar made_private: the files that others could read or write, with the modes that they had.
    :ivar last_id: the highest id that was written here; 0 before the first.
    :ivar unreadable: the row because of which commands without an end could not be counted; or empty.
    :ivar left_unknown: which run, if this one has just begun and others were before, left how many commands
        that were sent without an end.
    :raises sqlite3.Error: if it can't be opened, as all methods do if they can't do their work.
    :raises OSError: if its folder can't be made.
    :raises NotAJournalError: if it is something else, or a later version's.
    """

    run: Run

    def __init__(
        self,
        path: Path,
        run: Run | None,
        number: Callable[[], int],
        *,
        keep_bytes: int | None = None,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path = real_path(path)
        self.left_unknown = 0, 0
        self.unreadable = ""
        self.last_id = 0
        self._log_limit = WAL_LIMIT if keep_bytes is None else min(WAL_LIMIT, limits(keep_bytes).log // 2)
        _make_folders(path.parent)
        self.made_private = _make_private(path)
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
        is_new = self._one("SELECT count(*) FROM sqlite_master") == 0
        if not is_new and application != APPLICATION_ID:
            raise NotAJournalError("it is a database of another program")
        if not is_new and version not in (VERSION, *MIGRATIONS):
            raise NotAJournalError(f"it is of version {version}, this program writes version {VERSION}")
        if wrong := wrong_objects(execute("SELECT type, name, sql FROM sqlite_master"), writing=True):
            raise NotAJournalError(wrong)
        if is_new:
            execute("PRAGMA auto_vacuum = INCREMENTAL")  # can't be chosen once there is a table
        execute("PRAGMA journal_mode = WAL").fetchall()
        execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing that was committed
        execute("PRAGMA secure_delete = FAST").fetchall()  # some systems overwrite, which doubles the log
        execute(f"PRAGMA journal_size_limit = {self._log_limit}").fetchall()
        pages = min(1000, self._log_limit // self._pragma("page_size"))  # 1000 is SQLite's own choice
        execute(f"PRAGMA wal_autocheckpoint = {pages}").fetchall()
        steps: list[tuple[str, ...]] = (
            [SCHEMA] if is_new else [MIGRATIONS[each] for each in range(version, VERSION)]
        )
        if not self._one(f"SELECT count(*) FROM sqlite_master WHERE name = '{UNPRIVILEGED_TABLE}'"):
            steps.append((UNPRIVILEGED,))
        if steps:
            self._in_transaction(lambda: [execute(statement) for statement in chain(*steps)])

    def _begin_run(self, run: Run | None, number: Callable[[], int], now: float) -> None:
        """The run goes on if the file has it, or has none yet; else one begins."""
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
        # A span that is out of range is somebody else's: SQLite could not count with its ids.
        self._db.execute(f"DELETE FROM span WHERE span < 0 OR span >= {LAST_ID // SPAN_IDS}")
        if begins and last:
            self._report_unknown(last, number, now)

    def _has(self, run: Run) -> bool:
        sql = "SELECT 1 FROM run WHERE run = ? AND started = ?"
        return self._db.execute(sql, (run.number, run.started)).fetchone() is not None

    def _report_unknown(self, run: int, number: Callable[[], int], now: float) -> None:
        try:
            (unknown,) = self._db.execute(_UNKNOWN, (run,)).fetchone()
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

        Their ids are their numbers and the run's base: sorting by id tells what came first in a run.
        """
        self._in_transaction(lambda: self._insert(batch))

    def write_each(self, batch: Batch) -> list[Row]:
        """Write the rows of a batch that can be written.

        :returns: those that never can be, because of what they hold; an event ``gap`` stands in the
            place of the first of them.
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
            if table == "message":  # `sqlite3` takes a `bytearray` as it is, but looks long at `bytes`
                values[width - 1 :: width] = map(bytearray, values[width - 1 :: width])
            values += [None] * ((size - len(chunk)) * width)
            written = self._db.execute(self._statements[table, size], values).rowcount
            if written != len(chunk):
                raise sqlite3.IntegrityError(f"{len(chunk) - written} rows of {table} were not taken")

    def is_in_place(self) -> bool:
        """False once the file was removed or replaced: SQLite would go on writing into nowhere."""
        return _is(self.path, self._file)

    def remove_log(self) -> None:
        """Once it is closed and not in place: remove its write-ahead log, which SQLite would take for that
        of the file which is in its place now."""
        if _is(f"{self.path}-wal", self._log_file):
            for end in ("-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)

    def check(self) -> None:
        """Count the last rows of the file, and check all of it if the number is not the one that it states.

        The numbers also differ if somebody has deleted rows by hand, which is no damage.

        :raises sqlite3.DatabaseError: with SQLite's code for a corrupt file, or another if the check fails.
        """
        sql = f"SELECT span, rows FROM span ORDER BY span DESC LIMIT {CHECKED_SPANS}"
        spans = self._db.execute(sql).fetchall()
        if all(_count(self._db, span) == rows for span, rows in spans):
            return
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            error = sqlite3.DatabaseError(found.splitlines()[-1])  # the first says which database it is
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    def last_old(self, allowance: Allowance) -> int | None:
        """The last id of earlier runs that may be given up now, or None: in the first span that has one."""
        low, high = allowance.credible
        sql = "SELECT span FROM span WHERE span <= ? AND high >= ? AND low <= ? ORDER BY span"
        for (span,) in self._db.execute(sql, (self.run.base // SPAN_IDS, low, high)).fetchall():
            found, at_end = allowance.last_old(self._stamps(span))
            if found is not None or at_end:
                return found
        return None

    def _stamps(self, span: int) -> list[tuple[int, float]]:
        """The ids and times of a span's rows of earlier runs, by their ids."""
        start, end = _ids(span)
        rows = []
        for table in COLUMNS:
            sql = f"SELECT id, time FROM {table} WHERE id >= ? AND id < ? AND typeof(time) = 'real'"
            rows += self._db.execute(sql, (start, min(end, self.run.base + 1))).fetchall()
        return sorted(rows)

    def delete_up_to(self, last: int) -> Deleted | None:
        """Delete the rows of the file's first span up to this id; None if there are none."""
        found = self._db.execute("SELECT min(span) FROM span WHERE span <= ?", (last // SPAN_IDS,)).fetchone()
        return None if found[0] is None else self._delete(found[0], last)

    # What keeps the file within its size

    def size(self) -> Size:
        """What it takes on the disk now."""
        page, pages = self._pragma("page_size"), self._pragma("page_count")
        try:
            log = os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            log = 0
        return Size((pages - self._pragma("freelist_count")) * page, pages * page, log)

    def cut_log(self) -> None:
        """Move what the write-ahead log holds into the file, unless a reader still needs it."""
        self._db.execute("PRAGMA busy_timeout = 0").fetchall()  # no reader is waited for
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}").fetchall()

    def delete_unprivileged(self) -> Deleted | None:
        """Delete the first rows that clients without rights brought about; None if there are none."""
        while True:
            first = f"SELECT id FROM {UNPRIVILEGED_TABLE} ORDER BY id LIMIT {TRIMMED_ROWS}"
            (last,) = self._db.execute(f"SELECT max(id) FROM ({first})").fetchone()
            if last is None:
                return None
            deleted = self._in_transaction(partial(self._delete_marked, last))
            if deleted.rows:  # else another version of this program has deleted them
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
        """Delete the file's first rows, with some so many bytes, of one span; None if there are none."""
        while True:
            (span,) = self._db.execute("SELECT min(span) FROM span").fetchone()
            if span is None:
                return None
            deleted = self._delete(span, self._last_within(span, most_bytes))
            if deleted is not None:
                return deleted

    def _last_within(self, span: int, most_bytes: int) -> int:
        """Up to which id a span's rows have so many bytes, about."""
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
        """Give some free pages back to the system; True if there may be more."""
        before = self._pragma("freelist_count")
        if before:
            pages = min(VACUUM_PAGES, max(1, self._log_limit // self._pragma("page_size") // 2))
            # A script, because `execute` takes one step of it, and a step gives back one page.
            self._db.executescript(f"PRAGMA incremental_vacuum({pages})")
        return 0 < self._pragma("freelist_count") < before

    # How rows go

    def _delete(self, span: int, last: int) -> Deleted | None:
        """Delete a span's rows up to an id; None if there are none."""
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
        """Close the file; the last one that has it open folds its write-ahead log into it."""
        self._db.close()


def _ids(span: int) -> tuple[int, int]:
    return span * SPAN_IDS, (span + 1) * SPAN_IDS


def _known(times: Iterable[float | None]) -> list[float]:
    return [time for time in times if time is not None]


def _count(db: sqlite3.Connection, span: int) -> int:
    """How many rows a span has."""
    sql = "SELECT count(*), sum(length({0})) FROM {1} WHERE id >= ? AND id < ?"  # so that each row is read
    found = [
        db.execute(sql.format(columns[-1], table), _ids(span)).fetchone()
        for table, columns in COLUMNS.items()
    ]
    return sum(count for count, _ in found)


def _make_folders(folder: Path) -> None:
    """Make a folder, and those above it, for their owner alone, whatever the umask."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        with contextlib.suppress(FileExistsError):  # made meanwhile; or a file, which SQLite will find
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)


def _make_private(path: Path) -> list[str]:
    """Make the file, if there is none, for its owner alone: all that was commanded is in it.

    SQLite gives what it keeps beside it the same mode. If that can't be done, SQLite says why. A file that
    is there is not opened: to close it would end the locks that this process has on it, a reader's, say.

    :returns: the files that were there, and that others could read or write, each with its mode; they can't
        any more.
    :raises NotAJournalError: if it, or what is beside it, is no file, or of another user, who could change
        what is in it.
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
    """Where each statement begins, and how many rows it takes: few statements, and the last no larger
    than it needs to be."""
    start = 0
    while start < rows:
        size = next((size for size in sizes if size >= rows - start), sizes[-1])
        yield start, size
        start += size


def is_rows_own(error: Exception) -> bool:
    """True if a value is at fault and the file is not: the same row would fail for ever."""
    own = (sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.IntegrityError)
    return isinstance(error, (*own, ArithmeticError, TypeError, ValueError))
