"""The words that name the reason in a refusal of the mount. They are the same in both generations of the
protocol.

Pure. Next to read: ``bridge.arbiter``, which uses it after the stop of a part that is off.
"""

from __future__ import annotations

import re

_OFF = re.compile(r"\bis off\b|\boff\W*$", re.IGNORECASE)


def says_off(explanation: str) -> bool:
    """Return True if a refusal says that a part of the mount is off.

    The mock controller of tma2022 ends such a refusal with ``off``, as ``<System.MIRROR_COVERS: 4> off``. The
    documents of tma2020 have no text for it: for tma2020 the words are a guess.
    """
    return _OFF.search(explanation) is not None
