"""What one direction of a connection through a proxy suffers, and how that is done to it.

`Conditions` is what it suffers, as a value; a `Lane` has them for all connections of a proxy, and counts.
A `Flow` holds what came in one direction of one connection until it may go on; a `Socket` is one of the
two ends between which it flows.

Touches its own two transports, and the clock. Next to read: `chaos`, which puts connections together.
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
"""How many bytes of one direction of a connection wait in a proxy before it reads no more of them."""

STEP = 0.02
"""How much goes on at once where only the bandwidth says so: as much as it lets through in these seconds."""

End = Literal["done", "reset"]
"""How a direction ends: behind all that came before, or at once and with both sockets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What one direction of a connection suffers.

    :ivar latency: how late each byte is, in seconds, finite, 0 or more.
    :ivar bandwidth: bytes per second, finite, more than 0; None for as fast as it goes.
    :ivar slices: how many bytes go on in one piece, 1 or more, each in a turn of the reactor of its own;
        None for all that is there.
    :ivar limit: how many bytes of a connection go on before both its sockets are closed, 0 or more;
        None for no limit.
    :ivar hang: True to let nothing pass, neither bytes nor an end, while both sockets stay.
    :ivar swallow: True to read all that comes and throw it away, so that who sends notices nothing.
    :raises ValueError: if a value is not of its type or out of range; it names the field, the value and what
        was expected.
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
    """Whether time can be reckoned with it: what is no number, or not finite, would fail in the reactor."""
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
    """One direction through a proxy: what its connections suffer, and what went through.

    :ivar conditions: what holds now, for the connections that are up and for those to come.
    :ivar read: how many bytes came in.
    :ivar forwarded: how many went on.
    :ivar dropped: how many were thrown away: swallowed, over a limit, or with nobody left to take them.
    """

    def __init__(self, flows: Callable[[], Iterable[Flow]]) -> None:
        self._flows = flows
        self.conditions = Conditions()
        self.read = self.forwarded = self.dropped = 0

    def set(self, **changes: Any) -> None:
        """Change some of the conditions, by their names in `Conditions`; the others stay.

        :raises ValueError: if a value is not of its type or out of range; then nothing changes.
        :raises TypeError: if there is no such condition; then nothing changes.
        """
        for name, value in changes.items():
            if name not in _NAMES:
                raise TypeError(f"{name}: expected one of {', '.join(_NAMES)}, got {value!r:.100}")
        self.conditions = replace(self.conditions, **changes)
        for flow in self._flows():
            flow.go_on()

    def clear(self) -> None:
        """Let everything pass again: what waits goes on at once, in order; what was thrown away is lost."""
        self.conditions = Conditions()
        for flow in self._flows():
            flow.let_go()

    def half_close(self) -> None:
        """End this direction of the connections that are up, behind what came before; the other stays."""
        for flow in self._flows():
            flow.end("done")


class FlowOwner(typing.Protocol):
    """What a flow needs of its connection.

    :ivar clock: tells the time and calls later.
    """

    clock: Any

    def pass_end(self, how: End, sink: Socket) -> None:
        """What comes from the other side of this socket has ended so."""

    def close(self) -> None:
        """Close both sockets."""


@implementer(IPushProducer)
class Flow:
    """One direction of one connection: what came from `source` and may not go on to `sink` yet."""

    def __init__(self, lane: Lane, owner: FlowOwner, source: Socket, sink: Socket) -> None:
        self._lane = lane
        self._owner = owner
        self._clock = owner.clock
        self._source = source
        self._sink = sink
        self._waiting: deque[tuple[float, bytes]] = deque()  # with when it is due
        self._waiting_bytes = 0
        self._end: tuple[float, End] | None = None
        self._sent = 0
        self._free_at = 0.0  # when the bandwidth lets the next bytes go
        self._has_room = True
        self._between_pieces = False
        self._timer: IDelayedCall | None = None
        self.ended = False

    def received(self, data: bytes) -> None:
        """Take what the source sent."""
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
        """Nothing more comes from the source."""
        if how == "reset":
            self.drop_waiting()
            self.ended = False  # an end in order may have been passed before
        elif self._end is not None:
            return
        self._end = (self._clock.seconds() + self._lane.conditions.latency, how)
        self.go_on()

    def drop_waiting(self) -> None:
        """There is nobody to send it to."""
        self._lane.dropped += self._waiting_bytes
        self._waiting.clear()
        self._waiting_bytes = 0
        self._source.resume()

    def let_go(self) -> None:
        """Send on what waits, the end too: nothing is late any more."""
        self._waiting = deque((0.0, data) for _, data in self._waiting)
        if self._end is not None:
            self._end = (0.0, self._end[1])
        self._free_at = 0.0
        self.go_on()

    def go_on(self) -> None:
        """Send on what may go now, and come back when the next may."""
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
        """Come back then, if that is not over yet."""
        rest = until - self._clock.seconds()
        if rest > 0:
            self._timer = self._clock.callLater(rest, self.go_on)
            return True
        return False

    def _send_piece(self) -> bool:
        """Send on one piece; False if there is no more to send in this turn."""
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
        """Do not come back."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def pauseProducing(self) -> None:
        self._has_room = False

    def resumeProducing(self) -> None:
        self._has_room = True
        self.go_on()

    def stopProducing(self) -> None:
        """The sink is lost; its `connectionLost` follows."""


@implementer(IHalfCloseableProtocol)
class Socket(Protocol):
    """One of the two sockets of a connection.

    :ivar out: takes what comes from it.
    :ivar into: sends to it.
    """

    transport: Any
    out: Flow
    into: Flow

    def __init__(self, made: Callable[[], None], lost: Callable[[], None]) -> None:
        self._made = made
        self._lost = lost
        self._paused = False
        self._read_ended = False
        self.is_open = False

    def connectionMade(self) -> None:
        self.is_open = True
        with suppress(AttributeError):  # in memory there is no such thing
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self.into, True)
        self._made()

    def dataReceived(self, data: bytes) -> None:
        self.out.received(data)

    def readConnectionLost(self) -> None:
        self._read_ended = True
        self.out.end("done")

    def writeConnectionLost(self) -> None:
        """As was asked for."""

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
        """Read no more."""
        if not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on, if it was paused and there is more to come."""
        if self._paused and self.is_open and not self._read_ended:
            self._paused = False
            self.transport.resumeProducing()

    def half_close(self) -> None:
        """Send what is left, and an end of file."""
        if self.is_open:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def close(self) -> None:
        """Send what is left, and close."""
        if self.is_open:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """Reset it: on TCP that is `SO_LINGER` 0."""
        if self.is_open:
            self.transport.abortConnection()
