"""A bridge whose figures are scraped, and the tables of their page."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.api.acks import AckTimes
from mtmount_twisted.frontends.web.api.health import LoopWatch
from mtmount_twisted.frontends.web.api.metrics import Metrics
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.calls import Answer, Call, User
from mtmount_twisted.journal.recorder import Waiting

from .commanders import LOG, RecordingClient, RecordingLink
from .pages import DOCS
from .records import RecordMaker

PAGE = DOCS / "reference" / "web_metrics.rst"
POSITION = b"10", b"45", b"0", b"0", b"0"


class Readers(list[str]):
    """The readers of events."""

    behind = 0


class MetricsCase(SynchronousTestCase):
    """A bridge between clients and a controller that the test plays, watched by `Metrics`."""

    refused = 0
    dialect: Dialect = DIALECT
    telemetry: Any = None

    def setUp(self) -> None:
        self.names = ["csc", "desk"]
        self.telemetry_ports: list[Any] = []
        self.clock = Clock()
        self.journal = Waiting(lambda: None, self.clock.seconds, max_bytes=100_000)
        cast(Any, self.journal).fault = ""
        cast(Any, self.journal).lag = 1.5
        cast(Any, self.journal).written = 0
        cast(Any, self.journal).left_unknown = 0
        self.bus = EventBus(self.clock, self.journal, self.clock.seconds)
        self.records = RecordMaker(self.bus.publish, self.bus.now)
        self.bridge = Bridge(self.clock, LOG, self.bus, CommandRules(), self.dialect)
        self.pair = SimpleNamespace(client_connected=True, server_connected=False)
        self.watch = LoopWatch(self.clock)
        self.streams = Readers()
        self.times = AckTimes(self.bus, self.dialect, self.clock, Stamps(self.clock, self.clock.seconds))
        self.metrics = self.make(self.journal)
        self.link = RecordingLink(self.bridge)

    def make(self, journal: Any, kept_time: float = 0.0) -> Metrics:
        """Return the metrics to test."""
        return Metrics(
            *(self.bridge, self.bus, self.pair, journal, self.times, self.watch, self.streams),
            lambda: self.refused,
            lambda: self.names,
            "1.2.3",
            self.clock.seconds,
            kept_time,
            self.telemetry,
            lambda: self.telemetry_ports,
        )

    def scrape(self, accept: str = "") -> Answer:
        """Return the answer to a scrape."""
        (route,) = self.metrics.routes()
        self.assertEqual((route.method, route.path, route.role), ("GET", "/metrics", "observe"))
        call = Call(User("x", frozenset(), Source.CSC), headers={"accept": accept})
        answer: Answer = self.successResultOf(Deferred.fromCoroutine(cast(Any, route.respond(call))))
        return answer

    def samples(self, name: str) -> dict[str, float]:
        """The values of a figure, by its labels in order of their names: ``commander=csc,state=sent``."""
        return {
            ",".join(f"{label}={value}" for label, value in sample.labels.items()): sample.value
            for family in text_string_to_metric_families(self.scrape().body.decode())
            for sample in family.samples
            if sample.name == f"mtmount_bridge_{name}"
        }

    def commanders(self, name: str) -> dict[str, float]:
        """The values of a figure by commander."""
        return {label.removeprefix("commander="): value for label, value in self.samples(name).items()}

    def value(self, name: str, labels: str = "") -> float:
        """One value."""
        return self.samples(name)[labels]

    def client(self, name: str, **settings: Any) -> RecordingClient:
        """A client that is connected."""
        return RecordingClient(self.bridge, name, Source.CSC, **settings).come()

    def holder(self, name: str = "csc") -> RecordingClient:
        """A client that has command."""
        self.bridge.link_up(self.link)
        client = self.client(name)
        client.ask()
        self.link.finish_all()
        return client


def table(text: str, prefix: str) -> list[tuple[str, ...]]:
    """The rows of the first simple table of a page in which a row begins with this name."""
    ruler = ""
    rows: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("==="):
            if rows:
                break
            ruler = line
        elif ruler and (line.startswith(f"``{prefix}") or (rows and line.startswith(" "))):
            starts = [match.start() for match in re.finditer("=+", ruler)]
            cells = [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None])]
            if cells[0]:
                rows.append(cells)
            else:
                rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells)]
    return [tuple(row) for row in rows]
