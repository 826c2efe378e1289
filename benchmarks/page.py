"""The page in a browser while a commander tracks: how busy its main thread is.

A whole daemon and a simulated mount run in this process, a commander sends 20 targets a second to each axis,
and a Chromium without a window draws the page in software. Its own count of the main thread's tasks is read
(``Performance.getMetrics``): by the clock, and in time of the processor, to which other work on the machine
does not add.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.browsers import browser, missing
from tests.support.dashboards import House
from tests.support.tracking import RATE, Tracker, connect_tracker

from .bridge import Takes
from .runner import Case, Goal, Run

WARM_UP, SECONDS = 3.0, 6.0
"""How long the page is left alone first, and how long it is measured."""

WINDOW = {"width": 1360, "height": 900}

FIGURES = {"TaskDuration": "busy", "ScriptDuration": "scripts"}

QUIET, TRACKING = "no tracking", "tracking"


def metrics(session: Any, domain: str) -> dict[str, float]:
    """Return the counters of the page's renderer, in seconds."""
    session.send("Performance.disable")
    session.send("Performance.enable", {"timeDomain": domain})
    return {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}


def look(url: str, found: dict[str, float], page: Any) -> None:
    """Open the page, and find out how busy its main thread is, in % of the time."""
    page.goto(url)
    page.wait_for_selector("body[data-live=yes]")
    session = page.context.new_cdp_session(page)
    time.sleep(WARM_UP)
    for domain, suffix in (("timeTicks", ""), ("threadTicks", "_cpu")):
        before, begun = metrics(session, domain), time.monotonic()
        time.sleep(SECONDS)
        after, took = metrics(session, domain), time.monotonic() - begun
        for name, figure in FIGURES.items():
            found[figure + suffix] = (after[name] - before[name]) / took * 100


async def take(house: House, tracker: Tracker, tracks: bool) -> Mapping[str, float]:
    """Look at the page once, while the tracker tracks or does not."""
    found: dict[str, float] = {}
    if tracks:
        tracker.start()
    await browser().run(partial(look, house.url, found), viewport=WINDOW)
    await tracker.stop()
    if tracker.refused:
        raise RuntimeError(f"the mount refused {tracker.refused} targets")
    return found


async def measure(run: Run, reactor: Any) -> None:
    """Measure the page beside a tracker and without one, if there is a browser."""
    if reason := missing():
        run.say(f"the page is not measured: {reason}")
        return
    logging.getLogger("mtmount_twisted").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        house = House(str(Path(folder, "page.sqlite")))
        await house.start()
        tracker = await connect_tracker(house.desk_port)
        await tracker.enable()
        takes = {
            QUIET: Takes(partial(take, house, tracker, False)),
            TRACKING: Takes(partial(take, house, tracker, True)),
        }
        title = f"{2 * RATE:g} targets/s, main thread"
        for key, name, limit in (
            ("busy", f"{title} busy", 15),
            ("busy_cpu", f"{title}, processor", 15),
            ("scripts", f"{title}, scripts", None),
        ):
            subjects = {subject: partial(each, key) for subject, each in takes.items()}
            goals = (Goal(QUIET, "by itself, at most", limit, TRACKING),)
            await run.measure(Case("page", name, "%", subjects, goals, 5))
        tracker.transport.loseConnection()  # type: ignore[union-attr]
        await house.stop()
