r"""Text from outside -> text that a terminal, a log and a page show as it is and never obey.

`visible` is the one function for that. The log, the programs that people type and the daemons' own error
lines call it; ``web/static/visible.js`` has its counterpart for the page. Pure: no Twisted, no I/O.
"""

from __future__ import annotations

import re

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing: those that Unicode calls ``Default_Ignorable_Code_Point``
(DerivedCoreProperties.txt) and Python calls printable, and the empty Braille pattern."""


def visible(text: str, keep: str = "") -> str:
    r"""Return text in which each character that is not seen as itself is written as an escape.

    Those are control characters, the overrides of the direction of writing, separators of lines and
    paragraphs, spaces other than the plain one, characters of no width, surrogates, and what Unicode has not
    assigned. An escape is Python's: ``\n``, ``\x1b``, ``\u202e``. Escaped text stays as it is.

    :param keep: characters to leave as they are, such as ``"\n"`` where the text has lines of its own.
    """
    for char in keep:
        if char in text:
            return char.join(visible(part, keep) for part in text.split(char))
    if text.isprintable() and (text.isascii() or _INVISIBLE.search(text) is None):
        return text
    return "".join(char if _is_seen(char) else ascii(char)[1:-1] for char in text)


def _is_seen(char: str) -> bool:
    return char.isprintable() and _INVISIBLE.match(char) is None
