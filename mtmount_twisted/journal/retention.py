"""Which rows of the journal are too old, whatever the wall clock does. No file, no SQL: see `writer`.

The rows of the run that goes on age by the monotonic clock. Those of earlier runs have nothing but the time
that is written in them. They age by the wall clock, once that has agreed with the monotonic clock for an
hour, and at most one day's worth of them is given up in an hour: a clock that is wrong costs little before
somebody reads the log. A stamp that cannot be true, before 2020 or in the future, proves nothing: such a row
goes when a row that was recorded after it does.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

HOUR = 3600.0
DAY = 86400.0

AGREEMENT = 5.0
"""By how much the wall clock may move against the monotonic clock in an hour, in seconds: one that is slewed
at the 500 ppm of ``adjtimex`` moves by 1.8 s."""

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
"""No row was recorded before this: the protocol is of 2020. A clock that was not set begins in 1970."""


class Ages:
    """How long ago the rows of the run that goes on were recorded, on the monotonic clock.

    Rows are remembered by the hour, or by a 24th of `keep` if that is less: they go as much too late.

    :param keep: how old a row may get, in seconds.
    """

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._step = min(HOUR, keep / 24)
        self._hours: deque[list[float]] = deque()  # when it began and ended, and the last id recorded in it

    def wrote(self, last_id: int, now: float) -> None:
        """All rows up to this id were recorded by now."""
        if not self._hours or now - self._hours[-1][0] >= self._step:
            self._hours.append([now, now, last_id])
        self._hours[-1][1:] = now, last_id

    def old(self, now: float) -> int | None:
        """Return the last id that is too old, or None; each id is returned once."""
        found = None
        while self._hours and now - self._hours[0][1] >= self._keep:
            found = int(self._hours.popleft()[2])
        return found


class Agreement:
    """Whether the wall clock has agreed with the monotonic clock for an hour."""

    def __init__(self) -> None:
        self._ahead = self._since = math.nan
        self._agrees = False

    def look(self, now: float, wall: float) -> bool:
        """True if it has; to be asked often, since a step is seen by the next look only.

        :param now: the monotonic clock, in seconds.
        :param wall: the wall clock, in seconds, Unix time.
        """
        ahead = wall - now
        if not abs(ahead - self._ahead) <= AGREEMENT:
            self._agrees = False
        elif now - self._since >= HOUR:
            self._agrees = True
        else:
            return self._agrees
        self._ahead, self._since = ahead, now
        return self._agrees


class Allowance:
    """What may be given up of earlier runs in one hour: a day's worth of what is too old.

    :param oldest: rows that were recorded before this time are too old (s, Unix time).
    :param now: the wall clock (s, Unix time).
    """

    def __init__(self, oldest: float, now: float) -> None:
        self._oldest = oldest
        self._now = now
        self._first = math.inf

    def last_old(self, rows: Iterable[tuple[int, float]]) -> tuple[int | None, bool]:
        """Go through rows, each an id and a time, by their ids.

        :returns: the id up to which they may be given up, or None; and whether one came that may not be.
        """
        found = None
        for id, time in rows:
            if not EARLIEST <= time <= self._now:
                continue
            first = min(self._first, time)
            if time >= min(self._oldest, first + DAY):
                return found, True
            self._first, found = first, id
        return found, False

    @property
    def credible(self) -> tuple[float, float]:
        """Between which times a stamp can be true (s, Unix time)."""
        return EARLIEST, self._now


class Deletions:
    """Tells the log of each deletion: at once, and then once an hour of all that followed.

    :param tell: takes a level of `logging`, a message and its arguments.
    """

    def __init__(self, tell: Callable[..., None], clock: Callable[[], float]) -> None:
        self._tell = tell
        self._clock = clock
        self._rows: dict[str, tuple[int, float, float]] = {}
        self._told: dict[str, float] = {}

    def add(self, why: str, rows: int, low: float, high: float) -> None:
        """So many rows, with stamps between these times (s, Unix time), were deleted."""
        before = self._rows.get(why, (0, math.inf, -math.inf))
        self._rows[why] = before[0] + rows, min(low, before[1]), max(high, before[2])

    def report(self, at_once: bool = False) -> None:
        """Log the deletions that are not logged yet, unless their cause was logged within the last hour.

        :param at_once: tell of that, too: there will be no later.
        """
        now = self._clock()
        for why, (rows, low, high) in tuple(self._rows.items()):
            if at_once or now - self._told.get(why, -math.inf) >= HOUR:
                self._told[why] = now
                del self._rows[why]
                text = "journal: deleted %d rows, stamped %s to %s: %s"
                self._tell(logging.INFO, text, rows, _stamp(low), _stamp(high), why)


def _stamp(time: float) -> str:
    try:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):  # a clock that was very wrong
        return f"{time:g}"
