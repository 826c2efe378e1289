"""What a journal's file must be before it is trusted: a file may come from anybody.

``mtmount-journal`` reads files that were copied from elsewhere, and the daemon opens what it finds at its
path. A file whose tables are views without end, whose triggers act as a row is written, or whose values are
hundreds of megabytes long must neither stop them nor fill the memory. SQLite's own documentation, "Defense
Against The Dark Arts", is the source of the settings here.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

from mtmount_twisted.errors import NotAJournalError
from mtmount_twisted.files import kind_problem
from mtmount_twisted.visible import visible

from .schema import COLUMNS, SCHEMA, UNPRIVILEGED

LAST_ID = 2**62
"""All ids are below this, so that SQLite, which has 64 bits for them, can count with them."""

EARLIEST, LATEST = -62_135_596_800.0, 253_402_300_799.0
"""Between which times a row can be: years 1 to 9999 (s, Unix time), for `datetime` knows no others."""

MAX_OBJECTS = 1000
"""How many tables, views, indexes and triggers a journal may have: SQLite parses the text of all of them
before the first statement."""

LONGEST_SQL = 16 * 1024
"""How long the text of one of them may be, in bytes."""

_STEPS_PER_OBJECT = 7
"""How many instructions SQLite's virtual machine takes for each, found by experiment with SQLite 3.40."""

TABLES = ("run", *COLUMNS)
"""The tables that every journal has."""

SIDES = ("-wal", "-shm", "-journal")
"""How the files end that SQLite keeps beside its file (sqlite.org/tempfiles.html)."""

_MAKING = {
    statement.split()[2]: " ".join(statement.split())
    for statement in (*SCHEMA, UNPRIVILEGED)
    if statement.startswith("CREATE TABLE")
}

_PLAIN_INDEX = re.compile(r"CREATE INDEX \S+ ON \w+ ?\([\w, ]+\)")

_INTEGERS = ("run", "epoch", "key", "sequence_id", "code", "lease")


def unfit(found: os.stat_result, user: int) -> str:
    """Return why a file can't be a journal of this user; empty if it can."""
    if why := kind_problem(found):
        return why
    if stat.S_ISDIR(found.st_mode):
        return "it is a folder; expected a regular file"
    if found.st_uid != user:
        return f"it belongs to user {found.st_uid}, and the daemon is user {user}: who owns it can change it"
    return ""


def side_problem(path: str | os.PathLike[str]) -> str:
    """Why SQLite must not open a journal because of what is beside it; empty if it may.

    SQLite opens the files of a write-ahead log and of a rollback by the journal's name, whatever they are: it
    waits without end for a FIFO's other side, and follows a link.
    """
    for end in SIDES:
        name = f"{os.fspath(path)}{end}"
        try:
            found = os.lstat(name)
        except OSError:
            continue
        if why := "it is a symbolic link" if stat.S_ISLNK(found.st_mode) else kind_problem(found):
            why = why.removesuffix("; expected a regular file")
            return f"{name}: {why}; expected a regular file of SQLite's, or none: remove it"
    return ""


def restrict(db: sqlite3.Connection, longest: int) -> None:
    """Let SQLite call no function that a file's schema names and that could do harm, and read no value that
    is longer than so many bytes. Have it read the schema, which must be small.

    :raises NotAJournalError: if the schema is larger than a journal's can be.
    :raises sqlite3.Error: if it can't be read.
    """
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
    db.execute("PRAGMA trusted_schema = OFF").fetchall()
    usual = db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, LONGEST_SQL)
    db.set_progress_handler(lambda: True, MAX_OBJECTS * _STEPS_PER_OBJECT)  # ends the statement
    try:
        db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise NotAJournalError(f"it has more than {MAX_OBJECTS} tables, views and the like") from None
        raise
    finally:
        db.set_progress_handler(None, 0)
        db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, usual)


def wrong_objects(found: Iterable[Sequence[Any]], *, writing: bool = False) -> str:
    """Return why a file's schema can't be one of the bridge's; empty if it can.

    A table that is a view in truth can go on without end, and a trigger can do anything as a row is written.
    What else somebody has added is neither read nor written.

    :param found: type, name and SQL of all that ``sqlite_master`` has.
    :param writing: True if rows are to be written, which runs triggers and fills indexes; an empty file may
        be written, too.
    """
    lacking = set(TABLES)
    is_empty = True
    for kind, name, sql in found:
        is_empty = False
        text = " ".join(str(sql).split())
        shown = f"{ascii(kind)[1:20].rstrip(chr(39))} {ascii(name)[:100]}"
        if name in _MAKING:
            if kind != "table" or text != _MAKING[name]:
                return f"its {shown} is not as the bridge makes it"
            lacking.discard(name)
        elif writing and kind == "trigger":
            return f"it has a {shown}, and the bridge makes none"
        elif writing and kind == "index" and sql is not None and not _PLAIN_INDEX.fullmatch(text):
            return f"it has an {shown}, which is not one on plain columns"
    return "" if not lacking or (writing and is_empty) else f"it has no table {', '.join(sorted(lacking))}"


def is_rows_fault(error: sqlite3.Error) -> bool:
    """True if SQLite, or Python's module for it, can't give a value: it is too long, or no UTF-8."""
    from_module = isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")
    return isinstance(error, sqlite3.DataError) or from_module


def in_words(error: Exception) -> str:
    """What SQLite says, in which a file may have put names: short, and with nothing that a terminal obeys."""
    return visible(str(error)[:200])


def faulty_row(db: sqlite3.Connection, table: str, low: int, high: int) -> int | None:
    """The first id in a range whose row can't be read because of what it holds; None if all can be."""
    if _can_read(db, table, low, high):
        return None
    while low < high:
        middle = (low + high) // 2
        if _can_read(db, table, low, middle):
            low = middle + 1
        else:
            high = middle
    return low


def _can_read(db: sqlite3.Connection, table: str, low: int, high: int) -> bool:
    sql = f"SELECT * FROM {table} WHERE id >= ? AND id <= ?"
    try:
        with closing(db.execute(sql, (low, high))) as rows:
            for _ in rows:
                pass
    except sqlite3.Error as error:
        if not is_rows_fault(error):
            raise
        return False
    return True


def wrong_value(table: str, values: dict[str, Any]) -> str:
    """Which value of a row is of another type than the bridge writes; empty if none is.

    :param values: by their columns.
    """
    for name, value in values.items():
        if name == "time":
            is_right = type(value) is float and EARLIEST <= value < LATEST
        elif name == "line":
            is_right = type(value) is bytes if table == "message" else value is None
        else:
            is_right = type(value) is (int if name in _INTEGERS else str)
        if not is_right:
            shown = value[:40] if isinstance(value, (str, bytes)) else value
            return f"{name} is {shown!a}"
    return ""
