"""`RecordingWriter`: write recordings through every fault of the disk. On the recorder's thread.

The writer never raises: an error about one file, or about one line, ends the work with that file or line
only, and after any other error the writer goes on with a new recording. Each turn appends the new messages to
the tail file. Once a minute the messages of each channel become a chunk, one channel after the other. Between
two chunks the tail file gets the messages that have come meanwhile. A new recording begins each hour. Next to
read: `files`; `recorder`, which owns the thread.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import stat
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtmount_twisted.dialects.dialect import Dialect, TelemetryFormat, TopicFacts
from mtmount_twisted.errors import LineError, RecordingError
from mtmount_twisted.journal.own_errors import OwnErrors
from mtmount_twisted.visible import visible

from .files import RecordingFile, TailFile, quick, thorough
from .items import Item, RecorderOptions
from .layout import NAME, TAIL, Message, portions, recordings, started, to_nanoseconds
from .recovery import recover, unfinished
from .retention import OldAllowance, stored, to_delete

if TYPE_CHECKING:
    from .digests import Digests

Tell = Callable[..., None]

CHUNK_TIME = 60.0
"""The time that a chunk covers, in seconds."""

MAX_PENDING_BYTES = 64 * 2**20
"""The largest number of bytes of messages that wait for their chunk, with `LINE_COST`: 4 minutes. Further
messages are counted and dropped."""

LINE_COST = 300
"""The bytes of memory that a message takes besides its own: its object, and the numbers in it."""

MOST_PENDING = 20_000
"""The largest number of messages that wait for their chunk, without the messages of the last turn: 50 s of
telemetry. If more wait, the chunks are written earlier. The garbage collector looks at each message, and the
reactor waits for it."""

MOST_WRITTEN = 8 * 2**20
"""The largest number of bytes of lines that are written as one chunk. One minute of the largest topic has 4
MB."""

HOUR_PART = 0.5
"""The largest size of one recording, as a fraction of `recorder.keep_bytes`. Even with the smallest
`keep_bytes`, it holds more than an hour of a mount that sends numbers with all their digits."""

REST_LINES, REST_TIME = 100, 0.002
"""The number of lines after which the thread rests, and the length of the rest in seconds. The reactor needs
Python's lock."""

FILE_TIME = 3600
"""The time between two recordings, in seconds: a recording ends with the hour."""

TEND_EVERY = 60.0
"""The interval between two searches for old recordings, in seconds."""

PAUSE = 60.0
"""The time from an error of our own to the next attempt to write, in seconds. Each attempt makes a file."""

FREE_AGAIN = 1.05
"""The recorder begins again once the free space is this multiple of the least free space."""


_OF_ONE_FILE = (errno.EIO, errno.EACCES, errno.EPERM, errno.EBADMSG, errno.EUCLEAN)
"""Errors of the system that concern one file: the recorder records in another one."""


class HourFull(OSError):
    """The recording of this hour has its largest size."""


class DiskFull(OSError):
    """The disk has less free space than the recorder leaves."""


class RecordingWriter:
    """Write messages to recordings.

    :param tell: logs a line: called with a level of `logging`, a message and its arguments.
    :param more: return the lines that have come since; called between two chunks.
    :param clock: returns the monotonic clock, in seconds.
    :param wall_clock: returns Unix time, in seconds.
    :param rest: called after each `REST_LINES` lines.
    :ivar fault: the present fault; empty while the recorder works.
    :ivar written: number of messages on the disk.
    :ivar lost: number of messages that were dropped.
    :ivar oldest: start of the oldest recording (s, Unix time), or None.
    """

    def __init__(
        self,
        options: RecorderOptions,
        dialect: Dialect,
        tell: Tell,
        more: Callable[[], Iterable[Item]] = tuple,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        rest: Callable[[], object] = lambda: None,
    ) -> None:
        assert dialect.telemetry is not None  # the configuration allows a recorder for such a dialect only
        self.fault: str = ""
        self.written: int = 0
        self.lost: int = 0
        self.oldest: float | None = None
        self._options = options
        self._format: TelemetryFormat = dialect.telemetry
        self._terminator = dialect.terminator
        self._masked = dialect.masked
        self._facts: dict[str, TopicFacts] = {facts.name: facts for facts in self._format.topics().values()}
        self._tell = tell
        self._more = more
        self._clock = clock
        self._wall_clock = wall_clock
        self._rest = rest
        self._compress = thorough()
        self._recording: RecordingFile | None = None
        self._tail: TailFile | None = None
        self._hour = 0
        self._pending: dict[str, list[Message]] = {}
        self._sequences: dict[str, int] = {}
        self._digests: Digests | None = None  # it imports numpy, in the recorder's thread
        self._fresh: list[tuple[str, float, int, bytes]] = []  # not in the tail file yet
        self._bytes = 0  # of the fresh and pending messages, with `LINE_COST`
        self._chunks_at = 0.0
        self._tend_at = 0.0
        self._old = OldAllowance()
        self._failing_since = 0.0
        self._is_full = False
        self._full_hour = 0  # the hour of a recording that has its largest size
        self._unreadable: set[Path] = set()
        self._undeletable: set[Path] = set()
        self._go_on_at = -math.inf  # after an error of our own
        self._own_errors = OwnErrors()

    @property
    def pending(self) -> int:
        """Number of messages that are not on the disk yet."""
        return len(self._fresh)

    def turn(self, items: Iterable[Item]) -> None:
        """Write the lines that have come, and the chunks that are due."""
        try:
            self._receive(items)
            if self._clock() < self._go_on_at:
                return
            self._write()
        except RecordingError as error:
            self._failed(str(error))
        except OSError as error:
            self._failed(error.strerror or str(error))
        except Exception as error:
            self._tell_own(error)
            self._failed(f"an error of the recorder: {error!r}")
            self._go_on_at = self._clock() + PAUSE
            self._leave()
            self._drop_fresh()
        else:
            self._works()

    def _write(self) -> None:
        self._check_space()
        self._check_hour()
        recording = self._open()
        self._append(recording)
        now = self._clock()
        if int(self._wall_clock()) // FILE_TIME != self._hour:
            self._finish(recording, self._compress)
            self._append(self._open())
        elif now - self._chunks_at >= CHUNK_TIME or self._has_many:
            self._write_chunks(recording, self._compress)
        if now >= self._tend_at:
            self._tend_at = now + TEND_EVERY
            self._tend()

    @property
    def _has_many(self) -> bool:
        return sum(map(len, self._pending.values())) > MOST_PENDING

    def _receive(self, items: Iterable[Item]) -> None:
        """Split the lines that have come into messages."""
        for item in items:
            if item.channel:
                self._receive_line(item, item.data, 0)
                continue
            ahead = round(self._format.tai() - self._wall_clock())
            for line in item.data.split(self._terminator):
                if line:
                    self._receive_line(item, line, ahead)

    def _receive_line(self, item: Item, line: bytes, ahead: int) -> None:
        try:
            if item.channel:
                self._add(item.channel, item.time, item.time, self._masked(line))
                return
            header = self._format.read_header(line)
            topic = self._format.names.get(header.topic_id, f"topic{header.topic_id}")
            self._add(topic, item.time, header.timestamp - ahead, line)
        except LineError:  # the link has dropped and logged it
            pass
        except Exception as error:
            self.lost += 1
            self._tell_own(error)

    def _add(self, topic: str, arrived: float, published: float, line: bytes) -> None:
        if self._is_full or self._full_hour or self._bytes + len(line) + LINE_COST > MAX_PENDING_BYTES:
            self.lost += 1
            return
        self._bytes += len(line) + LINE_COST
        at = min(max(to_nanoseconds(published), 0), 2**64 - 1)
        self._fresh.append((topic, arrived, at, line))
        if len(self._fresh) % REST_LINES == 0:
            self._rest()

    def _check_space(self) -> None:
        found = self._options.folder
        while not found.exists() and found != found.parent:
            found = found.parent
        status = os.statvfs(found)
        free, least = status.f_bavail * status.f_frsize, self._options.min_free
        if free < least * (FREE_AGAIN if self._is_full else 1):
            if not self._is_full:
                self._end_recording()
                self._is_full = True
            raise DiskFull(0, f"only {free} bytes are free, expected {least} or more (recorder.min_free)")
        self._is_full = False

    def _check_hour(self) -> None:
        """Drop lines once the recording has its largest size: a flood must not displace more recordings."""
        recording, most = self._recording, int(self._options.keep_bytes * HOUR_PART)
        hour = int(self._wall_clock()) // FILE_TIME
        if recording is not None and hour == self._hour and recording.contents.end + self._bytes > most:
            self._end_recording()
            self._full_hour = hour
        if hour == self._full_hour:
            raise HourFull(
                0,
                f"the recording of this hour has {most} bytes, {HOUR_PART:g} of recorder.keep_bytes: the "
                "next one begins with the next hour",
            )
        self._full_hour = 0

    def _end_recording(self) -> None:
        """End the recording, so that only later lines are lost."""
        recording = self._recording
        if recording is not None and self._tail is not None:
            with contextlib.suppress(OSError):
                self._append(recording)
                self._finish(recording, quick(), is_last=True)
        self._drop_fresh()

    def _drop_fresh(self) -> None:
        self.lost += len(self._fresh)
        self._bytes -= sum(len(line) + LINE_COST for *_, line in self._fresh)
        self._fresh.clear()

    def _open(self) -> RecordingFile:
        recording = self._recording
        if recording is not None and not recording.is_in_place():
            self._tell(logging.WARNING, "the recording %s was removed: started a new one", recording.path)
            self._abandon()
            recording = None
        if recording is None:
            folder = self._options.folder
            _make_folder(folder)
            self._recover(folder)
            now = self._wall_clock()
            self._hour = int(now) // FILE_TIME
            ahead = round(self._format.tai() - now)
            about = {**self._options.about, "taiMinusUtc": str(ahead)}
            recording = RecordingFile.create(folder, now, about)
            self._recording, self._tail = recording, TailFile(recording.path)
            if self._digests is None:
                from .digests import Digests

                self._digests = Digests(self._facts, self._rest)
            self._sequences.clear()
            self._chunks_at = self._clock()
        return recording

    def _recover(self, folder: Path) -> None:
        """Finish the recordings that a killed daemon left; one that can't be finished stays as it is."""
        for path in unfinished(folder):
            if path in self._unreadable:
                continue
            try:
                found = recover(path, self._compress)
            except Exception as error:
                if isinstance(error, OSError) and error.errno not in _OF_ONE_FILE:
                    raise
                self._unreadable.add(path)
                why = error if isinstance(error, RecordingError) else visible(f"{path}: {error}")
                self._tell(logging.WARNING, "a recording was not finished, and can't be: %s", why)
            else:
                if found is not None:
                    text = "finished the recording %s of a killed daemon: %d messages came from its tail file"
                    self._tell(logging.INFO, text, path, found)
        for name in os.listdir(folder):  # left by a crash between the two files
            stem = name.removesuffix(f"{TAIL}.new").removesuffix(TAIL)
            if stem != name and NAME.fullmatch(stem) and not (folder / stem).exists():
                with contextlib.suppress(OSError):
                    os.unlink(folder / name)

    def _append(self, recording: RecordingFile) -> None:
        """Write the fresh messages to the tail file."""
        if not self._fresh or self._tail is None:
            return
        messages: list[tuple[str, Message]] = []
        sequences = dict(self._sequences)
        for topic, arrived, published, line in self._fresh:
            channel = recording.channel(topic, self._facts.get(topic))
            sequences[topic] = number = sequences.get(topic, 0) + 1
            messages.append((topic, Message(channel, number, to_nanoseconds(arrived), published, line)))
            if len(messages) % REST_LINES == 0:
                self._rest()
        self._tail.append([message for _, message in messages])
        self._sequences = sequences
        for topic, message in messages:
            self._pending.setdefault(topic, []).append(message)
        self.written += len(messages)
        self._fresh.clear()

    def _write_chunks(self, recording: RecordingFile, compress: Callable[[bytes], bytes]) -> None:
        """Write a chunk of each channel. Meanwhile the tail file gets the new messages."""
        self._chunks_at = self._clock()
        for topic in tuple(self._pending):
            messages = self._pending[topic]
            for portion in tuple(portions(messages, MOST_WRITTEN)):
                self._write_chunk(recording, topic, portion, compress)
                del messages[: len(portion)]
                self._receive(self._more())
                self._append(recording)
        if self._digests is not None:
            self._digests.derive(to_the_end=False)
        recording.sync()
        left = [message for messages in self._pending.values() for message in messages]
        if self._tail is not None:
            self._tail.replace(left)

    def _write_chunk(
        self,
        recording: RecordingFile,
        topic: str,
        messages: Sequence[Message],
        compress: Callable[[bytes], bytes],
    ) -> None:
        recording.write_chunk(messages, compress)
        self._bytes -= sum(len(message.data) + LINE_COST for message in messages)
        if self._digests is not None:
            self._digests.add(topic, messages)

    def _finish(
        self, recording: RecordingFile, compress: Callable[[bytes], bytes], *, is_last: bool = False
    ) -> None:
        """End the recording.

        :param is_last: True if no other recording follows at once.
        """
        for topic in tuple(self._pending):
            messages = self._pending[topic]
            for portion in tuple(portions(messages, MOST_WRITTEN)):
                self._write_chunk(recording, topic, portion, compress)
                del messages[: len(portion)]
            del self._pending[topic]
        if self._digests is None:
            recording.finish()
        else:
            self._digests.derive(to_the_end=is_last)
            recording.finish(*self._digests.packed())
            self._digests.clear()
        recording.close()
        if self._tail is not None:
            self._tail.remove()
        self._recording = self._tail = None

    def _leave(self) -> int:
        """Leave the recording and its tail file as they are, for the next one to finish.

        :returns: the number of messages that are in no chunk.
        """
        for file in (self._recording, self._tail):
            if file is not None:
                with contextlib.suppress(OSError):  # the file counts as closed then, too (close(2))
                    file.close()
        self._recording = self._tail = None
        left = [message for messages in self._pending.values() for message in messages]
        self._bytes -= sum(len(message.data) + LINE_COST for message in left)
        self._pending.clear()
        self._digests = None
        return len(left)

    def _abandon(self) -> None:
        """Leave the recording, which is gone. The messages that are in no chunk are lost with it."""
        self.lost += self._leave()

    def _tend(self) -> None:
        """Delete the recordings that are too old, or that exceed the size."""
        options, recording = self._options, self._recording
        present = None if recording is None else recording.path
        size = self._bytes + (0 if recording is None else recording.contents.end)
        keep = options.keep_days, options.keep_bytes
        now = self._wall_clock()
        most_old = self._old.look(self._clock(), now)
        for each in to_delete(stored(options.folder), present, size, keep, now, most_old):
            try:
                os.unlink(each.path)
            except OSError as error:  # the others are deleted all the same
                if each.path not in self._undeletable:
                    self._undeletable.add(each.path)
                    text = "can't delete the recording %s (%s): %s"
                    self._tell(logging.WARNING, text, each.path, error.strerror, each.why)
                continue
            self._old.use(each.is_old)
            self._tell(logging.INFO, "deleted the recording %s: %s", each.path, each.why)
        self.oldest = self._oldest()

    def _oldest(self) -> float | None:
        paths = recordings(self._options.folder)
        return started(paths[0]) if paths else None

    def finish(self, items: Iterable[Item]) -> None:
        """Write the lines that have come, and end the recording. Lines that can't be written are lost or left
        to the next start."""
        try:
            self._receive(items)
            if self._recording is not None or self._fresh:
                self._check_space()
                recording = self._open()
                self._append(recording)
                self._finish(recording, quick(), is_last=True)
        except Exception as error:
            if not isinstance(error, OSError | RecordingError):
                self._tell_own(error)
            text = "the recorder ends without an end of its file, which the next start finishes: %s"
            self._tell(logging.WARNING, text, error)
        self._drop_fresh()
        if self._recording is not None:
            self._recording.close()
        if self._tail is not None:
            self._tail.close()

    def _tell_own(self, error: Exception) -> None:
        """Log an error of our own, once for each place in the code."""
        if self._own_errors.is_new(error):
            text = "an error of the recorder, which goes on:\n%s"
            self._tell(logging.CRITICAL, text, "".join(traceback.format_exception(error)))

    def _failed(self, why: str) -> None:
        had_fault, self.fault = self.fault, why
        if not had_fault:
            self._failing_since = self._clock()
            text = "the recorder can't write to %s (%s); telemetry still passes"
            self._tell(logging.ERROR, text, self._options.folder, why)

    def _works(self) -> None:
        if self.fault:
            self.fault = ""
            seconds = self._clock() - self._failing_since
            text = "the recorder writes to %s again after %.1f s; lost messages: %d"
            self._tell(logging.WARNING, text, self._options.folder, seconds, self.lost)


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents with mode 0700, whatever the umask.

    :raises RecordingError: if it belongs to another user, who could change the recordings, or is no folder.
    """
    if not folder.is_dir():
        if folder.parent != folder and not folder.parent.is_dir():
            _make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)
    if why := folder_problem(folder):
        raise RecordingError(f"{folder}: {why}")


def folder_problem(folder: Path) -> str:
    """Return the reason why a folder can't hold recordings of this user; empty if it can."""
    found = os.stat(folder)
    user = os.geteuid()
    if not stat.S_ISDIR(found.st_mode):
        return "it is no folder; expected a folder for recordings"
    if found.st_uid != user and user != 0:
        return f"it belongs to user {found.st_uid}, who can change it; expected the daemon's user {user}"
    return ""
