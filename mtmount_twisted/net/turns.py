"""Turns for reading: what clients send is read in slices, so that the others, and the mount, wait for little.

Twisted reads up to 64 KiB from each socket in one turn of the reactor, and a parser works on each line of it:
thousands, if a client means it. Here a budget of bytes holds for all connections together, and a slice of one
connection is read before the next has its turn.

Values only: no Twisted. Next to read: `protocol` and ``frontends.web.http.site``, whose connections take
turns.
"""

from __future__ import annotations

from typing import Any, Protocol

LEAST = 64
"""As how many bytes a shorter slice counts, and each line in one: to refuse a line costs the same, however
short."""


class Reader(Protocol):
    """A connection with input that was not read yet."""

    def read_slice(self, most: int) -> int:
        """Read so many bytes at most, and add itself again if more can be read; it must not raise.

        :returns: as how many bytes that counts.
        """


class Turns:
    """Gives connections their turns to read, in the order in which they asked.

    :param reactor: an ``IReactorTime``.
    :param budget: how many bytes of all connections are read until the next turn begins.
    :param slice_size: how many bytes of one connection are read at once.
    :param pause: how long after one turn's beginning the next begins, in seconds; 0 for the reactor's next.
    """

    def __init__(self, reactor: Any, budget: int, slice_size: int, pause: float = 0.0) -> None:
        self._reactor = reactor
        self._budget = budget
        self._slice_size = slice_size
        self._pause = pause
        self._waiting: dict[Reader, None] = {}
        self._next: Any = None  # when the next turn begins, if something was read in this one
        self._left = 0
        self._reading = False

    def add(self, reader: Reader) -> None:
        """Have a connection read: at once if this turn has bytes left, else in a later one."""
        self._waiting.setdefault(reader)
        if self._next is None:
            self._begin()
        self._read()

    def discard(self, reader: Reader) -> None:
        """Give a connection no turn any more."""
        self._waiting.pop(reader, None)

    def close(self) -> None:
        """Give no turn to any of those that wait."""
        self._waiting.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _begin(self) -> None:
        self._left = self._budget
        self._next = self._reactor.callLater(self._pause, self._next_turn)

    def _next_turn(self) -> None:
        self._next = None
        if self._waiting:
            self._begin()
            self._read()

    def _read(self) -> None:
        if self._reading:  # a reader that adds itself, or an answer that ends, while another slice is read
            return
        self._reading = True
        try:
            while self._waiting and self._left > 0:
                reader = next(iter(self._waiting))
                del self._waiting[reader]
                self._left -= max(LEAST, reader.read_slice(self._slice_size))
        finally:
            self._reading = False
