"""`Stamps`: moments of the monotonic clock as times of day.

The daemon keeps a start time, such as that of the link, as a moment of the monotonic clock, and converts the
moment to a time of day for each request. So the age stays true when the system's clock is set, e.g. by NTP
after boot. A record in the journal or in an event has the time of day of its recording. It only reads the
clocks. Next to read: ``api.state``.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from .shapes import iso

STEP = 0.05
"""The smallest move of the system's clock that counts as a setting of the clock, in seconds. After a smaller
move a moment keeps its time of day, so that two requests return the same time."""

_LATEST = 253_402_300_799.0  # the end of the year 9999, the last that ISO 8601 can write plainly


class Stamps:
    """Convert moments of the monotonic clock to times of day, by the system's clock at the time of the call.

    :param clock: an ``IReactorTime`` with monotonic `seconds`.
    :param wall_clock: return the time (s, Unix time).
    """

    def __init__(self, clock: IReactorTime, wall_clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._ahead = wall_clock() - clock.seconds()

    def of(self, moment: float, recorded: float | None = None) -> str:
        """Return the time of day of a moment of the monotonic clock, in ISO 8601, UTC.

        :param moment: seconds by the monotonic clock.
        :param recorded: the time (s, Unix time) of the moment's record in an event or the journal, if any.
            Unless the clock was set since then, the method returns this time, so that a reader can match the
            two.
        """
        ahead = self._wall_clock() - self._clock.seconds()
        if abs(ahead - self._ahead) > STEP:
            self._ahead = ahead
        time = self._ahead + moment
        if recorded is not None and abs(recorded - time) <= STEP:
            time = recorded
        return iso(min(time, _LATEST))

    def now(self) -> str:
        """Return the time of day now."""
        return self.of(self._clock.seconds())
