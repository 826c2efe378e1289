"""The command classes against the facts of ``protocol-tma2020.rst``, transcribed into ``tests/data``."""

from __future__ import annotations

import re
from datetime import datetime

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import commands, enums
from mtmount_twisted.commands import Command, parse_command
from mtmount_twisted.errors import FieldCountError, FieldError, UnknownCodeError
from mtmount_twisted.wire.messages import BaseMessage
from tests.support import strategies

TYPES = {"int": int, "float": float, "bool": bool, "Commander": enums.Commander}
PARAMETER = re.compile(r"(?P<name>\w+):(?P<type>\w+)(?:=(?P<default>[^[]+))?(?:\[(?P<unit>.+)\])?")


class Facts(SynchronousTestCase):
    """Codes, names, parameters, defaults, units, answers."""

    def test_classes(self) -> None:
        """Each command of the table has its code, its name and its class, and there are no others."""
        rows = [line.split() for line in strategies.table("commands.txt")]
        self.assertEqual([row[2] for row in rows], [cls.__name__ for cls in commands.Commands])
        for number, code_name, class_name, *_ in rows:
            code = enums.CommandCode(int(number))
            self.assertEqual(code.name, code_name)
            self.assertIs(commands.CommandDict[code], getattr(commands, class_name))
            self.assertIs(getattr(commands, class_name).command_code, code)
        self.assertEqual(len(commands.CommandDict), len(rows))

    def test_parameters(self) -> None:
        """Each command has the parameters of the table, in its order, with its types, defaults and units."""
        for line in strategies.table("commands.txt"):
            _, _, class_name, _, *declared = line.split()
            infos = commands.CommandDict[enums.CommandCode(int(line.split()[0]))].field_infos[4:]
            self.assertEqual(len(infos), len(declared), class_name)
            for info, text in zip(infos, declared, strict=True):
                match = PARAMETER.fullmatch(text)
                assert match is not None, text
                self.assertEqual((info.name, info.dtype), (match["name"], TYPES[match["type"]]), class_name)
                self.assertEqual(info.unit, match["unit"] or "", class_name)
                default = match["default"]
                if default == "CSC":
                    self.assertIs(info.default, enums.Commander.CSC)
                else:
                    self.assertEqual(info.default, None if default is None else int(default), class_name)

    def test_answers(self) -> None:
        """The track commands are answered by an Ack alone, the one without a class too."""
        for line in strategies.table("commands.txt"):
            number, _, class_name, answer, *_ = line.split()
            self.assertEqual(getattr(commands, class_name).ack_only, answer == "Ack", class_name)
            self.assertEqual(int(number) in commands.AckOnlyCommandCodes, answer == "Ack", class_name)
        self.assertEqual({int(code) for code in commands.AckOnlyCommandCodes}, {105, 405, 1004, 305, 31})

    def test_header(self) -> None:
        """Every command begins with sequence_id, command_code, source and timestamp."""
        header = [
            ("sequence_id", int),
            ("command_code", enums.CommandCode),
            ("source", enums.Source),
            ("timestamp", datetime),
        ]
        self.assertEqual(commands.NUM_HEADER_FIELDS, len(header))
        for cls in commands.Commands:
            self.assertTrue(issubclass(cls, Command) and issubclass(cls, BaseMessage))
            self.assertEqual([(info.name, info.dtype) for info in cls.field_infos[:4]], header)

    def test_codes_without_a_class(self) -> None:
        """Each known code without a class is in the enumeration under its name, and that is all of them."""
        data = "tests/data/codes_without_class.txt"
        rows = [line.rstrip(",").split() for line in strategies.table("codes_without_class.txt")]
        for number, name in rows:
            self.assertEqual(enums.CommandCode(int(number)).name, name)
            self.assertNotIn(int(number), commands.CommandDict, f"remove its line: {data}")
        self.assertEqual(len(rows) + len(commands.CommandDict), len(enums.CommandCode), data)

    def test_enumerations(self) -> None:
        """`Source`, `Commander` and `SubsystemId` have the protocol's names and numbers."""
        self.assertEqual(
            {one.name: int(one) for one in enums.Source}, {"CSC": 1, "EUI": 2, "HHD": 3, "PXI": 100}
        )
        self.assertEqual(
            {one.name: int(one) for one in enums.Commander}, {"NONE": 0, "CSC": 1, "EUI": 2, "HHD": 3}
        )
        subsystems = """AZIMUTH_AXIS AZIMUTH_DRIVE AZIMUTH_CABLE_WRAP ELEVATION_AXIS ELEVATION_DRIVE
            MAIN_POWER_SUPPLY ENCODER_INTERFACE_BOX OIL_SUPPLY_SYSTEM MIRROR_COVERS CAMERA_CABLE_WRAP BALANCE
            DEPLOYABLE_PLATFORM CABINET LOCKING_PINS MIRROR_COVER_LOCKS AZIMUTH_THERMAL ELEVATION_THERMAL
            INTERLOCK"""
        expected = {name: 100 * number for number, name in enumerate(subsystems.split(), 1)}
        self.assertEqual(
            {one.name: int(one) for one in enums.SubsystemId}, {**expected, "TOP_END_CHILLER": 2200}
        )

    def test_stops(self) -> None:
        """Every ``...Stop`` of the protocol is a stop, and nothing else is."""
        names = {code.name for code in enums.CommandCode if code in commands.STOP_CODES}
        self.assertEqual(names, {code.name for code in enums.CommandCode if "STOP" in code.name})
        self.assertTrue({32, 102, 402, 902, 1002, 1502, 7} <= commands.STOP_CODES)


class Parsing(SynchronousTestCase):
    """`parse_command`."""

    header = ("1", "10", "1", "2020-02-27T14:48:27.469")

    def test_class_by_code(self) -> None:
        """The code decides the class, however the wire writes the number."""
        for text in ("10", " 10 ", "+10", "010"):
            self.assertIsInstance(parse_command([self.header[0], text, *self.header[2:]]), commands.Enable)

    def test_known_code_without_class(self) -> None:
        """A known code that has no class is a ValueError that names the code and the command."""
        for line in strategies.table("codes_without_class.txt"):
            number, name = line.rstrip(",").split()
            error = self.assertRaises(UnknownCodeError, parse_command, ["1", number, *self.header[2:]])
            self.assertEqual((error.field, error.value), ("command_code", int(number)))
            self.assertIn(name, str(error))

    def test_unknown_code(self) -> None:
        """A code that is not known, or no number, is a ValueError that names it."""
        for text in ("42", "9999", "-7", "1" * 40):
            error = self.assertRaises(UnknownCodeError, parse_command, ["1", text, *self.header[2:]])
            self.assertEqual(error.value, int(text))
        for text in ("x", "", "1_0", "1" * 5000):
            error = self.assertRaises(FieldError, parse_command, ["1", text, *self.header[2:]])
            self.assertEqual((error.field, error.value), ("command_code", text))

    def test_short(self) -> None:
        """Fewer fields than a header is a ValueError."""
        for count in range(4):
            self.assertRaises(FieldCountError, parse_command, self.header[:count])
