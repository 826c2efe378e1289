"""The web's events with everything around them in memory.

A test decides when the journal is written and when a reader reads.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.settings import ClientLimits, WebSettings
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.events.ring import Feed, Turns
from mtmount_twisted.frontends.web.events.shapes import Row
from mtmount_twisted.frontends.web.events.signals import SignalStreams
from mtmount_twisted.frontends.web.events.streams import Bounds, Streams
from mtmount_twisted.frontends.web.http.calls import Answer, Call, User
from mtmount_twisted.interfaces import ISignals
from mtmount_twisted.journal.reading import Wanted, open_journal, rows
from mtmount_twisted.journal.recorder import Waiting, Writer
from mtmount_twisted.journal.writer import JournalWriter

from .folders import scratch_folder
from .journals import STAMP, START
from .records import RecordMaker

LOG = logging.getLogger("tests.support.feeds")
NIGHT = User("night", frozenset(["observe"]), Source.CSC)


def all_rows(feed: Feed) -> list[Row]:
    """Return all rows in memory."""
    found: list[Row] = []
    while rows := feed.rows(feed.start + len(found), feed.edge):
        found += rows
    return found


class Event(NamedTuple):
    """A server-sent event as a reader has it."""

    name: str
    id: str | None
    data: Any


class Notebook(Waiting):
    """A journal that is written when a test says so."""

    def __init__(self, world: World) -> None:
        super().__init__(lambda: None, world.wall_clock, world.max_waiting)
        self.path = world.path
        self.keeper = JournalWriter(
            *(world.path, lambda *told: None, self.number),
            clock=world.clock.seconds,
            wall_clock=world.wall_clock,
        )
        self.writer = Writer(self, self.keeper)
        self.fault = ""

    @property
    def run(self) -> int:
        return self.keeper.run

    @property
    def base(self) -> int | None:
        return self.keeper.base

    @property
    def written(self) -> int:
        return self.writer.written


class Request:
    """Twisted's request, and the reader behind it.

    :ivar room: how many bytes its connection takes while it does not read; None for any number.
    """

    def __init__(self, room: int | None = None) -> None:
        self.headers: dict[str, str] = {}
        self.producer: Any = None
        self.finished = self.aborted = False
        self.read = b""
        self.channel = self.transport = self
        self.room = room
        self._buffer = b""
        self._paused = False
        self._finishing: list[Deferred[None]] = []

    def setHeader(self, name: str, value: str) -> None:
        self.headers[name] = value

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        assert not self.finished and not self.aborted
        if self.room is None:
            self.read += data
            return
        self._buffer += data
        if len(self._buffer) > self.room and not self._paused:
            self._paused = True
            self.producer.pauseProducing()

    def take(self) -> None:
        """Read all data so far."""
        self.read += self._buffer
        self._buffer = b""
        if self._paused and self.producer is not None:
            self._paused = False
            self.producer.resumeProducing()

    def notifyFinish(self) -> Deferred[None]:
        self._finishing.append(Deferred())
        return self._finishing[-1]

    def finish(self) -> None:
        assert not self.finished
        self.finished = True
        self._fire(None)

    def abortConnection(self) -> None:
        self.aborted = True
        self.leave()

    def leave(self) -> None:
        """The reader goes away."""
        self._fire(Failure(ConnectionDone()))

    def _fire(self, result: Any) -> None:
        waiting, self._finishing = self._finishing, []
        for each in waiting:
            each.callback(result)

    @property
    def events(self) -> list[Event]:
        """The events read so far, without comments."""
        blocks = self.read.decode("ascii").split("\n\n")
        assert blocks.pop() == ""
        return [parsed(block) for block in blocks if not block.startswith(":")]

    def named(self, *names: str) -> list[Any]:
        """The data of the events of these names."""
        return [event.data for event in self.events if event.name in names]

    @property
    def sequence_ids(self) -> list[int]:
        """Of the messages that were read."""
        return [data["sequence_id"] for data in self.named("message")]


def parsed(block: str) -> Event:
    """An event, by the rules of server-sent events."""
    lines = dict(line.split(": ", 1) for line in block.split("\n"))
    assert len(lines) == len(block.split("\n"))
    return Event(lines["event"], lines.get("id"), json.loads(lines["data"]))


class Presence:
    """Test double that notes the users whom an event stream keeps present."""

    def __init__(self) -> None:
        self.held: list[str] = []

    def hold(self, user: User) -> Callable[[], None]:
        self.held.append(user.name)
        return lambda: self.held.remove(user.name)


class World:
    """All of it.

    :param case: the test, after which the journal is removed.
    :param clock: a `Clock` if None.
    :ivar recorded_before: how many of the messages that were recorded earlier runs have.
    """

    max_waiting = 2**20
    epoch = 4
    signals: ISignals | None = None

    def __init__(
        self, case: SynchronousTestCase, bounds: Bounds | None = None, clock: Any = None, **ring: int
    ) -> None:
        self.path = scratch_folder(case) / "journal.sqlite"
        self.clock = clock or Clock()
        self.bounds = bounds or Bounds.of(WebSettings(), ClientLimits())
        self.ring = ring
        self.recorded = self.recorded_before = 0
        self.start()

    def start(self) -> None:
        """The daemon starts."""
        self.recorded_before = self.recorded
        self.journal: Any = Notebook(self)
        self.bus = EventBus(self.clock, self.journal, self.wall_clock)
        self.bus.epoch = self.epoch
        self.records = RecordMaker(self.bus.publish, self.bus.now)
        self.turns = Turns(self.clock)
        self.feed = Feed(self.bus, DIALECT, self.journal, self.clock, self.turns, **self.ring)
        self.live = SignalStreams(self.signals, lambda: {"word": "Stopped"}, self.clock, self.turns, LOG)
        self.presence = Presence()
        self.streams = Streams(
            *(self.feed, self.live, self.turns, self.presence, self.bus, self.clock), self.bounds, LOG
        )

    def stop(self) -> None:
        """The daemon ends."""
        self.streams.close()
        self.feed.close()
        self.turns.close()
        self.bus.close()
        self.write()
        self.journal.keeper.close()

    def restart(self) -> None:
        """One run ends, the next begins."""
        self.stop()
        self.start()

    def crash(self) -> None:
        """Kill the daemon, which loses the rows that wait to be written, and start the next one."""
        for part in (self.streams, self.feed, self.turns):
            part.close()
        self.journal.keeper.close()
        self.start()

    def wall_clock(self) -> float:
        return START + self.clock.seconds()

    def record(self, number: int = 1, line: bytes = b"32\n1\n" + STAMP, peer: str = "csc") -> None:
        """So many messages, with sequence ids that count up from 1."""
        for _ in range(number):
            self.recorded += 1
            self.records.line(peer, "from", self.epoch, b"%d\n%b" % (self.recorded, line))

    def write(self) -> None:
        """The journal's thread has a turn."""
        self.journal.writer.turn()

    def history(self, gone: dict[str, Any]) -> list[int]:
        """The sequence ids of the messages that the journal has for an event ``gone``."""
        after, before = gone["after"], gone["before"]
        last = None if before is None else int(before.split(".")[1])
        with closing(open_journal(self.path)) as db:
            found = rows(db, Wanted(tables=("message",)), after=int(after.split(".")[1]), before=last)
            return [int((row.line or b"0").split(b"\n")[0]) for row in found]

    def wait(self, seconds: float = 0.2) -> None:
        """Time passes."""
        for _ in range(20):
            self.clock.advance(seconds / 20)

    def id_of(self, number: int) -> str:
        """The event id of a row of this run."""
        return f"{self.journal.run}.{self.journal.base + number}"

    def call(
        self,
        request: Request,
        user: User = NIGHT,
        last: str | None = None,
        network: str = "",
        at: str = "",
        **query: str,
    ) -> Any:
        """Request the events, and return the response."""
        headers = {} if last is None else {"last-event-id": last}
        call = Call(user, query=query, headers=headers, request=request, network=network, peer=at)
        (route,) = self.streams.routes()
        answering: Any = route.respond(call)
        return Deferred.fromCoroutine(answering)

    def read(
        self,
        last: str | None = None,
        *,
        room: int | None = None,
        user: User = NIGHT,
        network: str = "",
        at: str = "",
        **query: str,
    ) -> Request:
        """A reader that has begun."""
        request = Request(room)
        answers: list[Answer] = []
        self.call(request, user, last, network, at, **query).addCallback(answers.append)
        assert answers == [Answer(streams=True)]
        return request
