"""`PortClient`: a client of the bridge over one connection; `PortFactory` admits peers and makes clients.

Neither opens a socket: `app.open_port` listens with the factory. A client reads and writes one
connection. On an encrypted port `tls.HandshakeFactory` stands before it. Next to read: `places`, which counts
the clients of a port.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.config.settings import PortCommanders
from mtmount_twisted.dialects.dialect import Translator
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.errors import LineTooLongError, UnfinishedLineError
from mtmount_twisted.interfaces import IClient, ILineReaderOwner
from mtmount_twisted.net.admission import address_of
from mtmount_twisted.net.deadlines import PeerDeadline
from mtmount_twisted.net.event_order import Group, note_first, set_group
from mtmount_twisted.net.liveness import watch_window
from mtmount_twisted.net.machines import next_state
from mtmount_twisted.net.protocol import CLOSE_TIMEOUT, LineReader, receive_little
from mtmount_twisted.net.send_buffer import bound_system_buffer
from mtmount_twisted.net.waiting import Waiters

from .client_factory import ClientFactory, MostClients, peer_address
from .command_queue import CommandQueue, line_cost
from .commanders import LINE_TIME, Shared


class PortState(Enum):
    """The states of a `PortClient`; its docstring explains each."""

    GONE = "gone"
    CONNECTED = "connected"
    HALF_CLOSED = "half-closed"
    FINISHING = "finishing"
    CLOSING = "closing"


GONE, CONNECTED, HALF_CLOSED, FINISHING, CLOSING = PortState

_TABLE = {
    GONE: (CONNECTED,),
    CONNECTED: (HALF_CLOSED, FINISHING, CLOSING),
    HALF_CLOSED: (CLOSING,),
    FINISHING: (CLOSING,),
    CLOSING: (GONE,),
}


@implementer(IClient, ILineReaderOwner)
class PortClient:
    """One connection to a port: commands in, replies and events out. Its states::

    gone:         there is no connection; under a name that lasts, another one may come
    connected:    the bridge serves the client
    half-closed:  the client sends no more, and observes until the port needs its place
    finishing:    the client sends no more, and receives the ends of its commands; then it is closed
    closing:      the bridge has lost the client, and the connection is not gone yet
    """

    def __init__(self, name: str, name_lasts: bool, port: PortFactory) -> None:
        settings, shared = port.settings, port.shared
        self.name = name
        self.name_lasts = name_lasts
        self.address: str = ""
        self._places = port.places
        self._commanded = port.commanded
        self.source: Source = Source[settings.source]
        self.may_command: bool = settings.role == "commander"
        self.may_have_command: bool = self.may_command
        self.may_have_password: bool = self.may_command and settings.client_ca is not None
        self.in_flight = 0
        self._bridge = shared.bridge
        self.translator: Translator | None = port.translator
        self._turns = shared.turns.without_rights
        turns = shared.turns
        self._queue = CommandQueue(
            self, shared.bridge, turns.without_command, turns.first_looks, turns.looks, shared.reactor
        )
        self._queue.drained = self._leave_soon
        self._log = shared.log
        self._limited_log = port.limited_log
        self._clock = shared.reactor
        self._state = GONE
        self._reader: LineReader  # from when the client is connected
        self._abort: IDelayedCall | None = None
        self._leaving: IDelayedCall | None = None
        self._stop_watch: Callable[[], None] = lambda: None
        self._gone: Waiters[None] = Waiters()
        self._send_buffer = shared.send_buffer(self._cut_off)
        self.send: Callable[[bytes], None] = self._send_buffer.send

    @property
    def behind(self) -> int:
        """Backlog in bytes, without the bytes that the transport itself buffers."""
        return self._send_buffer.behind

    def dismiss(self, why: str) -> None:
        """Read no more, and close the connection once all is sent, or after `CLOSE_TIMEOUT`."""
        self._leave(why, logging.WARNING)

    def _leave(self, why: str, level: int) -> None:
        if not self._is_served:
            return
        self._limited_log.log(level, "%s: closed: %s", self.name, why)
        try:
            self._send_buffer.finish()
        except Exception:  # nothing can be written to it
            self._lose(why)
            self._reader.read_no_more()
            self._reader.transport.abortConnection()
            raise
        self._lose(why)
        self._reader.read_no_more()
        self._abort = PeerDeadline(self._clock, CLOSE_TIMEOUT, self._reader.transport.abortConnection)
        self._reader.transport.loseConnection()

    def close(self, why: str) -> Deferred[None]:
        """Dismiss the client, which must be here. The Deferred fires when the connection is gone."""
        gone = self._gone.wait()
        try:
            self.dismiss(why)
        except Exception:  # the connection must end all the same: the Deferred waits for that
            self._log.exception("%s: closing the connection failed", self.name)
            self._reader.transport.abortConnection()
        return gone

    def _cut_off(self, why: str) -> None:
        self._limited_log.warning("%s: closed: cut off: %s", self.name, why)
        self.cut_off(why)

    def cut_off(self, why: str) -> None:
        """Disconnect at once, even if the client has not read all. The caller writes the log line."""
        if self._is_served:
            self._bridge.cut_off(self, why)
            self._lose(why)
            self._reader.read_no_more()
        if self.is_here:
            self._reader.transport.abortConnection()

    @property
    def _is_served(self) -> bool:
        return self._state is not GONE and self._state is not CLOSING

    @property
    def is_here(self) -> bool:
        """True while the connection is up or being closed."""
        return self._state is not GONE

    @property
    def has_command(self) -> bool:
        """True while the client is the holder of command."""
        return self._bridge.lease.holder is self

    def note_command(self) -> None:
        """Let the client's socket go first, because the client is the holder of command now. Note its address
        as a known one."""
        if self._is_served:
            note_first(self._reader.transport)
            self._note_address()

    def _note_address(self) -> None:
        self._commanded.note(self._places.clients[self])

    @property
    def is_needed(self) -> bool:
        """True while the client is here, or has left something that it may come back to."""
        return self.is_here or self.in_flight > 0 or self.has_command

    def reader_connected(self, reader: LineReader) -> None:
        """Serve the client from now on."""
        peer = reader.transport.getPeer()
        self._become(CONNECTED)
        self._reader = reader
        self._places.take_place(self, address_of(peer))
        self.address = peer_address(peer)
        self.send = self._send_buffer.send
        bound_system_buffer(reader.transport)
        receive_little(reader.transport)
        self._send_buffer.attach(reader.transport)
        self._limited_log.info("%s: connected", self.name)
        reader.limit_unfinished(self._clock, LINE_TIME)
        if self.may_command:
            self._queue.open(reader)
        else:
            reader.take_turns(self._turns, line_cost(self.translator))
        self._stop_watch = watch_window(reader.transport, self._clock)
        set_group(reader.transport, lambda: Group.FIRST if self.has_command else Group.CROWD)
        self._bridge.client_connected(self)

    def lines_received(self, lines: list[bytes]) -> None:
        """Pass on the client's lines, up to one that ends its connection."""
        if self.may_command:
            self._queue.add(lines)
        else:
            self._bridge.all_commanded(self, lines)

    def reader_finished(self, reader: LineReader) -> None:
        """Note that the client sends no more. It may still receive."""
        if not self._is_served:
            return
        self._places.note_half_closed(self)
        if reader.unfinished:
            self._limited_log.warning("%s: %s", self.name, unfinished(reader))
        if not self.may_command:
            self._become(HALF_CLOSED)
        elif not self.in_flight and not self._queue.waits:
            self._leave("it sends no more", logging.INFO)
        else:
            self._become(FINISHING)
            self._limited_log.info(
                "%s: sends no more, %d of its commands in flight", self.name, self.in_flight
            )
            self.send = self._send_last
            self._bridge.client_finished(self)

    def _send_last(self, data: bytes) -> None:
        self._send_buffer.send(data)
        self._leave_soon()

    def _leave_soon(self) -> None:
        # Not at once: more replies to the last command may follow, or its second part.
        if self._state is FINISHING and self._leaving is None:
            self._leaving = self._clock.callLater(0, self._leave_if_done)

    def _leave_if_done(self) -> None:
        self._leaving = None
        if not self.in_flight and not self._queue.waits:
            self._leave("it sends no more, and its commands have ended", logging.INFO)

    def reader_lost(self, reader: LineReader, reason: Failure) -> None:
        """Note that the connection is gone."""
        if self._is_served:
            self._queue.finish()
        if self._is_served:
            level = logging.WARNING if reason.check(LineTooLongError, UnfinishedLineError) else logging.INFO
            self._limited_log.log(level, "%s: gone: %s", self.name, reason.getErrorMessage())
            self._lose(reason.getErrorMessage())
        self._stop_watch()
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self._become(GONE)
        self._places.give_back(self)
        self._gone.fire(None)
        self._let_go()

    def _let_go(self) -> None:
        """Give up the references by which the parts of a lost connection keep each other.

        Else only a full garbage collection frees them. All threads wait for it, for tens of milliseconds
        after hundreds of connections.
        """
        self._abort = None
        del self._reader
        if not self.name_lasts:  # no other connection will come under this name
            self._queue.let_go()
            self._send_buffer.let_go()

    def _become(self, after: PortState) -> None:
        self._state = next_state(_TABLE, self._state, after)

    def _lose(self, why: str) -> None:
        if self.has_command:
            self._note_address()
        self._become(CLOSING)
        self._places.note_closing(self)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        self._queue.close()
        self._send_buffer.detach()
        self._bridge.client_lost(self, why)


def unfinished(reader: LineReader) -> str:
    """Return the log's text about a peer that disconnected within a line."""
    return f"disconnected within a line, dropped: {bytes(reader.unfinished[:100])!r}"


class PortFactory(ClientFactory[PortClient]):
    """Factory that makes a `PortClient` of each admitted connection to a ``[[port]]``.

    :ivar shared: the parts that all clients of the bridge share.
    :ivar translator: the translation for its clients; None if they speak the controller's dialect.
    """

    settings: PortCommanders

    def __init__(self, settings: PortCommanders, shared: Shared) -> None:
        self.translator: Translator | None = shared.translator_for(settings.dialect)
        speaks = shared.bridge.dialect if self.translator is None else self.translator.dialect
        most = MostClients(settings.max_clients, "max_clients")
        super().__init__(settings, most, speaks.terminator, shared.log, shared.reactor)
        self.shared = shared

    def make_client(self, name: str, name_lasts: bool = False) -> PortClient:
        """See `ClientFactory`."""
        return PortClient(f"{self.name}/{name}", name_lasts, self)
