"""A bounded queue of received lines that are not read yet, and the reads that wait for a line.

`ReceiveQueue` is the queue. `Messages` iterates over it in an ``async for``, without a Deferred for a line
that is already there. Neither class knows of connections: the owner of the queue pauses and resumes the
socket. This module touches no network. Next to read: `pair`, which has such a queue.
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
"""Number of further reads that are answered at once if the callback of a read begins them."""


class ReceiveQueue(Generic[T]):
    """A queue of lines. Each line is decoded when it is read.

    :param decode: function from a line to a message. If it raises, only that read fails.
    :param limit: number of lines at which `pause` is called, at least 1. `resume` is called when half of them
        are read. The queue can exceed the limit only by the rest of one chunk from the network.
    :raises ValueError: if `limit` is below 1. The error names it ``max_unread``, the user's name for it.
    :ivar lines: the unread lines, oldest first.
    :ivar readers: the reads that wait for a line.
    :ivar serving: True while waiting reads are being answered.
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
        self.serving: bool = False
        self.paused: bool = False
        self._direct = 0  # reads answered at once during the callback of another read

    def __len__(self) -> int:
        """Return the number of lines that no waiting read will take."""
        return max(0, len(self.lines) - len(self.readers))

    def put(self, lines: list[bytes]) -> None:
        """Add lines in order, and answer waiting reads."""
        self.lines.extend(lines)
        self._serve()
        if len(self.lines) >= self._limit and not self.paused:
            self.paused = True
            self._pause()

    def clear(self) -> int:
        """Drop all lines, and return their number."""
        dropped = len(self.lines)
        self.lines.clear()
        if self.paused:
            self.paused = False
            self._resume()
        return dropped

    def may_take(self) -> bool:
        """Return True if there is a line and no read waits, so that `take_message` is fair."""
        return bool(self.lines) and not self.readers.waiting

    def take_message(self) -> T:
        """Return the next message. There must be one."""
        line = self.lines.popleft()
        if self.paused and len(self.lines) <= self._limit // 2:
            self.paused = False
            self._resume()
        return self._decode(line)

    def get(self) -> Deferred[T]:
        """Return a Deferred of the next message. It fires at once if there is one and no other read waits."""
        if not self.may_take() or self._direct >= MAX_DIRECT:
            return self.readers.wait()
        self._direct += self.serving
        try:
            return succeed(self.take_message())
        except Exception:
            return fail()

    def _serve(self) -> None:
        """Answer the reads in one loop, so that callbacks that read again nest at most `MAX_DIRECT` deep."""
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
            message = self.take_message()
        except Exception:
            reader.errback()
        else:
            reader.callback(message)

    def fail(self, make_error: Callable[[], Exception]) -> None:
        """Fail all waiting reads with an error. The lines stay."""
        self.readers.fail(make_error)


class Messages(Generic[T]):
    """Asynchronous iterator over the messages of a queue, until its pair is closed.

    :param inbox: the queue. Messages that are already there come from it without a Deferred.
    :param read: function that waits for the next message.
    :param closed: function that returns True if the pair is closed.
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
            return self._inbox.take_message()
        try:
            return await self._read()
        except (PairClosedError, NotConnectedError):
            if self._closed():
                raise StopAsyncIteration from None
            raise
