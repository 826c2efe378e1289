"""What comes after an entry, for as long as somebody looks: ``tail -f``.

Each look reads what is new and nothing else. Where a command is asked for by its outcome, all that belongs
to it is given as soon as it has that outcome. Next to read: `reading`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mtmount_twisted.journal.checking import in_words
from mtmount_twisted.journal.reading import (
    Entry,
    JournalError,
    Stories,
    Wanted,
    find_commands,
    first_and_last,
    open_journal,
    rows,
    without_commands,
)

MOST_FAILURES = 150
"""How many looks at a file that is there may fail, one after the other: the bridge needs a while to set a
damaged one aside, and without a bridge it stays as it is."""

LINES_BEFORE = 1000
"""How many ids before its first step a command's line may have."""

MOST_STORIES = 1000
"""How many of the last commands are remembered, for what comes of them."""


class Follower:
    """What is new in one file, look by look.

    :param after: the id of the last entry that is known.
    """

    def __init__(self, path: Path, wanted: Wanted, after: int) -> None:
        self._file = os.stat(path)  # first: if it is replaced now, that is seen later
        self._db = open_journal(path)
        self._path = path
        self._wanted = wanted
        self._seen = after
        self._version = -1
        self._told: dict[int, Any] = {}  # commands by the id of their first step

    def look(self) -> Iterator[Entry]:
        """The entries that came since the last look."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        _, last = first_and_last(self._db)
        if self._wanted.by_command:
            yield from self._of_commands(self._seen, last)
        else:
            for entry in rows(self._db, self._wanted, after=self._seen, before=last + 1):
                self._seen = entry.id
                yield entry
        self._seen, self._version = last, version  # now, so that a look that fails is taken again

    def _of_commands(self, seen: int, last: int) -> Iterator[Entry]:
        found = {row[0]: row for row in self._commands(seen, last)}
        new = Stories()
        for row in found.values():
            if row[0] not in self._told:
                new.add(row)
        self._told |= found
        for old in list(self._told)[:-MOST_STORIES]:
            del self._told[old]
        wanted = without_commands(self._wanted)
        if new.steps:
            low = min(new.steps) - LINES_BEFORE
            yield from filter(new.hold, rows(self._db, wanted, after=low - 1, before=seen + 1))
        told = Stories()
        for row in self._told.values():
            told.add(row)
        yield from filter(told.hold, rows(self._db, wanted, after=seen, before=last + 1))

    def _commands(self, seen: int, last: int) -> list[Any]:
        """The commands that are asked for and have new steps."""
        sql = """SELECT min(f.id) FROM
                (SELECT DISTINCT run, key FROM step WHERE id > ? AND id <= ? AND key <> 0) n
            JOIN step f ON f.run = n.run AND f.key = n.key GROUP BY n.run, n.key
            UNION ALL SELECT id FROM step WHERE id > ? AND id <= ? AND key = 0"""
        firsts = self._db.execute(sql, (seen, last) * 2).fetchall()
        return [row for (first,) in firsts for row in find_commands(self._db, self._wanted, first, first)]

    def is_in_place(self) -> bool:
        """False once another file, or none, has the path."""
        try:
            return os.path.samestat(os.stat(self._path), self._file)
        except OSError:
            return False

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def follow(path: Path, wanted: Wanted, after: int, pause: Callable[[], None]) -> Iterator[Entry]:
    """The entries that come after one, for ever; `pause` is called between two looks at the file.

    A file that takes the place of the first is followed from its beginning; one that is not there, or can't
    be read for a moment, is waited for.

    :raises JournalError: if it can't be read at first, or is there and can't be read for long.
    """
    follower: Follower | None = Follower(path, wanted, after)
    failures = 0
    try:
        while True:
            try:
                if follower is not None and path.exists() and not follower.is_in_place():
                    follower.close()
                    follower = None
                if follower is None and path.exists():
                    follower = Follower(path, wanted, 0)
                if follower is not None:
                    yield from follower.look()
                failures = 0
            except (JournalError, sqlite3.Error, OSError) as error:
                failures += 1
                if failures > MOST_FAILURES:
                    raise JournalError(f"the journal can't be read further: {in_words(error)}") from None
            pause()
    finally:
        if follower is not None:
            follower.close()
