r"""The layout of a line: conversion of fields to bytes and back.

A message is its fields joined with ``\n`` and ended with ``\r\n`` (``protocol-tma2020.rst``).

Values only: no Twisted, no I/O. Next to read: `codec`, which splits and writes lines by this layout.
"""

from __future__ import annotations

from mtmount_twisted.wire.lines import TextLayout

LAYOUT = TextLayout(separator="\n", terminator=b"\r\n")

SEPARATOR = LAYOUT.separator
TERMINATOR = LAYOUT.terminator


def split(line: bytes) -> list[str]:
    r"""Return the fields of one line, given without its terminator.

    Text should be ASCII, but bytes above 127 have been seen. Bytes that are not UTF-8 are therefore kept
    visible as ``\xNN`` instead of being rejected.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError:
        # Python's own "backslashreplace" calls a function for each byte: 17 ms for 64 KiB of them.
        text = line.decode("utf-8", "surrogateescape").translate(_ESCAPES)
    return text.split(SEPARATOR)


_ESCAPES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(128, 256)}
"""What stands for a byte that is not UTF-8, by the character that "surrogateescape" makes of it."""
