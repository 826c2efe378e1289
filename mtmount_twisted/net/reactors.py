"""`ReactorLayer`: a reactor that does some things in a way of its own; a base class.

Next to read: `tls.ConnectsWith` and `privileged.PrivilegedPorts`, which are such reactors.
"""

from __future__ import annotations

from typing import Any

from zope.interface import directlyProvides, providedBy


class ReactorLayer:
    """Does what a reactor does. A subclass overrides methods.

    It provides the same interfaces, so that Twisted's checks of them take it for the reactor.

    :param reactor: the reactor below.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.seconds = reactor.seconds  # bound here: both are called for each line
        self.callLater = reactor.callLater
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)
