"""The events of other bridges on the page of a standby: live, resumed, and past."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.frontends.web.api.history import NO_BROKER, History, Shelf
from mtmount_twisted.frontends.web.events import ring
from mtmount_twisted.frontends.web.events.others import OtherEvent, StreamPage, StreamQuery
from mtmount_twisted.frontends.web.events.ring import Turns
from mtmount_twisted.frontends.web.events.selection import Selection
from mtmount_twisted.frontends.web.events.shapes import StreamId, read_any_id, read_event_id
from mtmount_twisted.frontends.web.http.calls import Call, RequestError, User
from tests.support.feeds import NIGHT, World


def other(row: int, kind: str = "connected", peer: str = "csc") -> OtherEvent:
    """An event of bridge ``a``."""
    id = StreamId("a", 2, row, 10 * row)
    return OtherEvent("change", kind, peer, json.dumps({"id": str(id), "row": row}), id)


class IdTests(SynchronousTestCase):
    """Ids of events."""

    def test_ids(self) -> None:
        """The id of an event of another bridge can't be one of this bridge, whatever that is called."""
        for text, expected in (
            ("3.5", (3, 5)),
            ("a.3.5.7", StreamId("a", 3, 5, 7)),
            ("1.3.5.7", StreamId("1", 3, 5, 7)),
            ("a-_9.3.5.7", StreamId("a-_9", 3, 5, 7)),
        ):
            self.assertEqual(read_any_id(text), expected)
        self.assertEqual(str(StreamId("a", 3, 5, 7)), "a.3.5.7")
        for text in (
            "",
            "a.3.5",
            "3.5.7",
            "a.3.5.7.9",
            "a.b.3.5.7",
            "é.3.5.7",
            f"a.1.{2**63}.1",
            "a.1.1.\u0661",
        ):
            self.assertRaises(ValueError, read_any_id, text)
        self.assertRaises(ValueError, read_event_id, "a.3.5.7")


class LiveTests(SynchronousTestCase):
    """The ring and the streams of a standby."""

    def setUp(self) -> None:
        self.world = World(self, max_rows=20)
        self.addCleanup(self.world.stop)
        self.feed = self.world.feed
        self.feed.follows = True

    def rows(self, reader: Any) -> list[int]:
        """The rows of the other bridge's events that a reader has."""
        return [data["row"] for data in reader.named("change") if "row" in data]

    def test_live(self) -> None:
        """Events of other bridges come between those of this one, each with its id."""
        reader = self.world.read()
        self.feed.show(other(1))
        self.world.record()
        self.feed.show(other(2))
        self.world.write()
        self.world.wait()
        ids = [event.id for event in reader.events[1:]]
        self.assertEqual(ids, ["a.2.1.10", self.world.id_of(1), "a.2.2.20"])

    def test_selection(self) -> None:
        """They are selected as those of this bridge are; what the broker lacks is told to all."""
        reader = self.world.read(kind="link_up", peer="csc")
        for each in (other(1), other(2, "link_up"), other(3, "link_up", "eui")):
            self.feed.show(each)
        self.feed.note_missing()
        self.world.wait()
        self.assertEqual(self.rows(reader), [2])
        gone = {"rows": None, "after": "a.2.3.30", "before": None, "why": ring.NO_LONGER_STORED}
        self.assertEqual(reader.named("gone"), [gone])

    def test_missing_first(self) -> None:
        """The broker may lack events before the first one that came."""
        reader = self.world.read()
        self.feed.note_missing()
        self.world.wait()
        self.assertEqual([gone["after"] for gone in reader.named("gone")], [None])

    def test_resumes(self) -> None:
        """A reader resumes after any event, of either bridge, with no event missing or doubled."""
        for number in range(1, 5):
            self.feed.show(other(number))
            self.world.record()
            self.world.write()
        ids = [
            id for number in range(1, 5) for id in (f"a.2.{number}.{10 * number}", self.world.id_of(number))
        ]
        for number, last in enumerate(ids):
            reader = self.world.read(last)
            self.world.wait()
            self.assertEqual([event.id for event in reader.events[1:]], ids[number + 1 :])
            self.assertEqual(reader.named("hello")[0]["last_id"], ids[-1])
            reader.leave()

    def test_moves_to_active(self) -> None:
        """A reader that has an event of the former active bridge goes on with those of this one."""
        self.feed.show(other(1))
        self.feed.follows = False
        self.world.record(2)
        self.world.write()
        reader = self.world.read("a.2.1.10")
        self.world.wait()
        self.assertEqual(reader.sequence_ids, [1, 2])

    def test_gone(self) -> None:
        """An event of another bridge that memory no longer holds is the place from which history goes on."""
        for number in range(1, 31):
            self.feed.show(other(number))
        for last in ("a.2.10.100", "c.2.15.150", "a.3.15.150", "a.2.99.990"):
            reader = self.world.read(last)
            self.world.wait()
            gone = {"rows": None, "after": last, "before": "a.2.11.110", "why": ring.NOT_IN_MEMORY}
            self.assertEqual(reader.named("gone"), [gone])
            self.assertEqual(self.rows(reader), list(range(11, 31)))
            reader.leave()

    def test_own_id_is_gone(self) -> None:
        """No place of history has all that came after an event of this bridge."""
        self.world.record()
        self.world.write()
        last = self.world.id_of(1)
        for number in range(1, 31):
            self.feed.show(other(number))
        reader = self.world.read(last)
        self.world.wait()
        gone = {"rows": None, "after": None, "before": "a.2.11.110", "why": ring.NOT_IN_MEMORY}
        self.assertEqual((reader.named("gone"), self.rows(reader)), ([gone], list(range(11, 31))))
        self.feed.follows = False
        self.world.record(2)
        self.world.write()
        for number, gones in ((1, [None]), (2, [])):
            reader = self.world.read(self.world.id_of(number))
            self.world.wait()
            self.assertEqual([gone["after"] for gone in reader.named("gone")], gones)

    def test_too_much_at_once(self) -> None:
        """What a reader missed is behind the last event of the other bridge that it has."""
        reader = self.world.read()
        self.feed.show(other(1))
        self.world.wait()
        for number in range(2, 52):
            self.feed.show(other(number))
        self.world.wait()
        [gone] = reader.named("gone")
        self.assertEqual((gone["rows"], gone["after"], gone["before"]), (30, "a.2.1.10", "a.2.32.320"))
        self.assertEqual(self.rows(reader), [1, *range(32, 52)])

    def test_broker_that_lost_its_last_events(self) -> None:
        """Positions may go back: then a reader gets the place from which history goes on."""
        first = StreamId("a", 2, 1, 500)
        self.feed.show(OtherEvent("change", "k", "", '{"row":1}', first))
        self.feed.show(other(2))
        reader = self.world.read("a.2.2.20")
        self.world.wait()
        self.assertEqual([gone["after"] for gone in reader.named("gone")], ["a.2.2.20"])


class Others:
    """The events at the broker."""

    malformed = 0

    def __init__(self, follows: bool) -> None:
        self.follows = follows
        self.asked: list[tuple[StreamQuery, str]] = []
        self.problem: Exception | None = None

    def subscribe(self, receiver: Any) -> None:
        """Nothing comes."""

    def unsubscribe(self, receiver: Any) -> None:
        """Nothing comes."""

    def search(self, query: StreamQuery, share: str, observes: bool = False) -> Deferred[StreamPage]:
        """The one page."""
        self.asked.append((query, share))
        self.observes = observes
        if self.problem is not None:
            return fail(self.problem)
        return succeed(StreamPage([b'{"id":"a.1.2.3"}'], "a.1.2.3"))


class HistoryTests(SynchronousTestCase):
    """``/api/v1/messages`` of a standby."""

    def history(self, others: Others | None) -> None:
        """A route."""
        clock = Clock()
        self.others = others
        shelf = Shelf(None, clock)
        self.route = History(shelf, Turns(clock), lambda: 1_700_000_000.0, DIALECT, others=others)

    def ask(self, **query: str) -> Any:
        """What comes of a request."""
        (route,) = self.route.routes()
        answering: Any = route.respond(Call(NIGHT, query=query))
        return Deferred.fromCoroutine(answering)

    def page(self, **query: str) -> Any:
        """A page."""
        return json.loads(self.successResultOf(self.ask(**query)).body)

    def problem(self, **query: str) -> RequestError:
        """The reason why there is no page."""
        problem = self.failureResultOf(self.ask(**query), RequestError).value
        assert isinstance(problem, RequestError)
        return problem

    def test_standby(self) -> None:
        """A standby asks the broker, unless the query names the journal."""
        self.history(Others(True))
        page = self.page(kind="step", limit="7", since="2026-11-22T00:00:00Z", until="2026-11-23T00:00:00Z")
        self.assertEqual(page, {"entries": [{"id": "a.1.2.3"}], "next": "a.1.2.3"})
        assert self.others is not None
        [(query, _)] = self.others.asked
        times = "2026-11-22T00:00:00.000Z", "2026-11-23T00:00:00.000Z"
        self.assertEqual(query, StreamQuery(Selection(frozenset(["step"])), 7, None, None, *times))
        for own in ({"where": "journal"}, {"before": "1.2"}, {"after": "1.2"}):
            self.assertIn("the journal is disabled", str(self.problem(**own)))

    def test_observer(self) -> None:
        """The search of an observer is one, and so comes after those of users with rights."""
        self.history(Others(True))
        (route,) = self.route.routes()
        for roles in (["observe"], ["observe", "stop"]):
            answering: Any = route.respond(Call(User("night", frozenset(roles), None)))
            self.successResultOf(Deferred.fromCoroutine(answering))
            assert self.others is not None
            self.assertEqual(self.others.observes, roles == ["observe"])

    def test_strange_times(self) -> None:
        """A time before all calendars, or after them, is the first or the last one that has a date."""
        self.history(Others(True))
        assert self.others is not None
        for text in ("9999999 week ago", f"{'9' * 300} d", f"{'9' * 400} d", "0001-01-01T00:00:00+14:00"):
            self.page(since=text)
            self.assertEqual(self.others.asked[-1][0].since, "0001-01-01T00:00:00.000Z", text)
        self.page(until="9999-12-31T23:59:59-12:00")
        self.assertEqual(self.others.asked[-1][0].until, "9999-12-31T23:59:59.000Z")

    def test_active(self) -> None:
        """An active bridge reads its journal, unless the query names the broker or an event there."""
        self.history(Others(False))
        self.assertIn("the journal is disabled", str(self.problem()))
        id = StreamId("a", 1, 2, 3)
        for query in ({"where": "broker"}, {"before": str(id)}, {"after": str(id)}):
            self.assertEqual(self.page(**query)["next"], str(id))
        assert self.others is not None
        ids = [(query.before, query.after) for query, _ in self.others.asked]
        self.assertEqual(ids, [(None, None), (id, None), (None, id)])

    def test_faults(self) -> None:
        """A query that the broker can't answer is refused with each reason."""
        self.history(Others(True))
        for query, where in (
            ({"command": "Enable", "outcome": "done"}, {"query.command", "query.outcome"}),
            ({"where": "there"}, {"query.where"}),
            ({"where": "journal", "after": "a.1.2.3"}, {"query.where"}),
            ({"where": "broker", "before": "1.2"}, {"query.where"}),
            ({"before": "a.1.2.3", "after": "a.1.2.3"}, {"query.after"}),
            ({"after": "a.1.2"}, {"query.after"}),
        ):
            problem = self.problem(**query)
            self.assertEqual({fault.where for fault in problem.faults}, where, query)

    def test_broker_is_away(self) -> None:
        """The reason reaches the reader."""
        self.history(Others(True))
        assert self.others is not None
        self.others.problem = RequestError(503, "the broker is not connected")
        self.assertEqual(str(self.problem()), "the broker is not connected")

    def test_without_an_election(self) -> None:
        """A bridge alone has no events of others."""
        self.history(None)
        for query in ({"where": "broker"}, {"after": "a.1.2.3"}):
            problem = self.problem(**query)
            self.assertEqual((problem.status, str(problem)), (503, NO_BROKER))
