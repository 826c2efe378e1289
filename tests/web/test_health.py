"""Whether the daemon is alive and ready, and how late its event loop is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.api.health import INTERVAL, Health, LoopWatch, Spread
from mtmount_twisted.frontends.web.http.calls import Answer, Call, User
from tests.support.web import as_read

LOST = {"lost_rows": {"with_rights": 3, "without_rights": 2}, "broker": None, "station": None}

CALL = Call(User("x", frozenset(), Source.CSC))


class LateClock(Clock):
    """A clock of a loop that may do something else for a while."""

    def block(self, seconds: float) -> None:
        """Let time pass in which nothing is called, then what is due by then."""
        self.rightNow += seconds
        self.advance(0)


class HealthTests(SynchronousTestCase):
    """What is answered."""

    def setUp(self) -> None:
        self.pair = SimpleNamespace(listen_error=None)
        self.bridge = SimpleNamespace(link=object())
        parts = {"bridge": self.bridge, "all_pairs": [self.pair], "port_failures": []}
        self.service = SimpleNamespace(**parts, broker=None, leadership=None, others=None)
        self.journal = SimpleNamespace(fault="", losing=False, lost=5, lost_unprivileged=2)
        self.health = Health(self.service, self.journal)

    def ask(self, path: str) -> Answer:
        """What is answered at a path."""
        (route,) = (route for route in self.health.routes() if route.path == path)
        self.assertEqual((route.method, route.role), ("GET", None))
        answer: Answer = self.successResultOf(Deferred.fromCoroutine(cast(Any, route.respond(CALL))))
        return answer

    def test_alive(self) -> None:
        """A process that turns says so, whatever is lacking."""
        self.bridge.link = None
        answer = self.ask("/healthz")
        self.assertEqual((answer.status, as_read(answer.body)), (200, {"ok": True}))

    def test_ready(self) -> None:
        """With the controller's link up, all listeners up and a journal without fault it is ready."""
        answer = self.ask("/readyz")
        self.assertEqual((answer.status, as_read(answer.body)), (200, {"ready": True, "lacks": [], **LOST}))

    def test_broker(self) -> None:
        """The response has the state of the broker, and the mount is ready without it."""
        state = {"connected": False, "problem": "no connection", "restarts": 2, "losses": 3}
        state |= {"full": ["MT_CMD_day"]}
        self.service.broker = SimpleNamespace(**state, rows=12, seconds=3.5)
        answer = self.ask("/readyz")
        told = {**state, "lag_rows": 12, "lag_seconds": 3.5}
        self.assertEqual(answer.status, 200)
        self.assertEqual(as_read(answer.body), {"ready": True, "lacks": [], **LOST, "broker": told})

    def test_standby(self) -> None:
        """A standby is not ready, and names the bridge with the lease: the missing link is no fault."""
        self.bridge.link = None
        place = {"node": "b", "state": "standby", "holder": "a", "epoch": 0}
        self.service.leadership = SimpleNamespace(**place)
        answer = self.ask("/readyz")
        self.assertEqual((answer.status, as_read(answer.body)["lacks"]), (503, ["standby"]))
        self.assertEqual(as_read(answer.body)["station"], place)
        place["state"] = "alone"
        self.service.leadership = SimpleNamespace(**place)
        self.assertEqual(as_read(self.ask("/readyz").body)["lacks"], ["controller"])

    def test_not_ready(self) -> None:
        """What is lacking is told, with 503."""
        self.bridge.link = None
        self.journal.fault = "the disk is full"
        answer = self.ask("/readyz")
        expected = {"error": "not ready", "ready": False, "lacks": ["controller", "journal"], **LOST}
        self.assertEqual((answer.status, as_read(answer.body)), (503, expected))

    def test_rows_are_lost(self) -> None:
        """While rows of clients with rights are lost it is not ready, and says so."""
        self.journal.losing = True
        answer = self.ask("/readyz")
        expected = {"error": "not ready", "ready": False, "lacks": ["journal_rows"], **LOST}
        self.assertEqual((answer.status, as_read(answer.body)), (503, expected))

    def test_listeners(self) -> None:
        """A pair or a port that can't listen is lacking."""
        self.pair.listen_error = OSError()
        self.assertEqual(self.health.lacks(), ["listeners"])
        self.pair.listen_error = None
        self.service.port_failures.append("desk: can't listen")
        self.assertEqual(self.health.lacks(), ["listeners"])


class LoopWatchTests(SynchronousTestCase):
    """The event loop's lag."""

    def setUp(self) -> None:
        self.clock = LateClock()
        self.clock.advance(100.1)
        self.watch = LoopWatch(self.clock)
        self.stopped: list[Any] = []
        self.watch.start().addCallback(self.stopped.append)

    def test_in_time(self) -> None:
        """A loop that is never late has no lag."""
        for _ in range(8):
            self.clock.advance(INTERVAL)
        self.assertEqual(sum(self.watch.lags.counts), 8)
        self.assertAlmostEqual(self.watch.lags.total, 0)

    def test_late(self) -> None:
        """A loop that is busy for a while is late by what was left of it when the measurement was due."""
        self.clock.block(INTERVAL + 0.6)
        self.assertAlmostEqual(self.watch.last, 0.6)
        self.assertAlmostEqual(self.watch.lags.total, 0.6)
        self.clock.block(INTERVAL - 0.1)  # the next multiple of the interval is nearer than an interval
        self.assertAlmostEqual(self.watch.last, 0)
        self.clock.block(INTERVAL + 0.02)
        self.assertAlmostEqual(self.watch.last, 0.02)

    def test_stop(self) -> None:
        """It can be stopped, twice, and leaves no timer; and before it was started."""
        self.watch.stop()
        self.watch.stop()
        self.assertEqual((len(self.stopped), self.clock.getDelayedCalls()), (1, []))
        LoopWatch(self.clock).stop()


class SpreadTests(SynchronousTestCase):
    """Counting by size."""

    def test_bounds(self) -> None:
        """A figure counts at the first bound that it does not pass, or beyond the last."""
        spread = Spread((1.0, 2.0))
        for figure in (0.5, 1.0, 1.5, 9.0):
            spread.add(figure)
        self.assertEqual((spread.counts, spread.total), ([2, 1, 1], 12.0))
