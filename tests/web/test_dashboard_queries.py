"""Queries of the page, without command and from many tabs, in a real browser over the whole daemon."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from mtmount_twisted.frontends.web.api.history import PER_USER
from tests.support.dashboards import DashboardCase, HouseOfToday
from tests.support.folders import scratch_path

from .test_dashboard import expect

QUERIES = re.compile(r"/api/v1/(telemetry/history|slews|messages)\\?")
TABS = 5


class TestQueries(DashboardCase):
    """Pages before a mount that sends telemetry."""

    async def setUp(self) -> None:
        """Start a house whose mount sends telemetry."""
        self.house = HouseOfToday(str(scratch_path(self)))
        await self.house.start()
        self.addCleanup(self.stop)

    def test_check_without_command(self) -> Deferred[None]:
        """Check needs no command: the daemon says what would happen, and nothing is sent."""

        def work(page: Any) -> None:
            expect(page.locator("#move-why")).to_have_text("Off until you have command. Check works.")
            page.fill("#move-azimuth", "40")
            page.fill("#move-elevation", "60")
            page.click("#move-check")
            expect(page.locator("#move-status")).to_have_text(
                re.compile("^Would be refused; .*command.*azimuth 40.000\u00b0.*Nothing was sent")
            )
            expect(page.locator("#move-send")).to_be_disabled()
            expect(page.locator("#lives")).to_have_text("Nothing yet.")

        return self.browse(work)

    def test_five_tabs(self) -> Deferred[None]:
        """Tabs that are opened together have at most the queries of one user at once; all get an answer."""

        def work(page: Any) -> None:
            running: set[Any] = set()
            counts: list[int] = []
            statuses: list[int] = []
            plotted: list[Any] = []

            def began(request: Any) -> None:
                if QUERIES.search(request.url):
                    running.add(request)
                    counts.append(len(running))

            def answered(response: Any) -> None:
                if QUERIES.search(response.url):
                    statuses.append(response.status)
                    running.discard(response.request)
                    if "history" in response.url:
                        plotted.append(response.request.frame.page)

            page.context.on("request", began)
            page.context.on("response", answered)
            self.house.way.set(latency=0.1)  # so that the queries of tabs that don't wait meet
            page.evaluate(f"for (let tab = 1; tab < {TABS}; tab += 1) open(location.href)")
            for _ in range(200):
                if len(set(plotted)) == TABS - 1:
                    break
                page.wait_for_timeout(100)
            assert len(set(plotted)) == TABS - 1, (len(set(plotted)), statuses)
            assert set(statuses) == {200}, statuses
            assert max(counts) <= PER_USER, counts

        return self.browse(work)
