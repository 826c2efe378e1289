"""`mtmount_twisted.bridge.announcements`: the event that names the holder, for many commanders."""

from __future__ import annotations

import json

from mtmount_twisted.bridge.announcements import AT_ONCE
from mtmount_twisted.bridge.arbiter import MOST_CHANGES
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2022.commands import AskForCommand
from mtmount_twisted.dialects.tma2022.enums import Source as Commander
from tests.support.commanders import LOG, RecordingClient
from tests.support.handshakes import TURN, TurnClock
from tests.support.tma2022_bridge import Tma2022Case


class CrowdTests(Tma2022Case):
    """The CSC has command; beside it and the EUI there is a crowd."""

    clock_class = TurnClock

    def setUp(self) -> None:
        super().setUp()
        names = [f"desk/{number}" for number in range(3 * AT_ONCE)]
        self.crowd = [RecordingClient(self.bridge, name, Source.EUI).come() for name in names]
        self.pass_turns(4)
        self.told()
        self.eui.read()
        self.recorded = len(self.journal.messages)

    def pass_turns(self, count: int) -> None:
        """So many turns of the reactor."""
        for _ in range(count):
            self.clock.advance(TURN)

    def told(self) -> list[list[int]]:
        """The sources that each of the crowd was told since the last look."""
        return [self.commanders(each) for each in self.crowd]

    def ask(self, client: RecordingClient, source: Commander = Commander.EUI) -> None:
        """A client takes command."""
        self.send(client, AskForCommand(sequence_id=7, commander=source))

    def test_few_at_once(self) -> None:
        """The holder and the former holder know it in the turn of the change, the crowd in the next ones."""
        self.ask(self.eui)
        self.assertEqual((self.commanders(self.eui), self.commanders(self.csc)), ([2], [2]))
        told = 0
        for _ in range(4):
            now = sum(map(len, self.told()))
            self.assertLessEqual(now, AT_ONCE)
            told += now
            self.clock.advance(TURN)
        self.assertEqual(told, len(self.crowd))

    def test_recorded_twice(self) -> None:
        """The journal has the lines to the holder and to the former holder, and none to the crowd."""
        self.ask(self.eui)
        self.pass_turns(4)
        messages = self.journal.messages[self.recorded :]
        peers = [peer for peer, *_, line in messages if b"actualCommander" in line]
        self.assertEqual(peers, ["csc", "eui"])

    def test_newest_only(self) -> None:
        """After many changes in a turn, each of the crowd receives few events, and the last one is true."""
        for _ in range(20):
            self.ask(self.eui)
            self.ask(self.csc, Commander.CSC)
        self.ask(self.eui)
        self.assertLessEqual(sum(map(len, self.told())), AT_ONCE)
        self.pass_turns(8)
        self.assertLessEqual(max(map(len, self.told())), 1)
        self.ask(self.csc, Commander.CSC)
        self.pass_turns(8)
        self.assertEqual(self.told(), [[1]] * len(self.crowd))

    def test_changes_without_end(self) -> None:
        """However often command changes, each of the crowd has its turn."""
        heard = [0] * len(self.crowd)
        for number in range(42):
            if number % 3 == 0:  # before a round has ended
                self.ask(*((self.eui, Commander.EUI), (self.csc, Commander.CSC))[number % 2])
            self.clock.advance(TURN)
            heard = [before + len(told) for before, told in zip(heard, self.told(), strict=True)]
        self.assertGreater(min(heard), 0)

    def test_gone(self) -> None:
        """One that is gone before its turn receives nothing, and a new one of its name only what is true."""
        self.ask(self.eui)
        self.crowd[-1].go()
        again = RecordingClient(self.bridge, self.crowd[-1].name, Source.EUI).come()
        self.pass_turns(4)
        self.assertEqual((self.told()[-1], self.commanders(again)), ([], [0]))

    def test_time_of_the_event(self) -> None:
        """A client that connects receives the event with the time of now, not of the last change."""
        self.ask(self.eui)
        self.pass_turns(4)
        times = []
        for number in range(2):
            late = RecordingClient(self.bridge, f"late/{number}", Source.CSC).come()
            times += [json.loads(line)["timestamp"] for line in late.read() if b"actualCommander" in line]
        self.assertLess(times[0], times[1])

    def test_log(self) -> None:
        """The log has a bounded number of lines about new holders in a minute."""
        with self.assertLogs(LOG, "INFO") as logged:
            for _ in range(2 * MOST_CHANGES):
                self.ask(self.eui)
                self.ask(self.csc, Commander.CSC)
        lines = [line for line in logged.output if "no longer" not in line]
        self.assertEqual(len(lines), MOST_CHANGES - 1)  # `setUp` had one, too

    def test_bridge_ends(self) -> None:
        """The end of the bridge leaves no timer."""
        self.ask(self.eui)
        self.bridge.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
