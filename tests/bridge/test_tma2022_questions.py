"""The bridge before a tma2022 mount: the questions for state and settings, which it answers from memory."""

from __future__ import annotations

import json

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from tests.support.commanders import LOG, RecordingClient, RecordingLink
from tests.support.tma2022_bridge import CSC, Tma2022Case

EUI = tma2022.enums.Source.EUI
STATE, SETTINGS = tma2022.commands.StateInfo, tma2022.commands.GetActualSettings
POSITION = replies.InPositionReply(axis=tma2022.enums.System.AZIMUTH, in_position=True)
SET = replies.DetailedSettingsAppliedReply(set_name="Default", all_settings_match_set=True)


class QuestionsTests(Tma2022Case):
    """Questions of the bridge, and those of commanders."""

    def setUp(self) -> None:
        super().setUp()
        self.eui.read()

    def told(self, *questions: bytes) -> None:
        """The mount answers questions of the bridge with events and an end."""
        for question in questions:
            header = DIALECT.read_command(question)
            self.answer(POSITION if header.code == 2502 else SET)
            self.answer(replies.CmdSucceededReply(sequence_id=header.sequence_id, commander=CSC))
        self.csc.read()
        self.eui.read()
        self.link.read()

    def ask(self, client: RecordingClient, question: type[tma2022.commands.Command]) -> list[int]:
        """A commander asks; return the kinds of the lines that it reads at once."""
        source = tma2022.enums.Source(client.source)
        self.send(client, question(sequence_id=9, source=source))
        return [json.loads(line)["id"] for line in client.read()]

    def test_asked_at_each_link(self) -> None:
        """The bridge asks for both at each connection."""
        for _ in range(2):
            codes = [DIALECT.read_command(line).code for line in self.questions]
            self.assertEqual([code for code in codes if code != 2103], [2502, 2402])
            self.bridge.link_down("lost")
            self.link = RecordingLink(self.bridge)
            self.bridge.link_up(self.link)
            self.questions = self.sent()

    def test_from_memory(self) -> None:
        """Each commander gets events and an end from the bridge, with command or without."""
        self.told(*self.questions)
        for client in (self.csc, self.eui):
            self.assertEqual(self.ask(client, STATE), [1, 20, 200, 3])
            self.assertEqual(self.ask(client, SETTINGS), [1, 40, 3])
        self.assertEqual(self.sent(), [])

    def test_own_numbers(self) -> None:
        """The acknowledgement and the end have the commander's own id and source."""
        self.told(*self.questions)
        self.send(self.eui, STATE(sequence_id=9, source=EUI))
        acknowledged, commander, _, end = map(json.loads, self.eui.read())
        for line in (acknowledged, end):
            self.assertEqual((line["parameters"]["sequenceId"], line["parameters"]["commander"]), (9, 2))
        self.assertEqual(commander["parameters"]["actualCommander"], 1)
        self.assertEqual(self.csc.read(), [])

    def test_not_yet_known(self) -> None:
        """Until the mount has answered the bridge, questions are passed on, also those without command."""
        self.answer(POSITION)
        self.csc.read()
        self.eui.read()
        self.assertEqual((self.ask(self.eui, STATE), self.ask(self.csc, SETTINGS)), ([], []))
        self.assertEqual([DIALECT.read_command(line).code for line in self.sent()], [2502, 2402])

    def test_refused(self) -> None:
        """If the mount refuses, the log says so, and questions are passed on."""
        key = DIALECT.read_command(self.questions[0]).sequence_id
        with self.assertLogs(LOG, "WARNING") as logged:
            self.answer(replies.CmdRejectedReply(sequence_id=key, commander=CSC, explanation="not now"))
        self.assertIn("the controller did not tell its state: not now", logged.output[0])
        self.assertEqual(self.ask(self.eui, STATE), [])
        self.assertEqual(len(self.sent()), 1)

    def test_nothing_stale(self) -> None:
        """What a lost connection brought answers nothing; without a connection a question is refused."""
        self.told(*self.questions)
        self.bridge.link_down("lost")
        self.assertEqual(self.ask(self.eui, STATE), [2])
        self.link = RecordingLink(self.bridge)
        self.bridge.link_up(self.link)
        self.sent()
        self.eui.read()
        self.assertEqual((self.ask(self.eui, STATE), self.ask(self.eui, SETTINGS)), ([], []))
        self.assertEqual(len(self.sent()), 2)

    def test_end_of_the_bridge(self) -> None:
        """A mount that does not answer the questions does not delay the end of the bridge."""
        drained = self.bridge.drain(10)
        self.clock.pump([0.0] * 5)
        self.successResultOf(drained)

    def test_changed_settings(self) -> None:
        """After a command that changes the settings, the mount is asked; the state comes from memory."""
        self.told(*self.questions)
        self.send(self.csc, tma2022.commands.ApplySettingsSet(sequence_id=5, settings="Park"))
        self.sent()
        self.assertEqual(self.ask(self.eui, SETTINGS), [])
        self.assertEqual(len(self.sent()), 1)
        self.assertEqual(self.ask(self.eui, STATE)[-1], 3)
