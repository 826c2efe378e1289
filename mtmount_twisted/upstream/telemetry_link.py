"""`TelemetryLink`: the bridge's one connection to the telemetry server, and the last line of each topic.

It reads the header of each line. A subscriber to the values may decode the rest, once for all subscribers. It
uses the network only through its base class. Next to read: ``frontends.tcp.telemetry``, which passes the
lines on; `net.telemetry`, the watch over silence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.dialects.content import lines_of
from mtmount_twisted.dialects.dialect import Dialect, TelemetryFormat
from mtmount_twisted.interfaces import ITelemetry, ITelemetryValue
from mtmount_twisted.net.duplex import DuplexConnection, IncomingHalf
from mtmount_twisted.net.pair import ConnectionPair
from mtmount_twisted.net.protocol import LineReader, SkippingReader, receive_little
from mtmount_twisted.net.rate_limited_log import RateLimitedLog
from mtmount_twisted.net.telemetry import SILENCE, ClockOffset, SilenceWatch

from .malformed import AT_ONCE, MalformedLines

T = TypeVar("T")

TELEMETRY = "telemetry"
"""The name of the link in the log."""

MAX_TOPICS = 100
"""Largest number of topics with a last line. The mount has 26 topics, which always have a place. A line of a
further topic counts as malformed."""

STALE = 3600.0
"""The time after which a topic without a name gives its place to another one, in seconds. A recording of an
hour has a channel for each topic."""

FRESH = 10.0
"""Greatest age in seconds of a line that a reader receives late: twice the longest period of a topic."""


@implementer(ITelemetryValue)
class TelemetryValue:
    """The latest line of a topic.

    :ivar number: the number of lines that had come until then, this line included.
    :ivar timestamp: time of sending by the mount's clock: TAI seconds since the unix epoch.
    :ivar came_at: time of its arrival on the monotonic clock, in seconds.
    """

    __slots__ = ("_clock", "_decoded", "_format", "came_at", "line", "number", "timestamp", "topic_id")

    def __init__(
        self,
        topic_id: int,
        timestamp: float,
        line: bytes,
        number: int,
        telemetry: TelemetryFormat,
        clock: IReactorTime,
    ) -> None:
        self.topic_id: int = topic_id
        self.timestamp: float = timestamp
        self.line: bytes = line
        self.number: int = number
        self.came_at: float = clock.seconds()
        self._clock = clock
        self._format = telemetry
        self._decoded: Any = None

    @property
    def age(self) -> float:
        """See `ITelemetryValue`."""
        return float(self._clock.seconds() - self.came_at)

    def decoded(self) -> Any:
        """See `ITelemetryValue`."""
        if self._decoded is None:
            self._decoded = self._format.decode(self.line)
        return self._decoded


@implementer(ITelemetry)
class TelemetryLink(DuplexConnection[bytes]):
    """The connection to the telemetry server. It reconnects after each loss, until `close`.

    Reading never pauses. A line that is too long, or is not telemetry, is dropped. The log has one line a
    minute about all such lines. A server that sends mostly such lines is disconnected; see `malformed`.
    Values are kept across a loss; each value has its age.

    :param host: host of the telemetry server, as a name or an address.
    :param port: its port, 1 to 65535.
    :param dialect: a dialect with telemetry.
    :param silence_changed: called with True and the reason when no telemetry has come for a second, and with
        False when it comes again.
    :param connect: False to connect at the first `open`.
    :raises ValueError: if `host` or `port` is out of range.
    """

    connect_retry_interval: float = ConnectionPair.connect_retry_interval

    def __init__(
        self,
        host: str,
        port: int,
        dialect: Dialect,
        log: logging.Logger,
        reactor: Any,
        silence_changed: Callable[[bool, str], None] = lambda silent, why: None,
        connect: bool = True,
    ) -> None:
        assert dialect.telemetry is not None  # the configuration allows telemetry for such a dialect only
        self._format = dialect.telemetry
        self.lines: int = 0
        self.malformed: int = 0
        self._values: dict[int, TelemetryValue] = {}  # by topic; the topic whose line came last stands last
        self._tell_silence = silence_changed
        self._subscribers: list[Callable[[bytes], None]] = []
        self._value_subscribers: list[Callable[[Sequence[ITelemetryValue]], None]] = []
        self._mostly_malformed = MalformedLines()
        self._sparse_log = RateLimitedLog(reactor, log)
        self._offset = ClockOffset(reactor, self._format.tai)
        self._watch = SilenceWatch(reactor, SILENCE, self._silence_changed)
        if not connect:
            self._watch.stop()
        super().__init__(
            TELEMETRY, host, port, log, carries=lines_of(dialect), connect=connect, reactor=reactor
        )

    def open(self) -> None:
        """Connect, after `pause` or a construction without connection."""
        self._watch.stop()
        self._watch = SilenceWatch(self.reactor, SILENCE, self._silence_changed)
        self._client.start(self.client_host, self.client_port)

    def pause(self) -> None:
        """Close the connection, and connect no more until `open`. The last values are kept."""
        self._watch.stop()
        self.close_client()

    @property
    def why_not_connected(self) -> str:
        """See `ConnectionPair`."""
        return self.refusal or f"no telemetry server on {self._there} ({self._client.why_not.rstrip('.')})"

    @property
    def silent(self) -> bool:
        """See `ITelemetry`."""
        return self._watch.silent

    @property
    def age(self) -> float | None:
        """See `ITelemetry`."""
        latest = next(reversed(self._values.values()), None)
        return None if latest is None else latest.age

    @property
    def clock_offset(self) -> float | None:
        """See `ITelemetry`."""
        return self._offset.value

    def latest(self, topic_id: int) -> TelemetryValue | None:
        """See `ITelemetry`."""
        return self._values.get(topic_id)

    def since(self, number: int) -> list[bytes]:
        """See `ITelemetry`."""
        found = []
        oldest = self.reactor.seconds() - FRESH
        for value in reversed(self._values.values()):
            if value.number <= number or value.came_at < oldest:
                break
            found.append(value.line)
        return found[::-1]

    def subscribe(self, subscriber: Callable[[bytes], None]) -> None:
        """See `ITelemetry`."""
        self._subscribers.append(subscriber)

    def subscribe_values(self, subscriber: Callable[[Sequence[ITelemetryValue]], None]) -> None:
        """See `ITelemetry`."""
        self._value_subscribers.append(subscriber)

    def lines_received(self, lines: list[bytes]) -> None:
        """See `IPairOwner`."""
        kept: list[TelemetryValue] = []
        for first in range(0, len(lines), AT_ONCE):
            few = lines[first : first + AT_ONCE]
            good = [value for value in map(self._keep, few) if value is not None]
            kept += good
            if self._mostly_malformed.note(len(few), len(few) - len(good)):
                why = f"{self._there} sends lines that are no telemetry: is controller.telemetry_port right?"
                self.limited_log.warning("%s: disconnected: %s", self.name, why)
                self.drop_connections()
                break
        if not kept:
            return
        self._watch.hear()
        data = self.carries.terminator.join([*(value.line for value in kept), b""])
        for subscriber in self._subscribers:
            self._tell(subscriber, data)
        for receive in self._value_subscribers:
            self._tell(receive, kept)

    def _tell(self, subscriber: Callable[[T], None], lines: T) -> None:
        """Call a subscriber. An error in it concerns neither the connection nor the other subscribers."""
        try:
            subscriber(lines)
        except Exception:
            self._sparse_log.exception("%s: a subscriber failed to handle lines", self.name)

    def server_changed(self, reason: Failure | None) -> None:
        """See `IPairOwner`."""
        if self._server.reader is not None:
            receive_little(self._server.reader.transport)
        super().server_changed(reason)

    def _keep(self, line: bytes) -> TelemetryValue | None:
        """Keep a line as the latest of its topic, and return its value; None if it is not telemetry."""
        try:
            topic, timestamp = self._format.read_header(line)
        except ValueError as error:
            self._note_malformed(str(error))
            return None
        if self._values.pop(topic, None) is None and not self._has_place(topic):
            self._note_malformed(f"topic {topic}: there are too many topics without a name already")
            return None
        if topic in self._format.timed_topics:
            self._offset.note(timestamp)
        self.lines += 1
        value = TelemetryValue(topic, timestamp, line, self.lines, self._format, self.reactor)
        self._values[topic] = value
        return value

    def _has_place(self, topic: int) -> bool:
        names = self._format.names
        if topic in names:
            return True
        nameless = [value for value in self._values.values() if value.topic_id not in names]
        if len(nameless) < MAX_TOPICS - len(names):
            return True
        stalest = nameless[0]
        if stalest.age < STALE:
            return False
        del self._values[stalest.topic_id]
        return True

    def _note_malformed(self, why: str) -> None:
        self.malformed += 1
        self._sparse_log.warning(
            "%s: dropped a line from %s: %s; is controller.telemetry_port right?", self.name, self._there, why
        )

    def _make_reader(self, half: IncomingHalf) -> LineReader:
        return SkippingReader(
            half,
            half.terminator,
            half.max_line,
            lambda start: self._note_malformed(f"longer than {half.max_line} bytes: {start!r}..."),
        )

    def _silence_changed(self, silent: bool) -> None:
        if silent:
            why = f"nothing from {self._there}" if self.connected else self.why_not_connected
            self.limited_log.warning("%s: no telemetry for %g s: %s", self.name, SILENCE, why)
            self._tell_silence(True, why)
        else:
            self._tell_silence(False, "")
            self.limited_log.info("%s: telemetry from %s again", self.name, self._there)

    def close(self) -> Deferred[None]:
        """See `ConnectionPair`."""
        self._watch.stop()
        return super().close()
