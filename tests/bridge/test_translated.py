"""The bridge before a tma2022 mount with commanders that speak tma2020."""

from __future__ import annotations

import json
from typing import Any

from mtmount_twisted import commands as old
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.dialect import translator_between
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2020.codec import decode_reply
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.enums import System
from mtmount_twisted.enums import Commander
from mtmount_twisted.replies import AckReply, DoneReply, InPositionReply, NoAckReply, Reply, WarningReply
from tests.support.commanders import RecordingClient
from tests.support.tma2022_bridge import CSC, Tma2022Case

HEADER: Any = {"sequence_id": 7, "source": Source.HHD}
MOVE = old.AzimuthAxisMove(**HEADER, position=10.0, velocity=1.0)


class TranslatedTests(Tma2022Case):
    """A HHD that speaks tma2020, beside a CSC and an EUI that speak tma2022."""

    def setUp(self) -> None:
        super().setUp()
        self.hhd = self.join("hhd")
        self.eui.read()

    def join(self, name: str, may_command: bool = True) -> RecordingClient:
        """A client that speaks tma2020."""
        client = RecordingClient(self.bridge, name, Source.HHD, may_command)
        client.translator = translator_between("tma2020", "tma2022")
        return client.come()

    def say(self, command: old.Command, client: RecordingClient | None = None) -> None:
        """A client sends a command in tma2020."""
        (client or self.hhd).say(command.encode()[:-2])

    def told(self, client: RecordingClient | None = None) -> list[Reply]:
        """The replies and events that a client has received since the last look."""
        return [decode_reply(line) for line in (client or self.hhd).read()]

    def take(self) -> None:
        """The HHD takes command."""
        self.say(old.AskForCommand(sequence_id=1, source=Source.HHD, commander=Commander.HHD))
        self.told()

    def done(self, key: int, seconds: float = 1.0) -> None:
        """The mount carries out a command."""
        self.answer(replies.CmdAcknowledgedReply(sequence_id=key, commander=CSC, timeout=seconds))
        self.answer(replies.CmdSucceededReply(sequence_id=key, commander=CSC))

    def test_move(self) -> None:
        """The mount receives its own command; the commander reads Ack in ms and Done, with its own id."""
        self.take()
        self.say(MOVE)
        (line,) = self.sent()
        move = tma2022.decode_command(line)
        assert isinstance(move, tma2022.commands.AzimuthMove)
        self.assertEqual((move.position, move.velocity, move.source), (10.0, 1.0, CSC))
        self.done(move.sequence_id, 12.5)
        ack, done = self.told()
        assert isinstance(ack, AckReply) and isinstance(done, DoneReply)
        self.assertEqual((ack.sequence_id, ack.source, ack.timeout_ms), (7, Source.HHD, 12_500))
        self.assertEqual((done.sequence_id, done.source), (7, Source.HHD))

    def test_a_number_with_two_meanings(self) -> None:
        """31 is a target of a track in tma2020, and never becomes the power of tma2022."""
        self.take()
        track = old.BothAxesTrack(
            sequence_id=7, azimuth=1, azimuth_velocity=0, elevation=2, elevation_velocity=0, tai=1e9
        )
        self.assertEqual(track.command_code, 31)
        self.say(track)
        (line,) = self.sent()
        self.assertIsInstance(tma2022.decode_command(line), tma2022.commands.BothAxesTrackTarget)
        self.answer(replies.CmdAcknowledgedReply(sequence_id=self.id_of(line), commander=CSC, timeout=-1.0))
        (ack,) = self.told()
        assert isinstance(ack, AckReply)
        self.assertEqual(ack.timeout_ms, 0)
        self.assertEqual(self.hhd.in_flight, 0, "an Ack is the whole answer")

    def id_of(self, line: bytes) -> int:
        """The bridge's id of a command."""
        return tma2022.decode_command(line).sequence_id

    def test_superseded(self) -> None:
        """The commander reads its own id of the command that took over, and its name in tma2020."""
        self.take()
        self.say(MOVE)
        move = self.key()
        self.say(old.AzimuthAxisStop(sequence_id=8, source=Source.HHD))
        self.answer(
            replies.CmdSupersededReply(
                sequence_id=move,
                commander=CSC,
                superseding_sequence_id=self.key(),
                superseding_commander=CSC,
                superseding_command_code=102,
            )
        )
        (noack,) = self.told()
        assert isinstance(noack, NoAckReply)
        self.assertEqual(noack.explanation, "superseded by AzimuthAxisStop (sequence id 8) of HHD")

    def test_without_command(self) -> None:
        """The rules of the bridge hold: the refusal names the holder, and the mount receives nothing."""
        self.say(MOVE)
        (noack,) = self.told()
        assert isinstance(noack, NoAckReply)
        self.assertEqual((noack.sequence_id, noack.explanation), (7, "refused: csc has command"))
        self.assertEqual(self.sent(), [])

    def test_stop_needs_no_command(self) -> None:
        """A stop of a commander without command goes to the mount."""
        self.say(old.BothAxesStop(**HEADER))
        (line,) = self.sent()
        self.assertIsInstance(tma2022.decode_command(line), tma2022.commands.BothAxesStop)

    def test_end_of_tracking_is_no_stop(self) -> None:
        """To disable tracking becomes a stop at the mount, and still needs command, as its own class says."""
        disable = old.AzimuthAxisEnableTracking(**HEADER, on=False)
        self.say(disable)
        (noack,) = self.told()
        self.assertIsInstance(noack, NoAckReply)
        self.assertEqual(self.sent(), [])
        self.take()
        stops = self.bridge.stops
        self.say(disable)
        (line,) = self.sent()
        self.assertIsInstance(tma2022.decode_command(line), tma2022.commands.AzimuthStop)
        self.assertEqual(self.bridge.stops, stops, "it overtakes nothing")

    def test_one_command_becomes_two(self) -> None:
        """The second part goes to the mount after the success of the first; the commander reads one end."""
        self.take()
        self.say(old.OilSupplySystemPower(**HEADER, on=True))
        (mode,) = self.sent()
        self.assertIsInstance(tma2022.decode_command(mode), tma2022.commands.OilSupplySystemSetMode)
        self.done(self.id_of(mode))
        self.assertEqual(self.told(), [])
        (power,) = self.sent()
        self.assertIsInstance(tma2022.decode_command(power), tma2022.commands.OilSupplySystemPower)
        self.done(self.id_of(power), 30.0)
        ack, done = self.told()
        assert isinstance(ack, AckReply) and isinstance(done, DoneReply)
        self.assertEqual((ack.sequence_id, ack.timeout_ms, done.sequence_id), (7, 30_000, 7))
        self.assertEqual(self.hhd.in_flight, 0)

    def test_second_part_refused(self) -> None:
        """A refusal of the second part ends the command once, and names both parts."""
        self.take()
        self.say(old.OilSupplySystemPower(**HEADER, on=True))
        self.done(self.key())
        rejected = replies.CmdRejectedReply(sequence_id=self.key(), commander=CSC, explanation="interlock")
        self.answer(rejected)
        (noack,) = self.told()
        assert isinstance(noack, NoAckReply)
        for part in ("interlock", "OilSupplySystemSetMode", "OilSupplySystemPower"):
            self.assertIn(part, noack.explanation)
        self.assertEqual(self.hhd.in_flight, 0)

    def test_first_part_refused(self) -> None:
        """A refusal of the first part has the reason in front, as that of any command."""
        self.say(old.OilSupplySystemPower(**HEADER, on=True))
        (noack,) = self.told()
        assert isinstance(noack, NoAckReply)
        self.assertEqual(noack.explanation, "refused: csc has command")

    def stopped_between(self, begin: int) -> NoAckReply:
        """Stop after the first part was sent; return the end of the command, after so many older lines."""
        self.say(old.OilSupplySystemPower(**HEADER, on=True))
        key = self.key()
        self.say(old.AzimuthAxisStop(sequence_id=8, source=Source.HHD))
        self.sent()
        self.done(key)
        self.assertEqual(self.sent(), [])
        [end] = self.told()[begin:]
        assert isinstance(end, NoAckReply)
        return end

    def test_stop_between_two_parts(self) -> None:
        """A stop overtakes the part that was not sent: nothing that came before a stop may follow it."""
        self.take()
        end = self.stopped_between(0)
        self.assertEqual(
            end.explanation,
            "not sent: overtaken by a stop (OilSupplySystemSetMode succeeded; OilSupplySystemPower was not "
            "sent)",
        )
        self.assertEqual((end.sequence_id, self.hhd.in_flight), (7, 1), "the stop")

    def test_lease_between_two_parts(self) -> None:
        """The second part belongs to the lease of the first, also if its sender has taken command again."""
        for takes_again in (True, False):
            self.take()
            self.sent()
            self.say(old.OilSupplySystemPower(**HEADER, on=True))
            key = self.key()
            self.ask(Commander.NONE)
            if takes_again:
                self.ask(Commander.HHD)
            self.told()
            self.done(key)
            [end] = self.told()
            assert isinstance(end, NoAckReply)
            self.assertTrue(end.explanation.startswith("refused: the lease of the command has ended"))

    def ask(self, commander: Commander) -> None:
        """The HHD asks for command, and the mount carries out all that the bridge sends it for that."""
        self.say(old.AskForCommand(sequence_id=2, source=Source.HHD, commander=commander))
        for line in self.sent():
            self.done(self.id_of(line))

    def test_second_part_is_never_too_many(self) -> None:
        """The limit of commands in flight was kept when the command came; a later ask is no reason."""
        self.take()
        self.say(old.OilSupplySystemPower(**HEADER, on=True))
        key = self.key()
        self.hhd.in_flight += 100  # commands beside it, as far as the limit knows
        self.done(key)
        self.assertEqual((len(self.sent()), self.told()), (1, []))

    def test_no_counterpart(self) -> None:
        """A command without a counterpart is refused with the nearest one; the connection goes on."""
        self.take()
        self.say(old.TopEndChillerTrackAmbient(**HEADER, on=False, temperature=5.0))
        (noack,) = self.told()
        assert isinstance(noack, NoAckReply)
        self.assertTrue(noack.explanation.startswith("refused: "))
        self.assertIn("TopEndChillerThermalSetpoint", noack.explanation)
        self.assertEqual((self.sent(), self.hhd.dismissals), ([], []))

    def test_wrong_parameter(self) -> None:
        """A wrong parameter is refused by its name; the connection goes on."""
        self.take()
        line = MOVE.encode()[:-2]
        self.hhd.say(line.replace(b"10.0", b"ten"))
        (noack,) = self.told()
        assert isinstance(noack, NoAckReply)
        self.assertTrue(
            noack.explanation.startswith("malformed: AzimuthAxisMove.position: "), noack.explanation
        )
        self.assertEqual(self.hhd.dismissals, [])

    def test_wrong_source(self) -> None:
        """A command of a source that is not known is refused with the reason, under the id and the source."""
        wrong = MOVE.encode()[:-2].replace(b"\n3\n", b"\n77\n", 1)
        self.hhd.say(wrong)
        lines = self.hhd.read()
        self.take()
        self.hhd.say(wrong)
        lines += self.hhd.read()
        for line, begin in zip(lines, ("refused: csc has command", "malformed: AzimuthAxisMove.source")):
            _, number, source, _, explanation = line.decode().split("\n")
            self.assertEqual((number, source), ("7", "77"))
            self.assertTrue(explanation.startswith(begin), explanation)

    def test_malformed_line(self) -> None:
        """A line that is no command ends the connection, as before a tma2020 mount."""
        self.hhd.say(b"7\nx\n3")
        self.assertEqual(len(self.hhd.dismissals), 1)

    def test_events(self) -> None:
        """A commander reads the events that tma2020 has; the others are dropped and counted by kind."""
        self.answer(replies.InPositionReply(axis=System.AZIMUTH, in_position=True))
        self.answer(replies.PowerStateReply(system=System.AZIMUTH, power_state=1))
        self.answer(
            replies.WarningReply(
                name="W", active=True, code=3, subsystem_id=100, subsystem_instance="AZ", description="hot"
            )
        )
        position, warning = self.told()
        assert isinstance(position, InPositionReply) and isinstance(warning, WarningReply)
        self.assertEqual((position.what, position.in_position), (0, True))
        self.assertEqual((warning.code, warning.active), (3, True))
        self.assertEqual(self.bridge.untranslated, {"POWER_STATE": 1})

    def test_last_values(self) -> None:
        """A commander that connects receives the last values in its own dialect."""
        self.answer(replies.InPositionReply(axis=System.AZIMUTH, in_position=True))
        (position,) = self.told(self.join("later"))
        self.assertIsInstance(position, InPositionReply)

    def test_observer(self) -> None:
        """An observer that speaks tma2020 reads the replies to every commander, as one of tma2022 does."""
        hall = self.join("hall", may_command=False)
        modern = RecordingClient(self.bridge, "modern", Source.HHD, may_command=False).come()
        modern.read()
        self.send(self.csc, tma2022.commands.AzimuthMove(sequence_id=5, position=10))
        self.done(self.key(), 2.0)
        ack, done = self.told(hall)
        assert isinstance(ack, AckReply) and isinstance(done, DoneReply)
        self.assertEqual((ack.sequence_id, ack.source, ack.timeout_ms), (5, Source.CSC, 2000))
        self.assertEqual([json.loads(line)["id"] for line in modern.read()], [1, 3])

    def test_lost_link(self) -> None:
        """The loss of the link ends a command, also between its two parts."""
        self.take()
        self.say(old.OilSupplySystemPower(**HEADER, on=True))
        self.bridge.link_down("cut")
        [noack] = [reply for reply in self.told() if isinstance(reply, NoAckReply)]
        self.assertTrue(noack.explanation.startswith("outcome unknown: "), noack.explanation)
        self.assertIn("OilSupplySystemSetMode has an unknown outcome", noack.explanation)

    def test_record(self) -> None:
        """The journal has the commander's own lines, and the mount's."""
        self.take()
        self.say(MOVE)
        (line,) = self.sent()
        self.assertIn(("hhd", "from", 1, MOVE.encode()[:-2]), self.journal.messages)
        self.assertIn(("controller", "to", 1, line), self.journal.messages)
