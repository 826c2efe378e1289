"""The current TAI, the time scale of the `tai` parameters of the track commands.

TAI seconds since the unix epoch are ahead of unix time by the leap seconds so far: 37 s since 2017. There are
two sources for this offset. If the system's time daemon has set the kernel's TAI clock, that clock is used;
its offset is 0 until then. Else `pyerfa`'s leap-second table is added to unix time.

The kernel's clock is right at every moment. With the table, TAI is one second slow during a leap second,
because unix time then repeats a second. If the system's clock smears leap seconds, both sources are wrong by
the smear.

This module reads the system's clocks. It imports `erfa` at the first need, because `erfa` loads numpy:
call `tai_source` once at start, where the delay is harmless. Next to read: ``motion.sky``; `fields`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from mtmount_twisted.errors import TaiUnavailableError

TAI_AHEAD = 37
"""TAI - UTC since 2017, in seconds, for times that need not be right to the second: no component is known to
act on the time of sending (protocol-tma2022.rst, "The life of a command")."""

_PLAUSIBLE_OFFSET = (10, 100)  # TAI - UTC in s: 10 in 1972, 37 in 2026; 0 in a kernel without a time daemon
_DAY = 86400

LeapSeconds = tuple[tuple[float, int], ...]
"""Pairs of unix time (rising) and seconds: from that time on, TAI is ahead of UTC by these seconds."""


class TaiClock:
    """Clock that returns TAI and names its source.

    :param utc: function that returns unix time in seconds, such as `time.time`.
    :param kernel: function that returns the kernel's TAI in seconds since the unix epoch; None if the kernel
        has no such clock.
    :param table: function that returns the leap seconds and the name of their source; it raises `ImportError`
        if there is no table.
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
        """Return the current TAI.

        :returns: TAI seconds since the unix epoch.
        :raises TaiUnavailableError: if neither source is available.
        """
        utc = self._utc()
        if self._kernel is not None:
            tai = self._kernel()
            if _plausible(tai - utc):
                return tai
        return utc + self._table_offset(utc)

    def source(self) -> str:
        """Return the name of the source of `tai`, with its offset from UTC in seconds.

        :raises TaiUnavailableError: if neither source is available.
        """
        utc = self._utc()
        if self._kernel is not None:
            ahead = self._kernel() - utc
            if _plausible(ahead):
                return f"the kernel's TAI clock, UTC + {round(ahead)} s"
        offset = self._table_offset(utc)
        return f"{self._table_source}, UTC + {offset} s"

    def _table_offset(self, utc: float) -> int:
        """Return the offset of this UTC day: a leap second falls between two days."""
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
    """Return the kernel's TAI clock, or None on systems other than Linux."""
    clock_id: int | None = getattr(time, "CLOCK_TAI", None)
    return None if clock_id is None else lambda: time.clock_gettime(clock_id)


def erfa_table() -> tuple[LeapSeconds, str]:
    """Return pyerfa's leap seconds since 1972, the first year of whole leap seconds."""
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
    # pyerfa calls its built-in table expired 180 days after the last leap second, and so nearly always.
    # The name of the source mentions it; a warning would be too much.
    if leap_seconds.expired:
        source += f" (no leap second known after {leap_seconds.expires:%Y-%m-%d})"
    return since_offset, source


_clock = TaiClock(time.time, _kernel_clock(), erfa_table)


def current_tai() -> float:
    """Return the current TAI from the kernel's clock or pyerfa's table.

    :returns: TAI seconds since the unix epoch.
    :raises TaiUnavailableError: if neither source is available.
    """
    return _clock.tai()


def tai_source() -> str:
    """Return the name of the source of `current_tai`, such as ``the kernel's TAI clock, UTC + 37 s``.

    :raises TaiUnavailableError: if neither source is available.
    """
    return _clock.source()
