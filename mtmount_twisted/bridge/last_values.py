"""The last values of the mount, as the mount sent them. A new client receives them.

Only an event of the present connection counts as current. After the loss of a connection, its events may no
longer hold: the cache keeps them as *stale* until the mount reports the same thing anew. The page shows stale
entries as such; a new client does not receive them. A stale warning or error ends once the mount has reported
its whole state without it: the mount may have restarted, and then no reset would ever clear it.

It reads no line: `Dialect.subject_of` returns the subject of an event. Next to read: `core`, which sends the
values to a new client.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import NamedTuple

from mtmount_twisted.dialects.dialect import EventEnvelope, Subject

MAX_KNOWN = 1000
"""The largest number of events in the cache. Beyond it the cache drops stale entries first, and then the
warning or error that was renewed longest ago. A new client does not receive a dropped event, though the event
may still hold."""

MAX_KNOWN_BYTES = 56 * 1024
"""The largest number of bytes of all events together. It is less than the smallest bound on a client's
backlog, so that the last values do not make a new client a slow consumer."""


class KnownEntry(NamedTuple):
    """A last value.

    :ivar line: the line as the mount sent it.
    :ivar code: the code of the event.
    :ivar time: the time of arrival, in seconds by the monotonic clock.
    :ivar stale: True if the connection that brought the line is lost.
    :ivar is_alarm: True for a warning or an error.
    :ivar unmasked: the event with its password; see `EventEnvelope`.
    """

    line: bytes
    code: int
    time: float
    stale: bool
    is_alarm: bool = False
    unmasked: bytes | None = None

    @property
    def event(self) -> EventEnvelope:
        """The event."""
        return EventEnvelope(self.code, self.line, unmasked=self.unmasked)

    def __repr__(self) -> str:
        return f"KnownEntry(line={self.line!r}, code={self.code}, time={self.time}, stale={self.stale})"


class LastValueCache:
    """The last state, the last in-position of each axis, and every active warning and error.

    A latched error counts as active until its reset.

    :param now: return the time in seconds, monotonic.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._entries: dict[tuple[int, Hashable], KnownEntry] = {}
        self._stale: dict[tuple[int, Hashable], None] = {}
        self._alarms: dict[tuple[int, Hashable], None] = {}
        self._apart: dict[int, EventEnvelope] = {}  # by code
        self._bytes = 0
        self._now = now

    def learn(self, event: EventEnvelope, subject: Subject) -> int:
        """Store an event.

        :param subject: the part of the mount that the event is about.
        :returns: the number of current events that the cache dropped for lack of room: 0 nearly always.
        """
        code, line = event.code, event.line
        if subject.is_apart:
            self._apart[code] = event
            return 0
        self._drop((code, subject.key))
        if not subject.lasts:
            return 0
        if len(line) > MAX_KNOWN_BYTES:
            return 1
        entry = KnownEntry(line, code, self._now(), False, subject.is_alarm, event.unmasked)
        self._entries[code, subject.key] = entry
        if subject.is_alarm:
            self._alarms[code, subject.key] = None
        self._bytes += len(line)
        return self._make_room()

    def _make_room(self) -> int:
        """Drop entries beyond the bounds, and return the number of current ones among them."""
        forgotten = 0
        while len(self._entries) > MAX_KNOWN or self._bytes > MAX_KNOWN_BYTES:
            key = self._first_to_go()
            forgotten += not self._entries[key].stale
            self._drop(key)
        return forgotten

    def _first_to_go(self) -> tuple[int, Hashable]:
        return next(iter(self._stale or self._alarms or self._entries))

    def _drop(self, key: tuple[int, Hashable]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.line)
            self._stale.pop(key, None)
            self._alarms.pop(key, None)

    def link_down(self) -> None:
        """Mark every entry as stale, and forget the events that are kept apart: the connection is lost."""
        for key, entry in self._entries.items():
            self._entries[key] = entry._replace(stale=True)
        self._stale = dict.fromkeys(self._entries)
        self._apart.clear()

    def forget_stale_alarms(self) -> None:
        """Forget the stale warnings and errors: the mount has reported its state, and they are no part of it.

        To its question for the state, the mount answers with every event that it has (protocol-tma2022.rst,
        "State and settings").
        """
        for key in [key for key in self._stale if key in self._alarms]:
            self._drop(key)

    @property
    def current_apart(self) -> list[EventEnvelope]:
        """The last event of each kind that is kept apart because of its size.

        A new client does not receive these events, and they do not count towards the bounds.
        """
        return list(self._apart.values())

    def entries(self) -> list[KnownEntry]:
        """Return all entries, stale or not, the oldest first."""
        return list(self._entries.values())

    def count(self, code: int) -> int:
        """Return the number of current entries of one kind, such as active warnings, without stale ones."""
        return sum(key[0] == code and not entry.stale for key, entry in self._entries.items())

    @property
    def current(self) -> list[EventEnvelope]:
        """The current events, the oldest first."""
        return [entry.event for entry in self._entries.values() if not entry.stale]
