"""An example configuration with every key, made from the settings, as in ``docs/bridge.toml``.

``twistd mtmount-bridge --example-config`` prints it. Pure. Next to read: `settings`, which declares the keys,
and `tables`, which reads them.
"""

from __future__ import annotations

import textwrap
from typing import Any

from .loading import Config, default_config
from .tables import Key, Section, keys, sections

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


def toml_value(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(toml_value(each) for each in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def toml_header(name: str, section: Section) -> str:
    """Return the line that begins a section in a file."""
    return f"[[{name}]]" if section.many else f"[{name}]"


def toml_file() -> str:
    """Return the text of ``docs/bridge.toml``."""
    parts = (_section(name, section) for name, section in sections(Config).items())
    return "\n\n".join((TOML_HEAD, *parts))


def _section(name: str, section: Section) -> str:
    """Return a section of ``docs/bridge.toml``; it is turned off if a bridge without a file does not have
    it."""
    value = getattr(default_config(), section.attribute)
    values = value[0] if value and section.many else value or None
    off = "" if values is not None else "#"
    cls: Any = section.cls
    summary = (cls.__doc__ or "").splitlines()[0]
    entries = [_entry(key_name, key, values) for key_name, key in keys(cls).items()]
    return "\n".join((f"# {summary}\n{off}{toml_header(name, section)}\n", *entries))


def _entry(name: str, key: Key, values: Any) -> str:
    """Return a key with its comment; it is turned off if its line shows a value other than the default.

    :param values: the section of a bridge without a file; None if such a bridge does not have it.
    """
    default = key.default if values is None else getattr(values, name)
    value = default if key.example is None else key.example
    off = "" if values is not None and value == default else "#"
    words = f" Default: {key.default_words}.".replace("`", "") if key.default_words else ""
    text = f"{_sentence(key.doc)} {_sentence(key.expected)}{words}"
    comment = textwrap.fill(text, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return f"{comment}\n{off}{name} = {toml_value(value)}\n"


def _sentence(phrase: str) -> str:
    """Return a phrase as a sentence."""
    return f"{phrase[0].upper()}{phrase[1:]}."
