"""`Waiters`: Deferreds that wait for one event, served in order and cancellable.

If several callers may wait for one event (a message, room to write, a connection, the end of a close), their
Deferreds come from this class. So each Deferred ends exactly once: with a result, with an error, or
cancelled. The other Deferreds of this package come from coroutines that await Deferreds of this class.

This module touches nothing but Deferreds. Next to read: `receive_queue`, `protocol` and `halves`, which use
it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class Waiters(Generic[T]):
    """Deferreds in the order in which they began to wait.

    A cancelled Deferred leaves the queue at once, so that it consumes no result meant for another one.

    :ivar waiting: the Deferreds, as keys. An `OrderedDict` removes from either end in constant time; a plain
        dict does not.
    """

    def __init__(self) -> None:
        self.waiting: OrderedDict[Deferred[T], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.waiting)

    def wait(self) -> Deferred[T]:
        """Return a new Deferred at the end of the queue."""
        waiter: Deferred[T] = Deferred(self._leave)
        self.waiting[waiter] = None
        return waiter

    def _leave(self, waiter: Deferred[T]) -> None:
        del self.waiting[waiter]

    def first(self) -> Deferred[T]:
        """Remove and return the Deferred that has waited longest."""
        return self.waiting.popitem(last=False)[0]

    def fire(self, result: T) -> None:
        """End all present Deferreds with this result. Deferreds that begin to wait in a callback stay."""
        for waiter in self._taking():
            waiter.callback(result)

    def fail(self, make_error: Callable[[], Exception]) -> None:
        """End all present Deferreds with an error each. Deferreds that begin to wait in a callback stay."""
        for waiter in self._taking():
            waiter.errback(make_error())

    def _taking(self) -> Iterator[Deferred[T]]:
        for waiter in tuple(self.waiting):
            if waiter in self.waiting:  # a callback of an earlier Deferred may have cancelled it
                del self.waiting[waiter]
                yield waiter
