"""What a page missed while it was not live, in Chromium: the daemon has it in memory or in its journal."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from mtmount_twisted.frontends.web.events.ring import MAX_BYTES
from mtmount_twisted.replies import OnStateInfoReply
from tests.support.dashboards import DashboardCase, on_reactor

from .test_dashboard import expect

LONG = OnStateInfoReply(description="x" * 60_000)


class TestMissed(DashboardCase):
    """A page that was cut off."""

    def test_more_than_memory_holds(self) -> Deferred[None]:
        """What memory holds no longer when the page is back is read from the journal, and is shown once."""

        def work(page: Any) -> None:
            tail, asked = page.locator("#tail"), []
            page.on("request", lambda request: asked.append(request.url))
            on_reactor(self.house.say, OnStateInfoReply(description="Before"))
            expect(tail).to_contain_text("Before")
            on_reactor(self.house.cut)
            expect(page.locator("#not-live")).to_be_visible()
            on_reactor(self.house.say, OnStateInfoReply(description="Meanwhile"))
            on_reactor(self.house.say, *[LONG] * (MAX_BYTES // 40_000), OnStateInfoReply(description="Last"))
            beside = page.context.new_page()
            beside.goto(self.house.web.address)
            expect(beside.locator("#word")).to_have_text("Last")
            beside.close()
            on_reactor(self.house.mend)
            page.locator("#try-now").dispatch_event("click")
            expect(page.locator("#not-live")).to_be_hidden()
            page.fill("#tail-filter", "Meanwhile")
            expect(tail).to_contain_text("Meanwhile")
            expect(tail.locator(".row")).to_have_count(1)
            page.fill("#tail-filter", "can't be shown")
            expect(tail.locator(".row")).to_have_count(0)
            assert [url for url in asked if "after=" in url], asked

        return self.browse(work)
