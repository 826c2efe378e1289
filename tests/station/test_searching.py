"""Pages of the events of all bridges, with a broker in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.broker.words import MAX_PAGE, Forget, Found, Search, Searched
from mtmount_twisted.journal.times import iso
from mtmount_twisted.station import searching as searching_module
from mtmount_twisted.station.events import Source
from mtmount_twisted.station.searching import Searching
from tests.support.broker import on_stage
from tests.support.stream_events import DIALECT, START, Station, change, step


class Stage(Station):
    """The part of the child of bridge ``b``."""

    def __init__(self) -> None:
        super().__init__()
        self.searching = Searching(self.log, Source("t1", "b"), DIALECT, self.deliver)
        self.task = asyncio.create_task(self.searching.run())
        self.number = 0

    async def search(self, limit: int = 100, **query: Any) -> tuple[list[str], Any]:
        """The ids of a page, and the end of the page."""
        self.number += 1
        self.lines.clear()
        self.searching.add(Search(number=self.number, limit=limit, **query))
        await self.until(lambda: self.lines and isinstance(self.lines[-1], Searched))
        *found, end = self.lines
        assert all(isinstance(line, Found) and line.number == self.number for line in found)
        return [json.loads(bytes(line.entry))["id"] for line in found], end

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.engine.close()

    async def all(self, **query: Any) -> list[str]:
        """The ids of all pages: from the first one with `after`, else back from the last event."""
        word = "after" if "after" in query else "before"
        ids: list[str] = []
        while True:
            found, end = await self.search(**query)
            assert not end.status, end
            ids += found
            if end.next is None:
                return ids
            query[word] = end.next


class SearchingTests(SynchronousTestCase):
    """Pages."""

    def on_stage(self, test: Callable[[Stage], Awaitable[None]]) -> None:
        """Run a test."""
        on_stage(Stage, test)

    def test_empty(self) -> None:
        """A stream without events has one empty page."""

        async def test(stage: Stage) -> None:
            self.assertEqual(await stage.search(), ([], Searched(number=1)))

        self.on_stage(test)

    def test_pages(self) -> None:
        """Pages go back from the end and on from an event, whatever is between in the stream."""

        self.patch(searching_module, "FIRST_WINDOW", 8)

        async def test(stage: Stage) -> None:
            for number in range(1, 61):
                await stage.publish(change(number))
                await stage.log.append("mt.t2.a.ev.change.connected", b"of another mount")
            newest = [f"a.1.{number}.{2 * number - 1}" for number in range(60, 0, -1)]
            found, end = await stage.search(limit=2)
            self.assertEqual((found, end.next), (newest[:2], newest[1]))
            for limit in (1, 7, 59, 60, 1000):
                self.assertEqual(await stage.all(limit=limit), newest, limit)
            oldest = newest[::-1]
            for limit in (7, 1000):
                self.assertEqual(await stage.all(limit=limit, after=oldest[0]), oldest[1:], limit)
            self.assertEqual(await stage.search(after=newest[0]), ([], Searched(number=stage.number)))
            self.assertEqual((await stage.search(before=oldest[0]))[0], [])

        self.on_stage(test)

    def test_own_events(self) -> None:
        """An event of this bridge has the id of its journal, and a page can begin at it."""

        async def test(stage: Stage) -> None:
            await stage.publish(change(1))
            await stage.publish(change(2), change(3), node="b")
            self.assertEqual((await stage.search())[0], ["1.3", "1.2", "a.1.1.1"])
            self.assertEqual((await stage.search(limit=1))[1].next, "b.1.3.3")
            self.assertEqual(await stage.all(limit=1), ["1.3", "1.2", "a.1.1.1"])

        self.on_stage(test)

    def test_selection(self) -> None:
        """Events are selected by type, kind, peer and time."""

        async def test(stage: Stage) -> None:
            await stage.publish(change(1), change(2, "link_up", "controller"), step(3), change(4))
            kind = DIALECT.kind_of(1).code_name
            for query, rows in (
                ({"types": ["step"]}, [3]),
                ({"types": ["step"], "kinds": ["link_up"]}, [3, 2]),
                ({"kinds": [kind]}, [3]),
                ({"peers": ["controller"]}, [2]),
                ({"since": iso(START + 2), "until": iso(START + 3)}, [3, 2]),
                ({"since": iso(START + 2), "after": "a.1.1.1"}, [2, 3, 4]),
            ):
                found = await stage.all(**query)
                self.assertEqual([int(id.split(".")[2]) for id in found], rows, query)

        self.on_stage(test)

    def test_times(self) -> None:
        """A page of a time reads the part of the stream from then."""

        async def test(stage: Stage) -> None:
            hours = [change(number, time=START + 3600 * number) for number in range(1, 201)]
            await stage.publish(*hours)
            read: list[int] = []
            entry = searching_module.entry_of

            def counted(stored: Any, *rest: Any) -> Any:
                read.append(stored.position)
                return entry(stored, *rest)

            self.patch(searching_module, "entry_of", counted)
            until, since = iso(START + 3600 * 100), iso(START + 3600 * 98)
            found = await stage.all(since=since, until=until)
            self.assertEqual(found, [f"a.1.{number}.{number}" for number in (100, 99, 98)])
            self.assertLess(len(read), 10)

        self.on_stage(test)

    def test_bounds(self) -> None:
        """A page ends after so many messages or bytes, and the next one goes on there."""
        self.patch(searching_module, "MAX_SCANNED", 50)
        self.patch(searching_module, "FIRST_WINDOW", 20)
        self.patch(searching_module, "MAX_PAGE", MAX_PAGE // 2**12)  # one or two entries

        async def test(stage: Stage) -> None:
            await stage.publish(*(change(number) for number in range(1, 151)), step(151))
            found, end = await stage.search(types=["step"], before="a.1.151.151")
            self.assertEqual(found, [])
            self.assertIsNotNone(end.next)
            everything = [f"a.1.{number}.{number}" for number in range(151, 0, -1)]
            self.assertEqual(await stage.all(), everything)
            self.assertEqual(await stage.all(after="a.1.1.1"), everything[-2::-1])

        self.on_stage(test)

    def test_unknown_id(self) -> None:
        """An id that the stream does not have, or has for another event, is told."""

        async def test(stage: Stage) -> None:
            await stage.publish(change(1), change(2))
            await stage.log.append("mt.t1.a.ev.change.x", b"malformed")
            for id in ("a.1.1.2", "b.1.1.1", "a.1.1.7", "a.1.3.3"):
                for word in ("before", "after"):
                    found, end = await stage.search(**{word: id})
                    self.assertEqual((found, end.status), ([], 422), id)

        self.on_stage(test)

    def test_malformed_events(self) -> None:
        """Malformed events are left out, also at the end of the stream."""

        async def test(stage: Stage) -> None:
            for number in (1, 2):
                await stage.log.append("mt.t1.a.ev.change.x", b"malformed")
                await stage.publish(change(number))
            await stage.log.append("mt.t1.a.ev.change.x", b"malformed")
            self.assertEqual(await stage.all(limit=1), ["a.1.2.4", "a.1.1.2"])

        self.on_stage(test)

    def test_without_the_broker(self) -> None:
        """The page has the reason."""

        async def test(stage: Stage) -> None:
            await stage.publish(change(1))
            stage.broker.cut()
            found, end = await stage.search()
            self.assertEqual((found, end.status), ([], 503))
            self.assertIn("can't be read", end.problem)

        self.on_stage(test)

    def test_unexpected_error(self) -> None:
        """An error that has no reason at the broker ends the part, and with it the process."""

        async def test(stage: Stage) -> None:
            await stage.publish(change(1))
            self.patch(stage.log, "last", None)
            stage.searching.add(Search(number=1, limit=1))
            await asyncio.wait([stage.task])
            self.assertIsInstance(stage.task.exception(), ExceptionGroup)

        self.on_stage(test)

    def test_many_searches(self) -> None:
        """Only so many searches run at once."""
        self.patch(searching_module, "MOST_SEARCHES", 2)

        async def test(stage: Stage) -> None:
            await stage.publish(change(1))
            for number in range(1, 4):
                stage.searching.add(Search(number=number, limit=1))
            await stage.until(lambda: len([line for line in stage.lines if isinstance(line, Searched)]) == 3)
            told = {line.status for line in stage.lines if isinstance(line, Searched)}
            self.assertIn(429, told)

        self.on_stage(test)

    def test_forgotten(self) -> None:
        """A search that the daemon needs no more ends at once, also before it has begun; others go on."""

        async def test(stage: Stage) -> None:
            await stage.publish(change(1))
            go_on = asyncio.Event()
            last = stage.log.last

            async def slow(keys: str) -> Any:
                await go_on.wait()
                return await last(keys)

            self.patch(stage.log, "last", slow)
            stage.searching.add(Search(number=1, limit=1))
            stage.searching.add(Forget(1))
            stage.searching.add(Search(number=2, limit=1))
            stage.searching.add(Search(number=3, limit=1))
            await stage.until(lambda: stage.lines)
            stage.searching.add(Forget(2))
            await stage.until(lambda: len(stage.lines) == 2)
            self.assertEqual([(line.number, line.status) for line in stage.lines], [(1, 503), (2, 503)])
            stage.searching.add(Forget(2))
            go_on.set()
            await stage.until(lambda: len(stage.lines) == 4)
            self.assertEqual([line.number for line in stage.lines[2:]], [3, 3])

        self.on_stage(test)
