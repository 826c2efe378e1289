"""`RecordLimiter`: the bounds on the records that clients without rights or without command cause.

An observer can send commands, which the bridge refuses, and can connect and disconnect as often as it likes.
So can a commander that does not have command. Each of these actions causes a record, and a row of the
journal. Without a bound, such a client would fill the memory of waiting rows, and would displace the rows of
other clients from the file and from the events in memory. Four bounds hold:

* a line, an explanation or a detail is recorded up to `LONGEST` bytes;
* one session, from the event ``connected`` to ``disconnected``, records at most `SESSION_ROWS` rows of lines
  and steps at once, and `ROW_RATE` rows a second over time;
* all clients of one port together record `PORT_ROWS` rows at once, and `ROW_RATE` rows a second over time;
* when a port has used up its rows, a session may still record the rows that it has saved since its beginning,
  at `ROW_RATE`. So a client that floods a port takes nothing from other clients there, and gains nothing by a
  new session.

The limiter counts the rows beyond the bounds. An event ``omitted`` reports the count: one at the end of a
session, and at most one a minute for a port or session.

It passes on or drops records, and touches nothing but a clock. Next to read: `recorder`;
``bridge.event_bus``, which calls it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct, field
from msgspec.structs import replace
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

LONGEST = 200
"""The longest recorded part of a line, an explanation or a detail, in bytes or characters."""

SESSION_ROWS = 30
"""The largest number of rows of lines and steps that one session records in a burst."""

PORT_ROWS = 600
"""The largest number of rows that the clients of one port record in a burst."""

ROW_RATE = 10 / 60
"""The rate at which a session, and all clients of one port, record rows over time, in rows per second."""

REPORT_EVERY = 60.0
"""The shortest time between two events ``omitted`` of one port or session, in seconds."""


class _Tally(Struct):
    """The rows that were not recorded: their number, and the bytes of their lines."""

    rows: int = 0
    size: int = 0

    def add(self, rows: int, size: int) -> None:
        self.rows += rows
        self.size += size


class _Bucket(Struct):
    """A number of rows that may be recorded now; it grows at `ROW_RATE` (a token bucket).

    :ivar most: the largest number.
    :ivar filled: the time of the computation of `rows` (clock, s).
    """

    rows: float
    most: int
    filled: float

    def take_row(self, now: float) -> bool:
        """Take one row at a time of the clock (s); return False if there is none."""
        self.rows = min(float(self.most), self.rows + (now - self.filled) * ROW_RATE)
        self.filled = now
        if self.rows < 1:
            return False
        self.rows -= 1
        return True


class _Session(Struct):
    """The session of one client.

    :ivar burst: the rows of lines and steps that it may record.
    :ivar saved: the rows that it may record although its port has none left.
    """

    burst: _Bucket
    saved: _Bucket
    omitted: _Tally = field(default_factory=_Tally)


class _Port(Struct):
    """All clients of one port.

    :ivar burst: the rows that they may record.
    """

    burst: _Bucket
    omitted: _Tally = field(default_factory=_Tally)


class RecordLimiter:
    """Publish the records of clients without rights or without command, within bounds.

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
        self._sessions: dict[str, _Session] = {}
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

    def leave_out(self, peer: str, rows: int, size: int) -> None:
        """Count rows that are not published.

        :param size: the number of bytes of their lines.
        """
        self._counts["omitted"] += rows
        session = self._sessions.get(peer)
        self._omit(self._port(peer).omitted if session is None else session.omitted, rows, size)

    def _change(self, record: ChangeRecord) -> None:
        if record.kind == "connected":
            now = self._clock.seconds()
            self._sessions[record.peer] = _Session(
                _Bucket(SESSION_ROWS, SESSION_ROWS, now), _Bucket(0, SESSION_ROWS, now)
            )
        elif record.kind == "disconnected":
            self._report_session(record.peer)
        if self._spends(record.peer, 0):
            self._publish(replace(record, detail=record.detail[:LONGEST]))
        if record.kind == "disconnected":  # only now: this row may be one that the session has saved
            self._sessions.pop(record.peer, None)

    def end_session(self, peer: str) -> None:
        """Publish the number of rows omitted from the session of a client that is lost while it has command,
        and forget it. The event ``disconnected`` of any other client does the same."""
        self._report_session(peer)
        self._sessions.pop(peer, None)

    def _report_session(self, peer: str) -> None:
        """Publish the number of rows omitted from the session of a client."""
        session = self._sessions.get(peer)
        if session is not None and session.omitted.rows:
            omitted, session.omitted = session.omitted, _Tally()
            if self._has_row(peer):
                self._tell(peer, omitted)
            else:
                self._omit(self._port(peer).omitted, omitted.rows, omitted.size)

    def _admits(self, peer: str, size: int) -> bool:
        session = self._sessions.get(peer)
        if session is not None and not session.burst.take_row(self._clock.seconds()):
            self._counts["omitted"] += 1
            self._omit(session.omitted, 1, size)
            return False
        return self._spends(peer, size)

    def _spends(self, peer: str, size: int) -> bool:
        if self._has_row(peer):
            return True
        self._counts["omitted"] += 1
        self._omit(self._port(peer).omitted, 1, size)
        return False

    def _port(self, peer: str) -> _Port:
        """Return the port, or pair, of a client: the client's name begins with the configured name."""
        name = peer.partition("/")[0]
        port = self._ports.get(name)
        if port is None:
            port = self._ports[name] = _Port(_Bucket(PORT_ROWS, PORT_ROWS, self._clock.seconds()))
        return port

    def _has_row(self, peer: str) -> bool:
        now, session = self._clock.seconds(), self._sessions.get(peer)
        return self._port(peer).burst.take_row(now) or (session is not None and session.saved.take_row(now))

    def _omit(self, tally: _Tally, rows: int, size: int) -> None:
        tally.add(rows, size)
        if self._report is None and not self._closed:
            self._report = self._clock.callLater(REPORT_EVERY, self._report_all)

    def _report_all(self) -> None:
        self._report = None
        for peer in tuple(self._sessions):
            self._report_session(peer)
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
        if self._report is not None:
            self._report.cancel()
            self._report_all()


def shortened(line: bytes) -> bytes:
    """Return the first `LONGEST` bytes of a line; if there are more, a last field gives their number."""
    if len(line) <= LONGEST:
        return line
    return b"%b\n(%d more bytes were not recorded)" % (line[:LONGEST], len(line) - LONGEST)
