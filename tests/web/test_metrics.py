"""The figures for a monitoring system: what each says of what happened, and that its page does, too."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics

from mtmount_twisted.bridge.core import REASONS, Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.bridge.registry import OBSERVERS
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.dialect import dialect_named, translator_between
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.api import metrics
from mtmount_twisted.frontends.web.api.metrics import FIGURES
from mtmount_twisted.journal.limited import SESSION_ROWS
from mtmount_twisted.journal.recorder import JournalOff
from mtmount_twisted.motion.limits import AHEAD
from tests.support.commanders import LOG, MOVE, STATE, STOP, TRACK, RecordingClient
from tests.support.motion import MotionHouse
from tests.support.records import RecordMaker
from tests.support.scrapes import PAGE, POSITION, MetricsCase, table

PROCESS_FIGURES = 6


class ControllerTests(MetricsCase):
    """The controller, and what is said."""

    def test_link(self) -> None:
        """The link, each of its connections, the epoch and the reconnections can be told."""
        self.assertEqual((self.value("controller_up"), self.value("epoch")), (0, 0))
        self.assertEqual(self.samples("connection_up"), {"connection=command": 1, "connection=reply": 0})
        self.assertEqual(self.value("reconnections_total"), 0)
        for _ in range(3):
            self.bridge.link_up(self.link)
            self.assertEqual(self.value("controller_up"), 1)
            self.bridge.link_down("gone")
        self.assertEqual((self.value("epoch"), self.value("reconnections_total")), (3, 2))

    def test_messages(self) -> None:
        """Messages are counted by who they are from or to and by kind, on both sides of the bridge."""
        csc = self.holder()
        csc.command(MOVE, *POSITION)
        self.link.finish_all()
        self.link.say(STATE)
        messages = self.samples("messages_total")
        expected = {
            "direction=from,kind=BOTH_AXES_MOVE,peer=commander": 1,
            "direction=to,kind=BOTH_AXES_MOVE,peer=controller": 1,
            "direction=from,kind=DONE,peer=controller": 2,
            "direction=to,kind=DONE,peer=commander": 2,
            "direction=to,kind=ON_STATE_INFO,peer=everyone": 1,
        }
        self.assertEqual({name: messages[name] for name in expected}, expected)

    def test_other_messages(self) -> None:
        """However many codes somebody makes up, they are one kind; and so is what has no code at all."""
        csc = self.client("csc")
        hall = self.client("hall/1", may_command=False)
        series = set(self.samples("messages_total"))
        for code in range(90_000, 90_100):
            csc.command(code)
        self.link.say(b"77\nx", b"", b"x")
        hall.say(b"")
        messages = self.samples("messages_total")
        self.assertEqual(messages["direction=from,kind=other,peer=commander"], 101)
        self.assertEqual(messages["direction=from,kind=other,peer=controller"], 3)
        self.assertEqual(messages[f"direction=to,kind=NOACK,peer={OBSERVERS}"], 100)
        self.assertEqual(set(messages), series)
        self.assertEqual(self.value("unreadable_replies_total"), 2)

    def test_unmatched(self) -> None:
        """An answer to nothing is counted."""
        self.link.say(b"2\n77\n1\n2020-02-27T14:48:27.469")
        self.assertEqual(self.value("unmatched_answers_total"), 1)


class UntranslatedTests(MetricsCase):
    """A tma2022 mount, and clients that speak tma2020."""

    dialect = dialect_named("tma2022")

    def setUp(self) -> None:
        super().setUp()
        self.bridge.link_up(self.link)

    def join(self, name: str, may_command: bool = True) -> None:
        """A client that speaks tma2020."""
        client = RecordingClient(self.bridge, name, Source.CSC, may_command)
        client.translator = translator_between("tma2020", "tma2022")
        client.come()

    def say(self) -> None:
        """The mount reports a power state, a position, and two things without a name."""
        self.link.say(
            b'{"id":100,"timestamp":1.5,"parameters":{"system":0,"powerState":1}}',
            b'{"id":200,"timestamp":1.5,"parameters":{"axis":0,"inPosition":true}}',
            *(b'{"id":%d,"timestamp":1.5,"parameters":{}}' % number for number in (998, 999)),
        )

    def test_kinds(self) -> None:
        """An event that has no place in tma2020 counts once, by its kind, for all clients."""
        self.client("hall/1", may_command=False)
        series = self.samples("untranslated_events_total")
        self.say()
        self.assertEqual(self.samples("untranslated_events_total"), dict.fromkeys(series, 0))
        self.join("csc")
        self.join("desk")
        self.join("hall/2", may_command=False)
        self.say()
        counts = self.samples("untranslated_events_total")
        self.assertEqual(counts.keys(), series.keys())
        self.assertEqual(
            {name: count for name, count in counts.items() if count},
            {"kind=POWER_STATE": 1, "kind=other": 2},
        )
        self.assertEqual([name for name in self.bridge.counts if "POWER" in name], [])

    def test_no_translation(self) -> None:
        """A controller that speaks tma2020 has no such figure."""
        self.bridge = Bridge(self.clock, LOG, self.bus, CommandRules(), DIALECT)
        self.metrics = self.make(self.journal)
        self.assertEqual(self.samples("untranslated_events_total"), {})


class CommandTests(MetricsCase):
    """Commands, and how long they take."""

    def test_times(self) -> None:
        """The time to the first Ack and the time to Done count from when a command was sent."""
        csc = self.holder()
        before = self.value("ack_seconds_count"), self.value("done_seconds_count")
        csc.command(MOVE, *POSITION)
        (line,) = self.link.read()
        self.clock.advance(0.25)
        self.link.ack(line, b"60000")
        self.clock.advance(3)
        self.link.finish(line)
        self.assertEqual(before, (1, 1))
        self.assertEqual((self.value("ack_seconds_count"), self.value("done_seconds_count")), (2, 2))
        self.assertEqual((self.value("ack_seconds_sum"), self.value("done_seconds_sum")), (0.25, 3.25))
        buckets = self.samples("ack_seconds_bucket")
        self.assertEqual((buckets["le=0.2"], buckets["le=0.5"], buckets["le=+Inf"]), (1, 2, 2))
        bounds = [float(label.removeprefix("le=")) for label in buckets]
        self.assertEqual((min(bounds), sorted(bounds)[-2]), (0.001, 300))

    def test_outcomes(self) -> None:
        """Commands are counted by outcome; each outcome is there from the beginning, with 0."""
        outcomes = set(self.samples("commands_total"))
        self.assertLessEqual({f"outcome={reason.replace(' ', '_')}" for reason in REASONS}, outcomes)
        csc = self.holder()
        for code in (MOVE, TRACK, MOVE, MOVE, MOVE):
            csc.command(code)
        done, track, refused, lost, _ = self.link.read()
        self.link.finish(done)
        self.link.ack(track)
        self.link.refuse(refused, b"no")
        self.link.ack(lost, b"100000")
        self.clock.advance(5.5)
        self.bridge.link_down("gone")
        csc.command(MOVE)
        counted = {label: count for label, count in self.samples("commands_total").items() if count}
        self.assertEqual(
            counted,
            {
                "outcome=done": 2,
                "outcome=local": 1,
                "outcome=ack": 1,
                "outcome=noack": 1,
                "outcome=timed_out": 1,
                "outcome=outcome_unknown": 1,
                "outcome=not_sent": 1,
            },
        )
        self.assertEqual(set(self.samples("commands_total")), outcomes)

    def test_in_flight(self) -> None:
        """Commands in flight are told by commander and by how far they are."""
        csc = self.holder()
        self.link.room = 2
        for _ in range(3):
            csc.command(MOVE, *POSITION)
        self.link.ack(self.link.read()[0])
        self.assertEqual(
            {label: count for label, count in self.samples("commands_in_flight").items() if count},
            {f"commander=csc,state={state}": 1 for state in ("waiting", "sent", "acked")},
        )
        self.link.give_room()
        self.bridge.link_down("gone")
        in_flight = self.samples("commands_in_flight")
        self.assertEqual((len(in_flight), set(in_flight.values())), (12, {0}))


class ClientTests(MetricsCase):
    """Clients, and who has command."""

    def test_clients(self) -> None:
        """Clients are counted by name, those of a port by the port's; who has left is 0."""
        self.client("csc")
        for number in range(1, 50):
            desk = self.client(f"desk/{number}")
            cast(Any, desk).behind = 100
        self.assertEqual(self.commanders("clients_connected"), {"csc": 1, "desk": 49, "web": 0})
        self.assertEqual(self.value("client_behind_bytes", "commander=desk"), 4900)
        for client in tuple(self.bridge.clients.values()):
            client.go()
        self.assertEqual(self.commanders("clients_connected"), {"csc": 0, "desk": 0, "web": 0})
        self.assertEqual(self.commanders("client_behind_bytes"), {"csc": 0, "desk": 0, "web": 0})

    def test_many_clients(self) -> None:
        """A scrape reads each of many clients once: the event loop waits for it."""
        read: list[str] = []

        class Name(str):
            def partition(self, sep: str) -> tuple[str, str, str]:
                read.append(self)
                return super().partition(sep)

        for number in range(1, 50):
            self.client(Name(f"desk/{number}"))
        read.clear()
        self.scrape()
        self.assertEqual(len(read), 49)

    def test_who_was_here_before(self) -> None:
        """A client that connected before anybody counted is counted."""
        self.metrics.close()
        self.client("csc")
        self.metrics = self.make(self.journal)
        self.assertEqual(self.commanders("clients_connected"), {"csc": 1, "desk": 0, "web": 0})

    def test_cut_off(self) -> None:
        """Who is cut off is counted, also one that only listened to events."""
        self.bridge.cut_off(self.client("desk/7"), "behind")
        self.records.change("cut_off", "web/night", 1, "event stream: behind")
        self.assertEqual(self.commanders("clients_cut_off_total"), {"csc": 0, "desk": 1, "web": 1})

    def test_event_streams(self) -> None:
        """How many read events, and what waits for them, can be told."""
        self.streams += ["web/night", "web/night"]
        self.streams.behind = 700
        self.assertEqual((self.value("event_streams"), self.value("event_streams_behind_bytes")), (2, 700))

    def test_refused(self) -> None:
        """How many connections were refused can be told."""
        self.refused = 3
        self.assertEqual(self.value("http_refused_total"), 3)

    def test_who_has_command(self) -> None:
        """Who has command can be told, also while it is gone and is waited for, and which lease it is."""
        self.client("csc")
        desk = self.holder("desk/3")
        expected = {"csc": 0, "desk": 1, "web": 0}
        self.assertEqual((self.commanders("has_command"), self.value("lease_number")), (expected, 1))
        desk.go()
        self.assertEqual(self.commanders("has_command"), expected)
        self.bridge.close()
        self.assertEqual(self.commanders("has_command"), {"csc": 0, "desk": 0, "web": 0})


class TelemetryTests(MetricsCase):
    """The mount's telemetry, and its readers."""

    def test_mount_without_telemetry(self) -> None:
        """Nothing is silent where no telemetry is expected, and no alarm is raised."""
        for name in ("silent", "age_seconds", "lines_total", "malformed_total"):
            self.assertEqual(self.value(f"telemetry_{name}"), 0)
        self.assertEqual(self.samples("telemetry_readers"), {})

    def test_motion(self) -> None:
        """Each axis that is known has its position and the RMS of its error, and each near limit its time."""
        house = MotionHouse(self.clock)
        self.metrics.motion = house.motion
        self.assertEqual(self.samples("axis_position_degrees"), {})
        self.clock.advance(1.5)  # the answer is reused for a second
        house.say(260.0, 60.0, velocity=(1.0, 0.0))
        self.assertEqual(
            self.samples("axis_position_degrees"), {"axis=azimuth": 260.0, "axis=elevation": 60.0}
        )
        self.assertEqual(sorted(self.samples("time_to_limit_seconds").values()), [10.0, *[AHEAD] * 3])
        self.clock.advance(2.0)
        self.assertEqual(self.samples("axis_position_degrees"), {})

    def test_telemetry(self) -> None:
        """Silence, age and counts of lines; the age is absent before the first line."""
        self.telemetry = SimpleNamespace(silent=True, age=None, lines=0, malformed=3)
        self.metrics.close()
        self.metrics = self.make(self.journal)
        self.assertEqual(self.value("telemetry_silent"), 1)
        self.assertEqual(self.samples("telemetry_age_seconds"), {})
        self.telemetry.silent, self.telemetry.age, self.telemetry.lines = False, 0.25, 217
        self.assertEqual(self.value("telemetry_silent"), 0)
        self.assertEqual(self.value("telemetry_age_seconds"), 0.25)
        self.assertEqual(self.value("telemetry_lines_total"), 217)
        self.assertEqual(self.value("telemetry_malformed_total"), 3)

    def test_readers(self) -> None:
        """Readers and what they missed, by port; a reload changes the ports."""
        self.telemetry_ports += [
            SimpleNamespace(name="readers", readers=2, missed=0),
            SimpleNamespace(name="hall", readers=1, missed=40),
        ]
        self.assertEqual(self.samples("telemetry_readers"), {"port=readers": 2, "port=hall": 1})
        self.assertEqual(self.samples("telemetry_missed_total"), {"port=readers": 0, "port=hall": 40})
        del self.telemetry_ports[0]
        self.assertEqual(self.samples("telemetry_readers"), {"port=hall": 1})


class JournalTests(MetricsCase):
    """The journal, and the daemon itself."""

    def test_journal(self) -> None:
        """Lag, rows that wait and a fault of the journal can be told."""
        self.client("csc")
        self.assertEqual((self.value("journal_pending_rows"), self.value("journal_lag_seconds")), (1, 1.5))
        self.assertEqual(self.value("journal_up"), 1)
        cast(Any, self.journal).fault = "the disk is full"
        self.assertEqual(self.value("journal_up"), 0)
        cast(Any, self.journal).left_unknown = 3
        self.assertEqual(self.value("commands_left_unknown"), 3)

    def test_gaps(self) -> None:
        """Rows that are lost are counted, and each stretch of them as one gap."""
        for _ in range(2):
            for _ in range(400):
                self.records.line("csc", "from", 0, b"1\n2\n3")
            messages, steps, events = self.journal.take_batch()
            self.journal.free([*messages, *steps, *events])
        self.assertGreater(self.value("journal_lost_rows_total", "rights=yes"), 10)
        self.assertEqual(self.value("journal_lost_rows_total", "rights=no"), 0)
        self.assertEqual(self.value("journal_gaps_total"), 2)

    def test_rows_of_clients_without_rights(self) -> None:
        """Rows that clients without rights brought about are counted apart: those that were lost for want of
        room, and those that were not recorded because there were too many."""
        records = RecordMaker(self.journal.keep, self.bus.now)
        for _ in range(400):
            records.line("hall/1", "from", 0, b"1\n2\n3", privileged=False)
        self.assertEqual(self.value("journal_lost_rows_total", "rights=yes"), 0)
        self.assertGreater(self.value("journal_lost_rows_total", "rights=no"), 10)
        observer = self.client("hall/1", may_command=False)
        for _ in range(50):
            observer.command(STOP)
        self.assertEqual(self.value("journal_omitted_rows_total"), 50 * 3 - SESSION_ROWS)

    def test_no_journal(self) -> None:
        """A bridge that keeps no journal has no gaps in it."""
        self.bus = EventBus(self.clock)
        self.metrics = self.make(JournalOff())
        RecordMaker(self.bus.publish, self.bus.now).change("connected", "csc", 0)
        self.assertEqual((self.value("journal_gaps_total"), self.value("journal_lag_seconds")), (0, 0))

    def test_event_loop(self) -> None:
        """The event loop's lag is what its watch measured."""
        self.watch.start()
        self.clock.advance(0.25)
        self.watch.stop()
        self.assertEqual(self.value("event_loop_lag_seconds_count"), 1)
        self.assertEqual(self.value("event_loop_lag_seconds_bucket", "le=0.001"), 1)


class ExpositionTests(MetricsCase):
    """What is sent, and what the page says of it."""

    def test_content_type(self) -> None:
        """The text format is the default; a scraper that asks for OpenMetrics gets that."""
        self.assertTrue(self.scrape().headers["Content-Type"].startswith("text/plain; version="))
        asked = self.scrape("application/openmetrics-text; version=1.0.0")
        self.assertTrue(asked.headers["Content-Type"].startswith("application/openmetrics-text"))
        told = {family.name for family in open_metrics(asked.body.decode())}
        self.assertEqual(len(told), len(FIGURES) + PROCESS_FIGURES)

    def test_made_up_versions(self) -> None:
        """Who asks for any version of OpenMetrics from 1 on, or none, gets 1.0.0; an earlier one is text."""
        for version in ("", "; version=2.0.0", ';version="1.0.0"', "; q=0.5; version=many; escaping=none"):
            for before in ("", "text/html, "):
                asked = self.scrape(
                    f"{before}application/openmetrics-text{version}, text/plain;version=0.0.4"
                )
                told = asked.headers["Content-Type"]
                self.assertTrue(told.startswith("application/openmetrics-text; version=1.0.0;"), told)
        for accept in ("application/openmetrics-text; version=0.0.1", "text/plain; version=odd", "*/*"):
            self.assertTrue(
                self.scrape(accept).headers["Content-Type"].startswith("text/plain; version=0.0.4")
            )

    def test_scraped_once_in_a_second(self) -> None:
        """However often somebody scrapes, the figures are put together once in a second, for each format."""
        self.metrics.close()
        self.metrics = self.make(self.journal, metrics.KEPT_TIME)
        made: list[bool] = []
        collect = self.metrics.collect

        def count() -> Any:
            made.append(True)
            return collect()

        self.patch(self.metrics, "collect", count)
        for accept in ("", "application/openmetrics-text; version=1.0.0"):
            first = self.scrape(accept)
            self.assertEqual([self.scrape(accept) for _ in range(50)], [first] * 50)
        for number in range(20):
            self.scrape(f"application/openmetrics-text; version=1.0.{number}; escaping={number}")
            self.scrape(f"text/plain; version=1.0.{number}; escaping=allow-utf-8")
        self.assertEqual(len(made), 2)
        self.bridge.link_up(self.link)
        self.clock.advance(metrics.KEPT_TIME)
        self.assertEqual(self.value("controller_up"), 1)

    def test_close(self) -> None:
        """After `close`, which can be called twice, nothing is heard any more."""
        self.metrics.close()
        self.metrics.close()
        self.times.close()
        self.assertEqual(self.bus.subscribers, [])

    def test_names(self) -> None:
        """Each name has the prefix, and a histogram its unit."""
        families = {family.name: family for family in self.metrics.collect()}
        self.assertEqual(len(families), len(FIGURES))
        for name, family in families.items():
            self.assertTrue(name.startswith(metrics.PREFIX))
            self.assertTrue(family.type != "histogram" or name.endswith("_seconds"), name)
            self.assertTrue(family.documentation.endswith("."))

    def test_page(self) -> None:
        """The table on the page lists each figure, in order, with its type, labels and meaning."""
        told = [(f"``{each.exposed}``", each.kind, ", ".join(each.labels), each.doc) for each in FIGURES]
        text = PAGE.read_text(encoding="utf-8")
        self.assertEqual(table(text, "mtmount_bridge_"), told)
        known = {each.exposed for each in FIGURES}
        named = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"mtmount_bridge_\w+", text)}
        self.assertEqual(named - known, set())
