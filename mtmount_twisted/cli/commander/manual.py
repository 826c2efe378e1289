"""The texts of ``help``, generated from the declarations of the messages.

Pure. Next to read: `line`, which parses what this explains.
"""

from __future__ import annotations

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.wire.messages import CommandMessage, FieldInfo

from .line import members
from .names import DIALECT, is_optional, names_of, parameters

_ENDING = """
help COMMAND    shows the parameters of a command
check COMMAND   shows the expected answer to a command, and sends nothing
who             shows who has command, who asks for it and who is connected
status          shows what the bridge knows of the mount and of itself
wait SECONDS    waits before the next line of a script
quit            ends; so do exit and Ctrl-D

A command takes values in order (az_move 10) or by name (az_move position=10);
bools are on or off; an enum's member goes by name or number; # begins a comment."""


def help_all(dialect: Dialect = DIALECT) -> str:
    """Return a list of all commands of a dialect, one line each."""
    names = names_of(dialect).short
    width = max(map(len, names))
    lines = [f"{name:<{width}}  {summary(command)}" for name, command in names.items()]
    return "\n".join(lines) + "\n" + _ENDING


def summary(command: type[CommandMessage]) -> str:
    """Return the first line of a command's docstring."""
    return (command.__doc__ or "").strip().partition("\n")[0]


def usage(command: type[CommandMessage], dialect: Dialect = DIALECT) -> str:
    """Return the syntax of a command: its short name and its parameters, optional ones in brackets."""
    words = [f"[{info.name}]" if is_optional(info) else info.name for info in parameters(command)]
    return " ".join([names_of(dialect).short_name(command), *words])


def help_command(command: type[CommandMessage], dialect: Dialect = DIALECT) -> str:
    """Return the full help on one command: types, units, defaults and meaning of each parameter."""
    answer = "an Ack and nothing more" if command.ack_only else "an Ack, then Done"
    if dialect.kind_of(command.command_code).is_heartbeat:
        answer = "nothing"
    lines = [
        usage(command, dialect),
        f"    {summary(command)}",
        f"    {command.__name__}, code {int(command.command_code)}; the mount answers with {answer}.",
    ]
    rows = [_row(info) for info in parameters(command)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        lines.append("    " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip())
    return "\n".join(lines)


def _row(info: FieldInfo) -> tuple[str, str, str, str, str]:
    return info.name, _type_name(info), info.unit, _default(info), info.doc.replace("`", "")


def _type_name(info: FieldInfo) -> str:
    if info.kind.name == "enum":
        return "|".join(members(info))
    return "on|off" if info.kind.name == "bool" else info.kind.name


def _default(info: FieldInfo) -> str:
    if info.name == "tai":
        return "default: now"
    if info.name == "commander":
        return "default: this commander"
    if info.required:
        return "required"
    return f"default: {value_text(info, info.default)}"


def value_text(info: FieldInfo, value: object) -> str:
    """Return a value as a person would type it."""
    if info.kind.name == "bool":
        return "on" if value else "off"
    if info.kind.name == "enum":
        return str(getattr(value, "name", value))
    return info.kind.write(value)
