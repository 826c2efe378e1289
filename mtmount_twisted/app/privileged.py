"""`PrivilegedPorts`: listen on ports below 1024 with sockets bound while the process had root's rights.

``twistd --uid`` drops root's rights after ``privilegedStartService`` and before ``startService``. The daemons
start in ``startService``, because the files and sockets that they create must belong to the user. Only root
can bind a port below 1024, so these ports are bound earlier. This module touches these sockets only. Next to
read: `daemon`, which calls `PrivilegedPorts.bind`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from mtmount_twisted.hosts import plain_address
from mtmount_twisted.net.reactors import ReactorLayer

FIRST_UNPRIVILEGED = 1024
"""The lowest port that any user may bind (``ip(7)``, ``ip_unprivileged_port_start``)."""


class PrivilegedPorts(ReactorLayer):
    """A reactor that listens on some TCP ports with sockets bound earlier, and passes on all other calls.

    :param reactor: the reactor that receives the other calls.
    :param wanted: the addresses and ports on which the daemon will listen; ports from 1024 on are skipped.
    """

    def __init__(self, reactor: Any, wanted: Iterable[tuple[str, int]]) -> None:
        super().__init__(reactor)
        self._wanted = [(host, port) for host, port in wanted if 0 < port < FIRST_UNPRIVILEGED]
        self._bound: dict[tuple[str, int], socket.socket] = {}

    def bind(self) -> None:
        """Bind the ports.

        :raises OSError: if a port can't be bound.
        """
        for host, port in self._wanted:
            # `bind` treats an address with a zone as a name, looks it up, and loses the zone.
            [(family, *_, where)] = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
            bound = socket.socket(family, socket.SOCK_STREAM)
            self._bound[plain_address(host), port] = bound
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setblocking(False)
            bound.bind(where)

    def close(self) -> None:
        """Close the bound sockets that no call of `listenTCP` has used."""
        while self._bound:
            self._bound.popitem()[1].close()

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen with the bound socket of this port, if there is one. The first call for a port uses up its
        socket."""
        bound = self._bound.pop((plain_address(interface or "0.0.0.0"), port), None)
        if bound is None:
            return self._reactor.listenTCP(port, factory, backlog, interface)
        with bound:
            bound.listen(backlog)
            return self._reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
