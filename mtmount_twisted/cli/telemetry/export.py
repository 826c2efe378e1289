"""Signals, or all lines, as CSV for other programs. It reads the recordings, and writes to the file that it
is given. Next to read: ``journal.recording.signals``, which reads the signals; `text`."""

from __future__ import annotations

import csv
import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from mtmount_twisted.cli.journal.export import END, Cells, Records
from mtmount_twisted.journal.recording import signals

from .text import when

MOST_BINS = 4000
"""Number of intervals to read at once."""


def _write(file: TextIO, header: Sequence[str], rows: Iterable[Sequence[Any]], cells: Cells) -> None:
    writer = csv.writer(Records(file), lineterminator=END)
    for row in chain([header], rows):
        writer.writerow([cells.cell(value) for value in row])


def export_lines(folder: Path, start: float, end: float, file: TextIO, cells: Cells) -> None:
    """Write each line with its topic."""
    found = signals.lines(folder, None, start, end)
    rows = (
        (when(time), time, topic, line.decode("utf-8", "backslashreplace")) for time, topic, line in found
    )
    _write(file, ("time", "unix_time", "topic", "line"), rows, cells)


def export_values(
    folder: Path, names: Sequence[str], start: float, end: float, file: TextIO, cells: Cells
) -> None:
    """Write a row for each line that has one of the signals; the other columns of the row are empty."""
    _write(file, ("time", "unix_time", *names), _value_rows(folder, names, start, end), cells)


def _value_rows(folder: Path, names: Sequence[str], start: float, end: float) -> Iterator[list[Any]]:
    split = [name.partition(".") for name in names]
    topics = {topic for topic, _, _ in split}
    for time, topic, line in signals.lines(folder, sorted(topics), start, end):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        known = content if isinstance(content, dict) else {}
        values = [_plain(known.get(quantity, "")) if own == topic else "" for own, _, quantity in split]
        yield [when(time), time, *values]


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else json.dumps(value)


def export_bins(
    folder: Path, names: Sequence[str], span: tuple[float, float], every: float, file: TextIO, cells: Cells
) -> None:
    """Write least, mean and greatest value of each signal in each interval."""
    header = [f"{name} {what}" for name in names for what in ("least", "mean", "greatest")]
    rows = _bin_rows(folder, names, span, every)
    _write(file, ("time", "unix_time", *header), rows, cells)


def _bin_rows(
    folder: Path, names: Sequence[str], span: tuple[float, float], every: float
) -> Iterator[list[Any]]:
    start, count = span[0], math.ceil((span[1] - span[0]) / every)
    first = 0
    filled: deque[tuple[float, float]] | None = None  # the spans with lines; read after the first empty bins
    while first < count:
        points = min(count - first, MOST_BINS)
        begin = start + first * every
        columns = signals.read(folder, names, begin, begin + points * every, points)
        is_empty = True
        for row, time in enumerate(columns.times):
            found = [columns.signals[name] for name in names]
            values = [
                value for each in found for value in (each.least[row], each.mean[row], each.greatest[row])
            ]
            if any(value is not None for value in values):
                is_empty = False
                yield [when(time), time, *("" if value is None else value for value in values)]
        first += points
        if is_empty and first < count:
            if filled is None:
                filled = deque(signals.filled(folder, names, begin, span[1]))
            # A bin beside the lines may have the middle of their piece.
            while filled and filled[0][1] < start + (first - 1) * every:
                filled.popleft()
            if not filled:
                return
            first = max(first, math.floor((filled[0][0] - start) / every) - 1)
