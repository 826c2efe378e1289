"""The way out to one who is told: with a bound, past which who does not keep up is cut off.

Nothing is dropped for one who stays connected, and nothing waits for one that is slow. While there is room
what is sent goes out at once: whoever sends much in one turn joins it, since each piece may be a system
call. The bridge's clients have an `SendBuffer` each, and the web's streams of events.

Touches a transport, or whatever takes a producer and bytes as one does, and a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, IWriteDescriptor
from zope.interface import implementer

from .deadlines import Deadline
from .waiting import Waiters

AT_ONCE_INTERVAL = 50e-6
"""Least time between two writes that are sent at once, in seconds: about a turn of the reactor."""

READS_ON = 1.0
"""How long a client that has just read all that the transport had is given at least to do so again, in
seconds: what is kept for it may be old because this process was held up."""


class PromptSender:
    """Send what was written in the present turn of the reactor: the one place that calls ``doWrite``.

    The reactor itself writes in its next turn. A round trip takes 117 µs with this and 130 µs without it
    (benchmark ``round_trip``, "ours, sent at once" against "ours"). Two sends are at least
    `AT_ONCE_INTERVAL` apart, since each is a system call; a write in between waits for the reactor.

    A transport that wraps a socket decides for itself when it writes and how it ends: TLS is one. There, and
    wherever the class of a transport is no `IWriteDescriptor`, nothing is sent early. An error that
    ``doWrite`` returns stays for the reactor to find.
    """

    __slots__ = ("_clock", "_sent_at", "_transport")

    def __init__(self, clock: IReactorTime, transport: Any) -> None:
        self._clock = clock
        self._sent_at = -AT_ONCE_INTERVAL
        self._transport = transport if IWriteDescriptor.implementedBy(type(transport)) else None

    def send_now(self) -> None:
        """Send, unless the last send was within `AT_ONCE_INTERVAL`, or the clock went back."""
        if self._transport is None:
            return
        now = self._clock.seconds()
        if not 0 <= now - self._sent_at < AT_ONCE_INTERVAL:
            self._sent_at = now
            self._transport.doWrite()


@implementer(IPushProducer)
class SendBuffer:
    """Writes to a transport while it has room, and keeps what comes meanwhile, up to a bound.

    :param clock: times how long the client is behind.
    :param max_bytes: how much may be kept beyond what the transport itself buffers.
    :param max_seconds: how long the oldest of what the client has not read may wait. A client that
        reads on is not cut off, however long there is always something left to read.
    :param cut_off: called with the reason, once, when a bound is passed.
    """

    def __init__(
        self, clock: IReactorTime, max_bytes: int, max_seconds: float, cut_off: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._cut_off = cut_off
        self._transport: Any = None
        self._has_room = False
        self._prompt: PromptSender | None = None
        self._kept: deque[tuple[float, bytes]] = deque()  # with when it came
        self._kept_bytes = 0
        self._deadline: IDelayedCall | None = None
        self._roomy: Waiters[None] = Waiters()

    @property
    def behind(self) -> int:
        """How many bytes are kept here, beyond what the transport itself buffers."""
        return self._kept_bytes

    def attach(self, transport: Any) -> None:
        """Write to this transport from now on; its flow control is the outlet's."""
        self._transport = transport
        self._has_room = True
        self._prompt = PromptSender(self._clock, transport)
        transport.registerProducer(self, True)

    def detach(self) -> None:
        """Forget the transport and all that was kept; cancel each wait for room."""
        self._transport = self._prompt = None
        self._has_room = False
        self._kept.clear()
        self._kept_bytes = 0
        self._stop_timer()
        self._roomy.fail(CancelledError)

    def finish(self) -> None:
        """Hand all that was kept to the transport, room or not, and detach."""
        if self._transport is not None:
            self._transport.unregisterProducer()
            self._transport.write(b"".join(data for _, data in self._kept))
        self.detach()

    def send(self, data: bytes) -> None:
        """Send whole lines; to nobody if there is no transport."""
        if self._has_room:
            self._transport.write(data)
            if self._prompt is not None:
                self._prompt.send_now()
        elif self._transport is not None:
            self._kept.append((self._clock.seconds(), data))
            self._kept_bytes += len(data)
            if self._kept_bytes > self._max_bytes:
                self._cut(f"more than {self._max_bytes} bytes behind")

    def room(self) -> Deferred[None]:
        """Fires when there is room; cancelled if there is no transport, or none any more."""
        if self._has_room:
            return succeed(None)
        room = self._roomy.wait()
        if self._transport is None:
            room.cancel()
        return room

    def pauseProducing(self) -> None:
        if self._transport is not None:
            self._has_room = False
            if self._deadline is None:
                self._start_timer(self._clock.seconds())

    def resumeProducing(self) -> None:
        """All that was written has been read: write on, until there is no room again."""
        if self._transport is None:  # told late by a transport that is closing
            return
        self._stop_timer()
        self._has_room = True
        oldest = self._kept[0][0] if self._kept else 0.0
        while self._kept and self._has_room:
            data = self._kept.popleft()[1]
            self._kept_bytes -= len(data)
            self._transport.write(data)
        if self._has_room:
            self._roomy.fire(None)
        else:
            self._start_timer(oldest, at_least=READS_ON)

    def stopProducing(self) -> None:
        """The connection is lost; its owner detaches."""

    def _start_timer(self, since: float, at_least: float = 0.0) -> None:
        self._stop_timer()
        rest = max(at_least, since + self._max_seconds - self._clock.seconds())
        self._deadline = Deadline(self._clock, rest, self._cut, f"not caught up for {self._max_seconds:g} s")

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            if self._deadline.active():
                self._deadline.cancel()
            self._deadline = None

    def _cut(self, why: str) -> None:
        self.detach()
        self._cut_off(why)
