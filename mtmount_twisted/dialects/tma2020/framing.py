r"""The layout of a line: conversion of fields to bytes and back.

A message is its fields joined with ``\n`` and ended with ``\r\n`` (``protocol-tma2020.rst``).
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
    return line.decode("utf-8", "backslashreplace").split(SEPARATOR)
