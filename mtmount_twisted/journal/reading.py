"""Reading of a journal: rows of the file -> entries, in the order of recording.

The file is opened read-only and is not trusted (`checking`). A row that the bridge can't have written becomes
an event ``unreadable``. Rows are read in pages. No transaction is open between two pages, so that a slow
reader does not keep SQLite from truncating the bridge's write-ahead log. A connection belongs to the thread
that opened it, and blocks that thread. Next to read: `cli.journal`, which prints entries and follows new
ones.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from mtmount_twisted.dialects.dialect import Dialect, DialectName, dialect_named, dialect_of_line
from mtmount_twisted.errors import JournalError as JournalError
from mtmount_twisted.errors import LineError, NotAJournalError
from mtmount_twisted.files import kind_problem
from mtmount_twisted.visible import visible

from .checking import (
    EARLIEST,
    FILE_ERRORS,
    LAST_ID,
    LATEST,
    LONGEST_NAME,
    faulty_row,
    in_words,
    is_rows_fault,
    restrict,
    side_problem,
    unusable,
    wrong_objects,
    wrong_value,
)
from .run_dialects import RunDialects
from .schema import (
    APPLICATION_ID,
    COLUMNS,
    CONTROLLER,
    FIRST_AND_LAST_ID,
    MIGRATIONS,
    RUN_IDS,
    SPAN_IDS,
    UNNAMED,
    VERSION,
    by_dialect,
    commands_sql,
    real_path,
)

SELECT_ROWS = 200
"""The largest number of rows of one SELECT. A reading thread may rest between two SELECTs."""

PAGE_BYTES = 4 * 2**20
"""The size of the lines and texts at which a page ends, in bytes."""

LONGEST_VALUE = 2**20
"""The longest value that is read, in bytes; the bridge writes no value that is longer than a line, 64 KiB."""

UNREADABLE = "unreadable"
"""The kind of an event that replaces a row that can't be read."""

GOOD_OUTCOMES = ("done", "ack", "local", "open")
"""The outcomes that are not a failure; ``ack`` is the end of a track command."""

OUTCOMES = (
    *GOOD_OUTCOMES,
    *("noack", "refused", "not_sent", "outcome_unknown", "timed_out", "busy", "malformed"),
)
"""The outcomes of a command; ``open`` if it has not ended."""

UNKNOWN = "unknown"
"""A further outcome to ask for: a daemon sent the command, and was then killed. Such a command is ``open``
too."""

NEAR = 1000
"""The largest number of ids between a line of a command and one of its steps."""

RANGE_IDS = 4000
"""The number of ids in which one search looks for commands. It bounds the number of commands in memory."""

RANGE_ROWS = 1000
"""The number of rows whose reading takes as long as the search for commands in one range of ids."""

SLACK = 0.5
"""The longest time between a command's lines and its first or last step, in seconds."""


class Entry(NamedTuple):
    """A row of any table. A column that the table lacks is 0, ``""`` or None."""

    id: int
    run: int
    table: str
    time: float
    peer: str
    epoch: int
    what: str
    """The direction of a message, the name of a step, or the kind of an event."""
    key: int
    sequence_id: int
    code: int
    lease: int
    text: str
    """The explanation of a step, or the detail of an event."""
    line: bytes | None
    dialect: Dialect
    """The dialect of the run, in which a code has its meaning; in a message, the dialect of its line."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The conditions that entries must meet. An empty condition, or None, is met by every entry.

    :ivar since: the earliest time (s, Unix time).
    :ivar until: the latest time (s, Unix time).
    :ivar peers: names of peers.
    :ivar tables: names of tables.
    :ivar codes: codes of commands. With `codes`, `dialect_codes` or `outcomes`, an entry must belong to such
        a command.
    :ivar outcomes: outcomes of commands: members of `OUTCOMES`, or `UNKNOWN`.
    :ivar run: the number of a run.
    :ivar dialect_codes: further codes of commands, each for the runs in a dialect only.
    """

    since: float | None = None
    until: float | None = None
    peers: tuple[str, ...] = ()
    tables: tuple[str, ...] = tuple(COLUMNS)
    codes: tuple[int, ...] = ()
    outcomes: tuple[str, ...] = ()
    run: int | None = None
    dialect_codes: tuple[tuple[DialectName, int], ...] = ()

    @property
    def by_command(self) -> bool:
        """True if an entry must belong to certain commands."""
        return bool(self.codes or self.dialect_codes or self.outcomes)

    def codes_in(self, dialect: Dialect) -> set[int]:
        """Return the wanted codes in a dialect."""
        return {*self.codes, *(code for name, code in self.dialect_codes if name == dialect.name)}


def without_commands(wanted: Wanted) -> Wanted:
    """Return the conditions without the conditions on commands."""
    return replace(wanted, codes=(), dialect_codes=(), outcomes=())


_SELECT = {
    "message": "SELECT id, run, 'message', time, peer, epoch, direction, 0, 0, 0, 0, '', line FROM message",
    "step": "SELECT id, run, 'step', time, peer, epoch, step, key, sequence_id, code, lease, explanation,"
    " NULL FROM step",
    "event": "SELECT id, run, 'event', time, peer, epoch, kind, 0, 0, 0, 0, detail, NULL FROM event",
}


def open_journal(path: Path) -> sqlite3.Connection:
    """Open a journal to read it.

    :raises JournalError: if the file does not exist or can't be read.
    :raises NotAJournalError: if the file is not a journal, or is of a later version.
    """
    path = real_path(path)
    if path.exists() and (why := kind_problem(path.stat())):
        raise JournalError(f"{path} can't be read: {why}")
    if not path.is_file():
        raise JournalError(f"there is no journal {path}")
    try:
        if why := side_problem(path):
            raise JournalError(f"{path} can't be read: {why}")
        db = _connect(path)
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        wrong = wrong_objects(db.execute("SELECT type, name, sql FROM sqlite_master"))
    except NotAJournalError as error:
        raise NotAJournalError(f"{path} is no journal of the bridge: {error}") from None
    except FILE_ERRORS as error:
        raise JournalError(f"{path} can't be read: {in_words(error)}") from None
    if application != APPLICATION_ID:
        db.close()
        raise NotAJournalError(f"{path} is no journal of the bridge")
    if version not in (VERSION, *MIGRATIONS):  # an older journal is read without the index on time
        db.close()
        raise NotAJournalError(f"{path} is of version {version}, this program reads version {VERSION}")
    if wrong:
        db.close()
        raise NotAJournalError(f"{path} is no journal of the bridge: {wrong}")
    return db


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"file:{quote(os.path.abspath(path))}?mode=ro"
    try:
        return _opened(uri)
    except sqlite3.OperationalError:
        if Path(f"{path}-wal").exists():
            raise
        # No program has the file open, and this user can't create the files of a write-ahead log beside it.
        return _opened(f"{uri}&immutable=1")


def damage_in(path: Path, seconds: float) -> str:
    """Return the first damage that SQLite finds in a journal within some seconds; empty if it finds none.

    The examination makes no file beside the journal, as reading does.

    :raises NotAJournalError: if the daemon would refuse the file.
    """
    end = time.monotonic() + seconds
    sides = [os.path.exists(f"{path}{each}") for each in ("-wal", "-shm")]
    if any(sides) and not all(sides):
        return ""  # SQLite would make the missing file
    # Without these files no program writes, and SQLite makes none.
    how = "mode=ro" if all(sides) else "immutable=1"
    try:
        with closing(_opened(f"file:{quote(os.path.abspath(path))}?{how}")) as db:
            db.set_progress_handler(lambda: time.monotonic() > end, 10_000)
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
            objects = db.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
            if wrong := unusable(application, version, objects):
                raise NotAJournalError(wrong)
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # the time is over, or this user may not read it
        return ""
    except FILE_ERRORS as error:
        return in_words(error)
    return "" if found == "ok" else visible(str(found).splitlines()[-1][:200])


def _opened(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        restrict(db, LONGEST_VALUE)
    except BaseException:
        db.close()
        raise
    return db


class _Story(NamedTuple):
    """The period in which a command's lines may be recorded (s, Unix time)."""

    start: float
    end: float


@dataclass(slots=True)
class Stories:
    """The selected commands.

    :ivar steps: the ids of their first steps.
    :ivar keys: the run and the key of each command.
    :ivar lines: the periods of their lines, by run, peer and sequence id.
    """

    steps: set[int] = field(default_factory=set)
    keys: set[tuple[int, int]] = field(default_factory=set)
    lines: dict[tuple[int, str, int], list[_Story]] = field(default_factory=dict)

    def add(self, row: Any) -> None:
        """Add a command, a row from `find_commands`."""
        number, run, key, peer, sequence_id, start, end = row
        story = _Story(start - SLACK, end + SLACK)
        self.steps.add(number)
        self.lines.setdefault((run, peer, sequence_id), []).append(story)
        if key:  # the sequence id that the bridge uses at the controller
            self.keys.add((run, key))
            self.lines.setdefault((run, CONTROLLER, key), []).append(story)

    def hold(self, entry: Entry) -> bool:
        """Return True if an entry belongs to one of the commands."""
        if entry.table == "step":
            return entry.id in self.steps or (entry.run, entry.key) in self.keys
        if entry.line is None:
            return False
        stories = self.lines.get((entry.run, entry.peer, sequence_id_of(entry) or 0), ())
        return any(story.start <= entry.time <= story.end for story in stories)


def line_dialect(peer: str, direction: str, line: bytes, controller: Dialect) -> Dialect:
    """Return the dialect of a line: a client of a tma2022 controller may speak tma2020.

    :param direction: ``from`` or ``to`` the peer.
    :param controller: the dialect of the run, which the controller speaks.
    """
    return controller if peer == CONTROLLER else dialect_of_line(line, direction == "from", controller)


def is_command(entry: Entry) -> bool:
    """Return True if a message is a command, which goes towards the controller; False for a reply."""
    return (entry.peer == CONTROLLER) == (entry.what == "to")


def sequence_id_of(entry: Entry) -> int | None:
    """Return the sequence id in the line of a message, or None if the line has none."""
    line = entry.line or b""
    try:
        return entry.dialect.read_header(line, is_command(entry)).sequence_id
    except LineError:
        return None


_OF_RUN = "+run = ?"  # the + disables the index on run and key, which would need a sort

_IS_UNKNOWN = "(sent AND outcome = 'open' AND run < (SELECT max(run) FROM run))"  # as in the view `unknown`


_WITH_A_STEP = """SELECT (SELECT min(f.id) FROM step f WHERE f.run = n.run AND f.key = n.key) FROM (
        SELECT DISTINCT run, key FROM step NOT INDEXED WHERE id >= ? AND id <= ? AND key <> 0) n
    UNION ALL SELECT id FROM step NOT INDEXED WHERE id >= ? AND id <= ? AND key = 0"""
"""SQL for the first steps of the commands with a step in a range of ids."""


def find_commands(db: sqlite3.Connection, wanted: Wanted, low: int, high: int) -> Iterator[Any]:
    """Yield the selected commands with a step in a range of ids.

    :raises JournalError: if a row of a step can't be read.
    """
    clauses = [f"id IN ({_WITH_A_STEP})", "time >= ?", "time <= ?"]
    values: list[Any] = [*(low, min(high, LAST_ID)) * 2, *_period(wanted)]
    if wanted.run is not None:
        clauses.append(_OF_RUN)
        values.append(wanted.run)
    dialects = RunDialects(db).named()
    if wanted.codes or wanted.dialect_codes:

        def has_code(dialect: Dialect) -> str:
            return f"code IN ({', '.join(map(str, sorted(wanted.codes_in(dialect))))})"

        clauses.append(by_dialect(dialects, "command.run", has_code))
    if wanted.outcomes:
        unknown = _IS_UNKNOWN if UNKNOWN in wanted.outcomes else "0"
        clauses.append(f"(outcome IN ({_marks(wanted.outcomes)}) OR {unknown})")
        values += wanted.outcomes
    commands = commands_sql(dialects)
    sql = f"WITH command AS ({commands}) SELECT id, run, key, peer, sequence_id, time, last_time FROM command"
    try:
        with closing(db.execute(f"{sql} WHERE {' AND '.join(clauses)}", values)) as found:
            for row in found:
                if tuple(map(type, row)) == _COMMAND_TYPES:
                    yield row
    except FILE_ERRORS as error:
        if not is_rows_fault(error):
            raise
        number = faulty_row(db, "step", 0, LAST_ID)
        raise JournalError(f"can't search for commands: row {number} of step: {in_words(error)}") from None


_COMMAND_TYPES = (int, int, int, str, int, float, float)


_RUNS = "SELECT DISTINCT run FROM step NOT INDEXED WHERE id >= ? AND id <= ?"


def step_ranges(
    db: sqlite3.Connection, low: int, high: int, *, backwards: bool = False
) -> Iterator[tuple[int, int]]:
    """Yield ranges of ids that hold each row between two ids that is near a step; see `NEAR`.

    :param backwards: the range with the highest ids first.
    """
    low, high = max(low, 0), min(high, LAST_ID)
    while low <= high:
        if backwards:
            near = _one(db, f"SELECT max(id) FROM step WHERE id <= {high + NEAR}")
            if near is None or near + NEAR < low:
                return
            high = min(high, near + NEAR)
            first = max(low, high - RANGE_IDS + 1)
            yield first, high
            high = first - 1
        else:
            near = _one(db, f"SELECT min(id) FROM step WHERE id >= {low - NEAR}")
            if near is None or near - NEAR > high:
                return
            low = max(low, near - NEAR)
            last = min(high, low + RANGE_IDS - 1)
            yield low, last
            low = last + 1


def _period(wanted: Wanted) -> tuple[float, float]:
    since = float("-inf") if wanted.since is None else wanted.since
    return since, float("inf") if wanted.until is None else wanted.until


def _one(db: sqlite3.Connection, sql: str) -> Any:
    return db.execute(sql).fetchone()[0]


def _marks(values: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(values))


def _id_range(db: sqlite3.Connection, wanted: Wanted) -> tuple[int, int]:
    """Return the first and the last id that may meet the conditions on time, found in the table ``span``."""
    all_ids = 0, LAST_ID
    if (wanted.since is None and wanted.until is None) or _one(db, "PRAGMA user_version") != VERSION:
        return all_ids
    since, until = _period(wanted)
    sql = "SELECT min(span), max(span) FROM span WHERE high >= ? AND low <= ?"
    low, high = db.execute(sql, (since, until)).fetchone()
    if low is None:
        return 1, 0
    return min(max(0, low) * SPAN_IDS, LAST_ID), min((max(-1, high) + 1) * SPAN_IDS - 1, LAST_ID)


def _page(
    db: sqlite3.Connection, dialects: RunDialects, wanted: Wanted, low: int, high: int, backwards: bool
) -> list[Entry]:
    """Return the first selected rows in a range of ids; an empty list only if the range has none."""
    try:
        return _select(db, dialects, wanted, low, high, backwards)
    except FILE_ERRORS as error:
        if not is_rows_fault(error):
            raise
    return _row_by_row(db, dialects, wanted, low, high, backwards)


def _row_by_row(
    db: sqlite3.Connection, dialects: RunDialects, wanted: Wanted, low: int, high: int, backwards: bool
) -> list[Entry]:
    """Return a page, as `_page`, from a range in which at least one row can't be read."""
    found: list[Entry] = []
    selects = [f"SELECT id, '{table}' FROM {table} WHERE id >= ? AND id <= ?" for table in wanted.tables]
    sql = f"{' UNION ALL '.join(selects)} ORDER BY 1 {'DESC' if backwards else ''} LIMIT {SELECT_ROWS}"
    while not found:
        ids = db.execute(sql, (low, high) * len(selects)).fetchall()
        if not ids:
            break
        for number, table in ids:
            try:
                alone = replace(wanted, tables=(table,))
                found += _select(db, dialects, alone, number, number, backwards)
            except FILE_ERRORS as error:
                if not is_rows_fault(error):
                    raise
                found.append(_unreadable(number, 0, table, 0.0, in_words(error)))
        low, high = (low, ids[-1][0] - 1) if backwards else (ids[-1][0] + 1, high)
    return found


def _select(
    db: sqlite3.Connection, dialects: RunDialects, wanted: Wanted, low: int, high: int, backwards: bool
) -> list[Entry]:
    clauses = "id >= ? AND id <= ?"
    values: list[Any] = [low, high]
    if wanted.since is not None or wanted.until is not None:
        clauses += " AND time >= ? AND time <= ?"
        values += _period(wanted)
    if wanted.peers:
        clauses += f" AND peer IN ({_marks(wanted.peers)})"
        values += wanted.peers
    if wanted.run is not None:
        clauses += f" AND {_OF_RUN}"
        values.append(wanted.run)
    selects = [f"{_SELECT[table]} WHERE {clauses}" for table in wanted.tables]
    sql = f"{' UNION ALL '.join(selects)} ORDER BY 1 {'DESC' if backwards else ''} LIMIT {SELECT_ROWS}"
    found, size = [], 0
    with closing(db.execute(sql, values * len(selects))) as selected:
        for row in selected:
            entry = _entry(row, dialects)
            found.append(entry)
            size += len(entry.line or entry.text)
            if size > PAGE_BYTES:
                break
    return found


def _entry(row: tuple[Any, ...], dialects: RunDialects) -> Entry:
    """Return the entry of a row. A row that the bridge can't have written becomes an event ``unreadable``."""
    number, run, table, time = row[:4]
    is_right = tuple(map(type, row)) == _ENTRY_TYPES[table] and EARLIEST <= time < LATEST
    if is_right and len(row[4]) <= LONGEST_NAME and len(row[6]) <= LONGEST_NAME:
        dialect = dialects.of(run)
        if table == "message":
            dialect = line_dialect(row[4], row[6], row[12], dialect)
        return Entry._make((*row, dialect))
    values = dict(zip(Entry._fields, row))
    del values["id"], values["table"]
    return _unreadable(number, run, table, time, wrong_value(table, values))


_ENTRY_TYPES = {
    table: (int, int, str, float, str, int, str, int, int, int, int, str, line)
    for table, line in {"message": bytes, "step": type(None), "event": type(None)}.items()
}


def _unreadable(number: int, run: Any, table: str, time: Any, why: str) -> Entry:
    """Return the event that replaces an unreadable row."""
    return Entry(
        number,
        run if type(run) is int else 0,
        "event",
        0.0 if wrong_value(table, {"time": time}) else time,
        "",
        0,
        UNREADABLE,
        *(0, 0, 0, 0),
        f"row {number} of {table}: {why}",
        None,
        dialect_named(UNNAMED),
    )


def rows(
    db: sqlite3.Connection,
    wanted: Wanted,
    *,
    after: int = 0,
    before: int | None = None,
    backwards: bool = False,
) -> Iterator[Entry]:
    """Yield the selected entries, the oldest first.

    :param after: only entries with a larger id.
    :param before: only entries with a smaller id; None for no bound.
    :param backwards: the newest first.
    :raises JournalError: if the file is damaged, or stays locked, or if an entry is of a run in a dialect
        that this program does not know.
    """
    read = scan(db, wanted, after=after, before=before, backwards=backwards)
    return (each.entry for each in read if each.entry is not None)


class Scanned(NamedTuple):
    """A part of a journal that `scan` has read.

    :ivar run: the run of the part.
    :ivar position: the id from which another scan continues, as its `after`, or its `before` if it goes
        backwards.
    :ivar entry: the entry of a selected row; None for another row, or at the beginning of a range of ids.
    :ivar rows: the number of rows whose work the part took.
    """

    run: int
    position: int
    entry: Entry | None
    rows: int


def scan(
    db: sqlite3.Connection,
    wanted: Wanted,
    *,
    after: int,
    before: int | None,
    backwards: bool,
    look: Callable[[], object] = lambda: None,
) -> Iterator[Scanned]:
    """Yield each part of the journal that is read, selected or not, so that a reader can count its work.

    Conditions on commands are checked for each row after it is read. For such conditions the journal is read
    in ranges of ids. In each range, `find_commands` searches for the selected commands. If it finds any, the
    rows of the range are read. The parameters are those of `rows`.

    :param look: called for each row, before it is yielded, and for each command that `find_commands` finds.
    """
    try:
        low, high = _id_range(db, wanted)
        low = max(low, min(after, LAST_ID) + 1)
        high = high if before is None else min(high, before - 1)
        dialects = RunDialects(db)
        if not wanted.by_command:
            yield from _scan_range(db, dialects, wanted, None, low, high, backwards, look)
            return
        for first, last in step_ranges(db, low, high, backwards=backwards):
            for (run,) in db.execute(_RUNS, (first, last)).fetchall():
                dialects.of(run)  # a command of an unknown dialect is never found
            stories = Stories()
            for row in find_commands(db, wanted, first - NEAR, last + NEAR):
                look()
                stories.add(row)
            position = last + 1 if backwards else first - 1
            yield Scanned(position // RUN_IDS + 1, position, None, RANGE_ROWS + len(stories.steps))
            if stories.steps:
                yield from _scan_range(db, dialects, wanted, stories, first, last, backwards, look)
    except FILE_ERRORS as error:
        raise JournalError(f"the journal can't be read further: {in_words(error)}") from None


def _scan_range(
    db: sqlite3.Connection,
    dialects: RunDialects,
    wanted: Wanted,
    stories: Stories | None,
    low: int,
    high: int,
    backwards: bool,
    look: Callable[[], object],
) -> Iterator[Scanned]:
    while page := _page(db, dialects, wanted, low, high, backwards):
        for entry in page:
            look()
            yield Scanned(entry.run, entry.id, entry if stories is None or stories.hold(entry) else None, 1)
        if backwards:
            high = page[-1].id - 1
        else:
            low = page[-1].id + 1


def first_and_last(db: sqlite3.Connection) -> tuple[int, int]:
    """Return the lowest and the highest id in the file; both 0 if it has no rows."""
    low, high = db.execute(FIRST_AND_LAST_ID).fetchone()
    return low, high


def last_entries(db: sqlite3.Connection, wanted: Wanted, number: int) -> list[Entry]:
    """Return the newest of the selected entries, in the order of recording.

    :param number: the largest number of entries.
    """
    return list(islice(rows(db, wanted, backwards=True), number))[::-1]
