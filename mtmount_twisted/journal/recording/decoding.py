"""Lines of one topic -> the values of some quantities, as columns of numbers. Pure.

Next to read: `index`, which has the lines; `digests` and `signals`, which use the columns.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .thinning import Floats


class Lines(Protocol):
    """Lines of one topic."""

    def array(self) -> bytes | bytearray:
        """Return them as one JSON array."""

    def lines(self) -> Sequence[bytes]:
        """Return them one by one."""

    def places(self) -> Places | None:
        """Return bytes with all lines, and the start and the end of each line there; None if no bytes have
        all."""


Places = tuple[bytes, "NDArray[np.int64]", "NDArray[np.int64]"]

Decode = Callable[[Lines, int], "list[Floats]"]
"""Return the columns of lines, of which the second argument is the number."""

SEARCHED = 400
"""The number of bytes that `msgspec` decodes in the time of a search for one quantity in one line."""

_PLAIN = re.compile(r"\w+", re.ASCII)
_WIDTH = 32
"""The largest number of bytes of a number and the character after it. The longest double has 24."""

_Number = float | bool | None


def decoder(quantities: tuple[str, ...]) -> Decode:
    """Return a function that returns the values of some quantities in lines; NaN for a missing one.

    One call decodes all lines of a chunk, and only these quantities. A few quantities of long lines are found
    by their names, in a third of the time.
    """
    import numpy as np

    names = [f"q{number}" for number in range(len(quantities))]
    shape = msgspec.defstruct(
        "Line",
        [(name, _Number, math.nan) for name in names],
        rename=dict(zip(names, quantities)),
        gc=False,
    )
    decoder: Any = msgspec.json.Decoder(list[shape])  # type: ignore[valid-type]
    getters = [attrgetter(name) for name in names]
    are_plain = all(map(_PLAIN.fullmatch, quantities))

    def decode(lines: Lines, count: int) -> list[Floats]:
        places = lines.places() if are_plain and count else None
        if places is not None:
            _, starts, ends = places
            found = None
            if len(quantities) * SEARCHED * count < int((ends - starts).sum()):
                found = _search(places, quantities)
            if found is not None:
                return found
        try:
            rows = decoder.decode(lines.array())
            if len(rows) != count:
                raise ValueError("a line that is two")
            return [np.array(list(map(get, rows)), np.float64) for get in getters]
        except (ValueError, msgspec.MsgspecError, RecursionError):
            # NaN, which is no JSON, or a value of another type
            return _decode_each(lines.lines(), quantities)

    return decode


def _search(places: Places, quantities: Sequence[str]) -> list[Floats] | None:
    """Return the values of quantities, found by their names; None if `msgspec` has to decode the lines.

    In valid JSON, a comma, the quoted name and a colon are that key and nothing else: a quote within a text
    has a backslash before it. The first line is decoded as a whole, so that another shape of lines is
    noticed.
    """
    data, starts, ends = places
    try:
        first = msgspec.json.decode(data[int(starts[0]) : int(ends[0])], type=dict[str, Any])
        found = [_search_one(data, starts, ends, quantity) for quantity in quantities]
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return None
    is_alike = all(
        float(column[0]) == value if isinstance(value := first.get(quantity), int | float) else value is None
        for column, quantity in zip(found, quantities)
    )
    return found if is_alike else None


def _search_one(data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], quantity: str) -> Floats:
    """Return the values of one quantity.

    :raises ValueError: if a line lacks the quantity, or its value is no number.
    """
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    key = f',"{quantity}":'.encode()
    stops = ends.tolist()
    # The key is nearly as far from the start in all lines of a chunk.
    near = max((data.index(key, int(starts[0]), stops[0]) - int(starts[0])) * 7 // 8 - _WIDTH, 0)
    try:
        at = list(map(data.index, repeat(key), (starts + near).tolist(), stops))
    except ValueError:
        at = list(map(data.index, repeat(key), starts.tolist(), stops))
    values = np.array(at, np.int64) + len(key)
    last = len(data) - _WIDTH
    text = sliding_window_view(np.frombuffer(data, np.uint8), _WIDTH)[np.minimum(values, last)]
    for row in np.flatnonzero(values > last).tolist():  # the value is near the end of the bytes
        text[row] = np.frombuffer(data[at[row] + len(key) :].ljust(_WIDTH), np.uint8)
    is_end = (text == _COMMA) | (text == _BRACE)
    length = is_end.argmax(axis=1)
    if not is_end[np.arange(len(values)), length].all():
        raise ValueError("a value that is longer than a number")
    text[np.arange(_WIDTH, dtype=np.int8) >= length.astype(np.int8)[:, None]] = _BLANK
    text[:, -1] = _COMMA
    numbers = _numbers.decode(b"[%b]" % text.tobytes()[:-1])
    if len(numbers) != len(values):
        raise ValueError("a value that is two")
    return np.array(numbers, np.float64)


_numbers = msgspec.json.Decoder(list[_Number])
_COMMA, _BRACE, _BLANK = b",} "


def _decode_each(lines: Sequence[bytes], quantities: Sequence[str]) -> list[Floats]:
    """Return the columns of lines of which some are malformed. Decode the lines one by one."""
    import numpy as np

    columns: list[list[float]] = [[] for _ in quantities]
    for line in lines:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        for quantity, column in zip(quantities, columns):
            value = content.get(quantity) if isinstance(content, dict) else None
            try:
                column.append(float(value) if isinstance(value, int | float) else math.nan)
            except OverflowError:
                column.append(math.nan)
    return [np.array(column, np.float64) for column in columns]
