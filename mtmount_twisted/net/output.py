"""`OutputThread`: writing of text in a separate thread, so that no reader and no disk can block the program.

A pipe that nothing reads, a terminal after Ctrl-S and a hung file system block `write(2)` for any time.
`OutputThread.write` only appends to a buffer in memory. The buffer is bounded: records that do not fit are
dropped and counted. Once the buffer is written, one line with their count takes their place.

This module uses no logging. Next to read: `logs`, which writes the daemons' logs with it.
"""

from __future__ import annotations

import io
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from .threads import NoThreadError, start_thread

MAX_WAITING_BYTES = 2**20
"""Largest number of bytes that wait for the thread."""

MAX_BATCH_BYTES = 2**16
"""Largest number of bytes passed to the sink in one piece, unless a single record is longer."""


class Sink(Protocol):
    """Destination of records. The thread calls its methods, which may block for ever."""

    def write(self, records: Sequence[bytes]) -> None:
        """Write whole records in order.

        :raises OSError: if they can't be written.
        """

    def reopen(self) -> None:
        """Open the file again by its name, after it was renamed. Do nothing if there is no file.

        :raises OSError: if that fails. The sink then keeps the file that is open.
        """

    def rotate(self) -> None:
        """Begin another file, if the present one is full. The thread calls this before each write.

        :raises OSError: if that fails. The sink then keeps the file that is open.
        """


class DescriptorSink:
    """Sink that writes to a file descriptor and leaves it open.

    It uses no Python file object: a thread that hangs inside such an object holds its lock, and then Python
    can't flush it at the end of the program.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, records: Sequence[bytes]) -> None:
        """See `Sink`."""
        data = memoryview(b"".join(records))
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another program has made the shared terminal non-blocking
                select.select([], [self._descriptor], [])

    def reopen(self) -> None:
        """See `Sink`. There is no file to open again."""

    def rotate(self) -> None:
        """See `Sink`. There is no file to rotate."""


class OutputFile(io.TextIOBase):
    """A text file that writes with an `OutputThread`: a `sys.stdout` for a program with a reactor.

    ``prompt_toolkit`` draws on it, too, and needs only these methods.

    :param output: the thread that writes, started or not.
    :param descriptor: the thread's file descriptor, for `fileno` and `isatty`.
    :param encoding: encoding of the text. A character outside it is written as an escape.
    """

    def __init__(self, output: OutputThread, descriptor: int, encoding: str = "utf-8") -> None:
        super().__init__()
        self.output = output
        self._descriptor = descriptor
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding given at construction."""
        return self._encoding

    def write(self, text: str) -> int:
        """Pass text to the thread, without waiting for it to be written."""
        self.output.write(text.encode(self._encoding, "backslashreplace"))
        return len(text)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return True if the descriptor is a terminal."""
        return os.isatty(self._descriptor)


class OutputThread:
    """A bounded buffer in front of a `Sink`, and the thread that empties it.

    Any thread may call any method. It may do so even while another call runs in the same thread, which a
    signal handler or the garbage collector can cause.

    :param sink: the destination of the records.
    :param notice: function that makes the record in place of dropped ones. Its arguments are their number and
        the error that prevented the writing; None if the buffer was full.
    :param not_reopened: function that makes the record about a failure to open the file again; None for no
        such record.
    :param max_bytes: largest number of bytes that wait, at least 1.
    :ivar dropped: number of records dropped so far.
    :ivar error: the latest error because of which records could not be written, or None.
    """

    def __init__(
        self,
        sink: Sink,
        notice: Callable[[int, Exception | None], bytes],
        *,
        not_reopened: Callable[[Exception], bytes] | None = None,
        max_bytes: int = MAX_WAITING_BYTES,
        name: str = "output",
    ) -> None:
        self.dropped: int = 0
        self.error: Exception | None = None
        self._sink = sink
        self._notice = notice
        self._not_reopened = not_reopened
        self._max_bytes = max_bytes
        self._name = name
        self._changed = threading.Condition()  # its lock is an RLock, because a call may interrupt another
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # of the waiting records and of those being written
        self._busy = False  # True while the thread writes records that it has taken
        self._overflow = 0  # records dropped while the buffer was full: their place is behind those in it
        self._failed = 0  # records that could not be written: their place is before those in the buffer
        self._reopen = False
        self._can_rotate = True  # False after a rotation that failed
        self._stopping = False
        self._finish_by: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if it is not running.

        Records written before that wait. A program that forks must start the thread after the fork, because
        a fork copies no thread.

        :raises net.threads.NoThreadError: if the system can't start the thread.
        """
        with self._changed:
            if self._thread is None:
                self._thread = start_thread(self._run, self._name)

    def write(self, record: bytes) -> bool:
        """Pass one record to the thread. The call does not wait, except after `finish`.

        :returns: False if the buffer is full and the record was dropped.
        """
        with self._changed:
            if self._overflow or self._bytes + len(record) > self._max_bytes:
                self._overflow += 1
                self.dropped += 1
                return False
            self._waiting.append(record)
            self._bytes += len(record)
            self._changed.notify_all()
        if self._finish_by is not None:
            self._wait_until(self._finish_by)
        return True

    def reopen(self) -> None:
        """Make the sink open its file again before the next record."""
        with self._changed:
            self._reopen = True
            self._changed.notify_all()

    def flush(self, within: float | None) -> bool:
        """Block until all records so far are written.

        :param within: longest wait in seconds; None for no limit.
        :returns: False if a record still waits.
        """
        return self._wait_until(None if within is None else time.monotonic() + within)

    def finish(self, within: float) -> bool:
        """Block until all records are written, because the program ends. Later calls of `write` block as
        well.

        :param within: longest wait in seconds for all these calls together; a second call does not extend it.
        :returns: False if a record still waits.
        """
        if self._finish_by is None:
            self._finish_by = time.monotonic() + within
        with suppress(NoThreadError):  # the records stay, and False says so
            self.start()
        return self._wait_until(self._finish_by)

    def stop(self) -> None:
        """End the thread after it has written all waiting records, without blocking. It can't start again."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _wait_until(self, end: float | None) -> bool:
        with self._changed:
            left = None if end is None else max(0.0, end - time.monotonic())
            return self._changed.wait_for(self._is_idle, left)

    def _is_idle(self) -> bool:
        return not (self._busy or self._has_work())

    def _has_work(self) -> bool:
        return bool(self._waiting or self._reopen or self._overflow)

    def _run(self) -> None:
        """Run in the thread."""
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopping or self._has_work())
                if not self._has_work():
                    return
                self._busy = True
                reopen, self._reopen = self._reopen, False
                records, overflow = self._take()
            if reopen:
                self._tell_error(self._error_of(self._sink.reopen))
            if records or overflow:
                self._rotate()
                self._write(records, overflow)

    def _rotate(self) -> None:
        error = self._error_of(self._sink.rotate)
        if self._can_rotate:
            self._tell_error(error)
        self._can_rotate = error is None

    @staticmethod
    def _error_of(step: Callable[[], None]) -> Exception | None:
        try:
            step()
        except Exception as error:  # the sink keeps the file that is open
            return error
        return None

    def _tell_error(self, error: Exception | None) -> None:
        if error is not None and self._not_reopened is not None:
            with suppress(Exception):
                self._sink.write([self._not_reopened(error)])

    def _take(self) -> tuple[list[bytes], int]:
        """Return a batch of records, and the number of records that were dropped behind it."""
        records: list[bytes] = []
        size = 0
        while self._waiting and (not records or size + len(self._waiting[0]) <= MAX_BATCH_BYTES):
            records.append(self._waiting.popleft())
            size += len(records[-1])
        # Accept more only once the buffer is empty. Else a slow reader gets a line, a gap, a line, a gap.
        return records, 0 if self._waiting else self._overflow

    def _write(self, records: list[bytes], overflow: int) -> None:
        has_gap = bool(self._failed and records)
        try:
            before = [self._notice(self._failed, self.error)] if has_gap else []
            behind = [self._notice(overflow, None)] if overflow else []
            self._sink.write([*before, *records, *behind])
        except Exception as error:  # no error ends the thread: later records can be written
            failed, self.error = self._failed + len(records) + overflow, error
            newly_lost = len(records)
        else:
            failed = 0 if has_gap else self._failed
            newly_lost = 0
        with self._changed:
            self._failed = failed
            self.dropped += newly_lost
            self._bytes -= sum(map(len, records))
            self._overflow -= overflow
