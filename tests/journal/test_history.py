"""The table ``code_name`` and the view ``history``, as any program that reads SQLite has them."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.journal.checking import wrong_objects
from mtmount_twisted.journal.reading import Wanted, open_journal, rows
from tests.data.previous_journal import checking as previous_checking
from tests.data.previous_journal import reading as previous_reading
from tests.support.journals import JournalCase, SessionCase
from tests.support.pages import DOCS


class HistoryTests(SessionCase):
    """A short night of a tma2020 mount."""

    def test_sentences(self) -> None:
        """Each step, event and report of the mount is a sentence; other lines are left to the steps."""
        sentences = [sentence for (sentence,) in self.rows("SELECT sentence FROM history ORDER BY id")]
        self.assertEqual(
            sentences,
            [
                "the bridge starts: version 1",
                "the mount is connected",
                "CSC sends AzimuthAxisMove (no. 1)",
                "the bridge passes on CSC's AzimuthAxisMove (no. 1)",
                "the mount accepts CSC's AzimuthAxisMove (no. 1)",
                "the mount has done CSC's AzimuthAxisMove (no. 1)",
                "the mount reports IN_POSITION: 6 2026-11-22T16:04:03.000 0 1",
                "the bridge refuses EUI's BothAxesStop (no. 1): refused: CSC has command",
                "CSC sends AzimuthAxisTrack (no. 2)",
                "the bridge passes on CSC's AzimuthAxisTrack (no. 2)",
                "the mount is disconnected: connection lost",
            ],
        )

    def test_query_of_the_page(self) -> None:
        """The query in the reference finds what happened in a minute, with Python's own ``sqlite3``."""
        page = (DOCS / "reference" / "journal.rst").read_text(encoding="utf-8")
        [query] = re.findall(r'journal\.sqlite "\n( +SELECT at, sentence .*?)"\n', page, re.DOTALL)
        query = query.replace("2026-11-22 02:13", "2026-11-22 16:05").replace("02:14", "16:06")
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as db:
            found = db.execute(query).fetchall()
        self.assertEqual(len(found), 4)
        self.assertEqual(
            found[0],
            (
                "2026-11-22T16:05:03.017Z",
                "the bridge refuses EUI's BothAxesStop (no. 1): refused: CSC has command",
            ),
        )

    def test_names(self) -> None:
        """Each number of the dialect has its name: commands, answers, events and sources."""
        names = dict[Any, Any]()
        for dialect, kind, code, name in self.rows("SELECT dialect, kind, code, name FROM code_name"):
            self.assertEqual(dialect, "tma2020")
            names[kind, code] = name
        for (kind, code), name in {
            ("command", 103): "AzimuthAxisMove",
            ("command", 104): "AZIMUTH_AXIS_MOVE_VELOCITY",
            ("answer", 1): "NOACK",
            ("event", 6): "IN_POSITION",
            ("source", 3): "HHD",
        }.items():
            self.assertEqual(names[kind, code], name)
        commands = [code for kind, code in names if kind == "command"]
        self.assertEqual(sorted(commands), sorted(map(int, dialect_named("tma2020").command_names)))

    def test_unknown_code(self) -> None:
        """A command without a name has its number."""
        self.records.step(1003, "received", "CSC", 1, 3, 9999, 1)
        self.writer.turn()
        last = self.rows("SELECT sentence FROM history ORDER BY id DESC LIMIT 1")
        self.assertEqual(last, [("CSC sends command 9999 (no. 3)",)])

    def test_previous_version_uses_the_file(self) -> None:
        """The previous version reads the same rows, and accepts the file to write to it."""
        found = self.rows("SELECT type, name, sql FROM sqlite_master")
        self.assertEqual(previous_checking.wrong_objects(found, writing=True), "")
        with closing(open_journal(self.path)) as db:
            present = [tuple(entry)[:-1] for entry in rows(db, Wanted())]
        with closing(previous_reading.open_journal(self.path)) as db:
            previous = [tuple(entry) for entry in previous_reading.rows(db, previous_reading.Wanted())]
        self.assertEqual(present, previous)

    def test_file_of_the_previous_version(self) -> None:
        """A file without the table and the view is read as it is. The bridge adds both; no row changes."""
        self.keeper.close()
        self.change("DROP VIEW history")
        self.change("DROP TABLE code_name")
        self.assertEqual(wrong_objects(self.rows("SELECT type, name, sql FROM sqlite_master")), "")
        before = self.rows("SELECT id, run, time, line FROM message")
        self.open()
        self.record()
        self.writer.turn()
        self.assertEqual(self.rows("SELECT id, run, time, line FROM message WHERE run = 1"), before)
        first = self.rows("SELECT sentence FROM history ORDER BY id LIMIT 1")
        self.assertEqual(first, [("the bridge starts: version 1",)])


class OtherDialectTests(JournalCase):
    """A run of a tma2022 mount."""

    def setUp(self) -> None:
        super().setUp()
        self.keeper.close()
        self.open(dialect="tma2022")

    def test_report(self) -> None:
        """A report in JSON has the name of its ``id``; a line that is no JSON does no harm."""
        line = b'{"id":200,"timestamp":1.5,"parameters":{"axis":0,"inPosition":true}}'
        for each in (line, b'{"id":', b"\xff", b'{"id":1,"timestamp":1.5,"parameters":{}}'):
            self.records.line("controller", "from", 1, each)
        self.records.step(5, "received", "bridge", 1, 5, 31, 0)
        self.writer.turn()
        self.assertEqual(
            self.rows("SELECT sentence FROM history ORDER BY id"),
            [
                (f"the mount reports IN_POSITION: {line.decode()}",),
                ("the bridge sends BothAxesPower (no. 5)",),
            ],
        )
