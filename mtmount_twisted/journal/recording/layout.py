"""The layout of a recording: MCAP records that are read fast, and the names of the files.

The package ``mcap`` writes the records. This module reads chunks, their indexes and messages, of which a file
has thousands, and the few records that a query needs besides. Each chunk of a recording has messages of one
channel only, so that a query decompresses only the topics that it needs. https://mcap.dev/spec defines the
format. All functions with a path block.

Next to read: `files`, which writes; `index`, which reads.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import time
from calendar import timegm
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias
from zlib import crc32

from msgspec import Struct

from mtmount_twisted.errors import RecordingError
from mtmount_twisted.journal.checking import unfit
from mtmount_twisted.visible import visible

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(1, 9)
ATTACHMENT, ATTACHMENT_INDEX, METADATA, DATA_END = 9, 10, 12, 15
"""Opcodes of records."""

ABOUT = "mtmount"
"""The name of the metadata record about the mount and the program."""

PREFIX = "telemetry"
NAME = re.compile(rf"{PREFIX}-(\d{{8}}T\d{{6}}Z)(?:-(\d{{1,6}}))?\.mcap", re.ASCII)
"""The name of a recording."""

TAIL = ".tail"
"""The suffix that the name of the tail file adds to the name of its recording."""

MOST_CHUNK = 64 * 2**20
"""The largest number of bytes in a chunk. One minute of the largest topic has 4 MB."""

MOST_STORED = MOST_CHUNK + 2**18
"""The largest number of bytes of the record of a chunk: zstd adds a 256th at most."""

MOST_TOGETHER = 5000
"""The largest number of messages that are written as one chunk. One minute of a topic has 1,200 (20 Hz)."""

MOST_SUMMARY = 64 * 2**20
"""The largest number of bytes of a summary. The summary of an hour has 0.5 MB."""

DIGEST = "digest/"
"""The beginning of the name of an attachment with the digest of a topic, before the name of the topic."""

COARSE = "digest-300"
"""The name of the attachment with the digests of all topics in longer pieces."""

DIGEST_TYPE = "application/zstd"
"""The media type of such an attachment."""

MOST_DIGEST = 16 * 2**20
"""The largest number of bytes of a digest, compressed or not. The digest of an hour of the largest topic has
0.8 MB."""

MOST_RECORD = 2**20
"""The largest number of bytes of a schema, a channel, metadata, or a message. The longest schema has 16 kB,
the longest event 40 kB."""

MOST_CHANNELS, MOST_SCHEMAS = 1000, 8 * 2**20
"""The largest number of channels of a file, and of the bytes of their schemas and of all schemas together. A
recording has 27 channels, whose schemas have 0.3 MB."""

MOST_RECORDS = 100_000
"""The largest number of records of a file without a summary, and of chunks of a file. An hour has some 5,000
records."""

CHUNK_BYTES = 400
"""The bytes of memory of one `Chunk`."""

RECORD = struct.Struct("<BQ")
MESSAGE_HEAD = struct.Struct("<BQHIQQ")
"""A record's opcode and length, then channel, sequence, log time and publish time of a message."""

_CHUNK_HEAD = struct.Struct("<BQQQQII4sQ")  # with the compression "zstd"
_INDEX_HEAD = struct.Struct("<BQHI")
_CHUNK_INDEX = struct.Struct("<BQQQQQIHQQI4sQQ")  # of a chunk with one channel and the compression "zstd"
_FOOTER = struct.Struct("<BQQQI")
_OFFSET = struct.Struct("<BQBQQ")
_ATTACHMENT_INDEX = struct.Struct("<QQQQQ")
_SUMMARY_OFFSET = 14
_ZSTD = b"zstd"
_ONE_CHANNEL = 10
_END = 8192
"""The number of bytes at the end of a file that are read to find its digests."""


NANO = 1_000_000_000


def to_nanoseconds(time: float) -> int:
    """Return a time (s, Unix time) in nanoseconds; a float can't hold all its digits."""
    seconds = int(time // 1)
    return seconds * NANO + round((time - seconds) * NANO)


class Chunk(NamedTuple):
    """The place of a chunk, and of its index right behind it.

    :ivar channel: id of its channel.
    :ivar start: time of arrival of its first message (ns, Unix time).
    :ivar end: time of arrival of its last message (ns, Unix time).
    :ivar offset: position in the file, in bytes.
    :ivar length: length of the record.
    :ivar index_length: length of the record of its index.
    :ivar data_length: length of the compressed data.
    :ivar size: length of the data once decompressed.
    """

    channel: int
    start: int
    end: int
    offset: int
    length: int
    index_length: int
    data_length: int
    size: int

    @property
    def messages(self) -> int:
        """Number of messages; 0 if the index is shorter than its own head, which is damage."""
        return max(0, self.index_length - _INDEX_HEAD.size) // 16


class Channel(NamedTuple):
    """A channel of a recording.

    :ivar id: number in the file.
    :ivar topic: name of the topic, or `items.EVENTS`.
    :ivar schema: its JSON Schema.
    """

    id: int
    topic: str
    schema: bytes


@dataclass
class Contents:
    """The contents of a recording, as far as they are known.

    :ivar channels: the channels by their ids.
    :ivar chunks: all chunks in the order of the file.
    :ivar about: the metadata about the mount.
    :ivar about_at: the place and the length of its record, in bytes.
    :ivar digests: the place and the length of each attachment with a digest, by the topic.
    :ivar coarse: the place and the length of the attachment with the digests in longer pieces; None if there
        is none.
    :ivar end: the end of the last complete record, in bytes.
    :ivar is_finished: True if the file has its end, as a closed recording has.
    """

    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    about_at: tuple[int, int] = (0, 0)
    digests: dict[str, tuple[int, int]] = field(default_factory=dict)
    coarse: tuple[int, int] | None = None
    end: int = 0
    is_finished: bool = False
    _schemas: dict[int, bytes] = field(default_factory=dict)
    _schema_bytes: int = 0  # of all channels, with the names of their topics
    _stored_bytes: int = 0  # of all schemas

    @property
    def size(self) -> int:
        """Memory that the contents take, in bytes, roughly."""
        return CHUNK_BYTES * len(self.chunks) + self._stored_bytes + self._schema_bytes

    def copy(self) -> Contents:
        """Return contents that can be extended while a query uses these."""
        return replace(
            self, channels=dict(self.channels), chunks=list(self.chunks), _schemas=dict(self._schemas)
        )

    def counts(self) -> dict[int, int]:
        """Return the number of messages of each channel in the chunks."""
        counts: dict[int, int] = {}
        for chunk in self.chunks:
            counts[chunk.channel] = counts.get(chunk.channel, 0) + chunk.messages
        return counts

    def add(self, path: Path, offset: int, opcode: int, body: bytes) -> None:
        """Add a schema, a channel or metadata.

        :raises RecordingError: if the record is malformed.
        """
        try:
            self._add(opcode, _Fields(body), (offset, RECORD.size + len(body)))
        except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
            raise damaged(path, offset, f"record of kind {opcode}: {error}") from None

    def _add(self, opcode: int, fields: _Fields, place: tuple[int, int]) -> None:
        if opcode == SCHEMA:
            number = fields.number("<H")
            fields.text(), fields.text()
            self._schemas[number] = schema_text = fields.data()
            self._stored_bytes += len(schema_text)
            if self._stored_bytes > MOST_SCHEMAS:
                raise ValueError(f"more than {MOST_SCHEMAS} bytes of schemas")
        elif opcode == CHANNEL:
            number, schema = fields.number("<H"), fields.number("<H")
            topic = fields.text()
            self.channels[number] = Channel(number, topic, self._schemas.get(schema, b""))
            self._schema_bytes += len(topic) + len(self.channels[number].schema)
            if len(self.channels) > MOST_CHANNELS or self._schema_bytes > MOST_SCHEMAS:
                raise ValueError(
                    f"more than {MOST_CHANNELS} channels, or {MOST_SCHEMAS} bytes of their schemas"
                )
        elif opcode == ATTACHMENT_INDEX:
            at, length, *_ = fields.numbers(_ATTACHMENT_INDEX)
            name = fields.text()
            if name == COARSE:
                self.coarse = at, length
            elif name.startswith(DIGEST):
                self.digests[name.removeprefix(DIGEST)] = at, length
                if len(self.digests) > MOST_CHANNELS:
                    raise ValueError(f"more than {MOST_CHANNELS} digests")
        elif opcode == METADATA and fields.text() == ABOUT:
            self.about, self.about_at = fields.texts(), place


class _Fields:
    """The fields of a record, in their order."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def number(self, layout: str) -> int:
        (number,) = struct.unpack_from(layout, self._body, self._at)
        self._at += struct.calcsize(layout)
        return int(number)

    def numbers(self, layout: struct.Struct) -> tuple[int, ...]:
        found: tuple[int, ...] = layout.unpack_from(self._body, self._at)
        self._at += layout.size
        return found

    def data(self, layout: str = "<I") -> bytes:
        length = self.number(layout)
        data = self._body[self._at : self._at + length]
        if len(data) != length:
            raise IndexError("its end is missing")
        self._at += length
        return data

    def text(self) -> str:
        return self.data().decode()

    def texts(self) -> dict[str, str]:
        end = self.number("<I") + self._at
        found = {}
        while self._at < end:
            key = self.text()
            found[key] = self.text()
        return found


def damaged(path: Path, offset: int, why: str) -> RecordingError:
    """Return the error about a record of a file: one line, with control characters made visible."""
    return RecordingError(visible(f"{path}: the record at byte {offset} is damaged: {why}"))


def recordings(folder: Path) -> list[Path]:
    """Return the recordings in a folder, the oldest first. A missing folder has none.

    :raises RecordingError: if the folder can't be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordingError(visible(f"{folder}: can't be read: {error.strerror}")) from None
    return [folder / name for name in sorted(filter(_is_recording, names), key=_order)]


def _order(name: str) -> tuple[str, int]:
    found = NAME.fullmatch(name)
    assert found is not None
    return found[1], int(found[2] or 1)


def started(path: Path) -> float:
    """Return the start of a recording (s, Unix time), according to its name."""
    return float(timegm(time.strptime(path.name[len(PREFIX) + 1 :][:16], "%Y%m%dT%H%M%SZ")))


def _is_recording(name: str) -> bool:
    """Return True for the name of a recording, which has a possible time."""
    if NAME.fullmatch(name) is None:
        return False
    try:
        started(Path(name))
    except ValueError:  # a month 13
        return False
    return True


def open_regular(path: Path, flags: int = os.O_RDONLY, owner: int | None = None) -> int:
    """Open a regular file, without following a link or waiting for a FIFO.

    :param owner: the user to whom the file must belong; None for any.
    :returns: the descriptor.
    :raises RecordingError: if it is no regular file, or belongs to another user.
    :raises FileNotFoundError: if there is none.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        why = "it is a symbolic link" if os.path.islink(path) else f"can't be opened: {error.strerror}"
        raise RecordingError(visible(f"{path}: {why}")) from None
    found = os.fstat(file)
    why = unfit(found, found.st_uid if owner is None else owner)
    if why or not stat.S_ISREG(found.st_mode):
        os.close(file)
        raise RecordingError(visible(f"{path}: {why or 'it is no regular file'}"))
    return file


def scan(path: Path, file: int, known: Contents | None = None, *, lenient: bool = False) -> Contents:
    """Read the records of a file one after the other, up to its end or to the first incomplete one.

    :param known: contents that were read before; the scan continues at their end, and changes them.
    :param lenient: True to stop at a damaged record instead of raising the error.
    :raises RecordingError: if it is no recording, or a record is damaged.
    """
    contents = known or Contents()
    size = os.fstat(file).st_size
    if contents.end == 0:
        if os.pread(file, len(MAGIC), 0) != MAGIC:
            if lenient:
                return contents
            raise damaged(path, 0, "expected the first bytes of an MCAP file")
        contents.end = len(MAGIC)
    try:
        for _ in range(MOST_RECORDS):
            if contents.is_finished or contents.end >= size:
                break
            if not _scan_record(path, file, size, contents):
                break
        else:
            raise damaged(path, contents.end, f"there are more than {MOST_RECORDS} records before it")
    except RecordingError:
        if not lenient:
            raise
    return contents


def _scan_record(path: Path, file: int, size: int, contents: Contents) -> bool:
    """Read the record at the end of the known contents; return False if it is incomplete."""
    at = contents.end
    head = os.pread(file, _CHUNK_HEAD.size, at)
    if len(head) < RECORD.size:
        return False
    opcode, length = RECORD.unpack_from(head)
    end = at + RECORD.size + length
    if end > size:
        return False
    if opcode == CHUNK:
        return _scan_chunk(path, file, size, contents, head, end)
    if opcode == DATA_END:
        contents.is_finished = True
        return True
    if opcode == ATTACHMENT:  # the end was being written when the daemon was killed
        return False
    if opcode in (SCHEMA, CHANNEL, METADATA):
        if length > MOST_RECORD:
            raise damaged(path, at, f"{length} bytes are too many")
        contents.add(path, at, opcode, os.pread(file, length, at + RECORD.size))
    elif opcode not in (HEADER, MESSAGE, MESSAGE_INDEX) and opcode < 0x80:
        raise damaged(path, at, f"a record of kind {opcode} has no place there")
    contents.end = end
    return True


def _scan_chunk(path: Path, file: int, size: int, contents: Contents, head: bytes, end: int) -> bool:
    at = contents.end
    if len(head) < _CHUNK_HEAD.size:
        raise damaged(path, at, "it is too short for a chunk")
    _, length, start, last, data_size, _, name_length, name, data_length = _CHUNK_HEAD.unpack(head)
    if name_length != len(_ZSTD) or name != _ZSTD or length != _CHUNK_HEAD.size - RECORD.size + data_length:
        raise damaged(path, at, "expected a chunk that is compressed with zstd")
    if data_size > MOST_CHUNK:
        raise damaged(path, at, f"a chunk of {data_size} bytes; expected at most {MOST_CHUNK}")
    if length > MOST_STORED:
        raise damaged(path, at, f"a chunk with a record of {length} bytes; expected at most {MOST_STORED}")
    index = os.pread(file, _INDEX_HEAD.size, end)
    if len(index) < _INDEX_HEAD.size:
        return False
    opcode, index_length, channel, _ = _INDEX_HEAD.unpack(index)
    if opcode != MESSAGE_INDEX:
        raise damaged(path, end, "expected the index of the chunk before it")
    if index_length < _INDEX_HEAD.size - RECORD.size:
        raise damaged(path, end, "it is too short for the index of a chunk")
    if index_length > MOST_CHUNK:
        raise damaged(path, end, f"an index of {index_length} bytes; expected at most {MOST_CHUNK}")
    if end + RECORD.size + index_length > size:
        return False
    contents.chunks.append(
        Chunk(channel, start, last, at, end - at, RECORD.size + index_length, data_length, data_size)
    )
    contents.end = end + RECORD.size + index_length
    return True


def read_summary(path: Path, file: int) -> Contents | None:
    """Read the summary at the end of a finished recording; return None if the file has none.

    :raises RecordingError: if the summary is damaged.
    """
    size = os.fstat(file).st_size
    foot = size - len(MAGIC) - _FOOTER.size
    data = os.pread(file, _FOOTER.size + len(MAGIC), foot) if foot > 0 else b""
    if len(data) != _FOOTER.size + len(MAGIC) or data[-len(MAGIC) :] != MAGIC:
        return None
    opcode, length, start, _, _ = _FOOTER.unpack_from(data)
    if opcode != FOOTER or length != _FOOTER.size - RECORD.size:
        return None
    if not len(MAGIC) < start <= foot or foot - start > MOST_SUMMARY:
        raise damaged(path, foot, f"its summary would begin at byte {start}")
    contents = Contents(end=start, is_finished=True)
    summary = os.pread(file, foot - start, start)
    for opcode, at, end in records(path, summary, start):
        if opcode == CHUNK_INDEX:
            contents.chunks.append(_chunk_of(path, summary, at, end, start))
            if len(contents.chunks) > MOST_RECORDS:
                raise damaged(path, start + at, f"there are more than {MOST_RECORDS} chunks")
        elif opcode in (SCHEMA, CHANNEL, ATTACHMENT_INDEX):
            contents.add(path, start + at, opcode, summary[at + RECORD.size : end])
    for opcode, at, end in records(path, os.pread(file, MOST_RECORD, len(MAGIC)), len(MAGIC), partial=True):
        if opcode == METADATA:
            body = os.pread(file, end - at - RECORD.size, len(MAGIC) + at + RECORD.size)
            contents.add(path, len(MAGIC) + at, opcode, body)
            break
    contents.chunks.sort(key=lambda chunk: chunk.offset)
    return contents


def digest_places(path: Path, file: int) -> Contents:
    """Return contents with nothing but the places of the attachments with digests.

    Only the end of the file is read, and not the places of its chunks. A file without digests, or without an
    end, has none.

    :raises RecordingError: if the end is damaged.
    """
    size = os.fstat(file).st_size
    begin = max(size - _END, 0)
    data = os.pread(file, _END, begin)
    foot = len(data) - len(MAGIC) - _FOOTER.size
    if foot < 0 or data[-len(MAGIC) :] != MAGIC:
        return Contents()
    opcode, _, _, offsets, _ = _FOOTER.unpack_from(data, foot)
    contents = Contents()
    if opcode != FOOTER or not begin <= offsets <= begin + foot:
        return contents
    for opcode, at, _ in records(path, data[offsets - begin : foot], offsets):
        at += offsets - begin
        if opcode != _SUMMARY_OFFSET or at + _OFFSET.size > foot:
            continue
        _, _, group, start, length = _OFFSET.unpack_from(data, at)
        if group != ATTACHMENT_INDEX:
            continue
        if start + length > size or length > MOST_RECORD:
            raise damaged(path, begin + at, f"its group would begin at byte {start}")
        found = os.pread(file, length, start)
        for kind, place, end in records(path, found, start):
            contents.add(path, start + place, kind, found[place + RECORD.size : end])
    return contents


def read_digest(path: Path, file: int, place: tuple[int, int]) -> bytes:
    """Return the data of an attachment.

    :raises RecordingError: if it is damaged.
    """
    offset, length = place
    is_sound = length <= MOST_DIGEST and offset < 2**63  # the system knows no greater place
    record = os.pread(file, length, offset) if is_sound else b""
    if len(record) != length or length < RECORD.size + 4 or record[0] != ATTACHMENT:
        raise damaged(path, offset, "expected an attachment")
    if crc32(record[RECORD.size : -4]) != int.from_bytes(record[-4:], "little"):
        raise damaged(path, offset, "its checksum is wrong")
    fields = _Fields(record[RECORD.size : -4])
    try:
        fields.number("<Q"), fields.number("<Q")
        fields.text(), fields.text()
        return fields.data("<Q")
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise damaged(path, offset, str(error)) from None


def _chunk_of(path: Path, summary: bytes, at: int, end: int, summary_start: int) -> Chunk:
    if end - at != _CHUNK_INDEX.size:
        raise damaged(path, summary_start + at, "expected a chunk of one channel, compressed with zstd")
    (_, _, start, last, offset, length, map_length, channel, _, index_length, _, name, data_length, size) = (
        _CHUNK_INDEX.unpack_from(summary, at)
    )
    is_ours = map_length == _ONE_CHANNEL and name == _ZSTD and size <= MOST_CHUNK
    is_bounded = length <= MOST_STORED and index_length <= MOST_CHUNK
    if not (is_ours and is_bounded) or offset + length + index_length > summary_start:
        raise damaged(path, summary_start + at, "expected a chunk of one channel, compressed with zstd")
    return Chunk(channel, start, last, offset, length, index_length, data_length, size)


def records(path: Path, data: bytes, offset: int, *, partial: bool = False) -> Iterator[tuple[int, int, int]]:
    """Yield the opcode, the start and the end of each record in a piece of a file.

    :param offset: the place of the piece in the file, for the error.
    :param partial: True to stop at an incomplete record instead of raising the error.
    :raises RecordingError: if a record is longer than the piece.
    """
    at = 0
    while at < len(data):
        if at + RECORD.size > len(data):
            end = len(data) + 1
        else:
            opcode, length = RECORD.unpack_from(data, at)
            end = at + RECORD.size + length
        if end > len(data):
            if partial:
                return
            raise damaged(path, offset + at, "its end is missing")
        yield opcode, at, end
        at = end


class Message(Struct, frozen=True, gc=False):
    """A message. The garbage collector passes it over: while it looks at objects, all threads wait.

    :ivar channel: id of its channel.
    :ivar sequence: its number in the channel; the first is 1.
    :ivar log_time: time of arrival (ns, Unix time).
    :ivar publish_time: the mount's time stamp (ns, Unix time).
    :ivar data: the line, without its terminator.
    """

    channel: int
    sequence: int
    log_time: int
    publish_time: int
    data: bytes

    def packed(self) -> bytes:
        """Return the record."""
        length = MESSAGE_HEAD.size - RECORD.size + len(self.data)
        head = MESSAGE_HEAD.pack(
            MESSAGE, length, self.channel, self.sequence, self.log_time, self.publish_time
        )
        return head + self.data


def portions(messages: Sequence[Message], most: int) -> Iterator[Sequence[Message]]:
    """Yield messages in their order, in portions of at most `most` bytes and `MOST_TOGETHER` messages.

    A longer message is a portion of its own.
    """
    start = size = 0
    for number, message in enumerate(messages):
        size += len(message.data)
        if number > start and (size > most or number - start == MOST_TOGETHER):
            yield messages[start:number]
            start, size = number, len(message.data)
    if start < len(messages):
        yield messages[start:]


def packed(messages: Sequence[Message]) -> Iterator[bytes]:
    """Yield the records of messages, in pieces of about 1 MiB: a longer piece holds Python's lock too
    long."""
    for portion in portions(messages, 2**20):
        yield b"".join([message.packed() for message in portion])


TailRecord: TypeAlias = tuple[int, int, int, int, int, int]
"""A message in a tail file: start and end of the whole record, then the head; see `Message`."""


def tail_records(data: bytes) -> Iterator[TailRecord]:
    """Yield the messages in a tail file, up to the first incomplete or damaged one."""
    at = len(MAGIC)
    if data[:at] != MAGIC:
        return
    unpack, least, most = MESSAGE_HEAD.unpack_from, MESSAGE_HEAD.size, len(data)
    while at + least <= most:
        opcode, length, channel, sequence, log_time, publish_time = unpack(data, at)
        end = at + RECORD.size + length
        if opcode != MESSAGE or end > most or end < at + least:
            return
        yield at, end, channel, sequence, log_time, publish_time
        at = end


def tail_messages(data: bytes) -> Iterator[Message]:
    """Yield the messages in a tail file, up to the first incomplete or damaged one."""
    for start, end, channel, sequence, log_time, publish_time in tail_records(data):
        yield Message(channel, sequence, log_time, publish_time, data[start + MESSAGE_HEAD.size : end])
