"""The bridge's link to the controller: a connection pair, or one connection in both directions.

`ControllerLink` passes lines to and from the bridge's core. `PairLink` and `DuplexLink` have the connections,
and use the network only through their base classes. Next to read: `net.paired_session`, the base classes.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.bridge.core import CONTROLLER, Bridge
from mtmount_twisted.dialects.content import lines_of
from mtmount_twisted.dialects.dialect import Dialect, other_dialect_of
from mtmount_twisted.errors import LineTooLongError
from mtmount_twisted.interfaces import IControllerLink
from mtmount_twisted.net.admission import Network
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.paired_session import DuplexSession, PairedSession
from mtmount_twisted.net.protocol import receive_little

from .malformed import AT_ONCE, MalformedLines

if TYPE_CHECKING:
    from .leadership.guard import SleepGuard

MAX_EARLY = 1000
"""Largest number of lines that wait until the link is up. If more arrive, the oldest are dropped."""

ROOM = 16
"""Number of commands that the bridge may decide to send together, before the bridge learns that the first
command has filled the transport's buffer. A later stop can't overtake them."""

OTHER_DIALECT_PAUSE = 30.0
"""Time before the next attempt to connect to a controller that speaks another dialect, in seconds. Commands
of the configured dialect mean something else to such a mount."""


@implementer(IControllerLink)
class ControllerLink(PairedSession):
    """The session with the controller. It reports to the bridge: link up, lines received, link down.

    Reading from the controller never pauses while the link is up. A controller that sends mostly malformed
    lines is disconnected; see `malformed`.

    A line of another dialect ends the link: one error in the log names the setting, and the link pauses for
    `OTHER_DIALECT_PAUSE`. The error is logged again only after the controller has spoken the right dialect.

    :param bridge: the bridge.
    :ivar guard: checks before each write and read that the process has not slept; None without an election.
    :param arguments: the arguments of the base class, and so are `options`.
    """

    guard: SleepGuard | None = None

    def __init__(self, bridge: Bridge, *arguments: Any, **options: Any) -> None:
        self._bridge = bridge
        self._starts = bridge.dialect.reply_starts
        self._retry: IDelayedCall | None = None
        self._logged = ""
        self._malformed = MalformedLines()
        self._early: deque[bytes] = deque(maxlen=MAX_EARLY)
        super().__init__(
            CONTROLLER, *arguments, carries=lines_of(bridge.dialect), send_at_once=True, **options
        )

    @property
    def room(self) -> int:
        """Number of commands that the link accepts now: `ROOM`, or 0 if the transport's buffer is full."""
        writer = self.writer
        return ROOM if writer is not None and writer.has_room else 0

    def send(self, data: bytes) -> None:
        """Send a command, terminator included. Call this only while `room` is not 0."""
        if self.guard is not None and not self.guard.check():
            return
        writer = self.writer
        if writer is not None:
            writer.send(data)
            if not writer.has_room:
                writer.room().addCallbacks(lambda room: self._bridge.hand_over(), lambda lost: None)

    def lines_received(self, lines: list[bytes]) -> None:
        """Pass lines to the bridge, up to one of another dialect, which ends the link.

        Lines that arrive before the link is up wait until it is.
        """
        other = None
        for number, line in enumerate(lines):
            if line[:1] not in self._starts and (other := other_dialect_of(line, self._bridge.dialect)):
                lines = lines[:number]
                break
        if self._logged and any(line and line[:1] in self._starts for line in lines):
            self._logged = ""
        if self.up:
            self._process(lines)
        else:
            self._early.extend(lines)
        if other is not None:
            self._end_as(other)

    def _process(self, lines: list[bytes]) -> None:
        counts = self._bridge.counts
        for first in range(0, len(lines), AT_ONCE):
            few = lines[first : first + AT_ONCE] if len(lines) > AT_ONCE else lines
            before = counts["unreadable"]
            self._bridge.process_replies(few)
            if self._malformed.note(len(few), counts["unreadable"] - before):
                why = f"{self._there} sends lines that are no replies: is controller.command_port right?"
                self.limited_log.warning("%s: disconnected: %s", self.name, why)
                self.end_session(why)
                self.drop_connections()
                break

    def client_changed(self, reason: Failure | None) -> None:
        """See `interfaces.IPairOwner`."""
        if self.guard is not None and self.writer is not None:
            self.guard.watch(self.writer.transport)
        super().client_changed(self._masked(reason))

    def server_changed(self, reason: Failure | None) -> None:
        """See `interfaces.IPairOwner`."""
        if self._server.reader is not None:
            receive_little(self._server.reader.transport)
            is_shared = self.writer is not None and self.writer.transport is self._server.reader.transport
            if self.guard is not None and not is_shared:
                self.guard.watch(self._server.reader.transport)
        super().server_changed(self._masked(reason))

    def _masked(self, reason: Failure | None) -> Failure | None:
        """Return the reason for a loss, with the password masked in the start of a line that is too long."""
        if reason is None or not reason.check(LineTooLongError):
            return reason
        error: Any = reason.value
        return Failure(LineTooLongError(self._bridge.dialect.masked(error.start), error.limit))

    def explain_heard(self, data: bytes) -> str:
        """See `interfaces.IPairOwner`. A mount with one two-way connection replies on it."""
        for line in data.split(self.carries.terminator)[:-1]:
            if other := other_dialect_of(line, self._bridge.dialect):
                return self._end_as(other)
        return super().explain_heard(data)

    def note_wrong_port(self, why: str) -> None:
        """See `interfaces.IPairOwner`. An error about the dialect is logged already."""
        if why != self._logged:
            super().note_wrong_port(why)

    def _end_as(self, other: Dialect) -> str:
        """End the link with a mount that speaks another dialect. Return the reason."""
        dialect = self._bridge.dialect.name
        why = (
            f'{self._there} speaks {other.name}, and controller.dialect is "{dialect}": give the host and '
            f'port of a mount that speaks {dialect}; or set controller.dialect = "{other.name}" and restart '
            "the bridge"
        )
        if why != self._logged:
            self.log.error("%s: %s", self.name, why)
        self._logged = why
        self.end_session(why)
        self.drop_connections()
        self.close_client()
        if self._retry is None and not self.closed:
            self._retry = Deadline(self.reactor, OTHER_DIALECT_PAUSE, self._connect_again)
        return why

    def try_now(self) -> None:
        """Try to connect now, unless an attempt is under way or the link is up."""
        self._client.hurry()

    def _connect_again(self) -> None:
        self._retry = None
        if not self.client_connected:
            self._client.start(self.client_host, self.client_port)

    def close(self) -> Deferred[None]:
        """See `ConnectionPair`."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        return super().close()

    def came_up(self) -> None:
        """Start an epoch: report the link to the bridge, then the lines that arrived early."""
        early = list(self._early)
        self._early.clear()
        self._bridge.link_up(self)
        self._process(early)

    def went_down(self, why: str, was_up: bool) -> None:
        """End the epoch, if one was running. Drop the lines that arrived early."""
        self._early.clear()
        if was_up:
            self._bridge.link_down(why)


class PairLink(ControllerLink):
    """A link of two one-way connections. It is up only if both are up.

    :param commands_out: host and port of the controller for commands; port 0 if `connect` sets it later.
    :param replies_in: address and port on which this side listens for replies.
    :param allowed: networks besides the controller's own address from which the replies may come.
    """

    def __init__(
        self,
        commands_out: tuple[str, int],
        replies_in: tuple[str, int],
        bridge: Bridge,
        log: logging.Logger,
        reactor: Any,
        allowed: tuple[Network, ...] = (),
    ) -> None:
        self.allowed = allowed
        connect = commands_out[1] != 0
        super().__init__(bridge, *commands_out, *replies_in, log, connect=connect, reactor=reactor)


class DuplexLink(ControllerLink, DuplexSession):
    """A link of one connection, on which this side sends commands and the controller replies.

    :param host: host of the controller.
    :param port: port of the controller.
    """

    connect_retry_interval: float = PairLink.connect_retry_interval

    def __init__(self, host: str, port: int, bridge: Bridge, log: logging.Logger, reactor: Any) -> None:
        super().__init__(bridge, host, port, log, reactor=reactor)
