"""How fast the mount answered, as the daemon counts it for the page."""

from __future__ import annotations

import json
import logging
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import CommandCode, Source
from mtmount_twisted.frontends.web.api.acks import AckTimes
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.calls import Call, User
from tests.support.records import RecordMaker

START = 1_700_000_000.0
"""The wall clock when the reactor's clock is 0, in Unix seconds."""


class AckTimesTests(SynchronousTestCase):
    """`AckTimes` between a bus on which a test publishes and a page that asks."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = EventBus(self.clock, wall_clock=self.now)
        self.records = RecordMaker(self.bus.publish, self.bus.now)
        self.acks = AckTimes(self.bus, DIALECT, self.clock, Stamps(self.clock, self.now))
        self.key = 0

    def now(self) -> float:
        """The wall clock."""
        return START + self.clock.seconds()

    def step(self, step: str, key: int, explanation: str = "") -> None:
        """Record a step of a command of ``csc``."""
        self.records.step(key, step, "csc", 1, key, int(CommandCode.AZIMUTH_AXIS_TRACK), 1, explanation)

    def answer(self, step: str, seconds: float, explanation: str = "") -> None:
        """Record a command that is answered after so many seconds."""
        self.key += 1
        self.step("received", self.key)
        self.step("sent", self.key)
        self.clock.advance(seconds)
        self.step(step, self.key, explanation)

    def get(self) -> Any:
        """Return what a page is answered."""
        (route,) = self.acks.routes()
        self.assertEqual((route.method, route.path, route.role), ("GET", "/api/v1/acks", "observe"))
        call = Call(User("x", frozenset(), Source.CSC))
        answer: Any = self.successResultOf(Deferred.fromCoroutine(route.respond(call)))  # type: ignore[arg-type]
        self.assertEqual(answer.headers, {"Content-Type": "application/json"})
        return json.loads(answer.body)

    def counts(self) -> list[tuple[float, float, int]]:
        """Return the bins that are not empty as (from s, to s, count), over all columns."""
        told = self.get()
        edges = [0.0, *told["bounds"], float("inf")]
        sums = [sum(counts) for counts in zip(*(column["counts"] for column in told["columns"]))]
        return [(*edges[bin : bin + 2], count) for bin, count in enumerate(sums) if count]  # type: ignore[misc]

    def test_every_answer_of_ten_minutes_of_tracking(self) -> None:
        """All 24,000 answers of ten minutes at 40 a second are counted, and none of what was before."""
        for _ in range(40 * 700):
            self.answer("ack", 0.003)
            self.clock.advance(0.022)
        ((least, most, count),) = self.counts()
        self.assertLess(least, 0.003)
        self.assertGreater(most, 0.003)
        self.assertGreaterEqual(count, 40 * 600)
        self.assertLess(count, 40 * 606)  # whole columns of 5 s

    def test_bins(self) -> None:
        """An answer is counted between two bounds at most 26 % apart, or below or above all of them."""
        for seconds in (0.0004, 0.0034, 0.9, 30.0):
            self.answer("ack", seconds)
        found = self.counts()
        self.assertEqual([count for _, _, count in found], [1, 1, 1, 1])
        self.assertEqual((found[0][:2], found[3][:2]), ((0.0, 0.001), (10.0, float("inf"))))
        for (least, most, _), seconds in zip(found[1:3], (0.0034, 0.9)):
            self.assertLessEqual(least, seconds)
            self.assertGreater(most, seconds)
            self.assertLess(most / least, 1.27)
        self.assertEqual(max(column["slowest"] for column in self.get()["columns"]), 30.0)

    def test_no_ack(self) -> None:
        """A NoAck and a time-out are counted apart from Acks; an end without the mount's part is not."""
        for step in ("noack", "timed_out", "noack", "outcome_unknown"):
            self.answer(step, 0.1)
        (column,) = self.get()["columns"]
        self.assertEqual((column["refused"], column["unanswered"], sum(column["counts"])), (2, 1, 0))

    def test_only_the_first_ack(self) -> None:
        """What comes after the first Ack of a command is not its time to Ack."""
        self.answer("ack", 0.01)
        self.clock.advance(2)
        for step in ("ack", "done", "timed_out"):
            self.step(step, self.key)
        self.assertEqual([count for _, _, count in self.counts()], [1])
        self.assertEqual(self.get()["columns"][0]["unanswered"], 0)

    def test_nothing_is_kept_of_what_ended(self) -> None:
        """A command that has ended is timed no more, whichever its end, acknowledged before or not."""
        for end in ("done", "timed_out", "outcome_unknown", "noack"):
            for steps in ((), ("ack",)):
                self.key += 1
                for step in ("received", "sent", *steps, end):
                    self.records.step(
                        self.key, step, "csc", 1, self.key, int(CommandCode.AZIMUTH_AXIS_MOVE), 1
                    )
        counted = sum(self.acks.to_ack.counts), sum(self.acks.to_done.counts)
        self.assertEqual(counted, (4, 2))
        self.answer("ack", 0.1)  # a command that has no more than an Ack
        for key in range(1, self.key + 1):
            for step in ("ack", "done"):
                self.step(step, key)
        self.assertEqual((sum(self.acks.to_ack.counts), sum(self.acks.to_done.counts)), (5, 2))

    def test_times(self) -> None:
        """Columns and the last answer have their time of day; the counts begin with the daemon."""
        self.clock.advance(7)
        self.answer("ack", 0.25)
        told = self.get()
        self.assertEqual(told["since"], "2023-11-14T22:13:20.000Z")
        self.assertEqual(told["columns"][0]["time"], "2023-11-14T22:13:25.000Z")
        self.assertEqual(told["last"], {"time": "2023-11-14T22:13:27.250Z", "seconds": 0.25, "step": "ack"})
        self.clock.advance(1000)
        told = self.get()
        self.assertEqual(told["since"], "2023-11-14T22:20:07.250Z")
        self.assertEqual(told["columns"], [])

    def test_last_refusals(self) -> None:
        """The last five refusals are told with command, commander and explanation."""
        self.assertEqual((self.get()["last"], self.get()["refusals"]), (None, []))
        self.clock.advance(1)
        for number in range(7):
            self.answer("noack", 0.5, f"azimuth is off, {number}")
        refusals = self.get()["refusals"]
        self.assertEqual(
            [one["explanation"] for one in refusals], [f"azimuth is off, {n}" for n in range(2, 7)]
        )
        self.assertEqual(refusals[-1]["command"], "AzimuthAxisTrack")
        self.assertEqual(refusals[-1]["commander"], "csc")
        self.assertEqual(refusals[-1]["time"], "2023-11-14T22:13:24.500Z")

    def test_one_answer_for_all_who_ask_at_once(self) -> None:
        """However many pages ask within a second, the counts are written out once."""
        self.answer("ack", 0.0)
        first = self.get()
        self.answer("ack", 0.0)
        self.assertEqual(self.get(), first)
        self.clock.advance(1)
        self.assertEqual([count for _, _, count in self.counts()], [2])

    def test_closed(self) -> None:
        """After `close`, which can be called twice, nothing is counted."""
        self.acks.close()
        self.acks.close()
        self.answer("ack", 0.1)
        self.assertEqual(self.get()["columns"], [])


class QuietTests(SynchronousTestCase):
    """Whoever watches the bridge must not fail."""

    def test_unknown_steps(self) -> None:
        """A step of a command whose sending was not heard changes nothing."""
        clock = Clock()
        bus = EventBus(clock, wall_clock=clock.seconds, log=logging.getLogger("mtmount_twisted.tests.acks"))
        records = RecordMaker(bus.publish, bus.now)
        acks = AckTimes(bus, DIALECT, clock, Stamps(clock, clock.seconds))
        for step in ("ack", "done", "timed_out", "refused"):
            records.step(7, step, "csc", 1, 7, 9999, 1, "")
        self.assertEqual((acks.shape().columns, len(bus.subscribers)), ([], 1))
