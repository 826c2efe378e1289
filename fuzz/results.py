"""What ``python -m fuzz`` found: as it is printed, read again, and kept for
``docs/explanation/reliability.rst``.

It runs no parser and needs no atheris.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .corpus import ROOT

NAMES = (
    *("line", "relayed", "stream", "body", "query", "http", "config", "tokens"),
    *("command", "reply", "telemetry", "translated"),
)
"""The keys of `targets.TARGETS`, without the import of all that they need."""

RESULTS = ROOT / "fuzz" / "results.json"

HEADINGS = ("parser", "inputs", "seconds", "crashes")


class Outcome(NamedTuple):
    """How one target went."""

    name: str
    inputs: int
    seconds: int
    crashed: bool
    output: str


def row(parser: str, inputs: str, seconds: str, crashes: str) -> str:
    """A line of the table."""
    return f"{parser:<10}{inputs:>12}{seconds:>10}{crashes:>10}\n"


def show(outcome: Outcome) -> str:
    """The line of a target, below the end of its output if it crashed."""
    line = row(outcome.name, f"{outcome.inputs:,}", str(outcome.seconds), str(int(outcome.crashed)))
    return f"== {outcome.name}\n{outcome.output[-4000:]}\n{line}" if outcome.crashed else line


_ROW = re.compile(rf"^({'|'.join(NAMES)}) +([\d,]+) +(\d+) +([01])$", re.MULTILINE)


def read(table: str) -> list[Outcome]:
    """The targets of which a printed table has a line, with no output."""
    return [
        Outcome(name, int(inputs.replace(",", "")), int(seconds), crashes == "1", "")
        for name, inputs, seconds, crashes in _ROW.findall(table)
    ]


def keep(path: Path, outcomes: Iterable[Outcome], commit: str, machine: Mapping[str, Any]) -> None:
    """Write outcomes as JSON, over those of the same parsers; what a file has of others stays.

    :param commit: what was fuzzed.
    :param machine: where, and with what.
    """
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for outcome in outcomes:
        kept[outcome.name] = {
            "inputs": outcome.inputs,
            "seconds": outcome.seconds,
            "crashes": int(outcome.crashed),
            "commit": commit,
            "machine": dict(machine),
        }
    ordered = {name: kept[name] for name in NAMES if name in kept}
    path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
