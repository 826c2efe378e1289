"""`mtmount_twisted.net.event_order`: which sockets a turn serves, if hundreds are ready."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.event_order import (
    LEAST_EVENTS,
    MOST_EVENTS,
    PAGE_SHARE,
    STRANGERS_SHARE,
    EventOrder,
    Group,
    set_group,
)


class Accepted(SimpleNamespace):
    """An accepted connection."""


class EventOrderTests(SynchronousTestCase):
    """File numbers below 100 are of ports, those below 200 of the page, the others of what goes first."""

    def setUp(self) -> None:
        self.selectables: dict[int, Any] = {file: Accepted() for file in range(200)}
        for file in range(100, 200):
            set_group(self.selectables[file], lambda: Group.PAGE)
        self.selectables |= {file: SimpleNamespace() for file in range(200, 210)}
        self.order = EventOrder(self.selectables, Accepted)

    def choose(self, *ready: int, was_long: bool = False) -> list[int]:
        """The file numbers of the next turn."""
        events = [(file, 1) for file in ready]
        chosen = self.order.choose(events, was_long)
        self.assertLessEqual(set(chosen), set(events))
        return [file for file, _ in chosen]

    def test_few(self) -> None:
        """If few are ready, a turn serves all in the order of the kernel."""
        self.assertEqual(self.choose(5, 200, 101), [5, 200, 101])

    def test_first(self) -> None:
        """The mount's sockets are served in each turn, before a hundred clients, and all clients in time."""
        crowd = list(range(100))
        served: list[int] = []
        while len(served) < 100:
            ready = [file for file in crowd if file not in served] + [200, 201]
            chosen = self.choose(*ready)
            self.assertEqual({200, 201}, set(chosen) - set(crowd))
            served += [file for file in chosen if file in crowd]
        self.assertEqual(sorted(served), crowd)

    def test_holder(self) -> None:
        """A connection's group may change: the holder's goes first."""
        holds = False
        set_group(
            SimpleNamespace(transport=self.selectables[99]), lambda: Group.FIRST if holds else Group.CROWD
        )
        self.assertNotIn(99, self.choose(*range(100)))
        holds = True
        self.assertEqual(self.choose(*range(100))[0], 99)

    def test_page(self) -> None:
        """Of the page some are served in each turn, whatever the ports' clients do, and some of them."""
        for _ in range(3):
            chosen = self.choose(*range(200))
            self.assertEqual(len([file for file in chosen if file >= 100]), MOST_EVENTS // PAGE_SHARE)
            self.assertEqual(len(chosen), MOST_EVENTS)
        self.assertEqual(len(self.choose(*range(100, 200), 1, 2)), MOST_EVENTS)

    def test_users(self) -> None:
        """Users of the page go before its strangers, who have a part of each turn, and a turn stays short."""
        for file in range(150, 200):
            set_group(self.selectables[file], lambda: Group.USERS)
        chosen = self.choose(*range(200))
        users, strangers = (
            sum(file in part for file in chosen) for part in (range(150, 200), range(100, 150))
        )
        self.assertEqual(len(chosen), MOST_EVENTS)
        self.assertEqual(users + strangers, MOST_EVENTS // PAGE_SHARE)
        self.assertEqual(strangers, users // (STRANGERS_SHARE - 1))
        self.assertEqual(self.choose(*range(100), 150)[0], 150)

    def test_in_turn(self) -> None:
        """If all are ready all the time, each has its turn; one that waits keeps its place."""
        served: list[int] = []
        for _ in range(4):
            served += self.choose(*range(3 * MOST_EVENTS))
        self.assertEqual(sorted(served[: 3 * MOST_EVENTS]), list(range(3 * MOST_EVENTS)))

    def test_long_turns(self) -> None:
        """After long turns fewer sockets are served in a turn, but always some; after short ones as many as
        before."""
        counts = [len(self.choose(*range(100), was_long=True)) for _ in range(5)]
        self.assertEqual(counts[-1], LEAST_EVENTS)
        self.assertEqual(counts, sorted(counts, reverse=True))
        self.assertEqual(len(self.choose(200, *range(100), was_long=True)), LEAST_EVENTS + 1)
        counts = [len(self.choose(*range(100))) for _ in range(5)]
        self.assertEqual(counts[-1], MOST_EVENTS)

    def test_quiet_client(self) -> None:
        """A client that was not served lately goes before a crowd that sends on and on."""
        for _ in range(10):
            self.choose(*range(90))
        self.assertEqual(self.choose(*range(91))[0], 90)

    def test_closed(self) -> None:
        """File numbers that are closed are forgotten: 20,000 of them take little memory."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for file in range(1000, 21_000):
            self.choose(file)
        self.assertLess(tracemalloc.get_traced_memory()[0], 256 * 1024)
