"""The commands of the protocol tma2020. Import them from here; `dialects.tma2020.commands` defines them."""

from .dialects.tma2020.commands import *  # noqa: F403
