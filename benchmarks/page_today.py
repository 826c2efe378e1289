"""The page over a mount that sends all its telemetry: its main thread, and whether its memory grows.

As in `page`, a whole daemon, a simulated mount and a Chromium without a window, which draws in software. The
page reads its signals 4 times a second, and draws the mount and eight plots each second.

``python -m benchmarks.page_today MINUTES`` looks at the memory alone, for longer: after 10 minutes, in which
the page's plots and lists fill up, it prints each minute the page's heap, elements and listeners after a
collection of garbage, and at the end the slope of each by least squares.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import defer, task

from tests.support.browsers import browser, missing
from tests.support.dashboards import HouseOfToday

from .bridge import Takes
from .page import WINDOW, look
from .runner import Case, Goal, Run

TELEMETRY = "all telemetry"

WARM_UP = 600.0
"""How long the page is left alone before its memory is read, in seconds: its plots show 10 minutes."""

KEPT = {"heap": "MB", "nodes": "elements and texts", "listeners": "listeners"}
"""Figures of the page's memory, and their units."""


def kept(session: Any) -> dict[str, float]:
    """Return the figures of the page's memory after a collection of garbage."""
    session.send("HeapProfiler.collectGarbage")
    counters = session.send("Memory.getDOMCounters")
    heap = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    return {"heap": heap, "nodes": counters["nodes"], "listeners": counters["jsEventListeners"]}


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the line through points with the least squares."""
    count = len(points)
    x, y = (sum(each) / count for each in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def watch(url: str, minutes: int, say: Callable[[str], object], page: Any) -> None:
    """Open the page, and print its memory each minute, and how much it grows in an hour."""
    page.goto(url)
    page.wait_for_selector("body[data-live=yes]")
    session = page.context.new_cdp_session(page)
    time.sleep(WARM_UP)
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in KEPT}
    begun = time.monotonic()
    for minute in range(minutes + 1):
        time.sleep(max(0.0, begun + 60 * minute - time.monotonic()))
        hours = (time.monotonic() - begun) / 3600
        found = kept(session)
        for name, value in found.items():
            points[name].append((hours, value))
        say(f"{minute} min: " + ", ".join(f"{value:.6g} {KEPT[name]}" for name, value in found.items()))
    for name, unit in KEPT.items():
        say(f"slope of {name}: {slope(points[name]):+.3f} {unit} an hour")


async def take(house: HouseOfToday) -> Mapping[str, float]:
    """Look at the page once."""
    found: dict[str, float] = {}
    await browser().run(partial(look, house.url, found), viewport=WINDOW)
    return found


async def measure(run: Run, reactor: Any) -> None:
    """Measure the main thread, if there is a browser."""
    if reason := missing():
        run.say(f"the page is not measured: {reason}")
        return
    logging.getLogger("mtmount_twisted").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        house = HouseOfToday(str(Path(folder, "page.sqlite")))
        await house.start()
        takes = Takes(partial(take, house))
        for key, name, limit in (
            ("busy", "main thread busy", 15),
            ("busy_cpu", "main thread, processor", 15),
            ("scripts", "main thread, scripts", None),
        ):
            subjects = {TELEMETRY: partial(takes, key)}
            goals = (Goal(TELEMETRY, "by itself, at most", limit, TELEMETRY),)
            await run.measure(Case("page_today", f"{TELEMETRY}, {name}", "%", subjects, goals, 5))
        await house.stop()


async def memory(reactor: Any) -> None:
    """Look at the memory for the minutes of the command line."""
    logging.getLogger("mtmount_twisted").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        house = HouseOfToday(str(Path(folder, "page.sqlite")))
        await house.start()
        say = partial(print, flush=True)
        await browser().run(partial(watch, house.url, int(sys.argv[1]), say), viewport=WINDOW)
        await house.stop()


if __name__ == "__main__":
    task.react(lambda reactor: defer.Deferred.fromCoroutine(memory(reactor)))
