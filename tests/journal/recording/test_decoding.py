"""Values of a few quantities out of the lines of a chunk."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.journal.recording.decoding import decoder
from mtmount_twisted.journal.recording.index import Messages
from mtmount_twisted.journal.recording.layout import Message

WANTED = "current1"
LONG = [f"current{number}" for number in range(10, 60)]
"""Names of other quantities: a line that has them is long enough to be searched."""

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60) | st.booleans()
traps = st.sampled_from(
    (',"current1":5', '"current1":', "\\", "}", ",", '{"current1":1}', [1, 2], {"current1": 7}, None, "1")
)
values = numbers | traps | st.text(max_size=5)


def messages(lines: Sequence[bytes]) -> Messages:
    """The lines as in a chunk."""
    records = [Message(1, number, number, 0, line).packed() for number, line in enumerate(lines)]
    ends = np.cumsum([len(record) for record in records], dtype=np.int64)
    starts = ends - np.array([len(record) for record in records], np.int64)
    return Messages(np.arange(len(lines)), b"".join(records), starts, ends)


def expected(lines: Sequence[bytes], name: str) -> list[float]:
    """The values according to ``json``: NaN for all that is no number."""
    found = (json.loads(line).get(name) for line in lines)
    return [float(value) if isinstance(value, int | float) else math.nan for value in found]


class DecoderTests(SynchronousTestCase):
    """`decoder`, with lines as the mount sends them and with others."""

    def check(self, lines: Sequence[bytes], *names: str) -> None:
        """The columns are those of ``json``."""
        columns = decoder(names)(messages(lines), len(lines))
        for name, column in zip(names, columns):
            np.testing.assert_array_equal(column, expected(lines, name))

    @settings(max_examples=30, deadline=None)
    @given(st.lists(numbers, min_size=1, max_size=8), st.integers(0, len(LONG)), numbers)
    def test_numbers(self, found: list[float], place: int, other: float) -> None:
        """A quantity has its numbers, wherever it stands in the line and however long the others are."""
        lines = []
        for row, number in enumerate(found):
            content = dict.fromkeys(LONG[:place], row * other) | {WANTED: number}
            content |= dict.fromkeys(LONG[place:], other)
            lines.append(json.dumps({"topicID": 5} | content, separators=(",", ":")).encode())
        self.check(lines, WANTED)
        self.check(lines, LONG[0], "missing")

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.tuples(values, values), min_size=1, max_size=5), st.sampled_from([",", ", "]))
    @example([(1.0, {"current1": 7})], ",")
    @example([("x", 2.0), (',"current1":5', 3.0)], ",")
    def test_other_values(self, found: list[tuple[object, object]], comma: str) -> None:
        """Texts, arrays, objects and missing values are no numbers, and no text is taken for a key."""
        rest = dict.fromkeys(LONG, 1.0)
        lines = [
            json.dumps(content, separators=(comma, ":")).encode()
            for before, value in found
            for content in ({"topicID": 5, "before": before, WANTED: value} | rest, {"topicID": 5} | rest)
        ]
        self.check(lines[::2], WANTED)
        self.check(lines, WANTED)

    def test_nested(self) -> None:
        """Beside a line that is nested deeper than the stack, the others of the chunk have their numbers."""
        deep = b'{"topicID":5,"deep":%b,"current1":1.0}' % (b"[" * 5000 + b"]" * 5000)
        usual = b'{"topicID":5,"text":"%b","current1":2.0}' % (b"x" * 2000)
        for lines in ([deep, usual], [usual, deep], [b"{}", deep]):
            for names in ((WANTED,), (WANTED, "other")):
                columns = decoder(names)(messages(lines), len(lines))
                found = [value for value, line in zip(columns[0], lines) if line is usual]
                self.assertEqual(found, [2.0] * lines.count(usual))

    def test_last_in_the_chunk(self) -> None:
        """The last value of the last line counts, too."""
        lines = [b'{"topicID":5,"text":"%b","current1":%d}' % (bytes(500).replace(b"\0", b"x"), 7)] * 3
        self.check(lines, WANTED)
