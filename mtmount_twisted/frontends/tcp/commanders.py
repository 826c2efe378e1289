"""The bridge's clients: a commander's connection pair, and a connection to a port.

Both offer `core.Bridge` the same (`interfaces.IClient`). A pair is one commander that comes and
goes under one name; each connection to a port is a client of its own, under a numbered name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.config.settings import ClientLimits, PairCommander, PortCommanders
from mtmount_twisted.dialects.tma2020.enums import Source
from mtmount_twisted.errors import LineTooLongError, UnfinishedLineError
from mtmount_twisted.hosts import host_and_port, plain_address
from mtmount_twisted.interfaces import IClient, ILineReaderOwner
from mtmount_twisted.net.admission import address_of, networks
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.liveness import watch_window
from mtmount_twisted.net.paired_session import PairedSession
from mtmount_twisted.net.protocol import CLOSE_TIMEOUT, LineReader
from mtmount_twisted.net.rate_limited_log import RateLimitedLog
from mtmount_twisted.net.send_buffer import SendBuffer, bound_system_buffer
from mtmount_twisted.net.turns import Turns
from mtmount_twisted.net.waiting import Waiters

from .places import PortPlaces

HOLD_TIME = 1.0
"""How long a command may wait for the connection on which it can be answered, in seconds."""

MAX_HELD = 100
"""How many commands may wait for it."""

LINE_TIME = 10.0
"""How long a line may take from its first byte to its end, in seconds."""

READ_WITHOUT_RIGHTS = 2048
"""How many bytes of all clients without rights are read in `READ_EVERY`: 32 short lines, in 1 ms."""

SLICE_WITHOUT_RIGHTS = 128
"""How many bytes of one of them are read before the next has its turn: 16 lines, as short as can be."""

READ_EVERY = 0.02
"""How long after the beginning of one such turn the next begins, in seconds: commands go between them."""


def turns_without_rights(reactor: Any) -> Turns:
    """Return the turns in which a bridge reads what clients without rights send, on all its ports and pairs.

    These are observers, and peers at the command port of a pair whose reply connection is not up.

    :param reactor: an ``IReactorTime``.
    """
    return Turns(reactor, READ_WITHOUT_RIGHTS, SLICE_WITHOUT_RIGHTS, READ_EVERY)


@implementer(IClient)
class PairClient(PairedSession):
    """A commander as in the protocol: commands come in on one connection, answers go out on another.

    It counts as connected, and its commands are taken, while both are up; losing one drops both.
    A command that comes while there is no way to answer it yet is held for `HOLD_TIME`, since a
    commander may know sooner than we that its other connection is up; then it is dropped, as it
    is when its sender is gone: whoever connects next must not set off what another one left.

    Until then it has no rights, and what it sends is read in turns.
    """

    may_command = may_have_command = name_lasts = True
    unreachable_level = logging.INFO  # a commander need not be there

    def __init__(
        self,
        settings: PairCommander,
        bridge: Bridge,
        limits: ClientLimits,
        turns: Turns,
        log: logging.Logger,
        reactor: Any,
    ) -> None:
        self.source = Source[settings.source]
        self.allowed = networks((*settings.allow, *settings.addresses))
        self.in_flight = 0
        self._bridge = bridge
        self._turns = turns
        self._held: list[bytes] = []
        self._holds = False  # though it is up: what waited for a turn goes behind what is held
        self._stops_before = 0  # how many stops were taken before the first of what is held came
        self._holding: IDelayedCall | None = None
        self._outlet = SendBuffer(reactor, limits.max_behind_bytes, limits.max_behind_seconds, self._cut_off)
        self.send: Callable[[bytes], None] = self._outlet.send
        super().__init__(
            settings.name,
            settings.reply_host,
            settings.reply_port,
            settings.listen,
            settings.command_port,
            log,
            reactor=reactor,
        )

    @property
    def address(self) -> str:
        """As in `IClient`."""
        return host_and_port(self.server_host, self.server_port)

    @property
    def behind(self) -> int:
        """How many bytes wait for it to read, beyond what its transport buffers."""
        return self._outlet.behind

    def dismiss(self, why: str) -> None:
        """Read no more, and drop this commander's connections once it was told all; it may connect again."""
        self.limited_log.warning("%s: closed: %s", self.name, why)
        self.end_session(why)
        if self.server_writer is not None:
            cast(IPushProducer, self.server_writer).pauseProducing()
        if self.writer is not None:
            self.writer.close()

    def _cut_off(self, why: str) -> None:
        self._bridge.cut_off(self, why)
        self.limited_log.warning("%s: closed: cut off: %s", self.name, why)
        self.drop_connections()

    def lines_received(self, lines: list[bytes]) -> None:
        """Pass on what the commander says, until it says what closes its connection."""
        if not self.up or self._holds:
            self._hold(lines)
            return
        with self._bridge.gathering():
            for line in lines:
                self._bridge.commanded(self, line)
                if not self.up:
                    return

    def _hold(self, lines: list[bytes]) -> None:
        self._held += lines
        if self._holding is None:
            if not self._holds:
                self._stops_before = self._bridge.stops
            self._holding = Deadline(self.reactor, HOLD_TIME, self._drop_held)
        if len(self._held) > MAX_HELD:
            self._drop_held()

    def _drop_held(self) -> None:
        if held := self._take_held():
            self._bridge.unheard(self, held)

    def _take_held(self) -> list[bytes]:
        held, self._held = self._held, []
        if self._holding is not None and self._holding.active():
            self._holding.cancel()
        self._holding = None
        return held

    def client_changed(self, reason: Failure | None) -> None:
        """The connection that answers go out on is up, or lost."""
        if self.writer is not None:
            self.writer.transport.unregisterProducer()
            bound_system_buffer(self.writer.transport)
            self._outlet.attach(self.writer.transport)
        else:
            self._outlet.detach()
        super().client_changed(reason)

    def server_changed(self, reason: Failure | None) -> None:
        """The connection on which commands come in is up, or lost."""
        if reason is None and not self.up:
            self._stops_before = self._bridge.stops
            self._reader.take_turns(self._turns)
        super().server_changed(reason)

    @property
    def _reader(self) -> LineReader:
        return cast(LineReader, self.server_reader)

    def came_up(self) -> None:
        """The commander is here; what it said too early is taken."""
        self._reader.limit_unfinished(self.reactor, LINE_TIME)
        self._bridge.client_connected(self)
        self._holds = True
        self._reader.read_freely()
        self._holds = False
        overtaken = self._bridge.stops != self._stops_before
        held = self._take_held()
        if not overtaken:
            self.lines_received(held)
            return
        for line in held:
            if self.up:
                self._bridge.commanded_late(self, line)

    def went_down(self, why: str, was_up: bool) -> None:
        """Send the commander what is left for it, and drop the commands that it sent too early."""
        self._drop_held()
        self._outlet.finish()
        if was_up:
            self._bridge.client_lost(self, why)


@implementer(IClient, ILineReaderOwner)
class PortClient:
    """One connection to a port: commands in, replies and events out."""

    def __init__(
        self,
        name: str,
        name_lasts: bool,
        settings: PortCommanders,
        bridge: Bridge,
        limits: ClientLimits,
        turns: Turns,
        log: logging.Logger,
        limited_log: RateLimitedLog,
        clock: Any,
        places: PortPlaces[PortClient],
    ) -> None:
        self.name = name
        self.name_lasts = name_lasts
        self.address = ""
        self._places = places
        self.source = Source[settings.source]
        self.may_command = self.may_have_command = settings.role == "commander"
        self.in_flight = 0
        self._bridge = bridge
        self._turns = turns
        self._log = log
        self._limited_log = limited_log
        self._clock = clock
        self._reader: LineReader | None = None
        self._abort_connection: Callable[[], object] = lambda: None
        self._abort: IDelayedCall | None = None
        self._leaving: IDelayedCall | None = None
        self._gone: Waiters[None] = Waiters()
        self._outlet = SendBuffer(clock, limits.max_behind_bytes, limits.max_behind_seconds, self._cut_off)
        self.send: Callable[[bytes], None] = self._outlet.send

    @property
    def behind(self) -> int:
        """How many bytes wait for it to read, beyond what its transport buffers."""
        return self._outlet.behind

    def dismiss(self, why: str) -> None:
        """Read no more, and close the connection once all is sent, or after `CLOSE_TIMEOUT`."""
        self._leave(why, logging.WARNING)

    def _leave(self, why: str, level: int) -> None:
        reader = self._reader
        if reader is not None:
            self._limited_log.log(level, "%s: closed: %s", self.name, why)
            self._outlet.finish()
            self._lost(why)
            reader.read_no_more()
            self._abort = Deadline(self._clock, CLOSE_TIMEOUT, reader.transport.abortConnection)
            reader.transport.loseConnection()

    def close(self, why: str) -> Deferred[None]:
        """As `dismiss`; fires when the connection is gone, which it must not be yet."""
        gone, reader = self._gone.wait(), self._reader
        try:
            self.dismiss(why)
        except Exception:  # its connection ends all the same, and with it the wait for that
            self._log.exception("%s: closing the connection failed", self.name)
            if reader is not None:
                reader.transport.abortConnection()
        return gone

    def _cut_off(self, why: str) -> None:
        self._limited_log.warning("%s: closed: cut off: %s", self.name, why)
        self.cut_off(why)

    def cut_off(self, why: str) -> None:
        """Disconnect at once, whatever it has not read; the caller writes the log line."""
        reader = self._reader
        if reader is not None:
            self._bridge.cut_off(self, why)
            self._lost(why)
            reader.read_no_more()
        self._abort_connection()

    @property
    def is_here(self) -> bool:
        """True while its connection is up, or is being closed."""
        return self in self._places.clients

    @property
    def is_needed(self) -> bool:
        """True while it is here, or has left something that it may come back to."""
        return self.is_here or self.in_flight > 0 or self._bridge.lease.holder is self

    def reader_connected(self, reader: LineReader) -> None:
        """The connection is up."""
        peer = reader.transport.getPeer()
        self._places.take(self, address_of(peer))
        self._reader = reader
        self._abort_connection = reader.transport.abortConnection
        self.address = _peer_address(peer)
        self.send = self._outlet.send
        bound_system_buffer(reader.transport)
        self._outlet.attach(reader.transport)
        self._limited_log.info("%s: connected", self.name)
        reader.limit_unfinished(self._clock, LINE_TIME)
        if not self.may_command:
            reader.take_turns(self._turns)
        self._stop_watch = watch_window(reader.transport, self._clock)
        self._bridge.client_connected(self)

    def lines_received(self, lines: list[bytes]) -> None:
        """Pass on what the client says, until it says what closes its connection."""
        with self._bridge.gathering():
            for line in lines:
                self._bridge.commanded(self, line)
                if self._reader is None:
                    return

    def reader_finished(self, reader: LineReader) -> None:
        """The client says no more, and may still listen: it is told how its commands end, then closed.

        One that only observes goes on, until the port needs its place.
        """
        if self._reader is None:
            return
        self._places.note_half_closed(self)
        if reader.unfinished:
            self._limited_log.warning("%s: %s", self.name, unfinished(reader))
        if self.may_command and not self.in_flight:
            self._leave("it sends no more", logging.INFO)
        elif self.may_command:
            self._limited_log.info(
                "%s: sends no more, %d of its commands in flight", self.name, self.in_flight
            )
            self.send = self._send_last
            self._bridge.client_finished(self)

    def _send_last(self, data: bytes) -> None:
        self._outlet.send(data)
        # Not at once: the last command may still be told more, or have another behind it.
        if self._leaving is None:
            self._leaving = self._clock.callLater(0, self._leave_if_done)

    def _leave_if_done(self) -> None:
        self._leaving = None
        if not self.in_flight:
            self._leave("it sends no more, and its commands have ended", logging.INFO)

    def reader_lost(self, reader: LineReader, reason: Failure) -> None:
        """The connection is lost."""
        if self._reader is not None:
            level = logging.WARNING if reason.check(LineTooLongError, UnfinishedLineError) else logging.INFO
            self._limited_log.log(level, "%s: gone: %s", self.name, reason.getErrorMessage())
            self._lost(reason.getErrorMessage())
        self._stop_watch()
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self._places.give_back(self)
        self._gone.fire(None)

    def _lost(self, why: str) -> None:
        self._reader = None
        self._places.note_closing(self)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        self._outlet.detach()
        self._bridge.client_lost(self, why)


def _peer_address(peer: Any) -> str:
    """Return a peer's HOST:PORT; empty on a unix socket."""
    host, port = getattr(peer, "host", None), getattr(peer, "port", None)
    return "" if host is None or port is None else host_and_port(plain_address(host), port)


def unfinished(reader: LineReader) -> str:
    """What is said of a peer that left in the middle of a line."""
    return f"disconnected within a line, dropped: {bytes(reader.unfinished[:100])!r}"
