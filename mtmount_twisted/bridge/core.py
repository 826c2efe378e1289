"""The bridge's decisions: which command is taken, where each reply goes, how each command ends.

`Bridge` is told what happens (a commander or the controller connects, says a line, is lost) and
acts on objects that it was handed: clients, the controller's link, the event bus. It knows neither
sockets nor files. Every command that comes in ends exactly once for its commander: with the
mount's own answer, or with a NoAck whose explanation begins with one of `REASONS`.

Next to read: what it is made of, `registry` (who is here), `dispatcher` (commands in flight),
`arbiter` (who has command), `last_values` (what a newcomer is told) and `event_bus` (what happened);
`commanders` and `link`, which tell it what happens.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.tma2020.commands import STOP_CODES
from mtmount_twisted.dialects.tma2020.enums import Source
from mtmount_twisted.dialects.tma2020.envelope import (
    CommandEnvelope,
    EventEnvelope,
    ReplyEnvelope,
    read_command,
    read_reply,
    read_to_refuse,
    read_wanted,
)
from mtmount_twisted.errors import LineError
from mtmount_twisted.interfaces import IBridge
from mtmount_twisted.journal.schema import CONTROLLER as CONTROLLER
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.records import ChangeRecord, LineRecord

from .arbiter import CommandArbiter
from .dispatcher import REASONS as REASONS
from .dispatcher import CommandDispatcher
from .event_bus import EventBus
from .last_values import LastValueCache
from .lease import Lease
from .pending import ASK, PendingCommands
from .registry import ClientRegistry

MAX_EXEMPT = 1000
"""How many stops and asks one commander may have in flight beyond what makes it busy: a stop is never
refused because of moves, and yet a client that does nothing but stop can't fill the memory."""

MAX_REFUSALS = 100
"""How many commands of an observer are refused on one visit before it is dismissed."""

_EXEMPT = STOP_CODES | {ASK}


@implementer(IBridge)
class Bridge:
    """Shares one controller among many clients.

    :param clock: an ``IReactorTime`` whose `seconds` is monotonic.
    :param log: where log records go.
    :param bus: every line, step and change is published there.
    :param rules: the site's rules; see `config.settings.CommandRules`.
    :param source: under which the bridge commands the controller.
    :ivar lease: who has command.
    :ivar known: what is known of the mount now.
    """

    def __init__(
        self,
        clock: IReactorTime,
        log: logging.Logger,
        bus: EventBus,
        rules: CommandRules,
        source: Source = Source.CSC,
    ) -> None:
        self.lease = Lease()
        self.known = LastValueCache(clock.seconds)
        self._clock = clock
        self._log = log
        self._rules = rules
        self._closed = False
        self._ending = False  # it takes only what stops something
        self._limited_log = RateLimitedLog(clock, log)
        self._clients_log = RateLimitedLog(clock, log, A_FEW)
        self._bus = bus
        self._audience = audience = ClientRegistry(bus)
        self._traffic = traffic = CommandDispatcher(clock, log, rules, bus, audience, self.lease, source)
        self._granting = CommandArbiter(clock, log, rules, bus, audience, traffic, self.lease)

    @property
    def clients(self) -> dict[str, Any]:
        """Who is connected, by name."""
        return self._audience.clients

    @property
    def flights(self) -> PendingCommands:
        """The commands in flight."""
        return self._traffic.flights

    @property
    def counts(self) -> Counter[str]:
        """How often what happened."""
        return self._bus.counts

    @property
    def epoch(self) -> int:
        """Number of the last connection to the controller; 0 before the first."""
        return self._bus.epoch

    @property
    def link(self) -> Any:
        """The controller's link, from `link_up` to `link_down`, else None."""
        return self._traffic.link

    @property
    def grace(self) -> bool:
        """True while who has command is gone, and is waited for."""
        return self._granting.grace

    def hand_command(self, holder: Any, grantee_name: str) -> str:
        """Give command to a commander by its name, where `AskForCommand` names but a source.

        :param holder: the client that has command.
        :param grantee_name: the name of the connected client that shall have it.
        :return: empty if that one has command now; else why not.
        """
        return "the bridge ends" if self._closed else self._granting.hand_command(holder, grantee_name)

    # Clients

    def client_connected(self, client: Any) -> None:
        """A client connected, or came back; it is told what is known."""
        self._audience.enter(client)
        self._publish_change("connected", client.name, "", client.may_command)
        self._granting.came(client)
        self._audience.tell_one(client, self.known.current)

    def client_lost(self, client: Any, why: str) -> None:
        """A client is gone. What it sent goes on, and is answered to nobody but those who observe."""
        self._audience.leave(client)
        self._publish_change("disconnected", client.name, why, client.may_command)
        if not self._closed:
            self._granting.left(client)

    def client_finished(self, client: Any) -> None:
        """A client says no more, and still listens: it has command for as long as one that is gone.

        What it sent goes on, its asks too: if one gets it command, it counts as gone from then on. It is
        told its answers, and all else, until it is lost.
        """
        self._publish_change("finished", client.name, "", client.may_command)
        if not self._closed:
            self._granting.finished(client)

    def client_leaves(self, client: Any, why: str) -> None:
        """A client is about to be closed by the site: it is told that its commands have ended for it."""
        with self._audience.gathering():
            self._granting.leaves(client, why)
            self._traffic.lose(why, client)

    def cut_off(self, client: Any, why: str) -> None:
        """A client that fell behind, or gives way at a full port, is about to be disconnected.

        What it says from now on does not count.
        """
        self._audience.leave(client)
        self.counts["cut_off"] += 1
        self._publish_change("cut_off", client.name, why, client.may_command)

    def gathering(self) -> AbstractContextManager[None]:
        """For who passes on many commands at once: observers get the answers together."""
        return self._audience.gathering()

    def commanded(self, client: Any, line: bytes) -> None:
        """A client sent a command. What comes after it was dismissed or cut off is not taken."""
        try:
            header = read_command(line)
        except LineError as error:
            self._publish_line(client.name, line, None, client.may_command)
            if self._audience.is_here(client):
                self._malformed(client, line, error)
            return
        self._publish_line(client.name, line, header, client.may_command)
        if not self._audience.is_here(client):
            return
        try:
            wanted = read_wanted(line) if header.code == ASK else None
        except LineError as error:
            self._malformed(client, line, error)
            return
        defers = self._granting.defers(client, header.code)
        why = self._why_not(client, header, defers)
        if why:
            self._traffic.refuse(client, header, why)
            self._bear(client)
        elif wanted is not None:
            self._granting.asked(client, header, wanted)
        elif defers:
            self._granting.defer(client, header)
        else:
            self._granting.take(client, header)

    @property
    def stops(self) -> int:
        """How many stops were taken; one that is held back compares it."""
        return self._traffic.stops

    def commanded_late(self, client: Any, line: bytes) -> None:
        """A client sent a command before a stop was taken, and it comes only now: a stop overtook it."""
        whole, header = _read(line)
        if header is None or header.code == ASK or header.code in STOP_CODES:
            self.commanded(client, line)
        elif self._audience.is_here(client):
            self._publish_line(client.name, line, whole, client.may_command)
            self._traffic.refuse(client, header, "not sent: overtaken by a stop")

    def _bear(self, client: Any) -> None:
        """A command is refused; an observer that goes on commanding is dismissed."""
        here = self._audience.is_here(client)
        if here and not client.may_command and self._audience.refusals_of(client) >= MAX_REFUSALS:
            self._dismiss(client, "it is an observer and keeps sending commands")

    def unheard(self, client: Any, lines: list[bytes]) -> None:
        """Commands came from a client that has nowhere to be answered: none is taken.

        Each is refused all the same, for the journal and for those who observe. The sender is not connected
        as the protocol says, so its lines are recorded within the bounds of those without rights.
        """
        self._clients_log.warning(
            "%s: dropped %d commands: the reply connection is not up", client.name, len(lines)
        )
        for line in lines:
            whole, header = _read(line)
            self._publish_line(client.name, line, whole, False)
            if header is not None:
                why = "not sent: its connection for replies is not up"
                self._traffic.refuse(client, header, why, privileged=False)

    def _malformed(self, client: Any, line: bytes, error: LineError) -> None:
        """Close a connection that is out of step; if it can be told which command it was, it is refused."""
        header = read_to_refuse(line)
        if header is None:
            self.counts["malformed"] += 1
            self._publish_change("malformed", client.name, error.reason, client.may_command)
        else:
            self._traffic.refuse(client, header, f"malformed: {error.reason}")
        self._dismiss(client, f"malformed: {error}")

    def _dismiss(self, client: Any, why: str) -> None:
        self._audience.leave(client)  # nothing more that it says counts
        client.dismiss(why)

    def _why_not(self, client: Any, header: CommandEnvelope, defers: bool) -> str:
        """Why a command is not taken; empty if it is.

        :param defers: whether it would wait behind an ask.
        """
        code = header.code
        if not client.may_command:
            return "refused: this client only observes"
        if self._closed or (self._ending and code not in STOP_CODES):
            return "not sent: the bridge ends"
        if code != ASK:
            if self.lease.holder is not client and not defers and not self._is_free(code):
                return f"refused: {self.lease.describe()}"
            if self.link is None:
                return "not sent: the controller is not connected"
        if client.in_flight >= self._rules.in_flight + (MAX_EXEMPT if code in _EXEMPT else 0):
            return f"busy: {client.in_flight} commands of {client.name} are in flight"
        return ""

    def _is_free(self, code: int) -> bool:
        """True if one needs no command for it."""
        return code in STOP_CODES and self._rules.anyone_may_stop

    # The controller

    def link_up(self, link: Any) -> None:
        """Both connections to the controller are up: an epoch begins."""
        self._traffic.link_up(link)
        self._bus.epoch += 1
        self._publish_change("link_up", CONTROLLER)
        self._log.info("the controller is connected (epoch %d); %s", self.epoch, self.lease.describe())
        self._granting.link_up()

    def link_down(self, why: str) -> None:
        """A connection to the controller was lost: the epoch ends, and all that was in flight."""
        self._traffic.link = None
        self.known.link_down()
        self._publish_change("link_down", CONTROLLER, why)
        in_flight = len(self.flights)
        level = logging.INFO if self._closed else logging.WARNING
        self._log.log(level, "lost the controller (epoch %d, %d in flight): %s", self.epoch, in_flight, why)
        self._traffic.lose("the link to the controller was lost")
        self._granting.link_down()

    def said(self, lines: list[bytes]) -> None:
        """The controller sent these lines: what is meant for everyone is passed on together."""
        with self._audience.gathering():
            self._hear(lines)

    def _hear(self, lines: list[bytes]) -> None:
        events: list[EventEnvelope] = []
        for line in lines:
            try:
                reply = read_reply(line)
            except LineError as error:
                self._publish_line(CONTROLLER, line, None)
                self.counts["unreadable"] += 1
                self._limited_log.warning("dropped a line of the controller that is not a reply: %s", error)
                continue
            self._publish_line(CONTROLLER, line, reply)
            if isinstance(reply, EventEnvelope):
                self._learn(reply)
                events.append(reply)
            else:
                if events:
                    self._audience.tell_all(events)  # before the answer, as they came
                    events = []
                self._traffic.answer(reply)
        if events:
            self._audience.tell_all(events)

    def _learn(self, event: EventEnvelope) -> None:
        forgotten = self.known.learn(event)
        if forgotten:
            self.counts["forgotten"] += forgotten
            self._limited_log.warning("too many last values: a new client does not receive all of them")

    def hand_over(self) -> None:
        """Hand commands to the link for as long as it has room; to be called when it has room again."""
        self._traffic.hand_over()

    # Records

    def _publish_line(
        self,
        peer: str,
        line: bytes,
        header: CommandEnvelope | ReplyEnvelope | EventEnvelope | None,
        privileged: bool = True,
    ) -> None:
        """Publish a line that came from a peer, with its header; None for a line without a readable one."""
        bus = self._bus
        code = None if header is None else header.code
        sequence_id = None if header is None else header.sequence_id
        bus.publish(LineRecord(bus.now(), bus.epoch, peer, "from", line, code, sequence_id, privileged))

    def _publish_change(self, kind: str, peer: str, detail: str = "", privileged: bool = True) -> None:
        bus = self._bus
        bus.publish(ChangeRecord(bus.now(), bus.epoch, peer, kind, detail, privileged))

    # The end

    def drain(self, seconds: float) -> Deferred[None]:
        """Take no more commands but what stops something, and wait for the ends of those in flight.

        A holder of command that is gone is waited for no longer.

        :param seconds: how long to wait for them, at most.
        :returns: fires when nothing is in flight, the time is up, or it is cancelled. Never fails.
        """
        self._ending = True
        self._granting.end_grace()
        if self.flights:
            self._log.info("%d commands in flight: waiting %g s for their ends", len(self.flights), seconds)
        draining = Deferred.fromCoroutine(self._drained())
        late = Deadline(self._clock, seconds, draining.cancel)

        def ended(result: object) -> None:
            if late.active():
                late.cancel()
            if isinstance(result, Failure) and not result.check(CancelledError):
                self._log.error("waiting for the commands in flight failed: %s", result.getTraceback())

        return draining.addBoth(ended)

    async def _drained(self) -> None:
        while self.flights:
            await self.flights.emptied.wait()
            # In that turn the last one's commander is told, and what waited behind it begins.
            await deferLater(self._clock, 0)

    def close(self) -> None:
        """End every command in flight, the lease, and every timer; what comes now is not sent.

        If the controller may think that the bridge has command it is told ``NONE``: that is handed to the
        link now, if that has room, and goes out as long as the link still writes what it was handed.
        """
        self._closed = True
        self._traffic.lose("the bridge ends")
        self._granting.close()
        self._traffic.lose("the bridge ends")
        self._traffic.stop()
        self._bus.close()


def _read(line: bytes) -> tuple[CommandEnvelope | None, CommandEnvelope | None]:
    """Return the header of a command twice: None if it is malformed, and as `read_to_refuse` reads it."""
    try:
        header = read_command(line)
    except LineError:
        return None, read_to_refuse(line)
    return header, header
