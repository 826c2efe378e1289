"""`OwnErrors`: the errors of our own in a thread that goes on after them. The log has each once.

Such an error may come again with each line. The place in the code tells one from another.

Values only: no Twisted. Next to read: `recorder` and ``journal.recording.writer``, whose threads go on.
"""

from __future__ import annotations

import traceback

MOST = 100
"""The largest number of different errors that the log has."""


class OwnErrors:
    """The errors that the log has."""

    def __init__(self) -> None:
        self._places: set[str] = set()

    def is_new(self, error: Exception) -> bool:
        """Return True if the log is to have an error, and count it as logged."""
        place = "".join(traceback.format_tb(error.__traceback__))
        if place in self._places or len(self._places) >= MOST:
            return False
        self._places.add(place)
        return True
