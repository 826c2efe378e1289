"""``docs/reference/tma2022.rst``: its examples."""

from __future__ import annotations

import doctest

from twisted.trial.unittest import SynchronousTestCase

from tests.support.pages import DOCS


class PageTests(SynchronousTestCase):
    """The page."""

    def test_examples(self) -> None:
        """Each example of the page does what the page says."""
        page = DOCS / "reference" / "tma2022.rst"
        if not page.exists():
            self.skipTest("an installed package has no docs")
        failed, tried = doctest.testfile(str(page), module_relative=False, verbose=False, encoding="utf-8")
        self.assertEqual((failed, tried > 20), (0, True))
