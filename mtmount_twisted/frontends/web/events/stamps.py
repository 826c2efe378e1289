"""`Stamps`: moments of the monotonic clock as times of day.

What is shown as an age, such as since when the link is up, is kept as a moment of the monotonic clock, and
becomes a time of day when somebody asks. So its age stays true when the system's clock is set, as it is
shortly after a machine without a clock of its own started. What is recorded, in the journal and in events,
has the time of day that it was when it was recorded. Next to read: `state`.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from .shapes import iso

STEP = 0.05
"""By how much the system's clock must have moved for it to count as set anew, in seconds. Below it a moment
is told as before: whoever asks twice finds the same time."""

_LATEST = 253_402_300_799.0  # the end of the year 9999, the last that ISO 8601 can write plainly


class Stamps:
    """Tell moments of the monotonic clock as times of day, by the system's clock as it is when somebody asks.

    :param clock: an ``IReactorTime`` whose `seconds` is monotonic.
    :param wall_clock: seconds, Unix time.
    """

    def __init__(self, clock: IReactorTime, wall_clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._ahead = wall_clock() - clock.seconds()

    def of(self, moment: float, recorded: float | None = None) -> str:
        """Return the time of day of a moment of the monotonic clock, in ISO 8601, UTC.

        :param moment: seconds by the monotonic clock.
        :param recorded: the time (s, Unix time) under which an event or the journal tells of it, if one does.
            It is told here, too, so that a reader knows the two for one, unless the clock was set since.
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
