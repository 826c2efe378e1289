"""The enums of the 2020 protocol: the public name of `dialects.tma2020.enums`."""

from .dialects.tma2020.enums import *  # noqa: F403
