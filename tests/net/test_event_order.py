"""`mtmount_twisted.net.event_order`: which sockets a turn serves, if hundreds are ready."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.event_order import (
    LEAST_EVENTS,
    MOST_EVENTS,
    MOST_WRITES,
    PAGE_SHARE,
    STRANGERS_SHARE,
    EventOrder,
    Group,
    set_group,
)

IN, OUT, HANG_UP = 0x1, 0x4, 0x10
"""``EPOLLIN``, ``EPOLLOUT``, ``EPOLLHUP``."""


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
        self.now = 1000.0

    def choose(self, *ready: int, was_long: bool = False) -> list[int]:
        """The file numbers from which the next turn reads, a hundredth of a second later."""
        events = [(file, IN) for file in ready]
        self.now += 0.01
        chosen = self.order.choose(events, was_long, self.now)
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
            self.assertEqual(len([file for file in chosen if file >= 100]), MOST_EVENTS // STRANGERS_SHARE)
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

    def test_reads_of_the_last_second(self) -> None:
        """A client that was read from a moment ago goes before a crowd that was read from more often."""
        for _ in range(30):
            self.choose(*range(90))
        self.choose(90)
        self.assertEqual(self.choose(*range(91))[0], 90)

    def test_reads_of_long_ago(self) -> None:
        """Many reads of long ago count less than one of this second, also after days."""
        for seconds in (20.0, 1000.0, 1e6):
            for _ in range(50):
                self.choose(90)
            self.now += seconds
            for _ in range(3):
                self.choose(*range(80))
            self.assertEqual(self.choose(*range(80), 90)[0], 90)

    def test_former_holder(self) -> None:
        """A client that was read from a thousand times in a second waits for a round of a crowd at most."""
        for _ in range(1000):
            self.now -= 0.009
            self.choose(90)
        waited = 0
        while 90 not in self.choose(*range(91)):
            waited += 1
        self.assertLessEqual(waited, 2 * 90 // MOST_EVENTS)

    def test_paused(self) -> None:
        """A connection that the reactor did not watch for minutes is served as any other one."""
        for _ in range(3):
            self.choose(*range(91))
        paused = self.selectables.pop(90)
        for _ in range(6000):
            self.now += 0.05
            self.choose(*range(40))
        self.selectables[90] = paused
        self.assertEqual(self.choose(*range(40), 90)[0], 90)

    def test_clock_that_goes_back(self) -> None:
        """A clock that goes back by any time breaks nothing."""
        self.choose(*range(40))
        self.now -= 1e6
        self.assertEqual(len(self.choose(*range(40))), MOST_EVENTS)

    def test_new_connection(self) -> None:
        """A new connection goes first, whatever was read from the one that had its file number."""
        for _ in range(10):
            self.choose(*range(90))
        self.selectables[50] = Accepted()
        self.assertEqual(self.choose(*range(90))[0], 50)

    def test_writes(self) -> None:
        """What is to be sent to a few of a crowd is sent in each turn, and no client is read for that."""
        crowd = [(file, IN) for file in range(80)]
        crowd[3], crowd[4], crowd[5] = (3, OUT), (4, IN | OUT), (5, IN | OUT | HANG_UP)
        for file in (4, 5):
            self.selectables[file].event_use = (1000.0, self.now)
        chosen = self.order.choose([*crowd, (200, IN)], False, self.now)
        self.assertEqual(chosen[:3], [(200, IN), (3, OUT), (4, OUT)])
        self.assertEqual(len(chosen), 3 + MOST_EVENTS)
        self.assertNotIn(5, [file for file, _ in chosen])

    def test_few_writes(self) -> None:
        """Of many sockets that can be written to without end, a turn writes to some, and to each in time.

        A user of the page goes first.
        """
        set_group(self.selectables[150], lambda: Group.USERS)
        served: list[int] = []
        for _ in range(5):
            self.now += 0.01
            chosen = self.order.choose([(file, OUT) for file in (*range(90), 150)], False, self.now)
            self.assertEqual((len(chosen), chosen[0]), (MOST_WRITES, (150, OUT)))
            served += [file for file, _ in chosen]
        self.assertEqual(set(served), {*range(90), 150})
