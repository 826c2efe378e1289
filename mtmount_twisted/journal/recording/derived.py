"""The signals that are computed from others. No I/O, and no numpy, which is slow to import.

Next to read: ``motion.following``; `digests`, which computes them.
"""

from __future__ import annotations

from typing import NamedTuple


class Derived(NamedTuple):
    """A signal that is computed from the signals of one axis.

    :ivar topic: the topic of the axis.
    :ivar on_sky: True for the error on the sky, which is smaller by the cosine of the elevation.
    """

    topic: str
    on_sky: bool
    doc: str


DERIVED = {
    "motion.azimuth.error": Derived("azimuth", False, "Demand minus actual position, on the axis."),
    "motion.azimuth.errorSky": Derived("azimuth", True, "Demand minus actual position, on the sky."),
    "motion.elevation.error": Derived("elevation", False, "Demand minus actual position."),
    "motion.elevation.errorSky": Derived("elevation", False, "Demand minus actual position."),
}
"""The derived signals. Each value has its own time stamp: see `motion.following`."""

AXIS = ("demandPosition", "demandPositionTimestamp", "actualPosition", "actualPositionTimestamp")
"""The quantities of an axis from which the following error comes."""

ARCSEC = "arcsec"
"""The unit of the derived signals."""
