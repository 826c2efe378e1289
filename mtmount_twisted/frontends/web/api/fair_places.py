"""`FairPlaces`: a few places for work, shared fairly by users, so that no user delays the others for long.

The class decides the order of the work. A function passed to it begins the work: in a thread, or in another
process. Next to read: `history`, which reads the journal in threads; ``frontends.broker.reading``, which lets
the child process search.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

T = TypeVar("T")

MOST_AT_WORK = 4
"""The number of places. A user has at most one."""

FOR_OBSERVERS = 1
"""The largest number of places of observers. Python runs one thread at a time. With three reading threads the
reactor would wait for Python's lock at each system call, and delay the holder's commands (wire p99 20 ms
instead of 8). The process for the broker has one thread for searches and commands. The other places are for
users with the right to stop or command."""

PER_USER = 2
"""The largest number of queries of one user at once: one runs, the other waits."""

TOO_MANY = f"{PER_USER} queries of yours are running or waiting: wait for one to end"
"""The reason why a further query is refused."""

SHARED_TIME = 1.0
"""The longest query of an observer while another user waits for a place, in seconds."""

GAVE_WAY = f"the query took longer than {SHARED_TIME:g} s while other users waited: ask for a shorter time"
"""The reason for the end of such a query."""


class FairPlaces:
    """Do work: at most one piece at a time for each share, and the shares in turn.

    A share is the name of a user, or of a network if there are no tokens. The shares of observers come after
    the others, and have at most `FOR_OBSERVERS` places.
    """

    def __init__(self) -> None:
        self._running: set[str] = set()
        self._observers: set[str] = set()  # the shares of observers that run or wait
        # Functions that start the work of a share; the next share comes first.
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        self._is_beginning = False

    def count(self, share: str) -> int:
        """Return the number of a share's pieces of work that run or wait."""
        return (share in self._running) + len(self._waiting.get(share, ()))

    @property
    def are_short(self) -> bool:
        """True if a share waits for a place; it may be read in any thread."""
        return any(share not in self._running for share in tuple(self._waiting))

    def run(
        self,
        share: str,
        work: Callable[[], Deferred[T]],
        begins: Callable[[Deferred[T]], object] = lambda done: None,
        observes: bool = False,
    ) -> Deferred[T]:
        """Do some work once a place is free and no other work of its share runs.

        :param work: begins the work, and returns a Deferred that fires when the work has ended.
        :param begins: called with the returned Deferred just before the work begins.
        :param observes: True if the share is that of an observer.
        :returns: a Deferred of the result of the work. A cancel removes work that waits. Work that runs keeps
            its place until it ends, and its result is dropped.
        """
        done: Deferred[T] = Deferred(lambda _: self._forget(share, start))

        def start() -> None:
            begins(done)
            maybeDeferred(work).addBoth(ended)

        def ended(result: T | Failure) -> None:
            self._running.discard(share)
            self._drop_observer(share)
            if share in self._waiting:  # the share has had its turn, and goes to the end
                self._waiting[share] = self._waiting.pop(share)
            if not done.called:  # a cancelled Deferred has been called
                done.callback(result)
            self._begin()

        if observes:
            self._observers.add(share)
        self._waiting.setdefault(share, deque()).append(start)
        self._begin()
        return done

    def _forget(self, share: str, start: Callable[[], None]) -> None:
        waiting = self._waiting.get(share, ())
        if start in waiting:
            self._waiting[share].remove(start)
            if not waiting:
                del self._waiting[share]
                self._drop_observer(share)

    def _drop_observer(self, share: str) -> None:
        if not self.count(share):
            self._observers.discard(share)

    def _next_share(self) -> str | None:
        """Return the share that gets the next place: first shares with rights, then an observer's if it
        may."""
        ready = [share for share in self._waiting if share not in self._running]
        with_rights = [share for share in ready if share not in self._observers]
        if not with_rights and len(self._running & self._observers) >= FOR_OBSERVERS:
            return None
        return next(iter(with_rights or ready), None)

    def _begin(self) -> None:
        if self._is_beginning:  # work that ends at once: the loop below goes on
            return
        self._is_beginning = True
        try:
            while len(self._running) < MOST_AT_WORK:
                share = self._next_share()
                if share is None:
                    return
                waiting = self._waiting[share]
                start = waiting.popleft()
                if not waiting:
                    del self._waiting[share]
                self._running.add(share)
                start()
        finally:
            self._is_beginning = False
