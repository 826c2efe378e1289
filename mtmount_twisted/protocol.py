"""Bytes <-> lines: the two protocols of a connection pair.

Each connection of the pair carries data one way only, so there are two protocols:
`LineReader`, on the server connection, cuts what comes into lines; `LineWriter`, on the client
connection, writes and keeps count of whether the peer reads. Neither knows what a message is.

Next to read: `connections`, which makes these and follows their coming and going.
"""

from __future__ import annotations

import logging
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, IWriteDescriptor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from .errors import BacklogError, LineTooLongError
from .framing import MAX_LINE_LENGTH, TERMINATOR
from .interfaces import ILineReaderOwner, ILineWriterOwner
from .liveness import keep_alive, watch_window
from .waiting import Waiters

CLOSE_TIMEOUT = 1.0
"""How long a closing connection may take to write what is left, in seconds."""

AT_ONCE_INTERVAL = 50e-6
"""Least time between two writes that are sent at once, in seconds: about a turn of the reactor."""

MAX_WAITING_WRITES = 10_000
"""How many writes may wait for a peer that does not read."""


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
        self._ended: Failure | None = None

    def connectionMade(self) -> None:
        keep_alive(self.transport)
        self.owner.reader_connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Split a chunk once: `LineReceiver` would copy the rest of it for each line."""
        if self._ended is not None:  # on TCP, aborting does not stop what was already read
            return
        longest = len(self.unfinished) + len(data)
        lines = self._split(data)
        if longest > self.MAX_LENGTH:
            lines = self._up_to_an_overlong(lines)
        if lines:
            self.owner.lines_received(lines)
        if self._ended is not None:
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
                return lines[:index]
        return lines

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.owner.reader_lost(self, self._ended or reason)


@implementer(IPushProducer)
class LineWriter(Protocol):
    """Writes messages, and knows whether the peer keeps up with reading them.

    :param owner: an `ILineWriterOwner`.
    :param clock: times how long closing may take.
    :param log: told of data that comes in, since none is expected.
    :param name: what to call the connection in the log.
    :param waiting: where writes wait for the peer to read; the owner ends them after a loss.
    :param max_waiting: how many writes may wait for the peer to read.
    :param send_at_once: send the first write of each turn of the reactor in that turn. Only
        where the transport is a plain socket; under TLS, say, writes go out as always.
    """

    transport: Any

    def __init__(
        self,
        owner: ILineWriterOwner,
        clock: IReactorTime,
        log: logging.Logger,
        name: str,
        waiting: Waiters[None],
        max_waiting: int = MAX_WAITING_WRITES,
        send_at_once: bool = False,
    ) -> None:
        self.owner = owner
        self.clock = clock
        self.log = log
        self.name = name
        self.max_waiting = max_waiting
        self.waiting = waiting
        self._has_room = True
        self._without_room = 0  # written since; whoever cancels waiting leaves the data there
        self._send_at_once = send_at_once
        self._sent_at = -AT_ONCE_INTERVAL
        self._abort: IDelayedCall | None = None

    def connectionMade(self) -> None:
        keep_alive(self.transport)
        self._send_at_once = self._send_at_once and IWriteDescriptor.providedBy(self.transport)
        self._stop_watch = watch_window(self.transport, self.clock)
        self.transport.registerProducer(self, True)
        self.owner.writer_connected(self)

    def write(self, data: bytes) -> Deferred[None]:
        """Hand one or more whole messages to the transport.

        :returns: a Deferred that fires with None when the transport has room for more: at
            once, unless the peer does not read. It fails with `BacklogError`, and nothing is
            sent, if `max_waiting` writes wait already, or did until they were cancelled.
            Cancelling it ends the waiting; the data stays written.
        """
        if self._without_room >= self.max_waiting:
            return fail(BacklogError(self.max_waiting))
        self.transport.write(data)
        if self._send_at_once:
            self._send()
        if self._has_room:
            return succeed(None)
        self._without_room += 1
        return self.waiting.wait()

    def _send(self) -> None:
        """Do now what the reactor would do in its next turn; what the socket does not take stays.

        Not again within `AT_ONCE_INTERVAL`: many writes in one turn would be as many system
        calls. An error that `doWrite` returns is left for the reactor to find.
        """
        now = self.clock.seconds()
        if not 0 <= now - self._sent_at < AT_ONCE_INTERVAL:
            self._sent_at = now
            self.transport.doWrite()

    def pauseProducing(self) -> None:
        self._has_room = False

    def resumeProducing(self) -> None:
        self._has_room = True
        self._without_room = 0
        self.waiting.fire(None)

    def stopProducing(self) -> None:
        """The connection is lost; `connectionLost` follows."""

    def dataReceived(self, data: bytes) -> None:
        self.log.warning(
            "%s: dropped %d bytes from the far end of the client connection", self.name, len(data)
        )

    def close(self) -> None:
        """Close when all is written, or after `CLOSE_TIMEOUT` if the peer does not read it."""
        if self._abort is None:
            self.transport.unregisterProducer()
            self._abort = self.clock.callLater(CLOSE_TIMEOUT, self.transport.abortConnection)
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_watch()
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self.owner.writer_lost(self, reason)
