"""Effects: all that the bridge decides to do, as values, and `Performer`, the one loop that does it.

The deciding parts (`core`, `arbiter`, `dispatcher`, `registry`) append effects to one list, and act on
nothing: no client, link, timer, log or subscriber runs while they decide. `Performer` performs the effects in
the order of the list. An effect may call the bridge again, for example if a send cuts off a slow consumer.
The bridge then decides at once, on a consistent state, and the new effects wait at the end of the list.

A `records.Record` is also an effect: the performer publishes it.

Next to read: `core`, which fills the list and calls `Performer.perform` after each decision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeVar, cast

from msgspec import Struct
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.dialects.dialect import CommandEnvelope
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

from .event_bus import EventBus
from .pending import PendingCommand


class Timer(Enum):
    """The timers of the bridge. Each runs at most once at a time."""

    SWEEP = "sweep"
    """It ends with a check of the deadlines of all pending commands."""
    GRACE = "grace"
    """It ends with the time of grace of a holder that is gone."""
    HEARTBEAT = "heartbeat"
    """It ends with a heartbeat to the controller."""
    SILENCE = "silence"
    """It ends when the holder has sent no heartbeat for too long."""
    REPEATS = "repeats"
    """It ends with the records that count the events that changed nothing."""
    OBSERVERS = "observers"
    """It ends with lines for the next few observers."""
    COMMANDERS = "commanders"
    """It ends with the event that names the holder, for the next few commanders."""
    QUESTIONS = "questions"
    """It ends with the answers to the next few questions for state or settings."""


class SendToClient(Struct, gc=False):
    """Send whole lines to a client, terminators included."""

    client: IClient
    data: bytes


class SendToClients(Struct, gc=False):
    """Send the same lines to several clients: one effect, because an event may go to a thousand."""

    clients: list[IClient]
    data: bytes


class SendUpstream(Struct, gc=False):
    """Send a command to the controller, terminator included, unless the connection of this epoch is lost."""

    epoch: int
    data: bytes


class Continue(Struct, gc=False):
    """Dispatch the second of two commands that the translation has made of a client's command.

    :ivar after: the first one, which has succeeded.
    """

    after: PendingCommand
    header: CommandEnvelope


class Dismiss(Struct, gc=False):
    """Close the connection of a client because of an offence."""

    client: IClient
    why: str


class SetTimer(Struct, gc=False):
    """Start a timer, which must not run yet, for some seconds."""

    timer: Timer
    seconds: float


class CancelTimer(Struct, gc=False):
    """Stop a timer. If it does not run, do nothing."""

    timer: Timer


class Log(Struct, gc=False):
    """Write a log line.

    :ivar burst: the largest number of lines with this text in a minute (see `net.rate_limited_log`); 0 for no
        limit.
    :ivar fields: the fields of the event; see `net.logs.FIELDS`.
    """

    level: int
    text: str
    arguments: tuple[object, ...]
    burst: int = 0
    fields: Mapping[str, object] | None = None


Effect = (
    Record | SendToClient | SendToClients | SendUpstream | Continue | Dismiss | SetTimer | CancelTimer | Log
)

E = TypeVar("E")


class Performer:
    """Perform the effects of a list, in its order.

    :param effects: the list that the deciding parts append to; `perform` empties it.
    :param clock: an ``IReactorTime`` with monotonic `seconds`.
    :param bus: publishes the records.
    :param send_upstream: performs a `SendUpstream`.
    :param go_on: performs a `Continue`.
    :param timer_ended: called with each timer that ends.
    :param send_failed: called with a client if its `send` raised, and the reason to cut it off.
    :ivar table: the function that performs an effect, by the type of the effect.
    :ivar is_performing: True inside `perform`.
    """

    def __init__(
        self,
        effects: list[Effect],
        clock: IReactorTime,
        log: logging.Logger,
        bus: EventBus,
        send_upstream: Callable[[SendUpstream], None],
        go_on: Callable[[Continue], None],
        timer_ended: Callable[[Timer], None],
        send_failed: Callable[[IClient, str], None],
    ) -> None:
        self.table: dict[type[object], Callable[[Effect], None]] = {}
        self.is_performing: bool = False
        self._effects = effects
        self._clock = clock
        self._log = log
        self._limited_logs: dict[int, RateLimitedLog] = {}
        self._timer_ended = timer_ended
        self._send_failed = send_failed
        self._failed: set[str] = set()  # the names of the clients whose `send` raised in this `perform`
        self._timers: dict[Timer, IDelayedCall] = {}
        for kind in (LineRecord, CommandRecord, ChangeRecord):
            self.table[kind] = cast(Callable[[Effect], None], bus.publish)
        self._performs(SendUpstream, send_upstream)
        self._performs(Continue, go_on)
        self._performs(SendToClient, self._send_to_client)
        self._performs(SendToClients, self._send_to_clients)
        self._performs(Dismiss, self._dismiss)
        self._performs(SetTimer, self._set_timer)
        self._performs(CancelTimer, self._cancel_timer)
        self._performs(Log, self._write_log)

    def _performs(self, kind: type[E], act: Callable[[E], None]) -> None:
        self.table[kind] = cast(Callable[[Effect], None], act)

    def perform(self) -> None:
        """Perform all effects, also those that the bridge decides during the performance. A call inside
        another call does nothing.

        An error in one effect is logged, and the others are performed. It is not raised, because it would end
        the connection whose line caused the effect, and that may be the controller's.
        """
        if self.is_performing:
            return
        self.is_performing = True
        table, rest = self.table, iter(self._effects)
        while True:
            try:
                for effect in rest:  # it goes on with the effects that are appended meanwhile
                    table[type(effect)](effect)
                break
            except Exception:
                log = self._limited_log(A_FEW)
                log.exception("the bridge failed to perform an effect: %s", type(effect).__name__)
        self._effects.clear()
        self._failed.clear()
        self.is_performing = False

    def _send_to_client(self, effect: SendToClient) -> None:
        try:
            effect.client.send(effect.data)
        except Exception:
            self._cut_off(effect.client)

    def _send_to_clients(self, effect: SendToClients) -> None:
        data = effect.data
        for client in effect.clients:
            try:
                client.send(data)
            except Exception:
                self._cut_off(client)

    def _cut_off(self, client: IClient) -> None:
        """Log that the `send` of a client raised, and cut the client off: once for all lines of a list."""
        if client.name not in self._failed:
            self._failed.add(client.name)
            log = self._limited_log(A_FEW)
            log.exception("%s: cut off: an error in sending to it", client.name)
            self._send_failed(client, "an error in sending to it")

    def _dismiss(self, effect: Dismiss) -> None:
        effect.client.dismiss(effect.why)

    def _set_timer(self, effect: SetTimer) -> None:
        timer, seconds = effect.timer, effect.seconds
        if timer in (
            Timer.OBSERVERS,
            Timer.COMMANDERS,
        ):  # they judge no peer, and a `Deadline` takes a turn more
            self._timers[timer] = self._clock.callLater(seconds, self._end_timer, timer)
        else:
            self._timers[timer] = Deadline(self._clock, seconds, self._end_timer, timer)

    def _end_timer(self, timer: Timer) -> None:
        del self._timers[timer]
        self._timer_ended(timer)

    def _cancel_timer(self, effect: CancelTimer) -> None:
        timer = self._timers.pop(effect.timer, None)
        if timer is not None:
            timer.cancel()

    def _write_log(self, effect: Log) -> None:
        if not effect.burst:
            self._log.log(effect.level, effect.text, *effect.arguments, extra=effect.fields)
            return
        log = self._limited_log(effect.burst)
        log.log(effect.level, effect.text, *effect.arguments, extra=effect.fields)

    def _limited_log(self, burst: int) -> RateLimitedLog:
        log = self._limited_logs.get(burst)
        if log is None:
            log = self._limited_logs[burst] = RateLimitedLog(self._clock, self._log, burst)
        return log
