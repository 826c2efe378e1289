"""``twistd mtmount-bridge``: its options, and the one place that assembles its parts.

`Options` merges the command line with the configuration file. `makeService` checks the result against this
machine and builds a `BridgeDaemon`, which starts, reloads and stops the parts. Next to read:
`bridge_service`, which builds the bridge; `daemon`, which holds the checks that both daemons share.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

import attrs
from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    TimeoutError,
    maybeDeferred,
    succeed,
)
from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.cli.standard_streams import say
from mtmount_twisted.config import preflight
from mtmount_twisted.config.loading import Config, check, default_config, load_file
from mtmount_twisted.config.settings import (
    WEB_ENDPOINT,
    BrokerSettings,
    Controller,
    JournalSettings,
    PairCommander,
    SimulatorSettings,
    TelemetryReaders,
    WebSettings,
)
from mtmount_twisted.dialects.dialect import Dialect, Topology, dialect_named
from mtmount_twisted.errors import ConfigError, ListenError
from mtmount_twisted.frontends.tcp.certificates import (
    CertificateWatch,
    certificate_warnings,
    with_credentials,
)
from mtmount_twisted.hosts import host_and_port, parse_host_and_port
from mtmount_twisted.interfaces import IJournalState
from mtmount_twisted.journal.recorder import STOP_TIME, Journal, JournalOff
from mtmount_twisted.journal.recording.items import RecorderOptions
from mtmount_twisted.journal.recording.recorder import Recorder
from mtmount_twisted.journal.schema import FileOptions, is_end
from mtmount_twisted.net.addresses import replies_by_default
from mtmount_twisted.net.deadlines import FairClock
from mtmount_twisted.net.endpoints import Endpoint
from mtmount_twisted.net.resolving import look_up
from mtmount_twisted.net.threads import NoThreadError, in_daemon_thread
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord
from mtmount_twisted.upstream.link import ControllerLink
from mtmount_twisted.version import __version__, how_to_install
from mtmount_twisted.wire.fields import utc_now
from mtmount_twisted.wire.lines import SHOWN_BYTES

from . import daemon
from .bridge_service import DRAIN_TIME, BridgeService
from .built_in import HOST, BuiltIn, built_in, closed

if TYPE_CHECKING:
    from mtmount_twisted.frontends.broker.desk import Desk
    from mtmount_twisted.frontends.broker.service import BrokerService

DAEMON = "mtmount-bridge"

S = TypeVar("S", JournalSettings, WebSettings)

END_TIME = 3.7
"""The longest time for every part except the journal and the recorder to end after SIGTERM, in seconds.

The connections take at most `DRAIN_TIME` plus `protocol.CLOSE_TIMEOUT`. The daemon must end within 5 s: this
time, `JOURNAL_TIME` and `twistd_log.LAST_WORDS` sum to 4.5 s, and the rest is a reserve for a loaded machine.
"""

JOURNAL_TIME = 0.5
"""The time that remains for the journal and the recorder, which end together, if the other parts take all of
`END_TIME`, in seconds."""

GIVE_UP_TIME = 0.1
"""The time before its deadline at which the journal stops writing and counts the lost rows, in seconds. At
this time the recorder gives up its thread, too: the next start finishes the recording."""

FEW_FILES = (
    "this process may open %d files, and this configuration can need %d: raise the limit (ulimit -n, "
    "LimitNOFILE=), or lower max_clients and web.max_connections"
)

LAST_EVENTS_TIME = 0.3
"""The longest time to publish the last events after the journal is closed, in seconds. The next start
publishes any events that are left."""

GIVE_LEASE_TIME = 1.0
"""The longest time to give the address and the lease to a standby, in seconds. Otherwise the standby takes
them later."""

SAFE_TAKE_OVER = 3.0
"""The longest take-over, in seconds, after which a mount of tma2022 still gets its next heartbeat in time."""

AT_ONCE = 0.1
"""The longest time for the end of a part that waits for nothing, in seconds."""

_OPTION_FOR = {
    "controller.host": "controller",
    "controller.command_port": "controller",
    "controller.dialect": "controller-dialect",
    "controller.reply_host": "controller-reply-host",
    "controller.reply_port": "controller-reply-port",
    "simulator.dialect": "simulator-dialect",
    "controller.telemetry_host": "telemetry",
    "controller.telemetry_port": "telemetry",
    "pair[1].listen": "listen",
    "pair[1].command_port": "command-port",
    "pair[1].reply_host": "reply-host",
    "pair[1].reply_port": "reply-port",
    "journal.path": "journal",
    "web.endpoint": "web",
}
"""The option for each key of the configuration that has one."""


class Options(daemon.OneLineOptions):
    """The options of ``twistd mtmount-bridge``."""

    program = DAEMON
    synopsis = "[options]"
    longdesc = (
        "Holds the connections to a telescope mount, shares them among commanders, and decides who has "
        "command. A commander sends its commands to --listen at --command-port. In the protocol tma2020 it "
        "listens for replies at --reply-host and --reply-port. In tma2022 the same connection carries them. "
        "A configuration file sets up more commanders and all other settings "
        "(docs/reference/configuration.rst)."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["config", "f", None, "configuration file; the other options take precedence over it"],
        ["controller", "c", None, "HOST:PORT where the mount takes commands [default: a built-in simulator]"],
        ["controller-reply-host", None, None, "tma2020: address to listen on for the mount's replies "
         "[default: 127.0.0.1 if the controller is on this machine, else all addresses]"],
        ["controller-reply-port", None, None, "tma2020: port to listen on for the mount's replies "
         "[default: the controller's PORT + 1]"],
        ["controller-dialect", "d", None, "the mount's generation of the protocol: tma2020, or tma2022 "
         "[default: tma2020]"],
        ["telemetry", "t", None, "tma2022: HOST:PORT of the mount's telemetry "
         "[default: the controller's HOST and port 50035]"],
        ["simulator-dialect", None, None, "the built-in simulator's generation of the protocol: tma2020, or "
         "tma2022, which starts with power and oil on and the axes homed [default: tma2022 without a file; "
         "with a file its simulator.dialect, or tma2020]"],
        ["listen", "l", None, "address to listen on for the first commander's commands [default: 127.0.0.1]"],
        ["command-port", "p", None, "port to listen on for the first commander's commands; with this option "
         "the simulated mount's second commander (30015) and telemetry (50035) are not served "
         "[default: 30005]"],
        ["reply-host", None, None, "tma2020: host where the first commander listens for replies "
         "[default: 127.0.0.1]"],
        ["reply-port", "r", None, "tma2020: port where the first commander listens for replies "
         "[default: command port + 1]"],
        ["journal", "j", None, "file of the journal, or 'none' [default: see docs/reference/journal.rst]"],
        ["web", "w", None, "endpoint of the page and the API, such as tcp:8080:interface=127.0.0.1, "
         "or 'none' [default: see docs/reference/web.rst]"],
        ["log-format", None, "text", "form of the log: text, or json, one object a line"],
        ["check-one-peer", None, None, "HOST:PORT of an idle mount: try whether it refuses a second peer, "
         "print the value of station.one_peer, then exit"],
    ]  # fmt: skip
    optFlags: ClassVar[list[list[str | None]]] = [
        ["check-config", None, "check the file and the options, then exit"],
        ["doctor", None, "check this machine, one line for each thing, then exit; 1 if there is a fault"],
        ["example-config", None, "print an example configuration with every key, then exit"],
        ["station-config", None, "print a configuration of nats-server for [station], then exit"],
        [
            "station-demo",
            None,
            "show a standby: run nats-server, two bridges and a simulated mount on this machine",
        ],
        ["verbose", "v", "log more"],
    ]
    converters: ClassVar[Mapping[str, Callable[[str], Any]]] = {
        "controller": parse_host_and_port,
        "controller-reply-port": daemon.listen_port,
        "controller-dialect": daemon.dialect,
        "telemetry": parse_host_and_port,
        "check-one-peer": parse_host_and_port,
        "simulator-dialect": daemon.dialect,
        "command-port": daemon.listen_port,
        "reply-port": daemon.connect_port,
        "log-format": daemon.log_format,
    }

    def postOptions(self) -> None:
        """Convert the options, and merge them with the file into the configuration."""
        super().postOptions()
        if self["example-config"]:
            from mtmount_twisted.config.example import toml_file

            say(DAEMON, toml_file().rstrip())
            raise SystemExit(0)
        if self["check-one-peer"] is not None:
            _check_one_peer(*self["check-one-peer"])
            raise SystemExit(0)
        if not any(self[name] for name in ("check-config", "doctor", "station-config")):
            daemon.note_signal(signal.SIGHUP)  # the default action would end the process before it serves
        path = self["config"]
        self.config_file: str | None = (
            None if path is None else os.path.abspath(path)
        )  # twistd may change its folder
        try:
            self.config: Config = configured(self, path)
        except ConfigError as error:
            daemon.stop_all(DAEMON, _in_options(self, error))
        if self["doctor"]:
            raise SystemExit(_examine(self))
        if self["station-config"]:
            _print_station_config(self.config)
            raise SystemExit(0)
        if self["check-config"]:
            _check_here(self)
            say(DAEMON, f"{DAEMON}: the configuration is right")
            raise SystemExit(0)


def configured(options: Any, path: str | None) -> Config:
    """Return the configuration of a file, or the default, overridden by the options.

    :raises ConfigError: with every problem found.
    """
    config = default_config() if path is None else load_file(path)
    if path is None and options["controller"] is not None:  # with a controller, the CSC speaks its dialect
        config = attrs.evolve(config, pairs=(attrs.evolve(config.pairs[0], dialect=None),))
    config = attrs.evolve(
        config,
        controller=_controller(options, config.controller),
        simulator=_simulator(options, config.simulator),
        pairs=_pairs(options, config.pairs),
        journal=_switched(config.journal, "path", options["journal"]),
        web=_switched(config.web, "endpoint", options["web"]),
    )
    wrong = tuple(_without_effect(options, config))
    if wrong:
        raise ConfigError("the options", wrong)
    return check(config, "the options" if path is None else path)


_OF_A_CONTROLLER = ("controller-reply-host", "controller-reply-port", "controller-dialect", "telemetry")
_OF_MOUNTS_REPLIES = ("controller-reply-host", "controller-reply-port")
_OF_REPLIES = ("reply-host", "reply-port")


def _without_effect(options: Any, config: Config) -> Iterator[str]:
    """Report the options that have no effect in this configuration."""

    def each(names: Iterable[str], why: str) -> Iterator[str]:
        return (f"--{name}: {why}" for name in names if options[name] is not None)

    if config.controller is None:
        yield from each(_OF_A_CONTROLLER, "there is no controller: give --controller too")
    else:
        yield from each(["simulator-dialect"], "there is a controller, and no simulator: leave this out")
    of_pair = (config.pairs[0].dialect if config.pairs else None) or config.dialect
    of_mount = _OF_MOUNTS_REPLIES if config.controller is not None else ()
    for dialect, names in ((config.dialect, of_mount), (of_pair, _OF_REPLIES)):
        if dialect_named(dialect).topology is not Topology.PAIR:
            why = f"replies of {dialect} come on the connection of the commands: leave this out"
            yield from each(names, why)


def _in_options(options: Any, error: ConfigError) -> list[str]:
    """Return one line for each problem, which names the key of the file or, without a file, the option."""
    if options["config"] is not None:
        return [f"{error.where}: {why}" for why in error.problems]
    whys = [
        re.sub(r"[a-z]+(?:\[\d+])?\.[a-z_]+", lambda found: _place(options, found[0]), why)
        for why in error.problems
    ]
    return list(dict.fromkeys(whys))  # one option may set two keys


def _place(options: Any, key: str) -> str:
    """Return the source of a key's value: an option, or the file and the key."""
    option = _OPTION_FOR.get(key)
    if option is not None and (options["config"] is None or options[option] is not None):
        return f"--{option}"
    return key if options["config"] is None else f"{options['config']}: {key}"


def _controller(options: Any, controller: Controller | None) -> Controller | None:
    given = _given(
        options,
        reply_host="controller-reply-host",
        reply_port="controller-reply-port",
        dialect="controller-dialect",
    )
    if options["telemetry"] is not None:
        given["telemetry_host"], given["telemetry_port"] = options["telemetry"]
    if options["controller"] is not None:
        host, port = options["controller"]
        if controller is not None:
            given.setdefault("dialect", controller.dialect)
        return Controller(host=host, command_port=port, **given)
    return attrs.evolve(controller, **given) if controller is not None else None


def _simulator(options: Any, simulator: SimulatorSettings) -> SimulatorSettings:
    return attrs.evolve(simulator, **_given(options, dialect="simulator-dialect"))


def _pairs(options: Any, pairs: tuple[PairCommander, ...]) -> tuple[PairCommander, ...]:
    given = _given(
        options,
        listen="listen",
        command_port="command-port",
        reply_host="reply-host",
        reply_port="reply-port",
    )
    if not given:
        return pairs
    if "command_port" in given and "reply_port" not in given:
        given["reply_port"] = None  # `check` replaces it by the default for the new port, if it has one
    first = pairs[0] if pairs else default_config().pairs[0]
    return attrs.evolve(first, **given), *pairs[1:]


def _switched(section: S, field: str, value: str | None) -> S:
    """Return a section as an option sets it: ``none`` turns the section off; any other value is for the
    field, and turns the section on."""
    if value is None:
        return section
    changes: dict[str, Any] = {"enabled": False} if value == "none" else {"enabled": True, field: value}
    return attrs.evolve(section, **changes)


def _given(options: Any, **names: str) -> dict[str, Any]:
    """Return the options that are set, by the name of the field that each one sets."""
    return {field: options[option] for field, option in names.items() if options[option] is not None}


class BridgeDaemon(daemon.DaemonService, MultiService):
    """The bridge, its journal and its web service, and the simulator if no controller is configured.

    SIGHUP reloads the configuration. The first SIGTERM gives the commands in flight `DRAIN_TIME` to end; a
    second SIGTERM gives them no more time.

    :param simulator: the built-in simulator, or None.
    :param journal: a `journal.recorder.Journal`, or None.
    :param recorder: the recorder of telemetry, or None.
    :param web: a `web.service.WebService`, or None.
    :param needs_web: True if the daemon ends when the web service can't listen.
    :param broker: the child process for the message broker, or None.
    :param reread: given the configuration in use, return the configuration that the file holds now; may
        block.
    """

    def __init__(
        self,
        bridge: BridgeService,
        simulator: BuiltIn | None,
        journal: Journal | None,
        recorder: Recorder | None,
        web: Any,
        needs_web: bool,
        log: logging.Logger,
        reread: Callable[[Config], Config],
        broker: BrokerService | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reread = reread
        self._reading: Deferred[Config] | None = None
        self._reloads = False
        self._bridge = bridge
        self._simulator = simulator
        self._journal = journal
        self._recorder = recorder
        self._broker = broker
        self._leadership = bridge.leadership
        self._web = web
        self._needs_web = needs_web
        self._log = log
        for service in (None if simulator is None else simulator.service, bridge, web):
            if service is not None:
                service.setServiceParent(self)
        self._certificates = CertificateWatch(lambda: bridge.config, log)

    def startService(self) -> None:
        """Start the parts. Connect the simulator, if there is one, to the bridge."""
        config = self._bridge.config
        if config.controller is None:
            told = "no controller configured (--controller HOST:PORT): using the built-in simulator"
        else:
            place = host_and_port(config.controller.host, config.controller.command_port)
            told = f"the controller is at {place}"
        self._log.info("%s; its dialect is %s", told, config.dialect)
        if self._journal is not None:
            self._journal.start()
            self._journal.keep(ChangeRecord(time.time(), 0, "", "started", f"pid {os.getpid()}"))
        if self._recorder is not None:
            self._recorder.start()
        try:
            super().startService()  # type: ignore[no-untyped-call]
        except ListenError as error:  # the simulator's: the other parts report their errors below
            daemon.check_failures(DAEMON, [str(error)])
        daemon.check_listening(DAEMON, self._bridge.all_pairs)
        daemon.check_failures(DAEMON, [*self._bridge.port_failures, *self._web_failures()])
        self._certificates.startService()  # type: ignore[no-untyped-call]
        ready = succeed(None)
        if self._simulator is not None and isinstance(self._bridge.link, ControllerLink):
            ready = self._simulator.join(self._bridge.link)
        ready.addCallbacks(self._serve, closed)
        daemon.on_signal(signal.SIGHUP, self.reload)

    def _serve(self, joined: object) -> None:
        if self._broker is not None and not self._broker.running:  # its start must not delay the others
            self._broker.startService()
            if self._leadership is not None:
                self._leadership.startService()
        self.announce(self._log, f"serving {self._describe()}")
        from twisted.internet import reactor

        running: Any = reactor
        running.callWhenRunning(self._bridge.load_numbers)

    def _web_failures(self) -> list[str]:
        """Return the reason why the page is not served, if the daemon needs the page; otherwise log the
        reason."""
        failure = "" if self._web is None else self._web.failure
        if failure and not self._needs_web:
            self._log.warning(
                "the page and the API are not served: %s; give another address with "
                "--web tcp:PORT:interface=127.0.0.1, or --web none",
                failure,
            )
            return []
        return [f"web: {failure}"] if failure else []

    def _describe(self) -> str:
        page = "" if self._web is None else self._web.address
        return self._bridge.describe() + (f"; page on {page}" if page else "")

    def reload(self) -> None:
        """Read the configuration again and serve its commanders.

        A configuration with an error changes nothing. Only one reload runs at a time. While the daemon is
        stopping, none runs.
        """
        if self._reloads:
            self._log.warning("reload refused: an earlier reload is still under way")
        elif self.running:
            reloaded = Deferred.fromCoroutine(self._reload())
            reloaded.addErrback(lambda why: self._log.error("the reload failed: %s", why.getTraceback()))

    async def _reload(self) -> None:
        from twisted.internet import reactor

        self._reloads = True
        try:
            if self.manager is not None:
                self.manager.reloading()
            # A name server or a network file system may hang. Nothing may block the reactor: design rule 3.
            self._reading = in_daemon_thread(reactor, lambda: self._reread(self._bridge.config), "reload")
            config = await self._reading
        except CancelledError:
            pass
        except (ConfigError, SystemExit, NoThreadError) as error:
            for why in str(error).splitlines():
                self._log.error("configuration not reloaded: %s", why)
        else:
            self._certificates.warn(config)
            await self._bridge.reload(config)
            if self._web is not None:
                self._web.renew(self._bridge.config.web.credentials)
        finally:
            self._reloads = False
            if self.manager is not None:
                self.manager.reloaded()

    async def _stop(self) -> None:
        """Stop the parts. The commands in flight end first, because they need every part. The journal ends
        last."""
        from twisted.internet import reactor

        clock: Any = reactor
        end = clock.seconds() + END_TIME

        async def within(what: str, seconds: float, stopping: Callable[[], object]) -> None:
            """Stop one part. Log an error, so that the next part is stopped too."""
            try:
                await maybeDeferred(stopping).addTimeout(max(0.0, seconds), FairClock(clock))
            except TimeoutError:
                self._log.error("%s does not end: the daemon ends without it", what)
            except Exception:
                self._log.exception("stopping %s failed", what)

        await within("the service", AT_ONCE, lambda: Service.stopService(self))
        if self._certificates.running:
            await within("the watch over certificates", AT_ONCE, self._certificates.stopService)
        if self._reading is not None:
            await within("a reload", AT_ONCE, self._reading.cancel)
        leadership = self._leadership

        async def close_bridge() -> None:
            """Close the bridge, then give up its lease, for which a standby waits."""
            await within("the bridge", end - clock.seconds(), self._bridge.stopService)
            if leadership is not None:
                await within("the election", min(end - clock.seconds(), GIVE_LEASE_TIME), leadership.finish)
                leadership.stopService()

        if leadership is not None:
            leadership.begin_end()
        ended = maybeDeferred(self._bridge.wait_ended)
        closing = [Deferred.fromCoroutine(close_bridge())]
        await within("a command in flight", DRAIN_TIME + 0.1, lambda: ended)
        if self._web is not None:
            closing.append(
                Deferred.fromCoroutine(within("the page", end - clock.seconds(), self._web.stopService))
            )
        if self._broker is not None:
            await within("the broker's users", AT_ONCE, self._broker.close_desk)
        await DeferredList(closing)
        if self._simulator is not None:
            await within("the simulator", end - clock.seconds(), self._simulator.service.stopService)
        lost = 0
        seconds = max(0.0, end - clock.seconds()) + JOURNAL_TIME
        last = min(seconds - GIVE_UP_TIME, STOP_TIME)
        recorder, journal = self._recorder, self._journal
        recording = succeed(None)
        if recorder is not None:
            recording = Deferred.fromCoroutine(within("the recorder", seconds, lambda: recorder.stop(last)))
        if journal is not None:
            await within("the journal", seconds, lambda: journal.stop(last, "stopped"))
            lost = journal.lost
        if self._broker is not None and self._broker.running:
            broker, left = self._broker, max(0.0, end - clock.seconds()) + JOURNAL_TIME - AT_ONCE
            await within("the station", left + AT_ONCE, lambda: broker.finish(min(left, LAST_EVENTS_TIME)))
        await recording
        if lost:
            self._log.error("the daemon ends; %d rows of this run are not in the journal", lost)
        else:
            self._log.info("the daemon ends")

    def stopService(self) -> Deferred[None]:
        """Stop the parts, the journal last.

        :returns: fires when all sockets are closed and the journal is written.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon.on_signal(number, self._hurry)
        self.announce_end(self._log)
        return Deferred.fromCoroutine(self._stop()).addErrback(
            lambda why: self._log.error("stopping the daemon failed: %s", why.getTraceback())
        )

    def _hurry(self) -> None:
        self._log.warning("second signal to stop: not waiting for the commands in flight")
        self._bridge.stopService()


def show_traffic(bus: EventBus, log: logging.Logger, dialect: Dialect) -> None:
    """Log every line and every step of a command, for ``--verbose``. The log contains changes even without
    it.

    :param dialect: the controller's protocol, for the names of commands.
    """

    def log_line(record: LineRecord, number: int) -> None:
        line = record.line
        more = "..." * (len(line) > SHOWN_BYTES)
        fields: dict[str, object] = {"peer": record.peer, "epoch": record.epoch}
        if record.sequence_id is not None:
            fields["sequence_id"] = record.sequence_id
        log.debug("%s %s: %r%s", record.direction, record.peer, line[:SHOWN_BYTES], more, extra=fields)

    def log_step(record: CommandRecord, number: int) -> None:
        command = record.peer, record.code, record.sequence_id
        fields: dict[str, object] = {
            "peer": record.peer,
            "command": dialect.kind_of(record.code).name,
            "sequence_id": record.sequence_id,
            "epoch": record.epoch,
        }
        if record.lease:
            fields["lease"] = record.lease
        if is_end(record.step, record.code, dialect):
            fields["outcome"] = record.step
        text = "%s's command %d with id %d: %s %s"
        log.debug(text, *command, record.step, record.explanation, extra=fields)

    bus.subscribe(log_line, LineRecord)
    bus.subscribe(log_step, CommandRecord)


def makeService(options: Options) -> IService:
    """Check the configuration against this machine, and build the daemon.

    :raises SystemExit: with one line, if a host does not resolve or a port can't be bound.
    """
    from twisted.internet import reactor

    if options["station-demo"]:
        from .station_demo import make_service

        return make_service(options)
    verbose = bool(options["verbose"])
    log = daemon.begin_log(reactor, verbose)
    config = _on_this_machine(options, options.config, log)
    # The first timestamp of a command may import a table, which takes up to a second. The stops have
    # timestamps: to make them imports the table now, and not when a user sends the first command.
    dialect_named(config.dialect).stops()
    journal = None
    if config.journal.enabled:
        settings = config.journal
        if settings.path is None:
            daemon.stop(DAEMON, f"{_place(options, 'journal.path')}: {preflight.NO_HOME}")
        kept = FileOptions(config.dialect, settings.keep_days, settings.keep_bytes, settings.tracks)
        journal = Journal(settings.path, log, options=kept)
    bus = EventBus(reactor, journal, log=log)
    recorder = _recorder(options, config, bus, log)
    if verbose:
        show_traffic(bus, log, dialect_named(config.dialect))
    wanted = [(listen.host, listen.port) for _, listen in _listens(options, config)]
    ports = daemon.privileged_ports(options, reactor, wanted)
    simulator = None if config.controller is not None else built_in(config.dialect, DAEMON, log)
    find_controller = None if simulator is None else simulator.controller
    bridge = BridgeService(config, log, bus, ports, find_controller, recorder)
    broker = _broker_service(options, config, bridge, journal, bus, log)
    if broker is not None:
        _elect(config, bridge, broker, log, reactor)
    web = None
    if config.web.enabled is not False:
        web = _web_service(options, config, bridge, bus, journal or JournalOff(), log, ports)
    needs_web, reread = _needs_web(config.web), partial(_reread, options, log)
    service = BridgeDaemon(bridge, simulator, journal, recorder, web, needs_web, log, reread, broker)
    service.run_by(options, ports)
    return service


def _recorder(options: Options, config: Config, bus: EventBus, log: logging.Logger) -> Recorder | None:
    """Return the recorder of telemetry, which receives the mount's events from the bus; None if it is off.

    :raises SystemExit: with one line for each reason why the recorder can't record.
    """
    settings = config.recorder
    if not settings.enabled:
        return None
    wrong = [
        f"{_place(options, key)}: {why}"
        for key, _, why in (problem.partition(": ") for problem in preflight.recorder_problems(config))
    ]
    if wrong or settings.path is None:
        daemon.stop_all(DAEMON, wrong)
    about = {"dialect": config.dialect, "program": DAEMON, "version": __version__}
    controller = config.controller
    about["controller"] = (
        "simulator" if controller is None else host_and_port(controller.host, controller.command_port)
    )
    # With these values a reader can compute the positions on the sky years later.
    about |= {
        f"site.{key}": str(value) for key, value in attrs.asdict(config.site).items() if value is not None
    }
    kept = RecorderOptions(
        Path(settings.path), settings.keep_days, settings.keep_bytes, settings.min_free, about
    )
    recorder = Recorder(kept, dialect_named(config.dialect), log)
    bus.subscribe(recorder.keep_event, LineRecord)
    return recorder


def _broker_service(
    options: Options,
    config: Config,
    bridge: BridgeService,
    journal: Journal | None,
    bus: EventBus,
    log: logging.Logger,
) -> BrokerService | None:
    """Return the child process for the broker, which follows the journal; None without a station.

    Its modules are imported only here and in `_elect`, so that a daemon without a broker needs no memory for
    them.

    :raises SystemExit: with one line for each reason why the broker can't be used.
    """
    station = config.station
    if station is None or journal is None:
        return None
    wrong = [
        f"{_place(options, key)}: {why}"
        for key, _, why in (problem.partition(": ") for problem in preflight.station_problems(config))
    ]
    if wrong:
        daemon.stop_all(DAEMON, wrong)
    from mtmount_twisted.frontends.broker.service import BrokerService
    from mtmount_twisted.frontends.broker.words import Begin, Outcome, StationUser, Stopped

    broker = config.broker or BrokerSettings()
    users = [
        StationUser(name=user.name, source=user.source, role=user.role, expires=user.expires)
        for user in config.users
    ]
    begin = Begin(
        mount=station.mount,
        node=station.node,
        journal=str(journal.path),
        dialect=config.dialect,
        servers=list(broker.servers),
        credentials=broker.credentials,
        ca=broker.ca,
        replicas=broker.replicas,
        events=broker.events,
        telemetry=broker.telemetry,
        window=broker.window,
        users=users if broker.commands else None,
        election=station.one_peer is not None,
    )

    def desk(send: Callable[[Outcome | Stopped], bool]) -> Desk:
        from twisted.internet import reactor

        from mtmount_twisted.frontends.broker.desk import Desk

        return Desk(
            *(bridge.bridge, bus, users, IReactorTime(reactor), time.time, log),
            *(config.web.absent_after, send),
        )

    make_desk = desk if broker.commands else None
    service = BrokerService(begin, log, lambda: bridge.telemetry, desk=make_desk)
    bridge.broker = service
    journal.follow(service.settle)
    return service


def _elect(
    config: Config, bridge: BridgeService, broker: BrokerService, log: logging.Logger, reactor: Any
) -> None:
    """Let the bridge take part in an election, if the configuration has one."""
    station = config.station
    if station is None or station.one_peer is None:
        return
    from mtmount_twisted.frontends.broker.service import Asking
    from mtmount_twisted.upstream.leadership.hook import HOOK_TIME
    from mtmount_twisted.upstream.leadership.service import Leadership
    from mtmount_twisted.upstream.leadership.tenure import Rules

    rules = Rules(
        node=station.node,
        one_peer=station.one_peer,
        take_over_after=station.take_over_after,
        preferred=station.preferred,
        has_hook=station.hook is not None,
    )
    leadership = bridge.leadership = Leadership(rules, bridge, Asking(broker), log, station.hook, reactor)
    broker.elect(leadership)
    if broker.shows_others:
        bridge.others = broker.others
    longest = station.take_over_after + (HOOK_TIME if station.hook is not None else 0.0)
    if config.dialect == "tma2022" and longest > SAFE_TAKE_OVER:
        log.warning(
            "a take-over may take %g s: the mount faults before it, after 5 s without a heartbeat; expected "
            "at most %g s for station.take_over_after, and no station.hook",
            longest,
            SAFE_TAKE_OVER,
        )


def _check_one_peer(host: str, port: int) -> None:
    """Print how a mount treats a second peer, and the value of ``one_peer`` for the configuration."""
    from .one_peer import one_peer_of

    try:
        refuses, why = one_peer_of(host, port)
    except OSError as error:
        daemon.stop(DAEMON, f"--check-one-peer: {host_and_port(host, port)}: {error}")
    say(DAEMON, f"{why}: one_peer = {'true' if refuses else 'false'}")


def _print_station_config(config: Config) -> None:
    """Print the configuration of the broker's server. The daemon imports nothing of ``station``, so another
    process makes the text.
    """
    import subprocess
    import sys

    if config.station is None:
        daemon.stop(DAEMON, "--station-config: the configuration has no [station]")
    replicas = (config.broker or BrokerSettings()).replicas
    words = [sys.executable, "-P", "-m", "mtmount_twisted.station", "config", config.station.mount]
    names = [user.name for user in config.users if user.role == "command"]
    package = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run([*words, str(replicas), *names], env={**os.environ, "PYTHONPATH": paths}, check=True)


def _reread(options: Options, log: logging.Logger, old: Config) -> Config:
    """Return the configuration that the file holds now, checked against this machine.

    :param old: the configuration in use.
    :raises ConfigError: with every problem in the file.
    :raises SystemExit: with one line, if this machine can't serve it.
    """
    log.info("reloading the configuration: %s", options.config_file or "the options")
    config = configured(options, options.config_file)
    if config.dialect != old.dialect:
        key = "simulator.dialect" if config.controller is None else "controller.dialect"
        why = f"{key}: a change from {old.dialect} to {config.dialect} needs a restart of the daemon"
        raise ConfigError(options.config_file or "the options", (why,))
    have = [(listen.host, listen.port) for _, listen in _listens(options, old)]
    return _on_this_machine(options, config, log, have, preflight.unix_sockets(old).values())


def _needs_web(settings: WebSettings) -> bool:
    """Return True if the configuration asks for the page, which then must be served.

    If it does not ask, the daemon serves the page only if the default port is free.
    """
    return bool(settings.enabled) or (settings.enabled is None and settings.endpoint is not None)


def _tokens(options: Options) -> Any:
    """Return the tokens of the configured file, or None without one; stop the daemon if the file is wrong."""
    path = options.config.web.tokens
    if path is None:
        return None
    from mtmount_twisted.frontends.web.http.tokens import load_file

    # `twistd --uid` changes the user only when the daemon listens, after this function has read the file.
    uid = None if options.parent is None else options.parent["uid"]
    try:
        return load_file(path, () if uid is None else (uid,))
    except ConfigError as error:
        daemon.stop_all(DAEMON, (f"{error.where}: {why}" for why in error.problems))


def _web_service(
    options: Options,
    config: Config,
    bridge: BridgeService,
    bus: EventBus,
    journal: IJournalState,
    log: logging.Logger,
    reactor: Any,
) -> Any:
    """Return the web service. Only this function imports its modules, so that a daemon without it starts
    faster.

    :param reactor: the reactor that listens; the global one if None.
    """
    from mtmount_twisted.frontends.web.service import Parts, WebService

    settings = config.web
    tokens = _tokens(options)
    if tokens is None and settings.insecure:
        log.warning("web.insecure = true: every user who can reach the page can command the mount")
    parts = Parts(bridge, bus, journal, config.clients)
    return WebService(settings, settings.endpoint or WEB_ENDPOINT, tokens, parts, log, reactor)


def _check_here(options: Options) -> None:
    """Check for ``--check-config`` that this machine can serve the configuration."""
    if options.config.web.enabled is not False:
        _tokens(options)
    config = _with_certificates(options, options.config)
    for why in certificate_warnings(config, utc_now()):
        say(DAEMON, f"{DAEMON}: warning: {why}")
    needed = preflight.files_needed(config)
    if (limit := preflight.file_limit(needed)) < needed:
        say(DAEMON, f"{DAEMON}: warning: {FEW_FILES % (limit, needed)}")
    for key, path in preflight.unix_sockets(options.config).items():
        if preflight.socket_use(path) is preflight.SocketUse.IN_USE:
            there = f"at {path} there is {preflight.SocketUse.IN_USE.value} A start would be refused"
            say(DAEMON, f"{DAEMON}: warning: {_place(options, key)}: {there}")
    for key, _, why in (warning.partition(": ") for warning in preflight.owner_warnings(options.config)):
        say(DAEMON, f"{DAEMON}: warning: {_place(options, key)}: {why}")
    wrong = [
        f"{_place(options, key)}: {why}"
        for key, _, why in (problem.partition(": ") for problem in preflight.problems(options.config))
    ]
    if wrong:
        daemon.stop_all(DAEMON, wrong)


def _check_tokens(options: Options) -> tuple[()]:
    _tokens(options)
    return ()


def _examine(options: Options) -> int:
    """Print the report of ``--doctor``. Return the exit status."""
    from . import doctor

    config = options.config
    secrets: dict[str, Callable[[], Iterable[str]]] = {
        "certificates": lambda: certificate_warnings(_with_certificates(options, config), utc_now())
    }
    if config.web.enabled is not False:
        secrets["tokens"] = partial(_check_tokens, options)
    listens = tuple(listen for _, listen in _listens(options, config) if listen.port)
    patient = doctor.Patient(config, options["config"], listens, partial(_place, options), secrets)
    findings = list(doctor.examine(patient))
    say(DAEMON, "\n".join(map(str, findings)))
    say(DAEMON, doctor.summary(findings))
    return int(any(finding.level is doctor.FAULT for finding in findings))


def _on_this_machine(
    options: Options,
    config: Config,
    log: logging.Logger,
    have: Collection[tuple[str, int]] = (),
    in_use: Collection[str] = (),
) -> Config:
    """Return the configuration with host names resolved. Stop the daemon if this machine can't serve it.

    :param have: hosts and ports on which the daemon already listens.
    :param in_use: paths of the sockets on which the daemon already listens.
    """
    config = _with_extras(options, _with_certificates(options, config), log, have)
    _free_sockets(options, config, log, in_use)
    config, found = _resolved(options, config)
    config = _endpoints_at_addresses(options, config, found)
    wanted = dict(_listens(options, config))
    bound = {
        section: daemon.check_resolves(DAEMON, listen.host_option, listen.host, found)[0]
        for section, listen in wanted.items()
    }
    new = [listen for section, listen in wanted.items() if (bound[section], listen.port) not in have]
    if config.station is not None and config.station.one_peer is not None:
        # A standby does not listen for commanders. Their address may be on the active bridge's machine now,
        # so that this machine can't listen there.
        new = [listen for section, listen in wanted.items() if section == "web" and listen in new]
    daemon.check_can_listen(DAEMON, new, found)
    needed = preflight.files_needed(config)
    if (limit := preflight.raise_file_limit(needed)) < needed:
        log.warning(FEW_FILES, limit, needed)
    return _bound(config, bound)


TODAYS_CSC = PairCommander(name="csc-2022", command_port=30015, reply_port=None)
"""The commander that speaks tma2022, which is served without options if its port is free."""

TELEMETRY_PORT = 50035
TODAYS_TELEMETRY = TelemetryReaders(name="topics", endpoint=f"tcp:{TELEMETRY_PORT}:interface={HOST}")
"""The port for telemetry, which is served without options if it is free."""


def _with_extras(
    options: Options, config: Config, log: logging.Logger, have: Collection[tuple[str, int]]
) -> Config:
    """Return the configuration with the extra ports of the built-in tma2022 simulator. It has them if the
    options name neither a file nor a command port.

    A newcomer who did not ask for these ports must not have to free one: a port in use causes only a warning.
    """
    is_default = options["config"] is None and options["command-port"] is None
    if not is_default or config.controller is not None or config.dialect != "tma2022":
        return config
    used = {listen.port for _, listen in _listens(options, config)}

    def is_free(name: str, port: int) -> bool:
        if port not in used and ((HOST, port) in have or daemon.can_listen(HOST, port)):
            return True
        log.warning("%s: not served: port %d of %s is taken", name, port, HOST)
        return False

    if is_free(TODAYS_CSC.name, TODAYS_CSC.command_port):
        config = attrs.evolve(config, pairs=(*config.pairs, TODAYS_CSC))
    if is_free(TODAYS_TELEMETRY.name, TELEMETRY_PORT):
        config = attrs.evolve(config, telemetry=(*config.telemetry, TODAYS_TELEMETRY))
    return config


def _free_sockets(options: Options, config: Config, log: logging.Logger, in_use: Collection[str]) -> None:
    """Remove the sockets that a killed daemon left behind. Stop this daemon if another process uses one."""
    for key, path in preflight.unix_sockets(config).items():
        if path in in_use:
            continue
        try:
            if preflight.remove_left_behind(path):
                log.info("removed the socket %s: nobody accepted a connection there", path)
        except OSError as error:
            why = f"can't remove {path}, a socket that was left behind: {error.strerror}; remove it"
            daemon.stop(DAEMON, f"{_place(options, key)}: {why}")
        use = preflight.socket_use(path)
        if use in (preflight.SocketUse.IN_USE, preflight.SocketUse.LINK, preflight.SocketUse.OTHER):
            daemon.stop(DAEMON, f"{_place(options, key)}: at {path} there is {use.value}; give another path")


def _resolved(options: Options, config: Config) -> tuple[Config, daemon.Found]:
    """Resolve all hosts of the configuration.

    The hosts are looked up together, so that a mute name server delays the start only once.

    :returns: the configuration with the addresses to connect to, and the addresses of every host in it.
    """
    controller = config.controller
    hosts = [pair.reply_host for pair in config.pairs]
    hosts += [] if controller is None else [controller.host]
    hosts += [listen.host for _, listen in _listens(options, config)]
    hosts += [name for endpoint in config.endpoints.values() for name in endpoint.interface_names]
    found = dict(look_up(hosts))
    if controller is not None:
        place = _place(options, "controller.host")
        addresses = daemon.check_resolves(DAEMON, place, controller.host, found)
        controller = attrs.evolve(controller, addresses=addresses)
        if controller.reply_port is not None:
            reply_host = controller.reply_host or replies_by_default(addresses[0])
            found.setdefault(reply_host, (reply_host,))
            controller = attrs.evolve(controller, reply_host=reply_host)
    pairs = []
    for number, pair in enumerate(config.pairs, 1):
        place = _place(options, f"pair[{number}].reply_host")
        addresses = daemon.check_resolves(DAEMON, place, pair.reply_host, found)
        pairs.append(attrs.evolve(pair, addresses=addresses))
    return attrs.evolve(config, controller=controller, pairs=tuple(pairs)), found


def _bound(config: Config, found: dict[str, str]) -> Config:
    """Return the configuration that listens on the given addresses.

    :param found: the address of each section that listens.
    """
    controller = config.controller
    if controller is not None and "controller" in found:
        controller = attrs.evolve(controller, reply_host=found["controller"])
    pairs = tuple(
        attrs.evolve(pair, listen=found[f"pair[{number}]"]) for number, pair in enumerate(config.pairs, 1)
    )
    return attrs.evolve(config, controller=controller, pairs=pairs)


def _endpoints_at_addresses(options: Options, config: Config, found: daemon.Found) -> Config:
    """Return the configuration with addresses in place of the host names of its endpoints."""
    endpoints = {}
    for section, endpoint in config.endpoints.items():
        place = _place(options, f"{section}.endpoint")
        names = {
            name: daemon.check_resolves(DAEMON, place, name, found)[0] for name in endpoint.interface_names
        }
        endpoints[section] = endpoint.at_addresses(names)
        if endpoint.is_near and not Endpoint.parse(endpoints[section]).is_near:
            why = f"{endpoint.text} is at {', '.join(names.values())} here, which other machines can reach"
            daemon.stop(DAEMON, f"{place}: {why}; mend this machine's hosts file, or give an address")
    web = attrs.evolve(config.web, endpoint=endpoints.get("web", config.web.endpoint))
    ports = {section: {"endpoint": endpoints[section]} for section in config.client_ports}
    return attrs.evolve(config.with_client_ports(ports), web=web)


def _with_certificates(options: Options, config: Config) -> Config:
    """Return the configuration with the certificates in its files; stops the daemon if a certificate can't be
    used."""
    for section, port in config.client_ports.items():
        if port.certificate is not None and find_spec("OpenSSL") is None:
            place = _place(options, f"{section}.certificate")
            daemon.stop(DAEMON, f"{place}: pyOpenSSL is not installed: {how_to_install('tls')}")

    def wrong(key: str, error: ConfigError) -> NoReturn:
        daemon.stop(DAEMON, f"{_place(options, key)}: {error}")

    return with_credentials(config, wrong)


def _listens(options: Options, config: Config) -> Iterator[tuple[str, daemon.Listen]]:
    """Yield each section of the configuration that listens on TCP, and its address and port."""

    def listen(section: str, host_key: str, host: str, port_key: str, port: int) -> tuple[str, daemon.Listen]:
        places = [_place(options, f"{section}.{key}") for key in (host_key, port_key)]
        return section, daemon.Listen(places[0], host, places[1], port)

    controller = config.controller
    if controller is not None and controller.reply_host is not None and controller.reply_port is not None:
        replies = controller.reply_host, controller.reply_port
        yield listen("controller", "reply_host", replies[0], "reply_port", replies[1])
    for number, pair in enumerate(config.pairs, 1):
        yield listen(f"pair[{number}]", "listen", pair.listen, "command_port", pair.command_port)
    for section, endpoint in config.endpoints.items():
        if isinstance(endpoint.port, int):
            yield listen(section, "endpoint", endpoint.host, "endpoint", endpoint.port)
