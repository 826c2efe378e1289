"""The child process for the broker, played by the test: started, watched, killed, started again."""

from __future__ import annotations

import logging
import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.frontends.broker import supervisor
from mtmount_twisted.frontends.broker.service import BrokerService
from mtmount_twisted.frontends.broker.words import (
    CONNECTING,
    MAX_LINE,
    MAX_TELEMETRY,
    Begin,
    End,
    Log,
    More,
    Ping,
    Telemetry,
    encode,
    read_to_child,
)
from mtmount_twisted.interfaces import IBrokerState
from mtmount_twisted.net.event_order import Group
from tests.support.children import Child, ChildClock

LOG = logging.getLogger("mtmount_twisted.tests.broker")


def begin(**more: Any) -> Begin:
    """A configuration."""
    usual: dict[str, Any] = {"mount": "t1", "node": "a", "journal": "/j", "dialect": "tma2022"}
    broker: dict[str, Any] = {"servers": ["nats://127.0.0.1:4222"], "credentials": None, "ca": None}
    rest: dict[str, Any] = {"replicas": 1, "events": True, "telemetry": False, "window": 256}
    return Begin(**{**usual, **broker, **rest, **more})


class Values:
    """Telemetry: some lines, of which each has a number."""

    def __init__(self) -> None:
        self.all: list[bytes] = []

    @property
    def lines(self) -> int:
        return len(self.all)

    def since(self, number: int) -> list[bytes]:
        return self.all[number:]


class BrokerCase(SynchronousTestCase):
    """A service on a reactor that the test moves."""

    def setUp(self) -> None:
        self.reactor = ChildClock()
        self.values = Values()
        self.make()

    def make(self, **more: Any) -> None:
        """A new service."""
        self.service = BrokerService(begin(**more), LOG, lambda: self.values, self.reactor)  # type: ignore[arg-type,return-value]
        self.service.startService()

    @property
    def child(self) -> Child:
        """The last process that was started."""
        return self.reactor.children[-1]

    def alive(self, seconds: float) -> None:
        """Let time pass while the child answers each second."""
        for _ in range(round(seconds)):
            self.reactor.pass_time(1)
            self.child.answers()


class StartTests(BrokerCase):
    """What the child gets."""

    def test_program(self) -> None:
        """The child is this package's, in this Python, not in the folder where the daemon was started."""
        self.assertEqual(self.child.words[1:], ["-P", "-m", "mtmount_twisted.station"])
        self.assertNotIn("t1", " ".join(self.child.words))

    def test_first_lines(self) -> None:
        """It gets the configuration first, then how far the journal's file goes."""
        self.assertEqual(self.child.got, [begin()])
        self.service.settle(5)
        self.service.settle(7)
        self.assertEqual(self.child.got, [More(5), More(7)])

    def test_group_of_its_socket(self) -> None:
        """The socket of the process waits for no crowd: stops and the election go through it."""
        transport: Any = self.child.transport
        self.assertEqual(transport.event_group(), Group.FIRST)

    def test_questions(self) -> None:
        """It is asked for a sign of life each second."""
        self.child.got  # noqa: B018
        self.reactor.pass_time(2)
        self.assertEqual(self.child.got, [Ping(1), Ping(2)])

    def test_child_that_does_not_read(self) -> None:
        """What a child does not read is conflated: one line once it reads again."""
        self.child.got  # noqa: B018
        self.child.link.pauseProducing()
        for id in range(1, 1000):
            self.service.settle(id)
        self.assertEqual(self.child.got, [])
        self.child.link.resumeProducing()
        self.assertEqual(self.child.got, [More(999)])

    def test_telemetry(self) -> None:
        """The latest lines go to the child every 0.2 s, as they are; none while it does not read."""
        self.service.stopService()
        self.make(telemetry=True)
        self.child.got  # noqa: B018
        self.values.all = [b'{"topicID":6,"timestamp":1.0}', b'{"topicID":7,"timestamp":1.0}']
        self.reactor.advance(0.2)
        [told] = self.child.got
        assert isinstance(told, Telemetry)
        self.assertEqual([line.encode() for line in told.lines], self.values.all)
        self.reactor.advance(0.2)
        self.assertEqual(self.child.got, [])
        self.child.link.pauseProducing()
        self.values.all.append(b"{}")
        self.reactor.advance(0.2)
        self.child.link.resumeProducing()
        self.assertEqual(self.child.got, [])

    def test_telemetry_that_is_no_strict_json(self) -> None:
        """NaN, a line end within a line and many quotes reach the child, and end no other line."""
        self.service.stopService()
        self.make(telemetry=True)
        self.child.got  # noqa: B018
        head = b'{"topicID":6,"timestamp":1.0,'
        self.values.all = [head + b'"a":NaN}', head + b'\n"a":1}', head + b'"a":"%b"}' % (b'\\"' * 30_000)]
        self.reactor.advance(0.2)
        [told] = self.child.got
        self.assertEqual([line.encode() for line in told.lines], self.values.all)
        quotes = b'"' * (MAX_TELEMETRY // 100)
        self.values.all += [quotes] * 200
        self.reactor.advance(0.2)
        line = self.child.transport.value()
        self.assertLess(len(line), MAX_LINE)
        [told] = self.child.got
        self.assertLess(90, len(told.lines))

    def test_lines(self) -> None:
        """Each line to the child can be read by it."""
        for line in (begin(), More(2**60), Ping(1), End()):
            self.assertEqual(read_to_child(encode(line)), line)


class StateTests(BrokerCase):
    """What the child says."""

    def test_state(self) -> None:
        """The state is the one of the last answer, and unknown without a child."""
        verifyObject(IBrokerState, self.service)
        self.assertEqual((self.service.connected, self.service.rows), (False, 0))
        self.assertIn("not answered yet", self.service.problem)
        self.child.answers(rows=12, seconds=3.5)
        self.assertEqual((self.service.connected, self.service.problem), (True, ""))
        self.assertEqual((self.service.rows, self.service.seconds, self.service.published), (12, 3.5, 7))
        self.child.ends(signal.SIGKILL)
        self.assertEqual((self.service.connected, self.service.rows), (False, 0))

    def test_log(self) -> None:
        """The log has a line when the broker is connected, lost and back, and not for each attempt."""
        with self.assertLogs(LOG, "INFO") as caught:
            self.child.answers(False, CONNECTING)
            self.child.answers(rows=4)
            self.reactor.pass_time(1)
            self.child.answers(False, "no connection to nats://127.0.0.1:4222: refused")
            self.reactor.pass_time(3)
            self.child.answers(False, "no connection to nats://127.0.0.1:4222: refused")
            self.child.answers(rows=2)
        self.assertEqual(
            [record.getMessage() for record in caught.records],
            [
                "the broker is connected; 4 events wait for it",
                "the broker is not connected: no connection to nats://127.0.0.1:4222: refused; the journal "
                "keeps the events",
                "the broker is connected again after 3 s; 2 events wait for it",
            ],
        )

    def test_losses_between_two_answers(self) -> None:
        """A connection that is lost and up again between two answers is counted, and the log has a few lines.
        Three losses in a minute are a problem; a minute later they are none."""
        with self.assertLogs(LOG, "WARNING") as caught:
            for losses in range(8):
                self.child.answers(losses=losses, loss="nats: maximum control line exceeded")
                self.reactor.pass_time(1)
        text = "the connection to the broker was lost, and is up again: nats: maximum control line exceeded"
        self.assertEqual([record.getMessage() for record in caught.records], [text])
        self.assertEqual((self.service.connected, self.service.losses), (True, 7))
        self.assertIn("lost again and again: nats: maximum control", self.service.problem)
        self.alive(61)
        self.assertEqual(self.service.problem, "")

    def test_losses_over_a_restart(self) -> None:
        """The count goes on with the next child."""
        self.child.answers(losses=2)
        self.child.ends(signal.SIGKILL)
        self.reactor.pass_time(1)
        self.child.answers(losses=1)
        self.assertEqual(self.service.losses, 3)

    def test_full_streams(self) -> None:
        """A stream without room is named, and the log has a line when that begins."""
        with self.assertLogs(LOG, "ERROR") as caught:
            for _ in range(3):
                self.child.answers(full=["MT_CMD_day"], ignored=5)
        self.assertEqual(len(caught.records), 1)
        self.assertIn("the stream MT_CMD_day has no room", caught.records[0].getMessage())
        self.assertEqual((self.service.full, self.service.ignored), (["MT_CMD_day"], 5))

    def test_lines_for_the_log(self) -> None:
        """The child's own lines are logged, a few in a minute, without control characters."""
        with self.assertLogs(LOG, "INFO") as caught:
            self.child.says(*(Log(30, "word\x1b[31m") for _ in range(100)))
        self.assertEqual(len(caught.records), 10)
        self.assertNotIn("\x1b", caught.records[0].getMessage())


class FaultTests(BrokerCase):
    """A child that hangs, floods or ends."""

    def killed(self) -> str:
        """The reason in the log for which the child is killed, once the system has ended it."""
        self.assertEqual(self.child.signals, ["KILL"])
        self.assertTrue(self.child.transport.aborted)
        with self.assertLogs(LOG, "ERROR") as caught:
            self.child.ends(signal.SIGKILL)
        return caught.records[0].getMessage()

    def test_hanging(self) -> None:
        """A child that answers no more for 5 s is killed, and another one is started 0.5 s later."""
        self.alive(3)
        self.reactor.pass_time(supervisor.ANSWER_TIME - 1)
        self.assertEqual(self.child.signals, [])
        self.reactor.pass_time(1.5)
        self.assertIn("it does not answer; the next one starts in 0.5 s", self.killed())
        self.reactor.pass_time(0.5)
        self.assertEqual(len(self.reactor.children), 2)
        self.assertEqual(self.service.restarts, 1)

    def test_slow_start(self) -> None:
        """A child has 30 s to start."""
        self.reactor.pass_time(supervisor.START_TIME - 1)
        self.assertEqual(self.child.signals, [])
        self.reactor.pass_time(1.5)
        self.assertIn("it does not start", self.killed())

    def test_paused_daemon(self) -> None:
        """Answers that came while the daemon was stopped count: it reads before it judges."""
        self.alive(1)
        self.reactor.rightNow += 20
        self.reactor.callLater(0, lambda: self.reactor.callLater(0, self.child.answers))
        for _ in range(200):
            self.reactor.advance(0)
        self.assertEqual(self.child.signals, [])

    def test_floods(self) -> None:
        """A child that sends too much, on any way, is killed before it is read further."""
        for flood in (
            lambda: self.child.link.dataReceived(b"x" * supervisor.MOST_BYTES + b"\n"),
            lambda: self.child.link.dataReceived(b"x" * 10_000),
            lambda: [self.child.protocol.errReceived(b"x" * 1000) for _ in range(70)],
            lambda: [self.child.protocol.outReceived(b"x" * 1000) for _ in range(70)],
            lambda: self.child.link.dataReceived(b"nonsense\n"),
            lambda: self.child.link.dataReceived(b'{"type":"log","level":99,"text":""}\n'),
            lambda: self.child.link.dataReceived(b'{"type":"log","x":' + b"[" * 4000 + b"\n"),
        ):
            self.alive(70)
            flood()
            words = "floods the daemon|a line that is too long|a malformed line|malformed"
            self.assertRegex(self.killed(), words)
            self.reactor.pass_time(1)

    def test_last_words(self) -> None:
        """The end of its standard error is in the log."""
        self.child.protocol.errReceived(b"Traceback\n  ...\nModuleNotFoundError: No module named 'nats'\n")
        with self.assertLogs(LOG, "ERROR") as caught:
            self.child.ends()
        self.assertIn("ModuleNotFoundError: No module named 'nats'", caught.records[0].getMessage())

    def test_pauses(self) -> None:
        """The pauses before the next start double up to 30 s, and are short again after a good life."""
        starts = []
        for _ in range(9):
            with self.assertLogs(LOG, "ERROR"):
                self.reactor.pass_time(0)
                self.child.ends(signal.SIGSEGV)
                LOG.error("so that there is a line")
            before, count = self.reactor.seconds(), len(self.reactor.children)
            while len(self.reactor.children) == count:
                self.reactor.pass_time(0.5)
            starts.append(self.reactor.seconds() - before)
        self.assertEqual(starts, [0.5, 1, 2, 4, 8, 16, 30, 30, 30])
        self.alive(supervisor.GOOD_LIFE + 1)
        self.child.ends(signal.SIGSEGV)
        self.reactor.pass_time(0.5)
        self.assertEqual(len(self.reactor.children), 11)

    def test_no_process_is_free(self) -> None:
        """If no process can be started, the daemon tries again later."""
        self.reactor.fails = True
        self.child.ends()
        self.reactor.pass_time(0.5)
        self.assertEqual(len(self.reactor.children), 1)
        self.reactor.fails = False
        self.reactor.pass_time(1)
        self.assertEqual(len(self.reactor.children), 2)

    def test_no_file_is_free(self) -> None:
        """If a process was started, and the daemon has no file for its link, the daemon kills the process and
        tries again later. The late end of the process does not concern the next one."""
        self.reactor.has_file = False
        self.child.ends()
        self.reactor.pass_time(0.5)
        _, without_link = self.reactor.children
        self.assertEqual(without_link.signals, ["KILL"])
        self.reactor.has_file = True
        self.reactor.pass_time(1)
        self.assertEqual(len(self.reactor.children), 3)
        without_link.protocol.errReceived(b"no link\n")
        without_link.ends(signal.SIGKILL)
        self.child.answers()
        self.alive(31)
        self.assertEqual((len(self.reactor.children), self.child.signals), (3, []))

    def test_next_child_gets_all(self) -> None:
        """The next child gets the configuration, and how far the journal goes now."""
        self.service.settle(5)
        self.child.ends()
        self.service.settle(9)
        self.reactor.pass_time(0.5)
        self.assertEqual(self.child.got[:2], [begin(), More(9)])


class EndTests(BrokerCase):
    """The end of the daemon."""

    def test_finish(self) -> None:
        """The child gets a last line and a little time; the end is there once the process is gone."""
        self.alive(1)
        self.child.got  # noqa: B018
        ended = self.service.finish(0.3)
        self.assertEqual(self.child.got, [End()])
        self.assertNoResult(ended)
        self.child.ends()
        self.successResultOf(ended)
        self.reactor.pass_time(60)
        self.assertEqual((len(self.reactor.children), self.child.signals), (1, []))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_finish_of_a_hanging_child(self) -> None:
        """It is killed when its time is over."""
        ended = self.service.finish(0.3)
        again = self.service.stopService()
        self.reactor.pass_time(1)
        self.assertEqual(self.child.signals, ["KILL"])
        self.child.ends(signal.SIGKILL)
        self.successResultOf(ended)
        self.successResultOf(again)

    def test_stop_between_two_children(self) -> None:
        """Without a child the end is there at once, and no further one is started."""
        self.child.ends()
        self.successResultOf(self.service.stopService())
        self.reactor.pass_time(60)
        self.assertEqual(len(self.reactor.children), 1)
