"""``python -m fuzz [--runs N] [--seconds S] [--jobs J] [TARGET...]``: all parsers, and a table.

It ends with 1 if an input crashed a parser or took one 10 s; the input is then in ``build/fuzz``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from .corpus import ROOT, seeds, words

NAMES = ("line", "relayed", "stream", "body", "query", "http", "config", "tokens")
"""The keys of `targets.TARGETS`, without the import of all that they need."""

FOUND = ROOT / "build" / "fuzz"


class Outcome(NamedTuple):
    """How one target went."""

    name: str
    inputs: int
    seconds: int
    crashed: bool
    output: str


def fuzz(name: str, runs: int, seconds: int) -> Outcome:
    """Run one target in a process of its own, from its seeds."""
    FOUND.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile("w") as dictionary:
        for word in words(name):
            dictionary.write('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n')
        dictionary.flush()
        for number, seed in enumerate(seeds(name)):
            Path(folder, f"seed-{number}").write_bytes(seed)
        limits = [
            f"-dict={dictionary.name}",
            f"-runs={runs}",
            f"-max_total_time={seconds}",
            "-timeout=10",
            "-max_len=2048",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "fuzz.one", name, folder, *limits, f"-artifact_prefix={FOUND}/{name}-"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    output = done.stdout.decode(errors="replace")
    total = re.search(r"Done (\d+) runs? in (\d+) second", output)
    counts = [int(count) for count in re.findall(r"^#(\d+)\s", output, re.MULTILINE)]
    inputs, took = (int(total[1]), int(total[2])) if total else (max(counts, default=0), 0)
    return Outcome(name, inputs, took, done.returncode != 0, output)


def row(parser: str, inputs: str, seconds: str, crashes: str) -> str:
    """A line of the table."""
    return f"{parser:<10}{inputs:>12}{seconds:>10}{crashes:>10}\n"


def show(outcome: Outcome) -> str:
    """The line of a target, below the end of its output if it crashed."""
    line = row(outcome.name, f"{outcome.inputs:,}", str(outcome.seconds), str(int(outcome.crashed)))
    return f"== {outcome.name}\n{outcome.output[-4000:]}\n{line}" if outcome.crashed else line


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*", help=f"some of {', '.join(NAMES)} [default: all]")
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs for each [default: 1,000,000]")
    parser.add_argument("--seconds", type=int, default=1800, help="at most, for each [default: 1800]")
    parser.add_argument("--jobs", type=int, default=2, help="at once [default: 2]")
    options = parser.parse_args(words)
    if unknown := set(options.targets) - set(NAMES):
        parser.error(f"expected some of {', '.join(NAMES)}, got {', '.join(sorted(unknown))}")
    if find_spec("atheris") is None:
        parser.exit(2, "fuzz: atheris is not installed: pip install '.[fuzz]'\n")
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(fuzz, name, options.runs, options.seconds) for name in options.targets or NAMES]
        sys.stdout.write(row("parser", "inputs", "seconds", "crashes"))
        outcomes = []
        for job in jobs:
            outcomes.append(job.result())
            sys.stdout.write(show(outcomes[-1]))
            sys.stdout.flush()
    return int(any(each.crashed for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
