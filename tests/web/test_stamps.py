"""Ages stay true when the system's clock is set: `frontends.web.events.stamps`, and what tells by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.web.events.shapes import iso
from mtmount_twisted.frontends.web.events.stamps import STEP, Stamps
from mtmount_twisted.records import ChangeRecord, CommandRecord
from mtmount_twisted.replies import InPositionReply, WarningReply
from tests.support.web import as_read
from tests.support.web_houses import START, WebCase, user

BY = {"an hour back": -3600.0, "from 1970": 1_795_000_000.0, "a second on": 1.0}


def seconds(stamp: str) -> float:
    """A time of day in Unix seconds."""
    return datetime.fromisoformat(stamp).timestamp()


def stamps_in(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """All times of day in a JSON value, with where they are."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from stamps_in(each, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from stamps_in(each, f"{path}[{number}]")
    elif isinstance(value, str) and value.endswith("Z") and value[:2].isdigit():
        yield path, seconds(value)


class ClockSetTests(WebCase):
    """All that a page shows as an age."""

    def happen(self) -> str:
        """Have something happen for all that has an age, over some seconds; return the id of a life."""
        self.house.link.say(InPositionReply(what=0, in_position=True).encode()[:-2])
        self.house.advance(1)
        self.house.link.say(WarningReply(active=True, code=905, subsystem="900. Top").encode()[:-2])
        self.take()
        self.house.advance(2)
        self.told(self.lease({}, user("day")))
        sent = self.post("AzimuthAxisMove", position=1)
        self.house.link.refuse(self.house.link.read()[0], b"no")
        self.house.advance(3)
        self.post("AzimuthAxisMove", position=2)
        body: dict[str, Any] = self.told(sent).body
        return str(body["id"])

    def ages(self, id: str) -> dict[str, float]:
        """The age of each time that is told, in seconds, by where it is told."""
        now = self.house.wall_clock()
        told = {"state": self.state(), "acks": as_read(self.house.acks.shape()), "life": self.life(id)}
        return {path: round(now - time, 3) for path, time in stamps_in(told)}

    def test_same_as_events(self) -> None:
        """What an event told has the event's own time, so that a reader of both knows it again."""
        events: dict[str, float] = {}
        bus = self.house.bus
        bus.subscribe(lambda record, number: events.update({record.step: record.time}), CommandRecord)
        bus.subscribe(lambda record, number: events.update({record.kind: record.time}), ChangeRecord)
        self.house.wall_start += STEP / 2
        id = self.happen()
        self.assertEqual(self.house.acks.shape().refusals[0].time, iso(events["noack"]))
        self.assertEqual(self.life(id)["steps"][-1], {"step": "noack", "time": iso(events["noack"])})
        self.assertEqual(self.state()["lease"]["since"], iso(events["lease_granted"]))
        self.house.bridge.link_down("lost")
        self.assertEqual(self.state()["controller"]["since"], iso(events["link_down"]))

    def test_ages(self) -> None:
        """However the system's clock is set, all that was keeps its age."""
        for name, by in BY.items():
            self.setUp()
            self.house.wall_start = START - by
            id = self.happen()
            before = self.ages(id)
            for path in (
                *(".state.controller.since", ".state.lease.since", ".state.lease.requests[0].time"),
                *(".state.axes.azimuth.time", ".state.warnings[0].time", ".state.in_flight[0].since"),
                *(".acks.refusals[0].time", ".acks.last.time", ".acks.columns[0].time"),
                *(".life.steps[0].time", ".life.steps[2].time"),
            ):
                self.assertGreaterEqual(before[path], 3.0 if "flight" not in path else 0.0, path)
            self.house.wall_start = START
            self.assertEqual(self.ages(id), before, name)


class StampsTests(SynchronousTestCase):
    """The stamps alone."""

    def test_same_moment(self) -> None:
        """Whoever asks twice for a moment finds the same time, unless the clock was set between."""
        clock, start = Clock(), [START]
        stamps = Stamps(clock, lambda: start[0] + clock.seconds())
        clock.advance(1)
        self.assertEqual(stamps.of(0.0005), "2027-01-15T08:00:00.000Z")
        start[0] += STEP / 2
        self.assertEqual(stamps.of(0.0005), "2027-01-15T08:00:00.000Z")
        self.assertEqual(stamps.now(), "2027-01-15T08:00:01.000Z")
        start[0] += STEP
        self.assertEqual(stamps.of(0.0), "2027-01-15T08:00:00.075Z")
