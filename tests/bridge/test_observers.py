"""Many observers: each receives all lines in their order, a few of them in each turn of the reactor."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.bridge.observers import AT_ONCE, LONGEST_PAUSE, MAX_GATHERED, PAUSE_OF_ONE
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from tests.support.commanders import LOG, MOVE, STAMP, RecordingClient, RecordingJournal, RecordingLink
from tests.support.handshakes import TURN, TurnClock

MANY = 5 * AT_ONCE + 3


def state(number: int) -> bytes:
    """An event."""
    return b"5\n" + STAMP + b"\nEnabled %d" % number


class ObserversTests(SynchronousTestCase):
    """A commander, a controller that is connected, and many observers."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.bridge = Bridge(
            self.clock, LOG, EventBus(self.clock, RecordingJournal()), CommandRules(), DIALECT
        )
        self.link = RecordingLink(self.bridge)
        self.bridge.link_up(self.link)
        self.csc = RecordingClient(self.bridge, "csc", Source.CSC).come()
        self.observers = [self.join(number) for number in range(MANY)]

    def join(self, number: int) -> RecordingClient:
        """Connect an observer."""
        return RecordingClient(self.bridge, f"hall/{number}", Source.EUI, may_command=False).come()

    def turn(self) -> int:
        """Make a turn of the reactor, and return the number of observers that received something in it."""
        before = [len(each.pieces) for each in self.observers]
        self.clock.advance(TURN)
        return sum(len(each.pieces) > count for each, count in zip(self.observers, before))

    def rest(self) -> list[int]:
        """Make turns until all is received, and return how many received something in each such turn."""
        counts = [self.turn() for _ in range(100)]
        self.assertFalse(any(counts[80:]))
        return [count for count in counts if count]

    def wait(self, is_enough: Callable[[int], bool]) -> None:
        """Make turns until one in which so many observers received something."""
        self.assertTrue(any(is_enough(self.turn()) for _ in range(100)))

    def test_slices(self) -> None:
        """A commander receives an event at once; of many observers a turn serves a few, until all have it."""
        self.link.say(state(1))
        self.assertEqual(self.csc.read(), [state(1)])
        self.assertEqual(self.rest(), [AT_ONCE] * 5 + [3])
        for each in self.observers:
            self.assertEqual(each.read(), [state(1)])
        self.assertEqual(self.rest(), [])

    def test_gathered(self) -> None:
        """All lines that come before a round go out in one piece for each observer."""
        for number in range(10):
            self.link.say(state(number))
        self.rest()
        for each in self.observers:
            self.assertEqual((len(each.pieces), each.read()), (1, [state(number) for number in range(10)]))

    def test_line_alone(self) -> None:
        """A line that comes after a pause begins its round at once; a line soon after the round waits."""
        self.rest()
        for number in (1, 2):
            began = self.clock.seconds()
            self.link.say(state(number))
            self.wait(lambda received: received > 0)
            self.assertLess(self.clock.seconds() - began, 3 * TURN)
            self.rest()
        self.link.say(state(3))
        self.wait(lambda received: received == len(self.observers) % AT_ONCE)
        ended = self.clock.seconds()
        self.link.say(state(4))
        self.wait(lambda received: received > 0)
        pause = PAUSE_OF_ONE * len(self.observers)
        self.assertLess(pause, LONGEST_PAUSE)
        self.assertGreaterEqual(self.clock.seconds() - ended, pause)
        self.assertLess(self.clock.seconds() - ended, pause + 5 * TURN)

    def test_order(self) -> None:
        """Lines that come during a round follow in the next, and nobody misses one or gets it twice."""
        count, late = 0, []
        for turn in range(200):
            if turn % 3 == 0:
                self.link.say(state(count))
                count += 1
            if turn % 7 == 0:
                late.append((self.join(MANY + turn), count))
            self.turn()
        self.rest()
        lines = [state(number) for number in range(count)]
        for each in self.observers:
            self.assertEqual(each.read(), lines)
        for each, since in late:
            received = [line for line in each.read() if line != state(since - 1)]  # the last value
            self.assertEqual(received, lines[since:])

    def test_line_for_one(self) -> None:
        """An observer receives the refusal of its command behind the lines before it; others wait on."""
        self.link.say(state(1))
        refused, other = self.observers[-1], self.observers[0]
        number = refused.command(MOVE)
        lines = refused.read()
        self.assertEqual((lines[0], lines[1].split(b"\n")[:2]), (state(1), [b"1", b"%d" % number]))
        self.assertEqual(other.read(), [])
        self.rest()
        self.assertEqual((refused.read(), other.read()), ([], [state(1)]))

    def test_gone(self) -> None:
        """One that is gone in the middle of a round receives nothing; if it comes again, no old line."""
        self.link.say(state(1))
        gone = self.observers[-1]
        self.wait(lambda received: received > 0)
        gone.go()
        gone.come()
        self.assertEqual(gone.read(), [state(1)])  # the last value
        self.link.say(state(2))
        self.rest()
        self.assertEqual(gone.read(), [state(2)])

    def test_leaves(self) -> None:
        """One whose connection is about to be closed receives all that came before."""
        self.link.say(state(1))
        self.bridge.client_leaves(self.observers[-1], "the port is closed")
        self.assertEqual(self.observers[-1].read(), [state(1)])
        self.assertEqual(self.observers[0].read(), [])

    def test_flood(self) -> None:
        """If the mount sends much, all receive it at once: none falls behind because of the rounds."""
        line = b"5\n" + STAMP + b"\n" + b"x" * 30_000
        count = MAX_GATHERED // len(line) + 1
        for _ in range(count):
            self.link.say(line)
        for each in self.observers:
            self.assertEqual(each.read(), [line] * count)
        self.assertEqual(self.rest(), [])

    def test_end(self) -> None:
        """At the end of the bridge each observer receives all lines, and no timer runs any more."""
        self.link.say(state(1))
        self.wait(lambda received: received > 0)
        self.link.say(state(2))
        self.bridge.close()
        for each in self.observers:
            self.assertEqual(each.read(), [state(1), state(2)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_few(self) -> None:
        """Few observers receive a line with the commanders, also once many have gone in a round."""
        for each in self.observers[AT_ONCE:]:
            each.go()
        self.link.say(state(1))
        self.assertEqual([each.read() for each in self.observers[:AT_ONCE]], [[state(1)]] * AT_ONCE)

    def test_one_fails(self) -> None:
        """An observer to which sending fails is cut off, and the others of its slice receive the line."""
        failing = self.observers[1]
        self.link.say(state(1))
        with patch.object(failing, "send", side_effect=ValueError), self.assertLogs(LOG, "ERROR"):
            self.rest()
        self.assertEqual(len(failing.dismissals), 1)
        for each in self.observers:
            self.assertEqual(each.read(), [] if each is failing else [state(1)])
