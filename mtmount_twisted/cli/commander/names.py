"""Look-up of a command by a typed name: its class name, its code's name, or its short name.

Case and underscores do not matter. Pure. Next to read: `line`, which reads the values.
"""

from __future__ import annotations

import contextlib
import difflib
from functools import cache
from typing import get_args

from mtmount_twisted.dialects.dialect import (
    Dialect,
    DialectName,
    counterparts,
    dialect_named,
    dialect_translated_to,
)
from mtmount_twisted.errors import MessageError
from mtmount_twisted.wire.messages import CommandMessage, FieldInfo

DIALECT = dialect_named("tma2020")
"""The default protocol of a line."""


def parameters(command: type[CommandMessage]) -> tuple[FieldInfo, ...]:
    """Return the fields that a person gives: all except the header's fields, which the dialect's base class
    declares."""
    base = next(cls for cls in command.__mro__ if CommandMessage in cls.__bases__)
    return command.field_infos[len(getattr(base, "field_infos")) :]


def is_optional(info: FieldInfo) -> bool:
    """Return True if a person may omit this parameter: it has a default, or it is the time."""
    return not info.required or info.name in ("tai", "commander")


def _key(name: str) -> str:
    return name.lower().replace("_", "")


class CommandNames:
    """The names of the commands of a dialect.

    :ivar short: every command that has a class by its short name, in the order of the codes.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.short: dict[str, type[CommandMessage]] = {
            dialect.short_name(command): command for command in dialect.commands.values()
        }
        self._by_key = {
            _key(name): command
            for short, command in self.short.items()
            for name in (command.__name__, dialect.command_names[int(command.command_code)], short)
        }
        self._short_names = {command: name for name, command in self.short.items()}

    def short_name(self, command: type[CommandMessage]) -> str:
        """Return the short name of a command."""
        return self._short_names[command]

    def find(self, name: str) -> type[CommandMessage]:
        """Return the command with a typed name.

        :raises MessageError: if no command has this name. The error suggests similar names.
        """
        try:
            return self._by_key[_key(name)]
        except KeyError:
            raise MessageError("command", None, name, self._did_you_mean(name)) from None

    def _did_you_mean(self, name: str) -> str:
        near = difflib.get_close_matches(_key(name), self._by_key, n=6)
        guesses = list(dict.fromkeys(self.short_name(self._by_key[key]) for key in near))[:3]
        if not guesses:
            return "the name of a command ('help' lists them)"
        return f"the name of a command (did you mean {' or '.join(guesses)}? 'help' lists all)"


@cache
def names_of(dialect: Dialect) -> CommandNames:
    """Return the names of the commands of a dialect."""
    return CommandNames(dialect)


def find_command(name: str, dialect: Dialect) -> tuple[type[CommandMessage], Dialect]:
    """Return the command with a typed name, and its dialect: the given dialect, or another one that is
    translated to it.

    :raises MessageError: if no command has this name. The error lists commands with the same effect, or
        similar names.
    """
    known: tuple[DialectName, ...] = get_args(DialectName)
    try:
        return names_of(dialect).find(name), dialect
    except MessageError as error:
        for other in (dialect_named(each) for each in known if each != dialect.name):
            with contextlib.suppress(MessageError):
                command = names_of(other).find(name)
                if other is dialect_translated_to(dialect):
                    return command, other
                error = _counterpart_error(name, command, dialect) or error
        raise error from None


def _counterpart_error(name: str, command: type[CommandMessage], dialect: Dialect) -> MessageError | None:
    """Return the error for a command of another dialect for which this dialect has commands with other
    names."""
    names = names_of(dialect)
    same = [names.short_name(names.find(each)) for each in counterparts(command.__name__)]
    do = "does" if len(same) == 1 else "do"
    expected = f"{' and '.join(same)} of {dialect.name}, which {do} the same"
    return MessageError("command", None, name, expected) if same else None


def counterpart_here(name: str, dialect: Dialect) -> type[CommandMessage]:
    """Return the command with a typed name; for a command that is translated, return its translation.

    :raises MessageError: as `find_command`.
    """
    command, spoken = find_command(name, dialect)
    if spoken is dialect:
        return command
    return names_of(dialect).find(counterparts(command.__name__)[0])
