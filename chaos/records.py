"""The contents of the journal's file, read as any program would: read-only, also while the bridge runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import time, time_ns

from mtmount_twisted.journal.file import Store
from mtmount_twisted.journal.schema import COLUMNS, is_end_sql

from .ledger import Ledger
from .setting import TMA2020, TMA2022

_OURS = "(peer = 'csc' OR peer GLOB 'desk/*')"
"""The commanders of the ledger. Strangers and the page have ids of their own."""

_IS_END = is_end_sql([TMA2020.mount, TMA2022.mount])

_ENDS = f"""SELECT sequence_id, run, key, code, sum({_IS_END}) FROM step e
    WHERE {_OURS} GROUP BY sequence_id, run, key, code"""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, read-only."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2)) as db:
        yield db


def rows(path: Path) -> dict[str, tuple[int, int]]:
    """Of each table how many rows are committed, and the last id, at one moment."""
    with opened(path) as db:
        db.execute("BEGIN")
        return {
            table: db.execute(f"SELECT count(*), coalesce(max(id), 0) FROM {table}").fetchone()
            for table in COLUMNS
        }


def missing(path: Path, before: dict[str, tuple[int, int]]) -> int:
    """How many rows are not there that were."""
    with opened(path) as db:
        now = [
            db.execute(f"SELECT count(*) FROM {table} WHERE id <= ?", (last,)).fetchone()[0]
            for table, (_, last) in before.items()
        ]
    return sum(max(0, count - found) for (count, _), found in zip(before.values(), now, strict=True))


def is_sound(path: Path) -> bool:
    """Return the result of ``PRAGMA integrity_check``."""
    with opened(path) as db:
        return bool(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


def count(path: Path, sql: str) -> int:
    """A number."""
    with opened(path) as db:
        return int(db.execute(sql).fetchone()[0] or 0)


def ended(path: Path) -> set[int]:
    """The ids of the commands that have an end."""
    with opened(path) as db:
        sql = f"SELECT sequence_id FROM step e WHERE {_OURS} AND {_IS_END}"
        return {number for (number,) in db.execute(sql)}


def fill(path: Path, rows: int) -> None:
    """Make a journal of an earlier run, with a number of lines that no query selects."""
    path.parent.mkdir(parents=True)
    store = Store(path, None, time_ns)
    now = time()
    line = b"6\n2026-11-26T22:00:00.000\n0\n1"
    store.write(([(number, now, "everyone", "to", 1, line) for number in range(1, rows + 1)], [], []))
    store.close()


def details(path: Path, kind: str) -> list[str]:
    """The details of all events of a kind."""
    with opened(path) as db:
        return [detail for (detail,) in db.execute("SELECT detail FROM event WHERE kind = ?", (kind,))]


def lost(path: Path, ledger: Ledger, is_whole: bool) -> list[str]:
    """Describe each command that does not have exactly one end in the journal.

    A command that a killed daemon left open has an end if a later run reports it (the view ``unknown``). A
    command that the bridge never read is in no journal, and must not have arrived at the mount. The journal
    has one end for each of the commands that one became, which have different codes.

    :param is_whole: False if the file may lack rows, such as the last of a run. Then only two ends
        of one command count.
    """
    with opened(path) as db:
        found: dict[int, list[int]] = {}
        codes: dict[int, set[int]] = {}
        for sequence_id, _, _, code, ends in db.execute(_ENDS):
            found.setdefault(sequence_id, []).append(ends)
            codes.setdefault(sequence_id, set()).add(code)
        unknown = {row[0] for row in db.execute("SELECT sequence_id FROM unknown")}
    wrong = []
    for entry in ledger.entries.values():
        ends = found.get(entry.id)
        if not is_whole:
            if ends is not None and sum(ends) > len(codes[entry.id]):
                wrong.append(f"command {entry.id} has the ends {ends} in the journal")
        elif ends is None:
            if ledger.arrived[entry.id] or (entry.ends and not entry.orphan):
                wrong.append(f"command {entry.id} is not in the journal")
        elif sum(ends) + (entry.id in unknown) != len(ends) or len(ends) > len(codes[entry.id]):
            wrong.append(f"command {entry.id} has the ends {ends} in the journal")
    return wrong
