"""The lines that came and were not read yet, bounded, and the reads that wait for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from .waiting import Waiters

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue of lines, each decoded when it is read.

    :param decode: line -> message; what it raises fails that one read.
    :param limit: at this many lines `pause` is called, and `resume` when half of them are
        read. It bounds the queue but for what one chunk from the network still holds.
    :ivar lines: what was not read yet, oldest first.
    :ivar readers: who waits for a line.
    :ivar serving: True while those who wait are given lines.
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
        self.lines: deque[bytes] = deque()
        self.readers: Waiters[T] = Waiters()
        self.serving = False
        self.paused = False

    def __len__(self) -> int:
        """How many lines are there for reads that are yet to come."""
        return max(0, len(self.lines) - len(self.readers))

    def put(self, lines: list[bytes]) -> None:
        """Add lines, in order, and serve the reads that wait."""
        self.lines.extend(lines)
        self._serve()
        if len(self.lines) >= self._limit and not self.paused:
            self.paused = True
            self._pause()

    def take(self) -> T:
        """The next message of those that are there; there must be one."""
        line = self.lines.popleft()
        if self.paused and len(self.lines) <= self._limit // 2:
            self.paused = False
            self._resume()
        return self._decode(line)

    def get(self) -> Deferred[T]:
        """The next message: at once if one is there and nobody waits for it, else when it comes."""
        if not self.lines or self.readers.waiting or self.serving:
            return self.readers.wait()
        try:
            return succeed(self.take())
        except Exception:
            return fail()

    def _serve(self) -> None:
        """One loop serves all, so that a callback that reads again does not grow the stack."""
        if self.serving:
            return
        self.serving = True
        try:
            while self.lines and self.readers.waiting:
                self._serve_one(self.readers.first())
        finally:
            self.serving = False

    def _serve_one(self, reader: Deferred[T]) -> None:
        try:
            message = self.take()
        except Exception:
            reader.errback()
        else:
            reader.callback(message)

    def fail(self, make_error: Callable[[], Exception]) -> None:
        """End the reads that wait with an error; the lines stay."""
        self.readers.fail(make_error)
