"""Limits: the distance and the time to each limit of an axis, for the present motion or a tracked place.

For the present motion the velocity counts as constant: an axis that brakes gets there later, or not at all.
An axis that moves to a target between its limits stops before them.

For a tracked place the times are exact solutions on the sphere, not steps in time: only the latitude of the
site matters, and the turn of the Earth. Aberration and precession over 12 h, under 1 arcsec, are left out.
Pure.

Next to read: `sky`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

AxisName = Literal["azimuth", "elevation", "cameraCableWrap"]
Direction = Literal["+", "-"]
Kind = Literal["software", "wrap", "sets", "zenith", "unwrap"]
Level = Literal["calm", "caution", "alarm"]
Basis = Literal["tracking", "motion", "still"]

NAMES: dict[str, AxisName] = {
    "azimuth": "azimuth",
    "elevation": "elevation",
    "camera_cable_wrap": "cameraCableWrap",
}
"""The axes, by their names in facts and previews."""

AHEAD = 12 * 3600.0
"""Longest time ahead in which to look for a limit, s."""

STILL = 1e-6
"""Velocity below which an axis counts as standing still, deg/s. At this velocity a degree takes 11 days."""


SIDEREAL = 0.001
"""Greatest difference between the rates of the mount and of the sky at which the mount counts as following
the sky, deg/s. The sky turns by 0.0042 deg/s."""


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
elevation, the adjustable limits in the recorded settings of the real mount)."""


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """The longest times to a limit at which a row is a caution or an alarm, s."""

    caution: float = 1800.0
    alarm: float = 300.0


_SIGNS: dict[Direction, float] = {"+": 1.0, "-": -1.0}
_NAMES: dict[AxisName, str] = {
    "azimuth": "Azimuth",
    "elevation": "Elevation",
    "cameraCableWrap": "Cable wrap",
}
_WHOLE = 2 * math.pi
_TURN_RATE = (
    1.00273781191135448 * _WHOLE / 86400.0
)  # of the Earth, rad/s (IAU 2000, the Earth rotation angle)
_TINY = 1e-9  # rad; 14 µs


class AxisMotion(NamedTuple):
    """The present motion of an axis.

    :ivar position: deg.
    :ivar velocity: deg/s.
    :ivar target: the position at which the axis stops by itself, deg; None if there is none.
    """

    position: float
    velocity: float
    target: float | None = None


class Limit(NamedTuple):
    """One row: an axis in one direction.

    :ivar name: for a reader: ``Azimuth +``, ``Elevation -``, ``Cable wrap +``; unique.
    :ivar kind: ``software`` (azimuth or elevation that does not track), ``wrap`` (camera cable wrap), and for
        a tracked place ``sets`` (elevation -), ``zenith`` (elevation +), ``unwrap`` (azimuth).
    :ivar limit: position of the limit, deg.
    :ivar distance: distance to the limit, deg, never negative.
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
    """Times until a tracked place reaches each limit, s; None if not within 12 h, 0 if it is there. Each time
    ignores the other limits: a place may reach the zenith limit, and set hours later.

    :ivar sets: until the place is at the low limit of elevation.
    :ivar zenith: until the place is at the high limit of elevation.
    :ivar unwrap_low, unwrap_high: until azimuth is at its low or high limit.
    """

    sets: float | None
    zenith: float | None
    unwrap_low: float | None
    unwrap_high: float | None


def travel_time(distance: float, velocity: float, acceleration: float) -> float:
    """Return the time (s) of a move from rest to rest, with the greatest velocity and acceleration.

    :param distance: in deg, not negative.
    """
    if distance * acceleration <= velocity * velocity:  # it brakes before it reaches the greatest velocity
        return 2 * math.sqrt(distance / acceleration)
    return distance / velocity + velocity / acceleration


def time_to_limit(position: float, velocity: float, limit: float, direction: Direction) -> float | None:
    """Return the time (s) until a position is at a limit at this velocity; None if not within `AHEAD`.

    :param direction: ``+`` for an upper limit, ``-`` for a lower one.
    """
    sign = _SIGNS[direction]
    way, speed = sign * (limit - position), sign * velocity
    if way <= 0:
        return 0.0
    if speed <= STILL:
        return None
    seconds = way / speed
    return seconds if seconds <= AHEAD else None


def track_ends(
    latitude: float,
    azimuth: float,
    elevation: float,
    azimuth_limits: AxisLimits,
    elevation_limits: AxisLimits,
) -> TrackEnds:
    """Return the times until the place in the sky to which the mount points now reaches each limit. It takes
    some 20 µs.

    :param latitude: of the site, deg.
    :param azimuth: of the mount, not folded, deg.
    :param elevation: of the mount, deg.
    """
    place = _Place.of(latitude, azimuth, elevation)
    low, high = elevation_limits
    azimuth_low, azimuth_high = azimuth_limits
    return TrackEnds(
        sets=0.0 if elevation <= low else _sinks_to(place, low),
        zenith=0.0 if elevation >= high else _rises_to(place, high),
        unwrap_low=0.0 if azimuth <= azimuth_low else _turns_to(place, azimuth, azimuth_low),
        unwrap_high=0.0 if azimuth >= azimuth_high else _turns_to(place, azimuth, azimuth_high),
    )


class _Place(NamedTuple):
    """A place in the sky as seen from the site, without air: it turns about the pole at a constant rate."""

    sin_latitude: float
    cos_latitude: float
    sin_declination: float
    cos_declination: float
    hour_angle: float  # now, rad

    @classmethod
    def of(cls, latitude: float, azimuth: float, elevation: float) -> _Place:
        phi, az, el = math.radians(latitude), math.radians(azimuth), math.radians(elevation)
        north, east, up = math.cos(el) * math.cos(az), math.cos(el) * math.sin(az), math.sin(el)
        to_equator = up * math.cos(phi) - north * math.sin(phi)
        return cls(
            math.sin(phi),
            math.cos(phi),
            up * math.sin(phi) + north * math.cos(phi),
            math.hypot(to_equator, east),
            math.atan2(-east, to_equator),
        )


def _turn(place: _Place, hour_angle: float) -> float:
    """Return the angle (rad, 0 to 2π) from now until the place is at an hour angle."""
    turn = (hour_angle - place.hour_angle) % _WHOLE
    return 0.0 if turn > _WHOLE - _TINY else turn


def _seconds(turn: float) -> float | None:
    seconds = turn / _TURN_RATE
    return seconds if seconds <= AHEAD else None


def _hour_angle_at(place: _Place, elevation: float) -> float | None:
    """Return the hour angle west of the meridian (rad, 0 to π) at which the place has this elevation (deg);
    None if it never has."""
    across = place.cos_latitude * place.cos_declination
    above = math.sin(math.radians(elevation)) - place.sin_latitude * place.sin_declination
    return math.acos(above / across) if abs(above) <= across and across else None


def _sinks_to(place: _Place, elevation: float) -> float | None:
    hour_angle = _hour_angle_at(place, elevation)
    return None if hour_angle is None else _seconds(_turn(place, hour_angle))


def _rises_to(place: _Place, elevation: float) -> float | None:
    hour_angle = _hour_angle_at(place, elevation)
    return None if hour_angle is None else _seconds(_turn(place, -hour_angle))


def _turns_to(place: _Place, azimuth: float, limit: float) -> float | None:
    """Return the time (s) until the azimuth, which is not folded, is at a limit; None if not within `AHEAD`.

    The place crosses the vertical circle through the limit at most twice a day. Between two crossings the
    azimuth is in one half-turn from the limit (`half` counts them: 0 is from the limit to 180 deg above it).
    At a crossing the azimuth is at one end of this half-turn: at the end with an even number of half-turns if
    the place is on the limit's side, and at the end with an odd number if it is on the opposite side. After
    the crossing the azimuth is in the next half-turn.
    """
    half = math.floor((azimuth - limit) / 180.0)
    for turn, is_on_limit_side in _crossings(place, limit):
        seconds = _seconds(turn)
        if seconds is None:
            return None
        end = half + ((half % 2 == 1) if is_on_limit_side else (half % 2 == 0))
        if end == 0:
            return seconds
        half = half - 1 if end == half else half + 1
    return None


def _crossings(place: _Place, azimuth: float) -> list[tuple[float, bool]]:
    """Return the next crossings of the vertical circle through an azimuth (deg), the next one first.

    :returns: for each crossing, the angle (rad) until then; and True if it is on the side of this azimuth,
        False if it is on the opposite side.
    """
    sin_az, cos_az = math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))
    # North * sin_az == east * cos_az, as a function of the hour angle H: x cos H + y sin H == z.
    x = place.cos_declination * place.sin_latitude * sin_az
    y = -place.cos_declination * cos_az
    z = place.sin_declination * place.cos_latitude * sin_az
    radius = math.hypot(x, y)
    if abs(z) >= radius:
        return []
    middle, half = math.atan2(y, x), math.acos(z / radius)
    found = []
    for hour_angle in (middle - half, middle + half):
        north = (
            place.sin_declination * place.cos_latitude
            - place.cos_declination * place.sin_latitude * math.cos(hour_angle)
        )
        east = -place.cos_declination * math.sin(hour_angle)
        turn = (hour_angle - place.hour_angle) % _WHOLE
        if _TINY < turn < _WHOLE - _TINY:  # otherwise it crosses now, which `_turns_to` handles
            found.append((turn, north * cos_az + east * sin_az > 0))
    return sorted(found)


def limits(
    axes: Mapping[AxisName, AxisMotion],
    bounds: Mapping[AxisName, AxisLimits] = LIMITS,
    *,
    tracking: bool,
    latitude: float,
    settings: LimitSettings = LimitSettings(),
) -> list[Limit]:
    """Return a row for each direction of each axis whose motion is known, the nearest in time first.

    Rows without a time come last, by distance.

    :param axes: the motion of each axis whose motion is known; a motion with a NaN counts as unknown.
    :param bounds: the limits of these axes; for an axis that it lacks, `LIMITS` is used.
    :param tracking: True if azimuth and elevation track, and are on target. If they also move at the rates of
        the sky, the times are for the place to which they point; otherwise for the present motion.
    :param latitude: of the site, deg.
    """
    axes = {axis: motion for axis, motion in axes.items() if all(map(math.isfinite, motion[:2]))}
    times: dict[tuple[AxisName, Direction], tuple[Kind, float | None]] = {}
    if tracking and "azimuth" in axes and "elevation" in axes and _follows_sky(latitude, axes):
        ends = track_ends(
            latitude,
            axes["azimuth"].position,
            axes["elevation"].position,
            bounds.get("azimuth", LIMITS["azimuth"]),
            bounds.get("elevation", LIMITS["elevation"]),
        )
        times = {
            ("azimuth", "-"): ("unwrap", ends.unwrap_low),
            ("azimuth", "+"): ("unwrap", ends.unwrap_high),
            ("elevation", "-"): ("sets", ends.sets),
            ("elevation", "+"): ("zenith", ends.zenith),
        }
    rows = []
    for axis, (position, velocity, target) in axes.items():
        low, high = bounds.get(axis, LIMITS[axis])
        tracks = tracking and axis != "cameraCableWrap"  # a tracked target moves on
        stops_before = not tracks and target is not None and low <= target <= high
        ends_of_axis: tuple[tuple[Direction, float], ...] = (("-", low), ("+", high))
        for direction, limit in ends_of_axis:
            if (axis, direction) in times:
                kind, seconds = times[axis, direction]
                basis: Basis = "tracking"
            else:
                kind = "wrap" if axis == "cameraCableWrap" else "software"
                seconds = time_to_limit(position, 0.0 if stops_before else velocity, limit, direction)
                basis = "still" if abs(velocity) <= STILL else "motion"
            rows.append(
                Limit(
                    name=f"{_NAMES[axis]} {direction}",
                    axis=axis,
                    direction=direction,
                    kind=kind,
                    limit=limit,
                    distance=max(0.0, _SIGNS[direction] * (limit - position)),
                    seconds=seconds,
                    level=_level(seconds, settings),
                    basis=basis,
                )
            )
    return sorted(rows, key=lambda row: (row.seconds is None, row.seconds or 0.0, row.distance))


def sky_rates(latitude: float, azimuth: float, elevation: float) -> tuple[float, float]:
    """Return the rates of azimuth and elevation (deg/s) of a place in the sky at this azimuth and elevation.

    :param latitude: of the site, deg.
    """
    phi, az, el = map(math.radians, (latitude, azimuth, elevation))
    rate = math.degrees(_TURN_RATE)
    return (
        rate * (math.sin(phi) - math.cos(phi) * math.tan(el) * math.cos(az)),
        rate * math.cos(phi) * math.sin(az),
    )


def _follows_sky(latitude: float, axes: Mapping[AxisName, AxisMotion]) -> bool:
    """Return True if the axes move like a place in the sky; a satellite has other rates."""
    azimuth, elevation = axes["azimuth"], axes["elevation"]
    rates = sky_rates(latitude, azimuth.position, elevation.position)
    on_sky = math.cos(math.radians(elevation.position))
    return (
        abs(azimuth.velocity - rates[0]) * on_sky <= SIDEREAL
        and abs(elevation.velocity - rates[1]) <= SIDEREAL
    )


def _level(seconds: float | None, settings: LimitSettings) -> Level:
    if seconds is None or seconds > settings.caution:
        return "calm"
    return "caution" if seconds > settings.alarm else "alarm"
