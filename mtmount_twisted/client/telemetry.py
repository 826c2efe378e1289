"""`TelemetryClient`: the mount's telemetry as typed values or as raw lines (protocol tma2022).

::

    client = TelemetryClient("telemetry", "mount.example", 50035, log, topics=[telemetry.Azimuth])
    async for topic in client:
        print(topic.actual_position, client.clock_offset)

It uses the network only through its base class. Next to read: `net.duplex`, which connects and reconnects;
``dialects.tma2022.telemetry``, the topics; ``docs/howto/telemetry.rst``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, NoReturn, TypedDict, TypeVar, Unpack, overload

from twisted.internet.defer import Deferred, maybeDeferred

from mtmount_twisted.dialects.content import Content
from mtmount_twisted.dialects.tma2022.codec import decode_telemetry
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.envelope import read_telemetry_header
from mtmount_twisted.dialects.tma2022.sending import tai_now
from mtmount_twisted.dialects.tma2022.telemetry import TIMED_TOPICS, Topic
from mtmount_twisted.errors import LineError
from mtmount_twisted.net.arguments import check_bool, check_type
from mtmount_twisted.net.duplex import DuplexConnection
from mtmount_twisted.net.telemetry import SILENCE, ClockOffset, SilenceWatch

T = TypeVar("T")


def _no_encode(message: object) -> NoReturn:
    raise TypeError(f"the telemetry server reads nothing; got {repr(message)[:100]} to send")


def _same(line: bytes) -> bytes:
    return line


_TOPICS: Content[Any] = Content(DIALECT.terminator, _no_encode, _no_encode, decode_telemetry)
_LINES: Content[Any] = Content(DIALECT.terminator, _no_encode, _no_encode, _same)


class TelemetryOptions(TypedDict, total=False):
    """The keyword arguments of a `TelemetryClient`, except `raw`."""

    topics: Iterable[int | type[Topic]] | None
    conflate: bool
    silence_after: float
    silence_callback: Callable[[Any], Any] | None
    tai: Callable[[], float]
    tls: Any
    connect_callback: Callable[[Any], Any] | None
    reactor: Any
    max_unread: int
    max_line_length: int


class TelemetryClient(DuplexConnection[T], Generic[T]):
    """A reader of the mount's telemetry, from its own server or from a ``[[telemetry]]`` of the bridge.

    It connects at construction and reconnects after each loss, until `close`. Messages are read with `read`,
    ``async for`` or `each`, as from a `Communicator`. A line that is not telemetry fails one `read` with
    `LineError`; the next `read` returns what comes after this line.

    If the program reads more slowly than the mount sends, there are two rules. By default every line is kept:
    with ``max_unread`` unread lines this side stops reading from the socket, and the server has to wait. With
    ``conflate=True`` only the latest unread line of each topic is kept, and `missed` counts the others. A
    program that shows or controls something needs ``conflate=True``: each value that it reads is then the
    latest one, however slowly it reads. A program that records needs the default.

    :param name: name of the connection in the log.
    :param host: host of the telemetry server, as a name or an address; None for ``localhost``.
    :param port: its port, 1 to 65535; the mount's own is 50035.
    :param log: the `logging.Logger` to use.
    :param raw: True to read lines, as bytes without their terminators; False to read topics.
    :param topics: the topics to read, as classes or numbers; None for all of them. The lines of others are
        dropped without being decoded.
    :param conflate: True to keep only the latest unread line of each topic.
    :param silence_after: time in seconds without telemetry that counts as silence.
    :param silence_callback: called with this object after each change of `silent`; it may be ``async``.
    :param tai: function that returns TAI seconds since the unix epoch.
    :param options: ``tls``, ``connect_callback``, ``reactor``, ``max_unread`` and ``max_line_length`` of
        `DuplexConnection`.
    :raises TypeError: if an argument has a wrong type. The error names the parameter.
    :raises ValueError: if ``host``, ``port`` or ``silence_after`` is out of range. The error names the
        parameter.
    :ivar silent: True while no telemetry has come for `silence_after` seconds, connected or not; the log has
        a warning then. The time in which this side does not read from the socket does not count.
    :ivar clock_offset: the mount's clock minus this machine's, in seconds: the largest difference between the
        timestamp and the arrival of a line in the last full second. So only the line with the shortest delay
        counts. None before the first line of the topics in `TIMED_TOPICS`.
    :ivar missed: number of unread lines that a later line of the same topic has replaced.
    """

    @overload
    def __init__(
        self: TelemetryClient[Topic],
        name: str,
        host: str | None,
        port: int,
        log: logging.Logger,
        *,
        raw: Literal[False] = False,
        **options: Unpack[TelemetryOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: TelemetryClient[bytes],
        name: str,
        host: str | None,
        port: int,
        log: logging.Logger,
        *,
        raw: Literal[True],
        **options: Unpack[TelemetryOptions],
    ) -> None: ...

    def __init__(
        self,
        name: str,
        host: str | None,
        port: int,
        log: logging.Logger,
        *,
        raw: bool = False,
        topics: Iterable[int | type[Topic]] | None = None,
        conflate: bool = False,
        silence_after: float = SILENCE,
        silence_callback: Callable[[Any], Any] | None = None,
        tai: Callable[[], float] = tai_now,
        **options: Any,
    ) -> None:
        check_bool("raw", raw)
        check_bool("conflate", conflate)
        check_type(
            "silence_after",
            silence_after,
            "a number",
            lambda value: type(value) in (int, float) and value == value,
        )
        if silence_after <= 0:
            raise ValueError(f"silence_after: expected more than 0 s, got {silence_after!r}")
        check_type(
            "silence_callback",
            silence_callback,
            "a function, or None",
            lambda value: value is None or callable(value),
        )
        self.missed: int = 0
        self.silence_after = silence_after
        self.silence_callback = silence_callback
        self._wanted = None if topics is None else frozenset(map(_number_of, topics))
        self._conflates = bool(conflate)
        super().__init__(name, host, port, log, carries=_LINES if raw else _TOPICS, **options)
        self._offset = ClockOffset(self.reactor, tai)
        self._watch = SilenceWatch(
            self.reactor, silence_after, self._silence_changed, lambda: self._inbox.paused
        )

    @property
    def silent(self) -> bool:
        """See the class."""
        return self._watch.silent

    @property
    def clock_offset(self) -> float | None:
        """See the class."""
        return self._offset.value

    @property
    def why_not_connected(self) -> str:
        """See `ConnectionPair`."""
        return self.refusal or (
            f"no telemetry on {self._there} ({self._client.why_not.rstrip('.')}); start the telemetry server "
            "or the bridge, or give another host or port"
        )

    def lines_received(self, lines: list[bytes]) -> None:
        """See `IPairOwner`."""
        wanted, is_telemetry = [], False
        for line in lines:
            try:
                topic, timestamp = read_telemetry_header(line)
            except LineError:
                wanted.append(line)  # `read` fails with its error
                continue
            is_telemetry = True
            if topic in TIMED_TOPICS:
                self._offset.note(timestamp)
            if self._wanted is None or topic in self._wanted:
                wanted.append(line)
        if is_telemetry:
            self._watch.hear()
        if self._conflates and (self._inbox.lines or len(wanted) > 1):
            unread = [*self._inbox.lines, *wanted]
            self._inbox.clear()
            wanted = _latest(unread)
            self.missed += len(unread) - len(wanted)
        self._inbox.put(wanted)

    def _silence_changed(self, silent: bool) -> None:
        if silent:
            why = "" if self.connected else f": {self.why_not_connected}"
            self.limited_log.warning("%s: no telemetry for %g s%s", self.name, self.silence_after, why)
        else:
            self.limited_log.info("%s: telemetry from %s again", self.name, self._there)
        if self.silence_callback is not None:
            maybeDeferred(self.silence_callback, self).addErrback(
                lambda reason: self.log.error(
                    "%s: silence_callback failed:\n%s", self.name, reason.getTraceback()
                )
            )

    def _resume(self) -> None:
        self._watch.excuse()
        super()._resume()

    def close(self) -> Deferred[None]:
        """See `ConnectionPair`."""
        self._watch.stop()
        return super().close()


def _number_of(topic: int | type[Topic]) -> int:
    number: Any = getattr(topic, "topic_id", topic)
    check_type("topics", number, "classes or numbers of topics", lambda value: type(value) is int)
    return int(number)


def _latest(lines: list[bytes]) -> list[bytes]:
    """Return the latest line of each topic, and the latest line that is not telemetry, in their order."""
    latest: dict[int | None, bytes] = {}
    for line in lines:
        try:
            topic = read_telemetry_header(line).topic_id
        except LineError:
            topic = None
        latest.pop(topic, None)
        latest[topic] = line
    return list(latest.values())
