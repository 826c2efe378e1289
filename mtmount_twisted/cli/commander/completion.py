"""Completions for the Tab key: commands, the names of their parameters, and values of bools and enums.

Pure. Next to read: `names`; `prompt`, which shows the completions.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.errors import MessageError
from mtmount_twisted.wire.messages import CommandMessage, FieldInfo

from .line import CHECK, OWN_WORDS, members, takers
from .manual import summary
from .names import DIALECT, names_of, parameters


class Offer(NamedTuple):
    """One completion.

    :ivar text: replacement for the last `replaces` characters before the cursor.
    :ivar doc: the meaning of the completion.
    """

    text: str
    replaces: int
    doc: str


def offers(before: str, dialect: Dialect = DIALECT) -> list[Offer]:
    """Return the completions of a text.

    :param before: the line up to the cursor.
    :param dialect: the protocol of the commands.
    """
    *words, last = re.split(r"\s+", before.lstrip())
    if "#" in before:
        return []
    if not words:
        return _matching(last, {**_command_docs(last, dialect), **dict.fromkeys(OWN_WORDS, "")})
    if words[0].lower() == CHECK and len(words) == 1:
        return _matching(last, _command_docs(last, dialect))
    if words[0].lower() == CHECK:
        words = words[1:]
    if words[0].lower() in ("help", "?"):
        return _matching(last, _command_docs(last, dialect)) if len(words) == 1 else []
    try:
        command = names_of(dialect).find(words[0])
    except MessageError:
        return []
    return _argument_offers(command, words[1:], last)


def _command_docs(typed: str, dialect: Dialect) -> dict[str, str]:
    """Return docs by short name; by class name if `typed` has a capital letter."""
    if typed[:1].isupper():
        return {command.__name__: summary(command) for command in dialect.commands.values()}
    return {name: summary(command) for name, command in names_of(dialect).short.items()}


def _argument_offers(command: type[CommandMessage], given: list[str], last: str) -> list[Offer]:
    infos = {info.name: info for info in parameters(command)}
    name, equals, value = last.partition("=")
    if equals:
        info = infos.get(name.lower())
        return [] if info is None else _matching(value, _values(info))
    named = {word.partition("=")[0].lower() for word in given if "=" in word}
    free = [info for info in infos.values() if info.name not in named]
    count = len(given) - len(named)
    plain = [] if named else takers(free, count + 1)[count:]
    taken = takers(free, count)
    docs: dict[str, str] = {}
    for info in plain:
        docs.update(_values(info))
    docs.update((f"{info.name}=", info.doc) for info in free if info not in taken)
    return _matching(last, docs)


def _values(info: FieldInfo) -> dict[str, str]:
    if info.kind.name == "bool":
        return {"on": info.doc, "off": info.doc}
    return dict.fromkeys(members(info), info.doc) if info.kind.name == "enum" else {}


def _matching(typed: str, docs: dict[str, str]) -> list[Offer]:
    return [
        Offer(text, len(typed), doc) for text, doc in docs.items() if text.lower().startswith(typed.lower())
    ]
