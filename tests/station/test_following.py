"""The events of the other bridges for a standby, with a broker in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.broker.words import (
    EVENT_WINDOW,
    MAX_EVENT_LINE,
    MOST_NESTED,
    WINDOW,
    Follow,
    Missing,
    Other,
    Took,
    encode,
    read_from_child,
)
from mtmount_twisted.station import following as following_module
from mtmount_twisted.station.event_lines import EventLines
from mtmount_twisted.station.events import MAX_BODY, Source
from mtmount_twisted.station.following import LOG_TIME, Following
from mtmount_twisted.station.waits import pause
from tests.support.broker import on_stage
from tests.support.stream_events import DIALECT, Station, change, message, step

KEY = "mt.t1.a.ev.change.connected"


class Stage(Station):
    """The part of the child of bridge ``b``."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.begin()

    def begin(self) -> None:
        """A new process."""
        self.way = EventLines(self.send)
        source = Source("t1", "b")
        self.following = Following(
            *(self.engine, self.log, source, DIALECT, self.way.deliver, self.report, lambda: self.now)
        )
        self.task = asyncio.create_task(self.following.run())

    async def send(self, line: bytes) -> None:
        """Take the text of a line for the daemon."""
        await self.deliver(read_from_child(line))

    async def follow(self, after: int = 0) -> None:
        """Begin to read, and wait until the reading is there."""
        before = len(self.engine._tasks)
        self.following.follow(Follow(True, after))
        await self.until(lambda: len(self.engine._tasks) > before)

    @property
    def ids(self) -> list[str]:
        """The ids of the events that were delivered."""
        return [line.id for line in self.lines if isinstance(line, Other)]

    def has_lines(self, number: int) -> bool:
        """Whether so many lines were delivered."""
        return len(self.lines) >= number

    async def end(self) -> None:
        """The process ends."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def close(self) -> None:
        await self.end()
        await self.engine.close()


class FollowingTests(SynchronousTestCase):
    """What reaches the daemon."""

    def on_stage(self, test: Callable[[Stage], Awaitable[None]]) -> None:
        """Run a test."""
        on_stage(Stage, test)

    def test_events(self) -> None:
        """New events of other bridges come in order, in the form of the API; those of this one do not."""

        async def test(stage: Stage) -> None:
            await stage.publish(change(1))
            await stage.follow()
            await stage.publish(change(2), step(3))
            await stage.publish(change(7), node="b")
            await stage.publish(message(4, b"1\n32\n1\n"))
            await stage.until(lambda: len(stage.lines) == 3)
            self.assertEqual(stage.ids, ["a.1.2.2", "a.1.3.3", "a.1.4.5"])
            for line in stage.lines:
                self.assertEqual(json.loads(bytes(line.entry))["id"], line.id)
            found = [(line.entry_type, line.kind, line.peer) for line in stage.lines]
            kinds = DIALECT.kind_of(1).code_name, json.loads(bytes(stage.lines[2].entry))["kind"]
            self.assertEqual(
                found,
                [("change", "connected", "csc"), ("step", kinds[0], "csc"), ("message", kinds[1], "csc")],
            )

        self.on_stage(test)

    def test_only_while_it_is_wanted(self) -> None:
        """Nothing is read before the daemon wants that, nor after."""

        async def test(stage: Stage) -> None:
            await stage.publish(change(1))
            await stage.follow()
            await stage.publish(change(2))
            await stage.until(lambda: stage.ids)
            stage.following.follow(Follow(False))
            await stage.until(lambda: not stage.engine._tasks)
            await stage.publish(change(3))
            await stage.follow()
            await stage.publish(change(4))
            await stage.until(lambda: len(stage.ids) == 2)
            self.assertEqual(stage.ids, ["a.1.2.2", "a.1.4.4"])

        self.on_stage(test)

    def test_window(self) -> None:
        """A flood stays at the broker: the daemon gets only as much as it takes, and all of it in the end."""

        async def test(stage: Stage) -> None:
            await stage.follow()
            await stage.publish(*(change(number) for number in range(1, 4 * EVENT_WINDOW + 1)))
            for most in range(EVENT_WINDOW, 5 * EVENT_WINDOW, EVENT_WINDOW):
                await stage.until(partial(stage.has_lines, most))
                for _ in range(50):
                    await pause(0)
                self.assertEqual(len(stage.lines), most)
                stage.way.took(Took(EVENT_WINDOW))
            rows = [int(id.split(".")[2]) for id in stage.ids]
            self.assertEqual(rows, list(range(1, 4 * EVENT_WINDOW + 1)))

        self.on_stage(test)

    def test_window_of_long_events(self) -> None:
        """Of long events the daemon gets fewer at a time: no honest child is killed for what it hands on."""
        long = change(1)._replace(text="x" * 20_000)

        async def test(stage: Stage) -> None:
            await stage.follow()
            await stage.publish(*(long._replace(id=number) for number in range(1, 31)))
            taken = 0

            def on_its_way() -> int:
                return sum(map(len, map(encode, stage.lines[taken:])))

            for _ in range(2):
                await stage.until(lambda: on_its_way() > WINDOW - 21_000)
                for _ in range(50):
                    await pause(0)
                self.assertLessEqual(on_its_way(), WINDOW)
                stage.way.took(Took(len(stage.lines) - taken))
                taken = len(stage.lines)

        self.on_stage(test)

    def test_cut(self) -> None:
        """After an outage of the broker the reading goes on behind the last event."""

        async def test(stage: Stage) -> None:
            await stage.follow()
            await stage.publish(change(1))
            await stage.until(lambda: stage.ids)
            stage.broker.cut()
            stage.broker.restore()
            await stage.publish(change(2))
            await stage.until(lambda: len(stage.ids) == 2)
            self.assertEqual(stage.ids, ["a.1.1.1", "a.1.2.2"])

        self.on_stage(test)

    def test_wanted_during_an_outage(self) -> None:
        """A reading that begins without the broker begins as soon as that is there."""

        async def test(stage: Stage) -> None:
            position = await stage.publish(change(1), change(2))
            stage.broker.cut()
            stage.following.follow(Follow(True, position - 1))
            await pause(0)
            stage.broker.restore()
            await stage.until(lambda: stage.ids)
            self.assertEqual(stage.ids, ["a.1.2.2"])

        self.on_stage(test)

    def test_new_process(self) -> None:
        """Another process goes on behind the position that the daemon names."""

        async def test(stage: Stage) -> None:
            await stage.follow()
            await stage.publish(change(1), change(2))
            await stage.until(lambda: len(stage.ids) == 2)
            await stage.end()
            await stage.publish(change(3))
            stage.begin()
            await stage.follow(after=2)
            await stage.until(lambda: len(stage.ids) == 3)
            self.assertEqual(stage.ids[-1], "a.1.3.3")

        self.on_stage(test)

    def test_deleted_events(self) -> None:
        """The daemon learns that events were deleted before they were read."""

        async def test(stage: Stage) -> None:
            await stage.publish(*(change(number) for number in range(1, 6)))
            stage.broker.delete_before("MT_EV", 4)
            await stage.follow(after=1)
            await stage.until(lambda: len(stage.lines) == 3)
            self.assertEqual(stage.lines[0], Missing(3))
            self.assertEqual(stage.ids, ["a.1.4.4", "a.1.5.5"])

        self.on_stage(test)

    def test_lost_tail(self) -> None:
        """Events that the broker lost, and gets again, are not delivered twice."""

        async def test(stage: Stage) -> None:
            await stage.follow()
            await stage.publish(change(1), change(2), change(3))
            await stage.until(lambda: len(stage.ids) == 3)
            stage.broker.lose_tail("MT_EV", 2)
            await stage.until(lambda: len(stage.lines) == 4)
            self.assertEqual(stage.lines[3], Missing(1))
            await stage.publish(change(2), change(3), change(4))
            await stage.until(lambda: len(stage.ids) == 4)
            self.assertEqual(stage.ids[-1], "a.1.4.4")

        self.on_stage(test)

    def test_known_events_are_bounded(self) -> None:
        """Only so many events are kept in mind."""
        self.patch(following_module, "KNOWN", 2)

        async def test(stage: Stage) -> None:
            await stage.follow()
            await stage.publish(*(change(number) for number in range(1, 6)))
            await stage.until(lambda: len(stage.ids) == 5)
            self.assertEqual(len(stage.following._known), 2)

        self.on_stage(test)

    def test_nested(self) -> None:
        """The fields of an event are left out if they are nested deeply: the daemon could not read them if
        its stack has less room."""
        data = {"id": "1.9", "time": "2026-11-22T18:20:00.123Z", "type": "message", "peer": "controller"}
        data |= {"epoch": 1, "direction": "from", "dialect": "tma2022", "kind": "k", "is_command": False}
        data |= {"sequence_id": None, "text": "[{" * MOST_NESTED, "truncated": False}
        head = {"type": "mtmount.row", "source": "/mount/t1/node/a", "id": "1.9", "time": data["time"]}
        nested: Any = []
        for _ in range(MOST_NESTED):
            nested = [nested]

        async def test(stage: Stage) -> None:
            await stage.follow()
            for row, fields in ((8, {"x": [[]] * MOST_NESTED}), (9, {"x": nested})):
                whole = {**data, "id": f"1.{row}", "fields": fields}
                await stage.log.append(KEY, json.dumps({**head, "id": f"1.{row}", "data": whole}).encode())
            await stage.until(lambda: len(stage.ids) == 2)
            self.assertEqual(stage.following.malformed, 0)
            entries = [json.loads(bytes(each.entry)) for each in stage.lines if isinstance(each, Other)]
            self.assertEqual(entries[0]["fields"], {"x": [[]] * MOST_NESTED})
            self.assertEqual((entries[1]["fields"], entries[1]["truncated"]), (None, True))

        self.on_stage(test)

    def test_malformed(self) -> None:
        """Malformed events are counted and left out, with one line for the log in each minute."""
        good = {
            "type": "mtmount.row",
            "source": "/mount/t1/node/a",
            "id": "1.9",
            "time": "2026-11-22T18:20:00.123Z",
        }
        data = {
            "id": "1.9",
            "time": good["time"],
            "type": "change",
            "peer": "",
            "epoch": 1,
            "kind": "k",
            "detail": "",
        }
        bad: list[bytes] = [
            *(b"", b"\xff", b"{}", b"[" * 10_000, b"x" * (MAX_BODY + 1)),
            *(
                json.dumps({**good, "data": data, **wrong}).encode()
                for wrong in (
                    *(
                        {"type": "mtmount.telemetry"},
                        {"source": "/mount/t1/node/c"},
                        {"source": "/mount/t2/node/a"},
                    ),
                    *({"id": "1"}, {"id": "1.8"}, {"time": "now"}, {"data": {**data, "type": "other"}}),
                    *({"data": {**data, "more": 1}}, {"data": {**data, "kind": None}}, {"data": []}),
                    # The line to the daemon has both names a second time.
                    *({"data": {**data, "kind": "k" * 5000}}, {"data": {**data, "peer": "\x01" * 900}}),
                )
            ),
            json.dumps({**good, "data": {**data, "detail": "\x01" * 20_000}}).encode()[:MAX_BODY],
        ]

        async def test(stage: Stage) -> None:
            await stage.follow()
            for body in bad:
                await stage.log.append(KEY, body)
            await stage.publish(change(1))
            await stage.until(lambda: stage.ids)
            self.assertEqual((len(stage.ids), stage.following.malformed), (1, len(bad)))
            self.assertEqual(len(stage.told), 1)
            stage.now += LOG_TIME
            await stage.log.append(f"{KEY}.\x01", b"")
            await stage.until(lambda: len(stage.told) == 2)
            self.assertIn(f"({len(bad) + 1} so far)", stage.told[1])

        self.on_stage(test)

    def test_long_event(self) -> None:
        """An event that grows as it is made ASCII loses its fields: no line is too long for the daemon."""
        time = "2026-11-22T18:20:00.123Z"
        head = {"id": "1.9", "time": time, "type": "message", "peer": "csc", "epoch": 1, "direction": "to"}
        rest = {
            "dialect": "tma2020",
            "kind": "ACK",
            "is_command": False,
            "sequence_id": 1,
            "truncated": False,
        }

        def body(**more: Any) -> bytes:
            event = {"type": "mtmount.row", "source": "/mount/t1/node/a", "id": "1.9", "time": time}
            return json.dumps({**event, "data": {**head, **rest, **more}}, ensure_ascii=False).encode()

        async def test(stage: Stage) -> None:
            await stage.follow()
            await stage.log.append("mt.t1.a.ev.message.ACK", body(fields={"x": "é" * 20_000}, text="y"))
            await stage.log.append("mt.t1.a.ev.message.ACK", body(fields=None, text="é" * 20_000))
            await stage.publish(change(10))
            await stage.until(lambda: len(stage.ids) == 2)
            self.assertEqual(stage.following.malformed, 1)
            line = encode(stage.lines[0])
            self.assertLess(len(line), MAX_EVENT_LINE)
            read = read_from_child(line)
            assert isinstance(read, Other)
            entry = json.loads(bytes(read.entry))
            self.assertEqual((entry["fields"], entry["truncated"]), (None, True))

        self.on_stage(test)
