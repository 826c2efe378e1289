"""TLS handshakes in turns, and bounded: strangers can begin as many as they like.

A step of a handshake costs a millisecond or more of computing, and many can be due at once. Here one step is
computed in each turn of the reactor, of all servers that share `handshake_turns`, so that the messages of
established connections wait for one step at most. The servers have their turns one after the other. Of one
server's connections those from known addresses go first, and the addresses have their turns one after the
other, too.

Values only: no Twisted. Next to read: `tls_connections`, whose handshakes these are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .by_network import ByNetwork
from .turns import Turns

MAX_HANDSHAKE = 16 * 1024
"""How many bytes a peer may send until its handshake is over: a chain of ten certificates of RSA 4096 has
15 KB, a usual one 3 KB."""


class Handshake(Protocol):
    """A connection that has received bytes of its handshake."""

    def take_step(self) -> None:
        """Compute on with these bytes; it must not raise."""


def handshake_turns(reactor: Any) -> Turns:
    """Return the turns in which the handshakes of one daemon are computed: one step in a turn of the reactor.

    :param reactor: an ``IReactorTime``.
    """
    return Turns(reactor, budget=1, slice_size=1)


class HandshakeQueue:
    """The connections of one server whose next step is due.

    :param turns: from `handshake_turns`, shared by all servers of the process.
    :param is_known: whether a network, as `hosts.client_network` names it, goes before the others.
    """

    def __init__(self, turns: Turns, is_known: Callable[[str], bool] = lambda network: False) -> None:
        self._turns = turns
        self._is_known = is_known
        self._known: ByNetwork[Handshake] = ByNetwork()
        self._others: ByNetwork[Handshake] = ByNetwork()

    def add(self, handshake: Handshake, network: str) -> None:
        """Compute a step: at once if none was computed in this turn of the reactor, else later.

        :param network: where its peer is.
        """
        (self._known if self._is_known(network) else self._others).add(network, handshake)
        self._turns.add(self)

    def discard(self, handshake: Handshake, network: str) -> None:
        """Compute nothing more of a handshake."""
        self._known.discard(network, handshake)
        self._others.discard(network, handshake)
        if not self._waits:
            self._turns.discard(self)

    @property
    def _waits(self) -> bool:
        return bool(self._known.groups() or self._others.groups())

    def read_slice(self, most: int) -> int:
        """Compute one step, now that it is this server's turn; see `turns.Reader`."""
        waiting = self._known if self._known.groups() else self._others
        network, handshakes = next(iter(waiting.groups()))
        handshake, *others = handshakes
        for each in (handshake, *others):
            waiting.discard(network, each)
        for each in others:  # behind the other networks
            waiting.add(network, each)
        if self._waits:
            self._turns.add(self)
        handshake.take_step()
        return most
