"""Send a command and follow it to its end: Ack, then Done, or what went wrong.

`Mount` is the mount as a commander sees it. It reads all that a `Communicator` receives: the
answers go to the command that they answer, the events to whoever subscribed. ::

    mount = Mount(communicator)
    sent = mount.send(AzimuthAxisMove(position=10))
    duration = await sent.acked   # seconds
    await sent.done

Touches the network through that `Communicator` only, and the clock that it is handed. Next to read:
`errors`, for the ways in which a command can end; `replies`, for the events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.python.failure import Failure

from mtmount_twisted.dialects.tma2020.codec import read_end
from mtmount_twisted.dialects.tma2020.commands import Command
from mtmount_twisted.dialects.tma2020.replies import AckReply, Answer, DoneReply, NoAckReply, Reply
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
from mtmount_twisted.net.waiting import Waiters

from .communicator import Communicator

R = TypeVar("R", bound=Reply)

DOUBT_AFTER = 2.0
"""How long after a command nothing at all may have come before the log says what may be wrong, in seconds."""

ACK_TIMEOUT = 5.0
"""How long a command may wait for its Ack, in seconds; a bound of ours."""

LONGEST_TIMEOUT = 86_400.0
"""An Ack that announces more is believed no more than this, in seconds; a bound of ours."""

DONE_MARGIN = 2.0
"""What a client adds to the time-out that an Ack announces, in seconds; from ``protocol-tma2020.rst``."""


class SentCommand:
    """A command that was sent, followed to its end.

    :ivar command: the command.
    :ivar ended: True when nothing more will happen to it.
    """

    def __init__(self, command: Command, deadline: Deadline) -> None:
        self.command = command
        self.ended = False
        self._handed_out = self._asked_for = False
        self._deadline = deadline
        self._duration: float | None = None
        self._error: CommandError | None = None
        self._acked: Waiters[float] = Waiters()
        self._done: Waiters[None] = Waiters()

    @property
    def acked(self) -> Deferred[float]:
        """A new Deferred of the expected duration in seconds, 0 if the Ack names none.

        It fails with a `CommandError` if the command ends with no Ack: `CommandRefused`,
        `CommandTimedOut`, `CommandNotSent` or `CommandOutcomeUnknown`.
        """
        self._asked_for = True
        if self._duration is not None:
            return succeed(self._duration)
        return self._acked.wait() if self._error is None else fail(copy(self._error))

    @property
    def done(self) -> Deferred[None]:
        """A new Deferred that fires with None when the command is done.

        A track command is done when it is acknowledged. It fails with a `CommandError`:
        one that `acked` fails with, or `CommandFailed` or `CommandSuperseded`.
        """
        self._asked_for = True
        if not self.ended:
            return self._done.wait()
        return succeed(None) if self._error is None else fail(copy(self._error))

    if not TYPE_CHECKING:

        def __await__(self) -> NoReturn:
            """Say what can be awaited: a command has two ends, and this is neither."""
            raise TypeError(
                f"{type(self.command).__name__} was sent, and can't be awaited itself: expected"
                " 'await mount.send(command).done', or '.acked' to wait for the Ack alone"
            )

    def _ack(self, duration: float) -> None:
        self._duration = duration
        self._acked.fire(duration)

    def _end(self, error: CommandError | None) -> None:
        self.ended = True
        self._error = error
        if self._deadline.active():
            self._deadline.cancel()
        if error is None:
            self._done.fire(None)
        else:
            self._acked.fail(lambda: copy(error))
            self._done.fail(lambda: copy(error))


class Mount:
    """The mount, as a commander sees it over a `Communicator` that reads replies.

    :param communicator: read by this object alone from now on.
    :param clock: times the answers, an ``IReactorTime``; the communicator's reactor if None.
    :param ack_timeout: how long a command may wait for its Ack, in seconds.
    :raises TypeError: if the communicator is none, or reads commands.
    """

    def __init__(
        self, communicator: Communicator, *, clock: Any = None, ack_timeout: float = ACK_TIMEOUT
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
        self._ack_timeout = ack_timeout
        self._in_flight: dict[int, SentCommand] = {}
        self._subscribers: dict[object, tuple[Callable[[Any], Any], tuple[type[Reply], ...]]] = {}
        self._client_watch: Deferred[None] | None = None
        self._has_heard = False  # since the connections were made
        self._doubt: Deadline | None = None
        reading = communicator.each(self._take, self._on_bad_line, self._on_loss)
        Deferred.fromCoroutine(reading).addCallbacks(
            lambda _: self._lose_all("this side closed the connection"), self._stopped
        )

    @property
    def in_flight(self) -> tuple[SentCommand, ...]:
        """The commands that were sent and did not end yet, oldest first."""
        return tuple(self._in_flight.values())

    def send(self, command: Command) -> SentCommand:
        """Send a command, and follow it.

        A failure is logged if nobody asked for `SentCommand.acked` or `SentCommand.done` until then,
        or until the next turn of the reactor if it comes at once.

        :raises TypeError: if it is no command, such as a command's class.
        :raises ValueError: if a command with the same `sequence_id` is still in flight.
        """
        if not isinstance(command, Command):
            example = command.__name__ if isinstance(command, type) else "AskForCommand"
            raise TypeError(f"command: expected a command such as {example}(...), got {repr(command)[:100]}")
        if command.sequence_id in self._in_flight:
            raise ValueError(f"sequence_id: {command.sequence_id} is in flight already; expected another")
        deadline = Deadline(self._clock, self._ack_timeout, self._time_out, command.sequence_id)
        sent = self._in_flight[command.sequence_id] = SentCommand(command, deadline)
        self.communicator.write(command).addErrback(self._not_written, sent)
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
    def subscribe(self, subscriber: Callable[[Any], Any], /, *kinds: type[Reply]) -> Callable[[], None]: ...

    def subscribe(self, *arguments: Any) -> Callable[[], None]:
        """Call a subscriber with each event: every reply that answers no command.

        ``subscribe(InPositionReply, subscriber)`` is for the events of one class;
        ``subscribe(subscriber)`` for all, and ``subscribe(subscriber, ErrorReply, WarningReply)`` for those
        of several classes.

        :param subscriber: a function that takes the event; may be ``async``. What it raises is logged.
        :returns: a function that unsubscribes.
        :raises TypeError: if the arguments are none of these.
        """
        kinds = tuple(each for each in arguments if isinstance(each, type) and issubclass(each, Reply))
        others = [each for each in arguments if each not in kinds]
        if len(others) != 1 or not callable(others[0]):
            raise TypeError(f"subscribe: expected a class of replies and a function, got {arguments!r}")
        key = object()
        self._subscribers[key] = (others[0], kinds or (Reply,))

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe

    def close(self) -> Deferred[None]:
        """Close the communicator; commands in flight fail with `CommandOutcomeUnknown`.

        :returns: a Deferred that fires with None when the sockets are gone.
        """
        return self.communicator.close()

    def _on_bad_line(self, error: LineError) -> None:
        self._log.warning("%s: %s", self.communicator.name, error)
        end = read_end(error.line)
        if end is not None:
            self._take(end)

    def _on_loss(self, error: ConnectionLostError) -> None:
        self._lose_all(str(error))

    def _watch_client(self) -> None:
        """Notice the loss of the connection that commands go out on, from the first one on."""
        if self._client_watch is None or self._client_watch.called:
            self._client_watch = self.communicator.monitor_client_reader()
            self._client_watch.addCallbacks(lambda _: self._lose_client(), self._stopped)

    def _lose_client(self) -> None:
        why = "the connection that commands are sent on was lost"
        wrong = self.communicator.wrong_port
        self._lose_all(f"{why}: {wrong}" if wrong else why)

    def _stopped(self, reason: Failure) -> None:
        if not reason.check(PairClosedError, ListenError, NotConnectedError):
            self._log.error("%s: no longer reads: %s", self.communicator.name, reason.getTraceback())
        self._lose_all(reason.getErrorMessage())

    def _say_doubt(self) -> None:
        if not self.communicator.wrong_port:  # which was logged as it was found
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
        if not isinstance(reply, Answer):
            self._publish(reply)
            return
        sent = self._in_flight.get(reply.sequence_id)
        if sent is None or reply.source != sent.command.source:
            self._log.info("%s: answers no command in flight: %s", self.communicator.name, reply)
        else:
            _ANSWERED[type(reply)](self, sent, reply)

    def _on_ack(self, sent: SentCommand, reply: AckReply) -> None:
        duration = reply.timeout_ms / 1000
        sent._ack(duration)
        if sent.command.ack_only:
            self._end(sent, None)
        elif not sent.ended:
            sent._deadline.reset(min(duration, LONGEST_TIMEOUT) + DONE_MARGIN)

    def _on_done(self, sent: SentCommand, reply: DoneReply) -> None:
        if sent._duration is None:
            sent._ack(0.0)
        self._end(sent, None)

    def _on_no_ack(self, sent: SentCommand, reply: NoAckReply) -> None:
        kind: type[CommandError] = CommandFailed
        if sent._duration is None:
            kind = CommandRefused
        elif "supersede" in reply.explanation.lower():  # protocol-tma2020.rst has no words for it: a guess
            kind = CommandSuperseded
        self._end(sent, kind(sent.command, reply.explanation))

    def _time_out(self, sequence_id: int) -> None:
        sent = self._in_flight[sequence_id]
        if sent._duration is not None:
            what = f"no Done within {sent._duration:g} s and {DONE_MARGIN:g} s more"
        else:
            what = f"no Ack within {self._ack_timeout:g} s"
            if not self._has_heard:
                what += f"; {self.communicator.why_no_reply}"
        self._end(sent, CommandTimedOut(sent.command, what))

    def _not_written(self, reason: Failure, sent: SentCommand) -> None:
        lost = reason.check(ConnectionLostError, PairClosedError) is not None
        kind = CommandOutcomeUnknown if lost else CommandNotSent
        self._end(sent, kind(sent.command, reason.getErrorMessage()))

    def _lose_all(self, why: str) -> None:
        self._has_heard = False
        for sent in self.in_flight:
            self._end(sent, CommandOutcomeUnknown(sent.command, why))

    def _end(self, sent: SentCommand, error: CommandError | None) -> None:
        if not sent.ended:
            del self._in_flight[sent.command.sequence_id]
            if not self._in_flight:
                self._end_doubt()
            sent._end(error)
            if sent._handed_out:
                self._log_unless_asked_for(sent)

    def _log_unless_asked_for(self, sent: SentCommand) -> None:
        error = sent._error
        if error is not None and not sent._asked_for:
            self._log.warning("%s: %s: %s", self.communicator.name, type(error).__name__, error)

    def _publish(self, event: Reply) -> None:
        for key, (subscriber, kinds) in tuple(self._subscribers.items()):
            if key in self._subscribers and isinstance(event, kinds):
                maybeDeferred(subscriber, event).addErrback(self._subscriber_failed, event)

    def _subscriber_failed(self, reason: Failure, event: Reply) -> None:
        self._log.error(
            "%s: a subscriber failed on %s:\n%s", self.communicator.name, event, reason.getTraceback()
        )


_ANSWERED: dict[type[Reply], Callable[[Mount, SentCommand, Any], None]] = {
    AckReply: Mount._on_ack,
    DoneReply: Mount._on_done,
    NoAckReply: Mount._on_no_ack,
}
