"""`ConnectionPair`: two connections that belong together, with an API of Deferreds.

It joins the two halves of `halves`. It carries the lines or messages of its `Content`. Every wait is a
Deferred that can be cancelled. Each Deferred fires with its result, or fails when the connection is lost or
closed.

It uses the network only through its halves. Next to read: `communicator`, a pair that carries messages; or
`halves` and `receive_queue`, the parts of a pair.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from copy import copy
from typing import Any, Generic, TypeVar

from twisted.internet import defer
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.dialects.content import Content
from mtmount_twisted.errors import (
    ConnectionLostError,
    ConnectTimeoutError,
    LineError,
    LineTooLongError,
    ListenError,
    NotConnectedError,
    PairClosedError,
    UnfinishedLineError,
)
from mtmount_twisted.hosts import host_and_port
from mtmount_twisted.interfaces import IPairOwner
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH

from .arguments import check_bool, check_pair_arguments
from .deadlines import FairClock
from .halves import ClientHalf, ClientOptions, ServerHalf, ServerOptions, check_destination
from .logs import send_unconfigured_to_twisted
from .protocol import HTTP_ANSWER, TLS_ALERT, LineWriter
from .rate_limited_log import A_FEW, RateLimitedLog
from .receive_queue import Messages, ReceiveQueue
from .send_buffer import READY, SendBuffer
from .waiting import Waiters

MAX_UNREAD = 1000
"""Number of unread messages at which reading from the socket pauses."""

MAX_UNSENT = 16 * 2**20
"""Largest backlog in bytes while a peer does not read."""

WRITE_OVERHEAD = 500
"""Bytes that each write to such a peer counts in addition to its data: about the size of its Deferred."""

M = TypeVar("M")


@implementer(IPairOwner)
class ConnectionPair(Generic[M]):
    """A client connection for writing and a server connection for reading.

    At construction it starts to listen and, unless `connect` is False, to connect. After a loss, the server
    accepts again and the client reconnects, until `close`.

    :param name: name of the pair in the log.
    :param client_host: host to connect to, as a name or an address; None for ``localhost``.
    :param client_port: 1 to 65535; or 0 if `connect` is False and a call of `connect` gives the port later.
    :param server_host: host to listen on, as a name or an address; empty or None for all addresses.
    :param server_port: 0 to 65535; 0 for a port of the system's choice.
    :param log: the `logging.Logger` to use. Under ``twistd``, a logger without a handler gets one for
        Twisted's log; if it has no level either, it gets the level INFO.
    :param connect: True to start connecting at once.
    :param connect_callback: called with this object after each change of `client_connected` or
        `server_connected`, except the change by `close_client`. It may be ``async``.
    :param carries: encoder and decoder of the messages.
    :param reactor: the reactor; the global one if None.
    :param max_unread: number of unread messages at which reading from the socket pauses, at least 1. Reading
        resumes when half of them are read.
    :param max_line_length: longest line that is received, in bytes without the terminator.
    :param max_unsent: largest backlog in bytes while the peer does not read, at least 1.
    :param send_at_once: True to send data in the same turn of the reactor instead of the next one, unless the
        last send was within 50 µs. This shortens a round trip, and makes a write take longer.
    :param send_buffer: the buffer for everything that is written; it takes the place of `max_unsent` and
        `send_at_once`.
    :ivar carries: encoder and decoder of the messages.
    :raises ValueError: if `client_host` or `client_port` is invalid and `connect` is True, if `server_host`
        or `server_port` is invalid, or if a bound is below 1.
    :raises TypeError: if an argument has a wrong type. The error names the parameter.
    """

    connect_retry_interval: float = 0.1
    """Time before the first retry to connect, in seconds. It grows to at most 5 s."""

    listen_retry_interval: float | None = None
    """Time after which the server tries again to listen where it could not, in seconds; None to try once."""

    unreachable_level = logging.WARNING
    """The `logging` level of the one record that reports that nothing was reached for 10 s."""

    _client_half: Callable[[ClientOptions], Any] = ClientHalf
    _server_half: Callable[[ServerOptions], Any] = ServerHalf
    _close_state = "open"  # then "closing", "closed"
    _answering = False
    _is_sent_away = False  # the far end closed the client connection before it connected back

    def __init__(
        self,
        name: str,
        client_host: str | None,
        client_port: int,
        server_host: str | None,
        server_port: int,
        log: logging.Logger,
        connect: bool = True,
        connect_callback: Callable[[Any], Any] | None = None,
        *,
        carries: Content[M],
        reactor: Any = None,
        max_unread: int = MAX_UNREAD,
        max_line_length: int = MAX_LINE_LENGTH,
        max_unsent: int = MAX_UNSENT,
        send_at_once: bool = False,
        send_buffer: SendBuffer | None = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        check_pair_arguments(
            name=name,
            log=log,
            connect_callback=connect_callback,
            reactor=reactor,
            hosts={"client_host": client_host, "server_host": server_host},
            integers={
                "client_port": client_port,
                "server_port": server_port,
                "max_unread": max_unread,
                "max_line_length": max_line_length,
                "max_unsent": max_unsent,
            },
        )
        check_bool("connect", connect)
        client_host = "localhost" if client_host is None else client_host
        if connect:
            check_destination(client_host, client_port)
        if max_unsent < 1:
            raise ValueError(f"max_unsent: expected 1 or more, got {max_unsent!r}")
        if send_buffer is None:
            send_buffer = SendBuffer(reactor, max_unsent, write_overhead=WRITE_OVERHEAD, at_once=send_at_once)
        send_unconfigured_to_twisted(log, reactor)
        self.name: str = name
        self.log: logging.Logger = log
        self.reactor: Any = reactor
        self.limited_log: RateLimitedLog = RateLimitedLog(reactor, log, A_FEW)
        self.client_host: str = client_host
        self.client_port: int = client_port
        self.connect_callback = connect_callback
        self.carries = carries
        self._encode, self._encode_many = carries.encode, carries.encode_many
        self._inbox: ReceiveQueue[M] = ReceiveQueue(carries.decode, max_unread, self._pause, self._resume)
        shared = name, reactor, log, self
        self._client: ClientHalf = self._client_half(
            ClientOptions(
                *shared,
                retry_interval=lambda: self.connect_retry_interval,
                buffer=send_buffer,
                unreachable_level=lambda: self.unreachable_level,
            )
        )
        self._server: ServerHalf = self._server_half(
            ServerOptions(
                *shared,
                host=server_host or "",
                port=server_port,
                terminator=carries.terminator,
                max_line=max_line_length,
                listen_again=self.listen_retry_interval,
            )
        )
        self._connected, self._peer_came, self._client_came = (Waiters[None]() for _ in range(3))
        self._client_lost, self._closed = Waiters[None](), Waiters[None]()
        if connect:
            self._client.start(client_host, client_port)

    # State

    @property
    def client_connected(self) -> bool:
        """True if this side can write."""
        return self._client.writer is not None

    @property
    def server_connected(self) -> bool:
        """True if a peer is connected to this side's server, so that this side can read."""
        return self._server.reader is not None

    @property
    def connected(self) -> bool:
        """True if both connections are up."""
        return self.client_connected and self.server_connected

    @property
    def closed(self) -> bool:
        """True after `close` was called."""
        return self._close_state != "open"

    @property
    def server_host(self) -> str:
        """Host on which the server listens: as bound, or as given until it listens."""
        return self._server.host

    @property
    def server_port(self) -> int:
        """Port on which the server listens: as bound, or as given until it listens."""
        return self._server.port

    @property
    def listen_error(self) -> ListenError | None:
        """Reason why the server can't listen; None if it listens or was not tried yet.

        With a `listen_retry_interval`, the server may listen later.
        """
        return self._server.error

    @property
    def why_not_connected(self) -> str:
        """Explanation for a person of why `connected` is False, with a remedy."""
        if self.wrong_port:
            return self.wrong_port
        there = self._there
        if self._is_sent_away:
            return (
                f"{there} closes each connection: it may already serve another program, or not be a mount; "
                "end the other program, or give another host or port"
            )
        if not self.client_connected:
            why = self._client.why_not.rstrip(".")
            return (
                f"nothing takes commands on {there} ({why}); start the mount or the bridge, or give another "
                "host or port"
            )
        here = host_and_port(self.server_host, self.server_port)
        return (
            f"the mount did not connect to {here} to reply; give the port to which {there} replies, or "
            "another host or port"
        )

    @property
    def wrong_port(self) -> str:
        """Explanation for a person of why the client connection leads to a wrong port, with a remedy.

        No data is expected on that connection. Unexpected data can identify the far end, for example as a web
        server; then a warning is logged, too. The text is empty if no data came, or if it gives no clue.
        """
        return self._client.wrong_port

    @property
    def why_no_reply(self) -> str:
        """Explanation for a person of why no reply has come although `connected` is True."""
        there = self._there
        here = host_and_port(self.server_host, self.server_port)
        return self.wrong_port or (
            f"do both ports belong to one pair? Commands go to {there}, and replies are to come to {here}"
        )

    @property
    def writer(self) -> LineWriter | None:
        """The writer of the client connection while it is up; else None."""
        return self._client.writer

    @property
    def server_reader(self) -> Protocol | None:
        """The connected protocol on the server side, or None."""
        return self._server.reader

    @property
    def server_writer(self) -> ITransport | None:
        """The transport of `server_reader`, or None."""
        reader = self._server.reader
        return None if reader is None else reader.transport

    # Connecting and closing

    def connect(self, port: int | None = None) -> Deferred[None]:
        """Connect the client, and wait without limit until `connected`.

        A connected client is closed first, without a call of `connect_callback`. Cancelling the Deferred ends
        the wait; the client keeps trying until `close_client` or `close`.

        :param port: new value of `client_port`; None to keep it.
        :returns: a Deferred that fires with None. It fails with `ValueError` if the port is not 1 to 65535 or
            `client_host` is invalid, with `ListenError` if this side can't listen, and with `PairClosedError`
            if the pair is closed.
        """
        return Deferred.fromCoroutine(self._connect(self.client_port if port is None else port))

    async def _connect(self, port: int) -> None:
        check_destination(self.client_host, port)
        if self.closed:
            raise PairClosedError(f"{self.name}: closed")
        if self.client_connected:
            self.close_client()
        self.client_port = port
        self._client.start(self.client_host, port)
        await self.wait_connected()

    def wait_connected(self, timeout: float | None = None) -> Deferred[None]:
        """Wait until `connected`, without any other effect.

        :param timeout: longest wait in seconds, above 0; None for no limit.
        :returns: a Deferred that fires with None. It fails with `PairClosedError` if the pair is closed, with
            `ListenError` if this side can't listen, and with `ConnectTimeoutError` if the time is over; that
            error names the missing part.
        """
        waiting = Deferred.fromCoroutine(self._wait(self._connected, lambda: self.connected))
        if timeout is None:
            return waiting
        return waiting.addTimeout(timeout, FairClock(self.reactor), self._not_in_time)

    def _not_in_time(self, result: Any, timeout: float) -> Any:
        if isinstance(result, Failure) and result.check(defer.CancelledError):
            raise ConnectTimeoutError(timeout, self.why_not_connected)
        return result

    def wait_peer(self) -> Deferred[None]:
        """Wait without limit until a peer is connected to this side's server.

        :returns: as from `wait_connected`, but the state of the client connection does not matter.
        """
        return Deferred.fromCoroutine(self._wait(self._peer_came, lambda: self.server_connected))

    async def _wait(self, waiters: Waiters[None], done: Callable[[], bool]) -> None:
        await self.wait_server_port()
        if not done():
            await waiters.wait()

    def wait_server_port(self) -> Deferred[int]:
        """Wait until the server listens.

        :returns: a Deferred that fires with the port, 1 to 65535. It fails with `ListenError`, which gives
            the reason, if the server can't listen, and with `PairClosedError` if the pair is closed.
        """
        if self.closed:
            return fail(PairClosedError(f"{self.name}: closed"))
        if self._server.error is not None:
            return fail(copy(self._server.error))
        if self._server.listening is not None:
            return succeed(self._server.port)
        return self._server.opened.wait()

    def close_client(self) -> Deferred[None]:
        """Close the client connection, or stop trying to connect. The server stays open.

        Written data is sent first, for at most 1 s. `connect_callback` is not called.

        :returns: a Deferred that fires with None when the socket is gone.
        """
        gone = self._client.stop()
        self._end_client_waiters(lambda: PairClosedError(f"{self.name}: the client was closed"))
        return gone

    def drop_connections(self) -> None:
        """Abort both connections if they are up; unsent data is lost.

        Each connection counts as lost in the reactor's next turn. Then the server accepts again, and the
        client reconnects.
        """
        for end in (self._client.writer, self._server.reader):
            if end is not None:
                end.transport.abortConnection()

    def close(self) -> Deferred[None]:
        """Close everything for good. This method may be called at any time, and more than once.

        Every pending Deferred fails with `PairClosedError` (a `ConnectionAbortedError`). Messages that have
        arrived can still be read.

        :returns: a Deferred that fires with None when both connections and the listening port are gone.
        """
        if self._close_state == "closed":
            return succeed(None)
        closed = self._closed.wait()
        if self._close_state == "open":
            self._close_state = "closing"
            Deferred.fromCoroutine(self._close()).addErrback(self._log_close_error).addBoth(self._has_closed)
        return closed

    async def _close(self) -> None:
        """Close all parts. An error in one part, such as a subclass's method, leaves no other part open."""
        changes = self.client_connected + self.server_connected
        parts = [
            defer.maybeDeferred(self._client.stop),
            Deferred.fromCoroutine(self._server.close()),
            *(defer.maybeDeferred(self.call_connect_callback) for _ in range(changes)),
            defer.maybeDeferred(self._end_waiting),
        ]
        for _, result in await defer.DeferredList(parts, consumeErrors=True):
            if isinstance(result, Failure):
                self._log_close_error(result)

    def _end_waiting(self) -> None:
        def closed() -> PairClosedError:
            return PairClosedError(f"{self.name}: closed")

        self._end_client_waiters(closed)
        self._inbox.fail(closed)
        self._connected.fail(closed)
        self._peer_came.fail(closed)
        self._client_came.fail(closed)
        self._server.opened.fail(closed)

    def _log_close_error(self, reason: Failure) -> None:
        self.log.error("%s: closing: %s", self.name, reason.getTraceback())

    def _has_closed(self, result: object) -> None:
        self._close_state = "closed"
        self._closed.fire(None)

    def call_connect_callback(self, *args: Any, **kwargs: Any) -> None:
        """Call ``connect_callback(self)`` if there is one. All arguments of this method are ignored.

        An error of the callback, or of its Deferred or coroutine, is logged.
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
        """Wait until the far end of the client connection closes it.

        No data is expected from there: unexpected data is logged and dropped.

        :returns: a Deferred that fires with None when the connection is lost. It fails with
            `NotConnectedError` if there is no connection, and with `PairClosedError` if this side closes it.
        """
        if not self.client_connected:
            return fail(NotConnectedError(f"{self.name}: the client is not connected"))
        return self._client_lost.wait()

    # Messages

    def read(self) -> Deferred[M]:
        """Wait without limit for the next message. Several reads may wait; they are served in order.

        Cancelling a read loses no message.

        :returns: a Deferred that fires with the message. It fails with

            * `NotConnectedError` (a `RuntimeError`) if no peer is connected and no message is left;
            * `ConnectionLostError` (a `ConnectionResetError`) if the connection is lost during the wait;
            * `LineError` (a `ValueError`) if the line is malformed; the error holds the line, and the next
              `read` continues behind it;
            * `PairClosedError` (a `ConnectionAbortedError`) if this side closes.
        """
        if self._server.reader is None and not self._inbox:
            return fail(NotConnectedError(f"{self.name}: no peer is connected to read from"))
        return self._inbox.get()

    def write(self, message: M) -> Deferred[None]:
        """Write a message. Messages are sent whole, in the order of the calls.

        :returns: a Deferred that fires with None when the transport has accepted the message and has room for
            more. A caller that waits for it can't outrun a slow peer. It fails with `NotConnectedError` (a
            `RuntimeError`) if the client is not connected, `ConnectionLostError` (a `ConnectionResetError`)
            if the connection is lost during the wait, `BacklogError` if the backlog is full,
            `PairClosedError` (a `ConnectionAbortedError`) if this side closes, `TypeError` if the argument is
            not a message, and `ValueError` if it can't be encoded. Cancelling ends only the wait.
        """
        writer = self._client.writer
        if writer is None:
            return fail(self._not_connected())
        try:
            writer.send(self._encode(message))
        except Exception:
            return fail()
        return succeed(None) if writer.buffer.state is READY else writer.room()

    def write_many(self, messages: Iterable[M]) -> Deferred[None]:
        """Write several messages in one operation, which costs little more than one message.

        :param messages: the messages. If one of them can't be encoded, none is written.
        :returns: a Deferred as from `write`, for all of them.
        """
        # This repeats the code of `write`: a shared function would add a tenth to the cost of a call.
        writer = self._client.writer
        if writer is None:
            return fail(self._not_connected())
        try:
            writer.send(self._encode_many(messages))
        except Exception:
            return fail()
        return succeed(None) if writer.buffer.state is READY else writer.room()

    @property
    def _there(self) -> str:
        return host_and_port(self.client_host, self.client_port)

    def _not_connected(self) -> NotConnectedError:
        return NotConnectedError(f"{self.name}: not connected to {self._there}")

    def __aiter__(self) -> AsyncIterator[M]:
        """Iterate over the messages until `close`; raise the errors of `read`.

        After a `LineError` or a lost connection, a new ``async for`` continues where this one ended.
        """
        return Messages(self._inbox, self.read, lambda: self.closed)

    async def each(
        self,
        take: Callable[[M], Awaitable[None] | None],
        on_bad_line: Callable[[LineError], object],
        on_loss: Callable[[ConnectionLostError], object] = lambda error: None,
        answering: bool = False,
    ) -> None:
        """Read until the pair is closed, and continue after losses of the connection.

        Messages that are unread when the pair closes stay unread.

        :param take: called with each message, after the result of the previous call was awaited. Its errors
            are logged. Only a `CancelledError` ends the reading, because it means that the reading itself is
            cancelled.
        :param on_bad_line: called with the `LineError` of each malformed line.
        :param on_loss: called if the connection is lost during the wait for a message.
        :param answering: True if `take` answers on the client connection. Then messages wait until that
            connection is up. If both connections are lost, waiting messages are dropped, because their
            answers would come too late.
        :raises ListenError: if this side can't listen. The error has been logged.
        """
        self._answering = answering
        while not self.closed:
            try:
                if answering and not self.client_connected:
                    await self._wait(self._client_came, lambda: self.client_connected)
                async for message in self:
                    await self._give(take, message)
                    if self.closed or (answering and not self.client_connected):
                        break
            except PairClosedError:
                pass
            except LineError as error:
                on_bad_line(error)
            except ConnectionLostError as error:
                on_loss(error)
            except NotConnectedError:
                with suppress(PairClosedError):
                    await self.wait_peer()
        if self._inbox:
            self.log.info("%s: closed with %d unread lines", self.name, len(self._inbox))

    async def _give(self, take: Callable[[M], Awaitable[None] | None], message: M) -> None:
        """Pass on one message. An error about it does not end the reading of the others."""
        try:
            taken = take(message)
            if taken is not None:
                await taken
        except defer.CancelledError:
            raise
        except Exception:
            self.log.exception("%s: failed on %.200r", self.name, message)

    # Reports of the halves

    def client_changed(self, reason: Failure | None) -> None:
        """See `IPairOwner`."""
        if reason is not None:
            self._is_sent_away = not self.server_connected
        if reason is None:
            self.limited_log.info("%s: connected to %s", self.name, self._there)
        else:
            self.limited_log.info("%s: lost %s: %s", self.name, self._there, reason.getErrorMessage())
        self._changed()
        if reason is not None:
            self._end_client_waiters(lambda: ConnectionLostError(f"{self.name}: {reason.getErrorMessage()}"))

    def server_changed(self, reason: Failure | None) -> None:
        """See `IPairOwner`."""
        if reason is None:
            self._is_sent_away = False
            if self._inbox.paused:
                self._pause()
            self._client.hurry()
        self._log_peer(reason)
        self._changed()
        if self.server_connected:
            self._peer_came.fire(None)
        if reason is not None:
            self._inbox.fail(lambda: ConnectionLostError(f"{self.name}: {reason.getErrorMessage()}"))

    def _log_peer(self, reason: Failure | None) -> None:
        """Log that a peer connected to the server (`reason` is None) or was lost."""
        if reason is None:
            self.limited_log.info("%s: a peer connected to port %s", self.name, self.server_port)
        else:
            level = logging.WARNING if reason.check(LineTooLongError, UnfinishedLineError) else logging.INFO
            why = reason.getErrorMessage()
            self.limited_log.log(level, "%s: lost the peer on port %s: %s", self.name, self.server_port, why)

    def lines_received(self, lines: list[bytes]) -> None:
        """See `IPairOwner`."""
        self._inbox.put(lines)

    def refusal_of(self, peer: Any) -> str:
        """See `IPairOwner`. Every peer may connect; a subclass may refuse some."""
        return ""

    def explain_heard(self, data: bytes) -> str:
        """See `IPairOwner`."""
        there = self._there
        if data.startswith(HTTP_ANSWER):
            return (
                f"{there} speaks HTTP: it is the page of a bridge, or another web server, and not a port for "
                "the mount's protocol; give another port"
            )
        if data.startswith(TLS_ALERT):
            return f"{there} speaks TLS, but a pair uses plain text; give another port"
        return ""

    def note_wrong_port(self, why: str) -> None:
        """See `IPairOwner`."""
        self.limited_log.warning("%s: the wrong port: %s", self.name, why)

    def _changed(self) -> None:
        if self._answering and not (self.client_connected or self.server_connected) and self._inbox:
            self.limited_log.warning(
                "%s: dropped %d unread lines: both connections are lost", self.name, self._inbox.clear()
            )
        self.call_connect_callback()
        if self.connected:
            self._connected.fire(None)
        if self.client_connected:
            self._client_came.fire(None)

    def _end_client_waiters(self, make_error: Callable[[], Exception]) -> None:
        self._client.buffer.detach(make_error)
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
