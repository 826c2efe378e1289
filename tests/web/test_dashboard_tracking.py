"""The page while somebody tracks: 40 commands a second, 20 to each axis, all night long."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from mtmount_twisted.commands import (
    AzimuthAxisMove,
    AzimuthAxisTrack,
    ElevationAxisEnableTracking,
    ElevationAxisTrack,
)
from mtmount_twisted.enums import CommandCode
from mtmount_twisted.replies import ErrorReply, NoAckReply, OnStateInfoReply
from mtmount_twisted.simulator.faults import Fault
from tests.support.dashboards import DashboardCase, on_reactor
from tests.support.tracking import Tracker, connect_tracker

from .test_dashboard import expect, faults

AXES = AzimuthAxisTrack, ElevationAxisTrack

BURST = 20
"""How many targets are sent at once; the bridge takes 100 commands in flight."""


class TrackingCase(DashboardCase):
    """A house with a commander beside the page."""

    async def setUp(self) -> None:
        """Start the house and connect the commander."""
        await super().setUp()
        self.tracker: Tracker = await connect_tracker(self.house.desk_port)
        self.addCleanup(self.tracker.transport.loseConnection)  # type: ignore[union-attr]

    async def track(self, targets: int) -> None:
        """Send so many targets, to both axes in turn, and wait for their answers."""
        for number in range(targets):
            self.tracker.send_target(AXES[number % 2])
            if number % BURST == BURST - 1:
                await self.tracker.all_answered()
        await self.tracker.all_answered()

    async def refuse(self, explanation: str, count: int = 5) -> None:
        """Have the mount refuse so many targets, with an explanation."""
        self.house.mount.faults.add(Fault("missing", code=CommandCode.AZIMUTH_AXIS_TRACK))
        for _ in range(count):
            self.tracker.send_target(AzimuthAxisTrack)
        self.tracker.send(ElevationAxisEnableTracking, on=True)
        await self.tracker.all_answered(but=count)  # so the mount has had them all
        keys = [flight.key for flight in self.house.served.bridge.pending]
        await self.house.say(*(NoAckReply(sequence_id=key, explanation=explanation) for key in keys))
        await self.tracker.all_answered()
        self.house.mount.faults.clear()


class TestAnswers(TrackingCase):
    """What the page tells of the mount's answers."""

    def test_every_answer_is_counted(self) -> Deferred[None]:
        """The plot counts all answers of its ten minutes, those before a reload as well."""

        def work(page: Any) -> None:
            on_reactor(self.tracker.enable)
            on_reactor(self.track, 1200)
            told = page.locator("#acks-text")
            counts = []
            for _ in range(2):
                page.reload()
                expect(told).to_contain_text("commands acknowledged: median")
                found = re.match(r"([\d,]+) commands acknowledged", told.text_content())
                assert found, told.text_content()
                counts.append(int(found[1].replace(",", "")))
                expect(page.locator("#acks svg .answer").first).to_be_visible()
            assert counts[0] >= 1200, counts
            assert counts[0] == counts[1], counts

        return self.browse(work)

    def test_refusals(self) -> Deferred[None]:
        """The Mount cell says one refusal a second, and the notice explains the last one in full."""
        explanation = f"AzimuthAxis {' and '.join(60 * ['is off'])}."

        def refused(page: Any) -> None:
            expect(page.locator("#tile-mount")).to_have_attribute("data-mood", "caution")
            expect(page.locator("#tile-mount-name")).to_have_text("Mount refuses")
            expect(page.locator("#answers")).to_have_text(re.compile(r"\d/s"))
            expect(page.locator("#refusal")).to_have_text(f"AzimuthAxisTrack of desk/1: {explanation}")
            expect(page.locator("#refusal")).to_be_visible()

        def work(page: Any) -> None:
            on_reactor(self.tracker.enable)
            on_reactor(self.refuse, explanation)
            refused(page)
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme)
                assert not faults(page), theme
            on_reactor(self.refuse, explanation)
            page.reload()
            refused(page)

        return self.browse(work)


class TestList(TrackingCase):
    """The list of messages."""

    def test_tracking_is_left_out(self) -> Deferred[None]:
        """Track commands, their Acks and steps can be left out; all else stays, and so do refusals."""

        def work(page: Any) -> None:
            rows = page.locator("#tail")
            on_reactor(self.tracker.enable)
            on_reactor(self.house.say, OnStateInfoReply(description="In between"))
            expect(rows).to_contain_text("In between")
            on_reactor(self.track, 200)
            on_reactor(self.refuse, "no such target", 1)
            expect(rows).to_contain_text("AZIMUTH_AXIS_TRACK")
            expect(rows).to_contain_text("no such target")
            expect(rows).not_to_contain_text("In between")
            page.check("#tail-quiet")
            expect(rows).to_contain_text("In between")
            expect(rows).to_contain_text("no such target")
            on_reactor(self.track, 20)
            on_reactor(self.house.say, OnStateInfoReply(description="Afterwards"))
            expect(rows).to_contain_text("Afterwards")
            for kind in ("all", "message", "step"):
                page.check(f"#tail-form [value={kind}]")
                expect(rows).to_contain_text(re.compile("refused|no such target"))
                texts = page.locator("#tail .row").all_text_contents()
                assert not [text for text in texts if "AXIS_TRACK" in text], texts
                acked = [text for text in texts if "timeout_ms=0 " in text]
                assert not acked, acked

        return self.browse(work)

    def test_older_by_a_filter(self) -> Deferred[None]:
        """ "Older" looks in the journal for what the filters let through, behind hours of tracking."""

        def work(page: Any) -> None:
            on_reactor(self.tracker.enable)
            on_reactor(self.house.say, OnStateInfoReply(description="Long ago"))
            on_reactor(self.track, 300)
            page.reload()
            expect(page.locator("#tail")).to_contain_text("AXIS_TRACK")
            page.fill("#tail-filter", "long ago")
            expect(page.locator("#tail .row")).to_have_count(0)
            page.click("#tail-older")
            expect(page.locator("#tail .row")).to_have_count(1)

        return self.browse(work)

    def test_no_journal_to_go_on_in(self) -> Deferred[None]:
        """If the journal can't be read "Older" says so, and can be pressed again."""

        def work(page: Any) -> None:
            answer = {"status": 503, "json": {"error": "the journal is turned off"}}
            page.route("**/api/v1/messages*", lambda route: route.fulfill(**answer))
            page.click("#tail-older")
            told = "Older entries can't be read: the journal is turned off"
            expect(page.locator("#tail-reach")).to_have_text(told)
            expect(page.locator("#tail-older")).to_be_enabled()

        return self.browse(work)

    async def move(self) -> None:
        """Send a move."""
        self.tracker.send(AzimuthAxisMove, position=10)

    def test_fields_have_names(self) -> Deferred[None]:
        """Each field stands with its name, and a number as it was in the message."""

        def work(page: Any) -> None:
            on_reactor(self.tracker.enable)
            on_reactor(self.move)
            expect(page.locator("#tail")).to_contain_text("position=10.0 velocity=0.0 ")
            on_reactor(self.house.say, OnStateInfoReply(description="a | b"))
            expect(page.locator("#tail")).to_contain_text("description=a | b")

        return self.browse(work)

    def test_narrow(self) -> Deferred[None]:
        """On a phone the list's controls fit, and axe finds nothing serious."""

        def work(page: Any) -> None:
            on_reactor(self.tracker.enable)
            on_reactor(self.track, 20)
            on_reactor(self.refuse, 40 * "far too long an explanation, ")
            expect(page.locator("#refusal")).to_be_visible()
            page.press("#tail-quiet", "Space")
            expect(page.locator("#tail-quiet")).to_be_checked()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert not faults(page)

        return self.browse(work, viewport={"width": 390, "height": 844})


class TestOlder(DashboardCase):
    """What is older than the list."""

    def test_older(self) -> Deferred[None]:
        """ "Older" reaches to the beginning of the journal, each entry once; the list is paused meanwhile."""

        def work(page: Any) -> None:
            rows = page.locator("#tail .row")
            said = [OnStateInfoReply(description=f"number {number}.") for number in range(1300)]
            on_reactor(self.house.say, *said)
            expect(rows.first).to_contain_text("number 1299.")
            page.reload()
            expect(rows.first).to_contain_text("number 1299.")
            expect(page.locator("#tail")).not_to_contain_text("number 900.")
            older, reach = page.locator("#tail-older"), page.locator("#tail-reach")
            older.click()
            expect(reach).to_contain_text("Back to ")
            on_reactor(self.house.say, OnStateInfoReply(description="meanwhile"))
            expect(page.locator("#tail-count")).to_contain_text("paused; 1 came since")
            expect(page.locator("#tail")).not_to_contain_text("meanwhile")
            for _ in range(20):
                # The button stays off where there is nothing older.
                at_the_end = reach.filter(has_text="begins here")
                expect(page.locator("#tail-older:enabled").or_(at_the_end).first).to_be_visible()
                if at_the_end.count():
                    break
                older.click()
            texts = rows.all_text_contents()
            numbers = [int(found[1]) for text in texts if (found := re.search(r"number (\d+)\.", text))]
            assert numbers == list(reversed(range(1300))), numbers
            page.click("#tail-pause")
            expect(rows.first).to_contain_text("meanwhile")

        return self.browse(work)


class TestBackground(DashboardCase):
    """A tab that is not in front."""

    def test_title_and_icon(self) -> Deferred[None]:
        """Title and icon of a hidden tab tell of an active error, a lost link, a page that is not live."""
        hide = """() => {
            Object.defineProperty(document, "hidden", {get: () => true});
            Object.defineProperty(document, "visibilityState", {get: () => "hidden"});
            window.requestAnimationFrame = () => 0;
        }"""

        def work(page: Any) -> None:
            page.add_init_script(f"({hide})()")
            page.reload()
            page.wait_for_selector("body[data-live=yes]")
            expect(page).to_have_title("Mount")
            icons = [page.locator("link[rel=icon]").get_attribute("href")]

            def told(title: str) -> None:
                expect(page).to_have_title(title)
                icons.append(page.locator("link[rel=icon]").get_attribute("href"))

            on_reactor(self.house.say, ErrorReply(on=True, active=True, code=812, subsystem="800. Oil"))
            told("(1 alarm) Mount")
            on_reactor(self.house.say, ErrorReply(on=True, active=True, code=813, subsystem="800. Oil"))
            told("(2 alarms) Mount")
            on_reactor(self.house.stop_mount)
            told("(no link, 2 alarms) Mount")
            on_reactor(self.house.cut)
            told("NOT LIVE: Mount")
            calm, error, errors, link, lost = icons
            assert error == errors, icons
            assert link == lost, icons
            assert len({calm, error, link}) == 3, icons
            assert all(icon.startswith("data:image/svg+xml,") for icon in icons), icons

        return self.browse(work)

    def test_error_that_is_over(self) -> Deferred[None]:
        """An error that is no longer active is not in the title."""

        def work(page: Any) -> None:
            on_reactor(self.house.say, ErrorReply(on=True, active=True, code=812, subsystem="800. Oil"))
            expect(page).to_have_title("(1 alarm) Mount")
            on_reactor(self.house.say, ErrorReply(on=True, active=False, code=812, subsystem="800. Oil"))
            expect(page).to_have_title("Mount")

        return self.browse(work)


class TestPace(DashboardCase):
    """How often the page draws, counted by a clock that stands still between steps."""

    def watch(self, page: Any, script: str) -> None:
        """Stop the page's clock, and run a script that gets its modules."""
        page.clock.install()
        page.reload()
        page.wait_for_selector("body[data-live=yes]")
        page.clock.pause_at(page.evaluate("Date.now() + 60_000"))
        names = "acks bar pace shown store tail"
        loads = ", ".join(f"{name}: await import('./static/{name}.js')" for name in names.split())
        page.evaluate(f"async () => ({script})({{{loads}}})")

    def test_list_and_bar(self) -> Deferred[None]:
        """With 320 entries a second list and top bar are drawn at most four times a second."""
        begin = """({ store, shown, tail, bar }) => {
            const known = new store.Store();
            tail.tail(known);
            bar.bar(known, new shown.Shown(known));
            window.draws = {tail: 0, word: 0};
            for (const id of Object.keys(window.draws)) {
                const count = () => (window.draws[id] += 1);
                new MutationObserver(count).observe(document.getElementById(id), {childList: true});
            }
            let number = 0;
            window.happen = () => {
                for (let count = 0; count < 16; count++) {
                    number += 1;
                    known.addEntry({
                        id: `9.${number}`, type: "message", peer: "controller", direction: "from",
                        kind: "ON_STATE_INFO", time: new Date().toISOString(), is_command: false,
                        fields: {description: `number ${number}.`}, text: `5 | number ${number}.`,
                    });
                }
            };
        }"""

        def work(page: Any) -> None:
            self.watch(page, begin)
            for _ in range(100):
                page.evaluate("happen()")
                page.clock.run_for(50)
            page.clock.run_for(300)
            draws = page.evaluate("window.draws")
            for part, count in draws.items():
                assert 16 <= count <= 22, (part, count)  # in 5.3 s
            expect(page.locator("#tail .row").first).to_contain_text("number 1600.")
            assert page.locator("#tail .row").count() == 500

        return self.browse(work)

    def test_plot(self) -> Deferred[None]:
        """With 40 answers a second the plot is asked for and drawn once in 5 s; a hidden page never asks."""
        begin = """({ acks, store }) => {
            const known = new store.Store();
            acks.acks(known);
            window.draws = 0;
            const count = () => (window.draws += 1);
            new MutationObserver(count).observe(document.getElementById("acks"), {childList: true});
            known.setLive(true);
            window.happen = () => known.tell("acks");
        }"""

        def pass_time(page: Any, steps: int) -> None:
            for _ in range(steps):
                page.evaluate("happen()")
                page.clock.run_for(250)

        def work(page: Any) -> None:
            asked: list[str] = []
            self.watch(page, begin)
            page.on("request", lambda request: "acks" in request.url and asked.append(request.url))
            pass_time(page, 80)
            drawn = page.evaluate("window.draws")
            assert 3 <= len(asked) <= 5, asked  # in 20 s
            assert 3 <= drawn <= 10, drawn
            page.evaluate("Object.defineProperty(document, 'hidden', {get: () => true})")
            asked.clear()
            pass_time(page, 80)
            assert not asked, asked

        return self.browse(work)


class TestTrackingModules(DashboardCase):
    """The page's pure functions, called as they are."""

    def call(self, script: str, given: Any, wanted: Any) -> Deferred[None]:
        """Call a function that gets the modules and a value; compare what it gives."""

        def work(page: Any) -> None:
            names = "acks names answers words"
            loads = ", ".join(f"{name}: await import('./static/{name}.js')" for name in names.split())
            got = page.evaluate(f"async (given) => ({script})({{{loads}}}, given)", given)
            assert got == wanted, got

        return self.browse(work)

    def test_acks_in_words(self) -> Deferred[None]:
        """The plot says the same in words, and since when the daemon counts if that is not ten minutes."""
        script = """({ acks }, all) =>
            all.map((times) => acks.summary({...times, bounds: [0.001, 0.01, 0.1, 1]}))"""
        whole = {"time": "2026-11-22T18:20:00Z", "since": "2026-11-22T18:10:00Z"}
        none = {"refused": 0, "unanswered": 0}
        cases: list[tuple[dict[str, Any], str]] = [
            ({**whole, "columns": []}, "No command was answered."),
            (
                {**whole, "since": "2026-11-22T18:19:00Z", "columns": []},
                "No command was answered. Counted since 18:19:00 UTC, when the daemon started.",
            ),
            (
                {**whole, "columns": [{"counts": 5 * [0], "slowest": 0, "refused": 0, "unanswered": 1}]},
                "No command was acknowledged. 1 got no Ack.",
            ),
            (
                {
                    **whole,
                    "columns": [
                        {"counts": [0, 12000, 400, 0, 0], "slowest": 0.05, **none},
                        {"counts": [0, 11600, 0, 1, 0], "slowest": 0.9, "refused": 2, "unanswered": 1},
                    ],
                },
                "24,001 commands acknowledged: median about 3 ms, slowest 900 ms. 3 got no Ack.",
            ),
            (
                {**whole, "columns": [{"counts": [3, 0, 0, 0, 0], "slowest": 0.0005, **none}]},
                "3 commands acknowledged: median below 1 ms, slowest < 1 ms.",
            ),
            (
                {**whole, "columns": [{"counts": [0, 0, 0, 0, 1], "slowest": 4.2, **none}]},
                "1 command acknowledged: median about 4.2 s, slowest 4.2 s.",
            ),
        ]
        return self.call(script, [given for given, _ in cases], [text for _, text in cases])

    def test_one_refusal_a_second(self) -> Deferred[None]:
        """One refusal a second counts, half a second late as well; one in two seconds does not."""
        script = """({ answers }, cases) => cases.map(([ages, is]) => answers.refusing({
            live: {is, events: ""},
            refusals: ages.map((age) => ({at: 1e12 - age * 1000, command: "x", commander: "csc"})),
        }, 1e12)?.rate ?? null)"""
        cases: list[tuple[list[float], bool, int | None]] = [
            ([4, 3, 2, 1, 0], True, 1),
            ([4.9, 3.9, 2.9, 1.9, 0.9], True, 1),
            ([5.4, 4.4, 3.4, 2.4, 1.4], True, 1),
            ([*(count / 20 for count in range(200, 0, -1))], True, 20),
            ([4, 3, 2, 1, 0], False, None),
            ([8, 6, 4, 2, 0], True, None),
            ([9, 8, 7, 6, 5.6], True, None),
            ([3, 2, 1, 0], True, None),
            ([], True, None),
        ]
        return self.call(script, [case[:2] for case in cases], [case[2] for case in cases])

    def test_fields_in_words(self) -> Deferred[None]:
        """Numbers are as in the message where it can be told which is which, and else as JSON has them."""
        script = """({ words }, all) =>
            all.map((entry) => words.cells({type: "message", peer: "x", ...entry})[3])"""
        fields = {"sequence_id": 7, "source": "CSC", "timestamp": "T", "position": 10, "on": True}
        command = {"is_command": True, "fields": fields}
        rest = "sequence_id=7 source=CSC timestamp=T"
        cases: list[tuple[dict[str, Any], str]] = [
            ({**command, "text": "7 | 103 | 1 | T | 10.0 | 1"}, f"position=10.0 on=true {rest}"),
            (
                {**command, "text": "7 | 103 | 1 | T | 10.0", "truncated": True},
                f"position=10 on=true {rest}",
            ),
            (
                {
                    "is_command": False,
                    "fields": {"active": True, "code": 9, "extra_data": ["hot", "61.2"]},
                    "text": "3 | 1 | 9 | hot | 61.2",
                },
                "active=true code=9 extra_data=hot, 61.2",
            ),
            ({"fields": None, "text": "no | message"}, "no | message"),
        ]
        return self.call(script, [given for given, _ in cases], [text for _, text in cases])

    def test_step_in_words(self) -> Deferred[None]:
        """The step ``sent`` has the id by which the mount's own line is found."""
        script = (
            """({ words }, all) => all.map((entry) => words.cells({type: "step", peer: "csc", ...entry}))"""
        )
        step = {"time": "T", "command": "AzimuthMove", "sequence_id": 7, "key": 1001, "explanation": ""}
        names = {"received": "received", "sent": "sent to the mount as #1001", "timed_out": "timed out"}
        return self.call(
            script,
            [{**step, "step": name} for name in names],
            [["T", "csc", "AzimuthMove #7", text] for text in names.values()],
        )

    def test_what_is_tracking(self) -> Deferred[None]:
        """A track command that goes well is known by its class, its code's name, or its Ack's id."""
        script = """({ names }, entries) => {
            const known = new names.Names();
            entries.forEach((entry) => known.note(entry));
            return entries.map((entry) => known.isTracking(entry));
        }"""
        track = {"type": "step", "command": "AzimuthAxisTrack", "peer": "csc", "key": 70, "sequence_id": 7}
        move = {**track, "command": "AzimuthAxisMove", "key": 80, "sequence_id": 8}
        ack = {"type": "message", "kind": "ACK"}
        cases: list[tuple[dict[str, Any], bool]] = [
            ({**track, "step": "received"}, True),
            ({**track, "step": "ack"}, True),
            ({**track, "step": "noack"}, False),
            ({**move, "step": "ack"}, False),
            ({"type": "message", "kind": "AZIMUTH_AXIS_TRACK"}, True),
            ({"type": "message", "kind": "AZIMUTH_AXIS_ENABLE_TRACKING"}, False),
            ({"type": "message", "kind": "TOP_END_CHILLER_TRACK_AMBIENT"}, False),
            ({**ack, "peer": "controller", "sequence_id": 70}, True),
            ({**ack, "peer": "observers", "sequence_id": 70}, True),
            ({**ack, "peer": "csc", "sequence_id": 7}, True),
            ({**ack, "peer": "controller", "sequence_id": 80}, False),
            ({**ack, "peer": "hhd", "sequence_id": 7}, False),
            ({**ack, "kind": "NOACK", "peer": "controller", "sequence_id": 70}, False),
            ({"type": "change", "kind": "link_up"}, False),
            ({**track, "command": "AzimuthTrackTarget", "step": "ack"}, True),
            ({"type": "message", "kind": "BOTH_AXES_TRACK_TARGET"}, True),
            ({**ack, "kind": "CMD_ACKNOWLEDGED", "peer": "csc", "sequence_id": 7}, True),
        ]
        return self.call(script, [given for given, _ in cases], [wanted for _, wanted in cases])
