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
from typing import Any

import attrs
import generate_dashboard
import generate_protocol
import generate_tables
import generate_translation

from mtmount_twisted.config.loading import Config, default_config
from mtmount_twisted.config.tables import Key, Section, keys, sections

DOCS = Path(__file__).resolve().parent

MARK = (
    ".. What follows is written by docs/generate.py from mtmount_twisted/config/settings.py: "
    "make changes there.\n"
)

TOML_HEAD = """\
# The configuration of the bridge, for `twistd mtmount-bridge --config FILE`, with every key. As it
# stands, this file has the same effect as no file: the built-in simulator of today's mount, and a CSC
# on this machine that speaks tma2020, on ports 30005 and 30006. Without options, the daemon also serves
# a CSC that speaks tma2022 on port 30015, and telemetry on port 50035, if these ports are free.
#
# A line that begins with "#" and no space is an example: remove the "#" to turn it on.
# A key that a file leaves out has its default, so a file needs only the keys that differ.
# `twistd mtmount-bridge --config FILE --check-config` reports all errors in a file and exits.
"""

TABLE_HEAD = """\
.. list-table::
   :header-rows: 1
   :widths: 20 25 20 35

   * - key
     - value
     - default
     - meaning
"""


def toml_value(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(toml_value(each) for each in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def toml_header(name: str, section: Section) -> str:
    """Return the line that begins a section in a file."""
    return f"[[{name}]]" if section.many else f"[{name}]"


# docs/bridge.toml


def toml_file() -> str:
    """Return the text of ``docs/bridge.toml``."""
    parts = (toml_section(name, section) for name, section in sections(Config).items())
    return "\n\n".join((TOML_HEAD, *parts))


def toml_section(name: str, section: Section) -> str:
    """Return a section of ``docs/bridge.toml``; it is turned off if it does not hold with no file."""
    value = getattr(default_config(), section.attribute)
    values = value[0] if value and section.many else value or None
    off = "" if values is not None else "#"
    summary = (section.cls.__doc__ or "").splitlines()[0]
    entries = [toml_entry(key_name, key, values) for key_name, key in keys(section.cls).items()]
    return "\n".join((f"# {summary}\n{off}{toml_header(name, section)}\n", *entries))


def toml_entry(name: str, key: Key, values: Any) -> str:
    """Return a key with its comment; it is turned off if its line shows another value than the default.

    :param values: the section as it is with no file; None if there is none then.
    """
    default = key.default if values is None else getattr(values, name)
    value = default if key.example is None else key.example
    off = "" if values is not None and value == default else "#"
    words = f" Default: {key.default_words}.".replace("`", "") if key.default_words else ""
    text = f"{sentence(key.doc)} {sentence(key.expected)}{words}"
    comment = textwrap.fill(text, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return f"{comment}\n{off}{name} = {toml_value(value)}\n"


def sentence(phrase: str) -> str:
    """Return a phrase as a sentence."""
    return f"{phrase[0].upper()}{phrase[1:]}."


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
