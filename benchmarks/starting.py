"""Import, start and memory: in fresh processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from .runner import ROOT, Case, Goal, Run

IMPORT = "from time import process_time as now; start = now(); import {}; print(now() - start)"

BARE = """
from twisted.application import internet, service
from twisted.internet.protocol import Factory

application = service.Application("bare")
internet.TCPServer(0, Factory(), interface="127.0.0.1").setServiceParent(application)
"""

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]

SETTLE = 0.5
"""How long a daemon is left alone before its memory is taken, in seconds."""


def import_time(module: str) -> float:
    """How long an import keeps a fresh interpreter busy, in ms."""
    command = [sys.executable, "-c", IMPORT.format(module)]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout) * 1000


@contextmanager
def daemon(arguments: list[str], listening: str) -> Iterator[tuple[int, float]]:
    """A daemon that listens: its process id, and how long it took until it said so, in ms."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [*TWISTD, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if listening in line:
                yield process.pid, (time.perf_counter() - start) * 1000
                return
        raise RuntimeError(f"{arguments} ended: {''.join(said)}")
    finally:
        process.terminate()
        process.communicate()


def start_time(arguments: list[str], listening: str) -> float:
    with daemon(arguments, listening) as (_, milliseconds):
        return milliseconds


def memory(arguments: list[str], listening: str) -> float:
    """Measure the resident memory (RSS) of an idle daemon, in MiB."""
    with daemon(arguments, listening) as (pid, _):
        time.sleep(SETTLE)
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


async def measure(run: Run, reactor: Any) -> None:
    """Measure the cost of the package before it does anything."""
    imports = {"ours": "mtmount_twisted", "reactor": "twisted.internet.reactor"}
    subjects: dict[str, Callable[[], float]] = {
        name: partial(import_time, module) for name, module in imports.items()
    }
    goal = Goal("reactor", "at most", 1.15)
    await run.measure(Case("starting", "import", "ms", subjects, (goal,), 15))
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE)
        journal = f"--journal={Path(folder, 'journal.sqlite')}"
        ours = ["mtmount-bridge", "--command-port=0", "--reply-port=1", journal, "--web=none"]
        ours.append("--simulator-dialect=tma2020")  # without telemetry, as before there was a choice
        daemons = {
            "ours": (ours, "serving"),
            "bare twistd": (["-y", str(bare)], "starting on"),
        }
        for name, unit, sample, goal in (
            ("twistd to listening", "ms", start_time, Goal("bare twistd", "at most", 1.5)),
            ("idle memory", "MiB", memory, Goal("bare twistd", "more, at most", 8)),
        ):
            subjects = {who: partial(sample, *how) for who, how in daemons.items()}
            await run.measure(Case("starting", name, unit, subjects, (goal,)))
