"""The rows of signals in memory, as values that any thread may read.

A row is the values of one line of telemetry; the rows of a topic are kept in chunks. No I/O. Next to read:
``upstream.signals``, which keeps them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Rows(NamedTuple):
    """Rows of one topic, from a chunk. Times and values are doubles in the machine's byte order.

    :ivar times: the time of each row (UTC, s).
    :ivar values: the values of the first row, then the values of the second row, and so on.
    """

    times: bytes
    values: bytes


class Row(NamedTuple):
    """One row of a topic, with its time (UTC, s)."""

    at: float
    values: tuple[float, ...]


class SignalRows(NamedTuple):
    """The rows of a signal, at one moment; any thread may read them.

    :ivar column: the number of the signal in each row, and `width` the number of signals in a row.
    """

    name: str
    unit: str
    column: int
    width: int
    rows: Sequence[Rows]

    def between(self, start: float, end: float) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return the times and values of the chunks that may hold rows between two times (UTC, s).

        The first call imports numpy.
        """
        import numpy as np

        found = []
        for rows in self.rows:
            times = np.frombuffer(rows.times)
            if times.size and times[-1] >= start and times[0] < end:
                values = np.frombuffer(rows.values).reshape(-1, self.width)
                found.append((times, values[:, self.column]))
        return found


class KeptRows(NamedTuple):
    """The rows of one topic at one moment, in order of arrival; any thread may read them.

    :ivar width: the number of values in a row.
    """

    width: int
    chunks: Sequence[Rows]

    def between(self, start: float, end: float) -> list[tuple[float, ...]]:
        """Return the values of the rows from one time to another, both included (UTC, s), in order."""
        found: list[tuple[float, ...]] = []
        for chunk in self.chunks:
            times = memoryview(chunk.times).cast("d")
            if times and times[0] <= end and times[-1] >= start:
                first, last = bisect_left(times, start), bisect_right(times, end)
                values = memoryview(chunk.values).cast("d")[first * self.width : last * self.width]
                found += zip(*[iter(values.tolist())] * self.width, strict=True)
        return found

    def row_at(self, time: float) -> Row | None:
        """Return the latest row at a time (UTC, s); None if memory does not reach back so far."""
        for chunk in reversed(self.chunks):
            times = memoryview(chunk.times).cast("d")
            if times and times[0] <= time:
                return self._row(chunk, bisect_right(times, time) - 1)
        return None

    def _row(self, chunk: Rows, number: int) -> Row:
        first = number * self.width
        values = memoryview(chunk.values).cast("d")[first : first + self.width]
        return Row(memoryview(chunk.times).cast("d")[number], tuple(values))
