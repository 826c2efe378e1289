"""``twistd mtmount-simulator``: its options, and the service that they describe.

Next to read: `simulator.service` and `simulator.tma2022.service`, the simulators of the two generations;
`daemon`, which holds the checks that both daemons share.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.python import usage

from mtmount_twisted.dialects.tma2020.enums import COMMAND_PORT, Commander
from mtmount_twisted.dialects.tma2022.enums import TELEMETRY_PORT
from mtmount_twisted.dialects.tma2022.enums import Source as SourceTma2022
from mtmount_twisted.errors import ListenError
from mtmount_twisted.hosts import host_and_port
from mtmount_twisted.net.resolving import look_up
from mtmount_twisted.simulator.faults import TMA2020, parse_fault
from mtmount_twisted.simulator.mount import FASTEST, SLOWEST
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.simulator.tma2022.mount import HEARTBEAT_TIMEOUT
from mtmount_twisted.simulator.tma2022.output import TMA2022
from mtmount_twisted.simulator.tma2022.service import SimulatorService as SimulatorServiceTma2022
from mtmount_twisted.simulator.tma2022.telemetry import MAX_NOISE
from mtmount_twisted.wire.fields import FLOAT

from . import daemon

DAEMON = "mtmount-simulator"


def _commander(text: str) -> Commander:
    try:
        return Commander[text.upper()]
    except KeyError:
        names = ", ".join(member.name for member in Commander)
        raise ValueError(f"expected one of {names}, got {text!r}") from None


ONLY_TMA2020 = ("reply-host", "reply-port")
"""The options that only the simulator of tma2020 has."""

FLAGS_TMA2022 = ("ready", "no-operation-manager", "vendor-events")
ONLY_TMA2022 = ("telemetry-port", "heartbeat-timeout", "event-period", "noise", *FLAGS_TMA2022)
"""The options that only the simulator of tma2022 has."""

MAX_PERIOD = 60.0
"""Largest value of ``--event-period``, s."""


class Options(daemon.OneLineOptions):
    """The options of ``twistd mtmount-simulator``."""

    program = DAEMON
    synopsis = "[options]"
    longdesc = (
        "Simulates a telescope mount for one commander. The commander sends its commands to --listen at "
        "--command-port. In the protocol tma2020 it listens for replies at --reply-host and --reply-port. In "
        "tma2022 (--dialect tma2022) the same connection carries them, and --telemetry-port has telemetry."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["listen", "l", "127.0.0.1", "address to listen on for commands"],
        ["command-port", "p", COMMAND_PORT, "port to listen on for commands"],
        ["dialect", "d", "tma2020", "generation of the protocol: tma2020 or tma2022"],
        ["reply-host", None, None, "tma2020: host where the commander listens [default: 127.0.0.1]"],
        ["reply-port", "r", None, "tma2020: port where the commander listens [default: command port + 1]"],
        ["telemetry-port", "t", None, f"tma2022: port for telemetry [default: {TELEMETRY_PORT}]"],
        ["heartbeat-timeout", None, None,
         "tma2022: seconds without a heartbeat until the commander loses command; 0 for never [default: "
         f"{HEARTBEAT_TIMEOUT:g}]"],
        ["event-period", None, None,
         "tma2022: seconds between looks for changed events, as the original's mock controller has (0.2); "
         "0 to send them at once [default: 0]"],
        ["noise", None, None, f"tma2022: noise of telemetry, a factor from 0 to {MAX_NOISE:g} [default: 0]"],
        ["commander", "c", "NONE", "commander that has command at the start: NONE, CSC, EUI or HHD"],
        ["fault-seed", None, 0, "seed of the random numbers of faults and noise"],
        ["speed", "s", 1.0, f"how many times faster than a real mount it moves, {SLOWEST:g} to {FASTEST:g}"],
        ["log-format", None, "text", "form of the log: text, or json, one object a line"],
    ]  # fmt: skip
    optFlags: ClassVar[list[list[str | None]]] = [
        ["realistic", None, "take minutes to warm up, as a real mount does"],
        ["ready", None, "tma2022: start with power, oil and homing done"],
        [
            "vendor-events",
            None,
            "tma2022: send what the vendor's documents have and the mock controller has not",
        ],
        ["no-operation-manager", None, "tma2022: do not send the Operation Manager's state (event 50)"],
        ["verbose", "v", "log more"],
    ]
    converters: ClassVar[Mapping[str, Callable[[str], Any]]] = {
        "command-port": daemon.listen_port,
        "reply-port": daemon.connect_port,
        "dialect": daemon.dialect,
        "telemetry-port": daemon.listen_port,
        "heartbeat-timeout": daemon.number(0, 86400, FLOAT),
        "event-period": daemon.number(0, MAX_PERIOD, FLOAT),
        "noise": daemon.number(0, MAX_NOISE, FLOAT),
        "commander": _commander,
        "fault-seed": daemon.number(0, 2**63),
        "speed": daemon.number(SLOWEST, FASTEST, FLOAT),
        "log-format": daemon.log_format,
    }

    def opt_fault(self, text: str) -> None:
        """Simulate a fault: KIND or KIND:NAME=VALUE,... (docs/reference/simulator.rst); may be repeated."""
        self.setdefault("faults", []).append(text)

    def postOptions(self) -> None:
        """Convert the options, and set the default port for replies from the port for commands."""
        self.setdefault("faults", [])
        super().postOptions()
        daemon.note_signal(signal.SIGHUP)  # its default action would end the process too early
        is_tma2022 = self["dialect"] == "tma2022"
        self._check_of_dialect(ONLY_TMA2020 if is_tma2022 else ONLY_TMA2022)
        try:
            generation = TMA2022 if is_tma2022 else TMA2020
            self["faults"] = [parse_fault(text, generation) for text in self["faults"]]
        except ValueError as error:
            raise usage.UsageError(f"--fault: {error}") from None
        if not is_tma2022:
            self["reply-host"] = self["reply-host"] or "127.0.0.1"
            if self["reply-port"] is None:
                self["reply-port"] = daemon.next_port("reply-port", self["command-port"])

    def _check_of_dialect(self, foreign: Iterable[str]) -> None:
        """Reject the options that the simulator of the chosen dialect does not have."""
        for name in foreign:
            is_flag = name in FLAGS_TMA2022
            if self[name] if is_flag else self[name] is not None:
                why = f"the simulator of {self['dialect']} has no such option (see --dialect); leave it out"
                raise usage.UsageError(f"--{name}: {why}")


class SimulatorDaemon(daemon.DaemonService, SimulatorService):
    """The simulator under ``twistd``. It logs its addresses, and ends the daemon if it can't listen."""

    def startService(self) -> None:
        """Start the simulator. End the daemon with one line if it can't listen."""
        super().startService()
        pair = self.communicator
        daemon.check_listening(DAEMON, [pair])
        # The simulator has no configuration to reload. SIGHUP from a closed terminal must not kill it.
        daemon.on_signal(signal.SIGHUP, partial(pair.log.info, "ignored SIGHUP"))
        served = f"a commander on {host_and_port(pair.server_host, pair.server_port)}"
        replies = host_and_port(pair.client_host, pair.client_port)
        self.announce(pair.log, f"serving {served}, its replies go to {replies}")

    def stopService(self) -> Any:
        """Notify systemd, and stop; see `SimulatorService.stopService`."""
        self.announce_end(self._log)
        return super().stopService()


class SimulatorDaemonTma2022(daemon.DaemonService, SimulatorServiceTma2022):
    """The simulator of the tma2022 mount under ``twistd``. It logs its addresses."""

    def startService(self) -> None:
        """Start the simulator. End the daemon with one line if it can't listen."""
        try:
            super().startService()
        except ListenError as error:
            daemon.check_failures(DAEMON, [str(error)])
        daemon.on_signal(signal.SIGHUP, partial(self.log.info, "ignored SIGHUP"))
        command, telemetry = (host_and_port(self.host, port) for port in self.port_numbers())
        self.announce(self.log, f"serving a commander of tma2022 on {command}, telemetry on {telemetry}")

    def stopService(self) -> Any:
        """Notify systemd, and stop; see `SimulatorService.stopService`."""
        self.announce_end(self.log)
        return super().stopService()


def makeService(options: Options) -> IService:
    """Check the options against this machine, and build the simulator.

    :raises SystemExit: with one line, if a host does not resolve or a port can't be bound.
    """
    from twisted.internet import reactor

    log = daemon.begin_log(reactor, bool(options["verbose"]))
    if options["dialect"] == "tma2022":
        return _make_service_tma2022(options, reactor, log)
    found = look_up([options["reply-host"], options["listen"]])
    daemon.check_resolves(DAEMON, "--reply-host", options["reply-host"], found)
    wanted = daemon.Listen("--listen", options["listen"], "--command-port", options["command-port"])
    [(host, port)] = daemon.check_can_listen(DAEMON, [wanted], found)
    ports = daemon.privileged_ports(options, reactor, [(host, port)])
    service = SimulatorDaemon(
        host=host,
        command_port=port,
        reply_host=options["reply-host"],
        reply_port=options["reply-port"],
        initial_commander=options["commander"],
        speed=options["speed"],
        realistic=bool(options["realistic"]),
        faults=options["faults"],
        fault_seed=options["fault-seed"],
        log=log,
        reactor=ports,
    )
    service.run_by(options, ports)
    return service


def _make_service_tma2022(options: Options, reactor: Any, log: logging.Logger) -> IService:
    telemetry_port = TELEMETRY_PORT if options["telemetry-port"] is None else options["telemetry-port"]
    wanted = [
        daemon.Listen("--listen", options["listen"], "--command-port", options["command-port"]),
        daemon.Listen("--listen", options["listen"], "--telemetry-port", telemetry_port),
    ]
    where = daemon.check_can_listen(DAEMON, wanted)
    ports = daemon.privileged_ports(options, reactor, where)
    timeout = options["heartbeat-timeout"]
    service = SimulatorDaemonTma2022(
        host=where[0][0],
        command_port=where[0][1],
        telemetry_port=where[1][1],
        initial_commander=SourceTma2022[options["commander"].name],
        speed=options["speed"],
        realistic=bool(options["realistic"]),
        heartbeat_timeout=HEARTBEAT_TIMEOUT if timeout is None else timeout,
        ready=bool(options["ready"]),
        event_period=options["event-period"] or 0.0,
        operation_manager=not options["no-operation-manager"],
        vendor_events=bool(options["vendor-events"]),
        noise=options["noise"] or 0.0,
        noise_seed=options["fault-seed"],
        faults=options["faults"],
        fault_seed=options["fault-seed"],
        log=log,
        reactor=ports,
    )
    service.run_by(options, ports)
    return service
