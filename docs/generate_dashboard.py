"""Add a panel to ``prometheus/dashboard.json`` for each metric that no other panel shows.

Such panels stand at the end, below the row `TITLE`. To design a panel, move it above that row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).resolve().parent.parent / "prometheus" / "dashboard.json"

TITLE = "Further figures"

FIRST_ID = 1000
"""Panels with this id and larger ones are generated."""

WIDTH, HEIGHT, PER_ROW = 8, 7, 3

INSTANCE = '{instance=~"$instance"}'

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def generated() -> Iterator[tuple[Path, str]]:
    """Return the dashboard with its text, if the extra ``web`` is installed."""
    try:
        from mtmount_twisted.frontends.web.api.metrics import FIGURES
    except ImportError:
        return
    yield DASHBOARD, with_panels(DASHBOARD.read_text(encoding="utf-8"), FIGURES)


def with_panels(text: str, figures: Any) -> str:
    """Return the text of a dashboard that shows all these figures."""
    dashboard = json.loads(text)
    panels = [panel for panel in dashboard["panels"] if panel["id"] < FIRST_ID]
    shown = json.dumps(panels)
    top = max((panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels), default=0)
    missing = [each for each in figures if not any(each.exposed + end in shown for end in ("{", "_bucket{"))]
    if missing:
        at = {"h": 1, "w": 24, "x": 0, "y": top}
        row = {"id": FIRST_ID, "title": TITLE, "type": "row", "collapsed": False, "gridPos": at, "panels": []}
        panels.append(row)
    for number, figure in enumerate(missing):
        line, column = divmod(number, PER_ROW)
        at = {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": top + 1 + line * HEIGHT}
        panels.append(_panel(figure, FIRST_ID + 1 + number, at))
    dashboard["panels"] = panels
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"


def _panel(figure: Any, number: int, at: dict[str, int]) -> dict[str, Any]:
    unit = next((unit for unit in ("seconds", "bytes") if figure.name.endswith(unit)), "short")
    return {
        "id": number,
        "title": figure.name.replace("_", " ").capitalize(),
        "description": figure.doc,
        "type": "timeseries",
        "datasource": SOURCE,
        "gridPos": at,
        "fieldConfig": {"defaults": {"unit": {"seconds": "s"}.get(unit, unit)}, "overrides": []},
        "options": {},
        "targets": [
            {"refId": letter, "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for letter, (query, legend) in zip("AB", _queries(figure), strict=False)
        ],
    }


def _queries(figure: Any) -> list[tuple[str, str]]:
    """Return the queries of a panel, each with its legend."""
    legend = " ".join(f"{{{{{label}}}}}" for label in figure.labels or ("instance",))
    if figure.kind == "gauge":
        return [(f"{figure.exposed}{INSTANCE}", legend)]
    if figure.kind == "counter":
        return [(f"increase({figure.exposed}{INSTANCE}[$__rate_interval])", legend)]
    rates = f"sum by (instance, le) (rate({figure.exposed}_bucket{INSTANCE}[$__rate_interval]))"
    return [
        (f"histogram_quantile({share}, {rates})", legend)
        for share, legend in ((0.5, "median"), (0.99, "99 %"))
    ]
