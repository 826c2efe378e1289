"""The enums of the protocol tma2020. Import them from here; `dialects.tma2020.enums` defines them."""

from .dialects.tma2020.enums import *  # noqa: F403
