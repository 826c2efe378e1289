"""Look-up of a command by a typed name: its class name, or its short name (`command_names`).

Case and underscores do not matter.
"""

from __future__ import annotations

import difflib

from mtmount_twisted.dialects.tma2020.command_names import short_name, snake_name
from mtmount_twisted.dialects.tma2020.commands import NUM_HEADER_FIELDS, Command, Commands
from mtmount_twisted.errors import MessageError
from mtmount_twisted.wire.messages import FieldInfo


def parameters(command: type[Command]) -> tuple[FieldInfo, ...]:
    """Return the fields that a person gives: all except the header."""
    return command.field_infos[NUM_HEADER_FIELDS:]


def is_optional(info: FieldInfo) -> bool:
    """Return True if a person may omit this parameter: it has a default, or it is the time."""
    return not info.required or info.name == "tai"


def _key(name: str) -> str:
    return name.lower().replace("_", "")


SHORT_NAMES: dict[str, type[Command]] = {short_name(command): command for command in Commands}
"""Every command by its short name, in the order of the codes."""

_BY_KEY = {
    _key(name): command
    for command in Commands
    for name in (command.__name__, snake_name(command), short_name(command))
}


def find_command(name: str) -> type[Command]:
    """Return the command with a typed name.

    :raises MessageError: if there is none. The error suggests similar names.
    """
    try:
        return _BY_KEY[_key(name)]
    except KeyError:
        raise MessageError("command", None, name, _did_you_mean(name)) from None


def _did_you_mean(name: str) -> str:
    near = difflib.get_close_matches(_key(name), _BY_KEY, n=6)
    guesses = list(dict.fromkeys(short_name(_BY_KEY[key]) for key in near))[:3]
    if not guesses:
        return "the name of a command ('help' lists them)"
    return f"the name of a command (did you mean {' or '.join(guesses)}? 'help' lists all)"
