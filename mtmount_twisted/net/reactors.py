"""Changes to the reactor: `ReactorLayer`, a base class, and `bound_turns`.

Next to read: `tls.ConnectsWith` and `privileged.PrivilegedPorts`, the subclasses; `app.daemon`, which calls
`bound_turns`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.tcp import Server
from zope.interface import directlyProvides, providedBy

from .endings import Endings
from .event_order import MOST_LOOKED_AT, EventOrder
from .turn_time import TurnTime

_ONCE = 1 << 30
"""``EPOLLONESHOT`` (``sys/epoll.h``); not all systems have it."""


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
    """Stands in for an ``epoll`` object: a poll begins a turn, and returns the events that the turn serves.

    The kernel reports a socket once (``EPOLLONESHOT``, ``epoll_ctl(2)``). Then the socket waits for its turn
    in an `EventOrder`. Once it is served, it is rearmed. So the cost of a turn does not rise with the number
    of sockets that wait.
    """

    def __init__(self, poller: Any, order: EventOrder, time: TurnTime) -> None:
        self._poller = poller
        self._order = order
        self._time = time
        time.unread = lambda: order.unread
        self._wanted: dict[int, int] = {}  # the events that the reactor wants, by file number
        self._disarmed = set[int]()  # the files of which the kernel does not report all wanted events

    def register(self, file: int, wanted: int) -> None:
        """Begin to watch a file."""
        self._order.keep(file, 0)
        self._disarmed.discard(file)
        self._poller.register(file, wanted | _ONCE)
        self._wanted[file] = wanted

    def modify(self, file: int, wanted: int) -> None:
        """Watch a file for other events. It keeps its place while it waits for one of them."""
        self._order.keep(file, wanted)
        self._wanted[file] = wanted
        self._arm(file)

    def unregister(self, file: int) -> None:
        """Watch a file no more."""
        self._order.keep(file, 0)
        self._disarmed.discard(file)
        self._wanted.pop(file, None)
        self._poller.unregister(file)

    def poll(self, timeout: float, most: int) -> Iterator[tuple[int, int]]:
        """Begin a turn, and return the events that it serves.

        :param timeout: the time to wait for an event, if no socket waits for its turn, in seconds.
        :param most: the largest number of events that the kernel may report.
        """
        self._time.end_turn()
        try:
            events = self._poller.poll(0 if self._order.waits else timeout, min(most, MOST_LOOKED_AT))
        finally:
            self._time.begin_turn()
        self._disarmed.update(file for file, _ in events if file in self._wanted)
        return self._serve(events)

    def _serve(self, events: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        for file, ready in self._order.choose(events):
            yield file, ready
            if file in self._disarmed:  # else it was registered anew meanwhile
                self._arm(file)

    def _arm(self, file: int) -> None:
        """Let the kernel report again the events for which a file does not wait here."""
        held = self._order.held(file)
        if held:
            self._disarmed.add(file)
        else:
            self._disarmed.discard(file)
        self._poller.modify(file, self._wanted[file] & ~held | _ONCE)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def bound_turns(reactor: Any) -> bool:
    """Let a reactor serve few sockets in a turn (`event_order`), measure its turns (`turn_time.TurnTime`),
    and end connections in turns (`endings`).

    The other sockets that are ready are served in the next turns. Twisted's reactor on Linux serves all that
    are ready. So a thousand connections that end at the same moment are one turn of a third of a second, in
    which no stop is sent.

    :returns: False if the reactor has no ``epoll`` object: it stays as it is.
    """
    poller = getattr(reactor, "_poller", None)  # Twisted has no public name for it
    if poller is None or not hasattr(poller, "modify"):
        return False
    if not isinstance(poller, _FewEvents):  # two daemons of one process have one reactor
        reactor.turn_time = TurnTime(reactor)
        reactor.endings = Endings(reactor, reactor.turn_time)
        order = EventOrder(reactor._selectables, Server, reactor.seconds)
        reactor._poller = _FewEvents(poller, order, reactor.turn_time)
    return True
