"""Reading of recordings: which files and chunks have a topic's messages of a time span, and the messages.

A file that the daemon still writes is read up to its last chunk, and its tail file has the rest. The contents
of a file are remembered, so that a later query reads only the new part. All functions block. Next to read:
`layout`; `signals`, the queries.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import zstandard
from numpy.typing import NDArray

from mtmount_twisted.errors import RecordingError

from . import digests
from .digests import Digest, parted, unpacked
from .layout import (
    MESSAGE,
    MESSAGE_HEAD,
    MOST_RECORD,
    NANO,
    TAIL,
    Channel,
    Chunk,
    Contents,
    damaged,
    digest_places,
    open_regular,
    read_digest,
    read_summary,
    recordings,
    scan,
    started,
    tail_records,
)

HOUR = 3600.0
SPARE = 7200.0
"""The tolerance for the times of a recording by its name, in seconds. The daemon ends a recording after an
hour, but its clock may be set."""

MOST_TAIL = 64 * 2**20
"""The largest number of bytes that a query reads of a tail file. A minute has 10 MB. In a flood the newest
lines may be missing until their chunk is written."""

PIECE = 2**17
"""The size of the pieces in which the messages of a chunk are read, in bytes: a thread decodes one in about
0.5 ms, in which no other thread of Python runs."""

LONG_PIECE = 2**20
"""The size of the pieces in which one quantity is searched, in bytes. In a piece of long lines, a thread
searches the quantity in less than 0.5 ms. Long lines take nearly all the time of a query of many topics."""

RECORDS = 500
"""The number of records of a tail file that are read in one piece of work: some 0.5 ms."""

MOST_MESSAGES = 2**20
"""The largest number of messages of a chunk that are read. A minute has 24,000 messages; a flood of short
lines, 400,000."""

MOST_KNOWN, MOST_KNOWN_BYTES = 1000, 256 * 2**20
"""Largest number of files with remembered contents: twice the files of 14 days; and of the bytes of these
contents."""


class Messages:
    """Messages of one channel, in the order of the file.

    :param times: their times of arrival (ns, Unix time).
    :param data: bytes with their records.
    :param starts: the place of each record in these bytes.
    :param ends: the place of the end of each record.
    """

    def __init__(
        self, times: NDArray[np.int64], data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> None:
        self.times = times
        self._data = data
        self._starts = starts
        self._ends = ends

    @property
    def seconds(self) -> NDArray[np.float64]:
        """The times of arrival (s, Unix time)."""
        return self.times // NANO + self.times % NANO / NANO

    def line(self, row: int) -> bytes:
        """Return one line."""
        return self._data[int(self._starts[row]) + MESSAGE_HEAD.size : int(self._ends[row])]

    def lines(self) -> list[bytes]:
        """Return all lines."""
        data, head = self._data, MESSAGE_HEAD.size
        return [data[start + head : end] for start, end in zip(self._starts.tolist(), self._ends.tolist())]

    def places(self) -> tuple[bytes, NDArray[np.int64], NDArray[np.int64]]:
        """Return the bytes with the lines, and the start and the end of each line there."""
        return self._data, self._starts + MESSAGE_HEAD.size, self._ends

    def array(self) -> bytes | bytearray:
        """Return the lines as one JSON array.

        The heads of the records become blanks, and no line is copied by itself: half the time of a query.
        """
        starts, ends = self._starts, self._ends
        if not len(starts) or (starts[1:] != ends[:-1]).any():
            return b"[" + b",".join(self.lines()) + b"]"
        first, length = int(starts[0]), int(ends[-1] - starts[0])
        array = bytearray(length + 1)
        places = np.frombuffer(array, np.uint8)
        places[:length] = np.frombuffer(self._data, np.uint8, length, first)
        places[(starts - first)[:, None] + np.arange(MESSAGE_HEAD.size)] = _BLANK
        places[starts - first] = _COMMA
        places[0], places[length] = _OPENING, _CLOSING
        return array

    def pieces(self, length: int = PIECE) -> Iterator[Messages]:
        """Yield the messages in pieces of about `length` bytes."""
        count = len(self.times)
        size = int((self._ends - self._starts).sum())
        rows = max(1, count * length // max(size, 1))
        if count <= rows:
            yield self
            return
        for first in range(0, count, rows):
            piece = slice(first, first + rows)
            yield Messages(self.times[piece], self._data, self._starts[piece], self._ends[piece])

    def within(self, start: int, end: int) -> Messages:
        """Return the messages of a time span (ns); `end` is exclusive."""
        inside = (self.times >= start) & (self.times < end)
        if inside.all():
            return self
        return Messages(self.times[inside], self._data, self._starts[inside], self._ends[inside])


_BLANK, _COMMA, _OPENING, _CLOSING = b" ,[]"


class _Known(NamedTuple):
    size: int
    changed: int
    contents: Contents
    bytes: int


_known: dict[tuple[Path, int, int], _Known] = {}
_lock = threading.Lock()


@dataclass
class Recording:
    """A recording that is open for reading.

    :ivar path: its path.
    :ivar contents: its channels and chunks.
    :ivar tail: the messages that are in no chunk yet, by the id of their channel.
    """

    path: Path
    file: int
    contents: Contents
    tail: dict[int, Messages]

    @property
    def topics(self) -> dict[str, Channel]:
        """The channels by their topics."""
        return {channel.topic: channel for channel in self.contents.channels.values()}

    @property
    def span(self) -> tuple[int, int] | None:
        """The times of its first and last message (ns); None if it has none."""
        chunks = self.contents.chunks
        starts = [chunk.start for chunk in chunks] + [int(each.times.min()) for each in self.tail.values()]
        ends = [chunk.end for chunk in chunks] + [int(each.times.max()) for each in self.tail.values()]
        return (min(starts), max(ends)) if starts else None

    def chunks(self, topic: str, start: int, end: int) -> list[Chunk]:
        """Return the chunks of a topic with messages of a time span (ns); `end` is exclusive."""
        channel = self.topics.get(topic)
        if channel is None:
            return []
        number = channel.id
        return [
            chunk
            for chunk in self.contents.chunks
            if chunk.channel == number and chunk.end >= start and chunk.start < end
        ]

    def read(self, topic: str, start: int, end: int, length: int = PIECE) -> Iterator[Messages]:
        """Yield the messages of a topic in a time span (ns), in pieces; `end` is exclusive.

        :param length: about the bytes of a piece: `LONG_PIECE` if one quantity is all that a query needs.
        :raises RecordingError: if a chunk is damaged.
        """
        for chunk in self.chunks(topic, start, end):
            yield from self.messages(chunk).within(start, end).pieces(length)
        tail = self.tail_of(topic)
        if tail is not None:
            yield from tail.within(start, end).pieces(length)

    def tail_of(self, topic: str) -> Messages | None:
        """Return the messages of a topic that are in no chunk yet; None if there are none."""
        channel = self.topics.get(topic)
        return None if channel is None else self.tail.get(channel.id)

    def messages(self, chunk: Chunk) -> Messages:
        """Return all messages of a chunk.

        :raises RecordingError: if it is damaged.
        """
        if chunk.messages > MOST_MESSAGES:
            raise damaged(self.path, chunk.offset, f"it has more than {MOST_MESSAGES} messages")
        length = chunk.length + chunk.index_length
        record = os.pread(self.file, length, chunk.offset)
        if len(record) != length:
            raise damaged(self.path, chunk.offset, "its end is missing")
        if chunk.data_length > chunk.length:
            raise damaged(self.path, chunk.offset, "its data is longer than the record")
        start = chunk.length - chunk.data_length
        frame = record[start : chunk.length]
        try:
            # The checksum of zstd costs a tenth of the other one; recordings of before have none.
            parameters = zstandard.get_frame_parameters(frame)
            is_checked = parameters.has_checksum
            # The decompressor takes memory for the size that the frame tells, whatever `max_output_size` is.
            if parameters.content_size not in (chunk.size, zstandard.CONTENTSIZE_UNKNOWN):
                why = f"its data has {parameters.content_size} bytes decompressed; expected {chunk.size}"
                raise damaged(self.path, chunk.offset, why)
            data = zstandard.ZstdDecompressor().decompress(
                frame, max_output_size=chunk.size, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise damaged(self.path, chunk.offset, str(error)) from None
        if len(data) != chunk.size or not (
            is_checked or crc32(data) == int.from_bytes(record[33:37], "little")
        ):
            raise damaged(self.path, chunk.offset, "its checksum is wrong")
        if chunk.messages < 1:
            raise damaged(self.path, chunk.offset, "its index does not fit its messages")
        pairs = np.frombuffer(record, "<u8", 2 * chunk.messages, chunk.length + 15).reshape(-1, 2)
        starts = pairs[:, 1].astype(np.int64)
        ends = np.append(starts[1:], len(data))
        # A sum would exceed the numbers of numpy, and so be negative.
        is_sound = (starts >= 0) & (starts <= ends - MESSAGE_HEAD.size) & (ends <= len(data))
        if not is_sound.all() or (np.frombuffer(data, np.uint8)[starts] != MESSAGE).any():
            raise damaged(self.path, chunk.offset, "its index does not fit its messages")
        if (
            ends - starts > MOST_RECORD + MESSAGE_HEAD.size
        ).any():  # one call decodes it, and all threads wait
            raise damaged(self.path, chunk.offset, f"a message is longer than {MOST_RECORD} bytes")
        return Messages(pairs[:, 0].astype(np.int64), data, starts, ends)


def read_recording(path: Path, proceed: Callable[[], None] = lambda: None) -> Recording:
    """Open a recording; `close` closes it.

    :param proceed: called between two pieces of work.
    :raises RecordingError: if it is damaged, or not a regular file.
    :raises FileNotFoundError: if it was deleted.
    """
    # The tail is read first: its messages may become chunks meanwhile, and `since` leaves these out.
    tail = _read_tail(path, proceed)
    file = open_regular(path)
    try:
        contents = _contents(path, file)
    except BaseException:
        os.close(file)
        raise
    rest = {} if contents.is_finished else tail.since(contents.counts())
    return Recording(path, file, contents, rest)


def _contents(path: Path, file: int) -> Contents:
    found = os.fstat(file)
    key = path, found.st_dev, found.st_ino  # a system gives the number of a deleted file to a new one
    with _lock:
        known = _known.get(key)
        if known is not None and (known.size, known.changed) == (found.st_size, found.st_mtime_ns):
            return known.contents
        contents = read_summary(path, file)
        if contents is None:
            before = None
            if known is not None and not known.contents.is_finished and known.size <= found.st_size:
                before = known.contents.copy()
            contents = scan(path, file, before)
        _known.pop(key, None)
        room = MOST_KNOWN_BYTES - contents.size
        while _known and (len(_known) >= MOST_KNOWN or sum(each.bytes for each in _known.values()) > room):
            _known.pop(next(iter(_known)))
        _known[key] = _Known(found.st_size, found.st_mtime_ns, contents, contents.size)
        return contents


class _Tail:
    """The messages in a tail file."""

    def __init__(self) -> None:
        self.data = b""
        # By channel: the time, start, end and number of each message.
        self.channels: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))

    def since(self, counts: Mapping[int, int]) -> dict[int, Messages]:
        """Return the messages by channel, without the first messages of each channel, which are in chunks."""
        found = {}
        for channel, numbers in self.channels.items():
            rows = np.frombuffer(numbers, np.uint64).astype(np.int64).reshape(-1, 4)
            rows = rows[rows[:, 3] > counts.get(channel, 0)]
            if len(rows):
                times, starts, ends = (rows[:, column].copy() for column in range(3))
                found[channel] = Messages(times, self.data, starts, ends)
        return found


def _read_tail(path: Path, proceed: Callable[[], None]) -> _Tail:
    tail = _Tail()
    try:
        file = open_regular(Path(f"{path}{TAIL}"))
    except FileNotFoundError:
        return tail
    with open(file, "rb") as opened:
        tail.data = opened.read(MOST_TAIL)
    channels = tail.channels
    found = islice(tail_records(tail.data), MOST_MESSAGES)
    for number, (start, end, channel, sequence, log_time, _) in enumerate(found):
        if number % RECORDS == 0:
            proceed()
        channels[channel].extend((log_time, start, end, sequence))
    return tail


def named_in(folder: Path, start: int, end: int) -> list[Path]:
    """Return the recordings that may have messages of a time span (ns) by their names, the oldest first."""
    return [
        path
        for path in recordings(folder)
        if (named := named_span(path))[0] * NANO < end and named[1] * NANO > start
    ]


def named_span(path: Path) -> tuple[float, float]:
    """Return the span in which a recording may have messages by its name (s, Unix time)."""
    return started(path) - SPARE, started(path) + HOUR + SPARE


def digests_of(path: Path, topics: Iterable[str], seconds: float) -> Iterator[tuple[str, Digest]]:
    """Yield the digests of some topics in a recording, as far as it has them, with their topics. Only one is
    in memory at a time.

    :param seconds: the greatest length of their pieces; a recording of an earlier version has no pieces of
        300 s.

    :raises RecordingError: if it is damaged.
    :raises FileNotFoundError: if it was deleted.
    """
    file = open_regular(path)
    try:
        contents = digest_places(path, file)
        coarse = contents.coarse if seconds >= digests.LONG_PIECE else None
        together = {} if coarse is None else _parted(path, coarse[0], read_digest(path, file, coarse))
        for topic in topics:
            if coarse is not None:
                if topic in together:
                    yield topic, _unpacked(path, coarse[0], together[topic])
            elif (place := contents.digests.get(topic)) is not None:
                yield topic, _unpacked(path, place[0], read_digest(path, file, place))
    finally:
        os.close(file)


def _parted(path: Path, offset: int, data: bytes) -> dict[str, bytes]:
    try:
        return parted(data)
    except ValueError as error:
        raise damaged(path, offset, str(error)) from None


def _unpacked(path: Path, offset: int, data: bytes) -> Digest:
    try:
        return unpacked(data)
    except ValueError as error:
        raise damaged(path, offset, str(error)) from None


def in_span(
    folder: Path, start: int, end: int, proceed: Callable[[], None] = lambda: None
) -> Iterator[Recording]:
    """Yield the recordings that may have messages of a time span (ns), the oldest first, each open.

    :param proceed: called between two pieces of work.
    :raises RecordingError: if one is damaged.
    """
    for path in named_in(folder, start, end):
        proceed()
        try:
            recording = read_recording(path, proceed)
        except FileNotFoundError:  # the daemon deleted it just now
            continue
        try:
            found = recording.span
            if found is not None and found[0] < end and found[1] >= start:
                yield recording
        finally:
            os.close(recording.file)


def first_with_messages(
    folder: Path, *, newest: bool = False, proceed: Callable[[], None] = lambda: None
) -> tuple[int, int] | None:
    """Return the span (ns) of the oldest recording that has messages, or of the newest; None without one."""
    paths = recordings(folder)
    for path in reversed(paths) if newest else paths:
        proceed()
        try:
            recording = read_recording(path, proceed)
        except (FileNotFoundError, RecordingError):  # a query of its time span reports it
            continue
        os.close(recording.file)
        if recording.span is not None:
            return recording.span
    return None
