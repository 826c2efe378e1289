"""`TurnTime`: whether further work for peers without rights may begin in the present turn of the reactor.

Each kind of their work has a bound of its own for a turn: bytes, steps of a handshake, accepted connections.
Several kinds at once would add up to a turn of tens of milliseconds, and a holder's command waits for three
turns until its reply is sent. So these kinds look at one clock: accepted connections, handshakes, records of
TLS, lines of clients without rights, refusals, and requests to the page beyond their first 2 KiB. If a turn
is used up, a kind does one piece of work in it only if it has done none in the last few turns. Connections
of a higher rank (`turns.Rank`) do not wait: a stop may be among their bytes. The ends of connections by
timers (`endings`) and the number of sockets in the next turn (`event_order`) depend on this clock, too.

It touches only a clock. Next to read: `turns` and `accepts`, which look at it; `reactors`, which begins the
turns.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime

LONGEST = 0.004
"""The time after which a turn is used up, in seconds. Three turns then take less than the goal for the 99th
percentile of a command, 20 ms (``docs/explanation/reliability.rst``), also if each ends with a few pieces of
work."""

MOST_MISSED = 2
"""The number of used-up turns without a piece of a kind of work, before it does one piece in such a turn."""

NEVER = -1 - MOST_MISSED
"""The number of the latest turn of a kind of work that has not begun."""


class TurnTime:
    """The present turn of a reactor, from the return of its poll to the return of the next poll.

    :param reactor: the clock.
    :ivar began: the time at which the turn began (reactor, s).
    :ivar number: the number of turns so far.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self.began: float = reactor.seconds()
        self.number: int = 0

    def begin_turn(self) -> None:
        """Note that a turn begins."""
        self.began = self._reactor.seconds()
        self.number += 1

    @property
    def is_used_up(self) -> bool:
        """True if the turn has lasted for `LONGEST`, with all its work, also that of peers with rights."""
        return self._reactor.seconds() - self.began >= LONGEST

    def allows(self, latest: int) -> bool:
        """Return True if a kind of work may do a piece in this turn.

        :param latest: the number of the turn with its latest piece, or `NEVER`.
        """
        return self.number - latest > MOST_MISSED or not self.is_used_up


def turn_time_of(reactor: Any) -> TurnTime | None:
    """Return the turns of a reactor that `reactors.bound_turns` has prepared; None of any other reactor."""
    found: TurnTime | None = getattr(reactor, "turn_time", None)
    return found
