"""The commands that are on their way and have not ended: whose they are, and till when."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mtmount_twisted.dialects.tma2020.commands import STOP_CODES
from mtmount_twisted.dialects.tma2020.enums import CommandCode
from mtmount_twisted.dialects.tma2020.envelope import CommandEnvelope
from mtmount_twisted.net.waiting import Waiters
from mtmount_twisted.wire.messages import MAX_SEQUENCE_ID

ASK = int(CommandCode.ASK_FOR_COMMAND)

OnComplete = Callable[[int | None, str], None]
"""Called with the code and explanation of a command's last answer; no code if the bridge gave it up."""


@dataclass(slots=True, eq=False)
class PendingCommand:
    """One command on its way.

    :ivar key: the bridge's sequence id for it, by which the controller's answers name it.
    :ivar client: the commander that sent it; the bridge itself for its own.
    :ivar visit: during which visit of the commander's it came; see `registry`.
    :ivar header: as the commander sent it.
    :ivar lease: number of the lease that the commander held then; 0 for none.
    :ivar since: when it was taken, on the reactor's clock in seconds.
    :ivar deadline: when it times out, on the reactor's clock in seconds.
    :ivar then: see `OnComplete`; or None.
    :ivar urgent: True if it goes before what waits.
    :ivar written: True once it was handed to the connection.
    :ivar acked: True once an Ack came.
    """

    key: int
    client: Any
    visit: int
    header: CommandEnvelope
    lease: int
    since: float
    deadline: float
    then: OnComplete | None
    urgent: bool
    written: bool = False
    acked: bool = False


class PendingCommands:
    """All commands in flight, by key. A key that is in flight is never given out again.

    :param first: the first key: 1 to `last`.
    :param last: the last key, behind which 1 comes; 2147483647 at most.
    :ivar emptied: who waits until nothing is in flight; told before the last one's commander is.
    """

    def __init__(self, first: int, last: int = MAX_SEQUENCE_ID) -> None:
        self._last = last
        self.emptied: Waiters[None] = Waiters()
        self._next = first
        self._flights: dict[int, PendingCommand] = {}
        self._urgent: OrderedDict[int, PendingCommand] = OrderedDict()
        self._waiting: OrderedDict[int, PendingCommand] = OrderedDict()

    def __len__(self) -> int:
        return len(self._flights)

    def __iter__(self) -> Iterator[PendingCommand]:
        return iter(tuple(self._flights.values()))

    def add(
        self,
        client: Any,
        visit: int,
        header: CommandEnvelope,
        lease: int,
        since: float,
        deadline: float,
        then: OnComplete | None,
        urgent: bool = False,
    ) -> PendingCommand:
        """Take a command in, under a key of its own; it waits to be written.

        :param urgent: whether it goes before what waits, as every stop does; among themselves the urgent
            ones go in the order in which they came.
        """
        while self._next in self._flights:
            self._step()
        urgent = urgent or header.code in STOP_CODES
        flight = PendingCommand(self._next, client, visit, header, lease, since, deadline, then, urgent)
        self._flights[flight.key] = flight
        self._queue_of(flight)[flight.key] = flight
        self._step()
        return flight

    def _step(self) -> None:
        self._next = self._next % self._last + 1

    def _queue_of(self, flight: PendingCommand) -> OrderedDict[int, PendingCommand]:
        return self._urgent if flight.urgent else self._waiting

    def get(self, key: int) -> PendingCommand | None:
        """The command with this key, or None."""
        return self._flights.get(key)

    def end(self, flight: PendingCommand) -> bool:
        """Take a command out; False if it was out already."""
        if not flight.written:
            self._queue_of(flight).pop(flight.key, None)
        was_in = self._flights.pop(flight.key, None) is not None
        if was_in and not self._flights:
            self.emptied.fire(None)
        return was_in

    def next_to_write(self) -> PendingCommand | None:
        """The command that is to be written next, the urgent ones first; it waits no more."""
        for queue in (self._urgent, self._waiting):
            if queue:
                flight = queue.popitem(last=False)[1]
                flight.written = True
                return flight
        return None

    def waiting(self) -> list[PendingCommand]:
        """Those that were not written yet, in the order in which they will be."""
        return [*self._urgent.values(), *self._waiting.values()]

    def overtaken(self) -> list[PendingCommand]:
        """Those that wait and that a stop overtakes: all but the stops, and what asks for command or gives it
        up, which moves nothing."""
        return [flight for flight in self._waiting.values() if flight.header.code != ASK]

    def due(self, now: float) -> list[PendingCommand]:
        """Those whose deadline has come."""
        return [flight for flight in self._flights.values() if flight.deadline <= now]
