"""The addresses with a recent proof of rights: servers keep places for them that strangers can't take.

Values only: no Twisted. Next to read: ``frontends.web.http.places`` and ``frontends.tcp.tls``, which keep
such places.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, KeysView

KNOWN_TIME = 3600.0
"""The time that an address stays known after its last proof, in seconds."""

MAX_KNOWN = 1000
"""The largest number of known addresses. The address with the oldest proof is forgotten first."""


class KnownAddresses:
    """Networks, as `hosts.client_network` names them, each until `KNOWN_TIME` after its last proof.

    :param now: return the time, in seconds, monotonic.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._until: OrderedDict[str, float] = OrderedDict()

    def note(self, network: str) -> None:
        """Note that a peer in a network has proved its rights now."""
        self._until[network] = self._now() + KNOWN_TIME
        self._until.move_to_end(network)
        while len(self._until) > MAX_KNOWN:
            self._until.popitem(last=False)

    def networks(self) -> KeysView[str]:
        """Return the networks for which `holds` may return True. For any other network it returns False."""
        return self._until.keys()

    def holds(self, network: str, is_used: Callable[[], bool] = lambda: False) -> bool:
        """Return True if a network is known.

        :param is_used: return True while a connection from it keeps it known beyond its time.
        """
        until = self._until.get(network)
        if until is None:
            return False
        if until < self._now() and not is_used():
            del self._until[network]
            return False
        return True
