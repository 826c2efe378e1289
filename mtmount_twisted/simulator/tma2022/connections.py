"""The connections of the simulated mount: the one command client, and the readers of telemetry.

`CommandPort` is the factory of the command port. It accepts one client at a time. It closes a second
connection at once, without a byte, and does not disturb the first (protocol-tma2022.rst, "Connections").
`TelemetryPort` accepts many readers. A reader that does not read misses lines, and delays no other.

This module touches only transports. Next to read: `service`, which owns both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.errors import BacklogError
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.liveness import keep_alive, watch_window
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.net.send_buffer import SendBuffer
from mtmount_twisted.net.waiting import Waiters
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH

CLOSE_TIMEOUT = 0.5
"""Time in seconds in which a closing connection may send its remaining data."""

MAX_UNSENT = 16 * 2**20
"""Largest number of bytes that wait for a command client that does not read; further bytes are dropped."""

MAX_READERS = 1000
"""Largest number of readers of telemetry."""


class _Connection:
    """The sending half of a connection, and its end.

    :ivar buffer: the `SendBuffer` of the connection.
    """

    transport: Any
    clock: IReactorTime
    buffer: SendBuffer
    _abort: IDelayedCall | None = None

    def start_sending(self, max_unsent: int, times: Mapping[str, int] | None = None) -> None:
        """Attach the buffer, and watch the peer. Call this once the connection is made.

        :param times: the times of TCP keep-alive, without the watch of `liveness`; None for that watch.
        """
        if times is None:
            keep_alive(self.transport)
            self._stop_watch = watch_window(self.transport, self.clock)
        else:
            keep_alive(self.transport, times)
            self._stop_watch = lambda: None
        self.buffer = SendBuffer(self.clock, max_unsent)
        self.buffer.attach(self.transport)

    def end_sending(self) -> None:
        """Stop all timers. Call this when the connection is lost."""
        self._stop_watch()
        self.buffer.detach()
        if self._abort is not None and self._abort.active():
            self._abort.cancel()

    def close(self) -> None:
        """Close after all data is sent, or after `CLOSE_TIMEOUT` if the peer does not read."""
        if self._abort is None:
            self.buffer.finish()
            self._abort = Deadline(self.clock, CLOSE_TIMEOUT, self.transport.abortConnection)
            self.transport.loseConnection()


class CommandConnection(_Connection, LineOnlyReceiver):
    """The connection of the command client."""

    delimiter: bytes = DIALECT.terminator
    MAX_LENGTH = MAX_LINE_LENGTH

    def __init__(self, port: CommandPort) -> None:
        self.port = port
        self.clock: IReactorTime = port.clock
        self.is_closing: bool = False

    def connectionMade(self) -> None:
        self.start_sending(MAX_UNSENT, self.port.keep_alive)
        self.port.connected(self)

    def lineReceived(self, line: bytes) -> None:
        if self.is_closing:
            return
        self.port.line_received(line)
        if not self.buffer.has_room:
            # Read no more commands while the client does not read its replies.
            self.transport.pauseProducing()
            self.buffer.room().addCallbacks(self._read_again, lambda failure: None)

    def _read_again(self, _: None) -> None:
        if not self.is_closing:
            self.transport.resumeProducing()

    def lineLengthExceeded(self, line: bytes) -> None:
        self.port.limited_log.warning(
            "%s: closed the connection: a line has more than %d bytes: %r",
            self.port.name,
            self.MAX_LENGTH,
            line[:50],
        )
        self.close()

    def send(self, data: bytes) -> bool:
        """Send whole lines or parts of them.

        Return False if the data is dropped, because the connection is closing or the client does not read.
        """
        if self.is_closing:
            return False
        try:
            self.buffer.send(data)
        except BacklogError:
            return False
        return True

    def close(self) -> None:
        """Close the connection, and ignore all further lines."""
        if not self.is_closing:
            self.is_closing = True
            self.transport.resumeProducing()  # else it does not notice that the peer closes as well
            super().close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_closing = True
        self.end_sending()
        self.port.lost(self)


class CommandPort(Factory[CommandConnection]):
    """Factory of the command port, for one client at a time.

    :param line_received: called with each line, without its terminator.
    :param changed: called when a client has connected (True) or is gone (False).
    :param keep_alive: see `_Connection.start_sending`.
    :ivar client: the connection of the client, or None.
    :ivar is_refusing: True to accept no client.
    """

    noisy = False

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        log: logging.Logger,
        line_received: Callable[[bytes], None],
        changed: Callable[[bool], None],
        keep_alive: Mapping[str, int] | None = None,
    ) -> None:
        self.name = name
        self.clock = clock
        self._log = log
        self.limited_log: RateLimitedLog = RateLimitedLog(clock, log, A_FEW)
        self.line_received = line_received
        self.keep_alive = keep_alive
        self.client: CommandConnection | None = None
        self.is_refusing = False
        self._changed = changed
        self._open: set[CommandConnection] = set()
        self._gone: Waiters[None] = Waiters()

    def buildProtocol(self, addr: IAddress | None) -> CommandConnection | None:
        """Return the protocol for a client.

        Return None, which closes the connection at once, for a second client and while `is_refusing`.
        """
        if self.is_refusing:
            self.limited_log.info("%s: refused a client, %s: a fault is in force", self.name, addr)
            return None
        if self._open:
            self.limited_log.warning("%s: refused a second client, %s; the first stays", self.name, addr)
            return None
        connection = CommandConnection(self)
        self._open.add(connection)
        return connection

    def connected(self, connection: CommandConnection) -> None:
        """Note that the client is connected."""
        self.client = connection
        self._log.info("%s: a client connected from %s", self.name, connection.transport.getPeer())
        self._changed(True)

    def lost(self, connection: CommandConnection) -> None:
        """Note that the client is gone."""
        self._open.discard(connection)
        self.client = None
        self._log.info("%s: the client is gone", self.name)
        self._changed(False)
        self._gone.fire(None)

    def send(self, data: bytes) -> bool:
        """Send bytes to the client. Return False if they are dropped."""
        return self.client is not None and self.client.send(data)

    def close_client(self) -> Deferred[None]:
        """Close the client's connection. The Deferred fires when it is gone."""
        if self.client is None:
            return succeed(None)
        gone = self._gone.wait()
        self.client.close()
        return gone


class TelemetryReader(_Connection, Protocol):
    """The connection of a reader of telemetry. Anything that it sends is ignored."""

    def __init__(self, port: TelemetryPort) -> None:
        self.port = port
        self.clock: IReactorTime = port.clock

    def connectionMade(self) -> None:
        self.start_sending(0)
        self.port.connected(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end_sending()
        self.port.lost(self)


class TelemetryPort(Factory[TelemetryReader]):
    """Factory of the telemetry port.

    :param changed: called when the first reader has connected (True) or the last one is gone (False).
    :ivar missed: number of lines that readers missed because they did not read, summed over all readers.
    """

    noisy = False

    def __init__(
        self, name: str, clock: IReactorTime, log: logging.Logger, changed: Callable[[bool], None]
    ) -> None:
        self.name = name
        self.clock = clock
        self.limited_log: RateLimitedLog = RateLimitedLog(clock, log, A_FEW)
        self.missed: int = 0
        self._changed = changed
        self._readers: set[TelemetryReader] = set()
        self._gone: Waiters[None] = Waiters()

    def buildProtocol(self, addr: IAddress | None) -> TelemetryReader | None:
        """Return the protocol for a reader; None, which closes its connection, if there are too many."""
        if len(self._readers) >= MAX_READERS:
            self.limited_log.warning(
                "%s: refused a reader of telemetry, %s: %d are connected", self.name, addr, MAX_READERS
            )
            return None
        return TelemetryReader(self)

    def connected(self, reader: TelemetryReader) -> None:
        """Note a reader."""
        self._readers.add(reader)
        if len(self._readers) == 1:
            self._changed(True)

    def lost(self, reader: TelemetryReader) -> None:
        """Note that a reader is gone."""
        self._readers.discard(reader)
        if not self._readers:
            self._changed(False)
            self._gone.fire(None)

    def send(self, lines: list[bytes]) -> None:
        """Send lines to all readers that have room for them."""
        data = b"".join(lines)
        for reader in self._readers:
            if reader.buffer.has_room:
                reader.buffer.send(data)
            else:
                self.missed += len(lines)

    def close_readers(self) -> Deferred[None]:
        """Close all connections. The Deferred fires when they are gone."""
        if not self._readers:
            return succeed(None)
        gone = self._gone.wait()
        for reader in list(self._readers):
            reader.close()
        return gone
