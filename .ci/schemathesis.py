"""Compare the HTTP API with its OpenAPI document: requests made from the document, sent to a daemon.

    python .ci/schemathesis.py FOLDER

Starts ``twistd mtmount-bridge`` with the built-in simulator on free ports, and lets ``schemathesis``, which
is installed into a virtual environment in FOLDER, send what the document allows and what it forbids. No
answer may be a server's error, or other than the document says. The stream of events never ends, and is
left out. It needs the package installed with the ``web`` extra, and takes less than 90 s.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

REQUIREMENT = "schemathesis>=4.32,<5"

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
)

EXAMPLES = 100
"""How many requests are made for an operation, beyond those that cover each constraint once."""

SEED = 20261122
"""So that two runs on one commit send the same."""

SERVING_WITHIN = 30.0
CHECKED_WITHIN = 90.0
STOPPED_WITHIN = 5.0

PAGE = re.compile(r"http://127\.0\.0\.1:\d+")
"""Where the daemon's log says that the API is."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, each of which is told once."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def start(folder: Path, commands: int, replies: int) -> subprocess.Popen[str]:
    """Start the daemon, with its journal in a folder and a commander on two ports."""
    options = [
        *("--command-port", str(commands), "--reply-port", str(replies)),
        *("--journal", str(folder / "journal.sqlite"), "--web", "tcp:0:interface=127.0.0.1"),
    ]
    twistd = [sys.executable, "-m", "twisted", "--log-format=text", "mtmount-bridge"]
    return subprocess.Popen(
        [*twistd, *options],
        cwd=ROOT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


class Log:
    """What the daemon logs, until it ends.

    :ivar address: where its API is, once `serving` is set; empty if it ended before.
    """

    def __init__(self, daemon: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self.address = ""
        self.serving = threading.Event()
        self._daemon = daemon
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        assert self._daemon.stdout is not None
        for line in self._daemon.stdout:
            self.lines.append(line)
            if not self.address and (found := PAGE.search(line)):
                self.address = found[0]
                self.serving.set()
        self.serving.set()

    def faults(self) -> list[str]:
        """What says that a request made the daemon fail."""
        return [line for line in self.lines if "Traceback" in line or "a request failed" in line]


def installed(folder: Path) -> Path:
    """Install schemathesis, unless it is, and tell where its program is."""
    program = folder / "bin" / "schemathesis"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", REQUIREMENT], check=True)
    return program


def check(program: Path, address: str, folder: Path) -> int:
    """Run schemathesis, and tell its exit status."""
    document = f"{address}/api/v1/openapi.json"
    with urllib.request.urlopen(document, timeout=10) as answer:
        operations = sum(len(path) for path in json.load(answer)["paths"].values())
    print(f"+ schemathesis: {operations} operations at {address}", flush=True)
    arguments = [
        *("run", document, "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES), "--seed", str(SEED), "--continue-on-failure"),
        *("--exclude-path", "/api/v1/events", "--request-timeout", "20", "--no-color"),
        *("--suppress-health-check", "all"),
    ]
    done = subprocess.run([program, *arguments], cwd=folder, timeout=CHECKED_WITHIN, check=False)
    return done.returncode


def main(folder: Path) -> None:
    """Install, start, check, stop; whatever happens, leave nothing running.

    :param folder: where the virtual environment of schemathesis is, or is to be.
    """
    program = installed(folder.resolve())
    with tempfile.TemporaryDirectory(prefix="mtmount-schemathesis-") as work:
        daemon = start(Path(work), *free_ports(2))
        log = Log(daemon)
        try:
            if not log.serving.wait(SERVING_WITHIN) or not log.address:
                sys.exit(f"schemathesis: the daemon does not serve\n{''.join(log.lines)}")
            status = check(program, log.address, Path(work))
            if daemon.poll() is not None or log.faults():
                sys.exit(f"schemathesis: the daemon failed\n{''.join(log.lines[-100:])}")
            if status:
                sys.exit("schemathesis: the API and its document differ")
            print("schemathesis: the API is as its document says", flush=True)
        except subprocess.TimeoutExpired as late:
            sys.exit(f"schemathesis: {late}")
        finally:
            daemon.terminate()
            try:
                daemon.wait(STOPPED_WITHIN)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
