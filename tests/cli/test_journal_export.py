"""What ``mtmount-journal export`` writes: for programs, for a spreadsheet, and on a terminal."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.cli.journal import main
from mtmount_twisted.cli.journal.export import Cells, export_csv, export_jsonl
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.journal.reading import Entry
from tests.support.journals import START, SessionCase
from tests.test_visible import ALL, hidden_in

FORMULAS = (
    *("=1+1", "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1"),
    *("\uff1d1+1", "\uff0b1", "\uff0d1+1", "\uff20x", "-", "+49 30", "-1e", "=", "-1\n=1"),
)
"""What a spreadsheet would run, or might."""

NUMBERS = ("-5", "+5", "-5.25", "+1e-3", "-0")


class Terminal(io.StringIO):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def entry(text: str) -> Entry:
    """A step whose explanation, and an event's detail, is a text."""
    return Entry(1, 1, "step", START, text, 1, "noack", -7, -8, 103, 0, text, None, DIALECT)


def rows(text: str, **options: Any) -> Iterator[dict[str, str]]:
    """The records of a step with a text, as a spreadsheet reads them."""
    file = io.StringIO()
    export_csv([entry(text)], file, Cells(**options))
    return csv.DictReader(io.StringIO(file.getvalue(), newline=""))


class FormulaTests(SynchronousTestCase):
    """CSV in a spreadsheet."""

    def test_escaped(self) -> None:
        """A text that would be run has an apostrophe before it, in whatever column it is."""
        for text in FORMULAS:
            [row] = rows(text)
            self.assertEqual((row["text"], row["peer"]), (f"'{text}", f"'{text}"))

    def test_numbers(self) -> None:
        """Numbers stay numbers, in the columns of numbers and as a text that is one."""
        for text in NUMBERS:
            [row] = rows(text)
            self.assertEqual((row["text"], row["key"], row["sequence_id"]), (text, "-7", "-8"))

    def test_other_texts(self) -> None:
        """What is no formula stays as it is."""
        for text in ("", "a=1", "no: -5 is too small", "'=1", " x", "1\n=2"):
            [row] = rows(text)
            self.assertEqual(row["text"], text)

    def test_turned_off(self) -> None:
        """Without it every text stays as it was recorded."""
        for text in FORMULAS:
            [row] = rows(text, escape_formulas=False)
            self.assertEqual(row["text"], text)


class ProgramTests(SessionCase):
    """The program, with its output on a terminal and elsewhere."""

    def setUp(self) -> None:
        super().setUp()
        self.records.step(0, "refused", "EUI", 1, 1, 32, 1, f"=no {ALL[1:]}".replace("\ud800", ""))
        self.records.line("controller", "from", 1, b"=\xff\x1b[2J\n\xe2\x80\xae")
        self.writer.turn()

    def export(self, file: io.StringIO, *words: str) -> str:
        """What ``export --format csv`` writes."""
        self.patch(sys, "stdout", file)
        words = ("export", "--format", "csv", "--journal", str(self.path), *words)
        self.assertEqual(main(words), 0)
        return file.getvalue()

    def test_on_a_terminal(self) -> None:
        """Records are one line each on a terminal, and nothing in them does anything to it."""
        text = self.export(Terminal())
        self.assertEqual(hidden_in(text, "\n"), set())
        self.assertEqual(len(text.splitlines()), 1 + 23 + 2)
        self.assertIn("'=no \\x07", text)

    def test_elsewhere(self) -> None:
        """In a pipe or a file a text is as it was recorded, but for the apostrophe."""
        text = self.export(io.StringIO())
        self.assertIn("'=no \x07", text)
        self.assertIn("\u202e", text)

    def test_option(self) -> None:
        """``--no-escape-formulas`` leaves out the apostrophe; by default it is there."""
        self.assertIn("'=no", self.export(io.StringIO()))
        self.assertIn("'=no", self.export(io.StringIO(), "--escape-formulas"))
        self.assertNotIn("'=", self.export(io.StringIO(), "--no-escape-formulas"))


class HostileTests(SynchronousTestCase):
    """Recorded texts that a terminal would obey."""

    def test_csv(self) -> None:
        """On a terminal each record is one line of visible text; elsewhere it is as recorded."""
        file = io.StringIO()
        export_csv([entry(f"a\n{ALL}")], file, Cells(for_terminal=True))
        _, line = file.getvalue().splitlines()
        self.assertEqual(hidden_in(line), set())
        self.assertIn("a\\n\\x00\\x07", line)
        [row] = rows(f"a\n{ALL[1:]}")
        self.assertEqual(row["text"], f"a\n{ALL[1:]}")

    def test_jsonl(self) -> None:
        """JSON lines are visible ASCII everywhere, and mean what was recorded."""
        file = io.StringIO()
        export_jsonl([entry(f"a\n{ALL}")], file)
        text = file.getvalue()
        self.assertEqual(hidden_in(text, "\n"), set())
        self.assertTrue(text.isascii())
        self.assertEqual(json.loads(text)["text"], f"a\n{ALL}")
