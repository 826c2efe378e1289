"""Queries: signals of a time span as columns of a few points, and the values of one moment.

A signal is ``TOPIC.quantity``, both as on the wire. All functions block: call them in a thread. Next to read:
`index`, which finds the data in the files; `thinning`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mtmount_twisted.dialects.dialect import TelemetryFormat
from mtmount_twisted.errors import RecordingError

from .layout import EVENTS, NANO, to_nanoseconds

if TYPE_CHECKING:
    from .thinning import Floats

FRESH = 10.0
"""The greatest age of a line that counts as the value of a moment, in seconds: twice the longest period."""

BLOCK = 600.0
"""The length of the pieces in which a derived signal is computed, in seconds."""

MARGIN = 1.0
"""How far the samples reach beyond a piece of a derived signal, in seconds."""


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


class _Derived(NamedTuple):
    """A signal that is computed from those of one axis.

    :ivar topic: the topic of the axis.
    :ivar on_sky: True for the error on the sky, which is smaller by the cosine of the elevation.
    """

    topic: str
    on_sky: bool
    doc: str


DERIVED = {
    "motion.azimuth.error": _Derived("azimuth", False, "Demand minus actual position, on the axis."),
    "motion.azimuth.errorSky": _Derived("azimuth", True, "Demand minus actual position, on the sky."),
    "motion.elevation.error": _Derived("elevation", False, "Demand minus actual position."),
    "motion.elevation.errorSky": _Derived("elevation", False, "Demand minus actual position."),
}
"""The derived signals. Each value has its own time stamp: see `motion.following`."""

_AXIS = ("demandPosition", "demandPositionTimestamp", "actualPosition", "actualPositionTimestamp")
_ELEVATION = ("actualPosition",)
_ARCSEC = "arcsec"


def read(
    folder: Path,
    names: Sequence[str],
    start: float,
    end: float,
    points: int,
    proceed: Callable[[], None] = lambda: None,
) -> Columns:
    """Return signals of a time span, thinned. A sample has the time of the arrival of its line.

    :param folder: the folder of the recordings.
    :param names: the signals; a name that no recording has gives a series without values.
    :param start: start of the span (s, Unix time); inclusive.
    :param end: its end; exclusive, and later than `start`.
    :param points: number of bins, 1 or more.
    :param proceed: called between two pieces of work; an exception of it ends the query.
    :raises RecordingError: if a file is damaged: one line that names the file and the record.
    """
    from .thinning import Bins, bin_times

    bins = {name: Bins(start, end, points) for name in names}
    wanted: dict[str, list[str]] = {}
    for name in bins:
        if name not in DERIVED:
            topic, _, quantity = name.partition(".")
            wanted.setdefault(topic, []).append(quantity)
    units = _read_plain(folder, wanted, bins, (start, end), proceed)
    for name in bins:
        if name in DERIVED:
            units[name] = _ARCSEC
            _add_derived(folder, DERIVED[name], bins[name], (start, end), proceed)
    series = {name: Series(units.get(name, ""), *bins[name].columns()) for name in names}
    return Columns(bin_times(start, end, points), series)


def _read_plain(
    folder: Path,
    wanted: dict[str, list[str]],
    bins: dict[str, Any],
    span: tuple[float, float],
    proceed: Callable[[], None],
) -> dict[str, str]:
    """Add the samples of signals to their bins; return the units."""
    from .index import in_span

    units: dict[str, str] = {}
    start, end = map(to_nanoseconds, span)
    for recording in in_span(folder, start, end) if wanted else ():
        topics = recording.topics
        for topic, quantities in wanted.items():
            if topic not in topics:
                continue
            if any(f"{topic}.{quantity}" not in units for quantity in quantities):
                units |= _units(topic, quantities, topics[topic].schema)
            decode = _decoder(tuple(quantities))
            for messages in recording.read(topic, start, end):
                proceed()
                times = messages.seconds
                for quantity, values in zip(quantities, decode(messages.lines)):
                    bins[f"{topic}.{quantity}"].add(times, values)
    return units


def _units(topic: str, quantities: Sequence[str], schema: bytes) -> dict[str, str]:
    """Return the units of signals, according to the schema of their channel."""
    try:
        properties = json.loads(schema)["properties"]
        return {f"{topic}.{each}": str(properties.get(each, {}).get("unit", "")) for each in quantities}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # a file of another program
        return {}


_Decode = Callable[[Sequence[bytes]], "list[Floats]"]


def _decoder(quantities: tuple[str, ...]) -> _Decode:
    """Return a function that returns the values of some quantities in lines; NaN for a missing one.

    One call decodes all lines of a chunk, and only these quantities.
    """
    import numpy as np

    names = [f"q{number}" for number in range(len(quantities))]
    number = float | bool | None
    shape = msgspec.defstruct(
        "Line",
        [(name, number, math.nan) for name in names],
        rename=dict(zip(names, quantities)),
        gc=False,
    )
    decoder: Any = msgspec.json.Decoder(list[shape])  # type: ignore[valid-type]
    getters = [attrgetter(name) for name in names]

    def decode(lines: Sequence[bytes]) -> list[Floats]:
        try:
            found = decoder.decode(b"[" + b",".join(lines) + b"]")
            if len(found) != len(lines):
                raise ValueError("a line that is two")
            return [np.array(list(map(get, found)), np.float64) for get in getters]
        except (ValueError, msgspec.MsgspecError):  # NaN, which is no JSON, or a value of another type
            return _decode_each(lines, quantities)

    return decode


def _decode_each(lines: Sequence[bytes], quantities: Sequence[str]) -> list[Floats]:
    """Do the same for lines that are not as they should be, one by one."""
    import numpy as np

    columns: list[list[float]] = [[] for _ in quantities]
    for line in lines:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        for quantity, column in zip(quantities, columns):
            value = content.get(quantity) if isinstance(content, dict) else None
            try:
                column.append(float(value) if isinstance(value, int | float) else math.nan)
            except OverflowError:
                column.append(math.nan)
    return [np.array(column, np.float64) for column in columns]


def _add_derived(
    folder: Path, derived: _Derived, bins: Any, span: tuple[float, float], proceed: Callable[[], None]
) -> None:
    import numpy as np

    from mtmount_twisted.motion import following

    start = span[0]
    while start < span[1]:
        end = min(start + BLOCK, span[1])
        wide = start - MARGIN, end + MARGIN
        times, (demand, demand_at, actual, actual_at) = _samples(folder, derived.topic, _AXIS, wide, proceed)
        good = np.isfinite(demand_at) & np.isfinite(actual_at)
        good[1:] &= np.diff(actual_at) > 0
        times, demand, demand_at, actual, actual_at = (
            each[good] for each in (times, demand, demand_at, actual, actual_at)
        )
        if len(times):
            errors = following.errors(demand, demand_at, actual, actual_at)
            if derived.on_sky:
                at, (elevation,) = _samples(folder, "elevation", _ELEVATION, wide, proceed)
                known = np.isfinite(elevation)
                cosine = (
                    np.cos(np.radians(np.interp(times, at[known], elevation[known])))
                    if known.any()
                    else np.full(len(times), np.nan)
                )
                errors = errors * cosine
            inside = (times >= start) & (times < end)
            bins.add(times[inside], errors[inside])
        start = end


def _samples(
    folder: Path,
    topic: str,
    quantities: tuple[str, ...],
    span: tuple[float, float],
    proceed: Callable[[], None],
) -> tuple[Floats, list[Floats]]:
    """Return the times of a topic's lines, and the values of some quantities."""
    import numpy as np

    from .index import in_span

    start, end = map(to_nanoseconds, span)
    decode = _decoder(quantities)
    times: list[Floats] = []
    columns: list[list[Floats]] = [[] for _ in quantities]
    for recording in in_span(folder, start, end):
        for messages in recording.read(topic, start, end):
            proceed()
            times.append(messages.seconds)
            for column, values in zip(columns, decode(messages.lines)):
                column.append(values)
    none = np.zeros(0)
    return np.concatenate([none, *times]), [np.concatenate([none, *column]) for column in columns]


def values_at(folder: Path, time: float, proceed: Callable[[], None] = lambda: None) -> dict[str, Value]:
    """Return the last line of each topic at or before a time, at most 10 s older, by the topic's name.

    :raises RecordingError: if a file is damaged.
    """
    from .index import in_span

    found: dict[str, Value] = {}
    start, end = to_nanoseconds(time - FRESH), to_nanoseconds(time) + 1
    for recording in in_span(folder, start, end):
        for topic in recording.topics:
            if topic == EVENTS:
                continue
            for messages in recording.read(topic, start, end):
                proceed()
                if len(messages.times):
                    last = int(messages.times.argmax())
                    value = Value(float(messages.seconds[last]), messages.lines[last])
                    if topic not in found or found[topic].time <= value.time:
                        found[topic] = value
    return found


def lines(
    folder: Path,
    topics: Sequence[str] | None = None,
    start: float = 0.0,
    end: float = math.inf,
    proceed: Callable[[], None] = lambda: None,
) -> Iterator[tuple[float, str, bytes]]:
    """Yield the time (s, Unix time), the topic and the line of each message, in the order of time.

    :param topics: only these; None for all, events among them.
    :param end: exclusive.
    :raises RecordingError: if a file is damaged.
    """
    import heapq

    from .index import Recording, in_span

    low = to_nanoseconds(start)
    high = 2**63 - 1 if math.isinf(end) else to_nanoseconds(end)

    def of_topic(recording: Recording, topic: str) -> Iterator[tuple[int, str, bytes]]:
        for messages in recording.read(topic, low, high):
            proceed()
            yield from zip(messages.times.tolist(), (topic,) * len(messages.lines), messages.lines)

    for recording in in_span(folder, low, high):
        wanted = [topic for topic in recording.topics if topics is None or topic in topics]
        for time, topic, line in heapq.merge(*(of_topic(recording, topic) for topic in wanted)):
            yield time / NANO, topic, line


def signal_names(telemetry: TelemetryFormat) -> dict[str, SignalFacts]:
    """Return all signals that a mount sends, and the derived ones, in the order of the topics."""
    found = {
        f"{topic.name}.{each.name}": SignalFacts(each.unit, topic.period, each.doc)
        for topic in telemetry.topics()
        for each in topic.quantities
    }
    periods = {topic.name: topic.period for topic in telemetry.topics()}
    return found | {
        name: SignalFacts(_ARCSEC, periods.get(derived.topic), derived.doc)
        for name, derived in DERIVED.items()
    }


def span(folder: Path) -> tuple[float, float] | None:
    """Return the times of the oldest and the newest message (s, Unix time); None without recordings.

    A damaged recording does not count.

    :raises RecordingError: if the folder can't be read.
    """
    from .index import first_with_messages

    oldest, newest = first_with_messages(folder), first_with_messages(folder, newest=True)
    if oldest is None or newest is None:
        return None
    return oldest[0] / NANO, newest[1] / NANO


__all__ = [
    "Columns",
    "RecordingError",
    "Series",
    "SignalFacts",
    "Value",
    "lines",
    "read",
    "signal_names",
    "span",
    "values_at",
]
