"""The protocols of a row: that of the mount, that of its commanders, and the commands that the rows send."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

from mtmount_twisted import commands as tma2020
from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.dialects.sources import Commander, Source
from mtmount_twisted.dialects.tma2020.dialect import DIALECT as DIALECT_2020
from mtmount_twisted.dialects.tma2022 import commands as tma2022
from mtmount_twisted.dialects.tma2022.dialect import DIALECT as DIALECT_2022
from mtmount_twisted.dialects.tma2022.enums import Source as Source2022

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

TAI_EPOCH = EPOCH.timestamp() + 37.0
"""The same moment in seconds of TAI."""


@dataclass(frozen=True, eq=False)
class Setting:
    """The protocols of a house.

    :ivar mount: the protocol of the mount.
    :ivar commanders: the protocol of its commanders; the bridge translates if it is another one.
    :ivar commands: the module with the commands of the commanders.
    :ivar simple: a command that the mount executes at once, and that moves nothing.
    :ivar move: the command that moves the azimuth axis to a position; `power` turns the axis on, and `reset`
        ends its alarm.
    """

    mount: Dialect
    commanders: Dialect
    commands: Any
    simple: Any
    move: Any
    power: Any
    reset: Any
    commander_type: type[IntEnum]
    source_type: type[IntEnum]

    @property
    def is_translated(self) -> bool:
        """True if the commanders speak another protocol than the mount."""
        return self.commanders is not self.mount

    @property
    def stop(self) -> Any:
        """The command that stops both axes."""
        return self.commands.BothAxesStop

    @property
    def ask(self) -> Any:
        """The command that asks for command."""
        return self.commands.AskForCommand

    def stamped(self, kind: Any, number: int, **parameters: Any) -> Any:
        """Make a command with a number as its sequence id and in its time stamp."""
        is_text = self.commanders is DIALECT_2020
        stamp: Any = EPOCH + number * MILLISECOND if is_text else TAI_EPOCH + number / 1000
        for name, enum in (("source", self.source_type), ("commander", self.commander_type)):
            if name in parameters:
                parameters[name] = enum(parameters[name])
        return kind(sequence_id=number, timestamp=stamp, **parameters)


def number_of(command: Any) -> int:
    """Return the number in the time stamp of a command, in either protocol."""
    stamp: datetime | float = command.timestamp
    if isinstance(stamp, datetime):
        return round((stamp - EPOCH) / MILLISECOND)
    return round((stamp - TAI_EPOCH) * 1000)


TMA2020 = Setting(
    DIALECT_2020,
    DIALECT_2020,
    tma2020,
    simple=tma2020.Enable,
    move=tma2020.AzimuthAxisMove,
    power=tma2020.AzimuthAxisPower,
    reset=tma2020.AzimuthAxisResetAlarm,
    commander_type=Commander,
    source_type=Source,
)
"""A mount of 2020."""

TMA2022 = Setting(
    DIALECT_2022,
    DIALECT_2022,
    tma2022,
    simple=tma2022.AzimuthResetAlarm,
    move=tma2022.AzimuthMove,
    power=tma2022.AzimuthPower,
    reset=tma2022.AzimuthResetAlarm,
    commander_type=Source2022,
    source_type=Source2022,
)
"""Today's mount."""

TRANSLATED = Setting(
    DIALECT_2022,
    DIALECT_2020,
    tma2020,
    simple=tma2020.AzimuthAxisResetAlarm,
    move=tma2020.AzimuthAxisMove,
    power=tma2020.AzimuthAxisPower,
    reset=tma2020.AzimuthAxisResetAlarm,
    commander_type=Commander,
    source_type=Source,
)
"""Today's mount, commanded by programs of 2020."""
