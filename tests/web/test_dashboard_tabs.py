"""Many tabs of the page in one Chromium, which opens six connections to the daemon over all of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from twisted.internet.defer import Deferred

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.frontends.web.http.tokens import load
from mtmount_twisted.replies import OnStateInfoReply
from tests.support.dashboards import DashboardCase, on_reactor

from .test_dashboard import expect, take_command

TABS = 10
WITHOUT_SHARED = "delete window.SharedWorker"
WITHOUT_WORKERS = "delete window.SharedWorker; delete window.Worker"
WITHOUT_CHANNEL = """
    delete window.SharedWorker;
    const Real = window.Worker;
    window.Worker = class { constructor() { throw new Error("not here"); } };
    delete window.BroadcastChannel;
"""
COUNT_STREAMS = """async wanted => {
    const token = sessionStorage.getItem("mtmount-token");
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const text = await (await fetch("metrics", { headers })).text();
    return Number(text.match(/^mtmount_bridge_event_streams (\\S+)/m)[1]) === wanted;
}"""
MUTE_WORKER = """
    window.said = [];
    window.SharedWorker = class {
        constructor() {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = ({ data }) => said.push(data.word);
            port1.postMessage({ word: "hello" });
            this.port = port2;
        }
    };
"""


def expect_words(page: Any, words: str) -> None:
    """Wait until a hub has said these words, with commas between them."""
    page.wait_for_function("words => heard.join().includes(words)", arg=words, polling=50)


class TabsCase(DashboardCase):
    """Tabs of one browser."""

    def open(self, page: Any, live: bool = True) -> Any:
        """One tab more in the browser of a page."""
        tab = page.context.new_page()
        tab.goto(self.house.url)
        if live:
            tab.wait_for_selector("body[data-live=yes]")
        return tab

    def wait_for_streams(self, page: Any, wanted: int) -> None:
        """Wait until the daemon has so many event streams, by its own figures."""
        page.wait_for_function(COUNT_STREAMS, arg=wanted, polling=50)


class TestOneUser(TabsCase):
    """Tabs of one user."""

    def test_stop_with_ten_tabs(self) -> Deferred[None]:
        """Ten tabs share one event stream, each hears of everything, and STOP leaves the last in time."""

        def work(page: Any) -> None:
            tabs = [page, *(self.open(page) for _ in range(TABS - 1))]
            self.wait_for_streams(page, 1)
            on_reactor(self.house.say, OnStateInfoReply(description="Heard in every tab"))
            for tab in tabs:
                expect(tab.locator("#word")).to_have_text("Heard in every tab")
                expect(tab.locator("#no-events")).to_be_hidden()
            tabs[-1].click("#stop")
            expect(tabs[-1].locator("#stop-status")).to_contain_text("STOP of")
            expect(tabs[0].locator("#tail")).to_contain_text("BothAxesStop")
            took = tabs[-1].evaluate(
                """performance.getEntriesByType("resource").filter(({name}) => name.endsWith("/commands"))
                    .map(({duration}) => duration)"""
            )
            assert len(took) == 1, took
            assert took[0] < 1000, took

        return self.browse(work)

    def test_tab_that_comes_later(self) -> Deferred[None]:
        """A tab that joins the stream of another shows what that has, and resumes with it after a loss."""

        def work(page: Any) -> None:
            on_reactor(self.house.say, OnStateInfoReply(description="Before the second tab"))
            expect(page.locator("#tail")).to_contain_text("Before the second tab")
            tab = self.open(page)
            expect(tab.locator("#tail")).to_contain_text("Before the second tab")
            on_reactor(self.house.cut)
            for each in (page, tab):
                expect(each.locator("#not-live")).to_be_visible()
            on_reactor(self.house.say, OnStateInfoReply(description="Meanwhile"))
            on_reactor(self.house.mend)
            tab.locator("#try-now").dispatch_event("click")
            for each in (page, tab):
                expect(each.locator("#not-live")).to_be_hidden()
                expect(each.locator("#tail")).to_contain_text("Meanwhile")
                rows = each.locator("#tail .row").all_text_contents()
                assert len([row for row in rows if "Before the second tab" in row]) == 1, rows

        return self.browse(work)

    def test_first_tab_is_closed(self) -> Deferred[None]:
        """The stream outlives the tab that began it, and ends with the last."""

        def work(page: Any) -> None:
            tab = self.open(page)
            other = page.context.browser.new_context().new_page()
            other.goto(f"{self.house.url}static/style.css")
            page.close()
            on_reactor(self.house.say, OnStateInfoReply(description="Heard by the second"))
            expect(tab.locator("#word")).to_have_text("Heard by the second")
            tab.close()
            other.goto(f"{self.house.url}healthz")
            self.wait_for_streams(other, 0)
            other.context.close()

        return self.browse(work)

    def test_what_a_tab_says_of_itself(self) -> Deferred[None]:
        """A tab says when the browser freezes, thaws and leaves it: its hub judges its silence by that."""

        def work(page: Any) -> None:
            page.add_init_script(MUTE_WORKER)
            page.reload()
            page.wait_for_function("() => said.length === 1")
            for name in ("freeze", "resume"):
                page.evaluate("name => document.dispatchEvent(new Event(name))", name)
            page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
            page.wait_for_function("() => said.join() === 'follow,frozen,hurry,bye'")

        return self.browse(work)

    def test_title_of_a_hidden_tab(self) -> Deferred[None]:
        """A tab whose own timers stand still, as those of hidden tabs nearly do, keeps its title true."""

        def work(page: Any) -> None:
            page.clock.install()
            page.reload()
            page.wait_for_selector("body[data-live=yes]")
            page.clock.pause_at(datetime.now() + timedelta(minutes=1))
            on_reactor(self.house.cut)
            expect(page).to_have_title("NOT LIVE: Mount")
            on_reactor(self.house.mend)
            expect(page).to_have_title("Mount")

        return self.browse(work)

    def test_tab_that_crashed(self) -> Deferred[None]:
        """A tab that reads nothing for a minute is let go; one that the browser froze is not."""
        script = """async (last) => {
            const { Hub } = await import("./static/hub.js");
            const { port1, port2 } = new MessageChannel();
            const heard = (window.heard = []);
            port2.onmessage = ({ data: { word } }) => heard.push(word);
            new Hub().attach(port1);
            port2.postMessage({ word: "follow", token: null });
            if (last) port2.postMessage({ word: last });
            window.port = port2;
        }"""

        def work(page: Any) -> None:
            page.add_init_script(MUTE_WORKER)
            page.clock.install()
            for last, gone in (("", True), ("frozen", False)):
                page.reload()
                page.evaluate(script, last)
                expect_words(page, "news")
                page.clock.run_for(90_000)
                page.evaluate("port.postMessage({ word: 'refresh' })")
                page.evaluate("port.postMessage({ word: 'read' })")
                expect_words(page, "gone" if gone else "news,news")

        return self.browse(work)

    def test_page_that_is_left_and_back(self) -> Deferred[None]:
        """A page that the browser kept while another was shown tells what happened meanwhile."""
        go = "(name) => dispatchEvent(new PageTransitionEvent(name, { persisted: true }))"

        def work(page: Any) -> None:
            page.evaluate(go, "pagehide")
            self.wait_for_streams(page, 0)
            on_reactor(self.house.say, OnStateInfoReply(description="Meanwhile"))
            page.evaluate(go, "pageshow")
            expect(page.locator("#tail")).to_contain_text("Meanwhile")
            expect(page.locator("#not-live")).to_be_hidden()

        return self.browse(work)

    def test_history_that_others_read(self) -> Deferred[None]:
        """A tab that may not read the journal because others do reads it a little later."""
        statuses: list[int] = []

        def refuse_first(route: Any) -> None:
            if len(statuses) < 2:
                statuses.append(429)
                route.fulfill(status=429, json={"error": "you have 2 queries already"})
            else:
                route.continue_()

        def work(page: Any) -> None:
            on_reactor(self.house.say, OnStateInfoReply(description="Long before"))
            expect(page.locator("#tail")).to_contain_text("Long before")
            other = page.context.browser.new_context().new_page()
            other.route("**/api/v1/messages?*", refuse_first)
            other.goto(self.house.url)
            expect(other.locator("#tail")).to_contain_text("Long before")
            other.context.close()

        return self.browse(work)


class TestFewConnections(TabsCase):
    """Tabs of a browser without shared workers."""

    def test_four_streams(self) -> Deferred[None]:
        """Four tabs have a stream each; the others say that they have none, and why, and STOP works there."""

        def work(page: Any) -> None:
            page.context.add_init_script(WITHOUT_SHARED)
            page.reload()
            page.wait_for_selector("body[data-live=yes]")
            tabs = [page, *(self.open(page) for _ in range(5))]
            without = tabs[4:]
            for tab in without:
                expect(tab.locator("#no-events")).to_contain_text(
                    "4 other tabs of this browser have the events"
                )
            for tab in tabs[:4]:
                expect(tab.locator("#no-events")).to_be_hidden()
            self.wait_for_streams(page, 4)
            without[1].click("#stop")
            expect(without[1].locator("#stop-status")).to_contain_text("STOP of")
            take_command(without[1])
            expect(without[0].locator("#holder")).to_have_text("You")
            for tab in tabs[:2]:
                tab.close()
            for tab in without:
                expect(tab.locator("#no-events")).to_be_hidden()
            self.wait_for_streams(without[1], 4)

        return self.browse(work)

    def test_without_workers(self) -> Deferred[None]:
        """A browser that gives the page no worker at all reads the events in the page."""

        def work(page: Any) -> None:
            page.context.add_init_script(WITHOUT_WORKERS)
            tab = self.open(page)
            on_reactor(self.house.say, OnStateInfoReply(description="Heard without a worker"))
            expect(tab.locator("#word")).to_have_text("Heard without a worker")

        return self.browse(work)

    def test_without_a_channel(self) -> Deferred[None]:
        """A browser in which tabs can't hear of each other gives them no events, and they say so."""

        def work(page: Any) -> None:
            page.context.add_init_script(WITHOUT_CHANNEL)
            tab = self.open(page)
            expect(tab.locator("#no-events")).to_contain_text("no BroadcastChannel")
            take_command(tab)

        return self.browse(work)

    def test_refused_by_the_daemon(self) -> Deferred[None]:
        """A tab that the daemon refuses a stream says so in the daemon's words, and shows its state."""
        why = "you have 16 event streams already"

        def work(page: Any) -> None:
            page.context.add_init_script(WITHOUT_WORKERS)  # a worker's requests can't be answered by a test
            page.route("**/api/v1/events?*", lambda route: route.fulfill(status=503, json={"error": why}))
            page.reload()
            expect(page.locator("#no-events")).to_contain_text(why)
            expect(page.locator("#not-live")).to_be_hidden()
            take_command(page)
            page.unroute("**/api/v1/events?*")
            expect(page.locator("#no-events")).to_be_hidden()

        return self.browse(work)

    def test_worker_that_is_gone(self) -> Deferred[None]:
        """A tab whose worker says nothing any more is not live."""

        def work(page: Any) -> None:
            page.add_init_script(MUTE_WORKER)
            page.clock.install()
            page.reload()
            page.clock.run_for(45_000)
            expect(page.locator("#not-live")).to_contain_text("this browser ended the worker that reads")

        return self.browse(work)


class TestTokens(TabsCase):
    """Tabs with different tokens."""

    settings = WebSettings(absent_after=0.2)

    def tokens(self) -> Any:
        """Two who may command."""
        return load(
            b"""
            [[token]]
            name = "night"
            secret = "the-secret-of-the-night"
            roles = ["command"]
            [[token]]
            name = "day"
            secret = "the-secret-of-the-day"
            roles = ["command"]
            """
        )

    def enter(self, page: Any, name: str) -> None:
        """Give a token to a tab."""
        page.fill("#token", f"the-secret-of-the-{name}")
        page.press("#token", "Enter")
        page.wait_for_selector("body[data-live=yes]")

    def test_nothing_is_shared(self) -> Deferred[None]:
        """Each token has a stream of its own, and a wrong one disturbs nobody."""

        def work(page: Any) -> None:
            tabs = [page, *(self.open(page, live=False) for _ in range(2))]
            for tab, name in zip(tabs, ("night", "day", "day"), strict=True):
                self.enter(tab, name)
                expect(tab.locator("#who")).to_have_text(f"you are web/{name}")
            wrong = self.open(page, live=False)
            wrong.fill("#token", "the-secret-of-nobody")
            wrong.press("#token", "Enter")
            expect(wrong.locator("#token-why")).to_contain_text("The token was rejected")
            self.wait_for_streams(page, 2)
            take_command(page)
            expect(tabs[1].locator("#holder-more")).to_contain_text("web/night")
            for tab in tabs:
                expect(tab.locator("#not-live")).to_be_hidden()

        return self.browse(work, live=False)

    def test_user_is_gone_with_its_tab(self) -> Deferred[None]:
        """A user whose last tab is closed is gone, though another user's tab keeps the worker alive."""

        def work(page: Any) -> None:
            tab = self.open(page, live=False)
            self.enter(page, "night")
            self.enter(tab, "day")
            take_command(page)
            expect(tab.locator("#holder-more")).to_contain_text("web/night")
            page.close()
            expect(tab.locator("#holder-more")).to_contain_text("its connection is lost")

        return self.browse(work, live=False)
