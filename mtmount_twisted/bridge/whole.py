"""`WholePair`: a connection pair that is up as a whole or not at all.

Touches the network only through its base class. Next to read: `commanders` and `link`, which are such pairs.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..communicator import ClientServerPair


class WholePair(ClientServerPair[bytes]):
    """Losing either connection drops both, so that nothing of one session is taken for the next.

    A peer may connect anew before both of its old connections are gone: it is kept, and the pair is
    up when the other connection is made anew as well.

    :ivar up: True while both connections are those of one session.
    """

    up = False
    _dropping = False  # one connection was lost, and the other one, broken off, is not gone yet

    def came_up(self) -> None:
        """Both connections are up."""

    def went_down(self, why: str) -> None:
        """What came on the connections is over; `up` tells whether they were up."""

    def close(self) -> Deferred[None]:
        """As in `ClientServerPair`."""
        self._go_down("closed")
        return super().close()

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
