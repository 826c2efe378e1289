"""`FairThreads`: a few threads shared fairly by many users, so that no user delays the others for long.

The class decides the order of the work. A function passed to it starts the threads. Next to read: `history`,
which reads the journal in these threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, maybeDeferred

THREADS = 3
"""The most threads at work. A user has at most one, so that two users with slow queries leave one free."""


class _Work(NamedTuple):
    done: Deferred[Any]
    call: Callable[[], Any]
    begins: Callable[[Deferred[Any]], object]


class FairThreads:
    """Call functions in threads: at most one at a time for each share, and the shares in turn.

    A share is the name of a user, or of a network if there are no tokens.

    :param in_thread: calls a function in a new thread, and returns a Deferred of its result.
    """

    def __init__(self, in_thread: Callable[[Callable[[], Any]], Deferred[Any]]) -> None:
        self._in_thread = in_thread
        self._running: set[str] = set()
        self._waiting: dict[str, deque[_Work]] = {}  # the next share comes first

    def count(self, share: str) -> int:
        """Return the number of a share's functions that run or wait."""
        return (share in self._running) + len(self._waiting.get(share, ()))

    def run(
        self,
        share: str,
        call: Callable[[], Any],
        begins: Callable[[Deferred[Any]], object] = lambda done: None,
    ) -> Deferred[Any]:
        """Call a function in a thread once a thread is free and no other function of its share runs.

        :param begins: called with the returned Deferred when the thread starts.
        :returns: a Deferred of the result of `call`. A cancel removes a function that waits. A function that
            runs keeps its thread until it ends, and its result is dropped.
        """
        done: Deferred[Any] = Deferred(lambda _: self._forget(share, work))
        work = _Work(done, call, begins)
        self._waiting.setdefault(share, deque()).append(work)
        self._begin()
        return done

    def _forget(self, share: str, work: _Work) -> None:
        waiting = self._waiting.get(share, ())
        if work in waiting:
            self._waiting[share].remove(work)
            if not waiting:
                del self._waiting[share]

    def _begin(self) -> None:
        while len(self._running) < THREADS:
            share = next((each for each in self._waiting if each not in self._running), None)
            if share is None:
                return
            waiting = self._waiting[share]
            work = waiting.popleft()
            if not waiting:
                del self._waiting[share]
            self._running.add(share)
            work.begins(work.done)
            running = maybeDeferred(self._in_thread, work.call)
            running.addBoth(self._ended, share, work.done)

    def _ended(self, result: Any, share: str, done: Deferred[Any]) -> None:
        self._running.discard(share)
        if share in self._waiting:  # the share has had its turn, and goes to the end
            self._waiting[share] = self._waiting.pop(share)
        if not done.called:  # a cancelled Deferred has been called
            done.callback(result)
        self._begin()
