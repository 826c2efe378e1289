"""Live events: `mtmount_twisted.frontends.web.events.ring`."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.dialects.tma2020 import envelope
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.frontends.web.events import ring as feed_module
from mtmount_twisted.frontends.web.events.ring import BYTES_PER_TURN, GATHER, STREAMS_PER_TURN, Feed, Turns
from mtmount_twisted.frontends.web.events.selection import Selection
from mtmount_twisted.journal.recorder import JournalOff
from mtmount_twisted.records import ChangeRecord, LineRecord
from tests.support.commanders import House
from tests.support.feeds import World, all_rows, parsed
from tests.support.handshakes import TURN, TurnClock
from tests.support.journals import STAMP
from tests.support.records import RecordMaker


class Ear:
    """Who listens."""

    def __init__(self, selection: Selection | None = None) -> None:
        self.selection = selection or Selection()
        self.heard: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.heard.append(data)

    @property
    def events(self) -> list[Any]:
        """All that was heard."""
        return [parsed(block) for block in b"".join(self.heard).decode().split("\n\n")[:-1]]


class Looks:
    """How often a row's number was looked at."""

    count = 0


class Looked(int):
    """A row's number that counts the looks at it."""

    def __new__(cls, number: int, looks: Looks) -> Looked:
        made = super().__new__(cls, number)
        made.looks = looks
        return made

    looks: Looks

    def __bool__(self) -> bool:
        self.looks.count += 1
        return int(self) != 0

    def __lt__(self, other: int) -> bool:
        self.looks.count += 1
        return int(self) < int(other)

    def __gt__(self, other: int) -> bool:
        self.looks.count += 1
        return int(self) > int(other)


class Numbering:
    """An event bus that gives each record the next of some numbers.

    :ivar tell: tells the one that subscribed of a record with a number.
    """

    tell: Any

    def subscribe(self, tell: Any, *kinds: type) -> None:
        self.tell = tell


def ring_of(numbers: list[Any], base: int, **bounds: int) -> Feed:
    """A feed whose ring has had rows of these numbers; 0 is that of a row that the file lacks."""
    bus: Any = Numbering()
    journal: Any = SimpleNamespace(run=1, base=base)
    clock = Clock()
    feed = Feed(bus, DIALECT, journal, clock, Turns(clock), **bounds)
    looks = {each.looks for each in numbers if isinstance(each, Looked)}
    for number in numbers:
        bus.tell(ChangeRecord(0.0, 1, "csc", "link_up", ""), number)
    for each in looks:
        each.count = 0
    return feed


class FeedTests(SynchronousTestCase):
    """What is told, when, and at what cost."""

    def setUp(self) -> None:
        self.world = World(self)
        self.feed = self.world.feed
        self.addCleanup(self.world.stop)

    def ear(self, **selection: frozenset[str]) -> Ear:
        """Somebody who listens."""
        ear = Ear(Selection(**selection))
        self.feed.attach(ear)
        return ear

    def test_all_that_happens_is_told(self) -> None:
        """Messages, steps and changes are told in their order, with the ids that they have in the file."""
        ear = self.ear()
        self.world.record()
        self.world.records.step(9, "received", "csc", 4, 1, 32, 2)
        self.world.records.change("link_down", "controller", 4, "lost")
        self.world.write()
        self.world.wait()
        self.assertEqual([event.name for event in ear.events], ["message", "step", "change"])
        self.assertEqual([event.id for event in ear.events], [self.world.id_of(n) for n in (1, 2, 3)])
        self.assertEqual([event.data["id"] for event in ear.events], [event.id for event in ear.events])

    def test_nothing_is_done_in_the_way_of_a_command(self) -> None:
        """What is recorded is told 50 ms later at most, and not at once; one call is due for all of it."""
        ear = self.ear()
        self.world.record(5)
        self.assertEqual(len(self.world.clock.getDelayedCalls()), 1)
        self.world.wait(GATHER / 2)
        self.assertEqual(ear.heard, [])
        self.world.wait(0.05 - GATHER / 2)
        self.assertEqual(len(ear.events), 5)

    def test_nobody_listens(self) -> None:
        """With nobody who listens nothing is due, and who comes then hears only what comes."""
        self.world.record(5)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        ear = self.ear()
        self.world.record()
        self.world.wait()
        self.assertEqual([event.data["sequence_id"] for event in ear.events], [6])

    def test_each_event_is_encoded_once(self) -> None:
        """However many listen, an event is made once, and who asks for the same gets the same bytes."""
        made = []
        framed = feed_module.framed
        self.patch(feed_module, "framed", lambda entry: made.append(entry) or framed(entry))
        ears = [self.ear() for _ in range(50)] + [self.ear(peers=frozenset(["csc"]))]
        self.world.record(7)
        self.world.wait()
        self.assertEqual(len(made), 7)
        self.assertEqual(len({id(ear.heard[0]) for ear in ears[:50]}), 1)
        self.assertEqual(ears[50].heard, ears[0].heard)

    def test_slices(self) -> None:
        """No turn of the reactor sends to more than so many."""
        turns: list[int] = []
        ears = [self.ear() for _ in range(3 * STREAMS_PER_TURN)]
        clock = self.world.clock
        call_later = clock.callLater

        def counting(delay: float, call: Any, *arguments: Any, **named: Any) -> Any:
            def counted(*given: Any, **also: Any) -> None:
                before = sum(len(ear.heard) for ear in ears)
                call(*given, **also)
                turns.append(sum(len(ear.heard) for ear in ears) - before)

            return call_later(delay, counted, *arguments, **named)

        self.patch(clock, "callLater", counting)
        self.world.record()
        self.world.wait()
        self.assertEqual(sum(turns), len(ears))
        self.assertLessEqual(max(turns), STREAMS_PER_TURN)

    def test_selection(self) -> None:
        """Who asks for some kinds or peers is told of no others."""
        by_type = self.ear(types=frozenset(["step"]))
        by_kind = self.ear(kinds=frozenset(["BOTH_AXES_STOP"]))
        by_peer = self.ear(peers=frozenset(["controller"]))
        self.world.record()
        self.world.records.step(9, "received", "csc", 4, 1, 32, 2)
        self.world.records.line("controller", "from", 4, b"6\n" + STAMP + b"\n0\n1")
        self.world.wait()
        self.assertEqual([event.name for event in by_type.events], ["step"])
        self.assertEqual([event.name for event in by_kind.events], ["message", "step"])
        self.assertEqual([event.data["kind"] for event in by_peer.events], ["IN_POSITION"])

    def test_notice(self) -> None:
        """What is not in the journal is told in its place among what is, with no id."""
        ear, picky = self.ear(), self.ear(types=frozenset(["message"]))
        self.world.record()
        self.feed.publish("request", {"by": "web/night"})
        self.world.record()
        self.world.wait()
        self.assertEqual([event.name for event in ear.events], ["message", "request", "message"])
        self.assertEqual((ear.events[1].id, ear.events[1].data), (None, {"by": "web/night"}))
        self.assertEqual([event.name for event in picky.events], ["message"] * 2)

    def test_who_goes_while_others_are_told(self) -> None:
        """Who is detached meanwhile is told nothing, and nothing stays due once nobody listens."""
        ears = [self.ear(), Ear()]

        class Last(Ear):
            def send(ear, data: bytes) -> None:
                self.feed.detach(ears[1])

        last = Last()
        self.feed.detach(ears[0])
        for each in (last, ears[1]):
            self.feed.attach(each)
        self.world.record()
        self.world.wait()
        self.assertEqual(ears[1].heard, [])
        self.world.record()
        self.feed.detach(last)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_what_happens_while_others_are_told(self) -> None:
        """Rows that come while a batch is on its way are told after it, without another row to wake them."""
        ear = self.ear()
        for _ in range(2 * STREAMS_PER_TURN):
            self.ear()
        send = ear.send

        def sending(data: bytes) -> None:
            send(data)
            if self.world.recorded < 3:
                self.world.record()

        ear.send = sending  # type: ignore[method-assign]
        self.world.record()
        for _ in range(4):
            self.world.wait(0.05)
        self.assertEqual([event.data["sequence_id"] for event in ear.events], [1, 2, 3])

    def test_long_bursts_are_told_whole(self) -> None:
        """More rows than are told together are told all the same."""
        ear = self.ear()
        self.world.record(1200)
        self.world.wait()
        self.assertEqual([event.data["sequence_id"] for event in ear.events], list(range(1, 1201)))

    def test_long_lines_are_told_in_pieces(self) -> None:
        """What is sent in one piece is bounded, also if each line is long."""
        ear = self.ear()
        for _ in range(20):
            self.world.records.line("controller", "from", 4, b"5\n" + STAMP + b"\n" + b"x" * 20_000)
        self.world.wait()
        self.assertEqual(len(ear.events), 20)
        self.assertLess(max(map(len, ear.heard)), 120_000)

    def test_too_much_at_once(self) -> None:
        """Rows that the ring can't hold until they are told are counted, and everybody is told how many."""
        world = World(self, max_rows=10)
        self.addCleanup(world.stop)
        ear = Ear()
        world.write()
        world.feed.attach(ear)
        world.record(2)
        world.wait()
        world.record(25)
        world.wait()
        _, _, lost, *rest = ear.events
        ids = {"after": world.id_of(2), "before": world.id_of(18)}
        self.assertEqual(lost, ("gone", None, {"rows": 15, **ids, "why": "too much happened at once"}))
        self.assertEqual(world.feed.lost, 15)
        self.assertEqual([event.data["sequence_id"] for event in rest], list(range(18, 28)))

    def test_ring_is_bounded_in_bytes(self) -> None:
        """The ring holds no more bytes than it may."""
        world = World(self, max_bytes=10_000)
        self.addCleanup(world.stop)
        world.record(100, b"x" * 700)
        self.assertEqual(len(all_rows(world.feed)), 9)
        world.record(100, b"")
        self.assertEqual(len(all_rows(world.feed)), 32)

    def test_without_a_journal(self) -> None:
        """Without a journal events have no id."""
        clock = Clock()
        bus = EventBus(clock)
        feed = Feed(bus, DIALECT, JournalOff(), clock, Turns(clock))
        ear = Ear()
        feed.attach(ear)
        RecordMaker(bus.publish, bus.now).line("csc", "from", 1, b"1\n32\n1\n" + STAMP)
        clock.advance(1)
        self.assertEqual((ear.events[0].id, ear.events[0].data["id"]), (None, None))
        self.assertEqual((feed.oldest_row, feed.last_row, feed.position_after((0, 1))), (0, 0, None))

    def test_a_reader_who_resumes_costs_a_few_looks(self) -> None:
        """Where a stream begins is found in a full ring with a few looks at its rows: a reader resumes at
        will, and 20,000 looks delayed commands. It is so with a journal, and without one."""
        for numbers in (range(1, 20_001), [0] * 20_000, [*range(1, 101), *[0] * 19_900]):
            looks = Looks()
            feed = ring_of([Looked(number, looks) for number in numbers], base=0)
            for row in (0, 1, 50, 9_999, 19_999):
                feed.position_after((1, row))
            self.assertEqual(feed.last_row, max(numbers))
            feed.oldest_row  # noqa: B018
            self.assertLess(looks.count, 400)

    def test_positions(self) -> None:
        """The position after a row is that behind it, so that what has no number and came later is told."""
        feed = ring_of([0, 4, 0, 0, 5, 0, 7, 0], base=10, max_rows=7)  # the first is gone
        self.assertEqual((feed.start, feed.oldest_row, feed.last_row), (1, 14, 17))
        positions = [feed.position_after((1, row)) for row in (12, 13, 14, 15, 16, 17, 18)]
        self.assertEqual(positions, [None, 1, 2, 5, 5, 7, None])
        self.assertIsNone(feed.position_after((2, 14)))
        without = ring_of([4, 0, 0], base=10, max_rows=2)  # no row in the file is left
        self.assertEqual((without.oldest_row, without.last_row, without.position_after((1, 14))), (0, 14, 1))

    def test_a_fault_does_not_end_it(self) -> None:
        """If an event can't be made, the log says so, and what comes after is told."""
        ear = self.ear()
        self.feed.publish("request", {})
        framed = feed_module.framed
        self.patch(feed_module, "framed", lambda entry: 1 / 0)
        with self.assertLogs("mtmount_twisted.frontends.web.events.ring", "ERROR") as caught:
            self.world.wait()
        self.patch(feed_module, "framed", framed)
        self.assertEqual(len(caught.output), 1)
        self.assertIn("in <lambda>", caught.output[0])
        self.world.record()
        self.world.wait()
        self.assertEqual([event.name for event in ear.events], ["message"])

    def test_close(self) -> None:
        """A feed that is closed hears nothing and has nothing due, however often it is closed."""
        self.ear()
        self.world.record()
        for _ in range(2):
            self.feed.close()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        self.assertEqual(self.world.bus.subscribers, [])

    def test_close_while_telling(self) -> None:
        """What is on its way when the service ends goes no further, and nobody complains."""
        ears = [self.ear() for _ in range(2 * STREAMS_PER_TURN)]

        def closing(data: bytes) -> None:
            self.world.turns.close()

        ears[0].send = closing  # type: ignore[method-assign]
        self.world.record()
        self.world.wait()
        self.assertEqual(ears[-1].heard, [])


class TurnsTests(SynchronousTestCase):
    """Slices of work, one in a turn."""

    def test_order(self) -> None:
        """Who asks to be first is, and the others keep their order."""
        clock = Clock()
        turns = Turns(clock)
        order: list[str] = []
        for name, first in (("a", False), ("b", False), ("urgent", True)):
            turns.turn(first).addCallback(lambda _, name=name: order.append(name))
        clock.advance(0)
        self.assertEqual(order, ["urgent", "a", "b"])

    def test_observers(self) -> None:
        """While 64 observers read on and on, a user with rights has most of the turns, and they have some."""
        clock: Any = TurnClock()
        turns = Turns(clock)
        self.addCleanup(turns.close)
        order: list[str] = []

        def go_on(name: str, observes: bool) -> None:
            def took(_: None) -> None:
                order.append(name)
                go_on(name, observes)

            turns.turn(observes=observes).addCallback(took).addErrback(lambda cancelled: None)

        for _ in range(64):
            go_on("observer", True)
        go_on("user", False)
        for _ in range(100):
            clock.advance(TURN)
        self.assertGreaterEqual(order.count("user"), 70)
        self.assertGreaterEqual(order.count("observer"), 20)

    def test_events_without_end(self) -> None:
        """While live events take turns without end, histories have some turns, too."""
        clock: Any = TurnClock()
        turns = Turns(clock)
        self.addCleanup(turns.close)
        order: list[str] = []

        def go_on(name: str, **rank: bool) -> None:
            def took(_: None) -> None:
                order.append(name)
                go_on(name, **rank)

            turns.turn(**rank).addCallback(took).addErrback(lambda cancelled: None)

        go_on("events", first=True)
        go_on("more events", first=True)
        go_on("history")
        go_on("observer", observes=True)
        for _ in range(160):
            clock.advance(TURN)
        self.assertEqual((order.count("history"), order.count("observer")), (30, 10))

    def test_cancel(self) -> None:
        """Who wants its turn no more takes none of another's, and leaves nothing that is due."""
        clock = Clock()
        turns = Turns(clock)
        unwanted, wanted = [turns.turn(), turns.turn(first=True)], turns.turn()
        for turn in unwanted:
            turn.cancel()
            self.failureResultOf(turn, CancelledError)
        clock.advance(0)
        self.successResultOf(wanted)
        turns.turn().addErrback(lambda reason: None).cancel()
        clock.advance(0)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_close(self) -> None:
        """When it is closed, who waits is cancelled, and so is who asks then."""
        clock = Clock()
        turns = Turns(clock)
        waiting = [turns.turn(), turns.turn(first=True)]
        for _ in range(2):
            turns.close()
        for turn in (*waiting, turns.turn()):
            self.failureResultOf(turn, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])


class ReadOnceTests(SynchronousTestCase):
    """An event of the mount on its way to a page."""

    def test_read_and_decoded_once(self) -> None:
        """The header of an event is read once, and its line is decoded once, though it is two rows: one from
        the controller, and one to everyone."""
        house, calls = House(), Counter[str]()
        house.client("csc")
        dialect = replace(
            DIALECT,
            read_header=self.counted(calls, "read_header", DIALECT.read_header),
            decode_to_show=self.counted(calls, "decode_to_show", DIALECT.decode_to_show),
        )
        feed = Feed(house.bus, dialect, JournalOff(), house.clock, Turns(house.clock))
        ear = Ear()
        feed.attach(ear)
        name = "read_reply_parts"
        self.patch(envelope, name, self.counted(calls, name, envelope.read_reply_parts))
        house.link.say(b"6\n2031-01-01T00:00:00.125\n1\n1")
        house.advance(1)
        rows = [
            (event.data["peer"], event.data["kind"], event.data["fields"]["what"]) for event in ear.events
        ]
        self.assertEqual(rows, [("controller", "IN_POSITION", 1), ("everyone", "IN_POSITION", 1)])
        self.assertEqual(calls, {"read_reply_parts": 1, "decode_to_show": 1})

    def counted(self, calls: Counter[str], name: str, function: Any) -> Any:
        """Return a function that counts its calls."""

        def counting(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        return counting

    def test_long_lines_without_a_header(self) -> None:
        """Of malformed lines each is read once in all, and a turn reads no more than its bytes or one line:
        with `json` such a line takes a hundred times as long as a good one."""
        calls, most = Counter[str](), [0]
        clock = Clock()
        bus = EventBus(clock)
        dialect = replace(
            DIALECT,
            read_header=self.counted(calls, "read_header", DIALECT.read_header),
            decode_to_show=self.counted(calls, "decode_to_show", DIALECT.decode_to_show),
        )
        feed = Feed(bus, dialect, JournalOff(), clock, Turns(clock))
        ear = Ear()
        feed.attach(ear)
        for _ in range(100):
            bus.publish(LineRecord(0.0, 1, "controller", "from", b"x" * (BYTES_PER_TURN // 3)))
        call_later = clock.callLater

        def counting(delay: float, call: Any, *arguments: Any, **named: Any) -> Any:
            def counted(*given: Any, **also: Any) -> None:
                before = calls.total()
                call(*given, **also)
                most.append(calls.total() - before)

            return call_later(delay, counted, *arguments, **named)

        self.patch(clock, "callLater", counting)
        clock.advance(1)
        self.assertEqual(len(ear.events), 100)
        self.assertEqual({event.data["kind"] for event in ear.events}, {"unreadable"})
        self.assertEqual(calls, {"read_header": 100})
        self.assertEqual(max(most), 3)
        self.assertEqual(len(feed.rows(0, 100)), 3)  # a reader that resumes

    def test_line_without_a_header(self) -> None:
        """A line of the controller that is no reply is told as unreadable."""
        house = House()
        feed = Feed(house.bus, DIALECT, JournalOff(), house.clock, Turns(house.clock))
        ear = Ear()
        feed.attach(ear)
        house.link.say(b"rubbish")
        house.advance(1)
        told = [(event.data["kind"], event.data["text"]) for event in ear.events]
        self.assertEqual(told, [("unreadable", "rubbish")])
