"""What happened -> one line of text that an engineer reads in a second, at night.

Each line is the time (UTC), a label in capitals if something is wrong, and the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..commands import Command
from ..enums import SubsystemId
from ..errors import (
    CommandError,
    CommandFailed,
    CommandNotSent,
    CommandOutcomeUnknown,
    CommandRefused,
    CommandSuperseded,
    CommandTimedOut,
)
from ..replies import ErrorReply, InPositionReply, OnStateInfoReply, Reply, WarningReply
from .manual import value_text
from .names import parameters

AXES = {0: "azimuth", 1: "elevation"}
"""What the ``what`` of an `InPositionReply` means; from ``protocol.md``."""

ENDINGS: dict[type[CommandError], str] = {
    CommandRefused: "REFUSED",
    CommandFailed: "FAILED",
    CommandSuperseded: "SUPERSEDED",
    CommandTimedOut: "TIMED OUT",
    CommandNotSent: "NOT SENT",
    CommandOutcomeUnknown: "UNKNOWN",
}
"""The label for each way in which a command ends otherwise than done."""


def stamped(when: datetime, label: str, text: str) -> str:
    """One line of the report.

    :param when: when it happened, UTC.
    """
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03}  {label:<10}  {printable(text)}"


def printable(text: str) -> str:
    r"""Text that can't do anything to a terminal: control characters become ``\xNN``."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def command_text(command: Command) -> str:
    """A command as a line that makes it again, without the numbers that have their default."""
    given = [
        f"{info.name}={value_text(info, getattr(command, info.name))}"
        for info in parameters(type(command))
        if info.kind.name == "enum" or info.required or getattr(command, info.name) != info.default
    ]
    return " ".join([type(command).__name__, *given])


def numbered(command: Command) -> str:
    """How a command is called in its answers: its sequence id and its name."""
    return f"#{command.sequence_id} {type(command).__name__}"


def ack_text(command: Command, expected: float, after: float) -> str:
    """The mount accepted a command.

    :param expected: how long the mount expects it to take, in seconds; 0 if it did not say.
    :param after: how long after it was sent, in seconds.
    """
    text = f"{numbered(command)} after {after:.3f} s"
    return f"{text}, expected to take {expected:g} s" if expected else text


def done_text(command: Command, after: float) -> str:
    """A command is done, `after` seconds after it was sent."""
    text = f"{numbered(command)} after {after:.3f} s"
    return f"{text} (a track command ends with its Ack)" if command.ack_only else text


def ending(error: CommandError, after: float) -> tuple[str, str]:
    """The label and the text for a command that ended otherwise than done."""
    return ENDINGS[type(error)], f"{numbered(error.command)} after {after:.3f} s: {error.explanation}"


def event(reply: Reply) -> tuple[str, str]:
    """The label and the text for a reply that answers no command."""
    return _EVENTS[type(reply)](reply)


def code_text(code: int) -> str:
    """A code of an error or a warning, with the subsystem's name: ``903 (MIRROR_COVERS + 3)``."""
    base = code // 100 * 100
    if base not in SubsystemId.__members__.values():
        return str(code)
    return f"{code} ({SubsystemId(base).name} + {code - base})"


def _error(reply: ErrorReply) -> tuple[str, str]:
    if not (reply.on or reply.active):
        return "error over", _fault(reply)
    now = "active now" if reply.active else "no longer active"
    return "ERROR", f"{now}, {'latched until reset' if reply.on else 'not latched'}: {_fault(reply)}"


def _warning(reply: WarningReply) -> tuple[str, str]:
    return ("WARNING" if reply.active else "warn. over"), _fault(reply)


def _fault(reply: ErrorReply | WarningReply) -> str:
    return "; ".join([f"code {code_text(reply.code)}, {reply.subsystem}", *reply.extra_data])


def _state(reply: OnStateInfoReply) -> tuple[str, str]:
    return "state", reply.description


def _in_position(reply: InPositionReply) -> tuple[str, str]:
    axis = AXES.get(reply.what, f"axis {reply.what}")
    return "position", f"{axis} is {'in position' if reply.in_position else 'NOT in position'}"


_EVENTS: dict[type[Reply], Callable[[Any], tuple[str, str]]] = {
    ErrorReply: _error,
    WarningReply: _warning,
    OnStateInfoReply: _state,
    InPositionReply: _in_position,
}
