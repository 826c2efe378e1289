"""Conversion of bytes to lines and back: the two protocols of a connection pair.

Each connection of a pair carries data one way only, so there are two protocols. `LineReader`, on the server
connection, splits received data into lines. `LineWriter`, on the client connection, writes. Neither knows
the messages in the lines.

Each protocol touches only its own transport. Next to read: `halves`, which makes the protocols and follows
their connections.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IReactorTime, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.errors import LineTooLongError, UnfinishedLineError
from mtmount_twisted.interfaces import ILineReaderOwner, ILineWriterOwner
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH

from .deadlines import PeerDeadline
from .liveness import keep_alive, watch_window
from .rate_limited_log import RateLimitedLog
from .send_buffer import SendBuffer
from .turns import LEAST, Turns

CLOSE_TIMEOUT = 0.5
"""Time in seconds in which a closing connection may send its remaining data."""

TLS_ALERT = b"\x15\x03"
"""First bytes of a TLS record with an alert (RFC 8446, 5.1), the answer of TLS to plain text."""

HTTP_ANSWER = b"HTTP/"
"""First bytes of the answer of a web server (RFC 9112, 4)."""

RECEIVED_AT_ONCE = 4096
"""Number of bytes that a client's socket receives in one turn of the reactor. Twisted's own number is 64 KiB,
which may be 6,000 lines, or under TLS 3,000 records: hundreds of milliseconds of work for eight clients."""

_log = Logger()


def receive_little(transport: ITransport) -> None:
    """Receive at most `RECEIVED_AT_ONCE` bytes at once from a client.

    :param transport: the transport of a socket; another transport has no such bound.
    """
    setattr(transport, "bufferSize", RECEIVED_AT_ONCE)  # an attribute of `tcp.Connection`


class ReaderState(Enum):
    """The states of a `LineReader`; its docstring explains each."""

    READING = "reading"
    DISCARDING = "discarding"
    FAILED = "failed"


READING, DISCARDING, FAILED = ReaderState


class LineReader(LineReceiver):
    """Protocol that receives lines and passes them on, all lines of a chunk at once. Its states::

        reading:     each line goes to the owner
        discarding:  the peer is being dismissed; its data is discarded
        failed:      a line broke a bound; the connection is being aborted, and its data is discarded

    On TCP an abort, and under TLS a close, does not stop data that was already received.

    :param owner: an `ILineReaderOwner`.
    :param terminator: the bytes at the end of each line: one or two.
    :param max_length: longest line in bytes, without the terminator. A longer line ends the connection,
        because the start of the next message is then unknown.
    """

    transport: Any

    def __init__(self, owner: ILineReaderOwner, terminator: bytes, max_length: int = MAX_LINE_LENGTH) -> None:
        self.owner = owner
        self.delimiter = terminator
        self.MAX_LENGTH = max_length
        self.unfinished: bytearray = bytearray()
        self._turns: Turns | None = None
        self._line_cost = LEAST
        self._unread = bytearray()  # bytes that wait for a turn
        self._is_paused = False
        self._discards = False
        self._state = READING
        self._error: Failure | None = None  # the reason if it has failed
        self._clock: IReactorTime | None = None
        self._patience = 0.0
        self._began: float | None = None  # time of the first byte of the unfinished line
        self._timer: IDelayedCall | None = None

    def limit_unfinished(self, clock: IReactorTime, seconds: float) -> None:
        """Drop a peer that takes longer than this for a line, from its first byte to its end.

        The time is absolute: a peer that sends single bytes gains nothing.
        """
        self._clock, self._patience = clock, seconds

    def discard(self, turns: Turns) -> None:
        """From now on, receive and discard all data, in turns with other connections: the peer has nothing to
        say here."""
        self._discards = True
        self.take_turns(turns)

    def take_turns(self, turns: Turns, line_cost: int = LEAST) -> None:
        """From now on, read slices in turns with other connections. This is for a peer without rights.

        While bytes wait for a turn, no more are received.

        :param line_cost: least number of bytes that a line counts as.
        """
        self._turns = turns
        self._line_cost = line_cost

    def read_freely(self) -> None:
        """Read the bytes that wait for a turn, and from now on all data at once."""
        unread = self._leave_turns()
        if unread:
            self._read(unread)

    def read_no_more(self) -> None:
        """Discard the bytes that wait for a turn, and from now on all data: the peer is being dismissed."""
        self._state = DISCARDING
        self._leave_turns()
        self.unfinished = bytearray()
        self._began = None

    def _leave_turns(self) -> bytes:
        if self._turns is None:
            return b""
        self._turns.discard(self)
        self._turns = None
        unread = bytes(self._unread)
        self._unread.clear()
        self.resume()
        return unread

    def read_slice(self, most: int) -> int:
        """Read a slice in this connection's turn; see `turns.Reader`."""
        data = bytes(self._unread[:most])
        del self._unread[:most]
        lines = 0
        try:
            lines = self._read(data)
        except Exception:  # the error would end the connection whose data the reactor is just reading
            _log.failure("failed to read a line")
            self.read_no_more()
            self.transport.abortConnection()
        if self._unread and self._state is READING and self._turns is not None:
            self._turns.add(self)
        elif not self._unread:
            self.resume()
        return max(len(data), self._line_cost * lines)

    def pause(self) -> None:
        """Receive no more until `resume`. Meanwhile this side does not notice the end of the connection
        either."""
        if not self._is_paused and self._state is READING:
            self._is_paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Receive again after `pause`."""
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()

    def connectionMade(self) -> None:
        keep_alive(self.transport)
        self.owner.reader_connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Read the data at once, or store it until this connection's turn."""
        if self._state is not READING:
            return
        if self._turns is None:
            self._read(data)
            return
        self._unread += data
        self._turns.add(self)
        if self._unread:
            self.pause()

    def _read(self, data: bytes) -> int:
        """Split a chunk once. `LineReceiver` would copy the rest of the chunk for each line.

        :returns: the number of lines.
        """
        if self._discards:
            return 0
        longest = len(self.unfinished) + len(data)
        lines = self._split(data)
        if longest > self.MAX_LENGTH:
            lines = self._up_to_an_overlong(lines)
        if lines:
            self.owner.lines_received(lines)
        if self._state is FAILED:
            self.transport.abortConnection()
        elif self._clock is not None:
            self._time_unfinished(self._clock, bool(lines))
        return len(lines)

    def _time_unfinished(self, clock: IReactorTime, ended_one: bool) -> None:
        """Note the time of the unfinished line. A timer checks it later, because this runs for each chunk."""
        if not self.unfinished:
            self._began = None
        elif ended_one or self._began is None:
            self._began = clock.seconds()
            if self._timer is None:
                self._timer = PeerDeadline(clock, self._patience, self._look_at_unfinished, clock)

    def _look_at_unfinished(self, clock: IReactorTime) -> None:
        self._timer = None
        if self._began is None:
            return
        rest = self._began + self._patience - clock.seconds()
        if self._unread or self._is_paused:  # this side makes the peer wait with the end of the line
            rest = self._patience
        if rest > 0:
            self._timer = PeerDeadline(clock, rest, self._look_at_unfinished, clock)
        else:
            self._fail(UnfinishedLineError(bytes(self.unfinished[:100]), self._patience))
            self.transport.abortConnection()

    def _split(self, data: bytes) -> list[bytes]:
        if self.unfinished:
            start = len(self.unfinished) - 1  # the terminator may arrive in two parts
            self.unfinished += data
            if self.unfinished.find(self.delimiter, start) < 0:
                return []
            data = bytes(self.unfinished)
        lines = data.split(self.delimiter)
        self.unfinished = bytearray(lines.pop())
        return lines

    def _up_to_an_overlong(self, lines: list[bytes]) -> list[bytes]:
        # The first half of a terminator may end the unfinished line, so it does not count.
        unfinished = self.unfinished.removesuffix(self.delimiter[:-1])
        for index, line in enumerate([*lines, bytes(unfinished)]):
            if len(line) > self.MAX_LENGTH:
                self._fail(LineTooLongError(line[:100], self.MAX_LENGTH))
                return lines[:index]
        return lines

    def _fail(self, error: Exception) -> None:
        self._state, self._error = FAILED, Failure(error)
        self.unfinished = bytearray()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._clock = None
        if self._turns is not None:
            self._turns.discard(self)
        self.owner.reader_lost(self, self._error or reason)


class SkippingReader(LineReader):
    """A `LineReader` that drops a line of more than the greatest length, and goes on behind it.

    :param report_skipped: called with the start of each such line, as soon as it is too long.
    """

    def __init__(
        self,
        owner: ILineReaderOwner,
        terminator: bytes,
        max_length: int,
        report_skipped: Callable[[bytes], None],
    ) -> None:
        super().__init__(owner, terminator, max_length)
        self._report_skipped = report_skipped
        self._is_in_overlong = False

    def _split(self, data: bytes) -> list[bytes]:
        lines = super()._split(data)
        if lines and self._is_in_overlong:
            self._is_in_overlong = False
            del lines[0]
        for line in lines:
            if len(line) > self.MAX_LENGTH:
                self._report_skipped(line[:100])
        first_half = self.delimiter[:-1]  # it may end the unfinished line, so it does not count
        if not self._is_in_overlong and len(self.unfinished) > self.MAX_LENGTH:
            self._is_in_overlong = len(self.unfinished.removesuffix(first_half)) > self.MAX_LENGTH
            if self._is_in_overlong:
                self._report_skipped(bytes(self.unfinished[:100]))
        if self._is_in_overlong:
            del self.unfinished[: len(self.unfinished) - len(first_half)]
        return [line for line in lines if len(line) <= self.MAX_LENGTH]


@implementer(IHalfCloseableProtocol)
class HalfCloseReader(LineReader):
    """A `LineReader` that leaves the treatment of a half-closed connection to its owner.

    :param owner: an `ILineReaderOwner` with a method ``reader_finished(reader)``. It is called when the peer
        has ended its direction; the peer may still receive.
    """

    owner: Any

    def readConnectionLost(self) -> None:
        self.owner.reader_finished(self)

    def writeConnectionLost(self) -> None:
        """Do nothing: this side never ends only its own direction."""


class LineWriter(Protocol):
    """Protocol that writes messages through a `SendBuffer`, which may outlive the connection.

    :param owner: an `ILineWriterOwner`. After a loss it detaches the buffer.
    :param clock: clock that limits the duration of closing.
    :param log: log for unexpected data from the peer, unless the owner can explain it.
    :param name: name of the connection in the log.
    :param buffer: the buffer for everything that is written.
    :ivar send: sends one or more whole messages; see `SendBuffer.send`.
    """

    transport: Any

    def __init__(
        self, owner: ILineWriterOwner, clock: IReactorTime, log: RateLimitedLog, name: str, buffer: SendBuffer
    ) -> None:
        self.owner = owner
        self.clock = clock
        self.log = log
        self.name = name
        self.buffer = buffer
        self.send: Callable[[bytes], None] = buffer.send
        self._abort: IDelayedCall | None = None

    @property
    def has_room(self) -> bool:
        """False from the moment when the transport's buffer is full until it is sent."""
        return self.buffer.has_room

    def room(self) -> Deferred[None]:
        """Return a Deferred that fires when there is room. The owner ends it if the connection is lost."""
        return self.buffer.room()

    def connectionMade(self) -> None:
        keep_alive(self.transport)
        self._stop_watch = watch_window(self.transport, self.clock)
        self.buffer.attach(self.transport)
        self.owner.writer_connected(self)

    def dataReceived(self, data: bytes) -> None:
        if not self.owner.writer_heard(self, data):
            self.log.warning(
                "%s: dropped %d bytes from the far end of the client connection", self.name, len(data)
            )

    def close(self) -> None:
        """Close after all data is sent, or after `CLOSE_TIMEOUT` if the peer does not read."""
        if self._abort is None:
            self.buffer.finish()
            self._abort = PeerDeadline(self.clock, CLOSE_TIMEOUT, self.transport.abortConnection)
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_watch()
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self.owner.writer_lost(self, reason)
