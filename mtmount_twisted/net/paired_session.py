"""`PairedSession`: a connection pair that is up only while both connections are up.

`DuplexSession` is such a session over one connection in both directions. Both classes have these states::

    down:      there is no session: a connection is missing, or the session was ended on this side
    up:        both connections belong to one session
    dropping:  one connection is lost; the other one is aborted, but not gone yet

They use the network only through their base classes. Next to read: `frontends.tcp.commanders` and `link`,
which have such sessions.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mtmount_twisted.hosts import LOOPBACK, is_loopback

from .admission import Network, address_of, admits, known_networks
from .duplex import DuplexConnection
from .endpoints import LISTEN_AGAIN
from .machines import next_state
from .pair import ConnectionPair


class SessionState(Enum):
    """State of a `PairedSession`; this module's docstring explains each."""

    DOWN = "down"
    UP = "up"
    DROPPING = "dropping"


DOWN, UP, DROPPING = SessionState

_TABLE = {
    DOWN: (UP, DOWN, DROPPING),
    UP: (DOWN, DROPPING),
    DROPPING: (DOWN, DROPPING),
}


class PairedSession(ConnectionPair[bytes]):
    """A connection pair with sessions: the loss of one connection ends the session and drops the other one.

    So data of one session can't be taken for data of the next. A peer may reconnect before both of its old
    connections are gone. Then the new connection stays, and the session starts when the other connection is
    new, too.

    Only a peer at the host of the client connection, or at an allowed address, may connect; see `admission`.

    :ivar allowed: the allowed addresses.
    """

    allowed: tuple[Network, ...] = ()
    listen_retry_interval: float | None = LISTEN_AGAIN
    _state = DOWN

    @property
    def up(self) -> bool:
        """True while both connections belong to one session."""
        return self._state is UP

    def came_up(self) -> None:
        """Called when a session starts: both connections are up."""

    def went_down(self, why: str, was_up: bool) -> None:
        """Called when a connection is lost, and when this side ends the session or closes the pair.

        :param was_up: True if a session ends. `up` is False already.
        """

    def close(self) -> Deferred[None]:
        """See `ConnectionPair`."""
        try:
            self.end_session("closed")
        except Exception:  # the sockets must be closed all the same
            self.log.exception("%s: closing the connection failed", self.name)
        return super().close()

    def refusal_of(self, peer: Any) -> str:
        """Return the reason why a peer may not connect; see `interfaces.IPairOwner`."""
        address = address_of(peer)
        if admits(self.allowed, address) or admits(self._far_end(), address):
            return ""
        return f"only {self.client_host} and the addresses on the list of allowed ones may connect"

    def _far_end(self) -> tuple[Network, ...]:
        """Return the addresses of the client connection's far end, with the connected one for a host name."""
        hosts = LOOPBACK if is_loopback(self.client_host) else (self.client_host,)
        if self.writer is not None:
            hosts = *hosts, address_of(self.writer.transport.getPeer())
        return known_networks(hosts)

    def client_changed(self, reason: Failure | None) -> None:
        """Note that the client connection is up, or lost."""
        super().client_changed(reason)
        self._changed_to(reason)

    def server_changed(self, reason: Failure | None) -> None:
        """Note that the server connection is up, or lost."""
        super().server_changed(reason)
        self._changed_to(reason)

    def _changed_to(self, reason: Failure | None) -> None:
        if reason is None:
            if self.connected and self._state is DOWN:
                self._become(UP)
                self.came_up()
        elif self._state is DROPPING and self.server_connected:
            self._become(DOWN)  # the server connection is new, and stays
        else:
            one_is_left = self.client_connected or self.server_connected
            self._go_down(reason.getErrorMessage(), DROPPING if one_is_left else DOWN)
            self.drop_connections()

    def end_session(self, why: str) -> None:
        """End the session, if it is up. The caller closes the connections."""
        self._go_down(why, DROPPING if self._state is DROPPING else DOWN)

    def _go_down(self, why: str, after: SessionState) -> None:
        was_up = self.up
        self._become(after)
        self.went_down(why, was_up)

    def _become(self, after: SessionState) -> None:
        self._state = next_state(_TABLE, self._state, after)


class DuplexSession(PairedSession, DuplexConnection[bytes]):
    """One connection in both directions with sessions: each connection is one session.

    Both directions begin and end together, so that `PairedSession` needs no other rule.

    As a server it accepts a peer on this machine, or at an allowed address.
    """
