"""The series that a scrape finds before anything has happened, and those of the mount's alarms."""

from __future__ import annotations

from platform import python_version

import twisted
from prometheus_client.parser import text_string_to_metric_families

from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.replies import ErrorReply, Reply, WarningReply
from tests.support.commanders import MOVE, STATE, STOP, TRACK
from tests.support.scrapes import PAGE, POSITION, MetricsCase, table


class FirstScrapeTests(MetricsCase):
    """The series that a first scrape finds, before anything has happened, and after a reload."""

    def test_every_labelled_series_is_there(self) -> None:
        """Each series of the configured commanders and the web is exported with 0 before its first event."""
        for name in ("clients_connected", "client_behind_bytes", "clients_cut_off_total", "has_command"):
            self.assertEqual(self.commanders(name), {"csc": 0, "desk": 0, "web": 0}, name)
        in_flight = {
            f"commander={name},state={state}": 0
            for name in ("bridge", "csc", "desk", "web")
            for state in ("waiting", "sent", "acked")
        }
        self.assertEqual(self.samples("commands_in_flight"), in_flight)
        self.assertEqual(self.samples("active_alarms"), {"severity=error": 0, "severity=warning": 0})

    def test_nothing_that_happens_adds_a_series(self) -> None:
        """A session of commands, refusals and events of every kind changes values and adds no series."""
        before = self.series()
        csc = self.holder()
        for code in (MOVE, TRACK, STOP, 90_000):
            csc.command(code, *POSITION)
        first, second, *_ = self.link.read()
        self.link.ack(first)
        self.link.refuse(second, b"no")
        self.link.say(STATE, b"77\nx", warning("pump", active=True))
        self.client("desk/1").say(b"")
        self.records.change("cut_off", "web/night", 1, "event stream: behind")
        self.bridge.link_down("gone")
        self.assertEqual(self.series(), before)

    def series(self) -> set[tuple[str, str]]:
        """The name and labels of every sample."""
        return {
            (sample.name, repr(sorted(sample.labels.items())))
            for family in text_string_to_metric_families(self.scrape().body.decode())
            for sample in family.samples
        }

    def test_no_series_without_a_configuration(self) -> None:
        """With no commander configured there still is a series to see that nobody has command."""
        self.names = []
        self.assertEqual(self.commanders("has_command"), {"web": 0})

    def test_reload(self) -> None:
        """A commander that a reload adds has its series at once; one that it removes has none any more."""
        self.names = ["csc", "hall"]
        for name in ("clients_connected", "clients_cut_off_total", "has_command"):
            self.assertEqual(self.commanders(name), {"csc": 0, "hall": 0, "web": 0}, name)

    def test_removed_while_in_use(self) -> None:
        """A commander that a reload removes has its series while it has command, and its counts for good."""
        desk = self.holder("desk/1")
        self.names = ["csc"]
        self.assertEqual(self.commanders("has_command"), {"csc": 0, "desk": 1, "web": 0})
        self.bridge.cut_off(desk, "behind")
        desk.go()
        self.assertEqual(self.commanders("has_command"), {"csc": 0, "desk": 1, "web": 0})
        self.bridge.close()
        self.assertEqual(self.commanders("has_command"), {"csc": 0, "web": 0})
        self.assertEqual(self.commanders("clients_cut_off_total"), {"csc": 0, "desk": 1, "web": 0})


class AlarmTests(MetricsCase):
    """The mount's own alarms."""

    def test_severities(self) -> None:
        """Active warnings and errors are counted apart, each once however often it is renewed."""
        self.bridge.link_up(self.link)
        for about in ("pump", "pump", "fan"):
            self.link.say(warning(about, active=True))
        self.link.say(error("drive", latched=False, active=True))
        self.assertEqual(self.samples("active_alarms"), {"severity=warning": 2, "severity=error": 1})
        self.link.say(warning("fan", active=False), error("drive", latched=False, active=False))
        self.assertEqual(self.samples("active_alarms"), {"severity=warning": 1, "severity=error": 0})

    def test_latched(self) -> None:
        """An error that is over and still latched counts until it is reset."""
        self.bridge.link_up(self.link)
        self.link.say(error("drive", latched=True, active=False))
        self.assertEqual(self.value("active_alarms", "severity=error"), 1)
        self.link.say(error("drive", latched=False, active=False))
        self.assertEqual(self.value("active_alarms", "severity=error"), 0)

    def test_lost_link(self) -> None:
        """What a lost controller said is not counted: nobody knows whether it holds."""
        self.bridge.link_up(self.link)
        self.link.say(warning("pump", active=True))
        self.bridge.link_down("gone")
        self.assertEqual(self.value("active_alarms", "severity=warning"), 0)


def line_of(reply: Reply) -> bytes:
    """A reply of the mount, as the bridge reads it."""
    return reply.encode().removesuffix(TERMINATOR)


def warning(about: str, active: bool) -> bytes:
    """A warning of the mount."""
    return line_of(WarningReply(active=active, code=1, subsystem=f"100. {about}"))


def error(about: str, latched: bool, active: bool) -> bytes:
    """An error of the mount."""
    return line_of(ErrorReply(on=latched, active=active, code=1, subsystem=f"100. {about}"))


class ProcessTests(MetricsCase):
    """The process itself."""

    def test_process(self) -> None:
        """Memory, processor time, open files and the time of the start are those of this process."""
        text = self.scrape().body.decode()
        values = {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith("process_")
        }
        self.assertGreater(values["process_resident_memory_bytes"], 1e6)
        self.assertLessEqual(values["process_open_fds"], values["process_max_fds"])

    def test_page(self) -> None:
        """The second table on the page lists each of these figures."""
        told = [
            (
                f"``{family.name}{'_total' if family.type == 'counter' else ''}``",
                family.type,
                "",
                family.documentation,
            )
            for family in self.metrics.registry.collect()
            if family.name.startswith("process_")
        ]
        self.assertEqual(table(PAGE.read_text(encoding="utf-8"), "process_"), told)

    def test_build(self) -> None:
        """The versions can be told."""
        expected = f"python={python_version()},twisted={twisted.__version__},version=1.2.3"
        self.assertEqual(self.samples("build_info"), {expected: 1})
