"""`open_port`: open a ``[[port]]`` or ``[[telemetry]]`` port of the configuration, for any number of clients.

`bridge_service` imports this module only if the configuration has such a port: a daemon for pairs listens
sooner, and takes less memory. Next to read: `frontends.tcp.ports`, the clients; `frontends.tcp.tls`, the
handshakes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from mtmount_twisted.config.settings import ManyClients, PortCommanders
from mtmount_twisted.frontends.tcp.certificates import credentials_of
from mtmount_twisted.frontends.tcp.client_factory import ClientFactory
from mtmount_twisted.frontends.tcp.commanders import Shared
from mtmount_twisted.frontends.tcp.ports import PortClient, PortFactory
from mtmount_twisted.frontends.tcp.tls import HandshakeFactory
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.net import tls
from mtmount_twisted.net.accepts import accept_in_turns
from mtmount_twisted.net.endpoints import LISTEN_AGAIN, Endpoint
from mtmount_twisted.net.handshakes import HandshakeQueue
from mtmount_twisted.net.rate_limited_log import RateLimitedLog
from mtmount_twisted.net.tls import encrypted
from mtmount_twisted.net.turns import Turns

if TYPE_CHECKING:
    from .telemetry_parts import TelemetryParts


class OpenPort:
    """A port of the configuration that listens from construction until `close`.

    If it can't listen, it tries again each `LISTEN_AGAIN`.

    :ivar factory: makes the clients.
    :ivar listening: the listening socket; None until it is open.
    :ivar failure: the reason why the port can't listen now; else empty.
    """

    def __init__(
        self,
        settings: ManyClients,
        factory: ClientFactory[Any],
        handshakes: Turns,
        log: logging.Logger,
        reactor: Any,
    ) -> None:
        self._name, self._endpoint = settings.name, settings.endpoint
        self._log = log
        self.listening: IListeningPort | None = None
        self.failure: str = ""
        self.factory = factory
        self._closed = False
        self._pause: Deferred[None] = succeed(None)  # before the next try
        self._failures_log = RateLimitedLog(reactor, log)
        self._server: tls.Server | None = None
        self._reactor = reactor
        self._is_known: Callable[[str], bool] = factory.commanded.holds
        Deferred.fromCoroutine(self._open(settings, handshakes, reactor)).addCallbacks(
            self._opened, self._failed
        )

    async def _open(self, settings: ManyClients, handshakes: Turns, reactor: Any) -> IListeningPort:
        credentials = credentials_of(settings)
        endpoint = Endpoint.parse(settings.endpoint)
        if credentials is None:
            return await self._listen(partial(endpoint.listen, self.factory, reactor))
        factory = HandshakeFactory(self.factory, reactor, by_certificate=bool(settings.client_ca))
        commanded = self.factory.commanded
        self._is_known = lambda network: commanded.holds(network) or factory.is_known(network)
        queue = HandshakeQueue(handshakes, reactor.seconds, factory.is_known)
        server = self._server = tls.Server(credentials, queue)
        if settings.certificate is None:  # TLS, if any, comes with the endpoint
            encrypt = partial(encrypted, server=server, clock=reactor)
            return await self._listen(partial(endpoint.listen, factory, reactor, encrypt))
        return await self._listen(partial(endpoint.listen, encrypted(factory, server, reactor), reactor))

    async def _listen(self, listen: Callable[[], Deferred[IListeningPort]]) -> IListeningPort:
        """Listen, in as many tries as it takes.

        :raises CancelledError: if the port is closed before the next try.
        """
        while True:
            try:
                return await listen()
            except Exception as error:  # of Twisted, or of the plugin of an endpoint
                if self._closed:
                    raise
                self._note_failure(Failure(error))
            self._pause = deferLater(self._reactor, LISTEN_AGAIN)
            await self._pause

    def renew(self, settings: ManyClients) -> None:
        """Use the certificates that the files contain now for new connections. Keep the existing connections.

        :param settings: the reloaded settings of this port.
        :raises ConfigError: if a file can't be used; the port then keeps its certificates.
        """
        credentials = credentials_of(settings)
        if self._server is None or credentials is None or credentials == self._server.credentials:
            return
        before = self._server.credentials
        self._server.renew(credentials)
        self._log.info("%s: new connections use the renewed certificates", self._name)
        if credentials.authorities != before.authorities and self.factory.connected:
            self._log.warning(
                "%s: client_ca has changed: keeping %d earlier connections, whose certificates the previous "
                "authority may have signed; restart the daemon to close them",
                self._name,
                len(self.factory.connected),
            )

    def _opened(self, listening: IListeningPort) -> None:
        if self._closed:
            maybeDeferred(listening.stopListening)
        else:
            self.listening = listening
            accept_in_turns(listening, self._reactor, self._is_known, refuses=self.factory.refuses)
            if self.failure:
                self.failure = ""
                self._log.info("%s: listens on %s now", self._name, self._endpoint)

    def _failed(self, reason: Failure) -> None:
        if not self._closed:
            self._note_failure(reason)

    def _note_failure(self, reason: Failure) -> None:
        why = reason.getErrorMessage()
        self.failure = f"{self._name}: can't listen: {why}"
        self._failures_log.error("%s: can't listen: %s", self._name, why)

    @property
    def clients(self) -> list[PortClient]:
        """The connected clients of the bridge. Readers of telemetry don't count as clients."""
        return [client for client in self.factory.connected if isinstance(client, PortClient)]

    def note_holder(self, holder: IClient) -> None:
        """Note that a client of this port or of another one is the holder of command now."""
        if isinstance(holder, PortClient) and holder in self.factory.connected:
            holder.note_command()

    def close(self, why: str) -> Deferred[Any]:
        """Stop listening and close all connections.

        An endpoint that is still opening is closed once it is open, because some endpoints ignore a cancel.

        :returns: fires when the connections are gone.
        """
        self._closed = True
        self._pause.cancel()
        listening, self.listening = self.listening, None
        stopped = [] if listening is None else [maybeDeferred(listening.stopListening)]
        return DeferredList([*stopped, maybeDeferred(self.factory.close, why)], consumeErrors=True)


def open_port(
    settings: ManyClients, shared: Shared, telemetry: TelemetryParts | None, handshakes: Turns
) -> OpenPort:
    """Return a port of the configuration, which begins to listen.

    :param shared: the parts that the clients of all ports share.
    :param telemetry: the parts for the mount's telemetry; None if the mount sends none.
    :param handshakes: the turns in which TLS handshakes are computed.
    """
    factory: ClientFactory[Any]
    if isinstance(settings, PortCommanders):
        factory = PortFactory(settings, shared)
    else:
        assert telemetry is not None  # `config.loading`: this mount has telemetry
        factory = telemetry.make_factory(settings, shared.turns.without_rights)
    return OpenPort(settings, factory, handshakes, shared.log, shared.reactor)
