"""`RecordLimiter`: the bounds on the records that clients without rights cause.

An observer can send commands, which the bridge refuses, and can connect and disconnect as often as it likes.
Each of these causes a record, and a row of the journal. Without a bound, such a client fills the memory of
waiting rows, and displaces the rows of the commanders from the file and from the events in memory. Three
bounds hold:

* a line, an explanation or a detail is recorded up to `LONGEST` bytes;
* one session (a *visit*), from the event ``connected`` to ``disconnected``, records at most `VISIT_ROWS` rows
  of lines and steps;
* all clients of one port together record `PORT_ROWS` rows at once, and `PORT_RATE` rows a second over time.

The limiter counts the rows beyond the bounds. An event ``omitted`` reports the count: one at the end of a
session, and at most one a minute for a port.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

LONGEST = 200
"""The longest recorded part of a line, an explanation or a detail, in bytes or characters."""

VISIT_ROWS = 30
"""The most rows of lines and steps that one session records."""

PORT_ROWS = 600
"""The most rows that the clients of one port record in a burst."""

PORT_RATE = 10 / 60
"""The rate at which the clients of one port record rows over time, in rows per second."""

REPORT_EVERY = 60.0
"""The shortest time between two events ``omitted`` of one port, in seconds."""


@dataclass(slots=True)
class _Tally:
    """The rows that were not recorded: their number, and the bytes of their lines."""

    rows: int = 0
    size: int = 0

    def add(self, rows: int, size: int) -> None:
        self.rows += rows
        self.size += size


@dataclass(slots=True)
class _Visit:
    """The session of one client.

    :ivar rows: the number of recorded rows of lines and steps.
    """

    rows: int = 0
    omitted: _Tally = field(default_factory=_Tally)


@dataclass(slots=True)
class _Port:
    """All clients of one port.

    :ivar tokens: the number of rows that may be recorded now (a token bucket).
    :ivar filled: the time of the computation of `tokens` (clock, s).
    """

    tokens: float
    filled: float
    omitted: _Tally = field(default_factory=_Tally)


class RecordLimiter:
    """Publish the records of clients without rights, within bounds.

    :param publish: publishes a record that is within the bounds, shortened if it is long.
    :param clock: an ``IReactorTime`` with monotonic `seconds`.
    :param counts: ``omitted`` counts the records that were not published.
    :param now: return the time (s, Unix time).
    """

    def __init__(
        self,
        publish: Callable[[Record], None],
        clock: IReactorTime,
        counts: Counter[str],
        now: Callable[[], float],
    ) -> None:
        self._publish = publish
        self._clock = clock
        self._counts = counts
        self._now = now
        self._epoch = 0
        self._visits: dict[str, _Visit] = {}
        self._ports: dict[str, _Port] = {}
        self._report: IDelayedCall | None = None
        self._closed = False

    def publish(self, record: Record) -> None:
        """Publish the beginning of a line, an explanation or a detail, within the bounds of session and port.

        A change counts for the port only: the connection of a client is worth more than its lines.
        """
        self._epoch = record.epoch
        if isinstance(record, LineRecord):
            if self._admits(record.peer, len(record.line)):
                self._publish(replace(record, line=shortened(record.line)))
        elif isinstance(record, CommandRecord):
            if self._admits(record.peer, 0):
                self._publish(replace(record, explanation=record.explanation[:LONGEST]))
        else:
            self._change(record)

    def _change(self, record: ChangeRecord) -> None:
        if record.kind == "connected":
            self._visits[record.peer] = _Visit()
        elif record.kind == "disconnected":
            self._end_visit(record.peer)
        if self._spends(record.peer, 0):
            self._publish(replace(record, detail=record.detail[:LONGEST]))

    def _end_visit(self, peer: str) -> None:
        """Publish the number of rows omitted from the session of a client that is gone."""
        visit = self._visits.pop(peer, None)
        if visit is not None and visit.omitted.rows:
            omitted, port = visit.omitted, self._port(peer)
            if self._has_token(port):
                self._tell(peer, omitted)
            else:
                self._omit(port, omitted.rows, omitted.size)

    def _admits(self, peer: str, size: int) -> bool:
        visit = self._visits.get(peer)
        if visit is not None:
            if visit.rows >= VISIT_ROWS:
                visit.omitted.add(1, size)
                self._counts["omitted"] += 1
                return False
            visit.rows += 1
        return self._spends(peer, size)

    def _spends(self, peer: str, size: int) -> bool:
        port = self._port(peer)
        if self._has_token(port):
            return True
        self._counts["omitted"] += 1
        self._omit(port, 1, size)
        return False

    def _port(self, peer: str) -> _Port:
        """Return the port, or pair, of a client: the client's name begins with the configured name."""
        name = peer.partition("/")[0]
        port = self._ports.get(name)
        if port is None:
            port = self._ports[name] = _Port(PORT_ROWS, self._clock.seconds())
        return port

    def _has_token(self, port: _Port) -> bool:
        now = self._clock.seconds()
        port.tokens = min(float(PORT_ROWS), port.tokens + (now - port.filled) * PORT_RATE)
        port.filled = now
        if port.tokens < 1:
            return False
        port.tokens -= 1
        return True

    def _omit(self, port: _Port, rows: int, size: int) -> None:
        port.omitted.add(rows, size)
        if self._report is None and not self._closed:
            self._report = self._clock.callLater(REPORT_EVERY, self._report_ports)

    def _report_ports(self) -> None:
        self._report = None
        for name, port in self._ports.items():
            omitted, port.omitted = port.omitted, _Tally()
            if omitted.rows:
                self._tell(name, omitted)

    def _tell(self, peer: str, omitted: _Tally) -> None:
        detail = f"{omitted.rows} rows, with {omitted.size} bytes of lines, were not recorded"
        self._publish(ChangeRecord(self._now(), self._epoch, peer, "omitted", detail, privileged=False))

    def close(self) -> None:
        """Publish the remaining counts, and stop the timer; later omissions are only counted."""
        self._closed = True
        for peer in tuple(self._visits):
            self._end_visit(peer)
        if self._report is not None:
            self._report.cancel()
            self._report_ports()


def shortened(line: bytes) -> bytes:
    """Return the first `LONGEST` bytes of a line; if there are more, a last field gives their number."""
    if len(line) <= LONGEST:
        return line
    return b"%b\n(%d more bytes were not recorded)" % (line[:LONGEST], len(line) - LONGEST)
