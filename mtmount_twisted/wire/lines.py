"""Our own bounds on lines, for every protocol: the longest line that is read, and the part that is shown.

Values only. The layout of a line belongs to its protocol: see `dialects`.
"""

from __future__ import annotations

MAX_LINE_LENGTH = 64 * 1024
"""Longest line that a reader accepts, in bytes without the terminator. The bound is our own: without it, a
peer that never ends its line could fill the memory."""

SHOWN_BYTES = 4096
"""Bytes of a line, or of a text in it, that are shown: no message is longer, but a line may have 64 KiB."""


def brief(text: str) -> str:
    """Return text cut to `SHOWN_BYTES` characters, with dots for the rest."""
    return text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]}..."
