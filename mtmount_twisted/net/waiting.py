"""`Waiters`: the Deferreds that wait for one thing, served in order and cancellable.

Where several may wait for one event (a message, room to write, a connection, the end of a close),
their Deferreds come from here, so that each one ends exactly once: with a result, with an error, or
cancelled. The other Deferreds of this package come from coroutines that await these.

Touches nothing but Deferreds. Next to read: `receive_queue`, `protocol` and `halves`, which have some.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class Waiters(Generic[T]):
    """Deferreds in the order in which they began to wait.

    A cancelled one leaves the queue at once, so that it takes no result that another,
    or nobody yet, should have had.

    :ivar waiting: those Deferreds, as keys; true if there is one. It takes from either end in
        constant time, which a plain dict does not.
    """

    def __init__(self) -> None:
        self.waiting: OrderedDict[Deferred[T], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.waiting)

    def wait(self) -> Deferred[T]:
        """A new Deferred, at the end of the queue."""
        waiter: Deferred[T] = Deferred(self._leave)
        self.waiting[waiter] = None
        return waiter

    def _leave(self, waiter: Deferred[T]) -> None:
        del self.waiting[waiter]

    def first(self) -> Deferred[T]:
        """Take the one that has waited longest out of the queue."""
        return self.waiting.popitem(last=False)[0]

    def fire(self, result: T) -> None:
        """End all that wait now with this result; those who begin to wait meanwhile stay."""
        for waiter in self._taking():
            waiter.callback(result)

    def fail(self, make_error: Callable[[], Exception]) -> None:
        """End all that wait now with an error of their own; those who come meanwhile stay."""
        for waiter in self._taking():
            waiter.errback(make_error())

    def _taking(self) -> Iterator[Deferred[T]]:
        for waiter in tuple(self.waiting):
            if waiter in self.waiting:  # else cancelled by what an earlier one did
                del self.waiting[waiter]
                yield waiter
