r"""Conversion of fields to bytes and back: the stream is split into lines, and a line into fields.

A message is its fields joined with ``\n`` and ended with ``\r\n``. There is no escape, so a field may not
contain either character; `fields.check_str` enforces this.
"""

from __future__ import annotations

from collections.abc import Iterable

SEPARATOR = "\n"
TERMINATOR = b"\r\n"

MAX_LINE_LENGTH = 64 * 1024
"""Longest line that a reader accepts, in bytes without the terminator. The bound is our own: without it, a
peer that never ends its line could fill the memory."""

SHOWN_BYTES = 4096
"""Bytes of a line, or of a text in it, that are shown: no message is longer, but a line may have 64 KiB."""


def brief(text: str) -> str:
    """Return text cut to `SHOWN_BYTES`, with dots for the rest."""
    return text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]}..."


def join(fields: Iterable[str]) -> bytes:
    """Return the bytes of one message, terminator included."""
    return SEPARATOR.join(fields).encode() + TERMINATOR


def split(line: bytes) -> list[str]:
    r"""Return the fields of one line, given without its terminator.

    Text should be ASCII, but bytes above 127 have been seen. Bytes that are not UTF-8 are therefore kept
    visible as ``\xNN`` instead of being rejected.
    """
    return line.decode("utf-8", "backslashreplace").split(SEPARATOR)
