"""``python -m fuzz [--runs N] [--seconds S] [--jobs J] [--json FILE] [TARGET...]``: all parsers, and a table.

It ends with 1 if an input crashed a parser or took one 10 s; the input is then in ``build/fuzz``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from chaos.machine import commit, machine

from .corpus import ROOT, seeds, words
from .results import HEADINGS, NAMES, Outcome, keep, read, row, show

FOUND = ROOT / "build" / "fuzz"


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


def options(words: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says; what can't be done ends the program with 2."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*", help=f"some of {', '.join(NAMES)} [default: all]")
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs for each [default: 1,000,000]")
    parser.add_argument("--seconds", type=int, default=1800, help="at most, for each [default: 1800]")
    parser.add_argument("--jobs", type=int, default=2, help="at once [default: 2]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to keep what each parser took")
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="run none: take what a run here has printed"
    )
    parser.add_argument("--commit", help="what was fuzzed [default: what is checked out]")
    given = parser.parse_args(words)
    if unknown := set(given.targets) - set(NAMES):
        parser.error(f"expected some of {', '.join(NAMES)}, got {', '.join(sorted(unknown))}")
    if given.read is not None and given.commit is None:
        parser.error("--read: expected --commit, which the printed table does not tell")
    if find_spec("atheris") is None:
        parser.exit(2, "fuzz: atheris is not installed: pip install '.[fuzz]'\n")
    return given


def outcomes(given: argparse.Namespace) -> Iterator[Outcome]:
    """How each target went, in turn; `jobs` of them run at once."""
    names = given.targets or NAMES
    if given.read is not None:
        yield from (each for each in read(given.read.read_text(encoding="utf-8")) if each.name in names)
        return
    with ThreadPoolExecutor(given.jobs) as pool:
        for job in [pool.submit(fuzz, name, given.runs, given.seconds) for name in names]:
            yield job.result()


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line says; what is over is kept, whatever becomes of the rest."""
    given, crashed = options(words), False
    # Taken before the first target runs: a tree may change in the hours that they take.
    known = (given.commit or commit(), machine("atheris")) if given.json is not None else None
    sys.stdout.write(row(*HEADINGS))
    for outcome in outcomes(given):
        sys.stdout.write(show(outcome))
        sys.stdout.flush()
        crashed |= outcome.crashed
        if known is not None:
            keep(given.json, [outcome], *known)
    return int(crashed)


if __name__ == "__main__":
    sys.exit(main())
