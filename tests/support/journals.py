"""Journals for tests: in a folder of their own, with a clock that the test moves, and with known rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.journal.recorder import Waiting, Writer
from mtmount_twisted.journal.schema import FileOptions
from mtmount_twisted.journal.writer import JournalWriter

from .folders import scratch_folder
from .records import RecordMaker

START = 1795363443.0
"""When a test's time begins: 2026-11-22T16:04:03Z."""

STAMP = b"2026-11-22T16:04:03.000"
TRACK = b"2\n105\n1\n" + STAMP + b"\n10.0\n0.0\n1795363503.5"


class Faults:
    """Opens databases, and makes them fail as a disk would."""

    def __init__(self) -> None:
        self.most_pages = 0
        self.most_values = 32766
        self.opened: list[sqlite3.Connection] = []

    def connect(self, path: Path, **options: Any) -> sqlite3.Connection:
        """As `sqlite3.connect`, without patience for another's lock."""
        db = sqlite3.connect(path, **options | {"timeout": 0})
        if self.most_pages:
            db.execute(f"PRAGMA max_page_count = {self.most_pages}")
        db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, self.most_values)
        self.opened.append(db)
        return db

    def refuse(self, *arguments: object, **options: object) -> sqlite3.Connection:
        """As `sqlite3.connect` where no file can be opened."""
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    def fill_disk(self) -> None:
        """From now on a file can't grow."""
        self.most_pages = 1
        self.opened[-1].execute("PRAGMA max_page_count = 1")

    def empty_disk(self) -> None:
        """From now on it can."""
        self.most_pages = 2**30


def spoil_schema(path: Path) -> None:
    """Write a byte that is not UTF-8 into the SQL of a journal's schema, as a damaged disk does."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    data = path.read_bytes()
    at = data.index(b"CREATE TABLE span (")
    path.write_bytes(data[:at] + b"CREATE TABLE \xff" + data[at + 14 :])


class JournalCase(SynchronousTestCase):
    """A journal and its file, without the thread between them."""

    max_bytes = 2**20

    def setUp(self) -> None:
        self.path = scratch_folder(self) / "state" / "journal.sqlite"
        self.now = START
        self.ahead = 0.0  # of the wall clock, before the monotonic one
        self.told: list[str] = []
        self.faults = Faults()
        self.open()

    def tearDown(self) -> None:
        self.keeper.close()

    def open(self, **limits: Any) -> None:
        """Begin a run of the daemon."""
        self.waiting = Waiting(self.woken, self.wall_clock, self.max_bytes)
        self.keeper = JournalWriter(
            *(self.path, self.tell, self.waiting.number),
            clock=lambda: self.now,
            wall_clock=self.wall_clock,
            connect=self.faults.connect,
            options=FileOptions(**limits),
        )
        self.writer = Writer(self.waiting, self.keeper)
        self.records = RecordMaker(lambda record: self.waiting.keep(record), self.wall_clock)
        self.wakes = 0

    def wall_clock(self) -> float:
        """Unix time, as the computer has it."""
        return self.now + self.ahead

    def woken(self) -> None:
        """There is something to write."""
        self.wakes += 1

    def tell(self, level: int, text: str, *arguments: object) -> None:
        """The log."""
        self.told.append(text % arguments)

    def record(self, number: int = 1) -> None:
        """Record some lines, a millisecond apart."""
        for _ in range(number):
            self.now += 0.001
            self.records.line("CSC", "from", 1, b"1\n32\n1\n" + STAMP)

    def rows(self, sql: str, path: Path | None = None) -> list[tuple[Any, ...]]:
        """Read rows of the file, as another program does."""
        db = sqlite3.connect(path or self.path)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def change(self, sql: str) -> None:
        """Change the file, as another program does."""
        db = sqlite3.connect(self.path, isolation_level=None)
        db.execute(sql)
        db.close()

    def count(self, table: str = "message") -> int:
        """How many rows a table has."""
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])


def session(records: RecordMaker[int], pass_time: Callable[[float], None]) -> None:
    """Record a short night: a move that is done, a refused stop, a track that is left open."""
    rows: Iterable[tuple[str, tuple[Any, ...]]] = (
        ("change", ("started", "", 0, "version 1")),
        ("change", ("link_up", "controller", 1)),
        ("line", ("CSC", "from", 1, b"1\n103\n1\n" + STAMP + b"\n10.0\n0.0\n0.0\n0.0")),
        ("step", (1001, "received", "CSC", 1, 1, 103, 1)),
        ("line", ("controller", "to", 1, b"1001\n103\n1\n" + STAMP + b"\n10.0\n0.0\n0.0\n0.0")),
        ("step", (1001, "sent", "CSC", 1, 1, 103, 1)),
        ("line", ("controller", "from", 1, b"0\n1001\n1\n" + STAMP + b"\n3000")),
        ("step", (1001, "ack", "CSC", 1, 1, 103, 1)),
        ("line", ("CSC", "to", 1, b"0\n1\n1\n" + STAMP + b"\n3000")),
        ("line", ("controller", "from", 1, b"2\n1001\n1\n" + STAMP)),
        ("step", (1001, "done", "CSC", 1, 1, 103, 1)),
        ("line", ("CSC", "to", 1, b"2\n1\n1\n" + STAMP)),
        ("line", ("controller", "from", 1, b"6\n" + STAMP + b"\n0\n1")),
        ("line", ("everyone", "to", 1, b"6\n" + STAMP + b"\n0\n1")),
        ("pause", (60.0,)),
        ("line", ("EUI", "from", 1, b"1\n32\n2\n" + STAMP)),
        ("step", (0, "refused", "EUI", 1, 1, 32, 1, "refused: CSC has command")),
        ("line", ("EUI", "to", 1, b"1\n1\n2\n" + STAMP + b"\nrefused: CSC has command")),
        ("line", ("CSC", "from", 1, TRACK)),
        ("step", (1002, "received", "CSC", 1, 2, 105, 1)),
        ("line", ("controller", "to", 1, b"1002" + TRACK[1:])),
        ("step", (1002, "sent", "CSC", 1, 2, 105, 1)),
        ("line", ("controller", "from", 1, b"\xff rubbish")),
        ("change", ("link_down", "controller", 1, "connection lost")),
    )
    for kind, values in rows:
        pass_time(0.001)
        if kind == "pause":
            pass_time(*values)
        else:
            getattr(records, kind)(*values)


class SessionCase(JournalCase):
    """A journal that holds a `session`."""

    def setUp(self) -> None:
        super().setUp()

        def pass_time(seconds: float) -> None:
            self.now += seconds

        session(self.records, pass_time)
        self.writer.turn()
