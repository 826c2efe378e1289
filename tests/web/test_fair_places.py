"""Places that no user can keep from the others: `mtmount_twisted.frontends.web.api.fair_places`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.web.api.fair_places import MOST_AT_WORK, FairPlaces


class FairPlacesTests(SynchronousTestCase):
    """Which share gets a place, and when."""

    def setUp(self) -> None:
        self.begun: list[tuple[Deferred[Any], Any]] = []
        self.places = FairPlaces()

    def work(self, name: str) -> Deferred[Any]:
        """Work that ends when the test says so."""
        ending: Deferred[Any] = Deferred()
        self.begun.append((ending, name))
        return ending

    def names(self) -> list[str]:
        """What has begun, in order."""
        return [name for _, name in self.begun]

    def run_one(self, share: str, name: str) -> Deferred[Any]:
        """Some work of a share."""
        return self.places.run(share, lambda: self.work(name))

    def test_one_of_each(self) -> None:
        """A share has one place at a time, and the places that it can't have are for others."""
        for name in ("a1", "a2", "a3", "b1", "b2", "c1", "d1", "e1"):
            self.run_one(name[0], name)
        self.assertEqual(self.names(), ["a1", "b1", "c1", "d1"])
        self.assertEqual(len(self.begun), MOST_AT_WORK)
        self.assertEqual([self.places.count(share) for share in "abcdef"], [3, 2, 1, 1, 1, 0])

    def test_in_turn(self) -> None:
        """When a place is free, a share that did not have its turn comes first."""
        for name in ("a1", "a2", "a3", "b1", "c1", "d1", "e1"):
            self.run_one(name[0], name)
        self.begun[0][0].callback(None)
        self.assertEqual(self.names()[4:], ["e1"])
        self.begun[1][0].callback(None)
        self.assertEqual(self.names()[5:], ["a2"])

    def observe(self, *names: str) -> None:
        """Some work of observers."""
        for name in names:
            self.places.run(name[0], lambda name=name: self.work(name), observes=True)  # type: ignore[misc]

    def test_observers_leave_a_thread(self) -> None:
        """However many observers there are, one thread is kept for users with rights, who go first."""
        self.observe("a1", "b1", "c1", "d1", "e1")
        self.assertEqual(self.names(), ["a1"])
        self.assertTrue(self.places.are_short)
        for share in "wxyz":
            self.run_one(share, f"{share}1")
        self.assertEqual(self.names()[1:], ["w1", "x1", "y1"])
        for number, name in ((0, "z1"), (1, "b1"), (5, "c1"), (6, "d1"), (7, "e1")):
            self.begun[number][0].callback(None)
            self.assertEqual(self.names()[-1], name)
        self.assertEqual(len(self.names()), 9)
        self.assertFalse(self.places.are_short)

    def test_own_work_is_no_shortage(self) -> None:
        """No share is short of places if what waits is only behind its own work."""
        self.observe("a1", "a2")
        self.assertFalse(self.places.are_short)

    def test_results(self) -> None:
        """What comes of work, an error too, comes to whoever asked; then the next begins."""
        first, second = self.run_one("a", "a1"), self.run_one("a", "a2")
        self.begun[0][0].errback(Failure(ValueError("no")))
        self.failureResultOf(first, ValueError)
        self.begun[1][0].callback("yes")
        self.assertEqual(self.successResultOf(second), "yes")
        self.assertEqual(self.places.count("a"), 0)

    def test_error_in_place_of_work(self) -> None:
        """Where the work can't begin, the error comes to whoever asked, and nobody waits for it."""

        def none_left() -> Deferred[Any]:
            raise RuntimeError("can't start new thread")

        for _ in range(2):
            self.failureResultOf(self.places.run("a", none_left), RuntimeError)

    def test_many_errors_in_place_of_work(self) -> None:
        """However many wait as the work can begin no more, each gets the error, also at the same time."""

        def ended() -> Deferred[Any]:
            raise RuntimeError("the process has ended")

        for name in "abcd":
            self.run_one(name, name)
        waiting = [self.places.run(f"share {number}", ended) for number in range(1000)]
        self.begun[0][0].callback(None)
        for each in waiting:
            self.failureResultOf(each, RuntimeError)

    def test_cancelled_while_it_waits(self) -> None:
        """Work that nobody wants any more before its turn is forgotten at once, and takes no place."""
        self.run_one("a", "a1")
        unwanted, wanted = self.run_one("a", "a2"), self.run_one("a", "a3")
        unwanted.cancel()
        self.failureResultOf(unwanted, CancelledError)
        self.assertEqual(self.places.count("a"), 2)
        self.begun[0][0].callback(None)
        self.assertEqual(self.names(), ["a1", "a3"])
        self.begun[1][0].callback("yes")
        self.assertEqual(self.successResultOf(wanted), "yes")

    def test_cancelled_while_it_runs(self) -> None:
        """Work that nobody wants any more keeps its place while its thread runs; its result is dropped."""
        unwanted, wanted = self.run_one("a", "a1"), self.run_one("a", "a2")
        unwanted.cancel()
        self.failureResultOf(unwanted, CancelledError)
        self.assertEqual((self.places.count("a"), self.names()), (2, ["a1"]))
        self.begun[0][0].errback(Failure(ValueError("late")))
        self.assertEqual(self.names(), ["a1", "a2"])
        wanted.cancel()
        self.failureResultOf(wanted, CancelledError)
        self.begun[1][0].callback("late")
        self.assertEqual(self.places.count("a"), 0)

    def test_begins(self) -> None:
        """Whoever wants work is told when its thread begins, and may end the wait for it from then on."""
        begun: list[Deferred[Any]] = []
        self.run_one("a", "a1")
        done = self.places.run("a", lambda: self.work("a2"), begun.append)
        self.assertEqual(begun, [])
        self.begun[0][0].callback(None)
        self.assertEqual(begun, [done])
