"""`mtmount_twisted.journal.track_runs`: what the journal keeps of a commander that tracks."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from contextlib import closing, redirect_stderr, redirect_stdout
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.cli.journal import main
from mtmount_twisted.config.settings import CommandRules, JournalSettings
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.frontends.web.api.history import History, Shelf
from mtmount_twisted.frontends.web.events.ring import Turns
from mtmount_twisted.frontends.web.http.calls import Call
from mtmount_twisted.interfaces import IJournal
from mtmount_twisted.journal.recorder import Waiting, Writer
from mtmount_twisted.journal.schema import CONTROLLER
from mtmount_twisted.journal.track_runs import HOLD, Numbered, TrackRuns
from mtmount_twisted.journal.writer import JournalWriter
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record
from mtmount_twisted.station.journal_file import JournalFile
from tests.data.previous_journal import reading as previous_reading
from tests.support.commanders import ASK, LOG, MOVE, STAMP, STATE, TRACK, RecordingClient, RecordingLink
from tests.support.feeds import NIGHT
from tests.support.journals import JournalCase

AZIMUTH = 105
"""The code of `AzimuthAxisTrack`."""

COUNTED = re.compile(r"(\d+) x (\w+) accepted, no\. (\d+) to (\d+), from (\S+)Z to (\S+)Z; the last: (.*)")


def count_in(detail: str) -> int:
    """The number of commands in the detail of an event ``tracked``."""
    found = COUNTED.fullmatch(detail)
    assert found is not None, detail
    return int(found[1])


class Night:
    """Records of commanders that track, as the bridge makes them, at a pace of 20 commands a second."""

    def __init__(self) -> None:
        self.runs = TrackRuns(DIALECT)
        self.now = 1795363443.0
        self.recorded: list[Numbered] = []
        self.kept: list[Numbered] = []
        self.accepted = 0
        self._keys = iter(range(1001, 10**6))
        self._fresh: list[Numbered] = []

    def record(self, record: Record) -> None:
        """Record something."""
        self.recorded.append((len(self.recorded) + 1, record))
        self._fresh.append(self.recorded[-1])

    def write(self) -> None:
        """Let the journal's thread take a turn."""
        self.kept += self.runs.pass_on(self._fresh, self.now)
        self._fresh = []

    def line(self, peer: str, direction: Any, line: bytes, code: int, number: int) -> None:
        """Record a line."""
        self.record(LineRecord(self.now, 1, peer, direction, line, code, number))

    def step(self, peer: str, step: str, number: int, code: int, key: int, why: str = "") -> None:
        """Record a step."""
        self.record(CommandRecord(self.now, 1, peer, step, number, code, key, 1, why))

    def begin(self, peer: str, number: int, code: int = TRACK) -> int:
        """Let a commander send a track command, which the bridge passes on. Return its key."""
        key = next(self._keys)
        rest = b"\n%d\n1\n%s\n10.5\n20.5\n1\n2\n0\n1795363503.5" % (code, STAMP)
        self.line(peer, "from", b"%d%b" % (number, rest), code, number)
        self.step(peer, "received", number, code, key)
        self.line(CONTROLLER, "to", b"%d%b" % (key, rest), code, key)
        self.step(peer, "sent", number, code, key)
        return key

    def answer(self, peer: str, number: int, key: int, code: int = TRACK, step: str = "ack") -> None:
        """Let the mount answer a command."""
        reply = 0 if step == "ack" else 1
        self.line(CONTROLLER, "from", b"%d\n%d\n1\n%s\n0" % (reply, key, STAMP), reply, key)
        self.step(peer, step, number, code, key, "" if step == "ack" else "too late")
        self.line(peer, "to", b"%d\n%d\n1\n%s\n0" % (reply, number, STAMP), reply, number)
        self.line("observers", "to", b"%d\n%d\n1\n%s\n0" % (reply, number, STAMP), reply, number)
        self.accepted += step == "ack"

    def track(self, *peers: str, number: int, code: int = TRACK, step: str = "ack") -> None:
        """Let commanders track for 50 ms."""
        for peer in peers:
            self.answer(peer, number, self.begin(peer, number, code), code, step)
        self.now += 0.05
        self.write()

    def end(self) -> None:
        """Let a second pass."""
        self.write()
        self.now += 1
        self.write()

    @property
    def events(self) -> list[ChangeRecord]:
        """The events that count commands."""
        return [each for _, each in self.kept if isinstance(each, ChangeRecord) and each.kind == "tracked"]

    @property
    def steps(self) -> list[tuple[str, int]]:
        """The steps that are kept, each with the number of its command."""
        return [(each.step, each.sequence_id) for _, each in self.kept if isinstance(each, CommandRecord)]


class RunTests(SynchronousTestCase):
    """Runs of accepted track commands."""

    def setUp(self) -> None:
        self.night = Night()

    def test_a_minute(self) -> None:
        """A minute of tracking is the first and the last command in full, and an event a second."""
        for number in range(1, 1201):
            self.night.track("csc", number=number)
        self.night.end()
        self.assertEqual(
            self.night.steps,
            [(step, number) for number in (1, 1200) for step in ("received", "sent", "ack")],
        )
        self.assertLess(len(self.night.events), 62)
        self.assertEqual(sum(count_in(each.detail) for each in self.night.events), 1198)
        size = sum(100 + len(getattr(each, "detail", "")) for _, each in self.night.kept)
        self.assertLess(30 * 600 * size, JournalSettings().keep_bytes)  # thirty nights of ten hours
        first = self.night.events[0]
        self.assertEqual((first.peer, first.epoch), ("csc", 1))
        found = COUNTED.fullmatch(first.detail)
        assert found is not None
        self.assertEqual(found.groups()[1:4], ("BothAxesTrack", "2", str(1 + count_in(first.detail))))
        self.assertEqual(found[5], "2026-11-22T16:04:03.050")
        self.assertTrue(found[7].startswith("azimuth=10.5 "), found[7])

    def test_two_axes(self) -> None:
        """Two commanders, or two axes, that track at once are a run each."""
        for number in range(1, 101):
            self.night.track("csc", "eui", number=number, code=AZIMUTH)
        self.night.end()
        counts = Counter[str]()
        for each in self.night.events:
            counts[each.peer] += count_in(each.detail)
        self.assertEqual(counts, {"csc": 98, "eui": 98})
        numbers = [number for number, _ in self.night.kept]
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_rejected(self) -> None:
        """A command that the mount rejects is in full, and so are the last one before it and the next."""
        for number in range(1, 31):
            self.night.track("csc", number=number, step="noack" if number == 15 else "ack")
        self.night.end()
        self.assertEqual(
            sorted({number for _, number in self.night.steps}),
            [1, 14, 15, 16, 30],
        )
        self.assertIn(("noack", 15), self.night.steps)
        rejected = [each for _, each in self.night.kept if b"\n15\n1\n" in getattr(each, "line", b"")]
        self.assertEqual(len(rejected), 2)  # to the commander and to the observers

    def test_other_record(self) -> None:
        """A record of anything else ends the runs, and is kept at once."""
        for number in range(1, 11):
            self.night.track("csc", number=number)
        self.night.line(CONTROLLER, "from", STATE, 5, 0)
        self.night.write()
        self.assertEqual(self.night.kept[-1], self.night.recorded[-1])
        self.assertEqual({number for _, number in self.night.steps}, {1, 10})
        self.assertEqual([count_in(each.detail) for each in self.night.events], [8])
        self.assertFalse(self.night.runs.holds)

    def test_record_of_a_client_without_rights(self) -> None:
        """A record that a client without rights causes is kept in its place, and ends no run."""
        night = self.night
        for number in range(1, 41):
            night.track("desk/1", number=number)
            refused = LineRecord(night.now, 1, "hall/1", "from", b"7", 7, 7, privileged=False)
            night.record(refused)
        night.end()
        kept = [record for _, record in night.kept]
        self.assertEqual(sum(isinstance(each, LineRecord) and each.peer == "hall/1" for each in kept), 40)
        self.assertEqual(sum(count_in(event.detail) for event in night.events), 38)
        numbers = [number for number, _ in night.kept]
        self.assertEqual(numbers, sorted(numbers))

    def test_not_answered(self) -> None:
        """A command that gets no Ack is in full soon."""
        for number in range(1, 4):
            self.night.track("csc", number=number)
        self.night.begin("csc", 4)
        self.night.write()
        self.assertNotIn(("sent", 4), self.night.steps)
        self.night.now += HOLD + 0.01
        self.night.write()
        self.assertIn(("sent", 4), self.night.steps)
        self.assertFalse(self.night.runs.holds)

    def test_few(self) -> None:
        """A command alone, and two, are in full, with no event."""
        for count in (1, 2):
            for number in range(1, count + 1):
                self.night.track("csc", number=number)
            self.night.end()
            self.assertEqual(self.night.kept, self.night.recorded)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["track", "track", "track", "track", "both", "axis", "noack", "event", "wait", "write"]
                ),
                st.sampled_from(["csc", "eui"]),
            ),
            max_size=120,
        )
    )
    def test_nothing_is_lost(self, steps: list[tuple[str, str]]) -> None:
        """Rows stay in order. What is no accepted track command is kept; of those each is kept or counted."""
        night = Night()
        for number, (step, peer) in enumerate(steps, 1):
            if step in ("track", "axis"):
                night.track(peer, number=number, code=TRACK if step == "track" else AZIMUTH)
            elif step == "both":
                first, second = night.begin("csc", number), night.begin("eui", number)
                night.answer("eui", number, second)
                night.write()
                night.answer("csc", number, first)
            elif step == "noack":
                night.track(peer, number=number, step="noack")
            elif step == "event":
                night.record(ChangeRecord(night.now, 1, peer, "connected"))
            elif step == "wait":
                night.now += 2 * HOLD
            else:
                night.write()
        night.end()
        self.assertFalse(night.runs.holds)
        numbers = [number for number, _ in night.kept]
        self.assertEqual(numbers, sorted(set(numbers)))
        kept = {number: record for number, record in night.kept if record not in night.events}
        lacking = [record for number, record in night.recorded if number not in kept]
        self.assertTrue(
            all(
                not isinstance(each, ChangeRecord) and getattr(each, "step", "") != "noack"
                for each in lacking
            )
        )
        dropped = Counter(each.step for each in lacking if isinstance(each, CommandRecord))
        counted = sum(count_in(each.detail) for each in night.events)
        self.assertEqual(dropped, {step: counted for step in ("received", "sent", "ack") if counted})
        self.assertEqual(len(lacking), 8 * counted)
        self.assertEqual(sum(step == "ack" for step, _ in night.steps) + counted, night.accepted)


class FileTests(JournalCase):
    """Three seconds of tracking by a real bridge, in the file and for its readers."""

    def setUp(self) -> None:
        super().setUp()
        self.keeper.close()
        self.begin(TrackRuns(DIALECT))

    def begin(self, runs: TrackRuns | None) -> None:
        """Begin a run of the daemon, with a bridge and a commander that has command."""
        self.waiting = waiting = Waiting(self.woken, self.wall_clock, self.max_bytes, runs, lambda: self.now)
        self.keeper = JournalWriter(
            *(self.path, self.tell, self.waiting.number),
            clock=lambda: self.now,
            wall_clock=self.wall_clock,
            connect=self.faults.connect,
        )
        self.writer = Writer(self.waiting, self.keeper, lambda: self.now)

        @implementer(IJournal)
        class Keeper:
            def keep(self, record: Record) -> int:
                return waiting.keep(record)

        bus = EventBus(Clock(), Keeper(), lambda: round(self.now, 3))
        bridge = Bridge(Clock(), LOG, bus, CommandRules(), DIALECT)
        self.link = RecordingLink(bridge)
        bridge.link_up(self.link)
        self.csc = RecordingClient(bridge, "csc", Source.CSC).come()
        self.csc.ask()
        self.link.finish_all()

    def track(self, number: int) -> None:
        """Track, with a turn of the journal's thread after each command."""
        for _ in range(number):
            self.csc.command(TRACK, b"1", b"0", b"2", b"0", b"1795363503.5")
            for line in self.link.read():
                self.link.ack(line)
            self.now += 0.05
            self.writer.turn()

    def program(self, *words: str) -> list[str]:
        """The lines of the program's output."""
        out = io.StringIO()
        with redirect_stdout(out):
            self.assertEqual(main([words[0], "--journal", str(self.path), *words[1:]]), 0)
        return out.getvalue().splitlines()

    def tracked(self) -> list[str]:
        """The details of the events."""
        sql = "SELECT detail FROM event WHERE kind = 'tracked' ORDER BY id"
        return [detail for (detail,) in self.rows(sql)]

    @property
    def acks(self) -> int:
        """The number of accepted track commands that are in full."""
        return int(self.rows(f"SELECT count(*) FROM step WHERE code = {TRACK} AND step = 'ack'")[0][0])

    def test_rows(self) -> None:
        """The file has the first and the last command in full; the rest is counted. No row waits."""
        self.track(60)
        self.csc.command(MOVE, b"1", b"0", b"2", b"0")
        self.writer.turn()
        self.assertEqual((self.acks, sum(map(count_in, self.tracked()))), (2, 58))
        self.assertEqual(self.waiting.pending, 0)
        self.assertEqual(self.keeper.unwritable, 0)
        [(low, high)] = self.rows("SELECT min(rows), max(rows) FROM span")
        self.assertEqual(low, high)
        self.assertEqual(low, sum(map(self.count, ("message", "step", "event"))))

    def test_a_run_ends(self) -> None:
        """The thread wakes up soon after the last command, though no record comes, and writes it."""
        self.track(10)
        wait = self.writer.turn()
        self.assertLessEqual(wait, HOLD)
        self.now += 2 * wait
        self.assertGreater(self.writer.turn(), HOLD)
        self.assertEqual(list(map(count_in, self.tracked())), [8])

    def test_end(self) -> None:
        """As the daemon ends, what is held is written."""
        self.track(10)
        self.assertEqual(self.writer.finish(), 0)
        self.assertEqual(list(map(count_in, self.tracked())), [8])

    def test_file_can_not_be_written(self) -> None:
        """With a full disk the rows wait, and are written when there is room."""
        self.track(10)
        self.faults.fill_disk()
        self.track(40)
        self.now += 1
        self.writer.turn()
        self.faults.empty_disk()
        self.now += 1
        self.writer.turn()
        self.assertEqual(sum(map(count_in, self.tracked())), 48)
        self.assertEqual(self.waiting.pending, 0)

    def test_readers(self) -> None:
        """Each reader has the counts as events: ``show``, ``export``, SQL, the page, the broker's."""
        self.track(60)
        self.now += 1
        self.writer.turn()
        details = self.tracked()
        self.assertEqual(len([line for line in self.program("show") if "  tracked  " in line]), len(details))
        exported = [json.loads(line) for line in self.program("export", "--only", "event")]
        self.assertEqual([row["text"] for row in exported if row["what"] == "tracked"], details)
        sentences = [sentence for (sentence,) in self.rows("SELECT sentence FROM history ORDER BY id")]
        self.assertIn(f"csc tracks: {details[0]}", sentences)
        clock = Clock()
        shelf = Shelf(self.path, clock, maybeDeferred, clock.seconds)
        (route,) = History(shelf, Turns(clock), lambda: self.now, DIALECT).routes()
        call = Call(NIGHT, query={"kind": "change"}, headers={})
        answering: Any = Deferred.fromCoroutine(route.respond(call))  # type: ignore[arg-type]
        clock.advance(0)
        entries = json.loads(self.successResultOf(answering).body)["entries"]
        self.assertEqual([each["detail"] for each in entries if each["kind"] == "tracked"][::-1], details)
        with closing(JournalFile(self.path)) as file:
            followed = [entry.text for entry in file.rows(0, 2**40) if entry.what == "tracked"]
        self.assertEqual(followed, details)
        with closing(previous_reading.open_journal(self.path)) as db:
            wanted = previous_reading.Wanted(tables=("event",))
            read = [each.text for each in previous_reading.rows(db, wanted) if each.what == "tracked"]
        self.assertEqual(read, details)

    def test_settled(self) -> None:
        """A reader that follows the file never passes a row that is written later."""
        seen = before = 0
        for number in range(100):
            self.track(1)
            if number == 50:
                self.csc.command(ASK, b"1")
                self.writer.turn()
            settled = self.writer.settled.number + (self.keeper.base or 0)
            tables = "SELECT id FROM message UNION ALL SELECT id FROM step UNION ALL SELECT id FROM event"
            late = self.rows(f"SELECT count(*) FROM ({tables}) WHERE id <= {seen}")[0][0]
            if number:
                self.assertEqual(late, before)
            before = self.rows(f"SELECT count(*) FROM ({tables}) WHERE id <= {settled}")[0][0]
            seen = settled
        self.assertGreater(seen, 300)

    def test_replay(self) -> None:
        """``replay`` says that it lacks commands: of a run, only the first and the last are in full."""
        self.track(20)
        self.now += 1
        self.writer.turn()
        lines = self.program("show", "--command", "both_axes_track", "--only", "message")
        self.assertEqual(len(lines), 1 + 8)
        self.change("DELETE FROM step")
        words = ["--peer", "csc", "--host", "nowhere.example", "--yes-to", "nowhere.example"]
        with redirect_stderr(io.StringIO()) as said:
            self.assertEqual(main(["replay", "--journal", str(self.path), *words]), 2)
        self.assertIn("the journal only counts some track commands (1 events tracked)", said.getvalue())

    def test_all(self) -> None:
        """Without it, every command is in full."""
        self.keeper.close()
        self.begin(None)
        self.track(60)
        self.assertEqual(self.tracked(), [])
        self.assertEqual(self.acks, 60)


class SettingsTests(SynchronousTestCase):
    """The default."""

    def test_default(self) -> None:
        """Runs are counted, and the file has 4 GiB."""
        self.assertEqual((JournalSettings().tracks, JournalSettings().keep_bytes), ("summary", 4 * 2**30))
