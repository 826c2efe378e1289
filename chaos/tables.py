"""``python -m chaos.tables``: write the tables of ``docs/explanation/reliability.rst``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fuzz import results as fuzzed

from . import on_flood
from .process import ROOT
from .report import FIGURES, HEADINGS, RESULTS, cells

PAGE = ROOT / "docs" / "explanation" / "reliability.rst"

FILES = {"chaos": RESULTS, "model": ROOT / "chaos" / "model.json", "fuzz": fuzzed.RESULTS}
"""The files that ``make chaos``, ``make model`` and ``make fuzz`` write."""

GENERATED = re.compile(r"(\.\. from [^\n]+\.json: )([^\n]+)\n.*?(?=\n\.\. end\n)", re.DOTALL)
"""The text between the comment that names a table and the comment that ends it."""


def read() -> dict[str, Any]:
    """Return the results of the last runs, by the names of `FILES`."""
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def page(text: str, content: Mapping[str, Any]) -> str:
    """The page with its tables made anew."""
    return GENERATED.sub(lambda found: f"{found[1]}{found[2]}\n\n{TABLES[found[2]](content)}\n", text)


def facts(content: Mapping[str, Any]) -> str:
    """Names and their values."""
    return "\n".join(f":{key}: {value}" for key, value in content.items())


def figures(content: Mapping[str, Any]) -> str:
    """The figures of all rows together, and of the model."""
    body = [(FIGURES[name], f"{value:,}") for name, value in content["chaos"]["figures"].items()]
    played = [
        (f"model {name}, {dialect}", f"{tally[name]:,}")
        for dialect, tally in content["model"]["figures"].items()
        for name in ("steps", "failures")
    ]
    return grid(("figure", "value"), [*played, *body])


def played(content: Mapping[str, Any]) -> str:
    """Return the table of the steps that the model made in each dialect."""
    found = content["model"]["figures"]
    body = [(dialect, *(f"{value:,}" for value in tally.values())) for dialect, tally in found.items()]
    return grid(("dialect", "steps", "examples", "failures"), body)


def faults(content: Mapping[str, Any]) -> str:
    """Return the table of faults with their observed effects."""
    return grid(HEADINGS, [cells(result) for result in content["chaos"]["results"]])


def floods(content: Mapping[str, Any]) -> str:
    """How long commanders and users waited while strangers flooded the daemon."""
    found = [result for result in content["chaos"]["results"] if "measured" in result]
    body = [(each["fault"], *(str(each["measured"][name]) for name in on_flood.MEASURED)) for each in found]
    return grid(("flood", *on_flood.MEASURED), body)


def parsers(content: Mapping[str, Any]) -> str:
    """Return the table of parsers with their inputs, also of those that were not fuzzed."""
    found = content["fuzz"]
    body = [
        (name, *(f"{found[name][key]:,}" for key in fuzzed.HEADINGS[1:]), found[name]["commit"])
        if name in found
        else (name, "not yet", "-", "-", "-")
        for name in fuzzed.NAMES
    ]
    return grid((*fuzzed.HEADINGS, "commit"), body)


def fuzzed_on(content: Mapping[str, Any]) -> str:
    """Each machine that fuzzed, with the parsers that it did."""
    machines: dict[str, list[str]] = {}
    for name, result in content["fuzz"].items():
        machines.setdefault(facts(result["machine"]), []).append(name)
    return "\n\n".join(f":parsers: {', '.join(names)}\n{text}" for text, names in machines.items())


TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "faults": faults,
    "floods": floods,
    "figures": figures,
    "machine": lambda content: facts(content["chaos"]["machine"]),
    "model": lambda content: f"{played(content)}\n\n{facts(content['model']['machine'])}",
    "parsers": parsers,
    "machines that fuzzed": fuzzed_on,
}


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
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), read()), encoding="utf-8")


if __name__ == "__main__":
    main()
