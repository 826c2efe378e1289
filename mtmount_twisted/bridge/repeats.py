"""`Repeats`: the events that changed nothing, which are counted, and not recorded one by one.

A mount may send an event again and again without a change: one known mount sends 35 such lines a second.
Every client receives each line, but the journal would hold nothing else. So the first line is recorded. An
event ``repeated`` counts the lines that differ from it in their timestamp only: it is recorded when the event
changes, and otherwise every `REPORT_EVERY`.

It touches nothing but the list of effects. Next to read: `core`, the caller; `last_values`.
"""

from __future__ import annotations

from collections.abc import Hashable

from msgspec import Struct

from mtmount_twisted.dialects.dialect import Dialect, EventEnvelope, Subject
from mtmount_twisted.journal.schema import CONTROLLER
from mtmount_twisted.journal.times import iso
from mtmount_twisted.records import ChangeRecord

from .effects import CancelTimer, Effect, SetTimer, Timer
from .event_bus import EventBus

REPORT_EVERY = 60.0
"""The time from the first repeat that is not recorded to the events that count them, in seconds."""

MAX_SUBJECTS = 1000
"""The largest number of parts of the mount with a remembered event. Beyond it, the part that changed longest
ago is forgotten, and its next event is recorded."""

LONGEST_NAME = 200
"""The longest part of a subject's name in a record, in characters: the mount chooses it."""


class _Run(Struct):
    """The lines of one subject since its last change.

    :ivar content: the content of each line; see `Subject`.
    :ivar name: the event and its subject, for people.
    :ivar count: the number of lines that no record counts yet.
    :ivar start: the time of the first of them (s, Unix time).
    :ivar end: the time of the last of them (s, Unix time).
    """

    content: Hashable
    name: str
    count: int = 0
    start: float = 0.0
    end: float = 0.0


class Repeats:
    """Counts the events of the controller that changed nothing."""

    def __init__(self, effects: list[Effect], bus: EventBus, dialect: Dialect) -> None:
        self._effects = effects
        self._bus = bus
        self._dialect = dialect
        self._runs: dict[tuple[int, Hashable], _Run] = {}
        self._is_timed = False
        self._is_closed = False

    def note(self, event: EventEnvelope, subject: Subject) -> bool:
        """Count an event that changed nothing, and return True; else return False: it must be recorded."""
        if subject.content is None or self._is_closed:
            return False
        key, now = (event.code, subject.key), self._bus.now()
        run = self._runs.get(key)
        if run is not None and run.content == subject.content:
            self._count(run, now)
            return True
        if run is not None:
            self._report(run)
            del self._runs[key]
        elif len(self._runs) >= MAX_SUBJECTS:
            self._report(self._runs.pop(next(iter(self._runs))))
        kind = self._dialect.reply_names.get(event.code) or f"code {event.code}"
        self._runs[key] = _Run(subject.content, f"{kind} {subject.name[:LONGEST_NAME]}".rstrip())
        return False

    def _count(self, run: _Run, now: float) -> None:
        self._bus.counts["repeated"] += 1
        if not run.count:
            run.start = now
        run.count += 1
        run.end = now
        if not self._is_timed:
            self._is_timed = True
            self._effects.append(SetTimer(Timer.REPEATS, REPORT_EVERY))

    def _report(self, run: _Run) -> None:
        """Record the number of lines since the last record of the subject."""
        if not run.count:
            return
        detail = (
            f"{run.name}: {run.count} lines that changed nothing, from {iso(run.start)} to {iso(run.end)}"
        )
        run.count = 0
        bus = self._bus
        self._effects.append(ChangeRecord(bus.now(), bus.epoch, CONTROLLER, "repeated", detail))

    def report_all(self) -> None:
        """Record the numbers: `Timer.REPEATS` has ended."""
        self._is_timed = False
        for run in self._runs.values():
            self._report(run)

    def forget(self) -> None:
        """Record the numbers, and record the next line of each subject: the connection is lost."""
        if self._is_timed:
            self._effects.append(CancelTimer(Timer.REPEATS))
        self.report_all()
        self._runs.clear()

    def close(self) -> None:
        """Record the numbers, and from now on each line: the bridge ends, and no timer may begin."""
        self.forget()
        self._is_closed = True
