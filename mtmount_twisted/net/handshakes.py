"""TLS handshakes in turns, and bounded, because strangers can begin as many as they like.

A step of a handshake costs 0.2 ms of computing, with a key of RSA 4096 several milliseconds, and many can be
due at once. All servers that share `handshake_turns` compute together `STEPS` usual steps in each turn of the
reactor, or one step that takes as long. So a message of an established connection waits for few steps only.
The bytes that strangers send on established connections share these steps; see `records`. The servers take
turns. Of one server's connections the order is:

1. the connections from known addresses;
2. the connections that were answered: a peer that does not send a whole first flight is never among them;
3. the newest one of the others. If more peers begin than can be computed, an old one is displaced before its
   turn, and a newcomer behind them would be, too;
4. those that have had `MOST_STEPS` steps: their peers send small records, each of which takes a step.

After `MOST_AHEAD` steps of the first group, one of the others has its turn, and after as many of the second,
one of the third: peers that send their flights in small records would keep all newcomers out. In the third
group an address that has had its turn goes behind the others, and in the others the addresses take turns.

A step begins with a whole record; see `records`.

Values only: no Twisted. Next to read: `tls_connections`, which has the handshakes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from .by_network import ByNetwork
from .records import MOST_AHEAD, SLICE, RecordQueue, as_steps
from .turns import Turns

MAX_HANDSHAKE = 16 * 1024
"""The largest number of bytes that a peer may send until its handshake is over. A chain of ten certificates
of RSA 4096 has 15 KB, a usual one 3 KB."""

MOST_STEPS = 8
"""The largest number of steps that a usual handshake takes: two for ClientHellos, and one for each record of
the next flight, if each comes alone (RFC 8446, 2.1; RFC 5246, 7.3)."""

STEPS = 4
"""The largest number of steps that are computed in one turn of the reactor."""


class Handshake(Protocol):
    """A connection that has received bytes of its handshake."""

    @property
    def is_answered(self) -> bool:
        """True if the peer has sent a whole first flight, and was answered."""

    @property
    def steps(self) -> int:
        """The number of steps that it has had."""

    def take_step(self) -> None:
        """Compute the next step with these bytes; it must not raise."""


def handshake_turns(reactor: Any) -> Turns:
    """Return the turns in which the handshakes of one daemon are computed: `STEPS` in a turn of the reactor.

    :param reactor: an ``IReactorTime``.
    """
    return Turns(reactor, budget=STEPS * SLICE, slice_size=SLICE)


class HandshakeQueue:
    """The connections of one server with a next step that is due.

    :param turns: from `handshake_turns`, shared by all servers of the process.
    :param now: returns the monotonic clock, in seconds.
    :param is_known: return True for the network of a known address, as `hosts.client_network` names it.
    :ivar records: where the server's connections wait once their handshakes are over.
    """

    def __init__(
        self,
        turns: Turns,
        now: Callable[[], float],
        is_known: Callable[[str], bool] = lambda network: False,
    ) -> None:
        self.records: RecordQueue = RecordQueue(turns, now, is_known)
        self._turns = turns
        self._now = now
        self._is_known = is_known
        self._known: ByNetwork[Handshake] = ByNetwork()
        self._answered: ByNetwork[Handshake] = ByNetwork()
        self._newcomers: OrderedDict[str, dict[Handshake, None]] = OrderedDict()
        self._slow: ByNetwork[Handshake] = ByNetwork()
        self._known_ahead = 0  # the steps of known addresses in a row
        self._ahead = 0  # the steps of answered peers in a row

    def add(self, handshake: Handshake, network: str) -> None:
        """Compute a step: at once if this turn of the reactor has time left, else later.

        :param network: where its peer is.
        """
        if self._is_known(network):
            self._known.add(network, handshake)
        elif handshake.steps >= MOST_STEPS:
            self._slow.add(network, handshake)
        elif handshake.is_answered:
            self._answered.add(network, handshake)
        else:
            self._newcomers.setdefault(network, {})[handshake] = None
        self._turns.add(self)

    def discard(self, handshake: Handshake, network: str) -> None:
        """Compute nothing more of a handshake."""
        self._known.discard(network, handshake)
        self._answered.discard(network, handshake)
        self._slow.discard(network, handshake)
        newcomers = self._newcomers.get(network, {})
        newcomers.pop(handshake, None)
        if not newcomers:
            self._newcomers.pop(network, None)
        if not self._waits:
            self._turns.discard(self)

    @property
    def _waits(self) -> bool:
        groups = self._known.groups(), self._answered.groups(), self._newcomers, self._slow.groups()
        return any(groups)

    def read_slice(self, most: int) -> int:
        """Compute one step, now that it is this server's turn; see `turns.Reader`."""
        handshake = self._next()
        if self._waits:
            self._turns.add(self)
        began = self._now()
        handshake.take_step()
        return as_steps(most, self._now() - began)

    def _next(self) -> Handshake:
        others_wait = self._answered.groups() or self._newcomers or self._slow.groups()
        if self._known.groups() and not (others_wait and self._known_ahead >= MOST_AHEAD):
            self._known_ahead += 1
            return self._known.pop()
        self._known_ahead = 0
        if self._answered.groups() and not (self._newcomers and self._ahead >= MOST_AHEAD):
            self._ahead += 1
            return self._answered.pop()
        self._ahead = 0
        if not self._newcomers:
            return self._slow.pop()
        network, newcomers = self._newcomers.popitem()
        handshake = next(iter(newcomers))
        del newcomers[handshake]
        if newcomers:  # behind the other networks
            self._newcomers[network] = newcomers
            self._newcomers.move_to_end(network, last=False)
        return handshake
