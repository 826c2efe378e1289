"""`mtmount_twisted.journal`'s pure parts: times, reading, text and export."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from functools import partial
from itertools import count, islice
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.cli.journal import following
from mtmount_twisted.cli.journal.export import export_csv, export_jsonl
from mtmount_twisted.cli.journal.following import follow
from mtmount_twisted.cli.journal.text import Teller
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.journal import reading
from mtmount_twisted.journal.reading import (
    Entry,
    JournalError,
    Wanted,
    first_and_last,
    last_entries,
    open_journal,
    rows,
)
from mtmount_twisted.journal.times import iso, parse_time
from tests.support.journals import STAMP, START, SessionCase


class TimesTests(SynchronousTestCase):
    """What a person writes for a time; now is 16:04:03 UTC."""

    def test_forms(self) -> None:
        """Each form that the manual names is understood."""
        for text, seconds in {
            "now": 0.0,
            "10 min ago": -600.0,
            "10 minutes ago": -600.0,
            "1.5 h": -5400.0,
            "2h": -7200.0,
            "1 day ago": -86400.0,
            "30s": -30.0,
            "16:04": -3.0,
            "16:04:02.5": -0.5,
            "9:04:03": -7 * 3600.0,
            "17:04:03": -23 * 3600.0,
            "2026-11-22T16:04:03": 0.0,
            "2026-11-22 16:04:03Z": 0.0,
            "2026-11-22T16:04:03+01:00": -3600.0,
            "2026-11-22": -(16 * 3600 + 4 * 60 + 3.0),
        }.items():
            self.assertEqual(parse_time(text, START), START + seconds, text)

    def test_what_is_none(self) -> None:
        """What is no time is refused with words that show some."""
        for text in ("", "soon", "10 parsecs ago", "25:00", "2026-13-01", "9" * 30 + "-01-01"):
            with self.assertRaisesRegex(ValueError, "10 min ago"):
                parse_time(text, START)

    def test_iso(self) -> None:
        """A time is written in UTC, and can be read again."""
        self.assertEqual(iso(START), "2026-11-22T16:04:03.000Z")
        self.assertEqual(parse_time(iso(START), 0.0), START)


class ReadingTests(SessionCase):
    """Which entries are given."""

    def setUp(self) -> None:
        super().setUp()
        self.db = open_journal(self.path)
        self.addCleanup(self.db.close)

    def ids(self, **wanted: object) -> list[int]:
        """The ids of the entries that are asked for."""
        return [entry.id for entry in rows(self.db, Wanted(**wanted))]  # type: ignore[arg-type]

    def test_all(self) -> None:
        """All entries come in the order in which they were recorded, page by page."""
        self.patch(reading, "SELECT_ROWS", 4)
        self.assertEqual(self.ids(), list(range(1, 24)))

    def test_peer(self) -> None:
        """Those of one peer, or of some."""
        self.assertEqual(self.ids(peers=("EUI",)), [15, 16, 17])
        self.assertEqual(self.ids(peers=("EUI", "everyone")), [14, 15, 16, 17])
        self.assertEqual(self.ids(peers=("nobody",)), [])

    def test_time(self) -> None:
        """Those from one moment to another."""
        self.assertEqual(self.ids(since=START + 30), list(range(15, 24)))
        self.assertEqual(self.ids(until=START + 30), list(range(1, 15)))
        self.assertEqual(self.ids(since=START + 0.0025, until=START + 0.0045), [3, 4])
        self.assertEqual(self.ids(since=START + 1000), [])

    def test_table_and_run(self) -> None:
        """Those of one kind, or of one run."""
        self.assertEqual(self.ids(tables=("event",)), [1, 2, 23])
        self.assertEqual(len(self.ids(run=1)), 23)
        self.assertEqual(self.ids(run=2), [])

    def test_command(self) -> None:
        """All that belongs to a command, on both sides of the bridge, and nothing else."""
        self.assertEqual(self.ids(codes=(103,)), list(range(3, 13)))
        self.assertEqual(self.ids(codes=(32,)), [15, 16, 17])
        self.assertEqual(self.ids(codes=(103,), tables=("step",)), [4, 6, 8, 11])
        self.assertEqual(self.ids(codes=(10,)), [])

    def test_outcome(self) -> None:
        """All that belongs to the commands that ended in some way."""
        self.assertEqual(self.ids(outcomes=("done",)), list(range(3, 13)))
        self.assertEqual(self.ids(outcomes=("refused",)), [15, 16, 17])
        self.assertEqual(self.ids(outcomes=("open",)), [18, 19, 20, 21])
        self.assertEqual(self.ids(outcomes=("done",), codes=(32,)), [])

    def test_unknown(self) -> None:
        """What a daemon had sent when it was killed is found, once another has begun."""
        self.assertEqual(self.ids(outcomes=("unknown",)), [])
        self.keeper.close()
        self.open()
        self.writer.turn()
        self.assertEqual(self.ids(outcomes=("unknown",)), [18, 19, 20, 21])
        self.assertEqual(self.ids(outcomes=("unknown", "refused")), list(range(15, 22)))

    def test_clock_steps(self) -> None:
        """Entries are found by their times, wherever in the file a clock that was set has put them."""
        for step in (3600.0, -7200.0, 3600.0):
            self.now += step
            for _ in range(3):
                self.record(1000)
                self.writer.turn()
        times = [time for (time,) in self.rows("SELECT time FROM message ORDER BY id")]
        self.assertGreater(len(times), 9000)
        for since, until in (
            (START, START + 100),
            (START + 3000, START + 4000),
            (START - 4000, START - 3599),
        ):
            wanted = [time for time in times if since <= time <= until]
            period = Wanted(since, until, tables=("message",))
            self.assertEqual([entry.time for entry in rows(self.db, period)], wanted)

    def test_first_version(self) -> None:
        """A journal of version 1, which has no spans, gives the same."""
        self.keeper.close()
        self.change("DROP TABLE span")
        self.change("PRAGMA user_version = 1")
        self.db = open_journal(self.path)
        self.addCleanup(self.db.close)
        self.assertEqual(self.ids(since=START + 0.0025, until=START + 0.0045), [3, 4])

    def test_part(self) -> None:
        """What comes after an entry, or before one, a few at a time."""
        self.patch(reading, "SELECT_ROWS", 4)

        def part(limit: int | None = None, **settings: Any) -> list[int]:
            return [entry.id for entry in islice(rows(self.db, Wanted(), **settings), limit)]

        self.assertEqual(part(after=20), [21, 22, 23])
        self.assertEqual(part(after=5, limit=2), [6, 7])
        self.assertEqual(part(before=7, limit=2, backwards=True), [6, 5])
        self.assertEqual(part(after=5, before=12), list(range(6, 12)))
        self.assertEqual(part(limit=0), [])

    def test_cost_of_a_run(self) -> None:
        """To read a run page by page costs as much for each row, however long it is."""
        self.patch(reading, "SELECT_ROWS", 100)
        costs = []
        for _ in range(2):
            for number in range(2000):
                self.records.step(number, "sent", "CSC", 1, 1, 103, 0)
            self.writer.finish()
            steps = count()
            self.db.set_progress_handler(lambda steps=steps: next(steps) < 0, 100)  # type: ignore[misc]
            found = len(self.ids(run=1))
            costs.append(next(steps) / found)
        self.assertLess(costs[1], 1.2 * costs[0])

    def test_ends(self) -> None:
        """The ends of what is there."""
        self.assertEqual(first_and_last(self.db), (1, 23))
        self.change("DELETE FROM message WHERE id < 21")
        self.change("DELETE FROM step")
        self.change("DELETE FROM event")
        self.assertEqual(first_and_last(self.db), (22, 22))
        self.change("DELETE FROM message")
        self.assertEqual(first_and_last(self.db), (0, 0))

    def test_ends_of_a_large_file(self) -> None:
        """The ends of a file are found without a look at what is between them, however large it is."""
        steps = count()
        self.record(3000)
        self.writer.finish()
        self.db.set_progress_handler(lambda: next(steps) < 0, 100)
        self.assertEqual(first_and_last(self.db), (1, 3023))
        self.assertLess(next(steps), 10)

    def test_last(self) -> None:
        """The last few of those that are asked for, in order."""
        self.patch(reading, "SELECT_ROWS", 4)
        self.assertEqual([entry.id for entry in last_entries(self.db, Wanted(), 3)], [21, 22, 23])
        self.assertEqual([entry.id for entry in last_entries(self.db, Wanted(peers=("EUI",)), 2)], [16, 17])
        self.assertEqual(last_entries(self.db, Wanted(), 0), [])

    def test_reader_does_not_hold_the_file(self) -> None:
        """Somebody who has read half of it keeps the write-ahead log from nothing."""
        self.patch(reading, "SELECT_ROWS", 4)
        entries = rows(self.db, Wanted())
        next(entries)
        self.record(10)
        self.writer.turn()
        ((busy, frames, moved),) = self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        self.assertEqual((busy, frames, moved), (0, 0, 0))

    def test_while_written(self) -> None:
        """It can be read while the daemon has it open, and it can't be written to from here."""
        with self.assertRaises(sqlite3.OperationalError):
            self.db.execute("DELETE FROM message")
        self.record()
        self.writer.turn()
        self.assertEqual((len(self.ids()), self.told), (24, []))

    def test_damaged(self) -> None:
        """A file that turns out to be damaged is told in words."""
        self.db.close()
        with self.assertRaisesRegex(JournalError, "can't be read further"):
            self.ids()


class OpeningTests(SessionCase):
    """Files that can't be read."""

    def test_none(self) -> None:
        """A file that is not there is not made."""
        path = self.path.with_name("none.sqlite")
        with self.assertRaisesRegex(JournalError, "there is no journal"):
            open_journal(path)
        self.assertFalse(path.exists())

    def test_others(self) -> None:
        """What is no journal, or another version's, is told apart."""
        self.keeper.close()
        other = self.path.with_name("other.sqlite")
        self.rows("CREATE TABLE precious (x)", other)
        with self.assertRaisesRegex(JournalError, "no journal of the bridge"):
            open_journal(other)
        other.write_text("This is no database. " * 100)
        with self.assertRaisesRegex(JournalError, "not a database"):
            open_journal(other)
        self.rows("PRAGMA user_version = 99")
        with self.assertRaisesRegex(JournalError, "version 99"):
            open_journal(self.path)

    def test_odd_path(self) -> None:
        """A path may hold what has a meaning in an address."""
        self.keeper.close()
        odd = self.path.with_name("a?b#c %41.sqlite")
        self.path.rename(odd)
        open_journal(odd).close()

    def test_where_nothing_can_be_written(self) -> None:
        """A journal on a medium that can only be read is read, if it was closed properly."""
        self.keeper.close()
        real = sqlite3.connect

        def connect(address: str, **options: Any) -> sqlite3.Connection:
            if "immutable" not in address:
                raise sqlite3.OperationalError("unable to open database file")
            db: sqlite3.Connection = real(address, **options)
            return db

        self.patch(reading.sqlite3, "connect", connect)
        open_journal(self.path).close()
        with open(f"{self.path}-wal", "wb"), self.assertRaisesRegex(JournalError, "unable to open"):
            open_journal(self.path)


class FollowTests(SessionCase):
    """What comes after."""

    def follow(self, *steps: Callable[[], object], after: int = 21, **wanted: Any) -> list[list[int]]:
        """The ids that are given before each step, and after the last one."""
        told: list[list[int]] = [[]]
        to_do = list(steps)

        def pause() -> None:
            if not to_do:
                raise KeyboardInterrupt
            to_do.pop(0)()
            told.append([])

        with self.assertRaises(KeyboardInterrupt):
            for entry in follow(self.path, Wanted(**wanted), after, pause):
                told[-1].append(entry.id)
        return told

    def nothing(self) -> None:
        """Nothing happens."""

    def more(self) -> None:
        """Two rows come."""
        self.record(2)
        self.writer.turn()

    def replace(self) -> None:
        """A fresh file takes the place of the old one."""
        self.path.rename(self.path.with_name("aside.sqlite"))
        self.record()
        self.writer.turn()

    def step(self, *names: str, key: int = 2000, code: int = 103) -> None:
        """Steps of a command, and a line of it."""
        for name in names:
            self.records.step(key, name, "CSC", 1, key, code, 1)
        self.records.line("controller", "to", 1, b"%d\n%d\n1\n%s" % (key, code, STAMP))
        self.writer.turn()
        self.now += 0.1

    def test_follow(self) -> None:
        """New entries come as they are written, and a fresh file is followed from its beginning."""
        told = self.follow(self.nothing, self.more, self.replace, self.more)
        self.assertEqual(told, [[22, 23], [], [24, 25], [26, 27], [28, 29]])

    def test_missing(self) -> None:
        """A file that is not there for a while is waited for."""
        gone = self.path.with_name("gone.sqlite")

        def back() -> None:
            gone.rename(self.path)
            self.more()

        told = self.follow(lambda: self.path.rename(gone), *[self.nothing] * 300, back)
        self.assertEqual((told[0], told[-1]), ([22, 23], [24, 25]))
        self.assertEqual(sum(map(len, told)), 4)

    def test_unreadable_for_a_while(self) -> None:
        """A file that can't be read for a while, because it is being made, say, is tried again."""
        other = self.path.with_name("other.sqlite")
        steps = [self.replace_by_rubbish, *[self.nothing] * 100, lambda: other.replace(self.path)]
        other.write_bytes(self.path.read_bytes())
        self.keeper.close()
        other.write_bytes(self.path.read_bytes())
        told = self.follow(*steps)
        self.assertEqual((told[0], told[-1]), ([22, 23], list(range(1, 24))))

    def replace_by_rubbish(self) -> None:
        """Something else has its name."""
        rubbish = self.path.with_name("rubbish")
        rubbish.write_text("This is no database. " * 100)
        rubbish.replace(self.path)

    def test_unreadable_for_good(self) -> None:
        """A file that can't be read for long ends it, in words."""
        self.keeper.close()
        steps = [self.replace_by_rubbish]
        entries = follow(self.path, Wanted(), 23, lambda: steps.pop()() if steps else None)
        with self.assertRaisesRegex(JournalError, "can't be read further: .*not a database"):
            next(entries)

    def test_by_peer(self) -> None:
        """With a filter, too, each look reads only what is new."""
        looks: list[int] = []
        read = following.rows

        def reading(db: Any, wanted: Wanted, *, after: int, **settings: Any) -> Any:
            looks.append(after)
            return read(db, wanted, after=after, **settings)

        self.patch(following, "rows", reading)
        told = self.follow(self.more, self.nothing, self.more, peers=("EUI",), after=10)
        self.assertEqual((told, looks), ([[15, 16, 17], [], [], []], [10, 23, 25]))

    def test_by_code(self) -> None:
        """What belongs to commands of a code is given as it comes, and nothing else is."""
        told = self.follow(
            partial(self.step, "received", "sent"),  # 24, 25, 26
            partial(self.step, "received", key=2001, code=32),  # 27, 28
            partial(self.step, "done"),  # 29, 30
            self.more,  # 31, 32
            codes=(103,),
        )
        self.assertEqual(told, [[], [24, 25, 26], [], [29, 30], []])

    def test_by_outcome(self) -> None:
        """What belongs to a command is given as soon as it has the outcome that is asked for: all of it."""
        told = self.follow(
            partial(self.step, "received", "sent"),  # 24, 25, 26
            partial(self.step, "refused", key=0, code=32),  # 27, 28
            partial(self.step, "done"),  # 29, 30
            self.more,  # 31, 32
            outcomes=("done",),
        )
        self.assertEqual(told, [[], [], [], [24, 25, 26, 29, 30], []])
        self.assertEqual(self.follow(after=14, outcomes=("refused",)), [[15, 16, 17, 27]])

    def test_stories_are_bounded(self) -> None:
        """Only so many commands are remembered for what comes of them."""
        self.patch(following, "MOST_STORIES", 1)
        told = self.follow(
            partial(self.step, "received"),  # 24, 25
            partial(self.step, "received", key=2001),  # 26, 27
            self.more,
            codes=(103,),
        )
        self.assertEqual(told, [[], [24, 25], [26, 27], []])


class TextTests(SessionCase):
    """Lines for people."""

    def lines(self) -> list[str]:
        """The whole journal."""
        teller = Teller()
        db = open_journal(self.path)
        self.addCleanup(db.close)
        return [teller.line(entry) for entry in rows(db, Wanted())]

    def told_of(self, line: bytes, peer: str = "controller", what: str = "from") -> str:
        """The line for a message, without its time and way."""
        entry = Entry(1, 1, "message", START, peer, 1, what, 0, 0, 0, 0, "", line, DIALECT)
        return " ".join(Teller().line(entry).split()[5:])

    def test_session(self) -> None:
        """A night reads as what was sent, by whom, and what the mount said."""
        lines = self.lines()
        for number, text in (
            (1, "2026-11-22 16:04:03.001                          started     version 1"),
            (3, "CSC -> bridge           command     #1 AzimuthAxisMove position=10.0"),
            (6, "sent        CSC's #1 AzimuthAxisMove (#1001 of the bridge)"),
            (7, "controller -> bridge    ack         #1001 AzimuthAxisMove, to be done within 3 s"),
            (12, "bridge -> CSC           done        #1 AzimuthAxisMove"),
            (14, "bridge -> everyone      position    azimuth is in position"),
            (16, "REFUSED     EUI's #1 BothAxesStop: refused: CSC has command"),
            (17, "bridge -> EUI           NOACK       #1 BothAxesStop: refused: CSC has command"),
            (22, "controller -> bridge    UNREADABLE  '\\xff rubbish'"),
            (23, "controller              LINK DOWN   connection lost; epoch 1"),
        ):
            self.assertIn(text, lines[number - 1])

    def test_unknown_codes(self) -> None:
        """A command of a code that has no class, or of none at all, is shown with its parameters."""
        self.assertEqual(
            self.told_of(b"1\n104\n1\n" + STAMP + b"\n7", "CSC"), "command #1 AzimuthAxisMoveVelocity 7"
        )
        self.assertEqual(self.told_of(b"1\n9999\n1\n" + STAMP, "CSC"), "command #1 code 9999")

    def test_terminal(self) -> None:
        """Nothing that was recorded does anything to a terminal."""
        text = self.told_of(b"1\n1\n1\n" + STAMP + b"\nno\x1b[2J")
        self.assertEqual(text, "NOACK #1: no\\x1b[2J")

    def test_ack_without_time(self) -> None:
        """An Ack that says nothing of how long it takes is shown without that."""
        self.assertEqual(self.told_of(b"0\n1\n1\n" + STAMP + b"\n"), "ack #1")

    def test_names_are_bounded(self) -> None:
        """The memory for names of commands has a bound, past which it begins anew."""
        self.patch(reading, "SELECT_ROWS", 4)
        from mtmount_twisted.cli.journal import text

        self.patch(text, "MOST_NAMES", 1)
        lines = self.lines()
        self.assertIn("ack         #1001 AzimuthAxisMove", lines[6])
        self.assertIn("done        #1", lines[11])


class ExportTests(SessionCase):
    """For other programs."""

    def setUp(self) -> None:
        super().setUp()
        db = open_journal(self.path)
        self.addCleanup(db.close)
        self.entries = list(rows(db, Wanted()))

    def test_jsonl(self) -> None:
        """Each line is an object with what the entry has, and a line's bytes can be had back."""
        file = io.StringIO()
        export_jsonl(self.entries, file)
        told = [json.loads(line) for line in file.getvalue().splitlines()]
        self.assertEqual(len(told), 23)
        self.assertEqual(told[2]["line"].encode(), self.entries[2].line)
        self.assertNotIn("hex", told[2])
        self.assertEqual(bytes.fromhex(told[21]["hex"]), b"\xff rubbish")
        self.assertEqual((told[3]["what"], told[3]["key"], told[3]["code"]), ("received", 1001, 103))
        self.assertEqual((told[22]["what"], told[22]["text"]), ("link_down", "connection lost"))
        self.assertEqual(told[0]["time"], "2026-11-22T16:04:03.001Z")

    def test_csv(self) -> None:
        """A table that a spreadsheet reads, with the same in it."""
        file = io.StringIO()
        export_csv(self.entries, file)
        told = list(csv.DictReader(io.StringIO(file.getvalue())))
        self.assertEqual(len(told), 23)
        self.assertEqual(told[2]["line"].encode(), self.entries[2].line)
        self.assertEqual(told[15]["text"], "refused: CSC has command")
