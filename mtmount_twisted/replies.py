"""The replies of the protocol tma2020. Import them from here; `dialects.tma2020.replies` defines them."""

from .dialects.tma2020.replies import *  # noqa: F403
