"""A bridge or a relay in a process, a crowd in another, and the measurements of both from outside."""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from mtmount_twisted.testing import HOST

from .bridge_crowd import Report
from .bridge_daemon import Ports
from .bridge_event import EVENT, event
from .runner import ROOT
from .stacks import one_core, raw_socket

SILENCE = 30.0
"""After which a process that shall answer counts as stuck, in seconds."""

QUIET = 0.05
"""The time in which a daemon that rests uses a twentieth of a processor at most, in seconds."""

AT_ONCE = 100
"""The clients that connect at once: beyond 256 that wait for their turn, the bridge closes the newest
(`net.accepts.MAX_WAITING`)."""


def allow_many_sockets() -> None:
    """Let this process, and those that it starts, have as many files open as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def busy(pid: int) -> float:
    """How long a process used a processor so far, all its threads together, in seconds."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


class Child(AbstractContextManager[Any]):
    """A process of ours that reads orders, one a line, and answers with lines of JSON."""

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def tell(self, text: object) -> None:
        """Send it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())

    def answer(self) -> Any:
        """Return its next answer."""
        output: Any = self.process.stdout
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([output], [], [], SILENCE)[0]:
                raise TimeoutError(f"{self.process.args!r} says nothing")
            part = os.read(output.fileno(), 2**20)
            if not part:
                raise EOFError(f"{self.process.args!r} ended")
            line += part
        return json.loads(line)

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.communicate()


class Daemon(Child):
    """A bridge or a relay; see `bridge_daemon`.

    :ivar ports: where it listens.
    """

    def __init__(self, kind: str, reply_port: int = 0, path: str = "", broker: str = "") -> None:
        super().__init__("bridge_daemon", kind, reply_port, path, broker)
        self.ports: Ports = self.answer()

    def busy(self) -> float:
        """How long it used a processor so far, all its threads together, in seconds."""
        return busy(self.process.pid)

    def child(self) -> int:
        """The number of the child process of a station; 0 if there is none."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def memory(self) -> float:
        """Return its memory with its share of shared memory (PSS), in kB."""
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1.024

    def sockets(self) -> int:
        """How many files it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Stage(ExitStack):
    """A daemon on a core of its own, a mount here, and a crowd elsewhere that receives the mount's events."""

    def __init__(self, kind: str, clients: int, path: str = "") -> None:
        super().__init__()
        with one_core():
            self.daemon = self.enter_context(Daemon(kind, path=path))
        listening, port = raw_socket()
        self.daemon.tell(port)
        self.enter_context(listening)
        self.enter_context(listening.accept()[0])
        self._replies = self.enter_context(socket.create_connection((HOST, self.daemon.ports["replies"])))
        self._replies.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with one_core(others=True):
            self.crowd = self.enter_context(Child("bridge_crowd", self.daemon.ports["clients"]))
        self.clients = 0
        self._expected = 0
        self.add(clients)

    def add(self, clients: int) -> None:
        """Connect so many more clients, `AT_ONCE` at a time; returns when the daemon has them.

        :raises RuntimeError: if the daemon does not have them after `SILENCE` seconds.
        """
        wanted = self.daemon.sockets() + clients
        for first in range(0, clients, AT_ONCE):
            portion = min(AT_ONCE, clients - first)
            self.crowd.tell(f"connect {portion}")
            self.clients = self.crowd.answer()
            self._wait_for_sockets(wanted - clients + first + portion)

    def _wait_for_sockets(self, wanted: int) -> None:
        """Wait until the daemon has so many open files, and rests: it sets up one connection in a turn."""
        end = time.monotonic() + SILENCE
        before = -1.0
        while self.daemon.sockets() < wanted:
            if time.monotonic() > end:
                raise RuntimeError(f"the daemon has {self.daemon.sockets()} open files of {wanted}")
            time.sleep(0.001)
        while (now := self.daemon.busy()) - before > QUIET / 20:
            before = now
            time.sleep(QUIET)

    def say(self, events: int = 1) -> None:
        """The mount says so much, at once."""
        self._expected += events * self.clients * len(EVENT)
        self._replies.sendall(event() * events)

    def wait(self) -> Report:
        """Wait until everyone heard all, or nothing more comes."""
        self.crowd.tell(f"expect {self._expected}")
        report: Report = self.crowd.answer()
        return report

    def missing(self, report: Report) -> int:
        """How many bytes did not come."""
        return self._expected - report["received"]
