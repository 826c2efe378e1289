"""Queries of the page, without command and from many tabs, in a real browser over the whole daemon."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.dashboards import DashboardCase, HouseOfToday
from tests.support.folders import scratch_path
from tests.support.static_pages import StaticPageCase

from .test_dashboard import expect

QUERIES = re.compile(r"/api/v1/(telemetry/history|slews|messages)[?]")
TABS = 5

CLAIMS = """async () => {
    const { Slot, READERS } = await import('./static/slots.js');
    let [has, most] = [0, 0];
    const claim = () => new Promise((done) => {
        const slot = new Slot({ granted: () => {
            most = Math.max(most, has += 1);
            setTimeout(() => { has -= 1; slot.release(); done(); }, 50);
        }, denied: () => {} }, READERS);
        slot.claim();
    });
    await Promise.all([1, 2, 3, 4, 5].map(claim));
    return most;
}"""

ASK = """async () => {
    const its = await import('./static/api.js');
    window.answers = 0;
    const count = () => (window.answers += 1);
    its.getHistory({ signals: 'a' }).then(count);
    its.getSlews({ limit: 1 }).then(count);
    its.getHistory({ signals: 'b' }).then(count);
    its.getMessages({ limit: 1 }).then(count);
}"""


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
        """Tabs that are opened together all have their plots and slews: none gives up at a busy daemon."""

        def work(page: Any) -> None:
            plotted: set[Any] = set()

            def answered(response: Any) -> None:
                if "/telemetry/history?" in response.url and response.status == 200:
                    plotted.add(response.request.frame.page)

            page.context.on("response", answered)
            page.evaluate(f"for (let tab = 1; tab < {TABS}; tab += 1) open(location.href)")
            for _ in range(200):
                if len(plotted) == TABS - 1:
                    break
                page.wait_for_timeout(100)
            assert len(plotted) == TABS - 1, len(plotted)
            for tab in plotted:
                expect(tab.locator("#slews")).to_have_text("None yet.")
                expect(tab.locator("#plot-tools [role=status]")).to_have_text("")

        return self.browse(work)


class TestTurns(StaticPageCase):
    """Queries of one browser."""

    body = "<p></p>"

    def test_turns(self) -> Deferred[None]:
        """A browser has one query for plots and one for the journal at once: the daemon gives a user two."""

        def work(page: Any) -> None:
            held: list[Any] = []
            page.route(QUERIES, lambda route: held.append(route))
            page.evaluate(ASK)
            for answered in range(1, 5):
                for _ in range(100):
                    if len(held) >= min(4, answered + 1):
                        break
                    page.wait_for_timeout(50)
                page.wait_for_timeout(300)  # a third would be here by now
                assert len(held) == min(4, answered + 1), held
                held[answered - 1].fulfill(json={})
            page.wait_for_function("() => answers === 4")

        return self.look(work)

    def test_claims_at_once(self) -> Deferred[None]:
        """Of five claims in one moment each has its turn, one after the other."""

        def work(page: Any) -> None:
            assert page.evaluate(CLAIMS) == 1

        return self.look(work)
