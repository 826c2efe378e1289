"""``docs/howto/porting.rst``: the names that it promises are there."""

from __future__ import annotations

import importlib.util
import re

from twisted.trial.unittest import SynchronousTestCase

import mtmount_twisted
from mtmount_twisted import enums, errors
from mtmount_twisted.simulator import axis
from mtmount_twisted.wire import messages
from tests.support.pages import tables

PAGE = "howto/porting.rst"


class NameTests(SynchronousTestCase):
    """What a ported program imports."""

    def test_package_level(self) -> None:
        """Enumerations, ports, the largest sequence id and `FieldInfo` are at package level."""
        for name in ("CommandCode", "Commander", "ReplyCode", "Source", "SubsystemId"):
            self.assertIs(getattr(mtmount_twisted, name), getattr(enums, name))
            self.assertIn(name, mtmount_twisted.__all__)
        ports = {"CSC": 30005, "EUI": 60005, "HHD": 40005}
        for who, port in ports.items():
            self.assertEqual(getattr(mtmount_twisted, f"{who}_COMMAND_PORT"), port)
            self.assertEqual(getattr(mtmount_twisted, f"{who}_REPLY_PORT"), port + 1)
        self.assertEqual(mtmount_twisted.MAX_SEQUENCE_ID, 2147483647)
        self.assertIs(mtmount_twisted.FieldInfo, messages.FieldInfo)
        self.assertEqual(axis.AZIMUTH, axis.Limits(-270, 270, 7, 7))

    def test_everything_that_is_exported(self) -> None:
        """Each name that the package exports is there."""
        for name in mtmount_twisted.__all__:
            self.assertTrue(hasattr(mtmount_twisted, name), name)

    def test_left_out(self) -> None:
        """A name that the page does not call left out is there, and one that it does is not."""
        names = tables(PAGE)[:11]
        self.assertEqual((names[0][0], names[-1][0]), ("``lsst.ts.MTMount``", "``EnabledState``"))
        for cell, here in names[1:]:
            for name in re.findall(r"``(\w+)``", cell):
                self.assertEqual(self.exists(name), not here.startswith("left out"), name)

    def exists(self, name: str) -> bool:
        """Whether it can be imported from the package."""
        module = importlib.util.find_spec(f"mtmount_twisted.{name}")
        return hasattr(mtmount_twisted, name) or module is not None

    def test_exceptions(self) -> None:
        """Each error of the page is the builtin that stands beside it."""
        rows = [row for row in tables(PAGE) if len(row) == 3 and re.match(r"``\w+Error``", row[2])]
        self.assertEqual(len(rows), 9)
        for _, builtin, ours in rows:
            caught, error = re.findall(r"\w+", builtin)[0], re.findall(r"\w+", ours)[0]
            self.assertIn(caught, [base.__name__ for base in getattr(errors, error).__mro__])
