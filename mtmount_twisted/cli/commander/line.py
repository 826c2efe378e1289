"""One line of text -> what it asks for: a command for the mount, or a word of our own.

A line is ``NAME value ... name=value ...``, and ``#`` begins a comment. No Twisted, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

from mtmount_twisted.dialects.tma2020.commands import AskForCommand, Command
from mtmount_twisted.dialects.tma2020.enums import Commander, Source
from mtmount_twisted.errors import FieldError, MessageError, UnknownFieldError
from mtmount_twisted.wire.fields import FLOAT
from mtmount_twisted.wire.messages import FieldInfo
from mtmount_twisted.wire.tai import current_tai

from .names import find_command, is_optional, parameters

SWITCH = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False}
"""How a bool may be written, in any case of letters."""

LONGEST_WAIT = 86400.0
"""The longest ``wait``, in seconds: a day."""

_EQUALS = re.compile(r"\s*=\s*")


@dataclass(frozen=True, slots=True)
class Help:
    """Show the help on one command, or on all if `command` is None."""

    command: type[Command] | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait `seconds` before the next line of a script."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Quit:
    """End the session."""


@dataclass(frozen=True, slots=True)
class Who:
    """Show who has command, who asks for it and who is connected."""


@dataclass(frozen=True, slots=True)
class Status:
    """Show all that the daemon knows of itself and of the mount."""


Request = Command | Help | Wait | Quit | Who | Status


def asks_for_itself(line: str) -> bool:
    """Return whether a line is an ``AskForCommand`` without a value: it asks for the commander that sends it.

    :raises MessageError: if the line is no command.
    """
    words = _words(line)
    return len(words) == 1 and words[0].lower() not in OWN_WORDS and find_command(words[0]) is AskForCommand


def _words(line: str) -> list[str]:
    return _EQUALS.sub("=", line.partition("#")[0]).split()


def parse_line(
    line: str,
    *,
    source: Source = Source.CSC,
    commander: Commander | None = None,
    tai: Callable[[], float] = current_tai,
) -> Request | None:
    """What a line asks for, or None if it is blank or a comment.

    :param source: the commander that a command is sent by.
    :param commander: the one that an ``AskForCommand`` without a value asks for; that of `source` if None.
    :param tai: the current TAI in seconds, for a ``tai`` that is left out.
    :raises MessageError: if it is no command, or a value is missing or bad.
    :raises UnknownFieldError: if it names a parameter that the command does not have.
    :raises TaiUnavailableError: if TAI is needed and not known.
    """
    words = _words(line)
    if not words:
        return None
    name, *arguments = words
    if name.lower() in OWN_WORDS:
        return OWN_WORDS[name.lower()](arguments)
    command = find_command(name)
    texts = _assign(command, arguments)
    values = {
        info.name: read_value(command.__name__, info, texts[info.name])
        for info in parameters(command)
        if info.name in texts
    }
    for info in parameters(command):
        if info.name not in values and not is_optional(info):
            raise FieldError(
                command.__name__, info.name, " ".join(words), f"{expected(info)} (it is required)"
            )
        if info.name == "tai" and "tai" not in values:
            values["tai"] = tai()
    if command is AskForCommand:
        values.setdefault("commander", Commander(int(source)) if commander is None else commander)
    return command(source=source, **values)


def _assign(command: type[Command], arguments: list[str]) -> dict[str, str]:
    """Each argument's text by the name of its parameter."""
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
    """Which parameters take `count` values without a name: in the order of declaration.

    If there are just as many as must be given, those are meant: ``covers_power on`` says
    nothing of ``drive``, though that is declared before ``on``.
    """
    required = [info for info in free if not is_optional(info)]
    return required if len(required) == count else free[:count]


def read_value(message_name: str, info: FieldInfo, text: str) -> Any:
    """The value that a person wrote for a parameter.

    :raises FieldError: if it is not of the parameter's type.
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
    """The members of an enum parameter by name."""
    return dict(cast(type[IntEnum], info.dtype).__members__)


def expected(info: FieldInfo) -> str:
    """What a person may write for a parameter, in words."""
    return "on or off (or true, false, 1, 0)" if info.kind.name == "bool" else info.expected


def _help(arguments: list[str]) -> Help:
    if len(arguments) > 1:
        raise MessageError("help", None, " ".join(arguments), "at most one command")
    return Help(find_command(arguments[0]) if arguments and arguments[0].lower() not in OWN_WORDS else None)


def _wait(arguments: list[str]) -> Wait:
    try:
        (text,) = arguments
        seconds = FLOAT.read(text)
        if 0 <= seconds <= LONGEST_WAIT:
            return Wait(seconds)
    except ValueError:
        pass
    raise MessageError("wait", "seconds", " ".join(arguments), f"a number from 0 to {LONGEST_WAIT:g} in s")


def _alone(name: str, request: Request) -> Callable[[list[str]], Request]:
    """Return what reads a word that has nothing after it."""

    def read(arguments: list[str]) -> Request:
        if arguments:
            raise MessageError(name, None, " ".join(arguments), "nothing after it")
        return request

    return read


OWN_WORDS: dict[str, Callable[[list[str]], Request]] = {
    "help": _help,
    "?": _help,
    "wait": _wait,
    "who": _alone("who", Who()),
    "status": _alone("status", Status()),
    "quit": _alone("quit", Quit()),
    "exit": _alone("exit", Quit()),
}
"""The words that are not commands for the mount."""
