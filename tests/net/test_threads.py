"""`mtmount_twisted.net.threads`: work that may hang, in threads that nobody waits for."""

from __future__ import annotations

import threading
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.app.daemon import stop
from mtmount_twisted.net.threads import call_each_within, in_daemon_thread
from tests.support.threads import no_threads


class InDaemonThreadTests(TestCase):
    """`in_daemon_thread`."""

    async def test_result(self) -> None:
        """The result comes in the reactor's thread."""
        self.assertEqual(await in_daemon_thread(reactor, lambda: 1, "test"), 1)
        self.assertIs(threading.current_thread(), threading.main_thread())

    async def test_failure(self) -> None:
        """So does an error, the end of the program among them."""
        with self.assertRaises(SystemExit):
            await in_daemon_thread(reactor, lambda: stop("d", "why"), "test")

    def test_no_thread(self) -> None:
        """If the system can't start the thread, that is the outcome of the call, which raises nothing."""
        with no_threads():
            failed = in_daemon_thread(reactor, lambda: 1, "test")
        error = self.failureResultOf(failed, OSError).value
        self.assertIn("the system can't start a thread: can't start new thread", str(error))

    async def test_cancelled(self) -> None:
        """A cancelled call fails at once; its late result is dropped, and is no error."""
        begun: Deferred[None] = Deferred()
        hangs = threading.Event()
        self.addCleanup(hangs.set)
        threads: list[threading.Thread] = []

        def work() -> int:
            threads.append(threading.current_thread())
            reactor.callFromThread(begun.callback, None)
            hangs.wait()
            return 1

        result = in_daemon_thread(reactor, work, "test")
        await begun
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertTrue(threads[0].daemon, "or Python would wait for it")
        hangs.set()
        threads[0].join()
        later = in_daemon_thread(reactor, lambda: 2, "test")
        self.assertEqual(await later, 2, "which comes after the result of the first")


class CallEachWithinTests(SynchronousTestCase):
    """`call_each_within`."""

    def setUp(self) -> None:
        self.never = threading.Event()
        self.addCleanup(self.never.set)

    def test_outcomes(self) -> None:
        """Results and errors come in the order of the functions, though each waits for the one after it."""
        second = threading.Event()

        def first_work() -> str:
            second.wait()
            return "first"

        def second_work() -> str:
            second.set()
            raise SystemExit("second")

        first, error = call_each_within(10, [first_work, second_work], "test", "late")
        self.assertEqual(first, "first")
        self.assertIsInstance(error, SystemExit)
        self.assertEqual(call_each_within(10, [], "test", "late"), [])

    def test_late(self) -> None:
        """A function that hangs is a `TimeoutError`; the others have their results."""
        late, result = call_each_within(0.05, [self.never.wait, lambda: True], "test", "no answer in time")
        self.assertIsInstance(late, TimeoutError)
        self.assertEqual(str(late), "no answer in time")
        self.assertIs(result, True)

    def test_no_thread(self) -> None:
        """A function for which no thread can be started has that error; the others have their results."""
        start = threading.Thread.start
        started: list[threading.Thread] = []

        def start_first(thread: threading.Thread) -> None:
            if started:
                raise RuntimeError("can't start new thread")
            started.append(thread)
            start(thread)

        with mock.patch.object(threading.Thread, "start", start_first):
            result, error = call_each_within(10, [lambda: 1, lambda: 2], "test", "late")
        self.assertEqual(result, 1)
        self.assertIsInstance(error, OSError)
