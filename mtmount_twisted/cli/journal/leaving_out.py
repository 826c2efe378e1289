"""`LeftOut`: removes the entries about some commands, or about all commands, from a selection.

Pure. Next to read: `options`, which reads the commands' names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mtmount_twisted.dialects.dialect import DialectName
from mtmount_twisted.errors import LineError
from mtmount_twisted.journal.reading import Entry, is_command
from mtmount_twisted.journal.schema import OBSERVERS

Codes = tuple[tuple[DialectName | None, int], ...]
"""Codes of commands, each in one dialect or, if None, in all dialects."""

MOST_REMEMBERED = 10_000
"""Largest number of commands to remember, so that their answers can be left out."""


class LeftOut:
    """A filter that leaves out all entries about some commands: their lines on both sides, their steps and
    their answers.

    It remembers the commands, so it needs the entries in order. An answer whose command is not among the
    entries stays.

    :param codes: the codes of the commands; None for every command.
    """

    def __init__(self, codes: Codes | None) -> None:
        self._codes = codes
        self._known: dict[tuple[int, str, int], bool] = {}  # by run, peer and sequence id

    def rest(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield the entries that are not left out."""
        return (entry for entry in entries if not self._is_out(entry))

    def _is_out(self, entry: Entry) -> bool:
        if entry.table == "step":
            return self._has(entry, entry.code)
        if entry.line is None:
            return False
        try:
            header = entry.dialect.read_header(entry.line, is_command(entry))
        except LineError:
            return False
        if header.sequence_id is None:  # an event of the mount
            return False
        place = entry.run, entry.peer, header.sequence_id
        if not is_command(entry):
            return self._codes is None or self._known.get(place, False)
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        is_out = self._has(entry, header.code)
        self._known[place] = self._known[entry.run, OBSERVERS, header.sequence_id] = is_out
        return is_out

    def _has(self, entry: Entry, code: int) -> bool:
        codes = self._codes
        return codes is None or (None, code) in codes or (entry.dialect.name, code) in codes
