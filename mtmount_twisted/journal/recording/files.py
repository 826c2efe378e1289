"""Writing of one recording: chunks as they fill up, then the summary.

Each operation writes whole records, or nothing: after a failed write the file is cut at the end of the last
record. Messages that are not in a chunk yet stand in the tail file beside the recording (`TailFile`). All
methods block. Next to read: `layout`; `recovery`, which finishes the file of a killed daemon.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import zstandard
from mcap import records as mcap
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode

from mtmount_twisted.dialects.dialect import TopicFacts
from mtmount_twisted.version import __version__

from .layout import (
    ABOUT,
    COARSE,
    DIGEST,
    DIGEST_TYPE,
    MAGIC,
    PREFIX,
    TAIL,
    Channel,
    Chunk,
    Contents,
    Message,
    open_regular,
    packed,
    scan,
)

LIBRARY = f"mtmount_twisted {__version__}"


def _compressor(search_log: int) -> zstandard.ZstdCompressor:
    """Return a compressor for lines of numbers.

    Noisy numbers cost most of the bytes, and no match helps there: levels 1 to 15 take 15 to 50 % more bytes,
    and level 19 the same bytes and four times the time (``benchmarks/recorder.py``).
    """
    parameters = zstandard.ZstdCompressionParameters(
        strategy=zstandard.STRATEGY_BTOPT,
        window_log=22,
        hash_log=17,
        chain_log=17,
        search_log=search_log,
        min_match=6,
        target_length=64,
        write_checksum=True,
    )
    return zstandard.ZstdCompressor(compression_params=parameters)


def thorough() -> Callable[[bytes], bytes]:
    """Return the compression for a recording that goes on."""
    return _compressor(4).compress


def quick() -> Callable[[bytes], bytes]:
    """Return the compression for the last chunks at the end of the daemon: 20 times as fast."""
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress


def schema_of(facts: TopicFacts | None) -> bytes:
    """Return the JSON Schema of a topic's lines; without facts, of any JSON object."""
    if facts is None:
        return json.dumps({"type": "object"}).encode()
    properties: dict[str, Any] = {
        "topicID": {"const": facts.number},
        "timestamp": {"type": "number", "description": "Time of sending: TAI seconds.", "unit": "s"},
    }
    for each in facts.quantities:
        # The vendor writes 0 and 1 for a bool.
        kind: Any = ["boolean", "integer"] if each.dtype == "boolean" else each.dtype
        unit = {"unit": each.unit} if each.unit else {}
        properties[each.name] = {"type": kind, "description": each.doc, **unit}
        properties[each.measured_at] = {"type": "number", "unit": "s"}
    schema = {
        "title": facts.name,
        "description": facts.doc,
        "type": "object",
        "properties": properties,
        "required": ["topicID", "timestamp"],
    }
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode()


def _packed(*records: mcap.McapRecord) -> bytes:
    builder = RecordBuilder()
    for record in records:
        record.write(builder)
    data: bytes = builder.end()  # type: ignore[no-untyped-call]
    return data


def _write_all(file: int, data: bytes) -> int:
    """Write bytes; return their number."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    return len(data)


class RecordingFile:
    """A recording that is being written; it holds a lock on the file.

    :param file: its descriptor, which `close` closes.
    :param contents: its contents so far.
    :ivar path: its path.
    :ivar contents: the channels and chunks.
    """

    def __init__(self, path: Path, file: int, contents: Contents) -> None:
        self.path = path
        self.contents = contents
        self._file = file
        self._ids = {channel.topic: channel.id for channel in contents.channels.values()}

    @classmethod
    def create(cls, folder: Path, now: float, about: Mapping[str, str]) -> RecordingFile:
        """Create a recording with mode 0600.

        :param now: its start (s, Unix time).
        :param about: metadata about the mount.
        """
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        number = 1
        while True:
            path = folder / f"{PREFIX}-{stamp}{f'-{number}' if number > 1 else ''}.mcap"
            try:
                flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
                file = os.open(path, flags, 0o600)
                break
            except FileExistsError:
                number += 1
        try:
            os.fchmod(file, 0o600)  # a umask can take the owner's own rights
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            made = cls(path, file, Contents())
            head = MAGIC + _packed(mcap.Header("", LIBRARY))
            record = _packed(mcap.Metadata(metadata=dict(about), name=ABOUT))
            made._append(head + record)
        except BaseException:
            os.close(file)
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        made.contents.about, made.contents.about_at = dict(about), (len(head), len(record))
        return made

    @classmethod
    def resume(cls, path: Path) -> RecordingFile | None:
        """Open a recording that was not finished, cut after its last complete record.

        :returns: None if a running daemon writes it.
        :raises RecordingError: if it is not this user's own regular file.
        """
        file = open_regular(path, os.O_RDWR, os.geteuid())
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return None
            contents = scan(path, file, lenient=True)
            if contents.end == 0:  # the daemon was killed before it wrote the first record
                os.ftruncate(file, 0)
                made = cls(path, file, contents)
                made._append(MAGIC + _packed(mcap.Header("", LIBRARY)))
            else:
                contents.is_finished = False  # a summary that was cut off is written again
                os.ftruncate(file, contents.end)
                os.lseek(file, contents.end, os.SEEK_SET)
                made = cls(path, file, contents)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(file)
            raise
        return made

    def _append(self, data: bytes) -> int:
        """Append whole records, or nothing; return their place in the file."""
        at = self.contents.end
        try:
            _write_all(self._file, data)
        except OSError:
            os.ftruncate(self._file, at)
            os.lseek(self._file, at, os.SEEK_SET)
            raise
        self.contents.end += len(data)
        return at

    def channel(self, topic: str, facts: TopicFacts | None) -> int:
        """Return the id of the channel of a topic, which is added if there is none.

        The channel is on the disk before any message of it.
        """
        number = self._ids.get(topic)
        if number is None:
            number = len(self._ids) + 1
            schema = schema_of(facts)
            self._append(_packed(*_channel_records(Channel(number, topic, schema))))
            os.fdatasync(self._file)
            self._ids[topic] = number
            self.contents.channels[number] = Channel(number, topic, schema)
        return number

    def write_chunk(self, messages: Sequence[Message], compress: Callable[[bytes], bytes]) -> None:
        """Write messages of one channel as a chunk, and its index."""
        offsets = []
        at = 0
        pieces = [message.packed() for message in messages]
        for message, piece in zip(messages, pieces):
            offsets.append((message.log_time, at))
            at += len(piece)
        data = b"".join(pieces)
        compressed = compress(data)
        times = [message.log_time for message in messages]
        start, end, channel = min(times), max(times), messages[0].channel
        chunk = _packed(
            mcap.Chunk(
                compression="zstd",
                data=compressed,
                message_start_time=start,
                message_end_time=end,
                uncompressed_crc=crc32(data),
                uncompressed_size=len(data),
            )
        )
        index = _packed(mcap.MessageIndex(channel_id=channel, records=offsets))
        place = self._append(chunk + index)
        self.contents.chunks.append(
            Chunk(channel, start, end, place, len(chunk), len(index), len(compressed), len(data))
        )

    def sync(self) -> None:
        """Wait until the disk has everything."""
        os.fdatasync(self._file)

    def is_in_place(self) -> bool:
        """Return False if the path has another file, or none."""
        try:
            return os.path.samestat(os.stat(self.path, follow_symlinks=False), os.fstat(self._file))
        except OSError:
            return False

    def finish(self, digests: Mapping[str, bytes] | None = None, coarse: bytes = b"") -> None:
        """Write the digests, the end of the data and the summary: all three, or nothing.

        :param digests: the packed digest of each topic.
        :param coarse: the packed digests of all topics in longer pieces.
        """
        contents = self.contents
        at = max((chunk.end for chunk in contents.chunks), default=0)
        attached = b""
        indexes: list[mcap.McapRecord] = []
        places: dict[str, tuple[int, int]] = {}
        named = {f"{DIGEST}{topic}": data for topic, data in (digests or {}).items()}
        if coarse:
            named[COARSE] = coarse
        for name, data in named.items():
            record = _packed(mcap.Attachment(at, at, name, DIGEST_TYPE, data))
            place = contents.end + len(attached)
            indexes.append(mcap.AttachmentIndex(place, len(record), at, at, len(data), name, DIGEST_TYPE))
            places[name] = place, len(record)
            attached += record
        self._append(attached + self._end(contents.end + len(attached), indexes))
        contents.coarse = places.pop(COARSE, None)
        contents.digests = {name.removeprefix(DIGEST): place for name, place in places.items()}
        self.contents.is_finished = True
        self.sync()

    def _end(self, at: int, attachments: Sequence[mcap.McapRecord]) -> bytes:
        contents = self.contents
        end = _packed(mcap.DataEnd(0))
        start = at + len(end)
        channels = [_channel_records(channel) for channel in contents.channels.values()]
        about = mcap.MetadataIndex(offset=contents.about_at[0], length=contents.about_at[1], name=ABOUT)
        groups: tuple[tuple[int, Sequence[mcap.McapRecord]], ...] = (
            (Opcode.SCHEMA, [schema for schema, _ in channels]),
            (Opcode.CHANNEL, [channel for _, channel in channels]),
            (Opcode.STATISTICS, [self._statistics(len(attachments))]),
            (Opcode.CHUNK_INDEX, list(map(_chunk_index, contents.chunks))),
            (Opcode.METADATA_INDEX, [about] if contents.about else []),
            (Opcode.ATTACHMENT_INDEX, attachments),
        )
        summary = b""
        offsets = b""
        for opcode, records in groups:
            group = _packed(*records)
            if group:
                offsets += _packed(
                    mcap.SummaryOffset(
                        group_opcode=opcode, group_start=start + len(summary), group_length=len(group)
                    )
                )
            summary += group
        offset_start = start + len(summary)
        summary += offsets
        foot = _packed(mcap.Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=0))
        checked = crc32(foot[:-4], crc32(summary))
        whole = mcap.Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=checked)
        return end + summary + _packed(whole) + MAGIC

    def _statistics(self, attachments: int) -> mcap.Statistics:
        contents = self.contents
        counts = Counter(contents.counts())
        return mcap.Statistics(
            attachment_count=attachments,
            channel_count=len(contents.channels),
            channel_message_counts=dict(counts),
            chunk_count=len(contents.chunks),
            message_count=counts.total(),
            metadata_count=1 if contents.about else 0,
            message_start_time=min((chunk.start for chunk in contents.chunks), default=0),
            message_end_time=max((chunk.end for chunk in contents.chunks), default=0),
            schema_count=len(contents.channels),
        )

    def close(self) -> None:
        """Close the file, finished or not. It may be called twice."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def _channel_records(channel: Channel) -> tuple[mcap.Schema, mcap.Channel]:
    schema = mcap.Schema(data=channel.schema, encoding="jsonschema", id=channel.id, name=channel.topic)
    return schema, mcap.Channel(
        id=channel.id, topic=channel.topic, message_encoding="json", metadata={}, schema_id=channel.id
    )


def _chunk_index(chunk: Chunk) -> mcap.ChunkIndex:
    return mcap.ChunkIndex(
        message_start_time=chunk.start,
        message_end_time=chunk.end,
        chunk_start_offset=chunk.offset,
        chunk_length=chunk.length,
        message_index_offsets={chunk.channel: chunk.offset + chunk.length},
        message_index_length=chunk.index_length,
        compression="zstd",
        compressed_size=chunk.data_length,
        uncompressed_size=chunk.size,
    )


class TailFile:
    """The messages of a recording that are in no chunk yet, in a file beside it.

    :param recording: the path of the recording.
    """

    def __init__(self, recording: Path) -> None:
        self.path: Path = Path(f"{recording}{TAIL}")
        self._file = -1
        self._length = 0

    def append(self, messages: Sequence[Message]) -> None:
        """Append all messages or none, and wait until the disk has them."""
        if self._file < 0:
            self.replace(messages)
            return
        try:
            length = sum(_write_all(self._file, piece) for piece in packed(messages))
        except OSError:
            os.ftruncate(self._file, self._length)
            os.lseek(self._file, self._length, os.SEEK_SET)
            raise
        self._length += length
        os.fdatasync(self._file)

    def replace(self, messages: Sequence[Message]) -> None:
        """Put a new file with these messages in the place of the old one."""
        new = f"{self.path}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(new, flags, 0o600)
        try:
            os.fchmod(file, 0o600)
            length = _write_all(file, MAGIC) + sum(_write_all(file, piece) for piece in packed(messages))
            os.fdatasync(file)
            os.rename(new, self.path)
        except BaseException:
            os.close(file)
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        self.close()
        self._file, self._length = file, length

    def close(self) -> None:
        """Close the file. It may be called twice."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def remove(self) -> None:
        """Close and remove the file, because the recording has all its messages."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
