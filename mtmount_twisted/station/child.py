"""The child process: it reads the daemon's lines, and publishes to the broker until the daemon ends.

It ends as soon as the daemon's connection is closed, so that no child outlives its daemon. Next to read:
`daemon_link`; `outbox`; ``frontends.broker.supervisor``, which starts the process.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
from asyncio import Task
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from mtmount_twisted.dialects.dialect import DialectName, dialect_named
from mtmount_twisted.frontends.broker.words import (
    DATA_FD,
    Begin,
    End,
    Follow,
    Forget,
    More,
    Outcome,
    Ping,
    Pong,
    Question,
    Search,
    Stopped,
    Telemetry,
    Tenure,
    Took,
)

from .contracts import IEngine
from .daemon_link import DaemonLink
from .desk import Desk
from .event_lines import EventLines
from .events import Source
from .following import Following
from .journal_file import JournalFile
from .keeper import Keeper
from .nats_connection import Login
from .nats_engine import NatsEngine
from .outbox import Lag, Outbox
from .searching import Searching
from .streams import (
    EVENTS,
    TELEMETRY,
    StreamSettings,
    commands_name,
    commands_stream,
    events_stream,
    lease_stream,
    telemetry_stream,
)
from .telemetry_outbox import TelemetryOutbox
from .waits import pause

LAST_TIME = 2.0
"""The longest time to publish the last rows after the daemon's `End`, in seconds; the daemon kills the
process earlier if the daemon itself has less time."""


def streams_of(begin: Begin) -> list[StreamSettings]:
    """Return the streams that the child uses."""
    wanted = [events_stream(begin.replicas)] if begin.events else []
    wanted += [commands_stream(user.name, begin.replicas) for user in begin.users or ()]
    wanted += [lease_stream(begin.replicas)] if begin.election else []
    return wanted + ([telemetry_stream()] if begin.telemetry else [])


def login_of(begin: Begin) -> Login:
    """Return the proof of identity at the broker.

    :raises OSError: if the file of the authority can't be read.
    """
    context = None
    if any(server.startswith("tls:") for server in begin.servers):
        context = ssl.create_default_context(cafile=begin.ca)
    return Login(begin.credentials or "", context)


class Child:
    """The parts of the child, with an engine that is not started yet.

    :param begin: the configuration.
    :param link: the connection to the daemon.
    """

    def __init__(self, begin: Begin, link: DaemonLink, engine: IEngine) -> None:
        source = Source(begin.mount, begin.node)
        self._engine = engine
        self._link = link
        self._journal = JournalFile(Path(begin.journal))
        self._tasks: list[Task[None]] = []
        self._failure: BaseException | None = None  # the first error that ended a part
        self.outbox: Outbox | None = None
        self.telemetry: TelemetryOutbox | None = None
        self.keeper: Keeper | None = Keeper(engine, begin.mount, link.reply) if begin.election else None
        if begin.events:
            log = engine.log(EVENTS)
            self.outbox = Outbox(engine, log, self._journal, source, begin.window, link.log)
        dialect = dialect_named(cast(DialectName, begin.dialect))
        self.desk: Desk | None = None
        if begin.users is not None:
            if dialect.telemetry is not None:
                dialect.telemetry.tai()  # the first call imports a table, for which no stop must wait
            logs = {user.name: engine.log(commands_name(user.name)) for user in begin.users}
            self.desk = Desk(engine, logs, source, begin.users, dialect, link.hand, link.log)
        self.event_lines: EventLines = EventLines(link.deliver)
        self.following: Following | None = None
        self.searching: Searching | None = None
        if begin.events and begin.election:
            log = engine.log(EVENTS)
            self.following = Following(engine, log, source, dialect, self.event_lines.deliver, link.log)
            self.searching = Searching(log, source, dialect, self.event_lines.deliver)
        format = dialect.telemetry
        if begin.telemetry and format is not None:
            self.telemetry = TelemetryOutbox(engine, engine.log(TELEMETRY), format, source, link.log)

    async def run(self) -> None:
        """Publish until the daemon ends, or until a part fails: then raise its error."""
        self._engine.start()
        self._start(self._engine.wait_failed())
        following = (self.following, self.searching)
        for part in (self.outbox, self.telemetry, self.desk, self.keeper, *following):
            if part is not None:
                self._start(part.run())
        try:
            await self._read_lines()
        except asyncio.CancelledError:
            if self._failure is None:
                raise
        finally:
            for task in self._tasks:
                task.cancel()
            await self._engine.close()
            self._journal.close()
        if self._failure is not None:
            raise self._failure  # its text becomes the last words of the process, which the daemon logs

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a part beside the reading of the daemon's lines. An error in the part ends `run` with this
        error."""
        reading = asyncio.current_task()
        task = asyncio.create_task(work)
        self._tasks.append(task)

        def ended(task: Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._failure = self._failure or error
                if reading is not None:
                    reading.cancel()

        task.add_done_callback(ended)

    async def _read_lines(self) -> None:
        while True:
            match await self._link.line():
                case Ping(number):
                    self._link.answer(self._state(number))
                case More(id) if self.outbox is not None:
                    self.outbox.settle(id)
                case Telemetry(lines) if self.telemetry is not None:
                    self.telemetry.keep(map(str.encode, lines))
                case Tenure(epoch, active) if self.desk is not None:
                    self.desk.settle_tenure(epoch, active)
                case Stopped() as stopped if self.desk is not None:
                    self.desk.note_stops(stopped)
                case Outcome() as outcome if self.desk is not None:
                    self.desk.note_outcome(outcome)
                case Question() as question if self.keeper is not None:
                    self.keeper.ask(question)
                case Follow() as follow if self.following is not None:
                    self.following.follow(follow)
                case Took() as taken:
                    self.event_lines.took(taken)
                case Search() | Forget() as line if self.searching is not None:
                    self.searching.add(line)
                case End():
                    await self._finish()
                    return
                case None:
                    return

    def _state(self, number: int) -> Pong:
        lag = Lag(0, 0.0) if self.outbox is None else self.outbox.lag()
        return Pong(
            number=number,
            connected=self._engine.connected,
            problem=self._engine.problem[:500],
            published=0 if self.outbox is None else self.outbox.published,
            rows=lag.rows,
            seconds=lag.seconds,
            telemetry=0 if self.telemetry is None else self.telemetry.published,
            losses=self._engine.losses,
            loss=self._engine.loss[:500],
            ignored=0 if self.desk is None else self.desk.ignored,
            full=[] if self.desk is None else list(map(commands_name, self.desk.full)),
            malformed=0 if self.following is None else self.following.malformed,
        )

    async def _finish(self) -> None:
        """Publish the last rows, if the broker takes them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_TIME):
                while self._engine.connected and not all(
                    part.is_done for part in (self.desk, self.outbox) if part is not None
                ):
                    await pause(0.01)


async def serve(fd: int = DATA_FD) -> None:
    """Run the child on an open file that the daemon handed over."""
    link = await DaemonLink.open(fd)
    begin = await link.line()
    if isinstance(begin, Begin):
        engine = NatsEngine(begin.servers, streams_of(begin), login_of(begin), link.log)
        gc.freeze()  # imported modules stay: the collector need not look at them
        await Child(begin, link, engine).run()
    await link.close()
