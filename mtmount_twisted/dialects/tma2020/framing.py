r"""Conversion of fields to bytes and back: the stream is split into lines, and a line into fields.

A message is its fields joined with ``\n`` and ended with ``\r\n``. There is no escape, so a field may not
contain either character; `fields.check_str` enforces this.
"""

from __future__ import annotations

from collections.abc import Iterable

SEPARATOR = "\n"
TERMINATOR = b"\r\n"


def join(fields: Iterable[str]) -> bytes:
    """Return the bytes of one message, terminator included."""
    return SEPARATOR.join(fields).encode() + TERMINATOR


def split(line: bytes) -> list[str]:
    r"""Return the fields of one line, given without its terminator.

    Text should be ASCII, but bytes above 127 have been seen. Bytes that are not UTF-8 are therefore kept
    visible as ``\xNN`` instead of being rejected.
    """
    return line.decode("utf-8", "backslashreplace").split(SEPARATOR)
