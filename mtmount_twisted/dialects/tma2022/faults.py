"""The vendor's catalogue of alarms and warnings, ``faults.json``, with the vendor's advice for each.

It has 245 entries, reworded from the vendor's documents. A number alone does not name an entry; severity,
subsystem, number and name together do. For the faults of "main axes" the documents do not tell the subsystem
on the wire; here they have the subsystem of azimuth. The file is read once, at the first need.

No Twisted. Next to read: `facts`, which uses the catalogue.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

ALARM, WARNING = "alarm", "warning"


class Entry(NamedTuple):
    """An alarm or a warning.

    :ivar severity: `ALARM` or `WARNING`.
    :ivar subsystem_id: the subsystem, such as 400.
    :ivar code: the number.
    :ivar name: the name.
    :ivar meaning: the condition in words.
    :ivar remedy: the vendor's advice; empty if the vendor gives none.
    """

    severity: str
    subsystem_id: int
    code: int
    name: str
    meaning: str
    remedy: str


@cache
def entries() -> tuple[Entry, ...]:
    """Return all entries."""
    text = (files(__package__) / "faults.json").read_text(encoding="utf-8")
    return tuple(Entry(**row) for row in json.loads(text))


@cache
def _by_number() -> dict[tuple[str, int, int], list[Entry]]:
    found: dict[tuple[str, int, int], list[Entry]] = {}
    for entry in entries():
        found.setdefault((entry.severity, entry.subsystem_id, entry.code), []).append(entry)
    return found


def remedy(severity: str, subsystem_id: int, code: int, name: str) -> str:
    """Return the vendor's advice for an alarm or a warning; empty if there is none.

    If several entries have the number, the entry with the name counts. If no entry has the name, there is
    advice only if all entries of the number have the same advice.

    :param severity: `ALARM` or `WARNING`.
    :param name: its name; upper and lower case are the same.
    """
    numbered = _by_number().get((severity, subsystem_id, code), [])
    named = [entry for entry in numbered if entry.name.lower() == name.strip().lower()]
    advice = {entry.remedy for entry in named or numbered}
    return advice.pop() if len(advice) == 1 else ""
