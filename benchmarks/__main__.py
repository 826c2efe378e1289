"""``python -m benchmarks``: measure, print a table, and write a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter
from typing import Any

from twisted.internet import defer, task

from . import (
    bridge,
    bridge_tma2022,
    codec,
    codec_tma2022,
    motion,
    one_way,
    page,
    page_today,
    receiving,
    recorder,
    round_trip,
    sending,
    starting,
    station,
    web_signals,
    web_streams,
)
from .runner import HEADINGS, RESULTS, Run, joined

GROUPS = {module.__name__.partition(".")[2]: module for module in (
    codec, codec_tma2022, receiving, sending, one_way, round_trip, bridge, bridge_tma2022, web_streams,
    web_signals, page, page_today,
    recorder, starting, motion, station,
)}  # fmt: skip


async def main(reactor: Any) -> None:
    """Measure the groups that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS, help="the file [%(default)s]")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"only these: {', '.join(GROUPS)}")
    options = parser.parse_args()
    unknown = set(options.groups) - set(GROUPS)
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}; there are: {', '.join(GROUPS)}")
    if options.groups and options.output == RESULTS:
        parser.error("some groups only: name another --output, to keep the file whole")
    print(joined(HEADINGS))
    run, start = Run(), perf_counter()
    for name in options.groups or GROUPS:
        await GROUPS[name].measure(run, reactor)
    run.write(options.output, perf_counter() - start)
    missed = sum(compared["met"] is False for result in run.results for compared in result["comparisons"])
    print(f"\n{perf_counter() - start:.0f} s; goals missed: {missed}; written to {options.output}")


task.react(lambda reactor: defer.Deferred.fromCoroutine(main(reactor)))
