"""The journal's file never takes more than ``keep_bytes``, and what it loses for that is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from mtmount_twisted.journal import writer
from mtmount_twisted.journal.file import VACUUM_PAGES, limits
from mtmount_twisted.journal.schema import SPAN_IDS, VERSION
from mtmount_twisted.journal.writer import TEND_EVERY
from tests.support.journals import JournalCase

KEEP = 2**20
LINE = b"1\n32\n1\n" + bytes(range(256)) * 240


class BoundCase(JournalCase):
    """A journal that keeps the least that a configuration may ask for."""

    max_bytes = 2**25

    def setUp(self) -> None:
        super().setUp()
        self.open(keep_bytes=KEEP)

    def size(self) -> int:
        """What the file and its write-ahead log take, in bytes."""
        files = (Path(f"{self.path}{end}") for end in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def flood(self, lines: int, line: bytes = LINE, privileged: bool = True) -> int:
        """Record lines and have them written; how large the journal was at most."""
        most = 0
        for _ in range(lines):
            self.now += 0.001
            self.records.line("csc", "from", 1, line, privileged)
            if self.waiting.pending * len(line) >= KEEP:
                self.writer.finish()
                most = max(most, self.size())
        self.writer.finish()
        return max(most, self.size())

    def tend(self) -> None:
        """Have the file tended until nothing is left to do."""
        self.now += TEND_EVERY
        while self.writer.turn() == 0.0:
            pass


class BoundTests(BoundCase):
    """Whatever comes."""

    def test_limits(self) -> None:
        """What the rows, the write-ahead log and two batches may take together is what may be kept."""
        for keep in (KEEP, 8 * KEEP, 2**30, 2**40):
            found = limits(keep)
            self.assertEqual(found.tables + found.log + 2 * found.batch, keep)
            self.assertGreater(found.tables, 0.7 * keep)

    def test_long_lines(self) -> None:
        """Lines of 64 KB, many times what may be kept, leave the last ones, and none is dropped."""
        self.assertLessEqual(self.flood(70), KEEP)
        ((last, kept),) = self.rows("SELECT max(id), count(*) FROM message")
        self.assertEqual((last, self.keeper.unwritable), (70, 0))
        self.assertGreater(kept * len(LINE), KEEP // 2)
        self.assertEqual(self.told, [])

    def test_short_lines(self) -> None:
        """Nor do short ones make it larger, and spans say how many are left."""
        self.assertLessEqual(self.flood(KEEP // 40, b"1\n32\n1\n2026-11-22T16:04:03.000"), KEEP)
        ((rows,),) = self.rows("SELECT sum(rows) FROM span")
        self.assertEqual(rows, self.count())
        self.assertGreater(self.count(), KEEP // 200)

    def test_one_long_batch(self) -> None:
        """What waited long and comes all at once is written in pieces, and is no exception."""
        for _ in range(50):
            self.records.line("csc", "from", 1, LINE)
            self.records.step(1, "sent", "csc", 1, 1, 10, 0)
        self.writer.turn()
        self.assertEqual((self.waiting.pending, self.keeper.unwritable), (0, 0))
        self.assertLessEqual(self.size(), KEEP)

    def test_clients_without_rights_first(self) -> None:
        """Their rows go first, also younger ones, and the log says so; the others only when none is left."""
        self.flood(5)
        self.flood(5000, b"1\n32\n1\n" + b"x" * 200, privileged=False)
        self.flood(6)
        self.assertEqual(self.rows("SELECT count(*) FROM message WHERE length(line) > 1000"), [(11,)])
        ((unprivileged, marked),) = self.rows(
            "SELECT (SELECT count(*) FROM message WHERE length(line) < 1000), count(*) FROM unprivileged"
        )
        self.assertLess(unprivileged, 2500)
        self.assertEqual(marked, unprivileged)
        self.assertEqual(self.rows("SELECT sum(rows) FROM span"), [(11 + unprivileged,)])
        self.keeper.close()
        self.assertIn("the file was over 1048576 bytes (of clients without rights)", self.told[0])

    def test_reader_that_stays(self) -> None:
        """While a program reads for long, rows are dropped at the bound, counted and told; then they are kept
        again, and a gap says which are missing."""
        self.flood(5)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM message").fetchone()
            self.assertLessEqual(self.flood(40), KEEP)
            lost = self.keeper.unwritable
            self.assertGreater(lost, 10)
            self.assertTrue(self.keeper.losing)
            self.assertEqual(len(self.told), 1)
            self.assertIn("has no room within 1048576 bytes", self.told[0])
            self.flood(1, privileged=False)
            self.assertEqual(self.keeper.unwritable_unprivileged, 1)
        self.flood(1)
        self.assertFalse(self.keeper.losing)
        self.assertIn(f"has room again: {lost + 1} rows lost from 2026", self.told[1])
        self.assertEqual(self.rows("SELECT count(*) FROM event WHERE kind = 'gap'"), [(1,)])
        self.assertEqual(self.keeper.unwritable, lost + 1)

    def test_pages_are_given_back(self) -> None:
        """A file that was allowed to be large shrinks as soon as less may be kept, to less than that."""
        self.keeper.close()
        self.open()
        self.flood(6 * KEEP // len(LINE))
        self.keeper.close()
        self.assertGreater(self.path.stat().st_size, 5 * KEEP)
        self.open(keep_bytes=KEEP)
        self.flood(1)
        self.tend()
        self.assertLessEqual(self.size(), KEEP)
        self.keeper.close()
        self.assertGreater(self.count(), 5)

    def test_no_row_is_lost_while_it_shrinks(self) -> None:
        """While a file that was allowed to be large shrinks, what is recorded is kept."""
        self.patch(writer, "TRIM_STEPS", 1)
        self.keeper.close()
        self.open()
        self.flood(6 * KEEP // len(LINE))
        self.keeper.close()
        self.open(keep_bytes=KEEP)
        self.flood(1)
        self.assertGreater(self.size(), 2 * KEEP)
        for _ in range(100):
            self.flood(1, b"x")
            self.tend()
        self.assertLessEqual(self.size(), KEEP)
        self.assertEqual((self.keeper.unwritable, self.rows("SELECT count(*) FROM event")), (0, [(0,)]))

    def test_all_free_pages_are_given_back(self) -> None:
        """However many rows became too old at once."""
        self.keeper.close()
        self.open(keep_days=1)
        pages = VACUUM_PAGES * 2
        self.flood(pages * 4096 // len(LINE))
        self.now += 2 * 86400
        self.tend()
        self.keeper.close()
        self.assertEqual(self.count(), 0)
        self.assertLess(self.path.stat().st_size, 2**17)


class VersionTests(BoundCase):
    """Files of this version and of the one before."""

    def test_file_of_the_version_before(self) -> None:
        """A file that lacks the table of rows to be deleted first gets it, and is kept within its bound."""
        self.flood(3)
        self.keeper.close()
        self.change("DROP TABLE unprivileged")
        self.open(keep_bytes=KEEP)
        self.flood(40)
        self.assertLessEqual(self.size(), KEEP)
        self.assertEqual(self.rows("PRAGMA user_version"), [(VERSION,)])

    def test_the_version_before_deletes(self) -> None:
        """Rows that another version has deleted, and left marked, are no obstacle."""
        self.flood(600, b"x" * 100, privileged=False)
        self.keeper.close()
        self.change("DELETE FROM message WHERE id < 560")
        self.change(f"UPDATE span SET rows = {600 - 559} WHERE span = 0")
        self.open(keep_bytes=KEEP)
        self.flood(40)
        self.assertLessEqual(self.size(), KEEP)
        self.assertEqual(self.rows("SELECT count(*) FROM unprivileged"), [(0,)])

    def test_marks_go_with_the_rows(self) -> None:
        """Rows that get too old take their marks with them."""
        self.keeper.close()
        self.open(keep_days=1)
        self.flood(SPAN_IDS + 10, b"x", privileged=False)
        self.now += 2 * 86400
        self.tend()
        self.assertEqual((self.count(), self.count("unprivileged")), (0, 0))
