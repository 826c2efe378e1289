"""Lines: our own bounds on them, and `TextLayout`, with which a protocol declares how its lines look.

Values only. Next to read: ``framing`` of each dialect, which has its layout.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

MAX_LINE_LENGTH = 64 * 1024
"""Longest line that a reader accepts, in bytes without the terminator. The bound is our own: without it, a
peer that never ends its line could fill the memory."""

SHOWN_BYTES = 4096
"""Largest number of bytes of a line, or of a text in it, that are shown. No message is longer, but a line may
have 64 KiB."""


class TextLayout(Struct, frozen=True):
    """The layout of a message that is a line of text fields.

    There is no escape, so no field may contain the separator or the terminator; `fields.check_str` enforces
    this.

    :ivar separator: the text between two fields.
    :ivar terminator: the bytes at the end of the line.
    """

    separator: str
    terminator: bytes

    def join(self, fields: Iterable[str]) -> bytes:
        """Return the bytes of one message, terminator included."""
        return self.separator.join(fields).encode() + self.terminator


def brief(text: str) -> str:
    """Return text cut to `SHOWN_BYTES` characters, with dots for the rest."""
    return text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]}..."
