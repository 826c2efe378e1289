"""The catalogue of the vendor's alarms and warnings, ``faults.json``.

It has 245 entries, reworded from the vendor's documents. A number alone does not name an entry; severity,
subsystem, number and name together do. For the faults of "main axes" the documents do not tell the subsystem
on the wire; they have that of azimuth here.

Pure, but for reading the file once. Next to read: `alarms`.
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
    """

    severity: str
    subsystem_id: int
    code: int
    name: str
    meaning: str


@cache
def entries() -> tuple[Entry, ...]:
    """Return all entries."""
    text = (files(__package__) / "faults.json").read_text(encoding="utf-8")
    return tuple(Entry(**row) for row in json.loads(text))


def find(severity: str, subsystem_id: int, number: int, name: str = "") -> Entry:
    """Return one entry.

    :param name: its name, if several have this number; upper and lower case are the same.
    :raises ValueError: if no entry, or more than one, fits. The error says which values there are.
    """
    of_subsystem = [
        each for each in entries() if (each.severity, each.subsystem_id) == (severity, subsystem_id)
    ]
    if not of_subsystem:
        known = sorted({each.subsystem_id for each in entries() if each.severity == severity})
        raise ValueError(
            f"subsystem: expected one of {_listed(known)} for the {severity}, got {subsystem_id}"
        )
    numbered = [each for each in of_subsystem if each.code == number]
    if not numbered:
        known = sorted({each.code for each in of_subsystem})
        raise ValueError(
            f"number: expected one of {_listed(known)} in subsystem {subsystem_id}, got {number}"
        )
    named = [each for each in numbered if not name or each.name.lower() == name.lower()]
    if len(named) != 1:
        names = ", ".join(repr(each.name) for each in numbered)
        raise ValueError(f"name: expected one of {names} for number {number}, got {name!r}")
    return named[0]


def first(severity: str, subsystem_id: int) -> Entry:
    """Return the first entry of a subsystem, or of azimuth if it has none, for a fault of any kind."""
    fitting = [each for each in entries() if each.severity == severity]
    return next((each for each in fitting if each.subsystem_id == subsystem_id), fitting[0])


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
