"""Code and pages cite the pages of the protocols by titles that these pages have.

A citation reads ``protocol-tma2022.rst, "Title"``, with or without double backquotes around the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.pages import DOCS, ROOT

PAGES = ("protocol-tma2020.rst", "protocol-tma2022.rst")

CITATION = re.compile(r'(protocol-tma\d+\.rst)(?:``)?,[\s#]+"([^"]+)"')

PAGELESS = re.compile(r'(?<![\w(\[=])\("[A-Z][^"\n]*"\)|\[[A-Z]:\w+\]')
"""A title, or a mark of a source, alone in brackets: the reader does not know which page has it."""


def citations(text: str) -> Iterator[tuple[str, str]]:
    """Each citation in a text: the page and the title."""
    for page, title in CITATION.findall(text):
        yield page, " ".join(title.replace("#", " ").split())


def titles(page: str) -> list[str]:
    """The titles of a page."""
    return re.findall(r"^(\S.*)\n[-=]{3,}$", (DOCS / "reference" / page).read_text(encoding="utf-8"), re.M)


class CitationTests(SynchronousTestCase):
    """The sources of facts about the protocols."""

    def setUp(self) -> None:
        self.texts = {
            str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
            for folder, kind in (("mtmount_twisted", "py"), ("tests", "py"), ("docs", "rst"))
            for path in (ROOT / folder).rglob(f"*.{kind}")
            if path != Path(__file__)
        }

    def test_titles(self) -> None:
        """Each cited title is a title of the page."""
        known = {page: titles(page) for page in PAGES}
        cited = [(path, *found) for path, text in self.texts.items() for found in citations(text)]
        self.assertGreater(len(cited), 30)
        self.assertEqual([each for each in cited if each[2] not in known.get(each[1], ())], [])

    def test_pages(self) -> None:
        """A citation in the dialects and the simulators names its page."""
        found = [
            (path, match[0])
            for path, text in self.texts.items()
            if path.startswith(("mtmount_twisted/dialects/", "mtmount_twisted/simulator/"))
            for match in PAGELESS.finditer(text)
        ]
        self.assertEqual(found, [])

    def test_broken_lines(self) -> None:
        """A citation may go on in the next line of a comment."""
        text = '# See ``protocol-tma2022.rst``, "The\n# commands" (protocol-tma2020.rst,\n"Framing").'
        expected = [("protocol-tma2022.rst", "The commands"), ("protocol-tma2020.rst", "Framing")]
        self.assertEqual(list(citations(text)), expected)
