"""`FairThreads`: a few threads shared fairly by many users, so that no user delays the others for long.

The class decides the order of the work. A function passed to it starts the threads. Next to read: `history`,
which reads the journal in these threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

T = TypeVar("T")

THREADS = 4
"""The largest number of threads at work. A user has at most one."""

FOR_OBSERVERS = 1
"""The largest number of threads at work for observers. Python runs one thread at a time. With three reading
threads the reactor would wait for Python's lock at each system call, and delay the holder's commands (wire
p99 20 ms instead of 8). The other threads are for users with the right to stop or command."""


class InThread(Protocol):
    """Caller of functions in new threads."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """Call a function in a new thread, and return a Deferred of its result."""


class FairThreads:
    """Call functions in threads: at most one at a time for each share, and the shares in turn.

    A share is the name of a user, or of a network if there are no tokens. The shares of observers come after
    the others, and have at most `FOR_OBSERVERS` threads.
    """

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._running: set[str] = set()
        self._observers: set[str] = set()  # the shares of observers that run or wait
        # Functions that start the work of a share in a thread; the next share comes first.
        self._waiting: dict[str, deque[Callable[[], None]]] = {}

    def count(self, share: str) -> int:
        """Return the number of a share's functions that run or wait."""
        return (share in self._running) + len(self._waiting.get(share, ()))

    @property
    def are_short(self) -> bool:
        """True if a share waits for a thread; it may be read in any thread."""
        return any(share not in self._running for share in tuple(self._waiting))

    def run(
        self,
        share: str,
        call: Callable[[], T],
        begins: Callable[[Deferred[T]], object] = lambda done: None,
        observes: bool = False,
    ) -> Deferred[T]:
        """Call a function in a thread once a thread is free and no other function of its share runs.

        :param begins: called with the returned Deferred when the thread starts.
        :param observes: True if the share is that of an observer.
        :returns: a Deferred of the result of `call`. A cancel removes a function that waits. A function that
            runs keeps its thread until it ends, and its result is dropped.
        """
        done: Deferred[T] = Deferred(lambda _: self._forget(share, start))

        def start() -> None:
            begins(done)
            maybeDeferred(self._in_thread, call).addBoth(ended)

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
        """Return the share that gets the next thread: first shares with rights, then an observer's if it
        may."""
        ready = [share for share in self._waiting if share not in self._running]
        with_rights = [share for share in ready if share not in self._observers]
        if not with_rights and len(self._running & self._observers) >= FOR_OBSERVERS:
            return None
        return next(iter(with_rights or ready), None)

    def _begin(self) -> None:
        while len(self._running) < THREADS:
            share = self._next_share()
            if share is None:
                return
            waiting = self._waiting[share]
            start = waiting.popleft()
            if not waiting:
                del self._waiting[share]
            self._running.add(share)
            start()
