"""`Turns`: the budget of a turn of the reactor."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.turn_time import LONGEST, MOST_OVERDRAWN, MOST_SAVED, PART, Share, TurnTime
from mtmount_twisted.net.turns import MOST_OWED, Rank, Turns
from tests.support.slow_clock import SlowClock


class Reader:
    """A connection that notes its slices.

    :ivar counts: the number of bytes that its next slices count as.
    :ivar take_time: called in each slice.
    """

    def __init__(self, turns: Turns, counts: list[int]) -> None:
        self.turns = turns
        self.counts = counts
        self.slices = 0
        self.take_time: Callable[[], object] = lambda: None

    def read_slice(self, most: int) -> int:
        """Read one slice."""
        self.slices += 1
        self.take_time()
        count = self.counts.pop(0)
        if self.counts:
            self.turns.add(self)
        return count


class DebtTests(SynchronousTestCase):
    """A slice that counts more than a turn has left."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock, 1000, 100, 0.02)

    def test_next_turns_pay(self) -> None:
        """A slice that counts as three turns takes their places: the next one waits for the fourth."""
        reader = Reader(self.turns, [3000, 3000, 100])
        self.turns.add(reader)
        seen = []
        for _ in range(7):
            seen.append(reader.slices)
            self.clock.advance(0.02)
        self.assertEqual(seen, [1, 1, 1, 2, 2, 2, 3])

    def test_most(self) -> None:
        """However much a slice counts as, the next one waits for few turns."""
        reader = Reader(self.turns, [10**6, 100])
        self.turns.add(reader)
        for _ in range(MOST_OWED):
            self.clock.advance(0.02)
            self.assertEqual(reader.slices, 1)
        self.clock.advance(0.02)
        self.assertEqual(reader.slices, 2)

    def test_rank(self) -> None:
        """A connection of a higher rank does not wait until the turns are paid."""
        self.turns.add(Reader(self.turns, [4000]))
        ask = Reader(self.turns, [100])
        self.turns.add(ask, Rank.FIRST)
        self.clock.advance(0.02)
        self.assertEqual(ask.slices, 1)

    def test_no_reader_meanwhile(self) -> None:
        """A reader that comes while the debt is paid waits as well, and then nothing is left."""
        self.turns.add(Reader(self.turns, [3000]))
        self.clock.advance(0.02)
        late = Reader(self.turns, [100])
        self.turns.add(late)
        self.assertEqual(late.slices, 0)
        self.clock.advance(0.02)
        self.assertEqual(late.slices, 0)
        self.clock.advance(0.02)
        self.assertEqual(late.slices, 1)
        self.clock.advance(0.02)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TimeTests(SynchronousTestCase):
    """Turns on a reactor whose own turns are bounded."""

    def setUp(self) -> None:
        self.clock = SlowClock()
        self.time = TurnTime(self.clock)
        vars(self.clock)["turn_time"] = self.time
        self.turns = Turns(self.clock, 1000, 100, 0.02)

    def used_up(self) -> None:
        """Let other work use up the turn."""
        self.clock.advance(LONGEST)

    def next_turn(self) -> None:
        """Let a turn of the reactor begin, and run its timers."""
        self.time.begin_turn()
        self.clock.advance(SlowClock.TURN)

    def slices_in(self, turns: int, takes: float) -> int:
        """The number of slices in turns that other work has used up, if each slice takes so long."""
        reader = Reader(self.turns, [64] * 10_000)
        self.clock.advance(10 * MOST_SAVED)

        def take_time() -> None:
            self.clock.rightNow += takes

        reader.take_time = take_time
        self.used_up()
        self.turns.add(reader)
        for _ in range(turns):
            self.time.begin_turn()
            self.used_up()
        return reader.slices

    def test_used_up(self) -> None:
        """In turns that other work has used up, slices have a share of the time, whatever each takes."""
        began = self.clock.seconds()
        for takes in (0.0002, 0.001):
            slices = self.slices_in(400, takes)
            whole = self.clock.seconds() - began
            began = self.clock.seconds()
            self.assertGreater(slices * takes, 0.9 * PART * whole - takes)
            self.assertLess(slices * takes, 1.1 * PART * whole + MOST_SAVED * PART + takes)
            self.turns.close()

    def test_suspended(self) -> None:
        """A slice in which the process was suspended delays the others briefly."""
        share = Share(self.time, self.clock)
        share.spend(100.0)
        self.used_up()
        self.assertFalse(share.may_begin())
        self.clock.advance(-1.1 * MOST_OVERDRAWN / PART)
        self.assertTrue(share.may_begin())

    def test_idle(self) -> None:
        """The share of a long idle time is not kept: a few pieces of work use up what is left of it."""
        share = Share(self.time, self.clock)
        self.clock.advance(100.0)
        self.assertTrue(share.may_begin())
        share.spend(MOST_SAVED * PART)
        self.assertFalse(share.may_begin())

    def test_clock_that_goes_back(self) -> None:
        """A clock that goes back takes nothing of the share."""
        share = Share(self.time, self.clock)
        self.used_up()
        self.assertTrue(share.may_begin())
        share.spend(MOST_SAVED * PART)
        self.assertFalse(share.may_begin())
        self.clock.rightNow -= 1e6
        self.time.begin_turn()
        self.clock.advance(2 * LONGEST)
        self.assertFalse(share.may_begin())
        self.clock.advance(MOST_SAVED)
        self.assertTrue(share.may_begin())

    def test_begins(self) -> None:
        """Work that begins the turns has its share in a turn behind one that was used up."""
        share, late = Share(self.time, self.clock, begins=True), Share(self.time, self.clock)
        for each in (share, late):
            each.spend(-MOST_OVERDRAWN)
        self.used_up()
        self.time.end_turn()
        self.time.begin_turn()
        self.assertEqual([share.may_begin(), late.may_begin()], [False, True])
        self.time.end_turn()
        self.time.begin_turn()
        self.assertTrue(share.may_begin())

    def test_goes_on(self) -> None:
        """In the reactor's next turn the rest is read, without a wait for the end of the pause."""
        self.used_up()
        reader = Reader(self.turns, [100] * 5)
        self.turns.add(reader)
        self.next_turn()
        self.assertEqual(reader.slices, 5)

    def test_other_kinds(self) -> None:
        """Each scheduler has a share of its own."""
        self.used_up()
        readers = [Reader(turns, [100] * 3) for turns in (self.turns, Turns(self.clock, 1000, 100))]

        def take_time() -> None:
            self.clock.rightNow += MOST_SAVED

        for reader in readers:
            reader.take_time = take_time
            reader.turns.add(reader)
        self.assertEqual([reader.slices for reader in readers], [1, 1])

    def test_rank(self) -> None:
        """A connection of a higher rank does not wait for the next turn."""
        self.assertLess(self.slices_in(1, MOST_SAVED), 10)
        ask = Reader(self.turns, [100])
        self.turns.add(ask, Rank.FIRST)
        self.assertEqual(ask.slices, 1)

    def test_share_of_the_usual_rank(self) -> None:
        """Slices of a higher rank take nothing of the time of the others."""
        ask, usual = Reader(self.turns, [100]), Reader(self.turns, [100])
        ask.take_time = self.used_up
        self.turns.add(ask, Rank.FIRST)
        self.turns.add(usual)
        self.assertEqual((ask.slices, usual.slices), (1, 1))

    def test_close(self) -> None:
        """The end leaves no timer."""
        self.slices_in(1, MOST_SAVED)
        self.turns.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
