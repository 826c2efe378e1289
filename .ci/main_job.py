"""Run the README's main job for a few seconds: start the daemon, send it a session, stop it.

The one argument is the README's command, which is run as it stands: it installs the package and then
stays in the foreground as the daemon on its default ports. Its journal goes to a temporary folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PID_FILE = ROOT / "twistd.pid"
JOURNAL = Path("mtmount-bridge", "journal.sqlite")
COMMANDER = ROOT / ".venv" / "bin" / "mtmount-commander"

SERVING = "30005"
"""The daemon serves when its log names the port for commands."""

SESSION = """\
AskForCommand commander=CSC
AzimuthAxisPower on=1
AzimuthAxisMove position=1
"""

INSTALLED_WITHIN = 600.0
SESSION_WITHIN = 60.0
STOPPED_WITHIN = 5.0

STOPPED = "Server Shut Down."
"""What `twistd` logs last when every service has stopped."""

STATUSES = (0, -signal.SIGTERM, 128 + signal.SIGTERM)
"""`twistd` ends itself with the signal that stopped it, once it has stopped; a shell adds 128."""


def follow(daemon: subprocess.Popen[str], serving: threading.Event, stopped: threading.Event) -> None:
    """Show the daemon's log until it ends; say when it serves, or never will, and when it has stopped."""
    assert daemon.stdout is not None
    for line in daemon.stdout:
        print("daemon|", line, end="", flush=True)
        if SERVING in line:
            serving.set()
        if STOPPED in line:
            stopped.set()
    daemon.wait()
    serving.set()


def hold_session() -> None:
    """Pipe the session to the commander: every command is done, and it exits with 0."""
    print(f"+ mtmount-commander <<'END'\n{SESSION}END", flush=True)
    done = subprocess.run(
        [COMMANDER],
        input=SESSION,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SESSION_WITHIN,
        check=False,
    )
    print(done.stdout, flush=True)
    if done.returncode:
        sys.exit(f"main job: the commander's exit status is {done.returncode}")
    outcomes = sum("done" in line.lower() for line in done.stdout.splitlines())
    if outcomes < len(SESSION.splitlines()):
        sys.exit(f"main job: {outcomes} of {len(SESSION.splitlines())} commands were done")


def main(command: str, state: str) -> None:
    """Start, hold a session, stop; whatever happens, leave nothing running.

    :param state: a folder for what the daemon keeps.
    """
    PID_FILE.unlink(missing_ok=True)
    print("+", command, flush=True)
    daemon = subprocess.Popen(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": state},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    serving, stopped = threading.Event(), threading.Event()
    threading.Thread(target=follow, args=(daemon, serving, stopped), daemon=True).start()
    try:
        if not serving.wait(INSTALLED_WITHIN) or daemon.poll() is not None:
            sys.exit("main job: the daemon does not serve")
        hold_session()
        print("+ kill -TERM the daemon", flush=True)
        os.kill(int(PID_FILE.read_text()), signal.SIGTERM)
        status = daemon.wait(STOPPED_WITHIN)
        if status not in STATUSES or not stopped.wait(STOPPED_WITHIN):
            sys.exit(f"main job: the daemon did not stop cleanly; its exit status is {status}")
        if not Path(state, JOURNAL).is_file():
            sys.exit("main job: the daemon kept no journal")
        print("main job: done, and stopped cleanly", flush=True)
    except subprocess.TimeoutExpired as late:
        sys.exit(f"main job: {late}\n{late.stdout or ''}")
    finally:
        if daemon.poll() is None:
            os.killpg(daemon.pid, signal.SIGKILL)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mtmount-main-job-") as folder:
        main(sys.argv[1], folder)
