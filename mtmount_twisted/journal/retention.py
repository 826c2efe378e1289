"""The ages of the journal's rows, right even while the wall clock is wrong.

Rows of the present run age by the monotonic clock. A row of an earlier run has only its stamp, and ages by
the wall clock. Two rules limit the loss from a wrong wall clock. Deletion starts once the wall clock has
agreed with the monotonic clock for an hour. Each hour, at most one day of rows is deleted, so that an
operator can read the log in time. An incredible stamp, before 2020 or in the future, is ignored: its row is
deleted together with a later row. The module uses no file and no SQL. Next to read: `writer`, which deletes
the rows.
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
"""The largest change of the wall clock against the monotonic clock in an hour, in seconds. A clock slewed at
500 ppm, the maximum of ``adjtimex``, changes by 1.8 s."""

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
"""The earliest credible stamp, because the protocol is of 2020. A clock that is not set starts in 1970."""


class Ages:
    """The ages of the present run's rows, by the monotonic clock.

    Ages are kept for groups of rows. A group spans an hour, or a 24th of `keep` if that is less, and a row is
    deleted late by at most that time.

    :param keep: the age at which a row is too old, in seconds.
    """

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._step = min(HOUR, keep / 24)
        self._hours: deque[list[float]] = deque()  # start, end, and last id of a group

    def wrote(self, last_id: int, now: float) -> None:
        """Record that all rows up to an id exist now."""
        if not self._hours or now - self._hours[-1][0] >= self._step:
            self._hours.append([now, now, last_id])
        self._hours[-1][1:] = now, last_id

    def old(self, now: float) -> int | None:
        """Return the last id that is too old, or None. Return each id only once."""
        found = None
        while self._hours and now - self._hours[0][1] >= self._keep:
            found = int(self._hours.popleft()[2])
        return found


class Agreement:
    """A comparison of the wall clock with the monotonic clock over an hour."""

    def __init__(self) -> None:
        self._ahead = self._since = math.nan
        self._agrees = False

    def look(self, now: float, wall: float) -> bool:
        """Return True if the clocks have agreed for an hour. Call this often, because only a call sees a
        step.

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
    """The rows of earlier runs that may be deleted in one hour: one day of the rows that are too old.

    :param oldest: the time before which a row is too old (s, Unix time).
    :param now: the wall clock (s, Unix time).
    """

    def __init__(self, oldest: float, now: float) -> None:
        self._oldest = oldest
        self._now = now
        self._first = math.inf

    def last_old(self, rows: Iterable[tuple[int, float]]) -> tuple[int | None, bool]:
        """Find the rows that may be deleted.

        :param rows: the id and the time of each row, in the order of ids.
        :returns: the last id that may be deleted, or None; and True if a row follows that must stay.
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
        """The bounds of a credible stamp (s, Unix time)."""
        return EARLIEST, self._now


class Deletions:
    """Log deletions: the first at once, and later ones once an hour, as a sum.

    :param tell: called with a level of `logging`, a message and its arguments.
    :param clock: returns the monotonic clock, in seconds.
    """

    def __init__(self, tell: Callable[..., None], clock: Callable[[], float]) -> None:
        self._tell = tell
        self._clock = clock
        self._rows: dict[str, tuple[int, float, float]] = {}
        self._told: dict[str, float] = {}

    def add(self, why: str, rows: int, low: float, high: float) -> None:
        """Record a deletion.

        :param why: the cause, for the log.
        :param rows: the number of rows.
        :param low: the earliest stamp (s, Unix time).
        :param high: the latest stamp (s, Unix time).
        """
        before = self._rows.get(why, (0, math.inf, -math.inf))
        self._rows[why] = before[0] + rows, min(low, before[1]), max(high, before[2])

    def report(self, at_once: bool = False) -> None:
        """Log the deletions that are not logged yet, unless their cause was logged within the last hour.

        :param at_once: log all of them, because the process ends.
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
