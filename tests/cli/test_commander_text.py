"""The commander's pure parts: names, lines, help, completion and reports."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.cli.commander import line, manual, names, report
from mtmount_twisted.cli.commander.completion import offers
from mtmount_twisted.commands import (
    AskForCommand,
    AzimuthAxisMove,
    AzimuthAxisPower,
    AzimuthAxisTrack,
    BothAxesTrack,
    Command,
    Commands,
    Enable,
    MainPowerSupplyPower,
    MirrorCoversPower,
)
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import Commander, Source
from mtmount_twisted.errors import (
    CommandError,
    CommandRefused,
    FieldError,
    MessageError,
    MTMountError,
    UnknownFieldError,
)
from mtmount_twisted.replies import (
    ErrorReply,
    InPositionReply,
    OnStateInfoReply,
    Replies,
    Reply,
    WarningReply,
)
from mtmount_twisted.visible import visible
from tests.support.strategies import messages

ROOT = Path(__file__).resolve().parent.parent.parent
TAI = 1.6e9


def parse(text: str) -> Any:
    """Parse a line at a fixed TAI."""
    return line.parse_line(text, tai=lambda: TAI)


def values(command: Command) -> dict[str, Any]:
    """A command's class and parameters, without the header."""
    infos = names.parameters(type(command))
    return {"class": type(command), **{info.name: getattr(command, info.name) for info in infos}}


def event(reply: Any) -> tuple[str, str]:
    """The label and the text of an event, as the session makes them."""
    return report.event(reply, DIALECT.facts_of(reply.encode()[:-2]), DIALECT.subsystems)


def words_before(text: str) -> list[str]:
    """What Tab offers behind this text."""
    return [offer.text for offer in offers(text)]


class NamesTests(SynchronousTestCase):
    """What a command may be called."""

    def test_every_way_to_write_a_name(self) -> None:
        """A command is found by class name, code name and short name, whatever the case."""
        for name in ("AzimuthAxisMove", "azimuth_axis_move", "AZIMUTH_AXIS_MOVE", "az_move", "AzMove"):
            self.assertIs(names.names_of(DIALECT).find(name), AzimuthAxisMove)

    def test_short_names_are_distinct(self) -> None:
        """Every command has a short name of its own, by which it is found."""
        self.assertEqual(len(names.names_of(DIALECT).short), len(Commands))
        for name, command in names.names_of(DIALECT).short.items():
            self.assertIs(names.names_of(DIALECT).find(name), command)

    def test_main_power(self) -> None:
        """The main power supply is turned on by the name that people give it."""
        self.assertIs(names.names_of(DIALECT).find("main_power"), MainPowerSupplyPower)

    def test_unknown_name_suggests(self) -> None:
        """A name that is nearly right is answered with the right one, others with where to look."""
        error = self.assertRaises(MessageError, names.names_of(DIALECT).find, "az_mov")
        self.assertIn("az_move", str(error))
        error = self.assertRaises(MessageError, names.names_of(DIALECT).find, "zzzzzz")
        self.assertIn("'help' lists them", str(error))

    def test_table_in_the_manual(self) -> None:
        """``docs/reference/commander.rst`` lists every command by its short name and parameters."""
        text = (ROOT / "docs" / "reference" / "commander.rst").read_text(encoding="utf-8")
        listed = [row.strip() for row in text.splitlines()]
        rows = [f"``{manual.usage(command)}``  {command.__name__}" for command in Commands]
        squeezed = [" ".join(row.split()) for row in listed]
        missing = [row for row in rows if " ".join(row.split()) not in squeezed]
        self.assertEqual(missing, [])


class LineTests(SynchronousTestCase):
    """What a line asks for."""

    def refused(self, text: str, *words: str, error: type[MTMountError] = FieldError) -> None:
        """Assert that a line is refused with an error that holds these words."""
        message = str(self.assertRaises(error, parse, text))
        for word in words:
            self.assertIn(word, message)

    def test_by_name_and_in_order(self) -> None:
        """Values go by name, or without names in the order of declaration."""
        expected = values(AzimuthAxisMove(position=10, velocity=2))
        for text in (
            "AzimuthAxisMove position=10 velocity=2",
            "az_move 10 2",
            "az_move 10 velocity=2",
            "  AZ_MOVE   velocity = 2  POSITION= 10  # both",
        ):
            self.assertEqual(values(parse(text)), expected, text)

    def test_required_values_come_first(self) -> None:
        """As many values as must be given go to those that must be given."""
        self.assertEqual(values(parse("covers_power on")), values(MirrorCoversPower(on=True)))
        self.assertEqual(values(parse("covers_power 2 off")), values(MirrorCoversPower(drive=2, on=False)))
        self.assertEqual(
            values(parse("both_track 1 50 0.1 0.2")),
            values(
                BothAxesTrack(azimuth=1, elevation=50, azimuth_velocity=0.1, elevation_velocity=0.2, tai=TAI)
            ),
        )

    def test_tai_is_filled_in(self) -> None:
        """A ``tai`` that is left out is the current one; one that is given is kept."""
        self.assertEqual(parse("az_track 1 0").tai, TAI)
        self.assertEqual(parse("az_track 1 0 5").tai, 5)
        self.assertEqual(parse("az_track 1 0 tai=6").tai, 6)

    def test_source(self) -> None:
        """A command is sent by the commander that this is."""
        command = line.parse_line("enable", source=Source.HHD)
        assert isinstance(command, Enable)
        self.assertEqual(command.source, Source.HHD)

    def test_asks_for_itself(self) -> None:
        """An ``AskForCommand`` without a value asks for whoever types it; one with a value for that one."""
        for source in (Source.CSC, Source.EUI, Source.HHD):
            for text in ("ask_for_command", "AskForCommand"):
                asked = line.parse_line(text, source=source)
                assert isinstance(asked, AskForCommand)
                self.assertEqual((asked.commander.name, asked.source), (source.name, source))
        given = line.parse_line("ask_for_command NONE", source=Source.HHD)
        assert isinstance(given, AskForCommand)
        self.assertEqual(given.commander, Commander.NONE)

    def test_bools(self) -> None:
        """A bool is on or off, true or false, 1 or 0, and nothing else."""
        for text, on in (("on", True), ("Off", False), ("TRUE", True), ("false", False), ("1", True)):
            self.assertIs(parse(f"az_power {text}").on, on)
        self.refused("az_power 2", "AzimuthAxisPower.on", "'2'", "on or off")

    def test_enums(self) -> None:
        """An enum's member goes by name or number."""
        for text in ("ask_for_command EUI", "ask_for_command commander=eui", "ask_for_command 2"):
            self.assertEqual(parse(text).commander, Commander.EUI)
        self.assertEqual(parse("ask_for_command").commander, Commander.CSC)
        self.refused("ask_for_command PXI", "AskForCommand.commander", "'PXI'", "3 HHD")

    def test_blank_and_comment(self) -> None:
        """Blank lines and comments ask for nothing."""
        for text in ("", "   ", "# az_move 10", "\t#"):
            self.assertIsNone(parse(text))

    def test_own_words(self) -> None:
        """Help, wait and quit are not for the mount."""
        self.assertEqual(parse("help"), line.Help(None))
        self.assertEqual(parse("? az_move"), line.Help(AzimuthAxisMove))
        self.assertEqual(parse("help wait"), line.Help(None))
        self.assertEqual(parse("wait 1.5"), line.Wait(1.5))
        self.assertEqual((parse("quit"), parse("EXIT")), (line.Quit(), line.Quit()))

    def test_own_words_refused(self) -> None:
        """Our own words too say what they expected."""
        for text, word in (
            ("help az_move el_move", "at most one"),
            ("help nothing", "name of a command"),
            ("wait", "number"),
            ("wait -1", "from 0"),
            ("wait 1e6", "86400"),
            ("wait soon", "'soon'"),
            ("quit now", "nothing"),
        ):
            self.refused(text, word, error=MessageError)

    def test_bad_values(self) -> None:
        """A bad value is refused with the field, the value and what was expected with its unit."""
        self.refused("az_move ten", "AzimuthAxisMove.position", "'ten'", "number in deg")
        self.refused("az_move nan", "AzimuthAxisMove.position", "'nan'")
        self.refused("covers_stop 1_0", "MirrorCoversStop.drive", "'1_0'", "an integer")
        self.refused("az_move position=", "AzimuthAxisMove.position", "''")

    def test_wrong_number_of_values(self) -> None:
        """A value too few, too many or given twice is refused."""
        self.refused("az_move", "AzimuthAxisMove.position", "required", "deg")
        self.refused("az_move 1 2 3 4 5", "at most 4", error=MessageError)
        self.refused("enable 1", "at most 0", "none", error=MessageError)
        self.refused("az_move position=1 position=2", "one value", "'2'")
        self.refused("az_move position=1 2", "without a name before", error=MessageError)

    def test_unknown_parameter(self) -> None:
        """A parameter that the command does not have is refused with those that it has."""
        self.refused("az_move pos=1", "'pos'", "position, velocity", error=UnknownFieldError)
        self.refused("az_move source=HHD 1", error=MessageError)
        self.refused("az_move source=HHD", "'source'", error=UnknownFieldError)

    @given(st.sampled_from(Commands).flatmap(messages))
    def test_what_is_shown_can_be_entered(self, command: Any) -> None:
        """The text that a command is shown as makes that command again."""
        self.assertEqual(values(parse(report.command_text(command))), values(command))

    @given(
        st.text()
        | st.lists(
            st.sampled_from([*names.names_of(DIALECT).short, *line.OWN_WORDS, "on", "position=", "1", "="])
            | st.text(string.printable, max_size=5)
        ).map(" ".join)
    )
    def test_any_text(self, text: str) -> None:
        """Any text either asks for something or is refused with one error of ours."""
        try:
            parse(text)
        except MTMountError as error:
            self.assertTrue(str(error))


class ManualTests(SynchronousTestCase):
    """The help."""

    def test_all(self) -> None:
        """``help`` lists every command and our own words."""
        text = manual.help_all()
        for word in (*names.names_of(DIALECT).short, "wait", "quit", "help"):
            self.assertIn(word, text)

    def test_one(self) -> None:
        """The help on a command tells types, units, defaults and meaning, from its declaration."""
        text = manual.help_command(AzimuthAxisMove)
        self.assertTrue(text.startswith("az_move position [velocity] [acceleration] [jerk]\n"))
        for word in ("float", "deg/s²", "required", "default: 0.0", "Position to move to.", "103", "Done"):
            self.assertIn(word, text)

    def test_kinds(self) -> None:
        """Bools, enums, and the time that is filled in are explained in words a person can enter."""
        self.assertIn("on|off", manual.help_command(AzimuthAxisPower))
        self.assertIn("NONE|CSC|EUI|HHD  ", manual.help_command(AskForCommand))
        self.assertIn("default: this commander", manual.help_command(AskForCommand))
        text = manual.help_command(AzimuthAxisTrack)
        self.assertIn("default: now", text)
        self.assertIn("an Ack and nothing more", text)

    def test_every_parameter_is_explained(self) -> None:
        """The help on each command names each of its parameters, with its documentation."""
        for command in Commands:
            text = manual.help_command(command)
            self.assertIn(manual.summary(command), text)
            for info in names.parameters(command):
                self.assertIn(info.name, text)
                self.assertIn(info.doc.replace("`", ""), text)


class CompletionTests(SynchronousTestCase):
    """What Tab offers."""

    def test_commands(self) -> None:
        """The first word is a command's short name, its class name behind a capital, or ours."""
        self.assertEqual(
            words_before("az_p") + words_before("  AzimuthAxisP"), ["az_power", "AzimuthAxisPower"]
        )
        self.assertEqual(words_before("qu"), ["quit"])
        self.assertEqual(set(words_before("")), {*names.names_of(DIALECT).short, *line.OWN_WORDS})

    def test_what_is_replaced(self) -> None:
        """An offer replaces what was typed of its own word and says what it means."""
        (offer,) = offers("az_power o")[:1]
        self.assertEqual((offer.text, offer.replaces), ("on", 1))
        self.assertIn("turn on", offer.doc)

    def test_help(self) -> None:
        """Behind ``help`` comes one command."""
        self.assertEqual(words_before("help ccw_mo"), ["ccw_move"])
        self.assertEqual(words_before("help ccw_move "), [])

    def test_parameters(self) -> None:
        """Parameters that have no value yet are offered by name."""
        self.assertEqual(words_before("az_move "), ["position=", "velocity=", "acceleration=", "jerk="])
        self.assertEqual(words_before("az_move 10 j"), ["jerk="])
        self.assertEqual(words_before("az_move jerk=1 "), ["position=", "velocity=", "acceleration="])
        self.assertEqual(words_before("enable "), [])

    def test_values(self) -> None:
        """The values of bools and enums are offered, with the parameter's name and without."""
        self.assertEqual(words_before("ask_for_command commander=c"), ["CSC"])
        self.assertEqual(words_before("ask_for_command "), ["NONE", "CSC", "EUI", "HHD", "commander="])
        self.assertEqual(words_before("covers_power "), ["on", "off", "drive=", "on="])
        self.assertEqual(words_before("covers_power 1 of"), ["off"])
        self.assertEqual(words_before("az_move position="), [])

    def test_nothing_to_offer(self) -> None:
        """Behind an unknown command, an unknown parameter or in a comment there is no offer."""
        for text in ("nothing ", "az_move pos=", "# az", "wait "):
            self.assertEqual(words_before(text), [], text)

    @given(st.sampled_from(Commands), st.data())
    def test_offered_names_are_taken(self, command: type[Command], data: st.DataObject) -> None:
        """Each name that is offered for a command is a parameter that it has."""
        known = {f"{info.name}=" for info in names.parameters(command)} | {
            "on",
            "off",
            *Commander.__members__,
        }
        text = data.draw(st.sampled_from(["", "1 ", "on ", "1 on "]))
        self.assertLessEqual(set(words_before(f"{DIALECT.short_name(command)} {text}")), known)


class ReportTests(SynchronousTestCase):
    """What is said of what happened."""

    def test_stamp(self) -> None:
        """A line begins with the time to the millisecond and a label in a column."""
        when = datetime(2020, 2, 27, 14, 48, 27, 469000, UTC)
        self.assertEqual(report.stamped(when, "done", "#1 Enable"), "14:48:27.469  done        #1 Enable")

    def test_terminal_is_safe(self) -> None:
        """What the mount says can't move the cursor; other scripts are left as they are."""
        self.assertEqual(visible("a\x1b[2Jb\n°é"), "a\\x1b[2Jb\\n°é")

    def test_error(self) -> None:
        """An error says whether it is there now, whether it must be reset, and where it comes from."""
        for on, active, label, words in (
            (True, True, "ERROR", "active now, latched until reset"),
            (True, False, "ERROR", "no longer active, latched"),
            (False, True, "ERROR", "active now, not latched"),
            (False, False, "error over", "code 903"),
        ):
            reply = ErrorReply(on=on, active=active, code=903, subsystem="900. Top", extra_data=("hot", "x"))
            got = event(reply)
            self.assertEqual(got[0], label)
            self.assertIn(words, got[1])
            self.assertTrue(got[1].endswith("code 903 (MIRROR_COVERS + 3), 900. Top; hot; x"))

    def test_warning(self) -> None:
        """A warning begins and ends; an unknown subsystem's code stands as it is."""
        began = event(WarningReply(active=True, code=99999, subsystem="x"))
        ended = event(WarningReply(active=False, code=101, subsystem="100. y"))
        self.assertEqual(began, ("WARNING", "code 99999, x"))
        self.assertEqual(ended, ("warn. over", "code 101 (AZIMUTH_AXIS + 1), 100. y"))

    def test_state_and_position(self) -> None:
        """The state stands as the mount words it; an axis goes by its name."""
        self.assertEqual(event(OnStateInfoReply(description="Idle")), ("state", "Idle"))
        for what, in_position, text in (
            (0, True, "azimuth is in position"),
            (1, False, "elevation is NOT in position"),
            (7, True, "axis 7 is in position"),
        ):
            reply = InPositionReply(what=what, in_position=in_position)
            self.assertEqual(event(reply), ("position", text))

    def test_acks(self) -> None:
        """An Ack tells when it came and how long the mount expects, if it says so."""
        command = AzimuthAxisMove(position=1, sequence_id=7)
        self.assertEqual(
            report.ack_text(command, 3.25, 0.0104),
            "#7 AzimuthAxisMove after 0.010 s, expected to take 3.25 s",
        )
        self.assertEqual(report.ack_text(command, 0, 0.5), "#7 AzimuthAxisMove after 0.500 s")

    def test_every_ending_has_a_label(self) -> None:
        """Each way in which a command can end has a label of its own."""
        self.assertEqual(set(report.ENDINGS), set(CommandError.__subclasses__()))
        self.assertEqual(len(set(report.ENDINGS.values())), len(report.ENDINGS))
        error = CommandRefused(Enable(sequence_id=3), "EUI has command")
        self.assertEqual(report.ending(error, 0.1), ("REFUSED", "#3 Enable after 0.100 s: EUI has command"))

    @given(st.sampled_from(Replies[3:]).flatmap(messages))
    def test_any_event(self, reply: Any) -> None:
        """Every event that the mount can send makes one printable line."""
        assert isinstance(reply, Reply)
        text = report.stamped(datetime(2020, 1, 1, tzinfo=UTC), *event(reply))
        self.assertTrue(text.isprintable())
