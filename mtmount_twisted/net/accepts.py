"""`SlowAccepts`: a listening socket accepts few connections in a turn of the reactor.

Twisted accepts 20 connections more in each turn in which it has accepted as many as it may. A client without
rights that connects again and again, with hundreds of sockets at once, would so use the event loop for a
quarter of a second. Next to read: ``frontends.tcp.ports`` and ``frontends.web.http.site``, whose sockets
accept slowly.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime

ACCEPTS = 2
"""The most connections that one socket accepts in one turn of the reactor; the others wait in the system's
queue.

More at once would also displace a user's connection to the page before its request is read.
"""


class SlowAccepts:
    """The bound for one listening socket. Its factory calls `accepted` for each connection."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._port: IListeningPort | None = None
        self._next: IDelayedCall | None = None

    def limit(self, port: IListeningPort) -> None:
        """Accept at most `ACCEPTS` connections in a turn of the reactor, from now on.

        :param port: a port of Twisted's reactors; one without the attribute is left alone.
        """
        if hasattr(port, "numberAccepts"):
            self._port = port
            self._limit()

    def _limit(self) -> None:
        self._next = None
        # Twisted raises this number by 20 when it has accepted as many (tcp.Port.doRead).
        setattr(self._port, "numberAccepts", ACCEPTS)

    def accepted(self) -> None:
        """Note that the port has accepted a connection."""
        if self._port is not None and self._next is None:
            self._next = self._reactor.callLater(0, self._limit)

    def close(self) -> None:
        """Stop the timer, and leave the port alone."""
        self._port = None
        if self._next is not None:
            self._next.cancel()
            self._next = None
