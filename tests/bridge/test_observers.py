"""Many observers: each receives all lines in their order, a few of them in each turn of the reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.effects import Effect
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.bridge.observers import (
    AT_ONCE,
    BYTES_AT_ONCE,
    BYTES_OF_ONE,
    LONGEST_PAUSE,
    MAX_GATHERED,
    PAUSE_OF_ONE,
    SLOW,
    Observers,
)
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.dialect import TranslatedEvent
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.interfaces import IClient
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
        """If the mount sends much, a turn serves fewer observers, and each receives all lines in order."""
        line = b"5\n" + STAMP + b"\n" + b"x" * 30_000
        count = 9 * MAX_GATHERED // 10 // len(line)
        for number in range(count):
            self.link.say(line + b"%d" % number)
        self.assertEqual([each.read() for each in self.observers], [[]] * MANY)
        few = BYTES_AT_ONCE // BYTES_OF_ONE
        self.assertLess(few, AT_ONCE)
        self.assertEqual(self.rest(), [few] * (MANY // few) + [MANY % few])
        for each in self.observers:
            self.assertEqual(each.read(), [line + b"%d" % number for number in range(count)])
            self.assertEqual(each.dismissals, [])

    def test_lines_in_a_round(self) -> None:
        """In its turn an observer receives the lines, too, that came since the round began."""
        for number in range(5):
            self.link.say(state(number))
            self.turn()
        counts = [len(each.read()) for each in self.observers[: 5 * AT_ONCE : AT_ONCE]]
        self.assertEqual(counts, [1, 2, 3, 4, 5])

    def flood(self) -> list[bytes]:
        """Let more lines come than memory holds, after half of them two turns that serve a few, and return
        the lines."""
        lines = [b"5\n" + STAMP + b"\n" + b"%d" % number + b"x" * 30_000 for number in range(40)]
        for line in lines[:20]:
            self.link.say(line)
        for _ in range(2):
            self.wait(lambda received: received == AT_ONCE // 2)
        for line in lines[20:]:
            self.link.say(line)
        self.assertGreater(sum(map(len, lines)), MAX_GATHERED)
        return lines

    def test_slow_consumers(self) -> None:
        """Those that lack a line that memory no longer holds are cut off, a few in each turn, and receive
        nothing behind the gap. The others receive all lines."""
        lines = self.flood()
        for each in self.observers[AT_ONCE:]:
            self.assertEqual((each.lines, each.dismissals), ([], []))
        counts = []
        for _ in range(20):
            before = sum(len(each.dismissals) for each in self.observers)
            self.turn()
            counts.append(sum(len(each.dismissals) for each in self.observers) - before)
        self.assertEqual([count for count in counts if count], [AT_ONCE] * 4 + [3])
        for each in self.observers[AT_ONCE:]:
            self.assertEqual((each.lines, each.dismissals), ([], [f"cut off: {SLOW}"]))
        self.assertEqual(self.bridge.counts["cut_off"], MANY - AT_ONCE)
        self.rest()
        for each in self.observers[:AT_ONCE]:
            self.assertEqual((each.read(), each.dismissals), (lines, []))
        self.assertEqual(self.bridge.clients.keys(), {"csc", *(f"hall/{n}" for n in range(AT_ONCE))})

    def test_slow_consumer_commands(self) -> None:
        """A slow consumer receives no refusal, which would be behind the gap. If it is lost and comes back
        before it is cut off, it receives the later lines."""
        self.flood()
        slow, back = self.observers[-2:]
        for each in (slow, back):
            each.command(MOVE)
            self.assertEqual(each.lines, [])
        back.go()
        back.come()
        back.lines.clear()  # the last value
        self.rest()
        self.link.say(state(1))
        self.rest()
        self.assertEqual((slow.lines, slow.dismissals), ([], [f"cut off: {SLOW}"]))
        self.assertEqual((back.lines, back.dismissals), ([state(1)], []))

    def test_slow_consumers_at_the_end(self) -> None:
        """At the end of the bridge the slow consumers receive nothing behind the gap."""
        self.flood()
        self.bridge.close()
        for each in self.observers[AT_ONCE:]:
            self.assertEqual((each.lines, each.dismissals), ([], [f"cut off: {SLOW}"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_translated_once(self) -> None:
        """A line is translated once for all observers of a dialect, in however many turns they receive it.
        One without a counterpart does not reach them."""
        translated: list[bytes] = []

        class Upper:
            def event(self, line: bytes) -> TranslatedEvent:
                translated.append(line)
                return TranslatedEvent(None if line == b"c" else line.upper(), "kind")

        upper: Any = Upper()
        sent: dict[str, list[bytes]] = {each.name: [] for each in self.observers}

        def send(translator: object, clients: list[IClient], lines: list[bytes]) -> None:
            for client in clients:
                self.assertIs(client.translator, translator)
                sent[client.name] += lines

        observers = Observers([], send, lambda client, why: None)
        for each in self.observers[:20]:
            observers.add(each)
        observers.tell([b"a"])
        for each in self.observers[20:]:
            each.translator = upper
            observers.add(each)
        observers.tell([b"b", b"c"])
        for _ in range(10):
            observers.serve_next()
        self.assertEqual(translated, [b"b", b"c"])
        self.assertEqual([*sent.values()], [[b"a", b"b", b"c"]] * 20 + [[b"B"]] * (MANY - 20))

    def test_memory_is_bounded(self) -> None:
        """However much comes in one turn, memory holds so many bytes of lines at most."""
        effects: list[Effect] = []
        observers = Observers(effects, lambda *sent: None, lambda client, why: observers.remove(client))
        for each in self.observers:
            observers.add(each)
        for size in (10, 1000, 60_000) * 3:
            for _ in range(2 * MAX_GATHERED // size):
                observers.tell([b"x" * size])
                self.assertLessEqual(observers.gathered, MAX_GATHERED)
        self.assertEqual(observers.clients, {})
        observers.serve_next()
        self.assertEqual(observers.gathered, 0)

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
