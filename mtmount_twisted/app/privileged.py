"""`PrivilegedPorts`: listen on ports below 1024 with sockets that were bound before root's rights went.

``twistd --uid`` gives them up after ``privilegedStartService`` and before ``startService``. All that the
daemons do belongs to the latter, for what is made there (files, sockets of the file system) has to belong to
the user; but root alone can bind such a port. Next to read: `daemon`, which calls `PrivilegedPorts.bind`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from mtmount_twisted.hosts import plain_address
from mtmount_twisted.net.reactors import ReactorLayer

FIRST_UNPRIVILEGED = 1024
"""The least port that any user may listen on (``ip(7)``, ``ip_unprivileged_port_start``)."""


class PrivilegedPorts(ReactorLayer):
    """A reactor that listens on some TCP ports with sockets of its own. All else is the reactor's.

    :param reactor: the reactor below.
    :param wanted: addresses and ports that will be listened on; those that any user may have are left out.
    """

    def __init__(self, reactor: Any, wanted: Iterable[tuple[str, int]]) -> None:
        super().__init__(reactor)
        self._wanted = [(host, port) for host, port in wanted if 0 < port < FIRST_UNPRIVILEGED]
        self._bound: dict[tuple[str, int], socket.socket] = {}

    def bind(self) -> None:
        """Bind the ports.

        :raises OSError: if one can't be had.
        """
        for host, port in self._wanted:
            # An address with a zone is a name to `bind`, which would look it up and then forget the zone.
            [(family, *_, where)] = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
            bound = socket.socket(family, socket.SOCK_STREAM)
            self._bound[plain_address(host), port] = bound
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setblocking(False)
            bound.bind(where)

    def close(self) -> None:
        """Close the sockets on which nobody listened."""
        while self._bound:
            self._bound.popitem()[1].close()

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen; on a port that was bound just once, for then the socket is closed with it."""
        bound = self._bound.pop((plain_address(interface or "0.0.0.0"), port), None)
        if bound is None:
            return self._reactor.listenTCP(port, factory, backlog, interface)
        with bound:
            bound.listen(backlog)
            return self._reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
