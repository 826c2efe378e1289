"""The events of the other bridges in the daemon: bounded, taken at a pace, and searched on request."""

from __future__ import annotations

import json
import logging
from typing import Any

from msgspec import Raw
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.frontends.broker import supervisor
from mtmount_twisted.frontends.broker.reading import LONGEST_WAIT, PACE, SEARCH_TIME
from mtmount_twisted.frontends.broker.service import Asking, BrokerService
from mtmount_twisted.frontends.broker.words import (
    EVENT_WINDOW,
    WINDOW,
    Follow,
    Forget,
    Found,
    Missing,
    Other,
    Ping,
    Search,
    Searched,
    Took,
)
from mtmount_twisted.frontends.web.api.fair_places import MOST_AT_WORK, PER_USER, SHARED_TIME
from mtmount_twisted.frontends.web.events.others import OtherEvent, StreamPage, StreamQuery
from mtmount_twisted.frontends.web.events.selection import Selection
from mtmount_twisted.frontends.web.events.shapes import StreamId
from mtmount_twisted.frontends.web.http.calls import RequestError
from mtmount_twisted.interfaces import IOtherBridges
from tests.support.children import Child, ChildClock

from .test_service import begin

LOG = logging.getLogger("mtmount_twisted.tests.reading")
LOG.propagate = False
ALL = StreamQuery(Selection(), 100)
ALL_OF_IT = Search(number=1, limit=100)


class Page:
    """A receiver of events."""

    def __init__(self) -> None:
        self.follows = False
        self.events: list[OtherEvent | None] = []

    def show(self, event: OtherEvent) -> None:
        self.events.append(event)

    def note_missing(self) -> None:
        self.events.append(None)

    @property
    def rows(self) -> list[int]:
        """The rows of the events."""
        return [0 if each is None or each.id is None else each.id.row for each in self.events]


def other(row: int, size: int = 1) -> Other:
    """An event of bridge ``a``."""
    id = f"a.1.{row}.{10 * row}"
    entry = Raw(json.dumps({"id": id, "detail": "x" * size}).encode())
    return Other(id=id, entry_type="change", kind="connected", peer="csc", entry=entry)


class ReadingCase(SynchronousTestCase):
    """A service whose child the test plays."""

    def setUp(self) -> None:
        self.reactor = ChildClock()
        self.make(election=True)

    def make(self, **more: Any) -> None:
        """A new service."""
        self.service = BrokerService(begin(**more), LOG, reactor=self.reactor)
        self.others = self.service.others
        self.page = Page()
        self.others.subscribe(self.page)
        self.service.startService()
        self.child.got  # noqa: B018

    @property
    def child(self) -> Child:
        """The last process that was started."""
        return self.reactor.children[-1]

    def restart(self) -> None:
        """The child dies, and another one is started."""
        self.child.ends(9)
        self.reactor.advance(supervisor.MOST_PAUSE)


class FollowingTests(ReadingCase):
    """Events as they come."""

    def setUp(self) -> None:
        super().setUp()
        Asking(self.service).follow(True)

    def test_contract(self) -> None:
        """The web can use it."""
        self.assertTrue(verifyObject(IOtherBridges, self.others))

    def test_events(self) -> None:
        """Each event reaches the page; the child learns a little later how many were taken."""
        self.assertEqual(self.child.got, [Follow(True)])
        self.assertTrue(self.page.follows)
        self.child.says(other(1), other(2))
        self.assertEqual(self.page.rows, [1, 2])
        event = self.page.events[0]
        assert event is not None
        self.assertEqual(event[:3], ("change", "connected", "csc"))
        self.assertEqual((event.id, json.loads(event.text)["id"]), (StreamId("a", 1, 1, 10), "a.1.1.10"))
        self.assertEqual(self.child.got, [])
        self.reactor.advance(PACE)
        self.assertEqual(self.child.got, [Took(2)])
        self.reactor.advance(10 * PACE)
        self.assertEqual(self.child.got, [])

    def test_end_behind_a_word(self) -> None:
        """No timer is left if the child reads again, and the daemon ends before the next word is due."""
        self.child.says(other(1))
        self.others.child_ready()
        self.child.says(other(2))
        self.others.close()
        self.child.got  # noqa: B018
        self.reactor.advance(10 * PACE)
        self.assertEqual([line for line in self.child.got if isinstance(line, Took)], [])

    def test_active(self) -> None:
        """A bridge that commands the mount shows no events of others, also not those on their way."""
        self.others.follow(False)
        self.child.says(other(1), Missing(5))
        self.assertEqual((self.page.events, self.page.follows), ([], False))
        self.reactor.advance(PACE)
        self.assertEqual(self.child.got, [Follow(True), Follow(False), Took(2)])

    def test_unsubscribed(self) -> None:
        """A page that is gone receives nothing; it may be gone twice."""
        for _ in range(2):
            self.others.unsubscribe(self.page)
        self.child.says(other(1))
        self.assertEqual(self.page.events, [])

    def test_late_page(self) -> None:
        """A page that comes later knows that this bridge stands by."""
        page = Page()
        self.others.subscribe(page)
        self.assertTrue(page.follows)

    def test_missing(self) -> None:
        """The page learns of events that the broker has deleted, in their place."""
        self.child.says(other(1), Missing(15), other(2))
        self.assertEqual(self.page.rows, [1, 0, 2])
        self.reactor.advance(PACE)
        self.assertEqual(self.child.got[1:], [Took(3)])

    def test_new_child(self) -> None:
        """Another child goes on behind the last event."""
        self.child.says(other(1), other(2))
        self.restart()
        self.assertIn(Follow(True, 20), self.child.got)
        self.child.says(Missing(25))
        self.restart()
        self.assertIn(Follow(True, 25), self.child.got)
        self.others.follow(False)
        self.others.follow(True)
        self.restart()
        self.assertIn(Follow(True), self.child.got)

    def test_child_that_does_not_read(self) -> None:
        """The child learns what it did not read as soon as it reads again."""
        self.child.got  # noqa: B018
        self.child.link.pauseProducing()
        self.child.says(other(1))
        self.reactor.advance(PACE)
        self.others.follow(False)
        self.assertEqual(self.child.got, [])
        self.child.link.resumeProducing()
        self.assertEqual(self.child.got, [Follow(False), Took(1)])

    def test_long_lines(self) -> None:
        """A full window of the longest events is taken again and again, however long the child has not
        answered a ping; a child that sends more than a window is killed."""
        most = WINDOW // 60_100
        for _ in range(90):
            self.child.says(*(other(number, 60_000) for number in range(most)))
            self.reactor.advance(2 * PACE)
        self.assertEqual((self.child.signals, len(self.page.rows)), ([], 90 * most))
        self.child.says(*(other(number, 60_000) for number in range(most + 1)))
        self.assertEqual(self.child.signals, ["KILL"])

    def test_many_lines(self) -> None:
        """A child that sends more events than a window has is killed, however short they are."""
        self.child.says(*(other(number) for number in range(EVENT_WINDOW)))
        self.assertEqual(self.child.signals, [])
        self.child.says(other(1))
        self.assertEqual(self.child.signals, ["KILL"])

    def test_line_without_an_end(self) -> None:
        """A line that is longer than any event ends the child."""
        self.child.link.dataReceived(b'{"type":"other","entry":"' + b"x" * 80_000)
        self.assertEqual(self.child.signals, ["KILL"])

    def test_malformed(self) -> None:
        """The count of malformed events goes on over the children."""
        for number in (2, 2, 3):
            self.others.note_malformed(number)
        self.restart()
        self.others.note_malformed(1)
        self.assertEqual(self.others.malformed, 4)

    def test_without_events(self) -> None:
        """Without events at the broker the child need not read."""
        self.make(election=True, events=False)
        Asking(self.service).follow(True)
        self.assertEqual((self.child.got, self.page.follows, self.service.shows_others), ([], False, False))

    def test_end(self) -> None:
        """At the end of the daemon no timer is left, and nothing more is shown."""
        self.child.says(other(1))
        self.service.stopService()
        self.others.received(other(2))
        self.child.ends(9)
        self.assertEqual((self.page.rows, self.reactor.getDelayedCalls()), ([1], []))


class SearchTests(ReadingCase):
    """Pages on request."""

    def setUp(self) -> None:
        super().setUp()
        self.child.answers()

    def problem(self, searching: Any) -> RequestError:
        """The reason why there is no page."""
        problem = self.failureResultOf(searching, RequestError).value
        assert isinstance(problem, RequestError)
        return problem

    def test_page(self) -> None:
        """The entries of the child are the page."""
        selection = Selection(frozenset(["step"]), frozenset(["ACK"]), frozenset(["csc"]))
        query = StreamQuery(selection, 7, StreamId("a", 1, 2, 3), None, "since", "until")
        searching = self.others.search(query, "night")
        words = {"types": ["step"], "kinds": ["ACK"], "peers": ["csc"], "since": "since", "until": "until"}
        self.assertEqual(self.child.got, [Search(number=1, limit=7, before="a.1.2.3", **words)])  # type: ignore[arg-type]
        self.child.says(Found(number=1, entry=Raw(b'{"id":"a.1.1.1"}')), Found(number=9, entry=Raw(b"{}")))
        self.assertNoResult(searching)
        self.child.says(Searched(number=9), Searched(number=1, next="a.1.1.1"))
        self.assertEqual(self.successResultOf(searching), StreamPage([b'{"id":"a.1.1.1"}'], "a.1.1.1"))

    def test_refused(self) -> None:
        """The reason of the child is that of the request."""
        searching = self.others.search(ALL, "night")
        self.child.says(Searched(number=1, status=422, problem="no such id"))
        problem = self.problem(searching)
        self.assertEqual((problem.status, str(problem)), (422, "no such id"))

    def search(self, share: str, observes: bool = False) -> Any:
        """A search of a user."""
        return self.others.search(ALL, share, observes)

    @property
    def asked(self) -> list[int]:
        """The numbers of the searches that the child was asked for since the last look."""
        return [line.number for line in self.child.got if isinstance(line, Search)]

    def test_bounds(self) -> None:
        """A user has one search at a time, and there are only so many; the users take turns."""
        searching = [self.search(f"user {number}") for number in range(MOST_AT_WORK)]
        searching += [self.search("user 0"), self.search("another")]
        self.assertEqual(self.asked, [1, 2, 3, 4])
        for _ in range(PER_USER):
            self.assertEqual(self.problem(self.search("user 0")).status, 429)
        self.child.says(Searched(number=1))
        self.successResultOf(searching[0])
        self.assertEqual(self.asked, [6])
        self.child.says(Searched(number=2))
        self.assertEqual(self.asked, [5])
        self.service.stopService()
        for each in searching[2:]:
            self.assertEqual(self.problem(each).status, 503)
        self.child.ends(9)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_observers_leave_places(self) -> None:
        """However many observers search, the others have their places, and go first."""
        for number in range(MOST_AT_WORK):
            self.search(f"observer {number}", True).addErrback(lambda reason: None)
        self.assertEqual(self.asked, [1])
        for number in range(MOST_AT_WORK - 1):
            self.search(f"user {number}")
        self.assertEqual(self.asked, [5, 6, 7])
        self.search("late")
        self.child.says(Searched(number=5), Searched(number=1))
        self.assertEqual(self.asked, [8, 2])

    def test_slow_observer_gives_way(self) -> None:
        """The long search of an observer ends, in the child too, while another one waits; else it goes on."""
        slow = self.search("slow", True)
        self.reactor.pump([SHARED_TIME, 0, 0])
        self.assertNoResult(slow)
        other = self.search("other", True)
        self.child.got  # noqa: B018
        self.reactor.pump([SHARED_TIME, 0, 0])
        self.assertIn("other users waited", str(self.problem(slow)))
        self.assertEqual(self.child.got[-1], Forget(1))
        self.assertNoResult(other)
        self.child.says(Searched(number=1, status=503))
        self.assertEqual(self.asked, [2])
        self.child.says(Searched(number=2))
        self.assertEqual(self.successResultOf(other), StreamPage([], None))

    def test_long_wait(self) -> None:
        """A search that gets no place ends some time."""
        searching = [self.search(f"user {number}") for number in range(MOST_AT_WORK)]
        waiting = self.search("another")
        for _ in range(int(LONGEST_WAIT)):
            self.reactor.advance(1)
            self.child.answers()
        self.assertEqual(self.problem(waiting).status, 503)
        for each in searching:
            self.problem(each)
        self.assertNotIn(5, self.asked)

    def test_late(self) -> None:
        """A search that gets no answer ends; what comes later is dropped."""
        searching = self.others.search(ALL, "night")
        for _ in range(int(SEARCH_TIME)):
            self.reactor.advance(1)
            self.child.answers()
        self.assertIn("does not answer", str(self.problem(searching)))
        self.assertIn(Forget(1), self.child.got)
        self.child.says(Found(number=1, entry=Raw(b"{}")), Searched(number=1))
        self.assertNoResult(self.others.search(ALL, "night").addErrback(lambda reason: None))

    def test_cancelled(self) -> None:
        """A search that nobody needs any more is ended in the child, and keeps its place until then: a user
        that begins searches and closes its connections has one place."""
        for _ in range(10):
            searching = self.search("hasty")
            searching.cancel()
            self.failureResultOf(searching, CancelledError)
        self.assertEqual([line for line in self.child.got if line != Ping(1)][:3], [ALL_OF_IT, Forget(1)])
        again = self.search("hasty")
        self.assertEqual(self.asked, [])
        self.child.says(Searched(number=1, status=503))
        self.assertEqual(self.asked, [11])
        self.child.says(Searched(number=11))
        self.successResultOf(again)

    def test_child_dies(self) -> None:
        """The searches end with the child."""
        searching = self.others.search(ALL, "night")
        self.restart()
        self.assertIn("has ended", str(self.problem(searching)))

    def test_without_the_broker(self) -> None:
        """The reason says that the broker is away."""
        self.child.answers(connected=False, problem="refused")
        self.assertEqual(
            str(self.problem(self.others.search(ALL, "night"))), "the broker is not connected: refused"
        )

    def test_busy_child(self) -> None:
        """A child that does not read is not asked."""
        self.child.link.pauseProducing()
        self.assertIn("busy", str(self.problem(self.others.search(ALL, "night"))))
