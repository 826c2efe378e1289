"""The simulated mount on its sockets, as a Twisted service.

`SimulatorService` owns one `SimulatedMount` and one `Communicator`, for one commander at a time. When the
commander disconnects, the mount keeps its state, and the commander that has command keeps it. Commands wait
until replies can be delivered; if their commander disconnects, they are dropped. A reply that can't be
delivered is dropped.

It uses sockets only through its `Communicator`. Next to read: `mount`, `output`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Unpack

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.dialects.tma2020.enums import COMMAND_PORT, REPLY_PORT
from mtmount_twisted.errors import LineError, ListenError, PairClosedError
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog

from .faults import Fault, Faults
from .mount import MountOptions, SimulatedMount
from .output import ReplyOutput


class SimulatorService(Service):
    """A service that gives one commander a simulated mount.

    :param host: address to listen on for commands.
    :param command_port: port to listen on; 0 for one of the system's choice.
    :param reply_host: host on which the commander listens for replies.
    :param reply_port: port on which the commander listens; 0 to connect only when
        ``communicator.connect(port)`` is called.
    :param reactor: the reactor; the global one if None.
    :param faults: the initial faults.
    :param fault_seed: seed of the random numbers that decide when faults happen.
    :param options: as for `SimulatedMount`: `tai`, `initial_commander`, `speed` and `realistic`.
    :raises ValueError: from `startService`, if an option is out of range.
    :ivar faults: the faults, which may be changed at any time.
    :ivar mount: the mount, from `startService` on; a new one at each start.
    :ivar communicator: the connections to the commander, from `startService` on.
    """

    name = "mtmount-simulator"
    mount: SimulatedMount
    communicator: Communicator

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        command_port: int = COMMAND_PORT,
        reply_host: str = "127.0.0.1",
        reply_port: int = REPLY_PORT,
        faults: Iterable[Fault] = (),
        fault_seed: int = 0,
        log: logging.Logger | None = None,
        reactor: Any = None,
        **options: Unpack[MountOptions],
    ) -> None:
        self._addresses = (reply_host, reply_port, host, command_port)
        self._options = options
        self._log = log or logging.getLogger(__name__)
        self._reactor = reactor
        self.faults: Faults = Faults(faults, fault_seed)
        self.faults.changed = self._refuse_or_connect

    def startService(self) -> None:
        """Make the mount, start to listen and, unless `reply_port` is 0, to connect."""
        reactor = self._reactor
        if reactor is None:
            from twisted.internet import reactor
        self.faults.forget()
        self._announced = False
        self._refused = self.faults.refusing
        self._limited_log = RateLimitedLog(reactor, self._log, A_FEW)
        self._voice = ReplyOutput(self.faults, reactor, self._log)
        self.mount = SimulatedMount(reactor, self._voice.say, **self._options)
        self.communicator = Communicator(
            self.name,
            *self._addresses,
            log=self._log,
            read_replies=False,
            connect=self._addresses[1] != 0 and not self._refused,
            connect_callback=self._announce_once,
            reactor=reactor,
        )
        self.communicator.unreachable_level = logging.INFO  # it is normal that a simulator starts first
        self._voice.mount, self._voice.communicator = self.mount, self.communicator
        super().startService()  # type: ignore[no-untyped-call]
        serving = self.communicator.each(self._take, self._answer_unreadable, answering=True)
        Deferred.fromCoroutine(serving).addErrback(self._stopped)

    def stopService(self) -> Deferred[None]:
        """Stop the mount and close its connections. A caller may call this before the start, and more than
        once.

        :return: a Deferred that fires with None when the sockets are gone.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        if not hasattr(self, "communicator"):
            return succeed(None)
        for end in self.mount.close, self._voice.close:
            try:
                end()
            except Exception:  # the sockets must be closed all the same
                self._log.exception("%s: closing the connection failed", self.name)
        return self.communicator.close()

    def wait_command_port(self) -> Deferred[int]:
        """Wait until the service listens for commands.

        :return: a Deferred that fires with the port. It fails with `ListenError` if the service can't listen.
        """
        return self.communicator.wait_server_port()

    def _announce_once(self, communicator: Communicator) -> None:
        """Report the in-position state of both axes when a commander can first receive it."""
        if communicator.client_connected and not self._announced:
            self._announced = True
            self.mount.announce_in_position()

    def _take(self, command: Any) -> Deferred[None]:
        """Execute a command. The service reads the next command when it has sent the replies to this one."""
        self.faults.commanded(command)
        self.mount.receive(command)
        return self._voice.written

    def _stopped(self, failure: Failure) -> None:
        """Log the error that ended the service. The communicator has already logged a failure to listen."""
        if not failure.check(ListenError):
            self._log.critical("%s: stopped serving: %s", self.name, failure.getTraceback())

    def _answer_unreadable(self, error: LineError) -> None:
        """Send NoAck in answer to a malformed line, if its header identifies a command."""
        self._limited_log.warning("%s: %s", self.name, error)
        dialect = self.communicator.dialect
        command = dialect.read_to_refuse(error.line)
        try:
            code = dialect.read_header(error.line, True).code
        except LineError:
            return
        if command is None:
            return
        explanation = str(error.reason) if code in dialect.commands else f"unknown command code {code}"
        line = dialect.refused(explanation).rewritten(command.sequence_id, command.source)
        writer = self.communicator.writer
        if writer is not None and writer.has_room and not self.faults.silent:
            writer.send(line + dialect.terminator)

    def _refuse_or_connect(self) -> None:
        """Close or make the reply connection, as the faults require."""
        if not self.running or self._refused == self.faults.refusing:
            return
        self._refused = self.faults.refusing
        if self._refused:
            self.communicator.close_client()
        elif self.communicator.client_port:
            self.communicator.connect().addErrback(lambda failure: failure.trap(PairClosedError, ListenError))
