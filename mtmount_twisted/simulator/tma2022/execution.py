"""Execution of a command from its Ack to its end: the plans of devices, and their completion.

A device accepts a command with a `Plan`, or refuses it with `Refusal` before anything has changed. The mount
sends the Ack, makes an `Execution` and starts the plan. Each `Part` that works on the command reports that it
has finished, has failed or was superseded. The execution sends one end: Succeeded when all parts have
finished, or Failed or Superseded at the first part that gives up.

This module touches only the clock. Next to read: `devices`, `axis`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.dialects.tma2022.commands import Command
from mtmount_twisted.dialects.tma2022.enums import CommandCode, Source
from mtmount_twisted.dialects.tma2022.replies import (
    Answer,
    CmdFailedReply,
    CmdSucceededReply,
    CmdSupersededReply,
    Reply,
)

QUICK = 0.1
"""Timeout in the Ack of a command that takes no time, s (protocol-tma2022.rst, "The mock controller")."""

SETTLING = 0.2
"""Time from the arrival of a motion to the end of its command, s (protocol-tma2022.rst, "The motion of the
mount")."""


class Refusal(Exception):
    """A device refuses a command before it begins.

    :ivar explanation: the reason, as the reply has it.
    """

    def __init__(self, explanation: str) -> None:
        super().__init__(explanation)
        self.explanation = explanation


def refusal(text: str) -> Refusal:
    """Return the refusal of a command that the device cannot carry out now, in the mount's own form."""
    return Refusal(repr(RuntimeError(text)))


def invalid(text: str) -> Refusal:
    """Return the refusal of a command with a value that the device never accepts, in the mount's own form."""
    return Refusal(repr(ValueError(text)))


@dataclass(frozen=True, slots=True)
class World:
    """The values that all devices of a mount share.

    :ivar clock: an ``IReactorTime``.
    :ivar tai: function that returns TAI, s since the unix epoch.
    :ivar send: function that takes each reply and event.
    :ivar changed: function to call after a change of state that does not come from a command.
    :ivar log: a logger.
    :ivar speed: factor by which the mount is faster than the real one.
    :ivar realistic: True if devices take time to warm up.
    """

    clock: IReactorTime
    tai: Callable[[], float]
    send: Callable[[Reply], None]
    changed: Callable[[], None]
    log: logging.Logger
    speed: float = 1.0
    realistic: bool = False

    def answer(self, answer: type[Answer], command: Command, **parameters: Any) -> None:
        """Send an answer to a command."""
        self.send(
            answer(
                timestamp=self.tai(),
                commander=command.source,
                sequence_id=command.sequence_id,
                **parameters,
            )
        )


class Execution:
    """A command that was acknowledged, until its end.

    :param parts: number of parts that must finish before the command succeeds.
    :param superseded: list that takes the execution and its superseding command; the mount reports them after
        the end of the superseding command, as the mock controller does (protocol-tma2022.rst, "The life of a
        command").
    :ivar is_open: True until the command has ended.
    """

    def __init__(self, command: Command, parts: int, world: World, superseded: list[Superseded]) -> None:
        self.command = command
        self._parts = parts
        self._world = world
        self._superseded = superseded
        self.is_open: bool = not command.ack_only

    def finish_part(self) -> None:
        """Note that a part has finished. After the last part, send Succeeded."""
        self._parts -= 1
        if self._parts == 0 and self.is_open:
            self.is_open = False
            self._world.answer(CmdSucceededReply, self.command)

    def fail(self, explanation: str) -> None:
        """Send Failed."""
        if self.is_open:
            self.is_open = False
            self._world.answer(CmdFailedReply, self.command, explanation=explanation)

    def supersede(self, command: Command, code: CommandCode) -> None:
        """Note that another command takes over.

        :param code: the code of the single command that takes over: 402 for the elevation part of a command
            32.
        """
        if self.is_open:
            self.is_open = False
            self._superseded.append(Superseded(self.command, command.sequence_id, command.source, code))


@dataclass(frozen=True, slots=True)
class Superseded:
    """A command that another one has superseded."""

    command: Command
    sequence_id: int
    source: Source
    code: CommandCode

    def report(self, world: World) -> None:
        """Send Superseded."""
        world.answer(
            CmdSupersededReply,
            self.command,
            superseding_sequence_id=self.sequence_id,
            superseding_commander=self.source,
            superseding_command_code=int(self.code),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a device for a command that it has accepted.

    :ivar timeout: timeout for the Ack: the expected duration, s of real time; -1 or None if it is unknown.
    :ivar begin: function that starts the plan. Each part must finish or give up the execution once.
    :ivar parts: number of parts that work on the command.
    :ivar prepare: called before the Ack, to end commands that have only the time of settling left.
    """

    timeout: float | None
    begin: Callable[[Execution], None]
    parts: int = 1
    prepare: Callable[[], None] = lambda: None


def instantly(
    action: Callable[[Command], None],
    timeout: float | None = QUICK,
    prepare: Callable[[], None] = lambda: None,
) -> Plan:
    """Return a plan that takes no time.

    :param action: called with the command.
    """

    def begin(execution: Execution) -> None:
        action(execution.command)
        execution.finish_part()

    return Plan(timeout, begin, prepare=prepare)


def nothing(command: Command) -> None:
    """Do nothing: the effect of a command that the mount accepts without an effect."""


def together(plans: list[Plan]) -> Plan:
    """Return a plan that is done when all these plans are done."""

    def begin(execution: Execution) -> None:
        for plan in plans:
            plan.begin(execution)

    def prepare() -> None:
        for plan in plans:
            plan.prepare()

    timeout = max(plan.timeout or 0.0 for plan in plans)
    return Plan(timeout, begin, sum(plan.parts for plan in plans), prepare)


class Part:
    """A part that works on one command at a time, such as an axis."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._execution: Execution | None = None
        self._timer: IDelayedCall | None = None

        self._arrival = math.inf
        self._then: Callable[[], None] | None = None

    @property
    def is_busy(self) -> bool:
        """True while the part works on a command."""
        return self._execution is not None

    def begin(
        self,
        execution: Execution,
        duration: float,
        then: Callable[[], None] | None = None,
        settling: float = 0.0,
    ) -> None:
        """Work on a command. The part must be free: call `supersede` first.

        :param duration: duration of the work, s.
        :param then: called just before the end; not called if the part gives up.
        :param settling: time from the end of the work to the end of the command, s.
        """
        self._execution, self._then = execution, then
        self._arrival = self._world.clock.seconds() + duration
        self._timer = self._world.clock.callLater(duration + settling, self._finish, execution)

    def finish_if_arrived(self) -> None:
        """End the command in progress if only the time of settling is left of it, so that no later command
        supersedes it."""
        has_arrived = self._world.clock.seconds() >= self._arrival
        if self._execution is not None and self._timer is not None and has_arrived:
            self._timer.cancel()
            self._finish(self._execution)

    def _finish(self, execution: Execution) -> None:
        then = self._then
        self._execution = self._timer = self._then = None
        if then is not None:
            then()
        execution.finish_part()
        self._world.changed()

    def supersede(self, command: Command, code: CommandCode) -> None:
        """Give up the command in progress, if there is one, for a later command."""
        execution = self._give_up()
        if execution is not None:
            execution.supersede(command, code)

    def fail(self, explanation: str) -> None:
        """Give up the command in progress, if there is one, because of an alarm."""
        execution = self._give_up()
        if execution is not None:
            execution.fail(explanation)

    def _give_up(self) -> Execution | None:
        execution, self._execution = self._execution, None
        self.close()
        return execution

    def close(self) -> None:
        """Stop the timer. The command in progress is never answered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
