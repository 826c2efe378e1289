"""Slips of a hand on the page in a real Chromium: none of them moves the mount."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support.dashboards import DashboardCase

from .test_dashboard import all_commands, choose, expect


class SlipsCase(DashboardCase):
    """What a page sends is listened to."""

    def watch(self, page: Any) -> list[Any]:
        """The requests that change something, from now on: each method, path and body."""
        sent: list[Any] = []

        def note(request: Any) -> None:
            if request.method != "GET":
                sent.append((request.method, request.url.partition("/api/v1/")[2], request.post_data_json))

        page.on("request", note)
        return sent

    def settle(self, page: Any) -> None:
        """Wait until what the page has begun to send is heard of here."""
        page.evaluate("fetch('healthz').then(answer => answer.text())")

    def wait_for_list(self, page: Any) -> None:
        """Show the list of commands, and wait until it has them."""
        all_commands(page)
        expect(page.locator("#command option")).not_to_have_count(0)


class TestKeys(SlipsCase):
    """Keys."""

    def test_enter_in_find(self) -> Deferred[None]:
        """Enter in Find moves the focus to the list and sends nothing; nor does Enter there, nor if held."""

        def work(page: Any) -> None:
            self.wait_for_list(page)
            sent = self.watch(page)
            for text in ("home", "az_home"):
                page.fill("#command-find", text)
                page.press("#command-find", "Enter")
                expect(page.locator("#command")).to_be_focused()
                for _ in range(3):
                    page.keyboard.press("Enter")
            page.fill("#command-find", "mirror covers stop")
            page.focus("#command-find")
            for _ in range(5):
                page.keyboard.down("Enter")
            page.keyboard.up("Enter")
            self.settle(page)
            assert sent == []

        return self.browse(work)

    def test_enter_for_a_command_that_was_not_chosen(self) -> Deferred[None]:
        """Enter in a field sends only once its command was chosen; Find alone has not chosen it."""

        def work(page: Any) -> None:
            self.wait_for_list(page)
            sent = self.watch(page)
            page.fill("#command-find", "az_move")
            page.fill("#value-position", "2")
            page.press("#value-position", "Enter")
            expect(page.locator("#form-status")).to_contain_text("Not sent: choose the command")
            self.settle(page)
            assert sent == []
            page.press("#command-find", "Enter")
            page.press("#value-position", "Enter")
            expect(page.locator("#lives li").first).to_contain_text("Azimuth axis move position 2")
            assert len(sent) == 1, sent

        return self.browse(work)

    def test_click_chooses_what_is_shown(self) -> Deferred[None]:
        """A click on the command that Find has left in the list chooses it."""

        def work(page: Any) -> None:
            self.wait_for_list(page)
            page.fill("#command-find", "az_move")
            page.click("#command option")
            page.fill("#value-position", "2")
            page.press("#value-position", "Enter")
            expect(page.locator("#lives li").first).to_contain_text("Azimuth axis move position 2")

        return self.browse(work)

    def test_held_enter(self) -> Deferred[None]:
        """Enter that is held down sends once: in a field, and on Send."""

        def work(page: Any) -> None:
            self.wait_for_list(page)
            sent = self.watch(page)
            for number, place in enumerate(("#value-position", "#send"), 1):
                choose(page, "AzimuthAxisMove", position=str(number))
                page.focus(place)
                for _ in range(6):
                    page.keyboard.down("Enter")
                page.keyboard.up("Enter")
                expect(page.locator("#form-status")).to_contain_text("refused")
                self.settle(page)
                assert len(sent) == number, sent

        return self.browse(work)

    def test_other_forms(self) -> Deferred[None]:
        """Enter and Escape in the filter of messages, in its choices and in Find send nothing."""

        def work(page: Any) -> None:
            choose(page, "AzimuthAxisMove", position="2")
            sent = self.watch(page)
            for place in ("#tail-filter", "[name=kind][value=step]", "#tail", "#command-find"):
                for key in ("Enter", "Escape"):
                    page.press(place, key)
            page.press("#value-position", "Escape")
            self.settle(page)
            assert sent == []

        return self.browse(work)


class TestPresses(SlipsCase):
    """Buttons."""

    def test_double_click_on_send(self) -> Deferred[None]:
        """A double click on Send sends once, and so does a switch that bounces."""

        def work(page: Any) -> None:
            sent = self.watch(page)
            choose(page, "AzimuthAxisMove", position="2")
            page.dblclick("#send")
            expect(page.locator("#form-status")).to_contain_text("refused")
            choose(page, "ElevationAxisMove", position="3")
            page.evaluate(
                "() => { const send = document.getElementById('send'); send.click(); send.click(); }"
            )
            expect(page.locator("#form-status")).to_contain_text("refused")
            self.settle(page)
            assert len(sent) == 2, sent

        return self.browse(work)

    def test_double_click_on_take(self) -> Deferred[None]:
        """A double click on "Take command" takes it and does not give it up again."""

        def work(page: Any) -> None:
            sent = self.watch(page)
            page.get_by_role("button", name="Take command").dblclick()
            expect(page.locator("#holder")).to_have_text("You")
            self.settle(page)
            assert sent == [("POST", "lease", {})], sent

        return self.browse(work)

    def show_another(self, page: Any) -> None:
        """Load the page anew, and let it show that another one has command."""

        def show(route: Any) -> None:
            answer = route.fetch()
            state = answer.json()
            state["lease"] |= {"holder": "web/night", "source": "CSC"}
            route.fulfill(response=answer, json=state)

        # in the page, where a test can answer for the daemon
        page.context.add_init_script("delete window.SharedWorker; delete window.Worker")
        page.route("**/api/v1/state", show)
        page.reload()

    def test_slip_on_take_it_from(self) -> Deferred[None]:
        """To take command from its holder needs two presses: no double click, no key that is held down."""

        def work(page: Any) -> None:
            self.show_another(page)
            sent = self.watch(page)
            button = page.get_by_role("button", name="take it from web/night")
            button.dblclick()
            expect(button).to_have_text("Press again to take it from web/night")
            button.press("Tab")
            page.reload()
            button.focus()
            for _ in range(6):
                page.keyboard.down("Enter")
            page.keyboard.up("Enter")
            expect(button).to_have_text("Press again to take it from web/night")
            self.settle(page)
            page.unroute_all(behavior="wait")
            assert sent == [], sent

        return self.browse(work)

    def test_second_press_comes_too_late(self) -> Deferred[None]:
        """A second press more than 5 s after the first is a first one, though a timer may be late."""

        def work(page: Any) -> None:
            self.show_another(page)
            sent = self.watch(page)
            button = page.get_by_role("button", name="take it from web/night")
            expect(button).to_be_visible()
            page.evaluate("window.setTimeout = () => 1")  # no timer from here on
            button.click()
            page.evaluate("{ const now = performance.now(); performance.now = () => now + 6000; }")
            button.click()
            expect(button).to_have_text("Press again to take it from web/night")
            self.settle(page)
            page.unroute_all(behavior="wait")
            assert sent == [], sent

        return self.browse(work)

    def test_send_names_its_command(self) -> Deferred[None]:
        """The Send button says which command it sends, and none when Find has left that out."""

        def work(page: Any) -> None:
            choose(page, "AzimuthAxisMove", position="2")
            expect(page.locator("#send")).to_have_text("Send: Azimuth axis move")
            page.fill("#command-find", "home")
            expect(page.locator("#send")).to_have_text("Send")
            expect(page.locator("#parameters input")).to_have_count(0)
            page.click("#send")
            expect(page.locator("#form-status")).to_have_text("No command is chosen.")

        return self.browse(work)


class TestFocus(SlipsCase):
    """A focus that moves while somebody types."""

    def test_late_fault(self) -> Deferred[None]:
        """A fault that the daemon finds late does not take the focus from where something else is typed."""
        fault = {"error": "the request has faults", "faults": [{"where": "parameters.position", "why": "no"}]}
        held: list[Any] = []

        def work(page: Any) -> None:
            page.route("**/api/v1/commands", lambda route: held.append(route))
            choose(page, "AzimuthAxisMove", position="2")
            page.click("#send")
            page.focus("#tail-filter")
            self.settle(page)
            held.pop().fulfill(status=422, json=fault)
            expect(page.locator("#fault-position")).to_have_text("no")
            expect(page.locator("#tail-filter")).to_be_focused()

        return self.browse(work)

    def test_fault_of_another_command(self) -> Deferred[None]:
        """A late fault does not mark the fields of the command that was chosen meanwhile."""
        fault = {"error": "the request has faults", "faults": [{"where": "parameters.position", "why": "no"}]}
        held: list[Any] = []

        def work(page: Any) -> None:
            page.route("**/api/v1/commands", lambda route: held.append(route))
            choose(page, "AzimuthAxisMove", position="2")
            page.click("#send")
            choose(page, "ElevationAxisMove", position="3")
            self.settle(page)
            held.pop().fulfill(status=422, json=fault)
            expect(page.locator("#form-status")).to_contain_text("Azimuth axis move was not sent")
            expect(page.locator("#fault-position")).to_have_text("")

        return self.browse(work)

    def test_token_that_is_asked_for(self) -> Deferred[None]:
        """When a token is wanted all of a sudden, the focus stays in the field where something is typed."""

        def refuse(route: Any) -> None:
            route.fulfill(status=401, json={"error": "a token is needed"})

        def work(page: Any) -> None:
            page.context.add_init_script("delete window.SharedWorker; delete window.Worker")
            page.reload()
            page.wait_for_selector("body[data-live=yes]")
            choose(page, "AzimuthAxisMove", position="2")
            page.focus("#value-position")
            page.route("**/api/v1/state", refuse)
            page.evaluate("dispatchEvent(new Event('online'))")
            expect(page.locator("#token-panel")).to_be_visible()
            expect(page.locator("#value-position")).to_be_focused()

        return self.browse(work)


class TestFind(SlipsCase):
    """The names that Find accepts."""

    def test_names_of_the_product(self) -> Deferred[None]:
        """What the prompt, the protocol and the page itself call a command finds it; so does its number."""
        names = (
            "az_move",
            "az move",
            "azimuth move",
            "103",
            "AzimuthAxisMove",
            "AZIMUTH_AXIS_MOVE",
            "move az",
        )
        lines = ("azimuth-axis-move", "az_move 10", "az_move -2.5", "AzimuthAxisMove position=10")

        def work(page: Any) -> None:
            self.wait_for_list(page)
            for name in (*names, *lines, "Azimuth axis move"):
                page.fill("#command-find", name)
                options = page.locator("#command option").all_text_contents()
                assert options == ["Azimuth axis move"], (name, options)
                expect(page.locator("#command-doc")).to_contain_text("Move the azimuth axis to a position")
            page.fill("#command-find", "10")  # a number of its own, and the beginning of others
            expect(page.locator("#command-doc")).to_contain_text("Enable")
            assert page.locator("#command option").count() > 1

        return self.browse(work)

    def test_every_name(self) -> Deferred[None]:
        """Each command is meant by its class, its short name, its code's name and its number; no other is."""
        script = """async () => {
            const { meant } = await import("./static/schema.js");
            const { commands } = await (await fetch("api/v1/catalogue")).json();
            const all = Object.entries(commands);
            const is = (typed) => all.filter(([name, command]) => meant(name, command, typed) === "is");
            const found = (typed) => is(typed).map(([name]) => name);
            return all.flatMap(([name, { short_name: short, code_name: long, code }]) =>
                [name, short, long, String(code)].map((typed) => [name, typed, found(typed)])
            ).filter(([name, typed, found]) => found.join() !== name);
        }"""

        def work(page: Any) -> None:
            assert page.evaluate(script) == []

        return self.browse(work)

    def test_nothing_matches(self) -> Deferred[None]:
        """If nothing matches, Find says so, and where else to look; Enter stays there."""

        def work(page: Any) -> None:
            self.wait_for_list(page)
            none = page.locator("#command-none")
            page.fill("#command-find", "warp drive")
            expect(none).to_have_text("No command matches “warp drive”.")
            expect(page.locator("#command option")).to_have_count(0)
            page.press("#command-find", "Enter")
            expect(page.locator("#command-find")).to_be_focused()
            for name in ("ask_for_command", "2101", "ask"):
                page.fill("#command-find", name)
                expect(none).to_have_text("To take or give up command, use the buttons above.")
            page.fill("#command-find", "home")
            expect(none).to_have_text("")

        return self.browse(work)
