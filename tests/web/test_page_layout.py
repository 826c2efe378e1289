"""The places of the page: the same in every state, at every width, by keyboard, and with a screen reader."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.support.browsers import browser, missing
from tests.support.pages_shown import NIGHT, NOW, alarm, axis, said, serve, state, summary, tell

from .test_dashboard import expect, faults
from .test_page_words import FAULT, LOST, SLEWING, near, old

WOUND = {
    "azimuth": axis(-269.741, -270, 270, -0.003, -0.0021),
    "elevation": axis(42.318, 15.1, 86.4, 0.001, 0.0036),
}
COLD = [alarm(831, "Oil supply: cold", latched=False, subsystem="OIL_SUPPLY_SYSTEM")]
ADVICE = "Bring the cable wrap to the centre of azimuth and reset; then home azimuth."
ALARM = [alarm(120, "Azimuth: Critical AZCW Deviation Limit", remedy=ADVICE, description="too far apart")]
STALE = {name: {"stale": True, "age": 41.0} for name in ("azimuth", "elevation")}
MINE = {"you": {"has_command": True}, "lease": {"holder": "web/anna"}}
Told = tuple[dict[str, Any], dict[str, Any] | None]
STATES: dict[str, Told] = {
    "tracking": (state(), summary()),
    "slewing": (state(), summary(**SLEWING)),
    "limit": (state(**MINE), summary(limits=near(123), axes=WOUND)),
    "alarm": (
        state(errors=ALARM, warnings=COLD, devices={"azimuth": {"power": said("FAULT")}}),
        summary(**FAULT),
    ),
    "lost": (state(controller=LOST), summary(connected=False, silent=True, axes=STALE)),
    "old": (old(), None),
}
"""What the page is told in each of its states."""

TITLES = {
    "tracking": "Nothing to do",
    "slewing": "Nothing to do",
    "limit": "Azimuth reaches its cable wrap limit",
    "alarm": "Azimuth 120: Critical AZCW Deviation Limit",
    "lost": "The link to the mount is down",
    "old": "This mount speaks the 2020 protocol",
}

CELLS = ("#c-safety", "#c-motion", "#c-azimuth", "#c-elevation", "#tile-command", "#tile-mount")
FIXED = (*CELLS, "#stop", "#main")
DESKS = ((1440, 900), (1024, 768))
WIDTHS = (1440, 1024, 390, 320)

PLACES = """names => names.map((name) => {
    const { x, y, width, height } = document.querySelector(name).getBoundingClientRect();
    return [name, x, y, name === "#main" ? 0 : width, name === "#main" ? 0 : height].join(" ");
})"""


class LayoutCase(TestCase):
    """The page in one state after the other."""

    timeout = 120
    skip = missing() or None

    def show(self, page: Any, name: str) -> None:
        """Give the page the data of a state, and wait until its notice shows it."""
        tell(page, *STATES[name])
        expect(page.locator("#notice-title")).to_contain_text(TITLES[name])
        kind = "old" if name == "old" else "new"
        expect(page.locator("#main")).to_have_attribute("data-mount", kind)

    def look(self, work: Any, **options: Any) -> Deferred[None]:
        """Open the page with the data of a night and do something with it, without an error of a script."""

        def whole(page: Any) -> None:
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            serve(page, NIGHT)
            work(page)
            assert not errors, errors

        return browser().run(whole, **options)


class TestPlaces(LayoutCase):
    """Where things stand."""

    def test_fixed(self) -> Deferred[None]:
        """Cells, STOP and the beginning of the body stand in the same place in every state."""

        def work(page: Any) -> None:
            for width, height in DESKS:
                page.set_viewport_size({"width": width, "height": height})
                found: dict[str, list[str]] = {}
                for name in STATES:
                    self.show(page, name)
                    found[name] = page.evaluate(PLACES, list(FIXED))
                first = found["tracking"]
                for name, places in found.items():
                    assert places == first, (width, name, set(places) ^ set(first))

        return self.look(work)

    def test_stop(self) -> Deferred[None]:
        """STOP ends in the bottom right corner of the window at every width."""
        corner = """() => {
            const { right, bottom, width, height } = document.querySelector("#stop").getBoundingClientRect();
            return [innerWidth - right, innerHeight - bottom, width, height];
        }"""

        def work(page: Any) -> None:
            self.show(page, "tracking")
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                right, bottom, wide, high = page.evaluate(corner)
                assert max(abs(right), abs(bottom)) < 0.5, (width, right, bottom)
                assert wide >= (232 if width > 700 else width * 0.55), (width, wide)
                assert high >= 70, (width, high)

        return self.look(work)

    def test_widths(self) -> Deferred[None]:
        """Nothing is wider than the window in any state, and no figure is cut."""
        cut = """names => names.filter((name) => {
            const figure = document.querySelector(`${name} .fig`);
            return figure.scrollWidth > figure.clientWidth + 1;
        })"""

        def work(page: Any) -> None:
            for name in STATES:
                self.show(page, name)
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 800})
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    assert wide <= width, (name, width, wide)
                    assert page.evaluate(cut, list(CELLS)) == [], (name, width)

        return self.look(work)


class TestReaders(LayoutCase):
    """Keyboards and screen readers."""

    def test_accessible(self) -> Deferred[None]:
        """Axe finds nothing serious in any state, in both themes, at a desk and on a phone."""

        def work(page: Any) -> None:
            for name in STATES:
                self.show(page, name)
                for theme, width in (("light", 1440), ("dark", 390)):
                    page.emulate_media(color_scheme=theme)
                    page.set_viewport_size({"width": width, "height": 800})
                    found = faults(page)
                    assert not found, (name, theme, found)

        return self.look(work)

    def test_announced(self) -> Deferred[None]:
        """A change of safety or motion is announced in one sentence; a tracked mount says nothing more."""

        def work(page: Any) -> None:
            said = page.locator("#announcer")
            self.show(page, "tracking")
            expect(said).to_have_text("No alarms, Tracking, scheduler has command.")
            page.evaluate(
                """() => new MutationObserver(() => { window.changes = (window.changes ?? 0) + 1; })
                    .observe(document.getElementById("announcer"), { childList: true })"""
            )
            moved = {"axes": {"azimuth": {"position": 128.5, "demand": 128.5}}}
            tell(page, state(), summary(**moved))
            expect(page.locator("#azimuth")).to_have_text("128.500\u00b0")
            assert page.evaluate("window.changes ?? 0") == 0
            self.show(page, "alarm")
            expect(said).to_have_text("1 alarm, Fault, scheduler has command.")

        return self.look(work)

    def test_drawings_in_words(self) -> Deferred[None]:
        """Each drawing says what it shows, and has five facts beside it."""

        def work(page: Any) -> None:
            self.show(page, "tracking")
            for name, of in (("above", "azimuth"), ("side", "elevation")):
                expect(page.locator(f"#facts-{of} dt")).to_have_count(5)
                label = page.locator(f"#{name}").get_attribute("aria-label")
                assert "128.5" in label or "61.3" in label, label

        return self.look(work)

    def test_pace(self) -> Deferred[None]:
        """Twenty positions a second are written at most four times a second, and facts once a second."""
        begin = """() => {
            window.draws = { azimuth: 0, "facts-azimuth": 0 };
            for (const id of Object.keys(window.draws)) {
                const count = () => (window.draws[id] += 1);
                new MutationObserver(count).observe(document.getElementById(id), { childList: true });
            }
        }"""
        happen = """([state, summary, position]) => {
            const { store } = window.shownPage;
            summary.axes.azimuth.position = position;
            summary.axes.azimuth.velocity = position;
            store.setSignals({ at: 0, values: { "azimuth.actualPosition": position } });
            store.setSummary(summary);
        }"""

        def work(page: Any) -> None:
            page.clock.install()
            serve(page, NIGHT)
            tell(page, *STATES["tracking"])
            page.clock.pause_at(datetime.now() + timedelta(minutes=1))
            page.evaluate(begin)
            for number in range(100):
                page.evaluate(happen, [state(), summary(), 100 + number / 1000])
                page.clock.run_for(50)
            draws = page.evaluate("window.draws")
            assert 14 <= draws["azimuth"] <= 22, draws  # in 5 s
            assert 3 <= draws["facts-azimuth"] <= 7, draws

        return self.look(work)


class TestUse(LayoutCase):
    """What the buttons of the page do."""

    def test_unwrap_is_prepared(self) -> Deferred[None]:
        """The button of a near limit fills in the move, and sends nothing."""

        def work(page: Any) -> None:
            sent: list[str] = []
            page.on("request", lambda request: request.method != "GET" and sent.append(request.url))
            self.show(page, "limit")
            page.get_by_role("button", name="Prepare the unwrap").click()
            expect(page.locator("#move-azimuth")).to_have_value("90.259")
            expect(page.locator("#move-elevation")).to_have_value("42.318")
            expect(page.locator("#move-status")).to_contain_text("Nothing is sent")
            assert sent == []

        return self.look(work)

    def test_reset_waits(self) -> Deferred[None]:
        """The reset of an alarm is off while the alarm is active, and says so."""

        def work(page: Any) -> None:
            self.show(page, "alarm")
            expect(page.get_by_role("button", name="Reset the azimuth alarm")).to_be_disabled()
            expect(page.locator("#notice-why")).to_have_text("once it is not active")
            expect(page.locator("#notice-others")).to_have_text("1 warning")
            told, moving = STATES["alarm"]
            over = [{**ALARM[0], "active": False}]
            tell(page, {**told, "errors": over, "you": {**told["you"], "has_command": True}}, moving)
            expect(page.get_by_role("button", name="Reset the azimuth alarm")).to_be_enabled()

        return self.look(work)

    def test_tabs(self) -> Deferred[None]:
        """The form of all commands is the second tab; the choice holds when the page is opened again."""

        def work(page: Any) -> None:
            self.show(page, "tracking")
            expect(page.locator("#move-form")).to_be_visible()
            page.focus("#tab-move")
            page.keyboard.press("ArrowRight")
            expect(page.locator("#tab-commands")).to_be_focused()
            expect(page.locator("#command-find")).to_be_visible()
            expect(page.locator("#move-form")).to_be_hidden()
            serve(page, NIGHT)
            expect(page.locator("#command-find")).to_be_visible()

        return self.look(work)

    def test_past(self) -> Deferred[None]:
        """A past moment is marked as such, commands are off, and STOP stays as it is."""

        def work(page: Any) -> None:
            self.show(page, "tracking")
            past = {"at": (NOW - 3600) * 1000, "state": state(**MINE), "summary": summary(**SLEWING)}
            past["values"] = {}
            page.evaluate("past => window.shownPage.shown.show(past)", past)
            expect(page.locator("#live")).to_have_text("Playback")
            expect(page.locator("#utc")).to_have_text("2026-11-26 01:13:47")
            expect(page.locator("#c-motion-name")).to_have_text("Motion, then")
            expect(page.locator("#motion")).to_have_text("Slewing")
            expect(page.locator("#holder")).to_have_text("CSC")
            expect(page.locator("#said-name")).to_have_text("The real mount now")
            expect(page.locator("#word")).to_have_text("az 128.484\u00b0, el 61.320\u00b0, tracking")
            expect(page.locator("#move-why")).to_have_text("Off: this is a recording.")
            expect(page.locator("#move-send")).to_be_disabled()
            expect(page.locator("#stop")).to_be_enabled()
            page.evaluate("window.shownPage.shown.showNow()")
            expect(page.locator("#motion")).to_have_text("Tracking")

        return self.look(work)
