"""`Connection`: one connection to a NATS server, from its opening to its loss. It never reconnects.

``nats-py`` carries the bytes. This module adds what the contracts need: requests whose confirmations end in
any case, no buffer of unsent messages, and a loss that is noticed within 3 s also if the server hangs. A loss
ends the connection; the engine then opens a new one, so that nothing of the old one is ever sent later. No
byte of a message ends it: the server passes on subjects and headers as a client wrote them, and `nats-py`
takes neither all of its subjects nor all of its headers. Next to read: `nats_engine`, which opens the
connections.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
from asyncio import Future
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, AWAITING_MSG_PAYLOAD, Parser

from mtmount_twisted.errors import EngineFull, EngineRefused, EngineUnreachable, MTMountError

from .waits import pause

ANSWER_TIME = 5.0
"""The longest time for the answer to a request, in seconds; after it, the outcome is unknown."""

CONNECT_TIME = 2.0
"""The longest time for each step of opening a connection, in seconds."""

PING_INTERVAL = 1.0
"""The time between two checks of the connection, in seconds; two checks without an answer end the
connection."""

REQUEST_TIME = 1.0
"""The longest time in which another client answers a request, in seconds."""

WRONG_SEQUENCE = 10071
"""JetStream's error if a condition on the last message of a subject does not hold."""

NO_ROOM = frozenset([10023, 10028, 10047, 10077])
"""JetStream's errors if the server, an account or a stream has no room
(``server/errors.json`` of nats-server)."""

MOST_FAULTS = 2
"""The number of times that a message which this side can't read ends a connection; then it is skipped."""

MOST_FAULTY = 1000
"""The number of such messages that are remembered; then the count of each begins anew."""

LONGEST_LINE = 2**20
"""The longest line of the server, in bytes: an ``INFO`` of a large cluster has some thousand."""

_BLANKS = re.compile(rb"[ \t]+")
_STATUS = re.compile(rb"NATS/1\.0 +(\d{3})(?!\d)")

_SUBJECT = re.compile(r"[!-~]{1,1024}")
"""A subject that every server takes from this side: beyond its control line, it closes the connection."""

_PERMISSION = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]+)\"", re.IGNORECASE)


class _ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


Position = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
"""The place of a message in its stream."""


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
    :ivar tls: the certificates to trust; None for the system's certificates.
    :ivar inbox: the beginning of the subjects for answers.
    """

    credentials: str = ""
    tls: ssl.SSLContext | None = None
    inbox: str = "_INBOX"

    def options(self) -> dict[str, Any]:
        """Return the options of ``nats-py``.

        :raises OSError: if the file can't be read.
        :raises ValueError: if it has no seed. The error names the file.
        """
        options: dict[str, Any] = {} if self.tls is None else {"tls": self.tls}
        options["inbox_prefix"] = self.inbox
        if self.credentials:
            with open(self.credentials, "rb") as file:
                content = file.read(65536)
            is_jwt = b"BEGIN NATS USER JWT" in content
            _check_seed(self.credentials, content, is_jwt)
            options["user_credentials" if is_jwt else "nkeys_seed"] = self.credentials
        return options


def _check_seed(path: str, content: bytes, is_jwt: bool) -> None:
    """Raise an error that names the file if `nats-py` would find no seed in it, whatever its error were."""
    import nkeys  # type: ignore[import-untyped]

    found = re.search(rb"BEGIN USER NKEY SEED.*\n(.*)\n", content) if is_jwt else None
    seed = content.strip() if not is_jwt else b"" if found is None else found[1]
    try:
        nkeys.from_seed(bytearray(seed)).wipe()
    except Exception:  # of any kind, and `from None`: the text of the file stays out of the log
        raise ValueError(f"{path}: expected the seed of an NKey, or a JWT with such a seed") from None


def read_status(headers: bytes) -> dict[str, str]:
    """Return the status in the headers of a message; nothing else in them is used."""
    found = _STATUS.match(headers)
    return {} if found is None else {"Status": found[1].decode()}


class _Unreadable(ProtocolError):
    """The server sends what this side can't read."""

    def __str__(self) -> str:
        return str(self.args[0])


class _Parser(Parser):
    """Reads what the server sends. As for the server, blanks and tabs divide the words of a line: any other
    byte may stand in a subject."""

    async def parse(self, data: bytes = b"") -> None:
        """Read what came. An error in it ends the connection at once: `nats-py` would only end its loop."""
        self.buf += data
        try:
            while self.buf and (
                await (self._read_line() if self.state == AWAITING_CONTROL_LINE else self._read_message())
            ):
                pass
        except Exception as error:
            why = str(error) if isinstance(error, _Unreadable) else f"{type(error).__name__}: {error}"
            self.nc.fail(why)
            raise _Unreadable(why) from error

    async def _read_line(self) -> bool:
        """Read a line; return False if its end has not come."""
        end = self.buf.find(b"\r\n")
        if end < 0:
            if len(self.buf) > LONGEST_LINE:
                raise _Unreadable("a line of the server is too long")
            return False
        line = bytes(self.buf[:end])
        del self.buf[: end + 2]
        match _BLANKS.split(line.strip(b" \t")):
            case [b"MSG", subject, sid, *reply, size] if len(reply) < 2:
                self._begin_message(subject, sid, reply, b"0", size)
            case [b"HMSG", subject, sid, *reply, header_size, size] if len(reply) < 2:
                self._begin_message(subject, sid, reply, header_size, size)
            case [b"PING"]:
                await self.nc._process_ping()
            case [b"PONG"]:
                await self.nc._process_pong()
            case [b"+OK"]:
                pass
            case [b"-ERR", *_]:
                await self.nc._process_err(line[4:].strip().decode("utf-8", "backslashreplace").lower())
            case [b"INFO", *_]:
                await self.nc._process_info(json.loads(line[4:]))
            case _:
                raise _Unreadable(f"the server sends {line[:40]!r}")
        return True

    def _begin_message(
        self, subject: bytes, sid: bytes, reply: list[bytes], header: bytes, size: bytes
    ) -> None:
        self.msg_arg = {"subject": subject, "sid": int(sid), "reply": b"".join(reply)}
        self.header_needed, self.needed = int(header), int(size)
        self.state = AWAITING_MSG_PAYLOAD

    async def _read_message(self) -> bool:
        """Read the rest of a message; return False if it has not come."""
        if len(self.buf) < self.needed + 2:
            return False
        headers, body = (
            bytes(self.buf[: self.header_needed]),
            bytes(self.buf[self.header_needed : self.needed]),
        )
        del self.buf[: self.needed + 2]
        self.state = AWAITING_CONTROL_LINE
        await self.nc._process_msg(
            self.msg_arg["sid"], self.msg_arg["subject"], self.msg_arg["reply"], body, headers
        )
        return True


class _Client(Client):
    """A client that says nothing in the clear to a server with a ``tls:`` URL, and that no message ends.

    `nats-py` encrypts only if the server asks for it. Without this rule anybody between the two could take
    that demand away, and would read all events and sign in with the signature of the nonce. And an error in
    its reading loop ends only the loop: the connection would be deaf.

    :param faults: how often each message, by its subject and its place in the stream, could not be read.
    :param failed: receives a reason if something can't be read.
    :param ended: receives the reason once the reading loop ends.
    """

    def __init__(
        self,
        faults: Counter[tuple[bytes, str]],
        failed: Callable[[str], None],
        ended: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._ps = _Parser(self)
        self._faults = faults
        self.fail = failed
        self._ended = ended

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        server = self._current_server
        is_tls = server is not None and server.uri.scheme == "tls"
        if initial_connection and is_tls and info.get("tls_required") is not True:
            raise NatsError("the server offers no TLS, which tls: asks for")
        await super()._process_info(info, initial_connection)

    async def _read_loop(self) -> None:
        why = ""
        try:
            await super()._read_loop()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        finally:
            self._ended(why)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        try:
            await super()._process_msg(sid, subject, reply, data, headers)
        except Exception as error:
            which = subject, _place(reply.decode("ascii", "replace"))
            if len(self._faults) >= MOST_FAULTY and which not in self._faults:
                self._faults.clear()
            self._faults[which] += 1
            if self._faults[which] < MOST_FAULTS:
                where = f"a message on {_printable(subject)} can't be read"
                raise _Unreadable(f"{where} ({type(error).__name__}: {error})") from error
            await super()._process_msg(sid, subject, reply, b"", b"")

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        return read_status(headers) if headers else None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        return Msg(
            _client=self,
            subject=subject.decode("utf-8", "backslashreplace"),
            reply=reply.decode("utf-8", "backslashreplace"),
            data=data,
            headers=headers,
            _sid=sid,
        )


def delivery_words(reply: str) -> list[str]:
    """Return what a stream says about a message: the stream, the consumer, the number of deliveries, the
    position, the count of the consumer, the time (ns) and the number of messages that follow."""
    words = reply.split(".")  # $JS.ACK.[domain.account.]stream.consumer...[.token]
    return words[2:9] if len(words) == 9 else words[4:11]


def _place(reply: str) -> str:
    """Return the place in its stream of a message; empty for a message that no stream delivers."""
    return ".".join(delivery_words(reply)[:4:3]) if reply.startswith("$JS.ACK.") else ""


def _printable(subject: bytes) -> str:
    return ascii(subject.decode("utf-8", "backslashreplace")[:100])


class Connection:
    """One connection to a server.

    :param faults: how often each message could not be read, on all connections of the caller.
    :param tell: called with each reason why an answer can't be read.
    :ivar lost: done once the connection is lost; its result is the reason.
    :ivar version: the version of the server, such as ``2.10.18``.
    :ivar fault: what could not be read; empty if nothing.
    """

    def __init__(
        self,
        faults: Counter[tuple[bytes, str]] | None = None,
        tell: Callable[[str], object] = lambda why: None,
    ) -> None:
        self._tell = tell
        self._client = _Client(Counter() if faults is None else faults, self._fault, self._reading_ended)
        self.fault: str = ""
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
                    allow_reconnect=False,  # a loss ends this connection: see the head of the module
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_TIME,  # type: ignore[arg-type]  # a float is as good
                    ping_interval=3600,  # `_watch` checks more often
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
        self._lose(self._why_closed())

    def _why_closed(self) -> str:
        return self._last_error or str(self._client.last_error or "") or "the server closed the connection"

    def _fault(self, why: str) -> None:
        self.fault = why
        self._lose(why)
        self._drop()

    def _reading_ended(self, why: str) -> None:
        """Note that nothing is read any more: for good, as this connection is not used a second time."""
        self._lose(why or self._why_closed())

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
        :raises EngineRefused: if the server would close the connection, as after a subject of some thousand
            letters.
        """
        _check(subject)
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
        except MaxPayloadError:
            del self._waiting[token]
            raise EngineRefused(f"the server takes no message of {len(body)} bytes") from None
        except (NatsError, OSError) as error:
            self._waiting.pop(token, None)
            raise EngineUnreachable(f"not sent: {error}") from None
        return future

    def _sweep(self) -> None:
        """Fail the requests whose time is over, and do this again when the time of the next request is
        over."""
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
        except MTMountError as error:
            waiting.future.set_exception(error)
        except Exception as error:
            waiting.future.set_exception(self.malformed(error))

    def malformed(self, error: Exception) -> MalformedAnswer:
        """Return the error for an answer that can't be read, whose reason goes to the log. The connection
        stays: only this question has no answer."""
        answer = MalformedAnswer(malformed_answer(error))
        self._tell(str(answer))
        return answer

    async def store(self, subject: str, body: bytes, headers: dict[str, str] | None) -> Future[int]:
        """Send a message to the stream of its subject, and return its confirmation: see `ILog.send`."""
        return await self.send(subject, body, headers, read=_position)

    async def ask(
        self, subject: str, question: object = None, read: Callable[[Any], Any] = lambda answer: answer
    ) -> Any:
        """Send a request to JetStream's API, and return what `read` returns for the answer.

        :param read: it may raise any error if the answer is malformed.
        :raises EngineUnreachable: if there is no answer, or a malformed one.
        :raises ApiRefused: if the answer is an error.
        """

        def answered(message: Msg, subject: str) -> Any:
            if _status(message) == "503":
                raise EngineUnreachable("the server has no JetStream: is it turned on in its configuration?")
            answer = json.loads(message.data)
            if "error" in answer:
                error = answer["error"]
                raise ApiRefused(str(error.get("description")), int(error.get("err_code", 0)))
            return read(answer)

        body = b"" if question is None else json.dumps(question).encode()
        return await (await self.send(f"$JS.API.{subject}", body, read=answered))

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
        """End subscriptions, and wait until the server has ended them.

        :raises EngineUnreachable: if the server does not answer.
        """
        try:
            for subscription in subscriptions:
                await subscription.unsubscribe()
        except (NatsError, OSError) as error:
            raise EngineUnreachable(str(error)) from None
        if subscriptions:
            await self.flush()

    async def publish(self, subject: str, body: bytes, reply: str = "") -> None:
        """Send a message without a confirmation, for answers and for the next messages of a consumer.

        :raises EngineUnreachable: if there is no connection.
        :raises EngineRefused: if the server would close the connection; see `send`.
        """
        _check(subject)
        try:
            await self._client.publish(subject, body, reply)
        except (NatsError, OSError) as error:
            raise EngineUnreachable(str(error)) from None

    async def flush(self) -> None:
        """Wait until the server has processed what was sent before.

        A request has this effect, but ``Client.flush`` does not: its PING overtakes the bytes that `nats-py`
        has not sent yet.

        :raises EngineUnreachable: if the server does not answer.
        """
        await (await self.send("$JS.API.INFO", b""))

    def new_inbox(self) -> str:
        """Return a unique subject for answers."""
        return self._client.new_inbox()


def malformed_answer(error: Exception) -> str:
    """Return the reason for the log if an answer of the server can't be read."""
    return f"the server sends a malformed answer ({type(error).__name__}: {str(error)[:200]})"


class MalformedAnswer(EngineUnreachable):
    """The answer of the server can't be read: the outcome of the question is unknown."""


class ApiRefused(EngineRefused):
    """JetStream's API answers with an error.

    :ivar number: JetStream's number of the error.
    """

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.number)


def _check(subject: str) -> None:
    """Check a subject of this side.

    :raises EngineRefused: if a server may close the connection after it.
    """
    if _SUBJECT.fullmatch(subject) is None:
        raise EngineRefused(f"nothing is sent on the subject {subject[:100]!a}")


def _status(message: Msg) -> str:
    return (message.headers or {}).get("Status", "")


def _position(message: Msg, subject: str) -> int:
    """Return the position in the confirmation of a message; 0 if its condition does not hold.

    :raises EngineUnreachable: if no stream answers, as during the election of its leader.
    """
    if message.headers and _status(message) == "503":
        raise EngineUnreachable(f"no stream answers for {subject}: it is missing, or has no leader now")
    confirmation = _read_confirmation(message.data)
    error = confirmation.error
    if error is None:
        return msgspec.convert(confirmation.seq, Position)
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
