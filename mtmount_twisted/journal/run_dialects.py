"""`RunDialects`: the dialect of each run in a file.

The dialect of a run determines the layout of its lines and the meaning of its codes. It reads an open file,
in the caller's thread. Next to read: `schema`, which defines the table.
"""

from __future__ import annotations

import sqlite3
from typing import get_args

from mtmount_twisted.dialects.dialect import Dialect, DialectName, dialect_named
from mtmount_twisted.errors import JournalError

from .checking import FILE_ERRORS, in_words, is_rows_fault
from .schema import RUN_DIALECT_TABLE, UNNAMED

KNOWN: tuple[DialectName, ...] = get_args(DialectName)
"""The names of the dialects that this program can read."""

SHOWN = 40
"""The longest part of an unknown name in an error, in characters."""


class RunDialects:
    """The dialects of the runs in an open file. A run without a name is of the dialect `UNNAMED`.

    :param db: the open file; `checking` has accepted its tables.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        sql = "SELECT count(*) FROM sqlite_master WHERE name = ?"  # a file of an earlier version lacks it
        (self._has_table,) = db.execute(sql, (RUN_DIALECT_TABLE,)).fetchone()
        self._run: int | None = None  # the last run that was asked for: rows come run by run
        self._dialect = dialect_named(UNNAMED)

    def of(self, run: int) -> Dialect:
        """Return the dialect of a run.

        :raises JournalError: if this program does not know the dialect.
        """
        if run != self._run:
            self._dialect, self._run = self._find(run), run
        return self._dialect

    def _find(self, run: int) -> Dialect:
        sql = f"SELECT CAST(substr(dialect, 1, {SHOWN}) AS BLOB) FROM {RUN_DIALECT_TABLE} WHERE run = ?"
        try:
            found = self._db.execute(sql, (run,)).fetchone() if self._has_table else None
        except FILE_ERRORS as error:
            if not is_rows_fault(error):
                raise
            raise JournalError(f"the dialect of run {run} can't be read: {in_words(error)}") from None
        if found is None:
            return dialect_named(UNNAMED)
        found_name = (found[0] or b"").decode("utf-8", "replace")  # SQLite makes NULL of an empty blob
        for name in KNOWN:
            if found_name == name:
                return dialect_named(name)
        raise JournalError(
            f"run {run} is in the dialect {found_name!a}, which this program does not know:"
            f" expected {' or '.join(KNOWN)}; read it with the program that wrote it"
        )

    def named(self) -> list[Dialect]:
        """Return the known dialects that the file names, and `UNNAMED`."""
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {RUN_DIALECT_TABLE} WHERE dialect = ? LIMIT 1)"
        return [
            dialect_named(name)
            for name in KNOWN
            if name == UNNAMED or (self._has_table and self._db.execute(sql, (name,)).fetchone()[0])
        ]
