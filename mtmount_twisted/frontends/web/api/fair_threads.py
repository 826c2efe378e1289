"""`FairThreads`: a few threads for many users, none of whom can keep the others waiting.

Touches nothing but what calls a function in a thread. Next to read: `history`, which reads the journal so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, maybeDeferred

THREADS = 3
"""How many threads there are: one user has one at most, and two users with slow queries leave one."""


class _Work(NamedTuple):
    done: Deferred[Any]
    call: Callable[[], Any]
    begins: Callable[[Deferred[Any]], object]


class FairThreads:
    """Calls functions in threads: one at a time of each share, and the shares in turn.

    :param in_thread: call a function in a thread of its own, and return a Deferred of what it returns.
    """

    def __init__(self, in_thread: Callable[[Callable[[], Any]], Deferred[Any]]) -> None:
        self._in_thread = in_thread
        self._running: set[str] = set()
        self._waiting: dict[str, deque[_Work]] = {}  # the share whose turn it is comes first

    def count(self, share: str) -> int:
        """How much work of a share there is, that which waits included."""
        return (share in self._running) + len(self._waiting.get(share, ()))

    def run(
        self,
        share: str,
        call: Callable[[], Any],
        begins: Callable[[Deferred[Any]], object] = lambda done: None,
    ) -> Deferred[Any]:
        """Call a function once its share has no other at work and a thread is free.

        :param begins: called when its thread begins, with the Deferred that is returned.
        :returns: a Deferred of what `call` returns. To cancel it forgets work that waits; the thread of work
            that has begun goes on and keeps its place, and what comes of it is dropped.
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
        if share in self._waiting:  # it had its turn: the others come first
            self._waiting[share] = self._waiting.pop(share)
        if not done.called:  # else it was cancelled
            done.callback(result)
        self._begin()
