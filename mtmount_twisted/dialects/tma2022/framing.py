r"""The layout of a line: every line ends with ``\r\n``, and ``\n`` separates the fields of a command.

The source is ``protocol-tma2022.rst``, "Framing".
"""

from __future__ import annotations

from mtmount_twisted.wire.lines import TextLayout

LAYOUT = TextLayout(separator="\n", terminator=b"\r\n")

TERMINATOR = LAYOUT.terminator
