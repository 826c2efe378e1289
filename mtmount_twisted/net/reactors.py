"""Changes to the reactor: `ReactorLayer`, a base class, and `bound_turns`.

Next to read: `tls.ConnectsWith` and `privileged.PrivilegedPorts`, the subclasses; `app.daemon`, which calls
`bound_turns`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Server
from zope.interface import directlyProvides, providedBy

from .endings import Endings
from .event_order import MOST_LOOKED_AT, EventOrder
from .turn_time import TurnTime


class ReactorLayer:
    """A reactor that passes each call to the reactor below, unless a subclass overrides the method.

    It provides the same interfaces, so that Twisted's checks accept it as the reactor.

    :param reactor: the reactor below.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.seconds: Any = reactor.seconds  # bound here for speed: both are called for each line
        self.callLater: Any = reactor.callLater
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class _FewEvents:
    """Passes each call to an ``epoll`` object; a poll returns the events of one turn, and begins it."""

    def __init__(self, poller: Any, order: EventOrder, time: TurnTime) -> None:
        self._poller = poller
        self._order = order
        self._time = time

    def poll(self, timeout: float, most: int) -> Any:
        was_long = self._time.is_used_up
        try:
            events = self._poller.poll(timeout, min(most, MOST_LOOKED_AT))
        finally:
            self._time.begin_turn()
        return self._order.choose(events, was_long, self._time.began)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def bound_turns(reactor: Any) -> bool:
    """Let a reactor serve few sockets in a turn (`event_order`), measure its turns (`turn_time.TurnTime`),
    and end connections in turns (`endings`).

    The other sockets that are ready are due in the next turns. Twisted's reactor on Linux serves all that are
    ready. So a thousand connections that end at the same moment are one turn of a third of a second, in which
    no stop is sent.

    :returns: False if the reactor has no ``epoll`` object: it stays as it is.
    """
    poller = getattr(reactor, "_poller", None)  # Twisted has no public name for it
    if poller is None or not hasattr(poller, "modify"):
        return False
    if not isinstance(poller, _FewEvents):  # two daemons of one process have one reactor
        reactor.turn_time = TurnTime(reactor)
        reactor.endings = Endings(reactor, reactor.turn_time)
        order = EventOrder(reactor._selectables, Server)
        reactor._poller = _FewEvents(poller, order, reactor.turn_time)
    return True
