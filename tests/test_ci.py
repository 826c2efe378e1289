"""``.ci/run``: its last line sums what the test runners reported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .folders import scratch_folder

ROOT = Path(__file__).resolve().parent.parent
REPORT = (
    '<testsuites><testsuite name="pytest" errors="{}" failures="{}" skipped="{}" tests="{}"/></testsuites>'
)


class SummaryTests(SynchronousTestCase):
    """The line."""

    def setUp(self) -> None:
        self.folder = scratch_folder(self)

    def summary(self) -> str:
        """The line for all reports."""
        script = ROOT / ".ci" / "summary.py"
        done = subprocess.run(
            [sys.executable, script, self.folder], capture_output=True, text=True, check=True
        )
        return done.stdout

    def test_sum(self) -> None:
        """The reports are added up; an error is a failure."""
        (self.folder / "tests.xml").write_text(REPORT.format(1, 2, 30, 1000))
        (self.folder / "browser.xml").write_text(REPORT.format(0, 0, 1, 50))
        self.assertEqual(self.summary(), "tests: 1016 passed, 3 failed, 31 skipped\n")

    def test_no_report(self) -> None:
        """Where no runner came as far as a report, nothing passed."""
        self.assertEqual(self.summary(), "tests: 0 passed, 0 failed, 0 skipped\n")

    def test_half_a_report(self) -> None:
        """A report that breaks off is no success."""
        (self.folder / "tests.xml").write_text(REPORT[:30])
        self.assertEqual(self.summary(), "tests: 0 passed, 1 failed, 0 skipped\n")

    def test_failing_run(self) -> None:
        """A run that fails ends with the line, too, once, and with the failure's status."""
        for name, script in (
            ("apt-get", "exit 0"),
            ("python3", f'[ "$1" = .ci/summary.py ] || exit 7\nexec {sys.executable} "$@"'),
        ):
            program = self.folder / name
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        done = subprocess.run(
            ["bash", ROOT / ".ci" / "run", "lint"],
            env={"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 7, done.stdout)
        self.assertEqual(done.stdout.count("tests: "), 1, done.stdout)
        self.assertEqual(done.stdout.splitlines()[-1], "tests: 0 passed, 0 failed, 0 skipped")
        self.assertEqual(sorted(os.listdir(self.folder)), ["apt-get", "python3"])
