"""`mtmount_twisted.net.endings` and `deadlines.PeerDeadline`: timers end a few connections in a turn."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.deadlines import PeerDeadline
from mtmount_twisted.net.endings import MOST_ENDS, Endings, end_in_turn
from mtmount_twisted.net.turn_time import LONGEST, TurnTime
from tests.support.handshakes import TURN, TurnClock

COST = LONGEST / 4
"""How long the end of a connection takes here, in seconds."""


class EndingsTests(SynchronousTestCase):
    """A reactor that measures its turns."""

    def setUp(self) -> None:
        self.clock: Any = TurnClock()
        self.clock.turn_time = TurnTime(self.clock)
        self.clock.endings = Endings(self.clock, self.clock.turn_time)
        self.ended: list[int] = []

    def end(self, number: int) -> None:
        """End a connection."""
        self.ended.append(number)
        self.clock.rightNow += COST

    def turn(self) -> int:
        """One turn of the reactor: how many connections end in it."""
        before = len(self.ended)
        self.clock.turn_time.begin_turn()
        self.clock.advance(TURN)
        return len(self.ended) - before

    def test_few_in_a_turn(self) -> None:
        """Of a hundred that are due at once a few end in each turn, in their order; no timer is left."""
        for number in range(100):
            end_in_turn(self.clock, partial(self.end, number))
        self.assertLessEqual(len(self.ended), 5)
        while len(self.ended) < 100:
            self.assertIn(self.turn(), range(1, 6))
        self.assertEqual(self.ended, list(range(100)))
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_quick_ends(self) -> None:
        """However quick they are, few end in a turn: Twisted does the rest of the work later."""
        for number in range(100):
            end_in_turn(self.clock, partial(self.ended.append, number))
        self.assertEqual(len(self.ended), MOST_ENDS)
        self.assertEqual(self.turn(), MOST_ENDS)

    def test_one_in_a_turn_that_is_used_up(self) -> None:
        """However late the turns are, one connection ends in each."""
        for number in range(10):
            end_in_turn(self.clock, partial(self.end, number))
        for _ in range(3):
            before = len(self.ended)
            self.clock.turn_time.begin_turn()
            self.clock.rightNow += LONGEST
            self.clock.advance(TURN)
            self.assertEqual(len(self.ended), before + 1)

    def test_vanished_peer_goes_first(self) -> None:
        """The connection of a vanished peer ends before the others: it may have command."""
        for number in range(20):
            end_in_turn(self.clock, partial(self.end, number))
        end_in_turn(self.clock, partial(self.end, 99), first=True)
        before = len(self.ended)
        self.turn()
        self.assertEqual(self.ended[before], 99)

    def test_withdrawn(self) -> None:
        """A connection that ends by itself meanwhile is not ended again."""
        withdraw = [end_in_turn(self.clock, partial(self.end, number)) for number in range(20)][-1]
        withdraw()
        withdraw()
        for _ in range(20):
            self.turn()
        self.assertEqual(self.ended, list(range(19)))

    def test_error(self) -> None:
        """An error at one connection is logged, and the others end."""
        end_in_turn(self.clock, partial(self.end, 1))
        end_in_turn(self.clock, lambda: [][0])
        end_in_turn(self.clock, partial(self.end, 2))
        self.assertEqual((self.ended, len(self.flushLoggedErrors(IndexError))), ([1, 2], 1))

    def test_deadlines(self) -> None:
        """So do the deadlines of many peers judge; one that waits can be cancelled, or set again."""
        deadlines = [PeerDeadline(self.clock, 1, self.end, number) for number in range(20)]
        self.clock.advance(1)
        self.turn()
        self.assertIn(len(self.ended), range(1, 6))
        self.assertTrue(deadlines[18].active())
        self.assertTrue(deadlines[19].active())
        deadlines[18].cancel()
        self.assertFalse(deadlines[18].active())
        deadlines[19].reset(60)
        for _ in range(20):
            self.turn()
        self.assertEqual(self.ended, list(range(18)))
        self.assertTrue(deadlines[19].active())
        self.clock.advance(60)
        self.turn()
        self.assertEqual(self.ended[-1], 19)
        self.assertFalse(deadlines[19].active())

    def test_cancelled_by_another_end(self) -> None:
        """The end of one connection cancels the deadline of another that is due in the same turn."""
        late = PeerDeadline(self.clock, 1, self.end, 1)

        def end_first() -> None:
            self.assertTrue(late.active())
            late.cancel()

        for number in range(10, 20):
            end_in_turn(self.clock, partial(self.end, number))
        end_in_turn(self.clock, end_first, first=True)
        self.clock.advance(1)
        for _ in range(20):
            self.turn()
        self.assertEqual(self.ended, list(range(10, 20)))

    def test_another_reactor(self) -> None:
        """With a clock that measures no turns, connections end at once."""
        clock = TurnClock()
        for number in range(20):
            end_in_turn(clock, partial(self.end, number))()
        self.assertEqual(len(self.ended), 20)
