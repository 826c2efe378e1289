"""`follow`: yield the entries after a given one as the daemon writes them, for ``tail -f``.

Without a selection of commands, each look reads only new entries. If commands are selected by outcome, all
entries of a command appear as soon as it has that outcome; a look then also reads the earlier entries of each
new command. The module only reads the file. It blocks, and waits by the function `pause` that it receives. No
Twisted. Next to read: ``journal.reading``, which reads the entries; `program`, which runs ``tail``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mtmount_twisted.journal.checking import FILE_ERRORS, in_words
from mtmount_twisted.journal.reading import (
    NEAR,
    Entry,
    JournalError,
    Stories,
    Wanted,
    find_commands,
    first_and_last,
    open_journal,
    rows,
    step_ranges,
    without_commands,
)

MOST_FAILURES = 150
"""The largest number of failed looks in a row at an existing file. The bridge needs a while to set a damaged
file aside; without a bridge the file stays as it is."""

MOST_STORIES = 1000
"""The largest number of selected commands whose later entries are still recognised: the latest ones."""


class Follower:
    """Reader of the new entries in one file.

    :param after: id of the last known entry.
    """

    def __init__(self, path: Path, wanted: Wanted, after: int) -> None:
        self._file = os.stat(path)  # before the file is opened, so that a later replacement is noticed
        self._db = open_journal(path)
        self._path = path
        self._wanted = wanted
        self._seen = after
        self._version = -1
        self._told: dict[int, Any] = {}  # commands by the id of their first step

    def look(self) -> Iterator[Entry]:
        """Yield the entries since the last look."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        _, last = first_and_last(self._db)
        if self._wanted.by_command:
            for first, end in step_ranges(self._db, self._seen + 1, last):
                yield from self._of_commands(first - 1, end)
                self._seen = end
        else:
            for entry in rows(self._db, self._wanted, after=self._seen, before=last + 1):
                self._seen = entry.id
                yield entry
        self._seen, self._version = last, version  # set last, so that a failed look is repeated

    def _of_commands(self, seen: int, last: int) -> Iterator[Entry]:
        found = {row[0]: row for row in find_commands(self._db, self._wanted, seen + 1, last)}
        new = Stories()
        for row in found.values():
            if row[0] not in self._told:
                new.add(row)
        self._told |= found
        wanted = without_commands(self._wanted)
        if new.steps:
            low = min(new.steps) - NEAR
            yield from filter(new.hold, rows(self._db, wanted, after=low - 1, before=seen + 1))
        told = Stories()
        for row in self._told.values():
            told.add(row)
        yield from filter(told.hold, rows(self._db, wanted, after=seen, before=last + 1))
        for old in list(self._told)[:-MOST_STORIES]:
            del self._told[old]

    def is_in_place(self) -> bool:
        """Return False if the path has another file, or none."""
        try:
            return os.path.samestat(os.stat(self._path), self._file)
        except OSError:
            return False

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def follow(path: Path, wanted: Wanted, after: int, pause: Callable[[], None]) -> Iterator[Entry]:
    """Yield the entries after a given one without end. `pause` is called between two looks at the file.

    If another file takes the place of the first one, the function follows the new file from its beginning. If
    the file is missing, or unreadable for a moment, the function waits for it.

    :raises JournalError: if the file is unreadable at first, or exists and stays unreadable for long.
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
            except (JournalError, *FILE_ERRORS, OSError) as error:
                failures += 1
                if failures > MOST_FAILURES:
                    raise JournalError(f"the journal can't be read further: {in_words(error)}") from None
            pause()
    finally:
        if follower is not None:
            follower.close()
