"""STOP leaves the browser while as many other requests wait as the browser has connections.

In these tests the page has no time-outs, and the daemon never answers some requests: a STOP that waited for
one of them would never leave.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from mtmount_twisted.frontends.web.api.commanders import CommandRoutes
from mtmount_twisted.frontends.web.api.history import History
from mtmount_twisted.frontends.web.api.leases import Leases
from mtmount_twisted.frontends.web.http.calls import Answer, Call
from mtmount_twisted.frontends.web.http.tokens import load
from tests.support.dashboards import on_reactor

from .test_dashboard import expect, send, take_command
from .test_dashboard_tabs import WITHOUT_SHARED, TabsCase

WITHOUT_TIMEOUTS = """;
    const end = AbortController.prototype.abort;
    AbortController.prototype.abort = function (reason) {
        if (reason?.name !== "TimeoutError") end.call(this, reason);
    };
"""


def press(button: Any) -> None:
    """Click a button of a tab, without the wait of Playwright until a tab in the background is drawn."""
    button.dispatch_event("click")


class RoomCase(TabsCase):
    """Tabs of a daemon that can be made to leave requests unanswered."""

    async def setUp(self) -> None:
        """Start the house; its daemon answers until a test says otherwise."""
        self.held: set[str] = set()
        self.reached: list[str] = []
        for name, resource, method in (
            ("messages", History, "messages"),
            ("lease", Leases, "post"),
            ("commands", CommandRoutes, "post"),
        ):
            self.patch(resource, method, self.holding(name, getattr(resource, method)))
        await super().setUp()

    def holding(self, name: str, respond: Any) -> Any:
        """Return a method that answers as another one, or never while a test holds it."""

        async def held(owner: Any, call: Call) -> Answer:
            asked = name
            if name == "commands" and call.body["command"] == "BothAxesStop":
                asked = "stop"
            elif call.query.get("limit") == "500":
                asked = "older"
            self.reached.append(asked)
            if asked in self.held:
                await Deferred()
            answer: Answer = await respond(owner, call)
            return answer

        return held

    async def hold(self, *names: str) -> None:
        """Leave these requests unanswered from here on."""
        self.held.update(names)

    async def release(self) -> None:
        """Answer all requests that come from here on."""
        self.held.clear()

    def stops(self, page: Any) -> None:
        """Press STOP, and wait until the mount has answered it."""
        press(page.locator("#stop"))
        expect(page.locator("#stop-status")).to_have_text(
            re.compile("STOP of .*: (done|refused by the mount)")
        )


class TestRoom(RoomCase):
    """Tabs without tokens."""

    def test_journal_hangs_without_shared_workers(self) -> Deferred[None]:
        """Four tabs have a stream each, and two of them read a journal that hangs: STOP leaves the fourth."""

        def work(page: Any) -> None:
            page.context.add_init_script(WITHOUT_SHARED + WITHOUT_TIMEOUTS)
            page.reload()
            page.wait_for_selector("body[data-live=yes]")
            tabs = [page, *(self.open(page) for _ in range(3))]
            self.wait_for_streams(page, 4)
            on_reactor(self.hold, "messages", "older")
            for tab in tabs[:2]:
                press(tab.locator("#tail-older"))
            self.stops(tabs[3])

        return self.browse(work)

    def test_impatient_user(self) -> Deferred[None]:
        """Seven presses of "Take command" make one request, and the page says so; STOP leaves."""

        def work(page: Any) -> None:
            page.context.add_init_script(WITHOUT_TIMEOUTS)
            tab = self.open(page)
            on_reactor(self.hold, "lease")
            for _ in range(7):
                press(tab.get_by_role("button", name="Take command"))
            expect(tab.locator("#lease-status")).to_contain_text("press again after its answer")
            self.stops(tab)
            assert self.reached.count("lease") == 1, self.reached
            expect(tab.locator("#lease-status")).to_contain_text("to make room for STOP")
            on_reactor(self.release)
            take_command(tab)

        return self.browse(work)

    def test_six_tabs_ask_for_command(self) -> Deferred[None]:
        """Six tabs wait for an answer to "Take command": STOP leaves the last, and ends the waits."""

        def work(page: Any) -> None:
            page.context.add_init_script(WITHOUT_TIMEOUTS)
            tabs = [self.open(page) for _ in range(6)]
            on_reactor(self.hold, "lease")
            for tab in tabs:
                press(tab.get_by_role("button", name="Take command"))
            self.stops(tabs[-1])
            for tab in tabs:
                expect(tab.locator("#lease-status")).to_contain_text("to make room for STOP")
                expect(tab.locator("#not-live")).to_be_hidden()

        return self.browse(work)

    def test_command_that_gave_way(self) -> Deferred[None]:
        """A command whose request STOP ended has an unknown outcome, and is not sent again after STOP."""

        def work(page: Any) -> None:
            on_reactor(self.hold, "commands")
            with page.expect_request("**/api/v1/commands"):
                send(page, "AzimuthAxisMove", position="2")
            self.stops(page)
            expect(page.locator("#lives")).to_contain_text("Azimuth axis move position 2 outcome unknown")
            expect(page.locator("#form-status")).to_contain_text("to make room for STOP")
            assert self.reached.count("commands") <= 1, self.reached

        return self.browse(work)

    def test_history_is_read_after_stop(self) -> Deferred[None]:
        """A reading of the journal that STOP ended begins again, and shows what is older."""

        def work(page: Any) -> None:
            self.stops(page)
            page.reload()
            expect(page.locator("#tail")).to_contain_text("BothAxesStop")
            on_reactor(self.hold, "messages", "older")
            with page.expect_request("**/api/v1/messages?*"):
                press(page.locator("#tail-older"))
            self.stops(page)
            on_reactor(self.release)
            expect(page.locator("#tail-reach")).to_have_text("The journal begins here.")

        return self.browse(work)

    def test_one_tab_reads_the_journal(self) -> Deferred[None]:
        """A tab says that it waits while another one reads the journal, and reads when that one is gone."""

        def work(page: Any) -> None:
            tab = self.open(page)
            expect(page.locator("#tail .row").first).to_be_visible()
            expect(tab.locator("#tail .row").first).to_be_visible()
            on_reactor(self.hold, "older")
            with page.expect_request("**/api/v1/messages?*"):
                press(page.locator("#tail-older"))
            press(tab.locator("#tail-older"))
            expect(tab.locator("#tail-reach")).to_have_text(
                "Waiting: another tab of this browser reads the journal."
            )
            on_reactor(self.release)
            page.close()
            expect(tab.locator("#tail-reach")).to_have_text("The journal begins here.")

        return self.browse(work)


class TestRoomOfTwoUsers(RoomCase):
    """Tabs with different tokens, which share nothing but the browser."""

    def tokens(self) -> Any:
        """Two users who may command."""
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

    def test_journal_hangs(self) -> Deferred[None]:
        """Two tabs, with a stream each, read a journal that hangs, at once and by "Older": STOP leaves."""

        def work(page: Any) -> None:
            page.context.add_init_script(WITHOUT_TIMEOUTS)
            tabs = [self.open(page, live=False) for _ in range(2)]
            on_reactor(self.hold, "messages", "older")
            for tab, name in zip(tabs, ("night", "day"), strict=True):
                tab.fill("#token", f"the-secret-of-the-{name}")
                tab.press("#token", "Enter")
                tab.wait_for_selector("body[data-live=yes]")
            for tab in tabs:
                press(tab.locator("#tail-older"))
            self.stops(tabs[0])

        return self.browse(work, live=False)
