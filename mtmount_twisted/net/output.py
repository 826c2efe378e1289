"""`OutputThread`: text goes out in a thread of its own, so that no reader and no disk holds up the program.

A pipe that nobody reads, a terminal after Ctrl-S and a hung file system block `write(2)` for as long as they
like. `OutputThread.write` only appends to a buffer in memory. The buffer is bounded: records that do not fit
are counted, and one line with their number takes their place once the rest is written.

Knows nothing of Twisted and of logging. Next to read: `logs`, which writes the daemons' logs with it.
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

MAX_WAITING_BYTES = 2**20
"""How much may wait for the thread, in bytes."""

MAX_BATCH_BYTES = 2**16
"""How much is handed to the sink in one piece, in bytes, unless one record is longer."""


class Sink(Protocol):
    """Where records end up. Its methods are called in the thread, and may block for ever."""

    def write(self, records: Sequence[bytes]) -> None:
        """Write records, whole and in order.

        :raises OSError: if they can't be written.
        """

    def reopen(self) -> None:
        """Open the file anew by its name, after somebody renamed it. Without effect if there is no file.

        :raises OSError: if that fails: the sink then goes on with what it has open.
        """


class DescriptorSink:
    """Writes to a file descriptor, which stays open.

    It uses no Python file object: a thread that hangs inside one holds its lock, and Python could not flush
    it at the end of the program.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, records: Sequence[bytes]) -> None:
        """As in `Sink`."""
        data = memoryview(b"".join(records))
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another program made the terminal that it shares non-blocking
                select.select([], [self._descriptor], [])

    def reopen(self) -> None:
        """As in `Sink`: there is no file."""


class OutputFile(io.TextIOBase):
    """A text file that writes with an `OutputThread`: to be `sys.stdout` of a program with a reactor.

    ``prompt_toolkit`` draws on it, too: it needs no more than what is here.

    :param output: what writes; not started yet, or started.
    :param descriptor: where that writes, for who asks whether it is a terminal.
    :param encoding: of the text; a character that it lacks is written as an escape.
    """

    def __init__(self, output: OutputThread, descriptor: int, encoding: str = "utf-8") -> None:
        super().__init__()
        self.output = output
        self._descriptor = descriptor
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding that it was made with."""
        return self._encoding

    def write(self, text: str) -> int:
        """Have text written; never waits for that."""
        self.output.write(text.encode(self._encoding, "backslashreplace"))
        return len(text)

    def writable(self) -> bool:
        """True."""
        return True

    def fileno(self) -> int:
        """The file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)


class OutputThread:
    """A bounded buffer before a `Sink`, and the thread that empties it.

    All methods may be called in any thread, also while one of them runs in the same thread (by a signal or by
    the garbage collector).

    :param sink: where records end up.
    :param notice: makes the record that stands for records that were dropped, of their number and of the
        error because of which they could not be written, None if the buffer was full.
    :param not_reopened: makes the record that says why the sink could not open its file anew; None for none.
    :param max_bytes: how much may wait, in bytes, at least 1.
    :ivar dropped: how many records were dropped so far.
    :ivar error: why records could not be written, the last time; None if all could.
    """

    def __init__(
        self,
        sink: Sink,
        notice: Callable[[int, OSError | None], bytes],
        *,
        not_reopened: Callable[[OSError], bytes] | None = None,
        max_bytes: int = MAX_WAITING_BYTES,
        name: str = "output",
    ) -> None:
        self.dropped = 0
        self.error: OSError | None = None
        self._sink = sink
        self._notice = notice
        self._not_reopened = not_reopened
        self._max_bytes = max_bytes
        self._name = name
        self._changed = threading.Condition()  # made of an RLock, for it may be entered again
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # of what waits and of what is being written
        self._busy = False  # the thread is between taking records and being done with them
        self._overflow = 0  # records that came while the buffer was full: they belong behind those in it
        self._failed = 0  # records that could not be written: they belong before those in the buffer
        self._reopen = False
        self._stopping = False
        self._finish_by: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write. Without effect if that has begun.

        What is written before waits. A program that forks starts the thread afterwards: a fork copies none.
        """
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def write(self, record: bytes) -> bool:
        """Have one record written; never waits for that, unless `finish` was called.

        :returns: False if it is dropped, for lack of room.
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
        """Have the sink open its file anew, before the next record is written."""
        with self._changed:
            self._reopen = True
            self._changed.notify_all()

    def flush(self, within: float | None) -> bool:
        """Wait, blocking, until all is written that was written until now.

        :param within: how long at most, in seconds; None for as long as it takes.
        :returns: False if something still waits.
        """
        return self._wait_until(None if within is None else time.monotonic() + within)

    def finish(self, within: float) -> bool:
        """The program ends: wait, blocking, until all is written; a record that comes later waits as well.

        :param within: how long all that may take together, in seconds; a second call does not extend it.
        :returns: False if something still waits.
        """
        if self._finish_by is None:
            self._finish_by = time.monotonic() + within
        self.start()
        return self._wait_until(self._finish_by)

    def stop(self) -> None:
        """End the thread when it has written all that waits; does not wait for that. It can't start again."""
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
        """The thread."""
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
                self._reopen_sink()
            if records or overflow:
                self._write(records, overflow)

    def _reopen_sink(self) -> None:
        try:
            self._sink.reopen()
        except OSError as error:  # the sink goes on with what it has open
            if self._not_reopened is not None:
                with suppress(OSError):
                    self._sink.write([self._not_reopened(error)])

    def _take(self) -> tuple[list[bytes], int]:
        """A batch of records, and how many were dropped behind it."""
        records: list[bytes] = []
        size = 0
        while self._waiting and (not records or size + len(self._waiting[0]) <= MAX_BATCH_BYTES):
            records.append(self._waiting.popleft())
            size += len(records[-1])
        # Room for more only when nothing waits: else a slow reader would get a line, a gap, a line, a gap.
        return records, 0 if self._waiting else self._overflow

    def _write(self, records: list[bytes], overflow: int) -> None:
        before = [self._notice(self._failed, self.error)] if self._failed and records else []
        behind = [self._notice(overflow, None)] if overflow else []
        try:
            self._sink.write([*before, *records, *behind])
        except OSError as error:
            failed, self.error = self._failed + len(records) + overflow, error
            newly_lost = len(records)
        else:
            failed = 0 if before else self._failed
            newly_lost = 0
        with self._changed:
            self._failed = failed
            self.dropped += newly_lost
            self._bytes -= sum(map(len, records))
            self._overflow -= overflow
