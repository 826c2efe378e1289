"""The commands that are on their way and have not ended: whose they are, and till when."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..commands import STOP_CODES
from ..enums import CommandCode
from ..messages import MAX_SEQUENCE_ID
from ..waiting import Waiters
from .header import DownHeader

ASK = int(CommandCode.ASK_FOR_COMMAND)

Then = Callable[[int | None, str], None]
"""Called with the code and explanation of a command's last answer; no code if the bridge gave it up."""


@dataclass(slots=True, eq=False)
class Flight:
    """One command on its way.

    :ivar key: the bridge's sequence id for it, by which the controller's answers name it.
    :ivar client: the commander that sent it; the bridge itself for its own.
    :ivar visit: during which visit of the commander's it came; see `audience`.
    :ivar header: as the commander sent it.
    :ivar lease: number of the lease that the commander held then; 0 for none.
    :ivar since: when it was taken, on the reactor's clock in seconds.
    :ivar deadline: when it times out, on the reactor's clock in seconds.
    :ivar then: see `Then`; or None.
    :ivar urgent: True if it goes before what waits.
    :ivar written: True once it was handed to the connection.
    :ivar acked: True once an Ack came.
    """

    key: int
    client: Any
    visit: int
    header: DownHeader
    lease: int
    since: float
    deadline: float
    then: Then | None
    urgent: bool
    written: bool = False
    acked: bool = False


class FlightTable:
    """All commands in flight, by key. A key that is in flight is never given out again.

    :param first: the first key: 1 to `last`.
    :param last: the last key, behind which 1 comes; 2147483647 at most.
    :ivar emptied: who waits until nothing is in flight; told before the last one's commander is.
    """

    def __init__(self, first: int, last: int = MAX_SEQUENCE_ID) -> None:
        self._last = last
        self.emptied: Waiters[None] = Waiters()
        self._next = first
        self._flights: dict[int, Flight] = {}
        self._urgent: OrderedDict[int, Flight] = OrderedDict()
        self._waiting: OrderedDict[int, Flight] = OrderedDict()

    def __len__(self) -> int:
        return len(self._flights)

    def __iter__(self) -> Iterator[Flight]:
        return iter(tuple(self._flights.values()))

    def add(
        self,
        client: Any,
        visit: int,
        header: DownHeader,
        lease: int,
        since: float,
        deadline: float,
        then: Then | None,
        urgent: bool = False,
    ) -> Flight:
        """Take a command in, under a key of its own; it waits to be written.

        :param urgent: whether it goes before what waits, as every stop does; among themselves the urgent
            ones go in the order in which they came.
        """
        while self._next in self._flights:
            self._step()
        urgent = urgent or header.code in STOP_CODES
        flight = Flight(self._next, client, visit, header, lease, since, deadline, then, urgent)
        self._flights[flight.key] = flight
        self._queue_of(flight)[flight.key] = flight
        self._step()
        return flight

    def _step(self) -> None:
        self._next = self._next % self._last + 1

    def _queue_of(self, flight: Flight) -> OrderedDict[int, Flight]:
        return self._urgent if flight.urgent else self._waiting

    def get(self, key: int) -> Flight | None:
        """The command with this key, or None."""
        return self._flights.get(key)

    def end(self, flight: Flight) -> bool:
        """Take a command out; False if it was out already."""
        if not flight.written:
            self._queue_of(flight).pop(flight.key, None)
        was_in = self._flights.pop(flight.key, None) is not None
        if was_in and not self._flights:
            self.emptied.fire(None)
        return was_in

    def next_to_write(self) -> Flight | None:
        """The command that is to be written next, the urgent ones first; it waits no more."""
        for queue in (self._urgent, self._waiting):
            if queue:
                flight = queue.popitem(last=False)[1]
                flight.written = True
                return flight
        return None

    def waiting(self) -> list[Flight]:
        """Those that were not written yet, in the order in which they will be."""
        return [*self._urgent.values(), *self._waiting.values()]

    def overtaken(self) -> list[Flight]:
        """Those that wait and that a stop overtakes: all but the stops, and what asks for command or gives it
        up, which moves nothing."""
        return [flight for flight in self._waiting.values() if flight.header.code != ASK]

    def due(self, now: float) -> list[Flight]:
        """Those whose deadline has come."""
        return [flight for flight in self._flights.values() if flight.deadline <= now]
