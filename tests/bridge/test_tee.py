"""`mtmount_twisted.bridge.tee`: who watches what the bridge records."""

from __future__ import annotations

import logging
from itertools import count
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.bridge.tee import Tee
from mtmount_twisted.interfaces import IJournal, IJournalState, ITee
from mtmount_twisted.journal.recorder import Journal, NoJournal, Waiting

LOG = logging.getLogger("tests.tee")


class TeeTests(SynchronousTestCase):
    """A journal, and who watches beside it."""

    def setUp(self) -> None:
        self.journal = Waiting(lambda: None, lambda: 5.0)
        self.tee = Tee(self.journal, lambda: 5.0, LOG)
        self.rows: list[Any] = []
        for watching in (self.tee.on_message, self.tee.on_step, self.tee.on_event):
            watching.append(lambda *row: self.rows.append(row))  # type: ignore[arg-type]

    def record(self) -> list[int]:
        """Record one of each, and give their numbers."""
        return [
            self.tee.message("csc", "from", 1, b"line"),
            self.tee.step(3, "sent", "csc", 1, 7, 401, 2, "why"),
            self.tee.event("connected", "csc", 1, "detail"),
        ]

    def test_contract(self) -> None:
        """It can stand where a journal is expected, and whoever watches finds what there is to watch."""
        for contract in (IJournal, ITee):
            self.assertTrue(verifyObject(contract, self.tee))
        for journal in (NoJournal(), Journal("journal.sqlite", LOG)):
            for contract in (IJournal, IJournalState):
                self.assertTrue(verifyObject(contract, journal))

    def test_told(self) -> None:
        """Who watches is told each row, with the number that it has in the journal, and the time."""
        self.assertEqual(self.record(), [1, 2, 3])
        self.assertEqual(self.journal.pending, 3)
        self.assertEqual(
            self.rows,
            [
                (1, 5.0, "csc", "from", 1, b"line"),
                (2, 5.0, 3, "sent", "csc", 1, 7, 401, 2, "why"),
                (3, 5.0, "connected", "csc", 1, "detail"),
            ],
        )

    def test_one_time(self) -> None:
        """The time that is told is the one in the journal, however the clock moves on between."""
        ticks = count()
        journal = Waiting(lambda: None, lambda: float(next(ticks)), max_bytes=1500)
        self.tee = Tee(journal, lambda: float(next(ticks)))
        for watching in (self.tee.on_message, self.tee.on_step, self.tee.on_event):
            watching.append(lambda *row: self.rows.append(row))  # type: ignore[arg-type]
        self.record()
        kept = [row[:2] for rows in journal.take() for row in rows]
        self.assertEqual([row[:2] for row in self.rows], kept)
        lost = next(ticks)
        journal.message("csc", "from", 1, b"x" * 2000)
        self.assertEqual(self.tee.message("csc", "from", 1, b""), 0)
        self.assertGreater(self.rows[-1][1], lost)

    def test_without_a_journal(self) -> None:
        """With none, all numbers are 0, and who watches is told all the same."""
        self.tee.journal = NoJournal()
        self.assertEqual(self.record(), [0, 0, 0])
        self.assertEqual(len(self.rows), 3)

    def test_one_that_fails(self) -> None:
        """One that raises is told nothing more, with a traceback in the log; the others are told all."""

        def fail(*row: object) -> None:
            raise RuntimeError("broken")

        self.tee.on_step.insert(0, fail)
        with self.assertLogs(LOG, logging.ERROR) as logged:
            self.record()
            self.record()
        self.assertEqual(len(logged.output), 1)
        self.assertIn("RuntimeError: broken", logged.output[0])
        self.assertEqual(len(self.rows), 6)
