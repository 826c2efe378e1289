"""`mtmount_twisted.frontends.web.events.catch_up.Growth`: who waits for the journal's file to grow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.web.events.catch_up import PAUSE, Growth


class GrowthTests(SynchronousTestCase):
    """Two who wait at once."""

    def test_each_is_woken(self) -> None:
        """One who waits for less is not forgotten for one who came later, and has seen more."""
        clock = Clock()
        journal = SimpleNamespace(run=1, written=10, fault="")
        feed: Any = SimpleNamespace(journal=journal)
        growth = Growth(feed, clock)
        first = growth.beyond((1, 10), 5)
        journal.written = 12
        second = growth.beyond((1, 12), 5)
        clock.advance(PAUSE)
        self.assertIs(self.successResultOf(first), True)
        self.successResultOf(second)
        third = growth.beyond((1, 12), 5)
        clock.advance(5)
        self.assertIs(self.successResultOf(third), False)
        growth.close()
        self.assertEqual(clock.getDelayedCalls(), [])
