"""Conversion of entries to JSON lines or CSV, for other programs.

It writes to the file that it receives; no Twisted. Next to read: `program`, which calls it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, TextIO

from mtmount_twisted.journal.reading import Entry
from mtmount_twisted.journal.times import iso
from mtmount_twisted.visible import visible

FIELDS = (
    *("id", "run", "time", "unix_time", "table", "peer", "epoch", "what"),
    *("key", "sequence_id", "code", "lease", "text", "line", "hex", "dialect"),
)
"""Members of an exported entry. ``hex`` is present only for a line with bytes that are not UTF-8."""

_ALWAYS = frozenset(("id", "run", "time", "unix_time", "table", "peer", "epoch", "what", "dialect"))


def fields_of(entry: Entry) -> dict[str, Any]:
    """Return the members of an entry by name, except the members that its table does not have."""
    fields = entry._asdict() | {
        "time": iso(entry.time),
        "unix_time": entry.time,
        "dialect": entry.dialect.name,
    }
    if entry.line is not None:
        try:
            fields["line"] = entry.line.decode()
        except UnicodeDecodeError:
            fields["line"] = entry.line.decode("utf-8", "backslashreplace")
            fields["hex"] = entry.line.hex()
    if entry.table == "step":
        return {name: fields[name] for name in FIELDS if name in fields and name != "line"}
    return {name: fields[name] for name in FIELDS if name in _ALWAYS or fields.get(name)}


class Cells(NamedTuple):
    """Rules for writing a text into a cell of CSV.

    :ivar escape_formulas: True to put ``'`` before a text that a spreadsheet would run as a formula.
    :ivar for_terminal: True to replace characters that a terminal would obey by escapes.
    """

    escape_formulas: bool = True
    for_terminal: bool = False

    def cell(self, value: Any) -> Any:
        """Return the cell for a value of an entry; a number stays a number."""
        if not isinstance(value, str):
            return value
        if self.escape_formulas and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
            value = f"'{value}"
        return visible(value) if self.for_terminal else value


_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""The characters that begin a formula, full-width forms included
(owasp.org/www-community/attacks/CSV_Injection)."""

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")

_DEFAULT = Cells()


def export_jsonl(entries: Iterable[Entry], file: TextIO, cells: Cells = _DEFAULT) -> None:
    """Write one JSON object per line, in visible ASCII."""
    for entry in entries:
        file.write(json.dumps(fields_of(entry)).replace("\x7f", "\\u007f") + "\n")


END = "\r\n"
"""The line terminator for a writer of `csv` to `Records`."""


class Records:
    """A file for `csv` that ends each record with a line feed.

    `csv` quotes a text that contains a character of its line terminator. With a line feed as terminator, it
    would not quote a text with a carriage return, and a reader would see two records.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, record: str) -> None:
        """Write a record."""
        self._file.write(f"{record.removesuffix(END)}\n")


def export_csv(entries: Iterable[Entry], file: TextIO, cells: Cells = _DEFAULT) -> None:
    """Write a header and one record per entry. Inside quotes, line feeds separate the fields of a line."""
    writer = csv.DictWriter(Records(file), FIELDS, restval="", lineterminator=END)
    writer.writeheader()
    for entry in entries:
        writer.writerow({name: cells.cell(value) for name, value in fields_of(entry).items()})


FORMATS = {"jsonl": export_jsonl, "csv": export_csv}
"""Export function by the name of the format."""
