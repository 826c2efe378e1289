"""The short names of commands for typing: the code's name in lower case, with the device abbreviated.

``AZIMUTH_MOVE`` is ``az_move``, as in the protocol tma2020 ``AZIMUTH_AXIS_MOVE`` is.
"""

from __future__ import annotations

from .commands import Command

ABBREVIATIONS = {
    "azimuth_": "az_",
    "elevation_": "el_",
    "both_axes_": "both_",
    "camera_cable_wrap_": "ccw_",
    "mirror_covers_": "covers_",
    "mirror_cover_locks_": "locks_",
    "mirror_cover_system_": "cover_system_",
    "main_axes_power_supply_": "main_",
    "oil_supply_system_": "oil_",
    "top_end_chiller_": "chiller_",
}
"""Abbreviation of each device's name."""


def snake_name(command: type[Command]) -> str:
    """Return the name of the class in snake case, such as ``azimuth_move``."""
    return command.command_code.name.lower()


def short_name(command: type[Command]) -> str:
    """Return the shortest name of a command, such as ``az_move``."""
    name = snake_name(command)
    for long, short in ABBREVIATIONS.items():
        if name.startswith(long):
            return short + name.removeprefix(long)
    return name
