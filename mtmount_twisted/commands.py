"""The commands of the 2020 protocol: the public name of `dialects.tma2020.commands`."""

from .dialects.tma2020.commands import *  # noqa: F403
