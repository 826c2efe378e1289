"""Waiting in real time, each wait with a deadline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import deferLater

T = TypeVar("T")

STEP = 0.01
"""How often a condition is looked at, in seconds."""


SETTLED = 0.1
"""After which no packet is on its way between two idle ends, nor an acknowledgement put off, in seconds."""


class TooLate(Exception):
    """A condition did not hold in time."""


def pause(reactor: Any, seconds: float) -> Deferred[None]:
    """Fires after so many seconds."""
    return deferLater(reactor, seconds, lambda: None)


async def listening(reactor: Any, reach: Callable[[], Awaitable[T]], seconds: float = 10.0) -> T:
    """Return the result of `reach`, once the port of a starting daemon is open. The log may say that the
    daemon serves before each port is open.

    :param reach: connects to the port.
    :raises ConnectionRefusedError: if the port is not open in time.
    """
    began = reactor.seconds()
    while True:
        try:
            return await reach()
        except ConnectionRefusedError:
            if reactor.seconds() - began > seconds:
                raise
        await pause(reactor, STEP)


async def rises(reactor: Any, read: Callable[[], int], least: int, what: str, seconds: float = 10.0) -> float:
    """Wait until a number that is read anew each time is at least so much; how long that took, in seconds."""
    return await until(reactor, lambda: read() >= least, what, seconds)


async def until(reactor: Any, holds: Callable[[], object], what: str, seconds: float = 10.0) -> float:
    """Wait until something holds.

    :param what: the condition, in words.
    :returns: how long that took, in seconds.
    :raises TooLate: if it does not hold in time.
    """
    began = reactor.seconds()
    while not holds():
        if reactor.seconds() - began > seconds:
            raise TooLate(f"not within {seconds:g} s: {what}")
        await pause(reactor, STEP)
    return float(reactor.seconds() - began)
