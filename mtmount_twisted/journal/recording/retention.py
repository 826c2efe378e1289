"""The choice of the recordings to delete: the oldest, once they are too old or have too many bytes.

A wrong wall clock must not delete the nights. So the rules are the same as for the journal
(``journal.retention``): the age of recordings counts only after the wall clock has agreed with the monotonic
clock for an hour, and then for one day of recordings an hour. The time of a recording is the later one of its
name and its last change; a time before 2020 or in the future proves no age. A recording that is being written
is never deleted. This module reads the folder and deletes nothing. Next to read: `writer`.
"""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import NamedTuple

from mtmount_twisted.journal.retention import DAY, EARLIEST, HOUR, Agreement

from .layout import TAIL, recordings, started

MOST_OLD = 24
"""The largest number of recordings to delete in an hour because of their age: the recordings of a day."""


class OldAllowance:
    """The counter of the recordings that may be deleted now because of their age."""

    def __init__(self) -> None:
        self._agreement = Agreement()
        self._began = -math.inf
        self._left = 0

    def look(self, now: float, wall: float) -> int:
        """Return how many may be deleted now; 0 until the clocks have agreed for an hour. Call this often.

        :param now: the monotonic clock, in seconds.
        :param wall: the wall clock (s, Unix time).
        """
        if not self._agreement.look(now, wall):
            return 0
        if now - self._began >= HOUR:
            self._began, self._left = now, MOST_OLD
        return self._left

    def use(self, count: int) -> None:
        """Note that `count` recordings were deleted."""
        self._left -= count


class Deletion(NamedTuple):
    """A recording to delete.

    :ivar why: the reason, for the log.
    :ivar is_old: True if the reason is its age.
    """

    path: Path
    why: str
    is_old: bool


class Stored(NamedTuple):
    """A recording on the disk.

    :ivar size: its size, in bytes.
    :ivar newest: the time of its last change, or of its start if that is later (s, Unix time).
    """

    path: Path
    size: int
    newest: float


def stored(folder: Path) -> list[Stored]:
    """Return this user's own closed recordings in a folder, the oldest first."""
    found = []
    for path in recordings(folder):
        try:
            status = os.lstat(path)
        except OSError:
            continue
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if is_ours and not os.path.lexists(f"{path}{TAIL}"):
            found.append(Stored(path, status.st_size, max(status.st_mtime, started(path))))
    return found


def to_delete(
    found: list[Stored],
    present: Path | None,
    present_size: int,
    keep: tuple[float, int],
    now: float,
    most_old: int,
) -> list[Deletion]:
    """Return the recordings to delete.

    :param found: all recordings, the oldest first.
    :param present: the recording that is being written.
    :param present_size: the size of this recording and of its tail file, in bytes.
    :param keep: the age in days, and the size in bytes, up to which recordings are kept.
    :param now: the wall clock (s, Unix time).
    :param most_old: the most recordings to delete because of their age.
    """
    keep_days, keep_bytes = keep
    total = present_size + sum(each.size for each in found if each.path != present)
    chosen = []
    for each in found:
        if each.path == present:
            continue
        is_old = most_old > 0 and EARLIEST <= each.newest < now - keep_days * DAY
        if is_old:
            why = f"older than {keep_days:g} days"
            most_old -= 1
        elif total > keep_bytes:
            why = f"the recordings had over {keep_bytes} bytes"
        else:
            continue
        total -= each.size
        chosen.append(Deletion(each.path, why, is_old))
    return chosen
