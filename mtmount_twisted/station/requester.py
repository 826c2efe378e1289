"""`Requester`: a program that sends commands by the broker, on asyncio.

::

    async with Requester(["nats://127.0.0.1:4222"], "t1", "night") as requester:
        outcome = await requester.command("AzimuthAxisMove", {"position": 5})
        print(outcome.state, outcome.explanation)

A request whose confirmation is lost is sent again with the same id, so that it never runs twice. The outcome
is read from the stream. A message from a subscription is only a sign that it is time to look at the stream,
because a subscriber also receives messages that the stream refuses. While the requester is open, it sends a
keep-alive every 5 s. Next to read: `requests`, the messages; `desk`, the other side.
"""

from __future__ import annotations

import asyncio
import uuid
from asyncio import Event, Task
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any

from msgspec import UNSET
from nats.aio.msg import Msg

from mtmount_twisted.errors import EngineRefused, EngineUnreachable

from .nats_connection import Connection, Login
from .requests import Ended, OutcomeEvent, Subjects, Wanted, read_outcome, request_body
from .server_config import inbox_of, last_message
from .waits import pause

KEEP_ALIVE = 5.0
"""The time between two keep-alives, in seconds."""

LOOK_AGAIN = 0.5
"""The longest time between two looks for an outcome, in seconds."""

SOON = 0.0005
"""The time to the next look if a message came that the stream does not have yet, in seconds; it doubles each
time."""

RETRY_AFTER = 0.25
"""The time from the loss of a connection to the next attempt, in seconds."""

HERE = "here"
"""The id of the keep-alives: they need no outcome, so all of them may have the same subject."""


class Requester:
    """A user who sends commands.

    :param servers: URLs such as ``nats://127.0.0.1:4222``; they are tried in turn.
    :param mount: the name of the mount.
    :param user: the name of the user.
    :param login: the proof of identity.
    :ivar problem: the reason why it is not connected, for a person; empty while it is.
    """

    def __init__(self, servers: Sequence[str], mount: str, user: str, login: Login | None = None) -> None:
        self.problem: str = "connecting"
        self._servers = cycle(servers)
        self._subjects = Subjects(mount)
        self._user = user
        self._login = (login or Login())._replace(inbox=inbox_of(user))
        self._connection: Connection | None = None
        self._connected = Event()
        self._task: Task[None] | None = None
        self._waiting: dict[str, Event] = {}

    async def __aenter__(self) -> Requester:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def wait_connected(self, timeout: float) -> None:
        """Wait for the connection.

        :param timeout: the longest wait, in seconds.
        :raises EngineUnreachable: if there is no connection by then; the error text has the reason.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._connected.wait()
        except TimeoutError:
            raise EngineUnreachable(self.problem) from None

    async def command(
        self,
        command: str,
        parameters: Mapping[str, Any] | None = None,
        expires: float | None = None,
        timeout: float = 300.0,
        id: str | None = None,
    ) -> Ended:
        """Send a command, and wait for its end.

        :param command: the name of the command, as in the API.
        :param parameters: its parameters.
        :param expires: the age at which the command is too old to be sent, in seconds; None for the setting
            of the user.
        :param timeout: the longest wait for the outcome, in seconds.
        :param id: the id of the request, which no other request has; None for a new id.
        :returns: the outcome: ``state``, ``explanation`` and ``steps``.
        :raises EngineUnreachable: if there is no outcome in time; the command may still be sent.
        :raises EngineRefused: if the server does not let this user send it, or the request is too long.
        :raises EngineFull: if the stream has no room.
        """
        id = id or str(uuid.uuid4())
        wanted = Wanted(command, dict(parameters or {}), UNSET if expires is None else expires)
        body = request_body(self._user, id, wanted)
        self._waiting[id] = Event()
        try:
            async with asyncio.timeout(timeout):
                await self._send(self._subjects.request(self._user, id), body)
                return (await self._outcome(id)).data
        except TimeoutError:
            raise EngineUnreachable(f"no outcome of the request {id} within {timeout:g} s") from None
        finally:
            del self._waiting[id]

    def _last_message(self, id: str) -> str:
        return last_message(self._user, self._subjects.life(self._user, id))

    async def _send(self, subject: str, body: bytes) -> None:
        """Store a request, once."""
        while True:
            await self._connected.wait()
            assert self._connection is not None
            with suppress(EngineUnreachable):
                headers = {"Nats-Expected-Last-Subject-Sequence": "0"}
                await (await self._connection.store(subject, body, headers))
                return  # a position, or 0 if an earlier attempt has stored it
            await pause(RETRY_AFTER)

    async def _outcome(self, id: str) -> OutcomeEvent:
        """Wait for the outcome of a request in the stream, and return it."""
        subject, changed = self._last_message(id), self._waiting[id]
        wait = LOOK_AGAIN
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await changed.wait()
            # A subscriber has a message before the stream has it: look again soon.
            wait = SOON if changed.is_set() else min(2 * wait, LOOK_AGAIN)
            changed.clear()
            await self._connected.wait()
            assert self._connection is not None
            with suppress(EngineUnreachable):
                message: Msg = await (await self._connection.send(subject, b""))
                found = None if "Status" in (message.headers or {}) else read_outcome(message.data)
                if found is not None:
                    return found

    # The connection

    async def _run(self) -> None:
        while True:
            connection = Connection()
            try:
                await connection.open(next(self._servers), self._login)
                life = self._subjects.life(self._user, "*")
                await connection.subscribe(life, self._changed)
                self._connection, self.problem = connection, ""
                self._connected.set()
                await self._keep_present(connection)
            except (EngineUnreachable, EngineRefused) as error:
                self.problem = str(error)
            except Exception as error:  # an answer of any shape must not end the attempts
                self.problem = f"the server sends a malformed answer ({type(error).__name__}: {error})"
            finally:
                self._connected.clear()
                self._connection = None
                await connection.close()
            await pause(RETRY_AFTER)

    async def _changed(self, message: Msg) -> None:
        event = self._waiting.get(message.subject.rpartition(".")[2])
        if event is not None and message.data and read_outcome(message.data) is not None:
            event.set()

    async def _keep_present(self, connection: Connection) -> None:
        """Send keep-alives until the connection is lost."""
        while not connection.lost.done():
            await connection.publish(self._subjects.request(self._user, HERE), b"")
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEP_ALIVE):
                    await asyncio.shield(connection.lost)
        raise EngineUnreachable(connection.lost.result())
