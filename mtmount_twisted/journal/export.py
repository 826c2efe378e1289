"""Entries -> JSON lines or CSV, for other programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from typing import Any, TextIO

from .reading import Entry
from .times import iso

FIELDS = (
    *("id", "run", "time", "unix_time", "table", "peer", "epoch", "what"),
    *("key", "sequence_id", "code", "lease", "text", "line", "hex"),
)
"""What an exported entry may have; ``hex`` only where the bytes of a line are not UTF-8."""

_ALWAYS = frozenset(("id", "run", "time", "unix_time", "table", "peer", "epoch", "what"))


def fields_of(entry: Entry) -> dict[str, Any]:
    """An entry by names, without what its table does not have."""
    fields = entry._asdict() | {"time": iso(entry.time), "unix_time": entry.time}
    if entry.line is not None:
        try:
            fields["line"] = entry.line.decode()
        except UnicodeDecodeError:
            fields["line"] = entry.line.decode("utf-8", "backslashreplace")
            fields["hex"] = entry.line.hex()
    if entry.table == "step":
        return {name: fields[name] for name in FIELDS if name in fields and name != "line"}
    return {name: fields[name] for name in FIELDS if name in _ALWAYS or fields.get(name)}


def export_jsonl(entries: Iterable[Entry], file: TextIO) -> None:
    """One JSON object a line."""
    for entry in entries:
        file.write(json.dumps(fields_of(entry)) + "\n")


def export_csv(entries: Iterable[Entry], file: TextIO) -> None:
    """A header and one record an entry; a line's fields stay apart by line feeds, inside quotes."""
    writer = csv.DictWriter(file, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(fields_of, entries))


FORMATS = {"jsonl": export_jsonl, "csv": export_csv}
"""How to export, by the name of the format."""
