"""The commands of the protocol tma2022: what a program can make, and what a line can say."""

from __future__ import annotations

import pickle
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import commands
from mtmount_twisted.dialects.tma2022.enums import CommandCode, Source, ThermalMode
from mtmount_twisted.errors import FieldError, LineError, UnknownFieldError
from mtmount_twisted.wire.messages import BaseMessage
from tests.support import strategies

from .strategies import commands as any_command
from .strategies import damaged

STOPS = {32, 102, 402, 902, 1002, 1502}
TRACKS = {35, 105, 405, 1004}


class Declared(SynchronousTestCase):
    """What the classes say."""

    def test_codes(self) -> None:
        """A class has the name of its code; the codes without a class are those of the data."""
        without = [f"{code:d} {code.name}," for code in CommandCode if code not in commands.CommandDict]
        expected = list(strategies.table("tma2022/codes_without_class.txt"))
        hint = "a code that gets a class loses its line in tests/data/tma2022/codes_without_class.txt"
        self.assertEqual(without, expected, hint)
        for command in commands.Commands:
            name = command.__name__.replace("0101", "_0101_")
            snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace("__", "_").upper()
            self.assertEqual(snake, command.command_code.name)

    def test_answers(self) -> None:
        """The track commands have an Ack alone for an answer, the heartbeat has none."""
        self.assertEqual({int(each.command_code) for each in commands.Commands if each.ack_only}, TRACKS)
        silent = {int(each.command_code) for each in commands.Commands if not each.is_answered}
        self.assertEqual(silent, {3000})
        self.assertEqual(commands.ACK_ONLY_CODES, TRACKS | {305})

    def test_stops(self) -> None:
        """The stops say so, also those without a class."""
        self.assertEqual({int(each.command_code) for each in commands.Commands if each.is_stop}, STOPS)
        names = {code.name for code in CommandCode if code in commands.STOP_CODES}
        self.assertEqual(names, {code.name for code in CommandCode if "STOP" in code.name})
        self.assertLess(STOPS, commands.STOP_CODES)

    def test_without_command(self) -> None:
        """A commander that does not have command may ask for it, for settings and for the state."""
        free = {int(each.command_code) for each in commands.Commands if not each.needs_command}
        self.assertEqual(free, {2103, 2402, 2502})
        self.assertEqual(commands.FREE_CODES, {2103, 2401, 2402, 2502})

    def test_units(self) -> None:
        """Positions, velocities and temperatures have their units, and each parameter says what it means."""
        units = {info.name: info.unit for info in commands.AzimuthMove.field_infos}
        self.assertEqual(
            [units[name] for name in ("position", "velocity", "acceleration", "jerk", "timestamp")],
            ["deg", "deg/s", "deg/s²", "deg/s³", "s"],
        )
        for command in commands.Commands:
            for info in command.field_infos:
                self.assertTrue(info.doc.endswith("."), (command, info.name))
                self.assertEqual(info.unit == "°C", info.name == "setpoint")


class Made(SynchronousTestCase):
    """What a program makes."""

    def test_defaults(self) -> None:
        """Id and time are 0 until the command is sent; the source is the CSC, and a part is all of them."""
        command = commands.MirrorCoversPower(on=True)
        self.assertEqual(command.encode(), b"0\n901\n1\n0.0\n-1\n1\r\n")
        self.assertEqual(commands.AskForCommand().commander, Source.CSC)
        mode = commands.AzimuthDrivesThermalControlMode(setpoint=1).mode
        self.assertEqual(mode, ThermalMode.TRACK_SETPOINT)

    def test_replaced(self) -> None:
        """A command is the same under another id, and the one before is as it was."""
        command = commands.AzimuthMove(position=10)
        sent = command.replaced(sequence_id=7, timestamp=12.5)
        self.assertEqual(sent.encode(), b"7\n103\n1\n12.5\n10.0\n0.0\n0.0\n0.0\r\n")
        self.assertEqual((command.sequence_id, command.timestamp), (0, 0.0))
        self.assertRaises(UnknownFieldError, command.replaced, nonsense=1)

    def test_text_that_the_reader_would_strip(self) -> None:
        """Text that would be lost, or end the line, is refused by name: the mount strips each line."""
        for bad in ("", " ", "a ", "\ta", "a\nb", "a\rb", "a\0", "\x1fa", "\u00a0a"):
            error = self.assertRaises(FieldError, commands.ApplySettingsSet, settings=bad)
            self.assertEqual((error.field, error.value), ("settings", bad))
        made = commands.ApplySettingsSet(settings="a b\tc \u00f1")
        self.assertEqual(tma2022.decode_command(made.encode()[:-2]), made)

    def test_types(self) -> None:
        """A bool is a bool, an enum is a member; an integer in place of either is a mistake."""
        wrong: list[tuple[Any, dict[str, Any]]] = [
            (commands.AzimuthPower, {"on": 1}),
            (commands.AzimuthPower, {"on": None}),
            (commands.AskForCommand, {"commander": 1}),
            (commands.AzimuthStop, {"source": 1}),
            (commands.AzimuthMove, {"position": "1"}),
            (commands.AzimuthMove, {"position": True}),
            (commands.AzimuthDriveReset, {"drive": True}),
        ]
        for make, values in wrong:
            error = self.assertRaises(FieldError, make, **values)
            self.assertEqual(error.field, *values)

    def test_number_of_a_member(self) -> None:
        """The number of a member is not a member of the enum; the error says so."""
        error = self.assertRaises(FieldError, commands.AskForCommand, commander=1)
        self.assertEqual(error.expected, "a member of Source (0 NONE, 1 CSC, 2 EUI, 3 HHD, 100 PXI)")

    def test_code_is_fixed(self) -> None:
        """A class has one code; a vector's own may be given, another is refused."""
        self.assertEqual(commands.AzimuthStop(command_code=CommandCode.AZIMUTH_STOP).command_code, 102)
        self.assertRaises(FieldError, commands.AzimuthStop, command_code=CommandCode.AZIMUTH_HOME)

    @given(any_command())
    def test_round_trip(self, command: commands.Command) -> None:
        """Every command is read from its own line, and written the same; so it is by the plain loop."""
        read = tma2022.decode_command(command.encode().removesuffix(b"\r\n"))
        self.assertEqual(type(read), type(command))
        self.assertEqual(str(read.fields()), str(command.fields()))  # as text: NaN equals nothing
        self.assertEqual(read.encode(), command.encode())
        self.assertEqual(BaseMessage.encode(command), command.encode())
        self.assertEqual(str(pickle.loads(pickle.dumps(command))), str(command))


class Read(SynchronousTestCase):
    """What a line says."""

    def test_numbers_of_python(self) -> None:
        """The mount reads numbers with Python, so what Python takes is a number."""
        for text in ("7", "+7", " 7 ", "007", "\u0667", "7\r", "\x0b7"):
            command = tma2022.decode_command(f"{text}\n102\n1\n0".encode())
            self.assertEqual((command.sequence_id, command.encode()), (7, b"7\n102\n1\n0.0\r\n"))
        for text in ("1e3", "1_000", " 1000.", "+1000"):
            command = tma2022.decode_command(f"7\n102\n1\n{text}".encode())
            self.assertEqual(command.timestamp, 1000)
        self.assertEqual(tma2022.decode_command("1\n\u0661\u0660\u0662\n1\n0".encode()).command_code, 102)

    def test_not_utf8(self) -> None:
        """A byte that is not UTF-8 is a LineError that says where it is."""
        error = self.assertRaises(LineError, tma2022.decode_command, b"5\n2403\n1\n0\nP\xe4rk")
        self.assertIn("byte 12", str(error))

    def test_time_of_the_old_protocol(self) -> None:
        """A command of the protocol tma2020 is told by its time stamp."""
        line = b"5\n102\n1\n2020-02-27T14:48:27.469"
        error = self.assertRaises(LineError, tma2022.decode_command, line)
        self.assertEqual((error.field, error.line), ("timestamp", line))

    @given(damaged(any_command().map(lambda command: command.encode()[:-2])) | st.binary(max_size=60))
    def test_any_line(self, line: bytes) -> None:
        """Whatever the line, it is a command that can be written and read again, or a LineError with it."""
        try:
            command = tma2022.decode_command(line)
        except LineError as error:
            self.assertEqual(error.line, line)
            return
        wire = command.encode()
        self.assertEqual(tma2022.decode_command(wire[:-2]).encode(), wire)
        if abs(command.sequence_id) < 2**63:
            header = tma2022.envelope.read_command_header(line)
            self.assertEqual(header, (command.sequence_id, command.command_code, command.source))
