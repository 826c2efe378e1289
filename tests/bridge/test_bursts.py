"""`mtmount_twisted.bridge.arbiter`: commands that come while their commander waits for command; stops."""

from __future__ import annotations

from mtmount_twisted.bridge.sent_ids import name_of
from mtmount_twisted.dialects.tma2020.envelope import kind_of_command
from mtmount_twisted.enums import CommandCode, Commander, ReplyCode, Source
from tests.support.bridges import BridgeCase, ask, command, explanation
from tests.support.commanders import ASK, MOVE, STOP, TRACK, CommandCase, LeavingClient

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
        self.assertEqual({flight.lease for flight in self.house.bridge.pending}, {1})
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
            why = asked.partition(": ")[2]
            self.assertEqual(others, [f"not sent: command was not granted: {why}"] * 3)
            self.house.link.read()
            self.assertEqual((self.house.connect().read(), self.csc.in_flight), ([], 0))

    def test_close(self) -> None:
        """At the bridge's end none was sent."""
        self.ask_and_move()
        self.house.bridge.close()
        self.assertEqual([text.split(":")[0] for text in self.csc.explanations()[1:]], ["not sent"] * 3)
        self.assertEqual((self.house.link.codes(), self.csc.in_flight), ([ASK, ASK], 0))

    def test_stop_overtakes(self) -> None:
        """A stop that needs no command waits for nothing, and what waited is not sent behind it."""
        self.ask_and_move()
        self.csc.command(STOP)
        asked, stop = self.house.link.read()
        self.assertEqual(stop.split(b"\n")[1], b"%d" % STOP)
        self.assertEqual(self.csc.explanations(), ["not sent: overtaken by BothAxesStop of csc"] * 3)
        self.csc.command(104)
        self.house.link.finish(asked)
        self.assertEqual(self.house.link.codes(), [104])
        self.granted(self.csc)
        self.assertEqual(self.csc.in_flight, 2)

    def test_anothers_stop_overtakes(self) -> None:
        """So does the stop of a commander that asked for nothing; the ask itself goes on."""
        watch = self.house.client("watch", may_command=False)
        self.ask_and_move()
        watch.read()
        self.hhd.command(902)
        why = ["not sent: overtaken by MirrorCoversStop of hhd"] * 3
        self.assertEqual((self.csc.explanations(), watch.explanations()), (why, why))
        self.assertEqual([step[2] for step in self.house.journal.steps if step[1] == "not_sent"], ["csc"] * 3)
        self.house.link.finish(self.house.link.read()[0])
        self.granted(self.csc)
        self.assertEqual((self.csc.in_flight, self.house.link.codes()), (0, []))

    def test_stop_of_a_code_without_a_class(self) -> None:
        """A stop that the package has no class for is named by its code's name."""
        self.ask_and_move()
        self.csc.command(CommandCode.AZIMUTH_CABLE_WRAP_STOP)
        self.assertEqual(
            set(self.csc.explanations()),
            {f"not sent: overtaken by {name_of(kind_of_command(302))} of csc"},
            302,
        )

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

    def test_closed_by_the_site(self) -> None:
        """A commander that the site closes is told once of each command that waits; those of others go on."""
        self.ask_and_move()
        self.eui.ask()
        self.eui.command(MOVE)
        self.house.bridge.client_leaves(self.eui, "it is not configured any more")
        self.assertEqual(self.eui.explanations(), ["not sent: it is not configured any more"] * 2)
        self.house.link.finish(*self.house.link.read())
        self.granted(self.csc)
        self.assertEqual((self.house.link.codes(), self.eui.read()), ([MOVE, 104, TRACK], []))
        self.assertEqual((self.csc.in_flight, self.eui.in_flight), (3, 0))

    def test_dismissed(self) -> None:
        """Nothing is sent of who was dismissed while it waited, even before its connection is lost."""
        self.ask_and_move()
        self.csc.say(b"garbage")
        self.house.link.finish(*self.house.link.read())
        self.assertEqual((self.house.link.codes(), self.csc.in_flight), ([ASK], 0))

    def test_lost_while_the_link_is_lost(self) -> None:
        """No command of a client that the loss of the link cuts off goes to the next link."""
        csc = LeavingClient(self.house.bridge, "other", Source.CSC).come()
        self.house.give(self.eui)
        self.assertEqual(self.house.bridge.hand_command(self.eui, "other"), "")
        csc.command(104)
        csc.ask()
        self.eui.ask()
        csc.command(MOVE)
        self.assertEqual(self.house.bridge.hand_command(self.eui, "other"), "")
        self.house.bridge.link_down("gone")
        self.assertEqual(len(self.house.bridge.pending), 0)
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
        self.house.link.finish(*self.house.link.read())
        self.assertEqual(self.house.link.codes(), [MOVE, TRACK])
        self.assertEqual(self.csc.explanations(), [])


class NeededCommandTests(CommandCase):
    """Stops where only who has command may stop."""

    def setUp(self) -> None:
        super().setUp(anyone_may_stop=False)

    def test_takes_effect_with_the_ask(self) -> None:
        """Such a stop waits behind its ask, then goes first, and what it was sent behind is not sent."""
        self.csc.ask()
        for code in (MOVE, 103, STOP, 104):
            self.csc.command(code)
        (line,) = self.house.link.read()
        self.house.link.finish(line)
        self.assertEqual(self.house.link.codes(), [STOP, 104])
        answers = self.csc.answers()
        self.assertEqual(
            [each.text for each in answers if each.code == NOACK],
            ["not sent: overtaken by BothAxesStop of csc"] * 2,
        )
        self.assertEqual(self.csc.in_flight, 2)

    def test_that_of_another_ends_all(self) -> None:
        """It ends what others sent before it, too, though they have command by then."""
        self.csc.ask()
        self.eui.ask()
        self.csc.command(MOVE)
        self.eui.command(104)
        self.csc.command(STOP)
        self.eui.command(TRACK)
        self.house.link.finish(*self.house.link.read())
        self.assertEqual(self.house.link.codes(), [STOP, TRACK])
        self.assertEqual(self.eui.explanations(), ["not sent: overtaken by BothAxesStop of csc"])

    def test_refused(self) -> None:
        """One whose ask is refused ends nothing but itself."""
        self.csc.ask()
        self.csc.command(STOP)
        self.house.link.refuse(*self.house.link.read(), b"no")
        self.assertEqual(self.csc.explanations(), ["refused: no", "refused: nobody has command"])
        self.assertEqual((self.house.link.codes(), self.csc.in_flight), ([], 0))

    def test_holder_does_not_wait(self) -> None:
        """Who has command stops at once, whatever it still waits for."""
        self.house.give(self.csc)
        self.csc.ask()  # the controller is asked again
        self.eui.ask()
        self.csc.command(MOVE)
        self.assertEqual(self.house.bridge.hand_command(self.eui, "csc"), "")
        self.csc.command(STOP)
        asked, stop = self.house.link.read()
        self.assertEqual(stop.split(b"\n")[1], b"%d" % STOP)
        self.house.link.finish(asked)
        self.assertEqual(self.house.link.codes(), [])
        self.assertEqual(self.csc.explanations(), ["not sent: overtaken by BothAxesStop of csc"])

    def test_given_command_meanwhile(self) -> None:
        """A stop that waits goes as soon as its sender has command, by whatever way."""
        self.house.give(self.csc)
        self.csc.ask()
        self.eui.ask()
        self.csc.command(MOVE)
        self.csc.command(STOP)
        self.house.link.read()
        self.assertEqual(self.house.bridge.hand_command(self.eui, "csc"), "")
        self.assertEqual(self.house.link.codes(), [STOP])
        self.assertEqual(self.csc.explanations(), ["not sent: overtaken by BothAxesStop of csc"])

    def test_lost_by_being_told(self) -> None:
        """Who is lost by being told that its moves are overtaken has none of them sent."""
        self.house.give(self.csc)
        self.house.bridge.link_down("gone")
        link = self.house.connect()  # which is asked anew
        leaver = LeavingClient(self.house.bridge, "leaver", Source.EUI).come()
        leaver.ask()
        for code in (MOVE, 104, STOP):
            leaver.command(code)
        link.finish(*link.read())
        self.assertEqual((link.codes(), leaver.in_flight), ([STOP], 1))
        ends = [step[-1] for step in self.house.journal.steps if step[1] == "not_sent"]
        self.assertEqual(ends, ["not sent: overtaken by BothAxesStop of leaver"] * 2)


class ConnectedTests(BridgeCase):
    """The same over connections."""

    def setUp(self) -> None:
        super().setUp()
        self.start(self.controller, self.csc)

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def test_one_write(self) -> None:
        """Of an ask, a move and a stop in one write the mount gets the ask and the stop."""
        self.csc.say(ask(1, 1, 1), command(2, 103, 1, b"20"), command(3, STOP, 1))
        lines = self.controller.serve()
        self.assertEqual([int(line.split(b"\n")[1]) for line in lines], [ASK, STOP])
        (why,) = [line for line in self.csc.heard() if line.startswith(b"1\n2\n")]
        self.assertEqual(explanation(why), "not sent: overtaken by BothAxesStop of csc")
        self.assertEqual(self.controller.serve(), [])

    def test_half_closed(self) -> None:
        """What a client of a port says as its last words, an ask first, is done, and it is told so."""
        desk = self.join()
        desk.say(ask(1, 2, 2), command(2, MOVE, 2))
        desk.transport.loseWriteConnection()
        desk.settle()
        self.controller.serve()
        lines = self.controller.serve()
        self.assertEqual([int(line.split(b"\n")[1]) for line in lines], [MOVE])
        heard = [tuple(line.split(b"\n")[:2]) for line in desk.heard()]
        self.assertEqual(heard, [(b"0", b"1"), (b"2", b"1"), (b"0", b"2"), (b"2", b"2")])
        self.assertFalse(desk.is_connected)
        self.assertTrue(self.service.bridge.grace)

    def test_flood(self) -> None:
        """An observer that goes on commanding is dismissed with one log line, and no other is told a word."""
        hall, other = self.join(1), self.join(1)
        with self.assertLogs("tests.bridge", "WARNING") as logs:
            hall.say(*(command(number, STOP, 1) for number in range(500)))
            self.pass_time(0.5)
        self.assertEqual(len(logs.output), 1)
        self.assertIn("closed: it is an observer and keeps sending commands", logs.output[0])
        self.assertEqual((len(hall.heard()), hall.is_connected), (100, False))
        self.assertEqual((other.heard(), other.is_connected), ([], True))
