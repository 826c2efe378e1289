"""Digests of recordings: least, greatest and mean value of each signal in each piece of 5 s, and of 300 s.

A query of a long time reads the digests instead of millions of lines. The recorder makes them chunk by chunk.
It puts the digest of each topic into the recording as an attachment, and the digests of all topics in pieces
of 300 s as one more. The derived signals have digests, too. Pure.

Next to read: `writer`, which makes them; `signals`, which reads them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from mtmount_twisted.dialects.dialect import TopicFacts
from mtmount_twisted.motion import following

from .decoding import Decode, decoder
from .derived import ARCSEC, AXIS, DERIVED
from .layout import MOST_DIGEST, NANO, Message, portions
from .thinning import Floats

PIECE = 5.0
"""The length of a piece, in seconds: the longest period of a topic, and the width of 4,000 points in 5.5 h.
The pieces begin at multiples of it (Unix time)."""

LONG_PIECE = 300.0
"""The length of a longer piece, in seconds: less than the width of 4,000 points in 31 days. An hour has
twelve, and a query of 31 days reads 744 hours."""

MARGIN = 1.0
"""The time that the recorder waits for the samples around a derived value, in seconds."""

MOST_DECODED = 2**18
"""The largest number of bytes of lines that one call decodes. The reactor needs Python's lock, and waits for
the end of the call."""

MOST_PIECES = 2000
"""The largest number of pieces of a digest in a recording. An hour has 720; each chunk begins with a new
piece, so that a flood has more, which are then joined."""

MOST_HEAD = 2**16
"""The largest number of bytes of the line of JSON before the numbers. That of the largest topic has 4 kB."""

_COUNT, _LEAST, _GREATEST, _MEAN = range(4)


class Digest(NamedTuple):
    """The pieces of one topic, in the order of time; two pieces may have the same start.

    :ivar names: the quantities.
    :ivar starts: start of each piece (s, Unix time).
    :ivar table: count, least, greatest and mean value, of each quantity, in each piece; NaN where the count
        is 0.
    :ivar units: the units of the quantities; empty while the recording is written.
    :ivar seconds: length of a piece.
    """

    names: Sequence[str]
    starts: Floats
    table: NDArray[np.float64]
    units: Mapping[str, str] = MappingProxyType({})
    seconds: float = PIECE

    def pieces(self, names: Sequence[str], start: float, end: float) -> tuple[Floats, NDArray[np.float64]]:
        """Return the middle of each piece within a time span, and the table of some quantities there."""
        table = self.table[:, [self.names.index(name) for name in names]]
        inside = (self.starts >= start) & (self.starts + self.seconds <= end)
        middles = self.starts + self.seconds / 2
        return (middles, table) if inside.all() else (middles[inside], table[:, :, inside])

    def coarser(self, seconds: float) -> Digest:
        """Return the digest with pieces of `seconds`, a multiple of the present length."""
        count, least, greatest, mean = self.table
        numbers = np.floor(self.starts / seconds)
        order = np.argsort(numbers, kind="stable")
        numbers = numbers[order]
        first = np.concatenate(([0], np.flatnonzero(np.diff(numbers)) + 1))
        has = count[:, order] > 0
        total = np.add.reduceat(count[:, order], first, axis=1)
        low = np.minimum.reduceat(np.where(has, least[:, order], np.inf), first, axis=1)
        high = np.maximum.reduceat(np.where(has, greatest[:, order], -np.inf), first, axis=1)
        # The weight is at most 1: a sum of large values would be infinite.
        weight = count[:, order] / np.repeat(np.maximum(total, 1.0), np.diff([*first, len(numbers)]), axis=1)
        middle = np.add.reduceat(np.where(has, mean[:, order] * weight, 0.0), first, axis=1)
        table = np.where(total > 0, np.stack((total, low, high, np.clip(middle, low, high))), np.nan)
        table[_COUNT] = total
        return Digest(self.names, numbers[first] * seconds, table, self.units, seconds)


def digest(names: Sequence[str], times: Floats, columns: Sequence[Floats]) -> Digest:
    """Return the digest of samples in any order; a value that is not finite is left out.

    :param times: s, Unix time.
    :param columns: the values of each quantity.
    """
    if not len(times):
        return Digest(names, np.zeros(0), np.zeros((4, len(names), 0)))
    values = np.array(columns, np.float64).reshape(len(names), len(times))
    numbers = np.floor(times / PIECE)
    if (np.diff(numbers) < 0).any():
        order = np.argsort(numbers, kind="stable")
        numbers, values = numbers[order], values[:, order]
    first = np.concatenate(([0], np.flatnonzero(np.diff(numbers)) + 1))
    good = np.isfinite(values)
    count = np.add.reduceat(good, first, axis=1, dtype=np.float64)
    least = np.minimum.reduceat(np.where(good, values, np.inf), first, axis=1)
    greatest = np.maximum.reduceat(np.where(good, values, -np.inf), first, axis=1)
    # Sum up the differences: a sum of large equal values would lose digits, or be infinite.
    base = np.where(count > 0, least, 0.0)
    steps = np.repeat(base, np.diff(np.append(first, len(times))), axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        rest = np.add.reduceat(np.where(good, values - steps, 0.0), first, axis=1)
        mean = np.clip(base + rest / np.maximum(count, 1.0), least, greatest)
    table = np.where(count > 0, np.stack((count, least, greatest, mean)), np.nan)
    table[_COUNT] = count
    return Digest(names, numbers[first] * PIECE, table)


def errors_of(samples: Sequence[Floats], elevation: tuple[Floats, Floats, Floats] | None) -> Floats:
    """Return the following error (arcsec) of each sample of an axis; NaN where it is not known.

    :param samples: the columns of `AXIS`.
    :param elevation: for the error on the sky: times of the samples; times and values of the elevation (deg).
    """
    demand, demand_at, actual, actual_at = samples
    good = np.isfinite(demand_at) & np.isfinite(actual_at)
    good[1:] &= np.diff(actual_at) > 0
    errors = np.full(len(good), np.nan)
    if good.any():
        errors[good] = following.errors(demand[good], demand_at[good], actual[good], actual_at[good])
    if elevation is None:
        return errors
    times, at, angles = elevation
    known = np.isfinite(angles)
    if not known.any():
        return np.full(len(good), np.nan)
    at, angles = at[known], angles[known]
    order = np.argsort(at, kind="stable")  # a wall clock may have gone back
    return errors * np.cos(np.radians(np.interp(times, at[order], angles[order])))


class _Lines:
    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    def array(self) -> bytes:
        return b"[" + b",".join(self.lines()) + b"]"

    def lines(self) -> list[bytes]:
        return [message.data for message in self._messages]

    def places(self) -> None:
        return None


class _Axis:
    """The latest samples of an axis, in the order in which they came.

    Their times prove no order, because a wall clock that was wrong goes back.

    :ivar derived: the number of the first samples whose errors are in a digest already.
    """

    def __init__(self) -> None:
        self.times: Floats = np.zeros(0)
        self.columns: list[Floats] = [np.zeros(0)] * len(AXIS)
        self.derived: int = 0
        self._has_new = False  # since the last call of `forget`

    def add(self, times: Floats, columns: Sequence[Floats]) -> None:
        self.times = np.concatenate((self.times, times))
        self.columns = [np.concatenate(pair) for pair in zip(self.columns, columns)]
        self._has_new = True

    def settled(self) -> int:
        """Return the number of the first samples whose errors depend on no sample that comes later."""
        return self._before(MARGIN) if self._has_new else len(self.times)

    def forget(self) -> None:
        """Forget the samples on which no later error depends."""
        count = self._before(2 * MARGIN)
        self.times, self.columns = self.times[count:], [column[count:] for column in self.columns]
        self.derived -= count
        self._has_new = False

    def _before(self, seconds: float) -> int:
        """Return the number of the samples before those that came within the last seconds."""
        found = np.flatnonzero(np.abs(self.times - self.times[-1:]) > seconds)
        return int(found[-1]) + 1 if len(found) else 0


class Digests:
    """The digests of a recording that is being written.

    :param topics: the facts of the topics by their names; no other channel has a digest.
    :param rest: called between two portions of `MOST_DECODED` bytes.
    """

    def __init__(self, topics: Mapping[str, TopicFacts], rest: Callable[[], object] = lambda: None) -> None:
        self._rest = rest
        self._names = {name: [each.name for each in facts.quantities] for name, facts in topics.items()}
        self._units = {name: [each.unit for each in facts.quantities] for name, facts in topics.items()}
        self._units |= {name: [ARCSEC] for name in DERIVED}
        self._decoders: dict[str, Decode] = {}
        self._made: dict[str, list[Digest]] = {}
        self._axes = {name: _Axis() for name in ("azimuth", "elevation")}

    def add(self, topic: str, messages: Sequence[Message]) -> None:
        """Add the messages of a chunk."""
        names = self._names.get(topic)
        if not names or not messages:
            return
        axis = self._axes.get(topic)
        wanted = list(dict.fromkeys([*names, *(AXIS if axis is not None else ())]))
        if topic not in self._decoders:
            self._decoders[topic] = decoder(tuple(wanted))
        columns = self._decoded(self._decoders[topic], messages)
        stamps = np.array([message.log_time for message in messages], np.int64)
        times = stamps // NANO + stamps % NANO / NANO
        self._made.setdefault(topic, []).append(digest(names, times, columns[: len(names)]))
        if axis is not None:
            axis.add(times, [columns[wanted.index(name)] for name in AXIS])

    def _decoded(self, decode: Decode, messages: Sequence[Message]) -> list[Floats]:
        """Return the columns of messages, which are decoded in portions."""
        found: list[list[Floats]] = []
        for portion in portions(messages, MOST_DECODED):
            if found:
                self._rest()
            found.append(decode(_Lines(portion), len(portion)))
        return [np.concatenate(parts) for parts in zip(*found)]

    def derive(self, *, to_the_end: bool) -> None:
        """Add the derived signals of the messages so far.

        :param to_the_end: False to leave out the last second, whose errors may depend on later messages.
        """
        elevation = self._axes["elevation"]
        ends = {
            topic: len(axis.times) if to_the_end else axis.settled() for topic, axis in self._axes.items()
        }
        for name, derived in DERIVED.items():
            axis = self._axes[derived.topic]
            inside = slice(axis.derived, ends[derived.topic])
            if not len(axis.times[inside]):
                continue
            sky = (axis.times, elevation.times, elevation.columns[2]) if derived.on_sky else None
            errors = errors_of(axis.columns, sky)
            self._made.setdefault(name, []).append(digest([name], axis.times[inside], [errors[inside]]))
        for topic, axis in self._axes.items():
            axis.derived = ends[topic]
            axis.forget()

    def packed(self) -> tuple[dict[str, bytes], bytes]:
        """Return the digests so far as bytes, by topic, and the bytes of the digests with longer pieces."""
        made = {topic: joined(found) for topic, found in self._made.items()}
        for topic, found in made.items():
            if len(found.starts) > MOST_PIECES:
                made[topic] = found.coarser(PIECE)
        return (
            {topic: packed(found, self._units[topic]) for topic, found in made.items()},
            packed_together(
                {
                    topic: packed(found.coarser(LONG_PIECE), self._units[topic])
                    for topic, found in made.items()
                    if len(found.starts)
                }
            ),
        )

    def clear(self) -> None:
        """Begin with empty digests: the digests of the recording are on the disk."""
        self._made.clear()


def joined(digests: Sequence[Digest]) -> Digest:
    """Return digests of the same quantities as one."""
    starts = np.concatenate([each.starts for each in digests])
    return digests[0]._replace(starts=starts, table=np.concatenate([each.table for each in digests], axis=2))


def packed(found: Digest, units: Sequence[str]) -> bytes:
    """Return a digest as bytes.

    :param units: the unit of each quantity.
    """
    facts = {"seconds": found.seconds, "names": found.names, "units": units, "pieces": len(found.starts)}
    head = json.dumps(facts).encode() + b"\n"
    data = head + found.starts.astype("<f8").tobytes() + found.table.astype("<f8").tobytes()
    return zstandard.ZstdCompressor(level=1).compress(data)


def packed_together(digests: Mapping[str, bytes]) -> bytes:
    """Return packed digests as one piece: a line of JSON with the length of each digest, then the bytes of
    all."""
    head = json.dumps({topic: len(data) for topic, data in digests.items()})
    return head.encode() + b"\n" + b"".join(digests.values())


def parted(data: bytes) -> dict[str, bytes]:
    """Return the packed digests in one piece, by topic.

    :raises ValueError: if the piece is malformed.
    """
    head = data[: _end_of_head(data)]
    try:
        lengths = msgspec.json.decode(head, type=dict[str, int])
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    found = {}
    at = len(head) + 1
    for topic, length in lengths.items():
        if not 0 <= length <= len(data) - at:
            raise ValueError("its head does not fit its length")
        found[topic] = data[at : at + length]
        at += length
    return found


def _end_of_head(data: bytes) -> int:
    """Return the length of the line of JSON at the beginning.

    :raises ValueError: if it is too long.
    """
    end = data.find(b"\n", 0, MOST_HEAD)
    if end < 0:
        raise ValueError(f"the line at its beginning has more than {MOST_HEAD} bytes")
    return end


def unpacked(data: bytes) -> Digest:
    """Return the digest in these bytes.

    :raises ValueError: if they are malformed.
    """
    try:
        size = zstandard.frame_content_size(data)
        if not 0 < size <= MOST_DIGEST:
            raise ValueError(f"a digest of {size} bytes; expected at most {MOST_DIGEST}")
        content = zstandard.ZstdDecompressor().decompress(data, max_output_size=MOST_DIGEST)
        end = _end_of_head(content)
        facts = _facts.decode(memoryview(content)[:end])
        names, units, count = facts.names, facts.units, facts.pieces
        numbers = np.frombuffer(content[end + 1 :], "<f8")
        is_whole = len(units) == len(names) and len(numbers) == count * (1 + 4 * len(names))
        if facts.seconds not in (PIECE, LONG_PIECE) or not is_whole:
            raise ValueError("its head does not fit its numbers")
        table = numbers[count:].reshape(4, len(names), count)
        return Digest(names, numbers[:count], table, dict(zip(names, units)), facts.seconds)
    except (zstandard.ZstdError, msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None


class _Facts(msgspec.Struct):
    seconds: float
    names: list[str]
    units: list[str]
    pieces: Annotated[int, msgspec.Meta(ge=0)]


_facts = msgspec.json.Decoder(_Facts)
