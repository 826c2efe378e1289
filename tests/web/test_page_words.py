"""The words of the page: its cells, its notice and its facts, by functions with made-up data."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.support.browsers import browser, missing
from tests.support.pages_shown import NOW, ago, alarm, axis, limit, said, serve, state, summary

VIEWS = """async ([now, cases]) => {
    const load = (name) => import(`./static/${name}.js`);
    const names = ["cells", "notices", "axis_facts", "devices", "known", "levels", "sign", "figures", "axes",
                   "graphs", "move", "slews", "asked", "connected", "bar", "night", "alarms", "words"];
    const its = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await load(name)])));
    const text = (part) => typeof part === "string" ? part
        : part.b ?? part.wide ?? part.text ?? (part.arrow ? "→ " : "");
    const plain = (parts) => parts.map(text).join("");
    const call = SCRIPT;
    const live = { is: true, since: null, why: "", events: "" };
    const common = { live, at: null, answer: null, refusals: [], counted: null, asked: {}, lastWord: null,
                     clock: 1e6, now: now * 1000, silent: 0, values: {} };
    return cases.map((view) => call(its, plain, { ...common, ...view }));
}"""

LOST = {"connected": False, "since": ago(41), "command_connection": False, "reply_connection": False}
SLEWING = {
    "motion": {"word": "Slewing", "since": ago(3), "seconds": 4.2},
    "axes": {"azimuth": {"demand": 130.0, "to_go": 23.344, "error_sky": None, "rms": None}},
}
FAULT = {"motion": {"word": "Fault", "detail": "both axes stand still"}}


def near(seconds: float) -> list[dict[str, Any]]:
    """The limits of a mount whose azimuth reaches its lower end after so long."""
    return [limit("azimuth", "-", "unwrap", -270.0, 0.26, seconds)]


def old(**more: Any) -> dict[str, Any]:
    """The state of a tma2020 mount."""
    place = {"in_position": True, "stale": False, "time": ago(38), "telemetry": None}
    return state(
        dialect="tma2020",
        telemetry=None,
        axes={"azimuth": place, "elevation": place},
        devices={"safety_system": {"causes": None}},
        **more,
    ) | {"devices": {}}


class WordsCase(TestCase):
    """Functions of the page's modules."""

    timeout = 60
    skip = missing() or None

    def table(self, script: str, *rows: tuple[dict[str, Any], Any]) -> Deferred[None]:
        """Call a function with each view; compare what it gives.

        :param script: a function of the modules, of `plain` (text in parts as text), and of a view.
        """

        def work(page: Any) -> None:
            serve(page)
            found = page.evaluate(VIEWS.replace("SCRIPT", script), [NOW, [view for view, _ in rows]])
            for (view, wanted), got in zip(rows, found, strict=True):
                assert got == wanted, (got, wanted, view)

        return browser().run(work)


class TestCells(WordsCase):
    """The six cells."""

    def cell(self, name: str, *rows: tuple[dict[str, Any], str]) -> Deferred[None]:
        """Compare a cell as "label|figure|second line|mood"; a stale one ends with "|stale"."""
        script = f"""(its, plain, view) => {{
            const {{ name, figure, sub, mood, stale }} = its.cells.cells(view).{name};
            const number = typeof figure === "string" ? figure : its.figures.degrees(figure.number);
            return [name, number, plain(sub), mood, ...(stale ? ["stale"] : [])].join("|");
        }}"""
        return self.table(script, *rows)

    def test_safety(self) -> Deferred[None]:
        """Alarms, limits, interlocks and warnings, the worst first; it is never called safe."""
        locks = {"safety_system": {"causes": said(["Azimuth overspeed"])}}
        hot = [alarm(831, "Oil supply: cold", latched=False)]
        return self.cell(
            "safety",
            ({"state": state(), "summary": summary()}, "Safety|No alarms|no interlock, no warning|"),
            ({"state": old(), "summary": None}, "Safety|No alarms|interlocks are not told|"),
            (
                {"state": state(errors=[alarm(120, "Azimuth: x")], warnings=hot), "summary": summary()},
                "Safety|1 alarm|latched \u00b7 1 warning|alarm",
            ),
            (
                {"state": state(), "summary": summary(limits=near(123))},
                "Safety|1 limit near|no alarm \u00b7 no warning|alarm",
            ),
            (
                {"state": state(devices=locks), "summary": summary()},
                "Safety|1 interlock|Azimuth overspeed|caution",
            ),
            (
                {"state": state(), "summary": summary(limits=near(0))},
                "Safety|At a limit|no alarm \u00b7 no warning|alarm",
            ),
            (
                {"state": state(), "summary": summary(limits=near(1124))},
                "Safety|1 limit soon|no alarm, no interlock|caution",
            ),
            (
                {"state": state(warnings=hot), "summary": summary()},
                "Safety|1 warning|no alarm, no interlock|caution",
            ),
            (
                {"state": state(controller=LOST), "summary": summary()},
                "Safety|Not known|no alarm at 02:13:06|caution",
            ),
            (
                {"state": state(), "summary": summary(), "live": {"is": False, "since": (NOW - 41) * 1000}},
                "Safety|Not known|no alarm at 02:13:06|caution",
            ),
            (
                {"state": state(), "summary": summary(), "at": NOW * 1000},
                "Safety, then|No alarms|no interlock, no warning|",
            ),
            ({"state": None, "summary": None}, "Safety|unknown||"),
        )

    def test_motion(self) -> Deferred[None]:
        """The daemon's word, with for how long or until when; a stale one says so."""
        stopped = summary(motion={"word": "Stopped", "since": ago(180)})
        out = {"in_position": False, "stale": False, "time": ago(4), "telemetry": None}
        moving = old()
        moving["axes"]["elevation"] = out
        return self.cell(
            "motion",
            ({"state": state(), "summary": summary()}, "Motion|Tracking|on target for 42 s|"),
            ({"state": state(), "summary": summary(**SLEWING)}, "Motion|Slewing|on target in 5 s|"),
            ({"state": state(), "summary": stopped}, "Motion|Stopped|for 3 min 00 s|"),
            ({"state": state(), "summary": summary(**FAULT)}, "Motion|Fault|both axes stand still|alarm"),
            (
                {"state": state(controller=LOST), "summary": summary()},
                "Motion, then|Tracking|41 s ago||stale",
            ),
            ({"state": old(), "summary": None}, "Motion|In position|both axes, for 38 s|"),
            ({"state": moving, "summary": None}, "Motion|Not in position|elevation|"),
            ({"state": state(), "summary": None}, "Motion|not told||"),
        )

    def test_axis(self) -> Deferred[None]:
        """The newest position, with the target and how well it is followed; else how old it is, or "
        "why not."""
        settling = {"axes": {"azimuth": {"rms": None, "error_sky": 0.021}}}
        silent = {"axes": {"azimuth": {"stale": True, "age": 41.0}}}
        broken = {"azimuth": {"power": said("FAULT")}}
        asked = {"azimuth": {"value": 128.4, "time": ago(42), "by": "csc", "how": "track"}}
        return self.cell(
            "azimuth",
            (
                {"state": state(), "summary": summary(), "values": {"azimuth.actualPosition": 128.4851}},
                "Azimuth|128.485\u00b0|\u2192 128.484\u00b0 \u00b7 RMS 0.005\u2033|",
            ),
            (
                {"state": state(), "summary": summary(**SLEWING)},
                "Azimuth|128.484\u00b0|\u2192 151.828\u00b0 \u00b7 23.3\u00b0 to go|",
            ),
            (
                {"state": state(), "summary": summary(**settling)},
                "Azimuth|128.484\u00b0|\u2192 128.484\u00b0 \u00b7 error +0.02\u2033|",
            ),
            (
                {"state": state(), "summary": summary(limits=near(123))},
                "Azimuth|128.484\u00b0|\u2192 128.484\u00b0 \u00b7 RMS 0.005\u2033|alarm",
            ),
            (
                {"state": state(devices=broken), "summary": summary(**FAULT)},
                "Azimuth: fault|128.484\u00b0|no target|fault",
            ),
            ({"state": state(), "summary": summary(**silent)}, "Azimuth|128.484\u00b0|41 s old||stale"),
            (
                {"state": state(), "summary": summary(), "live": {"is": False, "since": (NOW - 41) * 1000}},
                "Azimuth|128.484\u00b0|at 02:13:06||stale",
            ),
            (
                {"state": state(), "summary": summary(), "silent": 9000},
                "Azimuth|128.484\u00b0|9 s old||stale",
            ),
            (
                {"state": old(), "summary": None, "asked": asked},
                "Azimuth|not told|asked: 128.400\u00b0, 42 s ago|",
            ),
            ({"state": old(), "summary": None}, "Azimuth|not told||"),
        )

    def test_command(self) -> Deferred[None]:
        """The source that has command, or You; with its name and since when, or the name of one that asks."""
        mine = {"holder": "web/anna"}
        asks = {"requests": [{"by": "web/ben", "time": ago(3)}]}
        free = {"holder": None, "source": None, "since": None}
        return self.cell(
            "command",
            ({"state": state(), "summary": None}, "In command|CSC|scheduler \u00b7 2 h 10 min|"),
            (
                {"state": state(lease=mine, you={"has_command": True}), "summary": None},
                "In command|You|web/anna \u00b7 2 h 10 min|",
            ),
            ({"state": state(lease=asks), "summary": None}, "In command|CSC|asks: web/ben|"),
            ({"state": state(lease=free), "summary": None}, "In command|Nobody|command is free|"),
            (
                {"state": state(lease={"holder_gone": True}), "summary": None},
                "In command|CSC|scheduler: its connection is lost|caution",
            ),
        )

    def test_command_then(self) -> Deferred[None]:
        """In playback, the holder of then by name; else why it is not known. It is never that of now."""
        script = """(its, plain, { changes, ...view }) => {
            const told = changes.map(([kind, peer, seconds, row], index) => ({ type: "change", kind, peer,
                id: `1.${row ?? index}`, time: new Date(view.at - seconds * 1000).toISOString() }));
            const known = { entries: [], changes: told, since: view.since ?? null };
            const state = its.night.pastState(view.state, known, view.at / 1000);
            const { name, figure, sub } = its.cells.cells({ ...view, state }).command;
            return [name, figure, plain(sub), its.cells.announcement({ ...view, state })].join("|");
        }"""
        base: dict[str, Any] = {
            "state": state(you={"has_command": True}),
            "summary": summary(),
            "at": NOW * 1000,
        }
        granted = ["lease_granted", "scheduler", 7800]
        told = "No alarms, Tracking"
        return self.table(
            script,
            (
                {**base, "changes": [granted, ["lease_granted", "web/ben", -10]]},
                f"In command, then|scheduler|2 h 10 min|{told}, scheduler has command.",
            ),
            (
                {**base, "changes": [granted, ["lease_released", "scheduler", 60]]},
                f"In command, then|Nobody|command is free|{told}, nobody has command.",
            ),
            (  # one moment, in the order of their rows
                {
                    **base,
                    "changes": [["lease_granted", "web/ben", 60, 8], ["lease_released", "scheduler", 60, 7]],
                },
                f"In command, then|web/ben|1 min 00 s|{told}, web/ben has command.",
            ),
            (
                {**base, "changes": [granted, ["started", "", 60]]},
                f"In command, then|Nobody|command is free|{told}, nobody has command.",
            ),
            (
                {**base, "changes": [granted, ["stopped", "", 60]]},
                f"In command, then|not recorded|the daemon was stopped|{told}.",
            ),
            (
                {**base, "changes": [granted, ["gap", "", 60]]},
                f"In command, then|not recorded|the journal has a gap|{told}.",
            ),
            (
                {**base, "changes": [["lease_granted", "web/ben", -10]]},
                f"In command, then|not recorded|no journal of then|{told}.",
            ),
        )

    def test_mount(self) -> Deferred[None]:
        """How fast it answers and how old its telemetry is; or that it refuses, is silent, or has no link."""
        answer = {"at": 1e6 - 1000, "ms": 4, "step": "ack"}
        refusals = [
            {"at": 1e6 - wait, "command": "x", "commander": "csc", "explanation": "off"}
            for wait in (4000, 3000, 2000, 1000, 10)
        ]
        return self.cell(
            "mount",
            (
                {"state": state(), "summary": summary(), "answer": answer},
                "Mount answers|in 4 ms|telemetry 0.05 s|",
            ),
            (
                {"state": state(), "summary": summary(silent=True), "answer": answer},
                "Mount answers|in 4 ms|telemetry is silent|",
            ),
            (
                {"state": state(), "summary": summary(), "refusals": refusals},
                "Mount refuses|1/s|commands, see below|caution",
            ),
            ({"state": state(controller=LOST), "summary": summary()}, "Mount|No link|for 41 s|alarm"),
            ({"state": old(), "summary": None, "answer": answer}, "Mount answers|in 4 ms|2 connections up|"),
        )

    def test_announced(self) -> Deferred[None]:
        """One sentence tells safety, motion and the holder; a clock is not in it."""
        script = "(its, plain, view) => its.cells.announcement(view)"
        asks = {"requests": [{"by": "web/ben", "time": ago(3)}]}
        return self.table(
            script,
            ({"state": state(), "summary": summary()}, "No alarms, Tracking, scheduler has command."),
            (
                {"state": state(you={"has_command": True}, lease=asks), "summary": summary(**FAULT)},
                "No alarms, Fault, you have command, web/ben asks for it.",
            ),
            (
                {"state": state(), "summary": summary(), "live": {"is": False, "since": None}},
                "Not live: what is shown may have changed.",
            ),
        )


class TestNotice(WordsCase):
    """The notice."""

    def first(self, *rows: tuple[dict[str, Any], str]) -> Deferred[None]:
        """Compare the first notice as "id|level|title|body|button|what is left"."""
        script = """(its, plain, view) => {
            const all = its.notices.notices(view);
            const { id, level, title, body, act } = all[0];
            const button = act ? `${act.text}${act.off ? " (off)" : ""}` : "";
            return [id, level, title, body.map(plain).join(" "), button, its.notices.others(all)].join("|");
        }"""
        return self.table(script, *rows)

    def test_calm(self) -> Deferred[None]:
        """There is nothing to do, and the next limit is named."""
        text = "Next limit: camera cable wrap +90\u00b0 in 7 h 20 min, at 09:33"
        return self.first(({"state": state(), "summary": summary()}, f"calm|calm|Nothing to do|{text}||"))

    def test_alarm(self) -> Deferred[None]:
        """An alarm has the vendor's advice, and a reset that is off while it is active."""
        deviation = alarm(120, "Azimuth: Critical AZCW Deviation Limit", remedy="bring it to the centre.")
        over = alarm(120, "Azimuth: Critical AZCW Deviation Limit", active=False)
        cold = [alarm(831, "Oil supply: cold", latched=False, subsystem="OIL_SUPPLY_SYSTEM")]
        title = "Azimuth 120: Critical AZCW Deviation Limit"
        mine = {"has_command": True}
        return self.first(
            (
                {"state": state(errors=[deviation], warnings=cold), "summary": summary()},
                f"alarm|alarm|{title}|Active and latched for 49 s. Vendor\u2019s advice: bring it to "
                f"the centre.|"
                "Reset the azimuth alarm (off)|1 warning",
            ),
            (
                {"state": state(errors=[over], you=mine), "summary": summary()},
                f"alarm|alarm|{title}|No longer present and latched for 49 s. The vendor gives no remedy.|"
                "Reset the azimuth alarm|",
            ),
            (
                {"state": state(errors=[over, deviation]), "summary": summary()},
                f"alarm|alarm|{title}|Active and latched for 49 s. Vendor\u2019s advice: bring it to "
                f"the centre.|"
                "Reset the azimuth alarm (off)|1 more alarm",
            ),
        )

    def test_others(self) -> Deferred[None]:
        """What the notice does not show is counted by its kind: each has a name."""
        two = [alarm(120, "Azimuth: x"), alarm(121, "Azimuth: y")]
        locks = {"safety_system": {"causes": said(["Azimuth overspeed", "bit 36"])}}
        one = {"safety_system": {"causes": said(["Azimuth overspeed"])}}
        script = """(its, plain, view) => its.notices.others(its.notices.notices(view))"""
        refused = [
            {"at": 1e6 - wait, "command": "x", "commander": "csc", "explanation": "off"}
            for wait in (4000, 3000, 2000, 1000, 10)
        ]
        return self.table(
            script,
            (
                {"state": state(errors=two, devices=one), "summary": summary()},
                "1 more alarm \u00b7 1 interlock",
            ),
            (
                {"state": state(errors=two, devices=locks), "summary": summary(limits=near(123))},
                "1 more alarm \u00b7 1 limit \u00b7 2 interlocks",
            ),
            (
                {"state": state(errors=two[:1], warnings=two), "summary": summary(silent=True)},
                "old data \u00b7 2 warnings",
            ),
            (
                {
                    "state": state(controller=LOST, errors=two),
                    "summary": summary(),
                    "live": {"is": True, "events": "no channel"},
                },
                "2 alarms \u00b7 no events",
            ),
            (
                {"state": state(errors=two[:1]), "summary": summary(), "refusals": refused},
                "refused commands",
            ),
        )

    def test_at_limit(self) -> Deferred[None]:
        """At a limit there is no time before it: an axis in fault is reset first, another one moves away."""
        there = {"azimuth": axis(-270.0, -270, 270, 0, 0)}
        low = {"elevation": axis(15.1, 15.1, 86.4, 0, 0)}
        fault = {"azimuth": {"power": said("FAULT")}}
        is_at = "limit|alarm|Azimuth is at its cable wrap limit \u2212270\u00b0"
        same = "the same place on the sky is at azimuth +90.00\u00b0: 360\u00b0 the other way."
        down = [limit("elevation", "-", "software", 15.1, 0.0, 0.0)]
        return self.first(
            (
                {"state": state(), "summary": summary(limits=near(0), axes=there, **FAULT)},
                f"{is_at}, in fault|What to do: reset the fault; then unwrap: {same}|"
                "Prepare the unwrap \u2026|",
            ),
            (
                {"state": state(devices=fault), "summary": summary(limits=near(0), axes=there)},
                f"{is_at}, in fault|What to do: reset the fault; then unwrap: {same}|"
                "Prepare the unwrap \u2026|",
            ),
            (
                {"state": state(), "summary": summary(limits=near(0), axes=there)},
                f"{is_at}|What to do: unwrap: {same}|Prepare the unwrap \u2026|",
            ),
            (
                {"state": state(), "summary": summary(limits=down, axes=low, **FAULT)},
                "limit|alarm|Elevation is at its limit 15.1\u00b0, in fault|"
                "What to do: reset the fault; then move away from the limit.||",
            ),
            (
                {"state": state(), "summary": summary(limits=down, axes=low)},
                "limit|alarm|Elevation is at its limit 15.1\u00b0|What to do: move away from the limit.||",
            ),
        )

    def test_limit(self) -> Deferred[None]:
        """A limit that comes near says when, and where the same place on the sky is; it can be prepared."""
        wound = {"azimuth": axis(-269.741, -270, 270, 0, 0)}
        reached = "Azimuth reaches its cable wrap limit \u2212270\u00b0 in"
        return self.first(
            (
                {"state": state(), "summary": summary(limits=near(123), axes=wound)},
                f"limit|alarm|{reached} 2 min 03 s, at 02:15:50|What to do: unwrap before then. The "
                f"same place on "
                "the sky is at azimuth +90.26\u00b0: 360\u00b0 the other way.|Prepare the unwrap \u2026|",
            ),
            (
                {"state": state(), "summary": summary(limits=near(1124), axes=wound)},
                f"limit|caution|{reached} 18 min 44 s, at 02:32|What to do: tell the scheduler, or "
                f"plan an unwrap: "
                "the same place on the sky is at azimuth +90.26\u00b0: 360\u00b0 the other way.||",
            ),
            (
                {
                    "state": state(),
                    "summary": summary(limits=[limit("elevation", "-", "sets", 15.1, 3.0, 250.0)]),
                },
                "limit|alarm|The target sets in 4 min 10 s, at 02:17:57|What to do: plan another target.||",
            ),
        )

    def test_lost(self) -> Deferred[None]:
        """A page without the daemon, and a daemon without the mount, say what does not work and "
        "what to do."""
        danger = "What to do: in danger press an emergency stop button, or use the handheld (HHD)."
        silent = {"connected": False, "silent": True}
        link = "The link to the mount is down since 02:13:06 UTC."
        nothing = (
            "10.1.2.3:30005 is not connected; the daemon goes on trying. Nothing can be sent, STOP neither."
        )
        return self.first(
            (
                {
                    "state": state(),
                    "summary": summary(),
                    "live": {"is": False, "since": (NOW - 41) * 1000, "why": "the daemon can't be reached"},
                },
                "not-live|alarm|NOT LIVE since 02:13:06 UTC: the daemon can't be reached|This page "
                "does not hear "
                f"from the daemon. What is shown may have changed; STOP may not reach the mount. "
                f"{danger}|Try now|",
            ),
            (
                {"state": state(controller=LOST), "summary": summary(**silent)},
                f"link-down|alarm|{link} Every value on this page is from then|{nothing} {danger}||",
            ),
            (
                {"state": state(controller=LOST), "summary": summary()},
                f"link-down|alarm|{link} Telemetry still comes|{nothing} {danger}||",
            ),
            (
                {"state": state(), "summary": summary(silent=True)},
                "telemetry|caution|Telemetry is silent: positions are old|Commands and STOP are not "
                "affected. ||",
            ),
        )

    def test_other(self) -> Deferred[None]:
        """Interlocks come by name, refusals in full, and the old protocol says what it lacks, "
        "behind all else."""
        locks = {"safety_system": {"causes": said(["Azimuth overspeed", "bit 36"])}}
        hot = [alarm(901, "900. Covers/Motor", description="hot", latched=False, subsystem=None)]
        return self.first(
            (
                {"state": state(devices=locks), "summary": summary()},
                "interlock|caution|Interlock: Azimuth overspeed|Also: bit 36. What to do: remove the "
                "cause; then "
                "reset the safety system.||",
            ),
            (
                {"state": old(), "summary": None},
                "old|info|This mount speaks the 2020 protocol, which has no positions|Shown is what "
                "it does say: in "
                "position or not, warnings and errors, its answers. Targets are those of the "
                "commands that passed "
                "here.||",
            ),
            (
                {"state": old(warnings=hot), "summary": None},
                "warning|caution|900. Covers/Motor 901: hot|Active for 49 s. The vendor gives no remedy.||",
            ),
            (
                {"state": state(), "summary": summary(), "live": {"is": True, "events": "no channel"}},
                "no-events|caution|NO EVENTS in this tab: it shows less|no channel. The state is "
                "read every 2 s; no "
                "messages are added below.||",
            ),
        )


class TestFacts(WordsCase):
    """Facts, devices and lists."""

    def test_five_facts(self) -> Deferred[None]:
        """Each axis has five facts, always in the same places."""
        script = """(its, plain, view) => ["azimuth", "elevation"].map((axis) =>
            its.axis_facts.axisFacts(view, axis).map(({ name, text, parts, small, level, stale }) =>
                [`${name}:`, parts ? plain(parts) : text, small, level && `(${level})`, stale && "stale"]
                    .filter(Boolean).join(" ")))"""
        tracking = [
            [
                "Error on the sky: \u22120.003\u2033",
                "Rate: 0.0020 \u00b0/s",
                "To \u2212270\u00b0 \u00b7 +270\u00b0: 398.5\u00b0 \u00b7 141.5\u00b0",
                "Cable wrap: follows 2 of 2 drives",
                "Mirror covers: open 4 of 4",
            ],
            [
                "Error on the sky: +0.001\u2033",
                "Rate: 0.0028 \u00b0/s",
                "To 15.1\u00b0 \u00b7 86.4\u00b0: 46.2\u00b0 \u00b7 25.1\u00b0",
                "Airmass: 1.14",
                "Locking pins: unlocked 2 of 2",
            ],
        ]
        names = [[fact.partition(":")[0] for fact in facts] for facts in tracking]
        nothing = [
            [
                f"{name}: not told"
                for name in ("Error", "Rate", "To both limits", "Cable wrap", "Mirror covers")
            ],
            [f"{name}: not told" for name in ("Error", "Rate", "To both limits", "Airmass", "Locking pins")],
        ]
        assert [len(facts) for facts in names] == [5, 5]
        return self.table(
            script,
            ({"state": state(), "summary": summary()}, tracking),
            (
                {"state": state() | {"devices": {}}, "summary": None},
                [
                    [f"{fact} stale" if place < 3 else fact for place, fact in enumerate(facts)]
                    for facts in nothing
                ],
            ),
        )

    def test_devices(self) -> Deferred[None]:
        """Each device is told in a line, with interlocks by name; a fault and a stale value are marked."""
        script = """(its, plain, view) => its.devices.deviceRows(view)
            .map(({ name, text, level, stale }) => [name, text, level, stale])"""
        values = {
            "mainPowerSupply.powerSupplyVoltage": 401.2,
            "oilSupplySystem.oilTemperatureFacilities5001": 16.21,
            "topEndChiller.actualTemperatureAmbient": 8.1,
            "mainCabinetThermal.mainCabinetInternalTemperature1": 19.8,
            "mainCabinetThermal.setpointTemperature": 20.0,
        }
        well = [
            ["Interlocks", "none", "", False],
            ["Main power supply", "on, 401 V", "", False],
            ["Azimuth", "on, homed, tracking", "", False],
            ["Elevation", "on, homed, tracking", "", False],
            ["Azimuth cable wrap", "follows, 2 of 2 drives", "", False],
            ["Camera cable wrap", "follows, 17.6\u00b0", "", False],
            ["Mirror covers", "4 of 4 open", "", False],
            ["Cover locks", "4 of 4 locked", "", False],
            ["Locking pins", "2 of 2 unlocked", "", False],
            ["Platforms", "2 of 2 retracted", "", False],
            ["Oil supply", "on, 16.2 \u00b0C", "", False],
            ["Top-end chiller", "8.1 \u00b0C of 8.0", "", False],
            ["Main cabinet", "19.8 \u00b0C of 20.0", "", False],
        ]
        ill = {
            "safety_system": {"causes": said(["Azimuth overspeed", "bit 36"])},
            "azimuth": {
                "power": said("FAULT"),
                "homed": said(False),
                "drives": said(["ON", "OFF"]),
                "limits": said([["L1_MIN"]]),
            },
            "mirror_covers": {
                "parts_motion": said(["DEPLOYED", "DEPLOYED", "DEPLOYING", "LOST"], stale=True)
            },
        }
        return self.table(
            script,
            ({"state": state(), "summary": summary(), "values": values}, well),
            (
                {"state": state() | {"devices": ill}, "summary": None},
                [
                    ["Interlocks", "Azimuth overspeed; bit 36", "caution", False],
                    ["Azimuth", "FAULT, not homed, 1 of 2 drives, limit L1_MIN", "alarm", False],
                    ["Mirror covers", "2 of 4 closed, 1 of 4 moving", "caution", True],
                ],
            ),
        )

    def test_old_protocol(self) -> Deferred[None]:
        """A mount of the old protocol: in position or not, what was asked for last, the state of the link."""
        script = """(its, plain, view) => [
            its.known.knownRows(view).map(({ is, since, asked, by }) => [is, since, asked, by].join("|")),
            its.known.stateRows(view).map(({ name, text }) => `${name}: ${text}`),
        ]"""
        asked = {"azimuth": {"value": 128.4, "time": ago(42), "by": "csc", "how": "track"}}
        wanted = [
            ["\u2713 yes|02:13:09|128.400\u00b0, track|csc", "\u2713 yes|02:13:09||"],
            [
                "Protocol: tma2020",
                "State: Enable",
                "Said: 19:52:11, 6:21:36 h ago",
                "Link: commands up, replies up",
                "Epoch: 3, up for 6 h 22 min",
                "Errors: none",
                "Warnings: none",
            ],
        ]

        def clocked(page: Any) -> None:
            serve(page)
            page.evaluate(
                """now => import('./static/clock.js').then((its) =>
                    its.setDaemonTime(new Date(now * 1000).toISOString()))""",
                NOW,
            )
            view = {"state": old(), "summary": None, "asked": asked}
            (found,) = page.evaluate(VIEWS.replace("SCRIPT", script), [NOW, [view]])
            assert found == wanted, found

        return browser().run(clocked)

    def test_targets_in_commands(self) -> Deferred[None]:
        """What a commander asks of an axis is found in its commands, in both protocols."""
        script = "(its, plain, entry) => its.asked.targetsIn(entry)"
        base = {"type": "message", "direction": "from", "peer": "csc", "is_command": True, "time": "T"}
        both = {"azimuth": 10, "elevation": 30, "azimuth_velocity": 0.1}

        def told(how: str, **values: float) -> dict[str, Any]:
            return {
                axis: {"value": value, "time": "T", "by": "csc", "how": how} for axis, value in values.items()
            }

        return self.table(
            script,
            ({**base, "kind": "AZIMUTH_AXIS_MOVE", "fields": {"position": 2}}, told("move", azimuth=2)),
            (
                {**base, "kind": "ELEVATION_TRACK_TARGET", "fields": {"position": 2}},
                told("track", elevation=2),
            ),
            (
                {**base, "kind": "BOTH_AXES_TRACK_TARGET", "fields": both},
                told("track", azimuth=10, elevation=30),
            ),
            ({**base, "kind": "AZIMUTH_AXIS_STOP", "fields": {}}, None),
            ({**base, "kind": "AZIMUTH_AXIS_MOVE", "fields": {"position": 2}, "direction": "to"}, None),
            ({"type": "step", "command": "AzimuthAxisMove"}, None),
        )

    def test_moment_in_the_address(self) -> Deferred[None]:
        """A link to a moment may hold any text: only a time from 1970 to 9999 is a moment."""
        return self.table(
            "({ figures }, plain, { hash }) => figures.momentIn(hash, 'play')",
            ({"hash": "#play=2026-11-25T02:41:10Z"}, 1_795_574_470),
            ({"hash": "#t=2026-11-25T02:41:10Z"}, None),
            ({"hash": "#play=1969-12-31T23:59:59Z"}, None),
            ({"hash": "#play=-271821-04-20T00:00:00Z"}, None),
            ({"hash": "#play=%2B275760-09-13T00:00:00Z"}, None),
            ({"hash": "#play=<img src=x onerror=alert(1)>"}, None),
        )

    def test_title(self) -> Deferred[None]:
        """The title and the icon of the tab tell the worst: not live, no link, alarms, a limit."""
        script = """(its, plain, view) => Object.values(its.sign.told(view)).join("|")"""
        cold = [alarm(831, "Oil supply: cold", latched=False)]
        two = [alarm(120, "x"), alarm(121, "y"), alarm(122, "z", active=False)]
        return self.table(
            script,
            ({"state": state(), "summary": summary()}, "Mount|calm"),
            ({"state": state(), "summary": None, "live": {"is": False}}, "NOT LIVE: Mount|lost"),
            ({"state": state(controller=LOST), "summary": summary()}, "(no link) Mount|lost"),
            ({"state": state(errors=two), "summary": summary()}, "(2 alarms) Mount|alarm"),
            ({"state": state(), "summary": summary(limits=near(123))}, "(limit) Mount|alarm"),
            ({"state": state(), "summary": summary(limits=near(1124))}, "Mount|caution"),
            ({"state": state(warnings=cold), "summary": summary()}, "Mount|caution"),
        )

    def test_events_of_another_shape(self) -> Deferred[None]:
        """A field of another type than expected is written as it is, and breaks no part of the page."""

        def event(kind: str, **fields: Any) -> dict[str, Any]:
            return {"kind": kind, "text": "", "fields": fields}

        script = """(its, plain, view) => its.words.word(view.entry, new Map())"""
        rows = {
            "5 power on": event("POWER_STATE", system=5, power_state="ON"),
            "1,2 in position": event("IN_POSITION", axis=[1, 2], in_position=True),
            "azimuth in position": event("IN_POSITION", axis="AZIMUTH", in_position=True),
            "elevation not in position": event("IN_POSITION", what=1, in_position=False),
            "null true": event("AXIS_MOTION_STATE", axis=None, state=True),
            "7 homed": event("HOMED", axis=7, homed=1),
            "4": event("STATE_INFO", state=4),
            "warning 3, [object Object]": event("WARNING", active=True, code=3, subsystem={}),
        }
        return self.table(script, *(({"entry": entry}, wanted) for wanted, entry in rows.items()))

    def test_slews(self) -> Deferred[None]:
        """A slew's row says its distance, its times and what failed."""
        script = """(its, plain, slew) => its.slews.slewCells(slew)"""
        slew = {
            "start": ago(42),
            "azimuth": -3.14,
            "elevation": 1.26,
            "seconds": 1.93,
            "settle": 0.9,
            "error_at_in_position": 0.01,
            "rms": 0.0071,
            "passed": True,
            "failures": [],
        }
        row = ["02:13:05", "3.1\u00b0", "1.3\u00b0", "1.9 s", "0.9 s", "0.007\u2033", "\u2713 pass"]
        return self.table(
            script,
            (slew, row),
            (
                {**slew, "passed": False, "failures": ["settle", "rms"]},
                [*row[:6], "\u2717 fail: settle, rms"],
            ),
            (
                {**slew, "passed": False, "failures": ["interrupted"], "settle": None, "rms": None},
                [*row[:4], "\u2013", "\u2013", "\u2717 interrupted"],
            ),
        )

    def test_check(self) -> Deferred[None]:
        """What a check found: the verdict, its reasons, what is unknown, and the way to each target."""
        script = "(its, plain, found) => its.move.checked(found)"
        found: dict[str, Any] = {
            "verdict": "nothing_known_against_it",
            "reasons": [],
            "unknown": [],
            "targets": [{"axis": "azimuth", "position": 40.0, "distance": -12.34, "seconds": 3.2}],
            "limits": [],
        }
        far = "azimuth 40.000\u00b0, 12.3\u00b0 to go in 4 s."
        unknown = [{"axis": "azimuth", "position": 40.0, "distance": None, "seconds": None}]
        return self.table(
            script,
            (found, f"Nothing known against it; {far}"),
            (
                {**found, "verdict": "would_be_refused", "reasons": ["azimuth is off"]},
                f"Would be refused; azimuth is off; {far}",
            ),
            (
                {**found, "verdict": "unknown", "unknown": ["the position of azimuth"], "targets": unknown},
                "Unknown; unknown: the position of azimuth; azimuth 40.000\u00b0.",
            ),
        )

    def test_alarms(self) -> Deferred[None]:
        """Errors, interlocks by name and warnings; what is not known is not called "None"."""
        script = """(its, plain, view) =>
            its.alarms.alarmRows(view)?.map(({ kind, alarm }) => `${kind} ${alarm.what}`) ?? null"""
        locks = {"safety_system": {"causes": said(["Azimuth overspeed", "bit 36"])}}
        hot = [alarm(901, "Covers: hot", latched=False)]
        return self.table(
            script,
            ({"state": state()}, []),
            (
                {"state": state(errors=[alarm(120, "Azimuth: x")], devices=locks, warnings=hot)},
                [
                    "ERROR Azimuth: x",
                    "INTERLOCK Azimuth overspeed",
                    "INTERLOCK bit 36",
                    "WARNING Covers: hot",
                ],
            ),
            ({"state": state(alarms_unknown=True)}, None),
        )

    def test_level_of_the_error(self) -> Deferred[None]:
        """An RMS beyond the site's limit is marked, unless it is stale or the mount does not track."""
        script = '(its, plain, view) => its.graphs.errorWords(view, "azimuth").slice(1)'
        poor: dict[str, Any] = {"axes": {"azimuth": {"rms": 0.039}}}
        wide = {"rules": {"rms_limit": 0.05}}
        return self.table(
            script,
            ({"state": state(), "summary": summary()}, [False, ""]),
            ({"state": state(), "summary": summary(**poor)}, [False, "caution"]),
            ({"state": state(), "summary": summary(**poor, **wide)}, [False, ""]),
            ({"state": state(), "summary": summary(**{**poor, **SLEWING})}, [False, ""]),
            (
                {"state": state(), "summary": summary(**poor), "live": {"is": False, "since": None}},
                [True, ""],
            ),
        )

    def test_moves(self) -> Deferred[None]:
        """Why nothing can be moved, where a step leads, and what the plot of the error says."""
        script = """(its, plain, view) => [
            its.move.whyOff(view),
            its.move.jogTarget(its.levels.axisOf(view, "azimuth"), 0.1),
            its.graphs.errorWords(view, "azimuth")[0],
        ]"""
        mine = {"has_command": True}
        quick = {"axes": {"azimuth": {"demand": 129.0}}}
        follows = "RMS 0.005 of 0.010 \u00b7 greatest 0.012"
        return self.table(
            script,
            ({"state": state(), "summary": summary()}, ["Off until you have command.", 128.584, follows]),
            ({"state": state(you=mine), "summary": summary(**quick)}, ["", 129.1, follows]),
            (
                {"state": state(you=mine, controller=LOST), "summary": summary(**SLEWING)},
                ["Off: no link to the mount.", 130.1, "slewing"],
            ),
            (
                {"state": state(you=mine), "summary": summary(**FAULT), "live": {"is": False, "since": None}},
                ["Off: the page is not live.", None, "not following"],
            ),
            (
                {"state": state(you={"roles": ["observe"]}), "summary": summary(), "at": NOW * 1000},
                ["Off: this is a recording.", 128.584, follows],
            ),
        )
