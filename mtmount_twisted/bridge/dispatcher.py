"""The pending commands, from acceptance to end.

`CommandDispatcher` hands commands to the controller's link while the link has room: first stops and the
bridge's own commands, in the order of arrival. It matches each reply with its pending command, and ends the
commands that the controller does not end.

An accepted stop ends every command that waits to be written, of every commander, except asks and other stops:
the commanders sent those commands before the stop. If the bridge only wrote the stop first, the mount would
stop, and then begin to move.

Next to read: `pending`, the table of commands; `effects`, which this module decides; `dialects.dialect`, the
rewriting of a line; `core`, the caller.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from zope.interface import implementer

from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.dialect import (
    CommandEnvelope,
    CommandKind,
    Dialect,
    Meaning,
    Recall,
    ReplyEnvelope,
)
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.interfaces import IClient, IControllerLink
from mtmount_twisted.journal.schema import CONTROLLER, STEPS
from mtmount_twisted.records import CommandRecord, LineRecord
from mtmount_twisted.wire.messages import MAX_SEQUENCE_ID, CommandMessage

from .effects import CancelTimer, Continue, Effect, Log, SendUpstream, SetTimer, Timer
from .event_bus import EventBus
from .lease import Lease
from .pending import ACKED, WAITING, OnComplete, PendingCommand, PendingCommands
from .registry import ClientRegistry
from .sent_ids import SentIds, name_of

SWEEP_INTERVAL = 0.25
"""The time between two checks of deadlines, in seconds: the largest delay of a time-out."""

LONGEST_WHY = 1000
"""The longest explanation in a NoAck of the bridge, in characters: text of one client, or of the controller,
must not make a line too long for the other readers."""

REASONS = ("not sent", "outcome unknown", "timed out", "busy", "refused", "malformed")
"""The beginnings of the explanation in a NoAck of the bridge."""


@implementer(IClient)
class _Own:
    """The bridge as the sender of its own commands: a client that has no connection and receives nothing."""

    name = "bridge"
    address = ""
    behind = 0
    translator = None
    may_command = may_have_command = may_have_password = name_lasts = False

    def __init__(self, source: Source) -> None:
        self.source = source
        self.in_flight = 0

    def send(self, data: bytes) -> None:
        """Drop lines: `arbiter` learns the outcome of each command by its `OnComplete`."""

    def dismiss(self, why: str) -> None:
        """Do nothing: the bridge closes no connection of its own."""


class CommandDispatcher:
    """Dispatch commands to the controller, and return their replies.

    :param effects: receives the effects.
    :param seconds: return the time (s, monotonic).
    :param source: the source of the commands that the bridge sends to the controller.
    :param dialect: the controller's protocol.
    :ivar link: the controller's link while it is up, else None.
    :ivar own: the bridge as a sender of commands.
    :ivar pending: the pending commands.
    :ivar stops: the number of accepted stops.
    :ivar changing: called with the kind of values that an accepted command changes.
    :ivar changed: called with this kind when that command has ended.
    :ivar why_withheld: called with True for a command that may move the mount, else with False; returns the
        reason why no such command may be sent now, or an empty text.

    The first sequence id is random: a controller may still finish a command of an earlier process of the
    bridge, and its reply must not match a command of this process.
    """

    def __init__(
        self,
        effects: list[Effect],
        seconds: Callable[[], float],
        rules: CommandRules,
        bus: EventBus,
        registry: ClientRegistry,
        lease: Lease,
        source: Source,
        dialect: Dialect,
    ) -> None:
        self.link: IControllerLink | None = None
        self.stops: int = 0
        self.changing: Callable[[Recall], None] = _ignore
        self.changed: Callable[[Recall], None] = _ignore
        self.why_withheld: Callable[[bool], str] = _withhold_nothing
        self.pending: PendingCommands = PendingCommands(random.randint(1, MAX_SEQUENCE_ID))
        self.own: _Own = _Own(source)
        self._effects = effects
        self._seconds = seconds
        self._rules = rules
        self._bus = bus
        self._registry = registry
        self._lease = lease
        self._dialect = dialect
        self._deadlines = dialect.deadlines.overridden(
            rules.ack_timeout, rules.done_margin, rules.unknown_timeout
        )
        self._is_sweeping = False  # `Timer.SWEEP` runs
        self._unsent = 0  # effects `SendUpstream` that are not performed
        self._sent_ids = SentIds()

    @property
    def unknown_timeout(self) -> float:
        """The time to announce for a command of unknown duration, in seconds."""
        return self._deadlines.unknown_timeout

    # Down

    def link_up(self, link: IControllerLink) -> None:
        """Begin a new epoch with the link of the connected controller."""
        self.link = link
        self._unsent = 0
        self._sent_ids.forget()

    def begin_command(
        self,
        client: IClient,
        header: CommandEnvelope,
        then: OnComplete | None = None,
        session_id: int | None = None,
        urgent: bool = False,
    ) -> None:
        """Accept a command, and hand it to the link as soon as the link has room.

        A stop ends the commands that it overtakes.

        :param session_id: the session of the command; None for the present one.
        :param urgent: True for a command of the bridge's own, which goes before waiting commands as a stop
            does.
        """
        now, lease = self._seconds(), self._lease.of(client)
        if session_id is None:
            session_id = self._registry.session_of(client)
        deadline = now + self._deadlines.ack_of(header.code)
        command = PendingCommand(client, session_id, header, lease, now, self.stops, deadline, then, urgent)
        self.pending.add(command)
        client.in_flight += 1
        if header.kind.changes is not None:
            self.changing(header.kind.changes)
        self._publish_step("received", command)
        overtaken = self.pending.overtaken() if header.kind.is_stop else []
        self.stops += header.kind.is_stop
        for each in overtaken:  # before the stop is handed over: none of them may follow it
            self._take_out(each)
        self._keep_sweeping()
        self.hand_over()
        for each in overtaken:  # after that: no reply may delay the stop
            self._tell_given_up(each, why_overtaken(client, header))

    def begin_own(self, command: CommandMessage, then: OnComplete) -> None:
        """Send a command of the bridge's own, before the waiting commands; see `begin_command`."""
        self.begin_command(self.own, self.header_of(command), then, urgent=True)

    def header_of(self, command: CommandMessage) -> CommandEnvelope:
        """Return the header of a command of the bridge's own."""
        return self._dialect.read_command(command.encode().removesuffix(self._dialect.terminator))

    def hand_over(self) -> None:
        """Hand commands to the link while it has room for more than the commands on their way to it."""
        pending, link, bus = self.pending, self.link, self._bus
        if pending.are_waiting and link is not None and (why := self.why_withheld(True)):
            self.withdraw_moves(why)
            link = self.link
        while pending.are_waiting and link is not None and link.room > self._unsent:
            command = pending.write_next()
            header, key = command.header, command.key
            line = header.rewritten(key, self.own.source)
            command.deadline = self._seconds() + self._deadlines.ack_of(header.code)
            self._sent_ids.add(command)
            self._effects.append(SendUpstream(bus.epoch, line + self._dialect.terminator))
            self._effects.append(LineRecord(bus.now(), bus.epoch, CONTROLLER, "to", line, header.code, key))
            self._publish_step("sent", command)
            self._unsent += 1

    def send_unanswered(self, command: CommandMessage) -> None:
        """If the link has room now, send a command of the bridge's own that gets no answer; else do nothing.

        Neither the command nor its step is recorded.
        """
        link = self.link
        if link is not None and link.room > self._unsent:
            self._effects.append(SendUpstream(self._bus.epoch, command.encode()))
            self._unsent += 1

    def sent_upstream(self) -> None:
        """Note that a command was sent to the link; hand over the commands for which the link had no room."""
        self._unsent -= 1
        if self.pending.are_waiting:
            self.hand_over()

    # Up

    def answer(self, answer: ReplyEnvelope) -> None:
        """Process a reply of the controller to a command.

        A reply that comes too late has no pending command any more: it is counted as ``unmatched`` and
        dropped. The same holds for a second Ack to one command: the commander has the first Ack already, and
        repeated Acks must not postpone the command's timeout.
        """
        command = self.pending.get(answer.sequence_id)
        meaning = answer.meaning
        is_ack = meaning is Meaning.ACKNOWLEDGED
        if command is None or command.state is WAITING or (command.state is ACKED and is_ack):
            self._bus.counts["unmatched"] += 1
            text = "dropped a reply of the controller: no command with id %d is in flight"
            fields = {"peer": CONTROLLER, "sequence_id": answer.sequence_id, "epoch": self._bus.epoch}
            self._effects.append(Log(logging.INFO, text, (answer.sequence_id,), burst=1, fields=fields))
            return
        header, step = command.header, STEPS[meaning]
        why = ""
        if is_ack:
            command.become(ACKED)
            timeout = self._deadlines.announced(answer.timeout)
            command.deadline = self._seconds() + timeout + self._deadlines.done_margin
        elif meaning is not Meaning.SUCCEEDED:
            if meaning is Meaning.SUPERSEDED:
                own_id = self._sent_ids.id_of(answer.superseding_id, command.client.name)
                if own_id is not None:
                    answer = answer.superseded_by(own_id, header.source)
            answer = self._sent_ids.explained(answer)
            why = answer.explanation
        ends = not is_ack or header.kind.ack_only
        if ends:
            self._take_out(command)
            self._bus.counts[step] += 1
        self._publish_step(step, command, why)
        following = self._registry.deliver_reply(command.client, header, answer, command.session_id)
        if following is not None:
            self._effects.append(Continue(command, following))
        if ends:
            self._go_on(command, meaning, why)

    # Ends that the bridge makes

    def refuse(
        self,
        client: IClient,
        header: CommandEnvelope,
        why: str,
        session_id: int | None = None,
        privileged: bool | None = None,
    ) -> None:
        """Refuse a command that is not pending.

        :param why: the explanation, which begins with one of `REASONS`.
        :param session_id: the session of the command; None for the present one.
        :param privileged: True if the command counts as one of a client with rights; None to decide by the
            client.
        """
        if privileged is None:
            privileged = client.may_command
        self.publish_unsent(self._count_end(why), client, header, why, privileged)
        self._registry.deliver_reply(client, header, self._refusal(why), session_id, privileged)

    def refuse_unrecorded(self, client: IClient, header: CommandEnvelope, why: str) -> None:
        """Refuse a command, and tell only its client."""
        self._count_end(why)
        self._registry.answer_unrecorded(client, header, self._refusal(why))

    def withdraw(self, lease: int, why: str) -> None:
        """End the commands of an ended lease that still wait to be written.

        The new holder does not expect these commands, nor does a site without a holder. A stop continues if a
        commander may send it without having command. It continues even if the mount has given command to
        another source and may refuse the stop. The mount decides on each stop and gives its reason, and
        command may have come back before the stop arrives.
        """
        for command in self.pending.waiting():
            stops = command.header.kind.is_stop and self._rules.anyone_may_stop
            if command.lease == lease and not stops:
                self._give_up(command, why)

    def withdraw_moves(self, why: str) -> None:
        """End the commands that still wait to be written and may move the mount."""
        for command in self.pending.waiting():
            if moves(command.header.kind):
                self._give_up(command, why)

    def lose(self, why: str, client: IClient | None = None) -> None:
        """End the pending commands: the controller can't end them any more, or the client is closing.

        :param client: the client that sent the commands; None for all clients.
        """
        for command in self.pending:
            if client is None or command.client is client:
                self._lose(command, why)

    def lose_questions(self, why: str) -> None:
        """End the questions of the bridge's own: it does not need their answers any more."""
        for command in self.pending:
            if command.client is self.own and command.header.kind.recalls is not None:
                self._lose(command, why)

    def _lose(self, command: PendingCommand, why: str) -> None:
        self._give_up(command, f"{'not sent' if command.state is WAITING else 'outcome unknown'}: {why}")

    def _give_up(self, command: PendingCommand, why: str) -> None:
        """End a command with a NoAck of the bridge, unless the command has ended already."""
        if self._take_out(command):
            self._tell_given_up(command, why)

    def _tell_given_up(self, command: PendingCommand, why: str) -> None:
        self._publish_step(self._count_end(why), command, why)
        self._registry.deliver_reply(command.client, command.header, self._refusal(why), command.session_id)
        self._go_on(command, None, why)

    def _go_on(self, command: PendingCommand, meaning: Meaning | None, why: str) -> None:
        """Call the functions that wait for the end of a command."""
        if command.header.kind.changes is not None:
            self.changed(command.header.kind.changes)
        if command.then is not None:
            command.then(meaning, why)

    def _refusal(self, why: str) -> ReplyEnvelope:
        return self._dialect.refused(why[:LONGEST_WHY])

    def _take_out(self, command: PendingCommand) -> bool:
        was_in = self.pending.end(command)
        if was_in:
            command.client.in_flight -= 1
        return was_in

    def _count_end(self, why: str) -> str:
        """Count an end by the bridge under the reason that begins `why`, and return the step."""
        step = next(reason for reason in REASONS if why.startswith(reason)).replace(" ", "_")
        self._bus.counts[step] += 1
        return step

    # Records

    def _publish_step(self, step: str, command: PendingCommand, explanation: str = "") -> None:
        """Publish a step of a pending command."""
        bus, header = self._bus, command.header
        self._effects.append(
            CommandRecord(
                bus.now(),
                bus.epoch,
                command.client.name,
                step,
                header.sequence_id,
                header.code,
                command.key,
                command.lease,
                explanation,
            )
        )

    def publish_unsent(
        self, step: str, client: IClient, header: CommandEnvelope, explanation: str, privileged: bool
    ) -> None:
        """Publish the end of a command that never was pending."""
        bus, lease = self._bus, self._lease.of(client)
        command = header.sequence_id, header.code, 0, lease
        self._effects.append(
            CommandRecord(bus.now(), bus.epoch, client.name, step, *command, explanation, privileged)
        )

    # Time

    def _keep_sweeping(self) -> None:
        if not self._is_sweeping:
            self._is_sweeping = True
            self._effects.append(SetTimer(Timer.SWEEP, SWEEP_INTERVAL))

    def sweep(self) -> None:
        """End the commands with a deadline that has passed: `Timer.SWEEP` has ended."""
        self._is_sweeping = False
        for command in self.pending.due(self._seconds()):
            self._give_up(command, self._why_late(command))
        if self.pending:
            self._keep_sweeping()

    def _why_late(self, command: PendingCommand) -> str:
        seconds = self._deadlines.ack_of(command.header.code)
        if command.state is WAITING:
            return f"not sent: the controller took nothing for {seconds:g} s"
        if command.state is ACKED:
            return "timed out: acknowledged, but not done in time"
        return f"timed out: no Ack within {seconds:g} s"

    def stop(self) -> None:
        """Stop the timer; no command is pending any more."""
        self._is_sweeping = False
        self._effects.append(CancelTimer(Timer.SWEEP))


def _withhold_nothing(moves: bool) -> str:
    """Return the reason why no command may be sent: none."""
    return ""


def moves(kind: CommandKind) -> bool:
    """Return True if a command may move the mount: it is neither a stop, an ask, nor a question."""
    return not (kind.is_stop or kind.is_ask or kind.recalls is not None)


def _ignore(recall: Recall) -> None:
    """Do nothing: no part of the bridge needs to know."""


def why_overtaken(client: IClient, stop: CommandEnvelope) -> str:
    """Return the explanation for a command that a client's stop overtook."""
    return f"not sent: overtaken by {name_of(stop.kind)} of {client.name}"
