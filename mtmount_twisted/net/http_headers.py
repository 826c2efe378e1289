"""The headers of HTTP that the daemon and its clients have between them."""

from __future__ import annotations

PRESENCE = "mtmount-presence"
"""A request with the value ``none`` does not count as its user's being there
(``docs/reference/web_commands.rst``). A program that only watches sends it, so that it keeps no command for a
person who went: without tokens all are one user."""
