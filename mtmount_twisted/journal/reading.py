"""The journal's file -> entries, in the order in which they were recorded.

It is opened read-only, and read in pages of rows: between two pages no transaction is open, so that the
bridge's write-ahead log can be folded into the file however slowly somebody reads.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ..codec import read_command_header, read_reply_header
from ..errors import LineError
from .schema import APPLICATION_ID, COLUMNS, CONTROLLER, VERSION

PAGE_ROWS = 1000
"""How many rows are read in one transaction."""

GOOD_OUTCOMES = ("done", "ack", "local", "open")
"""How a command may stand without having failed: ``ack`` is the end of a track command."""

OUTCOMES = (
    *GOOD_OUTCOMES,
    *("noack", "refused", "not_sent", "outcome_unknown", "timed_out", "busy", "malformed"),
)
"""How a command may have ended; ``open`` if it has not."""

SLACK = 0.5
"""How long before its first step and after its last a command's lines may stand, in seconds."""


class JournalError(Exception):
    """The journal can't be read; in words for a person."""


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


_SELECT = {
    "message": "SELECT id, run, 'message', time, peer, epoch, direction, 0, 0, 0, 0, '', line FROM message",
    "step": "SELECT id, run, 'step', time, peer, epoch, step, key, sequence_id, code, lease, explanation,"
    " NULL FROM step",
    "event": "SELECT id, run, 'event', time, peer, epoch, kind, 0, 0, 0, 0, detail, NULL FROM event",
}


def open_journal(path: Path) -> sqlite3.Connection:
    """Open a journal to read it.

    :raises JournalError: if there is none, or it is something else.
    """
    if not path.is_file():
        raise JournalError(f"there is no journal {path}")
    try:
        db = _connect(path)
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise JournalError(f"{path} can't be read: {error}") from None
    if application != APPLICATION_ID:
        db.close()
        raise JournalError(f"{path} is no journal of the bridge")
    if version != VERSION:
        db.close()
        raise JournalError(f"{path} is of version {version}, this program reads version {VERSION}")
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
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        db.close()
        raise
    return db


class _Story(NamedTuple):
    """When something that belongs to a wanted command may stand in the journal."""

    start: float
    end: float


@dataclass(slots=True)
class _Stories:
    """The commands that are asked for: their steps, and by whom and when their lines were said."""

    steps: set[int] = field(default_factory=set)
    keys: set[tuple[int, int]] = field(default_factory=set)
    lines: dict[tuple[int, str, int], list[_Story]] = field(default_factory=dict)

    def add(self, row: Any) -> None:
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


def _stories(db: sqlite3.Connection, wanted: Wanted) -> _Stories | None:
    if not (wanted.codes or wanted.outcomes):
        return None
    clauses = ["time >= ?", "time <= ?"]
    values: list[Any] = [*_period(wanted)]
    if wanted.codes:
        clauses.append(f"code IN ({_marks(wanted.codes)})")
        values += wanted.codes
    if wanted.outcomes:
        clauses.append(f"outcome IN ({_marks(wanted.outcomes)})")
        values += wanted.outcomes
    sql = "SELECT id, run, key, peer, sequence_id, time, last_time FROM command WHERE "
    stories = _Stories()
    for row in db.execute(sql + " AND ".join(clauses), values).fetchall():
        stories.add(row)
    return stories


def _period(wanted: Wanted) -> tuple[float, float]:
    since = float("-inf") if wanted.since is None else wanted.since
    return since, float("inf") if wanted.until is None else wanted.until


def _marks(values: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(values))


def _id_range(db: sqlite3.Connection, wanted: Wanted) -> tuple[int, int]:
    """Between which ids all that is asked for stands: found with the index on time alone."""
    if wanted.since is None and wanted.until is None:
        return 0, 2**62
    found = [
        db.execute(
            f"SELECT min(id), max(id) FROM {table} WHERE time >= ? AND time <= ?", _period(wanted)
        ).fetchone()
        for table in wanted.tables
    ]
    ranges = [(low, high) for low, high in found if low is not None]
    if not ranges:
        return 1, 0
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _page(db: sqlite3.Connection, wanted: Wanted, low: int, high: int, backwards: bool) -> list[Entry]:
    clauses = "id >= ? AND id <= ? AND time >= ? AND time <= ?"
    values: list[Any] = [low, high, *_period(wanted)]
    if wanted.peers:
        clauses += f" AND peer IN ({_marks(wanted.peers)})"
        values += wanted.peers
    if wanted.run is not None:
        clauses += " AND run = ?"
        values.append(wanted.run)
    selects = [f"{_SELECT[table]} WHERE {clauses}" for table in wanted.tables]
    sql = f"{' UNION ALL '.join(selects)} ORDER BY 1 {'DESC' if backwards else ''} LIMIT {PAGE_ROWS}"
    return [Entry(*row) for row in db.execute(sql, values * len(selects)).fetchall()]


def read_entries(
    db: sqlite3.Connection, wanted: Wanted, after: int = 0, *, backwards: bool = False
) -> Iterator[Entry]:
    """The entries that are asked for.

    :param after: only those with a larger id.
    :param backwards: the last first.
    :raises JournalError: if the file is damaged, or was locked for long.
    """
    try:
        stories = _stories(db, wanted)
        low, high = _id_range(db, wanted)
        low = max(low, after + 1)
        while page := _page(db, wanted, low, high, backwards):
            yield from (entry for entry in page if stories is None or stories.hold(entry))
            if backwards:
                high = page[-1].id - 1
            else:
                low = page[-1].id + 1
    except sqlite3.Error as error:
        raise JournalError(f"the journal can't be read further: {error}") from None


def last_entries(db: sqlite3.Connection, wanted: Wanted, number: int) -> list[Entry]:
    """The last so many of the entries that are asked for, the first of them first."""
    entries = read_entries(db, wanted, backwards=True)
    return [entry for entry, _ in zip(entries, range(number))][::-1]


def follow(path: Path, wanted: Wanted, after: int, pause: Callable[[], None]) -> Iterator[Entry]:
    """The entries that come after one, for ever; `pause` is called between two looks at the file.

    If the file is replaced by a fresh one, that one is followed.
    """
    db = open_journal(path)
    file, version = path.stat(), -1
    try:
        while True:
            if path.exists() and not os.path.samestat(path.stat(), file):
                db.close()
                db = open_journal(path)
                file, version, after = path.stat(), -1, 0
            (now,) = db.execute("PRAGMA data_version").fetchone()
            if now != version:
                version = now
                for entry in read_entries(db, wanted, after):
                    after = entry.id
                    yield entry
            pause()
    except sqlite3.Error as error:
        raise JournalError(f"the journal can't be read further: {error}") from None
    finally:
        db.close()
