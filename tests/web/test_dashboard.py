"""The page of ``mtmount_twisted/frontends/web/static``, in a real Chromium, over the whole daemon."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from mtmount_twisted import __version__
from mtmount_twisted.frontends.web.http.calls import RequestError
from mtmount_twisted.frontends.web.http.guard import Guard
from mtmount_twisted.frontends.web.http.tokens import load
from mtmount_twisted.replies import ErrorReply, OnStateInfoReply, WarningReply
from mtmount_twisted.simulator.faults import Fault
from mtmount_twisted.testing import HOST
from tests.support.dashboards import DashboardCase, on_reactor, reactor

TAG = "<img src=x onerror=\"window.broken=1;document.title='broken'\">"
LONG_NAME = 8 * "engineer"
SERIOUS = ("serious", "critical")
ALARMS = (
    WarningReply(active=True, code=901, subsystem="900. Covers/Motor", extra_data=("hot", "61.2")),
    ErrorReply(on=True, active=True, code=812, subsystem="800. Oil", extra_data=("low pressure",)),
)


def expect(locator: Any) -> Any:
    """What is to hold of a part of the page before long."""
    from playwright.sync_api import expect

    return expect(locator)


def all_commands(page: Any) -> None:
    """Show the form of all commands, which is the second tab."""
    page.locator("#tab-commands").dispatch_event("click")  # a tab in the background is not drawn


def choose(page: Any, command: str, **values: str) -> None:
    """Fill in the form."""
    all_commands(page)
    page.select_option("#command", command)
    for name, value in values.items():
        field = page.locator(f"#parameters [name={name}]")
        if field.first.get_attribute("type") == "radio":
            page.check(f"#parameters [name={name}][value={value}]")
        else:
            field.fill(value)


def send(page: Any, command: str, **values: str) -> None:
    """Send a command with the form."""
    choose(page, command, **values)
    page.click("#send")


def take_command(page: Any) -> None:
    """Take command while nobody has it."""
    page.get_by_role("button", name="Take command").click()
    expect(page.locator("#holder")).to_have_text("You")


def power_on(page: Any) -> None:
    """Take command, and power on the azimuth axis."""
    take_command(page)
    send(page, "AzimuthAxisPower", on="true")
    expect(page.locator("#form-status")).to_have_text("Azimuth axis power: done")


def faults(page: Any) -> list[str]:
    """What axe finds that is serious."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary']}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


class TestCommanding(DashboardCase):
    """Who has command, and what becomes of commands."""

    speed = 20.0

    def test_command_to_its_end(self) -> Deferred[None]:
        """Command is taken, an axis powered and moved, and its Ack, its Done and its place are shown."""

        def work(page: Any) -> None:
            expect(page.locator("#holder")).to_have_text("Nobody")
            power_on(page)
            send(page, "AzimuthAxisMove", position="2")
            expect(page.locator("#form-status")).to_have_text("Azimuth axis move: done")
            expect(page.locator("#lives li").first).to_contain_text("Azimuth axis move position 2")
            expect(page.locator("#tail")).to_contain_text("DONE")
            expect(page.locator("#tail")).to_contain_text("acknowledged")
            expect(page.locator("#acks-text")).to_contain_text(
                re.compile(r"\d commands acknowledged: median")
            )
            expect(page.locator("#acks svg .answer").first).to_be_visible()
            expect(page.locator("#tile-mount-name")).to_have_text("Mount answers")
            expect(page.locator("#answers")).to_have_text(re.compile(r"in (< )?\d+ ms"))
            expect(page.locator("#known")).to_contain_text("✓ yes")
            expect(page.locator("#azimuth-more")).to_contain_text("asked: 2.000°")

        return self.browse(work)

    def test_command_is_given_up(self) -> Deferred[None]:
        """Command that is given up is nobody's, and a command without it is refused in words."""

        def work(page: Any) -> None:
            power_on(page)
            page.get_by_role("button", name="Give up command").press("Enter")
            expect(page.locator("#holder")).to_have_text("Nobody")
            expect(page.locator("#lease-name")).to_be_focused()
            send(page, "AzimuthAxisMove", position="2")
            expect(page.locator("#form-status")).to_contain_text("refused")

        return self.browse(work)

    def test_fault_at_its_field(self) -> Deferred[None]:
        """A wrong value is told at its field, by the page or by the daemon, and nothing is sent."""

        def work(page: Any) -> None:
            choose(page, "AzimuthAxisMove", position="north", velocity="1")
            page.press("#value-velocity", "Enter")
            fault = page.locator("#fault-position")
            expect(fault).to_have_text("Enter a number in deg, such as 12.5.")
            expect(page.locator("#value-position")).to_be_focused()
            expect(page.locator("#value-position")).to_have_attribute("aria-invalid", "true")
            page.fill("#value-position", "")
            page.click("#send")
            expect(fault).to_have_text("A value is required.")
            expect(page.locator("#tail")).not_to_contain_text("Move")

        return self.browse(work)

    def test_fault_that_only_the_daemon_finds(self) -> Deferred[None]:
        """What the page let pass and the daemon refuses is told at its field, in the daemon's words."""

        def loosen(route: Any) -> None:
            answer = route.fetch()
            catalogue = answer.json()
            position = catalogue["commands"]["AzimuthAxisMove"]["parameters"]["properties"]["position"]
            position["type"] = "string"
            route.fulfill(response=answer, json=catalogue)

        def work(page: Any) -> None:
            page.route("**/api/v1/catalogue", loosen)
            page.reload()
            send(page, "AzimuthAxisMove", position="north")
            expect(page.locator("#fault-position")).to_contain_text(
                'expected a finite number in deg, got "north"'
            )
            expect(page.locator("#value-position")).to_be_focused()
            expect(page.locator("#form-status")).to_contain_text("Not sent")

        return self.browse(work)

    def test_every_command_has_a_form(self) -> Deferred[None]:
        """Each command of the catalogue but that for the lease is there, with a field for each parameter."""

        def work(page: Any) -> None:
            path = f"{self.house.url}api/v1/catalogue"
            catalogue = page.evaluate("path => fetch(path).then(answer => answer.json())", path)
            offered = page.locator("#command option").evaluate_all("all => all.map(one => one.value)")
            assert sorted([*offered, "AskForCommand"]) == sorted(catalogue["commands"])
            all_commands(page)
            for name in offered:
                page.select_option("#command", name)
                fields = page.locator("#parameters input").evaluate_all("all => all.map(one => one.name)")
                assert [*dict.fromkeys(fields)] == [*catalogue["commands"][name]["parameters"]["properties"]]

        return self.browse(work)

    def test_nothing_is_chosen(self) -> Deferred[None]:
        """No command is chosen until somebody does, so that nothing is sent by a slip."""

        def work(page: Any) -> None:
            expect(page.locator("#command option")).not_to_have_count(0)
            all_commands(page)
            page.click("#send")
            expect(page.locator("#form-status")).to_have_text("No command is chosen.")

        return self.browse(work)

    def test_find_a_command(self) -> Deferred[None]:
        """The list shows the commands whose name holds what is typed, and the form is that of the first."""

        def work(page: Any) -> None:
            all_commands(page)
            page.fill("#command-find", "elevation axis h")
            assert page.locator("#command option").all_text_contents() == ["Elevation axis home"]
            expect(page.locator("#command-doc")).to_have_text("Home the elevation axis.")

        return self.browse(work)


class TestStop(DashboardCase):
    """STOP."""

    def test_stop_by_keyboard(self) -> Deferred[None]:
        """Ctrl+Shift+S stops a move, from within a field too, and what became of both is shown."""

        def work(page: Any) -> None:
            power_on(page)
            send(page, "AzimuthAxisMove", position="200")
            expect(page.locator("#flights")).to_contain_text("yes")
            page.focus("#tail-filter")
            page.keyboard.press("Control+Shift+S")
            expect(page.locator("#stop-status")).to_have_text(re.compile(r"STOP of .*: done"))
            expect(page.locator("#form-status")).to_contain_text("refused by the mount")
            expect(page.locator("#flights")).to_have_text("Nothing.")

        return self.browse(work)

    def test_stop_needs_no_command(self) -> Deferred[None]:
        """The second Tab reaches STOP, behind "Skip", and it works for one who does not have command."""

        def work(page: Any) -> None:
            page.keyboard.press("Tab")
            expect(page.locator(".skip")).to_be_focused()
            page.keyboard.press("Tab")
            expect(page.locator("#stop")).to_be_focused()
            page.keyboard.press("Enter")
            expect(page.locator("#stop-status")).to_contain_text("STOP of")
            expect(page.locator("#tail")).to_contain_text("BothAxesStop")

        return self.browse(work)

    def test_no_menu_keeps_the_key(self) -> Deferred[None]:
        """Nothing on the page opens a menu, in which the browser would keep every key to itself."""

        def work(page: Any) -> None:
            assert page.locator("select:not([size]), input[list]").count() == 0

        return self.browse(work)

    def test_stop_over_a_broken_connection(self) -> Deferred[None]:
        """A connection that breaks as STOP is pressed costs nothing: it is sent again, and done once."""

        def work(page: Any) -> None:
            keys: list[str] = []

            def break_first(route: Any) -> None:
                keys.append(route.request.headers["idempotency-key"])
                if len(keys) == 1:
                    route.abort("connectionreset")
                else:
                    route.continue_()

            power_on(page)
            page.route("**/api/v1/commands", break_first)
            page.click("#stop")
            expect(page.locator("#stop-status")).to_have_text(re.compile(r"STOP of .*: done"))
            assert len(keys) == 2, keys
            assert len(set(keys)) == 1, keys

        return self.browse(work)

    def test_stop_that_fails(self) -> Deferred[None]:
        """A stop that can't be sent, for want of the mount or of the daemon, is shown to have failed."""

        def work(page: Any) -> None:
            on_reactor(self.house.stop_mount)
            expect(page.locator("#link-down")).to_be_visible()
            page.click("#stop")
            expect(page.locator("#stop-status")).to_have_text(re.compile("STOP of .* FAILED: not sent"))
            on_reactor(self.house.cut)
            expect(page.locator("#not-live")).to_be_visible()
            page.click("#stop")
            expect(page.locator("#stop-status")).to_have_text(
                re.compile("STOP of .* FAILED: the daemon can't be reached")
            )

        return self.browse(work)

    def test_stop_without_an_answer(self) -> Deferred[None]:
        """A STOP that a frozen daemon does not answer says so, and the page is not live, before long."""

        def work(page: Any) -> None:
            on_reactor(self.house.freeze)
            page.click("#stop")
            banner = page.locator("#not-live")
            expect(banner).to_contain_text("the state can't be read: no answer within 2 s")
            expect(page.locator("#stop-status")).to_have_text(re.compile("STOP of .*: NO ANSWER"))
            on_reactor(self.house.thaw)
            expect(banner).to_be_hidden()
            expect(page.locator("#tail")).to_contain_text("BothAxesStop")

        return self.browse(work)


class TestTruth(DashboardCase):
    """What the page shows is so, or it says that it may not be."""

    def test_frozen_daemon(self) -> Deferred[None]:
        """The page is not live when who takes command gets no answer, though the stream stays up."""

        def work(page: Any) -> None:
            on_reactor(self.house.freeze)
            page.get_by_role("button", name="Take command").click()
            expect(page.locator("#not-live")).to_contain_text("NOT LIVE since")
            on_reactor(self.house.thaw)
            expect(page.locator("#not-live")).to_be_hidden()

        return self.browse(work)

    def test_request_that_fails(self) -> Deferred[None]:
        """The page is not live when a command reaches no daemon, and stays so when only that one did not."""

        def work(page: Any) -> None:
            page.route("**/api/v1/commands", lambda route: route.abort("connectionrefused"))
            page.click("#stop")
            expect(page.locator("#stop-status")).to_contain_text("FAILED: the daemon can't be reached")
            expect(page.locator("#not-live")).to_be_hidden()
            page.route("**/api/v1/**", lambda route: route.abort("connectionrefused"))
            page.click("#stop")
            expect(page.locator("#not-live")).to_contain_text("the daemon can't be reached")

        return self.browse(work)

    def test_silent_mount(self) -> Deferred[None]:
        """A mount that is connected and answers nothing is told by how long, and by when it should have."""

        async def fall_silent() -> None:
            self.house.mount.faults.add(Fault("silence"))

        def work(page: Any) -> None:
            power_on(page)
            on_reactor(fall_silent)
            send(page, "AzimuthAxisMove", position="2")
            answers = page.locator("#answers")
            expect(answers).to_have_text(re.compile(r"not for \d s"))
            expect(answers).to_have_text("not at all")
            expect(page.locator("#answers-more")).to_have_text(re.compile(r"\d s ago"))
            expect(page.locator("#tile-mount")).to_have_attribute("data-mood", "caution")

        return self.browse(work)

    def test_what_an_answer_is_to(self) -> Deferred[None]:
        """What the mount said last names the command that it answers and its commander, later on too."""

        def before(page: Any) -> None:
            power_on(page)
            expect(page.locator("#word")).to_have_text("Done: AzimuthAxisPower of web/anyone")

        def work(page: Any) -> None:
            expect(page.locator("#word")).to_have_text(re.compile(r"Done: \w+ of [\w/]+"))

        return self.browse(before).addCallback(lambda done: self.browse(work))

    def test_link_lost_and_back(self) -> Deferred[None]:
        """A lost link to the mount is told, what it said is stale, and all is well when it is back."""

        def work(page: Any) -> None:
            down = page.locator("#link-down")
            on_reactor(self.house.say, OnStateInfoReply(description="Tracking"))
            expect(page.locator("#axes")).to_contain_text("Tracking")
            on_reactor(self.house.stop_mount)
            expect(down).to_contain_text("The link to the mount is down since")
            expect(page.locator("#answers")).to_have_text("No link")
            expect(page.locator("#sockets")).to_contain_text("commands DOWN, replies DOWN")
            on_reactor(self.house.start_mount)
            expect(down).to_be_hidden()
            expect(page.locator("#sockets")).to_contain_text("commands up, replies up · epoch 2")
            power_on(page)

        return self.browse(work)

    def test_daemon_lost_and_back(self) -> Deferred[None]:
        """Without the daemon the page says since when it is not live; it resumes with what it missed."""

        def work(page: Any) -> None:
            on_reactor(self.house.say, OnStateInfoReply(description="Before"))
            expect(page.locator("#tail")).to_contain_text("Before")
            on_reactor(self.house.cut)
            banner = page.locator("#not-live")
            expect(banner).to_contain_text(re.compile(r"NOT LIVE since \d\d:\d\d:\d\d UTC"))
            expect(page).to_have_title("NOT LIVE: Mount")
            on_reactor(self.house.say, OnStateInfoReply(description="Meanwhile"))
            on_reactor(self.house.mend)
            page.locator("#try-now").dispatch_event("click")  # it may be back by itself already
            expect(banner).to_be_hidden()
            expect(page.locator("#tail")).to_contain_text("Meanwhile")
            once = [text for text in page.locator("#tail .row").all_text_contents() if "Before" in text]
            assert len(once) == 1, once

        return self.browse(work)

    def test_text_is_text(self) -> Deferred[None]:
        """A tag in what the mount says is shown as it was typed, wherever it is shown, and never made."""

        def work(page: Any) -> None:
            alarm = ErrorReply(on=True, active=True, code=812, subsystem=TAG, extra_data=(TAG,))
            on_reactor(self.house.say, alarm, OnStateInfoReply(description=TAG))
            for part in ("#word", "#alarms", "#axes", "#tail"):
                expect(page.locator(part)).to_contain_text(TAG)
            assert page.locator("img").count() == 0
            assert page.evaluate("window.broken") is None

        return self.browse(work)

    def test_alarms_first(self) -> Deferred[None]:
        """Errors stand before warnings, with what the mount said of them, and go when they are over."""

        def work(page: Any) -> None:
            rows = page.locator("#alarms .alarm")
            expect(page.locator("#alarms")).to_have_text("None.")
            on_reactor(self.house.say, *ALARMS)
            expect(rows).to_have_count(2)
            expect(rows.nth(0)).to_contain_text("ERROR812 800. Oil: low pressure (latched)")
            expect(rows.nth(1)).to_contain_text("WARNING901 900. Covers/Motor: hot")
            on_reactor(self.house.say, WarningReply(active=False, code=901, subsystem="900. Covers/Motor"))
            expect(rows).to_have_count(1)

        return self.browse(work)

    def test_tail(self) -> Deferred[None]:
        """The tail filters and pauses, holds no more than 500 rows, and the newest stands first."""

        def work(page: Any) -> None:
            rows = page.locator("#tail .row")
            said = [OnStateInfoReply(description=f"number {number}.") for number in range(700)]
            on_reactor(self.house.say, *said)
            expect(rows.first).to_contain_text("number 699.")
            assert rows.count() <= 500
            page.fill("#tail-filter", "number 650.")
            expect(rows).to_have_count(1)
            page.fill("#tail-filter", "")
            page.click("#tail-pause")
            on_reactor(self.house.say, OnStateInfoReply(description="while paused"))
            expect(page.locator("#word")).to_have_text("while paused")
            expect(page.locator("#tail-count")).to_contain_text("paused; 1 came since")
            expect(rows.first).to_contain_text("number 699.")
            page.click("#tail-pause")
            expect(rows.first).to_contain_text("while paused")

        return self.browse(work)

    def test_version(self) -> Deferred[None]:
        """The page shows the version that the daemon runs."""

        def work(page: Any) -> None:
            expect(page.locator("#version")).to_have_text(f"mtmount_twisted {__version__}")

        return self.browse(work)

    def test_past_is_shown(self) -> Deferred[None]:
        """A page that is opened later shows what was before, from the journal."""

        def before(page: Any) -> None:
            power_on(page)
            on_reactor(self.house.say, OnStateInfoReply(description="Before it was opened"))
            expect(page.locator("#tail")).to_contain_text("Before it was opened")

        def work(page: Any) -> None:
            expect(page.locator("#tail")).to_contain_text("Before it was opened")
            expect(page.locator("#acks-text")).to_contain_text("acknowledged")

        return self.browse(before).addCallback(lambda done: self.browse(work))


class TestTokens(DashboardCase):
    """A daemon with tokens: one of the night's who may command, one of a guest who may look and stop."""

    def tokens(self) -> Any:
        """The two."""
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
            [[token]]
            name = "guest"
            secret = "the-secret-of-the-guest"
            roles = ["observe", "stop"]
            [[token]]
            name = "visitor"
            secret = "the-secret-of-the-visitor"
            roles = ["observe"]
            [[token]]
            name = "%b"
            secret = "the-secret-of-the-long"
            roles = ["command"]
            """
            % LONG_NAME.encode()
        )

    def enter(self, page: Any, name: str) -> None:
        """Give a token to the page, which asks for it."""
        page.fill("#token", f"the-secret-of-the-{name}")
        page.click("#token-form button")
        page.wait_for_selector("body[data-live=yes]")

    def test_token_is_asked_for(self) -> Deferred[None]:
        """The page asks for a token and for another if it is wrong; it is kept in the tab and in no URL."""
        secret = "the-secret-of-the-night"

        def work(page: Any) -> None:
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            expect(page.locator("#not-live")).to_contain_text("a token is needed")
            expect(page.locator("#token")).to_be_focused()
            page.fill("#token", "the-secret-of-nobody")
            page.press("#token", "Enter")
            expect(page.locator("#token-why")).to_contain_text("The token was rejected")
            self.enter(page, "night")
            expect(page.locator("#token-panel")).to_be_hidden()
            expect(page.locator("#who")).to_have_text("you are web/night")
            page.reload()
            page.wait_for_selector("body[data-live=yes]")
            assert not [url for url in asked if "secret" in url]
            kept = page.evaluate("[JSON.stringify(localStorage), document.cookie, document.body.innerHTML]")
            assert secret not in "".join(kept)
            assert secret in page.evaluate("JSON.stringify(sessionStorage)")

        return self.browse(work, live=False)

    def test_command_is_asked_for_and_granted(self) -> Deferred[None]:
        """Who asks for command is shown to its holder, who grants it; to take it needs two presses."""

        def work(page: Any) -> None:
            self.enter(page, "night")
            page.get_by_role("button", name="Take command").click()
            expect(page.locator("#holder")).to_have_text("You")
            other = page.context.browser.new_context().new_page()
            other.goto(self.house.url)
            self.enter(other, "day")
            expect(other.locator("#holder-more")).to_contain_text("web/night")
            other.get_by_role("button", name="Ask web/night for command").click()
            expect(page.locator("#holder-more")).to_have_text("asks: web/day")
            page.get_by_role("button", name="Grant it to web/day").click()
            expect(other.locator("#holder")).to_have_text("You")
            page.get_by_role("button", name="Take it from web/day").click()
            page.get_by_role("button", name="Press again to take it from web/day").click()
            expect(other.locator("#holder-more")).to_contain_text("web/night")
            other.context.close()

        return self.browse(work, live=False)

    def test_guest(self) -> Deferred[None]:
        """Who may not command is told so and gets no button for it, but can stop."""

        def work(page: Any) -> None:
            self.enter(page, "guest")
            expect(page.locator("#lease-text")).to_have_text("Nobody has command. You may not command.")
            expect(page.locator("#lease-buttons button")).to_have_count(0)
            expect(page.locator("#stop-not")).to_be_hidden()
            page.click("#stop")
            expect(page.locator("#tail")).to_contain_text("BothAxesStop")

        return self.browse(work, live=False)

    def test_visitor(self) -> Deferred[None]:
        """Who may only look sees a STOP that can't be pressed, and why; and its key says the same."""

        def work(page: Any) -> None:
            self.enter(page, "visitor")
            expect(page.locator("#stop")).to_be_disabled()
            expect(page.locator("#stop-not")).to_have_text("This token may not stop")
            expect(page.locator("#stop-not")).to_be_visible()
            expect(page.locator("#stop-key")).to_be_hidden()
            page.keyboard.press("Control+Shift+S")
            expect(page.locator("#stop-status")).to_have_text("STOP was not sent: this token may not stop.")
            assert not self.house.served.bridge.clients
            assert not faults(page)

        return self.browse(work, live=False)

    def test_narrow(self) -> Deferred[None]:
        """On 320 pixels nothing is wider than the screen, however long the name of who has command is."""

        def wide(page: Any) -> Any:
            return page.evaluate("document.documentElement.scrollWidth")

        def work(page: Any) -> None:
            holder = page.context.browser.new_context().new_page()
            holder.goto(self.house.url)
            self.enter(holder, "long")
            power_on(holder)
            self.enter(page, "night")
            page.get_by_role("button", name="Ask web/engineer").click()
            expect(page.locator("#lease-status")).to_contain_text("The request was sent to")
            send(holder, "AzimuthAxisMove", position="200")
            expect(page.locator("#flights")).to_contain_text("yes")
            assert wide(page) <= 320
            page.click("#stop")
            expect(page.locator("#stop-status")).to_have_text(re.compile("STOP of .*: done"))
            assert wide(page) <= 320
            page.get_by_role("button", name="Take it from").click()
            expect(page.locator("#lease-buttons")).to_contain_text("Press again")
            assert wide(page) <= 320
            page.get_by_role("button", name="Press again").click()
            expect(page.locator("#holder")).to_have_text("You")
            holder.get_by_role("button", name="Ask web/night").click()
            expect(page.locator("#lease-requests")).to_contain_text("Grant it to")
            assert wide(page) <= 320
            holder.context.close()

        return self.browse(work, live=False, viewport={"width": 320, "height": 640})


class Elsewhere(Resource):
    """Another site: each path is an empty page."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """The page, on a connection that ends with it."""
        request.setHeader("Connection", "close")
        return b"<!doctype html><title>Elsewhere</title>"


class TestStrangers(DashboardCase):
    """Other sites' pages in the same browser."""

    def setUp(self) -> Any:
        """Serve another site's page, too."""
        site = Site(Elsewhere(), reactor=reactor)

        async def whole() -> None:
            await super(TestStrangers, self).setUp()
            endpoint = endpoints.TCP4ServerEndpoint(reactor, 0, interface=HOST)
            self.elsewhere = await endpoint.listen(site)
            self.addCleanup(self.elsewhere.stopListening)

        return Deferred.fromCoroutine(whole())

    def watch_refusals(self) -> list[tuple[bytes, int]]:
        """The methods and statuses of the requests that are not let in from now on."""
        refused = []
        admit = Guard.admit

        def watched(guard: Guard, request: Any) -> None:
            try:
                admit(guard, request)
            except RequestError as problem:
                refused.append((request.method, problem.status))
                raise

        self.patch(Guard, "admit", watched)
        return refused

    def test_cross_origin_post_is_refused(self) -> Deferred[None]:
        """What a page of another origin posts is refused before it is looked at, whatever it says it is."""
        post = """async ([url, mode, type]) => {
            const options = {method: "POST", mode, headers: {"Content-Type": type}, body: "{}"};
            try { return (await fetch(url, options)).status; } catch (error) { return error.name; }
        }"""
        kinds = [("cors", "application/json"), ("cors", "text/plain"), ("no-cors", "text/plain")]
        refused = self.watch_refusals()

        def work(page: Any) -> None:
            lease = f"{self.house.url}api/v1/lease"
            stranger = page.context.new_page()
            stranger.goto(f"http://{HOST}:{self.elsewhere.getHost().port}/")
            for mode, kind in kinds:
                assert stranger.evaluate(post, [lease, mode, kind]) == "TypeError", (mode, kind)
            assert refused == [(b"OPTIONS", 403), (b"POST", 403), (b"POST", 403)], refused
            assert self.house.served.bridge.lease.holder is None
            take_command(page)  # the page's own is not refused

        return self.browse(work)


class TestPolicy(DashboardCase):
    """What the page may do, and what it keeps."""

    def test_offline_and_strict(self) -> Deferred[None]:
        """Everything comes from the daemon, under a policy that lets nothing else in and no script inline."""

        def work(page: Any) -> None:
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            answer = page.reload()
            page.wait_for_selector("body[data-live=yes]")
            assert [url for url in asked if not url.startswith((self.house.url, "data:"))] == []
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert page.evaluate("document.cookie") == ""
            page.evaluate(
                "document.body.append(Object.assign(document.createElement('script'), "
                "{textContent: 'window.broken = 1'}))"
            )
            assert page.evaluate("window.broken") is None

        return self.browse(work)

    def test_theme(self) -> Deferred[None]:
        """The theme is the system's until one is chosen, which holds when the page is opened again."""

        def work(page: Any) -> None:
            theme = page.locator("html")
            expect(theme).to_have_attribute("data-theme", "night")
            page.emulate_media(color_scheme="light")
            expect(theme).to_have_attribute("data-theme", "day")
            page.get_by_role("button", name="Night theme").click()
            expect(theme).to_have_attribute("data-theme", "night")
            page.reload()
            expect(theme).to_have_attribute("data-theme", "night")

        return self.browse(work, color_scheme="dark")

    def test_accessible(self) -> Deferred[None]:
        """Axe finds nothing serious: in both themes, with alarms and faults, live or not."""

        def both(page: Any, when: str) -> None:
            for theme in ("day", "night"):
                page.emulate_media(color_scheme="light" if theme == "day" else "dark")
                expect(page.locator("html")).to_have_attribute("data-theme", theme)
                found = faults(page)
                assert not found, (theme, when, found)

        def work(page: Any) -> None:
            power_on(page)
            on_reactor(self.house.say, *ALARMS)
            expect(page.locator("#alarms .alarm")).to_have_count(2)
            send(page, "AzimuthAxisMove")
            expect(page.locator("#form-status")).to_contain_text("Not sent")
            both(page, "live")
            send(page, "MirrorCoversPower")
            expect(page.locator("#fault-on")).to_have_text("A value is required.")
            both(page, "radio buttons")
            on_reactor(self.house.stop_mount)
            expect(page.locator("#link-down")).to_be_visible()
            both(page, "link down")
            on_reactor(self.house.cut)
            expect(page.locator("#not-live")).to_be_visible()
            both(page, "not live")

        return self.browse(work)

    def test_phone(self) -> Deferred[None]:
        """On a phone nothing is wider than the screen, STOP is in reach, and axe is content."""

        def work(page: Any) -> None:
            on_reactor(self.house.say, *ALARMS)
            expect(page.locator("#alarms .alarm")).to_have_count(2)
            choose(page, "BothAxesMove", azimuth="10", elevation="30")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            expect(page.locator("#stop")).to_be_in_viewport()
            assert not faults(page)

        return self.browse(work, viewport={"width": 390, "height": 844})


class TestModules(DashboardCase):
    """The page's modules that are pure, called as they are."""

    def call(self, script: str, given: Any, wanted: Any) -> Deferred[None]:
        """Call a function that gets the modules and a value; compare what it gives."""

        def work(page: Any) -> None:
            names = "sse schema stop acks clock follow store words answers"
            loads = ", ".join(f"{name}: await import('./static/{name}.js')" for name in names.split())
            got = page.evaluate(f"async (given) => ({script})({{{loads}}}, given)", given)
            assert got == wanted, got

        return self.browse(work)

    def test_events_in_any_pieces(self) -> Deferred[None]:
        """However a stream is cut into pieces, the same events come out of it."""
        stream = (
            ": hi\r\nid: 1.7\nevent: step\ndata: a\ndata:b\n\rdata: c\r\n\r\nevent: gone\n\ndata\n\ndata: x"
        )
        script = """({ sse }, [stream, most]) => Array.from({length: most}, (_, index) => {
            const found = [];
            const parser = new sse.SseParser(({type, data, id}) => found.push([type, data, id].join("/")));
            const size = index + 1;
            for (let at = 0; at < stream.length; at += size) parser.feed(stream.slice(at, at + size));
            return found.join(" ");
        }).filter((one, index, all) => all.indexOf(one) === index)"""
        return self.call(script, [stream, 60], ["step/a\nb/1.7 message/c/1.7 message//1.7"])

    def test_endless_event(self) -> Deferred[None]:
        """An event that has no end is an error, and not all of the machine's memory."""
        script = """({ sse }, line) => {
            const parser = new sse.SseParser(() => {});
            try {
                for (let count = 0; count < 100; count++) parser.feed(line);
            } catch (error) {
                return error.message;
            }
        }"""
        return self.call(script, "data: " + 65536 * "x" + "\n", "an event without an end")

    def test_values_that_are_typed(self) -> Deferred[None]:
        """What is typed becomes JSON's value or a fault; what is left out is the daemon's default."""
        script = """({ schema }, cases) => cases.map(([field, typed]) => {
            const { value, fault } = schema.read(field, typed);
            return fault ?? value ?? null;
        })"""
        angle = {"type": "number", "unit": "deg", "minimum": -90, "maximum": 90, "required": True}
        drive = {"type": "integer", "unit": "", "required": False}
        cases: list[tuple[Any, str, Any]] = [
            (angle, " 12.5 ", 12.5),
            (angle, "\u221290", -90),
            (angle, "1e1", 10),
            (angle, "90.5", "The maximum is 90 deg."),
            (angle, "-91", "The minimum is -90 deg."),
            (angle, "0x10", "Enter a number in deg, such as 12.5."),
            (angle, "1e999", "Enter a number in deg, such as 12.5."),
            (angle, "", "A value is required."),
            (drive, "", None),
            (drive, "3", 3),
            (drive, "2.5", "Enter a whole number."),
            ({"type": "boolean", "required": True}, "false", False),
            ({"type": "enum", "required": True}, "CSC", "CSC"),
        ]
        return self.call(script, [case[:2] for case in cases], [case[2] for case in cases])

    def test_bounds_in_words(self) -> Deferred[None]:
        """Bounds and defaults that the catalogue has are told at the field."""
        script = """({ schema }, fields) => fields.map(schema.hint)"""
        fields = [
            {"type": "number", "minimum": -90, "maximum": 90},
            {"type": "integer", "minimum": 0, "default": 1},
            {"type": "number", "maximum": 5},
        ]
        wanted = ["-90 to 90", "at least 0, a whole number, 1 if left empty", "at most 5"]
        return self.call(script, fields, wanted)

    def test_what_is_gone(self) -> Deferred[None]:
        """What the daemon can't give any more is said among the messages."""
        script = """({ follow, store, words }, value) => {
            const known = new store.Store();
            const follower = new follow.Follower(known, () => {});
            follower.take({type: "gone", value});
            return words.cells(known.entries[0]).slice(2);
        }"""
        wanted = ["gap", "12 entries can't be shown: the journal has lost them"]
        return self.call(script, {"rows": 12, "after": None, "why": "the journal has lost them"}, wanted)

    def test_key_of_stop(self) -> Deferred[None]:
        """The key is Ctrl+Shift+S by its letter, or by its place where no Latin letters are typed."""
        script = """({ stop }, keys) => keys.map(([ctrlKey, shiftKey, key, code]) =>
            stop.isStopKey({ctrlKey, shiftKey, altKey: false, metaKey: false, key, code}))"""
        keys = [
            (True, True, "S", "KeyS"),
            (True, True, "S", "Semicolon"),
            (True, True, "\u042b", "KeyS"),
            (True, True, "O", "KeyS"),
            (True, False, "s", "KeyS"),
            (False, True, "S", "KeyS"),
        ]
        return self.call(script, keys, [True, True, True, False, False, False])

    def test_age_of_an_answer(self) -> Deferred[None]:
        """How fast the mount answers is said of now only while it did a moment ago; else, when it did."""
        script = """({ answers }, cases) => cases.map(([ago, step, waits, is]) => answers.answers({
            live: {is},
            answer: ago === null ? null : {at: 1e12 - ago * 1000, ms: 1.4, step},
            state: {
                controller: {connected: true},
                in_flight: waits.map((long) => ({acked: false, since: new Date(1e12 - long * 1000)})),
            },
        }, 1e12, 1e12)).map(({ name, figure, sub, mood }) => [name, figure, sub, mood].join("|"))"""
        cases: list[tuple[Any, str]] = [
            ((9, "ack", [], True), "Mount answers|in 1 ms||"),
            ((11, "ack", [], True), "Mount answered|in 1 ms|11 s ago|"),
            ((250, "ack", [], True), "Mount answered|in 1 ms|4 min ago|"),
            ((8000, "noack", [], True), "Mount answered|in 1 ms|2 h ago|"),
            ((300_000, "ack", [], True), "Mount answered|in 1 ms|3 d ago|"),
            ((3, "timed_out", [], True), "Mount answered|not at all|3 s ago|caution"),
            ((3, "ack", [1, 4], True), "Mount answers|not for 4 s||caution"),
            ((3, "ack", [1], True), "Mount answers|in 1 ms||"),
            ((3, "ack", [4], False), "Mount answered|in 1 ms|3 s ago|"),
            ((None, "", [], True), "Mount|Connected||"),
        ]
        return self.call(script, [given for given, text in cases], [text for given, text in cases])

    def test_answers_in_words(self) -> Deferred[None]:
        """An answer is to a command and its commander, or to a number where these are not known."""
        script = """({ store, words }, answers) => {
            const known = new store.Store();
            const step = {type: "step", step: "sent", time: "2026-11-22T18:20:00.123Z"};
            known.addEntry({...step, key: 7, command: "AzimuthAxisMove", peer: "csc"});
            known.addHistory([{...step, key: 8, command: "LockMotors", peer: "hhd"}]);
            known.addPastSteps([{...step, key: 9, command: "BothAxesStop", peer: "web/night"}]);
            return answers.map(([kind, fields]) => words.word({kind, fields}, known.named));
        }"""
        answers: list[tuple[Any, str]] = [
            (("ACK", {"sequence_id": 7}), "Ack: AzimuthAxisMove of csc"),
            (("DONE", {"sequence_id": 8}), "Done: LockMotors of hhd"),
            (
                ("NOACK", {"sequence_id": 9, "explanation": "not powered"}),
                "NoAck: BothAxesStop of web/night (not powered)",
            ),
            (("ACK", {"sequence_id": 10}), "Ack of #10"),
            (("CMD_ACKNOWLEDGED", {"sequence_id": 7}), "Ack: AzimuthAxisMove of csc"),
            (("CMD_SUCCEEDED", {"sequence_id": 8}), "Done: LockMotors of hhd"),
            (("CMD_REJECTED", {"sequence_id": 10, "explanation": "no"}), "Rejected of #10 (no)"),
            (("CMD_SUPERSEDED", {"sequence_id": 10}), "Superseded of #10"),
        ]
        return self.call(script, [given for given, text in answers], [text for given, text in answers])

    def test_events_in_words(self) -> Deferred[None]:
        """An event is told in the same words in both dialects, though its fields have other names."""
        script = """({ words }, events) =>
            events.map(([kind, fields]) => words.word({kind, fields}, new Map()))"""
        alarm = {"code": 905, "active": True}
        events: list[tuple[Any, str]] = [
            (("IN_POSITION", {"what": 1, "in_position": True}), "elevation in position"),
            (
                ("IN_POSITION", {"axis": "CAMERA_CABLE_WRAP", "in_position": False}),
                "camera cable wrap not in position",
            ),
            (("WARNING", {**alarm, "subsystem": "900. X"}), "warning 905, 900. X"),
            (("ERROR", {**alarm, "subsystem_instance": "X", "name": "hot"}), "error 905, X: hot"),
            (("ON_STATE_INFO", {"description": "Enabled"}), "Enabled"),
            (("STATE_INFO", {"state": "Enable"}), "Enable"),
        ]
        return self.call(script, [given for given, text in events], [text for given, text in events])

    def test_durations(self) -> Deferred[None]:
        """Durations are told in the units that a glance wants."""
        script = """({ clock }, all) => all.map(clock.duration)"""
        wanted = ["4 s", "2:05 min", "1:02:05 h", "3 d 4 h", "0 s"]
        return self.call(script, [4999, 125_000, 3_725_000, 273_600_000, -5], wanted)
