"""Turns for reading: input is read in slices, so that one client delays the others and the mount only
briefly.

Twisted reads up to 64 KiB from each socket in one turn of the reactor, and a parser processes each line of
it. A hostile client can make that thousands of lines. Here all connections together have a budget of bytes
per turn, and the connections are read in slices, one after another. A slice that counts more than the turn
has left reduces the budget of the next turns, except for connections of a higher rank. If other work has
used up the reactor's turn (`turn_time`), slices of a higher rank are read in it, and the others have a share
of the time.

Values only: no Twisted. Next to read: `protocol` and ``frontends.web.http.site``, whose connections take
turns.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol

from .turn_time import NEVER, Share, turn_time_of

LEAST = 64
"""Smallest number of bytes that a slice, or a line in it, counts as. To reject a short line costs as much as
to reject a long one."""


MOST_OWED = 2
"""The most turns that pay for a slice that counts more than its own turn: other readers wait for them."""


class Reader(Protocol):
    """A connection with unread input."""

    def read_slice(self, most: int) -> int:
        """Read at most `most` bytes. If more can be read, request the next turn. This method must not raise.

        :returns: the number of bytes that the reading counts as.
        """


class Rank(IntEnum):
    """Which connections go before others; a lower number goes first."""

    FIRST = 0
    """In this rank the newest goes first: a crowd that requests its turns at once delays no later reader."""
    SECOND = 1
    THIRD = 2
    USUAL = 3


class Turns:
    """A scheduler that gives connections turns to read, in the order of their requests.

    :param reactor: an ``IReactorTime``; its `turn_time`, if it has one, bounds a turn, too.
    :param budget: number of bytes that all connections together may read in a turn.
    :param slice_size: largest number of bytes read from one connection at once.
    :param pause: time from the start of a turn to the start of the next one, in seconds; 0 for the reactor's
        next turn.
    """

    def __init__(self, reactor: Any, budget: int, slice_size: int, pause: float = 0.0) -> None:
        self._reactor = reactor
        self._budget = budget
        self._slice_size = slice_size
        self._pause = pause
        self._waiting: dict[Rank, dict[Reader, None]] = {rank: {} for rank in Rank}
        self._next: Any = None  # timer of the next turn, if this turn has been used
        self._left = 0
        self._owed = 0  # bytes of earlier turns beyond their budgets; connections of the usual rank pay them
        self._reading = False
        self._time = turn_time_of(reactor)
        self._share = Share(self._time, reactor)
        self._turn = NEVER  # the number of the reactor's turn in which this turn began
        self._again: Any = None  # timer to go on in the reactor's next turn

    def add(self, reader: Reader, rank: Rank = Rank.USUAL) -> None:
        """Request a turn for a connection. It reads at once if the present turn has budget left.

        :param rank: the connections of a higher rank go before all others. The caller bounds how often a
            connection has a rank other than the usual one, or gives all connections of these turns the same
            rank. A connection that waits keeps the highest rank with which it requested its turn.
        """
        held = next((each for each in Rank if reader in self._waiting[each]), None)
        if held is None or rank < held:
            self.discard(reader)
            self._waiting[rank][reader] = None
        if self._next is None:
            self._begin()
        self._read()

    def discard(self, reader: Reader) -> None:
        """Withdraw the request of a connection."""
        for readers in self._waiting.values():
            readers.pop(reader, None)

    def close(self) -> None:
        """Drop all requests."""
        for readers in self._waiting.values():
            readers.clear()
        for timer in filter(None, (self._next, self._again)):
            timer.cancel()
        self._next = self._again = None

    def _next_queue(self) -> dict[Reader, None]:
        return next(filter(None, self._waiting.values()), {})

    def _may_read(self, queue: dict[Reader, None]) -> bool:
        if queue is not self._waiting[Rank.USUAL]:
            return self._left > 0
        return self._left > self._owed and self._has_time()

    def _has_time(self) -> bool:
        """Return True if the reactor's turn has time for a slice; else go on in the next turn."""
        if self._share.may_begin():
            return True
        if self._again is None:
            self._again = self._reactor.callLater(0, self._go_on)
        return False

    def _go_on(self) -> None:
        self._again = None
        self._read()

    def _begin(self) -> None:
        if self._time is not None:
            self._turn = self._time.number
        owed = max(0, self._owed - self._budget) + max(0, -self._left)
        self._owed = min(owed, MOST_OWED * self._budget)
        self._left = self._budget
        self._next = self._reactor.callLater(self._pause, self._next_turn)

    def _next_turn(self) -> None:
        if self._time is not None and self._time.number == self._turn:  # the sockets were read before
            self._next = self._reactor.callLater(0, self._next_turn)
            return
        self._next = None
        if self._next_queue() or self._owed or self._left < 0:
            self._begin()
            self._read()

    def _read(self) -> None:
        if self._reading:  # called from inside a slice: a reader adds itself, or an answer ends
            return
        self._reading = True
        try:
            while (queue := self._next_queue()) and self._may_read(queue):
                is_first = queue is self._waiting[Rank.FIRST]
                reader = next(reversed(queue) if is_first else iter(queue))
                del queue[reader]
                began = self._reactor.seconds()
                self._left -= max(LEAST, reader.read_slice(self._slice_size))
                if queue is self._waiting[Rank.USUAL]:
                    self._share.spend(self._reactor.seconds() - began)
        finally:
            self._reading = False
