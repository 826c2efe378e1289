"""``twistd mtmount-bridge``: its options, and the one place where its parts are put together."""

from __future__ import annotations

import ipaddress
import logging

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from . import daemon
from .bridge.service import BridgeService
from .enums import COMMAND_PORT
from .errors import PairClosedError
from .simulator.service import SimulatorService

DAEMON = "mtmount-bridge"
SYSTEM_CHOICE = ("127.0.0.1", 0)


class Options(daemon.OneLineOptions):
    """What ``twistd mtmount-bridge`` can be told."""

    program = DAEMON
    synopsis = "Usage: twistd [options] mtmount-bridge [options]"
    longdesc = (
        "Holds the connection pair to a telescope mount and relays between it and a commander. "
        "The commander sends its commands to --listen at --command-port and listens for replies at "
        "--reply-host and --reply-port."
    )
    optParameters = [  # noqa: RUF012
        ["controller", "c", None, "HOST:PORT where the mount takes commands [default: a built-in simulator]"],
        ["controller-reply-host", None, None, "address to listen on for the mount's replies "
         "[default: 127.0.0.1 if the controller is on this machine, else all addresses]"],
        ["controller-reply-port", None, None, "port to listen on for the mount's replies "
         "[default: the controller's PORT + 1]"],
        ["listen", "l", "127.0.0.1", "address to listen on for the commander's commands"],
        ["command-port", "p", COMMAND_PORT, "port to listen on for the commander's commands"],
        ["reply-host", None, "127.0.0.1", "host where the commander listens for replies"],
        ["reply-port", "r", None, "port where the commander listens for replies [default: command port + 1]"],
    ]  # fmt: skip
    optFlags = [["verbose", "v", "log every message that passes"]]  # noqa: RUF012
    converters = {  # noqa: RUF012
        "controller": daemon.host_and_port,
        "controller-reply-port": daemon.listen_port,
        "command-port": daemon.listen_port,
        "reply-port": daemon.connect_port,
    }

    def postOptions(self) -> None:
        """Convert the options, and fill in the defaults that depend on others."""
        super().postOptions()
        if self["reply-port"] is None:
            self["reply-port"] = daemon.next_port("reply-port", self["command-port"])
        if self["controller"] is not None and self["controller-reply-port"] is None:
            self["controller-reply-port"] = daemon.next_port("controller-reply-port", self["controller"][1])


class BridgeDaemon(MultiService):
    """The bridge and, with no controller configured, the simulator behind it."""

    def __init__(
        self, bridge: BridgeService, simulator: SimulatorService | None, log: logging.Logger
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bridge = bridge
        self._simulator = simulator
        self._log = log
        for service in (bridge, simulator):
            if service is not None:
                service.setServiceParent(self)  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Start the parts, and join bridge and simulator on the ports that the system chose."""
        if self._simulator is not None:
            self._log.info("no controller configured (--controller HOST:PORT): using the built-in simulator")
        super().startService()  # type: ignore[no-untyped-call]
        daemon.check_listening(DAEMON, [self._bridge.commander, self._bridge.controller])
        ready = succeed(None) if self._simulator is None else self._join(self._simulator)
        ready.addCallbacks(
            lambda joined: daemon.announce(self._log, f"serving {self._bridge.describe()}"), _closed
        )

    def _join(self, simulator: SimulatorService) -> Deferred[None]:
        """Connect bridge and simulator to each other; fires when they are."""
        mount, controller = simulator.communicator, self._bridge.controller
        daemon.check_listening(DAEMON, [mount])
        mount.connect(controller.server_port).addErrback(_closed)
        return controller.connect(mount.server_port)


def _closed(reason: Failure) -> None:
    """The daemon was stopped before it was ready."""
    reason.trap(PairClosedError)


def makeService(options: Options) -> IService:
    """Check the options against this machine, and put the daemon together.

    :raises SystemExit: with one line, if a host does not resolve or a port can't be had.
    """
    from twisted.internet import reactor

    log = daemon.begin(reactor, bool(options["verbose"]))
    daemon.check_resolves(DAEMON, "--reply-host", options["reply-host"])
    replies_to = (options["reply-host"], options["reply-port"])
    commands_in = daemon.Listen("--listen", options["listen"], "--command-port", options["command-port"])
    if options["controller"] is None:
        [listen] = daemon.check_can_listen(DAEMON, [commands_in])
        simulator = SimulatorService(command_port=0, reply_port=0, log=log)
        controller = (SYSTEM_CHOICE, SYSTEM_CHOICE)
    else:
        listen, replies_in = daemon.check_can_listen(DAEMON, [commands_in, _controller_replies(options)])
        simulator = None
        controller = (options["controller"], replies_in)
    return BridgeDaemon(BridgeService((listen, replies_to), controller, log), simulator, log)


def _controller_replies(options: Options) -> daemon.Listen:
    """Where the controller's replies come in."""
    address = ipaddress.ip_address(daemon.check_resolves(DAEMON, "--controller", options["controller"][0]))
    host = options["controller-reply-host"] or _NEAR_AND_FAR[address.version][not address.is_loopback]
    port = options["controller-reply-port"]
    return daemon.Listen("--controller-reply-host", host, "--controller-reply-port", port)


_NEAR_AND_FAR = {4: ("127.0.0.1", "0.0.0.0"), 6: ("::1", "::")}
