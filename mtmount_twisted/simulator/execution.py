"""Execution of a command from its Ack to its end: the plans of devices, and their completion.

A device accepts a command with a `Plan`, or refuses it with `CommandRefused` before anything has changed. The
mount sends the Ack, makes an `Execution` and starts the plan. Each `Part` that works on the command reports
that it has finished or failed. The execution sends one answer: Done when all parts have finished, or NoAck at
the first failure.

It touches only the clock. Next to read: `devices`.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.dialects.tma2020.commands import Command
from mtmount_twisted.dialects.tma2020.replies import DoneReply, NoAckReply, Reply

INSTANT = 1.0
"""Time-out in the Ack of a command that takes no time, s."""


class World(Struct, frozen=True):
    """Values that all devices of a mount share.

    :ivar clock: an ``IReactorTime``.
    :ivar send: function that takes each reply and event.
    :ivar tai: function that returns TAI, s since the unix epoch.
    :ivar speed: factor by which the mount is faster than the real one.
    :ivar realistic: True if warming up takes time.
    """

    clock: IReactorTime
    send: Callable[[Reply], None]
    tai: Callable[[], float]
    speed: float
    realistic: bool


class Execution:
    """A command that was acknowledged, until its end.

    :param parts: number of parts that must finish before the command is done.
    """

    def __init__(self, command: Command, parts: int, send: Callable[[Reply], None]) -> None:
        self.command = command
        self._parts = parts
        self._send = send
        self._open = not command.ack_only

    def finish_part(self) -> None:
        """Note that a part has finished. After the last part, send Done."""
        self._parts -= 1
        if self._parts == 0:
            self._end(DoneReply(sequence_id=self.command.sequence_id, source=self.command.source))

    def fail(self, explanation: str) -> None:
        """Send NoAck: the command has failed."""
        self._end(no_ack(self.command, explanation))

    def _end(self, reply: Reply) -> None:
        if self._open:
            self._open = False
            self._send(reply)


def no_ack(command: Command, explanation: str) -> NoAckReply:
    """Return the NoAck to a command."""
    return NoAckReply(sequence_id=command.sequence_id, source=command.source, explanation=explanation)


class Plan(Struct, frozen=True):
    """The plan of a device for a command that it has accepted.

    :ivar announced: time-out for the Ack: longest duration, s of real time.
    :ivar begin: function that starts the plan. Each part must finish or fail the execution once.
    :ivar parts: number of parts that work on the command.
    """

    announced: float
    begin: Callable[[Execution], None]
    parts: int = 1


def instantly(action: Callable[[Command], None]) -> Plan:
    """Return a plan that takes no time.

    :param action: called with the command.
    """

    def begin(execution: Execution) -> None:
        action(execution.command)
        execution.finish_part()

    return Plan(INSTANT, begin)


def together(plans: list[Plan]) -> Plan:
    """Return a plan that is done when all these plans are done."""

    def begin(execution: Execution) -> None:
        for plan in plans:
            plan.begin(execution)

    return Plan(max(plan.announced for plan in plans), begin, sum(plan.parts for plan in plans))


class Part:
    """A part that works on one command at a time: an axis, a drive, a switch."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._execution: Execution | None = None
        self._timer: IDelayedCall | None = None

    def begin(self, execution: Execution, duration: float, then: Callable[[], None] | None = None) -> None:
        """Work on a command, in place of the command in progress.

        :param duration: duration of the work, s; 0 to finish at once.
        :param then: called just before the end; not called after a failure.
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
        """Give up the command in progress, if there is one, for a later command."""
        self.fail(f"superseded by {type(command).__name__} {command.sequence_id}")

    def fail(self, explanation: str) -> None:
        """Give up the command in progress, if there is one."""
        execution, self._execution = self._execution, None
        self.close()
        if execution is not None:
            execution.fail(explanation)

    def close(self) -> None:
        """Stop the timer. The command in progress is never answered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
