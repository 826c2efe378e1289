"""The bridge's decisions: which command it accepts, where each reply goes, how each command ends.

The front ends and the controller's link call `Bridge` when a commander or the controller connects, sends a
line or disconnects. `Bridge` and its parts decide, and append effects to one list. Then `effects.Performer`
performs them: it sends to clients and to the controller's link, publishes records, sets timers and writes the
log. The bridge knows neither sockets nor files. Each command ends exactly once for its commander: with the
mount's own reply, or with a NoAck of the bridge. The explanation of such a NoAck begins with one of
`REASONS`.

Next to read: the parts of the bridge, `registry` (connected clients), `dispatcher` (pending commands),
`arbiter` (the lease), `last_values` (the events for a new client), `repeats` (events that changed nothing),
`event_bus` (records) and `effects`; `commanders` and `link`, which call the bridge.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.dialect import (
    CommandEnvelope,
    CommandKind,
    Dialect,
    EventEnvelope,
    ReplyEnvelope,
    Translator,
)
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.errors import LineError
from mtmount_twisted.interfaces import IBridge, IClient, IControllerLink
from mtmount_twisted.journal.schema import CONTROLLER as CONTROLLER
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.machines import next_state
from mtmount_twisted.net.rate_limited_log import A_FEW
from mtmount_twisted.net.waiting import Waiters
from mtmount_twisted.records import ChangeRecord, LineRecord

from .arbiter import CommandArbiter
from .dispatcher import REASONS as REASONS
from .dispatcher import CommandDispatcher, moves
from .effects import Continue, Dismiss, Effect, Log, Performer, SendUpstream, Timer
from .event_bus import EventBus
from .last_values import LastValueCache
from .lease import Lease
from .pending import PendingCommands
from .recollection import Recollection
from .registry import ClientRegistry
from .repeats import Repeats
from .waiting_asks import MOST_COMMANDS

MAX_EXEMPT = 1000
"""The largest number of stops and asks that one commander may have in flight beyond the bound for other
commands. So moves never cause the refusal of a stop, and a client that only sends stops can't fill the
memory."""

MAX_REFUSALS = 100
"""The number of commands that the bridge refuses an observer in one session before it dismisses the
observer."""


class _State(Enum):
    """The states of the bridge."""

    OPEN = "open"
    ENDING = "ending"
    """It accepts only stops, and waits for the ends of the pending commands."""
    CLOSED = "closed"
    """It accepts nothing."""


_STATES = {
    _State.OPEN: (_State.ENDING, _State.CLOSED),
    _State.ENDING: (_State.ENDING, _State.CLOSED),
    _State.CLOSED: (_State.CLOSED,),
}


@implementer(IBridge)
class Bridge:
    """Share one controller among many clients.

    :param clock: an ``IReactorTime`` with monotonic `seconds`.
    :param log: the log of the bridge.
    :param bus: receives every line, step and change.
    :param rules: the site's rules; see `config.settings.CommandRules`.
    :param dialect: the protocol of the controller and of the clients.
    :param source: the source of the commands that the bridge sends to the controller.
    :ivar lease: the lease, with the holder of command.
    :ivar known: the last values of the mount.
    :ivar performer: performs the effects.
    """

    def __init__(
        self,
        clock: IReactorTime,
        log: logging.Logger,
        bus: EventBus,
        rules: CommandRules,
        dialect: Dialect,
        source: Source = Source.CSC,
    ) -> None:
        self.lease: Lease = Lease()
        self.known: LastValueCache = LastValueCache(clock.seconds)
        self.dialect = dialect
        self._clock = clock
        self._log = log
        self._rules = rules
        self._state = _State.OPEN
        self._emptied: Waiters[None] = Waiters()  # for callers that wait until no command is pending
        self._bus = bus
        self._effects: list[Effect] = []
        self._registry = registry = ClientRegistry(
            self._effects, bus, dialect.terminator, self._cut_off_observer
        )
        self._dispatcher = dispatcher = CommandDispatcher(
            self._effects, clock.seconds, rules, bus, registry, self.lease, source, dialect
        )
        self._arbiter = CommandArbiter(self._effects, rules, bus, registry, dispatcher, self.lease, dialect)
        self._recollection = Recollection(
            self._effects, clock.seconds, dispatcher, self._arbiter, self.lease, self.known, dialect
        )
        self._repeats = Repeats(self._effects, bus, dialect)
        self.performer: Performer = Performer(
            self._effects,
            clock,
            log,
            bus,
            self._send_upstream,
            self._go_on,
            self._timer_ended,
            self._send_failed,
        )

    @property
    def clients(self) -> dict[str, IClient]:
        """The connected clients, by name."""
        return self._registry.clients

    @property
    def pending(self) -> PendingCommands:
        """The pending commands."""
        return self._dispatcher.pending

    @property
    def counts(self) -> Counter[str]:
        """The number of occurrences of each kind of event in the bridge."""
        return self._bus.counts

    @property
    def untranslated(self) -> Counter[str]:
        """The number of events of each kind that were dropped for clients of another dialect."""
        return self._registry.untranslated

    @property
    def epoch(self) -> int:
        """Number of the last connection to the controller; 0 before the first."""
        return self._bus.epoch

    @property
    def link(self) -> IControllerLink | None:
        """The controller's link, from `link_up` to `link_down`, else None."""
        return self._dispatcher.link

    @property
    def grace(self) -> bool:
        """True while the holder is disconnected and the bridge waits for its return."""
        return self._arbiter.grace

    def hand_command(self, holder: IClient, grantee_name: str) -> str:
        """Give command to a commander by its name; `AskForCommand` names only a source.

        :param holder: the client that has command.
        :param grantee_name: the name of the connected client that receives command.
        :return: empty if the grantee has command now, else the reason for the refusal.
        """
        if self._state is _State.CLOSED:
            return "the bridge ends"
        if why := self._dispatcher.why_withheld(False):
            return why
        why = self._arbiter.hand_command(holder, grantee_name)
        self._act()
        return why

    # One of several bridges

    def withhold(self, why_withheld: Callable[[bool], str]) -> None:
        """Refuse commands while a function returns a reason.

        :param why_withheld: receives True for a command that may move the mount, and returns the reason,
            which begins with one of `REASONS`, or an empty text.
        """
        self._dispatcher.why_withheld = why_withheld

    def begin_keys(self, first: int) -> None:
        """Number the next commands from this id on, so that a late answer to an earlier bridge matches
        none."""
        self.pending.begin_at(first)

    def inherit(self, name: str, source: Source) -> None:
        """Let the commander that had command at another bridge keep it.

        If it is not connected here, it may come under its name within the time of grace. If it does not, the
        bridge treats its loss like that of any holder.
        """
        self._arbiter.inherit(name, source)
        self._act()

    def end_moves(self, why: str) -> None:
        """End the commands that may move the mount and were not sent yet."""
        self._dispatcher.withdraw_moves(why)
        self._act()

    def stand_by(self, why: str) -> None:
        """End the lease of command: another bridge commands the mount, and this one stops nothing."""
        self._arbiter.stand_by(why)
        self._act()

    # Effects

    def _act(self) -> None:
        """Perform the effects of a decision, and at last send observers the lines gathered for them.

        Each method that decides ends with this call. While the performer runs, this call does nothing: the
        running call also performs the new effects.
        """
        performer, registry = self.performer, self._registry
        if performer.is_performing:
            return
        if registry.gathered:
            registry.deliver_gathered()
        if self._effects:
            performer.perform()
        while registry.gathered:
            registry.deliver_gathered()
            performer.perform()
        if self._state is not _State.OPEN and not self.pending:
            self._emptied.fire(None)

    def _send_upstream(self, effect: SendUpstream) -> None:
        link = self._dispatcher.link
        if link is not None and effect.epoch == self._bus.epoch:
            try:
                link.send(effect.data)
            finally:
                self._dispatcher.sent_upstream()

    def _send_failed(self, client: IClient, why: str) -> None:
        if self._registry.is_here(client):
            self.cut_off(client, why)
        self._effects.append(Dismiss(client, why))

    def _timer_ended(self, timer: Timer) -> None:
        if timer is Timer.SWEEP:
            self._dispatcher.sweep()
        elif timer is Timer.REPEATS:
            self._repeats.report_all()
        elif timer is Timer.OBSERVERS:
            self._registry.observers.serve_next()
        elif timer is Timer.QUESTIONS:
            self._recollection.end_next()
        else:
            self._arbiter.timer_ended(timer)
        self._act()

    # Clients

    def client_connected(self, client: IClient) -> None:
        """Admit a client that connected or came back, and send it the last values."""
        self._registry.enter(client)
        self._publish_change("connected", client.name, "", self._has_command(client))
        self._arbiter.came(client)
        self._registry.tell_one(client, self.known.current, self._has_command(client))
        self._arbiter.greet(client)
        self._act()

    def client_lost(self, client: IClient, why: str) -> None:
        """Remove a client that is gone. Its commands continue; only observers receive their replies."""
        self._registry.leave(client)
        has_command = self._has_command(client)
        if has_command:  # its ``disconnected`` is not within bounds, and so does not end its session there
            self._bus.end_session(client.name)
        self._publish_change("disconnected", client.name, why, has_command)
        self._recollection.lost(client, "the client is gone")
        if self._state is not _State.CLOSED:
            self._arbiter.left(client)
        self._act()

    def client_finished(self, client: IClient) -> None:
        """Note that a client sends no more and still listens: it keeps command as long as a lost one. The
        commands and asks of the client continue. If an ask gives the client command, it counts as gone from
        then on. The client receives replies and events until it is lost.
        """
        self._registry.note_sends_no_more(client)
        self._publish_change("finished", client.name, "", self._has_command(client))
        if self._state is not _State.CLOSED:
            self._arbiter.finished(client)
        self._act()

    def client_leaves(self, client: IClient, why: str) -> None:
        """End the commands of a client that the site is about to close, and send the client their ends."""
        self._registry.observers.catch_up(client)
        self._arbiter.leaves(client, why)
        self._recollection.leaves(client, why)
        self._dispatcher.lose(why, client)
        self._act()

    def cut_off(self, client: IClient, why: str) -> None:
        """Remove a client before its disconnection: it is a slow consumer, it gives way at a full port, or
        sending to it failed.

        The bridge ignores all later lines of the client, and the client drops all lines for it.
        """
        self._cut_off(client, why)
        self._act()

    def _cut_off(self, client: IClient, why: str) -> None:
        self._registry.leave(client)
        self.counts["cut_off"] += 1
        self._publish_change("cut_off", client.name, why, self._has_command(client))
        self._recollection.lost(client, f"cut off: {why}")

    def _cut_off_observer(self, client: IClient, why: str) -> None:
        self._cut_off(client, why)
        self._effects.append(Dismiss(client, f"cut off: {why}"))

    def commanded(self, client: IClient, line: bytes, header: CommandEnvelope | None = None) -> None:
        """Dispatch a command of a client. If the client was dismissed or cut off, only record the line.

        :param header: the line's envelope if the front end has read it, so that it is not read again.
        """
        self._command(client, line, header)
        self._act()

    def all_commanded(self, client: IClient, lines: Iterable[bytes]) -> None:
        """Dispatch the commands of a client, up to one that ends its session: see `commanded`.

        Observers receive the replies to all of them together.
        """
        self.all_read(client, ((line, None) for line in lines))

    def all_read(self, client: IClient, commands: Iterable[tuple[bytes, CommandEnvelope | None]]) -> None:
        """Dispatch commands like `all_commanded`. A line comes with its envelope if the front end has read
        it."""
        for line, header in commands:
            self._command(client, line, header)
            self.performer.perform()  # before the next line is asked for: a stop may overtake it meanwhile
            if not self._registry.is_here(client):
                break
        self._act()

    def _command(self, client: IClient, line: bytes, header: CommandEnvelope | None = None) -> None:
        try:
            header = header or self.spoken_by(client).read_command(line)
        except LineError as error:
            self._publish_line(client.name, line, None, self._has_command(client))
            if self._registry.is_here(client):
                self._malformed(client, line, error)
            return
        if not self._registry.is_here(client):
            self._publish_line(client.name, line, header, self._has_command(client))
            return
        if header.kind.is_heartbeat and client.may_command:  # it gets no answer
            self.counts["heartbeats"] += 1
            self._arbiter.heard_heartbeat(client)
            return
        try:
            wanted = self.spoken_by(client).read_wanted(line) if header.kind.is_ask else None
        except LineError as error:
            self._publish_line(client.name, line, header, self._has_command(client))
            self._malformed(client, line, error)
            return
        defers = self._arbiter.defers(client, header.kind)
        why = self._why_not(client, header, defers)
        if wanted is not None:
            why = why or self._arbiter.why_not(client, wanted)
        is_privileged = client.may_command and (not why or self._has_command(client))
        self._publish_line(client.name, line, header, is_privileged)
        if why:
            self._dispatcher.refuse(client, header, why, privileged=is_privileged)
            self._bear(client)
        elif wanted is not None:
            self._arbiter.asked(client, header, wanted)
        elif header.kind.recalls is not None:
            session_id = self._registry.session_of(client)
            self._recollection.answer(client, session_id, header, header.kind.recalls)
        elif defers:
            self._arbiter.defer(client, header)
        else:
            self._arbiter.take_command(client, header)

    def spoken_by(self, client: IClient) -> Dialect | Translator:
        """Return the reader of a client's lines: the controller's dialect, or the client's translator."""
        return client.translator or self.dialect

    def _go_on(self, effect: Continue) -> None:
        """Dispatch the next part of a command. Its sender need not be here any more.

        Refuse it if, since the command came, the lease has ended, a stop has come or the bridge began to end.
        """
        after, holder = effect.after, self.lease.holder
        why = ""
        if self._state is not _State.OPEN:
            why = "not sent: the bridge ends"
        elif holder is None or self.lease.number != after.lease:
            why = f"refused: the lease of the command has ended, and {self.lease.describe()}"
        elif self.stops != after.stops:
            why = "not sent: overtaken by a stop"
        if why or holder is None:
            self._dispatcher.refuse(after.client, effect.header, why, after.session_id)
        else:  # `holder` is another object than the sender if the sender came back
            self._arbiter.take_command(holder, effect.header, session_id=after.session_id)

    @property
    def stops(self) -> int:
        """The number of accepted stops; the front end compares it for a command that it held back."""
        return self._dispatcher.stops

    @property
    def anyone_may_stop(self) -> bool:
        """True if a client needs no command for a stop."""
        return self._rules.anyone_may_stop

    def commanded_late(self, client: IClient, line: bytes, read: CommandEnvelope | None = None) -> None:
        """Refuse a command that a stop overtook: the client sent it before the bridge accepted the stop.

        :param read: the line's envelope if the front end has read it, so that it is not read again.
        """
        whole, header = (read, read) if read is not None else self._read(client, line)
        if header is None or header.kind.is_ask or header.kind.is_stop or header.kind.is_heartbeat:
            self._command(client, line, whole)
        elif self._registry.is_here(client):
            privileged = self._has_command(client)
            self._publish_line(client.name, line, whole, privileged)
            self._dispatcher.refuse(client, header, "not sent: overtaken by a stop", privileged=privileged)
        self._act()

    def _has_command(self, client: IClient) -> bool:
        """Return True if a client has command.

        If it does not, the bounds for clients without rights apply to the records of its refusals and
        connections. The client can cause such records without end, and they must not displace other records.
        """
        return self.lease.holder is client

    def _bear(self, client: IClient) -> None:
        """Dismiss an observer that sends too many commands, after the refusal of one."""
        if not client.may_command and self._registry.count_refusal(client) >= MAX_REFUSALS:
            self._dismiss(client, "it is an observer and keeps sending commands")

    def unheard(self, client: IClient, lines: list[bytes]) -> None:
        """Drop the commands of a client without a reply connection.

        The bridge refuses each command all the same, for the journal and for observers. The sender is not
        connected as the protocol requires, so the bounds for clients without rights apply to the records of
        its lines.
        """
        text = "%s: dropped %d commands: the reply connection is not up"
        self._effects.append(Log(logging.WARNING, text, (client.name, len(lines)), burst=A_FEW))
        for line in lines:
            whole, header = self._read(client, line)
            if whole is None:
                self._log_other_generation(client, line)
            self._publish_line(client.name, line, whole, False)
            if header is not None:
                why = "not sent: its connection for replies is not up"
                self._dispatcher.refuse(client, header, why, privileged=False)
        self._act()

    def refuse_busy(self, client: IClient, lines: list[bytes], most: int, why: str) -> None:
        """Refuse commands of a client without command that sends faster than the bridge refuses.

        Only the client receives the refusals, and the journal counts the commands, so that this costs little.

        :param most: the number of bytes of a line that are read for its header.
        """
        self._bus.leave_out(client.name, len(lines), sum(map(len, lines)))
        read = self.spoken_by(client).read_to_refuse
        for line in lines:
            header = read(line[:most])
            if header is not None:
                self._dispatcher.refuse_unrecorded(client, header, f"busy: {why}")
        self._act()

    def leave_out(self, client: IClient, lines: list[bytes]) -> None:
        """Drop commands of a client without command that is gone; the journal counts them."""
        self._bus.leave_out(client.name, len(lines), sum(map(len, lines)))

    def _log_other_generation(self, client: IClient, line: bytes) -> None:
        """Log that a client speaks another dialect: it may have no reply connection because that has only
        one."""
        try:
            self.spoken_by(client).read_command(line)
        except LineError as error:
            if error.field == "timestamp":
                self._effects.append(Log(logging.WARNING, "%s: %s", (client.name, error.reason), burst=A_FEW))

    def _malformed(self, client: IClient, line: bytes, error: LineError) -> None:
        """Close a connection that sent a malformed line; if the line names a command, refuse the command."""
        header = self.spoken_by(client).read_to_refuse(line)
        if header is None:
            self.counts["malformed"] += 1
            self._publish_change("malformed", client.name, error.reason, self._has_command(client))
        else:
            why, privileged = f"malformed: {error.reason}", self._has_command(client)
            self._dispatcher.refuse(client, header, why, privileged=privileged)
        self._dismiss(client, f"malformed: {error}")

    def _dismiss(self, client: IClient, why: str) -> None:
        self._registry.leave(client)  # the bridge ignores its later lines
        self._effects.append(Dismiss(client, why))

    def why_not(self, client: IClient, header: CommandEnvelope) -> str:
        """Return the reason for which the bridge would refuse a command now; empty if it would accept it."""
        return self._why_not(client, header, self._arbiter.defers(client, header.kind))

    def _why_not(self, client: IClient, header: CommandEnvelope, defers: bool) -> str:
        """Return the reason for the refusal of a command; empty if the bridge accepts it.

        :param defers: True if the command would wait behind an ask.
        """
        kind = header.kind
        if not client.may_command:
            return "refused: this client only observes"
        if self._state is _State.CLOSED or (self._state is _State.ENDING and not kind.is_stop):
            return "not sent: the bridge ends"
        if why := self._dispatcher.why_withheld(moves(kind)):
            return why
        if not kind.is_ask:
            if self.lease.holder is not client and not defers and not self._is_free(kind):
                return f"refused: {self.lease.describe()}"
            if self._dispatcher.link is None:
                return "not sent: the controller is not connected"
        if kind.refusal:
            return kind.refusal
        if defers and not (kind.is_ask or kind.is_stop) and self._arbiter.is_full:
            return f"busy: {MOST_COMMANDS} commands wait for the controller's answer to an ask"
        if client.in_flight >= self._rules.in_flight + (MAX_EXEMPT if kind.is_stop or kind.is_ask else 0):
            return f"busy: {client.in_flight} commands of {client.name} are in flight"
        return ""

    def _is_free(self, kind: CommandKind) -> bool:
        """Return True if a client may send the command without having command."""
        return kind.recalls is not None or (kind.is_stop and self._rules.anyone_may_stop)

    # The controller

    def link_up(self, link: IControllerLink) -> None:
        """Begin an epoch: both connections to the controller are up."""
        self._dispatcher.link_up(link)
        self._bus.epoch += 1
        self._publish_change("link_up", CONTROLLER)
        text = "the controller is connected (epoch %d); %s"
        fields = {"peer": CONTROLLER, "epoch": self.epoch}
        self._effects.append(Log(logging.INFO, text, (self.epoch, self.lease.describe()), fields=fields))
        self._arbiter.link_up()
        if self._state is _State.OPEN:
            self._recollection.link_up()
        self._act()

    def link_down(self, why: str) -> None:
        """End the epoch and all pending commands: a connection to the controller was lost."""
        self._dispatcher.link = None
        self.known.link_down()
        self._repeats.forget()
        self._publish_change("link_down", CONTROLLER, why)
        level = logging.INFO if self._state is _State.CLOSED else logging.WARNING
        text = "lost the controller (epoch %d, %d in flight): %s"
        fields = {"peer": CONTROLLER, "epoch": self.epoch}
        self._effects.append(Log(level, text, (self.epoch, len(self.pending), why), fields=fields))
        self._dispatcher.lose("the link to the controller was lost")
        self._arbiter.link_down()
        self._act()

    def process_replies(self, lines: list[bytes]) -> None:
        """Process lines of the controller, and pass events to all clients together."""
        events: list[EventEnvelope] = []
        repeats: set[int] = set()  # the indices in `events` of the events that changed nothing
        for line in lines:
            try:
                reply = self.dialect.read_reply(line)
            except LineError as error:
                self._publish_line(CONTROLLER, error.line, None)
                self.counts["unreadable"] += 1
                text = "dropped a line of the controller that is not a reply: %s"
                fields = {"peer": CONTROLLER, "epoch": self.epoch}
                self._effects.append(Log(logging.WARNING, text, (error,), burst=1, fields=fields))
                continue
            if isinstance(reply, EventEnvelope):
                if reply.unmasked is not None and not self._rules.pass_settings_password:
                    reply = reply._replace(unmasked=None)
                number = self.dialect.commander_in(reply)
                if number is not None:
                    self._publish_line(CONTROLLER, reply.line, reply)
                    if events:
                        self._registry.tell_all(events, repeats)  # before what follows from it
                        events, repeats = [], set()
                    self._arbiter.heard_commander(number)
                    continue
                if self._learn(reply):
                    repeats.add(len(events))
                events.append(reply)
                continue
            if self._effects:  # the effects of the line before
                self.performer.perform()
            self._publish_line(CONTROLLER, reply.masked or line, reply)
            if events:
                self._registry.tell_all(events, repeats)  # before the reply, in the order of arrival
                events, repeats = [], set()
            self._dispatcher.answer(reply)
        if events:
            self._registry.tell_all(events, repeats)
        self._act()

    def _learn(self, event: EventEnvelope) -> bool:
        """Keep an event and record it. If it changed nothing, only count it, and return True."""
        subject = self.dialect.subject_of(event)
        is_repeat = subject is not None and self._repeats.note(event, subject)
        if not is_repeat:
            self._publish_line(CONTROLLER, event.line, event)
        if subject is None:  # unknown or malformed: it is passed on all the same
            return False
        forgotten = self.known.learn(event, subject)
        if forgotten:
            self.counts["forgotten"] += forgotten
            self._recollection.note_forgotten()
            text = "too many last values: a new client does not receive all of them"
            self._effects.append(Log(logging.WARNING, text, (), burst=1))
        return is_repeat

    def hand_over(self) -> None:
        """Hand commands to the link while it has room; the link calls this when it has room again."""
        self._dispatcher.hand_over()
        self._act()

    # Records

    def _publish_line(
        self,
        peer: str,
        line: bytes,
        header: CommandEnvelope | ReplyEnvelope | EventEnvelope | None,
        privileged: bool = True,
    ) -> None:
        """Publish a line from a peer, with its header; None for a line without a readable header."""
        bus = self._bus
        code = None if header is None else header.code
        sequence_id = None if header is None else header.sequence_id
        self._effects.append(
            LineRecord(bus.now(), bus.epoch, peer, "from", line, code, sequence_id, privileged)
        )

    def _publish_change(self, kind: str, peer: str, detail: str = "", privileged: bool = True) -> None:
        bus = self._bus
        self._effects.append(ChangeRecord(bus.now(), bus.epoch, peer, kind, detail, privileged))

    # The end

    def drain(self, seconds: float) -> Deferred[None]:
        """Accept only stops from now on, and wait for the ends of the pending commands.

        The bridge no longer waits for the return of a disconnected holder.

        :param seconds: the longest wait (s).
        :returns: a Deferred that fires when no command is pending, the time is up, or it is cancelled; it
            never fails.
        """
        self._become(_State.ENDING)
        self._arbiter.give_no_grace()
        self._recollection.close()
        self._dispatcher.lose_questions("the bridge ends")  # a silent mount must not delay the end
        if self.pending:
            text = "%d commands in flight: waiting %g s for their ends"
            self._effects.append(Log(logging.INFO, text, (len(self.pending), seconds)))
        self._act()
        draining = Deferred.fromCoroutine(self._drained())
        late = Deadline(self._clock, seconds, draining.cancel)

        def ended(result: object) -> None:
            if late.active():
                late.cancel()
            if isinstance(result, Failure) and not result.check(CancelledError):
                self._log.error("waiting for the commands in flight failed: %s", result.getTraceback())

        return draining.addBoth(ended)

    async def _drained(self) -> None:
        while self.pending:
            await self._emptied.wait()
            await deferLater(self._clock, 0)  # the caller of the bridge goes on first

    def close(self) -> None:
        """End every pending command, the lease and every timer; the bridge sends no later command.

        If the controller may think that the bridge has command, the bridge hands ``NONE`` to the link now,
        provided that the link has room. ``NONE`` reaches the controller if the link still writes its buffer.
        """
        self._become(_State.CLOSED)
        self._recollection.close()
        self._dispatcher.lose("the bridge ends")
        self._recollection.flush()
        self._arbiter.close()
        self._dispatcher.lose("the bridge ends")
        self._dispatcher.stop()
        self._repeats.close()
        self._registry.observers.close()
        self._act()
        self._bus.close()

    def _become(self, after: _State) -> None:
        self._state = next_state(_STATES, self._state, after)

    def _read(self, client: IClient, line: bytes) -> tuple[CommandEnvelope | None, CommandEnvelope | None]:
        """Return the header of a command, or None if malformed; and the header for a refusal, or None."""
        spoken = self.spoken_by(client)
        try:
            header = spoken.read_command(line)
        except LineError:
            return None, spoken.read_to_refuse(line)
        return header, header
