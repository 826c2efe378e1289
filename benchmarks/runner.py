"""Measures cases: their subjects in turn (A B A B ...), so that a busy machine slows all alike."""

from __future__ import annotations

import gc
import inspect
import json
import os
import platform
import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"

Sample = Callable[[], "float | Awaitable[float]"]
"""Measure a subject once, and return its cost: less is better."""

COMPARE: dict[str, tuple[Callable[[float, float], float], Callable[[float, float], bool]]] = {
    "at most": (lambda ours, theirs: ours / theirs, lambda got, limit: got <= limit),
    "times faster, at least": (lambda ours, theirs: theirs / ours, lambda got, limit: got >= limit),
    "more, at most": (lambda ours, theirs: ours - theirs, lambda got, limit: got <= limit),
    "by itself, at most": (lambda ours, theirs: ours, lambda got, limit: got <= limit),
}
"""How two costs compare, and whether that meets a limit."""


@dataclass(frozen=True)
class Goal:
    """That one subject compares with another as it should; with no limit, just that it compares."""

    comparator: str
    kind: str = "at most"
    limit: float | None = None
    subject: str = "ours"


@dataclass(frozen=True)
class Case:
    """One figure: its subjects, its unit and its goals.

    :ivar warms_up: False for a figure whose first round counts, too, such as one that takes many seconds.
    """

    group: str
    name: str
    unit: str
    subjects: Mapping[str, Sample]
    goals: tuple[Goal, ...]
    repetitions: int = 7
    warms_up: bool = True


def each(call: Callable[[Any], object], arguments: Iterable[Any], count: int) -> float:
    """Return the cost of one call in µs of this process's processor time."""
    start = process_time()
    for argument in arguments:
        call(argument)
    return (process_time() - start) * 1e6 / count


@dataclass
class Run:
    """The results so far.

    :ivar say: called with each row of the table.
    """

    say: Callable[[str], object] = print
    results: list[dict[str, Any]] = field(default_factory=list)

    async def measure(self, case: Case) -> None:
        """Measure a case, after one round that does not count unless it needs none, and print the result."""
        samples: dict[str, list[float]] = {name: [] for name in case.subjects}
        for repetition in range(-1 if case.warms_up else 0, case.repetitions):
            for name, sample in case.subjects.items():
                gc.collect()
                value = sample()
                cost = await value if inspect.isawaitable(value) else value
                if repetition >= 0:
                    samples[name].append(cost)
        result = {
            "group": case.group,
            "name": case.name,
            "unit": case.unit,
            "repetitions": case.repetitions,
            "subjects": {name: _spread(costs) for name, costs in samples.items()},
            "comparisons": [_compare(goal, samples) for goal in case.goals],
        }
        self.results.append(result)
        for compared in result["comparisons"]:
            self.say(joined(row(result, compared)))

    def write(self, path: Path, seconds: float) -> None:
        """Write all that was measured as JSON."""
        machine = {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "twisted": version("Twisted"),
            "seconds": round(seconds),
        }
        content = {"machine": machine, "results": self.results}
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _spread(values: list[float]) -> dict[str, float]:
    return {
        name: float(f"{function(values):.4g}")
        for name, function in (("median", statistics.median), ("min", min), ("max", max))
    }


def _compare(goal: Goal, samples: Mapping[str, list[float]]) -> dict[str, Any]:
    """The median of how each pair of samples, taken one right after the other, compares."""
    compare, meets = COMPARE[goal.kind]
    spread = _spread([compare(*pair) for pair in zip(samples[goal.subject], samples[goal.comparator])])
    met = None if goal.limit is None else meets(spread["median"], goal.limit)
    return {
        "subject": goal.subject,
        "comparator": goal.comparator,
        "kind": goal.kind,
        "result": spread,
        "limit": goal.limit,
        "met": met,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


HEADINGS = ("figure", "subject", "costs", "compared with", "ratio", "goal", "met")
WIDTHS = (36, 21, 26, 48, 20, 26, 3)


def row(result: Mapping[str, Any], compared: Mapping[str, Any]) -> list[str]:
    """One comparison of a result as a row of a table."""
    unit, subjects = result["unit"], result["subjects"]
    subject, comparator = compared["subject"], compared["comparator"]
    goal = "" if compared["limit"] is None else f"{compared['kind']} {compared['limit']:g}"
    return [
        result["name"],
        subject,
        f"{show(subjects[subject])} {unit}",
        f"{comparator}: {show(subjects[comparator])} {unit}",
        show(compared["result"]),
        goal,
        {None: "", True: "yes", False: "no"}[compared["met"]],
    ]


def joined(cells: Sequence[str]) -> str:
    """A row as it is printed."""
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS)).rstrip()


def show(spread: Mapping[str, float]) -> str:
    """A median with its spread."""
    return f"{number(spread['median'])} ({number(spread['min'])}-{number(spread['max'])})"


def number(value: float) -> str:
    """A number to three digits, without an exponent."""
    if not value:
        return "0"
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
    return f"{value:.{decimals}f}"
