"""``python -m benchmarks.tables``: write the tables of ``docs/explanation/performance.rst``."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .runner import RESULTS, ROOT, row

PAGE = ROOT / "docs" / "explanation" / "performance.rst"

HEADINGS = ("figure", "costs", "compared with", "ratio", "goal", "met")

GENERATED = re.compile(r"(?<=\.\. from results.json: )([^\n]+)\n.*?(?=\n\.\. end\n)", re.DOTALL)
"""The text between the comment that names a table and the comment that ends it."""


def page(text: str, content: dict[str, Any]) -> str:
    """The page with its tables made anew."""
    return GENERATED.sub(lambda found: f"{found[1]}\n\n{table(found[1], content)}\n", text)


def table(name: str, content: dict[str, Any]) -> str:
    """A table by its name: ``machine``, or a group of figures."""
    if name == "machine":
        return listed((key, str(value)) for key, value in content["machine"].items())
    results = [result for result in content["results"] if result["group"] == name]
    made = [row(result, compared) for result in results for compared in result["comparisons"]]
    return grid(HEADINGS, [(f"{cells[0]}: {cells[1]}", *cells[2:]) for cells in made])


def listed(items: Any) -> str:
    """Names and their values."""
    return "\n".join(f":{key}: {value}" for key, value in items)


def grid(headings: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A simple table of reST."""
    widths = [max(len(cell) for cell in column) for column in zip(headings, *body)]
    rule = "  ".join("=" * width for width in widths)

    def lines() -> Iterator[str]:
        yield from (rule, _joined(headings, widths), rule)
        yield from (_joined(cells, widths) for cells in body)
        yield rule

    return "\n".join(lines())


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    # An empty first cell would continue the row above; the others may be empty.
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()


def main() -> None:
    """Rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=RESULTS, help="what to read [%(default)s]")
    content = json.loads(parser.parse_args().file.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), content), encoding="utf-8")


if __name__ == "__main__":
    main()
