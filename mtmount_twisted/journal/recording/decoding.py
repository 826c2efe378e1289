"""Lines of one topic -> the values of some quantities, as columns of numbers. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from .thinning import Floats


class Lines(Protocol):
    """Lines of one topic."""

    def array(self) -> bytes | bytearray:
        """Return them as one JSON array."""

    def lines(self) -> Sequence[bytes]:
        """Return them one by one."""


Decode = Callable[[Lines, int], "list[Floats]"]
"""Return the columns of so many lines."""


def decoder(quantities: tuple[str, ...]) -> Decode:
    """Return a function that returns the values of some quantities in lines; NaN for a missing one.

    One call decodes all lines of a chunk, and only these quantities.
    """
    import numpy as np

    names = [f"q{number}" for number in range(len(quantities))]
    number = float | bool | None
    shape = msgspec.defstruct(
        "Line",
        [(name, number, math.nan) for name in names],
        rename=dict(zip(names, quantities)),
        gc=False,
    )
    decoder: Any = msgspec.json.Decoder(list[shape])  # type: ignore[valid-type]
    getters = [attrgetter(name) for name in names]

    def decode(lines: Lines, count: int) -> list[Floats]:
        try:
            found = decoder.decode(lines.array())
            if len(found) != count:
                raise ValueError("a line that is two")
            return [np.array(list(map(get, found)), np.float64) for get in getters]
        except (ValueError, msgspec.MsgspecError):  # NaN, which is no JSON, or a value of another type
            return _decode_each(lines.lines(), quantities)

    return decode


def _decode_each(lines: Sequence[bytes], quantities: Sequence[str]) -> list[Floats]:
    """Do the same for lines that are not as they should be, one by one."""
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
