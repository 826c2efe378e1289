"""The journal's file -> entries, in the order in which they were recorded.

It is opened read-only and not trusted (`checking`): an event ``unreadable`` names a row that the bridge can't
have written. Rows are read in pages: between two pages no transaction is open, so that the bridge's
write-ahead log can be folded into the file however slowly somebody reads. A connection is used in the thread
that opened it. `following` goes on with what comes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from mtmount_twisted.dialects.tma2020.codec import read_command_header, read_reply_header
from mtmount_twisted.errors import JournalError as JournalError
from mtmount_twisted.errors import LineError, NotAJournalError
from mtmount_twisted.files import kind_problem

from .checking import (
    EARLIEST,
    LAST_ID,
    LATEST,
    faulty_row,
    in_words,
    is_rows_fault,
    restrict,
    side_problem,
    wrong_objects,
    wrong_value,
)
from .schema import (
    APPLICATION_ID,
    COLUMNS,
    COMMANDS,
    CONTROLLER,
    FIRST_AND_LAST_ID,
    MIGRATIONS,
    SPAN_IDS,
    VERSION,
    real_path,
)

SELECT_ROWS = 200
"""How many rows one SELECT gives: whoever reads in a thread may rest between two of them."""

PAGE_BYTES = 4 * 2**20
"""After how many bytes of lines and texts a page ends."""

LONGEST_VALUE = 2**20
"""The longest value that is read, in bytes; the bridge writes none that is longer than a line, 64 KiB."""

UNREADABLE = "unreadable"
"""The kind of an event that stands for a row that can't be read."""

GOOD_OUTCOMES = ("done", "ack", "local", "open")
"""How a command may stand without having failed: ``ack`` is the end of a track command."""

OUTCOMES = (
    *GOOD_OUTCOMES,
    *("noack", "refused", "not_sent", "outcome_unknown", "timed_out", "busy", "malformed"),
)
"""How a command may have ended; ``open`` if it has not."""

UNKNOWN = "unknown"
"""What may be asked for like an outcome: sent by a daemon that was then killed; they are ``open``, too."""

SLACK = 0.5
"""How long before its first step and after its last a command's lines may stand, in seconds."""


class Entry(NamedTuple):
    """A row of any table. What its table does not have is 0, ``""`` or None."""

    id: int
    run: int
    table: str
    time: float
    peer: str
    epoch: int
    what: str
    """Of a message its direction, of a step its name, of an event its kind."""
    key: int
    sequence_id: int
    code: int
    lease: int
    text: str
    """The explanation of a step, the detail of an event."""
    line: bytes | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for; what is empty or None asks for all.

    :ivar codes: of commands; with this or `outcomes`, only what belongs to such a command is given.
    """

    since: float | None = None
    until: float | None = None
    peers: tuple[str, ...] = ()
    tables: tuple[str, ...] = tuple(COLUMNS)
    codes: tuple[int, ...] = ()
    outcomes: tuple[str, ...] = ()
    run: int | None = None

    @property
    def by_command(self) -> bool:
        """True if entries are given for the commands that they belong to."""
        return bool(self.codes or self.outcomes)


def without_commands(wanted: Wanted) -> Wanted:
    """The same, with no regard to what belongs to which command."""
    return replace(wanted, codes=(), outcomes=())


_SELECT = {
    "message": "SELECT id, run, 'message', time, peer, epoch, direction, 0, 0, 0, 0, '', line FROM message",
    "step": "SELECT id, run, 'step', time, peer, epoch, step, key, sequence_id, code, lease, explanation,"
    " NULL FROM step",
    "event": "SELECT id, run, 'event', time, peer, epoch, kind, 0, 0, 0, 0, detail, NULL FROM event",
}


def open_journal(path: Path) -> sqlite3.Connection:
    """Open a journal to read it.

    :raises JournalError: if there is none, or it can't be read; `NotAJournalError` if it is something else,
        or a later version's.
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
    except sqlite3.Error as error:
        raise JournalError(f"{path} can't be read: {in_words(error)}") from None
    if application != APPLICATION_ID:
        db.close()
        raise NotAJournalError(f"{path} is no journal of the bridge")
    if version not in (VERSION, *MIGRATIONS):  # an older one is read without its index on time
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
        # Nobody has it open, and we may not write beside it, which a write-ahead log would need.
        return _opened(f"{uri}&immutable=1")


def _opened(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        restrict(db, LONGEST_VALUE)
    except BaseException:
        db.close()
        raise
    return db


class _Story(NamedTuple):
    """When something that belongs to a wanted command may stand in the journal."""

    start: float
    end: float


@dataclass(slots=True)
class Stories:
    """The commands that are asked for: their steps, and by whom and when their lines were said."""

    steps: set[int] = field(default_factory=set)
    keys: set[tuple[int, int]] = field(default_factory=set)
    lines: dict[tuple[int, str, int], list[_Story]] = field(default_factory=dict)

    def add(self, row: Any) -> None:
        """A command, as `find_commands` gives it."""
        number, run, key, peer, sequence_id, start, end = row
        story = _Story(start - SLACK, end + SLACK)
        self.steps.add(number)
        self.lines.setdefault((run, peer, sequence_id), []).append(story)
        if key:  # the bridge's own sequence id on the controller's side
            self.keys.add((run, key))
            self.lines.setdefault((run, CONTROLLER, key), []).append(story)

    def hold(self, entry: Entry) -> bool:
        """True if an entry belongs to one of the commands."""
        if entry.table == "step":
            return entry.id in self.steps or (entry.run, entry.key) in self.keys
        if entry.line is None:
            return False
        stories = self.lines.get((entry.run, entry.peer, sequence_id_of(entry) or 0), ())
        return any(story.start <= entry.time <= story.end for story in stories)


def is_command(entry: Entry) -> bool:
    """True if a message goes towards the controller: all that goes the other way is a reply."""
    return (entry.peer == CONTROLLER) == (entry.what == "to")


def sequence_id_of(entry: Entry) -> int | None:
    """The sequence id in the line of a message, or None if it has none."""
    line = entry.line or b""
    try:
        return (read_command_header if is_command(entry) else read_reply_header)(line).sequence_id
    except LineError:
        return None


_OF_RUN = "+run = ?"  # the sign keeps SQLite from the index on run and key, which has all of a run to sort

_IS_UNKNOWN = (
    "(sent AND outcome = 'open' AND run < (SELECT max(run) FROM run))"  # as the view `unknown` has it
)


def find_commands(db: sqlite3.Connection, wanted: Wanted, low: int, high: int) -> list[Any]:
    """The commands that are asked for and have a step in a range of ids, by their first steps."""
    clauses = ["id >= ?", "id <= ?", "time >= ?", "time <= ?"]
    values: list[Any] = [low, min(high, LAST_ID), *_period(wanted)]
    if wanted.run is not None:
        clauses.append(_OF_RUN)
        values.append(wanted.run)
    if wanted.codes:
        clauses.append(f"code IN ({_marks(wanted.codes)})")
        values += wanted.codes
    if wanted.outcomes:
        unknown = _IS_UNKNOWN if UNKNOWN in wanted.outcomes else "0"
        clauses.append(f"(outcome IN ({_marks(wanted.outcomes)}) OR {unknown})")
        values += wanted.outcomes
    sql = f"WITH command AS ({COMMANDS}) SELECT id, run, key, peer, sequence_id, time, last_time FROM command"
    try:
        found = db.execute(f"{sql} WHERE {' AND '.join(clauses)}", values).fetchall()
    except sqlite3.Error as error:
        if not is_rows_fault(error):
            raise
        row = faulty_row(db, "step", 0, LAST_ID)
        raise JournalError(f"commands can't be looked for: row {row} of step: {in_words(error)}") from None
    return [row for row in found if tuple(map(type, row)) == _COMMAND_TYPES]


_COMMAND_TYPES = (int, int, int, str, int, float, float)


def _stories(db: sqlite3.Connection, wanted: Wanted, low: int, high: int) -> Stories | None:
    if not wanted.by_command:
        return None
    stories = Stories()
    for row in find_commands(db, wanted, low, high):
        stories.add(row)
    return stories


def _period(wanted: Wanted) -> tuple[float, float]:
    since = float("-inf") if wanted.since is None else wanted.since
    return since, float("inf") if wanted.until is None else wanted.until


def _one(db: sqlite3.Connection, sql: str) -> Any:
    return db.execute(sql).fetchone()[0]


def _marks(values: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(values))


def _id_range(db: sqlite3.Connection, wanted: Wanted) -> tuple[int, int]:
    """Between which ids all that is asked for stands, about: found without a look at the rows."""
    all_ids = 0, LAST_ID
    if (wanted.since is None and wanted.until is None) or _one(db, "PRAGMA user_version") != VERSION:
        return all_ids
    since, until = _period(wanted)
    sql = "SELECT min(span), max(span) FROM span WHERE high >= ? AND low <= ?"
    low, high = db.execute(sql, (since, until)).fetchone()
    if low is None:
        return 1, 0
    return min(max(0, low) * SPAN_IDS, LAST_ID), min((high + 1) * SPAN_IDS - 1, LAST_ID)


def _page(db: sqlite3.Connection, wanted: Wanted, low: int, high: int, backwards: bool) -> list[Entry]:
    """Some rows of a range of ids; none only if the range has none that are asked for."""
    try:
        return _select(db, wanted, low, high, backwards)
    except sqlite3.Error as error:
        if not is_rows_fault(error):
            raise
    return _row_by_row(db, wanted, low, high, backwards)


def _row_by_row(db: sqlite3.Connection, wanted: Wanted, low: int, high: int, backwards: bool) -> list[Entry]:
    """As `_page`, where one row or more can't be read."""
    found: list[Entry] = []
    selects = [f"SELECT id, '{table}' FROM {table} WHERE id >= ? AND id <= ?" for table in wanted.tables]
    sql = f"{' UNION ALL '.join(selects)} ORDER BY 1 {'DESC' if backwards else ''} LIMIT {SELECT_ROWS}"
    while not found:
        ids = db.execute(sql, (low, high) * len(selects)).fetchall()
        if not ids:
            break
        for number, table in ids:
            try:
                found += _select(db, replace(wanted, tables=(table,)), number, number, backwards)
            except sqlite3.Error as error:
                if not is_rows_fault(error):
                    raise
                found.append(_unreadable(number, 0, table, 0.0, in_words(error)))
        low, high = (low, ids[-1][0] - 1) if backwards else (ids[-1][0] + 1, high)
    return found


def _select(db: sqlite3.Connection, wanted: Wanted, low: int, high: int, backwards: bool) -> list[Entry]:
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
            entry = _entry(row)
            found.append(entry)
            size += len(entry.line or entry.text)
            if size > PAGE_BYTES:
                break
    return found


def _entry(row: tuple[Any, ...]) -> Entry:
    """A row as an entry; one that the bridge can't have written as an event that says so."""
    entry = Entry(*row)
    if tuple(map(type, row)) == _ENTRY_TYPES[entry.table] and EARLIEST <= entry.time < LATEST:
        return entry
    values = entry._asdict()
    number, table = values.pop("id"), values.pop("table")
    return _unreadable(number, entry.run, table, entry.time, wrong_value(table, values))


_ENTRY_TYPES = {
    table: (int, int, str, float, str, int, str, int, int, int, int, str, line)
    for table, line in {"message": bytes, "step": type(None), "event": type(None)}.items()
}


def _unreadable(number: int, run: Any, table: str, time: Any, why: str) -> Entry:
    """Return the entry that stands for an unreadable row."""
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
    )


def rows(
    db: sqlite3.Connection,
    wanted: Wanted,
    *,
    after: int = 0,
    before: int | None = None,
    backwards: bool = False,
) -> Iterator[Entry]:
    """Yield the entries that are asked for, the first of them first.

    :param after: only those with a larger id.
    :param before: only those with a smaller id.
    :param backwards: the last first.
    :raises JournalError: if the file is damaged, or was locked for long.
    """
    try:
        low, high = _id_range(db, wanted)
        stories = _stories(db, wanted, low, high)
        low = max(low, min(after, LAST_ID) + 1)
        high = high if before is None else min(high, before - 1)
        while page := _page(db, wanted, low, high, backwards):
            yield from (entry for entry in page if stories is None or stories.hold(entry))
            if backwards:
                high = page[-1].id - 1
            else:
                low = page[-1].id + 1
    except sqlite3.Error as error:
        raise JournalError(f"the journal can't be read further: {in_words(error)}") from None


def first_and_last(db: sqlite3.Connection) -> tuple[int, int]:
    """The lowest and the highest id in the file; both 0 if it has no rows."""
    low, high = db.execute(FIRST_AND_LAST_ID).fetchone()
    return low, high


def last_entries(db: sqlite3.Connection, wanted: Wanted, number: int) -> list[Entry]:
    """The last so many of the entries that are asked for, the first of them first."""
    return list(islice(rows(db, wanted, backwards=True), number))[::-1]
