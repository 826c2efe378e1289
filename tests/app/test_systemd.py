"""``systemd/mtmount-bridge.service``: what systemd thinks of it, and that it fits the daemon."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from mtmount_twisted.app.bridge import Options
from tests.support.folders import scratch_folder

UNIT = Path(__file__).resolve().parent.parent.parent / "systemd" / "mtmount-bridge.service"
MOST_EXPOSED = 2.0
"""Systemd's own figure of how exposed a service is: 10 is bare, 2 and less is "OK" and better."""


class UnitFile(SynchronousTestCase):
    """The unit file."""

    def analyze(self, *words: str) -> str:
        """What ``systemd-analyze`` says of the unit, with a program that is there for the daemon."""
        program = shutil.which("systemd-analyze")
        if program is None:
            raise SkipTest("there is no systemd-analyze here")
        unit = scratch_folder(self) / UNIT.name
        unit.write_text(
            UNIT.read_text(encoding="utf-8").replace("/opt/mtmount/bin/mtmount-bridge", "/bin/true")
        )
        done = subprocess.run(
            [program, *words, str(unit)], capture_output=True, text=True, check=False, timeout=60
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_verify(self) -> None:
        """Systemd finds nothing to complain about."""
        self.assertNotIn(UNIT.name, self.analyze("verify"))

    def test_hardened(self) -> None:
        """By systemd's own figure it is exposed little."""
        said = self.analyze("security", "--offline=true", "--no-pager")
        found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
        self.assertIsNotNone(found, said)
        self.assertLessEqual(float(found[1]), MOST_EXPOSED)  # type: ignore[index]

    def test_command(self) -> None:
        """The daemon takes the options that it is started with."""
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(UNIT, encoding="utf-8")
        program, *given = shlex.split(unit["Service"]["ExecStart"])
        self.assertEqual(Path(program).name, "mtmount-bridge")
        known = {"--" + option.rstrip("=") for option in Options().longOpt}  # type: ignore[attr-defined]
        self.assertLessEqual({word for word in given if word.startswith("--")}, known)

    def test_settings_that_others_rely_on(self) -> None:
        """Systemd waits to hear that it serves, watches that it turns, and bounds what a fault can take."""
        lines = UNIT.read_text(encoding="utf-8").splitlines()
        for setting in (
            "Type=notify",
            "WatchdogSec=20",
            "PrivateUsers=yes",
            "LimitCORE=0",
            "OOMPolicy=continue",
            "PrivateMounts=yes",
            "DevicePolicy=closed",
        ):
            self.assertIn(setting, lines)
        given = {line.partition("=")[0] for line in lines if not line.startswith("#")}
        self.assertLessEqual({"MemoryMax", "TasksMax"}, given)
        self.assertNotIn("MemoryDenyWriteExecute", given, "the daemon would die in OpenSSL's binding")

    def test_reload(self) -> None:
        """The line that reloads it sends SIGHUP with the shell alone, on a system without other programs."""
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(UNIT, encoding="utf-8")
        words = shlex.split(unit["Service"]["ExecReload"].replace("$$", "$"))
        waiting = subprocess.Popen(["sleep", "60"])
        self.addCleanup(waiting.wait)
        self.addCleanup(waiting.kill)
        subprocess.run(words, env={"MAINPID": str(waiting.pid), "PATH": ""}, check=True, timeout=10)
        self.assertEqual(waiting.wait(10), -signal.SIGHUP)
