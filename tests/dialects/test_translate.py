"""`translate`: commands of tma2020 for a mount of tma2022, and its replies for their commanders."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.dialect import Meaning, Outcome
from mtmount_twisted.dialects.tma2020 import commands as old
from mtmount_twisted.dialects.tma2020 import replies as old_replies
from mtmount_twisted.dialects.tma2020.codec import decode_command, decode_reply
from mtmount_twisted.dialects.tma2020.enums import CommandCode, Source
from mtmount_twisted.dialects.tma2022 import commands as new
from mtmount_twisted.dialects.tma2022 import replies as new_replies
from mtmount_twisted.dialects.tma2022.enums import Source as NewSource
from mtmount_twisted.dialects.tma2022.enums import System
from mtmount_twisted.dialects.translate import (
    BACKWARDS,
    TABLE,
    Dropped,
    Refusal,
    Translated,
    counterpart_of,
    nearest_to,
    refuse_code,
    row_of,
    translate_answer,
    translate_command,
    translate_line,
    translate_reply,
)
from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH
from tests.support import strategies
from tests.support.pages import tables

from .strategies import line_of
from .strategies import replies as any_reply

SENT = "2020-02-27T14:48:27.500"
TAI_SENT = "1582814944.5"
"""`SENT` in TAI: 1582814907.5 UTC and 37 leap seconds."""

SAME = (
    "10 11 32 101 102 103 105 106 107 201 202 401 402 403 405 406 407 501 502 601 602 805 901 902 905 906 "
    "907 1001 1002 1003 1004 1005 1006 1007 1501 1502 1505 1506 2203"
)
"""The codes with the same number and parameters (the protocol page, "One program for both generations")."""

OTHERS: dict[str, list[str] | None] = {
    # Code and parameters, as the commander sends them: the same of each command for the mount; None: refused.
    "30|10.0|45.0|1.5|2.0|0": ["33|10.0|45.0|1.5|2.0|0.0|0.0|0.0|0.0"],
    "30|10.0|45.0|1.5|2.0|-1": ["33|-10.0|45.0|-1.5|2.0|0.0|0.0|0.0|0.0"],
    "30|0.0|45.0|0.0|0.0|-1": ["33|0.0|45.0|0.0|0.0|0.0|0.0|0.0|0.0"],
    "30|10.0|45.0|1.5|2.0|1": None,
    "31|10.0|45.0|1.5|2.0|0|1700000000.5": ["35|10.0|45.0|1.5|2.0|1700000000.5"],
    "31|10.0|45.0|1.5|2.0|-1|1700000000.5": ["35|-10.0|45.0|-1.5|2.0|1700000000.5"],
    "31|10.0|45.0|1.5|2.0|2|1700000000.5": None,
    "108|1": ["108|1"],
    "108|0": ["102"],
    "408|1": ["408|1"],
    "408|0": ["402"],
    "801|1": ["806|1", "801|1"],
    "801|0": ["806|1", "801|0"],
    "802|1": ["806|0", "802|1"],
    "802|0": ["806|0", "802|0"],
    "803|1": ["806|0", "803|1"],
    "804|0": ["806|0", "804|0"],
    "1009|1": ["1009|1"],
    "1009|0": ["1002"],
    "1801": ["1801|" + ":".join(str(index) for index in range(40))],
    "2101|0": ["2103|0"],
    "2101|3": ["2103|3"],
    "2201|1": ["2201"],
    "2201|0": ["2202"],
    "2202|1|-3.5": ["2216|-3.5"],
    "2202|0|-3.5": None,
}


def old_line(text: str, sequence_id: int = 7, source: int = 1, sent: str = SENT) -> bytes:
    """The line of a command of tma2020 from its code and its parameters."""
    code, *parameters = text.split("|")
    return "\n".join([str(sequence_id), code, str(source), sent, *parameters]).encode()


def text_of(command: new.Command) -> str:
    """The code and the parameters of a command of tma2022, as on the wire."""
    _, code, _, _, *parameters = command.str_fields()
    return "|".join([code, *parameters])


def translated(line: bytes) -> Translated:
    """The translation of a line that is not refused."""
    translation = translate_line(line)
    assert isinstance(translation, Translated), translation
    return translation


@st.composite
def commands(draw: st.DrawFn) -> old.Command:
    """Valid commands of every class of tma2020 that has a row."""
    command = draw(st.sampled_from(tuple(TABLE)))
    fields = [info for info in command.field_infos if not info.constant]
    made: old.Command = command(**{info.name: draw(strategies.values(info)) for info in fields})
    return made


class TableTests(SynchronousTestCase):
    """The table and the protocol page."""

    def test_every_class(self) -> None:
        """This test forgets no command class of tma2020."""
        told = {int(code) for code in SAME.split()} | {int(text.split("|")[0]) for text in OTHERS}
        hint = "each class of tma2020 is in SAME or OTHERS, in OTHERS with None if it has no row in TABLE"
        self.assertEqual(told, {int(code) for code in old.CommandDict}, hint)

    def test_no_row(self) -> None:
        """A command without a row is refused by its name; the mount receives nothing."""

        class Defrost(old.Enable):
            """Defrost the mount."""

        self.assertEqual(translate_command(Defrost()), Refusal("tma2022 has no counterpart of Defrost"))

    def test_others(self) -> None:
        """Each command that changes becomes what the page says."""
        for text, expected in OTHERS.items():
            translation = translate_line(old_line(text))
            if expected is None:
                self.assertIsInstance(translation, Refusal, text)
            else:
                assert isinstance(translation, Translated), text
                self.assertEqual([text_of(command) for command in translation.commands], expected)

    def test_header(self) -> None:
        """Id and source are the commander's, and the time of sending is the same in TAI."""
        for command in translated(old_line("801|1", 2147483647, 3)).commands:
            id_text, _, source, timestamp, *_ = command.str_fields()
            self.assertEqual((id_text, source, timestamp), ("2147483647", "3", TAI_SENT))

    def test_time_of_old(self) -> None:
        """A time in a leap second, or before 2017, is translated as well."""
        for sent in ("2016-12-31T23:59:60.500", "1970-01-01", "0001-01-01T00:00:00.000"):
            [command] = translated(old_line("32", sent=sent)).commands
            self.assertEqual(tma2022.decode_command(command.encode()[:-2]), command)

    def test_refusals(self) -> None:
        """The reason names the nearest commands."""
        chiller = translate_line(old_line("2202|0|1.0"))
        assert isinstance(chiller, Refusal)
        self.assertIn("TopEndChillerThermalSetpoint", chiller.reason)
        self.assertIn("TopEndChillerPowerOff", chiller.reason)
        self.assertEqual(
            translate_line(old_line("30|1.0|45.0|0.0|0.0|5")),
            Refusal("negate_azimuth is 0 or -1, not 5"),
        )

    def test_rules_are_those_of_the_commander(self) -> None:
        """Each stop remains a stop and each track command one, but the end of tracking is no stop above."""
        for command in old.Commands:
            for becomes in row_of(command).becomes:
                self.assertEqual(command.ack_only, becomes.ack_only, command)
                self.assertEqual(command.needs_command, becomes.needs_command, command)
                ends_tracking = command.__name__.endswith("EnableTracking") and becomes.is_stop
                self.assertEqual(command.is_stop, becomes.is_stop and not ends_tracking, command)

    @given(commands())
    def test_any_command(self, command: old.Command) -> None:
        """A valid command becomes commands that can be written and read, or is refused for a reason."""
        translation = translate_command(command)
        self.assertEqual(translate_line(command.encode().removesuffix(b"\r\n")), translation)
        if isinstance(translation, Refusal):
            self.assertTrue(getattr(command, "negate_azimuth", None) or not getattr(command, "on", True))
            return
        for made in translation.commands:
            self.assertIn(type(made), (*row_of(type(command)).becomes, new.OilSupplySystemSetMode))
            self.assertEqual((made.sequence_id, made.source), (command.sequence_id, command.source))
            self.assertEqual(tma2022.decode_command(made.encode().removesuffix(b"\r\n")), made)
        if str(int(command.command_code)) in SAME.split():
            self.assertEqual(made.str_fields()[1:2] + made.str_fields()[4:], _parameters(command))

    def test_vectors(self) -> None:
        """Each command that the original of tma2020 wrote is translated, or refused as this test says."""
        refused = 0
        for row in strategies.rows("messages.jsonl"):
            if row["message"] not in [command.__name__ for command in old.Commands]:
                continue
            translation = translate_line(line_of(row))
            if isinstance(translation, Refusal):
                refused += 1
                self.assertTrue(
                    row["fields"].get("negate_azimuth") not in (None, 0, -1) or not row["fields"].get("on")
                )
                continue
            command = decode_command(line_of(row))
            made = translation.commands[-1]
            if str(row["fields"]["command_code"]) in SAME.split():
                self.assertEqual(made.str_fields()[1:2] + made.str_fields()[4:], _parameters(command))
            self.assertEqual(tma2022.decode_command(made.encode().removesuffix(b"\r\n")), made)
        self.assertLess(refused, 10)

    def test_malformed(self) -> None:
        """A malformed command is an error, with the line."""
        for row in strategies.rows("malformed.jsonl"):
            with self.assertRaises(LineError):
                decode_command(line_of(row))
            try:
                translation = translate_line(line_of(row))
            except LineError as error:
                self.assertEqual(error.line, line_of(row))
            else:
                self.assertIsInstance(translation, Refusal, row)


def _parameters(command: old.Command) -> list[str]:
    """The code and the parameters of a command of tma2020, as on the wire."""
    fields = command.str_fields()
    return fields[1:2] + fields[4:]


class CodeTests(SynchronousTestCase):
    """Commands whose code has no class."""

    def test_each_code(self) -> None:
        """It is refused, and the reason names the nearest commands."""
        for code in CommandCode:
            if code not in old.CommandDict and code != CommandCode.STATE_INFO:
                refusal = translate_line(old_line(f"{code:d}|1"))
                assert isinstance(refusal, Refusal)
                self.assertIn(code.name, refusal.reason)
                for near in nearest_to(code):
                    self.assertIn(near.__name__, refusal.reason)
        self.assertEqual(
            refuse_code(104).reason,
            "AZIMUTH_AXIS_MOVE_VELOCITY has no known parameters to translate to tma2022; the nearest command "
            "is AzimuthMove",
        )
        self.assertTrue(refuse_code(8).reason.endswith("no command is near to it"))
        self.assertEqual(refuse_code(123456).reason, "tma2020 has no command 123456")

    def test_state_info(self) -> None:
        """``STATE_INFO`` has no parameters, and is translated."""
        [command] = translated(old_line("2001")).commands
        self.assertEqual(
            command, new.StateInfo(sequence_id=7, source=NewSource.CSC, timestamp=float(TAI_SENT))
        )
        self.assertIsInstance(translate_line(old_line("2001|1")), Refusal)
        self.assertRaises(LineError, translate_line, old_line("2001", sent="yesterday"))
        self.assertRaises(LineError, translate_line, old_line("2001", source=0))


TODAY_ONLY = """
    OilSupplySystemSetMode OilSupplySystemCabinetsThermalSetpoint
    MainCabinetThermalTrackAmbient MainCabinetThermalResetAlarm
    AzimuthDrivesThermalPower AzimuthDrivesThermalControlMode AzimuthDrivesThermalResetAlarm
    ElevationDrivesThermalPower ElevationDrivesThermalControlMode ElevationDrivesThermalResetAlarm
    Cabinet0101ThermalPower Cabinet0101ThermalControlMode Cabinet0101ThermalResetAlarm
    GetActualSettings ApplySettingsSet RestoreDefaultSettings StateInfo
    AuxiliaryCabinetsThermalResetAlarm AuxiliaryCabinetsThermalSetpoint AuxiliaryCabinetsThermalFanPower
    Heartbeat
"""
"""The classes of tma2022 without a row in `TABLE`, in the order of their codes."""


class CounterpartTests(SynchronousTestCase):
    """`counterpart_of`."""

    def test_examples(self) -> None:
        """Both ways."""
        for name, other in (
            ("AzimuthAxisMove", ("AzimuthMove",)),
            ("AzimuthMove", ("AzimuthAxisMove",)),
            ("AzimuthStop", ("AzimuthAxisStop",)),
            ("BothAxesMove", ("BothAxesMove",)),
            ("BothAxesPower", ("AzimuthAxisPower", "ElevationAxisPower")),
            ("TopEndChillerPower", ("TopEndChillerPowerOn", "TopEndChillerPowerOff")),
            ("TopEndChillerPowerOff", ("TopEndChillerPower",)),
            ("OilSupplySystemPower", ("OilSupplySystemPower",)),
            ("MirrorCoverLocksLock", ("MirrorCoverLocksMoveAll",)),
            ("Heartbeat", ()),
            ("NoSuchCommand", ()),
        ):
            self.assertEqual(counterpart_of(name), other, name)

    def test_there_and_back(self) -> None:
        """Each class of tma2020 with a row is the counterpart of one of its own, but where two became one."""
        there_and_back = {
            command.__name__: {
                back for name in counterpart_of(command.__name__) for back in counterpart_of(name)
            }
            for command in TABLE
        }
        self.assertEqual([name for name, back in there_and_back.items() if name not in back], [])

    def test_today_only(self) -> None:
        """The classes of tma2022 without a counterpart are these."""
        alone = [command.__name__ for command in new.Commands if command not in BACKWARDS]
        self.assertEqual(alone, TODAY_ONLY.split(), "TODAY_ONLY, or a row in TABLE")


class AnswerTests(SynchronousTestCase):
    """Answers to a command."""

    def setUp(self) -> None:
        self.command = old.AzimuthAxisMove(sequence_id=12, source=Source.HHD, position=1)

    def test_each_kind(self) -> None:
        """Acknowledged to Ack, succeeded to Done, the three others to NoAck."""
        for reply, expected in (
            (new_replies.CmdAcknowledgedReply(timeout=0.1, **_answer), "0|12|3|T|100"),
            (new_replies.CmdAcknowledgedReply(timeout=900, **_answer), "0|12|3|T|900000"),
            (new_replies.CmdAcknowledgedReply(timeout=-1, **_answer), "0|12|3|T|300000"),
            (new_replies.CmdAcknowledgedReply(timeout=None, **_answer), "0|12|3|T|300000"),
            (new_replies.CmdAcknowledgedReply(timeout=1e308, **_answer), "0|12|3|T|2147483647"),
            (new_replies.CmdSucceededReply(**_answer), "2|12|3|T"),
            (new_replies.CmdRejectedReply(explanation="it is off", **_answer), "1|12|3|T|it is off"),
            (new_replies.CmdFailedReply(explanation="a\r\nb\0c", **_answer), "1|12|3|T|a b c"),
            (
                new_replies.CmdSupersededReply(superseding_command_code=102, **_answer),
                "1|12|3|T|superseded by AzimuthAxisStop",
            ),
            (
                new_replies.CmdSupersededReply(superseding_command_code=37, **_answer),
                "1|12|3|T|superseded by AzimuthAxisResetAlarm or ElevationAxisResetAlarm",
            ),
            (
                new_replies.CmdSupersededReply(superseding_command_code=2404, **_answer),
                "1|12|3|T|superseded by RestoreDefaultSettings",
            ),
            (new_replies.CmdSupersededReply(**_answer), "1|12|3|T|superseded"),
        ):
            self.assertEqual(wire(translate_reply(reply, self.command)), expected.replace("T", SENT))

    def test_track_command(self) -> None:
        """The Ack of a track command announces 0, whatever the mount says."""
        track = old.AzimuthAxisTrack(sequence_id=12, position=1, velocity=0, tai=1)
        for timeout in (-1, None, 5.0):
            reply = new_replies.CmdAcknowledgedReply(timeout=timeout, **_answer)
            self.assertEqual(wire(translate_reply(reply, track)), f"0|12|1|{SENT}|0")

    def test_outcome(self) -> None:
        """The outcome of a command of two halves is translated in the same way."""
        outcome = Outcome(Meaning.ACKNOWLEDGED, 0, timeout=900)
        moment = datetime(2020, 2, 27, 14, 48, 27, 500_000, UTC)
        self.assertEqual(
            wire(translate_answer(outcome, 4, Source.EUI, timestamp=moment)), f"0|4|2|{SENT}|900000"
        )

    def test_malformed(self) -> None:
        """A reply whose parameters do not fit ends its command all the same."""
        line = b'{"id":2,"timestamp":1582814944.5,"parameters":{"sequenceId":5,"explanation":7}}'
        self.assertEqual(wire(translate_reply(tma2022.decode_reply(line), self.command)), f"1|12|3|{SENT}|")

    def test_without_command(self) -> None:
        """An answer to an unknown command is dropped."""
        self.assertEqual(translate_reply(new_replies.CmdSucceededReply(**_answer)), Dropped("CMD_SUCCEEDED"))


class EventTests(SynchronousTestCase):
    """Events."""

    def test_alarms(self) -> None:
        """A warning and an error keep their values; the words have the places of the further texts."""
        values: dict[str, Any] = {
            "name": "Overheated",
            "subsystem_id": 900,
            "subsystem_instance": "MyTopVI/MyNextVI",
            "active": True,
            "code": 931,
            "description": "The motor\nis hot",
        }
        self.assertEqual(
            wire(translate_reply(new_replies.WarningReply(timestamp=float(TAI_SENT), **values))),
            f"4|1|931|900. MyTopVI/MyNextVI|{SENT}|The motor is hot|Overheated",
        )
        self.assertEqual(
            wire(translate_reply(new_replies.ErrorReply(timestamp=float(TAI_SENT), latched=False, **values))),
            f"3|0|1|931|900. MyTopVI/MyNextVI|{SENT}|The motor is hot|Overheated",
        )
        plain = values | {"description": "", "active": False}
        self.assertEqual(
            wire(translate_reply(new_replies.ErrorReply(timestamp=float(TAI_SENT), latched=True, **plain))),
            f"3|1|0|931|900. MyTopVI/MyNextVI|{SENT}|Overheated",
        )

    def test_in_position(self) -> None:
        """Azimuth and elevation have a place; the camera cable wrap has none."""
        for axis, expected in ((System.AZIMUTH, "6|T|0|1"), (System.ELEVATION, "6|T|1|1")):
            reply = new_replies.InPositionReply(timestamp=float(TAI_SENT), axis=axis, in_position=True)
            self.assertEqual(wire(translate_reply(reply)), expected.replace("T", SENT))
        reply = new_replies.InPositionReply(axis=System.CAMERA_CABLE_WRAP, in_position=True)
        self.assertEqual(translate_reply(reply), Dropped("IN_POSITION"))

    def test_state(self) -> None:
        """The Operation Manager's state; its clock shows unix time."""
        reply = new_replies.StateInfoReply(timestamp=1582814907.5, state="Connecting to PXI")
        self.assertEqual(wire(translate_reply(reply)), f"5|{SENT}|Connecting to PXI")

    def test_clock_since_1904(self) -> None:
        """The vendor's PXI counts the seconds since 1904."""
        reply = new_replies.InPositionReply(
            timestamp=1582814907.5 + 2_082_844_800, axis=System.AZIMUTH, in_position=False
        )
        self.assertEqual(wire(translate_reply(reply)), f"6|{SENT}|0|0")

    def test_impossible_time(self) -> None:
        """A time that a timestamp can't hold becomes 1970."""
        reply = new_replies.StateInfoReply(timestamp=-1e300, state="x")
        self.assertEqual(wire(translate_reply(reply)), "5|1970-01-01T00:00:00.000|x")

    def test_dropped(self) -> None:
        """All others are dropped under their names, also an unknown one."""
        line = b'{"id":20,"timestamp":1,"parameters":{"actualCommander":1}}'
        self.assertEqual(translate_reply(tma2022.decode_reply(line)), Dropped("COMMANDER"))
        line = b'{"id":987,"timestamp":1,"parameters":{}}'
        self.assertEqual(translate_reply(tma2022.decode_reply(line)), Dropped("UNKNOWN"))

    def test_vectors(self) -> None:
        """Of the replies that were recorded, these kinds have a place in tma2020."""
        command = old.Enable()
        places, dropped = set(), set()
        for row in strategies.rows("tma2022/messages.jsonl"):
            if not line_of(row).startswith(b"{"):
                continue
            reply = translate_reply(tma2022.decode_reply(line_of(row)), command)
            if isinstance(reply, Dropped):
                dropped.add(reply.kind)
            else:
                places.add(type(reply).__name__)
        expected = {reply.__name__ for reply in old_replies.Replies} - {"OnStateInfoReply"}  # not recorded
        self.assertEqual(places, expected)
        self.assertIn("COMMANDER", dropped)
        self.assertIn("POWER_STATE", dropped)

    @given(any_reply(), commands())
    def test_any_reply(self, reply: new_replies.Reply, command: old.Command) -> None:
        """Each reply becomes one that can be written and read, no longer than before, or is dropped."""
        made = translate_reply(reply, command)
        if isinstance(made, Dropped):
            self.assertTrue(made.kind)
            return
        line = made.encode().removesuffix(b"\r\n")
        self.assertEqual(decode_reply(line).encode(), made.encode())
        if len(reply.encode()) <= MAX_LINE_LENGTH:
            self.assertLessEqual(len(line), MAX_LINE_LENGTH)
        if isinstance(made, old_replies.Answer):
            self.assertEqual((made.sequence_id, made.source), (command.sequence_id, command.source))


_answer: dict[str, Any] = {"timestamp": float(TAI_SENT), "sequence_id": 99}


def wire(reply: old_replies.Reply | Dropped) -> str:
    """The fields of a reply of tma2020, as on the wire."""
    assert not isinstance(reply, Dropped), reply
    return "|".join(reply.str_fields())


class PageTests(SynchronousTestCase):
    """``docs/reference/translation.rst``."""

    def test_every_class(self) -> None:
        """The page has a row for each command class of both dialects."""
        cells = [row[0] for row in tables("reference/translation.rst")]
        for command in (*old.Commands, *new.Commands):
            self.assertIn(f"{command.command_code:d} ``{command.__name__}``", cells)
