"""`TurnTime`: whether further work for peers without rights may begin in the present turn of the reactor.

Each kind of their work has a bound of its own for a turn: bytes, steps of a handshake, accepted connections.
Several kinds at once would add up to a turn of tens of milliseconds, and a holder's command waits for three
turns until its reply is sent. So these kinds look at one clock: accepted connections, handshakes, records of
TLS, lines of clients without rights, refusals, and requests to the page beyond their first 2 KiB. If a turn
is used up, a kind of work does a piece in it only if it has had less than its `Share` of the time lately.
Connections of a higher rank (`turns.Rank`) do not wait: a stop may be among their bytes. The ends of
connections by timers (`endings`) depend on this clock, too; the number of reads from sockets has a time of
its own (`event_order`).

It touches only a clock. Next to read: `turns` and `accepts`, which look at it; `reactors`, which begins the
turns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

LONGEST = 0.004
"""The time after which a turn is used up, in seconds. Three turns then take less than the goal for the 99th
percentile of a command, 20 ms (``docs/explanation/reliability.rst``), also if each ends with a few pieces of
work."""

PART = 1 / 16
"""The usual part of the time that a kind of work has while turns are used up. There are eight kinds: six of
`turns.Turns`, and the setting up and the taking of connections, which all listening sockets share. The taking
has four such parts (`accepts.TAKING`)."""

MOST_SAVED = 0.01
"""The longest time for which an unused share adds up, in seconds: enough for one piece of work, such as a
step of a handshake."""

MOST_OVERDRAWN = -0.01
"""The lowest balance of a share, in seconds: a piece of work may have taken long because the process was
suspended."""

NEVER = -1
"""The number of a turn before the first one."""


class TurnTime:
    """The present turn of a reactor, from the return of its poll to the return of the next poll.

    :param reactor: the clock.
    :ivar began: the time at which the turn began (reactor, s).
    :ivar number: the number of turns so far.
    :ivar was_used_up: True if the turn before was used up.
    :ivar accepting: the listening sockets with connections from unknown addresses that wait; the first ones
        have the next turns.
    :ivar taking: the listening sockets that take connections from the system.
    :ivar taken: the number of connections that were taken from the system in this turn.
    :ivar set_up: the number of connections of unknown addresses that were set up in this turn.
    :ivar closed: the number of connections that were closed in this turn instead, as their peers were gone.
    :ivar unread: returns the number of connections that were set up and wait for their first read.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self.began: float = reactor.seconds()
        self.number: int = 0
        self.was_used_up: bool = False
        self.accepting: dict[object, None] = {}
        self.taking: set[object] = set()
        self.taken: int = 0
        self.set_up: int = 0
        self.closed: int = 0
        self.unread: Callable[[], int] = lambda: 0

    def end_turn(self) -> None:
        """Note that a turn ends: the reactor may sleep now."""
        self.was_used_up = self.is_used_up

    def begin_turn(self) -> None:
        """Note that a turn begins."""
        self.began = self._reactor.seconds()
        self.number += 1
        self.taken = self.set_up = self.closed = 0

    @property
    def is_used_up(self) -> bool:
        """True if the turn has lasted for `LONGEST`. All its work counts, also that for peers with rights."""
        return self._reactor.seconds() - self.began >= LONGEST


class Share:
    """The share of the time that a kind of work has in turns that are used up.

    :param time: the turns of the reactor; None if they are not measured: there is always time then.
    :param reactor: the clock.
    :ivar part: the share, as a part of the time.
    :param begins: True for work at the beginning of the turns, which are not used up yet. A turn is like the
        one before, so the share bounds this work also if the turn before was used up.
    """

    def __init__(
        self, time: TurnTime | None, reactor: IReactorTime, part: float = PART, begins: bool = False
    ) -> None:
        self._time = time
        self.part: float = part
        self._begins = begins
        self._reactor = reactor
        self._left = MOST_SAVED * part  # of the share, in seconds
        self._at: float = reactor.seconds()  # the time up to which it has grown

    def may_begin(self) -> bool:
        """Return True if a piece of work may begin: the turn is not used up, or the share is not."""
        time = self._time
        if time is None or not (time.is_used_up or (self._begins and time.was_used_up)):
            return True
        now = self._reactor.seconds()
        self._left = min(MOST_SAVED * self.part, self._left + max(0.0, now - self._at) * self.part)
        self._at = now
        return self._left > 0.0

    def spend(self, seconds: float) -> None:
        """Note how long a piece of work took."""
        self._left = max(MOST_OVERDRAWN, self._left - seconds)


def turn_time_of(reactor: Any) -> TurnTime | None:
    """Return the turns of a reactor that `reactors.bound_turns` has prepared; None of any other reactor."""
    found: TurnTime | None = getattr(reactor, "turn_time", None)
    return found
