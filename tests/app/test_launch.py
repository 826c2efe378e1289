"""The console scripts of the daemons: ``mtmount-bridge`` and ``mtmount-simulator``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from mtmount_twisted.app import bridge
from mtmount_twisted.app import simulator as simulator_tap
from mtmount_twisted.app.launch import in_order
from tests.support.folders import scratch_folder
from tests.support.programs import ROOT, ProgramCase

SCRIPT = "import sys; sys.argv[0] = 'mtmount-{0}'; from mtmount_twisted.app.launch import {0}; {0}()"


class OrderTests(SynchronousTestCase):
    """`in_order`: which words are for ``twistd``."""

    def order(self, *words: str) -> str:
        return " ".join(in_order(words, bridge.DAEMON, bridge.Options))

    def test_own(self) -> None:
        """What the daemon knows is the daemon's, short or long, and so is what nobody knows."""
        for words in (
            ("--config", "file", "--check-config"),
            ("-f", "file", "-p", "5"),
            ("--config=file", "--version", "--help"),
            ("--bad", "word"),
            ("--config", "--uid"),
            ("--config",),
        ):
            self.assertEqual(self.order(*words), " ".join((bridge.DAEMON, *words)))

    def test_general(self) -> None:
        """Long options of ``twistd`` go before the service's name, with their values."""
        for words, expected in (
            (("--uid=5", "-v"), "--uid=5 mtmount-bridge -v"),
            (
                ("-v", "--logfile", "log", "--journal", "none"),
                "--logfile log mtmount-bridge -v --journal none",
            ),
            (("--syslog", "--gid", "5"), "--syslog --gid 5 mtmount-bridge"),
            (("--logfile",), "--logfile mtmount-bridge"),
        ):
            self.assertEqual(self.order(*words), expected)

    def test_no_option_is_both(self) -> None:
        """No long option of a daemon hides one of ``twistd``, but help and version."""
        from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]

        general = {option.rstrip("=") for option in ServerOptions().longOpt}  # type: ignore[attr-defined]
        for module in (bridge, simulator_tap):
            own = {option.rstrip("=") for option in module.Options().longOpt}  # type: ignore[attr-defined]
            self.assertEqual(own & general, {"help", "version"})


class ScriptTests(ProgramCase):
    """A console script in a process of its own, in an empty folder."""

    def script(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        self.folder = scratch_folder(self)
        return subprocess.run(
            [sys.executable, "-c", SCRIPT.format(name), *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(self.state)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def test_help(self) -> None:
        """It explains itself in its own name, and says that there are options of ``twistd``."""
        done = self.script("simulator", "--help")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith("Usage: mtmount-simulator [options]\n"), done.stdout[:80])
        self.assertIn("--uid, --gid", done.stdout)

    def test_wrong_option(self) -> None:
        """A wrong option is one line that names the script."""
        done = self.script("bridge", "--uid=0", "--bad")
        line = "mtmount-bridge: option --bad not recognized (see mtmount-bridge --help)\n"
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", line))

    def test_check(self) -> None:
        """It checks a configuration as ``twistd mtmount-bridge`` does, and leaves no file."""
        done = self.script("bridge", "--check-config", "--web=none", "--logfile=log", "--journal=none")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "mtmount-bridge: the configuration is right\n")
        self.assertEqual(list(self.folder.iterdir()), [])


MUTE_NAME_SERVER = """
import socket, threading
def getaddrinfo(*arguments, **options):
    print("asked for a name")
    threading.Event().wait()
socket.getaddrinfo = getaddrinfo
"""

INIT = """
export XDG_STATE_HOME=$1/state
cd $1
(
    read -r
    # An orphan that ends: what it writes to is at its end when it is gone.
    cat < <(setsid bash -c 'true & exec true')
    ps -eo ppid=,stat= >processes
    kill -USR1 1
    kill -TERM 1
) <&0 &
shift
exec "$@" 2>&1
"""
"""Becomes a program as process 1; a line on standard input has it looked at and ended."""


class ContainerTests(SynchronousTestCase):
    """The daemon as process 1 of a PID namespace, as in a container without an init."""

    def run_as_init(self, script: str, *command: str, beginning: str) -> tuple[int, str, Path]:
        """Run a shell script in a new namespace, with a folder as its first argument.

        :param beginning: when it prints this, it gets a line on its standard input.
        :returns: its exit status, its output, and the folder.
        """
        folder = scratch_folder(self)
        unshare = shutil.which("unshare")
        new = [str(unshare), "--pid", "--fork", "--mount-proc"]
        if unshare is None or subprocess.run([*new, "true"], capture_output=True, check=False).returncode:
            raise SkipTest("no PID namespace can be made here")
        process = subprocess.Popen(
            [*new, "bash", "-c", script, "bash", str(folder), *command],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        with process, process.stdin, process.stdout:
            self.addCleanup(process.kill)
            lines = []
            for line in process.stdout:
                lines.append(line)
                if beginning in line:
                    process.stdin.write("\n")
                    process.stdin.flush()
            return process.wait(60), "".join(lines), folder

    def test_serves_and_ends(self) -> None:
        """It takes signals, leaves no zombies, needs no pid file, and ends with status 0 at SIGTERM."""
        command = sys.executable, "-c", SCRIPT.format("simulator"), "-p", "0", "-r", "1"
        status, output, folder = self.run_as_init(INIT, *command, beginning="serving a commander")
        self.assertEqual(status, 0, output)
        self.assertIn("ignored SIGUSR1", output)
        self.assertIn("Server Shut Down.", output)
        children = [line.split() for line in (folder / "processes").read_text().splitlines()]
        self.assertIn("1", [parent for parent, _ in children])
        self.assertEqual([state for _, state in children if state.startswith("Z")], [])
        self.assertEqual([each.name for each in folder.iterdir()], ["processes"])

    def test_ended_before_it_serves(self) -> None:
        """SIGTERM ends it also while it starts, when the kernel keeps most signals from process 1."""
        script = """
            ( read -r; kill -TERM 1 ) <&0 &
            shift
            exec "$@"
        """
        command = sys.executable, "-c", MUTE_NAME_SERVER + SCRIPT.format("bridge"), "--controller=mount:5"
        status, output, _ = self.run_as_init(script, *command, beginning="asked for a name")
        self.assertEqual(status, 128 + signal.SIGTERM, output)
