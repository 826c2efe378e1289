"""The bridge before a tma2022 mount: who has command, as clients and the mount say it."""

from __future__ import annotations

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2022 import replies
from tests.support.commanders import LOG, RecordingClient, RecordingLink
from tests.support.tma2022_bridge import CSC, Tma2022Case

EUI, HHD, NONE = tma2022.enums.Source.EUI, tma2022.enums.Source.HHD, tma2022.enums.Source.NONE


class SeenCommanderTests(Tma2022Case):
    """What the clients see of changes of the lease."""

    def test_newcomers(self) -> None:
        """A new client sees the holder's source at once; a commander of the same source sees 0."""
        seen = {
            name: self.commanders(RecordingClient(self.bridge, name, source, may).come())
            for name, source, may in (
                ("other csc", Source.CSC, True),
                ("hhd", Source.HHD, True),
                ("observer", Source.CSC, False),
            )
        }
        self.assertEqual(seen, {"other csc": [0], "hhd": [1], "observer": [1]})

    def test_holder_returns(self) -> None:
        """The holder sees its own source again when it comes back in time."""
        self.csc.go()
        self.assertEqual(self.commanders(self.csc.come()), [1])

    def test_changes(self) -> None:
        """Each change of the lease is told once, to each client for which something changes."""
        other = RecordingClient(self.bridge, "other", Source.EUI).come()
        observer = RecordingClient(self.bridge, "observer", Source.CSC, False).come()
        everyone = (self.csc, self.eui, other, observer)
        for client in everyone:
            client.read()
        self.send(self.eui, tma2022.commands.AskForCommand(sequence_id=2, source=EUI, commander=EUI))
        self.assertEqual([self.commanders(client) for client in everyone], [[2], [2], [0], [2]])
        self.send(self.eui, tma2022.commands.AskForCommand(sequence_id=3, source=EUI, commander=EUI))
        self.answer_ask(EUI)
        self.assertEqual([self.commanders(client) for client in everyone], [[], [], [], []])
        self.send(self.eui, tma2022.commands.AskForCommand(sequence_id=4, source=EUI, commander=NONE))
        self.assertEqual([self.commanders(client) for client in everyone], [[0], [0], [], [0]])

    def answer_ask(self, source: tma2022.enums.Source) -> None:
        """The mount accepts an ask of the bridge."""
        key = self.key()
        self.answer(replies.CmdAcknowledgedReply(sequence_id=key, commander=source, timeout=1.0))
        self.answer(replies.CmdSucceededReply(sequence_id=key, commander=source))

    def test_own_of_the_mount(self) -> None:
        """The events of the mount are recorded and not passed on; other events keep their order."""
        event = replies.CommanderReply(actual_commander=CSC).encode()[:-2]
        position = replies.InPositionReply(axis=tma2022.enums.System.AZIMUTH, in_position=True).encode()[:-2]
        self.eui.read()
        self.link.say(position, event, position)
        self.assertEqual(self.csc.read(), [position, position])
        self.assertEqual(self.eui.read(), [position, position])
        self.assertIn(("controller", "from", 1, event), self.journal.messages)


class TakenTests(Tma2022Case):
    """The mount gives command to another source than the bridge's."""

    def taken(self, by: tma2022.enums.Source = HHD) -> list[str]:
        """The mount says so; return the log."""
        with self.assertLogs(LOG, "WARNING") as logged:
            self.answer(replies.CommanderReply(actual_commander=by))
        return logged.output

    def holder(self, bridge: Bridge) -> object:
        """The holder of command."""
        return bridge.lease.holder

    def test_lease_ends(self) -> None:
        """Unsent commands are refused, sent ones go on, and the bridge sends nothing."""
        self.link.give_room(1)
        for number in (5, 6):
            self.send(self.csc, tma2022.commands.AzimuthPower(sequence_id=number, on=True))
        sent = self.key()
        log = self.taken()
        why = "the mount gave command to HHD"
        self.assertEqual(self.explanations(self.csc), [f"refused: {why}"])
        self.assertIn(why, log[0])
        self.assertIn(("lease_released", "csc", 1, f"lease 1: {why}"), self.journal.events)
        self.assertIsNone(self.holder(self.bridge))
        self.link.give_room()
        self.clock.pump([1.0] * 9)
        self.assertEqual(self.link.read(), [])
        self.answer(replies.CmdSucceededReply(sequence_id=sent, commander=CSC))
        self.assertIn(b'"id":3', self.csc.read()[0])

    def test_stop_that_waits(self) -> None:
        """A stop that was not sent yet is sent all the same: the mount says whether it stops."""
        self.link.give_room(0)
        self.send(self.csc, tma2022.commands.BothAxesStop(sequence_id=5))
        self.taken()
        self.link.give_room()
        self.assertEqual(self.explanations(self.csc), [])
        self.answer(replies.CmdRejectedReply(sequence_id=self.key(), commander=CSC, explanation="HHD has it"))
        self.assertEqual(self.explanations(self.csc), ["HHD has it"])

    def test_seen(self) -> None:
        """The former holder sees that it does not have command, and its next command is refused."""
        self.taken(NONE)
        self.assertEqual(self.commanders(self.csc), [0])
        self.assertIn("the mount gave command to nobody", self.journal.events[-1][3])
        self.send(self.csc, tma2022.commands.AzimuthPower(sequence_id=7, on=True))
        self.assertEqual(self.explanations(self.csc), ["refused: nobody has command"])

    def test_unknown_source(self) -> None:
        """A source that is not known has command all the same; the event is not passed on."""
        with self.assertLogs(LOG, "WARNING") as logged:
            self.link.say(b'{"id":20,"timestamp":1.5,"parameters":{"actualCommander":77}}')
        self.assertIn("the mount gave command to source 77", logged.output[0])
        self.assertEqual(self.commanders(self.csc), [0])
        self.assertIsNone(self.holder(self.bridge))

    def test_no_stops(self) -> None:
        """The end of the grace of a holder that is gone stops nothing after that."""
        self.csc.go()
        self.taken()
        self.link.read()
        self.clock.pump([1.0] * 60)
        self.assertEqual(self.link.read(), [])
        self.assertFalse(self.bridge.grace)

    def test_not_again_at_the_next_link(self) -> None:
        """The bridge does not ask for command at its next connection either."""
        self.taken()
        self.bridge.link_down("lost")
        self.link = RecordingLink(self.bridge)
        self.bridge.link_up(self.link)
        asks = [line for line in self.link.read() if b"\n2103\n" in line]
        self.assertEqual(asks, [])

    def test_asked_again(self) -> None:
        """A commander that asks gets command again, if the mount grants it."""
        self.taken()
        self.send(self.csc, tma2022.commands.AskForCommand(sequence_id=8, commander=CSC))
        key = self.key()
        self.csc.read()
        self.answer(replies.CommanderReply(actual_commander=CSC))
        self.answer(replies.CmdSucceededReply(sequence_id=key, commander=CSC))
        self.assertEqual(self.commanders(self.csc), [1])
        self.assertIs(self.holder(self.bridge), self.csc)

    def test_without_command(self) -> None:
        """While the bridge has no command, the events of the mount about others change nothing."""
        self.send(self.csc, tma2022.commands.AskForCommand(sequence_id=8, commander=NONE))
        self.csc.read()
        self.answer(replies.CommanderReply(actual_commander=HHD))
        self.assertEqual(self.csc.read(), [])
