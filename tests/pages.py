"""The tables of the documentation, as rows of texts, for the tests that hold them to the code."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def tables(page: str) -> list[tuple[str, ...]]:
    """The rows of all ``list-table`` of a page, in order, but for their headings."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = []
    for table in re.findall(r"\.\. list-table::\n((?:   .*\n|\n)+)", text):
        _, _, *items = re.split(r"^   \* - ", table, flags=re.MULTILINE)
        for item in items:
            cells = re.split(r"^     - ", item, flags=re.MULTILINE)
            found.append(tuple(" ".join(cell.split()) for cell in cells))
    return found
