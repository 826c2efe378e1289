"""What is known of the mount now, in its own words: what a newcomer is told.

Only what the mount said over the connection that is up counts as current. Of what a lost connection
said, nobody knows whether it still holds: it is kept as *stale* until the mount says something else
about the same thing, for who shows it as such, and told to no newcomer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import NamedTuple

from mtmount_twisted.dialects.tma2020.enums import ReplyCode
from mtmount_twisted.dialects.tma2020.envelope import EventEnvelope
from mtmount_twisted.wire.fields import BOOL, INT

MAX_KNOWN = 1000
"""How many events are kept; beyond it what is stale is forgotten first, and then the warning or error
that was renewed longest ago. A newcomer is not told of what is forgotten, though it may hold still."""

MAX_KNOWN_BYTES = 56 * 1024
"""How long they may be together: less than the least that a client may be behind, so that what a
newcomer is told does not cut it off."""

MOST_FIELDS = 6
"""How many fields of an event are looked at: a line may have as many as it has bytes."""

_Fields = list[bytes]


class KnownEntry(NamedTuple):
    """Something that is known.

    :ivar line: the mount's own words.
    :ivar code: the code of the event.
    :ivar time: when they came, in seconds by the monotonic clock.
    :ivar stale: True if the connection on which they came is lost.
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
"""For each kind of event: what it is about, and whether it still says something afterwards."""

_ALARMS = (ReplyCode.WARNING, ReplyCode.ERROR)


class LastValueCache:
    """The last state, the last in-position of each axis, and every active warning and error.

    An error that is latched counts as active until it is reset.

    :param now: return the time in seconds, monotonic.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._entries: dict[tuple[int, Hashable], KnownEntry] = {}
        self._bytes = 0
        self._now = now

    def learn(self, event: EventEnvelope) -> int:
        """Take note of an event. One that we can't read is passed on like any, and changes nothing here.

        :returns: how many events that were current are forgotten for want of room: 0 nearly always.
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
        """Forget what is too much, and tell how much of it was current."""
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
        """The connection is lost: nothing that is known counts as current any more."""
        for key, entry in self._entries.items():
            self._entries[key] = entry._replace(stale=True)

    def entries(self) -> list[KnownEntry]:
        """What is known, stale or not, the oldest news first."""
        return list(self._entries.values())

    def count(self, code: ReplyCode) -> int:
        """The number of current entries of one kind, such as active warnings; stale entries do not count."""
        return sum(key[0] == code and not entry.stale for key, entry in self._entries.items())

    @property
    def current(self) -> list[EventEnvelope]:
        """The events that are current, the oldest news first."""
        return [EventEnvelope(entry.code, entry.line) for entry in self._entries.values() if not entry.stale]
