"""`PairedSession`: a connection pair that is up as a whole or not at all.

Touches the network only through its base class. Next to read: `commanders` and `link`, which are such pairs.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mtmount_twisted.hosts import LOOPBACK, is_loopback

from .admission import Network, address_of, admits, known_networks
from .pair import ClientServerPair


class PairedSession(ClientServerPair[bytes]):
    """Losing either connection drops both, so that nothing of one session is taken for the next.

    A peer may connect anew before both of its old connections are gone: it is kept, and the pair is
    up when the other connection is made anew as well.

    Only a peer at the client connection's host, or on a list, may connect; see `admission`.

    :ivar allowed: that list.
    :ivar up: True while both connections are those of one session.
    """

    allowed: tuple[Network, ...] = ()
    up = False
    _dropping = False  # one connection was lost, and the other one, broken off, is not gone yet

    def came_up(self) -> None:
        """Both connections are up."""

    def went_down(self, why: str) -> None:
        """What came on the connections is over; `up` tells whether they were up."""

    def close(self) -> Deferred[None]:
        """As in `ClientServerPair`."""
        try:
            self._go_down("closed")
        except Exception:  # the sockets are closed all the same
            self.log.exception("%s: closing the connection failed", self.name)
        return super().close()

    def refusal_of(self, peer: Any) -> str:
        """Why a peer may not connect; see `interfaces.IPairOwner`."""
        address = address_of(peer)
        if admits(self.allowed, address) or admits(self._far_end(), address):
            return ""
        return f"it may come from {self.client_host} only, and from what is on the list for that"

    def _far_end(self) -> tuple[Network, ...]:
        """Where the client connection goes; by that itself, too, where the host is a name."""
        hosts = LOOPBACK if is_loopback(self.client_host) else (self.client_host,)
        if self.writer is not None:
            hosts = *hosts, address_of(self.writer.transport.getPeer())
        return known_networks(hosts)

    def client_changed(self, reason: Failure | None) -> None:
        """The connection that this side writes on is up, or lost."""
        super().client_changed(reason)
        self._changed_to(reason)

    def server_changed(self, reason: Failure | None) -> None:
        """The connection that this side reads from is up, or lost."""
        super().server_changed(reason)
        self._changed_to(reason)

    def _changed_to(self, reason: Failure | None) -> None:
        if reason is None:
            if self.connected and not self.up and not self._dropping:
                self.up = True
                self.came_up()
        elif self._dropping and self.server_connected:
            self._dropping = False
        else:
            self._dropping = self.client_connected or self.server_connected
            self._go_down(reason.getErrorMessage())
            self.drop_connections()

    def _go_down(self, why: str) -> None:
        self.went_down(why)
        self.up = False
