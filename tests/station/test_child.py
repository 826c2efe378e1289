"""The child process as a whole, with a broker in memory."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.broker.words import (
    Begin,
    Command,
    Outcome,
    StationUser,
    Stopped,
    Tenure,
    moment,
)
from mtmount_twisted.station import desk
from mtmount_twisted.station.child import Child
from mtmount_twisted.station.contracts import Stored
from mtmount_twisted.station.requests import Subjects, Wanted, read_outcome, request_body
from mtmount_twisted.station.streams import commands_name
from mtmount_twisted.station.waits import pause
from mtmount_twisted.testing.broker import MemoryBroker, MemoryEngine
from mtmount_twisted.wire import tai
from tests.support.broker import in_time

BEGIN = Begin(
    mount="t1",
    node="a",
    journal="journal.sqlite",
    dialect="tma2020",
    servers=[],
    credentials=None,
    ca=None,
    replicas=1,
    events=False,
    telemetry=False,
    window=1,
    users=[StationUser(name="night", source="CSC", role="command", expires=10.0)],
)


class Daemon:
    """The daemon's end of the lines: it ends each command at once."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[Any] = asyncio.Queue()
        self.lines.put_nowait(Tenure(1, True))
        self.commands: list[str] = []

    async def line(self) -> Any:
        """The next line of the daemon."""
        return await self.lines.get()

    def hand(self, line: Any) -> bool:
        """A line of the desk."""
        if isinstance(line, Command):
            self.commands.append(line.id)
            self.lines.put_nowait(Outcome(user=line.user, id=line.id, state="done"))
        return True

    def log(self, level: int, text: str) -> None:
        """A line for the log."""

    async def deliver(self, line: bytes) -> None:
        """A line about events."""

    def reply(self, answer: Any) -> None:
        """An answer about the election."""


class ErrorTests(SynchronousTestCase):
    """Errors that no one expects."""

    def run_child(self) -> None:
        """Run a child with a request at the broker, until it ends by itself."""
        daemon: Any = Daemon()

        async def run() -> None:
            engine = MemoryEngine(MemoryBroker(time.time))
            engine.start()
            body = request_body("night", "1", Wanted("AzimuthAxisMove", {"position": 5}))
            await engine.log(commands_name("night")).append(Subjects("t1").request("night", "1"), body)
            await Child(BEGIN, daemon, engine).run()

        with self.assertRaisesRegex(LookupError, "^of the test$"):  # the last words of the process
            in_time(run())

    def test_error_in_a_command(self) -> None:
        """An error in the task of one command ends the process: the daemon starts another one."""

        def reached(point: str) -> None:
            if point == "ended":
                raise LookupError("of the test")

        self.patch(desk, "reached", reached)
        self.run_child()

    def test_error_in_a_reading(self) -> None:
        """So does one in the task that reads the requests."""

        def failing(subject: str) -> None:
            raise LookupError("of the test")

        self.patch(desk, "place_of", failing)
        self.run_child()


class StopTests(SynchronousTestCase):
    """Stops that the daemon tells."""

    def test_stop_of_another_commander(self) -> None:
        """A request that such a stop overtakes has its outcome, and the daemon never gets its command."""
        daemon: Any = Daemon()
        later = moment() + 1000.0
        daemon.lines.put_nowait(Stopped(read_at=later, stored_at=later))

        async def run() -> Stored | None:
            engine = MemoryEngine(MemoryBroker(time.time))
            engine.start()
            log, subjects = engine.log(commands_name("night")), Subjects("t1")
            body = request_body("night", "1", Wanted("AzimuthAxisMove", {"position": 5}))
            await log.append(subjects.request("night", "1"), body)
            child = asyncio.create_task(Child(BEGIN, daemon, engine).run())
            while (found := await log.last(subjects.life("night", "1"))) is None:
                await pause(0.001)
            daemon.lines.put_nowait(None)
            await child
            return found

        found = in_time(run())
        assert found is not None
        outcome = read_outcome(found.body)
        assert outcome is not None
        self.assertEqual(outcome.data.explanation, "not sent: overtaken by a stop")
        self.assertEqual(daemon.commands, [])


class StartTests(SynchronousTestCase):
    """What a child does before its first command."""

    def test_table_of_leap_seconds(self) -> None:
        """The table that the timestamps of commands need is read at the start: the import takes some tenths
        of a second, or seconds on a loaded machine, and the first stop of a user must not wait for it."""
        read: list[float] = []

        def table() -> tuple[tai.LeapSeconds, str]:
            read.append(0.0)
            return ((0.0, 37),), "a table"

        self.patch(tai, "_clock", tai.TaiClock(time.time, None, table))
        begin = msgspec.structs.replace(BEGIN, dialect="tma2022")
        daemon: Any = Daemon()

        async def run() -> None:
            Child(begin, daemon, MemoryEngine(MemoryBroker(time.time)))

        in_time(run())
        self.assertEqual(len(read), 1)
