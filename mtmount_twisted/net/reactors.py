"""Changes to the reactor: `ReactorLayer`, a base class, and `bound_turns`.

Next to read: `tls.ConnectsWith` and `privileged.PrivilegedPorts`, the subclasses; `app.daemon`, which calls
`bound_turns`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import directlyProvides, providedBy

from .endings import Endings
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


MOST_EVENTS = 32
"""The most sockets that are served in one turn of the reactor. The end of a TLS connection takes 0.3 ms."""


class _FewEvents:
    """Passes each call to an ``epoll`` object; a poll returns `MOST_EVENTS` at most, and begins a turn."""

    def __init__(self, poller: Any, begin_turn: Callable[[], object]) -> None:
        self._poller = poller
        self._begin_turn = begin_turn

    def poll(self, timeout: float, most: int) -> Any:
        try:
            return self._poller.poll(timeout, min(most, MOST_EVENTS))
        finally:
            self._begin_turn()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def bound_turns(reactor: Any) -> bool:
    """Let a reactor serve `MOST_EVENTS` sockets in a turn, measure its turns (`turn_time.TurnTime`), and end
    connections in turns (`endings`).

    The other sockets that are ready are due in the next turns.

    Twisted's reactor on Linux serves all that are ready. So a thousand connections that end at the same
    moment are one turn of a third of a second, in which no stop is sent. The kernel returns the sockets that
    were left out first (``epoll(7)``), so that none waits for ever.

    :returns: False if the reactor has no ``epoll`` object: it stays as it is.
    """
    poller = getattr(reactor, "_poller", None)  # Twisted has no public name for it
    if poller is None or not hasattr(poller, "modify"):
        return False
    if not isinstance(poller, _FewEvents):  # two daemons of one process have one reactor
        reactor.turn_time = TurnTime(reactor)
        reactor.endings = Endings(reactor, reactor.turn_time)
        reactor._poller = _FewEvents(poller, reactor.turn_time.begin_turn)
    return True
