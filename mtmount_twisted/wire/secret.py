"""`Secret`: what proves who somebody is, kept so that it can't slip into a log, an error or a journal.

Values only. Next to read: `frontends.web.http.tokens`, which reads secrets from a file.
"""

from __future__ import annotations

import hmac
from hashlib import sha256


class Secret:
    """A secret that can be compared with what somebody says it is, and not be read back.

    Only its SHA-256 is held: it is long and random, so that nothing is gained by trying.

    :param text: the secret.
    """

    __slots__ = ("_digest",)

    def __init__(self, text: str) -> None:
        self._digest = _digest(text)

    def __repr__(self) -> str:
        return "***"

    def is_said_by(self, text: str) -> bool:
        """Whether a text is the secret; how long that takes says nothing about how close it is."""
        return hmac.compare_digest(self._digest, _digest(text))


def _digest(text: str) -> bytes:
    return sha256(text.encode(errors="surrogatepass")).digest()
