r"""The layout of a line: every line ends with ``\r\n``, and ``\n`` separates the fields of a command.

The source is ``protocol-tma2022.rst``, "Framing".

Values only: no Twisted, no I/O. Next to read: `codec`, which splits and writes lines by this layout.
"""

from __future__ import annotations

from mtmount_twisted.wire.lines import TextLayout

LAYOUT = TextLayout(separator="\n", terminator=b"\r\n")

TERMINATOR = LAYOUT.terminator
