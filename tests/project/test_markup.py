"""README, the documentation and the news are well-formed reStructuredText."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from docutils.core import publish_doctree
from twisted.trial.unittest import SynchronousTestCase

from tests.support.generator import load_generator
from tests.support.pages import DOCS, README, ROOT

FOR_SPHINX = {DOCS / "index.rst", *(DOCS / "reference" / "api").glob("*.rst")}
"""Pages with directives of Sphinx, which the step ``site`` of ``.ci/run`` builds as it builds all others."""


def warnings_in(text: str, name: str) -> str:
    """What a parser says of a page, in one line for each fault; a note counts as well."""
    told = StringIO()
    settings = {"warning_stream": told, "report_level": 1, "halt_level": 5, "syntax_highlight": "none"}
    publish_doctree(text, source_path=name, settings_overrides={**settings, "_disable_config": True})
    return told.getvalue()


class MarkupTests(SynchronousTestCase):
    """The pages that people read."""

    def test_pages(self) -> None:
        """Each page parses without a warning: no malformed table, torn list, or unknown role."""
        pages = [
            README,
            ROOT / "CONTRIBUTING.rst",
            ROOT / "NEWS.rst",
            *(page for page in DOCS.rglob("*.rst") if page not in FOR_SPHINX),
            *(ROOT / "newsfragments").glob("*.rst"),
        ]
        self.assertIn(DOCS / "reference" / "glossary.rst", pages)
        told = [self.warnings_of(page) for page in pages]
        self.assertEqual("".join(told), "")

    def warnings_of(self, page: Path) -> str:
        """What a parser says of a file."""
        return warnings_in(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))

    def test_faults_are_noticed(self) -> None:
        """A list that ends within a sentence is a fault, and so is text beyond the ruler of its column."""
        self.assertIn("unexpected unindent", warnings_in("1. An entry\n   of\nthe journal.\n", "list"))
        table = "=== ===\na   b\n=== ===\nlong b\n=== ===\n"
        self.assertIn("Malformed table", warnings_in(table, "table"))


class GeneratedTableTests(SynchronousTestCase):
    """A table that ``make docs-generated`` writes."""

    def test_long_words(self) -> None:
        """A metric with a longer name than all others makes its column wider; the table stays well-formed."""
        tables = load_generator().generate_tables
        page = "====== ======\nmetric  meaning\n====== ======\nold    row\n====== ======\n"
        rows = [("``mtmount_a_very_long_name_total``", "Two words.")]
        text = tables.with_rows(page, "metric", rows, tables.widths_for(rows, (6, 6)), " ")
        self.assertIn(f"\n{rows[0][0]} Two\n", text)
        self.assertEqual(warnings_in(text, "table"), "")
        self.assertEqual(tables.widths_for(rows, (50, 6)), [50, 6])
