"""Tests of `mtmount_twisted.net.receive_queue`: the backlog and its bound, and who is served from it."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.receive_queue import ReceiveQueue


def decode(line: bytes) -> str:
    """The line as text; ``bad`` is none."""
    if line == b"bad":
        raise ValueError(line)
    return line.decode()


class InboxTests(SynchronousTestCase):
    """Lines in, messages out."""

    def setUp(self) -> None:
        self.calls: list[str] = []
        self.inbox = self.make(4)

    def make(self, limit: int) -> ReceiveQueue[str]:
        """An inbox that notes what it asks for."""
        return ReceiveQueue(
            decode, limit, lambda: self.calls.append("pause"), lambda: self.calls.append("resume")
        )

    def test_line_before_read(self) -> None:
        """What came is read at once, in order."""
        self.inbox.put([b"a", b"b"])
        self.assertEqual([self.successResultOf(self.inbox.get()) for _ in "ab"], ["a", "b"])

    def test_read_before_line(self) -> None:
        """Reads that wait are served in order."""
        reads = [self.inbox.get() for _ in "abc"]
        self.inbox.put([b"a", b"b"])
        self.assertEqual([self.successResultOf(read) for read in reads[:2]], ["a", "b"])
        self.assertNoResult(reads[2])

    def test_bad_line_fails_one_read(self) -> None:
        """A line that is no message fails one read, waiting or not, and the next goes on."""
        waiting = self.inbox.get()
        self.inbox.put([b"bad", b"a", b"bad", b"b"])
        self.failureResultOf(waiting, ValueError)
        self.assertEqual(self.successResultOf(self.inbox.get()), "a")
        self.failureResultOf(self.inbox.get(), ValueError)
        self.assertEqual(self.successResultOf(self.inbox.get()), "b")

    def test_cancelled_read_takes_no_line(self) -> None:
        """A line that comes after a read was cancelled goes to the next read."""
        cancelled = self.inbox.get()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.inbox.put([b"a"])
        self.assertEqual(self.successResultOf(self.inbox.get()), "a")

    def test_read_from_a_callback_waits_its_turn(self) -> None:
        """A callback that reads again is served after those who waited before it."""
        order: list[tuple[str, str]] = []

        def first(line: str) -> None:
            order.append(("first", line))
            self.inbox.get().addCallback(lambda line: order.append(("again", line)))

        self.inbox.get().addCallback(first)
        self.inbox.get().addCallback(lambda line: order.append(("second", line)))
        self.inbox.put([b"a", b"b", b"c"])
        self.assertEqual(order, [("first", "a"), ("second", "b"), ("again", "c")])

    def test_callback_that_reads_on_and_on(self) -> None:
        """A callback that always reads again gets all of a large chunk: the stack does not grow with it."""
        lines = [b"%d" % number for number in range(5000)]
        read: list[str] = []

        def take(line: str) -> None:
            read.append(line)
            self.inbox.get().addCallback(take)

        self.inbox.get().addCallback(take)
        self.inbox.put(lines)
        self.assertEqual(read, [line.decode() for line in lines])

    def test_lines_that_come_while_others_are_served(self) -> None:
        """Lines that come because one was read are served behind those that were there."""
        order: list[str] = []
        self.inbox.get().addCallback(lambda line: order.append(line) or self.inbox.put([b"c"]))
        for _ in "bc":
            self.inbox.get().addCallback(order.append)
        self.inbox.put([b"a", b"b"])
        self.assertEqual(order, ["a", "b", "c"])

    def test_len_is_what_a_new_read_could_have(self) -> None:
        """Lines that reads already wait for do not count."""
        lengths: list[int] = []
        self.inbox.get().addCallback(lambda line: lengths.append(len(self.inbox)))
        self.inbox.get()
        self.inbox.put([b"a", b"b", b"c"])
        self.assertEqual((lengths, len(self.inbox)), ([1], 1))

    def test_pause_at_the_limit_and_resume_at_half(self) -> None:
        """It asks once for a pause, at the limit, and once to go on, at half of it."""
        self.inbox.put([b"a", b"b", b"c"])
        self.assertEqual(self.calls, [])
        self.inbox.put([b"d"])
        self.inbox.put([b"e"])
        self.assertEqual(self.calls, ["pause"])
        self.inbox.get()
        self.inbox.get()
        self.assertEqual(self.calls, ["pause"])
        self.inbox.get()
        self.assertEqual(self.calls, ["pause", "resume"])
        self.inbox.get()
        self.inbox.put([b"f", b"g", b"h"])
        self.assertEqual(self.calls, ["pause", "resume", "pause"])

    def test_limit_of_one(self) -> None:
        """With a limit of 1, each line that nobody waits for is a pause."""
        inbox = self.make(1)
        inbox.get()
        inbox.put([b"a"])
        self.assertEqual(self.calls, [])
        inbox.put([b"b"])
        inbox.get()
        self.assertEqual(self.calls, ["pause", "resume"])

    def test_bad_limit(self) -> None:
        """A limit below 1 would never let anything in: it is refused, by the name that users give it."""
        with self.assertRaisesRegex(ValueError, "^max_unread: expected 1 or more"):
            self.make(0)

    def test_may_take(self) -> None:
        """A line may be taken when it is there and nobody waits for it, also while another is handed out."""
        allowed: list[bool] = [self.inbox.may_take()]
        self.inbox.get().addCallback(lambda line: allowed.append(self.inbox.may_take()))
        self.inbox.put([b"a", b"b"])
        allowed.append(self.inbox.may_take())
        self.assertEqual(allowed, [False, True, True])

    def test_fail_keeps_the_lines(self) -> None:
        """Reads that wait fail; lines that come later are not lost with them."""
        read = self.inbox.get()
        self.inbox.fail(ConnectionResetError)
        self.failureResultOf(read, ConnectionResetError)
        self.inbox.put([b"a"])
        self.assertEqual(self.successResultOf(self.inbox.get()), "a")
