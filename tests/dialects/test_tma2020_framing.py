"""Fields and bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.tma2020 import framing
from tests.support import strategies


class Framing(SynchronousTestCase):
    """`LAYOUT` and `split`."""

    def test_the_rule(self) -> None:
        r"""Fields are joined with \n and ended with \r\n."""
        self.assertEqual(framing.LAYOUT.join(["5", "x", ""]), b"5\nx\n\r\n")

    def test_split_keeps_empty_fields(self) -> None:
        """An empty field is a field, and an empty line is one empty field."""
        self.assertEqual(framing.split(b"5\n\nx\n"), ["5", "", "x", ""])
        self.assertEqual(framing.split(b""), [""])

    def test_bytes_that_are_not_utf8(self) -> None:
        r"""Bytes that are not UTF-8 stay visible as \xNN, one for one, and UTF-8 is read."""
        self.assertEqual(framing.split(b"20\xb0C\n\xff\xfe"), [r"20\xb0C", r"\xff\xfe"])
        self.assertEqual(framing.split("20\u00b0C".encode()), ["20\u00b0C"])
        self.assertEqual(framing.split(b"\xed\xa0\x80"), [r"\xed\xa0\x80"])

    def test_only_a_newline_separates(self) -> None:
        """No other character that Unicode counts as the end of a line cuts a field in two."""
        text = "a\x0b\x0c\x1c\x85\u2028b"
        self.assertEqual(framing.split(text.encode()), [text])

    @given(st.lists(strategies.texts(), min_size=1))
    def test_round_trip(self, fields: list[str]) -> None:
        """What was joined splits into the same fields."""
        line = framing.LAYOUT.join(fields)
        self.assertEqual(framing.split(line.removesuffix(framing.TERMINATOR)), fields)
        self.assertEqual(line.count(b"\r"), 1)

    @given(st.binary())
    def test_any_bytes_split(self, line: bytes) -> None:
        """Any line at all can be split, into text that can be written again."""
        fields = framing.split(line)
        self.assertEqual(fields, line.decode("utf-8", "backslashreplace").split("\n"))
        self.assertEqual(len(fields), line.count(b"\n") + 1)
        framing.LAYOUT.join(fields)
