"""TAI from the kernel or from a table, and what is said of it."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import TaiUnavailableError
from mtmount_twisted.wire import tai


def moment(text: str) -> float:
    """Unix time of an ISO date in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


TABLE = ((moment("1972-01-01"), 10), (moment("2015-07-01"), 36), (moment("2017-01-01"), 37))


class Machine:
    """The clocks of a machine, to be set by a test."""

    def __init__(self, utc: str, kernel_offset: float | None = None, has_table: bool = True) -> None:
        self.utc = moment(utc)
        self.kernel_offset = kernel_offset
        self.has_table = has_table
        self.leap_seconds: tai.LeapSeconds = TABLE
        self.look_ups = 0
        kernel = None if kernel_offset is None else self.read_kernel
        self.clock = tai.TaiClock(lambda: self.utc, kernel, self.read_table)

    def read_kernel(self) -> float:
        """The kernel's TAI."""
        return self.utc + (self.kernel_offset or 0)

    def read_table(self) -> tuple[tai.LeapSeconds, str]:
        """The leap seconds."""
        self.look_ups += 1
        if not self.has_table:
            raise ImportError("No module named 'erfa'")
        return self.leap_seconds, "a table"

    def ahead(self) -> float:
        """By how much TAI is ahead of UTC, s."""
        return self.clock.tai() - self.utc


class Kernel(SynchronousTestCase):
    """The kernel's clock."""

    def test_preferred(self) -> None:
        """The kernel's clock is taken where it is set, even if a table says otherwise, and said to be."""
        machine = Machine("2026-11-22", kernel_offset=38)
        self.assertEqual(machine.ahead(), 38)
        self.assertIn("kernel", machine.clock.source())
        self.assertIn("38 s", machine.clock.source())
        self.assertEqual(machine.look_ups, 0)

    def test_not_set(self) -> None:
        """A kernel that was never told its offset, or has a senseless one, is not believed."""
        for offset in (0, 1e-6, -37, 9, 101, 3600):
            machine = Machine("2026-11-22", kernel_offset=offset)
            self.assertEqual(machine.ahead(), 37)
            self.assertNotIn("kernel", machine.clock.source())

    def test_set_later(self) -> None:
        """When the time daemon sets the kernel's offset, it is taken from then on."""
        machine = Machine("2026-11-22", kernel_offset=0)
        self.assertNotIn("kernel", machine.clock.source())
        machine.kernel_offset = 37.0000004
        self.assertEqual(machine.clock.tai(), machine.read_kernel())
        self.assertIn("kernel's TAI clock, UTC + 37 s", machine.clock.source())

    def test_leap_second(self) -> None:
        """While UTC repeats a second, the kernel's TAI goes on."""
        machine = Machine("2016-12-31T23:59:59", kernel_offset=36)
        before = machine.clock.tai()
        machine.kernel_offset = 37  # a second later: Linux has set unix time back by one
        self.assertEqual(machine.clock.tai(), before + 1)

    def test_without_pyerfa(self) -> None:
        """The kernel's clock alone is enough."""
        self.assertEqual(Machine("2026-11-22", kernel_offset=37, has_table=False).ahead(), 37)


class Table(SynchronousTestCase):
    """The table of leap seconds."""

    def test_offset_of_the_date(self) -> None:
        """The offset is that of the last leap second before now, from its first moment on."""
        for utc, ahead in [("2016-12-31T23:59:59.999", 36), ("2017-01-01", 37), ("2026-11-22T15:30", 37)]:
            machine = Machine(utc)
            self.assertEqual(round(machine.ahead(), 6), ahead, utc)
            self.assertEqual(machine.clock.source(), f"a table, UTC + {ahead} s")

    def test_leap_second_in_a_long_run(self) -> None:
        """A leap second is taken at its midnight by a program that runs on, even if announced meanwhile."""
        machine = Machine("2016-12-31T23:59:59")
        before = machine.clock.tai()
        machine.utc += 1
        self.assertEqual(machine.clock.tai(), before + 2)  # 23:59:60 lay between
        machine.leap_seconds = (*TABLE, (moment("2030-01-01"), 38))
        machine.utc = moment("2030-01-01T00:00:00.5")
        self.assertEqual(machine.ahead(), 38)

    def test_clock_steps(self) -> None:
        """When the system's clock is set, forward or back over a leap second, TAI is right at once."""
        machine = Machine("2026-11-22T12:00")
        for utc, ahead in [
            ("2016-06-01", 36),
            ("2026-11-22T12:00", 37),
            ("2026-11-22T03:00", 37),
            ("1999-01-01", 10),
        ]:
            machine.utc = moment(utc)
            self.assertEqual(machine.ahead(), ahead)

    def test_looked_up_once_a_day(self) -> None:
        """The table is looked up once in a UTC day, however often TAI is asked for."""
        machine = Machine("2026-11-22T00:00")
        for _ in range(100):
            machine.clock.tai()
            machine.utc += 863
        self.assertEqual(machine.look_ups, 1)
        machine.utc += 200
        machine.clock.tai()
        self.assertEqual(machine.look_ups, 2)


class Unavailable(SynchronousTestCase):
    """Neither of them."""

    def test_no_source(self) -> None:
        """With no source at all the error says in one line how to mend it, and mending it helps at once."""
        for offset in (None, 0):
            machine = Machine("2026-11-22", kernel_offset=offset, has_table=False)
            for ask in (machine.clock.tai, machine.clock.source):
                error = self.assertRaises(TaiUnavailableError, ask)
                self.assertIn("install pyerfa", str(error))
                self.assertNotIn("\n", str(error))
            machine.has_table = True
            self.assertEqual(machine.ahead(), 37)

    def test_clock_not_set(self) -> None:
        """A machine whose clock is before leap seconds is told to set it."""
        error = self.assertRaises(TaiUnavailableError, Machine("1970-01-02").clock.tai)
        self.assertIn("clock", str(error))


class Real(SynchronousTestCase):
    """This machine's own."""

    def test_now(self) -> None:
        """This machine's TAI is ahead of its UTC by whole seconds, as many as its source says."""
        source = tai.tai_source()
        ahead = tai.current_tai() - time.time()
        self.assertTrue(36.5 < ahead < 60, ahead)
        self.assertTrue("kernel" in source or "pyerfa" in source, source)
        self.assertIn(f"UTC + {round(ahead)} s", source)

    def test_pyerfa(self) -> None:
        """pyerfa's table has the leap seconds that we know of, and is named, with how far it knows."""
        leap_seconds, source = tai.erfa_table()
        self.assertEqual(tuple(row for row in leap_seconds if row in TABLE), TABLE)
        self.assertEqual(list(leap_seconds), sorted(leap_seconds))
        self.assertEqual(leap_seconds[0], TABLE[0])  # before 1972 the offsets were no whole seconds
        self.assertIn("pyerfa", source)

    def test_table_that_has_not_expired(self) -> None:
        """A table that was updated is named alone; an expired one with the date up to which it knows."""
        rows = [{"year": 2017, "month": 1, "tai_utc": 37.0}]
        for expired, source in [
            (False, "pyerfa's leap-second table"),
            (True, "pyerfa's leap-second table (no leap second known after 2027-06-28)"),
        ]:
            table = SimpleNamespace(get=lambda: rows, expired=expired, expires=datetime(2027, 6, 28))
            with mock.patch.dict(sys.modules, {"erfa": SimpleNamespace(leap_seconds=table)}):
                self.assertEqual(tai.erfa_table(), ((TABLE[-1],), source))

    def test_pyerfa_is_not_installed(self) -> None:
        """Without pyerfa, and without the kernel's clock, this machine can't tell TAI, and says why."""
        clock = tai.TaiClock(time.time, None, tai.erfa_table)
        with mock.patch.dict(sys.modules, {"erfa": None}):
            self.assertIn("erfa", str(self.assertRaises(TaiUnavailableError, clock.tai)))
        self.assertTrue(clock.tai() > time.time())

    def test_numpy_is_imported_late(self) -> None:
        """Importing the module imports neither erfa nor numpy."""
        program = "import sys, mtmount_twisted.wire.tai; print({'erfa', 'numpy'} & set(sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=_ROOT
        )
        self.assertEqual(done.stdout.strip(), "set()")


_ROOT = tai.__file__.rpartition("mtmount_twisted")[0] or "."
