"""``GET /api/v1/events``: server-sent events of all that happens, to any number of readers.

`Stream` is the bounded way out to one reader, `Streams` all of them. Who does not keep up is cut off, by
the rule that the bridge has for its own clients, and can resume. Next to read: `feed`, `resuming`.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from zope.interface import implementer

from .calls import Answer, Call, Fault, Problem, Route, User
from .feed import STREAMS_PER_TURN, Feed, Turns, frame
from .history import Shelf
from .resuming import Resumption
from .selection import Selection, read_selection, refuse
from .shapes import event_id, read_event_id

KEEP_ALIVE = 15.0
"""How often a stream is sent a comment, so that whoever is between knows that it is alive, in seconds."""

COMMENT = b":\n\n"

PARAMETERS = ("kind", "peer", "last_event_id")

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is too much.

    :ivar max_behind_bytes: how much may wait for one reader, beyond what its connection buffers.
    :ivar max_behind_seconds: how long the oldest of what it has not read may wait.
    :ivar per_user: how many streams one user may have.
    :ivar total: how many there may be.
    """

    max_behind_bytes: int = 2**20
    max_behind_seconds: float = 10.0
    per_user: int = 16
    total: int = 1000


@implementer(IPushProducer)
class Stream:
    """The way out to one reader.

    :param request: Twisted's.
    :param cut_off: called with this and the reason, once, when a bound is passed.
    :ivar behind: how much waits, in bytes.
    :ivar ended: True once nothing is sent any more.
    :ivar release: to be called when it ends.
    :ivar resuming: the work of bringing it up to now, if it is not.
    """

    def __init__(
        self,
        request: Any,
        selection: Selection,
        user: User,
        clock: Any,
        bounds: Bounds,
        cut_off: Callable[[Stream, str], None],
    ) -> None:
        self.request = request
        self.selection = selection
        self.user = user
        self.behind = 0
        self.resuming: Deferred[None] | None = None
        self.release: Callable[[], None] = lambda: None
        self._clock = clock
        self._bounds = bounds
        self._cut_off = cut_off
        self._has_room = True
        self.ended = False
        self._kept: deque[tuple[float, bytes]] = deque()  # with when it came
        self._deadline: IDelayedCall | None = None
        self._roomy: list[Deferred[None]] = []

    def send(self, data: bytes) -> None:
        """Send it bytes, now or when there is room; to nobody once it ended."""
        if self.ended:
            return
        if self._has_room:
            self.request.write(data)
            return
        self._kept.append((self._clock.seconds(), data))
        self.behind += len(data)
        if self.behind > self._bounds.max_behind_bytes:
            self._cut(f"more than {self._bounds.max_behind_bytes} bytes behind")

    def room(self) -> Deferred[None]:
        """Fires when there is room; it can be cancelled, and is when the stream ends."""
        if self.ended:
            waiting: Deferred[None] = Deferred()
            waiting.cancel()
            return waiting
        if self._has_room:
            return succeed(None)
        waiting = Deferred()
        self._roomy.append(waiting)
        return waiting

    def pauseProducing(self) -> None:
        """The connection has enough for now."""
        if not self.ended:
            self._has_room = False
            if self._deadline is None:
                self._start_timer(self._clock.seconds())

    def resumeProducing(self) -> None:
        """All that was written has been sent: write on, until there is no room again."""
        if self.ended:
            return
        self._stop_timer()
        self._has_room = True
        oldest = self._kept[0][0] if self._kept else 0.0
        while self._kept and self._has_room:
            data = self._kept.popleft()[1]
            self.behind -= len(data)
            self.request.write(data)
        if not self._has_room:
            self._start_timer(oldest or self._clock.seconds())
            return
        waiting, self._roomy = self._roomy, []
        for each in waiting:
            each.callback(None)

    def stopProducing(self) -> None:
        """The connection is lost; who owns this is told by the request."""

    def end(self) -> None:
        """Send nothing any more, and stop all that goes on for it."""
        self.ended = True
        self._kept.clear()
        self.behind = 0
        self._stop_timer()
        if self.resuming is not None:
            self.resuming.cancel()
        for each in self._roomy:
            each.cancel()

    def _start_timer(self, since: float) -> None:
        self._stop_timer()
        seconds = self._bounds.max_behind_seconds
        rest = max(0.0, since + seconds - self._clock.seconds())
        self._deadline = self._clock.callLater(rest, self._too_late)

    def _too_late(self) -> None:
        self._deadline = None
        self._cut(f"not caught up for {self._bounds.max_behind_seconds:g} s")

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self, why: str) -> None:
        self.end()
        self._cut_off(self, why)


class Streams:
    """Every reader of events.

    :param presence: its ``hold(user)`` keeps the user's commander present until what it gives is called.
    :param tee: where it is recorded that a reader was cut off.
    :param bridge: says the epoch.
    :ivar cut_off: how many readers were cut off.
    """

    def __init__(
        self,
        feed: Feed,
        shelf: Shelf,
        turns: Turns,
        presence: Any,
        tee: Any,
        bridge: Any,
        clock: Any,
        bounds: Bounds | None = None,
    ) -> None:
        self.cut_off = 0
        self._feed = feed
        self._shelf = shelf
        self._turns = turns
        self._presence = presence
        self._tee = tee
        self._bridge = bridge
        self._clock = clock
        self._bounds = bounds or Bounds()
        self._streams: dict[Stream, None] = {}
        self._by_user: Counter[str] = Counter()
        self._keep_alive: IDelayedCall | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def behind(self) -> int:
        """How much waits for all readers together, in bytes."""
        return sum(stream.behind for stream in self._streams)

    def routes(self) -> list[Route]:
        """Where it answers."""
        doc = "Server-sent events: every message, step of a command and change, as they happen."
        return [Route("GET", "/api/v1/events", self.events, "observe", doc)]

    async def events(self, call: Call) -> Answer:
        """Begin a stream; it ends when the reader goes, is cut off, or the service ends."""
        selection, last = read_call(call)
        self._look_for_room(call.user)
        stream = Stream(call.request, selection, call.user, self._clock, self._bounds, self._cut)
        self._enter(stream)
        for name, value in HEADERS.items():
            call.request.setHeader(name, value)
        call.request.registerProducer(stream, True)
        self._greet(stream, resumes=last is not None)
        if last is None:
            self._feed.attach(stream)
        else:
            await self._begin_resuming(stream, *last)
        return Answer(streams=True)

    async def _begin_resuming(self, stream: Stream, run: int, row: int) -> None:
        resumption = Resumption(stream, self._feed, self._shelf, self._turns, self._clock, run, row)
        stream.resuming = Deferred.fromCoroutine(resumption.go())
        stream.resuming.addErrback(lambda reason: reason.trap(CancelledError))

    def _look_for_room(self, user: User) -> None:
        most = self._bounds.per_user
        if self._closed:
            raise Problem(503, "the daemon ends")
        if self._by_user[user.name] >= most:
            raise Problem(503, f"you have {most} event streams already", headers={"Retry-After": "10"})
        if len(self._streams) >= self._bounds.total:
            text = f"there are {self._bounds.total} event streams already"
            raise Problem(503, text, headers={"Retry-After": "10"})

    def _enter(self, stream: Stream) -> None:
        self._streams[stream] = None
        self._by_user[stream.user.name] += 1
        stream.release = self._presence.hold(stream.user)
        stream.request.notifyFinish().addBoth(lambda _: self._leave(stream))
        if self._keep_alive is None:
            self._keep_alive = self._clock.callLater(KEEP_ALIVE, self._keep_all_alive)

    def _greet(self, stream: Stream, resumes: bool) -> None:
        """Say where it stands; with its id, if all that comes after it will be told."""
        run = self._feed.journal.run
        last = event_id(run, self._feed.last_row)
        data = json.dumps({"run": run, "last_id": last, "epoch": self._bridge.epoch})
        stream.send(frame("hello", data, None if resumes else last))

    def _leave(self, stream: Stream) -> None:
        if stream not in self._streams:
            return
        del self._streams[stream]
        self._by_user[stream.user.name] -= 1
        self._by_user += Counter()  # keeps what is above zero
        self._feed.detach(stream)
        stream.end()
        stream.release()
        if not self._streams and self._keep_alive is not None:
            self._keep_alive.cancel()
            self._keep_alive = None

    def _cut(self, stream: Stream, why: str) -> None:
        self.cut_off += 1
        self._leave(stream)
        self._tee.event("cut_off", stream.user.commander, self._bridge.epoch, f"event stream: {why}")
        stream.request.channel.transport.abortConnection()

    def _keep_all_alive(self) -> None:
        self._keep_alive = self._clock.callLater(KEEP_ALIVE, self._keep_all_alive)
        commenting = Deferred.fromCoroutine(self._comment(tuple(self._streams)))
        commenting.addErrback(lambda reason: reason.trap(CancelledError))

    async def _comment(self, streams: tuple[Stream, ...]) -> None:
        for first in range(0, len(streams), STREAMS_PER_TURN):
            for stream in streams[first : first + STREAMS_PER_TURN]:
                stream.send(COMMENT)
            await self._turns.turn()

    def close(self) -> None:
        """End all streams, and begin no more."""
        self._closed = True
        for stream in tuple(self._streams):
            self._leave(stream)
            stream.request.unregisterProducer()
            stream.request.finish()


def read_call(call: Call) -> tuple[Selection, tuple[int, int] | None]:
    """What a request asks for, and the run and row after which.

    :raises Problem: 422 with every fault in the parameters; 400 if the last id is none.
    """
    faults = [
        Fault(f"query.{name[:80]}", f"there is no such parameter; expected {', '.join(PARAMETERS)}")
        for name in call.query
        if name not in PARAMETERS
    ]
    selection = read_selection(call.query, faults)
    refuse(faults)
    for where, text in (
        ("header.last-event-id", call.headers.get("last-event-id")),
        ("query.last_event_id", call.query.get("last_event_id")),
    ):
        if text:
            try:
                return selection, read_event_id(text)
            except ValueError as error:
                raise Problem(400, "the last event's id can't be read", (Fault(where, str(error)),)) from None
    return selection, None
