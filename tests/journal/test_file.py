"""`mtmount_twisted.journal.file`: what becomes of a file that is old, large, damaged or killed."""

from __future__ import annotations

import signal
import sqlite3
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from mtmount_twisted.journal import file
from mtmount_twisted.journal.schema import COLUMNS, SPAN_IDS
from mtmount_twisted.journal.writer import TEND_EVERY
from tests.support.folders import scratch_folder
from tests.support.journals import START, JournalCase

ROOT = Path(__file__).resolve().parent.parent.parent


class DamageTests(JournalCase):
    """A file that is looked through."""

    def damage(self, name: str) -> None:
        """Somebody damages the file, while the daemon has it open."""
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        size = self.path.stat().st_size
        with self.path.open("r+b") as file:
            if name == "truncated":
                file.truncate(8192)
            else:
                start, end = {"head": (0, 100), "middle": (size // 2, size // 2 + 9000)}[name]
                file.seek(start)
                file.write(b"\xa5" * (end - start))

    def test_damage_is_noticed(self) -> None:
        """A file that is damaged behind the daemon's back is set aside within a few looks, though nothing is
        recorded; a gap tells of it, and ids go on."""
        for number, name in enumerate(("head", "middle", "truncated"), 1):
            self.record(3000)
            self.writer.finish()
            self.damage(name)
            self.now += 61
            for _ in range(3):
                self.now += TEND_EVERY
                self.writer.turn()
            self.assertIn("is corrupt", "".join(self.told))
            self.assertEqual(len(self.told), number)
            self.assertEqual((self.count(), self.keeper.fault, self.keeper.run), (0, "", 1), name)
            (detail,) = self.rows("SELECT detail FROM event WHERE kind = 'gap'")[0]
            self.assertTrue(
                detail.startswith("the file was corrupt: what was in it is in journal.corr"), detail
            )
            self.record()
            self.writer.turn()
            self.assertEqual(self.rows("SELECT id FROM message"), [(number * 3002,)])

    def test_sound_file_is_looked_through(self) -> None:
        """All looks at a sound file find nothing, nor does one at a file that another program locks, or that
        is not there."""
        for _ in range(14):
            self.record(3000)
            self.writer.finish()
        for _ in range(3):
            self.now += TEND_EVERY
            self.writer.turn()
        self.patch(file.sqlite3, "connect", self.faults.refuse)
        self.now += TEND_EVERY
        self.writer.turn()
        self.assertEqual(self.told, [])

    def test_deleted_by_somebody(self) -> None:
        """Rows that somebody has deleted are no damage."""
        self.record(3000)
        self.writer.finish()
        self.change("DELETE FROM message WHERE id % 2")
        self.now += TEND_EVERY
        self.writer.turn()
        self.assertEqual((self.told, self.count()), ([], 1500))

    def test_spans(self) -> None:
        """The file says of each span of ids how many rows it has, and of when they are."""
        self.waiting.event("connected", "CSC", 1)
        self.record(SPAN_IDS)
        self.waiting.step(7, "sent", "CSC", 1, 1, 10, 0)
        self.writer.turn()
        self.record()
        self.writer.turn()
        ids = " UNION ALL ".join(f"SELECT id FROM {table}" for table in COLUMNS)
        counts = self.rows(f"SELECT id / {SPAN_IDS}, count(*) FROM ({ids}) GROUP BY 1")
        self.assertEqual(self.rows("SELECT span, rows FROM span"), counts)
        ((low, high),) = self.rows("SELECT min(low), max(high) FROM span")
        self.assertEqual((low, high), (START, self.now))

    def test_taken_ids(self) -> None:
        """A row whose id somebody else has taken leaves a gap in its place, and the log tells."""
        self.record()
        self.writer.turn()
        self.change("INSERT INTO message SELECT id + 1, run, time, peer, direction, epoch, line FROM message")
        self.record(2)
        self.writer.turn()
        self.assertIn("can't hold 1 rows (1 rows of message were not taken)", self.told[0])
        self.assertEqual(self.rows("SELECT id, kind FROM event"), [(2, "gap")])
        self.assertEqual((self.keeper.unwritable, self.count()), (1, 3))


class RetentionTests(JournalCase):
    """What gets too old or too large goes, the oldest first."""

    def trim(self) -> int:
        """Let the time come, and have old rows deleted until there are none; how many steps it took."""
        self.now += TEND_EVERY
        steps = 0
        while self.writer.turn() == 0.0:
            steps += 1
        return steps

    def test_age(self) -> None:
        """Rows older than the days to keep are deleted, a few at a time, and younger ones stay."""
        self.open(keep_days=1)
        for _ in range(2):
            self.record(SPAN_IDS)
            self.writer.turn()
        self.waiting.step(1, "sent", "CSC", 1, 1, 10, 0)
        self.waiting.event("connected", "CSC", 1)
        self.writer.turn()
        self.now += 86400 - 1
        self.record(3)
        self.assertEqual(self.trim(), 3)
        self.assertEqual((self.count(), self.count("step"), self.count("event")), (3, 0, 0))

    def test_size(self) -> None:
        """A file that would get too large loses its oldest rows."""
        self.open(keep_bytes=300_000)
        for _ in range(2):
            self.record(3000)
            self.writer.turn()
            self.assertLessEqual(self.size(), 300_000)
        self.trim()
        self.keeper.close()
        self.assertLess(self.path.stat().st_size, 300_000)
        self.assertEqual(self.rows("SELECT max(id) FROM message"), [(6000,)])
        self.assertGreater(self.count(), 1000)

    def size(self) -> int:
        """What the file and its write-ahead log take, in bytes."""
        return sum(Path(f"{self.path}{end}").stat().st_size for end in ("", "-wal"))

    def test_size_of_nothing(self) -> None:
        """A file that is too large with nothing in it is left alone."""
        self.open(keep_bytes=1)
        self.writer.turn()
        self.assertEqual(self.trim(), 0)

    def test_no_limits(self) -> None:
        """With no limits all rows stay."""
        self.record(10)
        self.writer.turn()
        self.now += 10**9
        self.assertEqual(self.trim(), 0)
        self.assertEqual(self.count(), 10)

    def test_fault(self) -> None:
        """If old rows can't be deleted, the log says so once, and they go later."""
        self.open(keep_days=1)
        self.record()
        self.writer.turn()
        lock = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(lock.close)
        lock.execute("BEGIN EXCLUSIVE")
        self.now += 2 * 86400
        self.trim()
        self.assertEqual(len(self.told), 1)
        lock.execute("ROLLBACK")
        self.trim()
        self.trim()
        self.assertEqual(self.count(), 0)


CHILD = """
import sys
from pathlib import Path
from mtmount_twisted.journal.file import Store
store = Store(Path(sys.argv[1]), None, int)
for number in range(1, 10**6):
    store.write(([(number, 1.0, "CSC", "from", 1, b"a line")], [], []))
    print(number, flush=True)
"""


class Killed(ProcessProtocol):
    """A process that is killed once it has said that it wrote many rows."""

    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred()
        self.said = b""
        self.complaints = b""

    def outReceived(self, data: bytes) -> None:
        self.said += data
        if self.last > 200 and self.transport is not None:
            self.transport.signalProcess("KILL")

    def errReceived(self, data: bytes) -> None:
        self.complaints += data

    @property
    def last(self) -> int:
        """The number of the last row that it said it had committed."""
        return int(([b"0"] + self.said.split(b"\n")[:-1])[-1])

    def processEnded(self, reason: Failure) -> None:
        reason.trap(ProcessTerminated)
        self.ended.callback(reason.value.signal)


class KilledTests(TestCase):
    """A daemon that dies by ``kill -9``."""

    async def test_kill(self) -> None:
        """Every row that was committed is there, and the file is sound."""
        path = scratch_folder(self) / "journal.sqlite"
        process = Killed()
        arguments = [sys.executable, "-c", CHILD, str(path)]
        reactor.spawnProcess(process, sys.executable, arguments, env=None, path=str(ROOT))  # type: ignore[attr-defined]
        self.assertEqual((await process.ended, process.complaints), (signal.SIGKILL, b""))
        db = sqlite3.connect(path)
        self.addCleanup(db.close)
        self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        ((rows, last),) = db.execute("SELECT count(*), max(id) FROM message").fetchall()
        self.assertGreaterEqual(rows, process.last)
        self.assertEqual(rows, last)
