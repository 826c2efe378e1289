"""The values that go from the reactor's thread to the recorder's: options, and lines that came.

No I/O. Next to read: `recorder`, which makes the items; `writer`, which takes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

EVENTS = "events"
"""The channel of the mount's events."""


class RecorderOptions(NamedTuple):
    """The options of a recorder.

    :ivar folder: the folder of the recordings.
    :ivar keep_days: age at which a recording is deleted, in days.
    :ivar keep_bytes: the largest number of bytes of all recordings.
    :ivar min_free: the free space in bytes below which the recorder stops.
    :ivar about: the metadata about the mount in each recording.
    """

    folder: Path
    keep_days: float
    keep_bytes: int
    min_free: int
    about: dict[str, str]


class Item(Struct, frozen=True, gc=False):
    """Lines that came together. The garbage collector passes it over, like a `layout.Message`.

    :ivar time: time of their arrival (s, Unix time).
    :ivar channel: `EVENTS`, or empty for telemetry.
    :ivar data: lines of telemetry with their terminators; or one event without its terminator.
    """

    time: float
    channel: str
    data: bytes
