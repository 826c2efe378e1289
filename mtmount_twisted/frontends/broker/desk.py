"""`Desk`: the users of the broker as clients of the bridge, and their commands: the daemon's side.

A user is a commander by the rules of the web: connected from its first command until it is absent, with the
lease, the time of grace and the stops of a commander that is gone. The child hands over a command once it has
claimed the command at the broker, and a stop before that. The desk sends each id once, and keeps the outcome
until the child says that the broker has it. It does no I/O and never waits for the broker. Next to read:
``station.desk``, the child's side; ``web.api.commanders``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.frontends.web.api.command_tracker import CommandTracker, TrackedCommand
from mtmount_twisted.frontends.web.api.commanders import Commanders, Given, given_in
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.calls import RequestError, User
from mtmount_twisted.interfaces import IBridge, IEventBus
from mtmount_twisted.net.rate_limited_log import RateLimitedLog
from mtmount_twisted.records import CommandRecord

from .words import (
    NO_STOP,
    Command,
    OfDesk,
    Outcome,
    Recall,
    Seen,
    StationUser,
    Stopped,
    Written,
    moment,
)

MOST_KEPT = 64
"""The largest number of commands of one user that are kept: commands in flight, and commands with an outcome
that the broker lacks."""

STOPS_INTERVAL = 0.01
"""The shortest time between two lines to the child about stops, in seconds: a flood of stops delays no other
line."""

WAIT = 3600.0
"""The time of one wait for the end of a command, in seconds; then the desk waits again."""

STANDBY = "not sent: standby"
TOO_OLD = "not sent: too old"
OVERTAKEN = "not sent: overtaken by a stop"
UNKNOWN = "outcome unknown: the process for the broker ended before it wrote the outcome"
FAILED = "outcome unknown: the bridge failed; its log has the error"

_REASONS = {403: "refused", 409: "refused", 422: "malformed", 429: "busy", 503: "not sent"}
"""The beginning of the explanation of a request that is rejected, by its status."""


@dataclass(slots=True, eq=False)
class _Kept:
    """A command that the child has handed over.

    :ivar outcome: its outcome; None while it is in flight.
    :ivar is_told: True once the child has the outcome.
    """

    outcome: Outcome | None = None
    is_told: bool = False


class Desk:
    """The users of the broker.

    :param send: sends the child a line; return False if the child does not read now.
    :param absent_after: the time without a request after which a user is absent, in seconds.
    :param now: return the time on the clock that the child shares (`words.moment`).
    :ivar active: True while the bridge takes commands from the broker; see `settle_tenure`.
    """

    def __init__(
        self,
        bridge: IBridge,
        bus: IEventBus,
        users: Iterable[StationUser],
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        log: logging.Logger,
        absent_after: float,
        send: Callable[[Outcome | Stopped], bool],
        now: Callable[[], float] = moment,
    ) -> None:
        self.active: bool = False
        self._bus = bus
        self._log = log
        self._limited_log = RateLimitedLog(clock, log)
        self._send = send
        self._now = now
        self._lives = CommandTracker(bus, bridge.dialect, clock, Stamps(clock, wall_clock))
        self._commanders = Commanders(bridge, self._lives, clock, log, absent_after)
        self._users = {
            user.name: User(
                user.name,
                frozenset(["command"] if user.role == "command" else ["observe"]),
                Source[user.source],
                front="broker",
            )
            for user in users
        }
        self._names = {user.commander for user in self._users.values()}
        self._kept: dict[str, dict[str, _Kept]] = {name: {} for name in self._users}
        self._stops: dict[tuple[str, int], Command] = {}  # our stops
        self._stopped = self._told_stopped = NO_STOP
        self._clock = clock
        self._pause: IDelayedCall | None = None  # before the next line about stops
        self._closed = False
        bus.subscribe(self._step, CommandRecord, unbounded=True)

    def _step(self, record: CommandRecord, number: int) -> None:
        """Note each stop that the bridge has accepted."""
        if record.step != "received" or not self._commanders.dialect.kind_of(record.code).is_stop:
            return
        ours = self._stops.get((record.peer, record.sequence_id)) if record.peer in self._names else None
        now = self._now()
        before = self._stopped
        self._stopped = Stopped(
            read_at=max(before.read_at, now if ours is None else ours.read_at),
            stored_at=max(before.stored_at, now if ours is None else ours.stored_at),
        )
        self._tell_stops()

    def _tell_stops(self) -> None:
        """Tell the child the last stops. The next bridge does not know them, so the child at once ends the
        requests that they overtake."""
        if self._stopped == self._told_stopped or (self._pause is not None and self._pause.active()):
            return
        if self._send(self._stopped):
            self._told_stopped = self._stopped
            self._pause = self._clock.callLater(STOPS_INTERVAL, self._tell_stops)

    def _end_pause(self) -> None:
        if self._pause is not None and self._pause.active():
            self._pause.cancel()

    def received(self, line: OfDesk) -> None:
        """Process a line of the child."""
        if line.user not in self._users:
            return
        match line:
            case Command():
                self._command(line)
            case Recall(user, id):
                kept = self._kept[user].get(id)
                if kept is None:
                    self._keep(user, id, _outcome(user, id, UNKNOWN))
                elif kept.outcome is not None:
                    self._tell(kept)
            case Written(user, id):
                self._kept[user].pop(id, None)
            case Seen(user):
                self._commanders.seen(self._users[user])

    def child_started(self) -> None:
        """Tell a new child the last stops, before it serves."""
        self._told_stopped = NO_STOP
        self.settle_tenure(self.active)

    def settle_tenure(self, active: bool) -> None:
        """Take commands from the broker, or take no more. Send the last stops first: the child then ends the
        overtaken requests before the end of its session."""
        self.active = active
        self._end_pause()
        if not self._closed:
            self._tell_stops()

    def child_ready(self) -> None:
        """Send the child the stops and the outcomes that it did not take."""
        self._tell_stops()
        for kept in [each for user in self._kept.values() for each in user.values()]:
            if kept.outcome is not None and not kept.is_told:
                self._tell(kept)

    # Commands

    def _command(self, told: Command) -> None:
        kept = self._kept[told.user].get(told.id)
        if kept is not None:  # the same id is sent only once
            if kept.outcome is not None:
                self._tell(kept)
            return
        why = self._why_not(told)
        if why:
            self._keep(told.user, told.id, _outcome(told.user, told.id, why))
            return
        self._kept[told.user][told.id] = _Kept()
        user = self._users[told.user]
        try:
            life = self._commanders.send(user, partial(self._given, told, user))
        except RequestError as error:
            self._keep(told.user, told.id, _outcome(told.user, told.id, _said(error)))
            return
        except Exception:
            self._failed(Failure(), told)
            return
        finally:
            self._stops.clear()
        Deferred.fromCoroutine(self._end(told, life)).addErrback(self._failed, told)

    def _why_not(self, told: Command) -> str:
        """Return the reason why a command is not passed to the bridge; empty if it is passed."""
        kept = self._kept[told.user]
        if self._closed:
            return "not sent: the bridge ends"
        if not self.active:
            return STANDBY
        if self._now() > told.until:
            return TOO_OLD
        if len(kept) >= MOST_KEPT and not self._forget_one(kept):
            return f"busy: {MOST_KEPT} commands of {told.user} are in flight"
        return ""

    def _forget_one(self, kept: dict[str, _Kept]) -> bool:
        """Forget the oldest outcome that the child has. Return False if there is none."""
        for id, each in kept.items():
            if each.is_told:
                del kept[id]
                return True
        return False

    def _given(self, told: Command, user: User, sequence_id: int) -> Given:
        """Return a command for the controller.

        :raises RequestError: if it is malformed, or a later stop has overtaken it.
        """
        dialect = self._commanders.dialect
        given = given_in(told.body, user, dialect, sequence_id)
        kind = dialect.kind_of(given.command.command_code) if given.header is None else given.header.kind
        if kind.is_stop:
            self._stops[user.commander, sequence_id] = told
        elif not kind.is_ask and self._stopped.overtakes(told.read_at, told.stored_at):
            raise RequestError(409, OVERTAKEN)  # the child did not know the stop yet
        return given

    async def _end(self, told: Command, life: TrackedCommand) -> None:
        """Keep the outcome of a command once it has ended."""
        while not await self._lives.wait(life, "done", WAIT):
            if self._closed:
                break
        shape = life.shape()
        state, explanation = shape.state, shape.explanation
        if not life.ended:
            state, explanation = "outcome_unknown", "outcome unknown: the bridge ends"
        steps = [{"step": each.step, "time": each.time} for each in shape.steps]
        text = explanation.encode("utf-8", "replace").decode()  # a line of JSON can have nothing else
        outcome = Outcome(user=told.user, id=told.id, state=state, explanation=text, steps=steps)
        self._keep(told.user, told.id, outcome)

    def _failed(self, reason: Failure, told: Command) -> None:
        """Give a command an outcome after an unexpected error: it may be sent."""
        self._log.error("a command of the broker failed: %s", reason.getTraceback())
        self._keep(told.user, told.id, _outcome(told.user, told.id, FAILED))

    def _keep(self, user: str, id: str, outcome: Outcome) -> None:
        kept = self._kept[user].setdefault(id, _Kept())
        kept.outcome, kept.is_told = outcome, False
        self._tell(kept)

    def _tell(self, kept: _Kept) -> None:
        assert kept.outcome is not None
        kept.is_told = self._send(kept.outcome)

    def close(self) -> None:
        """Disconnect all users, and take no more commands. It can be called twice."""
        if not self._closed:
            self.settle_tenure(False)
            self._closed = True
            self._bus.unsubscribe(self._step)
            self._end_pause()
            self._commanders.close()
            self._lives.close()


def _outcome(user: str, id: str, why: str) -> Outcome:
    """Return the outcome of a command that the bridge did not send."""
    return Outcome(user=user, id=id, state=why.partition(":")[0].replace(" ", "_"), explanation=why)


def _said(error: RequestError) -> str:
    """Return the reason of a rejected request, with one of the bridge's beginnings."""
    text = "; ".join(f"{fault.where}: {fault.why}" for fault in error.faults[:10]) or str(error)
    reason = _REASONS.get(error.status, "refused")
    return text if text.startswith(("refused:", "busy:", "not sent:")) else f"{reason}: {text}"
