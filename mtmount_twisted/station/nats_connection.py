"""`Connection`: one connection to a NATS server, from its opening to its loss. It never reconnects.

``nats-py`` carries the bytes. This module adds what the contracts need: requests whose confirmations end in
any case, no buffer of unsent messages, and a loss that is noticed within 3 s also if the server hangs. A loss
ends the connection; the engine then opens a new one, so that nothing of the old one is ever sent later. Next
to read: `nats_engine`, which opens the connections.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
from asyncio import Future
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from mtmount_twisted.errors import EngineFull, EngineRefused, EngineUnreachable

from .waits import pause

ANSWER_TIME = 5.0
"""The longest time for the answer to a request, in seconds; after it, the outcome is unknown."""

CONNECT_TIME = 2.0
"""The longest time for each step of opening a connection, in seconds."""

PING_INTERVAL = 1.0
"""The time between two checks of the connection, in seconds; two without an answer end it."""

REQUEST_TIME = 1.0
"""The longest time in which another client answers a request, in seconds."""

WRONG_SEQUENCE = 10071
"""JetStream's error if a condition on the last message of a subject does not hold."""

NO_ROOM = frozenset([10023, 10028, 10047, 10077])
"""JetStream's errors if there is no room: of the server, of an account, or of a stream
(``server/errors.json`` of nats-server)."""

_PERMISSION = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]+)\"", re.IGNORECASE)


class _ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Confirmation(msgspec.Struct):
    seq: int = 0
    error: _ApiError | None = None


_read_confirmation = msgspec.json.Decoder(_Confirmation).decode


class Waiting(NamedTuple):
    """A request that waits for its answer.

    :ivar read: return the result of the request, given the answer and the subject; it may raise.
    """

    future: Future[Any]
    subject: str
    due: float
    read: Callable[[Msg, str], Any]


class Login(NamedTuple):
    """The proof of identity at a server.

    :ivar credentials: path of a file with the seed of an NKey, or with a JWT and a seed; empty for none.
    :ivar tls: the certificates to trust; None for the system's.
    :ivar inbox: the beginning of the subjects for answers.
    """

    credentials: str = ""
    tls: ssl.SSLContext | None = None
    inbox: str = "_INBOX"

    def options(self) -> dict[str, Any]:
        """Return the options of ``nats-py``.

        :raises OSError: if the file can't be read.
        """
        options: dict[str, Any] = {} if self.tls is None else {"tls": self.tls}
        options["inbox_prefix"] = self.inbox
        if self.credentials:
            with open(self.credentials, "rb") as file:
                is_jwt = b"BEGIN NATS USER JWT" in file.read(65536)
            options["user_credentials" if is_jwt else "nkeys_seed"] = self.credentials
        return options


class _Client(Client):
    """A client that says nothing in the clear to a server with a ``tls:`` URL.

    `nats-py` encrypts only if the server asks for it. Without this rule anybody between the two could take
    that demand away, and would read all events and sign in with the signature of the nonce.
    """

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        server = self._current_server
        is_tls = server is not None and server.uri.scheme == "tls"
        if initial_connection and is_tls and info.get("tls_required") is not True:
            raise NatsError("the server offers no TLS, which tls: asks for")
        await super()._process_info(info, initial_connection)


class Connection:
    """One connection to a server.

    :ivar lost: done once the connection is lost; its result is the reason.
    :ivar version: the version of the server, such as ``2.10.18``.
    """

    def __init__(self) -> None:
        self._client = _Client()
        self._loop = asyncio.get_running_loop()
        self.lost: Future[str] = self._loop.create_future()
        self.version: str = ""
        self._waiting: dict[str, Waiting] = {}
        self._number = 0
        self._inbox = ""
        self._last_error = ""
        self._sweeping: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None

    async def open(self, server: str, login: Login) -> None:
        """Connect to a server.

        :raises EngineUnreachable: if that fails; the error text has the reason.
        """
        try:
            async with asyncio.timeout(3 * CONNECT_TIME):
                await self._client.connect(
                    [server],
                    allow_reconnect=False,  # a new connection sends nothing that this one has kept
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_TIME,  # type: ignore[arg-type]  # a float is as good
                    ping_interval=3600,  # `_watch` looks more closely
                    pending_size=0,  # no buffer while there is no connection
                    skip_subject_validation=True,  # the subjects are our own
                    error_cb=self._note_error,
                    closed_cb=self._closed,
                    **login.options(),
                )
                version = self._client.connected_server_version
                self.version = f"{version.major}.{version.minor}.{version.patch}"
                self._inbox = self._client.new_inbox()
                await self._client.subscribe(f"{self._inbox}.*", cb=self._answered)
        except (NatsError, OSError, TimeoutError, ValueError) as error:
            self._drop()
            why = self._last_error or str(error) or type(error).__name__
            raise EngineUnreachable(f"no connection to {server}: {why}") from None
        self._watching = self._loop.create_task(self._watch())

    async def _note_error(self, error: Exception) -> None:
        """Note an error that the server or the connection reports."""
        self._last_error = text = str(error) or type(error).__name__
        found = _PERMISSION.search(text)
        if found is None:
            return
        for token, waiting in tuple(self._waiting.items()):
            if waiting.subject.lower() == found[2].lower():  # `nats-py` gives the text in lower case
                self._fail(token, EngineRefused(f"this user may not publish to {waiting.subject}"))

    async def _closed(self) -> None:
        self._lose(self._last_error or "the server closed the connection")

    def _lose(self, why: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(why)
        for token in tuple(self._waiting):
            self._fail(token, EngineUnreachable(f"the connection to the broker was lost: {why}"))
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _fail(self, token: str, error: Exception) -> None:
        waiting = self._waiting.pop(token, None)
        if waiting is not None and not waiting.future.done():
            waiting.future.set_exception(error)

    async def _watch(self) -> None:
        """End the connection if the server does not answer, or hangs."""
        while not self.lost.done():
            await pause(PING_INTERVAL)
            try:
                async with asyncio.timeout(2 * PING_INTERVAL):
                    await self._client.flush(timeout=10)
            except (NatsError, OSError, TimeoutError):
                self._lose("the server does not answer")
                self._drop()

    def _drop(self) -> None:
        """Drop the connection at once: the server may hang, and `Client.close` would wait for it."""
        transport = getattr(self._client, "_transport", None)
        for name in ("_io_writer", "_bare_io_writer"):
            writer = getattr(transport, name, None)
            if writer is not None:
                writer.transport.abort()

    async def close(self) -> None:
        """Close the connection. It may be called twice."""
        self._lose("closed by this side")
        if self._watching is not None:
            self._watching.cancel()
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(0.5):
                await self._client.close()
        self._drop()

    # Requests

    async def send(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        within: float = ANSWER_TIME,
        read: Callable[[Msg, str], Any] = lambda message, subject: message,
    ) -> Future[Any]:
        """Send a request, and return its answer, which comes, or fails, within some seconds.

        :param read: return the result of the future, given the answer and the subject; it may raise.
        :raises EngineUnreachable: if there is no connection: the request is not sent.
        """
        if self.lost.done():
            raise EngineUnreachable(f"not connected to the broker: {self.lost.result()}")
        self._number += 1
        token = str(self._number)
        future: Future[Any] = self._loop.create_future()
        self._waiting[token] = Waiting(future, subject, self._loop.time() + within, read)
        if self._sweeping is None or within < ANSWER_TIME:
            self._sweep()
        try:
            await self._client.publish(subject, body, f"{self._inbox}.{token}", headers)
        except (NatsError, OSError) as error:
            self._waiting.pop(token, None)
            raise EngineUnreachable(f"not sent: {error}") from None
        return future

    def _sweep(self) -> None:
        """Fail the requests whose time is over, and look again when that of the next one is."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        now = self._loop.time()
        for token in [token for token, each in self._waiting.items() if each.due <= now]:
            self._fail(token, EngineUnreachable("the broker did not answer in time"))
        if self._waiting:
            due = min(each.due for each in self._waiting.values())
            self._sweeping = self._loop.call_at(due + 0.01, self._sweep)

    async def _answered(self, message: Msg) -> None:
        waiting = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if waiting is None or waiting.future.done():
            return
        try:
            waiting.future.set_result(waiting.read(message, waiting.subject))
        except Exception as error:
            waiting.future.set_exception(error)

    async def store(self, subject: str, body: bytes, headers: dict[str, str] | None) -> Future[int]:
        """Send a message to the stream of its subject, and return its confirmation: see `ILog.send`."""
        return await self.send(subject, body, headers, read=_position)

    async def ask(self, subject: str, question: object = None) -> dict[str, Any]:
        """Send a request to JetStream's API, and return the answer.

        :raises EngineUnreachable: if there is no answer.
        :raises ApiRefused: if the answer is an error.
        """
        body = b"" if question is None else json.dumps(question).encode()
        message: Msg = await (await self.send(f"$JS.API.{subject}", body))
        if _status(message) == "503":
            raise EngineUnreachable("the server has no JetStream: is it turned on in its configuration?")
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            error = answer["error"]
            raise ApiRefused(str(error.get("description")), int(error.get("err_code", 0)))
        return answer

    async def is_answered(self, subject: str) -> bool | None:
        """Ask other clients. Return True for an answer, False without a listener, None without an answer."""
        try:
            message: Msg = await (await self.send(subject, b"", within=REQUEST_TIME))
        except EngineUnreachable:
            if self.lost.done():
                raise
            return None
        return _status(message) != "503"

    # Subscriptions

    async def subscribe(self, subject: str, receive: Callable[[Msg], Awaitable[None]]) -> Any:
        """Call a coroutine with each message.

        :returns: the subscription, for `unsubscribe`.
        :raises EngineUnreachable: if there is no connection.
        """
        try:
            return await self._client.subscribe(subject, cb=receive)
        except (NatsError, OSError) as error:
            raise EngineUnreachable(str(error)) from None

    async def unsubscribe(self, *subscriptions: Any) -> None:
        """End subscriptions, and wait until the server has done that.

        :raises EngineUnreachable: if it does not answer.
        """
        try:
            for subscription in subscriptions:
                await subscription.unsubscribe()
        except (NatsError, OSError) as error:
            raise EngineUnreachable(str(error)) from None
        if subscriptions:
            await self.flush()

    async def publish(self, subject: str, body: bytes, reply: str = "") -> None:
        """Send a message without a confirmation, for answers and for the next messages of a consumer."""
        try:
            await self._client.publish(subject, body, reply)
        except (NatsError, OSError) as error:
            raise EngineUnreachable(str(error)) from None

    async def flush(self) -> None:
        """Wait until the server has processed what was sent before.

        A request does that, and ``Client.flush`` does not: its PING overtakes what `nats-py` has yet to send.

        :raises EngineUnreachable: if it does not answer.
        """
        await (await self.send("$JS.API.INFO", b""))

    def new_inbox(self) -> str:
        """Return a subject for answers that no one else has."""
        return self._client.new_inbox()


class ApiRefused(EngineRefused):
    """JetStream's API answers with an error.

    :ivar number: JetStream's number of the error.
    """

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.number)


def _status(message: Msg) -> str:
    return (message.headers or {}).get("Status", "")


def _position(message: Msg, subject: str) -> int:
    """Return the position in the confirmation of a message.

    :raises EngineUnreachable: if no stream answers, as during the election of its leader.
    """
    if message.headers and _status(message) == "503":
        raise EngineUnreachable(f"no stream answers for {subject}: it is missing, or has no leader now")
    confirmation = _read_confirmation(message.data)
    error = confirmation.error
    if error is None:
        return confirmation.seq
    if error.err_code == WRONG_SEQUENCE:
        return 0
    if error.err_code in NO_ROOM:
        raise EngineFull(error.description)
    if error.code >= 500:
        raise EngineUnreachable(error.description)
    raise EngineRefused(error.description)


def decoded(text: str | None) -> bytes:
    """Return the bytes of a member of JetStream's API."""
    return base64.b64decode(text or "")
