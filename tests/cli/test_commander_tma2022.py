"""``mtmount-commander --dialect tma2022``: names, help, completion, a session, and a script over a socket."""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.cli.commander import line, manual, names
from mtmount_twisted.cli.commander.completion import offers
from mtmount_twisted.cli.commander.options import parse_options
from mtmount_twisted.cli.commander.program import Program
from mtmount_twisted.cli.commander.script import Lines
from mtmount_twisted.cli.commander.session import Session
from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.commands import AzimuthAxisMove
from mtmount_twisted.dialects.tma2022 import commands, replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import LimitsMask, PowerState, Source, SubsystemId, System
from mtmount_twisted.errors import MessageError
from mtmount_twisted.simulator.tma2022.catalogue import entries
from mtmount_twisted.testing import HOST, MemoryReactor
from tests.support.mounts_tma2022 import MountCase
from tests.support.pairs import LOG

NAMED = frozenset(map(int, SubsystemId))
"""Numbers of the subsystems that have a name."""


def parse(text: str, **options: Any) -> Any:
    """The command in a line."""
    return line.parse_line(text, dialect=DIALECT, **options)


class TextTests(SynchronousTestCase):
    """What a person types, and reads of commands."""

    def test_names(self) -> None:
        """Each command has its three names; those of the other protocol are unknown."""
        known = names.names_of(DIALECT)
        self.assertEqual(len(known.short), len(commands.Commands))
        for name, command in known.short.items():
            self.assertIs(known.find(name), command)
            self.assertIs(known.find(command.__name__), command)
            self.assertIs(known.find(command.command_code.name), command)
        self.assertIs(known.find("az_move"), commands.AzimuthMove)
        self.assertIs(known.find("both_power"), commands.BothAxesPower)
        error = self.assertRaises(MessageError, known.find, "AzimuthAxisMove")
        self.assertIn("did you mean", str(error))

    def test_lines(self) -> None:
        """Values go by order or by name; a set of settings is text; an ask without a value is for itself."""
        move = parse("az_move 10 velocity=2", source=2)
        self.assertIsInstance(move, commands.AzimuthMove)
        self.assertEqual((move.position, move.velocity, move.source), (10, 2, Source.EUI))
        self.assertEqual(parse("chiller_power_on").command_code, 2201)
        self.assertEqual(parse("apply_settings_set Default").settings, "Default")
        self.assertEqual(parse("az_track_target 1 2", tai=lambda: 5.0).tai, 5)
        self.assertEqual(parse("ask_for_command", source=3).commander, Source.HHD)
        self.assertEqual(parse("ask_for_command none", source=3).commander, Source.NONE)
        for text, asks in (("ask_for_command", True), ("Check ask_for_command", True), ("check", False)):
            self.assertIs(line.asks_for_itself(text, DIALECT), asks)
        self.assertFalse(line.asks_for_itself("check ask_for_command none", DIALECT))

    def test_help(self) -> None:
        """``help`` lists every command, and explains each with its code and its answer."""
        text = manual.help_all(DIALECT)
        for name in names.names_of(DIALECT).short:
            self.assertIn(name, text)
        text = manual.help_command(commands.AskForCommand, DIALECT)
        self.assertIn("ask_for_command [commander]", text)
        self.assertIn("code 2103", text)
        self.assertIn("the mount answers with nothing", manual.help_command(commands.Heartbeat, DIALECT))
        for command in commands.Commands:
            self.assertIn(manual.summary(command), manual.help_command(command, DIALECT))

    def test_names_of_2020(self) -> None:
        """Those that tma2022 lacks are accepted; ``help`` explains the command that each becomes."""
        self.assertIsInstance(parse("az_move 1"), commands.AzimuthMove)
        self.assertIsInstance(parse("AzimuthAxisMove 1"), AzimuthAxisMove)
        self.assertEqual(parse("help AzimuthAxisMove"), line.Help(commands.AzimuthMove))
        self.assertFalse(line.asks_for_itself("AzimuthAxisStop", DIALECT))
        self.assertIn("did you mean", str(self.assertRaises(MessageError, parse, "AzimuthAxisMoev 1")))

    def test_names_before_2020(self) -> None:
        """A name that only tma2022 has is a fault before a tma2020 mount; it names those that do the same."""
        for text, words in (
            ("both_power on", "az_power and el_power of tma2020, which do the same"),
            ("AzimuthMove 1", "az_move of tma2020, which does the same"),
        ):
            self.assertIn(words, str(self.assertRaises(MessageError, line.parse_line, text)))

    def test_completion(self) -> None:
        """Tab completes names, parameters and members."""
        self.assertEqual([offer.text for offer in offers("az_mo", DIALECT)], ["az_move"])
        self.assertEqual([offer.text for offer in offers("CabinetZ Cabinet", DIALECT)], [])
        self.assertIn("TRACK_AMBIENT", [offer.text for offer in offers(f"{THERMAL} mode=", DIALECT)])
        self.assertIn("CSC", [offer.text for offer in offers("ask_for_command ", DIALECT)])


THERMAL = "azimuth_drives_thermal_control_mode"


class OptionTests(SynchronousTestCase):
    """The command line."""

    def test_one_connection(self) -> None:
        """Commands and replies use one connection to the mount's command port."""
        options = parse_options(["--dialect", "tma2022", "--host", "mount", "--command-port", "30015"])
        self.assertIs(options.dialect, DIALECT)
        self.assertEqual((options.connect, options.at_port), (("mount", 30015), False))
        options = parse_options(["--dialect", "tma2022", "--connect", "desk:30100"])
        self.assertEqual((options.connect, options.at_port), (("desk", 30100), True))

    def test_wrong(self) -> None:
        """An unknown dialect, and options for replies on another connection, are refused in one line."""
        for arguments, words in (
            (["--dialect", "tma2021"], "--dialect"),
            (
                ["--dialect", "tma2022", "--reply-port", "1"],
                "--reply-port: tma2022 replies on the one connection",
            ),
            (["--dialect", "tma2022", "--reply-host", "x"], "--reply-host"),
        ):
            told = io.StringIO()
            with contextlib.redirect_stderr(told), self.assertRaises(SystemExit) as ended:
                parse_options(arguments)
            self.assertEqual(ended.exception.code, 2)
            self.assertIn(words, told.getvalue())


class SessionTests(MountCase):
    """A session before a mount in memory."""

    def setUp(self, **options: Any) -> None:
        super().setUp(**options)
        self.shown: list[str] = []
        self.session = Session(
            self.mount,
            self.shown.append,
            clock=self.reactor,
            monotonic=self.reactor.seconds,
            now=lambda: datetime(2026, 2, 27, 14, 48, 27, tzinfo=UTC),
        )
        self.addCleanup(self.session.close)

    def take(self) -> list[str]:
        """What was shown since the last look, without the time."""
        shown, self.shown[:] = [" ".join(text.split()[1:]) for text in self.shown], []
        return shown

    def test_command(self) -> None:
        """A command is shown with the id that it gets, and followed to its end."""
        self.session.start("az_move 10")
        (command,) = self.received()
        number = command.sequence_id
        self.reply(
            replies.CmdAcknowledgedReply(sequence_id=number, timeout=2.0),
            replies.CmdSupersededReply(sequence_id=number, superseding_command_code=102),
        )
        shown = self.take()
        self.assertEqual(shown[0], f"command #{number} AzimuthMove position=10.0")
        self.assertIn("expected to take 2 s", shown[1])
        self.assertIn(f"SUPERSEDED #{number} AzimuthMove after", shown[2])
        self.assertIn("superseded by AzimuthStop", shown[2])

    def done(self, *sequence_ids: int) -> None:
        """The mount carries out commands."""
        for number in sequence_ids:
            acked = replies.CmdAcknowledgedReply(sequence_id=number, timeout=1.0)
            self.reply(acked, replies.CmdSucceededReply(sequence_id=number))

    def test_command_of_2020(self) -> None:
        """A command that only tma2020 has is translated, and shown as the mount receives it."""
        for text, shown in (
            ("AzimuthAxisMove 10", "AzimuthMove position=10.0"),
            ("chiller_power on", "TopEndChillerPowerOn"),
            ("AZIMUTH_AXIS_ENABLE_TRACKING off", "AzimuthStop"),
        ):
            self.session.start(text)
            (command,) = self.received()
            number = command.sequence_id
            self.assertGreater(number, 0)
            self.assertEqual(self.take(), [f"command #{number} {shown}"])
            self.done(number)
            self.take()

    def test_one_becomes_two(self) -> None:
        """The second command follows the success of the first."""
        running = self.session.run("OilSupplySystemPowerOil on")
        (mode,) = self.received()
        self.assertIsInstance(mode, commands.OilSupplySystemSetMode)
        self.assertFalse(mode.auto)
        self.done(mode.sequence_id)
        (power,) = self.received()
        self.assertIsInstance(power, commands.OilSupplySystemPowerCirculationPump)
        self.assertNotEqual(power.sequence_id, mode.sequence_id)
        self.assertNoResult(running)
        self.done(power.sequence_id)
        self.assertTrue(self.successResultOf(running))

    def test_first_of_two_fails(self) -> None:
        """Without this success it is not sent."""
        running = self.session.run("OilSupplySystemPowerOil on")
        (mode,) = self.received()
        self.reply(replies.CmdRejectedReply(sequence_id=mode.sequence_id, explanation="no"))
        self.assertFalse(self.successResultOf(running))
        self.assertEqual(self.received(), [])

    def test_not_translated(self) -> None:
        """A command that is not translated is a fault of the line, which names the nearest one."""
        reason = self.failureResultOf(self.session.run("TopEndChillerTrackAmbient off 5"), MessageError)
        self.assertIn("TopEndChillerThermalSetpoint", str(reason.value))
        self.assertEqual(self.received(), [])

    def test_events(self) -> None:
        """Events are told in words, whatever they are about; the settings without their values."""
        for event, text in (
            (replies.CommanderReply(actual_commander=Source.HHD), "holder the mount says: HHD has command"),
            (
                replies.CommanderReply(actual_commander=Source.NONE),
                "holder the mount says: nobody has command",
            ),
            (
                replies.UnknownReply(id=20, timestamp=0.0, parameters={"actualCommander": 77}),
                "holder the mount says: source 77 has command",
            ),
            (replies.StateInfoReply(state="Enable"), "state Enable"),
            (
                replies.InPositionReply(axis=System.CAMERA_CABLE_WRAP, in_position=False),
                "position camera cable wrap is NOT in position",
            ),
            (
                replies.PowerStateReply(system=System.MIRROR_COVERS, power_state=PowerState.ON),
                "event PowerState system=MIRROR_COVERS power_state=ON",
            ),
            (
                replies.AvailableSettingsReply(
                    sets=[
                        replies.SettingsSet(name, "for tests", "2019-11-07 16:30:35", "")
                        for name in ("Default", "Fast")
                    ]
                ),
                "event AvailableSettings sets=Default,Fast",
            ),
            (
                replies.LimitsReply(system=System.AZIMUTH, limits=[LimitsMask.L1_MIN, LimitsMask(0)]),
                "event Limits system=AZIMUTH limits=L1_MIN,0",
            ),
            (
                replies.DetailedSettingsAppliedReply(
                    set_name="Default", all_settings_match_set=True, bosch_system={"Password": "hunter2"}
                ),
                "event DetailedSettingsApplied set_name=Default all_settings_match_set=True "
                "bosch_system=<1 settings>",
            ),
            (
                replies.ErrorReply(
                    name="Hot",
                    subsystem_id=900,
                    subsystem_instance="900.A",
                    active=True,
                    latched=True,
                    code=905,
                    description="too hot",
                ),
                "ERROR active now, latched until reset: code 905 (MIRROR_COVERS + 5), 900.A: Hot; too hot",
            ),
        ):
            self.reply(event)
            self.assertEqual(self.take(), [text])
        self.reply(b'{"id":999,"timestamp":1,"parameters":{"Password":"hunter2"}}\r\n')
        (shown,) = self.take()
        self.assertIn("UnknownReply(id=999", shown)
        self.assertNotIn("hunter2", shown)

    def test_alarms_of_the_catalogue(self) -> None:
        """The name in an alarm's code is that of the alarm's own subsystem, for each alarm of the vendor."""
        for entry in entries():
            self.reply(
                replies.WarningReply(
                    name=entry.name,
                    subsystem_id=entry.subsystem_id,
                    subsystem_instance=f"{entry.subsystem_id}.A",
                    active=True,
                    code=entry.code,
                    description=entry.meaning,
                )
            )
            (shown,) = self.take()
            number = entry.code % 100
            expected = f"code {entry.code}, "
            if entry.code // 100 * 100 == entry.subsystem_id and entry.subsystem_id in NAMED:
                name = SubsystemId(entry.subsystem_id).name
                expected = f"code {entry.code} ({name} + {number}), "
            self.assertIn(expected, shown)

    def test_repeats(self) -> None:
        """An event that changed nothing is not shown again: one mount sends 35 of these a second."""
        for on in (PowerState.ON, PowerState.ON, PowerState.OFF, PowerState.OFF):
            for system in (System.AZIMUTH, System.ELEVATION):
                self.reply(
                    replies.PowerStateReply(timestamp=self.reactor.seconds(), system=system, power_state=on)
                )
                self.turn(0.1)
        self.assertEqual(
            self.take(),
            [
                f"event PowerState system={system} power_state={on}"
                for on in ("ON", "OFF")
                for system in ("AZIMUTH", "ELEVATION")
            ],
        )


class ProgramTests(SynchronousTestCase):
    """The program, and a mount on a network in memory."""

    def test_script(self) -> None:
        """A script takes command, sends the heartbeat while it has it, moves, and gives command up."""
        reactor = MemoryReactor()
        mount = DuplexCommunicator("mount", HOST, 0, LOG, listen=True, reactor=reactor, dialect=DIALECT)
        received: list[str] = []

        def answer(command: Any) -> None:
            received.append(type(command).__name__)
            if isinstance(command, commands.Heartbeat):
                return
            number = command.sequence_id
            if isinstance(command, commands.AskForCommand):
                mount.write(replies.CommanderReply(actual_commander=command.commander))
            mount.write(replies.CmdAcknowledgedReply(sequence_id=number, timeout=1.0))
            mount.write(replies.CmdSucceededReply(sequence_id=number))

        serving = Deferred.fromCoroutine(mount.each(answer, lambda error: received.append(str(error))))
        port = str(mount.server_port)
        arguments = ["--dialect", "tma2022", "--host", HOST, "--command-port", port, "--web", "none"]
        shown: list[str] = []
        complaints: list[str] = []
        program = Program(reactor, parse_options(arguments), shown.append, complaints.append)
        script = [b"ask_for_command\naz_power on\nwait 2.5\naz_move 10\nask_for_command none\n", b""]
        lines = Lines(lambda: succeed(script.pop(0)))
        running = Deferred.fromCoroutine(program.run(lambda: Deferred.fromCoroutine(program.run_pipe(lines))))
        for _ in range(100):
            reactor.advance(0.05)
        self.assertEqual((self.successResultOf(running), complaints), (0, []))
        closed = mount.close()
        reactor.advance(0)
        self.successResultOf(closed)
        self.successResultOf(serving)
        self.assertEqual(reactor.getDelayedCalls(), [])
        beat = "Heartbeat"
        expected = ["AskForCommand", beat, "AzimuthPower", beat, beat, "AzimuthMove", "AskForCommand"]
        self.assertEqual(received, expected)
        self.assertTrue(any("the mount says: CSC has command" in text for text in shown))
        self.assertTrue(any("replies come back on the same connection" in text for text in shown))
