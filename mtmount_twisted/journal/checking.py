"""Checks of a journal's file before it is used, because anyone may have made the file.

``mtmount-journal`` reads files from other machines, and the daemon opens the file at its path. A hostile file
may contain an endless view in place of a table, a trigger that runs as a row is written, or a value of
hundreds of megabytes. No such file may stop the programs or fill the memory. The settings here follow
SQLite's page "Defense Against The Dark Arts". It reads the files that it is given, in the caller's thread.
Next to read: `file` and `reading`, which use the checks.
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

from .schema import ADDED, APPLICATION_ID, COLUMNS, MIGRATIONS, SCHEMA, VERSION

FILE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""The errors of reading a file. SQLite's error text may quote the file's schema, and Python decodes it as
UTF-8."""

LAST_ID = 2**62
"""The bound on all ids; sums of ids then fit into SQLite's 64 bits."""

EARLIEST, LATEST = -62_135_596_800.0, 253_402_300_799.0
"""The bounds on the time of a row (s, Unix time): the years 1 to 9999, the range of `datetime`."""

MAX_OBJECTS = 1000
"""The largest number of tables, views, indexes and triggers in a journal. SQLite parses all of them before it
runs the first statement."""

LONGEST_SQL = 16 * 1024
"""The longest SQL text of one table, view, index or trigger, in bytes."""

_STEPS_PER_OBJECT = 7
"""The number of instructions of SQLite's virtual machine for each such object, found by experiment with
SQLite 3.40."""

TABLES = ("run", *COLUMNS)
"""The tables that every journal has."""

SIDES = ("-wal", "-shm", "-journal")
"""The suffixes of the files that SQLite keeps beside its file (sqlite.org/tempfiles.html)."""

_MAKING = {
    statement.split()[2]: " ".join(statement.split())
    for statement in (*SCHEMA, *ADDED.values())
    if statement.startswith("CREATE TABLE")
}

_PLAIN_INDEX = re.compile(r"CREATE INDEX \S+ ON \w+ ?\([\w, ]+\)")

LONGEST_NAME = 200
"""The longest name of a peer or of a kind, in characters; the longest of the bridge has 68."""

_NAMES = ("peer", "what")
_INTEGERS = ("run", "epoch", "key", "sequence_id", "code", "lease")


def unfit(found: os.stat_result, user: int) -> str:
    """Return the reason why a file can't be a journal of this user; empty if it can."""
    if why := kind_problem(found):
        return why
    if stat.S_ISDIR(found.st_mode):
        return "it is a folder; expected a regular file"
    if found.st_uid != user:
        return f"it belongs to user {found.st_uid}, who can change it; expected the daemon's user {user}"
    return ""


def side_problem(path: str | os.PathLike[str]) -> str:
    """Return the reason why SQLite must not open a journal with the files beside it; empty if it may.

    SQLite opens the write-ahead log and the rollback journal by name, without a check. It follows a link, and
    it waits for ever at a FIFO.
    """
    for end in SIDES:
        name = f"{os.fspath(path)}{end}"
        try:
            found = os.lstat(name)
        except OSError:
            continue
        if why := "it is a symbolic link" if stat.S_ISLNK(found.st_mode) else kind_problem(found):
            why = why.removesuffix("; expected a regular file")
            return f"{name}: {why}; expected a regular file of SQLite, or no file: remove it"
    return ""


def restrict(db: sqlite3.Connection, longest: int) -> None:
    """Restrict SQLite before it uses a file, then read the file's schema.

    SQLite calls no unsafe function that the schema names, reads no value longer than a bound, and accepts
    only a small schema.

    :param longest: the longest value, in bytes.
    :raises NotAJournalError: if the schema is too large for a journal.
    :raises sqlite3.Error: if the file can't be read.
    """
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
    db.execute("PRAGMA trusted_schema = OFF").fetchall()
    usual = db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, LONGEST_SQL)
    db.set_progress_handler(lambda: True, MAX_OBJECTS * _STEPS_PER_OBJECT)  # ends the statement
    try:
        db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise NotAJournalError(f"it has more than {MAX_OBJECTS} tables, views and others") from None
        raise
    except UnicodeDecodeError:  # of SQLite's error text
        damage = sqlite3.DatabaseError("malformed database schema, with text that is not UTF-8")
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage from None
    finally:
        db.set_progress_handler(None, 0)
        db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, usual)


def wrong_objects(found: Iterable[Sequence[Any]], *, writing: bool = False) -> str:
    """Return the reason why a file's schema is not the bridge's; empty if it is.

    A view in place of a table may be endless, and a trigger may run any SQL as a row is written. Other added
    objects are harmless, because they are neither read nor written.

    :param found: type, name and SQL of each row of ``sqlite_master``.
    :param writing: True if rows will be written, which runs triggers and updates indexes. An empty file is
        then accepted too.
    """
    lacking = set(TABLES)
    is_empty = True
    for kind, name, sql in found:
        is_empty = False
        text = " ".join(str(sql).split())
        shown = f"{ascii(kind)[1:20].rstrip(chr(39))} {ascii(name)[:100]}"
        if name in _MAKING:
            if kind != "table" or text != _MAKING[name]:
                return f"its {shown} differs from that of the bridge"
            lacking.discard(name)
        elif writing and kind == "trigger":
            return f"it has a {shown}; the bridge makes no trigger"
        elif writing and kind == "index" and sql is not None and not _PLAIN_INDEX.fullmatch(text):
            return f"it has an {shown} with expressions; expected indexes on columns only"
    return "" if not lacking or (writing and is_empty) else f"it has no table {', '.join(sorted(lacking))}"


def unusable(application: int, version: int, objects: Sequence[Sequence[Any]]) -> str:
    """Return the reason why the daemon refuses a file; empty if it does not.

    :param application: the file's ``application_id``.
    :param version: its ``user_version``.
    :param objects: as for `wrong_objects`.
    """
    if objects and application != APPLICATION_ID:
        return "it is a database of another program"
    if objects and version not in (VERSION, *MIGRATIONS):
        return f"it is of version {version}, this program writes version {VERSION}"
    return wrong_objects(objects, writing=True)


def is_rows_fault(error: Exception) -> bool:
    """Return True if SQLite or Python's module for it can't return a value: it is too long, or not UTF-8."""
    from_module = isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")
    return isinstance(error, sqlite3.DataError) or from_module


def in_words(error: Exception) -> str:
    """Return SQLite's error text, shortened and without control characters: a file may put names in it."""
    return visible(str(error)[:200])


def faulty_row(db: sqlite3.Connection, table: str, low: int, high: int) -> int | None:
    """Return the id of the first row in a range that can't be read because of its content, or None."""
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
    except FILE_ERRORS as error:
        if not is_rows_fault(error):
            raise
        return False
    return True


def wrong_value(table: str, values: dict[str, Any]) -> str:
    """Return a text about the first value of a row that the bridge can't have written; empty if there is
    none.

    :param values: the values of the row, by column.
    """
    for name, value in values.items():
        if name == "time":
            is_right = type(value) is float and EARLIEST <= value < LATEST
        elif name == "line":
            is_right = type(value) is bytes if table == "message" else value is None
        else:
            is_right = type(value) is (int if name in _INTEGERS else str)
            if name in _NAMES:
                is_right = is_right and len(value) <= LONGEST_NAME
        if not is_right:
            shown = value[:40] if isinstance(value, (str, bytes)) else value
            return f"{name} is {shown!a}"
    return ""
