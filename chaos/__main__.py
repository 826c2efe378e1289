"""``python -m chaos``: inject every fault, and print what became of it."""

from __future__ import annotations

import argparse
import logging
import resource
from pathlib import Path
from time import monotonic
from typing import Any

from twisted.internet import defer, task

from . import report
from .outcome import Outcome
from .rows import ROWS
from .stage import play


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="each fault a few times, in 90 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    parser.add_argument("only", nargs="*", metavar="WORD", help="only faults with one of these words")
    return parser.parse_args()


async def main(reactor: Any) -> None:
    """Go through the table; exit status 1 if anything is not as expected."""
    reactor.seconds = monotonic
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.getLogger("chaos").addHandler(logging.NullHandler())
    logging.getLogger("chaos").propagate = False
    given, began = options(), monotonic()
    print(report.joined(report.HEADINGS), flush=True)
    results: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []
    for row in ROWS:
        times = row.short if given.short else row.full
        if not times or (given.only and not any(word in row.fault for word in given.only)):
            continue
        outcome = await play(reactor, row, times)
        outcomes.append(outcome)
        results.append(report.result(row, outcome))
        print(report.joined(report.cells(results[-1])), flush=True)
    figures, seconds = report.figures(outcomes), monotonic() - began
    print("\n" + "\n".join(f"{report.FIGURES[name]}: {value:,}" for name, value in figures.items()))
    unmet = sum(not result["met"] for result in results)
    print(f"{seconds:.0f} s; not as expected: {unmet}")
    if given.json is not None:
        report.write(given.json, results, figures, seconds)
    if unmet:
        raise SystemExit(1)


task.react(lambda reactor: defer.Deferred.fromCoroutine(main(reactor)))
