"""Write the reference of the configuration from the settings of the bridge.

    .venv/bin/python docs/generate.py

The settings are declared in ``mtmount_twisted/config/settings.py``. All of ``docs/bridge.toml`` comes from
them, and the part of ``docs/reference/configuration.rst`` below the line `MARK`; the text above it is written
by hand. `generate_protocol` writes the tables of the two protocol pages, `generate_tables` those of the
commands and of the metrics, `generate_dashboard` a panel of each metric that has no other one, and
`generate_translation` the tables of the translation. A test compares all these files with the output of this
script.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attrs
import generate_dashboard
import generate_protocol
import generate_tables
import generate_translation

from mtmount_twisted.config.example import toml_file, toml_header, toml_value
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.tables import Key, Section, keys, sections

DOCS = Path(__file__).resolve().parent

MARK = (
    ".. What follows is written by docs/generate.py from mtmount_twisted/config/settings.py: "
    "make changes there.\n"
)

TABLE_HEAD = """\
.. list-table::
   :header-rows: 1
   :widths: 20 25 20 35

   * - key
     - value
     - default
     - meaning
"""


# docs/reference/configuration.rst


def rst_sections() -> str:
    """Return what follows `MARK` in ``docs/reference/configuration.rst``."""
    parts = [rst_section(name, section) for name, section in sections(Config).items()]
    return "\n".join(parts)


def rst_section(name: str, section: Section) -> str:
    """Return a section of the reference: its title, its text, and a row for each key."""
    title = f"``{toml_header(name, section)}``"
    text = "\n\n".join(
        textwrap.fill(paragraph, 120, break_on_hyphens=False)
        for paragraph in inspect.cleandoc(section.cls.__doc__ or "").split("\n\n")
    )
    rows = "".join(rst_row(key_name, key) for key_name, key in keys(section.cls).items())
    return f"{title}\n{'-' * len(title)}\n\n{text}\n\n{TABLE_HEAD}{rows}"


def rst_row(name: str, key: Key) -> str:
    """Return the row of a key."""
    words = key.default_words.replace("`", "``")
    if key.default is attrs.NOTHING:
        words = "(required)"
    elif not words:
        words = f"``{toml_value(key.default)}``"
    expected = re.sub(r'("\w+")', r"``\1``", key.expected)
    return f"   * - ``{name}``\n     - {expected}\n     - {words}\n     - {key.doc}\n"


def rst_file(present: str) -> str:
    """Return the text of ``docs/reference/configuration.rst``.

    :param present: its present text, of which all before `MARK` stays.
    """
    by_hand, mark, _ = present.partition(MARK)
    if not mark:
        raise SystemExit(f"docs/reference/configuration.rst: expected this line above the sections:\n{MARK}")
    return f"{by_hand}{mark}\n{rst_sections()}"


def generated() -> Iterator[tuple[Path, str]]:
    """Return each file with the text that belongs in it."""
    yield DOCS / "bridge.toml", toml_file()
    page = DOCS / "reference" / "configuration.rst"
    yield page, rst_file(page.read_text(encoding="utf-8"))
    yield from generate_protocol.generated()
    yield from generate_tables.generated()
    yield from generate_dashboard.generated()
    yield from generate_translation.generated()


if __name__ == "__main__":
    for path, text in generated():
        path.write_text(text, encoding="utf-8")
