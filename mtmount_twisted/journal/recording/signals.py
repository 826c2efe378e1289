"""Queries: signals of a time span as columns of a few points, and the values of one moment.

A signal is ``TOPIC.quantity``, both as on the wire. All functions block: call them in a thread. Next to read:
`index`, which finds the data in the files; `thinning`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mtmount_twisted.dialects.dialect import TelemetryFormat


class Series(NamedTuple):
    """One signal in the bins of `Columns`; a value is None where a bin has no sample.

    :ivar unit: unit, such as ``deg``; empty if there is none.
    :ivar least: least value in each bin.
    :ivar greatest: greatest value in each bin.
    :ivar mean: mean of the values in each bin.
    """

    unit: str
    least: list[float | None]
    greatest: list[float | None]
    mean: list[float | None]


class Columns(NamedTuple):
    """Signals of a time span.

    :ivar times: start of each bin (s, Unix time).
    :ivar signals: the signals by their names.
    """

    times: list[float]
    signals: dict[str, Series]


class SignalFacts(NamedTuple):
    """One signal that exists.

    :ivar unit: unit, such as ``deg``; empty if there is none.
    :ivar period: interval between two values in seconds; None if it is unknown.
    :ivar doc: meaning.
    """

    unit: str
    period: float | None
    doc: str


class Value(NamedTuple):
    """The line of a topic at a moment.

    :ivar time: time of its arrival (s, Unix time).
    :ivar line: the line as it came, without its terminator.
    """

    time: float
    line: bytes


def read(
    folder: Path,
    names: Sequence[str],
    start: float,
    end: float,
    points: int,
    proceed: Callable[[], None] = lambda: None,
) -> Columns:
    """Return signals of a time span, thinned.

    :param folder: the folder of the recordings.
    :param names: the signals; a name that no recording has gives a series without values.
    :param start: start of the span (s, Unix time); inclusive.
    :param end: its end; exclusive.
    :param points: number of bins, 1 or more.
    :param proceed: called between two pieces of work; an exception of it ends the query.
    :raises RecordingError: if a file is damaged: one line that names the file and the record.
    """
    raise NotImplementedError


def values_at(folder: Path, time: float) -> dict[str, Value]:
    """Return the last line of each topic at or before a time, at most 10 s older, by the topic's name.

    :raises RecordingError: if a file is damaged.
    """
    raise NotImplementedError


def signal_names(telemetry: TelemetryFormat) -> dict[str, SignalFacts]:
    """Return all signals that a mount sends, and the derived ones, in the order of the topics."""
    raise NotImplementedError


def span(folder: Path) -> tuple[float, float] | None:
    """Return the times of the oldest and the newest message (s, Unix time); None without recordings."""
    raise NotImplementedError
