"""A tab whose own timers stand still, as those of hidden tabs nearly do, in a real Chromium."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from twisted.internet.defer import Deferred

from mtmount_twisted.replies import OnStateInfoReply
from tests.support.dashboards import on_reactor

from .test_dashboard import expect
from .test_dashboard_tabs import MUTE_WORKER, TabsCase

# A browser delays these in a hidden tab as it delays the timers, but the clock of a test does not.
WITHOUT_TIMEOUTS = "AbortSignal.timeout = () => new AbortController().signal;"
WITHOUT_WAKES = """
    const post = MessagePort.prototype.postMessage;
    MessagePort.prototype.postMessage = function (data, ...more) {
        if (data?.word !== "wake") post.call(this, data, ...more);
    };
"""
BROKEN_WORKERS = """
    window.broken = true;
    for (const name of ["SharedWorker", "Worker"]) {
        const Real = window[name];
        window[name] = class {
            constructor(...all) {
                if (window.broken) throw new Error("not now");
                return new Real(...all);
            }
        };
    }
"""


def press(page: Any, selector: str) -> None:
    """Click, without the wait of Playwright until the tab is drawn."""
    page.locator(selector).dispatch_event("click")


class TestHidden(TabsCase):
    """What a tab does while it is hidden."""

    def hide(self, page: Any, scripts: str = "") -> None:
        """Load the page anew and stop its timers once it is live.

        :param scripts: run in the page before its own.
        """
        page.add_init_script(WITHOUT_TIMEOUTS + scripts)
        page.clock.install()
        page.reload()
        page.wait_for_selector("body[data-live=yes]")
        page.clock.pause_at(datetime.now() + timedelta(minutes=1))

    def doubt(self, page: Any) -> None:
        """Let the requests of a tab fail, and not those of its worker, until it says that it is not live."""
        page.route("**/api/v1/**", lambda route: route.abort("connectionrefused"))
        press(page, "#stop")
        expect(page).to_have_title("NOT LIVE: Mount")
        page.unroute("**/api/v1/**")

    def test_requests_failed(self) -> Deferred[None]:
        """The title is true again soon after the tab's own requests have failed for a while."""

        def work(page: Any) -> None:
            self.hide(page)
            self.doubt(page)
            expect(page).to_have_title("Mount")

        return self.browse(work)

    def test_stop_takes_the_place_of_a_probe(self) -> Deferred[None]:
        """The title says that the daemon is gone also if STOP ended the request that looked for it."""

        def work(page: Any) -> None:
            self.hide(page, WITHOUT_WAKES)
            stops: list[Any] = []

            def handle(route: Any) -> None:
                """Leave each state before STOP without a response; let all else fail."""
                request = route.request
                if request.method == "POST":
                    stops.append(request)
                # By STOP, not by number: the browser may cancel the first request before a route hears of it.
                if stops or not request.url.endswith("/state"):
                    route.abort("connectionrefused")

            page.route("**/api/v1/**", handle)
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            press(page, "#stop")
            expect(page).to_have_title("NOT LIVE: Mount")

        return self.browse(work)

    def test_requests_failed_and_nothing_wakes_the_tab(self) -> Deferred[None]:
        """The title is true again with the next event where no worker can wake the tab."""

        def work(page: Any) -> None:
            self.hide(page, WITHOUT_WAKES)
            self.doubt(page)
            on_reactor(self.house.say, OnStateInfoReply(description="Something happens"))
            expect(page).to_have_title("Mount")

        return self.browse(work)

    def test_frozen_daemon(self) -> Deferred[None]:
        """The title says that the daemon does not answer the tab's request, and that it answers again."""

        def work(page: Any) -> None:
            self.hide(page)
            on_reactor(self.house.freeze)
            press(page, "#stop")
            expect(page).to_have_title("NOT LIVE: Mount")
            on_reactor(self.house.thaw)
            expect(page).to_have_title("Mount")

        return self.browse(work)

    def test_journal(self) -> Deferred[None]:
        """A hidden tab reads the journal to its end, and does not hold up another tab that reads it."""

        def work(page: Any) -> None:
            self.hide(page)
            tab = self.open(page)
            for each in (page, tab):
                press(each, "#tail-older")
            for each in (tab, page):
                expect(each.locator("#tail-reach")).to_have_text("The journal begins here.")

        return self.browse(work)

    def test_worker_that_ended(self) -> Deferred[None]:
        """A tab whose timers fire once a minute is not live two minutes after its worker has ended."""

        def work(page: Any) -> None:
            page.add_init_script(MUTE_WORKER)
            page.clock.install()
            page.reload()
            page.wait_for_function("() => said.length === 1")
            for _ in range(2):
                page.clock.fast_forward(60_000)
            expect(page.locator("#not-live")).to_contain_text("this browser ended the worker that reads")

        return self.browse(work)

    def test_machine_that_slept(self) -> Deferred[None]:
        """A tab whose machine slept for an hour waits for its worker's next word."""

        def work(page: Any) -> None:
            page.add_init_script(MUTE_WORKER)
            page.clock.install()
            page.reload()
            page.wait_for_function("() => said.length === 1")
            page.clock.fast_forward(3_600_000)
            expect(page.locator("#not-live")).not_to_contain_text("this browser ended")

        return self.browse(work)


class TestLate(TabsCase):
    """What is due late, or could not be had at first."""

    def test_no_worker_at_first(self) -> Deferred[None]:
        """A tab that finds nothing to read the events for it looks for it again."""

        def work(page: Any) -> None:
            page.add_init_script(BROKEN_WORKERS)
            page.route("**/static/hub.js", lambda route: route.abort("connectionrefused"))
            page.clock.install()
            page.reload()
            expect(page.locator("#not-live")).to_contain_text("no worker in which the page can read events")
            page.evaluate("window.broken = false")
            page.clock.run_for(10_000)
            expect(page.locator("#not-live")).to_be_hidden()

        return self.browse(work)
