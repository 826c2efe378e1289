"""`MalformedLines`: a count of the malformed lines of a connection to the mount, which ends a connection that
has too many.

A far end that is not a mount, or is a faulty mount, may send short malformed lines without pause. Each line
takes up to 0.2 ms, so 64 KiB of such lines would delay every command and stop by seconds.

Values only. Next to read: `link` and `telemetry_link`, which count.
"""

from __future__ import annotations

AT_ONCE = 64
"""The number of lines that are read between two checks of the count."""

MAX_MALFORMED = 200
"""The number by which the malformed lines of a connection may exceed the others."""


class MalformedLines:
    """The number by which the malformed lines of a connection exceed the others; never below 0."""

    def __init__(self) -> None:
        self._excess = 0

    def note(self, lines: int, malformed: int) -> bool:
        """Count lines. Return True if there are too many malformed ones; the count then begins anew.

        :param lines: the number of all lines, the malformed ones included.
        """
        self._excess = max(0, self._excess + 2 * malformed - lines)
        if self._excess <= MAX_MALFORMED:
            return False
        self._excess = 0
        return True
