"""The faults that a proxy imposes on one direction of a connection, and their implementation.

`Conditions` describes the faults as a value. A `Lane` holds the conditions of one direction of all
connections of a proxy, and counts bytes. A `Flow` holds the received bytes of one direction of one connection
until they may go on. A `Socket` is one of the two ends of a connection.

This module touches its own two transports and the clock. Next to read: `chaos`, which makes the connections.
"""

from __future__ import annotations

import sys
import typing
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

HELD = 2**16
"""Number of waiting bytes of one direction of a connection at which a proxy stops reading."""

STEP = 0.02
"""If only the bandwidth limits a piece, it has the bytes that pass in this time, in seconds."""

End = Literal["done", "reset"]
"""Ways in which a direction ends: after all earlier bytes, or at once with a reset of both sockets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The faults imposed on one direction of a connection.

    :ivar latency: delay of each byte in seconds, finite, 0 or more.
    :ivar bandwidth: bytes per second, finite, more than 0; None for no limit.
    :ivar slices: size of one piece in bytes, 1 or more, with a turn of the reactor for each piece; None to
        send all waiting bytes as one piece.
    :ivar limit: number of bytes of a connection after which both its sockets are closed, 0 or more; None for
        no limit.
    :ivar hang: True to pass on neither bytes nor an end, while both sockets stay open.
    :ivar swallow: True to read all bytes and discard them, so that the sender notices nothing.
    :raises ValueError: if a value has the wrong type or is out of range. The error names the field, the value
        and the valid range.
    """

    latency: float = 0.0
    bandwidth: float | None = None
    slices: int | None = None
    limit: int | None = None
    hang: bool = False
    swallow: bool = False

    def __post_init__(self) -> None:
        for name, is_right, expected in _RANGES:
            value = getattr(self, name)
            if not is_right(value):
                raise ValueError(f"{name}: expected {expected}, got {value!r:.100}")


def _is_number(value: Any) -> bool:
    """Return True for a finite number. The reactor can't compute a time with anything else."""
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and abs(value) <= sys.float_info.max


def _is_count(value: Any, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


_RANGES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("latency", lambda value: _is_number(value) and value >= 0, "0 or more seconds, finite"),
    (
        "bandwidth",
        lambda value: value is None or (_is_number(value) and value > 0),
        "more than 0 bytes per second, finite, or None",
    ),
    ("slices", lambda value: value is None or _is_count(value, 1), "1 or more whole bytes, or None"),
    ("limit", lambda value: value is None or _is_count(value, 0), "0 or more whole bytes, or None"),
    ("hang", _is_bool, "True or False"),
    ("swallow", _is_bool, "True or False"),
)

_NAMES = tuple(declared.name for declared in fields(Conditions))


class Lane:
    """One direction through a proxy: the conditions of its connections, and byte counts.

    :ivar conditions: the present conditions, for existing and future connections.
    :ivar read: number of bytes received.
    :ivar forwarded: number of bytes sent on.
    :ivar dropped: number of bytes discarded: swallowed, over a limit, or without a receiver.
    """

    def __init__(self, flows: Callable[[], Iterable[Flow]]) -> None:
        self._flows = flows
        self.conditions: Conditions = Conditions()
        self.read = self.forwarded = self.dropped = 0

    def set(self, **changes: Any) -> None:
        """Change some of the conditions, by their names in `Conditions`; the others stay.

        :raises ValueError: if a value has the wrong type or is out of range; then nothing changes.
        :raises TypeError: if there is no such condition; then nothing changes.
        """
        for name, value in changes.items():
            if name not in _NAMES:
                raise TypeError(f"{name}: expected one of {', '.join(_NAMES)}, got {value!r:.100}")
        self.conditions = replace(self.conditions, **changes)
        for flow in self._flows():
            flow.go_on()

    def clear(self) -> None:
        """Remove all faults. Waiting bytes go on at once and in order; discarded bytes are lost."""
        self.conditions = Conditions()
        for flow in self._flows():
            flow.let_go()

    def half_close(self) -> None:
        """End this direction of the existing connections after the bytes so far; the other direction stays
        open."""
        for flow in self._flows():
            flow.end("done")


class FlowOwner(typing.Protocol):
    """The interface of a connection that a flow needs.

    :ivar clock: an ``IReactorTime``.
    """

    clock: Any

    def pass_end(self, how: End, sink: Socket) -> None:
        """End this socket as the other side has ended."""

    def close(self) -> None:
        """Close both sockets."""


@implementer(IPushProducer)
class Flow:
    """One direction of one connection: the bytes from `source` that may not go on to `sink` yet."""

    def __init__(self, lane: Lane, owner: FlowOwner, source: Socket, sink: Socket) -> None:
        self._lane = lane
        self._owner = owner
        self._clock = owner.clock
        self._source = source
        self._sink = sink
        self._waiting: deque[tuple[float, bytes]] = deque()  # each piece with the time at which it is due
        self._waiting_bytes = 0
        self._end: tuple[float, End] | None = None
        self._sent = 0
        self._free_at = 0.0  # time at which the bandwidth allows the next bytes
        self._has_room = True
        self._between_pieces = False
        self._timer: IDelayedCall | None = None
        self.ended: bool = False

    def received(self, data: bytes) -> None:
        """Store bytes from the source, or discard them, as the conditions say."""
        lane = self._lane
        lane.read += len(data)
        if lane.conditions.swallow or self._end is not None or not self._sink.is_open:
            lane.dropped += len(data)
            return
        self._waiting.append((self._clock.seconds() + lane.conditions.latency, data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > HELD:
            self._source.pause()
        self.go_on()

    def end(self, how: End) -> None:
        """Note that the source has ended."""
        if how == "reset":
            self.drop_waiting()
            self.ended = False  # a reset may follow an orderly end
        elif self._end is not None:
            return
        self._end = (self._clock.seconds() + self._lane.conditions.latency, how)
        self.go_on()

    def drop_waiting(self) -> None:
        """Discard the waiting bytes, because the sink is gone."""
        self._lane.dropped += self._waiting_bytes
        self._waiting.clear()
        self._waiting_bytes = 0
        self._source.resume()

    def let_go(self) -> None:
        """Send the waiting bytes and the end without further delay."""
        self._waiting = deque((0.0, data) for _, data in self._waiting)
        if self._end is not None:
            self._end = (0.0, self._end[1])
        self._free_at = 0.0
        self.go_on()

    def go_on(self) -> None:
        """Send the bytes that are due, and set a timer for the next ones."""
        if self._between_pieces:
            return
        self.stop_timer()
        if self._lane.conditions.hang or self.ended:
            return
        while self._waiting and self._has_room:
            free_at = 0.0 if self._lane.conditions.bandwidth is None else self._free_at
            if self._must_wait(max(self._waiting[0][0], free_at)) or not self._send_piece():
                return
        if not self._waiting and self._end is not None and not self._must_wait(self._end[0]):
            self.ended = True
            self._owner.pass_end(self._end[1], self._sink)

    def _must_wait(self, until: float) -> bool:
        """If a time is in the future, set a timer for it and return True."""
        rest = until - self._clock.seconds()
        if rest > 0:
            self._timer = self._clock.callLater(rest, self.go_on)
            return True
        return False

    def _send_piece(self) -> bool:
        """Send one piece. Return False if no more may be sent in this turn."""
        conditions = self._lane.conditions
        due, data = self._waiting.popleft()
        size = len(data)
        if conditions.bandwidth is not None:
            size = min(size, max(1, int(conditions.bandwidth * STEP)))
        if conditions.slices is not None:
            size = min(size, conditions.slices)
        if conditions.limit is not None:
            size = min(size, max(0, conditions.limit - self._sent))
        if size < len(data):
            self._waiting.appendleft((due, data[size:]))
        self._write(data[:size])
        if conditions.limit is not None and self._sent >= conditions.limit:
            self.drop_waiting()
            self._owner.close()
            return False
        if conditions.slices is not None:
            self._between_pieces = True
            self._timer = self._clock.callLater(0, self._next_turn)
        return not self._between_pieces

    def _next_turn(self) -> None:
        self._between_pieces = False
        self.go_on()

    def _write(self, piece: bytes) -> None:
        bandwidth = self._lane.conditions.bandwidth
        if bandwidth is not None:
            self._free_at = max(self._free_at, self._clock.seconds()) + len(piece) / bandwidth
        self._sent += len(piece)
        self._lane.forwarded += len(piece)
        self._waiting_bytes -= len(piece)
        if self._waiting_bytes <= HELD // 2:
            self._source.resume()
        self._sink.transport.write(piece)

    def stop_timer(self) -> None:
        """Cancel the timer."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def pauseProducing(self) -> None:
        self._has_room = False

    def resumeProducing(self) -> None:
        self._has_room = True
        self.go_on()

    def stopProducing(self) -> None:
        """Do nothing: the sink is lost, and its `connectionLost` follows."""


@implementer(IHalfCloseableProtocol)
class Socket(Protocol):
    """One of the two sockets of a connection.

    :ivar out: the flow that takes the bytes received from this socket.
    :ivar into: the flow that sends bytes to this socket.
    """

    transport: Any
    out: Flow
    into: Flow

    def __init__(self, made: Callable[[], None], lost: Callable[[], None]) -> None:
        self._made = made
        self._lost = lost
        self._paused = False
        self._read_ended = False
        self.is_open: bool = False

    def connectionMade(self) -> None:
        self.is_open = True
        with suppress(AttributeError):  # a transport in memory has no such option
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self.into, True)
        self._made()

    def dataReceived(self, data: bytes) -> None:
        self.out.received(data)

    def readConnectionLost(self) -> None:
        self._read_ended = True
        self.out.end("done")

    def writeConnectionLost(self) -> None:
        """Do nothing: this side itself ended the writing."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_open = False
        self.into.drop_waiting()
        self.into.stop_timer()
        if not reason.check(ConnectionDone):
            self.out.end("reset")
        elif not self._read_ended:
            self.out.end("done")
        self._lost()

    def pause(self) -> None:
        """Stop reading."""
        if not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read again, if reading was paused and has not ended."""
        if self._paused and self.is_open and not self._read_ended:
            self._paused = False
            self.transport.resumeProducing()

    def half_close(self) -> None:
        """Send the waiting bytes and an end of file."""
        if self.is_open:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def close(self) -> None:
        """Send the waiting bytes and close."""
        if self.is_open:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """Reset the connection: on TCP, with `SO_LINGER` 0."""
        if self.is_open:
            self.transport.abortConnection()
