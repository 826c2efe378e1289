"""`mtmount_twisted.bridge.arbiter`: who gets command, here and of the controller."""

from __future__ import annotations

from mtmount_twisted.bridge.waiting_asks import MOST_ASKS, MOST_COMMANDS
from mtmount_twisted.enums import Commander, ReplyCode, Source
from mtmount_twisted.records import CommandRecord
from tests.support.commanders import ASK, MOVE, STOP, TRACK, CommandCase, RecordingClient, Told, ask

ACK, NOACK, DONE = ReplyCode.ACK, ReplyCode.NOACK, ReplyCode.DONE


class EagerClient(RecordingClient):
    """A client that tracks as soon as its first ask is acknowledged, before it is told anything else."""

    def send(self, data: bytes) -> None:
        """Track, once."""
        first = not self.pieces
        super().send(data)
        if first:
            self.command(TRACK)


class AskTests(CommandCase):
    """AskForCommand."""

    def test_at_start(self) -> None:
        """At start nobody has command, and a command is refused with a NoAck that says so."""
        self.csc.command(MOVE)
        self.assertEqual(self.csc.explanations(), ["refused: nobody has command"])
        self.assertEqual(self.house.link.read(), [])

    def test_first_grant(self) -> None:
        """The first grant is asked of the controller under the bridge's own source, and told when it is."""
        number = self.eui.ask()
        (line,) = self.house.link.read()
        self.assertEqual(line.split(b"\n")[1:3] + line.split(b"\n")[4:], [b"2101", b"1", b"1"])
        self.assertEqual((self.eui.read(), self.holder), ([], None))
        self.house.link.finish(line)
        self.assertEqual(self.eui.answers(), [Told(0, number, 2, "1000"), Told(2, number, 2, "")])
        self.assertIs(self.holder, self.eui)
        self.assertEqual(self.csc.read(), [])

    def test_refused_by_name(self) -> None:
        """Any other command from one who does not have command is refused, and says who has it."""
        self.house.give(self.eui)
        for code in (MOVE, 9999):
            self.csc.command(code)
        self.assertEqual(self.csc.explanations(), ["refused: eui has command"] * 2)
        self.eui.command(MOVE)
        self.assertEqual(self.house.link.codes(), [MOVE])

    def test_taken(self) -> None:
        """Whoever asks takes command from the CSC or EUI, at once and without the controller."""
        self.house.give(self.csc)
        for client in (self.eui, self.csc, self.hhd):
            client.ask()
            self.granted(client)
        self.assertEqual(self.house.link.read(), [])
        self.assertEqual(
            self.house.leases()[:3],
            [("lease_granted", "csc"), ("lease_released", "csc"), ("lease_granted", "eui")],
        )
        self.assertEqual(self.house.bridge.lease.number, 4)

    def test_hhd(self) -> None:
        """Command of the HHD can't be taken, given away by others or handed on, only given up."""
        self.house.give(self.hhd)
        for client, wanted in ((self.csc, 1), (self.eui, 2), (self.csc, 2), (self.hhd, 1), (self.csc, 0)):
            client.ask(wanted)
            (text,) = client.explanations()
            self.assertTrue(text.startswith("refused: hhd has command"), text)
        self.assertIs(self.holder, self.hhd)
        self.hhd.ask(0)
        self.assertEqual([answer.code for answer in self.hhd.answers()], [ACK, DONE])
        self.house.give(self.csc)
        self.assertIs(self.holder, self.csc)

    def test_hand_over(self) -> None:
        """An ask for another source hands command to the one commander of it, and tells who asked."""
        self.house.give(self.csc)
        self.csc.ask(Commander.EUI)
        self.assertEqual([answer.code for answer in self.csc.answers()], [ACK, DONE])
        self.assertEqual(self.eui.read(), [])
        self.assertIs(self.holder, self.eui)
        self.csc.command(MOVE)
        self.assertEqual(self.csc.explanations(), ["refused: eui has command"])

    def test_hand_over_to_nobody(self) -> None:
        """An ask for another source is refused if it has no connected commander, or more than one."""
        self.house.client("watch", Source.EUI, may_command=False)
        self.eui.go()
        self.csc.ask(Commander.EUI)
        self.assertEqual(self.csc.explanations(), ["refused: no EUI is connected"])
        self.eui.come()
        self.house.client("eui2", Source.EUI)
        self.csc.ask(Commander.EUI)
        self.assertEqual(self.csc.explanations(), ["refused: more than one (2) EUI is connected"])
        self.assertEqual((self.house.link.read(), self.holder), ([], None))

    def test_two_of_a_source(self) -> None:
        """Two commanders of one source are two: each asks for itself, and takes it from the other."""
        other = self.house.client("csc2")
        self.house.give(self.csc)
        other.ask()
        self.granted(other)
        self.csc.command(MOVE)
        self.assertEqual(self.csc.explanations(), ["refused: csc2 has command"])

    def test_source_is_the_bridges_word(self) -> None:
        """Which rules apply is the configuration's word; the source in the line is given back as it came."""
        self.house.give(self.hhd)
        self.csc.say(ask(9, Source.HHD, Commander.CSC))
        (answer,) = self.csc.answers()
        self.assertEqual(answer[:3], (NOACK, 9, Source.HHD))
        self.assertIs(self.holder, self.hhd)

    def test_asks_again(self) -> None:
        """A holder that asks again has the controller asked again, and keeps its lease."""
        self.house.give(self.csc)
        self.csc.ask()
        self.assertEqual(len(self.house.link.finish_all()), 1)
        self.granted(self.csc)
        self.assertEqual(self.house.bridge.lease.number, 1)

    def test_release(self) -> None:
        """NONE gives command up, here and upstream; again, or from one who has nothing, it is done too."""
        self.house.give(self.csc)
        for client in (self.csc, self.csc, self.eui):
            client.ask(0)
            self.assertEqual([answer.code for answer in client.answers()], [ACK, DONE])
        (line,) = self.house.link.read()
        self.assertEqual(line.split(b"\n")[4:], [b"0"])
        self.assertIsNone(self.holder)
        self.house.link.finish(line)
        self.csc.command(MOVE)
        self.assertEqual(self.csc.explanations(), ["refused: nobody has command"])
        self.house.give(self.eui)
        self.assertIs(self.holder, self.eui)

    def test_released_once(self) -> None:
        """Once the controller has done as NONE says it is not told again, not at the end either."""
        self.house.give(self.csc)
        self.csc.ask(0)
        self.assertEqual(len(self.house.link.finish_all()), 1)
        self.house.bridge.close()
        self.assertEqual(self.house.link.read(), [])

    def test_release_is_answered_after_the_next_ask(self) -> None:
        """An answer to NONE that comes after the next grant, or never, takes command from no one."""
        for finish in (self.house.link.finish, lambda line: self.house.advance(5.3)):
            self.house.give(self.csc)
            self.csc.ask(Commander.NONE)
            (release,) = self.house.link.read()
            self.house.give(self.eui)
            finish(release)
            self.assertIs(self.holder, self.eui)
            self.eui.command(MOVE)
            self.assertEqual(self.house.link.codes(), [MOVE])
            self.eui.ask(Commander.NONE)
            self.house.link.finish_all()

    def test_first_of_two_releases_is_never_answered(self) -> None:
        """A NONE without an answer is sent again with the next release, although a later one was answered."""
        self.house.give(self.csc)
        self.csc.ask(Commander.NONE)
        self.house.link.read()
        self.house.give(self.eui)
        self.eui.ask(Commander.NONE)
        self.assertEqual(len(self.house.link.finish_all()), 1)
        self.house.advance(5.3)
        self.assertEqual(self.house.link.read(), [])
        self.eui.ask(Commander.NONE)
        self.assertEqual(self.house.link.codes(), [ASK])

    def test_grant_is_recorded_as_privileged(self) -> None:
        """The record of a granted ask counts as one of a client with rights, which floods cannot displace."""
        records: list[CommandRecord] = []
        self.house.bus.subscribe(lambda record, number: records.append(record), CommandRecord)
        self.house.give(self.csc)
        self.assertEqual([each.privileged for each in records if each.step == "local"], [True])

    def test_carried_out_by_the_bridge(self) -> None:
        """The journal has each ask that the bridge carries out by itself under no id of the controller's."""
        self.house.give(self.csc)
        self.eui.ask()
        self.eui.ask(0)
        local = [step[:3] for step in self.house.journal.steps if step[1] == "local"]
        self.assertEqual(local, [(0, "local", "csc"), (0, "local", "eui"), (0, "local", "eui")])

    def test_release_of_anothers(self) -> None:
        """NONE from one who does not have command takes it from nobody."""
        self.house.give(self.csc)
        self.eui.ask(0)
        self.assertEqual(self.eui.explanations(), ["refused: csc has command"])
        self.assertIs(self.holder, self.csc)

    def test_waiting_commands_end_with_the_lease(self) -> None:
        """What the former holder sent and the controller did not read yet is refused; its stops go on."""
        self.house.give(self.csc)
        self.house.link.room = 0
        for code in (STOP, MOVE, 104):
            self.csc.command(code)
        self.hhd.ask()
        self.granted(self.hhd)
        self.assertEqual(self.csc.explanations(), ["refused: hhd has command"] * 2)
        self.hhd.command(MOVE)
        self.house.link.give_room()
        self.assertEqual(self.house.link.codes(), [STOP, MOVE])


class UpstreamTests(CommandCase):
    """What the controller has to say to it."""

    def test_refusal_is_passed_on(self) -> None:
        """The controller's refusal is the asker's, with the controller's own explanation."""
        for why, text in (
            (b"the operator has it", "refused: the operator has it"),
            (b"busy elsewhere\nand\r\0\xff", r"refused: busy elsewhere and \xff"),
            (b"", "refused: the controller says no"),
        ):
            self.csc.ask()
            self.house.link.refuse(*self.house.link.read(), why)
            self.assertEqual(self.csc.explanations(), [text])
            self.assertIsNone(self.holder)
        self.assertEqual(self.house.bridge.counts["refused"], 3)
        self.house.advance(10)
        self.assertEqual(self.house.link.read(), [])

    def test_long_refusal_is_cut(self) -> None:
        """An explanation of the controller's that is passed on in another NoAck is cut at 1000 characters."""
        self.csc.ask()
        self.house.link.refuse(*self.house.link.read(), b"no " * 1000)
        (text,) = self.csc.explanations()
        self.assertEqual(text, ("refused: " + "no " * 1000)[:1000])

    def test_refused_after_ack(self) -> None:
        """An Ack alone grants nothing; a NoAck after it refuses."""
        self.csc.ask()
        (line,) = self.house.link.read()
        self.house.link.ack(line)
        self.assertEqual((self.csc.read(), self.holder), ([], None))
        self.house.link.refuse(line, b"no")
        self.assertEqual(self.csc.explanations(), ["refused: no"])

    def test_ask_while_asking(self) -> None:
        """Those who ask while the controller is asked get its one answer, in their order."""
        for client in (self.csc, self.eui):
            client.ask()
        self.assertEqual(len(self.house.link.finish_all()), 1)
        for client in (self.csc, self.eui):
            self.assertEqual([answer.code for answer in client.answers()], [ACK, DONE])
        self.assertIs(self.holder, self.eui)
        self.assertEqual(self.csc.in_flight, 0)

    def test_commands_as_soon_as_it_is_told(self) -> None:
        """What a client in the bridge's own process sends in the turn in which it is told is sent, too."""
        client = EagerClient(self.house.bridge, "eager", Source.CSC).come()
        client.ask()
        client.command(MOVE)
        self.house.link.finish(*self.house.link.read())
        self.assertEqual(sorted(self.house.link.codes()), [MOVE, TRACK])
        self.assertEqual(client.in_flight, 2)

    def test_hhd_asks_first(self) -> None:
        """Who asks after the HHD, while the controller is asked, is refused."""
        for client in (self.csc, self.hhd, self.eui):
            client.ask()
        self.house.link.finish_all()
        self.granted(self.hhd)
        self.assertEqual(len(self.eui.explanations()), 1)

    def test_asker_gone(self) -> None:
        """An asker that left gets nothing, even if it is back; what the controller gave is given back."""
        self.csc.ask()
        (line,) = self.house.link.read()
        self.csc.go()
        self.csc.come()
        self.house.link.finish(line)
        self.assertEqual((self.csc.read(), self.holder, self.csc.in_flight), ([], None, 0))
        (line,) = self.house.link.read()
        self.assertEqual(line.split(b"\n")[4:], [b"0"])

    def test_heir_gone(self) -> None:
        """Who asked for another that left meanwhile is told at once."""
        self.csc.ask(Commander.EUI)
        self.eui.go()
        self.assertEqual(self.csc.explanations(), ["refused: eui is gone"])
        self.house.link.finish_all()
        self.assertEqual((self.csc.read(), self.holder), ([], None))

    def test_heir_dismissed(self) -> None:
        """Who was dismissed while it asked does not get command, even before its connection is lost."""
        self.csc.ask()
        self.csc.say(b"garbage")
        self.house.link.finish_all()
        self.assertEqual((self.csc.answers(), self.holder), ([], None))

    def test_asker_gone_heir_here(self) -> None:
        """Who was asked for gets command though the asker left."""
        self.csc.ask(Commander.EUI)
        self.csc.go()
        self.house.link.finish_all()
        self.assertIs(self.holder, self.eui)

    def test_link_lost_while_asking(self) -> None:
        """An ask ends with the connection: nobody has command, and the next one knows nothing of it."""
        self.csc.ask()
        self.house.bridge.link_down("gone")
        (text,) = self.csc.explanations()
        self.assertTrue(text.startswith("outcome unknown: "), text)
        self.assertEqual(self.house.connect().read(), [])
        self.assertIsNone(self.holder)

    def test_no_answer(self) -> None:
        """If the controller does not answer, the ask times out, and what it may have given is given back."""
        self.csc.ask()
        self.house.link.read()
        self.house.advance(5.3)
        (text,) = self.csc.explanations()
        self.assertTrue(text.startswith("timed out: "), text)
        (line,) = self.house.link.read()
        self.assertEqual(line.split(b"\n")[4:], [b"0"])
        self.house.advance(10)
        self.assertEqual((self.house.link.read(), self.house.clock.getDelayedCalls()), ([], []))

    def test_taken_back_while_asking(self) -> None:
        """NONE while the controller is asked takes the ask back: both end, and nobody gets command."""
        first, second = self.csc.ask(), self.csc.ask(0)
        answers = self.csc.answers()
        self.assertEqual([answer[:2] for answer in answers], [(NOACK, first), (ACK, second), (DONE, second)])
        sent = self.house.link.finish_all()
        self.assertEqual([line.split(b"\n")[4] for line in sent], [b"1", b"0"])
        self.assertIsNone(self.holder)

    def test_one_takes_back_another_gets(self) -> None:
        """Who takes its ask back leaves those of others alone."""
        self.csc.ask()
        self.eui.ask()
        self.csc.ask(0)
        self.assertEqual(len(self.house.link.finish_all()), 1)
        self.granted(self.eui)

    def test_not_connected(self) -> None:
        """With the link down nothing is granted, and command can be given up."""
        self.house.give(self.csc)
        self.house.bridge.link_down("gone")
        for client in (self.csc, self.eui):
            client.ask()
            self.assertEqual(client.explanations(), ["not sent: the controller is not connected"])
        self.csc.ask(0)
        self.assertEqual([answer.code for answer in self.csc.answers()], [ACK, DONE])
        self.assertEqual(self.house.connect().read(), [])

    def test_link_returns(self) -> None:
        """A holder keeps its lease through a lost link; the new one is asked before its commands go out."""
        self.house.give(self.csc)
        self.house.bridge.link_down("gone")
        link = self.house.connect()
        self.csc.command(MOVE)
        self.assertEqual(link.codes(), [ASK, MOVE])
        self.assertEqual(self.house.bridge.lease.number, 1)

    def test_link_returns_and_refuses(self) -> None:
        """If the new connection refuses, nobody has command any more."""
        self.house.give(self.csc)
        self.house.bridge.link_down("gone")
        link = self.house.connect()
        link.refuse(*link.read(), b"no")
        self.assertIsNone(self.holder)
        self.assertEqual(self.house.leases()[-1], ("lease_released", "csc"))
        self.csc.command(MOVE)
        self.assertEqual(self.csc.explanations(), ["refused: nobody has command"])

    def test_link_returns_and_says_nothing(self) -> None:
        """If the new connection does not answer in time, the holder keeps its lease."""
        self.house.give(self.csc)
        self.house.bridge.link_down("gone")
        link = self.house.connect()
        link.read()
        self.house.advance(6)
        self.assertIs(self.holder, self.csc)
        self.csc.ask(0)
        self.assertEqual(link.codes(), [ASK])

    def test_release_while_the_link_is_asked_again(self) -> None:
        """A holder that gives up while the new connection is asked is not given command by its answer."""
        self.house.give(self.csc)
        self.house.bridge.link_down("gone")
        link = self.house.connect()
        self.csc.ask(0)
        sent = link.finish_all()
        self.assertEqual([line.split(b"\n")[4] for line in sent], [b"1", b"0"])
        self.assertIsNone(self.holder)

    def test_new_connection_was_asked_for_nothing(self) -> None:
        """What one connection granted the next one is asked for anew."""
        self.house.give(self.csc)
        self.house.bridge.link_down("gone")
        self.csc.ask(0)
        self.csc.read()
        link = self.house.connect()
        self.eui.ask()
        self.assertEqual((link.codes(), self.holder), ([ASK], None))

    def test_taken_back_from_a_holder(self) -> None:
        """Who takes back an ask of its own does not take command from the one that has it."""
        self.house.give(self.csc)
        self.house.bridge.link_down("gone")
        self.house.connect()
        self.eui.ask()
        self.eui.ask(0)
        self.assertEqual([answer.code for answer in self.eui.answers()], [NOACK, ACK, DONE])
        self.house.link.finish_all()
        self.assertIs(self.holder, self.csc)

    def test_asker_back_heir_here(self) -> None:
        """An asker that left and is back gets no answer to what it asked for another."""
        self.csc.ask(Commander.EUI)
        self.csc.go()
        self.csc.come()
        self.house.link.finish_all()
        self.assertEqual((self.csc.answers(), self.holder), ([], self.eui))

    def test_asks_are_bounded(self) -> None:
        """While the controller does not answer, few asks wait; an older one gives way to a later one."""
        clients = [self.house.client(f"csc{number}") for number in range(MOST_ASKS)]
        self.csc.ask()
        self.csc.command(MOVE)
        for client in clients:
            client.ask()
        late = f"busy: {MOST_ASKS} later asks for command wait for the controller's answer"
        self.assertEqual(self.csc.explanations(), [late, "refused: nobody has command"])
        for _ in range(1200):
            clients[-1].ask()
        self.assertEqual(clients[0].explanations(), [late])
        self.house.link.finish_all()
        self.assertEqual(len(clients[-1].answers()), 1200 - MOST_ASKS + 2 * MOST_ASKS + 1)
        self.assertIs(self.holder, clients[-1])

    def test_ask_of_the_hhd_stays(self) -> None:
        """No number of later asks displaces the ask of the HHD: it gets command."""
        self.hhd.ask()
        for _ in range(2 * MOST_ASKS):
            self.csc.ask()
        self.house.link.finish_all()
        self.granted(self.hhd)

    def test_commands_behind_asks_are_bounded(self) -> None:
        """Of all clients together few commands wait behind asks; further ones are busy, and asks are not."""
        for client in (self.csc, self.hhd):
            client.ask()
            for _ in range(MOST_COMMANDS // 2):
                client.command(MOVE)
        self.csc.command(MOVE)
        busy = f"busy: {MOST_COMMANDS} commands wait for the controller's answer to an ask"
        self.assertEqual(self.csc.explanations(), [busy])
        self.eui.ask()
        self.eui.command(MOVE)
        self.assertEqual(self.eui.explanations(), [busy])
        self.house.link.finish_all()
        self.assertIs(self.holder, self.hhd)

    def test_stop_behind_an_ask_is_not_busy(self) -> None:
        """If only the holder may stop, a stop waits behind its sender's ask, however many commands wait."""
        self.setUp(anyone_may_stop=False)
        for client in (self.csc, self.hhd):
            client.ask()
            for _ in range(MOST_COMMANDS // 2):
                client.command(MOVE)
        self.csc.command(STOP)
        self.assertEqual(self.csc.explanations(), [])

    def test_asker_from_another_source(self) -> None:
        """Who takes back an ask that another made for it keeps that other from waiting."""
        number = self.csc.ask(Commander.EUI)
        self.eui.ask(0)
        self.assertEqual([answer[:2] for answer in self.csc.answers()], [(NOACK, number)])
        self.house.link.finish_all()
        self.assertIsNone(self.holder)


class HandCommandTests(CommandCase):
    """Command handed on by name."""

    def hand(self, holder: RecordingClient, heir: str) -> str:
        """Hand command on, and tell why not."""
        return self.house.bridge.hand_command(holder, heir)

    def test_by_name(self) -> None:
        """The holder names one of several of a source; what it sent and waits is refused; nobody is asked."""
        self.house.give(self.csc)
        self.house.client("eui2", Source.EUI)
        self.house.link.room = 0
        self.csc.command(MOVE)
        self.assertEqual(self.hand(self.csc, "eui2"), "")
        self.assertEqual(self.csc.explanations(), ["refused: eui2 has command"])
        assert self.holder is not None
        self.assertEqual((self.holder.name, self.house.link.codes()), ("eui2", []))
        self.assertEqual(
            self.house.leases(),
            [("lease_granted", "csc"), ("lease_released", "csc"), ("lease_granted", "eui2")],
        )
        self.assertEqual(self.hand(self.holder, "eui2"), "")
        self.assertEqual(self.house.bridge.lease.number, 2)

    def test_refused(self) -> None:
        """Who does not have command can't hand it on; nor can anyone to who is not there, or observes."""
        self.house.client("watch", may_command=False)
        self.assertIn("nobody has command", self.hand(self.csc, "eui"))
        self.house.give(self.csc)
        self.assertIn("csc has command", self.hand(self.hhd, "eui"))
        for nobody in ("watch", "eui9", "\n"):
            self.assertEqual(self.hand(self.csc, nobody), f"no commander {nobody!a} is connected")
        self.csc.go()
        self.assertNotEqual(self.hand(self.csc, "eui"), "")
        self.assertIs(self.holder, self.csc)

    def test_hhd(self) -> None:
        """The HHD has to give command up before another gets it, as with an ask."""
        self.house.give(self.hhd)
        self.assertIn("command cannot be taken from the HHD", self.hand(self.hhd, "eui"))
        self.assertEqual(self.hand(self.hhd, "hhd"), "")
        self.assertIs(self.holder, self.hhd)

    def test_controller(self) -> None:
        """With the link down, or the controller not heard yet, command stays where it is; so at the end."""
        self.house.give(self.csc)
        self.house.bridge.link_down("gone")
        self.assertIn("the controller is not connected", self.hand(self.csc, "eui"))
        self.house.connect()
        self.assertIn("was not heard", self.hand(self.csc, "eui"))
        self.house.link.finish_all()
        self.house.bridge.close()
        self.assertEqual(self.hand(self.csc, "eui"), "the bridge ends")
