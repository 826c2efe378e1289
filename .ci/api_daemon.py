"""A daemon with its HTTP API for the checks of this folder: ``serving``."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SERVING_WITHIN = 30.0
STOPPED_WITHIN = 5.0

CONFIG = """\
[simulator]
dialect = "tma2022"
[[pair]]
name = "csc"
dialect = "tma2020"
command_port = {commands}
reply_port = {replies}
[[telemetry]]
name = "topics"
endpoint = "tcp:0:interface=127.0.0.1"
"""

PAGE = re.compile(r"http://127\.0\.0\.1:\d+")
"""Where the daemon's log says that the API is."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Start ``twistd mtmount-bridge`` with the built-in simulator on free ports, and stop it at the end.

    :param folder: where its journal is.
    :returns: where the API is.
    :raises SystemExit: with the log, if the daemon does not serve, or failed meanwhile.
    """
    with held_ports(2) as ports, running(start(folder, *ports)) as daemon:
        log = Log(daemon)
        if not log.serving.wait(SERVING_WITHIN) or not log.address:
            sys.exit(f"the daemon does not serve\n{''.join(log.lines)}")
        yield log.address
        if daemon.poll() is not None or log.faults():
            sys.exit(f"the daemon failed\n{''.join(log.lines[-100:])}")


@contextlib.contextmanager
def running(program: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Have a program end at the end."""
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


@contextlib.contextmanager
def held_ports(count: int) -> Iterator[list[int]]:
    """Hold free ports: nothing takes one, but a program that listens there.

    A socket that is bound and does not listen leaves the port to a program that binds with ``SO_REUSEADDR``
    (``socket(7)``), as Twisted and Prometheus do.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for held in sockets:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", 0))
        yield [held.getsockname()[1] for held in sockets]


def start(folder: Path, commands: int, replies: int) -> subprocess.Popen[str]:
    """Start the daemon, with its journal in a folder, a commander on two ports, and telemetry on any port."""
    config = folder / "bridge.toml"
    config.write_text(CONFIG.format(commands=commands, replies=replies))
    options = [
        *("--config", str(config)),
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
