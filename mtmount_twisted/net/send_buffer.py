"""Bounded sending: everything that the package writes to a peer goes through a `SendBuffer`.

While the transport has room, data is sent at once. A caller that sends much in one turn should join the data,
because each piece may cost a system call. Without room, a `SendBuffer` keeps a backlog up to a bound. Beyond
the bound, either the write fails (the pairs of the library), or the peer is a slow consumer and is
disconnected (the clients of the bridge and the event streams of the web). Nothing is dropped for a connected
peer, and no other peer waits for a slow one.

This module touches a clock and a transport, or any object with the same methods for bytes and a producer.

Next to read: `protocol`, whose connections write with it.
"""

from __future__ import annotations

import math
import socket
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
)
from zope.interface import implementer

from mtmount_twisted.errors import BacklogError

from .deadlines import PeerDeadline
from .liveness import handle_of
from .waiting import Waiters

AT_ONCE_INTERVAL = 50e-6
"""Shortest time between two writes that are sent at once, in seconds: about a turn of the reactor."""

READS_ON = 1.0
"""Shortest time in seconds that a client has to empty the transport's buffer once more after it has just
emptied it. Its backlog may be old only because this process was suspended."""

SYSTEM_BUFFER = 128 * 1024
"""Size of the system's buffer for a client, in bytes. The system's own choice is some MiB, by which a client
could be behind before its backlog here begins."""


def bound_system_buffer(transport: object) -> None:
    """Limit the system's buffer to `SYSTEM_BUFFER`; under TLS, the buffer of the socket below."""
    handle = handle_of(transport)
    if isinstance(handle, socket.socket):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SYSTEM_BUFFER)


class BufferState(Enum):
    """The states of a `SendBuffer`; its docstring explains each."""

    DETACHED = "detached"
    READY = "ready"
    FULL = "full"
    FINISHED = "finished"


DETACHED, READY, FULL, FINISHED = BufferState


@implementer(IPushProducer)
class SendBuffer:
    """Writer to a transport. While the transport has no room, it keeps a backlog, up to a bound. Its states::

        detached:  there is no transport; data is dropped
        ready:     the transport takes data
        full:      the transport has no room; data goes to the backlog
        finished:  the transport has all data and is to be closed; further data is dropped

    Only this class sends in the present turn of the reactor. The reactor itself writes in its next turn, and
    begins and ends to watch the socket for room, which costs two more system calls. While the socket's own
    buffer is empty, ``writeSomeData`` gives data to the system; else ``doWrite`` does, with the data in that
    buffer. A round trip then takes 58 µs, 69 µs with ``doWrite`` alone, and 78 µs if the reactor writes
    (benchmark ``round_trip``, "ours, sent at once" and "ours"). Two such sends are at least
    `AT_ONCE_INTERVAL` apart, because each is a system call; a write in between waits for the reactor. An
    error in sending is left for the reactor to find.

    A transport that wraps a socket, such as TLS, decides for itself when it writes and how it ends. If a
    transport is not a `FileDescriptor`, the reactor decides when data is sent.

    :param clock: clock that measures how long the peer is behind.
    :param max_bytes: largest backlog in bytes, without the bytes that the transport itself buffers.
    :param max_seconds: longest time that the oldest unread data may wait; None for no limit. A peer that
        keeps reading is not cut off, however long some data remains unread.
    :param cut_off: called once with the reason when a bound is exceeded. If None, a write beyond `max_bytes`
        raises an error instead, and the connection stays.
    :param write_overhead: bytes that a kept write counts in addition to its data.
    :param at_once: True to send in the present turn of the reactor.
    :ivar max_bytes: the parameter.
    :ivar state: the state, for a caller to which the cost of `has_room` matters.
    """

    def __init__(
        self,
        clock: IReactorTime,
        max_bytes: int,
        max_seconds: float | None = None,
        cut_off: Callable[[str], None] | None = None,
        *,
        write_overhead: int = 0,
        at_once: bool = True,
    ) -> None:
        self.max_bytes = max_bytes
        self.state: BufferState = DETACHED
        self._clock = clock
        self._max_seconds = max_seconds
        self._cut_off = cut_off
        self._write_overhead = write_overhead
        self._at_once = at_once
        self._transport: Any = None
        self._socket: FileDescriptor | None = None  # the transport, to which this may send at once
        self._do_write: Callable[[], object] = lambda: None
        self._is_empty = False  # True if the socket's own buffer is known to be empty
        self._sent_at = 0.0
        self._kept: deque[tuple[float, bytes]] = deque()  # with the time of arrival
        self._kept_bytes = 0  # with the overhead
        self._deadline: IDelayedCall | None = None
        self._roomy: Waiters[None] = Waiters()

    @property
    def has_room(self) -> bool:
        """True while the transport takes data."""
        return self.state is READY

    @property
    def behind(self) -> int:
        """Backlog in bytes, without the bytes that the transport itself buffers."""
        return self._kept_bytes

    def attach(self, transport: IConsumer) -> None:
        """Write to this transport from now on, and take over its flow control. The backlog is empty.

        Nothing else may write to the transport, because data that is sent at once would overtake it.
        """
        self._forget(READY)
        self._transport = transport
        if self._at_once and isinstance(transport, FileDescriptor):
            self._socket = transport
            self._do_write = transport.doWrite  # now, since an aborted transport has one that does nothing
            self._is_empty = False
            self._sent_at = -math.inf
        transport.registerProducer(self, True)

    def detach(self, make_error: Callable[[], Exception] = CancelledError) -> None:
        """Forget the transport and the backlog.

        :param make_error: returns the error of each wait for room.
        """
        self._forget(DETACHED)
        self._roomy.fail(make_error)

    def let_go(self) -> None:
        """Forget the function that cuts off: nothing will be attached any more."""
        self._cut_off = None

    def finish(self) -> None:
        """Write the whole backlog to the transport, even without room. The caller then closes the transport,
        and calls `detach`. Waits for room last until then.
        """
        if self._transport is not None:
            self._transport.unregisterProducer()
            try:
                self._transport.write(b"".join(data for _, data in self._kept))
            finally:
                self._forget(FINISHED)

    def _forget(self, after: BufferState) -> None:
        self.state = after
        self._transport = self._socket = None
        self._do_write = lambda: None
        self._kept.clear()
        self._kept_bytes = 0
        self._stop_timer()

    def send(self, data: bytes) -> None:
        """Send one or more whole lines. Without a transport, drop them. While there is room, any size fits.

        :raises BacklogError: if the backlog has no place for the data, and there is no `cut_off`. Then the
            data is not sent.
        """
        if self.state is not READY:
            if self.state is FULL:
                self._keep(data)
            return
        socket = self._socket
        if socket is None:
            self._transport.write(data)
            return
        if not socket.connected:  # the transport has lost its socket; `connectionLost` follows
            return
        now = self._clock.seconds()
        if 0 <= now - self._sent_at < AT_ONCE_INTERVAL:  # negative: the clock went back
            self._is_empty = False
            self._transport.write(data)
            return
        self._sent_at = now
        if self._is_empty:
            sent = socket.writeSomeData(data)
            if sent == len(data):
                return
            if isinstance(sent, int):  # else an error, which the reactor finds as it writes all of the data
                data = data[sent:]
        self._transport.write(data)
        self._is_empty = True  # before the call: a caller that waited for room may write more in it
        self._do_write()
        if socket.dataBuffer:  # the system took only a part
            self._is_empty = False

    def _keep(self, data: bytes) -> None:
        if self._kept_bytes + len(data) > self.max_bytes:
            if self._cut_off is None:
                raise BacklogError(self.max_bytes)
            self._cut(f"more than {self.max_bytes} bytes behind")
            return
        self._kept.append((self._clock.seconds(), data))
        self._kept_bytes += len(data) + self._write_overhead

    def room(self) -> Deferred[None]:
        """Return a Deferred that fires when there is room. While the buffer is detached, the Deferred is
        cancelled."""
        if self.state is READY:
            return succeed(None)
        room = self._roomy.wait()
        if self.state is DETACHED:
            room.cancel()
        return room

    def pauseProducing(self) -> None:
        if self.state is READY:
            self.state = FULL
            if self._deadline is None:
                self._start_timer(self._clock.seconds())

    def resumeProducing(self) -> None:
        """Write the backlog, because all earlier data has been read, until there is no room again."""
        if self.state is not FULL:  # a closing transport may call this late
            return
        self._stop_timer()
        self.state = READY
        oldest = self._kept[0][0] if self._kept else 0.0
        while self._kept and self.has_room:
            data = self._kept.popleft()[1]
            self._kept_bytes -= len(data) + self._write_overhead
            self._transport.write(data)
        if self.has_room:
            self._roomy.fire(None)
        else:
            self._start_timer(oldest, at_least=READS_ON)

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost, and its owner detaches."""

    def _start_timer(self, since: float, at_least: float = 0.0) -> None:
        self._stop_timer()
        if self._max_seconds is not None:
            rest = max(at_least, since + self._max_seconds - self._clock.seconds())
            why = f"not caught up for {self._max_seconds:g} s"
            self._deadline = PeerDeadline(self._clock, rest, self._cut, why)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            if self._deadline.active():
                self._deadline.cancel()
            self._deadline = None

    def _cut(self, why: str) -> None:
        self.detach()
        if self._cut_off is not None:
            self._cut_off(why)
