"""The bridge before a tma2022 mount: its heartbeats to the mount, and those of its commanders."""

from __future__ import annotations

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from tests.net.test_deadlines import paused
from tests.support.commanders import LOG, RecordingClient, RecordingLink
from tests.support.tma2022_bridge import CSC, HEARTBEAT, Tma2022Case

EUI, HHD, NONE = tma2022.enums.Source.EUI, tma2022.enums.Source.HHD, tma2022.enums.Source.NONE


class ToTheMountTests(Tma2022Case):
    """Heartbeats of the bridge."""

    def beats(self) -> int:
        """The number of heartbeats since the last look; each has the source of the bridge."""
        headers = [DIALECT.read_command(line) for line in self.link.read()]
        beats = [header for header in headers if header.code == HEARTBEAT]
        for beat in beats:
            self.assertEqual((beat.sequence_id, beat.source), (0, CSC))
        return len(beats)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([0.125] * round(8 * seconds))

    def test_each_second(self) -> None:
        """One at the grant, then one each second, until command is given back; the journal has none."""
        self.assertEqual(self.beats(), 1)
        self.pass_time(10)
        self.assertIn(self.beats(), (8, 9, 10))  # a timer takes a turn of the reactor longer
        self.send(self.csc, tma2022.commands.AskForCommand(sequence_id=2, commander=NONE))
        self.beats()
        self.pass_time(10)
        self.assertEqual(self.beats(), 0)
        self.assertNotIn(b"3000", repr(self.journal.messages).encode())

    def test_holder_asks_again(self) -> None:
        """They keep their time while the mount is asked again for a holder that asks again."""
        self.beats()
        self.send(self.csc, tma2022.commands.AskForCommand(sequence_id=2, commander=CSC))
        (line,) = self.link.read()
        key = DIALECT.read_command(line).sequence_id
        self.answer(replies.CmdSucceededReply(sequence_id=key, commander=CSC))
        self.assertEqual(self.beats(), 0)
        self.pass_time(10)
        self.assertIn(self.beats(), (8, 9, 10))

    def test_grace(self) -> None:
        """They go on while the bridge waits for a lost holder, and end with its time of grace."""
        self.csc.go()
        self.beats()
        self.pass_time(4)
        self.assertGreaterEqual(self.beats(), 3)
        self.pass_time(2)
        self.beats()
        self.pass_time(10)
        self.assertEqual(self.beats(), 0)

    def test_taken(self) -> None:
        """They end as soon as the mount gives command to another."""
        with self.assertLogs(LOG, "WARNING"):
            self.answer(replies.CommanderReply(actual_commander=HHD))
        self.beats()
        self.pass_time(10)
        self.assertEqual(self.beats(), 0)

    def test_next_connection(self) -> None:
        """None is sent without a connection; they begin again with the grant of the next one."""
        self.bridge.link_down("lost")
        self.beats()
        self.pass_time(3)
        self.link = RecordingLink(self.bridge)
        self.bridge.link_up(self.link)
        (ask,) = [line for line in self.link.read() if b"\n2103\n" in line]
        self.pass_time(3)
        self.assertEqual(self.beats(), 0)
        key = DIALECT.read_command(ask).sequence_id
        self.answer(replies.CmdSucceededReply(sequence_id=key, commander=CSC))
        self.assertEqual(self.beats(), 1)

    def test_no_room(self) -> None:
        """A mount that does not read gets no heartbeats piled up, and a later one."""
        self.beats()
        self.link.room = 0
        self.pass_time(5)
        self.assertEqual(self.beats(), 0)
        self.link.give_room()
        self.pass_time(2)
        self.assertIn(self.beats(), (1, 2))


class OfCommandersTests(Tma2022Case):
    """Heartbeats of commanders."""

    def setUp(self) -> None:
        super().setUp()
        self.eui.read()
        self.records = list(self.journal.messages)

    def beat(self, client: RecordingClient) -> None:
        """A commander sends a heartbeat."""
        source = tma2022.enums.Source(client.source)
        self.send(client, tma2022.commands.Heartbeat(source=source))

    def holds(self) -> bool:
        """Whether the CSC has command."""
        return self.bridge.lease.holder is self.csc

    def test_not_passed_on(self) -> None:
        """They are counted, and neither passed on, answered nor journaled, with command or without."""
        self.link.read()
        for client in (self.csc, self.eui, self.csc):
            self.beat(client)
        self.assertEqual(self.bridge.counts["heartbeats"], 3)
        self.assertEqual(self.link.read(), [])
        self.assertEqual((self.csc.read(), self.eui.read()), ([], []))
        self.assertEqual(self.journal.messages, self.records)

    def test_silence(self) -> None:
        """After the first one, 5 s without one end the lease with no further grace, and stop the mount."""
        for _ in range(20):
            self.beat(self.csc)
            self.clock.pump([0.5] * 8)
        self.assertTrue(self.holds())
        with self.assertLogs(LOG, "WARNING") as logged:
            self.clock.pump([0.25] * 6)
        self.assertIsNone(self.bridge.lease.holder)
        self.assertIn("csc sent no heartbeat in time: stop", logged.output[0])
        self.assertIn("lease 1: its holder sent no heartbeat for 5 s", self.journal.events[-1][3])
        self.assertIn(32, [DIALECT.read_command(line).code for line in self.sent()])
        self.assertEqual(self.commanders(self.csc), [0])

    def test_never_one(self) -> None:
        """A holder that sends none keeps command as long as its connection lives."""
        self.beat(self.eui)  # another's are nothing to it
        self.clock.pump([1.0] * 100)
        self.assertTrue(self.holds())

    def test_next_lease(self) -> None:
        """The first one counts in its own lease only."""
        self.beat(self.csc)
        self.send(self.eui, tma2022.commands.AskForCommand(sequence_id=2, source=EUI, commander=EUI))
        self.clock.pump([1.0] * 100)
        self.assertIs(self.bridge.lease.holder, self.eui)

    def test_connection_lost(self) -> None:
        """If the connection is lost too, its time of grace decides; a holder that is back begins anew."""
        self.beat(self.csc)
        self.clock.advance(4)
        self.csc.go()
        self.clock.pump([0.5] * 8)
        self.assertTrue(self.bridge.grace)
        self.csc.come()
        self.clock.pump([1.0] * 100)
        self.assertTrue(self.holds())

    def test_pause_of_the_bridge(self) -> None:
        """After a pause of the bridge the heartbeats that came meanwhile are read before it judges."""
        self.beat(self.csc)
        paused(self.clock, lambda: self.beat(self.csc), seconds=12)
        self.assertTrue(self.holds())
        self.clock.pump([0.5] * 12)
        self.assertFalse(self.holds())
