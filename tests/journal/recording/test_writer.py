"""The writer through faults of the disk, and through the hours."""

from __future__ import annotations

import errno
import gc
import os
import resource
from types import SimpleNamespace
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.journal.recording import digests, layout, writer
from mtmount_twisted.journal.recording.index import digests_of, read_recording
from mtmount_twisted.journal.recording.layout import Message
from tests.support.folders import scratch_path
from tests.support.recordings import START, Writing, event, item, messages_of, topic_line


def longer(line: bytes, text: str) -> bytes:
    """The line with one more member."""
    return b'%b,"more":"%b"}' % (line[:-1], text.encode())


class WriterTests(SynchronousTestCase):
    """A writer with a clock."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)

    def free(self, count: int) -> None:
        """Let the disk have so many bytes free."""
        self.patch(os, "statvfs", lambda path: SimpleNamespace(f_bavail=count, f_frsize=1))

    def test_new_recording_each_hour(self) -> None:
        """A recording ends with the hour; nothing is lost between two."""
        writing = Writing(self.folder, START + 2990)
        writing.record(20)
        writing.finish()
        self.assertEqual(len(writing.files), 2)
        numbers = [len(list(messages_of(path))) for path in writing.files]
        self.assertEqual(sum(numbers), 40)
        self.assertEqual(writing.files[0].name, "telemetry-20270115T085951Z.mcap")
        self.assertEqual(writing.logged, [])

    def test_tail_has_the_last_seconds(self) -> None:
        """After each turn, all messages are on the disk."""
        writing = Writing(self.folder)
        for _ in range(65):
            writing.record(1)
            self.assertEqual(writing.writer.pending, 0)
        self.assertEqual(writing.writer.written, 130)

    def test_telemetry_without_end(self) -> None:
        """A flood of lines does not wait in memory for a minute, and the thread rests meanwhile."""
        self.patch(writer, "MOST_PENDING", 1000)
        writing = Writing(self.folder)
        line = topic_line("azimuth", START + 37, actualPosition=1.0)
        for _ in range(3):
            writing.turn(item(writing.now, *[line] * 400))
        [path] = writing.files
        recording = read_recording(path)
        os.close(recording.file)
        self.assertEqual(sum(recording.contents.counts().values()), 1200)
        self.assertEqual(writing.rests, 2 * 1200 // writer.REST_LINES)
        self.assertEqual((writing.writer.written, writing.writer.lost), (1200, 0))

    def test_lines_are_no_work_for_the_garbage_collector(self) -> None:
        """A collection of 200,000 waiting lines would delay the reactor's thread by 80 ms."""
        message = Message(1, 1, START, START, b"{}")
        gc.collect()
        self.assertEqual((gc.is_tracked(message), gc.is_tracked(item(START, b"{}"))), (False, False))

    def test_long_lines_are_written_in_portions(self) -> None:
        """Long lines of one minute become several chunks and are decoded in portions; nothing is lost."""
        self.patch(writer, "MOST_WRITTEN", 20_000)
        self.patch(digests, "MOST_DECODED", 5_000)
        writing = Writing(self.folder)
        lines = [longer(topic_line("azimuth", START + 37, actualPosition=at), "x" * 900) for at in range(50)]
        writing.turn(item(writing.now, *lines))
        before = writing.rests
        writing.turn(seconds=writer.CHUNK_TIME)
        self.assertGreater(writing.rests - before, 9)
        [path] = writing.files
        recording = read_recording(path)
        os.close(recording.file)
        self.assertEqual(sorted(chunk.messages for chunk in recording.contents.chunks), [12, 19, 19])
        writing.finish()
        self.assertEqual([message.sequence for _, message in messages_of(path)], list(range(1, 51)))
        found = dict(digests_of(path, ["azimuth"], 5.0))["azimuth"]
        at = found.names.index("actualPosition")
        self.assertEqual((found.table[0, at].sum(), found.table[2, at].max()), (50, 49))

    def test_many_lines_are_written_in_portions(self) -> None:
        """Many short lines of one minute become several chunks."""
        self.patch(layout, "MOST_TOGETHER", 20)
        writing = Writing(self.folder)
        writing.turn(item(writing.now, *[topic_line("azimuth", START + 37)] * 50))
        writing.turn(seconds=writer.CHUNK_TIME)
        [path] = writing.files
        recording = read_recording(path)
        os.close(recording.file)
        self.assertEqual([chunk.messages for chunk in recording.contents.chunks], [20, 20, 10])

    def test_flood_of_the_mount_does_not_fill_the_bound(self) -> None:
        """One hour takes half of `keep_bytes` at most: the rest is dropped, counted and reported."""
        self.patch(writer, "LINE_COST", 0)
        writing = Writing(self.folder, START + 1, keep_bytes=200_000)
        lines = [longer(topic_line("azimuth", START + 37), os.urandom(450).hex()) for _ in range(50)]
        for _ in range(6):
            writing.turn(item(writing.now, *lines), seconds=writer.CHUNK_TIME)
        [path] = writing.files
        self.assertLess(path.stat().st_size, 110_000)
        self.assertIn("0.5 of recorder.keep_bytes", writing.writer.fault)
        kept = len(list(messages_of(path)))
        self.assertEqual((kept + writing.writer.lost, kept), (300, writing.writer.written))
        writing.now += 3600
        writing.turn()
        self.assertEqual(writing.writer.fault, "")
        writing.record(2)
        writing.finish()
        self.assertEqual([len(list(messages_of(each))) for each in writing.files], [kept, 4])

    def test_file_number_that_is_used_again(self) -> None:
        """A new file with the number of a deleted recording has its own contents."""
        counts = []
        content = b""
        for topic in ("elevation", "azimuth"):
            writing = Writing(self.folder / topic)
            writing.turn(item(writing.now, *[topic_line(topic, START + 37)] * 30 * len(topic)))
            writing.turn(seconds=writer.CHUNK_TIME)
            [path] = writing.files
            recording = read_recording(path)
            os.close(recording.file)
            counts.append(sum(recording.contents.counts().values()))
            before, content = content, path.read_bytes()
        self.assertLess(len(before), len(content) + 2000)
        new = path.with_name("telemetry-20270116T085951Z.mcap")
        os.rename(path, new)
        new.write_bytes(before + b"\xff" + (2000).to_bytes(8, "little") + bytes(2000))
        recording = read_recording(new)
        os.close(recording.file)
        self.assertEqual(counts, [270, 210])
        self.assertEqual([each.topic for each in recording.contents.channels.values()], ["elevation"])

    def test_bound_of_short_lines(self) -> None:
        """The bound of memory counts the object of each message, which is longer than a short line."""
        self.patch(writer, "MAX_PENDING_BYTES", 100_000)
        writing = Writing(self.folder)
        line = topic_line("azimuth", START + 37)
        for minute in (1, 2):
            writing.turn(item(writing.now, *[line] * 1000))
            taken = writing.writer.written
            self.assertLess(taken, minute * 100_000 / (200 + len(line)))
            self.assertEqual(taken + writing.writer.lost, minute * 1000)
            writing.now += writer.CHUNK_TIME
            writing.turn()  # the chunks are written, and their place is free again
        self.assertGreater(taken, 450)

    def test_stops_when_the_disk_is_nearly_full(self) -> None:
        """Below the least free space nothing is recorded; the log says so once, and again at its end."""
        writing = Writing(self.folder, min_free=1000)
        writing.record(3)
        self.free(999)
        writing.record(5)
        self.assertIn("only 999 bytes are free, expected 1000 or more", writing.writer.fault)
        self.assertEqual(len(writing.logged), 1)
        self.assertEqual(writing.writer.lost, 8)
        self.assertEqual(len(list(messages_of(writing.files[0]))), 8)
        self.free(1010)
        writing.record(1)
        self.assertNotEqual(writing.writer.fault, "", "a little more is not enough")
        self.free(2000)
        writing.record(1)
        self.assertEqual(writing.writer.fault, "")
        self.assertIn("again after", writing.logged[-1])
        writing.record(2)
        writing.finish()
        self.assertEqual(len(list(messages_of(writing.files[1]))), 4)

    def test_failed_write_loses_nothing(self) -> None:
        """While the disk takes no more bytes, messages wait; later they are all there, each once."""
        writing = Writing(self.folder)
        writing.record(3)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, before)
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
        writing.record(90, value=6)
        self.assertIn("File too large", writing.writer.fault)
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        writing.record(70, value=186)
        writing.finish()
        self.assertEqual((writing.writer.fault, writing.writer.lost), ("", 0))
        numbers = [message.sequence for path in writing.files for _, message in messages_of(path)]
        self.assertEqual(numbers, list(range(1, 327)))

    def test_line_with_a_fault_of_ours(self) -> None:
        """An error of our own about one line loses this line only, and the log has it once."""
        writing = Writing(self.folder)
        real = writer.to_nanoseconds

        def fails_long_ago(published: float) -> int:
            return real(published) if published > START / 2 else 1 // 0

        with mock.patch.object(writer, "to_nanoseconds", fails_long_ago):
            for _ in range(2):
                lines = (topic_line("azimuth", writing.now + 37), topic_line("azimuth", 0.0))
                writing.turn(item(writing.now, *lines), event(writing.now, b"{}"))
        self.assertEqual((writing.writer.written, writing.writer.lost, writing.writer.fault), (4, 2, ""))
        [line] = writing.logged
        self.assertIn("ZeroDivisionError", line)
        writing.finish()
        self.assertEqual(len(list(messages_of(writing.files[0]))), 4)

    def test_fault_of_ours(self) -> None:
        """After an error of our own the log has it once, the recording is finished by the next one, and only
        the lines that came with the error are lost."""
        fails = mock.Mock(side_effect=ZeroDivisionError("here"))
        for owner, name in (
            (writer.RecordingFile, "is_in_place"),
            (writer.TailFile, "append"),
            (writer.RecordingFile, "write_chunk"),
            (digests.Digests, "add"),
        ):
            writing = Writing(self.folder / name)
            writing.record(int(writer.CHUNK_TIME) - 2)
            with mock.patch.object(owner, name, fails):
                writing.record(4, value=200)
                self.assertIn("here", writing.writer.fault)
                writing.record(int(writer.PAUSE) - 10, value=300, every=10)
            writing.record(int(writer.PAUSE), value=500, every=10)
            self.assertEqual(writing.writer.fault, "")
            writing.finish()
            self.assertLessEqual(len([line for line in writing.logged if "Traceback" in line]), 2)
            kept = [message for path in writing.files for _, message in messages_of(path)]
            self.assertEqual(len(kept), writing.writer.written)
            self.assertEqual(len(kept) + writing.writer.lost, 2 * (58 + 4 + 50 + 60))
            self.assertLess(writing.writer.lost, 30)

    def test_fault_of_ours_at_the_end(self) -> None:
        """An error of our own at the end is in the log, and the next start finishes the recording."""
        writing = Writing(self.folder)
        writing.record(3)
        with mock.patch.object(writer.RecordingFile, "finish", mock.Mock(side_effect=ZeroDivisionError)):
            writing.finish()
        self.assertIn("the recorder ends without an end of its file", writing.logged[1])
        later = Writing(self.folder, START + 10)
        later.record(1)
        later.finish()
        self.assertEqual(len(list(messages_of(later.files[0]))), 6)

    def test_recording_that_can_not_be_deleted(self) -> None:
        """A recording that can't be deleted keeps neither the others nor the recorder from their work."""
        paths = []
        for day in range(3):
            writing = Writing(self.folder, START + day * 86400)
            writing.record(2)
            writing.finish()
            paths.append(writing.files[-1])
            os.utime(paths[-1], (START, START))
        real = os.unlink

        def unlink(path: os.PathLike[str]) -> None:
            if path == paths[0]:
                raise PermissionError(errno.EPERM, "Operation not permitted")
            real(path)

        later = Writing(self.folder, START + 20 * 86400, keep_days=1.0)
        with mock.patch.object(os, "unlink", unlink):
            later.record(3700, every=30)
        self.assertEqual([path.exists() for path in paths], [True, False, False])
        told = [line for line in later.logged if "can't delete the recording" in line]
        self.assertEqual(len(told), 1)
        self.assertIn(f"{paths[0]} (Operation not permitted)", told[0])
        self.assertEqual(later.writer.fault, "")
        later.finish()

    def test_removed_recording(self) -> None:
        """If someone removes the recording, a new one begins, and the log says so."""
        writing = Writing(self.folder)
        writing.record(2)
        for name in writing.names:
            os.unlink(self.folder / name)
        writing.record(2, value=4)
        writing.finish()
        self.assertIn("was removed", writing.logged[0])
        self.assertEqual(len(list(messages_of(writing.files[0]))), 4)

    def test_folder_can_not_be_made(self) -> None:
        """If there is a file in the place of the folder, the fault names it; messages wait within a bound."""
        self.folder.write_text("no folder")
        writing = Writing(self.folder)
        writing.record(2)
        self.assertIn("folder", writing.writer.fault)
        self.assertIn(str(self.folder), writing.logged[0])
        os.unlink(self.folder)
        writing.record(1)
        writing.finish()
        self.assertEqual(len(list(messages_of(writing.files[0]))), 6)

    def test_old_recordings_are_deleted(self) -> None:
        """A recording is deleted after its days, and the log names it."""
        writing = Writing(self.folder, keep_days=1.0)
        writing.record(2)
        writing.finish()
        [old] = writing.files
        os.utime(old, (START, START))
        later = Writing(self.folder, START + 2 * 86400, keep_days=1.0)
        later.record(3660, every=30)
        later.finish()
        self.assertFalse(old.exists())
        [line] = later.logged
        self.assertIn("older than 1 days", line)

    def test_clock_that_jumps(self) -> None:
        """While the wall clock is wrong for some minutes, no recording is deleted for its age."""
        writing = Writing(self.folder, keep_days=1.0)
        writing.record(2)
        writing.finish()
        [old] = writing.files
        os.utime(old, (START, START))
        later = Writing(self.folder, START + 3600, keep_days=1.0)
        later.record(4000, every=60)
        later.ahead = 15 * 86400.0
        later.record(120, every=30)
        later.finish()
        self.assertTrue(old.exists())
        self.assertFalse([line for line in later.logged if "older" in line], later.logged)
