"""`Tenure`: the decisions by which exactly one of several bridges commands the mount.

A bridge can have two things. It has the link if both its connections to the controller are up. It has the
lease if the register at the broker names it. `Tenure` has no I/O and no clock: its owner passes the time, the
answers of the broker and the state of the link, and performs the effects that it appends to a list. Rules:

* The mount takes one peer (`Rules.one_peer`): its refusal of a second one is the last fence. A bridge that
  has the link keeps it while the broker is away, and takes the lease from a bridge without a link.
* If the mount takes many peers, each command that moves the mount needs a lease that is younger than `FRESH`
  of `Rules.take_over_after`. A lease counts as lost only after the whole of `Rules.take_over_after`, so no
  two bridges move the mount.
* The outcome of an unanswered question is unknown, and never "failed": the register is read again before any
  other step.
* The time of a revision counts only while this bridge's own questions are answered. Otherwise an outage of
  the broker would become a change of the active bridge.
* If the broker has no listener for the presence, the active bridge's process is gone. This counts only after
  `Rules.take_over_after` of answered questions, because all bridges reconnect after an outage, and one of
  them is the first. If the mount takes many peers, it does not count at all: a bridge that lost only the
  broker still has the link, and its lease may be fresh.

Next to read: `service`, the owner; `register`, the value of the register.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from mtmount_twisted.net.machines import next_state

from .register import NO_VALUE, Commander, RegisterValue, decode

LOOK = 1 / 8
"""The time between two questions about the register, as a part of `Rules.take_over_after`."""

ASK_PRESENCE = 1 / 16
"""The time between two questions about the presence, as a part of `Rules.take_over_after`."""

ANSWER = 1 / 3
"""The longest time until an answer, as a part of `Rules.take_over_after`; after it, the outcome is
unknown."""

FRESH = 2 / 3
"""The age up to which a lease is fresh, as a part of `Rules.take_over_after`."""

WITHOUT_LINK = 3.0
"""The time after which another bridge may take the lease of a bridge that has no link, as a multiple of
`Rules.take_over_after`."""

MALFORMED = "(malformed)"
"""Stands for the holder in a malformed value of the register. No node has this name."""

ALONE_AFTER = 15.0
"""The time from the start after which the preferred bridge opens the link without a broker, in seconds."""

KEYS = 2**20
"""The number of sequence ids of an epoch, so that a late answer to an earlier bridge matches no command."""

EPOCHS = 2047
"""The number of epochs after which the sequence ids begin again."""


def first_key(epoch: int) -> int:
    """Return the first sequence id of an epoch: 1 to 2146435073."""
    return epoch % EPOCHS * KEYS + 1


class State(Enum):
    """The states of a bridge in the election."""

    STANDBY = "standby"
    """Another bridge is active, or none is: the link and the ports are closed."""
    CANDIDATE = "candidate"
    """This bridge opens the link: with the lease, or without it if the broker was lost before."""
    ACTIVE = "active"
    """This bridge has the lease and the link."""
    ALONE = "alone"
    """This bridge has the link. The broker is away, or this bridge does not have the lease yet."""
    LEAVING = "leaving"
    """This bridge closes the link."""


STANDBY, CANDIDATE, ACTIVE, ALONE, LEAVING = State

_TABLE = {
    STANDBY: (CANDIDATE, LEAVING),
    CANDIDATE: (ACTIVE, ALONE, STANDBY, LEAVING),
    ACTIVE: (ALONE, CANDIDATE, LEAVING, STANDBY),
    ALONE: (ACTIVE, CANDIDATE, LEAVING, STANDBY),
    LEAVING: (STANDBY,),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of the election.

    :ivar node: the name of this bridge.
    :ivar one_peer: True if the mount refuses a second peer.
    :ivar take_over_after: the time after which a lease counts as lost (s).
    :ivar preferred: True if this bridge opens the link if no broker answers at the start.
    :ivar has_hook: True if a program moves the address.
    """

    node: str
    one_peer: bool
    take_over_after: float = 3.0
    preferred: bool = False
    has_hook: bool = False


# Effects


class Ask(Struct, frozen=True):
    """Ask the broker. The answer has the number of the question.

    :ivar value: the new value of a swap.
    :ivar revision: the revision that a swap replaces.
    """

    number: int
    what: Literal["get", "swap", "gone"]
    value: RegisterValue = NO_VALUE
    revision: int = 0


class BePresent(Struct, frozen=True):
    """Begin to answer the questions about the presence, or stop answering them."""

    present: bool


class RunHook(Struct, frozen=True):
    """Run the site's program; report its end with the number."""

    number: int
    word: Literal["take", "give"]


class OpenLink(Struct, frozen=True):
    """Open the link to the controller, and try again until `CloseLink`.

    :ivar key: the first sequence id; None for any.
    """

    key: int | None


class CloseLink(Struct, frozen=True):
    """Abort the link, and drop all bytes that were not sent."""

    why: str


class OpenPorts(Struct, frozen=True):
    """Open the ports for commanders.

    :ivar inherited: the commander that had command at the bridge before; None if there was none.
    """

    inherited: Commander | None


class ClosePorts(Struct, frozen=True):
    """Close the ports for commanders."""

    why: str


class EndMoves(Struct, frozen=True):
    """End the commands that move the mount and have not been sent yet."""

    why: str


class Announce(Struct, frozen=True):
    """Tell the child process the tenure.

    :ivar active: True while the child serves users of the broker: the bridge is active; or it is alone with
        the link to a mount that takes one peer, so that no other bridge can serve them.
    """

    epoch: int
    active: bool


class Became(Struct, frozen=True):
    """Record the change of the state.

    :ivar detail: the reason.
    """

    state: State
    detail: str


class Log(Struct, frozen=True):
    """Write a log line."""

    level: int
    text: str


Effect = (
    Ask
    | BePresent
    | RunHook
    | OpenLink
    | CloseLink
    | OpenPorts
    | ClosePorts
    | EndMoves
    | Announce
    | Became
    | Log
)


class Tenure:
    """The place of one bridge in the election.

    :param effects: receives the effects.
    :param now: the time of the start (s, monotonic); each `now` of the methods has the same clock.
    :ivar state: the state.
    :ivar epoch: the number of the last tenure of this bridge; 0 before the first.
    :ivar seen: the value of the register at the last read or write.
    :ivar linked: True while the link is up.
    :ivar serves: True while the ports are open.
    :ivar is_over: True when the lease is given up after `stop`.
    """

    def __init__(self, rules: Rules, effects: list[Effect], now: float) -> None:
        self.state: State = STANDBY
        self.epoch: int = 0
        self.seen: RegisterValue = NO_VALUE
        self.linked: bool = False
        self.serves: bool = False
        self.is_over: bool = False
        self._rules = rules
        self._effects = effects
        self._began = now
        self._number = 0
        self._question: Ask | None = None  # about the register: at most one is open
        self._asked = now
        self._next_look = now
        self._gone_questions: dict[int, float] = {}  # the open ones, and when they were asked
        self._next_gone = now
        self._heard_gone = False  # the presence is gone: take the lease if the register is unchanged
        self._revision = 0
        self._unchanged_since: float | None = None  # since when it is unchanged; None until an answer
        self._answered_since: float | None = None
        self._without_link_since: float | None = None  # the holder of the lease, as far as it is known
        self._was_answered = False  # True after the first answer since the start
        self._has_lease = False
        self._confirmed = now  # when the last confirmed write of the lease was asked for
        self._tried: RegisterValue | None = None  # the value of a swap with an unknown outcome
        self._command: Commander | None = None
        self._hook_number = 0
        self._waits_for: int | None = None  # the number of a hook
        self._took_address = False
        self._highest = 0  # the highest epoch that the register ever had
        self._reported = 0  # the revision of the last malformed value in the log
        self._stopping = False
        self._is_closed = False
        self._releases = False  # True to release the lease as soon as no question is open
        self._ended_moves = False
        self._announced: tuple[int, bool] = (0, False)

    # What others ask

    @property
    def holder(self) -> str:
        """The node that has the lease, as far as it is known; empty if none has it."""
        is_stale = self.state is STANDBY and self.seen.holder == self._rules.node
        return "" if is_stale else self.seen.holder

    @property
    def holding_commander(self) -> Commander | None:
        """The commander that has command at the bridge with the lease, as far as it is known."""
        return self.seen.command if self.holder else None

    def lease_age(self, now: float) -> float | None:
        """Return the age of the lease (s); None without a lease."""
        return now - self._confirmed if self._has_lease else None

    def why_withheld(self, now: float, moves: bool) -> str:
        """Return the reason for which a command is not sent now; empty if there is none.

        :param moves: False for a command that moves nothing, such as a stop.
        """
        if self.state in (STANDBY, LEAVING) and not self._stopping:
            return "not sent: standby"
        if self.state is CANDIDATE and not self.serves:
            return "not sent: standby"
        if self._rules.one_peer or not moves or self.state is CANDIDATE:
            return ""
        age = self.lease_age(now)
        if age is None:
            return "not sent: this bridge does not have the lease at the broker, and one_peer is false"
        if age >= self._fresh:
            return f"not sent: the lease at the broker is {age:.1f} s old, and one_peer is false"
        return ""

    @property
    def _fresh(self) -> float:
        return FRESH * self._rules.take_over_after

    # Inputs

    def time_passed(self, now: float) -> None:
        """Ask the next questions, and judge the open ones. Call this at least once in `ASK_PRESENCE` of
        `Rules.take_over_after`."""
        limit = ANSWER * self._rules.take_over_after
        if self._question is not None and now - self._asked > limit:
            self._unanswered(now)
        for number, asked in tuple(self._gone_questions.items()):
            if now - asked > limit:
                del self._gone_questions[number]
        if self._stopping:
            if not self._is_closed and self._has_lease and self._question is None and now >= self._next_look:
                self._look(now)  # the commands in flight end with the lease
            return
        if self.state is STANDBY:
            self._wait_as_standby(now)
        elif self.state in (CANDIDATE, ACTIVE, ALONE):
            self._judge_lease(now)
        if self.state is not LEAVING and self._question is None and now >= self._next_look:
            self._look(now)

    def answered(self, number: int, value: str | None, revision: int, gone: bool, now: float) -> None:
        """Process an answer of the broker; see the three methods below."""
        if number in self._gone_questions:
            self.answered_gone(number, gone, now)
        elif self._question is not None and self._question.what == "swap":
            self.answered_swap(number, revision, now)
        else:
            self.answered_get(number, value, revision, now)

    def answered_get(self, number: int, value: str | None, revision: int, now: float) -> None:
        """Process the value of the register. Drop the answer to an earlier question."""
        if self._question is None or self._question.number != number:
            return
        self._question = None
        self._note_answer(now)
        try:
            seen = decode(value)
        except ValueError as error:
            if revision != self._reported:  # it is read three times a second
                self._reported = revision
                self._log(logging.ERROR, f"the register of the lease has a malformed value: {error}")
            # No bridge renews such a value, so that it is replaced as the value of a bridge that is gone.
            seen = RegisterValue(MALFORMED, self._highest, False)
        self._saw(seen, revision, now)

    def answered_swap(self, number: int, revision: int, now: float) -> None:
        """Process the outcome of a swap: the new revision; 0 if another bridge was first."""
        if self._question is None or self._question.number != number:
            return
        question, self._question = self._question, None
        self._note_answer(now)
        if revision:
            self._wrote(question.value, revision, now)
            return
        self._tried = None
        if self._releases:
            self._end()  # another bridge has the lease
        else:
            self._look(now, get=True)

    def answered_gone(self, number: int, gone: bool, now: float) -> None:
        """Process the answer about the presence: True if no process answers for it."""
        if self._gone_questions.pop(number, None) is None:
            return
        if gone and self.state is STANDBY and self._trusts_presence(now):
            # The register is read again first: the dead bridge may have renewed its lease since then.
            self._heard_gone = True
            if self._question is None:
                self._look(now)

    def unanswered(self, number: int, now: float) -> None:
        """Note that the broker did not answer a question, so that its outcome is unknown."""
        if self._gone_questions.pop(number, None) is not None:
            return
        if self._question is not None and self._question.number == number:
            self._unanswered(now)

    def link_up(self, now: float) -> None:
        """Note that the link to the controller is up."""
        self.linked = True
        if self.state is not CANDIDATE:
            return
        if not self._has_lease:
            self._become(ALONE, "the link is up, without the lease")
            self._serve()
        elif self._question is None:
            self._look(now)

    def link_down(self, now: float) -> None:
        """Note that the link to the controller is down. The owner opens it again."""
        self.linked = False
        if self.state in (ACTIVE, ALONE) and not self._stopping:
            self._become(CANDIDATE, "the link to the controller is lost")
            if self._question is None and self._has_lease:
                self._look(now)

    def hook_ended(self, number: int, now: float) -> None:
        """Note the end of the site's program, also after an error."""
        if number != self._waits_for:
            return
        self._waits_for = None
        if self.state is CANDIDATE:
            self._open_link()
        elif self.state is LEAVING:
            self._left(now)

    def command_changed(self, command: Commander | None, now: float) -> None:
        """Note which commander has command at this bridge; None if there is none."""
        if command == self._command or not self.serves:
            return
        self._command = command
        if self._has_lease and self._question is None:
            self._look(now)

    def slept(self, seconds: float, now: float) -> None:
        """Note that the process stood still for some seconds: longer than its lease was fresh."""
        self._forget_times(now)
        if self.state is STANDBY or (self.state is LEAVING and not self._stopping):
            return
        why = f"the process stood still for {seconds:.1f} s"
        self._log(logging.CRITICAL, f"{why}: the link is dropped")
        if self._stopping:
            self._has_lease = False
            self._effects.append(CloseLink(why))
        else:
            self._stand_by(why, now)

    def stop(self, now: float) -> None:
        """Note that the daemon ends. The owner closes the link, then calls `closed`."""
        if self._stopping:
            return
        self._stopping = True
        self._waits_for = None
        if self.state is not LEAVING:
            self._become(LEAVING, "the daemon ends")

    def closed(self, now: float) -> None:
        """Give up the address and the lease: the link is closed."""
        self.linked = False
        self._is_closed = True
        if self._took_address and self._rules.has_hook:
            self._run_hook("give")
        else:
            self._left(now)

    # The register

    def _ask(
        self, now: float, what: Literal["get", "swap"], value: RegisterValue = NO_VALUE, revision: int = 0
    ) -> None:
        self._number += 1
        self._question = Ask(self._number, what, value, revision)
        self._asked = now
        self._next_look = now + LOOK * self._rules.take_over_after
        self._effects.append(self._question)

    def _look(self, now: float, get: bool = False) -> None:
        """Renew the lease, or read the register.

        :param get: True to read it in any case.
        """
        if self._has_lease and self._tried is None and not get:
            self._swap(now, self._own_value())
        else:
            self._ask(now, "get")

    def _own_value(self) -> RegisterValue:
        return RegisterValue(self._rules.node, self.epoch, self.linked, self._command)

    def _swap(self, now: float, value: RegisterValue) -> None:
        self._tried = value
        self._ask(now, "swap", value, self._revision)

    def _take(self, now: float) -> None:
        """Take the lease, with the next epoch."""
        command = self._command if self.serves else self.seen.command
        epoch = max(self.seen.epoch, self.epoch) + 1
        self._swap(now, RegisterValue(self._rules.node, epoch, self.linked, command))

    def _note_answer(self, now: float) -> None:
        self._was_answered = True
        if self._answered_since is None:
            self._answered_since = now

    def _unanswered(self, now: float) -> None:
        """Begin to count time anew, because nothing is known about the time without an answer."""
        self._question = None
        self._answered_since = self._unchanged_since = self._without_link_since = None
        self._heard_gone = False
        self._next_look = max(self._next_look, now + ASK_PRESENCE * self._rules.take_over_after)
        if self._releases:
            self._end()
        elif self.state is CANDIDATE and self.linked:
            self._become(ALONE, "the link is up, and the broker does not answer")
            self._serve()

    def _saw(self, seen: RegisterValue, revision: int, now: float) -> None:
        """Process the value of the register."""
        before, last_revision = self.seen, self._revision
        if revision != last_revision or self._unchanged_since is None:
            self._revision, self._unchanged_since = revision, now
        if seen.link or not seen.holder:
            self._without_link_since = None
        elif self._without_link_since is None or (before.holder, before.epoch) != (seen.holder, seen.epoch):
            self._without_link_since = now
        self.seen = seen
        went_back, self._highest = seen.epoch < self._highest, max(seen.epoch, self._highest)
        heard_gone, self._heard_gone = self._heard_gone, False
        tried, self._tried = self._tried, None
        is_ours = seen.holder == self._rules.node
        if self._releases:
            self._release(now)
        elif is_ours and tried is not None and seen.epoch == tried.epoch > self.epoch:
            # The swap with the unknown outcome was stored. The age of the lease is known after the next swap.
            self._swap(now, replace(tried, link=self.linked))
        elif is_ours and self.state is not STANDBY and seen.epoch == self.epoch > 0:
            self._swap(now, self._own_value())
        elif self.state is STANDBY:
            if self._may_take(heard_gone, went_back, now):
                self._take(now)
        elif not self._stopping:
            self._lost_lease(last_revision not in (0, revision), now)

    def _may_take(self, heard_gone: bool, went_back: bool, now: float) -> bool:
        """Return True if the standby takes the lease.

        :param went_back: True if the broker has lost later values. The active bridge writes the next one.
        """
        limit = self._rules.take_over_after
        if heard_gone or (not self.seen.holder and not went_back):
            return True
        if self._unchanged_since is not None and now - self._unchanged_since >= limit:
            return True
        since = self._without_link_since
        return since is not None and now - since >= WITHOUT_LINK * limit

    def _trusts_presence(self, now: float) -> bool:
        since = self._answered_since
        if not self._rules.one_peer or since is None or not self.seen.holder:
            return False
        return now - since >= self._rules.take_over_after

    def _wrote(self, value: RegisterValue, revision: int, now: float) -> None:
        """Process a confirmed write of this bridge: the lease is its own."""
        self._tried = None
        self.seen, self._revision, self._unchanged_since = value, revision, now
        self._highest = max(self._highest, value.epoch)
        if self._releases:
            if value.holder:
                self._release(now)
            else:
                self._end()
            return
        is_new = not self._has_lease or value.epoch != self.epoch
        self._has_lease, self.epoch, self._confirmed = True, value.epoch, self._asked
        self._ended_moves = False
        if self.state is STANDBY:
            self._log(logging.WARNING, f"taking over, with epoch {self.epoch}")
            self._command = value.command
            self._become(CANDIDATE, f"epoch {self.epoch}")
            self._effects.append(BePresent(True))
            self._take_address()
        elif self.linked and value.link and not self._stopping:
            if is_new and self.serves and self._took_address and self._rules.has_hook:
                self._run_hook("take")  # the bridge that had the lease meanwhile may have moved the address
                self._waits_for = None
            if self.state in (CANDIDATE, ALONE):
                self._become(ACTIVE, f"epoch {self.epoch}")
            self._serve()
        self._announce()
        if value != self._own_value():
            self._look(now)

    def _release(self, now: float) -> None:
        """Write a value that names no bridge, so that a standby takes the lease at once."""
        if self._has_lease and self.seen.holder == self._rules.node:
            self._has_lease = False
            self._swap(now, replace(self._own_value(), holder="", link=False))
        else:
            self._end()

    def _lost_lease(self, changed: bool, now: float) -> None:
        """Act on a register that names another bridge, no bridge, or an earlier tenure of this bridge.

        :param changed: True if the register has changed since this bridge read or wrote it.
        """
        self._has_lease = False
        other = self.seen.holder if self.seen.holder != self._rules.node else ""
        if self.state is CANDIDATE and not self.linked:
            if other:
                self._stand_by(f"{other} has the lease", now)
            else:
                self._take(now)
            return
        if self.state is ACTIVE:
            self._become(ALONE, "the lease is lost")
        elif self.state is CANDIDATE:
            self._become(ALONE, "the link is up, without the lease")
            self._serve()
        if not other or not self.seen.link or 0 < self.seen.epoch <= self.epoch:
            self._take(now)  # also from a broker that has lost its last values
        elif self.epoch or changed:
            self._leave(f"{other} has the lease and the link", now)
        elif self._unchanged_since is not None and (
            now - self._unchanged_since >= self._rules.take_over_after
        ):
            self._take(now)  # the value is old: the bridge in it does not renew it

    # Time

    def _wait_as_standby(self, now: float) -> None:
        rules = self._rules
        # A process that dies or hangs leaves a question without an answer: the next one does not wait for it.
        if now >= self._next_gone and self._trusts_presence(now):
            self._number += 1
            self._gone_questions[self._number] = now
            self._next_gone = now + ASK_PRESENCE * rules.take_over_after
            self._effects.append(Ask(self._number, "gone"))
        if not self._was_answered and rules.preferred and rules.one_peer and now - self._began >= ALONE_AFTER:
            self._log(logging.WARNING, "no broker at the start: the preferred bridge opens the link alone")
            self._become(CANDIDATE, "no broker at the start")
            self._was_answered = True  # this happens once
            self._effects.append(BePresent(True))
            self._take_address()

    def _judge_lease(self, now: float) -> None:
        age = self.lease_age(now)
        if age is None or age < self._fresh:
            return
        if not self._rules.one_peer and not self._ended_moves:
            self._ended_moves = True
            self._effects.append(EndMoves(self.why_withheld(now, True) or "not sent: the lease is too old"))
        if self.state is ACTIVE:
            self._become(ALONE, "the broker does not confirm the lease")
        elif self.state is CANDIDATE and not (self.serves and self._rules.one_peer):
            self._stand_by("the broker does not confirm the lease", now)

    def _forget_times(self, now: float) -> None:
        self._answered_since = self._unchanged_since = self._without_link_since = None
        self._heard_gone = False
        self._question = None
        self._gone_questions.clear()
        self._next_look = now + LOOK * self._rules.take_over_after

    # Link, ports, address

    def _take_address(self) -> None:
        self._took_address = True
        if self._rules.has_hook:
            self._run_hook("take")
        else:
            self._open_link()

    def _open_link(self) -> None:
        self._effects.append(OpenLink(first_key(self.epoch) if self._has_lease else None))

    def _run_hook(self, word: Literal["take", "give"]) -> None:
        self._hook_number += 1
        self._waits_for = self._hook_number
        self._effects.append(RunHook(self._hook_number, word))

    def _serve(self) -> None:
        if not self.serves:
            self.serves = True
            self._effects.append(OpenPorts(self._command))

    def _close(self, why: str) -> None:
        """Close the link and the ports: the link first, so that no command of a closing port is sent."""
        self._effects.append(CloseLink(why))
        self._effects.append(ClosePorts(why))
        self._effects.append(BePresent(False))
        self.linked = self.serves = self._has_lease = False
        self._command = self._tried = None

    def _stand_by(self, why: str, now: float) -> None:
        """Become a standby at once, and give the address back afterwards."""
        self._close(why)
        self._become(STANDBY, why)
        self._waits_for = None
        if self._took_address and self._rules.has_hook:
            self._run_hook("give")
            self._waits_for = None
        self._took_address = False
        self._forget_times(now)

    def _leave(self, why: str, now: float) -> None:
        self._log(logging.WARNING, f"{why}: closing the link, which must be dead")
        self._close(why)
        self._become(LEAVING, why)
        self._forget_times(now)
        had_address, self._took_address = self._took_address, False
        if had_address and self._rules.has_hook:
            self._run_hook("give")
        else:
            self._waits_for = None
            self._become(STANDBY, why)

    def _left(self, now: float) -> None:
        """Continue after the hook ``give``."""
        if not self._stopping:
            self._become(STANDBY, "the address is given back")
            return
        self._effects.append(BePresent(False))
        self._releases = True
        if self._question is None:
            self._release(now)

    def _end(self) -> None:
        self.is_over = True

    def _announce(self) -> None:
        serves = self.state is ACTIVE or (self.state is ALONE and self._rules.one_peer and self.epoch > 0)
        told = self.epoch, serves
        if told != self._announced:
            self._announced = told
            self._effects.append(Announce(*told))

    def _become(self, after: State, detail: str) -> None:
        self.state = next_state(_TABLE, self.state, after)
        self._effects.append(Became(after, detail))
        self._announce()

    def _log(self, level: int, text: str) -> None:
        self._effects.append(Log(level, text))
