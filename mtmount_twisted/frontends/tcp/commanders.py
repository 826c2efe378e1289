"""`PairClient`: the client of the bridge on a ``[[pair]]``, one commander that comes and goes.

Like the controller, it has two one-way connections (`OneWayPairClient`) or one connection in both directions
(`DuplexPairClient`). It uses the network through `net.paired_session`.

Next to read: `ports`, for clients with one connection each; `core.Bridge`, which sees no difference
(`interfaces.IClient`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

from msgspec import Struct
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.config.settings import ClientLimits, PairCommander
from mtmount_twisted.dialects.content import lines_of
from mtmount_twisted.dialects.dialect import Dialect, DialectName, Translator, translator_between
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.hosts import host_and_port
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.net.admission import Network, networks
from mtmount_twisted.net.deadlines import PeerDeadline
from mtmount_twisted.net.event_order import MOST_EVENTS
from mtmount_twisted.net.paired_session import DuplexSession, PairedSession
from mtmount_twisted.net.protocol import LineReader, receive_little
from mtmount_twisted.net.send_buffer import SendBuffer, bound_system_buffer
from mtmount_twisted.net.turns import LEAST, Turns

from .command_queue import LOOKED_FIRST, CommandQueue, line_cost

HOLD_TIME = 1.0
"""Longest time that a command waits for the connection on which the bridge can answer it, in seconds."""

MAX_HELD = 16
"""Largest number of commands that wait for it. The bridge refuses all of them together, 0.3 ms each."""

LINE_TIME = 10.0
"""Longest time from the first byte of a client's line to its end, in seconds."""

READ_WITHOUT_RIGHTS = 2048
"""Number of bytes of all clients without rights that are read in `READ_EVERY`: 32 short lines, in 1 ms."""

SLICE_WITHOUT_RIGHTS = 128
"""Number of bytes of one client without rights that are read before the next client's turn: 16 of the
shortest lines."""

READ_EVERY = 0.02
"""Time from the start of one such turn to the start of the next, in seconds. Commands go between them."""


REFUSED_AT_ONCE = 512
"""Number of bytes of one commander without command that are refused before the next commander's turn."""


LOOKED_IN_TURN = 10 * 1024
"""Number of bytes of all commanders without command that are searched for stops in `LOOK_EVERY`: 160 short
lines, in 1 ms. One socket receives no more at once."""

LOOK_EVERY = 0.01
"""Time from the start of one such turn to the start of the next, in seconds."""

FIRST_LOOKS_IN_TURN = MOST_EVENTS * LOOKED_FIRST * LEAST
"""Number of bytes of all commanders without command that first looks search in one turn of the reactor: two
short lines of each socket that the turn serves, in 0.5 ms. So no stop waits behind the looks of others."""

LOOKED_AT_ONCE = 256
"""Number of bytes of one commander that are searched before the next commander's turn: four short lines."""


class ReadTurns:
    """The turns in which a bridge reads commands that it is going to refuse, on all its ports and pairs.

    :ivar without_rights: the turns of observers, and of peers at the command port of a pair without a reply
        connection.
    :ivar without_command: the turns of commanders that do not have command. These turns are separate, so that
        no client without rights delays a commander's ask.
    :ivar first_looks: the turns for the looks at the newest commands of each such commander. They find stops,
        so that a stop waits for no crowd.
    :ivar looks: the turns of the other looks.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self.without_rights: Turns = Turns(reactor, READ_WITHOUT_RIGHTS, SLICE_WITHOUT_RIGHTS, READ_EVERY)
        self.without_command: Turns = Turns(reactor, READ_WITHOUT_RIGHTS, REFUSED_AT_ONCE, READ_EVERY)
        self.first_looks: Turns = Turns(reactor, FIRST_LOOKS_IN_TURN, LEAST)
        self.looks: Turns = Turns(reactor, LOOKED_IN_TURN, LOOKED_AT_ONCE, LOOK_EVERY)

    def close(self) -> None:
        """End all turns."""
        self.without_rights.close()
        self.without_command.close()
        self.first_looks.close()
        self.looks.close()


class Shared(Struct, frozen=True):
    """The parts that all clients on the pairs and ports of a bridge share.

    :ivar limits: the bounds of a client's backlog.
    :ivar reactor: the reactor, also the clock.
    """

    bridge: Bridge
    limits: ClientLimits
    turns: ReadTurns
    log: logging.Logger
    reactor: IReactorTime

    def translator_for(self, dialect: DialectName | None) -> Translator | None:
        """Return the translation for a client that speaks a dialect; None for the controller's dialect."""
        controller = self.bridge.dialect.name
        return translator_between(dialect or controller, controller)

    def dialect_of(self, client: IClient) -> Dialect:
        """Return the dialect that a client speaks."""
        return self.bridge.dialect if client.translator is None else client.translator.dialect

    def send_buffer(self, cut_off: Callable[[str], None]) -> SendBuffer:
        """Return the buffer of a client, for which `cut_off` is called when the client is a slow consumer."""
        limits = self.limits
        return SendBuffer(self.reactor, limits.max_behind_bytes, limits.max_behind_seconds, cut_off)


@implementer(IClient)
class PairClient(PairedSession):
    """The commander of a ``[[pair]]``. The classes below have its connections.

    The bridge accepts its commands while the session is up. A command that arrives earlier waits for up to
    `HOLD_TIME`, because the commander may notice sooner than the bridge that both connections are up. The
    command is dropped after that time, and when its sender is gone: the connection of the next peer must not
    cause a motion that an earlier peer commanded.

    While a connection is missing, the commander has no rights, and its data is read in turns. While another
    client has command, the bridge refuses its commands in turns (`command_queue`).
    """

    may_command = may_have_command = may_have_password = name_lasts = True
    unreachable_level = logging.INFO  # a commander need not be there

    def _prepare(self, settings: PairCommander, shared: Shared) -> None:
        """Make all but the connections."""
        self.source: Source = Source[settings.source]
        self.allowed: tuple[Network, ...] = networks((*settings.allow, *settings.addresses))
        self.in_flight = 0
        self._bridge = shared.bridge
        self.translator: Translator | None = shared.translator_for(settings.dialect)
        self._turns = shared.turns.without_rights
        turns = shared.turns
        self._queue = CommandQueue(
            self, shared.bridge, turns.without_command, turns.first_looks, turns.looks, shared.reactor
        )
        self._held: list[bytes] = []
        self._holds = False  # though the session is up: lines that waited for a turn go behind the held lines
        self._stops_before = 0  # the number of accepted stops when the first held line came
        self._holding: IDelayedCall | None = None
        self._send_buffer = shared.send_buffer(self._cut_off)
        self.send: Callable[[bytes], None] = self._send_buffer.send

    def describe(self) -> str:
        """Return the name and the addresses, for people."""
        return f"{self.name} on {self.address}"

    @property
    def address(self) -> str:
        """As in `IClient`."""
        return host_and_port(self.server_host, self.server_port)

    @property
    def behind(self) -> int:
        """Backlog in bytes, without the bytes that the transport itself buffers."""
        return self._send_buffer.behind

    def dismiss(self, why: str) -> None:
        """Read no more, and close the connections once all is sent. The commander may connect again."""
        self.limited_log.warning("%s: closed: %s", self.name, why)
        try:
            self.end_session(why)
            if self.server_writer is not None:
                cast(IPushProducer, self.server_writer).pauseProducing()
            if self.writer is not None:
                self.writer.close()
        except Exception:  # nothing can be written to it
            self.drop_connections()
            raise

    def _cut_off(self, why: str) -> None:
        self._bridge.cut_off(self, why)
        self.limited_log.warning("%s: closed: cut off: %s", self.name, why)
        self.drop_connections()

    def lines_received(self, lines: list[bytes]) -> None:
        """Pass on the commander's lines, up to one that ends the session."""
        if self.up and not self._holds:
            self._queue.add(lines)
        else:
            self._hold(lines)

    def _hold(self, lines: list[bytes]) -> None:
        self._held += lines
        if self._holding is None:
            if not self._holds:
                self._stops_before = self._bridge.stops
            self._holding = PeerDeadline(self.reactor, HOLD_TIME, self._drop_held)
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
        """Note that the connection for replies is up, or lost."""
        if reason is not None and self.up:
            self._queue.finish()
        if self.writer is not None:
            bound_system_buffer(self.writer.transport)
        super().client_changed(reason)

    def server_changed(self, reason: Failure | None) -> None:
        """Note that the connection for commands is up, or lost."""
        if self.server_reader is not None:
            receive_little(self._reader.transport)
        if reason is None and not self.up:
            self._stops_before = self._bridge.stops
            self._reader.take_turns(self._turns, line_cost(self.translator))
        elif reason is not None and self.up:
            self._queue.finish()
        super().server_changed(reason)

    @property
    def _reader(self) -> LineReader:
        return cast(LineReader, self.server_reader)

    def came_up(self) -> None:
        """Serve the commander, beginning with the commands that it sent too early."""
        self._reader.limit_unfinished(self.reactor, LINE_TIME)
        self._queue.open(self._reader)
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
        """Send the commander the lines that wait for it, and drop the commands that it sent too early."""
        self._drop_held()
        self._queue.close()
        try:
            self._send_buffer.finish()
        finally:  # the client is lost even if nothing can be written to it
            if was_up:
                self._bridge.client_lost(self, why)


class OneWayPairClient(PairClient):
    """A commander with two one-way connections: commands arrive on one, replies leave on the other."""

    def __init__(self, settings: PairCommander, shared: Shared) -> None:
        self._prepare(settings, shared)
        super().__init__(
            settings.name,
            settings.reply_host,
            settings.reply_port or 0,
            settings.listen,
            settings.command_port,
            shared.log,
            carries=lines_of(shared.dialect_of(self)),
            reactor=shared.reactor,
            send_buffer=self._send_buffer,
        )

    def describe(self) -> str:
        """Return the name and the addresses, for people."""
        replies = host_and_port(self.client_host, self.client_port)
        return f"{super().describe()}, its replies go to {replies}"


class DuplexPairClient(PairClient, DuplexSession):
    """A commander with one connection in both directions.

    A command and its reply have the same connection, so that no command waits for another one.
    """

    def __init__(self, settings: PairCommander, shared: Shared) -> None:
        self._prepare(settings, shared)
        super().__init__(
            settings.name,
            settings.listen,
            settings.command_port,
            shared.log,
            listen=True,
            carries=lines_of(shared.dialect_of(self)),
            reactor=shared.reactor,
            send_buffer=self._send_buffer,
        )
