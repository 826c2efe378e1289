"""``mtmount-telemetry``: its subcommands, from the command line to the output."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.cli.telemetry.program import TOO_LITTLE, run
from mtmount_twisted.journal.recording import signals
from mtmount_twisted.journal.recording.index import Recording
from tests.support.folders import scratch_path
from tests.support.recordings import START, Writing, event, item, topic_line

AZIMUTH = "azimuth.actualPosition"


class ProgramTests(SynchronousTestCase):
    """A folder with one recording of 70 s, which begins at 08:10."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)
        self.writing = Writing(self.folder)
        self.writing.record(70, ("azimuth", "elevation"))
        self.writing.turn(event(START + 30.5, b'{"id":2,"text":"\x1b[2J"}'))
        self.writing.finish()

    def run_with(self, *arguments: str) -> tuple[int, str, str]:
        """The exit status, the standard output and the standard error."""
        out, err = io.StringIO(), io.StringIO()
        with_folder = [arguments[0], "--folder", str(self.folder), *arguments[1:]]
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        status = run(with_folder)
        return status, out.getvalue(), err.getvalue()

    def table(self, *arguments: str) -> list[list[str]]:
        """The exported records."""
        status, out, err = self.run_with("export", *arguments)
        self.assertEqual((status, err), (0, ""))
        return list(csv.reader(io.StringIO(out)))

    def test_list(self) -> None:
        """Each recording has a line with its span and its number of messages."""
        status, out, _ = self.run_with("list")
        self.assertEqual(status, 0)
        self.assertIn("telemetry-20270115T081001Z.mcap  2027-01-15T08:10:00.250Z to 2027-01-15T08:11:09", out)
        self.assertIn("281 messages", out)

    def test_list_signals(self) -> None:
        """The signals have units and meanings."""
        _, out, _ = self.run_with("list", "--signals")
        [line] = [line for line in out.splitlines() if line.startswith(f"{AZIMUTH} ")]
        self.assertEqual(line.split()[1], "deg")

    def test_list_names_a_damaged_recording(self) -> None:
        """A damaged recording does not hide the others."""
        (self.folder / "telemetry-20270115T101001Z.mcap").write_bytes(b"nothing")
        _, out, _ = self.run_with("list")
        self.assertEqual(len(out.splitlines()), 2)
        self.assertIn("telemetry-20270115T101001Z.mcap: the record at byte 0 is damaged", out)

    def test_nothing_but_damaged_recordings(self) -> None:
        """If no recording can be read, the program says so, and not that there is none."""
        for path in self.writing.files:
            path.write_bytes(b"nothing")
        for subcommand in ("show", "export"):
            status, _, err = self.run_with(subcommand)
            self.assertEqual(status, 2)
            self.assertIn("no recording can be read, or has messages; see mtmount-telemetry list", err)

    def test_show_a_moment(self) -> None:
        """The values of a moment, with their age."""
        status, out, _ = self.run_with("show", "--at", "2027-01-15T08:10:10", AZIMUTH)
        self.assertEqual((status, out), (0, f"{AZIMUTH} = 19.0  (0.25 s old)\n"))
        _, out, _ = self.run_with("show", "elevation")
        self.assertIn("elevation.actualPosition = 139.0", out)
        self.assertNotIn("azimuth", out)

    def test_show_events(self) -> None:
        """Events have their time, and control characters are made visible."""
        _, out, _ = self.run_with("show", "--events")
        self.assertEqual(out, '2027-01-15T08:10:30.500Z  {"id":2,"text":"\\x1b[2J"}\n')

    def test_export_values(self) -> None:
        """Each line is a row; the time stamps are those of arrival."""
        rows = self.table(AZIMUTH, "elevation.actualPosition", "--until", "2027-01-15T08:10:01")
        self.assertEqual(rows[0], ["time", "unix_time", AZIMUTH, "elevation.actualPosition"])
        self.assertEqual(rows[1], ["2027-01-15T08:10:00.250Z", "1800000600.25", "0.0", ""])
        self.assertEqual(rows[2][2:], ["", "0.0"])
        self.assertEqual(len(rows), 5)

    def test_export_bins(self) -> None:
        """With an interval, each row has least, mean and greatest."""
        rows = self.table(
            AZIMUTH, "--every", "10", "--since", "2027-01-15T08:10", "--until", "2027-01-15T08:11"
        )
        self.assertEqual(rows[0][2:], [f"{AZIMUTH} {word}" for word in ("least", "mean", "greatest")])
        self.assertEqual(rows[1][2:], ["0.0", "9.5", "19.0"])
        self.assertEqual(len(rows), 7)

    def test_export_bins_over_many_years(self) -> None:
        """Intervals without lines are passed over, also if the clock was wrong in a recording, or if one
        recording has messages of two centuries. The intervals after them stay in the same grid."""
        expected = self.table(AZIMUTH, "--every", "10")
        far = Writing(self.folder, START + 3600)
        line = topic_line("azimuth", START + 3600, actualPosition=7.0)
        far.turn(item(START + 3600.5, line), item(9e9, line))
        far.finish()
        long_ago = Writing(self.folder, 100.0)
        long_ago.turn(item(100.25, line))
        long_ago.finish()
        reads: list[float] = []

        def read(folder: Path, names: Sequence[str], start: float, *more: Any) -> signals.Columns:
            reads.append(start)
            return signals_read(folder, names, start, *more)

        signals_read = signals.read
        self.patch(signals, "read", read)
        for names in ((AZIMUTH,), (AZIMUTH, "motion.azimuth.error")):
            reads.clear()
            rows = self.table(*names, "--every", "10")
            self.assertLess(len(reads), 10)
            self.assertEqual([row[4] for row in rows[1:]], ["7.0", *(row[4] for row in expected[1:]), "7.0"])
            self.assertEqual({float(row[1]) % 10 for row in rows[1:]}, {0.25})

    def test_export_lines(self) -> None:
        """Without signals all lines are exported, events among them."""
        rows = self.table()
        self.assertEqual(len(rows), 282)
        self.assertEqual({row[2] for row in rows[1:]}, {"azimuth", "elevation", "events"})

    def test_too_little_memory(self) -> None:
        """If there is too little memory, one line says so."""

        def messages(recording: object, chunk: object) -> None:
            raise MemoryError

        self.patch(Recording, "messages", messages)
        status, _, err = self.run_with("export")
        self.assertEqual((status, err), (2, f"mtmount-telemetry: {TOO_LITTLE}\n"))

    def test_export_to_a_file(self) -> None:
        """The output can go to a file."""
        there = self.folder / "out.csv"
        self.assertEqual(self.run_with("export", AZIMUTH, "-o", str(there)), (0, "", ""))
        self.assertEqual(len(there.read_text().splitlines()), 141)

    def test_formulas_are_escaped(self) -> None:
        """A text that a spreadsheet would run as a formula gets ', unless the user wants it bare."""
        line = topic_line("azimuth", START + 100).replace(b"}", b',"actualPosition":"=1+1"}')
        later = Writing(self.folder, START + 100)
        later.turn(item(START + 100, line))
        later.finish()
        given = (AZIMUTH, "--since", "2027-01-15T08:11:30")
        self.assertEqual(self.table(*given)[1][2], "'=1+1")
        self.assertEqual(self.table(*given, "--no-escape-formulas")[1][2], "=1+1")

    def test_wrong_use(self) -> None:
        """Bad usage, an empty folder and a damaged recording: one line and status 2."""
        for words, expected in (
            (("export", "--every", "5"), "name at least one"),
            (("play", "--speed", "101"), "expected a number from 0.1 to 100, got '101'"),
            (("play", "--speed", "0.01"), "expected a number from 0.1 to 100"),
            (("play", "--port", "65536"), "expected a port from 0 to 65535"),
            (("show", "--since", "now", "--until", "1 h ago"), "expected a time after --since"),
            (("show", "--at", "1 h ago"), "no recorded line in the 10 s before"),
            (("show", "nothing"), "nothing: not recorded then"),
            (
                ("export", "azimuth.bogus"),
                "azimuth.bogus: no recorded signal; see mtmount-telemetry list --signals",
            ),
            (
                ("export", "motion.azimuth.errorSky"),
                "motion.azimuth.errorSky: computed from other signals: give",
            ),
            (("export", "--since", "2030-01-01"), "no recordings in that time"),
        ):
            status, _, err = self.run_with(*words)
            self.assertEqual(status, 2)
            self.assertIn(expected, err)
            self.assertEqual(err.count("\n"), 1)
        self.writing.files[0].unlink()
        status, _, err = self.run_with("export")
        self.assertIn("has no recordings", err)

    def test_damaged_recording(self) -> None:
        """An export of a damaged recording ends with one line that names the file and the record."""
        path = self.writing.files[0]
        data = bytearray(path.read_bytes())
        at = data.index(b"zstd") + 30
        data[at] ^= 0xFF
        path.write_bytes(data)
        status, _, err = self.run_with("export")
        self.assertEqual((status, err.count("\n")), (2, 1))
        self.assertIn(f"{path}: the record at byte ", err)
