"""History in pages: `mtmount_twisted.frontends.web.api.history`."""

from __future__ import annotations

import gzip
import json
import sqlite3
import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.api import history
from mtmount_twisted.frontends.web.api.fair_places import FOR_OBSERVERS, GAVE_WAY, PER_USER, SHARED_TIME
from mtmount_twisted.frontends.web.api.history import (
    LONGEST_WAIT,
    MAX_LIMIT,
    PATIENCE,
    History,
    Shelf,
)
from mtmount_twisted.frontends.web.events.ring import Turns
from mtmount_twisted.frontends.web.http.calls import Call, RequestError, User
from mtmount_twisted.journal import reading
from mtmount_twisted.journal.reading import JournalError
from mtmount_twisted.net.threads import NoThreadError
from tests.support.feeds import NIGHT
from tests.support.folders import scratch_folder
from tests.support.journals import SessionCase, spoil_schema
from tests.support.threads import no_threads


def count_for_ever(db: sqlite3.Connection, go_on: Callable[[], None]) -> None:
    """A query that never ends by itself."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    db.execute(f"{numbers} SELECT max(i) FROM n").fetchall()


class HistoryTests(SessionCase):
    """A journal that holds a short night."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.threads: list[Any] = []
        self.shelf = Shelf(self.path, self.clock, maybeDeferred, self.clock.seconds)
        self.history = History(self.shelf, Turns(self.clock), lambda: self.now, DIALECT)

    def ask(self, user: User = NIGHT, accepted: str = "", **query: str) -> Any:
        """What comes of a request."""
        (route,) = self.history.routes()
        call = Call(user, query=query, headers={"accept-encoding": accepted})
        answering: Any = Deferred.fromCoroutine(route.respond(call))  # type: ignore[arg-type]
        self.clock.advance(0)
        return answering

    def page(self, **query: str) -> dict[str, Any]:
        """A page."""
        body: dict[str, Any] = json.loads(self.successResultOf(self.ask(**query)).body)
        return body

    def entries(self, **query: str) -> list[dict[str, Any]]:
        """The entries of a page."""
        found: list[dict[str, Any]] = self.page(**query)["entries"]
        return found

    def faults_of(self, **query: str) -> dict[str, str]:
        """What is wrong with a request."""
        problem = self.failureResultOf(self.ask(**query), RequestError).value
        self.assertEqual(problem.status, 422)
        return {fault.where: fault.why for fault in problem.faults}

    def test_all(self) -> None:
        """With nothing asked for, the last entries come, the last first, as live events look."""
        page = self.page()
        self.assertEqual((len(page["entries"]), page["next"]), (23, None))
        self.assertEqual(page["entries"][0]["kind"], "link_down")
        self.assertEqual({entry["type"] for entry in page["entries"]}, {"message", "step", "change"})
        ids = [int(entry["id"].split(".")[1]) for entry in page["entries"]]
        self.assertEqual(ids, sorted(ids, reverse=True))

    def test_pages_backwards(self) -> None:
        """With `next` as `before`, pages hold each entry once, down to the first."""
        found, query = [], {"limit": "7"}
        while True:
            page = self.page(**query)
            found += page["entries"]
            if page["next"] is None:
                break
            query["before"] = page["next"]
        self.assertEqual(found, self.entries())

    def test_pages_forwards(self) -> None:
        """With `after`, entries come the first first, and `next` goes on; its end is the file's."""
        everything = self.entries()[::-1]
        found, query = [everything[0]], {"limit": "5", "after": everything[0]["id"]}
        while True:
            page = self.page(**query)
            found += page["entries"]
            if page["next"] is None:
                break
            query["after"] = page["next"]
        self.assertEqual(found, everything)

    def test_by_peer_and_kind(self) -> None:
        """Peers, types and kinds select as they do for live events."""
        self.assertEqual({entry["peer"] for entry in self.entries(peer="EUI")}, {"EUI"})
        self.assertEqual({entry["type"] for entry in self.entries(kind="step")}, {"step"})
        kinds = {entry.get("kind", entry["type"]) for entry in self.entries(kind="ACK,step")}
        self.assertEqual(kinds, {"ACK", "step"})
        self.assertEqual(len(self.entries(kind="AZIMUTH_AXIS_MOVE", peer="CSC")), 5)

    def test_by_kind_of_change(self) -> None:
        """Changes of one kind can be had by its name, however many messages lie between them."""
        kinds = ("lease_granted", "lease_released")
        for kind in kinds:
            self.records.change(kind, "CSC", 1, "lease 1")
        self.writer.turn()
        self.assertEqual([entry["kind"] for entry in self.entries(kind=",".join(kinds))], list(kinds[::-1]))
        found = {entry.get("kind", entry["type"]) for entry in self.entries(kind="ACK,lease_granted,step")}
        self.assertEqual(found, {"ACK", "lease_granted", "step"})
        self.assertEqual(len(self.entries(kind="lease_granted,change")), 5)
        with patch.object(history, "MAX_SCANNED", 5):  # no other rows are looked at
            self.assertEqual([entry["kind"] for entry in self.entries(kind="started")], ["started"])
        self.assertIn("a change such as lease_granted", self.faults_of(kind="lease_taken")["query.kind"])

    def test_by_time(self) -> None:
        """Times are as `mtmount-journal` takes them."""
        self.assertEqual(len(self.entries(until="2026-11-22T16:04:30")), 14)
        self.assertEqual(len(self.entries(since="30 s ago")), 9)
        self.assertEqual(self.entries(since="16:04", until="16:04:03"), [])

    def test_by_command_and_outcome(self) -> None:
        """All that belongs to a command can be had, by its name in any spelling, or by how it ended."""
        for name in ("BothAxesStop", "both_axes_stop", "32"):
            self.assertEqual(len(self.entries(command=name)), 3)
        self.assertEqual(len(self.entries(outcome="failed")), 3)
        self.assertEqual(len(self.entries(outcome="refused,done")), 13)

    def test_runs_in_two_dialects(self) -> None:
        """A name is that of a command in the controller's dialect; a number is a code in every dialect."""
        for dialect in ("tma2020", "tma2022"):
            self.keeper.close()
            self.open(dialect=dialect)
            self.records.step(1001, "received", "CSC", 1, 7, 31, 1)
            self.writer.turn()
        for name, commands in (
            ("BothAxesTrack", ["BothAxesTrack"]),
            ("31", ["BothAxesPower", "BothAxesTrack"]),
        ):
            self.assertEqual([entry["command"] for entry in self.entries(command=name)], commands)

    def test_unknown_dialect(self) -> None:
        """A page that reaches a run in a dialect that nobody knows is refused, and names both."""
        self.change("UPDATE run_dialect SET dialect = 'tma2031'")
        problem = self.failureResultOf(self.ask(), RequestError).value
        self.assertEqual(problem.status, 503)
        self.assertIn("run 1 is in the dialect 'tma2031', which this program does not know", str(problem))

    def test_all_faults_at_once(self) -> None:
        """Every parameter that is wrong is told, with what was expected."""
        wrong = {"since": "noon", "until": "x", "limit": "1001", "before": "7", "after": "x.y"}
        wrong |= {"command": "dance", "outcome": "good", "kind": "bogus", "peer": "", "colour": "red"}
        faults = self.faults_of(**wrong)
        self.assertEqual(set(faults), {f"query.{name}" for name in wrong})
        for name, why in faults.items():
            self.assertIn("expected", why, name)

    def test_faults_of_two(self) -> None:
        """What is wrong only together is told, too."""
        self.assertEqual(set(self.faults_of(before="1.1", after="1.2")), {"query.after"})
        self.assertEqual(set(self.faults_of(since="16:05", until="16:04")), {"query.until"})
        self.assertEqual(set(self.faults_of(kind="request")), {"query.kind"})
        for limit in ("0", "-1", "x", "1e2", "\u0661", ""):
            self.assertEqual(set(self.faults_of(limit=limit)), {"query.limit"})

    def test_bounds_of_a_page(self) -> None:
        """A page ends after so many bytes or rows looked at, and the next one goes on."""
        for name, value in (("MAX_PAGE_BYTES", 60), ("MAX_SCANNED", 4)):
            with patch.object(history, name, value):
                found, query = [], {"peer": "CSC", "limit": str(MAX_LIMIT)}
                for _ in range(30):
                    page = self.page(**query)
                    found += page["entries"]
                    if page["next"] is None:
                        break
                    query["before"] = page["next"]
            self.assertEqual(found, self.entries(peer="CSC"))

    def test_texts_count(self) -> None:
        """The texts of events and steps count as the lines do."""
        whole = self.page(limit=str(MAX_LIMIT), kind="change")
        self.assertGreater(len(whole["entries"]), 2)
        with patch.object(history, "MAX_PAGE_BYTES", 1):
            page = self.page(limit=str(MAX_LIMIT), kind="change")
        self.assertLess(len(page["entries"]), len(whole["entries"]))
        self.assertIsNotNone(page["next"])

    def test_rare_kinds_end_too(self) -> None:
        """A page that finds nothing in the rows it may look at is empty, and says where to go on."""
        with patch.object(history, "MAX_SCANNED", 3):
            page = self.page(kind="ERROR")
        self.assertEqual(page["entries"], [])
        self.assertIsNotNone(page["next"])

    def test_commands_that_are_passed_over_count(self) -> None:
        """Rows of other commands than those asked for count as looked at, for the bound and for the rests."""
        query = {"command": "both_axes_stop", "kind": "ERROR"}
        rests: list[float] = []
        self.history = History(
            self.shelf, Turns(self.clock), lambda: self.now, DIALECT, lambda: rests.append(self.now)
        )
        with patch.object(history, "REST_ROWS", 2):
            self.assertEqual(self.entries(**query), [])
        self.assertGreaterEqual(len(rests), len(self.entries()) // 2)
        with patch.object(history, "MAX_SCANNED", 3), patch.object(reading, "RANGE_ROWS", 0):
            page = self.page(**query)
        self.assertEqual(page["entries"], [])
        self.assertIsNotNone(page["next"])

    def test_commands_that_are_found_count(self) -> None:
        """The commands that fit are looked at before their rows, with rests, too."""
        rests: list[float] = []
        self.history = History(
            self.shelf, Turns(self.clock), lambda: self.now, DIALECT, lambda: rests.append(self.now)
        )
        self.patch(history, "REST_ROWS", 1)
        rows = len(self.entries())
        self.assertEqual(len(rests), rows)
        rests.clear()
        found = self.entries(command="both_axes_stop")
        commands = {entry["key"] for entry in found if entry["type"] == "step"}
        self.assertEqual(len(rests), rows + len(commands))

    def test_commands_are_found_in_pieces(self) -> None:
        """Pages by command are the same in each size of the piece in which commands are searched for."""
        for query in (
            {"outcome": "done"},
            {"command": "both_axes_stop"},
            {"outcome": "failed", "peer": "EUI"},
        ):
            whole = self.entries(**query)
            with (
                patch.object(reading, "RANGE_IDS", 4),
                patch.object(reading, "NEAR", 3),
                patch.object(history, "MAX_SCANNED", 3),
            ):
                for name, found in (("before", whole), ("after", whole[::-1])):
                    entries, asked = [], {name: "1.999999999999999" if name == "before" else "1.1"}
                    for _ in range(60):
                        page = self.page(**query, **asked)
                        entries += page["entries"]
                        if page["next"] is None:
                            break
                        asked[name] = page["next"]
                    self.assertEqual((entries, page["next"]), (found, None))

    def test_commands_in_memory_are_bounded(self) -> None:
        """However many commands fit, only those near the rows of the page are looked at."""
        for key in range(2000, 2300):
            self.records.step(key, "received", "CSC", 1, key, 103, 1)
            self.records.step(key, "done", "CSC", 1, key, 103, 1)
        self.writer.turn()
        rests: list[float] = []
        self.history = History(
            self.shelf, Turns(self.clock), lambda: self.now, DIALECT, lambda: rests.append(self.now)
        )
        self.patch(history, "REST_ROWS", 1)
        self.patch(reading, "RANGE_IDS", 20)
        self.patch(reading, "NEAR", 5)
        self.assertEqual(len(self.entries(outcome="done", limit="5")), 5)
        self.assertLess(len(rests), 40)

    def test_late_in_python(self) -> None:
        """A reading that takes too long, or that nobody waits for, ends in Python's part, too."""
        self.patch(history, "REST_ROWS", 1)
        times = iter(range(1000))
        self.shelf = Shelf(self.path, self.clock, maybeDeferred, lambda: float(next(times)))
        self.history = History(self.shelf, Turns(self.clock), lambda: self.now, DIALECT, lambda: None)
        problem = self.failureResultOf(self.ask(), RequestError).value
        self.assertIn("interrupted", problem.title)
        self.assertLess(next(times), PATIENCE + 5)

    def test_bytes_of_json(self) -> None:
        """A page ends where its JSON is long, and the next one goes on."""
        everything = self.entries()
        self.patch(history, "MAX_BODY_BYTES", 1000)
        found, query = [], {"limit": str(MAX_LIMIT)}
        for _ in range(60):
            answer = self.successResultOf(self.ask(**query))
            self.assertLess(len(answer.body), 1100)
            page = json.loads(answer.body)
            found += page["entries"]
            if page["next"] is None:
                break
            query["before"] = page["next"]
        self.assertEqual(found, everything)

    def test_schema_in_another_encoding(self) -> None:
        """SQLite's error text about a schema that is not UTF-8 is told as damage."""
        self.keeper.close()
        spoil_schema(self.path)
        problem = self.failureResultOf(self.ask(), RequestError).value
        self.assertEqual(problem.status, 503)
        self.assertIn("malformed database schema", problem.title)

    def test_no_thread(self) -> None:
        """If the system can't start a thread, a query says so, and a page is not compressed."""
        self.history = History(Shelf(self.path, self.clock), Turns(self.clock), lambda: self.now, DIALECT)
        with no_threads():
            problem = self.failureResultOf(self.ask(), RequestError).value
        self.assertEqual(problem.status, 503)
        self.assertIn("the journal can't be read: the system can't start a thread", problem.title)
        begun: list[Any] = []

        def first_alone(work: Any) -> Deferred[Any]:
            begun.append(work)
            return maybeDeferred(work) if len(begun) == 1 else fail(NoThreadError())

        shelf = Shelf(self.path, self.clock, first_alone, self.clock.seconds)
        self.history = History(shelf, Turns(self.clock), lambda: self.now, DIALECT)
        answer = self.successResultOf(self.ask(accepted="gzip"))
        self.assertEqual((answer.status, answer.gzipped, len(begun)), (200, None, 2))

    def test_compressed_in_a_thread(self) -> None:
        """A page for a reader that takes gzip is compressed in a thread; for another it is not."""
        in_threads: list[Any] = []

        def in_thread(work: Any) -> Deferred[Any]:
            return maybeDeferred(work).addCallback(lambda result: in_threads.append(result) or result)

        self.history = History(
            Shelf(self.path, self.clock, in_thread, self.clock.seconds),
            Turns(self.clock),
            lambda: self.now,
            DIALECT,
        )
        answer = self.successResultOf(self.ask(accepted="gzip"))
        self.assertEqual(in_threads[1:], [answer.gzipped])
        self.assertEqual(gzip.decompress(answer.gzipped), answer.body)
        self.assertEqual((answer.body.count(b"\n"), answer.body[-1:]), (1, b"\n"))
        self.assertIsNone(self.successResultOf(self.ask()).gzipped)
        self.assertIsNone(self.successResultOf(self.ask(accepted="gzip", limit="1")).gzipped)

    def test_compression_waits_for_no_query(self) -> None:
        """A page is compressed and sent though its user's next query hangs."""
        begun = self.hold_threads()
        first, second = self.ask(accepted="gzip"), self.ask()
        self.end(*begun[0])
        self.clock.pump([0, 0])
        _reading, compressing = begun[1:]
        self.end(*compressing)
        self.assertEqual(gzip.decompress(self.successResultOf(first).gzipped)[:11], b'{"entries":')
        self.assertNoResult(second)

    def test_off(self) -> None:
        """With no journal, the answer says how to have one."""
        self.shelf.path = None
        problem = self.failureResultOf(self.ask(), RequestError).value
        self.assertEqual(problem.status, 503)
        self.assertIn("[journal]", problem.title)

    def test_damaged(self) -> None:
        """A journal that can't be read is told with the reason."""
        self.keeper.close()
        self.path.write_bytes(b"rubbish" * 1000)
        self.assertEqual(self.failureResultOf(self.ask(), RequestError).value.status, 503)
        self.path.unlink()
        problem = self.failureResultOf(self.ask(), RequestError).value
        self.assertIn("there is no journal", problem.title)

    def test_too_many_at_once(self) -> None:
        """A user has so many queries at once, until one is read, also if nobody waits for it any more."""
        waiting = self.hold_threads()
        asked = [self.ask() for _ in range(PER_USER)]
        problem = self.failureResultOf(self.ask(), RequestError).value
        self.assertEqual((problem.status, problem.headers), (429, {"Retry-After": "1"}))
        self.assertNoResult(self.ask(User("other", frozenset(["observe"]), Source.CSC)))
        asked[0].cancel()
        self.failureResultOf(asked[0])
        self.assertEqual(self.failureResultOf(self.ask(), RequestError).value.status, 429)
        self.end(*waiting[0])
        self.assertNoResult(self.ask())

    def test_no_place_for_what_nobody_waits_for(self) -> None:
        """While the disk hangs, a query that is out of time, or whose reader went, takes no place."""
        begun = self.hold_threads()
        late = [self.ask() for _ in range(PER_USER)]
        for _ in range(3):
            self.clock.pump([LONGEST_WAIT / 2, 0, 0])
        for each in late:
            self.assertEqual(self.failureResultOf(each, RequestError).value.status, 503)
        self.assertEqual(len(begun), 1, "the first hangs to this day")
        gone = self.ask()
        self.assertNoResult(gone)
        gone.cancel()
        self.failureResultOf(gone)
        self.assertNoResult(self.ask())

    def hold_threads(self, now: Callable[[], float] | None = None) -> list[tuple[Deferred[Any], Any]]:
        """Have readings begin and not end: each, with what it calls."""
        begun: list[tuple[Deferred[Any], Any]] = []

        def in_thread(work: Any) -> Deferred[Any]:
            begun.append((Deferred(), work))
            return begun[-1][0]

        self.shelf = Shelf(self.path, self.clock, in_thread, now or self.clock.seconds)
        self.history = History(self.shelf, Turns(self.clock), lambda: self.now, DIALECT)
        return begun

    def end(self, ending: Deferred[Any], work: Any) -> None:
        """A reading ends."""
        maybeDeferred(work).addErrback(lambda reason: None).chainDeferred(ending)

    def test_another_user_does_not_wait(self) -> None:
        """However slow the queries of some users are, another's begins at once."""
        begun = self.hold_threads()
        watchers = [User(name, frozenset(["observe", "stop"]), Source.CSC) for name in ("wall", "desk")]
        slow = [self.ask(watcher) for watcher in watchers for _ in range(PER_USER)]
        self.assertEqual(len(begun), len(watchers), "one of each is read")
        other = self.ask()
        self.end(*begun[-1])
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(other).status, 200)
        for each in slow:
            self.assertNoResult(each)

    def test_slow_observers_leave_a_thread(self) -> None:
        """However many observers have slow queries, one of a user with rights begins at once."""
        begun = self.hold_threads()
        for name in "abcde":
            self.ask(User(name, frozenset(["observe"]), Source.CSC))
        self.assertEqual(len(begun), FOR_OBSERVERS)
        other = self.ask(User("stopper", frozenset(["observe", "stop"]), Source.CSC))
        self.assertEqual(len(begun), FOR_OBSERVERS + 1)
        self.end(*begun[-1])
        self.clock.pump([0, 0])
        self.assertEqual(self.successResultOf(other).status, 200)

    def test_slow_observer_gives_way(self) -> None:
        """A slow query of an observer ends after a second, if another user waits for a thread by then."""
        cut = "interrupted"
        for others, observes, why in ((0, True, cut), (FOR_OBSERVERS, True, GAVE_WAY), (9, False, cut)):
            times = iter(range(100))
            begun = self.hold_threads(lambda times=times: next(times) * SHARED_TIME)  # type: ignore[misc]
            reading = Deferred.fromCoroutine(self.shelf.read(count_for_ever, "wall", observes))
            for number in range(others):
                Deferred.fromCoroutine(self.shelf.read(count_for_ever, f"{number}", observes=True))
            ending, work = begun[0]
            maybeDeferred(work).chainDeferred(ending)
            self.assertIn(why, str(self.failureResultOf(reading, JournalError).value))
            self.assertEqual(next(times) < PATIENCE / 2, why == GAVE_WAY)

    def test_without_tokens_each_address_has_its_own(self) -> None:
        """Where all are one user, an address with slow queries keeps no other from its own."""
        begun = self.hold_threads()
        anyone = User("anyone", frozenset(["observe", "stop", "command"]), Source.CSC)
        for network in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
            (route,) = self.history.routes()
            Deferred.fromCoroutine(route.respond(Call(anyone, network=network)))  # type: ignore[arg-type]
        self.assertEqual(len(begun), 2)

    def test_rests(self) -> None:
        """A thread that looks at many rows rests now and then, so that the reactor's thread has its turn."""
        rests: list[float] = []
        self.history = History(
            self.shelf, Turns(self.clock), lambda: self.now, DIALECT, lambda: rests.append(self.now)
        )
        self.patch(history, "REST_ROWS", 2)
        self.entries(kind="code 12345")
        self.assertGreater(len(rests), 1)

    def test_wait_for_a_thread(self) -> None:
        """A query that gets no thread, because all of them hang, ends all the same."""
        self.hold_threads()
        users = [User(name, frozenset(["observe"]), Source.CSC) for name in "abcd"]
        asked = [self.ask(user) for user in users]
        for _ in range(3):
            self.clock.pump([LONGEST_WAIT / 2, 0, 0])
        for each in asked:
            self.assertEqual(self.failureResultOf(each, RequestError).value.status, 503)

    def test_patience(self) -> None:
        """A reading that takes too long, or that nobody waits for when the daemon ends, is ended."""
        loop = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

        def late() -> float:
            self.now += 1
            return self.now

        self.shelf = Shelf(self.path, self.clock, maybeDeferred, late)
        reading = Deferred.fromCoroutine(self.shelf.read(lambda db, _: db.execute(loop).fetchone(), "a"))
        self.assertIn("interrupted", str(self.failureResultOf(reading, JournalError).value))
        self.shelf.close()
        reading = Deferred.fromCoroutine(self.shelf.read(lambda db, _: None, "a"))
        self.assertIn("ends", str(self.failureResultOf(reading, JournalError).value))

    def test_disk_hangs(self) -> None:
        """Who asks is told in time when the disk does not even give the thread the file."""
        self.shelf = Shelf(self.path, self.clock, lambda work: Deferred(), self.clock.seconds)
        reading = Deferred.fromCoroutine(self.shelf.read(lambda db, _: None, "a"))
        self.clock.pump([PATIENCE, 1, 0, 0])
        self.assertIn("within 10 s", str(self.failureResultOf(reading, JournalError).value))


class ThreadTests(TestCase):
    """The real threads."""

    async def test_in_a_thread(self) -> None:
        """The file is read in a thread that is not the reactor's."""
        from twisted.internet import reactor

        shelf = Shelf(scratch_folder(self) / "none.sqlite", reactor)
        self.addCleanup(shelf.close)
        found = await shelf.in_thread(threading.current_thread)
        self.assertIsNot(found, threading.current_thread())
        self.assertTrue(found.daemon, "or Python would wait for a disk that hangs")
        with self.assertRaises(JournalError):
            await shelf.read(lambda db, _: None, "a")

    async def test_disk_hangs(self) -> None:
        """A thread that hangs does not hold up the end of the shelf."""
        from twisted.internet import reactor

        hangs: Deferred[None] = Deferred()
        may_go_on = threading.Event()
        self.addCleanup(may_go_on.set)

        def work() -> None:
            reactor.callFromThread(hangs.callback, None)  # type: ignore[attr-defined]
            may_go_on.wait()

        shelf = Shelf(None, reactor)
        reading = shelf.in_thread(work)
        await hangs
        shelf.close()
        self.assertNoResult(reading)
        may_go_on.set()
        await reading


class ShelfTests(SynchronousTestCase):
    """A shelf that was never used."""

    def test_close(self) -> None:
        """It can be closed, and twice."""
        shelf = Shelf(None, Clock())
        for _ in range(2):
            shelf.close()
