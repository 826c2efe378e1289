"""Signals in the event stream: `mtmount_twisted.frontends.web.events.signals`."""

from __future__ import annotations

import json
import logging
from typing import Any
from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.web.events import signals
from mtmount_twisted.frontends.web.events.streams import Bounds
from mtmount_twisted.frontends.web.http.calls import RequestError
from tests.support.feeds import LOG, Request, World
from tests.support.motion import MotionHouse

NAME = "azimuth.actualPosition"
OTHER = "elevation.actualPosition"


class LiveCase(SynchronousTestCase):
    """Readers of the signals of a mount."""

    def setUp(self) -> None:
        clock = Clock()
        self.house = MotionHouse(clock)
        with patch.object(World, "signals", self.house.signals):
            bounds = Bounds(2**20, 10.0, 1000, 1000, 2000, 2000)
            self.world = World(self, bounds, clock)
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Nothing is left that is due."""
        self.world.stop()
        self.world.live.close()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def run_mount(self, seconds: float) -> None:
        """The mount sends an azimuth every 50 ms, which is the time."""
        for _ in range(round(seconds / 0.05)):
            self.house.say(round(self.house.clock.seconds(), 3))
            for _ in range(5):
                self.world.clock.advance(0.01)


class LiveTests(LiveCase):
    """What a reader gets."""

    def test_first(self) -> None:
        """A reader gets the latest values at once, after the hello."""
        self.house.say(12.5)
        reader = self.world.read(signals=f"{NAME},{OTHER}")
        self.assertEqual([event.name for event in reader.events], ["hello", "signals"])
        at = round(self.house.wall_clock(), 3)
        self.assertEqual(reader.named("signals"), [{"at": at, "values": {NAME: 12.5, OTHER: None}}])

    def test_rate(self) -> None:
        """Each reader gets the latest value at its own rate, and never one twice."""
        readers = {rate: self.world.read(signals=NAME, rate=f"{rate:g}") for rate in (0.5, 1, 4, 20)}
        usual = self.world.read(signals=NAME)
        self.run_mount(10)
        for rate, reader in readers.items():
            values = [event["values"][NAME] for event in reader.named("signals")]
            self.assertEqual(values, sorted(set(values)))
            self.assertTrue(abs(len(values) - 10 * rate) <= 2, (rate, len(values)))
        self.assertEqual(len(usual.named("signals")), len(readers[4].named("signals")))

    def test_silence(self) -> None:
        """While the mount is silent, nothing is sent; a value that is stale is null."""
        reader = self.world.read(signals=f"{NAME},{OTHER}")
        self.house.say(1.0, 2.0)
        self.world.wait(1)
        count = len(reader.named("signals"))
        self.world.wait(5)
        self.assertEqual(len(reader.named("signals")), count)
        self.house.say(3.0)
        self.world.wait(1)
        self.assertEqual(reader.named("signals")[-1]["values"], {NAME: 3.0, OTHER: None})

    def test_slow_reader(self) -> None:
        """A reader without room has no backlog, and gets the latest value once it has room again."""
        reader = self.world.read(signals=NAME, rate="20", room=300)
        self.run_mount(5)
        self.assertEqual(self.world.streams.behind, 0)
        self.assertGreater(self.world.live.missed, 80)
        reader.take()
        before = len(reader.named("signals"))
        self.run_mount(0.2)
        reader.take()
        values = [event["values"][NAME] for event in reader.named("signals")]
        self.assertGreaterEqual(values[before], 4.9)

    def test_encoded_once(self) -> None:
        """A hundred readers of the same signals at two rates cost one encoding in a turn."""
        calls: list[Any] = []
        encode = signals.as_json

        def counting(value: object) -> bytes:
            calls.append(value)
            return encode(value)

        for rate in ("20", "10"):
            for _ in range(50):
                self.world.read(signals=NAME, rate=rate)
        with patch.object(signals, "as_json", counting):
            self.run_mount(1)
        self.assertTrue(18 <= len(calls) <= 22, len(calls))

    def test_summary(self) -> None:
        """The summary comes at once, and then once a second, at any rate of the signals."""
        reader = self.world.read(signals="summary", rate="20")
        self.run_mount(5)
        self.assertEqual(reader.named("signals"), [])
        self.assertTrue(5 <= len(reader.named("summary")) <= 7)
        self.assertEqual(reader.named("summary")[0], {"word": "Stopped"})

    def test_events_too(self) -> None:
        """The stream has the records as before."""
        reader = self.world.read(signals=NAME, kind="message")
        self.world.record(2)
        self.run_mount(1)
        self.assertEqual(reader.sequence_ids, [1, 2])

    def test_not_asked(self) -> None:
        """Who asks for no signals gets none."""
        reader = self.world.read()
        self.run_mount(1)
        self.assertEqual([event.name for event in reader.events], ["hello"])
        self.assertEqual(len(self.world.clock.getDelayedCalls()), 1)  # the comments

    def test_leaving(self) -> None:
        """When the last reader leaves, nothing is due any more, even in the middle of a sending."""
        readers = [self.world.read(signals=f"{NAME},summary", rate="20") for _ in range(30)]
        self.house.say(1.0)
        self.world.clock.advance(0.05)
        self.world.clock.advance(0)
        for reader in readers:
            reader.leave()
        self.world.wait(1)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_one_fails(self) -> None:
        """If a summary can't be made, the signals of all readers go on, and the log says it once a minute."""
        made = signals.as_json

        def fail(value: Any) -> bytes:
            if isinstance(value, dict):  # the summary of this world
                raise ZeroDivisionError("a summary")
            return made(value)

        first = self.world.read(signals=f"{NAME},summary")
        second = self.world.read(signals=NAME, rate="20")
        with patch.object(signals, "as_json", fail), self.assertLogs(LOG, logging.ERROR) as logged:
            self.run_mount(5)
        self.assertGreater(len(first.named("signals")), 15)
        self.assertGreater(len(second.named("signals")), 90)
        self.assertEqual(len(first.named("summary")), 1)
        self.assertEqual(len(logged.output), 1)
        self.assertIn("web: signals could not be encoded", logged.output[0])
        self.run_mount(2)
        self.assertGreater(len(first.named("summary")), 1)

    def test_broken_first_summary(self) -> None:
        """If the first summary can't be made, the stream is opened, and gets the next one that can."""
        with patch.object(signals, "as_json", side_effect=OverflowError), self.assertLogs(LOG, "ERROR"):
            reader = self.world.read(signals=f"{NAME},summary")
        self.run_mount(2)
        self.assertGreater(len(reader.named("summary")), 0)
        self.assertGreater(len(reader.named("signals")), 0)


class FaultTests(LiveCase):
    """Wrong requests."""

    def faults(self, **query: str) -> dict[str, str]:
        """The faults of a request."""
        problem = self.failureResultOf(self.world.call(Request(), **query), RequestError).value
        self.assertEqual(problem.status, 422)
        return {fault.where: fault.why for fault in problem.faults}

    def test_names(self) -> None:
        """A wrong name is named, with the place that lists them."""
        why = self.faults(signals="azimuth.actualposition")["query.signals"]
        self.assertIn("there is no signal 'azimuth.actualposition'", why)
        self.assertIn("/api/v1/telemetry/signals", why)
        self.assertIn("query.signals", self.faults(signals=""))
        many = ",".join(list(self.house.signals.units)[: signals.MAX_SIGNALS + 1])
        self.assertIn("at most 64 signals, got 65", self.faults(signals=many)["query.signals"])

    def test_rates(self) -> None:
        """A rate that is no number, or out of its bounds, is refused."""
        for rate in ("0", "21", "-1", "nan", "inf", "fast", ""):
            why = self.faults(signals=NAME, rate=rate)["query.rate"]
            self.assertIn("expected a number from 0.1 to 20", why, rate)


class NoTelemetryTests(SynchronousTestCase):
    """Before a mount without telemetry."""

    def test_accepted(self) -> None:
        """Any name is accepted, so that one page serves both mounts; only the summary comes."""
        world = World(self)
        self.addCleanup(world.stop)
        reader = world.read(signals=f"{NAME},summary")
        world.wait(2)
        self.assertEqual(json.dumps(reader.named("signals")), "[]")
        self.assertTrue(reader.named("summary"))
