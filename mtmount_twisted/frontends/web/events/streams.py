"""``GET /api/v1/events``: server-sent events of every record, for any number of readers.

`Stream` is the bounded output to one reader, `Streams` the set of all streams. If a reader is a slow
consumer, the service closes the stream, by the bridge's rule for slow clients. The reader can resume.
A stream resumes with the rows that memory holds; an event ``gone`` names the id after which
``/api/v1/messages`` has the other rows. Next to read: `ring`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mtmount_twisted.config.settings import ClientLimits, WebSettings
from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.frontends.web.http.answers import EventId
from mtmount_twisted.frontends.web.http.calls import (
    Answer,
    Call,
    Fault,
    Parameter,
    Request,
    RequestError,
    Route,
    User,
)
from mtmount_twisted.frontends.web.http.encoding import as_json
from mtmount_twisted.interfaces import IEventBus, ISignals
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.net.send_buffer import SendBuffer
from mtmount_twisted.records import ChangeRecord

from .ring import STREAMS_PER_TURN, Feed, Turns, frame, framed
from .selection import Selection, read_selection, refuse, selection_parameters, unknown
from .shapes import Hello, OwnId, StreamId, read_any_id
from .signals import PARAMETERS, SignalStreams, Wanted, read_wanted

KEEP_ALIVE = 15.0
"""The time between comments on a stream, which show proxies that the stream is alive, in seconds."""

COMMENT = b":\n\n"

RESUMING = (
    Parameter("Last-Event-ID", "header", EventId, "Begin with the entries after this event."),
    Parameter("last_event_id", "query", EventId, "The same, for a client that can't send the header."),
)
"""The parameters by which a stream resumes."""

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds on streams.

    :ivar max_behind_bytes: the largest backlog of one reader in bytes, without its connection's own buffer.
    :ivar max_behind_seconds: the longest time that the oldest byte of a backlog may wait (s).
    :ivar per_user: the largest number of streams of one user; without tokens, of one address.
    :ivar per_address: the largest number of streams of all users at one address, or in one /64 of IPv6.
    :ivar total: the largest number of streams.
    :ivar observers: the largest number of streams of observers.
    """

    max_behind_bytes: int
    max_behind_seconds: float
    per_user: int
    per_address: int
    total: int
    observers: int

    @classmethod
    def of(cls, settings: WebSettings, clients: ClientLimits) -> Bounds:
        """Return the bounds of a configuration: a stream has the backlog bounds of a client of the bridge.

        Each stream holds a connection. Half of all connections remain for other requests, such as a stop.
        Half of the connections of one address remain, too, unless one user may have more streams. Observers
        share half of all connections with addresses that were not seen before (`http.places`), and their
        streams take a half of that half.
        """
        return cls(
            max_behind_bytes=clients.max_behind_bytes,
            max_behind_seconds=clients.max_behind_seconds,
            per_user=settings.max_streams_per_user,
            per_address=max(settings.max_streams_per_user, settings.max_connections_per_address // 2),
            total=settings.max_connections // 2,
            observers=max(1, settings.max_connections // 4),
        )


class Stream:
    """The output to one reader: a `SendBuffer`, and the work that ends with the stream.

    :param call: the request for the stream.
    :ivar share: the key under which the stream counts against the bound for each user: see `Call`.
    :ivar peer: the network of the reader: see `Call`.
    :param cut_off: called once with the stream and the reason, when the backlog passes a bound.
    :ivar send: send bytes to the reader, now or when there is room; discard them once the stream ended.
    :ivar room: return a Deferred that fires when there is room; it is cancelled when the stream ends, and a
        caller may cancel it.
    :ivar ended: True once the stream sends nothing more.
    :ivar release: called when the stream ends.
    :ivar resuming: the work that sends the missed rows, while it runs.
    """

    def __init__(
        self,
        call: Call,
        selection: Selection,
        clock: IReactorTime,
        bounds: Bounds,
        cut_off: Callable[[Stream, str], None],
    ) -> None:
        if call.request is None:
            raise TypeError("a stream needs the request that it answers")
        self.request: Request = call.request
        self.selection = selection
        self.user: User = call.user
        self.share: str = call.share
        self.peer: str = call.peer
        self.ended: bool = False
        self.resuming: Deferred[None] | None = None
        self.release: Callable[[], None] = lambda: None
        most = bounds.max_behind_bytes, bounds.max_behind_seconds
        self._send_buffer = SendBuffer(clock, *most, lambda why: cut_off(self, why))
        self.send: Callable[[bytes], None] = self._send_buffer.send
        self.room: Callable[[], Deferred[None]] = self._send_buffer.room

    @property
    def behind(self) -> int:
        """The backlog, in bytes."""
        return self._send_buffer.behind

    @property
    def has_room(self) -> bool:
        """True while the connection takes data."""
        return self._send_buffer.has_room

    def begin_sending(self) -> None:
        """Begin to send."""
        self._send_buffer.attach(cast(IConsumer, self.request))

    def end(self) -> None:
        """Stop sending, and cancel the work for the stream."""
        self.ended = True
        self._send_buffer.detach()
        if self.resuming is not None:
            self.resuming.cancel()


class Presence(Protocol):
    """The users as commanders of the bridge."""

    def hold(self, user: User) -> Callable[[], None]:
        """Keep the user's commander present until the returned function is called."""


class Streams:
    """The streams of all readers.

    :param presence: keeps the user of a stream present.
    :param signals: sends the mount's signals.
    :param bus: the bus receives a change for each reader that is cut off.
    :param log: the log receives a line for each reader that is cut off.
    :ivar cut_off: the number of readers that were cut off.
    """

    def __init__(
        self,
        feed: Feed,
        signals: SignalStreams,
        turns: Turns,
        presence: Presence,
        bus: IEventBus,
        clock: IReactorTime,
        bounds: Bounds,
        log: logging.Logger,
    ) -> None:
        self.cut_off: int = 0
        self._log = log
        self._limited_log = RateLimitedLog(clock, self._log, A_FEW)
        self._feed = feed
        self._signals = signals
        self._turns = turns
        self._presence = presence
        self._bus = bus
        self._clock = clock
        self._bounds = bounds
        self._streams: dict[Stream, None] = {}
        self._by_share: Counter[str] = Counter()
        self._by_peer: Counter[str] = Counter()
        self._keep_alive: IDelayedCall | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def behind(self) -> int:
        """The backlog of all readers together, in bytes."""
        return sum(stream.behind for stream in self._streams)

    def routes(self) -> list[Route]:
        """Return the routes of the service."""
        return [
            Route(
                "GET",
                "/api/v1/events",
                self.events,
                "observe",
                "Server-sent events: messages, steps of commands and changes, and the mount's signals.",
                id="stream_events",
                tag="events",
                answers={200: HEADERS["Content-Type"]},
                problems=(422, 503),
                parameters=_parameters(self._feed.dialect),
            )
        ]

    async def events(self, call: Call) -> Answer:
        """Begin a stream, which ends when the reader disconnects or is cut off, or when the service ends."""
        selection, wanted, last = read_call(call, self._feed.dialect, self._signals.signals)
        self._look_for_room(call)
        if call.only_headers:
            return Answer(b"", headers=HEADERS)
        stream = Stream(call, selection, self._clock, self._bounds, self._cut)
        self._enter(stream)
        for name, value in HEADERS.items():
            stream.request.setHeader(name, value)
        stream.begin_sending()
        self._greet(stream, resumes=last is not None)
        if wanted:
            self._signals.attach(stream, wanted)
        if last is None:
            self._feed.attach(stream)
        else:
            stream.resuming = Deferred.fromCoroutine(self._resume(stream, last))
            stream.resuming.addErrback(self._failed, stream)
        return Answer(streams=True)

    async def _resume(self, stream: Stream, last: OwnId | StreamId) -> None:
        """Send the rows in memory after an id, a slice in each turn of the reactor, then attach the stream.

        If memory no longer holds a row, for example because the reader is slow, an event ``gone`` replaces
        the row.
        """
        feed, observes = self._feed, stream.user.observes
        await stream.room()
        await self._turns.turn(observes=observes)
        position = feed.position_after(last)
        while position != feed.edge:
            if position is None or position < feed.start:
                stream.send(feed.gone_after(last))
                position = feed.start
                if feed.oldest_row:  # the next ``gone`` begins where this one ends
                    last = feed.journal.run, feed.oldest_row - 1
            elif position > feed.edge:  # the journal already holds rows that listeners do not have yet
                await feed.moved()
                await self._turns.turn(observes=observes)  # many may wait for that
            else:
                rows = feed.rows(position, feed.edge)
                position += len(rows)
                for each in rows:
                    own = (each.entry.run, each.entry.id) if each.entry.id else None
                    last = each.stream_id or own or last
                    if stream.selection.takes(each):
                        stream.send(framed(each))
                        await stream.room()
                await self._turns.turn(observes=observes)
        if not stream.ended:
            feed.attach(stream)

    def _failed(self, reason: Failure, *streams: Stream) -> None:
        """Cut off the readers of failed streams: a reader can resume, and must not keep a silent stream."""
        if reason.check(CancelledError):
            return
        self._log.error("web: an event stream failed: %s", reason.getTraceback())
        for stream in streams:
            if stream in self._streams:
                self._cut(stream, "a fault of the daemon; its log says why")

    def _look_for_room(self, call: Call) -> None:
        share, peer, most = call.share, call.peer, self._bounds.per_user
        if self._closed:
            raise RequestError(503, "the daemon ends")
        if self._by_share[share] >= most:
            raise RequestError(503, f"you have {most} event streams already", headers={"Retry-After": "10"})
        if peer and self._by_peer[peer] >= self._bounds.per_address:
            text = f"your address has {self._bounds.per_address} event streams already"
            raise RequestError(503, text, headers={"Retry-After": "10"})
        if len(self._streams) >= self._bounds.total:
            text = f"there are {self._bounds.total} event streams already"
            raise RequestError(503, text, headers={"Retry-After": "10"})
        observing = sum(stream.user.observes for stream in self._streams)
        if call.user.observes and observing >= self._bounds.observers:
            text = f"observers have {self._bounds.observers} event streams already"
            raise RequestError(503, text, headers={"Retry-After": "10"})

    def _enter(self, stream: Stream) -> None:
        self._streams[stream] = None
        self._by_share[stream.share] += 1
        self._by_peer[stream.peer] += 1
        stream.release = self._presence.hold(stream.user)
        stream.request.notifyFinish().addBoth(lambda _: self._leave(stream))
        if self._keep_alive is None:
            self._keep_alive = self._clock.callLater(KEEP_ALIVE, self._keep_all_alive)

    def _greet(self, stream: Stream, resumes: bool) -> None:
        """Send the stream's position. If the stream will send every row after it, send it with its id."""
        last = self._feed.last_id
        data = as_json(Hello(run=self._feed.journal.run, last_id=last, epoch=self._bus.epoch))
        stream.send(frame("hello", data, None if resumes else last))

    def _leave(self, stream: Stream) -> None:
        if stream not in self._streams:
            return
        del self._streams[stream]
        self._by_share[stream.share] -= 1
        self._by_share += Counter()  # keeps the counts above zero
        self._by_peer[stream.peer] -= 1
        self._by_peer += Counter()
        self._feed.detach(stream)
        self._signals.detach(stream)
        stream.end()
        stream.release()
        if not self._streams and self._keep_alive is not None:
            self._keep_alive.cancel()
            self._keep_alive = None

    def _cut(self, stream: Stream, why: str) -> None:
        self.cut_off += 1
        self._leave(stream)
        why = f"event stream: {why}"
        bus, privileged = self._bus, not stream.user.roles.isdisjoint(("stop", "command"))
        bus.publish(ChangeRecord(bus.now(), bus.epoch, stream.user.commander, "cut_off", why, privileged))
        self._limited_log.warning("%s: closed: cut off: %s", stream.user.commander, why)
        stream.request.channel.transport.abortConnection()

    def _keep_all_alive(self) -> None:
        self._keep_alive = self._clock.callLater(KEEP_ALIVE, self._keep_all_alive)
        commenting = Deferred.fromCoroutine(self._comment(tuple(self._streams)))
        commenting.addErrback(self._failed)

    async def _comment(self, streams: tuple[Stream, ...]) -> None:
        for first in range(0, len(streams), STREAMS_PER_TURN):
            for stream in streams[first : first + STREAMS_PER_TURN]:
                stream.send(COMMENT)
            await self._turns.turn()

    def close(self) -> None:
        """End all streams, and accept no more."""
        self._closed = True
        for stream in tuple(self._streams):
            self._leave(stream)
            stream.request.unregisterProducer()
            stream.request.finish()


@cache
def _parameters(dialect: Dialect) -> tuple[Parameter, ...]:
    return (*selection_parameters(dialect), *PARAMETERS, *RESUMING)


def read_call(
    call: Call, dialect: Dialect, signals: ISignals | None
) -> tuple[Selection, Wanted, OwnId | StreamId | None]:
    """Return the selection of a request, its signals, and the id after which the stream resumes.

    :raises RequestError: 422 with every fault in the parameters; 400 if the last id is malformed.
    """
    faults = unknown(call.query, _parameters(dialect))
    selection = read_selection(call.query, faults, dialect)
    wanted = read_wanted(call.query, faults, signals)
    refuse(faults)
    for where, text in (
        ("header.last-event-id", call.headers.get("last-event-id")),
        ("query.last_event_id", call.query.get("last_event_id")),
    ):
        if text:
            try:
                return selection, wanted, read_any_id(text)
            except ValueError as error:
                raise RequestError(
                    400, "the last event's id can't be read", (Fault(where, str(error)),)
                ) from None
    return selection, wanted, None
