"""A journal's file that somebody made to do harm: its readers and the daemon get through it."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from mtmount_twisted.cli.journal.following import Follower
from mtmount_twisted.cli.journal.program import run
from mtmount_twisted.errors import JournalError, NotAJournalError
from mtmount_twisted.frontends.web.events.shapes import row_of, shape
from mtmount_twisted.journal import file, reading
from mtmount_twisted.journal.checking import LAST_ID, LONGEST_SQL, MAX_OBJECTS
from mtmount_twisted.journal.reading import LONGEST_VALUE, Entry, Wanted, open_journal, rows
from mtmount_twisted.journal.schema import RUN_IDS, UNNAMED
from tests.support.journals import SessionCase, spoil_schema
from tests.support.web import as_read

ENDLESS = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"


class HostileCase(SessionCase):
    """A journal that holds a session, and that somebody changes."""

    def setUp(self) -> None:
        super().setUp()
        self.keeper.close()
        self.sound = self.read()

    def read(self, **wanted: Any) -> list[Entry]:
        """The entries."""
        with closing(open_journal(self.path)) as db:
            return list(rows(db, Wanted(**wanted)))

    def harm(self, sql: str, *values: object) -> None:
        """Change the file, its schema too."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("PRAGMA writable_schema = ON")
            db.execute(sql, values)

    def program(self, *words: str) -> tuple[int, str, str]:
        """What ``mtmount-journal`` does: its exit status, output and complaint."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = run([words[0], "--journal", str(self.path), *words[1:]])
        return status, out.getvalue(), err.getvalue()


class RowTests(HostileCase):
    """Rows that the bridge can't have written."""

    def assert_named(self, number: int, why: str) -> None:
        """All but one row read as before, and one entry names that one, in all programs."""
        entries = self.read()
        self.assertEqual([entry.id for entry in entries], [entry.id for entry in self.sound])
        bad = [entry for entry in entries if entry.what == reading.UNREADABLE]
        self.assertEqual([entry.text for entry in bad], [f"row {number} of message: {why}"])
        self.assertEqual([entry for entry in entries if entry.id != number], self.others(number))
        backwards = sorted(self.backwards(), key=lambda entry: entry.id)
        self.assertEqual(backwards, entries)
        self.assertEqual(as_read(shape(row_of(bad[0])))["detail"], bad[0].text)
        for words in (("show",), ("tail", "-n", "100")):
            status, out, err = self.program(*words)
            self.assertEqual((status, err), (0, ""))
            (line,) = [line for line in out.splitlines() if "UNREADABLE" in line and "row " in line]
            self.assertTrue(line.endswith(bad[0].text), line)
        status, out, err = self.program("export")
        self.assertEqual((status, len(out.splitlines()), err), (0, len(entries), ""))
        status, out, err = self.program("export", "--format", "csv")
        self.assertEqual((status, len(list(csv.DictReader(io.StringIO(out)))), err), (0, len(entries), ""))
        follower = Follower(self.path, Wanted(), 0)
        self.addCleanup(follower.close)
        self.assertEqual(list(follower.look()), entries)

    def others(self, number: int) -> list[Entry]:
        """What was read before, without a row."""
        return [entry for entry in self.sound if entry.id != number]

    def backwards(self) -> list[Entry]:
        """The entries, the last first."""
        with closing(open_journal(self.path)) as db:
            return list(rows(db, Wanted(), backwards=True))

    def test_times(self) -> None:
        """Times that no calendar has, and what is no time."""
        for time in (1e300, -1e300, float("inf"), "noon"):
            self.harm("UPDATE message SET time = ? WHERE id = 3", time)
            self.assert_named(3, f"time is {time!r}")

    def test_text_for_bytes(self) -> None:
        """Text where bytes belong, and a number where a name does; control characters are not shown raw."""
        self.harm("UPDATE message SET line = ? WHERE id = 5", "\x1b[2J text")
        self.assert_named(5, r"line is '\x1b[2J text'")
        self.harm("UPDATE message SET line = x'31', peer = x'ff' WHERE id = 5")
        self.assert_named(5, r"peer is b'\xff'")

    def test_no_utf8(self) -> None:
        """Text that is no UTF-8."""
        self.harm("UPDATE message SET peer = CAST(x'ff1b' AS TEXT) WHERE id = 7")
        self.assert_named(
            7, "Could not decode to UTF-8 column 'peer' with text '\N{REPLACEMENT CHARACTER}\\x1b'"
        )

    def test_long_blob(self) -> None:
        """A line of hundreds of megabytes is not read."""
        self.harm("UPDATE message SET line = zeroblob(70000000) WHERE id = 9")
        self.assert_named(9, "string or blob too big")

    def test_long_names(self) -> None:
        """The name of a peer that is longer than any of the bridge, or such a word: a page counts only lines
        and texts."""
        for column, name in (("peer", "peer"), ("direction", "what")):
            self.harm(f"UPDATE message SET {column} = ? WHERE id = 9", "x" * 201)
            self.assert_named(9, f"{name} is '{'x' * 40}'")
            self.harm(f"UPDATE message SET {column} = ? WHERE id = 9", "CSC")

    def test_many_long_lines(self) -> None:
        """A page ends early where lines are long, so that a page of them does not fill the memory."""
        self.patch(reading, "PAGE_BYTES", 1000)
        self.harm("UPDATE message SET line = zeroblob(900)")
        self.assertEqual([entry.id for entry in self.read()], [entry.id for entry in self.sound])
        self.assertEqual(self.backwards(), self.read()[::-1])

    def test_first_rows_are_bad(self) -> None:
        """A page of nothing but rows that can't be read, or that nobody asks for, is not the end."""
        self.patch(reading, "SELECT_ROWS", 2)
        self.harm("UPDATE message SET peer = CAST(x'ff' AS TEXT) WHERE id < 8")
        wanted = {"peers": ("EUI",), "tables": ("step",)}
        self.assertEqual([entry.what for entry in self.read(**wanted)], ["refused"])
        entries = self.read(tables=("message",), peers=("EUI",))
        self.assertEqual([entry.what for entry in entries][-2:], ["from", "to"])

    def test_search_by_command(self) -> None:
        """Where a step can't be read, a search by command says which, in one line."""
        step = next(entry.id for entry in self.sound if entry.table == "step")
        text = "x" * (LONGEST_VALUE + 1)
        self.harm("UPDATE step SET peer = ? WHERE id = ?", text, step)
        status, out, err = self.program("show", "--command", "103")
        why = f"row {step} of step: string or blob too big"
        self.assertEqual((status, out), (2, ""))
        self.assertEqual(err, f"mtmount-journal: can't search for commands: {why}\n")
        self.harm("UPDATE step SET peer = 'CSC', time = 'noon' WHERE id = ?", step)
        self.assertEqual(self.program("show", "--command", "103")[0], 0)

    def test_replay(self) -> None:
        """A replay sends none of them."""
        self.harm("UPDATE message SET line = 'text' WHERE direction = 'from' AND peer = 'CSC'")
        status, _, err = self.program("replay", "--peer", "CSC")
        self.assertEqual(status, 2)
        self.assertIn("CSC: no commands that were sent", err)

    def test_unknown_dialect(self) -> None:
        """A run in a dialect that nobody knows ends the reading in one line; the runs before it are read."""
        self.open()
        self.records.step(1000, "received", "CSC", 1, 7, 32, 1)
        self.writer.turn()
        self.keeper.close()
        for value, why in (
            ("'tma2031'", "run 2 is in the dialect 'tma2031', which this program does not know: expected "),
            ("'x' || char(27) || '[2J'", r"run 2 is in the dialect 'x\x1b[2J', which "),
            ("CAST(x'ff1b' AS TEXT)", r"run 2 is in the dialect '\ufffd\x1b', which "),
            ("x'ff'", r"run 2 is in the dialect '\ufffd', which "),
            ("''", "run 2 is in the dialect '', which "),
            ("zeroblob(70000000)", "the dialect of run 2 can't be read: string or blob too big"),
        ):
            self.harm(f"UPDATE run_dialect SET dialect = {value} WHERE run = 2")
            for words in (("show",), ("export",), ("tail", "-n", "100"), ("show", "--outcome", "open,done")):
                status, _, err = self.program(*words)
                self.assertEqual((status, err.count("\n")), (2, 1), (words, err))
                self.assertTrue(err.startswith(f"mtmount-journal: {why}"), err)
            self.assertEqual(self.program("show", "--run", "1")[::2], (0, ""))
            with closing(open_journal(self.path)) as db, self.assertRaises(JournalError):
                list(rows(db, Wanted(), backwards=True))

    def test_span_out_of_range(self) -> None:
        """A span of which SQLite can't compute the ids, in the index on time."""
        for span in (-(2**63), 2**63 - 1):
            self.harm("UPDATE span SET span = ?", span)
            status, _, err = self.program("show", "--since", "1990-01-01")
            self.assertEqual((status, err), (0, ""))

    def test_numbers(self) -> None:
        """Ids, spans and runs at the end of what SQLite can count with."""
        last = 2**63 - 1
        self.harm("UPDATE message SET id = ? WHERE id = 3", last)
        self.harm("UPDATE span SET span = ?", last)
        for period in ({}, {"since": 0.0}):
            self.read(**period)
        follower = Follower(self.path, Wanted(), last)
        self.addCleanup(follower.close)
        self.assertEqual(list(follower.look()), [])


class SchemaTests(HostileCase):
    """Tables that are not the bridge's."""

    def refusal(self) -> str:
        """Why it is not read, in one line."""
        with self.assertRaises(NotAJournalError) as raised:
            open_journal(self.path)
        status, out, err = self.program("show")
        self.assertEqual((status, out, err), (2, "", f"mtmount-journal: {raised.exception}\n"))
        self.assertEqual((len(err.splitlines()), err.isprintable()), (1, False))
        self.assertTrue(err.strip().isprintable())
        return str(raised.exception).partition(": ")[2]

    def test_endless_view(self) -> None:
        """A view without end in the place of a table is refused, by who reads and by the daemon."""
        self.harm("DROP TABLE message")
        columns = "id, 1 run, 1.0 time, '' peer, 'from' direction, 1 epoch, x'' line"
        self.harm(f"CREATE VIEW message AS {ENDLESS} SELECT {columns} FROM n")
        self.assertEqual(self.refusal(), "its view 'message' differs from that of the bridge")
        self.open()
        self.record()
        self.writer.turn()
        self.assertIn("its view 'message' differs from that of the bridge", self.told[0])

    def test_endless_dialects(self) -> None:
        """A view without end in the place of the table that only this version has is refused, too."""
        self.harm("DROP TABLE run_dialect")
        self.harm(f"CREATE VIEW run_dialect AS {ENDLESS} SELECT id run, 'x' dialect FROM n")
        self.assertEqual(self.refusal(), "its view 'run_dialect' differs from that of the bridge")

    def test_views_are_not_read(self) -> None:
        """What the file's views say is not asked, endless or not."""
        self.harm("DROP VIEW command")
        self.harm("DROP VIEW unknown")
        self.harm(f"CREATE VIEW command AS {ENDLESS} SELECT id FROM n")
        self.assertEqual(len(self.read(outcomes=("refused",))), 3)
        self.open()
        self.record()
        self.writer.turn()
        self.assertEqual(self.told[1:], [])

    def test_computed_column(self) -> None:
        """A column that is computed as it is read makes it another table."""
        self.harm("DROP TABLE event")
        self.harm("CREATE TABLE event (id INTEGER PRIMARY KEY, run AS (length(zeroblob(id))))")
        self.assertEqual(self.refusal(), "its table 'event' differs from that of the bridge")

    def test_no_table(self) -> None:
        """A table that is lacking is told."""
        self.harm("DROP TABLE event")
        self.assertEqual(self.refusal(), "it has no table event")

    def test_crafted_names(self) -> None:
        """Control characters in a name never reach the terminal."""
        self.harm("UPDATE sqlite_master SET type = 'x' || char(27) || '[2J' WHERE name = 'event'")
        self.assertIn("malformed database schema", self.refusal_or_damage())

    def refusal_or_damage(self) -> str:
        """The one line that the program ends with; it has no control characters."""
        status, out, err = self.program("show")
        self.assertEqual((status, out), (2, ""))
        self.assertTrue(err.strip().isprintable(), err)
        return err

    def test_malformed_schema(self) -> None:
        """A schema that SQLite can't read, with a name made to harm a terminal, is one line."""
        self.harm(
            "UPDATE sqlite_master SET sql = 'CREATE TABLE', name = 'x' || char(27) WHERE name = 'event'"
        )
        self.assertIn("can't be read", self.refusal_or_damage())

    def test_schema_in_no_utf8(self) -> None:
        """SQLite's error text about a schema that is no UTF-8 is damage: one line, and the daemon goes on."""
        spoil_schema(self.path)
        for words in (("show",), ("export",), ("tail",), ("show", "--outcome", "done")):
            status, out, err = self.program(*words)
            self.assertEqual((status, out, err.count("\n")), (2, "", 1))
            self.assertIn("can't be read: malformed database schema", err)
        self.open()
        self.record()
        self.writer.turn()
        self.assertEqual(self.keeper.fault, "")
        self.assertEqual(self.count(), 1)

    def test_trigger(self) -> None:
        """The daemon does not write where a trigger would act; what only reads goes on."""
        self.harm("CREATE TRIGGER t AFTER INSERT ON message BEGIN DELETE FROM step; END")
        self.assertEqual(self.read(), self.sound)
        self.open()
        self.record()
        self.writer.turn()
        self.assertIn("it has a trigger 't'; the bridge makes no trigger", self.told[0])
        self.assertEqual(self.read(), self.sound)

    def test_indexes(self) -> None:
        """An index on plain columns may be there; one that computes may not, as rows are written."""
        for sql, faults in (
            ("CREATE INDEX by_peer ON message (peer)", 0),
            ("CREATE INDEX by_what ON message (zeroblob(70000000))", 1),
        ):
            self.harm("DELETE FROM message")
            self.harm(sql)
            self.told.clear()
            self.open()
            self.record()
            self.writer.turn()
            self.keeper.close()
            self.assertEqual(sum("can't be written" in line for line in self.told), faults, self.told)

    def test_many_views(self) -> None:
        """A schema of thousands of views, which SQLite would parse for seconds, is refused at once."""
        for count, why in ((MAX_OBJECTS // 2, ""), (MAX_OBJECTS, f"it has more than {MAX_OBJECTS} tables")):
            names = [f"v{count}_{number}" for number in range(count)]
            views = [(name, name, f"CREATE VIEW {name} AS SELECT 1") for name in names]
            with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
                db.executescript("PRAGMA writable_schema = ON; BEGIN")
                db.executemany("INSERT INTO sqlite_master VALUES ('view', ?, ?, 0, ?)", views)
                db.execute("COMMIT")
            self.told.clear()
            self.open()
            self.record()
            self.writer.turn()
            self.keeper.close()
            self.assertEqual(sum(bool(why) and why in line for line in self.told), bool(why), self.told)
            if why:
                self.assertIn(why, self.refusal())
            else:
                self.assertEqual(self.read()[: len(self.sound)], self.sound)

    def test_long_view(self) -> None:
        """A view of more text than SQLite may parse at once is refused."""
        self.harm(f"CREATE VIEW long AS SELECT {'1,' * LONGEST_SQL} 1")
        self.assertIn("can't be read", self.refusal_or_damage())

    def test_added_table(self) -> None:
        """A table that somebody has added is nobody's business."""
        self.harm("CREATE TABLE notes (text)")
        self.assertEqual(self.read(), self.sound)


class DaemonTests(HostileCase):
    """The daemon at its start."""

    def start(self) -> None:
        """A daemon opens the file, writes a row, and tends it."""
        self.told.clear()
        self.open(keep_days=30, keep_bytes=2**30)
        self.record()
        self.writer.turn()
        self.now += 3600
        self.writer.turn()
        self.keeper.close()

    def harm_each(self, *changes: str) -> None:
        """With each change the daemon starts, records, and has no fault."""
        for change in changes:
            self.harm(change)
            self.start()
            self.assertEqual((self.keeper.fault, self.keeper.unwritable), ("", 0), change)

    def test_rows(self) -> None:
        """Values of other types, lengths and times are no fault."""
        self.harm_each(
            "UPDATE message SET time = 1e300 WHERE id = 3",
            "UPDATE message SET time = 'noon', line = 'text' WHERE id = 5",
            "UPDATE message SET line = zeroblob(70000000) WHERE id = 3",
            "UPDATE span SET low = 'x', high = x'00'",
            f"INSERT OR REPLACE INTO span VALUES ({2**63 - 1}, 1, 0, 0), (-5, 1, 0, 0)",
            "UPDATE run SET started = 'x', pid = 'y'",
        )

    def test_long_step(self) -> None:
        """Where a step can't be read the log says which, and the daemon records."""
        step = next(entry.id for entry in self.sound if entry.table == "step")
        self.harm("UPDATE step SET step = CAST(zeroblob(20000000) AS TEXT) WHERE id = ?", step)
        self.start()
        self.assertIn(f"can't be counted: row {step} of step: string or blob too big", self.told[0])
        self.assertEqual(self.keeper.fault, "")

    def test_unknown_dialect(self) -> None:
        """The commands that a run in an unknown dialect left can't be counted; the daemon records."""
        self.harm("UPDATE run_dialect SET dialect = 'tma2031'")
        self.start()
        self.assertIn("can't be counted: run 1 is in the dialect 'tma2031', which", self.told[0])
        self.assertEqual(self.keeper.fault, "")

    def test_empty_dialect(self) -> None:
        """A run whose dialect is an empty blob is of an unknown dialect, for the daemon and for readers."""
        self.harm("UPDATE run_dialect SET dialect = x''")
        self.start()
        self.assertIn("can't be counted: run 1 is in the dialect '', which", self.told[0])
        status, _, complaint = self.program("show", "--run", "1")
        self.assertEqual(status, 2)
        self.assertIn("run 1 is in the dialect ''", complaint)

    def test_no_ids_left(self) -> None:
        """A file whose ids are used up is refused in words."""
        changes: list[Callable[[], None]] = [
            lambda: self.harm("UPDATE run SET run = ?", LAST_ID // RUN_IDS),
            lambda: self.harm("UPDATE message SET id = ? WHERE id = 3", 2**63 - 1),
        ]
        for change in changes:
            change()
            self.start()
            self.assertIn("there are no ids left after its run", self.told[0])

    def test_names_of_another_type(self) -> None:
        """The table of names has a text in place of a number, and a long name: the daemon writes its own."""
        self.harm("INSERT INTO code_name VALUES (?, 'command', 'abc', 'x')", UNNAMED)
        self.harm("INSERT INTO code_name VALUES (?, 'command', 5000, zeroblob(20000000))", UNNAMED)
        self.start()
        self.assertEqual(self.keeper.fault, "")
        wrong = f"SELECT count(*) FROM code_name WHERE dialect = '{UNNAMED}' AND typeof(code) <> 'integer'"
        self.assertEqual(self.rows(wrong), [(0,)])

    def test_value_that_can_not_be_read(self) -> None:
        """A value that Python can't read at the start: the file is set aside, and the daemon records."""
        self.patch(file, "views", Mock(side_effect=[TypeError("'<' not supported"), {}]))
        self.start()
        self.assertIn("a value that the bridge does not write: '<' not supported", self.told[0])
        self.assertEqual(len(list(Path(self.path.parent).glob("*.corrupt-*.sqlite"))), 1)

    def test_malformed_schema(self) -> None:
        """A schema that SQLite can't read is set aside as any corrupt file."""
        self.harm("UPDATE sqlite_master SET sql = 'CREATE TABLE' WHERE name = 'event'")
        self.start()
        self.assertIn("is corrupt", self.told[0])
        self.assertEqual(len(list(Path(self.path.parent).glob("*.corrupt-*.sqlite"))), 1)

    def test_error(self) -> None:
        """What can't be opened is a `JournalError` to all who read."""
        self.path.write_bytes(b"x" * 4096)
        self.assertRaises(JournalError, open_journal, self.path)
