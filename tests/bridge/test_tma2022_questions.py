"""The bridge before a tma2022 mount: the questions for state and settings, which it answers from memory."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from mtmount_twisted.bridge.recollection import ASK_AGAIN, ENDS_AT_ONCE
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
        return self.kinds(client)

    def kinds(self, client: RecordingClient) -> list[int]:
        """The kinds of the lines that a commander has received since the last look."""
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

    def end(self, question: bytes, reply: Callable[..., replies.Reply], **members: Any) -> None:
        """The mount ends a question of the bridge."""
        key = DIALECT.read_command(question).sequence_id
        self.answer(reply(sequence_id=key, commander=CSC, **members))

    def test_not_yet_known(self) -> None:
        """Questions that come before the mount's answer wait for it, and are not passed on."""
        self.answer(POSITION)
        self.csc.read()
        self.eui.read()
        self.assertEqual((self.ask(self.eui, STATE), self.ask(self.csc, SETTINGS)), ([1], [1]))
        self.assertEqual(self.sent(), [])
        state, settings = self.questions[0], self.questions[-1]
        self.end(state, replies.CmdSucceededReply)
        self.assertEqual((self.kinds(self.eui), self.kinds(self.csc)), ([20, 200, 3], []))
        self.answer(SET)
        self.end(settings, replies.CmdSucceededReply)
        self.assertEqual((self.kinds(self.eui), self.kinds(self.csc)), ([40], [40, 40, 3]))
        self.assertEqual((self.csc.in_flight, self.eui.in_flight), (0, 0))

    def test_refused(self) -> None:
        """If the mount refuses, the log says so, the askers too, and the next question is asked anew."""
        self.assertEqual(self.ask(self.eui, STATE), [1])
        with self.assertLogs(LOG, "WARNING") as logged:
            self.end(self.questions[0], replies.CmdRejectedReply, explanation="not now")
        self.assertIn("the controller did not tell its state: not now", logged.output[0])
        [refused] = map(json.loads, self.eui.read())
        self.assertEqual((refused["id"], refused["parameters"]["explanation"]), (2, "refused: not now"))
        self.assertEqual((self.ask(self.eui, STATE), self.ask(self.csc, STATE)), ([1], [1]))
        [question] = self.sent()
        self.end(question, replies.CmdSucceededReply)
        self.assertEqual((self.kinds(self.eui)[-1], self.kinds(self.csc)[-1]), (3, 3))

    def test_one_in_flight(self) -> None:
        """However many commanders ask, the mount has one question, and each asker gets the end of it."""
        self.told(*self.questions)
        self.send(self.csc, tma2022.commands.ApplySettingsSet(sequence_id=5, settings="Park"))
        [change] = self.sent()
        for _ in range(50):
            self.assertEqual((self.ask(self.eui, SETTINGS), self.ask(self.csc, SETTINGS)), ([1], [1]))
        [question] = self.sent()
        self.assertEqual(self.eui.in_flight, 50)
        self.answer(SET)
        self.csc.read()
        self.eui.read()
        self.end(change, replies.CmdSucceededReply)
        self.assertEqual((self.kinds(self.csc), self.sent()), ([3], []))
        self.end(question, replies.CmdSucceededReply)
        self.assertEqual(self.kinds(self.eui), [40, 3])  # it asked before the question
        [again] = self.sent()
        self.answer(SET)
        self.end(again, replies.CmdSucceededReply)
        self.clock.pump([0.0] * 4)
        self.assertEqual(self.kinds(self.eui), [40] + [40] + [3] * 49)
        self.assertEqual((self.eui.in_flight, self.sent()), (0, []))

    def relink(self) -> None:
        """The connection to the controller is lost, and comes back."""
        self.bridge.link_down("lost")
        self.link = RecordingLink(self.bridge)
        self.bridge.link_up(self.link)
        self.clock.advance(0)
        self.questions = [line for line in self.sent() if DIALECT.read_command(line).code == 2502]
        self.csc.read()
        self.eui.read()

    def alarms(self) -> list[tuple[str, bool]]:
        """The name of each warning and error that the bridge knows, and whether it is stale."""
        entries = [entry for entry in self.bridge.known.entries() if entry.is_alarm]
        return [(json.loads(entry.line)["parameters"]["name"], entry.stale) for entry in entries]

    def test_alarms_of_a_mount_that_restarted(self) -> None:
        """An alarm of the last connection is stale until the mount has told its state, and then forgotten."""
        fields = {"subsystem_id": 100, "subsystem_instance": "a", "active": True, "description": "too hot"}
        error = replies.ErrorReply(name="E", code=1, latched=True, **fields)
        self.answer(replies.WarningReply(name="W", code=2, **fields))
        self.answer(error)
        self.answer(POSITION)
        self.relink()
        self.assertEqual(self.alarms(), [("W", True), ("E", True)])
        self.answer(error)  # the state of today, which has one of the two
        self.assertEqual(self.alarms(), [("W", True), ("E", False)])
        self.end(self.questions[0], replies.CmdSucceededReply)
        self.assertEqual(self.alarms(), [("E", False)])
        self.assertEqual([entry.stale for entry in self.bridge.known.entries()], [True, False])

    def test_alarms_of_a_mount_that_does_not_tell_its_state(self) -> None:
        """If the mount refuses to tell its state, the alarms of the last connection stay, as stale."""
        self.answer(
            replies.WarningReply(
                name="W", subsystem_id=100, subsystem_instance="a", active=True, code=2, description=""
            )
        )
        self.relink()
        with self.assertLogs(LOG, "WARNING"):
            self.end(self.questions[0], replies.CmdRejectedReply, explanation="not now")
        self.assertEqual(self.alarms(), [("W", True)])

    def test_many_wait_for_one_answer(self) -> None:
        """A turn ends a few of the questions that wait, the holder's first, and each of them in the end."""
        refusal = functools.partial(replies.CmdRejectedReply, explanation="not now")
        for reply, end in ((replies.CmdSucceededReply, 3), (refusal, 2)):
            for _ in range(40):
                self.assertEqual(self.ask(self.eui, STATE), [1])
            self.assertEqual(self.ask(self.csc, STATE), [1])
            self.end(self.questions[0], reply)
            self.assertEqual(self.kinds(self.csc)[-1], end)
            self.assertEqual(self.kinds(self.eui).count(end), ENDS_AT_ONCE - 1)
            self.clock.advance(0)
            self.assertEqual(self.kinds(self.eui).count(end), 40 - ENDS_AT_ONCE + 1)
            self.assertEqual(self.eui.in_flight, 0)
            self.relink()

    def test_changes_between_the_ends(self) -> None:
        """A client that leaves, a lost link and the end of the bridge end the questions that are left."""

        def answered() -> None:
            for _ in range(40):
                self.ask(self.eui, STATE)
            self.end(self.questions[0], replies.CmdSucceededReply)
            self.assertEqual(self.kinds(self.eui).count(3), ENDS_AT_ONCE)

        left = 40 - ENDS_AT_ONCE
        answered()
        self.bridge.client_leaves(self.eui, "the port is closed")
        self.assertEqual(self.explanations(self.eui), ["not sent: the port is closed"] * left)
        self.relink()
        for _ in range(40):
            self.ask(self.eui, STATE)
        self.bridge.client_lost(self.eui, "gone")
        self.assertEqual(self.eui.in_flight, left)
        self.clock.advance(0)
        self.assertEqual(self.eui.in_flight, 0)
        self.bridge.client_connected(self.eui)
        self.relink()
        answered()
        self.bridge.link_down("lost")
        self.eui.read()
        self.clock.advance(0)
        lost = "not sent: the controller's link was lost before the answer was passed on"
        self.assertEqual(self.explanations(self.eui), [lost] * left)
        self.relink()
        answered()
        self.bridge.close()
        self.assertEqual(self.kinds(self.eui).count(3), left)
        self.assertEqual((self.eui.in_flight, self.clock.getDelayedCalls()), (0, []))

    def test_more_values_than_room(self) -> None:
        """If the mount has more last values than the bridge keeps, it is asked anew after a pause only.

        Between the questions commanders receive the last values that are kept.
        """
        alarm = functools.partial(
            replies.WarningReply, name="alarm", subsystem_instance="", active=True, description="x" * 20_000
        )

        def answer_with_alarms(question: bytes) -> None:
            for code in range(4):
                self.answer(alarm(code=code, subsystem_id=1))
            self.told(question)

        state = self.questions[0]
        answer_with_alarms(state)
        for _ in range(2):
            for client in (self.csc, self.eui) * 5:
                kinds = self.ask(client, STATE)
                self.assertEqual((kinds[0], kinds.count(0), kinds[-1]), (1, 0, 3))
                self.assertGreater(len(kinds), 3)
            self.assertEqual(self.sent(), [], "answered from memory")
            self.clock.advance(ASK_AGAIN)
            self.sent()
            self.csc.read()
            self.assertEqual((self.ask(self.eui, STATE), self.ask(self.csc, STATE)), ([1], [1]))
            [again] = self.sent()
            answer_with_alarms(again)
            self.assertEqual((self.eui.in_flight, self.csc.in_flight), (0, 0))

    def test_asker_is_gone(self) -> None:
        """A commander that is gone, or leaves, gets no end of another session, and holds no place."""
        self.ask(self.eui, STATE)
        self.ask(self.csc, STATE)
        self.bridge.client_lost(self.eui, "gone")
        self.bridge.client_leaves(self.csc, "the port is closed")
        self.bridge.client_connected(self.eui)
        [refused] = map(json.loads, self.csc.read())
        self.assertEqual(refused["parameters"]["explanation"], "not sent: the port is closed")
        self.eui.read()
        self.end(self.questions[0], replies.CmdSucceededReply)
        self.assertEqual((self.kinds(self.eui), self.kinds(self.csc)), ([], []))
        self.assertEqual((self.eui.in_flight, self.csc.in_flight), (0, 0))

    def test_link_is_lost(self) -> None:
        """The loss of the connection ends the questions that wait, also while settings change."""
        self.send(self.csc, tma2022.commands.ApplySettingsSet(sequence_id=5, settings="Park"))
        self.ask(self.eui, SETTINGS)
        self.bridge.link_down("lost")
        [refused] = map(json.loads, self.eui.read())
        self.assertIn("outcome unknown", refused["parameters"]["explanation"])
        self.assertEqual((self.eui.in_flight, len(self.bridge.pending)), (0, 0))

    def test_nothing_stale(self) -> None:
        """What a lost connection brought answers nothing; without a connection a question is refused."""
        self.told(*self.questions)
        self.bridge.link_down("lost")
        self.assertEqual(self.ask(self.eui, STATE), [2])
        self.link = RecordingLink(self.bridge)
        self.bridge.link_up(self.link)
        self.sent()
        self.eui.read()
        self.assertEqual((self.ask(self.eui, STATE), self.ask(self.eui, SETTINGS)), ([1], [1]))

    def test_end_of_the_bridge(self) -> None:
        """A mount that does not answer the questions does not delay the end of the bridge."""
        drained = self.bridge.drain(10)
        self.clock.pump([0.0] * 5)
        self.successResultOf(drained)

    def test_changed_settings(self) -> None:
        """After a command that changes the settings the bridge asks once, and answers from memory again."""
        self.told(*self.questions)
        for count in (1, 2):
            changes = [
                tma2022.commands.ApplySettingsSet(sequence_id=5, settings="Park"),
                tma2022.commands.RestoreDefaultSettings(sequence_id=6),
            ]
            for change in changes[:count]:
                self.send(self.csc, change)
            for change in self.sent():
                self.assertEqual(self.ask(self.eui, STATE)[-1], 3)
                self.end(change, replies.CmdRejectedReply, explanation="no such set")
            [question] = self.sent()
            self.assertEqual(DIALECT.read_command(question).code, 2402)
            self.assertEqual(self.ask(self.eui, SETTINGS), [1])
            self.told(question)
            for _ in range(3):
                self.assertEqual(self.ask(self.eui, SETTINGS), [1, 40, 3])
            self.assertEqual(self.sent(), [])

    def test_change_at_the_end(self) -> None:
        """A bridge that ends asks no more: a change that is done delays its end no longer."""
        self.told(*self.questions)
        self.send(self.csc, tma2022.commands.ApplySettingsSet(sequence_id=5, settings="Park"))
        [change] = self.sent()
        drained = self.bridge.drain(10)
        self.end(change, replies.CmdSucceededReply)
        self.clock.pump([0.0] * 5)
        self.successResultOf(drained)
        self.assertEqual(self.sent(), [])
