"""``plots.js`` and its buttons in a real browser, over made-up signals: no daemon."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar

from twisted.internet.defer import Deferred

from tests.support.static_pages import StaticPageCase

from .test_dashboard import expect

NOW = 1_795_659_227.0  # 2026-11-26T02:13:47Z
ERROR, AZIMUTH, VELOCITY, ELEVATION = (
    "motion.azimuth.errorSky",
    "azimuth.actualPosition",
    "azimuth.actualVelocity",
    "elevation.actualPosition",
)

SET_UP = """async ([now, spikes, [from, to], broken]) => {
    const { Plots } = await import('./static/plots.js');
    const { plotTools } = await import('./static/plot_tools.js');
    window.asked = [];
    window.clock = now;
    window.broken = broken;
    const value = (name, at) => {
        if ((at >= from && at < to) || at >= window.clock) return null;
        if (/errorSky|Velocity/.test(name) && at >= now - 300 && at < now - 290) return null;
        if (name.endsWith('errorSky')) return 0.002;
        return name.endsWith('Velocity') ? 0.5 : 100 + (at - now) / 60;
    };
    const fetchHistory = async (signals, begin, end, points) => {
        window.asked.push([signals, begin, end, points]);
        if (window.broken) throw new Error(window.broken);
        const width = (end - begin) / points;
        const times = Array.from({ length: points }, (_, index) => begin + index * width);
        const told = (name) => {
            const bins = times.map((at) => {
                const usual = value(name, at);
                const spike = (spikes[name] ?? []).find(([when]) => at <= when && when < at + width);
                if (usual === null) return [null, null, null];
                const other = spike ? spike[1] : usual;
                return [Math.min(usual, other), Math.max(usual, other), usual];
            });
            const [least, greatest, mean] = [0, 1, 2].map((part) => bins.map((bin) => bin[part]));
            return { unit: '', least, greatest, mean };
        };
        return { times, signals: Object.fromEntries(signals.map((name) => [name, told(name)])) };
    };
    const error = { signal: 'motion.azimuth.errorSky', title: 'Azimuth error on the sky', unit: '″',
                    spoken: 'arcsec', low: -0.03, high: 0.03, band: 0.01 };
    const columns = [
        { element: document.querySelector('#azimuth'), name: 'azimuth', strips: [error,
          { signal: 'azimuth.actualPosition', title: 'Azimuth', unit: '°' },
          { signal: 'azimuth.actualVelocity', title: 'Velocity', unit: '°/s', low: -7, high: 7,
            digits: 2 }] },
        { element: document.querySelector('#elevation'), name: 'elevation', strips: [
          { signal: 'elevation.actualPosition', title: 'Elevation', unit: '°' }] },
    ];
    window.plots = new Plots({ columns, fetchHistory, now: () => window.clock });
    const names = async () => [{ name: 'elevation.actualCurrent', unit: 'A', period: 0.05 }];
    plotTools(document.querySelector('#tools'), window.plots, names);
}"""

ARROWS = """(index) => {
    const { scale, arrows } = plots.columns[0].strips[index].drawn;
    return { scale, arrows: arrows.map(({ at, up }) => [Math.round(clock - at), up]) };
}"""

LOST = """() => {
    const lost = plots.columns[0].lost(plots.bins, {...plots.window, now: clock, live: true, loading: false});
    return lost.map((ends) => ends.map((at) => Math.round(clock - at)));
}"""

SAMPLES = """([count, value]) => {
    const values = Object.fromEntries(plots.signals.map((name) => [name, value]));
    for (let tick = 0; tick < count; tick += 1) {
        clock += 0.25;
        plots.add({ at: clock, values });
    }
    plots.tick();
    plots.draw();
}"""

# Which rows of a canvas are inked, in the pixel column of a time.
INKED = """([index, at]) => {
    const { canvas } = plots.columns[0].strips[index];
    const { from, to } = plots.window;
    const x = Math.round((52 + (canvas.clientWidth - 52) * (at - from) / (to - from)) * devicePixelRatio);
    const { data } = canvas.getContext('2d').getImageData(x - 1, 0, 3, canvas.height);
    const rows = [];
    for (let y = 0; y < canvas.height; y += 1) {
        if ([0, 1, 2].some((dx) => data[(y * 3 + dx) * 4 + 3] > 60)) rows.push(y);
    }
    return rows;
}"""


class PlotsCase(StaticPageCase):
    """A page with two columns of plots."""

    body = '<div id="tools"></div><div class="plots"><div id="azimuth"></div><div id="elevation"></div></div>'
    wide: ClassVar = {"viewport": {"width": 1100, "height": 700}}

    def start(
        self,
        page: Any,
        spikes: dict[str, Any] | None = None,
        lost: tuple[float, float] = (0.0, 0.0),
        broken: str = "",
    ) -> None:
        """Set the plots up, and wait until the history is drawn."""
        page.evaluate(SET_UP, [NOW, spikes or {}, lost, broken])
        page.wait_for_function("() => plots.loading === false && plots.columns[0].strips[0].drawn")
        self.drawn(page)

    def drawn(self, page: Any) -> None:
        """Wait until what is due has been drawn."""
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        page.wait_for_function("() => !plots.due && !plots.reading")

    def window(self, page: Any) -> list[float]:
        """The window, in seconds before now."""
        page.wait_for_timeout(0)
        return page.evaluate("[clock - plots.window.from, clock - plots.window.to].map(Math.round)")  # type: ignore[no-any-return]

    def words(self, page: Any) -> list[str]:
        """What stands above the strips."""
        return page.locator(".strip p b").all_text_contents()  # type: ignore[no-any-return]

    def point(self, page: Any, column: str, share: float) -> tuple[float, float]:
        """A point over a column's first plot, at a share of its time."""
        box = page.locator(f"#{column} canvas").nth(1).bounding_box()
        return box["x"] + 52 + (box["width"] - 52) * share, box["y"] + 20


class TestDrawing(PlotsCase):
    """What is on the canvas."""

    def test_spike_is_seen(self) -> Deferred[None]:
        """A value of one bin among 600 is drawn from its least to its greatest."""

        def work(page: Any) -> None:
            self.start(page, {VELOCITY: [[NOW - 200.3, 6.5]]})
            usual, spike = (page.evaluate(INKED, [2, NOW - ago]) for ago in (150.5, 200.5))
            assert len(spike) > len(usual) + 10, (usual, spike)
            assert min(spike) < 6, spike
            assert page.evaluate(ARROWS, 2)["arrows"] == []

        return self.look(work, **self.wide)

    def test_off_the_scale(self) -> Deferred[None]:
        """A value off the scale is an arrowhead at that edge."""

        def work(page: Any) -> None:
            self.start(page, {ERROR: [[NOW - 100.3, 0.05], [NOW - 200.3, -0.04]]})
            assert page.evaluate(ARROWS, 0) == {"scale": [-0.03, 0.03], "arrows": [[201, False], [101, True]]}
            assert 0 in page.evaluate(INKED, [0, NOW - 100.5])
            assert 55 in page.evaluate(INKED, [0, NOW - 200.5])

        return self.look(work, **self.wide)

    def test_gap_and_lost_time(self) -> Deferred[None]:
        """Where one signal has no value is a gap; where all have none is lost time."""

        def work(page: Any) -> None:
            self.start(page, lost=(NOW - 480, NOW - 400))
            assert page.evaluate(LOST) == [[480, 400]]
            assert len(page.evaluate(INKED, [1, NOW - 440])) > 4  # hatched
            assert page.evaluate("plots.bins.read('motion.azimuth.errorSky', clock - 295)") is None
            inked = [
                [row for row in page.evaluate(INKED, [2, NOW - ago]) if 8 < row < 34] for ago in (295, 250)
            ]
            assert not inked[0] and inked[1], inked

        return self.look(work, **self.wide)

    def test_daemon_is_young(self) -> Deferred[None]:
        """What was before the daemon's first value is left blank: it is not lost, but not known."""

        def work(page: Any) -> None:
            self.start(page, lost=(0.0, NOW - 400))
            assert page.evaluate(LOST) == []
            assert not [row for row in page.evaluate(INKED, [2, NOW - 500]) if 8 < row < 34]

        return self.look(work, **self.wide)

    def test_round_scale(self) -> Deferred[None]:
        """A signal without a scale of its own has round ends around its values."""

        def work(page: Any) -> None:
            self.start(page)
            assert page.evaluate(ARROWS, 1)["scale"] == [90, 100]

        return self.look(work, **self.wide)

    def test_live_samples(self) -> Deferred[None]:
        """Live samples go on from the history; a link that is lost is lost time up to now."""

        def work(page: Any) -> None:
            self.start(page)
            page.evaluate(SAMPLES, [80, 123.4567])
            assert self.words(page)[1] == "123.457"
            assert page.evaluate("plots.bins.read('azimuth.actualPosition', clock - 10).mean") == 123.4567
            page.evaluate("clock += 41; plots.add({at: clock, values: {}}); plots.draw()")
            assert page.evaluate(LOST) == [[41, 0]]
            expect(page.locator("#azimuth .strip p b").nth(1)).to_have_class("stale")

        return self.look(work, **self.wide)

    def test_history_is_read_again(self) -> Deferred[None]:
        """The history is read each minute for what came since; its spike replaces the live samples."""

        def work(page: Any) -> None:
            self.start(page, {VELOCITY: [[NOW + 30.3, -6.0]]})
            page.evaluate(SAMPLES, [260, 0.5])
            page.wait_for_function("() => asked.length === 2 && plots.readUntil > clock - 2")
            _, begin, end, points = page.evaluate("asked[1]")
            assert (begin, end - begin, points) == (NOW, 65, 65)
            assert page.evaluate("plots.bins.read('azimuth.actualVelocity', clock - 34.5).least") == -6

        return self.look(work, **self.wide)

    def test_no_history(self) -> Deferred[None]:
        """Without a history the reason is told, and live samples are drawn."""

        def work(page: Any) -> None:
            self.start(page, broken="the recorder is off")
            expect(page.locator("#tools [role=status]")).to_have_text("No history: the recorder is off")
            page.evaluate("plots.add({at: clock, values: {'azimuth.actualPosition': 5}}); plots.draw()")
            assert self.words(page)[1] == "5.000"
            assert page.evaluate(ARROWS, 1)["scale"] == [4.999, 5.001]
            assert page.evaluate(LOST) == []  # what came before is not known, which is not lost

        return self.look(work, **self.wide)

    def test_history_comes_back(self) -> Deferred[None]:
        """A history that can't be read is asked for again after 5 s: that of now and that of then."""

        def work(page: Any) -> None:
            self.start(page, broken="no answer within 10 s")
            status = page.locator("#tools [role=status]")
            tick = "clock += 5; plots.tick()"
            for begin in ("", "plots.follow(clock - 7200)"):
                page.evaluate(f"broken = 'no answer within 10 s'; {begin}")
                expect(status).to_have_text("No history: no answer within 10 s")
                before = page.evaluate("asked.length")
                page.evaluate("clock += 1; plots.tick()")
                page.evaluate("broken = ''")
                assert page.evaluate("asked.length") == before
                page.evaluate(tick)
                expect(status).to_have_text("")
            expect(page.locator("#azimuth .strip p b").nth(1)).to_have_text(
                re.compile(r"^00:13:\d\d: \u2212?\d")
            )

        return self.look(work, **self.wide)


class TestCursor(PlotsCase):
    """One cursor over all strips of all columns."""

    def test_keys(self) -> Deferred[None]:
        """Left and Right move it, Escape takes it away; a screen reader has all values of the column."""

        def work(page: Any) -> None:
            self.start(page)
            slider = page.locator("#azimuth [role=slider]")
            expect(slider).to_have_attribute("aria-valuetext", "no moment is chosen")
            slider.press("ArrowLeft")
            slider.press("ArrowLeft")
            slider.press("ArrowRight")
            expect(slider).to_have_attribute(
                "aria-valuetext",
                "02:13:41 UTC. Azimuth error on the sky: +0.002 arcsec. Azimuth: 99.900 °. "
                "Velocity: 0.50 °/s",
            )
            assert self.words(page)[3] == "02:13:41: 99.900"  # of the other column
            assert page.locator(".cursor:visible").count() == 2
            slider.press("Escape")
            expect(slider).to_have_attribute("aria-valuetext", "no moment is chosen")
            assert page.locator(".cursor:visible").count() == 0

        return self.look(work, **self.wide)

    def test_pointer(self) -> Deferred[None]:
        """The pointer moves it, and takes it along when it leaves, unless a click has put it there."""

        def work(page: Any) -> None:
            self.start(page, {VELOCITY: [[NOW - 310.3, 6.5]]})
            page.mouse.move(*self.point(page, "azimuth", 0.48249))
            expect(page.locator("#azimuth .strip p b").nth(2)).to_have_text(
                re.compile(r"^02:08:36: 0\.50 \(0\.50 to 6\.50\)$")
            )
            expect(page.locator("#elevation .strip p b")).to_have_text(re.compile("^02:08:36: "))
            page.mouse.move(5, 5)
            expect(page.locator(".cursor:visible")).to_have_count(0)
            page.mouse.click(*self.point(page, "elevation", 0.25))
            page.mouse.move(5, 5)
            expect(page.locator(".cursor:visible")).to_have_count(2)
            expect(page.locator("#azimuth .strip p b").nth(1)).to_have_text(re.compile("^02:06:1"))

        return self.look(work, **self.wide)


class TestWindow(PlotsCase):
    """Which time is shown."""

    def test_drag(self) -> Deferred[None]:
        """A drag shows what lies in it, read from the history in finer bins; the button goes back."""

        def work(page: Any) -> None:
            self.start(page)
            page.mouse.move(*self.point(page, "azimuth", 0.5))
            page.mouse.down()
            page.mouse.move(*self.point(page, "azimuth", 0.55), steps=3)
            page.mouse.move(*self.point(page, "azimuth", 0.6), steps=3)
            page.mouse.up()
            assert self.window(page) == [300, 240]
            page.wait_for_function("() => plots.past.loaded")
            signals, begin, end, points = page.evaluate("asked.at(-1)")
            assert signals == [ERROR, AZIMUTH, VELOCITY, ELEVATION]
            assert begin <= NOW - 299 and end >= NOW - 241
            assert points > 500
            expect(page.locator("#plots-name")).to_have_text("1 min to 02:09:47")
            page.get_by_role("button", name="Back to now").click()
            assert self.window(page) == [600, 0]

        return self.look(work, **self.wide)

    def test_wheel(self) -> Deferred[None]:
        """The wheel with Ctrl zooms around the pointer; without Ctrl it is the page's."""

        def work(page: Any) -> None:
            self.start(page)
            page.mouse.move(*self.point(page, "azimuth", 0.5))
            page.mouse.wheel(0, -100)
            assert self.window(page) == [600, 0]
            page.keyboard.down("Control")
            page.mouse.wheel(0, -100)
            page.wait_for_function("() => plots.past !== null")
            assert self.window(page) == [531, 69]

        return self.look(work, **self.wide)

    def test_zoom_out_at_once(self) -> Deferred[None]:
        """From 2 s to 31 days before the history answers: no drawing goes over 50 million bins of 0.05 s."""

        def work(page: Any) -> None:
            self.start(page)
            page.evaluate("() => plots.showWindow(clock - 4, clock - 2)")
            page.wait_for_function("() => plots.past.loaded")
            assert page.evaluate("plots.past.bins.width") == 0.05
            bins = page.evaluate("""() => {
                for (let turn = 0; turn < 60; turn += 1) plots.zoom(1.3, clock - 3);
                const { from, to } = plots.window;
                return [to - from, (to - from) / plots.past.bins.width];
            }""")
            assert bins[0] == 31 * 86_400
            assert bins[1] <= 40_000

        return self.look(work, **self.wide)

    def test_buttons(self) -> Deferred[None]:
        """The choice and the buttons change a window that goes on to end now; Pause holds it."""

        def work(page: Any) -> None:
            self.start(page)
            page.get_by_role("button", name="1 h", exact=True).click()
            expect(page.get_by_role("button", name="1 h", exact=True)).to_have_attribute(
                "aria-pressed", "true"
            )
            assert self.window(page) == [3600, 0]
            expect(page.locator("#plots-name")).to_have_text("Last 1 h")
            page.get_by_role("button", name="Zoom in").click()
            assert self.window(page) == [1800, 0]
            page.get_by_role("button", name="Zoom out").click()
            page.get_by_role("button", name="Pause").click()
            page.evaluate("clock += 100")
            assert self.window(page) == [3700, 100]
            page.get_by_role("button", name="Back to now").click()
            assert self.window(page) == [3600, 0]

        return self.look(work, **self.wide)

    def test_from_to(self) -> Deferred[None]:
        """A window from one time to another, UTC; one that ends before it begins is refused."""

        def work(page: Any) -> None:
            self.start(page)
            page.get_by_role("button", name="from … to …").click()
            page.get_by_label("from", exact=True).fill("2026-11-25T22:00:00")
            page.get_by_label("to", exact=True).fill("2026-11-25T21:00:00")
            page.get_by_role("button", name="Show").click()
            expect(page.locator("#tools [role=status]")).to_contain_text("ends before it begins")
            page.get_by_label("to", exact=True).fill("2026-11-25T23:00:00")
            page.get_by_role("button", name="Show").click()
            expect(page.locator("#plots-name")).to_have_text("1 h to 2026-11-25 23:00:00")

        return self.look(work, **self.wide)

    def test_link_to_a_moment(self) -> Deferred[None]:
        """The link that is copied leads to the moment of the cursor, when it is opened."""

        def work(page: Any) -> None:
            page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            self.start(page)
            page.evaluate("plots.cursorAt(clock - 262)")
            page.get_by_role("button", name="Copy link to this moment").click()
            expect(page.locator("#tools [role=status]")).to_have_text("The link to 02:09:25 UTC is copied.")
            link = page.evaluate("navigator.clipboard.readText()")
            assert link == "http://localhost/#t=2026-11-26T02:09:25.000Z"
            page.evaluate(f"location.href = {json.dumps(link)}")
            page.wait_for_function("() => plots.past !== null")
            assert self.window(page) == [562, 0]
            expect(page.locator("#azimuth .strip p b").nth(1)).to_have_text(re.compile("^02:09:25: 95.6"))

        return self.look(work, **self.wide)

    def test_playback(self) -> Deferred[None]:
        """In playback the cursor is at the page's moment, and the windows end soon after it."""

        def work(page: Any) -> None:
            self.start(page)
            page.evaluate("plots.follow(clock - 7200)")
            assert self.window(page) == [7740, 7140]
            expect(page.locator("#azimuth .strip p b").nth(1)).to_have_text(re.compile("^00:13:47: "))
            expect(page.get_by_role("button", name="Back to now")).to_be_hidden()
            page.evaluate("plots.follow(clock - 7190)")
            assert self.window(page) == [7740, 7140]  # it stays while the moment is in it
            page.get_by_role("button", name="1 h", exact=True).click()
            assert self.window(page) == [7190 + 3240, 7190 - 360]
            page.evaluate("plots.follow(null)")
            assert self.window(page) == [3600, 0]

        return self.look(work, **self.wide)


class TestSignals(PlotsCase):
    """Any signal by its name."""

    def test_add_and_remove(self) -> Deferred[None]:
        """A signal of the list becomes a strip of its axis, and can be removed; others are refused."""

        def work(page: Any) -> None:
            self.start(page)
            page.get_by_role("button", name="Signals").click()
            page.get_by_label("signal", exact=True).fill("nothing")
            page.get_by_role("button", name="Add").click()
            expect(page.locator("#tools [role=status]")).to_contain_text("No signal nothing")
            page.get_by_label("signal", exact=True).fill("elevation.actualCurrent")
            page.get_by_role("button", name="Add").click()
            expect(page.locator("#elevation .strip p").nth(1)).to_contain_text("elevation.actualCurrent, A")
            assert "elevation.actualCurrent" in page.evaluate("asked.at(-1)[0]")
            page.get_by_role("button", name="Remove elevation.actualCurrent").click()
            expect(page.locator("#elevation .strip p")).to_have_count(1)
            assert page.evaluate("plots.signals") == [ERROR, AZIMUTH, VELOCITY, ELEVATION]

        return self.look(work, **self.wide)
