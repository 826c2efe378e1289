"""`Endings`: connections that timers end, a few in a turn of the reactor.

To end a connection takes half a millisecond, with all that the bridge notes about its client. The timers of
hundreds of connections may be due at once: hundreds of peers can begin lines at the same moment, or reset
their connections while these are not read. So such a timer ends its connection here. In each turn one ends at
least, and up to `MOST_ENDS` until the turn is used up (`turn_time`): most of the work follows later, when
Twisted calls ``connectionLost``. The connections of vanished peers go first, because the holder of command
may be among them.

Without a reactor that measures its turns, a connection ends at once. It touches no connection but by the
functions that it is given. Next to read: `liveness` and `deadlines.PeerDeadline`, which use it; `reactors`,
which makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from .turn_time import TurnTime

_log = Logger()

MOST_ENDS = 8
"""The largest number of connections that end in one turn of the reactor."""

End: TypeAlias = Callable[[], object]


class Endings:
    """The connections of one reactor that wait for their end.

    :param time: the reactor's turns.
    """

    def __init__(self, reactor: IReactorTime, time: TurnTime) -> None:
        self._reactor = reactor
        self._time = time
        self._first: dict[End, None] = {}
        self._others: dict[End, None] = {}
        self._turn = -1  # the number of the latest turn in which a connection ended
        self._ended = 0  # in that turn
        self._next: Any = None

    def add(self, end: End, first: bool = False) -> None:
        """End a connection: at once if this turn of the reactor has time, else in a later one.

        :param end: ends it; called once.
        :param first: True for the connection of a vanished peer.
        """
        (self._first if first else self._others)[end] = None
        self._go_on()

    def discard(self, end: End) -> None:
        """Withdraw a request that `add` has got, because the connection has ended by itself."""
        self._first.pop(end, None)
        self._others.pop(end, None)

    def _go_on(self) -> None:
        while (waiting := self._first or self._others) and self._has_time():
            end = next(iter(waiting))
            del waiting[end]
            try:
                end()
            except Exception:
                _log.failure("failed to end a connection")
        if waiting and self._next is None:
            self._next = self._reactor.callLater(0, self._next_turn)

    def _next_turn(self) -> None:
        self._next = None
        self._go_on()

    def _has_time(self) -> bool:
        time = self._time
        if time.number != self._turn:
            self._turn, self._ended = time.number, 0
        elif self._ended >= MOST_ENDS or time.is_used_up:
            return False
        self._ended += 1
        return True


def end_in_turn(reactor: Any, end: End, first: bool = False) -> Callable[[], None]:
    """End a connection in its turn; see `Endings.add`.

    :returns: a function that withdraws the request. It may be called again.
    """
    endings: Endings | None = getattr(reactor, "endings", None)
    if endings is None:
        end()
        return lambda: None
    endings.add(end, first)
    return lambda: endings.discard(end)
