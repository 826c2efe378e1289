r"""Fields <-> bytes: how the protocol cuts its stream into lines, and lines into fields.

The rule: a message is its fields joined with ``\n`` and ended with ``\r\n``. There is no
escape, so no field may hold either character; `fields.check_str` sees to that.
"""

from __future__ import annotations

from collections.abc import Iterable

SEPARATOR = "\n"
TERMINATOR = b"\r\n"

MAX_LINE_LENGTH = 64 * 1024
"""The longest line that a reader takes, in bytes without the terminator: a bound of ours,
so that a peer that never ends its line can't fill the memory."""

SHOWN_BYTES = 4096
"""How much of a line, or of a text in it, is shown: no message is longer, but a line may have 64 KiB."""


def brief(text: str) -> str:
    """Return text that is no longer than is shown, with dots in place of what is left out."""
    return text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]}..."


def join(fields: Iterable[str]) -> bytes:
    """The bytes of one message, terminator included."""
    return SEPARATOR.join(fields).encode() + TERMINATOR


def split(line: bytes) -> list[str]:
    r"""The fields of one line, given without its terminator.

    Text should be ASCII but bytes above 127 have been seen, so what is not UTF-8 is kept
    visible as ``\xNN`` rather than refused.
    """
    return line.decode("utf-8", "backslashreplace").split(SEPARATOR)
