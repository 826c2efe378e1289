"""The measurements of each receiver of telemetry: `SilenceWatch` and `ClockOffset`.

Values and a clock only: no sockets. Next to read: ``client.telemetry`` and ``upstream.telemetry_link``, which
have one of each.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from .deadlines import Deadline

SILENCE = 1.0
"""Time in seconds without telemetry that counts as silence (``protocol-tma2022.rst``, "Time-outs and
losses")."""

OFFSET_INTERVAL = 1.0
"""Time in seconds over which the clock offset is measured; the observatory's client reports it at this
interval."""


class ClockOffset:
    """The mount's clock minus this machine's: the largest difference between the timestamp and the arrival of
    a line in the last full `OFFSET_INTERVAL`. So only the fastest line counts.

    :param clock: the monotonic clock of the intervals.
    :param tai: function that returns TAI seconds since the unix epoch.
    :ivar value: the offset in seconds; None before the first line.
    """

    def __init__(self, clock: IReactorTime, tai: Callable[[], float]) -> None:
        self.value: float | None = None
        self._clock = clock
        self._tai = tai
        self._window: tuple[float, float] | None = None  # its end, and the largest difference in it

    def note(self, timestamp: float) -> None:
        """Note a line with this timestamp, which has just arrived."""
        now = self._clock.seconds()
        difference = timestamp - self._tai()
        if self._window is None:
            self.value = difference
        elif now < self._window[0]:
            self._window = self._window[0], max(self._window[1], difference)
            return
        else:
            self.value = self._window[1]
        self._window = now + OFFSET_INTERVAL, difference


class SilenceWatch:
    """A watch that notices when no telemetry comes, from its construction until `stop`.

    :param clock: the monotonic clock.
    :param seconds: time without telemetry that counts as silence.
    :param changed: called with `silent` after each change of it.
    :param is_held_up: returns True while this side does not read; that time is not silence.
    :ivar silent: True while no telemetry has come for `seconds`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: float,
        changed: Callable[[bool], None],
        is_held_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self.silent: bool = False
        self._clock = clock
        self._seconds = seconds
        self._changed = changed
        self._is_held_up = is_held_up
        self._heard_at = clock.seconds()
        self._timer: Deadline | None = None
        self._wait(seconds)

    def hear(self) -> None:
        """Note that telemetry has come."""
        self._heard_at = self._clock.seconds()
        if self.silent:
            self.silent = False
            self._wait(self._seconds)
            self._changed(False)

    def excuse(self) -> None:
        """Begin the time again, because this side did not read."""
        self._heard_at = self._clock.seconds()

    def stop(self) -> None:
        """End the watch."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        self._timer = Deadline(self._clock, seconds, self._judge)

    def _judge(self) -> None:
        """Look whether there was telemetry in the last seconds; a `Deadline` lets the reactor read first."""
        self._timer = None
        rest = self._heard_at + self._seconds - self._clock.seconds()
        if self._is_held_up():
            rest = self._seconds
        if rest > 0:
            self._wait(rest)
        else:
            self.silent = True
            self._changed(True)
