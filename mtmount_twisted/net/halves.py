"""The two halves of a connection pair, and their states.

`ClientHalf` connects, and reconnects until it is stopped. `ServerHalf` listens and accepts one peer at a
time. Each is a state machine of ``automat``, so that no state outside the table can occur::

    client:  idle --start--> trying --made--> connected --lost--> trying
             trying --stop--> idle           connected --stop--> leaving --lost--> idle
             leaving --start--> returning --lost--> trying

    server:  opening --listening--> waiting --made--> connected --lost--> waiting
             opening --failed--> failed               any --close--> closed

An invalid host or port is rejected here before anything else. The network is used only through the given
reactor. Next to read: `pair`, which joins the two halves.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Any, Protocol, cast

from msgspec import Struct
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall, IListeningPort, IReactorTime
from twisted.internet.protocol import Factory, ReconnectingClientFactory
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.errors import ListenError
from mtmount_twisted.hosts import host_and_port, is_address
from mtmount_twisted.interfaces import ILineReaderOwner, ILineWriterOwner, IPairOwner
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH

from .accepts import accept_in_turns
from .deadlines import Deadline
from .endpoints import BACKLOG
from .event_order import Group, set_group
from .machines import machine
from .protocol import LineReader, LineWriter
from .rate_limited_log import A_FEW, RateLimitedLog
from .resolving import AttemptBound, NamedConnector, names_of
from .send_buffer import SendBuffer
from .waiting import Waiters

CONNECT_TIMEOUT = 5.0
"""Longest duration of an attempt to connect to one address, in seconds."""

UNREACHABLE_AFTER = 10.0
"""Time without a connection after which a warning is logged, in seconds. Programs that start in any order
connect sooner."""

MAX_RETRY_INTERVAL = 5.0
"""Longest time between two attempts to connect, in seconds."""

STEADY_AFTER = 1.0
"""Shortest duration of a connection that counts as successful, in seconds."""

PATIENCE = 5
"""Number of shorter connections in a row after which the time between attempts grows."""

MOST_HEARD = 4096
"""Number of bytes from the far end of a client connection that are examined for an explanation."""

RETRY_GROWTH = 1.5

MOST_GROWTHS = 100
"""Number of times that short connections in a row let the time between attempts grow. By then it has its
longest value, and a greater power of `RETRY_GROWTH` would at last exceed a float."""

RETRY_SPREAD = 0.2
"""Each time between attempts is shortened by up to this fraction at random, so that many clients of one lost
server do not return at the same moment."""


def check_destination(host: str, port: int, prefix: str = "client_") -> None:
    """Check that a host and a port can be connected to.

    :param prefix: prefix of the two parameter names in the caller.
    :raises ValueError: if one is invalid. The error names ``client_host`` or ``client_port``, with the prefix
        instead of ``client_``.
    """
    if not 1 <= port <= 65535:
        raise ValueError(f"{prefix}port: expected 1 to 65535 to connect to, got {port!r}")
    check_host(f"{prefix}host", host)


def check_host(name: str, host: str) -> None:
    """Check that a host is valid: for an invalid one Twisted's resolver would never answer."""
    if is_address(host):
        return
    try:
        encoded = host.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"{name}: expected a host name or an address, got {host!r} ({error})") from None
    if not encoded:
        raise ValueError(f"{name}: expected a host name or an address, got {host!r}")


def _patience(count: int) -> float:
    return CONNECT_TIMEOUT


class WriterFactory(ReconnectingClientFactory):
    """Factory that makes a `LineWriter` per connection, and reconnects after a loss.

    The first retry comes after `retry_interval()` seconds. The time then grows to at most
    `MAX_RETRY_INTERVAL`, and a success resets it. If more than `PATIENCE` connections in a row are lost
    within `STEADY_AFTER`, the time grows all the same: a server refuses a peer in this way.
    """

    noisy = False
    maxDelay: float = MAX_RETRY_INTERVAL  # type: ignore[assignment]
    factor: float = RETRY_GROWTH
    jitter = 0  # Twisted's own jitter also changes the first delay, and can exceed the longest

    def __init__(
        self,
        make_writer: Callable[[], LineWriter],
        retry_interval: Callable[[], float],
        clock: IReactorTime,
        report_failure: Callable[[Failure, bool], None],
    ) -> None:
        self.make_writer = make_writer
        self.retry_interval = retry_interval
        self.clock: Any = cast(Any, clock)  # the base class declares more of a reactor than it uses
        self._clock = clock
        self.report_failure = report_failure
        self._made_at = 0.0
        self._short_lived = 0
        self._bound = AttemptBound(clock)

    def startedConnecting(self, connector: IConnector) -> None:
        """Limit the duration of the attempt."""
        self._bound.start(connector, CONNECT_TIMEOUT)

    def buildProtocol(self, addr: IAddress | None) -> LineWriter:
        self._bound.stop()
        self.resetDelay()  # type: ignore[no-untyped-call]
        self._made_at = self._clock.seconds()
        return self.make_writer()

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        steady = self._clock.seconds() - self._made_at >= STEADY_AFTER
        self._short_lived = 0 if steady else self._short_lived
        super().clientConnectionLost(connector, reason)  # type: ignore[no-untyped-call]
        self._short_lived += 1

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        reason = self._bound.stop() or reason
        if self.continueTrying:
            self.report_failure(reason, self.retries == 0)
        super().clientConnectionFailed(connector, reason)  # type: ignore[no-untyped-call]

    def retry(self, connector: IConnector | None = None) -> None:
        if self.retries == 0:
            growths = min(max(0, self._short_lived - PATIENCE), MOST_GROWTHS)
            self.delay: float = min(self.retry_interval() * self.factor**growths, self.maxDelay)
        super().retry(connector)  # type: ignore[no-untyped-call]
        if self.continueTrying:
            self.delay *= random.uniform(1 - RETRY_SPREAD, 1)


class OnePeerFactory(Factory[LineReader]):
    """Factory that makes a `LineReader` for one peer at a time. `make_reader` returns None for a refusal."""

    noisy = False

    def __init__(self, make_reader: Callable[[IAddress | None], LineReader | None]) -> None:
        self.make_reader = make_reader

    def buildProtocol(self, addr: IAddress | None) -> LineReader | None:
        return self.make_reader(addr)


class HalfOptions(Struct, frozen=True):
    """The parameters that both halves of a pair have.

    :param name: name of the pair in the log.
    :param owner: the object to which the half reports: the pair.
    """

    name: str
    reactor: Any
    log: logging.Logger
    owner: IPairOwner


class ClientOptions(HalfOptions, frozen=True):
    """The parameters of a client half.

    :param retry_interval: function that returns the time before the first retry, in seconds.
    :param buffer: the buffer for everything that is written.
    :param unreachable_level: function that returns the level of the log line about an unreachable far end.
    """

    retry_interval: Callable[[], float]
    buffer: SendBuffer
    unreachable_level: Callable[[], int] = lambda: logging.WARNING


class ServerOptions(HalfOptions, frozen=True):
    """The parameters of a server half.

    :param host: host to listen on; empty for all addresses.
    :param port: port to listen on, 0 to 65535; 0 for one of the system's choice.
    :param terminator: the end of each line.
    :param max_line: longest line in bytes, without its terminator, at least 1.
    :param listen_again: time after which the half tries again to listen where it could not, in seconds; None
        to try once.
    """

    host: str
    port: int
    terminator: bytes
    max_line: int = MAX_LINE_LENGTH
    listen_again: float | None = None


@implementer(ILineWriterOwner)
class ClientHalf:
    """The client half: the actions of its state machine, and its data.

    :ivar writer: the `LineWriter` while the client is connected, else None.
    :ivar buffer: the buffer for everything that is written. The pair detaches it after a loss.
    :ivar wrong_port: explanation and remedy if data from the far end shows that this is a wrong port; else
        empty.
    """

    def __init__(self, options: ClientOptions) -> None:
        self.name: str = options.name
        self.reactor: Any = options.reactor
        self.log: logging.Logger = options.log
        self.owner: IPairOwner = options.owner
        self.limited_log: RateLimitedLog = RateLimitedLog(self.reactor, self.log, A_FEW)
        self.retry_interval: Callable[[], float] = options.retry_interval
        self.buffer: SendBuffer = options.buffer
        self.unreachable_level: Callable[[], int] = options.unreachable_level
        self.writer: LineWriter | None = None
        self._state: _ClientInputs = _build_client(self)
        self._gone: Waiters[None] = Waiters()
        self._leaving: LineWriter | None = None
        self._names = names_of(self.reactor)
        self._factory: WriterFactory
        self._connector: IConnector
        self._target = ("", 0)
        self._unreachable: IDelayedCall | None = None  # set while nothing is reached, also after it fired
        self.why_not: str = "no answer"
        self.wrong_port: str = ""
        self._heard = b""  # data from the far end of the present connection
        self._is_explained = False

    def start(self, host: str, port: int) -> None:
        """Connect to `host`:`port`, and reconnect after each failure or loss.

        If it is already trying this address, nothing changes. If it is connected, call `stop` first.
        """
        self._state.start(host, port)

    def stop(self) -> Deferred[None]:
        """Stop trying, or close the connection. The Deferred fires when nothing is left."""
        gone = self._gone.wait()
        self._state.stop()
        if self._leaving is None:
            self._gone.fire(None)
        return gone

    def hurry(self) -> None:
        """Try now instead of waiting for the next attempt: there is evidence that the far end is up."""
        self._state.hurry()

    def writer_connected(self, writer: LineWriter) -> None:
        """See `ILineWriterOwner`."""
        self._state.made(writer)
        self.owner.client_changed(None)

    def writer_lost(self, writer: LineWriter, reason: Failure) -> None:
        """See `ILineWriterOwner`."""
        was_connected = self.writer is writer
        self._state.lost(writer)
        if was_connected:
            self.owner.client_changed(reason)
        else:
            self._gone.fire(None)

    def writer_heard(self, writer: LineWriter, data: bytes) -> bool:
        """See `ILineWriterOwner`. Log an explanation once, even if the next connection gives the same."""
        if writer is self.writer and not self._is_explained:
            self._heard = (self._heard + data)[:MOST_HEARD]
            why = self.owner.explain_heard(self._heard)
            self._is_explained = bool(why)
            if why and why != self.wrong_port:
                self.wrong_port = why
                self.owner.note_wrong_port(why)
        return self._is_explained

    def begin_attempts(self, host: str, port: int) -> None:
        """Start to try."""
        if (host, port) != self._target:
            self.wrong_port = ""
        self._target = host, port
        self._watch()
        factory = WriterFactory(self._make_writer, self.retry_interval, self.reactor, self._report_failure)
        self._factory = factory
        if is_address(host):
            self._connector = self.reactor.connectTCP(host, port, factory, timeout=None)
        else:
            named = NamedConnector(self.reactor, self._names, host, port, factory, _patience)
            self._connector = named
            named.connect()

    def go_elsewhere(self, host: str, port: int) -> None:
        """Try another address from now on, if it differs from the present one."""
        if (host, port) != self._target:
            self.give_up()
            self.begin_attempts(host, port)

    def try_now(self) -> None:
        """Start a new attempt, unless one is in progress: that one may have succeeded already."""
        if getattr(self._connector, "state", None) == "disconnected":
            self._abandon()
            self.begin_attempts(*self._target)

    def give_up(self) -> None:
        """Stop trying."""
        self._unwatch()
        self._abandon()

    def _abandon(self) -> None:
        """End the attempts of the present factory."""
        self._factory.stopTrying()  # type: ignore[no-untyped-call]
        self._connector.disconnect()

    def keep_writer(self, writer: LineWriter) -> None:
        """Keep the writer of a successful attempt."""
        self._unwatch()
        self.writer = writer
        self._heard, self._is_explained = b"", False

    def drop(self, writer: LineWriter) -> None:
        """Note the loss of the connection; the factory tries again."""
        self.writer = None
        if not self._is_explained:
            self.wrong_port = ""
        self._watch()

    def leave(self) -> None:
        """Close the connection after all data is written."""
        self._factory.stopTrying()  # type: ignore[no-untyped-call]
        self._leaving, self.writer = self.writer, None
        if self._leaving is not None:
            self._leaving.close()

    def left(self, writer: LineWriter) -> None:
        """Note that the closed connection is gone."""
        self._leaving = None

    def come_back(self, host: str, port: int) -> None:
        """Remember to connect again as soon as the closed connection is gone."""
        self._target = host, port

    def left_to_return(self, writer: LineWriter) -> None:
        """Connect again, now that the closed connection is gone."""
        self.left(writer)
        self.begin_attempts(*self._target)

    def _make_writer(self) -> LineWriter:
        return LineWriter(self, self.reactor, self.limited_log, self.name, self.buffer)

    def _report_failure(self, reason: Failure, is_first: bool) -> None:
        self.why_not = reason.getErrorMessage()
        if is_first:
            self.limited_log.info("%s: can't connect yet, will go on trying: %s", self.name, self.why_not)

    def _watch(self) -> None:
        """Start the timer that logs one warning if nothing is reached for `UNREACHABLE_AFTER` seconds."""
        if self._unreachable is None:
            self.why_not = "no answer"
            self._unreachable = Deadline(self.reactor, UNREACHABLE_AFTER, self._warn)

    def _unwatch(self) -> None:
        if self._unreachable is not None and self._unreachable.active():
            self._unreachable.cancel()
        self._unreachable = None

    def _warn(self) -> None:
        text = "%s: can't reach %s port %d for %g s, will go on trying: %s"
        level = self.unreachable_level()
        self.log.log(level, text, self.name, *self._target, UNREACHABLE_AFTER, self.why_not)


class _ClientInputs(Protocol):
    def start(self, host: str, port: int) -> None: ...
    def made(self, writer: LineWriter) -> None: ...
    def lost(self, writer: LineWriter) -> None: ...
    def stop(self) -> None: ...
    def hurry(self) -> None: ...


_build_client = machine(
    _ClientInputs,
    ClientHalf,
    (
        ("idle", _ClientInputs.start, "trying", ClientHalf.begin_attempts),
        ("idle", _ClientInputs.stop, "idle", None),
        ("trying", _ClientInputs.start, "trying", ClientHalf.go_elsewhere),
        ("trying", _ClientInputs.made, "connected", ClientHalf.keep_writer),
        ("trying", _ClientInputs.stop, "idle", ClientHalf.give_up),
        ("trying", _ClientInputs.hurry, "trying", ClientHalf.try_now),
        ("connected", _ClientInputs.lost, "trying", ClientHalf.drop),
        ("connected", _ClientInputs.stop, "leaving", ClientHalf.leave),
        ("leaving", _ClientInputs.stop, "leaving", None),
        ("leaving", _ClientInputs.lost, "idle", ClientHalf.left),
        ("leaving", _ClientInputs.start, "returning", ClientHalf.come_back),
        ("returning", _ClientInputs.start, "returning", ClientHalf.come_back),
        ("returning", _ClientInputs.stop, "leaving", None),
        ("returning", _ClientInputs.lost, "trying", ClientHalf.left_to_return),
        *(
            (state, _ClientInputs.hurry, state, None)
            for state in ("idle", "connected", "leaving", "returning")
        ),
    ),
)


@implementer(ILineReaderOwner)
class ServerHalf:
    """The server half: the actions of its state machine, and its data.

    It starts to listen at construction.

    :raises ValueError: if ``server_host``, ``server_port`` or ``max_line_length`` is invalid. The error names
        the parameter.

    :ivar reader: the `LineReader` while a peer is connected, else None.
    :ivar host: host that it listens on: as bound, or as given until it listens.
    :ivar port: port that it listens on: as bound, or as given until it listens.
    :ivar error: the reason why it can't listen, or None. With `listen_again` it may listen later.
    :ivar listening: the listening port, or None.
    :ivar opened: the Deferreds that wait until it listens or fails.
    :ivar lines_received: the owner's method, which receives the lines directly.
    """

    def __init__(self, options: ServerOptions) -> None:
        if options.host:
            check_host("server_host", options.host)
        if not 0 <= options.port <= 65535:
            raise ValueError(f"server_port: expected 0 to 65535, got {options.port!r}")
        if options.max_line < 1:
            raise ValueError(f"max_line_length: expected 1 or more, got {options.max_line!r}")
        self.name: str = options.name
        self.reactor: Any = options.reactor
        self.log: logging.Logger = options.log
        self.owner: IPairOwner = options.owner
        self.limited_log: RateLimitedLog = RateLimitedLog(self.reactor, self.log, A_FEW)
        self.lines_received: Callable[[list[bytes]], None] = self.owner.lines_received
        self.host: str = options.host
        self.port: int = options.port
        self.terminator: bytes = options.terminator
        self.max_line: int = options.max_line
        self.reader: LineReader | None = None
        self.error: ListenError | None = None
        self.listening: IListeningPort | None = None
        self.opened: Waiters[int] = Waiters()
        self._state: _ServerInputs = _build_server(self)
        self._gone: Waiters[None] = Waiters()
        self._leaving: set[LineReader] = set()
        self._listen_again = options.listen_again
        self._failures_log = RateLimitedLog(self.reactor, self.log)
        self._opening: Deferred[None] = Deferred.fromCoroutine(self._open())

    async def _open(self) -> None:
        """Listen on `host`: at once if it is an address, else after its name is resolved.

        With `ServerOptions.listen_again`, try until it listens or is closed.
        """
        with suppress(defer.CancelledError):  # it was closed
            while not await self._listen() and self._listen_again is not None:
                await deferLater(self.reactor, self._listen_again)

    async def _listen(self) -> bool:
        """Try to listen; return True if it listens."""
        try:
            address = self.host
            if address and not is_address(address):
                address, *_ = await names_of(self.reactor).addresses(address)
            port = self.reactor.listenTCP(self.port, OnePeerFactory(self._make_reader), BACKLOG, address)
        except defer.CancelledError:
            raise
        except Exception as error:
            if not isinstance(error, (CannotListenError, OSError)):
                self._failures_log.exception("%s: can't listen", self.name)
            reason = getattr(error, "socketError", error)
            failure = ListenError(self.host, self.port, getattr(reason, "strerror", None) or str(reason))
            self._failures_log.error("%s: %s", self.name, failure)
            self._state.failed(failure)
            self.opened.fail(lambda: copy(failure))
            return False
        accept_in_turns(port, self.reactor, refuses=self._refuses)
        failed_before = self.error is not None
        self._state.listening(port)
        if failed_before:
            self.log.info("%s: listens on %s now", self.name, host_and_port(self.host, self.port))
        self.opened.fire(self.port)
        return True

    async def close(self) -> None:
        """Stop listening and close the peer's connection. Return when both are gone."""
        self._opening.cancel()
        self._state.close()
        if self.listening is not None:
            await defer.maybeDeferred(self.listening.stopListening)
        if self._leaving:
            await self._gone.wait()

    def reader_connected(self, reader: LineReader) -> None:
        """See `ILineReaderOwner`."""
        self._state.made(reader)
        if self.reader is reader:
            set_group(reader.transport, lambda: Group.FIRST)
            self.owner.server_changed(None)

    def reader_lost(self, reader: LineReader, reason: Failure) -> None:
        """See `ILineReaderOwner`."""
        was_connected = self.reader is reader
        self._state.lost(reader)
        if was_connected:
            if reader.unfinished:
                start = bytes(reader.unfinished[:100])
                self.limited_log.warning(
                    "%s: the peer disconnected within a line, dropped: %r", self.name, start
                )
            self.owner.server_changed(reason)
        if not self._leaving:
            self._gone.fire(None)

    def opened_as(self, port: IListeningPort) -> None:
        """Note the port that it listens on."""
        self.listening, self.error = port, None
        bound: Any = port.getHost()
        self.host, self.port = bound.host, bound.port

    def cannot_open(self, error: ListenError) -> None:
        """Note the reason why it can't listen."""
        self.error = error

    def keep_reader(self, reader: LineReader) -> None:
        """Keep the reader of a new peer."""
        self.reader = reader

    def drop(self, reader: LineReader) -> None:
        """Note the loss of the peer."""
        self.reader = None

    def leave(self) -> None:
        """Close the connection to the peer."""
        reader, self.reader = self.reader, None
        if reader is not None:
            self.refuse(reader)

    def refuse(self, reader: LineReader) -> None:
        """Close the connection of a peer that connected while this half was closing."""
        self._leaving.add(reader)
        reader.transport.loseConnection()

    def left(self, reader: LineReader) -> None:
        """Note that a closed connection is gone."""
        self._leaving.discard(reader)

    def _refuses(self, peer: IAddress | None) -> bool:
        why = self.owner.refusal_of(peer)
        if why:
            self.limited_log.warning("%s: refused a peer, %s: %s", self.name, peer, why)
        return bool(why)

    def _make_reader(self, peer: IAddress | None) -> LineReader | None:
        if self._refuses(peer):
            return None
        if self.reader is None:
            return LineReader(self, self.terminator, self.max_line)
        self.limited_log.warning("%s: refused a second peer, %s; the first stays connected", self.name, peer)
        return None


class _ServerInputs(Protocol):
    def listening(self, port: IListeningPort) -> None: ...
    def failed(self, error: ListenError) -> None: ...
    def made(self, reader: LineReader) -> None: ...
    def lost(self, reader: LineReader) -> None: ...
    def close(self) -> None: ...


_build_server = machine(
    _ServerInputs,
    ServerHalf,
    (
        ("opening", _ServerInputs.listening, "waiting", ServerHalf.opened_as),
        ("opening", _ServerInputs.failed, "failed", ServerHalf.cannot_open),
        ("opening", _ServerInputs.close, "closed", None),
        ("failed", _ServerInputs.listening, "waiting", ServerHalf.opened_as),
        ("failed", _ServerInputs.failed, "failed", ServerHalf.cannot_open),
        ("failed", _ServerInputs.close, "closed", None),
        ("waiting", _ServerInputs.made, "connected", ServerHalf.keep_reader),
        ("waiting", _ServerInputs.close, "closed", None),
        ("connected", _ServerInputs.lost, "waiting", ServerHalf.drop),
        ("connected", _ServerInputs.close, "closed", ServerHalf.leave),
        ("closed", _ServerInputs.made, "closed", ServerHalf.refuse),
        ("closed", _ServerInputs.lost, "closed", ServerHalf.left),
        ("closed", _ServerInputs.close, "closed", None),
    ),
)
