"""`Turns`: the budget of a turn of the reactor."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.turns import MOST_OWED, Rank, Turns


class Reader:
    """A connection that notes its slices.

    :ivar counts: the number of bytes that its next slices count as.
    """

    def __init__(self, turns: Turns, counts: list[int]) -> None:
        self.turns = turns
        self.counts = counts
        self.slices = 0

    def read_slice(self, most: int) -> int:
        """Read one slice."""
        self.slices += 1
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
        """A slice that counts as four turns takes their places: the next one waits for the fifth."""
        reader = Reader(self.turns, [4000, 4000, 100])
        self.turns.add(reader)
        seen = []
        for _ in range(9):
            seen.append(reader.slices)
            self.clock.advance(0.02)
        self.assertEqual(seen, [1, 1, 1, 1, 2, 2, 2, 2, 3])

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
