"""The journal's file: its tables, its version, where it is, and the words that stand in it.

The bridge writes it (`journal.file`), ``mtmount-journal`` reads it (`journal.reading`), and both know it from
here alone. Text and numbers only: nothing here opens the file. ``docs/reference/journal.rst`` explains each
column and word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtmount_twisted.dialects.tma2020.commands import AckOnlyCommandCodes

APPLICATION_ID = 0x4D544D4A
"""SQLite's ``application_id`` of a journal, "MTMJ": tells it from another program's database."""

VERSION = 2
"""SQLite's ``user_version``: counted up when a table changes."""

SPAN_IDS = 2**11
"""How many ids a row of ``span`` stands for: an index on time that costs one row in so many."""

RUN_IDS = 2**36
"""How many ids a run has for itself, so that two daemons in one file never meet. They fit into a double."""

CONTROLLER = "controller"
"""The name, as a peer, of what takes the bridge's commands; every other peer is a commander."""

EVERYONE = "everyone"
"""The name, as a peer, of all commanders at once, to whom an event goes."""

OBSERVERS = "observers"
"""The name, as a peer, of all clients that only observe, to whom each answer goes too."""

RESERVED_NAMES = ("bridge", CONTROLLER, EVERYONE, OBSERVERS, "web")
"""The names that no commander has: they, or what begins with one and ``/``, stand for others."""

LONGEST_NAME = 64

OPEN_STEPS = ("received", "sent", "ack")
"""The steps after which a command still goes on, but for the Ack that is an end: see `is_end`."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "message": ("time", "peer", "direction", "epoch", "line"),
    "step": (
        "time",
        "key",
        "step",
        "peer",
        "epoch",
        "sequence_id",
        "code",
        "lease",
        "explanation",
    ),
    "event": ("time", "kind", "peer", "epoch", "detail"),
}
"""What a row of each table says, in the order in which the bridge writes it, after ``id`` and ``run``."""

Row = tuple[Any, ...]
"""A number that counts up within the run, and then the table's `COLUMNS`."""


class Unprivileged(Row):
    """A row that a client without rights brought about: it gives way to the others."""

    __slots__ = ()


Batch = tuple[list[Row], list[Row], list[Row]]
"""Rows that are written together: of each table in the order of `COLUMNS`, as they were recorded."""

FIRST_AND_LAST_ID = f"""SELECT coalesce(min(low), 0), coalesce(max(high), 0) FROM ({
    " UNION ALL ".join(
        f"SELECT (SELECT min(id) FROM {table}) low, (SELECT max(id) FROM {table}) high" for table in COLUMNS
    )
})"""
"""In SQL, the lowest and the highest id of the file, 0 if it has no rows. An aggregate of its own for each:
SQLite finds one at once, and goes through the whole table for two."""

_SPAN = """CREATE TABLE span (
    span INTEGER PRIMARY KEY, rows INTEGER NOT NULL, low REAL NOT NULL, high REAL NOT NULL)"""

_OPEN = ", ".join(f"'{step}'" for step in OPEN_STEPS)
_ACK_ONLY = ", ".join(str(int(code)) for code in sorted(AckOnlyCommandCodes))


def is_end(step: str, code: int) -> bool:
    """True if a step is an end of its command: not open, or the Ack of a command that gets no more.

    :param code: the command's.
    """
    return step not in OPEN_STEPS or (step == "ack" and code in AckOnlyCommandCodes)


IS_END = f"(e.step NOT IN ({_OPEN}) OR (e.step = 'ack' AND e.code IN ({_ACK_ONLY})))"
"""In SQL, what `is_end` says of a row ``e`` of ``step``."""

UNPRIVILEGED_TABLE = "unprivileged"

UNPRIVILEGED = f"CREATE TABLE {UNPRIVILEGED_TABLE} (id INTEGER PRIMARY KEY)"
"""The ids of the rows that clients without rights brought about: they are deleted first. A journal of an
earlier version gets this table when it is opened to be written, and that version can still use the file."""

COMMANDS = f"""SELECT s.id, s.run, s.key, s.time, s.peer, s.epoch, s.sequence_id, s.code, s.lease,
            CASE s.key WHEN 0 THEN s.step ELSE coalesce(
                (SELECT e.step FROM step e WHERE e.run = s.run AND e.key = s.key AND {IS_END}
                    ORDER BY e.id LIMIT 1),
                'open') END AS outcome,
            s.key <> 0 AND EXISTS (
                SELECT 1 FROM step e WHERE e.run = s.run AND e.key = s.key AND e.step = 'sent') AS sent,
            CASE s.key WHEN 0 THEN s.time ELSE
                (SELECT max(e.time) FROM step e WHERE e.run = s.run AND e.key = s.key) END AS last_time
        FROM step s
        WHERE s.key = 0 OR s.id = (SELECT min(f.id) FROM step f WHERE f.run = s.run AND f.key = s.key)"""
"""In SQL, what the view ``command`` gives. Our own programs do not read the view, which a file can define as
it likes."""

SCHEMA = (
    """CREATE TABLE run (
        run INTEGER PRIMARY KEY, started REAL NOT NULL, pid INTEGER NOT NULL, version TEXT NOT NULL)""",
    """CREATE TABLE message (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL, time REAL NOT NULL, peer TEXT NOT NULL,
        direction TEXT NOT NULL, epoch INTEGER NOT NULL, line BLOB NOT NULL)""",
    """CREATE TABLE step (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL, time REAL NOT NULL, key INTEGER NOT NULL,
        step TEXT NOT NULL, peer TEXT NOT NULL, epoch INTEGER NOT NULL, sequence_id INTEGER NOT NULL,
        code INTEGER NOT NULL, lease INTEGER NOT NULL, explanation TEXT NOT NULL)""",
    """CREATE TABLE event (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL,
        peer TEXT NOT NULL, epoch INTEGER NOT NULL, detail TEXT NOT NULL)""",
    _SPAN,
    "CREATE INDEX step_key ON step (run, key)",
    f"""CREATE VIEW command AS
        {COMMANDS}""",
    """CREATE VIEW unknown AS
        SELECT id, run, key, time, peer, epoch, sequence_id, code, lease FROM command
        WHERE sent AND outcome = 'open' AND run < (SELECT max(run) FROM run)""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
"""What makes an empty file a journal; ``unknown`` holds what a daemon that died left without an end."""


def usable_name(text: str) -> str:
    """Return the text, if it can be a commander's name in a configuration.

    :raises ValueError: with what was expected.
    """
    return _usable(text, r"[A-Za-z0-9_-]+", "letters, digits, - and _")


def usable_client_name(text: str) -> str:
    """Return the text, if it can be the name in a client's certificate.

    ``alice@site.org``, ``Ann Lee`` and ``desk.site.org`` are names. A slash separates a port's name from its
    client's, so a name has none.

    :raises ValueError: with what was expected.
    """
    words = r"[A-Za-z0-9_.@-]+(?: [A-Za-z0-9_.@-]+)*"
    return _usable(text, words, "letters, digits, - _ . @ and single spaces between them")


def _usable(text: str, pattern: str, expected: str) -> str:
    if re.fullmatch(pattern, text) is None or len(text) > LONGEST_NAME:
        raise ValueError(f"{expected}, at most {LONGEST_NAME}")
    if text in RESERVED_NAMES:
        raise ValueError(f"none of {', '.join(RESERVED_NAMES)}, which the journal uses for others")
    return text


MIGRATIONS = {
    1: (
        *(f"DROP INDEX {table}_time" for table in COLUMNS),
        _SPAN,
        f"INSERT INTO span SELECT id / {SPAN_IDS}, count(*), min(time), max(time) FROM ("
        + " UNION ALL ".join(f"SELECT id, time FROM {table}" for table in COLUMNS)
        + ") GROUP BY 1",
        "PRAGMA user_version = 2",
    ),
}
"""What makes a journal of a version one of the next."""


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the journal is if nobody says otherwise: below ``XDG_STATE_HOME``, or ``~/.local/state``."""
    state = environment.get("XDG_STATE_HOME", "")
    folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return folder / "mtmount-bridge" / "journal.sqlite"


def real_path(path: Path) -> Path:
    """Where a journal really is: SQLite keeps its write-ahead log beside the file to which a symbolic link
    points, and not beside the link. A link to nothing gives where the file would be.
    """
    return Path(os.path.realpath(path))


class Gap:
    """Count lost rows until an event ``gap`` stands in their place.

    :param whose: stands behind the number of rows in the event's detail; begins with a space.
    :ivar rows: how many rows were lost since the last event.
    :ivar total: how many rows were lost in all.
    """

    def __init__(self, whose: str = "") -> None:
        self.rows = self.total = 0
        self._whose = whose
        self._start = self._end = 0.0

    def add(self, rows: int, start: float, end: float) -> None:
        """Count rows that were recorded between two times (s, Unix time)."""
        if not self.rows:
            self._start = start
        self._end = end
        self.rows += rows
        self.total += rows

    def end(self) -> str:
        """Return the detail of the event, or "" if no row was lost since the last call."""
        if not self.rows:
            return ""
        rows, self.rows = self.rows, 0
        return f"{rows} rows{self._whose} lost from {_time(self._start)} to {_time(self._end)}"


def _time(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
