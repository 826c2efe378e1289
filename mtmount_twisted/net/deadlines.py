"""Deadlines that stay fair to a peer after this process was suspended.

A reactor calls the timers that are due before it reads its sockets. After a pause (SIGSTOP, a suspended
virtual machine, an overloaded machine) every deadline has passed at once, while data that the peers sent in
time still lies in the system's buffers. If a `Deadline` fires late, it therefore lets the reactor read first
and judges afterwards: the data may cancel it, or change its result.

Use a `Deadline` for every timer that judges a peer, a user or a client, and a `PeerDeadline` if hundreds of
peers without rights can have one each. For a timer that only starts work of our own, use plain ``callLater``.
``tests/net/test_deadlines.py`` lists both kinds of timers.

It touches only a clock. Next to read: `protocol`, which has two deadlines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from .endings import end_in_turn

SLACK = 0.1
"""Largest delay of a timer in seconds that still counts as on time: a turn of a busy reactor is shorter. Even
a timer on time judges one turn later, because the process may have resumed just before."""

MOST_TURNS = 100
"""Largest number of turns of the reactor that a late timer waits. In a turn Twisted reads up to 64 KiB from
each socket (`twisted.internet.abstract.FileDescriptor.bufferSize`), and Linux buffers at most 6 MiB of
received data (the last figure of ``net.ipv4.tcp_rmem``). From a client's socket Twisted reads less
(`protocol.RECEIVED_AT_ONCE`): the longest line takes 17 turns. A turn with nothing to read takes some 20
microseconds."""

LEAST_TURNS = 4
"""Smallest number of turns that a late timer waits: to accept a connection, read it, and act on the data."""

LONGEST = 1.0
"""Time in seconds after which a late timer waits for only `LEAST_TURNS`. The turns of an overloaded reactor
are long and all its timers late, but its deadlines must still be judged."""


@implementer(IDelayedCall)
class Deadline:
    """A timer that judges whether a peer was in time. If it fires late, it lets the reactor read first.

    :param clock: an ``IReactorTime`` with a monotonic `seconds`.
    :param delay: seconds from now. A negative delay is a deadline that has already passed. If it passed more
        than `SLACK` ago, it counts as late from the start.
    :param judge: called once with the arguments, unless the deadline is cancelled first.
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
        """Count turns. Due timers run before the sockets are read, and ``callLater(0)`` runs after that."""
        now = self._clock.seconds()
        if self._came is None:
            self._came = now
        if self._turns < self._turns_needed(self._came, now):
            self._turns += 1
            self._call = self._clock.callLater(0, self._come)
        else:
            self._end()

    def _end(self) -> None:
        self._judge(*self._args, **self._kw)

    def _turns_needed(self, came: float, now: float) -> int:
        if came - self._due <= SLACK:
            return 1
        return LEAST_TURNS if now - came > LONGEST else MOST_TURNS

    def getTime(self) -> float:
        """Return the time in seconds on the clock at which the deadline is due, if it does not fire late."""
        return self._due

    def cancel(self) -> None:
        """Cancel the deadline.

        :raises twisted.internet.error.AlreadyCalled: if it has judged.
        :raises twisted.internet.error.AlreadyCancelled: if it is already cancelled.
        """
        self._call.cancel()

    def reset(self, secondsFromNow: float) -> None:
        """Set the deadline to so many seconds from now; it raises the errors of `cancel`."""
        self.cancel()
        self._set(secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """Move the deadline by so many seconds; it raises the errors of `cancel`."""
        self.reset(self._due + secondsLater - self._clock.seconds())

    def active(self) -> bool:
        """Return True until the deadline has judged or is cancelled."""
        return bool(self._call.active())


class PeerDeadline(Deadline):
    """A deadline of a peer that may have no rights: hundreds can be due at once, and a few judge in a turn
    (`endings`)."""

    _waits = False  # it is due, and waits for its turn

    def _end(self) -> None:
        self._waits = True
        end_in_turn(self._clock, self._judge_in_turn)

    def _judge_in_turn(self) -> None:
        if self._waits:
            self._waits = False
            super()._end()

    def cancel(self) -> None:
        """As `Deadline.cancel`."""
        if self._waits:
            self._waits = False  # its turn does nothing then
        else:
            super().cancel()

    def active(self) -> bool:
        """As `Deadline.active`."""
        return self._waits or super().active()


@implementer(IReactorTime)
class FairClock:
    """A clock with `Deadline` objects as timers, for code that takes a clock, such as `Deferred.addTimeout`.

    :param clock: an ``IReactorTime`` with a monotonic `seconds`.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def seconds(self) -> float:
        """Return the clock's time."""
        return float(self._clock.seconds())

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Deadline:
        """Return a `Deadline` that calls this function."""
        return Deadline(self._clock, delay, callable, *args, **kw)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """Return all timers of the clock."""
        return list(self._clock.getDelayedCalls())
