"""The simulated tma2022 mount on its two sockets, as a Twisted service.

`SimulatorService` owns one `SimulatedMount`, its command port and its telemetry port. When the command client
disconnects, the mount keeps its state, and the commander that has command keeps it. The service drops replies
that it can't deliver.

It uses the network. Next to read: `mount`, `connections`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Unpack, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.task import LoopingCall

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022.enums import COMMAND_PORT, TELEMETRY_PORT
from mtmount_twisted.errors import LineError, ListenError
from mtmount_twisted.net.endpoints import BACKLOG
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog

from ..faults import Fault, Faults
from .connections import CommandPort, TelemetryPort
from .mount import MountOptions, SimulatedMount
from .output import TMA2022, ReplyOutput
from .telemetry import Telemetry, TelemetryClock, check_noise


class SimulatorService(Service):
    """A service that gives one commander a simulated mount, and many readers its telemetry.

    :param host: address to listen on, for both ports.
    :param command_port: port for commands, replies and events; 0 for one of the system's choice.
    :param telemetry_port: port for telemetry; 0 for one of the system's choice.
    :param event_period: interval in seconds between two looks for changes, which the mock controller has,
        too; 0 to send each event at once.
    :param noise: factor of the noise in telemetry, 0 to 1000; 0 for exact values.
    :param noise_seed: seed of the random numbers of the noise.
    :param reactor: the reactor; the global one if None.
    :param faults: the initial faults.
    :param fault_seed: seed of the random numbers that decide when faults happen.
    :param keep_alive: how the mount notices that its command client is gone: the times of TCP keep-alive, as
        in ``net.liveness.KEEP_ALIVE``; the real mount's are 60, 15 and 4. None to notice it within 5 s, which
        a real mount does not do.
    :param options: as for `SimulatedMount`; see `MountOptions`.
    :raises ValueError: if `noise` is out of range; from `startService`, if another option is.
    :ivar host: the address that it listens on.
    :ivar log: its logger.
    :ivar faults: the faults, which may be changed at any time.
    :ivar mount: the mount, from `startService` on; a new one at each start.
    :ivar commands: the factory of the command port, from `startService` on.
    :ivar telemetry: the factory of the telemetry port, from `startService` on.
    """

    name = "mtmount-simulator"
    mount: SimulatedMount
    commands: CommandPort
    telemetry: TelemetryPort

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        command_port: int = COMMAND_PORT,
        telemetry_port: int = TELEMETRY_PORT,
        event_period: float = 0.0,
        noise: float = 0.0,
        noise_seed: int = 0,
        faults: Iterable[Fault] = (),
        fault_seed: int = 0,
        keep_alive: Mapping[str, int] | None = None,
        log: logging.Logger | None = None,
        reactor: Any = None,
        **options: Unpack[MountOptions],
    ) -> None:
        self.host = host
        self._wanted_ports = (command_port, telemetry_port)
        self._event_period = event_period
        self._keep_alive = keep_alive
        check_noise(noise)
        self._noise, self._noise_seed = noise, noise_seed
        self._options = options
        self.log: logging.Logger = log or logging.getLogger(__name__)
        self._reactor = reactor
        self.faults: Faults = Faults(faults, fault_seed, TMA2022)
        self.faults.changed = self._faults_changed
        self.faults.began = self._fault_began
        self.faults.cleared = self._faults_cleared
        self._listening: list[IListeningPort] = []
        self._next: IDelayedCall | None = None

    def startService(self) -> None:
        """Make the mount and listen on both ports.

        :raises ListenError: if a port can't be listened on. Then nothing is left open.
        """
        reactor = self._reactor
        if reactor is None:
            from twisted.internet import reactor
        self._limited_log = RateLimitedLog(reactor, self.log, A_FEW)
        self.commands = CommandPort(
            self.name, reactor, self.log, self._take, self._client_changed, self._keep_alive
        )
        self.telemetry = TelemetryPort(self.name, reactor, self.log, self._readers_changed)
        self.faults.forget()
        self.commands.is_refusing = self.faults.refusing
        self._output = ReplyOutput(self.faults, self.commands, reactor, self.log)
        self.mount = SimulatedMount(
            reactor, self._output.say, at_once=not self._event_period, log=self.log, **self._options
        )
        self._output.mount = self.mount
        self._source = Telemetry(self.mount, self._noise, self._noise_seed)
        self._look = LoopingCall(self.mount.look)
        self._look.clock = reactor
        self._listen(reactor)
        super().startService()  # type: ignore[no-untyped-call]
        if self._event_period:
            self._look.start(self._event_period, now=False)
        for fault in self.faults.in_force:
            if fault.is_trouble and not fault.selects:
                self._output.begin_fault(fault)

    def _listen(self, reactor: Any) -> None:
        for port, factory in zip(self._wanted_ports, (self.commands, self.telemetry)):
            try:
                self._listening.append(reactor.listenTCP(port, factory, BACKLOG, self.host))
            except CannotListenError as error:
                for listening in self._listening:
                    listening.stopListening()
                self._listening.clear()
                self.mount.close()
                reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
                raise ListenError(self.host, port, reason) from None

    def port_numbers(self) -> tuple[int, int]:
        """Return the command port and the telemetry port, as bound. Call this after `startService`."""
        command, telemetry = (cast(Any, listening.getHost()).port for listening in self._listening)
        return command, telemetry

    def stopService(self) -> Deferred[None]:
        """Stop the mount and close its connections. A caller may call this before the start, and more than
        once.

        :return: a Deferred that fires with None when the sockets are gone.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        if not self._listening:
            return succeed(None)
        listening, self._listening = self._listening, []
        self.mount.close()
        self._output.close()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._look.running:
            self._look.stop()
        closing: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in listening]
        closing += [self.commands.close_client(), self.telemetry.close_readers()]
        return DeferredList(closing, consumeErrors=True).addCallback(lambda _: None)

    def _client_changed(self, is_connected: bool) -> None:
        if not is_connected:
            self.faults.forget()
        else:
            self.mount.announce_operation_manager()

    def _readers_changed(self, is_any: bool) -> None:
        """Measure while there is a reader."""
        if is_any:
            tai = self.mount.world.tai()
            self._due = TelemetryClock(tai)
            self._plan_telemetry(tai)
        elif self._next is not None:
            self._next.cancel()
            self._next = None

    def _plan_telemetry(self, tai: float) -> None:
        self._next = self.mount.world.clock.callLater(self._due.delay(tai), self._send_telemetry)

    def _send_telemetry(self) -> None:
        self._next = None
        tai = self.mount.world.tai()
        topics = self._due.due(tai)
        if topics:
            self.telemetry.send([self._source.measure(topic).encode() for topic in topics])
        self._plan_telemetry(tai)

    def _take(self, line: bytes) -> None:
        """Execute a command. If a line is no command, log it and do not answer (protocol-tma2022.rst,
        "Framing")."""
        try:
            command = tma2022.decode_command(line)
        except LineError as error:
            self._limited_log.warning("%s: ignored a line: %s", self.name, error)
            if not _is_utf8(line) and self.commands.client is not None:
                # as the mock controller does (protocol-tma2022.rst, "The mock controller")
                self.commands.client.close()
            return
        self.faults.commanded(command)
        self.mount.receive(command)

    def _faults_changed(self) -> None:
        """Refuse clients, and close the present one, while the faults require it."""
        if self.running:
            self.commands.is_refusing = self.faults.refusing
            if self.faults.refusing:
                self.commands.close_client()

    def _fault_began(self, fault: Fault) -> None:
        if self.running:
            self._output.begin_fault(fault)

    def _faults_cleared(self) -> None:
        if self.running:
            self.mount.alarms.forget()


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
