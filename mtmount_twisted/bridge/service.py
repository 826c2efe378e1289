"""`BridgeService`: the bridge and all that it talks to, put together from a configuration."""

from __future__ import annotations

import logging
from typing import Any

from twisted.application.service import Service
from twisted.internet import endpoints
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort

from ..communicator import ClientServerPair
from ..interfaces import IJournal
from .commanders import PairClient, PortFactory
from .config import Config
from .core import Bridge
from .journal import NoJournal
from .link import ControllerLink

SYSTEM_CHOICE = ("127.0.0.1", 0)


class BridgeService(Service):
    """One controller, many commanders.

    :param config: who is served, where and how; with no controller in it, the link waits to be
        told by ``link.connect(port)``.
    :param log: where log records go.
    :param journal: an `IJournal`, already begun; by default nothing is recorded.
    :param reactor: the reactor; the global one if None.
    :ivar bridge: decides; from `startService` on, and so are the others.
    :ivar link: the connection pair to the controller.
    :ivar pairs: the commanders that have a pair each.
    :ivar ports: where clients of the configured ports connect, in their order.
    :ivar port_failures: why a port can't be listened on, one line for each that can't.
    """

    name = "mtmount-bridge"
    bridge: Bridge
    link: ControllerLink

    def __init__(
        self, config: Config, log: logging.Logger, journal: IJournal | None = None, reactor: Any = None
    ) -> None:
        self._config = config
        self._log = log
        self._journal: Any = NoJournal() if journal is None else journal
        self._reactor = reactor
        self.pairs: list[PairClient] = []
        self.ports: list[IListeningPort] = []
        self.port_failures: list[str] = []
        self._factories: list[PortFactory] = []

    def startService(self) -> None:
        """Listen, and connect."""
        super().startService()  # type: ignore[no-untyped-call]
        reactor = self._reactor
        if reactor is None:
            from twisted.internet import reactor
        config, log = self._config, self._log
        controller = config.controller
        self.bridge = Bridge(reactor, log, self._journal, config.command)
        commands_out, replies_in = SYSTEM_CHOICE, SYSTEM_CHOICE
        if controller is not None:
            commands_out = controller.host, controller.command_port
            replies_in = controller.reply_host or "", controller.reply_port
        self.link = ControllerLink(commands_out, replies_in, self.bridge, log, reactor)
        self.pairs = [PairClient(pair, self.bridge, config.clients, log, reactor) for pair in config.pairs]
        self._factories, self.port_failures = [], []
        for port in config.ports:
            factory = PortFactory(port, self.bridge, config.clients, log, reactor)
            self._factories.append(factory)
            listening = endpoints.serverFromString(reactor, port.endpoint).listen(factory)
            listening.addCallbacks(self.ports.append, self._port_failed, errbackArgs=(port.name,))

    def _port_failed(self, reason: Any, name: str) -> None:
        self._log.error("%s: can't listen: %s", name, reason.getErrorMessage())
        self.port_failures.append(f"{name}: can't listen: {reason.getErrorMessage()}")

    @property
    def all_pairs(self) -> list[ClientServerPair[bytes]]:
        """Every connection pair: the controller's, then the commanders'."""
        return [self.link, *self.pairs]

    def describe(self) -> str:
        """Who is served where, in one line for people."""
        return "; ".join(
            [
                f"commander {pair.name} on {pair.server_host}:{pair.server_port}, "
                f"its replies go to {pair.client_host}:{pair.client_port}"
                for pair in self.pairs
            ]
            + [f"port {port.name} on {port.endpoint}" for port in self._config.ports]
        )

    def stopService(self) -> Deferred[None]:
        """End all commands and close everything; fires when all sockets are gone."""
        closing: list[Any] = []
        if self.running:
            super().stopService()  # type: ignore[no-untyped-call]
            self.bridge.close()
            closing += [port.stopListening() for port in self.ports]
            self.ports = []
        closing += [factory.close("the bridge ends") for factory in self._factories]
        if self.pairs or hasattr(self, "link"):
            closing += [pair.close() for pair in self.all_pairs]
        return DeferredList(closing, consumeErrors=True).addCallback(lambda results: None)
