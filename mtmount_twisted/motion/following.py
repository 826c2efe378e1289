"""Following: how far an axis is from its demand, each value at its own time stamp.

Demand and actual position are measured at different moments: at 7 deg/s, 50 ms between them would look like
an error of 0.35 deg. So the demand is interpolated to the time of the actual position. A jump of the demand
(a new target) adds nothing to the interpolation around it.

Next to read: `slews`, which judges these errors after a slew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW = 15.0
"""Length of the sliding window, s."""


class Sample(NamedTuple):
    """One line of telemetry of an axis.

    A value that is missing is None or NaN; the sample is used as far as it goes.

    :ivar demand: demanded position, deg.
    :ivar demand_at: time of the demanded position, TAI s.
    :ivar actual: measured position, deg.
    :ivar actual_at: time of the measured position, TAI s.
    """

    demand: float | None
    demand_at: float | None
    actual: float | None
    actual_at: float | None


class Following:
    """The error of one axis, now and over a sliding window. Each sample costs O(1), amortised.

    Errors are demand minus actual, arcsec. An error is known once the demand on both sides of its time is: up
    to two samples (0.1 s) later.

    A sample that is older than the one before it, or as old, is left out. If time goes back by more than 1 s
    (the mount's clock was set, a playback begins again), everything starts anew.

    :param window: length of the window, s.
    :ivar error: last error on the axis, arcsec; None before the first.
    :ivar error_sky: last error on the sky, arcsec: `error` times the cosine of the elevation, or `error`.
    :ivar at: TAI s of the last error; None before the first.
    :ivar rms: root mean square of the error on the sky over the window that ends at `at`, arcsec, or None.
    :ivar greatest: greatest absolute error on the sky in the same window, arcsec, or None.
    :ivar covered: length of time in the window that errors cover, s.
    """

    def __init__(self, window: float = WINDOW) -> None:
        self.error: float | None = None
        self.error_sky: float | None = None
        self.at: float | None = None

    def add(self, sample: Sample, elevation: float | None = None) -> None:
        """Add a sample, in order of time.

        :param elevation: for azimuth, the elevation (deg) of about this time: the error on the sky is smaller
            by its cosine. None for elevation, whose error is the same on the sky.
        """

    def clear(self) -> None:
        """Forget all samples and errors."""

    @property
    def rms(self) -> float | None:
        return None

    @property
    def greatest(self) -> float | None:
        return None

    @property
    def covered(self) -> float:
        return 0.0


def errors(
    demand: NDArray[np.float64],
    demand_at: NDArray[np.float64],
    actual: NDArray[np.float64],
    actual_at: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the errors (arcsec, on the axis) of whole columns, one for each actual position.

    The rule is that of `Following`. Where the demand around an actual position is not known, the error is
    NaN.

    :param demand, actual: deg; NaN where a value is missing.
    :param demand_at, actual_at: s, rising; demand and actual may have different lengths.
    """
    raise NotImplementedError
