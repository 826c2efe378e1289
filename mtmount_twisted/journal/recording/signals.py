"""Queries: signals of a time span as columns of a few points, and the values of one moment.

A signal is ``TOPIC.quantity``, both as on the wire. All functions block: call them in a thread. Next to read:
`index`, which finds the data in the files; `thinning`.
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from heapq import heappop, heappush, heapreplace
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mtmount_twisted.dialects.dialect import TelemetryFormat
from mtmount_twisted.errors import RecordingError

from .decoding import decoder
from .derived import ARCSEC, AXIS, DERIVED
from .items import EVENTS
from .layout import NANO, Chunk, damaged, to_nanoseconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .decoding import Decode
    from .index import Messages, Recording
    from .thinning import Bins, Floats

FRESH = 10.0
"""The greatest age of a line that counts as the value of a moment, in seconds: twice the longest period."""

BLOCK = 600.0
"""The length of the pieces in which a derived signal is computed, in seconds."""

MARGIN = 1.0
"""The time by which the samples reach beyond a piece of a derived signal, in seconds."""


FILES_AT_ONCE, FILES_TOGETHER = 4, 64
"""Two numbers of recordings with digests. A piece of work reads the digests of `FILES_AT_ONCE` recordings, in
some 5 ms. The pieces of `FILES_TOGETHER` recordings are added to the bins together."""


LONGEST_LINE = 2**16
"""The longest line that is the value of a topic at a moment, in bytes: the longest line of a mount."""

MOST_GATHERED = 16 * 2**20
"""The largest number of bytes of pieces that are added to the bins together."""

MOST_OPEN = 256 * 2**20
"""The largest number of bytes of the chunks, decompressed, from which `lines` takes turns, or in which the
values of a moment are. The chunks of a minute of a mount have some 20 MB."""

ROWS_TOGETHER = 2000
"""The values of at least so many lines are added to the bins together. The last lines may be fewer."""


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


_ELEVATION = ("actualPosition",)


def read(
    folder: Path,
    names: Sequence[str],
    start: float,
    end: float,
    points: int,
    proceed: Callable[[], None] = lambda: None,
) -> Columns:
    """Return signals of a time span, thinned. A sample has the time of the arrival of its line.

    If a bin is 5 s or longer, the digests of pieces of 5 s take the place of the samples; if it is 300 s or
    longer, those of pieces of 300 s. All samples of a piece then count to the bin with the middle of the
    piece.

    :param folder: the folder of the recordings.
    :param names: the signals; a name that no recording has gives a series without values.
    :param start: start of the span (s, Unix time); inclusive.
    :param end: its end; exclusive, and later than `start`.
    :param points: number of bins, 1 or more.
    :param proceed: called between two pieces of work; an exception in it ends the query.
    :raises RecordingError: if a file is damaged: one line that names the file and the record.
    """
    from .digests import LONG_PIECE, PIECE
    from .thinning import Bins, bin_times

    query = _Query({name: Bins(start, end, points) for name in names}, {}, proceed)
    width = (end - start) / points
    _read_span(query, folder, start, end, [each for each in (LONG_PIECE, PIECE) if each <= width])
    series = {}
    for name in names:
        proceed()
        series[name] = Series(query.units.get(name, ""), *query.bins[name].columns())
    return Columns(bin_times(start, end, points), series)


class _Query(NamedTuple):
    bins: dict[str, Bins]
    units: dict[str, str]
    proceed: Callable[[], None]


_Source = Callable[[int, int], "Iterator[Recording]"]
"""Return the open recordings that may have messages of a time span (ns)."""


def _recordings(
    folder: Path, start: int, end: int, proceed: Callable[[], None] = lambda: None
) -> Iterator[Recording]:
    from .index import in_span

    return in_span(folder, start, end, proceed)


def _split(name: str) -> tuple[str, str]:
    """Return the topic with the digest of a signal, and the name of the signal in this digest."""
    if name in DERIVED:
        return name, name
    topic, _, quantity = name.partition(".")
    return topic, quantity


def _read_span(query: _Query, folder: Path, start: float, end: float, pieces: Sequence[float]) -> None:
    """Add the samples of a time span: its middle by the longest pieces, and both ends by shorter pieces.

    :param pieces: the lengths of the pieces, the longest first; without any, the samples come one by one.
    """
    if not pieces:
        source = partial(_recordings, folder, proceed=query.proceed)
        _read_lines(query, source, list(query.bins), start, end)
        return
    longest, *shorter = pieces
    low, high = math.ceil(start / longest) * longest, math.floor(end / longest) * longest
    if low >= high:
        _read_span(query, folder, start, end, shorter)
        return
    _read_span(query, folder, start, low, shorter)
    _read_digests(query, folder, low, high, longest)
    _read_span(query, folder, high, end, shorter)


def _read_digests(query: _Query, folder: Path, start: float, end: float, seconds: float) -> None:
    """Add the samples of a time span by their pieces. Add those of a recording without digests one by one.

    :param start: a multiple of `seconds`, as `end` is.
    :param seconds: the length of the pieces.
    """
    from .index import digests_of, named_in, named_span, read_recording

    wanted: dict[str, dict[str, str]] = {}
    for name in query.bins:
        topic, quantity = _split(name)
        wanted.setdefault(topic, {})[quantity] = name
    gathered = _Pieces(query)
    for number, path in enumerate(named_in(folder, to_nanoseconds(start), to_nanoseconds(end))):
        if number % FILES_AT_ONCE == 0:
            query.proceed()
        if number % FILES_TOGETHER == 0:
            gathered.add_to_bins()
        found: set[str] = set()
        try:
            for topic, digest in digests_of(path, wanted, seconds):
                known = {each: name for each, name in wanted[topic].items() if each in digest.units}
                if known:
                    query.units.update((name, digest.units[each]) for each, name in known.items())
                    gathered.gather(tuple(known.values()), digest.pieces(list(known), start, end))
                    found.update(known.values())
        except FileNotFoundError:  # the daemon deleted it just now
            continue
        others = [name for quantities in wanted.values() for name in quantities.values() if name not in found]
        if not others:
            continue
        query.proceed()
        try:
            recording = read_recording(path, query.proceed)
        except FileNotFoundError:
            continue
        try:
            span = recording.span
            if span is not None:
                named = named_span(path)  # a damaged file may say that it has a century
                first, last = max(named[0], span[0] / NANO), min(named[1], span[1] / NANO)
                first, last = first - seconds, last + seconds
                one = partial(_only, recording)
                _read_lines(query, one, others, max(start, first), min(end, last))
        finally:
            os.close(recording.file)
    gathered.add_to_bins()


class _Pieces:
    """Pieces of some recordings. To add them to the bins together costs less than one by one."""

    def __init__(self, query: _Query) -> None:
        self._query = query
        self._found: dict[tuple[str, ...], list[tuple[Floats, NDArray[np.float64]]]] = {}
        self._bytes = 0

    def gather(self, names: tuple[str, ...], found: tuple[Floats, NDArray[np.float64]]) -> None:
        """Keep the pieces of some signals: their middles, and the table of `Digest`. Add them to the bins if
        there are many."""
        self._found.setdefault(names, []).append(found)
        self._bytes += sum(each.nbytes for each in found)
        if self._bytes > MOST_GATHERED:
            self.add_to_bins()

    def add_to_bins(self) -> None:
        """Add what was gathered to the bins."""
        import numpy as np

        for names, found in self._found.items():
            self._query.proceed()
            middles = np.concatenate([times for times, _ in found])
            table = np.concatenate([values for _, values in found], axis=2)
            for row, name in enumerate(names):
                count, least, greatest, mean = table[:, row]
                good = count > 0
                self._query.bins[name].add_pieces(
                    middles[good], count[good], least[good], greatest[good], mean[good]
                )
        self._found.clear()
        self._bytes = 0


def _only(recording: Recording, start: int, end: int) -> Iterator[Recording]:
    return iter([recording])


def _read_lines(query: _Query, source: _Source, names: Sequence[str], start: float, end: float) -> None:
    """Add the samples of signals in a time span to their bins, one by one."""
    from .index import LONG_PIECE, PIECE

    if start >= end:
        return
    wanted: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        if name in DERIVED:
            query.units[name] = ARCSEC
            _add_derived(query, source, name, (start, end))
        else:
            topic, quantity = _split(name)
            wanted.setdefault(topic, []).append(quantity)
    low, high = to_nanoseconds(start), to_nanoseconds(end)
    for recording in source(low, high) if wanted else ():
        topics = recording.topics
        for topic, quantities in wanted.items():
            if topic not in topics:
                continue
            if any(f"{topic}.{quantity}" not in query.units for quantity in quantities):
                query.units.update(_units(topic, quantities, topics[topic].schema))
            decode = decoder(tuple(quantities))
            length = LONG_PIECE if len(quantities) == 1 else PIECE
            for times, columns in _batches(query, recording.read(topic, low, high, length), decode):
                for quantity, values in zip(quantities, columns):
                    query.bins[f"{topic}.{quantity}"].add(times, values)


def _batches(
    query: _Query, pieces: Iterable[Messages], decode: Decode
) -> Iterator[tuple[Floats, list[Floats]]]:
    """Yield the times and the values of many lines together, because each addition to the bins has a cost."""
    import numpy as np

    found: list[list[Floats]] = []
    rows = 0
    for messages in pieces:
        query.proceed()
        found.append([messages.seconds, *decode(messages, len(messages.times))])
        rows += len(messages.times)
        if rows >= ROWS_TOGETHER:
            times, *columns = map(np.concatenate, zip(*found))
            yield times, columns
            found, rows = [], 0
    if found:
        times, *columns = map(np.concatenate, zip(*found))
        yield times, columns


def _units(topic: str, quantities: Sequence[str], schema: bytes) -> dict[str, str]:
    """Return the units of signals, according to the schema of their channel."""
    try:
        properties = json.loads(schema)["properties"]
        return {f"{topic}.{each}": str(properties.get(each, {}).get("unit", "")) for each in quantities}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # a file of another program
        return {}


def _add_derived(query: _Query, source: _Source, name: str, span: tuple[float, float]) -> None:
    from .digests import errors_of

    derived = DERIVED[name]
    start = span[0]
    while start < span[1]:
        end = min(start + BLOCK, span[1])
        wide = start - MARGIN, end + MARGIN
        times, samples = _samples(query, source, derived.topic, AXIS, wide)
        elevation = None
        if derived.on_sky:
            at, (angles,) = _samples(query, source, "elevation", _ELEVATION, wide)
            elevation = times, at, angles
        errors = errors_of(samples, elevation)
        inside = (times >= start) & (times < end)
        query.bins[name].add(times[inside], errors[inside])
        start = end


def _samples(
    query: _Query, source: _Source, topic: str, quantities: tuple[str, ...], span: tuple[float, float]
) -> tuple[Floats, list[Floats]]:
    """Return the times of a topic's lines, and the values of some quantities."""
    import numpy as np

    start, end = map(to_nanoseconds, span)
    decode = decoder(quantities)
    times: list[Floats] = []
    columns: list[list[Floats]] = [[] for _ in quantities]
    for recording in source(start, end):
        for messages in recording.read(topic, start, end):
            query.proceed()
            times.append(messages.seconds)
            for column, values in zip(columns, decode(messages, len(messages.times))):
                column.append(values)
    none = np.zeros(0)
    return np.concatenate([none, *times]), [np.concatenate([none, *column]) for column in columns]


class Moment(NamedTuple):
    """The recorded data of a moment. Each time is a time of arrival (s, Unix time).

    :ivar events: the events before it, in the order of time.
    :ivar lines: the lines of some topics before it, in the order of time.
    :ivar values: the last line of each topic, by its name.
    """

    events: list[tuple[float, bytes]]
    lines: list[tuple[float, bytes]]
    values: dict[str, Value]


MOST_EVENTS, MOST_LINES, MOST_BYTES = 50_000, 20_000, 16 * 2**20
"""The largest number of events of a moment, of lines of one topic, and of bytes of these events or these
lines. If there are more, a moment has the latest ones. A mount has a few thousand events in 12 h, and 4,000
lines of an axis in 20 s at 200 Hz."""

LONG, MOST_LONG = 4096, 3
"""A line of more than `LONG` bytes is long. A moment has the latest long lines, at most `MOST_LONG` of them,
because a malformed line of 64 KiB takes up to 50 ms to read. The only long events of a mount are its
settings, after each connection."""


class _Latest:
    """The latest lines, up to a number of lines and up to `MOST_BYTES`; also the latest `MOST_LONG` long
    lines."""

    def __init__(self, most: int) -> None:
        self.lines: deque[tuple[float, bytes]] = deque()
        self.long: deque[tuple[float, bytes]] = deque(maxlen=MOST_LONG)
        self._most = most
        self._bytes = 0

    def add(self, messages: Messages) -> None:
        """Add lines that came later."""
        for time, line in zip(messages.seconds.tolist(), messages.lines(), strict=True):
            if len(line) > LONG:
                self.long.append((time, line))
                continue
            self.lines.append((time, line))
            self._bytes += len(line)
        while len(self.lines) > self._most or self._bytes > MOST_BYTES:
            self._bytes -= len(self.lines.popleft()[1])


class Before(NamedTuple):
    """The data of a moment that is wanted.

    :ivar events: the events of so many seconds before the moment.
    :ivar lines: the lines of so many seconds before the moment.
    :ivar topics: the topics of these lines.
    """

    events: float
    lines: float = 0.0
    topics: Sequence[str] = ()


def moment(folder: Path, time: float, before: Before, proceed: Callable[[], None] = lambda: None) -> Moment:
    """Return the recorded data of a moment; each recording is opened once.

    :param time: s, Unix time; an event or a line that came up to a millisecond later counts, too.
    :param proceed: called between two pieces of work; an exception in it ends the query.
    :raises RecordingError: if a file is damaged.
    """
    from .index import in_span

    events, lines = _Latest(MOST_EVENTS), {topic: _Latest(MOST_LINES) for topic in before.topics}
    values: dict[str, Value] = {}
    end = to_nanoseconds(time + 0.001)
    first, first_line = to_nanoseconds(time - before.events), to_nanoseconds(time - before.lines)
    for recording in in_span(folder, first, end, proceed):
        for messages in recording.read(EVENTS, first, end):
            proceed()
            events.add(messages)
        for topic, latest in lines.items():
            for messages in recording.read(topic, first_line, end):
                proceed()
                latest.add(messages)
        if before.topics:
            _add_values(values, recording, time, proceed)
    return Moment(_sorted([events]), _sorted(lines.values()), values)


def _sorted(found: Iterable[_Latest]) -> list[tuple[float, bytes]]:
    return sorted(chain.from_iterable((*each.lines, *each.long) for each in found), key=itemgetter(0))


def values_at(folder: Path, time: float, proceed: Callable[[], None] = lambda: None) -> dict[str, Value]:
    """Return the last line of each topic at or before a time, at most 10 s older, by the topic's name.

    :raises RecordingError: if a file is damaged.
    """
    from .index import in_span

    found: dict[str, Value] = {}
    for recording in in_span(folder, to_nanoseconds(time - FRESH), to_nanoseconds(time) + 1, proceed):
        _add_values(found, recording, time, proceed)
    return found


def _add_values(
    found: dict[str, Value], recording: Recording, time: float, proceed: Callable[[], None]
) -> None:
    start, end = to_nanoseconds(time - FRESH), to_nanoseconds(time) + 1
    topics = [topic for topic in recording.topics if topic != EVENTS]
    chunks = [chunk for topic in topics for chunk in recording.chunks(topic, start, end)]
    if sum(chunk.size for chunk in chunks) > MOST_OPEN:
        raise _too_many(recording, chunks[0])
    for topic in topics:
        for messages in recording.read(topic, start, end):
            proceed()
            if len(messages.times):
                last = int(messages.times.argmax())
                value = Value(float(messages.seconds[last]), messages.line(last))
                if len(value.line) > LONGEST_LINE:
                    continue
                if topic not in found or found[topic].time <= value.time:
                    found[topic] = value


def lines(
    folder: Path,
    topics: Sequence[str] | None = None,
    start: float = 0.0,
    end: float = math.inf,
    proceed: Callable[[], None] = lambda: None,
) -> Iterator[tuple[float, str, bytes]]:
    """Yield the time (s, Unix time), the topic and the line of each message, in the order of time.

    :param topics: the topics of the lines; None for all topics and the events.
    :param end: the end of the time span (s, Unix time), exclusive.
    :raises RecordingError: if a file is damaged.
    """
    from .index import in_span

    low = to_nanoseconds(start)
    high = 2**63 - 1 if math.isinf(end) else to_nanoseconds(end)
    for recording in in_span(folder, low, high, proceed):
        wanted = [topic for topic in recording.topics if topics is None or topic in topics]
        for time, topic, line in _merged(recording, wanted, low, high, proceed):
            yield time / NANO, topic, line


def _merged(
    recording: Recording, topics: Iterable[str], low: int, high: int, proceed: Callable[[], None]
) -> Iterator[tuple[int, str, bytes]]:
    """Yield the messages of topics in the order of time. A chunk is read once the time of its first message
    has come: only the chunks of the same time are in memory, up to `MOST_OPEN` bytes.
    """
    waiting: list[tuple[int, str, Chunk | None]] = []  # without a chunk: the messages in the tail file
    for topic in topics:
        waiting += [(chunk.start, topic, chunk) for chunk in recording.chunks(topic, low, high)]
        if (tail := recording.tail_of(topic)) is not None:
            waiting.append((int(tail.times.min()), topic, None))
    waiting.reverse()  # of equal times, the chunk that was written first is popped first
    waiting.sort(key=itemgetter(0), reverse=True)

    def read(topic: str, chunk: Chunk | None) -> Iterator[tuple[int, bytes]]:
        found = recording.tail_of(topic) if chunk is None else recording.messages(chunk)
        assert found is not None
        for messages in found.within(low, high).pieces():
            proceed()
            yield from zip(messages.times.tolist(), messages.lines())

    # The next message of each open chunk: its time, topic, the number of the chunk, line, size and the rest.
    heap: list[tuple[int, str, int, bytes, int, Iterator[tuple[int, bytes]]]] = []
    together = 0  # bytes of the open chunks
    while waiting or heap:
        while waiting and (not heap or waiting[-1][0] <= heap[0][0]):
            _, topic, chunk = waiting.pop()
            size = 0 if chunk is None else chunk.size
            if chunk is not None and together + size > MOST_OPEN:
                raise _too_many(recording, chunk)
            rest = read(topic, chunk)
            if (first := next(rest, None)) is not None:
                heappush(heap, (first[0], topic, -len(waiting), first[1], size, rest))
                together += size
        if not heap:
            return
        time, topic, number, line, size, rest = heap[0]
        yield time, topic, line
        if (following := next(rest, None)) is None:
            heappop(heap)
            together -= size
        else:
            heapreplace(heap, (following[0], topic, number, following[1], size, rest))


def _too_many(recording: Recording, chunk: Chunk) -> RecordingError:
    why = f"the chunks of the same time have more than {MOST_OPEN} bytes; read fewer topics"
    return damaged(recording.path, chunk.offset, why)


def filled(
    folder: Path, names: Iterable[str], start: float, end: float, proceed: Callable[[], None] = lambda: None
) -> list[tuple[float, float]]:
    """Return the spans of time (s, Unix time) in which recordings may have lines of some signals, in order.

    :raises RecordingError: if a file is damaged.
    """
    from .index import in_span, named_span

    topics = {DERIVED[name].topic if name in DERIVED else _split(name)[0] for name in names}
    found: list[tuple[float, float]] = []
    for recording in in_span(folder, to_nanoseconds(start), to_nanoseconds(end), proceed):
        low, high = named_span(recording.path)
        for topic in topics:
            chunks = recording.chunks(topic, to_nanoseconds(low), to_nanoseconds(high))
            found += [(max(each.start / NANO, low), min(each.end / NANO, high)) for each in chunks]
            tail = recording.tail_of(topic)
            if tail is not None:
                times = tail.within(to_nanoseconds(low), to_nanoseconds(high)).seconds
                found += [(float(times.min()), float(times.max()))] if len(times) else []
        found = _joined(found)
    return found


def _joined(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return spans in order, with those joined between which there is less than `BLOCK`."""
    joined: list[tuple[float, float]] = []
    for low, high in sorted(spans):
        if joined and low < joined[-1][1] + BLOCK:
            joined[-1] = joined[-1][0], max(joined[-1][1], high)
        else:
            joined.append((low, high))
    return joined


def signal_names(telemetry: TelemetryFormat) -> dict[str, SignalFacts]:
    """Return all signals that a mount sends, and the derived ones, in the order of the topics."""
    found = {
        f"{topic.name}.{each.name}": SignalFacts(each.unit, topic.period, each.doc)
        for topic in telemetry.topics().values()
        for each in topic.quantities
    }
    periods = {topic.name: topic.period for topic in telemetry.topics().values()}
    return found | {
        name: SignalFacts(ARCSEC, periods.get(derived.topic), derived.doc)
        for name, derived in DERIVED.items()
    }


def about(folder: Path, start: float, end: float) -> dict[str, str]:
    """Return the metadata of the first recording in a time span; empty if there is none.

    :raises RecordingError: if it is damaged.
    """
    for recording in _recordings(folder, to_nanoseconds(start), to_nanoseconds(end)):
        return recording.contents.about
    return {}


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
    "Before",
    "Columns",
    "Moment",
    "RecordingError",
    "Series",
    "SignalFacts",
    "Value",
    "about",
    "filled",
    "lines",
    "moment",
    "read",
    "signal_names",
    "span",
    "values_at",
]
