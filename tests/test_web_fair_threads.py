"""Threads that no user can keep from the others: `mtmount_twisted.web.fair_threads`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.web.fair_threads import THREADS, FairThreads


class FairThreadsTests(SynchronousTestCase):
    """Who gets a thread, and when."""

    def setUp(self) -> None:
        self.begun: list[tuple[Deferred[Any], Any]] = []
        self.threads = FairThreads(self.in_thread)

    def in_thread(self, work: Any) -> Deferred[Any]:
        """A thread that ends when the test says so."""
        ending: Deferred[Any] = Deferred()
        self.begun.append((ending, work()))
        return ending

    def names(self) -> list[str]:
        """What has begun, in order."""
        return [name for _, name in self.begun]

    def run_one(self, share: str, name: str) -> Deferred[Any]:
        """Some work of a share."""
        return self.threads.run(share, lambda: name)

    def test_one_of_each(self) -> None:
        """A share has one thread at a time, and the threads that it can't have are for others."""
        for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
            self.run_one(name[0], name)
        self.assertEqual(self.names(), ["a1", "b1", "c1"])
        self.assertEqual(len(self.begun), THREADS)
        self.assertEqual([self.threads.count(share) for share in "abcd"], [3, 2, 1, 0])

    def test_in_turn(self) -> None:
        """When a thread is free, a share that did not have its turn comes first."""
        for name in ("a1", "a2", "a3", "b1", "c1", "d1"):
            self.run_one(name[0], name)
        self.begun[0][0].callback(None)
        self.assertEqual(self.names()[3:], ["d1"])
        self.begun[1][0].callback(None)
        self.assertEqual(self.names()[4:], ["a2"])

    def test_results(self) -> None:
        """What comes of work, an error too, comes to whoever asked; then the next begins."""
        first, second = self.run_one("a", "a1"), self.run_one("a", "a2")
        self.begun[0][0].errback(Failure(ValueError("no")))
        self.failureResultOf(first, ValueError)
        self.begun[1][0].callback("yes")
        self.assertEqual(self.successResultOf(second), "yes")
        self.assertEqual(self.threads.count("a"), 0)

    def test_error_in_place_of_a_thread(self) -> None:
        """Where no thread can be made, the error comes to whoever asked, and nobody waits for it."""

        def none_left(work: Any) -> Deferred[Any]:
            raise RuntimeError("can't start new thread")

        threads = FairThreads(none_left)
        for _ in range(2):
            self.failureResultOf(threads.run("a", list), RuntimeError)

    def test_unwanted(self) -> None:
        """Work that nobody wants any more by the time of its turn is left out."""
        self.run_one("a", "a1")
        told: list[str] = []
        left_out = self.threads.run("a", lambda: "a2", lambda: told.append("begins"), lambda: True)
        self.run_one("a", "a3")
        self.begun[0][0].callback(None)
        self.assertIsNone(self.successResultOf(left_out))
        self.assertEqual((self.names(), told), (["a1", "a3"], []))
