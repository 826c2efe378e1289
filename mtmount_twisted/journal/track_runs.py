"""`TrackRuns`: hold the records of track commands, and replace a run of accepted commands by one row a
second.

A commander that tracks sends 20 commands a second all night. Each command makes seven rows, which report the
same steps: received, sent, accepted. The journal keeps the first and the last command of a run in full, and
counts the commands between them. Each second, an event ``tracked`` has the number of these commands, the
first and the last.

A run is a sequence of accepted track commands of one commander, all with one code. Between them there are
only records of other runs: every other record ends all runs, and is never held back. A command that the mount
or the bridge rejects, or that is not answered in time, is such a record: it is kept in full.

Rows get into the file in the order of their numbers. Therefore `TrackRuns` holds the records of a run, in
that order, until it knows which of them to keep: for about two commands, and at most for `HOLD`. An event
``tracked`` has the number of the last record that it stands for.

It runs on the journal's thread, and touches nothing. Next to read: `recorder`, which calls it.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct, field

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.errors import LineError
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

from .schema import CONTROLLER, OBSERVERS
from .times import iso

HOLD = 0.5
"""The longest time for which records are held: from one track command to the next, and from a track command
to its Ack, in seconds."""

COUNT_EVERY = 1.0
"""The time between two events ``tracked`` of one run, in seconds."""

MOST_HELD = 5000
"""The largest number of records that are held."""

LONGEST_PARAMETERS = 200
"""The longest part of the parameters in an event, in characters."""

Numbered = tuple[int, Record]
"""A record, and the number of its row."""


class _Slot(Struct, eq=False):
    """The place of a record in the order of the rows.

    :ivar record: the record; None if it is not kept.
    :ivar is_decided: True once it is known whether the record is kept.
    """

    number: int
    record: Record | None
    is_decided: bool


class _Track(Struct, eq=False):
    """A track command.

    :ivar time: the time at which it came (s, Unix time).
    :ivar since: this time on the monotonic clock (s).
    :ivar slots: its records, in their order.
    :ivar line: the command as it went to the mount.
    :ivar is_kept: True for the first command of a run.
    """

    peer: str
    sequence_id: int
    code: int
    epoch: int
    time: float
    since: float
    key: int = 0
    slots: list[_Slot] = field(default_factory=list)
    line: bytes = b""
    is_kept: bool = False


class _Run(Struct, eq=False):
    """A run of accepted track commands.

    :ivar latest: the latest command so far.
    :ivar since: the time at which the run began, or its last event was made (clock, s).
    :ivar counted: the number of commands that are not yet in an event.
    :ivar first: the first of these commands.
    :ivar last: the last of these commands.
    :ivar place: the slot for the event: the slot of the last record of `last`.
    :ivar place_time: the time of this record (s, Unix time).
    """

    latest: _Track
    since: float
    counted: int = 0
    first: _Track | None = None
    last: _Track | None = None
    place: _Slot | None = None
    place_time: float = 0.0


class TrackRuns:
    """Hold the records of accepted track commands, and count the commands within a run.

    :param dialect: the dialect of the daemon's run: a track command is a command with an Ack as its end.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        codes = (int(code) for code in dialect.command_names if dialect.kind_of(code).ack_only)
        self._codes = frozenset(codes)
        self._slots: deque[_Slot] = deque()
        self._open: dict[tuple[str, int], _Track] = {}  # by peer and sequence id, the oldest first
        self._by_key: dict[int, _Track] = {}
        self._accepted: _Track | None = None  # the lines to its commander and to observers follow
        self._runs: dict[tuple[str, int], _Run] = {}
        self._active = 0.0  # when the last record was held (clock, s)

    @property
    def holds(self) -> bool:
        """True while records are held."""
        return bool(self._slots)

    def pass_on(self, records: list[Numbered], now: float) -> list[Numbered]:
        """Return the records that are kept, and events, in the order of their numbers.

        :param records: the next records; there may be none.
        :param now: the time (clock, s).
        :returns: the same list if it has nothing to do with track commands.
        """
        if not self._slots and not self._runs and not self._may_track(records):
            return records
        kept: list[Numbered] = []
        for number, record in records:
            track = self._track_of(record, now)
            if track is None:
                if record.privileged and (self._slots or self._runs):
                    kept += self.release()
                # A client without rights ends no run; else it could have each track command kept.
                self._slots.append(_Slot(number, record, True))
                kept += self._decided()
                continue
            self._active = now
            slot = _Slot(number, record, track.is_kept)
            self._slots.append(slot)
            track.slots.append(slot)
            if isinstance(record, CommandRecord) and record.step == "ack":
                self._accept(track, now)
        if self._runs or self._slots:
            kept += self._decided()
            oldest = next(iter(self._open.values()), None)
            is_late = oldest is not None and now - oldest.since > HOLD
            if is_late or now - self._active > HOLD or len(self._slots) > MOST_HELD:
                kept += self.release()
        return kept

    def _may_track(self, records: list[Numbered]) -> bool:
        codes = self._codes
        return any(isinstance(record, LineRecord) and record.code in codes for _, record in records)

    def release(self) -> list[Numbered]:
        """End all runs, and return the held records: each held command in full, and the counts of the
        others."""
        for run in self._runs.values():
            self._make_event(run)
        for slot in self._slots:
            slot.is_decided = True
        self._open.clear()
        self._by_key.clear()
        self._accepted = None
        self._runs.clear()
        return self._decided()

    def drop(self) -> set[int]:
        """Forget all runs and held records, after an error; return the numbers of the records."""
        numbers = {slot.number for slot in self._slots}
        self._slots.clear()
        self._open.clear()
        self._by_key.clear()
        self._accepted = None
        self._runs.clear()
        return numbers

    def _decided(self) -> list[Numbered]:
        """Take out the first slots, as far as they are decided, and return the records that are kept."""
        slots = self._slots
        kept: list[Numbered] = []
        while slots and slots[0].is_decided:
            slot = slots.popleft()
            if slot.record is not None:
                kept.append((slot.number, slot.record))
        return kept

    def _track_of(self, record: Record, now: float) -> _Track | None:
        """Return the track command that a record belongs to; None for a record of anything else."""
        if isinstance(record, LineRecord):
            return self._track_of_line(record, now)
        if not isinstance(record, CommandRecord) or record.code not in self._codes or not record.key:
            return None
        if record.step == "received":
            track = self._open.get((record.peer, record.sequence_id))
            if track is None or track.key or track.code != record.code:
                return None
            track.key = record.key
            self._by_key[record.key] = track
            return track
        return self._by_key.get(record.key) if record.step in ("sent", "ack") else None

    def _track_of_line(self, record: LineRecord, now: float) -> _Track | None:
        number = record.sequence_id
        if number is None or not record.privileged:
            return None
        if record.peer == CONTROLLER:
            track = self._by_key.get(number)
            if track is not None and record.direction == "to":
                track.line = record.line
            return track
        if record.direction == "from":
            place = record.peer, number
            if record.code not in self._codes or place in self._open:
                return None
            track = _Track(record.peer, number, record.code, record.epoch, record.time, now)
            self._open[place] = track
            return track
        accepted = self._accepted
        if accepted is None or number != accepted.sequence_id:
            return None
        return accepted if record.peer in (accepted.peer, OBSERVERS) else None

    def _accept(self, track: _Track, now: float) -> None:
        """Continue a run with an accepted command, or begin one."""
        self._open.pop((track.peer, track.sequence_id), None)
        self._by_key.pop(track.key, None)
        self._accepted = track
        run = self._runs.get((track.peer, track.code))
        if run is None:
            self._runs[track.peer, track.code] = _Run(track, now)
            track.is_kept = True
            for slot in track.slots:
                slot.is_decided = True
            return
        between, run.latest = run.latest, track
        if not between.is_kept:
            self._count(run, between, now)

    def _count(self, run: _Run, track: _Track, now: float) -> None:
        """Count a command that is neither the first nor the last of its run, and drop its records."""
        place = track.slots[-1]
        if place.record is not None:
            run.place_time = place.record.time
        for slot in track.slots:
            slot.record, slot.is_decided = None, slot is not place
        if run.place is not None:
            run.place.is_decided = True
        run.place, run.last = place, track
        run.first = run.first or track
        run.counted += 1
        if now - run.since >= COUNT_EVERY:
            self._make_event(run)
            run.since = now

    def _make_event(self, run: _Run) -> None:
        """Put an event in the place of the commands that were counted since the last event."""
        if run.place is None or run.first is None or run.last is None:
            return
        first, last = run.first, run.last
        name = self._dialect.kind_of(last.code).name
        parameters = self._parameters(last.line)[:LONGEST_PARAMETERS]
        detail = (
            f"{run.counted} x {name} accepted, no. {first.sequence_id} to {last.sequence_id},"
            f" from {iso(first.time)} to {iso(last.time)}; the last: {parameters}"
        )
        run.place.record = ChangeRecord(run.place_time, last.epoch, last.peer, "tracked", detail)
        run.place.is_decided = True
        run.place = run.first = run.last = None
        run.counted = 0

    def _parameters(self, line: bytes) -> str:
        """Return the parameters of a command as text."""
        try:
            command = self._dialect.decode_command(line)
        except LineError:
            return self._dialect.undecoded(line)
        fields = self._dialect.parameters_of(type(command))
        return " ".join(f"{each.name}={getattr(command, each.name)}" for each in fields)
