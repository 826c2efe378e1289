"""The outbox: a journal's file on the disk, and a broker in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import EngineUnreachable
from mtmount_twisted.frontends.web.events.shapes import row_of, shape
from mtmount_twisted.frontends.web.http.encoding import as_json
from mtmount_twisted.journal.recorder import Waiting, Writer
from mtmount_twisted.journal.schema import RUN_IDS
from mtmount_twisted.journal.writer import JournalWriter
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord
from mtmount_twisted.station.events import Source
from mtmount_twisted.station.journal_file import JournalFile
from mtmount_twisted.station.outbox import Outbox
from mtmount_twisted.testing.broker import MemoryBroker, MemoryEngine
from tests.support.broker import on_stage
from tests.support.folders import scratch_folder

LOG = "MT_EV"
SOURCE = Source("t1", "a")
START = 1795363443.0


class Book:
    """A journal's file: rows are in it as soon as they are kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open()

    def open(self) -> None:
        """Begin a run."""
        self.waiting = Waiting(lambda: None)
        self.keeper = JournalWriter(self.path, lambda *line: None, self.waiting.number)
        self.writer = Writer(self.waiting, self.keeper)
        self.time = START

    def keep(self, number: int = 1) -> int:
        """Keep some rows of each kind, and return the id of the last one."""
        for _ in range(number):
            self.time += 0.25
            self.waiting.keep(LineRecord(self.time, 1, "csc", "from", b"1\n101\n1\nx"))
            self.waiting.keep(CommandRecord(self.time, 1, "csc", "received", 1, 101, 1, 0, ""))
            self.waiting.keep(ChangeRecord(self.time, 1, "", "link_up", "words"))
        self.writer.turn()
        return self.last

    @property
    def last(self) -> int:
        """The id up to which the file has every row."""
        return (self.keeper.base or 0) + self.writer.settled.number

    def close(self) -> None:
        """End the run."""
        self.keeper.close()


class Stage:
    """A journal, a broker, and an outbox between them."""

    def __init__(self, case: SynchronousTestCase, window: int = 10) -> None:
        self.now = START
        self.broker = MemoryBroker(lambda: self.now)
        self.book = Book(scratch_folder(case) / "journal.sqlite")
        case.addCleanup(self.book.close)
        self.told: list[str] = []
        self._window = window
        self.begin()

    def begin(self) -> None:
        """Start the outbox, as in a new process."""
        self.engine = MemoryEngine(self.broker)
        self.engine.start()
        self.file = JournalFile(self.book.path)
        self.outbox = Outbox(
            *(self.engine, self.engine.log(LOG), self.file, SOURCE, self._window),
            lambda level, text: self.told.append(text),
            lambda: self.now,
        )
        self.task = asyncio.create_task(self.outbox.run())

    async def close(self) -> None:
        """End the outbox, as a killed process does."""
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.engine.close()
        self.file.close()

    async def end_after(self, number: int) -> None:
        """End the outbox once it has published some rows."""
        self.keep(number)
        await self.published()
        await self.close()

    def replace_journal(self) -> None:
        """Begin another journal's file, later."""
        self.book.close()
        for path in self.book.path.parent.iterdir():
            path.unlink()
        self.book.open()
        self.book.time += 100

    def delete_before(self, id: int) -> None:
        """Delete the oldest rows of the journal."""
        for table in ("message", "step", "event"):
            self.book.keeper._store._db.execute(f"DELETE FROM {table} WHERE id < {id}")  # type: ignore[union-attr]

    def lose_next(self) -> None:
        """Let the broker lose the next message; it stores the ones after that."""
        store = self.broker.store

        def lose(*message: Any) -> asyncio.Future[int]:
            self.broker.store = store  # type: ignore[method-assign]
            lost: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            lost.set_exception(EngineUnreachable("no answer"))
            return lost

        self.broker.store = lose  # type: ignore[method-assign]

    def keep(self, number: int = 1) -> None:
        """Keep rows in the journal, and tell the outbox."""
        self.outbox.settle(self.book.keep(number))

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait, for each change of the broker and each turn of the loop, until something holds."""
        while not condition():
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.001, turn.set_result, None)
            await turn

    async def published(self) -> list[str]:
        """The ids of all messages, once the outbox has published everything."""
        await self.until(lambda: self.outbox.is_done and self.engine.connected)
        return [json.loads(each.body)["id"] for each in self.broker.log(LOG).messages]


def ids(first: int, last: int, run: int = 1) -> list[str]:
    """The event ids of some rows."""
    base = (run - 1) * RUN_IDS
    return [f"{run}.{base + number}" for number in range(first, last + 1)]


class OutboxTests(SynchronousTestCase):
    """What the broker gets."""

    def on_stage(self, test: Callable[[Stage], Awaitable[None]], window: int = 10) -> None:
        """Run a test with a stage."""
        on_stage(lambda: Stage(self, window), test)

    def test_every_row(self) -> None:
        """Each row is one CloudEvent, in order, on the subject of its kind; its data is that of the API."""

        async def test(stage: Stage) -> None:
            stage.keep(20)
            self.assertEqual(await stage.published(), ids(1, 60))
            messages = stage.broker.log(LOG).messages
            self.assertEqual(
                [each.key for each in messages[:3]],
                [
                    "mt.t1.a.ev.message.AZIMUTH_AXIS_POWER",
                    "mt.t1.a.ev.step.AZIMUTH_AXIS_POWER",
                    "mt.t1.a.ev.change.link_up",
                ],
            )
            for message, entry in zip(messages, stage.file.rows(0, 60), strict=True):
                body = json.loads(message.body)
                self.assertEqual(body["data"], json.loads(as_json(shape(row_of(entry)))))
                self.assertEqual((body["specversion"], body["type"]), ("1.0", "mtmount.row"))
                self.assertEqual((body["source"], body["epoch"]), ("/mount/t1/node/a", 1))
                self.assertEqual(body.get("subject", ""), entry.peer)
            self.assertEqual((stage.outbox.published, stage.outbox.lag()), (60, (0, 0.0)))

        self.on_stage(test)

    def test_what_comes_later(self) -> None:
        """Rows are published as they come, and none before the daemon says that the file has them."""

        async def test(stage: Stage) -> None:
            stage.keep()
            await stage.published()
            stage.book.keep()
            stage.outbox.settle(5)
            self.assertEqual(await stage.published(), ids(1, 5))
            stage.keep()
            self.assertEqual(await stage.published(), ids(1, 9))

        self.on_stage(test)

    def test_cut(self) -> None:
        """While the broker is away the journal keeps the rows; afterwards none is missing or doubled."""

        async def test(stage: Stage) -> None:
            stage.keep()
            await stage.published()
            stage.broker.cut()
            stage.keep(30)
            stage.now = stage.book.time + 7
            self.assertEqual(stage.outbox.lag(), (90, stage.now - START - 0.5))
            stage.broker.restore()
            self.assertEqual(await stage.published(), ids(1, 93))

        self.on_stage(test)

    def test_lost_confirmations(self) -> None:
        """Rows that are stored without a confirmation are not stored twice, also once ids are forgotten."""

        async def test(stage: Stage) -> None:
            stage.keep()
            await stage.published()
            stage.broker.swallow()
            stage.keep(5)
            await stage.until(lambda: len(stage.broker.log(LOG).messages) == 13)  # the window is full
            self.assertEqual(stage.outbox.published, 3)
            stage.broker.cut()
            stage.now += 3600
            stage.broker.restore()
            self.assertEqual(await stage.published(), ids(1, 18))

        self.on_stage(test)

    def test_lost_tail(self) -> None:
        """A broker that lost its tail gets it again; one that lost everything gets everything."""

        async def test(stage: Stage) -> None:
            stage.keep(20)
            await stage.published()
            for lost in (7, 60):
                stage.broker.cut()
                stage.broker.lose_tail(LOG, lost)
                stage.broker.restore()
                await stage.until(lambda: len(stage.broker.log(LOG).messages) == 60)
                self.assertEqual(await stage.published(), ids(1, 60))

        self.on_stage(test)

    def test_holes(self) -> None:
        """Rows that the broker did not store, though it stored later ones, are published after a fault."""

        async def test(stage: Stage) -> None:
            stage.keep(20)
            await stage.published()
            stage.broker.cut()
            log = stage.broker.log(LOG)
            log.messages = [each for each in log.messages if each.position not in (52, 53, 57)]
            log.ids.clear()
            stage.broker.restore()
            await stage.until(lambda: len(stage.broker.log(LOG).messages) == 60)
            found = await stage.published()
            self.assertEqual(sorted(found, key=lambda id: int(id[2:])), ids(1, 60))
            self.assertEqual(found[-3:], ["1.52", "1.53", "1.57"])

        self.on_stage(test)

    def test_first_row_not_stored(self) -> None:
        """The broker has no row of the journal, and does not store the first one, though it stores others: in
        the end it has each row, also if it had rows of another journal, or rows that the journal deleted."""

        async def empty_broker(stage: Stage) -> list[str]:
            return ids(1, stage.book.keep(4))

        async def other_journal(stage: Stage) -> list[str]:
            await stage.end_after(4)
            stage.replace_journal()
            return ids(1, 12) + ids(1, stage.book.keep(2))

        async def deleted_rows(stage: Stage) -> list[str]:
            await stage.end_after(4)
            stage.book.keep(2)
            stage.delete_before(15)
            return ids(1, 12) + ids(15, 18)

        for prepare in (empty_broker, other_journal, deleted_rows):

            async def test(stage: Stage, prepare: Callable[[Stage], Awaitable[list[str]]] = prepare) -> None:
                wanted = await prepare(stage)
                if stage.task.done():
                    stage.begin()
                stage.lose_next()
                stage.outbox.settle(stage.book.last)
                self.assertEqual(await stage.published(), wanted)

            self.on_stage(test)

    def test_new_process(self) -> None:
        """A new process goes on where the last one was killed, also in a further run of the daemon."""

        async def test(stage: Stage) -> None:
            await stage.end_after(10)
            stage.book.keep(4)
            stage.book.close()
            stage.book.open()
            stage.book.keep(2)
            stage.begin()
            stage.outbox.settle(stage.book.last)
            stage.now += 3600
            self.assertEqual(await stage.published(), ids(1, 42) + ids(1, 6, run=2))
            self.assertEqual(stage.told, [])

        self.on_stage(test)

    def test_other_journal(self) -> None:
        """A journal that begins anew is published from its beginning, with one line for the log."""

        async def test(stage: Stage) -> None:
            await stage.end_after(4)
            stage.replace_journal()
            stage.book.keep(2)
            stage.begin()
            stage.outbox.settle(stage.book.last)
            self.assertEqual(await stage.published(), ids(1, 12) + ids(1, 6))
            [line] = stage.told
            self.assertIn("from another journal", line)
            stage.broker.cut()  # the next look finds the rows of this journal
            stage.keep(1)
            stage.broker.restore()
            self.assertEqual(await stage.published(), ids(1, 12) + ids(1, 9))
            self.assertEqual(len(stage.told), 1)

        self.on_stage(test)

    def test_deleted_rows(self) -> None:
        """If the journal has deleted what the broker has last, the outbox goes on with what is left."""

        async def test(stage: Stage) -> None:
            await stage.end_after(4)
            stage.book.keep(2)
            stage.delete_before(15)
            stage.begin()
            stage.outbox.settle(stage.book.last)
            self.assertEqual(await stage.published(), [*ids(1, 12), *ids(15, 18)])
            self.assertEqual(stage.told, [])

        self.on_stage(test)

    def test_full(self) -> None:
        """While the broker has no room the log has one line; nothing is lost."""

        async def test(stage: Stage) -> None:
            stage.broker.fill(LOG)
            stage.keep(3)
            await stage.until(lambda: stage.told)
            self.assertIn("the broker does not take events: the log MT_EV has no room", stage.told[0])
            stage.broker.empty(LOG)
            self.assertEqual(await stage.published(), ids(1, 9))
            self.assertEqual(len(stage.told), 1)

        self.on_stage(test)

    def test_window(self) -> None:
        """Never more messages are unconfirmed than the window allows."""

        async def test(stage: Stage) -> None:
            stage.keep()  # the first row of a journal is sent alone
            await stage.published()
            stage.broker.swallow()
            stage.keep(10)
            await stage.until(lambda: len(stage.broker.log(LOG).messages) == 3 + 4)
            self.assertEqual(stage.outbox.lag().rows, 30)
            stage.broker.cut()
            stage.broker.restore()
            self.assertEqual(await stage.published(), ids(1, 33))

        self.on_stage(test, window=4)

    def test_missing_file(self) -> None:
        """A journal's file that is missing for a while is waited for."""

        async def test(stage: Stage) -> None:
            away = stage.book.path.with_name("away")
            stage.book.keep(2)
            stage.book.path.rename(away)
            stage.outbox.settle(6)
            await stage.until(lambda: stage.told)
            self.assertIn("the journal can't be read", stage.told[0])
            away.rename(stage.book.path)
            self.assertEqual(await stage.published(), ids(1, 6))

        self.on_stage(test)
