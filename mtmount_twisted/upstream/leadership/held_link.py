"""`HeldLink`: stands for the link to the controller, which a standby does not have, so that the page can
always show one.

A standby neither connects to the controller nor listens for its replies. Next to read: ``upstream.link``.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from mtmount_twisted.upstream.link import ControllerLink


class HeldLink:
    """The link while it is open, and the place of the controller at any time.

    :param make: return a link, which begins to connect.
    :param host: the host of the controller.
    :param port: the port of the controller for commands.
    :ivar current: the link; None while it is closed.
    """

    def __init__(self, make: Callable[[], ControllerLink], host: str, port: int) -> None:
        self.current: ControllerLink | None = None
        self.client_host: str = host
        self.client_port: int = port
        self._make = make

    @property
    def client_connected(self) -> bool:
        """True while the connection for commands is up."""
        return self.current is not None and self.current.client_connected

    @property
    def server_connected(self) -> bool:
        """True while the connection for replies is up."""
        return self.current is not None and self.current.server_connected

    @property
    def up(self) -> bool:
        """True while both connections are up."""
        return self.current is not None and self.current.up

    def open(self) -> None:
        """Open the link, unless it is open."""
        if self.current is None:
            self.current = self._make()

    def try_now(self) -> None:
        """Try to connect now, unless an attempt is under way."""
        if self.current is not None and not self.current.client_connected:
            self.current.try_now()

    def abort(self, why: str) -> Deferred[None]:
        """Abort the link at once, and drop all bytes that were not sent.

        :returns: fires when the sockets are gone.
        """
        current, self.current = self.current, None
        if current is None:
            return succeed(None)
        try:
            current.drop_connections()  # before the bridge learns of it, and writes what it has to say
        finally:
            current.end_session(why)
        return current.close()
