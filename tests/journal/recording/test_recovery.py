"""Recordings of killed daemons are finished at the next start."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.journal.recording import recovery, signals
from mtmount_twisted.journal.recording.layout import read_summary
from tests.support.folders import scratch_path
from tests.support.recordings import START, Writing, messages_of

ROOT = Path(__file__).resolve().parents[3]


class KilledTests(SynchronousTestCase):
    """A child process that records is killed with SIGKILL."""

    def killed_after(self, turns: int) -> tuple[Writing, int]:
        """The folder of a child that was killed after so many turns, and the number of its messages."""
        folder = scratch_path(self)
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.journal.recording.killed", str(folder)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert child.stdout is not None
        with child.stdout as output:
            for _ in range(turns):
                written = int(output.readline())
            child.kill()
            child.wait()
        return Writing(folder), written

    def test_nothing_older_than_a_turn_is_lost(self) -> None:
        """All messages of the turns before the kill are in the recording, which any reader opens."""
        writing, written = self.killed_after(70)  # a chunk is written, and the tail file has the rest
        writing.turn(seconds=7200)
        writing.finish()
        found = list(messages_of(writing.files[0]))
        self.assertGreaterEqual(len(found), written)
        for topic in ("azimuth", "elevation"):
            numbers = [message.sequence for name, message in found if name == topic]
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertNotIn(".tail", "".join(writing.names))
        self.assertIn("of a killed daemon", writing.logged[0])


@cache
def recorded() -> tuple[str, bytes, bytes, bytes]:
    """The name of a recording; its bytes and those of its tail file before its end; its bytes after it."""
    with TemporaryDirectory() as folder:
        writing = Writing(Path(folder, "scratch"))
        writing.record(70, ("azimuth", "elevation"))
        [path] = writing.files
        recording, tail = path.read_bytes(), Path(f"{path}.tail").read_bytes()
        writing.finish()
        return path.name, recording, tail, path.read_bytes()


class CutTests(SynchronousTestCase):
    """A recording and its tail file as a crash of the machine may leave them."""

    def setUp(self) -> None:
        self.name, self.recording, self.tail, self.whole = recorded()

    def recovered(self, recording: bytes, tail: bytes | None) -> tuple[Writing, list[int]]:
        """The folder after a start, and the numbers of the messages about azimuth."""
        folder = scratch_path(self)
        folder.mkdir()
        (folder / self.name).write_bytes(recording)
        if tail is not None:
            (folder / f"{self.name}.tail").write_bytes(tail)
        writing = Writing(folder, START + 7200)
        writing.turn()
        writing.finish()
        found = [message for topic, message in messages_of(folder / self.name) if topic == "azimuth"]
        return writing, [message.sequence for message in found]

    def test_whole_tail(self) -> None:
        """The messages of the tail file become chunks."""
        _, numbers = self.recovered(self.recording, self.tail)
        self.assertEqual(numbers, list(range(1, 141)))

    def test_long_tail(self) -> None:
        """A tail file with more messages than a chunk can have becomes several chunks, in the same order."""
        self.patch(recovery, "TOGETHER", 5)
        writing, numbers = self.recovered(self.recording, self.tail)
        self.assertEqual(numbers, list(range(1, 141)))
        path = writing.folder / self.name
        with path.open("rb") as file:
            contents = read_summary(path, file.fileno())
        assert contents is not None
        before = len([chunk for chunk in contents.chunks if chunk.messages > 5])
        self.assertEqual(before, 2)  # those of a minute, which stood in the file already
        self.assertGreater(len(contents.chunks), 2 * before)

    def test_crash_after_the_chunks(self) -> None:
        """A recording with its end loses nothing, and has no message twice, if its tail file is left."""
        writing, numbers = self.recovered(self.whole, self.tail)
        self.assertEqual(numbers, list(range(1, 141)))
        self.assertNotIn(f"{self.name}.tail", writing.names)

    def test_without_tail(self) -> None:
        """Without a tail file the chunks are left."""
        _, numbers = self.recovered(self.recording, None)
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertGreaterEqual(len(numbers), 118)

    @settings(max_examples=25, deadline=None)
    @given(st.data())
    def test_cut_anywhere(self, data: st.DataObject) -> None:
        """Wherever the files are cut, the result can be read, and what is left is in order."""
        recording = self.whole[: data.draw(st.integers(0, len(self.whole)))]
        tail = self.tail[: data.draw(st.integers(0, len(self.tail)))]
        _, numbers = self.recovered(recording, tail)
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_recording_in_use(self) -> None:
        """A recording that another daemon writes is left alone."""
        folder = scratch_path(self)
        first = Writing(folder)
        first.record(3)
        second = Writing(folder, START + 30)
        second.record(1)
        self.assertIn(f"{first.files[0].name}.tail", second.names)
        first.record(1)
        first.finish()
        second.finish()
        self.assertEqual([len(list(messages_of(path))) for path in first.files], [8, 2])

    def test_link_is_left_alone(self) -> None:
        """A symbolic link in the place of a recording is not followed, and the log names it."""
        folder = scratch_path(self)
        folder.mkdir()
        victim = folder / "victim"
        victim.write_bytes(self.recording)
        os.symlink(victim, folder / self.name)
        writing = Writing(folder, START + 7200)
        writing.record(1)
        writing.finish()
        self.assertEqual(victim.read_bytes(), self.recording)
        self.assertIn("symbolic link", writing.logged[0])
        self.assertIn(self.name, writing.logged[0])

    def test_file_that_can_not_be_finished(self) -> None:
        """Whatever the error about one file is, the log names it once, and the recorder records."""
        folder = scratch_path(self)
        for error in (OSError(errno.EIO, "Input/output error"), struct.error("argument out of range")):
            folder.mkdir()
            (folder / self.name).write_bytes(self.recording)
            (folder / f"{self.name}.tail").write_bytes(b"")
            writing = Writing(folder, START + 7200)
            with mock.patch.object(recovery.RecordingFile, "resume", mock.Mock(side_effect=error)):
                writing.record(1)
                writing.now += 3600
                writing.record(1)
            self.assertEqual((writing.writer.fault, writing.writer.written), ("", 4))
            [line] = writing.logged
            self.assertIn("a recording was not finished, and can't be", line)
            self.assertIn(self.name, line)
            self.assertIn(str(error), line)
            writing.finish()
            shutil.rmtree(folder)

    def test_no_room_to_finish(self) -> None:
        """If the disk is full, the file is finished as soon as there is room."""
        folder = scratch_path(self)
        folder.mkdir()
        (folder / self.name).write_bytes(self.recording)
        (folder / f"{self.name}.tail").write_bytes(b"")
        writing = Writing(folder, START + 7200)
        full = mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
        with mock.patch.object(recovery.RecordingFile, "resume", full):
            writing.record(1)
            self.assertEqual(writing.writer.fault, "No space left on device")
        writing.record(1)
        self.assertIn("finished the recording", writing.logged[1])
        writing.finish()

    def test_file_that_can_not_be_read(self) -> None:
        """A disk that can't read the end of one file does not end the recording of others."""
        folder = scratch_path(self)
        folder.mkdir()
        (folder / self.name).write_bytes(self.recording)
        with mock.patch.object(os, "pread", mock.Mock(side_effect=OSError(errno.EIO, "Input/output error"))):
            writing = Writing(folder, START + 7200)
            writing.record(1)
        self.assertEqual((writing.writer.fault, writing.writer.written), ("", 2))
        writing.finish()

    def test_unfinished_recording_can_be_queried(self) -> None:
        """A query reads the chunks and the tail file of a recording that has no end."""
        folder = scratch_path(self)
        writing = Writing(folder)
        writing.record(70, every=5)
        columns = signals.read(folder, ["azimuth.actualPosition"], START, START + 70, 70)
        self.assertEqual(columns.signals["azimuth.actualPosition"].greatest, list(range(1, 140, 2)))
        writing.record(70, value=140, every=5)
        columns = signals.read(folder, ["azimuth.actualPosition"], START, START + 140, 140)
        self.assertEqual(columns.signals["azimuth.actualPosition"].least, list(range(0, 280, 2)))
        writing.finish()
