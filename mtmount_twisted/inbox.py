"""The lines that came and were not read yet, bounded, and the reads that wait for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, execute

from .waiting import Waiters

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue of lines, each decoded when it is read.

    :param decode: line -> message; what it raises fails that one read.
    :param limit: at this many lines `pause` is called, and `resume` when half of them are
        read. It bounds the queue but for what one chunk from the network still holds.
    """

    def __init__(
        self,
        decode: Callable[[bytes], T],
        limit: int,
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._decode = decode
        self._limit = limit
        self._pause = pause
        self._resume = resume
        self._lines: deque[bytes] = deque()
        self._readers: Waiters[T] = Waiters()
        self._serving = False
        self.paused = False

    def __len__(self) -> int:
        """How many lines are there for reads that are yet to come."""
        return max(0, len(self._lines) - len(self._readers))

    def put(self, lines: list[bytes]) -> None:
        """Add lines, in order, and serve the reads that wait."""
        self._lines.extend(lines)
        self._serve()
        if len(self._lines) >= self._limit and not self.paused:
            self.paused = True
            self._pause()

    def get(self) -> Deferred[T]:
        """The next message: at once if one is there and nobody waits for it, else when it comes."""
        reader = self._readers.wait()
        self._serve()
        return reader

    def _serve(self) -> None:
        """One loop serves all, so that a callback that reads again does not grow the stack."""
        if self._serving:
            return
        self._serving = True
        while self._readers and self._lines:
            execute(self._take).chainDeferred(self._readers.first())
        self._serving = False

    def _take(self) -> T:
        line = self._lines.popleft()
        if self.paused and len(self._lines) <= self._limit // 2:
            self.paused = False
            self._resume()
        return self._decode(line)

    def fail(self, make_error: Callable[[], Exception]) -> None:
        """End the reads that wait with an error; the lines stay."""
        self._readers.fail(make_error)
