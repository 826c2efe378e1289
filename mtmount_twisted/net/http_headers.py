"""HTTP headers that the daemon shares with its clients.

Names only. Next to read: ``frontends.web.api.commanders``, which reads them.
"""

from __future__ import annotations

PRESENCE = "mtmount-presence"
"""Header of a request. With the value ``none``, the request does not count as presence of its user
(``docs/reference/web_commands.rst``). A program that only watches sends it. Otherwise it would keep command
for an absent person: without tokens all clients are one user."""
