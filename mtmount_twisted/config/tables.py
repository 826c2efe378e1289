"""Conversion of the tables of a TOML file to values of attrs classes, with a line for every problem.

One class represents the file; its fields are the sections (`loading.Config`). The class of a section
(`settings`) has a field for each key. The field gives the key's type and default, and its metadata gives the
rest, under the names of `Key`. `read` reads the tables of a file; `build` makes the objects.

It opens no file. Next to read: `settings`, the sections; `loading`, which reads the file.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import attrs
from msgspec import Struct


class Section(NamedTuple):
    """A section of the file.

    :ivar attribute: the attribute of the configuration that holds the section.
    :ivar cls: the class of the section.
    :ivar many: True if the file may have several sections of this name.
    """

    attribute: str
    cls: type[Any]
    many: bool


class Key(Struct, frozen=True, kw_only=True):
    """A key of the file: its type, bounds, default and text.

    :param kind: str, int, float, bool, tuple for a list of strings, or the strings to choose from.
    :param default: the default of the attrs field.
    :param doc: one line for the reference.
    :param unit: the unit of a number.
    :param least: the lowest allowed number; None for no bound.
    :param most: the highest allowed number; None for no bound.
    :param default_words: the default in words, if it is computed.
    :param example: the value in ``docs/bridge.toml``, if that is not the default.
    :param check: given a string, or each string of a list, return the value to use. It raises `ValueError`
        with the expected values.
    """

    kind: type[Any] | tuple[str, ...]
    default: Any
    doc: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    default_words: str = ""
    example: str | int | bool | None = None
    check: Callable[[str], str] | None = None

    @property
    def bounds(self) -> str:
        """The bounds and the unit, such as ``1 to 65535``; empty if the key has no bounds."""
        return "" if self.least is None else f"{self.least} to {self.most} {self.unit}".rstrip()

    @property
    def expected(self) -> str:
        """The allowed values, in words."""
        if isinstance(self.kind, tuple):
            return " or ".join(f'"{choice}"' for choice in self.kind)
        return ", ".join(filter(None, (_WORDS[self.kind], self.bounds)))

    def read(self, given: Any) -> Any:
        """Return the value to use for a value of the file.

        :raises ValueError: with the expected values.
        """
        if isinstance(self.kind, tuple):
            if given not in self.kind:
                raise ValueError(self.expected)
            return given
        if type(given) not in _ACCEPTED.get(self.kind, (self.kind,)):  # `isinstance` accepts a bool as an int
            raise ValueError(self.expected)
        if self.least is not None and self.most is not None and not self.least <= given <= self.most:
            raise ValueError(self.bounds)
        if self.kind is tuple:
            return tuple(self._read_each(given))
        return self.kind(given) if self.check is None else self.check(given)

    def _read_each(self, given: Iterable[Any]) -> Iterator[str]:
        for number, each in enumerate(given, 1):
            if not isinstance(each, str):
                raise ItemError(number, each, _WORDS[str])
            try:
                yield each if self.check is None else self.check(each)
            except ValueError as error:
                raise ItemError(number, each, str(error)) from None


class ItemError(ValueError):
    """An error in one string of a list.

    :ivar number: the position of the string in the list, counted from 1.
    :ivar given: the string.
    """

    def __init__(self, number: int, given: Any, expected: str) -> None:
        super().__init__(expected)
        self.number = number
        self.given = given


MAX_TABLES = 100
"""The largest number of tables of one section, such as ``[[port]]``: a file of 128 KiB could have 14,000 of
them."""

_WORDS = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "a list of strings",
}
_ACCEPTED: dict[type[Any], tuple[type[Any], ...]] = {float: (int, float), tuple: (list, tuple)}


@functools.cache  # `get_type_hints` compiles each annotation anew
def sections(file_class: Any) -> dict[str, Section]:
    """Return the sections of a file, by name."""
    hints = get_type_hints(file_class)
    found = {}
    for attribute in attrs.fields(file_class):
        hint = hints[attribute.name]
        [cls] = [kind for kind in (hint, *get_args(hint)) if attrs.has(kind)]
        found[attribute.metadata["section"]] = Section(attribute.name, cls, get_origin(hint) is tuple)
    return found


@functools.cache
def keys(cls: Any) -> dict[str, Key]:
    """Return the keys of a section's class, by name. A field without metadata is not a key."""
    hints = get_type_hints(cls)
    return {
        attribute.name: Key(
            kind=_kind(hints[attribute.name]), default=attribute.default, **attribute.metadata
        )
        for attribute in attrs.fields(cls)
        if attribute.metadata
    }


def _kind(hint: Any) -> Any:
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) is tuple:
        return tuple
    [kind] = set(get_args(hint) or (hint,)) - {type(None)}
    return kind if kind is hint else _kind(kind)


class Entry(NamedTuple):
    """One table of the file.

    :ivar values: its correct values, and the defaults.
    :ivar given: the keys in the file.
    """

    path: str
    section: str
    values: dict[str, Any]
    given: tuple[str, ...] = ()


def read(file_class: Any, tables: Mapping[str, Any], problems: list[str]) -> list[Entry]:
    """Read the tables of a file.

    :param file_class: the class; its fields are the sections.
    :param tables: the file, parsed.
    :param problems: receives a line for each error.
    """
    known = sections(file_class)
    entries = []
    for name, given in _with_inner(tables, known):
        if name in known:
            for path, table in _tables(name, known[name].many, given, problems):
                values = _read_table(path, known[name].cls, table, problems)
                entries.append(Entry(path, name, values, tuple(table)))
        else:
            problems.append(f"{_shown_key(name)}: unknown section{_instead(name, known)}")
    return entries


def _with_inner(tables: Mapping[str, Any], known: Mapping[str, Section]) -> Iterator[tuple[str, Any]]:
    """Yield each table of the file. A table such as ``[station.broker]`` counts as a table of its own."""
    for name, given in tables.items():
        inner = {each.rpartition(".")[2]: each for each in known if each.rpartition(".")[0] == name}
        if not inner or not isinstance(given, dict):
            yield name, given
            continue
        yield name, {key: value for key, value in given.items() if key not in inner}
        yield from ((inner[key], value) for key, value in given.items() if key in inner)


def build(file_class: Any, entries: list[Entry]) -> Any:
    """Return the configuration from tables without errors."""
    made: dict[str, Any] = {}
    for name, section in sections(file_class).items():
        objects = tuple(section.cls(**entry.values) for entry in entries if entry.section == name)
        if objects:
            made[section.attribute] = objects if section.many else objects[0]
    return file_class(**made)


def as_tables(config: Any) -> dict[str, Any]:
    """Return the tables from which `read` and `build` make this configuration, without the defaults."""

    def table(section: Any) -> dict[str, Any]:
        return attrs.asdict(
            section,
            filter=lambda attribute, value: (
                bool(attribute.metadata) and value is not None and value != _default_of(attribute, section)
            ),
        )

    tables: dict[str, Any] = {}
    for name, section in sections(config.__class__).items():
        value = getattr(config, section.attribute)
        outer, _, key = name.rpartition(".")
        if value is not None and (value or not outer):  # an empty list in another table needs no table
            place = tables.setdefault(outer, {}) if outer else tables
            place[key] = [table(each) for each in value] if section.many else table(value)
    return tables


def _default_of(attribute: Any, section: Any) -> Any:
    """Return the value of a field that the file leaves out."""
    default = attribute.default
    if not hasattr(default, "takes_self"):
        return default
    return default.factory(section) if default.takes_self else default.factory()


def _tables(name: str, many: bool, given: Any, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each table of one section with its path; several tables are numbered from 1."""
    if many and not isinstance(given, list):
        problems.append(f"{name}: expected [[{name}]], one for each, got {_shown(given)}")
        return
    if many and len(given) > MAX_TABLES:
        problems.append(f"{name}: expected at most {MAX_TABLES} tables, got {len(given)}")
        return
    for number, table in enumerate(given if many else [given], 1):
        path = f"{name}[{number}]" if many else name
        if isinstance(table, dict):
            yield path, table
        else:
            problems.append(f"{path}: expected a table, got {_shown(table)}")


def _read_table(path: str, cls: Any, table: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return the correct values of a table, and the defaults of the keys that it leaves out."""
    known = keys(cls)
    values: dict[str, Any] = {}
    for name, given in table.items():
        key = known.get(name)
        if key is None:
            problems.append(f"{path}.{_shown_key(name)}: unknown key{_instead(name, known)}")
            continue
        try:
            values[name] = key.read(given)
        except ItemError as error:
            problems.append(f"{path}.{name}[{error.number}]: expected {error}, got {_shown(error.given)}")
        except ValueError as error:
            problems.append(f"{path}.{name}: expected {error}, got {_shown(given)}")
    for name in [each for each in known if each not in table]:
        _add_default(f"{path}.{name}", name, known[name], values, problems)
    return values


def _add_default(path: str, name: str, key: Key, values: dict[str, Any], problems: list[str]) -> None:
    """Add the default of a key that a section leaves out to the section's values."""
    default = key.default
    if default is attrs.NOTHING:
        problems.append(f"{path}: missing, expected {key.expected}")
    elif not hasattr(default, "takes_self"):
        values[name] = default
    elif not default.takes_self:
        values[name] = default.factory()
    else:
        with suppress(AttributeError):  # the default depends on a key that is missing or wrong
            values[name] = default.factory(SimpleNamespace(**values))


def _instead(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name[:64], known, n=1)
    return f", did you mean {close[0]}?" if close else f"; expected one of {', '.join(known)}"


def _shown_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) else _shown(name)


_USER = re.compile(r"""^(['"](?:[a-z]+://)?).*@""")
"""The user and the password of a URL, which must reach no log."""


def _shown(value: Any) -> str:
    """Return a value of the file as one short line."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "an array"
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = repr(value) if isinstance(value, str) else str(value)
    except ValueError:  # Python refuses to convert a whole number of 5000 digits
        return "a number too long to show"
    text = _USER.sub(r"\1***@", text)
    return text if len(text) <= 80 else f"{text[:80]}..."
