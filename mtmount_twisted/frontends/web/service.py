"""`WebService`: the page and the API over HTTP, put together from their areas.

Each area has a module of its own and offers `routes`. `Areas` makes the areas, and `make_site` puts their
routes behind one guard. The areas receive the parts of the daemon (`Parts`), and do not import them. This
module listens; `site` has the connections. Next to read: `routing`, then the area of interest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.python.failure import Failure

from mtmount_twisted.config.settings import ClientLimits, WebSettings
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.hosts import host_and_port
from mtmount_twisted.interfaces import IEventBus, IJournalState, IServed
from mtmount_twisted.motion.limits import LIMITS, NAMES
from mtmount_twisted.net.accepts import accept_in_turns
from mtmount_twisted.net.endpoints import Endpoint
from mtmount_twisted.net.handshakes import HandshakeQueue
from mtmount_twisted.net.tls import Credentials, Server, encrypted, endpoint_credentials
from mtmount_twisted.net.waiting import Waiters
from mtmount_twisted.version import __version__

from .api import asyncapi, openapi
from .api.acks import AckTimes
from .api.catalogue import CatalogueRoutes
from .api.command_tracker import CommandTracker
from .api.commanders import Commanders, CommandRoutes
from .api.health import Health, LoopWatch
from .api.history import History, Shelf
from .api.leases import Leases
from .api.metrics import Metrics
from .api.signal_history import SignalHistoryRoutes
from .api.slews import SlewRoutes
from .api.state import StateRoutes
from .api.telemetry import TelemetryRoutes
from .api.validation import Validator
from .events.ring import Feed, Turns
from .events.signals import SignalStreams
from .events.stamps import Stamps
from .events.streams import Bounds, Streams
from .http.calls import Route, User
from .http.guard import ANYONE, Guard, HostPolicy
from .http.pages import Pages
from .http.site import WebSite, make_site
from .http.tokens import ROLES, Tokens

API = "/api/"
"""The beginning of the paths of the API. The other paths are for browsers and monitoring systems."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the daemon that the page and the API show.

    :ivar served: an `app.bridge_service.BridgeService`, which has its parts once it was started.
    :ivar bus: a `bridge.event_bus.EventBus`, which publishes each record.
    :ivar journal: a `journal.recorder.Journal`, or ``JournalOff``.
    :ivar clients: the bounds on the backlog of a client or a reader.
    """

    served: IServed
    bus: IEventBus
    journal: IJournalState
    clients: ClientLimits


class Areas:
    """All areas.

    :param refused: return the number of refused connections.
    :ivar routes: the routes of all areas.
    """

    def __init__(
        self,
        parts: Parts,
        settings: WebSettings,
        log: logging.Logger,
        reactor: IReactorTime,
        wall_clock: Callable[[], float],
        refused: Callable[[], int],
    ) -> None:
        served, bus, journal = parts.served, parts.bus, parts.journal
        bridge, link = served.bridge, served.link
        turns = Turns(reactor)
        feed = Feed(bus, bridge.dialect, journal, reactor, turns, log=log)
        others = served.others
        if others is not None:
            others.subscribe(feed)
        shelf = Shelf(journal.path, reactor)
        stamps = Stamps(reactor, wall_clock)
        lives = CommandTracker(bus, bridge.dialect, reactor, stamps)
        acks = AckTimes(bus, bridge.dialect, reactor, stamps)
        commanders = Commanders(bridge, lives, reactor, log, settings.absent_after)
        leases = Leases(bridge, bus, feed.publish, commanders, reactor, stamps, log)
        state = StateRoutes(
            bridge, bus, link, journal, leases, reactor, stamps, served.telemetry, served.leadership
        )
        bounds = Bounds.of(settings, parts.clients)
        motion = TelemetryRoutes(
            *(bridge, served.telemetry, served.signals, served.motion, served.recorder, shelf),
            *(reactor, stamps, wall_clock),
        )
        live = SignalStreams(served.signals, motion.summary, reactor, turns, log)
        streams = Streams(feed, live, turns, commanders, bus, reactor, bounds, log)
        watch = LoopWatch(reactor)
        watch.start()
        metrics = Metrics(
            *(bridge, bus, link, journal, acks, watch, streams, refused),
            configured=lambda: served.names,
            version=__version__,
            seconds=reactor.seconds,
            telemetry=served.telemetry,
            motion=served.motion,
            recorder=served.recorder,
            broker=served.broker,
            others=others,
            leadership=served.leadership,
            telemetry_ports=lambda: served.telemetry_ports,
        )
        past = SignalHistoryRoutes(served.signals, served.recorder, shelf, wall_clock)
        slews = SlewRoutes(served.motion, shelf, wall_clock)
        history = History(shelf, turns, wall_clock, bridge.dialect, others=others)
        usual = {name: LIMITS[axis] for name, axis in NAMES.items()}
        limits_of = usual.get if served.motion is None else served.motion.limits_of
        validator = Validator(bridge, bus, reactor, state.devices, state.motion_of, limits_of)
        commands = CommandRoutes(commanders, validator)
        answering = (
            *(Pages(), state, motion, CatalogueRoutes(bridge.dialect), commands, leases),
            *(streams, history, past, slews, acks, Health(served, journal), metrics),
        )
        routes = [route for area in answering for route in area.routes()]
        self.routes: list[Route] = [_noted(route, commanders) for route in routes]
        self.routes += asyncapi.routes(self.routes, __version__, settings.path_prefix)
        self.routes += openapi.routes(self.routes, __version__, settings.path_prefix)
        closing = (
            *(validator, streams, commanders, leases, state, lives),
            *(acks, metrics, live, feed, shelf, turns),
        )
        unsubscribe = () if others is None else (partial(others.unsubscribe, feed),)
        self._closing = (watch.stop, *unsubscribe, *(part.close for part in closing))

    def close(self) -> None:
        """End all waits, and receive no more records. If one part fails, close the others all the same."""
        with ExitStack() as closing:
            for close in reversed(self._closing):
                closing.callback(close)


def _noted(route: Route, commanders: Commanders) -> Route:
    """Return a route of the API with requests that keep their users present; any other route as it is.

    A program that scrapes ``/metrics`` for ever must not keep command for a user that went away. Without
    tokens, the program and this user are one user.
    """
    if route.role is None or not route.path.startswith(API):
        return route
    return replace(route, respond=commanders.noting(route.respond))


class WebService(Service):
    """Serves the page and the API.

    :param endpoint: the address to listen on, as a Twisted server endpoint.
    :param tokens: the users' tokens; None if all may read and command.
    :param parts: the parts of the daemon; the bridge is started before this service.
    :param log: receives log records.
    :param reactor: the reactor; the global one if None.
    :ivar failure: the reason why it can't listen, or "".
    """

    name = "mtmount-web"

    def __init__(
        self,
        settings: WebSettings,
        endpoint: str,
        tokens: Tokens | None,
        parts: Parts,
        log: logging.Logger,
        reactor: IReactorTime | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.failure: str = ""
        self._settings = settings
        self._endpoint = endpoint
        self._tokens = tokens
        self._parts = parts
        self._log = log
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._areas: Areas | None = None
        self._site: WebSite | None = None
        self._port: IListeningPort | None = None
        self._server: Server | None = None  # of TLS
        self._closing = 0  # the number of calls of `stopService` that have not finished
        self._closed: Waiters[None] = Waiters()

    def startService(self) -> None:
        """Listen."""
        super().startService()  # type: ignore[no-untyped-call]
        reactor = self._reactor
        if reactor is None:
            from twisted.internet import reactor as running

            reactor = IReactorTime(running)
        self.failure = ""
        settings = self._settings
        self._areas = Areas(self._parts, settings, self._log, reactor, self._wall_clock, self._refused)
        routes, prefix = self._areas.routes, settings.path_prefix
        site = self._site = make_site(routes, self._guard(), self._log, reactor, settings, prefix)
        site.hsts = settings.hsts
        bridge = self._parts.served.bridge
        site.count_stops = lambda: bridge.stops
        credentials: Credentials | None = settings.credentials or endpoint_credentials(self._endpoint)
        endpoint = Endpoint.parse(self._endpoint)
        if credentials is None:
            self._server = None
            listening = endpoint.listen(site, reactor)
        else:
            queue = HandshakeQueue(self._parts.served.handshakes, reactor.seconds, site.is_known)
            server = self._server = Server(credentials, queue)
            listening = endpoint.listen(site, reactor, lambda factory: encrypted(factory, server, reactor))
        listening.addCallbacks(self._listens, self._failed, callbackArgs=(site,), errbackArgs=(site,))

    def renew(self, credentials: Credentials | None) -> None:
        """Use a renewed certificate for new connections. Keep the existing connections.

        :param credentials: None if the page is not encrypted.
        """
        if self._server is not None and credentials is not None and credentials != self._server.credentials:
            self._server.renew(credentials)
            self._log.info("web: new connections use the renewed certificate")

    def _refused(self) -> int:
        return 0 if self._site is None else self._site.refused

    def _guard(self) -> Guard:
        settings = self._settings
        anyone = User(ANYONE, frozenset(ROLES), Source[settings.source])
        return Guard(HostPolicy(settings.allowed_hosts, settings.allowed_origins), self._tokens, anyone)

    def _listens(self, port: IListeningPort, site: WebSite) -> None:
        if self._site is site:
            self._port = port
            accept_in_turns(port, site.reactor, site.is_known, clients_begin=True)
        else:  # it was stopped meanwhile
            port.stopListening()

    def _failed(self, reason: Failure, site: WebSite) -> None:
        if self._site is site:
            self.failure = f"can't listen on {self._endpoint}: {reason.getErrorMessage()}"
            self._close_areas()

    def _close_areas(self) -> None:
        areas, self._areas = self._areas, None
        if areas is not None:
            areas.close()

    @property
    def address(self) -> str:
        """The page's address, for people; "" if it does not listen."""
        if self._port is None:
            return ""
        host = self._port.getHost()
        if not isinstance(host, IPv4Address | IPv6Address):
            return self._endpoint
        scheme = "http" if self._server is None else "https"
        return f"{scheme}://{host_and_port(host.host, host.port)}"

    def stopService(self) -> Deferred[None]:
        """End all streams and waits, and close everything; fires when all sockets are gone.

        It can be called twice and at any time.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        closed = self._closed.wait()
        self._closing += 1
        site, self._site = self._site, None
        port, self._port = self._port, None
        closing = [] if port is None else [maybeDeferred(port.stopListening)]
        closing.append(maybeDeferred(self._close_areas))  # waiting requests are answered, then closed
        if site is not None:
            closing.append(maybeDeferred(site.close))
        DeferredList(closing, consumeErrors=True).addCallback(self._has_closed)
        return closed

    def _has_closed(self, results: Sequence[tuple[bool, object]]) -> None:
        for _, result in results:
            if isinstance(result, Failure):
                self._log.error("web: closing failed", exc_info=result.value)
        self._closing -= 1
        if not self._closing:
            self._closed.fire(None)
