"""The ``[[telemetry]]`` ports: `TelemetryReader` is a client that receives the mount's telemetry as it came.

`TelemetryFanout` writes all lines that arrived together to each reader, as the same bytes. Each turn of the
reactor serves a few readers, so that commands go between. It does nothing for a reader that has no room: when
the reader has room again, it receives the latest line of each topic that it missed. Thus no reader delays
another one or the mount.

Neither opens a socket: `app.open_port` listens with a `TelemetryFactory`. Next to read:
`client_factory`, which admits the readers; ``upstream.telemetry_link``, from which the lines come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.config.settings import TelemetryReaders
from mtmount_twisted.interfaces import ILineReaderOwner, ITelemetry, ITelemetryPort
from mtmount_twisted.net.admission import address_of
from mtmount_twisted.net.deadlines import PeerDeadline
from mtmount_twisted.net.liveness import watch_window
from mtmount_twisted.net.machines import next_state
from mtmount_twisted.net.protocol import CLOSE_TIMEOUT, LineReader, receive_little
from mtmount_twisted.net.send_buffer import bound_system_buffer
from mtmount_twisted.net.turns import Turns
from mtmount_twisted.net.waiting import Waiters

from .client_factory import ClientFactory, MostClients, peer_address

READERS_AT_ONCE = 4
"""Number of readers that are written to in one turn of the reactor."""

ROUND_INTERVAL = 0.01
"""Shortest time in seconds from the end of a round, in which all readers are written to, to the next one. The
mount sends its topics every 0.05 s; a server that writes their lines one by one causes one or two rounds."""

MAX_WAITING = 2**20
"""Largest number of bytes that wait for the next round: 10 s of telemetry. If more wait, every reader
receives the latest line of each topic."""


class ReaderState(Enum):
    """The states of a `TelemetryReader`; its docstring explains each."""

    GONE = "gone"
    READY = "ready"
    FULL = "full"
    BEHIND = "behind"
    CLOSING = "closing"


GONE, READY, FULL, BEHIND, CLOSING = ReaderState

_TABLE = {
    GONE: (READY,),
    READY: (FULL, CLOSING),
    FULL: (READY, BEHIND, CLOSING),
    BEHIND: (READY, CLOSING),
    CLOSING: (GONE,),
}


class TelemetryFanout:
    """The rounds in which all readers of all ports receive the lines.

    :param source: the mount's telemetry.
    :param clock: the clock of the turns and rounds.
    :ivar source: the parameter.
    """

    def __init__(self, source: ITelemetry, clock: IReactorTime, log: logging.Logger) -> None:
        self.source = source
        self._clock = clock
        self._log = log
        self._readers: dict[TelemetryReader, None] = {}
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._data = b""  # of the present round
        self._first = self._last = source.lines  # the number of lines before this round, and with it
        self._left: list[TelemetryReader] = []  # the readers that it has not reached yet
        self._next: IDelayedCall | None = None
        source.subscribe(self._lines_came)

    def add(self, reader: TelemetryReader) -> None:
        """Include a reader in the next rounds."""
        self._readers[reader] = None

    def discard(self, reader: TelemetryReader) -> None:
        """Leave out a reader from now on."""
        self._readers.pop(reader, None)

    def close(self) -> None:
        """End the rounds."""
        self._readers.clear()
        self._left.clear()
        self._waiting.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _lines_came(self, data: bytes) -> None:
        if not self._readers:
            self._waiting.clear()
            self._waiting_bytes = 0
            self._last = self.source.lines
            return
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > MAX_WAITING:
            self._waiting = [b""]
            self._waiting_bytes = 0
            self._last = -1  # no reader has this number: each catches up
        if self._next is None:
            self._begin_round()

    def _begin_round(self) -> None:
        self._data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._first, self._last = self._last, self.source.lines
        self._left = list(self._readers)
        self._turn()

    def _turn(self) -> None:
        now, self._left = self._left[:READERS_AT_ONCE], self._left[READERS_AT_ONCE:]
        if self._left:
            self._next = self._clock.callLater(0, self._turn)
        else:
            self._next = self._clock.callLater(ROUND_INTERVAL, self._after_round)
        for reader in now:
            try:
                reader.deliver(self._data, self._first, self._last)
            except Exception:  # the others must not miss a line
                self._log.exception("%s: closed: writing telemetry failed", reader.name)
                reader.cut_off("writing to it failed")

    def _after_round(self) -> None:
        self._next = None
        if self._waiting:
            self._begin_round()


@implementer(ILineReaderOwner, IPushProducer)
class TelemetryReader:
    """One connection to a ``[[telemetry]]`` port. All data from the reader is dropped. Its states::

    gone:     there is no connection; under a certificate's name, another one may come
    ready:    the transport takes data
    full:     the transport has no room, and the reader has missed no line yet
    behind:   the transport has no room, and lines have come since
    closing:  the connection is being closed, and is not gone yet

    :ivar may_command: False: every reader may be displaced for another one; see `places`.
    :ivar has_command: False.
    :ivar address: the peer as HOST:PORT; empty if there is none.
    """

    may_command = has_command = False

    def __init__(self, name: str, port: TelemetryFactory) -> None:
        self.name = name
        self.address: str = ""
        self._port = port
        self._source = port.fanout.source
        self._state = GONE
        self._number = 0  # of the last line that it has received, or that was replaced
        self._missed = 0
        self._reader: LineReader  # from when the reader is connected
        self._abort: IDelayedCall | None = None
        self._stop_watch: Callable[[], None] = lambda: None
        self._gone: Waiters[None] = Waiters()

    @property
    def is_here(self) -> bool:
        """True while the connection is up or being closed."""
        return self._state is not GONE

    @property
    def is_needed(self) -> bool:
        """True while the connection is up or being closed: a reader leaves nothing behind."""
        return self.is_here

    @property
    def missed(self) -> int:
        """Number of lines that it did not get, because a later line of the topic replaced them."""
        if self._state is not BEHIND:
            return self._missed
        return self._missed + self._source.lines - self._number - len(self._source.since(self._number))

    def deliver(self, data: bytes, first: int, last: int) -> None:
        """Write the lines of a round.

        :param data: the lines, with their terminators.
        :param first: the number of the last line before them.
        :param last: the number of the last of these lines.
        """
        if self._state is READY:
            if self._number == first:
                self._number = last
                self._reader.transport.write(data)
            elif self._number < last:
                self._catch_up()
        elif self._state is FULL:
            self._become(BEHIND)

    def _catch_up(self) -> None:
        """Write the latest line of each topic of which the reader lacks it."""
        lines, number = self._source.since(self._number), self._source.lines
        self._missed += number - self._number - len(lines)
        self._number = number
        self._write(lines)

    def _write(self, lines: list[bytes]) -> None:
        if lines:
            self._reader.transport.write(self._port.terminator.join([*lines, b""]))

    def pauseProducing(self) -> None:
        """Note that the transport has no room."""
        if self._state is READY:
            self._become(FULL)

    def resumeProducing(self) -> None:
        """Note that the transport has room again."""
        was = self._state
        if was is FULL or was is BEHIND:
            self._become(READY)
        if was is BEHIND:
            self._catch_up()

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost, as `reader_lost` notes."""

    def reader_connected(self, reader: LineReader) -> None:
        """Serve the reader from now on: first the latest line of each topic, unless the mount is silent."""
        peer, transport = reader.transport.getPeer(), reader.transport
        self._become(READY)
        self._reader = reader
        self._port.places.take_place(self, address_of(peer))
        self.address = peer_address(peer)
        bound_system_buffer(transport)
        receive_little(transport)
        reader.discard(self._port.turns)
        self._stop_watch = watch_window(transport, self._port.clock)
        self._port.limited_log.info("%s: connected", self.name)
        transport.registerProducer(self, True)
        self._number = self._source.lines
        if not self._source.silent:
            self._write(self._source.since(0))
        self._port.fanout.add(self)

    def lines_received(self, lines: list[bytes]) -> None:
        """See `ILineReaderOwner`. The reader's protocol discards the data before."""

    def reader_finished(self, reader: LineReader) -> None:
        """Note that the reader sends no more. It still receives."""
        if self._is_served:
            self._port.places.note_half_closed(self)

    def cut_off(self, why: str) -> None:
        """Disconnect at once. The caller writes the log line."""
        self._stop()
        if self.is_here:
            self._reader.transport.abortConnection()

    def close(self, why: str) -> Deferred[None]:
        """Close the connection, which must be up. The Deferred fires when it is gone."""
        gone = self._gone.wait()
        if self._is_served:
            self._port.limited_log.info("%s: closed: %s", self.name, why)
        is_stuck = self._state is BEHIND
        self._stop()
        if is_stuck:
            self._reader.transport.abortConnection()
        elif self._abort is None:
            abort = self._reader.transport.abortConnection
            self._abort = PeerDeadline(self._port.clock, CLOSE_TIMEOUT, abort)
            self._reader.transport.loseConnection()
        return gone

    def reader_lost(self, reader: LineReader, reason: Failure) -> None:
        """Note that the connection is gone."""
        if self._is_served:
            self._port.limited_log.info("%s: gone: %s", self.name, reason.getErrorMessage())
        self._stop()
        self._stop_watch()
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self._abort = None
        self._become(GONE)
        self._port.places.give_back(self)
        self._gone.fire(None)
        del self._reader  # which keeps this object

    @property
    def _is_served(self) -> bool:
        return self._state is not GONE and self._state is not CLOSING

    def _stop(self) -> None:
        """Write no more to the reader, if it was written to."""
        if not self._is_served:
            return
        self._port.note_leaving(self.missed)
        self._missed = 0
        self._become(CLOSING)
        self._port.places.note_closing(self)
        self._port.fanout.discard(self)
        self._reader.read_no_more()
        self._reader.transport.unregisterProducer()

    def _become(self, after: ReaderState) -> None:
        self._state = next_state(_TABLE, self._state, after)


@implementer(ITelemetryPort)
class TelemetryFactory(ClientFactory[TelemetryReader]):
    """Factory that makes a `TelemetryReader` of each admitted connection to a ``[[telemetry]]`` port.

    :param turns: the turns in which data of the readers is received, and dropped.
    :ivar fanout: the rounds in which the readers receive the lines.
    """

    def __init__(
        self,
        settings: TelemetryReaders,
        fanout: TelemetryFanout,
        turns: Turns,
        terminator: bytes,
        log: logging.Logger,
        clock: IReactorTime,
    ) -> None:
        most = MostClients(settings.max_readers, "max_readers")
        super().__init__(settings, most, terminator, log, clock)
        self.fanout = fanout
        self.turns = turns
        self.clock = clock
        self._missed_by_gone = 0

    def make_client(self, name: str, name_lasts: bool = False) -> TelemetryReader:
        """See `ClientFactory`."""
        return TelemetryReader(f"{self.name}/{name}", self)

    def note_leaving(self, missed: int) -> None:
        """Note that a reader leaves, and the number of lines that it missed."""
        self._missed_by_gone += missed

    @property
    def readers(self) -> int:
        """See `ITelemetryPort`."""
        return len(self.connected)

    @property
    def missed(self) -> int:
        """See `ITelemetryPort`."""
        return self._missed_by_gone + sum(reader.missed for reader in self.connected)
