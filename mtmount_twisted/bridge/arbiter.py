"""Grants of command: asks, hand-overs, and the time of grace after the loss of the holder.

The bridge grants and releases command itself, and holds command of the controller for its clients. It asks
the controller before the first grant, after each new connection, and when the holder asks again. It sends
``NONE`` after the last release and at its own end. Until the controller answers, the asks of the clients
wait. If the controller refuses, the bridge refuses all these asks, and no client has command.

Rules beyond those of the protocol:

* ``NONE`` withdraws the waiting asks that its sender sent, or that would give its sender command. From a
  client that neither has command nor asks for it, ``NONE`` is refused while another client has command, and
  accepted otherwise.
* The rule that command cannot be taken from the HHD also holds for the HHD itself: while it has command,
  its ask for another source is refused (``protocol-tma2020.rst``).
* While the holder is gone, any client can still take command. The bridge does not stop the mount then,
  because the new holder is in charge.
* If the controller does not answer in time, the asks time out. A holder keeps its lease: the answer to each
  of its commands shows whether the controller accepts it.
* Behind an ask that may give it command, a client's commands wait for the outcome of the ask, so that a
  program need not wait for the Done of its ask. They count as in flight. Stops from the holder do not wait,
  nor do stops that need no command.
* A stop also ends the commands that wait behind any ask and came before the stop, because they would move
  the mount again. If a stop needs command, it is sent as soon as its sender has command, before all else
  that the sender sent. The asks themselves go on.
* A client that has closed its sending side keeps its asks and the commands behind them. If it gets command,
  it counts as a lost holder, because it can no longer send a stop.
* While the link to the controller is down, a client can give up command, and no client can get it.
* A stop needs no command from the bridge, but the controller accepts it only from its holder. So the bridge
  asks for command first and gives it back afterwards. A stop therefore works while no client has command,
  and takes command from a program that commands the controller without the bridge.
* The bridge itself makes the events that name the commander, and does not pass on the events of the mount
  that name it. The event of the bridge tells each commander whether this commander has command at the bridge.
* If the mount says that another source has command, the lease ends at once. The bridge then neither asks for
  command by itself nor stops the mount, which would refuse the stop.
* If the time of grace ends while the link is down, the bridge stops the mount as soon as the link is up
  again.

Next to read: `authority`, the states of command upstream; `lease`, the rules as a value; `waiting_asks`,
which keeps the waiting asks and commands; `announcements`, which name the holder to the clients;
`dispatcher`, which takes the commands; `effects`, which this module decides.
"""

from __future__ import annotations

import logging
from enum import Enum
from functools import partial

from zope.interface import implementer

from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.dialect import CommandEnvelope, CommandKind, Dialect, EventEnvelope, Meaning
from mtmount_twisted.dialects.sources import Commander, Source
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.journal.schema import CONTROLLER, STEPS
from mtmount_twisted.net.machines import next_state
from mtmount_twisted.records import ChangeRecord

from .announcements import Announcements
from .authority import Authority, AuthorityInput, next_authority
from .dispatcher import CommandDispatcher, moves, why_overtaken
from .effects import CancelTimer, Effect, Log, SetTimer, Timer
from .event_bus import EventBus
from .heartbeats import LONGEST_SILENCE, Heartbeats
from .lease import Lease
from .pending import OnComplete
from .registry import ClientRegistry
from .waiting_asks import MOST_ASKS, Waiting, WaitingAsks

MOST_CHANGES = 60
"""The largest number of lines in the log for new holders in a minute, and for former ones: commanders may
take command from each other hundreds of times a second. The journal has each change."""

ACCEPT_TIMEOUT = 1.0
"""The time that the bridge announces in the Ack to a command that it carries out itself, in seconds. The end
of the command follows at once."""

_OUTCOMES: dict[Meaning | None, AuthorityInput] = {
    Meaning.SUCCEEDED: AuthorityInput.GRANTED,
    Meaning.REJECTED: AuthorityInput.REFUSED,
    Meaning.FAILED: AuthorityInput.REFUSED,
    Meaning.SUPERSEDED: AuthorityInput.REFUSED,
    None: AuthorityInput.UNANSWERED,
}
"""Outcomes of an ask to the controller, by the meaning of its last reply."""


class _Loss(Enum):
    """The step that is due after the loss of a holder."""

    NOTHING = "nothing"
    GRACE = "grace"
    """The holder is gone or sends no more, and the bridge waits for its return."""
    STOP = "stop"
    """No client has command, and the mount must be stopped as soon as the controller is connected."""


_LOSSES = {
    _Loss.NOTHING: (_Loss.NOTHING, _Loss.GRACE, _Loss.STOP),
    _Loss.GRACE: (_Loss.NOTHING,),
    _Loss.STOP: (_Loss.STOP, _Loss.NOTHING),
}


class CommandArbiter:
    """Grants command to clients, and releases it."""

    def __init__(
        self,
        effects: list[Effect],
        rules: CommandRules,
        bus: EventBus,
        registry: ClientRegistry,
        dispatcher: CommandDispatcher,
        lease: Lease,
        dialect: Dialect,
    ) -> None:
        self._effects = effects
        self._rules = rules
        self._bus = bus
        self._registry = registry
        self._dispatcher = dispatcher
        self._lease = lease
        self._dialect = dialect
        self._heartbeats = Heartbeats(effects, dispatcher, dialect)
        self._announcements = Announcements(effects, registry, lease, dialect.commander_event)
        self._authority = Authority.RELEASED
        self._waiting = WaitingAsks()
        self._loss = _Loss.NOTHING
        self._grace_time: float | None = rules.lease_grace  # s; None: a lost holder gets none

    # Asks

    def why_not(self, client: IClient, wanted: Commander) -> str:
        """Return the explanation for the refusal of an ask; empty if it is granted, or waits."""
        if wanted == Commander.NONE:
            may_give_back = self._lease.holder in (None, client) or self._asks_of(client)
            return "" if may_give_back else f"refused: {self._lease.describe()}"
        grantee, why = self._grantee(client, wanted)
        if grantee is None or why:
            return f"refused: {why}"
        return "not sent: the controller is not connected" if self._dispatcher.link is None else ""

    def asked(self, client: IClient, header: CommandEnvelope, wanted: Commander) -> None:
        """Grant an `AskForCommand` that is not refused (`why_not`), or let it wait for the controller."""
        if wanted == Commander.NONE:
            self._give_back(client, header)
            return
        grantee, _ = self._grantee(client, wanted)
        if grantee is None:
            raise ValueError(f"the ask of {client.name} is refused")
        if self._authority.is_granted and self._lease.holder is not grantee:
            self._grant(Waiting(client, self._registry.session_of(client), header), grantee)
        else:
            self.defer(client, header, grantee)
            self._ask_upstream()

    def _grantee(self, client: IClient, wanted: Commander) -> tuple[IClient | None, str]:
        """Return the client that the ask gives command, and the reason if it can't have command."""
        grantees = [client] if client.may_have_command else []
        if int(wanted) != int(client.source):
            grantees = [
                other
                for other in self._registry.commanders()
                if other.may_have_command and int(other.source) == int(wanted)
            ]
        elif not grantees:
            return None, _stops_only(client)
        if len(grantees) == 1:
            return grantees[0], self._lease.why_not(grantees[0])
        which = "no" if not grantees else f"more than one ({len(grantees)})"
        return None, f"{which} {wanted.name} is connected"

    def _give_back(self, client: IClient, header: CommandEnvelope) -> None:
        self._drop(self._asks_of(client), "refused: it was given back before it was granted")
        self._accept(client, header)
        if self._lease.holder in (None, client):
            self._release("given back")

    def _asks_of(self, client: IClient) -> list[Waiting]:
        """Return the waiting asks that this client sent, or that would give it command."""
        return [each for each in self._waiting.unanswered_of(client) if each.grantee is not None]

    def _drop(self, asks: list[Waiting], why: str) -> None:
        """Refuse asks that still wait, and decide on the commands that have no other ask to wait for."""
        for ask in asks:
            if self._take_out(ask):
                self._dispatcher.refuse(ask.client, ask.header, why, ask.session_id)
        for client in dict.fromkeys(ask.grantee for ask in asks if ask.grantee is not None):
            waiting = self._waiting.unanswered_of(client)
            if any(each.grantee is client for each in waiting):
                continue
            for each in waiting:
                if each.grantee is None and self._take_out(each):
                    self._decide(each)

    def _take_out(self, each: Waiting) -> bool:
        """End the wait of an ask or command; return False if it has ended already."""
        if not self._waiting.take_out(each):
            return False
        each.client.in_flight -= 1
        return True

    # Commands behind an ask

    def defers(self, client: IClient, kind: CommandKind) -> bool:
        """Return True if a command of this client waits behind an ask that may give the client command."""
        has_command = self._lease.holder is client
        if not self._waiting or (kind.is_stop and (has_command or self._rules.anyone_may_stop)):
            return False
        return any(
            each.grantee is None or (each.grantee is client and not has_command)
            for each in self._waiting.unanswered_of(client)
        )

    @property
    def is_full(self) -> bool:
        """True if no further command may wait behind an ask."""
        return self._waiting.is_full

    def defer(self, client: IClient, header: CommandEnvelope, grantee: IClient | None = None) -> None:
        """Let an ask with its grantee, or a command behind an ask, wait for the controller's answer."""
        surplus = None if grantee is None else self._waiting.surplus()
        self._waiting.add(Waiting(client, self._registry.session_of(client), header, grantee))
        client.in_flight += 1
        if surplus is not None:
            self._drop(
                [surplus], f"busy: {MOST_ASKS} later asks for command wait for the controller's answer"
            )

    def take_command(
        self,
        client: IClient,
        header: CommandEnvelope,
        then: OnComplete | None = None,
        session_id: int | None = None,
        ahead: list[Waiting] | None = None,
    ) -> None:
        """Pass a command to the dispatcher.

        A stop ends the earlier commands that wait behind an ask. If the bridge does not have command of the
        controller, it asks for it before the stop.

        :param session_id: the number of the client's session when the command came; None for the present
            session.
        :param ahead: the asks and commands that came before; None for all that wait.
        """
        if not header.kind.is_stop:
            self._dispatcher.begin_command(client, header, then, session_id)
            return
        before = tuple(self._waiting) if ahead is None else ahead
        overtaken = [each for each in before if each.grantee is None and not each.stops]
        overtaken = [each for each in overtaken if self._take_out(each)]
        if not self._authority.is_granted and self._dispatcher.link is not None:
            self._ask_upstream()  # the controller accepts commands from its holder only
        self._dispatcher.begin_command(client, header, then, session_id)
        for each in overtaken:
            self._dispatcher.refuse(each.client, each.header, why_overtaken(client, header), each.session_id)

    def _take_stops(self, holder: IClient) -> None:
        """Send the waiting stops of the new holder at once, before its other commands."""
        if self._dispatcher.link is None:  # it is just being lost
            return
        ahead: list[Waiting] = []
        for each in self._waiting:
            if each.client is not holder or not each.stops:
                ahead.append(each)
            elif self._take_out(each):
                self.take_command(holder, each.header, session_id=each.session_id, ahead=ahead)
                ahead = []

    def _decide(self, each: Waiting, why: str = "") -> None:
        """Send a command that waited behind an ask, or refuse it.

        :param why: the reason for a refusal, which begins with one of `dispatcher.REASONS`; if it is
            empty, the command is sent if its sender has command.
        """
        if not why and self._lease.holder is not each.client:
            why = f"refused: {self._lease.describe()}"
        elif not why and self._dispatcher.link is None:  # the link is just being lost
            why = "not sent: the controller is not connected"
        why = why or self._dispatcher.why_withheld(moves(each.header.kind))
        if why:
            self._dispatcher.refuse(each.client, each.header, why, each.session_id)
        else:
            self._dispatcher.begin_command(each.client, each.header, session_id=each.session_id)

    # Grants

    def _grant(self, ask: Waiting, grantee: IClient) -> None:
        lease = self._lease
        why = lease.why_not(grantee) or ("" if self._registry.is_here(grantee) else f"{grantee.name} is gone")
        if why:
            self._dispatcher.refuse(ask.client, ask.header, f"refused: {why}", ask.session_id)
            return
        if lease.holder is not grantee:
            self._pass_to(grantee, f"{grantee.name} took it")
        self._accept(ask.client, ask.header, ask.session_id)

    def _pass_to(self, grantee: IClient, why: str) -> None:
        """Give command to a client that does not have it, and end the lease of the previous holder."""
        lease = self._lease
        previous_holder, number = lease.holder, lease.number
        self._end_grace()
        self._become(_Loss.NOTHING)  # the new holder is in charge
        lease.grant(grantee)
        self._lease_changed()
        if previous_holder is not None:
            self._ended(previous_holder, number, why)
        self._publish_change("lease_granted", grantee, f"lease {lease.number}")
        about = {"peer": grantee.name, "lease": lease.number}
        self._log_change("%s has command (lease %d)", grantee.name, lease.number, **about)
        self._take_stops(grantee)
        if self._registry.sends_no_more(grantee):
            self._miss(grantee)

    def hand_command(self, holder: IClient, grantee_name: str) -> str:
        """Give command to a client by its name; see `Bridge.hand_command`."""
        grantee = self._registry.clients.get(grantee_name)
        if self._lease.holder is not holder or not self._registry.is_here(holder):
            return f"{holder.name} does not have command: {self._lease.describe()}"
        if grantee is None or not grantee.may_command:
            return f"no commander {grantee_name!a} is connected"
        if not grantee.may_have_command:
            return _stops_only(grantee)
        if not self._authority.is_granted:
            return "the controller is not connected, or was not heard yet on who has command"
        why = self._lease.why_not(grantee)
        if not why and grantee is not holder:
            self._pass_to(grantee, f"{holder.name} gave it to {grantee.name}")
        return why

    @property
    def grace(self) -> bool:
        """True while the bridge waits for a lost holder."""
        return self._loss is _Loss.GRACE

    def _accept(self, client: IClient, header: CommandEnvelope, session_id: int | None = None) -> None:
        """Acknowledge a command that the bridge itself carries out, and report it as done."""
        self._dispatcher.publish_unsent("local", client, header, "", privileged=True)
        for answer in (self._dialect.acknowledged(ACCEPT_TIMEOUT), self._dialect.succeeded()):
            self._registry.deliver_reply(client, header, answer, session_id)

    def _release(self, why: str) -> None:
        """End the lease, and give command back to the controller."""
        self._end_grace()
        previous_holder, number = self._lease.holder, self._lease.number
        if previous_holder is not None:
            self._lease.release()
            self._lease_changed()
            self._ended(previous_holder, number, why)
        self._release_upstream()

    def _ended(self, previous_holder: IClient, number: int, why: str, explanation: str = "") -> None:
        """Withdraw the unsent commands of a lease that is over, and publish its end.

        :param explanation: the reason in the NoAcks of these commands; if it is empty, they name the holder.
        """
        self._dispatcher.withdraw(number, f"refused: {explanation or self._lease.describe()}")
        self._publish_change("lease_released", previous_holder, f"lease {number}: {why}")
        text = "%s no longer has command (lease %d): %s"
        about = {"peer": previous_holder.name, "lease": number}
        self._log_change(text, previous_holder.name, number, why, **about)

    def _lease_changed(self) -> None:
        self._heartbeats.forget()
        self._keep_heartbeat()
        self._announcements.announce()

    def _keep_heartbeat(self) -> None:
        """Send heartbeats to the controller while a client has command, and the controller knows that."""
        self._heartbeats.run(self._lease.holder is not None and self._authority.is_granted)

    # Questions that the bridge answers from memory

    def acknowledge(
        self, client: IClient, session_id: int, header: CommandEnvelope, timeout: float = ACCEPT_TIMEOUT
    ) -> None:
        """Acknowledge a question that the bridge answers itself.

        :param timeout: the longest time until its end (s).
        """
        self._registry.deliver_reply(client, header, self._dialect.acknowledged(timeout), session_id)

    def recall(
        self,
        client: IClient,
        session_id: int,
        header: CommandEnvelope,
        events: list[EventEnvelope],
        with_commander: bool,
    ) -> None:
        """Answer a question that was acknowledged with events and the end.

        :param with_commander: True to send the event that names the commander first.
        """
        has_command = self._lease.holder is client
        if with_commander:
            events = [*self._announcements.event_for(client), *events]
        self._dispatcher.publish_unsent("local", client, header, "", privileged=True)
        if self._registry.is_here(client) and self._registry.session_of(client) == session_id:
            self._registry.tell_one(client, events, has_command)
        self._registry.deliver_reply(client, header, self._dialect.succeeded(), session_id)

    # The events that name the commander

    def greet(self, client: IClient) -> None:
        """Send a new client the source that has command. A commander gets its own only if it has command."""
        self._announcements.greet(client)

    def heard_commander(self, number: int) -> None:
        """End the lease if the mount says that another source has command while the bridge has it.

        :param number: the number of the source, 0 for none.
        """
        if not self._authority.is_granted or number == int(self._dispatcher.own.source):
            return
        self._step_authority(AuthorityInput.TAKEN)
        try:
            name = Commander(number).name if number else "nobody"
        except ValueError:
            name = f"source {number}"
        why = f"the mount gave command to {name}"
        self._log(logging.WARNING, "the mount gave command to %s", name, peer=CONTROLLER)
        self._end_grace()
        previous_holder, lease_number = self._lease.holder, self._lease.number
        if previous_holder is not None:
            self._lease.release()
            self._lease_changed()
            self._ended(previous_holder, lease_number, why, why)

    def _publish_change(self, kind: str, client: IClient, detail: str) -> None:
        bus = self._bus
        self._effects.append(ChangeRecord(bus.now(), bus.epoch, client.name, kind, detail))

    def _log(self, level: int, text: str, *arguments: object, **fields: object) -> None:
        self._effects.append(Log(level, text, arguments, fields={"epoch": self._bus.epoch, **fields}))

    def _log_change(self, text: str, *arguments: object, **fields: object) -> None:
        fields = {"epoch": self._bus.epoch, **fields}
        self._effects.append(Log(logging.INFO, text, arguments, MOST_CHANGES, fields))

    # Upstream

    def _ask_upstream(self) -> None:
        """Ask the controller for command, unless an ask is open."""
        if self._authority.is_asking:
            return
        self._step_authority(AuthorityInput.ASK_SENT)
        source = Commander(int(self._dispatcher.own.source))
        # The ask goes before the waiting commands, because a stop that needs command may follow.
        self._dispatcher.begin_own(self._dialect.ask(source), self._upstream_answered)

    def _step_authority(self, given: AuthorityInput) -> None:
        self._authority = next_authority(self._authority, given)
        self._keep_heartbeat()

    def _upstream_answered(self, meaning: Meaning | None, explanation: str) -> None:
        """Decide on all that waits, after the outcome of an ask to the controller."""
        self._step_authority(_OUTCOMES[meaning])
        waiting = self._waiting.answer_all()
        not_granted = ""
        if meaning is Meaning.SUCCEEDED:  # for an ask behind one whose grantee loses command at once
            explanation = "refused: command was given up meanwhile"
        elif meaning is not None:
            explanation = explanation or "the controller says no"
            self._release(f"the controller refused: {explanation}")
            explanation = f"refused: {explanation}"
        else:
            self._log(
                logging.WARNING, "can't get command from the controller: %s", explanation, peer=CONTROLLER
            )
            not_granted = f"not sent: command was not granted: {explanation.partition(': ')[2]}"
        for each in waiting:
            if not self._take_out(each):  # a stop overtook it
                continue
            if each.grantee is None:
                self._decide(each, not_granted)
            elif self._authority.is_granted:
                self._grant(each, each.grantee)
            else:
                self._dispatcher.refuse(each.client, each.header, explanation, each.session_id)
        if self._lease.holder is None:
            self._release_upstream()

    def _release_upstream(self) -> None:
        """Give command back to the controller, unless it has been given back or an ask is open."""
        if self._authority.needs_release and self._dispatcher.link is not None:
            self._step_authority(AuthorityInput.RELEASE_SENT)
            # Like the ask, the release goes before the waiting commands: a later ask must not overtake it.
            self._dispatcher.begin_own(self._dialect.ask(Commander.NONE), self._release_answered)

    def _release_answered(self, meaning: Meaning | None, explanation: str) -> None:
        answered = meaning is not None
        given = AuthorityInput.RELEASE_ANSWERED if answered else AuthorityInput.RELEASE_UNANSWERED
        self._step_authority(given)

    def link_up(self) -> None:
        """Ask a newly connected controller for command if a client has command, or send the stops that are
        due. The controller knows no earlier grant."""
        if self._lease.holder is not None:
            self._ask_upstream()
        elif self._loss is _Loss.STOP:
            self._become(_Loss.NOTHING)
            self._stop_all()

    def link_down(self) -> None:
        """Note the loss of the link, after the ends of all commands to the controller."""
        self._step_authority(AuthorityInput.LINK_LOST)

    # The loss of the holder

    def timer_ended(self, timer: Timer) -> None:
        """Act at the end of a timer of this module."""
        if timer is Timer.HEARTBEAT:
            self._heartbeats.beat()
        elif timer is Timer.SILENCE:
            self._holder_is_silent()
        elif timer is Timer.COMMANDERS:
            self._announcements.serve_next()
        else:
            self.grace_is_over()

    def heard_heartbeat(self, client: IClient) -> None:
        """Note a heartbeat of a client. After its first in a lease, the holder must send more.

        While the holder is gone or sends no more, the time of grace alone decides.
        """
        if self._lease.holder is client and not self.grace:
            self._heartbeats.heard()

    def _holder_is_silent(self) -> None:
        self._heartbeats.forget()
        holder = self._lease.holder
        if holder is not None:
            self._lose(holder, f"its holder sent no heartbeat for {LONGEST_SILENCE:g} s")

    def came(self, client: IClient) -> None:
        """Add a connected client; a lost holder that returns keeps command."""
        holder = self._lease.holder
        if (
            holder is not None
            and holder is not client
            and holder.name == client.name
            and _keeps_command(client)
        ):
            self._lease.pass_on(client)  # the same commander after a reload of the configuration
            self._announcements.announce()
        if self._lease.holder is client and self.grace:
            self._end_grace()
            text = "%s is back in time and keeps command (lease %d)"
            about = {"peer": client.name, "lease": self._lease.number}
            self._log(logging.INFO, text, client.name, self._lease.number, **about)

    def leaves(self, client: IClient, why: str) -> None:
        """Refuse the waiting asks and commands of a client before its connection is closed."""
        for each in self._waiting.unanswered_of(client):
            if each.client is client and self._take_out(each):
                self._dispatcher.refuse(client, each.header, f"not sent: {why}", each.session_id)

    def left(self, client: IClient) -> None:
        """Remove a client; if it has command, its time of grace begins."""
        asks = [each for each in self._waiting.unanswered_of(client) if each.grantee is client]
        self._drop(asks, f"refused: {client.name} is gone")
        if self._lease.holder is client:
            self._miss(client)

    def finished(self, client: IClient) -> None:
        """Note that a client has closed its sending side: as a holder it counts as lost."""
        if self._lease.holder is client:
            self._miss(client)

    def _miss(self, holder: IClient) -> None:
        """Begin the time of grace of a holder that is gone or sends no more, unless it has begun."""
        if self.grace:
            return
        self._heartbeats.forget()  # the connection decides
        if self._grace_time is None:
            self._lose(holder)
            return
        how = "sends no more" if self._registry.sends_no_more(holder) else "is gone"
        text = "%s, which has command, %s: waiting %g s for it"
        about = {"peer": holder.name, "lease": self._lease.number}
        self._log(logging.WARNING, text, holder.name, how, self._grace_time, **about)
        self._become(_Loss.GRACE)
        self._effects.append(SetTimer(Timer.GRACE, self._grace_time))

    def give_no_grace(self) -> None:
        """Give no time of grace from now on: a bridge that ends cannot stop the mount later."""
        self._grace_time = None
        if self.grace:
            self._effects.append(CancelTimer(Timer.GRACE))
            self.grace_is_over()

    def grace_is_over(self) -> None:
        """End the lease of a holder that did not return."""
        self._become(_Loss.NOTHING)
        if self._lease.holder is not None:
            self._lose(self._lease.holder)

    def _lose(self, holder: IClient, why: str = "its holder is gone") -> None:
        rule, about = self._rules.on_loss, {"peer": holder.name, "lease": self._lease.number}
        if self._registry.is_here(holder) and not self._registry.sends_no_more(holder):
            text = "%s sent no heartbeat in time: %s; nobody has command"
            self._log(logging.WARNING, text, holder.name, rule, **about)
        else:
            text = "%s did not return in time: %s; nobody has command"
            self._log(logging.WARNING, text, holder.name, rule, **about)
        if rule == "stop":
            self._stop_all()
        self._release(why)

    def _stop_all(self) -> None:
        if self._dispatcher.link is None:
            self._become(_Loss.STOP)
            text = "can't stop the mount until the controller is connected"
            self._log(logging.CRITICAL, text, peer=CONTROLLER)
            return
        for stop in self._dialect.stops():
            header = self._dispatcher.header_of(stop)
            self.take_command(self._dispatcher.own, header, partial(self._stopped, header.kind.name))

    def _stopped(self, stop: str, meaning: Meaning | None, explanation: str) -> None:
        """Log a stop that failed; if its outcome is unknown and no client has command, stop again later.

        A mount refuses the stop of a part that is off. Such a part does not move, so this is no warning. An
        unknown outcome is critical.
        """
        if meaning is None and self._lease.holder is None:
            self._become(_Loss.STOP)
        if meaning is not Meaning.SUCCEEDED:
            level = logging.CRITICAL if meaning is None else logging.WARNING
            if meaning is Meaning.REJECTED and self._dialect.says_off(explanation):
                level = logging.INFO
            text = "%s, because the holder of command is gone, failed: %s"
            outcome = "unknown" if meaning is None else STEPS[meaning]
            about = {"peer": self._dispatcher.own.name, "command": stop, "outcome": outcome}
            self._log(level, text, stop, explanation, **about)

    def _become(self, after: _Loss) -> None:
        self._loss = next_state(_LOSSES, self._loss, after)

    def _end_grace(self) -> None:
        if self.grace:
            self._become(_Loss.NOTHING)
            self._effects.append(CancelTimer(Timer.GRACE))

    def inherit(self, name: str, source: Source) -> None:
        """Let the commander that had command at another bridge keep it; see `Bridge.inherit`."""
        if self._lease.holder is not None:
            return
        holder = self._registry.clients.get(name)
        if holder is None or not _keeps_command(holder):
            holder = _Absent(name, source)
        self._become(_Loss.NOTHING)
        self._lease.grant(holder)
        self._lease_changed()
        self._publish_change("lease_granted", holder, f"lease {self._lease.number}: from another bridge")
        if self._dispatcher.link is not None:
            self._ask_upstream()
        if isinstance(holder, _Absent) or self._registry.sends_no_more(holder):
            self._miss(holder)

    def stand_by(self, why: str) -> None:
        """End the lease, and stop nothing: another bridge is in charge of the mount."""
        self._end_grace()
        self._become(_Loss.NOTHING)
        self._drop(self._waiting.unanswered(), f"not sent: {why}")
        self._release(why)

    def close(self) -> None:
        """End the lease and give command back, after the ends of all commands in flight."""
        self._release("the bridge ends")
        self._announcements.close()


def _keeps_command(client: IClient) -> bool:
    """Return True if a new connection of the holder of command, by its name, keeps command."""
    return client.name_lasts and client.may_have_command


@implementer(IClient)
class _Absent:
    """A commander that had command at another bridge, and is not connected to this one."""

    address: str = ""
    behind: int = 0
    in_flight: int = 0
    translator: None = None
    may_command: bool = True
    may_have_command: bool = True
    name_lasts: bool = True
    may_have_password: bool = False

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source

    def send(self, data: bytes) -> None:
        """Drop lines: it is not here."""

    def dismiss(self, why: str) -> None:
        """Do nothing: it has no connection."""


def _stops_only(client: IClient) -> str:
    return f"{client.name} may only stop things, and could do nothing with command"
