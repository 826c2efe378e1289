"""Look-up of a command by a typed name: its class name, its code's name, or its short name.

Case and underscores do not matter.
"""

from __future__ import annotations

import difflib
from functools import cache

from mtmount_twisted.dialects.dialect import Dialect, dialect_named
from mtmount_twisted.errors import MessageError
from mtmount_twisted.wire.messages import CommandMessage, FieldInfo

DIALECT = dialect_named("tma2020")
"""The protocol of a line, unless another one is given."""


def parameters(command: type[CommandMessage]) -> tuple[FieldInfo, ...]:
    """Return the fields that a person gives: all except the header, which the dialect's base class has."""
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

        :raises MessageError: if there is none. The error suggests similar names.
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
