"""Which rows of the journal are deleted because of their age, with clocks that are wrong and are set."""

from __future__ import annotations

import logging
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.journal.retention import (
    AGREEMENT,
    DAY,
    EARLIEST,
    HOUR,
    Ages,
    Agreement,
    Allowance,
    Deletions,
)
from mtmount_twisted.journal.schema import SPAN_IDS
from mtmount_twisted.journal.writer import TEND_EVERY
from tests.support.journals import START, JournalCase


class WrongClocks(JournalCase):
    """A journal that keeps 30 days, and a clock."""

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def begin(self) -> None:
        """The daemon is started anew."""
        self.keeper.close()
        self.open(keep_days=30)
        self.writer.turn()

    def log(self, rows: int) -> None:
        """Record so many rows."""
        self.record(rows)
        self.writer.turn()

    def work(self, seconds: float, step: float = HOUR / 4) -> None:
        """Let time pass; the file is tended meanwhile, as it is every 10 s."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            while self.writer.turn() == 0.0:
                pass

    def night_after_night(self, days: int, rows: int = 10) -> None:
        """Record some rows each day."""
        for _ in range(days):
            self.log(rows)
            self.now += DAY

    def test_start_with_the_clock_ahead(self) -> None:
        """A start 60 days ahead deletes nothing in an hour, and nothing if the clock is right by then."""
        self.night_after_night(5)
        self.ahead = 60 * DAY
        self.begin()
        self.work(HOUR - 1)
        self.assertEqual((self.count(), self.told), (50, []))
        self.ahead = 0.0
        self.work(3 * HOUR)
        self.assertEqual((self.count(), self.told), (50, []))

    def test_a_day_an_hour(self) -> None:
        """If it stays ahead, a day's worth goes in an hour, and the log tells of each."""
        self.night_after_night(5)
        self.ahead = 60 * DAY
        self.begin()
        self.work(2 * HOUR - 1)
        self.assertEqual(self.count(), 40)
        self.work(HOUR)
        self.assertEqual(self.count(), 30)
        self.assertEqual(len(self.told), 2)
        why = "older than 30 days by the clock (earlier runs)"
        self.assertEqual(
            self.told[0],
            f"journal: deleted 10 rows, stamped 2026-11-22T16:04:03Z to 2026-11-22T16:04:03Z: {why}",
        )
        self.work(2 * DAY)
        self.assertEqual(self.count(), 0)

    def test_a_moment_ahead(self) -> None:
        """A clock that is 60 days ahead for 15 s of a run deletes nothing, then or later."""
        self.night_after_night(5)
        self.begin()
        self.work(2 * HOUR)
        for ahead in (60 * DAY, 0.0):
            self.ahead = ahead
            for _ in range(3):
                self.log(1)
                self.work(5, 5)
        self.work(2 * HOUR)
        self.assertEqual((self.count(), self.told), (56, []))

    def test_set_right_from_1970(self) -> None:
        """What was recorded in 1970 stays when the clock is set right, and after the next start."""
        self.ahead = -self.now
        self.log(100)
        self.work(2 * HOUR)
        self.ahead = 0.0
        self.log(100)
        self.work(5 * HOUR)
        self.assertEqual((self.count(), self.told), (200, []))
        self.begin()
        self.work(5 * HOUR)
        self.assertEqual((self.count(), self.told), (200, []))

    def test_1970_goes_with_what_came_after(self) -> None:
        """Rows of 1970 go when rows that were recorded after them are too old."""
        self.ahead = -self.now
        self.log(SPAN_IDS)
        self.ahead = 0.0
        self.log(100)
        self.begin()
        self.work(29 * DAY, DAY / 4)
        self.log(1)
        self.assertEqual(self.count(), SPAN_IDS + 101)
        self.begin()
        self.now += DAY
        self.work(2 * HOUR)
        self.assertEqual(self.rows("SELECT count(*), min(run) FROM message"), [(1, 2)])

    def test_1970_again(self) -> None:
        """A clock back at 1970 finds nothing too old, and rows of the future are none."""
        self.night_after_night(20)
        self.begin()
        self.ahead = -self.now
        self.work(5 * HOUR)
        self.assertEqual((self.count(), self.told), (200, []))

    def test_this_run_ages_by_the_monotonic_clock(self) -> None:
        """Rows of this run go after 30 days, however the clock is set, an hour late at most."""
        self.log(10)
        for day in range(29):
            self.ahead = (-1) ** day * 100 * DAY
            self.work(DAY, DAY / 4)
        self.assertEqual((self.count(), self.told), (10, []))
        self.log(5)
        self.work(DAY + HOUR)
        self.assertEqual(self.count(), 5)
        self.assertEqual(len(self.told), 1)
        self.assertIn("deleted 10 rows", self.told[0])

    def test_right_clock(self) -> None:
        """With a clock that is right, rows of earlier runs go as they become 30 days old."""
        self.night_after_night(29)
        self.begin()
        self.work(DAY - 1)
        self.assertEqual(self.count(), 290)
        self.work(2 * HOUR)
        self.assertEqual(self.count(), 280)
        self.work(DAY)
        self.assertEqual(self.count(), 270)

    def test_size(self) -> None:
        """Size is another rule, without a clock; the log tells of it at once, and then once an hour."""
        self.keeper.close()
        self.open(keep_bytes=100_000)
        for _ in range(3):
            self.ahead += 60 * DAY
            self.log(3 * SPAN_IDS)
            self.work(TEND_EVERY, TEND_EVERY)
        [told] = self.told
        self.assertIn("the file was over 100000 bytes", told)
        self.keeper.close()
        self.assertEqual(len(self.told), 2)

    def test_stamp_that_is_none(self) -> None:
        """A row whose stamp is no number proves nothing, and goes with the others."""
        self.night_after_night(5)
        self.change("UPDATE message SET time = 'noon' WHERE id % 10 = 2")
        self.begin()
        self.ahead = 60 * DAY
        self.work(2 * DAY)
        self.assertEqual((self.count(), self.keeper.fault), (0, ""))

    def test_replaced_file(self) -> None:
        """A file that takes the place of another is not judged by what was in that."""
        self.log(10)
        self.path.unlink()
        self.log(10)
        self.work(29 * DAY, DAY / 4)
        self.assertEqual(self.count(), 10)
        self.work(DAY + HOUR)
        self.assertEqual(self.count(), 0)


class RuleTests(SynchronousTestCase):
    """The rules alone."""

    def test_ages(self) -> None:
        """A row is too old at its age, an hour late at most, and rows of one hour go together, once."""
        ages = Ages(30 * DAY)
        for minute in range(0, 180, 10):
            ages.wrote(minute + 1, minute * 60.0)
        self.assertIsNone(ages.old(30 * DAY))
        self.assertEqual(ages.old(30 * DAY + HOUR), 51)
        self.assertIsNone(ages.old(30 * DAY + HOUR))
        self.assertEqual(ages.old(31 * DAY), 171)

    def test_short_ages(self) -> None:
        """If little is kept it is late by a 24th of that."""
        ages = Ages(HOUR)
        for minute in range(60):
            ages.wrote(minute + 1, minute * 60.0)
        found = ages.old(HOUR + 150 + 60)
        self.assertIsNotNone(found)
        self.assertLessEqual(found or 0, 4)

    def test_to_the_second(self) -> None:
        """Rows of a 24th of what is kept go together, as soon as the last of them is old enough."""
        ages = Ages(2400.0)
        for second in range(200):
            ages.wrote(second + 1, float(second))
        self.assertIsNone(ages.old(2400.0 + 98))
        self.assertEqual(ages.old(2400.0 + 99), 100)
        self.assertIsNone(ages.old(2400.0 + 198))
        self.assertEqual(ages.old(2400.0 + 199), 200)
        ages = Ages(36.0)
        for half in range(6):
            ages.wrote(half + 1, half / 2)
        self.assertIsNone(ages.old(36.5))
        self.assertEqual(ages.old(37.0), 3)

    def test_just_agrees(self) -> None:
        """A clock that moved by just what it may in an hour agrees, and one that moved by more does not."""
        agreement = Agreement()
        for now, wall, agrees in (
            (0.0, 0.0, False),
            (HOUR, HOUR, True),
            (2 * HOUR, 2 * HOUR + AGREEMENT, True),
            (3 * HOUR, 3 * HOUR, True),
            (4 * HOUR, 4 * HOUR + AGREEMENT + 1, False),
        ):
            self.assertIs(agreement.look(now, wall), agrees, now)

    def test_credible(self) -> None:
        """Stamps from 2020 on to now can be true, both included."""
        self.assertEqual(EARLIEST, 1_577_836_800.0)  # 2020-01-01T00:00:00Z
        self.assertEqual(Allowance(START + 1, START).last_old([(1, START)]), (1, False))
        self.assertEqual(Allowance(START, START).last_old([(1, EARLIEST)]), (1, False))
        self.assertEqual(Allowance(START, START + 1).credible, (EARLIEST, START + 1))

    def test_agreement(self) -> None:
        """It takes an hour, is lost by a step, and not by the drift of a clock that nobody sets."""
        agreement, wall = Agreement(), START
        self.assertFalse(agreement.look(0.0, wall))
        self.assertFalse(agreement.look(HOUR - 1, wall + HOUR - 1))
        self.assertTrue(agreement.look(HOUR, wall + HOUR))
        for hour in range(1, 100):
            self.assertTrue(agreement.look(hour * HOUR, wall + hour * (HOUR + AGREEMENT / 2)))
        self.assertFalse(agreement.look(100 * HOUR, wall + 100 * HOUR + 60 * DAY))
        self.assertFalse(agreement.look(100 * HOUR + 1, wall))
        self.assertFalse(agreement.look(101 * HOUR, wall + HOUR - 1))
        self.assertTrue(agreement.look(101 * HOUR + 1, wall + HOUR))

    def test_slewed_too_fast(self) -> None:
        """A clock that is slewed by more than that in an hour does not agree."""
        agreement = Agreement()
        self.assertFalse(any(agreement.look(now, START + 1.01 * now) for now in range(0, 36000, 10)))

    def test_allowance(self) -> None:
        """Up to a day from the first row that is too old, over several looks; a younger row ends it."""
        oldest, now = START, START + 30 * DAY
        allowance = Allowance(oldest, now)
        first = oldest - 3 * DAY
        rows = [(1, first), (2, EARLIEST - 1), (3, now + 1)]
        self.assertEqual(allowance.last_old(rows), (1, False))
        self.assertEqual(allowance.last_old([(4, 0.0), (5, first + DAY - 1), (6, 1.0)]), (5, False))
        self.assertEqual(allowance.last_old([(7, first + DAY), (8, first)]), (None, True))
        self.assertEqual(Allowance(oldest, now).last_old([(7, first + DAY), (8, oldest)]), (7, True))

    def test_clock_that_ran_back(self) -> None:
        """A day is counted from the earliest stamp, also when an earlier row has a later one."""
        allowance = Allowance(START, START + 30 * DAY)
        rows = [(1, START - DAY), (2, START - 10 * DAY), (3, START - 9.5 * DAY), (4, START - 5 * DAY)]
        self.assertEqual(allowance.last_old(rows), (3, True))

    def test_deletions(self) -> None:
        """One line for a cause an hour, with all that came since the last; the rest at the end."""
        told: list[Any] = []
        clock = [0.0]
        deletions = Deletions(
            lambda level, text, *arguments: told.append((level, text % arguments)), lambda: clock[0]
        )
        for minute in range(0, 120, 30):
            clock[0] = minute * 60.0
            deletions.add("too old", 10, START + minute, START + minute + 5)
            deletions.report()
        deletions.add("too large", 1, 1e12, 1e300)
        deletions.report(at_once=True)
        level, text = told[1]
        self.assertEqual(level, logging.INFO)
        stamps = "2026-11-22T16:04:33Z to 2026-11-22T16:05:08Z"
        self.assertEqual(text, f"journal: deleted 20 rows, stamped {stamps}: too old")
        self.assertEqual([text.split()[2] for _, text in told], ["10", "20", "10", "1"])
        self.assertEqual(told[3][1], "journal: deleted 1 rows, stamped 1e+12 to 1e+300: too large")
