"""One value and its wire string: what is taken, what is refused, what is written."""

from __future__ import annotations

import importlib.util
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.enums import Commander, Source
from mtmount_twisted.wire import fields
from tests.support import strategies

HAS_NUMPY = importlib.util.find_spec("numpy") is not None


class Numbers(SynchronousTestCase):
    """int and float, from the wire and from a program."""

    def test_int_takes_sign_and_spaces(self) -> None:
        """An int on the wire may have a sign and spaces around it."""
        for text, number in [
            ("1", 1),
            ("-1", -1),
            ("+1", 1),
            (" 1 ", 1),
            ("  -7", -7),
            ("007", 7),
            ("-0", 0),
        ]:
            self.assertEqual(fields.read_int(text), number, text)

    def test_float_takes_sign_exponent_and_spaces(self) -> None:
        """A float on the wire may have a sign, an exponent and spaces around it."""
        for text, number in [
            ("1", 1.0),
            (" -1.5 ", -1.5),
            ("+1e-07", 1e-7),
            ("1E5", 1e5),
            (".5", 0.5),
            ("5.", 5.0),
        ]:
            self.assertEqual(fields.read_float(text), number, text)

    def test_what_python_takes_but_the_protocol_does_not(self) -> None:
        """Underscores, other scripts' digits, other white space and non-finite names are refused."""
        bad = [
            "1_000",
            "\u0661",
            "\uff11",
            "\t1",
            "1\n",
            "1\r",
            "\u00a01",
            "1\x0b",
            "- 1",
            "+-1",
            "--1",
            "1 2",
        ]
        bad += [
            "",
            " ",
            "+",
            "-",
            "x",
            "0x10",
            "nan",
            "-nan",
            "inf",
            "-Infinity",
            "1e400",
            "-1e400",
            "1e",
            "e1",
            ".",
        ]
        for text in bad:
            self.assertRaises(ValueError, fields.read_int, text)
            self.assertRaises(ValueError, fields.read_float, text)
            self.assertRaises(ValueError, fields.read_bool, text)
        for text in ["1.0", "1e3", "1."]:
            self.assertRaises(ValueError, fields.read_int, text)
            self.assertRaises(ValueError, fields.read_bool, text)

    @given(st.integers() | st.integers(-(10**40), 10**40))
    def test_int_round_trip(self, number: int) -> None:
        """Every int is read back as it was written."""
        self.assertEqual(fields.read_int(fields.INT.write(fields.check_int(number))), number)

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_float_round_trip(self, number: float) -> None:
        """Every finite float is read back to the last bit, minus zero too."""
        self.assertEqual(fields.read_float(fields.FLOAT.write(number)).hex(), number.hex())

    @given(st.text())
    @example("1\u0660")
    def test_readers_raise_nothing_but_value_error(self, text: str) -> None:
        """Whatever the text, a reader returns a value or raises ValueError."""
        kinds = (fields.INT, fields.FLOAT, fields.BOOL, fields.STR, fields.TIMESTAMP, fields.kind_of(Source))
        for kind in kinds:
            try:
                value = kind.read(text)
            except ValueError:
                continue
            self.assertIsInstance(value, kind.dtype)
            self.assertEqual(kind.read(kind.write(value)), value)

    def test_numbers_too_long(self) -> None:
        """A number of thousands of digits is a ValueError, when read as when made."""
        for check in (fields.check_int, fields.check_float, fields.check_bool, fields.kind_of(Source).check):
            self.assertRaises(ValueError, check, 10**5000)
        self.assertRaises(ValueError, fields.read_int, "1" * 5000)
        self.assertRaises(ValueError, fields.read_float, "1" * 5000)

    def test_what_an_int_is(self) -> None:
        """A program may give an int or an int's enum, and gets a plain int; no bool, float or text."""
        self.assertIs(type(fields.check_int(Source.PXI)), int)
        for value in (True, False, 1.0, "1", b"1", None, Decimal(1), 1j, [1]):
            self.assertRaises(ValueError, fields.check_int, value)

    def test_what_a_float_is(self) -> None:
        """A program may give any finite real number, and gets a float; no bool, text or bytes."""
        for value in (1, 1.0, Decimal("1"), Fraction(2, 2), Source.CSC):
            self.assertEqual(fields.check_float(value), 1.0)
            self.assertIs(type(fields.check_float(value)), float)
        bad: list[Any] = [True, "1", b"1", bytearray(b"1"), memoryview(b"1"), None, 1j, [1.0]]
        bad += [
            float("nan"),
            float("inf"),
            -float("inf"),
            Decimal("nan"),
            Decimal("sNaN"),
            Decimal("1e999"),
            10**400,
        ]
        for value in bad:
            self.assertRaises(ValueError, fields.check_float, value)

    def test_numpy(self) -> None:
        """numpy's scalars are taken as Python's, bools included, and become Python's; arrays are not."""
        if not HAS_NUMPY:
            self.skipTest("numpy is not installed")  # type: ignore[no-untyped-call]
        np = importlib.import_module("numpy")
        for value in (np.int8(1), np.uint64(1), np.array(1)):
            self.assertIs(type(fields.check_int(value)), int)
        for value in (np.float32(1), np.float64(1), np.longdouble(1), np.int16(1), np.array(1.0)):
            self.assertIs(type(fields.check_float(value)), float)
        for value in (np.bool_(True), np.int8(1)):
            self.assertIs(fields.check_bool(value), True)
        self.assertIs(fields.check_bool(np.bool_(False)), False)
        self.assertIs(fields.kind_of(Source).check(np.int64(2)), Source.EUI)
        self.assertIs(type(fields.check_str(np.str_("x"))), str)
        for value in (np.bool_(True), np.float64(1), np.str_("1"), np.array([1])):
            self.assertRaises(ValueError, fields.check_int, value)
        for value in (
            np.bool_(True),
            np.str_("1"),
            np.array("1"),
            np.float64("nan"),
            np.array([1.0]),
            np.complex64(1),
        ):
            self.assertRaises(ValueError, fields.check_float, value)

    def test_looks_like_numpy(self) -> None:
        """What has a type as numpy's values have, and no number of dimensions, is no scalar."""

        class Lookalike:
            dtype = float

        for check in (fields.check_int, fields.check_float, fields.check_bool):
            self.assertRaises(ValueError, check, Lookalike())


class BoolsAndEnums(SynchronousTestCase):
    """bool and enum."""

    def test_bool_reads_any_integer(self) -> None:
        """On the wire zero is False and every other integer is True."""
        for text, value in [
            ("0", False),
            ("1", True),
            ("2", True),
            ("-1", True),
            (" +0 ", False),
            ("00", False),
        ]:
            self.assertIs(fields.read_bool(text), value, text)

    def test_bool_writes_0_or_1(self) -> None:
        """A bool is written as one digit."""
        self.assertEqual([fields.BOOL.write(True), fields.BOOL.write(False)], ["1", "0"])

    def test_what_a_bool_is(self) -> None:
        """A program may give a bool, 0 or 1, and gets a bool; nothing that is merely truthy."""
        self.assertEqual(
            [fields.check_bool(value) for value in (True, False, 1, 0)], [True, False, True, False]
        )
        self.assertIs(type(fields.check_bool(1)), bool)
        for value in (2, -1, 1.0, "1", "", None, [], [1]):
            self.assertRaises(ValueError, fields.check_bool, value)

    def test_enum_by_member_and_by_int(self) -> None:
        """An enum may be given as its member or its integer, and is kept as the member."""
        kind = fields.kind_of(Source)
        self.assertIs(kind.check(Source.HHD), Source.HHD)
        self.assertIs(kind.check(100), Source.PXI)
        for value in (0, 4, -1, True, 1.0, "CSC", "1", None):
            self.assertRaises(ValueError, kind.check, value)

    def test_enum_on_the_wire(self) -> None:
        """An enum is written as its integer, and read as an int is; an unknown one is refused."""
        kind = fields.kind_of(Commander)
        for member in Commander:
            self.assertEqual(kind.write(member), str(int(member)))
            self.assertIs(kind.read(f" +{int(member)} "), member)
        for text in ("4", "-1", "NONE", "", "1.0", "\u0661", "0_1"):
            self.assertRaises(ValueError, kind.read, text)

    def test_expected_names_the_members(self) -> None:
        """What an enum says it expects lists its members, unless they are very many."""

        class Many(IntEnum):
            locals().update({f"M{number}": number for number in range(20)})

        class Few(IntEnum):
            locals().update({f"M{number}": number for number in range(19)})

        self.assertIn("3 HHD", fields.kind_of(Source).expected)
        self.assertEqual(fields.kind_of(Many).expected, "a Many (its codes)")
        self.assertIn("18 M18", fields.kind_of(Few).expected)

    def test_types_that_the_protocol_lacks(self) -> None:
        """A declaration with a type that the protocol does not have is a TypeError that names it."""
        with self.assertRaisesRegex(TypeError, "bytes"):
            fields.kind_of(bytes)


class Text(SynchronousTestCase):
    """str."""

    def test_forbidden_characters(self) -> None:
        r"""Text that holds \r, \n, NUL or a lone surrogate is refused, wherever it stands."""
        for bad in ("\r", "\n", "\0", "\ud800", "\udcff"):
            for text in (bad, "a" + bad, bad + "a", "a" + bad + "\u00b0"):
                self.assertRaises(ValueError, fields.check_str, text)

    def test_other_characters(self) -> None:
        """Any other text is kept as it is: tabs, controls, other scripts, surrounding spaces."""
        for text in ("", " ", "\ta\x7f\x1b", "\u00b0C", "\u0661", "\U0001f52d", "\x0b\x0c\x85\u2028"):
            self.assertEqual(fields.check_str(text), text)

    def test_no_other_types(self) -> None:
        """Nothing but a str is text."""
        for value in (b"x", 1, None, ["x"], bytearray(b"x")):
            self.assertRaises(ValueError, fields.check_str, value)

    def test_subclass_of_str(self) -> None:
        """A subclass of str is kept as the plain text that was checked, whatever its `str()` says."""

        class Sly(str):
            def __str__(self) -> str:
                return "a\r\nb"

        class Choice(StrEnum):
            ONE = "one"

        self.assertEqual(fields.check_str(Sly("x")), "x")
        self.assertIs(type(fields.check_str(Sly("x"))), str)
        self.assertIs(type(fields.check_str(Choice.ONE)), str)


class Timestamps(SynchronousTestCase):
    """timestamp."""

    def test_decimals(self) -> None:
        """A reader takes any number of decimals, and keeps them to the microsecond."""
        digits = "123456789012345678"
        for count in range(19):
            text = "2020-02-27T14:48:27" + ("." + digits[:count] if count else "")
            microsecond = int(digits[:count][:6].ljust(6, "0"))
            self.assertEqual(
                fields.read_timestamp(text), datetime(2020, 2, 27, 14, 48, 27, microsecond, tzinfo=UTC), text
            )
            self.assertIs(fields.read_timestamp(text).tzinfo, UTC)

    def test_forms_of_the_original(self) -> None:
        """A space in place of the T, a Z, and a date alone are read as the original reads them."""
        day, moment = "2020-02-27", datetime(2020, 2, 27, 14, 48, 27, 469000, tzinfo=UTC)
        for text in (f"{day} 14:48:27.469", f"{day}T14:48:27.469Z", f"{day} 14:48:27.4690000000Z"):
            self.assertEqual(fields.read_timestamp(text), moment, text)
            self.assertEqual(fields.check_timestamp(text), moment, text)
        self.assertEqual(fields.read_timestamp(f"{day} 14:48:27Z"), moment.replace(microsecond=0))
        self.assertEqual(fields.read_timestamp(day), datetime(2020, 2, 27, tzinfo=UTC))
        leap = fields.read_timestamp("2016-12-31 23:59:60.1234567Z")
        self.assertEqual(fields.write_timestamp(leap), "2016-12-31T23:59:60.123")

    def test_refused(self) -> None:
        """Anything but ISO 8601 in UTC, with seconds or without a time, is refused."""
        day = "2020-02-27"
        bad = [
            "",
            "yesterday",
            f"{day}T14:48",
            f"{day}T14:48:27.",
            f"{day}T",
            f"{day}Z",
            f"{day} ",
            f"{day}  14:48:27",
        ]
        bad += [f"{day}t14:48:27.469", f"{day}T14:48:27,469", f" {day}T14:48:27.469", f"{day}T14:48:27.469z"]
        bad += [f"{day}T14:48:27.469 ", f"{day}T14:48:27.469\n", f"{day}T14:48:27.469ZZ", f"{day}T14:48:27 Z"]
        bad += [
            f"{day}T14:48:27.469+00:00",
            f"{day}T14:48:27+01",
            f"{day}T14:48:27-01:00",
            f"{day}T14:48:27.4+0",
        ]
        bad += [
            "20200227T144827.469",
            "2020-W09-4T14:48:27.469",
            "2020-W09-4T14:48:27.46",
            "2020-058T14:48:27.469",
        ]
        bad += [f"{day}T24:00:00.000", f"{day}T24:00:00", f"{day}T25:00:00.000", f"{day}T14:60:00.000"]
        bad += [
            f"{day}T14:48:61.000",
            "2020-02-30T14:48:27.469",
            "2021-02-29T14:48:27.469",
            "2020-00-27T14:48:27.469",
        ]
        bad += ["0000-02-27T14:48:27.469", f"{day}T14:48:27.4_9", f"{day}T14:48:27.\u0661\u0661\u0661"]
        bad += ["\u0662020-02-27T14:48:27.469"[:23], f"{day}T14:48:2\x00.469", f"{day}T14:48:27.46\x00"]
        for text in bad:
            self.assertRaises(ValueError, fields.read_timestamp, text)

    def test_leap_second(self) -> None:
        """A leap second is read, is told from the second before it, and is written as it came."""
        leap = fields.read_timestamp("2016-12-31T23:59:60.500")
        self.assertEqual(fields.write_timestamp(leap), "2016-12-31T23:59:60.500")
        before = fields.read_timestamp("2016-12-31T23:59:59.500")
        self.assertEqual(fields.write_timestamp(before), "2016-12-31T23:59:59.500")
        self.assertEqual(
            fields.write_timestamp(fields.read_timestamp("2016-12-31T23:59:60")), "2016-12-31T23:59:60.000"
        )
        for text in ("2016-12-31T23:58:60.500", "2016-12-31T22:59:60.500", "2016-12-31T23:59:61.000"):
            self.assertRaises(ValueError, fields.read_timestamp, text)

    @given(strategies.timestamps())
    def test_round_trip(self, moment: datetime) -> None:
        """Every moment of whole milliseconds is read back as it was written."""
        self.assertEqual(fields.read_timestamp(fields.write_timestamp(moment)), moment)

    def test_written_with_three_decimals(self) -> None:
        """Three decimals are always written; finer ones are cut off, never rounded into the future."""
        moment = datetime(2020, 2, 27, 14, 48, 27, tzinfo=UTC)
        self.assertEqual(fields.write_timestamp(moment), "2020-02-27T14:48:27.000")
        self.assertEqual(
            fields.write_timestamp(moment.replace(microsecond=999999)), "2020-02-27T14:48:27.999"
        )

    def test_from_a_program(self) -> None:
        """A program may give an aware datetime of any zone, taken to UTC, or the wire's text."""
        moment = datetime(2020, 2, 27, 14, 48, 27, 469000, tzinfo=UTC)
        given: list[Any] = [
            moment,
            "2020-02-27T14:48:27.469",
            moment.astimezone(ZoneInfo("America/Santiago")),
        ]
        given += [
            moment.astimezone(timezone(timedelta(hours=5, minutes=30))),
            moment.replace(tzinfo=ZoneInfo("UTC")),
        ]
        for value in given:
            self.assertEqual(fields.check_timestamp(value), moment)
            self.assertIs(fields.check_timestamp(value).tzinfo, UTC)

    def test_refused_from_a_program(self) -> None:
        """A naive datetime, a number, or a moment that has no year in UTC is refused."""
        east = timezone(timedelta(hours=5))
        bad: list[Any] = [
            datetime(2020, 2, 27),
            0,
            1.5,
            None,
            b"2020-02-27T14:48:27.469",
            datetime(2020, 1, 1).date(),
        ]
        bad += [
            datetime(1, 1, 1, tzinfo=east),
            datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
        ]
        for value in bad:
            self.assertRaises(ValueError, fields.check_timestamp, value)

    def test_now(self) -> None:
        """The time that a message is given is what the wire can carry: UTC, whole milliseconds."""
        now = fields.utc_now()
        self.assertIs(now.tzinfo, UTC)
        self.assertEqual(fields.read_timestamp(fields.write_timestamp(now)), now)

    def test_now_to_the_millisecond(self) -> None:
        """The milliseconds of the clock are kept, and finer parts are cut off."""
        self.patch(time, "time_ns", lambda: 1_582_814_907_469_999_999)
        self.assertEqual(fields.utc_now(), datetime(2020, 2, 27, 14, 48, 27, 469000, tzinfo=UTC))
