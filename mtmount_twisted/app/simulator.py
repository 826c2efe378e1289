"""``twistd mtmount-simulator``: its options, and the service that they describe.

Next to read: `simulator.service`, the simulator; `daemon`, which holds the checks that both daemons share.
"""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from mtmount_twisted.dialects.tma2020.enums import COMMAND_PORT, Commander
from mtmount_twisted.hosts import host_and_port
from mtmount_twisted.net.resolving import look_up
from mtmount_twisted.simulator.faults import parse_fault
from mtmount_twisted.simulator.mount import FASTEST, SLOWEST
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.wire.fields import FLOAT

from . import daemon

DAEMON = "mtmount-simulator"


def _commander(text: str) -> Commander:
    try:
        return Commander[text.upper()]
    except KeyError:
        names = ", ".join(member.name for member in Commander)
        raise ValueError(f"expected one of {names}, got {text!r}") from None


class Options(daemon.OneLineOptions):
    """The options of ``twistd mtmount-simulator``."""

    program = DAEMON
    synopsis = "[options]"
    longdesc = (
        "Simulates a telescope mount for one commander. The commander sends its commands to --listen at "
        "--command-port and listens for replies at --reply-host and --reply-port."
    )
    optParameters = [  # noqa: RUF012
        ["listen", "l", "127.0.0.1", "address to listen on for commands"],
        ["command-port", "p", COMMAND_PORT, "port to listen on for commands"],
        ["reply-host", None, "127.0.0.1", "host where the commander listens for replies"],
        ["reply-port", "r", None, "port where the commander listens for replies [default: command port + 1]"],
        ["commander", "c", "NONE", "commander that has command at the start: NONE, CSC, EUI or HHD"],
        ["fault-seed", None, 0, "seed of the random numbers that decide when faults happen"],
        ["speed", "s", 1.0, f"how many times faster than a real mount it moves, {SLOWEST:g} to {FASTEST:g}"],
    ]  # fmt: skip
    optFlags = [  # noqa: RUF012
        ["realistic", None, "take minutes to warm up, as a real mount does"],
        ["verbose", "v", "log more"],
    ]
    converters = {  # noqa: RUF012
        "command-port": daemon.listen_port,
        "reply-port": daemon.connect_port,
        "commander": _commander,
        "fault-seed": daemon.number(0, 2**63),
        "speed": daemon.number(SLOWEST, FASTEST, FLOAT),
    }

    def opt_fault(self, text: str) -> None:
        """Simulate a fault: KIND or KIND:NAME=VALUE,... (docs/reference/simulator.rst); may be repeated."""
        try:
            self.setdefault("faults", []).append(parse_fault(text))
        except ValueError as error:
            raise usage.UsageError(f"--fault: {error}") from None

    def postOptions(self) -> None:
        """Convert the options, and set the default port for replies from the port for commands."""
        self.setdefault("faults", [])
        super().postOptions()
        daemon.note_signal(signal.SIGHUP)  # the default action would end the process before it serves
        if self["reply-port"] is None:
            self["reply-port"] = daemon.next_port("reply-port", self["command-port"])


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


def makeService(options: Options) -> IService:
    """Check the options against this machine, and build the simulator.

    :raises SystemExit: with one line, if a host does not resolve or a port can't be bound.
    """
    from twisted.internet import reactor

    log = daemon.begin(reactor, bool(options["verbose"]))
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
