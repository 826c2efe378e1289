"""The pending commands: accepted by the bridge and not ended, each with its sender, state and deadline.

It decides nothing and sends nothing. Next to read: `dispatcher`, which adds the commands, sends them and ends
them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

from mtmount_twisted.dialects.dialect import CommandEnvelope, Meaning
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.net.machines import next_state
from mtmount_twisted.wire.messages import MAX_SEQUENCE_ID

OnComplete = Callable[[Meaning | None, str], None]
"""Receives the meaning and explanation of a command's last reply; None if the bridge ended the command."""


class PendingState(Enum):
    """State of a `PendingCommand`."""

    if not TYPE_CHECKING:  # a type checker would take it for another type than the base class has
        __hash__ = object.__hash__  # each state is one object; the hash of an Enum is Python code, and slow

    WAITING = "waiting"
    """It waits for room at the link."""
    SENT = "sent"
    """The link has it. The controller has not acknowledged it."""
    ACKED = "acked"
    """The controller has acknowledged it, and has not done it."""
    ENDED = "ended"
    """It has its last reply, from the controller or from the bridge."""


WAITING, SENT, ACKED, ENDED = PendingState

_TABLE = {
    WAITING: (SENT, ENDED),
    SENT: (ACKED, ENDED),
    ACKED: (ENDED,),
    ENDED: (),
}


class PendingCommand(Struct, eq=False):
    """One pending command. A ``Struct`` is made in a quarter of the time of a dataclass.

    :ivar client: its sender: a commander, or the bridge.
    :ivar session_id: the number of the sender's session; see `registry`.
    :ivar header: its header as received from the sender.
    :ivar lease: the number of the lease that the sender held at the acceptance; 0 for none.
    :ivar since: the time of its acceptance, on the reactor's clock in seconds.
    :ivar stops: the number of stops that were accepted before it.
    :ivar deadline: the time at which it times out, on the reactor's clock in seconds.
    :ivar then: see `OnComplete`; or None.
    :ivar urgent: True if it is sent before the commands that are not urgent.
    :ivar state: see `PendingState`.
    :ivar key: the bridge's sequence id for it, which the controller repeats in its replies; 0 until the
        command is in the table.
    """

    client: IClient
    session_id: int
    header: CommandEnvelope
    lease: int
    since: float
    stops: int
    deadline: float
    then: OnComplete | None
    urgent: bool = False
    state: PendingState = WAITING
    key: int = 0

    @property
    def is_sent(self) -> bool:
        """True while the controller has it."""
        return self.state in (SENT, ACKED)

    @property
    def is_acked(self) -> bool:
        """True from its Ack to its end."""
        return self.state is ACKED

    def become(self, after: PendingState) -> None:
        """Change the state.

        :raises RuntimeError: if the state cannot follow the present one.
        """
        self.state = next_state(_TABLE, self.state, after)


class PendingCommands:
    """All pending commands by key, and the order in which they are sent. No two have the same key.

    :param first: the first key: 1 to `last`.
    :param last: the largest key, at most 2147483647; the key after it is 1.
    """

    def __init__(self, first: int, last: int = MAX_SEQUENCE_ID) -> None:
        self._last = last
        self._next = first
        self._commands: dict[int, PendingCommand] = {}
        self._urgent: OrderedDict[int, PendingCommand] = OrderedDict()
        self._waiting: OrderedDict[int, PendingCommand] = OrderedDict()

    def begin_at(self, first: int) -> None:
        """Use this as the next key, if it is free."""
        self._next = first

    def __len__(self) -> int:
        return len(self._commands)

    def __iter__(self) -> Iterator[PendingCommand]:
        return iter(tuple(self._commands.values()))

    def add(self, command: PendingCommand) -> None:
        """Add a command in state `WAITING`, and set its key to a free one. A stop becomes urgent.

        Urgent commands keep their order among themselves.
        """
        key = self._next
        while key in self._commands:
            key = key % self._last + 1
        self._next = key % self._last + 1
        command.key = key
        command.urgent = command.urgent or command.header.kind.is_stop
        self._commands[key] = command
        self._queue_of(command)[key] = command

    def _queue_of(self, command: PendingCommand) -> OrderedDict[int, PendingCommand]:
        return self._urgent if command.urgent else self._waiting

    def get(self, key: int) -> PendingCommand | None:
        """Return the command with this key, or None."""
        return self._commands.get(key)

    def end(self, command: PendingCommand) -> bool:
        """End a command and remove it; return False if it had ended already."""
        if command.state is ENDED:
            return False
        if command.state is WAITING:
            del self._queue_of(command)[command.key]
        command.become(ENDED)
        del self._commands[command.key]
        return True

    @property
    def are_waiting(self) -> bool:
        """True if a command was not sent yet."""
        return bool(self._urgent or self._waiting)

    def write_next(self) -> PendingCommand:
        """Return the next command, urgent ones first, in state `SENT`.

        :raises KeyError: if no command waits; see `are_waiting`.
        """
        command = (self._urgent or self._waiting).popitem(last=False)[1]
        command.become(SENT)
        return command

    def waiting(self) -> list[PendingCommand]:
        """Return the commands that were not sent yet, in the order of sending."""
        return [*self._urgent.values(), *self._waiting.values()]

    def overtaken(self) -> list[PendingCommand]:
        """Return the waiting commands that a stop ends: all but stops and ``AskForCommand``, which moves
        nothing.
        """
        return [command for command in self._waiting.values() if not command.header.kind.is_ask]

    def due(self, now: float) -> list[PendingCommand]:
        """Return the commands with a deadline that has passed."""
        return [command for command in self._commands.values() if command.deadline <= now]
