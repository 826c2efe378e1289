"""Tests of `mtmount_twisted.net.halves`: how each half of a pair comes, goes and comes again."""

from __future__ import annotations

import itertools
import logging
import math
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.errors import TAKEN, ListenError
from mtmount_twisted.interfaces import IPairOwner
from mtmount_twisted.net import halves
from mtmount_twisted.net.halves import (
    MAX_RETRY_INTERVAL,
    RETRY_GROWTH,
    RETRY_SPREAD,
    ClientHalf,
    ClientOptions,
    ServerHalf,
    ServerOptions,
)
from mtmount_twisted.net.protocol import LineReader
from mtmount_twisted.net.send_buffer import SendBuffer
from mtmount_twisted.testing import HOST, FarProtocol, MemoryReactor

LOG = logging.getLogger("tests.connections")
PORT = 4000


@implementer(IPairOwner)
class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.lines: list[bytes] = []
        self.refusal = ""

    def client_changed(self, reason: Failure | None) -> None:
        self.changes.append("connected" if reason is None else "lost")

    server_changed = client_changed

    def lines_received(self, lines: list[bytes]) -> None:
        self.lines += lines

    def refusal_of(self, peer: object) -> str:
        return self.refusal

    def explain_heard(self, data: bytes) -> str:
        return ""


class HalfCase(SynchronousTestCase):
    """What the tests of both halves need."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.owner = Owner()

    def go(self, seconds: float = 0) -> None:
        """Let this time pass, from timer to timer."""
        self.reactor.advance(0)
        end = self.reactor.seconds() + seconds
        while (due := self.next_due()) <= end:
            self.reactor.advance(due - self.reactor.seconds())
        self.reactor.advance(end - self.reactor.seconds())

    def next_due(self) -> float:
        """The time of the next timer."""
        return min((call.getTime() for call in self.reactor.getDelayedCalls()), default=math.inf)


class ClientHalfTests(HalfCase):
    """Connecting out, again and again."""

    def setUp(self) -> None:
        super().setUp()
        self.interval = 0.1
        self.buffer = SendBuffer(self.reactor, 1000)
        self.half = ClientHalf(
            ClientOptions("pair", self.reactor, LOG, self.owner, lambda: self.interval, self.buffer)
        )

    def listen(self, port: int = PORT) -> Factory[Any]:
        """Have something listen, and keep the protocols that it makes."""
        factory: Any = Factory.forProtocol(FarProtocol)
        self.accepted: list[Protocol] = []
        factory.buildProtocol = lambda address: self.accepted.append(FarProtocol()) or self.accepted[-1]
        self.port = self.reactor.listenTCP(port, factory)
        return factory

    def drop(self) -> None:
        """Lose the connection from the far end."""
        self.accepted[-1].transport.loseConnection()
        self.go()

    def intervals(self) -> list[float]:
        """The times between attempts so far."""
        times = [time for time, _, _ in self.reactor.attempts]
        return [later - earlier for earlier, later in itertools.pairwise(times)]

    def run_attempts(self, number: int) -> None:
        """Jump from timer to timer until there were so many attempts."""
        self.go()
        while len(self.reactor.attempts) < number:
            self.reactor.advance(self.next_due() - self.reactor.seconds())

    def test_connects(self) -> None:
        """It connects to what listens, and says so once."""
        self.listen()
        self.half.start(HOST, PORT)
        self.assertIsNone(self.half.writer)
        self.go()
        self.assertIsNotNone(self.half.writer)
        self.assertEqual(self.owner.changes, ["connected"])

    def test_retry_times(self) -> None:
        """The first retry comes after exactly the interval; then it grows, within the spread, to 5 s."""
        self.half.start(HOST, PORT)
        self.run_attempts(40)
        first, *rest = self.intervals()
        self.assertAlmostEqual(first, 0.1)
        for earlier, later in zip([first, *rest], rest, strict=False):
            longest = min(earlier * RETRY_GROWTH, MAX_RETRY_INTERVAL)
            self.assertLessEqual(later, longest + 1e-6)
            self.assertGreaterEqual(later, longest * (1 - RETRY_SPREAD) - 1e-6)
        self.assertGreater(max(rest), MAX_RETRY_INTERVAL * (1 - RETRY_SPREAD))

    def test_jitter_at_the_longest_interval(self) -> None:
        """Many clients that wait for one server stay apart when their interval is the longest."""
        self.half.start(HOST, PORT)
        self.run_attempts(60)
        self.assertGreater(len({round(interval, 6) for interval in self.intervals()[-20:]}), 15)

    def test_longest_interval_is_reached_and_not_exceeded(self) -> None:
        """With no luck at all the times grow to exactly 5 s."""
        self.patch(halves.random, "uniform", lambda low, high: high)
        self.half.start(HOST, PORT)
        self.run_attempts(20)
        self.assertAlmostEqual(max(self.intervals()), MAX_RETRY_INTERVAL)

    def test_back_to_the_first_interval_after_a_success(self) -> None:
        """After a loss the first attempt comes after the interval, as if there had been no failures."""
        self.half.start(HOST, PORT)
        self.run_attempts(10)
        self.listen()
        self.go(5.1)
        self.assertEqual(self.owner.changes, ["connected"])
        lost_at = self.reactor.seconds()
        self.drop()
        self.go(0.5)
        self.assertEqual(self.owner.changes, ["connected", "lost", "connected"])
        self.assertAlmostEqual(self.reactor.attempts[-1][0] - lost_at, 0.1)

    def test_a_server_that_refuses_is_not_pestered(self) -> None:
        """Connections that are lost at once, again and again, are tried ever less often."""
        self.listen()
        self.half.start(HOST, PORT)
        for _ in range(30):
            self.go(MAX_RETRY_INTERVAL)
            self.drop()
        intervals = self.intervals()
        self.assertAlmostEqual(intervals[0], 0.1 + MAX_RETRY_INTERVAL)
        self.reactor.attempts.clear()
        for _ in range(30):
            self.go(0.0)
            while len(self.accepted) and self.half.writer is None:
                self.reactor.advance(self.next_due() - self.reactor.seconds())
            self.drop()
        self.assertAlmostEqual(self.intervals()[0], 0.1)
        self.assertGreater(self.intervals()[-1], MAX_RETRY_INTERVAL * (1 - RETRY_SPREAD) - 1e-6)

    def test_a_server_that_refuses_for_hours(self) -> None:
        """However many connections are lost at once, the next attempt comes in time."""
        self.listen()
        self.half.start(HOST, PORT)
        for number in range(1, 2001):
            self.run_attempts(number)
            self.go()
            self.drop()
        self.run_attempts(2001)
        self.assertLessEqual(self.intervals()[-1], MAX_RETRY_INTERVAL + 1e-6)

    def test_hurry(self) -> None:
        """Told to hurry while it waits to try again, it tries at once; else nothing changes."""
        self.half.hurry()
        self.half.start(HOST, PORT)
        self.run_attempts(10)
        self.listen()
        self.half.hurry()
        self.go()
        self.half.hurry()
        self.go()
        self.assertEqual((self.owner.changes, len(self.accepted)), (["connected"], 1))
        stopped = self.half.stop()
        self.half.hurry()
        self.go()
        self.successResultOf(stopped)
        self.assertEqual(len(self.accepted), 1)

    def test_hurry_does_not_disturb_an_attempt(self) -> None:
        """An attempt that is under way goes on."""
        self.listen()
        self.half.start(HOST, PORT)
        self.half.hurry()
        self.go()
        self.assertEqual(len(self.reactor.attempts), 1)

    def test_interval_is_asked_for_when_it_is_needed(self) -> None:
        """An interval that changes after the start holds from the next loss on."""
        self.listen()
        self.half.start(HOST, PORT)
        self.interval = 2.0
        self.go()
        self.drop()
        self.go(1.99)
        self.assertEqual(len(self.reactor.attempts), 1)
        self.go(0.02)
        self.assertEqual(len(self.reactor.attempts), 2)

    def test_attempt_times_out(self) -> None:
        """A host that does not answer ends an attempt, and the next one follows."""
        self.reactor.silent_ports.add(PORT)
        self.half.start(HOST, PORT)
        self.go(halves.CONNECT_TIMEOUT + 0.1)
        self.assertEqual(len(self.reactor.attempts), 2)

    def test_first_failure_is_logged_and_no_other(self) -> None:
        """A server that is away for long is not a line in the log for each attempt."""
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.half.start(HOST, PORT)
            self.go(5)
        self.assertEqual(len(logged.records), 1)
        self.assertIn("pair: can't connect yet", logged.output[0])

    def test_unreachable_for_long(self) -> None:
        """What was not reached for 10 s is one warning that says where and why, however long it takes."""
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.half.start(HOST, PORT)
            self.go(9.9)
            self.half.hurry()
            self.assertEqual(len(logged.records), 0)
            self.go(0.2)
            self.assertEqual(len(logged.records), 1)
            self.go(100)
        self.assertEqual(len(logged.records), 1)
        self.assertRegex(logged.output[0], rf"WARNING.*can't reach {HOST} port {PORT} for 10 s.*refused")

    def test_unreachable_again(self) -> None:
        """A host that is lost for 10 s is one more warning; one that is back in time is none."""
        self.listen()
        self.half.start(HOST, PORT)
        self.go()
        with self.assertNoLogs(LOG, logging.WARNING):
            self.go(20)
            self.drop()
            self.go(20)
        self.reactor.ports.pop(PORT)
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.drop()
            self.go(30)
        self.assertEqual(len(logged.records), 1)
        self.successResultOf(self.half.stop())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_no_answer_for_long(self) -> None:
        """A host that never answers, as a mute name server, is one warning too, at the level asked for."""
        self.reactor.silent_ports.add(PORT)
        self.half = ClientHalf(
            ClientOptions(
                "pair", self.reactor, LOG, self.owner, lambda: 0.1, self.buffer, lambda: logging.INFO
            )
        )
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.half.start(HOST, PORT)
            self.go(11)
        self.assertIn(
            ("INFO", True), [(r.levelname, "can't reach" in r.getMessage()) for r in logged.records]
        )

    def test_stop_between_attempts(self) -> None:
        """Stopped while it waits to retry, it has no timer left and never tries again."""
        self.half.start(HOST, PORT)
        self.go(0.05)
        self.successResultOf(self.half.stop())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.go(6)
        self.assertEqual(len(self.reactor.attempts), 1)

    def test_stop_during_an_attempt(self) -> None:
        """Stopped while it connects, it is never connected."""
        for advance in (False, True):
            self.reactor.silent_ports.add(PORT)
            self.half.start(HOST, PORT)
            if advance:
                self.go(1)
            self.successResultOf(self.half.stop())
            self.assertEqual((self.reactor.getDelayedCalls(), self.owner.changes), ([], []))

    def test_stop_when_connected(self) -> None:
        """Stopped while connected, it is gone when its Deferred fires, does not report it, and stays away."""
        self.listen()
        self.half.start(HOST, PORT)
        self.go()
        gone = [self.half.stop(), self.half.stop()]
        self.assertIsNone(self.half.writer)
        for deferred in gone:
            self.assertNoResult(deferred)
        self.go()
        for deferred in gone:
            self.successResultOf(deferred)
        self.go(6)
        self.assertEqual((len(self.reactor.attempts), self.owner.changes), (1, ["connected"]))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_when_idle(self) -> None:
        """Stopped before it began, it is stopped."""
        self.successResultOf(self.half.stop())

    def test_start_elsewhere(self) -> None:
        """Started for another port while it tries, it tries that one and no longer the first."""
        self.half.start(HOST, PORT)
        self.go(0.05)
        self.half.start(HOST, PORT + 1)
        self.go(2)
        self.assertEqual({port for _, _, port in self.reactor.attempts[1:]}, {PORT + 1})
        self.listen(PORT + 1)
        self.go(5)
        self.assertEqual(self.owner.changes, ["connected"])

    def test_start_while_leaving(self) -> None:
        """Started while it closes, it connects once the old connection is gone."""
        self.listen()
        self.half.start(HOST, PORT)
        self.go()
        gone = self.half.stop()
        self.half.start(HOST, PORT)
        self.assertNoResult(gone)
        self.go()
        self.successResultOf(gone)
        self.assertEqual(self.owner.changes, ["connected", "connected"])
        self.assertEqual(len(self.accepted), 2)

    def test_stop_while_coming_back(self) -> None:
        """Started and stopped while it closes, it stays away: the last word counts."""
        self.listen()
        self.half.start(HOST, PORT)
        self.go()
        self.half.stop()
        self.half.start(HOST, PORT)
        self.half.start(HOST, PORT)
        gone = self.half.stop()
        self.go(1)
        self.successResultOf(gone)
        self.assertEqual((self.owner.changes, len(self.reactor.attempts)), (["connected"], 1))


class ServerHalfTests(HalfCase):
    """Listening, for one peer at a time."""

    def serve(self, host: str = HOST, port: int = PORT, listen_again: float | None = None) -> ServerHalf:
        """A server half; most tests need one."""
        self.half = ServerHalf(
            ServerOptions("pair", self.reactor, LOG, self.owner, host, port, TERMINATOR, 100, listen_again)
        )
        self.go()
        return self.half

    def peer(self) -> FarProtocol:
        """A peer that tries to connect."""
        peer = FarProtocol()
        factory: Any = Factory.forProtocol(lambda: peer)
        for name in ("startedConnecting", "clientConnectionFailed", "clientConnectionLost"):
            setattr(factory, name, lambda *arguments: None)
        self.reactor.connectTCP(HOST, self.half.port, factory)
        self.go()
        return peer

    def test_listens_as_bound(self) -> None:
        """After a start with port 0 it has the real one."""
        half = self.serve(port=0)
        self.assertIn(half.port, self.reactor.ports)
        self.assertEqual(half.host, HOST)

    def test_host_name(self) -> None:
        """A name is resolved first; who waits until it listens gets the port."""
        half = ServerHalf(
            ServerOptions("pair", self.reactor, LOG, self.owner, "localhost", PORT, TERMINATOR, 100)
        )
        opened = half.opened.wait()
        self.assertNoResult(opened)
        self.go()
        self.assertEqual((self.successResultOf(opened), half.host), (PORT, HOST))

    def test_host_name_that_does_not_resolve(self) -> None:
        """A name that nobody knows is an error that names it."""
        with self.assertLogs(LOG, logging.ERROR):
            half = self.serve("nowhere")
        self.assertIsInstance(half.error, ListenError)
        self.assertIn("nowhere", str(half.error))

    def test_host_name_that_can_not_be_one(self) -> None:
        """What can be no name at all is refused, and not looked up for ever."""
        for name in ("x" * 70, "double..dot"):
            with self.assertRaisesRegex(ValueError, "^server_host: expected"):
                self.serve(name)

    def test_port_taken(self) -> None:
        """A port that is taken is an error that names it."""
        self.serve()
        with self.assertLogs(LOG, logging.ERROR) as logged:
            half = self.serve()
        self.assertIsInstance(half.error, OSError)
        self.assertEqual(str(half.error), f"can't listen on {HOST}:{PORT}: Address already in use; {TAKEN}")
        self.assertEqual(len(logged.records), 1)

    def test_port_taken_for_a_while(self) -> None:
        """With `listen_again` a taken port is tried again until it is free or the half is closed."""
        first = self.serve()
        with self.assertLogs(LOG, logging.ERROR) as logged:
            closed, half = self.serve(listen_again=5.0), self.serve(listen_again=5.0)
            self.go(50)
        self.assertEqual(len(logged.records), 2)  # a line a minute of each
        self.assertTrue(half.error and closed.error)
        opened = half.opened.wait()
        for each in (closed, first):
            Deferred.fromCoroutine(each.close())
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.go(5)
        self.assertIn(f"pair: listens on {HOST}:{PORT} now", logged.output[0])
        self.assertEqual((self.successResultOf(opened), half.error), (PORT, None))
        self.assertTrue(self.peer().is_connected)

    def test_second_peer_is_refused(self) -> None:
        """One peer at a time: a second is turned away, and the first is not disturbed."""
        self.serve()
        first = self.peer()
        with self.assertLogs(LOG, logging.WARNING):
            second = self.peer()
        self.assertEqual((first.is_connected, second.is_connected), (True, False))
        first.transport.write(b"still here\r\n")
        self.go()
        self.assertEqual((self.owner.lines, self.owner.changes), ([b"still here"], ["connected"]))

    def test_unwelcome_peer_is_refused(self) -> None:
        """A peer that the owner refuses is turned away with a line in the log; the next one is taken."""
        self.serve()
        self.owner.refusal = "not on the list"
        with self.assertLogs(LOG, logging.WARNING) as logged:
            first = self.peer()
        self.assertIn("not on the list", logged.output[0])
        self.owner.refusal = ""
        second = self.peer()
        self.assertEqual((first.is_connected, second.is_connected), (False, True))

    def test_accepts_again_after_a_loss(self) -> None:
        """When the peer has gone, the next one is taken."""
        self.serve()
        self.peer().transport.loseConnection()
        self.go()
        second = self.peer()
        self.assertTrue(second.is_connected)
        self.assertEqual(self.owner.changes, ["connected", "lost", "connected"])

    def test_half_a_line_is_dropped(self) -> None:
        """The beginning of a line whose end never came is logged, and not the beginning of the next."""
        self.serve()
        peer = self.peer()
        peer.transport.write(b"whole\r\nhal")
        peer.transport.loseConnection()
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.go()
        self.assertIn("b'hal'", logged.output[0])
        self.assertEqual(len(logged.records), 1)
        self.peer().transport.write(b"next\r\n")
        self.go()
        self.assertEqual(self.owner.lines, [b"whole", b"next"])

    def test_half_a_line_when_this_side_closes(self) -> None:
        """Who closes in the middle of a peer's line is not told that the peer left there."""
        self.serve()
        self.peer().transport.write(b"hal")
        self.go()
        with self.assertNoLogs(LOG, logging.WARNING):
            self.close()
            self.go()

    def close(self) -> Deferred[None]:
        """Close the half."""
        return Deferred.fromCoroutine(self.half.close())

    def test_close(self) -> None:
        """Closed, it is gone with its peer and its port, without a report."""
        self.serve()
        peer = self.peer()
        closed = self.close()
        self.assertIsNone(self.half.reader)
        self.assertNoResult(closed)
        self.go()
        self.successResultOf(closed)
        self.assertEqual((peer.is_connected, self.reactor.ports), (False, {}))
        self.assertEqual((self.owner.changes, self.reactor.getDelayedCalls()), (["connected"], []))

    def test_close_twice(self) -> None:
        """Closed twice, both end."""
        self.serve()
        self.peer()
        closed = [self.close(), self.close()]
        self.go()
        for deferred in closed:
            self.successResultOf(deferred)

    def test_close_before_the_name_is_resolved(self) -> None:
        """Closed while its name is looked up, it never listens."""
        self.half = ServerHalf(
            ServerOptions("pair", self.reactor, LOG, self.owner, "localhost", PORT, TERMINATOR, 100)
        )
        closed = self.close()
        self.go()
        self.successResultOf(closed)
        self.assertEqual(self.reactor.ports, {})

    def test_close_after_a_failure(self) -> None:
        """Closed when it could not listen, it is closed."""
        with self.assertLogs(LOG, logging.ERROR):
            self.serve("nowhere")
        self.successResultOf(self.close())

    def test_peer_that_comes_while_closing(self) -> None:
        """A peer that was accepted in the moment of closing is sent away, and waited for."""
        self.serve()
        factory = self.reactor.ports[PORT].factory
        closed = self.close()
        near, far = self.reactor.link(HOST, PORT)
        near.begin(FarProtocol())
        far.begin(factory.buildProtocol(far.getPeer()))
        self.assertNoResult(closed)
        self.go()
        self.successResultOf(closed)
        self.assertEqual((near.protocol.is_connected, self.owner.changes), (False, []))

    def test_peers_that_come_while_closing(self) -> None:
        """Of several that come then, and the one that was there, all are waited for."""
        self.serve()
        self.peer()
        ends = [self.half.reader]
        closed = self.close()
        for _ in range(2):
            ends.append(LineReader(self.half, TERMINATOR))
            ends[-1].makeConnection(StringTransport())
        self.go()
        for end in ends[1:]:
            self.assertNoResult(closed)
            end.connectionLost(Failure(ConnectionDone()))
            self.go()
        self.assertIsNone(self.successResultOf(closed))
