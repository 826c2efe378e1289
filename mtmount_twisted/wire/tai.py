"""The current TAI, which the `tai` parameters of the track commands are given in.

TAI seconds since the unix epoch run ahead of unix time by the leap seconds so far: 37 s since
2017. Two sources know how many. The kernel's TAI clock is taken where the system's time daemon
has set it (its offset is 0 until then); else `pyerfa`'s leap-second table, added to unix time.

The kernel's clock is right at every moment. With the table, TAI is one second slow while
a leap second is being inserted, since unix time then repeats a second and does not say so;
and a clock that smears leap seconds makes both wrong by as much as it smears.

May touch the system's clocks, and `erfa`, which is imported when it is first needed because
it brings numpy with it: ask `tai_source` once at the start, where the wait does no harm.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from mtmount_twisted.errors import TaiUnavailableError

_PLAUSIBLE_OFFSET = (10, 100)  # TAI - UTC in s: 10 in 1972, 37 in 2026; a kernel that was not told has 0
_DAY = 86400

LeapSeconds = tuple[tuple[float, int], ...]
"""Since when (unix time, rising) TAI is ahead of UTC by how many seconds."""


class TaiClock:
    """Tells TAI, and where it knows it from.

    :param utc: the current unix time in seconds, such as `time.time`.
    :param kernel: the kernel's TAI in seconds since the unix epoch, or None where it has none.
    :param table: the leap seconds and what they were taken from; `ImportError` if there is no table.
    """

    def __init__(
        self,
        utc: Callable[[], float],
        kernel: Callable[[], float] | None,
        table: Callable[[], tuple[LeapSeconds, str]],
    ) -> None:
        self._utc = utc
        self._kernel = kernel
        self._table = table
        self._day: float | None = None
        self._offset = 0
        self._table_source = ""

    def tai(self) -> float:
        """The current TAI.

        :returns: TAI seconds since the unix epoch.
        :raises TaiUnavailableError: if neither source can tell.
        """
        utc = self._utc()
        if self._kernel is not None:
            tai = self._kernel()
            if _plausible(tai - utc):
                return tai
        return utc + self._table_offset(utc)

    def source(self) -> str:
        """Where `tai` comes from, in words, with its offset from UTC in seconds.

        :raises TaiUnavailableError: if neither source can tell.
        """
        utc = self._utc()
        if self._kernel is not None:
            ahead = self._kernel() - utc
            if _plausible(ahead):
                return f"the kernel's TAI clock, UTC + {round(ahead)} s"
        offset = self._table_offset(utc)
        return f"{self._table_source}, UTC + {offset} s"

    def _table_offset(self, utc: float) -> int:
        """The offset of this UTC day: a leap second can only come between two of them."""
        day = utc // _DAY
        if day != self._day:
            self._offset = self._look_up(utc)
            self._day = day
        return self._offset

    def _look_up(self, utc: float) -> int:
        try:
            leap_seconds, self._table_source = self._table()
        except ImportError as error:
            raise TaiUnavailableError(
                "can't tell TAI: install pyerfa, or let the time daemon set the kernel's TAI offset"
                f" (chrony: leapsectz right/UTC) ({error})"
            ) from error
        offset = max((offset for since, offset in leap_seconds if since <= utc), default=None)
        if offset is None:
            raise TaiUnavailableError(
                f"can't tell TAI: set the system's clock, which is before 1972 ({utc:.0f})"
            )
        return offset


def _plausible(ahead: float) -> bool:
    low, high = _PLAUSIBLE_OFFSET
    return low - 0.5 < ahead < high + 0.5


def _kernel_clock() -> Callable[[], float] | None:
    """The kernel's TAI clock, which only Linux has."""
    clock_id: int | None = getattr(time, "CLOCK_TAI", None)
    return None if clock_id is None else lambda: time.clock_gettime(clock_id)


def _erfa_table() -> tuple[LeapSeconds, str]:
    """pyerfa's leap seconds since 1972, when they began to be whole."""
    leap_seconds = importlib.import_module("erfa").leap_seconds
    since_offset = tuple(
        (
            datetime(int(row["year"]), int(row["month"]), 1, tzinfo=UTC).timestamp(),
            int(row["tai_utc"]),
        )
        for row in leap_seconds.get()
        if row["year"] >= 1972
    )
    source = "pyerfa's leap-second table"
    # Its built-in table counts as expired 180 days after its last leap second, so nearly always:
    # worth a word to a person, not a warning.
    if leap_seconds.expired:
        source += f" (no leap second known after {leap_seconds.expires:%Y-%m-%d})"
    return since_offset, source


_clock = TaiClock(time.time, _kernel_clock(), _erfa_table)


def current_tai() -> float:
    """The current TAI, from the kernel's clock or pyerfa's table.

    :returns: TAI seconds since the unix epoch.
    :raises TaiUnavailableError: if neither source can tell.
    """
    return _clock.tai()


def tai_source() -> str:
    """Where `current_tai` comes from, in words, such as ``the kernel's TAI clock, UTC + 37 s``.

    :raises TaiUnavailableError: if neither source can tell.
    """
    return _clock.source()
