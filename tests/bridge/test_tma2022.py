"""The bridge with the protocol tma2022: what it rewrites in replies, and what it hides."""

from __future__ import annotations

import json
from typing import Any

from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from tests.support.commanders import LOG, RecordingClient
from tests.support.tma2022_bridge import CSC, Tma2022Case


class Tma2022Tests(Tma2022Case):
    """A commander that has command, and its lines."""

    def superseded(self, by: RecordingClient) -> Any:
        """What the CSC reads after a stop of a commander has superseded its move."""
        self.send(self.csc, tma2022.commands.AzimuthMove(sequence_id=5, position=10))
        move = self.key()
        self.answer(replies.CmdAcknowledgedReply(sequence_id=move, commander=CSC, timeout=9.0))
        source = tma2022.enums.Source(by.source)
        self.send(by, tma2022.commands.BothAxesStop(sequence_id=6, source=source))
        (stop,) = self.sent()
        self.csc.read()
        self.answer(
            replies.CmdSupersededReply(
                sequence_id=move,
                commander=CSC,
                superseding_sequence_id=DIALECT.read_command(stop).sequence_id,
                superseding_commander=CSC,
                superseding_command_code=402,
            )
        )
        (line,) = self.csc.read()
        return json.loads(line)["parameters"]

    def test_superseded_by_its_own(self) -> None:
        """A commander reads its own id and source of the command that superseded its other one."""
        self.assertEqual(
            self.superseded(self.csc),
            {
                "sequenceId": 5,
                "commander": 1,
                "supersedingSequenceId": 6,
                "supersedingCommander": 1,
                "supersedingCommandCode": 402,
            },
        )

    def test_superseded_by_another(self) -> None:
        """The id of another commander's command means nothing to it: both numbers are 0."""
        parameters = self.superseded(self.eui)
        self.assertEqual((parameters["supersedingSequenceId"], parameters["supersedingCommander"]), (0, 0))
        self.assertEqual((parameters["sequenceId"], parameters["supersedingCommandCode"]), (5, 402))

    def test_unknown_timeout(self) -> None:
        """An Ack that announces no time counts as one of 300 s."""
        for seconds in (None, -1.0):
            self.send(self.csc, tma2022.commands.RestoreDefaultSettings(sequence_id=5))
            change = next(line for line in self.sent() if DIALECT.read_command(line).code == 2404)
            key = DIALECT.read_command(change).sequence_id
            self.answer(replies.CmdAcknowledgedReply(sequence_id=key, commander=CSC, timeout=seconds))
            self.csc.read()
            self.clock.pump([1.0] * 304)
            self.assertEqual(self.csc.read(), [])
            self.clock.pump([0.5] * 4)
            (line,) = self.csc.read()
            self.assertIn(
                "timed out: acknowledged, but not done in time", json.loads(line)["parameters"]["explanation"]
            )

    def test_ack_times(self) -> None:
        """The Ack of a command must come within the protocol's own time, unless the settings have another."""
        for command, seconds in (
            (tma2022.commands.BothAxesResetAlarm(sequence_id=5), 60),
            (tma2022.commands.AzimuthTrackTarget(sequence_id=5, position=1, velocity=0, tai=5), 1),
            (tma2022.commands.AzimuthMove(sequence_id=5, position=1), 10),
        ):
            self.send(self.csc, command)
            self.clock.pump([0.25] * (4 * seconds - 1))
            self.assertEqual(self.csc.read(), [])
            self.clock.pump([0.25] * 3)
            (line,) = self.csc.read()
            explanation = json.loads(line)["parameters"]["explanation"]
            self.assertEqual(explanation, f"timed out: no Ack within {seconds} s")

    def test_password(self) -> None:
        """Neither the journal nor a commander gets the password, in whatever line the mount sends it."""
        settings = replies.DetailedSettingsAppliedReply(
            set_name="Default", all_settings_match_set=True, bosch_system={"Password": "hunter2"}
        )
        line = settings.encode()[:-2]
        with self.assertLogs(LOG, "WARNING") as logged:
            self.link.say(line, line[:-1])
        (told,) = self.csc.read()
        self.assertEqual(told, line.replace(b"hunter2", b"*******"))
        written = repr((self.journal.messages, self.journal.steps, self.journal.events, logged.output))
        self.assertIn("*******", written)
        self.assertNotIn("hunter2", written)

    def test_password_in_a_reply(self) -> None:
        """A reply to a command that has a password among its parameters is masked likewise."""
        self.send(self.csc, tma2022.commands.RestoreDefaultSettings(sequence_id=5))
        end = replies.CmdSucceededReply(sequence_id=self.key(), commander=CSC).encode()[:-2]
        self.link.say(end[:-2] + b',"Password":"hunter2"}}')
        (told,) = self.csc.read()
        self.assertEqual(json.loads(told)["parameters"]["sequenceId"], 5)
        written = repr((self.journal.messages, self.journal.steps, self.journal.events, told))
        self.assertIn("*******", written)
        self.assertNotIn("hunter2", written)

    def test_settings_apart(self) -> None:
        """The settings, 38 kB, push no last value out: they are kept apart, until a loss."""
        settings = replies.DetailedSettingsAppliedReply(
            set_name="x" * 60_000, all_settings_match_set=True
        ).encode()[:-2]
        position = replies.InPositionReply(axis=tma2022.enums.System.AZIMUTH, in_position=True).encode()[:-2]
        self.link.say(position, settings)
        known = self.bridge.known
        self.assertEqual([entry.line for entry in known.entries()], [position])
        self.assertEqual([event.line for event in known.current_apart], [settings])
        self.bridge.link_down("lost")
        self.assertEqual(known.current_apart, [])


class SettingsTests(Tma2022Case):
    """The deadlines of the configuration take the place of those of the protocol."""

    rules = CommandRules(ack_timeout=3.0, done_margin=1.0, unknown_timeout=8.0)

    def ends(self, seconds: float, explanation: str) -> None:
        """See that a command of the CSC ends after this time, and not before, with this reason."""
        self.clock.pump([0.25] * round(4 * seconds - 1))
        self.assertEqual(self.csc.read(), [])
        self.clock.pump([0.25] * 3)
        (line,) = self.csc.read()
        self.assertIn(explanation, json.loads(line)["parameters"]["explanation"])

    def test_ack_timeout(self) -> None:
        """It holds for every command, also for those with a time of their own."""
        for command in (
            tma2022.commands.BothAxesResetAlarm(sequence_id=5),
            tma2022.commands.AzimuthMove(sequence_id=5, position=1),
        ):
            self.send(self.csc, command)
            self.ends(3, "timed out: no Ack within 3 s")

    def test_end(self) -> None:
        """The end must come within the announced or the unknown time and the margin."""
        for announced, seconds in ((2.0, 3), (None, 9)):
            self.send(self.csc, tma2022.commands.AzimuthMove(sequence_id=5, position=1))
            self.answer(
                replies.CmdAcknowledgedReply(sequence_id=self.key(), commander=CSC, timeout=announced)
            )
            self.csc.read()
            self.ends(seconds, "timed out: acknowledged, but not done in time")
