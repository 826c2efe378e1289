"""A search in the vendor's catalogue of alarms and warnings, for the simulator's commands.

Pure. Next to read: ``dialects.tma2022.faults``, the catalogue; `alarms`.
"""

from __future__ import annotations

from mtmount_twisted.dialects.tma2022.faults import ALARM as ALARM
from mtmount_twisted.dialects.tma2022.faults import WARNING as WARNING
from mtmount_twisted.dialects.tma2022.faults import Entry as Entry
from mtmount_twisted.dialects.tma2022.faults import entries as entries


def find(severity: str, subsystem_id: int, number: int, name: str = "") -> Entry:
    """Return one entry.

    :param name: its name, if several have this number; upper and lower case are the same.
    :raises ValueError: if no entry, or more than one, fits. The error lists the valid values.
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
    """Return the first entry of a subsystem, for a fault that names no entry; the first entry of all if the
    subsystem has none."""
    fitting = [each for each in entries() if each.severity == severity]
    return next((each for each in fitting if each.subsystem_id == subsystem_id), fitting[0])


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
