"""The standard output of each program: closed, full, or with a reader that has left."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.cli.standard_streams import UNWRITTEN
from mtmount_twisted.journal.file import Store
from tests.support.folders import scratch_folder, scratch_path
from tests.support.programs import ROOT, ProgramCase
from tests.support.recordings import Writing

TWISTD = ("-c", "from twisted.scripts.twistd import run; run()", "-n")
CASES = (
    ("daemon's help", (*TWISTD, "mtmount-bridge", "--help")),
    ("check of a configuration", (*TWISTD, "mtmount-bridge", "--journal=none", "--check-config")),
    ("commander", ("-m", "mtmount_twisted.commander", "--connect-timeout=0.01", "--reply-port=0")),
    ("journal's version", ("-m", "mtmount_twisted.journal", "--version")),
    ("journal", ("-m", "mtmount_twisted.journal", "export", "--format=csv", "--journal", "JOURNAL")),
)
"""What is run, by a name for people. ``JOURNAL`` stands for the path of one."""


class OutputTests(SynchronousTestCase):
    """Each program as a user runs it, with its output buffered."""

    def setUp(self) -> None:
        path = scratch_folder(self) / "journal.sqlite"
        Store(path, None, lambda: 1).close()
        self.journal = str(path)

    def run_all(
        self,
        redirection: str = "",
        output: int | None = None,
        cases: tuple[tuple[str, tuple[str, ...]], ...] = CASES,
    ) -> dict[str, tuple[int, str]]:
        """Run each one.

        :param redirection: what a shell does with its output.
        :param output: its output's descriptor.
        :param cases: what is run.
        :returns: each one's exit status and what it says on standard error.
        """
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(scratch_path(self))}
        environment.pop("PYTHONUNBUFFERED", None)
        running = {}
        for name, words in cases:
            command = [sys.executable, *(self.journal if word == "JOURNAL" else word for word in words)]
            running[name] = subprocess.Popen(
                ["bash", "-c", f'exec "$@" {redirection}', "bash", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
            )
        found = {}
        for name, process in running.items():
            _, said = process.communicate(timeout=60)
            self.assertNotIn("Traceback", said, name)
            self.assertNotIn("Exception ignored", said, name)
            found[name] = process.returncode, said
        return found

    def test_full(self) -> None:
        """One line says that the output can't be written; the exit status is no success, unless commands are.

        The commander's is what came of its commands: here 2, for there is no mount.
        """
        for name, (status, said) in self.run_all(">/dev/full").items():
            line = said.splitlines()[-1]
            self.assertIn(": can't write to the standard output: No space left on device", line, name)
            self.assertEqual(status, 2 if name == "commander" else UNWRITTEN, name)
            self.assertEqual(len(said.splitlines()), 2 if name == "commander" else 1, said)

    def test_reader_has_left(self) -> None:
        """Nothing is said, and it is no failure."""
        reader, writer = os.pipe()
        os.close(reader)
        self.addCleanup(os.close, writer)
        self.assert_silent(self.run_all(output=writer))

    def test_played(self) -> None:
        """The playing of a recording ends in the same ways: it writes to its output in the reactor."""
        folder = scratch_path(self)
        writing = Writing(folder)
        writing.record(10)
        writing.finish()
        run = "import sys; from mtmount_twisted.cli.telemetry.program import run; sys.exit(run())"
        case = (("play", ("-c", run, "play", "--folder", str(folder), "--port", "0")),)
        reader, writer = os.pipe()
        os.close(reader)
        self.addCleanup(os.close, writer)
        self.assert_silent(self.run_all(output=writer, cases=case))
        said = "mtmount-telemetry: can't write to the standard output: No space left on device\n"
        self.assertEqual(self.run_all(">/dev/full", cases=case), {"play": (UNWRITTEN, said)})

    def test_closed(self) -> None:
        """Each does what it does, and nobody reads it."""
        self.assert_silent(self.run_all(">&-"))

    def assert_silent(self, found: dict[str, tuple[int, str]]) -> None:
        """All is as ever: nothing is said, but by the commander that there is no mount."""
        for name, (status, said) in found.items():
            if name == "commander":
                self.assertEqual((status, len(said.splitlines())), (2, 1), said)
                self.assertIn("not connected within", said)
            else:
                self.assertEqual((status, said), (0, ""), name)


class DaemonTests(ProgramCase):
    """A daemon with its log on a standard output that can't be written."""

    async def test_serves(self) -> None:
        """It serves and ends, and says nothing of it on standard error."""
        reader, writer = os.pipe()
        os.close(reader)
        full = os.open("/dev/full", os.O_WRONLY)
        for output in (writer, full):
            self.addCleanup(os.close, output)
            commander = await self.communicator()
            port = self.free_port()
            ports = "--command-port", str(port), "--reply-port", str(commander.server_port)
            program = self.twistd("-n", "mtmount-simulator", *ports, output=output)
            await commander.connect(port)
            program.transport.signalProcess("TERM")
            await program.ended
            self.assertEqual(program.output, "")
