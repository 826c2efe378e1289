"""A command from its Ack to its end: what devices promise, and how they keep it.

A device answers a command with a `Plan`, or refuses it by raising `CommandRefused`, before
anything has changed. The mount sends the Ack, makes an `Execution` and lets the plan begin.
Each `Part` that works at the command then says when it has finished, or why it won't, and the
execution answers once: with Done when all parts have finished, or NoAck at the first failure.

Next to read: `devices`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.dialects.tma2020.commands import Command
from mtmount_twisted.dialects.tma2020.replies import DoneReply, NoAckReply, Reply

INSTANT = 1.0
"""What the Ack of a command that takes no time announces, s."""


@dataclass(frozen=True, slots=True)
class World:
    """What the devices of one mount share.

    :ivar clock: tells the time and calls later.
    :ivar send: takes each reply and event.
    :ivar tai: tells TAI, s since the unix epoch.
    :ivar speed: how many times faster than the real one the mount is.
    :ivar realistic: True to take the time that warming up takes.
    """

    clock: IReactorTime
    send: Callable[[Reply], None]
    tai: Callable[[], float]
    speed: float
    realistic: bool


class Execution:
    """One command that was acknowledged, until it is answered.

    :param parts: how many parts must finish before it is done.
    """

    def __init__(self, command: Command, parts: int, send: Callable[[Reply], None]) -> None:
        self.command = command
        self._parts = parts
        self._send = send
        self._open = not command.ack_only

    def finish_part(self) -> None:
        """One more part has finished: after the last one the command is done."""
        self._parts -= 1
        if self._parts == 0:
            self._end(DoneReply(sequence_id=self.command.sequence_id, source=self.command.source))

    def fail(self, explanation: str) -> None:
        """The command won't be done."""
        self._end(no_ack(self.command, explanation))

    def _end(self, reply: Reply) -> None:
        if self._open:
            self._open = False
            self._send(reply)


def no_ack(command: Command, explanation: str) -> NoAckReply:
    """The NoAck to a command."""
    return NoAckReply(sequence_id=command.sequence_id, source=command.source, explanation=explanation)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a device will do about a command that it has accepted.

    :ivar announced: for the Ack: how long it should take at most, s of real time.
    :ivar begin: does it; each of the parts must finish or fail the execution once.
    :ivar parts: how many parts work at it.
    """

    announced: float
    begin: Callable[[Execution], None]
    parts: int = 1


def instantly(action: Callable[[Command], None]) -> Plan:
    """A plan that takes no time.

    :param action: is called with the command.
    """

    def begin(execution: Execution) -> None:
        action(execution.command)
        execution.finish_part()

    return Plan(INSTANT, begin)


def together(plans: list[Plan]) -> Plan:
    """The plan that is done when all of these are."""

    def begin(execution: Execution) -> None:
        for plan in plans:
            plan.begin(execution)

    return Plan(max(plan.announced for plan in plans), begin, sum(plan.parts for plan in plans))


class Part:
    """One thing that can be busy with one command at a time: an axis, a drive, a switch."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._execution: Execution | None = None
        self._timer: IDelayedCall | None = None

    def begin(self, execution: Execution, duration: float, then: Callable[[], None] | None = None) -> None:
        """Be busy with a command, in place of the one it was busy with.

        :param duration: until it has finished, s; 0 to finish at once.
        :param then: called just before it finishes; not called if it fails.
        """
        self.supersede(execution.command)
        self._execution = execution
        if duration > 0:
            self._timer = self._clock.callLater(duration, self._finish, execution, then)
        else:
            self._finish(execution, then)

    def _finish(self, execution: Execution, then: Callable[[], None] | None) -> None:
        self._execution = self._timer = None
        if then is not None:
            then()
        execution.finish_part()

    def supersede(self, command: Command) -> None:
        """Give up the command it is busy with, if any, for a later one."""
        self.fail(f"superseded by {type(command).__name__} {command.sequence_id}")

    def fail(self, explanation: str) -> None:
        """Give up the command it is busy with, if any."""
        execution, self._execution = self._execution, None
        self.close()
        if execution is not None:
            execution.fail(explanation)

    def close(self) -> None:
        """Stop the timer; the command it is busy with is never answered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
