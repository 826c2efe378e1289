"""`BrokerService`: the daemon's side of the message broker. It does little, and never waits.

It tells the child process how far the journal's file goes, gives it the latest telemetry, and notes its state
for the metrics and the log. Next to read: `supervisor`; ``station.child``, the other end.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, cast
from typing import Protocol as TypingProtocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from mtmount_twisted.interfaces import IBrokerState, ITelemetry
from mtmount_twisted.net.rate_limited_log import RateLimitedLog

from .reading import StreamReading
from .supervisor import Supervisor
from .words import (
    CONNECTING,
    MAX_TELEMETRY,
    Answer,
    Begin,
    End,
    More,
    OfDesk,
    OfStream,
    Outcome,
    Pong,
    Question,
    Stopped,
    Telemetry,
    Tenure,
    ToChild,
)

if TYPE_CHECKING:
    from .desk import Desk

TELEMETRY_INTERVAL = 0.2
"""The shortest time between two rounds of telemetry for the child, in seconds."""

UNSTABLE, UNSTABLE_TIME = 3, 60.0
"""The connection to the broker has a problem if it was lost so often in so many seconds, even if it is up."""

NO_TENURE = Tenure(0, False)
"""The tenure that a child assumes until it receives another one."""


class Elector(TypingProtocol):
    """The receiver of the answers about the election: ``upstream.leadership.service``."""

    def answered(self, number: int, known: bool, value: str | None, revision: int, gone: bool) -> None:
        """Process an answer."""

    def child_started(self) -> None:
        """Note a new child: it knows nothing of earlier questions."""

    def child_ended(self) -> None:
        """Note the end of a child: it answers nothing more."""


class Asking:
    """The broker as the election asks it: a question and its words, as a line for the child."""

    def __init__(self, service: BrokerService) -> None:
        self._service = service

    def ask(
        self,
        number: int,
        what: Literal["get", "swap", "here", "leave", "gone"],
        value: str = "",
        revision: int = 0,
    ) -> bool:
        """Ask. Return False if the question can't be sent; then no answer comes."""
        return self._service.ask(Question(number=number, what=what, value=value, revision=revision))

    def announce(self, epoch: int, active: bool) -> None:
        """Tell the child the tenure."""
        self._service.settle_tenure(Tenure(epoch, active))

    def follow(self, is_standby: bool) -> None:
        """Read the events of the other bridges while this one stands by."""
        self._service.others.follow(is_standby and self._service.shows_others)


@implementer(IBrokerState)
class BrokerService(Service):
    """The child process for the broker.

    :param begin: the configuration of the child.
    :param telemetry: return the mount's telemetry, once the bridge has started; None if there is none.
    :param reactor: the reactor; the global one if None.
    :param desk: make the desk for commands, once the bridge has started, given a function that sends the
        child a line; None without commands.
    :ivar others: the events of the other bridges, for the page.
    """

    name = "mtmount-broker"

    def __init__(
        self,
        begin: Begin,
        log: logging.Logger,
        telemetry: Callable[[], ITelemetry | None] = lambda: None,
        reactor: object = None,
        desk: Callable[[Callable[[Outcome | Stopped], bool]], Desk] | None = None,
    ) -> None:
        self._begin = begin
        self._log = log
        self._find_telemetry = telemetry
        self._telemetry: ITelemetry | None = None
        self._reactor = reactor
        self._supervisor: Supervisor | None = None
        self._limited_log: RateLimitedLog | None = None
        self._settled = 0
        self._sent_settled = 0
        self._sent_lines = 0  # of telemetry
        self._round: IDelayedCall | None = None
        self._state: Pong | None = None
        self._was_connected: bool | None = None  # None before the first answer
        self._lost_at = 0.0
        self.losses: int = 0
        self._losses_of_child = 0
        self._losses: deque[float] = deque(maxlen=UNSTABLE)  # the times of the last ones
        self._make_desk = desk
        self._desk: Desk | None = None
        self._tenure = self._sent_tenure = NO_TENURE
        self._elector: Elector | None = None
        self.others: StreamReading = StreamReading(self._send, lambda: self.problem, lambda: self._clock)

    @property
    def shows_others(self) -> bool:
        """True if the bridges of the mount share their events at the broker."""
        return self._begin.events and self._begin.election

    def _send(self, line: ToChild) -> bool:
        return self._supervisor is not None and self._supervisor.send(line)

    @property
    def _clock(self) -> IReactorTime:
        return cast(IReactorTime, self._reactor)

    def elect(self, elector: Elector) -> None:
        """Pass the answers about the election on. Call it before the start."""
        self._elector = elector

    def ask(self, question: Question) -> bool:
        """Ask the broker. Return False if the question can't be sent; then no answer comes."""
        return self._send(question)

    # IBrokerState

    @property
    def connected(self) -> bool:
        """See `IBrokerState`."""
        return self._state is not None and self._state.connected

    @property
    def problem(self) -> str:
        """See `IBrokerState`."""
        if self._state is None:
            return "the station's process has not answered yet"
        if self._state.problem or not self._is_unstable:
            return self._state.problem
        return f"the connection is lost again and again: {self._state.loss}"

    @property
    def _is_unstable(self) -> bool:
        now = self._clock.seconds()
        return len(self._losses) == UNSTABLE and now - self._losses[0] < UNSTABLE_TIME

    @property
    def ignored(self) -> int:
        """See `IBrokerState`."""
        return 0 if self._state is None else self._state.ignored

    @property
    def full(self) -> list[str]:
        """See `IBrokerState`."""
        return [] if self._state is None else self._state.full

    @property
    def rows(self) -> int:
        """See `IBrokerState`."""
        return 0 if self._state is None else self._state.rows

    @property
    def seconds(self) -> float:
        """See `IBrokerState`."""
        return 0.0 if self._state is None else self._state.seconds

    @property
    def published(self) -> int:
        """See `IBrokerState`."""
        return 0 if self._state is None else self._state.published

    @property
    def telemetry(self) -> int:
        """See `IBrokerState`."""
        return 0 if self._state is None else self._state.telemetry

    @property
    def restarts(self) -> int:
        """See `IBrokerState`."""
        return 0 if self._supervisor is None else self._supervisor.restarts

    @property
    def pid(self) -> int:
        """The number of the child's process; 0 without a child."""
        return 0 if self._supervisor is None else self._supervisor.pid

    def startService(self) -> None:
        """Start the child."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        clock = self._clock
        self._limited_log = RateLimitedLog(clock, self._log)
        self._telemetry = self._find_telemetry() if self._begin.telemetry else None
        self._supervisor = Supervisor(self, self._log, self._reactor)
        if self._make_desk is not None:
            self._desk = self._make_desk(self._supervisor.send)
            self._desk.settle_tenure(self._tenure.active)
        self._supervisor.start()
        if self._telemetry is not None:
            self._round = clock.callLater(TELEMETRY_INTERVAL, self._send_telemetry)

    def settle(self, id: int) -> None:
        """Tell the child that the journal's file has every row up to an id."""
        self._settled = id
        self._send_settled()

    def settle_tenure(self, tenure: Tenure) -> None:
        """Tell the child the tenure, now and after each start of one; take commands while it is active."""
        self._tenure = tenure
        if self._desk is not None:
            self._desk.settle_tenure(tenure.active)
        self._send_tenure()

    def _send_tenure(self) -> None:
        tenure, supervisor = self._tenure, self._supervisor
        if supervisor is not None and tenure != self._sent_tenure and supervisor.send(tenure):
            self._sent_tenure = tenure

    def _send_settled(self) -> None:
        settled, supervisor = self._settled, self._supervisor
        if supervisor is not None and settled > self._sent_settled and supervisor.send(More(settled)):
            self._sent_settled = settled

    def _send_telemetry(self) -> None:
        """Send the latest lines that came since the last round; drop them if the child does not read now."""
        assert self._supervisor is not None and self._telemetry is not None
        self._round = self._clock.callLater(TELEMETRY_INTERVAL, self._send_telemetry)
        if self._telemetry.lines == self._sent_lines:
            return
        lines, size = [], 0
        for line in reversed(self._telemetry.since(self._sent_lines)):
            size += len(line) + 1
            if size > MAX_TELEMETRY:
                break
            lines.append(line.decode("utf-8", "replace"))
        self._sent_lines = self._telemetry.lines
        if lines:
            self._supervisor.send(Telemetry(lines[::-1]))

    # Owner

    def child_started(self) -> None:
        """See `supervisor.Owner`."""
        assert self._supervisor is not None
        self._supervisor.send(self._begin)
        self._sent_settled, self._sent_tenure = 0, NO_TENURE
        self._losses_of_child = 0
        if self._desk is not None:
            self._desk.child_started()  # before the tenure: the child begins to serve with the stops
        self._send_tenure()
        if self._elector is not None:
            self._elector.child_started()
        self.others.child_started()
        self._send_settled()

    def child_ready(self) -> None:
        """See `supervisor.Owner`."""
        if self._tenure != self._sent_tenure:
            self.settle_tenure(self._tenure)  # the last stops go first
        self._send_settled()
        self.others.child_ready()
        if self._desk is not None:
            self._desk.child_ready()

    def child_asked(self, line: OfDesk) -> None:
        """See `supervisor.Owner`."""
        if self._desk is not None:
            self._desk.received(line)

    def child_read(self, line: OfStream) -> None:
        """See `supervisor.Owner`."""
        self.others.received(line)

    def child_replied(self, answer: Answer) -> None:
        """See `supervisor.Owner`."""
        if self._elector is not None:
            self._elector.answered(answer.number, answer.known, answer.value, answer.revision, answer.gone)

    def child_answered(self, pong: Pong) -> None:
        """See `supervisor.Owner`."""
        self.others.note_malformed(pong.malformed)
        assert self._limited_log is not None
        now = self._clock.seconds()
        for name in pong.full if self._state is None else set(pong.full) - set(self._state.full):
            text = "the stream %s has no room: the broker refuses the requests of its user"
            self._limited_log.error(text, name)
        self._state = pong
        losses, self._losses_of_child = pong.losses - self._losses_of_child, pong.losses
        self.losses += losses
        self._losses.extend([now] * min(losses, UNSTABLE))
        if pong.connected == self._was_connected or pong.problem == CONNECTING:
            if losses and pong.connected:
                text = "the connection to the broker was lost, and is up again: %s"
                self._limited_log.warning(text, pong.loss)
            return
        first, self._was_connected = self._was_connected is None, pong.connected
        if not pong.connected:
            self._lost_at = now
            text = "the broker is not connected: %s; the journal keeps the events"
            self._limited_log.warning(text, pong.problem)
        elif first:
            self._limited_log.info("the broker is connected; %d events wait for it", pong.rows)
        else:
            text = "the broker is connected again after %.0f s; %d events wait for it"
            self._limited_log.warning(text, now - self._lost_at, pong.rows)

    def child_ended(self) -> None:
        """See `supervisor.Owner`."""
        self._state = None
        self.others.child_ended()
        if self._elector is not None:
            self._elector.child_ended()

    def close_desk(self) -> None:
        """Disconnect the users of the broker. It may be called twice."""
        if self._desk is not None:
            self._desk.close()

    def finish(self, within: float) -> Deferred[None]:
        """End the child after it has published the rest, once the journal is closed.

        :param within: the time for that, in seconds.
        :returns: fires when the process is gone.
        """
        if self._round is not None and self._round.active():
            self._round.cancel()
        self.others.close()
        assert self._supervisor is not None
        return self._supervisor.stop(within, End())

    def stopService(self) -> Deferred[None]:
        """End the child at once. It may be called twice."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.close_desk()
        return self.finish(0.0)
