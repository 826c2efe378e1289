"""`Secret`: a credential that can't slip into a log, an error text or a journal.

Values only. Next to read: `frontends.web.http.tokens`, which reads secrets from a file.
"""

from __future__ import annotations

import hmac
from hashlib import sha256


class Secret:
    """A credential that can be compared with a text, but not read back.

    The object holds only the SHA-256 of the text. A secret is long and random, so a plain hash is safe.

    :param text: the secret.
    """

    __slots__ = ("_digest",)

    def __init__(self, text: str) -> None:
        self._digest = _digest(text)

    def __repr__(self) -> str:
        return "***"

    def is_said_by(self, text: str) -> bool:
        """Return True if a text equals the secret. The comparison takes constant time."""
        return hmac.compare_digest(self._digest, _digest(text))


def _digest(text: str) -> bytes:
    return sha256(text.encode(errors="surrogatepass")).digest()
