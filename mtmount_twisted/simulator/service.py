"""The simulated mount on its sockets, as a Twisted service.

`SimulatorService` owns one `SimulatedMount` and one `Communicator`, for one commander at a
time. The commander may come and go: the mount keeps its state, also who has command.

May touch sockets, through its `Communicator` only. Next to read: `mount`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from ..codec import read_command_header
from ..commands import Command, CommandDict
from ..communicator import Communicator
from ..enums import COMMAND_PORT, REPLY_PORT, Commander, Source
from ..errors import ConnectionLostError, LineError, MTMountError, NotConnectedError, PairClosedError
from ..replies import NoAckReply, Reply
from .mount import SimulatedMount


class SimulatorService(Service):
    """Serves one commander with a simulated mount.

    Commands are taken while replies can be delivered; a reply that can't be is dropped.

    :param host: address to listen on for commands.
    :param command_port: port to listen on, 0 for one of the system's choice.
    :param reply_host: where the commander listens for replies.
    :param reply_port: port there; 0 to connect only when ``communicator.connect(port)`` is called.
    :param reactor: the reactor; the global one if None.
    :param tai: as for `SimulatedMount`, and so are `initial_commander`, `speed` and `realistic`.
    :raises ValueError: from `startService`, if an option is out of range.
    :ivar mount: the mount, from `startService` on; a new one at each start.
    :ivar communicator: its connections, from `startService` on.
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
        initial_commander: Commander = Commander.NONE,
        speed: float = 1.0,
        realistic: bool = False,
        tai: Callable[[], float] | None = None,
        log: logging.Logger | None = None,
        reactor: Any = None,
    ) -> None:
        self._addresses = (reply_host, reply_port, host, command_port)
        self._options = {
            "tai": tai,
            "initial_commander": initial_commander,
            "speed": speed,
            "realistic": realistic,
        }
        self._log = log or logging.getLogger(__name__)
        self._reactor = reactor
        self._written: Deferred[None] = succeed(None)
        self._changed: Deferred[None] = Deferred()
        self._serving: Deferred[None] = succeed(None)

    def startService(self) -> None:
        """Make the mount, begin to listen and, unless `reply_port` is 0, to connect."""
        reactor = self._reactor
        if reactor is None:
            from twisted.internet import reactor
        self.mount = SimulatedMount(reactor, self._send, **cast(Any, self._options))
        self.communicator = Communicator(
            self.name,
            *self._addresses,
            log=self._log,
            read_replies=False,
            connect=self._addresses[1] != 0,
            connect_callback=self._connection_changed,
            reactor=reactor,
        )
        super().startService()  # type: ignore[no-untyped-call]
        self._serving = Deferred.fromCoroutine(self._serve())
        self._serving.addErrback(_closed)

    def stopService(self) -> Deferred[None]:
        """Stop the mount and close its connections.

        :return: a Deferred that fires with None when the sockets are gone.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self.mount.close()
        self._serving.cancel()
        return self.communicator.close()

    def wait_command_port(self) -> Deferred[int]:
        """Wait until it listens for commands.

        :return: a Deferred that fires with the port; fails with `ListenError` if it can't listen.
        """
        return self.communicator.wait_server_port()

    def _connection_changed(self, communicator: Communicator) -> None:
        changed, self._changed = self._changed, Deferred()
        changed.callback(None)

    async def _serve(self) -> None:
        """Take one command after another, each when the replies to those before are on their way."""
        communicator = self.communicator
        while True:
            await self._written
            if communicator.server_connected and not communicator.client_connected:
                await self._changed
                continue
            try:
                command = cast(Command, await communicator.read())
            except LineError as error:
                self._answer_unreadable(error)
            except NotConnectedError:
                await self._changed
            except ConnectionLostError:
                pass  # what the communicator has logged
            else:
                self._execute(command)

    def _execute(self, command: Command) -> None:
        """Hand a command to the mount; what fails in there must not end the serving."""
        try:
            self.mount.receive(command)
        except Exception:
            self._log.exception("%s: failed in %r", self.name, command)

    def _answer_unreadable(self, error: LineError) -> None:
        """NoAck to a line that is no command, if it can be told which one it should have been."""
        self._log.warning("%s: %s", self.name, error)
        try:
            header = read_command_header(error.line)
            known = header.code in CommandDict
            explanation = str(error.reason) if known else f"unknown command code {header.code}"
            reply = NoAckReply(
                sequence_id=header.sequence_id,
                source=Source(header.source),
                explanation=explanation,
            )
        except ValueError:
            return
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        self._written = self.communicator.write(reply).addErrback(self._dropped, reply)

    def _dropped(self, failure: Failure, reply: Reply) -> None:
        failure.trap(MTMountError)
        self._log.debug("%s: dropped %r: %s", self.name, reply, failure.getErrorMessage())


def _closed(failure: Failure) -> None:
    """Serving ends by being cancelled, or by the closing of its connections."""
    failure.trap(CancelledError, PairClosedError)
