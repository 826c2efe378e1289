"""`mtmount_twisted.net.machines`: the states that may follow one another."""

from __future__ import annotations

from enum import Enum

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.machines import next_state


class Door(Enum):
    """States of a door that is locked for good."""

    OPEN = "open"
    LOCKED = "locked"


TABLE = {Door.OPEN: (Door.LOCKED,), Door.LOCKED: ()}


class NextStateTests(SynchronousTestCase):
    """A state that is an enum, with a table."""

    def test_change_in_the_table(self) -> None:
        """A change that the table lists is made."""
        self.assertIs(next_state(TABLE, Door.OPEN, Door.LOCKED), Door.LOCKED)

    def test_change_outside_the_table(self) -> None:
        """Any other change is an error that names both states."""
        with self.assertRaisesRegex(RuntimeError, r"Door\.LOCKED can't become Door\.OPEN"):
            next_state(TABLE, Door.LOCKED, Door.OPEN)
