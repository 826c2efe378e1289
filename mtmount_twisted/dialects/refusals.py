"""The words of a refusal that name its reason, the same in both generations of the protocol."""

from __future__ import annotations

import re

_OFF = re.compile(r"\bis off\b|\boff\W*$", re.IGNORECASE)


def says_off(explanation: str) -> bool:
    """Return True if a refusal says that a part of the mount is off.

    The mock controller of tma2022 ends such a refusal with ``off``, as ``<System.MIRROR_COVERS: 4> off``. The
    documents of tma2020 have no text for it: there the words are a guess.
    """
    return _OFF.search(explanation) is not None
