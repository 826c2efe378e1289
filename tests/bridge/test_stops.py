"""`mtmount_twisted.bridge.arbiter`: stops, which need no command here, and have to have it upstream."""

from __future__ import annotations

from mtmount_twisted.dialects.tma2020.envelope import read_command
from mtmount_twisted.enums import ReplyCode, Source
from tests.support.commanders import ASK, MOVE, STOP, CommandCase

ACK, DONE = ReplyCode.ACK, ReplyCode.DONE


class StopsOnlyTests(CommandCase):
    """A commander that may send stops at the most, as a user of the web can be."""

    def setUp(self) -> None:
        super().setUp()
        self.guard = self.house.client("guard", Source.HHD)
        self.guard.may_have_command = False

    def test_is_given_none(self) -> None:
        """It gets command neither by asking, nor from another by source or by name."""
        self.house.give(self.csc)
        self.guard.ask()
        [why] = self.guard.explanations()
        self.assertIn("guard may only stop things", why)
        self.assertIn("guard may only stop", self.house.bridge.hand_command(self.csc, "guard"))
        self.csc.ask(Source.HHD)  # there are two, and the other one gets it
        self.assertEqual(self.house.bridge.lease.holder.name, "hhd")

    def test_stops(self) -> None:
        """It can stop."""
        self.guard.command(STOP)
        self.assertEqual(self.house.link.codes(), [ASK, STOP])


class StopTests(CommandCase):
    """A stop while nobody has command: the controller, too, takes it only from who has."""

    def test_command_is_borrowed(self) -> None:
        """The bridge asks for command before it passes the stop on, and gives it back afterwards."""
        self.eui.command(STOP)
        asked, stop = self.house.link.read()
        self.assertEqual(read_command(asked).code, ASK)
        self.house.link.finish(asked)
        self.assertEqual(self.house.link.codes(), [ASK])  # NONE
        self.house.link.finish(stop)
        self.assertEqual([answer.code for answer in self.eui.answers()], [ACK, DONE])
        self.assertIsNone(self.holder)

    def test_ahead_of_all(self) -> None:
        """With a controller that takes nothing for a while, ask and stop go before what waits, in order."""
        self.house.link.room = 0
        self.csc.ask()
        self.csc.command(MOVE)
        self.eui.command(STOP)
        self.house.link.give_room()
        self.assertEqual(self.house.link.codes(), [ASK, STOP])

    def test_given_back_and_asked_again(self) -> None:
        """What gives command back upstream, and what asks for it anew, reach the controller in that order."""
        self.house.give(self.csc)
        self.house.link.room = 0
        self.csc.ask(0)
        self.eui.ask()
        self.csc.command(STOP)
        self.house.link.give_room()
        none, asked, stop = self.house.link.read()
        self.assertEqual([line.split(b"\n")[-1] for line in (none, asked)], [b"0", b"1"])
        self.assertEqual(read_command(stop).code, STOP)

    def test_owes_it_still(self) -> None:
        """If it is not known whether the controller was told that nobody has command, it is told again."""
        self.house.give(self.csc)
        self.house.link.room = 0
        self.csc.ask(0)
        self.house.advance(6)
        self.house.link.give_room()
        self.assertEqual(self.house.link.codes(), [])
        self.house.bridge.close()
        [none] = self.house.link.read()
        self.assertEqual(none.split(b"\n")[-1], b"0")

    def test_refused_upstream(self) -> None:
        """If the controller gives the bridge no command, what it says of the stop is the stop's answer."""
        self.eui.command(STOP)
        asked, stop = self.house.link.read()
        self.house.link.refuse(asked, b"the HHD has command")
        self.house.link.refuse(stop, b"the HHD has command")
        self.assertEqual(self.eui.explanations(), ["the HHD has command"])
        self.assertEqual(self.house.link.codes(), [])

    def test_no_ask_where_there_is_command(self) -> None:
        """While somebody has command here, the bridge has it upstream, and a stop is passed on alone."""
        self.house.give(self.csc)
        self.eui.command(STOP)
        self.assertEqual(self.house.link.codes(), [STOP])

    def test_counted(self) -> None:
        """The stops that were taken are counted, and nothing else is."""
        self.house.give(self.csc)
        self.assertEqual(self.house.bridge.stops, 0)
        for code in (STOP, MOVE, STOP):
            self.csc.command(code)
        self.assertEqual(self.house.bridge.stops, 2)
