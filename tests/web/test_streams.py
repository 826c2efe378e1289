"""Streams of events, and how one resumes: `mtmount_twisted.frontends.web.events.streams`."""

from __future__ import annotations

import logging
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, serverFromString
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.events import ring, streams
from mtmount_twisted.frontends.web.events.selection import Selection
from mtmount_twisted.frontends.web.events.shapes import event_id
from mtmount_twisted.frontends.web.events.streams import KEEP_ALIVE, Bounds
from mtmount_twisted.frontends.web.http.calls import RequestError, User
from mtmount_twisted.frontends.web.http.routing import Router
from mtmount_twisted.frontends.web.http.site import WebSite
from mtmount_twisted.journal import limited, reading
from mtmount_twisted.journal.recorder import JournalOff
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.records import ChangeRecord
from tests.support import strategies  # noqa: F401 - it sets Hypothesis's profile
from tests.support.feeds import NIGHT, Event, Request, World
from tests.support.journals import STAMP


class StreamsCase(SynchronousTestCase):
    """Readers of a daemon that runs."""

    bounds: Bounds | None = None

    def setUp(self) -> None:
        self.world = World(self, self.bounds)
        self.world.write()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Nothing is left that is due."""
        self.world.stop()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])


class StreamTests(StreamsCase):
    """What a reader gets."""

    def test_headers(self) -> None:
        """The answer is a stream of events that nobody between may keep."""
        wanted = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self.assertEqual(self.world.read().headers, wanted)

    def test_hello(self) -> None:
        """The first event says where the stream begins, with the id to resume from."""
        self.world.record(3)
        self.world.write()
        last = self.world.id_of(3)
        data = {"run": 1, "last_id": last, "epoch": 4}
        self.assertEqual(self.world.read().events, [Event("hello", last, data)])

    def test_hello_of_an_empty_journal(self) -> None:
        """If nothing happened yet, there is no id."""
        self.assertEqual(self.world.read().events[0][1:], (None, {"run": 1, "last_id": None, "epoch": 4}))

    def test_live(self) -> None:
        """All that happens from the hello on is told, each with its id; nothing from before."""
        self.world.record(2)
        first = self.world.read()
        self.world.record(2)
        second = self.world.read()
        self.world.record(2)
        self.world.wait()
        self.assertEqual(first.sequence_ids, [3, 4, 5, 6])
        self.assertEqual(second.events[0].data["last_id"], self.world.id_of(2))
        self.assertEqual(second.sequence_ids, [3, 4, 5, 6])

    def test_what_a_mount_says_can_not_break_the_framing(self) -> None:
        """Text with line feeds or with what looks like an event stays one event's data."""
        reader = self.world.read()
        for text in (b"x\rdata: y", b"data: x\n\nevent: gone\ndata: {}", "\u2028é".encode(), b"\xff\x00"):
            self.world.records.line("controller", "from", 4, b"5\n" + STAMP + b"\n" + text)
        self.world.wait()
        self.assertEqual([event.name for event in reader.events], ["hello", *["message"] * 4])
        self.assertEqual(reader.named("message")[0]["fields"], None)

    def test_keep_alive(self) -> None:
        """Every 15 s each reader gets a comment, until nobody is there."""
        readers = [self.world.read() for _ in range(3)]
        for _ in range(2):
            self.world.wait(KEEP_ALIVE)
        for reader in readers:
            self.assertEqual(reader.read.count(b":\n\n"), 2)
            reader.leave()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_who_reads_keeps_a_commander_present(self) -> None:
        """A user's commander is held present by each stream until that ends."""
        readers = [self.world.read() for _ in range(2)]
        self.assertEqual((self.world.presence.held, len(self.world.streams)), (["night"] * 2, 2))
        for reader in readers:
            reader.leave()
            reader.leave()
        self.assertEqual((self.world.presence.held, len(self.world.streams)), ([], 0))
        self.world.record()
        self.world.wait()

    def test_selection(self) -> None:
        """Only what is asked for is told, live and from what was; hello always is."""
        self.world.record(2)
        self.world.write()
        for resumes in (False, True):
            last = event_id(self.world.journal.run, self.world.feed.last_row) if resumes else None
            reader = self.world.read(last, kind="step,ACK", peer="csc, controller")
            self.world.wait()
            self.world.record()
            self.world.records.step(9, "sent", "csc", 4, 1, 32, 2)
            self.world.records.line("controller", "from", 4, b"0\n1\n1\n" + STAMP + b"\n100")
            self.world.records.line("eui", "to", 4, b"0\n1\n1\n" + STAMP + b"\n100")
            self.world.wait()
            self.assertEqual([event.name for event in reader.events], ["hello", "step", "message"])

    def test_faults(self) -> None:
        """A query that can't be understood is refused with each fault and what was expected."""
        call = self.world.call(Request(), kind="ack,bogus", peer=",", colour="red")
        problem = self.failureResultOf(call, RequestError).value
        faults = {fault.where: fault.why for fault in problem.faults}
        self.assertEqual(problem.status, 422)
        self.assertEqual(set(faults), {"query.kind", "query.peer", "query.colour"})
        empty = self.failureResultOf(self.world.call(Request(), kind="", peer=""), RequestError).value
        self.assertEqual([fault.where for fault in empty.faults], ["query.kind", "query.peer"])
        self.assertIn("IN_POSITION", faults["query.kind"])
        self.assertIn("expected kind, peer, signals, rate, last_event_id", faults["query.colour"])
        many = self.world.call(Request(), kind=",".join(["ACK"] * 101))
        self.assertEqual(self.failureResultOf(many, RequestError).value.status, 422)
        self.assertEqual(len(self.world.streams), 0)

    def test_known_kinds(self) -> None:
        """Types, names of codes and numbers of those without a name can be asked for."""
        kinds = "message,step,change,request,ACK,AZIMUTH_AXIS_MOVE,code 4711,code -5"
        self.world.read(kind=kinds)

    def test_malformed_last_id(self) -> None:
        """A last id that is none is refused, from header and query, and says how one looks."""
        for text in ("x", "1", "1.", "1.2.3", "1.99999999999999999999", "\u0661.\u0661", "-1.5"):
            for call in (
                self.world.call(Request(), last=text),
                self.world.call(Request(), last_event_id=text),
            ):
                problem = self.failureResultOf(call, RequestError).value
                self.assertEqual(problem.status, 400, text)
                self.assertIn("RUN.ROW", problem.faults[0].why)

    def test_close(self) -> None:
        """When the service ends, every stream ends as it should, and no other begins."""
        readers = [self.world.read(), self.world.read("1.1")]
        self.world.record()
        for _ in range(2):
            self.world.streams.close()
        self.assertTrue(all(reader.finished for reader in readers))
        self.assertEqual((len(self.world.streams), self.world.presence.held), (0, []))
        problem = self.failureResultOf(self.world.call(Request()), RequestError).value
        self.assertEqual(problem.status, 503)


class BoundsTests(StreamsCase):
    """How many streams there may be, and how far behind."""

    bounds = Bounds(
        max_behind_bytes=5000, max_behind_seconds=10, per_user=2, per_address=2, total=4, observers=3
    )

    def test_per_user(self) -> None:
        """One user has so many streams, and may have another when one ends."""
        readers = [self.world.read() for _ in range(2)]
        problem = self.failureResultOf(self.world.call(Request()), RequestError).value
        self.assertEqual((problem.status, problem.headers), (503, {"Retry-After": "10"}))
        readers[0].leave()
        self.world.read()

    def test_per_address(self) -> None:
        """Where there are no tokens one address has so many, and keeps no other address from its own."""
        for _ in range(2):
            self.world.read(network="192.0.2.1")
        problem = self.failureResultOf(self.world.call(Request(), network="192.0.2.1"), RequestError).value
        self.assertEqual(problem.status, 503)
        self.world.read(network="192.0.2.2")

    def test_per_address_of_users(self) -> None:
        """All users at one address have so many, and one that has no address is not counted with them."""
        users = [User(name, frozenset(["observe"]), Source.CSC) for name in "abc"]
        readers = [self.world.read(user=user, at="192.0.2.1") for user in users[:2]]
        problem = self.failureResultOf(
            self.world.call(Request(), users[2], at="192.0.2.1"), RequestError
        ).value
        self.assertEqual((problem.status, problem.headers), (503, {"Retry-After": "10"}))
        self.assertIn("your address has 2 event streams", problem.title)
        self.world.read(user=users[2])
        readers[0].leave()
        self.world.read(user=users[2], at="192.0.2.1")

    def test_total(self) -> None:
        """There are so many streams altogether."""
        users = [User(name, frozenset(["command"]), Source.CSC) for name in "abcde"]
        for user in users[:4]:
            self.world.read(user=user)
        problem = self.failureResultOf(self.world.call(Request(), users[4]), RequestError).value
        self.assertEqual(problem.status, 503)

    def test_observers(self) -> None:
        """Observers have so many streams together, and keep no other user from a stream."""
        users = [User(name, frozenset(["observe"]), Source.CSC) for name in "abcd"]
        readers = [self.world.read(user=user) for user in users[:3]]
        problem = self.failureResultOf(self.world.call(Request(), users[3]), RequestError).value
        self.assertEqual((problem.status, problem.headers), (503, {"Retry-After": "10"}))
        self.assertIn("observers have 3 event streams already", problem.title)
        self.world.read(user=User("d", frozenset(["stop"]), Source.CSC))
        readers[0].leave()
        readers[1].leave()
        self.world.read(user=users[3])

    def test_too_many_bytes_behind(self) -> None:
        """A reader that leaves too much unread is cut off, which is counted and recorded; others are not."""
        slow, quick = self.world.read(room=1000), self.world.read()
        for _ in range(20):
            self.world.record()
            self.world.wait(0.05)
        self.assertTrue(slow.aborted)
        self.assertEqual((self.world.streams.cut_off, len(self.world.streams)), (1, 1))
        self.assertEqual(quick.sequence_ids, list(range(1, 21)))
        (change,) = quick.named("change")
        self.assertEqual((change["kind"], change["peer"], change["epoch"]), ("cut_off", "web/night", 4))
        self.assertEqual(change["detail"], "event stream: more than 5000 bytes behind")

    def test_cut_off_without_rights(self) -> None:
        """That one is cut off who only observes is recorded within the bounds of clients without rights."""
        self.patch(limited, "PORT_ROWS", 0)
        slow = self.world.read(user=User("night", frozenset(["observe"]), Source.CSC), room=1000)
        quick = self.world.read()
        for _ in range(20):
            self.world.record()
            self.world.wait(0.05)
        self.assertTrue(slow.aborted)
        self.assertEqual((quick.named("change"), self.world.bus.counts["omitted"]), ([], 1))

    def test_cut_off_is_logged(self) -> None:
        """Each reader that is cut off has one line in the log, which names the user and the reason."""
        self.world.read(room=1000)
        self.world.read()
        with self.assertLogs("tests.support.feeds", "WARNING") as logged:
            for _ in range(20):
                self.world.record()
                self.world.wait(0.05)
        line = "web/night: closed: cut off: event stream: more than 5000 bytes behind"
        self.assertEqual([record.getMessage() for record in logged.records], [line])

    def test_too_long_behind(self) -> None:
        """A reader that reads nothing for too long is cut off."""
        slow = self.world.read(room=100)
        self.world.record()
        self.world.wait(0.1)
        self.world.wait(9)
        self.assertFalse(slow.aborted)
        self.assertGreaterEqual(self.world.streams.behind, 0)
        self.world.wait(1.1)
        self.assertTrue(slow.aborted)

    def test_slow_but_reading(self) -> None:
        """A reader that always has something left to read, and reads on, gets all of it."""
        slow = self.world.read(room=300)
        for _ in range(40):
            self.world.record(2)
            self.world.wait(0.1)
            self.world.wait(8)
            slow.take()
        self.world.wait()
        for _ in range(100):
            slow.take()
        self.assertEqual(slow.sequence_ids, list(range(1, 81)))

    def test_cut_off_and_resumed(self) -> None:
        """Who was cut off resumes where it was, and misses nothing."""
        slow = self.world.read(room=1000)
        for _ in range(20):
            self.world.record()
            self.world.wait(0.05)
        slow.room = None
        slow.take()
        again = self.world.read(slow.events[-1].id)
        self.world.wait()
        self.assertEqual(slow.sequence_ids + again.sequence_ids, list(range(1, 21)))

    def test_slow_while_resuming(self) -> None:
        """Who is slow while it resumes is waited for, and cut off by the same rule."""
        self.world.record(100)
        self.world.write()
        slow = self.world.read(self.world.id_of(1), room=600)
        for _ in range(80):
            self.world.wait(1)
            slow.take()
        stuck = self.world.read(self.world.id_of(1), room=600)
        self.world.wait(0.1)
        self.world.wait(11)
        self.assertEqual(slow.sequence_ids, list(range(2, 101)))
        self.assertTrue(stuck.aborted)

    def test_push_producer(self) -> None:
        """What a connection asks of one that writes to it is there; told late, it does nothing."""
        reader = self.world.read()
        producer = reader.producer
        verifyObject(IPushProducer, producer)
        reader.leave()
        for told in (producer.pauseProducing, producer.resumeProducing, producer.stopProducing):
            told()
        producer.send(b"late")
        self.assertEqual([event.name for event in reader.events], ["hello"])


class ResumeTests(SynchronousTestCase):
    """From where a reader was up to now."""

    def world(self, **ring: int) -> World:
        """A daemon that runs."""
        world = World(self, **ring)
        self.addCleanup(world.stop)
        world.write()
        return world

    def test_from_memory(self) -> None:
        """A reader is told all that memory holds after its last id, once and in order, and then is live."""
        world = self.world()
        world.record(50)
        reader = world.read(world.id_of(10))
        world.wait()
        self.assertEqual(reader.sequence_ids, list(range(11, 51)))
        world.record()
        world.wait()
        self.assertEqual(reader.sequence_ids[-1], 51)
        self.assertEqual([event.name for event in reader.events if event.name != "message"], ["hello"])

    def test_from_query(self) -> None:
        """The id can stand in the query, for who can't set headers."""
        world = self.world()
        world.record(3)
        reader = world.read(last_event_id=world.id_of(2))
        world.wait()
        self.assertEqual(reader.sequence_ids, [3])

    def test_hello_does_not_skip(self) -> None:
        """A reader that resumes and is interrupted at once is not moved on by the hello."""
        world = self.world()
        world.record(3)
        self.assertEqual(world.read(world.id_of(1)).events[0].id, None)

    def assert_all(self, world: World, reader: Request, wanted: range) -> None:
        """A reader that asks the journal for what is gone has these messages, each once and in order."""
        world.write()
        got: list[int] = []
        for event in reader.events:
            if event.name == "gone":
                got += world.history(event.data)
            elif event.name == "message":
                got.append(event.data["sequence_id"])
        self.assertEqual(got, list(wanted))

    def test_older_than_memory(self) -> None:
        """For what memory holds no longer there is one ``gone``: it names the ids between which it was."""
        world = self.world(max_rows=10)
        world.record(2500)
        reader = world.read(world.id_of(3))
        world.wait()
        world.record(2)
        world.wait()
        self.assertEqual([event.name for event in reader.events], ["hello", "gone", *["message"] * 12])
        ids = {"after": world.id_of(3), "before": world.id_of(2491)}
        self.assertEqual(reader.named("gone"), [{"rows": 2487, **ids, "why": ring.NOT_IN_MEMORY}])
        self.assertEqual(reader.sequence_ids, list(range(2491, 2503)))
        self.assert_all(world, reader, range(4, 2503))

    def test_just_within_memory(self) -> None:
        """Memory that begins right after the last id lacks nothing; one row later it does."""
        world = self.world(max_rows=10)
        world.record(25)
        for last, gone in ((15, 0), (14, 1)):
            reader = world.read(world.id_of(last))
            world.wait()
            self.assertEqual((len(reader.named("gone")), reader.sequence_ids), (gone, list(range(16, 26))))

    def test_over_a_restart(self) -> None:
        """After a restart the rest of the run before is gone from memory; all of this run is told."""
        world = self.world()
        world.record(5)
        world.write()
        last = world.id_of(2)
        world.restart()
        world.write()
        world.record(2)
        reader = world.read(last)
        world.record()
        world.wait()
        ids = {"after": last, "before": world.id_of(1)}
        self.assertEqual(reader.named("gone"), [{"rows": None, **ids, "why": ring.NOT_IN_MEMORY}])
        self.assertEqual(reader.sequence_ids, [6, 7, 8])
        self.assert_all(world, reader, range(3, 9))

    def test_nothing_happened_since_the_restart(self) -> None:
        """While no row of this run is in memory, history goes on to its end."""
        world = self.world()
        world.record(3)
        world.write()
        last = world.id_of(1)
        world.restart()
        world.write()
        reader = world.read(last)
        world.wait()
        (gone,) = reader.named("gone")
        self.assertEqual((gone["rows"], gone["after"], gone["before"]), (None, last, None))
        self.assertEqual(world.history(gone), [2, 3])

    def test_before_the_file_is_open(self) -> None:
        """A stream does not wait until the daemon has opened its file; no row has an id until then."""
        world = self.world()
        world.record(3)
        world.write()
        last = world.id_of(1)
        world.restart()
        world.record()
        reader = world.read(last)
        self.assertIsNone(world.journal.base)
        world.wait()
        self.assertEqual((reader.sequence_ids, [event.id for event in reader.events]), ([4], [None] * 3))
        (gone,) = reader.named("gone")
        self.assertEqual((gone["rows"], gone["after"], gone["before"]), (None, last, None))
        world.write()
        world.record()
        world.wait()
        self.assertEqual((reader.sequence_ids, reader.events[-1].id), ([4, 5], world.id_of(2)))
        self.assertEqual(world.history(gone), [2, 3, 4])

    def test_overtaken_while_resuming(self) -> None:
        """What goes from memory while a slow reader resumes is told as gone in its place."""
        world = self.world(max_rows=30)
        world.record(30)
        reader = world.read(world.id_of(1), room=600)
        world.wait()
        world.record(100)
        for _ in range(60):
            world.wait(0.01)
            reader.take()
        (gone,) = reader.named("gone")
        self.assertEqual(gone["before"], world.id_of(101))
        self.assertLess(gone["rows"], 99)
        self.assert_all(world, reader, range(2, 131))

    def test_another_journal(self) -> None:
        """An id of another file, or one that is yet to come, has no place in history: memory is told."""
        world = self.world()
        world.record(5)
        for last in ("7.3", "1.2000", "1.999999999999", f"{world.journal.run + 1}.{world.journal.base + 2}"):
            reader = world.read(last)
            world.wait()
            ids = {"after": None, "before": world.id_of(1)}
            self.assertEqual(reader.named("gone"), [{"rows": None, **ids, "why": ring.ANOTHER}])
            self.assertEqual(reader.sequence_ids, [1, 2, 3, 4, 5])
            reader.leave()

    def test_no_journal(self) -> None:
        """Without a journal no row has an id: a reader that brings one is told what memory holds."""
        world = self.world()
        world.record(2)
        world.feed.journal = JournalOff()
        reader = world.read("1.5")
        world.wait()
        world.record()
        world.wait()
        (gone,) = reader.named("gone")
        self.assertEqual((gone["rows"], gone["after"], gone["before"]), (None, "1.5", None))
        self.assertEqual(reader.sequence_ids, [1, 2, 3])

    def test_no_file_is_read(self) -> None:
        """Whatever a reader lacks, its stream goes on without a look at the journal's file."""
        world = self.world(max_rows=5)
        world.record(20)
        world.write()
        self.patch(reading, "open_journal", lambda path: self.fail("it was opened"))
        self.patch(reading.sqlite3, "connect", lambda *arguments, **options: self.fail("it was opened"))
        reader = world.read(world.id_of(3))
        world.wait()
        self.assertEqual(reader.sequence_ids, list(range(16, 21)))

    def test_ahead_of_others(self) -> None:
        """A reader that has more than the others were told goes on as soon as they were, or have gone."""
        for go in (False, True):
            world = self.world(max_rows=30)
            live = world.read()
            world.record(10)
            world.write()
            reader = world.read(world.id_of(8))  # which it had from the journal
            world.clock.advance(0)
            self.assertEqual((live.sequence_ids, reader.sequence_ids), ([], []))
            if go:
                live.leave()
            else:
                world.wait(0.1)
            for _ in range(8):
                world.clock.advance(0.001)
            self.assertEqual(reader.sequence_ids, [9, 10])
            self.assertIn(reader, [listener.request for listener in world.feed.listeners])  # type: ignore[attr-defined]

    def test_fault_while_resuming(self) -> None:
        """A fault of the daemon's own ends the stream, so that its reader resumes; the log has it."""
        world = self.world()
        world.record(3)
        self.patch(streams, "framed", lambda entry: 1 / 0)
        with self.assertLogs("tests.support.feeds", "WARNING") as logged:
            reader = world.read(world.id_of(1))
            world.wait()
        self.assertTrue(reader.aborted)
        self.assertEqual((len(world.streams), len(world.feed.listeners)), (0, 0))
        self.assertIn("ZeroDivisionError", logged.output[0])
        self.assertIn("a fault of the daemon; its log says why", logged.output[1])

    def test_who_goes_while_resuming(self) -> None:
        """A reader that goes while it resumes is sent nothing more, and nothing is left of it."""
        world = self.world()
        world.record(100)
        for room in (1, 300, 2000):
            reader = world.read(world.id_of(1), room=room)
            world.clock.advance(0)
            reader.leave()
            reader.take()
            size = len(reader.read)
            world.wait()
            reader.take()
            self.assertEqual(len(reader.read), size)
            self.assertLess(len(reader.sequence_ids), 99)
        self.assertEqual((len(world.feed.listeners), world.clock.getDelayedCalls()), (0, []))

    def test_row_that_was_not_kept(self) -> None:
        """A row that the journal had no room for is told live, with no id, and to who resumes soon after."""
        world = self.world()
        world.record()
        live = world.read()
        keep = world.journal.keep
        world.journal.keep = lambda record: 0
        world.record()
        world.journal.keep = keep
        world.record()
        world.wait()
        reader = world.read(world.id_of(1))
        world.wait()
        self.assertEqual((live.sequence_ids, reader.sequence_ids), ([2, 3], [2, 3]))
        self.assertEqual([event.id for event in live.events][1:], [None, world.id_of(2)])


class Client(Protocol):
    """A browser that asks for events and then reads nothing.

    :ivar gone: fires when its connection is lost.
    """

    def __init__(self) -> None:
        self.read = b""
        self.greeted: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.read += data
        if b"event: hello" in self.read and not self.greeted.called:
            self.transport.pauseProducing()
            self.greeted.callback(None)

    def connectionLost(self, reason: object = None) -> None:
        self.gone.callback(None)


class Sayer:
    """Has the mount say more each time that something is told, until somebody is cut off."""

    selection = Selection()

    def __init__(self, world: World, cut: Deferred[str]) -> None:
        self._world = world
        self._cut = cut

    def send(self, data: bytes) -> None:
        """Something was told."""
        for _ in range(0 if self._cut.called else 20):
            line = b"5\n" + STAMP + b"\n" + b"x" * 60_000
            self._world.records.line("controller", "from", self._world.epoch, line)


class AccessPolicy:
    """Lets everybody in."""

    has_tokens = False

    def admit(self, request: object) -> None:
        """Anything goes."""

    def user(self, request: object, role: object) -> User:
        """Everybody is one."""
        return NIGHT


class SocketTests(TestCase):
    """Over TCP, whose buffers are what a reader leaves its events in."""

    async def test_who_does_not_read(self) -> None:
        """A reader that reads nothing is cut off, and its connection is gone; the streams are none."""
        from twisted.internet import reactor

        world = World(self, clock=reactor)
        log = RateLimitedLog(world.clock, logging.getLogger("tests.support.web"), A_FEW)
        site = WebSite(Router(world.streams.routes(), AccessPolicy(), log), WebSettings(), log, reactor)
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(site)
        self.addCleanup(port.stopListening)
        self.addCleanup(world.stop)
        cut: Deferred[str] = Deferred()
        world.bus.subscribe(lambda record, number: cut.callback(record.detail), ChangeRecord)
        end = HostnameEndpoint(reactor, "127.0.0.1", port.getHost().port)
        client = await connectProtocol(end, Client())
        await client.greeted
        world.feed.attach(Sayer(world, cut))
        world.record()
        self.assertIn("bytes behind", await cut)
        self.assertEqual((len(world.streams), world.presence.held), (0, []))
        client.transport.resumeProducing()
        await client.gone
        self.assertIn(b"HTTP/1.1 200 OK", client.read)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(1, 6)),
        st.tuples(st.sampled_from(["write", "take", "live"]), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 0.02, 0.05])),
    ),
    max_size=25,
)


END: Any = [("write", None), ("wait", 0.05), ("take", None)]


class InterleavingTests(SynchronousTestCase):
    """Resuming, whatever happens meanwhile and in whatever order."""

    @given(
        before=st.tuples(STEPS, st.sampled_from(["", "restart", "crash"]), STEPS),
        after=STEPS,
        rows=st.integers(1, 12),
        point=st.integers(0, 1000),
        room=st.sampled_from([None, 100, 700]),
    )
    def test_nothing_is_missed_or_told_twice(
        self, before: Any, after: Any, rows: int, point: int, room: int | None
    ) -> None:
        """From any id on, a reader that asks the journal for what is gone has every row once and in order.

        Only rows that a killed daemon told and never wrote are nowhere. A reader that resumes while memory is
        empty reads history to its end, and so finds some rows twice.
        """
        self.patch(ring, "ROWS_PER_TURN", 2)
        world = World(self, max_rows=rows)
        ids: dict[int, str] = {}
        try:
            world.write()
            first, end, second = before
            play(world, first, ids)
            unwritten: set[int] = set()
            if end == "restart":
                world.restart()
            elif end == "crash":
                unwritten = set(range(world.recorded - world.journal.pending + 1, world.recorded + 1))
                world.crash()
            world.write()
            play(world, second, ids)
            if not ids:
                return
            start = list(ids)[point % len(ids)]
            reader = world.read(ids[start], room=room)
            play(world, after, ids, reader)
            size = -1
            while len(reader.read) != size:
                size = len(reader.read)
                for _ in range(4):
                    play(world, END, ids, reader)
            got: list[int] = []
            for event in reader.events:
                if event.name == "gone":
                    got += world.history(event.data)
                elif event.name == "message":
                    got.append(event.data["sequence_id"])
            if not all(gone["before"] for gone in reader.named("gone")):  # of history the end was read
                got = list(dict.fromkeys(got))
            wanted = [number for number in range(start + 1, world.recorded + 1) if number not in unwritten]
            self.assertEqual(got, wanted)
        finally:
            world.stop()


def play(world: World, steps: Any, ids: dict[int, str], reader: Request | None = None) -> None:
    """Have things happen, and note the ids of what is recorded, by sequence id."""
    actions = {
        "record": world.record,
        "write": lambda _: world.write(),
        "wait": world.wait,
        "take": lambda _: reader and reader.take(),
        "live": lambda _: len(world.streams) < 5 and world.read(),
    }
    for action, value in steps:
        known = world.recorded
        actions[action](value)
        for number in range(known + 1, world.recorded + 1):
            ids[number] = world.id_of(number - world.recorded_before)
