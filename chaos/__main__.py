"""``python -m chaos``: inject every fault, and print the results."""

from __future__ import annotations

import argparse
import logging
import resource
from pathlib import Path
from time import monotonic
from typing import Any

from twisted.internet import defer, task

from . import report
from .outcome import Outcome, Row
from .rows import ROWS
from .stage import SEED, play

AT_ONCE = 4
"""How many rows are played at the same time, but for those that need the machine for themselves."""


def options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="each fault a few times, in some minutes")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="where to write the results; of some faults, into those that are there",
    )
    parser.add_argument(
        "--at-once", type=int, default=AT_ONCE, metavar="N", help="rows at the same time [%(default)s]"
    )
    parser.add_argument(
        "--times", type=int, metavar="N", help="how often each fault; of a random mix, how many minutes"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of what is random [%(default)s]")
    parser.add_argument("only", nargs="*", metavar="WORD", help="only faults with one of these words")
    return parser.parse_args()


def chosen(given: argparse.Namespace) -> dict[Row, int]:
    """Which rows are played, and how many times each."""
    times = {row: row.short if given.short else row.full for row in ROWS}
    wanted = [row for row in ROWS if not given.only or any(word in row.fault for word in given.only)]
    return {row: given.times or times[row] for row in wanted if given.times or times[row]}


async def play_all(reactor: Any, wanted: dict[Row, int], at_once: int, seed: int) -> dict[Row, Outcome]:
    """Play rows, some of them at the same time, and print each when it is over.

    The rows that take longest begin first: the others are played beside them.
    """
    played: dict[Row, Outcome] = {}
    places = defer.DeferredSemaphore(at_once)

    async def play_one(row: Row) -> None:
        played[row] = await play(reactor, row, wanted[row], seed)
        print(report.joined(report.cells(report.result(row, played[row]))), flush=True)

    def start(row: Row) -> defer.Deferred[None]:
        return places.run(lambda: defer.Deferred.fromCoroutine(play_one(row)))

    beside = sorted((row for row in wanted if not row.alone), key=lambda row: -wanted[row] * row.seconds)
    await defer.gatherResults([start(row) for row in beside])
    for row in wanted:
        if row.alone:
            await play_one(row)
    return played


async def main(reactor: Any) -> None:
    """Go through the table; exit status 1 if anything is not as expected."""
    reactor.seconds = monotonic
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.getLogger("chaos").addHandler(logging.NullHandler())
    logging.getLogger("chaos").propagate = False
    given, began = options(), monotonic()
    print(report.joined(report.HEADINGS), flush=True)
    played = await play_all(reactor, chosen(given), given.at_once, given.seed)
    results = [report.result(row, played[row]) for row in ROWS if row in played]
    figures, seconds = report.figures(list(played.values())), monotonic() - began
    print("\n" + "\n".join(f"{report.FIGURES[name]}: {value:,}" for name, value in figures.items()))
    unmet = sum(result["met"] is False for result in results)
    print(f"{seconds:.0f} s; not as expected: {unmet}")
    if given.json is not None and given.only and given.json.exists():
        report.write_some(given.json, results, figures)
    elif given.json is not None:
        report.write(given.json, results, figures, seconds)
    if unmet:
        raise SystemExit(1)


task.react(lambda reactor: defer.Deferred.fromCoroutine(main(reactor)))
