"""Damaged and hostile recordings: one line names the file and the record."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import RecordingError
from mtmount_twisted.journal.recording import index, layout, signals
from mtmount_twisted.journal.recording.index import read_recording
from mtmount_twisted.journal.recording.layout import (
    MOST_CHANNELS,
    MOST_RECORD,
    MOST_RECORDS,
    MOST_SCHEMAS,
    Contents,
    read_summary,
)
from tests.support.folders import scratch_path
from tests.support.recordings import START, Writing, item, topic_line

AZIMUTH = "azimuth.actualPosition"


class HostileTests(SynchronousTestCase):
    """A recording that was changed after it was written."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)
        writing = Writing(self.folder)
        writing.record(130, every=10)
        writing.finish()
        self.path = writing.files[0]
        self.data = self.path.read_bytes()

    def query(self) -> None:
        """Ask for everything that can be asked for."""
        signals.read(self.folder, [AZIMUTH], START, START + 130, 10)
        signals.read(self.folder, [AZIMUTH], START, START + 600, 2)
        signals.values_at(self.folder, START + 100)
        for _ in signals.lines(self.folder):
            pass

    def refusal(self) -> str:
        """The text of the error, which is one line."""
        error = self.assertRaises(RecordingError, self.query)
        self.assertNotIn("\n", str(error))
        return str(error)

    def chunk_at(self) -> int:
        """The place of the first chunk."""
        return self.record_at(6)

    def record_at(self, opcode: int) -> int:
        """The place of the first record of a kind."""
        at = 8
        while self.data[at] != opcode:
            at += 9 + struct.unpack_from("<Q", self.data, at + 1)[0]
        return at

    def test_damaged_chunk(self) -> None:
        """A changed byte in a chunk: the error names the file and the place of the chunk."""
        at = self.chunk_at()
        changed = bytearray(self.data)
        changed[at + 100] ^= 0xFF
        self.path.write_bytes(changed)
        self.assertIn(f"{self.path}: the record at byte {at} is damaged", self.refusal())

    def test_index_beyond_every_number(self) -> None:
        """The only message of a chunk stands at byte 2**63 - 1: that is damage, not our fault."""
        self.path.unlink()
        writing = Writing(self.folder)
        writing.turn(item(writing.now + 0.5, topic_line("azimuth", START, actualPosition=1.0)))
        writing.finish()
        self.path = writing.files[0]
        changed = bytearray(self.path.read_bytes())
        self.data = bytes(changed)
        at = self.chunk_at()
        index = at + 9 + struct.unpack_from("<Q", changed, at + 1)[0]
        struct.pack_into("<Q", changed, index + 23, 2**63 - 1)
        self.path.write_bytes(changed)
        self.assertIn("its index does not fit its messages", self.refusal())

    def test_records_without_end(self) -> None:
        """A file with more records than a recording can have is refused before all of them are read."""
        at = self.chunk_at()
        self.path.write_bytes(self.data[:at] + b"\x80" + bytes(8) + (b"\x81" + bytes(8)) * MOST_RECORDS)
        self.assertIn(f"more than {MOST_RECORDS} records", self.refusal())

    def test_messages_without_end(self) -> None:
        """A chunk with more messages than a minute can have is refused before memory is taken for them."""
        self.patch(index, "MOST_MESSAGES", 5)
        self.assertIn("is damaged: it has more than 5 messages", self.refusal())

    def test_message_without_end(self) -> None:
        """A message that is longer than any of the mount is refused before it is decoded."""
        self.path.unlink()
        writing = Writing(self.folder)
        line = (
            topic_line("azimuth", START, actualPosition=1.0)[:-1] + b',"more":"' + b"x" * MOST_RECORD + b'"}'
        )
        writing.turn(item(writing.now + 0.5, line))
        writing.finish()
        self.path = writing.files[0]
        self.assertIn(f"a message is longer than {MOST_RECORD} bytes", self.refusal())

    def test_channels_without_end(self) -> None:
        """A file with more channels, or with longer schemas, than a recording can have is refused."""
        at = self.chunk_at()
        names = (b"%d" % number for number in range(MOST_CHANNELS + 1))
        bodies = [
            struct.pack("<HHI", 100 + n, 0, len(name)) + name + bytes(8) for n, name in enumerate(names)
        ]
        records = b"".join(struct.pack("<BQ", 4, len(body)) + body for body in bodies)
        self.path.write_bytes(self.data[:at] + records)
        self.assertIn(f"more than {MOST_CHANNELS} channels", self.refusal())
        schema = struct.pack("<HIII", 99, 0, 0, 900_000) + bytes(900_000)
        records = struct.pack("<BQ", 3, len(schema)) + schema
        for number in range(10):
            body = struct.pack("<HHI", 100 + number, 99, 1) + b"x" + bytes(8)
            records += struct.pack("<BQ", 4, len(body)) + body
        self.path.write_bytes(self.data[:at] + records)
        self.assertIn("bytes of their schemas", self.refusal())

    def test_schemas_without_end(self) -> None:
        """A file with many long schemas that no channel has, or with long names of topics, is refused."""
        at = self.chunk_at()
        records = b""
        for number in range(10):
            schema = struct.pack("<HIII", 100 + number, 0, 0, 900_000) + bytes(900_000)
            records += struct.pack("<BQ", 3, len(schema)) + schema
        self.path.write_bytes(self.data[:at] + records)
        self.assertIn(f"more than {MOST_SCHEMAS} bytes of schemas", self.refusal())
        records = b""
        for number in range(10):
            body = struct.pack("<HHI", 100 + number, 0, 900_000) + b"x" * 900_000 + bytes(8)
            records += struct.pack("<BQ", 4, len(body)) + body
        self.path.write_bytes(self.data[:at] + records)
        self.assertIn("bytes of their schemas", self.refusal())

    def test_chunks_without_end(self) -> None:
        """A summary with more chunks than a recording can have is refused."""
        self.patch(layout, "MOST_RECORDS", 1)
        self.assertIn("there are more than 1 chunks", self.refusal())

    def test_digests_without_end(self) -> None:
        """So is one with more digests."""
        self.patch(layout, "MOST_CHANNELS", 1)
        contents = Contents()
        for number, fails in ((0, False), (0, False), (1, True)):
            body = struct.pack("<QQQQQI8s", 8, 9, 0, 0, 0, 8, b"digest/%d" % number)
            if fails:
                error = self.assertRaises(RecordingError, contents.add, self.path, 0, 10, body)
                self.assertIn("more than 1 digests", str(error))
            else:
                contents.add(self.path, 0, 10, body)

    def test_contents_of_many_files(self) -> None:
        """The contents of the files that were read last are remembered, up to a bound on their bytes."""
        writing = Writing(self.folder, START + 4000)
        writing.record(20, every=10)
        writing.finish()
        read: list[object] = []

        def counted(path: Path, file: int) -> Contents | None:
            read.append(path)
            return read_summary(path, file)

        self.patch(index, "read_summary", counted)
        for most, number in ((1, 6), (index.MOST_KNOWN_BYTES, 1)):
            self.patch(index, "MOST_KNOWN_BYTES", most)
            read.clear()
            for path in writing.files * 3:
                os.close(read_recording(path).file)
            self.assertEqual(len(read), number)

    def test_long_tail(self) -> None:
        """A query reads a tail file up to a bound on its bytes and messages."""
        self.path.unlink()
        writing = Writing(self.folder)
        writing.record(30, every=10)
        self.assertEqual(len(list(signals.lines(self.folder))), 60)
        for name, most in (("MOST_MESSAGES", 20), ("MOST_TAIL", 2000)):
            patcher = self.patch(index, name, most)
            found = list(signals.lines(self.folder))
            self.assertGreater(len(found), 10)
            self.assertLess(len(found), 21)
            patcher.restore()

    def test_chunks_of_the_same_time(self) -> None:
        """To read all lines of a recording takes memory for the chunks of one time, up to a bound."""
        self.path.unlink()
        writing = Writing(self.folder)
        topics = ("azimuth", "elevation", "cameraCableWrap")
        writing.record(300, topics, every=10)
        writing.finish()
        self.path = writing.files[0]
        with open(self.path, "rb") as file:
            contents = read_summary(self.path, file.fileno())
        assert contents is not None
        size = max(chunk.size for chunk in contents.chunks)
        self.assertEqual(len(contents.chunks), 3 * 5)
        for most, number in ((3 * size, 3), (size, 1)):
            self.patch(signals, "MOST_OPEN", most)
            self.assertEqual(len(list(signals.lines(self.folder, topics[:number]))), number * 600)
            if number < 3:
                error = self.assertRaises(
                    RecordingError, list, signals.lines(self.folder, topics[: number + 1])
                )
                self.assertIn(f"the chunks of the same time have more than {most} bytes", str(error))
        self.assertRaises(RecordingError, signals.values_at, self.folder, START + 30)
        self.patch(signals, "MOST_OPEN", 3 * size)
        self.assertEqual(len(signals.values_at(self.folder, START + 30)), 3)

    def test_short_index(self) -> None:
        """The summary gives a chunk an index that is shorter than its own messages: that is damage."""
        changed = bytearray(self.data)
        # A chunk's index begins with its opcode, its length, and two times.
        place = self.data.rindex(struct.pack("<Q", self.chunk_at())) - 25
        self.assertEqual(self.data[place], 8)
        length = 9 + 8 * 4 + 4 + 10
        struct.pack_into("<Q", changed, place + length, 10)
        self.path.write_bytes(changed)
        self.assertIn("its index does not fit its messages", self.refusal())

    def test_index_shorter_than_its_head(self) -> None:
        """A recording without an end has a chunk whose index is too short: that is damage, before which the
        next start ends the file; and it records."""
        at, end = self.chunk_at(), self.record_at(9)
        index_at = at + 9 + struct.unpack_from("<Q", self.data, at + 1)[0]
        for length in (0, 5):
            skipped = 9 + struct.unpack_from("<Q", self.data, index_at + 1)[0]
            short = struct.pack("<BQ", 7, length) + bytes(length)
            data = self.data[:index_at] + short + self.data[index_at + skipped : end]
            self.path.write_bytes(data)
            self.assertIn("it is too short for the index of a chunk", self.refusal())
            writing = Writing(self.folder, START + 7200)
            writing.record(1)
            self.assertEqual((writing.writer.fault, writing.writer.written), ("", 2))
            self.assertIn(f"finished the recording {self.path}", writing.logged[0])
            writing.finish()
            self.assertEqual(self.path.read_bytes()[:at], data[:at])
            self.query()
            writing.files[1].unlink()

    def test_place_beyond_every_number(self) -> None:
        """The digests of 300 s stand at byte 2**64 - 1: that is damage."""
        at = self.data.rindex(b"digest-300") - 44
        changed = bytearray(self.data)
        struct.pack_into("<Q", changed, at, 2**64 - 1)
        self.path.write_bytes(changed)
        self.assertIn("expected an attachment", self.refusal())

    def test_damaged_long_pieces(self) -> None:
        """A changed byte in the digests of 300 s: the error names the file and the record."""
        at = self.data.index(b"digest-300") - 29
        changed = bytearray(self.data)
        changed[at + 100] ^= 0xFF
        self.path.write_bytes(changed)
        self.assertIn(f"{self.path}: the record at byte {at} is damaged: its checksum", self.refusal())

    def test_bomb(self) -> None:
        """A chunk that claims to have a terabyte is refused before it is decompressed."""
        changed = bytearray(self.data)
        struct.pack_into("<Q", changed, self.chunk_at() + 25, 2**40)
        self.path.write_bytes(changed[: self.data.rindex(b"\x0f\x04\x00\x00\x00\x00\x00\x00\x00")])
        self.assertIn("bytes; expected at most", self.refusal())

    def test_long_record(self) -> None:
        """A chunk whose compressed data has more than any chunk, and takes no room on the disk, is refused
        before it is read; so is one with such an index."""
        at = self.chunk_at()
        end = at + 9 + struct.unpack_from("<Q", self.data, at + 1)[0]
        more = 100_000_000
        changed = bytearray(self.data[:end])
        struct.pack_into("<Q", changed, at + 1, end - at - 9 + more)
        struct.pack_into("<Q", changed, at + 45, end - at - 53 + more)
        self.path.write_bytes(changed)
        with open(self.path, "r+b") as file:
            file.seek(end + more)
            file.write(self.data[end:-20])
        self.assertIn("a chunk with a record of", self.refusal())
        changed = bytearray(self.data)
        struct.pack_into("<Q", changed, end + 1, more)
        self.path.write_bytes(changed[: end + 15])
        os.truncate(self.path, end + 9 + more)
        self.assertIn("an index of 100000000 bytes", self.refusal())

    def test_bomb_in_a_small_chunk(self) -> None:
        """Data that has more bytes decompressed than its chunk says is refused before it is decompressed."""
        at = self.chunk_at()
        bomb = zstandard.ZstdCompressor().compress(bytes(100_000_000))
        changed = bytearray(self.data[: at + 53] + bomb)
        struct.pack_into("<Q", changed, at + 1, len(changed) - at - 9)
        struct.pack_into("<Q", changed, at + 45, len(bomb))
        chunk_end = at + 9 + struct.unpack_from("<Q", self.data, at + 1)[0]
        index_end = chunk_end + 9 + struct.unpack_from("<Q", self.data, chunk_end + 1)[0]
        self.path.write_bytes(changed + self.data[chunk_end:index_end])
        size = struct.unpack_from("<Q", self.data, at + 25)[0]
        self.assertIn(f"its data has 100000000 bytes decompressed; expected {size}", self.refusal())

    def test_no_recording(self) -> None:
        """A file of another kind with the name of a recording is named."""
        self.path.write_bytes(b"not a recording at all")
        self.assertIn(f"{self.path}: the record at byte 0 is damaged", self.refusal())

    def test_link_and_fifo(self) -> None:
        """Neither a link nor a FIFO is opened."""
        self.path.unlink()
        os.symlink("/etc/passwd", self.path)
        self.assertIn("symbolic link", self.refusal())
        self.path.unlink()
        os.mkfifo(self.path)
        self.assertIn("FIFO", self.refusal())

    def test_control_characters_in_the_path(self) -> None:
        """The error shows control characters of a path, and does not send them."""
        strange = self.folder.parent / "a\x1b[2Jb"
        os.rename(self.folder, strange)
        self.addCleanup(os.rename, strange, self.folder)
        (strange / self.path.name).write_bytes(b"no")
        error = self.assertRaises(RecordingError, signals.values_at, strange, START)
        self.assertIn("a\\x1b[2Jb", str(error))

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_changed_bytes(self, data: st.DataObject) -> None:
        """Whatever bytes change, a query answers or raises `RecordingError`."""
        changed = bytearray(self.data)
        for _ in range(data.draw(st.integers(1, 4))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        self.path.write_bytes(changed)
        try:
            self.query()
        except RecordingError as error:
            self.assertNotIn("\n", str(error))
