"""The table and the figures, as they are printed and written."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .outcome import Outcome, Row
from .rows import ROWS

RESULTS = Path(__file__).resolve().parent / "results.json"

HEADINGS = ("fault", "times", "expected", "seen", "lost")
WIDTHS = (58, 7, 58, 20, 4)

FIGURES = {
    "kill": "kill cycles",
    "reconnections": "reconnections",
    "clients": "simultaneous clients",
    "hours": "simulated hours",
    "commands": "commands",
    "lag": "event loop, longest delay by its own work (ms)",
    "lag_with_others": "event loop, longest delay in all (ms)",
    "lost": "lost",
}
"""The figures below the table; those not in `LARGEST` are sums."""

LARGEST = ("clients", "lag", "lag_with_others")
"""Of which figures the largest counts, and not the sum."""


def result(row: Row, outcome: Outcome) -> dict[str, Any]:
    """A row as it is written."""
    return {
        "fault": row.fault,
        "times": outcome.injected,
        "expected": list(row.expected),
        "seen": dict(outcome.seen),
        "lost": outcome.lost,
        "problems": [outcome.impossible] if outcome.impossible else outcome.problems,
        "met": row.is_met(outcome),
        **({"note": outcome.note} if outcome.note else {}),
        **({"measured": outcome.measured} if outcome.measured else {}),
    }


def cells(result: dict[str, Any]) -> list[str]:
    """A result as a row of the table."""
    counts = [(word, result["seen"].get(word, 0)) for word in result["expected"]]
    short = [f"{word}: {count} of {result['times']}" for word, count in counts if count != result["times"]]
    short = [] if result["met"] is None else short
    seen = "; ".join([*short, *result["problems"]]) if short or result["problems"] else "each time"
    seen += f"; {result['note']}" if "note" in result else ""
    return [
        result["fault"],
        f"{result['times']:,}",
        ", ".join(result["expected"]),
        seen,
        str(result["lost"]),
    ]


def joined(texts: Sequence[str]) -> str:
    """A row as it is printed."""
    return "  ".join(text.ljust(width) for text, width in zip(texts, WIDTHS, strict=True)).rstrip()


def figures(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """The figures of all rows together."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        for name, value in outcome.figures.items():
            total[name] = max(total[name], value) if name in LARGEST else total[name] + value
    total["lost"] = sum(outcome.lost for outcome in outcomes)
    return {name: total[name] for name in FIGURES}


def merged(old: dict[str, Any], new: Sequence[dict[str, Any]], order: Sequence[str]) -> list[dict[str, Any]]:
    """The results of an earlier run, with those of rows that were played anew in their places.

    :param order: the faults, as the table has them.
    """
    known = {result["fault"]: result for result in (*old["results"], *new)}
    return [known[fault] for fault in order if fault in known]


def write_some(path: Path, results: Sequence[dict[str, Any]], figures: dict[str, int]) -> None:
    """Write the results of some rows into the file of a run of all of them; sums stay that run's."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["results"] = merged(content, results, [row.fault for row in ROWS])
    for name in LARGEST:
        content["figures"][name] = max(content["figures"][name], figures[name])
    content["figures"]["lost"] = sum(result["lost"] for result in content["results"])
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write(path: Path, results: Sequence[dict[str, Any]], figures: dict[str, int], seconds: float) -> None:
    """Write all as JSON."""
    machine = {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "twisted": version("Twisted"),
        "seconds": round(seconds),
    }
    content = {"machine": machine, "figures": figures, "results": list(results)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
