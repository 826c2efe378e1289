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
        self._digest = digest_of(text)

    def __repr__(self) -> str:
        return "***"

    def has(self, digest: bytes) -> bool:
        """Return True if a digest is that of the secret. The comparison takes constant time."""
        return hmac.compare_digest(self._digest, digest)


def digest_of(text: str) -> bytes:
    """Return the digest of a text: of one text that is compared with many secrets, once."""
    return sha256(text.encode(errors="surrogatepass")).digest()
