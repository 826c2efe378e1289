"""`pages` finds every block of code of a page: what it missed, nothing would check."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.folders import scratch_path
from tests.support.pages import DOCS, README, Block, blocks, marked

PAGE = """\
Title
=====

A drawing::

    a -> b

.. not run: it installs something
   for the whole machine
.. name
.. code-block:: sh

   one

   two

.. a comment that stands alone

Text.

1. In a list:

   .. code-block:: toml
      :name: of the block

      key = 1

   Text behind it, and another::

      literal

* Behind a bullet::

    * no bullet
  .. code-block:: python

      print()

.. list-table::

   * - a cell::

         in it

.. image:: picture.png
.. _target:
.. literalinclude:: file.py
"""


class BlockTests(SynchronousTestCase):
    """The blocks of a page."""

    def page(self, text: str) -> Path:
        """A page with this text."""
        path = scratch_path(self)
        path.write_text(text, encoding="utf-8")
        return path

    def test_all_are_found(self) -> None:
        """In lists and tables too; one that is no code-block has no language."""
        found = blocks(self.page(PAGE))
        self.assertEqual(
            [(block.line, block.language, block.text) for block in found],
            [
                (4, "", "a -> b\n"),
                (11, "sh", "one\n\ntwo\n"),
                (23, "toml", "key = 1\n"),
                (28, "", "literal\n"),
                (32, "", "* no bullet\n"),
                (35, "python", "print()\n"),
                (41, "", "in it\n"),
                (47, "", "\n"),
            ],
        )

    def test_marks(self) -> None:
        """The comments directly above a block are its marks, and no others."""
        found = blocks(self.page(PAGE))
        self.assertEqual(
            [block.marks for block in found if block.marks],
            [("not run: it installs something for the whole machine", "name")],
        )
        self.assertEqual(found[1].mark("not run"), "it installs something for the whole machine")
        self.assertIsNone(found[1].mark("save as"))

    def test_marked(self) -> None:
        """A block is found by its mark."""
        page = self.page(PAGE)
        self.assertEqual(marked(page, "name"), "one\n\ntwo\n")
        self.assertRaises(LookupError, marked, page, "another name")

    def test_every_page_is_on_the_site(self) -> None:
        """A table of contents names each page: the site has no page that nothing leads to."""
        named = {DOCS / "index.rst"}
        for contents in (DOCS / "index.rst", DOCS / "reference" / "api" / "index.rst"):
            lines = contents.read_text(encoding="utf-8").splitlines()
            named |= {contents.parent / f"{line.strip()}.rst" for line in lines if line.startswith("   ")}
        self.assertEqual(sorted(page for page in DOCS.rglob("*.rst") if page not in named), [])

    def test_every_block_has_a_language(self) -> None:
        """``.ci/docs.py`` would not know what to do with a block of README or docs without a language."""
        found: list[Block] = [each for page in (README, *DOCS.rglob("*.rst")) for each in blocks(page)]
        self.assertEqual([f"{block.page}:{block.line}" for block in found if not block.language], [])
        self.assertIn("readme-run-command", [mark for block in found for mark in block.marks])
