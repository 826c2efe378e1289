"""`ReactorLayer`: base class of reactors that do a few things differently from the reactor below.

Next to read: `tls.ConnectsWith` and `privileged.PrivilegedPorts`, its subclasses.
"""

from __future__ import annotations

from typing import Any

from zope.interface import directlyProvides, providedBy


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
