"""The tables and blocks of the documentation, as texts, for the checks that hold them to the code.

The checks in ``.ci`` import it before anything is installed, so it needs the standard library alone.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.rst"

DIRECTIVE = re.compile(r"( *)\.\. ([\w-]+):: *(.*)")
ITEM = re.compile(r" *(?:(?:[*-]|\d+\.) +)*")
COMMENT = re.compile(r"( *)\.\. (?!\[|_|\|)(?![\w-]+::)(.+)")
OPTIONS = re.compile(r"\A(?::[\w-]+:.*\n)+")
LITERAL = ("code", "literalinclude", "parsed-literal", "sourcecode", "highlight", "doctest")
"""Directives for a block of code; the documentation has ``code-block`` only, so that all can be found."""


@dataclass(frozen=True)
class Block:
    """A block of code.

    :param language: as ``code-block`` gives it; "" for a block after ``::`` or of another directive.
    :param marks: the comments directly above it, in their order.
    """

    page: str
    line: int
    language: str
    text: str
    marks: tuple[str, ...]

    def mark(self, name: str) -> str | None:
        """Return the text of a mark ``NAME: TEXT``, or None if there is none."""
        for mark in self.marks:
            if mark.startswith(f"{name}: "):
                return mark.removeprefix(f"{name}: ")
        return None


def blocks(path: Path) -> list[Block]:
    """Return all blocks of code of a page, in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    marks: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        directive, comment = DIRECTIVE.fullmatch(line), COMMENT.fullmatch(line)
        literal = directive is not None and directive[2] in ("code-block", *LITERAL)
        if literal or (directive is None and comment is None and line.endswith("::")):
            language = directive[3].strip() if directive is not None and directive[2] == "code-block" else ""
            end = _end_of_block(lines, number)
            text = textwrap.dedent("\n".join(lines[number + 1 : end]))
            text = OPTIONS.sub("", text).strip("\n") + "\n"
            name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
            found.append(Block(name, number + 1, language, text, tuple(marks)))
            number = end
            marks = []
            continue
        if comment is not None:
            end = _end_of_block(lines, number)
            marks.append(" ".join([comment[2], *(each.strip() for each in lines[number + 1 : end])]).strip())
            number = end
            continue
        if line.strip():
            marks = []
        number += 1
    return found


def _end_of_block(lines: list[str], head: int) -> int:
    """Return the number of the first line after those that are indented more than the text of line `head`."""
    item = ITEM.match(lines[head])
    indent = item.end() if item is not None else 0
    end = head + 1
    while end < len(lines) and (
        not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent
    ):
        end += 1
    return end


def marked(path: Path, mark: str) -> str:
    """Return the text of the block with this mark.

    :raises LookupError: if there is none.
    """
    for block in blocks(path):
        if mark in block.marks:
            return block.text
    raise LookupError(f"{path.name}: no code-block directly after '.. {mark}'")


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
