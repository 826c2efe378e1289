"""`Waiters`: the Deferreds that wait for one thing, served in order and cancellable.

Wherever this package gives out a Deferred that may have to wait, it comes from here, so that
each one ends exactly once: with a result, with an error, or cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class Waiters(Generic[T]):
    """Deferreds in the order in which they began to wait.

    A cancelled one leaves the queue at once, so that it takes no result that another,
    or nobody yet, should have had.
    """

    def __init__(self) -> None:
        self._waiting: dict[Deferred[T], None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self) -> Deferred[T]:
        """A new Deferred, at the end of the queue."""
        waiter: Deferred[T] = Deferred(self._leave)
        self._waiting[waiter] = None
        return waiter

    def _leave(self, waiter: Deferred[T]) -> None:
        del self._waiting[waiter]

    def first(self) -> Deferred[T]:
        """Take the one that has waited longest out of the queue."""
        waiter = next(iter(self._waiting))
        del self._waiting[waiter]
        return waiter

    def fire(self, result: T) -> None:
        """End all that wait now with this result; those who begin to wait meanwhile stay."""
        for waiter in self._taking():
            waiter.callback(result)

    def fail(self, make_error: Callable[[], Exception]) -> None:
        """End all that wait now with an error of their own; those who come meanwhile stay."""
        for waiter in self._taking():
            waiter.errback(make_error())

    def _taking(self) -> Iterator[Deferred[T]]:
        for waiter in tuple(self._waiting):
            if waiter in self._waiting:  # else cancelled by what an earlier one did
                del self._waiting[waiter]
                yield waiter
