"""Work that may hang for ever, in threads that nobody waits for.

A name server, a disk and a network file system can hang a call for longer than anybody waits. Such a call
can't be ended, only left behind, so its thread is a daemon: the end of the program does not wait for it. The
threads of Twisted's own pools are no place for such work: a pool joins its threads when it stops, in the
reactor's thread, and a pool that is full holds up everybody else's work.

Touches nothing but threads. Next to read: `resolving`, which uses both functions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def in_daemon_thread(reactor: Any, work: Callable[[], T], name: str) -> Deferred[T]:
    """Call a function in a thread of its own.

    :param reactor: an ``IReactorFromThreads``: the result comes in its thread.
    :param name: the thread's name, as a debugger shows it.
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


def call_each_within(
    seconds: float, works: Iterable[Callable[[], T]], name: str, late: str
) -> list[T | BaseException]:
    """Call functions at once, each in a thread of its own, and block until all return or the time is over.

    For the start of a program, before the reactor runs.

    :param seconds: how long all of them may take together.
    :param name: the threads' name, as a debugger shows it.
    :param late: the text of the `TimeoutError` that stands for a function which has not returned by then.
    :returns: in the order of the functions, what each returns or raises.
    """

    def run(number: int, work: Callable[[], T]) -> None:
        try:
            outcomes[number] = work()
        except BaseException as error:  # which would end the thread unheard
            outcomes[number] = error

    outcomes: dict[int, T | BaseException] = {}
    threads = [threading.Thread(target=run, args=each, name=name, daemon=True) for each in enumerate(works)]
    end = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [outcomes.get(number, TimeoutError(late)) for number in range(len(threads))]
