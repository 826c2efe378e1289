"""Parser of one line of text: it returns a command for the mount, or a request to the program itself.

A line is ``NAME value ... name=value ...``, and ``#`` starts a comment. No Twisted, no I/O.

Next to read: `names`, which finds the command; `session`, which runs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

from mtmount_twisted.dialects.dialect import Dialect, dialect_translated_to, translator_between
from mtmount_twisted.dialects.sources import Commander, Source
from mtmount_twisted.errors import FieldError, MessageError, UnknownFieldError
from mtmount_twisted.wire.fields import FLOAT
from mtmount_twisted.wire.messages import CommandMessage, FieldInfo
from mtmount_twisted.wire.tai import current_tai

from .names import DIALECT, counterpart_here, find_command, is_optional, parameters

SWITCH = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False}
"""Spellings of a bool, in any case."""

LONGEST_WAIT = 86400.0
"""Longest ``wait`` in seconds: a day."""

_EQUALS = re.compile(r"\s*=\s*")


@dataclass(frozen=True, slots=True)
class Help:
    """Show the help on one command, or on all commands if `command` is None."""

    command: type[CommandMessage] | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait `seconds` before the next line of a script."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Quit:
    """End the session."""


@dataclass(frozen=True, slots=True)
class Who:
    """Show the commander that has command, the requests for it, and the connected commanders."""


@dataclass(frozen=True, slots=True)
class Status:
    """Show the state of the daemon and of the mount."""


@dataclass(frozen=True, slots=True)
class Check:
    """Show the expected answer to a command, and send nothing."""

    command: CommandMessage


Request = CommandMessage | Help | Wait | Quit | Who | Status | Check

CHECK = "check"
"""The word before a command that the program only checks."""


def asks_for_itself(line: str, dialect: Dialect = DIALECT) -> bool:
    """Return True for an ``AskForCommand`` without a value, which asks for command for its own sender, and
    for a ``check`` of one.

    :raises MessageError: if the line is malformed.
    """
    words = _words(line)
    if words and words[0].lower() == CHECK:
        del words[0]
    if len(words) != 1 or words[0].lower() in OWN_WORDS:
        return False
    command, spoken = find_command(words[0], dialect)
    return spoken.kind_of(command.command_code).is_ask


def _words(line: str) -> list[str]:
    return _EQUALS.sub("=", line.partition("#")[0]).split()


def parse_line(
    line: str,
    *,
    dialect: Dialect = DIALECT,
    source: Source = Source.CSC,
    commander: Commander | None = None,
    tai: Callable[[], float] = current_tai,
) -> Request | None:
    """Parse a line. Return None for a blank line or a comment.

    :param dialect: the protocol of the mount. A command may belong to a protocol that is translated to this
        one; see `commands_for_mount`.
    :param source: the commander that sends the command.
    :param commander: the commander in an ``AskForCommand`` without a value; if None, the commander of
        `source`.
    :param tai: function that returns TAI in seconds, for an omitted ``tai``.
    :raises MessageError: if the line is malformed, or if a value is missing or invalid.
    :raises UnknownFieldError: if the command has no parameter of a given name.
    :raises TaiUnavailableError: if TAI is required and unavailable.
    """
    words = _words(line)
    if not words:
        return None
    name, *arguments = words
    if name.lower() == CHECK:
        rest = " ".join(arguments)
        command = parse_line(rest, dialect=dialect, source=source, commander=commander, tai=tai)
        if isinstance(command, CommandMessage):
            return Check(command)
        raise MessageError(CHECK, None, rest, "a command for the mount, as in check az_stop")
    if name.lower() in _READERS:
        return _READERS[name.lower()](arguments, dialect)
    cls, spoken = find_command(name, dialect)
    texts = _assign(cls, arguments)
    values = {
        info.name: read_value(cls.__name__, info, texts[info.name])
        for info in parameters(cls)
        if info.name in texts
    }
    for info in parameters(cls):
        if info.name not in values and not is_optional(info):
            raise FieldError(cls.__name__, info.name, " ".join(words), f"{expected(info)} (it is required)")
        if info.name == "tai" and "tai" not in values:
            values["tai"] = tai()
    kinds = {info.name: info.dtype for info in cls.field_infos}
    if spoken.kind_of(cls.command_code).is_ask:
        values.setdefault("commander", kinds["commander"](int(source if commander is None else commander)))
    if spoken is not dialect:
        values["sequence_id"] = 0  # a placeholder: the mount's command gets its own id
    return cls(source=kinds["source"](int(source)), **values)


def commands_for_mount(command: CommandMessage, dialect: Dialect) -> tuple[CommandMessage, ...]:
    """Return the commands that the mount receives for a parsed command: one or two.

    The second command needs the success of the first.

    :param dialect: the protocol of the mount.
    :raises MessageError: if the command belongs to another dialect, and has no translation.
    """
    if isinstance(command, dialect.messages[0]):
        return (dialect.completed(command),)
    other = dialect_translated_to(dialect)
    translator = None if other is None else translator_between(other.name, dialect.name)
    assert translator is not None  # `find_command` returns no other command
    commands, refusal = translator.translate(command)
    if refusal:
        expected = f"a command that becomes one of {dialect.name} ({refusal})"
        raise MessageError(type(command).__name__, None, command, expected)
    return tuple(map(dialect.completed, commands))


def _assign(command: type[CommandMessage], arguments: list[str]) -> dict[str, str]:
    """Return the text of each argument by the name of its parameter."""
    plain = [argument for argument in arguments if "=" not in argument]
    named = [argument.partition("=") for argument in arguments if "=" in argument]
    if arguments[: len(plain)] != plain:
        raise MessageError(
            command.__name__, None, " ".join(arguments), "values without a name before those with one"
        )
    infos = parameters(command)
    names = tuple(info.name for info in infos)
    texts: dict[str, str] = {}
    for name, _, text in named:
        if name.lower() not in names:
            raise UnknownFieldError(command.__name__, name, text, names)
        if name.lower() in texts:
            raise FieldError(
                command.__name__, name.lower(), text, f"one value (it has {texts[name.lower()]})"
            )
        texts[name.lower()] = text
    free = [info for info in infos if info.name not in texts]
    if len(plain) > len(free):
        left = ", ".join(info.name for info in free) or "none"
        raise MessageError(
            command.__name__, None, " ".join(arguments), f"at most {len(free)} values without a name ({left})"
        )
    texts.update((info.name, text) for info, text in zip(takers(free, len(plain)), plain))
    return texts


def takers(free: list[FieldInfo], count: int) -> list[FieldInfo]:
    """Return the parameters that take `count` values without a name, in the order of declaration.

    If there are as many values as required parameters, the required parameters take them. For example,
    ``covers_power on`` sets ``on`` and not ``drive``, although ``drive`` is declared first.
    """
    required = [info for info in free if not is_optional(info)]
    return required if len(required) == count else free[:count]


def read_value(message_name: str, info: FieldInfo, text: str) -> Any:
    """Return the value for a parameter from the text that a person typed.

    :raises FieldError: if the text is not of the parameter's type.
    """
    if info.kind.name == "bool" and text.lower() in SWITCH:
        return SWITCH[text.lower()]
    if info.kind.name == "enum" and text.upper() in members(info):
        return members(info)[text.upper()]
    try:
        if info.kind.name != "bool":
            return info.kind.read(text)
    except ValueError:
        pass
    raise FieldError(message_name, info.name, text, expected(info))


def members(info: FieldInfo) -> dict[str, IntEnum]:
    """Return the members of an enum parameter by name."""
    return dict(cast(type[IntEnum], info.dtype).__members__)


def expected(info: FieldInfo) -> str:
    """Return a description of the valid texts for a parameter."""
    return "on or off (or true, false, 1, 0)" if info.kind.name == "bool" else info.expected


def _help(arguments: list[str], dialect: Dialect) -> Help:
    if len(arguments) > 1:
        raise MessageError("help", None, " ".join(arguments), "at most one command")
    is_command = bool(arguments) and arguments[0].lower() not in OWN_WORDS
    return Help(counterpart_here(arguments[0], dialect) if is_command else None)


def _wait(arguments: list[str], dialect: Dialect) -> Wait:
    try:
        (text,) = arguments
        seconds = FLOAT.read(text)
        if 0 <= seconds <= LONGEST_WAIT:
            return Wait(seconds)
    except ValueError:
        pass
    raise MessageError("wait", "seconds", " ".join(arguments), f"a number from 0 to {LONGEST_WAIT:g} in s")


def _alone(name: str, request: Request) -> Callable[[list[str], Dialect], Request]:
    """Return a parser for a word without arguments."""

    def read(arguments: list[str], dialect: Dialect) -> Request:
        if arguments:
            raise MessageError(name, None, " ".join(arguments), "nothing after it")
        return request

    return read


_READERS: dict[str, Callable[[list[str], Dialect], Request]] = {
    "help": _help,
    "?": _help,
    "wait": _wait,
    "who": _alone("who", Who()),
    "status": _alone("status", Status()),
    "quit": _alone("quit", Quit()),
    "exit": _alone("exit", Quit()),
}

OWN_WORDS = (*_READERS, CHECK)
"""The words that begin a request to the program itself."""
