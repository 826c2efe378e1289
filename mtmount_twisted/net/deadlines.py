"""Deadlines that are fair to a peer when the process was held up.

A reactor calls the timers that are due before it reads its sockets. After a pause (SIGSTOP, a suspended
virtual machine, a machine that is overloaded) every deadline is over at once, while what the peers sent in
time still lies in the system's buffers. A `Deadline` that comes late therefore lets the reactor read first,
and judges then: what has arrived cancels it or changes what it finds.

Use a `Deadline` wherever a timer judges somebody else: a peer, a user, a client. A timer that only does
work of our own at its time is a plain ``callLater``. ``tests/net/test_deadlines.py`` holds the list of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

SLACK = 0.1
"""How late a timer may come, in seconds, and count as in time: a turn of a busy reactor is shorter. It judges
one turn later, because the process may have gone on just before."""

MOST_TURNS = 100
"""How many turns of the reactor a late timer waits at most. In a turn Twisted reads up to 64 KiB from each
socket (`twisted.internet.abstract.FileDescriptor.bufferSize`), and Linux keeps 6 MiB at most of what
arrived (the last figure of ``net.ipv4.tcp_rmem``). A turn with nothing to read takes some 20 microseconds."""

LEAST_TURNS = 4
"""How many turns it waits at least: to accept a connection, to read from it, and for what follows."""

LONGEST = 1.0
"""After how many seconds it waits for no more than `LEAST_TURNS`: an overloaded reactor, whose turns are
long, is late all the time, and its deadlines must come nevertheless."""


@implementer(IDelayedCall)
class Deadline:
    """A call that judges whether somebody was in time, and lets the reactor read first if it comes late.

    :param clock: an ``IReactorTime`` whose `seconds` is monotonic.
    :param delay: seconds from now until it is due. A negative one is a deadline that was over before: it
        counts as late from the start if that is more than `SLACK`.
    :param judge: called once, unless it is cancelled before; with the arguments.
    """

    def __init__(
        self, clock: IReactorTime, delay: float, judge: Callable[..., object], *args: Any, **kw: Any
    ) -> None:
        self._clock = clock
        self._judge = judge
        self._args = args
        self._kw = kw
        self._set(delay)

    def _set(self, delay: float) -> None:
        self._due = self._clock.seconds() + delay
        self._came: float | None = None
        self._turns = 0
        self._call: IDelayedCall = self._clock.callLater(max(0.0, delay), self._come)

    def _come(self) -> None:
        """In runUntilCurrent, before the sockets are read; ``callLater(0)`` comes after they were."""
        now = self._clock.seconds()
        if self._came is None:
            self._came = now
        if self._turns < self._turns_needed(self._came, now):
            self._turns += 1
            self._call = self._clock.callLater(0, self._come)
        else:
            self._judge(*self._args, **self._kw)

    def _turns_needed(self, came: float, now: float) -> int:
        if came - self._due <= SLACK:
            return 1
        return LEAST_TURNS if now - came > LONGEST else MOST_TURNS

    def getTime(self) -> float:
        """When it is due, on the clock in seconds, if it does not come late."""
        return self._due

    def cancel(self) -> None:
        """Judge nothing.

        :raises twisted.internet.error.AlreadyCalled: if it has judged.
        :raises twisted.internet.error.AlreadyCancelled: if it is cancelled already.
        """
        self._call.cancel()

    def reset(self, secondsFromNow: float) -> None:
        """Be due so many seconds from now instead; raises as `cancel` does."""
        self._call.cancel()
        self._set(secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """Be due so many seconds later than before; raises as `cancel` does."""
        self.reset(self._due + secondsLater - self._clock.seconds())

    def active(self) -> bool:
        """True until it judges or is cancelled."""
        return bool(self._call.active())


@implementer(IReactorTime)
class FairClock:
    """A clock whose timers are each a `Deadline`: for what takes a clock, such as `Deferred.addTimeout`.

    :param clock: an ``IReactorTime`` whose `seconds` is monotonic.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def seconds(self) -> float:
        """The clock's time."""
        return float(self._clock.seconds())

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Deadline:
        """A `Deadline` that calls this."""
        return Deadline(self._clock, delay, callable, *args, **kw)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """All timers of the clock."""
        return list(self._clock.getDelayedCalls())
