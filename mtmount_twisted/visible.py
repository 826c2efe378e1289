r"""Escaping of text from outside, so that a terminal, a log or a page shows it literally and never obeys it.

`visible` is the one function for this. The log, the command-line programs and the daemons' error lines use
it; ``web/static/visible.js`` is its counterpart for the page. Pure: no Twisted, no I/O. Next to read:
``net.output`` and `cli.standard_streams`, which write.
"""

from __future__ import annotations

import re

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing: the characters that Unicode calls ``Default_Ignorable_Code_Point``
(DerivedCoreProperties.txt) but Python calls printable, and the empty Braille pattern."""


def visible(text: str, keep: str = "") -> str:
    r"""Return text with an escape for each character that does not show as itself.

    These are control characters, overrides of the writing direction, separators of lines and paragraphs,
    spaces other than the plain one, characters of no width, surrogates, and code points that Unicode has not
    assigned. The escapes are Python's: ``\n``, ``\x1b``, ``\u202e``. Escapes in the text stay as they are.

    :param keep: characters to leave unchanged, such as ``"\n"`` in a text of several lines.
    """
    for char in keep:
        if char in text:
            return char.join(visible(part, keep) for part in text.split(char))
    if text.isprintable() and (text.isascii() or _INVISIBLE.search(text) is None):
        return text
    return "".join(char if _is_seen(char) else ascii(char)[1:-1] for char in text)


def _is_seen(char: str) -> bool:
    return char.isprintable() and _INVISIBLE.match(char) is None
