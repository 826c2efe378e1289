"""Execution of calls that may hang for ever, in threads that can be abandoned.

A name server, a disk or a network file system can hang a call for any time. Such a call can't be stopped,
only abandoned. So its thread is a daemon thread, for which the end of the program does not wait. The threads
of Twisted's own pools are unsuitable: a pool joins its threads when it stops, in the reactor's thread, and a
full pool delays all other work.

This module touches nothing but threads. Next to read: `resolving`, which uses the last two functions.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

T = TypeVar("T")


class NoThreadError(OSError):
    """The system can't start a thread, because of a limit on threads or for want of memory."""


def start_thread(run: Callable[[], object], name: str) -> threading.Thread:
    """Start a daemon thread.

    :param name: name of the thread, for a debugger.
    :raises NoThreadError: if the system can't start it.
    """
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise NoThreadError(errno.EAGAIN, f"the system can't start a thread: {error}") from error
    return thread


def in_daemon_thread(reactor: Any, work: Callable[[], T], name: str) -> Deferred[T]:
    """Call a function in a separate thread.

    :param reactor: an ``IReactorFromThreads``; the Deferred fires in its thread.
    :param name: name of the thread, for a debugger.
    :returns: a Deferred that fires with the result of `work`, or fails with its error, even `SystemExit`. It
        fails with a `NoThreadError` if the thread can't be started.
        Cancelling the Deferred abandons the thread; its result is then dropped.
    """
    result: Deferred[T] = Deferred()

    def run() -> None:
        outcome: T | Failure
        try:
            outcome = work()
        except BaseException:  # uncaught, the error would end the thread unnoticed
            outcome = Failure()
        reactor.callFromThread(result.callback, outcome)

    try:
        start_thread(run, name)
    except NoThreadError:
        return fail()
    return result


def call_each_within(
    seconds: float, works: Iterable[Callable[[], T]], name: str, late: str
) -> list[T | BaseException]:
    """Call several functions at once, each in a separate thread. Block until all return or the time is over.

    Use it at the start of a program, before the reactor runs.

    :param seconds: longest total time in seconds.
    :param name: name of the threads, for a debugger.
    :param late: text of the `TimeoutError` for a function that has not returned in time.
    :returns: the result or the error of each function, in their order; a `NoThreadError` for a thread that
        can't be started.
    """

    def run(number: int, work: Callable[[], T]) -> None:
        try:
            outcomes[number] = work()
        except BaseException as error:  # uncaught, the error would end the thread unnoticed
            outcomes[number] = error

    outcomes: dict[int, T | BaseException] = {}
    threads: list[threading.Thread] = []
    end = time.monotonic() + seconds
    works = tuple(works)
    for number, work in enumerate(works):
        try:
            threads.append(start_thread(partial(run, number, work), name))
        except NoThreadError as error:
            outcomes[number] = error
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [outcomes.get(number, TimeoutError(late)) for number in range(len(works))]
