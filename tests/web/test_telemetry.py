"""The motion of the mount in the API: `mtmount_twisted.frontends.web.api.telemetry` and its relatives."""

from __future__ import annotations

import json
from contextlib import closing
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.dialects.tma2022.enums import AxisMotionState, SubsystemId, System
from mtmount_twisted.dialects.tma2022.replies import ErrorReply, WarningReply
from mtmount_twisted.dialects.tma2022.telemetry import Balancing
from mtmount_twisted.frontends.web.api import signal_history, telemetry
from mtmount_twisted.frontends.web.api.fair_places import PER_USER
from mtmount_twisted.frontends.web.api.history import REST_TIME, Shelf
from mtmount_twisted.frontends.web.api.signal_history import SignalHistoryRoutes
from mtmount_twisted.frontends.web.api.slews import Query, SlewRoutes, read_slews
from mtmount_twisted.frontends.web.api.telemetry import NO_RECORDER, NO_TELEMETRY, TelemetryRoutes
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.calls import Answer, Call, RequestError, Route
from mtmount_twisted.journal.reading import open_journal
from mtmount_twisted.journal.recording.files import RecordingFile, thorough
from mtmount_twisted.journal.recording.items import EVENTS
from mtmount_twisted.journal.recording.layout import NANO, Message, read_summary
from mtmount_twisted.journal.recording.recorder import RecorderOff
from mtmount_twisted.journal.times import iso
from mtmount_twisted.motion.slews import Slew
from mtmount_twisted.records import LineRecord
from tests.support.folders import scratch_path
from tests.support.journals import SessionCase
from tests.support.motion import MotionHouse
from tests.support.recordings import Writing, event, item, topic_line
from tests.support.web import ANYONE, as_read

NAME = "azimuth.actualPosition"


class RouteCase(SynchronousTestCase):
    """The routes, and a mount that moves."""

    dialect: Any = "tma2022"

    def setUp(self) -> None:
        self.house = house = MotionHouse()
        self.stamps = Stamps(house.clock, house.wall_clock)
        self.shelf = Shelf(None, house.clock, maybeDeferred, house.clock.seconds)
        self.recorder: Any = RecorderOff()
        self.make_routes()

    def make_routes(self) -> None:
        """Make the routes."""
        house = self.house
        bridge: Any = SimpleNamespace(dialect=dialect_named(self.dialect))
        has = self.dialect == "tma2022"
        parts: Any = (house.telemetry, house.signals, house.motion) if has else (None, None, None)
        self.telemetry = TelemetryRoutes(
            *(bridge, *parts, self.recorder, self.shelf, house.clock, self.stamps, house.wall_clock),
            rest=lambda seconds: None,
        )
        self.history = SignalHistoryRoutes(
            *(parts[1], self.recorder, self.shelf, house.wall_clock, lambda seconds: None)
        )
        self.slews = SlewRoutes(parts[2], self.shelf, house.wall_clock)

    def routes(self) -> dict[str, Route]:
        """All routes, by their paths."""
        areas = (self.telemetry, self.history, self.slews)
        return {route.path: route for area in areas for route in area.routes()}

    def ask(self, path: str, accepted: str = "", **query: str) -> Deferred[Answer]:
        """Request a path below ``/api/v1``."""
        if "since" in query:
            query["from"] = query.pop("since")
        call = Call(ANYONE, query=query, headers={"accept-encoding": accepted})
        answering: Any = self.routes()[f"/api/v1{path}"].respond(call)
        return Deferred.fromCoroutine(answering)

    def get(self, path: str, **query: str) -> Any:
        """The body of an answer."""
        body = self.successResultOf(self.ask(path, **query)).body
        return json.loads(body) if isinstance(body, bytes) else as_read(body)

    def faults(self, path: str, **query: str) -> dict[str, str]:
        """The faults of a request."""
        problem = self.failureResultOf(self.ask(path, **query), RequestError).value
        self.assertEqual(problem.status, 422)
        return {fault.where: fault.why for fault in problem.faults}


class TelemetryTests(RouteCase):
    """``GET /api/v1/telemetry``."""

    def test_roles(self) -> None:
        """Whoever may observe may see all of it."""
        self.assertEqual({route.role for route in self.routes().values()}, {"observe"})

    def test_quiet(self) -> None:
        """Before the mount says anything, every member is there and says so."""
        now = self.get("/telemetry")
        self.assertEqual((now["available"], now["live"], now["why"]), (True, True, ""))
        self.assertEqual((now["topics"], now["limits"], now["sky"], now["slew"]), ({}, [], None, None))
        self.assertEqual(now["motion"]["word"], "Not known")
        azimuth = now["axes"]["azimuth"]
        self.assertEqual((azimuth["position"], azimuth["stale"], azimuth["age"]), (None, True, None))
        self.assertEqual((azimuth["limit_low"], azimuth["limits_from"]), (-270.0, "settings"))

    def test_axes(self) -> None:
        """The axes are there with their ages and the time of the latest line."""
        self.house.ready(AxisMotionState.TRACKING)
        self.house.in_position(System.AZIMUTH)
        self.house.say(12.5, 60.0, demand=(13.0, None), velocity=(0.5, 0.0), wrap=3.0)
        self.house.clock.advance(0.25)
        now = self.get("/telemetry")
        azimuth = now["axes"]["azimuth"]
        wanted = {"position": 12.5, "demand": 13.0, "velocity": 0.5, "torque": 5.0, "to_go": 0.5, "age": 0.25}
        self.assertEqual({name: azimuth[name] for name in wanted}, wanted)
        self.assertEqual((azimuth["stale"], azimuth["time"]), (False, "2027-01-15T08:00:00.000Z"))
        self.assertEqual((azimuth["in_position"], azimuth["window"]), (True, 15.0))
        self.assertEqual(azimuth["on_target_since"], "2027-01-15T08:00:00.000Z")
        wrap = {"position": 3.0, "velocity": 0.0, "stale": False, "age": 0.25}
        self.assertEqual(now["axes"]["cameraCableWrap"], wrap)
        self.assertEqual(now["motion"]["since"], "2027-01-15T08:00:00.000Z")

    def test_stale(self) -> None:
        """A value is kept and marked when it is old, or when the connection is lost."""
        self.house.say(12.5)
        self.house.clock.advance(1.1)
        azimuth = self.get("/telemetry")["axes"]["azimuth"]
        self.assertEqual((azimuth["position"], azimuth["stale"]), (12.5, True))
        self.house.say(13.5)
        self.house.clock.advance(0.3)
        self.house.telemetry.connected = False
        now = self.get("/telemetry")
        self.assertEqual((now["axes"]["azimuth"]["stale"], now["connected"]), (True, False))
        self.assertTrue(now["topics"]["azimuth"]["stale"])

    def test_clock_of_the_mount(self) -> None:
        """A mount whose clock is wrong has fresh values."""
        self.house.mount_ahead = self.house.telemetry.clock_offset = -3600.0
        self.house.say(12.5)
        now = self.get("/telemetry")
        self.assertEqual((now["axes"]["azimuth"]["stale"], now["axes"]["azimuth"]["age"]), (False, 0.0))
        self.assertEqual(now["clock_offset"], -3600.0)

    def test_topics(self) -> None:
        """Each topic has its quantities by their names on the wire, an array as a list."""
        self.house.telemetry.say(Balancing(timestamp=1.0, actual_position=(1.0, 2.0, 3.0, None)))
        topic = self.get("/telemetry")["topics"]["balancing"]
        self.assertEqual(topic["values"]["actualPosition"], [1.0, 2.0, 3.0, None])
        self.assertEqual((topic["age"], topic["stale"]), (0.0, False))
        self.assertFalse([name for name in topic["values"] if "imestamp" in name])

    def test_summary(self) -> None:
        """The summary of the event stream is the same, without the topics."""
        self.house.say(12.5)
        whole = self.get("/telemetry")
        del whole["topics"]
        self.assertEqual(as_read(self.telemetry.summary()), whole)

    def test_limits(self) -> None:
        """The limits have the time at which they are reached."""
        self.house.say(260.0, 60.0, velocity=(1.0, 0.0))
        [nearest, *_] = self.get("/limits")["limits"]
        wanted = {"axis": "azimuth", "direction": "+", "limit": 270.0, "distance": 10.0, "seconds": 10.0}
        self.assertEqual({name: nearest[name] for name in wanted}, wanted)
        self.assertEqual((nearest["at"], nearest["level"]), ("2027-01-15T08:00:10.000Z", "alarm"))

    def test_recorder(self) -> None:
        """Without a recorder the answer says how to turn it on, and there is no past moment."""
        self.assertEqual(
            self.get("/telemetry")["recorder"], {"enabled": False, "oldest": None, "why": NO_RECORDER}
        )
        problem = self.failureResultOf(self.ask("/telemetry", at="1 min ago"), RequestError).value
        why = f"memory begins at 2027-01-15T08:00:00.000Z, and {NO_RECORDER}"
        self.assertEqual((problem.status, problem.title), (404, why))
        for at in ("soon", "2100-01-01"):
            self.assertEqual(set(self.faults("/telemetry", at=at)), {"query.at"})

    def test_memory(self) -> None:
        """Without a recorder, a moment of the last hour comes from memory, with its topics."""
        self.house.ready(AxisMotionState.TRACKING)
        self.house.say(12.5, 60.0, wrap=1.0)
        self.house.telemetry.say(Balancing(timestamp=1.0, actual_position=(1.0, 2.0, 3.0, None)))
        self.house.clock.advance(0.5)
        at = iso(self.house.wall_clock())
        then = self.get("/telemetry")
        self.house.clock.advance(600)
        self.house.say(20.0, 70.0, wrap=2.0)
        past = self.get("/telemetry", at=at)
        self.assertEqual((past["live"], past["at"]), (False, at))
        for member in ("motion", "axes", "limits", "slew", "topics"):
            self.assertEqual(past[member], then[member])
        later = self.get("/telemetry", at="1 min ago")
        self.assertEqual((later["axes"]["azimuth"]["age"], later["axes"]["azimuth"]["stale"]), (540.5, True))

    def test_signals(self) -> None:
        """All signals are listed with their units."""
        signals = {each["name"]: each for each in self.get("/telemetry/signals")["signals"]}
        self.assertEqual(signals[NAME], {"name": NAME, "unit": "deg", "period": 0.05})
        self.assertEqual(signals["motion.azimuth.errorSky"]["unit"], "arcsec")

    def test_unknown_parameter(self) -> None:
        """A parameter that does not exist is refused."""
        for path in ("/telemetry", "/telemetry/signals", "/limits"):
            self.assertEqual(set(self.faults(path, colour="red")), {"query.colour"})


class Mount2020Tests(RouteCase):
    """Before a mount without telemetry."""

    dialect = "tma2020"

    def test_not_available(self) -> None:
        """The answer says that there are no positions, and why."""
        now = self.get("/telemetry")
        self.assertEqual((now["available"], now["why"], now["topics"]), (False, NO_TELEMETRY, {}))
        self.assertEqual((now["connected"], now["silent"], now["age"]), (False, True, None))
        self.assertEqual(self.get("/telemetry/signals"), {"signals": []})
        self.assertEqual((self.get("/slews"), self.get("/limits")), ({"slews": []}, {"limits": []}))

    def test_history(self) -> None:
        """There is no past of a mount that sends nothing."""
        asking = self.ask("/telemetry/history", signals=NAME, since="1 min ago")
        self.assertEqual(self.failureResultOf(asking, RequestError).value.status, 503)


class HistoryTests(RouteCase):
    """``GET /api/v1/telemetry/history``."""

    def setUp(self) -> None:
        super().setUp()
        for number in range(600):
            self.house.say(9.0 if number == 333 else number / 1000, 60.0)
            self.house.clock.advance(0.1)

    def test_thinned(self) -> None:
        """A signal has its least, greatest and mean value at each point; a spike is not lost."""
        past = self.get(
            "/telemetry/history", signals=f"{NAME},azimuth.demandVelocity", since="1 min ago", points="6"
        )
        self.assertEqual((past["from"], past["to"]), ("2027-01-15T08:00:00.000Z", "2027-01-15T08:01:00.000Z"))
        self.assertEqual(past["times"], [self.house.start + 10 * number for number in range(6)])
        signal = past["signals"][NAME]
        self.assertEqual(signal["unit"], "deg")
        self.assertEqual([round(value, 2) for value in signal["greatest"]], [0.1, 0.2, 0.3, 9.0, 0.5, 0.6])
        self.assertEqual([round(value, 1) for value in signal["least"]], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
        self.assertEqual(past["signals"]["azimuth.demandVelocity"]["mean"], [None] * 6)

    def test_before_memory(self) -> None:
        """A time that memory does not have is empty."""
        past = self.get("/telemetry/history", signals=NAME, since="2h", to="90 min ago", points="2")
        self.assertEqual(past["signals"][NAME]["mean"], [None, None])

    def test_gzip(self) -> None:
        """A long answer is compressed in the thread, for a reader that takes it."""
        for accepted in ("", "gzip"):
            query = {"signals": NAME, "since": "1 min ago"}
            answer = self.successResultOf(self.ask("/telemetry/history", accepted, **query))
            self.assertEqual(answer.gzipped is not None, bool(accepted))

    def test_bounds(self) -> None:
        """Too many signals or points, or too long a time, are refused with each fault."""
        names = ",".join(list(self.house.signals.units)[:17])
        faults = self.faults("/telemetry/history", signals=names, since="32 days ago", points="4001")
        self.assertEqual(set(faults), {"query.signals", "query.to", "query.points"})
        self.assertIn("at most 16 signals, got 17", faults["query.signals"])
        self.assertIn("from 1 to 4000", faults["query.points"])
        self.assertEqual(set(self.faults("/telemetry/history")), {"query.signals", "query.from"})
        for query in (
            {"since": "now", "to": "1 min ago"},
            {"since": "999999999 days ago"},
            {"since": "1 min ago", "to": "9999-12-31T23:59:59.9"},
        ):
            self.assertIn("query.to", self.faults("/telemetry/history", signals=NAME, **query))

    def test_two_queries(self) -> None:
        """A user has at most two queries, also of moments in memory; a third is refused until one ends."""
        self.house.clock.advance(60)
        history = {"signals": NAME, "since": "1 min ago"}
        for path, query in (("/telemetry/history", history), ("/telemetry", {"at": "30 s ago"})):
            self.shelf = Shelf(None, self.house.clock, lambda work: Deferred(), self.house.clock.seconds)
            self.make_routes()
            asking = [self.ask(path, **query) for _ in range(PER_USER)]
            third = self.failureResultOf(self.ask(path, **query), RequestError).value
            self.assertEqual(third.status, 429)
            self.house.clock.advance(30)
            for each in asking:
                problem = self.failureResultOf(each, RequestError).value
                self.assertEqual(problem.status, 503)
                self.assertIn("can't be read within 10 s", problem.title)

    def test_ends(self) -> None:
        """A query that takes too long ends between two signals."""
        with self.assertRaisesRegex(OSError, "in time"):
            wanted = signal_history.Wanted((NAME,), 0.0, 1.0, 1)
            self.history._read(wanted, self.house.signals.snapshot([NAME]), None, False, lambda: True)

    def test_reading_of_an_observer_rests(self) -> None:
        """An observer's reading rests for three times as long as it works; that of another user, for 2 ms."""
        work = iter(range(1000))
        rests: list[float] = []
        history = SignalHistoryRoutes(
            *(self.house.signals, self.recorder, self.shelf, self.house.wall_clock, rests.append),
            worked=lambda: next(work) * 0.04,
        )
        wanted = signal_history.Wanted((NAME,), 0.0, 1.0, 1)
        for observes in (True, False):
            rows = self.house.signals.snapshot([NAME])
            history._read(wanted, rows, None, False, lambda: False, observes)
        self.assertEqual([round(seconds, 6) for seconds in rests], [0.12, REST_TIME])


def alarms(tick: int, time: float) -> list[Any]:
    """The events of a tick of 50 ms: an error begins with a warning, then both end, then it is reset."""
    about = {"subsystem_id": SubsystemId.AZIMUTH, "subsystem_instance": "AZ", "description": ""}
    states = {200: (True, True), 400: (False, True), 600: (False, False)}
    if tick not in states:
        return []
    active, latched = states[tick]
    error = ErrorReply(active=active, latched=latched, code=120, name="wrap", **about, timestamp=0.0)
    warning = WarningReply(active=active, code=7, name="cold", **about, timestamp=0.0)
    return [event(time, each.encode().rstrip()) for each in (error, warning)]


class RecordingTests(RouteCase):
    """The past that the recorder has, and memory has not."""

    def setUp(self) -> None:
        super().setUp()
        folder = scratch_path(self)
        writing = Writing(folder)
        self.began = writing.now
        mount = MotionHouse(start=self.began)
        lines: list[bytes] = []
        mount.telemetry.say_lines = lambda *said: lines.extend(said)  # type: ignore[method-assign]
        events: list[LineRecord] = []
        mount.bus.subscribe(lambda record, number: events.append(record), LineRecord)
        mount.ready(AxisMotionState.TRACKING)
        mount.in_position(System.AZIMUTH)
        writing.turn(*(event(self.began, record.line) for record in events))
        for tick in range(800):  # 40 s
            position = mount.clock.seconds() / 100
            mount.say(position, 60.0, demand=(position + 0.02 / 3600, 60.0), velocity=(0.01, 0.0), wrap=1.0)
            now = mount.wall_clock()
            writing.turn(item(now, *lines), *alarms(tick, now), seconds=0.05)
            lines.clear()
            mount.clock.advance(0.05)
        writing.finish()
        self.house.start = self.began + 7200.0
        self.recorder.folder, self.recorder.enabled, self.recorder.oldest = folder, True, self.began

    def test_history(self) -> None:
        """Times before those in memory come from the recordings, newer ones from memory."""
        span = {"since": iso(self.began), "to": iso(self.began + 40)}
        past = self.get("/telemetry/history", signals=NAME, points="4", **span)
        self.assertEqual(
            [round(value, 1) for value in past["signals"][NAME]["greatest"]], [0.1, 0.2, 0.3, 0.4]
        )
        self.house.say(77.0)
        self.house.clock.advance(1)
        span["to"] = "now"
        past = self.get("/telemetry/history", signals=NAME, points="3000", **span)
        values = [value for value in past["signals"][NAME]["greatest"] if value is not None]
        self.assertEqual((round(values[0], 1), values[-1]), (0.0, 77.0))

    def test_memory_is_not_read_again(self) -> None:
        """A recording is read up to the time from which memory has the signal: it is damaged after that."""
        now = self.house.wall_clock()
        writing = Writing(self.recorder.folder, now)
        for number in range(180):
            at = now + number + 0.5
            writing.turn(item(at, topic_line("azimuth", at + 37, actualPosition=float(number))))
            if number >= 70:
                self.house.say(500.0 + number)
            self.house.clock.advance(1)
        writing.finish()
        with open(writing.files[-1], "r+b") as file:
            contents = read_summary(writing.files[-1], file.fileno())
            assert contents is not None
            for chunk in contents.chunks[2:]:
                file.seek(chunk.offset)
                file.write(bytes(chunk.length))
        query = {"signals": NAME, "since": iso(now), "to": iso(now + 180), "points": "180"}
        least = self.get("/telemetry/history", **query)["signals"][NAME]["least"]
        self.assertEqual(least, [number if number < 70 else 500.0 + number for number in range(180)])

    def test_moment(self) -> None:
        """A past moment has the motion as it was: words, errors, ages and topics of that time."""
        past = self.get("/telemetry", at=iso(self.began + 30))
        self.assertEqual((past["live"], past["at"]), (False, iso(self.began + 30)))
        azimuth = past["axes"]["azimuth"]
        self.assertAlmostEqual(azimuth["position"], 0.3, 2)
        self.assertAlmostEqual(azimuth["rms"], 0.01, 4)
        self.assertEqual((azimuth["stale"], azimuth["in_position"]), (False, True))
        self.assertEqual(azimuth["on_target_since"], iso(self.began))
        self.assertEqual((past["motion"]["word"], past["motion"]["since"]), ("Tracking", iso(self.began)))
        self.assertEqual(past["topics"]["cameraCableWrap"]["values"]["actualPosition"], 1.0)
        self.assertEqual(past["topics"]["cameraCableWrap"]["stale"], False)
        self.assertEqual(past["recorder"]["oldest"], iso(self.began))
        self.assertIsNotNone(past["sky"])
        motion = past["devices"]["azimuth"]["motion"]
        self.assertEqual(
            (motion["value"], motion["time"], motion["age"]), ("TRACKING", iso(self.began), 30.0)
        )

    def test_devices(self) -> None:
        """The devices of a moment are those of the last events before it, also where memory has the rest."""
        self.house.say(77.0)
        self.house.clock.advance(120)
        past = self.get("/telemetry", at=iso(self.house.wall_clock() - 10))
        self.assertEqual(past["axes"]["azimuth"]["position"], 77.0)
        self.assertEqual(past["devices"]["azimuth"]["motion"]["value"], "TRACKING")
        self.assertNotIn("devices", self.get("/telemetry"))

    def test_alarms(self) -> None:
        """The alarms of a moment are those that had begun and were not over, with the vendor's advice."""

        def told(seconds: float) -> tuple[list[str], list[tuple[Any, ...]]]:
            past = self.get("/telemetry", at=iso(self.began + seconds))
            names = ("code", "active", "latched", "time")
            errors = [tuple(each[name] for name in names) for each in past["errors"]]
            return [each["what"] for each in past["warnings"]], errors

        begun = iso(self.began + 10)
        self.assertEqual(told(5), ([], []))
        self.assertEqual(told(15), (["AZ: cold"], [(120, True, True, begun)]))
        self.assertEqual(told(25), ([], [(120, False, True, begun)]))
        self.assertEqual(told(35), ([], []))
        self.assertEqual(set(self.get("/telemetry")) & {"errors", "warnings"}, set())

    def test_many_alarms(self) -> None:
        """Of more alarms than the present can have, a moment has the latest ones."""
        self.patch(telemetry, "MOST_ALARMS", 1)
        past = self.get("/telemetry", at=iso(self.began + 15))
        self.assertEqual(len(past["warnings"]) + len(past["errors"]), 1)

    def test_rests_between_long_events(self) -> None:
        """A query rests after a few KiB of events: malformed ones take long to read."""
        rests: list[None] = []
        format: Any = dialect_named("tma2022").telemetry
        events = [(float(number), b"[" * 4000) for number in range(20)]
        telemetry.read_events(events, format, lambda: rests.append(None))
        self.assertGreaterEqual(len(rests), 10)

    def test_no_events(self) -> None:
        """A moment without recorded events has no list of alarms: an empty one says that there were none."""
        past = self.get("/telemetry", at=iso(self.began - 600))
        self.assertEqual((past["devices"], past["warnings"], past["errors"]), (None, None, None))

    def test_lines_that_are_no_json(self) -> None:
        """Lines that are no telemetry, in a recording of another program: a moment leaves them out."""
        at = self.began + 600
        good = topic_line("azimuth", at + 37, actualPosition=5.0)
        nanoseconds = int(at * NANO)
        with closing(RecordingFile.create(self.recorder.folder, at, {})) as other:
            for topic, lines in (("azimuth", (good, b"\xff")), ("elevation", (b"7",)), (EVENTS, (b"{",))):
                number = other.channel(topic, None)
                messages = [Message(number, 1, nanoseconds, nanoseconds, line) for line in lines]
                other.write_chunk(messages, thorough())
            other.finish()
        past = self.get("/telemetry", at=iso(at + 3))
        self.assertEqual(past["axes"]["azimuth"]["position"], 5.0)
        self.assertNotIn("elevation", past["topics"])

    def test_number_beyond_every_float(self) -> None:
        """A line with a whole number of 400 digits: a moment leaves it out, and has the other topics."""
        at = self.began + 600
        writing = Writing(self.recorder.folder, at)
        lines = {
            "azimuth": topic_line("azimuth", at + 37, actualPosition=5.0),
            "encoder": topic_line("encoder", at + 37, encoderHeadReadReferenceAZ1=10**400),
        }
        writing.turn(*(item(at, line) for line in lines.values()))
        writing.finish()
        past = self.get("/telemetry", at=iso(at + 3))
        self.assertEqual(past["axes"]["azimuth"]["position"], 5.0)
        self.assertNotIn("encoder", past["topics"])

    def test_line_of_another_topic(self) -> None:
        """In a recording of another program, a line may stand under another topic: a moment leaves it out."""
        at = self.began + 600
        writing = Writing(self.recorder.folder, at)
        writing.turn(item(at, topic_line("azimuth", at + 37, actualPosition=5.0)))
        writing.finish()
        path = writing.files[-1]
        data = path.read_bytes()
        channel = b"\7\0\0\0%b\4\0\0\0json"
        self.assertEqual(data.count(channel % b"azimuth"), 2)
        path.write_bytes(data.replace(channel % b"azimuth", channel % b"encoder"))
        past = self.get("/telemetry", at=iso(at + 3))
        self.assertEqual((past["axes"]["azimuth"]["position"], past["topics"]), (None, {}))

    def test_nothing_recorded(self) -> None:
        """A moment without telemetry has the numbers open."""
        past = self.get("/telemetry", at=iso(self.began + 600))
        self.assertEqual((past["axes"]["azimuth"]["position"], past["topics"]), (None, {}))


class SlewTests(RouteCase):
    """``GET /api/v1/slews``."""

    def setUp(self) -> None:
        super().setUp()
        self.now = self.house.wall_clock()
        for number in range(3):
            slew = Slew(0.0, float(number), 0.0, 2.5, None, 0.5, None, None, ("settle",))
            self.house.motion.slews.append((self.now + 60.0 * number, slew))

    def azimuths(self, **query: str) -> list[float]:
        """The distances of the slews in an answer."""
        return [slew["azimuth"] for slew in self.get("/slews", **query)["slews"]]

    def test_latest_first(self) -> None:
        """The latest slew comes first, with its figures and the reasons why it failed."""
        self.assertEqual(self.azimuths(), [2.0, 1.0, 0.0])
        [first, *_] = self.get("/slews")["slews"]
        self.assertEqual(
            first,
            {
                "kind": "track",
                "start": "2027-01-15T08:02:00.000Z",
                "azimuth": 2.0,
                "elevation": 0.0,
                "seconds": 2.5,
                "settle": None,
                "error_at_in_position": 0.5,
                "rms": None,
                "passed": False,
                "failures": ["settle"],
            },
        )

    def test_selected(self) -> None:
        """A request selects slews by their start, and by number."""
        self.assertEqual(self.azimuths(limit="1"), [2.0])
        self.assertEqual(self.azimuths(since="2027-01-15T08:01"), [2.0, 1.0])
        self.assertEqual(self.azimuths(to="2027-01-15T08:01"), [0.0])

    def test_faults(self) -> None:
        """Wrong parameters are refused."""
        faults = self.faults("/slews", since="now", to="1 min ago", limit="0", colour="red")
        self.assertEqual(set(faults), {"query.to", "query.limit", "query.colour"})


class JournalTests(SessionCase):
    """Slews that the journal has."""

    def test_read(self) -> None:
        """The slews of an earlier run are in the journal; a row that is malformed is left out."""
        good = '{"start":%d,"azimuth":%d,"elevation":0,"in_position_after":2.5,"settle":null,'
        good += '"error_at_in_position":null,"rms":null,"settled_rms":null,"failures":[],"passed":true}'
        for number in range(5):
            self.records.change("slew", "controller", 1, good % (self.now + number, number))
        deep = '{"x":' + "[" * 2000 + "]" * 2000 + "}"
        for wrong in ("", "{}", "[1]", '{"start":1e300}', good % (-1, 7), "\ud800", deep):
            self.records.change("slew", "controller", 1, wrong)
        self.records.change("link_up", "controller", 1)
        self.records.change("slew", "csc", 1, good % (self.now, 9))
        self.writer.turn()
        with closing(open_journal(self.path)) as db:
            for query, expected in (
                (Query(0.0, 1e11, 50), [4, 3, 2, 1, 0]),
                (Query(0.0, 1e11, 2), [4, 3]),
                (Query(0.0, int(self.now) + 2.0, 50), [1, 0]),
            ):
                self.assertEqual([slew.azimuth for slew in read_slews(db, query)], expected)
