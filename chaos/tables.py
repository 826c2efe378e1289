"""``python -m chaos.tables``: the tables of ``docs/reliability.rst``, from the file of a run."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .process import ROOT
from .report import FIGURES, HEADINGS, RESULTS, cells

PAGE = ROOT / "docs" / "reliability.rst"

GENERATED = re.compile(r"(?<=\.\. from chaos/results.json: )([^\n]+)\n.*?(?=\n\.\. end\n)", re.DOTALL)
"""What stands between the comments that name a table and the one that ends it."""


def page(text: str, content: dict[str, Any]) -> str:
    """The page with its tables made anew."""
    return GENERATED.sub(lambda found: f"{found[1]}\n\n{TABLES[found[1]](content)}\n", text)


def machine(content: dict[str, Any]) -> str:
    """Where it ran."""
    return "\n".join(f":{key}: {value}" for key, value in content["machine"].items())


def figures(content: dict[str, Any]) -> str:
    """The figures of all rows together."""
    return grid(
        ("figure", "value"), [(FIGURES[name], f"{value:,}") for name, value in content["figures"].items()]
    )


def faults(content: dict[str, Any]) -> str:
    """Each fault with what was seen."""
    return grid(HEADINGS, [cells(result) for result in content["results"]])


TABLES = {"machine": machine, "figures": figures, "faults": faults}


def grid(headings: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A simple table of reST."""
    widths = [max(len(cell) for cell in column) for column in zip(headings, *body, strict=True)]
    rule = "  ".join("=" * width for width in widths)

    def lines() -> Iterator[str]:
        yield from (rule, joined(headings), rule)
        yield from (joined(row) for row in body)
        yield rule

    def joined(row: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    return "\n".join(lines())


def main() -> None:
    """Rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m chaos.tables", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=RESULTS, help="what to read [%(default)s]")
    content = json.loads(parser.parse_args().file.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), content), encoding="utf-8")


if __name__ == "__main__":
    main()
