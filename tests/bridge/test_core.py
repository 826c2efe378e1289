"""`mtmount_twisted.bridge.core`: where commands and replies go, and how each command ends."""

from __future__ import annotations

import logging

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.dialects.tma2020.codec import read_command_header
from mtmount_twisted.dialects.tma2020.envelope import LONGEST_REST
from mtmount_twisted.enums import CommandCode, ReplyCode, Source
from mtmount_twisted.interfaces import IBridge, IClient, IControllerLink, IJournal
from mtmount_twisted.journal.limited import SESSION_ROWS
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH
from tests.support.commanders import (
    MOVE,
    STAMP,
    STATE,
    STOP,
    TRACK,
    House,
    LeavingClient,
    RecordingClient,
    Told,
    command,
    told,
)

ACK, NOACK, DONE = ReplyCode.ACK, ReplyCode.NOACK, ReplyCode.DONE


class HeraldingClient(RecordingClient):
    """A client with whose first answer a newcomer comes."""

    newcomer: RecordingClient | None = None

    def send(self, data: bytes) -> None:
        """Let the newcomer come, once."""
        super().send(data)
        newcomer, self.newcomer = self.newcomer, None
        if newcomer is not None:
            newcomer.come()


class RoutingTests(SynchronousTestCase):
    """What goes where."""

    def setUp(self) -> None:
        self.house = House()
        self.csc = self.house.holder()
        self.link = self.house.link
        self.link.read()

    def test_doubles_keep_the_contracts(self) -> None:
        """The clients, link and journal of these tests provide the interfaces that the bridge expects."""
        self.assertTrue(verifyObject(IClient, self.csc))
        self.assertTrue(verifyObject(IControllerLink, self.link))
        self.assertTrue(verifyObject(IJournal, self.house.journal))

    def test_contract(self) -> None:
        """It is what the web is handed; each command in flight tells since when."""
        self.assertTrue(verifyObject(IBridge, self.house.bridge))
        self.house.advance(3)
        self.csc.command(MOVE)
        self.assertEqual([flight.since for flight in self.house.bridge.pending], [self.house.clock.seconds()])

    def test_byte_for_byte(self) -> None:
        """Behind the header nothing is touched, whatever the code, on the way down and on the way up."""
        for code in (MOVE, 104, 9999, -1):
            rest = b"no stamp\nx\n\n\xff\xfe\0\r"
            self.csc.say(b"7\n%d\n2\n" % code + rest)
            (line,) = self.link.read()
            sequence_id, sent_code, source, sent_rest = line.split(b"\n", 3)
            self.assertEqual((sent_code, source, sent_rest), (b"%d" % code, b"1", rest))
            self.link.say(b"2\n" + sequence_id + b"\n1\nwhen\nand\xff more")
            self.assertEqual(self.csc.read(), [b"2\n7\n2\nwhen\nand\xff more"])

    def test_ids_never_meet(self) -> None:
        """Two commanders, and one alone, may use an id twice: each gets its own answers under its own id."""
        eui = self.house.client("eui", Source.EUI)
        self.csc.command(MOVE, sequence_id=5)
        self.csc.command(TRACK, sequence_id=5)
        eui.command(STOP, sequence_id=5)
        move, track, stop = self.link.read()
        self.assertEqual(len({read_command_header(line).sequence_id for line in (move, track, stop)}), 3)
        self.link.finish(stop)
        self.assertEqual(eui.answers(), [Told(0, 5, 2, "1000"), Told(2, 5, 2, "")])
        self.assertEqual(self.csc.read(), [])
        self.link.refuse(move, b"no")
        self.link.ack(track, b"9")
        self.assertEqual(self.csc.answers(), [Told(1, 5, 1, "no"), Told(0, 5, 1, "9")])
        self.assertEqual(eui.read(), [])

    def test_observers(self) -> None:
        """Who only observes gets every answer and event once, its own refusals included."""
        watch = self.house.client("watch", may_command=False)
        self.csc.command(MOVE, sequence_id=3)
        self.link.finish(*self.link.read())
        self.link.say(STATE)
        self.assertEqual([line.split(b"\n")[:2] for line in watch.read()[:2]], [[b"0", b"3"], [b"2", b"3"]])
        self.assertEqual(self.csc.read()[-1], STATE)
        watch.command(STOP)
        self.assertEqual(watch.explanations(), ["refused: this client only observes"])
        self.assertEqual((self.link.read(), self.csc.read()), ([], []))

    def test_events_reach_everyone(self) -> None:
        """An event goes to everyone, whoever has command."""
        others = [self.house.client("eui", Source.EUI), self.house.client("watch", may_command=False)]
        self.link.say(STATE, b"99\nunheard of")
        for client in (self.csc, *others):
            self.assertEqual(client.read(), [STATE, b"99\nunheard of"])

    def test_events_in_one_piece(self) -> None:
        """What the mount says in one chunk goes to each client in one piece, answers in their place."""
        eui = self.house.client("eui", Source.EUI)
        number = self.csc.command(MOVE)
        (line,) = self.link.read()
        sequence_id = line.split(b"\n")[0]
        ack = b"0\n" + sequence_id + b"\n1\nwhen\n9"
        events = [STATE + b"%d" % number for number in range(5)]
        self.csc.pieces.clear()
        eui.pieces.clear()
        self.link.say(*events[:3], b"junk", ack, *events[3:])
        own_ack = b"0\n%d\n1\nwhen\n9" % number
        self.assertEqual(self.csc.read(), [*events[:3], own_ack, *events[3:]])
        self.assertEqual(eui.read(), events)
        self.assertEqual((len(self.csc.pieces), len(eui.pieces)), (3, 2))
        rows = [message for message in self.house.journal.messages if message[0] == "everyone"]
        self.assertEqual([row[3] for row in rows], events)

    def test_observers_get_one_piece(self) -> None:
        """What one chunk of the mount's makes observers hear, answers and events, they get in one piece."""
        observer = self.house.client("observer", Source.EUI, may_command=False)
        numbers = [self.csc.command(MOVE) for _ in range(3)]
        self.assertEqual(observer.read(), [])
        observer.pieces.clear()
        acks = [b"0\n" + line.split(b"\n")[0] + b"\n1\nwhen\n9" for line in self.link.read()]
        self.link.say(acks[0], STATE, acks[1], STATE, acks[2])
        own = [b"0\n%d\n1\nwhen\n9" % number for number in numbers]
        self.assertEqual(observer.read(), [own[0], STATE, own[1], STATE, own[2]])
        self.assertEqual(len(observer.pieces), 1)

    def test_observers_get_refusals_in_one_piece(self) -> None:
        """So they do where a burst of commands is refused, where the link is lost, and where time is up."""
        observer = self.house.client("observer", Source.EUI, may_command=False)
        late = self.house.client("late", Source.EUI)
        observer.pieces.clear()
        self.house.bridge.all_commanded(late, [command(number, MOVE, 2) for number in range(3)])
        self.assertEqual((len(observer.read()), len(observer.pieces)), (3, 1))
        for end in (lambda: self.house.advance(5.3), lambda: self.house.bridge.link_down("gone")):
            for _ in range(3):
                self.csc.command(MOVE)
            observer.pieces.clear()
            end()
            self.assertEqual((len(observer.read()), len(observer.pieces)), (3, 1))

    def test_newcomer_amid_a_chunk(self) -> None:
        """An observer that comes in the middle of it is told what comes from then on."""
        first = self.house.client("first", Source.EUI, may_command=False)
        second = RecordingClient(self.house.bridge, "second", Source.EUI, False)
        herald = HeraldingClient(self.house.bridge, "herald", Source.EUI).come()
        herald.newcomer = second
        self.house.bridge.all_commanded(herald, [command(number, MOVE, 2) for number in range(3)])
        self.assertEqual((len(first.read()), len(second.read())), (3, 2))

    def test_pieces_are_bounded(self) -> None:
        """Very much in one chunk is sent in pieces, none much longer than a line may be, and whole lines."""
        eui = self.house.client("eui", Source.EUI)
        lines = [STATE + b"x" * 30_000, *[STATE + b"%d" % number for number in range(3000)]] * 3
        self.link.say(*lines)
        self.assertEqual(eui.read(), lines)
        self.assertLess(max(len(piece) for piece in eui.pieces), MAX_LINE_LENGTH + 100)
        self.assertLess(len(eui.pieces), 10)

    def test_cut_off_amid_pieces(self) -> None:
        """Who is cut off by one piece gets no other."""
        leaver = LeavingClient(self.house.bridge, "leaver", Source.EUI).come()
        lines = [STATE + b"x" * 50_000, STATE + b"y" * 50_000]
        self.link.say(*lines)
        self.assertEqual((leaver.read(), self.csc.read()), (lines[:1], lines))

    def test_what_matches_nothing(self) -> None:
        """An answer that is late, repeated or to an unknown id goes to nobody, and is counted and kept."""
        self.csc.command(MOVE)
        (line,) = self.link.read()
        self.link.finish(line)
        self.csc.read()
        self.link.finish(line)
        self.link.say(b"1\n0\n1\nwhen\nwhy", b"1\n-1\n1\nwhen\nwhy")
        self.assertEqual(self.csc.read(), [])
        self.assertEqual(self.house.bridge.counts["unmatched"], 4)
        self.assertEqual(self.house.journal.messages[-1][1:], ("from", 1, b"1\n-1\n1\nwhen\nwhy"))

    def test_not_answered_before_it_is_written(self) -> None:
        """An answer to a command that still waits is an answer to nothing."""
        self.link.room = 0
        self.csc.command(MOVE)
        (flight,) = self.house.bridge.pending
        self.link.say(b"2\n%d\n1\nwhen" % flight.key)
        self.assertEqual(self.csc.read(), [])

    def test_garbage_of_the_controller(self) -> None:
        """What is no reply goes to nobody, is counted, and the lines after it are heard."""
        self.link.say(b"", b"x", b"0\n1", b"1\nx\n1\nt", b"\xff", STATE)
        self.assertEqual(self.csc.read(), [STATE])
        self.assertEqual(self.house.bridge.counts["unreadable"], 5)

    def test_a_bad_night(self) -> None:
        """A controller that says the same nonsense all night is logged once a minute, with how often."""
        with self.assertLogs("tests.bridge", logging.INFO) as logs:
            for _ in range(200):
                self.link.say(b"junk", b"2\n0\n1\nwhen")
                self.house.clock.advance(1)
        texts = [record.getMessage() for record in logs.records]
        self.assertEqual((len([text for text in texts if "junk" in text]), len(texts)), (4, 8))
        self.assertEqual(self.house.bridge.counts["unreadable"], 200)

    def test_stop_overtakes(self) -> None:
        """Every stop goes before all that waits, in the order of the stops, and what waited is not sent."""
        eui = self.house.client("eui", Source.EUI)
        self.link.room = 0
        for code in (MOVE, 103):
            self.csc.command(code)
        eui.command(STOP)
        self.assertEqual(self.csc.explanations(), ["not sent: overtaken by BothAxesStop of eui"] * 2)
        self.assertEqual((self.csc.in_flight, eui.in_flight), (0, 1))
        for code in (104, 1502, 7, TRACK, 103):
            self.csc.command(code)
        self.assertEqual(self.csc.explanations(), ["not sent: overtaken by MirrorCoverLocksStop of csc"])
        self.link.give_room(4)
        self.assertEqual(self.link.codes(), [STOP, 1502, 7, TRACK])
        self.link.give_room(10)
        self.assertEqual(self.link.codes(), [103])
        steps = [step[1] for step in self.house.journal.steps if step[5] == 104]
        self.assertEqual(steps, ["received", "not_sent"])

    def test_stop_leaves_what_was_sent(self) -> None:
        """What the controller was sent before a stop goes on: the mount ends it, and nobody else can."""
        self.csc.command(MOVE)
        self.csc.command(STOP)
        for line in self.link.read():
            self.link.finish(line)
        self.assertEqual([answer.code for answer in self.csc.answers()], [ACK, DONE] * 2)

    def test_stop_leaves_asks(self) -> None:
        """What the bridge asks of the controller is not overtaken, and goes first: the stop needs it."""
        self.link.room = 0
        self.csc.ask()
        self.csc.command(STOP)
        self.link.give_room()
        self.assertEqual(self.link.codes(), [CommandCode.ASK_FOR_COMMAND, STOP])

    def test_answers_are_for_the_visit_that_asked(self) -> None:
        """A commander that was lost and is back gets no answer to what it sent before; who observes does."""
        watch = self.house.client("watch", may_command=False)
        self.csc.command(MOVE, sequence_id=1)
        (old,) = self.link.read()
        self.csc.go()
        self.csc.come()
        self.csc.command(MOVE, sequence_id=1)
        (new,) = self.link.read()
        self.link.finish(old)
        self.assertEqual(self.csc.answers(), [])
        self.assertEqual(len(watch.answers()), 2)
        self.link.refuse(new, b"no")
        self.assertEqual(self.csc.explanations(), ["no"])

    def test_journal(self) -> None:
        """Each line stands in the journal once for each who said it or was told it, and each step once."""
        self.house.client("watch", may_command=False)
        journal = self.house.journal
        journal.messages.clear()
        journal.steps.clear()
        self.csc.command(MOVE, sequence_id=4)
        (line,) = self.link.read()
        self.link.finish(line)
        self.link.say(STATE)
        self.assertEqual(
            [message[:3] for message in journal.messages],
            [
                ("csc", "from", 1),
                ("controller", "to", 1),
                *[("controller", "from", 1), ("csc", "to", 1), ("observers", "to", 1)] * 2,
                ("controller", "from", 1),
                ("everyone", "to", 1),
            ],
        )
        key = read_command_header(line).sequence_id
        self.assertEqual(
            journal.steps,
            [(key, step, "csc", 1, 4, MOVE, 1, "") for step in ("received", "sent", "ack", "done")],
        )


class MalformedTests(SynchronousTestCase):
    """Lines that are no commands."""

    def setUp(self) -> None:
        self.house = House()
        self.csc = self.house.holder()
        self.house.link.read()

    def one(self, line: bytes) -> list[Told]:
        """What a commander that says a line is told before it is dismissed, once."""
        client = self.house.client("other", Source.EUI)
        client.say(line)
        self.assertEqual([why.split(":")[0] for why in client.dismissals], ["malformed"], line)
        client.go()
        return client.answers()

    def test_no_header(self) -> None:
        """A line without a header closes the connection; where id and source stand, they get a NoAck."""
        for line in (
            b"",
            b"\n\n\n",
            b"x\n30\n1\nt",
            b"1\n30",
            b"1\n30\nx\nt",
            b"1_0\n30\n1\nt",
            b"\xff\n1\n1\nt",
        ):
            self.assertEqual(self.one(line), [], line)
        for line in (b"8\n30\n2", b"8\nx\n2\nt", b" +8 \n\xff\n 2\nt\n5"):
            (answer,) = self.one(line)
            self.assertEqual(answer[:3], (NOACK, 8, 2))
            self.assertTrue(answer.text.startswith("malformed: "), answer)
        self.assertEqual(self.house.bridge.counts["malformed"], 10)
        self.assertEqual(self.house.link.read(), [])

    def test_numbers_that_fit_nowhere(self) -> None:
        """A header whose numbers neither the journal nor a controller can hold is malformed."""
        for line in (b"%d\n32\n1\nt" % 2**63, b"1\n%d\n1\nt" % 10**30, b"1\n32\n%d\nt" % -(2**70)):
            self.one(line)
        self.one(b"1\n" + b"0" * 5000 + b"32\n1\nt")
        self.one(b"9" * 5000 + b"\n32\n1\nt")
        self.assertEqual(self.house.link.read(), [])

    def test_longest(self) -> None:
        """A line that would be too long for the controller under the bridge's header is not passed on."""
        self.one(b"1\n32\n1\n" + b"x" * (LONGEST_REST + 1))
        self.csc.say(b"1\n32\n1\n" + b"x" * LONGEST_REST)
        (line,) = self.house.link.read()
        self.assertLessEqual(len(line), MAX_LINE_LENGTH)

    def test_asks_for_nobody(self) -> None:
        """An AskForCommand that does not say for whom is malformed too."""
        for parameters in ((), (b"",), (b"7",), (b"x",), (b"1", b"1"), (b"\xff\r\0",)):
            (answer,) = self.one(command(3, CommandCode.ASK_FOR_COMMAND, 2, *parameters))
            self.assertTrue(answer.text.startswith("malformed: "), answer)
            self.assertEqual(answer[:3], (NOACK, 3, 2))

    def test_the_rest_of_the_chunk(self) -> None:
        """What a commander sends after a malformed line is not taken, until it is connected anew."""
        self.csc.say(b"garbage")
        self.csc.command(STOP)
        self.csc.say(b"garbage")
        self.house.link.say(STATE)
        self.assertEqual((self.house.link.read(), self.csc.read(), len(self.csc.dismissals)), ([], [], 1))
        self.csc.go()
        self.csc.come()
        self.csc.command(STOP)
        self.assertEqual(self.house.link.codes(), [STOP])

    def test_cut_off(self) -> None:
        """Who was cut off is neither heard nor told anything, and is counted; the others go on."""
        other = self.house.client("eui", Source.EUI)
        self.house.bridge.cut_off(self.csc, "slow")
        self.csc.command(STOP)
        self.house.link.say(STATE)
        self.assertEqual((self.csc.read(), other.read(), self.house.link.read()), ([], [STATE], []))
        self.assertEqual(self.house.bridge.counts["cut_off"], 1)
        self.assertIn(("cut_off", "csc", 1, "slow"), self.house.journal.events)

    def test_cut_off_while_it_is_told(self) -> None:
        """To send to a client may be to lose it: the others are told all the same."""
        clients = [LeavingClient(self.house.bridge, f"c{number}", Source.CSC).come() for number in range(3)]
        self.house.link.say(STATE)
        self.assertEqual([client.read() for client in clients], [[STATE]] * 3)
        self.assertEqual(list(self.house.bridge.clients), ["csc"])

    def test_nowhere_to_answer(self) -> None:
        """What comes while a pair can't be answered is not taken, and stands in the journal as not sent."""
        pair = RecordingClient(self.house.bridge, "pair", Source.CSC)
        watch = self.house.client("watch", may_command=False)
        with self.assertLogs("tests.bridge", logging.WARNING) as logs:
            self.house.bridge.unheard(pair, [command(1, STOP, 1), b"x"])
        self.assertEqual(len(logs.records), 1)
        self.assertEqual((pair.read(), self.house.link.read()), ([], []))
        self.assertTrue(told(watch.read()[0]).text.startswith("not sent: "))
        self.assertEqual(self.house.journal.steps[-1][1:3], ("not_sent", "pair"))


class ObserverTests(SynchronousTestCase):
    """Clients that only observe, and command all the same."""

    def setUp(self) -> None:
        self.house = House()
        self.watch = self.house.client("watch", may_command=False)
        self.other = self.house.client("other", may_command=False)

    def test_told_alone(self) -> None:
        """That an observer's command is refused concerns nobody else."""
        self.watch.command(STOP)
        self.watch.say(b"8\nx\n2\nt")
        self.assertEqual([text.split(":")[0] for text in self.watch.explanations()], ["refused", "malformed"])
        self.assertEqual(self.other.read(), [])

    def test_refusals_of_commanders(self) -> None:
        """Observers are told that a commander's command is refused."""
        self.house.client("csc").command(MOVE)
        self.assertEqual(self.other.explanations(), ["refused: nobody has command"])

    def test_dismissed(self) -> None:
        """After 100 refused lines it is dismissed, told each end, and nothing more is taken of it."""
        for _ in range(150):
            self.watch.command(STOP)
        self.assertEqual(self.watch.dismissals, ["it is an observer and keeps sending commands"])
        self.assertEqual(len(self.watch.explanations()), 100)
        self.assertNotIn("watch", self.house.bridge.clients)
        self.assertEqual(len(self.house.journal.steps), SESSION_ROWS // 3)
        self.house.link.say(STATE)
        self.assertEqual((self.watch.read(), self.other.read()), ([], [STATE]))

    def test_counted_anew(self) -> None:
        """Each visit counts for itself, and each observer."""
        for _ in range(3):
            for _ in range(99):
                self.watch.command(STOP)
            self.other.command(STOP)
            self.watch.go()
            self.watch.come()
        self.assertEqual((self.watch.dismissals, self.other.dismissals), ([], []))

    def test_cut_off_by_the_last(self) -> None:
        """One that is cut off by being told is not dismissed besides."""
        leaver = LeavingClient(self.house.bridge, "leaver", Source.CSC, may_command=False).come()
        leaver.command(STOP)
        self.assertEqual(leaver.dismissals, [])


class NewcomerTests(SynchronousTestCase):
    """What a newcomer sees."""

    def test_too_much_to_know(self) -> None:
        """What a newcomer is not told for want of room is counted, and the log says so once."""
        house = House()
        with self.assertLogs("tests.bridge", logging.WARNING) as logs:
            house.link.say(*(b"4\n1\n%d\n900. a\n%b" % (code, STAMP) for code in range(1050)))
        self.assertEqual(house.bridge.counts["forgotten"], 50)
        self.assertEqual(len(logs.records), 1)
        self.assertEqual(len(house.client("csc").read()), 1000)

    def test_what_is_known(self) -> None:
        """A newcomer, and who comes back, is told what is known, and nobody else is told again.

        That is recorded of the holder only: others may come again and again.
        """
        house = House()
        old = house.client("csc")
        warning = b"4\n1\n901\n900. a\n" + STAMP
        house.link.say(STATE, warning)
        old.read()
        self.assertEqual(house.client("eui", Source.EUI).read(), [STATE, warning])
        self.assertEqual(house.client("watch", may_command=False).read(), [STATE, warning])
        self.assertEqual(old.read(), [])
        old.go()
        self.assertEqual(old.come().read(), [STATE, warning])
        self.assertNotIn(("csc", "to", 1, warning), house.journal.messages)
        house.give(old)
        old.go()
        self.assertEqual(old.come().read(), [STATE, warning])
        self.assertIn(("csc", "to", 1, warning), house.journal.messages)

    def test_stale(self) -> None:
        """What a lost connection said is not told as if it held, with the link down or up again."""
        house = House()
        house.link.say(STATE)
        house.bridge.link_down("gone")
        self.assertEqual(house.client("a").read(), [])
        house.connect()
        self.assertEqual(house.client("b").read(), [])
        self.assertEqual([entry.stale for entry in house.bridge.known.entries()], [True])
        house.link.say(STATE)
        self.assertEqual(house.client("c").read(), [STATE])
