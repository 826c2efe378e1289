"""`mtmount_twisted.journal.run_dialects`: the dialect of each run, in files of two versions."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.dialect import DIALECT as TMA2022
from mtmount_twisted.journal.reading import Entry, Wanted, find_commands, open_journal, rows
from mtmount_twisted.journal.schema import commands_sql
from tests.data.previous_journal import checking as previous_checking
from tests.data.previous_journal import reading as previous_reading
from tests.support.journals import STAMP, JournalCase, SessionCase

ONE, OTHER = 31, 35
"""In 2020 the Ack of 31, `BothAxesTrack`, is its end. Since 2022 31 is `BothAxesPower`, and 35 tracks."""


class FileTests(SessionCase):
    """The table in the file."""

    def previous(self) -> None:
        """Make the file one of the previous version."""
        self.keeper.close()
        self.change("DROP TABLE run_dialect")

    def names(self) -> list[tuple[Any, ...]]:
        """The dialect of each run, as a person asks for it."""
        return self.rows(
            "SELECT run, coalesce(dialect, 'tma2020') FROM run LEFT JOIN run_dialect USING (run) ORDER BY run"
        )

    def entries(self) -> list[Entry]:
        """All entries."""
        with closing(open_journal(self.path)) as db:
            return list(rows(db, Wanted()))

    def test_named(self) -> None:
        """Each run has the name of its dialect."""
        self.keeper.close()
        self.open(dialect="tma2022")
        self.writer.turn()
        self.assertEqual(self.rows("SELECT * FROM run_dialect"), [(1, "tma2020"), (2, "tma2022")])
        self.assertEqual(self.names(), [(1, "tma2020"), (2, "tma2022")])

    def test_replaced_file(self) -> None:
        """A run that goes on in a fresh file has its name there, too."""
        self.keeper.close()
        self.open(dialect="tma2022")
        self.record()
        self.writer.turn()
        self.path.unlink()
        self.record()
        self.writer.turn()
        self.assertEqual(self.rows("SELECT * FROM run_dialect"), [(2, "tma2022")])

    def test_file_of_the_previous_version_is_read(self) -> None:
        """A file without the table is read as it is; its runs are of tma2020."""
        entries = self.entries()
        self.previous()
        self.assertEqual(self.entries(), entries)
        self.assertEqual({entry.dialect for entry in entries}, {DIALECT})
        self.assertEqual(self.rows("SELECT name FROM sqlite_master WHERE name = 'run_dialect'"), [])

    def test_file_of_the_previous_version_is_opened(self) -> None:
        """The bridge adds the table to it, and changes no row."""
        self.previous()
        before = self.entries()
        self.open()
        self.writer.turn()
        self.assertEqual(self.names(), [(1, "tma2020"), (2, "tma2020")])
        self.assertEqual(self.rows("SELECT * FROM run_dialect"), [(2, "tma2020")])
        self.assertEqual(self.entries()[: len(before)], before)

    def test_opening_a_large_file_of_the_previous_version(self) -> None:
        """What the bridge writes to add the table does not grow with the file."""
        for _ in range(10):
            self.record(2000)
            self.writer.turn()
        self.previous()
        size = os.stat(self.path).st_size
        self.open()
        self.writer.turn()
        written = os.stat(f"{self.path}-wal").st_size
        self.assertGreater(size, 1_000_000)
        self.assertLess(written, 200_000)

    def test_previous_version_reads_the_file(self) -> None:
        """The previous version's own reader gives the same entries, also by command and outcome."""
        for asked in ({}, {"codes": (103,)}, {"outcomes": ("refused",)}, {"since": self.now - 30}):
            with closing(open_journal(self.path)) as db:
                present = [tuple(entry)[:-1] for entry in rows(db, Wanted(**asked))]  # type: ignore[arg-type]
            with closing(previous_reading.open_journal(self.path)) as db:
                wanted = previous_reading.Wanted(**asked)  # type: ignore[arg-type]
                previous = [tuple(entry) for entry in previous_reading.rows(db, wanted)]
            self.assertTrue(present)
            self.assertEqual(present, previous)

    def test_previous_version_writes_the_file(self) -> None:
        """The previous version's daemon accepts the file; its run has no name, and is of tma2020."""
        found = self.rows("SELECT type, name, sql FROM sqlite_master")
        self.assertEqual(previous_checking.wrong_objects(found, writing=True), "")
        self.keeper.close()
        self.change("INSERT INTO run VALUES (2, 1.5, 1, 'previous')")  # with its columns
        self.change(f"INSERT INTO event VALUES ({2**37}, 2, 1.5, 'started', '', 0, '')")
        self.assertEqual(self.names(), [(1, "tma2020"), (2, "tma2020")])
        self.assertEqual(self.entries()[-1].dialect, DIALECT)


class MixedTests(JournalCase):
    """A file with runs in two dialects, which have the same commands by their codes."""

    def setUp(self) -> None:
        super().setUp()
        self.session()
        self.keeper.close()
        self.open(dialect="tma2022")
        self.session()
        self.db = open_journal(self.path)
        self.addCleanup(self.db.close)

    def session(self) -> None:
        """Two commands, each with its Ack, of a client that speaks tma2020."""
        for key, code in enumerate((ONE, OTHER), 1001):
            for step in ("received", "sent", "ack"):
                self.now += 0.001
                self.records.step(key, step, "CSC", 1, key, code, 1)
            self.records.line("CSC", "from", 1, b"%d\n%d\n1\n%s" % (key, code, STAMP))
        self.writer.turn()

    def found(self, **wanted: Any) -> set[tuple[int, int]]:
        """The run and the code of each command that is found."""
        entries = list(rows(self.db, Wanted(tables=("step",), **wanted)))
        return {(entry.run, entry.code) for entry in entries}

    def test_entries(self) -> None:
        """Each entry has the dialect of its run, read forwards and backwards; a line has its own."""
        self.records.line("CSC", "from", 1, b"1\n35\n1\n1795363480.0\n1")
        self.records.line("CSC", "to", 1, b'{"id":3}')
        self.records.line("controller", "from", 1, b"2\n1\n1\n" + STAMP)  # never of another dialect
        self.writer.turn()
        for backwards in (False, True):
            entries = list(rows(self.db, Wanted(), backwards=backwards))
            dialects = {(entry.run, entry.dialect) for entry in entries if entry.line is None}
            self.assertEqual(dialects, {(1, DIALECT), (2, TMA2022)})
            lines = sorted((entry.id, entry.dialect) for entry in entries if entry.line is not None)
            self.assertEqual([dialect for _, dialect in lines], [DIALECT] * 4 + [TMA2022] * 3)

    def test_lines_of_a_command(self) -> None:
        """The lines of a client are found by its command, whatever they speak."""
        entries = rows(self.db, Wanted(dialect_codes=(("tma2022", OTHER),)))
        self.assertEqual([entry.line for entry in entries if entry.line], [b"1002\n35\n1\n" + STAMP])

    def test_outcomes(self) -> None:
        """An Ack is the end of the commands for which the run's dialect says so."""
        self.assertEqual(self.found(outcomes=("ack",)), {(1, ONE), (2, OTHER)})
        self.assertEqual(self.found(outcomes=("open",)), {(1, OTHER), (2, ONE)})

    def test_codes(self) -> None:
        """A code is asked for in each dialect, or in one."""
        self.assertEqual(self.found(codes=(ONE,)), {(1, ONE), (2, ONE)})
        self.assertEqual(
            self.found(dialect_codes=(("tma2020", OTHER), ("tma2022", ONE))), {(1, OTHER), (2, ONE)}
        )
        self.assertEqual(self.found(dialect_codes=(("tma2022", ONE),)), {(2, ONE)})
        self.assertEqual(self.found(codes=(2**70,)), set())

    def test_view(self) -> None:
        """The file's view says the same to a person who asks with SQL."""
        self.assertEqual(
            self.rows("SELECT run, code FROM command WHERE outcome = 'ack' ORDER BY id"),
            [(1, ONE), (2, OTHER)],
        )

    def test_unknown(self) -> None:
        """The commands that a killed daemon left are counted by the dialect of its run."""
        self.keeper.close()
        self.open()
        self.writer.turn()
        self.assertIn("whose outcome is unknown: 1; ", self.told[-1])
        self.assertEqual(self.found(outcomes=("unknown",)), {(1, OTHER), (2, ONE)})

    def plan(self, sql: str) -> list[str]:
        """How SQLite carries out a SELECT."""
        details = [detail for *_, detail in self.db.execute(f"EXPLAIN QUERY PLAN {sql}")]
        return [detail for detail in details if not detail.startswith("CORRELATED SCALAR SUBQUERY")]

    def test_plan(self) -> None:
        """In a file of two dialects, SQLite looks up a run's dialect by the run; all else is as in one."""
        one, two = self.plan(commands_sql([DIALECT])), self.plan(commands_sql([DIALECT, TMA2022]))
        self.assertIn("SCAN s", one)
        self.assertEqual([detail for detail in two if detail in one], one)
        looked_up = {detail for detail in two if detail not in one}
        self.assertEqual(looked_up, {"SEARCH d USING INTEGER PRIMARY KEY (rowid=?)"})

    def test_one_dialect_needs_no_look_up(self) -> None:
        """A file of one dialect is searched without the table."""
        self.assertNotIn("run_dialect", commands_sql([DIALECT]))

    def test_views_of_another(self) -> None:
        """A table that a person made in place of a view stays."""
        self.keeper.close()
        self.change("DROP VIEW unknown")
        self.change("DROP VIEW command")
        self.change("CREATE TABLE Command (text)")
        self.open()
        self.writer.turn()
        self.assertEqual(self.keeper.fault, "")
        self.assertEqual(self.rows("SELECT type FROM sqlite_master WHERE name = 'Command'"), [("table",)])

    def test_first_steps(self) -> None:
        """A command is found by the id of its first step alone, as ``tail -f`` does."""
        first = next(entry for entry in rows(self.db, Wanted(run=2, codes=(OTHER,))))
        (found,) = find_commands(self.db, Wanted(outcomes=("ack",)), first.id, first.id)
        self.assertEqual(found[:3], (first.id, 2, 1002))
