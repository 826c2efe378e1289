"""`Communicator`: a connection pair on which messages travel, with Deferreds for an API.

`ClientServerPair` joins the two halves of `connections` and carries lines; `Communicator`
carries messages. Everything that waits is a Deferred that can be cancelled, and every one of
them ends: with its result, or with an error when the connection is lost or closed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from copy import copy
from typing import Any, Generic, TypeVar, cast

from twisted.internet import defer
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from .codec import decode_command, decode_reply
from .connections import ClientHalf, ServerHalf
from .errors import ConnectionLostError, ListenError, NotConnectedError, PairClosedError
from .framing import MAX_LINE_LENGTH, TERMINATOR
from .inbox import Inbox
from .interfaces import IPairOwner
from .messages import BaseMessage
from .waiting import Waiters

MAX_UNREAD = 1000
"""How many messages may wait to be read before reading from the socket pauses."""

M = TypeVar("M")


@implementer(IPairOwner)
class ClientServerPair(Generic[M]):
    """A client connection to write on and a server connection to read from.

    It begins to listen at once and, unless `connect` is False, to connect. After a loss the
    server accepts again and the client connects again, until `close`. As it stands it carries
    lines, as bytes without terminator; a subclass that carries something else overrides
    `encode` and `decode`.

    :param name: what to call it in the log.
    :param client_host: where to connect to: name or address.
    :param client_port: 1 to 65535; or 0 if `connect` is False and `connect` gives one later.
    :param server_host: where to listen: name or address; empty or None for all addresses.
    :param server_port: 0 to 65535; 0 for one of the system's choice.
    :param log: where its `logging` records go.
    :param connect: begin to connect now?
    :param connect_callback: called with this object after each change of `client_connected`
        or `server_connected`, but for the one that `close_client` makes. May be ``async``.
    :param reactor: the reactor; the global one if None.
    :param max_unread: how many messages may wait to be read, at least 1: then reading from
        the socket pauses, until half of them are read.
    :param max_line_length: longest line that is received, in bytes without terminator.
    :param send_at_once: send the first write of each turn of the reactor in that turn, and not
        in the next one: a round trip takes less time, and each turn's work more.
    :raises ValueError: if `connect` is true and `client_port` is 0, `client_host`
        can't be a host name, a port is out of range, or a bound is below 1.
    """

    connect_retry_interval = 0.1
    """Time before the first retry to connect, in seconds; it grows to at most 5 s."""

    def __init__(
        self,
        name: str,
        client_host: str,
        client_port: int,
        server_host: str | None,
        server_port: int,
        log: logging.Logger,
        connect: bool = True,
        connect_callback: Callable[[Any], Any] | None = None,
        *,
        reactor: Any = None,
        max_unread: int = MAX_UNREAD,
        max_line_length: int = MAX_LINE_LENGTH,
        send_at_once: bool = False,
    ) -> None:
        if connect:
            _check_client_port(client_port)
        _check_host("client_host", client_host)
        if not 0 <= server_port <= 65535:
            raise ValueError(f"server_port: expected 0 to 65535, got {server_port!r}")
        for bound, value in (("max_unread", max_unread), ("max_line_length", max_line_length)):
            if value < 1:
                raise ValueError(f"{bound}: expected 1 or more, got {value!r}")
        if reactor is None:
            from twisted.internet import reactor
        self.name = name
        self.client_host = client_host
        self.client_port = client_port
        self.log = log
        self.reactor = reactor
        self.connect_callback = connect_callback
        self._client = ClientHalf(name, reactor, log, self, lambda: self.connect_retry_interval, send_at_once)
        self._server = ServerHalf(name, reactor, log, self, server_host or "", server_port, max_line_length)
        self._inbox: Inbox[M] = Inbox(self.decode, max_unread, self._pause, self._resume)
        self._connected: Waiters[None] = Waiters()
        self._client_lost: Waiters[None] = Waiters()
        self._closed: Waiters[None] = Waiters()
        self._close_state = "open"  # then "closing", "closed"
        if connect:
            self._client.start(client_host, client_port)

    # What is carried

    def encode(self, message: M) -> bytes:
        """The bytes for one message, terminator included; here a message is a line.

        :raises ValueError: if it is none.
        """
        line = cast(bytes, message)
        if TERMINATOR in line:
            raise ValueError(f"a line can't hold its own terminator: {line!r}")
        return line + TERMINATOR

    def encode_many(self, messages: Iterable[M]) -> bytes:
        """The bytes for some messages, each with its terminator.

        :raises ValueError: if one of them is none.
        """
        lines = cast("list[bytes]", list(messages))
        data = TERMINATOR.join([*lines, b""])
        if data.count(TERMINATOR) != len(lines):
            raise ValueError(f"a line can't hold its own terminator: {lines!r}")
        return data

    def decode(self, line: bytes) -> M:
        """The message that a line is; here it is the line itself.

        :raises ValueError: if it is none.
        """
        return cast(M, line)

    # How things stand

    @property
    def client_connected(self) -> bool:
        """True if this side can write."""
        return self._client.writer is not None

    @property
    def server_connected(self) -> bool:
        """True if a peer is connected to this side's server, to be read from."""
        return self._server.reader is not None

    @property
    def connected(self) -> bool:
        """True if both connections are."""
        return self.client_connected and self.server_connected

    @property
    def closed(self) -> bool:
        """True once `close` was called."""
        return self._close_state != "open"

    @property
    def server_host(self) -> str:
        """Where the server listens, as bound; until it is, as given."""
        return self._server.host

    @property
    def server_port(self) -> int:
        """The port on which the server listens, as bound; until it is, as given."""
        return self._server.port

    @property
    def listen_error(self) -> ListenError | None:
        """Why the server can't listen; None if it does, or will."""
        return self._server.error

    @property
    def server_reader(self) -> Protocol | None:
        """The connected server-side protocol, or None."""
        return self._server.reader

    @property
    def server_writer(self) -> ITransport | None:
        """The transport of `server_reader`, or None."""
        reader = self._server.reader
        return None if reader is None else reader.transport

    # Coming and going

    def connect(self, port: int | None = None) -> Deferred[None]:
        """Connect the client and wait until `connected`, for ever if need be.

        A client that is connected is closed first, without a call of `connect_callback`.
        Cancelling ends the waiting; the client goes on trying until `close_client` or `close`.

        :param port: replaces `client_port` if given.
        :returns: a Deferred that fires with None. It fails with `ValueError` if the port is
            not 1 to 65535, with `ListenError` if this side can't listen, and with
            `PairClosedError` if the pair is closed.
        """
        return Deferred.fromCoroutine(self._connect(self.client_port if port is None else port))

    async def _connect(self, port: int) -> None:
        _check_client_port(port)
        if self.closed:
            raise PairClosedError(f"{self.name}: closed")
        if self.client_connected:
            self.close_client()
        if port != self.client_port or not self._client.trying:
            self.client_port = port
            self._client.start(self.client_host, port)
        await self.wait_connected()

    def wait_connected(self) -> Deferred[None]:
        """Wait until `connected`, for ever if need be; changes nothing.

        :returns: a Deferred that fires with None; fails with `PairClosedError` if the pair is
            closed, or with `ListenError` if this side can't listen.
        """
        return Deferred.fromCoroutine(self._wait_connected())

    async def _wait_connected(self) -> None:
        await self.wait_server_port()
        if not self.connected:
            await self._connected.wait()

    def wait_server_port(self) -> Deferred[int]:
        """Wait until the server listens.

        :returns: a Deferred that fires with the port, 1 to 65535; fails with `ListenError`,
            which says why, if it can't listen, and with `PairClosedError` if it is closed.
        """
        if self.closed:
            return fail(PairClosedError(f"{self.name}: closed"))
        if self._server.error is not None:
            return fail(copy(self._server.error))
        if self._server.listening is not None:
            return succeed(self._server.port)
        return self._server.opened.wait()

    def close_client(self) -> Deferred[None]:
        """Close the client connection, or stop trying to connect; the server stays.

        What was written is sent first, for at most 1 s. `connect_callback` is not called.

        :returns: a Deferred that fires with None when the socket is gone.
        """
        gone = self._client.stop()
        self._end_client_waiters(lambda: PairClosedError(f"{self.name}: the client was closed"))
        return gone

    def close(self) -> Deferred[None]:
        """Close all, for good. May be called at any time, and again.

        Every Deferred still out fails with `PairClosedError` (a `ConnectionAbortedError`).
        Messages that came before can still be read.

        :returns: a Deferred that fires with None when both connections and the listening
            port are gone.
        """
        if self._close_state == "closed":
            return succeed(None)
        closed = self._closed.wait()
        if self._close_state == "open":
            self._close_state = "closing"
            Deferred.fromCoroutine(self._close())
        return closed

    async def _close(self) -> None:
        client_was, server_was = self.client_connected, self.server_connected
        client_gone = self._client.stop()
        server_gone = Deferred.fromCoroutine(self._server.close())
        for _ in range(client_was + server_was):
            self.call_connect_callback()

        def closed() -> PairClosedError:
            return PairClosedError(f"{self.name}: closed")

        self._end_client_waiters(closed)
        self._inbox.fail(closed)
        self._connected.fail(closed)
        self._server.opened.fail(closed)
        for _, result in await defer.DeferredList([client_gone, server_gone], consumeErrors=True):
            if isinstance(result, Failure):
                self.log.error("%s: closing: %s", self.name, result.getTraceback())
        self._close_state = "closed"
        self._closed.fire(None)

    def call_connect_callback(self, *args: Any, **kwargs: Any) -> None:
        """Call ``connect_callback(self)``, if there is one; all arguments are ignored.

        What it raises, or what its Deferred or coroutine fails with, is logged.
        """
        if self.connect_callback is None:
            return
        done = defer.maybeDeferred(self.connect_callback, self)
        done.addErrback(
            lambda reason: self.log.error(
                "%s: connect_callback failed:\n%s", self.name, reason.getTraceback()
            )
        )

    def monitor_client_reader(self) -> Deferred[None]:
        """Wait until the far end of the client connection closes.

        Nothing is expected to come from there: what does come is logged and dropped.

        :returns: a Deferred that fires with None when that connection is lost, and fails with
            `NotConnectedError` if there is none, or with `PairClosedError` if this side closes.
        """
        if not self.client_connected:
            return fail(NotConnectedError(f"{self.name}: the client is not connected"))
        return self._client_lost.wait()

    # Messages

    def read(self) -> Deferred[M]:
        """Wait for the next message, for ever if need be. Several may wait: served in order.

        Cancelling loses no message.

        :returns: a Deferred that fires with the message. It fails with

            * `NotConnectedError` (a `RuntimeError`) if no peer is connected to read from and
              nothing is left to read;
            * `ConnectionLostError` (a `ConnectionResetError`) if the connection is lost while
              it waits;
            * `LineError` (a `ValueError`), which holds the line, if what came is no message;
              the next `read` goes on behind it;
            * `PairClosedError` (a `ConnectionAbortedError`) if this side closes.
        """
        if self._server.reader is None and not self._inbox:
            return fail(NotConnectedError(f"{self.name}: no peer is connected to read from"))
        return self._inbox.get()

    def write(self, message: M) -> Deferred[None]:
        """Write a message. Messages go out whole, in the order of the calls.

        :returns: a Deferred that fires with None when the transport has taken the message and
            has room for more, so that one who waits for it can't outrun a slow peer. It fails
            with `NotConnectedError` (a `RuntimeError`) if the client is not connected,
            `ConnectionLostError` (a `ConnectionResetError`) if it is lost while this waits,
            `BacklogError` if too many wait already, and `PairClosedError` (a
            `ConnectionAbortedError`) if this side closes. Cancelling ends only the waiting.
        """
        writer = self._client.writer
        if writer is None:
            return fail(self._not_connected())
        try:
            data = self.encode(message)
        except Exception:
            return fail()
        return writer.write(data)

    def write_many(self, messages: Iterable[M]) -> Deferred[None]:
        """Write messages one behind the other, as one piece of work: many cost little more than one.

        :param messages: if one of them can't be encoded, none is written.
        :returns: a Deferred as from `write`, for all of them.
        """
        writer = self._client.writer
        if writer is None:
            return fail(self._not_connected())
        try:
            data = self.encode_many(messages)
        except Exception:
            return fail()
        return writer.write(data)

    def _not_connected(self) -> NotConnectedError:
        return NotConnectedError(f"{self.name}: not connected to {self.client_host}:{self.client_port}")

    def __aiter__(self) -> AsyncIterator[M]:
        """Messages as they come, until `close`; raises what `read` fails with.

        After a `LineError` or a lost connection, a new ``async for`` goes on where this one
        ended.
        """
        return _Messages(self)

    # What the halves report

    def client_changed(self, reason: Failure | None) -> None:
        if reason is None:
            self.log.info("%s: connected to %s:%s", self.name, self.client_host, self.client_port)
        else:
            self.log.info(
                "%s: lost %s:%s: %s", self.name, self.client_host, self.client_port, reason.getErrorMessage()
            )
        self._changed()
        if reason is not None:
            self._end_client_waiters(lambda: ConnectionLostError(f"{self.name}: {reason.getErrorMessage()}"))

    def server_changed(self, reason: Failure | None) -> None:
        if reason is None:
            self.log.info("%s: a peer connected to port %s", self.name, self.server_port)
            if self._inbox.paused:
                self._pause()
        else:
            self.log.info(
                "%s: lost the peer on port %s: %s", self.name, self.server_port, reason.getErrorMessage()
            )
        self._changed()
        if reason is not None:
            self._inbox.fail(lambda: ConnectionLostError(f"{self.name}: {reason.getErrorMessage()}"))

    def lines_received(self, lines: list[bytes]) -> None:
        self._inbox.put(lines)

    def _changed(self) -> None:
        self.call_connect_callback()
        if self.connected:
            self._connected.fire(None)

    def _end_client_waiters(self, make_error: Callable[[], Exception]) -> None:
        self._client.writes.fail(make_error)
        if self.closed:
            self._client_lost.fail(make_error)
        else:
            self._client_lost.fire(None)

    def _pause(self) -> None:
        if self._server.reader is not None:
            self._server.reader.transport.pauseProducing()

    def _resume(self) -> None:
        if self._server.reader is not None:
            self._server.reader.transport.resumeProducing()


class Communicator(ClientServerPair[BaseMessage]):
    """A connection pair that carries commands one way and replies the other.

    The parameters are those of `ClientServerPair`, and:

    :param read_replies: True to read replies, which is a commander's side; False to read
        commands, which is the mount's side.
    """

    def __init__(
        self,
        name: str,
        client_host: str,
        client_port: int,
        server_host: str | None,
        server_port: int,
        log: logging.Logger,
        read_replies: bool,
        connect: bool = True,
        connect_callback: Callable[[Any], Any] | None = None,
        *,
        reactor: Any = None,
        max_unread: int = MAX_UNREAD,
        max_line_length: int = MAX_LINE_LENGTH,
        send_at_once: bool = False,
    ) -> None:
        self.read_replies = read_replies
        # The function itself, since a method that calls it would be called for each message.
        self.decode = decode_reply if read_replies else decode_command  # type: ignore[method-assign]
        super().__init__(
            name,
            client_host,
            client_port,
            server_host,
            server_port,
            log,
            connect,
            connect_callback,
            reactor=reactor,
            max_unread=max_unread,
            max_line_length=max_line_length,
            send_at_once=send_at_once,
        )

    def encode(self, message: BaseMessage) -> bytes:
        if not isinstance(message, BaseMessage):  # a str, say, could be encoded but is no message
            raise TypeError(f"message: expected a command or a reply, got {message!r}")
        return message.encode()

    def encode_many(self, messages: Iterable[BaseMessage]) -> bytes:
        return b"".join([self.encode(message) for message in messages])


class _Messages(Generic[M]):
    """The iterator behind ``async for message in pair``."""

    def __init__(self, pair: ClientServerPair[M]) -> None:
        self._pair = pair
        self._inbox = pair._inbox

    def __aiter__(self) -> AsyncIterator[M]:
        return self

    async def __anext__(self) -> M:
        inbox = self._inbox
        if inbox.lines and not inbox.readers.waiting and not inbox.serving:
            return inbox.take()  # with no Deferred
        try:
            return await self._pair.read()
        except (PairClosedError, NotConnectedError):
            if self._pair.closed:
                raise StopAsyncIteration from None
            raise


def _check_host(name: str, host: str) -> None:
    """Refuse what can't be a host name: a label too long, or empty."""
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"{name}: expected a host name or an address, got {host!r} ({error})") from None


def _check_client_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise ValueError(f"client_port: expected 1 to 65535 to connect to, got {port!r}")
