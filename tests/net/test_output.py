"""`mtmount_twisted.net.output`: records go out in a thread, whatever becomes of those before them."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app.twistd_log import ROTATE_AT, FileSink
from mtmount_twisted.net.output import DescriptorSink, OutputThread
from tests.support.folders import scratch_path
from tests.support.threads import no_threads

SOON = 10.0
"""How long a test waits for what takes no time, in seconds; only a failing one takes that long."""


class Sink:
    """Takes records; hangs or fails when a test wants it to."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.reopened_after: list[int] = []
        self.error: Exception | None = None
        self.rotated_after: list[int] = []
        self.rotation_error: Exception | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.is_in = threading.Event()

    def write(self, records: Sequence[bytes]) -> None:
        self.is_in.set()
        self.may_go_on.wait()
        if self.error is not None:
            raise self.error
        self.records.extend(records)

    def reopen(self) -> None:
        self.reopened_after.append(len(self.records))
        if self.error is not None:
            raise self.error

    def rotate(self) -> None:
        self.rotated_after.append(len(self.records))
        if self.rotation_error is not None:
            raise self.rotation_error


def notice(number: int, error: Exception | None) -> bytes:
    """The record in the place of those that were dropped."""
    return f"lacks {number}: {getattr(error, 'errno', error)}".encode()


class OutputThreadTests(SynchronousTestCase):
    """`OutputThread`, with room for ten bytes."""

    def setUp(self) -> None:
        self.sink = Sink()
        self.output = OutputThread(self.sink, notice, max_bytes=10)
        self.addCleanup(self.output.stop)
        self.addCleanup(self.sink.may_go_on.set)

    def hang(self) -> None:
        """Have the sink hang in the midst of a record."""
        self.sink.may_go_on.clear()
        self.output.start()
        self.output.write(b"hangs")
        self.sink.is_in.wait(SOON)

    def go_on(self) -> list[bytes]:
        """Have the sink go on; all that it got to write then."""
        self.sink.may_go_on.set()
        self.assertTrue(self.output.flush(SOON))
        return self.sink.records

    def test_in_order(self) -> None:
        """Records come out in the order in which they went in, also those from before the start."""
        self.output.write(b"a")
        self.assertFalse(self.output.flush(0))
        self.output.start()
        self.output.write(b"b")
        self.assertTrue(self.output.flush(SOON))
        self.assertEqual(self.sink.records, [b"a", b"b"])

    def test_started_twice(self) -> None:
        """A second start starts no second thread."""
        output = OutputThread(self.sink, notice, name=self.id())
        self.addCleanup(output.stop)
        for _ in range(2):
            output.start()
        # By name: a thread of another test may end just now.
        self.assertEqual([thread.name for thread in threading.enumerate()].count(self.id()), 1)

    def test_hanging_sink_holds_up_nobody(self) -> None:
        """While the sink hangs, a record is taken at once; it is written when the sink goes on."""
        self.hang()
        self.assertTrue(self.output.write(b"later"))
        self.assertFalse(self.output.flush(0))
        self.assertEqual(self.go_on(), [b"hangs", b"later"])

    def test_full(self) -> None:
        """What does not fit is dropped, as is what comes behind it; a record in its place says how much."""
        self.hang()
        self.assertTrue(self.output.write(b"four"))
        self.assertFalse(self.output.write(b"four more"))
        self.assertFalse(self.output.write(b"1"), "or it would stand before what says that some are lacking")
        self.assertEqual(self.output.dropped, 2)
        self.assertEqual(self.go_on(), [b"hangs", b"four", b"lacks 2: None"])
        self.output.write(b"again")
        self.assertEqual(self.go_on()[3:], [b"again"])

    def test_dropped_while_the_rest_is_written(self) -> None:
        """Records that are dropped while the buffer's last ones are written are counted as well."""
        self.hang()
        for _ in range(3):
            self.output.write(b"more than fits")
        self.assertEqual(self.go_on(), [b"hangs", b"lacks 3: None"])
        self.assertTrue(self.output.write(b"again"))

    def test_error(self) -> None:
        """What can't be written is counted, and the next record that can be comes behind the number."""
        self.output.start()
        self.sink.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for _ in range(2):
            self.output.write(b"a")
            self.assertTrue(self.output.flush(SOON))
        self.sink.error = None
        self.assertEqual(self.output.dropped, 2)
        for record in (b"b", b"c"):
            self.output.write(record)
            self.assertTrue(self.output.flush(SOON))
        self.assertEqual(self.sink.records, [f"lacks 2: {errno.ENOSPC}".encode(), b"b", b"c"])

    def test_any_error(self) -> None:
        """No error of the sink ends the thread: not in a write, nor when the file is opened or rotated."""
        self.output.start()
        self.sink.error = self.sink.rotation_error = ValueError("I/O operation on closed file")
        self.output.reopen()
        self.output.write(b"a")
        self.assertTrue(self.output.flush(SOON))
        self.assertEqual((self.output.dropped, self.output.error), (1, self.sink.error))
        self.sink.error = self.sink.rotation_error = None
        self.output.write(b"b")
        self.assertTrue(self.output.flush(SOON))
        self.assertEqual(self.sink.records, [b"lacks 1: I/O operation on closed file", b"b"])

    def test_an_error_of_the_notice(self) -> None:
        """An error while the thread makes a line of its own does not end it either."""
        told: list[int] = []

        def fails_once(number: int, error: Exception | None) -> bytes:
            told.append(number)
            if len(told) == 1:
                raise ValueError("no line")
            return notice(number, None)

        self.output = OutputThread(self.sink, fails_once, max_bytes=10)
        self.addCleanup(self.output.stop)
        self.hang()
        self.output.write(b"more than fits")
        self.go_on()
        self.output.write(b"b")
        self.assertEqual(self.go_on(), [b"hangs", b"lacks 1: None", b"b"])

    def test_a_start_that_fails(self) -> None:
        """If the system can't start the thread, the program learns of it, and a later start works."""
        output = OutputThread(self.sink, notice)
        self.addCleanup(output.stop)
        with no_threads():
            self.assertRaises(OSError, output.start)
        output.write(b"a")
        output.start()
        self.assertTrue(output.flush(SOON))
        self.assertEqual(self.sink.records, [b"a"])

    def test_reopen(self) -> None:
        """The sink opens its file anew before the next record, and with nothing to write as well."""
        self.output.start()
        self.output.write(b"a")
        self.assertTrue(self.output.flush(SOON))
        self.output.reopen()
        self.assertTrue(self.output.flush(SOON))
        self.assertEqual(self.sink.reopened_after, [1])

    def test_reopening_fails(self) -> None:
        """A file that can't be opened anew does not end the thread."""
        self.output.start()
        self.sink.error = OSError(errno.EACCES, os.strerror(errno.EACCES))
        self.output.reopen()
        self.assertTrue(self.output.flush(SOON))
        self.sink.error = None
        self.output.write(b"a")
        self.assertTrue(self.output.flush(SOON))
        self.assertEqual(self.sink.records, [b"a"])

    def test_reopening_that_fails_is_told(self) -> None:
        """Where the old file can be written, it says why the new one is not there."""

        class Moved(Sink):
            """Its folder is gone."""

            def reopen(self) -> None:
                raise FileNotFoundError(errno.ENOENT, "gone")

        sink = Moved()
        output = OutputThread(sink, notice, not_reopened=lambda error: f"stays: {error.strerror}".encode())
        self.addCleanup(output.stop)
        output.start()
        output.reopen()
        output.write(b"a")
        self.assertTrue(output.flush(SOON))
        self.assertEqual(sink.records, [b"stays: gone", b"a"])

    def test_rotation_that_fails(self) -> None:
        """Before each write the sink may rotate its file; the log says once that this fails."""
        output = OutputThread(self.sink, notice, not_reopened=lambda error: f"stays: {error}".encode())
        self.addCleanup(output.stop)
        output.start()
        for error in (None, OSError("full"), OSError("full"), None, OSError("full")):
            self.sink.rotation_error = error
            output.write(b"a")
            self.assertTrue(output.flush(SOON))
        a, stays = b"a", b"stays: full"
        self.assertEqual(self.sink.records, [a, stays, a, a, a, stays, a])

    def test_finish(self) -> None:
        """At the end each record is written before `write` returns, if the thread was not started too."""
        self.output.write(b"a")
        self.assertTrue(self.output.finish(SOON))
        self.output.write(b"b")
        self.assertEqual(self.sink.records, [b"a", b"b"])

    def test_finish_without_a_thread(self) -> None:
        """If the thread was not started, and can't start at the end, the end goes on without the records."""
        output = OutputThread(self.sink, notice)
        output.write(b"a")
        with no_threads():
            self.assertFalse(output.finish(0))

    def test_finish_while_the_sink_hangs(self) -> None:
        """The end waits for no longer than it was told to, however many records come."""
        self.hang()
        self.assertFalse(self.output.finish(0))
        self.assertTrue(self.output.write(b"b"))
        self.assertFalse(self.output.finish(SOON), "a later call gives it no more time")

    def test_stop(self) -> None:
        """The thread ends behind what waits; and Python would not wait for it."""
        output = OutputThread(self.sink, notice, name=self.id())
        output.start()
        [thread] = [thread for thread in threading.enumerate() if thread.name == self.id()]
        self.assertTrue(thread.daemon)
        output.write(b"a")
        output.stop()
        thread.join(SOON)
        self.assertFalse(thread.is_alive())
        self.assertEqual(self.sink.records, [b"a"])


class DescriptorSinkTests(SynchronousTestCase):
    """`DescriptorSink`."""

    def setUp(self) -> None:
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)

    def test_non_blocking(self) -> None:
        """A pipe that another program made non-blocking gets all that is written, full at times or not."""
        os.set_blocking(self.writer, False)
        data = bytes(range(256)) * 1024
        writing = threading.Thread(target=self.write, args=(data,), daemon=True)
        writing.start()
        with os.fdopen(os.dup(self.reader), "rb") as pipe:
            self.assertEqual(pipe.read(), data)
        writing.join()

    def write(self, data: bytes) -> None:
        """Write, and close."""
        DescriptorSink(self.writer).write([data[:1000], data[1000:]])
        os.close(self.writer)

    def test_nobody_reads_any_more(self) -> None:
        """A pipe whose reader has left is an error for who called."""
        reader, writer = os.pipe()
        os.close(reader)
        self.addCleanup(os.close, writer)
        self.addCleanup(os.close, self.writer)
        self.assertRaises(BrokenPipeError, DescriptorSink(writer).write, [b"a"])


class FileSinkTests(SynchronousTestCase):
    """`FileSink`."""

    def test_reopen(self) -> None:
        """After a rename and a `reopen`, what is written goes to a new file of the old name."""
        path = scratch_path(self)
        sink = FileSink(str(path))
        sink.write([b"one\n", b"two\n"])
        path.rename(f"{path}.1")
        sink.write([b"three\n"])
        sink.reopen()
        sink.write([b"four\n"])
        self.assertEqual(Path(f"{path}.1").read_bytes(), b"one\ntwo\nthree\n")
        self.assertEqual(path.read_bytes(), b"four\n")

    def test_reopening_fails(self) -> None:
        """If the file can't be opened anew, what is open goes on being written."""
        folder = scratch_path(self)
        folder.mkdir()
        sink = FileSink(str(folder / "log"))
        moved = folder.rename(f"{folder}.old")
        self.assertRaises(OSError, sink.reopen)
        sink.write([b"on\n"])
        self.assertEqual((moved / "log").read_bytes(), b"on\n")

    def full_sink(self) -> tuple[FileSink, Path]:
        """Return a sink whose file is due to be rotated, and its path in a folder of its own."""
        folder = scratch_path(self)
        folder.mkdir()
        path = folder / "log"
        sink = FileSink(str(path))
        sink.rotate()
        sink.write([b"x" * ROTATE_AT])
        return sink, path

    def test_rotation(self) -> None:
        """A long file gets the number 1, those with numbers the next ones, up to a gap; the mode stays."""
        sink, path = self.full_sink()
        path.chmod(0o640)
        for name in ("log.0", "log.2", "log.10", "log.1", "log.1.gz"):
            path.with_name(name).write_text(name)
        sink.rotate()
        sink.write([b"on\n"])
        sink.rotate()
        found = {each.name: each.read_bytes()[:10] for each in path.parent.iterdir()}
        self.assertEqual(
            found,
            {
                "log": b"on\n",
                "log.1": b"x" * 10,
                "log.2": b"log.1",
                "log.3": b"log.2",
                "log.0": b"log.0",
                "log.10": b"log.10",
                "log.1.gz": b"log.1.gz",
            },
        )
        self.assertEqual(path.stat().st_mode & 0o777, 0o640)

    def test_rotation_without_a_place_for_a_file(self) -> None:
        """If no file can be made, the sink goes on with the present one, under its name, until it can."""
        sink, path = self.full_sink()
        path.with_name("log.1").write_text("older")

        def no_place(*arguments: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with mock.patch.object(os, "open", no_place):
            self.assertRaises(OSError, sink.rotate)
        sink.write([b"on\n"])
        self.assertEqual(path.stat().st_size, ROTATE_AT + 3)
        self.assertEqual(path.with_name("log.1").read_text(), "older")
        sink.rotate()
        sink.write([b"new\n"])
        self.assertEqual(path.read_bytes(), b"new\n")
        self.assertEqual(path.with_name("log.1").stat().st_size, ROTATE_AT + 3)

    def test_rotation_in_a_folder_of_others(self) -> None:
        """No name that another user can foresee is opened: neither a link, nor a FIFO, nor a file there."""
        sink, path = self.full_sink()
        secret, fifo = path.with_name("secret"), path.with_name("fifo")
        secret.write_text("secret")
        secret.chmod(0o600)
        os.mkfifo(fifo)
        real, opened = os.open, []

        def note(name: str, flags: int, mode: int = 0o777) -> int:
            opened.append((name, flags))
            return real(name, flags, mode)

        for target in (secret, fifo):
            path.with_name("log.new").unlink(missing_ok=True)
            path.with_name("log.new").symlink_to(target)
            with mock.patch.object(os, "open", note):
                sink.rotate()
            sink.write([b"x" * ROTATE_AT])
        self.assertEqual((secret.read_text(), secret.stat().st_mode & 0o777), ("secret", 0o600))
        self.assertFalse(path.is_symlink())
        self.assertEqual(len({name for name, _ in opened}), 2)
        for _, flags in opened:
            self.assertEqual(flags & (os.O_EXCL | os.O_CREAT), os.O_EXCL | os.O_CREAT)

    def test_rotation_that_ends_midway(self) -> None:
        """A name that can't be given leaves the log under its name, and no other file; it is tried again."""
        sink, path = self.full_sink()
        path.with_name("log.1").write_text("older")
        real = os.rename

        def refuse(old: str, new: str) -> None:
            if new == str(path) and not old.endswith(".1"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real(old, new)

        with mock.patch.object(os, "rename", refuse):
            for _ in range(3):
                self.assertRaises(OSError, sink.rotate)
        sink.write([b"on\n"])
        self.assertEqual({each.name for each in path.parent.iterdir()}, {"log", "log.2"})
        self.assertEqual(path.stat().st_size, ROTATE_AT + 3)
        sink.rotate()
        sink.write([b"new\n"])
        self.assertEqual(path.read_bytes(), b"new\n")
        self.assertEqual(path.with_name("log.2").read_text(), "older")

    def test_file_that_can_t_be_renamed(self) -> None:
        """An older file that keeps its name holds up the rotation; those above it move once at most."""
        sink, path = self.full_sink()
        for number in (1, 2, 3):
            path.with_name(f"log.{number}").write_text(str(number))
        real = os.rename

        def refuse(old: str, new: str) -> None:
            if old.endswith(".2"):
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))
            real(old, new)

        with mock.patch.object(os, "rename", refuse):
            for _ in range(3):
                self.assertRaises(OSError, sink.rotate)
        self.assertEqual({each.name for each in path.parent.iterdir()}, {"log", "log.1", "log.2", "log.4"})
        sink.rotate()
        self.assertEqual(path.with_name("log.4").read_text(), "3")
        self.assertEqual(path.with_name("log.3").read_text(), "2")

    def test_file_that_was_moved(self) -> None:
        """A file that another program has renamed is not rotated, nor is the file that has its name now."""
        sink, path = self.full_sink()
        moved = path.rename(path.with_name("moved"))
        sink.rotate()
        path.write_text("of another")
        sink.rotate()
        sink.write([b"on\n"])
        self.assertEqual(moved.stat().st_size, ROTATE_AT + 3)
        self.assertEqual({each.name for each in path.parent.iterdir()}, {"log", "moved"})

    def test_full_disk(self) -> None:
        """A piece that was written in part only is removed again, so that no line is cut."""
        sink, path = self.full_sink()
        real = os.write
        with mock.patch.object(os, "write", FullDisk(real, 3)):
            self.assertRaises(OSError, sink.write, [b"lost\n"])
        sink.write([b"on\n"])
        self.assertEqual(path.read_bytes()[ROTATE_AT:], b"on\n")

    def test_no_file(self) -> None:
        """A device is no file to rotate."""
        sink = FileSink("/dev/null")
        sink.write([b"x" * ROTATE_AT])
        sink.rotate()
        self.assertFalse(Path("/dev/null.1").exists())


class FullDisk:
    """A call of `os.write` for a disk with room for a few bytes."""

    def __init__(self, real: Callable[[int, bytes], int], room: int) -> None:
        self.real = real
        self.room = room

    def __call__(self, descriptor: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self.real(descriptor, data[: self.room])
        self.room -= written
        return written
