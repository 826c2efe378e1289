"""Tests of `mtmount_twisted.net.waiting`: each Deferred ends exactly once, in order."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.waiting import Waiters


class WaitersTests(SynchronousTestCase):
    """A queue of Deferreds."""

    def setUp(self) -> None:
        self.waiters: Waiters[int] = Waiters()
        self.results: list[tuple[str, object]] = []

    def wait(self, name: str) -> Deferred[int]:
        """Wait, and note under this name how it ends."""
        waiter = self.waiters.wait()
        waiter.addCallbacks(
            lambda result: self.results.append((name, result)),
            lambda reason: self.results.append((name, reason.type)),
        )
        return waiter

    def test_first_come_first_served(self) -> None:
        """`first` gives the one that waited longest, and takes it out."""
        first, second = self.waiters.wait(), self.waiters.wait()
        self.assertEqual(len(self.waiters), 2)
        self.assertIs(self.waiters.first(), first)
        self.assertIs(self.waiters.first(), second)
        self.assertEqual(len(self.waiters), 0)

    def test_fire(self) -> None:
        """All that wait get the result, in order, and none of them twice."""
        self.wait("a")
        self.wait("b")
        self.waiters.fire(1)
        self.waiters.fire(2)
        self.assertEqual(self.results, [("a", 1), ("b", 1)])

    def test_fail(self) -> None:
        """Each that waits gets an error of its own."""
        made: list[ValueError] = []

        def make_error() -> ValueError:
            made.append(ValueError())
            return made[-1]

        first, second = self.waiters.wait(), self.waiters.wait()
        self.waiters.fail(make_error)
        errors = [self.failureResultOf(waiter, ValueError).value for waiter in (first, second)]
        self.assertEqual([id(error) for error in errors], [id(error) for error in made])
        self.assertEqual(len(made), 2)

    def test_cancelled_one_takes_nothing(self) -> None:
        """A cancelled one leaves the queue, and what comes goes to the next."""
        cancelled = self.wait("a")
        self.wait("b")
        cancelled.cancel()
        self.waiters.first().callback(1)
        self.assertEqual(self.results, [("a", CancelledError), ("b", 1)])

    def test_cancel_by_an_earlier_one(self) -> None:
        """One that is cancelled by what an earlier one does is not ended again."""
        first = self.waiters.wait()
        first.addCallback(lambda result: second.cancel())
        second = self.wait("b")
        self.wait("c")
        self.waiters.fire(1)
        self.assertEqual(self.results, [("b", CancelledError), ("c", 1)])

    def test_wait_meanwhile(self) -> None:
        """One that begins to wait because another ended is not ended with it."""
        self.waiters.wait().addCallback(lambda result: self.wait("again") and None)
        self.waiters.fire(1)
        self.assertEqual((self.results, len(self.waiters)), ([], 1))
