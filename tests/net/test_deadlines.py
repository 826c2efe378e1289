"""Deadlines after a pause of the process: what has arrived is read before anyone is judged.

In memory a pause is a clock that has moved on while nothing was called (`paused`): what is due comes first
then, as in a reactor, and what arrived meanwhile is read in the turns after that.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled, AlreadyCancelled, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.commands import Enable
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.enums import ReplyCode
from mtmount_twisted.errors import CommandTimedOut
from mtmount_twisted.frontends.tcp.tls import HandshakeReader
from mtmount_twisted.net.deadlines import LEAST_TURNS, LONGEST, MOST_TURNS, SLACK, Deadline, FairClock
from mtmount_twisted.net.halves import CONNECT_TIMEOUT, WriterFactory
from mtmount_twisted.net.protocol import LineReader, LineWriter
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.net.send_buffer import READS_ON, SendBuffer
from tests.support.bridges import BridgeCase, command
from tests.support.commanders import LOG, MOVE, STOP, CommandCase
from tests.support.mounts import MountCase
from tests.support.web_houses import WebCase
from tests.test_architecture import sources
from tests.web.test_site import SiteCase

from .test_send_buffer import Transport

PAUSE = 15.0


def paused(clock: Clock, *arrivals: Callable[[], object], seconds: float = PAUSE, chunks: int = 10) -> None:
    """Let the process be held up, and go on: what arrived is read once so many chunks were read before."""

    def read(left: int) -> None:
        if left:
            clock.callLater(0, read, left - 1)
        else:
            for arrival in arrivals:
                arrival()

    clock.rightNow += seconds
    clock.callLater(0, read, chunks)
    clock.advance(0)


class SlowTurns(Clock):
    """A clock on which each turn of the reactor takes a while.

    :ivar turns: how many were made.
    """

    turns = 0

    def turn(self, seconds: float = 0.0) -> None:
        """Call what is due, but not what is due because of that; then time passes."""
        self.turns += 1
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        self.calls = [call for call in self.calls if call not in due]
        for call in due:
            call.called = 1
            call.func(*call.args, **call.kw)
        self.rightNow += seconds


class DeadlineTests(SynchronousTestCase):
    """One deadline."""

    def setUp(self) -> None:
        self.clock = SlowTurns()
        self.judged: list[Any] = []

    def deadline(self, delay: float = 5.0) -> Deadline:
        """One that notes that it has judged."""
        return Deadline(self.clock, delay, self.judged.append, "late")

    def turns_until_judged(self, seconds: float = 0.0) -> int:
        """How many turns it takes after the one in which the timer comes."""
        while not self.judged and self.clock.turns <= 2 * MOST_TURNS:
            self.clock.turn(seconds)
        return self.clock.turns - 1

    def test_contracts(self) -> None:
        """Both can be used where Twisted takes its own."""
        self.assertTrue(verifyObject(IDelayedCall, self.deadline()))
        self.assertTrue(verifyObject(IReactorTime, FairClock(self.clock)))
        self.assertEqual(len(FairClock(self.clock).getDelayedCalls()), 1)

    def test_in_time(self) -> None:
        """One that comes in time judges after one turn: the process may have gone on just before."""
        deadline = self.deadline()
        self.assertEqual(deadline.getTime(), 5.0)
        self.clock.rightNow = 5.0 + SLACK / 2
        self.assertTrue(deadline.active())
        self.assertEqual(self.turns_until_judged(), 1)
        self.assertFalse(deadline.active())
        self.assertRaises(AlreadyCalled, deadline.cancel)

    def test_slack(self) -> None:
        """One that is late by just `SLACK` is in time still."""
        self.deadline(0.0)
        self.clock.rightNow = SLACK
        self.assertEqual(self.turns_until_judged(), 1)

    def test_long_turns(self) -> None:
        """Once more than `LONGEST` has passed it has waited long enough, and not before."""
        self.deadline(0.0)
        self.clock.rightNow = 8.0
        self.assertEqual(self.turns_until_judged(LONGEST / 4), 5)

    def test_late(self) -> None:
        """One that comes late waits for so many turns that 6 MiB could be read from each socket."""
        self.deadline()
        self.clock.rightNow = 5.0 + 2 * SLACK
        self.assertEqual(self.turns_until_judged(), MOST_TURNS)
        self.assertGreaterEqual(MOST_TURNS * 64 * 1024, 6 * 2**20)

    def test_overloaded(self) -> None:
        """Where each turn takes long it comes nevertheless, soon after `LONGEST`."""
        self.deadline()
        self.clock.rightNow = 5.0 + 2 * SLACK
        self.assertLess(self.turns_until_judged(0.1) * 0.1, LONGEST + 0.3)

    def test_very_long_turns(self) -> None:
        """However long they take, a few turns are waited for."""
        self.deadline()
        self.clock.rightNow = 5.0 + 2 * SLACK
        self.assertEqual(self.turns_until_judged(10 * LONGEST), LEAST_TURNS)

    def test_over_before(self) -> None:
        """One that was over before it was made is late."""
        self.deadline(-2.0)
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime(), self.clock.seconds(), "a reactor takes no delay below 0")
        self.assertEqual(self.turns_until_judged(), MOST_TURNS)

    def test_cancelled_while_it_waits(self) -> None:
        """What is read may cancel it."""
        deadline = self.deadline()
        self.clock.rightNow = 15.0
        self.clock.turn()
        self.assertTrue(deadline.active())
        deadline.cancel()
        self.assertEqual((deadline.active(), self.clock.getDelayedCalls()), (False, []))
        self.assertRaises(AlreadyCancelled, deadline.cancel)

    def test_reset_while_it_waits(self) -> None:
        """What is read may put it off, and it is in time then."""
        deadline = self.deadline()
        self.clock.rightNow = 15.0
        self.clock.turn()
        deadline.reset(3.0)
        self.assertEqual(deadline.getTime(), 18.0)
        deadline.delay(1.0)
        self.clock.rightNow = 18.9
        self.clock.turn()
        self.assertEqual(self.judged, [])
        self.clock.rightNow, self.clock.turns = 19.0, 0
        self.assertEqual(self.turns_until_judged(), 1)

    def test_time_out_of_a_deferred(self) -> None:
        """What comes while the process is held up ends a wait well; with nothing, it times out."""
        waits = [Deferred[str]().addTimeout(5, FairClock(self.clock)) for _ in range(2)]
        paused(self.clock, lambda: waits[0].callback("in time"))
        self.assertEqual(self.successResultOf(waits[0]), "in time")
        self.failureResultOf(waits[1], TimeoutError, Exception)


class MountTests(MountCase):
    """The library's commands."""

    def test_done_meanwhile(self) -> None:
        """A command whose Done arrived while the process was held up is done; one without has timed out."""
        sent, other = self.send(), self.mount.send(Enable())
        acked, done, lost = sent.acked, sent.done, other.done
        self.clock.rightNow += PAUSE
        self.ack(sent, 2000)
        self.done(sent)
        self.assertEqual(self.successResultOf(acked), 2.0)
        self.assertIsNone(self.successResultOf(done))
        self.failureResultOf(lost, CommandTimedOut)

    def test_ack_meanwhile(self) -> None:
        """An Ack that arrived so gives the command its time from now."""
        sent = self.send()
        self.clock.rightNow += PAUSE
        self.ack(sent, 2000)
        self.clock.advance(3.9)
        self.assertFalse(sent.ended)
        self.done(sent)
        self.assertIsNone(self.successResultOf(sent.done))


class BridgeTests(CommandCase):
    """The bridge's own deadlines."""

    def test_commands(self) -> None:
        """A command that the mount finished meanwhile is done."""
        self.house.give(self.csc)
        self.csc.command(MOVE)
        [line] = self.house.link.read()
        paused(self.house.clock, lambda: self.house.link.finish(line))
        self.assertEqual([answer.code for answer in self.csc.answers()], [ReplyCode.ACK, ReplyCode.DONE])

    def test_grace(self) -> None:
        """A holder of command that came back meanwhile keeps it, and nothing is stopped."""
        self.house.give(self.csc)
        self.csc.go()
        paused(self.house.clock, self.csc.come)
        self.assertIs(self.holder, self.csc)
        self.assertEqual(self.house.link.read(), [])

    def test_grace_of_one_that_is_gone(self) -> None:
        """One that did not come back has lost command, and the mount is stopped as soon as that is known."""
        self.house.give(self.csc)
        self.csc.go()
        paused(self.house.clock)
        self.assertIsNone(self.holder)
        self.assertEqual(len(self.house.link.read()), 5)

    def test_drain(self) -> None:
        """At the end what was done meanwhile counts as done."""
        self.house.give(self.csc)
        self.csc.command(MOVE)
        [line] = self.house.link.read()
        draining = self.house.bridge.drain(3)
        paused(self.house.clock, lambda: self.house.link.finish(line))
        self.successResultOf(draining)
        self.house.bridge.close()
        self.assertEqual([answer.code for answer in self.csc.answers()], [ReplyCode.ACK, ReplyCode.DONE])


class HeldTests(BridgeCase):
    """What a commander says a little before the way back to it is up."""

    def test_way_back_meanwhile(self) -> None:
        """It is taken, if that way came up while the process was held up."""
        self.start(self.controller)
        self.assertTrue(self.csc.connect_server())
        self.csc.say(command(1, STOP, 1))
        self.csc.start_listening()
        paused(self.reactor)
        self.assertIn(b"%d" % STOP, [line.split(b"\n")[1] for line in self.controller.serve()])
        self.assertEqual([line[:2] for line in self.csc.heard()], [b"0\n", b"2\n"])
        self.stop()


class ConnectionTests(SynchronousTestCase):
    """Connections that are made, and that close."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.failures: list[Failure] = []
        self.stopped = 0

    def attempt(self) -> WriterFactory:
        """An attempt to connect, which this test's own connector makes."""
        factory = WriterFactory(self.writer, lambda: 1.0, self.clock, self.failures.append)
        factory.startedConnecting(self)  # type: ignore[arg-type]
        return factory

    def stopConnecting(self) -> None:
        """As a connector: the attempt is given up."""
        self.stopped += 1

    def writer(self) -> LineWriter:
        """A writer that closes."""
        return LineWriter(
            Silent(), self.clock, RateLimitedLog(self.clock, LOG, A_FEW), "test", SendBuffer(self.clock, 1000)
        )

    def test_attempt(self) -> None:
        """A connection that came up meanwhile counts; if none did, the attempt has failed."""
        address = IPv4Address("TCP", "127.0.0.1", 1)
        factory = self.attempt()
        paused(self.clock, lambda: factory.buildProtocol(address))
        self.assertEqual(self.stopped, 0)
        self.attempt()
        self.clock.advance(CONNECT_TIMEOUT - 0.1)
        self.assertEqual(self.stopped, 0)
        paused(self.clock)
        self.assertEqual(self.stopped, 1)

    def test_closing(self) -> None:
        """A connection whose peer has read all meanwhile is closed, and not cut."""
        writer, transport = self.writer(), Cut()
        writer.makeConnection(transport)
        writer.close()
        paused(self.clock, writer.connectionLost)
        self.assertEqual((transport.cut, self.clock.getDelayedCalls()), (False, []))

    def test_unfinished_line(self) -> None:
        """A line whose end arrived meanwhile is taken; one that has no end is given up."""
        owner, transport = Silent(), Cut()
        reader = LineReader(owner, TERMINATOR)
        reader.limit_unfinished(self.clock, 10)
        reader.makeConnection(transport)
        reader.dataReceived(b"1\n2")
        paused(self.clock, lambda: reader.dataReceived(b"\n3\r\n4"))
        self.assertEqual((owner.lines, transport.cut), ([b"1\n2\n3"], False))
        paused(self.clock)
        self.assertTrue(transport.cut)

    def test_handshake(self) -> None:
        """A client whose proof fails or succeeds meanwhile is not too slow."""
        port: Any = SimpleNamespace(name="port", unproven={}, limited_log=LOG, terminator=TERMINATOR)
        transport = Cut()
        reader = HandshakeReader(lambda reader: "nobody", self.fail, None, False, port, self.clock)
        reader.makeConnection(transport)
        paused(self.clock, reader.connectionLost)
        self.assertEqual((transport.cut, self.clock.getDelayedCalls()), (False, []))


class Silent:
    """What a connection belongs to."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def lines_received(self, lines: list[bytes]) -> None:
        """Note lines."""
        self.lines += lines

    def _ignore(self, *arguments: object) -> None:
        """Nothing."""

    reader_connected = reader_lost = writer_connected = writer_lost = _ignore


class Cut(StringTransportWithDisconnection):
    """A transport that tells whether it was cut."""

    cut = False

    def abortConnection(self) -> None:
        """Note it."""
        self.cut = True

    def loseConnection(self) -> None:
        """The peer takes its time."""


class SlowConsumerTests(SynchronousTestCase):
    """Clients that read slowly."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.cuts: list[str] = []
        self.outlet = SendBuffer(self.clock, 1000, 10.0, self.cuts.append)
        self.transport = Transport()
        self.outlet.attach(self.transport)
        for _ in range(5):
            self.outlet.send(b"x" * 150)

    def test_read_meanwhile(self) -> None:
        """A client that read while the process was held up is not cut off, and is given all that was kept."""
        paused(self.clock, self.transport.take_all)
        self.assertEqual((len(self.transport.read), self.cuts), (750, []))

    def test_reads_on(self) -> None:
        """Nor is one that needs a moment for each piece of what has become old meanwhile."""
        paused(self.clock, lambda: self.transport.take(150))
        for _ in range(4):
            self.clock.advance(READS_ON / 2)
            self.transport.take(150)
        self.assertEqual((len(self.transport.read), self.cuts), (750, []))

    def test_does_not_read(self) -> None:
        """A client that read nothing is cut off."""
        paused(self.clock)
        self.assertEqual(self.cuts, ["not caught up for 10 s"])


class HttpTests(SiteCase):
    """Requests."""

    def test_headers_meanwhile(self) -> None:
        """A request whose end arrived meanwhile is answered; one that has none is refused."""
        wires = [self.wire() for _ in range(2)]
        for wire in wires:
            wire.send(b"GET / HTTP/1.1\r\n")
        paused(self.clock, lambda: wires[0].protocol.dataReceived(b"Host: a\r\n\r\n"))
        self.assertEqual(wires[0].answer().status, 200)  # type: ignore[union-attr]
        self.assert_refused(wires[1], 408)

    def test_kept_connection(self) -> None:
        """A connection on which the next request arrived meanwhile is not closed."""
        wire = self.wire()
        wire.ask("GET", "/")
        self.assertEqual(wire.answer().status, 200)  # type: ignore[union-attr]
        paused(self.clock, lambda: wire.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        self.assertEqual(wire.answer().status, 200)  # type: ignore[union-attr]


class WebTests(WebCase):
    """Users of the page."""

    def test_present(self) -> None:
        """A user from whom a request arrived meanwhile is there; one from whom none did is gone."""
        self.post("BothAxesStop")
        self.house.link.finish_all()
        paused(self.house.clock, lambda: self.post("BothAxesStop"), seconds=60)
        self.assertNotIn("no request for 30 s", [event[3] for event in self.house.journal.events])
        self.house.link.finish_all()
        paused(self.house.clock, seconds=60)
        self.assertNotIn("web/night", self.house.bridge.clients)

    def test_wait(self) -> None:
        """Who waits for a command that was done meanwhile is told so."""
        answering = self.post("BothAxesStop", query="wait=done&timeout=2")
        paused(self.house.clock, self.house.link.finish_all)
        answer = self.told(answering)
        self.assertEqual((answer.status, answer.body["state"]), (200, "done"))


OWN_TIMERS = {
    "app.station_demo:StationDemo._gone": "processes end, and their monitor kills those that do not",
    "cli.commander.session:Session._run": "a script or a person asked to wait so long",
    "cli.commander.watch:Watch._go_on": "the daemon is asked again",
    "cli.commander.watch:Watch.own_source": "the daemon is asked again",
    "cli.commander.web:WebClient.__init__": "connections that were not used for long are closed",
    "client.heartbeat:Heartbeat.__init__": "the next heartbeat of a commander is due",
    "net.deadlines:Deadline._set": "the deadline's own",
    "net.unix_sockets:Closer._start": "a thread is asked for again, to close a connection",
    "net.halves:ServerHalf._open": "it tries again to listen",
    "app.open_port:OpenPort._listen": "it tries again to listen",
    "frontends.broker.desk:Desk._tell_stops": "the child is told the last stops, not each one at once",
    "frontends.broker.reading:StreamReading._note_taken": "the child is told how many events were taken",
    "frontends.broker.service:BrokerService._send_telemetry": "the next round of telemetry is due",
    "frontends.broker.service:BrokerService.startService": "the first round of telemetry is due",
    "frontends.broker.supervisor:Supervisor._start_later": "the next child is started",
    "frontends.broker.supervisor:Supervisor.stop": "the daemon ends, and waits no longer for the child",
    "frontends.broker.supervisor:_Child.__init__": "the child is asked for a sign of life",
    "frontends.broker.supervisor:_Child._ask": "the child is asked again",
    "upstream.leadership.service:Leadership._next_turn": "the broker is asked again",
    "upstream.leadership.service:Leadership._retry_later": "the link is tried again",
    "journal.limited:RecordLimiter._omit": "what was not recorded is counted, and told now and then",
    "cli.journal.replay:Replay._send": "the next command is due",
    "cli.telemetry.playing:Player.run": "the next lines of a recording are due",
    "net.liveness:_Watch.look": "it judges by what the kernel has received, whether that was read or not",
    "bridge.effects:Performer._set_timer": "the next few observers receive their lines",
    "net.turns:Turns._begin": "the next slices of what clients sent are read",
    "simulator.axis:InPositionWatch._wait": "the axis comes to its target, or leaves it",
    "simulator.execution:Part.begin": "a part of a command's work is done",
    "simulator.output:ReplyOutput._say_later": "a fault that is asked for: the reply is late",
    "simulator.tma2022.execution:Part.begin": "a part of a command's work is done",
    "simulator.tma2022.mount:SimulatedMount._wake_at_next_change": "a value of the mount changes by itself",
    "simulator.tma2022.output:ReplyOutput._call_later": "a fault that is asked for: the reply is late",
    "simulator.tma2022.service:SimulatorService._plan_telemetry": "the next topics are due",
    "simulator.tma2022.service:SimulatorService.startService": "the next look for changed values is due",
    "app.systemd:ServiceManager._failed": "a state that systemd was not told is tried again",
    "app.systemd:ServiceManager._feed": "systemd judges us by it, and not the other way round",
    "app.systemd:ServiceManager._send": "systemd did not read yet: it is told again",
    "testing.chaos:_Connection._client_made": "a test double: a connection to this machine",
    "testing.far_end:FarEnd.connect_server": "a test double, in memory",
    "testing.memory:MemoryConnector.connect": "a test double: its caller asked for the time-out",
    "testing.flow:Flow._must_wait": "a test double: the network is slow",
    "net.tls:ConnectsWith.connectTCP": "it passes on its caller's time-out",
    "frontends.tcp.telemetry:TelemetryFanout._turn": "the next readers are written to, or the next lines are",
    "frontends.web.events.ring:Feed._gather": "rows are gathered for all streams",
    "frontends.web.events.ring:Feed._send": "the streams are served one after another",
    "frontends.web.events.signals:SignalStreams._send": "the readers are sent to one after another",
    "frontends.web.events.signals:SignalStreams._tick": "the next values of the signals are due",
    "frontends.web.events.signals:SignalStreams.attach": "the next values of the signals are due",
    "frontends.web.api.health:LoopWatch.__init__": "it measures how late the reactor is",
    "frontends.web.events.streams:Streams._enter": "a comment keeps the streams alive",
    "frontends.web.events.streams:Streams._keep_all_alive": "a comment keeps the streams alive",
}
"""Timers that are no `Deadline`, by module and function, and why it judges nobody; one of 0 s is a turn."""


class EveryTimerTests(SynchronousTestCase):
    """The whole package."""

    def test_every_timer(self) -> None:
        """Whatever waits for time to pass is a `Deadline`, or stands above with a reason."""
        found = [name for module, tree in sources().items() for name in raw_timers(module, tree)]
        new = set(found) - OWN_TIMERS.keys()
        advice = "make it a deadlines.Deadline if it judges a peer, else name it in OWN_TIMERS with a reason"
        self.assertEqual(new, set(), advice)
        self.assertEqual(
            OWN_TIMERS.keys() - set(found), set(), "not there any more: take it out of OWN_TIMERS"
        )


def raw_timers(module: str, tree: ast.AST, where: str = "") -> list[str]:
    """The functions of a module that use a timer of a reactor's as it is."""
    found = []
    for node in ast.iter_child_nodes(tree):
        inside = where
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = f"{where}.{node.name}".lstrip(".")
        if isinstance(node, ast.Call) and is_raw(node):
            found.append(f"{module}:{inside}")
        found += raw_timers(module, node, inside)
    return found


def is_raw(call: ast.Call) -> bool:
    """Whether a call waits for time to pass, and is not a deadline."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name == "addTimeout":
        clock = call.args[1]
        return not (isinstance(clock, ast.Call) and getattr(clock.func, "id", "") == "FairClock")
    if name in ("connectTCP", "connectSSL", "connectUNIX"):
        return not any(each.arg == "timeout" and ast.unparse(each.value) == "None" for each in call.keywords)
    if name in ("callLater", "deferLater"):
        delay = call.args[name == "deferLater"]
        return not (isinstance(delay, ast.Constant) and delay.value == 0)
    if name in ("Agent", "HTTPConnectionPool") or name.endswith("ClientEndpoint"):
        return True  # they time out by themselves
    return name in ("LoopingCall", "TimerService", "setTimeout")
