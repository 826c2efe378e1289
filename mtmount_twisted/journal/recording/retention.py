"""The recordings that are deleted: the oldest, once they are too old or too many bytes.

A wrong wall clock must not delete a night. So the age of a recording counts only if its name and the time of
its last change agree about it, and a recording that is being written is never deleted. Next to read:
`writer`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from mtmount_twisted.journal.retention import DAY

from .layout import TAIL, recordings, started


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
    found: list[Stored], present: Path | None, present_size: int, keep: tuple[float, int], now: float
) -> list[tuple[Stored, str]]:
    """Return the recordings to delete, each with the reason.

    :param found: all recordings, the oldest first.
    :param present: the recording that is being written.
    :param present_size: the size of it and of its tail file, in bytes.
    :param keep: the age in days, and the size in bytes, up to which recordings are kept.
    :param now: the wall clock (s, Unix time).
    """
    keep_days, keep_bytes = keep
    total = present_size + sum(each.size for each in found if each.path != present)
    chosen = []
    for each in found:
        if each.path == present:
            continue
        if each.newest < now - keep_days * DAY:
            why = f"older than {keep_days:g} days"
        elif total > keep_bytes:
            why = f"the recordings had over {keep_bytes} bytes"
        else:
            continue
        total -= each.size
        chosen.append((each, why))
    return chosen
