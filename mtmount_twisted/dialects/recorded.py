"""Recorded commands, to show and to send again. A command has the same layout in each generation.

It is text: its sequence id, its code, its source, the time of sending and its parameters, separated by line
feeds. Pure. Next to read: ``cli.journal.replay``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from mtmount_twisted.wire.lines import SHOWN_BYTES
from mtmount_twisted.wire.messages import CommandMessage

HEADER_FIELDS = 4

SHOWN_FIELDS = 100
"""Number of fields of a command that are shown; no known command has more."""


def undecoded(line: bytes) -> str:
    """Return the parameters of a command that can't be decoded, as text for people.

    A long line is cut, and ends with dots.
    """
    fields = line[:SHOWN_BYTES].split(b"\n")
    is_cut = len(line) > SHOWN_BYTES or len(fields) > SHOWN_FIELDS
    parameters = b" ".join(fields[HEADER_FIELDS:SHOWN_FIELDS])
    return parameters.decode("utf-8", "backslashreplace") + "..." * is_cut


def renewing(
    commands: Mapping[Any, type[CommandMessage]], timestamp: Callable[[], str]
) -> Callable[[bytes, int, float], bytes]:
    """Return the function `Dialect.renewed` of a dialect.

    :param commands: the class of each command, by its code.
    :param timestamp: function that returns the present time as text, as it is in a command.
    """
    places = {int(code): _place_of_tai(command) for code, command in commands.items()}

    def renewed(line: bytes, sequence_id: int, advance: float) -> bytes:
        fields = line.lstrip().split(b"\n")  # a mount strips the line, too
        fields[0] = b"%d" % sequence_id
        fields[3] = timestamp().encode()
        place = places.get(int(fields[1]))
        if advance and place is not None and place < len(fields):
            with suppress(ValueError):  # a malformed number goes to the receiver unchanged
                fields[place] = str(float(fields[place]) + advance).encode()
        return b"\n".join(fields)

    return renewed


def _place_of_tai(command: type[CommandMessage]) -> int | None:
    names = [info.name for info in command.field_infos]
    return names.index("tai") if "tai" in names else None
