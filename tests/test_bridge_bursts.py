"""`mtmount_twisted.bridge.granting`: commands that come while their commander waits for command."""

from __future__ import annotations

from mtmount_twisted.enums import Commander, ReplyCode, Source

from .commanders import ASK, MOVE, STOP, TRACK, CommandCase, LeavingClient

ACK, NOACK, DONE = ReplyCode.ACK, ReplyCode.NOACK, ReplyCode.DONE


class BurstTests(CommandCase):
    """An AskForCommand and more in one burst."""

    def setUp(self, **rules: object) -> None:
        super().setUp(**{"in_flight": 5, **rules})

    def ask_and_move(self) -> None:
        """The CSC asks and commands, and the controller is asked."""
        for code in (MOVE, TRACK):
            self.csc.command(code)
        self.assertEqual(self.csc.explanations(), ["refused: nobody has command"] * 2)
        self.csc.ask()
        for code in (MOVE, 104, TRACK):
            self.csc.command(code)
        self.assertEqual((self.csc.read(), self.csc.in_flight), ([], 4))

    def test_granted(self) -> None:
        """What follows an ask waits behind it, and goes out in its order once that is granted."""
        self.ask_and_move()
        (line,) = self.house.link.read()
        self.house.link.finish(line)
        self.assertEqual(self.house.link.codes(), [MOVE, 104, TRACK])
        self.granted(self.csc)
        self.assertEqual({flight.lease for flight in self.house.bridge.flights}, {1})
        self.assertEqual(self.csc.in_flight, 3)

    def test_refused(self) -> None:
        """If the controller refuses, each is told that nobody has command."""
        self.ask_and_move()
        self.house.link.refuse(*self.house.link.read(), b"not you")
        self.assertEqual(self.csc.explanations(), ["refused: not you", *["refused: nobody has command"] * 3])
        self.assertEqual((self.house.link.read(), self.csc.in_flight), ([], 0))

    def test_link_lost(self) -> None:
        """If the link is lost, or the controller does not answer, none was sent, then or ever."""
        for lose in (lambda: self.house.bridge.link_down("gone"), lambda: self.house.advance(5.3)):
            self.ask_and_move()
            self.house.link.read()
            lose()
            asked, *others = self.csc.explanations()
            self.assertIn(asked.split(":")[0], ("outcome unknown", "timed out"))
            self.assertEqual([text.split(":")[0] for text in others], ["not sent"] * 3)
            self.house.link.read()
            self.assertEqual((self.house.connect().read(), self.csc.in_flight), ([], 0))

    def test_close(self) -> None:
        """At the bridge's end none was sent."""
        self.ask_and_move()
        self.house.bridge.close()
        self.assertEqual([text.split(":")[0] for text in self.csc.explanations()[1:]], ["not sent"] * 3)
        self.assertEqual((self.house.link.codes(), self.csc.in_flight), ([ASK, ASK], 0))

    def test_stop_overtakes(self) -> None:
        """A stop that needs no command waits for nothing."""
        self.ask_and_move()
        self.csc.command(STOP)
        self.assertEqual(self.house.link.codes(), [ASK, STOP])

    def test_stop_that_needs_command(self) -> None:
        """One that needs command waits with the others, and overtakes them when they may go."""
        self.setUp(anyone_may_stop=False)
        self.csc.ask()
        self.csc.command(MOVE)
        self.csc.command(STOP)
        (line,) = self.house.link.read()
        self.house.link.room = 0
        self.house.link.finish(line)
        self.house.link.give_room()
        self.assertEqual(self.house.link.codes(), [STOP, MOVE])

    def test_bound(self) -> None:
        """They count as in flight: one too many is busy, and the others are not lost for it."""
        self.ask_and_move()
        for _ in range(3):
            self.csc.command(MOVE)
        self.assertEqual(self.csc.explanations(), ["busy: 5 commands of csc are in flight"] * 2)
        self.house.link.finish(*self.house.link.read())
        self.assertEqual(self.house.link.codes(), [MOVE, 104, TRACK, MOVE])

    def test_in_their_order(self) -> None:
        """Who asked and commanded first is served first, though another has command after it."""
        self.csc.ask()
        self.csc.command(MOVE)
        self.eui.ask()
        self.eui.command(104)
        self.csc.command(TRACK)
        self.house.link.finish(*self.house.link.read())
        self.assertEqual(self.house.link.codes(), [MOVE, 104])
        self.assertEqual(self.csc.explanations(), ["refused: eui has command"])
        self.granted(self.eui)

    def test_for_another(self) -> None:
        """An ask for another lets that one's commands wait, and not those of who asked."""
        self.csc.ask(Commander.EUI)
        self.csc.command(MOVE)
        self.eui.command(104)
        self.assertEqual(self.csc.explanations(), ["refused: nobody has command"])
        self.house.link.finish(*self.house.link.read())
        self.assertEqual((self.house.link.codes(), self.eui.explanations()), ([104], []))

    def test_taken_back(self) -> None:
        """Who takes its ask back has its commands refused with it."""
        self.ask_and_move()
        self.csc.ask(0)
        self.assertEqual(
            self.csc.explanations(),
            ["refused: it was given back before it was granted", *["refused: nobody has command"] * 3],
        )
        self.house.link.finish_all()
        self.assertEqual((self.csc.in_flight, self.holder), (0, None))

    def test_gone(self) -> None:
        """Nothing of a commander that left is sent when its ask is answered; it stands in the journal."""
        self.ask_and_move()
        self.csc.go()
        self.csc.come()
        self.house.link.finish(*self.house.link.read())
        self.assertEqual((self.house.link.codes(), self.csc.read(), self.csc.in_flight), ([ASK], [], 0))
        steps = [step[1] for step in self.house.journal.steps if step[2] == "csc"]
        self.assertEqual(steps, ["refused"] * 6)

    def test_dismissed(self) -> None:
        """Nothing is sent of who was dismissed while it waited, even before its connection is lost."""
        self.ask_and_move()
        self.csc.say(b"garbage")
        self.house.link.finish(*self.house.link.read())
        self.assertEqual((self.house.link.codes(), self.csc.in_flight), ([ASK], 0))

    def test_lost_while_the_link_is_lost(self) -> None:
        """Who is lost by being told that the link is lost has nothing sent on the next one."""
        csc = LeavingClient(self.house.bridge, "other", Source.CSC).come()
        self.house.bridge.lease.grant(csc)
        self.house.bridge._granting._has_upstream = True
        csc.command(104)
        csc.ask()
        self.eui.ask()
        csc.command(MOVE)
        self.assertEqual(self.house.bridge.hand_command(self.eui, "other"), "")
        self.house.bridge.link_down("gone")
        self.assertEqual(len(self.house.bridge.flights), 0)
        self.assertEqual(self.house.connect().codes(), [ASK])
        self.assertEqual(self.house.bridge.counts["not_sent"], 1)
        self.assertEqual(csc.in_flight, 0)

    def test_given_command_meanwhile(self) -> None:
        """Who is given command while its ask waits has its commands sent in their order all the same."""
        self.house.give(self.csc)
        self.csc.ask()  # the controller is asked again
        self.eui.ask()
        self.csc.command(MOVE)
        self.assertEqual(self.house.bridge.hand_command(self.eui, "csc"), "")
        self.csc.command(TRACK)
        self.csc.command(STOP)
        asked, stop = self.house.link.read()
        self.assertEqual(stop.split(b"\n")[1], b"32")
        self.house.link.finish(asked)
        self.assertEqual(self.house.link.codes(), [MOVE, TRACK])
        self.assertEqual(self.csc.explanations(), [])
