"""Bytes <-> lines: the two protocols of a connection pair.

Each connection of the pair carries data one way only, so there are two protocols:
`LineReader`, on the server connection, cuts what comes into lines; `LineWriter`, on the client
connection, writes and knows whether the peer reads. Neither knows what a message is.

Each may touch its own transport. Next to read: `halves`, which makes these and follows their
coming and going.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.dialects.tma2020.framing import MAX_LINE_LENGTH, TERMINATOR
from mtmount_twisted.errors import BacklogError, LineTooLongError, UnfinishedLineError
from mtmount_twisted.interfaces import ILineReaderOwner, ILineWriterOwner

from .deadlines import Deadline
from .liveness import keep_alive, watch_window
from .rate_limited_log import RateLimitedLog
from .send_buffer import PromptSender
from .turns import LEAST, Turns
from .waiting import Waiters

CLOSE_TIMEOUT = 0.5
"""How long a closing connection may take to write what is left, in seconds."""

MAX_UNSENT = 16 * 2**20
"""How many bytes may be written while a peer does not read."""

WRITE_OVERHEAD = 500
"""What each such write counts for beside its data, in bytes: about what its Deferred takes."""

TLS_ALERT = b"\x15\x03"
"""How a TLS record with an alert begins (RFC 8446, 5.1): the answer of TLS to plain text."""

HTTP_ANSWER = b"HTTP/"
"""How the answer of a web server begins (RFC 9112, 4)."""

_log = Logger()


class LineReader(LineReceiver):
    """Receives lines, up to `max_length` bytes long, and hands them on a chunk at a time.

    :param owner: an `ILineReaderOwner`.
    :param max_length: longest line in bytes, without the terminator. A longer one ends the
        connection: there is no telling where the next message begins.
    """

    delimiter = TERMINATOR
    transport: Any

    def __init__(self, owner: ILineReaderOwner, max_length: int = MAX_LINE_LENGTH) -> None:
        self.owner = owner
        self.MAX_LENGTH = max_length
        self.unfinished = bytearray()
        self._turns: Turns | None = None
        self._unread = bytearray()  # what waits for a turn
        self._is_paused = False
        self._is_over = False
        self._ended: Failure | None = None
        self._clock: IReactorTime | None = None
        self._patience = 0.0
        self._began: float | None = None  # when the first byte of the unfinished line came
        self._timer: IDelayedCall | None = None

    def limit_unfinished(self, clock: IReactorTime, seconds: float) -> None:
        """Drop a peer that takes longer than this from the first byte of a line to its end.

        However it trickles: the time is absolute.
        """
        self._clock, self._patience = clock, seconds

    def take_turns(self, turns: Turns) -> None:
        """From now on read a slice at a time, when it is this connection's turn: for a peer without rights.

        While something waits for its turn nothing more is received.
        """
        self._turns = turns

    def read_freely(self) -> None:
        """Read at once what waits for a turn, and from now on all that comes."""
        unread = self._leave_turns()
        if unread:
            self._read(unread)

    def read_no_more(self) -> None:
        """Throw away what waits for a turn, and from now on all that comes: the peer is being dismissed."""
        self._is_over = True
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
        self._receive_again()
        return unread

    def read_slice(self, most: int) -> int:
        """Read on, now that it is this connection's turn; see `turns.Reader`."""
        data = bytes(self._unread[:most])
        del self._unread[:most]
        lines = 0
        try:
            lines = self._read(data)
        except Exception:  # which would end another connection, whose turn it was before
            _log.failure("failed to read a line")
            self.read_no_more()
            self.transport.abortConnection()
        if self._unread and self._ended is None and self._turns is not None:
            self._turns.add(self)
        elif not self._unread:
            self._receive_again()
        return max(len(data), LEAST * lines)

    def _receive_again(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()

    def connectionMade(self) -> None:
        keep_alive(self.transport)
        self.owner.reader_connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Read what came, at once or when it is this connection's turn."""
        if self._ended is not None or self._is_over:
            return  # on TCP, aborting does not stop what was already read, nor does closing under TLS
        if self._turns is None:
            self._read(data)
            return
        self._unread += data
        self._turns.add(self)
        if self._unread and not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()

    def _read(self, data: bytes) -> int:
        """Split a chunk once: `LineReceiver` would copy the rest of it for each line.

        :returns: how many lines ended.
        """
        longest = len(self.unfinished) + len(data)
        lines = self._split(data)
        if longest > self.MAX_LENGTH:
            lines = self._up_to_an_overlong(lines)
        if lines:
            self.owner.lines_received(lines)
        if self._ended is not None:
            self.transport.abortConnection()
        elif self._clock is not None:
            self._time_unfinished(self._clock, bool(lines))
        return len(lines)

    def _time_unfinished(self, clock: IReactorTime, ended_one: bool) -> None:
        """Only take the time, since this is done for each chunk; the timer finds out whether it is up."""
        if not self.unfinished:
            self._began = None
        elif ended_one or self._began is None:
            self._began = clock.seconds()
            if self._timer is None:
                self._timer = Deadline(clock, self._patience, self._look_at_unfinished, clock)

    def _look_at_unfinished(self, clock: IReactorTime) -> None:
        self._timer = None
        if self._began is None:
            return
        rest = self._began + self._patience - clock.seconds()
        if self._unread:  # the end of the line may be there: the peer has to wait for its turn
            rest = self._patience
        if rest > 0:
            self._timer = Deadline(clock, rest, self._look_at_unfinished, clock)
        else:
            self._ended = Failure(UnfinishedLineError(bytes(self.unfinished[:100]), self._patience))
            self.unfinished = bytearray()
            self.transport.abortConnection()

    def _split(self, data: bytes) -> list[bytes]:
        if self.unfinished:
            start = len(self.unfinished) - 1  # the terminator may have been cut in two
            self.unfinished += data
            if self.unfinished.find(TERMINATOR, start) < 0:
                return []
            data = bytes(self.unfinished)
        lines = data.split(TERMINATOR)
        self.unfinished = bytearray(lines.pop())
        return lines

    def _up_to_an_overlong(self, lines: list[bytes]) -> list[bytes]:
        # The last `\r` of an unfinished line may be half of a terminator, and then is no part of it.
        unfinished = self.unfinished.removesuffix(b"\r")
        for index, line in enumerate([*lines, bytes(unfinished)]):
            if len(line) > self.MAX_LENGTH:
                self._ended = Failure(LineTooLongError(line[:100], self.MAX_LENGTH))
                self.unfinished = bytearray()
                return lines[:index]
        return lines

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._clock = None
        if self._turns is not None:
            self._turns.discard(self)
        self.owner.reader_lost(self, self._ended or reason)


@implementer(IHalfCloseableProtocol)
class HalfCloseReader(LineReader):
    """A `LineReader` whose owner decides what becomes of a peer that shuts its way in and still listens.

    :param owner: an `ILineReaderOwner` that is told so by ``reader_finished(reader)``.
    """

    owner: Any

    def readConnectionLost(self) -> None:
        self.owner.reader_finished(self)

    def writeConnectionLost(self) -> None:
        """We never shut our own way out alone."""


@implementer(IPushProducer)
class LineWriter(Protocol):
    """Writes messages, and knows whether the peer keeps up with reading them.

    :param owner: an `ILineWriterOwner`.
    :param clock: times how long closing may take.
    :param log: told of data that comes in, since none is expected, unless the owner can explain it.
    :param name: what to call the connection in the log.
    :param waiting: where writes wait for the peer to read; the owner ends them after a loss.
    :param max_unsent: how many bytes may be written while there is no room, at least 1.
    :param send_at_once: send each write in its own turn of the reactor, as `PromptSender` can.
    :ivar has_room: False from when the transport has enough to send until it has sent that;
        who waits in `waiting` is told then.
    """

    transport: Any

    def __init__(
        self,
        owner: ILineWriterOwner,
        clock: IReactorTime,
        log: RateLimitedLog,
        name: str,
        waiting: Waiters[None],
        max_unsent: int = MAX_UNSENT,
        send_at_once: bool = False,
    ) -> None:
        self.owner = owner
        self.clock = clock
        self.log = log
        self.name = name
        self.max_unsent = max_unsent
        self.waiting = waiting
        self.has_room = True
        self._unsent = 0  # written without room; whoever cancels waiting leaves the data there
        self._send_at_once = send_at_once
        self._prompt: PromptSender | None = None
        self._abort: IDelayedCall | None = None

    def connectionMade(self) -> None:
        keep_alive(self.transport)
        if self._send_at_once:
            self._prompt = PromptSender(self.clock, self.transport)
        self._stop_watch = watch_window(self.transport, self.clock)
        self.transport.registerProducer(self, True)
        self.owner.writer_connected(self)

    def send(self, data: bytes) -> None:
        """Hand one or more whole messages to the transport; `has_room` tells whether it has had enough.

        :raises BacklogError: and nothing is sent, if there is no room and `max_unsent` bytes
            were written since there was, with `WRITE_OVERHEAD` for each call. While there is
            room, data of any size is taken.
        """
        if not self.has_room and self._unsent + len(data) > self.max_unsent:
            raise BacklogError(self.max_unsent)
        self.transport.write(data)
        if self._prompt is not None:
            self._prompt.send_now()
        if not self.has_room:
            self._unsent += len(data) + WRITE_OVERHEAD

    def pauseProducing(self) -> None:
        self.has_room = False

    def resumeProducing(self) -> None:
        self.has_room = True
        self._unsent = 0
        self.waiting.fire(None)

    def stopProducing(self) -> None:
        """The connection is lost; `connectionLost` follows."""

    def dataReceived(self, data: bytes) -> None:
        if not self.owner.writer_heard(self, data):
            self.log.warning(
                "%s: dropped %d bytes from the far end of the client connection", self.name, len(data)
            )

    def close(self) -> None:
        """Close when all is written, or after `CLOSE_TIMEOUT` if the peer does not read it."""
        if self._abort is None:
            self.transport.unregisterProducer()
            self._abort = Deadline(self.clock, CLOSE_TIMEOUT, self.transport.abortConnection)
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_watch()
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self.owner.writer_lost(self, reason)
