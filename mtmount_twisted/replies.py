"""The replies of the 2020 protocol: the public name of `dialects.tma2020.replies`."""

from .dialects.tma2020.replies import *  # noqa: F403
