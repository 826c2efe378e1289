"""The last values of the mount, in its own words, which a new client receives.

Only an event of the present connection counts as current. After the loss of a connection, its events may no
longer hold: the cache keeps them as *stale* until the mount reports the same thing anew. The page shows stale
entries as such; a new client does not receive them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import NamedTuple

from mtmount_twisted.dialects.tma2020.enums import ReplyCode
from mtmount_twisted.dialects.tma2020.envelope import EventEnvelope
from mtmount_twisted.wire.fields import BOOL, INT

MAX_KNOWN = 1000
"""The most events in the cache. Beyond it the cache drops stale entries first, and then the warning or error
that was renewed longest ago. A new client does not receive a dropped event, though the event may still
hold."""

MAX_KNOWN_BYTES = 56 * 1024
"""The most bytes of all events together: less than the smallest bound on a client's backlog, so that the last
values do not make a new client a slow consumer."""

MOST_FIELDS = 6
"""The number of fields that the cache reads of an event: a line may have as many fields as bytes."""

_Fields = list[bytes]


class KnownEntry(NamedTuple):
    """A last value.

    :ivar line: the mount's own words.
    :ivar code: the code of the event.
    :ivar time: the time of arrival, in seconds by the monotonic clock.
    :ivar stale: True if the connection that brought the line is lost.
    """

    line: bytes
    code: int
    time: float
    stale: bool


def _int(text: bytes) -> int:
    return int(INT.read(text.decode("ascii")))


def _bool(text: bytes) -> bool:
    return bool(BOOL.read(text.decode("ascii")))


def _state(fields: _Fields) -> tuple[Hashable, bool]:
    fields[2]
    return "state", True


def _in_position(fields: _Fields) -> tuple[Hashable, bool]:
    _bool(fields[3])
    return _int(fields[2]), True


def _warning(fields: _Fields) -> tuple[Hashable, bool]:
    fields[4]
    return (_int(fields[2]), fields[3]), _bool(fields[1])


def _error(fields: _Fields) -> tuple[Hashable, bool]:
    fields[5]
    latched, active = _bool(fields[1]), _bool(fields[2])
    return (_int(fields[3]), fields[4]), latched or active


_KINDS: dict[int, Callable[[_Fields], tuple[Hashable, bool]]] = {
    ReplyCode.ON_STATE_INFO: _state,
    ReplyCode.IN_POSITION: _in_position,
    ReplyCode.WARNING: _warning,
    ReplyCode.ERROR: _error,
}
"""For each kind of event: its subject, and True if the event stays in the cache."""

_ALARMS = (ReplyCode.WARNING, ReplyCode.ERROR)


class LastValueCache:
    """The last state, the last in-position of each axis, and every active warning and error.

    A latched error counts as active until its reset.

    :param now: return the time in seconds, monotonic.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._entries: dict[tuple[int, Hashable], KnownEntry] = {}
        self._bytes = 0
        self._now = now

    def learn(self, event: EventEnvelope) -> int:
        """Store an event. An unreadable event changes nothing here; the bridge passes it on all the same.

        :returns: the number of current events that the cache dropped for lack of room: 0 nearly always.
        """
        code, line = event.code, event.line
        if code not in _KINDS:
            return 0
        try:
            about, lasts = _KINDS[code](line.split(b"\n", MOST_FIELDS))
        except (IndexError, ValueError):
            return 0
        self._drop((code, about))
        if not lasts:
            return 0
        if len(line) > MAX_KNOWN_BYTES:
            return 1
        self._entries[code, about] = KnownEntry(line, code, self._now(), False)
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
        stale = (key for key, entry in self._entries.items() if entry.stale)
        alarms = (key for key in self._entries if key[0] in _ALARMS)
        return next(stale, None) or next(alarms, None) or next(iter(self._entries))

    def _drop(self, key: tuple[int, Hashable]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.line)

    def link_down(self) -> None:
        """Mark every entry as stale: the connection is lost."""
        for key, entry in self._entries.items():
            self._entries[key] = entry._replace(stale=True)

    def entries(self) -> list[KnownEntry]:
        """Return all entries, stale or not, the oldest first."""
        return list(self._entries.values())

    def count(self, code: ReplyCode) -> int:
        """Return the number of current entries of one kind, such as active warnings, without stale ones."""
        return sum(key[0] == code and not entry.stale for key, entry in self._entries.items())

    @property
    def current(self) -> list[EventEnvelope]:
        """The current events, the oldest first."""
        return [EventEnvelope(entry.code, entry.line) for entry in self._entries.values() if not entry.stale]
