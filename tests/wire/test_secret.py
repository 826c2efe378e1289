"""Secrets, which can be compared and not be read."""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.wire.secret import Secret, digest_of


class SecretTests(SynchronousTestCase):
    """One secret."""

    def test_compared(self) -> None:
        """It is what it is, and nothing else."""
        secret = Secret("sésame, open")
        self.assertTrue(secret.has(digest_of("sésame, open")))
        for text in ("", "sésame, ope", "sésame, open ", "\ud800"):
            self.assertFalse(secret.has(digest_of(text)))

    def test_not_shown(self) -> None:
        """However it is printed, or what it holds, the text is not there."""
        secret = Secret("sesame")
        for text in (str(secret), repr(secret), f"{secret}", repr([secret])):
            self.assertIn("***", text)
        self.assertNotIn("sesame", repr(gc.get_referents(secret)))
