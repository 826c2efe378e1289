"""`mtmount_twisted.journal.limited`: what clients without rights bring about in the journal is bounded."""

from __future__ import annotations

from collections import Counter

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.journal.limited import (
    LONGEST,
    PORT_RATE,
    PORT_ROWS,
    REPORT_EVERY,
    VISIT_ROWS,
    RecordLimiter,
    shortened,
)
from mtmount_twisted.journal.recorder import MEMORY_PER_ROW, Waiting
from tests.support.bridges import BridgeCase, command
from tests.support.commanders import MOVE, STATE, STOP, House, RecordingJournal
from tests.support.journals import START, JournalCase
from tests.support.records import RecordMaker

LONG = b"1\n32\n1\n" + b"x" * 60_000


class ShortenedTests(SynchronousTestCase):
    """A line of a client without rights."""

    def test_long(self) -> None:
        """The first bytes stand there, and how many there were besides."""
        self.assertEqual(shortened(b"x" * LONGEST), b"x" * LONGEST)
        cut = shortened(b"1\n32\n" + b"x" * 1000)
        self.assertEqual(cut, b"1\n32\n" + b"x" * (LONGEST - 5) + b"\n(805 more bytes were not recorded)")


class LimitedTests(SynchronousTestCase):
    """The bounds alone."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.journal = RecordingJournal()
        self.counts: Counter[str] = Counter()
        self.limited = RecordLimiter(self.journal.keep, self.clock, self.counts, self.clock.seconds)
        self.records = RecordMaker(self.limited.publish, self.clock.seconds)
        self.addCleanup(self.limited.close)

    def visit(self, peer: str, lines: int) -> None:
        """A client connects, says so many lines, and is gone."""
        self.records.change("connected", peer, 1)
        for _ in range(lines):
            self.records.line(peer, "from", 1, LONG)
        self.records.change("disconnected", peer, 1, "gone")

    def omitted(self) -> list[tuple[str, str]]:
        """The events that tell what was left out: of whom, and how much."""
        return [(peer, detail) for kind, peer, _, detail in self.journal.events if kind == "omitted"]

    def test_one_visit(self) -> None:
        """Of one visit so many rows stand there, each shortened, then a count, and then that it is over."""
        self.visit("hall/1", VISIT_ROWS + 70)
        self.assertEqual(len(self.journal.messages), VISIT_ROWS)
        self.assertLess(max(len(row[-1]) for row in self.journal.messages), LONGEST + 50)
        left_out = f"70 rows, with {70 * len(LONG)} bytes of lines, were not recorded"
        self.assertEqual(
            [(kind, detail) for kind, _, _, detail in self.journal.events],
            [("connected", ""), ("omitted", left_out), ("disconnected", "gone")],
        )
        self.assertEqual(self.counts["omitted"], 70)

    def test_visits_are_counted_alone(self) -> None:
        """The next visit has its own rows, also under the same name, and while another goes on."""
        self.records.change("connected", "hall/1", 1)
        for number in (2, 2, 3):
            self.visit(f"hall/{number}", VISIT_ROWS)
        self.records.line("hall/1", "from", 1, b"x")
        self.assertEqual((len(self.journal.messages), self.omitted()), (3 * VISIT_ROWS + 1, []))

    def test_explanations(self) -> None:
        """A step's explanation and an event's detail are shortened, too."""
        self.records.step(0, "malformed", "hall/1", 1, 1, 32, 0, "y" * 1000)
        self.records.change("malformed", "hall/1", 1, "y" * 1000)
        self.assertEqual((self.journal.steps[0][-1], self.journal.events[0][-1]), ("y" * LONGEST,) * 2)

    def test_one_port(self) -> None:
        """Who comes again and again brings about so many rows, and a count each minute, however often it
        comes; other ports are no worse for it."""
        for number in range(1000):
            self.visit(f"hall/{number}", VISIT_ROWS + 70)
        rows = len(self.journal.messages) + len(self.journal.events)
        self.assertEqual(rows, PORT_ROWS)
        self.visit("lobby/1", 5)
        self.assertEqual(len(self.journal.messages) + len(self.journal.events), rows + 7)
        self.clock.advance(REPORT_EVERY)
        all_rows = 1000 * (VISIT_ROWS + 70 + 2)
        kept = PORT_ROWS - len([peer for peer, _ in self.omitted() if peer != "hall"])
        told = sum(int(detail.split()[0]) for _, detail in self.omitted())
        self.assertEqual((self.omitted()[-1][0], told), ("hall", all_rows - kept))

    def test_over_time(self) -> None:
        """As time passes there is room for more rows, never for more than a burst."""
        for rows, seconds in ((PORT_ROWS, 60), (60 * PORT_RATE, 10 * 86400), (PORT_ROWS, 0)):
            before = len(self.journal.messages)
            for _ in range(2 * PORT_ROWS):
                self.records.line("csc", "from", 1, b"x")
            self.assertEqual(len(self.journal.messages) - before, round(rows))
            self.clock.advance(seconds)

    def test_close(self) -> None:
        """What was not told yet is told at the end, and no timer is left, nor made later."""
        for _ in range(PORT_ROWS + 7):
            self.records.line("csc", "from", 1, b"x")
        self.limited.close()
        self.records.line("csc", "from", 1, b"x")
        self.assertEqual(self.omitted(), [("csc", "7 rows, with 7 bytes of lines, were not recorded")])
        self.assertEqual((self.clock.getDelayedCalls(), self.counts["omitted"]), ([], 8))


class ReserveTests(SynchronousTestCase):
    """Rows that wait for the file."""

    def setUp(self) -> None:
        self.waiting = Waiting(lambda: None, lambda: START, 100 * MEMORY_PER_ROW)
        self.records = RecordMaker(self.waiting.keep, lambda: START)

    def test_reserve(self) -> None:
        """Half of the room is for clients with rights alone; what each side loses is counted apart."""
        for _ in range(200):
            self.records.line("hall/1", "from", 1, b"", privileged=False)
        self.assertEqual((self.waiting.pending, self.waiting.lost_unprivileged), (51, 149))
        self.assertEqual((self.waiting.lost, self.waiting.losing), (149, False))
        numbers = [self.records.line("csc", "from", 1, b"") for _ in range(50)]
        self.assertNotIn(0, numbers)
        self.records.step(1, "sent", "csc", 1, 1, 10, 0)
        self.assertEqual((self.waiting.lost, self.waiting.lost_unprivileged), (150, 149))
        self.assertTrue(self.waiting.losing)

    def test_gaps(self) -> None:
        """A gap tells whose rows are missing, once there is room again."""
        for privileged in (False, True):
            for _ in range(110):
                self.records.change("connected", "hall/1", 1, "", privileged=privileged)
        batch = self.waiting.take()
        self.waiting.free([row for table in batch for row in table])
        for privileged in (False, True):
            self.records.change("connected", "hall/1", 1, "", privileged=privileged)
        gaps = [row[-1].partition(" lost")[0] for row in self.waiting.take()[2] if row[2] == "gap"]
        self.assertEqual(gaps, ["59 rows of clients without rights", "60 rows"])
        self.assertFalse(self.waiting.losing)


class ObserverTests(SynchronousTestCase):
    """Observers at the bridge."""

    def setUp(self) -> None:
        self.house = House()
        self.journal = self.house.journal

    def rows(self) -> int:
        """How many rows there are."""
        return len(self.journal.messages) + len(self.journal.steps) + len(self.journal.events)

    def test_flood(self) -> None:
        """One that sends 100 long commands, is dismissed and comes again brings about few and short rows; the
        holder of command meanwhile loses none."""
        csc = self.house.holder()
        before = self.rows()
        for number in range(100):
            watch = self.house.client(f"hall/{number}", may_command=False)
            for _ in range(100):
                watch.say(LONG)
            self.assertEqual(len(watch.dismissals), 1)
            watch.go()
        flood = self.rows() - before
        self.assertLessEqual(flood, PORT_ROWS)
        self.assertLess(sum(len(row[-1]) for row in self.journal.messages), PORT_ROWS * 2 * LONGEST)
        csc.command(MOVE)
        self.house.link.finish_all()
        steps = [row[1] for row in self.journal.steps if row[2] == "csc"]
        self.assertEqual(steps[-3:], ["sent", "ack", "done"])

    def test_newcomers(self) -> None:
        """What an observer is told as it comes is not recorded, for it can come again and again."""
        self.house.link.say(STATE)
        before = len(self.journal.messages)
        watch = self.house.client("hall/1", may_command=False)
        self.assertEqual(watch.read(), [STATE])
        self.assertEqual(len(self.journal.messages), before)

    def test_commanders_are_recorded_whole(self) -> None:
        """What commanders say and are refused stands there whole, however much it is."""
        eui = self.house.client("eui")
        before = len(self.journal.steps)
        for _ in range(PORT_ROWS):
            eui.command(STOP, b"x" * 1000)
        lines = [row for row in self.journal.messages if row[:2] == ("eui", "from")]
        self.assertEqual(len(lines), PORT_ROWS)
        self.assertGreaterEqual(len(self.journal.steps) - before, PORT_ROWS)
        self.assertGreater(min(len(row[-1]) for row in lines), 1000)

    def test_end(self) -> None:
        """At the bridge's end what was left out is told, and no timer is left."""
        for number in range(40):
            watch = self.house.client(f"hall/{number}", may_command=False)
            for _ in range(50):
                watch.command(STOP)
        self.house.bridge.close()
        self.assertEqual(self.house.clock.getDelayedCalls(), [])
        self.assertEqual([row[1] for row in self.journal.events if row[0] == "omitted"][-1], "hall")


class HalfAPairTests(BridgeCase):
    """Commands on half a pair, whose sender is not connected as the protocol says."""

    def test_flood(self) -> None:
        """However many come, few and short rows stand there."""
        self.start(self.controller)
        self.csc.connect_server()
        self.csc.say(*[command(number + 1, STOP, 1) + b"\n" + b"x" * 1000 for number in range(1000)])
        self.pass_time(12)
        rows = [row for row in self.journal.messages if row[0] == "csc"]
        self.assertLessEqual(len(rows) + len(self.journal.steps), PORT_ROWS + 12 * PORT_RATE)
        self.assertLess(max(len(row[-1]) for row in rows), LONGEST + 50)
        self.stop()


class FileTests(JournalCase):
    """What is marked in the file."""

    def test_marked(self) -> None:
        """The file knows which rows clients without rights brought about."""
        self.record(2)
        self.records.line("hall/1", "from", 1, b"x", privileged=False)
        self.records.step(0, "refused", "hall/1", 1, 1, 32, 0, "no", privileged=False)
        self.records.change("connected", "csc", 1)
        self.records.change("disconnected", "hall/1", 1, "gone", privileged=False)
        self.writer.turn()
        self.assertEqual(self.rows("SELECT id FROM unprivileged"), [(3,), (4,), (6,)])
