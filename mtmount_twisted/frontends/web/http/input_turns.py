"""Turns for reading: what the page's clients send is read in slices, so that the mount's messages can wait.

Twisted reads up to 64 KiB from each socket in one turn of the reactor, and an HTTP parser works on each line
and each chunk of it: tens of thousands, if a client means it. Here a turn of the reactor parses `PER_TURN`
bytes of all connections together, and of one connection `SLICE` bytes before the next has its turn. Values
only: no Twisted. Next to read: `site`.
"""

from __future__ import annotations

from typing import Any, Protocol

SLICE = 512
"""How many bytes of one connection are read at once; a short request has fewer."""

PER_TURN = 2048
"""How many bytes of all connections are read in one turn of the reactor: 400 short headers, in 1 ms."""

LEAST = 64
"""As how many bytes a shorter slice counts: to refuse what is no request costs the same, however short."""


class Reader(Protocol):
    """A connection with input that was not read yet."""

    def read_slice(self, most: int) -> int:
        """Read so many bytes at most, and add itself again if more can be read; it must not raise.

        :returns: how many bytes it read.
        """


class InputTurns:
    """Gives connections their turns to read, in the order in which they asked.

    :param reactor: an ``IReactorTime``.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._waiting: dict[Reader, None] = {}
        self._next: Any = None  # the next turn of the reactor, if something was read in this one
        self._left = 0
        self._reading = False

    def add(self, reader: Reader) -> None:
        """Have a connection read: at once if this turn of the reactor has bytes left, else in a later one."""
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
        self._left = PER_TURN
        self._next = self._reactor.callLater(0, self._next_turn)

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
                self._left -= max(LEAST, reader.read_slice(SLICE))
        finally:
            self._reading = False
