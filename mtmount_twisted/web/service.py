"""`WebService`: what the bridge shows over HTTP, put together from its areas.

Each area has a module of its own and offers `routes`; here they are joined, behind one guard, on one site.
It is handed the parts of the daemon (`Parts`), and imports none of them. Next to read: `routing`, then the
area that you are after.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from .calls import Route
from .routing import Gate, Router
from .site import Limits, WebSite


def make_site(
    routes: Iterable[Route], gate: Gate, log: logging.Logger, reactor: Any, limits: Limits | None = None
) -> WebSite:
    """What answers these routes."""
    return WebSite(Router(routes, gate, log), limits or Limits(), log, reactor)
