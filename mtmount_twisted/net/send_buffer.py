"""Bounded sending: a client that falls behind by more than a bound is a slow consumer and is disconnected.

Nothing is dropped for a connected client, and no other client waits for a slow one. While the transport has
room, data is sent at once. A caller that sends much in one turn should join the data, because each piece may
cost a system call. Each client of the bridge has a `SendBuffer`, and so has each event stream of the web.

This module touches a clock and a transport, or any object with the same methods for bytes and a producer.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    IWriteDescriptor,
)
from zope.interface import implementer

from .deadlines import Deadline
from .waiting import Waiters

AT_ONCE_INTERVAL = 50e-6
"""Shortest time between two writes that are sent at once, in seconds: about a turn of the reactor."""

READS_ON = 1.0
"""Shortest time in seconds that a client has to empty the transport's buffer once more after it has just
emptied it. Its backlog may be old only because this process was suspended."""

SYSTEM_BUFFER = 128 * 1024
"""Size of the system's buffer for a client, in bytes. The system's own choice is some MiB, and hides that a
client is that far behind."""


def bound_system_buffer(transport: Any) -> None:
    """Limit the system's buffer to `SYSTEM_BUFFER`; under TLS, the one of the socket below."""
    while ISSLTransport.providedBy(transport) and hasattr(transport, "transport"):
        transport = transport.transport
    handle = getattr(transport, "getHandle", lambda: None)()
    if isinstance(handle, socket.socket):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SYSTEM_BUFFER)


class PromptSender:
    """Sender that flushes data in the present turn of the reactor. It is the one place that calls
    ``doWrite``.

    The reactor itself writes in its next turn. A round trip takes 117 µs with this class and 130 µs without
    it (benchmark ``round_trip``, "ours, sent at once" against "ours"). Two flushes are at least
    `AT_ONCE_INTERVAL` apart, because each is a system call; a write in between waits for the reactor.

    A transport that wraps a socket, such as TLS, decides for itself when it writes and how it ends. If the
    class of a transport is not an `IWriteDescriptor`, nothing is flushed early. An error that ``doWrite``
    returns is left for the reactor to find.
    """

    __slots__ = ("_clock", "_sent_at", "_transport")

    def __init__(self, clock: IReactorTime, transport: Any) -> None:
        self._clock = clock
        self._sent_at = -AT_ONCE_INTERVAL
        self._transport = transport if IWriteDescriptor.implementedBy(type(transport)) else None

    def send_now(self) -> None:
        """Flush, unless the last flush was within `AT_ONCE_INTERVAL`, or the clock went back."""
        if self._transport is None:
            return
        now = self._clock.seconds()
        if not 0 <= now - self._sent_at < AT_ONCE_INTERVAL:
            self._sent_at = now
            self._transport.doWrite()


@implementer(IPushProducer)
class SendBuffer:
    """Writer to a transport. While the transport has no room, it keeps a backlog, up to a bound.

    :param clock: clock that measures how long the client is behind.
    :param max_bytes: largest backlog in bytes, without the bytes that the transport itself buffers.
    :param max_seconds: longest time that the oldest unread data may wait. A client that keeps reading is not
        cut off, however long some data remains unread.
    :param cut_off: called once with the reason when a bound is exceeded.
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
        self._kept: deque[tuple[float, bytes]] = deque()  # with the time of arrival
        self._kept_bytes = 0
        self._deadline: IDelayedCall | None = None
        self._roomy: Waiters[None] = Waiters()

    @property
    def behind(self) -> int:
        """Backlog in bytes, without the bytes that the transport itself buffers."""
        return self._kept_bytes

    def attach(self, transport: Any) -> None:
        """Write to this transport from now on, and take over its flow control."""
        self._transport = transport
        self._has_room = True
        self._prompt = PromptSender(self._clock, transport)
        transport.registerProducer(self, True)

    def detach(self) -> None:
        """Forget the transport and the backlog. Cancel each wait for room."""
        self._transport = self._prompt = None
        self._has_room = False
        self._kept.clear()
        self._kept_bytes = 0
        self._stop_timer()
        self._roomy.fail(CancelledError)

    def finish(self) -> None:
        """Write the whole backlog to the transport, even without room, and detach."""
        if self._transport is not None:
            self._transport.unregisterProducer()
            self._transport.write(b"".join(data for _, data in self._kept))
        self.detach()

    def send(self, data: bytes) -> None:
        """Send whole lines. Without a transport, drop them."""
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
        """Return a Deferred that fires when there is room. Without a transport it is cancelled."""
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
        """Write the backlog, because all earlier data has been read, until there is no room again."""
        if self._transport is None:  # a closing transport may call this late
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
        """Do nothing: the connection is lost, and its owner detaches."""

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
