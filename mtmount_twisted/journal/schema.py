"""The schema of the journal: its tables, its version, its path, and the words in its columns.

The bridge writes the file (`journal.file`), and ``mtmount-journal`` reads it (`journal.reading`); both use
this module. The module holds text and numbers, and opens no file. ``docs/reference/journal.rst`` explains
each column and word. Next to read: `file`; `reading`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from mtmount_twisted.dialects.dialect import Dialect, DialectName, Meaning
from mtmount_twisted.dialects.sources import Source

APPLICATION_ID = 0x4D544D4A
"""SQLite's ``application_id`` of a journal, "MTMJ". It distinguishes a journal from other databases."""

VERSION = 2
"""SQLite's ``user_version``, which increases with each change of a table."""

SPAN_IDS = 2**11
"""The number of ids that one row of ``span`` covers. The table is a compact index on time."""

RUN_IDS = 2**36
"""The number of ids reserved for each run, so that ids of two daemons never collide. An id fits into a
double."""

CONTROLLER = "controller"
"""The peer name of the controller."""

EVERYONE = "everyone"
"""The peer name of all commanders, the receivers of an event."""

OBSERVERS = "observers"
"""The peer name of all observers, which receive each reply too."""

RESERVED_NAMES = ("bridge", "broker", CONTROLLER, EVERYONE, OBSERVERS, "web")
"""Names that no commander may have. These names, and names that begin with one of them and ``/``, have a
meaning of their own."""

LONGEST_NAME = 64
"""The longest name of a commander, in characters."""

OPEN_STEPS = ("received", "sent", "ack")
"""The steps after which a command is still pending; an Ack may also be its end: see `is_end`."""

STEPS = {
    Meaning.ACKNOWLEDGED: "ack",
    Meaning.REJECTED: "noack",
    Meaning.FAILED: "noack",
    Meaning.SUPERSEDED: "noack",
    Meaning.SUCCEEDED: "done",
}
"""The step of a command that a reply to it makes."""

CHANGES = (
    "connected",
    "disconnected",
    "finished",
    "cut_off",
    "link_up",
    "link_down",
    "telemetry_silent",
    "telemetry_back",
    "lease_granted",
    "lease_released",
    "lease_requested",
    "slew",
    "tenure",
    "started",
    "stopped",
    "gap",
    "malformed",
    "omitted",
    "repeated",
    "tracked",
    "unknown",
)
"""The kinds of changes, which the table ``event`` has in its column ``kind``."""

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
"""The columns of each table after ``id`` and ``run``, in the order in which the bridge writes them."""

Row = tuple[Any, ...]
"""The number of a row, which increases within the run, and the values of the table's `COLUMNS`."""


class Unprivileged(Row):
    """A row caused by a client without rights. It is deleted or dropped before other rows."""

    __slots__ = ()


Batch = tuple[list[Row], list[Row], list[Row]]
"""Rows to write in one transaction: a list for each table of `COLUMNS`, in the order of recording."""

FIRST_AND_LAST_ID = f"""SELECT coalesce(min(low), 0), coalesce(max(high), 0) FROM ({
    " UNION ALL ".join(
        f"SELECT (SELECT min(id) FROM {table}) low, (SELECT max(id) FROM {table}) high" for table in COLUMNS
    )
})"""
"""SQL for the lowest and the highest id of the file, 0 if it has no rows. Each aggregate has its own SELECT:
SQLite uses the index for one aggregate, and scans the table for two."""

_SPAN = """CREATE TABLE span (
    span INTEGER PRIMARY KEY, rows INTEGER NOT NULL, low REAL NOT NULL, high REAL NOT NULL)"""

_OPEN = ", ".join(f"'{step}'" for step in OPEN_STEPS)


def is_end(step: str, code: int, dialect: Dialect) -> bool:
    """Return True if a step ends its command: it is not an open step, or it is the Ack of a track command.

    :param code: the code of the command.
    :param dialect: the dialect in which the code has its meaning.
    """
    return step not in OPEN_STEPS or (step == "ack" and dialect.kind_of(code).ack_only)


UNNAMED: DialectName = "tma2020"
"""The dialect of a run without a dialect in the file: earlier versions spoke no other."""


KeptTracks = Literal["summary", "all"]
"""The words for the part of accepted track commands that the journal keeps."""


class FileOptions(Struct, frozen=True):
    """The options of a journal's file.

    :ivar dialect: the name of the run's dialect.
    :ivar keep_days: the age at which a row is deleted, in days; None to keep all rows.
    :ivar keep_bytes: the largest size of the file and its write-ahead log, in bytes: the oldest rows are
        deleted; if rows still have no room, they are counted and dropped. None for no limit.
    :ivar tracks: ``summary`` to keep a run of accepted track commands as one row a second; ``all`` to keep
        each command in full.
    """

    dialect: DialectName = UNNAMED
    keep_days: float | None = None
    keep_bytes: int | None = None
    tracks: KeptTracks = "all"


DEFAULT_OPTIONS = FileOptions()

RUN_DIALECT_TABLE = "run_dialect"
"""The table with the name of each run's dialect."""

RUN_DIALECT = f"""CREATE TABLE {RUN_DIALECT_TABLE} (
    run INTEGER PRIMARY KEY, dialect TEXT NOT NULL, UNIQUE (dialect, run))"""
"""SQL that creates the table `RUN_DIALECT_TABLE`. ``run`` has no column with the dialect, because the
previous version compares the text of each table that it knows, and would refuse a file with another
column."""


def by_dialect(dialects: Sequence[Dialect], run: str, condition: Callable[[Dialect], str]) -> str:
    """Return an SQL condition that differs between dialects.

    :param dialects: the dialects of the file's runs.
    :param run: the SQL expression of the run.
    :param condition: return the SQL condition for a dialect.
    """
    if len(dialects) == 1:
        return condition(dialects[0])
    name = f"coalesce((SELECT d.dialect FROM {RUN_DIALECT_TABLE} d WHERE d.run = {run}), '{UNNAMED}')"
    cases = [f"WHEN '{dialect.name}' THEN {condition(dialect)}" for dialect in dialects]
    return f"CASE {name} {' '.join(cases)} ELSE 0 END"


def is_end_sql(dialects: Sequence[Dialect]) -> str:
    """Return the SQL condition of `is_end` for a row ``e`` of ``step``.

    :param dialects: the dialects of the file's runs.
    """
    is_last_ack = by_dialect(dialects, "e.run", _is_ack_only)
    return f"(e.step NOT IN ({_OPEN}) OR (e.step = 'ack' AND {is_last_ack}))"


def _is_ack_only(dialect: Dialect) -> str:
    codes = [str(code) for code in sorted(dialect.command_names) if dialect.kind_of(code).ack_only]
    return f"e.code IN ({', '.join(codes)})"


UNPRIVILEGED_TABLE = "unprivileged"
"""The table with the ids of the rows that clients without rights caused."""

UNPRIVILEGED = f"CREATE TABLE {UNPRIVILEGED_TABLE} (id INTEGER PRIMARY KEY)"
"""SQL that creates the table `UNPRIVILEGED_TABLE`; its rows are deleted first."""

CODE_NAME_TABLE = "code_name"
"""The table with the names of the numbers in the other tables and in lines."""

CODE_NAME = f"""CREATE TABLE {CODE_NAME_TABLE} (
    dialect TEXT NOT NULL, kind TEXT NOT NULL, code INTEGER NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (dialect, kind, code)) WITHOUT ROWID"""
"""SQL that creates the table `CODE_NAME_TABLE`."""

ADDED = {
    UNPRIVILEGED_TABLE: UNPRIVILEGED,
    RUN_DIALECT_TABLE: RUN_DIALECT,
    CODE_NAME_TABLE: CODE_NAME,
}
"""SQL of the tables that a journal of this `VERSION` may lack. The daemon adds them when it opens the file,
and the version that made the file can still use it."""


def code_names(dialect: Dialect) -> list[tuple[str, str, int, str]]:
    """Return the rows of the table `CODE_NAME_TABLE` for a dialect.

    The kinds are ``command``, ``answer`` (a reply to a command), ``event`` and ``source``.
    """
    names = [("command", code, dialect.kind_of(code).name) for code in dialect.command_names]
    for code, name in dialect.reply_names.items():
        reply = dialect.replies.get(code)
        fields = () if reply is None else dialect.reply_fields(reply)
        is_answer = any(field.name == "sequence_id" for field in fields)
        names.append(("answer" if is_answer else "event", code, name))
    names += [("source", source.value, source.name) for source in Source]
    return [(dialect.name, kind, int(code), name) for kind, code, name in names]


def commands_sql(dialects: Sequence[Dialect]) -> str:
    """Return the SELECT of the view ``command``.

    The programs of this package do not read the view, because a file may define it in another way.

    :param dialects: the dialects of the file's runs.
    """
    return f"""SELECT s.id, s.run, s.key, s.time, s.peer, s.epoch, s.sequence_id, s.code, s.lease,
            CASE s.key WHEN 0 THEN s.step ELSE coalesce(
                (SELECT e.step FROM step e WHERE e.run = s.run AND e.key = s.key AND {is_end_sql(dialects)}
                    ORDER BY e.id LIMIT 1),
                'open') END AS outcome,
            s.key <> 0 AND EXISTS (
                SELECT 1 FROM step e WHERE e.run = s.run AND e.key = s.key AND e.step = 'sent') AS sent,
            CASE s.key WHEN 0 THEN s.time ELSE
                (SELECT max(e.time) FROM step e WHERE e.run = s.run AND e.key = s.key) END AS last_time
        FROM step s
        WHERE s.key = 0 OR s.id = (SELECT min(f.id) FROM step f WHERE f.run = s.run AND f.key = s.key)"""


def _dialect_of(row: str) -> str:
    return f"coalesce((SELECT d.dialect FROM {RUN_DIALECT_TABLE} d WHERE d.run = {row}.run), '{UNNAMED}')"


_COMMAND_NAME = f"""coalesce((SELECT n.name FROM {CODE_NAME_TABLE} n WHERE n.dialect = {_dialect_of("s")}
    AND n.kind = 'command' AND n.code = s.code), 'command ' || s.code)"""

_SENDER = "CASE s.peer WHEN 'bridge' THEN 'the bridge' ELSE s.peer END"

_STEP_SENTENCE = f"""CASE s.step
    WHEN 'received' THEN {_SENDER} || ' sends '
    WHEN 'sent' THEN 'the bridge passes on ' || {_SENDER} || '''s '
    WHEN 'ack' THEN 'the mount accepts ' || {_SENDER} || '''s '
    WHEN 'done' THEN 'the mount has done ' || {_SENDER} || '''s '
    WHEN 'noack' THEN 'the mount rejects ' || {_SENDER} || '''s '
    WHEN 'local' THEN 'the bridge carries out ' || {_SENDER} || '''s '
    WHEN 'refused' THEN 'the bridge refuses ' || {_SENDER} || '''s '
    ELSE replace(s.step, '_', ' ') || ': ' || {_SENDER} || '''s ' END
    || {_COMMAND_NAME} || ' (no. ' || s.sequence_id || ')'
    || CASE s.explanation WHEN '' THEN '' ELSE ': ' || s.explanation END"""
"""SQL of the sentence for a row ``s`` of ``step``."""

_EVENT_SENTENCE = f"""CASE e.kind
    WHEN 'link_up' THEN 'the mount is connected'
    WHEN 'link_down' THEN 'the mount is disconnected'
    WHEN 'lease_granted' THEN e.peer || ' has command'
    WHEN 'lease_released' THEN e.peer || ' no longer has command'
    WHEN 'lease_requested' THEN e.peer || ' asks the holder for command'
    WHEN 'started' THEN 'the bridge starts'
    WHEN 'stopped' THEN 'the bridge stops'
    WHEN 'tracked' THEN e.peer || ' tracks'
    ELSE CASE e.peer WHEN '' THEN 'the bridge' WHEN '{CONTROLLER}' THEN 'the mount' ELSE e.peer END
        || ': ' || replace(e.kind, '_', ' ') END
    || CASE e.detail WHEN '' THEN '' ELSE ': ' || e.detail END"""
"""SQL of the sentence for a row ``e`` of ``event``."""

_LINE_CODE = """CASE WHEN substr(CAST(m.line AS TEXT), 1, 1) <> '{' THEN CAST(CAST(m.line AS TEXT) AS INTEGER)
    WHEN json_valid(CAST(m.line AS TEXT)) THEN json_extract(CAST(m.line AS TEXT), '$.id') END"""
"""SQL of the code of a reply or event: the first field of a text, or a member of JSON."""

_LINE_SENTENCE = "'the mount reports ' || n.name || ': ' || replace(CAST(m.line AS TEXT), char(10), ' ')"
"""SQL of the sentence for an event, a row ``m`` of ``message`` with the row ``n`` of its name."""

HISTORY = f"""CREATE VIEW history AS
        SELECT id, run, time, strftime('%Y-%m-%dT%H:%M:%fZ', time, 'unixepoch') AS at, peer, sentence FROM (
            SELECT s.id, s.run, s.time, s.peer, {_STEP_SENTENCE} AS sentence FROM step s
            UNION ALL
            SELECT e.id, e.run, e.time, e.peer, {_EVENT_SENTENCE} FROM event e
            UNION ALL
            SELECT m.id, m.run, m.time, m.peer, {_LINE_SENTENCE}
            FROM message m JOIN {CODE_NAME_TABLE} n ON n.kind = 'event' AND n.dialect = {_dialect_of("m")}
                AND n.code = {_LINE_CODE}
            WHERE m.peer = '{CONTROLLER}' AND m.direction = 'from')"""
"""SQL that creates the view ``history``: steps, events and the mount's own events as sentences."""


def views(dialects: Sequence[Dialect]) -> dict[str, str]:
    """Return the SQL of each view, by its name. ``unknown`` lists commands that a killed daemon left pending.

    :param dialects: the dialects of the file's runs.
    """
    return {
        "command": f"""CREATE VIEW command AS
        {commands_sql(dialects)}""",
        "unknown": """CREATE VIEW unknown AS
        SELECT id, run, key, time, peer, epoch, sequence_id, code, lease FROM command
        WHERE sent AND outcome = 'open' AND run < (SELECT max(run) FROM run)""",
        "history": HISTORY,
    }


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
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
"""SQL that makes an empty file a journal, besides its views."""


def usable_name(text: str) -> str:
    """Return the text if it is a valid name of a commander in a configuration.

    :raises ValueError: with the expected form.
    """
    return _usable(text, r"[A-Za-z0-9_-]+", "letters, digits, - and _")


def usable_client_name(text: str) -> str:
    """Return the text if it is a valid name in a client's certificate.

    ``alice@site.org``, ``Ann Lee`` and ``desk.site.org`` are valid. A slash is not valid, because it
    separates the name of a port from the name of its client.

    :raises ValueError: with the expected form.
    """
    words = r"[A-Za-z0-9_.@-]+(?: [A-Za-z0-9_.@-]+)*"
    return _usable(text, words, "letters, digits, - _ . @ and single spaces between them")


def _usable(text: str, pattern: str, expected: str) -> str:
    if re.fullmatch(pattern, text) is None or len(text) > LONGEST_NAME:
        raise ValueError(f"{expected}, at most {LONGEST_NAME}")
    if text in RESERVED_NAMES:
        raise ValueError(f"none of {', '.join(RESERVED_NAMES)}, which are reserved")
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
"""SQL that converts a journal of each version to the next version."""


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the default path of the journal, in ``XDG_STATE_HOME`` or in ``~/.local/state``.

    :raises RuntimeError: if this user has no home directory.
    """
    state = environment.get("XDG_STATE_HOME", "")
    folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return folder / "mtmount-bridge" / "journal.sqlite"


def default_recordings(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the default folder of the recordings of telemetry, beside the journal.

    :raises RuntimeError: if this user has no home directory.
    """
    return default_path(environment).with_name("recordings")


def real_path(path: Path) -> Path:
    """Return the path of a journal with symbolic links resolved, even if the file does not exist.

    SQLite keeps its write-ahead log beside the target of a link, not beside the link.
    """
    return Path(os.path.realpath(path))


class Gap:
    """Count lost rows until an event ``gap`` replaces them.

    :param whose: a phrase for the owner of the rows in the event's detail. It begins with a space.
    :ivar rows: the number of rows lost since the last event.
    :ivar total: the number of rows lost in all.
    """

    def __init__(self, whose: str = "") -> None:
        self.rows: int = 0
        self.total: int = 0
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
