"""`mtmount_twisted.testing.ChaosProxy`: what it does to a connection, in memory and on real sockets."""

from __future__ import annotations

import re
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.commands import Enable
from mtmount_twisted.replies import DoneReply
from mtmount_twisted.testing import BUFFER_SIZE, HOST, ChaosPair, ChaosProxy, Conditions, Lane, MemoryReactor
from tests.support import strategies  # noqa: F401  # for the profile
from tests.support.pairs import LOG


class End(Protocol):
    """One end of the connection: what it received, in which chunks, and how it ended.

    Whoever waits for something is told when it has come.
    """

    transport: Any

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.ends: list[str] = []
        self.made = 0  # connections; a far end may have several
        self._wanted: list[tuple[Any, Deferred[None]]] = []

    @property
    def received(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def is_up(self) -> bool:
        return bool(self.connected) and not self.lost

    @property
    def lost(self) -> bool:
        return any(end in self.ends for end in ("closed", "reset"))

    def until(self, is_so: Any) -> Deferred[None]:
        """Fires when this holds; it is looked at whenever something happens here."""
        wanted: Deferred[None] = Deferred()
        self._wanted.append((is_so, wanted))
        self._look()
        return wanted

    def _look(self) -> None:
        for entry in self._wanted[:]:
            if entry[0]():
                self._wanted.remove(entry)
                entry[1].callback(None)

    def connectionMade(self) -> None:
        self.made += 1
        self._look()

    def dataReceived(self, data: bytes) -> None:
        self.chunks.append(data)
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends.append("closed" if reason.check(ConnectionDone) else "reset")
        self._look()


@implementer(IHalfCloseableProtocol)
class HalfEnd(End):
    """The same, for one that goes on writing after an end of file."""

    def readConnectionLost(self) -> None:
        self.ends.append("end of file")
        self._look()

    def writeConnectionLost(self) -> None:
        self.ends.append("written")


class ProxyCase(SynchronousTestCase):
    """A proxy in memory, and the two ends of a connection through it."""

    end_class = End

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.far = self.near = End()
        self.target = self.reactor.listenTCP(0, Factory.forProtocol(self.accept))
        self.proxy = ChaosProxy(self.reactor, self.target.getHost().port)
        self.near, self.far = self.connect()

    def accept(self) -> End:
        self.far = self.end_class()
        return self.far

    def connect(self) -> tuple[End, End]:
        """A connection through the proxy: who connected, and the target's end."""
        near = self.end_class()
        factory = cast(Any, ClientFactory.forProtocol(lambda: near))
        self.reactor.connectTCP(HOST, self.proxy.port, factory)
        self.reactor.advance(0)
        return near, self.far

    def send(self, end: End, data: bytes) -> None:
        """Write at one end, and let all happen that waits for no time to pass."""
        end.transport.write(data)
        self.reactor.advance(0)

    def tearDown(self) -> None:
        """After `stop` nothing is left of a proxy, whatever it was doing."""
        stopped = [self.proxy.stop(), self.proxy.stop()]
        self.reactor.advance(0)
        for deferred in stopped:
            self.assertIsNone(self.successResultOf(deferred))
        self.assertIsNone(self.successResultOf(self.proxy.stop()))
        self.target.stopListening()
        self.reactor.advance(0)
        self.assertEqual((self.proxy.open, self.reactor.getDelayedCalls()), (0, []))
        self.assertEqual(self.reactor.ports, {})


class ForwardingTests(ProxyCase):
    """A proxy that does nothing, and what it counts."""

    def test_both_ways(self) -> None:
        """What is written at one end is received at the other, and counted for each direction."""
        self.send(self.near, b"up")
        self.send(self.far, b"down!")
        self.assertEqual((self.far.received, self.near.received), (b"up", b"down!"))
        for lane, count in ((self.proxy.upstream, 2), (self.proxy.downstream, 5)):
            self.assertEqual((lane.read, lane.forwarded, lane.dropped), (count, count, 0))

    def test_connections_are_counted(self) -> None:
        """Those that came, and those that are up."""
        self.connect()
        self.assertEqual((self.proxy.accepted, self.proxy.open), (2, 2))
        self.assertEqual(len(self.proxy.transports), 4)
        self.near.transport.loseConnection()
        self.reactor.advance(0)
        self.assertEqual((self.proxy.accepted, self.proxy.open), (2, 1))

    def test_closing_passes(self) -> None:
        """Whichever end closes, the other is closed, behind all that was written before."""
        for closing, other in ((0, 1), (1, 0)):
            ends = self.connect()
            ends[closing].transport.write(b"last words")
            ends[closing].transport.loseConnection()
            self.reactor.advance(0)
            self.assertEqual((ends[other].received, ends[other].ends), (b"last words", ["closed"]))

    def test_reset_passes(self) -> None:
        """Whichever end is reset, so is the other."""
        for aborting, other in ((0, 1), (1, 0)):
            ends = self.connect()
            ends[aborting].transport.abortConnection()
            self.reactor.advance(0)
            self.assertEqual(ends[other].ends, ["reset"])

    def test_target_that_is_away(self) -> None:
        """While nobody listens there, who connects is reset; a target that is named later is found."""
        proxy = ChaosProxy(self.reactor)
        self.proxy, first = proxy, self.proxy
        near, _ = self.connect()
        self.assertEqual((near.ends, proxy.unreachable, proxy.open), (["reset"], 1, 0))
        proxy.target_port = first.target_port
        near, far = self.connect()
        self.send(near, b"there")
        self.assertEqual(far.received, b"there")
        stopped = first.stop()
        self.reactor.advance(0)
        self.successResultOf(stopped)

    def test_who_does_not_wait_for_the_target(self) -> None:
        """Who leaves before the target has accepted leaves nothing behind, and is not called unreachable."""
        self.reactor.silent_ports.add(self.proxy.target_port)
        near, _ = self.connect()
        self.assertEqual(self.proxy.open, 2)
        near.transport.abortConnection()
        self.reactor.advance(0)
        self.assertEqual((self.proxy.open, self.proxy.unreachable), (1, 0))

    def test_target_that_never_accepts(self) -> None:
        """After 5 s it counts as unreachable."""
        self.reactor.silent_ports.add(self.proxy.target_port)
        near, _ = self.connect()
        self.reactor.advance(5)
        self.reactor.advance(0)
        self.assertEqual((near.ends, self.proxy.unreachable), (["reset"], 1))

    def test_port_taken(self) -> None:
        """It says so at once if it can't listen."""
        with self.assertRaises(CannotListenError):
            ChaosProxy(self.reactor, port=self.proxy.port)


class ConditionsTests(ProxyCase):
    """What can be done to a direction."""

    def test_wrong_values(self) -> None:
        """What is out of range, or not of the type, is refused by its name and value, and changes nothing."""
        numbers = [float("inf"), float("nan"), 10**400, "1", True, 1j]
        wrong: dict[str, list[Any]] = {
            "latency": [-0.1, None, -float("inf"), *numbers],
            "bandwidth": [0, -1.0, *numbers],
            "slices": [0, 1.5, 2.0, *numbers[:2], *numbers[3:]],
            "limit": [-1, 2.5, 2.0, *numbers[:2], *numbers[3:]],
            "hang": [None, 1, "no"],
            "swallow": [None, 0, 1.0],
        }
        self.proxy.set(latency=1, slices=3)
        before = Conditions(latency=1, slices=3)
        for name, values in wrong.items():
            for value in values:
                shown = re.escape(repr(value)[:100])
                for set_them in (self.proxy.set, self.proxy.upstream.set):
                    with self.assertRaisesRegex(ValueError, f"^{name}: expected .+, got {shown}$"):
                        set_them(**{"limit": 5, "hang": False, name: value})
        self.assertEqual((self.proxy.upstream.conditions, self.proxy.downstream.conditions), (before, before))

    def test_unknown_condition(self) -> None:
        """A name that there is not is refused, with those that there are, and changes nothing."""
        with self.assertRaisesRegex(TypeError, "^lateness: expected one of latency, .*swallow, got 1$"):
            self.proxy.set(latency=1, lateness=1)
        self.assertEqual(self.proxy.upstream.conditions, Conditions())

    def test_cleared_while_late(self) -> None:
        """After `clear` what is late goes on at once and in order, before what comes then."""
        self.proxy.upstream.set(latency=20)
        for data in (b"one ", b"two "):
            self.send(self.near, data)
            self.reactor.advance(1)
        self.proxy.clear()
        self.reactor.advance(0)
        self.assertEqual(self.far.received, b"one two ")
        self.send(self.near, b"three")
        self.assertEqual(self.far.received, b"one two three")

    def test_cleared_with_a_late_end(self) -> None:
        """After `clear` an end that is late comes at once, behind what came before it."""
        self.proxy.upstream.set(latency=20)
        self.send(self.near, b"last words")
        self.near.transport.loseConnection()
        self.reactor.advance(0)
        self.assertEqual((self.far.received, self.far.ends), (b"", []))
        self.proxy.upstream.clear()
        self.reactor.advance(0)
        self.assertEqual((self.far.received, self.far.ends), (b"last words", ["closed"]))

    def test_cleared_of_a_bandwidth(self) -> None:
        """What the old bandwidth had still to wait for is forgotten: a new one begins anew."""
        self.proxy.upstream.set(bandwidth=0.001)
        self.send(self.near, b"ab")
        self.proxy.upstream.clear()
        self.reactor.advance(0)
        self.proxy.upstream.set(bandwidth=1000)
        self.send(self.near, b"c")
        self.assertEqual(self.far.received, b"abc")

    def test_cleared_between_slices(self) -> None:
        """After `clear` the rest goes on, and not in slices any more."""
        self.proxy.upstream.set(slices=1)
        self.far.until(lambda: len(self.far.received) == 2).addCallback(lambda _: self.proxy.clear())
        self.send(self.near, b"abcdefghijkl")
        self.assertEqual(self.far.received, b"abcdefghijkl")
        self.assertEqual((len(self.far.chunks[0]), len(self.far.chunks[-1]) > 6), (1, True))

    def test_latency(self) -> None:
        """Each byte is late by as much, in its own direction only; so is the end."""
        self.proxy.upstream.set(latency=2)
        self.send(self.near, b"one ")
        self.reactor.advance(1)
        self.send(self.near, b"two")
        self.send(self.far, b"at once")
        self.assertEqual((self.far.received, self.near.received), (b"", b"at once"))
        self.near.transport.loseConnection()
        self.reactor.advance(0)
        self.reactor.advance(1)
        self.assertEqual(self.far.received, b"one ")
        self.assertFalse(self.far.ends)
        self.reactor.advance(1)
        self.assertEqual((self.far.received, self.far.ends), (b"one two", ["closed"]))

    def test_late_reset(self) -> None:
        """A reset is as late, and overtakes what was to come before it."""
        self.proxy.upstream.set(latency=2)
        self.send(self.near, b"never seen")
        self.near.transport.abortConnection()
        self.reactor.advance(0)
        self.reactor.advance(1.9)
        self.assertFalse(self.far.ends)
        self.reactor.advance(0.1)
        self.reactor.advance(0)
        self.assertEqual((self.far.received, self.far.ends), (b"", ["reset"]))

    def test_less_latency(self) -> None:
        """A lower latency makes nothing overtake what came before."""
        self.proxy.upstream.set(latency=2)
        self.send(self.near, b"one ")
        self.proxy.upstream.set(latency=0)
        self.send(self.near, b"two")
        self.assertEqual(self.far.received, b"")
        self.reactor.advance(2)
        self.assertEqual(self.far.received, b"one two")

    def test_bandwidth(self) -> None:
        """So many bytes pass in a second, evenly, whatever the chunks were; then as fast as it goes."""
        self.proxy.upstream.set(bandwidth=1000)
        self.send(self.near, b"x" * 3000)
        for tenth in range(1, 11):
            for _ in range(10):
                self.reactor.advance(0.01)
            self.assertLessEqual(abs(len(self.far.received) - 100 * tenth), 20)
        self.proxy.upstream.clear()
        self.reactor.advance(0)
        self.assertEqual(len(self.far.received), 3000)

    def test_slow_trickle(self) -> None:
        """Less than a byte at a time is a byte at a time."""
        self.proxy.upstream.set(bandwidth=1)
        self.send(self.near, b"abc")
        for count in (1, 2, 3):
            self.assertEqual(self.far.received, b"abc"[:count])
            self.reactor.advance(1)

    def test_slices(self) -> None:
        """It arrives in pieces of so many bytes, for a connection that is up already as for a new one."""
        for _ in range(2):
            self.proxy.downstream.set(slices=3)
            self.send(self.far, b"abcdefgh")
            self.send(self.far, b"ijk")
            for _ in range(5):
                self.reactor.advance(0)
            self.assertEqual(self.near.received, b"abcdefghijk")
            self.assertLessEqual({len(chunk) for chunk in self.near.chunks}, {1, 2, 3})
            self.near, self.far = self.connect()

    def test_limit(self) -> None:
        """Exactly so many bytes pass, and then both ends are closed; the rest is counted as dropped."""
        self.proxy.upstream.set(limit=5)
        self.send(self.near, b"abc")
        self.assertFalse(self.far.ends)
        self.send(self.near, b"defgh")
        self.assertEqual(
            (self.far.received, self.far.ends, self.near.ends), (b"abcde", ["closed"], ["closed"])
        )
        self.assertEqual(self.proxy.upstream.dropped, 3)

    def test_limit_of_none(self) -> None:
        """With a limit of 0 not one byte passes."""
        self.proxy.downstream.set(limit=0)
        self.send(self.far, b"x")
        self.assertEqual((self.near.received, self.near.ends, self.far.ends), (b"", ["closed"], ["closed"]))

    def test_hang(self) -> None:
        """Nothing passes, neither bytes nor an end, and the connection stays; later it all goes on."""
        self.proxy.upstream.set(hang=True)
        self.send(self.near, b"held")
        self.near.transport.loseConnection()
        self.reactor.advance(3600)
        self.assertEqual((self.far.received, self.far.ends), (b"", []))
        self.proxy.clear()
        self.reactor.advance(0)
        self.assertEqual((self.far.received, self.far.ends), (b"held", ["closed"]))

    def test_hang_and_reset(self) -> None:
        """Not even a reset passes while it hangs."""
        self.proxy.set(hang=True)
        self.near.transport.abortConnection()
        self.reactor.advance(3600)
        self.assertEqual(self.far.ends, [])
        self.send(self.far, b"to nobody")
        self.assertEqual(self.proxy.downstream.dropped, 9)

    def test_who_sends_has_to_wait(self) -> None:
        """Whether it hangs or the other end does not read: who sends is stopped, and nothing is lost."""
        for stop, go_on in (
            (lambda: self.proxy.upstream.set(hang=True), self.proxy.upstream.clear),
            (lambda: self.far.transport.pauseProducing(), lambda: self.far.transport.resumeProducing()),
        ):
            stop()
            for _ in range(40):
                self.send(self.near, bytes(BUFFER_SIZE // 4))
            lane = self.proxy.upstream
            self.assertLess(lane.read, 5 * BUFFER_SIZE, "it reads on although nobody takes it")
            go_on()
            self.reactor.advance(0)
            self.assertEqual(len(self.far.received), 10 * BUFFER_SIZE)
            self.assertEqual((lane.read, lane.dropped), (lane.forwarded, 0))
            self.near, self.far = self.connect()
            lane.read = lane.forwarded = 0

    def test_swallow(self) -> None:
        """All is read and thrown away; what comes after that passes again."""
        self.proxy.upstream.set(swallow=True)
        for _ in range(40):
            self.send(self.near, bytes(BUFFER_SIZE // 4))
        self.assertEqual((self.far.received, self.proxy.upstream.dropped), (b"", 10 * BUFFER_SIZE))
        self.proxy.upstream.set(swallow=False)
        self.send(self.near, b"heard")
        self.assertEqual(self.far.received, b"heard")

    def test_lost_while_it_waits(self) -> None:
        """What waits for an end that is lost is dropped, and who sends is reset."""
        self.far.transport.pauseProducing()
        for _ in range(40):
            self.send(self.near, bytes(BUFFER_SIZE // 4))
        self.far.transport.abortConnection()
        self.reactor.advance(0)
        self.assertEqual((self.near.ends, self.proxy.open), (["reset"], 0))
        self.assertGreater(self.proxy.upstream.dropped, 0)

    def test_reset(self) -> None:
        """Both ends of all connections are reset; new ones are taken."""
        other = self.connect()
        self.proxy.reset()
        self.reactor.advance(0)
        self.assertEqual([end.ends for end in (self.near, self.far, *other)], [["reset"]] * 4)
        near, _ = self.connect()
        self.assertTrue(near.is_up)

    def test_close(self) -> None:
        """Both ends are closed in order."""
        self.send(self.near, b"before")
        self.proxy.close()
        self.reactor.advance(0)
        self.assertEqual(
            (self.near.ends, self.far.ends, self.far.received), (["closed"], ["closed"], b"before")
        )

    def test_stop_at_any_time(self) -> None:
        """Stopping does not mind what is held, late or half ended; `tearDown` sees that nothing is left."""
        self.proxy.upstream.set(latency=100, slices=1)
        self.proxy.downstream.set(hang=True)
        self.send(self.near, b"late")
        self.send(self.far, bytes(BUFFER_SIZE * 3))
        self.near.transport.loseConnection()
        self.reactor.silent_ports.add(self.proxy.target_port)
        self.connect()


class HalfCloseTests(ProxyCase):
    """Ends that go on writing after an end of file."""

    end_class = HalfEnd

    def test_half_close_passes(self) -> None:
        """One that has finished writing still reads; when both have, it is over."""
        self.near.transport.loseWriteConnection()
        self.reactor.advance(0)
        self.assertEqual((self.far.ends, self.near.ends), (["end of file"], ["written"]))
        self.send(self.far, b"answer")
        self.assertEqual(self.near.received, b"answer")
        self.far.transport.loseConnection()
        self.reactor.advance(0)
        self.assertEqual(self.proxy.open, 0)
        self.assertEqual(self.near.ends, ["written", "end of file"])
        self.near.transport.loseConnection()
        self.reactor.advance(0)
        self.assertTrue(self.near.lost)

    def test_made_by_the_proxy(self) -> None:
        """The proxy can end one direction of what is up: who sent there is read from, to no avail."""
        self.proxy.upstream.half_close()
        self.proxy.upstream.half_close()
        self.reactor.advance(0)
        self.assertEqual((self.far.ends, self.near.ends), (["end of file"], []))
        self.send(self.near, b"unheard")
        self.send(self.far, b"answer")
        self.assertEqual((self.far.received, self.near.received), (b"", b"answer"))
        self.assertEqual(self.proxy.upstream.dropped, 7)

    def test_reset_after_a_half_close(self) -> None:
        """A reset after an end of file is still passed on."""
        self.near.transport.loseWriteConnection()
        self.reactor.advance(0)
        self.near.transport.abortConnection()
        self.reactor.advance(0)
        self.assertEqual(self.far.ends, ["end of file", "reset"])

    def test_writing_to_one_that_is_gone(self) -> None:
        """In memory as on sockets, who writes to an end that closed altogether is reset."""
        self.near.transport.loseConnection()
        self.near.transport.loseWriteConnection()
        self.reactor.advance(0)
        self.send(self.far, b"anybody there?")
        self.reactor.advance(0)
        self.assertTrue(self.far.lost)


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "latency": st.sampled_from([0, 0.3]),
        "bandwidth": st.sampled_from([None, 10, 100_000]),
        "slices": st.sampled_from([None, 1, 1000]),
        "limit": st.sampled_from([None, 3, 150_000]),
        "hang": st.booleans(),
        "swallow": st.booleans(),
    },
)
SIDES = st.sampled_from(["near", "far"])
STEPS = st.lists(
    st.tuples(st.just("send"), SIDES, st.integers(1, 100_000))
    | st.tuples(st.just("set"), SIDES, CONDITIONS)
    | st.tuples(st.just("wait"), SIDES, st.sampled_from([0, 0.1, 1]))
    | st.tuples(
        st.sampled_from(
            ["pause", "resume", "half_close", "close", "abort", "cut", "clear", "reset", "shut", "connect"]
        ),
        SIDES,
        st.none(),
    ),
    max_size=25,
)


class Line:
    """A connection through a proxy, and what was sent from either end of it."""

    def __init__(self, near: End, far: End) -> None:
        self.ends = {"near": near, "far": far}
        self.sent = {"near": b"", "far": b""}

    def send(self, side: str, count: int) -> None:
        """Write bytes that tell where they belong, if this end writes still."""
        end, sent = self.ends[side], self.sent[side]
        if not end.transport.disconnecting and "written" not in end.ends:
            data = bytes((len(sent) + at) % 251 for at in range(count))
            self.sent[side] += data
            end.transport.write(data)


class AnyOrderTests(SynchronousTestCase):
    """Whatever is done to it, in whatever order."""

    @settings(max_examples=200)
    @given(STEPS)
    @example(  # the producer of a full transport is gone when the transport has room again
        [
            ("set", "near", {"latency": 0, "hang": True}),
            ("send", "near", 65537),
            ("half_close", "near", None),
            ("set", "near", {"hang": False}),
        ]
    )
    def test_any_order(self, steps: list[tuple[str, str, Any]]) -> None:
        """Each end gets a beginning of what the other sent, all is accounted for, and nothing is left."""
        case = ProxyCase()
        case.end_class = HalfEnd
        case.setUp()
        lines, lanes = (
            [Line(case.near, case.far)],
            {"near": case.proxy.upstream, "far": case.proxy.downstream},
        )
        for what, side, value in steps:
            if what == "connect":
                lines.append(Line(*case.connect()))
            else:
                self.do(case, what, lines[-1], side, lanes[side], value)
            case.reactor.advance(0)
        swallows = any(what == "set" and "swallow" in value for what, _, value in steps)
        for line in lines:
            for here, there in (("near", "far"), ("far", "near")):
                received = line.ends[there].received
                self.assertTrue(swallows or line.sent[here].startswith(received), (here, len(received)))
        case.tearDown()
        for lane in lanes.values():
            self.assertEqual(lane.read, lane.forwarded + lane.dropped)

    def do(self, case: ProxyCase, what: str, line: Line, side: str, lane: Lane, value: Any) -> None:
        """One step at one end."""
        transport = line.ends[side].transport
        {
            "send": lambda: line.send(side, value),
            "set": lambda: lane.set(**value),
            "wait": lambda: case.reactor.advance(value),
            "pause": transport.pauseProducing,
            "resume": transport.resumeProducing,
            "half_close": transport.loseWriteConnection,
            "close": transport.loseConnection,
            "abort": transport.abortConnection,
            "cut": lane.half_close,
            "clear": lane.clear,
            "reset": case.proxy.reset,
            "shut": case.proxy.close,
        }[what]()


class PairTests(SynchronousTestCase):
    """A proxy in front of each connection of a pair."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.chaos = ChaosPair(self.reactor)
        arguments = HOST, 0, LOG
        self.mount = Communicator(
            "mount", HOST, self.chaos.replies.port, *arguments, False, reactor=self.reactor
        )
        self.commander = Communicator(
            "commander", HOST, self.chaos.commands.port, *arguments, True, reactor=self.reactor
        )
        self.chaos.commands.target_port = self.mount.server_port
        self.chaos.replies.target_port = self.commander.server_port
        self.pass_time(1)
        self.assertTrue(self.mount.connected and self.commander.connected)

    def tearDown(self) -> None:
        """Nothing is left."""
        closed = [self.commander.close(), self.mount.close(), self.chaos.stop()]
        self.pass_time(2)
        for deferred in closed:
            self.successResultOf(deferred)
        self.assertEqual((self.reactor.getDelayedCalls(), self.reactor.ports), ([], {}))

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.reactor.advance(0.1)

    def test_commands_and_replies(self) -> None:
        """Commands go through one proxy, and replies through the other."""
        command, reply = Enable(), DoneReply(sequence_id=1)
        self.commander.write(command)
        self.mount.write(reply)
        self.pass_time(0.1)
        self.assertEqual(self.successResultOf(self.mount.read()), command)
        self.assertEqual(self.successResultOf(self.commander.read()), reply)
        self.assertEqual(self.chaos.commands.upstream.forwarded, len(command.encode()))
        self.assertEqual(self.chaos.replies.upstream.forwarded, len(reply.encode()))

    def test_drop_one(self) -> None:
        """One connection is dropped and the other stays."""
        self.chaos.drop("replies")
        self.reactor.advance(0)
        self.assertEqual((self.commander.client_connected, self.commander.server_connected), (True, False))
        self.pass_time(1)
        self.assertTrue(self.commander.connected)
        self.chaos.drop("commands")
        self.reactor.advance(0)
        self.assertEqual((self.commander.client_connected, self.commander.server_connected), (False, True))

    def test_reset(self) -> None:
        """Both are dropped, and come back."""
        self.chaos.reset()
        self.reactor.advance(0)
        self.assertFalse(self.commander.client_connected or self.commander.server_connected)
        self.pass_time(1)
        self.assertTrue(self.commander.connected)

    def test_conditions(self) -> None:
        """What is set holds for both connections, until it is cleared."""
        self.chaos.set(hang=True)
        self.commander.write(Enable())
        read = self.mount.read()
        self.pass_time(10)
        self.assertNoResult(read)
        self.chaos.clear()
        self.pass_time(0.1)
        self.successResultOf(read)


class SocketTests(TestCase):
    """The same on real sockets, where the system has a say."""

    timeout = 20

    def setUp(self) -> None:
        self.reactor: Any = global_reactor
        self.far = HalfEnd()

    async def start(self, near: End, far: End) -> ChaosProxy:
        """A connection through a proxy."""
        target = self.reactor.listenTCP(0, Factory.forProtocol(lambda: far), interface=HOST)
        proxy = ChaosProxy(self.reactor, target.getHost().port)
        self.addCleanup(target.stopListening)
        self.addCleanup(proxy.stop)
        self.reactor.connectTCP(HOST, proxy.port, cast(Any, ClientFactory.forProtocol(lambda: near)))
        self.addCleanup(self.leave, near, far)
        await near.until(lambda: near.connected)
        await far.until(lambda: far.connected)
        return proxy

    def leave(self, *ends: End) -> None:
        """Drop what is still there."""
        for end in ends:
            if end.is_up:
                end.transport.abortConnection()

    async def test_reset(self) -> None:
        """A reset is one for both ends, and when stopped the sockets are gone."""
        near, far = End(), End()
        proxy = await self.start(near, far)
        proxy.reset()
        await near.until(lambda: near.lost)
        await far.until(lambda: far.lost)
        self.assertEqual((near.ends, far.ends), (["reset"], ["reset"]))
        await proxy.stop()
        self.assertEqual(proxy.open, 0)

    async def test_half_close(self) -> None:
        """A half-close passes, the answer to it comes back, and then all is closed."""
        near, far = HalfEnd(), HalfEnd()
        proxy = await self.start(near, far)
        near.transport.write(b"question")
        near.transport.loseWriteConnection()
        await far.until(lambda: "end of file" in far.ends)
        self.assertEqual(far.received, b"question")
        far.transport.write(b"answer")
        far.transport.loseWriteConnection()
        await near.until(lambda: "end of file" in near.ends)
        self.assertEqual(near.received, b"answer")
        near.transport.loseConnection()
        far.transport.loseConnection()
        await proxy.stop()

    async def test_slices(self) -> None:
        """What is sent at once arrives in pieces."""
        near, far = End(), End()
        proxy = await self.start(near, far)
        proxy.upstream.set(slices=7)
        near.transport.write(bytes(700))
        await far.until(lambda: len(far.received) == 700)
        self.assertGreater(len(far.chunks), 10)

    async def test_who_does_not_read(self) -> None:
        """Who sends to an end that does not read has to wait; when it reads, all of it arrives."""
        near, far = End(), End()
        proxy = await self.start(near, far)
        far.transport.pauseProducing()
        size = 32 * 2**20
        near.transport.write(bytes(size))
        turns: Deferred[None] = Deferred()
        self.wait_for_a_standstill(proxy, -1, turns)
        await turns
        held = proxy.upstream.read - proxy.upstream.forwarded
        self.assertLess(proxy.upstream.read, size)
        self.assertLess(held, 3 * BUFFER_SIZE)
        far.transport.resumeProducing()
        await far.until(lambda: sum(map(len, far.chunks)) == size)

    def wait_for_a_standstill(self, proxy: ChaosProxy, before: int, turns: Deferred[None]) -> None:
        """Fires when no more was read in a hundred turns of the reactor."""
        read = proxy.upstream.read
        if read == before:
            turns.callback(None)
        else:
            self.turns(100, lambda: self.wait_for_a_standstill(proxy, read, turns))

    def turns(self, count: int, then: Any) -> None:
        """Do something so many turns of the reactor later."""
        self.reactor.callLater(0, self.turns, count - 1, then) if count else then()

    async def test_many_at_once(self) -> None:
        """Hundreds of connections go through one proxy; when it is stopped none of them is left."""
        near, far = End(), End()
        proxy = await self.start(near, far)
        ends = [End() for _ in range(300)]
        for end in ends:
            self.reactor.connectTCP(
                HOST, proxy.port, cast(Any, ClientFactory.forProtocol(lambda end=end: end))
            )
        for end in ends:
            await end.until(lambda end=end: end.connected)
            end.transport.write(b"x")
        await proxy.stop()
        for end in ends:
            await end.until(lambda end=end: end.lost)
        await far.until(lambda: len([each for each in far.ends if each in ("closed", "reset")]) == far.made)
        self.assertEqual((proxy.open, proxy.accepted <= 301), (0, True))
