"""The place in the sky to which azimuth and elevation point, and back: `pyerfa`, without refraction.

The positions come from the encoders: there is no pointing model, and polar motion (0.5 arcsec at most) is
left out. `erfa` loads numpy, so the first call imports it. Pure.

Next to read: `limits`, which follows a place in the sky until a limit.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, NamedTuple

UT1_DAYS = 90
"""Age above which a value of UT1-UTC is stale, days. UT1-UTC changes by up to 1 ms a day, so up to this age
its error is below 0.1 s, which is 1.4 arcsec."""

_BOUNDS = {"elevation": (-90.0, 180.0), "declination": (-90.0, 90.0)}  # deg
_UNIX_EPOCH = 2440587.5  # Julian date of 1970-01-01
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Site:
    """The place of the telescope, by default the place of the Vera C. Rubin Observatory.

    :ivar latitude: geodetic (WGS84), deg, -90 to 90, north is positive.
    :ivar longitude: deg, -180 to 180, east is positive.
    :ivar height: above the ellipsoid, m.
    :ivar ut1_utc: UT1-UTC, s, -0.9 to 0.9, as the IERS publishes it (Bulletin A).
    :ivar ut1_utc_date: the day for which `ut1_utc` holds; None if it is not set, so that `ut1_utc` counts as
        stale.
    """

    latitude: float = -30.244639
    longitude: float = -70.749417
    height: float = 2663.0
    ut1_utc: float = 0.0
    ut1_utc_date: date | None = None


class Sky(NamedTuple):
    """A place in the sky and its relation to the site, at one moment.

    :ivar right_ascension: ICRS, deg, 0 to 360.
    :ivar declination: ICRS, deg.
    :ivar hour_angle: topocentric, of date, deg, -180 to 180, west is positive. It is not `sidereal_time`
        minus `right_ascension`, because `right_ascension` is for J2000.
    :ivar sidereal_time: local, apparent, deg, 0 to 360.
    :ivar parallactic_angle: deg, -180 to 180, positive west of the meridian on the side of the pole.
    :ivar airmass: the secant of the zenith distance; None at the horizon and below.
    :ivar ut1_is_stale: True if the site's UT1-UTC is for a day more than `UT1_DAYS` before or after this
        time, or has no date.
    """

    right_ascension: float
    declination: float
    hour_angle: float
    sidereal_time: float
    parallactic_angle: float
    airmass: float | None
    ut1_is_stale: bool


def position(site: Site, azimuth: float, elevation: float, utc: float) -> Sky:
    """Return the place in the sky to which the mount points. It takes about 0.1 ms; the first call loads
    numpy.

    :param azimuth: deg, from north over east; any number of turns.
    :param elevation: deg, -90 to 180; above 90 is beyond the zenith; the mount can go 0.1 deg beyond it.
    :param utc: unix time, s.
    :raises ValueError: if a number is not finite or the elevation is out of its bounds.
    """
    _check(azimuth=azimuth, elevation=elevation, utc=utc)
    erfa = _erfa()
    az, el = math.radians(azimuth % 360.0), math.radians(elevation)
    latitude = math.radians(site.latitude)
    days = utc / _DAY
    ra, dec = erfa.atoc13("A", az, math.pi / 2 - el, _UNIX_EPOCH, days, *_observer(site))
    hour_angle, dec_of_date = erfa.ae2hd(az, el, latitude)
    ut1 = days + site.ut1_utc / _DAY
    tt = erfa.taitt(*erfa.utctai(_UNIX_EPOCH, days))
    sidereal = erfa.gst06a(_UNIX_EPOCH, ut1, *tt) + math.radians(site.longitude)
    return Sky(
        right_ascension=math.degrees(ra) % 360.0,
        declination=math.degrees(dec),
        hour_angle=math.degrees(hour_angle),
        sidereal_time=math.degrees(sidereal) % 360.0,
        parallactic_angle=math.degrees(erfa.hd2pa(hour_angle, dec_of_date, latitude)),
        airmass=1.0 / math.sin(el) if el > 1e-6 else None,
        ut1_is_stale=ut1_is_stale(site, utc),
    )


def horizontal(site: Site, ra: float, dec: float, utc: float) -> tuple[float, float]:
    """Return azimuth (deg, 0 to 360) and elevation (deg) of an ICRS position, without refraction.

    :param ra, dec: ICRS, deg.
    :param utc: unix time, s.
    :raises ValueError: if a number is not finite or the declination is out of its bounds.
    """
    _check(right_ascension=ra, declination=dec, utc=utc)
    az, zenith_distance, *_ = _erfa().atco13(
        math.radians(ra % 360.0),
        math.radians(dec),
        0.0,
        0.0,
        0.0,
        0.0,
        _UNIX_EPOCH,
        utc / _DAY,
        *_observer(site),
    )
    return math.degrees(az) % 360.0, 90.0 - math.degrees(zenith_distance)


def ut1_is_stale(site: Site, utc: float) -> bool:
    """Return True if the site's UT1-UTC is for a day more than `UT1_DAYS` from this time, or has no date."""
    if site.ut1_utc_date is None:
        return True
    day = datetime.fromtimestamp(utc, UTC).date()
    return abs((day - site.ut1_utc_date).days) > UT1_DAYS


def _observer(site: Site) -> tuple[float, ...]:
    """Return erfa's arguments after the time: UT1-UTC, the place, no polar motion, no air (no refraction)."""
    latitude, longitude = math.radians(site.latitude), math.radians(site.longitude)
    return site.ut1_utc, longitude, latitude, site.height, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        low, high = _BOUNDS.get(name, (-math.inf, math.inf))
        if not math.isfinite(value):
            raise ValueError(f"{name}: {value!r} is not a finite number")
        if not low <= value <= high:
            raise ValueError(f"{name}: {value!r} is not in {low:g} to {high:g} deg")


@cache
def _erfa() -> Any:
    return importlib.import_module("erfa")
