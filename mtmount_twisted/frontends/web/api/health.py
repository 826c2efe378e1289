"""`Health`: probes for monitoring systems. `LoopWatch`: the lag of the event loop.

A probe needs no token, so its answer is short and names no user. No I/O. Next to read: `metrics`, which
exports the lags of `LoopWatch`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Annotated

from msgspec import Meta
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from mtmount_twisted.frontends.web.http.answers import Count, Part, Problem, Seconds, Shape
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route
from mtmount_twisted.interfaces import IJournalState, ILeadership, IServed

INTERVAL = 0.25
"""The interval between two measurements of the event loop's lag, in seconds."""


class Spread:
    """A histogram.

    :param bounds: the upper bounds of the bins, rising; one more bin is for larger values.
    :ivar counts: the number of values in each bin.
    :ivar total: the sum of all values.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts: list[int] = [0] * (len(bounds) + 1)
        self.total: float = 0.0

    def add(self, figure: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, figure)] += 1
        self.total += figure


class LoopWatch:
    """Measure the lag of the event loop: the time from when a call is due until it is made.

    :param clock: an ``IReactorTime``.
    :ivar lags: all lags since the start, in seconds.
    :ivar last: the last lag, in seconds.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.lags: Spread = Spread((0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0))
        self.last: float = 0.0
        self._clock = clock
        self._since = self._due = 0.0
        self._turns = LoopingCall(self._turn)
        self._turns.clock = clock

    def start(self) -> Deferred[LoopingCall]:
        """Start measuring.

        :returns: fires when `stop` is called.
        """
        self._since = self._clock.seconds()
        self._due = self._since + INTERVAL
        return self._turns.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Stop measuring. It can be called twice, and at any time."""
        if self._turns.running:
            self._turns.stop()

    def _turn(self) -> None:
        now = self._clock.seconds()
        self.last = max(0.0, now - self._due)
        self.lags.add(self.last)
        # `LoopingCall` skips calls while it is late: calls are due at multiples of the interval from its
        # start.
        self._due = self._since + INTERVAL * (1 + (now - self._since) // INTERVAL)


Yes = Annotated[bool, Meta(extra_json_schema={"const": True})]


class Alive(Shape, frozen=True, kw_only=True):
    """The event loop of the daemon runs."""

    ok: Yes


class LostRows(Part, frozen=True, kw_only=True):
    """The rows that the journal lost, of clients with rights to command or stop and of others."""

    with_rights: Count
    without_rights: Count


class BrokerNow(Part, frozen=True, kw_only=True):
    """The publication of events to a message broker: the rows that wait, and the age of the oldest in s; the
    connections that were lost; and the streams for commands that have no room."""

    connected: bool
    problem: str
    lag_rows: Count
    lag_seconds: Seconds
    restarts: Count
    losses: Count
    full: list[str]


TENURE_STATES = ["standby", "candidate", "active", "alone", "leaving"]
"""The states of `upstream.leadership.tenure`."""

TenureState = Annotated[str, Meta(extra_json_schema={"enum": TENURE_STATES})]
"""The state of a bridge among several."""


class StationNow(Part, frozen=True, kw_only=True):
    """The place of this bridge, `node`, among several; `holder` is the one with the lease, or empty."""

    node: str
    state: TenureState
    holder: str
    epoch: Count


def station_now(leadership: ILeadership | None) -> StationNow | None:
    """Return the role of this bridge in the election; None without an election."""
    if leadership is None:
        return None
    return StationNow(
        node=leadership.node,
        state=leadership.state,
        holder=leadership.holder,
        epoch=leadership.epoch,
    )


class Ready(Shape, frozen=True, kw_only=True):
    """The mount can be commanded now; `broker` is null without a station, and changes nothing.

    `station` is null without an election.
    """

    ready: Yes
    lacks: list[str]
    lost_rows: LostRows
    broker: BrokerNow | None
    station: StationNow | None


class NotReady(Problem, frozen=True, kw_only=True):
    """The mount can't be commanded, or commands can't be recorded; `lacks` names the reasons."""

    ready: bool
    lacks: list[str]
    lost_rows: LostRows
    broker: BrokerNow | None
    station: StationNow | None


class Health:
    """The routes of the probes.

    :param service: all services of the daemon.
    """

    def __init__(self, service: IServed, journal: IJournalState) -> None:
        self._service = service
        self._journal = journal

    def routes(self) -> list[Route]:
        """Return the routes ``/healthz`` and ``/readyz``."""
        return [
            Route(
                "GET",
                "/healthz",
                self._alive,
                None,
                "Liveness: the event loop turns.",
                id="get_health",
                tag="monitoring",
                answers={200: Alive},
            ),
            Route(
                "GET",
                "/readyz",
                self._ready,
                None,
                "Readiness: the mount can be commanded now; 503 if not.",
                id="get_readiness",
                tag="monitoring",
                answers={200: Ready},
                problems=(503,),
            ),
        ]

    async def _alive(self, call: Call) -> Answer:
        return Answer(Alive(ok=True))

    async def _ready(self, call: Call) -> Answer:
        lacks, unprivileged = self.lacks(), self._journal.lost_unprivileged
        lost = LostRows(with_rights=self._journal.lost - unprivileged, without_rights=unprivileged)
        broker, station = self._broker(), station_now(self._service.leadership)
        if lacks:
            told = NotReady(
                error="not ready", ready=False, lacks=lacks, lost_rows=lost, broker=broker, station=station
            )
            return Answer(told, 503)
        return Answer(Ready(ready=True, lacks=lacks, lost_rows=lost, broker=broker, station=station))

    def _broker(self) -> BrokerNow | None:
        """Return the state of the broker. Without it the mount can be commanded, and events wait."""
        state = self._service.broker
        if state is None:
            return None
        return BrokerNow(
            connected=state.connected,
            problem=state.problem,
            lag_rows=state.rows,
            lag_seconds=state.seconds,
            restarts=state.restarts,
            losses=state.losses,
            full=state.full,
        )

    def lacks(self) -> list[str]:
        """Return a word for each reason why commands can't be sent or recorded.

        ``standby``: another bridge commands the mount; ``controller``: the link is down; ``listeners``: a
        configured port can't listen; ``journal``: the file can't be written; ``journal_rows``: the journal
        loses rows of clients with rights. The log gives the details.
        """
        service = self._service
        deaf = service.port_failures or any(pair.listen_error is not None for pair in service.all_pairs)
        stands_by = service.leadership is not None and service.leadership.state == "standby"
        found = {
            "standby": stands_by,
            "controller": service.bridge.link is None and not stands_by,
            "listeners": bool(deaf),
            "journal": bool(self._journal.fault),
            "journal_rows": self._journal.losing,
        }
        return [name for name, lacking in found.items() if lacking]
