"""`mtmount_twisted.journal.file`: what becomes of a file that is old, large, damaged or killed."""

from __future__ import annotations

import re
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

from mtmount_twisted.journal.schema import COLUMNS, SPAN_IDS
from mtmount_twisted.journal.writer import TEND_EVERY
from tests.support.folders import scratch_folder
from tests.support.journals import START, JournalCase

ROOT = Path(__file__).resolve().parent.parent.parent


class DamageTests(JournalCase):
    """A file that somebody damages."""

    def damage(self, name: str) -> None:
        """Overwrite or cut off a part of the file."""
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")  # else a good copy of the rows is in the log
        size = self.path.stat().st_size
        with self.path.open("r+b") as file:
            if name == "truncated":
                file.truncate(8192)
            elif name == "fewer cells":  # in a leaf of a table, which can be read all the same
                pages = (file.seek(start) for start in range(size // 8192 * 4096, size, 4096))
                page = next(start for start in pages if file.read(1) == b"\x0d")
                file.seek(page + 3)
                cells = int.from_bytes(file.read(2), "big")
                file.seek(page + 3)
                file.write((cells - 1).to_bytes(2, "big"))
            else:
                places = {"head": (0, 100), "middle": (size // 2, size // 2 + 9000), "all": (100, size)}
                start, end = places[name]
                file.seek(start)
                file.write(b"\xa5" * (end - start))

    def assert_set_aside(self) -> None:
        """One file is set aside, the log tells so once, and a gap in the fresh file names it."""
        (aside,) = self.path.parent.glob("journal.corrupt-*.sqlite")
        (told,) = self.told
        self.assertRegex(
            told, rf"is corrupt \(.+\): set aside as {re.escape(str(aside))}, started a new one$"
        )
        ((detail,),) = self.rows("SELECT detail FROM event WHERE kind = 'gap'")
        self.assertEqual(detail, f"the file was corrupt: its rows are in {aside.name}")
        self.assertEqual(self.keeper.fault, "")

    def test_damage_is_found_at_start(self) -> None:
        """A daemon that starts on a damaged file sets it aside, though nothing is recorded."""
        for name in ("head", "middle", "truncated", "fewer cells"):
            self.record(3000)
            self.writer.finish()
            self.keeper.close()
            self.damage(name)
            self.open()
            self.writer.turn()
            self.assertEqual(self.count(), 0, name)
            self.assert_set_aside()
            self.keeper.close()
            for left in self.path.parent.iterdir():
                left.unlink()
            self.told.clear()
            self.open()

    def test_ids_go_on_after_damage_at_start(self) -> None:
        """The fresh file continues the ids of the damaged one, as far as the damaged one can be read."""
        self.record(3000)
        self.writer.finish()
        run = self.keeper.run
        self.keeper.close()
        self.damage("middle")
        self.open()
        self.record()
        self.writer.turn()
        self.assert_set_aside()
        ((last, number),) = self.rows("SELECT id, run FROM message")
        self.assertGreater(last, 3000)
        self.assertEqual(number, run + 1)

    def test_damage_is_found_by_a_write(self) -> None:
        """A write that meets damage sets the file aside; the run and its ids go on in a fresh one."""
        self.record(3000)
        self.writer.finish()
        self.damage("all")
        (opened,) = self.faults.opened
        opened.execute("PRAGMA shrink_memory").fetchall()  # as once other pages had needed the memory
        self.record()
        self.writer.turn()
        self.assert_set_aside()
        self.assertEqual(self.rows("SELECT id, run FROM message"), [(3001, 1)])

    def test_running_daemon_does_not_look_for_damage(self) -> None:
        """Damage in rows that nothing writes to is left to the next start."""
        self.record(3000)
        self.writer.finish()
        self.damage("middle")
        for _ in range(3):
            self.now += TEND_EVERY
            self.writer.turn()
        self.assertEqual(self.told, [])

    def test_sound_file(self) -> None:
        """A start on a sound file finds no damage, also among more rows than it counts."""
        for _ in range(14):
            self.record(3000)
            self.writer.finish()
        self.keeper.close()
        self.open()
        self.writer.turn()
        self.assertEqual((self.told, self.count()), ([], 42_000))

    def test_deleted_by_somebody(self) -> None:
        """Rows that somebody has deleted are no damage."""
        self.record(3000)
        self.writer.finish()
        self.keeper.close()
        self.change("DELETE FROM message WHERE id % 2")
        self.open()
        self.writer.turn()
        self.assertEqual((self.told, self.count()), ([], 1500))

    def test_spans(self) -> None:
        """The file says of each span of ids how many rows it has, and of when they are."""
        self.records.change("connected", "CSC", 1)
        self.record(SPAN_IDS)
        self.records.step(7, "sent", "CSC", 1, 1, 10, 0)
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
        self.records.step(1, "sent", "CSC", 1, 1, 10, 0)
        self.records.change("connected", "CSC", 1)
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
