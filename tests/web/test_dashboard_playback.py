"""Playback of a recorded night on the page, in a real Chromium over the whole daemon.

The mount and its STOP are real; the answers about the night are made up, in the place of the daemon's.
"""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from twisted.internet.defer import Deferred

from mtmount_twisted.frontends.web.api.slews import MAX_LIMIT
from tests.support.dashboards import DashboardCase, HouseOfToday
from tests.support.folders import scratch_path

from .test_dashboard import expect

THEN = "2026-11-25T02:41:10Z"
LATCHED = {
    "active": True,
    "latched": True,
    "code": 120,
    "subsystem": "AZIMUTH",
    "name": "AZCW deviation limit",
}
OVER = {**LATCHED, "active": False, "latched": False}


def axis(position: float) -> dict[str, Any]:
    """An axis that tracks."""
    known = {"position": position, "demand": position, "velocity": 0.002, "torque": 100.0, "age": 0.05}
    limits = {"limit_low": -270.0, "limit_high": 270.0, "limits_from": "settings"}
    error = {"error": 0.001, "error_sky": 0.001, "rms": 0.005, "greatest": 0.013, "window": 15.0}
    told = {"in_position": True, "on_target_since": None, "to_go": None, "seconds_to_go": None}
    return {**known, **limits, **error, **told, "stale": False, "time": THEN}


def telemetry(at: str) -> dict[str, Any]:
    """The answer about a moment: the mount tracks near azimuth 128."""
    motion = {"word": "Tracking", "detail": "", "since": "2026-11-25T02:40:28Z", "seconds": None}
    axes = {"azimuth": axis(128.484), "elevation": {**axis(61.32), "limit_low": 15.1, "limit_high": 86.4}}
    wrap = {"position": 17.6, "velocity": 0.0, "stale": False, "age": 0.1}
    base = {"time": at, "at": at, "live": False, "available": True, "why": "", "connected": True}
    rest = {"silent": False, "age": 0.05, "clock_offset": 0.0, "sky": None, "limits": [], "slew": None}
    recorder = {"enabled": True, "oldest": "2026-11-20T00:00:00Z", "why": ""}
    return {
        **base,
        **rest,
        "recorder": recorder,
        "motion": motion,
        "axes": {**axes, "cameraCableWrap": wrap},
        "devices": {
            "mirror_covers": {"parts_motion": {"value": ["DEPLOYED"] * 4, "unit": "", "stale": False}}
        },
        "topics": {"mainPowerSupply": {"values": {"powerSupplyVoltage": 401.0}}},
    }


def slew(start: str, passed: bool = True) -> dict[str, Any]:
    """A slew of the night."""
    figures = {"azimuth": 3.1, "elevation": 1.3, "seconds": 1.9, "settle": 0.9, "error_at_in_position": 0.1}
    return {
        "start": start,
        **figures,
        "rms": 0.007,
        "passed": passed,
        "failures": [] if passed else ["settle"],
    }


def said(time: str, fields: dict[str, Any]) -> dict[str, Any]:
    """A message of the journal: an alarm."""
    return {"type": "message", "kind": "ERROR", "time": time, "peer": "controller", "fields": fields}


NIGHT = [slew("2026-11-25T01:00:00Z"), slew("2026-11-25T02:30:00Z", False), slew("2026-11-25T03:00:00Z")]


def changed(row: int, kind: str, peer: str, time: str) -> dict[str, Any]:
    """A change of the journal."""
    return {"type": "change", "id": f"1.{row}", "kind": kind, "time": time, "peer": peer, "detail": "lease 4"}


LEASES = [
    changed(1, "started", "", "2026-11-20T00:00:00Z"),
    changed(2, "lease_granted", "scheduler", "2026-11-24T23:41:10Z"),
    changed(3, "lease_released", "scheduler", "2026-11-25T02:45:00Z"),
    changed(4, "lease_granted", "web/ben", "2026-11-25T02:45:00Z"),
]
ALARMS = [said("2026-11-25T02:41:00Z", LATCHED), said("2026-11-25T02:50:00Z", OVER)]


class TestPlayback(DashboardCase):
    """The past on the page."""

    viewport: ClassVar = {"viewport": {"width": 1440, "height": 900}}

    async def setUp(self) -> None:
        """Start a house whose mount sends telemetry."""
        self.house = HouseOfToday(str(scratch_path(self)))
        await self.house.start()
        self.addCleanup(self.stop)
        self.asked: list[str] = []
        self.busy: int | None = (
            None  # the status of each answer about a moment while the daemon reads for others
        )
        self.mute: tuple[str, ...] = ()  # the names of what gets no answer

    def answer(self, route: Any) -> None:
        """Answer in the daemon's place what is asked of the night."""
        url = urlsplit(route.request.url)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        name = url.path.rpartition("/api/v1/")[2]
        if name in self.mute:
            route.abort()
        elif name == "telemetry" and "at" in query:
            self.asked.append(query["at"])
            if self.busy is not None:
                route.fulfill(status=self.busy, json={"error": "2 queries of yours are running or waiting"})
            elif query["at"] > "2026-11-25T05":
                route.fulfill(status=404, json={"error": "the recording ends at 05:00"})
            else:
                route.fulfill(json=telemetry(query["at"]))
        elif name == "slews" and "from" in query:
            allowed = int(query["limit"]) <= MAX_LIMIT
            route.fulfill(json={"slews": NIGHT} if allowed else {"error": ""}, status=200 if allowed else 422)
        elif name == "messages" and "lease_granted" in query.get("kind", ""):
            route.fulfill(json={"entries": LEASES[::-1], "next": None})
        elif name == "messages" and query.get("kind") == "ERROR,WARNING":
            route.fulfill(json={"entries": ALARMS[::-1], "next": None})
        elif name == "messages" and "until" in query:
            until = query["until"]
            entries = [said(until, LATCHED), said("2026-11-25T02:00:00.000Z", OVER)]
            route.fulfill(json={"entries": entries, "next": None})
        elif name == "telemetry/history":
            times = [1_795_659_227.0]
            none = {"unit": "", "least": [None], "greatest": [None], "mean": [None]}
            signals = {each: none for each in query["signals"].split(",")}
            route.fulfill(json={"from": query["from"], "to": query["to"], "times": times, "signals": signals})
        else:
            route.fallback()

    def begin(self, page: Any) -> None:
        """Play back from a moment of the night."""
        page.route(re.compile("/api/v1/(telemetry|slews|messages)"), self.answer)
        page.evaluate(f"location.hash = {json.dumps(f'#play={THEN}')}")
        expect(page.locator("body")).to_have_attribute("data-moment", "past")

    def test_message_leads_to_its_moment(self) -> Deferred[None]:
        """The time of a message is a link to that moment in the plots."""

        def work(page: Any) -> None:
            expect(page.locator("#plots-name")).to_have_text("Last 10 minutes")
            link = page.locator("#tail .row a").first
            moment = link.get_attribute("href").removeprefix("#t=")
            link.click()
            expect(page.locator("#plots-name")).to_have_text(re.compile(r" to \d\d:\d\d"))
            assert page.url.endswith(f"#t={moment}"), page.url
            assert moment[11:19] in link.text_content(), (moment, link.text_content())

        return self.browse(work, **self.viewport)

    def test_moment_is_shown(self) -> Deferred[None]:
        """The page shows the mount as it was, and says so; the real mount stands at the bottom."""

        def work(page: Any) -> None:
            self.begin(page)
            expect(page.locator("#live")).to_have_text("Playback")
            expect(page.locator("#azimuth")).to_contain_text("128.484")
            expect(page.locator("#c-motion")).to_contain_text("Motion, then")
            expect(page.locator("#motion")).to_have_text("Tracking")
            expect(page.locator("#safety")).to_have_text("1 alarm")
            expect(page.locator("#said-name")).to_have_text("The real mount now")
            expect(page.locator("#playback")).to_contain_text("02:41:10 UTC")
            expect(page.locator("#notice")).to_be_hidden()
            expect(page.locator("#playback .night")).to_have_attribute(
                "aria-label", re.compile("3 slews, 1 failed, 1 alarm$")
            )
            expect(page.locator("#devices")).to_have_text(re.compile("^Mirror covers\\s*4 of 4 closed$"))
            expect(page.locator("#holder")).to_have_text("scheduler")
            expect(page.locator("#holder-more")).to_have_text("3 h 00 min")
            expect(page.locator("#alarms")).to_contain_text(
                "ERROR120 AZIMUTH: AZCW deviation limit (latched)"
            )
            for name, text in (("flights", "In flight, now"), ("commanders", "Connected, now")):
                expect(page.locator(f"#{name}-name")).to_have_text(text)
            expect(page.locator("#lease-panel")).to_contain_text("Now: ")
            expect(page.locator("#move-send")).to_be_disabled()
            expect(page.get_by_role("button", name="Take command")).to_be_disabled()

        return self.browse(work, **self.viewport)

    def test_commands_are_off(self) -> Deferred[None]:
        """A command of the form that was filled in before is not sent, neither by its button nor by Enter."""

        def work(page: Any) -> None:
            page.click("#tab-commands")
            page.fill("#command-find", "BothAxesMove")
            page.locator("#command").select_option("BothAxesMove")
            page.fill("#value-azimuth", "40")
            expect(page.locator("#send")).to_be_enabled()
            self.begin(page)
            expect(page.locator("#send")).to_be_disabled()
            page.press("#value-azimuth", "Enter")
            expect(page.locator("#form-status")).to_have_text("Not sent: this is a recording.")
            expect(page.locator("#lives")).to_have_text("Nothing yet.")
            page.get_by_role("button", name="Back to live").click()
            expect(page.locator("#send")).to_be_enabled()

        return self.browse(work, **self.viewport)

    def test_slider(self) -> Deferred[None]:
        """The slider goes through the night: by keys, and by itself while it plays."""

        def work(page: Any) -> None:
            self.begin(page)
            slider = page.get_by_role("slider", name="Time in the night")
            expect(page.locator("#safety")).to_have_text("1 alarm")
            slider.press("PageDown")
            expect(slider).to_have_attribute("aria-valuetext", "02:31:10 UTC, 2026-11-25")
            expect(page.locator("#safety")).to_have_text("No alarms")
            page.get_by_role("button", name="1\u00d7").click()
            page.get_by_role("button", name="Play", exact=True).click()
            expect(slider).to_have_attribute("aria-valuetext", re.compile("^02:31:[2-5]0 UTC"))
            page.get_by_role("button", name="Pause", exact=True).first.click()

        return self.browse(work, **self.viewport)

    def test_not_recorded(self) -> Deferred[None]:
        """A moment without a recording shows no figures, least of all those of now."""

        def work(page: Any) -> None:
            self.begin(page)
            slider = page.get_by_role("slider", name="Time in the night")
            slider.fill(str(1_795_583_000))
            expect(page.locator("#playback")).to_contain_text("the recording ends at 05:00")
            expect(page.locator("#azimuth")).to_have_text("not told")

        return self.browse(work, **self.viewport)

    def test_messages(self) -> Deferred[None]:
        """The messages are those until the moment, and not those of now, until the page is back to live."""

        def work(page: Any) -> None:
            rows = page.locator("#tail .row")
            self.begin(page)
            expect(page.locator("#tail-name")).to_have_text("Messages until 02:41:10 UTC, 2026-11-25")
            expect(rows).to_have_count(2)
            expect(rows.first).to_contain_text("02:41:10")
            page.fill("#tail-filter", "nothing like this")
            expect(rows).to_have_count(0)
            page.fill("#tail-filter", "")
            expect(rows).to_have_count(2)
            expect(page.locator("#tail-pause")).to_be_disabled()
            page.locator("#stop").click()
            expect(page.locator("#lives li").first).to_contain_text("Both axes stop")
            page.get_by_role("slider", name="Time in the night").press("PageDown")
            expect(rows.first).to_contain_text("02:31:10")
            expect(rows).to_have_count(2)
            page.get_by_role("button", name="Back to live").click()
            expect(page.locator("#tail-name")).to_have_text("Messages")
            expect(page.locator("#tail")).to_contain_text("BothAxesStop")
            expect(page.locator("#tail")).not_to_contain_text("02:31:10")

        return self.browse(work, **self.viewport)

    def test_phone(self) -> Deferred[None]:
        """On a phone nothing of the line of names is cut, and the page is no wider than the screen."""

        def work(page: Any) -> None:
            self.begin(page)
            expect(page.locator("#azimuth")).to_contain_text("128.484")
            for wide in (390, 360, 320):
                page.set_viewport_size({"width": wide, "height": 780})
                line = page.evaluate(
                    "[document.querySelector('.brow')].map((e) => [e.scrollWidth, e.clientWidth])[0]"
                )
                assert line[0] <= line[1], (wide, line)
                box = page.locator("#theme").bounding_box()
                assert box["x"] + box["width"] <= wide - 8, (wide, box)

        return self.browse(work, **self.viewport)

    def test_busy(self) -> Deferred[None]:
        """The page asks again for a moment that the daemon can't read yet, and shows no other figures."""

        def work(page: Any) -> None:
            for self.busy in (429, 503):
                self.begin(page)
                expect(page.locator("#playback")).to_contain_text("is asked for again: 2 queries of yours")
                expect(page.locator("#live")).to_have_text("Playback")
                expect(page.locator("#c-motion")).to_contain_text("Motion, then")
                expect(page.locator("#utc")).to_have_text("2026-11-25 02:41:10")
                for place in ("#azimuth", "#elevation", "#motion"):
                    expect(page.locator(place)).to_have_text("not told")
                expect(page.locator("#glance")).not_to_contain_text("asked:")
                expect(page.locator("#playback")).not_to_contain_text("Nothing is recorded")
                self.busy = None
                expect(page.locator("#azimuth")).to_contain_text("128.484")
                expect(page.locator("#playback")).not_to_contain_text("asked for again")
                page.get_by_role("button", name="Back to live").click()
                expect(page.locator("body")).to_have_attribute("data-moment", "now")

        return self.browse(work, **self.viewport)

    def test_read_again(self) -> Deferred[None]:
        """After a STOP, what got no answer is read again: the slider's marks, plots, slews, messages."""

        def work(page: Any) -> None:
            marks, told = page.locator("#playback .night"), page.locator("#plot-tools [role=status]")
            self.mute = ("slews", "messages", "telemetry/history")
            self.begin(page)
            page.locator("#stop").click()
            expect(page.locator("#lives li").first).to_contain_text("Both axes stop")
            expect(marks).to_have_attribute("aria-label", re.compile("slews not known, alarms not known$"))
            expect(told).to_contain_text("No history")
            expect(page.locator("#tail-reach")).to_contain_text("can't be read")
            expect(page.locator("#slews")).to_contain_text("Not known")
            expect(page.locator("#alarms")).to_contain_text("Not known")
            expect(page.locator("#holder-more")).to_have_text("the journal is not read")
            self.mute = ()
            expect(marks).to_have_attribute("aria-label", re.compile("3 slews, 1 failed, 1 alarm$"))
            expect(told).to_have_text("")
            expect(page.locator("#tail .row")).to_have_count(2)
            expect(page.locator("#slews")).to_have_text("None yet.")
            expect(page.locator("#holder")).to_have_text("scheduler")
            expect(page.locator("#live")).to_have_text("Playback")

        return self.browse(work, **self.viewport)

    def test_more_than_a_page(self) -> Deferred[None]:
        """Alarms of a journal that is too long to be read are not taken for all that there were."""

        def answer(route: Any) -> None:
            if "ERROR,WARNING" in route.request.url or "ERROR%2CWARNING" in route.request.url:
                route.fulfill(json={"entries": [], "next": "1.7"})
            else:
                self.answer(route)

        def work(page: Any) -> None:
            page.route(re.compile("/api/v1/(telemetry|slews|messages)"), answer)
            page.evaluate(f"location.hash = {json.dumps(f'#play={THEN}')}")
            label = re.compile("0 alarms, earlier ones are not read$")
            expect(page.locator("#playback .night")).to_have_attribute("aria-label", label)
            expect(page.locator("#safety")).to_have_text("not told")
            expect(page.locator("#safety-more")).to_have_text("not all alarms are read")

        return self.browse(work, **self.viewport)

    def test_alarms_of_the_recording(self) -> Deferred[None]:
        """The alarms are those of the recorded events, where the recording has some."""
        error = {"code": 7, "subsystem": "AZIMUTH", "what": "AZ: drive", "description": "", "remedy": "wait."}
        told = {"active": True, "latched": False, "stale": False, "time": "2026-11-25T02:40:10Z"}

        def answer(route: Any) -> None:
            at = parse_qs(urlsplit(route.request.url).query)["at"][0]
            route.fulfill(json={**telemetry(at), "errors": [{**error, **told}], "warnings": []})

        def work(page: Any) -> None:
            self.begin(page)
            page.route(re.compile("/api/v1/telemetry[?]at="), answer)
            page.get_by_role("slider", name="Time in the night").press("ArrowRight")
            expect(page.locator("#alarms")).to_contain_text("AZ: driveVendor\u2019s advice: wait.1:01 min")
            expect(page.locator("#alarms .alarm")).to_have_count(1)
            expect(page.locator("#safety")).to_have_text("1 alarm")

        return self.browse(work, **self.viewport)

    def test_unread(self) -> Deferred[None]:
        """Until the first answer the page shows that it is of another time, and nothing of now."""

        def work(page: Any) -> None:
            held: list[Any] = []
            page.route(re.compile("/api/v1/(telemetry|slews|messages)"), lambda route: held.append(route))
            page.evaluate(f"location.hash = {json.dumps(f'#play={THEN}')}")
            expect(page.locator("body")).to_have_attribute("data-moment", "past")
            expect(page.locator("#live")).to_have_text("Playback")
            expect(page.locator(".frame")).to_be_visible()
            expect(page.locator("#c-motion")).to_contain_text("Motion, then")
            expect(page.locator("#motion-more")).to_have_text("the recording is being read")
            for place in ("#safety", "#azimuth", "#elevation", "#motion"):
                expect(page.locator(place)).to_have_text("not told")
            for route in held:
                self.answer(route)
            expect(page.locator("#azimuth")).to_contain_text("128.484")

        return self.browse(work, **self.viewport)

    def test_stop_is_live(self) -> Deferred[None]:
        """STOP stops the real mount while the page shows the past; "Back to live" ends that."""

        def work(page: Any) -> None:
            self.begin(page)
            expect(page.locator("#flight")).to_have_text("It stops the real mount")
            page.locator("#stop").click()
            expect(page.locator("#stop-status")).to_contain_text(re.compile("stop", re.IGNORECASE))
            expect(page.locator("#lives li").first).to_contain_text("Both axes stop")
            page.get_by_role("button", name="Back to live").click()
            expect(page.locator("body")).to_have_attribute("data-moment", "now")
            expect(page.locator("#notice")).to_be_visible()
            assert page.evaluate("location.hash") == ""

        return self.browse(work, **self.viewport)
