"""Who gets command, and when it ends: asks, hand-overs, and the time of grace for a holder that is gone.

Command is granted and released here, and mirrored to the controller as the bridge's own: it is asked
before the first grant, after each new connection, and when the holder asks again, and told ``NONE``
at the last release and when the bridge ends. While the controller has not answered, those who ask
wait, and get its answer; if it refuses, nobody has command.

Where the rules are silent:

* Who says ``NONE`` takes back what it asked for and did not get yet. ``NONE`` from one who neither
  has command nor asks for it is refused while another has it, and is done if nobody has.
* The HHD, too, must give command up before another gets it: while it has command, even its own
  ask for another is refused, as ``protocol-tma2020.rst`` says.
* While its holder is gone, command can be taken as ever. Nothing is stopped then: whoever took it
  is in charge.
* If the controller does not answer in time the asks time out, but a holder keeps its lease: every
  command tells it what the controller thinks of that.
* What a commander sends behind an ask by which it may get command waits until that ask has ended, and
  is judged then: a program need not wait for the Done of its ask. It counts as in flight. A stop that
  needs no command does not wait, nor does one of who has it.
* A stop that is taken ends what waits behind any ask, too, if it came before the stop: it would move the
  mount that was just stopped. Where a stop needs command it is taken as soon as its sender has that, and
  before all that it was sent with. The asks themselves go on.
* A client that says no more and still listens keeps its asks, and what waits behind them. With command it
  counts as a holder that is gone: nobody can stop the mount by that connection any more.
* Ask and ``NONE`` need the controller only where it must be asked: with the link down, command can
  be given up, and is not granted.
* A stop needs no command here, but upstream the bridge has to have it: it asks for it first, and
  gives it back. So a stop works although nobody has command, and takes it from whoever commands the
  controller without us.
* If the time of grace ends while the controller is gone, the mount is stopped as soon as that is
  connected again: nobody else would.

Next to read: `lease`, the rules as a value; `dispatcher`, which sends what is asked of the controller.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.tma2020.commands import (
    STOP_CODES,
    AskForCommand,
    BothAxesStop,
    CameraCableWrapStop,
    Command,
    MirrorCoverLocksStop,
    MirrorCoversStop,
)
from mtmount_twisted.dialects.tma2020.enums import Commander, ReplyCode
from mtmount_twisted.dialects.tma2020.envelope import CommandEnvelope, new_answer
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.records import ChangeRecord

from .dispatcher import CommandDispatcher, header_of, why_overtaken
from .event_bus import EventBus
from .lease import Lease
from .pending import OnComplete
from .registry import ClientRegistry

STOPS: tuple[type[Command], ...] = (
    BothAxesStop,
    CameraCableWrapStop,
    MirrorCoversStop,
    MirrorCoverLocksStop,
)
"""What stops all that moves."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """What waits for what the controller says.

    :ivar visit: during which visit of the client's it came; see `registry`.
    :ivar heir: who is to have command, if it is an ``AskForCommand``; None if it is a command behind one.
    :ivar waits: False as soon as it ends, or is taken.
    :ivar answered: True once the controller has answered, and it is about to be judged.
    """

    client: Any
    visit: int
    header: CommandEnvelope
    heir: Any = None
    waits: bool = True
    answered: bool = False

    @property
    def stops(self) -> bool:
        """True if it stops something."""
        return self.header.code in STOP_CODES


class CommandArbiter:
    """Keeps the lease."""

    def __init__(
        self,
        clock: IReactorTime,
        log: logging.Logger,
        rules: CommandRules,
        bus: EventBus,
        audience: ClientRegistry,
        traffic: CommandDispatcher,
        lease: Lease,
    ) -> None:
        self._clock = clock
        self._log = log
        self._rules = rules
        self._bus = bus
        self._audience = audience
        self._traffic = traffic
        self._lease = lease
        self._waiting: dict[_Waiting, None] = {}  # in the order in which they came
        self._finished: set[Any] = set()  # who says no more, and still listens
        self._asking_upstream = False
        self._has_upstream = False  # the controller said so
        self._owes_upstream = False  # it may think so, and is to be told NONE
        self._ending = False  # nobody is waited for
        self._owes_stop = False  # its holder went while the controller was gone, too
        self._grace: IDelayedCall | None = None

    # Asks

    def asked(self, client: Any, header: CommandEnvelope, wanted: Commander) -> None:
        """A commander said who shall have command."""
        if wanted == Commander.NONE:
            self._give_back(client, header)
            return
        heir, why = self._heir(client, wanted)
        why = why or self._lease.why_not(heir)
        if why:
            self._traffic.refuse(client, header, f"refused: {why}")
        elif self._traffic.link is None:
            self._traffic.refuse(client, header, "not sent: the controller is not connected")
        elif self._has_upstream and self._lease.holder is not heir:
            self._grant(_Waiting(client, self._audience.visit_of(client), header, heir))
        else:
            self.defer(client, header, heir)
            self._ask_upstream()

    def _heir(self, client: Any, wanted: Commander) -> tuple[Any, str]:
        """Who is to have command, or why that can't be told."""
        if int(wanted) == int(client.source):
            return client, "" if client.may_have_command else _stops_only(client)
        heirs = [
            other
            for other in self._audience.clients.values()
            if other.may_have_command and int(other.source) == int(wanted)
        ]
        if len(heirs) == 1:
            return heirs[0], ""
        which = "no" if not heirs else f"more than one ({len(heirs)})"
        return None, f"{which} {wanted.name} is connected"

    def _give_back(self, client: Any, header: CommandEnvelope) -> None:
        asks = [each for each in self._unanswered() if each.heir is not None]
        taken_back = [ask for ask in asks if client in (ask.client, ask.heir)]
        self._drop(taken_back, "refused: it was given back before it was granted")
        if self._lease.holder not in (None, client) and not taken_back:
            self._traffic.refuse(client, header, f"refused: {self._lease.describe()}")
            return
        self._accept(client, header)
        if self._lease.holder in (None, client):
            self._release("given back")

    def _drop(self, asks: list[_Waiting], why: str) -> None:
        """End asks that wait, whatever the controller will say, and what has no other to wait for."""
        for ask in asks:
            if self._take_out(ask):
                self._traffic.refuse(ask.client, ask.header, why, ask.visit)
        heirs = [each.heir for each in self._unanswered()]
        for each in [each for each in self._unanswered() if each.heir is None and each.client not in heirs]:
            if self._take_out(each):
                self._decide(each)

    def _unanswered(self) -> list[_Waiting]:
        return [each for each in self._waiting if not each.answered]

    def _take_out(self, each: _Waiting) -> bool:
        """It waits no longer; False if it did not."""
        waited, each.waits = each.waits, False
        if waited:
            del self._waiting[each]
            each.client.in_flight -= 1
        return waited

    # Commands behind an ask

    def defers(self, client: Any, code: int) -> bool:
        """True if this command of this client's waits behind an ask by which that may get command."""
        has_command = self._lease.holder is client
        if not self._waiting or (code in STOP_CODES and (has_command or self._rules.anyone_may_stop)):
            return False
        return any(
            each.client is client if each.heir is None else each.heir is client and not has_command
            for each in self._unanswered()
        )

    def defer(self, client: Any, header: CommandEnvelope, heir: Any = None) -> None:
        """Let a command, or an ask with an heir, wait for what the controller says."""
        self._waiting[_Waiting(client, self._audience.visit_of(client), header, heir)] = None
        client.in_flight += 1

    def take(
        self,
        client: Any,
        header: CommandEnvelope,
        then: OnComplete | None = None,
        visit: int | None = None,
        ahead: list[_Waiting] | None = None,
    ) -> None:
        """Take a command into flight.

        A stop ends what waits behind an ask, and came before it; and it is asked for upstream first, if
        the bridge does not have command there.

        :param visit: when it came; None for just now.
        :param ahead: what came before it; None for all that waits.
        """
        if header.code not in STOP_CODES:
            self._traffic.begin(client, header, then, visit)
            return
        before = tuple(self._waiting) if ahead is None else ahead
        overtaken = [each for each in before if each.heir is None and not each.stops]
        overtaken = [each for each in overtaken if self._take_out(each)]
        if not self._has_upstream and self._traffic.link is not None:
            self._ask_upstream()  # the controller takes commands from who has command only
        self._traffic.begin(client, header, then, visit)
        with self._audience.gathering():
            for each in overtaken:
                self._traffic.refuse(each.client, each.header, why_overtaken(client, header), each.visit)

    def _take_stops(self, holder: Any) -> None:
        """The stops that waited until this client has command go at once, before what they came with."""
        if self._traffic.link is None:  # it is just being lost
            return
        ahead: list[_Waiting] = []
        for each in tuple(self._waiting):
            if each.client is not holder or not each.stops:
                ahead.append(each)
            elif self._take_out(each):
                self.take(holder, each.header, visit=each.visit, ahead=ahead)
                ahead = []

    def _decide(self, each: _Waiting, why: str = "") -> None:
        """Take a command that waited behind an ask, or refuse it.

        :param why: begins with one of `dispatcher.REASONS`; empty if who has command decides.
        """
        if not why and self._lease.holder is not each.client:
            why = f"refused: {self._lease.describe()}"
        elif not why and self._traffic.link is None:  # the link is just being lost
            why = "not sent: the controller is not connected"
        if why:
            self._traffic.refuse(each.client, each.header, why, each.visit)
        else:
            self._traffic.begin(each.client, each.header, visit=each.visit)

    # Grants

    def _grant(self, ask: _Waiting) -> None:
        heir, lease = ask.heir, self._lease
        why = lease.why_not(heir) or ("" if self._audience.is_here(heir) else f"{heir.name} is gone")
        if why:
            self._traffic.refuse(ask.client, ask.header, f"refused: {why}", ask.visit)
            return
        if lease.holder is not heir:
            self._pass_to(heir, f"{heir.name} took it")
        self._accept(ask.client, ask.header, ask.visit)

    def _pass_to(self, heir: Any, why: str) -> None:
        """Command goes to a client that does not have it."""
        lease = self._lease
        former, number = lease.holder, lease.number
        self._stop_grace()
        self._owes_stop = False  # who has command is in charge
        lease.grant(heir)
        if former is not None:
            self._ended(former, number, why)
        self._publish_change("lease_granted", heir, f"lease {lease.number}")
        self._log.info("%s has command (lease %d)", heir.name, lease.number)
        self._take_stops(heir)
        if heir in self._finished:
            self._miss(heir)

    def hand_command(self, holder: Any, heir_name: str) -> str:
        """As `Bridge.hand_command`."""
        heir = self._audience.clients.get(heir_name)
        if self._lease.holder is not holder or not self._audience.is_here(holder):
            return f"{holder.name} does not have command: {self._lease.describe()}"
        if heir is None or not heir.may_command:
            return f"no commander {heir_name!a} is connected"
        if not heir.may_have_command:
            return _stops_only(heir)
        if not self._has_upstream:
            return "the controller is not connected, or was not heard yet on who has command"
        why = self._lease.why_not(heir)
        if not why and heir is not holder:
            self._pass_to(heir, f"{holder.name} gave it to {heir.name}")
        return why

    @property
    def grace(self) -> bool:
        """As `Bridge.grace`."""
        return self._grace is not None

    def _accept(self, client: Any, header: CommandEnvelope, visit: int | None = None) -> None:
        """Answer a command that the bridge itself carries out."""
        self._traffic.publish_unsent("local", client, header, "", privileged=True)
        for answer in (new_answer(ReplyCode.ACK, b"1000"), new_answer(ReplyCode.DONE)):
            self._audience.tell(client, header, answer, visit)

    def _release(self, why: str) -> None:
        """Nobody has command any more, here and upstream."""
        self._stop_grace()
        former, number = self._lease.holder, self._lease.number
        if former is not None:
            self._lease.release()
            self._ended(former, number, why)
        self._release_upstream()

    def _ended(self, former: Any, number: int, why: str) -> None:
        """A lease is over; what was sent under it and still waits is not what anybody expects now."""
        self._traffic.withdraw(number, f"refused: {self._lease.describe()}")
        self._publish_change("lease_released", former, f"lease {number}: {why}")
        self._log.info("%s no longer has command (lease %d): %s", former.name, number, why)

    def _publish_change(self, kind: str, client: Any, detail: str) -> None:
        bus = self._bus
        bus.publish(ChangeRecord(bus.now(), bus.epoch, client.name, kind, detail))

    # Upstream

    def _ask_upstream(self) -> None:
        """Ask the controller for command, unless it was asked already and has not answered."""
        if not self._asking_upstream:
            self._asking_upstream = self._owes_upstream = True
            source = Commander(int(self._traffic.own.source))
            # It goes before what waits, because a stop may follow that needs it.
            self._traffic.command(AskForCommand(commander=source), self._upstream_answered)

    def _upstream_answered(self, code: int | None, explanation: str) -> None:
        self._asking_upstream = False
        self._has_upstream = code == ReplyCode.DONE
        waiting = self._unanswered()
        for each in waiting:
            each.answered = True
        not_granted = ""
        if code == ReplyCode.DONE:  # for those who come after one that loses command at once
            explanation = "refused: command was given up meanwhile"
        elif code == ReplyCode.NOACK:
            explanation = explanation or "the controller says no"
            self._owes_upstream = False
            self._release(f"the controller refused: {explanation}")
            explanation = f"refused: {explanation}"
        elif code is None:
            self._log.warning("can't get command from the controller: %s", explanation)
            not_granted = f"not sent: command was not granted: {explanation.partition(': ')[2]}"
        for each in waiting:
            if not self._take_out(each):  # a stop overtook it
                continue
            if each.heir is None:
                self._decide(each, not_granted)
            elif self._has_upstream:
                self._grant(each)
            else:
                self._traffic.refuse(each.client, each.header, explanation, each.visit)
        if self._lease.holder is None:
            self._release_upstream()

    def _release_upstream(self) -> None:
        if self._owes_upstream and not self._asking_upstream and self._traffic.link is not None:
            self._has_upstream = self._owes_upstream = False
            # It goes before what waits, as the ask does: else that would overtake it, and NONE came last.
            self._traffic.command(AskForCommand(commander=Commander.NONE), self._gave_back)

    def _gave_back(self, code: int | None, explanation: str) -> None:
        """What came of ``NONE``: it is owed still if nobody knows."""
        if code is None and self._lease.holder is None and not self._asking_upstream:
            self._owes_upstream = self._traffic.link is not None

    def link_up(self) -> None:
        """A controller that was connected anew knows nothing of what was granted before."""
        if self._lease.holder is not None:
            self._ask_upstream()
        elif self._owes_stop:
            self._stop_all()

    def link_down(self) -> None:
        """All that was asked of the controller has ended."""
        self._has_upstream = self._owes_upstream = False

    # A holder that is gone

    def came(self, client: Any) -> None:
        """A client is here."""
        holder = self._lease.holder
        if (
            holder is not None
            and holder is not client
            and holder.name == client.name
            and client.name_lasts
            and client.may_have_command
        ):
            self._lease.pass_on(client)  # the same commander, which was configured anew
        self._finished.discard(client)
        if self._lease.holder is client and self._grace is not None:
            self._stop_grace()
            self._log.info("%s is back in time and keeps command (lease %d)", client.name, self._lease.number)

    def leaves(self, client: Any, why: str) -> None:
        """A client is about to be closed: what it has waiting ends while it can be told."""
        for each in tuple(self._waiting):
            if each.client is client and self._take_out(each):
                self._traffic.refuse(client, each.header, f"not sent: {why}", each.visit)

    def left(self, client: Any) -> None:
        """A client is gone. If it had command it may come back for as long as the rules say."""
        self._finished.discard(client)
        asks = [each for each in self._unanswered() if each.heir is client]
        self._drop(asks, f"refused: {client.name} is gone")
        if self._lease.holder is client:
            self._miss(client)

    def finished(self, client: Any) -> None:
        """A client says no more, and still listens. With command, now or later, it is as one that is gone."""
        self._finished.add(client)
        if self._lease.holder is client:
            self._miss(client)

    def _miss(self, holder: Any) -> None:
        """Wait for a holder of command that is gone or says no more, unless that is done already."""
        if self._grace is None and self._ending:
            self._grace_is_over(holder)
        elif self._grace is None:
            how, seconds = "sends no more" if holder in self._finished else "is gone", self._rules.lease_grace
            self._log.warning("%s, which has command, %s: waiting %g s for it", holder.name, how, seconds)
            self._grace = Deadline(self._clock, seconds, self._grace_is_over, holder)

    def end_grace(self) -> None:
        """Wait for no holder that is gone any longer: nobody will be here to stop the mount later."""
        self._ending = True
        if self._grace is not None:
            self._stop_grace()
            self._grace_is_over(self._lease.holder)

    def _grace_is_over(self, client: Any) -> None:
        self._grace = None
        rule = self._rules.on_loss
        self._log.warning("%s did not return in time: %s; nobody has command", client.name, rule)
        if rule == "stop":
            self._stop_all()
        self._release("its holder is gone")

    def _stop_all(self) -> None:
        self._owes_stop = self._traffic.link is None
        if self._owes_stop:
            self._log.critical("can't stop the mount until the controller is connected")
            return
        for stop in STOPS:
            self.take(self._traffic.own, header_of(stop()), partial(self._stopped, stop.__name__))

    def _stopped(self, stop: str, code: int | None, explanation: str) -> None:
        """A stop has ended. The mount refuses one for what is off, and so does not move; that nobody knows
        what came of one is worse.
        """
        self._owes_stop = self._owes_stop or (code is None and self._lease.holder is None)
        if code != ReplyCode.DONE:
            level = logging.CRITICAL if code is None else logging.WARNING
            self._log.log(level, "%s, because the holder of command is gone, failed: %s", stop, explanation)

    def _stop_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def close(self) -> None:
        """Nobody has command any more, here and upstream; what was asked of the controller has ended."""
        self._release("the bridge ends")


def _stops_only(client: Any) -> str:
    return f"{client.name} may only stop things, and could do nothing with command"
