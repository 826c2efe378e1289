"""Completion of a command before it is sent: its sequence id and its timestamp.

A program may leave both out, as with `ts_mtmount`; they are then 0 until the command is sent.

It reads the clock; no Twisted. Next to read: ``wire.tai``, the clock.
"""

from __future__ import annotations

import time

from mtmount_twisted.errors import TaiUnavailableError
from mtmount_twisted.wire.messages import next_sequence_id
from mtmount_twisted.wire.tai import TAI_AHEAD, current_tai

from .commands import Command


def tai_now() -> float:
    """Return the time for a timestamp: TAI seconds since the unix epoch."""
    try:
        return current_tai()
    except TaiUnavailableError:
        return time.time() + TAI_AHEAD


def completed(command: Command) -> Command:
    """Return the command, with an id and a timestamp if it has none. A heartbeat keeps the id 0."""
    changes: dict[str, float] = {}
    if not command.sequence_id and command.is_answered:
        changes["sequence_id"] = next_sequence_id()
    if not command.timestamp:
        changes["timestamp"] = tai_now()
    return command.replaced(**changes) if changes else command
