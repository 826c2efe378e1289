"""The state of each command that was sent through the web, and the requests that wait for it.

`CommandTracker` receives each step from the event bus, and finds the command by its commander and sequence
id. A step comes in the middle of the bridge's work, so the tracker notifies waiting requests in a later turn
of the reactor. A life is the record of one command. The tracker keeps the last 10,000 lives of each
commander, and as many more with a key of the sender. The ids of one daemon never come again in another. This
module does no I/O and knows no HTTP.

Next to read: `commanders`, which sends the commands.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.answers import Life, StepTaken
from mtmount_twisted.interfaces import IEventBus
from mtmount_twisted.journal.schema import is_end
from mtmount_twisted.net.deadlines import FairClock
from mtmount_twisted.net.waiting import Waiters
from mtmount_twisted.records import CommandRecord
from mtmount_twisted.wire.lines import SHOWN_BYTES
from mtmount_twisted.wire.messages import CommandMessage

from .command_body import parameters_of

Until = Literal["ack", "done"]
"""The goal of a wait: the Ack of a command, or its end. An end reaches both goals."""

MAX_LIVES = 10_000
"""The largest number of lives of one commander. If there are more, the tracker drops the life that ended
longest ago. The tracker keeps the lives of pending commands, and the bridge bounds their number. Lasting
lives are counted apart (`Kept`)."""

LASTING = 3600.0
"""The time that a key is valid after the end of its command, in seconds. Until then the tracker never drops
the life of a command that may have moved the mount; afterwards the key sends a new command."""

MAX_STEPS = 16
"""The largest number of steps of one command that are kept. A mount may repeat its Ack without end."""

NEVER_SENT = frozenset(("refused", "busy", "malformed", "not_sent"))
"""The outcomes of commands that the bridge did not send to the mount."""

_GOING_ON = {"received": "open", "sent": "open", "ack": "acked"}
_ENDED = {"local": "done"}


class Key(NamedTuple):
    """The sender's key of a command, which makes it harmless to send the command again.

    :ivar digest: the digest of the request, which distinguishes a repeated request from another.
    """

    text: str
    digest: bytes


@dataclass(slots=True, eq=False)
class TrackedCommand:
    """A command and its state.

    :ivar dialect: the protocol of the command.
    :ivar commander: the name of the sender in the bridge.
    :ivar state: ``open``, ``acked``, or the outcome.
    :ivar steps: the name of each step, and its time by the clock and as recorded (s).
    :ivar stamps: converts the times of the steps.
    :ivar ack_timeout: the time to Done that the last Ack announced, in seconds; None without an Ack.
    :ivar key: the key by which the sender finds the command again, or None.
    :ivar ended_at: the moment of the end (clock, s); None while the command is pending.
    :ivar waiters: the waiting requests, by goal.
    """

    id: str
    command: CommandMessage
    dialect: Dialect
    commander: str
    stamps: Stamps
    key: Key | None = None
    state: str = "open"
    explanation: str = ""
    steps: list[tuple[str, float, float]] = field(default_factory=list)
    ack_timeout: float | None = None
    ended_at: float | None = None
    waiters: dict[Until, Waiters[bool]] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """True if the command has ended."""
        return self.state not in _GOING_ON.values()

    def reached(self, until: Until) -> bool:
        """Return True if the command has reached the goal of a wait."""
        return self.ended or (until == "ack" and self.state == "acked")

    def shape(self) -> Life:
        """Return the life in the shape of the API."""
        return Life(
            id=self.id,
            command=type(self.command).__name__,
            parameters=parameters_of(self.command, self.dialect),
            commander=self.commander,
            sequence_id=self.command.sequence_id,
            state=self.state,
            explanation=self.explanation,
            steps=[StepTaken(step=step, time=self.stamps.of(*when)) for step, *when in self.steps],
            ack_timeout=self.ack_timeout,
        )


class Kept:
    """One commander's lives of one sort: lasting lives, or other lives.

    A life with a key of the sender lasts: if the tracker dropped it within `LASTING`, a repeated request
    would move the mount again. The life of a stop does not last: a second stop is harmless, and no stop may
    ever be refused. The life of a command that was never sent does not last either: the command moved
    nothing, and must not use up the place of a command that may have moved something.

    :ivar number: the number of lives.
    :ivar ended: the lives that ended; the earliest end first.
    """

    __slots__ = ("ended", "number")

    def __init__(self) -> None:
        self.number: int = 0
        self.ended: deque[TrackedCommand] = deque()


def lasts(is_stop: bool, key: Key | None, state: str = "open") -> bool:
    """Return True if the life of a command in this state lasts while the sender may repeat the command."""
    return key is not None and not is_stop and state not in NEVER_SENT


class CommandTracker:
    """The commands that were sent through the web.

    :param bus: the tracker receives the steps of commands from the bus until `close`.
    :param dialect: the dialect of the controller.
    :param clock: an ``IReactorTime``.
    :param stamps: converts the times of steps.
    :param most: the largest number of lives of each commander and sort.
    """

    def __init__(
        self,
        bus: IEventBus,
        dialect: Dialect,
        clock: IReactorTime,
        stamps: Stamps,
        most: int = MAX_LIVES,
    ) -> None:
        self._bus = bus
        self._dialect = dialect
        self._clock = clock
        self._stamps = stamps
        self._most = most
        self._closed = False
        self._boot = secrets.token_hex(4)
        self._numbers = count(1)
        self._lives: dict[str, TrackedCommand] = {}
        self._by_sequence: dict[tuple[str, int], TrackedCommand] = {}
        self._by_key: dict[tuple[str, str], TrackedCommand] = {}
        self._kept: dict[tuple[str, bool], Kept] = {}
        self._moved: dict[TrackedCommand, None] = {}
        self._telling: IDelayedCall | None = None
        bus.subscribe(self._step, CommandRecord, unbounded=True)  # a request waits for each end

    def __len__(self) -> int:
        return len(self._lives)

    def get(self, id: str) -> TrackedCommand | None:
        """Return the life with this id; None if the tracker has no such life, or dropped it."""
        return self._lives.get(id)

    def keyed(self, commander: str, key: str) -> TrackedCommand | None:
        """Return the life that a commander began with this key, until `LASTING` after its end; else None."""
        life = self._by_key.get((commander, key))
        return None if life is None or self._lasts_for(life) <= 0 else life

    def _lasts_for(self, life: TrackedCommand) -> float:
        """Return the time that the key of a life is still valid (s); for a pending command, the shortest
        time."""
        now = self._clock.seconds()
        return (now if life.ended_at is None else life.ended_at) + LASTING - now

    def goes_on(self, commander: str, sequence_id: int) -> bool:
        """Return True if a commander has a pending command with this sequence id."""
        life = self._by_sequence.get((commander, sequence_id))
        return life is not None and not life.ended

    def _kept_with(self, life: TrackedCommand) -> Kept:
        lasting = lasts(self._is_stop(life.command), life.key, life.state)
        return self._kept.setdefault((life.commander, lasting), Kept())

    def _is_stop(self, command: CommandMessage) -> bool:
        return self._dialect.kind_of(command.command_code).is_stop

    def full_for(self, commander: str, command: CommandMessage, key: Key | None) -> float | None:
        """Return None if there is room for this command's life, else the time until there may be room (s)."""
        lasting = lasts(self._is_stop(command), key)
        kept = self._kept.get((commander, lasting))
        if kept is None or kept.number < self._most or not lasting:
            return None
        left = self._lasts_for(kept.ended[0]) if kept.ended else LASTING
        return left if left > 0 else None

    def begin_command(
        self, commander: str, command: CommandMessage, key: Key | None = None
    ) -> TrackedCommand:
        """Expect the steps of a command that is about to be sent.

        The commander has no pending command with the same sequence id, and there is room for the life: see
        `full_for`.
        """
        id = f"{self._boot}-{next(self._numbers)}"
        life = TrackedCommand(id, command, self._dialect, commander, self._stamps, key)
        self._lives[life.id] = life
        self._by_sequence[commander, command.sequence_id] = life
        if key is not None:
            self._by_key[commander, key.text] = life
        self._count(self._kept_with(life))
        return life

    def _count(self, kept: Kept) -> None:
        """Count one more life of a sort, and drop the lives that ended first while there are too many."""
        kept.number += 1
        while kept.number > self._most and kept.ended:
            self._forget(kept.ended.popleft())
            kept.number -= 1

    def _end(self, life: TrackedCommand, before: Kept) -> None:
        """Keep a life that ended, in the sort that its outcome determines."""
        kept = self._kept_with(life)
        if kept is not before:
            before.number -= 1
            self._count(kept)
        life.ended_at = self._clock.seconds()
        kept.ended.append(life)

    def _forget(self, life: TrackedCommand) -> None:
        del self._lives[life.id]
        sequence = (life.commander, life.command.sequence_id)
        if self._by_sequence.get(sequence) is life:
            del self._by_sequence[sequence]
        name = (life.commander, life.key.text if life.key else "")
        if self._by_key.get(name) is life:  # a later command may have the key now
            del self._by_key[name]

    # Steps

    def _step(self, record: CommandRecord, number: int) -> None:
        life = self._by_sequence.get((record.peer, record.sequence_id))
        if life is None or life.ended:
            return
        if len(life.steps) < MAX_STEPS:
            life.steps.append((record.step, self._clock.seconds(), record.time))
        life.explanation = record.explanation[:SHOWN_BYTES] or life.explanation
        kept = self._kept_with(life)
        states = _ENDED if is_end(record.step, record.code, self._dialect) else _GOING_ON
        life.state = states.get(record.step, record.step)
        if life.ended:
            self._end(life, kept)
        if life.waiters:
            self._moved[life] = None
            if self._telling is None:
                self._telling = self._clock.callLater(0, self._tell)

    def acknowledged(self, commander: str, sequence_id: int, timeout: float) -> None:
        """Store the time to Done that an Ack announced (s); the step of the Ack came before."""
        life = self._by_sequence.get((commander, sequence_id))
        if life is not None:
            life.ack_timeout = timeout

    # Waiting requests

    def wait(self, life: TrackedCommand, until: Until, seconds: float) -> Deferred[bool]:
        """Return a Deferred that fires with True once the command reaches the goal.

        It fires with False after these seconds, or at `close`.
        """
        if life.reached(until) or self._closed:
            return succeed(life.reached(until))
        waiter = life.waiters.setdefault(until, Waiters()).wait()
        return waiter.addTimeout(seconds, FairClock(self._clock), lambda result, timeout: False)

    def _tell(self) -> None:
        self._telling = None
        moved, self._moved = self._moved, {}
        for life in moved:
            _fire(life)

    def close(self) -> None:
        """Stop receiving steps, and end every wait; commands continue. A caller may call it twice."""
        if self._closed:
            return
        self._closed = True
        self._bus.unsubscribe(self._step)
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        for life in tuple(self._lives.values()):
            _fire(life, everyone=True)


def _fire(life: TrackedCommand, everyone: bool = False) -> None:
    """End the waits that reached their goal, or every wait. A wait fires with True if its command reached the
    goal."""
    for until, waiters in tuple(life.waiters.items()):
        if everyone or life.reached(until):
            life.waiters.pop(until, None)  # an earlier waiter may have removed it
            waiters.fire(life.reached(until))
