"""The daemon's process: its log, its signals and its resources."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from .launcher import LAG
from .waits import until

ROOT = Path(__file__).resolve().parent.parent


class Daemon(ProcessProtocol):
    """``twistd -n mtmount-bridge --config FILE``, started at once.

    :param folder: its own folder, for its lock, its files and the figures of `launcher`.
    :param environment: added to this process's own.
    :ivar log: its output so far.
    :ivar exit: the exit status, or minus the signal that ended it; None while it runs.
    """

    transport: Any

    def __init__(self, reactor: Any, folder: Path, config: Path, environment: dict[str, str]) -> None:
        self.log = ""
        self.exit: int | None = None
        self._reactor = reactor
        self._lag = folder / "lag"
        given = {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder), "CHAOS_LAG": str(self._lag)}
        given["PYTHONUNBUFFERED"] = "1"
        words = [sys.executable, "-m", "chaos.launcher", "-n", "--pidfile", str(folder / "pid")]
        words += ["mtmount-bridge", "--config", str(config)]
        environment = {**os.environ, **given, **environment}
        reactor.spawnProcess(self, words[0], words, env=environment, path=str(folder))
        self.pid: int = self.transport.pid

    def outReceived(self, data: bytes) -> None:
        self.log += data.decode("utf-8", "replace")

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        reason.trap(ProcessDone, ProcessTerminated)
        ended: Any = reason.value
        self.exit = -ended.signal if ended.signal else ended.exitCode

    def says(self, pattern: str) -> int:
        """How often the log has this so far."""
        return len(re.findall(pattern, self.log))

    async def said(self, pattern: str, seconds: float = 10.0, times: int = 1) -> None:
        """Wait until the log has this so often."""
        await until(
            self._reactor,
            lambda: self.says(pattern) >= times or self.exit is not None,
            f"the log says {pattern!r}",
            seconds,
        )
        if self.says(pattern) < times:
            raise RuntimeError(f"the daemon ended ({self.exit}) without {pattern!r}:\n{self.log[-2000:]}")

    def signal(self, name: str) -> None:
        """Send it a signal, such as ``TERM``."""
        self.transport.signalProcess(int(signal.Signals[f"SIG{name}"]))

    async def end(self, name: str = "TERM", seconds: float = 10.0) -> float:
        """Send it a signal that ends it, and wait for that.

        :returns: how long it took, in seconds.
        """
        if self.exit is None:
            self.signal(name)
        return await until(self._reactor, lambda: self.exit is not None, f"it ends by SIG{name}", seconds)

    def files(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self) -> int:
        """Return its resident memory (RSS), in bytes."""
        resident = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return resident * os.sysconf("SC_PAGE_SIZE")

    def lag(self) -> tuple[float, float]:
        """The longest that its event loop was late, in seconds: see `launcher.LAG`."""
        most, own = LAG.unpack(self._lag.read_bytes()) if self._lag.exists() else (0.0, 0.0)
        return float(most), float(own)
