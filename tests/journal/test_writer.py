"""`mtmount_twisted.journal.writer`: rows come into the file, whatever the disk does."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mtmount_twisted.journal import writer
from mtmount_twisted.journal.recorder import HANGS_AFTER, Writer
from mtmount_twisted.journal.schema import RUN_IDS, SPAN_IDS, VERSION, Batch
from mtmount_twisted.journal.writer import set_aside
from tests.support.journals import START, JournalCase

ROOT = Path(__file__).resolve().parent.parent.parent


class WritingTests(JournalCase):
    """What stands in the file."""

    def test_message(self) -> None:
        """A line stands there byte for byte, with when, whose, which way and in which epoch."""
        self.records.line("CSC", "from", 3, b"1\n\xff\x00")
        self.writer.turn()
        self.assertEqual(
            self.rows("SELECT run, time, peer, direction, epoch, line FROM message"),
            [(1, START, "CSC", "from", 3, b"1\n\xff\x00")],
        )

    def test_step(self) -> None:
        """A step stands there with all that it was told."""
        self.records.step(7, "refused", "EUI", 3, 12, 103, 5, "why")
        self.writer.turn()
        self.assertEqual(
            self.rows("SELECT * FROM step"), [(1, 1, START, 7, "refused", "EUI", 3, 12, 103, 5, "why")]
        )

    def test_order(self) -> None:
        """Ids tell what came first, over all tables and from one batch to the next."""
        for detail in ("a", "b"):
            self.records.change("connected", "CSC", 1, detail)
            self.record(70)
            self.records.step(7, "sent", "CSC", 1, 1, 10, 0)
            self.writer.turn()
        self.assertEqual(self.rows("SELECT id FROM event"), [(1,), (73,)])
        self.assertEqual(self.rows("SELECT id FROM step"), [(72,), (144,)])
        self.assertEqual(self.rows("SELECT min(id), max(id), count(*) FROM message"), [(2, 143, 140)])

    def test_old_sqlite(self) -> None:
        """An SQLite that takes few values in a statement gets all rows, in smaller ones."""
        self.faults.most_values = 999
        self.record(600)
        self.writer.turn()
        self.assertEqual((self.count(), self.told), (600, []))

    def test_write_ahead_log(self) -> None:
        """The file is in SQLite's WAL mode, so that readers and the writer don't wait for each other."""
        self.record()
        self.writer.turn()
        self.assertEqual(self.rows("PRAGMA journal_mode"), [("wal",)])
        self.assertEqual(self.rows("PRAGMA user_version"), [(VERSION,)])

    def test_runs(self) -> None:
        """Each start of the daemon is a run with a number of its own."""
        for _ in range(2):
            self.record()
            self.writer.turn()
            self.keeper.close()
            self.open()
        self.assertEqual(self.rows("SELECT DISTINCT run FROM message"), [(1,), (2,)])

    def test_base(self) -> None:
        """A row's id is the number that it got when it was recorded, and what the run began with."""
        self.assertIsNone(self.keeper.base)
        numbers = [self.records.change("connected", "CSC", 1) for _ in range(2)]
        self.writer.turn()
        base = self.keeper.base or 0
        self.record(5)
        self.writer.turn()
        numbers.append(self.records.change("connected", "CSC", 1))
        self.writer.turn()
        self.assertEqual(self.rows("SELECT id FROM event"), [(base + number,) for number in numbers])
        self.assertEqual((base, self.keeper.base), (0, 0))
        self.keeper.close()
        self.open()
        number = self.records.change("connected", "CSC", 1)
        self.writer.turn()
        self.assertEqual(self.keeper.base, RUN_IDS)
        self.assertEqual(self.rows("SELECT max(id) FROM event"), [(RUN_IDS + number,)])

    def test_more_ids_than_a_run_has(self) -> None:
        """A run that comes after one with more rows than any should have begins after its last."""
        self.record()
        self.writer.turn()
        self.keeper.close()
        self.change(f"UPDATE message SET id = {RUN_IDS + 7}")
        self.open()
        self.record()
        self.writer.turn()
        self.assertEqual(self.rows("SELECT max(id) FROM message"), [(RUN_IDS + 8,)])

    def test_base_is_kept(self) -> None:
        """A fresh file in the place of one that is gone goes on with the run, its number and its ids."""
        for damage in (self.path.unlink, lambda: self.path.write_bytes(b"no database" * 500)):
            self.record(3)
            self.writer.turn()
            self.keeper.close()
            damage()
            number = self.records.change("connected", "CSC", 1)
            self.writer.turn()
            self.assertEqual(self.rows("SELECT id, run FROM event WHERE kind = 'connected'"), [(number, 1)])
            self.assertEqual((self.keeper.base, self.keeper.run), (0, 1))

    def test_replaced_by_another_journal(self) -> None:
        """A file that another run has written is not mixed up with this one's: a run of its own begins."""
        self.record(3)
        self.writer.turn()
        self.keeper.close()
        other = self.path.with_name("other.sqlite")
        other.write_bytes(self.path.read_bytes())
        self.path.unlink()
        self.now += 1
        self.open()
        self.record(3)
        self.writer.turn()
        other.replace(self.path)
        self.record(3)
        self.writer.turn()
        self.assertEqual(self.rows("SELECT run, count(*) FROM message GROUP BY run"), [(1, 3), (2, 3)])
        self.assertEqual((self.keeper.run, self.keeper.base, self.keeper.unwritable), (2, RUN_IDS, 0))

    def test_two_daemons(self) -> None:
        """Two daemons that were given the same file keep both their rows, each in a run of its own."""
        first = self.keeper, self.waiting, self.writer
        self.record(3)
        self.writer.turn()
        self.open()
        self.record(3)
        self.writer.turn()
        other = self.keeper
        self.keeper, self.waiting, self.writer = first
        self.record(3)
        self.writer.turn()
        other.close()
        self.assertEqual(self.rows("SELECT run, count(*) FROM message GROUP BY run"), [(1, 6), (2, 3)])
        self.assertEqual((self.told, self.keeper.unwritable), ([], 0))

    def leave_commands(self) -> None:
        """A run that is killed with two commands in flight."""
        for key, steps, code in (
            (1, ("received", "sent"), 103),
            (2, ("received", "sent", "ack"), 103),
            (3, ("received", "sent", "ack"), 105),
            (4, ("received", "sent", "ack", "done"), 103),
            (5, ("received",), 103),
            (0, ("refused",), 103),
            (0, ("local",), 2101),
        ):
            for name in steps:
                self.records.step(key, name, "CSC", 1, key, code, 1)
        self.writer.turn()

    def restart(self) -> None:
        """The daemon is killed, and started again."""
        self.keeper.close()
        self.open()
        self.writer.turn()

    def test_unknown(self) -> None:
        """After a crash, what was sent and has no end is found, and nothing else is."""
        self.leave_commands()
        self.assertEqual(self.rows("SELECT key FROM unknown"), [])
        self.restart()
        self.assertEqual(self.rows("SELECT key FROM unknown ORDER BY key"), [(1,), (2,)])

    def test_unknown_is_reported(self) -> None:
        """The start after a crash says how many commands that left unknown, once: not each start does."""
        self.leave_commands()
        self.assertEqual(self.told, [])
        for _ in range(2):
            self.restart()
            self.assertEqual(
                self.rows("SELECT run, detail FROM event WHERE kind = 'unknown'"),
                [(2, "2 commands of run 1 were sent and have no end")],
            )
        (line,) = self.told
        self.assertIn("outcome is unknown: 2;", line)
        self.assertTrue(line.endswith(f"show --journal {self.path} --run 1 --outcome unknown"), line)

    def test_first_version(self) -> None:
        """A journal of version 1 is made into one of this version, and goes on."""
        self.record(SPAN_IDS + 5)
        self.writer.turn()
        self.keeper.close()
        self.change("DROP TABLE span")
        for table in ("message", "step", "event"):
            self.change(f"CREATE INDEX {table}_time ON {table} (time)")
        self.change("PRAGMA user_version = 1")
        self.now += 7
        self.open()
        self.record()
        self.writer.turn()
        self.assertEqual((self.told, self.count()), ([], SPAN_IDS + 6))
        self.assertEqual(self.rows("PRAGMA user_version"), [(VERSION,)])
        spans = self.rows("SELECT span, low < high FROM span")
        self.assertEqual(spans, [(0, 1), (1, 1), (RUN_IDS // SPAN_IDS, 0)])
        self.assertEqual(self.rows("SELECT name FROM sqlite_master WHERE name LIKE '%_time'"), [])

    def test_no_version(self) -> None:
        """A journal of a version that never was is left as it is."""
        self.record()
        self.writer.turn()
        self.keeper.close()
        self.change("PRAGMA user_version = 0")
        self.record()
        self.writer.turn()
        self.assertEqual((self.count(), len(self.told)), (1, 1))


class FaultTests(JournalCase):
    """What goes wrong, is told once, and does not stop the rest."""

    def assert_told_once(self, word: str) -> None:
        """The log has one line on a fault, with a word in it."""
        self.assertEqual(len(self.told), 1, self.told)
        self.assertIn(word, self.told[0])
        self.told.clear()

    def assert_recovers(self, rows: int) -> None:
        """What waited is written, and the log says once that all is well."""
        self.writer.turn()
        self.assertEqual((self.count(), self.waiting.pending, self.keeper.fault), (rows, 0, ""))
        self.assert_told_once("written again")

    def test_state_before_log(self) -> None:
        """Whoever reads a line of the log finds the journal's state as the line says: the line comes last."""
        faults: list[tuple[str, bool]] = []

        def tell(level: int, text: str, *arguments: object) -> None:
            faults.append((text, bool(self.keeper.fault)))

        self.tell = tell  # type: ignore[method-assign]
        self.path.mkdir(parents=True)
        self.open()
        self.record()
        self.writer.turn()
        self.path.rmdir()
        self.writer.turn()
        self.assertEqual(
            [("can't be written" in text, fault) for text, fault in faults], [(True, True), (False, False)]
        )

    def test_locked(self) -> None:
        """While another program locks the file, rows wait; then they are written."""
        self.record()
        self.writer.turn()
        lock = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(lock.close)
        lock.execute("BEGIN EXCLUSIVE")
        for _ in range(3):
            self.record()
            self.writer.turn()
        self.assert_told_once("locked")
        self.assertEqual(self.waiting.pending, 3)
        lock.execute("ROLLBACK")
        self.assert_recovers(4)

    def test_disk_full(self) -> None:
        """While the disk is full, rows wait; then they are written."""
        self.record()
        self.writer.turn()
        self.faults.fill_disk()
        for _ in range(3):
            self.record(2000)
            self.writer.turn()
        self.assert_told_once("full")
        self.assertEqual(self.count(), 1)
        self.faults.empty_disk()
        self.writer.turn()
        self.assertEqual(self.rows("SELECT count(*) FROM message")[0][0] + self.waiting.lost, 6001)

    def test_gap(self) -> None:
        """Rows that had no room in memory are counted, and a gap stands where they would."""
        self.record()
        self.writer.turn()
        self.faults.fill_disk()
        self.record(2000)
        self.writer.turn()
        self.record(4000)
        self.assertGreater(self.waiting.lost, 2000)
        self.faults.empty_disk()
        self.writer.turn()
        self.record()
        self.writer.turn()
        ((number, detail),) = self.rows("SELECT id, detail FROM event WHERE kind = 'gap'")
        self.assertTrue(detail.startswith(f"{self.waiting.lost} rows lost from 2026-11-22T16:04:0"), detail)
        self.assertEqual(self.count() + self.waiting.lost, 6002)
        self.assertEqual(self.rows("SELECT max(id) FROM message"), [(number + 1,)])

    def test_corrupt_at_start(self) -> None:
        """A file that is no database is set aside, and a new one is started."""
        self.path.parent.mkdir()
        self.path.write_bytes(b"This is no database. " * 1000)
        self.record()
        self.writer.turn()
        self.assertEqual(self.count(), 1)
        (aside,) = self.path.parent.glob("journal.corrupt-20261122T160403Z.sqlite")
        self.assertTrue(aside.read_bytes().startswith(b"This is no database"))
        self.assert_told_once(str(aside))

    def test_corrupt_meanwhile(self) -> None:
        """A file that is damaged while the daemon runs is set aside, and the run goes on in a fresh one."""
        self.record(2000)
        self.writer.turn()
        self.keeper.close()
        with self.path.open("r+b") as file:
            file.seek(100)
            file.write(b"\xff" * 40000)
        self.record()
        self.writer.turn()
        self.assertEqual(self.count(), 1)
        self.assert_told_once("set aside")
        self.assertEqual(self.waiting.pending, 0)

    def test_corrupt_again(self) -> None:
        """A disk that corrupts each file does not get filled up with files that are set aside."""
        self.path.parent.mkdir()
        for _ in range(3):
            self.keeper.close()
            self.path.write_bytes(b"This is no database. " * 1000)
            self.record()
            self.writer.turn()
        self.assertEqual(len(list(self.path.parent.glob("journal.corrupt-*"))), 1)
        self.assertEqual(len(self.told), 2)
        self.now += 60
        self.writer.turn()
        self.assertEqual(self.count(), 2)
        self.assertEqual(len(list(self.path.parent.glob("journal.corrupt-*"))), 2)

    def test_cannot_be_set_aside(self) -> None:
        """If a corrupt file can't be renamed, that is an ordinary fault."""
        self.path.parent.mkdir()
        self.path.write_bytes(b"This is no database. " * 1000)

        def refuse(*arguments: object) -> Path:
            raise PermissionError("not yours")

        self.patch(writer, "set_aside", refuse)
        self.record()
        self.writer.turn()
        self.assert_told_once("not yours")

    def test_another_programs_database(self) -> None:
        """A sound database of another program is left as it is."""
        self.path.parent.mkdir()
        self.rows("CREATE TABLE precious (x)")
        self.record()
        self.writer.turn()
        self.assertEqual(self.rows("SELECT name FROM sqlite_master"), [("precious",)])
        self.assert_told_once("another program")

    def test_later_version(self) -> None:
        """A journal of a later version is left as it is."""
        self.record()
        self.writer.turn()
        self.keeper.close()
        self.rows("PRAGMA user_version = 99")
        self.record()
        self.writer.turn()
        self.assertEqual(self.count(), 1)
        self.assert_told_once("version 99")

    def test_folder_cannot_be_made(self) -> None:
        """A path that can't be is told, and nothing is raised."""
        self.path.parent.write_text("a file where the folder should be")
        self.record()
        self.writer.turn()
        self.assert_told_once("can't be written")
        self.path.parent.unlink()
        self.assert_recovers(1)

    def test_removed(self) -> None:
        """If the file is removed, the writer starts a new one and does not fill the removed one."""
        self.record()
        self.writer.turn()
        self.path.unlink()
        self.record(2)
        self.writer.turn()
        self.assertEqual(self.count(), 2)
        self.assert_told_once("removed")

    def test_row_that_cannot_be_written(self) -> None:
        """A row that SQLite can't hold is counted and marked as a gap; those beside it are kept."""
        self.record()
        self.records.step(1, "sent", "CSC", 1, 2**70, 10, 0)
        self.records.step(2, "sent", "\udcff", 1, 1, 10, 0)
        self.record()
        self.writer.turn()
        self.assertEqual((self.count(), self.count("step"), self.keeper.unwritable), (2, 0, 2))
        self.assertEqual(self.writer.written, 2)
        self.assertIn("2 rows lost", self.rows("SELECT detail FROM event WHERE kind = 'gap'")[0][0])
        self.assert_told_once("can't hold 2 rows")
        number = self.records.change("connected", "CSC", 1)
        self.writer.turn()
        self.assertEqual(self.rows("SELECT id, kind FROM event"), [(2, "gap"), (number, "connected")])
        self.assertEqual(self.told, [])

    def test_same_second(self) -> None:
        """Two files that are set aside in one second get two names, and each takes its log along."""
        self.path.parent.mkdir()
        names = []
        for _ in range(2):
            self.path.write_text("old")
            Path(f"{self.path}-wal").write_text("its log")
            names.append(set_aside(self.path, "corrupt", START))
        self.assertEqual(len(set(names)), 2)
        self.assertEqual([Path(f"{name}-wal").read_text() for name in names], ["its log"] * 2)

    def test_file_that_does_not_answer(self) -> None:
        """While one piece of work on the file takes longer than it ever should, the writer hangs."""
        writer = Writer(self.waiting, self.keeper, lambda: self.now)
        keep, seen = self.keeper.keep, []

        def keep_late(batch: Batch) -> int:
            for _ in range(2):
                seen.append(writer.hangs)
                self.now += HANGS_AFTER + 0.1
            seen.append(writer.hangs)
            return keep(batch)

        self.patch(self.keeper, "keep", keep_late)
        self.record()
        writer.turn()
        self.assertEqual((seen, writer.hangs, self.count()), ([False, True, True], False, 1))
