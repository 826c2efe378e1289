"""What became of each command that was sent through the web, and who waits to be told.

`CommandTracker` receives each step from the event bus, and finds the command by its commander and sequence
id. A step comes in the middle of what the bridge does, so those who wait are told in a turn of their own.
The last 10,000 lives of each commander are kept, and as many more that it gave a key to find them by; the
ids of one daemon never come again in another. Nothing here knows HTTP.

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

from mtmount_twisted.dialects.tma2020.commands import STOP_CODES, Command
from mtmount_twisted.dialects.tma2020.framing import SHOWN_BYTES
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.answers import Life, StepTaken
from mtmount_twisted.interfaces import IEventBus
from mtmount_twisted.journal.schema import is_end
from mtmount_twisted.net.deadlines import FairClock
from mtmount_twisted.net.waiting import Waiters
from mtmount_twisted.records import CommandRecord

from .command_body import parameters_of

Until = Literal["ack", "done"]
"""What can be waited for: that a command is acknowledged, or that it ended. An end is both."""

MAX_LIVES = 10_000
"""How many lives of one commander are kept; beyond it the one that ended longest ago is forgotten. Those that
go on are kept, and the bridge bounds how many they are. Those that last are counted apart (`Kept`)."""

LASTING = 3600.0
"""How long a key is valid after the end of its command, in seconds. Until then the life of a command that may
have moved the mount is never forgotten; afterwards the key sends a new command."""

MAX_STEPS = 16
"""How many steps of one command are kept: a mount may acknowledge it again and again."""

NEVER_SENT = frozenset(("refused", "busy", "malformed", "not_sent"))
"""How a command ends that the bridge did not send to the mount."""

_GOING_ON = {"received": "open", "sent": "open", "ack": "acked"}
_ENDED = {"local": "done"}


class Key(NamedTuple):
    """What a sender calls a command, so that to send it again is harmless.

    :ivar digest: stands for what was sent, to tell the same from something else.
    """

    text: str
    digest: bytes


@dataclass(slots=True, eq=False)
class TrackedCommand:
    """A command, and what became of it.

    :ivar commander: whose it is, by the name that the bridge knows.
    :ivar state: ``open``, ``acked``, or how it ended.
    :ivar steps: of each its name, and when it was by the clock and as recorded (s).
    :ivar stamps: tells when they were.
    :ivar ack_timeout: within how long it should be done by the last Ack, in seconds; None if no Ack said.
    :ivar key: by which its sender finds it again; or None.
    :ivar ended_at: the moment of its end (clock, s); None while it goes on.
    :ivar waiters: who waits, by what for.
    """

    id: str
    command: Command
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
        """True if nothing more will become of it."""
        return self.state not in _GOING_ON.values()

    def reached(self, until: Until) -> bool:
        """True if who waits for this need wait no more."""
        return self.ended or (until == "ack" and self.state == "acked")

    def shape(self) -> Life:
        """Return the life as the API tells it."""
        return Life(
            id=self.id,
            command=type(self.command).__name__,
            parameters=parameters_of(self.command),
            commander=self.commander,
            sequence_id=self.command.sequence_id,
            state=self.state,
            explanation=self.explanation,
            steps=[StepTaken(step=step, time=self.stamps.of(*when)) for step, *when in self.steps],
            ack_timeout=self.ack_timeout,
        )


class Kept:
    """One commander's lives of one sort: those that last, or those that do not.

    A life lasts if its sender gave it a key: to forget it within `LASTING` would let a command that is sent
    again move the mount again. To stop twice is harmless, and no stop may ever be refused, so a stop does not
    last. Nor does a command that was never sent: it moved nothing, and must not use up a place of those that
    may have.

    :ivar number: how many there are.
    :ivar ended: those that ended; the first first.
    """

    __slots__ = ("ended", "number")

    def __init__(self) -> None:
        self.number = 0
        self.ended: deque[TrackedCommand] = deque()


def lasts(command: Command, key: Key | None, state: str = "open") -> bool:
    """Whether the life of a command in this state is kept so long as its sender may send it again."""
    return key is not None and command.command_code not in STOP_CODES and state not in NEVER_SENT


class CommandTracker:
    """The commands that were sent through the web.

    :param bus: the steps of commands are received from it until `close`.
    :param clock: an ``IReactorTime``.
    :param stamps: tells when a step was.
    :param most: how many of each commander and sort are kept.
    """

    def __init__(self, bus: IEventBus, clock: IReactorTime, stamps: Stamps, most: int = MAX_LIVES) -> None:
        self._bus = bus
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
        bus.subscribe(self._step, CommandRecord)

    def __len__(self) -> int:
        return len(self._lives)

    def get(self, id: str) -> TrackedCommand | None:
        """The life with this id; None if there is none, or none any more."""
        return self._lives.get(id)

    def keyed(self, commander: str, key: str) -> TrackedCommand | None:
        """Return the life that a commander began with this key, until `LASTING` after its end; else None."""
        life = self._by_key.get((commander, key))
        return None if life is None or self._lasts_for(life) <= 0 else life

    def _lasts_for(self, life: TrackedCommand) -> float:
        """Return for how long the key of a life is still valid (s); of one that goes on, at least so long."""
        now = self._clock.seconds()
        return (now if life.ended_at is None else life.ended_at) + LASTING - now

    def goes_on(self, commander: str, sequence_id: int) -> bool:
        """True if a commander has a command of this id that has not ended."""
        life = self._by_sequence.get((commander, sequence_id))
        return life is not None and not life.ended

    def _kept_with(self, life: TrackedCommand) -> Kept:
        return self._kept.setdefault((life.commander, lasts(life.command, life.key, life.state)), Kept())

    def full_for(self, commander: str, command: Command, key: Key | None) -> float | None:
        """None if there is room for this command's life; else in how many seconds there may be."""
        kept = self._kept.get((commander, lasts(command, key)))
        if kept is None or kept.number < self._most or not lasts(command, key):
            return None
        left = self._lasts_for(kept.ended[0]) if kept.ended else LASTING
        return left if left > 0 else None

    def begin(self, commander: str, command: Command, key: Key | None = None) -> TrackedCommand:
        """Expect the steps of a command that is about to be sent; none with its id goes on.

        There is room for its life: see `full_for`.
        """
        life = TrackedCommand(f"{self._boot}-{next(self._numbers)}", command, commander, self._stamps, key)
        self._lives[life.id] = life
        self._by_sequence[commander, command.sequence_id] = life
        if key is not None:
            self._by_key[commander, key.text] = life
        self._count(self._kept_with(life))
        return life

    def _count(self, kept: Kept) -> None:
        """Count one more of a sort, and forget those that ended first while there are too many."""
        kept.number += 1
        while kept.number > self._most and kept.ended:
            self._forget(kept.ended.popleft())
            kept.number -= 1

    def _end(self, life: TrackedCommand, before: Kept) -> None:
        """Keep a life that ended, in the sort that its end makes it one of."""
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
        if self._by_key.get(name) is life:  # else a command of its has the key now
            del self._by_key[name]

    # What happens

    def _step(self, record: CommandRecord, number: int) -> None:
        life = self._by_sequence.get((record.peer, record.sequence_id))
        if life is None or life.ended:
            return
        if len(life.steps) < MAX_STEPS:
            life.steps.append((record.step, self._clock.seconds(), record.time))
        life.explanation = record.explanation[:SHOWN_BYTES] or life.explanation
        kept = self._kept_with(life)
        states = _ENDED if is_end(record.step, record.code) else _GOING_ON
        life.state = states.get(record.step, record.step)
        if life.ended:
            self._end(life, kept)
        if life.waiters:
            self._moved[life] = None
            if self._telling is None:
                self._telling = self._clock.callLater(0, self._tell)

    def acknowledged(self, commander: str, sequence_id: int, timeout: float) -> None:
        """An Ack said within how long a command should be done (s); its step was told before."""
        life = self._by_sequence.get((commander, sequence_id))
        if life is not None:
            life.ack_timeout = timeout

    # Who waits

    def wait(self, life: TrackedCommand, until: Until, seconds: float) -> Deferred[bool]:
        """Fires with True once what is waited for came; with False after so many seconds, or at `close`."""
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
        """Hear no more, and let nobody wait any more; what was sent goes on. It can be called twice."""
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
    """End the waits of those who need to wait no more; they are told whether what they wait for came."""
    for until, waiters in tuple(life.waiters.items()):
        if everyone or life.reached(until):
            life.waiters.pop(until, None)  # it may be gone by what an earlier one did
            waiters.fire(life.reached(until))
