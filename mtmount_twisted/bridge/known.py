"""What is known of the mount now, in its own words: what a newcomer is told.

Only what the mount said over the connection that is up counts; of what a lost connection said,
nobody knows whether it still holds.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from ..enums import ReplyCode
from ..fields import BOOL, INT

MAX_KNOWN = 1000
"""How many events are kept; beyond it the warning or error that was renewed longest ago is forgotten."""

MAX_KNOWN_BYTES = 56 * 1024
"""How long they may be together: less than the least that a client may be behind, so that what a
newcomer is told does not cut it off."""

_Fields = list[bytes]


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


class Known:
    """The last state, the last in-position of each axis, and every active warning and error.

    An error that is latched counts as active until it is reset.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[int, Hashable], bytes] = {}
        self._bytes = 0

    def learn(self, line: bytes) -> None:
        """Take note of an event. One that we can't read is passed on like any, and changes nothing here."""
        fields = line.split(b"\n")
        try:
            code = _int(fields[0])
            if code not in _KINDS:
                return
            about, lasts = _KINDS[code](fields)
        except (IndexError, ValueError):
            return
        self._drop((code, about))
        if lasts and len(line) <= MAX_KNOWN_BYTES:
            self._lines[code, about] = line
            self._bytes += len(line)
            while len(self._lines) > MAX_KNOWN or self._bytes > MAX_KNOWN_BYTES:
                alarms = (key for key in self._lines if key[0] in _ALARMS)
                self._drop(next(alarms, next(iter(self._lines))))

    def _drop(self, key: tuple[int, Hashable]) -> None:
        self._bytes -= len(self._lines.pop(key, b""))

    def forget(self) -> None:
        """The connection is lost: nothing is known any more."""
        self._lines.clear()
        self._bytes = 0

    @property
    def lines(self) -> list[bytes]:
        """What is known, the oldest news first."""
        return list(self._lines.values())
