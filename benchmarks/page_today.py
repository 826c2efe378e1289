"""The page over a mount that sends all its telemetry: its main thread, and whether its memory grows.

As in `page`, a whole daemon, a simulated mount and a Chromium without a window, which draws in software. The
page reads its signals 4 times a second, and draws the mount and eight plots each second.

``python -m benchmarks.page_today MINUTES`` looks at the memory alone, for longer: it prints the page's heap
each minute, and its slope.
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

WARM_UP = 60.0
"""How long the page is left alone before its heap is read first, in seconds: its lists fill up."""


def heap(session: Any) -> float:
    """Return the page's heap after a collection of garbage, in MB."""
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the line through points with the least squares."""
    count = len(points)
    x, y = (sum(each) / count for each in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def watch(url: str, minutes: int, say: Callable[[str], object], page: Any) -> None:
    """Open the page, and print its heap each minute, and how much it grows in an hour."""
    page.goto(url)
    page.wait_for_selector("body[data-live=yes]")
    session = page.context.new_cdp_session(page)
    time.sleep(WARM_UP)
    points: list[tuple[float, float]] = []
    begun = time.monotonic()
    for minute in range(minutes + 1):
        time.sleep(max(0.0, begun + 60 * minute - time.monotonic()))
        points.append(((time.monotonic() - begun) / 3600, heap(session)))
        say(f"{minute} min: {points[-1][1]:.2f} MB")
    say(f"slope: {slope(points):+.2f} MB an hour")


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
        await browser().run(partial(watch, house.url, int(sys.argv[1]), print), viewport=WINDOW)
        await house.stop()


if __name__ == "__main__":
    task.react(lambda reactor: defer.Deferred.fromCoroutine(memory(reactor)))
