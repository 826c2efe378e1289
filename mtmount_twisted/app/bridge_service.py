"""`BridgeService`: the bridge, its link to the controller and its commanders, built from a configuration.

The service opens and closes sockets and decides nothing about commands. Next to read: `bridge.core`, which
decides; `upstream.link`, the link to the controller; `frontends.tcp`, the clients.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, DeferredLock, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import (
    Controller,
    ManyClients,
    PairCommander,
    PortCommanders,
    TelemetryReaders,
)
from mtmount_twisted.dialects.dialect import Topology, dialect_named
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.frontends.tcp.commanders import (
    DuplexPairClient,
    OneWayPairClient,
    PairClient,
    ReadTurns,
    Shared,
)
from mtmount_twisted.interfaces import IBrokerState, IOtherBridges, IRecorderState, IServed, ITelemetryPort
from mtmount_twisted.journal.recording.recorder import Recorder, RecorderOff
from mtmount_twisted.net.admission import networks
from mtmount_twisted.net.handshakes import handshake_turns
from mtmount_twisted.net.pair import ConnectionPair
from mtmount_twisted.net.threads import in_daemon_thread
from mtmount_twisted.net.turns import Turns
from mtmount_twisted.net.waiting import Waiters
from mtmount_twisted.records import ChangeRecord
from mtmount_twisted.upstream.leadership.held_link import HeldLink
from mtmount_twisted.upstream.leadership.register import Commander
from mtmount_twisted.upstream.link import ControllerLink, DuplexLink, PairLink

if TYPE_CHECKING:
    from mtmount_twisted.upstream.leadership.service import Leadership
    from mtmount_twisted.upstream.motion_watch import MotionWatch
    from mtmount_twisted.upstream.signals import SignalMemory
    from mtmount_twisted.upstream.telemetry_link import TelemetryLink

    from .open_port import OpenPort
    from .telemetry_parts import TelemetryParts

SYSTEM_CHOICE = ("127.0.0.1", 0)
"""The built-in simulator's ports, until the bridge and the simulator know each other's ports."""

DRAIN_TIME = 3.0
"""The time for the commands in flight to end when the bridge is stopped, in seconds.

The connections then have `protocol.CLOSE_TIMEOUT` to close. `app.bridge` keeps the sum below 5 s.
"""


def _pair_link(controller: Controller | None, bridge: Bridge, log: logging.Logger, reactor: Any) -> PairLink:
    if controller is None:
        return PairLink(SYSTEM_CHOICE, SYSTEM_CHOICE, bridge, log, reactor)
    return PairLink(
        (controller.host, controller.command_port),
        (controller.reply_host or "", controller.reply_port or 0),
        bridge,
        log,
        reactor,
        networks((*controller.replies_from, *controller.addresses)),
    )


def _duplex_link(
    controller: Controller | None, bridge: Bridge, log: logging.Logger, reactor: Any
) -> DuplexLink:
    assert controller is not None  # a simulator with one connection listens before the bridge starts
    return DuplexLink(controller.host, controller.command_port, bridge, log, reactor)


_LINKS: dict[Topology, Callable[..., ControllerLink]] = {
    Topology.PAIR: _pair_link,
    Topology.DUPLEX: _duplex_link,
}
_KINDS = {PortCommanders: "port", TelemetryReaders: "telemetry"}
_COMMANDERS: dict[Topology, Callable[[PairCommander, Shared], PairClient]] = {
    Topology.PAIR: OneWayPairClient,
    Topology.DUPLEX: DuplexPairClient,
}


@implementer(IServed)
class BridgeService(Service):
    """Share one controller among many commanders.

    :param config: the controller, the commanders and their limits. If it names no controller, the link
        connects when ``link.connect(port)`` is called.
    :param log: the logger of all parts.
    :param bus: publishes the records; if None, the service makes a bus without a journal.
    :param reactor: the reactor; the global one if None.
    :param controller: return the place of the controller when the service starts; None to use the place in
        `config`.
    :param recorder: records the telemetry; the caller starts and stops it. None to record nothing.
    :ivar controller: the place of the controller, which the link uses.
    :ivar bridge: the core, which decides; exists once the service has started, as do the other parts.
    :ivar link: the link to the controller; with an election, an object in the place of the link.
    :ivar leadership: the election that opens and closes the link and the ports; None without an election. Set
        it before the start.
    :ivar telemetry: the link to the mount's telemetry; None if the mount sends none.
    :ivar broker: the state of the publication to a message broker; None without a station.
    :ivar others: the events of the other bridges; None without an election.
    :ivar signals: the mount's signals; None if the mount sends no telemetry.
    :ivar motion: the mount's motion; None if the mount sends no telemetry.
    :ivar handshakes: the turns in which the TLS handshakes of all ports and of the page are computed.
    """

    name = "mtmount-bridge"
    bridge: Bridge
    link: ControllerLink | HeldLink
    controller: Controller | None
    handshakes: Turns
    telemetry: TelemetryLink | None = None
    signals: SignalMemory | None = None
    motion: MotionWatch | None = None
    broker: IBrokerState | None = None
    others: IOtherBridges | None = None
    leadership: Leadership | None = None

    def __init__(
        self,
        config: Config,
        log: logging.Logger,
        bus: EventBus | None = None,
        reactor: Any = None,
        controller: Callable[[], Controller | None] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.config: Config = config
        self._recorder = recorder
        self.recorder: IRecorderState = recorder or RecorderOff()
        self._find_controller = controller or (lambda: config.controller)
        self._log = log
        self._bus = bus
        self._reactor = reactor
        self._pairs: dict[PairCommander, PairClient] = {}
        self._ports: dict[ManyClients, OpenPort] = {}
        self._telemetry_parts: TelemetryParts | None = None
        self._open_port: Callable[..., OpenPort] | None = None
        self._is_open = False
        self._serves = False  # the ports are open
        self._draining: Deferred[None] = succeed(None)
        self._ended: Waiters[None] = Waiters()  # wait for the end of all commands
        self._stops: Waiters[None] = Waiters()
        self._changes = DeferredLock()  # for one change to the commanders at a time

    def startService(self) -> None:
        """Listen for the commanders, and connect to the controller."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        self._is_open = True
        config = self.config
        bus = self._used_bus = self._bus or EventBus(self._reactor)
        self.bridge = Bridge(self._reactor, self._log, bus, config.command, dialect_named(config.dialect))
        self._turns = ReadTurns(self._reactor)
        self.handshakes = handshake_turns(self._reactor)
        self.controller = self._find_controller()
        make_link = partial(
            _LINKS[self.bridge.dialect.topology], self.controller, self.bridge, self._log, self._reactor
        )
        leadership = self.leadership
        if leadership is None:
            self.link = make_link()
        else:
            assert self.controller is not None  # `config.loading`: an election needs one

            def make_guarded() -> ControllerLink:
                link = make_link()
                link.guard = leadership.guard
                return link

            self.link = HeldLink(make_guarded, self.controller.host, self.controller.command_port)
            self.bridge.withhold(leadership.why_withheld)
            bus.subscribe(self._note_change, ChangeRecord)
        at = None if self.controller is None else self.controller.telemetry
        if at is not None:
            from .telemetry_parts import make_parts

            dialect, connect = self.bridge.dialect, leadership is None
            parts = make_parts(at, config, dialect, bus, self._log, self._reactor, connect)
            self._telemetry_parts = parts
            self.telemetry, self.signals, self.motion = parts.link, parts.signals, parts.motion
            if self._recorder is not None:
                self.telemetry.subscribe(self._recorder.keep_telemetry)
        if config.client_ports:
            self._find_open_port()  # at a take-over the files may be those of another version
        if leadership is None:
            self._serves = True
            self._open(config.pairs, config.client_ports.values())

    def _note_holder(self, record: ChangeRecord, number: int) -> None:
        """Tell the ports of a new holder of command."""
        holder = self.bridge.lease.holder
        if record.kind != "lease_granted" or holder is None:
            return
        try:
            for port in self._ports.values():
                port.note_holder(holder)
        except Exception:  # otherwise the bus would not call this again
            self._log.exception("a port failed to note the holder of command")

    # The place among several bridges

    def _note_change(self, record: ChangeRecord, number: int) -> None:
        """Tell the election of the link and of the holder of command."""
        leadership = self.leadership
        assert leadership is not None
        try:
            if record.kind in ("link_up", "link_down"):
                leadership.link_changed(self.bridge.link is not None)
            elif record.kind in ("lease_granted", "lease_released"):
                holder, lease = self.bridge.lease.holder, self.bridge.lease.number
                commander = None if holder is None else Commander(holder.name, holder.source.name, lease)
                leadership.command_changed(commander)
        except Exception:  # otherwise the bus would not call this again
            self._log.exception("the election failed to note a change")

    def open_link(self, key: int | None) -> None:
        """See `leadership.service.House`."""
        assert isinstance(self.link, HeldLink)
        if key is not None:
            self.bridge.begin_keys(key)
        self.link.open()
        if self.telemetry is not None:
            self.telemetry.open()

    def retry_link(self) -> None:
        """See `leadership.service.House`."""
        assert isinstance(self.link, HeldLink)
        self.link.try_now()

    def close_link(self, why: str) -> None:
        """See `leadership.service.House`."""
        assert isinstance(self.link, HeldLink)
        self.link.abort(why)
        if self.telemetry is not None:
            self.telemetry.pause()

    def open_ports(self, inherited: Commander | None) -> None:
        """See `leadership.service.House`."""
        if inherited is not None and inherited.source in Source.__members__:
            self.bridge.inherit(inherited.holder, Source[inherited.source])
        self._serves = True
        self._open(self.config.pairs, self.config.client_ports.values())
        self._log.info("now serving %s", self.describe())

    def close_ports(self, why: str) -> None:
        """See `leadership.service.House`."""
        self._serves = False
        pairs, ports = list(self._pairs.values()), list(self._ports.values())
        self._pairs.clear()
        self._ports.clear()
        for client in (*pairs, *(client for port in ports for client in port.clients)):
            self.bridge.client_leaves(client, why)
        self.bridge.stand_by(why)
        for pair in pairs:
            pair.close()
        for port in ports:
            port.close(why)

    def end_moves(self, why: str) -> None:
        """See `leadership.service.House`."""
        self.bridge.end_moves(why)

    def record_tenure(self, detail: str) -> None:
        """See `leadership.service.House`."""
        bus = self._used_bus
        bus.publish(ChangeRecord(bus.now(), bus.epoch, "", "tenure", detail))

    def load_numbers(self) -> Deferred[None]:
        """Load numpy, for the positions on the sky, in a thread. Call this when the daemon serves.

        :returns: fires when numpy is loaded, or when the log says why it can't be loaded.
        """

        def failed(reason: Failure) -> None:
            self._log.warning("no positions on the sky: their numbers can't be loaded: %s", reason.value)

        if self.motion is None:
            return succeed(None)
        loading = self.motion.load(lambda work: in_daemon_thread(self._reactor, work, "load numpy"))
        return Deferred.fromCoroutine(loading).addErrback(failed)

    def _open(self, pairs: Iterable[PairCommander], ports: Collection[ManyClients]) -> None:
        shared = Shared(self.bridge, self.config.clients, self._turns, self._log, self._reactor)
        for pair in pairs:
            dialect = self.bridge.dialect if pair.dialect is None else dialect_named(pair.dialect)
            self._pairs[pair] = _COMMANDERS[dialect.topology](pair, shared)
        self._used_bus.unsubscribe(self._note_holder)
        if ports or self._ports:
            self._used_bus.subscribe(self._note_holder, ChangeRecord)
        for port in ports:
            open_port = self._find_open_port()
            self._ports[port] = open_port(port, shared, self._telemetry_parts, self.handshakes)

    def _find_open_port(self) -> Callable[..., OpenPort]:
        """Return `open_port.open_port`, whose module a daemon without such a port does not import."""
        if self._open_port is None:
            from .open_port import open_port

            self._open_port = open_port
        return self._open_port

    def reload(self, config: Config) -> Deferred[None]:
        """Serve the commanders of another configuration.

        First close the commanders and ports that the new configuration lacks, then open the new ones. A
        commander in both configurations keeps its connections, and so does the controller. A change to any
        other section needs a restart, and a warning in the log names the section.

        :returns: fires when the bridge serves the commanders. A call waits for the end of an earlier call.
        """
        return self._changes.run(lambda: Deferred.fromCoroutine(self._reload(config)))

    async def _reload(self, config: Config) -> None:
        if not self.running:
            return
        for field in attrs.fields(Config):
            if field.name not in ("pairs", "ports", "telemetry") and (
                getattr(config, field.name) != getattr(self.config, field.name)
            ):
                section = field.metadata["section"]
                self._log.warning("[%s] has changed: restart the daemon to apply it", section)
        web = self.config.web
        # Certificates do not count as a change of [web]: renewed ones are used at once.
        if config.web.endpoint == web.endpoint and config.web.credentials is not None:
            web = attrs.evolve(web, credentials=config.web.credentials)
        self.config = attrs.evolve(
            self.config, pairs=config.pairs, ports=config.ports, telemetry=config.telemetry, web=web
        )
        wanted = self.config.client_ports.values()
        why = "it is not in the configuration any more"
        gone_pairs = [pair for pair, at in self._pairs.items() if pair not in config.pairs or at.listen_error]
        gone_ports = [port for port, at in self._ports.items() if port not in wanted or at.failure]
        pairs = [self._pairs.pop(pair) for pair in gone_pairs]
        ports = [self._ports.pop(port) for port in gone_ports]
        for client in (*pairs, *(client for port in ports for client in port.clients)):
            self.bridge.client_leaves(client, why)
        going = [maybeDeferred(pair.close) for pair in pairs]
        going += [maybeDeferred(port.close, why) for port in ports]
        self._log.info("configuration reloaded: closing %d commanders and ports", len(going))
        await DeferredList(going, consumeErrors=True)
        if self.running:
            self._renew(wanted)
            if self._serves:
                added = [pair for pair in config.pairs if pair not in self._pairs]
                self._open(added, [port for port in wanted if port not in self._ports])
            self._log.info("now serving %s", self.describe())

    def _renew(self, ports: Iterable[ManyClients]) -> None:
        """Renew the certificates of the ports that stay open."""
        for settings in ports:
            if settings in self._ports:
                try:
                    self._ports[settings].renew(settings)
                except ConfigError as error:
                    self._log.error("%s: keeping the previous certificates: %s", settings.name, error)

    @property
    def pairs(self) -> list[PairClient]:
        """The clients of the configured pairs."""
        return list(self._pairs.values())

    @property
    def ports(self) -> list[IListeningPort]:
        """The sockets of the configured ports that listen, in the order of the configuration."""
        return [port.listening for port in self._ports.values() if port.listening is not None]

    @property
    def names(self) -> list[str]:
        """The names of the configured commanders and ports, in the order of the configuration."""
        config = self.config
        return [*(pair.name for pair in config.pairs), *(port.name for port in config.ports)]

    @property
    def telemetry_ports(self) -> Sequence[ITelemetryPort]:
        """The configured ports that serve telemetry."""
        factories = [port.factory for port in self._ports.values()]
        return [factory for factory in factories if ITelemetryPort.providedBy(factory)]

    @property
    def port_failures(self) -> list[str]:
        """One line for each port that can't listen, with the reason."""
        return [port.failure for port in self._ports.values() if port.failure]

    @property
    def all_pairs(self) -> list[ConnectionPair[bytes]]:
        """Every connection pair: first the controller's pair, then the commanders' pairs."""
        link = self.link.current if isinstance(self.link, HeldLink) else self.link
        return [*([] if link is None else [link]), *self.pairs]

    def describe(self) -> str:
        """Return one line for people that names each commander and port, and its addresses."""
        if not self._serves and self.leadership is not None:
            return "no commander: this bridge stands by"
        return "; ".join(
            [f"commander {pair.describe()}" for pair in self.pairs]
            + [
                f"{_KINDS[type(port)]} {port.name} on {port.endpoint}"
                for port, at in self._ports.items()
                if not at.failure
            ]
        )

    def stopService(self) -> Deferred[None]:
        """End all commands and close all connections.

        The commands in flight have `DRAIN_TIME` to end; a second call ends them at once.

        :returns: fires when all sockets are gone.
        """
        if self.running:
            super().stopService()  # type: ignore[no-untyped-call]
            self._draining = maybeDeferred(self.bridge.drain, DRAIN_TIME).addErrback(self._report)
            Deferred.fromCoroutine(self._close(self._draining)).addErrback(self._report)
        else:
            self._draining.cancel()
        return self._stops.wait() if self._is_open else succeed(None)

    def wait_ended(self) -> Deferred[None]:
        """Wait for the end of all commands of a bridge that is stopping or has stopped.

        :returns: fires before the connections are closed.
        """
        return self._ended.wait() if self._is_open else succeed(None)

    async def _close(self, draining: Deferred[None]) -> None:
        """Close all parts. Fire the Deferreds that wait for the end, also after an error in one part."""
        try:
            await draining
            await self._changes.run(lambda: Deferred.fromCoroutine(self._close_all()))
        finally:
            self._is_open = False
            self._ended.fire(None)
            self._stops.fire(None)

    async def _close_all(self) -> None:
        for each in (self._note_holder, self._note_change):
            self._used_bus.unsubscribe(each)
        closing = [maybeDeferred(self._end_commands)]
        closing += [maybeDeferred(port.close, "the bridge ends") for port in self._ports.values()]
        closing += [maybeDeferred(pair.close) for pair in self.all_pairs]
        if self.telemetry is not None:
            closing.append(maybeDeferred(self.telemetry.close))
        for _, result in await DeferredList(closing, consumeErrors=True):
            if isinstance(result, Failure):
                self._report(result)
        if self._telemetry_parts is not None:
            self._telemetry_parts.fanout.close()
        if self.motion is not None:
            self.motion.close()
        self._turns.close()
        self.handshakes.close()

    def _end_commands(self) -> None:
        try:
            self.bridge.close()
        finally:
            self._ended.fire(None)

    def _report(self, reason: Failure) -> None:
        self._log.error("stopping the bridge failed: %s", reason.getTraceback())
