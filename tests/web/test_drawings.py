"""``drawings.js`` and ``limit_bars.js``: what the drawings show, read from the SVG of a real browser."""

from __future__ import annotations

from itertools import pairwise
from math import cos, hypot, radians, sin
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.static_pages import StaticPageCase

OPEN = ["open", "open", "open", "open"]
VIEW = {
    "position": 128.484,
    "demand": 128.484,
    "low": -270,
    "high": 270,
    "stale": False,
    "tracking": True,
    "slewing": False,
    "fault": False,
    "covers": OPEN,
    "level": {"low": "calm", "high": "calm"},
}
SIDE = {**VIEW, "position": 61.3, "demand": 61.3, "low": 15.1, "high": 86.4}

DRAW = """([name, view]) => import('./static/drawings.js').then((its) => {
    const svg = document.querySelector('svg');
    its[name](svg, view);
    const parts = {};
    for (const part of svg.querySelectorAll('[data-part]')) {
        const its = Object.fromEntries([...part.attributes].map(({name, value}) => [name, value]));
        parts[part.dataset.part] = its;
    }
    const texts = [...svg.querySelectorAll('text')];
    const words = texts.map((text) => text.textContent);
    const near = texts.filter((text) => getComputedStyle(text).fontWeight === '700');
    const bold = near.map((text) => text.textContent);
    return {parts, label: svg.getAttribute('aria-label'), words, bold};
})"""


def spiral(azimuth: float) -> tuple[float, float]:
    """Where the design puts an azimuth: 62 units from the middle at -270 deg, 102 at +270."""
    radius = 62 + 40 * (azimuth + 270) / 540
    return 128 + radius * sin(radians(azimuth)), 128 - radius * cos(radians(azimuth))


def place(part: dict[str, str]) -> tuple[float, float]:
    """Where a circle is."""
    return float(part["cx"]), float(part["cy"])


def far(one: tuple[float, float], other: tuple[float, float]) -> float:
    """How far two points are from each other."""
    return hypot(one[0] - other[0], one[1] - other[1])


class DrawingCase(StaticPageCase):
    """A page with one drawing."""

    body = '<div class="draw"><svg></svg></div>'

    def draw(self, page: Any, **changes: Any) -> Any:
        """Draw from above, and return what is there."""
        return page.evaluate(DRAW, ["fromAbove", {**VIEW, **changes}])

    def side(self, page: Any, **changes: Any) -> Any:
        """Draw from the side, and return what is there."""
        return page.evaluate(DRAW, ["fromSide", {**SIDE, **changes}])


class TestFromAbove(DrawingCase):
    """The spiral of one turn and a half."""

    def test_azimuth_is_on_the_spiral(self) -> Deferred[None]:
        """Each azimuth has its own place: -269 and +91 deg point the same way, a turn apart."""

        def work(page: Any) -> None:
            for azimuth in (-270, -269, -90, 0, 91, 128.5, 270):
                drawn = self.draw(page, position=azimuth)
                assert far(place(drawn["parts"]["actual"]), spiral(azimuth)) < 0.1, azimuth
            wrapped, direct = spiral(-269), spiral(91)
            assert 26 < far(wrapped, direct) < 27
            assert abs(wrapped[1] - direct[1]) < 1  # the same direction

        return self.look(work)

    def test_slewing(self) -> Deferred[None]:
        """A slew shows its target, and goes along the spiral: the long way round, if the wrap demands it."""

        def work(page: Any) -> None:
            parts = self.draw(page, position=-269, demand=90, slewing=True, tracking=False)["parts"]
            assert far(place(parts["target"]), spiral(90)) < 0.1
            assert "on-target" not in parts
            points = [tuple(map(float, point.split())) for point in parts["way"]["d"][1:].split("L")]
            long = sum(far(one, other) for one, other in pairwise(points))
            assert 440 < long < 480, long  # a whole turn at the inner radius, not the 27 units across

        return self.look(work)

    def test_on_target(self) -> Deferred[None]:
        """On target is a ring around the dot; an axis that is not has none."""

        def work(page: Any) -> None:
            parts = self.draw(page)["parts"]
            assert place(parts["on-target"]) == place(parts["actual"])
            assert "on-target" not in self.draw(page, tracking=False)["parts"]
            assert "on-target" not in self.draw(page, fault=True)["parts"]

        return self.look(work)

    def test_last_known(self) -> Deferred[None]:
        """A stale position is hollow and dashed, without a target, and the words say so."""

        def work(page: Any) -> None:
            drawn = self.draw(page, stale=True, slewing=True, demand=150)
            assert drawn["parts"]["actual"]["fill"] == "var(--ground)"
            assert drawn["parts"]["hand"]["stroke-dasharray"]
            assert not {"target", "way", "on-target"} & set(drawn["parts"])
            assert "last known, not current" in drawn["label"]

        return self.look(work)

    def test_no_position(self) -> Deferred[None]:
        """Without a position there is neither a dot nor a hand."""

        def work(page: Any) -> None:
            drawn = self.draw(page, position=None, low=None, high=None)
            assert not {"actual", "hand", "on-target", "track", "end-low"} & set(drawn["parts"])
            assert "Azimuth not known" in drawn["label"]

        return self.look(work)

    def test_limits(self) -> Deferred[None]:
        """The ends are those of the mount's settings; the one that is near is longer, and in its colour."""

        def work(page: Any) -> None:
            drawn = self.draw(page, low=-260, high=265.5, level={"low": "alarm", "high": "calm"})
            assert {"\u2212260°", "+265.5°"} <= set(drawn["words"])
            low, high = drawn["parts"]["end-low"], drawn["parts"]["end-high"]
            long = [
                far(*[(float(one[f"x{end}"]), float(one[f"y{end}"])) for end in "12"]) for one in (low, high)
            ]
            assert [round(each) for each in long] == [38, 18]
            assert low["stroke"] == "var(--alarm-text)"
            assert high["stroke"] == "var(--text)"
            assert drawn["bold"] == ["\u2212260°"]
            assert "Limits \u2212260° and 265.5°." in drawn["label"]

        return self.look(work)

    def test_covers(self) -> Deferred[None]:
        """Open, closed and moving covers differ in form, and turn with the mount."""

        def work(page: Any) -> None:
            drawn = self.draw(page, covers=["open", "closed", "moving", None])
            parts = drawn["parts"]
            assert parts["cover-1"]["fill"] == "none"
            assert "Z" not in parts["cover-1"]["d"]
            assert parts["cover-2"]["fill"] == "var(--edge)"
            assert parts["cover-3"]["fill"] == "none"
            assert "Z" in parts["cover-3"]["d"]
            assert "cover-4" not in parts
            assert parts["mirror"]["transform"].startswith("rotate(128.5 ")
            assert "Mirror covers: 1 of 3 open, 1 moving." in drawn["label"]

        return self.look(work)

    def test_drawn_again_only_if_it_differs(self) -> Deferred[None]:
        """A move that nobody could see leaves the elements, and one of half a degree does not."""

        def work(page: Any) -> None:
            self.draw(page)
            page.evaluate("window.kept = document.querySelector('[data-part=actual]')")
            self.draw(page, position=128.486)
            assert page.evaluate("kept.isConnected")
            self.draw(page, position=129)
            assert not page.evaluate("kept.isConnected")

        return self.look(work)


class TestImpossibleAngles(DrawingCase):
    """A faulty mount, or a recording of one, has any number for an angle."""

    def test_counts_as_missing(self) -> Deferred[None]:
        """A drawing with an impossible angle is that without the angle: a way to it would have no end."""

        def work(page: Any) -> None:
            for draw in (self.draw, self.side):
                for angle in (1000.1, 1e9, -1e9, 1e17, 1e300):
                    for names in (["position"], ["demand"], ["low"], ["high"], ["low", "high"]):
                        slews = {"slewing": True, "tracking": False, "covers": OPEN}
                        missing = draw(page, **slews, **dict.fromkeys(names, None))
                        assert draw(page, **slews, **dict.fromkeys(names, angle)) == missing, (angle, names)

        return self.look(work)

    def test_work_is_bounded(self) -> Deferred[None]:
        """The longest way has 400 steps, and there are four covers."""

        def work(page: Any) -> None:
            for draw in (self.draw, self.side):
                slew = {"slewing": True, "tracking": False, "low": -1000, "high": 1000}
                parts = draw(page, position=-1000, demand=1000, **slew)["parts"]
                for name in ("way", "track"):
                    assert parts[name]["d"].count("L") == 400
            parts = self.draw(page, covers=OPEN * 500)["parts"]
            assert len([name for name in parts if name.startswith("cover-")]) == 4

        return self.look(work)


class TestFromTheSide(DrawingCase):
    """The arc of the elevation."""

    def test_elevation(self) -> Deferred[None]:
        """The dot is on the arc, and the tube turns with it."""

        def work(page: Any) -> None:
            for elevation in (15.1, 45, 86.4):
                parts = self.side(page, position=elevation)["parts"]
                at = 32 + 178 * cos(radians(elevation)), 220 - 178 * sin(radians(elevation))
                assert far(place(parts["actual"]), at) < 0.2, elevation
                assert parts["tube"]["transform"] == f"rotate({-elevation:.2f} 32 220)"

        return self.look(work)

    def test_words_keep_clear_of_markers(self) -> Deferred[None]:
        """The word of the scale at 60 deg is left out while a marker is within 6 deg of it."""

        def work(page: Any) -> None:
            assert "60°" not in self.side(page, position=61.3)["words"]
            assert {"60°", "30°", "15.1°", "86.4°", "horizon"} <= set(self.side(page, position=45)["words"])
            slews = self.side(page, position=45, demand=30, slewing=True)
            assert "30°" not in slews["words"]
            assert slews["label"].startswith("The mount from the side. Elevation 45°, slewing to 30°.")

        return self.look(work)


BARS = """([rows, stale]) => import('./static/limit_bars.js').then((its) => {
    const list = document.querySelector('#limits');
    its.drawLimits(list, rows, stale);
    return [...list.querySelectorAll('li')].map((row) => ({
        text: [...row.querySelectorAll(':scope > span')].map((part) => part.textContent),
        level: row.dataset.level,
        wide: Number(row.querySelector('[data-part=bar]')?.getAttribute('width') ?? 0),
    }));
})"""


def limit(name: str, seconds: float | None, level: str = "calm", **more: Any) -> dict[str, Any]:
    """A row of ``/api/v1/limits``."""
    at = None if seconds is None else "2026-11-26T02:15:51.000Z"
    return {
        "name": name,
        "seconds": seconds,
        "distance": 25.04,
        "at": at,
        "level": level,
        "basis": "tracking",
        **more,
    }


class TestLimitBars(StaticPageCase):
    """The bars of the time to a limit."""

    body = '<div id="limits"></div>'

    def test_nearest_four(self) -> Deferred[None]:
        """The nearest limit is first; what is not in 12 h has no bar; more than four are left out."""

        def work(page: Any) -> None:
            rows = [
                limit("far", 26_400),
                limit("still", None, basis="still"),
                limit("never", None, distance=141.5),
                limit("wrap", 124, "alarm"),
                limit("sets", 1799, "caution"),
            ]
            found = page.evaluate(BARS, [rows, False])
            assert [each["text"] for each in found] == [
                ["wrap", "2 min 04 s 02:15"],
                ["sets", "29 min 59 s 02:15"],
                ["far", "7 h 20 min 02:15"],
                ["still", "25.0°, no motion"],
            ], found
            assert [each["level"] for each in found] == ["alarm", "caution", "calm", "calm"]
            assert found[3]["wide"] == 0

        return self.look(work)

    def test_rail_is_logarithmic(self) -> Deferred[None]:
        """A minute is at the left end and 12 h at the right one, 5 and 30 min where the scale says so."""

        def work(page: Any) -> None:
            times = (60, 300, 1800, 43_200)
            found = [page.evaluate(BARS, [[limit("one", time)], False])[0]["wide"] for time in times]
            assert [round(each / 336 * 100, 1) for each in found] == [1.5, 24.5, 51.7, 100.0], found

        return self.look(work)

    def test_last_known(self) -> Deferred[None]:
        """Stale limits are marked."""

        def work(page: Any) -> None:
            page.evaluate(BARS, [[limit("one", 600)], True])
            assert page.locator("#limits.stale").count() == 1

        return self.look(work)
