"""`BridgeService`: the daemon's work, as a Twisted service."""

from __future__ import annotations

import logging
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList

from ..communicator import ClientServerPair
from .relay import LinePair, delivery, relay_commands, relay_replies

Address = tuple[str, int]


class BridgeService(Service):
    """Relays between one commander pair and one controller pair.

    :param commander: where the commander's commands come in (host and port to listen on), and
        where its replies go (host and port to connect to).
    :param controller: where the controller takes commands (host and port to connect to), and
        where its replies come in (host and port to listen on). The port to connect to may be 0
        if `connect_controller` gives it later.
    :param log: where log records go.
    :param reactor: the reactor; the global one if None.
    """

    name = "mtmount-bridge"

    def __init__(
        self,
        commander: tuple[Address, Address],
        controller: tuple[Address, Address],
        log: logging.Logger,
        reactor: Any = None,
    ) -> None:
        self._commander_addresses = commander
        self._controller_addresses = controller
        self._log = log
        self._reactor = reactor
        self._pairs: list[LinePair] = []
        self._relays: list[Deferred[None]] = []

    def startService(self) -> None:
        """Listen, connect and relay."""
        super().startService()  # type: ignore[no-untyped-call]
        commands_in, replies_out = self._commander_addresses
        commands_out, replies_in = self._controller_addresses
        self.commander = self._pair("commander", replies_out, commands_in)
        self.controller = self._pair("controller", commands_out, replies_in)
        self._pairs = [self.commander, self.controller]
        deliver = delivery(self.commander, self._log)
        self._relays = [
            Deferred.fromCoroutine(relay)
            for relay in (
                relay_commands(self.commander, self.controller, deliver, self._log),
                relay_replies(self.controller, deliver, self._log),
            )
        ]
        for relay in self._relays:
            relay.addErrback(
                lambda reason: self._log.critical("the relay stopped: %s", reason.getTraceback())
            )

    def describe(self) -> str:
        """Who is served where, in one line for people."""
        replies_host, replies_port = self._commander_addresses[1]
        return (
            f"a commander on {self.commander.server_host}:{self.commander.server_port}, "
            f"its replies go to {replies_host}:{replies_port}"
        )

    def _pair(self, name: str, connect_to: Address, listen_on: Address) -> LinePair:
        return ClientServerPair(
            name, *connect_to, *listen_on, self._log, connect=connect_to[1] != 0, reactor=self._reactor
        )

    def stopService(self) -> Deferred[None]:
        """Close both pairs; fires when all sockets are gone."""
        super().stopService()  # type: ignore[no-untyped-call]
        closing = [*(pair.close() for pair in self._pairs), *self._relays]
        return DeferredList(closing, consumeErrors=True).addCallback(lambda results: None)
