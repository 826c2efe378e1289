"""`mtmount_twisted.journal.recorder`: recording never waits, the thread writes, and its end loses nothing."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.journal import recorder as journal_module
from mtmount_twisted.journal import track_runs
from mtmount_twisted.journal.recorder import (
    BATCH_ROWS,
    IDLE,
    MEMORY_PER_ROW,
    RETRY,
    Journal,
    JournalOff,
    Settled,
    Waiting,
)
from mtmount_twisted.journal.schema import FileOptions, default_path
from mtmount_twisted.records import ChangeRecord, LineRecord
from tests.support.folders import scratch_folder
from tests.support.journals import START, JournalCase
from tests.support.records import RecordMaker
from tests.support.threads import no_threads

ROOT = Path(__file__).resolve().parent.parent.parent


def records(journal: Journal) -> RecordMaker[int]:
    """Return what makes records for a journal."""
    return RecordMaker(journal.keep, time.time)


class WaitingTests(SynchronousTestCase):
    """Rows in memory."""

    def setUp(self) -> None:
        self.now = START
        self.wakes = 0
        self.waiting = Waiting(self.woken, lambda: self.now, 10 * (MEMORY_PER_ROW + 1))
        self.records = RecordMaker(self.waiting.keep, lambda: self.now)

    def woken(self) -> None:
        """There is something to take."""
        self.wakes += 1

    def record(self, number: int = 1) -> None:
        """Record some lines of one byte, a second apart."""
        for _ in range(number):
            self.records.line("CSC", "from", 1, b"x")
            self.now += 1

    def take(self) -> list[tuple[Any, ...]]:
        """All that waits, as if it were written."""
        batch = self.waiting.take_batch()
        rows = sorted(row for table in batch for row in table)
        self.waiting.free(rows)
        return rows

    def test_wakes_once(self) -> None:
        """The thread is woken by the first row after it has looked, and not by each."""
        self.record(3)
        self.records.step(1, "sent", "CSC", 1, 1, 10, 0)
        self.records.change("connected", "CSC", 1)
        self.assertEqual(self.wakes, 1)
        self.take()
        for row in (
            lambda: self.records.step(1, "sent", "CSC", 1, 1, 10, 0),
            lambda: self.records.change("connected", "CSC", 1),
            self.record,
        ):
            wakes = self.wakes
            row()
            self.assertEqual(self.wakes, wakes + 1)
            self.take()

    def test_pending(self) -> None:
        """What was taken and is not yet written still counts, and so does its age."""
        self.assertEqual((self.waiting.pending, self.waiting.oldest), (0, None))
        self.record(2)
        batch = self.waiting.take_batch()
        self.record()
        self.assertEqual((self.waiting.pending, self.waiting.oldest), (3, START))
        self.waiting.free(batch[0])
        self.assertEqual((self.waiting.pending, self.waiting.oldest), (1, START + 2))

    def test_nothing_to_take(self) -> None:
        """With nothing recorded there is nothing to take."""
        self.assertEqual(self.take(), [])

    def test_bound(self) -> None:
        """Over the bound, rows of every kind are counted instead of kept."""
        self.record(20)
        self.records.step(1, "sent", "CSC", 1, 1, 10, 0)
        self.records.change("connected", "CSC", 1)
        self.assertEqual((self.waiting.pending, self.waiting.lost), (11, 11))

    def test_long_lines_count(self) -> None:
        """The bound is one of bytes: one long line fills it."""
        self.records.line("CSC", "from", 1, bytes(5000))
        self.record()
        self.assertEqual((self.waiting.pending, self.waiting.lost), (1, 1))

    def test_gap(self) -> None:
        """Where rows were lost, a gap tells how many, from when to when; each loss is told once."""
        self.record(14)
        self.take()
        self.record(2)
        kinds = [(row[2], row[-1]) for row in self.take()]
        gap = "3 rows lost from 2026-11-22T16:04:14.000 to 2026-11-22T16:04:16.000"
        self.assertEqual(kinds, [("gap", gap), ("CSC", b"x"), ("CSC", b"x")])

    def test_gap_waits_until_there_is_room(self) -> None:
        """Rows are kept again when half of the room is free, so that there is one gap and not many."""
        self.record(12)
        first = self.waiting.take_batch()
        self.waiting.free(first[0][:3])
        self.record()
        self.assertEqual(self.waiting.lost, 2)
        self.waiting.free(first[0][3:])
        self.record()
        self.assertEqual((self.waiting.lost, self.waiting.pending), (2, 2))

    def test_batches_in_order(self) -> None:
        """A long wait is taken in batches, and no row overtakes one of another table."""
        waiting = Waiting(self.woken, lambda: self.now)
        records = RecordMaker(waiting.keep, lambda: self.now)
        for _ in range(BATCH_ROWS):
            records.line("CSC", "from", 1, b"x")
        records.step(1, "sent", "CSC", 1, 1, 10, 0)
        records.change("connected", "CSC", 1)
        sizes = []
        for _ in range(3):
            batch = waiting.take_batch()
            waiting.free([row for table in batch for row in table])
            sizes.append([len(table) for table in batch])
        self.assertEqual(sizes, [[BATCH_ROWS, 0, 0], [0, 1, 1], [0, 0, 0]])


class SettledTests(SynchronousTestCase):
    """Up to which number the file has every row."""

    def test_own_rows(self) -> None:
        """A row of the journal's own, written before waiting rows with lower numbers, does not count."""
        numbers = iter(range(1, 100))
        settled = Settled(lambda: next(numbers))
        waiting = [(next(numbers),) for _ in range(3)]
        self.assertEqual(settled.own_number(), 4)
        settled.pass_rows([])
        self.assertEqual(settled.number, 0)
        settled.pass_rows(waiting[:2])
        self.assertEqual(settled.number, 2)
        settled.pass_rows(waiting[2:])
        self.assertEqual(settled.number, 4)

    def test_first_row(self) -> None:
        """An own row that is the first of all counts at once."""
        numbers = iter(range(1, 100))
        settled = Settled(lambda: next(numbers))
        settled.own_number()
        settled.pass_rows([])
        self.assertEqual(settled.number, 1)


class TurnTests(JournalCase):
    """One turn of the thread."""

    max_bytes = 2**23

    def test_writes_all(self) -> None:
        """A turn writes all that waits, however much, and is not due again for long."""
        self.record(2 * BATCH_ROWS)
        self.assertEqual(self.writer.turn(), IDLE)
        self.assertEqual((self.count(), self.writer.written), (2 * BATCH_ROWS, 2 * BATCH_ROWS))

    def test_leaves_what_comes_meanwhile(self) -> None:
        """The few rows that come during a turn are left to gather, for each transaction costs; at the
        end they are written, too."""
        self.record(BATCH_ROWS + 1)
        self.assertEqual(self.writer.turn(), 0.0)
        self.assertEqual((self.count(), self.waiting.pending), (BATCH_ROWS, 1))
        self.record(BATCH_ROWS)
        self.writer.finish()
        self.assertEqual((self.count(), self.waiting.pending), (2 * BATCH_ROWS + 1, 0))

    def last(self, abandoned: int) -> tuple[Any, ...]:
        """The event that stands behind all others."""
        return self.waiting.number(), self.now, "stopped", "", 0, f"without {abandoned}"

    def test_finish_late(self) -> None:
        """What is not written when the time is over is let go, and counted in the event that comes last."""
        self.record(BATCH_ROWS + 3)
        self.assertEqual(self.writer.finish(lambda: True, self.last), 3)
        self.assertEqual((self.count(), self.waiting.pending), (BATCH_ROWS, 0))
        self.assertEqual(self.rows("SELECT kind, detail FROM event"), [("stopped", "without 3")])

    def test_finish_with_a_fault(self) -> None:
        """If the file can't be written, nobody tries a second time for the sake of the event."""
        self.faults.connect = self.faults.refuse  # type: ignore[assignment, method-assign]
        self.open()
        self.record(2)
        self.assertEqual(self.writer.finish(last=self.last), 2)
        self.assertEqual((len(self.told), self.waiting.pending), (1, 0))

    def test_fault(self) -> None:
        """After a fault the next turn is due soon, and begins with the same rows."""
        self.record()
        self.writer.turn()
        lock = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(lock.close)
        lock.execute("BEGIN EXCLUSIVE")
        self.record(2)
        self.assertEqual(self.writer.turn(), RETRY)
        self.record(2)
        lock.execute("ROLLBACK")
        self.assertEqual(self.writer.turn(), IDLE)
        times = [row[0] for row in self.rows("SELECT time FROM message ORDER BY id")]
        self.assertEqual(len(times), 5)
        self.assertEqual(times, sorted(times))

    def test_fault_of_trimming(self) -> None:
        """Old rows that can't be deleted make the next turn due soon: new rows are not kept waiting."""
        self.record()
        self.writer.turn()
        self.record()

        def locked() -> bool:
            self.writer.keeper.fault = "database is locked"
            return False

        self.patch(self.writer.keeper, "tend", locked)
        self.assertEqual(self.writer.turn(), RETRY)
        self.assertEqual(self.count(), 2)


class ThreadedClock(Clock):
    """A clock on which a thread can leave something to be done."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[Callable[[], object]] = []

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        self._calls.append(partial(function, *arguments))

    def run_from_threads(self) -> None:
        """Do what threads have left to be done."""
        calls, self._calls = self._calls, []
        for call in calls:
            call()


class Lines(logging.Handler):
    """Collects a log, and tells of each line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.first: Deferred[None] = Deferred()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if len(self.lines) == 1:
            self.first.callback(None)


class JournalTests(TestCase):
    """The thread."""

    timeout = 60

    def setUp(self) -> None:
        self.path = scratch_folder(self) / "journal.sqlite"
        self.log = logging.Logger("tests.journal")
        self.lines = Lines()
        self.log.addHandler(self.lines)

    def journal(self, **settings: Any) -> Journal:
        """A journal that is stopped after the test."""
        journal = Journal(self.path, self.log, **settings)
        self.addCleanup(journal.stop)
        return journal

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What another program reads in the file."""
        db = sqlite3.connect(self.path)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    async def test_stop_writes_all(self) -> None:
        """What was recorded before the start, and until the stop, is in the file when the stop fires."""
        journal = self.journal()
        records(journal).change("started", "", 0)
        journal.start()
        for number in range(10_000):
            records(journal).line("CSC", "from", 1, b"%d" % number)
        await journal.stop()
        self.assertEqual(self.rows("SELECT count(*) FROM message"), [(10_000,)])
        self.assertEqual((journal.written, journal.pending, journal.lost, journal.run), (10_001, 0, 0, 1))
        self.assertEqual((journal.lag, journal.fault, self.lines.lines), (0.0, "", []))
        self.assertNotIn("journal", [thread.name for thread in threading.enumerate() if thread.is_alive()])

    async def test_base(self) -> None:
        """What is added to a row's number to get its id is known once the file is open."""
        journal = self.journal()
        journal.start()
        number = records(journal).change("started", "", 0)
        await journal.stop()
        self.assertEqual(self.rows("SELECT id FROM event"), [((journal.base or 0) + number,)])
        self.assertIsNone(self.journal().base)

    async def test_follow(self) -> None:
        """A follower hears up to which id the file has every row, and of the last event, too."""
        journal = self.journal()
        heard: list[int] = []
        journal.follow(lambda id: heard.append(id - (journal.base or 0)))
        numbers = [records(journal).change("started", "", 0) for _ in range(3)]
        journal.start()
        await journal.stop(last="stopped")
        self.assertEqual(heard[-1], numbers[-1] + 1)
        self.assertEqual(heard, sorted(set(heard)))

    async def test_writes_by_itself(self) -> None:
        """Rows get into the file without a stop: the thread is woken by the first."""
        written: Deferred[None] = Deferred()

        class Told(journal_module.Writer):
            def turn(self) -> float:
                due = super().turn()
                if self.written and not written.called:
                    reactor.callFromThread(written.callback, None)  # type: ignore[attr-defined]
                return due

        self.patch(journal_module, "Writer", Told)
        journal = self.journal()
        journal.start()
        records(journal).line("CSC", "from", 1, b"x")
        await written
        self.assertEqual(self.rows("SELECT line FROM message"), [(b"x",)])
        await journal.stop()

    async def test_stop_twice(self) -> None:
        """It can be stopped twice, at once or later, and each time the Deferred fires."""
        journal = self.journal()
        journal.start()
        first, second = journal.stop(), journal.stop()
        await first
        await second
        await journal.stop()

    async def test_last_event(self) -> None:
        """The event that `stop` is told to record is the last, and has the number of the lost rows."""
        for most, detail in ((2**20, ""), (1, "1 rows of this run are lost")):
            journal = self.journal(max_bytes=most)
            records(journal).line("CSC", "from", 1, b"x")
            records(journal).line("CSC", "from", 1, b"x")
            journal.start()
            await journal.stop(last="stopped")
            run = self.rows(f"SELECT kind, detail FROM event WHERE run = {journal.run} ORDER BY id")
            self.assertEqual(run[-1], ("stopped", detail))

    def test_disk_hangs(self) -> None:
        """A thread that hangs is given up when the time is over: what it did not write is counted."""
        clock = ThreadedClock()
        hangs, may_go_on = threading.Event(), threading.Event()
        self.addCleanup(may_go_on.set)

        class Hanging(journal_module.Writer):
            def turn(self) -> float:
                hangs.set()
                may_go_on.wait()
                return super().turn()

        self.patch(journal_module, "Writer", Hanging)
        journal = Journal(self.path, self.log, reactor=clock)
        journal.start()
        records(journal).line("CSC", "from", 1, b"x")
        hangs.wait()
        self.assertEqual(journal.fault, "")
        self.patch(Hanging, "hangs", True)
        self.assertEqual(journal.fault, "the file has not answered for more than 5 s")
        first, second = journal.stop(2.0, "stopped"), journal.stop()
        clock.advance(1.9)
        self.assertNoResult(first)
        clock.advance(0.1)
        clock.advance(0)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertIn("without the last 2 rows: the disk did not take them within 2 s", self.lines.lines[-1])
        self.assertEqual(journal.lost, 2)
        self.assertIn("hangs", journal.fault)
        self.successResultOf(journal.stop())
        journal.start()
        [thread] = [thread for thread in threading.enumerate() if thread.name == "journal"]
        may_go_on.set()
        thread.join()
        clock.run_from_threads()
        self.assertEqual((journal.lost, len(self.lines.lines)), (2, 1), "what came of it is nobody's")

    async def test_stop_without_start(self) -> None:
        """A journal that was never started can be stopped, and has made no file."""
        await self.journal().stop()
        self.assertFalse(self.path.exists())

    async def test_no_thread(self) -> None:
        """If the system can't start the thread, the caller learns of it; a later start works."""
        journal = self.journal()
        with no_threads():
            self.assertRaises(OSError, journal.start)
        await journal.stop()
        journal.start()
        records(journal).change("started", "", 0)
        await journal.stop()
        self.assertEqual((journal.written, journal.lost), (1, 0))

    async def test_start_again(self) -> None:
        """After a stop it can be started again: a new run. A second start meanwhile changes nothing."""
        journal = self.journal()
        for _ in range(2):
            journal.start()
            journal.start()
            records(journal).change("started", "", 0)
            await journal.stop()
        self.assertEqual(self.rows("SELECT run FROM event"), [(1,), (2,)])
        self.assertEqual(journal.written, 2)

    async def test_fault(self) -> None:
        """A journal that can't be opened is told at once, nothing is raised, and what is lost is counted."""
        self.path.mkdir()
        journal = self.journal(reactor=reactor)
        journal.start()
        await self.lines.first
        records(journal).line("CSC", "from", 1, b"x")
        self.assertIn("can't be written", self.lines.lines[0])
        self.assertNotEqual(journal.fault, "")
        self.assertGreaterEqual(journal.lag, 0.0)
        await journal.stop()
        self.assertEqual(len(self.lines.lines), 2)
        self.assertIn("without the last 1 rows", self.lines.lines[1])
        self.assertEqual(journal.lost, 1)

    async def test_rows_that_cannot_be_written_are_lost(self) -> None:
        """A row that SQLite can't hold counts as lost, also after the journal was started again."""
        journal = self.journal()
        for lost in (1, 2):
            journal.start()
            records(journal).step(1, "sent", "CSC", 1, 2**70, 10, 0)
            records(journal).change("connected", "CSC", 1)
            await journal.stop()
            self.assertEqual((journal.lost, journal.written), (lost, lost))

    async def test_left_unknown(self) -> None:
        """A start after a crash says how many commands were in flight; the next start has none to tell of."""
        crashed = self.journal()
        records(crashed).step(1, "sent", "CSC", 1, 7, 103, 1)
        crashed.start()
        await crashed.stop()  # with no end of that command, as if the daemon had been killed
        for unknown in (1, 0):
            journal = self.journal()
            journal.start()
            await journal.stop()
            self.assertEqual(journal.left_unknown, unknown)

    async def test_gap_at_the_end(self) -> None:
        """Rows that were lost just before the stop are marked too."""
        journal = self.journal(max_bytes=1)
        records(journal).line("CSC", "from", 1, b"x")
        records(journal).line("CSC", "from", 1, b"x")
        journal.start()
        await journal.stop()
        self.assertEqual(self.rows("SELECT kind FROM event"), [("gap",)])

    async def test_own_fault(self) -> None:
        """A fault of the thread itself is logged, and the stop fires all the same."""

        class Broken(journal_module.Writer):
            def turn(self) -> float:
                raise LookupError("a fault of ours")

        self.patch(journal_module, "Writer", Broken)
        journal = self.journal()
        journal.start()
        await journal.stop()
        self.assertIn("a fault of ours", self.lines.lines[0])
        self.assertIn("a fault of ours", journal.fault)

    async def test_error_of_ours(self) -> None:
        """An error of our own loses the rows that came with it, with a gap in their place; the log has it
        once, and later rows are written."""
        rows_of = journal_module._rows_of

        def fails(records: list[Any]) -> Any:
            if any(record.line == b"bad" for _, record in records if isinstance(record, LineRecord)):
                raise LookupError("a fault of ours")
            return rows_of(records)

        self.patch(journal_module, "_rows_of", fails)
        self.patch(journal_module, "RETRY", 0.0)
        journal = self.journal(reactor=reactor, max_bytes=10 * MEMORY_PER_ROW)
        heard: DeferredQueue[int] = DeferredQueue()
        journal.follow(heard.put)
        journal.start()
        for round in range(1, 4):
            records(journal).line("CSC", "from", 1, b"bad")
            number = records(journal).line("CSC", "from", 1, b"bad")
            while journal.lost < 2 * round:
                await deferLater(reactor, 0)
            self.assertIn("a fault of ours", journal.fault)
            number = records(journal).line("CSC", "from", 1, b"good")
            while (journal.base or 0) + number > await heard.get():
                pass
            while journal.fault:
                await deferLater(reactor, 0)
        await journal.stop()
        self.assertEqual(self.rows("SELECT line, count(*) FROM message GROUP BY 1"), [(b"good", 3)])
        [(gap, count)] = self.rows("SELECT detail, count(*) FROM event WHERE kind = 'gap' GROUP BY 1")
        self.assertEqual((gap, count), ("2 rows are lost by an error of the journal", 3))
        self.assertEqual((journal.lost, journal.pending, journal.oldest), (6, 0, None))
        [line] = self.lines.lines
        self.assertIn("LookupError: a fault of ours", line)

    async def test_error_of_ours_with_track_commands(self) -> None:
        """Records of track commands that were held back when our own error came are lost, and counted."""
        journal = self.journal(reactor=reactor, options=FileOptions(tracks="summary"))
        runs = journal._runs
        assert runs is not None
        held = [(-1, ChangeRecord(1.0, 0, "", "started", ""))]
        self.patch(journal_module, "RETRY", 0.0)

        def fails(records: list[Any], now: float) -> Any:
            runs._slots.extend(track_runs._Slot(number, record, False) for number, record in held)
            raise LookupError("a fault of ours")

        records(journal).line("CSC", "from", 1, b"x")
        with mock.patch.object(runs, "pass_on", fails):
            journal.start()
            await self.lines.first
        records(journal).line("CSC", "from", 1, b"y")
        await journal.stop()
        self.assertEqual((journal.lost, journal.pending, journal.written), (2, 0, 1))
        self.assertFalse(journal.holds)

    async def test_lost_rows_are_counted_once(self) -> None:
        """What waited when the thread failed is lost, and is not kept for another start."""

        class Broken(journal_module.Writer):
            def turn(self) -> float:
                raise LookupError("a fault of ours")

            finish = turn  # type: ignore[assignment]

        self.patch(journal_module, "Writer", Broken)
        journal = self.journal()
        records(journal).line("CSC", "from", 1, b"x")
        journal.start()
        await journal.stop()
        self.assertEqual((journal.lost, journal.pending), (1, 0))

    async def test_all_that_waits_is_let_go(self) -> None:
        """However many rows could not be written, all of them are lost once, take no room any more, and are
        not written by another start."""
        rows = 2 * BATCH_ROWS + 2000
        self.path.mkdir()
        journal = self.journal(max_bytes=rows * (MEMORY_PER_ROW + 1))
        for _ in range(rows):
            records(journal).line("CSC", "from", 1, b"x")
        journal.start()
        await self.lines.first
        await journal.stop()
        self.assertEqual((journal.lost, journal.pending, journal.oldest), (rows, 0, None))
        self.path.rmdir()
        for _ in range(rows):
            records(journal).line("CSC", "from", 1, b"y")
        self.assertEqual((journal.lost, journal.pending), (rows, rows))
        journal.start()
        await journal.stop()
        self.assertEqual(self.rows("SELECT line, count(*) FROM message GROUP BY 1"), [(b"y", rows)])


class JournalOffTests(SynchronousTestCase):
    """A bridge that keeps no journal."""

    def test_state(self) -> None:
        """Its state is that of a journal that has lost nothing, and has no file."""
        journal = JournalOff()
        self.assertEqual((journal.written, journal.lost, journal.pending, journal.lag), (0, 0, 0, 0.0))
        self.assertEqual((journal.base, journal.path), (None, None))

    def test_sqlite_is_not_imported(self) -> None:
        """SQLite is imported when a journal is started, and not with the bridge."""
        script = (
            "import sys; sys.modules.pop('sqlite3', None)  # coverage uses it too\n"
            "import mtmount_twisted.journal.recorder; print('sqlite3' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.stdout.strip(), done.stderr), ("False", ""))


class PathTests(SynchronousTestCase):
    """Where the journal is if nobody says otherwise."""

    def test_default(self) -> None:
        """It is below the user's state folder, wherever that is; a relative one is ignored, as XDG says."""
        home = Path.home() / ".local/state/mtmount-bridge/journal.sqlite"
        self.assertEqual(default_path({}), home)
        self.assertEqual(default_path({"XDG_STATE_HOME": "state"}), home)
        self.assertEqual(
            default_path({"XDG_STATE_HOME": "/var/state"}), Path("/var/state/mtmount-bridge/journal.sqlite")
        )
