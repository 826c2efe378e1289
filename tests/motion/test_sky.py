"""Azimuth and elevation to the sky and back, against astropy."""

from __future__ import annotations

import math
import warnings
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.motion.sky import Site, horizontal, position, ut1_is_stale

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import astropy.units as u
    from astropy.coordinates import ICRS, AltAz, EarthLocation, HADec, SkyCoord
    from astropy.table import QTable
    from astropy.time import Time
    from astropy.utils import iers

LIMIT = 0.01 / 3600.0
"""Largest difference, deg: 0.01 arcsec."""

SITES = (
    Site(ut1_utc=0.0734, ut1_utc_date=date(2026, 1, 1)),
    Site(latitude=28.76, longitude=-17.88, height=2396.0, ut1_utc=-0.31),
    Site(latitude=-0.5, longitude=179.9, height=0.0, ut1_utc=0.8),
)


def no_polar_motion() -> Any:
    """Return an IERS table for astropy that has no polar motion, and that nobody has to fetch."""
    days = np.array([50000.0, 70000.0])
    return iers.IERS(
        QTable(
            {
                "MJD": days * u.d,
                "UT1_UTC": np.zeros(2) * u.s,
                "PM_x": np.zeros(2) * u.arcsec,
                "PM_y": np.zeros(2) * u.arcsec,
                "dX_2000A": np.zeros(2) * u.arcsec,
                "dY_2000A": np.zeros(2) * u.arcsec,
            }
        )
    )


def apart(one: float, two: float) -> float:
    """Return the difference of two angles, deg."""
    return abs((one - two + 180.0) % 360.0 - 180.0)


class SkyTests(SynchronousTestCase):
    """Each figure is within 0.01 arcsec of astropy's, refraction off."""

    def setUp(self) -> None:
        table = iers.earth_orientation_table.set(no_polar_motion())
        table.__enter__()
        self.addCleanup(table.__exit__, None, None, None)
        offline = iers.conf.set_temp("auto_download", False)
        offline.__enter__()
        self.addCleanup(offline.__exit__, None, None, None)

    def compare(self, site: Site, azimuth: float, elevation: float, utc: float) -> None:
        where = EarthLocation.from_geodetic(site.longitude * u.deg, site.latitude * u.deg, site.height * u.m)
        time = Time(utc, format="unix", scale="utc", location=where)
        time.delta_ut1_utc = site.ut1_utc
        frame = AltAz(obstime=time, location=where)
        theirs = SkyCoord(azimuth * u.deg, elevation * u.deg, frame=frame)
        icrs, hadec = theirs.transform_to(ICRS()), theirs.transform_to(HADec(obstime=time, location=where))
        ours = position(site, azimuth, elevation, utc)
        message = f"{site} {azimuth} {elevation} {utc}: {ours}"

        def near(one: float, two: float, scale: float = 1.0) -> None:
            self.assertLess(apart(one, two) * scale, LIMIT, message)

        near(ours.right_ascension, icrs.ra.deg, math.cos(icrs.dec.rad))
        near(ours.declination, icrs.dec.deg)
        near(ours.hour_angle, hadec.ha.deg, math.cos(hadec.dec.rad))
        near(ours.sidereal_time, time.sidereal_time("apparent").deg)
        self.assertAlmostEqual(ours.airmass or 0.0, float(theirs.secz), places=9)
        # The angle at the place in the sky between the directions to the pole of date and to the zenith.
        pole = SkyCoord(0 * u.deg, 90 * u.deg, frame=HADec(obstime=time, location=where)).transform_to(frame)
        zenith = SkyCoord(0 * u.deg, 90 * u.deg, frame=frame)
        # From inside, azimuth runs the other way round than right ascension.
        angle = (theirs.position_angle(pole) - theirs.position_angle(zenith)).deg
        near(ours.parallactic_angle, angle, min(math.cos(hadec.dec.rad), math.cos(math.radians(elevation))))
        az, el = horizontal(site, icrs.ra.deg, icrs.dec.deg, utc)
        near(az, azimuth, math.cos(math.radians(elevation)))
        near(el, elevation)

    def test_against_astropy(self) -> None:
        """On three sites, over 20 years and the whole sky above 3 deg."""
        rng = np.random.default_rng(15)
        for index in range(30):
            azimuth, elevation = rng.uniform(-270, 270), rng.uniform(3, 89.9)
            utc = rng.uniform(1_262_304_000, 1_830_000_000)
            self.compare(SITES[index % 3], float(azimuth), float(elevation), float(utc))

    def test_there_and_back(self) -> None:
        """The sky position leads back to azimuth and elevation."""
        sky = position(SITES[0], -200.0, 60.0, 1.79e9)
        az, el = horizontal(SITES[0], sky.right_ascension, sky.declination, 1.79e9)
        self.assertLess(apart(az, 160.0), LIMIT)
        self.assertLess(apart(el, 60.0), LIMIT)

    def test_horizon(self) -> None:
        """At the horizon and below there is no airmass."""
        self.assertIsNone(position(SITES[0], 10.0, 0.0, 1.79e9).airmass)
        self.assertIsNone(position(SITES[0], 10.0, -5.0, 1.79e9).airmass)

    def test_beyond_the_zenith(self) -> None:
        """An elevation just over 90 deg is the same place as one below it on the other side."""
        over, other = position(SITES[0], 10.0, 90.05, 1.79e9), position(SITES[0], 190.0, 89.95, 1.79e9)
        self.assertLess(apart(over.right_ascension, other.right_ascension), LIMIT)
        self.assertLess(apart(over.declination, other.declination), LIMIT)
        self.assertAlmostEqual(over.hour_angle, other.hour_angle, places=6)

    def test_wrong_numbers(self) -> None:
        """A number that is none is refused by its name."""
        for arguments, name in (
            ((math.nan, 45.0, 1.79e9), "azimuth"),
            ((10.0, -90.5, 1.79e9), "elevation"),
            ((10.0, 45.0, math.inf), "utc"),
        ):
            error = self.assertRaises(ValueError, position, SITES[0], *arguments)
            self.assertIn(name, str(error))
        error = self.assertRaises(ValueError, horizontal, SITES[0], 10.0, -90.5, 1.79e9)
        self.assertIn("declination", str(error))


class StaleTests(SynchronousTestCase):
    """UT1-UTC holds for 90 days."""

    def test_stale(self) -> None:
        """It is stale after 90 days, and without a date."""
        site = Site(ut1_utc_date=date(2026, 6, 1))
        for day, expected in (
            (date(2026, 6, 1), False),
            (date(2026, 8, 30), False),
            (date(2026, 8, 31), True),
            (date(2026, 1, 1), True),
        ):
            utc = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
            self.assertEqual(ut1_is_stale(site, utc), expected, day)
            self.assertEqual(position(site, 10.0, 45.0, utc).ut1_is_stale, expected, day)
        self.assertTrue(ut1_is_stale(Site(), 1.79e9))
