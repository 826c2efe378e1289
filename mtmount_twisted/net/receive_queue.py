"""The lines that came and were not read yet, bounded, and the reads that wait for one.

`ReceiveQueue` is the queue; `Messages` goes through it in an ``async for``, without a Deferred for what
is there already. Neither knows of connections: whoever makes an inbox pauses and resumes the
socket for it. May touch no network. Next to read: `pair`, which has one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from mtmount_twisted.errors import NotConnectedError, PairClosedError

from .waiting import Waiters

T = TypeVar("T")

MAX_DIRECT = 20
"""How many reads in a row a callback may have answered at once while it is being served itself."""


class ReceiveQueue(Generic[T]):
    """A queue of lines, each decoded when it is read.

    :param decode: line -> message; what it raises fails that one read.
    :param limit: at this many lines `pause` is called, and `resume` when half of them are
        read; at least 1. It bounds the queue but for what one chunk from the network still holds.
    :raises ValueError: if `limit` is below 1; it is named as the user knows it, ``max_unread``.
    :ivar lines: what was not read yet, oldest first.
    :ivar readers: who waits for a line.
    :ivar serving: True while those who wait are given lines.
    :ivar paused: True from `pause` to `resume`.
    """

    def __init__(
        self,
        decode: Callable[[bytes], T],
        limit: int,
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        if limit < 1:
            raise ValueError(f"max_unread: expected 1 or more, got {limit!r}")
        self._decode = decode
        self._limit = limit
        self._pause = pause
        self._resume = resume
        self.lines: deque[bytes] = deque()
        self.readers: Waiters[T] = Waiters()
        self.serving = False
        self.paused = False
        self._direct = 0  # reads answered at once within the callback of the one that is served

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

    def clear(self) -> int:
        """Drop all lines; how many those were."""
        dropped = len(self.lines)
        self.lines.clear()
        if self.paused:
            self.paused = False
            self._resume()
        return dropped

    def may_take(self) -> bool:
        """True if a line is there that nobody waits for, so that `take` is fair."""
        return bool(self.lines) and not self.readers.waiting

    def take(self) -> T:
        """The next message of those that are there; there must be one."""
        line = self.lines.popleft()
        if self.paused and len(self.lines) <= self._limit // 2:
            self.paused = False
            self._resume()
        return self._decode(line)

    def get(self) -> Deferred[T]:
        """The next message: at once if one is there and nobody waits for it, else when it comes."""
        if not self.may_take() or self._direct >= MAX_DIRECT:
            return self.readers.wait()
        self._direct += self.serving
        try:
            return succeed(self.take())
        except Exception:
            return fail()

    def _serve(self) -> None:
        """One loop serves all, so that callbacks that read again grow the stack by `MAX_DIRECT` at most."""
        if self.serving:
            return
        self.serving = True
        try:
            while self.lines and self.readers.waiting:
                self._direct = 0
                self._serve_one(self.readers.first())
        finally:
            self.serving = False
            self._direct = 0

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


class Messages(Generic[T]):
    """What ``async for`` goes through: the messages of an inbox, until its pair is closed.

    :param inbox: where messages are taken from with no Deferred, if they are there already.
    :param read: waits for the next one, if not.
    :param closed: is the pair closed?
    """

    def __init__(
        self, inbox: ReceiveQueue[T], read: Callable[[], Deferred[T]], closed: Callable[[], bool]
    ) -> None:
        self._inbox = inbox
        self._read = read
        self._closed = closed

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._inbox.may_take():
            return self._inbox.take()
        try:
            return await self._read()
        except (PairClosedError, NotConnectedError):
            if self._closed():
                raise StopAsyncIteration from None
            raise
