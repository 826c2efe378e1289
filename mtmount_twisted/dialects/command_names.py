"""The short names of commands, for typing.

Pure: no Twisted, no I/O. Next to read: ``tma2020.dialect`` and ``tma2022.dialect``, which have the
abbreviations of their devices.
"""

from __future__ import annotations

from collections.abc import Mapping

from mtmount_twisted.wire.messages import CommandMessage


def short_name(abbreviations: Mapping[str, str], command: type[CommandMessage]) -> str:
    """Return the name of a command's code in lower case, with its device abbreviated, such as ``az_move``.

    :param abbreviations: the beginning of a name in lower case, and the abbreviation for it.
    """
    name: str = command.command_code.name.lower()
    for long, short in abbreviations.items():
        if name.startswith(long):
            return short + name.removeprefix(long)
    return name
