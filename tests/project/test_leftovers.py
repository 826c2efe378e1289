"""A test run that is killed leaves nothing behind: the servers and daemons of its tests end with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.folders import scratch_folder

ROOT = Path(__file__).resolve().parents[2]

PATIENCE_MS = 30_000

BROKER = """
from tests.support.broker import Broker
broker = Broker()
print(broker.pid, flush=True)
input()
"""

DAEMON = """
import subprocess, sys
from tests.support.programs import ENDS_WITH_PARENT
code = f"{ENDS_WITH_PARENT}; import signal; print(flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
input()
"""


class LeftoverTests(SynchronousTestCase):
    """A process of a test when the run is killed."""

    def assert_ends(self, code: str) -> None:
        """The process whose number the code prints ends as soon as that of the code is killed.

        Its files stay, because nothing is left that could delete them: they are in a folder of the test.
        """
        folder = scratch_folder(self)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
        run = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        with run:
            assert run.stdout is not None
            number = int(run.stdout.readline())
            end = os.pidfd_open(number)
            self.addCleanup(os.close, end)
            waits = select.poll()
            waits.register(end, select.POLLIN)
            self.assertEqual(waits.poll(0), [])
            run.kill()
            is_gone = bool(waits.poll(PATIENCE_MS))
        if not is_gone:
            os.kill(number, signal.SIGKILL)
        self.assertTrue(is_gone)

    def test_broker(self) -> None:
        """A nats-server of a test."""
        self.assert_ends(BROKER)

    def test_daemon(self) -> None:
        """A daemon of a test."""
        self.assert_ends(DAEMON)
