"""The program that breaks things: what it counts as lost or unmet, and the page that says what it found."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
from collections import Counter
from types import SimpleNamespace
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from chaos import model, on_flood, on_mix, records, report, tables, two_bridges, waits
from chaos.ledger import Ledger
from chaos.outcome import Outcome, Row
from chaos.rows import FLOODS, ROWS, SEVERAL_FLOODS
from chaos.setting import TMA2022, TRANSLATED
from fuzz.results import NAMES
from mtmount_twisted.commands import AzimuthAxisTrack, BothAxesStop, Enable
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.dialects.translate import Translated, translate_command
from mtmount_twisted.journal.file import Store
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply
from tests.bridge.test_model import MACHINES
from tests.support.folders import scratch_path
from tests.support.simulated_tma2022 import Bench


async def nothing(stage: Any, times: int) -> None:
    """Injects nothing."""


ROW = Row("a fault", nothing, 2, 1, ("a", "b"))


class OutcomeTests(SynchronousTestCase):
    """When a row is as expected."""

    def outcome(self, **changes: Any) -> Outcome:
        """All was seen each time, but for what is changed."""
        return Outcome(**{"injected": 2, "seen": Counter(a=2, b=2), **changes})

    def test_met(self) -> None:
        """A row is as expected if all was seen each time, nothing is lost, and there is no other problem."""
        self.assertTrue(ROW.is_met(self.outcome()))
        for changes in (
            {"seen": Counter(a=2, b=1)},
            {"seen": Counter(a=2)},
            {"lost": 1},
            {"problems": ["25 files after 21"]},
            {"injected": 0, "seen": Counter()},
        ):
            self.assertFalse(ROW.is_met(self.outcome(**changes)), changes)

    def test_cells(self) -> None:
        """What was not seen each time is in the row, with how often it was; else that it was each time."""
        met = report.cells(report.result(ROW, self.outcome()))
        self.assertEqual(met, ["a fault", "2", "a, b", "each time", "0"])
        outcome = self.outcome(seen=Counter(a=2, b=1), problems=["why"], lost=3)
        self.assertEqual(report.cells(report.result(ROW, outcome))[3:], ["b: 1 of 2; why", "3"])

    def test_note(self) -> None:
        """A remark, such as a seed, stands behind the observations."""
        cells = report.cells(report.result(ROW, self.outcome(note="seed 16")))
        self.assertEqual(cells[3], "each time; seed 16")

    def test_impossible(self) -> None:
        """A fault that this machine does not let happen is neither as expected nor not, and says why."""
        outcome = Outcome(impossible="not possible here: no rights")
        self.assertIsNone(ROW.is_met(outcome))
        cells = report.cells(report.result(ROW, outcome))
        self.assertEqual(cells, ["a fault", "0", "a, b", "not possible here: no rights", "0"])

    def test_measured(self) -> None:
        """What a flood measured is in its result, and each goal that it met."""
        outcome = self.outcome()
        self.assertNotIn("measured", report.result(ROW, outcome))
        for wire, stops, lost in ((0.004, [0.01, 0.05], 0), (0.03, [0.2], 2), (0.005, [], 0)):
            probe: Any = SimpleNamespace(p99=lambda wire=wire: wire, stops=stops or [0.0])
            on_flood.note(outcome, probe, lost, 2)
        self.assertEqual(
            report.result(ROW, outcome)["measured"],
            {on_flood.WIRE: 30, on_flood.STOP: 200, on_flood.ROWS: 2},
        )
        self.assertEqual([outcome.seen[goal] for goal in on_flood.GOALS], [2, 2, 2])
        self.assertEqual(outcome.seen["each stop answered"], 1)

    def test_some_rows_anew(self) -> None:
        """A run of some rows takes their places in the results of all, in the order of the table."""
        old = {
            "results": [{"fault": "a", "lost": 1}, {"fault": "c", "lost": 0}, {"fault": "gone", "lost": 0}]
        }
        new = [{"fault": "b", "lost": 0}, {"fault": "a", "lost": 0}]
        found = report.merged(old, new, ["a", "b", "c"])
        self.assertEqual([(each["fault"], each["lost"]) for each in found], [("a", 0), ("b", 0), ("c", 0)])

    def test_figures(self) -> None:
        """Figures of rows are added up, but for those of which the largest counts."""
        outcomes = [
            self.outcome(figures=Counter(kill=3, lag=5), lost=1),
            self.outcome(figures=Counter(lag=7)),
        ]
        figures = report.figures(outcomes)
        self.assertEqual((figures["kill"], figures["lag"], figures["lost"]), (3, 7, 1))
        self.assertEqual(list(figures), list(report.FIGURES))


class LedgerTests(SynchronousTestCase):
    """What counts as the end of a command, and what as a loss."""

    def setUp(self) -> None:
        self.ledger = Ledger()

    def test_ends(self) -> None:
        """Done and NoAck end a command; Ack ends one that tracks, and no other."""
        done, _ = self.ledger.enter(Enable)
        refused, _ = self.ledger.enter(Enable)
        tracked, _ = self.ledger.enter(AzimuthAxisTrack, position=1.0, velocity=0.0, tai=0.0)
        self.ledger.heard(AckReply(sequence_id=done.id))
        self.assertFalse(self.ledger.has_ended())
        self.ledger.heard(DoneReply(sequence_id=done.id))
        self.ledger.heard(NoAckReply(sequence_id=refused.id, explanation="busy: 100"))
        self.ledger.heard(AckReply(sequence_id=tracked.id))
        self.ledger.heard(DoneReply(sequence_id=999))
        self.assertTrue(self.ledger.has_ended())
        self.assertTrue(done.ended("done") and refused.ended("busy") and tracked.ended("ack"))
        self.assertEqual(self.ledger.lost(), [])

    def test_lost(self) -> None:
        """No end, two ends, and one command twice at the mount are each a loss; an orphan's end is not."""
        none, _ = self.ledger.enter(Enable)
        two, _ = self.ledger.enter(Enable)
        again, command = self.ledger.enter(BothAxesStop)
        orphan, _ = self.ledger.enter(Enable)
        for entry in (two, two, again):
            self.ledger.heard(DoneReply(sequence_id=entry.id))
        orphan.orphan = True
        self.ledger.came(command)
        self.ledger.came(BothAxesStop(sequence_id=77, timestamp=command.timestamp))
        self.ledger.came(BothAxesStop())
        self.assertEqual(len(self.ledger.lost()), 3)
        self.assertEqual(self.ledger.arrived[again.id], 2)
        self.assertEqual(self.ledger.stops, 1)
        none.orphan = True
        self.assertEqual(len(self.ledger.lost()), 2)


class MixTests(SynchronousTestCase):
    """How the requests of a random mix are judged, by the log and the mount's own record."""

    def problems(self, words: list[str], arrived: int, state: str = "") -> list[str]:
        """What is wrong with one request: its messages, its arrivals, and the state at the requester."""
        ledger = Ledger(TMA2022)
        ledger.positions[1.5] = arrived
        found = {"x": words} if words else {}
        return on_mix.judged({"x": on_mix.Sent(1.5, state)}, found, ledger)

    def test_good(self) -> None:
        """One outcome, behind at most one claim; sent once at most, and once if it is done."""
        for words, arrived, state in (
            (["request", "claim", "done"], 1, "done"),
            (["request", "claim", "done"], 1, ""),
            (["request", "not_sent"], 0, "not_sent"),
            (["request", "claim", "outcome_unknown"], 0, "outcome_unknown"),
            (["request", "claim", "outcome_unknown"], 1, "outcome_unknown"),
            ([], 0, ""),
        ):
            self.assertEqual(self.problems(words, arrived, state), [], words)

    def test_lost(self) -> None:
        """Everything else is a loss."""
        for words, arrived, state in (
            (["request", "claim"], 1, ""),
            (["request"], 0, ""),
            (["request", "claim", "done", "done"], 1, "done"),
            (["request", "claim", "claim", "done"], 1, "done"),
            (["request", "done", "claim"], 1, "done"),
            (["request", "claim", "done"], 2, "done"),
            (["request", "claim", "done"], 0, "done"),
            (["request", "not_sent"], 1, "not_sent"),
            (["request", "claim", "done"], 1, "outcome_unknown"),
        ):
            self.assertTrue(self.problems(words, arrived, state), words)

    def test_user_goes_on(self) -> None:
        """After the mount missed the heartbeats, which puts its axes into alarm, the user can move again."""
        bench = Bench(heartbeat_timeout=5)
        bench.wait(5.1)
        move = TMA2022.move(position=1.0)
        self.assertNotEqual(bench.refusal(move), "")
        for name, parameters in on_mix.regaining(TMA2022):
            given = {key: Source[value] if key == "commander" else value for key, value in parameters.items()}
            self.assertEqual(bench.refusal(getattr(TMA2022.commands, name)(**given)), "", name)
        self.assertEqual(bench.refusal(move), "")

    def test_commander_goes_on(self) -> None:
        """The commander's command is right behind its ask: the user, who asks too, can't come in between."""
        for asks, kinds in ((False, [TMA2022.simple]), (True, [TMA2022.ask, TMA2022.simple])):
            sent: list[Any] = []
            desk: Any = SimpleNamespace(send=lambda kind, sent=sent, **parameters: sent.append(kind) or kind)
            self.assertIs(on_mix.send(desk, TMA2022, asks), TMA2022.simple)
            self.assertEqual(sent, kinds)

    def test_state(self) -> None:
        """A bridge is no standby before its log says so: until then it takes nothing over."""
        line = "2026-11-28T02:00:00+0000 [mtmount_twisted#info] {}: why\n"
        log = ""
        for state in ("standby", "candidate", "active", "alone", "active", "standby"):
            self.assertNotEqual(two_bridges.state_in(log), state)
            log += line.format(state) + line.format("the broker is away")
            self.assertEqual(two_bridges.state_in(log), state)

    def test_complaint(self) -> None:
        """The last warning of a bridge tells why it does not go on."""
        self.assertEqual(two_bridges.complaint_in("2026-11-28T02:00:00+0000 [x#info] standby: why\n"), "")
        lines = [f"2026-11-28T02:00:00+0000 [x#{level}] {level}" for level in ("warn", "error", "info")]
        self.assertEqual(two_bridges.complaint_in("\n".join(lines)), "error")

    def test_arrivals(self) -> None:
        """The ledger counts the commands of others by their position."""
        ledger = Ledger(TMA2022)
        for _ in range(2):
            ledger.came(TMA2022.move(position=-99.5, timestamp=1e9))
        _, own = ledger.enter(TMA2022.move, position=-99.5)
        ledger.came(own)
        self.assertEqual(ledger.positions[-99.5], 2)


class SettingTests(SynchronousTestCase):
    """A ledger before a tma2022 mount, for commanders of either protocol."""

    def test_today(self) -> None:
        """A command is known again at the mount by its time, and its end is that of its commander."""
        ledger = Ledger(TMA2022)
        entry, command = ledger.enter(TMA2022.move, position=1.0, source=2)
        ledger.came(command.replaced(sequence_id=77))
        answers = {"sequence_id": entry.id, "commander": Source.EUI}
        ledger.heard(replies.CmdAcknowledgedReply(**answers, timeout=1.0))
        self.assertEqual((ledger.arrived[entry.id], entry.ends), (1, []))
        ledger.heard(replies.CmdFailedReply(**answers, explanation="why"))
        self.assertEqual((entry.ends, ledger.lost()), (["why"], []))
        ledger.came(command)
        self.assertEqual(len(ledger.lost()), 1)

    def test_translated(self) -> None:
        """A command that became two has arrived once, and twice if one of the two has."""
        ledger = Ledger(TRANSLATED)
        entry, command = ledger.enter(TRANSLATED.commands.OilSupplySystemPower, on=True)
        translation = translate_command(command)
        assert isinstance(translation, Translated)
        for part in translation.commands:
            ledger.came(part)
        self.assertEqual(ledger.arrived[entry.id], 1)
        ledger.came(translation.commands[1])
        self.assertEqual(ledger.arrived[entry.id], 2)

    def test_stops(self) -> None:
        """A stop that no commander sent is the bridge's own."""
        ledger = Ledger(TMA2022)
        ledger.came(TMA2022.stop(timestamp=1_800_000_000.0))
        self.assertEqual(ledger.stops, 1)


class RecordsTests(SynchronousTestCase):
    """The journal as a witness."""

    def setUp(self) -> None:
        self.path = scratch_path(self) / "journal.sqlite"
        self.number = 0
        self.ledger = Ledger()

    def store(self) -> Store:
        """A run of the daemon; closed after the test."""
        store = Store(self.path, None, lambda: 1000)
        self.addCleanup(store.close)
        return store

    def write(self, store: Store, entry: Any, *steps: str, key: int = 0, code: int = 0) -> None:
        """What became of a command, or of the command with another key and code that it became, too."""
        rows = []
        for step in steps:
            self.number += 1
            kept = key or entry.id, step, "desk/1", 1, entry.id, code or entry.code, 1, ""
            rows.append((self.number, 1.0, *kept))
        store.write(([], rows, []))

    def test_ends(self) -> None:
        """One end is none too few; an open command, one with two ends, and a missing one are told."""
        store = self.store()
        done, opened, twice, missing, never = (self.ledger.enter(Enable)[0] for _ in range(5))
        self.write(store, done, "received", "sent", "ack", "done")
        self.write(store, opened, "received", "sent")
        self.write(store, twice, "received", "sent", "done", "timed_out")
        self.ledger.arrived[missing.id] = 1
        told = records.lost(self.path, self.ledger, True)
        self.assertEqual(
            [text.split()[1] for text in told], [str(each.id) for each in (opened, twice, missing)]
        )
        self.assertEqual(len(records.lost(self.path, self.ledger, False)), 1)
        self.assertEqual(never.ends, [])

    def test_one_that_became_two(self) -> None:
        """Each of its commands has one end; a command that was begun anew has the same code twice."""
        store = self.store()
        two, again = (self.ledger.enter(Enable)[0] for _ in range(2))
        self.write(store, two, "received", "sent", "done")
        self.write(store, again, "received", "sent", "done")
        self.write(store, two, "received", "done", key=101, code=801)
        self.write(store, again, "received", "done", key=102)
        told = records.lost(self.path, self.ledger, True)
        self.assertEqual([text.split()[1] for text in told], [str(again.id)])

    def test_unknown(self) -> None:
        """What a killed run left open has its end once a later run calls it unknown."""
        entry, _ = self.ledger.enter(Enable)
        self.write(self.store(), entry, "received", "sent")
        self.assertEqual(len(records.lost(self.path, self.ledger, True)), 1)
        self.store()
        self.assertEqual(records.lost(self.path, self.ledger, True), [])
        self.assertEqual(len(records.details(self.path, "unknown")), 1)

    def test_ended(self) -> None:
        """The commands of commanders that have an end; a stranger's, under the same ids, do not count."""
        store = self.store()
        done, opened = (self.ledger.enter(Enable)[0] for _ in range(2))
        self.write(store, done, "received", "sent", "done")
        self.write(store, opened, "received", "sent")
        self.number += 1
        store.write(([], [(self.number, 1.0, 0, "refused", "hall/1", 1, opened.id, 7, 0, "")], []))
        self.assertEqual(records.ended(self.path), {done.id})

    def test_fill(self) -> None:
        """A journal of so many lines is one that the bridge goes on with."""
        path = scratch_path(self) / "folder" / "journal.sqlite"
        records.fill(path, 500)
        self.assertEqual(records.rows(path)["message"][0], 500)
        self.assertTrue(records.is_sound(path))

    def test_missing(self) -> None:
        """Rows that were committed and are gone are counted; those that came since are not."""
        store = self.store()
        entry, _ = self.ledger.enter(Enable)
        self.write(store, entry, "received", "sent")
        before = records.rows(self.path)
        self.write(store, entry, "done")
        self.assertEqual(records.missing(self.path, before), 0)
        with contextlib.closing(sqlite3.connect(self.path)) as db, db:
            db.execute("DELETE FROM step WHERE step = 'sent'")
        self.assertEqual(records.missing(self.path, before), 1)
        self.assertTrue(records.is_sound(self.path))


class WaitsTests(SynchronousTestCase):
    """Waiting for what may not come."""

    def test_until(self) -> None:
        """What comes in time is waited for no longer; what does not is an error that says what it was."""
        clock, there = Clock(), []
        waiting = Deferred.fromCoroutine(waits.until(clock, lambda: there, "it is there", 1.0))
        clock.pump([waits.STEP] * 20)
        self.assertNoResult(waiting)
        there.append(True)
        clock.pump([waits.STEP] * 2)
        self.assertAlmostEqual(self.successResultOf(waiting), 0.21, 5)
        waiting = Deferred.fromCoroutine(waits.until(clock, lambda: False, "it is there", 1.0))
        clock.pump([waits.STEP] * 110)
        self.failureResultOf(waiting, waits.TooLate)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_port_that_opens_late(self) -> None:
        """A port is tried again until it is open, and not without end."""
        clock = Clock()
        for refusals, answer in ((3, "an answer"), (1000, None)):
            left = [refusals]

            async def reach(left: list[int] = left) -> str:
                left[0] -= 1
                if left[0] >= 0:
                    raise ConnectionRefusedError
                return "an answer"

            reached = Deferred.fromCoroutine(waits.listening(clock, reach, 1.0))
            self.assertNoResult(reached)
            clock.pump([waits.STEP] * 110)
            if answer is None:
                self.failureResultOf(reached, ConnectionRefusedError)
            else:
                self.assertEqual(self.successResultOf(reached), answer)
        self.assertEqual(clock.getDelayedCalls(), [])


class Steps(RuleBasedStateMachine):
    """A machine that notes its steps, and fails in the midst of a day, if that is wanted."""

    made: ClassVar[list[int]]
    fails_at = 0

    def __init__(self) -> None:
        super().__init__()
        self.today = 0

    @initialize()
    def begin(self) -> None:
        """A day begins."""

    @rule()
    def step(self) -> None:
        """Something happens."""
        self.today += 1
        self.made.append(self.today)
        assert self.today != self.fails_at, "model and bridge differ"


class ModelTests(SynchronousTestCase):
    """``python -m chaos.model``."""

    def test_enough_steps(self) -> None:
        """Days are played until there were at least so many steps; what begins a day is none."""

        class Long(Steps):
            made: ClassVar[list[int]] = []

        tally = model.play(7_000, Long)
        self.assertGreaterEqual(tally.steps, 7_000)
        self.assertEqual((tally.steps, tally.failures), (len(Long.made), 0))
        self.assertGreater(tally.examples, model.DAYS.max_examples)

    def test_failure(self) -> None:
        """A step at which they differ is a failure, which is printed, and nothing is played after it."""

        class Failing(Steps):
            made: ClassVar[list[int]] = []
            fails_at = 3

        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            tally = model.play(10**9, Failing)
        self.assertEqual(tally.failures, 1)
        self.assertIn("model and bridge differ", err.getvalue())

    def test_file(self) -> None:
        """What is printed is kept with where it was measured and on what commit."""

        class Plain(Steps):
            made: ClassVar[list[int]] = []

        path, out = scratch_path(self), io.StringIO()
        with contextlib.redirect_stdout(out):
            words = ["--steps", "1", "--json", str(path)]
            self.assertEqual(model.main(words, {"one": Plain, "other": Plain}), 0)
        content = json.loads(path.read_text(encoding="utf-8"))
        for dialect in ("one", "other"):
            steps = content["figures"][dialect]["steps"]
            self.assertIn(f"{dialect} steps: {steps:,}\n", out.getvalue())
        self.assertRegex(content["machine"]["commit"], r"^([0-9a-f]{7,}\+?|unknown)$")


class PageTests(SynchronousTestCase):
    """``docs/explanation/reliability.rst``."""

    def setUp(self) -> None:
        self.text = tables.PAGE.read_text(encoding="utf-8")
        self.content = tables.read()

    def test_tables_are_those_of_the_files(self) -> None:
        """The tables are what `chaos.tables` makes of the files of the runs that are committed."""
        self.assertEqual(self.text, tables.page(self.text, self.content), "run: python -m chaos.tables")

    def test_every_table_is_there(self) -> None:
        """The page has each of the tables once."""
        self.assertEqual(
            sorted(name for _, name in tables.GENERATED.findall(self.text)), sorted(tables.TABLES)
        )

    def test_typed_figure_does_not_stay(self) -> None:
        """A figure that somebody typed into a table is gone when the page is made anew."""
        typed = self.text.replace("each time", "always").replace("model failures", "model faults")
        self.assertEqual(tables.page(typed, self.content), self.text)

    def test_every_row_was_played(self) -> None:
        """The file is of a full run of this very table, as often as it says, and all was as expected."""
        chaos = self.content["chaos"]
        played = {result["fault"]: result for result in chaos["results"]}
        for row in ROWS:
            if row.full:
                result = played.pop(row.fault)
                self.assertTrue(result["met"], row.fault)
                self.assertEqual(result["expected"], list(row.expected), row.fault)
                self.assertGreaterEqual(result["times"], row.full, row.fault)
        self.assertEqual(played, {}, "no row has this fault any more")
        self.assertEqual(chaos["figures"]["lost"], 0)
        self.assertLess(chaos["figures"]["lag"], 200)

    def test_floods(self) -> None:
        """Under each flood commands and stops are in time, and no row of a commander is lost.

        Under several floods at once, they take at most twice the time.
        """
        measured = {
            result["fault"]: result["measured"]
            for result in self.content["chaos"]["results"]
            if "measured" in result
        }
        self.assertGreaterEqual(len(measured), len(FLOODS))
        for fault, figures in measured.items():
            most = 2000 if fault == SEVERAL_FLOODS else 1000
            self.assertLessEqual(figures[on_flood.WIRE], most * on_flood.WIRE_LIMIT, fault)
            self.assertLessEqual(figures[on_flood.STOP], most * on_flood.STOP_LIMIT, fault)
            self.assertEqual(figures[on_flood.ROWS], 0, fault)

    def test_the_model_was_played(self) -> None:
        """The model made 20,000 steps or more with each machine, and the bridge did what it says at each."""
        figures = self.content["model"]["figures"]
        self.assertEqual(set(figures), set(MACHINES))
        for dialect, tally in figures.items():
            self.assertGreaterEqual(tally["steps"], 20_000, dialect)
            self.assertEqual(tally["failures"], 0, dialect)

    def test_parsers_were_fuzzed(self) -> None:
        """Each parser took a million inputs or more, of which none made it crash."""
        self.assertEqual(set(self.content["fuzz"]), set(NAMES))
        for name, result in self.content["fuzz"].items():
            self.assertGreaterEqual(result["inputs"], 1_000_000, name)
            self.assertEqual(result["crashes"], 0, name)

    def test_parser_that_was_not_fuzzed(self) -> None:
        """It has a row all the same, which says so; each machine is told with the parsers that it took."""
        result = {"inputs": 5, "seconds": 1, "crashes": 0, "commit": "c"}
        here, there = ({**result, "machine": {"cores": cores}} for cores in (2, 8))
        content = {"fuzz": {"line": here, "http": there, "body": here}}
        rows = [line.split() for line in tables.parsers(content).splitlines()]
        self.assertIn(["line", "5", "1", "0", "c"], rows)
        self.assertIn(["stream", "not", "yet", "-", "-", "-"], rows)
        self.assertEqual(
            tables.fuzzed_on(content), ":parsers: line, body\n:cores: 2\n\n:parsers: http\n:cores: 8"
        )
