"""`Mount`: send a command and follow it to its end, which is Done or an error.

`Mount` is a commander's view of the mount. It reads all replies that a `Communicator` receives. It passes
each answer to its command, and each event to the subscribers. ::

    mount = Mount(communicator)
    sent = mount.send(AzimuthAxisMove(position=10))
    duration = await sent.acked   # seconds
    await sent.done

It speaks the dialect of its `Communicator`, and uses the network only through it. Next to read: `errors`, for
the ways in which a command can end; `heartbeat`; the ``replies`` of each dialect, for the events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import copy
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mtmount_twisted.dialects.dialect import Meaning, Outcome
from mtmount_twisted.errors import (
    CommandError,
    CommandFailed,
    CommandNotSent,
    CommandOutcomeUnknown,
    CommandRefused,
    CommandSuperseded,
    CommandTimedOut,
    ConnectionLostError,
    LineError,
    ListenError,
    NotConnectedError,
    PairClosedError,
)
from mtmount_twisted.net.arguments import check_type
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.machines import next_state
from mtmount_twisted.net.waiting import Waiters
from mtmount_twisted.wire.messages import CommandMessage

from .communicator import Communicator
from .heartbeat import Heartbeat

R = TypeVar("R")

DOUBT_AFTER = 2.0
"""Time after a command, in seconds. If no reply at all arrives within it, the log names the likely
mistake."""

LONGEST_TIMEOUT = 86_400.0
"""Longest time-out accepted from an Ack, in seconds; a longer one is cut to it. The bound is our own."""


class CommandState(Enum):
    """State of a `SentCommand`. A command that the mount rejects ends without an Ack."""

    SENT = "sent"
    ACKED = "acked"
    ENDED = "ended"


SENT, ACKED, ENDED = CommandState

_TABLE = {SENT: (ACKED, ENDED), ACKED: (ACKED, ENDED), ENDED: ()}


class SentCommand:
    """A command that was sent, followed to its end.

    :ivar command: the command.
    """

    def __init__(self, command: CommandMessage, deadline: Deadline) -> None:
        self.command = command
        self._state = SENT
        self._handed_out = self._asked_for = False
        self._deadline = deadline
        self._duration: float | None = None
        self._expected = 0.0
        self._error: CommandError | None = None
        self._acked: Waiters[float] = Waiters()
        self._done: Waiters[None] = Waiters()

    @property
    def ended(self) -> bool:
        """True once the command has ended."""
        return self._state is ENDED

    @property
    def acked(self) -> Deferred[float]:
        """A new Deferred that fires with the expected duration in seconds; 0 if the Ack announces none.

        If the command ends without an Ack, the Deferred fails with a `CommandError`: `CommandRefused`,
        `CommandTimedOut`, `CommandNotSent` or `CommandOutcomeUnknown`.
        """
        self._asked_for = True
        if self._duration is not None:
            return succeed(self._duration)
        return self._acked.wait() if self._error is None else fail(copy(self._error))

    @property
    def done(self) -> Deferred[None]:
        """A new Deferred that fires with None when the command is done.

        A track command is done when it is acknowledged. The Deferred fails with a `CommandError`: one of the
        errors of `acked`, `CommandFailed` or `CommandSuperseded`.
        """
        self._asked_for = True
        if not self.ended:
            return self._done.wait()
        return succeed(None) if self._error is None else fail(copy(self._error))

    if not TYPE_CHECKING:

        def __await__(self) -> NoReturn:
            """Raise an error that names the two Deferreds: `await` on the command itself is ambiguous."""
            raise TypeError(
                f"{type(self.command).__name__} was sent, and can't be awaited itself: expected"
                " 'await mount.send(command).done', or '.acked' to wait for the Ack alone"
            )

    @property
    def _is_acked(self) -> bool:
        return self._state is ACKED

    def _ack(self, duration: float) -> None:
        self._state = next_state(_TABLE, self._state, ACKED)
        self._duration = duration
        self._acked.fire(duration)

    def _end(self, error: CommandError | None) -> None:
        self._state = next_state(_TABLE, self._state, ENDED)
        self._error = error
        if self._deadline.active():
            self._deadline.cancel()
        if error is None:
            self._done.fire(None)
        else:
            self._acked.fail(lambda: copy(error))
            self._done.fail(lambda: copy(error))


class Mount:
    """A commander's view of the mount, over a `Communicator` that reads replies.

    While this commander has command of a tma2022 mount, the heartbeat is sent every second. It
    begins at the end of an ``AskForCommand``, and ends if the commander gives command up, if the mount says
    that another one has command, and with `close`. It pauses while the connection is lost.

    :param communicator: the connection. From now on only this object may read from it.
    :param clock: clock for the time-outs, an ``IReactorTime``; the communicator's reactor if None.
    :param ack_timeout: longest wait for the Ack of every command, in seconds; None for the waits of the
        dialect's `Deadlines`.
    :param unknown_timeout: the expected duration of a command if its Ack announces none, in seconds; None for
        the dialect's: 300 s.
    :raises TypeError: if `communicator` is not a `Communicator`, or if it reads commands.
    """

    def __init__(
        self,
        communicator: Communicator,
        *,
        clock: IReactorTime | None = None,
        ack_timeout: float | None = None,
        unknown_timeout: float | None = None,
    ) -> None:
        check_type(
            "communicator",
            communicator,
            "a Communicator that reads replies",
            lambda given: isinstance(given, Communicator) and given.read_replies,
        )
        self.communicator = communicator
        self._log: logging.Logger = communicator.log
        self._clock = communicator.reactor if clock is None else clock
        self._dialect = communicator.dialect
        self._deadlines = self._dialect.deadlines.overridden(ack_timeout, None, unknown_timeout)
        self._heartbeat = Heartbeat(communicator, self._clock)
        self._in_flight: dict[int, SentCommand] = {}
        self._subscribers: dict[object, tuple[Callable[[Any], Any], tuple[type[Any], ...]]] = {}
        self._client_watch: Deferred[None] | None = None
        self._has_heard = False  # since the connections came up
        self._doubt: Deadline | None = None
        reading = communicator.each(self._take, self._on_bad_line, self._on_loss)
        Deferred.fromCoroutine(reading).addCallbacks(
            lambda _: self._end_all("this side closed the connection"), self._stopped
        )

    @property
    def in_flight(self) -> tuple[SentCommand, ...]:
        """The commands that were sent and have not ended, oldest first."""
        return tuple(self._in_flight.values())

    @property
    def has_command(self) -> bool:
        """True while this commander has command of a mount that expects its heartbeat, as far as is known."""
        return self._heartbeat.is_on

    def send(self, command: CommandMessage) -> SentCommand:
        """Send a command and follow it.

        If the command has no sequence id or no timestamp, as a command of tma2022 may, it gets one; the
        result's `command` has it. A heartbeat is done when it is written.

        A failure is logged if no caller has used `SentCommand.acked` or `SentCommand.done` by then. If the
        command fails at once, the caller has until the next turn of the reactor.

        :raises TypeError: if `command` is not a command, but for example a command's class.
        :raises ValueError: if a command with the same `sequence_id` is in flight.
        """
        if not isinstance(command, self._dialect.messages[0]):
            example = command.__name__ if isinstance(command, type) else "AskForCommand"
            raise TypeError(f"command: expected a command such as {example}(...), got {repr(command)[:100]}")
        sending = self._dialect.completed(command)
        while sending is not command and sending.sequence_id in self._in_flight:
            sending = self._dialect.completed(command)
        if sending.sequence_id in self._in_flight:
            raise ValueError(f"sequence_id: {sending.sequence_id} is in flight already; expected another")
        kind = self._dialect.kind_of(sending.command_code)
        seconds = self._deadlines.ack_of(kind.code)
        deadline = Deadline(self._clock, seconds, self._time_out, sending.sequence_id)
        sent = self._in_flight[sending.sequence_id] = SentCommand(sending, deadline)
        if kind.is_ask:
            self._heartbeat.asking(sending)
        written = self.communicator.write(sending)
        written.addCallbacks(
            lambda _: self._end(sent, None) if kind.is_heartbeat else None,
            self._not_written,
            errbackArgs=(sent,),
        )
        self._watch_client()
        if not (sent.ended or self._has_heard or self._doubt):
            self._doubt = Deadline(self._clock, DOUBT_AFTER, self._say_doubt)
        if sent.ended:
            self._clock.callLater(0, self._log_unless_asked_for, sent)
        sent._handed_out = True
        return sent

    @overload
    def subscribe(self, kind: type[R], subscriber: Callable[[R], Any], /) -> Callable[[], None]: ...

    @overload
    def subscribe(self, subscriber: Callable[[Any], Any], /, *kinds: type[Any]) -> Callable[[], None]: ...

    def subscribe(self, *arguments: Any) -> Callable[[], None]:
        """Call a subscriber with each event. An event is a reply that answers no command.

        ``subscribe(InPositionReply, subscriber)`` selects the events of one class,
        ``subscribe(subscriber, ErrorReply, WarningReply)`` those of several classes, and
        ``subscribe(subscriber)`` all events.

        :param subscriber: a function with the event as its argument; it may be ``async``. Its exceptions are
            logged.
        :returns: a function that ends the subscription.
        :raises TypeError: if the arguments have none of these forms.
        """
        base = self._dialect.messages[1]
        kinds = tuple(each for each in arguments if isinstance(each, type) and issubclass(each, base))
        others = [each for each in arguments if each not in kinds]
        if len(others) != 1 or not callable(others[0]):
            raise TypeError(f"subscribe: expected a class of replies and a function, got {arguments!r}")
        key = object()
        self._subscribers[key] = (others[0], kinds or (base,))

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe

    def close(self) -> Deferred[None]:
        """Close the communicator. Commands in flight fail with `CommandOutcomeUnknown`.

        :returns: a Deferred that fires with None when the sockets are gone.
        """
        self._heartbeat.stop()
        return self.communicator.close()

    def _on_bad_line(self, error: LineError) -> None:
        self._log.warning("%s: %s", self.communicator.name, error)
        end = self._dialect.read_end(error.line)
        if end is not None:
            self._take(end)

    def _on_loss(self, error: ConnectionLostError) -> None:
        self._lose_all(str(error))

    def _watch_client(self) -> None:
        """Watch for the loss of the connection that carries the commands, from the first command on."""
        if self._client_watch is None or self._client_watch.called:
            self._client_watch = self.communicator.monitor_client_reader()
            self._client_watch.addCallbacks(lambda _: self._lose_client(), self._stopped)

    def _lose_client(self) -> None:
        why = "the connection that commands are sent on was lost"
        wrong = self.communicator.wrong_port
        self._lose_all(f"{why}: {wrong}" if wrong else why)

    def _stopped(self, reason: Failure) -> None:
        if not reason.check(PairClosedError, ListenError, NotConnectedError):
            self._log.error("%s: reading failed: %s", self.communicator.name, reason.getTraceback())
        self._end_all(reason.getErrorMessage())

    def _say_doubt(self) -> None:
        if not self.communicator.wrong_port:  # a wrong port has been logged already
            text = "%s: no reply within %g s: %s"
            self._log.warning(text, self.communicator.name, DOUBT_AFTER, self.communicator.why_no_reply)

    def _end_doubt(self) -> None:
        if self._doubt is not None and self._doubt.active():
            self._doubt.cancel()
        self._doubt = None

    def _take(self, reply: Any) -> None:
        if not self._has_heard:
            self._has_heard = True
            self._end_doubt()
        outcome = self._dialect.outcome_of(reply)
        if outcome is None:
            self._heartbeat.heard(self._dialect.actual_commander(reply))
            self._publish(reply)
            return
        sent = self._in_flight.get(outcome.sequence_id)
        if sent is None or outcome.source not in (
            None,
            sent.command.source,
        ):  # late, or another commander's
            self._log.info("%s: reply to no command in flight: %s", self.communicator.name, reply)
        else:
            self._answered(sent, outcome)

    def _answered(self, sent: SentCommand, outcome: Outcome) -> None:
        meaning = outcome.meaning
        if sent._is_acked and outcome.after_ack is not None:
            meaning = outcome.after_ack
        if meaning is Meaning.ACKNOWLEDGED:
            sent._ack(outcome.timeout or 0.0)
            if sent.command.ack_only:
                self._end(sent, None)
            elif not sent.ended:
                sent._expected = min(self._deadlines.announced(outcome.timeout), LONGEST_TIMEOUT)
                sent._deadline.reset(sent._expected + self._deadlines.done_margin)
        elif meaning is Meaning.SUCCEEDED:
            if not sent._is_acked:
                sent._ack(0.0)
            self._end(sent, None)
        else:
            self._end(sent, _ERRORS[meaning](sent.command, outcome.explanation))

    def _time_out(self, sequence_id: int) -> None:
        sent = self._in_flight[sequence_id]
        if sent._is_acked:
            what = f"no Done within {sent._expected:g} s and {self._deadlines.done_margin:g} s more"
        else:
            what = f"no Ack within {self._deadlines.ack_of(sent.command.command_code):g} s"
            if not self._has_heard:
                what += f"; {self.communicator.why_no_reply}"
        self._end(sent, CommandTimedOut(sent.command, what))

    def _not_written(self, reason: Failure, sent: SentCommand) -> None:
        lost = reason.check(ConnectionLostError, PairClosedError) is not None
        kind = CommandOutcomeUnknown if lost else CommandNotSent
        self._end(sent, kind(sent.command, reason.getErrorMessage()))

    def _end_all(self, why: str) -> None:
        self._heartbeat.stop()
        self._lose_all(why)

    def _lose_all(self, why: str) -> None:
        self._has_heard = False
        for sent in self.in_flight:
            self._end(sent, CommandOutcomeUnknown(sent.command, why))

    def _end(self, sent: SentCommand, error: CommandError | None) -> None:
        if not sent.ended:
            del self._in_flight[sent.command.sequence_id]
            if not self._in_flight:
                self._end_doubt()
            if error is None and self._dialect.kind_of(sent.command.command_code).is_ask:
                self._heartbeat.asked(sent.command)
            sent._end(error)
            if sent._handed_out:
                self._log_unless_asked_for(sent)

    def _log_unless_asked_for(self, sent: SentCommand) -> None:
        error = sent._error
        if error is not None and not sent._asked_for:
            self._log.warning("%s: %s: %s", self.communicator.name, type(error).__name__, error)

    def _publish(self, event: Any) -> None:
        for key, (subscriber, kinds) in tuple(self._subscribers.items()):
            if key in self._subscribers and isinstance(event, kinds):
                maybeDeferred(subscriber, event).addErrback(self._subscriber_failed, event)

    def _subscriber_failed(self, reason: Failure, event: Any) -> None:
        self._log.error(
            "%s: a subscriber failed on %s:\n%s", self.communicator.name, event, reason.getTraceback()
        )


_ERRORS: dict[Meaning, type[CommandError]] = {
    Meaning.REJECTED: CommandRefused,
    Meaning.FAILED: CommandFailed,
    Meaning.SUPERSEDED: CommandSuperseded,
}
