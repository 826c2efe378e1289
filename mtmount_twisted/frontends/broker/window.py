"""`Window`: the lines about events that are on their way from the child to the daemon, and their bound.

The child waits until its line has room. The daemon counts by the same rule, and removes a line from its
window no later than the child does. So the daemon kills a child that exceeds the window, and no other. Values
only. Next to read: ``station.event_lines``, the child's side; `supervisor` and `reading`, the daemon's.
"""

from __future__ import annotations

from collections import deque

from .words import LEAST_EVENT, WINDOW, Missing, OfStream, Other


class Window:
    """The lines on their way."""

    def __init__(self) -> None:
        self._costs: deque[int] = deque()
        self._total = 0

    def has_room(self, line: OfStream, size: int) -> bool:
        """Return True if a line may go on its way. One line always may.

        :param size: its length, in bytes.
        """
        return not self._costs or self._total + _cost(line, size) <= WINDOW

    def add(self, line: OfStream, size: int) -> None:
        """Count a line."""
        cost = _cost(line, size)
        self._costs.append(cost)
        self._total += cost

    def take(self, lines: int) -> None:
        """Note that the daemon has taken so many more lines."""
        for _ in range(min(lines, len(self._costs))):
            self._total -= self._costs.popleft()


def _cost(line: OfStream, size: int) -> int:
    return max(size, LEAST_EVENT) if isinstance(line, Other | Missing) else size
