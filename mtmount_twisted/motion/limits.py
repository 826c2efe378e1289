"""Limits: the distance and the time to each limit of an axis, for the present motion or a tracked place.

Under the present motion the velocity is taken as it is: an axis that brakes gets there later, or not at all.
For a tracked place the times are exact solutions on the sphere, not steps in time: only the latitude of the
site matters, and the turn of the Earth. Left out are aberration and precession over 12 h, under 1 arcsec.

Next to read: `sky`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

AxisName = Literal["azimuth", "elevation", "cameraCableWrap"]
Direction = Literal["+", "-"]
Kind = Literal["software", "wrap", "sets", "zenith", "unwrap"]
Level = Literal["calm", "caution", "alarm"]
Basis = Literal["tracking", "motion", "still"]

AHEAD = 12 * 3600.0
"""How far ahead a limit is looked for, s."""

STILL = 1e-6
"""Velocity below which an axis stands still, deg/s. It would take 11 days for a degree."""


class AxisLimits(NamedTuple):
    """The software limits of an axis, deg."""

    low: float
    high: float


LIMITS: dict[AxisName, AxisLimits] = {
    "azimuth": AxisLimits(-270.0, 270.0),
    "elevation": AxisLimits(15.1, 86.4),
    "cameraCableWrap": AxisLimits(-90.0, 90.0),
}
"""The limits of a mount that has not sent its settings (protocol-tma2022.rst, "The motion of the mount"; for
elevation the adjustable limits of its settings)."""


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Times to a limit from which a row is a caution or an alarm, s."""

    caution: float = 1800.0
    alarm: float = 300.0


class AxisMotion(NamedTuple):
    """The present motion of an axis.

    :ivar position: deg.
    :ivar velocity: deg/s.
    """

    position: float
    velocity: float


class Limit(NamedTuple):
    """One row: an axis in one direction.

    :ivar name: for a reader: ``Azimuth +``, ``Elevation -``, ``Cable wrap +``; unique.
    :ivar kind: ``software`` (azimuth or elevation that does not track), ``wrap`` (camera cable wrap), and for
        a tracked place ``sets`` (elevation -), ``zenith`` (elevation +), ``unwrap`` (azimuth).
    :ivar limit: position of the limit, deg.
    :ivar distance: way to the limit, deg, never negative.
    :ivar seconds: time to the limit, s; None if it is not reached in 12 h; 0 at the limit or beyond it.
    :ivar basis: ``tracking`` (a tracked place), ``motion`` (the present velocity), ``still``.
    """

    name: str
    axis: AxisName
    direction: Direction
    kind: Kind
    limit: float
    distance: float
    seconds: float | None
    level: Level
    basis: Basis


class TrackEnds(NamedTuple):
    """Times until a tracked place reaches each limit, s; None if not within 12 h, 0 if it is there.

    Each is for itself: a place may reach the zenith limit, and set hours later.

    :ivar sets: until it is at the low limit of elevation.
    :ivar zenith: until it is at the high limit of elevation.
    :ivar unwrap_low, unwrap_high: until azimuth is at its low or high limit.
    """

    sets: float | None
    zenith: float | None
    unwrap_low: float | None
    unwrap_high: float | None


def time_to_limit(position: float, velocity: float, limit: float, direction: Direction) -> float | None:
    """Return the time (s) until a position is at a limit at this velocity; None if not within `AHEAD`.

    :param direction: ``+`` for an upper limit, ``-`` for a lower one.
    """
    raise NotImplementedError


def track_ends(
    latitude: float,
    azimuth: float,
    elevation: float,
    azimuth_limits: AxisLimits,
    elevation_limits: AxisLimits,
) -> TrackEnds:
    """Return when the place in the sky to which the mount points now reaches each limit. It takes some 10 µs.

    :param latitude: of the site, deg.
    :param azimuth: of the mount, not folded, deg.
    :param elevation: of the mount, deg.
    """
    raise NotImplementedError


def limits(
    axes: dict[AxisName, AxisMotion],
    bounds: dict[AxisName, AxisLimits],
    *,
    tracking: bool,
    latitude: float,
    settings: LimitSettings = LimitSettings(),
) -> list[Limit]:
    """Return a row for each direction of each axis whose motion is known, the nearest in time first.

    Rows without a time come last, by distance.

    :param axes: the motion of each axis that is known.
    :param bounds: the limits of these axes; `LIMITS` is for axes that it lacks.
    :param tracking: True if azimuth and elevation track a place in the sky (and are there).
    :param latitude: of the site, deg.
    """
    raise NotImplementedError
