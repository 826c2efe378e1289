"""`JournalFile`: the journal's file, read-only, for the outbox, which follows it.

The file may be missing, or another file may take its place: each look notices that. Next to read:
``journal.reading``.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mtmount_twisted.journal.reading import Entry, Wanted, first_and_last, open_journal, rows
from mtmount_twisted.journal.schema import COLUMNS
from mtmount_twisted.journal.times import iso

MOST_COUNTED = 100_000
"""The largest number of rows of one table to count, which takes some 10 ms."""

_EVERYTHING = Wanted()


class JournalFile:
    """The journal's file.

    :param path: the path of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._status: os.stat_result | None = None

    def _open(self) -> sqlite3.Connection:
        """Return the open file.

        :raises JournalError: if it can't be read.
        :raises OSError: if it is missing.
        """
        status = os.stat(self._path)  # before the file is opened, so that a later replacement is noticed
        if self._db is None or self._status is None or not os.path.samestat(status, self._status):
            self.close()
            self._db = open_journal(self._path)
            self._status = status
        return self._db

    def rows(self, after: int, up_to: int) -> Iterator[Entry]:
        """Yield the rows with ids above `after` and up to `up_to`.

        :raises JournalError: if the file can't be read.
        """
        return rows(self._open(), _EVERYTHING, after=after, before=up_to + 1)

    def time_of(self, id: int) -> str | None:
        """Return the time of a row in ISO 8601; None if the file does not have it."""
        entry = next(self.rows(id - 1, id), None)
        return None if entry is None else iso(entry.time)

    def first_and_last(self) -> tuple[int, int]:
        """Return the lowest and the highest id in the file; both 0 if it has no rows."""
        return first_and_last(self._open())

    def behind(self, after: int, up_to: int) -> tuple[int, float | None]:
        """Return the number of rows between two ids, and the time of the first of them (s, Unix time).

        At most `MOST_COUNTED` rows of each table are counted. The time is None if there is no row.
        """
        db = self._open()
        count = 0
        for table in COLUMNS:
            some = f"SELECT 1 FROM {table} WHERE id > ? AND id <= ? LIMIT {MOST_COUNTED}"
            sql = f"SELECT count(*) FROM ({some})"
            count += db.execute(sql, (after, up_to)).fetchone()[0]
        first = next(self.rows(after, up_to), None)
        return count, None if first is None else first.time

    def close(self) -> None:
        """Close the file. A caller may call this twice."""
        db, self._db = self._db, None
        if db is not None:
            db.close()
