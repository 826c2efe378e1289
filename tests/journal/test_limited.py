"""`mtmount_twisted.journal.limited`: what clients without rights bring about in the journal is bounded."""

from __future__ import annotations

from collections import Counter

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.enums import Source
from mtmount_twisted.journal.limited import (
    LONGEST,
    PORT_ROWS,
    REPORT_EVERY,
    ROW_RATE,
    SESSION_ROWS,
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
        self.visit("hall/1", SESSION_ROWS + 70)
        self.assertEqual(len(self.journal.messages), SESSION_ROWS)
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
            self.visit(f"hall/{number}", SESSION_ROWS)
        self.records.line("hall/1", "from", 1, b"x")
        self.assertEqual((len(self.journal.messages), self.omitted()), (3 * SESSION_ROWS + 1, []))

    def test_explanations(self) -> None:
        """A step's explanation and an event's detail are shortened, too."""
        self.records.step(0, "malformed", "hall/1", 1, 1, 32, 0, "y" * 1000)
        self.records.change("malformed", "hall/1", 1, "y" * 1000)
        self.assertEqual((self.journal.steps[0][-1], self.journal.events[0][-1]), ("y" * LONGEST,) * 2)

    def test_one_port(self) -> None:
        """Who comes again and again brings about so many rows, and a count each minute, however often it
        comes; other ports are no worse for it."""
        for number in range(1000):
            self.visit(f"hall/{number}", SESSION_ROWS + 70)
        rows = len(self.journal.messages) + len(self.journal.events)
        self.assertEqual(rows, PORT_ROWS)
        self.visit("lobby/1", 5)
        self.assertEqual(len(self.journal.messages) + len(self.journal.events), rows + 7)
        self.clock.advance(REPORT_EVERY)
        all_rows = 1000 * (SESSION_ROWS + 70 + 2)
        kept = PORT_ROWS - len([peer for peer, _ in self.omitted() if peer != "hall"])
        told = sum(int(detail.split()[0]) for _, detail in self.omitted())
        self.assertEqual((self.omitted()[-1][0], told), ("hall", all_rows - kept))

    def test_calm_client_of_a_flooded_port(self) -> None:
        """When a port has used up its rows, a client that was there before still has the rows it saved."""
        self.records.change("connected", "desk/1", 1)
        self.clock.advance(60)
        for number in range(1000):
            self.visit(f"desk/x{number}", SESSION_ROWS + 70)
        before = len(self.journal.messages)
        for _ in range(20):
            self.records.line("desk/1", "from", 1, b"x")
        self.assertEqual(len(self.journal.messages) - before, round(60 * ROW_RATE))

    def test_long_session(self) -> None:
        """A session that goes on records more rows over time, and its count is told each minute."""
        self.records.change("connected", "desk/1", 1)
        for rows in (SESSION_ROWS, round(60 * ROW_RATE)):
            before = len(self.journal.messages)
            for _ in range(SESSION_ROWS + 70):
                self.records.line("desk/1", "from", 1, b"x")
            self.assertEqual(len(self.journal.messages) - before, rows)
            self.clock.advance(REPORT_EVERY)
        self.assertEqual(
            self.omitted(),
            [
                ("desk/1", "70 rows, with 70 bytes of lines, were not recorded"),
                ("desk/1", "90 rows, with 90 bytes of lines, were not recorded"),
            ],
        )

    def test_over_time(self) -> None:
        """As time passes there is room for more rows, never for more than a burst."""
        for rows, seconds in ((PORT_ROWS, 60), (60 * ROW_RATE, 10 * 86400), (PORT_ROWS, 0)):
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
        batch = self.waiting.take_batch()
        self.waiting.free([row for table in batch for row in table])
        for privileged in (False, True):
            self.records.change("connected", "hall/1", 1, "", privileged=privileged)
        gaps = [row[-1].partition(" lost")[0] for row in self.waiting.take_batch()[2] if row[2] == "gap"]
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

    def test_cut_off(self) -> None:
        """Observers that are cut off and come again bring about no more rows than those that leave."""
        before = self.rows()
        for number in range(2000):
            watch = self.house.client(f"hall/{number}", may_command=False)
            self.house.bridge.cut_off(watch, "slow")
            watch.go()
        self.assertLessEqual(self.rows() - before, PORT_ROWS)

    def test_end(self) -> None:
        """At the bridge's end what was left out is told, and no timer is left."""
        for number in range(40):
            watch = self.house.client(f"hall/{number}", may_command=False)
            for _ in range(50):
                watch.command(STOP)
        self.house.bridge.close()
        self.assertEqual(self.house.clock.getDelayedCalls(), [])
        self.assertEqual([row[1] for row in self.journal.events if row[0] == "omitted"][-1], "hall")


class CommanderTests(SynchronousTestCase):
    """Commanders at the bridge that do not have command."""

    def setUp(self) -> None:
        self.house = House()
        self.journal = self.house.journal
        self.csc = self.house.holder()

    def rows(self) -> int:
        """How many rows there are that are not of the holder."""
        return sum(
            "csc" not in row[:3]
            for row in (*self.journal.messages, *self.journal.steps, *self.journal.events)
        )

    def assert_holder_is_recorded(self) -> None:
        """The holder's command has all of its rows."""
        self.csc.command(MOVE)
        self.house.link.finish_all()
        steps = [row[1] for row in self.journal.steps if row[2] == "csc"]
        self.assertEqual(steps[-4:], ["received", "sent", "ack", "done"])

    def test_moves(self) -> None:
        """One that sends moves without end brings about few and short rows, with observers there, too."""
        self.house.client("hall/1", may_command=False)
        desk = self.house.client("desk/1", Source.EUI)
        before = self.rows()
        for _ in range(5000):
            desk.command(MOVE, b"x" * 1000)
        self.assertEqual(len(desk.explanations()), 5000)
        self.assertLessEqual(self.rows() - before, 2 * PORT_ROWS)  # observers are told, too
        self.assertLess(max(len(row[-1]) for row in self.journal.messages), LONGEST + 50)
        self.assert_holder_is_recorded()

    def test_asks(self) -> None:
        """So does one whose asks are refused."""
        self.house.give(hhd := self.house.client("hhd", Source.HHD))
        desk = self.house.client("desk/1", Source.EUI)
        before = self.rows()
        for wanted in (Source.EUI, 0) * 1000:
            desk.ask(wanted)
        self.assertIs(self.house.bridge.lease.holder, hhd)
        self.assertLessEqual(self.rows() - before, PORT_ROWS)

    def test_connections(self) -> None:
        """So do those that connect, say something malformed and come again."""
        self.house.link.say(STATE)
        before = self.rows()
        for number in range(2000):
            desk = self.house.client(f"desk/{number}", Source.EUI)
            desk.command(MOVE)
            desk.say(b"nonsense")
            self.house.bridge.cut_off(desk, "slow")
            desk.go()
        self.assertLessEqual(self.rows() - before, PORT_ROWS)
        self.assert_holder_is_recorded()

    def test_end_of_a_calm_session(self) -> None:
        """A client that floods a port does not take the end of another one's session from the journal."""
        calm = [self.house.client(f"desk/{number}", Source.EUI) for number in range(5)]
        watch = [self.house.client(f"hall/{number}", may_command=False) for number in range(5)]
        self.house.advance(20)
        for number in range(100):
            for port, may_command in (("desk", True), ("hall", False)):
                other = self.house.client(f"{port}/x{number}", Source.EUI, may_command=may_command)
                for _ in range(20):
                    other.command(MOVE)
                other.go()
        for each in (*calm, *watch):
            each.go()
        ends = [row[1] for row in self.journal.events if row[0] == "disconnected"]
        self.assertEqual([name for name in ends if "x" not in name], [each.name for each in (*calm, *watch)])

    def test_holder_that_was_refused_before(self) -> None:
        """If a client that was refused often has command as it leaves, its omitted rows are told then.

        Its session ends then, too: a client can come, take command and leave without end.
        """
        desk = self.house.client("desk/1", Source.EUI)
        for _ in range(2 * SESSION_ROWS):
            desk.command(MOVE)
        self.house.give(desk)
        desk.go()
        kinds = [row[0] for row in self.journal.events if row[1] == "desk/1"]
        self.assertEqual(kinds, ["connected", "lease_granted", "omitted", "disconnected"])
        self.house.advance(2 * REPORT_EVERY)
        self.assertEqual(len([row for row in self.journal.events if row[:2] == ("omitted", "desk/1")]), 1)

    def test_quiet_ones_leave_a_flooded_port(self) -> None:
        """The end of a quiet client's connection is recorded, though others have used up the port's rows."""
        quiet = [self.house.client(f"desk/{number}", Source.EUI) for number in range(5)]
        self.house.advance(600)
        flood = [self.house.client(f"desk/{number}", Source.EUI) for number in range(100, 160)]
        for desk in flood:
            for _ in range(SESSION_ROWS):
                desk.command(MOVE)
        for desk in quiet:
            desk.go()
        ends = [row[1] for row in self.journal.events if row[0] == "disconnected"]
        self.assertEqual(ends, [f"desk/{number}" for number in range(5)])

    def test_few_are_recorded(self) -> None:
        """A refused command now and then stands there, with its line, its step and its answer."""
        desk = self.house.client("desk/1", Source.EUI)
        for _ in range(5):
            desk.command(MOVE)
            self.house.advance(60)
        refused = [row for row in self.journal.steps if row[1:3] == ("refused", "desk/1")]
        lines = [row[1] for row in self.journal.messages if row[0] == "desk/1"]
        self.assertEqual((len(refused), lines), (5, ["from", "to"] * 5))

    def test_stops_are_recorded(self) -> None:
        """A stop reaches the mount, and so is recorded whole, however many moves were refused before."""
        desk = self.house.client("desk/1", Source.EUI)
        for _ in range(1000):
            desk.command(MOVE)
        desk.command(STOP)
        self.house.link.finish_all()
        steps = [row[1] for row in self.journal.steps if row[2] == "desk/1"]
        self.assertEqual(steps[-4:], ["received", "sent", "ack", "done"])


class HalfAPairTests(BridgeCase):
    """Commands on half a pair, whose sender is not connected as the protocol says."""

    def test_flood(self) -> None:
        """However many come, few and short rows stand there."""
        self.start(self.controller)
        self.csc.connect_server()
        self.csc.say(*[command(number + 1, STOP, 1) + b"\n" + b"x" * 1000 for number in range(1000)])
        self.pass_time(12)
        rows = [row for row in self.journal.messages if row[0] == "csc"]
        self.assertLessEqual(len(rows) + len(self.journal.steps), PORT_ROWS + 12 * ROW_RATE)
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
