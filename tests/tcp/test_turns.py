"""How much of what clients without rights send is read at once, and what is left for others, in memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from unittest.mock import Mock

from msgspec.structs import replace

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.dialect import CommandEnvelope
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.replies import CmdSucceededReply, DetailedSettingsAppliedReply
from mtmount_twisted.dialects.translated import TRANSLATOR
from mtmount_twisted.enums import CommandCode
from mtmount_twisted.frontends.tcp.command_queue import (
    ALLOWANCE_TIME,
    ASK_COUNTS,
    ASKS_FIRST,
    FEW_ARRIVE,
    FREE_COUNTS,
    LOOKED_BYTES,
    LOOKED_FIRST,
    MAX_BYTES,
    MAX_LINES,
    MORE_LOOKS,
    PAUSED_TIME,
    STOPS_AT_ONCE,
    CommandQueue,
)
from mtmount_twisted.frontends.tcp.commanders import (
    FIRST_LOOKS_IN_TURN,
    LOOK_EVERY,
    LOOKED_AT_ONCE,
    LOOKED_IN_TURN,
    MAX_HELD,
    READ_EVERY,
    READ_WITHOUT_RIGHTS,
    SLICE_WITHOUT_RIGHTS,
)
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.net.event_order import MOST_EVENTS
from mtmount_twisted.net.protocol import LineReader
from mtmount_twisted.net.turns import LEAST, Turns
from tests.support.bridges import BridgeCase, PortEnd, ask, command, explanation, reply
from tests.support.commanders import MOVE, STOP, RecordingClient
from tests.support.handshakes import TURN, TurnClock
from tests.support.tma2022_bridge import CSC, Tma2022Case

EUI = tma2022.enums.Source.EUI

SHORT = b"1\n32\n1\n"
"""A command as short as can be."""

PER_TURN = READ_WITHOUT_RIGHTS // LEAST
"""How many such commands a turn may read, but for those of the slice that goes beyond."""

MOST = PER_TURN + 16
CHUNK = LOOKED_IN_TURN // LEAST - 1
"""How many moves a socket receives at once, if they have a time."""

AT_ONCE = 8
HALL = 1


def codes(lines: list[bytes]) -> list[bytes]:
    """The codes of these commands."""
    return [line.split(b"\n")[1] for line in lines]


class TurnsCase(BridgeCase):
    """A bridge with all connected; the desk has command."""

    def setUp(self) -> None:
        super().setUp()
        self.start_all()
        self.desk = self.join()
        self.controller.grants = True
        self.grant(self.desk, 2)

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    @property
    def refused(self) -> int:
        """How many commands were refused so far."""
        return int(self.service.bridge.counts["refused"])

    def flood(self, count: int = AT_ONCE) -> list[PortEnd]:
        """Have so many observers say 100 short commands each, at once."""
        strangers = [self.join(HALL) for _ in range(count)]
        for stranger in strangers:
            stranger.transport.write((SHORT + b"\r\n") * 100)
        self.reactor.advance(0)
        return strangers


class ObserverTests(TurnsCase):
    """Clients of a port that only observe."""

    def test_a_turn_reads_few(self) -> None:
        """Of all that many of them say at once a turn reads a few lines, however short they are."""
        self.flood()
        self.assertGreater(self.refused, 0)
        self.assertLessEqual(self.refused, MOST)
        for _ in range(5):
            before = self.refused
            self.reactor.advance(READ_EVERY)
            self.assertGreater(self.refused, before)
            self.assertLessEqual(self.refused - before, MOST)

    def test_each_is_answered(self) -> None:
        """In the end each command was refused, and each of them is dismissed."""
        strangers = self.flood()
        self.pass_time(2)
        for stranger in strangers:
            self.assertEqual((len(stranger.heard()), stranger.is_connected), (100, False))

    def test_coming_again_gains_nothing(self) -> None:
        """Who is dismissed and comes again at once has no more lines read in a second than who stays."""
        strangers = self.flood()
        before = self.refused
        for _ in range(round(1 / READ_EVERY)):
            self.reactor.advance(READ_EVERY)
            gone = [each for each in strangers if not each.is_connected]
            strangers = [each for each in strangers if each.is_connected] + self.flood(len(gone))
        self.assertGreater(self.refused - before, AT_ONCE * 100)
        self.assertLessEqual(self.refused - before, MOST / READ_EVERY + MOST)

    def test_commands_go_between(self) -> None:
        """A command of who has command, and a stop of who has not, wait for none of what strangers say."""
        self.flood()
        before = self.refused
        self.desk.say(command(1, MOVE, 2, b"20"))
        [came] = self.controller.heard()
        self.controller.say(reply(0, came, b"1000"), reply(2, came))
        self.assertEqual(len(self.desk.heard()), 2)
        self.csc.say(command(2, STOP, 1))
        [came] = self.controller.heard()
        self.assertEqual(came.split(b"\n")[1], b"%d" % STOP)
        self.assertEqual(self.refused, before)

    def test_others_have_their_turn(self) -> None:
        """One who says one line waits for a slice of each other, and not for all that they say."""
        self.flood(30)
        other = self.join(HALL)
        other.say(command(7, CommandCode.ENABLE, 1))
        self.reactor.advance(READ_EVERY)
        self.reactor.advance(READ_EVERY)
        for _ in range(30 // (PER_TURN // 16)):
            self.reactor.advance(READ_EVERY)
        [why] = [each for each in other.heard() if each.startswith(b"1\n7\n")]
        self.assertEqual(explanation(why), "refused: this client only observes")
        self.assertLess(self.refused, 30 * 100 / 2)

    def test_long_lines(self) -> None:
        """A line of 60,000 bytes comes whole, in many slices."""
        self.flood()
        other = self.join(HALL)
        other.say(command(7, CommandCode.ENABLE, 1) + b"\n" + b"x" * 60_000)
        self.pass_time(5)
        self.assertEqual([each[:4] for each in other.heard()], [b"1\n7\n"])
        self.assertTrue(other.is_connected)

    def test_the_end(self) -> None:
        """The bridge ends as always while lines wait for a turn."""
        self.flood(20)
        self.stop()
        refused = self.refused
        self.pass_time(1)
        self.assertEqual(self.refused, refused)


class CommanderTests(TurnsCase):
    """Commanders that send moves while another client has command."""

    def push(self, count: int = 1) -> list[PortEnd]:
        """Have so many clients of the commanders' port send 1,000 moves each, in one chunk."""
        pushers = [self.join() for _ in range(count)]
        for pusher in pushers:
            pusher.transport.write((command(1, MOVE, 2, b"20") + b"\r\n") * 1000)
        self.reactor.advance(0)
        return pushers

    def test_each_line_is_read_once(self) -> None:
        """The header of a move that waits for a turn is read once, and so is that of a stop among them."""
        bridge = self.service.bridge
        read: list[bytes] = []

        def read_command(line: bytes) -> CommandEnvelope:
            read.append(line)
            return DIALECT.read_command(line)

        bridge.dialect = replace(bridge.dialect, read_command=read_command)
        pusher = self.join()
        lines = [command(number, STOP if number == 500 else MOVE, 2, b"20") for number in range(1, 1001)]
        pusher.transport.write(b"".join(line + b"\r\n" for line in lines))
        self.pass_time(5)
        self.assertEqual(len(pusher.heard()), 999)
        self.assertEqual(sorted(read), sorted(lines))

    def test_a_turn_refuses_few(self) -> None:
        """However many moves they send, a turn refuses a few of them; in the end each move is refused."""
        pushers = self.push(3)
        self.csc.say(*[command(1, MOVE, 1, b"20")] * 1000)
        for _ in range(5):
            before = self.refused
            self.reactor.advance(READ_EVERY)
            self.assertGreater(self.refused, before)
            self.assertLessEqual(self.refused - before, MOST)
        self.pass_time(8)
        for pusher in (*pushers, self.csc):
            self.assertEqual(len(pusher.heard()), 1000)
            self.assertTrue(pusher.is_connected)

    def test_holder_does_not_wait(self) -> None:
        """The moves of the holder, and a stop and an ask of another commander, wait for no refusal."""
        self.push(4)
        before = self.refused
        self.desk.say(*[command(number, MOVE, 2, b"20") for number in range(50)])
        self.assertEqual(len(self.controller.heard()), 50)
        self.csc.say(command(1, STOP, 1))
        self.assertEqual(len(self.controller.heard()), 1)
        self.reactor.advance(READ_EVERY)
        self.csc.say(ask(2, 1, 1))
        self.reactor.advance(READ_EVERY)
        self.assertIn(b"2\n2\n", [line[:4] for line in self.csc.heard()])
        self.assertLessEqual(self.refused - before, 2 * MOST)

    def test_stop_behind_moves(self) -> None:
        """A stop goes before the refused moves that its own sender sent before it."""
        for pusher in (self.join(), self.csc):
            before = self.refused
            pusher.say(*[command(1, MOVE, 2, b"20")] * CHUNK, command(2, STOP, 2))
            [came] = self.controller.heard()
            self.assertEqual(came.split(b"\n")[1], b"%d" % STOP)
            self.assertLessEqual(self.refused - before, MOST)
            self.controller.say(reply(0, came, b"1000"), reply(2, came))
            self.pass_time(1)

    def test_stop_after_a_move(self) -> None:
        """A stop that comes while its sender's refused move waits for its turn goes at once."""
        late = [self.join() for _ in range(3)]
        self.push(40)
        for index, sender in enumerate(late):
            for number in range(3, 13):
                sender.say(command(number, MOVE, 2, b"20"))
                self.assertEqual(self.controller.heard(), [])
            sender.say(command(2, STOP, 2))
            self.pass_time(0.2)
            [came] = self.controller.heard()
            self.assertEqual(came.split(b"\n")[1], b"%d" % STOP, index)
            self.controller.say(reply(0, came, b"1000"), reply(2, came))

    def test_overtaken_by_its_own_stop(self) -> None:
        """A move that waits for its turn when a stop comes is not sent, though its sender gets command."""
        pusher = self.join()
        pusher.say(*[command(1, MOVE, 2, b"20")] * CHUNK, command(2, STOP, 2))
        [came] = self.controller.heard()
        self.controller.say(reply(0, came, b"1000"), reply(2, came))
        self.assertEqual(self.service.bridge.hand_command(self.service.bridge.lease.holder, "desk/2"), "")
        self.pass_time(1)
        self.assertEqual(self.controller.heard(), [])
        self.assertIn("not sent: overtaken by a stop", explanation(pusher.heard()[-1]))

    def test_nothing_behind_a_malformed_line(self) -> None:
        """A stop behind a malformed line is not sent, though it goes before the moves."""
        pusher = self.join()
        pusher.say(*[command(1, MOVE, 2, b"20")] * 500, b"nonsense", command(2, STOP, 2))
        self.pass_time(1)
        self.assertEqual(self.controller.heard(), [])
        self.assertFalse(pusher.is_connected)

    def test_ask_behind_moves(self) -> None:
        """Once an ask behind the moves is granted, what follows is sent at once."""
        pusher = self.join()
        moves = [command(number, MOVE, 2, b"20") for number in range(10, 20)]
        pusher.say(*[command(1, MOVE, 2, b"20")] * 200, ask(2, 2, 2), *moves)
        self.pass_time(1)
        self.assertEqual(len(self.controller.heard()), 10)

    def test_asks_for_the_holder(self) -> None:
        """Of asks without end, which give command to its holder, a turn takes a few; each is answered."""
        self.grant(self.csc)
        pusher = self.join()
        pusher.say(*[ask(number, 2, 1) for number in range(1, 301)])
        for _ in range(3):
            self.assertLessEqual(self.service.bridge.clients["desk/2"].in_flight, 3 * MOST)
            self.reactor.advance(READ_EVERY)
        for _ in range(40):
            self.controller.serve()
            self.pass_time(0.1)
        ends = [line for line in pusher.heard() if line.startswith((b"1\n", b"2\n"))]
        self.assertEqual(len(ends), 300)

    def test_asks_count(self) -> None:
        """Of asks without end, a turn grants as many as it would refuse commands of their cost."""
        self.grant(self.csc)
        pusher = self.join()
        pusher.say(*[ask(number, 2, 2) for number in range(1, 301)])
        self.controller.serve()
        for _ in range(5):
            before = len(self.journal.events)
            self.reactor.advance(READ_EVERY)
            self.controller.serve()
            self.assertLessEqual(len(self.journal.events) - before, 2 * (PER_TURN // ASK_COUNTS + 1))

    def test_stops_without_end(self) -> None:
        """Of stops without end the first of each sender go at once; of the others a turn takes a few."""
        pushers = [self.join() for _ in range(4)]
        for pusher in pushers:
            pusher.say(*[command(number, STOP, 2) for number in range(1, 301)])
        self.assertLessEqual(len(self.controller.serve()), 4 * STOPS_AT_ONCE + MOST)
        for _ in range(5):
            self.reactor.advance(READ_EVERY)
            self.assertIn(len(self.controller.serve()), range(1, MOST))
        for _ in range(200):
            self.reactor.advance(READ_EVERY)
            self.controller.serve()
        for pusher in pushers:
            self.assertEqual(len([line for line in pusher.heard() if line.startswith(b"2\n")]), 300)

    def test_stops_between_stops_without_end(self) -> None:
        """The first stops of another commander, and all of the holder, wait for none of those."""
        for _ in range(4):
            self.join().say(*[command(number, STOP, 2) for number in range(1, 301)])
        self.controller.serve()
        self.csc.say(*[command(number, STOP, 1) for number in range(STOPS_AT_ONCE)])
        self.assertEqual(len(self.controller.serve()), STOPS_AT_ONCE)
        self.desk.say(*[command(number, STOP, 2) for number in range(90)])
        self.assertEqual(len(self.controller.serve()), 90)
        self.reactor.advance(1)
        self.controller.serve()
        self.csc.say(command(99, STOP, 1))
        self.assertEqual(len(self.controller.serve()), 1)

    def test_ask_in_a_crowd(self) -> None:
        """An ask waits for no refusal of a crowd, and what its sender sent behind it is sent with it."""
        self.push(100)
        self.csc.say(ask(2, 1, 1), *[command(number, MOVE, 1, b"20") for number in range(3, 13)])
        self.reactor.advance(READ_EVERY)
        self.assertEqual(len(self.controller.serve()), 10)
        done = [line[:4] for line in self.csc.heard() if line.startswith(b"2\n")]
        self.assertEqual((len(done), done[0]), (11, b"2\n2\n"))

    def test_asks_in_a_crowd(self) -> None:
        """A few asks of a commander in a second go first; the others wait for their turn as moves do."""
        self.grant(self.csc)
        asker = self.join()
        self.push(100)
        asker.say(*[ask(number, 2, 1) for number in range(1, 301)])
        for _ in range(10):
            before = self.refused
            self.reactor.advance(READ_EVERY)
            self.controller.serve()
            self.assertGreaterEqual(self.refused - before, PER_TURN - ASKS_FIRST * ASK_COUNTS)
        ends = [line for line in asker.heard() if line.startswith(b"2\n")]
        self.assertIn(len(ends), range(1, 2 * ASKS_FIRST + 1))

    def test_a_crowd_that_asks(self) -> None:
        """An ask waits for a few asks of each of a crowd, and a turn takes as few of theirs as of moves."""
        self.grant(self.csc)
        for _ in range(100):
            moves = [command(1, MOVE, 2, b"20")] * 7
            self.join().say(*[ask(1, 2, 1), *moves] * 50)
        self.eui.say(ask(7, 2, 2))
        for _ in range(10):
            before = self.refused
            self.reactor.advance(READ_EVERY)
            self.controller.serve()
            self.assertLessEqual(self.refused - before, MOST)
        self.assertIn(b"2\n7\n", [line[:4] for line in self.eui.heard()])

    def test_first_ask_among_asks_without_end(self) -> None:
        """The first ask of a commander waits for none of a crowd that asks without end."""
        self.grant(self.csc)
        for crowd in [self.join() for _ in range(3 * PER_TURN)]:
            crowd.say(*[ask(number, 2, 1) for number in range(1, 21)])
        self.eui.say(ask(7, 2, 2))
        self.reactor.advance(READ_EVERY)
        self.controller.serve()
        self.assertEqual([line[:4] for line in self.eui.heard() if line.startswith(b"2\n")], [b"2\n7\n"])

    def test_end_of_its_lines(self) -> None:
        """One that half-closes behind its moves receives the refusal of each, and is closed then."""
        pusher = self.join()
        pusher.transport.write((command(1, MOVE, 2, b"20") + b"\r\n") * 300)
        pusher.transport.loseWriteConnection()
        self.pass_time(2)
        self.assertEqual((len(pusher.heard()), pusher.is_connected), (300, False))

    def test_gone(self) -> None:
        """Nothing is dispatched for one that is gone, and the bridge ends as always."""
        [pusher] = self.push()
        pusher.leave()
        self.reactor.advance(READ_EVERY)
        before = self.refused
        self.pass_time(1)
        self.assertEqual(self.refused, before)
        self.push(3)


class HalfAPairTests(BridgeCase):
    """A peer at the command port of a pair, whose reply connection is not up."""

    def setUp(self) -> None:
        super().setUp()
        self.start(self.controller, self.eui)
        self.controller.grants = True
        self.assertTrue(self.csc.connect_server())

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def open_the_way_back(self) -> None:
        """Take the bridge's connection for replies."""
        self.csc.start_listening()
        self.pass_time(5)
        self.assertTrue(self.service.pairs[0].connected)

    def test_a_turn_reads_few(self) -> None:
        """What it says is read a few lines in a turn; those past the bound are dropped as they come."""
        self.csc.say(*[SHORT] * 5000)
        before = 0
        for _ in range(20):
            self.reactor.advance(READ_EVERY)
            refused = self.service.bridge.counts["not_sent"]
            self.assertLessEqual(refused - before, MOST + MAX_HELD)
            before = refused
        self.assertGreater(before, 100)
        self.assertLessEqual(before, 20 * MOST + MAX_HELD)

    def test_overtaken_while_it_waits(self) -> None:
        """A move that waits for its turn when another stops the mount is not sent once the pair is up."""
        hall = [self.join(HALL) for _ in range(300)]
        for each in hall:
            each.transport.write((SHORT + b"\r\n") * 16)
        self.csc.start_listening()
        self.csc.say(command(2, MOVE, 1, b"20"))
        self.eui.say(command(9, STOP, 2))
        pair = self.service.pairs[0]
        while not pair.connected:
            self.pass_time(0.05)
        self.assertLess(self.service.bridge.counts["refused"], 300 * 16 / 2)
        self.pass_time(0.05)
        [why] = [explanation(each) for each in self.csc.heard() if each.startswith(b"1\n2\n")]
        self.assertEqual(why, "not sent: overtaken by a stop")


class QuestionTests(Tma2022Case):
    """Questions for state and settings, which need no command."""

    def test_without_end(self) -> None:
        """Of questions without end, answered from memory or not, a turn takes a few."""
        turns = Turns(self.clock, READ_WITHOUT_RIGHTS, SLICE_WITHOUT_RIGHTS, READ_EVERY)
        first_looks = Turns(self.clock, FIRST_LOOKS_IN_TURN, LEAST)
        looks = Turns(self.clock, LOOKED_IN_TURN, LOOKED_AT_ONCE, LOOK_EVERY)
        queue = CommandQueue(self.eui, self.bridge, turns, first_looks, looks, self.clock)
        queue.open(Mock(LineReader))
        for is_known in (False, True):
            if is_known:
                for question in self.questions:
                    key = tma2022.dialect.DIALECT.read_command(question).sequence_id
                    self.answer(CmdSucceededReply(sequence_id=key, commander=CSC))
                self.answer(DetailedSettingsAppliedReply(set_name="Default", all_settings_match_set=True))
            self.clock.advance(READ_EVERY)
            self.eui.read()
            question = tma2022.commands.GetActualSettings(sequence_id=9, source=tma2022.enums.Source.EUI)
            queue.add([question.encode()[:-2]] * 60)
            acknowledged = 0
            for _ in range(60):
                acks = [line for line in self.eui.read() if json.loads(line)["id"] == 1]
                self.assertLessEqual(len(acks), MOST // FREE_COUNTS)
                acknowledged += len(acks)
                self.clock.advance(READ_EVERY)
            self.assertEqual(acknowledged, 60)
        turns.close()
        first_looks.close()
        looks.close()


class LookTests(Tma2022Case):
    """Stops among the commands of many commanders without command."""

    def setUp(self) -> None:
        super().setUp()
        self.turn_clock = TurnClock()
        self.first_looks = Turns(self.turn_clock, FIRST_LOOKS_IN_TURN, LEAST)
        self.looks = Turns(self.clock, LOOKED_IN_TURN, LOOKED_AT_ONCE, LOOK_EVERY)
        self.turns = Turns(self.clock, READ_WITHOUT_RIGHTS, SLICE_WITHOUT_RIGHTS, READ_EVERY)
        self.addCleanup(self.first_looks.close)
        self.addCleanup(self.looks.close)
        self.addCleanup(self.turns.close)
        self.read: list[bytes] = []
        self.readers: list[Mock] = []
        self.clients: list[RecordingClient] = []
        self.bridge.dialect = replace(self.bridge.dialect, read_command=self.read_command)

    def read_command(self, line: bytes) -> CommandEnvelope:
        """Note that a command was looked at."""
        self.read.append(line)
        return tma2022.dialect.DIALECT.read_command(line)

    def come(self) -> CommandQueue:
        """A commander comes."""
        client = RecordingClient(self.bridge, f"eui{len(self.readers)}", Source.EUI).come()
        self.clients.append(client)
        queue = CommandQueue(client, self.bridge, self.turns, self.first_looks, self.looks, self.clock)
        self.readers.append(Mock(LineReader))
        queue.open(self.readers[-1])
        return queue

    def test_a_turn_looks_at_few(self) -> None:
        """Of all that a crowd sends at once a turn looks at a few; a stop waits for no crowd."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=2, source=EUI).encode()[:-2]
        quiet_stop = tma2022.commands.AzimuthStop(sequence_id=2, source=EUI).encode()[:-2]
        crowd, quiet = [self.come() for _ in range(60)], self.come()
        self.clock.advance(ALLOWANCE_TIME)
        most = (LOOKED_IN_TURN + FIRST_LOOKS_IN_TURN + 2 * LOOKED_AT_ONCE) // LEAST + MOST + len(crowd) + 2
        for queue in crowd:
            queue.add([move] * 59 + [stop])
        quiet.add([move, move, quiet_stop])
        self.assertLessEqual(len(self.read), most)
        sent = codes(self.sent())
        self.assertLess(len(sent), 5)
        self.assertIn(codes([quiet_stop])[0], sent, "the one behind little")
        stops = len(sent) - 1
        for _ in range(40):
            self.read.clear()
            self.turn_clock.advance(TURN)
            self.clock.advance(LOOK_EVERY)
            self.assertLessEqual(len(self.read), most)
            stops += len(self.sent())
        self.assertEqual((stops, self.read), (60, []))

    def test_stop_in_a_burst(self) -> None:
        """However many commanders send in a turn of the reactor, a quiet one's stop goes in its own turn."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=2, source=EUI).encode()[:-2]
        crowd = [self.come() for _ in range(6 * (MOST_EVENTS - 1))]
        quiet = [self.come() for _ in range(6)]
        for queue in quiet:
            for _ in range(MOST_EVENTS - 1):
                crowd.pop().add([move] * 8)
            self.assertEqual(self.sent(), [])
            queue.add([stop])
            self.assertEqual(len(self.sent()), 1)
            self.turn_clock.advance(TURN)

    def test_stop_before_few(self) -> None:
        """A stop with a few commands before and behind it goes at once, whatever a crowd has sent."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=2, source=EUI).encode()[:-2]
        for queue in [self.come() for _ in range(60)]:
            queue.add([move] * 60)
        for before, behind in ((0, 2), (1, 1), (5, 2), (10, 4)):
            self.turn_clock.advance(TURN)
            self.come().add([move] * before + [stop] + [move] * behind)
            self.assertEqual(codes(self.sent()), codes([stop]), (before, behind))

    def test_more_looks_are_bounded(self) -> None:
        """Of a commander that sends a few commands again and again, a second has few looks at older ones."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        for queue in [self.come() for _ in range(60)]:
            queue.add([move] * 60)
        busy = self.come()
        for _ in range(3):
            self.turn_clock.advance(TURN)
        self.read.clear()
        for _ in range(30):
            busy.add([move] * 5)
            self.turn_clock.advance(TURN)
        self.assertGreater(len(self.read), MORE_LOOKS)
        self.assertLessEqual(len(self.read), 1 + 30 * LOOKED_FIRST + MORE_LOOKS)

    def test_packets_without_end(self) -> None:
        """A commander that sends packets of moves without end is received all the time, and its stop waits
        for none of the crowd."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=2, source=EUI).encode()[:-2]
        for queue in [self.come() for _ in range(60)]:
            queue.add([move] * 60)
        for size in (3, 10, 20, FEW_ARRIVE):
            self.turn_clock.advance(TURN)
            tracker, reader = self.come(), self.readers[-1]
            for _ in range(1000 // size):
                tracker.add([move] * size)
                self.turn_clock.advance(TURN)
            reader.pause.assert_not_called()
            tracker.add([stop])
            self.clock.advance(LOOK_EVERY)
            self.assertEqual(codes(self.sent()), codes([stop]), size)

    def test_paused_for_long(self) -> None:
        """A commander that sends long packets is paused for a while at most, also if the other looks are used
        by a crowd; its stop waits for none of the crowd."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=2, source=EUI).encode()[:-2]
        crowd = [self.come() for _ in range(300)]
        for queue in crowd:
            queue.add([move] * 60)
        self.turn_clock.advance(TURN)
        tracker, reader = self.come(), self.readers[-1]
        for _ in range(2):
            tracker.add([move] * 150)
        reader.pause.assert_called_once()
        reader.resume.assert_not_called()
        self.clock.pump([PAUSED_TIME, 0.0, 0.0, 0.0, 0.0])
        for _ in range(40):
            self.turn_clock.advance(TURN)
        reader.resume.assert_called()
        tracker.add([stop])
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(codes(self.sent()), codes([stop]))

    def test_new_holder_that_is_paused(self) -> None:
        """If a commander gets command while it is paused, none of its commands is dropped."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        for queue in [self.come() for _ in range(60)]:
            queue.add([move] * 60)
        heir, reader = self.come(), self.readers[-1]
        for _ in range(2):
            heir.add([move] * 150)
        reader.pause.assert_called()
        self.assertEqual(self.bridge.hand_command(self.bridge.lease.holder, self.clients[-1].name), "")
        self.clock.pump([PAUSED_TIME, 0.0, 0.0, 0.0, 0.0])
        for _ in range(40):
            self.turn_clock.advance(TURN)
        self.assertFalse(heir.waits)
        self.assertEqual(len(self.sent()) + len(self.explanations(self.clients[-1])), 300)
        reader.resume.assert_called()

    def test_closed_while_it_is_paused(self) -> None:
        """The end of a paused connection leaves no timer."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        for queue in [self.come() for _ in range(60)]:
            queue.add([move] * 60)
        paused = self.come()
        before = len(self.clock.getDelayedCalls())
        for _ in range(2):
            paused.add([move] * 150)
        self.readers[-1].pause.assert_called()
        paused.close()
        self.assertEqual(len(self.clock.getDelayedCalls()), before)

    def test_stop_behind_many(self) -> None:
        """A commander that sends on and on while others flood is received all the time, and its stop goes at
        once. Each of its commands has an answer; the oldest are busy."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=2, source=EUI).encode()[:-2]
        quiet, crowd = self.come(), [self.come() for _ in range(20)]
        client = self.clients[0]
        for _ in range(40):
            for queue in crowd:
                queue.add([move] * 10)
            for _ in range(10):
                quiet.add([move])
            self.clock.pump([LOOK_EVERY] * 5)
            self.turn_clock.advance(TURN)
        self.assertEqual(self.sent(), [])
        quiet.add([stop])
        self.turn_clock.advance(TURN)
        self.assertEqual(codes(self.sent()), codes([stop]))
        self.readers[0].pause.assert_not_called()
        refused = self.explanations(client)
        self.assertLessEqual(400 - len(refused), MAX_LINES)
        self.assertTrue(f"busy: more than {MAX_LINES} commands or {MAX_BYTES} bytes of eui0 wait" in refused)

    def test_stop_behind_as_many_as_wait(self) -> None:
        """A stop that comes alone is found, however many commands of its sender wait already."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=3, source=EUI).encode()[:-2]
        quiet, crowd = self.come(), [self.come() for _ in range(60)]
        for queue in crowd:
            queue.add([move] * 60)
        for _ in range(3):
            quiet.add([move] * 64)
            self.readers[0].pause.assert_not_called()
        quiet.add([stop])
        for _ in range(2):
            self.turn_clock.advance(TURN)
            self.clock.advance(LOOK_EVERY)
        self.assertIn(codes([stop])[0], codes(self.sent()))

    def test_sender_that_has_no_turn(self) -> None:
        """A commander that sends one command after the other is received even if it never has a turn: the
        oldest are dropped and counted, and its stop goes at once."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=3, source=EUI).encode()[:-2]
        quiet, crowd = self.come(), [self.come() for _ in range(60)]
        for queue in crowd:
            queue.add([move] * 60)
        omitted = self.bridge.counts["omitted"]
        for _ in range(4 * MAX_LINES):
            quiet.add([move])
            self.turn_clock.advance(TURN)
        self.readers[0].pause.assert_not_called()
        self.assertGreaterEqual(self.bridge.counts["omitted"] - omitted, 2 * MAX_LINES)
        self.assertEqual(self.sent(), [])
        quiet.add([stop])
        self.turn_clock.advance(TURN)
        self.assertEqual(codes(self.sent()), codes([stop]))

    def test_commands_of_a_new_holder_are_not_busy(self) -> None:
        """If a commander gets command while many of its commands wait, none of them is busy."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        heir, crowd = self.come(), [self.come() for _ in range(60)]
        for queue in crowd:
            queue.add([move] * 60)
        heir.add([move] * 150)
        self.assertEqual(self.bridge.hand_command(self.bridge.lease.holder, "eui0"), "")
        self.clock.pump([LOOK_EVERY] * 40)
        self.assertFalse(heir.waits)
        explanations = self.explanations(self.clients[0])
        self.assertEqual([why for why in explanations if "bytes of eui0 wait" in why], [])

    def test_chunks_of_short_lines(self) -> None:
        """A chunk of 2,000 empty lines takes little memory while it waits; all lines count at the end."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        crowd = [self.come() for _ in range(30)]
        for queue in crowd:
            queue.add([move] * 4)
        chunks = [[move] * 4 + [b""] * 1980 for _ in crowd]
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for queue, chunk in zip(crowd, chunks):
            queue.add(chunk)
        self.assertLess(tracemalloc.get_traced_memory()[0] / len(crowd), 64 * 1024)
        omitted = self.bridge.counts["omitted"]
        crowd[-1].finish()
        self.assertGreater(self.bridge.counts["omitted"] - omitted, 1980)

    def test_end_of_a_connection(self) -> None:
        """A stop goes to the mount though its sender has left behind it; the moves before it are counted."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=2, source=EUI).encode()[:-2]
        quiet, crowd = self.come(), [self.come() for _ in range(60)]
        for queue in crowd:
            queue.add([move] * 60)
        quiet.add([move, move, stop])
        self.assertEqual(self.sent(), [])
        omitted = self.bridge.counts["omitted"]
        quiet.finish()
        self.assertEqual((len(self.sent()), self.bridge.counts["omitted"] - omitted), (1, 2))
        self.assertFalse(quiet.waits)

    def test_commands_behind_asks_use_turns(self) -> None:
        """A crowd asks and sends moves behind its asks: a turn dispatches few, and a holder does not wait."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        ask = tma2022.commands.AskForCommand(sequence_id=2, source=EUI, commander=EUI).encode()[:-2]
        dispatched: list[bytes] = []
        all_read = self.bridge.all_read

        def count(client: IClient, commands: Iterable[tuple[bytes, CommandEnvelope | None]]) -> None:
            all_read(client, (dispatched.append(each[0]) or each for each in commands))

        self.patch(self.bridge, "all_read", count)
        for queue in [self.come() for _ in range(30)]:
            queue.add([ask] + [move] * 20)
        most = READ_WITHOUT_RIGHTS // LEAST + 21
        self.assertLessEqual(len(dispatched), most)
        for _ in range(40):
            dispatched.clear()
            self.turn_clock.advance(TURN)
            self.clock.advance(READ_EVERY)
            self.assertLessEqual(len(dispatched), most)

    def test_end_behind_many_moves(self) -> None:
        """A stop behind many moves that were not looked at goes to the mount though its sender has left."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=3, source=EUI).encode()[:-2]
        quiet, crowd = self.come(), [self.come() for _ in range(60)]
        for queue in crowd:
            queue.add([move] * 60)
        quiet.add([move] * 59 + [stop])
        self.assertEqual(self.sent(), [])
        quiet.finish()
        self.assertEqual(codes(self.sent()), codes([stop]))

    def test_stop_behind_asks(self) -> None:
        """A stop overtakes asks, too, as many as there are; so does the stop of a sender that has left."""
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        ask = tma2022.commands.AskForCommand(sequence_id=2, source=EUI, commander=EUI).encode()[:-2]
        stop = tma2022.commands.BothAxesStop(sequence_id=3, source=EUI).encode()[:-2]
        first, second, third, crowd = self.come(), self.come(), self.come(), [self.come() for _ in range(60)]
        for queue in crowd:
            queue.add([move] * 60)
        for queue, lines in ((first, [ask] * 3 + [stop]), (second, [ask, move, move, stop])):
            queue.add(lines)
            self.turn_clock.advance(TURN)
            self.clock.pump([LOOK_EVERY] * 2)
            self.assertIn(codes([stop])[0], codes(self.sent()))
        third.add([ask, ask, ask, stop])
        third.finish()
        self.assertIn(codes([stop])[0], codes(self.sent()))

    def test_drained(self) -> None:
        """The owner learns that no command waits any more, also if the last one has no answer.

        A client that has ended its side would otherwise stay connected.
        """
        move = tma2022.commands.BothAxesMove(sequence_id=1, source=EUI, azimuth=1, elevation=50).encode()[:-2]
        beat = tma2022.commands.Heartbeat(sequence_id=2, source=EUI).encode()[:-2]
        quiet, crowd = self.come(), [self.come() for _ in range(4)]
        for queue in crowd:
            queue.add([move] * 60)
        quiet.drained = drained = Mock()
        quiet.add([move, beat])
        drained.assert_not_called()
        for _ in range(40):
            self.turn_clock.advance(TURN)
            self.clock.advance(READ_EVERY)
        drained.assert_called()
        self.assertFalse(quiet.waits)

    def test_long_command(self) -> None:
        """A look reads the start of a long command, and finds a stop behind it."""
        long = b"1\n1\n32\n2\n2026-11-26T22:00:00.000\n" + b"x" * 60_000
        stop = tma2022.commands.BothAxesStop(sequence_id=2, source=EUI).encode()[:-2]
        quiet, crowd = self.come(), [self.come() for _ in range(60)]
        for queue in crowd:
            queue.add([long] * 60)
        self.read.clear()
        quiet.add([long, stop])
        self.turn_clock.advance(TURN)
        self.assertEqual(len(self.sent()), 1)
        self.assertLessEqual(max(map(len, self.read)), LOOKED_BYTES)


class TranslatedTests(Tma2022Case):
    """Commanders that speak another dialect than the controller."""

    def test_nothing_is_translated_before_its_turn(self) -> None:
        """A turn translates few of the commands to refuse, however many came; a stop goes at once."""
        translated = []

        def read_command(line: bytes) -> CommandEnvelope:
            translated.append(line)
            return TRANSLATOR.read_command(line)

        turns = Turns(self.clock, READ_WITHOUT_RIGHTS, SLICE_WITHOUT_RIGHTS, READ_EVERY)
        first_looks = Turns(self.clock, FIRST_LOOKS_IN_TURN, LEAST)
        looks = Turns(self.clock, LOOKED_IN_TURN, LOOKED_AT_ONCE, LOOK_EVERY)
        reader = Mock(LineReader)
        for number in range(AT_ONCE):
            hhd = RecordingClient(self.bridge, f"hhd{number}", Source.HHD)
            hhd.translator = replace(TRANSLATOR, read_command=read_command)
            queue = CommandQueue(hhd.come(), self.bridge, turns, first_looks, looks, self.clock)
            queue.open(reader)
            queue.add([command(each, MOVE, 2, b"20") for each in range(60)] + [command(61, STOP, 2)])
        self.clock.pump([LOOK_EVERY] * 4)
        self.assertEqual(len(self.sent()), AT_ONCE)
        self.assertLessEqual(len(translated), 3 * MOST // FREE_COUNTS + AT_ONCE)
        turns.close()
        first_looks.close()
        looks.close()
