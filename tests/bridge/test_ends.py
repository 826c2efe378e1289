"""`mtmount_twisted.bridge.core`: how commands end that the mount does not end."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.core import MAX_EXEMPT, REASONS
from mtmount_twisted.dialects.tma2020.codec import read_command_header
from mtmount_twisted.enums import CommandCode, ReplyCode, Source
from tests.support.commanders import MOVE, STATE, STOP, TRACK, House

ACK, NOACK, DONE = ReplyCode.ACK, ReplyCode.NOACK, ReplyCode.DONE


class EndsTests(SynchronousTestCase):
    """How commands end that the mount does not end."""

    def setUp(self) -> None:
        self.house = House(in_flight=3)
        self.csc = self.house.holder()
        self.link = self.house.link
        self.link.read()

    def test_not_connected(self) -> None:
        """With no controller a command is not sent, then or ever."""
        self.house.bridge.link_down("gone")
        for code in (MOVE, STOP):
            self.csc.command(code)
        self.assertEqual(self.csc.explanations(), ["not sent: the controller is not connected"] * 2)
        link = self.house.connect()
        self.assertEqual(link.codes(), [CommandCode.ASK_FOR_COMMAND])  # for the holder, who still is
        self.assertEqual(self.house.bridge.counts["not_sent"], 2)

    def test_link_lost(self) -> None:
        """What was sent has an unknown outcome, what waited was not sent, and neither is sent again."""
        self.link.room = 1
        sent, waiting = self.csc.command(MOVE), self.csc.command(MOVE)
        self.house.bridge.link_down("gone")
        ends = {answer.sequence_id: answer.text for answer in self.csc.answers()}
        self.assertEqual(
            ends,
            {
                sent: "outcome unknown: the link to the controller was lost",
                waiting: "not sent: the link to the controller was lost",
            },
        )
        self.assertEqual(self.csc.in_flight, 0)
        old = self.link.read()[0]
        link = self.house.connect()
        link.finish_all()
        link.finish(old)
        link.give_room()
        self.assertEqual((link.codes(), self.csc.read()), ([], []))

    def test_epochs(self) -> None:
        """Each connection to the controller is an epoch of its own in the journal."""
        self.house.bridge.link_down("gone")
        self.house.connect().say(STATE)
        self.assertEqual(self.house.bridge.epoch, 2)
        self.assertEqual([message[2] for message in self.house.journal.messages[-2:]], [2, 2])
        kinds = [event[::2] for event in self.house.journal.events if event[1] == "controller"]
        self.assertEqual(kinds, [("link_up", 1), ("link_down", 1), ("link_up", 2)])

    def test_no_ack_in_time(self) -> None:
        """With no Ack in time a command times out, once; its late Ack and Done are unmatched."""
        watch = self.house.client("watch", may_command=False)
        self.csc.command(MOVE)
        self.house.advance(4.9)
        self.assertEqual(self.csc.answers(), [])
        self.house.advance(0.4)
        self.assertEqual(self.csc.explanations(), ["timed out: no Ack within 5 s"])
        self.assertEqual(len(watch.answers()), 1)
        self.link.finish(*self.link.read())
        self.house.advance(60)
        self.assertEqual((self.csc.answers(), watch.answers()), ([], []))
        self.assertEqual(self.house.bridge.counts["unmatched"], 2)

    def test_no_done_in_time(self) -> None:
        """A command has the time that its Ack announced and 2 s more; what names no time counts as 0."""
        for timeout, seconds in ((b"3000", 5.0), (b"", 2.0), (b"x", 2.0), (b"-5", 2.0), (b"9" * 400, 2.0)):
            self.csc.command(MOVE)
            self.link.ack(*self.link.read(), timeout)
            self.csc.read()
            self.house.advance(seconds - 0.1)
            self.assertEqual(self.csc.answers(), [], timeout)
            self.house.advance(0.4)
            self.assertEqual(self.csc.explanations(), ["timed out: acknowledged, but not done in time"])
        self.link.say(b"0\n1\n1\nwhen")  # an Ack that lacks the field

    def test_second_ack(self) -> None:
        """A repeated Ack goes to nobody, is counted as an answer to nothing, and announces no new time."""
        watch = self.house.client("watch", may_command=False)
        self.csc.command(MOVE)
        (line,) = self.link.read()
        for timeout in (b"1000", b"9000"):
            self.link.ack(line, timeout)
        self.assertEqual([answer.text for answer in self.csc.answers()], ["1000"])
        self.assertEqual(len(watch.answers()), 1)
        self.assertEqual(self.house.bridge.counts["unmatched"], 1)
        self.house.advance(3.3)
        self.assertEqual(self.csc.explanations(), ["timed out: acknowledged, but not done in time"])
        steps = [step[1] for step in self.house.journal.steps if step[5] == MOVE]
        self.assertEqual(steps, ["received", "sent", "ack", "timed_out"])

    def test_track(self) -> None:
        """A track command ends with its Ack; one that is refused, with the NoAck."""
        for code in (TRACK, 105, 405, 1004, 305):
            self.csc.command(code)
            self.link.ack(*self.link.read())
            self.assertEqual(self.csc.in_flight, 0)
        self.csc.command(TRACK)
        self.link.refuse(*self.link.read(), b"off")
        self.house.advance(20)
        self.assertEqual([answer.code for answer in self.csc.answers()], [ACK] * 5 + [NOACK])
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_controller_takes_nothing(self) -> None:
        """What waits for room too long was not sent, and is not when there is room again."""
        self.link.room = 0
        self.csc.command(STOP)
        self.csc.command(MOVE)
        self.house.advance(5.3)
        self.assertEqual(self.csc.explanations(), ["not sent: the controller took nothing for 5 s"] * 2)
        self.link.give_room()
        self.assertEqual((self.link.codes(), len(self.house.bridge.pending)), ([], 0))

    def test_time_to_ack_begins_when_written(self) -> None:
        """The wait for room is not part of the wait for the Ack."""
        self.link.room = 0
        self.csc.command(MOVE)
        self.house.advance(4)
        self.link.give_room()
        self.house.advance(4)
        self.link.finish(*self.link.read())
        self.assertEqual([answer.code for answer in self.csc.answers()], [ACK, DONE])

    def test_busy(self) -> None:
        """One more than the setting is refused, for this commander alone; each end makes room for one."""
        eui = self.house.client("eui", Source.EUI)
        for _ in range(4):
            self.csc.command(MOVE)
        self.assertEqual(self.csc.explanations(), ["busy: 3 commands of csc are in flight"])
        eui.command(STOP)
        self.assertEqual(eui.explanations(), [])
        self.link.finish(self.link.read()[0])
        self.csc.command(MOVE)
        self.assertEqual(len(self.link.read()), 1)

    def test_busy_may_stop(self) -> None:
        """A busy commander may stop and give up command, and yet not fill the memory with that."""
        for _ in range(3):
            self.csc.command(MOVE)
        self.link.read()
        for _ in range(MAX_EXEMPT + 1):
            self.csc.command(STOP)
        self.assertEqual(len(self.link.read()), MAX_EXEMPT)
        self.assertEqual([text.split(":")[0] for text in self.csc.explanations()], ["busy"])

    def test_busy_may_ask(self) -> None:
        """A busy commander may give command back."""
        for _ in range(3):
            self.csc.command(MOVE)
        self.csc.ask(0)
        self.assertEqual([answer.code for answer in self.csc.answers()], [ACK, DONE])

    def test_lost_commander(self) -> None:
        """What a lost commander sent goes on, is answered to nobody, and counts until it ends."""
        self.link.room = 1
        self.csc.command(MOVE)
        self.csc.command(MOVE)
        self.csc.go()
        self.link.give_room()
        lines = self.link.read()
        self.assertEqual((len(lines), self.csc.in_flight), (2, 2))
        for line in lines:
            self.link.finish(line)
        self.assertEqual((self.csc.in_flight, self.csc.read()), (0, []))

    def test_close(self) -> None:
        """The end of the bridge ends every command and timer, and nothing is taken or begun after it."""
        self.link.room = 1
        self.csc.command(MOVE)
        self.csc.command(MOVE)
        self.house.bridge.close()
        texts = self.csc.explanations()
        self.assertEqual(sorted(text.split(":")[0] for text in texts), ["not sent", "outcome unknown"])
        for code in (MOVE, STOP):
            self.csc.command(code)
        self.csc.ask()
        self.assertEqual(self.csc.explanations(), ["not sent: the bridge ends"] * 3)
        self.csc.go()
        self.house.bridge.link_down("closed")
        self.house.bridge.close()
        self.assertEqual(self.house.clock.getDelayedCalls(), [])
        self.assertEqual(self.house.leases()[-1], ("lease_released", "csc"))
        self.assertEqual(len(self.house.bridge.pending), 0)

    def test_close_gives_command_up(self) -> None:
        """The controller is told that the bridge gives command up, after all that it was sent."""
        self.csc.command(MOVE)
        self.house.bridge.close()
        move, none = self.link.read()
        self.assertEqual(read_command_header(move).code, MOVE)
        self.assertEqual(none.split(b"\n")[1:3] + none.split(b"\n")[4:], [b"2101", b"1", b"0"])
        self.house.bridge.link_down("closed")
        self.house.bridge.close()
        self.assertEqual((self.link.read(), len(self.house.bridge.pending)), ([], 0))

    def test_close_while_the_controller_is_asked(self) -> None:
        """What it may grant still is given up too, and who asked is told how it ended, once."""
        house = House()
        eui = house.client("eui", Source.EUI)
        eui.ask()
        house.bridge.close()
        self.assertEqual([line.split(b"\n")[4] for line in house.link.read()], [b"1", b"0"])
        self.assertEqual(eui.explanations(), ["outcome unknown: the bridge ends"])
        self.assertEqual((eui.in_flight, house.clock.getDelayedCalls()), (0, []))

    def test_close_with_nothing_to_give_up(self) -> None:
        """A controller that was asked for nothing is told nothing; nor is one that takes nothing now."""
        house = House()
        house.bridge.close()
        self.assertEqual(house.link.read(), [])
        self.link.room = 0
        self.house.bridge.close()
        self.assertEqual((self.link.read(), len(self.house.bridge.pending)), ([], 0))

    def test_reasons(self) -> None:
        """Each count of an end has the name of a documented reason."""
        self.assertEqual(
            REASONS, ("not sent", "outcome unknown", "timed out", "busy", "refused", "malformed")
        )
