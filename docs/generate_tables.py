"""Write the tables of commands and of metrics into the pages of the reference; `generate` calls it.

Each table stands between rulers, after its line of headings. All other text of the two pages is written by
hand.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from mtmount_twisted.cli.commander.manual import usage
from mtmount_twisted.commands import Commands

REFERENCE = Path(__file__).resolve().parent / "reference"

METRIC_WIDTHS = (45, 9, 21, 34)
"""The widths of the columns of the table of metrics, in characters, if each word fits."""


def generated() -> Iterator[tuple[Path, str]]:
    """Return each page with its text; the page of metrics only if the extra ``web`` is installed."""
    commands = [(f"``{usage(command)}``", command.__name__) for command in Commands]
    widths = [max(len(row[column]) for row in commands) for column in (0, 1)]
    yield _page("commander.rst", "short name and parameters", commands, widths, "  ")
    try:
        from mtmount_twisted.frontends.web.api.metrics import FIGURES
    except ImportError:
        return
    metrics = [(f"``{each.exposed}``", each.kind, ", ".join(each.labels), each.doc) for each in FIGURES]
    yield _page("web_metrics.rst", "metric", metrics, widths_for(metrics, METRIC_WIDTHS), " ")


def widths_for(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[int]:
    """Return the widths, increased where a word of a row is longer: a word must not pass its ruler."""
    return [
        max(width, *(len(word) for row in rows for word in row[column].split()))
        for column, width in enumerate(widths)
    ]


def _page(
    name: str, heading: str, rows: Sequence[Sequence[str]], widths: Sequence[int], gap: str
) -> tuple[Path, str]:
    """Return a page and its new text; see `with_rows`."""
    path = REFERENCE / name
    return path, with_rows(path.read_text(encoding="utf-8"), heading, rows, widths, gap)


def with_rows(page: str, heading: str, rows: Sequence[Sequence[str]], widths: Sequence[int], gap: str) -> str:
    """Return a page's text with new rows and rulers in its first table that begins with a heading."""
    table = re.compile(rf"^=+[= ]+\n({heading} .*)\n=+[= ]+\n(?:.+\n)*?=+[= ]+\n", re.MULTILINE)
    ruler = gap.join("=" * width for width in widths)

    def make(found: re.Match[str]) -> str:
        headings = re.split(r" {2,}", found[1])
        lines = [ruler, *_lines(headings, widths, gap), ruler]
        for row in rows:
            lines += _lines(row, widths, gap)
        return "\n".join([*lines, ruler, ""])

    return table.sub(make, page, count=1)


def _lines(cells: Sequence[str], widths: Sequence[int], gap: str) -> Iterator[str]:
    """Return the lines of a row."""
    columns = [
        textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) or [""]
        for cell, width in zip(cells, widths, strict=True)
    ]
    for number in range(max(map(len, columns))):
        pieces = (column[number] if number < len(column) else "" for column in columns)
        yield gap.join(piece.ljust(width) for piece, width in zip(pieces, widths, strict=True)).rstrip()
