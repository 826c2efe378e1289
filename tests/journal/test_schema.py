"""`mtmount_twisted.journal.schema`: what stands in the file means the same to all who read it."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import CommandCode
from mtmount_twisted.journal.reading import OUTCOMES
from mtmount_twisted.journal.schema import CHANGES, OPEN_STEPS, is_end, is_end_sql
from tests.support.pages import DOCS

STEPS = {*OPEN_STEPS, *OUTCOMES} - {"open"}


class EndTests(SynchronousTestCase):
    """Which step is the end of a command."""

    def test_ends(self) -> None:
        """A Done and every failure are an end; an Ack is one of a track command alone."""
        move, track = CommandCode.AZIMUTH_AXIS_MOVE, CommandCode.AZIMUTH_AXIS_TRACK
        going_on = {step for step in STEPS if not is_end(step, move, DIALECT)}
        self.assertEqual(going_on, {"received", "sent", "ack"})
        self.assertEqual({step for step in STEPS if not is_end(step, track, DIALECT)}, going_on - {"ack"})

    def test_sql_says_the_same(self) -> None:
        """The file's views and a program that hears each step agree, of every step of every command."""
        sql = f"SELECT {is_end_sql([DIALECT])} FROM (SELECT ? step, ? code) e"
        codes = (*map(int, CommandCode), 0, -1, 2**40)
        with closing(sqlite3.connect(":memory:")) as db:
            for step in sorted(STEPS):
                for code in codes:
                    (found,) = db.execute(sql, (step, code)).fetchone()
                    self.assertEqual(bool(found), is_end(step, code, DIALECT), (step, code))


class ChangesTests(SynchronousTestCase):
    """The kinds of changes, by which the API selects."""

    def test_explained(self) -> None:
        """The page about the journal explains each kind, and no other; one more is made up by readers."""
        text = (DOCS / "reference" / "journal.rst").read_text(encoding="utf-8")
        section = text.partition("\nEvents\n~~~~~~\n")[2]
        rows = re.findall(r"^(``.*?)  ", section, flags=re.MULTILINE)
        named = re.findall(r"\w+", " ".join(rows))
        self.assertEqual(sorted({*named} - {"unreadable"}), sorted(CHANGES))
