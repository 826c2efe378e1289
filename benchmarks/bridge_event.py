"""The event that the crowd gets: it says when it was sent, and is always of one length."""

from __future__ import annotations

import time

from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.replies import OnStateInfoReply

from .by_hand import SENT

_STAMP = "%020d"
_PATTERN = OnStateInfoReply(timestamp=SENT, description=_STAMP).encode()


def event() -> bytes:
    """An event of now, terminator included."""
    return _PATTERN % time.monotonic_ns()


EVENT = event()


def sent_at(data: bytes) -> float:
    """Return the time when the first event in some data was sent, in seconds of the monotonic clock."""
    end = len(EVENT) - len(TERMINATOR)
    return int(data[end - 20 : end]) / 1e9
