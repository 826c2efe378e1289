"""Work that may hang for ever, in threads that nobody waits for.

A name server, a disk and a network file system can hang a call for longer than anybody waits. Such a call
can't be ended, only left behind, so its thread is a daemon: the end of the program does not wait for it. The
threads of Twisted's own pools are no place for such work: a pool joins its threads when it stops, in the
reactor's thread, and a pool that is full holds up everybody else's work.

Touches nothing but threads. Next to read: `resolving` and `daemon`, which use them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def in_daemon_thread(reactor: Any, work: Callable[[], T], name: str) -> Deferred[T]:
    """Call a function in a thread of its own.

    :param reactor: an ``IReactorFromThreads``: the result comes in its thread.
    :param name: the thread's name, for who looks at a process that hangs.
    :returns: a Deferred that fires with what `work` returns, or fails with what it raises, `SystemExit` too.
        Cancelling it abandons the thread: what comes of it then is dropped.
    """
    result: Deferred[T] = Deferred()

    def run() -> None:
        outcome: T | Failure
        try:
            outcome = work()
        except BaseException:  # which would end the thread unheard
            outcome = Failure()
        reactor.callFromThread(result.callback, outcome)

    threading.Thread(target=run, name=name, daemon=True).start()
    return result
