"""``.ci/run``: three steps at a time, and a last line that sums what the test runners reported."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.folders import scratch_folder

ROOT = Path(__file__).resolve().parent.parent.parent
REPORT = (
    '<testsuites><testsuite name="pytest" errors="{}" failures="{}" skipped="{}" tests="{}"/></testsuites>'
)


def link_programs(folder: Path) -> None:
    """Make a folder with the programs that ``.ci/run`` needs besides Python."""
    folder.mkdir()
    for name in ("bash", "cat", "dirname", "env", "find", "grep", "mkdir", "mktemp", "rm", "sleep"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)


def write_program(path: Path, script: str) -> None:
    """Make a program of a script for ``sh``."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


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


class RunTests(SynchronousTestCase):
    """The end of a run, however it ends."""

    def setUp(self) -> None:
        self.folder = scratch_folder(self)
        self.programs = self.folder / "bin"
        link_programs(self.programs)
        self.program("apt-get", "exit 0")

    def program(self, name: str, script: str) -> None:
        """Let there be a program of this name."""
        write_program(self.programs / name, script)

    def run_it(self, *steps: str) -> subprocess.CompletedProcess[str]:
        """Run steps with only the programs of this test; the line comes last, once, and no file is left."""
        done = subprocess.run(
            ["bash", ROOT / ".ci" / "run", *steps],
            env={"PATH": str(self.programs), "TMPDIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.assertEqual(done.stdout.count("tests: "), 1, done.stdout)
        self.assertEqual(done.stdout.splitlines()[-1], "tests: 0 passed, 0 failed, 0 skipped", done.stdout)
        self.assertEqual(os.listdir(self.folder), ["bin"])
        return done

    def test_failing_step(self) -> None:
        """A step that fails is named, and its status is the run's."""
        self.program("python3", f'[ "$1" = .ci/summary.py ] || exit 7\nexec {sys.executable} "$@"')
        done = self.run_it("lint")
        self.assertEqual(done.returncode, 7, done.stdout)

    def test_missing_python(self) -> None:
        """Without Python no step begins."""
        done = self.run_it()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("python3", done.stdout)

    def test_missing_tool(self) -> None:
        """A tool that a step needs and that can't be installed is named."""
        self.program("python3", f'exec {sys.executable} "$@"')
        self.program("apt-get", "echo no package of this name >&2\nexit 100")
        done = self.run_it("metrics")
        self.assertEqual(done.returncode, 100, done.stdout)
        self.assertIn("== metrics: failed", done.stdout)
        self.assertIn("no package of this name", done.stdout)

    def test_unknown_step(self) -> None:
        """A step that there is not is named, and nothing is run."""
        done = self.run_it("lint", "lints")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no step 'lints'; there are: tests ", done.stdout)


class BesideTests(SynchronousTestCase):
    """Three steps at a time, in a tree whose Python says what it is asked and waits for the test."""

    def setUp(self) -> None:
        self.tree = scratch_folder(self)
        shutil.copytree(ROOT / ".ci", self.tree / ".ci")
        self.temporary = self.tree / "tmp"
        self.temporary.mkdir()
        for name in ("lint", "types", "site"):
            os.mkfifo(self.tree / name)
        self.programs = self.tree / "programs"
        link_programs(self.programs)
        write_program(self.programs / "python3", f'exec {sys.executable} "$@"')
        write_program(self.programs / "apt-get", 'echo "apt-get: $*"\nexit 100')
        python = self.tree / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        write_program(
            python,
            'echo "asked: $*"\ncase "$*" in\n'
            '*"ruff check"*) read -r word <lint; echo "lint: $word";;\n'
            '*mypy*) read -r word <types; echo "types: $word"; [ "$word" != fail ] || exit 3;;\n'
            '*site.py*) read -r word <site; echo "site: $word";;\n'
            "esac",
        )

        write_program(python.parent / "pyright", 'echo "Type completeness score: 100%"')

    def start(self, *steps: str, sigint: signal.Handlers = signal.SIG_DFL) -> subprocess.Popen[str]:
        """Start a run, which is stopped at the end of the test if it has not ended."""
        run = subprocess.Popen(
            ["bash", self.tree / ".ci" / "run", *steps],
            env={"PATH": str(self.programs), "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, sigint),
        )
        self.addCleanup(run.__exit__, None, None, None)
        self.addCleanup(run.terminate)
        return run

    def let(self, step: str, word: str) -> None:
        """Let a step go on, once it waits for that."""
        (self.tree / step).write_text(f"{word}\n")

    def read_until(self, run: subprocess.Popen[str], line: str) -> str:
        """Read what a run prints, up to a line that begins so."""
        assert run.stdout is not None
        read = []
        for printed in run.stdout:
            read.append(printed)
            if printed.startswith(line):
                return "".join(read)
            if (
                printed.startswith("== ") and ": failed" in printed
            ):  # the other step waits, and would for ever
                break
        raise AssertionError(f"{line!r} is not in:\n{''.join(read)}")

    def test_each_output_whole(self) -> None:
        """Two steps run at the same time; the output of each comes in one piece, when the step ends."""
        run = self.start("lint", "types")
        self.let("types", "pass")  # `lint` waits meanwhile
        self.assertIn(
            "\n== types\n+ .venv/bin/python -m mypy\nasked: -m mypy\ntypes: pass\n"
            "+ .venv/bin/python .ci/typed_pages.py\nasked: .ci/typed_pages.py\n"
            "Type completeness score: 100%\n"
            "== types: passed after ",
            self.read_until(run, "== types: passed"),
        )
        self.let("lint", "pass")
        rest, _ = run.communicate()
        self.assertIn("\nasked: -m ruff check .\nlint: pass\n", rest)
        self.assertIn("\nasked: -m ruff format --check .\n", rest)
        self.assertIn("\nasked: -m reuse lint --lines\n== lint: passed after ", rest)
        self.assertEqual(rest.splitlines()[-1], "tests: 0 passed, 0 failed, 0 skipped")
        self.assertEqual((run.returncode, os.listdir(self.temporary)), (0, []))

    def test_failure(self) -> None:
        """After a failure the steps beside it go on to their ends, no other starts, and the run fails."""
        run = self.start("lint", "types", "site", "packaging", "chaos")
        self.let("types", "fail")
        self.read_until(run, "== types: failed with status 3")
        self.let("lint", "pass")
        self.let("site", "pass")
        rest, _ = run.communicate()
        self.assertIn("\n== lint: passed after ", rest)
        self.assertIn("\n== site: passed after ", rest)
        self.assertNotIn("packaging", rest)
        self.assertNotIn("chaos", rest)
        self.assertIn("\n== types: failed with status 3 after ", rest)
        self.assertEqual(rest.splitlines()[-1], "tests: 0 passed, 0 failed, 0 skipped")
        self.assertEqual((run.returncode, os.listdir(self.temporary)), (3, []))

    def test_stopped(self) -> None:
        """A run that is stopped stops its steps and prints their output, also one started with ``&``."""
        for sigint in (signal.SIG_DFL, signal.SIG_IGN):
            run = self.start("lint", "types", sigint=sigint)
            self.let("types", "pass")
            self.read_until(run, "== types: passed")
            run.terminate()
            rest, _ = run.communicate()
            self.assertIn("\nasked: -m ruff check .\n", rest)
            self.assertNotIn("lint: passed", rest)
            self.assertNotEqual(run.returncode, 0)
            self.assertEqual(os.listdir(self.temporary), [])

    def test_other_browser(self) -> None:
        """Where the headless shell can't be installed, a Chromium that is there will do."""
        write_program(self.programs / "chromium", "exit 0")
        run = self.start("browser")
        printed, _ = run.communicate()
        self.assertIn("apt-get: install -q -y --no-install-recommends chromium-headless-shell\n", printed)
        self.assertIn("\nasked: -m pip install -q .[test,dev,browser]\n", printed)
        self.assertIn("\n== browser: passed after ", printed)
        self.assertEqual(run.returncode, 0, printed)
