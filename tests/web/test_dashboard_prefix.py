"""The page in a real browser, below a path: as behind a proxy that other pages share."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from mtmount_twisted.config.settings import WebSettings
from tests.support.dashboards import DashboardCase

from .test_dashboard import expect


class TestBelowAPath(DashboardCase):
    """``path_prefix``, and a proxy that does not take it off."""

    settings = WebSettings(path_prefix="/mount")

    def test_everything_is_found_there(self) -> Deferred[None]:
        """Without its last slash too, the page is live, stops the mount, and asks for nothing elsewhere."""

        def work(page: Any) -> None:
            asked: list[str] = []
            page.goto("about:blank")  # the page at the root may still ask for its history
            page.on("request", lambda request: asked.append(request.url))
            page.goto(f"{self.house.url}mount")
            page.wait_for_selector("body[data-live=yes]")
            self.assertEqual(page.url, f"{self.house.url}mount/")
            page.locator("#stop").click()
            expect(page.locator("#lives li").first).to_contain_text("Both axes stop")
            self.assertGreater(len(asked), 10)
            for url in asked[1:]:
                self.assertTrue(url.startswith((page.url, "data:")), url)

        return self.browse(work)
